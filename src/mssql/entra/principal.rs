//! Service principals and workload identities: the token endpoint of a tenant (OAuth 2.0 client credentials).

use super::answer::Token;
use super::assertion::Identity;
use super::cloud::{Lookup, endpoint, scope};
use super::endpoint::{Manner, ask};
use super::failure::TokenFailure;
use crate::mssql::settings::Entra;
use crate::secret::Secret;
use std::path::{Path, PathBuf};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

const OF: &str = "the token endpoint of Entra ID";

async fn post(
    entra: &Entra,
    endpoint: &str,
    client_id: &str,
    proof: &[(&str, &str)],
) -> Result<Token, TokenFailure> {
    let scope = scope(entra);
    let mut form = vec![
        ("grant_type", "client_credentials"),
        ("client_id", client_id),
        ("scope", scope.as_str()),
    ];
    form.extend_from_slice(proof);
    let manner = Manner {
        // Without TLS it is on this machine.
        through_proxy: endpoint.starts_with("https://"),
        ..Manner::USUAL
    };
    ask(manner, OF, |client| client.post(endpoint).form(&form)).await
}

/// A service principal with a secret.
pub(super) async fn with_secret(
    entra: &Entra,
    client_id: &str,
    secret: &Secret,
    lookup: Lookup<'_>,
) -> Result<Token, TokenFailure> {
    let endpoint = endpoint(entra, lookup)?;
    let proof = [("client_secret", secret.expose())];
    post(entra, &endpoint, client_id, &proof).await
}

/// A service principal with a certificate, which is read again for each token.
pub(super) async fn with_certificate(
    entra: &Entra,
    client_id: &str,
    file: &Path,
    password: &Secret,
    lookup: Lookup<'_>,
) -> Result<Token, TokenFailure> {
    let endpoint = endpoint(entra, lookup)?;
    let identity = Identity::read(file, password).await?;
    let assertion = identity.assertion(client_id, &endpoint)?;
    with_assertion(entra, &endpoint, client_id, &assertion).await
}

/// A workload identity: the token that the cluster keeps in a file, which is read again for each token.
pub(super) async fn with_workload(
    entra: &Entra,
    client_id: Option<&str>,
    token_file: Option<&Path>,
    lookup: Lookup<'_>,
) -> Result<Token, TokenFailure> {
    let unset = |what: &str| TokenFailure::Unavailable(format!("{what} is not set"));
    let file = token_file.map(PathBuf::from);
    let file = file.or_else(|| lookup("AZURE_FEDERATED_TOKEN_FILE").map(PathBuf::from));
    let file = file.ok_or_else(|| unset("AZURE_FEDERATED_TOKEN_FILE (or Token File)"))?;
    let client_id = client_id.map(str::to_owned);
    let client_id = client_id.or_else(|| lookup("AZURE_CLIENT_ID"));
    let client_id = client_id.ok_or_else(|| unset("AZURE_CLIENT_ID (or User ID)"))?;
    let endpoint = endpoint(entra, lookup)?;
    let assertion = tokio::fs::read_to_string(&file).await.map_err(|error| {
        let file = file.display();
        TokenFailure::Refused(format!("cannot read the token file `{file}`: {error}"))
    })?;
    with_assertion(entra, &endpoint, &client_id, assertion.trim()).await
}

async fn with_assertion(
    entra: &Entra,
    endpoint: &str,
    client_id: &str,
    assertion: &str,
) -> Result<Token, TokenFailure> {
    let proof = [
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", assertion),
    ];
    post(entra, endpoint, client_id, &proof).await
}
