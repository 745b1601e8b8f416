//! A target that was restored from a backup.
//!
//! Rows and load state are in one database and are committed together, so a backup has both as of one moment. A
//! restored target holds exactly the snapshot that its load state names, and its object id and creation date are what
//! they were. The next load computes what has changed since that snapshot, so there is nothing to mend. It is told all
//! the same: a target may go back by accident, and after a restore on purpose the warning says where loads go on.
//!
//! The lake knows what the target had before. The tag *loaded* only ever names a snapshot that the load state named at
//! the time ([`TargetTags`] says when it moves), and a load that goes back moves the tag with it. So a state that is
//! older than the tag went back by other means. Two cases cannot be told apart. The tag of a `sync` is one load behind,
//! so a backup that lacks only the last load looks like a load that died before its transaction. And a load of a lake
//! table that was rolled back, if it dies before it moves the tag, looks like a restore. Loads go on right from both.
//!
//! A commit of `sync` moves the tag to what the state names, so it looks before that.

use crate::config::Table;
use crate::lake::{LakeTable, TargetTags};
use crate::target::state::{LoadState, Looked};

/// Sequence numbers of a target that went back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Restored {
    /// Of the snapshot that its load state names.
    pub at: i64,
    /// Of the snapshot that was loaded before.
    pub before: i64,
}

impl Restored {
    /// None while the load state is what the last load left, or is not about the table that is there.
    pub fn of(lake: &LakeTable, tags: &TargetTags, looked: &Looked) -> Option<Self> {
        let state = looked.state.as_ref();
        let state = state.filter(|state| state.table_uuid == lake.uuid().to_string())?;
        Self::between(looked, state, lake.loaded_by_tag(tags)?)
    }

    /// Of a state of this lake table, and the sequence number that the tag names.
    pub fn between(looked: &Looked, state: &LoadState, tagged: i64) -> Option<Self> {
        let found = looked.object.as_ref()?;
        let is_there = state.object.as_ref().is_none_or(|object| object == found);
        let went_back = state.loaded().is_some() && tagged > state.sequence_number;
        (is_there && went_back).then_some(Self {
            at: state.sequence_number,
            before: tagged,
        })
    }

    /// What to say while the snapshot is in the lake.
    pub fn warning(&self, table: &Table) -> String {
        format!(
            "{}. Loads go on from snapshot {}",
            self.what(table),
            self.at
        )
    }

    /// Why a snapshot that was loaded may be gone from the lake, before the reason and the remedy.
    pub fn refusal(&self, table: &Table, refused: &str) -> String {
        let mut letters = refused.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        let refused: String = first.into_iter().chain(letters).collect();
        format!("{}. {refused}", self.what(table))
    }

    fn what(&self, table: &Table) -> String {
        format!(
            "target {} went back to snapshot {}: snapshot {} had been loaded into it, so it was probably restored \
             from a backup",
            table.target, self.at, self.before
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::drift::SourceObject;
    use crate::target::columns::LoadedColumns;
    use crate::target::merge::LoadCounts;
    use crate::target::state::PREPARED;

    fn object(id: i64) -> Option<SourceObject> {
        Some(SourceObject {
            id,
            created: "2024-05-06T10:00:00".to_owned(),
        })
    }

    fn state(snapshot_id: i64, object: Option<SourceObject>) -> LoadState {
        LoadState {
            lake_table: "dbo.t".to_owned(),
            table_uuid: String::new(),
            snapshot_id,
            sequence_number: if snapshot_id == PREPARED { 0 } else { 3 },
            run_id: String::new(),
            loaded_at: String::new(),
            counts: LoadCounts::default(),
            object,
            rule: None,
            pending: None,
            columns: LoadedColumns::default(),
            flag: None,
        }
    }

    #[test]
    fn only_a_state_that_is_older_than_the_tag_went_back() {
        let went_back = Some(Restored { at: 3, before: 7 });
        for (found, snapshot, recorded, tagged, expected) in [
            (object(1), 70, object(1), 7, went_back),
            (object(1), 70, None, 7, went_back),
            (object(1), 70, object(1), 3, None),
            (object(1), 70, object(1), 2, None),
            (object(2), 70, object(1), 7, None),
            (None, 70, object(1), 7, None),
            (object(1), PREPARED, object(1), 7, None),
        ] {
            let state = state(snapshot, recorded);
            let looked = Looked {
                object: found,
                state: Some(state.clone()),
                in_quarantine: 0,
            };
            let noticed = Restored::between(&looked, &state, tagged);
            assert_eq!(noticed, expected, "{looked:?}, tag {tagged}");
        }
    }
}
