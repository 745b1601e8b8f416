//! ISNUMERIC and ISDATE: whether a conversion would succeed.

use super::argument::Arguments;
use super::{Builtin, EvalContext};
use crate::engine::types;
use crate::session::SqlError;
use crate::value::{SqlType, Value};

pub static FUNCTIONS: &[Builtin] = &[
    Builtin {
        name: "ISNUMERIC",
        args: 1..=1,
        result_type: |_| Ok(SqlType::Int),
        eval: is_numeric,
    },
    Builtin {
        name: "ISDATE",
        args: 1..=1,
        result_type: |_| Ok(SqlType::Int),
        eval: is_date,
    },
];

fn is_numeric(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let numeric = match (&v[0], &t[0]) {
        (Value::Null, _) => false,
        (Value::Variant(inner), _) => {
            return is_numeric(
                std::slice::from_ref(&inner.1),
                std::slice::from_ref(&inner.0),
                cx,
            );
        }
        (_, ty) if types::is_number(ty) => !matches!(ty, SqlType::Bit),
        (Value::Str(units), _) => {
            let text = types::text(units);
            // A lone sign, point, comma or currency sign converts to money.
            let lone = matches!(text.trim(), "+" | "-" | "." | "," | "$" | "+." | "-.");
            lone || !text.trim().is_empty() && text_is_numeric(v, t, cx)
        }
        _ => false,
    };
    Ok(Value::Int(i32::from(numeric)))
}

fn text_is_numeric(v: &[Value], t: &[SqlType], cx: &EvalContext) -> bool {
    let arguments = Arguments::new(v, t, cx);
    let decimal = SqlType::Decimal {
        precision: 38,
        scale: 0,
        numeric: true,
    };
    [SqlType::Float, SqlType::Money, decimal]
        .iter()
        .any(|ty| arguments.converted(0, ty).is_ok())
}

/// For `datetime`, whose range begins in 1753.
fn is_date(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let date = match (&v[0], &t[0]) {
        (Value::Null, _) => false,
        (_, SqlType::DateTime | SqlType::SmallDateTime) => true,
        (Value::Str(units), _) => {
            let blank = units.iter().all(|unit| *unit == u16::from(b' '));
            !blank
                && Arguments::new(v, t, cx)
                    .converted(0, &SqlType::DateTime)
                    .is_ok()
        }
        (
            _,
            SqlType::Date | SqlType::Time(_) | SqlType::DateTime2(_) | SqlType::DateTimeOffset(_),
        ) => {
            return Err(super::argument::invalid_argument(&t[0], 1, "isdate"));
        }
        _ => false,
    };
    Ok(Value::Int(i32::from(date)))
}
