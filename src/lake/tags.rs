//! Tags that keep what a target has loaded, so that no engine expires it.
//!
//! The next load of a target starts from the snapshot that it loaded last. If that snapshot were expired, nobody
//! could say which rows have left the lake since. Iceberg expires no snapshot that a tag names, so each target has
//! two tags of its own, named after its server, database and table:
//!
//! - `icesync-loaded-<target>` names the snapshot that the target has loaded;
//! - `icesync-loading-<target>` names the snapshot that is loaded next: one that a `sync` committed in order to load
//!   it, or that a load reads.
//!
//! **One metadata version per sync.** The commit of a `sync` makes snapshot S and moves both tags in the same metadata
//! version: *loaded* to the snapshot L that the target's load state names just then, *loading* to S. The load that
//! follows moves the load state from L to S and publishes nothing, because both are protected. A load that finds its
//! snapshot without a tag (`load` alone, or after a race) moves both tags in a version of its own before it reads: an
//! expiry during the load would take the snapshot, and leave a target of which nobody could say what has changed since.
//! Whenever a load ends, or finds nothing to do, one of the two tags names what the target has loaded.
//!
//! **Who may move a tag.** Loads of a target exclude each other by a lock, commits do not, so a commit may act on a
//! load state that is out of date. Four rules keep the loaded snapshot tagged, and the one that is being loaded:
//!
//! 1. A commit moves *loaded* only if nobody has moved it since before the load state was read. Otherwise a load has
//!    ended or begun in between, and its tag is newer than our knowledge.
//! 2. A commit takes *loading* away from a snapshot P only if P is loaded (then *loaded* names it) or older than what
//!    is loaded. Otherwise a load of P may be under way. S is then left without a tag, and its load publishes one.
//! 3. A load takes *loading* away from any snapshot before it reads, because it has the lock and knows the load state:
//!    nobody else loads then, and *loaded* moves to what is loaded in the same version. A `sync` that has committed P
//!    and waits for the lock tags P again once it has it.
//! 4. A load looks at the newest metadata version after its transaction, and tags its snapshot if the tags do not.
//!
//! So if a commit moved the tags before that look, the load sees it; if after, the commit either knew the new load
//! state or, by rules 1 and 2, left the tag that protects it. A run that dies after its transaction leaves a snapshot
//! that *loading* names, or that the next load or sync of the target tags. A run that dies before it leaves *loading*
//! on a snapshot that was not loaded, until the next load moves it.
//!
//! **Older versions** had one tag for all targets of a table name, `icesync-loaded-<table>`. It is removed once the
//! target's own tag names the same snapshot. If it names another one, it may be another target's, and stays.

use crate::schema::TableName;
use iceberg::spec::TableMetadata;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

const LOADED: &str = "icesync-loaded-";
const LOADING: &str = "icesync-loading-";

/// Characters of a name that need no encoding; dots separate the names.
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-');

/// The tags of one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetTags {
    pub(in crate::lake) loaded: String,
    pub(in crate::lake) loading: String,
    /// What older versions called it.
    old: String,
}

/// What a table's tags say of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tagged {
    pub(in crate::lake) loaded: Option<i64>,
    pub(in crate::lake) loading: Option<i64>,
}

/// A snapshot that is committed in order to load it; moved with its commit.
#[derive(Debug, Clone)]
pub struct Loading {
    pub target: TargetTags,
    /// What the target has loaded.
    pub loaded: Option<i64>,
    /// What the tags said before that was read.
    pub seen: Tagged,
}

/// A tag that a load or a sync has set, of whichever target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoadTag {
    pub name: String,
    pub snapshot_id: i64,
    /// None where the table does not list the snapshot.
    pub sequence_number: Option<i64>,
}

/// Tags to set and to remove.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::lake) struct Moves {
    pub(in crate::lake) set: Vec<(String, i64)>,
    pub(in crate::lake) removed: Vec<String>,
}

/// The tags and snapshots of one version of a table.
#[derive(Clone, Copy)]
pub(in crate::lake) struct Tags<'a> {
    pub(in crate::lake) tags: &'a [(String, i64)],
    pub(in crate::lake) metadata: &'a TableMetadata,
}

impl TargetTags {
    /// The tags of a table in a database of a server, all three as the server calls them.
    pub fn new(server: &str, database: &str, table: &TableName) -> Self {
        let names = [server, database, &table.schema, &table.name];
        let names = names.map(|name| utf8_percent_encode(name, NAME).to_string());
        let target = names.join(".");
        Self {
            loaded: format!("{LOADED}{target}"),
            loading: format!("{LOADING}{target}"),
            old: format!("{LOADED}{table}"),
        }
    }

    /// Whether a tag is one of this target's.
    pub fn names(&self, tag: &str) -> bool {
        tag == self.loaded || tag == self.loading
    }

    /// Whether a tag says what this target has loaded.
    pub fn is_loaded(&self, tag: &str) -> bool {
        tag == self.loaded
    }
}

impl Tags<'_> {
    pub(in crate::lake) fn of(&self, target: &TargetTags) -> Tagged {
        Tagged {
            loaded: self.named(&target.loaded),
            loading: self.named(&target.loading),
        }
    }

    fn named(&self, name: &str) -> Option<i64> {
        let mut tags = self.tags.iter();
        tags.find(|(tag, _)| tag == name).map(|(_, id)| *id)
    }

    /// What a load moves before it reads `snapshot`, with the lock held: *loading* names that, and *loaded* what the
    /// target has loaded, which *loading* alone may have named until then.
    pub(in crate::lake) fn before_load(
        &self,
        target: &TargetTags,
        loaded: Option<i64>,
        snapshot: i64,
    ) -> Moves {
        let tagged = self.of(target);
        let mut moves = Moves::default();
        let is_loaded = tagged.loaded == Some(snapshot) && loaded == Some(snapshot);
        if is_loaded || tagged.loading == Some(snapshot) || !self.has(snapshot) {
            return moves;
        }
        if let Some(loaded) = loaded.filter(|id| self.has(*id)) {
            if tagged.loaded != Some(loaded) {
                moves.set.push((target.loaded.clone(), loaded));
            }
            self.remove_old(target, loaded, &mut moves);
        }
        moves.set.push((target.loading.clone(), snapshot));
        moves
    }

    /// What a load moves after its transaction, or when it finds nothing to do; rule 4.
    pub(in crate::lake) fn after_load(&self, target: &TargetTags, loaded: i64) -> Moves {
        let tagged = self.of(target);
        let mut moves = Moves::default();
        let is_tagged = tagged.loaded == Some(loaded) || tagged.loading == Some(loaded);
        if is_tagged || !self.has(loaded) {
            return moves;
        }
        moves.set.push((target.loaded.clone(), loaded));
        let loading = tagged.loading;
        if loading.is_some_and(|old| self.is_superseded(old, loaded)) {
            moves.removed.push(target.loading.clone());
        }
        self.remove_old(target, loaded, &mut moves);
        moves
    }

    /// What the commit of `snapshot` moves; rules 1 and 2.
    pub(in crate::lake) fn with_commit(&self, loading: &Loading, snapshot: i64) -> Moves {
        let target = &loading.target;
        let now = self.of(target);
        let mut moves = Moves::default();
        let loaded = loading.loaded.filter(|id| self.has(*id));
        if let Some(loaded) = loaded
            && now.loaded == loading.seen.loaded
        {
            if now.loaded != Some(loaded) {
                moves.set.push((target.loaded.clone(), loaded));
            }
            self.remove_old(target, loaded, &mut moves);
        }
        let superseded = |old| loaded.is_some_and(|loaded| self.is_superseded(old, loaded));
        if now.loading.is_none_or(superseded) {
            moves.set.push((target.loading.clone(), snapshot));
        }
        moves
    }

    /// What is wrong with the tags of a target that is not being loaded: nothing protects what it has loaded, a
    /// *loading* is left of a snapshot that is not newer, or an older version's tag says the same.
    pub(in crate::lake) fn mended(&self, target: &TargetTags, loaded: i64) -> Moves {
        let mut moves = self.after_load(target, loaded);
        if !moves.set.is_empty() || !self.has(loaded) {
            return moves;
        }
        let now = self.of(target);
        let is_left = |loading: i64| self.is_superseded(loading, loaded);
        if now.loaded == Some(loaded) && now.loading.is_some_and(is_left) {
            moves.removed.push(target.loading.clone());
        }
        self.remove_old(target, loaded, &mut moves);
        moves
    }

    /// Every tag of a load, sorted by name.
    pub(in crate::lake) fn of_loads(&self) -> Vec<LoadTag> {
        let is_ours = |name: &str| name.starts_with(LOADED) || name.starts_with(LOADING);
        let tags = self.tags.iter().filter(|(name, _)| is_ours(name));
        let mut tags: Vec<LoadTag> = tags
            .map(|(name, id)| LoadTag {
                name: name.clone(),
                snapshot_id: *id,
                sequence_number: self.number(*id),
            })
            .collect();
        tags.sort_by(|a, b| a.name.cmp(&b.name));
        tags
    }

    fn has(&self, id: i64) -> bool {
        self.metadata.snapshot_by_id(id).is_some()
    }

    fn number(&self, id: i64) -> Option<i64> {
        let snapshot = self.metadata.snapshot_by_id(id);
        snapshot.map(|snapshot| snapshot.sequence_number())
    }

    /// Whether a snapshot is the loaded one or was committed before it.
    fn is_superseded(&self, old: i64, loaded: i64) -> bool {
        self.number(old) <= self.number(loaded)
    }

    fn remove_old(&self, target: &TargetTags, loaded: i64, moves: &mut Moves) {
        if self.named(&target.old) == Some(loaded) {
            moves.removed.push(target.old.clone());
        }
    }
}
