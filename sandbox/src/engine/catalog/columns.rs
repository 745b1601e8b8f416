//! `sys.columns` and the views that narrow it.

use super::objects::{self, ThingKind};
use super::*;
use crate::engine::bind::Binder;
use crate::engine::schema::{Column, TableDef};
use crate::sql::ast;

/// A column of a table, a view or a catalog view.
#[derive(Debug, Clone)]
pub(super) struct ColumnRow {
    pub object_id: i32,
    pub id: i32,
    pub name: String,
    pub ty: SqlType,
    pub collate: Option<Arc<Collate>>,
    pub nullable: bool,
    pub user_type_id: i32,
    /// The table's own definition of it; views have none.
    pub column: Option<Column>,
    /// The last identity value.
    last: Option<i128>,
}

impl ColumnRow {
    fn has(&self, test: impl Fn(&Column) -> bool) -> Value {
        Value::Bit(self.column.as_ref().is_some_and(test))
    }

    /// `generated_always_type` and its description.
    fn generated(&self) -> (u8, &'static str) {
        match self.column.as_ref().and_then(|column| column.generated) {
            Some(ast::Generated::RowStart) => (1, "AS_ROW_START"),
            Some(ast::Generated::RowEnd) => (2, "AS_ROW_END"),
            None => (0, "NOT_APPLICABLE"),
        }
    }

    /// A whole number in the column's own type, as a variant.
    fn identity_value(&self, value: Option<i128>) -> Value {
        let Some(value) = value else {
            return Value::Null;
        };
        let inner = match &self.ty {
            SqlType::Decimal { scale, .. } => Value::Decimal {
                unscaled: value,
                scale: *scale,
            },
            ty => sql_types::fit_integer(value, ty).unwrap_or(Value::Null),
        };
        Value::Variant(Box::new((self.ty.clone(), inner, None)))
    }
}

/// A table's columns.
pub(super) fn columns_of(
    def: &TableDef,
    last: Option<i128>,
) -> impl Iterator<Item = ColumnRow> + '_ {
    def.columns.iter().map(move |column| ColumnRow {
        object_id: def.id,
        id: column.id,
        name: column.name.clone(),
        ty: column.ty.clone(),
        collate: column.collate.clone(),
        nullable: column.nullable,
        user_type_id: column.user_type_id,
        column: Some(column.clone()),
        last: last.filter(|_| column.identity.is_some()),
    })
}

fn last_identity(cx: &Cx<'_>, slot: usize, id: i32) -> Option<i128> {
    cx.held
        .database(slot)
        .table(id)
        .and_then(|table| table.identity_last)
}

/// The columns of every table and view that the session sees.
pub(super) fn columns(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<ColumnRow>> {
    let mut out = Vec::new();
    for thing in objects::objects(cx, slot)? {
        match (&thing.kind, &thing.def) {
            (ThingKind::Table, Some(def)) => {
                out.extend(columns_of(def, last_identity(cx, slot, def.id)))
            }
            (ThingKind::View(_), _) => out.extend(view_columns(cx, slot, thing.object_id)),
            _ => {}
        }
    }
    Ok(out)
}

/// A user view's columns, found by binding its query; none when it no longer binds.
pub(super) fn view_columns(cx: &Cx<'_>, slot: usize, id: i32) -> Vec<ColumnRow> {
    let Some(crate::engine::schema::Object::View(view)) = cx.held.database(slot).objects.get(&id)
    else {
        return Vec::new();
    };
    let view = view.clone();
    let mut binder = Binder::new(cx);
    binder.database = slot;
    let Ok(bound) = binder.query(&view.query) else {
        return Vec::new();
    };
    let names = view
        .columns
        .iter()
        .map(|name| Some(name.text.clone()))
        .chain(std::iter::repeat(None));
    let numbered = (1..).zip(bound.columns).zip(names);
    numbered
        .map(|((at, column), name)| ColumnRow {
            object_id: id,
            id: at,
            name: name.unwrap_or(column.name),
            user_type_id: sql_types::user_type_id(&column.ty),
            ty: column.ty,
            collate: column.collate,
            nullable: column.nullable,
            column: None,
            last: None,
        })
        .collect()
}

fn system_columns(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<ColumnRow>> {
    let mut out = Vec::new();
    for (object_id, view) in views() {
        let numbered = (1..).zip(view.columns_in(&cx.held, slot));
        out.extend(numbered.map(|(id, column)| ColumnRow {
            object_id,
            id,
            name: column.name,
            user_type_id: if column.ty == SYSNAME {
                256
            } else {
                sql_types::user_type_id(&column.ty)
            },
            ty: column.ty,
            collate: column.collate,
            nullable: column.nullable,
            column: None,
            last: None,
        }));
    }
    Ok(out)
}

fn all_columns(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<ColumnRow>> {
    let mut all = system_columns(cx, slot)?;
    all.extend(columns(cx, slot)?);
    Ok(all)
}

fn identity_columns(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<ColumnRow>> {
    let mut all = columns(cx, slot)?;
    all.retain(|row| {
        row.column
            .as_ref()
            .is_some_and(|column| column.identity.is_some())
    });
    Ok(all)
}

fn computed_columns(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<ColumnRow>> {
    let mut all = columns(cx, slot)?;
    all.retain(|row| {
        row.column
            .as_ref()
            .is_some_and(|column| column.computed.is_some())
    });
    Ok(all)
}

const COLUMN: &[Field<ColumnRow>] = &[
    col("object_id", SqlType::Int, |c| Value::Int(c.object_id)),
    opt("name", SYSNAME, |c| text(&c.name)),
    col("column_id", SqlType::Int, |c| Value::Int(c.id)),
    col("system_type_id", SqlType::TinyInt, |c| {
        Value::TinyInt(sql_types::system_type_id(&c.ty))
    }),
    col("user_type_id", SqlType::Int, |c| Value::Int(c.user_type_id)),
    col("max_length", SqlType::SmallInt, |c| {
        Value::SmallInt(sql_types::max_length(&c.ty))
    }),
    col("precision", SqlType::TinyInt, |c| {
        Value::TinyInt(sql_types::precision_scale(&c.ty).0)
    }),
    col("scale", SqlType::TinyInt, |c| {
        Value::TinyInt(sql_types::precision_scale(&c.ty).1)
    }),
    opt("collation_name", SYSNAME, |c| {
        text_or_null(
            c.collate
                .as_ref()
                .filter(|_| c.ty != SqlType::Xml)
                .map(|collate| &*collate.name.0),
        )
    }),
    opt("is_nullable", SqlType::Bit, |c| Value::Bit(c.nullable)),
    col("is_ansi_padded", SqlType::Bit, |c| {
        Value::Bit(
            (sql_types::is_character(&c.ty) || sql_types::is_binary(&c.ty))
                && c.ty != SqlType::RowVersion,
        )
    }),
    col("is_rowguidcol", SqlType::Bit, |c| {
        c.has(|column| column.row_guid)
    }),
    col("is_identity", SqlType::Bit, |c| {
        c.has(|column| column.identity.is_some())
    }),
    col("is_computed", SqlType::Bit, |c| {
        c.has(|column| column.computed.is_some())
    }),
    col("is_filestream", SqlType::Bit, |_| Value::Bit(false)),
    opt("is_replicated", SqlType::Bit, |_| Value::Bit(false)),
    opt("is_non_sql_subscribed", SqlType::Bit, |_| Value::Bit(false)),
    opt("is_merge_published", SqlType::Bit, |_| Value::Bit(false)),
    opt("is_dts_replicated", SqlType::Bit, |_| Value::Bit(false)),
    col("is_xml_document", SqlType::Bit, |_| Value::Bit(false)),
    col("xml_collection_id", SqlType::Int, |_| Value::Int(0)),
    col("default_object_id", SqlType::Int, |c| {
        let default = c.column.as_ref().and_then(|column| column.default.as_ref());
        Value::Int(default.map_or(0, |default| default.id))
    }),
    col("rule_object_id", SqlType::Int, |_| Value::Int(0)),
];

/// What `sys.columns` has after the columns that it shares with the views narrowing it.
const COLUMN_REST: &[Field<ColumnRow>] = &[
    opt("is_sparse", SqlType::Bit, |c| c.has(|column| column.sparse)),
    opt("is_column_set", SqlType::Bit, |_| Value::Bit(false)),
    opt("generated_always_type", SqlType::TinyInt, |c| {
        Value::TinyInt(c.generated().0)
    }),
    opt("generated_always_type_desc", DESCRIPTION, |c| {
        text(c.generated().1)
    }),
    opt("encryption_type", SqlType::Int, |_| Value::Null),
    opt("encryption_type_desc", SqlType::NVarChar(Some(64)), |_| {
        Value::Null
    }),
    opt("encryption_algorithm_name", SYSNAME, |_| Value::Null),
    opt("column_encryption_key_id", SqlType::Int, |_| Value::Null),
    opt("column_encryption_key_database_name", SYSNAME, |_| {
        Value::Null
    }),
    opt("is_hidden", SqlType::Bit, |c| c.has(|column| column.hidden)),
    col("is_masked", SqlType::Bit, |c| {
        c.has(|column| column.mask.is_some())
    }),
    opt("graph_type", SqlType::Int, |_| Value::Null),
    opt("graph_type_desc", DESCRIPTION, |_| Value::Null),
];

const IDENTITY: &[Field<ColumnRow>] = &[
    opt("seed_value", SqlType::SqlVariant, |c| {
        c.identity_value(
            c.column
                .as_ref()
                .and_then(|column| column.identity)
                .map(|i| i.seed),
        )
    }),
    opt("increment_value", SqlType::SqlVariant, |c| {
        c.identity_value(
            c.column
                .as_ref()
                .and_then(|column| column.identity)
                .map(|i| i.increment),
        )
    }),
    opt("last_value", SqlType::SqlVariant, |c| {
        c.identity_value(c.last)
    }),
    opt("is_not_for_replication", SqlType::Bit, |_| {
        Value::Bit(false)
    }),
];

fn masked_columns(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<ColumnRow>> {
    let mut all = columns(cx, slot)?;
    all.retain(|row| {
        row.column
            .as_ref()
            .is_some_and(|column| column.mask.is_some())
    });
    Ok(all)
}

const MASK: &[Field<ColumnRow>] = &[opt("masking_function", TEXT, |c| {
    let column = c.column.as_ref();
    text_or_null(column.and_then(|column| column.mask.as_deref()))
})];

const COMPUTED: &[Field<ColumnRow>] = &[
    opt("uses_database_collation", SqlType::Bit, |_| {
        Value::Bit(true)
    }),
    col("is_persisted", SqlType::Bit, |c| {
        c.has(|column| {
            column
                .computed
                .as_ref()
                .is_some_and(|computed| computed.persisted)
        })
    }),
];

pub(super) const VIEWS: &[View] = &[
    catalog_view!("sys", "columns", columns, [COLUMN, COLUMN_REST]),
    catalog_view!("sys", "all_columns", all_columns, [COLUMN, COLUMN_REST]),
    catalog_view!(
        "sys",
        "system_columns",
        system_columns,
        [COLUMN, COLUMN_REST]
    ),
    catalog_view!(
        "sys",
        "identity_columns",
        identity_columns,
        [COLUMN, IDENTITY, COLUMN_REST]
    ),
    catalog_view!(
        "sys",
        "masked_columns",
        masked_columns,
        [COLUMN, COLUMN_REST, MASK]
    ),
    catalog_view!(
        "sys",
        "computed_columns",
        computed_columns,
        [COLUMN, COMPUTED, COLUMN_REST]
    ),
];
