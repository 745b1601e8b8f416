//! CHARINDEX and PATINDEX: positions from 1, 0 for nowhere, under the arguments' collation.

use super::argument::{Arguments, is_unbounded};
use super::{Builtin, EvalContext};
use crate::engine::collation::Collate;
use crate::engine::expr::Pattern;
use crate::session::SqlError;
use crate::value::{SqlType, Value};

pub static FUNCTIONS: &[Builtin] = &[
    Builtin {
        name: "CHARINDEX",
        args: 2..=3,
        result_type: |t| Ok(position_type(&t[1])),
        eval: char_index,
    },
    Builtin {
        name: "PATINDEX",
        args: 2..=2,
        result_type: |t| Ok(position_type(&t[1])),
        eval: pattern_index,
    },
];

fn position_type(searched: &SqlType) -> SqlType {
    if is_unbounded(searched) {
        SqlType::BigInt
    } else {
        SqlType::Int
    }
}

fn position(at: usize, searched: &SqlType) -> Value {
    if is_unbounded(searched) {
        Value::BigInt(at as i64)
    } else {
        Value::Int(at as i32)
    }
}

/// Where `wanted` stands at or after `from`; empty text stands nowhere.
pub fn find(text: &[u16], wanted: &[u16], from: usize, collate: &Collate) -> Option<usize> {
    if wanted.is_empty() || text.len() < wanted.len() {
        return None;
    }
    let same = |window: &[u16]| {
        window
            .iter()
            .zip(wanted)
            .all(|(a, b)| collate.same_unit(*a, *b))
    };
    (from..=text.len() - wanted.len()).find(|at| same(&text[*at..*at + wanted.len()]))
}

fn char_index(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let a = Arguments::new(v, t, cx);
    let (Some(wanted), Some(text)) = (a.text(0)?, a.text(1)?) else {
        return Ok(Value::Null);
    };
    let start = if a.is_absent(2) {
        Some(1)
    } else {
        a.integer(2)?
    };
    let Some(start) = start else {
        return Ok(Value::Null);
    };
    let from = usize::try_from(start.saturating_sub(1)).unwrap_or(0);
    let found = find(&text, &wanted, from, &cx.collation);
    Ok(position(found.map_or(0, |at| at + 1), &t[1]))
}

fn pattern_index(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    const ANY: u16 = b'%' as u16;
    let a = Arguments::new(v, t, cx);
    let (Some(pattern), Some(text)) = (a.text(0)?, a.text(1)?) else {
        return Ok(Value::Null);
    };
    let floating = pattern.iter().take_while(|unit| **unit == ANY).count();
    let rest = Pattern::new(&pattern[floating..], None);
    let found = if floating == 0 {
        rest.matches(&text, &cx.collation).then_some(0)
    } else {
        (0..=text.len()).find(|at| rest.matches(&text[*at..], &cx.collation))
    };
    Ok(position(found.map_or(0, |at| at + 1), &t[1]))
}
