//! What maintenance did, for `maintain` and for the maintenance that runs after a commit.

use super::failure::ErrorReport;
use super::format::{bytes, plural, thousands, write_warnings};
use crate::lake::{Compacted, Expired, Orphans, Relocated};
use serde::Serialize;
use std::fmt::Write as _;

/// What `maintain` did to one table.
#[derive(Debug, Serialize)]
pub struct MaintainReport {
    pub source: String,
    pub lake: String,
    /// Nothing was changed; the numbers are what would be done.
    pub dry_run: bool,
    #[serde(flatten)]
    pub done: MaintenanceReport,
    /// Why a part of it failed; the others were done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ErrorReport>,
}

/// What was done to one table; a part that is not there was not asked for or not due.
#[derive(Debug, Clone, Default, Serialize)]
pub struct MaintenanceReport {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compact: Option<Compacted>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expire: Option<Expired>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orphans: Option<Orphans>,
    pub seconds: f64,
    pub warnings: Vec<String>,
}

/// What `relocate` did to one table.
#[derive(Debug, Serialize)]
pub struct RelocateReport {
    pub source: String,
    pub lake: String,
    #[serde(flatten)]
    pub done: Relocated,
}

impl RelocateReport {
    /// For a terminal.
    pub fn text(&self) -> String {
        let Relocated {
            from,
            to,
            moved,
            snapshots,
            manifests,
            delete_files,
            ..
        } = &self.done;
        let mut out = String::new();
        let _ = writeln!(out, "{} (lake {})", self.source, self.lake);
        if *moved {
            let _ = writeln!(out, "  moved    from {from}\n           to   {to}");
            let _ = writeln!(
                out,
                "           {}, {} and {} written anew",
                plural(*snapshots, "snapshot"),
                plural(*manifests, "manifest"),
                plural(*delete_files, "delete file")
            );
        } else {
            let _ = writeln!(out, "  in its place already: {to}");
        }
        out
    }
}

/// Orphaned files that the text lists; `--json` has all.
const PATHS_MAX: usize = 20;

impl MaintainReport {
    /// For a terminal.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let dry = if self.dry_run {
            ": dry run, nothing is changed"
        } else {
            ""
        };
        let _ = writeln!(out, "{} (lake {}){dry}", self.source, self.lake);
        self.done.write_text(&mut out, self.dry_run);
        if let Some(orphans) = self.done.orphans.as_ref().filter(|_| self.dry_run) {
            for path in orphans.paths.iter().take(PATHS_MAX) {
                let _ = writeln!(out, "           {path}");
            }
            if orphans.paths.len() > PATHS_MAX {
                let rest = orphans.paths.len() - PATHS_MAX;
                let _ = writeln!(out, "           and {rest} more; --json lists all");
            }
        }
        out
    }
}

impl MaintenanceReport {
    /// Whether nothing was done and nothing is to be said.
    pub fn is_nothing(&self) -> bool {
        self.compact.is_none()
            && self.expire.is_none()
            && self.orphans.is_none()
            && self.warnings.is_empty()
    }

    pub(super) fn write_text(&self, out: &mut String, dry_run: bool) {
        if let Some(compact) = &self.compact {
            write_compact(out, compact, dry_run);
        }
        if let Some(expire) = &self.expire {
            let _ = write!(
                out,
                "  expire   {} expired, {} kept",
                plural(expire.snapshots, "snapshot"),
                thousands(expire.snapshots_kept)
            );
            if !dry_run {
                let _ = write!(out, "; {} removed", plural(expire.files, "file"));
            }
            out.push('\n');
        }
        if let Some(orphans) = &self.orphans {
            let _ = write!(
                out,
                "  orphans  {} ({}) {}",
                plural(orphans.files, "file"),
                bytes(orphans.bytes),
                if dry_run { "found" } else { "removed" }
            );
            if orphans.young > 0 {
                let _ = write!(out, "; {} too young", thousands(orphans.young));
            }
            out.push('\n');
        }
        if let Some(expire) = &self.expire {
            write_warnings(out, &expire.warnings);
        }
        if let Some(orphans) = &self.orphans {
            write_warnings(out, &orphans.warnings);
        }
        write_warnings(out, &self.warnings);
    }
}

fn write_compact(out: &mut String, compact: &Compacted, dry_run: bool) {
    let _ = write!(out, "  compact  ");
    if compact.files_before == 0 {
        out.push_str("nothing to do\n");
        return;
    }
    let _ = write!(
        out,
        "{} ({})",
        plural(compact.files_before, "file"),
        bytes(compact.bytes_before)
    );
    if dry_run {
        let _ = write!(out, " in {}", plural(compact.groups, "group"));
    } else {
        let _ = write!(
            out,
            " into {} ({}), {} in {}",
            thousands(compact.files_after),
            bytes(compact.bytes_after),
            plural(compact.rows, "row"),
            plural(compact.groups, "commit")
        );
    }
    if compact.rows_purged > 0 {
        let _ = write!(
            out,
            "; {} purged",
            plural(compact.rows_purged, "deleted row")
        );
    }
    if compact.groups_superseded > 0 {
        let _ = write!(
            out,
            "; {} given up because another run changed the files",
            plural(compact.groups_superseded, "group")
        );
    }
    out.push('\n');
}
