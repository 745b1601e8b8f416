//! Logins by Kerberos, for both planes.
//!
//! Both drivers take tickets from the machine's GSSAPI library, which finds them in the ticket cache of the user who
//! runs icesync, or gets them with a client keytab. icesync never sees a password or a key. Before a driver logs in,
//! the same ticket is asked for here, for three reasons. The drivers derive the name of the service differently: one
//! leaves the port out, the other does not look the host up, so both are given one name. They report a missing
//! ticket as a number of the library. And they wait for the KDC on a thread that other connections need; here a
//! thread of its own waits, no longer than `Connect Timeout`, and the driver then finds the ticket in the cache.

mod failure;
#[cfg(feature = "kerberos")]
mod library;

pub(super) use failure::NoTicket;

use super::error::MssqlError;
use super::settings::{Connection, Service};

/// The service to log in to at `host` and `port`, once there is a ticket for it. None: the login is another one.
pub(super) async fn service_at(
    connection: &Connection,
    host: &str,
    port: u16,
) -> Result<Option<Service>, MssqlError> {
    let Some(login) = &connection.kerberos else {
        return Ok(None);
    };
    let is_exact = login.server_spn.is_some();
    let wanted = login.server_spn.clone().unwrap_or_else(|| Service {
        host: host.to_owned(),
        port,
    });
    with_ticket(connection, wanted, is_exact).await.map(Some)
}

#[cfg(feature = "kerberos")]
async fn with_ticket(
    connection: &Connection,
    wanted: Service,
    is_exact: bool,
) -> Result<Service, MssqlError> {
    let server = connection.server();
    let limit = connection.connect_timeout;
    let asking = tokio::task::spawn_blocking(move || library::ticket(&wanted, is_exact));
    match tokio::time::timeout(limit, asking).await {
        Ok(Ok(outcome)) => outcome.map_err(|failure| failure.at(server)),
        Ok(Err(panic)) => Err(MssqlError::Protocol {
            server,
            reason: format!("the GSSAPI library stopped: {panic}"),
        }),
        Err(_elapsed) => {
            let seconds = limit.as_secs();
            Err(NoTicket::no_answer(seconds).at(server))
        }
    }
}

/// A connection string that asks for Kerberos is refused by a build without it, so that none comes here.
#[cfg(not(feature = "kerberos"))]
async fn with_ticket(
    _connection: &Connection,
    wanted: Service,
    _is_exact: bool,
) -> Result<Service, MssqlError> {
    Err(MssqlError::Unsupported {
        feature: format!("a login to {wanted} by Kerberos"),
        remedy: "build icesync with its feature `kerberos`".into(),
    })
}
