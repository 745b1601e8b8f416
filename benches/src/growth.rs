//! (l) and (m): what a table costs that has seen many commits, or has many files.

use crate::Scale;
use crate::measure::{Failure, Measures, Ran, best};
use crate::runs::{MB, icesync, report};
use crate::stage::Stage;
use iceberg::io::FileIO;
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, ManifestFile, ManifestList,
    ManifestListWriter, ManifestWriterBuilder, TableMetadata,
};
use icesync::mssql::control::Class;
use icesync::mssql::sql::Statement;
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The interpreter with DuckDB and PyIceberg, as for the tests.
const PYTHON: &str = "ICESYNC_INTEROP_PYTHON";
/// Rows that change between two commits.
const CHANGED: u64 = 100;
/// Runs of which the median counts at a milestone.
const RUNS: u64 = 5;
/// Files that a generated manifest lists.
const FILES_A_MANIFEST: u64 = 5_000;

pub async fn measure(stage: &Stage, scale: &Scale, measures: &mut Measures) -> Result<(), Failure> {
    if measures.wants("l") {
        commits(stage, scale, measures).await?;
    }
    if measures.wants("m") {
        files(stage, scale, measures).await?;
    }
    Ok(())
}

fn extract(stage: &Stage, folder: &Path, tables: &str) -> Result<(Ran, Value), Failure> {
    let ran = icesync(stage, folder, stage.direct, tables, &["extract", "--json"])?;
    let report = report(&ran)?;
    Ok((ran, report))
}

/// (l): many commits of few scattered rows each, every one by a run of its own. The source holds only the rows that
/// changed last, so that its size does not count.
async fn commits(stage: &Stage, scale: &Scale, measures: &mut Measures) -> Result<(), Failure> {
    let (rows, commits) = (scale.growing, scale.commits);
    measures.say(&format!(
        "{commits} commits of {CHANGED} scattered rows of {rows}"
    ));
    let mut control = stage.control().await?;
    let create = "CREATE TABLE dbo.growing (id bigint NOT NULL PRIMARY KEY, version bigint NOT NULL, quantity int NOT \
                  NULL, name nvarchar(40) NOT NULL)";
    control
        .run(&Statement::plain(create.to_owned()), Class::LONG)
        .await?;
    fill(&mut control, rows, scale.block).await?;
    let folder = tempfile::tempdir_in(stage.folder.path())?;
    let tables = "  - source: dbo.growing\n    change: { strategy: sequence, column: version }\n";
    extract(stage, folder.path(), tables)?;
    let table = folder.path().join("warehouse/dbo/growing");
    let step = rows / CHANGED;
    let mut versions: HashMap<u64, u64> = HashMap::new();
    let mut last: Vec<f64> = Vec::new();
    let mut milestone = 10;
    for commit in 1..=commits {
        let values = (0..CHANGED).map(|n| {
            // One row in each stripe of the table, another one each time.
            let id = n * step + (n * 7_919 + commit * 104_729) % step;
            versions.insert(id, commit + 1);
            format!(
                "({id}, {}, {}, N'changed by {commit}')",
                commit + 1,
                id % 1000
            )
        });
        let values = values.collect::<Vec<_>>().join(", ");
        let change = format!(
            "DELETE FROM dbo.growing; INSERT INTO dbo.growing (id, version, quantity, name) VALUES {values};"
        );
        control.run(&Statement::plain(change), Class::LONG).await?;
        let (ran, report) = extract(stage, folder.path(), tables)?;
        if report["updated"].as_u64() != Some(CHANGED) {
            return Err(format!("commit {commit} should update {CHANGED} rows: {report}").into());
        }
        if commit + RUNS > milestone.min(commits) {
            last.push(ran.spent.wall);
        }
        if commit == milestone.min(commits) {
            let sum = versions.values().sum::<u64>() + rows - versions.len() as u64;
            let name = format!("l.commits.{commit}");
            measures.add(format!("{name}.extract"), median(&last), "s");
            measures.add(
                format!("{name}.extract.slowest"),
                last.iter().copied().fold(0.0, f64::max),
                "s",
            );
            measures.add(format!("{name}.peak"), ran.peak as f64 / MB, "MB");
            sizes(measures, &name, &table)?;
            reads(measures, &name, &table, rows, sum)?;
            compacted(stage, measures, &name, folder.path(), (rows, sum))?;
            for what in ["extract", "read.duckdb", "read.pyiceberg", "files"] {
                let ten = format!("l.commits.{}.{what}", commits.min(10));
                measures.ratio(
                    &format!("commit {commit} / first milestone, {what}"),
                    &format!("{name}.{what}"),
                    &ten,
                );
            }
            milestone *= 10;
            last.clear();
        }
    }
    Ok(())
}

/// Rows with version 1, some at a time.
async fn fill(
    control: &mut icesync::mssql::control::Control,
    rows: u64,
    block: u64,
) -> Result<(), Failure> {
    let mut first = 0;
    while first < rows {
        let count = block.min(rows - first);
        let insert = format!(
            "INSERT INTO dbo.growing (id, version, quantity, name) SELECT n + {first}, 1, n % 1000, N'row ' + \
             CONVERT(nvarchar(20), n) FROM dbo.numbers WHERE n < {count}"
        );
        control.run(&Statement::plain(insert), Class::LONG).await?;
        first += count;
    }
    Ok(())
}

fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Files and bytes of a table's folder.
fn sizes(measures: &mut Measures, name: &str, table: &Path) -> Result<(), Failure> {
    let (mut files, mut bytes) = (0_u64, 0_u64);
    for part in ["data", "metadata"] {
        for entry in std::fs::read_dir(table.join(part))? {
            files += 1;
            bytes += entry?.metadata()?.len();
        }
    }
    measures.add(format!("{name}.files"), files as f64, "");
    measures.add(format!("{name}.bytes"), bytes as f64, "B");
    Ok(())
}

/// What the same readers take for a copy of the warehouse that was compacted just now.
fn compacted(
    stage: &Stage,
    measures: &mut Measures,
    name: &str,
    folder: &Path,
    (rows, sum): (u64, u64),
) -> Result<(), Failure> {
    let copy = tempfile::tempdir_in(stage.folder.path())?;
    let table = "warehouse/dbo/growing";
    for part in ["data", "metadata"] {
        let (from, to) = (folder.join(table).join(part), copy.path().join(table));
        std::fs::create_dir_all(to.join(part))?;
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            std::fs::copy(entry.path(), to.join(part).join(entry.file_name()))?;
        }
    }
    let tables = "  - source: dbo.growing\n";
    let run = |arguments: &[&str]| icesync(stage, copy.path(), stage.direct, tables, arguments);
    run(&["relocate", "--json"])?;
    let ran = run(&["maintain", "--compact", "--json"])?;
    let fresh = format!("{name}.compacted");
    measures.add(format!("{fresh}.maintain"), ran.spent.wall, "s");
    measures.add(format!("{fresh}.maintain.peak"), ran.peak as f64 / MB, "MB");
    reads(measures, &fresh, &copy.path().join(table), rows, sum)?;
    for reader in ["duckdb", "pyiceberg"] {
        measures.ratio(
            &format!("{name}.read.{reader} / freshly compacted"),
            &format!("{name}.read.{reader}"),
            &format!("{fresh}.read.{reader}"),
        );
    }
    Ok(())
}

/// Reading times of others, where there is an interpreter that has them.
fn reads(
    measures: &mut Measures,
    name: &str,
    table: &Path,
    rows: u64,
    sum: u64,
) -> Result<(), Failure> {
    let Some(python) = std::env::var_os(PYTHON) else {
        measures.say(&format!(
            "SKIPPED: read times of DuckDB and PyIceberg, because {PYTHON} is not set"
        ));
        return Ok(());
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("read_times.py");
    let mut command = Command::new(python);
    command
        .arg(script)
        .arg(table)
        .args([rows.to_string(), sum.to_string()]);
    let ran = crate::measure::run(&mut command)?;
    let times: HashMap<String, f64> = serde_json::from_str(&ran.stdout)?;
    for (reader, seconds) in times {
        measures.add(format!("{name}.read.{reader}"), seconds, "s");
    }
    Ok(())
}

/// (m): a table of many files, of which all but one exist in its metadata alone.
async fn files(stage: &Stage, scale: &Scale, measures: &mut Measures) -> Result<(), Failure> {
    measures.say(&format!("a table of {} files and 30 columns", scale.files));
    let mut control = stage.control().await?;
    let columns: Vec<String> = (1..=28)
        .map(|at| {
            if at % 2 == 0 {
                format!("c{at} bigint NOT NULL")
            } else {
                format!("c{at} nvarchar(40) NOT NULL")
            }
        })
        .collect();
    let values: Vec<String> = (1..=28)
        .map(|at| {
            if at % 2 == 0 {
                format!("{at}")
            } else {
                format!("N'text {at}'")
            }
        })
        .collect();
    let create = format!(
        "CREATE TABLE dbo.wide (id bigint NOT NULL PRIMARY KEY, version bigint NOT NULL, {});
         INSERT INTO dbo.wide SELECT n, 1, {} FROM dbo.numbers WHERE n < 100;",
        columns.join(", "),
        values.join(", ")
    );
    control.run(&Statement::plain(create), Class::LONG).await?;
    let folder = tempfile::tempdir_in(stage.folder.path())?;
    let tables = "  - source: dbo.wide\n    change: { strategy: sequence, column: version }\n";
    extract(stage, folder.path(), tables)?;
    let table = folder.path().join("warehouse/dbo/wide");
    grow(&table, scale.files).await?;
    let idle = async || extract(stage, folder.path(), tables).map(|(ran, _)| ran);
    let idle = best(scale.repeats, idle, |ran| ran.spent.wall).await?;
    measures.add("m.files.idle.wall", idle.spent.wall, "s");
    measures.add("m.files.idle.peak", idle.peak as f64 / MB, "MB");
    let mut version = 1;
    let one = async || {
        version += 1;
        let change = format!("UPDATE dbo.wide SET version = {version} WHERE id = 7");
        control.run(&Statement::plain(change), Class::QUICK).await?;
        let (ran, report) = extract(stage, folder.path(), tables)?;
        match report["updated"].as_u64() {
            Some(1) => Ok(ran),
            _ => Err(format!("one row should be updated: {report}").into()),
        }
    };
    let one = best(scale.repeats, one, |ran| ran.spent.wall).await?;
    measures.add("m.files.one_row.wall", one.spent.wall, "s");
    measures.add("m.files.one_row.cpu", one.spent.cpu, "CPU s");
    measures.add("m.files.one_row.peak", one.peak as f64 / MB, "MB");
    Ok(())
}

/// Puts a manifest list into the place of the current snapshot's that lists many more files.
async fn grow(table: &Path, files: u64) -> Result<(), Failure> {
    let hint = std::fs::read_to_string(table.join("metadata/version-hint.text"))?;
    let metadata = table.join(format!("metadata/v{}.metadata.json", hint.trim()));
    let metadata: TableMetadata = serde_json::from_slice(&std::fs::read(metadata)?)?;
    let snapshot = metadata
        .current_snapshot()
        .ok_or("the table has no snapshot")?;
    let list = PathBuf::from(snapshot.manifest_list().trim_start_matches("file://"));
    let known =
        ManifestList::parse_with_version(&std::fs::read(&list)?, metadata.format_version())?;
    let mut manifests: Vec<ManifestFile> = known.consume_entries().into_iter().collect();
    let schema = metadata.current_schema();
    let memory = FileIO::new_with_memory();
    let mut first = 0;
    while first < files {
        let uri = format!("{}/metadata/generated-{first}.avro", metadata.location());
        let output = memory.new_output("memory:/manifest")?;
        let spec = metadata.default_partition_spec().as_ref().clone();
        let builder =
            ManifestWriterBuilder::new(output, Some(snapshot.snapshot_id()), schema.clone(), spec);
        let mut writer = builder.build_v2_data();
        let end = files.min(first + FILES_A_MANIFEST);
        for number in first..end {
            writer.add_file(generated(&metadata, number)?, -1)?;
        }
        let mut manifest = writer.write_manifest_file().await?;
        let bytes = memory.new_input("memory:/manifest")?.read().await?;
        std::fs::write(uri.trim_start_matches("file://"), bytes)?;
        manifest.manifest_path = uri;
        manifests.push(manifest);
        first = end;
    }
    let output = memory.new_output("memory:/list")?.writer().await?;
    let parent = snapshot.parent_snapshot_id();
    let mut writer = ManifestListWriter::v2(
        output,
        snapshot.snapshot_id(),
        parent,
        snapshot.sequence_number(),
    );
    writer.add_manifests(manifests.into_iter())?;
    writer.close().await?;
    std::fs::write(list, memory.new_input("memory:/list")?.read().await?)?;
    Ok(())
}

/// A file of 1,000 keys of its own, with counts and bounds of every column.
fn generated(metadata: &TableMetadata, number: u64) -> Result<DataFile, Failure> {
    let ids: Vec<i32> = metadata
        .current_schema()
        .as_struct()
        .fields()
        .iter()
        .map(|field| field.id)
        .collect();
    let least = 1_000_000 + number as i64 * 1_000;
    let bound = |field: &iceberg::spec::NestedFieldRef, at: i64| match field.name.as_str() {
        "id" => Datum::long(least + at),
        name if name.starts_with('c') && !is_even(name) => {
            Datum::string(format!("text {}", least + at))
        }
        _ => Datum::long(at),
    };
    let bounds = |at: i64| -> HashMap<i32, Datum> {
        let fields = metadata.current_schema().as_struct().fields();
        fields
            .iter()
            .map(|field| (field.id, bound(field, at)))
            .collect()
    };
    let counts = |count: u64| ids.iter().map(|&id| (id, count)).collect::<HashMap<_, _>>();
    let run = icesync::change::RunId::generate();
    Ok(DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path(format!(
            "{}/data/{run}-{number}.parquet",
            metadata.location()
        ))
        .file_format(DataFileFormat::Parquet)
        .record_count(1_000)
        .file_size_in_bytes(40_000 + number)
        .column_sizes(counts(1_300))
        .value_counts(counts(1_000))
        .null_value_counts(counts(0))
        .lower_bounds(bounds(0))
        .upper_bounds(bounds(999))
        .split_offsets(Some(vec![4]))
        .build()?)
}

fn is_even(name: &str) -> bool {
    name.trim_start_matches('c')
        .parse::<u64>()
        .is_ok_and(|at| at % 2 == 0)
}
