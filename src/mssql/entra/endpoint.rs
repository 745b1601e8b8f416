//! Requests for tokens over HTTP: what is repeated, and what an answer means.
//!
//! An endpoint that cannot be reached is not asked again here: who wanted the token tries again, and for a short time
//! only, because the endpoint's name is more likely wrong than its network away.

use super::answer::Token;
use super::failure::TokenFailure;
use reqwest::{Client, RequestBuilder, Response, StatusCode, redirect};
use serde::Deserialize;
use std::time::Duration;
use url::Url;

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// No answer with a token is longer.
pub(super) const ANSWER_BYTES_MAX: usize = 1 << 20;
const ATTEMPTS: u32 = 4;
const PAUSE_FIRST: Duration = Duration::from_millis(500);
/// An endpoint may ask for a pause, up to this.
const PAUSE_MAX: Duration = Duration::from_secs(20);

/// How an endpoint is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    pub connect_limit: Duration,
    pub attempts: u32,
    /// False for an endpoint of this machine or its link.
    pub through_proxy: bool,
}

impl Manner {
    /// One that is known to be there.
    pub(super) const USUAL: Self = Self {
        connect_limit: CONNECT_LIMIT,
        attempts: ATTEMPTS,
        through_proxy: true,
    };
}

/// What an endpoint belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// A tenant of Entra ID.
    Tenant,
    /// App Service and its kin.
    Identity,
    /// A virtual machine.
    Metadata,
    /// The same, while it is being found out whether this machine has an identity.
    Probed { has_client_id: bool },
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Service::Tenant => "the token endpoint of Entra ID",
            Service::Identity => "the identity endpoint of this machine",
            Service::Metadata | Service::Probed { .. } => "the metadata service of this machine",
        }
    }

    /// What to do when it is not there, or does not know the login.
    fn remedy(self) -> &'static str {
        match self {
            Service::Tenant => {
                "check Authority Host or AZURE_AUTHORITY_HOST, the network and the proxy"
            }
            Service::Identity | Service::Metadata | Service::Probed { .. } => {
                "this machine has no managed identity, or `User ID` is not the client id of one assigned to it"
            }
        }
    }

    /// An answer that has no token for a reason that the body does not tell.
    fn nameless(self, status: StatusCode, message: String) -> TokenFailure {
        let is_absent = status == StatusCode::NOT_FOUND;
        // A metadata service that is starting or being updated answers so.
        let is_starting = is_absent || status == StatusCode::GONE;
        match self {
            Service::Probed { .. } if is_absent => TokenFailure::Unavailable(message),
            Service::Probed {
                has_client_id: false,
            } if status == StatusCode::BAD_REQUEST => TokenFailure::Unavailable(message),
            Service::Metadata | Service::Probed { .. } if is_starting => {
                TokenFailure::Absent(message)
            }
            Service::Tenant | Service::Identity | Service::Metadata | Service::Probed { .. } => {
                TokenFailure::Refused(message)
            }
        }
    }

    /// There was no connection.
    fn unreached(self, message: String) -> TokenFailure {
        match self {
            Service::Probed { .. } => TokenFailure::Unavailable(message),
            Service::Tenant | Service::Identity | Service::Metadata => {
                TokenFailure::Absent(message)
            }
        }
    }
}

/// An endpoint, for messages.
pub(super) struct Site {
    service: Service,
    /// With its host.
    name: String,
}

impl Site {
    pub(super) fn new(service: Service, endpoint: &str) -> Self {
        let url = Url::parse(endpoint).ok();
        let host = url.as_ref().and_then(|url| {
            let host = url.host_str()?;
            let port = url.port().map(|port| format!(":{port}"));
            Some(format!(" at {host}{}", port.unwrap_or_default()))
        });
        let name = format!("{}{}", service.name(), host.unwrap_or_default());
        Self { service, name }
    }
}

/// Why a request has brought no token.
struct Failed {
    failure: TokenFailure,
    /// It is worth asking again in a moment.
    is_repeated: bool,
    /// The pause that the endpoint asks for.
    pause: Option<Duration>,
}

impl Failed {
    fn once(failure: TokenFailure) -> Self {
        Self {
            failure,
            is_repeated: false,
            pause: None,
        }
    }

    /// Asked again where that may help.
    fn of(failure: TokenFailure) -> Self {
        Self {
            is_repeated: failure.passes(),
            failure,
            pause: None,
        }
    }
}

/// Asks until there is an answer other than "later".
pub(super) async fn ask(
    manner: Manner,
    site: &Site,
    request: impl Fn(&Client) -> RequestBuilder,
) -> Result<Token, TokenFailure> {
    let client = client(manner)
        .map_err(|_| TokenFailure::Refused("the HTTP client cannot be set up".into()))?;
    let mut pause = PAUSE_FIRST;
    let mut attempt = 1;
    loop {
        let failed = match once(&client, site, &request).await {
            Ok(token) => return Ok(token),
            Err(failed) => failed,
        };
        if !failed.is_repeated || attempt >= manner.attempts {
            return Err(failed.failure);
        }
        tokio::time::sleep(failed.pause.unwrap_or(pause).min(PAUSE_MAX)).await;
        pause *= 2;
        attempt += 1;
    }
}

fn client(manner: Manner) -> reqwest::Result<Client> {
    let builder = Client::builder()
        // A redirect would carry the secret to another host.
        .redirect(redirect::Policy::none())
        .connect_timeout(manner.connect_limit)
        .timeout(ANSWER_LIMIT);
    match manner.through_proxy {
        true => builder.build(),
        false => builder.no_proxy().build(),
    }
}

async fn once(
    client: &Client,
    site: &Site,
    request: &impl Fn(&Client) -> RequestBuilder,
) -> Result<Token, Failed> {
    let lost = |error: reqwest::Error| lost(site, &error);
    let response = request(client).send().await.map_err(lost)?;
    let status = response.status();
    let pause = response.headers().get(reqwest::header::RETRY_AFTER);
    let pause = pause.and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
    let pause = pause.map(Duration::from_secs);
    let (body, is_whole) = body(response).await.map_err(lost)?;
    match (status.is_success(), is_whole) {
        (true, true) => Token::answered(&body, &site.name).map_err(Failed::once),
        (true, false) => {
            let name = &site.name;
            let message = format!("{name} answered with more than 1 MiB, which is no token");
            Err(Failed::once(TokenFailure::Refused(message)))
        }
        (false, _) => Err(Failed {
            pause,
            ..Failed::of(refused(site, status, &body))
        }),
    }
}

/// The body of an answer up to [`ANSWER_BYTES_MAX`], and whether that is all of it.
async fn body(mut response: Response) -> reqwest::Result<(Vec<u8>, bool)> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = ANSWER_BYTES_MAX - body.len();
        body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
        if chunk.len() > room {
            return Ok((body, false));
        }
    }
    Ok((body, true))
}

/// Says how far a request came. The error's own text holds its address.
fn lost(site: &Site, error: &reqwest::Error) -> Failed {
    let Site { service, name } = site;
    if error.is_builder() {
        let message =
            format!("{name} cannot be asked: its address or a header for it is malformed");
        return Failed::once(TokenFailure::Refused(message));
    }
    if error.is_connect() {
        let how = match error.is_timeout() {
            true => "did not answer in time",
            false => "cannot be reached (name, network, proxy or certificate)",
        };
        let message = format!("{name} {how}; {}", service.remedy());
        return Failed::once(service.unreached(message));
    }
    let how = match error.is_timeout() {
        true => "did not answer in time",
        false => "broke the connection",
    };
    Failed::of(TokenFailure::Passing(format!("{name} {how}")))
}

/// What is known of a refusal: codes only.
fn refused(site: &Site, status: StatusCode, body: &[u8]) -> TokenFailure {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Problem {
        error: String,
        error_description: String,
    }
    let Site { service, name } = site;
    let problem: Problem = serde_json::from_slice(body).unwrap_or_default();
    let known = KNOWN_ERRORS.contains(&problem.error.as_str());
    let number = number(&problem.error_description);
    let number_text = number.map(|number| format!("AADSTS{number}"));
    let codes = [known.then_some(problem.error), number_text];
    let codes: String = codes
        .into_iter()
        .flatten()
        .map(|code| format!(" {code}"))
        .collect();
    let is_ambiguous = problem.error_description.starts_with(SEVERAL_IDENTITIES);
    let is_unknown = match service {
        Service::Tenant => status == StatusCode::NOT_FOUND,
        Service::Identity | Service::Metadata | Service::Probed { .. } => matches!(
            status,
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::GONE
        ),
    };
    let remedy = match (is_ambiguous, number) {
        (true, _) => Some(SEVERAL_REMEDY),
        (false, Some(number)) => remedy(number),
        (false, None) => is_unknown.then(|| service.remedy()),
    };
    let remedy = remedy.map_or_else(String::new, |remedy| format!("; {remedy}"));
    let message = format!("{name} answered {}{codes}{remedy}", status.as_u16());
    let is_busy = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
    let asks_again = number.is_some_and(|number| PASSING.contains(&number));
    match (is_busy || asks_again, is_ambiguous || number.is_some()) {
        (true, _) => TokenFailure::Passing(message),
        (false, true) => TokenFailure::Refused(message),
        (false, false) => service.nameless(status, message),
    }
}

/// The beginning of the metadata service's text for a machine with several identities, of which none was named.
const SEVERAL_IDENTITIES: &str = "Multiple user assigned identities";
const SEVERAL_REMEDY: &str =
    "this machine has several identities. Write the client id of one as User ID";

/// Of RFC 6749, 5.2, and of Entra ID. Another text is not shown.
const KNOWN_ERRORS: [&str; 10] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_resource",
    "interaction_required",
    "temporarily_unavailable",
    "access_denied",
];

/// Entra ID asks to try these again.
const PASSING: [u32; 2] = [90033, 50196];

/// The number of the error that a description begins with, such as `AADSTS7000215: ...`.
fn number(description: &str) -> Option<u32> {
    let digits = description.strip_prefix("AADSTS")?;
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    digits.get(..end)?.parse().ok()
}

fn remedy(number: u32) -> Option<&'static str> {
    match number {
        7_000_215 => Some("the secret is wrong. Write the secret's value, not its id"),
        7_000_222 => Some("the secret has expired. Create another for the application"),
        700_016 | 7_000_112 | 7_000_229 => Some(
            "the application is unknown in this tenant, or disabled there. Check the client id and the tenant",
        ),
        90_002 | 900_023 => Some("there is no such tenant. Check Tenant ID or AZURE_TENANT_ID"),
        700_027 => Some("the certificate is not registered for the application"),
        700_024 => {
            Some("the assertion has expired or is not valid yet. Check the clock of this machine")
        }
        700_213 | 70_021 | 700_211 | 700_212 => Some(
            "no federated credential of the application matches issuer, subject and audience of the token file",
        ),
        500_011 => Some("the scope is unknown in this tenant. Check Token Scope"),
        53_003 => Some("a policy of conditional access forbids it"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(service: Service) -> Site {
        Site {
            service,
            name: "it".into(),
        }
    }

    #[test]
    fn a_refusal_is_told_in_codes_and_a_remedy() {
        let body = br#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid secret hunter2."}"#;
        let failure = refused(&site(Service::Tenant), StatusCode::UNAUTHORIZED, body);
        let expected = "it answered 401 invalid_client AADSTS7000215; the secret is wrong. Write the secret's value, \
            not its id";
        assert_eq!(failure, TokenFailure::Refused(expected.into()));
    }

    #[test]
    fn no_text_of_an_endpoint_is_repeated() {
        for body in [
            &br#"{"error":"hunter2","error_description":"hunter2"}"#[..],
            br#"{"error":{"code":"hunter2"}}"#,
            b"hunter2",
            b"",
        ] {
            let failure = refused(&site(Service::Tenant), StatusCode::BAD_REQUEST, body);
            assert_eq!(failure, TokenFailure::Refused("it answered 400".into()));
        }
    }

    #[test]
    fn what_passes_is_told_from_what_does_not() {
        for (status, passes) in [
            (429, true),
            (500, true),
            (503, true),
            (404, false),
            (410, false),
            (400, false),
            (401, false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let failure = refused(&site(Service::Tenant), status, b"{}");
            assert_eq!(failure.passes(), passes, "{status}");
        }
        let busy = br#"{"error":"invalid_request","error_description":"AADSTS90033: later"}"#;
        assert!(refused(&site(Service::Tenant), StatusCode::BAD_REQUEST, busy).passes());
        // One that is starting, or is not there.
        for status in [StatusCode::NOT_FOUND, StatusCode::GONE] {
            let failure = refused(&site(Service::Metadata), status, b"{}");
            assert!(matches!(failure, TokenFailure::Absent(_)), "{failure:?}");
            assert!(failure.to_string().contains("no managed identity"));
        }
    }

    #[test]
    fn only_a_missing_identity_leads_on_to_another_login() {
        let unnamed = Service::Probed {
            has_client_id: false,
        };
        let named = Service::Probed {
            has_client_id: true,
        };
        let missing = r#"{"error":"invalid_request","error_description":"Identity not found"}"#;
        let several = r#"{"error":"invalid_request","error_description":"Multiple user assigned identities exist"}"#;
        let coded =
            r#"{"error":"invalid_resource","error_description":"AADSTS500011: no hunter2"}"#;
        for (service, status, body, leads_on) in [
            (unnamed, 400, missing, true),
            (unnamed, 404, "", true),
            (named, 404, "", true),
            (named, 400, missing, false),
            (unnamed, 400, several, false),
            (unnamed, 400, coded, false),
            (unnamed, 401, "", false),
            (unnamed, 410, "", false),
            (unnamed, 429, "", false),
            (unnamed, 500, "", false),
            (Service::Metadata, 400, missing, false),
            (Service::Identity, 400, missing, false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let failure = refused(&site(service), status, body.as_bytes());
            let is_unavailable = matches!(failure, TokenFailure::Unavailable(_));
            assert_eq!(is_unavailable, leads_on, "{service:?} {status}: {failure}");
            assert!(!failure.to_string().contains("hunter2"), "{failure}");
        }
    }

    /// Answers once, with a status and a body.
    async fn answering(status: u16, body: Vec<u8>) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.read(&mut [0; 4096]).await;
            let length = body.len();
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n");
            let _ = socket.write_all(head.as_bytes()).await;
            let _ = socket.write_all(&body).await;
        });
        url
    }

    async fn asked(url: &str, service: Service) -> Result<Token, TokenFailure> {
        let manner = Manner {
            through_proxy: false,
            attempts: 1,
            ..Manner::USUAL
        };
        ask(manner, &Site::new(service, url), |client| client.get(url)).await
    }

    #[tokio::test]
    async fn an_answer_is_read_up_to_a_limit() {
        let mut whole = br#"{"access_token":"abc"}"#.to_vec();
        whole.resize(ANSWER_BYTES_MAX, b' ');
        let url = answering(200, whole.clone()).await;
        let token = asked(&url, Service::Tenant).await.unwrap();
        assert_eq!(token.text.expose(), "abc");
        whole.push(b' ');
        let url = answering(200, whole.clone()).await;
        let failure = asked(&url, Service::Tenant).await.unwrap_err();
        assert!(matches!(failure, TokenFailure::Refused(_)), "{failure:?}");
        assert!(failure.to_string().contains("1 MiB"), "{failure}");
        // A page of an overloaded proxy is still one.
        let url = answering(503, whole).await;
        let failure = asked(&url, Service::Tenant).await.unwrap_err();
        assert!(matches!(failure, TokenFailure::Passing(_)), "{failure:?}");
    }

    #[tokio::test]
    async fn an_endpoint_that_is_not_there_is_named_with_a_remedy() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let url = format!("http://{address}");
        for (service, remedy) in [
            (Service::Tenant, "check Authority Host"),
            (Service::Identity, "has no managed identity"),
            (Service::Metadata, "has no managed identity"),
        ] {
            let failure = asked(&url, service).await.unwrap_err();
            assert!(matches!(failure, TokenFailure::Absent(_)), "{failure:?}");
            let said = failure.to_string();
            let names = said.contains(&address.to_string());
            assert!(names && said.contains(remedy), "{said}");
        }
        let probed = Service::Probed {
            has_client_id: true,
        };
        let failure = asked(&url, probed).await.unwrap_err();
        assert!(matches!(failure, TokenFailure::Unavailable(_)));
    }
}
