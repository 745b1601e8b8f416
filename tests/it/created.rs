//! What a target that icesync creates looks like: indexes, defaults, checks, identity and compression of the source,
//! names that are taken, what cannot be created, and deaths between any two of them.

use crate::harness::{Run, World, finish, server, skipped};
use icesync::sync;
use icesync_sandbox::tds::Fault;
use serde_json::{Value, json};

const ALL: &str =
    "create: { indexes: true, defaults: true, checks: true, identity: true, compression: true }";
const ROWS: &str = "SELECT id, state, amount, code FROM dbo.orders ORDER BY id";
const OWN_TABLES: &str = "SELECT t.name FROM sys.tables t JOIN sys.schemas s ON s.schema_id = t.schema_id WHERE \
    s.name = N'icesync' AND t.name <> N'load_state'";

/// A table with everything that is copied. `columns` come after its own.
fn orders(columns: &str) -> String {
    format!(
        "CREATE TABLE dbo.orders (
    id int IDENTITY(1000, 5) NOT NULL CONSTRAINT PK_orders PRIMARY KEY,
    state nvarchar(10) NOT NULL CONSTRAINT DF_orders_state DEFAULT (N'new'),
    amount decimal(9, 2) NOT NULL CONSTRAINT CK_orders_amount CHECK (amount >= 0),
    placed datetime2(3) NOT NULL DEFAULT (sysutcdatetime()),
    code nvarchar(20) NULL{columns},
    CONSTRAINT UQ_orders_code UNIQUE (code, id),
    CONSTRAINT CK_orders_state CHECK (state IN (N'new', N'done', N'it''s ;)')))
WITH (DATA_COMPRESSION = PAGE)
GO
CREATE INDEX ix_placed ON dbo.orders (placed DESC, id) INCLUDE (amount)
GO
CREATE INDEX ix_open ON dbo.orders (state) WHERE state = N'new' WITH (DATA_COMPRESSION = ROW)"
    )
}

/// Three rows, and a check that one of them breaks.
const FILLED: &str = "
GO
INSERT dbo.orders (amount, code) VALUES (1, N'a'), (2, N'b'), (3, NULL)
GO
ALTER TABLE dbo.orders WITH NOCHECK ADD CONSTRAINT CK_orders_old CHECK (amount < 2)
GO
ALTER TABLE dbo.orders NOCHECK CONSTRAINT CK_orders_old";

fn config(options: &str) -> String {
    format!("  - source: dbo.orders\n    {options}\n")
}

const INDEXES: &str = "SELECT i.name, i.type_desc, i.is_unique, i.is_primary_key, i.is_unique_constraint, \
    i.filter_definition, p.data_compression_desc, c.name, ic.key_ordinal, ic.is_descending_key, ic.is_included_column \
    FROM sys.indexes i JOIN sys.partitions p ON p.object_id = i.object_id AND p.index_id = i.index_id \
    JOIN sys.index_columns ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id JOIN sys.columns c ON \
    c.object_id = ic.object_id AND c.column_id = ic.column_id WHERE i.object_id = OBJECT_ID(N'dbo.orders') \
    ORDER BY i.name, ic.is_included_column, ic.key_ordinal";
const DEFAULTS: &str = "SELECT d.name, c.name, d.definition FROM sys.default_constraints d JOIN sys.columns c ON \
    c.object_id = d.parent_object_id AND c.column_id = d.parent_column_id WHERE d.parent_object_id = \
    OBJECT_ID(N'dbo.orders') ORDER BY c.column_id";
const CHECKS: &str = "SELECT k.name, k.definition, k.is_disabled, k.is_not_trusted FROM sys.check_constraints k WHERE \
    k.parent_object_id = OBJECT_ID(N'dbo.orders') ORDER BY k.name";
const IDENTITY: &str = "SELECT CONVERT(int, c.seed_value), CONVERT(int, c.increment_value), CONVERT(int, c.last_value) \
    FROM sys.identity_columns c WHERE c.object_id = OBJECT_ID(N'dbo.orders')";

/// The target is what the source is, by its catalogue and by its rows, and nothing else is left.
async fn same(world: &mut World) {
    for query in [INDEXES, DEFAULTS, CHECKS, IDENTITY, ROWS] {
        let expected = world.source_rows(query).await;
        assert_eq!(world.target_rows(query).await, expected, "{query}");
    }
    let own = world.target_rows(OWN_TABLES).await;
    assert!(own.is_empty(), "{own:?}");
}

fn load(report: &Value) -> &Value {
    &report["tables"][0]["load"]
}

fn warnings(report: &Value) -> String {
    load(report)["warnings"].to_string()
}

/// A command that ends at a failpoint.
fn dies_at(world: &World, args: &[&str], failpoint: &str) -> Run {
    let mut command = world.command(args);
    let command = command.env("ICESYNC_FAILPOINT", failpoint);
    let died = finish(command.spawn().expect("starts"));
    assert_ne!(died.code, 0, "{failpoint} was not reached: {died:#?}");
    died
}

#[tokio::test(flavor = "multi_thread")]
async fn a_created_target_has_what_its_source_has() {
    let mut world = World::new(&format!("{}{FILLED}", orders(""))).await;
    world.config(&config(ALL));
    let plan = world.run(&["--json", "plan"]).json();
    let planned = &plan["tables"][0]["load"];
    assert_eq!(planned["rows"], json!({ "rows": 3, "is_source": true }));
    assert_eq!(planned["warnings"], json!([]));
    let statements = planned["statements"].to_string();
    for part in [
        "CREATE TABLE [icesync].[stg_",
        "IDENTITY(1000,5)",
        "INSERT BULK [icesync].[stg_",
        "PRIMARY KEY ([id]) WITH (DATA_COMPRESSION = PAGE)",
        "CREATE NONCLUSTERED INDEX [ix_placed]",
        "([placed] DESC, [id]) INCLUDE ([amount]);",
        "DEFAULT (N'new') FOR [state]",
        "ALTER SCHEMA [dbo] TRANSFER",
    ] {
        assert!(statements.contains(part), "{part}: {statements}");
    }
    let text = world.run(&["plan"]).stdout;
    assert!(text.contains("about 3 rows"), "{text}");

    let first = world.run(&["--json", "sync"]).json();
    assert_eq!(load(&first)["kind"], json!("first"), "{first:#}");
    assert_eq!(load(&first)["warnings"], json!([]));
    same(&mut world).await;
    assert!(!world.source_rows(INDEXES).await.is_empty());
    assert_eq!(world.source_rows(DEFAULTS).await.len(), 2);
    assert_eq!(world.source_rows(CHECKS).await.len(), 3);

    // It is as any other for the loads that follow; its filtered index decides how they are written.
    world
        .source("UPDATE dbo.orders SET state = N'done' WHERE id = 1000; DELETE dbo.orders WHERE id = 1010")
        .await;
    world
        .source("INSERT dbo.orders (amount, code) VALUES (0, N'c')")
        .await;
    world.run(&["--json", "extract"]).json();
    let plan = world.run(&["--json", "plan"]).json();
    let planned = &plan["tables"][0]["load"];
    let upsert = planned["upsert"].as_str().expect("a reason");
    assert!(upsert.contains("filtered index ix_open"), "{upsert}");
    let rows = planned["rows"]["rows"].as_u64().expect("a number");
    assert!((3..=4).contains(&rows), "{plan:#}");
    let second = world.run(&["--json", "load"]).json();
    assert_eq!(load(&second)["kind"], json!("delta"), "{second:#}");
    assert_eq!(load(&second)["warnings"], json!([]));
    same(&mut world).await;
    // The identity goes on where the source's does, and the defaults and checks are in force.
    world
        .target("INSERT dbo.orders (amount, code) VALUES (1, N'd')")
        .await;
    let newest = "SELECT id, state FROM dbo.orders WHERE code = N'd'";
    assert_eq!(
        world.target_rows(newest).await,
        [["Int(1020)", "Text(\"new\")"]]
    );
}

/// By default nothing but the key comes with the columns, under a name without a run's id.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_copied_unless_it_is_asked_for() {
    let mut world = World::new(&format!("{}{FILLED}", orders(""))).await;
    world.config("  - source: dbo.orders\n");
    world.run(&["--json", "sync"]).json();
    let indexes = world.target_rows(INDEXES).await;
    assert_eq!(indexes.len(), 1, "{indexes:?}");
    assert_eq!(indexes[0][0], "Text(\"PK_orders\")");
    assert_eq!(indexes[0][6], "Text(\"NONE\")");
    assert!(world.target_rows(DEFAULTS).await.is_empty());
    assert!(world.target_rows(CHECKS).await.is_empty());
    let identity = world.target_rows(IDENTITY).await;
    assert_eq!(identity, [["Int(1)", "Int(1)", "Int(1010)"]]);
}

/// Dying at each edge of a first load leaves nothing or everything.
#[tokio::test(flavor = "multi_thread")]
async fn a_filled_target_is_whole_whenever_a_load_dies() {
    for edge in [
        sync::FAIL_AFTER_FILL_CREATE,
        sync::FAIL_AFTER_FILL,
        sync::FAIL_AFTER_FILL_KEY,
        sync::FAIL_AFTER_APPLY,
    ] {
        let mut world = World::new(&format!("{}{FILLED}", orders(""))).await;
        world.config(&config(ALL));
        world.run(&["--json", "extract"]).json();
        dies_at(&world, &["load"], edge);
        let again = world.run(&["--json", "load"]).json();
        assert_eq!(load(&again)["warnings"], json!([]), "{edge}");
        same(&mut world).await;
    }
}

/// A column that only the server can convert: the target is created empty, then filled from a staging table.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_created_empty_is_completed_by_the_next_load() {
    for edge in [
        None,
        Some(sync::FAIL_AFTER_CREATE),
        Some(sync::FAIL_AFTER_STAGING),
        Some(sync::FAIL_AFTER_APPLY),
    ] {
        let setup = format!("{}{FILLED}", orders(", note xml NULL"));
        let mut world = World::new(&setup).await;
        world.config(&config(ALL));
        if edge.is_none() {
            let plan = world.run(&["--json", "plan"]).json();
            let statements = plan["tables"][0]["load"]["statements"].to_string();
            for part in [
                "CREATE TABLE [dbo].[orders] (",
                "CREATE NONCLUSTERED INDEX [ix_open] ON [dbo].[orders]",
                "INSERT BULK",
            ] {
                assert!(statements.contains(part), "{part}: {statements}");
            }
        }
        world.run(&["--json", "extract"]).json();
        if let Some(edge) = edge {
            dies_at(&world, &["load"], edge);
        }
        let done = world.run(&["--json", "load"]).json();
        let expected = match edge {
            Some(sync::FAIL_AFTER_APPLY) => "nothing",
            Some(_) | None => "first",
        };
        assert_eq!(load(&done)["kind"], json!(expected), "{edge:?}");
        assert_eq!(load(&done)["warnings"], json!([]), "{edge:?}");
        same(&mut world).await;
        let again = world.run(&["--json", "load"]).json();
        assert_eq!(load(&again)["kind"], json!("nothing"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_source_has_a_target_with_everything() {
    for edge in [None, Some(sync::FAIL_AFTER_CREATE)] {
        let mut world = World::new(&orders("")).await;
        world.config(&config(ALL));
        if let Some(edge) = edge {
            dies_at(&world, &["sync"], edge);
            assert_eq!(world.target_rows(INDEXES).await.len(), 1);
        }
        let first = world.run(&["--json", "sync"]).json();
        assert_eq!(load(&first)["kind"], json!("prepare"), "{first:#}");
        assert_eq!(load(&first)["warnings"], json!([]));
        same(&mut world).await;
        let indexes = world.target_rows(INDEXES).await;
        world
            .source("INSERT dbo.orders (amount, code) VALUES (1, N'a')")
            .await;
        let rows = world.run(&["--json", "sync"]).json();
        assert_eq!(load(&rows)["inserted"], json!(1), "{rows:#}");
        assert_eq!(world.target_rows(INDEXES).await, indexes);
        same(&mut world).await;
    }
}

/// Constraints share the names of a schema: those that are taken are not the load's to take away.
#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_taken_are_left_alone() {
    for columns in ["", ", note xml NULL"] {
        let mut world = World::new(&format!("{}{FILLED}", orders(columns))).await;
        world.config(&config(ALL));
        world
            .target("CREATE TABLE dbo.others (n int NOT NULL CONSTRAINT PK_orders PRIMARY KEY, state int NULL \
                CONSTRAINT DF_orders_state DEFAULT (1), CONSTRAINT CK_orders_amount CHECK (n > 0))")
            .await;
        let first = world.run(&["--json", "sync"]).json();
        assert_eq!(load(&first)["warnings"], json!([]), "{first:#}");
        assert_eq!(world.source_rows(ROWS).await, world.target_rows(ROWS).await);
        let names =
            "SELECT o.name FROM sys.objects o WHERE o.parent_object_id = OBJECT_ID(N'dbo.orders')";
        let names = world.target_rows(names).await;
        let names: Vec<&str> = names
            .iter()
            .map(|row| row[0].trim_start_matches("Text(\"").trim_end_matches("\")"))
            .collect();
        // `_` and a run's id.
        let suffixed = |stem: &str| {
            let mut found = names.iter();
            found.any(|name| name.len() == stem.len() + 33 && name.starts_with(stem))
        };
        for taken in ["PK_orders", "DF_orders_state", "CK_orders_amount"] {
            assert!(suffixed(taken), "{taken}: {names:?}");
            assert!(!names.contains(&taken), "{names:?}");
        }
        for free in ["UQ_orders_code", "CK_orders_state", "CK_orders_old"] {
            assert!(names.contains(&free), "{free}: {names:?}");
        }
        let theirs =
            "SELECT COUNT(*) FROM sys.objects WHERE parent_object_id = OBJECT_ID(N'dbo.others')";
        assert_eq!(world.target_rows(theirs).await, [["Int(3)"]]);
    }
}

/// A default that needs what the target lacks is left out, and said; the load is done.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_target_cannot_have_is_told_and_no_load_fails_of_it() {
    for (columns, route) in [("", "filled"), (", note xml NULL", "staged")] {
        let number = ", number int NOT NULL CONSTRAINT DF_orders_number DEFAULT (NEXT VALUE FOR dbo.numbers)";
        let setup = format!(
            "CREATE SEQUENCE dbo.numbers AS int START WITH 1\nGO\n{}{FILLED}",
            orders(&format!("{number}{columns}"))
        );
        let mut world = World::new(&setup).await;
        world.config(&config(ALL));
        let first = world.run(&["--json", "sync"]).json();
        let said = warnings(&first);
        for part in [
            "not created in the target: default DF_orders_number of column number",
            "the server refused it with error",
        ] {
            assert!(said.contains(part), "{route}: {said}");
        }
        assert_eq!(load(&first)["warnings"].as_array().map(Vec::len), Some(1));
        assert_eq!(world.source_rows(ROWS).await, world.target_rows(ROWS).await);
        assert_eq!(
            world.source_rows(INDEXES).await,
            world.target_rows(INDEXES).await
        );
        assert_eq!(world.target_rows(DEFAULTS).await.len(), 2, "{route}");
    }
}

/// Rows that were deleted at the source stay in the lake under a strategy that sees no deletes.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_not_unique_where_the_lake_may_hold_two_of_a_value() {
    let mut world = World::new(
        "CREATE TABLE dbo.orders (id int NOT NULL PRIMARY KEY, code nvarchar(20) NOT NULL UNIQUE, rv rowversion)
GO
INSERT dbo.orders (id, code) VALUES (1, N'a')",
    )
    .await;
    world.config(&config(ALL));
    let first = world.run(&["--json", "sync"]).json();
    let said = warnings(&first);
    assert!(said.contains("created without UNIQUE"), "{said}");
    let unique = "SELECT COUNT(*), SUM(CONVERT(int, i.is_unique)) FROM sys.indexes i WHERE i.object_id = \
        OBJECT_ID(N'dbo.orders')";
    assert_eq!(
        world.target_rows(unique).await,
        [["Int(2)", "Int(1)"]],
        "{first:#}"
    );
    world
        .source("DELETE dbo.orders; INSERT dbo.orders (id, code) VALUES (2, N'a')")
        .await;
    let second = world.run(&["--json", "sync"]).json();
    assert_eq!(load(&second)["inserted"], json!(1), "{second:#}");
}

/// A lake table of an older build, or of a configuration without `create`, records nothing; one extract does.
#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_is_not_recorded_is_asked_for() {
    let mut world = World::new(&format!("{}{FILLED}", orders(""))).await;
    world.config("  - source: dbo.orders\n");
    world.run(&["--json", "extract"]).json();
    world.config(&config(ALL));
    let first = world.run(&["--json", "load"]).json();
    let said = warnings(&first);
    assert!(
        said.contains("is not recorded in lake table dbo.orders")
            && said.contains("Run `icesync extract` once"),
        "{said}"
    );
    assert_eq!(world.target_rows(INDEXES).await.len(), 1);
    // The extract reads no new row, and records what the source has.
    let extracted = world.run(&["--json", "extract"]).json();
    assert_eq!(extracted["outcome"], json!("unchanged"), "{extracted:#}");
    world.target("DROP TABLE dbo.orders").await;
    world.run(&["--json", "load"]).json();
    same(&mut world).await;
    // What has changed since is recorded again.
    world
        .source("CREATE INDEX ix_later ON dbo.orders (code, amount DESC)")
        .await;
    world.run(&["--json", "extract"]).json();
    world.target("DROP TABLE dbo.orders").await;
    world.run(&["--json", "load"]).json();
    same(&mut world).await;
}

/// MERGE has known defects on tables with filtered indexes.
#[tokio::test(flavor = "multi_thread")]
async fn a_filtered_index_of_the_target_decides_how_an_upsert_is_written() {
    let mut world = World::new(
        "CREATE TABLE dbo.filtered_target (id int NOT NULL PRIMARY KEY, n int NULL)
GO
INSERT dbo.filtered_target VALUES (1, 1), (2, 2)",
    )
    .await;
    world.config("  - source: dbo.filtered_target\n");
    world.run(&["--json", "sync"]).json();
    let plan = world.run(&["--json", "plan"]).json();
    assert_eq!(plan["tables"][0]["load"]["upsert"], Value::Null);
    world
        .target("CREATE UNIQUE INDEX ux_n ON dbo.filtered_target (n) WHERE n IS NOT NULL")
        .await;
    world
        .source("UPDATE dbo.filtered_target SET n = n + 10")
        .await;
    let text = world.run(&["plan"]).stdout;
    assert!(
        text.contains("loaded with `update_insert`, because it has filtered index ux_n"),
        "{text}"
    );
    assert!(!text.contains("MERGE [dbo].[filtered_target]"), "{text}");
    let updated = "UPDATE d SET d.[n] = s.[n] FROM [dbo].[filtered_target]";
    let fired = server().faults().map(|faults| {
        faults.arm(Fault::DropAfter, updated, 1);
        faults.fired()
    });
    let report = world.run(&["--json", "sync"]).json();
    assert_eq!(load(&report)["updated"], json!(2), "{report:#}");
    if let (Some(before), Some(faults)) = (fired, server().faults()) {
        assert!(faults.fired() > before, "the update was not sent");
    } else {
        skipped("a lost reply to the update of a target with a filtered index");
    }
    let rows = "SELECT id, n FROM dbo.filtered_target ORDER BY id";
    assert_eq!(world.source_rows(rows).await, world.target_rows(rows).await);
    // Unless it is configured.
    world.config("  - source: dbo.filtered_target\n    merge: { statement: merge }\n");
    let text = world.run(&["plan"]).stdout;
    assert!(text.contains("MERGE [dbo].[filtered_target]"), "{text}");
}
