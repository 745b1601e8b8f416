//! Foreign keys, and the views of features that the stand-in has none of: always empty.

use super::objects::{self, OBJECT, Thing, ThingKind};
use super::*;
use crate::engine::schema::ForeignKey;
use crate::sql::ast::ReferentialAction;

fn key(thing: &Thing) -> Option<&ForeignKey> {
    match (&thing.def, &thing.kind) {
        (Some(def), ThingKind::ForeignKey(at)) => def.foreign_keys.get(*at),
        _ => None,
    }
}

fn of_key(thing: &Thing, get: impl Fn(&ForeignKey) -> Value) -> Value {
    key(thing).map_or(Value::Null, get)
}

pub(super) fn action(action: ReferentialAction) -> (u8, &'static str) {
    match action {
        ReferentialAction::NoAction => (0, "NO_ACTION"),
        ReferentialAction::Cascade => (1, "CASCADE"),
        ReferentialAction::SetNull => (2, "SET_NULL"),
        ReferentialAction::SetDefault => (3, "SET_DEFAULT"),
    }
}

/// A foreign key with the id of the index that it leans on.
pub(super) struct KeyRow {
    pub thing: Thing,
    pub index: Option<(i32, String, i32)>,
}

/// Foreign keys with the unique index of the referenced table: id, name, schema.
pub(super) fn foreign_keys(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<KeyRow>> {
    let all = objects::foreign_keys(cx, slot)?;
    let row = |thing: Thing| {
        let index = key(&thing).and_then(|key| {
            let table = cx.held.table(key.references).ok()?;
            let index = table.def.indexes.iter().find(|index| {
                let ids: Vec<i32> = index
                    .columns
                    .iter()
                    .map(|(at, _)| table.def.columns[*at].id)
                    .collect();
                index.unique
                    && ids.len() == key.referenced.len()
                    && key.referenced.iter().all(|id| ids.contains(id))
            })?;
            Some((index.id, index.name.clone(), table.def.schema_id))
        });
        KeyRow { thing, index }
    };
    Ok(all.into_iter().map(row).collect())
}

fn plain_foreign_keys(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<Thing>> {
    objects::foreign_keys(cx, slot)
}

const FOREIGN_KEY: &[Field<Thing>] = &[
    opt("referenced_object_id", SqlType::Int, |k| {
        of_key(k, |key| Value::Int(key.references.id))
    }),
    opt("is_disabled", SqlType::Bit, |k| {
        of_key(k, |key| Value::Bit(!key.enabled))
    }),
    opt("is_not_for_replication", SqlType::Bit, |_| {
        Value::Bit(false)
    }),
    opt("is_not_trusted", SqlType::Bit, |k| {
        of_key(k, |key| Value::Bit(!key.trusted))
    }),
    opt("delete_referential_action", SqlType::TinyInt, |k| {
        of_key(k, |key| Value::TinyInt(action(key.on_delete).0))
    }),
    opt("delete_referential_action_desc", DESCRIPTION, |k| {
        of_key(k, |key| text(action(key.on_delete).1))
    }),
    opt("update_referential_action", SqlType::TinyInt, |k| {
        of_key(k, |key| Value::TinyInt(action(key.on_update).0))
    }),
    opt("update_referential_action_desc", DESCRIPTION, |k| {
        of_key(k, |key| text(action(key.on_update).1))
    }),
    col("is_system_named", SqlType::Bit, |k| {
        of_key(k, |key| Value::Bit(key.system_named))
    }),
];

struct KeyColumnRow {
    constraint: i32,
    place: i32,
    parent: i32,
    parent_column: i32,
    referenced: i32,
    referenced_column: i32,
}

fn foreign_key_columns(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<KeyColumnRow>> {
    let mut out = Vec::new();
    for thing in objects::foreign_keys(cx, slot)? {
        let (Some(def), Some(key)) = (&thing.def, key(&thing)) else {
            continue;
        };
        out.extend((1..).zip(key.columns.iter().zip(&key.referenced)).map(
            |(place, (own, other))| KeyColumnRow {
                constraint: key.id,
                place,
                parent: def.id,
                parent_column: def.columns[*own].id,
                referenced: key.references.id,
                referenced_column: *other,
            },
        ));
    }
    Ok(out)
}

const KEY_COLUMN: &[Field<KeyColumnRow>] = &[
    col("constraint_object_id", SqlType::Int, |k| {
        Value::Int(k.constraint)
    }),
    col("constraint_column_id", SqlType::Int, |k| {
        Value::Int(k.place)
    }),
    col("parent_object_id", SqlType::Int, |k| Value::Int(k.parent)),
    col("parent_column_id", SqlType::Int, |k| {
        Value::Int(k.parent_column)
    }),
    col("referenced_object_id", SqlType::Int, |k| {
        Value::Int(k.referenced)
    }),
    col("referenced_column_id", SqlType::Int, |k| {
        Value::Int(k.referenced_column)
    }),
];

/// A row of a view that never has one.
enum Never {}

fn none(_: &mut Cx<'_>, _: usize) -> Outcome<Vec<Never>> {
    Ok(Vec::new())
}

const fn never(name: &'static str, ty: SqlType) -> Field<Never> {
    opt(name, ty, |never| match *never {})
}

const EXTENDED_PROPERTY: &[Field<Never>] = &[
    never("class", SqlType::TinyInt),
    never("class_desc", DESCRIPTION),
    never("major_id", SqlType::Int),
    never("minor_id", SqlType::Int),
    never("name", SYSNAME),
    never("value", SqlType::SqlVariant),
];

const SYNONYM: &[Field<Never>] = &[
    never("name", SYSNAME),
    never("object_id", SqlType::Int),
    never("schema_id", SqlType::Int),
    never("base_object_name", SqlType::NVarChar(Some(1035))),
];

const PROCEDURE: &[Field<Never>] = &[
    never("name", SYSNAME),
    never("object_id", SqlType::Int),
    never("schema_id", SqlType::Int),
    never("type", SqlType::Char(2)),
    never("create_date", SqlType::DateTime),
    never("modify_date", SqlType::DateTime),
];

const SQL_DEPENDENCY: &[Field<Never>] = &[
    never("class", SqlType::TinyInt),
    never("class_desc", DESCRIPTION),
    never("object_id", SqlType::Int),
    never("column_id", SqlType::Int),
    never("referenced_major_id", SqlType::Int),
    never("referenced_minor_id", SqlType::Int),
];

const FULLTEXT_INDEX: &[Field<Never>] = &[
    never("object_id", SqlType::Int),
    never("unique_index_id", SqlType::Int),
    never("fulltext_catalog_id", SqlType::Int),
    never("is_enabled", SqlType::Bit),
];

/// Tables with PERIOD FOR SYSTEM_TIME.
fn periods(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<Thing>> {
    let mut all = objects::tables(cx, slot)?;
    all.retain(|thing| period(thing).is_some());
    Ok(all)
}

fn period(thing: &Thing) -> Option<(i32, i32)> {
    thing.def.as_ref()?.period
}

const PERIOD: &[Field<Thing>] = &[
    col("name", SYSNAME, |_| text("SYSTEM_TIME")),
    opt("period_type", SqlType::TinyInt, |_| Value::TinyInt(1)),
    opt("period_type_desc", DESCRIPTION, |_| {
        text("SYSTEM_TIME_PERIOD")
    }),
    col("object_id", SqlType::Int, |o| Value::Int(o.object_id)),
    opt("start_column_id", SqlType::Int, |o| {
        int_or_null(period(o).map(|(start, _)| start))
    }),
    opt("end_column_id", SqlType::Int, |o| {
        int_or_null(period(o).map(|(_, end)| end))
    }),
];

pub(super) const VIEWS: &[View] = &[
    catalog_view!(
        "sys",
        "foreign_keys",
        plain_foreign_keys,
        [OBJECT, FOREIGN_KEY]
    ),
    catalog_view!(
        "sys",
        "foreign_key_columns",
        foreign_key_columns,
        [KEY_COLUMN]
    ),
    catalog_view!("sys", "extended_properties", none, [EXTENDED_PROPERTY]),
    catalog_view!("sys", "synonyms", none, [SYNONYM]),
    catalog_view!("sys", "procedures", none, [PROCEDURE]),
    catalog_view!("sys", "periods", periods, [PERIOD]),
    catalog_view!("sys", "sql_dependencies", none, [SQL_DEPENDENCY]),
    catalog_view!("sys", "fulltext_indexes", none, [FULLTEXT_INDEX]),
];
