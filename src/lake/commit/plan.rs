//! How a commit changes the files of a table, and what the summary of its snapshot says of that.

use crate::lake::read::entries::Described;
use crate::lake::read::manifests::{Files, LiveFile};
use crate::lake::table::{DELETED_ROWS_ENTRY, LIVE_ROWS_ENTRY};
use iceberg::spec::DataFile;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// How the files of a table change.
#[derive(Default)]
pub(in crate::lake) struct Plan {
    pub(in crate::lake) added_data: Vec<DataFile>,
    pub(in crate::lake) added_deletes: Vec<DataFile>,
    /// Paths of data and delete files that leave the table.
    pub(in crate::lake) gone: HashSet<String>,
    /// Live rows before, of them removed, and added.
    pub(in crate::lake) live_before: u64,
    pub(in crate::lake) rows_deleted: u64,
    pub(in crate::lake) rows_added: u64,
}

impl Plan {
    pub(in crate::lake) fn is_empty(&self) -> bool {
        self.added_data.is_empty() && self.added_deletes.is_empty() && self.gone.is_empty()
    }
}

/// The entries of a snapshot's summary that the specification names, and our own row counts.
pub(in crate::lake) fn summary(base: &Files, plan: &Plan) -> HashMap<String, String> {
    let gone = |live: &&Arc<LiveFile>| plan.gone.contains(live.file.file_path());
    fn described(live: &Arc<LiveFile>) -> &dyn Described {
        &live.file
    }
    let sum = |files: &mut dyn Iterator<Item = &dyn Described>| -> (u64, u64, u64) {
        files.fold((0, 0, 0), |(files, rows, bytes), file| {
            let size = file.file_size_in_bytes();
            (files + 1, rows + file.record_count(), bytes + size)
        })
    };
    let added = sum(&mut plan.added_data.iter().map(|file| file as &dyn Described));
    let added_deletes = sum(&mut plan.added_deletes.iter().map(|file| file as &dyn Described));
    let removed = sum(&mut base.data.iter().filter(gone).map(described));
    let removed_deletes = sum(&mut base.deletes.iter().filter(gone).map(described));
    let data = sum(&mut base.data.iter().map(described));
    let deletes = sum(&mut base.deletes.iter().map(described));
    let total = |before: u64, added: u64, removed: u64| before + added - removed;
    let entries = [
        ("added-data-files", added.0),
        ("added-records", added.1),
        ("added-delete-files", added_deletes.0),
        ("added-position-delete-files", added_deletes.0),
        ("added-position-deletes", added_deletes.1),
        ("added-files-size", added.2 + added_deletes.2),
        ("deleted-data-files", removed.0),
        ("deleted-records", removed.1),
        ("removed-delete-files", removed_deletes.0),
        ("removed-position-delete-files", removed_deletes.0),
        ("removed-position-deletes", removed_deletes.1),
        ("removed-files-size", removed.2 + removed_deletes.2),
    ];
    let totals = [
        ("total-data-files", total(data.0, added.0, removed.0)),
        ("total-records", total(data.1, added.1, removed.1)),
        (
            "total-delete-files",
            total(deletes.0, added_deletes.0, removed_deletes.0),
        ),
        (
            "total-position-deletes",
            total(deletes.1, added_deletes.1, removed_deletes.1),
        ),
        ("total-equality-deletes", 0),
        (
            "total-files-size",
            total(
                data.2 + deletes.2,
                added.2 + added_deletes.2,
                removed.2 + removed_deletes.2,
            ),
        ),
        (
            LIVE_ROWS_ENTRY,
            total(plan.live_before, plan.rows_added, plan.rows_deleted),
        ),
        (DELETED_ROWS_ENTRY, plan.rows_deleted),
    ];
    let entries = entries.into_iter().filter(|(_, count)| *count > 0);
    entries
        .chain(totals)
        .map(|(name, count)| (name.to_owned(), count.to_string()))
        .collect()
}
