//! The columns that a target has beside those of the lake for a mode of loading: marks of deleted rows, and times for
//! which a version was valid (`mssql/sql/scd2.rs` says which).

use super::columns::{COMMITTED_AT_TYPE, LakeColumns};
use super::inspect::TargetTable;
use crate::change::SoftDeletes;
use crate::mssql::sql::define::StagingTable;
use crate::mssql::sql::merge::Validity;
use crate::schema::{Column, Generated, Role, SqlType};

/// Since when a version was valid.
pub const VALID_FROM: &str = "valid_from";
/// Until when; NULL for a version that nothing has ended.
pub const VALID_TO: &str = "valid_to";
/// Nothing has ended the version.
pub const IS_CURRENT: &str = "is_current";
/// A delete has ended the version.
pub const DELETED: &str = "_deleted";

/// What versions are valid from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValidFrom {
    /// `_committed_at`
    Commit,
    /// The column at this position in the lake's columns, and its type.
    Column(usize, SqlType),
}

impl ValidFrom {
    /// The type of both times.
    pub fn ty(self) -> SqlType {
        match self {
            ValidFrom::Commit => COMMITTED_AT_TYPE,
            ValidFrom::Column(_, ty) => ty,
        }
    }
}

/// The columns of versions with times of this type.
pub fn columns(ty: SqlType) -> Vec<Column> {
    let [current, deleted] = [flag(2, IS_CURRENT), flag(3, DELETED)];
    vec![
        own(0, VALID_FROM, ty, false),
        own(1, VALID_TO, ty, true),
        current,
        deleted,
    ]
}

/// The columns of soft deletes.
pub fn soft_columns(soft: &SoftDeletes) -> Vec<Column> {
    let at = soft.at.as_ref();
    let at = at.map(|at| own(1, at, SqlType::DateTime2 { scale: 3 }, true));
    [flag(0, &soft.column)].into_iter().chain(at).collect()
}

fn flag(place: i32, name: &str) -> Column {
    Column {
        generated: Generated::Flag,
        ..own(place, name, SqlType::Bit, false)
    }
}

/// Ids of such columns lie apart from those of the source, and of a history's.
fn own(place: i32, name: &str, ty: SqlType, nullable: bool) -> Column {
    Column {
        id: i32::MAX - 10 - place,
        name: name.to_owned(),
        ty,
        nullable,
        collation: None,
        generated: Generated::No,
    }
}

/// Where the staging table and the target have what says for how long versions are valid.
pub(super) fn plan(
    lake: &LakeColumns,
    target: &TargetTable,
    staging: &StagingTable,
    from: ValidFrom,
) -> Option<Validity> {
    let staged = |at: usize| Some(staging.columns.get(at)?.name.clone());
    let history = |role| staged(lake.history_position(role)?);
    Some(Validity {
        op: history(Role::Op)?,
        seq: history(Role::Seq)?,
        committed_at: history(Role::CommittedAt)?,
        valid_from: match from {
            ValidFrom::Commit => None,
            ValidFrom::Column(at, _) => Some(staged(at)?),
        },
        // Of rows that are there as well.
        ty: target.ty(VALID_FROM).unwrap_or_else(|| from.ty()),
        from: target.name_of(VALID_FROM),
        to: target.name_of(VALID_TO),
        current: target.name_of(IS_CURRENT),
        deleted: target.name_of(DELETED),
    })
}
