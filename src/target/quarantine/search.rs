//! Which rows of a load the target refuses: a set of accepted rows grows until nothing can be added to it.
//!
//! # Why a good row is never set aside, and a bad one never loaded
//!
//! Parts of the load are applied one after the other in one transaction. A part that the target accepts stays
//! applied. A part that it refuses is undone and halved; a refused row alone is set aside. Then the rows that are set
//! aside are tried again, together and in halves, until each of them has been refused since the last part was
//! accepted.
//!
//! - *A bad row is not loaded.* What stays applied is what the target has accepted.
//! - *A good row is not set aside.* In the end each row that is set aside was refused by a target that held all rows
//!   that are kept. It would be refused again if it were loaded after them.
//!
//! It does not matter in which order rows are tried, although rows depend on each other: a child waits for its parent,
//! a row for the unique value that another one gives up. Such a row is set aside for a while and accepted later. Rows
//! that the target takes only together (two that exchange a unique value, two that refer to each other) are accepted as
//! long as some part that is tried has both: the whole, a half of it, or the rows that are set aside. If halving parts
//! them in every pass, because other rows among them are bad, both are set aside.
//!
//! # How many attempts it takes
//!
//! Let n rows have k bad ones that depend on nothing. Each bad row fails the parts that it is in, about log2(n), and
//! each of those is halved: about 2 k log2(n) parts, then 2 k for the second pass. Rows that wait for others cost as
//! much.

use crate::mssql::sql::part::Part;
use std::collections::BTreeMap;

/// Runs of numbers that one statement names.
const RUNS_MAX: usize = 500;

/// A search, driven by [`next_part`](Self::next_part) and an answer to each part.
#[derive(Debug)]
pub struct Search<R> {
    /// Parts to be tried; the next one last.
    open: Vec<Part>,
    aside: BTreeMap<u64, Aside<R>>,
    /// Parts that were accepted.
    accepted: u64,
}

/// Why a row is set aside.
#[derive(Debug)]
struct Aside<R> {
    refusal: R,
    /// Parts that were accepted before it was refused.
    accepted: u64,
}

impl<R> Search<R> {
    /// Of these rows.
    pub fn of(all: &Part) -> Self {
        Self {
            open: pieces(all),
            aside: BTreeMap::new(),
            accepted: 0,
        }
    }

    /// The rows to try next; none at the end of the search.
    pub fn next_part(&mut self) -> Option<Part> {
        let is_stale = |aside: &Aside<R>| aside.accepted < self.accepted;
        if self.open.is_empty() && self.aside.values().any(is_stale) {
            self.open = pieces(&Part::of(self.aside.keys().copied()));
        }
        self.open.pop()
    }

    /// The target has accepted a part.
    pub fn accepted(&mut self, part: &Part) {
        self.accepted += 1;
        self.aside.retain(|&number, _| !part.has(number));
    }

    /// The target has refused a part.
    pub fn refused(&mut self, part: &Part, refusal: R) {
        let accepted = self.accepted;
        match part.only() {
            Some(number) => {
                self.aside.insert(number, Aside { refusal, accepted });
            }
            None => {
                let (lower, upper) = part.halves();
                self.open.extend([upper, lower]);
            }
        }
    }

    /// How many rows are set aside.
    pub fn waiting(&self) -> u64 {
        self.aside.len() as u64
    }

    /// The rows that are set aside, by number.
    pub fn into_refused(self) -> BTreeMap<u64, R> {
        let refused = self.aside.into_iter();
        refused
            .map(|(number, aside)| (number, aside.refusal))
            .collect()
    }
}

/// The statements for a part, the first one last.
fn pieces(part: &Part) -> Vec<Part> {
    let mut pieces = part.pieces(RUNS_MAX);
    pieces.reverse();
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// A target in which some rows are refused whatever else it holds, some need others, and some exclude each other.
    #[derive(Debug, Default, Clone)]
    struct Rules {
        bad: BTreeSet<u64>,
        /// Row and the row that it needs.
        needs: Vec<(u64, u64)>,
        excludes: Vec<(u64, u64)>,
    }

    impl Rules {
        fn allows(&self, held: &BTreeSet<u64>) -> bool {
            let has = |row: &u64| held.contains(row);
            !self.bad.iter().any(has)
                && self
                    .needs
                    .iter()
                    .all(|(row, other)| !has(row) || has(other))
                && self.excludes.iter().all(|(a, b)| !has(a) || !has(b))
        }
    }

    /// The rows that are kept and those that are not, and the attempts that it took.
    fn search(rows: u64, rules: &Rules) -> (BTreeSet<u64>, BTreeSet<u64>, usize) {
        let mut search = Search::of(&Part::all(rows));
        let (mut held, mut attempts) = (BTreeSet::new(), 0);
        while let Some(part) = search.next_part() {
            attempts += 1;
            let added = (1..=rows).filter(|&row| part.has(row));
            let after: BTreeSet<u64> = held.iter().copied().chain(added).collect();
            if rules.allows(&after) {
                held = after;
                search.accepted(&part);
            } else {
                search.refused(&part, ());
            }
        }
        let refused: BTreeSet<u64> = search.into_refused().into_keys().collect();
        (held, refused, attempts)
    }

    /// Every row is kept or refused; what is kept is allowed; no refused row could be added.
    fn check(rows: u64, rules: &Rules) -> (BTreeSet<u64>, usize) {
        let (held, refused, attempts) = search(rows, rules);
        assert_eq!(held.len() + refused.len(), usize::try_from(rows).unwrap());
        assert!(rules.allows(&held), "{rules:?}");
        for &row in &refused {
            let mut more = held.clone();
            assert!(more.insert(row));
            assert!(!rules.allows(&more), "{row} is good: {rules:?}");
        }
        (refused, attempts)
    }

    #[test]
    fn nothing_refused_takes_one_attempt() {
        assert_eq!(check(1000, &Rules::default()), (BTreeSet::new(), 1));
        assert_eq!(check(0, &Rules::default()), (BTreeSet::new(), 0));
    }

    #[test]
    fn bad_rows_are_found_in_few_attempts() {
        for bad in [vec![1], vec![1000], vec![1, 500, 501, 1000]] {
            let rules = Rules {
                bad: bad.iter().copied().collect(),
                ..Rules::default()
            };
            let (refused, attempts) = check(1000, &rules);
            assert_eq!(refused, rules.bad);
            assert!(attempts <= bad.len() * 22 + 1, "{attempts} for {bad:?}");
        }
        let all = Rules {
            bad: (1..=64).collect(),
            ..Rules::default()
        };
        assert_eq!(check(64, &all), (all.bad.clone(), 127));
    }

    #[test]
    fn children_before_their_parents_are_kept_and_those_of_bad_rows_are_not() {
        // A chain in which each row needs the next one, and another that ends in a bad row.
        let rules = Rules {
            bad: [90].into(),
            needs: (1..40).chain(60..90).map(|row| (row, row + 1)).collect(),
            excludes: Vec::new(),
        };
        let (refused, _) = check(100, &rules);
        assert_eq!(refused, (60..=90).collect());
    }

    #[test]
    fn rows_that_go_only_together_are_kept() {
        let rules = Rules {
            bad: [3].into(),
            needs: vec![(20, 80), (80, 20)],
            excludes: Vec::new(),
        };
        assert_eq!(check(100, &rules).0, rules.bad);
    }

    #[test]
    fn random_dependencies_leave_no_good_row_aside() {
        let mut seed = 7_u64;
        let mut random = |below: u64| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for _ in 0..300 {
            let rows = 1 + random(60);
            let mut row = || 1 + random(rows);
            let rules = Rules {
                bad: (0..row() % 5).map(|_| row()).collect(),
                needs: (0..row()).map(|_| (row(), row())).collect(),
                excludes: (0..row() % 5).map(|_| (row(), row())).collect(),
            };
            check(rows, &rules);
        }
    }
}
