//! Columns that change at the source: what the lake and the target become, what is refused, and every place where a
//! run can die.

use crate::harness::{Run, World, finish, readers_agree};
use crate::isolation::Isolation;
use icesync::sync::{FAIL_AFTER_ALTER, FAIL_AFTER_EVOLVE, FAIL_AFTER_RANGE};
use serde_json::{Value, json};
use std::time::Duration;

const ORDERS: &str = "CREATE TABLE dbo.orders (id int NOT NULL CONSTRAINT pk_orders PRIMARY KEY, amount decimal(9,2) \
    NOT NULL, \
note nvarchar(10) NULL, qty int NULL, rv rowversion NOT NULL)
GO
INSERT dbo.orders (id, amount, note, qty) VALUES (1, 1.50, N'one', 10), (2, 2.50, N'two', 20), (3, 3.50, NULL, 30)";

const PLAIN: &str = "  - source: dbo.orders\n";

async fn orders(config: &str) -> World {
    let world = World::new(ORDERS).await;
    world.config(config);
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

/// The lake table's current metadata.
fn metadata(world: &World, table: &str) -> Value {
    let folder = world.lake("dbo", table).join("metadata");
    let version = std::fs::read_to_string(folder.join("version-hint.text")).expect("a hint");
    let text = std::fs::read_to_string(folder.join(format!("v{version}.metadata.json")));
    serde_json::from_str(&text.expect("metadata")).expect("JSON")
}

/// Name and type of each column of a table.
const COLUMNS: &str = "SELECT c.name, t.name, CONVERT(int, c.max_length), CONVERT(int, c.precision), CONVERT(int, \
    c.is_nullable) FROM sys.columns c \
JOIN sys.types t ON t.user_type_id = c.user_type_id WHERE c.object_id = OBJECT_ID(N'dbo.orders') AND c.name <> N'rv' \
ORDER BY c.name";

async fn equal(world: &mut World, query: &str) {
    assert_eq!(
        world.source_rows(query).await,
        world.target_rows(query).await,
        "{query}"
    );
}

const EVERYTHING: &str = "ALTER TABLE dbo.orders ADD extra int NULL;
GO
ALTER TABLE dbo.orders ALTER COLUMN amount decimal(19,2) NOT NULL;
GO
ALTER TABLE dbo.orders ALTER COLUMN note nvarchar(40) NULL;
GO
EXEC sp_rename N'dbo.orders.qty', N'quantity', N'COLUMN';
GO
UPDATE dbo.orders SET amount = 12345678901234567.25, note = N'longer than ten characters', extra = 5 WHERE id = 2;
INSERT dbo.orders (id, amount, quantity) VALUES (4, 4.50, 40)";

async fn batches(world: &mut World, text: &str) {
    for batch in text.split("\nGO\n") {
        world.source(batch).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_are_followed_to_the_lake_and_the_target() {
    let mut world = orders(PLAIN).await;
    let before = (metadata(&world, "orders"), world.target_rows(COLUMNS).await);
    batches(&mut world, EVERYTHING).await;

    // A plan says it and does nothing.
    let plan = world.run(&["--json", "plan"]).json();
    let plan = &plan["tables"][0];
    assert_eq!(
        plan["schema_changes"].as_array().map(Vec::len),
        Some(4),
        "{plan:#}"
    );
    assert_eq!(
        plan["load"]["schema_changes"].as_array().map(Vec::len),
        Some(4)
    );
    let statements = plan["load"]["statements"].to_string();
    for part in [
        "EXEC sp_rename @objname = N'[dbo].[orders].[qty]', @newname = N'quantity'",
        "ADD [extra] int NULL;",
        "ALTER COLUMN [amount] decimal(19,2) NOT NULL;",
        "ALTER COLUMN [note] nvarchar(40)",
    ] {
        assert!(statements.contains(part), "{statements}");
    }
    let text = world.run(&["plan"]).stdout;
    assert!(text.contains("schema   column quantity: was qty"), "{text}");
    assert_eq!(
        before,
        (metadata(&world, "orders"), world.target_rows(COLUMNS).await)
    );

    let run = world.run(&["--json", "sync"]).json();
    let expected = [
        ("amount", "widened"),
        ("note", "widened"),
        ("quantity", "renamed"),
        ("extra", "added"),
    ];
    assert_eq!(changes(&run, "extract"), kinds(&expected), "{run:#}");
    let mut loaded = changes(&run, "load");
    loaded.sort();
    let mut expected = kinds(&expected);
    expected.sort();
    assert_eq!(loaded, expected, "{run:#}");
    // Only what changed was read.
    assert_eq!(extract(&run, "full_read"), &json!(false));
    assert_eq!(extract(&run, "rows_read"), &json!(2));
    equal(
        &mut world,
        "SELECT id, amount, note, quantity, extra FROM dbo.orders ORDER BY id",
    )
    .await;
    equal(&mut world, COLUMNS).await;
    let rows = [
        (1, "1.50", json!("one"), 10),
        (
            2,
            "12345678901234567.25",
            json!("longer than ten characters"),
            20,
        ),
        (3, "3.50", Value::Null, 30),
        (4, "4.50", Value::Null, 40),
    ];
    let rv = world
        .source_rows(
            "SELECT CONVERT(nvarchar(20), CONVERT(binary(8), rv), 2) FROM dbo.orders ORDER BY id",
        )
        .await;
    let rows: Vec<Value> = rows
        .into_iter()
        .zip(rv)
        .map(|((id, amount, note, quantity), rv)| {
            let rv = rv[0].trim_matches(|c: char| !c.is_ascii_digit() && !('A'..='F').contains(&c));
            let extra = if id == 2 { json!(5) } else { Value::Null };
            json!({
        "id": id, "amount": amount, "note": note, "quantity": quantity, "rv": rv.to_lowercase(),
        "extra": extra,
    })
        })
        .collect();
    readers_agree(&world.lake("dbo", "orders"), "id", &rows);

    // And no more from then on.
    let again = world.run(&["--json", "sync"]).json();
    assert_eq!(changes(&again, "extract"), []);
    assert_eq!(extract(&again, "snapshot_id"), &Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_without_rows_reach_the_target_with_the_next_row() {
    let mut world = orders(PLAIN).await;
    let before = world.target_rows(COLUMNS).await;
    world
        .source("ALTER TABLE dbo.orders ADD extra int NOT NULL DEFAULT 7")
        .await;
    let run = world.run(&["--json", "sync"]).json();
    assert_eq!(run["outcome"], json!("done"));
    assert_eq!(changes(&run, "extract"), kinds(&[("extra", "added")]));
    assert_eq!(extract(&run, "snapshot_id"), &Value::Null);
    assert_eq!(world.target_rows(COLUMNS).await, before);
    // The default fills the source's rows without changing them; the ways to bring it over are in the guide.
    world
        .source("UPDATE dbo.orders SET extra = extra WHERE id = 3")
        .await;
    let run = world.run(&["--json", "sync"]).json();
    assert_eq!(changes(&run, "load"), kinds(&[("extra", "added")]));
    let extra = "SELECT extra FROM dbo.orders ORDER BY id";
    assert_eq!(
        world.target_rows(extra).await,
        [["NULL"], ["NULL"], ["Int(7)"]]
    );
    world.config("  - source: dbo.orders\n    change: { strategy: full }\n");
    world.run(&["--json", "sync"]).json();
    equal(&mut world, extra).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_source_drops_stays_and_gets_null() {
    let mut world = orders(PLAIN).await;
    world
        .source("ALTER TABLE dbo.orders DROP COLUMN note, qty")
        .await;
    world.source("UPDATE dbo.orders SET amount = 9 WHERE id = 2; INSERT dbo.orders (id, amount) VALUES (4, 4)").await;
    let run = world.run(&["sync"]);
    assert_eq!(run.code, 0, "{run:#?}");
    let said = "schema   column note: gone from the source; its values stay in the lake, rows written from now on have \
        NULL";
    assert!(run.stdout.contains(said), "{run:#?}");
    let dropped = "SELECT id, note, qty FROM dbo.orders ORDER BY id";
    let text = |text: &str| format!("Text({text:?})");
    let expected = [
        ["Int(1)".to_owned(), text("one"), "Int(10)".to_owned()],
        ["Int(2)".to_owned(), "NULL".to_owned(), "NULL".to_owned()],
        ["Int(3)".to_owned(), "NULL".to_owned(), "Int(30)".to_owned()],
        ["Int(4)".to_owned(), "NULL".to_owned(), "NULL".to_owned()],
    ];
    assert_eq!(world.target_rows(dropped).await, expected);

    // The name comes back for something else: the old values stay under another one, on both sides.
    world
        .source("ALTER TABLE dbo.orders ADD note int NULL")
        .await;
    world
        .source("UPDATE dbo.orders SET note = 7 WHERE id = 3")
        .await;
    let run = world.run(&["--json", "sync"]).json();
    assert_eq!(changes(&run, "extract"), kinds(&[("note", "added")]));
    assert_eq!(
        changes(&run, "load"),
        kinds(&[("note__dropped_1", "renamed"), ("note", "added")])
    );
    let kept = world
        .target_rows("SELECT note__dropped_1, note FROM dbo.orders ORDER BY id")
        .await;
    assert_eq!(kept[0], [text("one"), "NULL".to_owned()]);
    assert_eq!(kept[2], ["NULL", "Int(7)"]);
    // A target that is made now has what the source has.
    world.target("DROP TABLE dbo.orders").await;
    world.run(&["--json", "load", "--full"]).json();
    equal(
        &mut world,
        "SELECT id, amount, note FROM dbo.orders ORDER BY id",
    )
    .await;
    equal(&mut world, COLUMNS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_column_that_was_not_null_lets_null_into_the_target() {
    let mut world = orders(PLAIN).await;
    world
        .source("ALTER TABLE dbo.orders DROP COLUMN amount")
        .await;
    world.source("INSERT dbo.orders (id) VALUES (4)").await;
    let run = world.run(&["--json", "sync"]).json();
    assert_eq!(changes(&run, "load"), kinds(&[("amount", "nullable")]));
    let amounts = world
        .target_rows("SELECT COUNT(amount), COUNT(*) FROM dbo.orders")
        .await;
    assert_eq!(amounts, [["Int(3)", "Int(4)"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_made_anew_asks_whether_a_column_was_renamed() {
    for answer in ["renames: { qty: quantity }", "drops: [qty]"] {
        let mut world = orders(PLAIN).await;
        let before = metadata(&world, "orders");
        world.source("EXEC sp_rename N'dbo.orders', N'old'").await;
        world.source("CREATE TABLE dbo.orders (id int NOT NULL PRIMARY KEY, quantity int NULL, amount decimal(9,2) NOT \
            NULL, note nvarchar(10) NULL, rv rowversion NOT NULL)").await;
        world.source("INSERT dbo.orders (id, quantity, amount, note) SELECT id, qty, amount, note FROM dbo.old WHERE \
            id > 1").await;
        let refused = ["dbo.orders", "renames: { qty: quantity }", "drops: [qty]"];
        world.run(&["sync"]).fails_with(1, &refused);
        world.run(&["plan"]).fails_with(1, &refused);
        assert_eq!(metadata(&world, "orders"), before);

        world.config(&format!("{PLAIN}    {answer}\n"));
        let run = world.run(&["--json", "sync"]).json();
        // Rows of another table: those that the old one had and it has not are gone, whatever their rowversion.
        assert_eq!(extract(&run, "full_read"), &json!(true), "{run:#}");
        assert!(
            extract(&run, "warnings")
                .to_string()
                .contains("dropped and recreated"),
            "{run:#}"
        );
        equal(
            &mut world,
            "SELECT id, amount, note, quantity FROM dbo.orders ORDER BY id",
        )
        .await;
        let columns: Vec<String> = world
            .target_rows(COLUMNS)
            .await
            .into_iter()
            .map(|row| row[0].clone())
            .collect();
        let has_old = columns.contains(&"Text(\"qty\")".to_owned());
        assert_eq!(has_old, answer.starts_with("drops"), "{columns:?}");
        // The answer may stay where it is.
        let again = world.run(&["--json", "sync"]).json();
        assert_eq!(changes(&again, "extract"), []);
        assert_eq!(extract(&again, "full_read"), &json!(false));
    }
}

/// Each step shows one more row that is older than the watermark.
#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_takes_the_place_of_a_table_or_is_altered_is_read_whole() {
    let mut world = World::new(
        "CREATE TABLE dbo.orders (id int NOT NULL PRIMARY KEY, qty int NULL, changed datetime2(3) NOT NULL)
GO
CREATE TABLE dbo.everything (id int NOT NULL PRIMARY KEY, qty int NULL, changed datetime2(3) NOT NULL)
GO
INSERT dbo.orders VALUES (1, 10, '2020-01-01')
GO
INSERT dbo.everything VALUES (1, 10, '2020-01-01'), (2, 20, '2020-01-01'), (3, 30, '2020-01-01'),
    (4, 40, '2020-01-01')",
    )
    .await;
    world.config(
        "  - source: dbo.orders\n    key: [id]\n    change: { strategy: timestamp, column: changed, lag: 0s, \
         overlap: 0s, clock: utc }\n",
    );
    world.run(&["--json", "sync"]).json();
    for (step, told) in [
        (
            "DROP TABLE dbo.orders
GO
CREATE VIEW dbo.orders AS SELECT id, qty, changed FROM dbo.everything WHERE id < 3",
            "a view that was created or altered",
        ),
        (
            "ALTER VIEW dbo.orders AS SELECT id, qty, changed FROM dbo.everything WHERE id < 4",
            "a view that was created or altered",
        ),
        (
            "DROP VIEW dbo.orders
GO
EXEC sp_rename N'dbo.everything', N'orders'",
            "dropped and recreated",
        ),
    ] {
        batches(&mut world, step).await;
        let run = world.run(&["--json", "sync"]).json();
        assert_eq!(extract(&run, "full_read"), &json!(true), "{step}: {run:#}");
        let warnings = extract(&run, "warnings").to_string();
        assert!(warnings.contains(told), "{step}: {run:#}");
        equal(&mut world, "SELECT id, qty FROM dbo.orders ORDER BY id").await;
        let idle = world.run(&["--json", "sync"]).json();
        assert_eq!(extract(&idle, "full_read"), &json!(false), "{idle:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_followed_is_refused_before_a_row_is_read() {
    let unfollowable: [(&str, &[&str]); 4] = [
        (
            "ALTER TABLE dbo.orders ALTER COLUMN qty nvarchar(20) NULL",
            &[
                "column qty was int and is now nvarchar(20)",
                "another `lake:` name",
            ],
        ),
        (
            "ALTER TABLE dbo.orders ALTER COLUMN amount decimal(19,4) NOT NULL",
            &["amount", "decimal(9,2)", "decimal(19,4)", "scale"],
        ),
        (
            "ALTER TABLE dbo.orders ALTER COLUMN amount float NOT NULL",
            &["column amount was decimal(9,2) and is now float"],
        ),
        (
            "ALTER TABLE dbo.orders ADD code int NOT NULL IDENTITY; ALTER TABLE dbo.orders DROP CONSTRAINT pk_orders; \
             ALTER TABLE dbo.orders ADD CONSTRAINT pk_code PRIMARY KEY (code)",
            &["the key was (id) and is now (code)", "key: [id]"],
        ),
    ];
    for (change, said) in unfollowable {
        let mut world = orders(PLAIN).await;
        let before = metadata(&world, "orders");
        for statement in change.split("; ") {
            world.source(statement).await;
        }
        world.source("UPDATE dbo.orders SET note = N'x'").await;
        world.run(&["extract"]).fails_with(1, said);
        assert_eq!(metadata(&world, "orders"), before, "{change}");
    }
    // The ways out work.
    let mut world = orders(PLAIN).await;
    world
        .source("ALTER TABLE dbo.orders ALTER COLUMN qty nvarchar(20) NULL")
        .await;
    world.config("  - source: dbo.orders\n    lake: dbo.orders2\n    target: dbo.orders2\n");
    world.run(&["--json", "sync"]).json();
    let query = "SELECT qty FROM dbo.orders2 ORDER BY id";
    assert_eq!(world.target_rows(query).await[0], ["Text(\"10\")"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_refuses_stops_each_side() {
    let mut world = orders(PLAIN).await;
    batches(&mut world, EVERYTHING).await;
    let before = metadata(&world, "orders");
    world.config("  - source: dbo.orders\n    schema: { on_change: refuse }\n");
    let said = [
        "schema.on_change: refuse",
        "column extra: new, int",
        "column quantity: was qty",
        "on_change: evolve",
    ];
    world.run(&["sync"]).fails_with(1, &said);
    assert_eq!(metadata(&world, "orders"), before);

    // The lake may, the target may not: the statements to run are told, and they are enough.
    world.config("  - source: dbo.orders\n    merge: { on_schema_change: refuse }\n");
    world.run(&["--json", "extract"]).json();
    let columns = world.target_rows(COLUMNS).await;
    let refused = world.run(&["load"]);
    refused.fails_with(
        1,
        &[
            "dbo.orders",
            "merge.on_schema_change: refuse",
            "EXEC sp_rename",
            "ALTER COLUMN [amount]",
        ],
    );
    world
        .run(&["plan"])
        .fails_with(1, &["merge.on_schema_change: refuse"]);
    assert_eq!(world.target_rows(COLUMNS).await, columns);
    let all = format!("{}{}", refused.stdout, refused.stderr);
    let told = all
        .split("; run ")
        .nth(1)
        .and_then(|rest| rest.split(" and load again").next());
    world.target(told.expect("statements")).await;
    let run = world.run(&["--json", "load"]).json();
    assert_eq!(changes(&run, "load"), []);
    equal(
        &mut world,
        "SELECT id, amount, note, quantity, extra FROM dbo.orders ORDER BY id",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_target_cannot_do_is_told_with_the_statement() {
    let mut world = orders(PLAIN).await;
    // A wider key: the target's primary key stands in the way.
    for statement in [
        "ALTER TABLE dbo.orders DROP CONSTRAINT pk_orders",
        "ALTER TABLE dbo.orders ALTER COLUMN id bigint NOT NULL",
        "ALTER TABLE dbo.orders ADD CONSTRAINT pk_orders PRIMARY KEY (id)",
        "UPDATE dbo.orders SET qty = 21 WHERE id = 2; INSERT dbo.orders (id, amount) VALUES (5000000000, 5)",
    ] {
        world.source(statement).await;
    }
    let run = world.run(&["--json", "extract"]).json();
    assert_eq!(changes(&run, "extract"), kinds(&[("id", "widened")]));
    assert_eq!(
        (extract(&run, "updated"), extract(&run, "inserted")),
        (&json!(1), &json!(1))
    );
    let alter = "ALTER TABLE [dbo].[orders] ALTER COLUMN [id] bigint NOT NULL;";
    world
        .run(&["load"])
        .fails_with(1, &["dbo.orders", alter, "nothing was loaded"]);
    let key =
        "SELECT name FROM sys.key_constraints WHERE parent_object_id = OBJECT_ID(N'dbo.orders')";
    let key = world.target_rows(key).await;
    let key = key[0][0].replace("Text(\"", "[").replace("\")", "]");
    world
        .target(&format!("ALTER TABLE dbo.orders DROP CONSTRAINT {key}"))
        .await;
    world.target(alter).await;
    world
        .target("ALTER TABLE dbo.orders ADD CONSTRAINT PK_orders PRIMARY KEY (id)")
        .await;
    world.run(&["--json", "load"]).json();
    equal(
        &mut world,
        "SELECT id, amount, note, qty FROM dbo.orders ORDER BY id",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_of_its_own_making_is_not_altered_before_its_first_load() {
    let mut world = World::new(ORDERS).await;
    world.config(PLAIN);
    world.target("CREATE TABLE dbo.orders (id int NOT NULL PRIMARY KEY, amount decimal(9,2) NOT NULL, note nvarchar(4) \
        NULL, rv binary(8) NULL)").await;
    world.run(&["sync"]).fails_with(
        1,
        &[
            "column qty is missing: run ALTER TABLE",
            "column note is nvarchar(4)",
        ],
    );
    // Once loaded, it follows: `note` is given room with its own collation, its other columns are left alone.
    world
        .target("ALTER TABLE dbo.orders ADD qty bigint NULL, theirs int NULL")
        .await;
    world
        .target("ALTER TABLE dbo.orders ALTER COLUMN note nvarchar(10) COLLATE French_CS_AS NULL")
        .await;
    world.run(&["--json", "sync"]).json();
    batches(&mut world, EVERYTHING).await;
    world.run(&["--json", "sync"]).json();
    let columns = world
        .target_rows(
            "SELECT name, collation_name FROM sys.columns WHERE object_id = \
        OBJECT_ID(N'dbo.orders') AND name IN (N'note', N'theirs') ORDER BY name",
        )
        .await;
    assert_eq!(
        columns,
        [
            ["Text(\"note\")", "Text(\"French_CS_AS\")"],
            ["Text(\"theirs\")", "NULL"]
        ]
    );
    equal(&mut world, "SELECT id, amount, CONVERT(varbinary(80), note), extra, CONVERT(int, quantity) FROM dbo.orders \
        ORDER BY id").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_snapshots_keep_their_columns() {
    let mut world = World::new(ORDERS).await;
    world.config(PLAIN);
    world.run(&["--json", "extract"]).json();
    let then = world
        .source_rows("SELECT id, amount, note, qty FROM dbo.orders ORDER BY id")
        .await;
    batches(&mut world, EVERYTHING).await;
    world
        .source("ALTER TABLE dbo.orders DROP COLUMN note")
        .await;
    world.run(&["--json", "extract"]).json();
    let snapshots = world.run(&["--json", "snapshots"]).json();
    assert_eq!(
        snapshots["tables"][0]["snapshots"].as_array().map(Vec::len),
        Some(2)
    );

    world.run(&["--json", "load", "--snapshot", "1"]).json();
    assert_eq!(
        world
            .target_rows("SELECT id, amount, note, qty FROM dbo.orders ORDER BY id")
            .await,
        then
    );
    let columns = world.target_rows(COLUMNS).await;
    assert_eq!(columns.len(), 4, "{columns:?}");
    let run = world.run(&["--json", "load"]).json();
    let mut loaded = changes(&run, "load");
    loaded.sort();
    let expected = kinds(&[
        ("amount", "widened"),
        ("extra", "added"),
        ("quantity", "renamed"),
    ]);
    assert_eq!(loaded, expected, "{run:#}");
    equal(
        &mut world,
        "SELECT id, amount, quantity, extra FROM dbo.orders ORDER BY id",
    )
    .await;
    let notes = world
        .target_rows("SELECT note FROM dbo.orders ORDER BY id")
        .await;
    assert_eq!(notes, [["Text(\"one\")"], ["NULL"], ["NULL"], ["NULL"]]);
}

fn dying(world: &World, args: &[&str], failpoint: &str) {
    let died = finish(
        world
            .command(args)
            .env("ICESYNC_FAILPOINT", failpoint)
            .spawn()
            .expect("starts"),
    );
    assert!(died.code != 0, "{failpoint} was not reached: {died:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_between_columns_and_rows_loses_nothing() {
    let edges = [
        FAIL_AFTER_EVOLVE.to_owned(),
        format!("{FAIL_AFTER_ALTER}:1"),
        format!("{FAIL_AFTER_ALTER}:2"),
        format!("{FAIL_AFTER_ALTER}:3"),
        format!("{FAIL_AFTER_ALTER}:4"),
    ];
    for edge in edges {
        let mut world = orders(PLAIN).await;
        batches(&mut world, EVERYTHING).await;
        dying(&world, &["sync"], &edge);
        // A consistent table, old rows under new columns, that others read and load.
        let status = world.run(&["--json", "status"]).json();
        let rows = if edge == FAIL_AFTER_EVOLVE { 3 } else { 4 };
        assert_eq!(status["tables"][0]["lake"]["rows"], json!(rows), "{edge}");
        world.run(&["--json", "load"]).json();
        world.run(&["--json", "sync"]).json();
        equal(
            &mut world,
            "SELECT id, amount, note, quantity, extra FROM dbo.orders ORDER BY id",
        )
        .await;
        equal(&mut world, COLUMNS).await;
        assert_eq!(
            metadata(&world, "orders")["schemas"]
                .as_array()
                .map(Vec::len),
            Some(2),
            "{edge}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_runs_that_find_the_same_change_one_makes_it() {
    let mut world = orders(PLAIN).await;
    batches(&mut world, EVERYTHING).await;
    let children: Vec<_> = (0..4)
        .map(|_| world.spawn(&["--json", "extract"]))
        .collect();
    let runs: Vec<Run> = children.into_iter().map(finish).collect();
    assert!(runs.iter().any(|run| run.code == 0), "{runs:#?}");
    for run in runs.iter().filter(|run| run.code != 0) {
        run.fails_with(1, &["dbo.orders", "another run"]);
    }
    let told = runs
        .iter()
        .filter(|run| run.code == 0 && !changes(&run.json(), "extract").is_empty());
    assert!(told.count() <= 1, "{runs:#?}");
    let now = metadata(&world, "orders");
    assert_eq!(now["schemas"].as_array().map(Vec::len), Some(2), "{now:#}");
    world.run(&["--json", "sync"]).json();
    equal(
        &mut world,
        "SELECT id, amount, note, quantity, extra FROM dbo.orders ORDER BY id",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_a_new_column_gets_while_a_run_begins_are_not_lost() {
    let mut world = World::new(
        "CREATE TABLE dbo.orders (id int IDENTITY NOT NULL PRIMARY KEY, qty int NULL)
GO
INSERT dbo.orders (qty) VALUES (10), (20)",
    )
    .await;
    world.config("  - source: dbo.orders\n    change: { strategy: sequence, column: id }\n");
    world.run(&["--json", "sync"]).json();
    // The run has looked at the columns and waits for inserts in flight to learn how far it may read.
    world
        .source("BEGIN TRANSACTION; INSERT dbo.orders (qty) VALUES (30)")
        .await;
    let child = world.spawn(&["--json", "extract"]);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    world
        .source("ALTER TABLE dbo.orders ADD extra int NULL")
        .await;
    world
        .source("INSERT dbo.orders (qty, extra) VALUES (40, 4); COMMIT TRANSACTION")
        .await;
    let run = finish(child).json();
    assert_eq!(extract(&run, "rows_read"), &json!(2), "{run:#}");
    world.run(&["--json", "sync"]).json();
    equal(
        &mut world,
        "SELECT id, qty, extra FROM dbo.orders ORDER BY id",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_keeps_every_version_under_its_columns() {
    let mut world = World::new(ORDERS).await;
    world.config("  - source: dbo.orders\n    kind: history\n    change: { strategy: rowversion }\n    merge: \
        { mode: append }\n");
    world.run(&["--json", "sync"]).json();
    batches(&mut world, EVERYTHING).await;
    let run = world.run(&["--json", "sync"]).json();
    assert_eq!(changes(&run, "extract").len(), 4);
    let versions = world
        .target_rows("SELECT id, amount, note, quantity, extra FROM dbo.orders ORDER BY id, amount")
        .await;
    assert_eq!(versions.len(), 5, "{versions:?}");
    assert_eq!(versions[1][4], "NULL");
    assert_eq!(versions[2][4], "Int(5)");
    world
        .source("ALTER TABLE dbo.orders DROP COLUMN extra")
        .await;
    world
        .source("UPDATE dbo.orders SET quantity = 41 WHERE id = 4")
        .await;
    world.run(&["--json", "sync"]).json();
    let versions = world
        .target_rows("SELECT id, quantity, extra FROM dbo.orders ORDER BY id, quantity")
        .await;
    assert_eq!(versions[5], ["Int(4)", "Int(41)", "NULL"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_column_that_is_followed_may_be_renamed_and_is_not_confused_with_another() {
    let setup = "CREATE TABLE dbo.orders (id int NOT NULL PRIMARY KEY, qty int NULL, changed datetime2(3) NOT NULL)
GO
INSERT dbo.orders VALUES (1, 10, DATEADD(hour, -3, SYSUTCDATETIME())), (2, 20, DATEADD(hour, -2, SYSUTCDATETIME()))";
    let mut world = World::new(setup).await;
    let config = |column: &str| {
        format!(
            "  - source: dbo.orders\n    change: {{ strategy: timestamp, column: {column}, lag: 0s, overlap: 0s, \
                clock: utc }}\n"
        )
    };
    world.config(&config("changed"));
    world.run(&["--json", "sync"]).json();
    world
        .source("EXEC sp_rename N'dbo.orders.changed', N'touched', N'COLUMN'")
        .await;
    world
        .source("UPDATE dbo.orders SET qty = 21, touched = SYSUTCDATETIME() WHERE id = 2")
        .await;
    world.config(&config("touched"));
    let run = world.run(&["--json", "sync"]).json();
    assert_eq!(extract(&run, "full_read"), &json!(false), "{run:#}");
    assert_eq!(extract(&run, "rows_read"), &json!(1), "{run:#}");
    equal(
        &mut world,
        "SELECT id, qty, CONVERT(nvarchar(30), touched, 121) FROM dbo.orders ORDER BY id",
    )
    .await;
    // The same name, another column: its times say nothing about what was read.
    world
        .source("ALTER TABLE dbo.orders DROP COLUMN touched")
        .await;
    world
        .source("ALTER TABLE dbo.orders ADD touched datetime2(3) NOT NULL DEFAULT '2020-01-01'")
        .await;
    world
        .source("UPDATE dbo.orders SET qty = 11 WHERE id = 1")
        .await;
    let run = world.run(&["--json", "sync"]).json();
    assert_eq!(extract(&run, "full_read"), &json!(true), "{run:#}");
    assert!(
        extract(&run, "warnings")
            .to_string()
            .contains("column touched, which was followed, is gone"),
        "{run:#}"
    );
    equal(
        &mut world,
        "SELECT id, qty, CONVERT(nvarchar(30), touched, 121) FROM dbo.orders ORDER BY id",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_read_begins_anew_under_the_new_columns() {
    let setup = "CREATE TABLE dbo.orders (id int NOT NULL PRIMARY KEY, qty int NOT NULL, rv rowversion NOT NULL)
GO
INSERT dbo.orders (id, qty) SELECT s.n, s.n FROM (SELECT TOP (20000) CONVERT(int, ROW_NUMBER() OVER (ORDER BY (SELECT \
1))) AS n
FROM sys.all_columns a CROSS JOIN sys.all_columns b) AS s";
    let isolation = Isolation::for_ranges("rowversion");
    let mut world = World::with_isolation(isolation, setup).await;
    world
        .config("  - source: dbo.orders\n    change: { strategy: rowversion, range_rows: 2000 }\n");
    dying(&world, &["extract"], &format!("{FAIL_AFTER_RANGE}:3"));
    world
        .source("ALTER TABLE dbo.orders ADD extra int NOT NULL DEFAULT 7")
        .await;
    world
        .source("ALTER TABLE dbo.orders ALTER COLUMN qty bigint NOT NULL")
        .await;
    // And once more in the middle, after the lake has followed.
    dying(&world, &["extract"], &format!("{FAIL_AFTER_RANGE}:3"));
    let run = world.run(&["--json", "extract"]).json();
    assert_eq!(extract(&run, "ranges_resumed"), &json!(3), "{run:#}");
    world.run(&["--json", "load"]).json();
    equal(
        &mut world,
        "SELECT COUNT(*), SUM(qty), SUM(CAST(id AS bigint) * qty), SUM(extra) FROM dbo.orders",
    )
    .await;
    let files = std::fs::read_dir(world.lake("dbo", "orders").join("metadata")).expect("listed");
    let lists = files.filter(|file| {
        let name = file.as_ref().expect("a file").file_name();
        name.to_string_lossy().starts_with("part-")
    });
    assert_eq!(lists.count(), 0, "lists of parts are left");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_two_columns_exchanged_are_loaded_whole_or_not_at_all() {
    let mut world = orders("  - source: dbo.orders\n    change: { strategy: full }\n").await;
    world
        .source("ALTER TABLE dbo.orders ADD other int NULL")
        .await;
    world.source("UPDATE dbo.orders SET other = -qty").await;
    world.run(&["--json", "sync"]).json();
    for (from, to) in [("qty", "was_qty"), ("other", "qty"), ("was_qty", "other")] {
        world
            .source(&format!(
                "EXEC sp_rename N'dbo.orders.{from}', N'{to}', N'COLUMN'"
            ))
            .await;
    }
    world
        .source("INSERT dbo.orders (id, amount, qty, other) VALUES (4, 4, -40, 40)")
        .await;
    let run = world.run(&["--json", "extract"]).json();
    assert_eq!(changes(&run, "extract").len(), 2, "{run:#}");
    world
        .run(&["load"])
        .fails_with(1, &["columns of both names", "icesync load --full"]);
    world.run(&["--json", "load", "--full"]).json();
    equal(
        &mut world,
        "SELECT id, qty, other FROM dbo.orders ORDER BY id",
    )
    .await;
}

/// SQL Server gives the values of such a column more digits, in rows that no window shows.
#[tokio::test(flavor = "multi_thread")]
async fn a_datetime_that_becomes_datetime2_is_read_again() {
    let setup = "CREATE TABLE dbo.orders (id int NOT NULL PRIMARY KEY, at datetime NULL, rv rowversion NOT NULL)
GO
INSERT dbo.orders (id, at) VALUES (1, '2024-01-01 00:00:00.003'), (2, '2024-01-01'), (3, NULL)";
    let query = "SELECT id, CONVERT(nvarchar(40), CONVERT(datetime2(7), at), 121) FROM dbo.orders ORDER BY id";
    let mut world = World::new(setup).await;
    world.config(PLAIN);
    world.run(&["--json", "sync"]).json();
    world
        .source("ALTER TABLE dbo.orders ALTER COLUMN at datetime2(7) NULL")
        .await;
    let run = world.run(&["--json", "sync"]).json();
    assert_eq!(changes(&run, "extract"), kinds(&[("at", "widened")]));
    assert_eq!(changes(&run, "load"), kinds(&[("at", "widened")]));
    assert_eq!(extract(&run, "rows_read"), &json!(3), "{run:#}");
    assert_eq!(extract(&run, "updated"), &json!(1), "{run:#}");
    let warnings = extract(&run, "warnings").to_string();
    assert!(warnings.contains("column at was datetime"), "{warnings}");
    equal(&mut world, query).await;
    let run = world.run(&["--json", "sync"]).json();
    assert_eq!(extract(&run, "rows_read"), &json!(0), "{run:#}");

    // Where the source has kept what was shown, so does the target, whose column becomes wider, too.
    world
        .source("UPDATE dbo.orders SET at = '2024-01-01 00:00:00.003' WHERE id = 1")
        .await;
    world.run(&["--json", "sync"]).json();
    world
        .target("ALTER TABLE dbo.orders ALTER COLUMN at datetime NULL")
        .await;
    world
        .source("INSERT dbo.orders (id, at) VALUES (4, '2024-01-01 00:00:00.1234567')")
        .await;
    let run = world.run(&["--json", "sync"]).json();
    assert_eq!(changes(&run, "load"), kinds(&[("at", "widened")]));
    equal(&mut world, query).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wider_types_keep_what_was_and_take_what_is_new() {
    let setup = "CREATE TABLE dbo.orders (id int NOT NULL PRIMARY KEY, a tinyint, b smallint, c int, d decimal(9,2), e \
        smallmoney, f real, \
g varchar(5) COLLATE Latin1_General_CI_AS, h char(3) COLLATE Latin1_General_CI_AS, i nvarchar(5), j varbinary(3), k \
datetime, l datetime2(3), m time(0), n datetimeoffset(0), rv rowversion)
GO
INSERT dbo.orders (id, a, b, c, d, e, f, g, h, i, j, k, l, m, n) VALUES (1, 255, -32768, 2147483647, -9999999.99, \
-214748.3648, 0.1, 'abcde', 'x', N'貓', 0x010203,
'2024-02-29T23:59:59.997', '2024-02-29 23:59:59.999', '23:59:59', '2024-02-29 23:59:59 +05:45')";
    let query = "SELECT id, a, b, c, CONVERT(nvarchar(50), d), CONVERT(nvarchar(50), e, 2), CONVERT(nvarchar(50), \
        CONVERT(float, f), 2), CONVERT(varbinary(40), CONVERT(nvarchar(20), g)), \
CONVERT(varbinary(40), CONVERT(nvarchar(20), h)), i, CONVERT(nvarchar(40), CONVERT(varbinary(20), j), 2), \
CONVERT(nvarchar(40), CONVERT(datetime2(7), k), 121), CONVERT(nvarchar(40), l, 121), CONVERT(nvarchar(40), m), \
CONVERT(nvarchar(40), n) \
FROM dbo.orders ORDER BY id";
    let mut world = World::new(setup).await;
    world.config(PLAIN);
    world.run(&["--json", "sync"]).json();
    equal(&mut world, query).await;
    let wider = [
        "a smallint",
        "b int",
        "c bigint",
        "d decimal(38,2)",
        "e money",
        "f float",
        "g nvarchar(9) COLLATE Latin1_General_CI_AS",
        "h varchar(9) COLLATE Latin1_General_CI_AS",
        "i nvarchar(max)",
        "j varbinary(max)",
        "l datetime2(7)",
        "m time(7)",
        "n datetimeoffset(7)",
    ];
    for column in wider {
        world
            .source(&format!(
                "ALTER TABLE dbo.orders ALTER COLUMN {column} NULL"
            ))
            .await;
    }
    world.source("INSERT dbo.orders (id, a, b, c, d, e, f, g, h, i, j, k, l, m, n) VALUES (2, -1, 2147483647, \
        -9223372036854775808, 99999999999999999999999999999999999.99, \
922337203685477.5807, 1.0000000000000002E0, N'貓貓貓貓貓貓貓貓貓', 'y        ', REPLICATE(N'x', 100), 0x0102030405, \
'1753-01-01', '9999-12-31 23:59:59.9999999', '23:59:59.9999999', '2024-02-29 23:59:59.9999999 -14:00')").await;
    let run = world.run(&["--json", "sync"]).json();
    assert_eq!(changes(&run, "extract").len(), wider.len(), "{run:#}");
    assert_eq!(changes(&run, "load").len(), wider.len(), "{run:#}");
    equal(&mut world, query).await;
    assert_eq!(extract(&run, "rows_read"), &json!(1));

    // Back to what it was: nothing gets narrower, and the values are the same.
    world.source("DELETE dbo.orders WHERE id = 2").await;
    for column in [
        "a tinyint",
        "c int",
        "d decimal(9,2)",
        "f real",
        "l datetime2(3)",
        "m time(0)",
        "n datetimeoffset(0)",
    ] {
        world
            .source(&format!(
                "ALTER TABLE dbo.orders ALTER COLUMN {column} NULL"
            ))
            .await;
    }
    world.source("INSERT dbo.orders (id, a, c, d, f, l, m, n) VALUES (3, 7, -7, -7.07, 0.3, '2025-01-01 01:01:01.001', \
        '01:01:01', '2025-01-01 01:01:01 -01:00')").await;
    let run = world.run(&["--json", "sync"]).json();
    assert_eq!(
        (changes(&run, "extract"), changes(&run, "load")),
        (vec![], vec![]),
        "{run:#}"
    );
    world.target("DELETE dbo.orders WHERE id = 2").await;
    // As the target's wider columns show them.
    let same = |text: &str| {
        text.replace(
            "CONVERT(nvarchar(50), d)",
            "CONVERT(nvarchar(50), CONVERT(decimal(38,2), d))",
        )
        .replace(
            "nvarchar(40), l, 121",
            "nvarchar(40), CONVERT(datetime2(7), l), 121",
        )
        .replace("nvarchar(40), m", "nvarchar(40), CONVERT(time(7), m)")
        .replace(
            "nvarchar(40), n",
            "nvarchar(40), CONVERT(datetimeoffset(7), n)",
        )
    };
    equal(&mut world, &same(query)).await;
}
