//! Remote procedure calls: `sp_executesql`, the `sp_prepare` family, and procedures by name.

use super::cursor::{Cursor, ParseError, Parsed};
use super::decode::read_value;
use super::encode::ColumnEncoder;
use super::packet::WireError;
use super::request::Worker;
use super::sink::{WireSink, error, internal_error};
use super::token::{self, DONE_ERROR, DONE_MORE, Done, DoneKind, put_b_varchar};
use super::type_info::{Delimiter, Place, WireType, put_type_info, put_user_type};
use crate::collation::{CollationInfo, DEFAULT};
use crate::session::{ColumnMeta, Param, SqlError};
use crate::value::{SqlType, Value};
use std::collections::HashMap;

const RETURNVALUE: u8 = 0xAC;
const PREPARED_MAX: usize = 10_000;
const PREPARED_BYTES_MAX: usize = 64 << 20;
/// SQL Server's own limit.
const PARAMS_MAX: usize = 2100;
const CALLS_MAX: usize = 10_000;

/// Procedures that have a number, by it.
const NUMBERED: [&str; 15] = [
    "sp_cursor",
    "sp_cursoropen",
    "sp_cursorprepare",
    "sp_cursorexecute",
    "sp_cursorprepexec",
    "sp_cursorunprepare",
    "sp_cursorfetch",
    "sp_cursoroption",
    "sp_cursorclose",
    "sp_executesql",
    "sp_prepare",
    "sp_execute",
    "sp_prepexec",
    "sp_prepexecrpc",
    "sp_unprepare",
];

/// Prepared statements of a session. They are checked when they run, not when they are prepared.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    statements: HashMap<i32, Statement>,
    last: i32,
}

#[derive(Debug, Clone)]
struct Statement {
    sql: String,
    declarations: String,
}

impl Prepared {
    fn add(&mut self, statement: Statement) -> Result<i32, SqlError> {
        let bytes = |s: &Statement| s.sql.len() + s.declarations.len();
        let held: usize = self.statements.values().map(bytes).sum();
        if self.statements.len() >= PREPARED_MAX || held + bytes(&statement) > PREPARED_BYTES_MAX {
            let message = format!(
                "A session may hold {PREPARED_MAX} prepared statements, of {PREPARED_BYTES_MAX} bytes together."
            );
            return Err(error(701, 17, message));
        }
        self.last += 1;
        self.statements.insert(self.last, statement);
        Ok(self.last)
    }

    fn get(&self, handle: i32) -> Result<Statement, SqlError> {
        self.statements
            .get(&handle)
            .cloned()
            .ok_or_else(|| no_handle(handle))
    }
}

fn no_handle(handle: i32) -> SqlError {
    let message = format!("Could not find prepared statement with handle {handle}.");
    error(8179, 16, message)
}

/// One call of an RPC message.
#[derive(Debug)]
struct Call {
    procedure: String,
    params: Vec<Param>,
    /// Place and name of the first parameter that is a NULL without a type.
    untyped: Option<(usize, String)>,
}

/// What a call leaves besides its rows.
struct Returned {
    status: i32,
    /// In the client's order and by the client's names.
    outputs: Vec<Param>,
}

/// Serves a message of one or more calls.
pub(super) fn serve(worker: &mut Worker, data: &[u8]) -> Result<(), WireError> {
    let calls = match read_calls(data) {
        Ok(calls) => calls,
        Err(problem) => {
            worker.fail_to_parse(8016, "remote procedure call", problem);
            return Ok(());
        }
    };
    let untyped = calls.iter().find_map(|call| call.untyped.as_ref());
    if let Some((place, name)) = untyped.filter(|_| worker.typed_nulls) {
        let message = format!(
            "The incoming tabular data stream (TDS) remote procedure call (RPC) protocol stream is incorrect. \
            Parameter {place} (\"{name}\"): Data type 0x1F is unknown."
        );
        worker.fail(Some(error(8009, 16, message)));
        return Ok(());
    }
    let texts: Vec<String> = calls
        .iter()
        .map(|call| call.text(&worker.prepared))
        .collect();
    let text = texts.join(";\n");
    worker.with_fault(&text, |worker| {
        let count = calls.len();
        for (at, call) in calls.into_iter().enumerate() {
            let names = call.params.iter().map(|p| p.name.clone()).collect();
            let outcome = run(worker, call);
            answer(worker, outcome, names, at + 1 < count);
        }
        worker.response.finish();
        Ok(())
    })
}

impl Call {
    /// What faults match on: the SQL where there is some, else the procedure's name.
    fn text(&self, prepared: &Prepared) -> String {
        let statement = match self.procedure.to_ascii_lowercase().as_str() {
            "sp_executesql" => self.params.first(),
            "sp_prepare" | "sp_prepexec" => self.params.get(2),
            "sp_execute" => {
                let handle = self.params.first().and_then(|p| as_handle(&p.value));
                let statement = handle.and_then(|handle| prepared.statements.get(&handle));
                return statement.map_or(&self.procedure, |s| &s.sql).clone();
            }
            _ => None,
        };
        statement
            .and_then(|param| as_text(&param.value).ok().flatten())
            .unwrap_or_else(|| self.procedure.clone())
    }
}

fn run(worker: &mut Worker, call: Call) -> Result<Returned, SqlError> {
    let mut params = call.params;
    match call.procedure.to_ascii_lowercase().as_str() {
        "sp_executesql" => {
            let statement = Statement {
                sql: {
                    require_national(params.first())?;
                    take_text(&mut params, "sp_executesql", "@statement")?
                },
                declarations: if params.is_empty() {
                    String::new()
                } else {
                    require_national(params.first())?;
                    take_text(&mut params, "sp_executesql", "@params")?
                },
            };
            execute(worker, &statement, params, Vec::new())
        }
        "sp_prepare" => {
            let (handle, _) = take_prepare(worker, &mut params)?;
            Ok(Returned {
                status: 0,
                outputs: vec![handle],
            })
        }
        "sp_prepexec" => {
            let (handle, statement) = take_prepare(worker, &mut params)?;
            execute(worker, &statement, params, vec![handle])
        }
        "sp_execute" => {
            let handle = take_handle(&mut params, "sp_execute")?;
            let statement = worker.prepared.get(handle)?;
            execute(worker, &statement, params, Vec::new())
        }
        "sp_unprepare" => {
            let handle = take_handle(&mut params, "sp_unprepare")?;
            let removed = worker.prepared.statements.remove(&handle);
            removed
                .map(|_| Returned::nothing())
                .ok_or_else(|| no_handle(handle))
        }
        "sp_reset_connection" => {
            worker.reset();
            Ok(Returned::nothing())
        }
        name if NUMBERED.contains(&name) => Err(error(
            2812,
            16,
            format!(
                "Could not find stored procedure '{name}'. The stand-in has no server cursors."
            ),
        )),
        _ => procedure(worker, &call.procedure, params),
    }
}

impl Returned {
    fn nothing() -> Self {
        Self {
            status: 0,
            outputs: Vec::new(),
        }
    }
}

fn execute(
    worker: &mut Worker,
    statement: &Statement,
    params: Vec<Param>,
    mut outputs: Vec<Param>,
) -> Result<Returned, SqlError> {
    let kind = DoneKind::DoneInProc;
    let mut sink = WireSink::new(&mut worker.response, &mut worker.context, kind);
    let Statement { sql, declarations } = statement;
    let returned = worker
        .session
        .execute_sql(sql, declarations, params, &worker.cancel, &mut sink);
    let failed = sink.first_error();
    sink.end_statements();
    outputs.extend(
        returned
            .unwrap_or_default()
            .into_iter()
            .filter(|p| p.output),
    );
    Ok(Returned {
        status: failed.unwrap_or(0),
        outputs,
    })
}

fn procedure(worker: &mut Worker, name: &str, params: Vec<Param>) -> Result<Returned, SqlError> {
    let kind = DoneKind::DoneInProc;
    let mut sink = WireSink::new(&mut worker.response, &mut worker.context, kind);
    let returned = worker
        .session
        .procedure(name, params, &worker.cancel, &mut sink);
    let failed = sink.first_error();
    sink.end_statements();
    let (status, outputs) = returned.unwrap_or((failed.unwrap_or(0), Vec::new()));
    Ok(Returned {
        status,
        outputs: outputs.into_iter().filter(|p| p.output).collect(),
    })
}

/// Takes handle, declarations and statement off the front, and prepares the statement.
fn take_prepare(
    worker: &mut Worker,
    params: &mut Vec<Param>,
) -> Result<(Param, Statement), SqlError> {
    if params.len() < 3 {
        return Err(missing("sp_prepare", "@stmt"));
    }
    let mut handle = params.remove(0);
    let declarations = params.remove(0);
    let statement = Statement {
        declarations: as_text(&declarations.value)?.unwrap_or_default(),
        sql: take_text(params, "sp_prepare", "@stmt")?,
    };
    if let Some(old) = as_handle(&handle.value) {
        worker.prepared.statements.remove(&old);
    }
    handle.value = Value::Int(worker.prepared.add(statement.clone())?);
    handle.ty = SqlType::Int;
    handle.output = true;
    Ok((handle, statement))
}

/// Error 214 for a text that `sp_executesql` does not take.
fn require_national(param: Option<&Param>) -> Result<(), SqlError> {
    let is_narrow = |param: &Param| {
        matches!(
            param.ty,
            SqlType::VarChar(_) | SqlType::Char(_) | SqlType::Text
        )
    };
    match param.is_some_and(is_narrow) {
        true => Err(not_national()),
        false => Ok(()),
    }
}

fn not_national() -> SqlError {
    let message = "Procedure expects parameter '@statement' of type 'ntext/nchar/nvarchar'.";
    error(214, 16, message.to_owned())
}

fn take_text(params: &mut Vec<Param>, of: &str, what: &str) -> Result<String, SqlError> {
    if params.is_empty() {
        return Err(missing(of, what));
    }
    as_text(&params.remove(0).value)?.ok_or_else(|| missing(of, what))
}

fn missing(procedure: &str, parameter: &str) -> SqlError {
    let message = format!(
        "Procedure or function '{procedure}' expects parameter '{parameter}', which was not supplied."
    );
    error(201, 16, message)
}

/// SQL text, which must be whole: an unpaired surrogate in it would be changed silently.
fn as_text(value: &Value) -> Result<Option<String>, SqlError> {
    match value {
        Value::Null => Ok(None),
        Value::Str(units) => String::from_utf16(units).map(Some).map_err(|_| {
            let message = "SQL text with an unpaired surrogate; send such data as a parameter.";
            error(8016, 16, message.to_owned())
        }),
        _ => Err(not_national()),
    }
}

fn as_handle(value: &Value) -> Option<i32> {
    match value {
        Value::TinyInt(n) => Some(i32::from(*n)),
        Value::SmallInt(n) => Some(i32::from(*n)),
        Value::Int(n) => Some(*n),
        Value::BigInt(n) => i32::try_from(*n).ok(),
        _ => None,
    }
}

fn take_handle(params: &mut Vec<Param>, of: &str) -> Result<i32, SqlError> {
    if params.is_empty() {
        return Err(missing(of, "@handle"));
    }
    as_handle(&params.remove(0).value).ok_or_else(|| missing(of, "@handle"))
}

/// Ends a call: its status, its output parameters, its DONEPROC.
fn answer(
    worker: &mut Worker,
    outcome: Result<Returned, SqlError>,
    names: Vec<String>,
    more: bool,
) {
    let out = &mut worker.response.payload;
    let mut status = if more { DONE_MORE } else { 0 };
    match outcome {
        Ok(returned) => {
            token::put_return_status(out, returned.status);
            for param in &returned.outputs {
                let ordinal = names
                    .iter()
                    .position(|name| name.eq_ignore_ascii_case(&param.name))
                    .unwrap_or(0);
                if let Err(problem) = put_return_value(out, ordinal as u16, param) {
                    token::put_error(out, &problem);
                    status |= DONE_ERROR;
                }
            }
        }
        Err(problem) => {
            token::put_error(out, &problem);
            token::put_return_status(out, problem.number);
            status |= DONE_ERROR;
        }
    }
    Done::new(DoneKind::DoneProc, status).put(out);
}

fn put_return_value(out: &mut Vec<u8>, ordinal: u16, param: &Param) -> Result<(), SqlError> {
    let start = out.len();
    out.push(RETURNVALUE);
    out.extend_from_slice(&ordinal.to_le_bytes());
    put_b_varchar(out, &param.name);
    out.push(1);
    put_user_type(out, &param.ty);
    out.extend_from_slice(&[0, 0]);
    let column = ColumnMeta {
        name: param.name.clone(),
        ty: param.ty.clone(),
        nullable: true,
        identity: false,
        computed: false,
        collation: None,
    };
    if let Some(collation) = CollationInfo::of(DEFAULT) {
        put_type_info(out, &param.ty, true, collation);
    }
    ColumnEncoder::new(&column)
        .put(out, &param.value)
        .map_err(|mismatch| {
            out.truncate(start);
            internal_error(mismatch.to_string())
        })
}

fn read_calls(data: &[u8]) -> Parsed<Vec<Call>> {
    let mut from = Cursor::new(data);
    from.skip_all_headers()?;
    let mut calls = Vec::new();
    loop {
        if calls.len() >= CALLS_MAX {
            return Err(ParseError::bad(format!(
                "more than {CALLS_MAX} calls in one message"
            )));
        }
        calls.push(read_call(&mut from)?);
        if from.is_at_end() {
            return Ok(calls);
        }
        // Between calls stands 0xFF, or 0x80 from older clients.
        from.u8()?;
        if from.is_at_end() {
            return Ok(calls);
        }
    }
}

fn read_call(from: &mut Cursor<'_>) -> Parsed<Call> {
    let length = from.u16()?;
    let procedure = if length == 0xFFFF {
        let number = usize::from(from.u16()?);
        let known = number.checked_sub(1).and_then(|at| NUMBERED.get(at));
        let name = known.ok_or_else(|| ParseError::bad(format!("procedure number {number}")))?;
        (*name).to_owned()
    } else {
        super::cursor::name(from.bytes(usize::from(length) * 2)?)?
    };
    from.u16()?;
    let (mut params, mut untyped) = (Vec::new(), None);
    while !from.is_at_end() && !matches!(from.peek()?, 0x80 | 0xFE | 0xFF) {
        if params.len() >= PARAMS_MAX {
            return Err(ParseError::bad(format!(
                "more than {PARAMS_MAX} parameters"
            )));
        }
        let (param, is_typed) = read_param(from)?;
        if !is_typed && untyped.is_none() {
            untyped = Some((params.len() + 1, param.name.clone()));
        }
        params.push(param);
    }
    Ok(Call {
        procedure,
        params,
        untyped,
    })
}

/// A parameter, and whether its type was told.
fn read_param(from: &mut Cursor<'_>) -> Parsed<(Param, bool)> {
    let name = from.b_varchar()?;
    let status = from.u8()?;
    if status & !0x01 != 0 {
        return Err(ParseError::bad(format!(
            "parameter '{name}' with status 0x{status:02X}; defaults and encrypted parameters are not supported here"
        )));
    }
    let ty =
        WireType::read(from, Place::Parameter).map_err(|problem| of_parameter(problem, &name))?;
    let value =
        read_value(from, &ty, Place::Parameter).map_err(|problem| of_parameter(problem, &name))?;
    let is_typed = ty.delimiter != Delimiter::Nothing;
    let param = Param {
        name,
        ty: ty.ty,
        value,
        output: status & 0x01 != 0,
    };
    Ok((param, is_typed))
}

fn of_parameter(problem: ParseError, name: &str) -> ParseError {
    match problem {
        ParseError::Incomplete => ParseError::Incomplete,
        ParseError::Bad(why) => ParseError::Bad(format!("parameter '{name}': {why}")),
    }
}
