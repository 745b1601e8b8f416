//! PRINT, RAISERROR, THROW.

use super::evaluate;
use crate::engine::context::Cx;
use crate::engine::fault::{Outcome, Stop, error};
use crate::engine::types;
use crate::session::{Event, SqlError};
use crate::sql::ast;
use crate::value::{SqlType, Value};

fn text_of(cx: &mut Cx<'_>, expr: &ast::Expr) -> Outcome<String> {
    Ok(match evaluate(cx, expr, &SqlType::NVarChar(None))? {
        Value::Str(units) => types::text(&units),
        _ => String::new(),
    })
}

fn number_of(cx: &mut Cx<'_>, expr: &ast::Expr) -> Outcome<i32> {
    let value = evaluate(cx, expr, &SqlType::Int)?;
    Ok(types::integer(&value).unwrap_or(0) as i32)
}

pub fn print(cx: &mut Cx<'_>, expr: &ast::Expr, line: u32) -> Outcome<()> {
    let message = text_of(cx, expr)?;
    cx.ses.row_count = 0;
    cx.info(SqlError {
        number: 0,
        state: 1,
        class: 0,
        line,
        message,
    })
}

pub fn raise(cx: &mut Cx<'_>, raise: &ast::RaisError, line: u32) -> Outcome<()> {
    let (number, format) = match &raise.message.kind {
        ast::ExprKind::Literal(ast::Literal::Int(number)) => {
            return Err(error(
                18054,
                16,
                format!(
                    "Error {number}, severity 16, state 1 was raised, but no message with \
                that error number was found in sys.messages."
                ),
            )
            .into());
        }
        _ => (50000, text_of(cx, &raise.message)?),
    };
    let class = number_of(cx, &raise.severity)?.clamp(0, 25) as u8;
    let state = number_of(cx, &raise.state)?.clamp(0, 255) as u8;
    let mut args = Vec::new();
    for arg in &raise.args {
        args.push(text_of(cx, arg)?);
    }
    let message = substitute(&format, &args);
    let raised = SqlError {
        number,
        state,
        class,
        line,
        message,
    };
    if raise.options.contains(&ast::RaisErrorOption::SetError) {
        cx.ses.last_error = number;
    }
    if class > 18 {
        return Err(Stop::Batch {
            error: raised,
            rollback: true,
        });
    }
    if class >= 11 {
        return Err(Stop::Raised(raised));
    }
    cx.ses.row_count = 0;
    cx.info(raised)?;
    cx.emit(Event::Done {
        count: None,
        select: false,
    })
}

/// `%s`, `%d`, `%i`, `%u`, `%x`, `%%`, with widths left aside.
fn substitute(format: &str, args: &[String]) -> String {
    let mut out = String::new();
    let mut args = args.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        while chars.peek().is_some_and(|c| {
            c.is_ascii_digit() || matches!(c, '-' | '+' | '#' | '.' | '*' | 'l' | 'I')
        }) {
            chars.next();
        }
        match chars.next() {
            Some('%') => out.push('%'),
            Some('x') => match args.next().and_then(|arg| arg.parse::<i64>().ok()) {
                Some(number) => out.push_str(&format!("{number:x}")),
                None => out.push_str("(null)"),
            },
            Some('s' | 'd' | 'i' | 'u') => {
                out.push_str(args.next().map_or("(null)", String::as_str))
            }
            Some(other) => {
                out.push('%');
                out.push(other);
            }
            None => out.push('%'),
        }
    }
    out
}

pub fn throw(cx: &mut Cx<'_>, throw: Option<&ast::Throw>, line: u32) -> Outcome<()> {
    let raised = match throw {
        Some(throw) => {
            let number = number_of(cx, &throw.number)?;
            if number < 50000 {
                return Err(error(
                    35100,
                    16,
                    format!(
                        "Error number {number} in the THROW statement is outside the valid \
                    range. Specify an error number in the valid range of 50000 to 2147483647."
                    ),
                )
                .into());
            }
            let message = text_of(cx, &throw.message)?;
            let state = number_of(cx, &throw.state)?.clamp(0, 255) as u8;
            SqlError {
                number,
                state,
                class: 16,
                line,
                message,
            }
        }
        None => match cx.ses.caught.last() {
            Some(error) => error.clone(),
            None => {
                return Err(error(10704, 15, "To rethrow an error, a THROW statement must be used inside a CATCH block. \
                    Insert the THROW statement inside a CATCH block, or add error parameters to the THROW \
                    statement.").into());
            }
        },
    };
    Err(Stop::Batch {
        error: raised,
        rollback: false,
    })
}
