//! What can go wrong in the warehouse.

use crate::change::RunId;
use crate::error::{Disposition, Error, Kind};
use crate::schema::{TableName, shell_quoted};
use crate::secret::{self, JsonProblem, RowValue};
use parquet::errors::ParquetError;

/// A failure of the warehouse. Messages name the file or the table and end with what to do.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    #[error(
        "the warehouse location `{location}` is not supported: give a directory or a file:// URI"
    )]
    UnsupportedLocation { location: String },

    #[error(
        "the path `{path}` has characters that cannot be part of a warehouse location (control characters, `#` or \
            `?`): choose another directory"
    )]
    BadPath { path: String },

    #[error(
        "`{path}` is a file where a directory of the warehouse is expected: move it away or configure another location"
    )]
    FileInTheWay { path: String },

    #[error(
        "permission denied on `{path}`: give the user that runs icesync read and write access to the warehouse"
    )]
    Denied {
        path: String,
        source: std::io::Error,
    },

    #[error(
        "no space left to {action} `{path}`: the disk or the quota of the user that runs icesync is full, \
         or the file is larger than the system allows. Free space there or raise the limit, then run again"
    )]
    Full {
        action: &'static str,
        path: String,
        source: std::io::Error,
    },

    #[error(
        "cannot {action} `{path}` because its file system is read-only: mount it writable, or configure \
         another warehouse location"
    )]
    ReadOnly {
        action: &'static str,
        path: String,
        source: std::io::Error,
    },

    #[error(
        "cannot {action} `{path}`: too many files are open. Raise the limit of the process (`ulimit -n`, or \
         LimitNOFILE= in a unit of systemd) or of the machine (`sysctl fs.file-max`), or lower `parallel_tables` and \
         `parallel_channels`, then run again"
    )]
    OpenFiles {
        action: &'static str,
        path: String,
        source: std::io::Error,
    },

    #[error(
        "cannot {action} `{path}`: the path is longer than the file system allows, which is 255 bytes for the name of \
         a folder. A table's name is written with three bytes for each byte that is no ASCII letter, digit, `_`, `-` \
         or `.`. Give the table a shorter `lake:` name"
    )]
    NameTooLong {
        action: &'static str,
        path: String,
        source: std::io::Error,
    },

    #[error("cannot {action} `{path}`")]
    Io {
        action: &'static str,
        path: String,
        source: std::io::Error,
    },

    #[error(
        "the table metadata `{path}` is damaged or truncated: restore this file from a backup, or remove it to go back \
            to the version before it"
    )]
    MetadataCorrupt {
        path: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    #[error(
        "`{path}` points to version {version}, but no metadata file exists beside it: restore the table's metadata \
            directory, or remove the table's directory to extract it from scratch"
    )]
    HintDangling { path: String, version: u64 },

    #[error(
        "`{path}` holds something other than a version number, and no v<number>.metadata.json exists beside it: \
            restore the table's metadata directory, or remove the table's directory to extract it from scratch"
    )]
    HintInvalid { path: String },

    #[error(
        "`{path}` has metadata files but neither version-hint.text nor v<number>.metadata.json: the table belongs to \
            another kind of catalog; choose another table name"
    )]
    NotFilesystemCatalog { path: String },

    #[error("the table {table} exists already (`{path}`)")]
    AlreadyExists { table: TableName, path: String },

    #[error("the table {table} does not exist in the warehouse: run extract first")]
    TableMissing { table: TableName },

    #[error("the table {table} cannot be used: {reason}")]
    UnsupportedTable { table: TableName, reason: String },

    #[error(
        "the property {property} of {table} cannot be read: it was changed by something else than icesync; restore it. \
         A checkpoint can also be reset: `icesync state reset --table {} --yes`",
        shell_quoted(.table)
    )]
    PropertyCorrupt {
        table: TableName,
        property: &'static str,
        source: JsonProblem,
    },

    #[error(
        "the checkpoint of {table} has version {found}, this build reads up to {known}: use a newer icesync"
    )]
    CheckpointNewer {
        table: TableName,
        found: u32,
        known: u32,
    },

    #[error(
        "another run{} committed to {table} since this one started{}: nothing was written; run again",
        .by_run.map(|run| format!(" ({run})")).unwrap_or_default(),
        .at.as_ref().map(|at| format!(" (at {at})")).unwrap_or_default()
    )]
    CheckpointMoved {
        table: TableName,
        by_run: Option<RunId>,
        at: Option<String>,
        expected: Option<RunId>,
    },

    #[error(
        "other writers kept committing to {table}; gave up after {attempts} attempts, nothing was written: run again"
    )]
    CommitConflict { table: TableName, attempts: u32 },

    #[error(
        "{table} has changed in a way this run cannot be combined with ({reason}); nothing was written: run again"
    )]
    CommitOutdated { table: TableName, reason: String },

    #[error(
        "another writer moved rows of {table} that no key tells apart, while this run was comparing them; nothing was \
        written: run again"
    )]
    RowsMoved { table: TableName },

    #[error("{path} holds a commit of this run to {table} that was taken for lost")]
    AlreadyCommitted { table: TableName, path: String },

    #[error(
        "another run gave {table} other columns in the meantime; nothing was written: run again"
    )]
    SchemaMoved { table: TableName },

    #[error(
        "whether run {} committed to {table} is unknown: look for {} before trying again",
        .step_of.as_ref().unwrap_or(.run_id),
        looked_for(.run_id, .step_of.is_some())
    )]
    CommitUnknown {
        table: TableName,
        /// As the commit has it.
        run_id: RunId,
        /// The run, where this is one of several commits of it.
        step_of: Option<RunId>,
        source: Box<LakeError>,
    },

    #[error(
        "`{path}`, which this run was about to commit to {table}, is gone or has another size. Nothing was committed. \
            Exclude the warehouse from cleaning jobs, then run again: its rows are read again"
    )]
    FileVanished { table: TableName, path: String },

    #[error(
        "whether the metadata file `{path}` was written is unknown. Nothing was removed. Look whether it exists \
         once the disk answers again, then run again"
    )]
    PublishUnknown {
        path: String,
        source: Box<LakeError>,
    },

    #[error(
        "the folder of {table} was copied or moved: it is at `{found}`, but its metadata names files under \
         `{recorded}`. Nothing was read. Run `icesync relocate --table {}` to make it a table of its own, or \
         configure the warehouse where it was",
        shell_quoted(.table)
    )]
    Moved {
        table: TableName,
        recorded: String,
        found: String,
    },

    #[error(
        "{table} was dropped and recreated while this run used it (table uuid {expected}, now \
         {found}). Nothing was committed to the new table. Run again: the next run reads the table as it is now"
    )]
    TableReplaced {
        table: TableName,
        expected: uuid::Uuid,
        found: uuid::Uuid,
    },

    #[error("{table} has no snapshot {wanted}; it has {available}")]
    SnapshotNotFound {
        table: TableName,
        wanted: String,
        available: String,
    },

    #[error(
        "history table {table}: snapshot {to} may lack rows of snapshot {from}, which the target has loaded. \
`main` was rolled back, or rows were deleted and the snapshots between the two expired. \
To make the target equal to the lake, empty it with TRUNCATE TABLE and run `icesync load --full`"
    )]
    NotAncestor {
        table: TableName,
        from: i64,
        to: i64,
    },

    #[error(
        "snapshot {snapshot}, which the target has loaded, is no longer in {table}: it was expired, or the table was \
restored or copied from an older state. \
`icesync load --full` loads all rows (rows that have left the lake since stay in the target); \
`merge: {{ mode: replace }}` also removes those"
    )]
    LoadedSnapshotGone { table: TableName, snapshot: i64 },

    #[error(
        "`{path}` holds {what}, which icesync does not read: compact {table} with the engine that wrote it"
    )]
    UnsupportedDeletes {
        table: TableName,
        path: String,
        what: &'static str,
    },

    #[error("the data file `{path}` cannot be read: {why}. {remedy}")]
    UnsupportedFile {
        path: String,
        why: String,
        remedy: &'static str,
    },

    #[error(
        "the list `{path}` of files that an interrupted read of {table} has finished is damaged, so it is not known \
        which files that read still needs. `icesync extract` reads its range again and ends the list; `icesync state \
        reset` gives up the interrupted read"
    )]
    ListDamaged {
        table: TableName,
        path: String,
        source: Box<iceberg::Error>,
    },

    #[error(
        "rows for {table} do not fit its lake schema at column `{column}`: expected {expected}, found {found}"
    )]
    BatchMismatch {
        table: TableName,
        column: String,
        expected: String,
        found: String,
    },

    #[error(
        "column `{column}` of {table} is required in the lake but a row has NULL there: recreate the lake table after \
            making the column nullable"
    )]
    NullInRequired { table: TableName, column: String },

    #[error(
        "{table} has no key, so rows cannot be {what}: configure a key, use kind history, or mirror the table with \
        strategy full and merge.mode replace"
    )]
    NoKey {
        table: TableName,
        what: &'static str,
    },

    #[error("cannot {action} the Parquet file `{path}`")]
    Parquet {
        action: &'static str,
        path: String,
        source: parquet::errors::ParquetError,
    },

    #[error("cannot {action} the Iceberg metadata `{path}`")]
    Iceberg {
        action: &'static str,
        path: String,
        source: Box<iceberg::Error>,
    },

    #[error("rows of {what} cannot be processed")]
    Arrow {
        what: String,
        source: arrow_schema::ArrowError,
    },

    #[error("a background thread that {action} ended early")]
    Thread { action: &'static str },
}

/// What tells whether a commit took place.
fn looked_for(run_id: &RunId, is_step: bool) -> String {
    match is_step {
        true => format!("run id {run_id}, which this step of the run has (`icesync snapshots`),"),
        false => "the run id".to_owned(),
    }
}

impl LakeError {
    /// The same error of a commit that is one of several of a run.
    #[must_use]
    pub fn in_run(mut self, run: RunId) -> Self {
        if let LakeError::CommitUnknown { step_of, .. } = &mut self {
            *step_of = Some(run);
        }
        self
    }

    /// What the caller may do about it.
    pub fn disposition(&self) -> Disposition {
        match self {
            LakeError::CommitUnknown { .. } | LakeError::PublishUnknown { .. } => {
                Disposition::Ambiguous
            }
            LakeError::CommitConflict { .. }
            | LakeError::SchemaMoved { .. }
            | LakeError::FileVanished { .. }
            | LakeError::RowsMoved { .. }
            | LakeError::Thread { .. } => Disposition::Transient,
            LakeError::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::Interrupted | std::io::ErrorKind::TimedOut => {
                    Disposition::Transient
                }
                // Every other kind (no space, read-only file system, ...) needs somebody to act.
                _ => Disposition::Definite,
            },
            LakeError::UnsupportedLocation { .. }
            | LakeError::BadPath { .. }
            | LakeError::FileInTheWay { .. }
            | LakeError::Denied { .. }
            | LakeError::Full { .. }
            | LakeError::ReadOnly { .. }
            | LakeError::OpenFiles { .. }
            | LakeError::NameTooLong { .. }
            | LakeError::MetadataCorrupt { .. }
            | LakeError::HintDangling { .. }
            | LakeError::HintInvalid { .. }
            | LakeError::NotFilesystemCatalog { .. }
            | LakeError::AlreadyExists { .. }
            | LakeError::TableMissing { .. }
            | LakeError::UnsupportedTable { .. }
            | LakeError::PropertyCorrupt { .. }
            | LakeError::CheckpointNewer { .. }
            | LakeError::CheckpointMoved { .. }
            | LakeError::Moved { .. }
            | LakeError::TableReplaced { .. }
            | LakeError::CommitOutdated { .. }
            | LakeError::AlreadyCommitted { .. }
            | LakeError::SnapshotNotFound { .. }
            | LakeError::NotAncestor { .. }
            | LakeError::LoadedSnapshotGone { .. }
            | LakeError::UnsupportedDeletes { .. }
            | LakeError::UnsupportedFile { .. }
            | LakeError::ListDamaged { .. }
            | LakeError::BatchMismatch { .. }
            | LakeError::NullInRequired { .. }
            | LakeError::NoKey { .. }
            | LakeError::Parquet { .. }
            | LakeError::Iceberg { .. }
            | LakeError::Arrow { .. } => Disposition::Definite,
        }
    }

    /// Wraps an I/O error, telling apart the cases that have their own remedy.
    pub(in crate::lake) fn io(
        action: &'static str,
        path: impl Into<String>,
        source: std::io::Error,
    ) -> Self {
        let path = path.into();
        use std::io::ErrorKind as K;
        if is_out_of_files(&source) {
            return LakeError::OpenFiles {
                action,
                path,
                source,
            };
        }
        match source.kind() {
            K::InvalidFilename => LakeError::NameTooLong {
                action,
                path,
                source,
            },
            K::PermissionDenied => LakeError::Denied { path, source },
            K::NotADirectory => LakeError::FileInTheWay { path },
            K::StorageFull | K::QuotaExceeded | K::FileTooLarge => LakeError::Full {
                action,
                path,
                source,
            },
            K::ReadOnlyFilesystem => LakeError::ReadOnly {
                action,
                path,
                source,
            },
            _ => LakeError::Io {
                action,
                path,
                source,
            },
        }
    }

    pub(in crate::lake) fn iceberg(
        action: &'static str,
        path: impl Into<String>,
    ) -> impl FnOnce(iceberg::Error) -> Self {
        let path = path.into();
        move |source| LakeError::Iceberg {
            action,
            path,
            source: Box::new(source),
        }
    }

    pub(in crate::lake) fn parquet(
        action: &'static str,
        path: impl Into<String>,
    ) -> impl FnOnce(parquet::errors::ParquetError) -> Self {
        let path = path.into();
        move |source| match source {
            // What the system said of the file, not of its format.
            ParquetError::External(cause) => match cause.downcast::<std::io::Error>() {
                Ok(error) => LakeError::io(action, path, *error),
                Err(cause) => match out_of_files(cause.as_ref()) {
                    Some(code) => {
                        LakeError::io(action, path, std::io::Error::from_raw_os_error(code))
                    }
                    None => LakeError::Parquet {
                        action,
                        path,
                        source: ParquetError::External(cause),
                    },
                },
            },
            ParquetError::ArrowError(text) => LakeError::Parquet {
                action,
                path,
                source: ParquetError::ArrowError(RowValue(text).to_string()),
            },
            source => LakeError::Parquet {
                action,
                path,
                source,
            },
        }
    }

    pub(in crate::lake) fn arrow(
        what: impl Into<String>,
    ) -> impl FnOnce(arrow_schema::ArrowError) -> Self {
        let what = what.into();
        move |source| LakeError::Arrow {
            what,
            source: secret::arrow_error(source),
        }
    }
}

/// The process, or the machine, has as many files open as it may.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

fn is_out_of_files(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
}

/// The system's code, wherever a library has hidden it in its own errors.
fn out_of_files(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    let chain = std::iter::successors(Some(error), |error| error.source());
    let mut system = chain.filter_map(|error| error.downcast_ref::<std::io::Error>());
    system.find(|error| is_out_of_files(error))?.raw_os_error()
}

impl From<LakeError> for Error {
    fn from(error: LakeError) -> Self {
        Error::new(Kind::Lake, error.disposition(), error)
    }
}

/// Result of the lake.
pub type Result<T> = std::result::Result<T, LakeError>;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    const EACCES: i32 = 13;
    const EIO: i32 = 5;
    const EFBIG: i32 = 27;
    const ENOSPC: i32 = 28;
    const EROFS: i32 = 30;
    const EDQUOT: i32 = if cfg!(target_os = "linux") { 122 } else { 69 };

    /// What the system says of a file, met by our own writes and beneath the Parquet library.
    fn met(code: i32) -> [LakeError; 2] {
        let said = || io::Error::from_raw_os_error(code);
        let beneath = ParquetError::External(Box::new(said()));
        [
            LakeError::io("write", "/w/a.avro", said()),
            LakeError::parquet("write", "/w/a.parquet")(beneath),
        ]
    }

    #[test]
    fn a_quota_a_full_disk_and_a_limit_on_files_have_one_remedy() {
        for code in [EDQUOT, ENOSPC, EFBIG] {
            for error in met(code) {
                assert!(matches!(error, LakeError::Full { .. }), "{code}: {error:?}");
                assert_eq!(error.disposition(), Disposition::Definite, "{code}");
                let text = error.to_string();
                for part in [
                    "no space left to write `/w/a.",
                    "quota",
                    "Free space",
                    "run again",
                ] {
                    assert!(text.contains(part), "{code}: {text}");
                }
                let source = std::error::Error::source(&error).map(ToString::to_string);
                assert_eq!(source, Some(io::Error::from_raw_os_error(code).to_string()));
            }
        }
    }

    #[test]
    fn other_refusals_of_the_system_are_told_apart() {
        for error in met(EROFS) {
            assert!(matches!(error, LakeError::ReadOnly { .. }), "{error:?}");
        }
        for error in met(EACCES) {
            assert!(matches!(error, LakeError::Denied { .. }), "{error:?}");
        }
        for error in met(EIO) {
            assert!(matches!(error, LakeError::Io { .. }), "{error:?}");
            assert_eq!(error.disposition(), Disposition::Definite);
        }
    }
}
