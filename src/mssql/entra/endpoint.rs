//! Requests for tokens over HTTP: what is repeated, and what an answer means.

use super::answer::Token;
use super::failure::TokenFailure;
use reqwest::{Client, RequestBuilder, StatusCode, redirect};
use serde::Deserialize;
use std::time::Duration;

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
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

/// Asks until there is an answer other than "later". `of` names the endpoint in messages.
pub(super) async fn ask(
    manner: Manner,
    of: &str,
    request: impl Fn(&Client) -> RequestBuilder,
) -> Result<Token, TokenFailure> {
    let client = client(manner)
        .map_err(|_| TokenFailure::Refused("the HTTP client cannot be set up".into()))?;
    let mut pause = PAUSE_FIRST;
    let mut attempt = 1;
    loop {
        let (failure, asked) = match once(&client, of, &request).await {
            Ok(token) => return Ok(token),
            Err(outcome) => outcome,
        };
        if !failure.passes() || attempt >= manner.attempts {
            return Err(failure);
        }
        tokio::time::sleep(asked.unwrap_or(pause).min(PAUSE_MAX)).await;
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

/// With a failure, the pause that the endpoint asks for.
async fn once(
    client: &Client,
    of: &str,
    request: &impl Fn(&Client) -> RequestBuilder,
) -> Result<Token, (TokenFailure, Option<Duration>)> {
    type Failed = (TokenFailure, Option<Duration>);
    let lost =
        |error: reqwest::Error| -> Failed { (TokenFailure::Passing(unreached(of, &error)), None) };
    let response = request(client).send().await.map_err(lost)?;
    let status = response.status();
    let asked = response.headers().get(reqwest::header::RETRY_AFTER);
    let asked = asked.and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
    let asked = asked.map(Duration::from_secs);
    let body = response.bytes().await.map_err(lost)?;
    if status.is_success() {
        return Token::answered(&body, of).map_err(|failure| (failure, None));
    }
    Err((refused(of, status, &body), asked))
}

/// Says how far a request came. The error's own text holds its address.
fn unreached(of: &str, error: &reqwest::Error) -> String {
    let how = match (error.is_timeout(), error.is_connect()) {
        (true, _) => "did not answer in time",
        (false, true) => "cannot be reached (name, network, proxy or certificate)",
        (false, false) => "broke the connection",
    };
    format!("{of} {how}")
}

/// What is known of a refusal: codes only.
fn refused(of: &str, status: StatusCode, body: &[u8]) -> TokenFailure {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Problem {
        error: String,
        error_description: String,
    }
    let problem: Problem = serde_json::from_slice(body).unwrap_or_default();
    let known = KNOWN_ERRORS.contains(&problem.error.as_str());
    let mut codes = Vec::new();
    if known {
        codes.push(problem.error.clone());
    }
    let number = number(&problem.error_description);
    codes.extend(number.map(|number| format!("AADSTS{number}")));
    let codes = match codes.is_empty() {
        true => String::new(),
        false => format!(" {}", codes.join(" ")),
    };
    let remedy = number
        .and_then(remedy)
        .map_or_else(String::new, |remedy| format!("; {remedy}"));
    let message = format!("{of} answered {}{codes}{remedy}", status.as_u16());
    let is_busy = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
    let asks_again = number.is_some_and(|number| PASSING.contains(&number));
    // The metadata service is not ready yet, or is being updated.
    let is_starting = matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) && !known;
    match is_busy || asks_again || is_starting {
        true => TokenFailure::Passing(message),
        false => TokenFailure::Refused(message),
    }
}

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

    #[test]
    fn a_refusal_is_told_in_codes_and_a_remedy() {
        let body = br#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid secret hunter2."}"#;
        let failure = refused("it", StatusCode::UNAUTHORIZED, body);
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
            let failure = refused("it", StatusCode::BAD_REQUEST, body);
            assert_eq!(failure, TokenFailure::Refused("it answered 400".into()));
        }
    }

    #[test]
    fn what_passes_is_told_from_what_does_not() {
        for (status, passes) in [
            (429, true),
            (500, true),
            (503, true),
            (404, true),
            (400, false),
            (401, false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(refused("it", status, b"{}").passes(), passes, "{status}");
        }
        let busy = br#"{"error":"invalid_request","error_description":"AADSTS90033: later"}"#;
        assert!(refused("it", StatusCode::BAD_REQUEST, busy).passes());
    }
}
