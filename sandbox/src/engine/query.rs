//! SELECT as a statement: results to the client, to variables, or into a new table.

use crate::engine::bind::{Binder, Bound, OutColumn, cast};
use crate::engine::collation::Collate;
use crate::engine::context::Cx;
use crate::engine::ddl;
use crate::engine::expr::Expr;
use crate::engine::fault::{Outcome, Stop, error};
use crate::engine::flow::attempt;
use crate::engine::plan::{Node, Plan, Reading, Scan, lock_table, resolve_reading};
use crate::engine::schema::Lifetime;
use crate::engine::storage::View;
use crate::engine::types;
use crate::session::Event;
use crate::sql::ast::{self, IsolationLevel};
use crate::value::{SqlType, Value};
use std::sync::Arc;

/// Rows sent at a time.
const CHUNK: usize = 512;

pub fn select(cx: &mut Cx<'_>, query: &ast::Query) -> Outcome<()> {
    attempt(cx, &mut |cx| {
        if cx.atomic > 0 {
            return select_now(cx, query);
        }
        let bound = Binder::new(cx).query(query)?;
        if bound.into.is_some() {
            cx.atomic += 1;
            let result = run(cx, bound);
            cx.atomic -= 1;
            return result;
        }
        let versions = lock_all(cx, &bound.plan)?;
        cx.walks = !versions && bound.assigns.is_empty() && walks(cx, &bound.plan);
        let streams = versions || cx.walks;
        if !streams {
            cx.atomic += 1;
        }
        let result = run(cx, bound);
        cx.walks = false;
        if !streams {
            cx.atomic -= 1;
        }
        match result {
            // Rows are out already: starting again would send them twice.
            Err(Stop::Wait(_)) if streams && cx.streamed => {
                Err(error(1222, 16, "Lock request time out period exceeded.").into())
            }
            other => other,
        }
    })
}

fn select_now(cx: &mut Cx<'_>, query: &ast::Query) -> Outcome<()> {
    let bound = Binder::new(cx).query(query)?;
    run(cx, bound)
}

/// Takes every table lock up front; whether all tables are read by version, so that nothing can make the query wait
/// later.
fn lock_all(cx: &mut Cx<'_>, plan: &Plan) -> Outcome<bool> {
    let mut scans = Vec::new();
    plan.scans(&mut |scan| scans.push(scan.clone()));
    let mut streams = match cx.ses.settings.isolation {
        IsolationLevel::Snapshot => true,
        IsolationLevel::ReadCommitted | IsolationLevel::ReadUncommitted => {
            cx.held.database(cx.ses.database).read_committed_snapshot
        }
        IsolationLevel::RepeatableRead | IsolationLevel::Serializable => false,
    };
    for scan in scans {
        lock_table(scan.table, scan.reading, cx)?;
        let resolved = resolve_reading(scan.table, scan.reading, cx)?;
        let permanent = cx.held.table(scan.table)?.def.lifetime == Lifetime::Permanent;
        streams &= !permanent || !matches!(resolved.view, View::Current { .. });
    }
    Ok(streams)
}

/// Whether a query passes the rows of one table on as it meets them, at READ COMMITTED and without hints: such a read
/// locks a row only while it reads it.
fn walks(cx: &Cx<'_>, plan: &Plan) -> bool {
    let mut plan = plan;
    while let Node::Filter { input, .. }
    | Node::Project { input, .. }
    | Node::Permute { input, .. } = &plan.node
    {
        plan = input;
    }
    let Node::Scan(scan) = &plan.node else {
        return false;
    };
    let table = cx.held.table(scan.table);
    table.is_ok_and(|table| table.def.lifetime == Lifetime::Permanent)
        && scan.reading == Reading::default()
        && cx.ses.settings.isolation == IsolationLevel::ReadCommitted
}

impl Plan {
    /// Every base table read, but for those in expressions.
    pub fn scans(&self, visit: &mut dyn FnMut(&Scan)) {
        match &self.node {
            Node::Scan(scan) => visit(scan),
            Node::SeekJoin { left, scan, .. } => {
                left.scans(visit);
                visit(scan);
            }
            Node::Filter { input, .. }
            | Node::Project { input, .. }
            | Node::Permute { input, .. }
            | Node::Aggregate { input, .. }
            | Node::Distinct(input)
            | Node::Sort { input, .. }
            | Node::Top { input, .. }
            | Node::Offset { input, .. }
            | Node::Window { input, .. } => input.scans(visit),
            Node::HashJoin { left, right, .. }
            | Node::LoopJoin { left, right, .. }
            | Node::Apply { left, right, .. }
            | Node::UnionAll(left, right)
            | Node::Subtract { left, right, .. } => {
                left.scans(visit);
                right.scans(visit);
            }
            Node::Recursive { anchor, step, .. } => {
                anchor.scans(visit);
                step.scans(visit);
            }
            Node::One
            | Node::Values(_)
            | Node::Virtual { .. }
            | Node::Inserted
            | Node::Deleted
            | Node::Work { .. } => {}
        }
    }
}

fn run(cx: &mut Cx<'_>, bound: Bound) -> Outcome<()> {
    cx.streamed = false;
    if let Some(name) = &bound.into {
        return into_table(cx, name, &bound);
    }
    if !bound.assigns.is_empty() {
        return assign(cx, &bound);
    }
    cx.columns(bound.columns.iter().map(OutColumn::meta).collect())?;
    if cx.ses.settings.fmt_only || cx.ses.settings.no_exec {
        return cx.emit(Event::Done {
            count: Some(0),
            select: true,
        });
    }
    cx.held.lock();
    let masks = masks(cx, &bound.columns)?;
    let cut = cut_columns(cx, &bound.columns);
    let limit = match cx.ses.settings.row_count {
        0 => u64::MAX,
        limit => limit,
    };
    let mut count = 0u64;
    let mut chunk = Vec::new();
    let mut cursor = bound.plan.open(cx)?;
    while count < limit {
        let Some(mut row) = cursor.next(cx)? else {
            break;
        };
        for (at, mask) in &masks {
            if row[*at] != Value::Null {
                row[*at] = mask.clone();
            }
        }
        for (at, bytes, collate) in &cut {
            cut_to(&mut row[*at], *bytes, collate.as_deref());
        }
        count += 1;
        chunk.push(row);
        if chunk.len() >= CHUNK {
            cx.check_cancel()?;
            cx.emit(Event::Rows(std::mem::take(&mut chunk)))?;
            cx.streamed = true;
            cx.held.lock();
        }
    }
    drop(cursor);
    if !chunk.is_empty() {
        cx.emit(Event::Rows(chunk))?;
        cx.streamed = true;
    }
    cx.ses.row_count = count as i64;
    cx.ses.last_error = 0;
    let count = (!cx.ses.settings.no_count).then_some(count);
    cx.emit(Event::Done {
        count,
        select: true,
    })
}

/// Columns of a result that are masked, each with what stands there instead: the `default()` mask of its type,
/// whatever its function is.
fn masks(cx: &mut Cx<'_>, columns: &[OutColumn]) -> Outcome<Vec<(usize, Value)>> {
    let mut masks = Vec::new();
    for (at, column) in columns.iter().enumerate().filter(|(_, c)| c.masked) {
        let text = match &column.ty {
            ty if types::is_character(ty) => "xxxx",
            SqlType::Date
            | SqlType::DateTime
            | SqlType::SmallDateTime
            | SqlType::DateTime2(_)
            | SqlType::DateTimeOffset(_) => "1900-01-01",
            ty if types::is_binary(ty) => "0x30",
            _ => "0",
        };
        let text = Expr::constant(types::string(text), SqlType::NVarChar(Some(10)));
        masks.push((at, cast(text, &column.ty).eval(&[], cx)?));
    }
    Ok(masks)
}

/// The columns that TEXTSIZE cuts, each with the bytes that are sent and, of `varchar`, what tells how many a character
/// takes. (Documentation: "SET TEXTSIZE".)
fn cut_columns(cx: &Cx<'_>, columns: &[OutColumn]) -> Vec<(usize, usize, Option<Arc<Collate>>)> {
    let Ok(bytes) = usize::try_from(cx.ses.settings.text_size) else {
        return Vec::new();
    };
    if cx.ses.settings.text_size == i32::MAX {
        return Vec::new();
    }
    let is_cut = |column: &OutColumn| {
        matches!(
            column.ty,
            SqlType::VarChar(None)
                | SqlType::NVarChar(None)
                | SqlType::VarBinary(None)
                | SqlType::Text
                | SqlType::NText
                | SqlType::Image
        )
    };
    let large = columns.iter().enumerate().filter(|(_, c)| is_cut(c));
    large
        .map(|(at, column)| {
            let narrow = matches!(column.ty, SqlType::VarChar(_) | SqlType::Text);
            (at, bytes, column.collate.clone().filter(|_| narrow))
        })
        .collect()
}

/// Keeps the characters, or bytes, that fit whole.
fn cut_to(value: &mut Value, bytes: usize, narrow: Option<&Collate>) {
    match value {
        Value::Bytes(all) if all.len() > bytes => *all = all[..bytes].into(),
        Value::Str(units) => {
            let mut taken = 0;
            let mut kept = 0;
            for character in char::decode_utf16(units.iter().copied()) {
                let mut buffer = [0; 2];
                let character: &[u16] = match character {
                    Ok(character) => character.encode_utf16(&mut buffer),
                    Err(alone) => {
                        buffer[0] = alone.unpaired_surrogate();
                        &buffer[..1]
                    }
                };
                taken += narrow.map_or(character.len() * 2, |collate| {
                    collate.byte_length(character)
                });
                if taken > bytes {
                    break;
                }
                kept += character.len();
            }
            if kept < units.len() {
                *units = units[..kept].into();
            }
        }
        _ => {}
    }
}

/// `SELECT @v = ..`: row by row, so that an assignment sees the one before it.
fn assign(cx: &mut Cx<'_>, bound: &Bound) -> Outcome<()> {
    if cx.ses.settings.fmt_only {
        return Ok(());
    }
    let mut count = 0;
    let mut cursor = bound.plan.open(cx)?;
    while let Some(row) = cursor.next(cx)? {
        count += 1;
        for assign in &bound.assigns {
            let value = assign.expr.eval(&row, cx)?;
            cx.ses.frame_mut().variables[assign.variable].value = value;
        }
    }
    cx.ses.row_count = count;
    cx.ses.last_error = 0;
    cx.emit(Event::Done {
        count: None,
        select: false,
    })
}

fn into_table(cx: &mut Cx<'_>, name: &ast::ObjectName, bound: &Bound) -> Outcome<()> {
    let at = ddl::create_from_query(cx, name, &bound.columns)?;
    let rows: Vec<Vec<Value>> = bound.plan.collect(cx)?;
    let writer = crate::engine::dml::Writer::open(cx, at, crate::engine::plan::Reading::default())?;
    let count = rows.len() as u64;
    for row in rows {
        let mut given: Vec<Option<Value>> = row.into_iter().map(Some).collect();
        for (slot, column) in given.iter_mut().zip(&writer.def.columns) {
            if column.ty == crate::value::SqlType::RowVersion {
                *slot = None;
            }
        }
        let row = writer.complete(cx, given)?;
        writer.insert(cx, row.into())?;
    }
    cx.ses.row_count = count as i64;
    let count = (!cx.ses.settings.no_count).then_some(count);
    cx.emit(Event::Done {
        count,
        select: false,
    })
}
