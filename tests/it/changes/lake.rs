//! The rows of a lake table, read without icesync's own commands.

use super::table::{Row, Table};
use crate::model::play::Outcome;
use crate::model::rows::{Key, number};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
use futures::TryStreamExt;
use icesync::lake::Warehouse;
use std::collections::BTreeMap;
use std::path::Path;

/// Columns that a history has besides those of its source.
const OP: &str = "_op";
const SEQ: &str = "_seq";
const COMMITTED_AT: &str = "_committed_at";

/// A row, or a version of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub row: Row,
    /// It says that the row is gone.
    pub is_gone: bool,
    /// Its place in a history.
    seq: Option<i64>,
}

/// The versions of each key, the oldest first. In a mirror a key has one.
pub type Lake = BTreeMap<Key, Vec<Version>>;

/// The latest row of a key; none where it has none, or is gone.
pub fn latest<'a>(lake: &'a Lake, key: &Key) -> Option<&'a Row> {
    let version = lake.get(key)?.last()?;
    (!version.is_gone).then_some(&version.row)
}

/// The lake tables of a warehouse; an empty one where there is none.
pub async fn read(warehouse: &Path, tables: &[Table]) -> Outcome<Vec<Lake>> {
    let place = warehouse.to_str().ok_or("a path that is no text")?;
    let warehouse = Warehouse::open(place).await;
    let warehouse = warehouse.map_err(|error| error.to_string())?;
    let mut lakes = Vec::new();
    for table in tables {
        let lake = read_one(&warehouse, table).await;
        lakes.push(lake.map_err(|what| format!("lake table dbo.{}: {what}", table.name))?);
    }
    Ok(lakes)
}

async fn read_one(warehouse: &Warehouse, table: &Table) -> Outcome<Lake> {
    let name = format!("dbo.{}", table.name).parse();
    let name = name.map_err(|error| format!("{error:?}"))?;
    let found = warehouse.table(&name).await;
    let Some(found) = found.map_err(|error| error.to_string())? else {
        return Ok(Lake::new());
    };
    let stream = found.scan(None, None).await;
    let stream = stream.map_err(|error| error.to_string())?;
    let batches: Result<Vec<RecordBatch>, _> = stream.try_collect().await;
    let mut lake = Lake::new();
    for batch in batches.map_err(|error| error.to_string())? {
        for version in versions(&batch) {
            let versions = lake.entry(table.key_of(&version.row)).or_default();
            versions.push(version);
        }
    }
    for versions in lake.values_mut() {
        versions.sort_by_key(|version| version.seq);
        if !table.is_history && versions.len() > 1 {
            return Err(format!("a key has several rows: {versions:?}"));
        }
    }
    Ok(lake)
}

fn versions(batch: &RecordBatch) -> Vec<Version> {
    let mut rows = vec![Row::new(); batch.num_rows()];
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        for (row, cell) in rows.iter_mut().zip(cells(column)) {
            if let Some(cell) = cell {
                row.insert(field.name().clone(), cell);
            }
        }
    }
    let version = |mut row: Row| {
        row.remove(COMMITTED_AT);
        Version {
            is_gone: row.remove(OP).is_some_and(|op| op == "Text(\"D\")"),
            seq: row.remove(SEQ).and_then(|seq| number(&seq)),
            row,
        }
    };
    rows.into_iter().map(version).collect()
}

/// Values as the source shows them.
fn cells(column: &ArrayRef) -> Vec<Option<String>> {
    let text = |text: &str| format!("Text({text:?})");
    let all = |cell: &dyn Fn(usize) -> String| {
        let rows = 0..column.len();
        rows.map(|at| column.is_valid(at).then(|| cell(at)))
            .collect()
    };
    match column.data_type() {
        DataType::Utf8 => {
            let texts = column.as_string::<i32>();
            all(&|at| text(texts.value(at)))
        }
        DataType::Binary => {
            let bytes = column.as_binary::<i32>();
            all(&|at| version(bytes.value(at)))
        }
        DataType::FixedSizeBinary(16) => {
            let bytes = column.as_fixed_size_binary();
            let guid = |at| uuid::Uuid::from_slice(bytes.value(at)).expect("16 bytes");
            all(&|at| text(&guid(at).to_string()))
        }
        DataType::FixedSizeBinary(8) => {
            let bytes = column.as_fixed_size_binary();
            all(&|at| version(bytes.value(at)))
        }
        other => {
            let numbers = arrow_cast::cast(column, &DataType::Int64);
            let numbers = numbers.unwrap_or_else(|error| panic!("{other}: {error}"));
            let numbers = numbers.as_primitive::<Int64Type>();
            all(&|at| format!("Int({})", numbers.value(at)))
        }
    }
}

/// A row version as the number that its bytes are.
fn version(bytes: &[u8]) -> String {
    let bytes = bytes.try_into().expect("8 bytes");
    format!("Int({})", i64::from_be_bytes(bytes))
}
