//! Whether the column that marks deleted rows is the one in which loads have marked them.
//!
//! A target's owner may drop the column and add it again. Then no row is marked, and no load marks a row again whose
//! key left the lake before: only the mark told it from rows of the target's own. So the load state keeps the column's
//! id, which the server does not give twice, and loads warn until `--full` accepts the new column.

use super::kind::Found;
use super::work::Work;
use crate::change::Deletes;
use crate::target::inspect::TargetTable;
use crate::target::state::LoadState;

impl Work<'_> {
    /// The id that the load state is to keep.
    pub(super) fn flag(&self, target: &TargetTable) -> Option<i32> {
        let now = self.flag_now(target)?;
        let before = self.flag_before().filter(|_| !self.facts.full);
        Some(before.unwrap_or(now))
    }

    /// Warns where the column is another one.
    pub(super) fn tell_new_flag(&mut self, target: &TargetTable) {
        let (Some(before), Some(now)) = (self.flag_before(), self.flag_now(target)) else {
            return;
        };
        let Deletes::Soft(soft) = &self.table.merge.deletes else {
            return;
        };
        if before != now {
            self.warnings.push(format!(
                "column {} of target {} was dropped and added again after loads had marked deleted rows in it. Rows \
                 whose key had left the lake by then look as if they were not deleted, and no load marks them again. \
                 `merge: {{ mode: replace }}`, once, removes them; or mark them by hand and run `icesync load --full`, \
                 which accepts the new column",
                soft.column, self.table.target
            ));
        }
    }

    fn flag_now(&self, target: &TargetTable) -> Option<i32> {
        match &self.table.merge.deletes {
            Deletes::Soft(soft) => target.column_id(&soft.column),
            Deletes::Hard | Deletes::Ignore => None,
        }
    }

    fn flag_before(&self) -> Option<i32> {
        let before: Option<&LoadState> = self.looked.state.as_ref();
        let before = before.filter(|_| self.facts.found == Found::There);
        before.and_then(|state| state.flag)
    }
}
