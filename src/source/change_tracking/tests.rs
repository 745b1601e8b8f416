use super::*;
use crate::mssql::surroundings::{Partition, Tracking};
use crate::schema::{Key, KeyOrigin};
use crate::source::discover::tests::{column, index, table};

const DAY: i64 = 24 * 60;

/// A table whose changes are tracked since version 10 and kept for two days.
fn source() -> Discovered {
    let mut source = table(
        vec![
            column(1, "id", SqlType::Int, false),
            column(2, "line", SqlType::Int, false),
            column(3, "n", SqlType::Int, true),
        ],
        vec![index(true, true, &[2, 1])],
    );
    source.surroundings.tracking = Tracking {
        retention_minutes: Some(2 * DAY),
        cleans_up: true,
        log: Some(log(10, 10)),
        can_view: true,
    };
    source
}

fn log(begin: i64, min_valid: i64) -> Log {
    Log {
        begin,
        min_valid,
        created: Some("2024-05-01T10:00:00".into()),
    }
}

fn known(begin: i64, at: i64) -> Origin {
    Origin {
        tracking: Some(TrackedSince {
            begin,
            created: Some("2024-05-01T10:00:00".into()),
            altered: Some("2026-01-01T00:00:00".into()),
            at,
        }),
        ..Origin::default()
    }
}

fn answer(current: i64, min_valid: i64, changed: Option<u64>) -> Answer {
    Answer {
        current,
        min_valid,
        changed,
        at: 1_000_000,
    }
}

/// A window that starts at a version, when that was the current one `age_s` seconds ago.
fn settled(answer: Answer, last: i64, age_s: i64) -> Bounds {
    let known = known(10, answer.at - age_s);
    let start = Start::From(mark(last));
    settle(&source(), &log(10, 10), answer, &start, Some(&known))
}

fn window(bounds: &Bounds) -> Changes {
    match &bounds.extent {
        Extent::Tracked(changes) => changes.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn windows_follow_each_other_and_a_first_one_reads_everything() {
    let first = settle(
        &source(),
        &log(10, 10),
        answer(40, 10, None),
        &Start::First,
        None,
    );
    let upper = Some(mark(40));
    assert_eq!(first.extent, Extent::Whole { upper });
    let since = first.tracking.expect("what is followed");
    assert_eq!((since.begin, since.at), (10, 1_000_000));
    let next = window(&settled(answer(50, 10, Some(3)), 40, 60));
    assert_eq!((next.window.lower, next.window.upper), (mark(40), mark(50)));
    assert_eq!((next.keys, next.renews), (3, false));
    let quiet = Extent::Nothing { at: mark(40) };
    assert_eq!(settled(answer(50, 10, Some(0)), 40, 60).extent, quiet);
    assert_eq!(settled(answer(40, 10, None), 40, 60).extent, quiet);
}

/// Also one whose changes come to nothing: the cleanup does not care.
#[test]
fn a_bound_moves_when_it_is_a_tenth_of_the_retention_old_and_versions_were_given() {
    let tenth = 2 * DAY * 60 / 10;
    for (changed, age_s, renews) in [
        (0, tenth, Some(true)),
        (0, tenth - 1, None),
        (7, tenth, Some(true)),
        (7, tenth - 1, Some(false)),
    ] {
        let bounds = settled(answer(50, 10, Some(changed)), 40, age_s);
        let found = match &bounds.extent {
            Extent::Tracked(changes) => Some(changes.renews),
            Extent::Nothing { .. } => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(found, renews, "{changed} {age_s}");
    }
    // At the lowest valid version, too, nothing is committed while the database gives no other.
    let empty = settled(answer(10, 10, None), 10, 30 * tenth);
    assert_eq!(empty.extent, Extent::Nothing { at: mark(10) });
    let mut source = source();
    source.surroundings.tracking.cleans_up = false;
    assert!(!is_old(&source, None, 5), "nothing is cleaned up");
}

#[test]
fn what_the_log_has_lost_is_read_whole() {
    let lost = |answer, last, known: &Origin, log: &Log| {
        let start = Start::From(mark(last));
        let bounds = settle(&source(), log, answer, &start, Some(known));
        assert!(bounds.is_whole(), "{bounds:?}");
        bounds.warnings.join(" ")
    };
    let valid = || known(10, 0);
    let cleaned = lost(answer(50, 45, None), 40, &valid(), &log(10, 45));
    for part in [
        "lowest version is 45",
        "CHANGE_RETENTION = 4 DAYS",
        "[shop]",
    ] {
        assert!(cleaned.contains(part), "{cleaned}");
    }
    let restored = lost(answer(30, 10, None), 40, &valid(), &log(10, 10));
    assert!(restored.contains("restored"), "{restored}");
    let begun = lost(answer(50, 40, Some(0)), 40, &valid(), &log(40, 40));
    assert!(begun.contains("turned off and on"), "{begun}");
    // Turned off and on while the database gave no version.
    let mut again = log(10, 10);
    again.created = Some("2024-05-02T10:00:00".into());
    let recreated = lost(answer(50, 10, Some(1)), 40, &valid(), &again);
    assert!(recreated.contains("turned off and on"), "{recreated}");
}

#[test]
fn rebuilt_indexes_lose_nothing_and_a_truncation_is_noticed_without_a_version() {
    let stored = |storage: &str| {
        let mut source = source();
        source.surroundings.partitions = vec![Partition {
            number: 1,
            storage: storage.into(),
            rows: 0,
        }];
        source
    };
    let then = Origin {
        tracking: known(10, 999_999).tracking,
        ..origin::origin(&stored("a"), None, None)
    };
    let whole = |source: Discovered, last| {
        let start = Start::From(mark(last));
        let answer = answer(50, 10, Some(1));
        settle(&source, &log(10, 10), answer, &start, Some(&then)).is_whole()
    };
    assert!(!whole(stored("a"), 10));
    assert!(
        whole(stored("b"), 10),
        "no change was tracked since the log began"
    );
    assert!(!whole(stored("b"), 40), "all indexes were rebuilt");
    let mut altered = stored("a");
    altered.facts.modified = "2026-01-02T00:00:00".into();
    assert!(whole(altered.clone(), 10) && !whole(altered, 40));
}

#[test]
fn a_read_is_committed_only_where_the_log_is_whole_after_it() {
    let still = |begin, min_valid, from: i64, is_whole| {
        let mut now = source();
        now.surroundings.tracking.log = Some(log(begin, min_valid));
        let since = known(10, 0).tracking;
        still(&now, since.as_ref(), Some(&mark(from)), is_whole)
    };
    assert!(still(10, 40, 40, false).is_ok() && still(10, 40, 40, true).is_ok());
    let cleaned = still(10, 41, 40, false).unwrap_err();
    assert!(matches!(cleaned, SourceError::Untracked { .. }));
    let short = still(10, 41, 40, true).unwrap_err();
    let text = short.to_string();
    assert_eq!(short.disposition(), crate::error::Disposition::Definite);
    assert!(text.contains("CHANGE_RETENTION = 4 DAYS"), "{text}");
    let begun = still(60, 60, 40, true).unwrap_err();
    assert!(matches!(begun, SourceError::Untracked { .. }));
    let mut off = source();
    off.surroundings.tracking.log = None;
    assert!(super::still(&off, None, Some(&mark(40)), false).is_err());
}

#[test]
fn what_cannot_be_followed_is_refused_with_what_it_takes() {
    const MIRROR: (TableKind, Fidelity) = (TableKind::Mirror, Fidelity::Exact);
    assert_eq!(refusal(&source(), MIRROR), None);
    let until = |change: fn(&mut Tracking)| {
        let mut source = source();
        change(&mut source.surroundings.tracking);
        match refusal(&source, MIRROR) {
            Some(Refusal::Until(why)) => why,
            other => panic!("{other:?}"),
        }
    };
    let off = until(|tracking| *tracking = Tracking::default());
    for statement in [
        "ALTER DATABASE [shop] SET CHANGE_TRACKING = ON",
        "ALTER TABLE [dbo].[orders] ENABLE CHANGE_TRACKING",
    ] {
        assert!(off.contains(statement), "{off}");
    }
    let table_off = until(|tracking| tracking.log = None);
    assert!(table_off.contains("ENABLE") && !table_off.contains("DATABASE"));
    let blind = until(|tracking| tracking.can_view = false);
    assert!(blind.contains("GRANT VIEW CHANGE TRACKING ON [dbo].[orders]"));
    let never = |change: fn(&mut Discovered), shape| {
        let mut source = source();
        change(&mut source);
        match refusal(&source, shape) {
            Some(Refusal::Never(why)) => why,
            other => panic!("{other:?}"),
        }
    };
    let view = never(|source| source.facts.is_view = true, MIRROR);
    assert!(view.contains("view"), "{view}");
    let memory = never(|source| source.facts.is_memory_optimized = true, MIRROR);
    assert!(memory.contains("memory-optimized"), "{memory}");
    let keyless = never(|source| source.indexes.clear(), MIRROR);
    assert!(keyless.contains("no primary key"), "{keyless}");
    let other = never(
        |source| {
            source.schema.key = Some(Key {
                columns: vec![0],
                origin: KeyOrigin::Config,
            });
        },
        MIRROR,
    );
    assert!(other.contains("`key` names other columns"), "{other}");
    let cut = never(
        |source| source.schema.columns[0].ty = SqlType::DateTime2 { scale: 7 },
        (TableKind::History, Fidelity::Standard),
    );
    assert!(cut.contains("key column id"), "{cut}");
    let float = never(
        |source| source.schema.columns[1].ty = SqlType::Float,
        (TableKind::History, Fidelity::Exact),
    );
    assert!(float.contains("key column line"), "{float}");
}
