//! The highest value of a field in the table, above which a row is new.

use crate::lake::error::{LakeError, Result};
use crate::lake::keys::bounds::Statistics;
use crate::lake::read::entries::StoredFile;
use crate::lake::read::manifests::Files;
use crate::lake::schema::Shape;
use arrow_array::{Array, RecordBatch};
use arrow_row::{RowConverter, SortField};

/// The highest value of a field in the table.
pub(in crate::lake) struct Highest {
    /// Of the field in a batch.
    column: usize,
    rows: RowConverter,
    /// Encoded; none when a file does not tell.
    value: Option<Vec<u8>>,
}

impl Highest {
    /// From the bounds of the base's files.
    pub(in crate::lake) fn of(
        shape: &Shape,
        base: &Files,
        field: usize,
        column: usize,
    ) -> Result<Self> {
        let ty = shape.arrow.field(field).data_type();
        let rows = RowConverter::new(vec![SortField::new(ty.clone())])
            .map_err(LakeError::arrow("bounds"))?;
        let files: Vec<&StoredFile> = base.data.iter().map(|data| &data.file).collect();
        let value = match Statistics::of_files(&files, shape, field) {
            Some(known) => {
                let upper = rows
                    .convert_columns(std::slice::from_ref(&known.upper))
                    .map_err(LakeError::arrow("bounds"))?;
                let bound = |(at, file): (usize, &&StoredFile)| match known.nulls[at] {
                    Some(nulls) if nulls == file.record_count() => Some(Vec::new()),
                    Some(_) | None if known.upper.is_null(at) => None,
                    Some(_) | None => Some(upper.row(at).data().to_vec()),
                };
                let bounds: Option<Vec<Vec<u8>>> = files.iter().enumerate().map(bound).collect();
                bounds.map(|bounds| bounds.into_iter().max().unwrap_or_default())
            }
            None => None,
        };
        Ok(Self {
            column,
            rows,
            value,
        })
    }

    /// Which rows are not above it; NULL never is.
    pub(in crate::lake) fn not_above(&self, batch: &RecordBatch) -> Result<Vec<bool>> {
        let Some(value) = &self.value else {
            return Ok(vec![true; batch.num_rows()]);
        };
        let column = batch.column(self.column);
        let rows = self
            .rows
            .convert_columns(std::slice::from_ref(column))
            .map_err(LakeError::arrow("bounds"))?;
        let not_above = |(at, row): (usize, arrow_row::Row<'_>)| {
            column.is_null(at) || row.data() <= value.as_slice()
        };
        Ok(rows.iter().enumerate().map(not_above).collect())
    }
}
