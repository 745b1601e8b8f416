//! Table-valued functions.

use super::*;
use crate::engine::fault::{error, unsupported};

/// A table-valued function.
pub struct TableFunction {
    name: &'static str,
    /// Whether it must be written `sys.name`.
    system: bool,
    shape: fn() -> Vec<ColumnShape>,
    pub produce: Produce,
}

impl TableFunction {
    pub fn out_columns(&self, _state: &State) -> Vec<OutColumn> {
        out_columns((self.shape)(), &Collate::server())
    }
}

const FUNCTIONS: &[TableFunction] = &[
    TableFunction {
        name: "dm_db_stats_histogram",
        system: true,
        shape: statistics::histogram_shape,
        produce: stats_histogram,
    },
    TableFunction {
        name: "dm_db_stats_properties",
        system: true,
        shape: statistics::properties_shape,
        produce: stats_properties,
    },
    TableFunction {
        name: "dm_sql_referenced_entities",
        system: true,
        shape: references::shape,
        produce: references::entities,
    },
    TableFunction {
        name: "fn_helpcollations",
        system: true,
        shape: collations_shape,
        produce: collations,
    },
    TableFunction {
        name: "STRING_SPLIT",
        system: false,
        shape: || {
            vec![ColumnShape {
                name: "value",
                ty: TEXT,
                nullable: true,
            }]
        },
        produce: string_split,
    },
];

pub(super) fn lookup(name: &ObjectName) -> Option<&'static TableFunction> {
    FUNCTIONS.iter().find(|function| {
        let place = match name.schema() {
            Some(schema) => function.system && same_name(schema, "sys"),
            None => !function.system,
        };
        place && same_name(function.name, name.object())
    })
}

fn check_args(args: &[Value], name: &str, wanted: usize) -> Outcome<()> {
    if args.len() < wanted {
        return Err(error(
            313,
            16,
            format!(
                "An insufficient number of arguments were supplied for the procedure or \
            function {name}."
            ),
        )
        .into());
    }
    if args.len() > wanted {
        return Err(error(
            8144,
            16,
            format!("Procedure or function {name} has too many arguments specified."),
        )
        .into());
    }
    Ok(())
}

fn whole(value: &Value) -> Option<i32> {
    sql_types::integer(value).and_then(|whole| i32::try_from(whole).ok())
}

/// The table and statistics that a function's arguments name, when the session may read them.
fn statistics_named(
    cx: &mut Cx<'_>,
    args: &[Value],
    slot: usize,
    name: &str,
) -> Outcome<Option<(ObjectRef, i32)>> {
    cx.held.lock();
    check_args(args, name, 2)?;
    let (Some(id), Some(stats_id)) = (whole(&args[0]), whole(&args[1])) else {
        return Ok(None);
    };
    let at = ObjectRef { database: slot, id };
    wait_for_object(cx, at)?;
    if cx.held.database(slot).table(id).is_none() {
        return Ok(None);
    }
    // Without SELECT on the table a real server shows nothing either.
    if slot != 1 && !permissions::holds(&cx.held, &cx.ses.login, slot, Some(at), "SELECT") {
        return Ok(None);
    }
    Ok(Some((at, stats_id)))
}

fn stats_histogram(cx: &mut Cx<'_>, args: &[Value], slot: usize) -> Outcome<Vec<Tuple>> {
    match statistics_named(cx, args, slot, "sys.dm_db_stats_histogram")? {
        Some((at, stats_id)) => statistics::histogram(cx, at, stats_id),
        None => Ok(Vec::new()),
    }
}

fn stats_properties(cx: &mut Cx<'_>, args: &[Value], slot: usize) -> Outcome<Vec<Tuple>> {
    match statistics_named(cx, args, slot, "sys.dm_db_stats_properties")? {
        Some((at, stats_id)) => statistics::properties(cx, at, stats_id),
        None => Ok(Vec::new()),
    }
}

fn collations_shape() -> Vec<ColumnShape> {
    vec![
        ColumnShape {
            name: "name",
            ty: SYSNAME,
            nullable: false,
        },
        ColumnShape {
            name: "description",
            ty: SqlType::NVarChar(Some(1000)),
            nullable: false,
        },
    ]
}

/// Families of the stand-in's collations, each with every usual combination of sensitivities.
fn collations(_: &mut Cx<'_>, args: &[Value], _: usize) -> Outcome<Vec<Tuple>> {
    check_args(args, "fn_helpcollations", 0)?;
    const FAMILIES: [&str; 12] = [
        "Chinese_PRC",
        "Chinese_Taiwan_Stroke",
        "Chinese_Taiwan_Stroke_90",
        "Cyrillic_General",
        "Greek",
        "Japanese",
        "Korean_Wansung",
        "Latin1_General",
        "Latin1_General_100",
        "SQL_Latin1_General_CP1",
        "Turkish",
        "Vietnamese",
    ];
    const SUFFIXES: [&str; 8] = [
        "BIN",
        "BIN2",
        "CI_AI",
        "CI_AS",
        "CS_AI",
        "CS_AS",
        "CI_AS_KS_WS",
        "CS_AS_KS_WS",
    ];
    let names = FAMILIES.iter().flat_map(|family| {
        SUFFIXES
            .iter()
            .map(move |suffix| format!("{family}_{suffix}"))
    });
    Ok(names
        .filter_map(|name| Collate::named(&name).ok())
        .map(|collate| vec![text(&collate.name.0), text(&describe(&collate))])
        .collect())
}

fn describe(collate: &Collate) -> String {
    let family = collate
        .name
        .0
        .split('_')
        .take_while(|part| !matches!(*part, "CI" | "CS" | "BIN" | "BIN2"));
    let family = family.collect::<Vec<_>>().join("-");
    if collate.info.is_binary() {
        return format!("{family}, binary sort");
    }
    let word = |sensitive: bool, what: &str| {
        format!(
            "{what}-{}",
            if sensitive {
                "sensitive"
            } else {
                "insensitive"
            }
        )
    };
    [
        family,
        word(!collate.info.ignores_case(), "case"),
        word(!collate.info.ignores_accent(), "accent"),
        word(!collate.info.ignores_kana(), "kanatype"),
        word(!collate.info.ignores_width(), "width"),
    ]
    .join(", ")
}

fn string_split(_: &mut Cx<'_>, args: &[Value], _: usize) -> Outcome<Vec<Tuple>> {
    if args.len() == 3 && sql_types::integer(&args[2]).is_some_and(|ordinal| ordinal != 0) {
        return Err(unsupported("The ordinal column of STRING_SPLIT").into());
    }
    check_args(&args[..args.len().min(2)], "STRING_SPLIT", 2)?;
    let separator = match &args[1] {
        Value::Str(units) if units.len() == 1 => units[0],
        _ => {
            return Err(error(
                214,
                16,
                "Procedure expects parameter 'separator' of type 'nchar(1)/nvarchar(1)'.",
            )
            .into());
        }
    };
    match &args[0] {
        Value::Null => Ok(Vec::new()),
        Value::Str(units) => Ok(units
            .split(|unit| *unit == separator)
            .map(|part| vec![Value::Str(part.into())])
            .collect()),
        _ => Err(error(
            8116,
            16,
            "Argument data type is invalid for argument 1 of string_split function.",
        )
        .into()),
    }
}
