//! Both planes against a scripted server over a real socket: every type from a source's rows into Arrow and from
//! there into a staging table's rows.

use crate::harness::World;
use arrow_array::RecordBatch;
use icesync::error::Disposition;
use icesync::mssql::bulk::{BulkColumn, BulkCounts, BulkOptions};
use icesync::mssql::channel::Channel;
use icesync::mssql::control::{Cell, Class, Control, Effect};
use icesync::mssql::error::MssqlError;
use icesync::mssql::rows::{BatchLimits, Decoder, ReadCounts};
use icesync::mssql::settings::Connection;
use icesync::mssql::sql::{ParamValue, Statement};
use icesync::schema::mapping::lake_schema;
use icesync::schema::{
    Column, Fidelity, Generated, LakeSchema, Role, SqlType, TableKind, TableName, TableSchema,
};
use icesync::secret::NOT_SHOWN;
use icesync_sandbox::session::{
    BulkTarget, ColumnMeta, Event, Login, Param, Server, Session, Sink, SqlError,
    TransactionRequest,
};
use icesync_sandbox::tds::{Embedded, Encryption, Fault, Faults, Identity, WireOptions};
use icesync_sandbox::value::{Collation as WireCollation, SqlType as WireType, Value};
use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

const LATIN: &str = "SQL_Latin1_General_CP1_CI_AS";

#[derive(Clone, Default)]
struct Table {
    columns: Vec<ColumnMeta>,
    rows: Vec<Vec<Value>>,
}

/// Tables by name; `SELECT * FROM name` returns one, INSERT BULK fills one.
#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<HashMap<String, Table>>>);

impl Scripted {
    fn table(&self, name: &str) -> Table {
        self.0
            .lock()
            .unwrap()
            .get(name)
            .cloned()
            .unwrap_or_default()
    }

    fn put(&self, name: &str, table: Table) {
        self.0.lock().unwrap().insert(name.into(), table);
    }
}

impl Server for Scripted {
    fn login(&self, login: Login<'_>) -> Result<Box<dyn Session>, SqlError> {
        if login.password != "right" {
            return Err(error(18456, 14, "Login failed for user 'sa'."));
        }
        if login.database == "missing" {
            return Err(error(
                4060,
                11,
                "Cannot open database \"missing\" requested by the login.",
            ));
        }
        Ok(Box::new(Scripting {
            tables: self.clone(),
            filling: None,
        }))
    }
}

fn error(number: i32, class: u8, message: &str) -> SqlError {
    SqlError {
        number,
        state: 1,
        class,
        line: 1,
        message: message.into(),
    }
}

struct Scripting {
    tables: Scripted,
    filling: Option<(String, Vec<Vec<Value>>)>,
}

fn meta(name: &str, ty: WireType) -> ColumnMeta {
    let text = matches!(
        ty,
        WireType::Char(_)
            | WireType::VarChar(_)
            | WireType::Text
            | WireType::NChar(_)
            | WireType::NVarChar(_)
            | WireType::NText
    );
    ColumnMeta {
        name: name.into(),
        ty,
        nullable: true,
        identity: false,
        computed: false,
        collation: text.then(|| WireCollation(LATIN.into())),
    }
}

fn text(text: &str) -> Value {
    Value::Str(text.encode_utf16().collect())
}

fn set(sink: &mut dyn Sink, columns: Vec<ColumnMeta>, rows: Vec<Vec<Value>>) {
    let count = rows.len() as u64;
    sink.send(Event::Columns(columns));
    for chunk in rows.chunks(100) {
        sink.send(Event::Rows(chunk.to_vec()));
    }
    sink.send(Event::Done {
        count: Some(count),
        select: true,
    });
}

/// What stands between the last `FROM [` or `BULK [` and its bracket, of a two-part name.
fn named(sql: &str) -> String {
    let at = sql.rfind("].[").unwrap() + 3;
    sql[at..].split(']').next().unwrap().to_owned()
}

impl Session for Scripting {
    fn batch(
        &mut self,
        sql: &str,
        _cancel: &Arc<AtomicBool>,
        sink: &mut dyn Sink,
    ) -> Option<BulkTarget> {
        let done = |count| Event::Done {
            count,
            select: false,
        };
        if sql.starts_with("INSERT BULK") {
            let (table, declared) = sql.split_once(" (").unwrap();
            let name = named(table);
            let known = self.tables.table(&name).columns;
            let columns = declared.split('[').skip(1).map(|column| {
                let name = column.split(']').next();
                let at = known.iter().position(|known| Some(&*known.name) == name);
                known[at.expect("a column of the table")].clone()
            });
            let columns = columns.collect();
            self.filling = Some((name, Vec::new()));
            sink.send(done(None));
            return Some(BulkTarget { columns });
        } else if sql.starts_with("SELECT * FROM ") {
            let table = self.tables.table(&named(sql));
            set(sink, table.columns, table.rows);
            if sql.contains("THEN FAIL") {
                sink.send(Event::Error(error(
                    3960,
                    16,
                    "Snapshot isolation transaction aborted due to update conflict.",
                )));
                sink.send(done(None));
            }
        } else if sql.starts_with("UPDATE") {
            sink.send(done(Some(3)));
            sink.send(done(Some(4)));
        } else {
            sink.send(Event::Error(error(102, 15, "Incorrect syntax.")));
            sink.send(done(None));
        }
        None
    }

    fn execute_sql(
        &mut self,
        sql: &str,
        _declarations: &str,
        params: Vec<Param>,
        _cancel: &Arc<AtomicBool>,
        sink: &mut dyn Sink,
    ) -> Option<Vec<Param>> {
        if sql.starts_with("UPDATE") {
            sink.send(Event::Done {
                count: Some(5),
                select: false,
            });
        } else {
            // The parameters, as a row; and the statement's text.
            let mut columns: Vec<_> = params.iter().map(|p| meta(&p.name, p.ty.clone())).collect();
            let mut row: Vec<_> = params.into_iter().map(|p| p.value).collect();
            columns.push(meta("sql", WireType::NVarChar(None)));
            row.push(text(sql));
            set(sink, columns, vec![row]);
        }
        Some(Vec::new())
    }

    fn procedure(
        &mut self,
        name: &str,
        _params: Vec<Param>,
        _cancel: &Arc<AtomicBool>,
        sink: &mut dyn Sink,
    ) -> Option<(i32, Vec<Param>)> {
        sink.send(Event::Error(error(2812, 16, name)));
        None
    }

    fn bulk_rows(&mut self, rows: Vec<Vec<Value>>) -> Result<(), SqlError> {
        self.filling.as_mut().unwrap().1.extend(rows);
        Ok(())
    }

    fn bulk_end(&mut self, abort: bool, sink: &mut dyn Sink) {
        let (name, rows) = self.filling.take().unwrap();
        let count = rows.len() as u64;
        if !abort {
            let mut table = self.tables.table(&name);
            table.rows.extend(rows);
            self.tables.put(&name, table);
        }
        sink.send(Event::Done {
            count: Some(count),
            select: false,
        });
    }

    fn transaction(&mut self, _request: TransactionRequest, sink: &mut dyn Sink) {
        sink.send(Event::Done {
            count: None,
            select: false,
        });
    }

    fn reset(&mut self) {}

    fn close(&mut self) {}
}

struct Running {
    tables: Scripted,
    faults: Faults,
    server: Embedded,
}

fn start() -> Running {
    start_with(Encryption::Off)
}

fn start_with(encryption: Encryption) -> Running {
    let tables = Scripted::default();
    let options = WireOptions {
        encryption,
        typed_nulls: true,
        ..WireOptions::default()
    };
    let faults = options.faults.clone();
    let scripted = Arc::new(tables.clone());
    // The server has a runtime of its own, which must not start inside the test's.
    let server = std::thread::spawn(move || {
        Embedded::start(scripted, "127.0.0.1:0".parse().unwrap(), options).unwrap()
    })
    .join()
    .unwrap();
    Running {
        tables,
        faults,
        server,
    }
}

impl Running {
    fn connection(&self, more: &str) -> Connection {
        let port = self.server.addr().port();
        Connection::parse(&format!(
            "Server=127.0.0.1,{port};Database=source;UID=sa;PWD=right;Encrypt=false;{more}"
        ))
        .unwrap()
    }

    async fn channel(&self) -> Channel {
        Channel::connect(&self.connection("")).await.unwrap()
    }
}

/// Each type as we declare it and as the server does, with values up to the extremes.
fn every_type() -> Vec<(SqlType, WireType, Vec<Value>)> {
    use SqlType as S;
    use WireType as W;
    let bytes = |bytes: &[u8]| Value::Bytes(bytes.into());
    let last_tick = 863_999_999_999;
    let decimal = |unscaled, scale| Value::Decimal { unscaled, scale };
    let max38 = 10i128.pow(38) - 1;
    vec![
        (S::Bit, W::Bit, vec![Value::Bit(true), Value::Bit(false)]),
        (
            S::TinyInt,
            W::TinyInt,
            vec![Value::TinyInt(0), Value::TinyInt(255)],
        ),
        (
            S::SmallInt,
            W::SmallInt,
            vec![Value::SmallInt(i16::MIN), Value::SmallInt(i16::MAX)],
        ),
        (
            S::Int,
            W::Int,
            vec![Value::Int(i32::MIN), Value::Int(i32::MAX)],
        ),
        (
            S::BigInt,
            W::BigInt,
            vec![Value::BigInt(i64::MIN), Value::BigInt(i64::MAX)],
        ),
        (
            S::Decimal {
                precision: 38,
                scale: 10,
            },
            W::Decimal {
                precision: 38,
                scale: 10,
                numeric: false,
            },
            vec![decimal(max38, 10), decimal(-max38, 10), decimal(0, 10)],
        ),
        (
            S::Numeric {
                precision: 5,
                scale: 5,
            },
            W::Decimal {
                precision: 5,
                scale: 5,
                numeric: true,
            },
            vec![decimal(99_999, 5), decimal(-1, 5)],
        ),
        (
            S::Money,
            W::Money,
            vec![
                Value::Money(i64::MIN),
                Value::Money(i64::MAX),
                Value::Money(-1),
            ],
        ),
        (
            S::SmallMoney,
            W::SmallMoney,
            vec![Value::Money(i32::MIN.into()), Value::Money(i32::MAX.into())],
        ),
        (
            S::Real,
            W::Real,
            vec![
                Value::Real(f32::MAX),
                Value::Real(f32::MIN_POSITIVE),
                Value::Real(-0.0),
            ],
        ),
        (
            S::Float,
            W::Float,
            vec![
                Value::Float(f64::MAX),
                Value::Float(5e-324),
                Value::Float(0.1),
            ],
        ),
        (
            S::Date,
            W::Date,
            vec![Value::Date(0), Value::Date(3_652_058)],
        ),
        (
            S::Time { scale: 0 },
            W::Time(0),
            vec![Value::Time(0), Value::Time(863_990_000_000)],
        ),
        (
            S::Time { scale: 4 },
            W::Time(4),
            vec![Value::Time(863_999_999_000)],
        ),
        (
            S::Time { scale: 7 },
            W::Time(7),
            vec![Value::Time(last_tick), Value::Time(1)],
        ),
        (
            S::DateTime,
            W::DateTime,
            vec![
                Value::DateTime {
                    days: -53_690,
                    ticks: 1,
                },
                Value::DateTime {
                    days: 2_958_463,
                    ticks: 25_919_999,
                },
            ],
        ),
        (
            S::SmallDateTime,
            W::SmallDateTime,
            vec![
                Value::SmallDateTime {
                    days: 0,
                    minutes: 0,
                },
                Value::SmallDateTime {
                    days: 65_535,
                    minutes: 1439,
                },
            ],
        ),
        (
            S::DateTime2 { scale: 3 },
            W::DateTime2(3),
            vec![Value::DateTime2 {
                days: 0,
                ticks: 10_000,
            }],
        ),
        (
            S::DateTime2 { scale: 7 },
            W::DateTime2(7),
            vec![
                Value::DateTime2 { days: 0, ticks: 0 },
                Value::DateTime2 {
                    days: 3_652_058,
                    ticks: last_tick,
                },
            ],
        ),
        (
            S::DateTimeOffset { scale: 7 },
            W::DateTimeOffset(7),
            vec![
                Value::DateTimeOffset {
                    days: 1,
                    ticks: 7,
                    offset_minutes: -840,
                },
                Value::DateTimeOffset {
                    days: 738_000,
                    ticks: last_tick,
                    offset_minutes: 840,
                },
            ],
        ),
        (
            S::VarChar { length: Some(20) },
            W::VarChar(Some(20)),
            vec![text("café €"), text(""), text("a  ")],
        ),
        (S::Char { length: 5 }, W::Char(5), vec![text("ab   ")]),
        (
            S::VarChar { length: None },
            W::VarChar(None),
            vec![text("x".repeat(9000).as_str()), text("")],
        ),
        (
            S::NVarChar { length: Some(20) },
            W::NVarChar(Some(20)),
            vec![text("訂單 😀"), text("")],
        ),
        (S::NChar { length: 3 }, W::NChar(3), vec![text("訂  ")]),
        (
            S::NVarChar { length: None },
            W::NVarChar(None),
            vec![text("長".repeat(50_000).as_str()), text("")],
        ),
        (
            S::Binary { length: 3 },
            W::Binary(3),
            vec![bytes(&[0, 1, 0])],
        ),
        (
            S::VarBinary { length: Some(5) },
            W::VarBinary(Some(5)),
            vec![bytes(&[]), bytes(&[0, 0])],
        ),
        (
            S::VarBinary { length: None },
            W::VarBinary(None),
            vec![bytes(&[7; 100_000]), bytes(&[])],
        ),
        (
            S::RowVersion,
            W::RowVersion,
            vec![bytes(&[0, 0, 0, 0, 0, 0, 7, 0xD1])],
        ),
        (
            S::UniqueIdentifier,
            W::UniqueIdentifier,
            vec![Value::Guid([
                1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
            ])],
        ),
    ]
}

fn staged(ty: SqlType, wire: &WireType) -> WireType {
    match ty.facts().staged {
        SqlType::NVarChar { length } => WireType::NVarChar(length),
        SqlType::Binary { length } => WireType::Binary(length),
        _ => wire.clone(),
    }
}

struct Fixture {
    table: TableSchema,
    lake: LakeSchema,
    rows: usize,
}

/// One table with every type, of as many rows as the longest list of values, and a row of NULLs.
fn fixture(tables: &Scripted) -> Fixture {
    let types = every_type();
    let longest = types
        .iter()
        .map(|(_, _, values)| values.len())
        .max()
        .unwrap();
    let rows: Vec<Vec<Value>> = (0..=longest)
        .map(|row| {
            let value = |values: &Vec<Value>| match row {
                0 => Value::Null,
                row => values[(row - 1) % values.len()].clone(),
            };
            let mut cells = vec![Value::Int(row as i32)];
            cells.extend(types.iter().map(|(_, _, values)| value(values)));
            cells
        })
        .collect();
    let name = |at: usize| format!("c{at}");
    let wire = |column: fn(SqlType, &WireType) -> WireType| {
        let mut columns = vec![ColumnMeta {
            nullable: false,
            ..meta("id", WireType::Int)
        }];
        columns.extend(
            types
                .iter()
                .enumerate()
                .map(|(at, (ty, wire, _))| meta(&name(at), column(*ty, wire))),
        );
        columns
    };
    let count = rows.len();
    tables.put(
        "source",
        Table {
            columns: wire(|_, wire| wire.clone()),
            rows,
        },
    );
    tables.put(
        "staged",
        Table {
            columns: wire(staged),
            rows: Vec::new(),
        },
    );
    let column = |id: i32, name: String, ty| Column {
        id,
        name,
        ty,
        nullable: true,
        collation: Some(icesync::schema::Collation {
            name: LATIN.into(),
            code_page: 1252,
        }),
        generated: Generated::No,
    };
    let mut columns = vec![column(1, "id".into(), SqlType::Int)];
    columns.extend(
        types
            .iter()
            .enumerate()
            .map(|(at, (ty, _, _))| column(at as i32 + 2, name(at), *ty)),
    );
    let table = TableSchema {
        name: TableName {
            schema: "dbo".into(),
            name: "source".into(),
        },
        columns,
        key: Some(icesync::schema::Key {
            columns: vec![0],
            origin: icesync::schema::KeyOrigin::PrimaryKey,
        }),
    };
    let lake = lake_schema(&table, TableKind::Mirror, Fidelity::Exact).unwrap();
    Fixture {
        table,
        lake,
        rows: count,
    }
}

async fn read(
    channel: &mut Channel,
    fixture: &Fixture,
    sql: &str,
    limits: BatchLimits,
) -> (Result<ReadCounts, MssqlError>, Vec<RecordBatch>) {
    let mut decoder = Decoder::new(&fixture.table, &fixture.lake, Fidelity::Exact).unwrap();
    let (sender, mut receiver) = mpsc::channel(2);
    let statement = Statement::plain(sql);
    let reading = async {
        let counts = channel
            .read(&statement, &mut decoder, limits, &sender)
            .await;
        drop(sender);
        counts
    };
    let receiving = async {
        let mut batches = Vec::new();
        while let Some(batch) = receiver.recv().await {
            batches.push(batch);
        }
        batches
    };
    tokio::join!(reading, receiving)
}

fn bulk_columns(fixture: &Fixture) -> Vec<BulkColumn> {
    let at = |source, role| {
        fixture
            .lake
            .fields
            .iter()
            .position(|field| field.source == Some(source) && field.role == role)
    };
    fixture
        .table
        .columns
        .iter()
        .enumerate()
        .map(|(source, column)| BulkColumn {
            name: column.name.clone(),
            ty: column.ty.facts().staged,
            collation: None,
            nullable: source != 0,
            identity: false,
            value: at(source, Role::Value).unwrap(),
            ticks: at(source, Role::Ticks),
            offset: at(source, Role::Offset),
        })
        .collect()
}

async fn load(
    channel: &mut Channel,
    columns: &[BulkColumn],
    batches: Vec<RecordBatch>,
    options: BulkOptions,
) -> Result<BulkCounts, MssqlError> {
    let (sender, mut receiver) = mpsc::channel(1);
    let sending = async move {
        for batch in batches {
            if sender.send(batch).await.is_err() {
                return;
            }
        }
    };
    let loading = async {
        let counts = channel
            .bulk_insert("[icesync].[staged]", columns, &[0], &mut receiver, options)
            .await;
        receiver.close();
        counts
    };
    tokio::join!(loading, sending).0
}

const SOURCE: &str = "SELECT * FROM [dbo].[source]";
const SMALL: BatchLimits = BatchLimits {
    rows: 2,
    bytes: 1 << 20,
};

#[tokio::test(flavor = "multi_thread")]
async fn every_type_goes_through_arrow_unchanged() {
    let running = start();
    let fixture = fixture(&running.tables);
    let mut channel = running.channel().await;
    let (counts, batches) = read(&mut channel, &fixture, SOURCE, SMALL).await;
    let counts = counts.unwrap();
    assert_eq!(counts.rows as usize, fixture.rows);
    assert_eq!(counts.batches as usize, batches.len());
    assert!(batches.iter().all(|batch| batch.num_rows() <= 2));
    for rows_per_batch in [0, 1, 3] {
        let mut empty = running.tables.table("staged");
        empty.rows.clear();
        running.tables.put("staged", empty);
        let options = BulkOptions {
            rows_per_batch,
            table_lock: true,
        };
        let sent = load(
            &mut channel,
            &bulk_columns(&fixture),
            batches.clone(),
            options,
        )
        .await
        .unwrap();
        assert_eq!(sent.rows, counts.rows);
        let arrived = running.tables.table("staged").rows;
        let source = running.tables.table("source").rows;
        assert_eq!(arrived.len(), source.len());
        for (arrived, source) in arrived.iter().zip(&source) {
            for (at, (arrived, source)) in arrived.iter().zip(source).enumerate() {
                assert_eq!(arrived, source, "column {at}");
            }
        }
    }
    assert!(!channel.is_broken());
    // No rows at all is not an error either.
    assert_eq!(
        load(
            &mut channel,
            &bulk_columns(&fixture),
            vec![],
            BulkOptions::default()
        )
        .await
        .unwrap()
        .rows,
        0
    );
    channel.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_table_arrives_in_bounded_batches() {
    let running = start();
    let fixture = fixture(&running.tables);
    let mut source = running.tables.table("source");
    let rows = source.rows.clone();
    // A thousand rows without the long texts; the packets' ends fall everywhere.
    for round in 1..300 {
        source.rows.extend(rows.iter().enumerate().map(|(at, row)| {
            let mut row = row.clone();
            row[0] = Value::Int(round * 100 + at as i32);
            for cell in &mut row {
                if matches!(cell, Value::Str(text) if text.len() > 100) {
                    *cell = text(&"é€x".repeat(round as usize % 23));
                } else if matches!(cell, Value::Bytes(bytes) if bytes.len() > 100) {
                    *cell = Value::Bytes(vec![9; round as usize].into());
                }
            }
            row
        }));
    }
    let expected = source.rows.clone();
    running.tables.put("source", source);
    let mut channel = running.channel().await;
    let limits = BatchLimits {
        rows: 1000,
        bytes: 20_000,
    };
    let (counts, batches) = read(&mut channel, &fixture, SOURCE, limits).await;
    assert_eq!(counts.unwrap().rows as usize, expected.len());
    assert!(batches.len() > 20, "{}", batches.len());
    let options = BulkOptions {
        rows_per_batch: 0,
        table_lock: false,
    };
    load(&mut channel, &bulk_columns(&fixture), batches, options)
        .await
        .unwrap();
    let arrived = running.tables.table("staged").rows;
    assert!(arrived == expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_is_not_the_promised_table_is_refused() {
    let running = start();
    let mut fixture = fixture(&running.tables);
    let at = fixture
        .table
        .columns
        .iter()
        .position(|c| c.ty == SqlType::BigInt)
        .unwrap();
    fixture.table.columns[at].ty = SqlType::Int;
    fixture.lake = lake_schema(&fixture.table, TableKind::Mirror, Fidelity::Exact).unwrap();
    let mut channel = running.channel().await;
    let (counts, batches) = read(&mut channel, &fixture, SOURCE, SMALL).await;
    let error = counts.unwrap_err();
    assert!(
        error.to_string().contains(&fixture.table.columns[at].name),
        "{error}"
    );
    assert_eq!(error.disposition(), Disposition::Definite);
    assert!(batches.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_after_the_rows_is_an_error() {
    let running = start();
    let fixture = fixture(&running.tables);
    let mut channel = running.channel().await;
    let sql = format!("{SOURCE} THEN FAIL [dbo].[source]");
    let (counts, _) = read(&mut channel, &fixture, &sql, SMALL).await;
    let error = counts.unwrap_err();
    assert_eq!(error.number(), Some(3960), "{error}");
    assert_eq!(error.disposition(), Disposition::Transient);
    let mut control = Control::connect(&running.connection("")).await.unwrap();
    let small = Table {
        columns: vec![meta("n", WireType::Int)],
        rows: vec![vec![Value::Int(1)]],
    };
    running.tables.put("small", small);
    let error = control
        .query(&Statement::plain(
            "SELECT * FROM [dbo].[small] THEN FAIL [dbo].[small]",
        ))
        .await
        .unwrap_err();
    assert_eq!(error.number(), Some(3960));
    assert!(!control.is_broken());
    assert_eq!(
        control
            .query(&Statement::plain("SELECT * FROM [dbo].[small]"))
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_does_not_fit_names_its_row_and_nothing_is_committed() {
    let running = start();
    let fixture = fixture(&running.tables);
    let mut channel = running.channel().await;
    let (_, batches) = read(&mut channel, &fixture, SOURCE, SMALL).await;
    let at = fixture
        .table
        .columns
        .iter()
        .position(|c| c.ty == SqlType::BigInt)
        .unwrap();
    let name = fixture.table.columns[at].name.clone();
    let mut columns = bulk_columns(&fixture);
    columns[at].nullable = false;
    let error = load(&mut channel, &columns, batches, BulkOptions::default())
        .await
        .unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains(&name) && message.contains(NOT_SHOWN) && message.contains("NULL"),
        "{message}"
    );
    assert!(channel.is_broken());
    assert!(running.tables.table("staged").rows.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_reach_both_planes() {
    let running = start();
    let statement = Statement {
        sql: "SELECT @P1, @P2, '@P1'".into(),
        params: vec![ParamValue::Text("訂單".into()), ParamValue::Int(i64::MIN)],
    };
    let mut control = Control::connect(&running.connection("")).await.unwrap();
    let record = &control.query(&statement).await.unwrap()[0];
    assert_eq!(
        record.cells(),
        [
            Cell::Text("訂單".into()),
            Cell::Int(i64::MIN),
            Cell::Text(statement.sql.clone()),
        ]
    );
    assert_eq!(
        control
            .count(
                &Statement {
                    sql: "UPDATE t".into(),
                    params: vec![]
                },
                Class::QUICK
            )
            .await
            .unwrap(),
        5
    );
    let mut channel = running.channel().await;
    assert_eq!(channel.run("UPDATE t").await.unwrap(), 7);
    assert_eq!(
        channel.run("nonsense").await.unwrap_err().number(),
        Some(102)
    );
    assert!(!channel.is_broken());
    // The data plane: the same.
    let columns = vec![
        ("a", SqlType::NVarChar { length: Some(4000) }),
        ("b", SqlType::BigInt),
        ("sql", SqlType::NVarChar { length: None }),
    ];
    let table = TableSchema {
        name: TableName {
            schema: "dbo".into(),
            name: "p".into(),
        },
        columns: columns
            .into_iter()
            .map(|(name, ty)| Column {
                id: 0,
                name: name.into(),
                ty,
                nullable: true,
                collation: None,
                generated: Generated::No,
            })
            .collect(),
        key: None,
    };
    let lake = lake_schema(&table, TableKind::Mirror, Fidelity::Exact).unwrap();
    let mut decoder = Decoder::new(&table, &lake, Fidelity::Exact).unwrap();
    let (sender, mut receiver) = mpsc::channel(2);
    channel
        .read(&statement, &mut decoder, SMALL, &sender)
        .await
        .unwrap();
    let batch = receiver.recv().await.unwrap();
    use arrow_array::cast::AsArray;
    assert_eq!(batch.column(0).as_string::<i32>().value(0), "訂單");
    assert_eq!(batch.column(2).as_string::<i32>().value(0), statement.sql);
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_that_fail_say_why() {
    let running = start();
    for (more, number, remedy) in [("", 18456, "password"), ("missing", 4060, "database name")] {
        let port = running.server.addr().port();
        let text = if more.is_empty() {
            format!("Server=127.0.0.1,{port};UID=sa;PWD=wrong-secret;Encrypt=false")
        } else {
            format!("Server=127.0.0.1,{port};UID=sa;PWD=right;Encrypt=false;Database=missing")
        };
        let connection = Connection::parse(&text).unwrap();
        for error in [
            Control::connect(&connection).await.err().unwrap(),
            Channel::connect(&connection).await.err().unwrap(),
        ] {
            let message = error.to_string();
            assert_eq!(error.number(), Some(number), "{message}");
            assert!(
                message.contains(remedy) && !message.contains("wrong-secret"),
                "{message}"
            );
        }
    }
    // The server offers no encryption and the connection requires it.
    let port = running.server.addr().port();
    let strict = Connection::parse(&format!("Server=127.0.0.1,{port};UID=sa;PWD=right")).unwrap();
    for error in [
        Control::connect(&strict).await.err().unwrap(),
        Channel::connect(&strict).await.err().unwrap(),
    ] {
        assert!(matches!(error, MssqlError::Tls { .. }), "{error}");
        assert!(error.to_string().contains("Encrypt=false"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_is_what_its_class_says() {
    let running = start();
    running.faults.arm(Fault::DropAfter, "UPDATE", 4);
    for (class, expected) in [
        (Class::QUICK, Disposition::Transient),
        (Class::LONG, Disposition::Transient),
        (Class::COMMIT, Disposition::Ambiguous),
    ] {
        let mut control = Control::connect(&running.connection("")).await.unwrap();
        let error = control
            .run(&Statement::plain("UPDATE t"), class)
            .await
            .unwrap_err();
        assert_eq!(error.disposition(), expected, "{error}");
        assert!(control.is_broken());
        let again = control
            .run(&Statement::plain("UPDATE t"), class)
            .await
            .unwrap_err();
        assert!(again.to_string().contains("earlier failure"), "{again}");
    }
    let mut channel = running.channel().await;
    let error = channel.run("UPDATE t").await.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Transient, "{error}");
    assert!(channel.is_broken());
}

/// Whether an answer is late, or comes from a server that gives up the session: the effect alone decides what that
/// means.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_may_commit_is_ambiguous() {
    let running = start();
    let limit = Some(Duration::from_millis(200));
    for (effect, expected) in [
        (Effect::Read, Disposition::Transient),
        (Effect::MayCommit, Disposition::Ambiguous),
    ] {
        let refusal = |number, class| {
            Fault::Error(SqlError {
                number,
                state: 1,
                class,
                line: 1,
                message: "The session is over.".into(),
            })
        };
        for fault in [
            Fault::Delay(Duration::from_secs(2)),
            refusal(596, 21),
            refusal(40197, 16),
        ] {
            running.faults.arm(fault.clone(), "UPDATE", 1);
            let mut control = Control::connect(&running.connection("")).await.unwrap();
            let class = Class { limit, effect };
            let error = control
                .run(&Statement::plain("UPDATE t"), class)
                .await
                .unwrap_err();
            assert_eq!(error.disposition(), expected, "{fault:?}: {error}");
            assert!(control.is_broken(), "{fault:?}");
        }
        // An error that leaves the session alone is what its number says.
        running.faults.arm(refusal(1205, 13), "UPDATE", 1);
        let mut control = Control::connect(&running.connection("")).await.unwrap();
        let class = Class { limit, effect };
        let error = control
            .run(&Statement::plain("UPDATE t"), class)
            .await
            .unwrap_err();
        assert_eq!(error.disposition(), Disposition::Transient, "{error}");
        assert!(!control.is_broken());
    }
    let waiting = Class::QUICK.waiting(60_000);
    assert_eq!(waiting.limit, Some(Duration::from_secs(90)));
    assert_eq!(Class::COMMIT.waiting(60_000), Class::COMMIT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_whose_receiver_went_away_stops() {
    let running = start();
    let fixture = fixture(&running.tables);
    let mut channel = running.channel().await;
    let mut decoder = Decoder::new(&fixture.table, &fixture.lake, Fidelity::Exact).unwrap();
    let (sender, receiver) = mpsc::channel(1);
    drop(receiver);
    let error = channel
        .read(&Statement::plain(SOURCE), &mut decoder, SMALL, &sender)
        .await
        .unwrap_err();
    assert_eq!(error, MssqlError::Stopped);
    assert!(channel.is_broken());
}

#[tokio::test(flavor = "multi_thread")]
async fn encryption_is_verified_unless_told_otherwise() {
    let identity = Identity::self_signed().unwrap();
    for encryption in [
        Encryption::Offered(identity.clone()),
        Encryption::Required(identity.clone()),
    ] {
        let running = start_with(encryption);
        let small = Table {
            columns: vec![meta("n", WireType::Int)],
            rows: vec![vec![Value::Int(1)]],
        };
        running.tables.put("small", small);
        let port = running.server.addr().port();
        let connection = |more: &str| {
            Connection::parse(&format!("Server=127.0.0.1,{port};UID=sa;PWD=right;{more}")).unwrap()
        };
        for accepted in ["TrustServerCertificate=true", "Encrypt=false"] {
            let connection = connection(accepted);
            let mut control = Control::connect(&connection).await.unwrap();
            let rows = control
                .query(&Statement::plain("SELECT * FROM [dbo].[small]"))
                .await
                .unwrap();
            assert_eq!(rows[0].int("n").unwrap(), 1);
            let mut channel = Channel::connect(&connection).await.unwrap();
            assert_eq!(channel.run("UPDATE t").await.unwrap(), 7);
        }
        for error in [
            Control::connect(&connection("")).await.err().unwrap(),
            Channel::connect(&connection("")).await.err().unwrap(),
        ] {
            assert!(matches!(error, MssqlError::Tls { .. }), "{error:?}");
            assert!(
                error.to_string().contains("TrustServerCertificate"),
                "{error}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_server_is_named_by_both_planes() {
    let running = start();
    let port = running.server.addr().port();
    let connection = running.connection("");
    running.server.stop();
    for error in [
        Control::connect(&connection).await.err().unwrap(),
        Channel::connect(&connection).await.err().unwrap(),
    ] {
        assert_eq!(error.disposition(), Disposition::Transient);
        assert!(
            error.to_string().contains(&format!("127.0.0.1:{port}")),
            "{error}"
        );
    }
}

/// A login without the bit for ODBC is sent 4,096 bytes of a large value, and the ANSI options are OFF. Both planes set
/// it.
#[tokio::test(flavor = "multi_thread")]
async fn large_values_come_whole_on_both_planes() {
    let mut world = World::new(
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n nvarchar(max) NULL, v varchar(max) NULL,
    b varbinary(max) NULL)
GO
INSERT dbo.t (id, n, v, b) VALUES (1, REPLICATE(CONVERT(nvarchar(max), N'n'), 5000),
    REPLICATE(CONVERT(varchar(max), 'v'), 6000), CONVERT(varbinary(max), REPLICATE(CONVERT(varchar(max), 'b'), 7000)))",
    )
    .await;
    // The control plane.
    let text = world.source_rows("SELECT n FROM dbo.t").await;
    assert_eq!(text[0][0].matches('n').count(), 5000);
    let session = "SELECT CASE WHEN @@TEXTSIZE IN (-1, 2147483647) THEN 1 ELSE 0 END, @@OPTIONS & (8 | 16 | 32 | 256)";
    assert_eq!(world.source_rows(session).await, [["Int(1)", "Int(312)"]]);
    // The data plane, from the source to the target.
    world.config("  - source: dbo.t\n");
    world.run(&["--json", "sync"]).json();
    let lengths = "SELECT DATALENGTH(n), DATALENGTH(v), DATALENGTH(b) FROM dbo.t";
    assert_eq!(
        world.target_rows(lengths).await,
        [["Int(10000)", "Int(6000)", "Int(7000)"]]
    );
    let same = "SELECT id, n, v, b FROM dbo.t";
    assert_eq!(world.target_rows(same).await, world.source_rows(same).await);
}
