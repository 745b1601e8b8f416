//! Expiry and orphans: what goes, and that nothing else does.

use super::maintaining::full;
use super::*;
use proptest::prelude::*;
use std::collections::HashMap;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

pub(super) fn newest(snapshots_max: usize) -> ExpireOptions {
    ExpireOptions {
        snapshots_max,
        age: DAY,
        age_beside: DAY,
        at_least: 1,
        dry_run: false,
    }
}

pub(super) fn at_once() -> OrphanOptions {
    OrphanOptions {
        age: Duration::ZERO,
        dry_run: false,
    }
}

fn ids(table: &LakeTable) -> Vec<i64> {
    table.snapshots().iter().map(|found| found.id).collect()
}

/// Points a tag at a snapshot, as another engine does.
pub(super) async fn tag(table: &mut LakeTable, name: &str, snapshot_id: i64) {
    super::ancestry::republish(table, |metadata| {
        let tag = serde_json::json!({ "snapshot-id": snapshot_id, "type": "tag" });
        metadata["refs"][name] = tag;
    })
    .await;
}

async fn of_commits(table: &mut LakeTable, commits: i64) {
    for id in 0..commits {
        let rows = [row(id, "a", 1), row(1000, "a", id as i32)];
        commit(table, WriteMode::Upsert, &rows, &[], false).await;
    }
}

/// Makes every file of a table look as if it was written days ago.
fn age(table: &LakeTable) {
    for directory in ["data", "metadata"] {
        for path in files_in(table, directory) {
            if path.is_dir() {
                continue;
            }
            let file = std::fs::File::options().write(true).open(path).unwrap();
            let days_ago = std::time::SystemTime::now() - 10 * DAY;
            file.set_modified(days_ago).unwrap();
        }
    }
}

#[tokio::test]
async fn expiry_keeps_what_is_named_and_removes_the_files_of_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    of_commits(&mut table, 8).await;
    table.compact(&full()).await.unwrap();
    of_commits(&mut table, 4).await;
    let all = ids(&table);
    let tagged = read(&table, Some(all[2])).await;
    let current = read(&table, None).await;
    tag(&mut table, "audit", all[2]).await;
    let dry = table
        .expire(&ExpireOptions {
            dry_run: true,
            ..newest(2)
        })
        .await
        .unwrap();
    assert_eq!((dry.snapshots, dry.snapshots_kept), (10, 3));
    assert_eq!(ids(&table).len(), 13);
    let version = table.metadata_version();
    let few = ExpireOptions {
        at_least: 11,
        ..newest(2)
    };
    assert_eq!(table.expire(&few).await.unwrap().snapshots, 0);
    assert_eq!(table.metadata_version(), version);
    let done = table.expire(&newest(2)).await.unwrap();
    assert_eq!((done.snapshots, done.snapshots_kept), (10, 3));
    assert!(done.files > 20, "{done:?}");
    assert_eq!(ids(&table), [all[2], all[11], all[12]]);
    assert_eq!(read(&table, Some(all[2])).await, tagged);
    assert_eq!(read(&table, None).await, current);
    // Nothing is left over: every file on disk is named by the table.
    let mut orphans = table.remove_orphans(&at_once()).await.unwrap();
    // The version before the tag is in no log: this test's other engine keeps none.
    orphans
        .paths
        .retain(|path| !path.ends_with(".metadata.json"));
    assert_eq!(orphans.paths, Vec::<String>::new());
    // By age everything goes but the tag's and the current one.
    let old = ExpireOptions {
        age: Duration::ZERO,
        age_beside: Duration::ZERO,
        ..newest(100)
    };
    tokio::time::sleep(Duration::from_millis(20)).await;
    table.expire(&old).await.unwrap();
    assert_eq!(ids(&table), [all[2], all[12]]);
    assert_eq!(read(&table, None).await, current);
}

#[tokio::test]
async fn what_a_target_has_still_to_load_is_not_expired() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    of_commits(&mut table, 10).await;
    let all = ids(&table);
    for name in ["icesync-loaded-a", "icesync-loading-b"] {
        tag(&mut table, name, all[6]).await;
        table.expire(&newest(2)).await.unwrap();
        assert_eq!(ids(&table), all[6..], "{name}");
    }
    // Of a target that lags far behind, its own snapshot stays.
    tag(&mut table, "icesync-loading-b", all[9]).await;
    table.expire(&newest(1)).await.unwrap();
    assert_eq!(ids(&table), all[6..]);
    of_commits(&mut table, 3).await;
    table.expire(&newest(1)).await.unwrap();
    let left = ids(&table);
    assert_eq!(left[..2], [all[6], all[9]]);
    assert_eq!(left.len(), 2 + 3);
    let delta = table.delta(Some(all[6]), left[4]).await.unwrap();
    assert!(!delta.segments.is_empty());
}

/// A ledger with one range.
pub(super) fn ledger(list: &str) -> crate::change::Backfill {
    crate::change::Backfill {
        schema: String::new(),
        strategy: crate::change::Strategy::RowVersion,
        watermark: crate::change::Watermark {
            column: "v".into(),
            ty: crate::schema::SqlType::RowVersion,
            text: "0x00".into(),
        },
        column: "id".into(),
        cuts: Vec::new(),
        origin: None,
        done: vec![crate::change::BackfillRange {
            range: 0,
            rows: 1,
            files: list.to_owned(),
        }],
        stale: Vec::new(),
    }
}

#[tokio::test]
async fn orphans_are_old_files_that_nothing_names() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    of_commits(&mut table, 3).await;
    // A range of a first read under way, in no snapshot.
    let options = WriteOptions {
        distinct_keys: true,
        ..WriteOptions::new(WriteMode::ReplaceAll, RunId::generate())
    };
    let mut writer = table.writer(options).await.unwrap();
    writer.write(batch(&[row(77, "parked", 1)])).await.unwrap();
    let part = writer.finish_part().await.unwrap();
    let listed = table.list_part(part).await.unwrap();
    let list = listed.uri().to_owned();
    let base = table.checkpoint().unwrap().unwrap();
    let mut next = checkpoint(RunId::generate());
    next.backfill = Some(ledger(&list));
    table.park(listed, Some(base.run_id), next).await.unwrap();
    let path = table.location().strip_prefix("file://").unwrap().to_owned();
    let put = |name: &str| std::fs::write(format!("{path}/{name}"), b"x").unwrap();
    let orphaned = [
        "data/.run.tmp",
        "data/lost.parquet",
        "data/region=1/lost.parquet",
        "metadata/.0a.tmp",
        "metadata/lost.avro",
    ];
    std::fs::create_dir(format!("{path}/data/region=1")).unwrap();
    for name in orphaned
        .iter()
        .chain(&["data/readme.txt", "metadata/v99.metadata.json"])
    {
        put(name);
    }
    let before = files_in(&table, "metadata").len();
    let young = OrphanOptions {
        age: DAY,
        dry_run: false,
    };
    let found = table.remove_orphans(&young).await.unwrap();
    assert_eq!((found.files, found.young), (0, 5));
    std::fs::remove_file(format!("{path}/metadata/v99.metadata.json")).unwrap();
    age(&table);
    put("data/young.parquet");
    let dry = OrphanOptions {
        dry_run: true,
        ..young
    };
    let listed = table.remove_orphans(&dry).await.unwrap();
    assert_eq!(files_in(&table, "metadata").len(), before - 1);
    let found = table.remove_orphans(&young).await.unwrap();
    assert_eq!(found, listed);
    let names: Vec<&str> = found
        .paths
        .iter()
        .filter_map(|uri| uri.strip_prefix(table.location())?.strip_prefix('/'))
        .collect();
    // The nested one was not aged.
    let expected = orphaned.iter().filter(|name| !name.contains("region"));
    assert_eq!(names, expected.copied().collect::<Vec<_>>());
    assert_eq!(found.young, 2);
    assert_eq!(read(&table, None).await.len(), 4);
    assert!(table.unpark(&list).await.unwrap().is_some());
}

#[tokio::test]
async fn files_behind_a_link_are_not_removed() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    of_commits(&mut table, 4).await;
    table.compact(&full()).await.unwrap();
    commit(&mut table, WriteMode::Upsert, &[row(4, "a", 1)], &[], false).await;
    let path = table.location().strip_prefix("file://").unwrap().to_owned();
    let elsewhere = directory.path().join("elsewhere");
    std::fs::rename(format!("{path}/data"), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, format!("{path}/data")).unwrap();
    std::fs::write(elsewhere.join("x.parquet"), b"of others").unwrap();
    age(&table);
    let before = files_in(&table, "data");
    let old = OrphanOptions {
        age: DAY,
        dry_run: false,
    };
    let orphans = table.remove_orphans(&old).await.unwrap();
    let expired = table.expire(&newest(1)).await.unwrap();
    // Manifests and lists are in the folder itself.
    assert!(expired.files > 0, "{expired:?}");
    for warnings in [orphans.warnings, expired.warnings] {
        let [warning] = warnings.as_slice() else {
            panic!("{warnings:?}");
        };
        assert!(warning.contains("/data` of lake table dbo.orders"));
    }
    assert_eq!(files_in(&table, "data").len(), before.len());
    assert_eq!(read(&table, None).await.len(), 6);
}

/// A ledger is under way whose only list cannot be read.
#[tokio::test]
async fn a_damaged_list_of_a_ledger_keeps_files_and_names_the_way_out() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    of_commits(&mut table, 3).await;
    let options = WriteOptions {
        distinct_keys: true,
        ..WriteOptions::new(WriteMode::ReplaceAll, RunId::generate())
    };
    let mut writer = table.writer(options).await.unwrap();
    writer.write(batch(&[row(77, "parked", 1)])).await.unwrap();
    let part = writer.finish_part().await.unwrap();
    let listed = table.list_part(part).await.unwrap();
    let list = listed.uri().to_owned();
    let base = table.checkpoint().unwrap().unwrap();
    let mut next = checkpoint(RunId::generate());
    next.backfill = Some(ledger(&list));
    table.park(listed, Some(base.run_id), next).await.unwrap();
    age(&table);
    std::fs::write(list.strip_prefix("file://").unwrap(), b"").unwrap();
    let before = files_in(&table, "data").len();
    let error = table.remove_orphans(&at_once()).await.unwrap_err();
    let text = crate::error::Error::from(error).report();
    for part in [list.as_str(), "icesync extract", "icesync state reset"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(files_in(&table, "data").len(), before);
    assert!(table.unpark(&list).await.unwrap().is_none());
    // Once nothing names the list, its files go.
    let base = table.checkpoint().unwrap().unwrap();
    let reset = checkpoint(RunId::generate());
    table
        .set_checkpoint(Some(base.run_id), reset, HashMap::new())
        .await
        .unwrap();
    assert!(table.remove_orphans(&at_once()).await.unwrap().files >= 2);
    assert_eq!(files_in(&table, "data").len(), before - 1);
}

#[tokio::test]
async fn a_clock_that_is_ahead_makes_no_file_old() {
    let directory = tempfile::tempdir().unwrap();
    let (warehouse, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    of_commits(&mut table, 1).await;
    let path = table.location().strip_prefix("file://").unwrap().to_owned();
    let lost = format!("{path}/data/lost.parquet");
    std::fs::write(&lost, b"of a commit under way").unwrap();
    let options = OrphanOptions {
        age: DAY,
        dry_run: false,
    };
    let ahead = std::time::SystemTime::now() + 30 * DAY;
    let before = files_in(&table, "metadata").len();
    let found = table.remove_orphans_at(&options, ahead).await.unwrap();
    assert_eq!((found.files, found.young), (0, 1));
    assert_eq!(files_in(&table, "metadata").len(), before);
    // Where no file may be written to ask for the time, the newest one tells.
    age(&table);
    std::fs::write(format!("{path}/data/young.parquet"), b"x").unwrap();
    warehouse.store().room.set(Some(0));
    let found = table.remove_orphans_at(&options, ahead).await.unwrap();
    warehouse.store().room.set(None);
    assert_eq!((found.files, found.young), (1, 1));
    assert!(!Path::new(&lost).exists());
    assert_eq!(read(&table, None).await.len(), 2);
}

#[tokio::test]
async fn a_clock_that_is_ahead_makes_no_snapshot_old() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    of_commits(&mut table, 4).await;
    let all = ids(&table);
    // One is beside the others, one at the head of a branch with those before it.
    super::ancestry::roll_back(&mut table, all[2]).await;
    of_commits(&mut table, 1).await;
    super::ancestry::republish(&mut table, |metadata| {
        let day = 86_400_000;
        metadata["refs"]["audit"] = serde_json::json!({
            "snapshot-id": all[1], "type": "branch", "max-snapshot-age-ms": day,
        });
    })
    .await;
    let before = ids(&table);
    let ahead = std::time::SystemTime::now() + 30 * DAY;
    let options = ExpireOptions {
        dry_run: true,
        ..newest(100)
    };
    // By that clock alone all would go that nothing names.
    let told = table.expire_at(&options, ahead).await.unwrap();
    assert_eq!((told.snapshots, told.snapshots_kept), (3, 2));
    let done = table.expire_at(&newest(100), ahead).await.unwrap();
    assert_eq!((done.snapshots, done.snapshots_kept), (0, 5));
    assert_eq!(ids(&table), before);
}

#[derive(Debug, Clone)]
enum Step {
    Upsert(Vec<i64>, Vec<i64>),
    Replace(Vec<i64>),
    Compact,
    Expire(usize),
    Tag(usize),
    RollBack(usize),
}

fn step() -> impl proptest::strategy::Strategy<Value = Step> {
    let keys = |most| proptest::collection::vec(0_i64..20, 0..most);
    prop_oneof![
        6 => (keys(8), keys(4)).prop_map(|(rows, gone)| Step::Upsert(rows, gone)),
        1 => keys(8).prop_map(Step::Replace),
        2 => Just(Step::Compact),
        3 => (1_usize..4).prop_map(Step::Expire),
        1 => (0_usize..10).prop_map(Step::Tag),
        1 => (0_usize..4).prop_map(Step::RollBack),
    ]
}

async fn maintained(steps: Vec<Step>) {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let mut states: HashMap<i64, Vec<Row>> = HashMap::new();
    for (stamp, step) in (0..).zip(&steps) {
        let rows = |keys: &[i64]| -> Vec<Row> {
            let keys: BTreeSet<i64> = keys.iter().copied().collect();
            keys.into_iter().map(|id| row(id, "s", stamp)).collect()
        };
        let before = table.current_snapshot_id();
        let same = before.map(|id| states[&id].clone());
        match step {
            Step::Upsert(keys, gone) => {
                commit(&mut table, WriteMode::Upsert, &rows(keys), gone, true).await;
            }
            Step::Replace(keys) => {
                commit(&mut table, WriteMode::ReplaceAll, &rows(keys), &[], true).await;
            }
            Step::Compact => drop(table.compact(&full()).await.unwrap()),
            Step::Expire(most) => drop(table.expire(&newest(*most)).await.unwrap()),
            Step::Tag(at) => {
                if let Some(id) = ids(&table).get(*at) {
                    let name = format!("tag-{}", stamp % 2);
                    tag(&mut table, &name, *id).await;
                }
            }
            Step::RollBack(back) => {
                let all = ids(&table);
                if let Some(id) = all.len().checked_sub(1 + back).map(|at| all[at]) {
                    super::ancestry::roll_back(&mut table, id).await;
                }
            }
        }
        if let Some(current) = table.current_snapshot_id() {
            let now = read(&table, None).await;
            if matches!(step, Step::Compact | Step::Expire(_) | Step::Tag(_)) {
                assert_eq!(Some(&now), same.as_ref(), "{step:?}");
            }
            states.entry(current).or_insert(now);
        }
        // Whatever snapshot there still is reads as it did.
        for id in ids(&table) {
            assert_eq!(read(&table, Some(id)).await, states[&id], "after {step:?}");
        }
    }
    table.remove_orphans(&at_once()).await.unwrap();
    for id in ids(&table) {
        assert_eq!(read(&table, Some(id)).await, states[&id]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_snapshot_that_stays_reads_as_before(steps in proptest::collection::vec(step(), 1..16)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(maintained(steps));
    }
}
