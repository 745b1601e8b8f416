//! The statement's clock: every call in one statement sees the same moment.

use super::{Builtin, EvalContext};
use crate::engine::calendar::{
    DAYS_TO_1900, Moment, TICKS_PER_DAY, TICKS_PER_MINUTE, to_three_hundredths,
};
use crate::value::{SqlType, Value};

pub static FUNCTIONS: &[Builtin] = &[
    Builtin {
        name: "GETDATE",
        args: 0..=0,
        result_type: |_| Ok(SqlType::DateTime),
        eval: |_, _, cx| Ok(datetime(local(cx))),
    },
    Builtin {
        name: "CURRENT_TIMESTAMP",
        args: 0..=0,
        result_type: |_| Ok(SqlType::DateTime),
        eval: |_, _, cx| Ok(datetime(local(cx))),
    },
    Builtin {
        name: "GETUTCDATE",
        args: 0..=0,
        result_type: |_| Ok(SqlType::DateTime),
        eval: |_, _, cx| Ok(datetime(cx.now_ticks)),
    },
    Builtin {
        name: "SYSDATETIME",
        args: 0..=0,
        result_type: |_| Ok(SqlType::DateTime2(7)),
        eval: |_, _, cx| Ok(datetime2(local(cx))),
    },
    Builtin {
        name: "SYSUTCDATETIME",
        args: 0..=0,
        result_type: |_| Ok(SqlType::DateTime2(7)),
        eval: |_, _, cx| Ok(datetime2(cx.now_ticks)),
    },
    Builtin {
        name: "SYSDATETIMEOFFSET",
        args: 0..=0,
        result_type: |_| Ok(SqlType::DateTimeOffset(7)),
        eval: |_, _, cx| Ok(with_offset(cx)),
    },
];

fn local(cx: &EvalContext) -> i64 {
    cx.now_ticks + i64::from(cx.offset_minutes) * TICKS_PER_MINUTE
}

fn datetime(total: i64) -> Value {
    let moment = Moment::at_ticks(total, 7);
    let ticks = to_three_hundredths(moment.ticks);
    let per_day = to_three_hundredths(TICKS_PER_DAY);
    let days = moment.days - DAYS_TO_1900 + (ticks / per_day) as i32;
    Value::DateTime {
        days,
        ticks: (ticks % per_day) as u32,
    }
}

fn datetime2(total: i64) -> Value {
    let moment = Moment::at_ticks(total, 7);
    Value::DateTime2 {
        days: moment.days,
        ticks: moment.ticks as u64,
    }
}

fn with_offset(cx: &EvalContext) -> Value {
    let moment = Moment::at_ticks(cx.now_ticks, 7);
    Value::DateTimeOffset {
        days: moment.days,
        ticks: moment.ticks as u64,
        offset_minutes: cx.offset_minutes,
    }
}
