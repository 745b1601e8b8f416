//! Managed identities: App Service and its kin (`IDENTITY_ENDPOINT`), else the metadata service of a virtual machine.

use super::answer::Token;
use super::cloud::{Lookup, resource};
use super::endpoint::{Manner, ask};
use super::failure::TokenFailure;
use crate::mssql::settings::Entra;
use std::time::Duration;

const METADATA_HOST: &str = "http://169.254.169.254";
const METADATA_PATH: &str = "/metadata/identity/oauth2/token";

/// Whether there is a managed identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// The user says so.
    Known,
    /// It is to be found out, and quickly.
    Probe,
}

/// A token of the machine's identity, or of a user-assigned one by its client id.
pub(super) async fn token(
    entra: &Entra,
    client_id: Option<&str>,
    lookup: Lookup<'_>,
    patience: Patience,
) -> Result<Token, TokenFailure> {
    let resource = resource(entra);
    let mut query = vec![("resource", resource.as_str())];
    query.extend(client_id.map(|id| ("client_id", id)));
    let manner = Manner {
        through_proxy: false,
        ..Manner::USUAL
    };
    if let (Some(endpoint), Some(header)) = (lookup("IDENTITY_ENDPOINT"), lookup("IDENTITY_HEADER"))
    {
        query.push(("api-version", "2019-08-01"));
        let endpoint = with_query(&endpoint, &query)
            .ok_or_else(|| TokenFailure::Refused("IDENTITY_ENDPOINT is not a URL".into()))?;
        return ask(manner, "the identity endpoint of this machine", |client| {
            client
                .get(endpoint.clone())
                .header("X-IDENTITY-HEADER", &header)
        })
        .await;
    }
    let manner = match patience {
        Patience::Known => manner,
        Patience::Probe => Manner {
            connect_limit: Duration::from_secs(1),
            attempts: 1,
            ..manner
        },
    };
    query.push(("api-version", "2018-02-01"));
    // The variable of Microsoft's libraries for a service elsewhere.
    let host = lookup("AZURE_POD_IDENTITY_AUTHORITY_HOST");
    let host = host.unwrap_or_else(|| METADATA_HOST.into());
    let endpoint = format!("{}{METADATA_PATH}", host.trim_end_matches('/'));
    let endpoint = with_query(&endpoint, &query).ok_or_else(|| {
        TokenFailure::Refused("AZURE_POD_IDENTITY_AUTHORITY_HOST is not a URL".into())
    })?;
    let answer = ask(manner, "the metadata service of this machine", |client| {
        client.get(endpoint.clone()).header("Metadata", "true")
    })
    .await;
    match (answer, patience) {
        // There is no such service here, or this machine has no identity.
        (Err(TokenFailure::Passing(why) | TokenFailure::Refused(why)), Patience::Probe) => {
            Err(TokenFailure::Unavailable(why))
        }
        (answer, _) => answer,
    }
}

fn with_query(endpoint: &str, query: &[(&str, &str)]) -> Option<url::Url> {
    let mut url = url::Url::parse(endpoint).ok()?;
    url.query_pairs_mut().extend_pairs(query);
    Some(url)
}
