//! What must not be printed.
//!
//! - A [`Secret`] (a connection string, a password) is never printed.
//! - A [`RowValue`] (a key, a value, a text that quotes one) is printed only if row values were asked for, with
//!   `--show-values`. Whatever comes from rows and may reach a message, a log or a report goes through one.
//!
//! Libraries quote what they refuse. Their errors go through the functions here, which keep what is known to hold no
//! value.

use arrow_schema::ArrowError;
use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

/// A text that is never shown. It is no `Serialize`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for a login only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Of the process: what is printed is made in every module.
static VALUES_ARE_SHOWN: AtomicBool = AtomicBool::new(false);

/// Lets row values be printed from now on.
pub fn show_values() {
    VALUES_ARE_SHOWN.store(true, Ordering::Relaxed);
}

/// Whether row values may be printed.
pub fn values_are_shown() -> bool {
    VALUES_ARE_SHOWN.load(Ordering::Relaxed)
}

/// What stands for a row value that is not printed.
pub const NOT_SHOWN: &str = "(not shown without --show-values)";

/// A value of a row, or a text that may quote one.
#[derive(Clone, PartialEq, Eq)]
pub struct RowValue<T>(pub T);

impl<T: fmt::Display> fmt::Display for RowValue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if values_are_shown() {
            self.0.fmt(f)
        } else {
            f.write_str(NOT_SHOWN)
        }
    }
}

impl<T: fmt::Display> fmt::Debug for RowValue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a panic said. A text that was compiled into the program holds no value; one that was put together may.
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    let compiled = panic.downcast_ref::<&'static str>();
    let made = panic.downcast_ref::<String>();
    match (compiled, made) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => RowValue(text).to_string(),
        (None, None) => "without a message".to_owned(),
    }
}

/// An error of Arrow, without the values that it quotes.
pub fn arrow_error(error: ArrowError) -> ArrowError {
    let hidden = |text: String| RowValue(text).to_string();
    match error {
        ArrowError::CastError(text) => ArrowError::CastError(hidden(text)),
        ArrowError::ParseError(text) => ArrowError::ParseError(hidden(text)),
        ArrowError::ComputeError(text) => ArrowError::ComputeError(hidden(text)),
        ArrowError::ArithmeticOverflow(text) => ArrowError::ArithmeticOverflow(hidden(text)),
        ArrowError::ExternalError(error) => {
            ArrowError::ExternalError(hidden(error.to_string()).into())
        }
        // What these say is about columns, types, lengths and files.
        other => other,
    }
}

/// What is wrong with a JSON text, without the values that it holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonProblem(String);

impl From<serde_json::Error> for JsonProblem {
    fn from(error: serde_json::Error) -> Self {
        use serde_json::error::Category;
        Self(match error.classify() {
            Category::Io | Category::Syntax | Category::Eof => error.to_string(),
            Category::Data => format!(
                "what stands at line {} column {} does not belong there",
                error.line(),
                error.column()
            ),
        })
    }
}

/// Whether a word is one of those that are known but for a slip or two. Such a word is quoted although it stands where
/// a secret may stand by mistake: it tells no more than the known word does.
pub fn is_nearly<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> bool {
    let near = |name: &str| distance(word, name) <= (name.len() / 3).min(2);
    word.len() <= 40 && known.into_iter().any(near)
}

/// How many characters are to be changed, added or removed to make one text of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in b.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_prints_a_secret_or_a_value_that_was_not_asked_for() {
        let secret = Secret::new("hunter2");
        assert_eq!(
            format!("{secret} {secret:?} {:#?}", Some(&secret))
                .matches("hunter2")
                .count(),
            0
        );
        assert_eq!(secret.expose(), "hunter2");
        let value = RowValue("Ada");
        assert_eq!(
            format!("{value}|{value:?}"),
            format!("{NOT_SHOWN}|{NOT_SHOWN}")
        );
    }

    #[test]
    fn of_a_panic_only_a_compiled_text_is_shown() {
        assert_eq!(panic_text(&"out of range"), "out of range");
        assert_eq!(panic_text(&"it is inside `Ada`".to_owned()), NOT_SHOWN);
        assert_eq!(panic_text(&7), "without a message");
    }

    #[test]
    fn errors_of_libraries_lose_their_values() {
        let cast = arrow_error(ArrowError::CastError("Can't cast value 'Ada'".into()));
        assert_eq!(cast.to_string(), format!("Cast error: {NOT_SHOWN}"));
        let schema = arrow_error(ArrowError::SchemaError("no field id".into()));
        assert!(schema.to_string().contains("no field id"));

        let problem = |text: &str| {
            let error = serde_json::from_str::<u32>(text).unwrap_err();
            JsonProblem::from(error).to_string()
        };
        let wrong = problem("\"Ada\"");
        assert!(
            wrong.contains("line 1") && !wrong.contains("Ada"),
            "{wrong}"
        );
        assert!(problem("Ada").contains("line 1"));
    }

    #[test]
    fn a_slip_is_told_from_another_word() {
        for (word, is_near) in [
            ("chnage", true),
            ("keys", true),
            ("key", true),
            ("kys", false),
            ("password", false),
            ("hunter2", false),
            ("", false),
        ] {
            assert_eq!(
                is_nearly(word, ["change", "key", "tables"]),
                is_near,
                "{word}"
            );
        }
    }
}
