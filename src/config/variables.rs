//! `${NAME}` in the values of a configuration file, and values that are more than text.
//!
//! Guarantee: no complaint holds a value of the file, or what a variable stands for. Texts are deserialised as they are
//! written, and variables are replaced afterwards.

use crate::secret::Secret;
use bytesize::ByteSize;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// A complaint: the path inside the file and what is wrong there.
pub(super) type Complaint = (String, String);

/// Answers environment variables.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A text as the file has it, perhaps with variables in it.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Text(String);

impl Text {
    /// As it is written.
    pub(super) fn of(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// With variables replaced, to be shown to nobody.
    pub(super) fn secret(&self, lookup: Lookup<'_>, at: &str) -> Result<Secret, Complaint> {
        let expanded = expand(&self.0, lookup);
        expanded
            .map(Secret::new)
            .map_err(|why| (at.to_owned(), why))
    }

    /// With variables replaced. What will be shown, as names are, must not be a connection string that got here by
    /// mistake.
    pub(super) fn plain(&self, lookup: Lookup<'_>, at: &str) -> Result<String, Complaint> {
        let secret = self.secret(lookup, at)?;
        let text = secret.expose();
        match is_connection(text) {
            true => Err(misplaced(at)),
            false => Ok(text.to_owned()),
        }
    }

    /// A value that is written as text; `what` says how.
    fn parsed<T>(
        &self,
        lookup: Lookup<'_>,
        at: &str,
        what: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, Complaint> {
        let text = self.plain(lookup, at)?;
        parse(&text).ok_or_else(|| (at.to_owned(), format!("{} not {what}", subject(&self.0))))
    }

    /// As humans write it: `500ms`, `1h 30m`.
    pub(super) fn duration(&self, lookup: Lookup<'_>, at: &str) -> Result<Duration, Complaint> {
        self.parsed(
            lookup,
            at,
            "a duration, such as 500ms, 5s, 1h 30m or 7d",
            |text| humantime::parse_duration(text).ok(),
        )
    }

    /// A list of texts with variables replaced.
    pub(super) fn all(
        texts: &[Text],
        lookup: Lookup<'_>,
        at: &str,
    ) -> Result<Vec<String>, Complaint> {
        let texts = texts.iter().enumerate();
        let texts = texts.map(|(index, text)| text.plain(lookup, &format!("{at}[{index}]")));
        texts.collect()
    }

    /// Texts by names that the file chooses, with variables in the texts replaced.
    pub(super) fn named(
        texts: &BTreeMap<String, Text>,
        lookup: Lookup<'_>,
        at: &str,
    ) -> Result<BTreeMap<String, String>, Complaint> {
        let texts = texts.iter().map(|(name, text)| match is_connection(name) {
            true => Err(misplaced(at)),
            false => Ok((name.clone(), text.plain(lookup, at)?)),
        });
        texts.collect()
    }
}

/// A number of bytes, alone or with a unit.
pub(super) struct Size(Text);

impl Size {
    pub(super) fn bytes(&self, lookup: Lookup<'_>, at: &str) -> Result<ByteSize, Complaint> {
        let what = "a size, such as 64MiB or 1GiB";
        self.0.parsed(lookup, at, what, |text| text.parse().ok())
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrText;

        impl Visitor<'_> for NumberOrText {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size, such as 64MiB")
            }

            fn visit_u64<E: Error>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size(Text(bytes.to_string())))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
                Ok(Size(Text(text.to_owned())))
            }
        }
        deserializer.deserialize_any(NumberOrText)
    }
}

/// Whether a text looks like a connection string of a server or of a storage account.
fn is_connection(text: &str) -> bool {
    let mut text = text.to_lowercase();
    text.retain(|c| !c.is_whitespace());
    let has = |names: &[&str]| names.iter().any(|name| text.contains(name));
    let login = ["server=", "datasource=", "userid=", "uid="];
    let storage = [
        "accountkey=",
        "sharedaccesskey=",
        "sharedaccesssignature=",
        "?sig=",
        "&sig=",
    ];
    has(&["password=", "pwd=", "mssql://", "sqlserver://"])
        || has(&["accesstoken=", "access_token=", "accesstokencommand="])
        || has(&storage)
        || text.contains(';') && has(&login)
}

fn misplaced(at: &str) -> Complaint {
    let message = "holds a connection string (not shown), which belongs in `source: { connection: ... }` or `target: { \
        connection: ... }`";
    (at.to_owned(), message.to_owned())
}

/// How a complaint about a value begins, which says where the value comes from.
pub(super) fn subject(text: &str) -> String {
    let names: Vec<String> = parts(text)
        .into_iter()
        .flatten()
        .filter_map(|part| match part {
            Part::Variable { name, .. } => Some(format!("`{name}`")),
            Part::Plain(_) => None,
        })
        .collect();
    match names.as_slice() {
        [] => "is".to_owned(),
        [name] => format!("the value of environment variable {name} is"),
        names => format!(
            "the value of environment variables {} is",
            names.join(" and ")
        ),
    }
}

/// Whether a text has variables, or tries to.
pub(super) fn has_variables(text: &str) -> bool {
    text.contains("${")
}

/// Replaces `${NAME}` and `${NAME:-default}`; `$${` stands for a plain `${`.
pub(super) fn expand(text: &str, lookup: Lookup<'_>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    for part in parts(text)? {
        match part {
            Part::Plain(text) => out.push_str(text),
            Part::Variable { name, default } => {
                let found = lookup(name).or_else(|| default.map(str::to_owned));
                out.push_str(&found.ok_or_else(|| {
                    format!(
                        "environment variable `{name}` is not set; set it, or write ${{{name}:-default}}"
                    )
                })?);
            }
        }
    }
    Ok(out)
}

/// A part of a text.
enum Part<'a> {
    Plain(&'a str),
    Variable {
        name: &'a str,
        default: Option<&'a str>,
    },
}

fn parts(text: &str) -> Result<Vec<Part<'_>>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, after) = rest.split_at(start);
        if let Some(before) = before.strip_suffix('$') {
            parts.extend([Part::Plain(before), Part::Plain("${")]);
            rest = &after[2..];
            continue;
        }
        parts.push(Part::Plain(before));
        let Some(end) = after.find('}') else {
            return Err(
                "a `${` is not closed with `}`; write `$${` for the characters themselves".into(),
            );
        };
        let inside = &after[2..end];
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        // Anything else may be a secret in the wrong place.
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(
                "a `${` is not followed by the name of an environment variable (letters, digits and `_`) and `}`; \
                    write `$${` for the characters themselves"
                    .into(),
            );
        }
        parts.push(Part::Variable { name, default });
        rest = &after[end + 1..];
    }
    parts.push(Part::Plain(rest));
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "A" => Some("1".to_owned()),
            "LOGIN" => Some("Server=h;User ID=u;PWD=Ada".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_expanded_with_defaults_and_escapes() {
        let expanded = expand("x${A}y${B:-2}$${A}", &lookup);
        assert_eq!(expanded, Ok("x1y2${A}".into()));
        assert!(expand("${B}", &lookup).is_err_and(|why| why.contains("`B` is not set")));
    }

    #[test]
    fn only_a_name_is_quoted() {
        for text in [
            "${Server=h;Password=Ada}",
            "${Ada hides}",
            "${Ada",
            "${:-Ada}",
            "${B} Ada",
            "${B-Ada}",
        ] {
            let why = expand(text, &lookup).expect_err(text);
            assert!(!why.contains("Ada"), "{why}");
        }
    }

    #[test]
    fn values_say_where_they_come_from_and_are_not_shown() {
        for (text, says) in [
            ("5 Ada", "at: is not a duration, such as 500ms"),
            (
                "${A} Ada",
                "at: the value of environment variable `A` is not a duration",
            ),
            ("${LOGIN}", "at: holds a connection string (not shown)"),
            ("Server=h;Password=Ada", "at: holds a connection string"),
            ("mssql://u:Ada@h", "at: holds a connection string"),
            ("Access Token = Ada", "at: holds a connection string"),
            (
                "User ID = u; Password = Ada",
                "at: holds a connection string",
            ),
        ] {
            let complaint = Text(text.into()).duration(&lookup, "at");
            let (at, message) = complaint.expect_err(text);
            let said = format!("{at}: {message}");
            assert!(said.starts_with(says) && !said.contains("Ada"), "{said}");
        }
        let lag = Text("1h 30m".into()).duration(&lookup, "at").unwrap();
        assert_eq!(lag, Duration::from_secs(5400));
        let size = Size(Text("${A}MiB".into())).bytes(&lookup, "at").unwrap();
        assert_eq!(size, ByteSize::mib(1));
        let secret = Text("${LOGIN}".into()).secret(&lookup, "at").unwrap();
        assert_eq!(secret.expose(), "Server=h;User ID=u;PWD=Ada");
    }

    #[test]
    fn names_of_a_mapping_are_no_place_for_a_connection() {
        let texts = BTreeMap::from([("Server=h;Password=Ada".to_owned(), Text("x".into()))]);
        let (_, message) = Text::named(&texts, &lookup, "at").unwrap_err();
        assert!(
            message.contains("connection string") && !message.contains("Ada"),
            "{message}"
        );
    }
}
