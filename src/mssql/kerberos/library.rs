//! The machine's GSSAPI library.

use super::failure::NoTicket;
use crate::mssql::settings::Service;
use libgssapi::context::{ClientCtx, CtxFlags};
use libgssapi::credential::{Cred, CredUsage};
use libgssapi::error::Error;
use libgssapi::name::Name;
use libgssapi::oid::{GSS_MECH_KRB5, GSS_NT_HOSTBASED_SERVICE, GSS_NT_KRB5_PRINCIPAL, OidSet};

/// Sees to it that the ticket cache holds a ticket for the service, and returns the service by the name that the
/// library gives it. With `is_exact` no other name than the wanted one will do. Waits for the KDC.
pub(super) fn ticket(wanted: &Service, is_exact: bool) -> Result<Service, NoTicket> {
    let service = by_its_name(wanted)?;
    let is_same = service.host.eq_ignore_ascii_case(&wanted.host) && service.port == wanted.port;
    if is_exact && !is_same {
        let problem = format!("`Server SPN` is {wanted}, which krb5.conf turns into {service}");
        let remedy =
            format!("Set `dns_canonicalize_hostname = false` in it, or register {service}");
        return Err(NoTicket::lasting(format!("{problem}. {remedy}")));
    }
    begin(&service).map_err(explained)?;
    Ok(service)
}

fn explained(error: Error) -> NoTicket {
    NoTicket::explained(&error.to_string())
}

/// By the rules of krb5.conf (`dns_canonicalize_hostname`, `rdns`).
fn by_its_name(wanted: &Service) -> Result<Service, NoTicket> {
    let name = Name::new(wanted.on_host().as_bytes(), Some(GSS_NT_HOSTBASED_SERVICE))
        .and_then(|name| name.canonicalize(Some(GSS_MECH_KRB5)))
        .and_then(|name| name.display_name())
        .map_err(explained)?;
    let name = String::from_utf8_lossy(&name);
    let principal = name.rsplit_once('@').map_or(&*name, |(before, _)| before);
    Service::parse(principal).ok_or_else(|| {
        let problem = format!("{wanted} is {principal} by krb5.conf, which names no host and port");
        NoTicket::lasting(format!("{problem}. Write `Server SPN`"))
    })
}

/// Makes the first token of a login, for which the library fetches the ticket.
fn begin(service: &Service) -> Result<(), Error> {
    let mechanisms = OidSet::singleton(GSS_MECH_KRB5)?;
    let user = Cred::acquire(None, None, CredUsage::Initiate, Some(&mechanisms))?;
    let principal = Name::new(service.to_string().as_bytes(), Some(GSS_NT_KRB5_PRINCIPAL))?;
    let flags = CtxFlags::GSS_C_MUTUAL_FLAG;
    let mut login = ClientCtx::new(Some(user), principal, flags, Some(GSS_MECH_KRB5));
    login.step(None, None).map(drop)
}
