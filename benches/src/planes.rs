//! (a) to (g) and (k): what moves through the planes, against a null client, tiberius, and the Parquet writer alone.

use crate::Scale;
use crate::measure::{Clock, Failure, Measures, Spent, best};
use crate::runs;
use crate::stage::{Replayed, Stage};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{Array, RecordBatch};
use futures::TryStreamExt;
use icesync::lake::{Compression, Dictionaries, Warehouse, WriteMode, WriteOptions};
use icesync::mssql::bulk::{BulkColumn, BulkOptions};
use icesync::mssql::control::Class;
use icesync::mssql::rows::{BatchLimits, Decoder};
use icesync::mssql::sql::{Statement, read};
use icesync::schema::{Fidelity, LakeSchema, Role, TableKind};
use std::borrow::Cow;
use std::hint::black_box;
use tiberius::numeric::Numeric;
use tiberius::time::{Date, DateTime2, Time};
use tiberius::{ColumnData, TokenRow};
use tokio::sync::mpsc;

/// Of the machine that the goals are set for; (c) reads as many ranges at once.
const CORES: u64 = 2;

pub async fn measure(stage: &Stage, scale: &Scale, measures: &mut Measures) -> Result<(), Failure> {
    if !measures.wants("abcdefgk") {
        return Ok(());
    }
    for table in stage.replayed().await? {
        if !measures.wants_table(table.name) {
            continue;
        }
        measures.say(&format!(
            "{}: {} columns, {} rows",
            table.name,
            table.schema.columns.len(),
            scale.block * table.times(scale)
        ));
        reading(stage, scale, &table, measures).await?;
        if table.name == "mixed" && measures.wants("fg") {
            writing(stage, scale, &table, measures).await?;
        }
    }
    Ok(())
}

/// One figure of rows moved: per wall second and per CPU second.
fn moved(measures: &mut Measures, name: &str, rows: u64, spent: Spent) {
    measures.add(format!("{name}.wall"), spent.wall, "s");
    measures.add(format!("{name}.rate"), rows as f64 / spent.wall, "rows/s");
    measures.add(
        format!("{name}.cpu_rate"),
        rows as f64 / spent.cpu,
        "rows/CPU s",
    );
}

async fn reading(
    stage: &Stage,
    scale: &Scale,
    table: &Replayed,
    measures: &mut Measures,
) -> Result<(), Failure> {
    let statement = read::all(&table.schema, read::Locking::None);
    let rows = scale.block * table.times(scale);
    // One block: recorded by the first client, and kept as Arrow.
    stage.replay_times(1)?;
    let (_, block) = decode(stage, table, &statement, true).await?;
    stage.replay_times(table.times(scale))?;
    let name = |letter: &str| format!("{letter}.{}", table.name);
    let wall = |spent: &Spent| spent.wall;

    if measures.wants("a") {
        let mut bytes = 0;
        let drained = async || {
            let clock = Clock::start();
            bytes = stage.drain(&statement.sql)?;
            Ok(clock.stop())
        };
        let spent = best(scale.repeats, drained, wall).await?;
        moved(measures, &name("a.drain"), rows, spent);
        measures.add(name("a.bytes"), bytes as f64 / spent.wall / 1e6, "MB/s");
    }
    if measures.wants("b") {
        let decoded = async || Ok(decode(stage, table, &statement, false).await?.0);
        let spent = best(scale.repeats, decoded, wall).await?;
        moved(measures, &name("b.decode"), rows, spent);
    }
    if measures.wants("c") {
        let copied = async || runs::copy(stage, scale, table, rows, CORES);
        let ran = best(scale.repeats, copied, |ran| ran.spent.wall).await?;
        moved(measures, &name("c.copy"), rows, ran.spent);
    }
    if measures.wants("d") {
        stage.replay_times(scale.times_slow)?;
        let looped = async || row_loop(stage, &statement).await;
        let spent = best(scale.repeats, looped, wall).await?;
        moved(
            measures,
            &name("d.tiberius"),
            scale.block * scale.times_slow,
            spent,
        );
    }
    if measures.wants("e") {
        let times = table.times(scale);
        let written = async || Ok(parquet(stage, times, table, &block, |_| {}).await?.0);
        let spent = best(scale.repeats, written, wall).await?;
        moved(measures, &name("e.parquet"), rows, spent);
    }
    if measures.wants("k") {
        settings(stage, scale, table, &block, measures).await?;
    }
    let ratio = |text: &str| format!("{text} ({})", table.name);
    measures.ratio(
        &ratio("b / d, rows per CPU second"),
        &format!("{}.cpu_rate", name("b.decode")),
        &format!("{}.cpu_rate", name("d.tiberius")),
    );
    measures.ratio_to_largest(
        &ratio("c / the larger of a and e, wall"),
        &format!("{}.wall", name("c.copy")),
        &[
            &format!("{}.wall", name("a.drain")),
            &format!("{}.wall", name("e.parquet")),
        ],
    );
    Ok(())
}

/// One block of the mixed table as Arrow.
pub async fn block(stage: &Stage) -> Result<Vec<RecordBatch>, Failure> {
    let tables = stage.replayed().await?;
    let table = tables.first().ok_or("no table")?;
    stage.replay_times(1)?;
    let statement = read::all(&table.schema, read::Locking::None);
    Ok(decode(stage, table, &statement, true).await?.1)
}

/// (b): rows into Arrow.
async fn decode(
    stage: &Stage,
    table: &Replayed,
    statement: &Statement,
    keep: bool,
) -> Result<(Spent, Vec<RecordBatch>), Failure> {
    let mut channel = stage.channel().await?;
    let mut decoder = Decoder::new(&table.schema, &table.lake, Fidelity::Exact)?;
    let (sender, mut batches) = mpsc::channel(4);
    let clock = Clock::start();
    let mut kept = Vec::new();
    let take = async {
        while let Some(batch) = batches.recv().await {
            if keep {
                kept.push(batch);
            }
        }
    };
    let read = async {
        let limits = BatchLimits::default();
        let counts = channel.read(statement, &mut decoder, limits, &sender).await;
        drop(sender);
        counts
    };
    let (counts, ()) = tokio::join!(read, take);
    counts?;
    let spent = clock.stop();
    channel.close().await;
    Ok((spent, kept))
}

/// (d): every cell of every row, by tiberius; nothing is made of them.
async fn row_loop(stage: &Stage, statement: &Statement) -> Result<Spent, Failure> {
    let mut client = stage.tiberius().await?;
    let clock = Clock::start();
    let mut rows = client
        .simple_query(statement.sql.as_str())
        .await?
        .into_row_stream();
    while let Some(row) = rows.try_next().await? {
        for (_, cell) in row.cells() {
            black_box(cell);
        }
    }
    Ok(clock.stop())
}

/// (e): the same batches into the files of a lake table, with the settings that an extract has, changed by `set`.
/// DeclaredChanges the files' bytes as well.
async fn parquet(
    stage: &Stage,
    times: u64,
    table: &Replayed,
    block: &[RecordBatch],
    set: impl Fn(&mut WriteOptions),
) -> Result<(Spent, u64), Failure> {
    let folder = tempfile::tempdir_in(stage.folder.path())?;
    let warehouse = Warehouse::open(&folder.path().to_string_lossy()).await?;
    let name = table.schema.name.clone();
    let kind = TableKind::Mirror;
    let lake = warehouse
        .create(&name, &table.lake, kind, Default::default())
        .await?;
    let mut options = WriteOptions {
        distinct_keys: true,
        target_file_bytes: 256 << 20,
        ..WriteOptions::new(WriteMode::ReplaceAll, icesync::change::RunId::generate())
    };
    set(&mut options);
    let clock = Clock::start();
    let mut writer = lake.writer(options).await?;
    for _ in 0..times {
        for batch in block {
            writer.write(batch.clone()).await?;
        }
    }
    let prepared = writer.finish().await?;
    let spent = clock.stop();
    let mut bytes = 0;
    for file in std::fs::read_dir(format!(
        "{}/data",
        lake.location().trim_start_matches("file://")
    ))? {
        bytes += file?.metadata()?.len();
    }
    prepared.abandon(&lake).await;
    Ok((spent, bytes))
}

type Setting = Box<dyn Fn(&mut WriteOptions)>;

fn set(change: impl Fn(&mut WriteOptions) + 'static) -> Setting {
    Box::new(change)
}

/// (k): what other settings of the files would cost.
async fn settings(
    stage: &Stage,
    scale: &Scale,
    table: &Replayed,
    block: &[RecordBatch],
    measures: &mut Measures,
) -> Result<(), Failure> {
    let compression = |compression| set(move |options| options.compression = compression);
    let group = |rows| set(move |options| options.row_group_rows = rows);
    let page = |bytes| set(move |options| options.page_bytes = bytes);
    let dictionaries = |which| set(move |options| options.dictionaries = which);
    let rows = scale.block * scale.times_slow;
    for (name, set) in [
        ("none", compression(Compression::None)),
        ("lz4", compression(Compression::Lz4)),
        ("snappy", compression(Compression::Snappy)),
        ("zstd_1", compression(Compression::Zstd(1))),
        ("zstd_2", compression(Compression::Zstd(2))),
        ("zstd_3", compression(Compression::Zstd(3))),
        ("zstd_9", compression(Compression::Zstd(9))),
        ("rows_32k", group(32 << 10)),
        ("rows_128k", group(128 << 10)),
        ("rows_1m", group(1 << 20)),
        ("page_64k", page(64 << 10)),
        ("page_256k", page(256 << 10)),
        ("page_1m", page(1 << 20)),
        ("dictionaries_all", dictionaries(Dictionaries::All)),
        ("dictionaries_none", dictionaries(Dictionaries::None)),
        (
            "dictionaries_sampled",
            dictionaries(Dictionaries::WhereValuesRepeat),
        ),
    ] {
        let (spent, bytes) = parquet(stage, scale.times_slow, table, block, set).await?;
        let name = format!("k.settings.{}.{name}", table.name);
        measures.add(
            format!("{name}.cpu_rate"),
            rows as f64 / spent.cpu,
            "rows/CPU s",
        );
        measures.add(format!("{name}.row"), bytes as f64 / rows as f64, "B/row");
    }
    Ok(())
}

/// (f) and (g): the same rows into a server that takes everything.
async fn writing(
    stage: &Stage,
    scale: &Scale,
    table: &Replayed,
    measures: &mut Measures,
) -> Result<(), Failure> {
    let columns = columns(table);
    let declared: Vec<String> = columns
        .iter()
        .map(|column| {
            let null = if column.nullable { "NULL" } else { "NOT NULL" };
            format!("[{}] {} {null}", column.name, column.ty)
        })
        .collect();
    let create = format!(
        "CREATE TABLE dbo.sink_{} ({});",
        table.name,
        declared.join(", ")
    );
    let mut control = stage.control().await?;
    control.run(&Statement::plain(create), Class::LONG).await?;
    let sink = format!("[dbo].[sink_{}]", table.name);
    let block = block(stage).await?;
    let rows = scale.block * scale.times_slow;
    let wall = |spent: &Spent| spent.wall;
    if measures.wants("f") {
        let sent = async || bulk(stage, scale, &sink, &columns, &block).await;
        let spent = best(scale.repeats, sent, wall).await?;
        moved(measures, "f.bulk.mixed", rows, spent);
    }
    if measures.wants("g") {
        let sent = async || tiberius_bulk(stage, scale, &sink, &table.lake, &block).await;
        let spent = best(scale.repeats, sent, wall).await?;
        moved(measures, "g.tiberius.mixed", rows, spent);
    }
    let (ours, theirs) = ("f.bulk.mixed", "g.tiberius.mixed");
    measures.ratio(
        "f / g, rows per second",
        &format!("{ours}.rate"),
        &format!("{theirs}.rate"),
    );
    measures.ratio(
        "f / g, rows per CPU second",
        &format!("{ours}.cpu_rate"),
        &format!("{theirs}.cpu_rate"),
    );
    Ok(())
}

/// As a load stages them.
fn columns(table: &Replayed) -> Vec<BulkColumn> {
    let position = |source: usize, role: Role| {
        let mut fields = table.lake.fields.iter();
        fields.position(|field| field.source == Some(source) && field.role == role)
    };
    let columns = table.schema.columns.iter().enumerate();
    columns
        .map(|(at, column)| BulkColumn {
            name: column.name.clone(),
            ty: column.ty.facts().staged,
            collation: None,
            nullable: column.nullable,
            identity: false,
            value: position(at, Role::Value).unwrap_or_default(),
            ticks: position(at, Role::Ticks),
            offset: position(at, Role::Offset),
        })
        .collect()
}

async fn bulk(
    stage: &Stage,
    scale: &Scale,
    sink: &str,
    columns: &[BulkColumn],
    block: &[RecordBatch],
) -> Result<Spent, Failure> {
    let mut channel = stage.channel().await?;
    let (sender, mut batches) = mpsc::channel(4);
    let options = BulkOptions {
        rows_per_batch: 0,
        table_lock: true,
    };
    let clock = Clock::start();
    let feed = async move {
        for _ in 0..scale.times_slow {
            for batch in block {
                // A receiver that went away says why itself.
                let _ = sender.send(batch.clone()).await;
            }
        }
    };
    let send = channel.bulk_insert(sink, columns, &[0], &mut batches, options);
    let (sent, ()) = tokio::join!(send, feed);
    sent?;
    let spent = clock.stop();
    channel.close().await;
    Ok(spent)
}

/// (g): the same batches, a row at a time, as tiberius takes them.
async fn tiberius_bulk(
    stage: &Stage,
    scale: &Scale,
    sink: &str,
    lake: &LakeSchema,
    block: &[RecordBatch],
) -> Result<Spent, Failure> {
    let mut client = stage.tiberius().await?;
    let at = |name: &str| {
        let found = lake.fields.iter().position(|field| field.name == name);
        found.ok_or_else(|| Failure::from(format!("no column {name}")))
    };
    let clock = Clock::start();
    let mut request = client.bulk_insert(sink).await?;
    for _ in 0..scale.times_slow {
        for batch in block {
            let column = |name: &str| Ok::<_, Failure>(batch.column(at(name)?));
            let id = column("id")?.as_primitive::<Int64Type>();
            let customer = column("customer")?.as_primitive::<Int32Type>();
            let amount = column("amount")?.as_primitive::<Decimal128Type>();
            let created = column("created")?.as_primitive::<TimestampMicrosecondType>();
            let ticks = column("created__100ns")?.as_primitive::<Int32Type>();
            let shipped = column("shipped")?.as_primitive::<Date32Type>();
            let name = column("name")?.as_string::<i32>();
            let code = column("code")?.as_string::<i32>();
            let active = column("active")?.as_boolean();
            let weight = column("weight")?.as_primitive::<Float64Type>();
            let token = column("token")?.as_fixed_size_binary();
            for row in 0..batch.num_rows() {
                let mut cells = TokenRow::with_capacity(10);
                cells.push(ColumnData::I64(Some(id.value(row))));
                cells.push(ColumnData::I32(Some(customer.value(row))));
                let value = Numeric::new_with_scale(amount.value(row), 4);
                cells.push(ColumnData::Numeric(Some(value)));
                let micros = created.value(row) + MICROS_BEFORE_1970;
                let time = micros % MICROS_A_DAY * 10 + i64::from(ticks.value(row));
                let (day, time) = (
                    Date::new((micros / MICROS_A_DAY) as u32),
                    Time::new(time as u64, 7),
                );
                cells.push(ColumnData::DateTime2(Some(DateTime2::new(day, time))));
                let day = |day: i32| Date::new((i64::from(day) + DAYS_BEFORE_1970) as u32);
                let some = shipped.is_valid(row).then(|| day(shipped.value(row)));
                cells.push(ColumnData::Date(some));
                cells.push(ColumnData::String(Some(Cow::Borrowed(name.value(row)))));
                let some = code.is_valid(row).then(|| Cow::Borrowed(code.value(row)));
                cells.push(ColumnData::String(some));
                cells.push(ColumnData::Bit(Some(active.value(row))));
                cells.push(ColumnData::F64(
                    weight.is_valid(row).then(|| weight.value(row)),
                ));
                let guid = tiberius::Uuid::from_slice(token.value(row))?;
                cells.push(ColumnData::Guid(Some(guid)));
                request.send(cells).await?;
            }
        }
    }
    request.finalize().await?;
    Ok(clock.stop())
}

const DAYS_BEFORE_1970: i64 = 719_162;
const MICROS_A_DAY: i64 = 86_400_000_000;
const MICROS_BEFORE_1970: i64 = DAYS_BEFORE_1970 * MICROS_A_DAY;
