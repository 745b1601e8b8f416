//! Scalar built-ins that need nothing but their arguments and the session's clock and language.
//!
//! Metadata functions (`OBJECT_ID`), CAST/CONVERT, aggregates and window functions live elsewhere in the engine.
//! Arguments reach `eval` in the types that the caller's expressions have: a function converts what it needs
//! itself, and answers in the type `result_type` named.

mod argument;
mod character;
mod compare;
mod construct;
mod date;
mod date_add;
mod date_diff;
mod date_part;
mod hash;
mod length;
mod math;
mod now;
mod round;
mod search;
mod text;
mod variant;
mod verify;

use crate::engine::collation::Collate;
use crate::session::SqlError;
use crate::value::{SqlType, Value};
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, LazyLock};

/// What a function may know beyond its arguments.
pub struct EvalContext {
    /// UTC, in 100 ns ticks since 0001-01-01; the same for the whole statement.
    pub now_ticks: i64,
    /// Local time minus UTC.
    pub offset_minutes: i16,
    /// `@@DATEFIRST`: 1 is Monday, 7 Sunday.
    pub datefirst: u8,
    /// `SET DATEFORMAT`: `mdy`, `dmy`, `ymd`, `ydm`, `myd` or `dym`.
    pub dateformat: Arc<str>,
    /// `@@LANGUAGE`.
    pub language: Arc<str>,
    /// The collation that the string arguments agreed on, or the database's.
    pub collation: Arc<Collate>,
}

type ResultType = fn(&[SqlType]) -> Result<SqlType, SqlError>;
type Eval = fn(&[Value], &[SqlType], &EvalContext) -> Result<Value, SqlError>;

/// One scalar function. A datepart argument (`DATEADD(day, ..)`) arrives as an `nvarchar` value holding the word.
pub struct Builtin {
    /// In upper case.
    pub name: &'static str,
    pub args: RangeInclusive<usize>,
    pub result_type: ResultType,
    pub eval: Eval,
}

/// Every list of functions there is.
static LISTS: &[&[Builtin]] = &[
    character::FUNCTIONS,
    compare::FUNCTIONS,
    construct::FUNCTIONS,
    date_add::FUNCTIONS,
    date_diff::FUNCTIONS,
    date_part::FUNCTIONS,
    hash::FUNCTIONS,
    length::FUNCTIONS,
    math::FUNCTIONS,
    now::FUNCTIONS,
    round::FUNCTIONS,
    search::FUNCTIONS,
    text::FUNCTIONS,
    variant::FUNCTIONS,
    verify::FUNCTIONS,
];

/// Finds a function by name, whatever its case.
pub fn lookup(name: &str) -> Option<&'static Builtin> {
    static BY_NAME: LazyLock<HashMap<&str, &Builtin>> = LazyLock::new(|| {
        LISTS
            .iter()
            .flat_map(|list| list.iter())
            .map(|function| (function.name, function))
            .collect()
    });
    BY_NAME.get(name.to_ascii_uppercase().as_str()).copied()
}

#[cfg(test)]
mod tests;
