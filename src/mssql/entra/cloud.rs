//! Who gives the tokens of a server, and what they are for. Connections say so, else the environment, else the name of
//! the server.

use super::failure::TokenFailure;
use crate::mssql::settings::{self, Cloud, Entra};

/// Answers environment variables.
pub(super) type Lookup<'a> = &'a (dyn Fn(&str) -> Option<String> + Send + Sync);

/// What the tokens of a server's cloud are for, and who gives them.
fn cloud(entra: &Entra) -> (&'static str, &'static str) {
    match entra.cloud {
        Cloud::Public => (
            "https://database.windows.net",
            "https://login.microsoftonline.com",
        ),
        Cloud::UsGovernment => (
            "https://database.usgovcloudapi.net",
            "https://login.microsoftonline.us",
        ),
        Cloud::China => (
            "https://database.chinacloudapi.cn",
            "https://login.chinacloudapi.cn",
        ),
    }
}

/// What a token is for.
pub(super) fn scope(entra: &Entra) -> String {
    let usual = || format!("{}/.default", cloud(entra).0);
    entra.scope.clone().unwrap_or_else(usual)
}

/// What a token is for, in the words of the older endpoints.
pub(super) fn resource(entra: &Entra) -> String {
    let scope = scope(entra);
    let resource = scope.strip_suffix(".default");
    resource.unwrap_or(&scope).to_owned()
}

/// The token endpoint of a tenant. Asked for once a login is known to be there: one without a tenant is incomplete, not
/// missing.
pub(super) fn endpoint(entra: &Entra, lookup: Lookup<'_>) -> Result<String, TokenFailure> {
    let unset = || {
        let message = "the tenant is not known. Write Tenant ID=... or set AZURE_TENANT_ID";
        TokenFailure::Refused(message.into())
    };
    let tenant = entra.tenant.clone().or_else(|| lookup("AZURE_TENANT_ID"));
    let tenant = tenant.ok_or_else(unset)?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    if tenant.is_empty() || !tenant.chars().all(is_name) {
        let message =
            "the tenant is neither an id nor a domain. Check Tenant ID or AZURE_TENANT_ID";
        return Err(TokenFailure::Refused(message.into()));
    }
    let authority = match (&entra.authority, lookup("AZURE_AUTHORITY_HOST")) {
        (Some(authority), _) => authority.clone(),
        (None, Some(host)) => settings::authority(host).map_err(|_| {
            let message = "AZURE_AUTHORITY_HOST is neither a host nor an https:// URL";
            TokenFailure::Refused(message.into())
        })?,
        (None, None) => cloud(entra).1.to_owned(),
    };
    Ok(format!("{authority}/{tenant}/oauth2/v2.0/token"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mssql::settings::Connection;

    fn entra(server: &str, more: &str) -> Entra {
        let text = format!("Server={server};Authentication=ActiveDirectoryDefault;{more}");
        Connection::parse(&text).unwrap().entra.unwrap()
    }

    #[test]
    fn a_server_says_which_cloud_gives_its_tokens() {
        for (server, resource_expected, authority) in [
            (
                "s.database.windows.net",
                "https://database.windows.net/",
                "https://login.microsoftonline.com",
            ),
            (
                "S.Database.USGovCloudApi.net",
                "https://database.usgovcloudapi.net/",
                "https://login.microsoftonline.us",
            ),
            (
                "s.database.chinacloudapi.cn",
                "https://database.chinacloudapi.cn/",
                "https://login.chinacloudapi.cn",
            ),
            (
                "db.example.com",
                "https://database.windows.net/",
                "https://login.microsoftonline.com",
            ),
        ] {
            let entra = entra(server, "Tenant ID=t");
            assert_eq!(resource(&entra), resource_expected);
            assert_eq!(scope(&entra), format!("{resource_expected}.default"));
            let endpoint = endpoint(&entra, &|_| None).unwrap();
            assert_eq!(endpoint, format!("{authority}/t/oauth2/v2.0/token"));
        }
        let own = entra("h", "Token Scope=api://mine/.default");
        assert_eq!(
            (scope(&own).as_str(), resource(&own).as_str()),
            ("api://mine/.default", "api://mine/")
        );
    }

    #[test]
    fn tenant_and_authority_come_from_the_connection_then_from_the_environment() {
        let lookup = |name: &str| match name {
            "AZURE_TENANT_ID" => Some("of-environment".to_owned()),
            "AZURE_AUTHORITY_HOST" => Some("https://login.microsoftonline.us/".to_owned()),
            _ => None,
        };
        let from_environment = endpoint(&entra("h", ""), &lookup).unwrap();
        assert_eq!(
            from_environment,
            "https://login.microsoftonline.us/of-environment/oauth2/v2.0/token"
        );
        let written = entra("h", "Tenant ID=mine;Authority Host=login.example.com");
        let from_connection = endpoint(&written, &lookup).unwrap();
        assert_eq!(
            from_connection,
            "https://login.example.com/mine/oauth2/v2.0/token"
        );

        let unset = endpoint(&entra("h", ""), &|_| None).unwrap_err();
        assert!(matches!(unset, TokenFailure::Refused(_)), "{unset}");
        for tenant in ["../hunter2", "a/b", "a?b", "a b"] {
            let refused =
                endpoint(&entra("h", &format!("Tenant ID={tenant}")), &lookup).unwrap_err();
            assert!(!refused.to_string().contains(tenant), "{refused}");
        }
        for host in ["http://login.example.com", "ftp://127.0.0.1", "hunter2://x"] {
            let refused = endpoint(&entra("h", "Tenant ID=t"), &|_| Some(host.to_owned()));
            assert!(
                refused.is_err_and(|error| !error.to_string().contains("hunter2")),
                "{host}"
            );
        }
    }
}
