use crate::engine::{Engine, Options};
use crate::session::{Event, Login, Server, Session, Sink};
use crate::value::Value;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

struct Client(Box<dyn Session>);

#[derive(Default)]
struct Rows {
    rows: Vec<Vec<Value>>,
    error: Option<String>,
}

impl Sink for Rows {
    fn send(&mut self, event: Event) -> bool {
        match event {
            Event::Columns(_) => self.rows.clear(),
            Event::Rows(rows) => self.rows.extend(rows),
            Event::Error(error) => self.error = self.error.take().or(Some(error.to_string())),
            Event::Done { .. }
            | Event::Info(_)
            | Event::Database(_)
            | Event::TranBegin(_)
            | Event::TranEnd { .. } => {}
        }
        true
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::Bit(on) => u8::from(*on).to_string(),
        Value::TinyInt(n) => n.to_string(),
        Value::SmallInt(n) => n.to_string(),
        Value::Int(n) => n.to_string(),
        Value::BigInt(n) => n.to_string(),
        Value::Real(n) => n.to_string(),
        Value::Str(units) => String::from_utf16_lossy(units).trim_end().to_string(),
        Value::Variant(inner) => format!(
            "{}:{}",
            crate::engine::types::name(&inner.0),
            show(&inner.1)
        ),
        other => format!("{other:?}"),
    }
}

impl Client {
    fn open(engine: &Engine) -> Self {
        let login = Login {
            user: "sa",
            password: "Passw0rd!",
            database: "",
            app_name: "test",
            host_name: "here",
            read_only: false,
            odbc: true,
        };
        Client(engine.login(login).unwrap())
    }

    fn attempt(&mut self, sql: &str) -> Result<Vec<String>, String> {
        let mut sink = Rows::default();
        self.0
            .batch(sql, &Arc::new(AtomicBool::new(false)), &mut sink);
        match sink.error {
            Some(error) => Err(error),
            None => Ok(sink
                .rows
                .iter()
                .map(|row| row.iter().map(show).collect::<Vec<_>>().join("|"))
                .collect()),
        }
    }

    /// The rows of the last result, values separated by bars.
    fn rows(&mut self, sql: &str) -> Vec<String> {
        self.attempt(sql)
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}

fn engine() -> Arc<Engine> {
    Engine::new(Options {
        password: "Passw0rd!".into(),
        ..Options::default()
    })
    .unwrap()
}

fn with_tables() -> (Arc<Engine>, Client) {
    let engine = engine();
    let mut client = Client::open(&engine);
    for sql in [
        "CREATE DATABASE d",
        "USE d",
        "CREATE TABLE dbo.p (id int NOT NULL CONSTRAINT pk_p PRIMARY KEY, name nvarchar(20) NULL, amount decimal(10,2) \
            NOT NULL DEFAULT 0)",
        "CREATE TABLE dbo.t (id bigint IDENTITY(5,2) NOT NULL, p_id int NULL, rv rowversion, CONSTRAINT pk_t PRIMARY \
            KEY (id), \
         CONSTRAINT fk_t FOREIGN KEY (p_id) REFERENCES dbo.p (id), CONSTRAINT ck_t CHECK (p_id > 0))",
        "INSERT dbo.p (id, name) VALUES (1, N'a'), (2, NULL), (7, N'c')",
        "INSERT dbo.t (p_id) VALUES (1), (7)",
    ] {
        client.rows(sql);
    }
    (engine, client)
}

#[test]
fn every_view_answers_with_its_own_columns() {
    let (_engine, mut client) = with_tables();
    for (_, view) in super::views() {
        let shape = (view.shape)();
        client.rows(&format!("SELECT * FROM {}.{}", view.schema, view.name));
        let names: Vec<String> = shape
            .iter()
            .map(|column| format!("x.[{}]", column.name))
            .collect();
        let rows = client.rows(&format!(
            "SELECT {} FROM {}.{} AS x",
            names.join(", "),
            view.schema,
            view.name
        ));
        for row in rows {
            assert_eq!(
                row.split('|').count(),
                shape.len(),
                "{}.{}: {row}",
                view.schema,
                view.name
            );
        }
    }
}

/// A value must have the type that its column declares, and be NULL only where it may: the wire encodes by the
/// declaration.
#[test]
fn values_have_the_types_their_columns_declare() {
    use crate::value::SqlType;
    let (_engine, mut client) = with_tables();
    for (_, view) in super::views() {
        let shape = (view.shape)();
        let mut sink = Rows::default();
        let sql = format!("SELECT * FROM {}.{}", view.schema, view.name);
        client
            .0
            .batch(&sql, &Arc::new(AtomicBool::new(false)), &mut sink);
        for row in &sink.rows {
            for (value, column) in row.iter().zip(&shape) {
                let fits = match value {
                    Value::Null => column.nullable,
                    Value::Bit(_) => column.ty == SqlType::Bit,
                    Value::TinyInt(_) => column.ty == SqlType::TinyInt,
                    Value::SmallInt(_) => column.ty == SqlType::SmallInt,
                    Value::Int(_) => column.ty == SqlType::Int,
                    Value::BigInt(_) => column.ty == SqlType::BigInt,
                    Value::Guid(_) => column.ty == SqlType::UniqueIdentifier,
                    Value::DateTime { .. } => column.ty == SqlType::DateTime,
                    Value::Str(_) => crate::engine::types::is_character(&column.ty),
                    Value::Bytes(_) => crate::engine::types::is_binary(&column.ty),
                    Value::Variant(_) => column.ty == SqlType::SqlVariant,
                    _ => false,
                };
                assert!(
                    fits,
                    "{}.{}.{}: {value:?}",
                    view.schema, view.name, column.name
                );
            }
        }
    }
}

#[test]
fn a_table_is_described() {
    let (_engine, mut client) = with_tables();
    assert_eq!(
        client.rows(
            "SELECT c.column_id, c.name, TYPE_NAME(c.system_type_id), t.name, c.max_length, c.[precision], c.scale, \
                c.is_nullable, c.is_identity, \
             CONVERT(int, COLLATIONPROPERTY(c.collation_name, 'CodePage')) FROM sys.columns AS c JOIN sys.types AS t \
             ON t.user_type_id = c.user_type_id WHERE c.object_id = OBJECT_ID(N'[dbo].[p]') ORDER BY c.column_id"
        ),
        ["1|id|int|int|4|10|0|0|0|-", "2|name|nvarchar|nvarchar|40|0|0|1|0|1252", "3|amount|decimal|decimal|9|10|2|0|0|\
            -"]
    );
    assert_eq!(
        client.rows(
            "SELECT i.index_id, i.name, i.is_primary_key, i.type_desc, ic.key_ordinal, c.name FROM sys.indexes AS i \
                JOIN sys.index_columns AS ic \
             ON ic.object_id = i.object_id AND ic.index_id = i.index_id JOIN sys.columns AS c ON c.object_id = \
             ic.object_id AND \
             c.column_id = ic.column_id WHERE i.object_id = OBJECT_ID('dbo.t') AND ic.key_ordinal > 0"
        ),
        ["1|pk_t|1|CLUSTERED|1|id"]
    );
    assert_eq!(
        client.rows("SELECT name, type FROM sys.objects WHERE parent_object_id = OBJECT_ID('t') ORDER BY name"),
        ["ck_t|C", "fk_t|F", "pk_t|PK"]
    );
    assert_eq!(
        client.rows(
            "SELECT OBJECT_NAME(OBJECT_ID('dbo.t')), OBJECT_ID('dbo.t', 'V'), OBJECT_ID('none'), \
            OBJECT_ID('tempdb..#x')"
        ),
        ["t|-|-|-"]
    );
    assert_eq!(
        client.rows("SELECT seed_value, increment_value, last_value FROM sys.identity_columns WHERE object_id = \
            OBJECT_ID('t')"),
        ["bigint:5|bigint:2|bigint:7"]
    );
    assert_eq!(client.rows("SELECT SUM(rows) FROM sys.partitions WHERE object_id = OBJECT_ID('p') AND index_id IN (0, \
        1)"), ["3"]);
}

#[test]
fn a_histogram_has_the_extremes_and_counts_every_row() {
    let (_engine, mut client) = with_tables();
    client.rows(
        "INSERT dbo.p (id, name) SELECT 100 + ROW_NUMBER() OVER (ORDER BY a.object_id), N'x' FROM \
        sys.all_columns AS a",
    );
    let all: u64 = client.rows("SELECT COUNT(*) FROM dbo.p")[0]
        .parse()
        .unwrap();
    assert!(all > 400, "{all}");
    let steps = client.rows(
        "SELECT range_rows, equal_rows, range_high_key FROM \
        sys.dm_db_stats_histogram(OBJECT_ID('p'), 1) ORDER BY step_number",
    );
    assert!(steps.len() <= super::statistics::STEPS);
    assert_eq!(steps[0], "0|1|int:1");
    let counted: f64 = steps
        .iter()
        .flat_map(|row| row.split('|').take(2))
        .map(|n| n.parse::<f64>().unwrap())
        .sum();
    assert_eq!(counted as u64, all);
}

#[test]
fn only_writing_transactions_began_in_the_database() {
    let (engine, mut client) = with_tables();
    let mut other = Client::open(&engine);
    other.rows("USE d; BEGIN TRAN; SELECT COUNT(*) FROM dbo.p");
    let sql = "SELECT COUNT(*) FROM sys.dm_tran_active_transactions AS a JOIN sys.dm_tran_database_transactions AS d \
               ON d.transaction_id = a.transaction_id WHERE d.database_id = DB_ID() AND \
               d.database_transaction_begin_time IS NOT NULL";
    assert_eq!(client.rows(sql), ["0"]);
    other.rows("INSERT dbo.p (id) VALUES (50)");
    assert_eq!(client.rows(sql), ["1"]);
    other.rows("COMMIT");
    assert_eq!(client.rows(sql), ["0"]);
}

/// A table that another session creates is not listed before it is committed: the reader waits.
#[test]
fn uncommitted_tables_make_the_catalog_wait() {
    let (engine, mut client) = with_tables();
    let mut other = Client::open(&engine);
    other.rows("USE d; BEGIN TRAN; CREATE TABLE dbo.fresh (id int)");
    let error = client
        .attempt("SET LOCK_TIMEOUT 50; SELECT name FROM sys.tables")
        .unwrap_err();
    assert!(error.contains("1222"), "{error}");
    other.rows("ROLLBACK");
    assert_eq!(
        client.rows("SELECT name FROM sys.tables ORDER BY name"),
        ["p", "t"]
    );
}

/// A table that another session changes is not shown before the change is committed, and its name is not looked up.
#[test]
fn uncommitted_changes_make_the_catalog_wait() {
    let (engine, mut client) = with_tables();
    let mut other = Client::open(&engine);
    client.rows("SET LOCK_TIMEOUT 50");
    let ids = ["p", "t"]
        .map(|table| client.rows(&format!("SELECT OBJECT_ID(N'dbo.{table}')"))[0].clone());
    for change in [
        "ALTER TABLE dbo.t ADD more int",
        "CREATE INDEX ix_more ON dbo.t (id)",
        "EXEC sp_rename N'dbo.t.id', N'ident', N'COLUMN'",
        "CREATE TABLE dbo.fresh (id int)",
    ] {
        other.rows(&format!("USE d; BEGIN TRAN; {change}"));
        for look in [
            "SELECT name FROM sys.tables",
            "SELECT name FROM sys.columns",
            "SELECT name FROM sys.indexes",
            "SELECT COLUMN_NAME FROM INFORMATION_SCHEMA.COLUMNS",
            "SELECT OBJECT_ID(N'dbo.t'), OBJECT_ID(N'dbo.fresh')",
        ] {
            let error = client.attempt(look).unwrap_err();
            assert!(error.contains("1222"), "{change}; {look}: {error}");
        }
        // Who asks for another object by its id does not wait.
        for (sought, waits) in [
            (&ids[0], false),
            (&ids[1], !change.starts_with("CREATE TABLE")),
        ] {
            let look = format!(
                "SELECT c.name FROM sys.objects AS o JOIN sys.columns AS c ON c.object_id = {sought} WHERE \
                    CONVERT(bigint, {sought}) = o.object_id"
            );
            assert_eq!(client.attempt(&look).is_err(), waits, "{change}; {look}");
        }
        other.rows("ROLLBACK");
        assert_eq!(client.rows("SELECT OBJECT_ID(N'dbo.fresh')"), ["-"]);
    }
    // TRUNCATE changes no definition; it does lock the table.
    other.rows("BEGIN TRAN; TRUNCATE TABLE dbo.t");
    client.rows("SELECT name FROM sys.tables");
    let error = client.attempt("SELECT OBJECT_ID(N'dbo.t')").unwrap_err();
    assert!(error.contains("1222"), "{error}");
    other.rows("ROLLBACK");
    // A temporary table is its session's own.
    client.rows("CREATE TABLE #own (id int)");
    other.rows("CREATE TABLE #own (id int); BEGIN TRAN; ALTER TABLE #own ADD more int");
    client.rows("SELECT name FROM sys.tables; SELECT OBJECT_ID(N'tempdb..#own')");
    client.rows("ALTER TABLE #own ADD more int");
    other.rows("ROLLBACK");
}

#[test]
fn temporary_tables_are_tempdbs() {
    let (_engine, mut client) = with_tables();
    client.rows("CREATE TABLE #x (id int)");
    assert_eq!(
        client.rows("SELECT COUNT(*) FROM sys.tables WHERE name LIKE '#x%'"),
        ["0"]
    );
    assert_eq!(
        client.rows(
            "SELECT COUNT(*) FROM tempdb.sys.tables WHERE object_id = OBJECT_ID('tempdb..#x')"
        ),
        ["1"]
    );
    assert_eq!(client.rows("SELECT OBJECT_ID('#x')"), ["-"]);
}

#[test]
fn properties_take_their_arguments() {
    let (_engine, mut client) = with_tables();
    assert_eq!(
        client.rows(
            "SELECT COLUMNPROPERTY(OBJECT_ID('t'), 'id', 'IsIdentity'), OBJECTPROPERTY(OBJECT_ID('t'), \
                'TableHasIdentity'), \
             INDEXPROPERTY(OBJECT_ID('t'), 'pk_t', 'IsUnique'), INDEX_COL('dbo.t', 1, 1), HAS_PERMS_BY_NAME(NULL, \
             NULL, 'VIEW SERVER STATE'), \
             HAS_PERMS_BY_NAME('dbo.t', 'OBJECT', 'SELECT'), SERVERPROPERTY('EngineEdition'), SUSER_SNAME(0x01), \
             SUSER_ID()"
        ),
        ["1|1|1|id|1|1|int:3|sa|1"]
    );
}

#[test]
fn definitions_are_shown_in_one_pair_of_parentheses() {
    let (_engine, mut client) = with_tables();
    for sql in [
        "CREATE TABLE dbo.d (id int NOT NULL CONSTRAINT pk_d PRIMARY KEY, a int NULL CONSTRAINT df_d DEFAULT ((1)), \
            CONSTRAINT ck_d CHECK ((a > 0) OR (a < -1))) WITH (DATA_COMPRESSION = PAGE)",
        "CREATE INDEX ix_d ON dbo.d (a DESC) WHERE (a > 0) WITH (DATA_COMPRESSION = ROW)",
        "INSERT dbo.d (id, a) VALUES (1, 3)",
        "ALTER TABLE dbo.d WITH NOCHECK ADD CONSTRAINT ck_e CHECK (a < 2)",
        "ALTER TABLE dbo.d NOCHECK CONSTRAINT ck_e",
        // Only what is trusted holds for the rows that are there.
        "ALTER TABLE dbo.d WITH CHECK ADD CONSTRAINT ck_f CHECK (a < 4)",
    ] {
        client.rows(sql);
    }
    assert_eq!(
        client.rows(
            "SELECT i.name, i.filter_definition, p.data_compression_desc FROM sys.indexes i JOIN sys.partitions p ON \
                p.object_id = i.object_id AND p.index_id = i.index_id WHERE i.object_id = OBJECT_ID('dbo.d') ORDER BY \
                i.index_id"
        ),
        ["pk_d|-|PAGE", "ix_d|(a > 0)|ROW"]
    );
    let defaults = "SELECT definition FROM sys.default_constraints WHERE name = 'df_d'";
    assert_eq!(client.rows(defaults), ["(1)"]);
    assert_eq!(
        client.rows(
            "SELECT name, definition, is_disabled, is_not_trusted FROM sys.check_constraints WHERE parent_object_id = \
                OBJECT_ID('dbo.d') ORDER BY name"
        ),
        [
            "ck_d|((a > 0) OR (a < -1))|0|0",
            "ck_e|(a < 2)|1|1",
            "ck_f|(a < 4)|0|0"
        ]
    );
}

#[test]
fn a_constraint_is_renamed_with_its_index() {
    let (_engine, mut client) = with_tables();
    let names = "SELECT (SELECT name FROM sys.key_constraints WHERE parent_object_id = OBJECT_ID('dbo.p')), (SELECT \
        name FROM sys.indexes WHERE object_id = OBJECT_ID('dbo.p') AND index_id = 1), OBJECT_NAME(OBJECT_ID('dbo.pk'))";
    let rename = "EXEC sp_rename '[dbo].[pk_p]', 'pk', 'OBJECT'";
    client.rows("BEGIN TRANSACTION");
    client.rows(rename);
    assert_eq!(client.rows(names), ["pk|pk|pk"]);
    client.rows("ROLLBACK");
    assert_eq!(client.rows(names), ["pk_p|pk_p|-"]);
    for (sql, number) in [
        ("EXEC sp_rename '[dbo].[pk_p]', 'ck_t', 'OBJECT'", "15335"),
        ("EXEC sp_rename '[dbo].[missing]', 'x', 'OBJECT'", "15248"),
    ] {
        let error = client.attempt(sql).unwrap_err();
        assert!(error.contains(number), "{error}");
    }
    client.rows(rename);
    assert_eq!(client.rows(names), ["pk|pk|pk"]);
}
