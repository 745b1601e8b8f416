//! Whether source, lake and target hold the same rows, for `verify`.

use super::exit::Exit;
use super::format::{plural, thousands};
use super::listing::Listing;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// How one lake table compares with its source and its target.
#[derive(Debug, Serialize)]
pub struct ComparisonReport {
    pub source: String,
    pub lake: String,
    pub target: String,
    pub sides: Vec<SideReport>,
    pub seconds: f64,
}

/// How one side compares with the lake.
#[derive(Debug, Serialize)]
pub struct SideReport {
    /// `source` or `target`.
    pub side: &'static str,
    /// The snapshot of the lake table that was compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence_number: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<i64>,
    /// Why nothing was compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_compared: Option<String>,
    #[serde(flatten)]
    pub comparison: Option<Comparison>,
}

/// What was compared, and what differs.
#[derive(Debug, Default, Serialize)]
pub struct Comparison {
    /// Rows that were summed up on the side, and in the lake.
    pub rows: u64,
    pub lake_rows: u64,
    /// How many of the rows were chosen, where not all were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_percent: Option<f64>,
    /// Groups of rows, each with a checksum.
    pub buckets: u64,
    pub buckets_differing: u64,
    /// Groups that differ and whose rows were not read, because too many did.
    pub buckets_not_read: u64,
    /// Rows that left the server, of groups that differ.
    pub rows_read: u64,
    /// Keys of the side that the lake lacks.
    pub missing: u64,
    /// Keys of the lake that the side lacks.
    pub extra: u64,
    /// Keys of both, with other values.
    pub differing: u64,
    /// Keys that are equal to the server and have other bytes in the lake.
    pub respelled: u64,
    /// Differences of rows that the next extract reads.
    pub pending: u64,
    /// Differences of rows that changed while they were looked at.
    pub in_flight: u64,
    /// Keys that the lake has lost and the target keeps, as `deletes: ignore` says.
    pub kept: u64,
    /// In how many of the differing rows each column differs.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub columns_differing: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns_not_compared: Vec<SkippedColumn>,
    /// With `--show-values` only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<DifferingKey>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A column that was not compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SkippedColumn {
    pub column: String,
    pub why: String,
}

/// What is wrong with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    Missing,
    Extra,
    Differing,
    Respelled,
}

/// A key that differs.
#[derive(Debug, Serialize)]
pub struct DifferingKey {
    pub difference: Difference,
    /// As the side has it; of an extra row as the lake has it.
    pub key: BTreeMap<String, Option<String>>,
    pub columns: Vec<String>,
}

impl Comparison {
    /// Whether every row that was compared is equal, or is yet to be read by an extract.
    pub fn is_equal(&self) -> bool {
        self.found() == 0 && self.buckets_not_read == 0
    }

    fn found(&self) -> u64 {
        self.missing + self.extra + self.differing + self.respelled
    }
}

impl Listing<ComparisonReport> {
    /// As of a run; failed where something differs.
    pub fn compared(&self) -> Exit {
        let mut sides = self.tables.iter().flat_map(|table| &table.sides);
        let differs = |side: &SideReport| {
            let comparison = side.comparison.as_ref();
            comparison.is_some_and(|comparison| !comparison.is_equal())
        };
        match self.exit() {
            Exit::Done if sides.any(differs) => Exit::Failed,
            exit => exit,
        }
    }
}

impl ComparisonReport {
    /// For a terminal.
    pub fn text(&self) -> String {
        let mut out = format!(
            "{} -> lake {} -> target {}\n",
            self.source, self.lake, self.target
        );
        for side in &self.sides {
            side.write(&mut out);
        }
        out
    }
}

impl SideReport {
    pub(super) fn write(&self, out: &mut String) {
        let name = self.side;
        if let Some(why) = &self.not_compared {
            let _ = writeln!(out, "  {name:<8} not compared: {why}");
        }
        let Some(found) = &self.comparison else {
            return;
        };
        let verdict = match (found.is_equal(), found.pending + found.in_flight) {
            (true, 0) => "equal",
            (true, _) => "equal but for changes in flight",
            (false, _) => "DIFFERS",
        };
        let snapshot = self.sequence_number.unwrap_or_default();
        let _ = writeln!(
            out,
            "  {name:<8} {verdict}, compared with snapshot {snapshot}"
        );
        found.write(out);
    }
}

impl Comparison {
    fn write(&self, out: &mut String) {
        let mut line = |text: &str| {
            let _ = writeln!(out, "           {text}");
        };
        let sample = self
            .sample_percent
            .map(|percent| format!(" ({percent} % of the rows)"));
        line(&format!(
            "{} and {} in the lake{}, in {}; {} differ",
            plural(self.rows, "row"),
            thousands(self.lake_rows),
            sample.unwrap_or_default(),
            plural(self.buckets, "group"),
            thousands(self.buckets_differing)
        ));
        for (count, what) in [
            (self.missing, "missing from the lake"),
            (self.extra, "in the lake only"),
            (self.differing, "with other values"),
            (
                self.respelled,
                "with a key that is spelled otherwise in the lake",
            ),
            (self.pending, "to be read by the next extract"),
            (self.in_flight, "that changed while they were compared"),
            (
                self.kept,
                "that the target keeps, as `deletes: ignore` says",
            ),
        ] {
            if count > 0 {
                line(&format!("{} {what}", plural(count, "row")));
            }
        }
        if self.buckets_not_read > 0 {
            line(&format!(
                "{} differ and were not read: too many differ. Run `icesync extract`, or reset the checkpoint to read \
                 the whole table",
                plural(self.buckets_not_read, "group")
            ));
        }
        for (column, rows) in &self.columns_differing {
            line(&format!(
                "column {column} differs in {}",
                plural(*rows, "row")
            ));
        }
        for SkippedColumn { column, why } in &self.columns_not_compared {
            line(&format!("column {column} was not compared: {why}"));
        }
        for key in &self.keys {
            line(&key.text());
        }
        for note in &self.notes {
            line(note);
        }
    }
}

impl DifferingKey {
    fn text(&self) -> String {
        let difference = match self.difference {
            Difference::Missing => "missing",
            Difference::Extra => "extra",
            Difference::Differing => "differing",
            Difference::Respelled => "respelled",
        };
        let key = self
            .key
            .iter()
            .map(|(column, value)| format!("{column} = {}", value.as_deref().unwrap_or("NULL")));
        let key = key.collect::<Vec<_>>().join(", ");
        match self.columns.is_empty() {
            true => format!("{difference}: {key}"),
            false => format!("{difference}: {key} ({})", self.columns.join(", ")),
        }
    }
}
