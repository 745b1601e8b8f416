//! Broken clients, faults, encryption.

use super::peers::*;
use crate::tds::login::tests::login7;
use crate::tds::tls::HandshakeStream;
use crate::tds::{Encryption, Fault, Identity, WireOptions};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn broken_clients_and_a_panicking_session_cost_their_own_connection_only() {
    let options = WireOptions {
        request_bytes_max: 100_000,
        ..WireOptions::default()
    };
    let server = start(options).await;
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0x16, 3, 1, 0, 200, 1, 0, 0],
        &[0x12, 1, 0, 9, 0, 0, 1, 0, 1],
        &[0x10, 1, 0, 12, 0, 0, 1, 0, 255, 255, 255, 255],
    ] {
        let mut socket = TcpStream::connect(server.addr).await.unwrap();
        socket.write_all(bytes).await.unwrap();
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest).await;
        assert!(rest.is_empty());
    }
    let mut client = server.login().await;
    assert_eq!(error_number(&client.ask(&"x".repeat(60_000)).await), 701);
    client.send(1, &[1, 0, 0]).await;
    assert_eq!(error_number(&client.message().await.unwrap()), 4002);
    assert!(
        client
            .ask("liar")
            .await
            .windows(5)
            .any(|w| w[..1] == [0xAA] && w[3..5] == [0x99, 0x21])
    );
    client.batch("panic").await;
    assert_eq!(client.message().await, None);
    let mut other = server.login().await;
    assert_eq!(last_done(&other.ask("rows 1").await), (0x10, 1));
    server.stop().await;
}

/// Repeatable noise: xorshift64.
struct Noise(u64);

impl Noise {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    /// `data` with some bytes changed, cut out or put in.
    fn spoil(&mut self, data: &[u8]) -> Vec<u8> {
        let mut spoilt = data.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(spoilt.len().max(1));
            match self.below(4) {
                0 => spoilt.truncate(at),
                1 => spoilt.insert(at.min(spoilt.len()), self.below(256) as u8),
                _ if spoilt.is_empty() => {}
                2 => spoilt[at] = self.below(256) as u8,
                _ => spoilt[at] = [0, 1, 0x7F, 0x80, 0xFE, 0xFF][self.below(6)],
            }
        }
        spoilt
    }
}

#[tokio::test]
async fn spoilt_messages_never_stop_the_server() {
    let server = start(WireOptions {
        request_bytes_max: 1 << 20,
        ..WireOptions::default()
    })
    .await;
    let call = rpc(
        10,
        &[
            text_param("", "x"),
            text_param("", "@a int"),
            int_param(1, Some(5)),
        ]
        .concat(),
    );
    let bulk = [
        bulk_columns(),
        bulk_row(1, 50),
        bulk_row(2, 50),
        vec![0xFD; 13],
    ]
    .concat();
    let messages: [(u8, Vec<u8>); 5] = [
        (0x10, login7("sa", "secret", "db", &[(10, &[1, 2])])),
        (1, with_headers(&utf16("rows 1"))),
        (3, call),
        (7, bulk),
        (0x0E, with_headers(&[5, 0, 2, 4, b'a', 0, b'b', 0])),
    ];
    let mut noise = Noise(0x9E37_79B9_7F4A_7C15);
    let mut client = server.login().await;
    for round in 0..3000 {
        let (kind, whole) = &messages[round % messages.len()];
        let spoilt = noise.spoil(whole);
        if *kind == 0x10 {
            let mut stranger = Client::new(TcpStream::connect(server.addr).await.unwrap());
            stranger.packet(*kind, 1, &spoilt).await;
            stranger.message().await;
            continue;
        }
        if *kind == 7 {
            client.ask("INSERT BULK t").await;
        }
        client.packet(*kind, 1, &spoilt).await;
        // Whatever it meant, it is answered, and the next request too.
        let answered = tokio::time::timeout(Duration::from_secs(5), client.message()).await;
        assert!(
            answered.is_ok(),
            "round {round}: no answer to {spoilt:02X?}"
        );
        if answered.unwrap().is_none() {
            client = server.login().await;
        }
    }
    let mut after = server.login().await;
    assert_eq!(last_done(&after.ask("rows 1").await), (0x10, 1));
    server.stop().await;
}

#[tokio::test]
async fn faults_lose_requests_and_replies_as_told() {
    let options = WireOptions::default();
    let server = start(options).await;
    let faults = server.options.faults.clone();
    faults.arm(Fault::DropBefore, "rows 1", 1);
    faults.arm(Fault::DropAfter, "rows 2", 1);
    faults.arm(Fault::Garbage, "rows 3", 1);
    faults.arm(Fault::Error(problem(1205, "deadlock")), "rows 4", 1);
    faults.arm(Fault::Delay(Duration::from_millis(60)), "rows 5", 1);
    for sql in ["rows 1", "rows 2", "rows 3"] {
        let mut client = server.login().await;
        client.batch(sql).await;
        let answer = client.message().await;
        assert!(answer.is_none_or(|bytes| bytes.starts_with(b"this is not TDS")));
    }
    let mut client = server.login().await;
    assert_eq!(error_number(&client.ask("rows 4").await), 1205);
    let began = std::time::Instant::now();
    assert_eq!(last_done(&client.ask("rows 5").await), (0x10, 5));
    assert!(began.elapsed() >= Duration::from_millis(60));
    assert_eq!(last_done(&client.ask("rows 1").await), (0x10, 1));
    faults.drop_after_packets(3);
    client.batch("rows 100000").await;
    assert_eq!(client.message().await, None);
    faults.refuse_logins(problem(18456, "not now"), 1);
    let mut refused = Client::new(TcpStream::connect(server.addr).await.unwrap());
    refused.send(0x10, &login7("sa", "secret", "db", &[])).await;
    assert_eq!(error_number(&refused.message().await.unwrap()), 18456);
    assert_eq!(faults.fired(), 7);
    let log = server.stop().await;
    let executed = log.executed.lock().unwrap();
    assert!(executed.contains(&"rows 2".to_owned()));
    assert!(!executed.contains(&"rows 3".to_owned()));
}

#[tokio::test]
async fn encryption_is_negotiated_as_the_protocol_tabulates() {
    let identity = Identity::self_signed().unwrap();
    let off = start(WireOptions::default()).await;
    let offered = start(WireOptions {
        encryption: Encryption::Offered(identity.clone()),
        ..WireOptions::default()
    })
    .await;
    let required = start(WireOptions {
        encryption: Encryption::Required(identity),
        ..WireOptions::default()
    })
    .await;
    // Asked (login only, on, not supported, required) and answered.
    for (server, asked, answered) in [
        (&off, 0, 2),
        (&off, 1, 2),
        (&offered, 0, 0),
        (&offered, 1, 1),
        (&offered, 2, 2),
        (&offered, 3, 1),
        (&required, 0, 3),
        (&required, 1, 1),
        (&required, 2, 3),
    ] {
        let mut client = Client::new(TcpStream::connect(server.addr).await.unwrap());
        client.packet(0x12, 1, &[1, 0, 6, 0, 1, 0xFF, asked]).await;
        let prelogin = client.message().await.unwrap();
        assert_eq!(prelogin[prelogin.len() - 3], answered, "asked {asked}");
    }
    let mut bare = Client::new(TcpStream::connect(required.addr).await.unwrap());
    bare.send(0x10, &login7("sa", "secret", "db", &[])).await;
    assert_eq!(bare.message().await, None);
    for server in [off, offered, required] {
        server.stop().await;
    }
}

/// The client's side of the handshake, trusting the server's certificate and no other.
async fn tls<S: AsyncRead + AsyncWrite + Unpin>(
    socket: S,
    identity: &Identity,
) -> tokio_openssl::SslStream<S> {
    use openssl::ssl::{SslConnector, SslMethod};
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    let certificate = openssl::x509::X509::from_pem(identity.certificate_pem()).unwrap();
    connector.cert_store_mut().add_cert(certificate).unwrap();
    let configuration = connector.build().configure().unwrap();
    let ssl = configuration.into_ssl("localhost").unwrap();
    let mut stream = tokio_openssl::SslStream::new(ssl, socket).unwrap();
    std::pin::Pin::new(&mut stream).connect().await.unwrap();
    stream
}

#[tokio::test]
async fn all_of_a_connection_or_its_login_alone_is_encrypted() {
    let identity = Identity::self_signed().unwrap();
    let server = start(WireOptions {
        encryption: Encryption::Offered(identity.clone()),
        ..WireOptions::default()
    })
    .await;
    for asked in [0, 1] {
        let mut client = Client::new(TcpStream::connect(server.addr).await.unwrap());
        client.packet(0x12, 1, &[1, 0, 6, 0, 1, 0xFF, asked]).await;
        client.message().await.unwrap();
        let mut wrapped = HandshakeStream::new(client.0);
        let login = login7("sa", "secret", "db", &[]);
        if asked == 1 {
            let mut client = Client::new(tls(wrapped, &identity).await);
            client.0.get_mut().end_handshake();
            client.send(0x10, &login).await;
            assert!(client.message().await.unwrap().contains(&0xAD));
            let answer = client.ask("rows 50000").await;
            assert_eq!(last_done(&answer), (0x10, 50_000));
        } else {
            let mut client = Client::new(tls(&mut wrapped, &identity).await);
            client.0.get_mut().end_handshake();
            client.send(0x10, &login).await;
            drop(client);
            let mut client = Client::new(wrapped.into_socket());
            assert!(client.message().await.unwrap().contains(&0xAD));
            assert_eq!(last_done(&client.ask("rows 5").await), (0x10, 5));
        }
    }
    server.stop().await;
}
