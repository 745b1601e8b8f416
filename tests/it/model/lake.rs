//! What the lake table holds, snapshot by snapshot, and what changes between two of them.

use super::rows::{Fold, Key, Row};
use super::table::Table;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Of rows whose snapshot is not committed yet.
const NOT_YET: i64 = 0;

/// A row, or a version of it, in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub row: Row,
    /// Number of the snapshot that wrote it.
    written: i64,
    /// A version that says that the row is gone.
    pub is_gone: bool,
}

#[derive(Debug, Clone)]
struct Snapshot {
    number: i64,
    parent: Option<i64>,
    /// It moves rows to other files and changes none.
    compacts: bool,
    entries: Vec<Entry>,
}

/// A lake table as the model knows it.
#[derive(Debug, Clone, Default)]
pub struct Lake {
    snapshots: BTreeMap<i64, Snapshot>,
    pub current: Option<i64>,
    /// Strategy of the checkpoint; none while the table has none.
    pub strategy: Option<String>,
}

/// What its newest metadata file says.
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    /// Id, number, parent, and whether it is a compaction; ascending by number.
    snapshots: Vec<(i64, i64, Option<i64>, bool)>,
    current: Option<i64>,
    strategy: Option<String>,
}

/// What an extract is to leave.
#[derive(Debug, Clone)]
pub struct Extracted {
    entries: Vec<Entry>,
    /// Anything differs from what was there.
    pub is_new: bool,
}

/// A part of the changes from one snapshot to another; the later part counts more.
pub struct Segment {
    pub upserts: Vec<Entry>,
    pub deletes: Vec<Entry>,
}

impl Metadata {
    /// Of a lake table's folder; none while there is no table.
    pub fn read(folder: &Path) -> Result<Option<Self>, String> {
        let Ok(files) = std::fs::read_dir(folder.join("metadata")) else {
            return Ok(None);
        };
        let number = |name: &str| {
            let number = name.strip_prefix('v')?.strip_suffix(".metadata.json")?;
            number.parse::<u64>().ok()
        };
        let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
        let Some(newest) = names.filter_map(|name| number(&name)).max() else {
            return Ok(None);
        };
        let path = folder.join(format!("metadata/v{newest}.metadata.json"));
        let text = std::fs::read_to_string(&path);
        let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
        let json: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        Ok(Some(Self::of(&json)))
    }

    fn of(json: &Value) -> Self {
        let id = |value: &Value| value.as_i64().filter(|id| *id > 0);
        let snapshots = json["snapshots"].as_array().into_iter().flatten();
        let mut snapshots: Vec<_> = snapshots
            .map(|snapshot| {
                (
                    snapshot["snapshot-id"].as_i64().unwrap_or_default(),
                    snapshot["sequence-number"].as_i64().unwrap_or_default(),
                    id(&snapshot["parent-snapshot-id"]),
                    snapshot["summary"]["operation"] == "replace",
                )
            })
            .collect();
        snapshots.sort_by_key(|(_, number, _, _)| *number);
        let checkpoint = json["properties"]["icesync.checkpoint"].as_str();
        let checkpoint: Option<Value> = checkpoint.and_then(|text| serde_json::from_str(text).ok());
        Self {
            snapshots,
            current: id(&json["current-snapshot-id"]),
            strategy: checkpoint.and_then(|it| it["strategy"].as_str().map(str::to_owned)),
        }
    }
}

impl Lake {
    /// The rows, or versions, of a snapshot.
    pub fn entries(&self, snapshot: i64) -> &[Entry] {
        let found = self.snapshots.get(&snapshot);
        found.map_or(&[], |snapshot| &snapshot.entries)
    }

    pub fn number(&self, snapshot: i64) -> i64 {
        let found = self.snapshots.get(&snapshot);
        found.map_or(0, |snapshot| snapshot.number)
    }

    /// Ids of all snapshots, the oldest first.
    pub fn listed(&self) -> Vec<i64> {
        let mut ids: Vec<i64> = self.snapshots.keys().copied().collect();
        ids.sort_by_key(|id| self.number(*id));
        ids
    }

    /// Whether an extract reads every row.
    pub fn is_read_whole(&self, strategy: &str) -> bool {
        strategy == "full" || self.strategy.as_deref() != Some(strategy)
    }

    /// What an extract of these rows leaves.
    pub fn extract(&self, table: &Table, source: &[Row], strategy: &str) -> Extracted {
        let before = self
            .current
            .map_or(&[][..], |current| self.entries(current));
        let whole = self.is_read_whole(strategy);
        match table.is_history {
            true => versions(table, before, source, whole && strategy == "full"),
            false => mirror(table, before, source, whole),
        }
    }

    /// Takes note of the snapshots that are there by now. One that is no compaction holds what was extracted.
    pub fn learn(
        &mut self,
        metadata: Metadata,
        mut extracted: Option<Extracted>,
    ) -> Result<bool, String> {
        let mut is_committed = false;
        for (id, number, parent, compacts) in metadata.snapshots {
            if self.snapshots.contains_key(&id) {
                continue;
            }
            let mut entries = if compacts {
                let parent = parent.ok_or("a compaction of nothing")?;
                self.entries(parent).to_vec()
            } else {
                is_committed = true;
                let extracted = extracted.take();
                let extracted = extracted.ok_or_else(|| {
                    format!("snapshot {number} was committed, and nothing was extracted")
                })?;
                extracted.entries
            };
            for entry in entries.iter_mut().filter(|entry| entry.written == NOT_YET) {
                entry.written = number;
            }
            let snapshot = Snapshot {
                number,
                parent,
                compacts,
                entries,
            };
            self.snapshots.insert(id, snapshot);
        }
        self.current = metadata.current;
        self.strategy = metadata.strategy;
        Ok(is_committed)
    }

    /// What changes from one snapshot to a later one. A compaction parts it: positions of rows before it say nothing
    /// of those after it.
    pub fn delta(&self, from: i64, to: i64) -> Result<Vec<Segment>, String> {
        let mut chain = Vec::new();
        let mut at = to;
        while at != from {
            let snapshot = self.snapshots.get(&at);
            let snapshot = snapshot.ok_or_else(|| format!("snapshot {at} is not known"))?;
            chain.push((at, snapshot.compacts));
            at = snapshot
                .parent
                .ok_or_else(|| format!("snapshot {to} does not follow from {from}"))?;
        }
        let mut ends = Vec::new();
        let (mut since, mut until) = (from, None);
        for (id, compacts) in chain.into_iter().rev() {
            if compacts {
                ends.extend(until.take().map(|until| (since, until)));
                since = id;
            } else {
                until = Some(id);
            }
        }
        ends.extend(until.map(|until| (since, until)));
        Ok(ends
            .into_iter()
            .map(|(since, until)| self.segment(since, until))
            .collect())
    }

    fn segment(&self, since: i64, until: i64) -> Segment {
        let (before, after) = (self.entries(since), self.entries(until));
        let without = |entries: &[Entry], others: &[Entry]| {
            let alone = entries.iter().filter(|entry| !others.contains(entry));
            alone.cloned().collect()
        };
        Segment {
            upserts: without(after, before),
            deletes: without(before, after),
        }
    }
}

/// One row for each key.
fn mirror(table: &Table, before: &[Entry], source: &[Row], whole: bool) -> Extracted {
    let key = |row: &Row| table.key_of(row, Fold::Lake);
    let mut known: BTreeMap<Key, Entry> = before
        .iter()
        .map(|entry| (key(&entry.row), entry.clone()))
        .collect();
    let mut is_new = false;
    let mut met = BTreeSet::new();
    for row in source {
        met.insert(key(row));
        if known.get(&key(row)).is_none_or(|entry| entry.row != *row) {
            is_new = true;
            known.insert(key(row), Entry::new(row.clone(), false));
        }
    }
    if whole {
        let count = known.len();
        known.retain(|key, _| met.contains(key));
        is_new |= known.len() != count;
    }
    Extracted {
        entries: known.into_values().collect(),
        is_new,
    }
}

/// Every version of each key.
fn versions(table: &Table, before: &[Entry], source: &[Row], sees_deletes: bool) -> Extracted {
    let key = |row: &Row| table.key_of(row, Fold::Lake);
    let mut latest: BTreeMap<Key, Entry> = BTreeMap::new();
    for entry in before {
        latest.insert(key(&entry.row), entry.clone());
    }
    let mut entries = before.to_vec();
    let mut met = BTreeSet::new();
    for row in source {
        met.insert(key(row));
        let known = latest.get(&key(row));
        if known.is_none_or(|entry| entry.is_gone || entry.row != *row) {
            entries.push(Entry::new(row.clone(), false));
        }
    }
    if sees_deletes {
        let gone = latest
            .iter()
            .filter(|(key, entry)| !met.contains(*key) && !entry.is_gone);
        entries.extend(gone.map(|(_, entry)| Entry::new(entry.row.clone(), true)));
    }
    Extracted {
        is_new: entries.len() != before.len(),
        entries,
    }
}

impl Entry {
    fn new(row: Row, is_gone: bool) -> Self {
        Self {
            row,
            written: NOT_YET,
            is_gone,
        }
    }
}
