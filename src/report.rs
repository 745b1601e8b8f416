//! What a command found or did, for people and for machines.
//!
//! Each report is the JSON document of `--json`; its field names are stable. The text form is made from the same
//! numbers. No report holds a secret. Only those of the quarantine hold row values, besides watermarks, unless they
//! were asked for ([`secret::show_values`](crate::secret::show_values)).

mod checkpoint;
mod columns;
mod exit;
mod failure;
mod format;
mod listing;
mod maintain;
mod plan;
mod quarantine;
mod run;
mod signal;
mod snapshots;
mod state;
mod status;
mod verify;

pub use columns::ColumnsReport;
pub use exit::Exit;
pub use failure::ErrorReport;
pub use format::{plural, thousands};
pub use listing::Listing;
pub use maintain::{MaintainReport, MaintenanceReport, RelocateReport};
pub use plan::{LoadPlan, PlanReport, RowEstimate, ServerReport};
pub use quarantine::{DiscardReport, QuarantineReport, QuarantinedRow};
pub use run::{ExtractReport, LoadMethod, LoadReport, Outcome, RunReport, TableReport};
pub use signal::Signal;
pub use snapshots::SnapshotsReport;
pub use state::{
    Finding, LakeState, LoadedState, RepairReport, Severity, StateChangeReport, StateReport,
    StatesReport, TargetState, UnconfiguredState, VerifyReport,
};
pub use status::{BetweenStatus, LakeStatus, StatusReport, TargetStanding, TargetStatus};
pub use verify::{
    ColumnNotCompared, ComparedSide, ComparisonCounts, ComparisonReport, DifferingColumn, KeyFound,
    KeyKind, SideReport, Verdict,
};
