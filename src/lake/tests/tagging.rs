//! Whatever loads, commits and deaths follow each other: what a target has loaded is tagged.

use super::*;
use proptest::prelude::*;

fn target(database: &str) -> TargetTags {
    TargetTags::new("SQL01\\PROD", database, &name())
}

fn tags(table: &LakeTable) -> Vec<(String, i64)> {
    let mut tags = table.version.tags.clone();
    tags.sort();
    tags
}

/// Commits a row as `sync` does it.
async fn sync(table: &mut LakeTable, loaded: Option<i64>) -> i64 {
    let loading = Loading {
        target: target("db"),
        loaded,
        seen: table.tagged(&target("db")),
    };
    commit_for(table, Some(loading)).await
}

async fn commit_for(table: &mut LakeTable, loading: Option<Loading>) -> i64 {
    let id = table.metadata_version() as i64;
    let prepared = prepare(table, WriteMode::Upsert, &[row(id, "a", 1)], &[], false).await;
    let intent = CommitIntent {
        loading,
        ..intent(table, RunId::generate())
    };
    let made = table.commit(prepared, intent).await.unwrap();
    made.snapshot_id.unwrap()
}

#[tokio::test]
async fn a_sync_publishes_one_version_and_protects_what_was_and_what_is_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let loaded_tag = "icesync-loaded-SQL01%5CPROD.db.dbo.orders".to_owned();
    let loading_tag = "icesync-loading-SQL01%5CPROD.db.dbo.orders".to_owned();
    let mut loaded = None;
    for _ in 0..3 {
        let version = table.metadata_version();
        let made = sync(&mut table, loaded).await;
        table.tag_loaded(&target("db"), made).await.unwrap();
        assert_eq!(table.metadata_version(), version + 1);
        let before = loaded.map(|id| (loaded_tag.clone(), id));
        let mut expected: Vec<_> = before.into_iter().collect();
        expected.push((loading_tag.clone(), made));
        assert_eq!(tags(&table), expected);
        loaded = Some(made);
    }
    // A load alone publishes its tag and takes the older one away.
    let made = commit_for(&mut table, None).await;
    table.tag_loaded(&target("db"), made).await.unwrap();
    assert_eq!(tags(&table), [(loaded_tag, made)]);
}

#[tokio::test]
async fn the_tag_of_older_versions_goes_only_if_it_is_this_targets() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let first = commit_for(&mut table, None).await;
    let second = commit_for(&mut table, None).await;
    // As an older version tagged it.
    let mut old = target("db");
    old.loaded = "icesync-loaded-dbo.orders".to_owned();
    table.tag_loaded(&old, first).await.unwrap();
    table.tag_loaded(&target("other"), second).await.unwrap();
    assert_eq!(tags(&table).len(), 2, "another target's tag was removed");
    table.mend_loaded(&target("db"), first).await.unwrap();
    let names: Vec<String> = tags(&table).into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "icesync-loaded-SQL01%5CPROD.db.dbo.orders",
            "icesync-loaded-SQL01%5CPROD.other.dbo.orders"
        ]
    );
}

/// Tags as they may be found, and what mending makes of them for a target that has loaded the third of four snapshots.
#[tokio::test]
async fn tags_are_mended_to_what_the_load_state_asks_for() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let mut made = Vec::new();
    for _ in 0..4 {
        made.push(commit_for(&mut table, None).await);
    }
    let mut old = target("db");
    old.loaded = "icesync-loaded-dbo.orders".to_owned();
    let (loaded, loading) = (target("db").loaded, target("db").loading);
    let done = table.mend_tags(&target("db"), made[2]).await.unwrap();
    assert_eq!(done, [format!("set tag {loaded} on snapshot 3")]);
    assert_eq!(tags(&table), [(loaded.clone(), made[2])]);
    let version = table.metadata_version();
    assert!(
        table
            .mend_tags(&target("db"), made[2])
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(table.metadata_version(), version);

    // Left over: the loading of a snapshot that is not newer, and the tag of an older version.
    let mut left = target("db");
    left.loaded.clone_from(&loading);
    table.tag_loaded(&old, made[2]).await.unwrap();
    table.tag_loaded(&left, made[1]).await.unwrap();
    assert_eq!(tags(&table).len(), 3);
    let done = table.mend_tags(&target("db"), made[2]).await.unwrap();
    assert_eq!(
        done,
        [
            format!("removed tag {loading}"),
            "removed tag icesync-loaded-dbo.orders".to_owned()
        ]
    );
    assert_eq!(tags(&table), [(loaded.clone(), made[2])]);

    // A target that went back needs the older snapshot; one that a sync is about to load keeps its tag.
    let listed = table.load_tags();
    assert_eq!(listed[0].sequence_number, Some(3));
    assert_eq!(table.loaded_by_tag(&target("db")), Some(3));
    table.tag_loaded(&left, made[3]).await.unwrap();
    table.mend_tags(&target("db"), made[0]).await.unwrap();
    assert_eq!(
        tags(&table),
        [(loaded.clone(), made[0]), (loading.clone(), made[3])]
    );
    let names = [loading, "main".to_owned(), "unknown".to_owned()];
    table.remove_load_tags(&names).await.unwrap();
    assert_eq!(tags(&table), [(loaded, made[0])]);
    assert!(table.current_snapshot_id().is_some());
}

#[tokio::test]
async fn a_commit_with_an_old_load_state_leaves_the_tag_of_the_load_that_ended_since() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let first = sync(&mut table, None).await;
    let second = commit_for(&mut table, None).await;
    let mut stale = table.clone();
    // The load of the second ends between the look at the load state (the first) and the commit.
    table.tag_loaded(&target("db"), second).await.unwrap();
    sync(&mut stale, Some(first)).await;
    assert_eq!(stale.tagged(&target("db")).loaded, Some(second));
}

#[tokio::test]
async fn a_commit_leaves_the_tag_of_a_load_under_way() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let first = sync(&mut table, None).await;
    let second = sync(&mut table, Some(first)).await;
    // The load of the second goes on while another sync commits.
    let third = sync(&mut table, Some(first)).await;
    let tagged = table.tagged(&target("db"));
    assert_eq!((tagged.loaded, tagged.loading), (Some(first), Some(second)));
    table.tag_loaded(&target("db"), third).await.unwrap();
    let tagged = table.tagged(&target("db"));
    assert_eq!((tagged.loaded, tagged.loading), (Some(third), None));
}

#[tokio::test]
async fn a_load_tags_what_it_reads_and_what_is_loaded_before_it_reads() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    // After a sync, *loading* alone names what is loaded.
    let first = sync(&mut table, None).await;
    let second = commit_for(&mut table, None).await;
    let target = target("db");
    table
        .tag_loading(&target, Some(first), second)
        .await
        .unwrap();
    let tagged = table.tagged(&target);
    assert_eq!((tagged.loaded, tagged.loading), (Some(first), Some(second)));
    // A sync meanwhile leaves both, and the end of the load has nothing to publish.
    let loading = Loading {
        target: target.clone(),
        loaded: Some(first),
        seen: tagged,
    };
    commit_for(&mut table, Some(loading)).await;
    assert_eq!(table.tagged(&target), tagged);
    let version = table.metadata_version();
    table
        .tag_loading(&target, Some(first), second)
        .await
        .unwrap();
    table.tag_loaded(&target, second).await.unwrap();
    assert_eq!(table.metadata_version(), version);
    // Once the second is loaded, a load that goes back to the first does not rely on *loaded*, which a commit may move.
    table
        .tag_loading(&target, Some(second), first)
        .await
        .unwrap();
    let tagged = table.tagged(&target);
    assert_eq!((tagged.loaded, tagged.loading), (Some(second), Some(first)));
}

/// What happens next to one target; a death is a step that does not come.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// A load takes the lock and tags what it reads: the newest snapshot, or, after a sync, what that made.
    Begin,
    BeginSync,
    /// Its transaction, then its tag; or its death before the transaction.
    Apply,
    Tag,
    Die,
    /// A sync looks at the load state, and commits.
    Look,
    Commit,
    /// An extract alone.
    Extract,
    /// A load without the lock reads table and load state, and later finds that it has nothing to do.
    MendLook,
    Mend,
}

fn event() -> impl Strategy<Value = Event> {
    use Event::*;
    prop_oneof![
        Just(Begin),
        Just(BeginSync),
        Just(Apply),
        Just(Tag),
        Just(Die),
        Just(Look),
        Just(Commit),
        Just(Extract),
        Just(MendLook),
        Just(Mend)
    ]
}

/// Two syncs and a load, interleaved at will but for the load lock: from its beginning to its last tag there is no
/// other load.
async fn interleave(events: Vec<(Event, bool)>) {
    let directory = tempfile::tempdir().unwrap();
    let (warehouse, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let target = target("db");
    commit_for(&mut table, None).await;
    let mut state: Option<i64> = None;
    // What a load reads, and whether it has its transaction and not its last tag.
    let mut reads: Option<i64> = None;
    let mut untagged = false;
    let mut looked: [Option<(LakeTable, Loading)>; 2] = [None, None];
    let mut idle: Option<(LakeTable, i64)> = None;
    let mut made: [Option<i64>; 2] = [None, None];
    let number = |table: &LakeTable, id: i64| {
        table
            .resolve(SnapshotRef::Number(id))
            .unwrap()
            .sequence_number
    };
    for (event, second) in events {
        let run = usize::from(second);
        table.refresh().await.unwrap();
        match event {
            Event::Begin | Event::BeginSync if reads.is_none() && !untagged => {
                let id = match event {
                    Event::BeginSync => made[run].take(),
                    _ => table.current_snapshot_id(),
                };
                let Some(id) = id else { continue };
                if state.is_some_and(|old| number(&table, old) >= number(&table, id)) {
                    continue;
                }
                table.tag_loading(&target, state, id).await.unwrap();
                reads = Some(id);
            }
            Event::Apply if reads.is_some() => {
                state = reads.take();
                untagged = true;
            }
            Event::Die => reads = None,
            Event::Tag if untagged => {
                table.tag_loaded(&target, state.unwrap()).await.unwrap();
                untagged = false;
            }
            Event::Look => {
                let loading = Loading {
                    target: target.clone(),
                    seen: table.tagged(&target),
                    loaded: state,
                };
                looked[run] = Some((table.clone(), loading));
            }
            Event::Commit => {
                let Some((mut then, loading)) = looked[run].take() else {
                    continue;
                };
                let id = then.metadata_version() as i64;
                let prepared =
                    prepare(&then, WriteMode::Upsert, &[row(id, "a", 1)], &[], false).await;
                // As if the checkpoint had not moved: only the tags are at stake.
                let now = intent(&table, RunId::generate());
                let intent = CommitIntent {
                    loading: Some(loading),
                    ..now
                };
                made[run] = then.commit(prepared, intent).await.unwrap().snapshot_id;
            }
            Event::Extract => {
                commit_for(&mut table, None).await;
            }
            Event::MendLook => idle = state.map(|state| (table.clone(), state)),
            Event::Mend => {
                if let Some((mut then, state)) = idle.take() {
                    then.mend_loaded(&target, state).await.unwrap();
                }
            }
            Event::Begin | Event::BeginSync | Event::Apply | Event::Tag => {}
        }
        let table = warehouse.table(&name()).await.unwrap().unwrap();
        let tagged = table.tagged(&target);
        for needed in [state, reads].into_iter().flatten() {
            assert!(
                [tagged.loaded, tagged.loading].contains(&Some(needed)),
                "{state:?} is loaded, {reads:?} is read, tagged are {tagged:?}, after {event:?}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_loaded_is_tagged(events in proptest::collection::vec((event(), any::<bool>()), 1..24)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(interleave(events));
    }
}
