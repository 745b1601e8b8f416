//! Rows that a target refuses are set aside, and the rest of the load goes on.
//!
//! # The transaction
//!
//! A load that may set rows aside has computed its net changes into a table of their own, with numbered rows. Its
//! transaction takes several round trips instead of one:
//!
//! 1. It takes the apply lock, compares the load state and says in it that the load has begun, and counts the net
//!    changes, as every load does.
//! 2. All rows are applied by one statement. If that fails with an error that a row can cause (`refusal.rs`), the
//!    statement is undone, and parts of the rows are tried instead, until the refused rows are known. `search.rs`
//!    argues why no good row is set aside and no bad one loaded. Any other error ends the load.
//! 3. What the quarantine had of the keys among the net changes is removed, and the refused rows are put into it.
//! 4. The target is compared with the table that the load was prepared for, the counts and the new snapshot are written
//!    into the load state, the table of net changes is dropped, and the transaction is committed.
//!
//! So rows, load state and quarantine are one commit. A death before it leaves nothing of the load but a table that
//! the next load drops; after it the next load finds the new state. A lost reply to the commit is resolved by the
//! load state, as of every load ([`state::resolve`](super::state::resolve)). No other session sees a part that was
//! tried and undone. Triggers run for such a part, too, and what they have done in the database is undone with it.
//! Numbers that they have drawn from an identity or a sequence are not given back.
//!
//! The transaction of a load that sets nothing aside does the same in one round trip ([`merge::apply`]). It serves as
//! long as the quarantine has nothing of the target. Otherwise this one is used, although rows may not be set aside:
//! a refused row stops the load then, and a loaded one leaves the quarantine.
//!
//! A transaction that a trigger has committed, or ended to begin another one, stops the load (`mssql/sql/state.rs`).
//! One that a refusal has ended (a trigger rolls back, or raises an error) is begun again. The accepted parts
//! are applied again in their order, as the same statements. Rows that were accepted and are refused then have met a
//! change of another session; the load is begun again.
//!
//! All rows share one transaction, however many there are. A row is refused or accepted by what the target holds, so
//! a step of a load would set aside a row whose parent comes with the next step.
//!
//! # What the quarantine says
//!
//! Let the load state name snapshot L. For each key in the quarantine, the target has not the row of L, but the row
//! that it had before, or none. Its record has the row of L (or says that L has no row of that key), and why it was
//! refused. For every other key the load state says what the target has (`sync/load/kind.rs`):
//!
//! - A load of what has changed since L takes the keys that it brings out of the quarantine, and puts those that the
//!   target refuses into it. The key's row of L and of the new snapshot are the same for every other key, so its
//!   record stays right.
//! - A load of a whole snapshot tries every row, and the deletes that are in the quarantine. The quarantine has then
//!   what it refused.
//! - Where the target is missing, the quarantine says nothing of it. The transaction that makes a new target empties
//!   it. What comes next is a whole load.
//!
//! Keys are compared as the target compares them. So a key that comes back in another spelling leaves the quarantine,
//! too. And the row that the target has of a key in the quarantine may have the key in an earlier spelling, so a delete
//! of that key takes the row as it is spelled there.

mod key;
mod refusal;
mod search;
mod trial;

pub use key::Values;

use super::TargetError;
use super::merge::{self, Applied, LoadCounts, MergePlan, StateChange, explained};
use crate::mssql::control::{Cell, Class, Control, Record};
use crate::mssql::error::{MssqlError, ServerError, ServerMessage};
use crate::mssql::sql::merge::{ERROR_LOST_CHARACTER, Faults, NetTable};
use crate::mssql::sql::part::Part;
use crate::mssql::sql::quarantine::Refused;
use crate::mssql::sql::{Statement, aside, define, quarantine};
use crate::schema::{SqlType, TableName};
use crate::secret::{JsonProblem, values_are_shown};
use refusal::is_by_a_row;
use search::Search;
use std::collections::BTreeMap;
use std::fmt;
use trial::Trial;

/// How long a look into the quarantine waits for a load that is in its transaction.
const LOOK_TIMEOUT_MS: u32 = 10_000;
/// A lock was not granted in time.
const LOCK_TIMEOUT: u32 = 1222;
/// Rows beyond the allowed ones that may wait for others while a load is searched.
const WAITING_MAX: u64 = 1000;
/// Parts that are tried for each row that may be set aside.
const ATTEMPTS: u64 = 100;
/// Refused rows that an error names.
const EXAMPLES: usize = 5;
/// Parameters of one statement; the server takes 2100.
const PARAMETERS_MAX: usize = 2000;
/// Characters of an error message that are kept.
const MESSAGE_CHARACTERS: usize = 2000;

/// What a load may set aside, and what is in the quarantine before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    /// Rows that may be set aside; none: a refused row stops the load.
    pub rows_max: Option<u64>,
    pub records: Vec<Quarantined>,
}

/// A row in the quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    pub id: i64,
    /// The values of its key, as `key.rs` writes them.
    pub key: String,
    /// The lake has no row of this key, and the target keeps one.
    pub is_delete: bool,
    pub error_number: i64,
    pub error_message: String,
    pub lake_table: String,
    /// The snapshot that brought it.
    pub snapshot_id: i64,
    pub sequence_number: i64,
    pub run_id: String,
    /// UTC, ISO 8601.
    pub quarantined_at: String,
}

/// A load whose transaction has everything but its commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prepared {
    pub applied: Applied,
    /// Rows that it has put into the quarantine.
    pub refused: u64,
}

/// A value that the target cannot keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    row: u64,
    why: Why,
}

/// Why a row is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Why {
    number: u32,
    message: String,
    /// The message is icesync's own, and quotes no value.
    is_own: bool,
}

impl Aside {
    /// Whether deletes are in the quarantine, which a load of a whole snapshot tries again.
    pub fn has_deletes(&self) -> bool {
        self.records.iter().any(|record| record.is_delete)
    }
}

/// Creates the table of the quarantine where it is missing. Schema `icesync` is there.
pub async fn ensure(control: &mut Control) -> Result<(), TargetError> {
    let created = control
        .run(&quarantine::create_quarantine(), Class::QUICK)
        .await;
    created.map_err(|source| TargetError::Server {
        doing: "creating the quarantine in",
        target: define::OWN_SCHEMA.to_owned(),
        source: Box::new(source),
    })
}

/// What the quarantine has of a target, the oldest first. One round trip; changes nothing.
pub async fn records(
    control: &mut Control,
    target: &TableName,
) -> Result<Vec<Quarantined>, TargetError> {
    let statement = quarantine::quarantined(&target.to_string(), LOOK_TIMEOUT_MS);
    let rows = looked(control, target, &statement).await?;
    let records: Result<_, MssqlError> = rows.iter().map(Quarantined::read).collect();
    records.map_err(|error| TargetError::on(LOOKING, target, error))
}

const LOOKING: &str = "looking into the quarantine of";

async fn looked(
    control: &mut Control,
    target: &TableName,
    statement: &Statement,
) -> Result<Vec<Record>, TargetError> {
    let sets = control.query_sets(statement, Class::QUICK).await;
    let sets = sets.map_err(|error| match error.number() {
        Some(LOCK_TIMEOUT) => TargetError::Locked {
            target: target.clone(),
            lock: "its rows in icesync.quarantine".to_owned(),
            seconds: LOOK_TIMEOUT_MS / 1000,
        },
        Some(_) | None => TargetError::on(LOOKING, target, error),
    })?;
    Ok(sets.into_iter().next().unwrap_or_default())
}

/// The values of a row in the quarantine; none when it is not there any more.
pub async fn values(
    control: &mut Control,
    target: &TableName,
    id: i64,
) -> Result<Option<Values>, TargetError> {
    let failed = |error| TargetError::on(LOOKING, target, error);
    let statement = quarantine::quarantined_row(&target.to_string(), id);
    let rows = control.query(&statement).await.map_err(failed)?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let text = row.text("row").map_err(failed)?;
    let values = serde_json::from_str(text);
    let values = values.map_err(|error| {
        let problem = JsonProblem::from(error);
        failed(MssqlError::Shape(problem.to_string()))
    })?;
    Ok(Some(values))
}

/// Removes rows of a target from the quarantine, by their ids.
pub async fn discard(
    control: &mut Control,
    target: &TableName,
    ids: &[i64],
) -> Result<(), TargetError> {
    for ids in ids.chunks(PARAMETERS_MAX - 1) {
        let discarded = quarantine::discard_rows(&target.to_string(), ids);
        run(control, target, &discarded).await?;
    }
    Ok(())
}

/// Removes all rows of a target from the quarantine.
pub async fn discard_all(control: &mut Control, target: &TableName) -> Result<(), TargetError> {
    run(
        control,
        target,
        &quarantine::discard_all(&target.to_string()),
    )
    .await
}

async fn run(
    control: &mut Control,
    target: &TableName,
    statement: &Statement,
) -> Result<(), TargetError> {
    let ran = control.run(statement, Class::LONG).await;
    ran.map_err(|error| TargetError::on("changing the quarantine of", target, error))
}

/// Computes the net changes, as [`merge::settle`] does. Where a value cannot be kept and rows may be set aside, the
/// rows with such values are marked, and answered here.
pub async fn settle(
    control: &mut Control,
    plan: &mut MergePlan,
    aside: &Aside,
) -> Result<Vec<Fault>, TargetError> {
    let error = match merge::settle(control, plan).await {
        Ok(()) => return Ok(Vec::new()),
        Err(error) => error,
    };
    let number = match &error {
        TargetError::LostCharacter { .. } => Some(ERROR_LOST_CHARACTER),
        TargetError::Server { source, .. } => source.number(),
        _ => None,
    };
    let number = number.filter(|&number| is_by_a_row(number, &[]));
    let (Some(number), Some(rows_max), Some(net)) = (number, aside.rows_max, plan.net.clone())
    else {
        return Err(error);
    };
    let name = |wanted| plan.free_name(wanted);
    plan.faults = Some(Faults {
        column: name("_fault"),
        value: name("_value"),
    });
    run(control, &plan.target, &define::drop_table(&net.name)).await?;
    merge::settle(control, plan).await?;
    let net = net_of(plan)?;
    let failed = |error| TargetError::on("looking for values that do not fit", &plan.target, error);
    let faulty = aside::faulty_rows(plan, &net, rows_max + WAITING_MAX);
    let rows = control.query_sets(&faulty, Class::LONG).await;
    let rows = rows.map_err(failed)?.into_iter().next();
    let fault = |record: &Record| {
        let at = usize::try_from(record.int("column_number")?).unwrap_or(0);
        let column = plan.columns.get(at.wrapping_sub(1));
        Ok(Fault {
            row: u64::try_from(record.int("row")?).unwrap_or(0),
            why: Why::of_column(
                number,
                column.map(|column| (column.name.as_str(), &column.ty)),
            ),
        })
    };
    let faults: Result<_, MssqlError> = rows.iter().flatten().map(fault).collect();
    faults.map_err(failed)
}

fn net_of(plan: &MergePlan) -> Result<NetTable, TargetError> {
    plan.net.clone().ok_or_else(|| {
        let error = MssqlError::Shape("the load has no table of net changes".into());
        TargetError::on("applying the load of", &plan.target, error)
    })
}

/// Applies a settled load and leaves the transaction open: only [`commit`] is missing. After an error nothing has
/// happened, once the session is closed.
pub async fn prepare(
    control: &mut Control,
    plan: &MergePlan,
    change: &StateChange,
    aside: &Aside,
    faults: Vec<Fault>,
) -> Result<Prepared, TargetError> {
    let mut net = net_of(plan)?;
    if plan.whole && aside.has_deletes() {
        net.rows += add_deletes(control, plan, &net, aside).await?;
    }
    if plan.has_deletes {
        respell_deletes(control, plan, &net, aside).await?;
    }
    let rows = Part::all(net.rows).without(faults.iter().map(|fault| fault.row));
    let mut refused: BTreeMap<u64, Why> = faults
        .into_iter()
        .map(|fault| (fault.row, fault.why))
        .collect();
    let mut trial = Trial::new(control, plan, net.clone(), change);
    let allowed = aside.rows_max.unwrap_or(0);
    if refused.len() as u64 <= allowed {
        refused.extend(search(&mut trial, plan, &rows, aside).await?);
    }
    if refused.len() as u64 > allowed {
        let control = trial.session();
        let examples = examples(control, plan, &net, &refused).await?;
        return Err(TargetError::TooManyRefused {
            target: plan.target.clone(),
            refused: refused.len() as u64,
            rows_max: allowed,
            examples,
        });
    }
    trial.opened().await?;
    let counts = trial.counts();
    let control = trial.session();
    if !aside.records.is_empty() {
        clear(control, plan, &net, change, aside).await?;
    }
    for (&row, why) in &refused {
        let kept = refused_row(control, plan, &net, row, why).await?;
        run(
            control,
            &plan.target,
            &quarantine::keep_refused(change, &kept),
        )
        .await?;
    }
    let target_only = close(control, plan, &net, change, &counts).await?;
    Ok(Prepared {
        applied: Applied {
            counts,
            target_only,
        },
        refused: refused.len() as u64,
    })
}

/// Ends the transaction of a prepared load. A lost reply is ambiguous.
pub async fn commit(control: &mut Control, target: &TableName) -> Result<(), TargetError> {
    let committed = control.run(&aside::commit_load(), Class::COMMIT).await;
    committed.map_err(|error| TargetError::on("committing the load of", target, error))
}

/// The rows that the target refuses; all others are applied. With more rows than may be set aside, some of them.
async fn search(
    trial: &mut Trial<'_>,
    plan: &MergePlan,
    rows: &Part,
    aside: &Aside,
) -> Result<BTreeMap<u64, Why>, TargetError> {
    let mut search = Search::of(rows);
    while let Some(part) = search.next_part() {
        let Some(error) = trial.try_part(&part).await? else {
            search.accepted(&part);
            continue;
        };
        let Some(rows_max) = aside.rows_max else {
            let MergePlan {
                target,
                lock,
                lock_timeout_ms,
                ..
            } = plan;
            let error = MssqlError::Server(Box::new(error));
            return Err(explained(target, lock, *lock_timeout_ms, error));
        };
        let (target, rows) = (&plan.target, part.rows());
        tracing::debug!(
            "{target}: one of {rows} rows is refused (error {})",
            error.number
        );
        search.refused(&part, Why::of(&error));
        if trial.attempts() > ATTEMPTS * (rows_max + ATTEMPTS) {
            return Err(TargetError::Inseparable {
                target: plan.target.clone(),
                attempts: trial.attempts(),
                source: Box::new(MssqlError::Server(Box::new(error))),
            });
        }
        if search.waiting() > rows_max + WAITING_MAX {
            break;
        }
    }
    Ok(search.into_refused())
}

impl Why {
    fn of(error: &ServerError) -> Self {
        Self {
            number: error.number,
            message: error
                .message
                .whole()
                .chars()
                .take(MESSAGE_CHARACTERS)
                .collect(),
            is_own: false,
        }
    }

    /// A column, by name and type, cannot keep a value; the number is that of the error that it would be.
    fn of_column(number: u32, column: Option<(&str, &SqlType)>) -> Self {
        let named = column.map(|(name, ty)| format!("column {name} ({ty})"));
        Self {
            number,
            message: format!(
                "{} cannot keep the value",
                named.unwrap_or_else(|| "a column".to_owned())
            ),
            is_own: true,
        }
    }
}

/// Without the values that the server quotes, unless they are asked for.
impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            number, message, ..
        } = self;
        match self.is_own {
            true => write!(f, "error {number}: {message}"),
            false => write!(
                f,
                "error {number}: {}",
                ServerMessage::new(*number, message)
            ),
        }
    }
}

/// The first refused rows, for an error. Their keys are read only to be shown.
async fn examples(
    control: &mut Control,
    plan: &MergePlan,
    net: &NetTable,
    refused: &BTreeMap<u64, Why>,
) -> Result<Vec<String>, TargetError> {
    let mut examples = Vec::new();
    for (&row, why) in refused.iter().take(EXAMPLES) {
        examples.push(match values_are_shown() {
            true => {
                let kept = refused_row(control, plan, net, row, why).await?;
                format!("{} ({why})", kept.key)
            }
            false => why.to_string(),
        });
    }
    Ok(examples)
}

/// A row of the net changes, as the quarantine keeps it.
async fn refused_row(
    control: &mut Control,
    plan: &MergePlan,
    net: &NetTable,
    row: u64,
    why: &Why,
) -> Result<Refused, TargetError> {
    let failed = |error| TargetError::on("reading a refused row of", &plan.target, error);
    let statement = aside::row_text(plan, net, row);
    let sets = control.query_sets(&statement, Class::LONG).await;
    let sets = sets.map_err(failed)?;
    let record = sets.first().and_then(|rows| rows.first());
    let record = record.ok_or_else(|| failed(MssqlError::Shape("no row".into())))?;
    let operation = record.text("operation").map_err(failed)?.to_owned();
    let texts = record.cells().iter().skip(1).map(|cell| match cell {
        Cell::Text(text) => Some(text.clone()),
        _ => None,
    });
    let values: Vec<(String, Option<String>)> = plan
        .columns
        .iter()
        .map(|column| column.name.clone())
        .zip(texts)
        .collect();
    let of_key = |at: &usize| {
        let value = values.get(*at).and_then(|(_, value)| value.clone());
        value.unwrap_or_default()
    };
    let key: Vec<String> = plan.key.iter().map(of_key).collect();
    let kept = values.iter().enumerate();
    let kept = kept.filter(|(at, _)| operation == "U" || plan.key.contains(at));
    let kept = Values(kept.map(|(_, value)| value.clone()).collect());
    let json = serde_json::to_string(&kept);
    Ok(Refused {
        key: key::write(&key),
        operation,
        error_number: why.number,
        error_message: why.message.clone(),
        row: json.map_err(|error| failed(MssqlError::Shape(error.to_string())))?,
    })
}

/// Adds the deletes that are in the quarantine to the net changes; how many were added.
async fn add_deletes(
    control: &mut Control,
    plan: &MergePlan,
    net: &NetTable,
    aside: &Aside,
) -> Result<u64, TargetError> {
    let failed =
        |error| TargetError::on("adding the deletes in quarantine of", &plan.target, error);
    let mut added = 0;
    let deletes = aside.records.iter().filter(|record| record.is_delete);
    for keys in keys(plan, deletes) {
        let net = NetTable {
            rows: net.rows + added,
            ..net.clone()
        };
        let statement = aside::add_deletes(plan, &net, &keys);
        let sets = control.query_sets(&statement, Class::LONG).await;
        let sets = sets.map_err(failed)?;
        let row = sets.last().and_then(|rows| rows.first());
        let count = row.map_or(Ok(0), |row| row.int("added")).map_err(failed)?;
        added += u64::try_from(count).unwrap_or(0);
    }
    Ok(added)
}

/// Lets deletes of keys in the quarantine take the rows that the target has of them.
async fn respell_deletes(
    control: &mut Control,
    plan: &MergePlan,
    net: &NetTable,
    aside: &Aside,
) -> Result<(), TargetError> {
    for keys in keys(plan, aside.records.iter()) {
        if let Some(statement) = aside::respell_deletes(plan, net, &keys) {
            let respelled = control.run(&statement, Class::LONG).await;
            respelled.map_err(|error| {
                TargetError::on("comparing keys in quarantine of", &plan.target, error)
            })?;
        }
    }
    Ok(())
}

/// Removes from the quarantine what the load decides anew.
async fn clear(
    control: &mut Control,
    plan: &MergePlan,
    net: &NetTable,
    change: &StateChange,
    aside: &Aside,
) -> Result<(), TargetError> {
    if plan.whole {
        return run(
            control,
            &plan.target,
            &quarantine::discard_all(&change.target),
        )
        .await;
    }
    for keys in keys(plan, aside.records.iter()) {
        let cleared = aside::clear_loaded(plan, net, &change.target, &keys);
        run(control, &plan.target, &cleared).await?;
    }
    Ok(())
}

/// Keys of records for statements, as many for each as it has parameters for: an id, and the key's values as text.
fn keys<'a>(
    plan: &MergePlan,
    records: impl Iterator<Item = &'a Quarantined>,
) -> Vec<Vec<(i64, Vec<String>)>> {
    let columns = plan.key.len();
    let keys = records.filter_map(|record| Some((record.id, key::read(&record.key)?)));
    let keys: Vec<_> = keys.filter(|(_, key)| key.len() == columns).collect();
    let each = (PARAMETERS_MAX - 1) / (columns + 1);
    keys.chunks(each).map(<[_]>::to_vec).collect()
}

/// Ends what the transaction does with the target; the rows that only the target has.
async fn close(
    control: &mut Control,
    plan: &MergePlan,
    net: &NetTable,
    change: &StateChange,
    counts: &LoadCounts,
) -> Result<u64, TargetError> {
    let MergePlan {
        target,
        lock,
        lock_timeout_ms,
        ..
    } = plan;
    let failed = |error| explained(target, lock, *lock_timeout_ms, error);
    let counts = [
        counts.inserted,
        counts.updated,
        counts.deleted,
        counts.unchanged,
    ];
    let statement = aside::close_load(plan, net, change, counts);
    let sets = control.query_sets(&statement, Class::LONG).await;
    let sets = sets.map_err(failed)?;
    let row = sets.last().and_then(|rows| rows.first());
    let count = row.map_or(Ok(0), |row| row.int("target_only"));
    Ok(u64::try_from(count.map_err(failed)?).unwrap_or(0))
}

impl Quarantined {
    fn read(row: &Record) -> Result<Self, MssqlError> {
        let text = |name| row.text(name).map(str::to_owned);
        Ok(Self {
            id: row.int("id")?,
            key: text("key")?,
            is_delete: row.text("operation")? == "D",
            error_number: row.int("error_number")?,
            error_message: text("error_message")?,
            lake_table: text("lake_table")?,
            snapshot_id: row.int("snapshot_id")?,
            sequence_number: row.int("sequence_number")?,
            run_id: text("run_id")?,
            quarantined_at: text("quarantined_at")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::NOT_SHOWN;

    #[test]
    fn the_column_of_a_refused_value_is_named_and_the_value_is_not() {
        let of_server = Why {
            number: 245,
            message: "Conversion failed of the varchar value 'Ada'.".into(),
            is_own: false,
        };
        assert_eq!(
            of_server.to_string(),
            format!("error 245: Conversion failed of the varchar value {NOT_SHOWN}")
        );
        for number in [ERROR_LOST_CHARACTER, 244, 245, 248] {
            assert_eq!(
                Why::of_column(number, Some(("city", &SqlType::Int))).to_string(),
                format!("error {number}: column city (int) cannot keep the value")
            );
        }
    }
}
