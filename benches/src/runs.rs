//! (c) and (h) to (j): whole runs of the `icesync` command.

use crate::Scale;
use crate::measure::{Failure, Measures, Ran, best, run};
use crate::planes;
use crate::stage::{PASSWORD, Replayed, Stage};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Int64Array, RecordBatch};
use icesync::change::RunId;
use icesync::lake::{CommitIntent, Warehouse, WriteMode, WriteOptions};
use icesync::mssql::control::{Class, Control};
use icesync::mssql::sql::Statement;
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

pub const MB: f64 = 1e6;
/// As many as icesync reads at once unless it is told otherwise.
const RANGES: u64 = 4;

pub async fn measure(stage: &Stage, scale: &Scale, measures: &mut Measures) -> Result<(), Failure> {
    if measures.wants("i") {
        memory(stage, scale, measures).await?;
    }
    if measures.wants("h") {
        incremental(stage, scale, measures).await?;
    }
    if measures.wants("j") {
        many(stage, scale, measures).await?;
    }
    Ok(())
}

/// Runs `icesync` in a folder with this configuration.
pub fn icesync(
    stage: &Stage,
    folder: &Path,
    port: u16,
    tables: &str,
    arguments: &[&str],
) -> Result<Ran, Failure> {
    let text = format!(
        "source: {{ connection: \"${{{PASSWORD}}}\", parallel_tables: 4 }}\nwarehouse: {{ location: ./warehouse \
            }}\ntables:\n{tables}"
    );
    std::fs::write(folder.join("icesync.yaml"), text)?;
    let mut command = Command::new(stage.binaries.join("icesync"));
    command
        .args(arguments)
        .current_dir(folder)
        .env(PASSWORD, stage.connection_text(port));
    Ok(run(&mut command)?)
}

pub fn report(ran: &Ran) -> Result<Value, Failure> {
    let report: Value = serde_json::from_str(&ran.stdout)?;
    Ok(report["tables"][0]["extract"].clone())
}

/// (c): a first copy of a replayed table, committed; read in ranges, each by a connection of its own.
pub fn copy(
    stage: &Stage,
    scale: &Scale,
    table: &Replayed,
    rows: u64,
    ranges: u64,
) -> Result<Ran, Failure> {
    stage.replay_times(rows / scale.block)?;
    let range_rows = scale.block / ranges;
    let folder = tempfile::tempdir_in(stage.folder.path())?;
    let tables = format!(
        "  - source: {}\n    change: {{ strategy: sequence, column: id, range_rows: {range_rows} }}\n",
        table.schema.name
    );
    let ran = icesync(
        stage,
        folder.path(),
        stage.replay,
        &tables,
        &["extract", "--json"],
    )?;
    let read = report(&ran)?["rows_read"].as_u64();
    if read != Some(rows) {
        return Err(format!("{read:?} rows were copied instead of {rows}").into());
    }
    Ok(ran)
}

/// What a run read from the source and wrote to the lake.
fn moved(measures: &mut Measures, name: &str, report: &Value) {
    for (field, what, unit) in [
        ("rows_read", "rows_read", "rows"),
        ("bytes", "bytes_written", "B"),
    ] {
        let value = report[field].as_f64().unwrap_or(f64::NAN);
        measures.add(format!("{name}.{what}"), value, unit);
    }
}

/// (i): the most memory that a copy holds, by its rows.
async fn memory(stage: &Stage, scale: &Scale, measures: &mut Measures) -> Result<(), Failure> {
    measures.say("memory of a copy");
    for table in stage.replayed().await? {
        if table.name == "narrow" || !measures.wants_table(table.name) {
            continue;
        }
        for rows in scale.memory {
            let ran = copy(stage, scale, &table, rows, RANGES)?;
            let report = report(&ran)?;
            let name = format!("i.copy.{}.{rows}", table.name);
            moved(measures, &name, &report);
            measures.add(format!("{name}.peak"), ran.peak as f64 / MB, "MB");
            measures.add(format!("{name}.wall"), ran.spent.wall, "s");
            measures.add(format!("{name}.cpu"), ran.spent.cpu, "CPU s");
        }
    }
    Ok(())
}

/// (h): few rows of a large mirror table have changed.
async fn incremental(stage: &Stage, scale: &Scale, measures: &mut Measures) -> Result<(), Failure> {
    let Scale {
        mirror, changed, ..
    } = *scale;
    measures.say(&format!(
        "{changed} changed rows of a mirror table of {mirror}"
    ));
    let values = "customer, amount, created, shipped, name, code, active, weight, token";
    let mut control = stage.control().await?;
    create_versioned(&mut control, "changing").await?;
    let folder = tempfile::tempdir_in(stage.folder.path())?;
    let tables = "  - source: dbo.changing\n    change: { strategy: sequence, column: version }\n";
    let extract = || {
        icesync(
            stage,
            folder.path(),
            stage.direct,
            tables,
            &["extract", "--json"],
        )
    };
    extract()?;
    let warehouse = folder.path().join("warehouse");
    fill(stage, scale, &warehouse, "dbo.changing", mirror).await?;
    let step = mirror / changed;
    for (version, (what, id)) in (2..).zip([
        ("scattered", format!("id * {step}")),
        ("recent", format!("{mirror} - 1 - id")),
    ]) {
        let change = format!(
            "DELETE FROM dbo.changing; INSERT INTO dbo.changing (id, {values}, version) SELECT {id}, {values}, \
                {version} FROM dbo.replay_mixed WHERE id < {changed};"
        );
        control.run(&Statement::plain(change), Class::LONG).await?;
        let before = extract()?;
        let report = report(&before)?;
        if report["updated"].as_u64() != Some(changed) {
            return Err(format!("{changed} rows should be updated: {report}").into());
        }
        let name = format!("h.incremental.{what}");
        measures.add(format!("{name}.wall"), before.spent.wall, "s");
        measures.add(format!("{name}.cpu"), before.spent.cpu, "CPU s");
        measures.add(format!("{name}.peak"), before.peak as f64 / MB, "MB");
        moved(measures, &name, &report);
        for (field, value) in report["lookup"].as_object().into_iter().flatten() {
            if let Some(value) = value.as_f64() {
                let unit = if field.contains("bytes") { "B" } else { "" };
                measures.add(format!("{name}.lookup.{field}"), value, unit);
            }
        }
        for cost in ["rows_read", "bytes_written", "wall", "cpu"] {
            measures.ratio(
                &format!("full copy / incremental ({what}), {cost}"),
                &format!("i.copy.mixed.{mirror}.{cost}"),
                &format!("{name}.{cost}"),
            );
        }
    }
    Ok(())
}

/// Creates a table with the columns of the mixed one and a version, and one row.
pub async fn create_versioned(control: &mut Control, name: &str) -> Result<(), Failure> {
    let create = format!(
        "SELECT TOP (1) id, customer, amount, created, shipped, name, code, active, weight, token, CONVERT(bigint, 1) \
AS version INTO dbo.{name} FROM dbo.replay_mixed ORDER BY id; \
ALTER TABLE dbo.{name} ALTER COLUMN version bigint NOT NULL; \
ALTER TABLE dbo.{name} ADD CONSTRAINT pk_{name} PRIMARY KEY (id);"
    );
    Ok(control.run(&Statement::plain(create), Class::LONG).await?)
}

/// Puts rows into the lake table of such a table as an extract would have, under the checkpoint that it has.
pub async fn fill(
    stage: &Stage,
    scale: &Scale,
    location: &Path,
    name: &str,
    rows: u64,
) -> Result<(), Failure> {
    let block = planes::block(stage).await?;
    let warehouse = Warehouse::open(&location.to_string_lossy()).await?;
    let name = name.parse()?;
    let mut lake = warehouse.table(&name).await?.ok_or("no lake table")?;
    let run_id = RunId::generate();
    let options = WriteOptions {
        distinct_keys: true,
        target_file_bytes: 256 << 20,
        ..WriteOptions::new(WriteMode::ReplaceAll, run_id)
    };
    let mut writer = lake.writer(options).await?;
    let schema = Arc::clone(writer.schema());
    for copy in 0..rows.div_ceil(scale.block) {
        let first = copy * scale.block;
        let mut left = usize::try_from(rows - first)?;
        for batch in &block {
            let batch = batch.slice(0, batch.num_rows().min(left));
            left -= batch.num_rows();
            if batch.num_rows() == 0 {
                break;
            }
            let mut columns = batch.columns().to_vec();
            let ids = columns[0].as_primitive::<Int64Type>();
            columns[0] = Arc::new(ids.unary::<_, Int64Type>(|id| id + first as i64));
            columns.push(Arc::new(Int64Array::from_value(1, batch.num_rows())));
            writer
                .write(RecordBatch::try_new(Arc::clone(&schema), columns)?)
                .await?;
        }
    }
    let mut checkpoint = lake.checkpoint()?.ok_or("no checkpoint")?;
    let base = checkpoint.run_id;
    checkpoint.run_id = run_id;
    let intent = CommitIntent {
        run_id,
        base_checkpoint: Some(base),
        checkpoint,
        summary: Default::default(),
        foreign_rows: false,
        loading: None,
    };
    lake.commit(writer.finish().await?, intent).await?;
    Ok(())
}

/// (j): many small tables of which none has changed.
async fn many(stage: &Stage, scale: &Scale, measures: &mut Measures) -> Result<(), Failure> {
    measures.say(&format!("{} unchanged tables", scale.tables));
    let mut control = stage.control().await?;
    let mut tables = String::new();
    for at in 0..scale.tables {
        let create = format!(
            "CREATE TABLE dbo.small_{at} (id int NOT NULL PRIMARY KEY, name nvarchar(20) NOT NULL, rv rowversion); \
INSERT INTO dbo.small_{at} (id, name) VALUES (1, N'one'), (2, N'two'), (3, N'three');"
        );
        control.run(&Statement::plain(create), Class::QUICK).await?;
        tables.push_str(&format!("  - source: dbo.small_{at}\n"));
    }
    let folder = tempfile::tempdir_in(stage.folder.path())?;
    let extract = || {
        icesync(
            stage,
            folder.path(),
            stage.direct,
            &tables,
            &["extract", "--json"],
        )
    };
    let first = extract()?;
    measures.add("j.tables.first.wall", first.spent.wall, "s");
    let again = best(scale.repeats, async || extract(), |ran| ran.spent.wall).await?;
    let outcome: Value = serde_json::from_str(&again.stdout)?;
    if outcome["outcome"] != "unchanged" {
        return Err(format!("the tables should be unchanged: {}", outcome["outcome"]).into());
    }
    measures.add("j.tables.unchanged.wall", again.spent.wall, "s");
    measures.add("j.tables.unchanged.cpu", again.spent.cpu, "CPU s");
    Ok(())
}
