//! Logins of Microsoft Entra ID, as a connection string describes them.

use super::error::ConnectionError;
use super::file::SecretFile;
use super::keys::fold;
use crate::secret::Secret;

/// How an access token is obtained. Equal values share their token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entra {
    pub credential: Credential,
    /// None: `AZURE_TENANT_ID`.
    pub tenant: Option<String>,
    /// Without a slash at its end. None: `AZURE_AUTHORITY_HOST`, else that of the server's cloud.
    pub authority: Option<String>,
    /// What the token is for. None: that of the server's cloud.
    pub scope: Option<String>,
    /// That of the server. Not its name: servers of one cloud take the same token.
    pub cloud: Cloud,
}

/// A cloud of Azure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cloud {
    /// Also of servers that are not in Azure.
    Public,
    UsGovernment,
    China,
}

impl Cloud {
    /// By the end of a server's name.
    fn of(host: &str) -> Self {
        let host = host.to_ascii_lowercase();
        let ends = |end: &str| host.trim_end_matches('.').ends_with(end);
        match (
            ends(".database.usgovcloudapi.net"),
            ends(".database.chinacloudapi.cn"),
        ) {
            (true, _) => Self::UsGovernment,
            (false, true) => Self::China,
            (false, false) => Self::Public,
        }
    }
}

/// What proves to Entra ID, or to the server, who is logging in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// The token itself. It is never renewed.
    Token(Secret),
    /// A shell command that prints a token. It may hold a secret.
    Command(Secret),
    /// A service principal with a client secret.
    ClientSecret { client_id: String, secret: Secret },
    /// A service principal with a certificate and its private key, PEM or PKCS#12.
    Certificate {
        client_id: String,
        file: SecretFile,
        /// Of the file; empty: none.
        password: Secret,
    },
    /// The identity of the machine; a user-assigned one by its client id.
    ManagedIdentity { client_id: Option<String> },
    /// A token of a cluster, exchanged. None: `AZURE_CLIENT_ID`, `AZURE_FEDERATED_TOKEN_FILE`.
    WorkloadIdentity {
        client_id: Option<String>,
        token_file: Option<SecretFile>,
    },
    /// The environment's service principal, workload identity, managed identity, Azure CLI: the first that there is.
    Default { client_id: Option<String> },
}

/// `Authentication`, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    SqlPassword,
    ServicePrincipal,
    ManagedIdentity,
    WorkloadIdentity,
    Default,
}

impl Method {
    pub(super) fn parse(value: &str) -> Result<Self, ConnectionError> {
        let unsupported = |name: &str, remedy| {
            Err(ConnectionError::Unsupported {
                feature: format!("Authentication={name}"),
                remedy,
            })
        };
        match fold(value).as_str() {
            "sqlpassword" => Ok(Self::SqlPassword),
            "activedirectoryserviceprincipal" => Ok(Self::ServicePrincipal),
            "activedirectorymanagedidentity" | "activedirectorymsi" => Ok(Self::ManagedIdentity),
            "activedirectoryworkloadidentity" => Ok(Self::WorkloadIdentity),
            "activedirectorydefault" => Ok(Self::Default),
            "activedirectorypassword" => unsupported(
                "ActiveDirectoryPassword",
                "passwords of users fail under multi-factor authentication; use ActiveDirectoryServicePrincipal",
            ),
            "activedirectoryinteractive" => unsupported("ActiveDirectoryInteractive", NEEDS_PERSON),
            "activedirectorydevicecodeflow" => {
                unsupported("ActiveDirectoryDeviceCodeFlow", NEEDS_PERSON)
            }
            "activedirectoryintegrated" => unsupported(
                "ActiveDirectoryIntegrated",
                "use ActiveDirectoryServicePrincipal or ActiveDirectoryManagedIdentity",
            ),
            _ => Err(ConnectionError::Value {
                key: "Authentication".into(),
                expected: "SqlPassword, ActiveDirectoryServicePrincipal, ActiveDirectoryManagedIdentity, \
                    ActiveDirectoryWorkloadIdentity or ActiveDirectoryDefault",
            }),
        }
    }
}

const NEEDS_PERSON: &str = "it needs a person at a browser. Use ActiveDirectoryServicePrincipal, \
    ActiveDirectoryDefault after `az login`, or Access Token Command";

/// What the string says about the login, before it is known to fit together.
#[derive(Default, PartialEq, Eq)]
pub(super) struct Parts {
    pub method: Option<Method>,
    pub token: Option<String>,
    pub command: Option<String>,
    pub certificate: Option<String>,
    pub tenant: Option<String>,
    pub authority: Option<String>,
    pub scope: Option<String>,
    pub token_file: Option<String>,
}

impl Parts {
    /// The login of Entra ID that the parts describe; none when it is one of SQL Server.
    pub(super) fn login(
        self,
        server_host: &str,
        user: &str,
        password: Option<&Secret>,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Entra>, ConnectionError> {
        let Some(credential) = self.credential(user, password)? else {
            self.nothing_is_left_over(&[
                ("Client Certificate", self.certificate.is_some()),
                ("Tenant ID", self.tenant.is_some()),
                ("Authority Host", self.authority.is_some()),
                ("Token Scope", self.scope.is_some()),
                ("Token File", self.token_file.is_some()),
            ])?;
            return Ok(None);
        };
        let takes_password = matches!(
            credential,
            Credential::ClientSecret { .. } | Credential::Certificate { .. }
        );
        if password.is_some() && !takes_password {
            let warning = "the connection setting `Password` has no effect: this login has none";
            warnings.push(warning.into());
        }
        let uses = |is_used: bool, is_set: bool, name: &'static str| match is_set && !is_used {
            true => Some(format!(
                "the connection setting `{name}` has no effect: this login does not use it"
            )),
            false => None,
        };
        let asks_entra = !matches!(credential, Credential::Token(_) | Credential::Command(_));
        let asks_tenant = asks_entra && !matches!(credential, Credential::ManagedIdentity { .. });
        let takes_file = matches!(credential, Credential::WorkloadIdentity { .. });
        let takes_certificate = matches!(credential, Credential::Certificate { .. });
        warnings.extend(
            [
                uses(asks_tenant, self.tenant.is_some(), "Tenant ID"),
                uses(asks_tenant, self.authority.is_some(), "Authority Host"),
                uses(asks_entra, self.scope.is_some(), "Token Scope"),
                uses(takes_file, self.token_file.is_some(), "Token File"),
                uses(
                    takes_certificate,
                    self.certificate.is_some(),
                    "Client Certificate",
                ),
            ]
            .into_iter()
            .flatten(),
        );
        let authority = self.authority.map(authority).transpose()?;
        Ok(Some(Entra {
            credential,
            tenant: self.tenant,
            authority,
            scope: self.scope,
            cloud: Cloud::of(server_host),
        }))
    }

    fn credential(
        &self,
        user: &str,
        password: Option<&Secret>,
    ) -> Result<Option<Credential>, ConnectionError> {
        let contradiction = |first, other, remedy| {
            Err(ConnectionError::Contradiction {
                first,
                other,
                remedy,
            })
        };
        let given = match (&self.token, &self.command) {
            (Some(_), Some(_)) => {
                return contradiction("Access Token", "Access Token Command", "write one of them");
            }
            (Some(token), None) => {
                let token = Secret::new(token.trim());
                Some(("Access Token", Credential::Token(token)))
            }
            (None, Some(command)) => {
                let command = Secret::new(command.as_str());
                Some(("Access Token Command", Credential::Command(command)))
            }
            (None, None) => None,
        };
        if let Some((name, credential)) = given {
            if self.method.is_some() {
                return contradiction(
                    name,
                    "Authentication",
                    "the token is the login; remove the other",
                );
            }
            if !user.is_empty() || password.is_some() {
                return contradiction(
                    name,
                    "User ID and Password",
                    "the token is the login; remove the others",
                );
            }
            let is_empty = match &credential {
                Credential::Token(text) | Credential::Command(text) => text.expose().is_empty(),
                Credential::ClientSecret { .. }
                | Credential::Certificate { .. }
                | Credential::ManagedIdentity { .. }
                | Credential::WorkloadIdentity { .. }
                | Credential::Default { .. } => false,
            };
            if is_empty {
                return Err(ConnectionError::Missing(
                    "a token (its Access Token or Access Token Command is empty)",
                ));
            }
            return Ok(Some(credential));
        }
        let client_id = Some(user.to_owned()).filter(|id| !id.is_empty());
        Ok(match self.method {
            None | Some(Method::SqlPassword) => None,
            Some(Method::ServicePrincipal) => Some(self.service_principal(client_id, password)?),
            Some(Method::ManagedIdentity) => Some(Credential::ManagedIdentity { client_id }),
            Some(Method::WorkloadIdentity) => Some(Credential::WorkloadIdentity {
                client_id,
                token_file: self.token_file(),
            }),
            Some(Method::Default) => Some(Credential::Default { client_id }),
        })
    }

    fn token_file(&self) -> Option<SecretFile> {
        let path = self.token_file.as_ref()?;
        Some(SecretFile::new("Token File", path))
    }

    fn service_principal(
        &self,
        client_id: Option<String>,
        password: Option<&Secret>,
    ) -> Result<Credential, ConnectionError> {
        let client_id = client_id.ok_or(ConnectionError::Missing(
            "the service principal's client id (User ID=...)",
        ))?;
        match (&self.certificate, password) {
            (Some(file), password) => Ok(Credential::Certificate {
                client_id,
                file: SecretFile::new("Client Certificate", file),
                password: password.cloned().unwrap_or_else(|| Secret::new("")),
            }),
            (None, Some(secret)) if !secret.expose().is_empty() => Ok(Credential::ClientSecret {
                client_id,
                secret: secret.clone(),
            }),
            (None, _) => Err(ConnectionError::Missing(
                "the service principal's secret (Password=...) or certificate (Client Certificate=file)",
            )),
        }
    }

    fn nothing_is_left_over(&self, parts: &[(&'static str, bool)]) -> Result<(), ConnectionError> {
        match parts.iter().find(|(_, is_set)| *is_set) {
            None => Ok(()),
            Some((first, _)) => Err(ConnectionError::Contradiction {
                first,
                other: "a SQL login",
                remedy: "write the Authentication of a login of Entra ID, or remove it",
            }),
        }
    }
}

/// A host, with or without a scheme. A token is asked for over HTTPS, except of this machine.
pub(in crate::mssql) fn authority(text: String) -> Result<String, ConnectionError> {
    let bad = || ConnectionError::Value {
        key: "Authority Host".into(),
        expected: "a host or an https:// URL, such as login.microsoftonline.us",
    };
    let text = match text.contains("://") {
        true => text,
        false => format!("https://{text}"),
    };
    let url = url::Url::parse(&text).map_err(|_| bad())?;
    let is_here = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
    match url.scheme() {
        "https" => {}
        "http" if is_here => {}
        _ => return Err(bad()),
    }
    Ok(text.trim_end_matches('/').to_owned())
}
