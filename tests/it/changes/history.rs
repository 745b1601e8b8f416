//! What has happened in the source, as far as it is committed, and what open transactions hold.

use super::table::{Row, Rows, Table};

/// What a statement has changed in one table.
#[derive(Debug, Clone, Default)]
pub struct Change {
    pub table: usize,
    /// Every row is gone.
    pub is_emptied: bool,
    pub deleted: Vec<Row>,
    pub inserted: Vec<Row>,
}

/// An open transaction.
#[derive(Debug, Clone, Default)]
pub struct Open {
    /// Not before this time of the server, in microseconds since 1970.
    pub since: i64,
    changes: Vec<Change>,
    /// How many changes there were at each savepoint, with its number.
    saves: Vec<(usize, usize)>,
    /// Tables that it has locks of.
    written: Vec<usize>,
    /// Tables whose definition it has locked.
    emptied: Vec<usize>,
}

/// The tables as committed transactions have left them, and the transactions that are open, one a session at most.
#[derive(Debug, Clone)]
pub struct History {
    pub rows: Vec<Rows>,
    pub open: Vec<Option<Open>>,
    /// Tables that were truncated since they were read whole: an identity counts from its beginning again.
    pub is_emptied: Vec<bool>,
    saves: usize,
}

impl History {
    pub fn of(tables: usize, sessions: usize) -> Self {
        Self {
            rows: vec![Rows::new(); tables],
            open: vec![None; sessions],
            is_emptied: vec![false; tables],
            saves: 0,
        }
    }

    pub fn begin(&mut self, session: usize, since: i64) {
        self.open[session] = Some(Open {
            since,
            ..Open::default()
        });
    }

    /// A session is about to write to a table. Its transaction keeps locks, also where the statement fails.
    pub fn touch(&mut self, session: usize, table: usize) {
        if let Some(open) = &mut self.open[session] {
            open.written.push(table);
        }
    }

    /// A statement of a session has changed rows.
    pub fn note(&mut self, tables: &[Table], session: usize, change: Change) {
        let Some(open) = &mut self.open[session] else {
            return self.apply(tables, &change);
        };
        if change.is_emptied {
            open.emptied.push(change.table);
        }
        open.changes.push(change);
    }

    pub fn commit(&mut self, tables: &[Table], session: usize) {
        let open = self.open[session].take();
        for change in open.into_iter().flat_map(|open| open.changes) {
            self.apply(tables, &change);
        }
    }

    pub fn roll_back(&mut self, session: usize) {
        self.open[session] = None;
    }

    /// The name of a new savepoint; none where no transaction is open.
    pub fn save(&mut self, session: usize) -> Option<String> {
        let open = self.open[session].as_mut()?;
        self.saves += 1;
        open.saves.push((self.saves, open.changes.len()));
        Some(format!("s{}", self.saves))
    }

    /// The name of the last savepoint, whose transaction goes back to it; none where there is none.
    pub fn roll_back_to(&mut self, session: usize) -> Option<String> {
        let open = self.open[session].as_mut()?;
        let (number, changes) = open.saves.pop()?;
        open.changes.truncate(changes);
        Some(format!("s{number}"))
    }

    /// The sessions whose locks a run would wait for. `waits`: the run waits for rows of a table.
    pub fn in_the_way(&self, waits: impl Fn(usize) -> bool) -> Vec<usize> {
        let holds = |open: &Open| {
            !open.emptied.is_empty() || open.written.iter().any(|&table| waits(table))
        };
        let sessions = 0..self.open.len();
        sessions
            .filter(|&session| self.open[session].as_ref().is_some_and(holds))
            .collect()
    }

    /// When the oldest open transaction began; none where all have ended.
    pub fn oldest(&self) -> Option<i64> {
        self.open.iter().flatten().map(|open| open.since).min()
    }

    /// All keys that are left are left before new ones are taken: keys may be exchanged.
    fn apply(&mut self, tables: &[Table], change: &Change) {
        let (table, rows) = (&tables[change.table], &mut self.rows[change.table]);
        if change.is_emptied {
            rows.clear();
            self.is_emptied[change.table] = true;
        }
        for row in &change.deleted {
            rows.remove(&table.key_of(row));
        }
        for row in &change.inserted {
            rows.insert(table.key_of(row), row.clone());
        }
    }
}

#[test]
fn what_a_transaction_has_changed_counts_once_it_commits() {
    use super::strategies::played;
    use crate::random::Rng;
    let table = Table::random(&mut Rng::new(1), played()[0], 0, false);
    let tables = [table];
    let row = |n: i64| {
        let mut keys: Row = tables[0]
            .key_names()
            .into_iter()
            .map(|name| (name.to_owned(), format!("Int({})", n % 10)))
            .collect();
        keys.insert("n".to_owned(), format!("Int({n})"));
        keys
    };
    let inserted = |n: i64| Change {
        inserted: vec![row(n)],
        ..Change::default()
    };
    let mut history = History::of(1, 2);
    history.note(&tables, 0, inserted(1));
    history.begin(1, 7);
    history.touch(1, 0);
    let exchange = Change {
        deleted: vec![row(1)],
        inserted: vec![row(11)],
        ..Change::default()
    };
    history.note(&tables, 1, exchange);
    let save = history.save(1);
    history.note(&tables, 1, inserted(2));
    assert_eq!(history.roll_back_to(1), save);
    assert_eq!(history.roll_back_to(1), None);
    assert_eq!(history.oldest(), Some(7));
    assert_eq!(history.in_the_way(|_| false), Vec::<usize>::new());
    assert_eq!(history.in_the_way(|table| table == 0), [1]);
    let shown = |history: &History| history.rows[0].values().cloned().collect::<Vec<_>>();
    assert_eq!(shown(&history), [row(1)]);
    let mut other = history.clone();
    history.commit(&tables, 1);
    assert_eq!(shown(&history), [row(11)]);
    other.roll_back(1);
    assert_eq!(shown(&other), [row(1)]);
    assert_eq!((other.oldest(), other.save(1)), (None, None));
}
