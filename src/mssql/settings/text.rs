//! The two spellings of a connection, each to names and values.

use super::error::ConnectionError;

const KEY_VALUE: &str =
    "a setting is written key=value, and a value that contains ; is quoted, as in Password=\"a;b\"";

/// Names and values, in the order of the text.
pub(super) type Settings = Vec<(String, String)>;

/// Splits `key=value;...`. A value may stand in double or single quotes (doubled inside) or, as ODBC writes it, in
/// braces.
pub(super) fn settings_of_ado(text: &str) -> Result<Settings, ConnectionError> {
    let mut settings = Vec::new();
    let mut rest = text;
    let mut part = 0;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ';');
        if rest.is_empty() {
            return Ok(settings);
        }
        part += 1;
        let malformed = |problem| ConnectionError::Malformed { part, problem };
        let equals = rest.find('=').ok_or_else(|| malformed(KEY_VALUE))?;
        if rest[..equals].contains(';') {
            return Err(malformed(KEY_VALUE));
        }
        let key = rest[..equals].trim().to_owned();
        if key.is_empty() {
            return Err(malformed("a setting has no name"));
        }
        let value = rest[equals + 1..].trim_start();
        let closing = match value.chars().next() {
            Some('"') => Some('"'),
            Some('\'') => Some('\''),
            Some('{') => Some('}'),
            _ => None,
        };
        match closing {
            Some(quote) => {
                let (inner, after) = quoted(&value[1..], quote)
                    .ok_or_else(|| malformed("a quoted value is not closed"))?;
                let after = after.trim_start();
                if !(after.is_empty() || after.starts_with(';')) {
                    return Err(malformed(
                        "text follows a quoted value; put ; between settings",
                    ));
                }
                settings.push((key, inner));
                rest = after;
            }
            None => {
                let end = value.find(';').unwrap_or(value.len());
                settings.push((key, value[..end].trim_end().to_owned()));
                rest = &value[end..];
            }
        }
    }
}

/// Reads up to the closing quote (doubled stands for one); returns the value and what follows.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != quote {
            value.push(c);
        } else if matches!(chars.peek(), Some((_, next)) if *next == quote) {
            value.push(quote);
            chars.next();
        } else {
            return Some((value, &text[at + c.len_utf8()..]));
        }
    }
    None
}

pub(super) fn settings_of_url(text: &str) -> Result<Settings, ConnectionError> {
    let malformed = |problem| ConnectionError::Malformed { part: 1, problem };
    let url = url::Url::parse(text).map_err(|_| {
        malformed("write mssql://user:password@host:1433/database and percent-encode special characters such as @ : / \
            # in the password")
    })?;
    let decode = |part: &str| -> Result<String, ConnectionError> {
        percent_decode(part)
            .ok_or_else(|| malformed("a % is not followed by two hex digits of UTF-8"))
    };
    let mut settings = Settings::new();
    let host = url
        .host_str()
        .filter(|host| !host.is_empty())
        .ok_or(ConnectionError::Missing("a host"))?;
    let host = decode(host.trim_start_matches('[').trim_end_matches(']'))?;
    settings.push(("Server".into(), host));
    if let Some(port) = url.port() {
        settings.push(("Port".into(), port.to_string()));
    }
    if !url.username().is_empty() {
        settings.push(("User ID".into(), decode(url.username())?));
    }
    if let Some(password) = url.password() {
        settings.push(("Password".into(), decode(password)?));
    }
    let path = url.path().trim_start_matches('/');
    if path.contains('/') {
        return Err(malformed("the path names one database"));
    }
    if !path.is_empty() {
        settings.push(("Database".into(), decode(path)?));
    }
    for pair in url
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
    {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        settings.push((decode(key)?, decode(value)?));
    }
    Ok(settings)
}

/// A value that is yes or no.
pub(super) fn boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" => Some(true),
        "false" | "no" | "0" => Some(false),
        _ => None,
    }
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%' {
            let hex = after
                .get(..2)
                .and_then(|hex| std::str::from_utf8(hex).ok())?;
            if !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return None;
            }
            bytes.push(u8::from_str_radix(hex, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}
