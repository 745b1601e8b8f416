//! Digests of a snapshot's rows, as a server would answer them.

use super::keys::LakeRows;
use crate::error::{Disposition, Error, Kind, Result};
use crate::lake::LakeTable;
use crate::mssql::digest::{Bucket, ColumnHash, RowHash};
use crate::mssql::sql::digest::BUCKETS_MAX;
use crate::schema::mapping::MappingError;
use crate::schema::mapping::canonical::Canonical;
use arrow_array::RecordBatch;
use futures::TryStreamExt;
use openssl::sha::sha256;
use std::collections::{HashMap, HashSet};

/// A snapshot, and the bytes of its rows.
pub(super) struct LakeDigest<'a> {
    pub lake: &'a LakeTable,
    pub snapshot_id: i64,
    pub canonical: &'a Canonical,
    /// How many columns are compared.
    pub columns: usize,
}

impl LakeDigest<'_> {
    /// All of the [`BUCKETS_MAX`] buckets.
    pub async fn buckets(&self) -> Result<Vec<Bucket>> {
        let mut buckets = vec![Bucket::default(); BUCKETS_MAX as usize];
        let mut bytes = Vec::new();
        self.each(|batch, row, key| {
            bytes.clear();
            self.canonical.row(batch, row, &mut bytes)?;
            if let Some(bucket) = buckets.get_mut(usize::from(place(key))) {
                bucket.add(hash(&bytes));
            }
            Ok(())
        })
        .await?;
        Ok(buckets)
    }

    /// The rows of some buckets that are `width` of the smallest.
    pub async fn rows(&self, width: u32, wanted: &[u32]) -> Result<LakeRows> {
        let wanted: HashSet<u32> = wanted.iter().copied().collect();
        let mut rows = LakeRows::new();
        let mut bytes = Vec::new();
        self.each(|batch, row, key| {
            if wanted.contains(&(u32::from(place(key)) / width)) {
                bytes.clear();
                self.canonical.row(batch, row, &mut bytes)?;
                rows.insert(key.to_vec(), hash(&bytes));
            }
            Ok(())
        })
        .await?;
        Ok(rows)
    }

    /// The hashes of each column of some rows, by their keys.
    pub async fn columns(&self, wanted: &[&[u8]]) -> Result<HashMap<Vec<u8>, Vec<ColumnHash>>> {
        let wanted: HashSet<&[u8]> = wanted.iter().copied().collect();
        let mut rows = HashMap::new();
        let mut bytes = Vec::new();
        self.each(|batch, row, key| {
            if !wanted.contains(key) {
                return Ok(());
            }
            let mut hashes = Vec::with_capacity(self.columns);
            for column in 0..self.columns {
                bytes.clear();
                self.canonical.value(column, batch, row, &mut bytes)?;
                hashes.push(first(&sha256(&bytes)));
            }
            rows.insert(key.to_vec(), hashes);
            Ok(())
        })
        .await?;
        Ok(rows)
    }

    /// Calls `visit` with each row and the bytes of its key.
    async fn each(
        &self,
        mut visit: impl FnMut(&RecordBatch, usize, &[u8]) -> std::result::Result<(), MappingError>,
    ) -> Result<()> {
        let failed = |error: MappingError| Error::new(Kind::Lake, Disposition::Definite, error);
        let mut batches = self.lake.scan(Some(self.snapshot_id), None).await?;
        let mut key = Vec::new();
        while let Some(batch) = batches.try_next().await? {
            for row in 0..batch.num_rows() {
                key.clear();
                self.canonical.key(&batch, row, &mut key).map_err(failed)?;
                visit(&batch, row, &key).map_err(failed)?;
            }
        }
        Ok(())
    }
}

/// The smallest bucket of a key.
fn place(key: &[u8]) -> u16 {
    u16::from_be_bytes(first(&sha256(key)))
}

fn hash(row: &[u8]) -> RowHash {
    first(&sha256(row))
}

/// The first bytes of a hash.
fn first<const COUNT: usize>(hash: &[u8; 32]) -> [u8; COUNT] {
    std::array::from_fn(|at| hash[at])
}
