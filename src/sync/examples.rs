//! Keys of some rows, for messages that list them with `--show-values`.

use crate::schema::mapping::cell_text;
use crate::schema::{LakeSchema, TableSchema};
use crate::secret::values_are_shown;
use crate::source::KEYS_MAX;
use arrow_array::RecordBatch;
use std::sync::{Mutex, PoisonError};

/// Collects the first keys, from several readers at once. Where values are not shown, it collects none.
#[derive(Debug, Default)]
pub struct Examples(Mutex<Vec<String>>);

impl Examples {
    /// Notes a row of a batch with these fields. A key that cannot be told as text is left out.
    pub fn note(&self, table: &TableSchema, shape: &LakeSchema, batch: &RecordBatch, row: usize) {
        let Some(key) = table.key.as_ref().filter(|_| values_are_shown()) else {
            return;
        };
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= KEYS_MAX {
            return;
        }
        let texts = key.columns.iter().map(|&column| {
            let text = cell_text(batch, shape, table, row, column).ok()?;
            Some(text.unwrap_or_else(|| "NULL".to_owned()))
        });
        let texts: Option<Vec<String>> = texts.collect();
        keys.extend(texts.map(|texts| texts.join(", ")));
    }

    pub fn keys(&self) -> Vec<String> {
        let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.clone()
    }
}
