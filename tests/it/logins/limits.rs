//! How long a login may take, how it is protected, and what is said of its settings when a server is away.

use super::{TABLE, TOKEN, gateway, run_with, tokened};
use crate::harness::{Server, World, server};
use icesync::mssql::channel::Channel;
use icesync::mssql::control::Control;
use icesync::mssql::error::MssqlError;
use icesync::mssql::settings::Connection;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// A port that leads to another one, each connection after a delay. It ends with the process.
fn delayed(to: u16, delay: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            std::thread::spawn(move || {
                std::thread::sleep(delay);
                relay(client, to)
            });
        }
    });
    port
}

fn relay(mut client: TcpStream, to: u16) -> io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", to))?;
    let (mut requests, mut to_server) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        let _ = io::copy(&mut requests, &mut to_server);
        to_server.shutdown(std::net::Shutdown::Write)
    });
    io::copy(&mut server, &mut client)?;
    client.shutdown(std::net::Shutdown::Both)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_made_within_twice_the_connect_timeout_or_not_at_all() {
    let Some((gateway, text)) = gateway("127.0.0.1", 1) else {
        return;
    };
    let port = gateway.addr.port();
    let slow = delayed(port, Duration::from_millis(800));
    let text = text.replace(&format!(",{port};"), &format!(",{slow};"));
    let text = format!("{text};Connect Timeout=2");
    let connection = Connection::parse(&text).expect("a connection string");
    assert_eq!(connection.port, Some(slow));
    // In a circle: each step is quick enough, all of them are not.
    gateway.faults.redirect_logins("127.0.0.1", slow, u32::MAX);
    for plane in ["control", "data"] {
        let clock = Instant::now();
        let error = match plane {
            "control" => Control::connect(&connection).await.err(),
            _ => Channel::connect(&connection).await.err(),
        };
        let error = error.expect("no session");
        assert!(matches!(error, MssqlError::Unreachable { .. }), "{error:?}");
        let seconds = clock.elapsed().as_secs_f64();
        assert!(
            (3.5..7.0).contains(&seconds),
            "{plane}: {seconds} s, {error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_not_worth_giving_up_protection() {
    let Some(server) = Server::with_token(TOKEN) else {
        return;
    };
    let text = tokened(server, "master", &format!("Access Token={TOKEN}"));
    let trusting = Connection::parse(&text).expect("a connection string");
    assert_eq!(trusting.warnings.len(), 1, "{:?}", trusting.warnings);
    let text = text.replace("TrustServerCertificate=true;", "");
    let connection = Connection::parse(&text).expect("a connection string");
    for error in [
        Control::connect(&connection).await.err(),
        Channel::connect(&connection).await.err(),
    ] {
        let error = error.expect("no session");
        assert!(matches!(error, MssqlError::Tls { .. }), "{error:?}");
        let said = error.to_string();
        assert!(said.contains("HostNameInCertificate"), "{said}");
        assert!(!said.contains("Encrypt=false") && !said.contains("TrustServerCertificate=true"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_without_effect_are_reported_when_a_server_is_away() {
    let world = World::new(TABLE).await;
    world.config("  - source: dbo.t\n");
    world.run(&["--json", "sync"]).json();
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("an address").port();
    drop(free);
    let away = format!("Server=127.0.0.1,{port};User ID=u;Password=p;Database=d;Max Pool Size=3");
    let there = format!("{};Max Pool Size=3", server().connection(&world.target_db));
    for (args, target, code) in [
        (&["--json", "plan"][..], &away, 75),
        (&["--json", "status"], &away, 75),
        (&["--json", "state", "show"], &away, 1),
        (&["--json", "state", "show"], &there, 0),
        (
            &["--json", "state", "forget", "--target", "dbo.t", "--yes"],
            &there,
            0,
        ),
    ] {
        let variables = [("ICESYNC_TARGET", target.as_str())];
        let run = run_with(&world, args, &variables);
        assert_eq!(run.code, code, "{args:?}: {run:#?}");
        let document = run.json_any();
        let warnings = document["connection_warnings"].as_array();
        let warnings = warnings.unwrap_or_else(|| panic!("{args:?}: {run:#?}"));
        assert_eq!(warnings.len(), 1, "{args:?}: {document:#}");
        let said = warnings[0].as_str().unwrap_or_default();
        assert!(said.starts_with("target.connection: "), "{said}");
    }
}
