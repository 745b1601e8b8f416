//! Examples of loads that set rows aside, and of the quarantine.

use super::plans::{merge_plan, staging, state_change};
use super::shapes::shapes;
use super::{Examples, modes};
use crate::change::UpsertStatement;
use crate::mssql::sql::define::StagingTable;
use crate::mssql::sql::merge::{Faults, Held, MergePlan, NetTable};
use crate::mssql::sql::part::Part;
use crate::mssql::sql::quarantine::Refused;
use crate::mssql::sql::state::StateChange;
use crate::mssql::sql::{aside, net, quarantine};
use crate::schema::{TableName, TableSchema};

impl Examples {
    pub(super) fn quarantine(&mut self) {
        self.add("begin_load", "", aside::begin_load());
        self.add("commit_load", "", aside::commit_load());
        self.add("create_quarantine", "", quarantine::create_quarantine());
        let target = "dbo.orders";
        let found = quarantine::quarantined(target, 10_000);
        self.add("quarantined", "", found);
        self.add(
            "quarantined_row",
            "",
            quarantine::quarantined_row(target, 7),
        );
        self.add(
            "discard_rows",
            "",
            quarantine::discard_rows(target, &[7, 8]),
        );
        self.add("discard_all", "", quarantine::discard_all(target));
        for (shape, table) in shapes() {
            self.aside(shape, &table, &staging(&table));
        }
    }

    /// The transaction that sets rows of a table aside.
    fn aside(&mut self, shape: &str, table: &TableSchema, staging: &StagingTable) {
        let net = NetTable {
            name: TableName {
                name: format!("{}_net", staging.name.name),
                ..staging.name.clone()
            },
            row: "_row".into(),
            is_stepped: true,
            rows: 1000,
            upserts: 900,
            part: Some(Part::of([1, 2, 3, 7])),
        };
        let strict = MergePlan {
            net: Some(net.clone()),
            has_deletes: true,
            segments: 3,
            ..merge_plan(table, staging)
        };
        if strict.key.is_empty() {
            return;
        }
        let change = state_change(table, Some(8_070_450_532_247_928_832));
        self.add("open_load", shape, aside::open_load(&strict, &net, &change));
        for (statement, name) in [
            (UpsertStatement::Merge, "merge"),
            (UpsertStatement::UpdateInsert, "update"),
        ] {
            let plan = MergePlan {
                statement,
                has_unique_key: statement == UpsertStatement::Merge,
                ..strict.clone()
            };
            let part = format!("{shape}_{name}");
            self.add("apply_part", &part, aside::apply_part(&plan));
        }
        let first = MergePlan {
            held: Held::PerhapsNone,
            ..strict.clone()
        };
        let part = format!("{shape}_first");
        self.add("apply_part", &part, aside::apply_part(&first));
        for (whole, name) in [(false, "delta"), (true, "whole")] {
            let plan = MergePlan {
                whole,
                ..strict.clone()
            };
            let closed = aside::close_load(&plan, &net, &change, [3, 2, 1, 0]);
            self.add("close_load", &format!("{shape}_{name}"), closed);
        }
        let marked = MergePlan {
            whole: true,
            deletes: modes::soft(),
            ..strict.clone()
        };
        let part = format!("{shape}_soft");
        self.add("apply_part", &part, aside::apply_part(&marked));
        let closed = aside::close_load(&marked, &net, &change, [3, 2, 1, 0]);
        self.add("close_load", &part, closed);
        self.rows_aside(shape, &strict, &net, &change);
    }

    /// The rows that it sets aside.
    fn rows_aside(
        &mut self,
        shape: &str,
        strict: &MergePlan,
        net: &NetTable,
        change: &StateChange,
    ) {
        let marking = MergePlan {
            faults: Some(Faults {
                column: "_fault".into(),
                value: "_value".into(),
            }),
            ..strict.clone()
        };
        self.add("row_text", shape, aside::row_text(strict, net, 7));
        let marked = format!("{shape}_marked");
        self.add("row_text", &marked, aside::row_text(&marking, net, 7));
        self.add("net_changes", &marked, net::net_changes(&marking, net));
        self.add("faulty_rows", shape, aside::faulty_rows(&marking, net, 101));
        let values: Vec<String> = strict.key.iter().map(|at| format!("value {at}")).collect();
        let keys = [(7, values.clone()), (8, values)];
        self.add("add_deletes", shape, aside::add_deletes(strict, net, &keys));
        let cleared = aside::clear_loaded(strict, net, &change.target, &keys);
        self.add("clear_loaded", shape, cleared);
        let refused = Refused {
            key: "7".into(),
            operation: "U".into(),
            error_number: 547,
            error_message: "The INSERT statement conflicted with the CHECK constraint".into(),
            row: "{\"order_id\":\"7\"}".into(),
        };
        let kept = quarantine::keep_refused(change, &refused);
        self.add("keep_refused", shape, kept);
    }
}
