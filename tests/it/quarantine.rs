//! Rows that a target refuses: each is set aside with the error that it causes, the rest of its load is loaded, and
//! what the target accepts later leaves the quarantine.

use crate::harness::{PASSWORD, Run, World, finish};
use arrow_array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use icesync::change::{Checkpoint, RunId, Strategy};
use icesync::lake::{CommitIntent, Warehouse, WriteMode, WriteOptions};
use icesync::schema::mapping;
use icesync::sync::{FAIL_AFTER_APPLY, FAIL_AFTER_FILL_KEY, FAIL_QUARANTINED};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const ITEMS: &str =
    "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n int NULL, code nvarchar(20) NULL, parent int NULL,
    note nvarchar(20) NULL)
GO
INSERT dbo.t (id, n, code, parent, note) SELECT TOP (20) ROW_NUMBER() OVER (ORDER BY (SELECT 1)), 1, NULL, 1, N'ok' \
FROM sys.all_columns
GO
UPDATE dbo.t SET code = CONCAT(N'c', id)";

/// The same table with constraints.
const CONSTRAINED: &str = "CREATE TABLE dbo.parents (id int NOT NULL PRIMARY KEY); INSERT dbo.parents VALUES (1);
CREATE TABLE dbo.audit (id int IDENTITY NOT NULL PRIMARY KEY, note nvarchar(20) NOT NULL);
CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n int NULL CONSTRAINT positive CHECK (n > 0), code nvarchar(20) NULL,
    parent int NULL CONSTRAINT known REFERENCES dbo.parents (id), note nvarchar(20) NULL);
CREATE UNIQUE INDEX codes ON dbo.t (code)";

/// It raises an error, rolls back, and fails where it does not expect NULL.
const TRIGGER: &str = "CREATE TRIGGER dbo.watch ON dbo.t AFTER INSERT, UPDATE AS
BEGIN
    SET NOCOUNT ON;
    IF EXISTS (SELECT 1 FROM inserted WHERE note = N'refused') THROW 51000, N'the trigger refuses it', 1;
    IF EXISTS (SELECT 1 FROM inserted WHERE note = N'rolled back')
    BEGIN
        ROLLBACK TRANSACTION;
        RETURN;
    END;
    INSERT dbo.audit (note) SELECT note FROM inserted;
END";

fn config(merge: &str) -> String {
    format!("  - source: dbo.t\n    change: {{ strategy: full }}\n    merge: {{ {merge} }}\n")
}

/// Twenty rows in a target that is there, loaded.
async fn world(merge: &str) -> World {
    let mut world = World::new(ITEMS).await;
    world.target(CONSTRAINED).await;
    world.config(&config(merge));
    world.run(&["--json", "sync"]).json();
    world
}

const SETS_ASIDE: &str = "on_bad_row: quarantine";

fn load(report: &Value) -> &Value {
    &report["tables"][0]["load"]
}

/// The report of a run that is done with rows in quarantine.
#[track_caller]
fn aside(run: Run) -> Value {
    assert_eq!(run.code, 4, "{run:#?}");
    let all = format!("{}{}", run.stdout, run.stderr);
    assert!(!all.contains(PASSWORD), "a secret was printed: {run:#?}");
    run.json_any()
}

/// Keys and error numbers in the quarantine.
fn listed(world: &World) -> Vec<(String, i64)> {
    let listing = world.run(&["--json", "quarantine", "list"]).json();
    let rows = listing["tables"][0]["rows"].as_array().expect("rows");
    let row = |row: &Value| {
        let key = row["key"].as_str().expect("a key").to_owned();
        (key, row["error_number"].as_i64().expect("a number"))
    };
    rows.iter().map(row).collect()
}

fn keys(keys: &[(&str, i64)]) -> Vec<(String, i64)> {
    keys.iter()
        .map(|(key, number)| ((*key).to_owned(), *number))
        .collect()
}

/// Dies there.
fn dies(world: &World, args: &[&str], failpoint: &str) {
    let mut command = world.command(args);
    let died = command.env("ICESYNC_FAILPOINT", failpoint).spawn();
    let died = finish(died.expect("starts"));
    assert!(
        died.code != 0 && died.code != 4,
        "{failpoint} was not reached: {died:#?}"
    );
}

const N: &str = "SELECT id, n FROM dbo.t ORDER BY id";

#[tokio::test(flavor = "multi_thread")]
async fn each_refused_row_is_set_aside_with_its_error() {
    for statement in ["merge", "update_insert"] {
        let merge = format!("{SETS_ASIDE}, statement: {statement}");
        let mut world = World::new(ITEMS).await;
        world.target(CONSTRAINED).await;
        world.target(TRIGGER).await;
        world.config(&config(&merge));
        let first = world.run(&["--json", "sync"]).json();
        assert_eq!(load(&first)["inserted"], json!(20), "{first:#}");
        world
            .source(
                "UPDATE dbo.t SET n = 2;
                UPDATE dbo.t SET n = -1 WHERE id = 3;
                UPDATE dbo.t SET parent = 9 WHERE id = 7;
                UPDATE dbo.t SET note = NULL WHERE id = 11;
                UPDATE dbo.t SET code = N'c12' WHERE id = 13;
                UPDATE dbo.t SET note = N'refused' WHERE id = 15;
                UPDATE dbo.t SET note = N'rolled back' WHERE id = 17;
                INSERT dbo.t (id, n, code, parent, note) VALUES (21, -2, N'c21', 1, N'ok'), (22, 2, N'c22', 1, N'ok')",
            )
            .await;
        let run = aside(world.run(&["--json", "sync"]));
        let counts = ["inserted", "updated", "quarantined", "in_quarantine"];
        let counts = counts.map(|name| load(&run)[name].clone());
        assert_eq!(counts, [json!(1), json!(14), json!(7), json!(7)], "{run:#}");
        let expected = [
            ("3", 547),
            ("7", 547),
            ("11", 515),
            ("13", 2601),
            ("15", 51_000),
            ("17", 3609),
            ("21", 547),
        ];
        assert_eq!(listed(&world), keys(&expected), "{statement}");
        // What was updated, and what kept its row.
        let updated = world
            .target_rows("SELECT COUNT(*) FROM dbo.t WHERE n = 2")
            .await;
        assert_eq!(updated, [["Int(15)"]], "{statement}");
        let old = "SELECT id FROM dbo.t WHERE n = 1 ORDER BY id";
        let old = world.target_rows(old).await.concat();
        let bad = [3, 7, 11, 13, 15, 17].map(|id| format!("Int({id})"));
        assert_eq!(old, bad, "{statement}");
        // Nothing of what was tried and undone is left.
        let audit = world.target_rows("SELECT COUNT(*) FROM dbo.audit").await;
        assert_eq!(audit, [["Int(35)"]], "{statement}");
        let left = "SELECT t.name FROM sys.tables t JOIN sys.schemas s ON s.schema_id = t.schema_id WHERE s.name = \
            N'icesync' AND t.name LIKE N'stg%'";
        assert!(world.target_rows(left).await.is_empty(), "{statement}");
        let states = "SELECT inserted, updated, deleted FROM icesync.load_state";
        assert_eq!(
            world.target_rows(states).await,
            [["Int(1)", "Int(14)", "Int(0)"]]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_load_into_a_table_that_is_there_sets_rows_aside() {
    let mut world = World::new(ITEMS).await;
    world
        .source("UPDATE dbo.t SET parent = 9 WHERE id IN (4, 19)")
        .await;
    world.target(CONSTRAINED).await;
    world.config(&config(SETS_ASIDE));
    let run = aside(world.run(&["--json", "sync"]));
    assert_eq!(load(&run)["kind"], json!("first"));
    assert_eq!(load(&run)["inserted"], json!(18), "{run:#}");
    assert_eq!(listed(&world), keys(&[("4", 547), ("19", 547)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarantined_row_keeps_its_old_version_until_a_good_one_comes() {
    let mut world = world(SETS_ASIDE).await;
    world
        .source("UPDATE dbo.t SET n = -5 WHERE id IN (3, 4)")
        .await;
    let text = world.run(&["sync"]);
    assert_eq!(text.code, 4, "{text:#?}");
    for part in ["refused  2 rows", "2 rows in quarantine", "quarantine list"] {
        assert!(text.stdout.contains(part), "{text:#?}");
    }
    let rows = world
        .target_rows("SELECT n FROM dbo.t WHERE id IN (3, 4)")
        .await;
    assert_eq!(rows, [["Int(1)"], ["Int(1)"]]);
    // A load with nothing to do says so, too.
    let again = aside(world.run(&["--json", "sync"]));
    assert_eq!(load(&again)["kind"], json!("nothing"), "{again:#}");
    assert_eq!(load(&again)["in_quarantine"], json!(2));
    assert_eq!(load(&again)["quarantined"], json!(0));
    let status = world.run(&["--json", "status"]).json();
    assert_eq!(status["tables"][0]["target"]["in_quarantine"], json!(2));
    let status = world.run(&["status"]).stdout;
    assert!(status.contains("2 rows in quarantine"), "{status}");
    // One gets a good version; the other another bad one, which replaces the record.
    world
        .source(
            "UPDATE dbo.t SET n = 7 WHERE id = 3; UPDATE dbo.t SET parent = 9, n = 1 WHERE id = 4",
        )
        .await;
    aside(world.run(&["--json", "sync"]));
    let listing = world.run(&["--json", "quarantine", "list"]).json();
    let rows = &listing["tables"][0]["rows"];
    assert_eq!(rows.as_array().map(Vec::len), Some(1), "{listing:#}");
    assert_eq!(rows[0]["sequence_number"], json!(3), "{listing:#}");
    world
        .source("UPDATE dbo.t SET parent = 1, n = 8 WHERE id = 4")
        .await;
    world.run(&["--json", "sync"]).json();
    assert!(listed(&world).is_empty());
    assert_eq!(world.source_rows(N).await, world.target_rows(N).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_of_the_key_clears_it() {
    let mut world = world(SETS_ASIDE).await;
    world
        .source("UPDATE dbo.t SET n = -5 WHERE id = 3; INSERT dbo.t (id, n) VALUES (30, -1)")
        .await;
    aside(world.run(&["--json", "sync"]));
    assert_eq!(listed(&world), keys(&[("3", 547), ("30", 547)]));
    world.source("DELETE dbo.t WHERE id IN (3, 30)").await;
    world.run(&["--json", "sync"]).json();
    assert!(listed(&world).is_empty());
    assert_eq!(world.source_rows(N).await, world.target_rows(N).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn good_rows_that_depend_on_each_other_stay_good() {
    for statement in ["merge", "update_insert"] {
        let mut world = World::new(
            "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, up int NULL, code nvarchar(10) NULL)
GO
INSERT dbo.t VALUES (1, NULL, N'one'), (2, 1, N'two')",
        )
        .await;
        world
            .target(
                "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, up int NULL REFERENCES dbo.t (id), code nvarchar(10) \
                NULL); CREATE UNIQUE INDEX codes ON dbo.t (code) WHERE code IS NOT NULL",
            )
            .await;
        let merge = format!("{SETS_ASIDE}, statement: {statement}");
        world.config(&config(&merge));
        world.run(&["--json", "sync"]).json();
        // Children before their parents, a row that takes the code which another one gives up, a missing parent, and
        // a child of the row that misses it.
        world
            .source(
                "INSERT dbo.t VALUES (5, 10, NULL), (10, 20, NULL), (20, NULL, NULL), (25, 30, NULL), (30, 99, NULL);
                UPDATE dbo.t SET code = N'new' WHERE id = 2; UPDATE dbo.t SET code = N'two' WHERE id = 1;
                INSERT dbo.t VALUES (40, 1, N'forty')",
            )
            .await;
        aside(world.run(&["--json", "sync"]));
        assert_eq!(
            listed(&world),
            keys(&[("25", 547), ("30", 547)]),
            "{statement}"
        );
        let rows = "SELECT id, up, code FROM dbo.t WHERE id NOT IN (25, 30) ORDER BY id";
        assert_eq!(
            world.source_rows(rows).await,
            world.target_rows(rows).await,
            "{statement}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_refused_rows_than_allowed_load_nothing() {
    let mut world = world(&format!("{SETS_ASIDE}, max_bad_rows: 2")).await;
    let before = world.target_rows(N).await;
    world
        .source("UPDATE dbo.t SET n = 5; UPDATE dbo.t SET n = -1 WHERE id IN (2, 5, 9, 14)")
        .await;
    let texts = [
        "dbo.t refuses at least 4 rows",
        "`merge.max_bad_rows` allows 2",
        "error 547",
        "positive",
    ];
    let unasked = world.run(&["sync"]);
    unasked.fails_with(1, &texts);
    assert!(!unasked.stderr.contains("14 (error"), "{unasked:#?}");
    let keyed = ["2 (error 547", "14 (error 547", "positive"];
    world.run(&["--show-values", "load"]).fails_with(1, &keyed);
    assert_eq!(world.target_rows(N).await, before);
    assert!(listed(&world).is_empty());
    let status = world.run(&["--json", "status"]).json();
    assert_eq!(status["tables"][0]["target"]["sequence_number"], json!(1));
    world
        .source("UPDATE dbo.t SET n = 6 WHERE id IN (2, 14)")
        .await;
    aside(world.run(&["--json", "sync"]));
    assert_eq!(listed(&world), keys(&[("5", 547), ("9", 547)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quarantine_a_refused_row_stops_the_load() {
    let mut world = world("mode: upsert").await;
    let before = world.target_rows(N).await;
    world
        .source("UPDATE dbo.t SET n = 5; UPDATE dbo.t SET n = -1 WHERE id = 2")
        .await;
    world.run(&["sync"]).fails_with(
        1,
        &[
            "dbo.t",
            "error 547",
            "positive",
            "or set `merge: { on_bad_row: quarantine }`",
        ],
    );
    assert_eq!(world.target_rows(N).await, before);
    // It takes an upsert.
    world.config(&config("mode: replace"));
    let run = world.run(&["sync"]);
    run.fails_with(1, &["dbo.t", "error 547", "positive"]);
    assert!(!run.stderr.contains("on_bad_row"), "{run:#?}");
    assert_eq!(world.target_rows(N).await, before);
    let table = "SELECT OBJECT_ID(N'[icesync].[quarantine]')";
    assert_eq!(world.target_rows(table).await, [["NULL"]]);
    let listing = world.run(&["quarantine", "list"]);
    assert!(
        listing.stdout.contains("nothing in quarantine"),
        "{listing:#?}"
    );
}

/// A trigger of the target that refuses rows with the note `bad`.
fn refuses(with: &str) -> String {
    format!(
        "CREATE TRIGGER dbo.refuses ON dbo.t AFTER INSERT, UPDATE AS
BEGIN
    SET NOCOUNT ON;
    IF EXISTS (SELECT 1 FROM inserted WHERE note = N'bad') {with};
END"
    )
}

const STATE: &str = "SELECT snapshot_id, sequence_number, run_id, pending_applied, inserted, updated FROM \
    icesync.load_state";
const ALL: &str = "SELECT id, n, code, parent, note FROM dbo.t ORDER BY id";

/// RAISERROR alone ends neither a batch nor its transaction, whatever XACT_ABORT is.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_a_trigger_leaves_nothing_of_the_load() {
    let raises = "RAISERROR(N'a bad row', 16, 1)";
    let both = format!("BEGIN {raises}; ROLLBACK TRANSACTION; END");
    for (statement, with, number) in [
        ("merge", raises, "error 50000"),
        ("update_insert", raises, "error 50000"),
        ("merge", both.as_str(), "error 50000"),
        ("update_insert", "ROLLBACK TRANSACTION", "error 3609"),
        ("merge", "THROW 51234, N'a bad row', 1", "error 51234"),
    ] {
        let mut world = world(&format!("on_bad_row: stop, statement: {statement}")).await;
        world.target(&refuses(with)).await;
        let before = (world.target_rows(ALL).await, world.target_rows(STATE).await);
        world
            .source(
                "UPDATE dbo.t SET n = 5; UPDATE dbo.t SET note = N'bad' WHERE id = 2;
                INSERT dbo.t (id, n, code, parent, note) VALUES (21, 1, N'c21', 1, N'ok')",
            )
            .await;
        for command in ["sync", "load"] {
            world.run(&[command]).fails_with(1, &["dbo.t", number]);
            let after = (world.target_rows(ALL).await, world.target_rows(STATE).await);
            assert_eq!(after, before, "{statement}: {with}");
        }
        // What is no error refuses nothing.
        world.target("DROP TRIGGER dbo.refuses").await;
        let notes = refuses("RAISERROR(N'a bad row', 10, 1)");
        world.target(&notes).await;
        let run = world.run(&["--json", "load"]).json();
        let counts = ["inserted", "updated"].map(|name| load(&run)[name].clone());
        assert_eq!(counts, [json!(1), json!(20)], "{run:#}");
        assert_eq!(world.source_rows(ALL).await, world.target_rows(ALL).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_a_trigger_leaves_nothing_of_its_step() {
    for statement in ["merge", "update_insert"] {
        let merge = format!("on_bad_row: stop, batch_rows: 5, statement: {statement}");
        let mut world = world(&merge).await;
        let refuses = refuses("RAISERROR(N'a bad row', 16, 1)");
        world.target(&refuses).await;
        world
            .source("UPDATE dbo.t SET n = 5; UPDATE dbo.t SET note = N'bad' WHERE id = 8")
            .await;
        world
            .run(&["sync"])
            .fails_with(1, &["dbo.t", "error 50000"]);
        let new = "SELECT id FROM dbo.t WHERE n = 5 ORDER BY id";
        let first = [1, 2, 3, 4, 5].map(|id| format!("Int({id})"));
        assert_eq!(world.target_rows(new).await.concat(), first, "{statement}");
        let applied = "SELECT pending_applied, updated FROM icesync.load_state";
        let applied = world.target_rows(applied).await;
        assert_eq!(applied, [["Int(5)", "Int(5)"]], "{statement}");
        world.target("DROP TRIGGER dbo.refuses").await;
        world.run(&["--json", "load"]).json();
        assert_eq!(world.source_rows(ALL).await, world.target_rows(ALL).await);
    }
}

/// Errors that are not a row's stop the load as they always do.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_broken_for_every_row_stops_the_load() {
    let mut world = world(SETS_ASIDE).await;
    world
        .target("CREATE TRIGGER dbo.broken ON dbo.t AFTER UPDATE AS INSERT dbo.missing (id) SELECT id FROM inserted")
        .await;
    world.source("UPDATE dbo.t SET n = 5").await;
    world
        .run(&["sync"])
        .fails_with(1, &["dbo.t", "208", "missing"]);
    assert!(listed(&world).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_quarantine_are_one_commit() {
    let mut world = world(SETS_ASIDE).await;
    let before = world.target_rows(N).await;
    world
        .source("UPDATE dbo.t SET n = 5; UPDATE dbo.t SET n = -1 WHERE id = 2")
        .await;
    dies(&world, &["sync"], FAIL_QUARANTINED);
    assert_eq!(world.target_rows(N).await, before);
    assert!(listed(&world).is_empty());
    dies(&world, &["load"], FAIL_AFTER_APPLY);
    assert_eq!(listed(&world), keys(&[("2", 547)]));
    let counts = "SELECT COUNT(*) FROM dbo.t WHERE n = 5";
    assert_eq!(world.target_rows(counts).await, [["Int(19)"]]);
    let next = aside(world.run(&["--json", "sync"]));
    assert_eq!(load(&next)["kind"], json!("nothing"), "{next:#}");
    assert_eq!(load(&next)["in_quarantine"], json!(1), "{next:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_loads_what_the_target_accepts_by_then() {
    let mut world = world(SETS_ASIDE).await;
    let nothing = world.run(&["--json", "quarantine", "retry"]).json();
    assert_eq!(nothing["outcome"], json!("unchanged"), "{nothing:#}");
    world
        .source("UPDATE dbo.t SET parent = 9 WHERE id = 2; UPDATE dbo.t SET n = -1 WHERE id = 3")
        .await;
    aside(world.run(&["--json", "sync"]));
    let still = aside(world.run(&["--json", "quarantine", "retry"]));
    assert_eq!(still["command"], json!("retry"));
    assert_eq!(load(&still)["quarantined"], json!(2), "{still:#}");
    assert_eq!(listed(&world), keys(&[("2", 547), ("3", 547)]));
    world.target("INSERT dbo.parents VALUES (9)").await;
    let one = aside(world.run(&["--json", "quarantine", "retry", "--table", "dbo.t"]));
    assert_eq!(load(&one)["updated"], json!(1), "{one:#}");
    assert_eq!(listed(&world), keys(&[("3", 547)]));
    let status = world.run(&["--json", "status"]).json();
    let target = &status["tables"][0]["target"];
    assert_eq!(target["sequence_number"], json!(2), "{status:#}");
    assert_eq!(target["snapshots_behind"], json!(0), "{status:#}");
    // A load of the whole snapshot tries all rows as well.
    world
        .target("ALTER TABLE dbo.t DROP CONSTRAINT positive")
        .await;
    world.run(&["--json", "load", "--full"]).json();
    assert!(listed(&world).is_empty());
    assert_eq!(world.source_rows(N).await, world.target_rows(N).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_delete_is_set_aside_and_retried() {
    let mut world = world(SETS_ASIDE).await;
    world
        .target("CREATE TABLE dbo.uses (id int NOT NULL REFERENCES dbo.t (id)); INSERT dbo.uses VALUES (2)")
        .await;
    world
        .source("DELETE dbo.t WHERE id IN (2, 5); UPDATE dbo.t SET n = 6 WHERE id = 7")
        .await;
    let run = aside(world.run(&["--json", "sync"]));
    assert_eq!(load(&run)["deleted"], json!(1), "{run:#}");
    let listing = world.run(&["--json", "quarantine", "list"]).json();
    let row = &listing["tables"][0]["rows"][0];
    assert_eq!(
        (&row["key"], &row["operation"]),
        (&json!("2"), &json!("delete"))
    );
    let kept = "SELECT id FROM dbo.t WHERE id IN (2, 5)";
    assert_eq!(world.target_rows(kept).await, [["Int(2)"]]);
    aside(world.run(&["--json", "quarantine", "retry"]));
    assert_eq!(listed(&world), keys(&[("2", 547)]));
    world.target("DELETE dbo.uses").await;
    let done = world.run(&["--json", "quarantine", "retry"]).json();
    assert_eq!(load(&done)["deleted"], json!(1), "{done:#}");
    assert_eq!(load(&done)["warnings"], json!([]), "{done:#}");
    assert!(listed(&world).is_empty());
    assert_eq!(world.source_rows(N).await, world.target_rows(N).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_in_quarantine_are_shown_and_discarded() {
    let mut world = world(SETS_ASIDE).await;
    world
        .source("UPDATE dbo.t SET n = -1, code = N'say \"hi\", or' WHERE id IN (3, 4)")
        .await;
    world
        .source("UPDATE dbo.t SET code = NULL WHERE id = 4")
        .await;
    aside(world.run(&["--json", "sync"]));
    let list = world.run(&["quarantine", "list", "--table", "dbo.t"]);
    for part in [
        "dbo.t: 2 rows in quarantine",
        "\n  3  (snapshot 2",
        "error 547",
        "positive",
    ] {
        assert!(list.stdout.contains(part), "{list:#?}");
    }
    let show = world.run(&["quarantine", "show", "--table", "dbo.t", "--key", "3"]);
    for part in ["n: -1", "code: say \"hi\", or", "parent: 1", "note: ok"] {
        assert!(show.stdout.contains(part), "{show:#?}");
    }
    let show = world.run(&[
        "--json",
        "quarantine",
        "show",
        "--table",
        "dbo.t",
        "--key",
        "4",
    ]);
    let values = json!({ "id": "4", "n": "-1", "code": null, "parent": "1", "note": "ok" });
    assert_eq!(show.json()["tables"][0]["rows"][0]["values"], values);
    world
        .run(&["quarantine", "show", "--table", "dbo.t", "--key", "9"])
        .fails_with(1, &["no row with the key 9", "quarantine list"]);
    // Without --yes nothing happens.
    let asked = world.run(&["quarantine", "discard", "--table", "dbo.t", "--all"]);
    asked.fails_with(2, &["2 rows would be removed", "add --yes"]);
    assert_eq!(listed(&world).len(), 2);
    let one = [
        "quarantine",
        "discard",
        "--table",
        "dbo.t",
        "--key",
        "3",
        "--yes",
    ];
    let one = world.run(&one);
    assert_eq!(one.code, 0, "{one:#?}");
    assert!(one.stdout.contains("1 row removed"), "{one:#?}");
    assert_eq!(listed(&world), keys(&[("4", 547)]));
    let all = [
        "quarantine",
        "discard",
        "--table",
        "dbo.t",
        "--all",
        "--yes",
    ];
    assert_eq!(world.run(&all).code, 0);
    // The target keeps its old rows, and nothing is left to say.
    let kept = world
        .target_rows("SELECT n FROM dbo.t WHERE id IN (3, 4)")
        .await;
    assert_eq!(kept, [["Int(1)"], ["Int(1)"]]);
    world.run(&["--json", "sync"]).json();
    world
        .run(&["quarantine", "discard", "--table", "dbo.t"])
        .fails_with(2, &["--key"]);
}

/// Keys of several columns, of types whose text is not the usual one.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_known_again_by_their_text() {
    let columns = "region nvarchar(20) COLLATE Latin1_General_CI_AS NOT NULL, at datetime2(7) NOT NULL, \
        amount money NOT NULL, ratio decimal(9,3) NOT NULL, code varbinary(8) NOT NULL";
    let key = "PRIMARY KEY (region, at, amount, ratio, code)";
    let mut world = World::new(&format!(
        "CREATE TABLE dbo.t ({columns}, n int NOT NULL, {key})
GO
INSERT dbo.t VALUES (N'a, b', '2024-05-01 10:00:00.1234567', 12.3456, 0.1, 0x00FF, 1),
    (N'plain', '2024-05-01 10:00:00', -1, 2.5, 0x, 1)"
    ))
    .await;
    world
        .target(&format!(
            "CREATE TABLE dbo.t ({columns}, n int NOT NULL CONSTRAINT positive CHECK (n > 0), {key})"
        ))
        .await;
    world.config(&config(SETS_ASIDE));
    world.run(&["--json", "sync"]).json();
    world.source("UPDATE dbo.t SET n = -1").await;
    aside(world.run(&["--json", "sync"]));
    let listed_keys: Vec<String> = listed(&world).into_iter().map(|(key, _)| key).collect();
    let first = &listed_keys[0];
    assert!(
        first.starts_with("\"a, b\", 2024-05-01 10:00:00.1234567, 12.3456, ")
            && first.ends_with(", 0x00FF"),
        "{listed_keys:?}"
    );
    let show = world.run(&["quarantine", "show", "--table", "dbo.t", "--key", first]);
    assert!(show.stdout.contains("region: a, b"), "{show:#?}");
    // One comes back good, under another spelling of its key; the other is deleted.
    world
        .source("UPDATE dbo.t SET n = 5, region = N'A, B' WHERE region = N'a, b'; DELETE dbo.t WHERE region = N'plain'")
        .await;
    world.run(&["--json", "sync"]).json();
    assert!(listed(&world).is_empty());
    let rows = "SELECT region, n FROM dbo.t";
    assert_eq!(world.source_rows(rows).await, world.target_rows(rows).await);
}

/// The target has the row of a refused key under the spelling that it had before.
#[tokio::test(flavor = "multi_thread")]
async fn a_delete_takes_the_row_of_a_refused_key_in_its_older_spelling() {
    for (merge, full) in [
        ("statement: merge", false),
        ("statement: update_insert", false),
        ("statement: merge", true),
        ("deletes: { soft: { column: gone } }", false),
    ] {
        let columns =
            "code nvarchar(20) COLLATE Latin1_General_CI_AS NOT NULL PRIMARY KEY, n int NOT NULL";
        let mut world = World::new(&format!(
            "CREATE TABLE dbo.t ({columns})\nGO\nINSERT dbo.t VALUES (N'k1', 1), (N'k2', 1)"
        ))
        .await;
        let gone = match merge.contains("soft") {
            true => ", gone bit NOT NULL DEFAULT 0",
            false => "",
        };
        world
            .target(&format!(
                "CREATE TABLE dbo.t ({columns} CONSTRAINT positive CHECK (n > 0){gone})"
            ))
            .await;
        world.config(&config(&format!("{SETS_ASIDE}, {merge}")));
        world.run(&["--json", "sync"]).json();
        world
            .source("UPDATE dbo.t SET code = N'K1', n = -1 WHERE code = N'k1'")
            .await;
        aside(world.run(&["--json", "sync"]));
        assert_eq!(listed(&world), keys(&[("K1", 547)]), "{merge}");
        let spelled = "SELECT code FROM dbo.t WHERE code = N'k1'";
        assert_eq!(world.target_rows(spelled).await.len(), 1, "{merge}");
        world
            .source("DELETE dbo.t WHERE code = N'K1'; UPDATE dbo.t SET n = 2 WHERE code = N'k2'")
            .await;
        let run = if full {
            world.run(&["--json", "extract"]).json();
            world.run(&["--json", "load", "--full"]).json()
        } else {
            world.run(&["--json", "sync"]).json()
        };
        assert_eq!(load(&run)["deleted"], json!(1), "{merge}: {run:#}");
        assert_eq!(load(&run)["warnings"], json!([]), "{merge}: {run:#}");
        assert!(listed(&world).is_empty(), "{merge}");
        let live = match gone {
            "" => "SELECT COUNT(*) FROM dbo.t",
            _ => "SELECT COUNT(*) FROM dbo.t WHERE gone = 0",
        };
        assert_eq!(world.target_rows(live).await, [["Int(1)"]], "{merge}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quarantine_is_kept_right_when_rows_may_not_be_set_aside_any_more() {
    let mut world = world(SETS_ASIDE).await;
    world
        .source("UPDATE dbo.t SET n = -1 WHERE id IN (3, 4)")
        .await;
    aside(world.run(&["--json", "sync"]));
    world.config(&config("on_bad_row: stop"));
    world.source("UPDATE dbo.t SET n = 9 WHERE id = 3").await;
    aside(world.run(&["--json", "sync"]));
    assert_eq!(listed(&world), keys(&[("4", 547)]));
    world.source("UPDATE dbo.t SET n = -9 WHERE id = 5").await;
    world
        .run(&["sync"])
        .fails_with(1, &["error 547", "positive"]);
    assert_eq!(listed(&world), keys(&[("4", 547)]));
    world
        .source("UPDATE dbo.t SET n = 9 WHERE id IN (4, 5)")
        .await;
    world.run(&["--json", "sync"]).json();
    assert!(listed(&world).is_empty());
    assert_eq!(world.source_rows(N).await, world.target_rows(N).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quarantine_of_a_dropped_target_is_emptied() {
    let mut world = world(SETS_ASIDE).await;
    world.source("UPDATE dbo.t SET n = -1 WHERE id = 3").await;
    aside(world.run(&["--json", "sync"]));
    world.target("DROP TABLE dbo.t").await;
    let run = world.run(&["--json", "sync"]).json();
    assert_eq!(load(&run)["kind"], json!("first"), "{run:#}");
    assert!(listed(&world).is_empty());
    assert_eq!(world.source_rows(N).await, world.target_rows(N).await);
}

/// It says something of the target until there is a new one.
#[tokio::test(flavor = "multi_thread")]
async fn the_quarantine_outlives_a_death_before_the_new_target() {
    let mut world = world(SETS_ASIDE).await;
    world.source("UPDATE dbo.t SET n = -1 WHERE id = 3").await;
    aside(world.run(&["--json", "sync"]));
    let before = listed(&world);
    world.target("DROP TABLE dbo.t").await;
    let mut dying = world.command(&["load"]);
    let died = dying
        .env("ICESYNC_FAILPOINT", FAIL_AFTER_FILL_KEY)
        .spawn()
        .expect("icesync starts");
    assert_eq!(finish(died).code, -1);
    assert_eq!(listed(&world), before);
    world.run(&["--json", "load"]).json();
    assert!(listed(&world).is_empty());
    assert_eq!(world.source_rows(N).await, world.target_rows(N).await);
}

/// Another writer puts a character into the lake that the column's code page lacks.
#[tokio::test(flavor = "multi_thread")]
async fn a_character_that_the_target_cannot_keep_sets_its_row_aside() {
    let mut world = World::new(
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, v varchar(20) COLLATE Latin1_General_CI_AS NULL)
GO
INSERT dbo.t VALUES (1, 'one'), (2, 'two'), (3, 'three')",
    )
    .await;
    world.config(&config(SETS_ASIDE));
    world.run(&["--json", "sync"]).json();
    let warehouse = Warehouse::open(world.warehouse().to_str().expect("text")).await;
    let warehouse = warehouse.expect("a warehouse");
    let name = "dbo.t".parse().expect("a name");
    let table = warehouse.table(&name).await.expect("readable");
    let mut table = table.expect("a table");
    let ids: ArrayRef = Arc::new(Int32Array::from(vec![2, 3]));
    let values: ArrayRef = Arc::new(StringArray::from(vec!["\u{8c93}", "drei"]));
    let schema = mapping::arrow_schema(&table.batch_schema());
    let batch = RecordBatch::try_new(schema, vec![ids, values]).expect("a batch");
    let run_id = RunId::generate();
    let base = table.checkpoint().expect("readable");
    let mut writer = table
        .writer(WriteOptions::new(WriteMode::Upsert, run_id))
        .await
        .expect("a writer");
    writer.write(batch).await.expect("written");
    let prepared = writer.finish().await.expect("finished");
    let intent = CommitIntent {
        run_id,
        base_checkpoint: base.map(|checkpoint| checkpoint.run_id),
        checkpoint: Checkpoint::reached(run_id, Strategy::Full, None),
        summary: BTreeMap::new(),
        loading: None,
        foreign_rows: false,
    };
    table.commit(prepared, intent).await.expect("committed");
    let run = aside(world.run(&["--json", "load"]));
    assert_eq!(load(&run)["updated"], json!(1), "{run:#}");
    assert_eq!(listed(&world), keys(&[("2", 51_006)]));
    let rows = world.target_rows("SELECT v FROM dbo.t ORDER BY id").await;
    assert_eq!(
        rows,
        [["Text(\"one\")"], ["Text(\"two\")"], ["Text(\"drei\")"]]
    );
    let show = world.run(&["quarantine", "show", "--table", "dbo.t", "--key", "2"]);
    assert!(show.stdout.contains("v: \u{8c93}"), "{show:#?}");
    assert!(show.stdout.contains("column v (varchar(20))"), "{show:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_shows_the_statements_of_a_load_that_sets_rows_aside() {
    let world = world(SETS_ASIDE).await;
    let plan = world.run(&["--json", "plan"]).json();
    let statements = plan["tables"][0]["load"]["statements"].to_string();
    for part in [
        "SAVE TRANSACTION icesync_part",
        "BEGIN CATCH",
        "COMMIT TRANSACTION",
    ] {
        assert!(statements.contains(part), "{statements}");
    }
    world.config(&config("mode: replace, on_bad_row: quarantine"));
    let texts = ["tables[0].merge.on_bad_row", "mode: upsert"];
    world.run(&["plan"]).fails_with(2, &texts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_waits_until_the_quarantine_is_empty() {
    let mut world = world(SETS_ASIDE).await;
    world.source("UPDATE dbo.t SET n = -1 WHERE id = 3").await;
    aside(world.run(&["--json", "sync"]));
    world.source("DELETE dbo.t").await;
    world.config(&config("mode: replace, statement: update_insert"));
    let texts = ["1 row in quarantine", "quarantine discard --table dbo.t"];
    world.run(&["sync"]).fails_with(1, &texts);
    let rows = "SELECT COUNT(*) FROM dbo.t";
    assert_eq!(world.target_rows(rows).await, [["Int(20)"]]);
    let discard = [
        "quarantine",
        "discard",
        "--table",
        "dbo.t",
        "--all",
        "--yes",
    ];
    assert_eq!(world.run(&discard).code, 0);
    world.run(&["--json", "load"]).json();
    assert_eq!(world.target_rows(rows).await, [["Int(0)"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_marked_beside_those_that_are_set_aside() {
    for statement in ["merge", "update_insert"] {
        let mut world = World::new(ITEMS).await;
        world.target(CONSTRAINED).await;
        world
            .target("ALTER TABLE dbo.t ADD gone bit NOT NULL DEFAULT 0")
            .await;
        let soft = "deletes: { soft: { column: gone } }";
        world.config(&config(&format!(
            "{SETS_ASIDE}, {soft}, statement: {statement}"
        )));
        world.run(&["--json", "sync"]).json();
        world
            .source("DELETE dbo.t WHERE id = 2; UPDATE dbo.t SET n = -1 WHERE id = 3")
            .await;
        let run = aside(world.run(&["--json", "sync"]));
        let counts = ["updated", "deleted", "quarantined"].map(|name| load(&run)[name].clone());
        assert_eq!(counts, [json!(0), json!(1), json!(1)], "{run:#}");
        let marked = "SELECT id FROM dbo.t WHERE gone = 1";
        assert_eq!(world.target_rows(marked).await, [["Int(2)"]], "{statement}");
        // A marked row is no row that only the target has.
        let full = aside(world.run(&["--json", "load", "--full"]));
        let warnings = load(&full)["warnings"].to_string();
        assert!(!warnings.contains("does not have"), "{warnings}");
        world
            .source(
                "UPDATE dbo.t SET n = 5 WHERE id = 3;
                INSERT dbo.t (id, n, code, parent, note) VALUES (2, 1, N'c2', 1, N'ok')",
            )
            .await;
        let good = world.run(&["--json", "sync"]).json();
        assert_eq!(load(&good)["in_quarantine"], json!(0), "{good:#}");
        assert!(world.target_rows(marked).await.is_empty(), "{statement}");
    }
}
