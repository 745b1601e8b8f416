//! The plan of a read, made of what was decided.

use super::{
    End, ExtractPlan, Followed, Follows, LOCKED_PAGE_ROWS, Ranges, Read, Scan, Spanned, States,
    Whole,
};
use crate::change::{Again, Backfill, Origin, Strategy, TrackedSince, Watermark};
use crate::schema::{Fidelity, Role, TableKind, TableSchema};
use crate::source::auto::Choice;
use crate::source::cuts::{self, Split};
use crate::source::discover::Discovered;
use crate::source::isolation::Reading;
use crate::source::origin;
use crate::source::tracked::Tracked;
use crate::source::window::{Bounds, Extent};

/// What was decided before a plan is made of it.
pub struct Decided {
    pub choice: Choice,
    pub reading: Reading,
    pub bounds: Bounds,
    /// How a read of all rows is cut, and the ledger that it continues.
    pub cut: Option<(Split, Option<Backfill>)>,
    /// Where a window is cut into steps.
    pub steps: Vec<Watermark>,
    pub kind: TableKind,
    pub fidelity: Fidelity,
}

/// The plan of what was decided.
pub fn assemble(source: &Discovered, decided: Decided) -> ExtractPlan {
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
    let rows_expected = rows_expected(source);
    let pages = |column| page_rows(source, column, reading.sees_one_state, fidelity);
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
            page_rows: pages(column),
            cuts: steps,
        }),
        (Extent::Tracked(changes), ..) => Read::Tracked(Tracked::of(changes, steps)),
        (Extent::Again(again), Some(column), _) => {
            Read::Again(spanned(column, again, pages(column)))
        }
        // Only a strategy that follows a column makes a window.
        (Extent::Window(_) | Extent::Again(_), None, _) => whole(End::Unordered),
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

fn spanned(column: usize, again: Again, page_rows: Option<u64>) -> Spanned {
    Spanned {
        column,
        again,
        page_rows,
    }
}

/// The source's rows, where policies that hide some could not be seen.
fn rows_expected(source: &Discovered) -> Option<u64> {
    let facts = &source.facts;
    facts
        .row_estimate
        .filter(|_| !facts.environment.sees_policies && !facts.is_view)
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
    let (Extent::Window(_) | Extent::Again(_), Some(column)) = (extent, column) else {
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
