//! Applies what the lake has to a target table: staged by bulk copy, applied in one transaction.
//!
//! # Why nothing is lost or applied twice
//!
//! Rows are first copied into a staging table of this load alone, over any number of channels; nobody reads it, so
//! a load that dies while staging has changed nothing. Their net changes are computed into another such table
//! ([`merge::settle`]). Then one transaction ([`merge::apply`]) takes a lock, compares the target's row in
//! `icesync.load_state` with the one that the load was computed from, applies the staged rows, lets the state name the
//! snapshot that they reach, and commits. State and rows are one commit. The state also names the target table
//! as an object of its database (object id and creation date), and the transaction checks that the table still is that
//! object once it holds a lock on it. So a state is never taken for that of a table that was recreated.
//!
//! - an error in the transaction, also one that a trigger raises without a rollback: all of it is rolled back, and the
//!   error reported with its number;
//! - a trigger of the target rolls back and begins another transaction: that raises no error, and the COMMIT would
//!   succeed without the rows. The last statement finds the load's lock gone, and the run's id in the state
//!   (`mssql/sql/state.rs`), and stops the load;
//! - a trigger of the target commits: the rows so far are durable, and so is the state. It says since before the first
//!   row that the target is between two snapshots, so the next load finishes this one (`mssql/sql/state.rs`);
//! - killed before the commit: the server rolls back; the next load finds the old state and starts over from it;
//! - killed after the commit: the next load finds the new state and has nothing to do;
//! - the reply to the commit is lost: the outcome is not guessed. [`state::resolve`] waits for the lock that the
//!   lost transaction holds until it has ended, then reads the state: this run's id means applied. The session lock
//!   went with the old connection;
//! - two loads at once: the second waits for the session lock ([`staging::lock`]) or gives up saying so. Should a
//!   session lose its lock (the connection died and came back), compare-and-set on the state still lets only one of
//!   the two commit;
//! - a batch that reaches the server late, after its connection was given up: compare-and-set refuses it.
//!
//! A large delta is applied in several such transactions ([`merge::steps`]), deletes first. Each but the last leaves
//! the old snapshot in the state and says how many of the net changes are applied; each compares that, and the run,
//! with what it expects. A state like that is finished before anything else: the delta between the same two snapshots
//! is applied again from its beginning, which gives the new snapshot from any mixture of the two. Where the target
//! refuses a row of that snapshot, the next load goes past it (`sync/load/kind.rs`). The table is named with the last
//! step only.
//!
//! A first load into a missing target needs no staging table: see [`fill`]. Several tables in one transaction: see
//! [`foreign`]. What a created target has besides columns and
//! key: see [`create`]. A load may set aside rows that the target refuses: see [`quarantine`].
//!
//! Staging tables of dead loads are dropped under the session lock, so none of a living load is. They are permanent
//! tables in schema `icesync`, because the channels that fill them and the session that applies them are different
//! ones.
//!
//! # Why the rows are right
//!
//! What kind of load is right for a target is decided in `sync/load/kind.rs`.
//!
//! Staged text is in the target column's collation, so keys are equal exactly when the target says so. Two staged
//! rows with one key stop the load before anything is written, naming the key, unless they are known to be spellings
//! of one key of the source and it is known which of them is newer (`mssql/sql/newest.rs`). Two rows of the target
//! with the key of one staged row stop it too; they are looked for where no unique index rules them out. Of several
//! segments the last one counts for each key; within a segment a row that is there wins over one that is gone, because
//! a row that moved between files is both. A row is updated when any value differs in type, length or bytes, not
//! merely when its
//! collation or EXCEPT says so: a name that changed from `ab` to `AB` is a change. What a target column could not
//! hold exactly is refused by [`inspect::check`] before anything is staged; characters that its code page lacks
//! stop the transaction.
//!
//! With `deletes: soft` the row of a key that is gone is marked instead of deleted, and with `ignore` left
//! (`mssql/sql/soft.rs`). In mode `history` the versions of a history are rows of their own, told apart by `_seq`. In
//! mode `scd2` each has the time for which it was valid besides, which `mssql/sql/scd2.rs` argues.

pub mod columns;
mod compared;
pub mod create;
pub mod evolve;
pub mod fill;
mod fits;
pub mod foreign;
pub mod inspect;
pub mod merge;
pub mod quarantine;
pub mod staging;
pub mod state;
pub mod upkeep;
pub mod upsert;
pub mod validity;

use crate::error::{Disposition, Error, Kind};
use crate::mssql::error::MssqlError;
use crate::mssql::sql::TableIdent;
use crate::schema::TableName;
use crate::secret::RowValue;

/// What failed, on which target, why, and the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    #[error("{doing} {target} failed")]
    Server {
        doing: &'static str,
        target: String,
        #[source]
        source: Box<MssqlError>,
    },
    #[error(
        "cannot create schema icesync and its tables in the target database, or alter icesync.load_state; \
create the schema with CREATE SCHEMA icesync AUTHORIZATION the login's user, and GRANT CREATE TABLE TO that user"
    )]
    MayNotCreate {
        #[source]
        source: Box<MssqlError>,
    },
    #[error(
        "icesync.load_state, which an older icesync created, could not be altered, because other sessions used it for \
all of the {seconds} s that this one waited. Nothing was loaded. Load again when the loads of other tables in this \
database have ended"
    )]
    StatesInUse {
        seconds: u32,
        #[source]
        source: Box<MssqlError>,
    },
    #[error("target {target} does not fit the lake table: {}", .problems.join("; "))]
    Unfit {
        target: TableName,
        problems: Vec<String>,
    },
    #[error(
        "the columns to load have changed since {target} was last loaded, and `merge.on_schema_change: refuse` \
            lets only others alter it; \
run {statements} and load again, or set `merge: {{ on_schema_change: evolve }}`"
    )]
    MayNotFollow {
        target: TableName,
        statements: String,
    },
    #[error(
        "target {target} could not follow the lake table's columns with {statement} and nothing was loaded; \
change what stands in the way (an index or a constraint on the column, the login's permission) or run it yourself, and \
load again"
    )]
    Alter {
        target: TableName,
        statement: String,
        #[source]
        source: Box<MssqlError>,
    },
    #[error(
        "the foreign keys {} form a circle, and none of them can be deferred: a column of each is NOT NULL. Nothing \
was loaded. Set `load: {{ cycles: recheck }}`, which suspends and rechecks them, or allow NULL in one of them",
        .keys.join(", ")
    )]
    Circle { keys: Vec<String> },
    #[error(
        "{child} keeps rows whose key has left the lake, and {parent}, to which they refer, deletes them. By foreign \
key {key} the server would delete or change the rows that are kept. Nothing was loaded. Let {parent} keep its rows, \
too (`merge: {{ deletes: {{ soft: ... }} }}` or `ignore`), or make the key one with ON DELETE NO ACTION, or disable it"
    )]
    KeptRows {
        key: String,
        child: TableName,
        parent: TableName,
    },
    #[error(
        "a row to be loaded into {target} violates a constraint of it, or a row that is to be deleted is referred to \
by another table. The transaction was rolled back. Correct the row at the source or drop the constraint{aside}. A \
table that keeps rows whose key has left the lake (soft or ignored deletes, append, history, scd2) cannot refer to one \
that deletes them: let that one keep them, too, or disable the foreign key. Tables that refer to each other are \
loaded together unless `load: {{ group: none }}` or --table separates them"
    )]
    Constraint {
        target: TableName,
        /// How the row may be set aside, as the end of a sentence; empty where that does not apply.
        aside: &'static str,
        #[source]
        source: Box<MssqlError>,
    },
    #[error(
        "target {target} could not follow the lake table's columns, because other sessions used it for all of the \
{seconds} s that {statement} waited for it; it gives up then, because whoever comes after it waits too. Nothing was \
loaded. Load again when long queries and transactions on {target} have ended, or run the statement yourself"
    )]
    InUse {
        target: TableName,
        statement: String,
        seconds: u32,
        #[source]
        source: Box<MssqlError>,
    },
    #[error("{0} is a view: load into its table")]
    IsView(TableName),
    #[error(
        "the name {target} is taken by an object that is no table (type {kind} in sys.objects): rename or drop it, or \
give the table another name with `target:`"
    )]
    NotATable { target: TableName, kind: String },
    #[error(
        "another load of {target} is running (lock {lock} was not free within {seconds} s); it holds the target until \
            it ends"
    )]
    Locked {
        target: TableName,
        lock: String,
        seconds: u32,
    },
    #[error(
        "another load of {target} has moved its state while this one was staging: nothing was applied; run it again"
    )]
    StateMoved { target: TableName },
    #[error(
        "a trigger, probably of {target}, ended the transaction of the load with ROLLBACK or COMMIT, so the load \
stopped. What was rolled back is not in the target. What was committed is there, and the load state says that this \
load is unfinished. Take both statements out of the trigger, or disable it for the user of icesync, and load again"
    )]
    TransactionEnded {
        target: TableName,
        #[source]
        source: Box<MssqlError>,
    },
    #[error(
        "the load state of {target}, or the table itself, changed while this command ran. Nothing was changed; run it \
again"
    )]
    StateChanged { target: TableName },
    #[error(
        "{target} has rows, and this mode of loading would insert rows again that it may have already: a whole \
snapshot is added only to an empty table. Nothing was loaded. In mode scd2, run `icesync load --full`, which replaces \
the rows. Otherwise run TRUNCATE TABLE {} first; a mirror may also be loaded with `merge: {{ mode: replace }}`",
        TableIdent(.target)
    )]
    NotEmpty { target: TableName },
    #[error(
        "{target} has more than one row with the key {example}, and a load changes one row for each key. Nothing was \
loaded. Remove the extra rows, create a unique index on the key's columns, and load again"
    )]
    KeyTwice {
        target: TableName,
        example: RowValue<String>,
    },
    #[error(
        "{target} was dropped, recreated or altered while its load was being prepared. Nothing was loaded; run the \
load again"
    )]
    Recreated { target: TableName },
    #[error(
        "{target} was created by someone else while its first load was filling a table of its own. Nothing was loaded, \
and that table was left as it is; run the load again, which decides what is right for it"
    )]
    Appeared { target: TableName },
    #[error(
        "another session took the name of a constraint of {target} while its first load was publishing it. Nothing was \
loaded; run the load again, which gives the constraint another name"
    )]
    NameInUse {
        target: TableName,
        #[source]
        source: Box<MssqlError>,
    },
    #[error(
        "two rows to be loaded into {target} have the same key there, as its collation compares keys: {example}. \
Nothing was loaded. \
If they are spellings of one key of the source, run one extract with `change: {{ strategy: full }}`, which removes the \
old one from the lake; if they are two keys there, give the target's key column the source's collation"
    )]
    DuplicateKey {
        target: TableName,
        example: RowValue<String>,
    },
    #[error(
        "a row to be loaded into {target} has NULL in its key: a target finds rows by key; use merge.mode: append, or \
            another key"
    )]
    NullKey { target: TableName },
    #[error(
        "nothing was loaded into {target}: {example}; something else wrote to or deleted from schema icesync, or rows \
            were lost on the way; run it again"
    )]
    StagedRows { target: TableName, example: String },
    #[error(
        "a value cannot be kept in {target}, because the column's code page lacks one of its characters: {example}; \
            make the column nvarchar"
    )]
    LostCharacter { target: TableName, example: String },
    #[error(
        "{target} refuses at least {} of this load, and `merge.max_bad_rows` allows {rows_max}. Nothing was loaded. \
Repair the target or the rows, or allow more. Refused are {}",
        rows(*.refused),
        first(.examples, *.refused)
    )]
    TooManyRefused {
        target: TableName,
        refused: u64,
        rows_max: u64,
        /// Errors of the first ones, with their keys where row values are shown.
        examples: Vec<String>,
    },
    #[error(
        "{target} refuses rows of this load, and {attempts} attempts have not told which ones: they depend on each \
other. Nothing was loaded. Repair what the error says"
    )]
    Inseparable {
        target: TableName,
        attempts: u64,
        #[source]
        source: Box<MssqlError>,
    },
    #[error(
        "rows that {target} had accepted were refused a moment later, because another session changed something. \
Nothing was loaded; run the load again"
    )]
    Unsteady {
        target: TableName,
        #[source]
        source: Box<MssqlError>,
    },
    #[error(
        "{target} already has a row with the same key as a row to be added; remove the row, or, for a mirror, use \
            merge.mode: upsert"
    )]
    KeyConflict {
        target: TableName,
        #[source]
        source: Box<MssqlError>,
    },
}

/// `1 row`, `2 rows`.
fn rows(count: u64) -> String {
    format!("{count} row{}", if count == 1 { "" } else { "s" })
}

/// Examples of `count` rows.
fn first(examples: &[String], count: u64) -> String {
    let more = (examples.len() as u64) < count;
    examples.join("; ") + if more { "; ..." } else { "" }
}

impl TargetError {
    fn on(doing: &'static str, target: &TableName, source: MssqlError) -> Self {
        TargetError::Server {
            doing,
            target: target.to_string(),
            source: Box::new(source),
        }
    }

    /// What the caller may do.
    pub fn disposition(&self) -> Disposition {
        match self {
            TargetError::Server { source, .. } => source.disposition(),
            TargetError::Locked { .. }
            | TargetError::StagedRows { .. }
            | TargetError::Recreated { .. }
            | TargetError::Appeared { .. }
            | TargetError::InUse { .. }
            | TargetError::StatesInUse { .. }
            | TargetError::NameInUse { .. }
            | TargetError::Unsteady { .. } => Disposition::Transient,
            TargetError::MayNotCreate { .. }
            | TargetError::Unfit { .. }
            | TargetError::MayNotFollow { .. }
            | TargetError::Alter { .. }
            | TargetError::IsView(_)
            | TargetError::Circle { .. }
            | TargetError::KeptRows { .. }
            | TargetError::Constraint { .. }
            | TargetError::NotATable { .. }
            | TargetError::StateMoved { .. }
            | TargetError::StateChanged { .. }
            | TargetError::TransactionEnded { .. }
            | TargetError::NotEmpty { .. }
            | TargetError::KeyTwice { .. }
            | TargetError::DuplicateKey { .. }
            | TargetError::NullKey { .. }
            | TargetError::LostCharacter { .. }
            | TargetError::TooManyRefused { .. }
            | TargetError::Inseparable { .. }
            | TargetError::KeyConflict { .. } => Disposition::Definite,
        }
    }
}

impl From<TargetError> for Error {
    fn from(error: TargetError) -> Self {
        Error::new(Kind::Target, error.disposition(), error)
    }
}

/// 64-bit FNV-1a of a target's name in lower case: part of the names of its staging tables, so it must never change.
fn name_hash(target: &TableName) -> u64 {
    target
        .to_string()
        .to_lowercase()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

/// The name of one of a target's application locks. Such names compare by bytes and hold 255 characters: one
/// spelling, and never longer.
fn lock_name(purpose: &str, target: &TableName) -> String {
    let name = target.to_string().to_lowercase();
    if name.encode_utf16().count() <= 200 {
        format!("icesync:{purpose}:{name}")
    } else {
        format!("icesync:{purpose}:{:016x}", name_hash(target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_target_has_one_lock_whatever_its_spelling() {
        let lower: TableName = "dbo.orders".parse().unwrap();
        let upper: TableName = "DBO.Orders".parse().unwrap();
        assert_eq!(lock_name("load", &lower), "icesync:load:dbo.orders");
        assert_eq!(lock_name("load", &lower), lock_name("load", &upper));
        assert_eq!(name_hash(&lower), 0x2b1a_2cd3_64a6_e8ff);
        let long = TableName {
            schema: "s".repeat(128),
            name: "]".repeat(128),
        };
        assert!(lock_name("load", &long).len() < 60);
    }
}
