//! Indexes and statistics.

use super::constraint::{compression_of, key_columns, push_index};
use super::limits::check_keys_of;
use super::{change_table, edit, table_named};
use crate::engine::bind::Binder;
use crate::engine::context::Cx;
use crate::engine::dml::show;
use crate::engine::fault::{Outcome, Stop, error, unsupported};
use crate::engine::schema::{Index, ObjectRef, Statistics, same_name};
use crate::engine::storage::Table;
use crate::sql::ast::{self, AlterIndexAction, IndexOption};

pub fn create(cx: &mut Cx<'_>, statement: &ast::CreateIndex) -> Outcome<()> {
    if statement.columnstore {
        return Err(unsupported("COLUMNSTORE INDEX").into());
    }
    let at = table_named(cx, &statement.table)?;
    change_table(cx, at, |cx, table| {
        let replaces = statement.options.contains(&IndexOption::DropExisting(true));
        let mut def = (*table.def).clone();
        if replaces {
            def.indexes
                .retain(|index| !same_name(&index.name, &statement.name.text));
        }
        let columns = key_columns(&def, &statement.columns)?;
        let mut include = Vec::new();
        for name in &statement.include {
            include.push(def.column(&name.text).ok_or_else(|| {
                error(
                    1911,
                    16,
                    format!(
                        "Column name '{}' does not exist in the target table or view.",
                        name.text
                    ),
                )
            })?);
        }
        if let Some(filter) = &statement.filter {
            let mut binder = Binder::new(cx);
            binder.scopes.push(super::table::own_scope(&def));
            binder.cond(&filter.value)?;
        }
        let clustered = statement.clustered == Some(true);
        let index = Index {
            include,
            unique: statement.unique,
            clustered,
            ignore_duplicates: statement.options.contains(&IndexOption::IgnoreDupKey(true)),
            filter: statement.filter.clone(),
            compression: compression_of(&def, &statement.options, clustered),
            ..Index::plain(&statement.name.text, columns)
        };
        push_index(&mut def, index)?;
        table.def = def.into();
        table.reindex();
        check_keys(table)?;
        check_unique(cx, at, table)
    })
}

/// Error 1946 when a row has a key that is too long. The indexes are those of the definition.
pub fn check_keys(table: &Table) -> Outcome<()> {
    let rows = table.rows.values();
    for row in rows.filter_map(|chain| chain.newest.row.as_ref()) {
        check_keys_of(&table.def, row)?;
    }
    Ok(())
}

/// Error 1505 when existing rows share a key that is to be unique. The indexes are those of the definition.
pub fn check_unique(cx: &mut Cx<'_>, at: ObjectRef, table: &Table) -> Outcome<()> {
    let def = table.def.clone();
    for (ordinal, index) in def
        .indexes
        .iter()
        .enumerate()
        .filter(|(_, index)| index.unique)
    {
        let filter = match &index.filter {
            Some(filter) => {
                let mut binder = Binder::new(cx);
                binder.scopes.push(super::table::own_scope(&def));
                Some(binder.cond(&filter.value)?)
            }
            None => None,
        };
        let repeated = table.repeated(ordinal, |row| match &filter {
            Some(filter) => Ok::<_, Stop>(filter.test(row, cx)? == Some(true)),
            None => Ok(true),
        })?;
        let Some(row) = repeated else {
            continue;
        };
        let values = index.columns.iter();
        let values = values.map(|(at, _)| show(&row[*at], &def.columns[*at]));
        let values: Vec<String> = values.collect();
        let schema = cx.held.database(at.database).schema_name(def.schema_id);
        return Err(error(
            1505,
            16,
            format!(
                "The CREATE UNIQUE INDEX statement terminated because a duplicate key was found for the object name \
                    '{schema}.{}' and the index name '{}'. The duplicate key value is ({}).",
                def.name,
                index.name,
                values.join(", ")
            ),
        )
        .into());
    }
    Ok(())
}

pub fn alter(cx: &mut Cx<'_>, statement: &ast::AlterIndex) -> Outcome<()> {
    let at = table_named(cx, &statement.table)?;
    let def = cx.held.table(at)?.def.clone();
    if let Some(name) = &statement.name
        && !def
            .indexes
            .iter()
            .any(|index| same_name(&index.name, &name.text))
    {
        return Err(error(2727, 11, format!("Cannot find index '{}'.", name.text)).into());
    }
    match &statement.action {
        AlterIndexAction::Rebuild(_) => {
            let storage = cx.held.databases[at.database].new_object_id();
            change_table(cx, at, |_, table| {
                edit(table, |def| {
                    let is_named = |index: &Index| {
                        let name = statement.name.as_ref();
                        name.is_none_or(|name| same_name(&index.name, &name.text))
                    };
                    let rebuilt = def.indexes.iter_mut().filter(|index| is_named(index));
                    rebuilt.for_each(|index| index.storage = Some(storage));
                });
                Ok(())
            })
        }
        AlterIndexAction::Reorganize | AlterIndexAction::Set(_) => Ok(()),
        AlterIndexAction::Disable => Err(unsupported("ALTER INDEX DISABLE").into()),
    }
}

pub fn drop(cx: &mut Cx<'_>, statement: &ast::DropIndex) -> Outcome<()> {
    for (name, table) in &statement.indexes {
        let at = table_named(cx, table)?;
        crate::engine::capture::refuse_part(cx, at, &name.text)?;
        change_table(cx, at, |_, table| {
            let Some(index) = table
                .def
                .indexes
                .iter()
                .position(|index| same_name(&index.name, &name.text))
            else {
                if statement.if_exists {
                    return Ok(());
                }
                return Err(error(
                    3701,
                    11,
                    format!(
                        "Cannot drop the index '{}.{}', because it does not exist or you do \
                    not have permission.",
                        table.def.name, name.text
                    ),
                )
                .into());
            };
            if table.def.indexes[index].constraint_id.is_some() {
                return Err(error(
                    3723,
                    16,
                    format!(
                        "An explicit DROP INDEX is not allowed on index '{}.{}'. It is \
                    being used for constraint enforcement.",
                        table.def.name, name.text
                    ),
                )
                .into());
            }
            edit(table, |def| {
                def.indexes.remove(index);
            });
            table.indexes.remove(index);
            Ok(())
        })?;
    }
    Ok(())
}

pub fn create_statistics(cx: &mut Cx<'_>, statement: &ast::CreateStatistics) -> Outcome<()> {
    if statement.filter.is_some() {
        return Err(unsupported("Filtered statistics").into());
    }
    let at = table_named(cx, &statement.table)?;
    change_table(cx, at, |_, table| {
        let mut columns = Vec::new();
        for name in &statement.columns {
            columns.push(table.def.column(&name.text).ok_or_else(|| {
                error(
                    1911,
                    16,
                    format!(
                        "Column name '{}' does not exist in the target table or view.",
                        name.text
                    ),
                )
            })?);
        }
        edit(table, |def| {
            let id = def.next_index_id;
            def.next_index_id += 1;
            def.statistics.push(Statistics {
                id,
                name: statement.name.text.clone(),
                columns,
            });
        });
        Ok(())
    })
}

/// Histograms are computed from the data when they are asked for: there is nothing to refresh.
pub fn update_statistics(cx: &mut Cx<'_>, statement: &ast::UpdateStatistics) -> Outcome<()> {
    table_named(cx, &statement.table).map(|_| ())
}
