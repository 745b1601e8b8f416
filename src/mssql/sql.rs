//! All T-SQL that icesync sends is written in this module: identifiers only through [`Ident`], values only as
//! parameters.
//!
//! Text parameters travel as `nvarchar` and become the column's exact type on the server
//! ([`mapping::parameter_conversion`]). Comparing a column with a value of another type is either wrong (`datetime`
//! against `datetime2` since compatibility level 130) or slow (an index on a `varchar` column cannot be sought with
//! `nvarchar`).
//!
//! | module | statements |
//! |---|---|
//! | [`environment`] | what server, database and login are |
//! | [`access`] | what the login may do |
//! | [`describe`] | what a table looks like |
//! | [`definition`] | what it has besides columns and key |
//! | [`bounds`] | how far a window may reach |
//! | [`read`] | the rows of a table, a window, a page |
//! | [`digest`] | digests of the rows of a table, for a comparison |
//! | [`tracked`] | the rows that a log of changed keys leads to |
//! | [`define`] | schemas, tables, staging tables, locks |
//! | [`create`] | a target, its indexes, defaults and checks; [`enclosed`] is what they take in of another server |
//! | [`fill`] | the key and the publication of a table that a first load has filled |
//! | [`merge`] | the one transaction of a load; `compare` has what of a value it compares |
//! | `newest` | its choice between spellings of one key |
//! | `soft` | deletes of an upsert that only mark rows, or do nothing |
//! | `scd2` | the versions of a history, each with the time for which it was valid |
//! | [`aside`] | the transaction of a load that sets rows aside; `faults` marks values that cannot be converted |
//! | [`quarantine`] | the rows that were set aside |
//! | [`state`] | what a target has loaded |
//! | [`upkeep`] | what a target has loaded, changed outside of loads |
//! | [`variant`] | values of `sql_variant` with their base types |
//! | [`catalogue`](mod@catalogue) | an example of each statement, for review and for Microsoft's parser |

pub mod access;
pub mod aside;
pub mod bounds;
pub mod catalogue;
mod compare;
pub mod create;
pub mod define;
pub mod definition;
pub mod describe;
pub mod digest;
pub mod enclosed;
pub mod environment;
mod faults;
pub mod fill;
pub mod foreign;
pub mod merge;
pub mod net;
mod newest;
pub mod part;
mod plan;
pub mod quarantine;
pub mod read;
mod scd2;
mod soft;
pub mod state;
pub mod tracked;
pub mod upkeep;
pub mod variant;

use crate::schema::{Collation, Column, SqlType, TableName, mapping};
use std::fmt;

pub use catalogue::catalogue;

/// An identifier, shown in brackets with `]` doubled: the only way for a name to reach SQL text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ident<'a>(pub &'a str);

impl fmt::Display for Ident<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", self.0.replace(']', "]]"))
    }
}

/// A two-part table name in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableIdent<'a>(pub &'a TableName);

impl fmt::Display for TableIdent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", Ident(&self.0.schema), Ident(&self.0.name))
    }
}

/// The value of a statement parameter, never NULL. A NULL stands in the text, with its type
/// (`Params::text_or_null`): `tiberius` sends the NULL of a text parameter without a type, which servers other than
/// SQL Server refuse (error 8009).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParamValue {
    /// Sent as `nvarchar`.
    Text(String),
    /// Sent as `bigint`.
    Int(i64),
}

/// What a statement's text calls its parameters, by their place from 1. `tiberius` sends them under these names, and
/// names of variables may be case-sensitive on the server.
pub fn parameter_name(place: usize) -> String {
    format!("@P{place}")
}

/// One statement (or batch) with its parameters, which the text names by [`parameter_name`] in order.
///
/// With parameters a text runs in `sp_executesql`. A session option that it sets lasts until its end, and a transaction
/// that it begins has to end in it, too (error 266). What is to last is set by a text without parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub sql: String,
    pub params: Vec<ParamValue>,
}

/// Collects parameter values; each call answers what the text has in the value's place.
#[derive(Debug, Default)]
struct Params(Vec<ParamValue>);

impl Params {
    fn push(&mut self, value: ParamValue) -> String {
        self.0.push(value);
        parameter_name(self.0.len())
    }

    fn text(&mut self, text: impl Into<String>) -> String {
        self.push(ParamValue::Text(text.into()))
    }

    fn text_or_null(&mut self, text: Option<&str>) -> String {
        match text {
            Some(text) => self.text(text),
            None => "CONVERT(nvarchar(4000), NULL)".to_owned(),
        }
    }

    fn int(&mut self, value: i64) -> String {
        self.push(ParamValue::Int(value))
    }

    fn int_or_null(&mut self, value: Option<i64>) -> String {
        match value {
            Some(value) => self.int(value),
            None => "CONVERT(bigint, NULL)".to_owned(),
        }
    }

    fn into_statement(self, sql: impl Into<String>) -> Statement {
        Statement {
            sql: sql.into(),
            params: self.0,
        }
    }
}

/// A collation's name, which T-SQL does not let anybody quote. Letters, digits and underscores are all that a real
/// one has; anything else is shown in brackets, where the server refuses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct CollationName<'a>(&'a str);

impl fmt::Display for CollationName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = self
            .0
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_');
        if plain && !self.0.is_empty() {
            f.write_str(self.0)
        } else {
            Ident(self.0).fmt(f)
        }
    }
}

/// A text parameter as a value of exactly the column's type.
fn typed(column: &Column, parameter: &str) -> String {
    mapping::parameter_conversion(column.ty, column.collation.as_ref(), parameter)
}

/// A column's name, type and collation.
fn typed_name(name: &str, ty: SqlType, collation: Option<&Collation>) -> String {
    match collation {
        Some(collation) if ty.is_text() => {
            let collation = CollationName(&collation.name);
            format!("{} {ty} COLLATE {collation}", Ident(name))
        }
        Some(_) | None => format!("{} {}", Ident(name), ty),
    }
}

/// A value as text for a message, at most 100 characters. The server converts a `rowversion` to no Unicode text
/// (error 529), but to `binary`.
fn shown(ty: SqlType, value: &str) -> String {
    let bytes = format!("CONVERT(binary(8), {value})");
    let value = match ty == SqlType::RowVersion {
        true => &bytes,
        false => value,
    };
    match ty.facts().text_style {
        Some(style) => format!("CONVERT(nvarchar(100), {value}, {style})"),
        None => format!("CONVERT(nvarchar(100), {value})"),
    }
}

/// Joins rendered parts.
fn list(parts: impl IntoIterator<Item = String>, separator: &str) -> String {
    parts.into_iter().collect::<Vec<_>>().join(separator)
}

impl Statement {
    /// As somebody runs it by hand, with its parameters written out; for statements whose names cannot be mistaken
    /// for them.
    pub fn by_hand(&self) -> String {
        let mut text = self.sql.clone();
        for (at, value) in self.params.iter().enumerate().rev() {
            let value = match value {
                ParamValue::Text(text) => format!("N'{}'", text.replace('\'', "''")),
                ParamValue::Int(number) => number.to_string(),
            };
            text = text.replace(&parameter_name(at + 1), &value);
        }
        text
    }

    /// A statement without parameters.
    pub fn plain(sql: impl Into<String>) -> Self {
        Self {
            sql: sql.into(),
            params: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_version_is_shown_by_its_bytes() {
        let bytes = "CONVERT(nvarchar(100), CONVERT(binary(8), MIN(v)), 1)";
        assert_eq!(shown(SqlType::RowVersion, "MIN(v)"), bytes);
        let plain = "CONVERT(nvarchar(100), MIN(v))";
        assert_eq!(shown(SqlType::Int, "MIN(v)"), plain);
    }

    /// `varchar` has no collation without a code page.
    #[test]
    fn collations_are_asked_for_with_unicode() {
        let sql = describe::collations(&["Indic_General_90_CI_AS"]).sql;
        let value = "SELECT CONVERT(nvarchar(1), NULL) COLLATE Indic_General_90_CI_AS AS [c1];";
        assert_eq!(sql, value);
    }
}
