//! Which identity logs in: what `ActiveDirectoryDefault` finds, what is incomplete, what is used again.

use super::endpoint::Endpoint;
use super::{
    SECRET, TABLE, TOKEN, answer, azure_cli, hides, nowhere, principal, run_with, status, tokened,
};
use crate::harness::{Server, World};
use icesync::mssql::channel::Channel;
use icesync::mssql::control::Control;
use icesync::mssql::error::MssqlError;
use icesync::mssql::settings::Connection;

const DEFAULT: &str = "Authentication=ActiveDirectoryDefault";

#[tokio::test(flavor = "multi_thread")]
async fn a_managed_identity_that_fails_is_not_replaced_by_another() {
    let Some(server) = Server::with_token(TOKEN) else {
        return;
    };
    let world = World::on(server, TABLE).await;
    world.config("  - source: dbo.t\n");
    let path = azure_cli(&world);
    let azure = format!("{{\"accessToken\": \"{TOKEN}\"}}");
    let named = format!("{DEFAULT};User ID=mine");
    // The status and the login; then the exit code, how often the metadata service is asked, and what is said.
    for (http, login, code, asked, says) in [
        // There is no identity: `az` logs in.
        (400, DEFAULT, 0, 1, ""),
        (404, DEFAULT, 0, 1, ""),
        // There may be one.
        (401, DEFAULT, 1, 1, "answered 401"),
        (500, DEFAULT, 75, 4, "answered 500"),
        // `az` is not the identity that is asked for.
        (400, named.as_str(), 1, 1, "answered 400"),
        (404, named.as_str(), 1, 1, "Azure CLI: not asked"),
    ] {
        let metadata = Endpoint::start(move |_, _| (http, "{}".to_owned()));
        let host = metadata.url();
        let variables = [
            ("AS_AZ_PRINTS", azure.as_str()),
            ("PATH", path.as_str()),
            ("AZURE_POD_IDENTITY_AUTHORITY_HOST", host.as_str()),
        ];
        let run = status(server, &world, login, &variables);
        assert_eq!(metadata.seen().len(), asked, "{http} {login}: {run:#?}");
        assert_eq!(run.code, code, "{http} {login}: {run:#?}");
        assert!(run.stderr.contains(says), "{http} {login}: {run:#?}");
        hides(&run, &[TOKEN]);
    }
    let none = nowhere();
    let variables = [
        ("AS_AZ_PRINTS", azure.as_str()),
        ("PATH", path.as_str()),
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", none.as_str()),
    ];
    let run = status(server, &world, &named, &variables);
    run.fails_with(1, &["Azure CLI: not asked"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incomplete_service_principal_is_not_replaced_by_another() {
    let Some(server) = Server::with_token(TOKEN) else {
        return;
    };
    let world = World::on(server, TABLE).await;
    world.config("  - source: dbo.t\n");
    let metadata = Endpoint::start(|_, _| answer(TOKEN));
    let host = metadata.url();
    let host = ("AZURE_POD_IDENTITY_AUTHORITY_HOST", host.as_str());
    let id = ("AZURE_CLIENT_ID", "app-1");
    let secret = ("AZURE_CLIENT_SECRET", SECRET);
    let file = ("AZURE_FEDERATED_TOKEN_FILE", "/nowhere");
    for (variables, says) in [
        (&[host, id, secret][..], "the tenant is not known"),
        (&[host, secret], "AZURE_CLIENT_ID is not"),
        (&[host, file], "neither AZURE_CLIENT_ID nor User ID is"),
        (&[host, file, id], "the tenant is not known"),
    ] {
        let run = status(server, &world, DEFAULT, variables);
        run.fails_with(1, &[says]);
        hides(&run, &[SECRET]);
        assert_eq!(metadata.seen().len(), 0, "{run:#?}");
    }
    // What is found is logged.
    let target = tokened(server, &world.target_db, DEFAULT);
    let variables = [("ICESYNC_TARGET", target.as_str()), host];
    let run = run_with(&world, &["-v", "status"], &variables);
    assert_eq!(run.code, 0, "{run:#?}");
    let found = "login of Entra ID: managed identity";
    assert!(run.stderr.contains(found), "{run:#?}");
    hides(&run, &[TOKEN]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_the_place_of_a_path_is_printed_nowhere() {
    let Some(server) = Server::with_token(TOKEN) else {
        return;
    };
    let world = World::on(server, TABLE).await;
    world.config("  - source: dbo.t\n");
    let key = "-----BEGIN PRIVATE KEY-----\nhunter2\n";
    let certificate = format!(
        "Authentication=ActiveDirectoryServicePrincipal;User ID=app;Tenant ID=t;Client Certificate='{key}'"
    );
    let workload = "Authentication=ActiveDirectoryWorkloadIdentity;User ID=app;Tenant ID=t;Token File=eyJhunter2";
    let environment = [
        ("AZURE_CLIENT_ID", "app"),
        ("AZURE_TENANT_ID", "t"),
        ("AZURE_CLIENT_CERTIFICATE_PATH", key),
    ];
    for (login, variables, says) in [
        (
            certificate.as_str(),
            &[][..],
            "`Client Certificate` holds a certificate",
        ),
        (workload, &[], "`Token File` holds a token"),
        (
            DEFAULT,
            &environment,
            "`AZURE_CLIENT_CERTIFICATE_PATH` holds a certificate",
        ),
    ] {
        let target = tokened(server, &world.target_db, login);
        let mut all = vec![("ICESYNC_TARGET", target.as_str())];
        all.extend_from_slice(variables);
        let run = run_with(&world, &["-vv", "--json", "status"], &all);
        run.fails_with(1, &[says]);
        hides(&run, &["hunter2"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_is_called_so() {
    let Some(server) = Server::with_token(TOKEN) else {
        return;
    };
    let world = World::on(server, TABLE).await;
    world.config("  - source: dbo.t\n");
    let claims = openssl::base64::encode_block(br#"{"exp":1600000000}"#);
    let token = format!("eyJ0.{}.c2ln", claims.trim_end_matches('='));
    let run = status(server, &world, &format!("Access Token={token}"), &[]);
    run.fails_with(1, &["the Access Token expired at 2020-09-13T12:26:40Z"]);
    hides(&run, &[&token]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_a_server_refuses_is_replaced_within_the_login() {
    const FIRST: &str = "the.first.one";
    let (Some(first), Some(second)) = (Server::with_token(FIRST), Server::with_token(TOKEN)) else {
        return;
    };
    for plane in ["app-control", "app-data"] {
        let endpoint = Endpoint::start(|_, before| match before {
            0 => answer(FIRST),
            _ => answer(TOKEN),
        });
        let login = principal(&endpoint).replace("app-1", plane);
        let connection = |text: &str| Connection::parse(text).expect("a connection string");
        // One token for all servers of a cloud, whatever their names.
        let text = tokened(first, "master", &login);
        for text in [&text, &text.replace("tcp:127.0.0.1", "tcp:localhost")] {
            let session = Control::connect(&connection(text)).await;
            session.expect("a session").close().await;
            assert_eq!(endpoint.seen().len(), 1, "{plane}");
        }
        // This server does not take it any more.
        let other = connection(&tokened(second, "master", &login));
        if plane == "app-control" {
            let session = Control::connect(&other).await;
            session.expect("a session").close().await;
        } else {
            let session = Channel::connect(&other).await;
            session.expect("a session").close().await;
        }
        assert_eq!(endpoint.seen().len(), 2, "{plane}");
        // One that is new is not tried twice.
        let refused = Control::connect(&connection(&text)).await.err();
        let refused = refused.expect("no session");
        assert!(matches!(refused, MssqlError::Login { .. }), "{refused:?}");
        assert_eq!(endpoint.seen().len(), 3, "{plane}");
    }
}
