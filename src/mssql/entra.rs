//! Access tokens of Microsoft Entra ID.
//!
//! Guarantees: a token is asked for once however many connections wait for it, is used until five minutes before it
//! expires, and is asked for again after a server has refused it. No error repeats a secret, a token, what a command
//! printed, or a text of the endpoint: of its answers only the code of the error is shown, in words of icesync. Secrets
//! go over HTTPS, or to an address of this machine or of its link; redirects of an endpoint are not followed.
//!
//! - [`cloud`]: which endpoint, and what the token is for
//! - [`endpoint`]: requests over HTTP and their repetition
//! - [`principal`]: service principals and workload identities, [`assertion`] signs for a certificate
//! - [`machine`]: managed identities
//! - [`command`]: a command that prints a token

mod answer;
mod assertion;
mod cloud;
mod command;
mod endpoint;
mod failure;
mod machine;
mod principal;

use super::error::MssqlError;
use super::settings::{Credential, Entra};
use crate::secret::Secret;
use answer::Token;
use cloud::Lookup;
use failure::TokenFailure;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// The token of one login; held while it is asked for.
type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;

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
pub(super) async fn token_for(server: String, entra: &Entra) -> Result<Secret, MssqlError> {
    token(entra).await.map_err(|failure| MssqlError::Token {
        server,
        reason: failure.to_string(),
        is_transient: failure.passes(),
    })
}

async fn token(entra: &Entra) -> Result<Secret, TokenFailure> {
    let slot = slot(entra);
    let mut known = slot.lock().await;
    if let Some(token) = known
        .as_ref()
        .filter(|token| token.is_fresh(SystemTime::now()))
    {
        return Ok(token.text.clone());
    }
    *known = None;
    let lookup = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let token = acquire(entra, &lookup).await?;
    let text = token.text.clone();
    *known = Some(token);
    Ok(text)
}

/// A server has refused a token: the next login asks for another.
pub(super) async fn forget(entra: &Entra, refused: &Secret) {
    let slot = slot(entra);
    let mut known = slot.lock().await;
    if known.as_ref().is_some_and(|token| token.text == *refused) {
        *known = None;
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
            principal::with_workload(entra, client_id.as_deref(), token_file.as_deref(), lookup)
                .await
        }
        Credential::Default { client_id } => chain(entra, client_id.as_deref(), lookup).await,
    }
}

/// The first login that this machine has, in the order of Microsoft's libraries. One that it has and that fails ends
/// the search: another identity may have other rights.
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
        outcome => Some(outcome),
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
    let cli = command::azure_cli(&cloud::resource(entra), entra.tenant.as_deref()).await;
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
    let secret = lookup("AZURE_CLIENT_SECRET").map(Secret::new);
    let file = lookup("AZURE_CLIENT_CERTIFICATE_PATH").map(PathBuf::from);
    let unset = || {
        let variables = "AZURE_CLIENT_ID with AZURE_CLIENT_SECRET or AZURE_CLIENT_CERTIFICATE_PATH";
        TokenFailure::Unavailable(format!("{variables} is not set"))
    };
    let client_id = lookup("AZURE_CLIENT_ID").ok_or_else(unset)?;
    match (secret, file) {
        (Some(secret), _) => principal::with_secret(entra, &client_id, &secret, lookup).await,
        (None, Some(file)) => {
            let password = lookup("AZURE_CLIENT_CERTIFICATE_PASSWORD").unwrap_or_default();
            let password = Secret::new(password);
            principal::with_certificate(entra, &client_id, &file, &password, lookup).await
        }
        (None, None) => Err(unset()),
    }
}
