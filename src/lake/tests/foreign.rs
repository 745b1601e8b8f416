//! What other engines leave in a table: their manifests, partitions, paths and catalogs.

use super::ancestry::republish;
use super::expiring::at_once;
use super::maintaining::full;
use super::*;
use crate::lake::read::avro::Container;
use crate::lake::read::manifests::LiveFile;
use apache_avro::types::Value;
use apache_avro::{Codec, Reader, Schema, Writer};
use iceberg::spec::{Manifest, ManifestContentType, ManifestFile};
use serde_json::{Value as Json, json};
use std::time::Duration;

fn local(uri: &str) -> &str {
    uri.strip_prefix("file://").unwrap_or(uri)
}

type Record = Vec<(String, Value)>;

/// Writes an Avro file again in its place, with another schema, other header entries and other records.
fn rewrite(
    uri: &str,
    schema: impl FnOnce(&mut Json),
    header: &[(&str, &str)],
    mut record: impl FnMut(&mut Record),
) {
    let bytes = std::fs::read(local(uri)).unwrap();
    let old = Container::open(&bytes).unwrap().header;
    let text = &old
        .iter()
        .find(|(name, _)| name == "avro.schema")
        .unwrap()
        .1;
    let mut json: Json = serde_json::from_slice(text).unwrap();
    schema(&mut json);
    let parsed = Schema::parse(&json).unwrap();
    let mut writer = Writer::with_codec(&parsed, Vec::new(), Codec::Null);
    for (name, value) in &old {
        let replaced = header.iter().any(|(other, _)| other == name);
        if !name.starts_with("avro.") && !replaced {
            writer.add_user_metadata(name.clone(), value).unwrap();
        }
    }
    for (name, value) in header.iter().filter(|(_, value)| !value.is_empty()) {
        writer.add_user_metadata((*name).to_owned(), value).unwrap();
    }
    for value in Reader::new(&bytes[..]).unwrap() {
        let Value::Record(mut fields) = value.unwrap() else {
            panic!("no record");
        };
        record(&mut fields);
        writer.append(Value::Record(fields)).unwrap();
    }
    std::fs::write(local(uri), writer.into_inner().unwrap()).unwrap();
}

fn field<'r>(record: &'r mut Record, name: &str) -> &'r mut Value {
    let found = record.iter_mut().find(|(known, _)| known == name);
    &mut found.unwrap().1
}

fn file_of(entry: &mut Record) -> &mut Record {
    let Value::Record(file) = field(entry, "data_file") else {
        panic!("no record");
    };
    file
}

/// The fields of files in the schema of a manifest.
fn file_fields(schema: &mut Json) -> &mut Vec<Json> {
    let fields = schema["fields"].as_array_mut().unwrap();
    let file = fields.iter_mut().find(|field| field["name"] == "data_file");
    file.unwrap()["type"]["fields"].as_array_mut().unwrap()
}

async fn manifests(table: &LakeTable, content: ManifestContentType) -> Vec<ManifestFile> {
    let files = table.files(table.current_snapshot_id()).await.unwrap();
    let of_content = |manifest: &ManifestFile| manifest.content == content;
    files.manifests.into_iter().filter(of_content).collect()
}

/// Nothing of the table is in memory.
async fn reopened(directory: &Path) -> LakeTable {
    let warehouse = Warehouse::open(directory.join("wh").to_str().unwrap()).await;
    warehouse.unwrap().table(&name()).await.unwrap().unwrap()
}

fn newest(snapshots_max: usize) -> ExpireOptions {
    ExpireOptions {
        snapshots_max,
        age: Duration::MAX,
        age_beside: Duration::MAX,
        at_least: 1,
        dry_run: false,
    }
}

/// Makes the manifests of data files what `add_files` of Spark commits: version 1, without snapshot ids.
async fn as_add_files(table: &LakeTable) {
    for manifest in manifests(table, ManifestContentType::Data).await {
        let schema = |schema: &mut Json| {
            let fields = schema["fields"].as_array_mut().unwrap();
            let wanted = ["status", "snapshot_id", "data_file"];
            fields.retain(|field| wanted.iter().any(|name| field["name"] == *name));
            let file = file_fields(schema);
            file.retain(|field| field["name"] != "content");
            let block = json!({ "name": "block_size_in_bytes", "type": "long", "field-id": 105 });
            file.insert(4, block);
        };
        let header = [("format-version", "1"), ("content", "")];
        rewrite(&manifest.manifest_path, schema, &header, |entry| {
            entry.retain(|(name, _)| !name.contains("sequence_number"));
            *field(entry, "snapshot_id") = Value::Union(0, Box::new(Value::Null));
            let file = file_of(entry);
            file.retain(|(name, _)| name != "content");
            file.insert(4, ("block_size_in_bytes".to_owned(), Value::Long(64 << 20)));
        });
    }
}

#[tokio::test]
async fn manifests_that_inherit_even_the_snapshot_are_maintained_and_written_again() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    for start in [0, 10] {
        let rows: Vec<Row> = (start..start + 10).map(|id| row(id, "a", 1)).collect();
        commit(&mut table, WriteMode::Upsert, &rows, &[], false).await;
    }
    let ids: Vec<i64> = table.snapshots().iter().map(|at| at.id).collect();
    as_add_files(&table).await;
    let mut table = reopened(directory.path()).await;
    let mut rows = read(&table, None).await;
    assert_eq!(rows.len(), 20);
    table.remove_orphans(&at_once()).await.unwrap();
    // Two small manifests are merged by the next commit.
    let merge = (
        "commit.manifest.min-count-to-merge".to_owned(),
        "2".to_owned(),
    );
    table.set_properties([merge].into()).await.unwrap();
    commit(
        &mut table,
        WriteMode::Upsert,
        &[row(20, "b", 2)],
        &[],
        false,
    )
    .await;
    rows.push(row(20, "b", 2));
    assert_eq!(read(&table, None).await, rows);
    let merged = manifests(&table, ManifestContentType::Data).await;
    let merged = merged
        .iter()
        .find(|manifest| manifest.existing_files_count == Some(2));
    let bytes = std::fs::read(local(&merged.unwrap().manifest_path)).unwrap();
    let parsed = Manifest::parse_avro(&bytes).unwrap();
    let mut found: Vec<_> = parsed
        .entries()
        .iter()
        .map(|entry| {
            assert_eq!(entry.file_sequence_number, entry.sequence_number());
            assert_eq!(entry.data_file().record_count(), 10);
            (
                entry.sequence_number().unwrap(),
                entry.snapshot_id().unwrap(),
            )
        })
        .collect();
    found.sort();
    assert_eq!(found, [(1, ids[0]), (2, ids[1])]);
    // The same where all files leave, in a full read, and in maintenance.
    as_add_files(&table).await;
    let mut table = reopened(directory.path()).await;
    commit(&mut table, WriteMode::ReplaceAll, &rows, &[], false).await;
    assert_eq!(read(&table, None).await, rows);
    as_add_files(&table).await;
    let mut table = reopened(directory.path()).await;
    commit(&mut table, WriteMode::Upsert, &[row(3, "c", 3)], &[], false).await;
    rows[3] = row(3, "c", 3);
    assert_eq!(table.compact(&full()).await.unwrap().groups, 1);
    assert!(table.expire(&newest(1)).await.unwrap().files > 0);
    assert_eq!(read(&table, None).await, rows);
}

#[tokio::test]
async fn a_copy_of_a_table_keeps_what_its_manifests_inherit() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let rows: Vec<Row> = (0..10).map(|id| row(id, "a", 1)).collect();
    commit(&mut table, WriteMode::Upsert, &rows, &[], false).await;
    as_add_files(&table).await;
    let copy = directory.path().join("copy");
    std::fs::rename(directory.path().join("wh"), &copy).unwrap();
    let warehouse = Warehouse::open(copy.to_str().unwrap()).await.unwrap();
    assert!(warehouse.relocate(&name()).await.unwrap().moved);
    let mut table = warehouse.table(&name()).await.unwrap().unwrap();
    assert_eq!(read(&table, None).await, rows);
    commit(&mut table, WriteMode::Upsert, &[], &[1], false).await;
    assert_eq!(read(&table, None).await.len(), 9);
}

#[tokio::test]
async fn paths_without_a_scheme_are_files() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    for id in 0..3 {
        commit(
            &mut table,
            WriteMode::Upsert,
            &[row(id, "a", 1)],
            &[],
            false,
        )
        .await;
    }
    // As Spark writes them with a plain path as its warehouse.
    republish(&mut table, |metadata| {
        let plain = |value: &mut Json| *value = json!(local(value.as_str().unwrap()));
        let snapshots = metadata["snapshots"].as_array_mut().unwrap();
        snapshots
            .iter_mut()
            .for_each(|at| plain(&mut at["manifest-list"]));
        let log = metadata["metadata-log"].as_array_mut().unwrap();
        log.iter_mut()
            .for_each(|at| plain(&mut at["metadata-file"]));
    })
    .await;
    assert_eq!(read(&table, None).await.len(), 3);
    commit(&mut table, WriteMode::Upsert, &[row(1, "b", 2)], &[], false).await;
    table.compact(&full()).await.unwrap();
    assert!(table.expire(&newest(1)).await.unwrap().files > 0);
    let orphans = table.remove_orphans(&at_once()).await.unwrap();
    assert!(
        orphans
            .paths
            .iter()
            .all(|path| path.contains(".metadata.json"))
    );
    let rows = [row(0, "a", 1), row(1, "b", 2), row(2, "a", 1)];
    assert_eq!(read(&table, None).await, rows);
}

#[tokio::test]
async fn tags_of_loads_have_no_age() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    commit(&mut table, WriteMode::Upsert, &[row(1, "a", 1)], &[], false).await;
    let target = TargetTags::new("server", "db", &name());
    let loaded = table.current_snapshot_id().unwrap();
    table.tag_loaded(&target, loaded).await.unwrap();
    let text = std::fs::read(local(table.metadata_location())).unwrap();
    let metadata: Json = serde_json::from_slice(&text).unwrap();
    let tag = &metadata["refs"]["icesync-loaded-server.db.dbo.orders"];
    assert_eq!(tag["max-ref-age-ms"], json!(i64::MAX));
}

/// A column `region` that no data file has, and a spec with that column in which the data files of the current
/// snapshot lie. The table's own spec is the one without partitions, as after the field was dropped again.
async fn in_regions(table: &mut LakeTable, region: &str) {
    for manifest in manifests(table, ManifestContentType::Data).await {
        let schema = |schema: &mut Json| {
            let fields = file_fields(schema);
            let partition = fields.iter_mut().find(|field| field["name"] == "partition");
            partition.unwrap()["type"]["fields"] =
                json!([{ "name": "region", "type": ["null", "string"], "field-id": 1000 }]);
        };
        let spec = r#"[{"name":"region","transform":"identity","source-id":4,"field-id":1000}]"#;
        let columns = r#"{"type":"struct","schema-id":1,"fields":[
            {"id":4,"name":"region","required":false,"type":"string"}]}"#;
        let header = [
            ("partition-spec", spec),
            ("partition-spec-id", "1"),
            ("schema", columns),
            ("schema-id", "1"),
        ];
        rewrite(&manifest.manifest_path, schema, &header, |entry| {
            let region = Value::Union(1, Box::new(Value::String(region.to_owned())));
            let value = Value::Record(vec![("region".to_owned(), region)]);
            *field(file_of(entry), "partition") = value;
        });
    }
    let snapshot = table.metadata().current_snapshot().unwrap().clone();
    rewrite(
        snapshot.manifest_list(),
        |_| {},
        &[],
        |manifest| {
            if *field(manifest, "content") == Value::Int(0) {
                *field(manifest, "partition_spec_id") = Value::Int(1);
            }
        },
    );
    republish(table, |metadata| {
        let mut schema = metadata["schemas"][0].clone();
        schema["schema-id"] = json!(1);
        let region = json!({ "id": 4, "name": "region", "required": false, "type": "string" });
        schema["fields"].as_array_mut().unwrap().push(region);
        metadata["schemas"].as_array_mut().unwrap().push(schema);
        metadata["current-schema-id"] = json!(1);
        metadata["last-column-id"] = json!(4);
        metadata["last-partition-id"] = json!(1000);
        let field =
            json!({ "name": "region", "transform": "identity", "source-id": 4, "field-id": 1000 });
        let spec = json!({ "spec-id": 1, "fields": [field] });
        metadata["partition-specs"]
            .as_array_mut()
            .unwrap()
            .push(spec);
    })
    .await;
}

/// The regions of the rows, by id.
async fn regions(table: &LakeTable) -> Vec<(i64, Option<String>)> {
    let columns = ["id", "region"];
    let batches = table.scan(None, Some(&columns)).await.unwrap();
    let batches: Vec<RecordBatch> = batches.try_collect().await.unwrap();
    let mut found = Vec::new();
    for batch in &batches {
        let ids = batch.column(0).as_primitive::<Int64Type>().values();
        let regions = batch.column(1).as_string::<i32>().iter();
        let regions = regions.map(|region| region.map(str::to_owned));
        found.extend(ids.iter().copied().zip(regions));
    }
    found.sort();
    found
}

#[tokio::test]
async fn deletes_lie_in_the_partition_of_their_data_file() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let rows: Vec<Row> = (0..10).map(|id| row(id, "a", 1)).collect();
    commit(&mut table, WriteMode::Upsert, &rows, &[], false).await;
    in_regions(&mut table, "eu").await;
    let mut table = reopened(directory.path()).await;
    let many = (
        "commit.manifest.min-count-to-merge".to_owned(),
        "2".to_owned(),
    );
    table.set_properties([many].into()).await.unwrap();
    let mut expected: Model = rows.into_iter().map(|row| (row.0, row)).collect();
    for id in [3, 4, 20, 3] {
        let changed = row(id, "b", id as i32);
        commit(
            &mut table,
            WriteMode::Upsert,
            std::slice::from_ref(&changed),
            &[],
            false,
        )
        .await;
        expected.insert(id, changed);
        let rows: Vec<Row> = expected.values().cloned().collect();
        assert_eq!(read(&table, None).await, rows);
    }
    let files = table.files(table.current_snapshot_id()).await.unwrap();
    let spec_of = |uri: &str| {
        let mut manifests = files.manifests.iter();
        let found = manifests.find(|manifest| manifest.manifest_path == uri);
        found.unwrap().partition_spec_id
    };
    let data = files.by_path();
    let mut specs = BTreeSet::new();
    for delete in &files.deletes {
        let target = data[delete.file.target().unwrap().as_ref()];
        assert_eq!(spec_of(&delete.manifest), spec_of(&target.manifest));
        specs.insert(spec_of(&delete.manifest));
    }
    assert!(specs.contains(&1), "{specs:?}");
    for manifest in files
        .manifests
        .iter()
        .filter(|one| one.partition_spec_id == 1)
    {
        let bytes = std::fs::read(local(&manifest.manifest_path)).unwrap();
        for entry in Manifest::parse_avro(&bytes).unwrap().entries() {
            let values = format!("{:?}", entry.data_file().partition());
            assert!(values.contains("eu"), "{values}");
        }
    }
    table.compact(&full()).await.unwrap();
    let rows: Vec<Row> = expected.into_values().collect();
    assert_eq!(read(&table, None).await, rows);
}

#[tokio::test]
async fn a_column_that_a_file_leaves_to_its_partition_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let rows: Vec<Row> = (0..4).map(|id| row(id, "a", 1)).collect();
    commit(&mut table, WriteMode::Upsert, &rows, &[], false).await;
    in_regions(&mut table, "eu").await;
    let mut table = reopened(directory.path()).await;
    commit(
        &mut table,
        WriteMode::Upsert,
        &[row(3, "b", 1), row(4, "b", 1)],
        &[],
        false,
    )
    .await;
    let eu = |id| (id, Some("eu".to_owned()));
    let expected = [eu(0), eu(1), eu(2), (3, None), (4, None)];
    assert_eq!(regions(&table).await, expected);
    table.compact(&full()).await.unwrap();
    assert_eq!(regions(&table).await, expected);
}

#[tokio::test]
async fn a_branch_keeps_the_snapshots_that_it_asks_for() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    for id in 0..8 {
        commit(
            &mut table,
            WriteMode::Upsert,
            &[row(id, "a", 1)],
            &[],
            false,
        )
        .await;
    }
    let all: Vec<i64> = table.snapshots().iter().map(|at| at.id).collect();
    let branch = |snapshot: i64, more: Json| {
        let mut branch = json!({ "snapshot-id": snapshot, "type": "branch" });
        for (name, value) in more.as_object().unwrap() {
            branch[name] = value.clone();
        }
        branch
    };
    let ids =
        |table: &LakeTable| -> Vec<i64> { table.snapshots().iter().map(|at| at.id).collect() };
    // The run's own settings keep the current one only.
    let options = ExpireOptions {
        age: Duration::ZERO,
        age_beside: Duration::ZERO,
        ..newest(1)
    };
    // Young snapshots of a branch stay for the five days of the specification.
    republish(&mut table, |metadata| {
        metadata["refs"]["audit"] = branch(all[3], json!({}));
    })
    .await;
    table.expire(&options).await.unwrap();
    assert_eq!(ids(&table), [all[0], all[1], all[2], all[3], all[7]]);
    // Without an age it is their number, its own or the table's.
    let few = json!({ "max-snapshot-age-ms": 1, "min-snapshots-to-keep": 3 });
    republish(&mut table, |metadata| {
        metadata["refs"]["audit"] = branch(all[3], few)
    })
    .await;
    table.expire(&options).await.unwrap();
    assert_eq!(ids(&table), [all[1], all[2], all[3], all[7]]);
    republish(&mut table, |metadata| {
        metadata["refs"]["audit"] = branch(all[3], json!({ "max-snapshot-age-ms": 1 }));
        metadata["properties"]["history.expire.min-snapshots-to-keep"] = json!("2");
    })
    .await;
    table.expire(&options).await.unwrap();
    assert_eq!(ids(&table), [all[2], all[3], all[7]]);
    // What main asks for stays beside what the run's settings keep.
    for id in 8..12 {
        commit(
            &mut table,
            WriteMode::Upsert,
            &[row(id, "a", 1)],
            &[],
            false,
        )
        .await;
    }
    republish(&mut table, |metadata| {
        metadata["refs"]["main"]["min-snapshots-to-keep"] = json!(3);
    })
    .await;
    let before = ids(&table);
    table.expire(&options).await.unwrap();
    assert_eq!(ids(&table)[2..], before[before.len() - 3..]);
}

#[tokio::test]
async fn with_gc_off_no_file_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    for id in 0..4 {
        commit(
            &mut table,
            WriteMode::ReplaceAll,
            &[row(id, "a", 1)],
            &[],
            false,
        )
        .await;
    }
    let off = ("gc.enabled".to_owned(), "FALSE".to_owned());
    table.set_properties([off].into()).await.unwrap();
    let before = files_in(&table, "data").len();
    let expired = table.expire(&newest(1)).await.unwrap();
    assert_eq!((expired.snapshots, expired.files), (3, 0));
    assert!(expired.warnings[0].contains("gc.enabled"), "{expired:?}");
    let orphans = table.remove_orphans(&at_once()).await.unwrap();
    assert_eq!(orphans.files, 0);
    assert!(orphans.warnings[0].contains("gc.enabled"), "{orphans:?}");
    assert_eq!(files_in(&table, "data").len(), before);
    let on = ("gc.enabled".to_owned(), "true".to_owned());
    table.set_properties([on].into()).await.unwrap();
    assert!(table.remove_orphans(&at_once()).await.unwrap().files > 3);
}

#[tokio::test]
async fn no_file_is_removed_that_another_catalog_may_need() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    for id in 0..4 {
        commit(
            &mut table,
            WriteMode::ReplaceAll,
            &[row(id, "a", 1)],
            &[],
            false,
        )
        .await;
    }
    let folder = format!("{}/metadata", local(table.location()));
    let theirs = format!("{folder}/00000-a4e58f8b.metadata.json");
    let version = |number: u64| -> Json {
        let text = std::fs::read(format!("{folder}/v{number}.metadata.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    };
    // Another catalog took version 3 and went on: first by what its log says, then by its age.
    let mut logged = version(3);
    logged["metadata-log"] = json!([{
        "metadata-file": format!("file://{folder}/v3.metadata.json"),
        "timestamp-ms": logged["last-updated-ms"],
    }]);
    logged["last-updated-ms"] = json!(1);
    let mut young = version(3);
    young["metadata-log"] = json!([]);
    for found in [logged.to_string(), young.to_string(), "damaged".to_owned()] {
        std::fs::write(&theirs, &found).unwrap();
        let orphans = table.remove_orphans(&at_once()).await.unwrap();
        assert_eq!(orphans.files, 0, "{found}");
        assert!(
            orphans.warnings[0].contains("00000-a4e58f8b"),
            "{orphans:?}"
        );
    }
    let expired = table.expire(&newest(2)).await.unwrap();
    assert_eq!((expired.snapshots, expired.files), (2, 0));
    assert!(
        expired.warnings[0].contains("00000-a4e58f8b"),
        "{expired:?}"
    );
    // One from before the table came here is no reason.
    let mut before = version(1);
    before["metadata-log"] = json!([]);
    std::fs::write(&theirs, before.to_string()).unwrap();
    let orphans = table.remove_orphans(&at_once()).await.unwrap();
    assert!(
        orphans.files > 2 && orphans.warnings.is_empty(),
        "{orphans:?}"
    );
    assert!(Path::new(&theirs).exists());
}

/// Spark writes a version under a UUID first and then renames it; what is left of one that was killed is an orphan.
#[tokio::test]
async fn a_version_that_another_engine_did_not_rename_is_an_orphan() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    for id in 0..4 {
        commit(
            &mut table,
            WriteMode::ReplaceAll,
            &[row(id, "a", 1)],
            &[],
            false,
        )
        .await;
    }
    let folder = format!("{}/metadata", local(table.location()));
    let left = format!("{folder}/12345678-9abc-4def-8012-3456789abcde.metadata.json");
    let sum = format!("{folder}/.12345678-9abc-4def-8012-3456789abcde.metadata.json.crc");
    std::fs::copy(local(table.metadata_location()), &left).unwrap();
    std::fs::write(&sum, "crc").unwrap();
    let young = OrphanOptions {
        age: Duration::from_secs(86_400),
        dry_run: false,
    };
    let orphans = table.remove_orphans(&young).await.unwrap();
    assert_eq!((orphans.files, orphans.young), (0, 2), "{orphans:?}");
    assert_eq!(orphans.warnings, Vec::<String>::new());
    let expired = table.expire(&newest(2)).await.unwrap();
    assert!(
        expired.files > 0 && expired.warnings.is_empty(),
        "{expired:?}"
    );
    let orphans = table.remove_orphans(&at_once()).await.unwrap();
    assert!(orphans.warnings.is_empty(), "{orphans:?}");
    assert!(!Path::new(&left).exists() && !Path::new(&sum).exists());
    assert_eq!(read(&table, None).await, [row(3, "a", 1)]);
}

#[tokio::test]
async fn a_manifest_cannot_make_expiry_remove_metadata() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    for id in 0..5 {
        commit(
            &mut table,
            WriteMode::ReplaceAll,
            &[row(id, "a", 1)],
            &[],
            false,
        )
        .await;
    }
    let location = table.location().to_owned();
    let removed = format!("{location}/metadata/v4.metadata.json");
    let parked = format!("{location}/data/parked.parquet");
    std::fs::write(local(&parked), b"x").unwrap();
    let mut names = [removed.clone(), parked.clone()].into_iter().cycle();
    for snapshot in table.snapshots() {
        let files = table.files(Some(snapshot.id)).await.unwrap();
        for manifest in files.manifests.iter().filter(|one| one.has_deleted_files()) {
            rewrite(
                &manifest.manifest_path,
                |_| {},
                &[],
                |entry| {
                    if *field(entry, "status") == Value::Int(2) {
                        *field(file_of(entry), "file_path") = Value::String(names.next().unwrap());
                    }
                },
            );
        }
    }
    let puffin = format!("{location}/data/parked.parquet");
    republish(&mut table, |metadata| {
        let current = metadata["current-snapshot-id"].clone();
        metadata["statistics"] = json!([{
            "snapshot-id": current, "statistics-path": puffin, "file-size-in-bytes": 1,
            "file-footer-size-in-bytes": 1, "blob-metadata": [],
        }]);
    })
    .await;
    let mut table = reopened(directory.path()).await;
    assert!(table.expire(&newest(1)).await.unwrap().files > 0);
    assert!(Path::new(local(&removed)).exists());
    assert!(Path::new(local(&parked)).exists());
}

#[tokio::test]
async fn a_search_for_orphans_goes_on_beside_an_expiry() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    for id in 0..4 {
        commit(
            &mut table,
            WriteMode::ReplaceAll,
            &[row(id, "a", 1)],
            &[],
            false,
        )
        .await;
    }
    let mut searching = table.clone();
    let list = table
        .metadata()
        .snapshots()
        .next()
        .unwrap()
        .manifest_list()
        .to_owned();
    let lists: Vec<String> = table
        .metadata()
        .snapshots()
        .map(|snapshot| snapshot.manifest_list().to_owned())
        .collect();
    table.expire(&newest(1)).await.unwrap();
    assert!(
        lists.iter().any(|list| !Path::new(local(list)).exists()),
        "{list}"
    );
    let named = searching.named().await.unwrap();
    assert_eq!(searching.metadata_version(), table.metadata_version());
    let current = table.metadata().current_snapshot().unwrap();
    assert!(named.has(current.manifest_list()));
    // What the newest version names and is not there is an error.
    std::fs::remove_file(local(current.manifest_list())).unwrap();
    assert!(searching.named().await.is_err());
}

#[tokio::test]
async fn rows_are_counted_only_where_nothing_overlaps() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let rows: Vec<Row> = (0..10).map(|id| row(id, "a", 1)).collect();
    commit(&mut table, WriteMode::Upsert, &rows, &[], false).await;
    commit(&mut table, WriteMode::Upsert, &[], &[1], false).await;
    assert_eq!(table.snapshots()[1].rows_total, Some(9));
    republish(&mut table, |metadata| {
        for snapshot in metadata["snapshots"].as_array_mut().unwrap() {
            let summary = snapshot["summary"].as_object_mut().unwrap();
            summary.retain(|name, _| !name.starts_with("icesync."));
        }
    })
    .await;
    let totals: Vec<_> = table.snapshots().iter().map(|at| at.rows_total).collect();
    assert_eq!(totals, [Some(10), None]);
}

/// Two files, of which another engine's commit deletes a row or to which it adds one; then a compaction. The ids of
/// the snapshot before, of that commit and of the compaction.
async fn compacted(directory: &Path, mode: WriteMode, rows: &[Row], gone: &[i64]) -> [i64; 3] {
    let (_, mut table) = fresh(directory, TableKind::Mirror).await;
    for ids in [0..5, 5..10] {
        let rows: Vec<Row> = ids.map(|id| row(id, "a", 1)).collect();
        commit(&mut table, WriteMode::Upsert, &rows, &[], false).await;
    }
    let before = table.current_snapshot_id().unwrap();
    let theirs = commit(&mut table, mode, rows, gone, false).await;
    let theirs = theirs.snapshot_id.unwrap();
    assert_eq!(table.compact(&full()).await.unwrap().groups, 1);
    super::comparing::as_foreign(&mut table, theirs).await;
    [before, theirs, table.current_snapshot_id().unwrap()]
}

/// The only manifest of a content that a snapshot added.
async fn added(table: &LakeTable, snapshot: i64, content: ManifestContentType) -> ManifestFile {
    let files = table.files(Some(snapshot)).await.unwrap();
    let is_it = |manifest: &ManifestFile| {
        (manifest.content, manifest.added_snapshot_id) == (content, snapshot)
    };
    files.manifests.into_iter().find(is_it).unwrap()
}

#[tokio::test]
async fn a_delta_passes_over_equality_deletes_that_were_compacted() {
    let directory = tempfile::tempdir().unwrap();
    let [before, theirs, now] = compacted(directory.path(), WriteMode::Upsert, &[], &[3]).await;
    let table = reopened(directory.path()).await;
    let manifest = added(&table, theirs, ManifestContentType::Deletes).await;
    rewrite(
        &manifest.manifest_path,
        |_| {},
        &[],
        |entry| {
            *field(file_of(entry), "content") = Value::Int(2);
        },
    );
    let table = reopened(directory.path()).await;
    let error = table.delta(Some(before), theirs).await.err().unwrap();
    assert!(
        matches!(error, LakeError::UnsupportedDeletes { .. }),
        "{error}"
    );
    assert_eq!(
        table.delta(Some(before), now).await.unwrap().basis,
        Basis::Ends
    );
    let mut target: Model = (0..10).map(|id| (id, row(id, "a", 1))).collect();
    super::deltas::apply_delta(&table, Some(before), now, &mut target).await;
    let rows: Vec<Row> = target.into_values().collect();
    assert_eq!(rows, read(&table, None).await);
    assert_eq!(rows.len(), 9);
}

#[tokio::test]
async fn a_delta_passes_over_files_without_field_ids_that_were_compacted() {
    let directory = tempfile::tempdir().unwrap();
    let rows = [row(20, "theirs", 2)];
    let [before, theirs, now] = compacted(directory.path(), WriteMode::Append, &rows, &[]).await;
    let table = reopened(directory.path()).await;
    let manifest = added(&table, theirs, ManifestContentType::Data).await;
    let files = table.files(Some(theirs)).await.unwrap();
    let of_theirs = |live: &&Arc<LiveFile>| *live.manifest == *manifest.manifest_path;
    let path = files.data.iter().find(of_theirs).unwrap().file.file_path();
    let batch = batch(&rows);
    let file = std::fs::File::create(local(path)).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let bytes = std::fs::metadata(local(path)).unwrap().len();
    rewrite(
        &manifest.manifest_path,
        |_| {},
        &[],
        |entry| {
            *field(file_of(entry), "file_size_in_bytes") = Value::Long(bytes as i64);
        },
    );
    let table = reopened(directory.path()).await;
    let delta = table.delta(Some(before), theirs).await.unwrap();
    let upserts = delta.segments[0].upserts();
    let read_theirs: std::result::Result<Vec<RecordBatch>, LakeError> = upserts.try_collect().await;
    assert!(
        matches!(read_theirs, Err(LakeError::UnsupportedFile { .. })),
        "{read_theirs:?}"
    );
    let mut target: Model = (0..10).map(|id| (id, row(id, "a", 1))).collect();
    super::deltas::apply_delta(&table, Some(before), now, &mut target).await;
    let found: Vec<Row> = target.into_values().collect();
    assert_eq!(found, read(&table, None).await);
    assert_eq!(found.len(), 11);
}
