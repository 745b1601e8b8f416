//! The warehouse: Iceberg tables in a directory, written incrementally and readable by any engine.
//!
//! | file | what is there |
//! |---|---|
//! | `store` | files: durable writes, put-if-absent, ranged reads |
//! | `catalog` | [`Warehouse`]: which metadata file is the current one; the hint and its repair |
//! | `table` | [`LakeTable`]: properties, checkpoint, snapshots, tags |
//! | `shape` | our schema to Iceberg's, Parquet's and Arrow's |
//! | `manifests` | the files of a snapshot |
//! | `files`, `deletes` | writing Parquet: data with metrics, position deletes |
//! | `keys`, `lookup` | keys in memory; finding their rows in files |
//! | `writer`, `replace` | [`TableWriter`]: rows to files, replaced rows to position deletes |
//! | `overlap` | rows read again: which of them are already there |
//! | `parts` | [`Part`]: a write by several writers, kept over a crash |
//! | `prepared` | [`PreparedCommit`]: complete files that nobody sees yet |
//! | `commit`, `rebase` | the commit protocol, argued at its head |
//! | `datafile`, `scan` | reading: a file, a snapshot |
//! | `delta` | [`Delta`]: what changed between two snapshots |
//!
//! Only this module knows `iceberg`, `parquet` and `object_store`; its interface speaks Arrow and the model's types.

mod catalog;
mod commit;
mod datafile;
mod deletes;
mod delta;
mod error;
mod evolve;
mod files;
mod keys;
mod lookup;
mod manifests;
mod options;
mod overlap;
mod parts;
mod prepared;
mod rebase;
mod replace;
mod scan;
mod shape;
mod sieve;
mod sorted;
mod store;
mod table;
mod writer;

#[cfg(test)]
mod tests;

pub use catalog::{KIND_PROPERTY, Warehouse};
pub use commit::{CommitIntent, Committed};
pub use delta::{Delta, Segment};
pub use error::{LakeError, Result};
pub use evolve::Evolution;
pub use files::{Compression, Dictionaries};
pub use lookup::LookupStats;
pub use options::{Op, WriteMode, WriteOptions};
pub use parts::Part;
pub use prepared::PreparedCommit;
pub use scan::BatchStream;
pub use shape::SCHEMA_PROPERTY;
pub use table::{CHECKPOINT_PROPERTY, LakeTable, RUN_PROPERTY, SnapshotInfo, SnapshotRef};
pub use writer::TableWriter;

/// Failpoint: data and delete files of a write are complete, nothing refers to them yet.
pub const FAIL_AFTER_DATA_FILES: &str = "lake.after_data_files";
/// Failpoint: manifests and manifest list are written, the metadata file is not.
pub const FAIL_AFTER_MANIFESTS: &str = "lake.after_manifests";
/// Failpoint: the metadata file is published, the hint still names the version before.
pub const FAIL_AFTER_METADATA: &str = "lake.after_metadata";
/// Failpoint: the commit is complete, its caller does not know yet.
pub const FAIL_AFTER_HINT: &str = "lake.after_hint";
