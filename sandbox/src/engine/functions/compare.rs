//! GREATEST and LEAST: NULLs are left out; the result has the type that all arguments convert to.

use super::argument::Arguments;
use super::{Builtin, EvalContext};
use crate::engine::{ordering, types};
use crate::session::SqlError;
use crate::value::{SqlType, Value};
use std::cmp::Ordering;

pub static FUNCTIONS: &[Builtin] = &[
    Builtin {
        name: "GREATEST",
        args: 1..=254,
        result_type: common_type,
        eval: |v, t, cx| extreme(v, t, cx, Ordering::Greater),
    },
    Builtin {
        name: "LEAST",
        args: 1..=254,
        result_type: common_type,
        eval: |v, t, cx| extreme(v, t, cx, Ordering::Less),
    },
];

fn common_type(t: &[SqlType]) -> Result<SqlType, SqlError> {
    let (first, rest) = t.split_at(1);
    rest.iter()
        .try_fold(first[0].clone(), |common, ty| types::common(&common, ty))
}

fn extreme(
    v: &[Value],
    t: &[SqlType],
    cx: &EvalContext,
    wanted: Ordering,
) -> Result<Value, SqlError> {
    let ty = common_type(t)?;
    let arguments = Arguments::new(v, t, cx);
    let order = cx.collation.of(&ty);
    let mut best = Value::Null;
    for at in 0..v.len() {
        let value = arguments.converted(at, &ty)?;
        let better =
            matches!(best, Value::Null) || ordering::compare(&value, &best, Some(order)) == wanted;
        if better && !matches!(value, Value::Null) {
            best = value;
        }
    }
    Ok(best)
}
