//! Tokens as endpoints and commands answer them.

use super::failure::TokenFailure;
use crate::secret::Secret;
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

impl Token {
    fn new(text: &str, until: Option<SystemTime>) -> Option<Self> {
        // What a token consists of. Anything else is a message or a page.
        let is_token = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
        if text.is_empty() || !text.chars().all(is_token) {
            return None;
        }
        let until = until.or_else(|| claimed(text));
        let until = until.map(|expiry| expiry.checked_sub(MARGIN).unwrap_or(expiry));
        Some(Self {
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
        let until = answer.expires_on.as_ref().and_then(seconds);
        let until = match (lives, until) {
            (Some(lives), _) => SystemTime::now().checked_add(Duration::from_secs(lives)),
            (None, Some(at)) => SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(at)),
            (None, None) => None,
        };
        Self::new(&text, until).ok_or_else(unread)
    }

    /// From a text: the token alone, or a JSON document with it.
    pub(super) fn printed(text: &str, of: &str) -> Result<Self, TokenFailure> {
        let text = text.trim();
        if text.starts_with('{') {
            return Self::answered(text.as_bytes(), of);
        }
        Self::new(text, None).ok_or_else(|| {
            TokenFailure::Refused(format!(
                "{of} is not a token, nor a JSON document with `access_token` or `accessToken` (not shown)"
            ))
        })
    }

    /// Whether it may be used still.
    pub(super) fn is_fresh(&self, now: SystemTime) -> bool {
        now < self.until
    }
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

    #[test]
    fn a_token_is_used_until_shortly_before_it_expires() {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let at = now.unwrap().as_secs() + 3600;
        let claims = format!("{{\"exp\":{at},\"x\":\"\u{ff}\u{fe}\"}}");
        let claims = openssl::base64::encode_block(claims.as_bytes());
        let claims = claims
            .replace('+', "-")
            .replace('/', "_")
            .replace(['=', '\n'], "");
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
