//! The warehouse: Iceberg tables in a directory, written incrementally and readable by any engine.
//!
//! | file | what is there |
//! |---|---|
//! | `cache` | manifests and footers that were read, for the rest of the process |
//! | `store` | files: durable writes, put-if-absent, ranged reads |
//! | `warehouse` | [`Warehouse`]: tables opened and created |
//! | `catalog`, `catalog/` | the catalog seam: load, create, commit; the filesystem catalog |
//! | `checkpoint` | how far a table has followed its source, as JSON |
//! | `table` | [`LakeTable`]: one version, read-only: properties, checkpoint, snapshots |
//! | `ancestry` | whether `main` still holds what the checkpoint says; commits of other writers |
//! | `tags` | [`TargetTags`]: which snapshots targets need; the protocol that keeps them is argued at its head |
//! | `schema` | our schema to Iceberg's, Parquet's and Arrow's |
//! | `read/` | a snapshot's files, their rows, position deletes, [`Delta`]: what changed between two snapshots |
//! | `keys/` | keys in memory; finding their rows in files |
//! | `write`, `write/` | [`TableWriter`]: a pipeline from rows to files and position deletes |
//! | `maintain/` | compaction, expiry of snapshots, orphaned files, relocation |
//! | `commit`, `commit/` | the commit protocol, argued at its head; [`PreparedCommit`]; rebase; schema evolution |
//!
//! Only this module knows `iceberg`, `parquet` and `object_store`; its interface speaks Arrow and the model's types.

mod ancestry;
mod cache;
mod catalog;
mod checkpoint;
mod commit;
mod error;
mod keys;
mod maintain;
mod read;
mod schema;
mod store;
mod table;
mod tags;
mod warehouse;
mod write;

#[cfg(test)]
mod tests;

pub use ancestry::{FOREIGN_ROWS_PROPERTY, ForeignCommit, Standing};
pub use catalog::KIND_PROPERTY;
pub use checkpoint::CHECKPOINT_PROPERTY;
pub use commit::evolve::Evolution;
pub use commit::prepared::PreparedCommit;
pub use commit::{CommitIntent, Committed};
pub use error::{LakeError, Result};
pub use keys::lookup::LookupStats;
pub use maintain::compact::{CompactOptions, Compacted, Effort, FAIL_AFTER_GROUP};
pub use maintain::expire::{ExpireOptions, Expired, FAIL_AFTER_EXPIRE, FAIL_AFTER_EXPIRED_FILE};
pub use maintain::orphans::{FAIL_AFTER_LISTING, FAIL_AFTER_ORPHAN, OrphanOptions, Orphans};
pub use maintain::relocate::Relocated;
pub use read::delta::{Basis, Delta, Segment};
pub use read::scan::BatchStream;
pub use schema::SCHEMA_PROPERTY;
pub use table::{LakeTable, RUN_PROPERTY, SOURCE_SCHEMA_PROPERTY, SnapshotInfo, SnapshotRef};
pub use tags::{LoadTag, Loading, Tagged, TargetTags};
pub use warehouse::Warehouse;
pub use write::TableWriter;
pub use write::options::{Compression, Dictionaries, Op, Reread, Witness, WriteMode, WriteOptions};
pub use write::parts::{Listed, Parked, Part};

/// Failpoint: data and delete files of a write are complete, nothing refers to them yet.
pub const FAIL_AFTER_DATA_FILES: &str = "lake.after_data_files";
/// Failpoint: manifests and manifest list are written, the metadata file is not.
pub const FAIL_AFTER_MANIFESTS: &str = "lake.after_manifests";
/// Failpoint: the metadata file is published, the hint still names the version before.
pub const FAIL_AFTER_METADATA: &str = "lake.after_metadata";
/// Failpoint: the commit is complete, its caller does not know yet.
pub const FAIL_AFTER_HINT: &str = "lake.after_hint";
/// Failpoint: one metadata file that has left the log is removed, newer ones are still there.
pub const FAIL_AFTER_OLD_METADATA: &str = "lake.after_old_metadata";
