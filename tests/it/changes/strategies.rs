//! The change strategies: what each needs of a table, and what it promises.
//!
//! A promise is a pure function. Of one key it takes the row that the lake had before a run, the row that committed
//! transactions have left in the source, and the [`Moment`] of the run, and says which of the two the lake has after
//! it.

use super::table::Row;
use crate::model::rows::number;

/// The strategies that are played.
const PLAYED: &[&str] = &[
    "full",
    "rowversion",
    "timestamp",
    "sequence",
    "change_tracking",
];

/// The column that a strategy follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    Nothing,
    /// A `rowversion`.
    Version,
    /// A time that each statement sets.
    Time,
    /// The key, which is an identity.
    Identity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    Never,
    /// Ranges of one state begin while writers are kept out.
    ForRanges,
    Always,
}

#[derive(Debug)]
pub struct Strategy {
    /// As in the configuration.
    pub name: &'static str,
    /// What the database needs first.
    pub database: &'static [&'static str],
    /// What a new table needs; `{table}` is its name.
    pub needs: &'static [&'static str],
    /// Other options of `change`.
    pub options: &'static str,
    pub follows: Follows,
    /// A table of kind `history` is played, too.
    pub has_history: bool,
    /// Its tables may be truncated.
    pub may_be_emptied: bool,
    /// When its reads wait for the transactions that have written to a table, whatever the isolation.
    pub waits: Waits,
    pub owes: Promise,
}

pub type Promise = fn(&Moment, Option<&Row>, Option<&Row>) -> Owed;

/// When a run reads a table. No session writes during a run, so the committed rows are the same from its beginning to
/// its end.
#[derive(Debug, Clone, Default)]
pub struct Moment {
    /// The whole table is read.
    pub is_whole: bool,
    pub is_history: bool,
    /// No transaction is open.
    pub is_quiet: bool,
    /// The lowest row version that an open transaction may hold.
    pub min_active: i64,
    /// All rows with an earlier time are committed, and old enough to be read.
    pub settled: i64,
    /// The table was truncated since it was read whole.
    pub is_renumbered: bool,
    /// Numbers up to the first are read already, and those above the second are not.
    pub numbers: (i64, i64),
}

/// What the lake has of a key after a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owed {
    /// The row of the source, or none if the source has none.
    AsSource,
    /// What it had.
    AsBefore,
    /// One of the two. A later run decides.
    Either,
}

/// Times before this one (2010) are those of rows that were set back.
const LONG_AGO: i64 = 1_262_304_000_000_000;

/// The time that each statement sets.
const TIME: &str = "updated_at";

static ALL: [Strategy; 5] = [
    Strategy {
        name: "full",
        waits: Waits::ForRanges,
        owes: full,
        ..PLAIN
    },
    Strategy {
        name: "rowversion",
        follows: Follows::Version,
        owes: rowversion,
        ..PLAIN
    },
    Strategy {
        name: "timestamp",
        options: "column: updated_at, lag: 0s, overlap: {overlap}, clock: utc",
        follows: Follows::Time,
        owes: timestamp,
        ..PLAIN
    },
    Strategy {
        name: "sequence",
        options: "column: id",
        follows: Follows::Identity,
        waits: Waits::Always,
        owes: sequence,
        ..PLAIN
    },
    Strategy {
        name: "change_tracking",
        database: &[
            "ALTER DATABASE CURRENT SET CHANGE_TRACKING = ON (CHANGE_RETENTION = 2 DAYS, AUTO_CLEANUP = ON)",
        ],
        needs: &["ALTER TABLE {table} ENABLE CHANGE_TRACKING"],
        has_history: false,
        owes: complete,
        ..PLAIN
    },
];

const PLAIN: Strategy = Strategy {
    name: "",
    database: &[],
    needs: &[],
    options: "",
    follows: Follows::Nothing,
    has_history: true,
    may_be_emptied: true,
    waits: Waits::Never,
    owes: complete,
};

/// Those that are played.
pub fn played() -> Vec<&'static Strategy> {
    let named = |name: &&str| {
        let mut all = ALL.iter();
        all.find(|strategy| strategy.name == *name)
            .unwrap_or_else(|| panic!("{name} is no strategy"))
    };
    PLAYED.iter().map(named).collect()
}

/// Every row is read, and one that is not there is gone.
fn full(_: &Moment, _: Option<&Row>, _: Option<&Row>) -> Owed {
    Owed::AsSource
}

/// Rows below the lowest open version are read. A row that was deleted, or has another key now, stays in the lake until
/// a whole read, as it was read last. A whole read of a mirror has no upper end; that of a history ends where the next
/// window begins, and does not tell what is gone.
fn rowversion(moment: &Moment, _: Option<&Row>, source: Option<&Row>) -> Owed {
    let is_everything = moment.is_whole && !moment.is_history;
    let version = source.map(|row| cell(row, "rv").expect("a version"));
    match version {
        _ if is_everything => Owed::AsSource,
        Some(version) if version < moment.min_active => Owed::AsSource,
        Some(_) | None => Owed::AsBefore,
    }
}

/// Rows are read once their time has passed and no open transaction is as old. One that was set far back, or has no
/// time, is seen by whole reads alone until it changes again. Gone rows stay as under `rowversion`.
fn timestamp(moment: &Moment, _: Option<&Row>, source: Option<&Row>) -> Owed {
    let is_everything = moment.is_whole && !moment.is_history;
    match source {
        _ if is_everything => Owed::AsSource,
        None => Owed::AsBefore,
        Some(row) if is_set_back(row) && moment.is_whole => Owed::AsSource,
        Some(row) if is_set_back(row) => Owed::AsBefore,
        Some(row) if cell(row, TIME) < Some(moment.settled) => Owed::AsSource,
        Some(_) => Owed::Either,
    }
}

/// Whether the time of a row was set far back, or to none.
pub fn is_set_back(row: &Row) -> bool {
    cell(row, TIME) < Some(LONG_AGO)
}

/// New numbers are read, and nothing else but by a whole read. A table that was truncated gives its numbers again,
/// which are not new unless there are none above the last bound.
fn sequence(moment: &Moment, before: Option<&Row>, source: Option<&Row>) -> Owed {
    let (read, unread) = moment.numbers;
    let id = source.map(|row| cell(row, "id").expect("a number"));
    match id {
        Some(_) if moment.is_whole => Owed::AsSource,
        None if moment.is_whole && !moment.is_history => Owed::AsSource,
        None => Owed::AsBefore,
        Some(id) if id <= read => Owed::AsBefore,
        Some(id) if id > unread => Owed::AsSource,
        // A run that died has read it, or has not. If it has, the lake has the number, unless that was given again.
        Some(_) if before.is_some() || moment.is_renumbered => Owed::Either,
        Some(_) => Owed::AsSource,
    }
}

/// Everything that was committed when the last transaction ended, deletes included.
fn complete(moment: &Moment, _: Option<&Row>, _: Option<&Row>) -> Owed {
    match moment.is_quiet {
        true => Owed::AsSource,
        false => Owed::Either,
    }
}

fn cell(row: &Row, column: &str) -> Option<i64> {
    row.get(column).and_then(|cell| number(cell))
}

#[test]
fn promises_are_those_of_the_guide() {
    let row = |column: &str, value: i64| Row::from([(column.to_owned(), format!("Int({value})"))]);
    let window = Moment {
        min_active: 10,
        settled: LONG_AGO + 10,
        numbers: (10, 12),
        ..Moment::default()
    };
    let whole = Moment {
        is_whole: true,
        ..window.clone()
    };
    let again = Moment {
        is_history: true,
        ..whole.clone()
    };
    let versions = [9, 10].map(|version| row("rv", version));
    let seen = [&window, &whole, &again].map(|moment| {
        let sources = [Some(&versions[0]), Some(&versions[1]), None];
        sources.map(|source| rowversion(moment, None, source) == Owed::AsSource)
    });
    assert_eq!(
        seen,
        [
            [true, false, false],
            [true, true, true],
            [true, false, false]
        ]
    );
    let times = [LONG_AGO - 1, LONG_AGO + 9, LONG_AGO + 10].map(|time| row(TIME, time));
    let owed = times.map(|row| timestamp(&window, None, Some(&row)));
    assert_eq!(owed, [Owed::AsBefore, Owed::AsSource, Owed::Either]);
    let never = timestamp(&again, None, Some(&Row::new()));
    assert_eq!(never, Owed::AsSource);
    let numbers = [10, 11, 13].map(|number| row("id", number));
    let lacking = numbers
        .each_ref()
        .map(|row| sequence(&window, None, Some(row)));
    assert_eq!(lacking, [Owed::AsBefore, Owed::AsSource, Owed::AsSource]);
    let doubtful = sequence(&window, Some(&numbers[1]), Some(&numbers[1]));
    assert_eq!(doubtful, Owed::Either);
    assert_eq!(complete(&window, None, None), Owed::Either);
}
