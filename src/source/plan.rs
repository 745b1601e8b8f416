//! A read that is decided and bounded, as the statements that sync runs.
//!
//! [`Read`] says what is read, and what belongs to one way of reading stands in its variant alone. A plan cannot have
//! a ledger without ranges, a window without bounds, or pages of a whole table, so no consumer has to ask for that.
//!
//! | variant | rows | what only it has |
//! |---|---|---|
//! | [`Read::Nothing`] | none | the bound, which stays |
//! | [`Read::Window`] | of a window | both bounds and the last one; its cuts into steps; the size of its pages |
//! | [`Read::Again`] | of a part that was read before | the checkpoint's bound, which stays; the size of its pages |
//! | [`Read::Tracked`] | of the keys that a log has of a window | its cuts; whether its bound is kept anyway |
//! | [`Read::Whole`] | all, in one stream | where they end; what a scan that sees no single state may miss |
//! | [`Read::Ranges`] | all, in ranges | cuts; the ledger, or the one state that all ranges share |
//!
//! Pages and steps are no variants of their own: they are ways to read a window, and everything else of one holds for
//! them. Steps ([`ExtractPlan::steps`]) are plans again, each of a window that has none.

pub(super) mod decided;

use super::cuts::Split;
use super::isolation::LOCK_TIMEOUT_MS;
use super::notice::Notice;
use super::odd::{OddRows, unseen};
use super::tracked::Tracked;
use crate::change::{Again, Backfill, Origin, Strategy, Watermark, Window};
use crate::mssql::sql::read::{self, Closed, Locking, PageCursor, Range, Until};
use crate::mssql::sql::{self, Statement};
use crate::schema::TableSchema;

/// How long a lock on a whole table waits for the writers that are there. Writers that come later wait behind it.
pub(super) const TABLE_TIMEOUT_MS: u32 = 10_000;
/// How long a channel waits for its first look under a fence. Only a change of the table's definition (ALTER, TRUNCATE)
/// that waits for the fence stands in its way, and everyone who uses the table waits behind that one.
pub const LOOK_TIMEOUT_MS: u32 = 1_000;

/// Rows of a page that is read with row locks. A page by an index fetches each row from the table, and its
/// statement may keep the locks of its index rows until it ends. So it ends soon, and holds fewer than the 5,000 locks
/// at which SQL Server may lock the whole table instead.
const LOCKED_PAGE_ROWS: u64 = 2_000;

/// Everything that a read needs, decided and bounded; no row has been read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtractPlan {
    pub strategy: Strategy,
    /// The choices, one plain sentence each, for `plan` and reports.
    pub why: Vec<String>,
    pub warnings: Vec<String>,
    /// What concerns other tables of the source, too.
    pub notices: Vec<Notice>,
    pub read: Read,
    /// Run on the reading channel before the first statement, as plain batches.
    pub session: Vec<Statement>,
    /// Run on the reading channel after the last statement.
    pub finish: Vec<Statement>,
    /// Where the rows are read, for the checkpoint; none for a strategy that reads everything each time.
    pub origin: Option<Origin>,
    table: TableSchema,
    locking: Locking,
}

/// What is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// No row: nothing lies above the last bound, which is this one.
    Nothing { at: Watermark },
    /// The rows of a window.
    Window(Followed),
    /// The rows of a part of the order that lies beneath the last bound.
    Again(Spanned),
    /// The rows of the keys that a log has of a window; a key without a row is deleted.
    Tracked(Tracked),
    /// All rows, in one stream.
    Whole(Whole),
    /// All rows, in ranges of the key.
    Ranges(Ranges),
}

/// A window of a column's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// Position in the table's columns.
    pub column: usize,
    pub window: Window,
    /// Rows of a page; none reads the window in one stream.
    pub page_rows: Option<u64>,
    /// Where it is cut into steps, ascending.
    cuts: Vec<Watermark>,
}

/// A part of a column's order that is read once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned {
    /// Position in the table's columns.
    pub column: usize,
    pub again: Again,
    /// As in [`Followed`].
    pub page_rows: Option<u64>,
}

impl Followed {
    /// One of the steps by its number, or the window itself where there are none.
    fn step(&self, at: usize) -> Followed {
        let Window {
            lower,
            upper,
            previous,
        } = &self.window;
        let before = at.checked_sub(1).and_then(|before| self.cuts.get(before));
        Followed {
            column: self.column,
            window: Window {
                lower: before.unwrap_or(lower).clone(),
                upper: self.cuts.get(at).unwrap_or(upper).clone(),
                previous: before.unwrap_or(previous).clone(),
            },
            page_rows: self.page_rows,
            cuts: Vec::new(),
        }
    }
}

/// What later windows follow, and where they begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Follows {
    /// Position in the table's columns; none where a log is followed.
    column: Option<usize>,
    /// None: the column holds no value.
    upper: Option<Watermark>,
    /// Times beyond it lie in the future, where a timestamp is followed.
    future: Option<Watermark>,
}

/// A read of all rows in one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    end: End,
    scan: Scan,
    /// As in [`Ranges`].
    rows_expected: Option<u64>,
}

/// Where a read of all rows ends.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    /// There is no order, and no later window.
    Unordered,
    /// It has no end: a mirror may get a row that the next window brings, too, and so may a history where a log is
    /// followed, whose windows are compared with what it has.
    Open(Follows),
    /// Where the next window of this column begins: a history keeps each version that is read, so none may be read
    /// twice.
    NextWindow(usize, Follows),
}

/// What a read of all rows in one stream sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scan {
    /// One state of the table, so a row that it does not bring is not there. No two rows of one state have the same key
    /// if the source enforces it.
    OneState { distinct_keys: bool },
    /// Rows as they are met, without row versions. A row that moves against the scan is passed over. `misses_rows`: no
    /// later window brings it. Under a rowversion that tells, moving the row has changed it.
    RowByRow { misses_rows: bool },
}

/// A read of all rows in ranges of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranges {
    pub split: Split,
    pub states: States,
    /// About as many rows the table has, where security policies that hide some could not be seen.
    rows_expected: Option<u64>,
}

/// In which states of the table its ranges are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum States {
    /// Each in one of its own, also by several runs: what changes after the bound was taken comes with the next window.
    Several {
        /// Position of the watermark column in the table's columns; none where a log is followed.
        column: Option<usize>,
        bound: Watermark,
        /// Times beyond it lie in the future, where a timestamp is followed.
        future: Option<Watermark>,
        /// The ledger that this read continues.
        continues: Option<Box<Backfill>>,
    },
    /// All in one, under a [`fence`](ExtractPlan::fence).
    One(Option<Follows>),
}

impl ExtractPlan {
    /// All rows are read, not only a window's.
    pub fn full_read(&self) -> bool {
        match self.read {
            Read::Whole(_) | Read::Ranges(_) => true,
            Read::Nothing { .. } | Read::Window(_) | Read::Again(_) | Read::Tracked(_) => false,
        }
    }

    /// Where the window begins; none where everything is read.
    pub fn lower(&self) -> Option<&Watermark> {
        match &self.read {
            Read::Nothing { at } => Some(at),
            Read::Window(followed) => Some(&followed.window.lower),
            Read::Again(spanned) => Some(&spanned.again.lower),
            Read::Tracked(tracked) => Some(&tracked.window.lower),
            Read::Whole(_) | Read::Ranges(_) => None,
        }
    }

    /// Where the rows that are read end.
    pub fn end(&self) -> Option<&Watermark> {
        self.again()
            .map_or_else(|| self.upper(), |again| Some(&again.upper))
    }

    /// What is read once more; none of any other read.
    pub fn again(&self) -> Option<&Again> {
        match &self.read {
            Read::Again(spanned) => Some(&spanned.again),
            Read::Nothing { .. }
            | Read::Window(_)
            | Read::Tracked(_)
            | Read::Whole(_)
            | Read::Ranges(_) => None,
        }
    }

    /// What the checkpoint will say: where the next window begins.
    pub fn upper(&self) -> Option<&Watermark> {
        match &self.read {
            Read::Nothing { at } => Some(at),
            Read::Window(followed) => Some(&followed.window.upper),
            Read::Again(spanned) => Some(&spanned.again.bound),
            Read::Tracked(tracked) => Some(&tracked.window.upper),
            Read::Whole(_) | Read::Ranges(_) => self.follows()?.1,
        }
    }

    /// Position of the watermark column in the table's columns, where rows are read by it or later windows follow it.
    pub fn watermark_column(&self) -> Option<usize> {
        match &self.read {
            Read::Nothing { .. } | Read::Tracked(_) => None,
            Read::Window(followed) => Some(followed.column),
            Read::Again(spanned) => Some(spanned.column),
            Read::Whole(_) | Read::Ranges(_) => self.follows()?.0,
        }
    }

    /// Times beyond it lie in the future, where a whole read follows a timestamp.
    pub fn future(&self) -> Option<&Watermark> {
        self.follows()?.2
    }

    /// The bound is kept even if nothing of the window is new.
    pub fn renews(&self) -> bool {
        match &self.read {
            Read::Tracked(tracked) => tracked.renews,
            Read::Nothing { .. }
            | Read::Window(_)
            | Read::Again(_)
            | Read::Whole(_)
            | Read::Ranges(_) => false,
        }
    }

    /// Column, bound and future of a whole read under a watermark.
    fn follows(&self) -> Option<(Option<usize>, Option<&Watermark>, Option<&Watermark>)> {
        let follows = match &self.read {
            Read::Nothing { .. } | Read::Window(_) | Read::Again(_) | Read::Tracked(_) => {
                return None;
            }
            Read::Whole(whole) => match &whole.end {
                End::Unordered => return None,
                End::Open(follows) | End::NextWindow(_, follows) => follows,
            },
            Read::Ranges(ranges) => match &ranges.states {
                States::Several {
                    column,
                    bound,
                    future,
                    ..
                } => return Some((*column, Some(bound), future.as_ref())),
                States::One(follows) => follows.as_ref()?,
            },
        };
        let Follows {
            column,
            upper,
            future,
        } = follows;
        Some((*column, upper.as_ref(), future.as_ref()))
    }

    /// No two rows that are read have the same key.
    pub fn distinct_keys(&self) -> bool {
        match &self.read {
            Read::Nothing { .. } | Read::Window(_) | Read::Again(_) | Read::Tracked(_) => false,
            Read::Whole(whole) => {
                whole.scan
                    == Scan::OneState {
                        distinct_keys: true,
                    }
            }
            // Nothing else is cut.
            Read::Ranges(_) => true,
        }
    }

    /// A row that a whole read does not bring is not there.
    pub fn sees_one_state(&self) -> bool {
        match &self.read {
            Read::Nothing { .. } | Read::Window(_) | Read::Again(_) | Read::Tracked(_) => false,
            Read::Whole(whole) => match whole.scan {
                Scan::OneState { .. } => true,
                Scan::RowByRow { .. } => false,
            },
            Read::Ranges(_) => true,
        }
    }

    /// A whole read may miss rows that no later window brings.
    pub fn misses_rows(&self) -> bool {
        match &self.read {
            Read::Whole(whole) => whole.scan == Scan::RowByRow { misses_rows: true },
            Read::Nothing { .. }
            | Read::Window(_)
            | Read::Again(_)
            | Read::Tracked(_)
            | Read::Ranges(_) => false,
        }
    }

    /// The bound of ranges that several runs may read, each in a state of its own.
    pub fn resumable_bound(&self) -> Option<&Watermark> {
        match &self.read {
            Read::Ranges(ranges) => ranges.bound(),
            Read::Nothing { .. }
            | Read::Window(_)
            | Read::Again(_)
            | Read::Tracked(_)
            | Read::Whole(_) => None,
        }
    }

    /// How the table is cut, if it is read in ranges.
    pub fn split(&self) -> Option<&Split> {
        match &self.read {
            Read::Ranges(ranges) => Some(&ranges.split),
            Read::Nothing { .. }
            | Read::Window(_)
            | Read::Again(_)
            | Read::Tracked(_)
            | Read::Whole(_) => None,
        }
    }

    /// What is read and committed on its own, in order: the steps of a large window, else the read as it is. Each is
    /// made when its turn comes.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = ExtractPlan> {
        let steps = match &self.read {
            Read::Window(followed) => followed.cuts.len() + 1,
            Read::Tracked(tracked) => tracked.steps(),
            Read::Nothing { .. } | Read::Again(_) | Read::Whole(_) | Read::Ranges(_) => 1,
        };
        (0..steps).map(|at| {
            let mut step = self.clone();
            match &self.read {
                Read::Window(followed) => step.read = Read::Window(followed.step(at)),
                Read::Tracked(tracked) => step.take_step(tracked.step(at)),
                Read::Nothing { .. } | Read::Again(_) | Read::Whole(_) | Read::Ranges(_) => {}
            }
            step
        })
    }

    /// Becomes a step. The bound of one that another follows is older than that of the window.
    fn take_step(&mut self, step: Tracked) {
        let tracking = self
            .origin
            .as_mut()
            .and_then(|origin| origin.tracking.as_mut());
        if let (Some(tracking), true) = (tracking, step.is_followed) {
            tracking.at = step.since.unwrap_or(0);
        }
        self.read = Read::Tracked(step);
    }

    /// What to say of rows without a watermark, and of those with one in the future, that a whole read has met.
    pub fn unseen(&self, nulls: &OddRows, future: &OddRows) -> Vec<String> {
        let column = self.watermark_column().map(|at| &self.table.columns[at]);
        column.map_or_else(Vec::new, |column| unseen(&column.name, nulls, future))
    }

    /// What to say of a whole read that was shown so many rows, if it may not have been shown all.
    pub fn hidden(&self, rows: u64) -> Option<String> {
        let expected = match &self.read {
            Read::Nothing { .. } | Read::Window(_) | Read::Again(_) | Read::Tracked(_) => None,
            Read::Whole(whole) => whole.rows_expected,
            Read::Ranges(ranges) => ranges.rows_expected,
        }?;
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

    /// What is read first: the first range, the first page, or everything. None where nothing is read.
    pub fn first_read(&self) -> Option<Statement> {
        match &self.read {
            Read::Nothing { .. } => None,
            Read::Window(followed) => {
                Some(self.first_of(&self.range(followed), followed.page_rows))
            }
            Read::Again(spanned) => Some(self.first_of(&self.span(spanned), spanned.page_rows)),
            Read::Tracked(tracked) => {
                let positions = tracked.positions();
                Some(sql::tracked::window(&self.table, self.locking, positions))
            }
            Read::Whole(whole) => Some(self.stream_of(whole)),
            Read::Ranges(ranges) => Some(self.key_range(&ranges.split, 0)),
        }
    }

    /// The first page of a window, or all of it.
    fn first_of(&self, range: &Range<'_>, page_rows: Option<u64>) -> Statement {
        match page_rows {
            Some(rows) => read::first_page(&self.table, self.locking, range, rows),
            None => read::window(&self.table, self.locking, range),
        }
    }

    /// The column that pages are in the order of, and the rows of a page; none when there are no pages.
    pub fn pages(&self) -> Option<(usize, u64)> {
        match &self.read {
            Read::Window(followed) => followed.page_rows.map(|rows| (followed.column, rows)),
            Read::Again(spanned) => spanned.page_rows.map(|rows| (spanned.column, rows)),
            Read::Nothing { .. } | Read::Tracked(_) | Read::Whole(_) | Read::Ranges(_) => None,
        }
    }

    /// The page of a window after the row that `cursor` names; none when there are no pages.
    pub fn next_page(&self, cursor: &PageCursor) -> Option<Statement> {
        let (_, rows) = self.pages()?;
        let range = match &self.read {
            Read::Window(followed) => self.range(followed),
            Read::Again(spanned) => self.span(spanned),
            Read::Nothing { .. } | Read::Tracked(_) | Read::Whole(_) | Read::Ranges(_) => {
                return None;
            }
        };
        Some(read::next_page(
            &self.table,
            self.locking,
            &range,
            rows,
            cursor,
        ))
    }

    /// All rows, in one statement.
    fn stream_of(&self, whole: &Whole) -> Statement {
        match &whole.end {
            End::Unordered | End::Open(_) => read::all(&self.table, self.locking),
            End::NextWindow(column, follows) => {
                let until = Until {
                    column: *column,
                    upper: follows.upper.as_ref().map(|upper| upper.text.as_str()),
                    closed: closed(self.strategy),
                };
                read::all_until(&self.table, self.locking, &until)
            }
        }
    }

    /// The rows of one range of [`Ranges::split`].
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

    fn range<'a>(&self, followed: &'a Followed) -> Range<'a> {
        Range {
            column: followed.column,
            lower: &followed.window.lower.text,
            upper: &followed.window.upper.text,
            closed: closed(self.strategy),
        }
    }

    fn span<'a>(&self, spanned: &'a Spanned) -> Range<'a> {
        let again = &spanned.again;
        let ends_below = again.ends_at_bound && closed(self.strategy) == Closed::Below;
        Range {
            column: spanned.column,
            lower: &again.lower.text,
            upper: &again.upper.text,
            closed: match ends_below {
                true => Closed::Below,
                false => Closed::Both,
            },
        }
    }
}

/// Which end of a strategy's windows belongs to them.
pub(super) fn closed(strategy: Strategy) -> Closed {
    match strategy {
        Strategy::Sequence | Strategy::ChangeTracking => Closed::Above,
        Strategy::Full | Strategy::Timestamp | Strategy::RowVersion => Closed::Below,
    }
}

impl Ranges {
    /// The bound of ranges that several runs may read, each in a state of its own.
    pub fn bound(&self) -> Option<&Watermark> {
        match &self.states {
            States::Several { bound, .. } => Some(bound),
            States::One(_) => None,
        }
    }

    /// The ledger that this read continues.
    pub fn continues(&self) -> Option<&Backfill> {
        match &self.states {
            States::Several { continues, .. } => continues.as_deref(),
            States::One(_) => None,
        }
    }

    /// All transactions of the ranges must be opened on one state, under [`ExtractPlan::fence`].
    pub fn needs_fence(&self) -> bool {
        match &self.states {
            States::Several { .. } => false,
            States::One(_) => true,
        }
    }
}
