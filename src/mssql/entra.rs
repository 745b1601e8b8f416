//! Access tokens of Microsoft Entra ID.
//!
//! Guarantees: a token is asked for once however many connections wait for it, and so is one that is not to be had. It
//! is used until five minutes before it expires. When a server refuses one that was used before, a new one is asked for
//! and tried once. No error repeats a secret, a token, what a command
//! printed, or a text of the endpoint: of its answers only the code of the error is shown, in words of icesync. Secrets
//! go over HTTPS, or to an address of this machine or of its link; redirects of an endpoint are not followed.
//!
//! - [`cloud`]: which endpoint, and what the token is for
//! - [`endpoint`]: requests over HTTP and their repetition
//! - [`principal`]: service principals and workload identities, [`assertion`] signs for a certificate
//! - [`machine`]: managed identities
//! - [`login`]: attempts to log in with a token
//! - [`command`]: a command that prints a token

mod answer;
mod assertion;
mod cloud;
mod command;
mod endpoint;
mod failure;
mod login;
mod machine;
mod principal;

use super::error::MssqlError;
use super::settings::{Credential, Entra, SecretFile};
use crate::secret::Secret;
use answer::Token;
use cloud::Lookup;
use failure::TokenFailure;
pub(super) use login::Login;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

/// What is known of one login; held while its token is asked for.
type Slot = Arc<tokio::sync::Mutex<Known>>;

#[derive(Default)]
struct Known {
    token: Option<Token>,
    /// When there was none the last time, and why.
    failed: Option<(Instant, TokenFailure)>,
}

/// A token to log in with.
struct Held {
    text: Secret,
    /// It was asked for just now; otherwise it was used before, and a server may have stopped to take it.
    is_new: bool,
}

/// Of the process: both planes and all workers use one token a login.
static TOKENS: Mutex<Vec<(Entra, Slot)>> = Mutex::new(Vec::new());

fn slot(entra: &Entra) -> Slot {
    let mut tokens = TOKENS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, slot)) = tokens.iter().find(|(known, _)| known == entra) {
        return Arc::clone(slot);
    }
    let slot = Slot::default();
    tokens.push((entra.clone(), Arc::clone(&slot)));
    slot
}

/// The token to log in to a server with: one that is known and fresh, else a new one.
async fn token_for(server: String, entra: &Entra) -> Result<Held, MssqlError> {
    let lookup = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let held = held(&slot(entra), acquire(entra, &lookup)).await;
    held.map_err(|failure| MssqlError::Token {
        server,
        reason: failure.to_string(),
        is_transient: failure.passes(),
        is_absent: matches!(failure, TokenFailure::Absent(_)),
    })
}

/// The token of a slot, which `asking` fills where it has none. A failure is the answer for all who waited for it.
async fn held(
    slot: &Slot,
    asking: impl Future<Output = Result<Token, TokenFailure>>,
) -> Result<Held, TokenFailure> {
    let waiting_since = Instant::now();
    let mut known = slot.lock().await;
    if let Some(token) = &known.token
        && token.is_fresh(SystemTime::now())
    {
        return Ok(Held {
            text: token.text.clone(),
            is_new: false,
        });
    }
    if let Some((at, failure)) = &known.failed
        && waiting_since < *at
    {
        return Err(failure.clone());
    }
    known.token = None;
    match asking.await {
        Ok(token) => {
            let text = token.text.clone();
            *known = Known {
                token: Some(token),
                failed: None,
            };
            Ok(Held { text, is_new: true })
        }
        Err(failure) => {
            known.failed = Some((Instant::now(), failure.clone()));
            Err(failure)
        }
    }
}

/// A server has refused a token: the next login asks for another.
async fn forget(entra: &Entra, refused: &Secret) {
    let slot = slot(entra);
    let mut known = slot.lock().await;
    if known
        .token
        .as_ref()
        .is_some_and(|token| token.text == *refused)
    {
        known.token = None;
    }
}

async fn acquire(entra: &Entra, lookup: Lookup<'_>) -> Result<Token, TokenFailure> {
    match &entra.credential {
        Credential::Token(text) => Token::printed(text.expose(), "the Access Token"),
        Credential::Command(shell) => command::shell(shell.expose()).await,
        Credential::ClientSecret { client_id, secret } => {
            principal::with_secret(entra, client_id, secret, lookup).await
        }
        Credential::Certificate {
            client_id,
            file,
            password,
        } => principal::with_certificate(entra, client_id, file, password, lookup).await,
        Credential::ManagedIdentity { client_id } => {
            machine::token(
                entra,
                client_id.as_deref(),
                lookup,
                machine::Patience::Known,
            )
            .await
        }
        Credential::WorkloadIdentity {
            client_id,
            token_file,
        } => {
            principal::with_workload(entra, client_id.as_deref(), token_file.as_ref(), lookup).await
        }
        Credential::Default { client_id } => chain(entra, client_id.as_deref(), lookup).await,
    }
}

/// The first login that this machine has, in the order of Microsoft's libraries. One that it has and that fails ends
/// the search: another identity may have other rights. So does one that is incomplete.
async fn chain(
    entra: &Entra,
    client_id: Option<&str>,
    lookup: Lookup<'_>,
) -> Result<Token, TokenFailure> {
    let mut missing = Vec::new();
    let mut tried = |name: &str, outcome: Result<Token, TokenFailure>| match outcome {
        Err(TokenFailure::Unavailable(why)) => {
            missing.push(format!("{name}: {why}"));
            None
        }
        outcome => {
            tracing::debug!("login of Entra ID: {name}");
            Some(outcome)
        }
    };
    if let Some(found) = tried("environment", environment(entra, lookup).await) {
        return found;
    }
    let workload = principal::with_workload(entra, client_id, None, lookup).await;
    if let Some(found) = tried("workload identity", workload) {
        return found;
    }
    let machine = machine::token(entra, client_id, lookup, machine::Patience::Probe).await;
    if let Some(found) = tried("managed identity", machine) {
        return found;
    }
    let cli = match client_id {
        // It logs in as a person, or as whatever `az login` was given.
        Some(_) => Err(TokenFailure::Unavailable(
            "not asked, because `User ID` names another identity".into(),
        )),
        None => command::azure_cli(&cloud::resource(entra), entra.tenant.as_deref()).await,
    };
    if let Some(found) = tried("Azure CLI", cli) {
        return found;
    }
    Err(TokenFailure::Unavailable(format!(
        "ActiveDirectoryDefault found no login ({})",
        missing.join("; ")
    )))
}

/// `AZURE_CLIENT_ID` with `AZURE_CLIENT_SECRET` or `AZURE_CLIENT_CERTIFICATE_PATH`.
async fn environment(entra: &Entra, lookup: Lookup<'_>) -> Result<Token, TokenFailure> {
    const SECRET: &str = "AZURE_CLIENT_SECRET";
    const FILE: &str = "AZURE_CLIENT_CERTIFICATE_PATH";
    let secret = lookup(SECRET).map(Secret::new);
    let file = lookup(FILE).map(|path| SecretFile::new(FILE, path));
    let client_id = lookup("AZURE_CLIENT_ID");
    let half = |name: &str| {
        let why = format!("{name} is set, but AZURE_CLIENT_ID is not. Set both, or neither");
        TokenFailure::Refused(why)
    };
    match (secret, file) {
        (Some(secret), _) => {
            let client_id = client_id.ok_or_else(|| half(SECRET))?;
            principal::with_secret(entra, &client_id, &secret, lookup).await
        }
        (None, Some(file)) => {
            let client_id = client_id.ok_or_else(|| half(FILE))?;
            let password = lookup("AZURE_CLIENT_CERTIFICATE_PASSWORD").unwrap_or_default();
            let password = Secret::new(password);
            principal::with_certificate(entra, &client_id, &file, &password, lookup).await
        }
        (None, None) => {
            let why = format!("AZURE_CLIENT_ID with {SECRET} or {FILE} is not set");
            Err(TokenFailure::Unavailable(why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mssql::settings::Connection;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    fn entra(more: &str) -> Entra {
        let text = format!("Server=h;Authentication=ActiveDirectoryDefault{more}");
        Connection::parse(&text).unwrap().entra.unwrap()
    }

    #[tokio::test]
    async fn a_failure_is_the_answer_for_all_who_waited_for_it() {
        let (slot, asked) = (Slot::default(), AtomicUsize::new(0));
        let ask = || async {
            asked.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(50)).await;
            Err(TokenFailure::Passing("busy".into()))
        };
        let waiting = (0..8).map(|_| held(&slot, ask()));
        let failures = futures::future::join_all(waiting).await;
        let is_busy =
            |held: &Result<Held, TokenFailure>| matches!(held, Err(TokenFailure::Passing(_)));
        assert!(failures.iter().all(is_busy));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        // Who comes later asks again.
        assert!(is_busy(&held(&slot, ask()).await));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        let works = async { Token::printed("abc", "it") };
        assert!(held(&slot, works).await.unwrap().is_new);
        let known = held(&slot, ask()).await.unwrap();
        assert_eq!((known.text.expose(), known.is_new), ("abc", false));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn an_incomplete_service_principal_ends_the_search() {
        let half = |set: &'static [&'static str]| {
            move |name: &str| {
                let is_set = set.contains(&name);
                is_set.then(|| "hunter2".to_owned())
            }
        };
        for (set, says) in [
            (
                &["AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"][..],
                "the tenant is not known",
            ),
            (
                &["AZURE_CLIENT_ID", "AZURE_CLIENT_CERTIFICATE_PATH"],
                "the tenant is not known",
            ),
            (
                &["AZURE_CLIENT_SECRET"],
                "AZURE_CLIENT_SECRET is set, but AZURE_CLIENT_ID is not",
            ),
            (
                &["AZURE_CLIENT_CERTIFICATE_PATH"],
                "AZURE_CLIENT_CERTIFICATE_PATH is set, but AZURE_CLIENT_ID is not",
            ),
        ] {
            let failure = chain(&entra(""), None, &half(set)).await.unwrap_err();
            assert!(matches!(failure, TokenFailure::Refused(_)), "{set:?}");
            let said = failure.to_string();
            assert!(said.contains(says) && !said.contains("hunter2"), "{said}");
        }
        // A client id alone is that of another kind of identity.
        let alone = environment(&entra(""), &half(&["AZURE_CLIENT_ID"])).await;
        assert!(matches!(alone, Err(TokenFailure::Unavailable(_))));
    }

    #[tokio::test]
    async fn a_client_id_is_not_logged_in_by_the_azure_cli() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let nowhere = format!("http://{}", free.local_addr().unwrap());
        drop(free);
        let lookup = move |name: &str| {
            (name == "AZURE_POD_IDENTITY_AUTHORITY_HOST").then(|| nowhere.clone())
        };
        let login = entra(";User ID=mine");
        let failure = chain(&login, Some("mine"), &lookup).await.unwrap_err();
        let said = failure.to_string();
        assert!(said.contains("Azure CLI: not asked"), "{said}");
    }
}
