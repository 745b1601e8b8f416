//! Logins by Kerberos, for both planes.
//!
//! Both drivers take tickets from the machine's GSSAPI library, which finds them in the ticket cache of the user who
//! runs icesync, or gets them with a client keytab. icesync never sees a password or a key. Before a driver logs in,
//! the same ticket is asked for here, for two reasons. The drivers derive the name of the service differently: one
//! leaves the port out, the other does not look the host up, so both are given one name. And they report a missing
//! ticket as a number of the library.
//!
//! # Waiting for the KDC
//! The library waits for the KDC on the thread that calls it, up to a minute when the KDC is silent. A driver calls
//! it, too, although the ticket is in the cache by then: a keytab's ticket is renewed after half its life, and the
//! data plane's driver asks for a ticket to pass on at every login, if the user's is forwardable. So everything that
//! calls the library runs on a thread of its own ([`apart`]), and the caller waits for that thread no longer than
//! the connection's timeouts allow. A thread that is given up ends when the library returns, and makes no session.

mod failure;
#[cfg(feature = "kerberos")]
mod library;
mod plane;

pub(super) use failure::NoTicket;
pub(super) use plane::Plane;

use super::error::MssqlError;
use super::settings::{Connection, Service};
use crate::secret::panic_text;
use std::future::Future;
use std::io;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// The service to log in to at `host` and `port`, once there is a ticket for it. None: the login is another one.
pub(super) async fn service_at(
    connection: &Connection,
    host: &str,
    port: u16,
    plane: Plane,
) -> Result<Option<Service>, MssqlError> {
    let Some(login) = &connection.kerberos else {
        return Ok(None);
    };
    let is_exact = login.server_spn.is_some();
    let wanted = login.server_spn.clone().unwrap_or_else(|| Service {
        host: host.to_owned(),
        port,
        realm: None,
    });
    let server = connection.server();
    with_ticket(server, connection.connect_timeout, wanted, is_exact, plane)
        .await
        .map(Some)
}

#[cfg(feature = "kerberos")]
async fn with_ticket(
    server: String,
    limit: Duration,
    wanted: Service,
    is_exact: bool,
    plane: Plane,
) -> Result<Service, MssqlError> {
    let asking = move || {
        let ask = || library::ticket(&wanted, is_exact, plane);
        std::future::ready(twice(ask, REPLACED_WITHIN))
    };
    let outcome = apart(&server, limit, asking).await?;
    outcome.map_err(|failure| failure.at(server))
}

/// A connection string that asks for Kerberos is refused by a build without it, so that none comes here.
#[cfg(not(feature = "kerberos"))]
async fn with_ticket(
    _server: String,
    _limit: Duration,
    wanted: Service,
    _is_exact: bool,
    _plane: Plane,
) -> Result<Service, MssqlError> {
    Err(MssqlError::Unsupported {
        feature: format!("a login to {wanted} by Kerberos"),
        remedy: "build icesync with its feature `kerberos`".into(),
    })
}

/// `kinit` empties the cache before it writes the new ticket. By then the ticket is there.
#[cfg(feature = "kerberos")]
const REPLACED_WITHIN: Duration = Duration::from_secs(1);

/// Asks once more when there is no ticket, because the cache may be about to be replaced.
#[cfg(any(feature = "kerberos", test))]
fn twice<T>(mut ask: impl FnMut() -> Result<T, NoTicket>, pause: Duration) -> Result<T, NoTicket> {
    match ask() {
        Err(failure) if failure.is_missing() => {
            std::thread::sleep(pause);
            ask()
        }
        outcome => outcome,
    }
}

/// Makes a driver's session, apart when the login is by Kerberos. The driver has limits of its own, the longest of
/// them `limit`, which hold as long as its thread is not stuck in the library. The limit here is longer, so that it
/// ends a login for that reason alone.
pub(super) async fn logged_in<T, F>(
    connection: &Connection,
    limit: Duration,
    work: impl FnOnce() -> F + Send + 'static,
) -> Result<T, MssqlError>
where
    F: Future<Output = T>,
    T: Send + 'static,
{
    if connection.kerberos.is_none() {
        return Ok(work().await);
    }
    let limit = limit.saturating_add(connection.connect_timeout / 2);
    apart(&connection.server(), limit, work).await
}

/// Works on a thread of its own. When the limit is over, the KDC is taken to be silent.
async fn apart<T, F>(
    server: &str,
    limit: Duration,
    work: impl FnOnce() -> F + Send + 'static,
) -> Result<T, MssqlError>
where
    F: Future<Output = T>,
    T: Send + 'static,
{
    let (mut outcome, awaited) = oneshot::channel();
    let runtime = Handle::current();
    let working = move || {
        runtime.block_on(async move {
            tokio::select! {
                done = work() => {
                    let _ = outcome.send(done);
                }
                () = outcome.closed() => {}
            }
        });
    };
    let stopped = |reason: String| MssqlError::Protocol {
        server: server.to_owned(),
        reason,
    };
    let thread = std::thread::Builder::new().name("kerberos".into());
    let thread = thread
        .spawn(working)
        .map_err(|error| no_thread(server, &error))?;
    match tokio::time::timeout(limit, awaited).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(_gone)) => {
            let panic = thread.join().err();
            let text = panic.map_or("it has ended".into(), |panic| panic_text(panic.as_ref()));
            Err(stopped(format!("the login's thread stopped: {text}")))
        }
        Err(_elapsed) => Err(NoTicket::no_answer(limit).at(server.to_owned())),
    }
}

fn no_thread(server: &str, error: &io::Error) -> MssqlError {
    let reason = format!("no thread could be started for the login ({error})");
    MssqlError::unreachable(server.to_owned(), reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Disposition;
    use std::time::Instant;

    fn missing() -> NoTicket {
        NoTicket::explained("No Kerberos credentials available (default cache: FILE:/tmp/c)")
    }

    #[tokio::test]
    async fn a_login_that_holds_its_thread_holds_no_other() {
        let held = Duration::from_secs(5);
        let began = Instant::now();
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        let limit = Duration::from_millis(200);
        let login = apart("db:1433", limit, move || async move {
            std::thread::sleep(held);
        });
        let mut ticked = 0;
        let ticking = async {
            loop {
                ticks.tick().await;
                ticked += 1;
            }
        };
        let error = tokio::select! {
            outcome = login => outcome.unwrap_err(),
            () = ticking => unreachable!("it has no end"),
        };
        assert!(began.elapsed() < held, "{:?}", began.elapsed());
        assert!(ticked > 2, "the runtime's thread was held");
        assert_eq!(error.disposition(), Disposition::Transient);
        let text = error.to_string();
        assert!(text.contains("db:1433") && text.contains("no answer from the KDC within 0.2 s"));
        assert!(text.contains("krb5.conf"), "{text}");
    }

    #[tokio::test]
    async fn work_apart_has_timers_and_sockets() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limit = Duration::from_secs(60);
        let connecting = apart("db:1433", limit, move || async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            tokio::net::TcpStream::connect(address).await
        });
        let (connected, accepted) = tokio::join!(connecting, listener.accept());
        let stream = connected.unwrap().unwrap();
        assert_eq!(stream.local_addr().unwrap(), accepted.unwrap().1);
    }

    #[tokio::test]
    async fn a_panic_apart_is_an_error() {
        let limit = Duration::from_secs(60);
        let panicking = apart("db:1433", limit, || async { panic!("unexpected bytes") });
        let outcome: Result<(), MssqlError> = panicking.await;
        let error = outcome.unwrap_err();
        assert!(matches!(error, MssqlError::Protocol { .. }), "{error}");
        assert!(error.to_string().contains("thread stopped"), "{error}");
    }

    #[tokio::test]
    async fn abandoned_work_ends() {
        let (kept, gone) = oneshot::channel::<()>();
        let limit = Duration::from_millis(50);
        let waiting = apart("db:1433", limit, move || async move {
            let _kept = kept;
            std::future::pending::<()>().await;
        });
        assert!(waiting.await.is_err());
        assert!(gone.await.is_err(), "the work goes on");
    }

    #[test]
    fn a_missing_ticket_is_asked_for_once_more() {
        let mut asked = 0;
        let found = twice(
            || {
                asked += 1;
                if asked == 1 {
                    Err(missing())
                } else {
                    Ok(asked)
                }
            },
            Duration::ZERO,
        );
        assert_eq!(found, Ok(2));
        let mut asked = 0;
        let lost: Result<(), _> = twice(
            || {
                asked += 1;
                Err(missing())
            },
            Duration::ZERO,
        );
        assert_eq!((lost, asked), (Err(missing()), 2));
        let mut asked = 0;
        let skewed: Result<(), _> = twice(
            || {
                asked += 1;
                Err(NoTicket::explained("Clock skew too great"))
            },
            Duration::ZERO,
        );
        assert!(skewed.is_err() && asked == 1, "asked {asked} times");
    }
}
