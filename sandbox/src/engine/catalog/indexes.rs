//! `sys.indexes`, `sys.index_columns`, and the one partition of each index.

use super::objects;
use super::*;
use crate::engine::schema::{Index, Lifetime, TableDef};
use crate::sql::ast::Compression;

/// A heap (no index) or an index of a table.
pub(super) struct IndexRow {
    pub def: Arc<TableDef>,
    pub index: Option<Index>,
    rows: i64,
    /// Of the table.
    storage: i32,
}

impl IndexRow {
    pub fn id(&self) -> i32 {
        self.index.as_ref().map_or(0, |index| index.id)
    }

    fn has(&self, test: impl Fn(&Index) -> bool) -> Value {
        Value::Bit(self.index.as_ref().is_some_and(test))
    }

    fn kind(&self) -> (u8, &'static str) {
        match &self.index {
            None => (0, "HEAP"),
            Some(index) if index.clustered => (1, "CLUSTERED"),
            Some(_) => (2, "NONCLUSTERED"),
        }
    }

    fn compression(&self) -> (u8, &'static str) {
        let own = self.index.as_ref().map(|index| index.compression);
        match own.unwrap_or(self.def.compression) {
            Compression::None => (0, "NONE"),
            Compression::Row => (1, "ROW"),
            Compression::Page => (2, "PAGE"),
            Compression::Columnstore => (3, "COLUMNSTORE"),
            Compression::ColumnstoreArchive => (4, "COLUMNSTORE_ARCHIVE"),
        }
    }

    /// The number of its partition, which stands for its storage too.
    fn partition(&self) -> i64 {
        let own = self.index.as_ref().and_then(|index| index.storage);
        let storage = own.unwrap_or(self.storage);
        72_057_594_037_927_936 + (i64::from(storage) << 10) + i64::from(self.id())
    }

    /// 8 KiB pages, from the rows' declared widths.
    fn pages(&self) -> i64 {
        let width = |length: i16| i64::from(if length < 0 { 64 } else { length });
        let row: i64 = 9 + self
            .def
            .columns
            .iter()
            .map(|column| width(sql_types::max_length(&column.ty)))
            .sum::<i64>();
        let fit = (8060 / row.max(1)).max(1);
        (self.rows + fit - 1) / fit
    }
}

/// The heap and the indexes of every table that the session sees.
pub(super) fn indexes(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<IndexRow>> {
    let mut out = Vec::new();
    for def in objects::tables(cx, slot)?
        .into_iter()
        .filter_map(|thing| thing.def)
    {
        let table = cx.held.database(slot).table(def.id);
        let (rows, storage) = table.map_or((0, def.id), |table| (table.count, table.storage));
        if !def.indexes.iter().any(|index| index.clustered) {
            out.push(IndexRow {
                def: def.clone(),
                index: None,
                rows,
                storage,
            });
        }
        let mut own: Vec<Index> = def.indexes.clone();
        own.sort_by_key(|index| index.id);
        out.extend(own.into_iter().map(|index| IndexRow {
            def: def.clone(),
            index: Some(index),
            rows,
            storage,
        }));
    }
    Ok(out)
}

/// Rows and storage of every index: those of a table whose rows another session throws away are not known before that
/// is committed.
fn partitions(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<IndexRow>> {
    let all = indexes(cx, slot)?;
    for row in &all {
        let is_sought = cx.sought.is_none_or(|id| id == row.def.id);
        if is_sought && row.def.lifetime == Lifetime::Permanent {
            let id = row.def.id;
            wait_for_object(cx, ObjectRef { database: slot, id })?;
        }
    }
    Ok(all)
}

/// A column of an index.
struct IndexColumnRow {
    object_id: i32,
    index_id: i32,
    place: i32,
    column_id: i32,
    key_ordinal: u8,
    descending: bool,
    included: bool,
}

fn index_columns(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<IndexColumnRow>> {
    let mut out = Vec::new();
    for row in indexes(cx, slot)? {
        let Some(index) = &row.index else {
            continue;
        };
        let keys = index
            .columns
            .iter()
            .enumerate()
            .map(|(at, (column, descending))| (*column, at as u8 + 1, *descending));
        let included = index.include.iter().map(|column| (*column, 0, false));
        out.extend((1..).zip(keys.chain(included)).map(
            |(place, (column, key_ordinal, descending))| IndexColumnRow {
                object_id: row.def.id,
                index_id: index.id,
                place,
                column_id: row.def.columns[column].id,
                key_ordinal,
                descending,
                included: key_ordinal == 0,
            },
        ));
    }
    Ok(out)
}

const INDEX: &[Field<IndexRow>] = &[
    col("object_id", SqlType::Int, |i| Value::Int(i.def.id)),
    opt("name", SYSNAME, |i| {
        text_or_null(i.index.as_ref().map(|index| index.name.as_str()))
    }),
    col("index_id", SqlType::Int, |i| Value::Int(i.id())),
    col("type", SqlType::TinyInt, |i| Value::TinyInt(i.kind().0)),
    opt("type_desc", DESCRIPTION, |i| text(i.kind().1)),
    opt("is_unique", SqlType::Bit, |i| i.has(|index| index.unique)),
    opt("data_space_id", SqlType::Int, |_| Value::Int(1)),
    opt("ignore_dup_key", SqlType::Bit, |i| {
        i.has(|index| index.ignore_duplicates)
    }),
    opt("is_primary_key", SqlType::Bit, |i| {
        i.has(|index| index.primary)
    }),
    opt("is_unique_constraint", SqlType::Bit, |i| {
        i.has(|index| index.constraint_id.is_some() && !index.primary)
    }),
    col("fill_factor", SqlType::TinyInt, |_| Value::TinyInt(0)),
    opt("is_padded", SqlType::Bit, |_| Value::Bit(false)),
    opt("is_disabled", SqlType::Bit, |_| Value::Bit(false)),
    opt("is_hypothetical", SqlType::Bit, |_| Value::Bit(false)),
    opt("is_ignored_in_optimization", SqlType::Bit, |_| {
        Value::Bit(false)
    }),
    opt("allow_row_locks", SqlType::Bit, |_| Value::Bit(true)),
    opt("allow_page_locks", SqlType::Bit, |_| Value::Bit(true)),
    opt("has_filter", SqlType::Bit, |i| {
        i.has(|index| index.filter.is_some())
    }),
    opt("filter_definition", TEXT, |i| {
        let filter = i.index.as_ref().and_then(|index| index.filter.as_ref());
        text_or_null(filter.map(|filter| &*filter.text))
    }),
    opt("auto_created", SqlType::Bit, |_| Value::Bit(false)),
];

const INDEX_COLUMN: &[Field<IndexColumnRow>] = &[
    col("object_id", SqlType::Int, |c| Value::Int(c.object_id)),
    col("index_id", SqlType::Int, |c| Value::Int(c.index_id)),
    col("index_column_id", SqlType::Int, |c| Value::Int(c.place)),
    col("column_id", SqlType::Int, |c| Value::Int(c.column_id)),
    col("key_ordinal", SqlType::TinyInt, |c| {
        Value::TinyInt(c.key_ordinal)
    }),
    col("partition_ordinal", SqlType::TinyInt, |_| Value::TinyInt(0)),
    opt("is_descending_key", SqlType::Bit, |c| {
        Value::Bit(c.descending)
    }),
    opt("is_included_column", SqlType::Bit, |c| {
        Value::Bit(c.included)
    }),
    col("column_store_order_ordinal", SqlType::TinyInt, |_| {
        Value::TinyInt(0)
    }),
];

const PARTITION: &[Field<IndexRow>] = &[
    col("partition_id", SqlType::BigInt, |i| {
        Value::BigInt(i.partition())
    }),
    col("object_id", SqlType::Int, |i| Value::Int(i.def.id)),
    col("index_id", SqlType::Int, |i| Value::Int(i.id())),
    col("partition_number", SqlType::Int, |_| Value::Int(1)),
    col("hobt_id", SqlType::BigInt, |i| Value::BigInt(i.partition())),
    opt("rows", SqlType::BigInt, |i| Value::BigInt(i.rows)),
    col("filestream_filegroup_id", SqlType::SmallInt, |_| {
        Value::SmallInt(0)
    }),
    col("data_compression", SqlType::TinyInt, |i| {
        Value::TinyInt(i.compression().0)
    }),
    opt("data_compression_desc", DESCRIPTION, |i| {
        text(i.compression().1)
    }),
];

const PARTITION_STATS: &[Field<IndexRow>] = &[
    opt("partition_id", SqlType::BigInt, |i| {
        Value::BigInt(i.partition())
    }),
    col("object_id", SqlType::Int, |i| Value::Int(i.def.id)),
    col("index_id", SqlType::Int, |i| Value::Int(i.id())),
    col("partition_number", SqlType::Int, |_| Value::Int(1)),
    opt("in_row_data_page_count", SqlType::BigInt, |i| {
        Value::BigInt(i.pages())
    }),
    opt("in_row_used_page_count", SqlType::BigInt, |i| {
        Value::BigInt(i.pages())
    }),
    opt("in_row_reserved_page_count", SqlType::BigInt, |i| {
        Value::BigInt(i.pages())
    }),
    opt("lob_used_page_count", SqlType::BigInt, |_| Value::BigInt(0)),
    opt("lob_reserved_page_count", SqlType::BigInt, |_| {
        Value::BigInt(0)
    }),
    opt("row_overflow_used_page_count", SqlType::BigInt, |_| {
        Value::BigInt(0)
    }),
    opt("row_overflow_reserved_page_count", SqlType::BigInt, |_| {
        Value::BigInt(0)
    }),
    opt("used_page_count", SqlType::BigInt, |i| {
        Value::BigInt(i.pages())
    }),
    opt("reserved_page_count", SqlType::BigInt, |i| {
        Value::BigInt(i.pages())
    }),
    opt("row_count", SqlType::BigInt, |i| Value::BigInt(i.rows)),
];

const ALLOCATION_UNIT: &[Field<IndexRow>] = &[
    col("allocation_unit_id", SqlType::BigInt, |i| {
        Value::BigInt(i.partition())
    }),
    col("type", SqlType::TinyInt, |_| Value::TinyInt(1)),
    opt("type_desc", DESCRIPTION, |_| text("IN_ROW_DATA")),
    col("container_id", SqlType::BigInt, |i| {
        Value::BigInt(i.partition())
    }),
    opt("data_space_id", SqlType::Int, |_| Value::Int(1)),
    col("total_pages", SqlType::BigInt, |i| Value::BigInt(i.pages())),
    col("used_pages", SqlType::BigInt, |i| Value::BigInt(i.pages())),
    col("data_pages", SqlType::BigInt, |i| Value::BigInt(i.pages())),
];

pub(super) const VIEWS: &[View] = &[
    catalog_view!("sys", "indexes", indexes, [INDEX]),
    catalog_view!("sys", "index_columns", index_columns, [INDEX_COLUMN]),
    catalog_view!("sys", "partitions", partitions, [PARTITION]),
    catalog_view!(
        "sys",
        "dm_db_partition_stats",
        partitions,
        [PARTITION_STATS]
    ),
    catalog_view!("sys", "allocation_units", partitions, [ALLOCATION_UNIT]),
];
