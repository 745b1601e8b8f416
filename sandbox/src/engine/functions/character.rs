//! Single characters and names: codes, and the delimiting and taking apart of identifiers.

use super::argument::Arguments;
use super::{Builtin, EvalContext};
use crate::engine::types;
use crate::session::SqlError;
use crate::value::{SqlType, Value};
use std::sync::Arc;

pub static FUNCTIONS: &[Builtin] = &[
    Builtin {
        name: "ASCII",
        args: 1..=1,
        result_type: |_| Ok(SqlType::Int),
        eval: ascii,
    },
    Builtin {
        name: "CHAR",
        args: 1..=1,
        result_type: |_| Ok(SqlType::Char(1)),
        eval: char,
    },
    Builtin {
        name: "NCHAR",
        args: 1..=1,
        result_type: |_| Ok(SqlType::NChar(1)),
        eval: nchar,
    },
    Builtin {
        name: "UNICODE",
        args: 1..=1,
        result_type: |_| Ok(SqlType::Int),
        eval: unicode,
    },
    Builtin {
        name: "QUOTENAME",
        args: 1..=2,
        result_type: |_| Ok(SqlType::NVarChar(Some(258))),
        eval: quote_name,
    },
    Builtin {
        name: "PARSENAME",
        args: 2..=2,
        result_type: |_| Ok(SqlType::NVarChar(Some(128))),
        eval: parse_name,
    },
];

fn ascii(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let text = Arguments::new(v, t, cx).text(0)?;
    let first = text.as_ref().and_then(|text| text.first());
    let byte = first.and_then(|unit| cx.collation.info.code_page.bytes(&[*unit]).first().copied());
    Ok(byte.map_or(Value::Null, |byte| Value::Int(i32::from(byte))))
}

fn char(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let code = Arguments::new(v, t, cx).integer(0)?;
    let byte = code.and_then(|code| u8::try_from(code).ok());
    Ok(byte.map_or(Value::Null, |byte| {
        Value::Str(cx.collation.info.code_page.text(&[byte]).into())
    }))
}

fn nchar(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let code = Arguments::new(v, t, cx).integer(0)?;
    let unit = code.and_then(|code| u16::try_from(code).ok());
    Ok(unit.map_or(Value::Null, |unit| Value::Str([unit].into())))
}

fn unicode(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let text = Arguments::new(v, t, cx).text(0)?;
    let code = text.and_then(|text| {
        let first = &text[..cx.collation.character(&text)];
        let code = char::decode_utf16(first.iter().copied()).next()?;
        Some(code.map_or_else(|lone| i32::from(lone.unpaired_surrogate()), |c| c as i32))
    });
    Ok(code.map_or(Value::Null, Value::Int))
}

/// NULL for a name of more than 128 characters or an unknown delimiter.
fn quote_name(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let a = Arguments::new(v, t, cx);
    let Some(name) = a.text(0)? else {
        return Ok(Value::Null);
    };
    let mark = if a.is_absent(1) {
        Some(Arc::from([u16::from(b'[')]))
    } else {
        a.text(1)?
    };
    let first = mark
        .as_ref()
        .and_then(|mark| mark.first())
        .and_then(|unit| u8::try_from(*unit).ok());
    let (open, close) = match first {
        Some(b'[' | b']') => (b'[', b']'),
        Some(b'(' | b')') => (b'(', b')'),
        Some(b'<' | b'>') => (b'<', b'>'),
        Some(b'{' | b'}') => (b'{', b'}'),
        Some(quote @ (b'\'' | b'"' | b'`')) => (quote, quote),
        _ => return Ok(Value::Null),
    };
    if name.len() > 128 {
        return Ok(Value::Null);
    }
    let mut out = vec![u16::from(open)];
    for unit in name.iter() {
        out.push(*unit);
        if *unit == u16::from(close) {
            out.push(*unit);
        }
    }
    out.push(u16::from(close));
    Ok(Value::Str(out.into()))
}

/// The parts of a name of at most four, counted from its end; NULL for text that is no such name.
fn parse_name(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let a = Arguments::new(v, t, cx);
    let (Some(name), Some(which)) = (a.text(0)?, a.integer(1)?) else {
        return Ok(Value::Null);
    };
    let Some(parts) = name_parts(&types::text(&name)) else {
        return Ok(Value::Null);
    };
    let from_end = usize::try_from(which)
        .ok()
        .filter(|which| (1..=4).contains(which));
    let part = from_end
        .and_then(|which| parts.len().checked_sub(which))
        .map(|at| &parts[at]);
    Ok(part
        .filter(|part| !part.is_empty())
        .map_or(Value::Null, |part| types::string(part)))
}

fn name_parts(name: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = name;
    loop {
        let close = match rest.chars().next() {
            Some('[') => Some(']'),
            Some('"') => Some('"'),
            _ => None,
        };
        let (part, after) = match close {
            Some(close) => delimited(&rest[1..], close)?,
            None => {
                let end = rest.find('.').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        if part.encode_utf16().count() > 128 {
            return None;
        }
        parts.push(part);
        match after.strip_prefix('.') {
            Some(next) if parts.len() < 4 => rest = next,
            None if after.is_empty() => return Some(parts),
            Some(_) | None => return None,
        }
    }
}

/// Up to the closing delimiter, which doubled stands for itself; and what follows it.
fn delimited(text: &str, close: char) -> Option<(String, &str)> {
    let mut part = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if c != close {
            part.push(c);
            continue;
        }
        let after = &text[at + 1..];
        if !after.starts_with(close) {
            return Some((part, after));
        }
        part.push(c);
        chars.next();
    }
    None
}
