//! The lock that a load holds on its target, and the table that it fills.

use super::inspect::TargetTable;
use super::{TargetError, lock_name, name_hash};
use crate::change::RunId;
use crate::mssql::bulk::{self, BulkColumn};
use crate::mssql::control::{Class, Control};
use crate::mssql::error::MssqlError;
use crate::mssql::sql::define::{self, OWN_SCHEMA, StagingColumn, StagingTable};
use crate::schema::{LakeSchema, Role, SqlType, TableName, TableSchema};

/// Takes the target for this session, waiting at most `timeout_ms`; held until [`unlock`] or the session's end.
pub async fn lock(
    control: &mut Control,
    target: &TableName,
    timeout_ms: u32,
) -> Result<(), TargetError> {
    let failed = |error| TargetError::on("locking", target, error);
    let lock = lock_name("load", target);
    let rows = control
        .query_sets(&define::take_session_lock(&lock, timeout_ms), Class::LONG)
        .await
        .map_err(failed)?;
    let row = rows.first().and_then(|rows| rows.first());
    let row = row.ok_or_else(|| failed(MssqlError::Shape("no row".into())))?;
    if row.int("rc").map_err(failed)? < 0 {
        return Err(TargetError::Locked {
            target: target.clone(),
            lock,
            seconds: timeout_ms / 1000,
        });
    }
    Ok(())
}

/// Lets the next load of the target begin.
pub async fn unlock(control: &mut Control, target: &TableName) -> Result<(), TargetError> {
    let lock = lock_name("load", target);
    control
        .run(&define::release_session_lock(&lock), Class::QUICK)
        .await
        .map_err(|error| TargetError::on("unlocking", target, error))
}

/// Drops what dead loads of this target have left. Only under [`lock`]; returns how many there were.
pub async fn drop_orphans(control: &mut Control, target: &TableName) -> Result<u64, TargetError> {
    let failed = |error| TargetError::on("dropping abandoned staging tables of", target, error);
    let rows = control
        .query(&define::staging_tables(&prefix(target)))
        .await
        .map_err(failed)?;
    let mut dropped = 0;
    for row in &rows {
        let table = TableName {
            schema: OWN_SCHEMA.to_owned(),
            name: row.text("name").map_err(failed)?.to_owned(),
        };
        control
            .run(&define::drop_table(&table), Class::QUICK)
            .await
            .map_err(failed)?;
        dropped += 1;
    }
    Ok(dropped)
}

/// Creates the staging table of one load. Only under [`lock`].
pub async fn create(
    control: &mut Control,
    staging: &StagingTable,
    target: &TableName,
) -> Result<(), TargetError> {
    let statement = define::create_staging(staging);
    let created = control.run(&statement, Class::QUICK).await;
    created.map_err(|error| TargetError::on("creating a staging table for", target, error))
}

/// How text is sent that a target keeps in a code page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// In that code page, where it can be encoded here.
    CodePage,
    /// As Unicode: the server converts it and is asked what it has lost.
    Unicode,
}

/// How the names of a target's staging tables begin.
pub(super) fn prefix(target: &TableName) -> String {
    format!("stg_{:016x}_", name_hash(target))
}

/// The staging table of a load, not created yet. Values that a deleted row does not have are NULL, so only the key
/// is required.
pub fn design(schema: &TableSchema, target: &TargetTable, run: RunId, text: Text) -> StagingTable {
    let key: Vec<usize> = schema
        .key
        .iter()
        .flat_map(|key| key.columns.clone())
        .collect();
    let free = |wanted: &str| {
        let taken = |name: &str| schema.position(name).is_some() || target.has_column(name);
        let mut name = wanted.to_owned();
        while taken(&name) {
            name.push('_');
        }
        name
    };
    let columns = schema
        .columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let kept = target.collation(&column.name);
            let collation = kept.cloned().or_else(|| column.collation.clone());
            let mut ty = staged(column.ty, target.ty(&column.name));
            let landed = target.ty(&column.name).filter(|kept| {
                kept.is_code_page_text()
                    && column.ty.is_text()
                    && bulk::is_written(*kept, collation.as_ref())
            });
            if let Some(kept) = landed.filter(|_| text == Text::CodePage) {
                ty = kept;
            }
            StagingColumn {
                name: column.name.clone(),
                ty,
                collation: collation.filter(|_| ty.is_text() && column.ty.is_text()),
                nullable: column.nullable || !key.contains(&at),
                base_type: (column.ty == SqlType::SqlVariant)
                    .then(|| free(&format!("_type{}", at + 1))),
            }
        })
        .collect();
    StagingTable {
        name: TableName {
            schema: OWN_SCHEMA.to_owned(),
            name: format!("{}{run}", prefix(target.name())),
        },
        columns,
        operation: free("_op"),
        segment: free("_seg"),
    }
}

/// The type that a column's values are staged as, for a target column of type `kept`.
fn staged(ty: SqlType, kept: Option<SqlType>) -> SqlType {
    kept.and_then(|kept| ty.shown_in(kept))
        .unwrap_or(ty.facts().staged)
}

/// Where batches of the lake table have a column's values, or their companions.
pub(super) fn position(shape: &LakeSchema, source: usize, role: Role) -> Option<usize> {
    shape
        .fields
        .iter()
        .position(|field| field.source == Some(source) && field.role == role)
}

/// Which columns of record batches fill a staging table: the batches have the lake table's fields, then the
/// operation (text), then the segment (32-bit integer).
pub fn bulk_columns(staging: &StagingTable, shape: &LakeSchema) -> Vec<BulkColumn> {
    let position = |source, role| position(shape, source, role);
    let mut columns: Vec<BulkColumn> = staging
        .columns
        .iter()
        .enumerate()
        .filter_map(|(source, column)| {
            Some(BulkColumn {
                name: column.name.clone(),
                ty: column.ty,
                collation: column.collation.clone(),
                nullable: column.nullable,
                identity: false,
                value: position(source, Role::Value)?,
                ticks: position(source, Role::Ticks),
                offset: position(source, Role::Offset),
            })
        })
        .collect();
    for (source, column) in staging.columns.iter().enumerate() {
        let value = position(source, Role::BaseType);
        columns.extend(
            column
                .base_type
                .iter()
                .zip(value)
                .map(|(name, value)| BulkColumn {
                    name: name.clone(),
                    ty: define::BASE_TYPE,
                    collation: None,
                    nullable: true,
                    identity: false,
                    value,
                    ticks: None,
                    offset: None,
                }),
        );
    }
    let fields = shape.fields.len();
    for (name, ty, value) in [
        (
            &staging.operation,
            SqlType::NVarChar { length: Some(1) },
            fields,
        ),
        (&staging.segment, SqlType::Int, fields + 1),
    ] {
        columns.push(BulkColumn {
            name: name.clone(),
            ty,
            collation: None,
            nullable: false,
            identity: false,
            value,
            ticks: None,
            offset: None,
        });
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::mapping::lake_schema;
    use crate::schema::{Column, Fidelity, Generated, Key, KeyOrigin, TableKind};

    /// Through `datetime` a value would arrive in `datetime2` with digits that the lake does not have.
    #[test]
    fn a_datetime_is_staged_with_the_digits_that_it_is_shown_with() {
        let datetime2 = |scale| SqlType::DateTime2 { scale };
        for (kept, expected) in [
            (None, SqlType::DateTime),
            (Some(SqlType::DateTime), SqlType::DateTime),
            (Some(datetime2(3)), datetime2(3)),
            (Some(datetime2(7)), datetime2(3)),
        ] {
            assert_eq!(staged(SqlType::DateTime, kept), expected, "{kept:?}");
        }
        let small = SqlType::SmallDateTime;
        assert_eq!(staged(small, Some(datetime2(7))), small);
        assert_eq!(staged(SqlType::Date, Some(datetime2(7))), SqlType::Date);
    }

    #[test]
    fn a_staging_table_avoids_the_names_of_the_table() {
        let column = |id: i32, name: &str, ty| Column {
            id,
            name: name.into(),
            ty,
            nullable: false,
            collation: None,
            generated: Generated::No,
        };
        let schema = TableSchema {
            name: "dbo.t".parse().unwrap(),
            columns: vec![
                column(1, "id", SqlType::Int),
                column(2, "_op", SqlType::DateTime2 { scale: 7 }),
            ],
            key: Some(Key {
                columns: vec![0],
                origin: KeyOrigin::PrimaryKey,
            }),
        };
        let target = TargetTable::planned(&"dbo.t".parse().unwrap(), &schema);
        let run = RunId::generate();
        let staging = design(&schema, &target, run, Text::CodePage);
        assert_eq!(staging.operation, "_op_");
        assert!(staging.name.name.ends_with(&run.to_string()));
        assert!(!staging.columns[0].nullable && staging.columns[1].nullable);
        let shape = lake_schema(&schema, TableKind::Mirror, Fidelity::Exact).unwrap();
        let bulk = bulk_columns(&staging, &shape);
        let places: Vec<_> = bulk.iter().map(|c| (c.value, c.ticks)).collect();
        assert_eq!(places, [(0, None), (1, Some(2)), (3, None), (4, None)]);
    }
}
