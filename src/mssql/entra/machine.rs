//! Managed identities: App Service and its kin (`IDENTITY_ENDPOINT`), else the metadata service of a virtual machine.
//!
//! While it is being found out whether there is one, only what says that there is none leads on to another login: no
//! connection to the metadata service, or its answer that it has no identity. An identity that is there and fails ends
//! the search, because another one may have other rights.

use super::answer::Token;
use super::cloud::{Lookup, resource};
use super::endpoint::{Manner, Service, Site, ask};
use super::failure::TokenFailure;
use crate::mssql::settings::Entra;
use std::net::IpAddr;
use std::time::Duration;
use url::{Host, Url};

const METADATA_HOST: &str = "http://169.254.169.254";
const METADATA_PATH: &str = "/metadata/identity/oauth2/token";

/// The variable of Microsoft's libraries for a metadata service elsewhere.
const POD_HOST: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";

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
        let endpoint = with_query("IDENTITY_ENDPOINT", &endpoint, &query)?;
        let site = Site::new(Service::Identity, endpoint.as_str());
        return ask(manner, &site, |client| {
            let request = client.get(endpoint.clone());
            request.header("X-IDENTITY-HEADER", &header)
        })
        .await;
    }
    query.push(("api-version", "2018-02-01"));
    let host = lookup(POD_HOST).unwrap_or_else(|| METADATA_HOST.into());
    let endpoint = format!("{}{METADATA_PATH}", host.trim_end_matches('/'));
    let endpoint = with_query(POD_HOST, &endpoint, &query)?;
    let (manner, service) = match patience {
        Patience::Known => (manner, Service::Metadata),
        Patience::Probe => {
            let manner = Manner {
                connect_limit: Duration::from_secs(1),
                ..manner
            };
            let has_client_id = client_id.is_some();
            (manner, Service::Probed { has_client_id })
        }
    };
    let site = Site::new(service, endpoint.as_str());
    ask(manner, &site, |client| {
        client.get(endpoint.clone()).header("Metadata", "true")
    })
    .await
}

/// The address that a variable holds, with a query. The answer is a token, so it is HTTPS, or this machine or its link.
fn with_query(variable: &str, endpoint: &str, query: &[(&str, &str)]) -> Result<Url, TokenFailure> {
    let refused = |what: &str| TokenFailure::Refused(format!("{variable} {what}"));
    let mut url = Url::parse(endpoint).map_err(|_| refused("is not a URL"))?;
    let is_safe = match url.scheme() {
        "https" => true,
        "http" => url.host().is_some_and(is_near),
        _ => false,
    };
    if !is_safe {
        return Err(refused(
            "is neither an https:// URL nor an http:// URL of this machine or its link (localhost, 127.0.0.0/8, \
             169.254.0.0/16), and a token is not sent in the clear",
        ));
    }
    url.query_pairs_mut().extend_pairs(query);
    Ok(url)
}

/// Whether it is this machine or on its link.
fn is_near(host: Host<&str>) -> bool {
    let address: IpAddr = match host {
        Host::Domain(name) => return name.eq_ignore_ascii_case("localhost"),
        Host::Ipv4(address) => address.into(),
        Host::Ipv6(address) => address.into(),
    };
    match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_link_local(),
        IpAddr::V6(address) => address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mssql::settings::Connection;

    #[test]
    fn a_secret_goes_over_https_or_stays_on_the_link() {
        let query = [("resource", "r")];
        for near in [
            "https://identity.example.com/x",
            "http://localhost:40342/x",
            "http://127.0.0.1:41000/x",
            "http://127.8.0.1/x",
            "http://[::1]/x",
            "http://169.254.131.2:8081/msi/token",
        ] {
            let url = with_query("IDENTITY_ENDPOINT", near, &query).unwrap();
            assert_eq!(url.query(), Some("resource=r"), "{near}");
        }
        for far in [
            "http://identity.example.com/x",
            "http://10.0.0.4/x",
            "http://localhost.example.com/x",
            "ftp://127.0.0.1/x",
            "hunter2",
        ] {
            let refused = with_query("IDENTITY_ENDPOINT", far, &query).unwrap_err();
            assert!(matches!(refused, TokenFailure::Refused(_)), "{far}");
            let said = refused.to_string();
            assert!(
                said.starts_with("IDENTITY_ENDPOINT is") && !said.contains(far),
                "{said}"
            );
        }
    }

    #[tokio::test]
    async fn a_header_that_cannot_be_sent_is_refused_at_once() {
        let text = "Server=h;Authentication=ActiveDirectoryManagedIdentity";
        let entra = Connection::parse(text).unwrap().entra.unwrap();
        let lookup = |name: &str| match name {
            "IDENTITY_ENDPOINT" => Some("http://127.0.0.1:1/x".to_owned()),
            "IDENTITY_HEADER" => Some("hunter2\n".to_owned()),
            _ => None,
        };
        let failure = token(&entra, None, &lookup, Patience::Known).await;
        let failure = failure.unwrap_err();
        assert!(matches!(failure, TokenFailure::Refused(_)), "{failure:?}");
        let said = failure.to_string();
        assert!(
            said.contains("127.0.0.1") && !said.contains("hunter2"),
            "{said}"
        );
    }
}
