//! An example of every statement that icesync can emit, over the table shapes that are hard: the tests keep one
//! file of each in `tests/tsql`, and Microsoft's parser reads them all.

mod modes;
mod shapes;

use super::Statement;
use super::bounds::{self, Count, ServerClock, TimestampBounds};
use super::define::{self, StagingTable};
use super::describe::{describe, has_rows};
use super::fill::{self, Publication};
use super::merge::{self, BaseTypes, Held, MergeColumn, MergePlan, NetTable};
use super::net;
use super::read::{self, Closed, Locking, PageCursor, Range, Until};
use super::state::{self, OldState, StateChange, Step};
use super::variant::{self, BaseType};
use crate::change::{Deletes, LoadRule, MergeMode, UpsertStatement};
use crate::schema::drift::SourceObject;
use crate::schema::{Column, Generated, SqlType, TableName, TableSchema};
use shapes::{column, sample, shapes, staging};

/// One statement and the name of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// `<function>.<table shape or variant>`
    pub name: String,
    pub statement: Statement,
}

/// All examples; every function of this module's siblings that answers a statement is among them (a test reads the
/// source to make sure).
pub fn catalogue() -> Vec<Example> {
    let mut examples = Examples(Vec::new());
    examples.fixed();
    for (shape, table) in shapes() {
        examples.of_table(shape, &table);
    }
    examples.bounds();
    examples.0
}

struct Examples(Vec<Example>);

impl Examples {
    fn add(&mut self, function: &str, variant: &str, statement: Statement) {
        let name = if variant.is_empty() {
            function.to_owned()
        } else {
            format!("{function}.{variant}")
        };
        self.0.push(Example { name, statement });
    }

    fn fixed(&mut self) {
        let run = "stg_00000000000000ff_018f0000000070008000000000000001";
        let staging = TableName {
            schema: define::OWN_SCHEMA.into(),
            name: run.into(),
        };
        self.add("rowversion", "", bounds::rowversion());
        self.add("begin_snapshot", "", read::begin_snapshot());
        self.add(
            "begin_read_committed",
            "",
            read::begin_read_committed(60_000),
        );
        self.add("begin_table_lock", "", read::begin_table_lock(60_000));
        self.add("end_transaction", "", read::end_transaction());
        self.add("end_read_committed", "", read::end_read_committed());
        self.add("create_schema", "", define::create_schema("it's [odd]"));
        self.add("create_load_state", "", define::create_load_state());
        self.add("drop_table", "", define::drop_table(&staging));
        self.add(
            "staged_types",
            "",
            variant::staged_types(&staging, "_type5"),
        );
        self.add(
            "staging_tables",
            "",
            define::staging_tables("stg_00000000000000ff_"),
        );
        let lock = "icesync:load:dbo.orders";
        self.add(
            "take_session_lock",
            "",
            define::take_session_lock(lock, 60_000),
        );
        self.add(
            "release_session_lock",
            "",
            define::release_session_lock(lock),
        );
        self.add("identity", "", state::identity());
        let lock = "icesync:apply:dbo.orders";
        self.add(
            "settled_state",
            "",
            state::settled_state("dbo.orders", lock, 300_000),
        );
        let rename = define::rename_column(&staging, "old", "new");
        self.add("alter", "", define::alter(&rename, 60_000));
    }

    fn of_table(&mut self, shape: &str, table: &TableSchema) {
        self.add("describe", shape, describe(&table.name));
        self.add("has_rows", shape, has_rows(&table.name));
        self.add("look", shape, state::look(&table.name, 10_000));
        let user = "it's [odd]";
        self.add("grant_alter", shape, define::grant_alter(&table.name, user));
        self.add("all", shape, read::all(table, Locking::None));
        self.add(
            "all",
            &format!("{shape}_locked"),
            read::all(table, Locking::Table),
        );
        self.add("duplicate_key", shape, read::duplicate_key(table));
        self.add("fence", shape, read::fence(table, 60_000));
        self.add("first_look", shape, read::first_look(table));
        self.ranges(shape, table);
        self.pages(shape, table);
        self.add(
            "create_table",
            shape,
            define::create_table(&table.name, table),
        );
        let (flag, flagged) = modes::flagged(table);
        let added = define::add_column(&table.name, &flag);
        self.add("add_column", &format!("{shape}_flag"), added);
        let filled = define::create_fill(&table.name, &flagged);
        self.add("create_fill", &format!("{shape}_flag"), filled);
        self.columns(shape, table);
        self.fills(shape, table);
        let staging = staging(table);
        self.add("create_staging", shape, define::create_staging(&staging));
        self.loads(shape, table, &staging);
    }

    fn columns(&mut self, shape: &str, table: &TableSchema) {
        for column in table.columns.iter().take(2) {
            let variant = format!("{shape}_{}", column.id);
            self.add(
                "rename_column",
                &variant,
                define::rename_column(&table.name, &column.name, "it's [new]"),
            );
            self.add(
                "add_column",
                &variant,
                define::add_column(&table.name, column),
            );
            self.add(
                "widen_column",
                &variant,
                define::widen_column(&table.name, column, column.ty, true),
            );
        }
        for at in table.columns.iter().filter(|at| at.ty == SqlType::DateTime) {
            let wider = Column {
                ty: SqlType::DateTime2 { scale: 7 },
                ..at.clone()
            };
            self.add(
                "widen_column",
                &format!("{shape}_{}_datetime2", at.id),
                define::widen_column(&table.name, &wider, at.ty, false),
            );
        }
    }

    fn fills(&mut self, shape: &str, table: &TableSchema) {
        let run = "018f0000000070008000000000000001";
        let name = TableName {
            schema: define::OWN_SCHEMA.into(),
            name: format!("stg_00000000000000ff_{run}_fill"),
        };
        self.add(
            "rights",
            shape,
            fill::rights(define::OWN_SCHEMA, &table.name.schema),
        );
        self.add("create_fill", shape, define::create_fill(&name, table));
        if table.key.is_some() {
            let key = |rejects_null| fill::add_key(&name, &table.name, table, run, rejects_null);
            self.add("add_key", shape, key(true));
            self.add("add_key", &format!("{shape}_append"), key(false));
            self.add("repeated_key", shape, fill::repeated_key(&name, table));
        }
        let publication = Publication {
            fill: name,
            target: table.name.clone(),
            rows: 1000,
            lock: "icesync:apply:dbo.orders".into(),
            lock_timeout_ms: 60_000,
        };
        for (variant, old) in [("first", None), ("again", Some(8_070_450_532_247_928_832))] {
            let change = state_change(table, old);
            let statement = fill::publish(&publication, &change);
            self.add("publish", &format!("{shape}_{variant}"), statement);
        }
    }

    fn ranges(&mut self, shape: &str, table: &TableSchema) {
        let first = table
            .key
            .iter()
            .flat_map(|key| key.columns.first())
            .copied();
        for column in first.filter(|&at| table.columns[at].ty.facts().can_be_cut) {
            self.add("histogram", shape, read::histogram(table, column));
            let Some((lower, upper)) = sample(table.columns[column].ty) else {
                continue;
            };
            if table.columns[column].ty == SqlType::Int {
                self.add("extremes", shape, read::extremes(table, column));
            }
            for (ends, lower, upper) in [
                ("first", None, Some(upper)),
                ("inner", Some(lower), Some(upper)),
                ("last", Some(lower), None),
            ] {
                self.add(
                    "key_range",
                    &format!("{shape}_{ends}"),
                    read::key_range(table, Locking::None, column, lower, upper),
                );
            }
        }
    }

    fn pages(&mut self, shape: &str, table: &TableSchema) {
        for column in [1, 2] {
            let Some((lower, upper)) = table.columns.get(column).and_then(|c| sample(c.ty)) else {
                continue;
            };
            let closed = if column == 1 {
                Closed::Below
            } else {
                Closed::Above
            };
            let range = Range {
                column,
                lower,
                upper,
                closed,
            };
            let variant = format!("{shape}_{column}");
            let cursor = PageCursor {
                watermark: lower.to_owned(),
                key: table
                    .key_columns()
                    .map(|c| sample(c.ty).map(|(text, _)| text.to_owned()))
                    .collect(),
            };
            self.add(
                "window",
                &variant,
                read::window(table, Locking::None, &range),
            );
            for upper in [Some(upper), None] {
                let until = Until {
                    column,
                    upper,
                    closed,
                };
                let variant = match upper {
                    Some(_) => variant.clone(),
                    None => format!("{variant}_empty"),
                };
                self.add(
                    "all_until",
                    &variant,
                    read::all_until(table, Locking::None, &until),
                );
            }
            self.add(
                "first_page",
                &variant,
                read::first_page(table, Locking::Table, &range, 50_000),
            );
            self.add(
                "next_page",
                &variant,
                read::next_page(table, Locking::None, &range, 50_000, &cursor),
            );
        }
    }

    fn loads(&mut self, shape: &str, table: &TableSchema, staging: &StagingTable) {
        let more = modes::loads(&merge_plan(table, staging));
        for (name, plan) in load_variants(table, staging).into_iter().chain(more) {
            let old = (plan.held == Held::Rows).then_some(8_070_450_532_247_928_832);
            self.add(
                "apply",
                &format!("{shape}_{name}"),
                merge::apply(&plan, &state_change(table, old)),
            );
        }
        self.net(shape, table, staging);
        for (name, old) in [("first", None), ("again", Some(state::PREPARED))] {
            let change = StateChange {
                new_snapshot: state::PREPARED,
                sequence_number: 0,
                ..state_change(table, old)
            };
            self.add(
                "prepare",
                &format!("{shape}_{name}"),
                state::prepare(&change, 60_000),
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
        };
        self.add("net_changes", shape, net::net_changes(&plan, &net));
        let marked = MergePlan {
            deletes: modes::soft(),
            ..plan.clone()
        };
        let statement = net::net_changes(&marked, &net);
        self.add("net_changes", &format!("{shape}_soft"), statement);
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
                    step: Some(Step { after, to, rows }),
                    ..old.clone()
                };
                let variant = format!("{shape}_{name}_{part}_step");
                self.add("apply", &variant, merge::apply(&plan, &change));
            }
            let variant = format!("{shape}_{name}_net");
            self.add("apply", &variant, merge::apply(&plan, &old));
        }
    }

    fn bounds(&mut self) {
        let table = TableName {
            schema: "dbo".into(),
            name: "orders".into(),
        };
        let types = [
            SqlType::Date,
            SqlType::DateTime,
            SqlType::SmallDateTime,
            SqlType::DateTime2 { scale: 7 },
            SqlType::DateTimeOffset { scale: 3 },
        ];
        let ways = [
            (ServerClock::Earlier, Count::Nothing, None),
            (
                ServerClock::Utc,
                Count::Snapshot,
                Some("2024-05-01 10:00:00"),
            ),
            (ServerClock::Local, Count::ReadCommitted, None),
        ];
        for ty in types {
            for (clock, count, last) in ways {
                let column = column(7, "modified_at", ty, true);
                let variant = format!("{ty}_{clock:?}").to_lowercase();
                let bounds = TimestampBounds {
                    table: &table,
                    column: &column,
                    clock,
                    lag_ms: 5_000,
                    overlap_ms: 300_000,
                    last,
                    count,
                };
                self.add("timestamp", &variant, bounds::timestamp(&bounds));
            }
        }
        for ty in [
            SqlType::BigInt,
            SqlType::Decimal {
                precision: 20,
                scale: 0,
            },
        ] {
            let column = column(1, "order_id", ty, false);
            let statement = bounds::sequence(&table, &column, Some("42"), 60_000);
            self.add("sequence", &ty.to_string(), statement);
        }
    }
}

fn merge_plan(table: &TableSchema, staging: &StagingTable) -> MergePlan {
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
        has_unique_key: true,
        lock: "icesync:apply:dbo.orders".into(),
        lock_timeout_ms: 60_000,
    }
}

fn state_change(table: &TableSchema, old: Option<i64>) -> StateChange {
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
