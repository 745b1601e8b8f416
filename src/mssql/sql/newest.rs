//! Spellings of one key among the staged rows: the newest row stays.
//!
//! A key of the source may be spelled anew: an UPDATE makes `é1` of `É1`, which its collation takes for the same key. A
//! strategy that does not see deletes leaves the row of the old spelling in the lake, where it is another key. The
//! source has one row of both, and its collation is the target's, so at most the newest of them is still there. Which
//! one that is says a column whose values only grow.

use super::{Ident, TableIdent};
use crate::schema::TableName;

/// The columns of a staging table by which its rows are told apart.
pub(super) struct Staged<'a> {
    pub(super) table: &'a TableName,
    pub(super) operation: Ident<'a>,
    pub(super) segment: Ident<'a>,
    /// Its values only grow.
    pub(super) newest: Ident<'a>,
}

/// Deletes what is staged of older spellings, where some staged keys are equal. `equal` is the condition that rows `s`
/// and `o` of the staging table have equal keys. `find` sets `@example` to a key that is staged twice; it is NULL
/// afterwards where each such key has one newest row.
pub(super) fn keep(staged: &Staged<'_>, equal: &str, find: &str) -> String {
    let Staged {
        table,
        operation,
        segment,
        newest,
    } = staged;
    let table = TableIdent(table);
    format!(
        "IF @example IS NOT NULL
BEGIN
DELETE o FROM {table} AS o WHERE o.{operation} = 'U' AND EXISTS (SELECT 1 FROM {table} AS s WHERE s.{operation} = 'U' \
AND s.{segment} = o.{segment} AND {equal} AND (s.{newest} > o.{newest} OR (o.{newest} IS NULL AND s.{newest} IS NOT \
NULL)));
SET @example = NULL;
{find}END;
"
    )
}
