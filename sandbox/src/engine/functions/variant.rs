//! SQL_VARIANT_PROPERTY: what a `sql_variant` knows of its value.

use super::argument::Arguments;
use super::{Builtin, EvalContext};
use crate::engine::fault::unsupported;
use crate::engine::types;
use crate::session::SqlError;
use crate::value::{SqlType, Value};

pub static FUNCTIONS: &[Builtin] = &[Builtin {
    name: "SQL_VARIANT_PROPERTY",
    args: 2..=2,
    result_type: |_| Ok(SqlType::SqlVariant),
    eval: property,
}];

fn property(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let Some(name) = Arguments::new(v, t, cx).text(1)? else {
        return Ok(Value::Null);
    };
    let (base, collation) = match &v[0] {
        Value::Null => return Ok(Value::Null),
        Value::Variant(inner) => (&inner.0, inner.2.as_ref()),
        _ => (&t[0], None),
    };
    let (precision, scale) = types::precision_scale(base);
    let int = |number: i32| variant(SqlType::Int, Value::Int(number));
    let word = |text: &str| variant(SqlType::NVarChar(Some(128)), types::string(text));
    Ok(match types::text(&name).to_lowercase().as_str() {
        "basetype" => word(types::name(base)),
        "precision" => int(i32::from(precision)),
        "scale" => int(i32::from(scale)),
        "maxlength" => int(i32::from(types::max_length(base))),
        "collation" => collation.map_or(Value::Null, |collation| word(&collation.0)),
        "totalbytes" => {
            return Err(unsupported("SQL_VARIANT_PROPERTY(.., 'TotalBytes')"));
        }
        // Any other word answers NULL.
        _ => Value::Null,
    })
}

fn variant(ty: SqlType, value: Value) -> Value {
    Value::Variant(Box::new((ty, value, None)))
}
