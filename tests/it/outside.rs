//! A lake table looked at from outside: the files that its metadata names, the files in its folder, and its rows.
//!
//! Metadata is read as JSON and with `apache-avro`, not with the code that decides what may be removed.

use crate::fixtures::contents::{avro, field, local, newest_metadata, number, text};
use crate::harness::World;
use arrow_array::RecordBatch;
use arrow_cast::display::array_value_to_string;
use futures::TryStreamExt;
use icesync::lake::{CHECKPOINT_PROPERTY, LakeTable, Warehouse};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// An entry of a manifest whose file has left the table.
const DELETED: i64 = 2;

pub type Row = Vec<String>;

/// Copies a folder in the place of what is there.
pub fn copied(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copied(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// The files in a table's folder, without the hint.
pub fn on_disk(table: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for folder in ["data", "metadata"] {
        for entry in std::fs::read_dir(table.join(folder)).expect("a folder") {
            found.insert(entry.expect("an entry").path());
        }
    }
    found.remove(&table.join("metadata/version-hint.text"));
    found
}

/// The files that the newest version names: its log, every snapshot with its manifests and live files, its ledger.
pub fn named(table: &Path) -> BTreeSet<PathBuf> {
    let (newest, metadata) = newest_metadata(table);
    let mut named = BTreeSet::from([newest]);
    let all = |name: &str| metadata[name].as_array().cloned().unwrap_or_default();
    let path = |entry: &Value, name: &str| local(entry[name].as_str().expect("a URI"));
    named.extend(
        all("metadata-log")
            .iter()
            .map(|entry| path(entry, "metadata-file")),
    );
    let mut manifests = BTreeSet::new();
    for snapshot in all("snapshots") {
        let list = path(&snapshot, "manifest-list");
        let (_, listed) = avro(&list);
        manifests.extend(
            listed
                .iter()
                .map(|manifest| local(&text(manifest, "manifest_path"))),
        );
        named.insert(list);
    }
    for manifest in manifests {
        let (_, entries) = avro(&manifest);
        let live = entries
            .iter()
            .filter(|entry| number(entry, "status") != Some(DELETED));
        named.extend(live.map(|entry| local(&text(field(entry, "data_file"), "file_path"))));
        named.insert(manifest);
    }
    let checkpoint = metadata["properties"][CHECKPOINT_PROPERTY].as_str();
    let checkpoint: Value = checkpoint.map_or(Value::Null, |text| {
        serde_json::from_str(text).expect("JSON")
    });
    for done in checkpoint["backfill"]["done"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let list = path(done, "files");
        let (_, files) = avro(&list);
        named.extend(files.iter().map(|file| local(&text(file, "file_path"))));
        named.insert(list);
    }
    named
}

/// Every file that the table names is there.
#[track_caller]
pub fn nothing_is_missing(table: &Path, what: &str) {
    let (named, found) = (named(table), on_disk(table));
    let missing: Vec<_> = named.difference(&found).collect();
    assert!(missing.is_empty(), "{what}: {missing:#?}");
}

/// As [`nothing_is_missing`], and no other file is there.
#[track_caller]
pub fn nothing_is_left(table: &Path, what: &str) {
    nothing_is_missing(table, what);
    let (named, found) = (named(table), on_disk(table));
    let left: Vec<_> = found.difference(&named).collect();
    assert!(left.is_empty(), "{what}: {left:#?}");
}

/// Makes files look as if they were written days ago.
pub fn aged<'a>(files: impl IntoIterator<Item = &'a PathBuf>) {
    let days_ago = SystemTime::now() - Duration::from_secs(10 * 86_400);
    for path in files {
        let file = std::fs::File::options()
            .write(true)
            .open(path)
            .expect("a file");
        file.set_modified(days_ago).expect("its time is set");
    }
}

/// Removes the orphans of `dbo.t` whatever their age, and answers what `maintain --orphans` reports. No run of the
/// table may be under way.
pub fn swept(world: &World) -> Value {
    aged(&on_disk(&world.lake("dbo", "t")));
    let swept = world.run(&["--json", "maintain", "--orphans"]).json();
    swept["tables"][0]["orphans"].clone()
}

/// `dbo.t` of a world's lake, as it is now.
pub async fn lake_table(world: &World) -> LakeTable {
    let place = world.warehouse();
    let warehouse = Warehouse::open(place.to_str().expect("text")).await;
    let name = "dbo.t".parse().expect("a name");
    let table = warehouse.expect("a warehouse").table(&name).await;
    table.expect("readable").expect("a table")
}

/// The rows of a snapshot (none: the current one), sorted.
pub async fn lake_rows(table: &LakeTable, snapshot: Option<i64>, columns: &[&str]) -> Vec<Row> {
    let stream = table.scan(snapshot, Some(columns)).await.expect("readable");
    let batches: Vec<RecordBatch> = stream.try_collect().await.expect("readable");
    let cell = |batch: &RecordBatch, column, at| {
        array_value_to_string(batch.column(column), at).expect("text")
    };
    let row = |batch: &RecordBatch, at| {
        (0..columns.len())
            .map(|column| cell(batch, column, at))
            .collect()
    };
    let mut rows: Vec<Row> = batches
        .iter()
        .flat_map(|batch| (0..batch.num_rows()).map(move |at| row(batch, at)))
        .collect();
    rows.sort();
    rows
}

/// The rows of every snapshot.
pub async fn states(table: &LakeTable, columns: &[&str]) -> BTreeMap<i64, Vec<Row>> {
    let mut states = BTreeMap::new();
    for snapshot in table.snapshots() {
        states.insert(
            snapshot.id,
            lake_rows(table, Some(snapshot.id), columns).await,
        );
    }
    states
}
