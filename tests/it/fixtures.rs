//! Warehouses that other writers made, and older builds (warehouse-fixtures/). Each is read, gone on from, or refused,
//! at the place that its paths name and with the bytes that its writer wrote. What icesync adds is looked into with
//! `apache-avro`, not with the library that wrote it.
//!
//! What a fixture must give is written beside it: `rows.json` has the rows, `refused.txt` what icesync says when it
//! refuses to read the table, `write-refused.txt` what it says when it refuses to write to it.

pub mod contents;
mod place;

use crate::harness::{Run, finish, lakes_agree};
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_cast::display::array_value_to_string;
use contents::look_into;
use futures::TryStreamExt;
use icesync::change::{Checkpoint, RunId, Strategy};
use icesync::lake::{CommitIntent, LakeTable, Warehouse, WriteMode, WriteOptions};
use icesync::schema::{TableKind, TableName, mapping};
use place::{Fixture, Place, copy, fixtures, kept};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

type Row = [String; 3];

/// The fixtures that DuckDB, PyIceberg and Polars can all read once icesync has gone on from them. Of the others,
/// Polars refuses delete files of several data files, DuckDB and Polars find no column without a field id, and what
/// icesync wrote has more columns than `rows.json`.
const FOR_OTHER_READERS: [&str; 4] = [
    "pyiceberg-folder",
    "spark-evolved-columns",
    "spark-evolved-spec",
    "spark-maintained",
];

fn items() -> TableName {
    "dbo.items".parse().unwrap()
}

async fn open(warehouse: &Path) -> Result<LakeTable, String> {
    let warehouse = Warehouse::open(warehouse.to_str().unwrap()).await;
    let warehouse = warehouse.map_err(|error| error.to_string())?;
    match warehouse.table(&items()).await {
        Ok(table) => table.ok_or_else(|| "there is no table".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

async fn rows(table: &LakeTable) -> Result<Vec<Row>, String> {
    let columns = ["id", "name", "price"];
    let batches = async {
        let stream = table.scan(None, Some(&columns)).await?;
        stream.try_collect::<Vec<RecordBatch>>().await
    };
    let mut rows = Vec::new();
    for batch in batches.await.map_err(|error| error.to_string())? {
        for at in 0..batch.num_rows() {
            rows.push(
                [0, 1, 2].map(|column| array_value_to_string(batch.column(column), at).unwrap()),
            );
        }
    }
    rows.sort();
    Ok(rows)
}

/// The rows that the writer of a fixture read in it; none for one that is damaged.
fn rows_of(name: &str) -> Option<Vec<Row>> {
    let text = std::fs::read(kept().join("tables").join(name).join("rows.json")).ok()?;
    let found: Vec<(i64, Option<String>, Option<String>)> = serde_json::from_slice(&text).unwrap();
    let row = |(id, name, price): (i64, Option<String>, Option<String>)| {
        let known = |text: Option<String>| text.filter(|text| text != "None").unwrap_or_default();
        [id.to_string(), known(name), known(price)]
    };
    let mut rows: Vec<Row> = found.into_iter().map(row).collect();
    rows.sort();
    Some(rows)
}

/// The lines of a file beside a fixture: all of them must be in a message.
fn words(name: &str, file: &str) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(kept().join("tables").join(name).join(file)).ok()?;
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    assert!(!lines.is_empty(), "{name}/{file}");
    Some(lines)
}

#[track_caller]
fn has_all(name: &str, message: &str, words: &[String]) {
    for word in words {
        assert!(message.contains(word), "{name}: no {word:?} in {message}");
    }
}

/// Replaces one row and adds one, as a run does.
async fn go_on(table: &mut LakeTable, ids: [i32; 2]) -> Result<(), String> {
    let schema = table.batch_schema();
    let arrow = mapping::arrow_schema(&schema);
    let columns = schema.fields.iter().zip(arrow.fields()).map(|(field, ty)| {
        let text = ids.map(|id| match field.name.as_str() {
            "id" => Some(id.to_string()),
            "name" => Some("ours".to_owned()),
            "price" => Some("0.25".to_owned()),
            _ => None,
        });
        let text: ArrayRef = Arc::new(StringArray::from_iter(text));
        arrow_cast::cast(&text, ty.data_type()).unwrap()
    });
    let batch = RecordBatch::try_new(arrow.clone(), columns.collect()).unwrap();
    let run_id = RunId::generate();
    let mode = match table.kind() {
        TableKind::Mirror => WriteMode::Upsert,
        TableKind::History => WriteMode::Append,
    };
    let base = table.checkpoint().unwrap();
    let written = async {
        let mut writer = table.writer(WriteOptions::new(mode, run_id)).await?;
        writer.write(batch).await?;
        writer.finish().await
    };
    let prepared = written.await.map_err(|error| error.to_string())?;
    let intent = CommitIntent {
        run_id,
        base_checkpoint: base.map(|checkpoint| checkpoint.run_id),
        checkpoint: Checkpoint::reached(run_id, Strategy::Full, None),
        summary: BTreeMap::new(),
        loading: None,
        foreign_rows: false,
    };
    let committed = table.commit(prepared, intent).await;
    committed.map(|_| ()).map_err(|error| error.to_string())
}

fn after_going_on(mut rows: Vec<Row>, ids: [i32; 2], history: bool) -> Vec<Row> {
    let ours = ids.map(|id| id.to_string());
    rows.retain(|row| history || !ours.contains(&row[0]));
    rows.extend(ours.map(|id| [id, "ours".into(), "0.25".into()]));
    rows.sort();
    rows
}

/// Runs a command that needs no server on a fixture's warehouse.
fn command(fixture: &Fixture, args: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let location = fixture.warehouse.display();
    let config = format!("warehouse: {{ location: {location} }}\ntables:\n  - source: dbo.items\n");
    std::fs::write(folder.path().join("icesync.yaml"), config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_icesync"));
    command
        .args(args)
        .current_dir(folder.path())
        .stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(command.env_remove("ICESYNC_LOG").spawn().unwrap())
}

/// Reading gives the rows.
async fn reads(fixture: &Fixture<'_>) {
    let name = &fixture.name;
    let expected = rows_of(name).unwrap();
    let table = open(&fixture.warehouse).await.unwrap();
    assert_eq!(rows(&table).await.unwrap(), expected, "{name}");
    let status = command(fixture, &["--json", "status"]).json();
    assert_eq!(
        status["tables"][0]["lake"]["rows"],
        json!(expected.len()),
        "{name}: {status}"
    );
    // A command that would write is refused as writing is, dry or not.
    let refused = words(name, "write-refused.txt");
    let fails = refused.is_some();
    let maintained = command(fixture, &["maintain", "--dry-run"]);
    assert_eq!(maintained.code, i32::from(fails), "{name}: {maintained:#?}");
    has_all(name, &maintained.stderr, &refused.unwrap_or_default());
}

/// Opening or reading is refused with these words. A command that meets the same error says it, too.
async fn refuses_to_read(fixture: &Fixture<'_>, words: &[String]) {
    let name = &fixture.name;
    let opened = open(&fixture.warehouse).await;
    let is_open = opened.is_ok();
    let refused = match opened {
        Err(refused) => refused,
        Ok(table) => rows(&table).await.unwrap_err(),
    };
    has_all(name, &refused, words);
    for args in [&["status"][..], &["maintain", "--dry-run"]] {
        let run = command(fixture, args);
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(!said.contains("panicked"), "{name}: {run:#?}");
        // A command that reads the damaged file, or what is written beside it, says something of its own.
        if !is_open {
            assert_eq!(run.code, 1, "{name}: {run:#?}");
            has_all(name, &said, words);
        }
    }
}

/// Replacing rows is refused, where the table can be opened: some of them are in whatever file is damaged.
async fn refuses_to_write(fixture: &Fixture<'_>) {
    let Ok(mut table) = open(&fixture.warehouse).await else {
        return;
    };
    let refused = go_on(&mut table, [1, 5]).await.unwrap_err();
    let words = words(&fixture.name, "write-refused.txt").unwrap_or_default();
    has_all(&fixture.name, &refused, &words);
}

/// Goes on from a fixture twice, and looks at what that wrote. The rows afterwards.
async fn goes_on(fixture: &Fixture<'_>) -> Vec<Row> {
    let name = &fixture.name;
    let mut table = open(&fixture.warehouse).await.unwrap();
    let history = table.kind() == TableKind::History;
    let mut expected = rows_of(name).unwrap();
    for ids in [[1, 90], [3, 90]] {
        go_on(&mut table, ids).await.unwrap();
        expected = after_going_on(expected, ids, history);
        assert_eq!(rows(&table).await.unwrap(), expected, "{name}");
    }
    let again = open(&fixture.warehouse).await.unwrap();
    assert_eq!(rows(&again).await.unwrap(), expected, "{name}");
    look_into(&fixture.table());
    expected
}

/// A copy of the folder is refused until it is relocated; it has the same rows then.
async fn is_relocated(fixture: &Fixture<'_>, expected: &[Row]) {
    let name = &fixture.name;
    let folder = tempfile::tempdir().unwrap();
    copy(&fixture.warehouse, folder.path());
    let refused = open(folder.path()).await.unwrap_err();
    assert!(refused.contains("was copied or moved"), "{name}: {refused}");
    let warehouse = Warehouse::open(folder.path().to_str().unwrap())
        .await
        .unwrap();
    let relocated = warehouse.relocate(&items()).await;
    relocated.unwrap_or_else(|error| panic!("{name}: {error}"));
    let table = open(folder.path()).await.unwrap();
    assert_eq!(rows(&table).await.unwrap(), expected, "{name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fixture_is_read_gone_on_from_or_refused() {
    let place = Place::take();
    let mut for_other_readers = Vec::new();
    for name in fixtures() {
        let fixture = place.put(&name);
        let before = fixture.files();
        let refused = words(&name, "refused.txt");
        match &refused {
            Some(words) => refuses_to_read(&fixture, words).await,
            None => reads(&fixture).await,
        }
        assert!(
            fixture.files() == before,
            "{name}: reading changed the folder"
        );
        if refused.is_some() || words(&name, "write-refused.txt").is_some() {
            refuses_to_write(&fixture).await;
            assert!(
                fixture.files() == before,
                "{name}: a refusal changed the folder"
            );
            continue;
        }
        let rows = goes_on(&fixture).await;
        is_relocated(&fixture, &rows).await;
        if FOR_OTHER_READERS.contains(&name.as_str()) {
            for_other_readers.push((fixture, rows));
        }
    }
    assert_eq!(for_other_readers.len(), FOR_OTHER_READERS.len());
    let row = |row: &Row| {
        let id: i64 = row[0].parse().unwrap();
        let known = |text: &String| (!text.is_empty()).then(|| text.clone());
        json!({ "id": id, "name": known(&row[1]), "price": known(&row[2]) })
    };
    let tables = for_other_readers
        .iter()
        .map(|(fixture, rows)| (fixture.table(), rows.iter().map(row).collect()));
    let tables: Vec<(PathBuf, Vec<Value>)> = tables.collect();
    lakes_agree(&tables);
}

#[test]
fn every_fixture_says_what_it_must_give() {
    let readme = std::fs::read_to_string(kept().join("README.md")).unwrap();
    for name in fixtures() {
        assert!(
            readme.contains(&format!("`{name}`")),
            "{name} is not in the README"
        );
        let damaged = name.starts_with("damaged-");
        assert_eq!(rows_of(&name).is_none(), damaged, "{name}: rows.json");
        assert!(
            !damaged || words(&name, "refused.txt").is_some(),
            "{name}: refused.txt"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_that_no_writer_writes_lead_to_the_newest_version() {
    let place = Place::take();
    let fixture = place.put("icesync-mirror");
    let expected = rows_of("icesync-mirror").unwrap();
    let hints: [&[u8]; 9] = [
        b" 7 ",
        b"7\r\n",
        b"-1",
        b"0",
        b"18446744073709551615",
        b"18446744073709551616",
        b"\xef\xbb\xbf7",
        b"\xff\xfe7\0",
        b"v9.gz.metadata.json",
    ];
    for hint in hints {
        std::fs::write(fixture.table().join("metadata/version-hint.text"), hint).unwrap();
        let table = open(&fixture.warehouse).await.unwrap();
        assert_eq!(rows(&table).await.unwrap(), expected, "{hint:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_recreated_during_a_run_is_refused() {
    let place = Place::take();
    let fixture = place.put("uuid-changed");
    let before = fixture.files();
    let newest = fixture.table().join("metadata/v7.metadata.json");
    let recreated = std::fs::read(&newest).unwrap();
    std::fs::remove_file(&newest).unwrap();
    let mut table = open(&fixture.warehouse).await.unwrap();
    std::fs::write(&newest, recreated).unwrap();
    let refused = go_on(&mut table, [1, 90]).await.unwrap_err();
    assert!(refused.contains("dropped and recreated"), "{refused}");
    assert!(fixture.files() == before, "something was left behind");
}
