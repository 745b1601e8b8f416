//! Which columns are read and which are loaded, under which names, and what becomes of a configuration that changes.

use crate::harness::{World, finish, server, skipped};
use icesync::sync::FAIL_AFTER_EVOLVE;
use icesync_sandbox::session::SqlError;
use icesync_sandbox::tds::Fault;
use serde_json::{Value, json};

const ORDERS: &str = "CREATE TABLE dbo.orders (id int NOT NULL CONSTRAINT pk_orders PRIMARY KEY, qty int NULL, note \
    nvarchar(20) NULL, changed datetime2(3) NOT NULL, rv rowversion NOT NULL)
GO
INSERT dbo.orders (id, qty, note, changed) VALUES (1, 10, N'one', DATEADD(hour, -3, SYSUTCDATETIME())), \
(2, 20, N'two', DATEADD(hour, -2, SYSUTCDATETIME())), (3, 30, NULL, DATEADD(hour, -1, SYSUTCDATETIME()))";

const ROWVERSION: &str = "    change: { strategy: rowversion }\n";
const VALUES: &str = "SELECT id, qty, note FROM dbo.orders ORDER BY id";

/// Configures dbo.orders with these lines, four spaces in.
fn configure(world: &World, lines: &str) {
    world.config(&format!("  - source: dbo.orders\n{lines}"));
}

async fn orders(lines: &str) -> World {
    let world = World::new(ORDERS).await;
    configure(&world, lines);
    world.run(&["--json", "sync"]).json();
    world
}

/// Columns and kinds of the changes that a step reports.
fn changes(run: &Value, step: &str) -> Vec<(String, String)> {
    let text = |change: &Value, name: &str| change[name].as_str().unwrap_or_default().to_owned();
    let changes = run["tables"][0][step]["schema_changes"].as_array();
    let changes = changes.unwrap_or_else(|| panic!("no {step}: {run:#}"));
    changes
        .iter()
        .map(|change| (text(change, "column"), text(change, "change")))
        .collect()
}

fn kinds(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(column, kind): &(&str, &str)| ((*column).to_owned(), (*kind).to_owned());
    expected.iter().map(owned).collect()
}

fn extract<'a>(run: &'a Value, name: &str) -> &'a Value {
    &run["tables"][0]["extract"][name]
}

fn load<'a>(run: &'a Value, name: &str) -> &'a Value {
    &run["tables"][0]["load"][name]
}

/// The names of the lake table's fields.
fn lake_names(world: &World, table: &str) -> Vec<String> {
    let folder = world.lake("dbo", table).join("metadata");
    let version = std::fs::read_to_string(folder.join("version-hint.text")).expect("a hint");
    let text = std::fs::read_to_string(folder.join(format!("v{version}.metadata.json")));
    let metadata: Value = serde_json::from_str(&text.expect("metadata")).expect("JSON");
    let schemas = metadata["schemas"].as_array().expect("schemas");
    let current = |schema: &&Value| schema["schema-id"] == metadata["current-schema-id"];
    let schema = schemas.iter().find(current).expect("the current schema");
    let fields = schema["fields"].as_array().expect("fields").iter();
    fields
        .map(|field| field["name"].as_str().expect("a name").to_owned())
        .collect()
}

/// The names of a target's columns.
async fn target_names(world: &mut World, table: &str) -> Vec<String> {
    let query = format!(
        "SELECT name FROM sys.columns WHERE object_id = OBJECT_ID(N'dbo.{table}') ORDER BY column_id"
    );
    let rows = world.target_rows(&query).await;
    let name = |row: Vec<String>| {
        let name = row[0].strip_prefix("Text(\"").expect("text");
        name.strip_suffix("\")").expect("text").to_owned()
    };
    rows.into_iter().map(name).collect()
}

async fn equal(world: &mut World, source: &str, target: &str) {
    assert_eq!(
        world.source_rows(source).await,
        world.target_rows(target).await,
        "{source}"
    );
}

/// A column that the lake could not have is left out: it is in no statement, neither in the lake nor in the target.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_left_out_is_not_asked_for() {
    let setup = "CREATE TABLE dbo.people (id int NOT NULL PRIMARY KEY, name nvarchar(20) NULL, at datetime2(7) NULL, \
        at__100ns int NULL, never_read_4711 nvarchar(20) NULL, rv rowversion NOT NULL)
GO
INSERT dbo.people (id, name, at, never_read_4711) VALUES (1, N'one', '2024-01-01 00:00:00.0000001', N'secret')";
    let mut world = World::new(setup).await;
    world.config("  - source: dbo.people\n");
    let remedy = "columns: { exclude: [at__100ns] }";
    world
        .run(&["extract"])
        .fails_with(1, &["dbo.people", "at__100ns", remedy]);
    world
        .config("  - source: dbo.people\n    columns: { exclude: [At__100ns, NEVER_READ_4711] }\n");
    let refusal = SqlError {
        number: 50_000,
        state: 1,
        class: 16,
        line: 1,
        message: "the column was asked for".to_owned(),
    };
    if let Some(faults) = server().faults() {
        faults.arm(Fault::Error(refusal), "never_read_4711", 1000);
    } else {
        skipped("that no statement names an excluded column");
    }
    let plan = world.run(&["--json", "plan"]).json();
    let plan = &plan["tables"][0];
    assert_eq!(
        plan["columns"]["excluded"],
        json!(["at__100ns", "never_read_4711"])
    );
    let statements = format!("{}{}", plan["statements"], plan["load"]["statements"]);
    assert!(!statements.contains("never_read_4711"), "{statements}");
    world.run(&["--json", "sync"]).json();
    let expected = ["id", "name", "at", "at__100ns", "rv"];
    assert_eq!(
        lake_names(&world, "people"),
        expected,
        "the companion is not the column"
    );
    let expected = ["id", "name", "at", "rv"];
    assert_eq!(target_names(&mut world, "people").await, expected);
    world
        .source("UPDATE dbo.people SET name = N'eins' WHERE id = 1")
        .await;
    let run = world.run(&["--json", "sync"]).json();
    assert_eq!(extract(&run, "rows_read"), &json!(1), "{run:#}");
    let query = "SELECT id, name, CONVERT(nvarchar(30), at, 121) FROM dbo.people";
    equal(&mut world, query, query).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_included_gets_all_of_its_values() {
    let timestamp =
        "    change: { strategy: timestamp, column: changed, lag: 0s, overlap: 0s, clock: utc }\n";
    let full = "    change: { strategy: full }\n";
    for strategy in [ROWVERSION, timestamp, full] {
        for dies in [false, true] {
            let mut world =
                orders(&format!("{strategy}    columns: {{ exclude: [note] }}\n")).await;
            assert_eq!(
                target_names(&mut world, "orders").await,
                ["id", "qty", "changed", "rv"]
            );
            configure(&world, strategy);
            let plan = world.run(&["--json", "plan"]).json();
            let plan = &plan["tables"][0];
            assert_eq!(plan["full_read"], json!(true), "{plan:#}");
            assert_eq!(plan["schema_changes"][0]["change"], json!("included"));
            if dies {
                // The lake has the column, and no value of it yet.
                let mut dying = world.command(&["sync"]);
                let died = dying.env("ICESYNC_FAILPOINT", FAIL_AFTER_EVOLVE).spawn();
                assert_ne!(finish(died.expect("starts")).code, 0);
            }
            let run = world.run(&["--json", "sync"]).json();
            assert_eq!(extract(&run, "full_read"), &json!(true), "{run:#}");
            assert_eq!(extract(&run, "updated"), &json!(2), "{run:#}");
            if !dies {
                assert_eq!(changes(&run, "extract"), kinds(&[("note", "included")]));
            }
            assert_eq!(changes(&run, "load"), kinds(&[("note", "added")]));
            equal(&mut world, VALUES, VALUES).await;
            let again = world.run(&["--json", "sync"]).json();
            let whole = json!(strategy == full);
            assert_eq!(extract(&again, "full_read"), &whole, "{again:#}");
            assert_eq!(extract(&again, "snapshot_id"), &Value::Null, "{again:#}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_left_out_later_stays_and_comes_back_as_another() {
    // What the configuration changes, the policy for changes of the source does not refuse.
    let policy = format!("{ROWVERSION}    schema: {{ on_change: refuse }}\n");
    let mut world = orders(&policy).await;
    configure(
        &world,
        &format!("{policy}    columns: {{ exclude: [note] }}\n"),
    );
    world
        .source("UPDATE dbo.orders SET qty = 21 WHERE id = 2")
        .await;
    let run = world.run(&["--json", "sync"]).json();
    assert_eq!(changes(&run, "extract"), kinds(&[("note", "excluded")]));
    assert_eq!(extract(&run, "full_read"), &json!(false), "{run:#}");
    assert_eq!(changes(&run, "load"), []);
    let kept = [
        ["Int(1)", "Int(10)", "Text(\"one\")"],
        ["Int(2)", "Int(21)", "NULL"],
        ["Int(3)", "Int(30)", "NULL"],
    ];
    assert_eq!(world.target_rows(VALUES).await, kept);

    // A rename at the source is not allowed to bring it back.
    world
        .source("EXEC sp_rename N'dbo.orders.note', N'remark', N'COLUMN'")
        .await;
    let unknown = [
        "`columns.exclude` names note",
        "id, qty, remark, changed, rv",
    ];
    world.run(&["sync"]).fails_with(1, &unknown);
    configure(&world, &policy);
    let renamed = ["column remark was left out as note", "exclude: [remark]"];
    world.run(&["sync"]).fails_with(1, &renamed);
    world
        .source("EXEC sp_rename N'dbo.orders.remark', N'note', N'COLUMN'")
        .await;

    let run = world.run(&["--json", "sync"]).json();
    assert_eq!(changes(&run, "extract"), kinds(&[("note", "included")]));
    assert_eq!(extract(&run, "full_read"), &json!(true), "{run:#}");
    let expected = kinds(&[("note__dropped_1", "renamed"), ("note", "added")]);
    assert_eq!(changes(&run, "load"), expected);
    equal(&mut world, VALUES, VALUES).await;
}

/// A default fills rows of the source without changing them, so no window shows the column's values.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_the_source_adds_while_others_are_listed_is_complete_once_it_is_listed() {
    let listed = |names: &str| format!("{ROWVERSION}    columns: {{ include: [{names}] }}\n");
    let mut world = orders(&listed("id, qty, RV")).await;
    world
        .source("ALTER TABLE dbo.orders ADD extra int NOT NULL DEFAULT 7")
        .await;
    let run = world.run(&["--json", "sync"]).json();
    assert_eq!(changes(&run, "extract"), []);
    assert_eq!(
        target_names(&mut world, "orders").await,
        ["id", "qty", "rv"]
    );
    configure(&world, &listed("id, qty, rv, extra"));
    let run = world.run(&["--json", "sync"]).json();
    assert_eq!(changes(&run, "extract"), kinds(&[("extra", "included")]));
    let query = "SELECT id, qty, extra FROM dbo.orders ORDER BY id";
    equal(&mut world, query, query).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_are_renamed_on_both_ways_the_key_and_the_followed_one_too() {
    let renamed = |lake: &str, target: &str| {
        let target = format!("    merge: {{ columns: {{ rename: {{ {target} }} }} }}\n");
        format!("{ROWVERSION}    columns: {{ rename: {{ {lake} }} }}\n{target}")
    };
    let to_target = "order_id: order_no, quantity: amount";
    let mut world = orders(&renamed(
        "id: order_id, QTY: quantity, rv: version",
        to_target,
    ))
    .await;
    let in_lake = ["order_id", "quantity", "note", "changed", "version"];
    assert_eq!(lake_names(&world, "orders"), in_lake);
    let in_target = ["order_no", "amount", "note", "changed", "version"];
    assert_eq!(target_names(&mut world, "orders").await, in_target);
    let target = "SELECT order_no, amount, note FROM dbo.orders ORDER BY order_no";
    equal(&mut world, VALUES, target).await;
    world
        .source("UPDATE dbo.orders SET qty = 21 WHERE id = 2; INSERT dbo.orders (id, changed) VALUES (4, '2024-01-01')")
        .await;
    let run = world.run(&["--json", "sync"]).json();
    assert_eq!(extract(&run, "full_read"), &json!(false), "{run:#}");
    assert_eq!(extract(&run, "rows_read"), &json!(2), "{run:#}");
    assert_eq!(
        (load(&run, "inserted"), load(&run, "updated")),
        (&json!(1), &json!(1))
    );
    equal(&mut world, VALUES, target).await;

    // The source's own rename, which the configuration has to follow; then both names are the same as before.
    world
        .source("EXEC sp_rename N'dbo.orders.qty', N'pieces', N'COLUMN'")
        .await;
    let unknown = ["`columns.rename` names QTY", "listed under its new name"];
    world.run(&["sync"]).fails_with(1, &unknown);
    configure(
        &world,
        &renamed("id: order_id, pieces: quantity, rv: version", to_target),
    );
    world
        .source("UPDATE dbo.orders SET pieces = 22 WHERE id = 2")
        .await;
    let run = world.run(&["--json", "sync"]).json();
    assert_eq!(
        (changes(&run, "extract"), changes(&run, "load")),
        (vec![], vec![])
    );
    assert_eq!(extract(&run, "rows_read"), &json!(1), "{run:#}");
    let source = "SELECT id, pieces, note FROM dbo.orders ORDER BY id";
    equal(&mut world, source, target).await;

    // Other names in the lake: the target keeps those that it is given, and follows the others.
    let to_target = "order_id: order_no, count: amount";
    configure(
        &world,
        &renamed("id: order_id, pieces: count, rv: row_version", to_target),
    );
    world
        .source("UPDATE dbo.orders SET pieces = 23 WHERE id = 2")
        .await;
    let run = world.run(&["--json", "sync"]).json();
    let expected = kinds(&[("count", "renamed"), ("row_version", "renamed")]);
    assert_eq!(changes(&run, "extract"), expected);
    assert_eq!(extract(&run, "full_read"), &json!(false), "{run:#}");
    assert_eq!(extract(&run, "rows_read"), &json!(1), "{run:#}");
    assert_eq!(changes(&run, "load"), kinds(&[("row_version", "renamed")]));
    equal(&mut world, source, target).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_in_the_target_that_changes_is_a_rename_there() {
    let renamed = |rename: &str, more: &str| {
        format!("{ROWVERSION}    merge: {{ {more}columns: {{ rename: {{ {rename} }} }} }}\n")
    };
    let mut world = orders(ROWVERSION).await;
    configure(
        &world,
        &renamed("qty: amount", "on_schema_change: refuse, "),
    );
    let refused = [
        "EXEC sp_rename",
        "N'amount'",
        "merge.on_schema_change: refuse",
    ];
    world.run(&["load"]).fails_with(1, &refused);
    let plan = world.run(&["plan"]);
    plan.fails_with(1, &refused);
    world
        .target("ALTER TABLE dbo.orders ADD amount int NULL")
        .await;
    configure(&world, &renamed("qty: amount", ""));
    let both = ["column qty is called amount now", "columns of both names"];
    world.run(&["load"]).fails_with(1, &both);
    world
        .target("ALTER TABLE dbo.orders DROP COLUMN amount")
        .await;

    // There is no new snapshot, and the target follows the configuration all the same.
    let run = world.run(&["--json", "load"]).json();
    assert_eq!(load(&run, "kind"), &json!("delta"), "{run:#}");
    assert_eq!(load(&run, "rows_staged"), &json!(0), "{run:#}");
    assert_eq!(changes(&run, "load"), kinds(&[("amount", "renamed")]));
    let names = target_names(&mut world, "orders").await;
    assert_eq!(names, ["id", "amount", "note", "changed", "rv"]);
    let run = world.run(&["--json", "load"]).json();
    assert_eq!(load(&run, "kind"), &json!("nothing"), "{run:#}");

    // Another name, while rows change too.
    configure(&world, &renamed("qty: pieces", ""));
    world
        .source("UPDATE dbo.orders SET qty = 21 WHERE id = 2")
        .await;
    let run = world.run(&["--json", "sync"]).json();
    assert_eq!(changes(&run, "load"), kinds(&[("pieces", "renamed")]));
    assert_eq!(load(&run, "updated"), &json!(1), "{run:#}");
    let target = "SELECT id, pieces, note FROM dbo.orders ORDER BY id";
    equal(&mut world, VALUES, target).await;
    let names = target_names(&mut world, "orders").await;
    assert_eq!(names, ["id", "pieces", "note", "changed", "rv"]);

    configure(&world, ROWVERSION);
    let run = world.run(&["--json", "load"]).json();
    assert_eq!(changes(&run, "load"), kinds(&[("qty", "renamed")]));
    equal(&mut world, VALUES, VALUES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_loaded_again_gets_all_of_its_values() {
    for mode in ["upsert", "replace"] {
        let all = format!("{ROWVERSION}    merge: {{ mode: {mode} }}\n");
        let without =
            format!("{ROWVERSION}    merge: {{ mode: {mode}, columns: {{ exclude: [NOTE] }} }}\n");
        let mut world = orders(&without).await;
        assert!(lake_names(&world, "orders").contains(&"note".to_owned()));
        assert_eq!(
            target_names(&mut world, "orders").await,
            ["id", "qty", "changed", "rv"]
        );
        configure(&world, &all);
        let run = world.run(&["--json", "load"]).json();
        let whole = match mode {
            "replace" => json!("replace"),
            _ => json!("whole"),
        };
        assert_eq!(load(&run, "kind"), &whole, "{run:#}");
        assert_eq!(changes(&run, "load"), kinds(&[("note", "added")]));
        equal(&mut world, VALUES, VALUES).await;
        let run = world.run(&["--json", "load"]).json();
        assert_eq!(load(&run, "kind"), &json!("nothing"), "{run:#}");

        // Left out again, the target's column is its own.
        configure(&world, &without);
        world
            .source(
                "UPDATE dbo.orders SET qty = 11, note = N'eins' WHERE id = 1; \
                INSERT dbo.orders (id, note, changed) VALUES (4, N'four', '2024-01-01')",
            )
            .await;
        let run = world.run(&["--json", "sync"]).json();
        assert_eq!(load(&run, "inserted"), &json!(1), "{run:#}");
        let notes = world.target_rows(VALUES).await;
        assert_eq!(notes[0], ["Int(1)", "Int(11)", "Text(\"one\")"]);
        assert_eq!(notes[3], ["Int(4)", "NULL", "NULL"]);
        configure(&world, &all);
        let run = world.run(&["--json", "sync"]).json();
        assert_eq!(load(&run, "kind"), &whole, "{run:#}");
        equal(&mut world, VALUES, VALUES).await;
    }
}

/// The target's column has the values of the field that had its name before.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_column_that_takes_over_a_name_is_loaded_whole() {
    let mut world = orders("    change: { strategy: full }\n").await;
    world
        .source("ALTER TABLE dbo.orders ADD qty_v2 int NULL")
        .await;
    world
        .source("UPDATE dbo.orders SET qty_v2 = 7 WHERE id = 2")
        .await;
    configure(
        &world,
        "    change: { strategy: full }\n    merge:\n      columns: { exclude: [qty], rename: { qty_v2: qty } }\n",
    );
    let run = world.run(&["--json", "sync"]).json();
    assert_eq!(load(&run, "kind"), &json!("whole"), "{run:#}");
    let source = "SELECT id, qty_v2, note FROM dbo.orders ORDER BY id";
    equal(&mut world, source, VALUES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_appended_get_no_more_columns() {
    let without = "    merge: { mode: append, columns: { exclude: [note] } }\n";
    let mut world = orders(&format!("{ROWVERSION}{without}")).await;
    configure(
        &world,
        &format!("{ROWVERSION}    merge: {{ mode: append }}\n"),
    );
    let refused = [
        "column note of lake table dbo.orders",
        "TRUNCATE TABLE",
        "load --full",
    ];
    world.run(&["load"]).fails_with(1, &refused);
    world.run(&["plan"]).fails_with(1, &refused);
    world.target("TRUNCATE TABLE dbo.orders").await;
    world
        .target("ALTER TABLE dbo.orders ADD note nvarchar(20) NULL")
        .await;
    world.run(&["--json", "load", "--full"]).json();
    equal(&mut world, VALUES, VALUES).await;
    let run = world.run(&["--json", "load"]).json();
    assert_eq!(load(&run, "kind"), &json!("nothing"), "{run:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_only_the_target_has_are_left_alone() {
    let mut world = World::new(ORDERS).await;
    configure(
        &world,
        &format!("{ROWVERSION}    columns: {{ rename: {{ qty: quantity }} }}\n"),
    );
    world
        .target("CREATE TABLE dbo.orders (id int NOT NULL PRIMARY KEY, theirs int NOT NULL DEFAULT 5, quantity int \
            NULL, note nvarchar(20) NULL, changed datetime2(3) NOT NULL, rv binary(8) NULL, own int NOT NULL)")
        .await;
    let refused = ["column own is NOT NULL without a default", "allow NULL"];
    world.run(&["sync"]).fails_with(1, &refused);
    world
        .target("ALTER TABLE dbo.orders ALTER COLUMN own int NULL")
        .await;
    world.run(&["--json", "sync"]).json();
    world
        .target("UPDATE dbo.orders SET theirs = 9, own = 9 WHERE id = 2")
        .await;
    world
        .source("UPDATE dbo.orders SET qty = 21 WHERE id = 2; INSERT dbo.orders (id, changed) VALUES (4, '2024-01-01')")
        .await;
    let run = world.run(&["--json", "sync"]).json();
    assert_eq!(changes(&run, "load"), []);
    let theirs = "SELECT theirs, own FROM dbo.orders ORDER BY id";
    let expected = [
        ["Int(5)", "NULL"],
        ["Int(9)", "Int(9)"],
        ["Int(5)", "NULL"],
        ["Int(5)", "NULL"],
    ];
    assert_eq!(world.target_rows(theirs).await, expected);
    let target = "SELECT id, quantity, note FROM dbo.orders ORDER BY id";
    equal(&mut world, VALUES, target).await;

    // One that was loaded and is left out now has no value in new rows.
    let without = "    merge: { columns: { exclude: [changed] } }\n";
    configure(
        &world,
        &format!("{ROWVERSION}    columns: {{ rename: {{ qty: quantity }} }}\n{without}"),
    );
    let refused = [
        "column changed is NOT NULL without a default",
        "no column of the lake table",
    ];
    world.run(&["load"]).fails_with(1, &refused);
    world
        .target("ALTER TABLE dbo.orders ALTER COLUMN changed datetime2(3) NULL")
        .await;
    world.run(&["--json", "load"]).json();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_target_lacks_is_told_by_both_names() {
    let mut world = World::new(ORDERS).await;
    configure(
        &world,
        "    merge: { columns: { rename: { note: remark, qty: amount } } }\n",
    );
    world
        .target("CREATE TABLE dbo.orders (id int NOT NULL PRIMARY KEY, remark nvarchar(5) NULL, changed datetime2(3) \
            NOT NULL, rv binary(8) NULL)")
        .await;
    world.run(&["sync"]).fails_with(
        1,
        &[
            "column amount (qty in the lake) is missing",
            "column remark (note in the lake) is nvarchar(5)",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_left_out_or_renamed_is_refused_by_name() {
    let world = World::new(ORDERS).await;
    let extracts: [(&str, &[&str]); 6] = [
        (
            "    columns: { exclude: [ID] }\n",
            &[
                "column id of dbo.orders",
                "part of the key",
                "columns.exclude",
                "`key: [...]`",
            ],
        ),
        (
            "    columns: { include: [id, qty] }\n",
            &[
                "column rv of dbo.orders",
                "strategy rowversion follows it",
                "columns.include",
            ],
        ),
        (
            "    columns: { exclude: [changed] }\n    change: { strategy: timestamp, column: changed }\n",
            &[
                "column changed of dbo.orders",
                "strategy timestamp follows it",
            ],
        ),
        (
            "    key: [id, note]\n    columns: { exclude: [note] }\n",
            &["column note of dbo.orders", "`key` names it"],
        ),
        (
            "    columns: { exclude: [card] }\n",
            &[
                "dbo.orders",
                "`columns.exclude` names card",
                "id, qty, note, changed, rv",
            ],
        ),
        (
            "    columns: { rename: { note: QTY } }\n",
            &[
                "columns qty and note would both be called QTY",
                "columns.exclude",
            ],
        ),
    ];
    for (lines, said) in extracts {
        configure(&world, lines);
        world.run(&["extract"]).fails_with(1, said);
        world.run(&["plan"]).fails_with(1, said);
        assert!(!world.lake("dbo", "orders").exists(), "{lines}");
    }
    // What is left out leaves the other strategies.
    configure(
        &world,
        "    columns: { include: [id, qty] }\n    change: { strategy: full }\n",
    );
    world.run(&["--json", "extract"]).json();
    let loads: [(&str, &[&str]); 3] = [
        (
            "exclude: [id]",
            &[
                "dbo.orders",
                "`merge.columns` leaves out id",
                "part of the key",
            ],
        ),
        (
            "exclude: [note]",
            &[
                "`merge.columns.exclude` names note",
                "The columns are id, qty",
            ],
        ),
        (
            "rename: { qty: Id }",
            &["columns id and qty would both be called Id"],
        ),
    ];
    for (choice, said) in loads {
        configure(
            &world,
            &format!(
                "    columns: {{ include: [id, qty] }}\n    change: {{ strategy: full }}\n    merge: {{ columns: {{ \
                 {choice} }} }}\n"
            ),
        );
        world.run(&["load"]).fails_with(1, said);
        world.run(&["plan"]).fails_with(1, said);
    }
    configure(&world, "    columns: { include: [id], exclude: [qty] }\n");
    world
        .run(&["plan"])
        .fails_with(2, &["tables[0].columns", "both `include` and `exclude`"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_and_status_show_what_is_left_out_and_renamed() {
    let world = orders(
        "    columns: { exclude: [changed], rename: { qty: quantity } }\n    merge: { columns: { exclude: [note], \
         rename: { quantity: amount } } }\n",
    )
    .await;
    for command in ["plan", "status"] {
        let text = world.run(&[command]).stdout;
        for line in [
            "columns  not in the lake: changed",
            "columns  in the lake: qty as quantity",
            "columns  not in the target: note",
            "columns  in the target: quantity as amount",
        ] {
            assert!(text.contains(line), "{command}: {text}");
        }
    }
    let status = world.run(&["--json", "status"]).json();
    let status = &status["tables"][0];
    assert_eq!(
        status["lake"]["columns"]["renamed"],
        json!({ "qty": "quantity" })
    );
    assert_eq!(status["target"]["columns"]["excluded"], json!(["note"]));
    configure(&world, "");
    let plan = world.run(&["plan"]).stdout;
    assert!(!plan.contains("columns  not in"), "{plan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_gets_versions_with_the_column_or_refuses_it() {
    let history = format!("{ROWVERSION}    kind: history\n");
    let mut world = orders(&format!("{history}    columns: {{ exclude: [note] }}\n")).await;
    configure(&world, &history);
    let run = world.run(&["--json", "sync"]).json();
    assert_eq!(extract(&run, "full_read"), &json!(true), "{run:#}");
    assert_eq!(extract(&run, "inserted"), &json!(2), "{run:#}");
    let versions = "SELECT id, COUNT(*), COUNT(note) FROM dbo.orders GROUP BY id ORDER BY id";
    let expected = [[1, 2, 1], [2, 2, 1], [3, 1, 0]].map(|row| row.map(|n| format!("Int({n})")));
    assert_eq!(world.target_rows(versions).await, expected);

    let setup = "CREATE TABLE dbo.orders (qty int NULL, note nvarchar(20) NULL, changed datetime2(3) NOT NULL)
GO
INSERT dbo.orders VALUES (1, N'one', '2024-01-01'), (1, N'two', '2024-01-01')";
    let mut world = World::new(setup).await;
    let history =
        "    kind: history\n    change: { strategy: timestamp, column: changed, clock: utc }\n";
    configure(
        &world,
        &format!("{history}    columns: {{ exclude: [note] }}\n"),
    );
    world.run(&["--json", "extract"]).json();
    configure(&world, history);
    let refused = [
        "column note was left out of lake table dbo.orders",
        "another `lake:` name",
    ];
    world.run(&["extract"]).fails_with(1, &refused);
    configure(&world, &format!("{history}    lake: dbo.orders2\n"));
    world.run(&["--json", "sync"]).json();
    let query = "SELECT qty, note FROM dbo.orders ORDER BY note";
    equal(&mut world, query, query).await;
}
