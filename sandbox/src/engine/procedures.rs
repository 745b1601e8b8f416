//! The stored procedures that the engine knows.

use crate::engine::bind::Binder;
use crate::engine::context::{Cx, Frame, Variable};
use crate::engine::convert::{Conversion, convert};
use crate::engine::fault::{Outcome, Stop, error};
use crate::engine::flow::{self, attempt, evaluate, run_nested};
use crate::engine::meta::split_name;
use crate::engine::{capture, catalog, collation::Collate, ddl, types};
use crate::session::{Event, Param, SqlError};
use crate::sql::{self, ast};
use crate::value::{SqlType, Value};
use std::sync::Arc;

mod applock;
mod tracking;

use applock::{get_applock, release_applock};

/// A procedure's argument, evaluated.
pub struct Argument {
    pub name: Option<String>,
    pub ty: SqlType,
    pub value: Value,
    /// The variable that takes the output.
    pub variable: Option<usize>,
    pub output: bool,
}

/// EXEC of a procedure by name; its status.
pub fn execute(
    cx: &mut Cx<'_>,
    shown: &str,
    name: &ast::ObjectName,
    args: &[ast::ExecArg],
) -> Outcome<i32> {
    let mut arguments = Vec::with_capacity(args.len());
    for arg in args {
        let ast::ExecValue::Value(expr) = &arg.value else {
            arguments.push(Argument {
                name: arg.name.clone(),
                ty: SqlType::Int,
                value: Value::Null,
                variable: None,
                output: false,
            });
            continue;
        };
        let variable = match &expr.kind {
            ast::ExprKind::Variable(name) => {
                cx.ses.frame().names.get(&name.to_lowercase()).copied()
            }
            _ => None,
        };
        let (value, ty) = attempt(cx, &mut |cx| {
            let bound = Binder::new(cx).expr(expr)?;
            Ok((bound.eval(&[], cx)?, bound.ty))
        })?;
        arguments.push(Argument {
            name: arg.name.clone(),
            ty,
            value,
            variable,
            output: arg.output,
        });
    }
    let (status, outputs) = call(cx, shown, name.object(), arguments)?;
    for (variable, value, ty) in outputs {
        let target = cx.ses.frame().variables[variable].ty.clone();
        let value = convert_to(cx, &value, &ty, &target)?;
        cx.ses.frame_mut().variables[variable].value = value;
    }
    Ok(status)
}

fn convert_to(cx: &Cx<'_>, value: &Value, from: &SqlType, to: &SqlType) -> Outcome<Value> {
    let collate = Collate::server();
    let dateformat = cx.ses.settings.dateformat.clone();
    Ok(convert(
        value,
        Conversion {
            from,
            to,
            style: 0,
            collate: &collate,
            dateformat: &dateformat,
        },
    )?)
}

/// The arguments by the procedure's parameter names.
pub struct Args<'p> {
    procedure: &'p str,
    list: Vec<Argument>,
}

impl Args<'_> {
    pub fn find(&self, name: &str, position: usize) -> Option<&Argument> {
        self.list
            .iter()
            .find(|argument| {
                argument
                    .name
                    .as_deref()
                    .is_some_and(|own| own.trim_start_matches('@').eq_ignore_ascii_case(name))
            })
            .or_else(|| {
                self.list
                    .get(position)
                    .filter(|argument| argument.name.as_deref().is_none_or(str::is_empty))
            })
    }

    pub fn text(&self, name: &str, position: usize) -> Option<String> {
        match self.find(name, position).map(|argument| &argument.value) {
            Some(Value::Str(units)) => Some(types::text(units)),
            Some(_) | None => None,
        }
    }

    pub fn required(&self, name: &str, position: usize) -> Outcome<String> {
        self.text(name, position).ok_or_else(|| {
            error(
                201,
                16,
                format!(
                    "Procedure or function '{}' expects parameter '@{name}', which was not \
                supplied.",
                    self.procedure
                ),
            )
            .into()
        })
    }

    pub fn whole(&self, name: &str, position: usize) -> Option<i64> {
        self.find(name, position)
            .and_then(|argument| types::integer(&argument.value))
            .map(|n| n as i64)
    }
}

type Outputs = Vec<(usize, Value, SqlType)>;

fn call(cx: &mut Cx<'_>, shown: &str, name: &str, list: Vec<Argument>) -> Outcome<(i32, Outputs)> {
    let args = Args {
        procedure: name,
        list,
    };
    let lower = name.to_ascii_lowercase();
    if lower.starts_with("sp_cdc_") && capture::procedure(cx, &lower, &args)? {
        return Ok((0, Vec::new()));
    }
    match lower.as_str() {
        "sp_executesql" => return execute_sql(cx, args),
        "sp_getapplock" => return Ok((get_applock(cx, &args)?, Vec::new())),
        "sp_flush_ct_internal_table_on_demand" => return Ok((0, tracking::flush(cx, &args)?)),
        "sp_sandbox_age_changes" => tracking::age(cx, &args)?,
        "sp_releaseapplock" => return Ok((release_applock(cx, &args)?, Vec::new())),
        "sp_rename" => {
            let (old, new) = (args.required("objname", 0)?, args.required("newname", 1)?);
            let kind = args.text("objtype", 2);
            attempt(cx, &mut |cx| ddl::rename(cx, &old, &new, kind.as_deref()))?;
            let caution = "Caution: Changing any part of an object name could break scripts and stored procedures.";
            cx.info(SqlError {
                number: 15477,
                state: 1,
                class: 0,
                line: 0,
                message: caution.into(),
            })?;
        }
        "sp_set_session_context" => set_session_context(cx, &args)?,
        "sp_tablecollations_100" | "sp_tablecollations_90" | "sp_tablecollations" => {
            let table = args.required("object", 0)?;
            let (columns, rows) = attempt(cx, &mut |cx| catalog::table_collations(cx, &table))?;
            send(cx, columns, rows)?;
        }
        "sp_describe_first_result_set" => {
            let text = args.required("tsql", 0)?;
            let declarations = args.text("params", 1).unwrap_or_default();
            let (columns, rows) = describe(cx, &text, &declarations)?;
            send(cx, columns, rows)?;
        }
        "sp_reset_connection" => {}
        "sp_who" | "sp_who2" => {
            let (columns, rows) = attempt(cx, &mut |cx| catalog::who(cx))?;
            send(cx, columns, rows)?;
        }
        "sp_datatype_info_100"
        | "sp_datatype_info"
        | "sp_columns"
        | "sp_columns_100"
        | "sp_tables"
        | "sp_pkeys"
        | "sp_statistics" => {
            return Err(crate::engine::fault::unsupported(format!("The procedure {name}")).into());
        }
        "xp_msver" => {
            let (columns, rows) = catalog::version_rows();
            send(cx, columns, rows)?;
        }
        _ => {
            return Err(Stop::Statement(error(
                2812,
                16,
                format!("Could not find stored procedure '{shown}'."),
            )));
        }
    }
    Ok((0, Vec::new()))
}

pub fn send(
    cx: &mut Cx<'_>,
    columns: Vec<crate::engine::bind::OutColumn>,
    rows: Vec<Vec<Value>>,
) -> Outcome<()> {
    let count = rows.len() as u64;
    cx.columns(columns.iter().map(|column| column.meta()).collect())?;
    if !rows.is_empty() {
        cx.emit(Event::Rows(rows))?;
    }
    cx.ses.row_count = count as i64;
    cx.emit(Event::Done {
        count: Some(count),
        select: true,
    })
}

/// A frame with declared parameters, each with its argument, default or NULL.
pub fn parameter_frame(
    cx: &mut Cx<'_>,
    declarations: &str,
    arguments: &mut [Argument],
) -> Outcome<(Frame, Vec<(usize, usize)>)> {
    let declared = sql::parse_declarations(declarations).map_err(Stop::Statement)?;
    let mut frame = Frame::default();
    let mut outputs = Vec::new();
    let mut used = vec![false; arguments.len()];
    for (position, parameter) in declared.iter().enumerate() {
        let (ty, collate) = parameter_type(cx, &parameter.ty)?;
        let found = argument_of(arguments, position, &parameter.name);
        let value = match (found, &parameter.default) {
            (Some(at), _) => {
                used[at] = true;
                convert_to(cx, &arguments[at].value, &arguments[at].ty, &ty)?
            }
            (None, Some(default)) => evaluate(cx, default, &ty)?,
            (None, None) => {
                return Err(Stop::Statement(error(
                    8178,
                    16,
                    format!(
                        "The parameterized query '({declarations})' expects the parameter '{}', which was not \
                            supplied.",
                        parameter.name
                    ),
                )));
            }
        };
        let collate = types::is_character(&ty).then_some(collate);
        let index = frame.declare(Variable {
            name: parameter.name.clone(),
            ty,
            collate,
            value,
        })?;
        if let Some(at) = found
            && (parameter.output || arguments[at].output)
        {
            outputs.push((index, at));
        }
    }
    if let Some(extra) = used.iter().position(|used| !used) {
        let name = arguments[extra].name.clone().unwrap_or_default();
        return Err(Stop::Statement(error(
            8145,
            16,
            format!("{name} is not a parameter for procedure sp_executesql."),
        )));
    }
    Ok((frame, outputs))
}

/// A declared type, and the database's collation.
fn parameter_type(cx: &mut Cx<'_>, declared: &ast::TypeName) -> Outcome<(SqlType, Arc<Collate>)> {
    let locked = cx.held.is_locked();
    cx.held.lock();
    let ty = Binder::new(cx).type_of(declared);
    let collate = cx.held.database(cx.ses.database).collate.clone();
    if !locked {
        cx.held.unlock();
    }
    Ok((ty?.0, collate))
}

/// The argument of a parameter: by its name, else the one without a name in its place.
fn argument_of(arguments: &[Argument], position: usize, name: &str) -> Option<usize> {
    let by_name = arguments.iter().position(|argument| {
        argument
            .name
            .as_deref()
            .is_some_and(|given| !given.is_empty() && given.eq_ignore_ascii_case(name))
    });
    by_name.or_else(|| {
        let in_place = arguments.get(position)?;
        let is_unnamed = in_place.name.as_deref().is_none_or(str::is_empty);
        is_unnamed.then_some(position)
    })
}

fn not_national(parameter: &str) -> Stop {
    Stop::Statement(error(
        214,
        16,
        format!("Procedure expects parameter '{parameter}' of type 'ntext/nchar/nvarchar'."),
    ))
}

fn execute_sql(cx: &mut Cx<'_>, mut args: Args<'_>) -> Outcome<(i32, Outputs)> {
    let given = args.find("stmt", 0).or_else(|| args.find("statement", 0));
    let statement = match given.map(|argument| (&argument.value, &argument.ty)) {
        Some((Value::Null, _)) => return Ok((0, Vec::new())),
        Some((Value::Str(units), ty)) if types::is_unicode(ty) => types::text(units),
        Some(_) | None => return Err(not_national("@statement")),
    };
    if let Some(parameters) = args.find("params", 1)
        && parameters.value != Value::Null
        && !types::is_unicode(&parameters.ty)
    {
        return Err(not_national("@parameters"));
    }
    let declarations = args.text("params", 1).unwrap_or_default();
    let mut arguments = if args.list.len() > 2 {
        args.list.split_off(2)
    } else {
        Vec::new()
    };
    let frame = parameter_frame(cx, &declarations, &mut arguments);
    let (frame, outputs) = frame.map_err(flow::leaving)?;
    let (status, frame) = run_nested(cx, &statement, frame)?;
    let mut out = Vec::new();
    for (index, at) in outputs {
        let variable = &frame.variables[index];
        if let (Some(target), true) = (arguments[at].variable, arguments[at].output) {
            out.push((target, variable.value.clone(), variable.ty.clone()));
        }
    }
    Ok((status, out))
}

/// As a client calls it: `sp_executesql` through RPC. The parameters that are to go back, with their final values.
pub fn execute_parameterised(
    cx: &mut Cx<'_>,
    statement: &str,
    declarations: &str,
    params: Vec<Param>,
) -> Outcome<(i32, Vec<Param>)> {
    let mut arguments: Vec<Argument> = params
        .iter()
        .map(|param| Argument {
            name: Some(param.name.clone()),
            ty: param.ty.clone(),
            value: param.value.clone(),
            variable: None,
            output: param.output,
        })
        .collect();
    let frame = parameter_frame(cx, declarations, &mut arguments);
    let (frame, outputs) = frame.map_err(flow::leaving)?;
    let (status, frame) = run_nested(cx, statement, frame)?;
    let mut out = Vec::new();
    for (index, at) in outputs {
        let variable = &frame.variables[index];
        if params[at].output {
            out.push(Param {
                name: variable.name.clone(),
                ty: variable.ty.clone(),
                value: variable.value.clone(),
                output: true,
            });
        }
    }
    Ok((status, out))
}

/// Any procedure through RPC.
pub fn remote(cx: &mut Cx<'_>, name: &str, params: Vec<Param>) -> Outcome<(i32, Vec<Param>)> {
    let last = split_name(name).pop().unwrap_or_default();
    if last.eq_ignore_ascii_case("sp_executesql") {
        let text = |param: Option<&Param>| match param.map(|param| &param.value) {
            Some(Value::Str(units)) => types::text(units),
            Some(_) | None => String::new(),
        };
        let (statement, declarations) = (text(params.first()), text(params.get(1)));
        let rest = params.into_iter().skip(2).collect();
        return execute_parameterised(cx, &statement, &declarations, rest);
    }
    let arguments = params
        .into_iter()
        .map(|param| Argument {
            name: (!param.name.is_empty()).then_some(param.name),
            ty: param.ty,
            value: param.value,
            variable: None,
            output: param.output,
        })
        .collect();
    let (status, _) = call(cx, name, &last, arguments)?;
    Ok((status, Vec::new()))
}

fn set_session_context(cx: &mut Cx<'_>, args: &Args<'_>) -> Outcome<()> {
    let key = args.required("key", 0)?;
    let (value, ty) = args
        .find("value", 1)
        .map_or((Value::Null, SqlType::Int), |argument| {
            (argument.value.clone(), argument.ty.clone())
        });
    cx.ses
        .session_context
        .insert(key.to_lowercase(), (value, ty));
    Ok(())
}

/// The columns of a batch's first SELECT.
fn describe(
    cx: &mut Cx<'_>,
    text: &str,
    declarations: &str,
) -> Outcome<(Vec<crate::engine::bind::OutColumn>, Vec<Vec<Value>>)> {
    let statements = sql::parse_batch(text).map_err(Stop::Statement)?;
    let declared = sql::parse_declarations(declarations).map_err(Stop::Statement)?;
    let mut frame = Frame::default();
    attempt(cx, &mut |cx| {
        for parameter in &declared {
            let (ty, _, _) = Binder::new(cx).type_of(&parameter.ty)?;
            frame.declare(Variable {
                name: parameter.name.clone(),
                ty,
                collate: None,
                value: Value::Null,
            })?;
        }
        Ok(())
    })?;
    flow::push_frame(cx, frame)?;
    let found = attempt(cx, &mut |cx| {
        for statement in &statements {
            if let ast::StatementKind::Select(query) = &statement.kind {
                return Ok(Binder::new(cx).query(query)?.columns);
            }
        }
        Ok(Vec::new())
    });
    cx.ses.nest_level = cx.ses.nest_level.saturating_sub(1);
    flow::drop_frame(cx);
    Ok(catalog::described(&found?))
}
