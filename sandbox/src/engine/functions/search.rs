//! CHARINDEX and PATINDEX: positions from 1, 0 for nowhere, under the arguments' collation.

use super::argument::{Arguments, is_unbounded};
use super::{Builtin, EvalContext};
use crate::engine::collation::Collate;
use crate::engine::expr::Pattern;
use crate::engine::types;
use crate::session::SqlError;
use crate::value::{SqlType, Value};
use std::ops::Range;

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
pub fn find(text: &[u16], wanted: &[u16], from: usize, collate: &Collate) -> Option<Range<usize>> {
    if wanted.is_empty() {
        return None;
    }
    let found = |start: usize| {
        let (mut at, mut seen) = (start, 0);
        while seen < wanted.len() {
            let (units, others) = collate.same_start(&text[at..], &wanted[seen..])?;
            at += units;
            seen += others;
        }
        Some(start..at)
    };
    starts(text, from, collate).find_map(found)
}

/// Where letters start, at or after a place.
fn starts(text: &[u16], from: usize, collate: &Collate) -> impl Iterator<Item = usize> {
    let within = |at: usize| (at < text.len()).then_some(at);
    std::iter::successors(within(from), move |at| {
        within(at + collate.letter(&text[*at..]))
    })
}

/// The position of the character at a place.
fn character_at(text: &[u16], at: usize, cx: &EvalContext) -> usize {
    cx.collation.count(&text[..at]) + 1
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
    let before = usize::try_from(start.saturating_sub(1)).unwrap_or(0);
    let from = cx.collation.place(&text, before);
    let found = find(&text, &wanted, from, &cx.collation);
    let at = found.map_or(0, |found| character_at(&text, found.start, cx));
    Ok(position(at, &t[1]))
}

fn pattern_index(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    const ANY: u16 = b'%' as u16;
    let a = Arguments::new(v, t, cx);
    let (Some(pattern), Some(text)) = (a.text(0)?, a.text(1)?) else {
        return Ok(Value::Null);
    };
    let floating = pattern.iter().take_while(|unit| **unit == ANY).count();
    let rest = Pattern::new(&pattern[floating..], None);
    let is_unicode = t.iter().any(types::is_unicode);
    let matches = |at: &usize| rest.matches(&text[*at..], &cx.collation, is_unicode);
    let found = if floating == 0 {
        matches(&0).then_some(0)
    } else {
        let end = std::iter::once(text.len());
        starts(&text, 0, &cx.collation).chain(end).find(matches)
    };
    let at = found.map_or(0, |at| character_at(&text, at, cx));
    Ok(position(at, &t[1]))
}
