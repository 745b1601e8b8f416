//! An example of every statement that icesync can emit, over the table shapes that are hard: the tests keep one
//! file of each in `tests/tsql`, and Microsoft's parser reads them all.

mod creation;
mod digests;
mod loads;
mod modes;
mod plans;
mod quarantine;
mod shapes;

use super::Statement;
use super::access;
use super::bounds::{self, Count, ServerClock, TimestampBounds};
use super::define::{self, Storage};
use super::describe::{collations, describe, describe_source, has_rows};
use super::environment;
use super::fill::{self, Publication};
use super::merge::Extent;
use super::read::{self, Closed, Locking, PageCursor, Range, Until};
use super::state;
use super::tracked::{self, Positions};
use super::upkeep::{self, Seen, StateRow};
use super::variant;
use crate::schema::drift::SourceObject;
use crate::schema::{Column, SqlType, TableName, TableSchema};
use plans::{staging, state_change};
use shapes::{column, sample, shapes};

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
    examples.quarantine();
    for (shape, table) in shapes() {
        examples.of_table(shape, &table);
        examples.upkeep(shape, &table.name);
    }
    examples.add("states", "", upkeep::states());
    examples.bounds();
    examples.groups();
    for (function, variant, statement) in creation::examples(&shapes()) {
        examples.add(function, &variant, statement);
    }
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
        self.add("environment", "", environment::environment());
        self.add("target_access", "", access::target_access());
        self.add(
            "source_access",
            "",
            access::source_access(&[&staging, &staging]),
        );
        for (variant, sees_transactions) in [("", true), ("blind", false)] {
            let statement = bounds::rowversion(sees_transactions);
            self.add("rowversion", variant, statement);
        }
        self.add("begin_snapshot", "", read::begin_snapshot(60_000));
        self.add(
            "begin_read_committed",
            "",
            read::begin_read_committed(60_000),
        );
        self.add("begin_table_lock", "", read::begin_table_lock(60_000));
        self.add("end_transaction", "", read::end_transaction());
        self.add("end_read_committed", "", read::end_read_committed());
        self.add("create_schema", "", define::create_schema("it's [odd]"));
        self.add("create_load_state", "", define::create_load_state(10_000));
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
        let names = [
            "Polish_CI_AS",
            "Latin1_General_100_CI_AS_SC_UTF8",
            "Indic_General_90_CI_AS",
        ];
        self.add("collations", "", collations(&names));
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
        let statement = describe_source(&table.name);
        self.add("describe_source", shape, statement);
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
        self.add("duplicate_key", shape, read::duplicate_key(table, 60_000));
        self.add("fence", shape, read::fence(table, 10_000));
        self.add("first_look", shape, read::first_look(table, 1_000, 60_000));
        self.ranges(shape, table);
        self.pages(shape, table);
        self.tracked(shape, table);
        self.digests(shape, table);
        let (flag, flagged) = modes::flagged(table);
        let added = define::add_column(&table.name, &flag);
        self.add("add_column", &format!("{shape}_flag"), added);
        let filled = define::create_fill(&table.name, &flagged, &Storage::default());
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
        let storage = Storage::default();
        let create_fill = define::create_fill(&name, table, &storage);
        self.add("create_fill", shape, create_fill);
        if table.key.is_some() {
            let suffix = format!("_{run}");
            let key = |rejects_null| {
                fill::add_key(&name, &table.name, table, &storage, &suffix, rejects_null)
            };
            self.add("add_key", shape, key(true));
            self.add("add_key", &format!("{shape}_append"), key(false));
            self.add("repeated_key", shape, fill::repeated_key(&name, table));
        }
        let publication = Publication {
            fill: name,
            target: table.name.clone(),
            rows: 1000,
            names: vec![format!("PK_{}", table.name.name), "it's".into()],
            suffix: format!("_{run}"),
            lock: "icesync:apply:dbo.orders".into(),
            lock_timeout_ms: 60_000,
        };
        for (variant, old) in [("first", None), ("again", Some(8_070_450_532_247_928_832))] {
            let change = state_change(table, old);
            let statement = fill::publish(&publication, &change, Extent::Transaction);
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
            self.add(
                "step_marks",
                &variant,
                read::step_marks(table, &range, 10_000_000, Count::Snapshot, 60_000),
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
                read::first_page(table, Locking::None, &range, 2_000),
            );
            self.add(
                "next_page",
                &variant,
                read::next_page(table, Locking::None, &range, 2_000, &cursor),
            );
        }
    }

    fn tracked(&mut self, shape: &str, table: &TableSchema) {
        let counts = [
            ("first", None, Count::Snapshot),
            ("snapshot", Some(41), Count::Snapshot),
            ("committed", Some(41), Count::ReadCommitted),
        ];
        for (variant, last, count) in counts {
            let statement = tracked::bounds(table, last, count, 60_000);
            self.add("bounds", &format!("{shape}_{variant}"), statement);
        }
        let marks = Positions {
            lower: 41,
            upper: Some(1_000_000),
        };
        let statement = tracked::step_marks(table, marks, 10_000_000, Count::Snapshot, 60_000);
        self.add("step_marks", &format!("{shape}_tracked"), statement);
        for (variant, locking, upper) in [
            ("tracked", Locking::None, None),
            ("tracked_step", Locking::None, Some(73)),
            ("tracked_locked", Locking::Table, None),
        ] {
            let statement = tracked::window(table, locking, Positions { lower: 41, upper });
            self.add("window", &format!("{shape}_{variant}"), statement);
        }
    }

    fn upkeep(&mut self, shape: &str, target: &TableName) {
        let seen = Seen {
            target: target.to_string(),
            snapshot_id: 8_070_450_532_247_928_832,
            run_id: "018f0000000070008000000000000001".into(),
        };
        let object = SourceObject {
            id: 1_237_579_447,
            created: "2024-05-01T10:00:00.123".into(),
        };
        let row = StateRow {
            lake_table: "sales.orders".into(),
            table_uuid: "6f1c2a34-0000-4000-8000-000000000001".into(),
            snapshot_id: 4_611_686_018_427_387_904,
            sequence_number: 2,
            run_id: "018f0000000070008000000000000002".into(),
            loaded_at: "2024-05-01T10:00:00.123".into(),
            counts: [3, 2, 1, 0],
            object: Some(object.clone()),
            columns: None,
            rule: Some("upsert".into()),
        };
        self.add("forget", shape, upkeep::forget(&seen, 60_000));
        self.add(
            "adopt",
            shape,
            upkeep::adopt(target, &seen, &object, 60_000),
        );
        let put = upkeep::put(&target.to_string(), &row, 60_000);
        self.add("put", shape, put);
        self.add("row_count", shape, upkeep::row_count(target, 60_000));
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
                    sees_transactions: clock != ServerClock::Utc,
                };
                self.add("timestamp", &variant, bounds::timestamp(&bounds, 60_000));
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
