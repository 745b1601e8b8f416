//! The target's columns follow the lake's.
//!
//! **What is done.** A column that is new in the lake since the last load is added, NULL allowed; one that is called
//! otherwise is renamed; one whose values no longer fit is made wider, or lets NULL in. Nothing is dropped or narrowed:
//! a column that the source dropped stays and gets NULL in the rows that are written from then on. A target that was
//! never loaded from this lake table is nobody's to alter: there every difference is a problem that
//! [`check`](super::inspect::check) names. Columns that only the target has, for the mode of the load, are added as
//! well.
//!
//! **What can crash where.** The steps are statements of their own, each all or nothing, before anything is staged,
//! under the load lock. (A `datetime` becomes `datetime2` in two statements; the first alone makes it `datetime2(3)`,
//! which the next load finds too narrow.) They are found by comparing names and types of the lake table as last loaded,
//! as it is to be loaded, and of the target as it is. So those that a dead load has done are not found again, and the
//! next load goes on with the rest. The load state moves only with the rows.
//!
//! **Renames** are known by the lake's field ids, whether the source or the configuration has renamed a column. A
//! target column is renamed when it has the old name and no column has the new one. Where both exist and nothing tells
//! whether the rename was done (two columns exchanged names, say) the load is refused, as it could write values under
//! another column's name; a full load writes every row and needs no answer.

use super::TargetError;
use super::columns::LakeColumns;
use super::inspect::{TargetColumn, TargetTable, fits};
use crate::error::Disposition;
use crate::mssql::control::{Class, Control};
use crate::mssql::error::MssqlError;
use crate::mssql::sql::{Statement, define};
use crate::schema::drift::{ChangeKind, SchemaChange};
use crate::schema::{Column, Generated, SqlType, TableName};

/// How long an ALTER waits for the target, while those who come after it wait too.
const LOCK_TIMEOUT_MS: u32 = 60_000;
/// A lock was not granted in that time.
const LOCK_TIMED_OUT: u32 = 1222;

/// Lets a target follow that icesync has created and not loaded yet. Such a target has no snapshot that would tell what
/// its columns were called, and no rows: columns are known by name.
pub fn know_by_name(columns: &mut LakeColumns, target: &TargetTable) {
    let known = columns
        .schema
        .columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let recorded = columns.recorded_names.get(at).and_then(Option::as_ref);
            let names = recorded.into_iter().chain(columns.lake_names.get(at));
            let mut names = names.chain([&column.name]);
            names.find(|name| target.has_column(name)).cloned()
        });
    columns.was = Some(known.collect());
}

/// One change of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Rename {
        from: String,
        to: String,
    },
    Add(Column),
    /// The column as it is to be, and what it was.
    Widen {
        column: Column,
        was: SqlType,
        was_nullable: bool,
    },
}

impl Step {
    /// What does it.
    pub fn statement(&self, target: &TableName) -> Statement {
        match self {
            Step::Rename { from, to } => define::rename_column(target, from, to),
            Step::Add(column) => define::add_column(target, column),
            Step::Widen { column, was, .. } => {
                define::widen_column(target, column, *was, column.nullable)
            }
        }
    }

    /// What a report says of it.
    pub fn change(&self) -> SchemaChange {
        let (column, change, detail) = match self {
            Step::Rename { from, to } => (to, ChangeKind::Renamed, format!("was {from}")),
            Step::Add(column) => (
                &column.name,
                ChangeKind::Added,
                format!(
                    "added to the target, {}",
                    declared(column.ty, column.nullable)
                ),
            ),
            Step::Widen {
                column,
                was,
                was_nullable,
            } => (
                &column.name,
                if column.ty == *was {
                    ChangeKind::Nullable
                } else {
                    ChangeKind::Widened
                },
                format!(
                    "was {} in the target, is {}",
                    declared(*was, *was_nullable),
                    declared(column.ty, column.nullable)
                ),
            ),
        };
        SchemaChange {
            column: column.clone(),
            change,
            detail,
        }
    }
}

fn declared(ty: SqlType, nullable: bool) -> String {
    format!("{ty} {}", if nullable { "NULL" } else { "NOT NULL" })
}

/// What the target lacks, and the target as it then is. With `full`, every row will be written: no old value has to
/// be told from another.
pub fn steps(
    columns: &LakeColumns,
    target: &TargetTable,
    full: bool,
) -> Result<(Vec<Step>, TargetTable), TargetError> {
    let mut target = target.clone();
    let mut steps = Vec::new();
    let Some(was) = &columns.was else {
        return Ok((steps, target));
    };
    let renamed = columns.schema.columns.iter().zip(was);
    let renamed = renamed.filter_map(|(column, was)| Some((was.as_deref()?, &*column.name)));
    let stuck = rename(columns, renamed.collect(), &mut target, &mut steps);
    if !stuck.is_empty() && !full {
        return Err(TargetError::Unfit {
            target: target.name().clone(),
            problems: stuck,
        });
    }
    for (at, (column, was)) in columns.schema.columns.iter().zip(was).enumerate() {
        match target.column_mut(&column.name) {
            Some(kept) => steps.extend(widen(column, kept)),
            None if was.is_none() && at < columns.live => {
                let added = Column {
                    nullable: true,
                    generated: Generated::No,
                    ..column.clone()
                };
                target.columns.push(TargetColumn::planned(&added));
                steps.push(Step::Add(added));
            }
            // The target's owner dropped it, or it came and went since the last load.
            None => {}
        }
    }
    for own in &columns.own {
        if target.has_column(&own.name) {
            continue;
        }
        let added = Column {
            nullable: own.generated != Generated::Flag,
            ..own.clone()
        };
        target.columns.push(TargetColumn::planned(&added));
        steps.push(Step::Add(added));
    }
    Ok((steps, target))
}

/// Renames what can be renamed, in passes, so that a name is free before another column takes it; answers what is
/// left over.
fn rename(
    columns: &LakeColumns,
    mut pending: Vec<(&str, &str)>,
    target: &mut TargetTable,
    steps: &mut Vec<Step>,
) -> Vec<String> {
    pending.retain(|(old, new)| !old.eq_ignore_ascii_case(new));
    loop {
        let at_first = target.clone();
        let olds: Vec<&str> = pending.iter().map(|(old, _)| *old).collect();
        let is_settled = |old: &str, new: &str| {
            let will_leave = olds.iter().any(|other| other.eq_ignore_ascii_case(new));
            let old_is_another = columns.schema.position(old).is_some();
            match (at_first.has_column(old), at_first.has_column(new)) {
                (true, true) => old_is_another && !will_leave,
                (false, true) | (false, false) => true,
                (true, false) => false,
            }
        };
        let before = pending.len();
        pending.retain(|&(old, new)| {
            if at_first.has_column(old)
                && !at_first.has_column(new)
                && let Some(kept) = target.column_mut(old)
            {
                steps.push(Step::Rename {
                    from: kept.name.clone(),
                    to: new.to_owned(),
                });
                kept.name = new.to_owned();
                return false;
            }
            !is_settled(old, new)
        });
        if pending.len() == before {
            break;
        }
    }
    let stuck = pending.iter().map(|(old, new)| {
        format!(
            "column {old} is called {new} now, and the target has columns of both names, so it is not known which one \
                has its values: `icesync load --full` writes every row under the new names"
        )
    });
    stuck.collect()
}

/// Makes a column of the target take every value of the lake's, where every value that it has stays as it is.
fn widen(wanted: &Column, kept: &mut TargetColumn) -> Option<Step> {
    let ty = *kept.ty.as_ref().ok()?;
    if kept.is_filled_by_server() {
        return None;
    }
    let have = (ty, kept.collation.as_ref());
    let needs_room = !fits((wanted.ty, wanted.collation.as_ref()), have);
    let needs_null = wanted.nullable && !kept.nullable && kept.generated != Generated::Identity;
    if !needs_room && !needs_null {
        return None;
    }
    let mut column = Column {
        id: kept.id,
        name: kept.name.clone(),
        ty,
        nullable: kept.nullable || wanted.nullable,
        collation: kept.collation.clone(),
        generated: kept.generated,
    };
    if needs_room {
        column.ty = wanted.ty.copied();
        // The target compares by its own collation and goes on to do so.
        let own = kept.collation.clone().or_else(|| wanted.collation.clone());
        column.collation = own.filter(|_| column.ty.is_text());
        let new = (column.ty, column.collation.as_ref());
        if !fits(have, new) || !fits((wanted.ty, wanted.collation.as_ref()), new) {
            return None;
        }
    }
    let was_nullable = kept.nullable;
    kept.ty = Ok(column.ty);
    kept.nullable = column.nullable;
    kept.collation.clone_from(&column.collation);
    Some(Step::Widen {
        column,
        was: ty,
        was_nullable,
    })
}

/// Takes one step. Only under [`lock`](super::staging::lock).
pub async fn take(
    control: &mut Control,
    target: &TableName,
    step: &Step,
) -> Result<(), TargetError> {
    let statement = step.statement(target);
    let altered = control
        .run(&define::alter(&statement, LOCK_TIMEOUT_MS), Class::LONG)
        .await;
    altered.map_err(|error| not_altered(target, &statement, error))
}

fn not_altered(target: &TableName, statement: &Statement, error: MssqlError) -> TargetError {
    match (error.number(), error.disposition()) {
        (Some(LOCK_TIMED_OUT), _) => TargetError::InUse {
            target: target.clone(),
            statement: statement.by_hand(),
            seconds: LOCK_TIMEOUT_MS / 1000,
            source: Box::new(error),
        },
        (_, Disposition::Definite) => TargetError::Alter {
            target: target.clone(),
            statement: statement.by_hand(),
            source: Box::new(error),
        },
        (_, Disposition::Transient | Disposition::Ambiguous | Disposition::Interrupted) => {
            TargetError::on("altering", target, error)
        }
    }
}

/// The refusal of a configuration that lets no target be altered.
pub fn refused(target: &TableName, steps: &[Step]) -> TargetError {
    let statements: Vec<String> = steps
        .iter()
        .map(|step| step.statement(target).by_hand())
        .collect();
    TargetError::MayNotFollow {
        target: target.clone(),
        statements: statements.join(" "),
    }
}

#[cfg(test)]
mod tests;
