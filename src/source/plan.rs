//! A read that is decided and bounded, as the statements that sync runs.
//!
//! [`Read`] says what is read, and what belongs to one way of reading stands in its variant alone. A plan cannot have
//! a ledger without ranges, a window without bounds, or pages of a whole table, so no consumer has to ask for that.
//!
//! | variant | rows | what only it has |
//! |---|---|---|
//! | [`Read::Nothing`] | none | the bound, which stays |
//! | [`Read::Window`] | of a window | both bounds and the last one; its cuts into steps; the size of its pages |
//! | [`Read::Tracked`] | of the keys that a log has of a window | its cuts; whether its bound is kept anyway |
//! | [`Read::Whole`] | all, in one stream | where they end; what a scan that sees no single state may miss |
//! | [`Read::Ranges`] | all, in ranges | cuts; the ledger, or the one state that all ranges share |
//!
//! Pages and steps are no variants of their own: they are ways to read a window, and everything else of one holds for
//! them. Steps ([`ExtractPlan::steps`]) are plans again, each of a window that has none.

use super::auto::Choice;
use super::cuts::{self, Split};
use super::discover::Discovered;
use super::isolation::{LOCK_TIMEOUT_MS, Reading};
use super::notice::Notice;
use super::origin;
use super::tracked::Tracked;
use super::window::{Bounds, Extent};
use crate::change::{Backfill, Origin, Strategy, TrackedSince, Watermark, Window};
use crate::mssql::sql::read::{self, Closed, Locking, PageCursor, Range, Until};
use crate::mssql::sql::{self, Statement};
use crate::schema::{Fidelity, Role, TableKind, TableSchema};

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
            Read::Nothing { .. } | Read::Window(_) | Read::Tracked(_) => false,
        }
    }

    /// Where the window begins; none where everything is read.
    pub fn lower(&self) -> Option<&Watermark> {
        match &self.read {
            Read::Nothing { at } => Some(at),
            Read::Window(followed) => Some(&followed.window.lower),
            Read::Tracked(tracked) => Some(&tracked.window.lower),
            Read::Whole(_) | Read::Ranges(_) => None,
        }
    }

    /// What the checkpoint will say: where the next window begins.
    pub fn upper(&self) -> Option<&Watermark> {
        match &self.read {
            Read::Nothing { at } => Some(at),
            Read::Window(followed) => Some(&followed.window.upper),
            Read::Tracked(tracked) => Some(&tracked.window.upper),
            Read::Whole(_) | Read::Ranges(_) => self.follows()?.1,
        }
    }

    /// Position of the watermark column in the table's columns, where rows are read by it or later windows follow it.
    pub fn watermark_column(&self) -> Option<usize> {
        match &self.read {
            Read::Nothing { .. } | Read::Tracked(_) => None,
            Read::Window(followed) => Some(followed.column),
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
            Read::Nothing { .. } | Read::Window(_) | Read::Whole(_) | Read::Ranges(_) => false,
        }
    }

    /// Column, bound and future of a whole read under a watermark.
    fn follows(&self) -> Option<(Option<usize>, Option<&Watermark>, Option<&Watermark>)> {
        let follows = match &self.read {
            Read::Nothing { .. } | Read::Window(_) | Read::Tracked(_) => return None,
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
            Read::Nothing { .. } | Read::Window(_) | Read::Tracked(_) => false,
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
            Read::Nothing { .. } | Read::Window(_) | Read::Tracked(_) => false,
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
            Read::Nothing { .. } | Read::Window(_) | Read::Tracked(_) | Read::Ranges(_) => false,
        }
    }

    /// The bound of ranges that several runs may read, each in a state of its own.
    pub fn resumable_bound(&self) -> Option<&Watermark> {
        match &self.read {
            Read::Ranges(ranges) => ranges.bound(),
            Read::Nothing { .. } | Read::Window(_) | Read::Tracked(_) | Read::Whole(_) => None,
        }
    }

    /// How the table is cut, if it is read in ranges.
    pub fn split(&self) -> Option<&Split> {
        match &self.read {
            Read::Ranges(ranges) => Some(&ranges.split),
            Read::Nothing { .. } | Read::Window(_) | Read::Tracked(_) | Read::Whole(_) => None,
        }
    }

    /// What is read and committed on its own, in order: the steps of a large window, else the read as it is. Each is
    /// made when its turn comes.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = ExtractPlan> {
        let steps = match &self.read {
            Read::Window(followed) => followed.cuts.len() + 1,
            Read::Tracked(tracked) => tracked.steps(),
            Read::Nothing { .. } | Read::Whole(_) | Read::Ranges(_) => 1,
        };
        (0..steps).map(|at| {
            let mut step = self.clone();
            match &self.read {
                Read::Window(followed) => step.read = Read::Window(followed.step(at)),
                Read::Tracked(tracked) => step.take_step(tracked.step(at)),
                Read::Nothing { .. } | Read::Whole(_) | Read::Ranges(_) => {}
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
    pub fn unseen(&self, nulls: u64, future: u64) -> Vec<String> {
        let column = self.watermark_column().map(|at| &self.table.columns[at]);
        column.map_or_else(Vec::new, |column| unseen(&column.name, nulls, future))
    }

    /// What to say of a whole read that was shown so many rows, if it may not have been shown all.
    pub fn hidden(&self, rows: u64) -> Option<String> {
        let expected = match &self.read {
            Read::Nothing { .. } | Read::Window(_) | Read::Tracked(_) => None,
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
            Read::Window(followed) => Some(self.first_of(followed)),
            Read::Tracked(tracked) => {
                let positions = tracked.positions();
                Some(sql::tracked::window(&self.table, self.locking, positions))
            }
            Read::Whole(whole) => Some(self.stream_of(whole)),
            Read::Ranges(ranges) => Some(self.key_range(&ranges.split, 0)),
        }
    }

    /// The first page of a window, or all of it.
    fn first_of(&self, followed: &Followed) -> Statement {
        let range = self.range(followed);
        match followed.page_rows {
            Some(rows) => read::first_page(&self.table, self.locking, &range, rows),
            None => read::window(&self.table, self.locking, &range),
        }
    }

    /// The page of a window after the row that `cursor` names; none when there are no pages.
    pub fn next_page(&self, cursor: &PageCursor) -> Option<Statement> {
        let Read::Window(followed) = &self.read else {
            return None;
        };
        let rows = followed.page_rows?;
        let range = self.range(followed);
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

/// What was decided before a plan is made of it.
pub(super) struct Decided {
    pub(super) choice: Choice,
    pub(super) reading: Reading,
    pub(super) bounds: Bounds,
    /// How a read of all rows is cut, and the ledger that it continues.
    pub(super) cut: Option<(Split, Option<Backfill>)>,
    /// Where a window is cut into steps.
    pub(super) steps: Vec<Watermark>,
    pub(super) kind: TableKind,
    pub(super) fidelity: Fidelity,
}

/// The plan of what was decided.
pub(super) fn assemble(source: &Discovered, decided: Decided) -> ExtractPlan {
    let Decided {
        choice,
        reading,
        bounds,
        cut,
        steps,
        kind,
        fidelity,
    } = decided;
    let continued = cut.as_ref().and_then(|(_, ledger)| ledger.as_ref());
    let found = (bounds.counter, bounds.tracking);
    let origin = read_at(source, choice.strategy, continued, found);
    let follows = |upper| {
        let follows = choice.column.is_some() || choice.strategy.follows_log();
        follows.then_some(Follows {
            column: choice.column,
            upper,
            future: bounds.future,
        })
    };
    let rows_expected = (source.facts.row_estimate)
        .filter(|_| !source.facts.environment.sees_policies && !source.facts.is_view);
    let whole = |end| {
        Read::Whole(Whole {
            end,
            scan: scan(source, choice.strategy, reading.sees_one_state),
            rows_expected,
        })
    };
    let unordered = unordered(source, &bounds.extent, choice.column, &reading);
    let read = match (bounds.extent, choice.column, cut) {
        (Extent::Nothing { at }, ..) => Read::Nothing { at },
        (Extent::Window(window), Some(column), _) => Read::Window(Followed {
            column,
            window,
            page_rows: page_rows(source, column, reading.sees_one_state, fidelity),
            cuts: steps,
        }),
        (Extent::Tracked(changes), ..) => Read::Tracked(Tracked::of(changes, steps)),
        // Only a strategy that follows a column makes a window.
        (Extent::Window(_), None, _) => whole(End::Unordered),
        (Extent::Whole { upper }, _, Some((split, continues))) => Read::Ranges(Ranges {
            states: states(source, choice.strategy, &split, follows(upper), continues),
            split,
            rows_expected,
        }),
        (Extent::Whole { upper }, column, None) => whole(end(follows(upper), kind, column)),
    };
    ExtractPlan {
        strategy: choice.strategy,
        why: [choice.why, bounds.why, vec![reading.why], unordered].concat(),
        warnings: [
            source.warnings.clone(),
            choice.warnings,
            bounds.warnings,
            reading.warnings,
        ]
        .concat(),
        notices: [bounds.notices, reading.notices].concat(),
        read,
        session: reading.session,
        finish: reading.finish,
        origin,
        table: source.schema.clone(),
        locking: reading.locking,
    }
}

/// Where a read of all rows in one stream ends.
fn end(follows: Option<Follows>, kind: TableKind, column: Option<usize>) -> End {
    match (follows, kind, column) {
        (None, ..) => End::Unordered,
        (Some(follows), TableKind::History, Some(column)) => End::NextWindow(column, follows),
        (Some(follows), TableKind::Mirror | TableKind::History, _) => End::Open(follows),
    }
}

/// Where rows are read. A ledger goes on from where its first range was: what moved since is found by the next run.
fn read_at(
    source: &Discovered,
    strategy: Strategy,
    continued: Option<&Backfill>,
    (counter, tracking): (Option<String>, Option<TrackedSince>),
) -> Option<Origin> {
    match (strategy, continued) {
        (Strategy::Full, _) => None,
        (_, Some(ledger)) => ledger.origin.clone(),
        (
            Strategy::Timestamp
            | Strategy::Sequence
            | Strategy::RowVersion
            | Strategy::ChangeTracking,
            None,
        ) => Some(origin::origin(source, counter, tracking)),
    }
}

fn scan(source: &Discovered, strategy: Strategy, sees_one_state: bool) -> Scan {
    let tells = match strategy {
        Strategy::RowVersion => source.versions_tell(),
        Strategy::ChangeTracking => true,
        Strategy::Full | Strategy::Timestamp | Strategy::Sequence => false,
    };
    match sees_one_state {
        true => Scan::OneState {
            distinct_keys: source.key_is_unique(),
        },
        false => Scan::RowByRow {
            misses_rows: !tells,
        },
    }
}

/// Whether ranges may be read in several states: under a bound, if their key does not move unseen.
fn states(
    source: &Discovered,
    strategy: Strategy,
    split: &Split,
    follows: Option<Follows>,
    continues: Option<Backfill>,
) -> States {
    let is_resumable = cuts::is_resumable(strategy, &source.schema.columns[split.column]);
    match follows {
        Some(Follows {
            column,
            upper: Some(bound),
            future,
        }) if is_resumable => States::Several {
            column,
            bound,
            future,
            continues: continues.map(Box::new),
        },
        follows => States::One(follows),
    }
}

/// The size of a window's pages; none where one statement does as well, where no index has their order, or where the
/// next one could not be begun. Only row locks are held for a shorter time by shorter statements: row versions are kept
/// for the transaction, which the steps of a window shorten. Without an index in their order the server would read and
/// sort the rest of the window for each page.
fn page_rows(
    source: &Discovered,
    column: usize,
    sees_one_state: bool,
    fidelity: Fidelity,
) -> Option<u64> {
    let needed = !sees_one_state
        && source.schema.key.is_some()
        && source.is_ordered_by_index(column)
        && !cursor_is_cut(&source.schema, column, fidelity);
    needed.then_some(LOCKED_PAGE_ROWS)
}

/// Why a window is not read in pages although an index begins with its column.
fn unordered(
    source: &Discovered,
    extent: &Extent,
    column: Option<usize>,
    reading: &Reading,
) -> Vec<String> {
    let (Extent::Window(_), Some(column)) = (extent, column) else {
        return Vec::new();
    };
    let name = &source.schema.columns[column].name;
    let is_said = !reading.sees_one_state
        && source.schema.key.is_some()
        && source.is_led_by_index(column)
        && !source.is_ordered_by_index(column);
    let said = is_said.then(|| {
        format!(
            "the window is read in one statement: no index has rows with equal {name} in the order of the key, so each \
             page would sort the rest of the window"
        )
    });
    said.into_iter().collect()
}

/// Whether the lake does not keep all of the value that the next page of a window would begin after: a seventh digit or
/// an offset, under `fidelity: standard`.
fn cursor_is_cut(table: &TableSchema, column: usize, fidelity: Fidelity) -> bool {
    let is_cut = |role: &Role| matches!(role, Role::Ticks | Role::Offset);
    let mut columns = std::iter::once(&table.columns[column]).chain(table.key_columns());
    fidelity == Fidelity::Standard
        && columns.any(|column| column.ty.facts().companions.iter().any(is_cut))
}
