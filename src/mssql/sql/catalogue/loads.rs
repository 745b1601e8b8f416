//! Examples of loads: their transactions, net changes and steps, and groups of tables.

use super::plans::{merge_plan, state_change};
use super::{Examples, modes};
use crate::change::{MergeMode, UpsertStatement};
use crate::mssql::sql::create;
use crate::mssql::sql::define::{StagingTable, Storage};
use crate::mssql::sql::foreign;
use crate::mssql::sql::merge::{self, Extent, Held, MergePlan, NetTable};
use crate::mssql::sql::net;
use crate::mssql::sql::state::{self, StateChange, Step};
use crate::schema::{SqlType, TableName, TableSchema};

impl Examples {
    pub(super) fn loads(&mut self, shape: &str, table: &TableSchema, staging: &StagingTable) {
        let more = modes::loads(&merge_plan(table, staging));
        for (name, plan) in load_variants(table, staging).into_iter().chain(more) {
            let old = (plan.held == Held::Rows).then_some(8_070_450_532_247_928_832);
            self.add(
                "apply",
                &format!("{shape}_{name}"),
                merge::apply(&plan, &state_change(table, old), Extent::Transaction),
            );
        }
        self.net(shape, table, staging);
        for (name, old) in [("first", None), ("again", Some(state::PREPARED))] {
            let change = state_change(table, old);
            let storage = Storage::default();
            self.add(
                "create_target",
                &format!("{shape}_{name}"),
                create::create_target(&table.name, table, &storage, "", &change, 20_000),
            );
            let prepared = StateChange {
                new_snapshot: state::PREPARED,
                sequence_number: 0,
                empties_quarantine: true,
                ..change
            };
            self.add(
                "prepare",
                &format!("{shape}_{name}"),
                state::prepare(&prepared, 60_000),
            );
        }
    }

    /// Net changes in a table of their own, and the steps that apply them.
    fn net(&mut self, shape: &str, table: &TableSchema, staging: &StagingTable) {
        let plan = MergePlan {
            has_deletes: true,
            segments: 3,
            keys_are_the_source_s: false,
            ..merge_plan(table, staging)
        };
        if plan.key.is_empty() {
            return;
        }
        let net = NetTable {
            name: TableName {
                name: format!("{}_net", staging.name.name),
                ..staging.name.clone()
            },
            row: "_row".into(),
            is_stepped: true,
            rows: 2_500_000,
            upserts: 2_000_000,
            part: None,
        };
        self.add("net_changes", shape, net::net_changes(&plan, &net));
        self.marked(shape, &plan, &net, table);
        let old = state_change(table, Some(8_070_450_532_247_928_832));
        for (statement, name) in [
            (UpsertStatement::Merge, "merge"),
            (UpsertStatement::UpdateInsert, "update"),
        ] {
            let plan = MergePlan {
                net: Some(net.clone()),
                statement,
                whole: true,
                ..plan.clone()
            };
            let rows = net.rows;
            for (part, after, to) in [("first", 0, 1_000_000), ("last", 2_000_000, rows)] {
                let change = StateChange {
                    step: Some(step(after, to, rows)),
                    ..old.clone()
                };
                let variant = format!("{shape}_{name}_{part}_step");
                self.add(
                    "apply",
                    &variant,
                    merge::apply(&plan, &change, Extent::Transaction),
                );
            }
            for (part, extent) in [
                ("net", Extent::Transaction),
                ("everything", Extent::Everything),
                ("upserts", Extent::Upserts),
                ("deferred", Extent::Deferred),
                ("gone", Extent::Deletes),
            ] {
                let plan = MergePlan {
                    deferred: match extent {
                        Extent::Upserts | Extent::Deferred => vec![plan.columns.len() - 1],
                        Extent::Transaction | Extent::Everything | Extent::Deletes => Vec::new(),
                    },
                    references_itself: extent == Extent::Everything,
                    ..plan.clone()
                };
                let variant = format!("{shape}_{name}_{part}");
                self.add("apply", &variant, merge::apply(&plan, &old, extent));
            }
        }
    }

    /// The same with deletes that mark rows.
    fn marked(&mut self, shape: &str, plan: &MergePlan, net: &NetTable, table: &TableSchema) {
        let plan = MergePlan {
            deletes: modes::soft(),
            ..plan.clone()
        };
        let statement = net::net_changes(&plan, net);
        self.add("net_changes", &format!("{shape}_soft"), statement);
        let plan = MergePlan {
            net: Some(net.clone()),
            whole: true,
            ..plan
        };
        let change = state_change(table, Some(8_070_450_532_247_928_832));
        for (part, extent) in [("upserts", Extent::Upserts), ("deletes", Extent::Deletes)] {
            let statement = merge::apply(&plan, &change, extent);
            self.add("apply", &format!("{shape}_soft_{part}"), statement);
        }
    }

    /// Several tables in one transaction.
    pub(super) fn groups(&mut self) {
        self.add("foreign_keys", "", foreign::foreign_keys());
        self.add("begin_group", "", foreign::begin_group());
        self.add("commit_group", "", foreign::commit_group());
        let table: TableName = TableName {
            schema: "dbo".into(),
            name: "it's \"odd\"; DROP TABLE x --]".into(),
        };
        let keys = ["FK_orders_customers", "k]"];
        let hold = foreign::hold(&table, "2024-05-02T10:00:00.123");
        self.add("hold", "hostile", hold);
        self.add("suspend", "hostile", foreign::suspend(&table, &keys));
        self.add("recheck", "hostile", foreign::recheck(&table, &keys));
        self.add("acting_keys", "", foreign::acting_keys());
        let lock = "icesync:apply:dbo.orders";
        self.add("same_transaction", "", state::same_transaction(lock));
    }
}

/// A step of a load of what has changed.
fn step(after: u64, to: u64, rows: u64) -> Step {
    Step {
        after,
        to,
        rows,
        is_whole: false,
    }
}

/// Every kind of load, by name.
fn load_variants(table: &TableSchema, staging: &StagingTable) -> Vec<(String, MergePlan)> {
    let plan = merge_plan(table, staging);
    let append = MergePlan {
        mode: MergeMode::Append,
        ..plan.clone()
    };
    let fill = MergePlan {
        held: Held::None,
        ..append.clone()
    };
    let replace_all = MergePlan {
        mode: MergeMode::Replace,
        key: Vec::new(),
        ..plan.clone()
    };
    let mut variants = vec![
        ("append".to_owned(), append),
        ("append_first".to_owned(), fill),
        ("replace_all".to_owned(), replace_all),
    ];
    for (statement, name) in [
        (UpsertStatement::Merge, "merge"),
        (UpsertStatement::UpdateInsert, "update"),
    ] {
        let upsert = MergePlan {
            statement,
            ..plan.clone()
        };
        let net = MergePlan {
            has_deletes: true,
            segments: 3,
            ..upsert.clone()
        };
        let replace = MergePlan {
            mode: MergeMode::Replace,
            has_unique_key: false,
            ..upsert.clone()
        };
        let first = MergePlan {
            held: Held::PerhapsNone,
            whole: true,
            ..net.clone()
        };
        let no_index = MergePlan {
            has_unique_key: false,
            ..net.clone()
        };
        for (suffix, plan) in [
            ("", upsert),
            ("_deletes", net),
            ("_replace", replace),
            ("_first", first),
            ("_no_index", no_index),
        ] {
            variants.push((format!("{name}{suffix}"), plan));
        }
    }
    let rv = table
        .columns
        .iter()
        .position(|c| c.ty == SqlType::RowVersion);
    if let Some(rv) = rv {
        let newest = MergePlan {
            newest: Some(staging.columns[rv].name.clone()),
            ..plan.clone()
        };
        variants.push(("merge_newest".to_owned(), newest));
    }
    variants
}
