//! (n): a first load, straight into the table that becomes the target and through a staging table.

use crate::Scale;
use crate::measure::{Failure, Measures, Ran, best, run};
use crate::runs::{self, MB};
use crate::stage::{PASSWORD, Stage};
use icesync::mssql::control::Class;
use icesync::mssql::sql::Statement;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

const TABLES: &str = "  - source: dbo.loading\n    target: dbo.loaded\n    change: { strategy: sequence, column: \
    version }\n";

/// What is there before each load: no target, or one that is empty, which is filled from a staging table.
const WAYS: [(&str, &str); 2] = [
    ("straight", "DROP TABLE IF EXISTS dbo.loaded"),
    ("staged", "TRUNCATE TABLE dbo.loaded"),
];

pub async fn measure(stage: &Stage, scale: &Scale, measures: &mut Measures) -> Result<(), Failure> {
    if !measures.wants("n") {
        return Ok(());
    }
    let rows = scale.loaded;
    measures.say(&format!("first loads of {rows} rows"));
    let folder = tempfile::tempdir_in(stage.folder.path())?;
    let folder = folder.path();
    let mut control = stage.control().await?;
    runs::create_versioned(&mut control, "loading").await?;
    icesync(stage, folder, "extract")?;
    let warehouse = folder.join("warehouse");
    runs::fill(stage, scale, &warehouse, "dbo.loading", rows).await?;
    for (way, before) in WAYS {
        let loaded = async || {
            let reset = format!(
                "{before}; IF OBJECT_ID(N'icesync.load_state') IS NOT NULL DELETE FROM icesync.load_state;"
            );
            control.run(&Statement::plain(reset), Class::LONG).await?;
            let ran = icesync(stage, folder, "load")?;
            let report: Value = serde_json::from_str(&ran.stdout)?;
            let load = &report["tables"][0]["load"];
            let is_straight = load["created_target"] == true;
            if load["inserted"].as_u64() != Some(rows) || is_straight != (way == "straight") {
                return Err(format!("{rows} rows should be loaded {way}: {load}").into());
            }
            Ok(ran)
        };
        let ran = best(scale.repeats, loaded, |ran| ran.spent.wall).await?;
        let name = format!("n.first_load.{way}");
        measures.add(format!("{name}.wall"), ran.spent.wall, "s");
        let rate = rows as f64 / ran.spent.wall;
        measures.add(format!("{name}.rate"), rate, "rows/s");
        measures.add(format!("{name}.cpu"), ran.spent.cpu, "CPU s");
        measures.add(format!("{name}.peak"), ran.peak as f64 / MB, "MB");
    }
    measures.ratio(
        "n, straight / staged, rows per second",
        "n.first_load.straight.rate",
        "n.first_load.staged.rate",
    );
    Ok(())
}

fn icesync(stage: &Stage, folder: &Path, command: &str) -> Result<Ran, Failure> {
    let text = format!(
        "source: {{ connection: \"${{{PASSWORD}}}\" }}\nwarehouse: {{ location: ./warehouse }}\n\
         target: {{ connection: \"${{{PASSWORD}}}\" }}\ntables:\n{TABLES}"
    );
    std::fs::write(folder.join("icesync.yaml"), text)?;
    let mut process = Command::new(stage.binaries.join("icesync"));
    process
        .args([command, "--json"])
        .current_dir(folder)
        .env(PASSWORD, stage.connection_text(stage.direct));
    Ok(run(&mut process)?)
}
