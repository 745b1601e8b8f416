//! `sys.objects` and the views that narrow it: tables, views, triggers, constraints, sequences.

use super::*;
use crate::engine::schema::{Lifetime, Object, Sequence, TableDef, View as UserView};

/// What an object is, with its place in its table's definition.
#[derive(Debug, Clone)]
pub(super) enum ThingKind {
    Table,
    View(Arc<UserView>),
    Sequence(Box<Sequence>),
    /// A PRIMARY KEY or UNIQUE constraint: the index's place.
    Key(usize),
    Check(usize),
    /// The column's place.
    Default(usize),
    ForeignKey(usize),
    Trigger(usize),
    SystemView,
}

/// One row of `sys.objects`.
#[derive(Debug, Clone)]
pub(super) struct Thing {
    pub object_id: i32,
    pub name: String,
    pub schema_id: i32,
    pub parent: i32,
    pub created: i64,
    pub modified: i64,
    pub kind: ThingKind,
    /// The table, or the table that a constraint or trigger is of.
    pub def: Option<Arc<TableDef>>,
    primary: bool,
    /// Change data capture made it.
    system: bool,
    captured: bool,
}

impl ThingKind {
    /// `sys.objects.type`.
    pub fn code(&self) -> &'static str {
        match self {
            ThingKind::Table => "U ",
            ThingKind::View(_) | ThingKind::SystemView => "V ",
            ThingKind::Sequence(_) => "SO",
            ThingKind::Key(_) => "UQ",
            ThingKind::Check(_) => "C ",
            ThingKind::Default(_) => "D ",
            ThingKind::ForeignKey(_) => "F ",
            ThingKind::Trigger(_) => "TR",
        }
    }
}

impl Thing {
    pub fn code(&self) -> &'static str {
        if self.primary { "PK" } else { self.kind.code() }
    }

    pub fn description(&self) -> &'static str {
        match &self.kind {
            ThingKind::Table => "USER_TABLE",
            ThingKind::View(_) | ThingKind::SystemView => "VIEW",
            ThingKind::Sequence(_) => "SEQUENCE_OBJECT",
            ThingKind::Key(_) if self.primary => "PRIMARY_KEY_CONSTRAINT",
            ThingKind::Key(_) => "UNIQUE_CONSTRAINT",
            ThingKind::Check(_) => "CHECK_CONSTRAINT",
            ThingKind::Default(_) => "DEFAULT_CONSTRAINT",
            ThingKind::ForeignKey(_) => "FOREIGN_KEY_CONSTRAINT",
            ThingKind::Trigger(_) => "SQL_TRIGGER",
        }
    }

    fn shipped(&self) -> bool {
        self.system || matches!(self.kind, ThingKind::SystemView)
    }

    /// A value of the table's definition; NULL when there is none.
    fn of_table(&self, get: impl Fn(&TableDef) -> Value) -> Value {
        self.def.as_deref().map_or(Value::Null, get)
    }
}

/// A temporary table's name as tempdb has it: padded, with a number that tells sessions apart.
fn stored_name(def: &TableDef) -> String {
    let local = def.lifetime == Lifetime::Temporary
        && def.name.starts_with('#')
        && !def.name.starts_with("##");
    if local {
        format!("{:_<116}{:012X}", def.name, def.id)
    } else {
        def.name.clone()
    }
}

/// What objects are, and their constraints and triggers. No other session or statement sees a table variable.
fn things_in<'a>(objects: impl Iterator<Item = (&'a i32, &'a Object)>) -> Vec<Thing> {
    let mut out = Vec::new();
    for (id, object) in objects {
        let base = |name: &str, kind, created, modified, def| Thing {
            object_id: *id,
            name: name.to_string(),
            schema_id: object.schema_id(),
            parent: 0,
            created,
            modified,
            kind,
            def,
            primary: false,
            system: false,
            captured: false,
        };
        match object {
            Object::Table(table) => {
                let def = &table.def;
                if def.lifetime == Lifetime::Variable {
                    continue;
                }
                out.push(base(
                    &stored_name(def),
                    ThingKind::Table,
                    def.created,
                    def.modified,
                    Some(def.clone()),
                ));
                parts_of(def, &mut out);
            }
            Object::View(view) => out.push(base(
                &view.name,
                ThingKind::View(view.clone()),
                view.created,
                view.created,
                None,
            )),
            Object::Sequence(sequence) => {
                out.push(base(
                    &sequence.name,
                    ThingKind::Sequence(sequence.clone()),
                    sequence.created,
                    sequence.created,
                    None,
                ));
            }
        }
    }
    out.sort_by_key(|thing| thing.object_id);
    out
}

/// A table's constraints and triggers.
fn parts_of(def: &Arc<TableDef>, out: &mut Vec<Thing>) {
    let part = |id: i32, name: &str, kind, primary| Thing {
        object_id: id,
        name: name.to_string(),
        schema_id: def.schema_id,
        parent: def.id,
        created: def.created,
        modified: def.created,
        kind,
        def: Some(def.clone()),
        primary,
        system: false,
        captured: false,
    };
    for (at, index) in def.indexes.iter().enumerate() {
        if let Some(id) = index.constraint_id {
            out.push(part(id, &index.name, ThingKind::Key(at), index.primary));
        }
    }
    out.extend(
        def.checks
            .iter()
            .enumerate()
            .map(|(at, check)| part(check.id, &check.name, ThingKind::Check(at), false)),
    );
    for (at, column) in def.columns.iter().enumerate() {
        if let Some(default) = &column.default {
            out.push(part(
                default.id,
                &default.name,
                ThingKind::Default(at),
                false,
            ));
        }
    }
    out.extend(
        def.foreign_keys
            .iter()
            .enumerate()
            .map(|(at, key)| part(key.id, &key.name, ThingKind::ForeignKey(at), false)),
    );
    out.extend(
        def.triggers
            .iter()
            .enumerate()
            .map(|(at, trigger)| part(trigger.id, &trigger.name, ThingKind::Trigger(at), false)),
    );
}

/// Whether an id is that of a constraint or trigger of an object.
fn has_part(object: &Object, id: i32) -> bool {
    let mut parts = Vec::new();
    if let Object::Table(table) = object {
        parts_of(&table.def, &mut parts);
    }
    parts.iter().any(|part| part.object_id == id)
}

/// The objects that the session sees, or the only one that is sought; waits for those under another session's
/// uncommitted DDL.
pub(super) fn objects(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<Thing>> {
    let all = &cx.held.database(slot).objects;
    let looked_at = || match cx.sought.filter(|id| all.contains_key(id)) {
        Some(id) => all.range(id..=id),
        None => all.range(..),
    };
    for (own, object) in looked_at() {
        let temporary =
            matches!(object, Object::Table(table) if table.def.lifetime != Lifetime::Permanent);
        let is_sought = |id| id == *own || has_part(object, id);
        if !temporary && cx.sought.is_none_or(is_sought) {
            wait_for_name(cx, slot, object.schema_id(), object.name())?;
        }
    }
    let mut all = things_in(looked_at());
    let capture = &cx.held.database(slot).capture;
    let schema = capture.enabled.as_ref().map(|enabled| enabled.schema);
    for thing in &mut all {
        thing.system = schema == Some(thing.schema_id);
        thing.captured = capture.tracks(thing.object_id);
    }
    all.retain(|thing| {
        let id = if thing.parent == 0 {
            thing.object_id
        } else {
            thing.parent
        };
        sees(cx, ObjectRef { database: slot, id })
    });
    Ok(all)
}

fn system_objects(_: &mut Cx<'_>, _: usize) -> Outcome<Vec<Thing>> {
    let thing = |(id, view): (i32, &View)| Thing {
        object_id: id,
        name: view.name.to_string(),
        schema_id: if view.schema == "sys" { 4 } else { 3 },
        parent: 0,
        created: RELEASED,
        modified: RELEASED,
        kind: ThingKind::SystemView,
        def: None,
        primary: false,
        system: false,
        captured: false,
    };
    Ok(views().map(thing).collect())
}

/// When system objects say they were made: 2003-04-08, as SQL Server's do.
const RELEASED: i64 = 731_312 * TICKS_PER_DAY;

fn all_objects(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<Thing>> {
    let mut all = system_objects(cx, slot)?;
    all.extend(objects(cx, slot)?);
    Ok(all)
}

pub(super) fn of_kind(
    cx: &mut Cx<'_>,
    slot: usize,
    wanted: fn(&ThingKind) -> bool,
) -> Outcome<Vec<Thing>> {
    let mut all = objects(cx, slot)?;
    all.retain(|thing| wanted(&thing.kind));
    Ok(all)
}

pub(super) fn tables(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<Thing>> {
    of_kind(cx, slot, |kind| matches!(kind, ThingKind::Table))
}

pub(super) fn user_views(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<Thing>> {
    of_kind(cx, slot, |kind| matches!(kind, ThingKind::View(_)))
}

fn all_views(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<Thing>> {
    let mut all = system_objects(cx, slot)?;
    all.extend(user_views(cx, slot)?);
    Ok(all)
}

fn key_constraints(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<Thing>> {
    of_kind(cx, slot, |kind| matches!(kind, ThingKind::Key(_)))
}

fn checks(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<Thing>> {
    of_kind(cx, slot, |kind| matches!(kind, ThingKind::Check(_)))
}

fn defaults(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<Thing>> {
    of_kind(cx, slot, |kind| matches!(kind, ThingKind::Default(_)))
}

pub(super) fn foreign_keys(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<Thing>> {
    of_kind(cx, slot, |kind| matches!(kind, ThingKind::ForeignKey(_)))
}

pub(super) const OBJECT: &[Field<Thing>] = &[
    col("name", SYSNAME, |o| text(&o.name)),
    col("object_id", SqlType::Int, |o| Value::Int(o.object_id)),
    opt("principal_id", SqlType::Int, |_| Value::Null),
    col("schema_id", SqlType::Int, |o| Value::Int(o.schema_id)),
    col("parent_object_id", SqlType::Int, |o| Value::Int(o.parent)),
    opt("type", SqlType::Char(2), |o| text(o.code())),
    opt("type_desc", DESCRIPTION, |o| text(o.description())),
    col("create_date", SqlType::DateTime, |o| datetime(o.created)),
    col("modify_date", SqlType::DateTime, |o| datetime(o.modified)),
    col("is_ms_shipped", SqlType::Bit, |o| Value::Bit(o.shipped())),
    col("is_published", SqlType::Bit, |_| Value::Bit(false)),
    col("is_schema_published", SqlType::Bit, |_| Value::Bit(false)),
];

fn temporal_type(def: &TableDef) -> (u8, &'static str) {
    match (&def.versioning, def.history_of) {
        (Some(_), _) => (2, "SYSTEM_VERSIONED_TEMPORAL_TABLE"),
        (None, Some(_)) => (1, "HISTORY_TABLE"),
        (None, None) => (0, "NON_TEMPORAL_TABLE"),
    }
}

fn retention(def: &TableDef) -> Option<(i32, i32, &'static str)> {
    let versioning = def.versioning.as_ref()?;
    Some(crate::engine::temporal::retention(&versioning.retention))
}

const TABLE: &[Field<Thing>] = &[
    col("lob_data_space_id", SqlType::Int, |_| Value::Int(0)),
    opt("filestream_data_space_id", SqlType::Int, |_| Value::Null),
    col("max_column_id_used", SqlType::Int, |o| {
        o.of_table(|def| Value::Int(def.next_column_id - 1))
    }),
    col("lock_on_bulk_load", SqlType::Bit, |_| Value::Bit(false)),
    opt("uses_ansi_nulls", SqlType::Bit, |_| Value::Bit(true)),
    opt("is_replicated", SqlType::Bit, |_| Value::Bit(false)),
    opt("has_replication_filter", SqlType::Bit, |_| {
        Value::Bit(false)
    }),
    opt("is_merge_published", SqlType::Bit, |_| Value::Bit(false)),
    opt("is_sync_tran_subscribed", SqlType::Bit, |_| {
        Value::Bit(false)
    }),
    col("has_unchecked_assembly_data", SqlType::Bit, |_| {
        Value::Bit(false)
    }),
    opt("text_in_row_limit", SqlType::Int, |_| Value::Int(0)),
    opt("large_value_types_out_of_row", SqlType::Bit, |_| {
        Value::Bit(false)
    }),
    opt("is_tracked_by_cdc", SqlType::Bit, |o| {
        Value::Bit(o.captured)
    }),
    opt("lock_escalation", SqlType::TinyInt, |_| Value::TinyInt(0)),
    opt("lock_escalation_desc", DESCRIPTION, |_| text("TABLE")),
    opt("is_filetable", SqlType::Bit, |_| Value::Bit(false)),
    opt("is_memory_optimized", SqlType::Bit, |_| Value::Bit(false)),
    opt("durability", SqlType::TinyInt, |_| Value::TinyInt(0)),
    opt("durability_desc", DESCRIPTION, |_| text("SCHEMA_AND_DATA")),
    opt("temporal_type", SqlType::TinyInt, |o| {
        o.of_table(|def| Value::TinyInt(temporal_type(def).0))
    }),
    opt("temporal_type_desc", DESCRIPTION, |o| {
        o.of_table(|def| text(temporal_type(def).1))
    }),
    opt("history_table_id", SqlType::Int, |o| {
        o.of_table(|def| int_or_null(def.versioning.as_ref().map(|kept| kept.history)))
    }),
    opt("is_remote_data_archive_enabled", SqlType::Bit, |_| {
        Value::Bit(false)
    }),
    col("is_external", SqlType::Bit, |_| Value::Bit(false)),
    opt("history_retention_period", SqlType::Int, |o| {
        o.of_table(|def| int_or_null(retention(def).map(|(count, ..)| count)))
    }),
    opt("history_retention_period_unit", SqlType::Int, |o| {
        o.of_table(|def| int_or_null(retention(def).map(|(_, unit, _)| unit)))
    }),
    opt(
        "history_retention_period_unit_desc",
        SqlType::NVarChar(Some(10)),
        |o| o.of_table(|def| text_or_null(retention(def).map(|(.., name)| name))),
    ),
    opt("is_node", SqlType::Bit, |_| Value::Bit(false)),
    opt("is_edge", SqlType::Bit, |_| Value::Bit(false)),
    opt("ledger_type", SqlType::TinyInt, |_| Value::TinyInt(0)),
    opt("ledger_type_desc", DESCRIPTION, |_| {
        text("NON_LEDGER_TABLE")
    }),
    opt("ledger_view_id", SqlType::Int, |_| Value::Null),
    opt("is_dropped_ledger_table", SqlType::Bit, |_| {
        Value::Bit(false)
    }),
];

const VIEW: &[Field<Thing>] = &[
    opt("is_replicated", SqlType::Bit, |_| Value::Bit(false)),
    opt("has_replication_filter", SqlType::Bit, |_| {
        Value::Bit(false)
    }),
    col("has_opaque_metadata", SqlType::Bit, |_| Value::Bit(false)),
    col("has_unchecked_assembly_data", SqlType::Bit, |_| {
        Value::Bit(false)
    }),
    col("with_check_option", SqlType::Bit, |_| Value::Bit(false)),
    col("is_date_correlation_view", SqlType::Bit, |_| {
        Value::Bit(false)
    }),
    opt("is_tracked_by_cdc", SqlType::Bit, |_| Value::Bit(false)),
];

const KEY: &[Field<Thing>] = &[
    opt("unique_index_id", SqlType::Int, |o| {
        match (&o.def, &o.kind) {
            (Some(def), ThingKind::Key(at)) => Value::Int(def.indexes[*at].id),
            _ => Value::Null,
        }
    }),
    opt("is_system_named", SqlType::Bit, |o| {
        Value::Bit(system_named(o))
    }),
    opt("is_enforced", SqlType::Bit, |_| Value::Bit(true)),
];

const CHECK: &[Field<Thing>] = &[
    col("is_disabled", SqlType::Bit, |o| match (&o.def, &o.kind) {
        (Some(def), ThingKind::Check(at)) => Value::Bit(!def.checks[*at].enabled),
        _ => Value::Null,
    }),
    col("is_not_for_replication", SqlType::Bit, |_| {
        Value::Bit(false)
    }),
    col("is_not_trusted", SqlType::Bit, |o| {
        match (&o.def, &o.kind) {
            (Some(def), ThingKind::Check(at)) => Value::Bit(!def.checks[*at].trusted),
            _ => Value::Null,
        }
    }),
    opt("parent_column_id", SqlType::Int, |_| Value::Int(0)),
    opt("definition", TEXT, |o| match (&o.def, &o.kind) {
        (Some(def), ThingKind::Check(at)) => text(&def.checks[*at].text),
        _ => Value::Null,
    }),
    opt("is_system_named", SqlType::Bit, |o| {
        Value::Bit(system_named(o))
    }),
];

const DEFAULT: &[Field<Thing>] = &[
    opt("parent_column_id", SqlType::Int, |o| {
        match (&o.def, &o.kind) {
            (Some(def), ThingKind::Default(at)) => Value::Int(def.columns[*at].id),
            _ => Value::Null,
        }
    }),
    opt("definition", TEXT, |o| match (&o.def, &o.kind) {
        (Some(def), ThingKind::Default(at)) => {
            let default = def.columns[*at].default.as_ref();
            text_or_null(default.map(|default| &*default.text))
        }
        _ => Value::Null,
    }),
    opt("is_system_named", SqlType::Bit, |o| {
        Value::Bit(system_named(o))
    }),
];

fn system_named(thing: &Thing) -> bool {
    let Some(def) = &thing.def else {
        return false;
    };
    match &thing.kind {
        ThingKind::Key(at) => def.indexes[*at].system_named,
        ThingKind::Check(at) => def.checks[*at].system_named,
        ThingKind::Default(at) => def.columns[*at]
            .default
            .as_ref()
            .is_some_and(|default| default.system_named),
        ThingKind::ForeignKey(at) => def.foreign_keys[*at].system_named,
        ThingKind::Table
        | ThingKind::View(_)
        | ThingKind::Sequence(_)
        | ThingKind::Trigger(_)
        | ThingKind::SystemView => false,
    }
}

pub(super) const VIEWS: &[View] = &[
    catalog_view!("sys", "objects", objects, [OBJECT]),
    catalog_view!("sys", "all_objects", all_objects, [OBJECT]),
    catalog_view!("sys", "system_objects", system_objects, [OBJECT]),
    catalog_view!("sys", "tables", tables, [OBJECT, TABLE]),
    catalog_view!("sys", "views", user_views, [OBJECT, VIEW]),
    catalog_view!("sys", "all_views", all_views, [OBJECT, VIEW]),
    catalog_view!("sys", "key_constraints", key_constraints, [OBJECT, KEY]),
    catalog_view!("sys", "check_constraints", checks, [OBJECT, CHECK]),
    catalog_view!("sys", "default_constraints", defaults, [OBJECT, DEFAULT]),
];
