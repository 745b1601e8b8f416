//! `sys.types`: the built-in types, `sysname`, and the database's alias and table types.

use super::*;
use crate::engine::schema::AliasKind;

pub(super) struct TypeRow {
    pub name: String,
    pub user_type_id: i32,
    schema_id: i32,
    /// None: a table type.
    base: Option<SqlType>,
    nullable: bool,
    user_defined: bool,
    collate: Arc<Collate>,
}

impl TypeRow {
    fn of_base(&self, get: impl Fn(&SqlType) -> Value, table: Value) -> Value {
        self.base.as_ref().map_or(table, get)
    }

    fn clr(&self) -> bool {
        matches!(
            self.base,
            Some(SqlType::HierarchyId | SqlType::Geometry | SqlType::Geography)
        )
    }
}

/// Every type of a database.
pub(super) fn types_of(database: &Database) -> Vec<TypeRow> {
    let collate = database.collate.clone();
    let system = |name: &str, user_type_id, base, nullable| TypeRow {
        name: name.to_string(),
        user_type_id,
        schema_id: 4,
        base: Some(base),
        nullable,
        user_defined: false,
        collate: collate.clone(),
    };
    let mut out: Vec<TypeRow> = sql_types::all()
        .into_iter()
        .map(|ty| system(sql_types::name(&ty), sql_types::user_type_id(&ty), ty, true))
        .collect();
    for row in &mut out {
        row.nullable = !matches!(row.base, Some(SqlType::RowVersion));
    }
    out.push(system("sysname", 256, SYSNAME, false));
    out.extend(database.types.iter().map(|alias| {
        let (base, nullable) = match &alias.kind {
            AliasKind::Scalar { base, nullable } => (Some(base.clone()), *nullable),
            AliasKind::Table(_) => (None, false),
        };
        TypeRow {
            name: alias.name.clone(),
            user_type_id: alias.user_type_id,
            schema_id: alias.schema_id,
            base,
            nullable,
            user_defined: true,
            collate: collate.clone(),
        }
    }));
    out
}

fn types(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<TypeRow>> {
    Ok(types_of(cx.held.database(slot)))
}

const TYPE: &[Field<TypeRow>] = &[
    col("name", SYSNAME, |t| text(&t.name)),
    col("system_type_id", SqlType::TinyInt, |t| {
        t.of_base(
            |ty| Value::TinyInt(sql_types::system_type_id(ty)),
            Value::TinyInt(243),
        )
    }),
    col("user_type_id", SqlType::Int, |t| Value::Int(t.user_type_id)),
    col("schema_id", SqlType::Int, |t| Value::Int(t.schema_id)),
    opt("principal_id", SqlType::Int, |_| Value::Null),
    col("max_length", SqlType::SmallInt, |t| {
        t.of_base(
            |ty| Value::SmallInt(sql_types::max_length(ty)),
            Value::SmallInt(-1),
        )
    }),
    col("precision", SqlType::TinyInt, |t| {
        t.of_base(
            |ty| Value::TinyInt(sql_types::precision_scale(ty).0),
            Value::TinyInt(0),
        )
    }),
    col("scale", SqlType::TinyInt, |t| {
        t.of_base(
            |ty| Value::TinyInt(sql_types::precision_scale(ty).1),
            Value::TinyInt(0),
        )
    }),
    opt("collation_name", SYSNAME, |t| match &t.base {
        Some(base) if sql_types::is_character(base) && *base != SqlType::Xml => {
            text(&t.collate.name.0)
        }
        Some(_) | None => Value::Null,
    }),
    opt("is_nullable", SqlType::Bit, |t| Value::Bit(t.nullable)),
    col("is_user_defined", SqlType::Bit, |t| {
        Value::Bit(t.user_defined)
    }),
    col("is_assembly_type", SqlType::Bit, |t| Value::Bit(t.clr())),
    col("default_object_id", SqlType::Int, |_| Value::Int(0)),
    col("rule_object_id", SqlType::Int, |_| Value::Int(0)),
    col("is_table_type", SqlType::Bit, |t| {
        Value::Bit(t.base.is_none())
    }),
];

pub(super) const VIEWS: &[View] = &[catalog_view!("sys", "types", types, [TYPE])];
