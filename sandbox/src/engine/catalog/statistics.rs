//! `sys.stats` and the histogram: what the optimizer of a real server would keep, read from the table as it is.

use super::objects;
use super::*;
use crate::engine::ordering;
use crate::engine::schema::TableDef;
use crate::engine::storage;
use std::cmp::Ordering;

/// Statistics of an index or made by CREATE STATISTICS.
pub(super) struct StatsRow {
    pub object_id: i32,
    pub id: i32,
    pub name: String,
    user_created: bool,
    filtered: bool,
    /// Column ordinals.
    pub columns: Vec<usize>,
    pub def: Arc<TableDef>,
}

/// A table's statistics.
pub(super) fn stats_of(def: &Arc<TableDef>) -> Vec<StatsRow> {
    let indexes = def.indexes.iter().map(|index| StatsRow {
        object_id: def.id,
        id: index.id,
        name: index.name.clone(),
        user_created: false,
        filtered: index.filter.is_some(),
        columns: index.columns.iter().map(|(at, _)| *at).collect(),
        def: def.clone(),
    });
    let own = def.statistics.iter().map(|statistics| StatsRow {
        object_id: def.id,
        id: statistics.id,
        name: statistics.name.clone(),
        user_created: true,
        filtered: false,
        columns: statistics.columns.clone(),
        def: def.clone(),
    });
    indexes.chain(own).collect()
}

fn stats(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<StatsRow>> {
    let tables = objects::tables(cx, slot)?;
    Ok(tables
        .iter()
        .filter_map(|thing| thing.def.as_ref())
        .flat_map(stats_of)
        .collect())
}

struct StatsColumnRow {
    object_id: i32,
    stats_id: i32,
    place: i32,
    column_id: i32,
}

fn stats_columns(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<StatsColumnRow>> {
    let mut out = Vec::new();
    for row in stats(cx, slot)? {
        out.extend((1..).zip(&row.columns).map(|(place, at)| StatsColumnRow {
            object_id: row.object_id,
            stats_id: row.id,
            place,
            column_id: row.def.columns[*at].id,
        }));
    }
    Ok(out)
}

const STATS: &[Field<StatsRow>] = &[
    col("object_id", SqlType::Int, |s| Value::Int(s.object_id)),
    opt("name", SYSNAME, |s| text(&s.name)),
    col("stats_id", SqlType::Int, |s| Value::Int(s.id)),
    opt("auto_created", SqlType::Bit, |_| Value::Bit(false)),
    opt("user_created", SqlType::Bit, |s| Value::Bit(s.user_created)),
    opt("no_recompute", SqlType::Bit, |_| Value::Bit(false)),
    opt("has_filter", SqlType::Bit, |s| Value::Bit(s.filtered)),
    opt("is_temporary", SqlType::Bit, |_| Value::Bit(false)),
    opt("is_incremental", SqlType::Bit, |_| Value::Bit(false)),
    opt("has_persisted_sample", SqlType::Bit, |_| Value::Bit(false)),
];

const STATS_COLUMN: &[Field<StatsColumnRow>] = &[
    col("object_id", SqlType::Int, |s| Value::Int(s.object_id)),
    col("stats_id", SqlType::Int, |s| Value::Int(s.stats_id)),
    opt("stats_column_id", SqlType::Int, |s| Value::Int(s.place)),
    opt("column_id", SqlType::Int, |s| Value::Int(s.column_id)),
];

/// A step of a histogram: the rows up to a value, since the step before.
struct Step<'a> {
    high: &'a Value,
    range_rows: u64,
    equal_rows: u64,
    distinct: u64,
}

/// At most this many steps, as SQL Server has.
pub(super) const STEPS: usize = 200;

/// The histogram of a statistics' first column over the committed rows; NULL comes first, as in SQL Server.
pub(super) fn histogram(cx: &Cx<'_>, at: ObjectRef, stats_id: i32) -> Outcome<Vec<Tuple>> {
    let table = cx.held.table(at)?;
    let Some(row) = stats_of(&table.def)
        .into_iter()
        .find(|row| row.id == stats_id)
    else {
        return Ok(Vec::new());
    };
    let Some(first) = row.columns.first().copied() else {
        return Ok(Vec::new());
    };
    let column = &table.def.columns[first];
    if !sql_types::is_comparable(&column.ty) {
        return Ok(Vec::new());
    }
    let view = storage::View::AsOf {
        time: cx.held.clock,
        own: cx.ses.transaction_id(),
    };
    let visible = table
        .rows
        .values()
        .filter_map(|chain| chain.visible(view).ok().flatten());
    let mut values: Vec<&Value> = visible.map(|row| &row[first]).collect();
    values.sort_by(|a, b| ordering::compare(a, b, column.order()));
    let same = |a: &Value, b: &Value| ordering::compare(a, b, column.order()) == Ordering::Equal;
    let steps = steps(values, same);
    let render = |(number, step): (i32, Step<'_>)| {
        let high = match step.high {
            Value::Null => Value::Null,
            value => Value::Variant(Box::new((column.ty.clone(), value.clone(), None))),
        };
        let average = if step.distinct == 0 {
            1.0
        } else {
            step.range_rows as f32 / step.distinct as f32
        };
        vec![
            Value::Int(at.id),
            Value::Int(stats_id),
            Value::Int(number),
            high,
            Value::Real(step.range_rows as f32),
            Value::Real(step.equal_rows as f32),
            Value::BigInt(step.distinct as i64),
            Value::Real(average),
        ]
    };
    Ok((1..).zip(steps).map(render).collect())
}

/// Steps of about equal height over sorted values. The first is the lowest value alone, the last the highest.
fn steps<'a>(values: Vec<&'a Value>, same: impl Fn(&Value, &Value) -> bool) -> Vec<Step<'a>> {
    let height = (values.len() / (STEPS - 2)).max(1) as u64 + 1;
    let mut groups: Vec<(&Value, u64)> = Vec::new();
    for value in values {
        match groups.last_mut() {
            Some((last, count)) if same(last, value) => *count += 1,
            _ => groups.push((value, 1)),
        }
    }
    let last = groups.len().saturating_sub(1);
    let few = groups.len() <= STEPS;
    let mut out = Vec::new();
    let (mut range_rows, mut distinct) = (0, 0);
    for (at, (high, equal_rows)) in groups.into_iter().enumerate() {
        if few || at == 0 || at == last || range_rows + equal_rows >= height {
            out.push(Step {
                high,
                range_rows,
                equal_rows,
                distinct,
            });
            (range_rows, distinct) = (0, 0);
        } else {
            range_rows += equal_rows;
            distinct += 1;
        }
    }
    out
}

/// The columns of `sys.dm_db_stats_histogram`.
pub(super) fn histogram_shape() -> Vec<ColumnShape> {
    let column = |name, ty, nullable| ColumnShape { name, ty, nullable };
    vec![
        column("object_id", SqlType::Int, false),
        column("stats_id", SqlType::Int, false),
        column("step_number", SqlType::Int, false),
        column("range_high_key", SqlType::SqlVariant, true),
        column("range_rows", SqlType::Real, false),
        column("equal_rows", SqlType::Real, false),
        column("distinct_range_rows", SqlType::BigInt, false),
        column("average_range_rows", SqlType::Real, false),
    ]
}

/// The columns of `sys.dm_db_stats_properties`.
pub(super) fn properties_shape() -> Vec<ColumnShape> {
    let column = |name, ty, nullable| ColumnShape { name, ty, nullable };
    vec![
        column("object_id", SqlType::Int, false),
        column("stats_id", SqlType::Int, false),
        column("last_updated", SqlType::DateTime2(7), true),
        column("rows", SqlType::BigInt, true),
        column("rows_sampled", SqlType::BigInt, true),
        column("steps", SqlType::Int, true),
        column("unfiltered_rows", SqlType::BigInt, true),
        column("modification_counter", SqlType::BigInt, true),
    ]
}

/// Statistics are always those of the rows as they are now: every row is sampled, none is modified since.
pub(super) fn properties(cx: &Cx<'_>, at: ObjectRef, stats_id: i32) -> Outcome<Vec<Tuple>> {
    let table = cx.held.table(at)?;
    if !stats_of(&table.def).iter().any(|row| row.id == stats_id) {
        return Ok(Vec::new());
    }
    let rows = Value::BigInt(table.count);
    let steps = histogram(cx, at, stats_id)?.len() as i32;
    let now = calendar::Moment::at_ticks(cx.now + cx.offset_ticks(), 7);
    let updated = Value::DateTime2 {
        days: now.days,
        ticks: now.ticks as u64,
    };
    let (id, stats_id) = (Value::Int(at.id), Value::Int(stats_id));
    Ok(vec![vec![
        id,
        stats_id,
        updated,
        rows.clone(),
        rows.clone(),
        Value::Int(steps),
        rows,
        Value::BigInt(0),
    ]])
}

pub(super) const VIEWS: &[View] = &[
    catalog_view!("sys", "stats", stats, [STATS]),
    catalog_view!("sys", "stats_columns", stats_columns, [STATS_COLUMN]),
];
