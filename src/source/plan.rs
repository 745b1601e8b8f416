//! A read that is decided and bounded, as the statements that sync runs.

use super::auto::Choice;
use super::cuts::Split;
use super::discover::Discovered;
use super::isolation::{LOCK_TIMEOUT_MS, Reading};
use super::notice::Notice;
use super::origin;
use super::window::Bounds;
use crate::change::{Backfill, ChangeOptions, Origin, Strategy, Watermark, Window};
use crate::mssql::sql::Statement;
use crate::mssql::sql::read::{self, Closed, Locking, PageCursor, Range, Until};
use crate::schema::TableSchema;

/// How long a lock on a whole table waits for the writers that are there. Writers that come later wait behind it.
pub(super) const TABLE_TIMEOUT_MS: u32 = 10_000;
/// How long a channel waits for its first look under a fence. Only a change of the table's definition (ALTER, TRUNCATE)
/// that waits for the fence stands in its way, and everyone who uses the table waits behind that one.
pub const LOOK_TIMEOUT_MS: u32 = 1_000;

/// The most rows of a page that is read with row locks. A page by an index fetches each row from the table, and its
/// statement may keep the locks of its index rows until it ends. So it ends soon, and holds fewer than the 5,000 locks
/// at which SQL Server may lock the whole table instead.
const LOCKED_PAGE_ROWS_MAX: u64 = 2_000;

/// Everything that a read needs, decided and bounded; no row has been read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtractPlan {
    pub strategy: Strategy,
    /// The choices, one plain sentence each, for `plan` and reports.
    pub why: Vec<String>,
    pub warnings: Vec<String>,
    /// What concerns other tables of the source, too.
    pub notices: Vec<Notice>,
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
    /// Times beyond it lie in the future, where a timestamp is followed.
    pub future: Option<Watermark>,
    /// Where the rows are read, for the checkpoint; none for a strategy that reads everything each time.
    pub origin: Option<Origin>,
    /// A full read in ranges; none reads in one stream.
    pub split: Option<Split>,
    /// The ledger that this read continues.
    pub resumes: Option<Backfill>,
    /// All snapshot transactions of the ranges must be opened on one state, under [`fence`](Self::fence).
    pub needs_fence: bool,
    /// About as many rows the table has, where security policies that hide some could not be seen.
    pub(super) rows_expected: Option<u64>,
    /// No two rows that are read have the same key.
    pub distinct_keys: bool,
    /// Every statement sees one state of the table, so a row that a whole read does not bring is not there.
    pub sees_one_state: bool,
    /// A whole read may miss rows that no later window brings: without row versions it passes over a row that moves
    /// against it. Under a rowversion that tells, moving the row has changed it.
    pub misses_rows: bool,
    /// The lake keeps each version that is read, so no version may be read twice.
    pub(super) keeps_versions: bool,
    table: TableSchema,
    locking: Locking,
}

impl ExtractPlan {
    /// The bound of ranges that several runs may read, each in a state of its own.
    pub fn resumable_bound(&self) -> Option<Watermark> {
        self.window
            .upper
            .clone()
            .filter(|_| self.split.is_some() && !self.needs_fence)
    }

    /// What to say of rows without a watermark, and of those with one in the future, that a whole read has met.
    pub fn unseen(&self, nulls: u64, future: u64) -> Vec<String> {
        let column = self.watermark_column.map(|at| &self.table.columns[at]);
        column.map_or_else(Vec::new, |column| unseen(&column.name, nulls, future))
    }

    /// What to say of a whole read that was shown so many rows, if it may not have been shown all.
    pub fn hidden(&self, rows: u64) -> Option<String> {
        let expected = self.rows_expected.filter(|_| self.full_read)?;
        // Partitions are counted about right, and rows are deleted meanwhile.
        let is_short = rows < expected - expected / 20 && expected - rows >= 10;
        is_short.then(|| {
            format!(
                "only {rows} of about {expected} rows were shown to this login, which may not see security policies: \
                    row-level security may hide the others. Grant VIEW DEFINITION on the database to see the policies"
            )
        })
    }

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

    /// Keeps writers out while [`first_look`](Self::first_look) fixes what each channel will see. It waits for writers
    /// for at most `TABLE_TIMEOUT_MS`, because whoever writes next waits with it.
    pub fn fence(&self) -> Statement {
        read::fence(&self.table, TABLE_TIMEOUT_MS)
    }

    /// Ends the [`fence`](Self::fence).
    pub fn open_fence(&self) -> Statement {
        read::end_transaction()
    }

    /// See [`fence`](Self::fence). It waits for at most [`LOOK_TIMEOUT_MS`].
    pub fn first_look(&self) -> Statement {
        read::first_look(&self.table, LOOK_TIMEOUT_MS, LOCK_TIMEOUT_MS)
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

/// What to say of rows that no window will show.
pub(super) fn unseen(column: &str, nulls: u64, future: u64) -> Vec<String> {
    let nulls = (nulls > 0).then(|| {
        format!("{nulls} rows have NULL in {column}: their changes are not seen until it is filled")
    });
    let future = (future > 0).then(|| {
        format!(
            "{future} rows have a {column} in the future: their changes are not seen before that time"
        )
    });
    nulls.into_iter().chain(future).collect()
}

/// The plan of one stream or of pages.
pub(super) fn assemble(
    source: &Discovered,
    options: &ChangeOptions,
    choice: Choice,
    reading: Reading,
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
    let page_rows = match reading.sees_one_state {
        true => options.page_rows,
        false => options.page_rows.min(LOCKED_PAGE_ROWS_MAX),
    };
    let mut why = choice.why;
    why.extend(bounds.why);
    why.push(reading.why);
    let mut warnings = source.warnings.clone();
    warnings.extend(choice.warnings);
    warnings.extend(bounds.warnings);
    warnings.extend(reading.warnings);
    let mut notices = bounds.notices;
    notices.extend(reading.notices);
    let origin = match choice.strategy {
        Strategy::Full => None,
        Strategy::Timestamp | Strategy::Sequence | Strategy::RowVersion => {
            Some(origin::origin(source, bounds.counter))
        }
    };
    let tells = choice.strategy == Strategy::RowVersion && source.versions_tell();
    ExtractPlan {
        strategy: choice.strategy,
        why,
        warnings,
        notices,
        full_read: bounds.full_read,
        window: bounds.window,
        previous_upper: bounds.previous_upper,
        watermark_column: choice.column,
        is_empty: bounds.is_empty,
        session: reading.session,
        finish: reading.finish,
        page_rows: pages.then_some(page_rows),
        future: bounds.future,
        origin,
        split: None,
        resumes: None,
        needs_fence: false,
        rows_expected: source
            .facts
            .row_estimate
            .filter(|_| !source.facts.environment.sees_policies && !source.facts.is_view),
        distinct_keys: bounds.full_read && reading.sees_one_state && source.key_is_unique(),
        sees_one_state: reading.sees_one_state,
        misses_rows: bounds.full_read && !reading.sees_one_state && !tells,
        keeps_versions: false,
        table: source.schema.clone(),
        locking: reading.locking,
    }
}
