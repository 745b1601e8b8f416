//! What is read of a log of changed keys (`source/tracked.rs`): the key that the log has, and beside it the row that
//! has this key now. Both are decoded as one row of a wider table, and taken apart again.

use crate::error::{Disposition, Error, Kind, Result};
use crate::lake::LakeTable;
use crate::schema::{LakeField, LakeSchema, TableSchema};
use arrow_array::RecordBatch;
use arrow_schema::ArrowError;

/// A table whose rows have the key of a log before their own columns.
pub(super) struct Logged {
    pub table: TableSchema,
    pub shape: LakeSchema,
    /// Where a batch has the key of the log, in the order of the lake's key.
    keys: Vec<usize>,
    /// So many fields are of the log.
    logged: usize,
}

impl Logged {
    /// Of a table, and of the lake table that its rows are written to.
    pub fn new(table: &TableSchema, lake: &LakeTable) -> Self {
        Self::of(table, lake.lake_schema())
    }

    fn of(table: &TableSchema, lake: &LakeSchema) -> Self {
        let key: Vec<usize> = table
            .key
            .iter()
            .flat_map(|key| &key.columns)
            .copied()
            .collect();
        let fields = |source: usize| {
            let fields = lake.fields.iter();
            fields.filter(move |field| field.source == Some(source))
        };
        let logged: Vec<LakeField> = (key.iter().enumerate())
            .flat_map(|(at, &source)| fields(source).map(move |field| (at, field)))
            .map(|(at, field)| LakeField {
                source: Some(at),
                ..field.clone()
            })
            .collect();
        // A key without a row has NULL everywhere.
        let rows = lake.fields.iter().map(|field| LakeField {
            source: field.source.map(|source| source + key.len()),
            required: false,
            ..field.clone()
        });
        let place = |field: &LakeField| {
            let source = key.iter().position(|&source| field.source == Some(source));
            let is_it = |other: &LakeField| (other.source, other.role) == (source, field.role);
            logged.iter().position(is_it)
        };
        let keys = lake.key.iter().filter_map(|key| lake.fields.get(key.field));
        let columns = table.key_columns().chain(&table.columns);
        Self {
            keys: keys.filter_map(place).collect(),
            logged: logged.len(),
            table: TableSchema {
                name: table.name.clone(),
                columns: columns.cloned().collect(),
                key: None,
            },
            shape: LakeSchema {
                fields: logged.iter().cloned().chain(rows).collect(),
                key: Vec::new(),
            },
        }
    }

    /// The keys of the log, and the rows.
    pub fn apart(&self, batch: &RecordBatch) -> Result<(RecordBatch, RecordBatch)> {
        let rows: Vec<usize> = (self.logged..batch.num_columns()).collect();
        let failed = |error: ArrowError| Error::new(Kind::Source, Disposition::Definite, error);
        let keys = batch.project(&self.keys).map_err(failed)?;
        Ok((keys, batch.project(&rows).map_err(failed)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::mapping::{arrow_schema, lake_schema};
    use crate::schema::{Column, Fidelity, Generated, Key, KeyOrigin, SqlType, TableKind};
    use arrow_array::new_null_array;

    /// The key is the second column, a time with companions, and then the first.
    fn table() -> TableSchema {
        let column = |id: i32, name: &str, ty| Column {
            id,
            name: name.into(),
            ty,
            nullable: false,
            collation: None,
            generated: Generated::No,
        };
        TableSchema {
            name: "dbo.t".parse().unwrap(),
            columns: vec![
                column(1, "a", SqlType::Int),
                column(2, "at", SqlType::DateTimeOffset { scale: 7 }),
                column(3, "n", SqlType::BigInt),
            ],
            key: Some(Key {
                columns: vec![1, 0],
                origin: KeyOrigin::PrimaryKey,
            }),
        }
    }

    #[test]
    fn keys_of_the_log_come_before_the_row_and_are_told_apart_from_it() {
        let table = table();
        let lake = lake_schema(&table, TableKind::History, Fidelity::Exact).unwrap();
        let logged = Logged::of(&table, &lake);
        let names = logged.table.columns.iter().map(|column| &*column.name);
        assert_eq!(names.collect::<Vec<_>>(), ["at", "a", "a", "at", "n"]);
        // As the decoder makes them: column by column.
        let decoded = (0..logged.table.columns.len()).flat_map(|at| {
            let fields = logged.shape.fields.iter();
            fields.filter(move |field| field.source == Some(at))
        });
        let fields: Vec<LakeField> = decoded.cloned().collect();
        assert_eq!(fields.len(), 4 + 5);
        assert!(fields[..4].iter().all(|field| field.required));
        assert!(fields[4..].iter().all(|field| !field.required));
        let key = Vec::new();
        let mut schema = LakeSchema { fields, key };
        schema
            .fields
            .iter_mut()
            .for_each(|field| field.required = false);
        let schema = arrow_schema(&schema);
        let nulls = schema.fields().iter();
        let nulls = nulls.map(|field| new_null_array(field.data_type(), 1));
        let batch = RecordBatch::try_new(schema.clone(), nulls.collect()).unwrap();
        let (keys, rows) = logged.apart(&batch).unwrap();
        let named = |batch: &RecordBatch| -> Vec<String> {
            let schema = batch.schema();
            let fields = schema.fields().iter();
            fields.map(|field| field.name().clone()).collect()
        };
        // The offset of a time is no part of the key.
        assert_eq!(named(&keys), ["at", "at__100ns", "a"]);
        let of_rows = named(&rows);
        assert_eq!((of_rows.len(), &*of_rows[0], &*of_rows[4]), (5, "a", "n"));
    }
}
