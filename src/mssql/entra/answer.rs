//! Tokens as endpoints and commands answer them.

use super::failure::TokenFailure;
use crate::secret::Secret;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;
use serde_json::Value;
use std::time::{Duration, SystemTime};

/// A token is not used when it expires this soon: a login takes its time, and clocks differ.
const MARGIN: Duration = Duration::from_secs(300);
/// How long a token is used that does not say when it expires.
const UNSAID: Duration = Duration::from_secs(300);

/// An access token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub text: Secret,
    /// Used until then.
    until: SystemTime,
}

/// The fields of every endpoint, and of the Azure CLI, that matter. Numbers are often written as texts.
#[derive(Deserialize)]
struct Answer {
    #[serde(alias = "accessToken", alias = "token")]
    access_token: Option<String>,
    expires_in: Option<Value>,
    expires_on: Option<Value>,
}

/// Why a text is not used as a token.
enum Flaw {
    NotOne,
    /// Then.
    Expired(SystemTime),
}

impl Token {
    /// `expiry` is what came with the text; without it the text's own counts.
    fn new(text: &str, expiry: Option<SystemTime>) -> Result<Self, Flaw> {
        // What a token consists of. Anything else is a message or a page.
        let is_token = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
        if text.is_empty() || !text.chars().all(is_token) {
            return Err(Flaw::NotOne);
        }
        let expiry = expiry.or_else(|| claimed(text));
        if let Some(expiry) = expiry.filter(|expiry| *expiry < SystemTime::now()) {
            return Err(Flaw::Expired(expiry));
        }
        let until = expiry.map(|expiry| expiry.checked_sub(MARGIN).unwrap_or(expiry));
        Ok(Self {
            text: Secret::new(text),
            until: until.unwrap_or_else(|| SystemTime::now() + UNSAID),
        })
    }

    /// From the JSON document of an endpoint or of the Azure CLI.
    pub(super) fn answered(json: &[u8], of: &str) -> Result<Self, TokenFailure> {
        let unread = || TokenFailure::Refused(format!("{of} answered without a token"));
        let answer: Answer = serde_json::from_slice(json).map_err(|_| unread())?;
        let text = answer.access_token.ok_or_else(unread)?;
        let lives = answer.expires_in.as_ref().and_then(seconds);
        let expiry = answer.expires_on.as_ref().and_then(seconds);
        let expiry = match (lives, expiry) {
            (Some(lives), _) => SystemTime::now().checked_add(Duration::from_secs(lives)),
            (None, Some(at)) => SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(at)),
            (None, None) => None,
        };
        Self::new(&text, expiry).map_err(|flaw| match flaw {
            Flaw::NotOne => unread(),
            Flaw::Expired(at) => expired(&format!("{of} answered with a token that"), at),
        })
    }

    /// From a text: the token alone, or a JSON document with it.
    pub(super) fn printed(text: &str, of: &str) -> Result<Self, TokenFailure> {
        let text = text.trim();
        if text.starts_with('{') {
            return Self::answered(text.as_bytes(), of);
        }
        Self::new(text, None).map_err(|flaw| match flaw {
            Flaw::NotOne => TokenFailure::Refused(format!(
                "{of} is not a token, nor a JSON document with `access_token` or `accessToken` (not shown)"
            )),
            Flaw::Expired(at) => expired(of, at),
        })
    }

    /// Whether it may be used still.
    pub(super) fn is_fresh(&self, now: SystemTime) -> bool {
        now < self.until
    }
}

/// A server would refuse it like that of an unknown user.
fn expired(what: &str, at: SystemTime) -> TokenFailure {
    let at = DateTime::<Utc>::from(at).to_rfc3339_opts(SecondsFormat::Secs, true);
    TokenFailure::Refused(format!(
        "{what} expired at {at}. Get a new one, and check the clock of this machine"
    ))
}

fn seconds(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// When a token says that it expires: the claim `exp` of a JSON Web Token.
fn claimed(token: &str) -> Option<SystemTime> {
    #[derive(Deserialize)]
    struct Claims {
        exp: u64,
    }
    let payload = token.split('.').nth(1)?;
    let mut payload = payload.replace('-', "+").replace('_', "/");
    while !payload.len().is_multiple_of(4) {
        payload.push('=');
    }
    let json = openssl::base64::decode_block(&payload).ok()?;
    let claims: Claims = serde_json::from_slice(&json).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(claims.exp))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(token: &Token) -> u64 {
        let left = token.until.duration_since(SystemTime::now());
        left.map_or(0, |left| left.as_secs())
    }

    /// The middle of a JSON Web Token that expires then.
    fn claims(at: u64) -> String {
        let claims = format!("{{\"exp\":{at},\"x\":\"\u{ff}\u{fe}\"}}");
        let claims = openssl::base64::encode_block(claims.as_bytes());
        let claims = claims.replace('+', "-").replace('/', "_");
        claims.replace(['=', '\n'], "")
    }

    #[test]
    fn an_expired_token_is_not_sent() {
        let web = format!("hunter2.{}.s", claims(1_600_000_000));
        let on = r#"{"access_token":"hunter2","expires_on":"1600000000"}"#;
        for (text, says) in [
            (
                web.as_str(),
                "the Access Token expired at 2020-09-13T12:26:40Z",
            ),
            (on, "with a token that expired at 2020-09-13T12:26:40Z"),
        ] {
            let failure = Token::printed(text, "the Access Token").unwrap_err();
            assert!(matches!(failure, TokenFailure::Refused(_)), "{failure}");
            let said = failure.to_string();
            assert!(said.contains(says) && !said.contains("hunter2"), "{said}");
        }
    }

    #[test]
    fn a_token_is_used_until_shortly_before_it_expires() {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let at = now.unwrap().as_secs() + 3600;
        let claims = claims(at);
        for text in [
            r#"{"access_token":"t","expires_in":3600}"#.to_owned(),
            r#"{"access_token":"t","expires_in":"3600","token_type":"Bearer"}"#.to_owned(),
            format!(r#"{{"access_token":"t","expires_on":"{at}"}}"#),
            format!(r#"{{"accessToken":"t","expiresOn":"2030-01-01 00:00:00","expires_on":{at}}}"#),
            format!("h.{claims}.s\n"),
        ] {
            let token = Token::printed(&text, "it").unwrap();
            assert!(
                (3290..=3300).contains(&left(&token)),
                "{text}: {}",
                left(&token)
            );
            assert!(token.is_fresh(SystemTime::now()));
            assert!(!token.is_fresh(SystemTime::now() + Duration::from_secs(3310)));
        }
        let unsaid = Token::printed("opaque", "it").unwrap();
        assert!((290..=300).contains(&left(&unsaid)));
        let short = Token::printed(r#"{"access_token":"t","expires_in":60}"#, "it").unwrap();
        assert!(!short.is_fresh(SystemTime::now()));
    }

    #[test]
    fn what_is_no_token_is_not_shown() {
        for text in [
            "",
            "hunter2 or so",
            "<html>hunter2",
            "{\"x\":\"hunter2\"}",
            "{hunter2",
            "a\nhunter2",
        ] {
            let failure = Token::printed(text, "the command's output").unwrap_err();
            assert!(!failure.to_string().contains("hunter2"), "{failure}");
            assert!(!failure.passes());
        }
    }
}
