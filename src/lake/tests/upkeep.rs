//! A checkpoint that takes the place of another outside of a run.

use super::*;
use std::collections::HashMap;

fn reset(table: &LakeTable) -> Checkpoint {
    Checkpoint {
        snapshot_id: table.current_snapshot_id(),
        ..checkpoint(RunId::generate())
    }
}

#[tokio::test]
async fn a_run_that_began_before_a_reset_stops_at_its_commit() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    commit(&mut table, WriteMode::Upsert, &[row(1, "a", 1)], &[], false).await;
    let mut running = table.clone();
    let prepared = prepare(&running, WriteMode::Upsert, &[row(2, "b", 2)], &[], false).await;
    let intent = intent(&running, RunId::generate());
    let next = reset(&table);
    table.replace_checkpoint(&next).await.unwrap();
    assert_eq!(table.checkpoint().unwrap(), Some(next));
    let error = running.commit(prepared, intent).await.unwrap_err();
    assert!(
        matches!(error, LakeError::CheckpointMoved { .. }),
        "{error}"
    );
    assert_eq!(read(&running, None).await, [row(1, "a", 1)]);
}

#[tokio::test]
async fn a_checkpoint_is_replaced_only_if_it_is_the_one_that_was_seen() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let mut other = table.clone();
    commit(&mut other, WriteMode::Upsert, &[row(1, "a", 1)], &[], false).await;
    let committed = other.checkpoint().unwrap();
    let next = reset(&table);
    let error = table.replace_checkpoint(&next).await.unwrap_err();
    assert!(
        matches!(error, LakeError::CheckpointMoved { .. }),
        "{error}"
    );
    other.refresh().await.unwrap();
    assert_eq!(other.checkpoint().unwrap(), committed);
}

#[tokio::test]
async fn a_checkpoint_that_cannot_be_read_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    commit(&mut table, WriteMode::Upsert, &[row(1, "a", 1)], &[], false).await;
    for damage in ["{", r#"{ "version": 99 }"#] {
        let property = (CHECKPOINT_PROPERTY.to_owned(), damage.to_owned());
        table
            .set_properties(HashMap::from([property]))
            .await
            .unwrap();
        assert!(table.checkpoint().is_err());
        let next = reset(&table);
        table.replace_checkpoint(&next).await.unwrap();
        assert_eq!(table.checkpoint().unwrap(), Some(next));
    }
}
