//! Digests of rows.

use super::Examples;
use super::shapes::sample;
use crate::mssql::sql::bounds::Count;
use crate::mssql::sql::digest::{self, Digested, NextWindow, Reads};
use crate::mssql::sql::read::Closed;
use crate::schema::TableSchema;

impl Examples {
    pub(super) fn digests(&mut self, shape: &str, table: &TableSchema) {
        if table.key.is_none() {
            return;
        }
        let columns: Vec<usize> = (0..table.columns.len()).collect();
        let of = Digested {
            table,
            columns: &columns,
            flag: None,
        };
        let reads = Reads {
            count: Count::Snapshot,
            lock_timeout_ms: 60_000,
            width: 4096,
        };
        self.add("buckets", shape, digest::buckets(&of, reads));
        let marked = Digested {
            flag: Some("it's [gone]"),
            ..of
        };
        let variant = format!("{shape}_flag");
        self.add("buckets", &variant, digest::buckets(&marked, reads));
        let committed = Reads {
            count: Count::ReadCommitted,
            ..reads
        };
        let statement = digest::rows(&of, committed, &[3, 15], None);
        self.add("rows", shape, statement);
        for (column, closed) in [(1, Closed::Below), (2, Closed::Above)] {
            let Some((lower, _)) = table.columns.get(column).and_then(|c| sample(c.ty)) else {
                continue;
            };
            let next = NextWindow {
                column,
                lower,
                closed,
            };
            let statement = digest::rows(&of, reads, &[3], Some(&next));
            self.add("rows", &format!("{shape}_{column}"), statement);
        }
        let keys = [&[0, 0, 0, 1, 0xFE][..], &[0xFF, 0xFF, 0xFF, 0xFF]];
        self.add("columns", shape, digest::columns(&of, reads, &keys));
        let statement = digest::logged(&of, reads, 41, &[3, 15]);
        self.add("logged", shape, statement);
    }
}
