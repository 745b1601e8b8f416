//! Reads what changed in a source table: which rows, in which window, under which isolation.
//!
//! # Why no row is lost
//!
//! A run reads one window of a column's order, closed above before the first row is read. The upper bound is stored
//! with the rows in the same lake commit, and the next window starts there. So a run that dies at any point has
//! either committed rows and bound together or neither, and reading the same window again gives the same rows or
//! newer ones. What is left to argue is that nothing can appear below an upper bound after the window has been
//! read. Each strategy argues it for itself:
//!
//! - `rowversion`: `MIN_ACTIVE_ROWVERSION()` is below every version that an open transaction holds or will draw, so
//!   all rows below it are committed. It is read in autocommit, before the reading transaction: what commits in
//!   between is then visible and below the bound, or above it and in the next window. An update draws a new
//!   version, so a changed row moves to a later window.
//! - `timestamp`: nothing on the server says which timestamps an open transaction has yet to write. The upper bound
//!   stays `lag` behind the server's clock and, where the login may see transactions (VIEW SERVER STATE), also
//!   `lag` behind the begin of the oldest open transaction that has written to the database; it may then lie before
//!   the last bound, and the window is read again from there. The lower bound lies `overlap` before the last upper
//!   bound, for clocks that differ and rows that come late. A row that commits later than `overlap` after its own
//!   timestamp is missed until it changes again or a full refresh; so is a row without a timestamp. Bounds are
//!   computed by the server in the column's own type, and moved back by twice its unit, because conversion rounds.
//!   A clock of local time goes back an hour once a year: windows bounded by it reach back an hour further.
//! - `sequence`: the highest number is read under a shared table lock, which waits for every insert in flight.
//!   Numbers drawn before their insert begins (a SEQUENCE object, a counter in the application) may still come
//!   late, and updates are not seen at all; both are said.
//! - `full`: every row is read each time; there is no bound.
//!
//! The first run of a strategy, and any run whose checkpoint cannot be used (another strategy, column or type; a
//! bound that the server has not reached, as after a restore), reads the whole table, NULL and future watermarks
//! included, with the upper bound taken before.
//!
//! # Why no version is there twice
//!
//! A mirror keeps one row a key, so reading a row again does no harm, and a whole read of a mirror has no upper end.
//! A history keeps each version. Its whole reads end where the next window begins, and include the rows without a
//! watermark, which no window shows. What a window reads again on purpose (`overlap`), what a bound that moved back
//! brings again, and what a whole read after a change of strategy brings, is compared with the lake before it is
//! written (`lake/write/compare.rs`).
//!
//! # Isolation
//!
//! Under SNAPSHOT all statements of a read see one state. Under READ COMMITTED with row versions each statement
//! sees the state at its own beginning: a full read is one statement, and between the pages of a window a row can
//! only leave for a later window (its watermark grows with the update) or be deleted; it cannot move to where the
//! pages have passed. Under READ COMMITTED with locks the same holds for windows, for the same reason; a full read
//! by a scan may meet a moved row twice or not at all. Rows missed in that way have been changed after the bound,
//! so a watermark's next window brings them; `full` has no next window. That level is therefore used only when it
//! is asked for, with a warning. NOLOCK and READPAST are never used.
//!
//! # Round trips
//!
//! One for discovery, one for the bounds, one for the read; a window that is known to be empty is not read.

mod auto;
mod cuts;
mod discover;
mod full;
mod isolation;
mod rowversion;
mod sequence;
mod timestamp;

pub use cuts::{Split, fingerprint};
pub use discover::{Discovered, Facts, discover};

use crate::change::{Backfill, Checkpoint, Strategy, Watermark, Window};
pub use crate::change::{ChangeOptions, Clock, Isolation, StrategyChoice};
use crate::error::{Disposition, Error, Kind};
use crate::mssql::control::{Class, Control};
use crate::mssql::error::MssqlError;
use crate::mssql::sql::Statement;
use crate::mssql::sql::read::{self, Closed, Locking, PageCursor, Range, Until};
use crate::schema::{Column, KeyOrigin, SqlType, TableKind, TableName, TableSchema};

/// Lag and overlap beyond this are a mistake.
const DURATION_MAX: std::time::Duration = std::time::Duration::from_secs(10 * 366 * 86_400);

/// How long a read waits for writers before it gives up (error 1222, transient).
const LOCK_TIMEOUT_MS: u32 = 60_000;

/// What failed, on which table, why, and the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    #[error("{doing} {table} failed")]
    Server {
        doing: &'static str,
        table: TableName,
        #[source]
        source: Box<MssqlError>,
    },
    #[error("there is no table or view {table} in the source; {hint}")]
    Unknown { table: TableName, hint: String },
    #[error(
        "the login may not read {table}: grant it with GRANT SELECT ON {table} TO the login's user"
    )]
    MayNotRead { table: TableName },
    #[error("{table} has no column that icesync can read")]
    NoColumns { table: TableName },
    #[error(
        "column {column} of {table} cannot be replicated: {why}; replicate a view that leaves it out or converts it"
    )]
    Column {
        table: TableName,
        column: String,
        why: String,
    },
    #[error("the configured key of {table} cannot be used: {problem}")]
    Key { table: TableName, problem: String },
    #[error(
        "the configured key of {table} does not identify a row: {rows} rows have {example}; add columns to `key`, or \
            use kind: history"
    )]
    KeyNotUnique {
        table: TableName,
        example: String,
        rows: i64,
    },
    #[error("change.strategy {strategy} cannot be used on {table}: {why}")]
    Strategy {
        table: TableName,
        strategy: &'static str,
        why: String,
    },
    #[error("{option} of {table} is longer than ten years")]
    Duration {
        table: TableName,
        option: &'static str,
    },
    #[error(
        "database {database} allows no consistent read of {table}: run ALTER DATABASE [{database}] SET \
            ALLOW_SNAPSHOT_ISOLATION ON, \
or set change.isolation: table_lock (writers wait while it is read), or change.isolation: read_committed (rows that \
move during a read may be read twice or missed)"
    )]
    NoIsolation { table: TableName, database: String },
    #[error("change.isolation {isolation} cannot be used on {table}: {why}")]
    Isolation {
        table: TableName,
        isolation: &'static str,
        why: String,
    },
    #[error(
        "inserts into {table} were still in flight after {seconds} s, and their numbers may be below those already \
            committed; the next run tries again"
    )]
    Busy {
        table: TableName,
        seconds: u32,
        #[source]
        source: Box<MssqlError>,
    },
}

impl SourceError {
    fn on(doing: &'static str, table: &TableName, source: MssqlError) -> Self {
        SourceError::Server {
            doing,
            table: table.clone(),
            source: Box::new(source),
        }
    }

    /// What the caller may do.
    pub fn disposition(&self) -> Disposition {
        match self {
            SourceError::Server { source, .. } | SourceError::Busy { source, .. } => {
                source.disposition()
            }
            SourceError::Unknown { .. }
            | SourceError::MayNotRead { .. }
            | SourceError::NoColumns { .. }
            | SourceError::Column { .. }
            | SourceError::Key { .. }
            | SourceError::KeyNotUnique { .. }
            | SourceError::Strategy { .. }
            | SourceError::Duration { .. }
            | SourceError::NoIsolation { .. }
            | SourceError::Isolation { .. } => Disposition::Definite,
        }
    }
}

impl From<SourceError> for Error {
    fn from(error: SourceError) -> Self {
        Error::new(Kind::Source, error.disposition(), error)
    }
}

/// A strategy that has been chosen, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Choice {
    strategy: Strategy,
    /// Position of the watermark column; none for `full`.
    column: Option<usize>,
    why: Vec<String>,
    warnings: Vec<String>,
}

/// Where a window starts.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Start {
    /// No checkpoint: everything.
    First,
    From(Watermark),
    /// The checkpoint cannot be used, for this reason: everything.
    Again(String),
}

impl Start {
    fn of(choice: &Choice, column: &Column, checkpoint: Option<&Checkpoint>) -> Self {
        let Some(checkpoint) = checkpoint else {
            return Start::First;
        };
        if checkpoint.strategy != choice.strategy {
            return Start::Again(format!(
                "the last run used strategy {}, this one {}",
                checkpoint.strategy, choice.strategy
            ));
        }
        let Some(last) = &checkpoint.watermark else {
            return Start::First;
        };
        if !last.column.eq_ignore_ascii_case(&column.name) {
            return Start::Again(format!(
                "the last run followed column {}, this one {}",
                last.column, column.name
            ));
        }
        if last.ty != column.ty {
            return Start::Again(format!(
                "column {} has another type than in the last run",
                column.name
            ));
        }
        Start::From(last.clone())
    }

    fn last(&self) -> Option<&Watermark> {
        match self {
            Start::From(last) => Some(last),
            Start::First | Start::Again(_) => None,
        }
    }
}

/// A window with what was learned on the way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Bounds {
    window: Window,
    previous_upper: Option<Watermark>,
    full_read: bool,
    /// Nothing can be in the window.
    is_empty: bool,
    why: Vec<String>,
    warnings: Vec<String>,
    null_rows: Option<u64>,
    future_rows: Option<u64>,
}

impl Bounds {
    /// Everything is read; the next window starts at `upper`.
    fn full(upper: Option<Watermark>, previous: Option<Watermark>, start: &Start) -> Self {
        let mut bounds = Bounds {
            window: Window { lower: None, upper },
            previous_upper: previous,
            full_read: true,
            ..Bounds::default()
        };
        match start {
            Start::First => bounds
                .why
                .push("there is no checkpoint yet: the whole table is read".into()),
            Start::Again(reason) => bounds
                .warnings
                .push(format!("the whole table is read again: {reason}")),
            Start::From(_) => {}
        }
        bounds
    }
}

/// Everything that a read needs, decided and bounded; no row has been read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtractPlan {
    pub strategy: Strategy,
    /// The choices, one plain sentence each, for `plan` and reports.
    pub why: Vec<String>,
    pub warnings: Vec<String>,
    /// All rows are read, not only the window's.
    pub full_read: bool,
    /// What the checkpoint will say: its upper bound is the next run's start.
    pub window: Window,
    /// The upper bound of the checkpoint that this plan continues, or had to give up.
    pub previous_upper: Option<Watermark>,
    /// Position of the watermark column in the table's columns.
    pub watermark_column: Option<usize>,
    /// The window is known to be empty: there is nothing to read.
    pub is_empty: bool,
    /// Run on the reading channel before the first page, as plain batches.
    pub session: Vec<Statement>,
    /// Run on the reading channel after the last page.
    pub finish: Vec<Statement>,
    /// Rows per page; none reads everything in one stream.
    pub page_rows: Option<u64>,
    /// Rows without a watermark, which no window will show; counted where that is cheap.
    pub null_rows: Option<u64>,
    /// Rows whose watermark lies in the future; counted where that is cheap.
    pub future_rows: Option<u64>,
    /// A full read in ranges; none reads in one stream.
    pub split: Option<Split>,
    /// The ledger that this read continues.
    pub resumes: Option<Backfill>,
    /// All snapshot transactions of the ranges must be opened on one state, under [`fence`](Self::fence).
    pub needs_fence: bool,
    /// No two rows that are read have the same key.
    pub distinct_keys: bool,
    /// Every statement sees one state of the table, so a row that a whole read does not bring is not there.
    pub sees_one_state: bool,
    /// The lake keeps each version that is read, so no version may be read twice.
    keeps_versions: bool,
    table: TableSchema,
    locking: Locking,
}

impl ExtractPlan {
    /// The table that is read.
    pub fn table(&self) -> &TableSchema {
        &self.table
    }

    /// The first page, or the whole stream when [`page_rows`](Self::page_rows) is none.
    pub fn first_page(&self) -> Statement {
        match (self.range(), self.page_rows) {
            (Some(range), Some(rows)) => read::first_page(&self.table, self.locking, &range, rows),
            (Some(range), None) => read::window(&self.table, self.locking, &range),
            (None, _) => match self.until() {
                Some(until) => read::all_until(&self.table, self.locking, &until),
                None => read::all(&self.table, self.locking),
            },
        }
    }

    /// What is read first: the first range, the first page, or everything.
    pub fn first_read(&self) -> Statement {
        match &self.split {
            Some(split) => self.key_range(split, 0),
            None => self.first_page(),
        }
    }

    /// The page after the row that `cursor` names; none when there are no pages.
    pub fn next_page(&self, cursor: &PageCursor) -> Option<Statement> {
        let range = self.range()?;
        let rows = self.page_rows?;
        Some(read::next_page(
            &self.table,
            self.locking,
            &range,
            rows,
            cursor,
        ))
    }

    /// The rows of one range of [`split`](Self::split).
    pub fn key_range(&self, split: &Split, range: usize) -> Statement {
        let (lower, upper) = split.ends(range);
        read::key_range(&self.table, self.locking, split.column, lower, upper)
    }

    /// Keeps writers out while [`first_look`](Self::first_look) fixes what each channel will see.
    pub fn fence(&self) -> Statement {
        read::fence(&self.table, LOCK_TIMEOUT_MS)
    }

    /// Ends the [`fence`](Self::fence).
    pub fn open_fence(&self) -> Statement {
        read::end_transaction()
    }

    /// See [`fence`](Self::fence).
    pub fn first_look(&self) -> Statement {
        read::first_look(&self.table)
    }

    fn range(&self) -> Option<Range<'_>> {
        if self.full_read {
            return None;
        }
        Some(Range {
            column: self.watermark_column?,
            lower: &self.window.lower.as_ref()?.text,
            upper: &self.window.upper.as_ref()?.text,
            closed: self.closed(),
        })
    }

    /// Where a whole read ends, if it must not bring what the next window brings.
    fn until(&self) -> Option<Until<'_>> {
        let column = self.watermark_column.filter(|_| self.keeps_versions)?;
        Some(Until {
            column,
            upper: self.window.upper.as_ref().map(|upper| upper.text.as_str()),
            closed: self.closed(),
        })
    }

    fn closed(&self) -> Closed {
        match self.strategy {
            Strategy::Sequence => Closed::Above,
            Strategy::Full | Strategy::Timestamp | Strategy::RowVersion => Closed::Below,
        }
    }
}

/// Chooses the strategy, takes the bounds (at most one round trip, plus one that checks a configured key before a
/// full read), and plans the read. Reads no row and changes nothing.
pub async fn plan(
    control: &mut Control,
    source: &Discovered,
    options: &ChangeOptions,
    kind: TableKind,
    checkpoint: Option<&Checkpoint>,
) -> Result<ExtractPlan, SourceError> {
    let table = &source.schema.name;
    for (option, duration) in [
        ("change.lag", options.lag),
        ("change.overlap", options.overlap),
    ] {
        if duration > DURATION_MAX {
            return Err(SourceError::Duration {
                table: table.clone(),
                option,
            });
        }
    }
    let choice = auto::choose(source, options, kind)?;
    let reading = isolation::choose(source, options.isolation, choice.strategy)?;
    let mut resumes = cuts::resumable(source, &reading, choice.strategy, checkpoint);
    let continued = checkpoint
        .zip(resumes.as_ref().map(|(backfill, _)| *backfill))
        .map(|(checkpoint, backfill)| cuts::as_checkpoint(checkpoint, backfill));
    let checkpoint = continued.as_ref().or(checkpoint);
    let mut bounds = match (choice.strategy, choice.column) {
        (Strategy::Timestamp, Some(column)) => {
            let start = Start::of(&choice, &source.schema.columns[column], checkpoint);
            timestamp::bounds(control, source, column, &start, options, &reading).await?
        }
        (Strategy::Sequence, Some(column)) => {
            let start = Start::of(&choice, &source.schema.columns[column], checkpoint);
            sequence::bounds(control, source, column, &start).await?
        }
        (Strategy::RowVersion, Some(column)) => {
            let start = Start::of(&choice, &source.schema.columns[column], checkpoint);
            rowversion::bounds(control, source, column, &start).await?
        }
        (Strategy::Full | Strategy::Timestamp | Strategy::Sequence | Strategy::RowVersion, _) => {
            full::bounds(checkpoint)
        }
    };
    // The server has not reached the ledger's bound, as after a restore: then its ranges are worth nothing.
    resumes = resumes.filter(|_| !bounds.full_read);
    let mut split = None;
    if let Some((backfill, ranges)) = &resumes {
        bounds = resumed(backfill, ranges, bounds);
        split = Some(ranges.clone());
    } else if bounds.full_read {
        check_key(control, source).await?;
        let what = (choice.strategy, kind);
        let range_rows = options.range_rows;
        split = cuts::split(control, source, &reading, what, range_rows, &mut bounds).await?;
    }
    let mut plan = assemble(source, options, choice, reading, bounds);
    plan.keeps_versions = kind == TableKind::History;
    plan.resumes = resumes.map(|(backfill, _)| backfill.clone());
    plan.needs_fence = split.is_some() && plan.window.upper.is_none();
    plan.split = split;
    Ok(plan)
}

/// Goes on with the ranges of a ledger, up to its bound.
fn resumed(backfill: &Backfill, split: &Split, window: Bounds) -> Bounds {
    let start = Start::From(backfill.watermark.clone());
    let mut bounds = Bounds {
        warnings: window.warnings,
        ..Bounds::full(Some(backfill.watermark.clone()), None, &start)
    };
    bounds.why.push(format!(
        "a read of the whole table is under way: {} of {} ranges are done",
        backfill.done.len(),
        split.ranges()
    ));
    bounds
}

fn assemble(
    source: &Discovered,
    options: &ChangeOptions,
    choice: Choice,
    reading: isolation::Reading,
    bounds: Bounds,
) -> ExtractPlan {
    let pages = match choice.column {
        Some(column) => {
            !bounds.full_read
                && options.page_rows > 0
                && source.schema.key.is_some()
                && source.is_led_by_index(column)
        }
        None => false,
    };
    let mut why = choice.why;
    why.extend(bounds.why);
    why.push(reading.why);
    let mut warnings = source.warnings.clone();
    warnings.extend(choice.warnings);
    warnings.extend(bounds.warnings);
    warnings.extend(reading.warnings);
    ExtractPlan {
        strategy: choice.strategy,
        why,
        warnings,
        full_read: bounds.full_read,
        window: bounds.window,
        previous_upper: bounds.previous_upper,
        watermark_column: choice.column,
        is_empty: bounds.is_empty,
        session: reading.session,
        finish: reading.finish,
        page_rows: pages.then_some(options.page_rows),
        null_rows: bounds.null_rows,
        future_rows: bounds.future_rows,
        split: None,
        resumes: None,
        needs_fence: false,
        distinct_keys: bounds.full_read && reading.sees_one_state && source.key_is_unique(),
        sees_one_state: reading.sees_one_state,
        keeps_versions: false,
        table: source.schema.clone(),
        locking: reading.locking,
    }
}

/// Refuses a configured key that two rows share. Only before a full read, because it reads the whole table.
async fn check_key(control: &mut Control, source: &Discovered) -> Result<(), SourceError> {
    let configured = matches!(&source.schema.key, Some(key) if key.origin == KeyOrigin::Config);
    if !configured || source.key_is_unique() {
        return Ok(());
    }
    let table = &source.schema.name;
    let failed = |error| SourceError::on("checking the key of", table, error);
    let sets = control
        .query_sets(&read::duplicate_key(&source.schema), Class::Long)
        .await
        .map_err(failed)?;
    match sets.first().and_then(|rows| rows.first()) {
        None => Ok(()),
        Some(row) => Err(SourceError::KeyNotUnique {
            table: table.clone(),
            example: format!("({})", row.text("example").map_err(failed)?),
            rows: row.int("row_count").map_err(failed)?,
        }),
    }
}

/// A watermark of a column.
fn watermark(column: &Column, text: impl Into<String>) -> Watermark {
    Watermark {
        column: column.name.clone(),
        ty: column.ty,
        text: text.into(),
    }
}

fn is_date_time(ty: SqlType) -> bool {
    matches!(
        ty,
        SqlType::Date
            | SqlType::DateTime
            | SqlType::SmallDateTime
            | SqlType::DateTime2 { .. }
            | SqlType::DateTimeOffset { .. }
    )
}

fn is_exact_number(ty: SqlType) -> bool {
    matches!(
        ty,
        SqlType::TinyInt
            | SqlType::SmallInt
            | SqlType::Int
            | SqlType::BigInt
            | SqlType::Decimal { .. }
            | SqlType::Numeric { .. }
    )
}

#[cfg(test)]
mod tests;
