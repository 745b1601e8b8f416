//! Tables whose rows refer to each other are loaded in one transaction, in an order that the target's foreign keys
//! allow.

use crate::harness::{World, finish, rows, server};
use crate::own::Own;
use icesync::sync::FAIL_AFTER_NET;
use icesync_sandbox::session::SqlError;
use icesync_sandbox::tds::Fault;
use serde_json::{Value, json};

/// The shape of the Chinook sample database: eleven tables, their foreign keys, an employee who reports to another.
const TABLES: [(&str, &str); 11] = [
    (
        "Artist",
        "ArtistId int NOT NULL PRIMARY KEY, Name nvarchar(120) NULL",
    ),
    (
        "Album",
        "AlbumId int NOT NULL PRIMARY KEY, Title nvarchar(160) NOT NULL, ArtistId int NOT NULL REFERENCES dbo.Artist \
         (ArtistId)",
    ),
    (
        "Employee",
        "EmployeeId int NOT NULL PRIMARY KEY, LastName nvarchar(20) NOT NULL, ReportsTo int NULL REFERENCES \
         dbo.Employee (EmployeeId)",
    ),
    (
        "Customer",
        "CustomerId int NOT NULL PRIMARY KEY, LastName nvarchar(20) NOT NULL, SupportRepId int NULL REFERENCES \
         dbo.Employee (EmployeeId)",
    ),
    (
        "Genre",
        "GenreId int NOT NULL PRIMARY KEY, Name nvarchar(120) NULL",
    ),
    (
        "MediaType",
        "MediaTypeId int NOT NULL PRIMARY KEY, Name nvarchar(120) NULL",
    ),
    (
        "Track",
        "TrackId int NOT NULL PRIMARY KEY, Name nvarchar(200) NOT NULL, AlbumId int NULL REFERENCES dbo.Album \
         (AlbumId), MediaTypeId int NOT NULL REFERENCES dbo.MediaType (MediaTypeId), GenreId int NULL REFERENCES \
         dbo.Genre (GenreId), UnitPrice numeric(10,2) NOT NULL",
    ),
    (
        "Invoice",
        "InvoiceId int NOT NULL PRIMARY KEY, CustomerId int NOT NULL REFERENCES dbo.Customer (CustomerId), Total \
         numeric(10,2) NOT NULL",
    ),
    (
        "InvoiceLine",
        "InvoiceLineId int NOT NULL PRIMARY KEY, InvoiceId int NOT NULL REFERENCES dbo.Invoice (InvoiceId), TrackId \
         int NOT NULL REFERENCES dbo.Track (TrackId), Quantity int NOT NULL",
    ),
    (
        "Playlist",
        "PlaylistId int NOT NULL PRIMARY KEY, Name nvarchar(120) NULL",
    ),
    (
        "PlaylistTrack",
        "PlaylistId int NOT NULL REFERENCES dbo.Playlist (PlaylistId), TrackId int NOT NULL REFERENCES dbo.Track \
         (TrackId), PRIMARY KEY (PlaylistId, TrackId)",
    ),
];

fn create() -> String {
    let tables = TABLES.map(|(name, columns)| format!("CREATE TABLE dbo.{name} ({columns})"));
    tables.join("\nGO\n")
}

/// In an order that no foreign key allows.
fn config(merge: &str, load: &str) -> String {
    let mut names = TABLES.map(|(name, _)| name);
    names.reverse();
    let tables = names.map(|name| {
        format!(
            "  - source: dbo.{name}\n    change: {{ strategy: full }}\n    merge: {{ {merge} }}\n"
        )
    });
    format!("{}{load}", tables.concat())
}

const FILL: &str = "INSERT dbo.Artist VALUES (1, N'a'), (2, N'b'), (3, N'c');
INSERT dbo.Album VALUES (1, N'one', 1), (2, N'two', 1), (3, N'three', 2), (4, N'four', 3);
INSERT dbo.Employee VALUES (1, N'boss', NULL);
INSERT dbo.Employee VALUES (2, N'left', 1), (3, N'right', 1);
INSERT dbo.Employee VALUES (4, N'hand', 3);
INSERT dbo.Customer VALUES (1, N'x', 2), (2, N'y', 4), (3, N'z', NULL);
INSERT dbo.Genre VALUES (1, N'rock'), (2, N'jazz');
INSERT dbo.MediaType VALUES (1, N'mp3'), (2, N'aac');
INSERT dbo.Track VALUES (1, N't1', 1, 1, 1, 0.99), (2, N't2', 2, 1, NULL, 0.99), (3, N't3', NULL, 2, 2, 1.99),
    (4, N't4', 4, 2, 1, 1.99);
INSERT dbo.Invoice VALUES (1, 1, 1.98), (2, 2, 0.99), (3, 3, 5.97);
INSERT dbo.InvoiceLine VALUES (1, 1, 1, 1), (2, 1, 2, 1), (3, 2, 3, 1), (4, 3, 4, 3);
INSERT dbo.Playlist VALUES (1, N'all'), (2, N'none');
INSERT dbo.PlaylistTrack VALUES (1, 1), (1, 2), (1, 3), (1, 4)";

/// New parents with new children, children that change parents, parents that go with their children or without.
const CHANGE: &str = "INSERT dbo.Artist VALUES (10, N'new');
INSERT dbo.Album VALUES (10, N'new', 10);
INSERT dbo.Track VALUES (10, N'new', 10, 1, 1, 2.99);
INSERT dbo.PlaylistTrack VALUES (2, 10);
DELETE dbo.PlaylistTrack WHERE TrackId = 4;
DELETE dbo.InvoiceLine WHERE TrackId = 4;
UPDATE dbo.InvoiceLine SET TrackId = 10 WHERE InvoiceLineId = 2;
DELETE dbo.Track WHERE TrackId = 4;
DELETE dbo.Album WHERE AlbumId = 4;
UPDATE dbo.Album SET ArtistId = 10 WHERE ArtistId = 3 OR AlbumId = 3;
DELETE dbo.Artist WHERE ArtistId = 3;
INSERT dbo.Employee VALUES (5, N'new boss', NULL);
UPDATE dbo.Employee SET ReportsTo = 5 WHERE ReportsTo IN (1, 3);
UPDATE dbo.Customer SET SupportRepId = 5 WHERE SupportRepId = 2;
DELETE dbo.Employee WHERE EmployeeId IN (1, 3);
INSERT dbo.Invoice VALUES (10, 3, 1.00);
INSERT dbo.InvoiceLine VALUES (10, 10, 10, 2);
DELETE dbo.InvoiceLine WHERE InvoiceId = 3;
DELETE dbo.Invoice WHERE InvoiceId = 3";

async fn assert_equal(world: &mut World, when: &str) {
    for (name, _) in TABLES {
        let rows = format!("SELECT * FROM dbo.{name} ORDER BY 1, 2");
        assert_eq!(
            world.source_rows(&rows).await,
            world.target_rows(&rows).await,
            "{name} {when}"
        );
    }
    let doubtful = "SELECT name FROM sys.foreign_keys WHERE is_disabled = 1 OR is_not_trusted = 1";
    assert!(world.target_rows(doubtful).await.is_empty(), "{when}");
    let left = "SELECT t.name FROM sys.tables t JOIN sys.schemas s ON s.schema_id = t.schema_id WHERE s.name = \
        N'icesync' AND t.name LIKE N'stg%'";
    assert!(world.target_rows(left).await.is_empty(), "{when}");
}

/// Both sides have the tables; the source has rows.
async fn chinook() -> World {
    let mut world = World::new(&format!("{}\nGO\n{FILL}", create())).await;
    for batch in create().split("\nGO\n") {
        world.target(batch).await;
    }
    world
}

fn loads(report: &Value) -> impl Iterator<Item = &Value> {
    report["tables"]
        .as_array()
        .expect("tables")
        .iter()
        .map(|table| &table["load"])
}

#[tokio::test(flavor = "multi_thread")]
async fn related_tables_are_loaded_with_every_constraint_enforced() {
    for (merge, load) in [
        ("statement: merge", ""),
        ("statement: update_insert", "load: { group: all }\n"),
        ("mode: replace", ""),
    ] {
        let mut world = chinook().await;
        world.config(&config(merge, load));
        world.run(&["--json", "sync"]).json();
        assert_equal(&mut world, merge).await;
        world.source(CHANGE).await;
        let run = world.run(&["--json", "sync"]).json();
        assert!(
            loads(&run).all(|load| load["sequence_number"] != Value::Null),
            "{run:#}"
        );
        assert_equal(&mut world, merge).await;
        let again = world.run(&["--json", "sync"]).json();
        assert!(
            loads(&again).all(|load| load["kind"] == json!("nothing")),
            "{again:#}"
        );
        assert_eq!(again["outcome"], json!("unchanged"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_loaded_whole_or_not_at_all() {
    let Some(faults) = server().faults() else {
        eprintln!("SKIPPED: replies of a real server cannot be dropped");
        return;
    };
    let mut world = chinook().await;
    world.config(&config("", ""));
    world.run(&["--json", "sync"]).json();
    world.source(CHANGE).await;
    // Any of its tables fails, and none is loaded.
    world
        .target("UPDATE dbo.Invoice SET Total = 2 WHERE Total <= 1.5")
        .await;
    world
        .target("ALTER TABLE dbo.Invoice ADD CONSTRAINT dear CHECK (Total > 1.5)")
        .await;
    let before = "SELECT COUNT(*), MAX(snapshot_id) FROM icesync.load_state; ";
    let (states, tracks) = (
        world.target_rows(before).await,
        world
            .target_rows("SELECT * FROM dbo.Track ORDER BY 1")
            .await,
    );
    let failed = world.run(&["sync"]);
    failed.fails_with(
        1,
        &[
            "dbo.Invoice",
            "violates a constraint",
            "`merge: { on_bad_row: quarantine }` and `load: { group: none }`",
            "loaded in one transaction with dbo.Invoice",
        ],
    );
    assert_eq!(world.target_rows(before).await, states);
    assert_eq!(
        world
            .target_rows("SELECT * FROM dbo.Track ORDER BY 1")
            .await,
        tracks
    );
    world
        .target("ALTER TABLE dbo.Invoice DROP CONSTRAINT dear")
        .await;
    world.run(&["--json", "load", "--full"]).json();
    assert_equal(&mut world, "after the constraint was dropped").await;
    // Dead before the transaction: nothing has happened.
    world
        .source("UPDATE dbo.Genre SET Name = N'pop'; UPDATE dbo.Track SET UnitPrice = 3")
        .await;
    let mut command = world.command(&["sync"]);
    let died = finish(
        command
            .env("ICESYNC_FAILPOINT", format!("{FAIL_AFTER_NET}:2"))
            .spawn()
            .expect("starts"),
    );
    assert!(died.code != 0, "{died:#?}");
    let pop = "SELECT COUNT(*) FROM dbo.Genre WHERE Name = N'pop'";
    assert_eq!(world.target_rows(pop).await, [["Int(0)"]]);
    // The reply to the commit is lost, and it was committed.
    let fired = faults.fired();
    faults.arm(
        Fault::DropAfter,
        "COMMIT TRANSACTION; SET LOCK_TIMEOUT -1;",
        1,
    );
    let run = world.run(&["--json", "load"]);
    assert!(faults.fired() > fired, "the reply was not dropped");
    run.json();
    assert_equal(&mut world, "after a lost reply").await;
}

/// A row that others of its table refer to goes, and they refer to a new one.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_one_table_change_what_they_refer_to() {
    let create = "CREATE TABLE dbo.staff (id int NOT NULL PRIMARY KEY, boss int NULL REFERENCES dbo.staff (id))";
    let rows = "SELECT id, boss FROM dbo.staff ORDER BY id";
    for mode in ["upsert", "replace"] {
        for statement in ["merge", "update_insert"] {
            let mut world = World::new(create).await;
            world.target(create).await;
            world
                .source(
                    "INSERT dbo.staff VALUES (1, NULL); INSERT dbo.staff VALUES (2, 1);
                    INSERT dbo.staff VALUES (3, 2)",
                )
                .await;
            world.config(&format!(
                "  - source: dbo.staff\n    change: {{ strategy: full }}\n    merge: {{ mode: {mode}, statement: \
                 {statement} }}\n"
            ));
            world.run(&["--json", "sync"]).json();
            world
                .source(
                    "INSERT dbo.staff VALUES (4, NULL); UPDATE dbo.staff SET boss = 4 WHERE id = 2;
                    DELETE dbo.staff WHERE id = 1",
                )
                .await;
            let run = world.run(&["--json", "sync"]).json();
            let load = &run["tables"][0]["load"];
            let counts =
                ["inserted", "updated", "deleted", "unchanged"].map(|name| load[name].clone());
            let unchanged = if mode == "replace" { 1 } else { 0 };
            assert_eq!(
                counts,
                [json!(1), json!(1), json!(1), json!(unchanged)],
                "{run:#}"
            );
            assert_eq!(
                world.source_rows(rows).await,
                world.target_rows(rows).await,
                "{mode} {statement}"
            );
        }
    }
}

/// A table refers to itself, and to another one in a circle.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_gets_deferred_values_is_counted_once() {
    let create = "CREATE TABLE dbo.team (id int NOT NULL PRIMARY KEY, parent int NULL REFERENCES dbo.team (id),
            lead_id int NULL);
        CREATE TABLE dbo.person (id int NOT NULL PRIMARY KEY, team_id int NOT NULL REFERENCES dbo.team (id));
        ALTER TABLE dbo.team ADD CONSTRAINT FK_lead FOREIGN KEY (lead_id) REFERENCES dbo.person (id)";
    for statement in ["merge", "update_insert"] {
        let mut world = World::new(create).await;
        world.target(create).await;
        world
            .source(
                "INSERT dbo.team VALUES (1, NULL, NULL), (2, NULL, NULL); INSERT dbo.person VALUES (1, 1);
                UPDATE dbo.team SET lead_id = 1 WHERE id = 1",
            )
            .await;
        let tables = ["person", "team"].map(|name| {
            format!(
                "  - source: dbo.{name}\n    change: {{ strategy: full }}\n    merge: {{ statement: {statement} }}\n"
            )
        });
        world.config(&tables.concat());
        world.run(&["--json", "sync"]).json();
        world
            .source(
                "INSERT dbo.team VALUES (3, 1, NULL), (4, 1, NULL); INSERT dbo.person VALUES (3, 3), (4, 4);
                UPDATE dbo.team SET lead_id = id WHERE id >= 3; UPDATE dbo.team SET parent = 3 WHERE id = 2",
            )
            .await;
        let run = world.run(&["--json", "sync"]).json();
        let load = &run["tables"][1]["load"];
        let counts = ["inserted", "updated", "deleted", "unchanged"].map(|name| load[name].clone());
        assert_eq!(
            counts,
            [json!(2), json!(1), json!(0), json!(0)],
            "{statement}: {run:#}"
        );
        assert_circle(&mut world, statement).await;
    }
}

/// Tables whose foreign keys are not known are not loaded one by one: a child might come before its parent.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_loaded_while_foreign_keys_are_not_known() {
    let tables = "CREATE TABLE dbo.p (id int NOT NULL PRIMARY KEY);
        CREATE TABLE dbo.c (id int NOT NULL PRIMARY KEY, p int NOT NULL REFERENCES dbo.p (id))";
    let own = Own::new(&[
        tables,
        "INSERT dbo.p VALUES (1); INSERT dbo.c VALUES (1, 1)",
    ])
    .await;
    own.sql("target", tables).await;
    own.config(
        "  - source: dbo.c\n    change: { strategy: full }\n  - source: dbo.p\n    change: { strategy: full }\n",
    );
    let faults = &own.sandbox.faults;
    let reading = "SELECT f.object_id AS key_id";
    let lasting = SqlError {
        number: 8134,
        state: 1,
        class: 16,
        line: 1,
        message: "Divide by zero error encountered.".to_owned(),
    };
    faults.arm(Fault::Error(lasting), reading, 1);
    let refused = own.run(&["--json", "sync"]);
    refused.fails_with(1, &["8134", "reading the foreign keys"]);
    let refused = refused.json_any();
    for table in refused["tables"].as_array().expect("tables") {
        assert_eq!(table["extract"]["sequence_number"], json!(1), "{refused:#}");
        assert_eq!(table["load"], Value::Null, "{refused:#}");
    }
    let fired = faults.fired();
    faults.arm(Fault::DropBefore, reading, 1);
    let run = own.run(&["--json", "load"]);
    assert_eq!(faults.fired(), fired + 1);
    assert_eq!(run.stderr.matches("trying again").count(), 1, "{run:#?}");
    assert!(loads(&run.json()).all(|load| load["inserted"] == json!(1)));
    let rows = own.rows("target", "SELECT id, p FROM dbo.c").await;
    assert_eq!(rows, [["Int(1)", "Int(1)"]]);
}

/// A reader sees the invoice and its lines, or neither, at any moment.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_never_sees_half_of_a_group() {
    let mut world = chinook().await;
    world.config(&config("", ""));
    world.run(&["--json", "sync"]).json();
    let mut reader = server().connect(&world.target_db).await;
    let mut invoice = 100;
    for _ in 0..3 {
        invoice += 1;
        world
            .source(&format!(
                "INSERT dbo.Invoice VALUES ({invoice}, 1, 9); INSERT dbo.InvoiceLine VALUES ({invoice}, {invoice}, 1, \
1)"
            ))
            .await;
        let mut run = world.spawn(&["sync"]);
        let both = "SELECT (SELECT COUNT(*) FROM dbo.Invoice WHERE InvoiceId > 100), (SELECT COUNT(*) FROM \
            dbo.InvoiceLine WHERE InvoiceLineId > 100)";
        while run.try_wait().expect("a child").is_none() {
            let seen = rows(&mut reader, both).await;
            assert_eq!(seen[0][0], seen[0][1], "an invoice without its lines");
        }
        assert_eq!(finish(run).code, 0);
    }
    assert_equal(&mut world, "at the end").await;
}

async fn assert_circle(world: &mut World, when: &str) {
    for rows in [
        "SELECT * FROM dbo.team ORDER BY id",
        "SELECT * FROM dbo.person ORDER BY id",
    ] {
        let (source, target) = (world.source_rows(rows).await, world.target_rows(rows).await);
        assert_eq!(source, target, "{when}");
    }
}

/// It would let the commit succeed without the rows of any table.
#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_begins_another_transaction_stops_the_group() {
    for event in ["INSERT", "DELETE"] {
        let mut world = chinook().await;
        world.config(&config("statement: update_insert", ""));
        world.run(&["--json", "sync"]).json();
        world.source(CHANGE).await;
        let states = "SELECT target, snapshot_id, run_id FROM icesync.load_state ORDER BY target";
        let artists = "SELECT * FROM dbo.Artist ORDER BY 1";
        let before = (
            world.target_rows(states).await,
            world.target_rows(artists).await,
        );
        world
            .target(&format!(
                "CREATE TRIGGER dbo.ends ON dbo.Artist AFTER {event} AS BEGIN ROLLBACK TRANSACTION; BEGIN \
                 TRANSACTION; END"
            ))
            .await;
        for command in ["sync", "load"] {
            let ended = ["dbo.Artist", "ended the transaction of the load"];
            world.run(&[command]).fails_with(1, &ended);
            let after = (
                world.target_rows(states).await,
                world.target_rows(artists).await,
            );
            assert_eq!(after, before, "{event} {command}");
        }
        world.target("DROP TRIGGER dbo.ends").await;
        world.run(&["--json", "load"]).json();
        assert_equal(&mut world, event).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn circles_are_deferred_or_rechecked() {
    let create = "CREATE TABLE dbo.team (id int NOT NULL PRIMARY KEY, lead_id int NULL);
        CREATE TABLE dbo.person (id int NOT NULL PRIMARY KEY, team_id int NOT NULL REFERENCES dbo.team (id));
        ALTER TABLE dbo.team ADD CONSTRAINT FK_lead FOREIGN KEY (lead_id) REFERENCES dbo.person (id)";
    for (cycles, mode) in [
        ("defer", "upsert"),
        ("recheck", "upsert"),
        ("defer", "replace"),
    ] {
        let mut world = World::new(create).await;
        world.target(create).await;
        world
            .source(
                "INSERT dbo.team VALUES (1, NULL), (2, NULL); INSERT dbo.person VALUES (1, 1), (2, 1), (3, 2);
                UPDATE dbo.team SET lead_id = 2 WHERE id = 1; UPDATE dbo.team SET lead_id = 3 WHERE id = 2",
            )
            .await;
        world.config(&format!(
            "  - source: dbo.person\n    change: {{ strategy: full }}\n    merge: {{ mode: {mode} }}\n  - source: \
             dbo.team\n    change: {{ strategy: full }}\n    merge: {{ mode: {mode} }}\nload: {{ cycles: {cycles} }}\n"
        ));
        world.run(&["--json", "sync"]).json();
        world
            .source(
                "INSERT dbo.team VALUES (3, NULL); INSERT dbo.person VALUES (4, 3);
                UPDATE dbo.team SET lead_id = 4; UPDATE dbo.person SET team_id = 3 WHERE team_id = 2;
                DELETE dbo.team WHERE id = 2",
            )
            .await;
        let run = world.run(&["--json", "sync"]).json();
        let team = run["tables"]
            .as_array()
            .expect("tables")
            .iter()
            .find(|t| t["source"] == json!("dbo.team"));
        let counts = team
            .map(|team| ["inserted", "updated", "deleted"].map(|name| team["load"][name].clone()));
        assert_eq!(
            counts,
            Some([json!(1), json!(1), json!(1)]),
            "{cycles}: {run:#}"
        );
        assert_circle(&mut world, cycles).await;
        // Rows that refer to each other go.
        world
            .source(
                "UPDATE dbo.team SET lead_id = 1 WHERE id = 1; UPDATE dbo.team SET lead_id = NULL WHERE id = 3;
                DELETE dbo.person WHERE team_id = 3; DELETE dbo.team WHERE id = 3",
            )
            .await;
        world.run(&["--json", "sync"]).json();
        assert_circle(&mut world, cycles).await;
        let trusted =
            "SELECT COUNT(*) FROM sys.foreign_keys WHERE is_disabled = 0 AND is_not_trusted = 0";
        assert_eq!(world.target_rows(trusted).await, [["Int(2)"]], "{cycles}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_one_extract_fails_in_is_not_loaded() {
    let mut world = chinook().await;
    world.config(&config("", ""));
    world.run(&["--json", "sync"]).json();
    world.source(CHANGE).await;
    world
        .source("ALTER TABLE dbo.MediaType DROP COLUMN Name")
        .await;
    world.config(&config("", "").replace(
        "  - source: dbo.MediaType\n",
        "  - source: dbo.MediaType\n    schema: { on_change: refuse }\n",
    ));
    let failed = world.run(&["sync"]);
    failed.fails_with(
        1,
        &[
            "dbo.MediaType",
            "loaded in one transaction with dbo.MediaType",
        ],
    );
    let count = "SELECT COUNT(*) FROM dbo.Artist";
    assert_eq!(world.target_rows(count).await, [["Int(3)"]]);
}

/// Two tables that refer to each other, so that each is loaded in parts.
const MARKED: &str = "CREATE TABLE dbo.p (id int NOT NULL PRIMARY KEY, c int NULL, gone bit NOT NULL DEFAULT 0)
GO
CREATE TABLE dbo.c (id int NOT NULL PRIMARY KEY, p int NOT NULL REFERENCES dbo.p (id), gone bit NOT NULL DEFAULT 0)
GO
ALTER TABLE dbo.p ADD CONSTRAINT latest FOREIGN KEY (c) REFERENCES dbo.c (id)";

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_gone_are_marked_in_one_transaction() {
    for statement in ["merge", "update_insert"] {
        let mut world = World::new(
            "CREATE TABLE dbo.p (id int NOT NULL PRIMARY KEY, c int NULL);
CREATE TABLE dbo.c (id int NOT NULL PRIMARY KEY, p int NOT NULL);
INSERT dbo.p VALUES (1, 1), (2, 2); INSERT dbo.c VALUES (1, 1), (2, 2)",
        )
        .await;
        for batch in MARKED.split("\nGO\n") {
            world.target(batch).await;
        }
        let table = |name: &str| {
            format!(
                "  - source: dbo.{name}\n    change: {{ strategy: full }}\n    merge: {{ deletes: {{ soft: {{ column: \
                    gone }} }}, statement: {statement} }}\n"
            )
        };
        world.config(&format!("{}{}", table("c"), table("p")));
        world.run(&["--json", "sync"]).json();
        world
            .source(
                "DELETE dbo.c WHERE id = 2; DELETE dbo.p WHERE id = 2;
                INSERT dbo.p VALUES (3, 3); INSERT dbo.c VALUES (3, 3)",
            )
            .await;
        let run = world.run(&["--json", "sync"]).json();
        assert!(
            loads(&run).all(|load| load["deleted"] == json!(1)),
            "{run:#}"
        );
        let marked = [[1, 1, 0], [2, 2, 1], [3, 3, 0]];
        assert_eq!(marks(&mut world).await, [marked, marked], "{statement}");
        let full = world.run(&["--json", "load", "--full"]).json();
        assert!(
            loads(&full).all(|load| load["warnings"] == json!([])),
            "{full:#}"
        );
        world
            .source("INSERT dbo.p VALUES (2, NULL); INSERT dbo.c VALUES (2, 2)")
            .await;
        world.run(&["--json", "sync"]).json();
        let parents = [[1, 1, 0], [2, 0, 0], [3, 3, 0]];
        let children = [[1, 1, 0], [2, 2, 0], [3, 3, 0]];
        assert_eq!(marks(&mut world).await, [parents, children], "{statement}");
    }
}

/// A table with marks refers to one that deletes rows.
#[tokio::test(flavor = "multi_thread")]
async fn no_foreign_key_takes_rows_that_are_kept() {
    let table = |name: &str, merge: &str| {
        format!(
            "  - source: dbo.{name}\n    change: {{ strategy: full }}\n    merge: {{ {merge} }}\n"
        )
    };
    let soft = table("c", "deletes: { soft: { column: gone } }");
    let lines = "SELECT id, CONVERT(int, gone) FROM dbo.c ORDER BY id";
    let kept = [["Int(1)", "Int(0)"], ["Int(2)", "Int(1)"]];
    for action in ["ON DELETE CASCADE", "ON DELETE NO ACTION"] {
        let mut world = World::new(
            "CREATE TABLE dbo.p (id int NOT NULL PRIMARY KEY);
CREATE TABLE dbo.c (id int NOT NULL PRIMARY KEY, p int NOT NULL);
INSERT dbo.p VALUES (1), (2); INSERT dbo.c VALUES (1, 1), (2, 2)",
        )
        .await;
        for batch in [
            "CREATE TABLE dbo.p (id int NOT NULL PRIMARY KEY)".to_owned(),
            "CREATE TABLE dbo.c (id int NOT NULL PRIMARY KEY, p int NOT NULL, gone bit NOT NULL DEFAULT 0)".to_owned(),
            format!("ALTER TABLE dbo.c ADD CONSTRAINT of_p FOREIGN KEY (p) REFERENCES dbo.p (id) {action}"),
        ] {
            world.target(&batch).await;
        }
        world.config(&format!("{soft}{}", table("p", "deletes: hard")));
        let gone = "DELETE dbo.c WHERE id = 2; DELETE dbo.p WHERE id = 2";
        if action == "ON DELETE CASCADE" {
            let texts = ["dbo.c", "dbo.p", "of_p", "NO ACTION"];
            world.run(&["sync"]).fails_with(1, &texts);
            assert!(world.target_rows(lines).await.is_empty());
            world.config(&format!("{soft}{}", table("p", "deletes: ignore")));
            world.run(&["--json", "sync"]).json();
            world.source(gone).await;
        } else {
            world.run(&["--json", "sync"]).json();
            world.source(gone).await;
            let texts = ["of_p", "keeps rows whose key has left the lake", "disable"];
            world.run(&["sync"]).fails_with(1, &texts);
            world
                .target("ALTER TABLE dbo.c NOCHECK CONSTRAINT of_p")
                .await;
        }
        world.run(&["--json", "sync"]).json();
        assert_eq!(world.target_rows(lines).await, kept, "{action}");
    }
}

/// Of both tables, each row's key, what it refers to and whether it is marked.
async fn marks(world: &mut World) -> [[[i32; 3]; 3]; 2] {
    let mut found = [[[-1; 3]; 3]; 2];
    for (query, found) in [
        "SELECT id, ISNULL(c, 0), CONVERT(int, gone) FROM dbo.p ORDER BY id",
        "SELECT id, p, CONVERT(int, gone) FROM dbo.c ORDER BY id",
    ]
    .into_iter()
    .zip(&mut found)
    {
        let rows = world.target_rows(query).await;
        assert_eq!(rows.len(), 3, "{rows:?}");
        for (cell, found) in rows.iter().flatten().zip(found.iter_mut().flatten()) {
            let number = cell.trim_start_matches("Int(").trim_end_matches(')');
            *found = number.parse().expect("a number");
        }
    }
    found
}

/// The child's load state says that it has a row which the server deleted with its parent.
#[tokio::test(flavor = "multi_thread")]
async fn deletes_that_reach_a_table_that_is_loaded_apart_are_told() {
    let mut world = World::new(
        "CREATE TABLE dbo.p (id int NOT NULL PRIMARY KEY);
CREATE TABLE dbo.c (id int NOT NULL PRIMARY KEY, p int NOT NULL);
INSERT dbo.p VALUES (1), (2); INSERT dbo.c VALUES (1, 1), (2, 2)",
    )
    .await;
    for batch in [
        "CREATE TABLE dbo.p (id int NOT NULL PRIMARY KEY)",
        "CREATE TABLE dbo.c (id int NOT NULL PRIMARY KEY, p int NOT NULL CONSTRAINT of_p REFERENCES dbo.p (id) ON \
         DELETE CASCADE)",
        // Not of icesync.
        "CREATE TABLE dbo.own (p int NULL CONSTRAINT own_p REFERENCES dbo.p (id) ON DELETE SET NULL)",
    ] {
        world.target(batch).await;
    }
    let tables = ["p", "c"]
        .map(|name| format!("  - source: dbo.{name}\n    change: {{ strategy: full }}\n"));
    let tables = tables.concat();
    world.config(&tables);
    world.run(&["--json", "sync"]).json();
    let told = |report: &Value| {
        let warnings = report["warnings"].to_string();
        assert!(!warnings.contains("own_p"), "{warnings}");
        let is_told = warnings.contains("of_p");
        assert!(!is_told || warnings.contains("dbo.c"), "{warnings}");
        is_told
    };
    world.source("DELETE dbo.p WHERE id = 2").await;
    // They are loaded together.
    let plan = world.run(&["--json", "plan"]).json();
    assert!(!loads(&plan).any(told), "{plan:#}");
    let alone = ["--json", "plan", "--table", "dbo.p"];
    let plan = world.run(&alone).json();
    assert!(loads(&plan).all(told), "{plan:#}");
    let text = world.run(&["plan", "--table", "dbo.p"]).stdout;
    assert!(text.contains("of_p"), "{text}");
    let run = world.run(&["--json", "sync", "--table", "dbo.p"]).json();
    assert!(loads(&run).all(told), "{run:#}");
    world.config(&format!("{tables}load: {{ group: none }}\n"));
    let plan = world.run(&["--json", "plan"]).json();
    let found: Vec<bool> = loads(&plan).map(told).collect();
    assert_eq!(found, [true, false], "{plan:#}");
}

/// The table in between is not one of icesync.
#[tokio::test(flavor = "multi_thread")]
async fn deletes_that_reach_a_table_through_another_one_are_told() {
    let mut world = World::new(
        "CREATE TABLE dbo.p (id int NOT NULL PRIMARY KEY);
CREATE TABLE dbo.c (id int NOT NULL PRIMARY KEY, m int NULL);
INSERT dbo.p VALUES (1), (2); INSERT dbo.c VALUES (1, NULL), (2, NULL)",
    )
    .await;
    for batch in [
        "CREATE TABLE dbo.p (id int NOT NULL PRIMARY KEY)",
        "CREATE TABLE dbo.m (id int NOT NULL PRIMARY KEY, p int NOT NULL CONSTRAINT m_p REFERENCES dbo.p (id) ON \
         DELETE CASCADE)",
        "CREATE TABLE dbo.c (id int NOT NULL PRIMARY KEY, m int NULL CONSTRAINT c_m REFERENCES dbo.m (id) ON DELETE \
         SET NULL)",
    ] {
        world.target(batch).await;
    }
    let tables = ["p", "c"]
        .map(|name| format!("  - source: dbo.{name}\n    change: {{ strategy: full }}\n"));
    world.config(&tables.concat());
    world.run(&["--json", "sync"]).json();
    world.source("DELETE dbo.p WHERE id = 2").await;
    let run = world.run(&["--json", "sync"]).json();
    let told = |report: &Value| report["warnings"].to_string().contains("m_p, c_m");
    let found: Vec<bool> = loads(&run).map(told).collect();
    assert_eq!(found, [true, false], "{run:#}");
}
