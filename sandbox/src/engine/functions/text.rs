//! Functions that make text of text. Positions count characters from 1: UTF-16 code units, or with a
//! supplementary-characters collation surrogate pairs too.

use super::argument::{
    Arguments, NVARCHAR_MAX, VARCHAR_MAX, check_text, cut, is_unbounded, sized, text_length,
    text_like,
};
use super::search::find;
use super::{Builtin, EvalContext};
use crate::engine::collation::Collate;
use crate::engine::fault::error;
use crate::engine::types;
use crate::session::SqlError;
use crate::value::{SqlType, Value};
use std::ops::Range;
use std::sync::Arc;

const SPACE: u16 = b' ' as u16;

pub static FUNCTIONS: &[Builtin] = &[
    Builtin {
        name: "LEFT",
        args: 2..=2,
        result_type: |t| of_text(t, "left"),
        eval: left,
    },
    Builtin {
        name: "RIGHT",
        args: 2..=2,
        result_type: |t| of_text(t, "right"),
        eval: right,
    },
    Builtin {
        name: "SUBSTRING",
        args: 3..=3,
        result_type: |t| of_text_or_bytes(t, "substring"),
        eval: substring,
    },
    Builtin {
        name: "UPPER",
        args: 1..=1,
        result_type: |t| of_text(t, "upper"),
        eval: |v, t, cx| mapped(v, t, cx, upper),
    },
    Builtin {
        name: "LOWER",
        args: 1..=1,
        result_type: |t| of_text(t, "lower"),
        eval: |v, t, cx| mapped(v, t, cx, lower),
    },
    Builtin {
        name: "LTRIM",
        args: 1..=2,
        result_type: |t| of_text(t, "ltrim"),
        eval: |v, t, cx| trimmed(v, t, cx, true, false),
    },
    Builtin {
        name: "RTRIM",
        args: 1..=2,
        result_type: |t| of_text(t, "rtrim"),
        eval: |v, t, cx| trimmed(v, t, cx, false, true),
    },
    Builtin {
        name: "TRIM",
        args: 1..=2,
        result_type: |t| of_text(t, "trim"),
        eval: |v, t, cx| trimmed(v, t, cx, true, true),
    },
    Builtin {
        name: "REPLACE",
        args: 3..=3,
        result_type: replace_type,
        eval: replace,
    },
    Builtin {
        name: "TRANSLATE",
        args: 3..=3,
        result_type: |t| of_text(t, "translate"),
        eval: translate,
    },
    Builtin {
        name: "REPLICATE",
        args: 2..=2,
        result_type: replicate_type,
        eval: replicate,
    },
    Builtin {
        name: "REVERSE",
        args: 1..=1,
        result_type: |t| of_text(t, "reverse"),
        eval: reverse,
    },
    Builtin {
        name: "STUFF",
        args: 4..=4,
        result_type: stuff_type,
        eval: stuff,
    },
    Builtin {
        name: "SPACE",
        args: 1..=1,
        result_type: |_| Ok(SqlType::VarChar(Some(8000))),
        eval: space,
    },
    Builtin {
        name: "CONCAT",
        args: 2..=254,
        result_type: |t| Ok(concat_type(t, 0)),
        eval: concat,
    },
    Builtin {
        name: "CONCAT_WS",
        args: 3..=254,
        result_type: |t| Ok(concat_type(t, 1)),
        eval: concat_ws,
    },
];

fn of_text(t: &[SqlType], function: &str) -> Result<SqlType, SqlError> {
    check_text(&t[0], 1, function)?;
    Ok(text_like(&t[0]))
}

fn of_text_or_bytes(t: &[SqlType], function: &str) -> Result<SqlType, SqlError> {
    match &t[0] {
        SqlType::Binary(n) => Ok(SqlType::VarBinary(Some(*n))),
        SqlType::VarBinary(n) => Ok(SqlType::VarBinary(*n)),
        SqlType::Image => Ok(SqlType::VarBinary(None)),
        SqlType::RowVersion => Ok(SqlType::VarBinary(Some(8))),
        _ => of_text(t, function),
    }
}

fn length_refused(number: i32, function: &str) -> SqlError {
    error(
        number,
        16,
        format!("Invalid length parameter passed to the {function} function."),
    )
}

fn left(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let a = Arguments::new(v, t, cx);
    let (Some(text), Some(count)) = (a.text(0)?, a.integer(1)?) else {
        return Ok(Value::Null);
    };
    let count = usize::try_from(count).map_err(|_| length_refused(537, "LEFT or SUBSTRING"))?;
    Ok(Value::Str(text[..cx.collation.place(&text, count)].into()))
}

fn right(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let a = Arguments::new(v, t, cx);
    let (Some(text), Some(count)) = (a.text(0)?, a.integer(1)?) else {
        return Ok(Value::Null);
    };
    let count = usize::try_from(count).map_err(|_| length_refused(536, "RIGHT"))?;
    let before = cx.collation.count(&text).saturating_sub(count);
    Ok(Value::Str(text[cx.collation.place(&text, before)..].into()))
}

/// The part of a sequence from `start` (from 1; what lies before 1 counts but gives nothing).
fn window(length: usize, start: i64, count: i64) -> Range<usize> {
    let place = |at: i64| {
        usize::try_from(at.saturating_sub(1).max(0))
            .unwrap_or(usize::MAX)
            .min(length)
    };
    let from = place(start);
    from..place(start.saturating_add(count)).max(from)
}

/// Where characters stand in a text.
fn units(characters: Range<usize>, text: &[u16], cx: &EvalContext) -> Range<usize> {
    cx.collation.place(text, characters.start)..cx.collation.place(text, characters.end)
}

fn substring(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let a = Arguments::new(v, t, cx);
    let (Some(start), Some(count)) = (a.integer(1)?, a.integer(2)?) else {
        return Ok(Value::Null);
    };
    if count < 0 {
        return Err(length_refused(537, "LEFT or SUBSTRING"));
    }
    if let Value::Bytes(bytes) = &v[0]
        && types::is_binary(&t[0])
    {
        return Ok(Value::Bytes(
            bytes[window(bytes.len(), start, count)].into(),
        ));
    }
    let Some(text) = a.text(0)? else {
        return Ok(Value::Null);
    };
    let characters = window(cx.collation.count(&text), start, count);
    Ok(Value::Str(text[units(characters, &text, cx)].into()))
}

fn mapped(
    v: &[Value],
    t: &[SqlType],
    cx: &EvalContext,
    map: fn(u16, &Collate) -> u16,
) -> Result<Value, SqlError> {
    let text = Arguments::new(v, t, cx).text(0)?;
    Ok(text.map_or(Value::Null, |text| {
        // A letter whose counterpart the code page lacks stays as it is.
        let narrow = t.first().is_some_and(|ty| !types::is_unicode(ty));
        let page = cx.collation.info.code_page;
        let mapped = |unit: &u16| match map(*unit, &cx.collation) {
            other if narrow && !page.has(&[other]) => *unit,
            other => other,
        };
        Value::Str(text.iter().map(mapped).collect())
    }))
}

/// One unit becomes one unit: a letter without such a counterpart stays.
fn one_unit(unit: u16, mut mapped: impl Iterator<Item = char>) -> u16 {
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => u16::try_from(u32::from(one)).unwrap_or(unit),
        _ => unit,
    }
}

fn upper(unit: u16, collate: &Collate) -> u16 {
    let common = || char::from_u32(u32::from(unit)).map(|c| one_unit(unit, c.to_uppercase()));
    collate.own_upper(unit).or_else(common).unwrap_or(unit)
}

fn lower(unit: u16, collate: &Collate) -> u16 {
    let common = || char::from_u32(u32::from(unit)).map(|c| one_unit(unit, c.to_lowercase()));
    collate.own_lower(unit).or_else(common).unwrap_or(unit)
}

/// Without a second argument only spaces go.
fn trimmed(
    v: &[Value],
    t: &[SqlType],
    cx: &EvalContext,
    start: bool,
    end: bool,
) -> Result<Value, SqlError> {
    let a = Arguments::new(v, t, cx);
    let Some(text) = a.text(0)? else {
        return Ok(Value::Null);
    };
    let set = if a.is_absent(1) {
        Some(Arc::from([SPACE]))
    } else {
        a.text(1)?
    };
    let Some(set) = set else {
        return Ok(Value::Null);
    };
    let goes = |unit: &u16| {
        set.iter()
            .any(|other| cx.collation.same_unit(*unit, *other))
    };
    let from = if start {
        text.iter()
            .position(|unit| !goes(unit))
            .unwrap_or(text.len())
    } else {
        0
    };
    let to = if end {
        text.iter()
            .rposition(|unit| !goes(unit))
            .map_or(0, |at| at + 1)
    } else {
        text.len()
    };
    Ok(Value::Str(text[from..to.max(from)].into()))
}

/// Any `nvarchar` makes the result `nvarchar`; only an unbounded first argument makes it unbounded.
fn replace_type(t: &[SqlType]) -> Result<SqlType, SqlError> {
    for (at, ty) in t.iter().enumerate() {
        check_text(ty, at + 1, "replace")?;
    }
    let unicode = t.iter().any(types::is_unicode);
    let max = if unicode { NVARCHAR_MAX } else { VARCHAR_MAX };
    Ok(sized(unicode, (!t.iter().any(is_unbounded)).then_some(max)))
}

fn replace(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let a = Arguments::new(v, t, cx);
    let (Some(text), Some(old), Some(new)) = (a.text(0)?, a.text(1)?, a.text(2)?) else {
        return Ok(Value::Null);
    };
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(found) = find(&text, &old, at, &cx.collation) {
        out.extend_from_slice(&text[at..found.start]);
        out.extend_from_slice(&new);
        at = found.end;
    }
    out.extend_from_slice(&text[at..]);
    Ok(cut(out, &replace_type(t)?))
}

fn translate(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let a = Arguments::new(v, t, cx);
    let (Some(text), Some(from), Some(to)) = (a.text(0)?, a.text(1)?, a.text(2)?) else {
        return Ok(Value::Null);
    };
    if from.len() != to.len() {
        let message = "The second and third arguments of the TRANSLATE built-in function must contain an equal number \
            of characters.";
        return Err(error(9828, 16, message));
    }
    let map = |unit: &u16| {
        from.iter()
            .position(|old| cx.collation.same_unit(*unit, *old))
            .map_or(*unit, |at| to[at])
    };
    Ok(Value::Str(text.iter().map(map).collect()))
}

fn replicate_type(t: &[SqlType]) -> Result<SqlType, SqlError> {
    check_text(&t[0], 1, "replicate")?;
    let unicode = types::is_unicode(&t[0]);
    let max = if unicode { NVARCHAR_MAX } else { VARCHAR_MAX };
    Ok(sized(unicode, (!is_unbounded(&t[0])).then_some(max)))
}

fn replicate(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    /// What an unbounded value may hold at most, in units: 2 GB in SQL Server, far less here.
    const UNITS_MAX: usize = 1 << 28;
    let a = Arguments::new(v, t, cx);
    let (Some(text), Some(count)) = (a.text(0)?, a.integer(1)?) else {
        return Ok(Value::Null);
    };
    let Ok(count) = usize::try_from(count) else {
        return Ok(Value::Null);
    };
    let ty = replicate_type(t)?;
    let most = types::length(&ty).map_or(UNITS_MAX, usize::from);
    if types::length(&ty).is_none() && text.len().saturating_mul(count) > UNITS_MAX {
        return Err(crate::engine::fault::unsupported(
            "A REPLICATE of more than 512 MB",
        ));
    }
    let count = count.min(most.div_ceil(text.len().max(1)));
    Ok(cut(text.repeat(count), &ty))
}

fn reverse(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let text = Arguments::new(v, t, cx).text(0)?;
    Ok(text.map_or(Value::Null, |text| {
        let mut out = vec![0; text.len()];
        let mut at = 0;
        while at < text.len() {
            let end = at + cx.collation.character(&text[at..]);
            let place = text.len() - end;
            out[place..place + end - at].copy_from_slice(&text[at..end]);
            at = end;
        }
        Value::Str(out.into())
    }))
}

fn stuff_type(t: &[SqlType]) -> Result<SqlType, SqlError> {
    let base = of_text_or_bytes(t, "stuff")?;
    check_text(&t[3], 4, "stuff")?;
    if types::is_binary(&base) {
        let length = types::length(&base)
            .zip(text_length(&t[3]))
            .map(|(own, new)| (usize::from(own) + new).min(VARCHAR_MAX) as u16);
        return Ok(SqlType::VarBinary(length));
    }
    let length = text_length(&t[0])
        .zip(text_length(&t[3]))
        .map(|(own, new)| own + new);
    Ok(sized(
        types::is_unicode(&t[0]) || types::is_unicode(&t[3]),
        length,
    ))
}

fn stuff(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let a = Arguments::new(v, t, cx);
    let (Some(start), Some(count)) = (a.integer(1)?, a.integer(2)?) else {
        return Ok(Value::Null);
    };
    let ty = stuff_type(t)?;
    let spliced = |length: usize| {
        let start = usize::try_from(start).ok()?.checked_sub(1)?;
        let end = start
            .saturating_add(usize::try_from(count).ok()?)
            .min(length);
        (start < length).then_some(start..end)
    };
    if types::is_binary(&ty) {
        let (Value::Bytes(own), new) = (&v[0], a.converted(3, &SqlType::VarBinary(None))?) else {
            return Ok(Value::Null);
        };
        let Some(range) = spliced(own.len()) else {
            return Ok(Value::Null);
        };
        let mut out = own.to_vec();
        let new = if let Value::Bytes(new) = new {
            new.to_vec()
        } else {
            Vec::new()
        };
        out.splice(range, new);
        return Ok(Value::Bytes(out.into()));
    }
    let Some(own) = a.text(0)? else {
        return Ok(Value::Null);
    };
    let Some(characters) = spliced(cx.collation.count(&own)) else {
        return Ok(Value::Null);
    };
    let range = units(characters, &own, cx);
    let mut out = own.to_vec();
    // A NULL replacement only deletes.
    out.splice(range, a.text(3)?.unwrap_or_default().iter().copied());
    Ok(cut(out, &ty))
}

fn space(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let Some(count) = Arguments::new(v, t, cx).integer(0)? else {
        return Ok(Value::Null);
    };
    let Ok(count) = usize::try_from(count) else {
        return Ok(Value::Null);
    };
    Ok(Value::Str(vec![SPACE; count.min(VARCHAR_MAX)].into()))
}

/// The lengths together; the separator, when there is one, stands between all others.
fn concat_type(t: &[SqlType], separators: usize) -> SqlType {
    let parts = t[separators..]
        .iter()
        .try_fold(0, |sum, ty| Some(sum + text_length(ty)?));
    let between = t[..separators].iter().try_fold(0, |sum, ty| {
        Some(sum + text_length(ty)? * t.len().saturating_sub(2))
    });
    sized(
        t.iter().any(types::is_unicode),
        parts.zip(between).map(|(parts, between)| parts + between),
    )
}

fn concat(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let a = Arguments::new(v, t, cx);
    let mut out = Vec::new();
    for at in 0..v.len() {
        out.extend_from_slice(&a.text(at)?.unwrap_or_default());
    }
    Ok(cut(out, &concat_type(t, 0)))
}

/// NULLs are left out with their separators.
fn concat_ws(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let a = Arguments::new(v, t, cx);
    let separator = a.text(0)?.unwrap_or_default();
    let mut out: Option<Vec<u16>> = None;
    for at in 1..v.len() {
        let Some(text) = a.text(at)? else { continue };
        match &mut out {
            Some(out) => {
                out.extend_from_slice(&separator);
                out.extend_from_slice(&text);
            }
            None => out = Some(text.to_vec()),
        }
    }
    Ok(cut(out.unwrap_or_default(), &concat_type(t, 1)))
}
