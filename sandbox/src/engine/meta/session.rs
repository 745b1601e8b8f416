//! Functions on the session: its last statement, its transaction, its settings, the error being caught.

use super::{MetaFunction, NAME, TEXT, function, int_or_null, string_or_null, text, variant};
use crate::engine::context::Cx;
use crate::engine::fault::Outcome;
use crate::engine::types;
use crate::session::SqlError;
use crate::value::{SqlType, Value};

const WIDE: SqlType = SqlType::Decimal {
    precision: 38,
    scale: 0,
    numeric: true,
};

pub fn register(out: &mut Vec<MetaFunction>) {
    register_progress(out);
    register_settings(out);
    register_errors(out);
}

/// Where the session is: rows, transactions, identities, nesting.
fn register_progress(out: &mut Vec<MetaFunction>) {
    out.extend([
        function("@@ROWCOUNT", 0..=0, &[], SqlType::Int, |cx, _| {
            Ok(Value::Int(cx.ses.row_count as i32))
        }),
        function("ROWCOUNT_BIG", 0..=0, &[], SqlType::BigInt, |cx, _| {
            Ok(Value::BigInt(cx.ses.row_count))
        }),
        function("@@ERROR", 0..=0, &[], SqlType::Int, |cx, _| {
            Ok(Value::Int(cx.ses.last_error))
        }),
        function("@@TRANCOUNT", 0..=0, &[], SqlType::Int, |cx, _| {
            let inside = u32::from(in_trigger(cx));
            Ok(Value::Int(cx.ses.tran_count().max(inside) as i32))
        }),
        function("XACT_STATE", 0..=0, &[], SqlType::SmallInt, xact_state),
        function(
            "CURRENT_TRANSACTION_ID",
            0..=0,
            &[],
            SqlType::BigInt,
            |cx, _| Ok(Value::BigInt(cx.transaction().id as i64)),
        ),
        function("@@SPID", 0..=0, &[], SqlType::SmallInt, |cx, _| {
            Ok(Value::SmallInt(cx.ses.id as i16))
        }),
        function("@@IDENTITY", 0..=0, &[], WIDE, |cx, _| {
            Ok(identity(cx.ses.last_identity))
        }),
        function("SCOPE_IDENTITY", 0..=0, &[], WIDE, |cx, _| {
            Ok(identity(cx.ses.frame().identity))
        }),
        function("@@NESTLEVEL", 0..=0, &[], SqlType::Int, |cx, _| {
            Ok(Value::Int(cx.ses.nest_level as i32))
        }),
        function("TRIGGER_NESTLEVEL", 0..=0, &[], SqlType::Int, |cx, _| {
            Ok(Value::Int(
                cx.ses
                    .frames
                    .iter()
                    .filter(|frame| frame.trigger.is_some())
                    .count() as i32,
            ))
        }),
        function("@@PROCID", 0..=0, &[], SqlType::Int, |_, _| {
            Ok(Value::Int(0))
        }),
        function("@@FETCH_STATUS", 0..=0, &[], SqlType::Int, |_, _| {
            Ok(Value::Int(0))
        }),
        function("@@CURSOR_ROWS", 0..=0, &[], SqlType::Int, |_, _| {
            Ok(Value::Int(0))
        }),
    ]);
}

/// What it has set, and what it said of itself at login.
fn register_settings(out: &mut Vec<MetaFunction>) {
    out.extend([
        function("@@LANGUAGE", 0..=0, &[], NAME, |cx, _| {
            Ok(types::string(&cx.ses.settings.language))
        }),
        function("@@LANGID", 0..=0, &[], SqlType::SmallInt, |cx, _| {
            Ok(Value::SmallInt(
                if &*cx.ses.settings.language == "British" {
                    23
                } else {
                    0
                },
            ))
        }),
        function("@@OPTIONS", 0..=0, &[], SqlType::Int, |cx, _| {
            Ok(Value::Int(options(cx)))
        }),
        function("@@LOCK_TIMEOUT", 0..=0, &[], SqlType::Int, |cx, _| {
            Ok(Value::Int(cx.ses.settings.lock_timeout))
        }),
        function("@@DATEFIRST", 0..=0, &[], SqlType::TinyInt, |cx, _| {
            Ok(Value::TinyInt(cx.ses.settings.datefirst))
        }),
        function("@@TEXTSIZE", 0..=0, &[], SqlType::Int, |cx, _| {
            Ok(Value::Int(cx.ses.settings.text_size))
        }),
        function("HOST_NAME", 0..=0, &[], NAME, |cx, _| {
            Ok(types::string(&cx.ses.host))
        }),
        function("HOST_ID", 0..=0, &[], SqlType::Char(10), |_, _| {
            Ok(types::string("0         "))
        }),
        function("APP_NAME", 0..=0, &[], NAME, |cx, _| {
            Ok(types::string(&cx.ses.app))
        }),
        function(
            "SESSIONPROPERTY",
            1..=1,
            &[TEXT],
            SqlType::SqlVariant,
            session_property,
        ),
        function(
            "SESSION_CONTEXT",
            1..=1,
            &[TEXT],
            SqlType::SqlVariant,
            session_context,
        ),
        function(
            "CONTEXT_INFO",
            0..=0,
            &[],
            SqlType::VarBinary(Some(128)),
            |cx, _| {
                let info = &cx.ses.settings.context_info;
                Ok(if info.is_empty() {
                    Value::Null
                } else {
                    Value::Bytes(info.as_slice().into())
                })
            },
        ),
    ]);
}

/// The error that a CATCH block handles.
fn register_errors(out: &mut Vec<MetaFunction>) {
    out.extend([
        function("ERROR_NUMBER", 0..=0, &[], SqlType::Int, |cx, _| {
            Ok(int_or_null(caught(cx, |e| e.number)))
        }),
        function("ERROR_SEVERITY", 0..=0, &[], SqlType::Int, |cx, _| {
            Ok(int_or_null(caught(cx, |e| i32::from(e.class))))
        }),
        function("ERROR_STATE", 0..=0, &[], SqlType::Int, |cx, _| {
            Ok(int_or_null(caught(cx, |e| i32::from(e.state))))
        }),
        function("ERROR_LINE", 0..=0, &[], SqlType::Int, |cx, _| {
            Ok(int_or_null(caught(cx, |e| e.line as i32)))
        }),
        function("ERROR_MESSAGE", 0..=0, &[], TEXT, |cx, _| {
            Ok(string_or_null(caught(cx, |e| e.message.clone())))
        }),
        function("ERROR_PROCEDURE", 0..=0, &[], NAME, |_, _| Ok(Value::Null)),
    ]);
}

fn caught<T>(cx: &Cx<'_>, pick: fn(&SqlError) -> T) -> Option<T> {
    cx.ses.caught.last().map(pick)
}

fn identity(value: Option<i128>) -> Value {
    value.map_or(Value::Null, |unscaled| Value::Decimal {
        unscaled,
        scale: 0,
    })
}

/// A trigger runs in a transaction, if only in that of the statement that fired it.
fn in_trigger(cx: &Cx<'_>) -> bool {
    let mut frames = cx.ses.frames.iter();
    frames.any(|frame| frame.trigger.is_some())
}

fn xact_state(cx: &mut Cx<'_>, _: &[Value]) -> Outcome<Value> {
    let state = match &cx.ses.transaction {
        Some(transaction) if transaction.doomed => -1,
        Some(transaction) if transaction.count > 0 || in_trigger(cx) => 1,
        Some(_) | None => 0,
    };
    Ok(Value::SmallInt(state))
}

fn options(cx: &Cx<'_>) -> i32 {
    let s = &cx.ses.settings;
    let bits = [
        (2, s.implicit_transactions),
        (4, s.cursor_close_on_commit),
        (8, s.ansi_warnings),
        (16, s.ansi_padding),
        (32, s.ansi_nulls),
        (64, s.arith_abort),
        (256, s.quoted_identifier),
        (512, s.no_count),
        (1024, s.ansi_null_dflt_on),
        (4096, s.concat_null),
        (8192, s.numeric_round_abort),
        (16384, s.xact_abort),
    ];
    bits.iter().filter(|(_, on)| *on).map(|(bit, _)| bit).sum()
}

fn session_property(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let Some(name) = text(args.first()) else {
        return Ok(Value::Null);
    };
    let s = &cx.ses.settings;
    let on = match name.to_ascii_uppercase().as_str() {
        "ANSI_NULLS" => s.ansi_nulls,
        "ANSI_PADDING" => s.ansi_padding,
        "ANSI_WARNINGS" => s.ansi_warnings,
        "ARITHABORT" => s.arith_abort,
        "CONCAT_NULL_YIELDS_NULL" => s.concat_null,
        "NUMERIC_ROUNDABORT" => s.numeric_round_abort,
        "QUOTED_IDENTIFIER" => s.quoted_identifier,
        _ => return Ok(Value::Null),
    };
    Ok(variant(Value::Int(i32::from(on))))
}

fn session_context(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let Some(key) = text(args.first()) else {
        return Ok(Value::Null);
    };
    Ok(match cx.ses.session_context.get(&key.to_lowercase()) {
        Some((value, ty)) if !matches!(value, Value::Null) => {
            Value::Variant(Box::new((ty.clone(), value.clone(), None)))
        }
        Some(_) | None => Value::Null,
    })
}
