//! How an upsert into a target is written.

use super::inspect::TargetTable;
use crate::change::{MergeMode, UpsertStatement};
use crate::mssql::control::{Control, Record};
use crate::mssql::sql;
use crate::schema::TableName;

/// How an upsert into a target is written, and why where that was not configured and is not MERGE. At most one round
/// trip.
///
/// MERGE has known defects on tables with filtered indexes, and on those beneath indexed views. Where the login may not
/// look for such views, there is none to consider.
pub async fn upsert_statement(
    control: &mut Control,
    target: &TargetTable,
    configured: Option<UpsertStatement>,
    mode: MergeMode,
) -> (UpsertStatement, Option<String>) {
    if let Some(statement) = configured {
        return (statement, None);
    }
    if !mode.has_one_row_per_key() {
        return (UpsertStatement::Merge, None);
    }
    let obstacle = match target.filtered_index() {
        Some(index) => Some(format!("it has filtered index {index}")),
        None if target.object().is_none() => None,
        None => indexed_view(control, target.name())
            .await
            .map(|view| format!("indexed view {view} reads it")),
    };
    match obstacle {
        None => (UpsertStatement::Merge, None),
        Some(obstacle) => {
            let why = format!(
                "target {} is loaded with `update_insert`, because {obstacle}, where MERGE has known defects; \
                    `merge.statement` decides otherwise",
                target.name()
            );
            (UpsertStatement::UpdateInsert, Some(why))
        }
    }
}

/// An indexed view over a table.
async fn indexed_view(control: &mut Control, table: &TableName) -> Option<TableName> {
    let found = control
        .query(&sql::definition::indexed_view(table))
        .await
        .and_then(|rows| {
            let name = |row: &Record| {
                Ok(TableName {
                    schema: row.text("schema_name")?.to_owned(),
                    name: row.text("view_name")?.to_owned(),
                })
            };
            rows.first().map(name).transpose()
        });
    match found {
        Ok(view) => view,
        Err(error) => {
            tracing::debug!(%table, %error, "whether an indexed view reads the target is not known");
            None
        }
    }
}
