//! The way to a server: its addresses, and the servers that it sends a login on to.

use crate::mssql::error::MssqlError;
use crate::mssql::settings::Connection;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::future::Future;
use std::io;
use std::time::Duration;
use tiberius::{Config, SqlBrowser};
use tokio::net::{TcpStream, lookup_host};

/// Probes of an idle connection, so that a server that vanished during a long statement is noticed.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// SQL Server gives a listener no more addresses than this.
const ADDRESSES_MAX: usize = 64;

/// A server on the way to the one that takes the login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hop {
    pub host: String,
    /// None: that of the instance.
    pub port: Option<u16>,
    pub instance: Option<String>,
    /// Another server has named it.
    is_redirect: bool,
}

impl Hop {
    /// The server that the connection names.
    pub(super) fn first(connection: &Connection) -> Self {
        Self {
            host: connection.host.clone(),
            port: connection.known_port(),
            instance: connection.instance.clone(),
            is_redirect: false,
        }
    }

    /// The server that another has named, as `host` or `host\instance`. The port is that of the instance already.
    pub(super) fn redirected(name: &str, port: u16) -> Self {
        let (host, instance) = match name.split_once('\\') {
            Some((host, instance)) => (host, Some(instance.to_owned())),
            None => (name, None),
        };
        Self {
            host: host.to_owned(),
            port: Some(port),
            instance: instance.filter(|instance| !instance.is_empty()),
            is_redirect: true,
        }
    }

    /// The name that the server is called at the login.
    pub(super) fn login_name(&self) -> String {
        match (&self.instance, self.is_redirect) {
            (Some(instance), true) => format!("{}\\{instance}", self.host),
            (_, _) => self.host.clone(),
        }
    }

    /// For messages.
    pub(super) fn described(&self, connection: &Connection) -> String {
        match (self.is_redirect, self.port) {
            (true, Some(port)) => {
                let (first, host) = (connection.server(), &self.host);
                format!("{host}:{port} (to which {first} redirects)")
            }
            (_, _) => connection.server(),
        }
    }
}

/// Connects to a server. With `MultiSubnetFailover` its addresses are dialled at once, otherwise one after the other.
pub(super) async fn dial(
    connection: &Connection,
    hop: &Hop,
    config: &Config,
) -> Result<TcpStream, MssqlError> {
    let unreachable = |reason: String| MssqlError::unreachable(hop.described(connection), reason);
    let connecting = async {
        match hop.port {
            Some(port) => to_address(&hop.host, port, connection.multi_subnet_failover)
                .await
                .map_err(|error| error.to_string()),
            None => TcpStream::connect_named(config).await.map_err(|error| {
                format!("{error} (is the SQL Server Browser running? Server=host,port needs none)")
            }),
        }
    };
    let stream = tokio::time::timeout(connection.connect_timeout, connecting)
        .await
        .map_err(|_elapsed| {
            unreachable(format!(
                "no answer within {} s",
                connection.connect_timeout.as_secs()
            ))
        })?
        .map_err(unreachable)?;
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE);
    let options = stream
        .set_nodelay(true)
        .and_then(|()| socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive));
    match options {
        Ok(()) => Ok(stream),
        Err(error) => Err(unreachable(error.to_string())),
    }
}

async fn to_address(host: &str, port: u16, at_once: bool) -> io::Result<TcpStream> {
    if !at_once {
        return TcpStream::connect((host, port)).await;
    }
    let addresses = lookup_host((host, port)).await?.take(ADDRESSES_MAX);
    first(addresses.map(TcpStream::connect)).await
}

/// The first of some attempts that succeeds; the others are given up. When none does, the error of the last.
async fn first<T>(
    attempts: impl Iterator<Item = impl Future<Output = io::Result<T>>>,
) -> io::Result<T> {
    let mut attempts: FuturesUnordered<_> = attempts.collect();
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    while let Some(outcome) = attempts.next().await {
        match outcome {
            Ok(connected) => return Ok(connected),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn an_address_that_answers_does_not_wait_for_one_that_is_silent() {
        let silent = || std::future::pending::<io::Result<u8>>().boxed();
        let refused = || async { Err(io::Error::other("refused")) }.boxed();
        let answers = || async { Ok(7) }.boxed();
        let won = first([silent(), refused(), answers(), silent()].into_iter()).await;
        assert_eq!(won.unwrap(), 7);
        let lost = first([refused(), refused()].into_iter()).await.unwrap_err();
        assert_eq!(lost.to_string(), "refused");
        let none = first(std::iter::empty::<
            futures::future::BoxFuture<'_, io::Result<u8>>,
        >());
        assert!(none.await.unwrap_err().to_string().contains("no address"));
    }

    #[tokio::test]
    async fn both_ways_of_dialling_reach_a_host_of_several_addresses() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for at_once in [false, true] {
            let stream = to_address("localhost", port, at_once).await.unwrap();
            assert_eq!(stream.peer_addr().unwrap().port(), port);
        }
    }

    #[test]
    fn a_redirect_names_a_host_and_perhaps_an_instance() {
        let connection = Connection::parse(r"Server=first\one;UID=u;PWD=p").unwrap();
        let hop = Hop::first(&connection);
        assert_eq!((hop.port, hop.login_name().as_str()), (None, "first"));
        assert_eq!(hop.described(&connection), r"first\one");
        let hop = Hop::redirected(r"db7.example.com\two", 11_000);
        assert_eq!(hop.host, "db7.example.com");
        assert_eq!(hop.port, Some(11_000));
        assert_eq!(hop.login_name(), r"db7.example.com\two");
        let described = hop.described(&connection);
        assert_eq!(
            described,
            r"db7.example.com:11000 (to which first\one redirects)"
        );
        let plain = Hop::redirected("db8", 1);
        assert_eq!((plain.login_name().as_str(), plain.instance), ("db8", None));
    }
}
