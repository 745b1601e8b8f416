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
