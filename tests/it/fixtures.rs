//! Warehouses that other writers made, and older builds (warehouse-fixtures/): each is read, gone on from, or refused.
//! What icesync adds to them is looked into with `apache-avro`, not with the library that wrote it.

mod moving;

use crate::harness::readers_agree;
use apache_avro::types::Value as Avro;
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_cast::display::array_value_to_string;
use futures::TryStreamExt;
use icesync::change::{CHECKPOINT_VERSION, Checkpoint, RunId, Strategy};
use icesync::lake::{CommitIntent, LakeTable, Warehouse, WriteMode, WriteOptions};
use icesync::schema::{TableName, mapping};
use moving::Moved;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

type Row = [String; 3];

fn items() -> TableName {
    "dbo.items".parse().unwrap()
}

async fn open(fixture: &Moved) -> Result<LakeTable, String> {
    let path = fixture.path();
    let warehouse = Warehouse::open(path.to_str().unwrap()).await;
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

/// The rows that whoever made the fixture read in it.
fn rows_of(fixture: &Moved) -> Vec<Row> {
    let text = std::fs::read(fixture.path().join("rows.json")).unwrap();
    let found: Vec<(i64, Option<String>, Option<String>)> = serde_json::from_slice(&text).unwrap();
    let row = |(id, name, price): (i64, Option<String>, Option<String>)| {
        let known = |text: Option<String>| text.filter(|text| text != "None").unwrap_or_default();
        [id.to_string(), known(name), known(price)]
    };
    let mut rows: Vec<Row> = found.into_iter().map(row).collect();
    rows.sort();
    rows
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
        icesync::schema::TableKind::Mirror => WriteMode::Upsert,
        icesync::schema::TableKind::History => WriteMode::Append,
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
        checkpoint: Checkpoint {
            version: CHECKPOINT_VERSION,
            run_id,
            strategy: Strategy::Full,
            watermark: None,
            content: None,
            backfill: None,
            snapshot_id: None,
            committed_at: "2026-01-01T00:00:00Z".into(),
        },
        summary: BTreeMap::new(),
        loading: None,
        properties: BTreeMap::new(),
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

/// Reads a fixture, goes on from it twice, and looks at what that wrote.
async fn reads_and_goes_on(name: &str, readers: bool) {
    let fixture = Moved::copy_of(name);
    let mut table = open(&fixture).await.unwrap();
    let before = rows_of(&fixture);
    assert_eq!(rows(&table).await.unwrap(), before, "{name}");
    let history = table.kind() == icesync::schema::TableKind::History;
    let mut expected = before;
    for ids in [[1, 90], [3, 90]] {
        go_on(&mut table, ids).await.unwrap();
        expected = after_going_on(expected, ids, history);
        assert_eq!(rows(&table).await.unwrap(), expected, "{name}");
    }
    // A fresh look sees the same, and so do other readers.
    let again = open(&fixture).await.unwrap();
    assert_eq!(rows(&again).await.unwrap(), expected, "{name}");
    look_into(&fixture.table());
    if readers {
        let row = |row: &Row| {
            let id: i64 = row[0].parse().unwrap();
            let known = |text: &String| (!text.is_empty()).then(|| text.clone());
            json!({ "id": id, "name": known(&row[1]), "price": known(&row[2]) })
        };
        let expected: Vec<Value> = expected.iter().map(row).collect();
        readers_agree(&fixture.table(), "id", &expected);
    }
}

/// Opening or reading is refused with these words, and nothing is written.
async fn refuses_to_read(name: &str, texts: &[&str]) {
    let fixture = Moved::copy_of(name);
    let before = fixture.files();
    let refused = match open(&fixture).await {
        Err(refused) => refused,
        Ok(table) => rows(&table).await.unwrap_err(),
    };
    for text in texts {
        assert!(refused.contains(text), "{name}: no {text:?} in {refused}");
    }
    assert_eq!(fixture.files(), before, "{name}");
}

/// Reading gives the rows; writing is refused with these words, and nothing is left behind.
async fn reads_and_refuses_to_write(name: &str, text: &str) {
    let fixture = Moved::copy_of(name);
    let before = fixture.files();
    let mut table = open(&fixture).await.unwrap();
    assert_eq!(rows(&table).await.unwrap(), rows_of(&fixture), "{name}");
    let refused = go_on(&mut table, [1, 90]).await.unwrap_err();
    assert!(refused.contains(text), "{name}: no {text:?} in {refused}");
    assert_eq!(fixture.files(), before, "{name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn spark_position_deletes_of_many_files_go_on() {
    // Polars' own reader takes delete files of one data file only.
    reads_and_goes_on("spark-position-deletes", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spark_maintained_goes_on() {
    reads_and_goes_on("spark-maintained", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spark_evolved_spec_goes_on() {
    reads_and_goes_on("spark-evolved-spec", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spark_evolved_columns_go_on() {
    reads_and_goes_on("spark-evolved-columns", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spark_name_mapped_goes_on() {
    // DuckDB and Polars find no column without a field id.
    reads_and_goes_on("spark-name-mapped", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spark_gzip_goes_on() {
    reads_and_goes_on("spark-gzip", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pyiceberg_folder_goes_on() {
    reads_and_goes_on("pyiceberg-folder", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn icesync_mirror_goes_on() {
    reads_and_goes_on("icesync-mirror", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn icesync_history_goes_on() {
    reads_and_goes_on("icesync-history", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_and_version_1_are_read_and_not_written() {
    reads_and_refuses_to_write("spark-partitioned", "partitioned").await;
    reads_and_refuses_to_write("spark-version-1", "format version 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_icesync_does_not_read_is_refused_by_name() {
    for (name, texts) in [
        (
            "spark-without-ids",
            &["no field ids", "schema.name-mapping.default", ".parquet"][..],
        ),
        (
            "spark-equality-deletes",
            &["equality deletes", "compact dbo.items"][..],
        ),
        ("spark-deletion-vectors", &["deletion vectors"][..]),
        ("spark-orc", &["no Parquet file", ".orc"][..]),
        ("spark-avro", &["no Parquet file", ".avro"][..]),
        ("pyiceberg-sql-catalog", &["another kind of catalog"][..]),
    ] {
        refuses_to_read(name, texts).await;
    }
}

/// Changes the files of a fixture, then opens and reads it.
async fn damaged(change: impl FnOnce(&Path)) -> Result<Vec<Row>, String> {
    let fixture = Moved::copy_of("icesync-mirror");
    change(&fixture.table());
    let table = open(&fixture).await?;
    rows(&table).await
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_of_every_kind_lead_to_the_newest_version() {
    let expected = rows_of(&Moved::copy_of("icesync-mirror"));
    for hint in [
        "1",
        "3",
        "6",
        "99",
        "7\n",
        " 7 ",
        "",
        "seven",
        "v7.metadata.json",
        "-1",
    ] {
        let found = damaged(|table| {
            std::fs::write(table.join("metadata/version-hint.text"), hint).unwrap()
        });
        assert_eq!(found.await.unwrap(), expected, "{hint:?}");
    }
    let found =
        damaged(|table| std::fs::remove_file(table.join("metadata/version-hint.text")).unwrap());
    assert_eq!(found.await.unwrap(), expected, "no hint");
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_files_are_named() {
    let newest = |table: &Path| newest_metadata(table).0;
    let truncate = |path: &Path| {
        let bytes = std::fs::read(path).unwrap();
        std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    };
    let refused = damaged(|table| truncate(&newest(table))).await.unwrap_err();
    assert!(refused.contains("v7.metadata.json"), "{refused}");
    for (kind, list) in [("snap-", true), ("-m", false)] {
        let of_kind = |table: &Path| {
            let (_, metadata) = newest_metadata(table);
            let current = &metadata["current-snapshot-id"];
            let snapshots = metadata["snapshots"].as_array().unwrap();
            let snapshot = snapshots
                .iter()
                .find(|one| one["snapshot-id"] == *current)
                .unwrap();
            let path = local(snapshot["manifest-list"].as_str().unwrap());
            if list {
                return path;
            }
            let (_, entries) = avro(&path);
            local(&text(&entries[0], "manifest_path"))
        };
        let refused = damaged(|table| truncate(&of_kind(table)))
            .await
            .unwrap_err();
        assert!(
            refused.contains(kind) && refused.contains(".avro"),
            "{refused}"
        );
        let refused = damaged(|table| std::fs::remove_file(of_kind(table)).unwrap())
            .await
            .unwrap_err();
        assert!(
            refused.contains(kind) && refused.contains(".avro"),
            "{refused}"
        );
    }
    let refused = damaged(|table| {
        for file in std::fs::read_dir(table.join("data")).unwrap() {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
    });
    let refused = refused.await.unwrap_err();
    assert!(refused.contains(".parquet"), "{refused}");
}

// What the manifests say ------------------------------------------------------------------------------------------

pub fn local(uri: &str) -> PathBuf {
    let path = uri.strip_prefix("file:").unwrap_or_else(|| panic!("{uri}"));
    let path = path.trim_start_matches('/');
    Path::new("/").join(path)
}

/// The newest metadata file, and what is in it.
pub fn newest_metadata(table: &Path) -> (PathBuf, Value) {
    let names = std::fs::read_dir(table.join("metadata")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let numbered = names.filter_map(|name| {
        let number = name.strip_prefix('v')?.strip_suffix(".metadata.json")?;
        let number = number.strip_suffix(".gz").unwrap_or(number);
        Some((number.parse::<u64>().ok()?, name))
    });
    let (_, name) = numbered.max().unwrap();
    let path = table.join("metadata").join(&name);
    let bytes = std::fs::read(&path).unwrap();
    let bytes = match name.contains(".gz.") {
        true => moving::gunzip(&bytes),
        false => bytes,
    };
    (path, serde_json::from_slice(&bytes).unwrap())
}

/// Header entries and records of an Avro file.
pub fn avro(path: &Path) -> (BTreeMap<String, String>, Vec<Avro>) {
    let bytes = std::fs::read(path).unwrap();
    let header = moving::avro_header(&bytes);
    let reader = apache_avro::Reader::new(bytes.as_slice()).unwrap();
    (header, reader.map(Result::unwrap).collect())
}

pub fn field<'a>(record: &'a Avro, name: &str) -> &'a Avro {
    let Avro::Record(fields) = record else {
        panic!("{record:?}")
    };
    let found = fields.iter().find(|(field, _)| field == name);
    match found.unwrap_or_else(|| panic!("no {name}")) {
        (_, Avro::Union(_, inner)) => inner,
        (_, plain) => plain,
    }
}

pub fn number(record: &Avro, name: &str) -> Option<i64> {
    match field(record, name) {
        Avro::Int(number) => Some((*number).into()),
        Avro::Long(number) => Some(*number),
        Avro::Null => None,
        other => panic!("{name}: {other:?}"),
    }
}

pub fn text(record: &Avro, name: &str) -> String {
    let Avro::String(text) = field(record, name) else {
        panic!("{name}")
    };
    text.clone()
}

/// Every field of a record must have an id; the ids of this record.
fn ids(schema: &Value) -> BTreeSet<i64> {
    let fields = schema["fields"].as_array().unwrap().iter();
    let id = |field: &Value| {
        field["field-id"]
            .as_i64()
            .unwrap_or_else(|| panic!("{field}"))
    };
    fields.map(id).collect()
}

/// The current snapshot's manifest list and manifests against the specification: ids of the fields, headers, counts,
/// and sequence numbers that are inherited, kept, or old enough.
fn look_into(table: &Path) {
    let (_, metadata) = newest_metadata(table);
    let current = metadata["current-snapshot-id"].as_i64().unwrap();
    let snapshots = metadata["snapshots"].as_array().unwrap();
    let snapshot = snapshots
        .iter()
        .find(|one| one["snapshot-id"] == json!(current))
        .unwrap();
    let sequence = snapshot["sequence-number"].as_i64().unwrap();
    let (header, manifests) = avro(&local(snapshot["manifest-list"].as_str().unwrap()));
    assert_eq!(header["format-version"], "2");
    let schema: Value = serde_json::from_str(&header["avro.schema"]).unwrap();
    let required: BTreeSet<i64> = [
        500, 501, 502, 503, 504, 505, 506, 512, 513, 514, 515, 516, 517,
    ]
    .into();
    assert!(ids(&schema).is_superset(&required), "{schema}");
    for manifest in &manifests {
        let own = number(manifest, "added_snapshot_id") == Some(current);
        assert_eq!(own, number(manifest, "sequence_number") == Some(sequence));
        look_into_manifest(manifest, own.then_some(current), sequence);
    }
}

/// `own` is the current snapshot where it wrote the manifest.
fn look_into_manifest(manifest: &Avro, own: Option<i64>, sequence: i64) {
    let path = text(manifest, "manifest_path");
    let (header, entries) = avro(&local(&path));
    let content = match number(manifest, "content") {
        Some(0) => "data",
        Some(1) => "deletes",
        other => panic!("{other:?}"),
    };
    if own.is_some() {
        assert_eq!(
            (
                header["content"].as_str(),
                header["format-version"].as_str()
            ),
            (content, "2")
        );
        let schema: Value = serde_json::from_str(&header["avro.schema"]).unwrap();
        assert!(
            ids(&schema).is_superset(&[0, 1, 2, 3, 4].into()),
            "{schema}"
        );
        let mut fields = schema["fields"].as_array().unwrap().iter();
        let data_file = fields.find(|field| field["name"] == "data_file").unwrap();
        assert!(ids(&data_file["type"]).is_superset(&[100, 101, 102, 103, 104, 134].into()));
        assert!(serde_json::from_str::<Value>(&header["schema"]).unwrap()["fields"].is_array());
        assert!(
            serde_json::from_str::<Value>(&header["partition-spec"])
                .unwrap()
                .is_array()
        );
    }
    let spec = number(manifest, "partition_spec_id").unwrap();
    assert_eq!(header["partition-spec-id"], spec.to_string(), "{path}");
    let mut counts = [0; 3];
    let mut lowest = i64::MAX;
    for entry in &entries {
        let status = number(entry, "status").unwrap();
        counts[usize::try_from(status).unwrap()] += 1;
        // Others write entries of format version 1 too, which have no numbers.
        let numbers = match own {
            Some(_) => (
                number(entry, "sequence_number"),
                number(entry, "snapshot_id"),
            ),
            None => (None, None),
        };
        match (own, status) {
            (Some(current), 1) => {
                assert!(
                    matches!(numbers, (None, Some(id)) if id == current),
                    "{path}: {numbers:?}"
                );
                lowest = lowest.min(sequence);
            }
            (Some(_), 0) => {
                let (Some(number), Some(_)) = numbers else {
                    panic!("{path}: {numbers:?}")
                };
                assert!(number < sequence, "{path}: {numbers:?}");
                lowest = lowest.min(number);
            }
            (Some(current), _) => assert_eq!(numbers.1, Some(current), "{path}"),
            (None, _) => {}
        }
        assert!(local(&text(field(entry, "data_file"), "file_path")).exists());
    }
    let counted = [
        "existing_files_count",
        "added_files_count",
        "deleted_files_count",
    ];
    assert_eq!(
        counted.map(|name| number(manifest, name)),
        counts.map(Some),
        "{path}"
    );
    if own.is_some() && lowest < i64::MAX {
        assert_eq!(
            number(manifest, "min_sequence_number"),
            Some(lowest),
            "{path}"
        );
    }
}
