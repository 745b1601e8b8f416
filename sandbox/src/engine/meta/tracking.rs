//! Functions of change tracking.

use super::{MetaFunction, function, whole};
use crate::engine::tracking;
use crate::value::{SqlType, Value};

pub fn register(out: &mut Vec<MetaFunction>) {
    let mask = SqlType::VarBinary(Some(4100));
    out.extend([
        function(
            "CHANGE_TRACKING_CURRENT_VERSION",
            0..=0,
            &[],
            SqlType::BigInt,
            |cx, _| Ok(tracking::current_version(cx)),
        ),
        function(
            "CHANGE_TRACKING_MIN_VALID_VERSION",
            1..=1,
            &[SqlType::Int],
            SqlType::BigInt,
            |cx, args| match whole(args.first()).and_then(|id| i32::try_from(id).ok()) {
                Some(id) => tracking::min_valid_version(cx, id),
                None => Ok(Value::Null),
            },
        ),
        function(
            "CHANGE_TRACKING_IS_COLUMN_IN_MASK",
            2..=2,
            &[SqlType::Int, mask],
            SqlType::Bit,
            |_, args| tracking::is_in_mask(&args[0], &args[1]),
        ),
    ]);
}
