//! SET, USE, WAITFOR.

use super::evaluate;
use crate::engine::bind::Binder;
use crate::engine::calendar::{Moment, TICKS_PER_DAY};
use crate::engine::context::{Cx, TEXT_SIZE};
use crate::engine::fault::{Outcome, error, unsupported};
use crate::engine::{permissions, types};
use crate::session::{Event, SqlError};
use crate::sql::ast::{self, SetFlag, SetOption};
use crate::value::{SqlType, Value};
use std::time::{Duration, Instant};

fn number(cx: &mut Cx<'_>, expr: &ast::Expr) -> Outcome<i64> {
    let value = evaluate(cx, expr, &SqlType::BigInt)?;
    Ok(types::integer(&value).unwrap_or(0) as i64)
}

fn word(cx: &mut Cx<'_>, expr: &ast::Expr) -> Outcome<String> {
    Ok(match evaluate(cx, expr, &SqlType::NVarChar(Some(128)))? {
        Value::Str(units) => types::text(&units),
        _ => String::new(),
    })
}

pub fn set(cx: &mut Cx<'_>, option: &SetOption) -> Outcome<()> {
    match option {
        SetOption::Flags(flags, on) => {
            for flag in flags {
                set_flag(cx, *flag, *on)?;
            }
        }
        SetOption::IdentityInsert { table, on } => return identity_insert(cx, table, *on),
        SetOption::Statistics(_, on) => {
            if *on {
                return Err(unsupported("SET STATISTICS ON").into());
            }
        }
        SetOption::IsolationLevel(level) => {
            cx.ses.settings.isolation = *level;
        }
        SetOption::TextSize(expr) => {
            let bytes = number(cx, expr)?.clamp(-1, i64::from(i32::MAX)) as i32;
            cx.ses.settings.text_size = if bytes == 0 { TEXT_SIZE } else { bytes };
        }
        SetOption::DateFirst(expr) => return date_first(cx, expr),
        SetOption::DateFormat(expr) => return date_format(cx, expr),
        SetOption::Language(expr) => return language(cx, expr),
        SetOption::LockTimeout(expr) => {
            cx.ses.settings.lock_timeout = number(cx, expr)?.clamp(-1, i64::from(i32::MAX)) as i32
        }
        SetOption::DeadlockPriority(expr) => {
            cx.ses.settings.deadlock_priority = number(cx, expr)? as i32
        }
        SetOption::RowCount(expr) => cx.ses.settings.row_count = number(cx, expr)?.max(0) as u64,
        SetOption::ContextInfo(expr) => {
            if let Value::Bytes(bytes) = evaluate(cx, expr, &SqlType::VarBinary(Some(128)))? {
                cx.ses.settings.context_info = bytes.to_vec();
            }
        }
        SetOption::QueryGovernorCostLimit(_) => {}
    }
    Ok(())
}

fn date_first(cx: &mut Cx<'_>, expr: &ast::Expr) -> Outcome<()> {
    let first = number(cx, expr)?;
    if !(1..=7).contains(&first) {
        return Err(error(
            2744,
            16,
            format!("The SET DATEFIRST statement failed because {first} is not a valid value."),
        )
        .into());
    }
    cx.ses.settings.datefirst = first as u8;
    Ok(())
}

fn date_format(cx: &mut Cx<'_>, expr: &ast::Expr) -> Outcome<()> {
    let format = word(cx, expr)?.to_ascii_lowercase();
    if !matches!(
        format.as_str(),
        "mdy" | "dmy" | "ymd" | "ydm" | "myd" | "dym"
    ) {
        return Err(error(
            2741,
            16,
            format!("SET DATEFORMAT date order '{format}' is invalid."),
        )
        .into());
    }
    cx.ses.settings.dateformat = format.into();
    Ok(())
}

fn language(cx: &mut Cx<'_>, expr: &ast::Expr) -> Outcome<()> {
    let language = word(cx, expr)?;
    let known = ["us_english", "english", "british", "british english"]
        .contains(&language.to_ascii_lowercase().as_str());
    if !known {
        return Err(error(
            2740,
            16,
            format!(
                "SET LANGUAGE failed because '{language}' is not an official \
            language name or a language alias on this SQL Server."
            ),
        )
        .into());
    }
    cx.ses.settings.speak(&language);
    Ok(())
}

fn set_flag(cx: &mut Cx<'_>, flag: SetFlag, on: bool) -> Outcome<()> {
    let settings = &mut cx.ses.settings;
    match flag {
        SetFlag::AnsiDefaults => {
            settings.ansi_nulls = on;
            settings.ansi_padding = on;
            settings.ansi_warnings = on;
            settings.ansi_null_dflt_on = on;
            settings.cursor_close_on_commit = on;
            settings.implicit_transactions = on;
            settings.quoted_identifier = on;
        }
        SetFlag::AnsiNullDfltOff => settings.ansi_null_dflt_on = !on,
        SetFlag::AnsiNullDfltOn => settings.ansi_null_dflt_on = on,
        SetFlag::AnsiNulls => {
            if !on {
                return Err(unsupported("SET ANSI_NULLS OFF").into());
            }
        }
        SetFlag::AnsiPadding => {
            if !on {
                return Err(unsupported("SET ANSI_PADDING OFF").into());
            }
        }
        SetFlag::AnsiWarnings => settings.ansi_warnings = on,
        SetFlag::ArithAbort => settings.arith_abort = on,
        SetFlag::ArithIgnore => {}
        SetFlag::ConcatNullYieldsNull => {
            if !on {
                return Err(unsupported("SET CONCAT_NULL_YIELDS_NULL OFF").into());
            }
        }
        SetFlag::CursorCloseOnCommit => settings.cursor_close_on_commit = on,
        SetFlag::FmtOnly => settings.fmt_only = on,
        SetFlag::ImplicitTransactions => settings.implicit_transactions = on,
        SetFlag::NoCount => settings.no_count = on,
        SetFlag::NoExec => settings.no_exec = on,
        SetFlag::NumericRoundAbort => settings.numeric_round_abort = on,
        SetFlag::ParseOnly => settings.parse_only = on,
        SetFlag::QuotedIdentifier => settings.quoted_identifier = on,
        SetFlag::XactAbort => settings.xact_abort = on,
        SetFlag::NoBrowseTable | SetFlag::ForcePlan | SetFlag::RemoteProcTransactions => {}
        SetFlag::ShowPlanAll | SetFlag::ShowPlanText | SetFlag::ShowPlanXml => {
            if on {
                return Err(unsupported("SET SHOWPLAN").into());
            }
        }
    }
    Ok(())
}

fn identity_insert(cx: &mut Cx<'_>, table: &ast::ObjectName, on: bool) -> Outcome<()> {
    cx.held.lock();
    let at = Binder::new(cx).object(table)?;
    let def = cx.held.table(at)?.def.clone();
    permissions::check(cx, at, "ALTER")?;
    if def.identity().is_none() {
        return Err(error(
            8106,
            16,
            format!(
                "Table '{table}' does not have the identity property. Cannot perform SET operation."
            ),
        )
        .into());
    }
    let current = cx.ses.settings.identity_insert;
    if on {
        if let Some(other) = current.filter(|other| *other != at && cx.held.table(*other).is_ok()) {
            let name = cx.held.table(other)?.def.name.clone();
            let database = cx.held.database(other.database).name.clone();
            return Err(error(
                8107,
                16,
                format!(
                    "IDENTITY_INSERT is already ON for table '{database}.dbo.{name}'. \
                Cannot perform SET operation for table '{table}'."
                ),
            )
            .into());
        }
        cx.ses.settings.identity_insert = Some(at);
    } else if current == Some(at) {
        cx.ses.settings.identity_insert = None;
    }
    cx.held.unlock_unless(cx.atomic > 0);
    Ok(())
}

pub fn use_database(cx: &mut Cx<'_>, name: &ast::Ident) -> Outcome<()> {
    cx.held.lock();
    let slot = cx.held.database_named(&name.text).ok_or_else(|| {
        error(
            911,
            16,
            format!(
                "Database '{}' does not exist. Make sure that the name is entered correctly.",
                name.text
            ),
        )
    })?;
    permissions::check_database(cx, slot)?;
    let shown = cx.held.database(slot).name.clone();
    cx.ses.database = slot;
    cx.ses.row_count = 0;
    if cx.ses.frames.len() == 1 {
        cx.ses.home_database = slot;
    }
    cx.held.unlock_unless(cx.atomic > 0);
    cx.emit(Event::Database(shown.clone()))?;
    cx.info(SqlError {
        number: 5701,
        state: 2,
        class: 0,
        line: 0,
        message: format!("Changed database context to '{shown}'."),
    })?;
    cx.emit(Event::Done {
        count: None,
        select: false,
    })
}

pub fn wait_for(cx: &mut Cx<'_>, wait: &ast::WaitFor) -> Outcome<()> {
    let (expr, delay) = match wait {
        ast::WaitFor::Delay(expr) => (expr, true),
        ast::WaitFor::Time(expr) => (expr, false),
    };
    let value = evaluate(cx, expr, &SqlType::Time(3))?;
    let Some(moment) = Moment::of(&value, 3) else {
        return Err(error(
            148,
            15,
            "Incorrect time syntax in time string used with WAITFOR.",
        )
        .into());
    };
    let ticks = if delay {
        moment.ticks
    } else {
        let now = (cx.shared.options.clock.now() + cx.offset_ticks()).rem_euclid(TICKS_PER_DAY);
        (moment.ticks - now).rem_euclid(TICKS_PER_DAY)
    };
    cx.held.unlock();
    let until = Instant::now() + Duration::from_nanos(ticks as u64 * 100);
    while let Some(left) = until
        .checked_duration_since(Instant::now())
        .filter(|left| !left.is_zero())
    {
        cx.check_cancel()?;
        std::thread::sleep(left.min(Duration::from_millis(20)));
    }
    Ok(())
}
