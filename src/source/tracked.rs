//! A window of a log that names the keys of changed rows: the rows are read from the table.
//!
//! A log (that of Change Tracking, or one that a trigger or the server keeps in another way) says which keys have
//! changed since a position, once each, with the position of the last change. It does not say what the rows hold. So
//! the keys of a window are joined with the table: a key that has a row there is an upsert of that row, and one that
//! has none is a delete of the key. What the log calls the change does not matter: a row that was inserted, deleted and
//! inserted again is there, and one that was updated and then deleted is not.
//!
//! # Why no row is lost
//!
//! Let B be the end of the window: a position so that whatever has one up to B was committed before the read began.
//! Each strategy says how it finds one.
//!
//! - *A key that changed up to B, and not since.* The log has it, and the table has its row, or has none, as the last
//!   change left it. The read sees that change, because it was committed before.
//! - *A key that changed after B*, before it was read or while it was. Whatever the read meets of it, an old row, a new
//!   one, two or none, the log has the key above B, and the next window brings it as it is then. So a window has no
//!   upper end: where its keys are read, newer changes are taken along. A key that changes all the time would otherwise
//!   be in no window.
//! - *A key that changed back and forth* is there once, with the position of its last change.
//!
//! A mirror needs no more than that, and no row versions: with row locks a row that moves while it is read may be taken
//! for deleted, and the next window brings it back. A history keeps what it is given. It is read where each statement
//! sees one state, so that it gets versions that were there. What the next window brings again is compared with the
//! latest version that the history has, and dropped.
//!
//! # Deletes
//!
//! A mirror loses the row of the key. A history gets a version `D` with the values of the last one that it has: the
//! table has none to give, and neither a target nor a reader of the history should find a row whose columns that are
//! never NULL are NULL. A key that the history does not have, or has as deleted, gets none.
//!
//! # Spellings
//!
//! The log compares keys as the table does, and so does the join: `a ` is the row `A`, `0x01` is `0x0100`. A delete is
//! looked up in the lake with the folds of its key, which take ASCII case, spaces and zeros at the end for nothing. Of
//! a row that the log has under a key that the lake takes for another one, that key is deleted as well. Spellings that
//! neither log nor table have any more, of letters beyond ASCII, stay in the lake until a whole read, and what a load
//! makes of them is in the guide under "Respelled keys".
//!
//! # Steps
//!
//! A window is cut between positions: `(lower, c1]`, `(c1, c2]`, and so on; the last step has no upper end. A change
//! has the position of its transaction, so all that one transaction has changed is in one step. A key that changes
//! again before its step is read leaves it for the last step, or for the next window. Mass deletes are as many keys as
//! any other change, so keys are counted, and not the rows of the table.

use super::window::Changes;
use crate::change::{Watermark, Window};
use crate::mssql::sql::tracked::Positions;

/// A window of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracked {
    pub window: Window,
    /// The bound is kept even if no row has changed: the log will not have its beginning for much longer.
    pub renews: bool,
    /// When the beginning of the window was the end of the log, in seconds since 1970.
    pub(super) since: Option<i64>,
    /// Where it is cut into steps, ascending.
    pub(super) cuts: Vec<Watermark>,
    /// It is a step that another one follows.
    pub(super) is_followed: bool,
}

impl Tracked {
    /// The window of a log, and where it is cut.
    pub(super) fn of(changes: Changes, cuts: Vec<Watermark>) -> Self {
        Self {
            window: changes.window,
            renews: changes.renews,
            since: changes.since,
            cuts,
            is_followed: false,
        }
    }

    pub(super) fn steps(&self) -> usize {
        self.cuts.len() + 1
    }

    /// One of the steps by its number, or the window itself where there are none.
    pub(super) fn step(&self, at: usize) -> Tracked {
        let before = at.checked_sub(1).and_then(|before| self.cuts.get(before));
        let lower = before.unwrap_or(&self.window.lower).clone();
        let cut = self.cuts.get(at);
        Tracked {
            window: Window {
                previous: lower.clone(),
                lower,
                upper: cut.unwrap_or(&self.window.upper).clone(),
            },
            renews: self.renews,
            since: self.since,
            cuts: Vec::new(),
            is_followed: self.is_followed || cut.is_some(),
        }
    }

    /// What is read of the log.
    pub(super) fn positions(&self) -> Positions {
        Positions {
            // What is no position is before all of them: keys that are read again do no harm.
            lower: position(&self.window.lower).unwrap_or(0),
            upper: match self.is_followed {
                true => position(&self.window.upper),
                false => None,
            },
        }
    }
}

/// The position that a watermark stands for.
pub(super) fn position(mark: &Watermark) -> Option<i64> {
    mark.text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::SqlType;

    fn mark(text: &str) -> Watermark {
        Watermark {
            column: "SYS_CHANGE_VERSION".into(),
            ty: SqlType::BigInt,
            text: text.into(),
        }
    }

    #[test]
    fn steps_meet_at_the_cuts_and_only_the_last_has_no_end() {
        let window = Window {
            lower: mark("10"),
            upper: mark("90"),
            previous: mark("10"),
        };
        let changes = Changes {
            window,
            keys: 5_000,
            renews: false,
            since: Some(1),
        };
        let positions = |tracked: &Tracked| {
            let Positions { lower, upper } = tracked.positions();
            (lower, upper)
        };
        let whole = Tracked::of(changes.clone(), Vec::new());
        assert_eq!((whole.steps(), positions(&whole)), (1, (10, None)));
        assert_eq!(whole.step(0), whole);
        let cut = Tracked::of(changes, vec![mark("30"), mark("60")]);
        let steps: Vec<Tracked> = (0..cut.steps()).map(|at| cut.step(at)).collect();
        let read: Vec<_> = steps.iter().map(positions).collect();
        assert_eq!(read, [(10, Some(30)), (30, Some(60)), (60, None)]);
        // The last one's bound is the window's, whatever it reads above.
        let bounds: Vec<&str> = steps.iter().map(|step| &*step.window.upper.text).collect();
        assert_eq!(bounds, ["30", "60", "90"]);
        assert!(steps.iter().all(|step| step.steps() == 1));
    }
}
