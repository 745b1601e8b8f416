use super::discover::tests::{column, index, table};
use super::window::watermark;
use super::*;
use crate::change::{Isolation, RunId, Watermark, Window};
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
        let reading = isolation::choose(source, Isolation::Auto, Strategy::Timestamp).unwrap();
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
    assert!(paged.first_page().sql.contains("TOP (@p1)"));
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
fn isolation_follows_the_database_or_says_the_three_ways_out() {
    let mut source = source();
    let choose = |source: &Discovered, asked| isolation::choose(source, asked, Strategy::Full);
    let snapshot = choose(&source, Isolation::Auto).unwrap();
    assert!(snapshot.session[0].sql.contains("SNAPSHOT"));
    source.facts.allows_snapshot = false;
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
    source.facts.read_committed_snapshot = true;
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
