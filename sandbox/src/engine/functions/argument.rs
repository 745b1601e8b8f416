//! Arguments as functions want them. An absent value is NULL, which most functions answer with NULL.

use super::EvalContext;
use crate::engine::convert::{Conversion, convert};
use crate::engine::fault::error;
use crate::engine::types;
use crate::session::SqlError;
use crate::value::{SqlType, Value};
use std::sync::Arc;

pub const INT: SqlType = SqlType::Int;
pub const BIGINT: SqlType = SqlType::BigInt;
pub const FLOAT: SqlType = SqlType::Float;
/// The most characters that a sized type holds.
pub const VARCHAR_MAX: usize = 8000;
pub const NVARCHAR_MAX: usize = 4000;

pub struct Arguments<'a> {
    pub values: &'a [Value],
    pub types: &'a [SqlType],
    pub cx: &'a EvalContext,
}

impl<'a> Arguments<'a> {
    pub fn new(values: &'a [Value], types: &'a [SqlType], cx: &'a EvalContext) -> Self {
        Self { values, types, cx }
    }

    /// The argument converted as in an assignment; NULL stays NULL.
    pub fn converted(&self, at: usize, to: &SqlType) -> Result<Value, SqlError> {
        let conversion = Conversion {
            from: &self.types[at],
            to,
            style: 0,
            collate: &self.cx.collation,
            dateformat: &self.cx.dateformat,
        };
        convert(&self.values[at], conversion)
    }

    pub fn is_absent(&self, at: usize) -> bool {
        at >= self.values.len()
    }

    /// As text: `nvarchar` where the argument is, otherwise `varchar`.
    pub fn text(&self, at: usize) -> Result<Option<Arc<[u16]>>, SqlError> {
        if let Value::Str(units) = &self.values[at] {
            return Ok(Some(units.clone()));
        }
        let to = if types::is_unicode(&self.types[at]) {
            SqlType::NVarChar(None)
        } else {
            SqlType::VarChar(None)
        };
        Ok(match self.converted(at, &to)? {
            Value::Str(units) => Some(units),
            _ => None,
        })
    }

    pub fn integer(&self, at: usize) -> Result<Option<i64>, SqlError> {
        Ok(match self.converted(at, &BIGINT)? {
            Value::BigInt(value) => Some(value),
            _ => None,
        })
    }

    pub fn int(&self, at: usize) -> Result<Option<i32>, SqlError> {
        Ok(match self.converted(at, &INT)? {
            Value::Int(value) => Some(value),
            _ => None,
        })
    }

    pub fn float(&self, at: usize) -> Result<Option<f64>, SqlError> {
        Ok(match self.converted(at, &FLOAT)? {
            Value::Float(value) => Some(value),
            _ => None,
        })
    }
}

/// Whether a function of text takes the type; error 8116 otherwise.
pub fn check_text(ty: &SqlType, position: usize, function: &str) -> Result<(), SqlError> {
    match ty {
        SqlType::SqlVariant
        | SqlType::Image
        | SqlType::Xml
        | SqlType::HierarchyId
        | SqlType::Geometry
        | SqlType::Geography => Err(invalid_argument(ty, position, function)),
        _ => Ok(()),
    }
}

pub fn invalid_argument(ty: &SqlType, position: usize, function: &str) -> SqlError {
    let message = format!(
        "Argument data type {} is invalid for argument {position} of {function} function.",
        types::name(ty)
    );
    error(8116, 16, message)
}

/// Whether the type is one of the unbounded ones, whose lengths are `bigint`.
pub fn is_unbounded(ty: &SqlType) -> bool {
    matches!(
        ty,
        SqlType::VarChar(None)
            | SqlType::NVarChar(None)
            | SqlType::VarBinary(None)
            | SqlType::Text
            | SqlType::NText
            | SqlType::Image
            | SqlType::Xml
    )
}

/// How many characters the type's text may have; absent when unbounded.
pub fn text_length(ty: &SqlType) -> Option<usize> {
    match ty {
        SqlType::Char(n) | SqlType::NChar(n) | SqlType::Binary(n) => Some(usize::from(*n)),
        SqlType::VarChar(n) | SqlType::NVarChar(n) | SqlType::VarBinary(n) => n.map(usize::from),
        SqlType::Text | SqlType::NText | SqlType::Image | SqlType::Xml => None,
        _ => Some(41),
    }
}

/// `varchar` or `nvarchar` of the given length, cut to what the type can hold.
pub fn sized(unicode: bool, length: Option<usize>) -> SqlType {
    let max = if unicode { NVARCHAR_MAX } else { VARCHAR_MAX };
    let length = length.map(|length| length.clamp(1, max) as u16);
    if unicode {
        SqlType::NVarChar(length)
    } else {
        SqlType::VarChar(length)
    }
}

/// The variable-length character type that holds what the argument holds.
pub fn text_like(ty: &SqlType) -> SqlType {
    sized(types::is_unicode(ty), text_length(ty))
}

/// Text as a value of the type, cut to its length in characters.
pub fn cut(mut units: Vec<u16>, ty: &SqlType) -> Value {
    if let Some(length) = types::length(ty) {
        units.truncate(usize::from(length));
    }
    Value::Str(units.into())
}
