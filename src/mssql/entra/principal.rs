//! Service principals and workload identities: the token endpoint of a tenant (OAuth 2.0 client credentials).

use super::answer::Token;
use super::assertion::Identity;
use super::cloud::{Lookup, endpoint, scope};
use super::endpoint::{Manner, Service, Site, ask};
use super::failure::TokenFailure;
use crate::mssql::settings::{Entra, SecretFile};
use crate::secret::Secret;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

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
    let site = Site::new(Service::Tenant, endpoint);
    ask(manner, &site, |client| client.post(endpoint).form(&form)).await
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
    file: &SecretFile,
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
    token_file: Option<&SecretFile>,
    lookup: Lookup<'_>,
) -> Result<Token, TokenFailure> {
    let unset = |what: &str| TokenFailure::Unavailable(format!("{what} is not set"));
    const FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";
    let file = token_file.cloned();
    let file = file.or_else(|| lookup(FILE).map(|path| SecretFile::new(FILE, path)));
    let file = file.ok_or_else(|| unset("AZURE_FEDERATED_TOKEN_FILE (or Token File)"))?;
    let client_id = client_id.map(str::to_owned);
    let client_id = client_id.or_else(|| lookup("AZURE_CLIENT_ID"));
    // There is a token, so the login is incomplete rather than missing.
    let client_id = client_id.ok_or_else(|| {
        let setting = file.setting;
        let message = format!("{setting} is set, but neither AZURE_CLIENT_ID nor User ID is");
        TokenFailure::Refused(message)
    })?;
    let endpoint = endpoint(entra, lookup)?;
    let assertion = tokio::fs::read_to_string(file.path()).await;
    let assertion = assertion.map_err(|error| {
        TokenFailure::Refused(match file.shown() {
            Some(path) => format!("cannot read the token file `{path}`: {error}"),
            None => format!(
                "`{}` holds a token, not the path of a file. Write the token to a file, and here its path",
                file.setting
            ),
        })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mssql::settings::Connection;

    fn entra() -> Entra {
        let text = "Server=h;Authentication=ActiveDirectoryWorkloadIdentity;Tenant ID=t";
        Connection::parse(text).unwrap().entra.unwrap()
    }

    #[tokio::test]
    async fn a_token_in_the_place_of_its_path_is_not_shown() {
        let lookup = |name: &str| match name {
            "AZURE_FEDERATED_TOKEN_FILE" => Some("eyJhunter2".to_owned()),
            _ => None,
        };
        let failure = with_workload(&entra(), Some("app"), None, &lookup).await;
        let said = failure.unwrap_err().to_string();
        let expected = "`AZURE_FEDERATED_TOKEN_FILE` holds a token, not the path of a file";
        assert!(
            said.contains(expected) && !said.contains("hunter2"),
            "{said}"
        );
    }

    #[tokio::test]
    async fn an_incomplete_workload_identity_is_not_a_missing_one() {
        let has_file = |name: &str| match name {
            "AZURE_FEDERATED_TOKEN_FILE" => Some("/nowhere".to_owned()),
            _ => None,
        };
        let incomplete = with_workload(&entra(), None, None, &has_file).await;
        assert!(
            matches!(&incomplete, Err(TokenFailure::Refused(why)) if why.contains("AZURE_CLIENT_ID")),
            "{incomplete:?}"
        );
        let missing = with_workload(&entra(), Some("app"), None, &|_| None).await;
        assert!(matches!(missing, Err(TokenFailure::Unavailable(_))));
    }
}
