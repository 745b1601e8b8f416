//! Random tables of every type go from the source through the lake into the target, change, and go again: both must
//! be equal bit for bit, and readers of other makers must see the same values in the lake.
//!
//! `ICESYNC_RANDOM_TABLES` says how many (2000), `ICESYNC_RANDOM_SEED` where to begin. A failure prints the table's
//! own seed and script; that seed with `ICESYNC_RANDOM_TABLES=1` replays it alone.

mod tables;
mod values;
mod witness;

use crate::harness::{World, lakes_agree, server, skipped};
use icesync_sandbox::value::SqlType;
use serde_json::Value as Json;
use std::time::Instant;
use tables::Table;
pub use values::Rng;
use witness::Rows;

const SEED: u64 = 2026;
const TABLES: usize = 2_000;
/// Tables of one configuration and two runs.
const TOGETHER: usize = 100;
/// Of every so many tables, readers of other makers look at one.
const READ_EVERY: usize = 30;

/// A number from the environment.
pub fn number(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).unwrap_or_default();
    let digits = text.strip_prefix("0x");
    match digits.map_or_else(|| text.parse(), |digits| u64::from_str_radix(digits, 16)) {
        Ok(number) => number,
        Err(_) => default,
    }
}

/// Types that only some servers have.
fn extra_type(_rng: &mut Rng) -> SqlType {
    SqlType::SqlVariant
}

#[derive(Default)]
struct Tally {
    tables: usize,
    columns: usize,
    rows: usize,
    failures: Vec<String>,
    /// Lake folders with the rows that they must hold.
    lakes: Vec<(std::path::PathBuf, Vec<Json>)>,
}

impl Tally {
    fn fail(&mut self, table: &Table, what: &str) {
        let script: String = table.script().chars().take(20_000).collect();
        self.failures
            .push(format!("== seed {:#x}: {what}\n{script}", table.seed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_tables_come_back_as_they_were() {
    let clock = Instant::now();
    let (first, count) = (
        number("ICESYNC_RANDOM_SEED", SEED),
        number("ICESYNC_RANDOM_TABLES", TABLES as u64),
    );
    let mut tally = Tally::default();
    let mut worlds = Vec::new();
    let seeds: Vec<u64> = match count {
        1 => vec![first],
        count => {
            let mut rng = Rng::new(first);
            (0..count).map(|_| rng.next() >> 8).collect()
        }
    };
    for seeds in seeds.chunks(TOGETHER) {
        let mut tables: Vec<Table> = seeds.iter().map(|&seed| tables::table(seed)).collect();
        if server().engine().is_none() {
            // What is cut off there is told by the stand-in's engine alone.
            tables.iter_mut().for_each(|table| table.standard = false);
        }
        worlds.push(round_trip(&tables, &mut tally).await);
        if tally.failures.len() > 40 {
            break;
        }
    }
    let (tables, columns, rows) = (tally.tables, tally.columns, tally.rows);
    println!(
        "{tables} random tables, {columns} columns, {rows} rows, from seed {first}: {:.0} s",
        clock.elapsed().as_secs_f64()
    );
    let shown: String = tally
        .failures
        .iter()
        .take(40)
        .map(|text| format!("{text}\n"))
        .collect();
    if server().engine().is_none() {
        skipped("random tables with `fidelity: standard`");
        skipped("random tables compared with the stand-in's own rows, and read by others");
    }
    assert!(
        tally.failures.is_empty(),
        "{} tables failed\n{shown}",
        tally.failures.len()
    );
    let clock = Instant::now();
    lakes_agree(&tally.lakes);
    println!(
        "{} lake tables read by others: {:.0} s",
        tally.lakes.len(),
        clock.elapsed().as_secs_f64()
    );
}

async fn round_trip(tables: &[Table], tally: &mut Tally) -> World {
    let mut world = World::new("SELECT 1").await;
    let config = "source: { connection: \"${ICESYNC_SOURCE}\", parallel_tables: 4 }\nwarehouse: \
        { location: ./warehouse }\n\
        target: { connection: \"${ICESYNC_TARGET}\" }\ntables:\n"
        .to_owned();
    let mut entries = String::new();
    for table in tables {
        for statement in table.create() {
            world.source(&statement).await;
        }
        fill(&mut world, &table.rows()).await;
        entries.push_str(&table.config());
        tally.tables += 1;
        tally.columns += table.columns.len();
    }
    let config = config + &world.entries(&entries);
    std::fs::write(world.path("icesync.yaml"), config).expect("written");
    let mut before = Vec::new();
    for round in 0..2 {
        let run = world.run(&["--json", "sync"]);
        let report = run.json_any();
        assert!(report["tables"].is_array(), "{run:#?}");
        let mut after = Vec::new();
        for (at, table) in tables.iter().enumerate() {
            let entry = &report["tables"][at];
            if entry["error"] != Json::Null || entry == &Json::Null {
                tally.fail(table, &format!("run {round}: {}", entry["error"]));
                after.push(Rows::default());
                continue;
            }
            if entry["load"]["snapshot_id"] == Json::Null {
                // Nothing has ever been in it: there is no target yet.
                after.push(Rows::default());
                continue;
            }
            if at < 5 || server().engine().is_none() {
                said_by_the_server(&mut world, table, round, tally).await;
            }
            if server().engine().is_some() {
                after.push(compare(&world, table, before.get(at), entry, tally));
            }
            if round == 1 && at % READ_EVERY == 0 && server().engine().is_some() && !table.history {
                let lake = world.lake("r", &table.name);
                tally.lakes.push((lake, after[at].lake(table.standard)));
            }
        }
        before = after;
        if round == 0 {
            for table in tables {
                fill(&mut world, &table.changes()).await;
            }
        }
    }
    verified(&world, tables, tally);
    world
}

/// `verify` finds each mirror equal by its checksums alone, column for column.
fn verified(world: &World, tables: &[Table], tally: &mut Tally) {
    let run = world.run(&["--json", "verify", "--again", "0"]);
    let report = run.json_any();
    let found = report["tables"].as_array();
    let found = found.unwrap_or_else(|| panic!("{run:#?}"));
    for table in tables.iter().filter(|table| !table.history) {
        let lake = icesync::schema::TableName {
            schema: "r".to_owned(),
            name: table.name.clone(),
        };
        // Of a table that failed there is no report, which the runs before have said.
        let Some(entry) = found.iter().find(|entry| entry["lake"] == lake.to_string()) else {
            continue;
        };
        for side in entry["sides"].as_array().into_iter().flatten() {
            let is_equal =
                side["buckets_differing"] == 0 && side["columns_not_compared"] == Json::Null;
            if side["not_compared"] == Json::Null && !is_equal {
                tally.fail(table, &format!("verify: {side:#}"));
            }
        }
    }
}

async fn fill(world: &mut World, statements: &[String]) {
    if !statements.is_empty() {
        world.source(&statements.join(";\n")).await;
    }
}

/// Source and target as the stand-in's engine has them, and the count of what was cut off; the rows that the lake
/// must hold.
fn compare(
    world: &World,
    table: &Table,
    before: Option<&Rows>,
    entry: &Json,
    tally: &mut Tally,
) -> Rows {
    let source = witness::rows(&world.source_db, table);
    let target = witness::rows(&world.target_db, table);
    tally.rows += source.rows.len();
    let (kept, shortened) = if table.standard {
        source.standard()
    } else {
        (source, 0)
    };
    let extract = &entry["extract"];
    let whole = extract["full_read"] == Json::Bool(true);
    if table.standard && whole && extract["truncated"] != shortened {
        tally.fail(
            table,
            &format!(
                "{} values were cut off, {} counted",
                shortened, extract["truncated"]
            ),
        );
    }
    let expected = match before {
        // A refresh appends what differs.
        Some(before) if table.history => before.clone().and(&kept.minus(before)),
        _ => kept.clone(),
    };
    let differences = expected.differences(&target);
    if !differences.is_empty() {
        let run = usize::from(before.is_some());
        tally.fail(
            table,
            &format!("after run {run}:\n{}\n{entry:#}", differences.join("\n")),
        );
    }
    kept
}

/// The same in T-SQL, which a real server answers too.
async fn said_by_the_server(world: &mut World, table: &Table, round: usize, tally: &mut Tally) {
    if table.standard || (table.history && round > 0) {
        return;
    }
    let query = witness::query(table);
    let mut source = world.source_rows(&query).await;
    let mut target = world.target_rows(&query).await;
    source.sort();
    target.sort();
    if source != target {
        tally.fail(
            table,
            &format!("run {round}, told in T-SQL:\n{source:?}\n{target:?}"),
        );
    }
}
