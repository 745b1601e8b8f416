//! What SQL Server's catalog knows of a table besides its columns and key: one round trip, for sources and targets
//! alike.

use super::control::{Class, Control, Record};
use super::error::MssqlError;
use super::sql::definition::{EXPRESSION_CHARS_MAX, ROWS_MAX, definition};
use crate::schema::TableName;
use crate::schema::definition::{
    Check, ColumnDefault, Compression, Definition, Identity, IndexColumn, IndexKind, Part,
    TableIndex, VERSION,
};

/// Asks the catalog. None where the table has more indexes, defaults or checks than are looked at. A missing table, and
/// a view, have an empty definition.
pub async fn read(
    control: &mut Control,
    table: &TableName,
) -> Result<Option<Definition>, MssqlError> {
    let sets = control.query_sets(&definition(table), Class::QUICK).await?;
    if sets.iter().any(|rows| rows.len() > ROWS_MAX) {
        return Ok(None);
    }
    let mut sets = sets.into_iter();
    let mut next = || sets.next().unwrap_or_default();
    let (indexes, defaults, checks, identity, fulltext) = (next(), next(), next(), next(), next());
    let mut found = Definition {
        version: VERSION,
        ..Definition::default()
    };
    for rows in indexes.chunk_by(|a, b| a.int("index_id").ok() == b.int("index_id").ok()) {
        add_index(&mut found, rows)?;
    }
    for row in &defaults {
        add_default(&mut found, row)?;
    }
    for row in &checks {
        add_check(&mut found, row)?;
    }
    if let Some(row) = identity.first() {
        found.identity = Identity::parse(row.text("seed")?, row.text("increment")?);
    }
    if !fulltext.is_empty() {
        found.omit(Part::Indexes, "the full-text index".to_owned());
    }
    Ok(Some(found))
}

/// The rows of one index, or of the heap.
fn add_index(found: &mut Definition, rows: &[Record]) -> Result<(), MssqlError> {
    let Some(row) = rows.first() else {
        return Ok(());
    };
    let is = |name: &str| Ok::<_, MssqlError>(row.int_opt(name)?.unwrap_or(0) == 1);
    let compression = compression(row.int_opt("data_compression")?);
    let name = row.text_opt("index_name")?.unwrap_or_default().to_owned();
    let described = row.text_opt("type_desc")?.unwrap_or_default();
    let kind = match row.int("index_type")? {
        0 => {
            found.compression = compression;
            return Ok(());
        }
        1 => IndexKind::Clustered,
        2 => IndexKind::Nonclustered,
        5 => IndexKind::ClusteredColumnstore,
        6 => IndexKind::NonclusteredColumnstore,
        _ => {
            let what = format!("{} index {name}", described.to_lowercase());
            found.omit(Part::Indexes, what);
            return Ok(());
        }
    };
    if is("is_disabled")? {
        found.omit(Part::Indexes, format!("index {name}, which is disabled"));
        return Ok(());
    }
    let filter = match row.text_opt("filter_definition")? {
        None if is("has_filter")? => {
            let why = "the login may not see its filter";
            found.omit(Part::Indexes, format!("index {name}: {why}"));
            return Ok(());
        }
        Some(filter) if is_long(filter) => {
            found.omit(Part::Indexes, format!("index {name}: {}", too_long()));
            return Ok(());
        }
        filter => filter.map(str::to_owned),
    };
    let mut index = TableIndex {
        name,
        kind,
        unique: is("is_unique")?,
        constraint: is("is_primary_key")? || is("is_unique_constraint")?,
        key: Vec::new(),
        included: Vec::new(),
        filter,
        compression,
    };
    add_columns(&mut index, rows)?;
    if index.is_clustered() {
        found.compression = compression;
    }
    found.indexes.push(index);
    Ok(())
}

/// A partitioned index has its partitioning column among its columns, as neither key nor included.
fn add_columns(index: &mut TableIndex, rows: &[Record]) -> Result<(), MssqlError> {
    for row in rows {
        let Some(name) = row.text_opt("column_name")? else {
            continue;
        };
        let name = name.to_owned();
        let is = |name: &str| Ok::<_, MssqlError>(row.int_opt(name)?.unwrap_or(0) == 1);
        match index.kind {
            IndexKind::ClusteredColumnstore => {}
            IndexKind::NonclusteredColumnstore => index.included.push(name),
            IndexKind::Clustered | IndexKind::Nonclustered => {
                if row.int_opt("key_ordinal")?.unwrap_or(0) > 0 {
                    index.key.push(IndexColumn {
                        name,
                        descending: is("is_descending_key")?,
                    });
                } else if is("is_included_column")? {
                    index.included.push(name);
                }
            }
        }
    }
    Ok(())
}

fn add_default(found: &mut Definition, row: &Record) -> Result<(), MssqlError> {
    let name = row.text("constraint_name")?.to_owned();
    let column = row.text("column_name")?.to_owned();
    match expression(row)? {
        Ok(definition) => found.defaults.push(ColumnDefault {
            name,
            column,
            definition,
        }),
        Err(why) => found.omit(Part::Defaults, format!("the default of {column}: {why}")),
    }
    Ok(())
}

fn add_check(found: &mut Definition, row: &Record) -> Result<(), MssqlError> {
    let name = row.text("constraint_name")?.to_owned();
    let is = |name: &str| Ok::<_, MssqlError>(row.int_opt(name)?.unwrap_or(0) == 1);
    let trusted = !is("is_disabled")? && !is("is_not_trusted")?;
    match expression(row)? {
        Ok(definition) => found.checks.push(Check {
            name,
            definition,
            trusted,
        }),
        Err(why) => found.omit(Part::Checks, format!("check {name}: {why}")),
    }
    Ok(())
}

/// The `definition` of a row, or why there is none.
fn expression(row: &Record) -> Result<Result<String, String>, MssqlError> {
    Ok(match row.text_opt("definition")? {
        None => Err("the login may not see it (VIEW DEFINITION)".to_owned()),
        Some(text) if is_long(text) => Err(too_long()),
        Some(text) => Ok(text.to_owned()),
    })
}

fn is_long(text: &str) -> bool {
    text.encode_utf16().count() > EXPRESSION_CHARS_MAX
}

fn too_long() -> String {
    format!("it is longer than {EXPRESSION_CHARS_MAX} characters")
}

fn compression(number: Option<i64>) -> Compression {
    match number {
        Some(1) => Compression::Row,
        Some(2) => Compression::Page,
        Some(3) => Compression::Columnstore,
        Some(4) => Compression::ColumnstoreArchive,
        Some(_) | None => Compression::None,
    }
}
