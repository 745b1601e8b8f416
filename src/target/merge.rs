//! The transaction that applies a staged load. `target.rs` argues its protocol.

use super::columns::LakeColumns;
use super::inspect::TargetTable;
use super::validity::{self, ValidFrom};
use super::{TargetError, lock_name};
use crate::mssql::control::{Class, Control, Record};
use crate::mssql::error::MssqlError;
use crate::mssql::sql::define::StagingTable;
use crate::mssql::sql::state::{ERROR_STATE_MOVED, ERROR_TRANSACTION_ENDED};
use crate::mssql::sql::variant::{self, BaseType};
use crate::mssql::sql::{merge, net};
use crate::schema::{Collation, KeyOrigin, TableName, TableSchema};
use crate::secret::RowValue;

use crate::change::{Deletes, MergeMode, SoftDeletes, UpsertStatement};
pub use crate::mssql::sql::merge::{Extent, Held, MergePlan, NetTable};
pub use crate::mssql::sql::state::{OldState, StateChange, Step};

/// How long the transaction waits for another one's locks.
const LOCK_TIMEOUT_MS: u32 = 60_000;

/// A CHECK constraint or a foreign key is violated.
const CONSTRAINT: u32 = 547;

/// A trigger has run ROLLBACK or COMMIT and begun no other transaction.
const ENDED_IN_TRIGGER: u32 = 3609;

/// Base types of one `sql_variant` column in one load.
const BASE_TYPES_MAX: usize = 500;

/// What a load did to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct LoadCounts {
    pub inserted: u64,
    pub updated: u64,
    pub deleted: u64,
    /// Staged rows that were in the target already, equal in every value.
    pub unchanged: u64,
}

impl Applied {
    /// What this and then another transaction did.
    pub fn and(self, next: Applied) -> Self {
        Self {
            counts: self.counts.and(next.counts),
            target_only: self.target_only + next.target_only,
        }
    }
}

impl LoadCounts {
    /// What this and then another statement did.
    pub fn and(self, next: LoadCounts) -> Self {
        Self {
            inserted: self.inserted + next.inserted,
            updated: self.updated + next.updated,
            deleted: self.deleted + next.deleted,
            unchanged: self.unchanged + next.unchanged,
        }
    }

    /// Older builds have stored negative counts; such a count reads as 0, because no load depends on it.
    pub(super) fn read(row: &Record) -> Result<Self, MssqlError> {
        let count = |name: &str| Ok::<_, MssqlError>(u64::try_from(row.int(name)?).unwrap_or(0));
        Ok(Self {
            inserted: count("inserted")?,
            updated: count("updated")?,
            deleted: count("deleted")?,
            unchanged: count("unchanged")?,
        })
    }
}

/// A load that was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Applied {
    pub counts: LoadCounts,
    /// Rows of the target that the whole snapshot does not have; 0 where they were not counted.
    pub target_only: u64,
}

/// How a load is applied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoadOptions {
    pub mode: MergeMode,
    pub statement: UpsertStatement,
    pub deletes: Deletes,
    /// Of `scd2`.
    pub valid_from: Option<ValidFrom>,
    /// Position of a column whose greater value is in the newer of two rows that had one key at the source.
    pub newest: Option<usize>,
    /// Whether deletes may have been staged.
    pub has_deletes: bool,
    /// How many segments may have been staged.
    pub segments: u32,
    /// How many rows were staged.
    pub staged_rows: u64,
    pub held: Held,
    /// Every row of the snapshot was staged.
    pub whole: bool,
    /// Every row is to be loaded if this load is interrupted between two of its steps: all were staged, or a load of
    /// all rows was interrupted before, or `--full` loads them next.
    pub is_promised: bool,
    /// The net changes get a table of their own.
    pub has_net: bool,
    /// Net changes that one transaction applies at most; 0: all.
    pub batch_rows: u64,
    /// Net changes are found by their number.
    pub is_numbered: bool,
}

/// The transaction for a staged load. The target has passed [`inspect::check`](super::inspect::check) with the same
/// mode.
pub fn plan(
    lake: &LakeColumns,
    target: &TargetTable,
    staging: &StagingTable,
    options: &LoadOptions,
) -> MergePlan {
    let schema = &lake.schema;
    let mut columns = Vec::new();
    let mut key = vec![None; schema.key.as_ref().map_or(0, |key| key.columns.len())];
    for (at, column) in schema.columns.iter().enumerate() {
        let (Some(kept), Some(staged)) = (target.writable(&column.name), staging.columns.get(at))
        else {
            continue;
        };
        let place = schema.key.iter().flat_map(|key| key.columns.iter());
        if let Some(ordinal) = place.clone().position(|&key_at| key_at == at) {
            key[ordinal] = Some(columns.len());
        }
        columns.push(merge::MergeColumn {
            name: kept.name.clone(),
            ty: kept.ty,
            staged: staged.name.clone(),
            staged_ty: staged.ty,
            staged_nullable: staged.nullable,
            collation: target.collation(kept.name).cloned(),
            identity: kept.identity,
            base_types: staged.base_type.clone().map(|staged| merge::BaseTypes {
                staged,
                found: Vec::new(),
            }),
        });
    }
    MergePlan {
        target: target.name().clone(),
        staging: staging.name.clone(),
        operation: staging.operation.clone(),
        segment: staging.segment.clone(),
        net: options
            .has_net
            .then(|| net_table(&columns, target, staging, options)),
        columns,
        key: key.into_iter().flatten().collect(),
        mode: options.mode,
        statement: options.statement,
        deletes: named(&options.deletes, target),
        validity: options
            .valid_from
            .and_then(|from| validity::plan(lake, target, staging, from)),
        newest: options
            .newest
            .filter(|_| keys_are_the_source_s(schema, target))
            .and_then(|at| Some(staging.columns.get(at)?.name.clone())),
        has_deletes: options.has_deletes,
        segments: options.segments,
        staged_rows: options.staged_rows,
        held: options.held,
        whole: options.whole,
        keys_are_the_source_s: keys_are_the_source_s(schema, target),
        references_itself: target.references_itself(),
        deferred: Vec::new(),
        has_unique_key: target.has_unique_key(schema),
        faults: None,
        lock: lock_name("apply", target.name()),
        lock_timeout_ms: LOCK_TIMEOUT_MS,
    }
}

/// The table of the net changes, which is empty yet.
fn net_table(
    columns: &[merge::MergeColumn],
    target: &TargetTable,
    staging: &StagingTable,
    options: &LoadOptions,
) -> NetTable {
    NetTable {
        name: TableName {
            name: format!("{}_net", staging.name.name),
            ..staging.name.clone()
        },
        row: merge::free_name(columns, "_row", &staging.operation),
        is_stepped: options.is_numbered
            || options.batch_rows > 0
                && options.staged_rows > options.batch_rows
                && !target.references_itself(),
        rows: 0,
        upserts: 0,
        part: None,
    }
}

/// The columns of soft deletes as the target writes their names.
fn named(deletes: &Deletes, target: &TargetTable) -> Deletes {
    match deletes {
        Deletes::Soft(soft) => Deletes::Soft(SoftDeletes {
            column: target.name_of(&soft.column),
            at: soft.at.as_ref().map(|at| target.name_of(at)),
        }),
        Deletes::Hard => Deletes::Hard,
        Deletes::Ignore => Deletes::Ignore,
    }
}

/// Computes the net changes of what was staged; nothing to do where the plan has no table for them.
pub async fn settle(control: &mut Control, plan: &mut MergePlan) -> Result<(), TargetError> {
    let Some(mut table) = plan.net.clone() else {
        return Ok(());
    };
    let sets = control
        .query_sets(&net::net_changes(plan, &table), Class::LONG)
        .await
        .map_err(|error| explained(&plan.target, &plan.lock, plan.lock_timeout_ms, error))?;
    let row = sets.last().and_then(|rows| rows.first());
    let counts = |row: &Record| {
        let count = |name| Ok::<_, MssqlError>(u64::try_from(row.int(name)?).unwrap_or(0));
        Ok((count("upserts")?, count("deletes")?))
    };
    let counted = row.ok_or_else(|| MssqlError::Shape("no counts".into()));
    let (upserts, deletes) = counted
        .and_then(counts)
        .map_err(|error| TargetError::on("computing the net changes of", &plan.target, error))?;
    table.upserts = upserts;
    table.rows = upserts + deletes;
    plan.net = Some(table);
    Ok(())
}

/// The transactions that apply a settled load: one, or steps of `batch_rows` rows.
/// `is_whole`: after an interruption every row of the snapshot is to be loaded.
pub fn steps(plan: &MergePlan, batch_rows: u64, is_whole: bool) -> Vec<Option<Step>> {
    let rows = match &plan.net {
        Some(net) if net.is_stepped && batch_rows > 0 && net.rows > batch_rows => net.rows,
        Some(_) | None => return vec![None],
    };
    (0..rows.div_ceil(batch_rows))
        .map(|at| {
            Some(Step {
                after: at * batch_rows,
                to: rows.min((at + 1) * batch_rows),
                rows,
                is_whole,
            })
        })
        .collect()
}

/// Whether keys are equal in the target exactly where they are equal in the source, which lets no two rows have equal
/// keys.
pub fn keys_are_the_source_s(schema: &TableSchema, target: &TargetTable) -> bool {
    let enforced = schema.key.as_ref().is_some_and(|key| match key.origin {
        KeyOrigin::PrimaryKey | KeyOrigin::UniqueIndex(_) => true,
        KeyOrigin::Config => false,
    });
    enforced
        && schema.key_columns().all(|column| {
            let collation = |of: Option<&Collation>| of.map(|collation| collation.name.clone());
            target.ty(&column.name) == Some(column.ty.copied())
                && collation(target.collation(&column.name)) == collation(column.collation.as_ref())
        })
}

/// Asks which base types the staged `sql_variant` values have: the transaction can only name types that it knows
/// beforehand.
pub async fn learn_base_types(
    control: &mut Control,
    plan: &mut MergePlan,
) -> Result<(), TargetError> {
    let failed = |error| TargetError::on("looking into the staging table of", &plan.target, error);
    for column in &mut plan.columns {
        let Some(types) = &mut column.base_types else {
            continue;
        };
        let statement = variant::staged_types(&plan.staging, &types.staged);
        let sets = control
            .query_sets(&statement, Class::LONG)
            .await
            .map_err(failed)?;
        let mut problems = Vec::new();
        for row in sets.first().into_iter().flatten() {
            let text = row.text("base_type").map_err(failed)?;
            match BaseType::parse(text) {
                Some(base) => types.found.push(base),
                None => problems.push(format!(
                    "column {} holds a value of {text:?}, which is no base type of a sql_variant",
                    column.name
                )),
            }
        }
        if types.found.len() > BASE_TYPES_MAX {
            problems.push(format!(
                "column {} holds values of {} base types, and one statement takes {BASE_TYPES_MAX}: load fewer \
                    snapshots at a time",
                column.name,
                types.found.len()
            ));
        }
        if !problems.is_empty() {
            return Err(TargetError::Unfit {
                target: plan.target.clone(),
                problems,
            });
        }
        types.found.sort_by_key(ToString::to_string);
    }
    Ok(())
}

/// Applies the staged rows and moves the load state in one transaction: both or neither. Or a part of that, in a
/// transaction that is open. An ambiguous error (the
/// reply was lost) is resolved by [`state::resolve`](super::state::resolve) on a new connection.
pub async fn apply(
    control: &mut Control,
    plan: &MergePlan,
    state: &StateChange,
    extent: Extent,
) -> Result<Applied, TargetError> {
    let class = match extent {
        Extent::Transaction => Class::COMMIT,
        Extent::Everything | Extent::Upserts | Extent::Deferred | Extent::Deletes => Class::LONG,
    };
    let sets = control
        .query_sets(&merge::apply(plan, state, extent), class)
        .await
        .map_err(|error| match error.number() {
            Some(2601 | 2627) if !plan.mode.has_one_row_per_key() => TargetError::KeyConflict {
                target: plan.target.clone(),
                source: Box::new(error),
            },
            Some(_) | None => {
                let error = explained(&plan.target, &plan.lock, plan.lock_timeout_ms, error);
                with_aside(error, plan, extent)
            }
        })?;
    applied(&sets, &plan.target)
}

/// A load that stopped at a refused row names the quarantine, which takes an upsert of one table.
fn with_aside(error: TargetError, plan: &MergePlan, extent: Extent) -> TargetError {
    let alone = ", or set `merge: { on_bad_row: quarantine }`, which sets the row aside and loads the others";
    let grouped = ", or set `merge: { on_bad_row: quarantine }` and `load: { group: none }`, which loads the tables \
        one by one and sets the row aside";
    match (error, plan.mode) {
        (TargetError::Constraint { target, source, .. }, MergeMode::Upsert) => {
            let aside = match extent {
                Extent::Transaction => alone,
                Extent::Everything | Extent::Upserts | Extent::Deferred | Extent::Deletes => {
                    grouped
                }
            };
            TargetError::Constraint {
                target,
                aside,
                source,
            }
        }
        (error, _) => error,
    }
}

/// The counts are the last statement's; whatever triggers of the target return comes before.
pub(super) fn applied(sets: &[Vec<Record>], target: &TableName) -> Result<Applied, TargetError> {
    let row = sets.last().and_then(|rows| rows.first());
    let applied = |row: &Record| {
        Ok(Applied {
            counts: LoadCounts::read(row)?,
            target_only: u64::try_from(row.int("target_only")?).unwrap_or(0),
        })
    };
    row.ok_or_else(|| MssqlError::Shape("no counts".into()))
        .and_then(applied)
        .map_err(|error| TargetError::on("applying the load of", target, error))
}

/// What a refusal of a load's transaction means.
pub(super) fn explained(
    target: &TableName,
    lock: &str,
    lock_timeout_ms: u32,
    error: MssqlError,
) -> TargetError {
    let target = target.clone();
    let (example, whole) = match &error {
        MssqlError::Server(server) => (server.message.to_string(), server.message.whole()),
        _ => (String::new(), ""),
    };
    // The message is the key.
    let key = || RowValue(whole.to_owned());
    match error.number() {
        Some(merge::ERROR_LOCKED) => TargetError::Locked {
            target,
            lock: lock.to_owned(),
            seconds: lock_timeout_ms / 1000,
        },
        Some(ERROR_STATE_MOVED) => TargetError::StateMoved { target },
        Some(ERROR_TRANSACTION_ENDED | ENDED_IN_TRIGGER) => TargetError::TransactionEnded {
            target,
            source: Box::new(error),
        },
        Some(merge::ERROR_NOT_EMPTY) => TargetError::NotEmpty { target },
        Some(merge::ERROR_KEY_TWICE) => TargetError::KeyTwice {
            target,
            example: key(),
        },
        Some(merge::ERROR_RECREATED) => TargetError::Recreated { target },
        Some(merge::ERROR_DUPLICATE_KEY) => TargetError::DuplicateKey {
            target,
            example: key(),
        },
        Some(merge::ERROR_STAGED_ROWS) => TargetError::StagedRows { target, example },
        Some(merge::ERROR_NULL_KEY) => TargetError::NullKey { target },
        Some(CONSTRAINT) => TargetError::Constraint {
            target,
            aside: "",
            source: Box::new(error),
        },
        Some(merge::ERROR_LOST_CHARACTER) => TargetError::LostCharacter { target, example },
        Some(_) | None => TargetError::on("applying the load of", &target, error),
    }
}
