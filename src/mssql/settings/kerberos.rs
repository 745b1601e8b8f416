//! Logins by Kerberos, as a connection string describes them.

use super::error::ConnectionError;
use super::text::boolean;
use std::fmt;

/// A login with the Kerberos ticket of whoever runs icesync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kerberos {
    /// What the ticket is for, as `Server SPN` names it; none: the server that is dialled.
    pub server_spn: Option<Service>,
}

/// A SQL Server as Kerberos knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    pub host: String,
    pub port: u16,
    /// None: whichever krb5.conf and the KDC find.
    pub realm: Option<String>,
}

/// The service class of SQL Server.
const CLASS: &str = "MSSQLSvc";

impl Service {
    /// Reads `MSSQLSvc/host:port` and `MSSQLSvc/host:port@REALM`.
    pub(in crate::mssql) fn parse(text: &str) -> Option<Self> {
        let (name, realm) = match text.trim().split_once('@') {
            Some((name, realm)) => (name, Some(realm)),
            None => (text.trim(), None),
        };
        let (class, rest) = name.split_once('/')?;
        let (host, port) = rest.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let is_name = |text: &str| !text.is_empty() && !text.contains(['/', '@', ':']);
        let is_service = class.eq_ignore_ascii_case(CLASS);
        (is_service && is_name(host) && realm.is_none_or(is_name)).then(|| Self {
            host: host.to_owned(),
            port,
            realm: realm.map(str::to_owned),
        })
    }

    /// The principal without its realm: `MSSQLSvc/host:port`.
    pub(in crate::mssql) fn principal(&self) -> String {
        format!("{CLASS}/{}:{}", self.host, self.port)
    }

    /// As GSSAPI writes a service on a host: `MSSQLSvc@host:port`.
    pub(in crate::mssql) fn on_host(&self) -> String {
        format!("{CLASS}@{}:{}", self.host, self.port)
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.principal())?;
        match &self.realm {
            Some(realm) => write!(f, "@{realm}"),
            None => Ok(()),
        }
    }
}

const NOT_BUILT: &str = "this build of icesync has no Kerberos. Build it with `cargo build --release --features \
    kerberos`, or use a SQL login (User ID and Password) or a login of Entra ID (Authentication=...)";

/// What the string says about Kerberos, before it is known to fit together: names and values, as they are written.
#[derive(Default)]
pub(super) struct Parts {
    pub integrated: Option<(String, String)>,
    pub server_spn: Option<(String, String)>,
}

/// What else the string says.
pub(super) struct Beside {
    /// A user or a password.
    pub user: bool,
    /// Anything of a login of Entra ID.
    pub entra: bool,
    /// A port that is known without asking an instance.
    pub port: bool,
}

impl Parts {
    /// The login by Kerberos, if the parts ask for one. Not every build has it.
    pub(super) fn login(
        self,
        has_kerberos: bool,
        beside: &Beside,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Kerberos>, ConnectionError> {
        let Some(key) = asked_by(self.integrated)? else {
            if let Some((key, _)) = self.server_spn {
                warnings.push(format!(
                    "the connection setting `{key}` has no effect: only Integrated Security=true uses it"
                ));
            }
            return Ok(None);
        };
        if !has_kerberos {
            return Err(ConnectionError::Unsupported {
                feature: format!("{key}=true"),
                remedy: NOT_BUILT,
            });
        }
        beside.fits()?;
        let server_spn = match self.server_spn {
            None => None,
            Some((key, value)) => match Service::parse(&value) {
                Some(service) => Some(service),
                None => {
                    return Err(ConnectionError::Value {
                        key,
                        expected: "MSSQLSvc/host:port or MSSQLSvc/host:port@REALM, with a port number",
                    });
                }
            },
        };
        Ok(Some(Kerberos { server_spn }))
    }
}

/// The setting that asks for the login, if its value does.
fn asked_by(integrated: Option<(String, String)>) -> Result<Option<String>, ConnectionError> {
    let Some((key, value)) = integrated else {
        return Ok(None);
    };
    if value.eq_ignore_ascii_case("sspi") {
        return Ok(Some(key));
    }
    match boolean(&value) {
        Some(is_asked) => Ok(is_asked.then_some(key)),
        None => Err(ConnectionError::Value {
            key,
            expected: "true, false or SSPI",
        }),
    }
}

impl Beside {
    fn fits(&self) -> Result<(), ConnectionError> {
        const ALONE: &str = "the Kerberos ticket is the login; remove the others";
        let (other, remedy) = match self {
            Self { user: true, .. } => ("User ID and Password", ALONE),
            Self { entra: true, .. } => ("Authentication, Access Token or their like", ALONE),
            // The port is part of the service's name, and the drivers do not tell that of an instance in time.
            Self { port: false, .. } => {
                ("a named instance without a port", "write Server=host,port")
            }
            Self {
                user: false,
                entra: false,
                port: true,
            } => return Ok(()),
        };
        Err(ConnectionError::Contradiction {
            first: "Integrated Security",
            other,
            remedy,
        })
    }
}
