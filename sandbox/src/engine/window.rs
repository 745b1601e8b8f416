//! Window functions.

use crate::engine::aggregate::{Aggregate, State};
use crate::engine::context::Cx;
use crate::engine::expr::{Expr, Kind};
use crate::engine::fault::Outcome;
use crate::engine::ordering;
use crate::engine::plan::{Cursor, Plan, SortKey, Tuple};
use crate::engine::types;
use crate::sql::ast::{Frame, FrameBound, FrameUnit};
use crate::value::Value;

#[derive(Debug, Clone)]
pub enum WindowFunction {
    RowNumber,
    Rank,
    DenseRank,
    Ntile(Expr),
    PercentRank,
    CumeDist,
    /// LAG with a positive distance, LEAD with a negative one after `sign`.
    Shift {
        value: Expr,
        distance: Option<Expr>,
        default: Option<Expr>,
        back: bool,
    },
    FirstValue(Expr),
    LastValue(Expr),
    Aggregate(Aggregate),
}

#[derive(Debug, Clone)]
pub struct WindowCall {
    pub function: WindowFunction,
    pub partition: Vec<Expr>,
    pub order: Vec<SortKey>,
    pub frame: Option<Frame>,
}

impl WindowCall {
    /// `ROW_NUMBER() OVER (ORDER BY (SELECT 1))`: every row is of one partition and has the same place in its order.
    fn numbers_as_they_come(&self) -> bool {
        let same = |key: &SortKey| {
            matches!(
                key.expr.kind,
                Kind::Subquery {
                    correlated: false,
                    ..
                }
            )
        };
        matches!(self.function, WindowFunction::RowNumber)
            && self.partition.is_empty()
            && self.order.iter().all(same)
    }
}

/// Appends one column per call to every input row. The output follows the last call's order.
pub fn open<'p>(
    input: &'p Plan,
    calls: &'p [WindowCall],
    cx: &mut Cx<'_>,
) -> Outcome<Box<dyn Cursor + 'p>> {
    if calls.iter().all(WindowCall::numbers_as_they_come) {
        return Ok(Box::new(Numbered {
            input: input.open(cx)?,
            calls: calls.len(),
            at: 0,
        }));
    }
    let mut rows = input.collect(cx)?;
    for call in calls {
        let mut keyed = Vec::with_capacity(rows.len());
        for row in std::mem::take(&mut rows) {
            let mut partition = Vec::new();
            for expr in &call.partition {
                let value = expr.eval(&row, cx)?;
                ordering::encode(&value, expr.order(), &mut partition);
            }
            let order = crate::engine::plan::sort_key(&call.order, &row, cx)?;
            keyed.push((partition, order, row));
        }
        keyed.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        let mut start = 0;
        while start < keyed.len() {
            let end = start
                + keyed[start..]
                    .iter()
                    .take_while(|row| row.0 == keyed[start].0)
                    .count();
            let values = partition_values(call, &keyed[start..end], cx)?;
            for (slot, value) in keyed[start..end].iter_mut().zip(values) {
                slot.2.push(value);
            }
            start = end;
        }
        rows = keyed.into_iter().map(|(_, _, row)| row).collect();
    }
    Ok(Box::new(Done(rows.into_iter())))
}

/// Numbers rows without waiting for the last one: a TOP above may want few of many.
struct Numbered<'p> {
    input: Box<dyn Cursor + 'p>,
    calls: usize,
    at: i64,
}

impl Cursor for Numbered<'_> {
    fn next(&mut self, cx: &mut Cx<'_>) -> Outcome<Option<Tuple>> {
        let Some(mut row) = self.input.next(cx)? else {
            return Ok(None);
        };
        self.at += 1;
        row.extend(std::iter::repeat_n(Value::BigInt(self.at), self.calls));
        Ok(Some(row))
    }
}

struct Done(std::vec::IntoIter<Tuple>);

impl Cursor for Done {
    fn next(&mut self, _: &mut Cx<'_>) -> Outcome<Option<Tuple>> {
        Ok(self.0.next())
    }
}

type Keyed = (Vec<u8>, Vec<u8>, Tuple);

fn partition_values(call: &WindowCall, rows: &[Keyed], cx: &mut Cx<'_>) -> Outcome<Vec<Value>> {
    let n = rows.len();
    let peers = |at: usize| -> (usize, usize) {
        let first = rows[..at]
            .iter()
            .rposition(|row| row.1 != rows[at].1)
            .map_or(0, |i| i + 1);
        let last = at
            + rows[at..]
                .iter()
                .take_while(|row| row.1 == rows[at].1)
                .count();
        (first, last)
    };
    let mut out = Vec::with_capacity(n);
    match &call.function {
        WindowFunction::RowNumber => out.extend((1..=n as i64).map(Value::BigInt)),
        WindowFunction::Rank | WindowFunction::DenseRank => {
            let (mut rank, mut dense) = (0, 0);
            for at in 0..n {
                if at == 0 || rows[at].1 != rows[at - 1].1 {
                    rank = at as i64 + 1;
                    dense += 1;
                }
                let dense_rank = matches!(call.function, WindowFunction::DenseRank);
                out.push(Value::BigInt(if dense_rank { dense } else { rank }));
            }
        }
        WindowFunction::PercentRank => {
            for at in 0..n {
                let rank = peers(at).0 as f64;
                out.push(Value::Float(if n > 1 {
                    rank / (n - 1) as f64
                } else {
                    0.0
                }));
            }
        }
        WindowFunction::CumeDist => {
            for at in 0..n {
                out.push(Value::Float(peers(at).1 as f64 / n as f64));
            }
        }
        WindowFunction::Ntile(count) => {
            let buckets = types::integer(&count.eval(&[], cx)?).unwrap_or(1).max(1) as usize;
            let (size, larger) = (n / buckets, n % buckets);
            for at in 0..n {
                let bucket = if at < larger * (size + 1) {
                    at / (size + 1)
                } else {
                    larger + (at - larger * (size + 1)) / size.max(1)
                };
                out.push(Value::BigInt(bucket as i64 + 1));
            }
        }
        WindowFunction::Shift {
            value,
            distance,
            default,
            back,
        } => {
            for at in 0..n {
                let by = match distance {
                    Some(expr) => types::integer(&expr.eval(&rows[at].2, cx)?).unwrap_or(1) as i64,
                    None => 1,
                };
                let target = at as i64 + if *back { -by } else { by };
                out.push(
                    match usize::try_from(target)
                        .ok()
                        .and_then(|target| rows.get(target))
                    {
                        Some(row) => value.eval(&row.2, cx)?,
                        None => default
                            .as_ref()
                            .map_or(Ok(Value::Null), |d| d.eval(&rows[at].2, cx))?,
                    },
                );
            }
        }
        WindowFunction::FirstValue(value) | WindowFunction::LastValue(value) => {
            let first = matches!(call.function, WindowFunction::FirstValue(_));
            for at in 0..n {
                let (start, end) = frame_of(call, at, n, &peers);
                out.push(if start >= end {
                    Value::Null
                } else {
                    value.eval(&rows[if first { start } else { end - 1 }].2, cx)?
                });
            }
        }
        WindowFunction::Aggregate(aggregate) => {
            aggregate_frames(call, aggregate, rows, &peers, &mut out, cx)?
        }
    }
    Ok(out)
}

fn aggregate_frames(
    call: &WindowCall,
    aggregate: &Aggregate,
    rows: &[Keyed],
    peers: &dyn Fn(usize) -> (usize, usize),
    out: &mut Vec<Value>,
    cx: &mut Cx<'_>,
) -> Outcome<()> {
    let mut state = State::new();
    let mut done = 0;
    let mut last: Option<(usize, usize, Value)> = None;
    for at in 0..rows.len() {
        let (start, end) = frame_of(call, at, rows.len(), peers);
        if let Some((s, e, value)) = &last
            && (*s, *e) == (start, end)
        {
            out.push(value.clone());
            continue;
        }
        // A frame that only grows keeps its running state.
        if start != 0 || end < done {
            state = State::new();
            done = start;
        }
        for row in &rows[done..end.max(done)] {
            state.add(aggregate, &row.2, cx)?;
        }
        done = end.max(done);
        let value = state.finish(aggregate)?;
        if start != 0 {
            state = State::new();
            done = 0;
        }
        out.push(value.clone());
        last = Some((start, end, value));
    }
    Ok(())
}

/// The frame of a row as a half-open range of its partition.
fn frame_of(
    call: &WindowCall,
    at: usize,
    n: usize,
    peers: &dyn Fn(usize) -> (usize, usize),
) -> (usize, usize) {
    let Some(frame) = &call.frame else {
        return if call.order.is_empty() {
            (0, n)
        } else {
            (0, peers(at).1)
        };
    };
    let by_rows = frame.unit == FrameUnit::Rows;
    let start = match &frame.start {
        FrameBound::UnboundedPreceding => 0,
        FrameBound::Preceding(k) => at.saturating_sub(*k as usize),
        FrameBound::CurrentRow => {
            if by_rows {
                at
            } else {
                peers(at).0
            }
        }
        FrameBound::Following(k) => (at + *k as usize).min(n),
        FrameBound::UnboundedFollowing => n,
    };
    let end = match &frame.end {
        FrameBound::UnboundedPreceding => 0,
        FrameBound::Preceding(k) => (at + 1).saturating_sub(*k as usize),
        FrameBound::CurrentRow => {
            if by_rows {
                at + 1
            } else {
                peers(at).1
            }
        }
        FrameBound::Following(k) => (at + 1 + *k as usize).min(n),
        FrameBound::UnboundedFollowing => n,
    };
    (start, end)
}
