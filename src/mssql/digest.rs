//! Digests of a table's rows, as a server answers them ([`sql::digest`](super::sql::digest) argues what they are).

use super::control::{Class, Control, Record};
use super::error::MssqlError;
use super::sql::digest::{self, COLUMN_HASH_BYTES, Digested, NextWindow, Reads};
use super::sql::{Statement, bounds::Count};
use std::collections::HashMap;

/// How many rows a bucket has, and the sum of each four bytes of their hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bucket {
    pub rows: u64,
    pub sums: [u64; 4],
}

/// The first bytes of the SHA-256 of a row.
pub type RowHash = [u8; 16];
/// The first bytes of the SHA-256 of a column's frame.
pub type ColumnHash = [u8; COLUMN_HASH_BYTES];

/// A row as a server digests it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestedRow {
    pub key: Vec<u8>,
    pub hash: RowHash,
    /// It belongs to a window that is yet to be read.
    pub is_next: bool,
}

impl Bucket {
    /// Takes a row in.
    pub fn add(&mut self, hash: RowHash) {
        self.rows += 1;
        for (sum, part) in self.sums.iter_mut().zip(hash.chunks_exact(4)) {
            let part = part.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
            *sum = sum.wrapping_add(part);
        }
    }

    /// Takes another bucket's rows in.
    pub fn merge(&mut self, other: &Bucket) {
        self.rows += other.rows;
        for (sum, part) in self.sums.iter_mut().zip(other.sums) {
            *sum = sum.wrapping_add(part);
        }
    }
}

/// The buckets that have rows.
pub async fn buckets(
    control: &mut Control,
    of: &Digested<'_>,
    reads: Reads,
) -> Result<HashMap<u32, Bucket>, MssqlError> {
    let records = answer(control, &digest::buckets(of, reads)).await?;
    let mut found = HashMap::with_capacity(records.len());
    for record in &records {
        let number = |name: &str| unsigned(record, name);
        let bucket = Bucket {
            rows: number("row_count")?,
            sums: [number("s1")?, number("s2")?, number("s3")?, number("s4")?],
        };
        let place = u32::try_from(record.int("bucket")?);
        found.insert(place.map_err(|_| misshapen("bucket"))?, bucket);
    }
    Ok(found)
}

/// The rows of some buckets.
pub async fn rows(
    control: &mut Control,
    of: &Digested<'_>,
    reads: Reads,
    buckets: &[u32],
    next: Option<&NextWindow<'_>>,
) -> Result<Vec<DigestedRow>, MssqlError> {
    let records = answer(control, &digest::rows(of, reads, buckets, next)).await?;
    let row = |record: &Record| {
        Ok(DigestedRow {
            key: record.bytes("k")?.to_vec(),
            hash: RowHash::try_from(record.bytes("h")?).map_err(|_| misshapen("h"))?,
            is_next: record.int("is_next")? != 0,
        })
    };
    records.iter().map(row).collect()
}

/// The hashes of each column of some rows, by their keys.
pub async fn columns(
    control: &mut Control,
    of: &Digested<'_>,
    reads: Reads,
    keys: &[&[u8]],
) -> Result<HashMap<Vec<u8>, Vec<ColumnHash>>, MssqlError> {
    let records = answer(control, &digest::columns(of, reads, keys)).await?;
    let row = |record: &Record| {
        let (hashes, _) = record.bytes("h")?.as_chunks();
        Ok((record.bytes("k")?.to_vec(), hashes.to_vec()))
    };
    records.iter().map(row).collect()
}

/// The keys of some buckets that Change Tracking has noted as changed since a version.
pub async fn logged(
    control: &mut Control,
    of: &Digested<'_>,
    reads: Reads,
    since: i64,
    buckets: &[u32],
) -> Result<Vec<Vec<u8>>, MssqlError> {
    let records = answer(control, &digest::logged(of, reads, since, buckets)).await?;
    let key = |record: &Record| Ok(record.bytes("k")?.to_vec());
    records.iter().map(key).collect()
}

/// As a read of the table is made: without waiting for writers where row versions allow it.
pub fn reading(is_snapshot: bool) -> Count {
    match is_snapshot {
        true => Count::Snapshot,
        false => Count::ReadCommitted,
    }
}

async fn answer(control: &mut Control, statement: &Statement) -> Result<Vec<Record>, MssqlError> {
    let sets = control.query_sets(statement, Class::LONG).await?;
    Ok(sets.into_iter().next().unwrap_or_default())
}

fn unsigned(record: &Record, name: &str) -> Result<u64, MssqlError> {
    u64::try_from(record.int(name)?).map_err(|_| misshapen(name))
}

fn misshapen(name: &str) -> MssqlError {
    MssqlError::Shape(format!("column {name} has a value that it cannot have"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_does_not_depend_on_the_order_of_its_rows() {
        let hashes: [RowHash; 3] = [[0xFF; 16], [1; 16], std::array::from_fn(|at| at as u8)];
        let bucket = |order: [usize; 3]| {
            let mut bucket = Bucket::default();
            order.iter().for_each(|&at| bucket.add(hashes[at]));
            bucket
        };
        assert_eq!(bucket([0, 1, 2]), bucket([2, 0, 1]));
        assert_ne!(bucket([0, 1, 2]), bucket([0, 1, 1]));
        let mut one = Bucket::default();
        one.add(hashes[2]);
        assert_eq!(
            one.sums,
            [0x0001_0203, 0x0405_0607, 0x0809_0A0B, 0x0C0D_0E0F]
        );
        let mut sum = bucket([0, 1, 2]);
        sum.merge(&one);
        assert_eq!(sum.rows, 4);
    }
}
