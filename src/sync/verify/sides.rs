//! What of the lake and of a server can be compared: columns with the same form on both sides.

use crate::change::{Deletes, Isolation, MergeMode, Strategy};
use crate::config::Table;
use crate::error::{Disposition, Error, Kind, Result};
use crate::lake::{LakeTable, SnapshotInfo, SnapshotRef};
use crate::mssql::control::Control;
use crate::mssql::digest::reading;
use crate::mssql::environment::{self, Environment, Writability};
use crate::mssql::sql::bounds::Count;
use crate::mssql::sql::read::Closed;
use crate::report::{ColumnNotCompared, ComparedSide, plural};
use crate::schema::drift::Recorded;
use crate::schema::mapping::canonical::{Canonical, form, is_whole, is_whole_key};
use crate::schema::{
    Column, Generated, Key, KeyOrigin, LakeSchema, SqlType, TableKind, TableName, TableSchema,
};
use crate::source::{self, Discovered};
use crate::sync::session::{Links, Sync};
use crate::sync::{follow, load};
use crate::target::columns::LakeColumns;
use crate::target::inspect::{self, TargetTable};
use crate::target::state::{self, LoadState, Looked};
use std::sync::Arc;

/// A server's table beside a snapshot of the lake.
pub(super) struct Sided {
    pub side: ComparedSide,
    pub kind: Kind,
    pub matched: Matched,
    pub flag: Option<String>,
    pub count: Count,
    pub next: Next,
    /// The target keeps rows that the lake has deleted.
    pub keeps_deleted: bool,
    /// As of the snapshot.
    pub lake: LakeTable,
    pub snapshot: SnapshotInfo,
    pub notes: Vec<String>,
}

/// What tells rows that have changed since the checkpoint.
pub(super) enum Next {
    /// Nothing but another look.
    Unknown,
    /// Position in the server's table, and where the next window begins.
    Window {
        column: usize,
        lower: String,
        closed: Closed,
    },
    /// The log of changed keys since this version.
    Log { since: i64 },
}

/// A side that can be compared, or why it cannot.
pub(super) enum Outlook {
    Comparable(Box<Sided>),
    Not(String),
}

/// A column of the lake beside that of a server.
struct Pair<'a> {
    /// As the lake's fields name it.
    place: usize,
    lake: &'a Column,
    lake_name: &'a str,
    /// None where the server has none.
    server: Option<Column>,
}

/// The columns of both sides, matched.
pub(super) struct Matched {
    /// As the server has it: the columns that are compared, and those of the key.
    pub table: TableSchema,
    /// Positions in `table` of the columns that are compared.
    pub columns: Vec<usize>,
    /// What the lake calls each of them.
    pub names: Vec<String>,
    pub not_compared: Vec<ColumnNotCompared>,
    pub canonical: Canonical,
}

/// The source beside a snapshot (none: the latest).
pub(super) async fn source(
    sync: &Sync,
    table: &Table,
    links: &mut Links,
    snapshot: Option<SnapshotRef>,
) -> Result<Outlook> {
    if table.kind != TableKind::Mirror {
        return Ok(Outlook::Not(HISTORY.to_owned()));
    }
    let lake = load::lake_table(sync, table).await?;
    let (control, environment) = links.source(sync.source_side()?).await?;
    let discovered = source::discover(control, &environment, &table.source, &table.columns).await?;
    let snapshot = lake.resolve(snapshot.unwrap_or(SnapshotRef::Latest))?;
    let as_of = lake.as_of(snapshot.id)?;
    let recorded = follow::recorded(&lake, Some(snapshot.id))?;
    let Some(key) = &recorded.schema.key else {
        return Ok(Outlook::Not(NO_KEY.to_owned()));
    };
    let pairs = source_pairs(&recorded, &discovered);
    let matched = match matched(&table.source, as_of.lake_schema(), pairs, &key.columns) {
        Ok(matched) => matched,
        Err(why) => return Ok(Outlook::Not(why)),
    };
    let mut notes = Vec::new();
    let is_latest = lake.current_snapshot_id() == Some(snapshot.id);
    let next = match is_latest {
        true => next(&lake, &matched.table, &mut notes)?,
        false => Next::Unknown,
    };
    Ok(Outlook::Comparable(Box::new(Sided {
        side: ComparedSide::Source,
        kind: Kind::Source,
        count: source_reading(&environment, &discovered, table.change.isolation),
        matched,
        flag: None,
        next,
        keeps_deleted: false,
        lake: as_of,
        snapshot,
        notes,
    })))
}

/// The target beside a snapshot (none: the one that it has loaded).
pub(super) async fn target(
    sync: &Sync,
    table: &Table,
    links: &mut Links,
    snapshot: Option<SnapshotRef>,
) -> Result<Outlook> {
    if table.kind != TableKind::Mirror {
        return Ok(Outlook::Not(HISTORY.to_owned()));
    }
    if table.merge.mode != MergeMode::Upsert {
        return Ok(Outlook::Not(
            "only targets of `merge: { mode: upsert }` have exactly the rows of a snapshot by key"
                .to_owned(),
        ));
    }
    let lake = load::lake_table(sync, table).await?;
    let control = Links::control(&mut links.target, sync.target_side()?, Kind::Target).await?;
    let looked = state::look(control, &table.target).await?;
    let found = inspect::inspect(control, &table.target).await?;
    let found = found.ok_or_else(|| not_loaded(table, "does not exist"))?;
    let loaded = looked.state.as_ref();
    let snapshot = match snapshot {
        Some(wanted) => lake.resolve(wanted)?,
        None => loaded_snapshot(table, &lake, loaded)?,
    };
    let as_of = lake.as_of(snapshot.id)?;
    let chosen = load::to_load(table, &lake, Some(&snapshot), loaded)?;
    let Some(key) = &chosen.schema.key else {
        return Ok(Outlook::Not(NO_KEY.to_owned()));
    };
    let places = key.columns.iter().filter_map(|&at| *chosen.places.get(at)?);
    let places: Vec<usize> = places.collect();
    let pairs = target_pairs(&chosen, &found);
    let matched = match matched(&table.target, as_of.lake_schema(), pairs, &places) {
        Ok(matched) => matched,
        Err(why) => return Ok(Outlook::Not(why)),
    };
    let (flag, keeps_deleted) = match &table.merge.deletes {
        Deletes::Hard => (None, false),
        Deletes::Soft(soft) => (Some(soft.column.clone()), false),
        Deletes::Ignore => (None, true),
    };
    let count = target_reading(control).await?;
    Ok(Outlook::Comparable(Box::new(Sided {
        side: ComparedSide::Target,
        kind: Kind::Target,
        matched,
        flag,
        count,
        next: Next::Unknown,
        keeps_deleted,
        lake: as_of,
        snapshot,
        notes: target_notes(&looked),
    })))
}

const HISTORY: &str = "a history has many rows of a key; only mirrors are compared";
const NO_KEY: &str = "the table has no key";

fn not_loaded(table: &Table, what: &str) -> Error {
    let message = format!(
        "target table {} {what}, so there is nothing to compare. Run `icesync load` first",
        table.target
    );
    Error::new(Kind::Target, Disposition::Definite, message)
}

fn loaded_snapshot(
    table: &Table,
    lake: &LakeTable,
    state: Option<&LoadState>,
) -> Result<SnapshotInfo> {
    let here = state.filter(|state| state.table_uuid == lake.uuid().to_string());
    let loaded = here.and_then(LoadState::loaded);
    let loaded =
        loaded.ok_or_else(|| not_loaded(table, "has loaded nothing of this lake table"))?;
    if !lake.has_snapshot(loaded) {
        let message = format!(
            "target table {} has loaded snapshot {loaded}, which has expired. Name one that is there with `--snapshot`",
            table.target
        );
        return Err(Error::new(Kind::Target, Disposition::Definite, message));
    }
    Ok(lake.resolve(SnapshotRef::Number(loaded))?)
}

/// SNAPSHOT where the source allows it and the configuration does not ask for another level. A digest is one
/// statement, so READ COMMITTED does as well where it reads row versions.
fn source_reading(
    environment: &Arc<Environment>,
    discovered: &Discovered,
    asked: Isolation,
) -> Count {
    let is_asked = match asked {
        Isolation::Auto | Isolation::Snapshot => true,
        Isolation::ReadCommitted | Isolation::TableLock => false,
    };
    let is_written = environment.writability == Writability::ReadWrite;
    let in_memory = discovered.facts.is_memory_optimized;
    reading(is_asked && is_written && !in_memory && environment.allows_snapshot)
}

async fn target_reading(control: &mut Control) -> Result<Count> {
    let environment = environment::read(control).await;
    let environment = environment.map_err(|error| error.on(Kind::Target))?;
    Ok(reading(environment.allows_snapshot))
}

fn plain(id: i32, name: &str, ty: SqlType) -> Column {
    Column {
        id,
        name: name.to_owned(),
        ty,
        nullable: true,
        collation: None,
        generated: Generated::No,
    }
}

/// Columns are the same by their ids in a table, and by their names in a view, which counts them anew.
fn source_pairs<'a>(recorded: &'a Recorded, discovered: &Discovered) -> Vec<Pair<'a>> {
    let by_name = recorded.object.as_ref() != Some(&discovered.facts.object);
    let pair = |(place, column): (usize, &'a Column)| {
        let is_it = |other: &&Column| match by_name {
            true => other.name == recorded.source_name(column),
            false => other.id == column.id,
        };
        Pair {
            place,
            lake: column,
            lake_name: &column.name,
            server: discovered.schema.columns.iter().find(is_it).cloned(),
        }
    };
    recorded
        .schema
        .columns
        .iter()
        .enumerate()
        .map(pair)
        .collect()
}

fn target_pairs<'a>(chosen: &'a LakeColumns, found: &TargetTable) -> Vec<Pair<'a>> {
    let columns = chosen.schema.columns.iter().take(chosen.live);
    let columns = columns.zip(&chosen.places).zip(&chosen.lake_names);
    let pair = |((column, place), lake_name): ((&'a Column, &Option<usize>), &'a String)| {
        let server = found.column_type(&column.name);
        Some(Pair {
            place: (*place)?,
            lake: column,
            lake_name,
            server: server.map(|(name, ty)| plain(column.id, name, ty)),
        })
    };
    columns.filter_map(pair).collect()
}

/// What explains differences of a target.
fn target_notes(looked: &Looked) -> Vec<String> {
    let state = looked.state.as_ref();
    let is_between = state.is_some_and(|state| state.pending.is_some());
    let between = "a load is between two of its steps; the next load finishes it";
    let in_quarantine = || {
        format!(
            "{} in quarantine, of which the target keeps what it had",
            plural(looked.in_quarantine, "row")
        )
    };
    let notes = [
        is_between.then(|| between.to_owned()),
        (looked.in_quarantine > 0).then(in_quarantine),
    ];
    notes.into_iter().flatten().collect()
}

/// Takes the columns that have one form on both sides; an error says why the key cannot be compared.
fn matched(
    name: &TableName,
    shape: &LakeSchema,
    pairs: Vec<Pair<'_>>,
    key: &[usize],
) -> std::result::Result<Matched, String> {
    let mut columns = Vec::new();
    let mut not_compared = Vec::new();
    let (mut compared, mut names) = (Vec::new(), Vec::new());
    let (mut lake_columns, mut lake_key) = (Vec::new(), vec![None; key.len()]);
    for pair in pairs {
        let (place, ty) = (pair.place, pair.lake.ty);
        let of_key = key.iter().position(|&at| at == place);
        let server = comparable(&pair).and_then(|server| {
            let is_key = of_key.is_some() && is_whole_key(shape, place, ty);
            match is_whole(shape, place, ty) {
                true => Ok((server, true)),
                false if is_key => Ok((server, false)),
                false => Err(CUT.to_owned()),
            }
        });
        let (server, is_whole) = match server {
            Ok(server) => server,
            Err(why) if of_key.is_some() => {
                return Err(format!("column {} of its key: {why}", pair.lake_name));
            }
            Err(reason) => {
                not_compared.push(left_out(pair.lake_name, reason));
                continue;
            }
        };
        if let Some(slot) = of_key.and_then(|at| lake_key.get_mut(at)) {
            *slot = Some((columns.len(), (place, ty)));
        }
        match is_whole {
            true => {
                compared.push(columns.len());
                names.push(pair.lake_name.to_owned());
                lake_columns.push((place, ty));
            }
            false => not_compared.push(left_out(pair.lake_name, CUT.to_owned())),
        }
        columns.push(server);
    }
    let lake_key: Option<Vec<_>> = lake_key.into_iter().collect();
    let lake_key = lake_key.ok_or("a column of its key is missing")?;
    let (positions, lake_key): (Vec<usize>, Vec<_>) = lake_key.into_iter().unzip();
    Ok(Matched {
        table: TableSchema {
            name: name.clone(),
            columns,
            key: Some(Key {
                columns: positions,
                origin: KeyOrigin::Config,
            }),
        },
        columns: compared,
        names,
        not_compared,
        canonical: Canonical::new(name.to_string(), shape, &lake_columns, &lake_key),
    })
}

const CUT: &str = "`fidelity: standard` keeps less of it in the lake than the server has";

fn left_out(column: &str, reason: String) -> ColumnNotCompared {
    ColumnNotCompared {
        column: column.to_owned(),
        reason,
    }
}

/// The server's column, if its form is that of the lake's.
fn comparable(pair: &Pair<'_>) -> std::result::Result<Column, String> {
    let Some(server) = &pair.server else {
        return Err("the server's table does not have it".to_owned());
    };
    match (form(pair.lake.ty), form(server.ty)) {
        (None, _) | (_, None) => Err(format!(
            "the server shows {} with other digits than the lake keeps",
            pair.lake.ty
        )),
        (Some(lake), Some(other)) if lake == other => Ok(server.clone()),
        (Some(_), Some(_)) => Err(format!(
            "{} in the lake, {} on the server",
            pair.lake.ty, server.ty
        )),
    }
}

/// What the checkpoint says of rows that are yet to be read.
fn next(lake: &LakeTable, table: &TableSchema, notes: &mut Vec<String>) -> Result<Next> {
    let Some(checkpoint) = lake.checkpoint()? else {
        return Ok(Next::Unknown);
    };
    let closed = match checkpoint.strategy {
        Strategy::Full => return Ok(Next::Unknown),
        Strategy::Timestamp | Strategy::RowVersion => Closed::Below,
        Strategy::Sequence | Strategy::ChangeTracking => Closed::Above,
    };
    let Some(mark) = checkpoint.watermark else {
        notes.push(
            "the next extract reads the whole table, so what changed since is not told apart"
                .to_owned(),
        );
        return Ok(Next::Unknown);
    };
    if checkpoint.strategy.follows_log() {
        let since = mark.text.parse().ok();
        return Ok(since.map_or(Next::Unknown, |since| Next::Log { since }));
    }
    let column = table.position(&mark.column);
    let column = column.filter(|&at| table.columns[at].ty == mark.ty);
    Ok(column.map_or(Next::Unknown, |column| Next::Window {
        column,
        lower: mark.text,
        closed,
    }))
}
