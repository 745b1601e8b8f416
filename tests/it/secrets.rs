//! Neither a password nor a row's value is printed where nobody asked for it: by no wrong shape of a configuration, and
//! by no failing command, however much it logs.

use crate::harness::{PASSWORD, Run, World, finish, server};
use crate::isolation::Isolation;
use icesync::config::{Config, ConfigError};
use icesync::mssql::settings::Connection;
use icesync::sync::FAIL_AFTER_RANGE;
use serde_json::Value as Json;
use serde_yaml_ng::{Mapping, Value};
use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::Path;

/// In every secret that stands in a configuration here.
const MARKER: &str = "Hunter2Marker";

/// The first three are connection strings, which are a legal value in no other place.
const SECRETS: [&str; 7] = [
    "Server=tcp:db,1433;User ID=sa;Password=Hunter2Marker",
    "mssql://sa:Hunter2Marker@db:1433/sales",
    "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=Hunter2Marker",
    "Hunter2Marker",
    "Hunter2Marker.b.c",
    "5 Hunter2Marker",
    "Hunter2Marker\"\\\n'`é${",
];

/// The example of the guide, which has every key.
fn whole() -> String {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/GUIDE.md");
    let guide = fs::read_to_string(guide).expect("a guide");
    let block = guide.split("```yaml\n").nth(1).expect("an example");
    block.split("```").next().expect("its end").to_owned()
}

fn read(text: &str, secret: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("icesync.yaml"), text, |name| match name {
        "MARK" => Some(secret.to_owned()),
        "ICESYNC_SOURCE" | "ICESYNC_TARGET" => Some(SECRETS[0].to_owned()),
        _ => None,
    })
}

/// Everything that can be printed of an error.
fn printed(error: &ConfigError) -> String {
    let mut all = format!("{error} {error:?} {error:#?}");
    let mut next = error.source();
    while let Some(source) = next {
        all.push_str(&format!(" {source} {source:?}"));
        next = source.source();
    }
    all
}

/// Every tree in which one node is replaced, and every one in which a mapping has one more entry.
fn changed(tree: &Value, by: &Value, secret: &str, found: &mut Vec<Value>) {
    found.push(by.clone());
    let mut inner = |at: &dyn Fn(&mut Value) -> &mut Value, child: &Value| {
        let mut below = Vec::new();
        changed(child, by, secret, &mut below);
        for part in below {
            let mut all = tree.clone();
            *at(&mut all) = part;
            found.push(all);
        }
    };
    match tree {
        Value::Sequence(items) => {
            for (index, child) in items.iter().enumerate() {
                inner(&|all| &mut all[index], child);
            }
        }
        Value::Mapping(entries) => {
            for (key, child) in entries {
                inner(&|all| &mut all[key], child);
            }
            for (key, value) in [
                (Value::from(secret), Value::from(1)),
                (Value::from("extra"), by.clone()),
            ] {
                let mut more: Mapping = entries.clone();
                more.insert(key, value);
                found.push(Value::Mapping(more));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Tagged(_) => {}
    }
}

/// Every shape in which a secret stands where it should not: what is written, and what `MARK` stands for.
fn shapes() -> Vec<(String, &'static str)> {
    let tree: Value = serde_yaml_ng::from_str(&whole()).expect("YAML");
    let mut shapes = Vec::new();
    for secret in SECRETS {
        for written in [secret, "${MARK}"] {
            let value = Value::from(written);
            let entry = |key: Value, value: Value| {
                let mut map = Mapping::new();
                map.insert(key, value);
                Value::Mapping(map)
            };
            let tagged = serde_yaml_ng::value::TaggedValue {
                tag: serde_yaml_ng::value::Tag::new("marked"),
                value: value.clone(),
            };
            for by in [
                value.clone(),
                Value::Sequence(vec![value.clone()]),
                Value::Sequence(vec![value.clone(), value.clone()]),
                entry(value.clone(), Value::from(1)),
                entry(value.clone(), value.clone()),
                entry(Value::from(1), value.clone()),
                entry(
                    Value::from("connection"),
                    Value::Sequence(vec![value.clone()]),
                ),
                entry(
                    Value::from("connection"),
                    entry(value.clone(), value.clone()),
                ),
                Value::Tagged(Box::new(tagged)),
            ] {
                let mut trees = Vec::new();
                changed(&tree, &by, written, &mut trees);
                let texts = trees.iter().map(|tree| {
                    let text = serde_yaml_ng::to_string(tree).expect("YAML");
                    (text, secret)
                });
                shapes.extend(texts);
            }
        }
    }
    shapes
}

/// Whether a shape is refused. Neither the error nor the configuration prints the secret.
fn refused(text: &str, secret: &str, is_hidden: bool) -> bool {
    match read(text, secret) {
        Err(error) => {
            let all = printed(&error);
            assert!(!all.contains(MARKER), "{text}\n{all}");
            true
        }
        Ok(config) => {
            let all = format!("{config:?} {config:#?}");
            assert!(!is_hidden || !all.contains(MARKER), "{text}\n{all}");
            false
        }
    }
}

#[test]
fn no_wrong_shape_of_a_configuration_prints_a_secret() {
    assert!(read(&whole(), "").is_ok(), "{:?}", read(&whole(), "").err());
    let (mut errors, mut read) = (0, 0);
    for (text, secret) in shapes() {
        // Any other secret may be the name of a table or a column: then it is printed as that.
        match refused(&text, secret, SECRETS[..3].contains(&secret)) {
            true => errors += 1,
            false => read += 1,
        }
    }
    assert!(errors > 3000 && read > 50, "{errors} refused, {read} read");
}

#[test]
fn no_broken_yaml_prints_a_secret() {
    let mut errors = 0;
    for secret in [SECRETS[0], "Hunter2Marker"] {
        let clear = format!("'{secret}'");
        let text = whole().replacen("\"${ICESYNC_SOURCE}\"", &clear, 1);
        assert!(text.contains(MARKER), "{text}");
        for at in (0..text.len()).filter(|&at| text.is_char_boundary(at)) {
            let (before, after) = text.split_at(at);
            let mut broken = vec![before.to_owned()];
            // Around the secret everywhere, elsewhere now and then.
            if before.lines().count() < 5 || at % 31 == 0 {
                let pieces = [
                    "\"", "'", "[", "{", "]", "\n", "\t", "%", "!!int ", "*a ", "? ", "- ", ": ",
                    "\0",
                ];
                broken.extend(pieces.map(|piece| format!("{before}{piece}{after}")));
            }
            for text in broken {
                errors += usize::from(refused(&text, "", false));
            }
        }
    }
    assert!(errors > 1000, "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_prints_no_secret_of_a_wrong_configuration() {
    let world = World::new("CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY)").await;
    let shapes = shapes();
    let some = shapes.iter().step_by(shapes.len() / 60);
    for (text, secret) in some.filter(|(text, secret)| read(text, secret).is_err()) {
        fs::write(world.path("icesync.yaml"), text).expect("written");
        for args in [&["--json", "-vv", "status"][..], &["--show-values", "sync"]] {
            let mut command = world.command(args);
            command.env("MARK", secret).env("ICESYNC_LOG", "trace");
            let run = finish(command.spawn().expect("starts"));
            assert_eq!(run.code, 2, "{text}\n{run:#?}");
            hides(&run, &[MARKER]);
        }
    }
}

/// A text as it is, and as JSON and Rust write it.
fn spellings(text: &str) -> [String; 3] {
    let bare = |quoted: String| quoted[1..quoted.len() - 1].to_owned();
    [
        text.to_owned(),
        bare(Json::from(text).to_string()),
        bare(format!("{text:?}")),
    ]
}

/// Asserts that a run has printed none of these.
#[track_caller]
fn hides(run: &Run, hidden: &[&str]) {
    let all = format!("{}{}", run.stdout, run.stderr);
    for spelled in hidden.iter().flat_map(|text| spellings(text)) {
        assert!(!all.contains(&spelled), "{spelled} is printed: {run:#?}");
    }
    assert!(!all.contains("panicked"), "{run:#?}");
}

/// The password that the tests log in with, here or on a real server.
fn password() -> String {
    let connection = Connection::parse(&server().connection("master")).expect("a connection");
    connection.password.expose().to_owned()
}

/// All commands; a test compares them with the help.
const COMMANDS: &[&[&str]] = &[
    &["extract"],
    &["load"],
    &["load", "--full"],
    &["sync"],
    &["plan"],
    &["status"],
    &["snapshots"],
    &["verify"],
    &["reconcile"],
    &["quarantine", "list"],
    &["quarantine", "show", "--table", "dbo.t", "--key", "1"],
    &["quarantine", "retry"],
    &[
        "quarantine",
        "discard",
        "--table",
        "dbo.t",
        "--all",
        "--yes",
    ],
    &["maintain"],
    &["relocate"],
    &["state", "show"],
    &["state", "verify"],
    &["state", "repair"],
    &["state", "export"],
    &["state", "import", "--all", "--file", "state.json", "--yes"],
    &[
        "state",
        "import",
        "--all",
        "--target",
        "--file",
        "state.json",
        "--yes",
    ],
    &["state", "forget", "--target", "dbo.old", "--yes"],
    &["state", "reset", "--all", "--target", "--yes"],
    &["state", "reset", "--all", "--yes"],
];

/// The commands that a help lists.
fn listed(world: &World, args: &[&str]) -> BTreeSet<String> {
    let help = world.run(&[args, &["--help"]].concat()).stdout;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    let names = commands.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let names = names.filter(|name| !name.is_empty() && *name != "help");
    names.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_failing_command_prints_a_password() {
    let table = "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY)\nGO\nINSERT dbo.t VALUES (1)";
    let world = World::new(table).await;
    world.config("  - source: dbo.t\n");
    let top: &[&str] = &[];
    for group in [top, &["quarantine"], &["state"]] {
        let named = COMMANDS
            .iter()
            .filter_map(|args| args.strip_prefix(group)?.first());
        let named: BTreeSet<String> = named.map(ToString::to_string).collect();
        assert_eq!(
            listed(&world, group),
            named,
            "COMMANDS lacks some of {group:?}"
        );
    }
    world.run(&["--json", "sync"]).json();
    let exported = world.run(&["--json", "state", "export", "--file", "state.json"]);
    assert_eq!(exported.code, 0, "{exported:#?}");

    let good = fs::read_to_string(world.path("icesync.yaml")).expect("read");
    let missing = good.replace("dbo.t", "dbo.missing");
    let no_folder = good.replace("./warehouse", "./icesync.yaml");
    let wrong = |database: &str| server().connection_as(database, "sa", MARKER);
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("an address").port();
    drop(free);
    let login = format!("User ID=sa;Password={MARKER};Encrypt=false;Database=d");
    let unreachable = format!("Server=127.0.0.1,{port};{login}");
    let misspelt = format!("Server=127.0.0.1,{port};User ID=sa;Passwort={MARKER}");
    let unquoted = format!("Server=127.0.0.1,{port};User ID=sa;Password=a;{MARKER}=1");
    let url = format!("mssql://sa:{MARKER}@127.0.0.1:nope/d");
    // A configuration, a connection instead of the good ones, and how many of the commands must fail at least.
    let ways = [
        (&good, Some(wrong(&world.source_db)), 10),
        (&good, Some(unreachable), 10),
        (&good, Some(misspelt), 20),
        (&good, Some(unquoted), 20),
        (&good, Some(url), 20),
        (&no_folder, None, 5),
        (&missing, None, 5),
    ];
    let password = password();
    for (config, connection, failing) in ways {
        fs::write(world.path("icesync.yaml"), config).expect("written");
        // Side by side, because some wait before they try again.
        let started = COMMANDS.iter().map(|args| {
            let mut command =
                world.command(&[&["--json", "-vv", "--show-values"][..], *args].concat());
            command.env("ICESYNC_LOG", "trace");
            if let Some(connection) = &connection {
                command.env("ICESYNC_SOURCE", connection);
                command.env("ICESYNC_TARGET", connection);
            }
            command.spawn().expect("starts")
        });
        let started: Vec<_> = started.collect();
        let mut failed = 0;
        for (child, args) in started.into_iter().zip(COMMANDS) {
            let run = finish(child);
            hides(&run, &[MARKER, &password]);
            assert!((0..=75).contains(&run.code), "{args:?}: {run:#?}");
            failed += usize::from(run.code != 0);
        }
        assert!(
            failed >= failing,
            "{failed} failed: {connection:?}\n{config}"
        );
    }
    nothing_holds(world.dir.path(), &[MARKER, &password]);
}

/// Asserts that no file beneath a folder has one of these, as text or as UTF-16.
fn nothing_holds(folder: &Path, hidden: &[&str]) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            nothing_holds(&path, hidden);
            continue;
        }
        let bytes = fs::read(&path).expect("read");
        for spelled in hidden.iter().flat_map(|text| spellings(text)) {
            let wide: Vec<u8> = spelled.encode_utf16().flat_map(u16::to_le_bytes).collect();
            for part in [spelled.as_bytes(), &wide] {
                let is_there = bytes.windows(part.len()).any(|window| window == part);
                assert!(!is_there, "{} holds a password", path.display());
            }
        }
    }
}

/// In every row here.
const ADA: &str = "Ada-4711";

/// A load or an extract that fails over a row.
struct Case {
    what: &'static str,
    source: &'static str,
    target: &'static str,
    table: &'static str,
    /// Runs well before `change`.
    before: Option<&'static str>,
    change: &'static str,
    run: &'static str,
    /// In the message whether or not values are shown.
    says: &'static [&'static str],
}

const PEOPLE: &str = "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, name nvarchar(40) NULL)
GO
INSERT dbo.t VALUES (1, N'Ada-4711 Lovelace')";
const FULL: &str = "  - source: dbo.t\n    change: { strategy: full }\n";

const CASES: &[Case] = &[
    Case {
        what: "a unique constraint of the target",
        source: PEOPLE,
        target: "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, name nvarchar(40) NULL CONSTRAINT only_names UNIQUE)
GO
INSERT dbo.t VALUES (9, N'Ada-4711 Lovelace')",
        table: FULL,
        before: None,
        change: "",
        run: "sync",
        says: &["2627", "only_names"],
    },
    Case {
        what: "a unique index of the target",
        source: PEOPLE,
        target: "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, name nvarchar(40) NULL)
GO
CREATE UNIQUE INDEX only_names ON dbo.t (name)
GO
INSERT dbo.t VALUES (9, N'Ada-4711 Lovelace')",
        table: FULL,
        before: None,
        change: "",
        run: "sync",
        says: &["2601", "only_names"],
    },
    Case {
        what: "an error of a trigger's own",
        source: PEOPLE,
        target: "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, name nvarchar(40) NULL)
GO
CREATE TRIGGER dbo.watch ON dbo.t AFTER INSERT AS
BEGIN
    IF EXISTS (SELECT 1 FROM inserted WHERE id = 1) THROW 50010, N'Ada-4711 is frozen', 1;
END",
        table: FULL,
        before: None,
        change: "",
        run: "sync",
        says: &["50010"],
    },
    Case {
        what: "a value that a trigger truncates",
        source: PEOPLE,
        target: "CREATE TABLE dbo.audit (note nvarchar(10) NULL)
GO
CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, name nvarchar(40) NULL)
GO
CREATE TRIGGER dbo.watch ON dbo.t AFTER INSERT AS INSERT dbo.audit (note) SELECT name FROM inserted",
        table: FULL,
        before: None,
        change: "",
        run: "sync",
        says: &["2628", "note"],
    },
    Case {
        what: "a value that a trigger cannot convert",
        source: PEOPLE,
        target: "CREATE TABLE dbo.audit (n int NULL)
GO
CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, name nvarchar(40) NULL)
GO
CREATE TRIGGER dbo.watch ON dbo.t AFTER INSERT AS INSERT dbo.audit (n) SELECT CONVERT(int, name) FROM inserted",
        table: FULL,
        before: None,
        change: "",
        run: "sync",
        says: &["245", "Conversion failed"],
    },
    Case {
        what: "two rows with one key of a target that is created",
        source: "CREATE TABLE dbo.t (id int NOT NULL, name nvarchar(40) COLLATE Latin1_General_CI_AI NOT NULL, rv \
            rowversion)
GO
INSERT dbo.t (id, name) VALUES (1, N'Ada-4711 résumé')",
        target: "",
        table: "  - source: dbo.t\n    key: [id, name]\n    change: { strategy: rowversion }\n",
        before: Some("extract"),
        change: "INSERT dbo.t (id, name) VALUES (1, N'Ada-4711 resume')",
        run: "sync",
        says: &["as its collation compares keys"],
    },
    Case {
        what: "a coarser key of the target",
        source: "CREATE TABLE dbo.t (name varchar(40) COLLATE Latin1_General_CS_AS NOT NULL PRIMARY KEY, n int NOT NULL)
GO
INSERT dbo.t VALUES ('Ada-4711', 1)",
        target: "CREATE TABLE dbo.t (name varchar(40) COLLATE Latin1_General_CI_AS NOT NULL PRIMARY KEY, n int NOT \
            NULL)",
        table: FULL,
        before: Some("sync"),
        change: "INSERT dbo.t VALUES ('ADA-4711', 2)",
        run: "sync",
        says: &["source's collation"],
    },
    Case {
        what: "a target that has a key twice",
        source: "CREATE TABLE dbo.t (name nvarchar(40) NOT NULL PRIMARY KEY, n int NOT NULL)
GO
INSERT dbo.t VALUES (N'Ada-4711', 1)",
        target: "CREATE TABLE dbo.t (name nvarchar(40) NOT NULL, n int NOT NULL)
GO
INSERT dbo.t VALUES (N'Ada-4711', 2), (N'Ada-4711', 3)",
        table: FULL,
        before: None,
        change: "",
        run: "sync",
        says: &["more than one row with the key"],
    },
    Case {
        what: "a configured key that two rows of the source share",
        source: "CREATE TABLE dbo.t (name nvarchar(40) NOT NULL, n int NOT NULL)
GO
INSERT dbo.t VALUES (N'Ada-4711', 1), (N'Ada-4711', 2)",
        target: "",
        table: "  - source: dbo.t\n    key: [name]\n    change: { strategy: full }\n",
        before: None,
        change: "",
        run: "extract",
        says: &["does not identify a row", "2 rows have"],
    },
    Case {
        what: "more refused rows than allowed",
        source: "CREATE TABLE dbo.t (name nvarchar(40) NOT NULL PRIMARY KEY, n int NOT NULL)
GO
INSERT dbo.t VALUES (N'Ada-4711 a', -1), (N'Ada-4711 b', -1), (N'Ada-4711 c', -1)",
        target: "CREATE TABLE dbo.t (name nvarchar(40) NOT NULL PRIMARY KEY, n int NOT NULL CONSTRAINT positive CHECK \
            (n > 0))",
        table: "  - source: dbo.t\n    change: { strategy: full }\n    merge: { on_bad_row: quarantine, max_bad_rows: \
            1 }\n",
        before: None,
        change: "",
        run: "sync",
        says: &["547", "positive"],
    },
];

/// Runs a command with every log that there is.
fn loudly(world: &World, args: &[&str]) -> Run {
    let mut command = world.command(args);
    command.env("ICESYNC_LOG", "trace,mssql_tds=trace,tiberius=trace");
    finish(command.spawn().expect("starts"))
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_rows_that_fail_are_printed_only_if_asked_for() {
    let password = password();
    for case in CASES {
        let mut world = World::new(case.source).await;
        for batch in case
            .target
            .split("\nGO\n")
            .filter(|batch| !batch.is_empty())
        {
            world.target(batch).await;
        }
        world.config(case.table);
        if let Some(before) = case.before {
            let run = world.run(&["--json", before]);
            assert_eq!(run.code, 0, "{}: {run:#?}", case.what);
            world.source(case.change).await;
        }
        for args in [&["--json", "-vv", case.run][..], &[case.run]] {
            let run = loudly(&world, args);
            hides(&run, &[ADA, "ADA-4711", &password]);
            run.fails_with(1, case.says);
        }
        let shown = world.run(&["--json", "--show-values", case.run]);
        shown.fails_with(1, case.says);
        hides(&shown, &[&password]);
        assert!(shown.stdout.contains(ADA), "{}: {shown:#?}", case.what);
        // The drivers may speak, too, and still of no password.
        let loud = loudly(&world, &["--show-values", "-vv", case.run]);
        assert_eq!(loud.code, 1, "{}: {loud:#?}", case.what);
        hides(&loud, &[&password]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_in_quarantine_are_printed_by_its_commands_only() {
    let mut world = World::new(
        "CREATE TABLE dbo.t (name nvarchar(40) NOT NULL PRIMARY KEY, n int NOT NULL)
GO
INSERT dbo.t VALUES (N'Ada-4711 a', -1), (N'Bob', 1)",
    )
    .await;
    world
        .target("CREATE TABLE dbo.t (name nvarchar(40) NOT NULL PRIMARY KEY, n int NOT NULL CHECK (n > 0))")
        .await;
    world.config("  - source: dbo.t\n    change: { strategy: full }\n    merge: { on_bad_row: quarantine }\n");
    for args in [
        &["--json", "-vv", "sync"][..],
        &["sync"],
        &["--json", "-vv", "status"],
        &["--json", "-vv", "plan"],
        &["--json", "-vv", "state", "verify"],
        &["--json", "-vv", "quarantine", "retry"],
        &["--json", "-vv", "state", "export", "--file", "state.json"],
    ] {
        let run = loudly(&world, args);
        assert!((0..=4).contains(&run.code), "{args:?}: {run:#?}");
        hides(&run, &[ADA, PASSWORD]);
    }
    let exported = fs::read_to_string(world.path("state.json")).expect("read");
    assert!(!exported.contains(ADA), "{exported}");
    for args in ["list", "show --table dbo.t --key"] {
        let mut args: Vec<&str> = args.split(' ').collect();
        args.insert(0, "quarantine");
        args.extend(args.contains(&"show").then_some("Ada-4711 a"));
        let run = world.run(&args);
        assert_eq!(run.code, 0, "{run:#?}");
        assert!(run.stdout.contains("Ada-4711 a"), "{run:#?}");
    }
}

/// The keys at which a read under way is cut.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_in_ranges_shows_no_key() {
    let world = World::with_isolation(
        Isolation::for_ranges("rowversion"),
        "CREATE TABLE dbo.t (name nvarchar(40) NOT NULL PRIMARY KEY, n int NOT NULL, rv rowversion NOT NULL)
GO
INSERT dbo.t (name, n) SELECT CONCAT(N'Ada-4711 ', s.n), s.n FROM (SELECT TOP (20000) CONVERT(int, ROW_NUMBER() OVER \
(ORDER BY (SELECT 1))) AS n FROM sys.all_columns a CROSS JOIN sys.all_columns b) AS s",
    )
    .await;
    world.config("  - source: dbo.t\n    change: { strategy: rowversion, range_rows: 2000 }\n");
    let mut command = world.command(&["--json", "-vv", "extract"]);
    command.env("ICESYNC_FAILPOINT", format!("{FAIL_AFTER_RANGE}:2"));
    let died = finish(command.env("ICESYNC_LOG", "trace").spawn().expect("starts"));
    assert_ne!(died.code, 0, "{died:#?}");
    hides(&died, &[ADA]);
    for args in [&["status"][..], &["state", "show"], &["plan"]] {
        let json = [&["--json"][..], args].concat();
        let run = loudly(&world, &json);
        hides(&run, &[ADA]);
        hides(&loudly(&world, args), &[ADA]);
        if args != ["plan"] {
            let lake = &run.json()["tables"][0]["lake"];
            let ledger = &lake["checkpoint"]["backfill"];
            assert!(ledger["ranges"].as_u64() > Some(2), "{lake:#}");
            let shown = world.run(&[&["--show-values"][..], &json].concat());
            assert!(shown.stdout.contains(ADA), "{shown:#?}");
        }
    }
    let extracted = loudly(&world, &["--json", "-vv", "extract"]);
    assert_eq!(extracted.code, 0, "{extracted:#?}");
    hides(&extracted, &[ADA]);
}
