//! Periods and SYSTEM_VERSIONING in CREATE TABLE and ALTER TABLE.

use super::{end_of_time, fit, full_name, is_period_type, moment, ordinal, period, time_in};
use crate::engine::bind::resolve;
use crate::engine::context::Cx;
use crate::engine::ddl::{self, add_index, add_object, change_table};
use crate::engine::fault::{Outcome, error, unsupported};
use crate::engine::schema::{
    Column, Index, Lifetime, Object, ObjectRef, Table, TableDef, Versioning, same_name,
};
use crate::sql::ast::{
    self, AlterTableAction, Compression, Generated, ObjectName, Retention, SystemVersioning,
};
use std::sync::Arc;

/// Columns that the server fills need a type that holds a time, a value, and a period.
pub fn check_columns(def: &TableDef) -> Outcome<()> {
    for (kind, number, word) in [
        (Generated::RowStart, 13502, "START"),
        (Generated::RowEnd, 13503, "END"),
    ] {
        let all = def.columns.iter();
        if all.filter(|column| column.generated == Some(kind)).count() > 1 {
            let why = format!(
                "System-versioned table cannot have more than one 'GENERATED ALWAYS AS ROW {word}' column."
            );
            return Err(error(number, 16, why).into());
        }
    }
    for column in def
        .columns
        .iter()
        .filter(|column| column.generated.is_some())
    {
        let name = &column.name;
        if !is_period_type(&column.ty) {
            let why = format!("Temporal generated always column '{name}' has invalid data type.");
            return Err(error(13501, 16, why).into());
        }
        if column.nullable {
            let why = format!(
                "Period column '{name}' in a system-versioned temporal table cannot be nullable."
            );
            return Err(error(13587, 16, why).into());
        }
        if def.period.is_none() {
            let why =
                "Cannot create generated always column when SYSTEM_TIME period is not defined.";
            return Err(error(13509, 16, why).into());
        }
    }
    Ok(())
}

/// The period that a definition has: two columns that the server fills.
pub fn check_period(def: &mut TableDef, written: &ast::Period) -> Outcome<()> {
    if def.lifetime == Lifetime::Variable {
        let why = "Creating table variables containing PERIOD is not allowed.";
        return Err(error(13572, 16, why).into());
    }
    let find = |name: &str, kind, number, word: &str| {
        let column = def
            .columns
            .iter()
            .find(|column| same_name(&column.name, name));
        let fits = |column: &&Column| column.generated == Some(kind);
        column.filter(fits).map(|column| column.id).ok_or_else(|| {
            let why =
                format!("Temporal 'GENERATED ALWAYS AS ROW {word}' column definition missing.");
            error(number, 16, why)
        })
    };
    let start = find(&written.start.text, Generated::RowStart, 13504, "START")?;
    let end = find(&written.end.text, Generated::RowEnd, 13505, "END")?;
    def.period = Some((start, end));
    Ok(())
}

/// ADD PERIOD FOR SYSTEM_TIME: columns that were there become the server's.
pub fn add_period(
    def: &mut TableDef,
    rows: &Table,
    written: &ast::Period,
    now: i64,
) -> Outcome<()> {
    for (name, kind) in [
        (&written.start.text, Generated::RowStart),
        (&written.end.text, Generated::RowEnd),
    ] {
        if let Some(at) = def.column(name) {
            def.columns[at].generated = Some(kind);
        }
    }
    check_period(def, written)?;
    check_columns(def)?;
    let Some((start, end)) = period(def) else {
        return Ok(());
    };
    let (now, open) = (
        moment(&time_in(&def.columns[start], now)),
        end_of_time(&def.columns[end]),
    );
    let name = &def.name;
    for row in rows
        .rows
        .values()
        .filter_map(|chain| chain.newest.row.as_ref())
    {
        if moment(&row[start]) > now {
            let why = format!(
                "ADD PERIOD FOR SYSTEM_TIME on table '{name}' failed because there are open records with start of \
                    period set to a value in the future."
            );
            return Err(error(13542, 16, why).into());
        }
        if row[end] != open {
            let why = format!(
                "ADD PERIOD FOR SYSTEM_TIME failed because table '{name}' contains records where end of period is not \
                    equal to MAX datetime."
            );
            return Err(error(13575, 16, why).into());
        }
    }
    Ok(())
}

/// DROP PERIOD FOR SYSTEM_TIME: its columns become ordinary ones.
pub fn drop_period(cx: &mut Cx<'_>, at: ObjectRef) -> Outcome<()> {
    change_table(cx, at, |_, table| {
        let name = &table.def.name;
        if table.def.versioning.is_some() || table.def.period.is_none() {
            let why = format!(
                "Cannot drop the SYSTEM_TIME period of table '{name}': it has none, or SYSTEM_VERSIONING is ON."
            );
            return Err(error(13592, 16, why).into());
        }
        let def = Arc::make_mut(&mut table.def);
        def.period = None;
        for column in &mut def.columns {
            (column.generated, column.hidden) = (None, false);
        }
        Ok(())
    })
}

/// Error 13552 for DROP of a table with a history, or of a history.
pub fn refuse_drop(cx: &Cx<'_>, at: ObjectRef) -> Outcome<()> {
    refuse(cx, at, 13552, "Drop table operation failed on table")
}

/// Error 13545 for TRUNCATE of them.
pub fn refuse_truncate(cx: &Cx<'_>, at: ObjectRef) -> Outcome<()> {
    refuse(cx, at, 13545, "Truncate failed on table").map_err(|stop| {
        stop.map(|mut error| {
            error.message = error
                .message
                .replace("system-versioned temporal", "system-versioned");
            error
        })
    })
}

fn refuse(cx: &Cx<'_>, at: ObjectRef, number: i32, what: &str) -> Outcome<()> {
    let Some(table) = cx.held.database(at.database).table(at.id) else {
        return Ok(());
    };
    if table.def.versioning.is_none() && table.def.history_of.is_none() {
        return Ok(());
    }
    let name = full_name(cx, at);
    let why = format!(
        "{what} '{name}' because it is not a supported operation on system-versioned temporal tables."
    );
    Err(error(number, 16, why).into())
}

/// Error 13569 for a trigger on a history table.
pub fn refuse_trigger(cx: &Cx<'_>, at: ObjectRef) -> Outcome<()> {
    if cx.held.table(at)?.def.history_of.is_none() {
        return Ok(());
    }
    let name = full_name(cx, at);
    let why = format!("Cannot create a trigger on a system-versioned temporal table '{name}'.");
    Err(error(13569, 16, why).into())
}

/// SET (SYSTEM_VERSIONING = ..).
pub fn switch(cx: &mut Cx<'_>, at: ObjectRef, written: &SystemVersioning) -> Outcome<()> {
    let versioning = cx.held.table(at)?.def.versioning.clone();
    match (written, versioning) {
        (SystemVersioning::Off, None) => {
            let name = full_name(cx, at);
            let why = format!("SYSTEM_VERSIONING is not turned ON for table '{name}'.");
            Err(error(13591, 16, why).into())
        }
        (SystemVersioning::Off, Some(Versioning { history, .. })) => {
            set(cx, at, |def| def.versioning = None)?;
            let history = ObjectRef { id: history, ..at };
            set(cx, history, |def| def.history_of = None)
        }
        (
            SystemVersioning::On {
                retention: Some(kept),
                ..
            },
            Some(versioning),
        ) => set(cx, at, |def| {
            def.versioning = Some(Versioning {
                retention: kept.clone(),
                ..versioning
            });
        }),
        (SystemVersioning::On { .. }, Some(_)) => Ok(()),
        (SystemVersioning::On { .. }, None) => turn_on(cx, at, written),
    }
}

fn set(cx: &mut Cx<'_>, at: ObjectRef, change: impl FnOnce(&mut TableDef)) -> Outcome<()> {
    change_table(cx, at, |_, table| {
        change(Arc::make_mut(&mut table.def));
        Ok(())
    })
}

/// SYSTEM_VERSIONING = ON: with the named history table, or a new one.
pub fn turn_on(cx: &mut Cx<'_>, at: ObjectRef, written: &SystemVersioning) -> Outcome<()> {
    let SystemVersioning::On {
        history,
        consistency_check,
        retention,
    } = written
    else {
        return Ok(());
    };
    let def = cx.held.table(at)?.def.clone();
    let name = full_name(cx, at);
    if def.period.is_none() {
        let why = "Cannot set SYSTEM_VERSIONING to ON when SYSTEM_TIME period is not defined.";
        return Err(error(13510, 16, why).into());
    }
    if def.primary_key().is_none() {
        let why =
            format!("System versioned temporal table '{name}' must have primary key defined.");
        return Err(error(13553, 16, why).into());
    }
    let known = match history {
        Some(wanted) if wanted.schema().is_none() => {
            let why = format!(
                "Setting SYSTEM_VERSIONING to ON failed because history table '{wanted}' is not specified in two-part \
                    name format."
            );
            return Err(error(13539, 16, why).into());
        }
        Some(wanted) => resolve(cx, wanted, at.database)?,
        None => None,
    };
    let kept = match known {
        Some(known) => {
            fit::check(cx, &def, known)?;
            if *consistency_check != Some(false) {
                fit::check_rows(cx, &def, known)?;
            }
            known
        }
        None => create_history(cx, at, &def, history.as_ref())?,
    };
    set(cx, kept, |def| def.history_of = Some(at.id))?;
    let retention = retention.clone().unwrap_or(Retention::Infinite);
    set(cx, at, |def| {
        def.versioning = Some(Versioning {
            history: kept.id,
            retention,
        });
    })
}

/// The columns of a history: what the table has, but not what gives them their values.
fn history_column(column: &Column) -> Column {
    Column {
        identity: None,
        default: None,
        computed: None,
        generated: None,
        hidden: false,
        row_guid: false,
        ..column.clone()
    }
}

fn create_history(
    cx: &mut Cx<'_>,
    at: ObjectRef,
    def: &TableDef,
    wanted: Option<&ObjectName>,
) -> Outcome<ObjectRef> {
    let schema = cx.held.database(at.database).schema_name(def.schema_id);
    let default = ObjectName {
        parts: vec![
            ast::Ident::new(schema),
            ast::Ident::new(format!("MSSQL_TemporalHistoryFor_{}", def.id)),
        ],
        line: 0,
    };
    let name = wanted.unwrap_or(&default);
    let place = ddl::place(cx, name, "CREATE TABLE")?;
    let id = cx.held.databases[at.database].new_object_id();
    let mut history = TableDef {
        id,
        schema_id: place.schema,
        name: place.name.clone(),
        columns: def.columns.iter().map(history_column).collect(),
        indexes: Vec::new(),
        next_index_id: 2,
        checks: Vec::new(),
        foreign_keys: Vec::new(),
        triggers: Vec::new(),
        statistics: Vec::new(),
        compression: Compression::Page,
        period: None,
        versioning: None,
        history_of: None,
        ..def.clone()
    };
    if let Some((start, end)) = period(def) {
        let index = Index {
            clustered: true,
            compression: Compression::Page,
            ..Index::plain(
                &format!("ix_{}", place.name),
                vec![(end, false), (start, false)],
            )
        };
        add_index(&mut history, index)?;
    }
    add_object(cx, &place, id, Object::Table(Box::new(Table::new(history))))
}

/// Whether ALTER TABLE adds, changes or drops columns.
pub fn changes_columns(action: &AlterTableAction) -> bool {
    match action {
        AlterTableAction::Add { table, .. } => !table.columns.is_empty(),
        AlterTableAction::AlterColumn { .. } => true,
        AlterTableAction::Drop(list) => list
            .iter()
            .any(|item| matches!(item, ast::AlterTableDrop::Column { .. })),
        AlterTableAction::EnableChangeTracking { .. }
        | AlterTableAction::DisableChangeTracking
        | AlterTableAction::Trigger { .. }
        | AlterTableAction::CheckConstraint { .. }
        | AlterTableAction::SetSystemVersioning(_)
        | AlterTableAction::SetLockEscalation(_)
        | AlterTableAction::Rebuild(_)
        | AlterTableAction::SwitchTo(_) => false,
    }
}

/// The history table that follows a change of columns, and the change as it is made there; none without a history.
/// Errors 13550 and 13551 for changes of a history alone, and for columns that it could not follow.
pub fn alter_history(
    cx: &Cx<'_>,
    at: ObjectRef,
    action: &AlterTableAction,
) -> Outcome<Option<(ObjectRef, AlterTableAction)>> {
    let def = &cx.held.table(at)?.def;
    if !changes_columns(action) {
        return Ok(None);
    }
    let (number, what) = match action {
        AlterTableAction::Drop(_) => (13551, "Drop column operation failed on table"),
        AlterTableAction::AlterColumn { .. } => (13548, "Alter column operation failed on table"),
        _ => (13550, "Add column operation failed on table"),
    };
    if def.history_of.is_some() {
        refuse(cx, at, number, what)?;
    }
    let Some(versioning) = &def.versioning else {
        return Ok(None);
    };
    let history = ObjectRef {
        id: versioning.history,
        ..at
    };
    let mut followed = action.clone();
    if let AlterTableAction::Add { table, .. } = &mut followed {
        table
            .columns
            .iter()
            .try_for_each(|column| refuse_column(cx, history, column))?;
        table.constraints.clear();
        table.indexes.clear();
        for column in &mut table.columns {
            let is_default = |constraint: &ast::ColumnConstraint| {
                matches!(constraint.kind, ast::ColumnConstraintKind::Default { .. })
            };
            column.constraints.retain(is_default);
            for constraint in &mut column.constraints {
                constraint.name = None;
            }
        }
    }
    if let AlterTableAction::Drop(list) = &mut followed {
        list.retain(|item| matches!(item, ast::AlterTableDrop::Column { .. }));
        let dropped = list.iter().any(|item| match item {
            ast::AlterTableDrop::Column { name, .. } => {
                let at = def.column(&name.text);
                let ids = def.period.map(|(start, end)| [start, end]);
                ids.into_iter().flatten().any(|id| ordinal(def, id) == at)
            }
            ast::AlterTableDrop::Constraint { .. } | ast::AlterTableDrop::Period => false,
        });
        if dropped {
            refuse(cx, at, number, what)?;
        }
    }
    Ok(Some((history, followed)))
}

/// Errors 13704 and 13724 for a new column that a history cannot have.
fn refuse_column(cx: &Cx<'_>, history: ObjectRef, column: &ast::ColumnDefinition) -> Outcome<()> {
    let failed = |number, why: String| {
        let why = format!("System-versioned table schema modification failed because {why}.");
        error(number, 16, why).into()
    };
    match &column.kind {
        ast::ColumnKind::Computed { .. } => {
            let why = "adding computed column while system-versioning is ON is not supported";
            Err(failed(13724, why.into()))
        }
        ast::ColumnKind::Stored(stored) if stored.identity.is_some() => {
            let name = full_name(cx, history);
            let why = format!(
                "history table '{name}' has IDENTITY column specification. Consider dropping all IDENTITY column \
                    specifications and trying again"
            );
            Err(failed(13704, why))
        }
        ast::ColumnKind::Stored(stored) if stored.generated.is_some() => {
            Err(unsupported("GENERATED ALWAYS of a column of a system-versioned table").into())
        }
        ast::ColumnKind::Stored(_) => Ok(()),
    }
}

/// A history has no defaults: those that filled a new column go.
pub fn forget_defaults(table: &mut Table) {
    let def = Arc::make_mut(&mut table.def);
    def.columns
        .iter_mut()
        .for_each(|column| column.default = None);
}
