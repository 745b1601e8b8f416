//! Deletes of an upsert that mark the row of a key that is gone, or leave it as it is.
//!
//! A row is marked once: a delete of a row that is marked changes nothing. An upsert of a marked row takes the mark
//! off, also where its values are the same.

use super::plan::MergePlan;
use super::{Ident, TableIdent};
use crate::change::{Deletes, SoftDeletes};

/// The condition that a row of the target (`d`) is not marked; none where no row is.
pub(super) fn live(plan: &MergePlan) -> Option<String> {
    match &plan.deletes {
        Deletes::Soft(soft) => Some(format!("d.{} = 0", Ident(&soft.column))),
        Deletes::Hard | Deletes::Ignore => None,
    }
}

/// Marks the rows of keys that are gone; `same_key` tells keys apart that the target takes for equal.
pub(super) fn mark(plan: &MergePlan, soft: &SoftDeletes, net: &str, same_key: &str) -> String {
    let flag = Ident(&soft.column);
    let at = soft.at.as_ref().map_or_else(String::new, |at| {
        format!(", d.{} = SYSUTCDATETIME()", Ident(at))
    });
    let same_key = match same_key {
        "" => String::new(),
        same_key => format!(" AND {same_key}"),
    };
    format!(
        "UPDATE d SET d.{flag} = 1{at} FROM {} AS d WITH (UPDLOCK, SERIALIZABLE) JOIN ({net}) AS s ON {} WHERE s.{} = \
'D' AND d.{flag} = 0{same_key};
SET @deleted = @deleted + ROWCOUNT_BIG();
",
        TableIdent(&plan.target),
        plan.join(),
        Ident(&plan.operation)
    )
}

/// The upserts among the net changes.
pub(super) fn upserts(plan: &MergePlan, net: &str) -> String {
    let operation = Ident(&plan.operation);
    format!(
        "SELECT {}, u.{operation} FROM ({net}) AS u WHERE u.{operation} = 'U'",
        plan.names("u.")
    )
}

/// The SET list and the condition of an update, which takes the mark off as well. `update` is that of the values; none
/// where there is nothing to set.
pub(super) fn unmarked(
    plan: &MergePlan,
    update: Option<(String, String)>,
) -> Option<(String, String)> {
    let Deletes::Soft(soft) = &plan.deletes else {
        return update;
    };
    let flag = Ident(&soft.column);
    let at = soft.at.as_ref();
    let at = at.map_or_else(String::new, |at| format!(", d.{} = NULL", Ident(at)));
    let set = format!("d.{flag} = 0{at}");
    let marked = format!("d.{flag} = 1");
    Some(match update {
        Some((values, changed)) => (
            format!("{values}, {set}"),
            format!("({changed} OR {marked})"),
        ),
        None => (set, marked),
    })
}
