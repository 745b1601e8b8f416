//! Loads in other modes than a plain upsert: rows that are marked or kept, and versions of a history.

use super::shapes::column;
use crate::change::{Deletes, MergeMode, SoftDeletes, UpsertStatement};
use crate::mssql::sql::merge::{Held, MergeColumn, MergePlan, Validity};
use crate::schema::{Column, Generated, SqlType, TableSchema};

/// A flag, and the table that has it as well.
pub(super) fn flagged(table: &TableSchema) -> (Column, TableSchema) {
    let flag = Column {
        generated: Generated::Flag,
        ..column(99, "is]deleted", SqlType::Bit, false)
    };
    let mut flagged = table.clone();
    flagged.columns.push(flag.clone());
    (flag, flagged)
}

/// Loads in these modes, by name.
pub(super) fn loads(plan: &MergePlan) -> Vec<(String, MergePlan)> {
    let mut loads = Vec::new();
    for (statement, name) in [
        (UpsertStatement::Merge, "merge"),
        (UpsertStatement::UpdateInsert, "update"),
    ] {
        let net = MergePlan {
            statement,
            has_deletes: true,
            segments: 3,
            ..plan.clone()
        };
        let marked = MergePlan {
            deletes: soft(),
            whole: true,
            ..net.clone()
        };
        let ignored = MergePlan {
            deletes: Deletes::Ignore,
            ..net
        };
        loads.push((format!("{name}_soft"), marked));
        loads.push((format!("{name}_ignore"), ignored));
    }
    loads.extend(versions(plan.clone()));
    loads
}

pub(super) fn soft() -> Deletes {
    Deletes::Soft(SoftDeletes {
        column: "is]deleted".into(),
        at: Some("deleted at".into()),
    })
}

/// Loads of the versions of a history.
fn versions(mut plan: MergePlan) -> Vec<(String, MergePlan)> {
    if plan.key.is_empty() {
        return Vec::new();
    }
    plan.key.push(plan.columns.len());
    plan.columns.push(MergeColumn {
        name: "_seq".into(),
        ty: SqlType::BigInt,
        staged: "_seq".into(),
        staged_ty: SqlType::BigInt,
        staged_nullable: false,
        collation: None,
        identity: false,
        base_types: None,
    });
    plan.mode = MergeMode::Scd2;
    plan.validity = Some(Validity {
        op: "_op".into(),
        seq: "_seq".into(),
        committed_at: "_committed_at".into(),
        valid_from: Some("it's [when]".into()),
        ty: SqlType::DateTime2 { scale: 3 },
        from: "valid_from".into(),
        to: "valid_to".into(),
        current: "is_current".into(),
        deleted: "_deleted".into(),
    });
    let committed = MergePlan {
        validity: plan.validity.clone().map(|validity| Validity {
            valid_from: None,
            ty: SqlType::DateTime2 { scale: 6 },
            ..validity
        }),
        whole: true,
        ..plan.clone()
    };
    let first = MergePlan {
        held: Held::None,
        ..committed.clone()
    };
    [
        ("scd2", plan),
        ("scd2_replace", committed),
        ("scd2_first", first),
    ]
    .map(|(name, plan)| (name.to_owned(), plan))
    .into()
}
