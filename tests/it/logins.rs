//! Networks and logins: settings without effect, redirects, named instances, and tokens of Entra ID from a token
//! endpoint that is made here. No test talks to Entra ID.

mod endpoint;
mod limits;
mod search;

use crate::harness::{PASSWORD, Run, Server, World, finish, rows, server};
use endpoint::{Endpoint, Request};
use icesync::error::Disposition;
use icesync::mssql::channel::Channel;
use icesync::mssql::control::Control;
use icesync::mssql::error::MssqlError;
use icesync::mssql::settings::Connection;
use icesync_sandbox::{Sandbox, SandboxOptions};
use std::fs;
use std::net::UdpSocket;

const TABLE: &str = "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, v nvarchar(20))
GO
INSERT dbo.t VALUES (1, N'a'), (2, N'b')";
const TOKEN: &str = "eyJ0.tok-en_1.c2ln";
const SECRET: &str = "s3cret&+%=";

/// Runs a command with other connections and variables.
fn run_with(world: &World, args: &[&str], variables: &[(&str, &str)]) -> Run {
    let mut command = world.command(args);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AZURE_")) {
        command.env_remove(name);
    }
    command.env_remove("IDENTITY_ENDPOINT");
    command.envs(variables.iter().copied());
    finish(command.spawn().expect("icesync starts"))
}

#[track_caller]
fn hides(run: &Run, hidden: &[&str]) {
    let all = format!("{}{}", run.stdout, run.stderr);
    for text in hidden {
        assert!(!all.contains(text), "{text} is printed: {run:#?}");
    }
    assert!(!all.contains("panicked"), "{run:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_without_effect_is_said_once_by_every_command() {
    let world = World::new(TABLE).await;
    world.config("  - source: dbo.t\n");
    let source = format!("{};Packet Size=8000", server().connection(&world.source_db));
    let target = format!("{};Max Pool Size=3", server().connection(&world.target_db));
    let variables = [
        ("ICESYNC_SOURCE", source.as_str()),
        ("ICESYNC_TARGET", target.as_str()),
    ];
    for args in [
        &["--json", "sync"][..],
        &["--json", "plan"],
        &["--json", "status"],
        &["sync"],
        &["snapshots"],
        &["maintain"],
        &["state", "show"],
        &["state", "verify"],
        &["quarantine", "list"],
    ] {
        let run = run_with(&world, args, &variables);
        assert_eq!(run.code, 0, "{args:?}: {run:#?}");
        for warning in [
            "icesync: warning: source.connection: the connection setting `Packet Size` has no effect",
            "icesync: warning: target.connection: the connection setting `Max Pool Size` has no effect",
        ] {
            assert_eq!(run.stderr.matches(warning).count(), 1, "{args:?}: {run:#?}");
        }
        let reported = match args[0] {
            "--json" => run.json()["connection_warnings"]
                .as_array()
                .map_or(0, Vec::len),
            _ => run.stdout.matches("has no effect").count() + 2,
        };
        assert_eq!(reported, 2, "{args:?}: {run:#?}");
    }
}

/// A gateway that sends logins on to the tests' stand-in, and its connection string; none over a real server.
fn gateway(host: &str, times: u32) -> Option<(Sandbox, String)> {
    let Some(port) = server().port() else {
        eprintln!("SKIPPED: a real server does not redirect");
        return None;
    };
    let gateway = Sandbox::start(SandboxOptions::default()).expect("the gateway starts");
    gateway.faults.redirect_logins(host, port, times);
    let text = format!(
        "Server=tcp:127.0.0.1,{};User ID=sa;Password=\"{}\";Encrypt=false",
        gateway.addr.port(),
        PASSWORD.replace('"', "\"\"")
    );
    Some((gateway, text))
}

#[tokio::test(flavor = "multi_thread")]
async fn both_planes_follow_a_redirect() {
    for host in ["127.0.0.1", r"127.0.0.1\one"] {
        let Some((gateway, text)) = gateway(host, 2) else {
            return;
        };
        // The gateway's own login would refuse this password.
        let connection = Connection::parse(&text).expect("a connection string");
        let mut control = Control::connect(&connection).await.expect("redirected");
        assert_eq!(rows(&mut control, "SELECT 1 AS one").await, [["Int(1)"]]);
        assert_eq!(gateway.faults.fired(), 1, "{host}");
        let mut channel = Channel::connect(&connection).await.expect("redirected");
        channel.run("SELECT 1").await.expect("a session");
        assert_eq!(gateway.faults.fired(), 2, "{host}");
        channel.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_replicated_through_a_gateway() {
    let Some((gateway, text)) = gateway("127.0.0.1", u32::MAX) else {
        return;
    };
    let mut world = World::new(TABLE).await;
    world.config("  - source: dbo.t\n");
    let source = format!("{text};Database={}", world.source_db);
    let target = format!("{text};Database={}", world.target_db);
    let variables = [
        ("ICESYNC_SOURCE", source.as_str()),
        ("ICESYNC_TARGET", target.as_str()),
    ];
    run_with(&world, &["--json", "sync"], &variables).json();
    assert!(gateway.faults.fired() >= 4, "two planes, two sides");
    let loaded = world.target_rows("SELECT COUNT(*) FROM dbo.t").await;
    assert_eq!(loaded, [["Int(2)"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_that_leads_nowhere_or_in_a_circle_ends() {
    let Some((gateway, text)) = gateway("127.0.0.1", 1) else {
        return;
    };
    let connection = Connection::parse(&text).expect("a connection string");
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let nowhere = free.local_addr().expect("an address").port();
    drop(free);
    for (port, says) in [
        (
            nowhere,
            format!(
                "127.0.0.1:{nowhere} (to which 127.0.0.1:{} redirects)",
                gateway.addr.port()
            ),
        ),
        (
            gateway.addr.port(),
            "redirected more than 10 times".to_owned(),
        ),
    ] {
        gateway.faults.redirect_logins("127.0.0.1", port, u32::MAX);
        let error = Control::connect(&connection)
            .await
            .err()
            .expect("no session");
        assert!(matches!(error, MssqlError::Unreachable { .. }), "{error:?}");
        assert!(error.to_string().contains(&says), "{error}");
        let error = Channel::connect(&connection)
            .await
            .err()
            .expect("no session");
        assert!(matches!(error, MssqlError::Unreachable { .. }), "{error:?}");
        assert!(!error.to_string().contains(PASSWORD), "{error}");
    }
    assert!(
        gateway.faults.fired() >= 2 * 11,
        "{}",
        gateway.faults.fired()
    );
}

/// Answers as the SQL Server Browser that the instance ONE listens on a port. It ends with the process.
fn browser(port: u16) -> std::io::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:1434")?;
    std::thread::spawn(move || {
        let mut asked = [0; 1024];
        while let Ok((length, from)) = socket.recv_from(&mut asked) {
            let name = asked[1..length]
                .split(|byte| *byte == 0)
                .next()
                .unwrap_or_default();
            if asked[0] != 4 || !name.eq_ignore_ascii_case(b"ONE") {
                continue;
            }
            let found = format!(
                "ServerName;HERE;InstanceName;ONE;IsClustered;No;Version;16.0.4150.1;tcp;{port};;"
            );
            let mut answer = vec![5];
            answer.extend((found.len() as u16).to_le_bytes());
            answer.extend(found.as_bytes());
            let _ = socket.send_to(&answer, from);
        }
    });
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_instance_is_found_by_both_planes() {
    let Some(port) = server().port() else {
        eprintln!("SKIPPED: the real server is not a named instance");
        return;
    };
    if let Err(error) = browser(port) {
        eprintln!("SKIPPED: UDP port 1434 of this machine cannot be used: {error}");
        return;
    }
    let direct = server().connection("master");
    let named = direct.replace(&format!("127.0.0.1,{port}"), r"127.0.0.1\ONE");
    let connection = Connection::parse(&named).expect("a connection string");
    assert_eq!(connection.server(), r"127.0.0.1\ONE");
    let mut control = Control::connect(&connection).await.expect("found");
    assert_eq!(rows(&mut control, "SELECT 1 AS one").await, [["Int(1)"]]);
    let mut channel = Channel::connect(&connection).await.expect("found");
    channel.run("SELECT 1").await.expect("a session");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_addresses_of_a_host_are_dialled_by_both_planes() {
    let Some(port) = server().port() else {
        eprintln!("SKIPPED: the real server's host may have one address");
        return;
    };
    // `localhost` is ::1 as well on most machines, and the stand-in does not listen there.
    let direct = server().connection("master");
    let text = direct.replace("tcp:127.0.0.1", "localhost") + ";MultiSubnetFailover=true";
    let connection = Connection::parse(&text).expect("a connection string");
    assert_eq!(
        (connection.host.as_str(), connection.port),
        ("localhost", Some(port))
    );
    Control::connect(&connection)
        .await
        .expect("connected")
        .close()
        .await;
    Channel::connect(&connection)
        .await
        .expect("connected")
        .close()
        .await;
}

/// A connection to a server that takes tokens, without its login.
fn tokened(server: &Server, database: &str, login: &str) -> String {
    let port = server.port().expect("the stand-in's");
    format!(
        "Server=tcp:127.0.0.1,{port};Database={database};Encrypt=true;TrustServerCertificate=true;{login}"
    )
}

fn principal(endpoint: &Endpoint) -> String {
    format!(
        "Authentication=Active Directory Service Principal;User ID=app-1;Password=\"{SECRET}\";Tenant ID=tenant-1;\
         Authority Host={}",
        endpoint.url()
    )
}

fn answer(token: &str) -> (u16, String) {
    let body =
        serde_json::json!({ "access_token": token, "expires_in": 3599, "token_type": "Bearer" });
    (200, body.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_replicated_by_a_token_on_both_planes() {
    let Some(server) = Server::with_token(TOKEN) else {
        return;
    };
    let endpoint = Endpoint::start(|_, _| answer(TOKEN));
    let mut world = World::on(server, TABLE).await;
    world.config("  - source: dbo.t\n");
    let source = tokened(server, &world.source_db, &principal(&endpoint));
    let target = tokened(server, &world.target_db, &principal(&endpoint));
    let variables = [
        ("ICESYNC_SOURCE", source.as_str()),
        ("ICESYNC_TARGET", target.as_str()),
    ];
    let run = run_with(&world, &["--json", "sync"], &variables);
    run.json();
    hides(&run, &[SECRET, TOKEN]);
    let loaded = world.target_rows("SELECT COUNT(*) FROM dbo.t").await;
    assert_eq!(loaded, [["Int(2)"]]);
    // One token for both sides and both planes.
    let seen = endpoint.seen();
    assert_eq!(seen.len(), 1, "{seen:#?}");
    assert_eq!(seen[0].line, "POST /tenant-1/oauth2/v2.0/token HTTP/1.1");
    for (name, value) in [
        ("grant_type", "client_credentials"),
        ("client_id", "app-1"),
        ("client_secret", SECRET),
        ("scope", "https://database.windows.net/.default"),
    ] {
        assert_eq!(seen[0].field(name).as_deref(), Some(value), "{seen:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_refuses_is_told_in_codes() {
    let Some(server) = Server::with_token(TOKEN) else {
        return;
    };
    let world = World::on(server, TABLE).await;
    world.config("  - source: dbo.t\n");
    for (status, code, says) in [
        (
            401,
            "AADSTS7000215",
            "answered 401 invalid_client AADSTS7000215; the secret is wrong",
        ),
        (
            400,
            "AADSTS700016",
            "AADSTS700016; the application is unknown in this tenant",
        ),
    ] {
        let endpoint = Endpoint::start(move |request, _| {
            let secret = request.field("client_secret").unwrap_or_default();
            let description = format!("{code}: no {secret} {}", request.body);
            let body =
                serde_json::json!({ "error": "invalid_client", "error_description": description });
            (status, body.to_string())
        });
        let target = tokened(server, &world.target_db, &principal(&endpoint));
        for args in [&["load"][..], &["--json", "load"], &["status"]] {
            let run = run_with(&world, args, &[("ICESYNC_TARGET", target.as_str())]);
            assert_ne!(run.code, 0, "{run:#?}");
            let all = format!("{}{}", run.stdout, run.stderr);
            let what = format!(
                "no access token to log in to 127.0.0.1:{}",
                server.port().unwrap_or_default()
            );
            assert!(all.contains(&what) && all.contains(says), "{run:#?}");
            hides(&run, &[SECRET, "s3cret", "client_secret"]);
        }
        // Asking again does not help.
        assert_eq!(endpoint.seen().len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_endpoint_is_asked_again() {
    let Some(server) = Server::with_token(TOKEN) else {
        return;
    };
    let endpoint = Endpoint::start(|_, before| match before {
        0 => (429, "{}".to_owned()),
        1 => (503, "<html>".to_owned()),
        _ => answer(TOKEN),
    });
    let connection = Connection::parse(&tokened(server, "master", &principal(&endpoint)));
    let connection = connection.expect("a connection string");
    Control::connect(&connection)
        .await
        .expect("a session")
        .close()
        .await;
    assert_eq!(endpoint.seen().len(), 3);
    // The data plane uses the same token.
    Channel::connect(&connection)
        .await
        .expect("a session")
        .close()
        .await;
    assert_eq!(endpoint.seen().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_stays_busy_is_transient() {
    let endpoint = Endpoint::start(|_, _| (503, "{}".to_owned()));
    let text = format!("Server=127.0.0.1,1;{}", principal(&endpoint));
    let connection = Connection::parse(&text).expect("a connection string");
    let error = Control::connect(&connection).await.err().expect("no token");
    assert_eq!(error.disposition(), Disposition::Transient, "{error}");
    assert_eq!(endpoint.seen().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_asked_for_again() {
    let Some(server) = Server::with_token(TOKEN) else {
        return;
    };
    let endpoint = Endpoint::start(|_, before| match before {
        0 | 2 => answer("an.old.one"),
        _ => answer(TOKEN),
    });
    let connection = Connection::parse(&tokened(server, "master", &principal(&endpoint)));
    let connection = connection.expect("a connection string");
    let refused = Control::connect(&connection)
        .await
        .err()
        .expect("no session");
    assert!(matches!(refused, MssqlError::Login { .. }), "{refused:?}");
    assert!(!refused.to_string().contains("an.old.one"), "{refused}");
    Control::connect(&connection)
        .await
        .expect("a session")
        .close()
        .await;
    // The same of the data plane, with another login so that no token is known.
    let other = tokened(
        server,
        "master",
        &principal(&endpoint).replace("app-1", "app-2"),
    );
    let connection = Connection::parse(&other).expect("a connection string");
    let refused = Channel::connect(&connection)
        .await
        .err()
        .expect("no session");
    assert!(matches!(refused, MssqlError::Login { .. }), "{refused:?}");
    Channel::connect(&connection)
        .await
        .expect("a session")
        .close()
        .await;
    assert_eq!(endpoint.seen().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_proves_who_asks() {
    let Some(server) = Server::with_token(TOKEN) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let (key, certificate) = endpoint::certificate();
    let pem = folder.path().join("app.pem");
    let protected = key
        .private_key_to_pem_pkcs8_passphrase(openssl::symm::Cipher::aes_256_cbc(), b"of the file")
        .expect("PEM");
    let text = [certificate.to_pem().expect("PEM"), protected].concat();
    fs::write(&pem, text).expect("written");
    let pfx = folder.path().join("app.pfx");
    let mut builder = openssl::pkcs12::Pkcs12::builder();
    builder.name("app").pkey(&key).cert(&certificate);
    let bundle = builder.build2("of the file").expect("PKCS#12");
    fs::write(&pfx, bundle.to_der().expect("DER")).expect("written");
    let public = certificate.public_key().expect("a key");
    for (file, password, works) in [
        (&pem, "of the file", true),
        (&pfx, "of the file", true),
        (&pem, "wrong", false),
    ] {
        let endpoint = Endpoint::start({
            let public = public.clone();
            move |request, _| {
                let assertion = request.field("client_assertion").unwrap_or_default();
                let claims = endpoint::verified(&assertion, &public);
                let claims = claims.unwrap_or_default();
                let audience = format!(
                    "http://127.0.0.1:{}/tenant-1/oauth2/v2.0/token",
                    request.port
                );
                let is_good = claims["aud"] == audience
                    && claims["iss"] == "app-1"
                    && claims["sub"] == "app-1";
                match is_good && request.field("client_secret").is_none() {
                    true => answer(TOKEN),
                    false => (401, "{}".to_owned()),
                }
            }
        });
        let login = format!(
            "Authentication=ActiveDirectoryServicePrincipal;User ID=app-1;Tenant ID=tenant-1;Authority Host={};\
             Client Certificate={};Password={password}",
            endpoint.url(),
            file.display()
        );
        let connection =
            Connection::parse(&tokened(server, "master", &login)).expect("a connection string");
        let connected = Control::connect(&connection).await;
        assert_eq!(
            endpoint.seen().len(),
            usize::from(works),
            "{}",
            file.display()
        );
        match connected {
            Ok(control) if works => control.close().await,
            Err(error) if !works => {
                let error = error.to_string();
                assert!(
                    error.contains("app.pem") && error.contains("Password"),
                    "{error}"
                );
            }
            other => panic!("{}: {:?}", file.display(), other.err()),
        }
    }
}

/// What `status` says with a login of the target.
fn status(server: &Server, world: &World, login: &str, variables: &[(&str, &str)]) -> Run {
    let target = tokened(server, &world.target_db, login);
    let mut all = vec![("ICESYNC_TARGET", target.as_str())];
    all.extend_from_slice(variables);
    run_with(world, &["status"], &all)
}

fn has_query(request: &Request, pairs: &[(&str, &str)]) -> bool {
    let target = request.line.split(' ').nth(1).unwrap_or_default();
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let found: Vec<_> = url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    let has = |(name, value): &(&str, &str)| found.iter().any(|(n, v)| n == name && v == value);
    pairs.iter().all(has)
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_and_clusters_have_identities() {
    let Some(server) = Server::with_token(TOKEN) else {
        return;
    };
    let world = World::on(server, TABLE).await;
    world.config("  - source: dbo.t\n");
    let resource = ("resource", "https://database.windows.net/");
    let service = Endpoint::start(move |request, _| {
        let asks = has_query(
            request,
            &[
                resource,
                ("api-version", "2019-08-01"),
                ("client_id", "mine"),
            ],
        );
        match asks && request.header("x-identity-header").as_deref() == Some("the-header") {
            true => answer(TOKEN),
            false => (400, "{}".to_owned()),
        }
    });
    let metadata = Endpoint::start(move |request, _| {
        let is_path = request
            .line
            .starts_with("GET /metadata/identity/oauth2/token?");
        let asks = has_query(request, &[resource, ("api-version", "2018-02-01")]);
        match is_path && asks && request.header("metadata").as_deref() == Some("true") {
            true => answer(TOKEN),
            false => (400, "{}".to_owned()),
        }
    });
    let tenant = Endpoint::start(
        |request, _| match request.field("client_assertion").as_deref() {
            Some("of-the-cluster") => answer(TOKEN),
            _ => (401, "{}".to_owned()),
        },
    );
    let file = world.path("federated");
    fs::write(&file, "of-the-cluster\n").expect("written");
    let file = file.to_string_lossy().into_owned();
    let app_service = [
        ("IDENTITY_ENDPOINT", service.url()),
        ("IDENTITY_HEADER", "the-header".into()),
    ];
    let machine = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", metadata.url())];
    let cluster = [
        ("AZURE_FEDERATED_TOKEN_FILE", file.clone()),
        ("AZURE_CLIENT_ID", "app-1".into()),
        ("AZURE_TENANT_ID", "tenant-1".into()),
        ("AZURE_AUTHORITY_HOST", tenant.url() + "/"),
    ];
    for (login, variables) in [
        (
            "Authentication=ActiveDirectoryManagedIdentity;User ID=mine",
            &app_service[..],
        ),
        ("Authentication=Active Directory MSI", &machine[..]),
        (
            "Authentication=ActiveDirectoryWorkloadIdentity",
            &cluster[..],
        ),
        ("Authentication=ActiveDirectoryDefault", &cluster[..]),
        ("Authentication=ActiveDirectoryDefault", &machine[..]),
    ] {
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let run = status(server, &world, login, &variables);
        assert_eq!(run.code, 0, "{login}: {run:#?}");
        hides(&run, &[TOKEN, "the-header", "of-the-cluster"]);
    }
    assert_eq!(service.seen().len(), 1);
    assert_eq!(metadata.seen().len(), 2);
    assert_eq!(tenant.seen().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_found_and_fails_is_not_passed_over() {
    let Some(server) = Server::with_token(TOKEN) else {
        return;
    };
    let world = World::on(server, TABLE).await;
    world.config("  - source: dbo.t\n");
    let tenant = Endpoint::start(|_, _| (401, "{}".to_owned()));
    let metadata = Endpoint::start(|_, _| answer(TOKEN));
    let (authority, host) = (tenant.url(), metadata.url());
    let environment = [
        ("AZURE_CLIENT_ID", "app-1"),
        ("AZURE_TENANT_ID", "tenant-1"),
        ("AZURE_CLIENT_SECRET", SECRET),
        ("AZURE_AUTHORITY_HOST", authority.as_str()),
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", host.as_str()),
    ];
    let run = status(
        server,
        &world,
        "Authentication=ActiveDirectoryDefault",
        &environment,
    );
    run.fails_with(1, &["answered 401"]);
    hides(&run, &[SECRET]);
    assert_eq!(metadata.seen().len(), 0);

    // Nothing there: every way is named.
    let nowhere = nowhere();
    let none = [
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", nowhere.as_str()),
        ("PATH", "/nowhere"),
    ];
    let run = status(
        server,
        &world,
        "Authentication=ActiveDirectoryDefault",
        &none,
    );
    let managed = format!(
        "managed identity: the metadata service of this machine at {} cannot be reached",
        nowhere.trim_start_matches("http://")
    );
    let ways = [
        "environment: AZURE_CLIENT_ID",
        "workload identity: AZURE_FEDERATED_TOKEN_FILE",
        managed.as_str(),
        "Azure CLI: `az` is not installed",
    ];
    run.fails_with(1, &ways);
}

/// The URL of a port of this machine where nothing listens.
fn nowhere() -> String {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("http://{}", free.local_addr().expect("an address"))
}

/// A PATH with an `az` of the test in the place of the Azure CLI. It prints the variable `AS_AZ_PRINTS`.
fn azure_cli(world: &World) -> String {
    let az = world.path("az");
    let script = "#!/bin/sh\n[ \"$*\" = 'account get-access-token --output json --resource \
        https://database.windows.net/' ] && printf %s \"$AS_AZ_PRINTS\"\n";
    fs::write(&az, script).expect("written");
    let mut mode = fs::metadata(&az).expect("a file").permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
    fs::set_permissions(&az, mode).expect("executable");
    format!("{}:/usr/bin:/bin", world.dir.path().display())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_comes_from_a_command_or_a_variable() {
    let Some(server) = Server::with_token(TOKEN) else {
        return;
    };
    let world = World::on(server, TABLE).await;
    world.config("  - source: dbo.t\n");
    let azure =
        format!("{{\"accessToken\": \"{TOKEN}\", \"expiresOn\": \"2030-01-01 00:00:00.000000\"}}");
    let variables = [("THE_TOKEN", TOKEN), ("AS_AZ_PRINTS", azure.as_str())];
    for login in [
        format!("Access Token={TOKEN}"),
        "Access Token Command=\"echo $THE_TOKEN\"".to_owned(),
        "Access Token Command='printf %s \"$AS_AZ_PRINTS\"; echo noise >&2'".to_owned(),
    ] {
        let run = status(server, &world, &login, &variables);
        assert_eq!(run.code, 0, "{login}: {run:#?}");
        hides(&run, &[TOKEN]);
    }
    for (login, says) in [
        (
            "Access Token Command=\"echo hunter2; echo hunter2 >&2; exit 3\"",
            "exit status: 3",
        ),
        (
            "Access Token Command=\"echo hunter2 is not one\"",
            "is not a token",
        ),
        ("Access Token=hunter2", "18456"),
    ] {
        let run = status(server, &world, login, &variables);
        run.fails_with(1, &[says]);
        hides(&run, &["hunter2"]);
    }
    let path = azure_cli(&world);
    let nowhere = nowhere();
    let with_az = [
        ("AS_AZ_PRINTS", azure.as_str()),
        ("PATH", path.as_str()),
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", nowhere.as_str()),
    ];
    let run = status(
        server,
        &world,
        "Authentication=ActiveDirectoryDefault",
        &with_az,
    );
    assert_eq!(run.code, 0, "{run:#?}");
}
