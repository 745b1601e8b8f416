//! Whether source, lake and target hold the same rows, for `verify`.

use super::format::{plural, thousands};
use serde::Serialize;
use std::fmt::Write as _;

/// One table of the configuration.
#[derive(Debug, Serialize)]
pub struct ComparisonReport {
    pub source: String,
    pub lake: String,
    pub target: String,
    /// Of each side that was asked for.
    pub compared: Vec<SideReport>,
}

/// A server that the lake was compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ComparedSide {
    Source,
    Target,
}

/// What a comparison has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The rows are the same, but for those that are pending.
    Equal,
    Different,
    NotCompared,
}

/// A comparison of the lake with one side.
#[derive(Debug, Serialize)]
pub struct SideReport {
    pub side: ComparedSide,
    pub verdict: Verdict,
    /// Why it was not compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The snapshot of the lake.
    pub snapshot_id: Option<i64>,
    pub sequence_number: Option<i64>,
    #[serde(flatten)]
    pub counts: ComparisonCounts,
    /// Columns with other values, of the first keys that differ.
    pub columns: Vec<DifferingColumn>,
    /// So many of the keys that differ were looked at column by column.
    pub keys_by_column: u64,
    pub columns_not_compared: Vec<ColumnNotCompared>,
    /// The first keys of each kind, if row values are shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<KeyFound>,
    /// What a user should know of the result.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Rows, buckets and keys. The source comes before the lake, and the lake before the target: what is `missing` or
/// `extra` is so in the later of the two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ComparisonCounts {
    /// Of the server.
    pub rows: u64,
    pub lake_rows: u64,
    pub buckets: u64,
    pub buckets_differing: u64,
    /// Of those that differ, so many were looked at row by row.
    pub buckets_examined: u64,
    pub missing: u64,
    pub extra: u64,
    /// The key is on both sides, and other columns differ.
    pub differing: u64,
    /// The key is on both sides in different spellings, which the lake takes for one.
    pub respelled: u64,
    /// The server has several rows of the key.
    pub repeated: u64,
    /// Differs, because the row has changed since the lake was written.
    pub pending: u64,
    /// The target keeps rows that the lake has deleted, as it is configured to.
    pub kept: u64,
}

/// How many rows differ in a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DifferingColumn {
    pub column: String,
    pub keys: u64,
}

/// A column that was left out of the comparison, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColumnNotCompared {
    pub column: String,
    pub reason: String,
}

/// How a key differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    Missing,
    Extra,
    Differing,
    Respelled,
    Repeated,
}

/// A key that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyFound {
    pub kind: KeyKind,
    pub key: String,
}

impl ComparisonReport {
    /// Whether any side differs from the lake.
    pub fn differs(&self) -> bool {
        let mut compared = self.compared.iter();
        compared.any(|side| side.verdict == Verdict::Different)
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let mut out = format!("{}\n", self.source);
        for side in &self.compared {
            let (name, table) = match side.side {
                ComparedSide::Source => ("source", &self.source),
                ComparedSide::Target => ("target", &self.target),
            };
            let _ = write!(out, "  {name}   {table} and lake {}", self.lake);
            side.write(&mut out);
        }
        out
    }
}

impl SideReport {
    /// A comparison that was not made.
    pub fn not_compared(side: ComparedSide, reason: impl Into<String>) -> Self {
        Self {
            side,
            verdict: Verdict::NotCompared,
            reason: Some(reason.into()),
            snapshot_id: None,
            sequence_number: None,
            counts: ComparisonCounts::default(),
            columns: Vec::new(),
            keys_by_column: 0,
            columns_not_compared: Vec::new(),
            keys: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn write(&self, out: &mut String) {
        if let Some(number) = self.sequence_number {
            let _ = write!(out, ", snapshot {number}");
        }
        let counts = &self.counts;
        match self.verdict {
            Verdict::NotCompared => {
                let reason = self.reason.as_deref().unwrap_or("unknown");
                let _ = writeln!(out, ": not compared: {reason}");
                return;
            }
            Verdict::Equal => out.push_str(": equal\n"),
            Verdict::Different => out.push_str(": DIFFERENT\n"),
        }
        let _ = writeln!(
            out,
            "           {} rows, {} in the lake; {} of {} differ",
            thousands(counts.rows),
            thousands(counts.lake_rows),
            thousands(counts.buckets_differing),
            plural(counts.buckets, "bucket"),
        );
        self.write_keys(out);
        for column in &self.columns {
            let keys = plural(column.keys, "key");
            let _ = writeln!(out, "           column {}: {keys}", column.column);
        }
        if self.keys_by_column < counts.differing {
            let _ = writeln!(
                out,
                "           columns are those of {}",
                plural(self.keys_by_column, "key")
            );
        }
        for column in &self.columns_not_compared {
            let (name, reason) = (&column.column, &column.reason);
            let _ = writeln!(out, "           column {name} not compared: {reason}");
        }
        for found in &self.keys {
            let _ = writeln!(out, "           {} ({})", found.kind.text(), found.key);
        }
        for note in &self.notes {
            let _ = writeln!(out, "           note: {note}");
        }
    }

    fn write_keys(&self, out: &mut String) {
        let counts = &self.counts;
        let kinds = [
            (counts.missing, KeyKind::Missing.text()),
            (counts.extra, KeyKind::Extra.text()),
            (counts.differing, KeyKind::Differing.text()),
            (counts.respelled, KeyKind::Respelled.text()),
            (counts.repeated, KeyKind::Repeated.text()),
            (counts.pending, "pending"),
            (counts.kept, "kept although deleted"),
        ];
        let told = kinds.iter().filter(|(keys, _)| *keys > 0);
        let told: Vec<String> = told
            .map(|(keys, kind)| format!("{} {kind}", thousands(*keys)))
            .collect();
        if !told.is_empty() {
            let _ = writeln!(out, "           keys: {}", told.join(", "));
        }
    }
}

impl KeyKind {
    fn text(self) -> &'static str {
        match self {
            KeyKind::Missing => "missing",
            KeyKind::Extra => "extra",
            KeyKind::Differing => "differing",
            KeyKind::Respelled => "respelled",
            KeyKind::Repeated => "repeated",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_what_differs_and_what_was_left_out() {
        let different = SideReport {
            verdict: Verdict::Different,
            reason: None,
            sequence_number: Some(7),
            counts: ComparisonCounts {
                rows: 3_001,
                lake_rows: 3_000,
                buckets: 4,
                buckets_differing: 1,
                buckets_examined: 1,
                missing: 1,
                differing: 2,
                pending: 3,
                ..ComparisonCounts::default()
            },
            columns: vec![DifferingColumn {
                column: "amount".into(),
                keys: 2,
            }],
            keys_by_column: 2,
            columns_not_compared: vec![ColumnNotCompared {
                column: "v".into(),
                reason: "too wide".into(),
            }],
            ..SideReport::not_compared(ComparedSide::Source, "")
        };
        let report = ComparisonReport {
            source: "dbo.a".into(),
            lake: "dbo.b".into(),
            target: "dbo.c".into(),
            compared: vec![
                different,
                SideReport::not_compared(ComparedSide::Target, "mode append"),
            ],
        };
        assert!(report.differs());
        let text = "dbo.a
  source   dbo.a and lake dbo.b, snapshot 7: DIFFERENT
           3,001 rows, 3,000 in the lake; 1 of 4 buckets differ
           keys: 1 missing, 2 differing, 3 pending
           column amount: 2 keys
           column v not compared: too wide
  target   dbo.c and lake dbo.b: not compared: mode append
";
        assert_eq!(report.text(), text);
    }
}
