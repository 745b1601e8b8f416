use super::discover::tests::{column, index, table};
use super::window::watermark;
use super::*;
use crate::change::{Isolation, RunId, StrategyChoice, Watermark, Window};
use crate::mssql::environment::{Environment, Writability};
use crate::mssql::sql::read::{Locking, PageCursor};
use crate::schema::SqlType;
use auto::Choice;

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
    let plan = |source: &Discovered, bounds: Bounds| {
        let options = ChangeOptions::default();
        let what = (Strategy::Timestamp, TableKind::Mirror);
        let reading = isolation::choose(source, Isolation::Auto, what).unwrap();
        plan::assemble(source, &options, choice(), reading, bounds)
    };
    let mut source = source();
    let seen = source.schema.columns[2].clone();
    let window = Bounds {
        window: Window {
            lower: Some(watermark(&seen, "2024-05-01 00:00:00.000")),
            upper: Some(watermark(&seen, "2024-05-02 00:00:00.000")),
        },
        ..Bounds::default()
    };
    let cursor = PageCursor {
        watermark: "2024-05-01 10:00:00.003".into(),
        key: vec![Some("7".into()), Some("EU".into())],
    };
    let paged = plan(&source, window.clone());
    assert!(paged.first_page().sql.contains("TOP (@P1)"));
    let next = paged.next_page(&cursor).unwrap();
    assert!(next.sql.contains("ORDER BY t.[seen], t.[id], t.[region]"));
    source.indexes.truncate(1);
    let stream = plan(&source, window);
    assert_eq!((stream.page_rows, stream.next_page(&cursor)), (None, None));
    assert!(!stream.first_page().sql.contains("ORDER BY"));
    let full = plan(&source, full::bounds(None));
    assert!(!full.first_page().sql.contains("WHERE"));
}

#[test]
fn a_page_with_row_locks_is_small() {
    let mut source = source();
    source
        .schema
        .columns
        .push(column(4, "rv", SqlType::RowVersion, false));
    source.indexes.push(index(false, false, &[4]));
    let page_rows = |source: &Discovered, options: &ChangeOptions| {
        let what = (Strategy::RowVersion, TableKind::Mirror);
        let reading = isolation::choose(source, Isolation::Auto, what).unwrap();
        let choice = Choice {
            strategy: Strategy::RowVersion,
            column: Some(3),
            ..choice()
        };
        plan::assemble(source, options, choice, reading, Bounds::default()).page_rows
    };
    let with = |page_rows| ChangeOptions {
        page_rows,
        ..ChangeOptions::default()
    };
    assert_eq!(page_rows(&source, &with(500_000)), Some(500_000));
    change(&mut source, |environment| {
        environment.allows_snapshot = false
    });
    for (asked, expected) in [(500_000, Some(2_000)), (1_000, Some(1_000)), (0, None)] {
        assert_eq!(page_rows(&source, &with(asked)), expected);
    }
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
fn row_locks_suffice_for_a_mirror_under_a_rowversion_and_for_nothing_else() {
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
    for (strategy, kind, what) in [
        (Strategy::RowVersion, TableKind::History, "a history"),
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
        let options = ChangeOptions::default();
        plan::assemble(source, &options, choice, reading, bounds).misses_rows
    };
    let whole = || full::bounds(None);
    assert!(misses(&source, Strategy::Timestamp, whole()));
    assert!(!misses(&source, Strategy::Timestamp, Bounds::default()));
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
            auto::choose(&source, &options, TableKind::Mirror)
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
    let choice = auto::choose(&source, &ChangeOptions::default(), TableKind::Mirror).unwrap();
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
        auto::choose(source, &options, TableKind::Mirror)
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
