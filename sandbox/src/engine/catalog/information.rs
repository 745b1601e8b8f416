//! `INFORMATION_SCHEMA`.

use super::columns::{self, ColumnRow};
use super::keys;
use super::objects::{self, Thing, ThingKind};
use super::*;
use crate::engine::schema::Schema;

/// An item with the names of the database and schema that it is in.
struct In<T> {
    catalog: String,
    schema: String,
    item: T,
}

fn within<T>(cx: &Cx<'_>, slot: usize, schema: i32, item: T) -> In<T> {
    let database = cx.held.database(slot);
    In {
        catalog: database.name.clone(),
        schema: database.schema_name(schema).to_string(),
        item,
    }
}

fn tables(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<In<Thing>>> {
    let mut all = objects::tables(cx, slot)?;
    all.extend(objects::user_views(cx, slot)?);
    Ok(all
        .into_iter()
        .map(|thing| within(cx, slot, thing.schema_id, thing))
        .collect())
}

const TABLE: &[Field<In<Thing>>] = &[
    opt("TABLE_CATALOG", SYSNAME, |t| text(&t.catalog)),
    opt("TABLE_SCHEMA", SYSNAME, |t| text(&t.schema)),
    col("TABLE_NAME", SYSNAME, |t| text(&t.item.name)),
    opt("TABLE_TYPE", SqlType::VarChar(Some(10)), |t| {
        text(if matches!(t.item.kind, ThingKind::Table) {
            "BASE TABLE"
        } else {
            "VIEW"
        })
    }),
];

fn schemata(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<In<Schema>>> {
    let all = cx.held.database(slot).schemas.clone();
    Ok(all
        .into_iter()
        .map(|schema| within(cx, slot, schema.id, schema))
        .collect())
}

const SCHEMA: &[Field<In<Schema>>] = &[
    opt("CATALOG_NAME", SYSNAME, |s| text(&s.catalog)),
    col("SCHEMA_NAME", SYSNAME, |s| text(&s.item.name)),
    opt("SCHEMA_OWNER", SYSNAME, |s| {
        if s.item.principal_id == 1 {
            text("dbo")
        } else {
            text(&s.item.name)
        }
    }),
];

/// A column with its table's name.
struct Placed {
    table: String,
    place: i32,
    column: ColumnRow,
}

fn all_columns(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<In<Placed>>> {
    let mut out = Vec::new();
    let mut all = objects::tables(cx, slot)?;
    all.extend(objects::user_views(cx, slot)?);
    for thing in all {
        let rows: Vec<ColumnRow> = match &thing.def {
            Some(def) => columns::columns_of(def, None).collect(),
            None => columns::view_columns(cx, slot, thing.object_id)?,
        };
        for (place, column) in (1..).zip(rows) {
            out.push(within(
                cx,
                slot,
                thing.schema_id,
                Placed {
                    table: thing.name.clone(),
                    place,
                    column,
                },
            ));
        }
    }
    Ok(out)
}

/// Length in characters and in bytes, of character and binary types.
fn lengths(ty: &SqlType) -> Option<(i32, i32)> {
    let sized = |length: Option<u16>, bytes: i32| {
        length.map_or((-1, -1), |n| (i32::from(n), i32::from(n) * bytes))
    };
    match ty {
        SqlType::Char(n) | SqlType::Binary(n) => Some(sized(Some(*n), 1)),
        SqlType::NChar(n) => Some(sized(Some(*n), 2)),
        SqlType::VarChar(n) | SqlType::VarBinary(n) => Some(sized(*n, 1)),
        SqlType::NVarChar(n) => Some(sized(*n, 2)),
        SqlType::Text | SqlType::Image => Some((i32::MAX, i32::MAX)),
        SqlType::NText => Some((1_073_741_823, i32::MAX - 1)),
        SqlType::Xml | SqlType::Geometry | SqlType::Geography => Some((-1, -1)),
        SqlType::HierarchyId => Some((892, 892)),
        SqlType::SqlVariant => Some((0, 0)),
        SqlType::Bit
        | SqlType::TinyInt
        | SqlType::SmallInt
        | SqlType::Int
        | SqlType::BigInt
        | SqlType::Decimal { .. }
        | SqlType::Money
        | SqlType::SmallMoney
        | SqlType::Real
        | SqlType::Float
        | SqlType::Date
        | SqlType::Time(_)
        | SqlType::DateTime
        | SqlType::SmallDateTime
        | SqlType::DateTime2(_)
        | SqlType::DateTimeOffset(_)
        | SqlType::UniqueIdentifier
        | SqlType::RowVersion => None,
    }
}

/// Precision, radix and scale of numbers other than bits.
fn numeric(ty: &SqlType) -> Option<(u8, i16, Option<i32>)> {
    let (precision, scale) = sql_types::precision_scale(ty);
    match ty {
        SqlType::Real | SqlType::Float => Some((precision, 2, None)),
        SqlType::Bit => None,
        other => sql_types::is_number(other).then_some((precision, 10, Some(i32::from(scale)))),
    }
}

fn fraction(ty: &SqlType) -> Option<i16> {
    match ty {
        SqlType::Date | SqlType::SmallDateTime => Some(0),
        SqlType::DateTime => Some(3),
        SqlType::Time(scale) | SqlType::DateTime2(scale) | SqlType::DateTimeOffset(scale) => {
            Some(i16::from(*scale))
        }
        _ => None,
    }
}

const COLUMN: &[Field<In<Placed>>] = &[
    opt("TABLE_CATALOG", SYSNAME, |c| text(&c.catalog)),
    opt("TABLE_SCHEMA", SYSNAME, |c| text(&c.schema)),
    col("TABLE_NAME", SYSNAME, |c| text(&c.item.table)),
    opt("COLUMN_NAME", SYSNAME, |c| text(&c.item.column.name)),
    opt("ORDINAL_POSITION", SqlType::Int, |c| {
        Value::Int(c.item.place)
    }),
    opt("IS_NULLABLE", SqlType::VarChar(Some(3)), |c| {
        text(if c.item.column.nullable { "YES" } else { "NO" })
    }),
    opt("DATA_TYPE", SYSNAME, |c| {
        text(sql_types::name(&c.item.column.ty))
    }),
    opt("CHARACTER_MAXIMUM_LENGTH", SqlType::Int, |c| {
        int_or_null(lengths(&c.item.column.ty).map(|length| length.0))
    }),
    opt("CHARACTER_OCTET_LENGTH", SqlType::Int, |c| {
        int_or_null(lengths(&c.item.column.ty).map(|length| length.1))
    }),
    opt("NUMERIC_PRECISION", SqlType::TinyInt, |c| {
        numeric(&c.item.column.ty).map_or(Value::Null, |n| Value::TinyInt(n.0))
    }),
    opt("NUMERIC_PRECISION_RADIX", SqlType::SmallInt, |c| {
        numeric(&c.item.column.ty).map_or(Value::Null, |n| Value::SmallInt(n.1))
    }),
    opt("NUMERIC_SCALE", SqlType::Int, |c| {
        int_or_null(numeric(&c.item.column.ty).and_then(|n| n.2))
    }),
    opt("DATETIME_PRECISION", SqlType::SmallInt, |c| {
        fraction(&c.item.column.ty).map_or(Value::Null, Value::SmallInt)
    }),
    opt("COLLATION_CATALOG", SYSNAME, |_| Value::Null),
    opt("COLLATION_SCHEMA", SYSNAME, |_| Value::Null),
    opt("COLLATION_NAME", SYSNAME, |c| {
        text_or_null(
            c.item
                .column
                .collate
                .as_ref()
                .filter(|_| c.item.column.ty != SqlType::Xml)
                .map(|collate| &*collate.name.0),
        )
    }),
];

/// A constraint with the table that it is of.
struct Constraint {
    name: String,
    table: String,
    kind: &'static str,
    /// The columns' names, in order.
    columns: Vec<String>,
    /// PRIMARY KEY, UNIQUE or FOREIGN KEY.
    keyed: bool,
}

fn constraints(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<In<Constraint>>> {
    let mut out = Vec::new();
    for thing in objects::objects(cx, slot)? {
        let Some(def) = thing.def.clone() else {
            continue;
        };
        let name = |at: &usize| def.columns[*at].name.clone();
        let (kind, columns) = match &thing.kind {
            ThingKind::Key(at) if thing.code() == "PK" => (
                "PRIMARY KEY",
                def.indexes[*at]
                    .columns
                    .iter()
                    .map(|(at, _)| name(at))
                    .collect(),
            ),
            ThingKind::Key(at) => (
                "UNIQUE",
                def.indexes[*at]
                    .columns
                    .iter()
                    .map(|(at, _)| name(at))
                    .collect(),
            ),
            ThingKind::ForeignKey(at) => (
                "FOREIGN KEY",
                def.foreign_keys[*at].columns.iter().map(name).collect(),
            ),
            ThingKind::Check(_) => ("CHECK", Vec::new()),
            ThingKind::Table
            | ThingKind::View(_)
            | ThingKind::Sequence(_)
            | ThingKind::Default(_)
            | ThingKind::Trigger(_)
            | ThingKind::SystemView => continue,
        };
        let constraint = Constraint {
            name: thing.name.clone(),
            table: def.name.clone(),
            kind,
            columns,
            keyed: kind != "CHECK",
        };
        out.push(within(cx, slot, thing.schema_id, constraint));
    }
    Ok(out)
}

const CONSTRAINT: &[Field<In<Constraint>>] = &[
    opt("CONSTRAINT_CATALOG", SYSNAME, |c| text(&c.catalog)),
    opt("CONSTRAINT_SCHEMA", SYSNAME, |c| text(&c.schema)),
    col("CONSTRAINT_NAME", SYSNAME, |c| text(&c.item.name)),
    opt("TABLE_CATALOG", SYSNAME, |c| text(&c.catalog)),
    opt("TABLE_SCHEMA", SYSNAME, |c| text(&c.schema)),
    opt("TABLE_NAME", SYSNAME, |c| text(&c.item.table)),
    opt("CONSTRAINT_TYPE", SqlType::VarChar(Some(11)), |c| {
        text(c.item.kind)
    }),
    col("IS_DEFERRABLE", SqlType::VarChar(Some(2)), |_| text("NO")),
    col("INITIALLY_DEFERRED", SqlType::VarChar(Some(2)), |_| {
        text("NO")
    }),
];

struct KeyColumn {
    constraint: String,
    table: String,
    column: String,
    place: i32,
}

fn key_columns(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<In<KeyColumn>>> {
    let mut out = Vec::new();
    for constraint in constraints(cx, slot)? {
        let In {
            catalog,
            schema,
            item,
        } = constraint;
        if !item.keyed {
            continue;
        }
        out.extend((1..).zip(item.columns).map(|(place, column)| In {
            catalog: catalog.clone(),
            schema: schema.clone(),
            item: KeyColumn {
                constraint: item.name.clone(),
                table: item.table.clone(),
                column,
                place,
            },
        }));
    }
    Ok(out)
}

const KEY_COLUMN: &[Field<In<KeyColumn>>] = &[
    opt("CONSTRAINT_CATALOG", SYSNAME, |k| text(&k.catalog)),
    opt("CONSTRAINT_SCHEMA", SYSNAME, |k| text(&k.schema)),
    col("CONSTRAINT_NAME", SYSNAME, |k| text(&k.item.constraint)),
    opt("TABLE_CATALOG", SYSNAME, |k| text(&k.catalog)),
    opt("TABLE_SCHEMA", SYSNAME, |k| text(&k.schema)),
    opt("TABLE_NAME", SYSNAME, |k| text(&k.item.table)),
    opt("COLUMN_NAME", SYSNAME, |k| text(&k.item.column)),
    col("ORDINAL_POSITION", SqlType::Int, |k| {
        Value::Int(k.item.place)
    }),
];

struct Reference {
    name: String,
    update: &'static str,
    delete: &'static str,
    unique_schema: String,
    unique_name: String,
}

fn references(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<In<Reference>>> {
    let mut out = Vec::new();
    for row in keys::foreign_keys(cx, slot)? {
        let (Some(def), ThingKind::ForeignKey(at)) = (&row.thing.def, &row.thing.kind) else {
            continue;
        };
        let key = &def.foreign_keys[*at];
        let (_, unique_name, schema) = row.index.clone().unwrap_or_default();
        let reference = Reference {
            name: key.name.clone(),
            update: keys::action(key.on_update).1,
            delete: keys::action(key.on_delete).1,
            unique_schema: cx.held.database(slot).schema_name(schema).to_string(),
            unique_name,
        };
        out.push(within(cx, slot, row.thing.schema_id, reference));
    }
    Ok(out)
}

const REFERENCE: &[Field<In<Reference>>] = &[
    opt("CONSTRAINT_CATALOG", SYSNAME, |r| text(&r.catalog)),
    opt("CONSTRAINT_SCHEMA", SYSNAME, |r| text(&r.schema)),
    col("CONSTRAINT_NAME", SYSNAME, |r| text(&r.item.name)),
    opt("UNIQUE_CONSTRAINT_CATALOG", SYSNAME, |r| text(&r.catalog)),
    opt("UNIQUE_CONSTRAINT_SCHEMA", SYSNAME, |r| {
        text(&r.item.unique_schema)
    }),
    opt("UNIQUE_CONSTRAINT_NAME", SYSNAME, |r| {
        text(&r.item.unique_name)
    }),
    opt("MATCH_OPTION", SqlType::VarChar(Some(7)), |_| {
        text("SIMPLE")
    }),
    opt("UPDATE_RULE", SqlType::VarChar(Some(11)), |r| {
        text(&r.item.update.replace('_', " "))
    }),
    opt("DELETE_RULE", SqlType::VarChar(Some(11)), |r| {
        text(&r.item.delete.replace('_', " "))
    }),
];

fn view_texts(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<In<Thing>>> {
    let all = objects::user_views(cx, slot)?;
    Ok(all
        .into_iter()
        .map(|thing| within(cx, slot, thing.schema_id, thing))
        .collect())
}

const VIEW: &[Field<In<Thing>>] = &[
    opt("TABLE_CATALOG", SYSNAME, |v| text(&v.catalog)),
    opt("TABLE_SCHEMA", SYSNAME, |v| text(&v.schema)),
    col("TABLE_NAME", SYSNAME, |v| text(&v.item.name)),
    opt(
        "VIEW_DEFINITION",
        SqlType::NVarChar(Some(4000)),
        |v| match &v.item.kind {
            ThingKind::View(view) if view.text.encode_utf16().count() <= 4000 => text(&view.text),
            _ => Value::Null,
        },
    ),
    opt("CHECK_OPTION", SqlType::VarChar(Some(7)), |_| text("NONE")),
    col("IS_UPDATABLE", SqlType::VarChar(Some(2)), |_| text("NO")),
];

pub(super) const VIEWS: &[View] = &[
    catalog_view!("INFORMATION_SCHEMA", "TABLES", tables, [TABLE]),
    catalog_view!("INFORMATION_SCHEMA", "VIEWS", view_texts, [VIEW]),
    catalog_view!("INFORMATION_SCHEMA", "SCHEMATA", schemata, [SCHEMA]),
    catalog_view!("INFORMATION_SCHEMA", "COLUMNS", all_columns, [COLUMN]),
    catalog_view!(
        "INFORMATION_SCHEMA",
        "TABLE_CONSTRAINTS",
        constraints,
        [CONSTRAINT]
    ),
    catalog_view!(
        "INFORMATION_SCHEMA",
        "KEY_COLUMN_USAGE",
        key_columns,
        [KEY_COLUMN]
    ),
    catalog_view!(
        "INFORMATION_SCHEMA",
        "REFERENTIAL_CONSTRAINTS",
        references,
        [REFERENCE]
    ),
];
