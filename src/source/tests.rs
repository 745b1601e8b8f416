use super::discover::tests::{column, index, table};
use super::window::watermark;
use super::*;
use crate::change::{Isolation, Origin, RunId, StrategyChoice, Watermark, Window};
use crate::mssql::describe::Index;
use crate::mssql::environment::{Environment, Writability};
use crate::mssql::sql::read::{Locking, PageCursor};
use crate::schema::SqlType;
use auto::Choice;
use plan::decided::{self, Decided};
use window::Extent;

fn source() -> Discovered {
    table(
        vec![
            column(1, "id", SqlType::Int, false),
            column(2, "region", SqlType::NVarChar { length: Some(10) }, false),
            column(3, "seen", SqlType::DateTime, true),
        ],
        vec![index(true, true, &[1, 2]), index(false, false, &[3])],
    )
}

const SHAPE: (TableKind, Fidelity) = (TableKind::Mirror, Fidelity::Exact);

fn choice() -> Choice {
    Choice {
        strategy: Strategy::Timestamp,
        column: Some(2),
        why: Vec::new(),
        warnings: Vec::new(),
    }
}

fn checkpoint(strategy: Strategy, watermark: Option<Watermark>) -> Checkpoint {
    Checkpoint::reached(RunId::generate(), strategy, watermark)
}

#[test]
fn a_checkpoint_of_another_strategy_column_or_type_is_not_continued() {
    let source = source();
    let seen = &source.schema.columns[2];
    let last = watermark(seen, "2024-05-01 00:00:00.000");
    let start = |strategy, last: &Watermark| {
        Start::of(
            Strategy::Timestamp,
            seen,
            Some(&checkpoint(strategy, Some(last.clone()))),
        )
    };
    assert_eq!(Start::of(Strategy::Timestamp, seen, None), Start::First);
    assert_eq!(start(Strategy::Timestamp, &last), Start::From(last.clone()));
    let mut other = last.clone();
    other.ty = SqlType::DateTime2 { scale: 7 };
    assert!(
        matches!(start(Strategy::Timestamp, &other), Start::Again(why) if why.contains("type"))
    );
    other = last.clone();
    other.column = "id".into();
    assert!(
        matches!(start(Strategy::Timestamp, &other), Start::Again(why) if why.contains("column id"))
    );
    assert!(
        matches!(start(Strategy::Full, &last), Start::Again(why) if why.contains("strategy full"))
    );
}

#[test]
fn a_window_is_paged_only_where_an_index_orders_it() {
    let plan = |source: &Discovered, fidelity: Fidelity, bounds: Bounds| {
        let what = (Strategy::Timestamp, TableKind::Mirror);
        let reading = isolation::choose(source, Isolation::ReadCommitted, what).unwrap();
        let decided = Decided {
            fidelity,
            ..decided(choice(), reading, bounds)
        };
        decided::assemble(source, decided)
    };
    let page_rows = |plan: &ExtractPlan| match &plan.read {
        Read::Window(followed) => followed.page_rows,
        other => panic!("{other:?}"),
    };
    let mut source = source();
    change(&mut source, |environment| {
        environment.allows_snapshot = false
    });
    let window = window();
    let cursor = cursor();
    let paged = plan(&source, Fidelity::Exact, window.clone());
    assert!(sql(&paged).contains("TOP (@P1)"));
    // The lake would not keep where a page ended.
    source.schema.columns[2].ty = SqlType::DateTime2 { scale: 7 };
    let cut = plan(&source, Fidelity::Standard, window.clone());
    assert_eq!(page_rows(&cut), None);
    let exact = plan(&source, Fidelity::Exact, window.clone());
    assert_eq!(page_rows(&exact), Some(2_000));
    let next = paged.next_page(&cursor).unwrap();
    assert!(next.sql.contains("ORDER BY t.[seen], t.[id], t.[region]"));
    source.indexes.truncate(1);
    let stream = plan(&source, Fidelity::Exact, window);
    assert_eq!(
        (page_rows(&stream), stream.next_page(&cursor)),
        (None, None)
    );
    assert!(!sql(&stream).contains("ORDER BY"));
    let full = plan(&source, Fidelity::Exact, full::bounds());
    assert!(!sql(&full).contains("WHERE"));
    let mut empty = paged.clone();
    empty.read = Read::Nothing {
        at: watermark(&source.schema.columns[2], "2024-05-01 00:00:00.000"),
    };
    assert_eq!(empty.first_read(), None);
}

/// Where a page of it ends.
fn cursor() -> PageCursor {
    PageCursor {
        watermark: "2024-05-01 10:00:00.003".into(),
        key: vec![Some("7".into()), Some("EU".into())],
    }
}

/// A window of the column `seen`.
fn window() -> Bounds {
    let source = source();
    let at = |text| watermark(&source.schema.columns[2], text);
    Bounds::of(Extent::Window(Window {
        lower: at("2024-05-01 00:00:00.000"),
        upper: at("2024-05-02 00:00:00.000"),
        previous: at("2024-05-01 00:00:00.000"),
    }))
}

fn decided(choice: Choice, reading: Reading, bounds: Bounds) -> Decided {
    Decided {
        choice,
        reading,
        bounds,
        cut: None,
        steps: Vec::new(),
        kind: TableKind::Mirror,
        fidelity: Fidelity::Exact,
    }
}

/// The statement that a plan begins with.
fn sql(plan: &ExtractPlan) -> String {
    plan.first_read().unwrap().sql
}

#[test]
fn only_a_whole_read_of_a_history_ends_where_the_next_window_begins() {
    let source = source();
    let upper = Some(watermark(
        &source.schema.columns[2],
        "2024-05-02 00:00:00.000",
    ));
    let plan = |kind, upper: &Option<Watermark>| {
        let what = (Strategy::Timestamp, kind);
        let reading = isolation::choose(&source, Isolation::Auto, what).unwrap();
        let bounds = Bounds::full(upper.clone(), &Start::First);
        let decided = Decided {
            kind,
            ..decided(choice(), reading, bounds)
        };
        decided::assemble(&source, decided)
    };
    let mirror = plan(TableKind::Mirror, &upper);
    assert!(!sql(&mirror).contains("WHERE"));
    let history = plan(TableKind::History, &upper);
    assert!(sql(&history).contains("t.[seen] < "), "{}", sql(&history));
    for plan in [&mirror, &history] {
        assert_eq!((plan.upper(), plan.lower()), (upper.as_ref(), None));
        assert_eq!(plan.watermark_column(), Some(2));
        assert!(plan.full_read() && plan.distinct_keys() && !plan.misses_rows());
    }
    // No row has a value of the column.
    let none = plan(TableKind::History, &None);
    assert!(sql(&none).contains("t.[seen] IS NULL"), "{}", sql(&none));
}

#[test]
fn ranges_share_one_state_unless_a_bound_covers_what_moves_between_them() {
    let mut source = source();
    source
        .schema
        .columns
        .push(column(4, "rv", SqlType::RowVersion, false));
    let ledger = |bound: &Watermark| Backfill {
        schema: String::new(),
        strategy: Strategy::RowVersion,
        watermark: bound.clone(),
        column: "id".into(),
        cuts: vec!["5".into()],
        origin: Some(Origin {
            fork: Some("before".into()),
            ..Origin::default()
        }),
        done: Vec::new(),
        stale: Vec::new(),
    };
    let ranges = |strategy, column: Option<usize>, upper: Option<&Watermark>, continues| {
        let what = (strategy, TableKind::Mirror);
        let reading = isolation::choose(&source, Isolation::Auto, what).unwrap();
        let choice = Choice {
            strategy,
            column,
            ..choice()
        };
        let split = Split {
            column: 0,
            cuts: vec!["5".into()],
        };
        let decided = Decided {
            cut: Some((split, continues)),
            ..decided(choice, reading, Bounds::full(upper.cloned(), &Start::First))
        };
        decided::assemble(&source, decided)
    };
    let of = |plan: &ExtractPlan| match &plan.read {
        Read::Ranges(ranges) => ranges.clone(),
        other => panic!("{other:?}"),
    };
    let bound = watermark(&source.schema.columns[3], "0x00000000000007D1");
    let several = ranges(Strategy::RowVersion, Some(3), Some(&bound), None);
    assert_eq!(several.resumable_bound(), Some(&bound));
    assert!(!of(&several).needs_fence());
    let continued = ranges(
        Strategy::RowVersion,
        Some(3),
        Some(&bound),
        Some(ledger(&bound)),
    );
    assert!(of(&continued).continues().is_some());
    assert_eq!(continued.origin, ledger(&bound).origin);
    // A key that is no identity may move without a new time, and without a bound nothing covers a move.
    let time = watermark(&source.schema.columns[2], "2024-05-02 00:00:00.000");
    for one in [
        ranges(Strategy::Timestamp, Some(2), Some(&time), None),
        ranges(Strategy::RowVersion, Some(3), None, None),
        ranges(Strategy::Full, None, None, None),
    ] {
        assert_eq!(one.resumable_bound(), None);
        assert!(of(&one).needs_fence());
        assert!(one.distinct_keys() && one.sees_one_state() && one.full_read());
    }
}

#[test]
fn only_row_locks_are_read_in_pages() {
    let mut source = source();
    source
        .schema
        .columns
        .push(column(4, "rv", SqlType::RowVersion, false));
    source.indexes.push(index(false, false, &[4]));
    let page_rows = |source: &Discovered| {
        let what = (Strategy::RowVersion, TableKind::Mirror);
        let reading = isolation::choose(source, Isolation::Auto, what).unwrap();
        let choice = Choice {
            strategy: Strategy::RowVersion,
            column: Some(3),
            ..choice()
        };
        let plan = decided::assemble(source, decided(choice, reading, window()));
        match plan.read {
            Read::Window(followed) => followed.page_rows,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(page_rows(&source), None);
    change(&mut source, |environment| {
        environment.allows_snapshot = false
    });
    assert_eq!(page_rows(&source), Some(2_000));
    change(&mut source, |environment| {
        environment.read_committed_snapshot = true
    });
    assert_eq!(page_rows(&source), None);
}

/// Each page of another order would be sorted from all rows that are left.
#[test]
fn pages_take_an_index_that_goes_on_with_the_key() {
    let order = |indexes: Vec<Index>| {
        let mut source = source();
        change(&mut source, |environment| {
            environment.allows_snapshot = false
        });
        source.indexes = indexes;
        let what = (Strategy::Timestamp, TableKind::Mirror);
        let reading = isolation::choose(&source, Isolation::ReadCommitted, what).unwrap();
        let plan = decided::assemble(&source, decided(choice(), reading, window()));
        let is_told = plan.why.iter().any(|why| why.contains("in one statement"));
        assert_eq!(is_told, plan.next_page(&cursor()).is_none(), "{plan:?}");
        is_told
    };
    let descending = |index: Index, ids: &[i32]| Index {
        descending: ids.to_vec(),
        ..index
    };
    let key = || index(true, true, &[1, 2]);
    let heap = || Index {
        is_clustered: false,
        ..key()
    };
    let elsewhere = || Index {
        is_clustered: true,
        ..index(false, false, &[2, 1])
    };
    for (is_unordered, indexes) in [
        (false, vec![key(), index(false, false, &[3])]),
        (false, vec![heap(), index(false, false, &[3, 1, 2])]),
        (false, vec![heap(), index(true, false, &[3])]),
        (false, vec![heap(), index(true, false, &[3, 1])]),
        (true, vec![heap(), index(false, false, &[3])]),
        (true, vec![heap(), index(false, false, &[3, 1])]),
        (true, vec![heap(), elsewhere(), index(false, false, &[3])]),
        (true, vec![key(), index(false, false, &[3, 2])]),
        (true, vec![key(), index(true, false, &[3, 2])]),
        (
            true,
            vec![key(), descending(index(false, false, &[3]), &[3])],
        ),
        (
            false,
            vec![
                heap(),
                descending(index(false, false, &[3, 1, 2]), &[1, 2, 3]),
            ],
        ),
    ] {
        assert_eq!(order(indexes.clone()), is_unordered, "{indexes:?}");
    }
}

#[test]
fn a_window_is_read_in_the_steps_that_it_is_cut_into() {
    let source = source();
    let at = |text: &str| watermark(&source.schema.columns[2], text);
    let [overlap, last, first, second, end] = [
        "2024-05-01 00:00:00.000",
        "2024-05-01 00:05:00.000",
        "2024-05-01 09:00:00.000",
        "2024-05-01 18:00:00.000",
        "2024-05-02 00:00:00.000",
    ];
    let window = Window {
        lower: at(overlap),
        upper: at(end),
        previous: at(last),
    };
    let what = (Strategy::Timestamp, TableKind::Mirror);
    let reading = isolation::choose(&source, Isolation::Auto, what).unwrap();
    let decided = |steps: &[&str]| Decided {
        steps: steps.iter().map(|text| at(text)).collect(),
        ..decided(
            choice(),
            reading.clone(),
            Bounds::of(Extent::Window(window.clone())),
        )
    };
    let windows = |plan: &ExtractPlan| -> Vec<[String; 3]> {
        let steps = plan.steps();
        let texts = steps.map(|step| match &step.read {
            Read::Window(Followed { window, .. }) => {
                assert_eq!(step.steps().len(), 1);
                [&window.lower, &window.upper, &window.previous].map(|mark| mark.text.clone())
            }
            other => panic!("{other:?}"),
        });
        texts.collect()
    };
    let whole = decided::assemble(&source, decided(&[]));
    assert_eq!(windows(&whole), [[overlap, end, last]]);
    let cut = decided::assemble(&source, decided(&[first, second]));
    // Only the first step reads rows again.
    assert_eq!(
        windows(&cut),
        [
            [overlap, first, last],
            [first, second, first],
            [second, end, second]
        ]
    );
    assert_eq!(cut.upper(), Some(&at(end)));
}

/// Changes what server, database or login are.
fn change(source: &mut Discovered, change: impl FnOnce(&mut Environment)) {
    let mut environment = (*source.facts.environment).clone();
    change(&mut environment);
    source.facts.environment = environment.into();
}

#[test]
fn isolation_follows_the_database_or_says_the_three_ways_out() {
    let mut source = source();
    let choose = |source: &Discovered, asked| {
        isolation::choose(source, asked, (Strategy::Full, TableKind::Mirror))
    };
    let snapshot = choose(&source, Isolation::Auto).unwrap();
    assert!(snapshot.session[0].sql.contains("SNAPSHOT"));
    change(&mut source, |environment| {
        environment.allows_snapshot = false
    });
    let error = choose(&source, Isolation::Auto).unwrap_err().to_string();
    for way in [
        "ALLOW_SNAPSHOT_ISOLATION ON",
        "table_lock",
        "read_committed",
    ] {
        assert!(error.contains(way), "{error}");
    }
    assert!(choose(&source, Isolation::Snapshot).is_err());
    assert_eq!(
        choose(&source, Isolation::ReadCommitted)
            .unwrap()
            .warnings
            .len(),
        1
    );
    change(&mut source, |environment| {
        environment.read_committed_snapshot = true;
    });
    let versions = choose(&source, Isolation::Auto).unwrap();
    assert!(versions.warnings.is_empty());
    assert_eq!(
        choose(&source, Isolation::TableLock).unwrap().locking,
        Locking::Table
    );
    source.facts.is_memory_optimized = true;
    assert!(choose(&source, Isolation::TableLock).is_err());
    assert!(choose(&source, Isolation::Snapshot).is_err());
    assert!(choose(&source, Isolation::Auto).is_ok());
}

#[test]
fn row_locks_suffice_for_a_mirror_whose_next_window_tells_and_for_nothing_else() {
    let mut source = source();
    change(&mut source, |environment| {
        environment.allows_snapshot = false
    });
    let auto = |strategy, kind| isolation::choose(&source, Isolation::Auto, (strategy, kind));
    let covered = auto(Strategy::RowVersion, TableKind::Mirror).unwrap();
    assert!(!covered.sees_one_state && covered.warnings.is_empty());
    assert!(
        covered.notices[0]
            .text
            .contains("ALTER DATABASE [shop] SET ALLOW_SNAPSHOT_ISOLATION ON")
    );
    let tracked = auto(Strategy::ChangeTracking, TableKind::Mirror).unwrap();
    assert!(!tracked.sees_one_state);
    for (strategy, kind, what) in [
        (Strategy::RowVersion, TableKind::History, "a history"),
        (Strategy::ChangeTracking, TableKind::History, "a history"),
        (Strategy::Timestamp, TableKind::Mirror, "strategy timestamp"),
        (Strategy::Sequence, TableKind::History, "strategy sequence"),
        (Strategy::Full, TableKind::Mirror, "strategy full"),
    ] {
        let refusal = auto(strategy, kind).unwrap_err();
        assert!(refusal.to_string().contains(what), "{refusal}");
        let first = "dbo.first".parse().unwrap();
        let again = refusal.said_of(&first).to_string();
        assert!(
            again.contains("as dbo.first") && !again.contains("ALTER"),
            "{again}"
        );
    }
}

#[test]
fn row_locks_miss_rows_where_no_rowversion_tells_of_them() {
    use crate::mssql::surroundings::View;
    let mut source = source();
    change(&mut source, |environment| {
        environment.allows_snapshot = false
    });
    let misses = |source: &Discovered, strategy, bounds| {
        let what = (strategy, TableKind::Mirror);
        let reading = isolation::choose(source, Isolation::ReadCommitted, what).unwrap();
        let choice = Choice {
            strategy,
            ..choice()
        };
        decided::assemble(source, decided(choice, reading, bounds)).misses_rows()
    };
    let whole = || Bounds::full(None, &Start::First);
    assert!(misses(&source, Strategy::Timestamp, whole()));
    assert!(!misses(&source, Strategy::Timestamp, window()));
    assert!(!misses(&source, Strategy::RowVersion, whole()));
    // A view whose definition may not be seen.
    source.surroundings.view = Some(View {
        definition: None,
        references: None,
    });
    assert!(misses(&source, Strategy::RowVersion, whole()));
    change(&mut source, |environment| {
        environment.read_committed_snapshot = true;
    });
    assert!(!misses(&source, Strategy::RowVersion, whole()));
}

#[test]
fn a_history_is_not_read_with_row_locks() {
    let mut source = source();
    change(&mut source, |environment| {
        environment.allows_snapshot = false
    });
    let asked = |source: &Discovered, strategy, kind| {
        isolation::choose(source, Isolation::ReadCommitted, (strategy, kind))
    };
    let mut keyless = source.clone();
    keyless.schema.key = None;
    for strategy in [
        Strategy::RowVersion,
        Strategy::Timestamp,
        Strategy::Sequence,
        Strategy::Full,
    ] {
        assert!(asked(&source, strategy, TableKind::Mirror).is_ok());
        for refused in [
            asked(&source, strategy, TableKind::History),
            asked(&keyless, strategy, TableKind::Mirror),
        ] {
            let refused = refused.unwrap_err().to_string();
            assert!(refused.contains("table_lock"), "{refused}");
        }
    }
    let history = (Strategy::Full, TableKind::History);
    let refusal = isolation::choose(&source, Isolation::Auto, history).unwrap_err();
    assert!(!refusal.to_string().contains("read_committed"), "{refusal}");
    change(&mut source, |environment| {
        environment.read_committed_snapshot = true;
    });
    assert!(asked(&source, Strategy::RowVersion, TableKind::History).is_ok());
}

#[test]
fn what_another_server_writes_is_read_whole_or_refused() {
    let mut source = source();
    source
        .schema
        .columns
        .push(column(4, "rv", SqlType::RowVersion, false));
    for writability in [
        Writability::Secondary,
        Writability::Snapshot,
        Writability::Standby,
    ] {
        change(&mut source, |environment| {
            environment.writability = writability
        });
        let with = |strategy, name: Option<&str>| {
            let options = ChangeOptions {
                strategy,
                column: name.map(str::to_owned),
                ..ChangeOptions::default()
            };
            auto::choose(&source, &options, SHAPE, None)
        };
        for (strategy, name) in [
            (StrategyChoice::RowVersion, None),
            (StrategyChoice::Timestamp, Some("seen")),
            (StrategyChoice::Sequence, Some("id")),
            (StrategyChoice::Auto, Some("rv")),
        ] {
            let refusal = with(strategy, name).unwrap_err().to_string();
            assert!(refusal.contains("no upper bound is safe"), "{refusal}");
        }
        let tracked = with(StrategyChoice::ChangeTracking, None).unwrap_err();
        assert!(
            tracked
                .to_string()
                .contains("does not show tracked changes")
        );
        let whole = with(StrategyChoice::Auto, None).unwrap();
        assert_eq!(whole.strategy, Strategy::Full);
        let what = (Strategy::Full, TableKind::Mirror);
        let reading = isolation::choose(&source, Isolation::Auto, what).unwrap();
        assert!(reading.sees_one_state);
        // On a replica no fence can hold writers off while several snapshots are opened.
        let is_replica = writability == Writability::Secondary;
        assert_eq!(reading.is_snapshot, !is_replica);
        let asked = isolation::choose(&source, Isolation::Snapshot, what).unwrap();
        assert_eq!(
            (asked.is_snapshot, asked.sees_one_state),
            (!is_replica, true)
        );
        let locked = isolation::choose(&source, Isolation::TableLock, what);
        assert_eq!(locked.is_err(), is_replica);
    }
    change(&mut source, |environment| {
        environment.writability = Writability::ReadOnly
    });
    let choice = auto::choose(&source, &ChangeOptions::default(), SHAPE, None).unwrap();
    assert_eq!(choice.strategy, Strategy::RowVersion);
}

#[test]
fn a_view_is_followed_by_its_rowversion_only_where_that_tells() {
    use crate::mssql::surroundings::{Reference, View};
    let mut source = source();
    source
        .schema
        .columns
        .push(column(4, "rv", SqlType::RowVersion, false));
    source.facts.is_view = true;
    let reference = |name: &str, is_elsewhere: bool| Reference {
        name: name.to_owned(),
        is_table: !is_elsewhere,
        is_memory_optimized: false,
        is_elsewhere,
    };
    let chosen = |source: &Discovered, strategy| {
        let options = ChangeOptions {
            strategy,
            ..ChangeOptions::default()
        };
        auto::choose(source, &options, SHAPE, None)
    };
    for (definition, references, auto, asked) in [
        (
            "CREATE VIEW v AS SELECT id, rv FROM dbo.t",
            vec![reference("dbo.t", false)],
            Strategy::RowVersion,
            Some(0),
        ),
        (
            "CREATE VIEW v AS SELECT t.id, t.rv FROM dbo.t JOIN dbo.u ON u.id = t.id",
            vec![reference("dbo.t", false), reference("dbo.u", false)],
            Strategy::Full,
            Some(1),
        ),
        (
            "CREATE VIEW v AS SELECT id, rv FROM other.dbo.t",
            vec![reference("other.dbo.t", true)],
            Strategy::Full,
            None,
        ),
    ] {
        source.surroundings.view = Some(View {
            definition: Some(definition.to_owned()),
            references: Some(references),
        });
        let found = chosen(&source, StrategyChoice::Auto).unwrap();
        assert_eq!(found.strategy, auto, "{definition}");
        let warnings =
            chosen(&source, StrategyChoice::RowVersion).map(|found| found.warnings.len());
        assert_eq!(warnings.ok(), asked, "{definition}");
    }
}

#[test]
fn keys_of_a_log_are_read_with_their_rows_and_a_step_keeps_the_age_of_its_bound() {
    use crate::change::TrackedSince;
    use window::Changes;
    let source = source();
    let tracked = |kind, extent, steps| {
        let what = (Strategy::ChangeTracking, kind);
        let reading = isolation::choose(&source, Isolation::Auto, what).unwrap();
        let choice = Choice {
            strategy: Strategy::ChangeTracking,
            column: None,
            ..choice()
        };
        let mut bounds = Bounds::of(extent);
        bounds.tracking = Some(TrackedSince {
            begin: 1,
            created: None,
            altered: None,
            at: 900,
        });
        let decided = Decided {
            kind,
            steps,
            ..decided(choice, reading, bounds)
        };
        decided::assemble(&source, decided)
    };
    let mark = change_tracking::mark;
    let changes = Changes {
        window: Window {
            lower: mark(10),
            upper: mark(90),
            previous: mark(10),
        },
        keys: 5_000,
        renews: false,
        since: Some(100),
    };
    let window = Extent::Tracked(changes);
    let plan = tracked(TableKind::Mirror, window, vec![mark(40)]);
    assert_eq!(
        (plan.lower(), plan.upper()),
        (Some(&mark(10)), Some(&mark(90)))
    );
    assert!(!plan.full_read() && plan.watermark_column().is_none());
    let steps: Vec<ExtractPlan> = plan.steps().collect();
    let text = sql(&steps[0]);
    for part in [
        "CHANGETABLE(CHANGES [dbo].[orders], @P1)",
        "LEFT JOIN [dbo].[orders] AS t ON t.[id] = c.k1 AND t.[region] = c.k2",
        "WHERE c.v <= @P2",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(
        !sql(&steps[1]).contains("WHERE"),
        "the last step has no end"
    );
    let at = |plan: &ExtractPlan| {
        let origin = plan.origin.as_ref();
        let tracking = origin.and_then(|origin| origin.tracking.as_ref());
        tracking.map(|tracking| tracking.at)
    };
    assert_eq!([at(&steps[0]), at(&steps[1])], [Some(100), Some(900)]);
    // A history is read to its end: no column tells where the bound is.
    let upper = Some(mark(90));
    let whole = tracked(TableKind::History, Extent::Whole { upper }, Vec::new());
    assert!(!sql(&whole).contains("WHERE") && whole.upper() == Some(&mark(90)));
}
