//! The machine's GSSAPI library.

use super::failure::NoTicket;
use super::plane::Plane;
use crate::mssql::settings::Service;
use libgssapi::context::{ClientCtx, CtxFlags};
use libgssapi::credential::{Cred, CredUsage};
use libgssapi::error::Error;
use libgssapi::name::Name;
use libgssapi::oid::{GSS_MECH_KRB5, GSS_NT_HOSTBASED_SERVICE, GSS_NT_KRB5_PRINCIPAL, OidSet};

/// Sees to it that the ticket cache holds the ticket that a plane's driver will ask for, and returns the service by
/// the name that the library gives it. With `is_exact` no other name than the wanted one will do. Waits for the KDC.
pub(super) fn ticket(wanted: &Service, is_exact: bool, plane: Plane) -> Result<Service, NoTicket> {
    let service = by_its_name(wanted)?;
    let is_same = service.host.eq_ignore_ascii_case(&wanted.host) && service.port == wanted.port;
    if is_exact && !is_same {
        let problem = format!("`Server SPN` is {wanted}, which krb5.conf turns into {service}");
        let remedy =
            format!("Set `dns_canonicalize_hostname = false` in it, or register {service}");
        return Err(NoTicket::lasting(format!("{problem}. {remedy}")));
    }
    let name = name_for(&service, plane).map_err(explained)?;
    let user = user().map_err(explained)?;
    if let Some(realm) = &wanted.realm {
        let found = realm_of(&name, &user).map_err(explained)?;
        if found != *realm {
            return Err(other_realm(wanted, realm, &found, plane));
        }
    }
    begin(name, user).map_err(explained)?;
    Ok(service)
}

fn explained(error: Error) -> NoTicket {
    NoTicket::explained(&error.to_string())
}

/// By the rules of krb5.conf (`dns_canonicalize_hostname`, `rdns`).
fn by_its_name(wanted: &Service) -> Result<Service, NoTicket> {
    let name = Name::new(wanted.on_host().as_bytes(), Some(GSS_NT_HOSTBASED_SERVICE))
        .and_then(|name| shown(&name))
        .map_err(explained)?;
    // Without an entry in [domain_realm] the realm is empty here, and is looked for by the library later.
    let principal = name.strip_suffix('@').unwrap_or(&name);
    Service::parse(principal).ok_or_else(|| {
        let problem = format!("{wanted} is {principal} by krb5.conf, which names no host and port");
        NoTicket::lasting(format!("{problem}. Write `Server SPN`"))
    })
}

/// As the plane's driver writes it. Neither can write a realm.
fn name_for(service: &Service, plane: Plane) -> Result<Name, Error> {
    let (text, form) = match plane {
        Plane::Control => (service.principal(), GSS_NT_KRB5_PRINCIPAL),
        Plane::Data => (service.on_host(), GSS_NT_HOSTBASED_SERVICE),
    };
    Name::new(text.as_bytes(), Some(form))
}

fn user() -> Result<Cred, Error> {
    let mechanisms = OidSet::singleton(GSS_MECH_KRB5)?;
    Cred::acquire(None, None, CredUsage::Initiate, Some(&mechanisms))
}

/// The realm whose KDC is asked for the service: the one in its name, else the user's.
fn realm_of(name: &Name, user: &Cred) -> Result<String, Error> {
    let after = |name: String| name.rsplit_once('@').map(|(_, realm)| realm.to_owned());
    match after(shown(name)?).filter(|realm| !realm.is_empty()) {
        Some(realm) => Ok(realm),
        None => Ok(after(shown(&user.name()?)?).unwrap_or_default()),
    }
}

/// `Server SPN` names a realm that a driver would not ask.
fn other_realm(wanted: &Service, realm: &str, found: &str, plane: Plane) -> NoTicket {
    let host = &wanted.host;
    let (whose, why, remedy) = match plane {
        Plane::Control => (
            "control",
            "the `default_realm` of krb5.conf",
            format!("Set `default_realm = {realm}` there"),
        ),
        Plane::Data => (
            "data",
            "that of the host under [domain_realm] of krb5.conf, or else the user's",
            format!("Write `{host} = {realm}` under [domain_realm] there"),
        ),
    };
    NoTicket::lasting(format!(
        "`Server SPN` is {wanted}, but the driver of the {whose} plane asks for tickets of {found}, {why}. \
            {remedy}, or in a copy that KRB5_CONFIG names"
    ))
}

fn shown(name: &Name) -> Result<String, Error> {
    let name = name.canonicalize(Some(GSS_MECH_KRB5))?.display_name()?;
    Ok(String::from_utf8_lossy(&name).into_owned())
}

/// Makes the first token of a login, for which the library fetches the ticket.
fn begin(service: Name, user: Cred) -> Result<(), Error> {
    let flags = CtxFlags::GSS_C_MUTUAL_FLAG;
    let mut login = ClientCtx::new(Some(user), service, flags, Some(GSS_MECH_KRB5));
    login.step(None, None).map(drop)
}
