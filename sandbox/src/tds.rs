//! TDS 7.4, the server's side: packets, login, TLS, requests, and the encodings of every type.
//!
//! # One connection
//! Three parties: a task that reads packets off the socket, a task that writes packets to it, and one thread that
//! owns the [`Session`](crate::session::Session) and speaks the protocol in plain sequential code. Two bounded
//! channels join them, so memory per connection is bounded and a slow client holds back the scan that feeds it.
//!
//! ATTENTION overtakes: the reading task sets the session's cancel flag the moment the packet arrives, then queues
//! the packet in its place. The thread stops the running request, ends its reply, finds the packet and acknowledges
//! it with a message of its own. A lost connection sets the flag too, so that a request that waits for a lock does
//! not outlive its client.
//!
//! # Broken and hostile clients
//! A packet or login that cannot be read ends the connection with a logged reason. A request whose packets are
//! sound but whose content is not gets an error and the connection lives on. Requests and bulk rows are bounded by
//! [`WireOptions::request_bytes_max`], logins by time, connections by number.
//!
//! - `packet`, `cursor`: bytes in and out
//! - `login`, `kerberos`, `tls`, `connection`: from the socket to a session
//! - `request`, `rpc`, `bulk`, `sink`, `token`: what clients ask and what they are answered
//! - `type_info`, `encode`, `decode`, `variant`: types and values
//! - `embedded`: the server on threads of its own
//! - `fault`: what tests do to a running server

mod bulk;
mod connection;
mod cursor;
mod decode;
mod embedded;
mod encode;
mod fault;
mod kerberos;
mod login;
mod packet;
mod request;
mod rpc;
mod sink;
#[cfg(test)]
mod tests;
mod tls;
mod token;
mod type_info;
mod variant;

pub use embedded::Embedded;
pub use fault::{Fault, Faults};
pub use packet::WireError;
pub use tls::Identity;

use crate::session::Server;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// How long a stopping server waits for its connections' threads.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether connections are encrypted.
#[derive(Debug, Clone, Default)]
pub enum Encryption {
    /// Never; a client that requires it goes away.
    #[default]
    Off,
    /// As the client likes; one that does not care has its login encrypted, as with SQL Server.
    Offered(Identity),
    /// Always; a client that cannot is refused.
    Required(Identity),
}

/// A token, and the SQL login that it stands for.
#[derive(Clone)]
pub struct AccessToken {
    pub token: String,
    pub user: String,
    pub password: String,
}

impl std::fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessToken").finish_non_exhaustive()
    }
}

/// A user of a Kerberos realm (`user@REALM`), and the SQL login that the user stands for.
#[derive(Clone)]
pub struct Principal {
    pub name: String,
    pub user: String,
    pub password: String,
    /// The answer to the user's ticket does not hold, as that of a server that the ticket is not for.
    pub has_false_proof: bool,
}

impl std::fmt::Debug for Principal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, .. } = self;
        f.debug_struct("Principal")
            .field("name", name)
            .finish_non_exhaustive()
    }
}

/// How the wire behaves.
#[derive(Debug, Clone)]
pub struct WireOptions {
    pub encryption: Encryption,
    /// A request or a bulk row above this is refused.
    pub request_bytes_max: usize,
    pub connections_max: usize,
    pub login_timeout: Duration,
    /// Refuse a parameter that is a NULL without a type (error 8009). SQL Server takes it, others do not.
    pub typed_nulls: bool,
    /// Logs in without a password, as Azure SQL does with tokens of Entra ID.
    pub access_token: Option<AccessToken>,
    /// Logs in with a ticket. The service's key is in the keytab that KRB5_KTNAME names.
    pub principal: Option<Principal>,
    pub faults: Faults,
}

impl Default for WireOptions {
    fn default() -> Self {
        Self {
            encryption: Encryption::Off,
            request_bytes_max: 64 << 20,
            connections_max: 512,
            login_timeout: Duration::from_secs(30),
            typed_nulls: false,
            access_token: None,
            principal: None,
            faults: Faults::default(),
        }
    }
}

/// Serves connections until `shutdown` is ready; then every connection is ended, its session closed, and its thread
/// waited for.
pub async fn serve(
    listener: TcpListener,
    server: Arc<dyn Server>,
    options: WireOptions,
    shutdown: impl Future<Output = ()> + Send,
) {
    let (stop, stopped) = watch::channel(false);
    let slots = Arc::new(Semaphore::new(options.connections_max));
    let shared = Arc::new(connection::Shared { server, options });
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((socket, peer)) => {
                    let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
                        tracing::warn!(%peer, "connection refused: there are too many");
                        continue;
                    };
                    let (shared, stopped) = (Arc::clone(&shared), stopped.clone());
                    connections.spawn(async move {
                        connection::run(socket, peer, shared, stopped).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    // Out of file descriptors, mostly: wait for some to come back.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
    drop(listener);
    if stop.send(true).is_err() {
        return;
    }
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_TIMEOUT, all_ended).await.is_err() {
        tracing::warn!("some sessions are still busy; they are abandoned");
    }
}
