//! LEN counts characters without trailing spaces; DATALENGTH counts the bytes that a value takes.

use super::argument::{Arguments, invalid_argument, is_unbounded};
use super::{Builtin, EvalContext};
use crate::engine::types;
use crate::session::SqlError;
use crate::value::{SqlType, Value};

pub static FUNCTIONS: &[Builtin] = &[
    Builtin {
        name: "LEN",
        args: 1..=1,
        result_type: len_type,
        eval: len,
    },
    Builtin {
        name: "DATALENGTH",
        args: 1..=1,
        result_type: |t| Ok(count_type(&t[0])),
        eval: data_length,
    },
];

fn count_type(ty: &SqlType) -> SqlType {
    if is_unbounded(ty) {
        SqlType::BigInt
    } else {
        SqlType::Int
    }
}

fn len_type(t: &[SqlType]) -> Result<SqlType, SqlError> {
    match &t[0] {
        ty @ (SqlType::Text
        | SqlType::NText
        | SqlType::Image
        | SqlType::Xml
        | SqlType::HierarchyId
        | SqlType::Geometry
        | SqlType::Geography) => Err(invalid_argument(ty, 1, "len")),
        ty => Ok(count_type(ty)),
    }
}

fn count(count: usize, ty: &SqlType) -> Value {
    if is_unbounded(ty) {
        Value::BigInt(count as i64)
    } else {
        Value::Int(count as i32)
    }
}

fn len(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    if let Value::Bytes(bytes) = &v[0] {
        return Ok(count(bytes.len(), &t[0]));
    }
    let text = Arguments::new(v, t, cx).text(0)?;
    let length = |text: &[u16]| {
        let end = text.iter().rposition(|unit| *unit != u16::from(b' '));
        cx.collation.count(&text[..end.map_or(0, |at| at + 1)])
    };
    Ok(text.map_or(Value::Null, |text| count(length(&text), &t[0])))
}

fn data_length(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    if matches!(v[0], Value::Null) {
        return Ok(Value::Null);
    }
    Ok(count(bytes_of(&v[0], &t[0], cx), &t[0]))
}

fn bytes_of(value: &Value, ty: &SqlType, cx: &EvalContext) -> usize {
    match value {
        Value::Null => 0,
        Value::Str(units) if types::is_unicode(ty) => units.len() * 2,
        Value::Str(units) => cx.collation.byte_length(units),
        Value::Bytes(bytes) => bytes.len(),
        Value::Variant(inner) => bytes_of(&inner.1, &inner.0, cx),
        Value::Bit(_)
        | Value::TinyInt(_)
        | Value::SmallInt(_)
        | Value::Int(_)
        | Value::BigInt(_)
        | Value::Decimal { .. }
        | Value::Money(_)
        | Value::Real(_)
        | Value::Float(_)
        | Value::Date(_)
        | Value::Time(_)
        | Value::DateTime { .. }
        | Value::SmallDateTime { .. }
        | Value::DateTime2 { .. }
        | Value::DateTimeOffset { .. }
        | Value::Guid(_) => usize::try_from(types::max_length(ty)).unwrap_or(0),
    }
}
