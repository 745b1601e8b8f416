//! What the examples of loads are made from.

use crate::change::{Deletes, LoadRule, MergeMode, UpsertStatement};
use crate::mssql::sql::define::{self, StagingColumn, StagingTable};
use crate::mssql::sql::merge::{BaseTypes, Held, MergeColumn, MergePlan};
use crate::mssql::sql::state::{OldState, StateChange};
use crate::mssql::sql::variant::BaseType;
use crate::schema::drift::SourceObject;
use crate::schema::{Generated, SqlType, TableName, TableSchema};

pub(super) fn staging(table: &TableSchema) -> StagingTable {
    let key = table.key.iter().flat_map(|key| key.columns.clone());
    let key: Vec<usize> = key.collect();
    let columns = table.columns.iter().enumerate().map(|(at, column)| {
        let ty = column.ty.facts().staged;
        StagingColumn {
            name: column.name.clone(),
            ty,
            collation: column.collation.clone().filter(|_| ty.is_text()),
            nullable: !key.contains(&at),
            base_type: (column.ty == SqlType::SqlVariant).then(|| format!("_type{}", at + 1)),
        }
    });
    StagingTable {
        name: TableName {
            schema: define::OWN_SCHEMA.into(),
            name: "stg_00000000000000ff_018f0000000070008000000000000001".into(),
        },
        columns: columns.collect(),
        operation: "_op_".into(),
        segment: "_seg".into(),
    }
}

pub(super) fn merge_plan(table: &TableSchema, staging: &StagingTable) -> MergePlan {
    let columns = table.columns.iter().zip(&staging.columns);
    MergePlan {
        target: table.name.clone(),
        staging: staging.name.clone(),
        operation: staging.operation.clone(),
        segment: staging.segment.clone(),
        columns: columns
            .map(|(column, staged)| MergeColumn {
                name: column.name.clone(),
                ty: column.ty.copied(),
                staged: staged.name.clone(),
                staged_ty: staged.ty,
                staged_nullable: column.name == "a" || staged.nullable,
                collation: column.collation.clone(),
                identity: column.generated == Generated::Identity,
                base_types: staged.base_type.clone().map(|staged| BaseTypes {
                    staged,
                    found: [
                        "int",
                        "decimal(10,2)",
                        "varchar(20) COLLATE Polish_CI_AS",
                        "binary(4)",
                    ]
                    .into_iter()
                    .filter_map(BaseType::parse)
                    .collect(),
                }),
            })
            .collect(),
        key: table
            .key
            .iter()
            .flat_map(|key| key.columns.clone())
            .collect(),
        mode: MergeMode::Upsert,
        statement: UpsertStatement::Merge,
        deletes: Deletes::Hard,
        validity: None,
        newest: None,
        net: None,
        has_deletes: false,
        segments: 1,
        staged_rows: 1000,
        held: Held::Rows,
        whole: false,
        keys_are_the_source_s: true,
        references_itself: false,
        deferred: Vec::new(),
        has_unique_key: true,
        faults: None,
        lock: "icesync:apply:dbo.orders".into(),
        lock_timeout_ms: 60_000,
    }
}

pub(super) fn state_change(table: &TableSchema, old: Option<i64>) -> StateChange {
    StateChange {
        target: table.name.to_string(),
        old: old.map(|snapshot| OldState {
            snapshot,
            run_id: "018f0000000070008000000000000000".into(),
            applied: None,
        }),
        new_snapshot: 4_611_686_018_427_387_904,
        sequence_number: 2,
        table_uuid: "6f1c2a34-0000-4000-8000-000000000001".into(),
        lake_table: "sales.orders".into(),
        run_id: "018f0000000070008000000000000001".into(),
        object: Some(SourceObject {
            id: 1_237_579_447,
            created: "2024-05-01T10:00:00.123".into(),
        }),
        modified: "2024-05-02T10:00:00.123".into(),
        rule: LoadRule::default(),
        step: None,
        passes: false,
        columns: None,
        empties_quarantine: false,
    }
}
