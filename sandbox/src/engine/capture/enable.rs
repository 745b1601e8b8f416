//! `sys.sp_cdc_enable_db` and `sys.sp_cdc_enable_table`.

use super::jobs::Jobs;
use super::scan::binary;
use super::{Captured, Enabled, Instance, Logged, log, tables};
use crate::engine::context::Cx;
use crate::engine::ddl;
use crate::engine::fault::{Outcome, error, unsupported};
use crate::engine::locks::{Mode, Owner, Resource};
use crate::engine::permissions;
use crate::engine::schema::{Index, ObjectRef, TableDef, fold, same_name};
use crate::engine::state::Undo;
use crate::engine::{catalog, types};
use crate::session::SqlError;
use crate::sql;
use crate::value::Value;

/// The system databases come first.
const SYSTEM_DATABASES: usize = 4;
const NAME_MAX: usize = 100;
/// The change table's own columns.
const RESERVED: [&str; 5] = [
    "__$start_lsn",
    "__$end_lsn",
    "__$seqval",
    "__$operation",
    "__$update_mask",
];

/// What a caller asks of a new capture instance.
#[derive(Default)]
pub(super) struct Wish {
    pub schema: String,
    pub table: String,
    pub instance: Option<String>,
    pub net_changes: Option<bool>,
    pub role: Option<String>,
    pub index: Option<String>,
    pub columns: Option<String>,
    pub filegroup: Option<String>,
}

pub(super) fn run(cx: &mut Cx<'_>, text: &str) -> Outcome<()> {
    for statement in sql::parse_batch(text)? {
        ddl::execute(cx, &statement.kind)?;
    }
    Ok(())
}

/// What is locked while a transaction that changes what a database captures is open.
pub(super) fn guard(slot: usize) -> Resource {
    Resource::Name(slot, 0, "change data capture".into())
}

/// Keeps what a database captures for the rollback, and keeps others from changing it.
pub(super) fn keep(cx: &mut Cx<'_>, slot: usize) -> Outcome<()> {
    cx.transaction();
    cx.acquire(guard(slot), Mode::SchemaModify, Owner::Transaction)?;
    let capture = &cx.held.database(slot).capture;
    let old = Box::new((capture.enabled.clone(), capture.instances.clone()));
    cx.transaction().undo.push(Undo::Capture {
        database: slot,
        old,
    });
    Ok(())
}

/// Adds a row to a table of schema `cdc`.
fn add(cx: &mut Cx<'_>, slot: usize, id: i32, row: Vec<Value>) -> Outcome<()> {
    let at = ObjectRef { database: slot, id };
    cx.transaction();
    if let Some(transaction) = cx.ses.transaction.as_mut() {
        cx.held.insert_row(at, row.into(), transaction)?;
    }
    Ok(())
}

pub(super) fn database(cx: &mut Cx<'_>) -> Outcome<()> {
    if !permissions::is_sysadmin(&cx.held, &cx.ses.login) {
        let why = "Caller is not authorized to initiate the requested action. Sysadmin privileges are required.";
        return Err(error(22902, 16, why).into());
    }
    let slot = cx.ses.database;
    let database = cx.held.database(slot);
    let name = database.name.clone();
    if slot < SYSTEM_DATABASES {
        let why = format!(
            "Could not enable Change Data Capture for database '{name}'. Change data capture is not supported on \
                system databases, or on a distribution database."
        );
        return Err(error(22989, 16, why).into());
    }
    if database.capture.enabled.is_some() {
        let message = format!(
            "Database '{name}' is already enabled for Change Data Capture. Ensure that the correct database context is \
                set, and retry the operation. To report on the databases enabled for Change Data Capture, query the \
                is_cdc_enabled column in the sys.databases catalog view."
        );
        return cx.info(error(22905, 10, message));
    }
    let mut principals = database.security.principals.iter();
    if database.schema("cdc").is_some() || principals.any(|known| same_name(&known.name, "cdc")) {
        let why = format!(
            "The database '{name}' cannot be enabled for Change Data Capture because a database user named 'cdc' or a \
                schema named 'cdc' already exists in the current database. These objects are required exclusively by \
                Change Data Capture. Drop or rename the user or schema and retry the operation."
        );
        return Err(error(22906, 16, why).into());
    }
    keep(cx, slot)?;
    ddl::add_principal(cx, "cdc", false, None, "cdc".into())?;
    run(cx, "CREATE SCHEMA cdc AUTHORIZATION cdc")?;
    for text in tables::METADATA {
        run(cx, text)?;
    }
    let options = &cx.shared.options;
    let (clock, offset_minutes) = (options.clock, options.local_offset_minutes);
    let database = &mut cx.held.databases[slot];
    let schema = database.schema("cdc").map_or(0, |schema| schema.id);
    let names = &database.names;
    let id = |name: &str| names.get(&(schema, fold(name))).copied().unwrap_or(0);
    // What was left of a time when it was enabled before.
    database.capture.pending.clear();
    database.capture.jobs = Jobs::default();
    database.capture.enabled = Some(Enabled {
        schema,
        change_tables: id("change_tables"),
        captured_columns: id("captured_columns"),
        index_columns: id("index_columns"),
        lsn_time_mapping: id("lsn_time_mapping"),
        ddl_history: id("ddl_history"),
        clock,
        offset_minutes,
    });
    Ok(())
}

/// A table that `sp_cdc_*` procedures name; error 22931.
pub(super) fn source(cx: &Cx<'_>, schema: &str, table: &str) -> Outcome<ObjectRef> {
    let slot = cx.ses.database;
    let database = cx.held.database(slot);
    let found = database.schema(schema).and_then(|schema| {
        let id = database.names.get(&(schema.id, fold(table)))?;
        database.table(*id)
    });
    let missing = || {
        let why = format!(
            "Source table '{schema}.{table}' does not exist in the current database. Ensure that the correct database \
                context is set. Specify a valid schema and table name for the database."
        );
        error(22931, 16, why)
    };
    let found = found.ok_or_else(missing)?;
    Ok(ObjectRef {
        database: slot,
        id: found.def.id,
    })
}

/// Makes a capture instance; whether it is the first table's.
pub(super) fn table(cx: &mut Cx<'_>, wish: &Wish) -> Outcome<()> {
    let slot = cx.ses.database;
    let at = source(cx, &wish.schema, &wish.table)?;
    let shown = format!("{}.{}", wish.schema, wish.table);
    refuse_source(cx, at, &shown)?;
    if wish
        .role
        .as_deref()
        .is_some_and(|role| role.trim_end().is_empty())
    {
        let why = "Parameter @role_name cannot be empty. Please specify a value for the @role_name parameter and \
            retry the operation. Supply null as the value if no role is to be used to gate access to captured change \
            data.";
        return Err(error(22907, 16, why).into());
    }
    refuse_filegroup(cx, slot, wish)?;
    let name = instance_name(cx, slot, wish)?;
    cx.transaction();
    cx.acquire(Resource::Table(at), Mode::SchemaModify, Owner::Transaction)?;
    let def = cx.held.table(at)?.def.clone();
    let index = key_index(&def, wish, &shown)?.cloned();
    let net_changes = wish.net_changes.unwrap_or(index.is_some());
    if net_changes && index.is_none() {
        let why = "The parameter @supports_net_changes is set to 1, but the source table does not have a primary key \
            defined and no alternate unique index has been specified.";
        return Err(error(22939, 16, why).into());
    }
    let columns = captured(&def, wish.columns.as_deref(), &shown)?;
    let key = key_places(&def, index.as_ref(), &columns)?;
    keep(cx, slot)?;
    let role = wish.role.as_deref().map(|role| role.trim_end().to_owned());
    if let Some(role) = &role {
        make_role(cx, slot, role)?;
    }
    run(cx, &tables::change_table_text(&name))?;
    let id = shape(cx, slot, &name, &def, &columns)?;
    let instance = Instance {
        id,
        name,
        source: at.id,
        columns,
        key,
        index_name: index.map(|index| index.name),
        net_changes,
        role,
        after: cx.held.database(slot).capture.position,
    };
    describe(cx, slot, &instance, &def)?;
    cx.held.databases[slot].capture.instances.push(instance);
    log(cx.transaction(), slot, Logged::Began { instance: id });
    Ok(())
}

fn refuse_source(cx: &Cx<'_>, at: ObjectRef, shown: &str) -> Outcome<()> {
    let capture = &cx.held.database(at.database).capture;
    let def = &cx.held.table(at)?.def;
    let is_own = capture
        .enabled
        .as_ref()
        .is_some_and(|enabled| enabled.schema == def.schema_id);
    if is_own {
        let why = "Tables contained in the cdc schema cannot be enabled for Change Data Capture.";
        return Err(error(22974, 16, why).into());
    }
    if def.history_of.is_some() {
        return Err(unsupported("Change data capture of a history table").into());
    }
    let known = capture
        .instances
        .iter()
        .filter(|instance| instance.source == at.id);
    if known.count() < 2 {
        return Ok(());
    }
    let why = format!(
        "Two capture instances already exist for source table '{shown}'. A table can have at most two capture \
            instances. If the current tracking options are not appropriate, disable change tracking for the obsolete \
            instance by using sys.sp_cdc_disable_table and retry the operation."
    );
    Err(error(22962, 16, why).into())
}

/// The stand-in's databases have one filegroup.
fn refuse_filegroup(cx: &Cx<'_>, slot: usize, wish: &Wish) -> Outcome<()> {
    match &wish.filegroup {
        Some(wanted) if !same_name(wanted, "PRIMARY") => {
            let name = &cx.held.database(slot).name;
            let why = format!(
                "The specified filegroup '{wanted}' is not a valid filegroup for database '{name}'. Specify a valid \
                    existing filegroup or create the named filegroup, and retry the operation."
            );
            Err(error(22973, 16, why).into())
        }
        Some(_) | None => Ok(()),
    }
}

fn instance_name(cx: &Cx<'_>, slot: usize, wish: &Wish) -> Outcome<String> {
    let name = match &wish.instance {
        Some(name) => name.trim_end().to_owned(),
        None => format!("{}_{}", wish.schema, wish.table)
            .trim_end()
            .to_owned(),
    };
    if name.is_empty() {
        let why = format!("Capture instance name '{name}' is invalid. Specify a valid name.");
        return Err(error(22932, 16, why).into());
    }
    if name.chars().count() > NAME_MAX {
        let why = format!(
            "Capture instance name '{name}' exceeds the length limit of {NAME_MAX} characters. Specify a name that \
                satisfies the length constraint."
        );
        return Err(error(22927, 16, why).into());
    }
    if cx.held.database(slot).capture.instance(&name).is_some() {
        let why = format!(
            "Could not create a capture instance because the capture instance name '{name}' already exists in the \
                current database. Specify an explicit unique name for the parameter @capture_instance."
        );
        return Err(error(22926, 16, why).into());
    }
    Ok(name)
}

/// The index that identifies rows: the named one, or the primary key.
fn key_index<'d>(def: &'d TableDef, wish: &Wish, shown: &str) -> Outcome<Option<&'d Index>> {
    let Some(name) = &wish.index else {
        return Ok(def.primary_key());
    };
    let named = def
        .indexes
        .iter()
        .find(|index| same_name(&index.name, name));
    match named {
        Some(index) if index.unique && index.filter.is_none() => Ok(Some(index)),
        Some(_) => {
            let why = format!(
                "Index '{name}' must be either a primary key or a unique index for table '{shown}'. Specify an index \
                    that meets at least one of these requirements."
            );
            Err(error(22929, 16, why).into())
        }
        None => {
            let why = format!(
                "Index name '{name}' is not an index for table '{shown}'. Specify a valid index name for the table."
            );
            Err(error(22928, 16, why).into())
        }
    }
}

/// The captured columns, in the order of the table.
fn captured(def: &TableDef, list: Option<&str>, shown: &str) -> Outcome<Vec<Captured>> {
    let wanted = list.map(names).transpose()?;
    for name in wanted.iter().flatten() {
        if def.column(name).is_none() {
            let why = format!(
                "Could not locate '{name}' as a column of source table '{shown}'. Specify a valid column name."
            );
            return Err(error(22930, 16, why).into());
        }
    }
    let is_wanted = |name: &str| {
        let Some(wanted) = &wanted else {
            return true;
        };
        wanted.iter().any(|known| same_name(known, name))
    };
    let columns = def
        .columns
        .iter()
        .filter(|column| is_wanted(&column.name))
        .map(|column| Captured {
            id: column.id,
            name: column.name.clone(),
            computed: column.computed.is_some(),
        });
    let columns: Vec<Captured> = columns.collect();
    let is_reserved = |captured: &Captured| {
        let mut own = RESERVED.iter();
        own.any(|name| same_name(name, &captured.name))
    };
    if columns.iter().any(is_reserved) {
        let why = format!(
            "Source table '{shown}' contains one of the following reserved column names: {}. To enable Change Data \
                Capture for this table, specify a captured column list and ensure that these columns are excluded from \
                the list.",
            RESERVED.join(", ")
        );
        return Err(error(22975, 16, why).into());
    }
    Ok(columns)
}

/// The names of a list, which may be delimited.
fn names(list: &str) -> Outcome<Vec<String>> {
    let (mut out, mut rest) = (Vec::new(), list.trim_start());
    while !rest.is_empty() {
        let close = match rest.chars().next() {
            Some('[') => Some(']'),
            Some('"') => Some('"'),
            Some(_) | None => None,
        };
        let end = match close {
            Some(close) => delimited_end(rest, close).ok_or_else(unterminated)?,
            None => rest.find(',').unwrap_or(rest.len()),
        };
        let (name, after) = rest.split_at(end);
        let name = crate::engine::meta::split_name(name.trim());
        out.push(match close {
            Some(_) => name.concat(),
            None => name.join("."),
        });
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(rest) => rest.trim_start(),
            None if after.is_empty() => after,
            None => return Err(unterminated().into()),
        };
    }
    Ok(out)
}

fn unterminated() -> SqlError {
    let why = "A quoted column in the column list is not properly terminated. Verify that columns are correctly \
        delimited and retry the operation. For more information, see 'Delimited Identifiers' in Books Online.";
    error(22965, 16, why)
}

/// Where a delimited name ends, if it does.
fn delimited_end(text: &str, close: char) -> Option<usize> {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, char)) = chars.next() {
        if char != close {
            continue;
        }
        if chars.next_if(|(_, next)| *next == close).is_none() {
            return Some(at + char.len_utf8());
        }
    }
    None
}

fn key_places(def: &TableDef, index: Option<&Index>, columns: &[Captured]) -> Outcome<Vec<usize>> {
    let ordinals = index.map_or(Vec::new(), |index| index.columns.clone());
    let place = |(at, _): (usize, bool)| {
        let id = def.columns[at].id;
        columns.iter().position(|captured| captured.id == id)
    };
    let places: Option<Vec<usize>> = ordinals.into_iter().map(place).collect();
    places.ok_or_else(|| {
        let why = "Columns used to uniquely identify a row for net change tracking must be included in the list of \
            captured columns. Add either the primary key columns of the source table, or the columns defined for the \
            index specified in the parameter @index_name to the list of captured columns and retry the operation.";
        error(22943, 16, why).into()
    })
}

fn make_role(cx: &mut Cx<'_>, slot: usize, role: &str) -> Outcome<()> {
    let mut principals = cx.held.database(slot).security.principals.iter();
    match principals.any(|known| known.role && same_name(&known.name, role)) {
        true => Ok(()),
        false => ddl::add_principal(cx, role, true, None, "dbo".into()),
    }
}

/// Gives the change table its captured columns; its object id.
fn shape(
    cx: &mut Cx<'_>,
    slot: usize,
    name: &str,
    source: &TableDef,
    columns: &[Captured],
) -> Outcome<i32> {
    let database = &mut cx.held.databases[slot];
    let schema = database.schema("cdc").map_or(0, |schema| schema.id);
    let id = database.names.get(&(schema, fold(&format!("{name}_CT"))));
    let id = id.copied().unwrap_or(0);
    let at = ObjectRef { database: slot, id };
    // The table is this transaction's own and empty.
    let table = cx.held.table_mut(at)?;
    let mut def = (*table.def).clone();
    tables::add_captured(&mut def, name, source, columns)?;
    let storage = table.storage;
    *table = crate::engine::storage::Table::new(def);
    table.storage = storage;
    Ok(id)
}

/// The rows that describe an instance.
fn describe(cx: &mut Cx<'_>, slot: usize, instance: &Instance, def: &TableDef) -> Outcome<()> {
    let Some(enabled) = cx.held.database(slot).capture.enabled.clone() else {
        return Ok(());
    };
    let text_or_null = |text: Option<&str>| text.map_or(Value::Null, types::string);
    let row = vec![
        Value::Int(instance.id),
        Value::Int(0),
        Value::Int(instance.source),
        types::string(&instance.name),
        Value::Null,
        Value::Null,
        Value::Bit(instance.net_changes),
        Value::Null,
        text_or_null(instance.role.as_deref()),
        text_or_null(instance.index_name.as_deref()),
        Value::Null,
        catalog::datetime(enabled.now()),
        Value::Bit(true),
    ];
    add(cx, slot, enabled.change_tables, row)?;
    for (ordinal, captured) in (1..).zip(&instance.columns) {
        let Some(column) = def.columns.iter().find(|known| known.id == captured.id) else {
            continue;
        };
        let (ty, _) = tables::captured_type(column);
        let row = vec![
            Value::Int(instance.id),
            types::string(&captured.name),
            Value::Int(captured.id),
            types::string(types::name(&ty)),
            Value::Int(ordinal),
            Value::Bit(captured.computed),
            text_or_null(column.mask.as_deref()),
        ];
        add(cx, slot, enabled.captured_columns, row)?;
    }
    for (ordinal, place) in (1u8..).zip(&instance.key) {
        let captured = &instance.columns[*place];
        let row = vec![
            Value::Int(instance.id),
            types::string(&captured.name),
            Value::TinyInt(ordinal),
            Value::Int(captured.id),
        ];
        add(cx, slot, enabled.index_columns, row)?;
    }
    Ok(())
}

/// An LSN as messages show it.
pub(super) fn shown_lsn(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    format!("0x{digits}")
}

/// A value that is an LSN.
pub(super) fn lsn_of(value: &Value) -> Option<[u8; 10]> {
    let Value::Bytes(bytes) = value else {
        return None;
    };
    let mut lsn = [0; 10];
    let length = bytes.len().min(10);
    lsn[..length].copy_from_slice(&bytes[..length]);
    Some(lsn)
}

/// NULL, or an LSN.
pub(super) fn lsn_value(lsn: Option<[u8; 10]>) -> Value {
    lsn.map_or(Value::Null, |lsn| binary(&lsn))
}
