//! A disk that is full, at every byte of a write.

use super::*;
use crate::error::Disposition;

fn all_files(table: &LakeTable) -> BTreeSet<std::path::PathBuf> {
    let mut files: BTreeSet<_> = files_in(table, "data").into_iter().collect();
    files.extend(files_in(table, "metadata"));
    files
}

/// A write that replaces rows in old and own files, of several files.
async fn write(table: &mut LakeTable) -> Result<Committed> {
    let mut options = WriteOptions::new(WriteMode::Upsert, RunId::generate());
    options.key_rows_max = 7;
    options.row_group_rows = 3;
    let mut writer = table.writer(options).await?;
    let rows: Vec<Row> = (0..40).map(|id| row(id % 20, "changed", 2)).collect();
    for rows in rows.chunks(5) {
        if let Err(error) = writer.write(batch(rows)).await {
            writer.abandon().await;
            return Err(error);
        }
    }
    if let Err(error) = writer.delete_keys(&key_batch(&[1])).await {
        writer.abandon().await;
        return Err(error);
    }
    let prepared = writer.finish().await?;
    let intent = intent(table, RunId::generate());
    table.commit(prepared, intent).await
}

#[tokio::test]
async fn a_full_disk_is_named_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (warehouse, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let rows: Vec<Row> = (0..30).map(|id| row(id, "a", 1)).collect();
    commit(&mut table, WriteMode::Upsert, &rows, &[], true).await;
    let before = all_files(&table);
    let room = warehouse.store().room.clone();
    let mut full = 0;
    for bytes in (0..).step_by(700) {
        room.set(Some(bytes));
        let mut writing = table.clone();
        let written = write(&mut writing).await;
        room.set(None);
        let error = match written {
            Ok(_) => break,
            Err(error) => error,
        };
        full += 1;
        assert!(
            matches!(error, LakeError::Full { .. }),
            "{bytes}: {error:?}"
        );
        let text = error.to_string();
        assert!(text.contains("no space left"), "{text}");
        assert!(text.contains(table.location()), "{text}");
        assert_eq!(error.disposition(), Disposition::Definite);
        assert_eq!(all_files(&table), before, "{bytes}");
        assert_eq!(read(&table, None).await, rows);
    }
    assert!(
        full > 20,
        "only {full} places of the write met the full disk"
    );
    table.refresh().await.unwrap();
    assert_eq!(read(&table, None).await.len(), 29);
}

#[tokio::test]
async fn a_full_disk_leaves_nothing_of_parts() {
    let directory = tempfile::tempdir().unwrap();
    let (warehouse, table) = fresh(directory.path(), TableKind::Mirror).await;
    let before = all_files(&table);
    let room = warehouse.store().room.clone();
    let mut options = WriteOptions::new(WriteMode::ReplaceAll, RunId::generate());
    options.distinct_keys = true;
    options.row_group_rows = 3;
    let park = async |table: &mut LakeTable| -> Result<Parked> {
        let mut writer = table.writer(options.clone()).await?;
        let rows: Vec<Row> = (0..20).map(|id| row(id, "a", 1)).collect();
        if let Err(error) = writer.write(batch(&rows)).await {
            writer.abandon().await;
            return Err(error);
        }
        let listed = table.list_part(writer.finish_part().await?).await?;
        table
            .park(listed, None, checkpoint(RunId::generate()))
            .await
    };
    let mut full = 0;
    for bytes in (0..).step_by(500) {
        room.set(Some(bytes));
        let parked = park(&mut table.clone()).await;
        room.set(None);
        match parked {
            Ok(parked) => {
                assert_eq!(parked.rows(), 20);
                break;
            }
            Err(error) => assert!(
                matches!(error, LakeError::Full { .. }),
                "{bytes}: {error:?}"
            ),
        }
        full += 1;
        assert_eq!(all_files(&table), before, "{bytes}");
    }
    assert!(full > 5, "only {full} places met the full disk");
}
