//! Which keys differ, decided from the rows that both sides have. Pure.

use crate::mssql::digest::{DigestedRow, RowHash};
use crate::report::{ComparedSide, KeyKind};
use std::collections::{HashMap, HashSet};

/// The rows of some buckets of the lake.
pub(super) type LakeRows = HashMap<Vec<u8>, RowHash>;

/// The rows of some buckets of a server.
#[derive(Debug, Default)]
pub(super) struct ServerRows(HashMap<Vec<u8>, ServerRow>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ServerRow {
    hash: RowHash,
    /// Rows of this key.
    rows: u64,
    is_next: bool,
}

/// A key that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub kind: KeyKind,
    /// As the server has it, or the lake where only that does.
    pub key: Vec<u8>,
    /// As the lake has it, where that is another spelling.
    pub other: Option<Vec<u8>>,
}

impl Found {
    /// The key in each of its spellings.
    pub fn keys(&self) -> impl Iterator<Item = &Vec<u8>> {
        [Some(&self.key), self.other.as_ref()].into_iter().flatten()
    }
}

impl ServerRows {
    pub fn new(rows: Vec<DigestedRow>) -> Self {
        let mut found: HashMap<Vec<u8>, ServerRow> = HashMap::with_capacity(rows.len());
        for row in rows {
            let entry = found.entry(row.key).or_insert(ServerRow {
                hash: row.hash,
                rows: 0,
                is_next: false,
            });
            entry.rows += 1;
            entry.is_next |= row.is_next;
        }
        Self(found)
    }

    /// Whether a row of this key is in a window that is yet to be read.
    pub fn is_next(&self, key: &[u8]) -> bool {
        self.0.get(key).is_some_and(|row| row.is_next)
    }

    /// Adds the keys whose rows are others than `before`.
    pub fn changed_since(&self, before: &ServerRows, changed: &mut HashSet<Vec<u8>>) {
        let state = |rows: &ServerRows, key: &[u8]| rows.0.get(key).map(|row| (row.hash, row.rows));
        let keys = self.0.keys().chain(before.0.keys());
        let other = keys.filter(|key| state(self, key) != state(before, key));
        changed.extend(other.cloned());
    }

    /// The keys that differ, in the order of their bytes. `fold` answers what tells keys of the lake apart.
    pub fn differences(
        &self,
        lake: &LakeRows,
        side: ComparedSide,
        fold: impl Fn(&[u8]) -> Vec<u8>,
    ) -> Vec<Found> {
        let (server_only, lake_only) = match side {
            ComparedSide::Source => (KeyKind::Missing, KeyKind::Extra),
            ComparedSide::Target => (KeyKind::Extra, KeyKind::Missing),
        };
        let found = |kind: KeyKind, key: &[u8], other: Option<Vec<u8>>| Found {
            kind,
            key: key.to_vec(),
            other,
        };
        let unmatched = lake.keys().filter(|key| !self.0.contains_key(*key));
        let mut unmatched: HashMap<Vec<u8>, Vec<&Vec<u8>>> =
            unmatched.fold(HashMap::new(), |mut folded, key| {
                folded.entry(fold(key)).or_default().push(key);
                folded
            });
        let mut all = Vec::new();
        for (key, row) in &self.0 {
            let mut spelled = || unmatched.get_mut(&fold(key)).and_then(Vec::pop);
            match lake.get(key) {
                Some(_) if row.rows > 1 => all.push(found(KeyKind::Repeated, key, None)),
                Some(hash) if *hash == row.hash => {}
                Some(_) => all.push(found(KeyKind::Differing, key, None)),
                None => all.push(match spelled() {
                    Some(other) => found(KeyKind::Respelled, key, Some(other.clone())),
                    None => found(server_only, key, None),
                }),
            }
        }
        let left = unmatched.values().flatten();
        all.extend(left.map(|key| found(lake_only, key, None)));
        all.sort_by(|a, b| (&a.key, a.kind).cmp(&(&b.key, b.kind)));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(rows: &[(&str, u8)]) -> ServerRows {
        let row = |&(key, hash): &(&str, u8)| DigestedRow {
            key: key.as_bytes().to_vec(),
            hash: [hash; 16],
            is_next: key.starts_with('n'),
        };
        ServerRows::new(rows.iter().map(row).collect())
    }

    fn lake(rows: &[(&str, u8)]) -> LakeRows {
        let row = |&(key, hash): &(&str, u8)| (key.as_bytes().to_vec(), [hash; 16]);
        rows.iter().map(row).collect()
    }

    fn kinds(found: &[Found]) -> Vec<(KeyKind, String)> {
        let text = |found: &Found| (found.kind, String::from_utf8_lossy(&found.key).into_owned());
        found.iter().map(text).collect()
    }

    #[test]
    fn each_key_that_differs_is_of_one_kind() {
        use KeyKind::{Differing, Extra, Missing, Repeated, Respelled};
        let server = server(&[("a", 1), ("b", 1), ("c", 1), ("D", 1), ("e", 1), ("e", 1)]);
        let lake = lake(&[("a", 1), ("b", 2), ("d", 1), ("e", 1), ("f", 1)]);
        let all = server.differences(&lake, ComparedSide::Source, <[u8]>::to_ascii_lowercase);
        let key = |kind: KeyKind, key: &str| (kind, key.to_owned());
        let expected = [
            key(Respelled, "D"),
            key(Differing, "b"),
            key(Missing, "c"),
            key(Repeated, "e"),
            key(Extra, "f"),
        ];
        assert_eq!(kinds(&all), expected);
        assert_eq!(all[0].other, Some(b"d".to_vec()));
        // Of a target the lake is what it should be.
        let all = server.differences(&lake, ComparedSide::Target, <[u8]>::to_vec);
        let expected = [
            key(Extra, "D"),
            key(Differing, "b"),
            key(Extra, "c"),
            key(Missing, "d"),
            key(Repeated, "e"),
            key(Missing, "f"),
        ];
        assert_eq!(kinds(&all), expected);
    }

    #[test]
    fn rows_that_came_went_or_changed_between_two_looks_have_changed() {
        let before = server(&[("a", 1), ("b", 1), ("c", 1), ("d", 1)]);
        let after = server(&[("a", 1), ("b", 2), ("d", 1), ("d", 1), ("n", 1)]);
        let mut changed = HashSet::new();
        after.changed_since(&before, &mut changed);
        let mut keys: Vec<_> = changed.into_iter().collect();
        keys.sort();
        assert_eq!(keys, [b"b", b"c", b"d", b"n"].map(|key| key.to_vec()));
        assert!(after.is_next(b"n") && !after.is_next(b"a") && !after.is_next(b"x"));
    }
}
