//! What a run opens: no manifest without a row, and little of a table with many files.

use super::*;

#[tokio::test]
async fn a_run_without_rows_opens_no_manifest() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    commit(&mut table, WriteMode::Upsert, &[row(1, "a", 1)], &[], false).await;
    for path in files_in(&table, "metadata") {
        if path
            .extension()
            .is_some_and(|extension| extension == "avro")
        {
            std::fs::remove_file(path).unwrap();
        }
    }
    for mode in [WriteMode::Upsert, WriteMode::Append] {
        let prepared = prepare(&table, mode, &[], &[], false).await;
        assert!(prepared.is_empty());
        assert_eq!(table.current_rows().await.unwrap(), 1);
        // A checkpoint alone is committed without a look at the files as well.
        let intent = intent(&table, RunId::generate());
        let committed = table.commit(prepared, intent).await.unwrap();
        assert_eq!(committed.snapshot_id, None);
    }
    let options = WriteOptions::new(WriteMode::Upsert, RunId::generate());
    let mut writer = table.writer(options).await.unwrap();
    writer.write(batch(&[row(1, "b", 1)])).await.unwrap();
    let missing = writer.finish().await;
    assert!(missing.is_err(), "a row has to be looked up");
}

/// What a snapshot's manifests say of its live files, by the library: path, numbers, and the whole description.
async fn described(table: &LakeTable) -> Vec<(String, i64, i64, i64, iceberg::spec::DataFile)> {
    let files = table.files(table.current_snapshot_id()).await.unwrap();
    let mut entries = Vec::new();
    for manifest in &files.manifests {
        let bytes = table.store.read(&manifest.manifest_path).await.unwrap();
        assert_eq!(bytes.len() as i64, manifest.manifest_length);
        let parsed = iceberg::spec::Manifest::parse_avro(&bytes).unwrap();
        let mut counts = (0, 0, 0);
        let mut least = None;
        for entry in parsed.into_parts().0 {
            match entry.status() {
                iceberg::spec::ManifestStatus::Existing => counts.0 += 1,
                iceberg::spec::ManifestStatus::Added => counts.1 += 1,
                iceberg::spec::ManifestStatus::Deleted => counts.2 += 1,
            }
            if !entry.is_alive() {
                continue;
            }
            let sequence = entry.sequence_number().unwrap_or(manifest.sequence_number);
            least = Some(least.unwrap_or(sequence).min(sequence));
            entries.push((
                entry.file_path().to_owned(),
                sequence,
                entry.snapshot_id().unwrap(),
                entry.file_size_in_bytes() as i64,
                entry.data_file().clone(),
            ));
        }
        let told = [
            manifest.existing_files_count,
            manifest.added_files_count,
            manifest.deleted_files_count,
        ];
        assert_eq!(told, [Some(counts.0), Some(counts.1), Some(counts.2)]);
        if let Some(least) = least {
            assert_eq!(manifest.min_sequence_number, least);
        }
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    entries
}

#[tokio::test]
async fn merged_manifests_say_the_same_of_every_file() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let few = [
        ("commit.manifest.min-count-to-merge", "5"),
        ("commit.manifest.target-size-bytes", "1000000"),
    ];
    let few = few.map(|(name, value)| (name.to_owned(), value.to_owned()));
    table
        .set_properties(few.into_iter().collect())
        .await
        .unwrap();
    let all: Vec<Row> = (0..40).map(|id| row(id, "a", 0)).collect();
    commit(&mut table, WriteMode::Upsert, &all, &[], true).await;
    let mut model: Model = all.iter().map(|row| (row.0, row.clone())).collect();
    let mut before = described(&table).await;
    let mut least = usize::MAX;
    for number in 0..23 {
        let id = i64::from(number) * 7 % 40;
        let changed = row(id, "b", number);
        model.insert(id, changed.clone());
        commit(&mut table, WriteMode::Upsert, &[changed], &[], false).await;
        let after = described(&table).await;
        // What is in both snapshots is described alike, numbers included.
        let common = |entries: &[(String, i64, i64, i64, iceberg::spec::DataFile)], other: &[_]| {
            let other: BTreeSet<String> = other
                .iter()
                .map(|entry: &(String, _, _, _, _)| entry.0.clone())
                .collect();
            let common = entries.iter().filter(|entry| other.contains(&entry.0));
            common.cloned().collect::<Vec<_>>()
        };
        assert_eq!(common(&before, &after), common(&after, &before));
        assert_eq!(
            read(&table, None).await,
            model.values().cloned().collect::<Vec<_>>()
        );
        let files = table.files(table.current_snapshot_id()).await.unwrap();
        assert!(
            files.manifests.len() <= 2 * 5 + 2,
            "{} manifests",
            files.manifests.len()
        );
        least = least.min(files.manifests.len());
        before = after;
    }
    assert!(least <= 4, "nothing was merged");
}

#[tokio::test]
async fn a_data_file_has_few_delete_files_at_all_times() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let all: Vec<Row> = (0..200).map(|id| row(id, "a", 0)).collect();
    commit(&mut table, WriteMode::Upsert, &all, &[], false).await;
    let mut model: Model = all.iter().map(|row| (row.0, row.clone())).collect();
    for number in 1..=40 {
        let changed: Vec<Row> = (0..10)
            .map(|at| row((at * 20 + i64::from(number) * 7) % 200, "b", number))
            .collect();
        model.extend(changed.iter().map(|row| (row.0, row.clone())));
        commit(&mut table, WriteMode::Upsert, &changed, &[], false).await;
        let files = table.files(table.current_snapshot_id()).await.unwrap();
        for live in &files.data {
            let deletes: Vec<_> = files.own_deletes(live.file.file_path()).collect();
            assert!(
                deletes.len() <= 1,
                "{} delete files in commit {number}",
                deletes.len()
            );
        }
        // What was replaced is gone from the manifests too, and those stay few.
        assert!(files.manifests.len() <= 2 * number as usize + 1);
    }
    assert_eq!(
        read(&table, None).await,
        model.into_values().collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn delete_files_are_bounded_when_their_manifests_are_large() {
    use crate::lake::commit::deletes::{DELETE_FILES_MAX, taken_in};
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let all: Vec<Row> = (0..30).map(|id| row(id, "a", 0)).collect();
    commit(&mut table, WriteMode::Upsert, &all, &[], false).await;
    commit(
        &mut table,
        WriteMode::Upsert,
        &[row(1, "b", 1), row(2, "b", 1)],
        &[],
        false,
    )
    .await;
    let files = table.files(table.current_snapshot_id()).await.unwrap();
    let delete = &files.deletes[0];
    let (small, large) = (|_: &_| 1_000, |_: &_| 8 << 20);
    for count in 0..10 {
        let own = vec![delete; count];
        assert_eq!(taken_in(own.clone(), 1, small).len(), count, "all at once");
        let left = count - taken_in(own, 1, large).len();
        assert!(left < DELETE_FILES_MAX);
        // A large manifest is left alone until the bound demands otherwise.
        assert_eq!(left == count, count < DELETE_FILES_MAX, "{left} of {count}");
    }
}

#[tokio::test]
async fn old_metadata_files_are_removed_oldest_first() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    assert_eq!(
        table.property("write.metadata.previous-versions-max"),
        Some("100")
    );
    let versions = |table: &LakeTable| {
        let files = files_in(table, "metadata").into_iter();
        let versions = files.filter_map(|path| {
            let name = path.file_name()?.to_str()?.to_owned();
            name.strip_prefix('v')?
                .strip_suffix(".metadata.json")?
                .parse::<u64>()
                .ok()
        });
        versions.collect::<BTreeSet<u64>>()
    };
    let set = |name: &str, value: &str| {
        std::collections::HashMap::from([(name.to_owned(), value.to_owned())])
    };
    let off = set("write.metadata.delete-after-commit.enabled", "false");
    table.set_properties(off).await.unwrap();
    table
        .set_properties(set("write.metadata.previous-versions-max", "5"))
        .await
        .unwrap();
    for number in 0..12 {
        commit(
            &mut table,
            WriteMode::Upsert,
            &[row(1, "a", number)],
            &[],
            false,
        )
        .await;
    }
    assert_eq!(versions(&table), (1..=15).collect(), "switched off");
    let on = set("write.metadata.delete-after-commit.enabled", "true");
    table.set_properties(on).await.unwrap();
    assert_eq!(
        versions(&table),
        (11..=16).collect(),
        "those from before, too"
    );
    commit(
        &mut table,
        WriteMode::Upsert,
        &[row(1, "a", 99)],
        &[],
        false,
    )
    .await;
    assert_eq!(versions(&table), (12..=17).collect());
    // What a crash has left is removed by the next commit; another program's files are not.
    let folder = Path::new(table.location().strip_prefix("file://").unwrap()).join("metadata");
    std::fs::write(folder.join("v11.metadata.json"), "left").unwrap();
    std::fs::write(folder.join("00003-of-another.metadata.json"), "other").unwrap();
    commit(
        &mut table,
        WriteMode::Upsert,
        &[row(1, "a", 100)],
        &[],
        false,
    )
    .await;
    assert_eq!(versions(&table), (13..=18).collect());
    assert!(folder.join("00003-of-another.metadata.json").exists());
    assert_eq!(read(&table, None).await, [row(1, "a", 100)]);
}

/// Spark writes `file:/...` into the log, and its entries stay there for a hundred versions.
#[tokio::test]
async fn old_metadata_files_are_removed_however_another_engine_spells_their_paths() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let few = ("write.metadata.previous-versions-max", "3");
    let few = [(few.0.to_owned(), few.1.to_owned())];
    table.set_properties(few.into()).await.unwrap();
    let put = async |table: &mut LakeTable, number: i32| {
        let rows = [row(1, "a", number)];
        commit(table, WriteMode::Upsert, &rows, &[], false).await;
    };
    for number in 0..4 {
        put(&mut table, number).await;
    }
    super::ancestry::republish(&mut table, |metadata| {
        for entry in metadata["metadata-log"].as_array_mut().unwrap() {
            let uri = entry["metadata-file"].as_str().unwrap();
            entry["metadata-file"] = uri.replace("file://", "file:").into();
        }
    })
    .await;
    put(&mut table, 5).await;
    let folder = Path::new(table.location().strip_prefix("file://").unwrap()).join("metadata");
    let exists = |number: u64| folder.join(format!("v{number}.metadata.json")).exists();
    let newest = table.metadata_version();
    let logged = table.metadata().metadata_log();
    assert!(logged[0].metadata_file.starts_with("file:/"));
    assert!(!logged[0].metadata_file.starts_with("file:///"));
    assert!((newest - 2..=newest).all(exists));
    assert!(!(1..newest - 4).any(exists));
    assert_eq!(read(&table, None).await, [row(1, "a", 5)]);
}
