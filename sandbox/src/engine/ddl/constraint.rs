//! Keys, checks, defaults and foreign keys of a table.

use super::limits::check_key;
use super::table::own_scope;
use crate::engine::bind::Binder;
use crate::engine::context::Cx;
use crate::engine::fault::{Outcome, error, invalid_column, unsupported};
use crate::engine::locks::{Mode, Owner, Resource};
use crate::engine::schema::{
    Check, DefaultConstraint, ForeignKey, Index, Lifetime, ObjectRef, TableDef, fold, same_name,
};
use crate::engine::types;
use crate::sql::ast::{self, ColumnConstraintKind, TableConstraintKind};
use crate::value::SqlType;
use std::sync::Arc;

pub(super) fn ordinal(def: &TableDef, name: &ast::Ident) -> Outcome<usize> {
    def.column(&name.text).ok_or_else(|| {
        error(
            1911,
            16,
            format!(
                "Column name '{}' does not exist in the target table or view.",
                name.text
            ),
        )
        .into()
    })
}

pub fn key_columns(def: &TableDef, columns: &[ast::IndexColumn]) -> Outcome<Vec<(usize, bool)>> {
    let mut out: Vec<(usize, bool)> = Vec::new();
    for column in columns {
        let at = ordinal(def, &column.name)?;
        if out.iter().any(|(known, _)| *known == at) {
            return Err(error(
                1909,
                16,
                format!(
                    "Cannot use duplicate column names in index. Column name '{}' listed \
                more than once.",
                    column.name.text
                ),
            )
            .into());
        }
        let ty = &def.columns[at].ty;
        if !types::is_comparable(ty) || types::max_length(ty) == -1 {
            return Err(error(
                1919,
                16,
                format!(
                    "Column '{}' in table '{}' is of a type that is invalid for use as a \
                key column in an index.",
                    column.name.text, def.name
                ),
            )
            .into());
        }
        out.push((at, column.descending));
    }
    Ok(out)
}

/// Adds an index that is not a constraint.
pub fn push_index(def: &mut TableDef, index: Index) -> Outcome<()> {
    let Index {
        name, clustered, ..
    } = &index;
    if def.indexes.iter().any(|known| same_name(&known.name, name)) {
        return Err(error(
            1913,
            16,
            format!(
                "The operation failed because an index or statistics with name '{name}' \
            already exists on table '{}'.",
                def.name
            ),
        )
        .into());
    }
    if *clustered && let Some(other) = def.indexes.iter().find(|known| known.clustered) {
        return Err(error(
            1902,
            16,
            format!(
                "Cannot create more than one clustered index on table '{}'. Drop the \
            existing clustered index '{}' before creating another.",
                def.name, other.name
            ),
        )
        .into());
    }
    check_key(def, &index)?;
    let id = index_id(def, *clustered);
    def.indexes.push(Index { id, ..index });
    Ok(())
}

/// The compression that an index gets: what its options say, else a clustered one that of its table.
pub(super) fn compression_of(
    def: &TableDef,
    options: &[ast::IndexOption],
    clustered: bool,
) -> ast::Compression {
    let written = options.iter().find_map(|option| match option {
        ast::IndexOption::DataCompression(compression) => Some(*compression),
        _ => None,
    });
    written.unwrap_or(match clustered {
        true => def.compression,
        false => ast::Compression::None,
    })
}

pub(super) fn index_id(def: &mut TableDef, clustered: bool) -> i32 {
    if clustered {
        return 1;
    }
    def.next_index_id += 1;
    def.next_index_id - 1
}

/// A name that SQL Server would make up.
pub(super) fn system_name(prefix: &str, table: &str, id: i32) -> String {
    let short: String = table.chars().take(9).collect();
    format!(
        "{prefix}__{short}__{:08X}",
        (id as u32).wrapping_mul(0x9E37_79B1)
    )
}

pub(super) fn constraint_name(
    cx: &mut Cx<'_>,
    def: &TableDef,
    name: Option<&ast::Ident>,
    prefix: &str,
    database: usize,
) -> Outcome<(i32, String, bool)> {
    let id = cx.held.databases[database].new_object_id();
    let Some(name) = name else {
        return Ok((id, system_name(prefix, &def.name, id), true));
    };
    let taken = |def: &TableDef| constraint_names(def).any(|known| same_name(known, &name.text));
    let clash = def.lifetime == Lifetime::Permanent
        && (cx
            .held
            .database(database)
            .names
            .contains_key(&(def.schema_id, fold(&name.text)))
            || cx.held.database(database).tables().any(|table| {
                table.def.schema_id == def.schema_id && table.def.id != def.id && taken(&table.def)
            }));
    if clash || taken(def) {
        return Err(super::taken(&name.text).into());
    }
    Ok((id, name.text.clone(), false))
}

pub fn constraint_names(def: &TableDef) -> impl Iterator<Item = &str> {
    constraints(def).map(|(_, name)| name)
}

fn constraints(def: &TableDef) -> impl Iterator<Item = (i32, &str)> {
    let keys = def
        .indexes
        .iter()
        .filter_map(|index| Some((index.constraint_id?, index.name.as_str())));
    let checks = def.checks.iter();
    let checks = checks.map(|check| (check.id, check.name.as_str()));
    let foreign = def.foreign_keys.iter();
    let foreign = foreign.map(|key| (key.id, key.name.as_str()));
    let defaults = def
        .columns
        .iter()
        .filter_map(|column| column.default.as_ref())
        .map(|default| (default.id, default.name.as_str()));
    keys.chain(checks).chain(foreign).chain(defaults)
}

/// A table's constraints and triggers.
pub fn parts(def: &TableDef) -> impl Iterator<Item = (i32, &str)> {
    let triggers = def.triggers.iter();
    constraints(def).chain(triggers.map(|trigger| (trigger.id, trigger.name.as_str())))
}

pub fn column_constraint(
    cx: &mut Cx<'_>,
    def: &mut TableDef,
    column: &ast::Ident,
    constraint: &ast::ColumnConstraint,
    database: usize,
) -> Outcome<()> {
    let name = constraint.name.as_ref();
    let only = vec![ast::IndexColumn {
        name: column.clone(),
        descending: false,
    }];
    match &constraint.kind {
        ColumnConstraintKind::Default { expr, .. } => {
            add_default(cx, def, name, column, expr, database)
        }
        ColumnConstraintKind::Key(key) => add_key(cx, def, name, key, &only, database),
        ColumnConstraintKind::Check(condition) => add_check(cx, def, name, condition, database),
        ColumnConstraintKind::References(references) => add_foreign(
            cx,
            def,
            name,
            std::slice::from_ref(column),
            references,
            database,
        ),
        ColumnConstraintKind::Index {
            name,
            unique,
            clustered,
        } => {
            let columns = key_columns(def, &only)?;
            let clustered = *clustered == Some(true);
            let index = Index {
                unique: *unique,
                clustered,
                compression: compression_of(def, &[], clustered),
                ..Index::plain(&name.text, columns)
            };
            push_index(def, index)
        }
    }
}

pub fn table_constraint(
    cx: &mut Cx<'_>,
    def: &mut TableDef,
    constraint: &ast::TableConstraint,
    database: usize,
) -> Outcome<()> {
    let name = constraint.name.as_ref();
    match &constraint.kind {
        TableConstraintKind::Key { key, columns } => add_key(cx, def, name, key, columns, database),
        TableConstraintKind::Check(condition) => add_check(cx, def, name, condition, database),
        TableConstraintKind::ForeignKey {
            columns,
            references,
        } => add_foreign(cx, def, name, columns, references, database),
        TableConstraintKind::Default {
            expr,
            column,
            with_values: _,
        } => add_default(cx, def, name, column, expr, database),
    }
}

pub(super) fn add_default(
    cx: &mut Cx<'_>,
    def: &mut TableDef,
    name: Option<&ast::Ident>,
    column: &ast::Ident,
    expr: &ast::Spelled<ast::Expr>,
    database: usize,
) -> Outcome<()> {
    let at = def
        .column(&column.text)
        .ok_or_else(|| invalid_column(&column.text))?;
    let target = &def.columns[at];
    if target.default.is_some() {
        return Err(error(1781, 16, "Column already has a DEFAULT bound to it.").into());
    }
    if target.ty == SqlType::RowVersion || target.identity.is_some() {
        return Err(error(
            1755,
            16,
            format!(
                "Defaults cannot be created on columns of data type timestamp. Table '{}', \
            column '{}'.",
                def.name, column.text
            ),
        )
        .into());
    }
    Binder::new(cx).expr(&expr.value)?;
    let (id, name, system_named) = constraint_name(cx, def, name, "DF", database)?;
    def.columns[at].default = Some(DefaultConstraint {
        id,
        name,
        system_named,
        expr: expr.value.clone(),
        text: expr.text.clone(),
    });
    Ok(())
}

/// Error 8111 for a primary key over a column that takes NULL. (A column that comes with its key becomes NOT NULL.)
pub(super) fn refuse_nullable_key(
    def: &TableDef,
    constraint: &ast::TableConstraint,
) -> Outcome<()> {
    let TableConstraintKind::Key { key, columns } = &constraint.kind else {
        return Ok(());
    };
    let is_nullable = |column: &ast::IndexColumn| {
        let at = def.column(&column.name.text);
        at.is_some_and(|at| def.columns[at].nullable)
    };
    if key.primary && columns.iter().any(is_nullable) {
        return Err(error(
            8111,
            16,
            format!(
                "Cannot define PRIMARY KEY constraint on nullable column in table '{}'.",
                def.name
            ),
        )
        .into());
    }
    Ok(())
}

pub(super) fn add_key(
    cx: &mut Cx<'_>,
    def: &mut TableDef,
    name: Option<&ast::Ident>,
    key: &ast::KeyKind,
    columns: &[ast::IndexColumn],
    database: usize,
) -> Outcome<()> {
    if key.primary && def.primary_key().is_some() {
        return Err(error(
            1779,
            16,
            format!(
                "Table '{}' already has a primary key defined on it.",
                def.name
            ),
        )
        .into());
    }
    let columns = key_columns(def, columns)?;
    let (id, name, system_named) = constraint_name(
        cx,
        def,
        name,
        if key.primary { "PK" } else { "UQ" },
        database,
    )?;
    if key.primary {
        for (at, _) in &columns {
            // In CREATE TABLE a key column without a word on NULL is NOT NULL.
            def.columns[*at].nullable = false;
        }
    }
    let free = !def.indexes.iter().any(|index| index.clustered);
    let clustered = key.clustered.unwrap_or(key.primary && free);
    if clustered && !free {
        return Err(error(
            8112,
            16,
            format!(
                "Cannot add more than one clustered index for constraints on table '{}'.",
                def.name
            ),
        )
        .into());
    }
    let ignore_duplicates = key.options.contains(&ast::IndexOption::IgnoreDupKey(true));
    let index = Index {
        id: index_id(def, clustered),
        unique: true,
        primary: key.primary,
        clustered,
        constraint_id: Some(id),
        system_named,
        ignore_duplicates,
        compression: compression_of(def, &key.options, clustered),
        ..Index::plain(&name, columns)
    };
    check_key(def, &index)?;
    def.indexes.push(index);
    Ok(())
}

pub(super) fn add_check(
    cx: &mut Cx<'_>,
    def: &mut TableDef,
    name: Option<&ast::Ident>,
    condition: &ast::Spelled<ast::Condition>,
    database: usize,
) -> Outcome<()> {
    let mut binder = Binder::new(cx);
    binder.scopes.push(own_scope(def));
    binder.cond(&condition.value)?;
    let (id, name, system_named) = constraint_name(cx, def, name, "CK", database)?;
    def.checks.push(Check {
        id,
        name,
        system_named,
        condition: condition.value.clone(),
        text: condition.text.clone(),
        enabled: true,
        trusted: true,
    });
    Ok(())
}

pub(super) fn add_foreign(
    cx: &mut Cx<'_>,
    def: &mut TableDef,
    name: Option<&ast::Ident>,
    columns: &[ast::Ident],
    references: &ast::References,
    database: usize,
) -> Outcome<()> {
    if def.lifetime != Lifetime::Permanent {
        // SQL Server skips foreign keys of temporary tables with a message; here they are refused.
        return Err(unsupported("A FOREIGN KEY on a temporary table").into());
    }
    let own = columns
        .iter()
        .map(|name| ordinal(def, name))
        .collect::<Outcome<Vec<_>>>()?;
    let itself = same_name(references.table.object(), &def.name);
    let found = crate::engine::bind::resolve(cx, &references.table, database)?;
    let (at, parent) = match found {
        Some(at) => {
            cx.acquire(Resource::Table(at), Mode::SchemaStable, Owner::Transaction)?;
            (at, cx.held.table(at)?.def.clone())
        }
        None if itself => (
            ObjectRef {
                database,
                id: def.id,
            },
            Arc::new(def.clone()),
        ),
        None => {
            return Err(error(
                1767,
                16,
                format!(
                    "Foreign key references invalid table '{}'.",
                    references.table
                ),
            )
            .into());
        }
    };
    let parent = if itself {
        Arc::new(def.clone())
    } else {
        parent
    };
    let referenced: Vec<usize> = if references.columns.is_empty() {
        parent
            .primary_key()
            .map(|key| key.columns.iter().map(|(at, _)| *at).collect())
            .unwrap_or_default()
    } else {
        references
            .columns
            .iter()
            .map(|name| ordinal(&parent, name))
            .collect::<Outcome<Vec<_>>>()?
    };
    let matches_key = parent.indexes.iter().any(|index| {
        index.unique
            && index.columns.len() == referenced.len()
            && index.columns.iter().all(|(at, _)| referenced.contains(at))
    });
    if !matches_key || referenced.len() != own.len() {
        return Err(error(
            1776,
            16,
            format!(
                "There are no primary or candidate keys in the referenced table '{}' that \
            match the referencing column list in the foreign key.",
                references.table
            ),
        )
        .into());
    }
    for (a, b) in own.iter().zip(&referenced) {
        if def.columns[*a].ty != parent.columns[*b].ty {
            return Err(error(
                1778,
                16,
                format!(
                    "Column '{}.{}' is not the same data type as referencing column '{}.{}' \
                in foreign key.",
                    parent.name, parent.columns[*b].name, def.name, def.columns[*a].name
                ),
            )
            .into());
        }
    }
    let (id, name, system_named) = constraint_name(cx, def, name, "FK", database)?;
    def.foreign_keys.push(ForeignKey {
        id,
        name,
        system_named,
        columns: own,
        references: at,
        referenced: referenced.iter().map(|at| parent.columns[*at].id).collect(),
        on_delete: references.on_delete,
        on_update: references.on_update,
        enabled: true,
        trusted: true,
    });
    Ok(())
}
