//! `soft_delete`: the column of the source that marks rows as deleted, found anew by each run.

use crate::change::Strategy;
use crate::config::Table;
use crate::error::{Disposition, Error, Kind, Result};
use crate::schema::LakeSchema;
use crate::schema::deleted::{BadMark, Marked, RowMark};
use crate::source::{Discovered, ExtractPlan};

/// The column and its values, if a table has any; refused where they do not fit the source's columns.
pub(super) fn marked(table: &Table, source: &Discovered) -> Result<Option<Marked>> {
    let Some(wanted) = &table.soft_delete else {
        return Ok(None);
    };
    let left_out = source.left_out.iter().map(|left| left.name.as_str());
    let found = wanted.resolve(&source.schema, &left_out.collect::<Vec<_>>());
    found.map(Some).map_err(|bad| refused(table, bad))
}

/// The same among the columns of batches to write.
pub(super) fn in_batches(
    marked: Option<&Marked>,
    table: &Table,
    batches: &LakeSchema,
) -> Result<Option<RowMark>> {
    let found = marked.map(|marked| marked.in_batches(batches));
    found.transpose().map_err(|bad| refused(table, bad))
}

/// Says in a plan how deletes are seen.
pub(super) fn explain(marked: Option<&Marked>, plan: &mut ExtractPlan) {
    let sees_deletes = match plan.strategy {
        Strategy::Full | Strategy::ChangeTracking => true,
        Strategy::Timestamp | Strategy::Sequence | Strategy::RowVersion => false,
    };
    plan.why
        .extend(marked.map(|marked| marked.why(sees_deletes)));
}

fn refused(table: &Table, bad: BadMark) -> Error {
    let message = format!(
        "`soft_delete` of {} cannot be used: {bad}. Nothing was read",
        table.source
    );
    Error::new(Kind::Config, Disposition::Definite, message)
}
