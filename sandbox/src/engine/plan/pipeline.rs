//! The operators with one input, and set operations.

use super::{Cursor, Plan, SortKey, Tuple};
use crate::engine::collation::Collate;
use crate::engine::context::Cx;
use crate::engine::expr::{Cond, Expr};
use crate::engine::fault::{Outcome, error};
use crate::engine::{ordering, types};
use crate::value::Value;
use std::collections::HashSet;
use std::sync::Arc;

pub struct Once(pub Option<Tuple>);

impl Cursor for Once {
    fn next(&mut self, _: &mut Cx<'_>) -> Outcome<Option<Tuple>> {
        Ok(self.0.take())
    }
}

pub struct Rows(pub std::vec::IntoIter<Tuple>);

impl Cursor for Rows {
    fn next(&mut self, _: &mut Cx<'_>) -> Outcome<Option<Tuple>> {
        Ok(self.0.next())
    }
}

pub struct ValueRows<'p> {
    pub rows: &'p [Vec<Expr>],
    pub at: usize,
}

impl Cursor for ValueRows<'_> {
    fn next(&mut self, cx: &mut Cx<'_>) -> Outcome<Option<Tuple>> {
        let Some(row) = self.rows.get(self.at) else {
            return Ok(None);
        };
        self.at += 1;
        row.iter()
            .map(|expr| expr.eval(&[], cx))
            .collect::<Outcome<Tuple>>()
            .map(Some)
    }
}

pub struct Filter<'p> {
    pub input: Box<dyn Cursor + 'p>,
    pub cond: &'p Cond,
}

impl Cursor for Filter<'_> {
    fn next(&mut self, cx: &mut Cx<'_>) -> Outcome<Option<Tuple>> {
        while let Some(row) = self.input.next(cx)? {
            if self.cond.test(&row, cx)? == Some(true) {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }
}

pub struct Project<'p> {
    pub input: Box<dyn Cursor + 'p>,
    pub exprs: &'p [Expr],
}

impl Cursor for Project<'_> {
    fn next(&mut self, cx: &mut Cx<'_>) -> Outcome<Option<Tuple>> {
        let Some(row) = self.input.next(cx)? else {
            return Ok(None);
        };
        let mut out = Vec::with_capacity(self.exprs.len());
        for expr in self.exprs {
            out.push(expr.eval(&row, cx)?);
        }
        Ok(Some(out))
    }
}

pub struct Permute<'p> {
    pub input: Box<dyn Cursor + 'p>,
    pub order: &'p [usize],
}

impl Cursor for Permute<'_> {
    fn next(&mut self, cx: &mut Cx<'_>) -> Outcome<Option<Tuple>> {
        let row = self.input.next(cx)?;
        Ok(row.map(|row| self.order.iter().map(|index| row[*index].clone()).collect()))
    }
}

fn whole_key(row: &[Value], collates: &[Option<Arc<Collate>>]) -> Box<[u8]> {
    let mut out = Vec::with_capacity(row.len() * 8);
    for (index, value) in row.iter().enumerate() {
        ordering::encode(
            value,
            collates.get(index).and_then(Option::as_deref),
            &mut out,
        );
    }
    out.into_boxed_slice()
}

pub struct Distinct<'p> {
    input: Box<dyn Cursor + 'p>,
    collates: &'p [Option<Arc<Collate>>],
    seen: HashSet<Box<[u8]>>,
}

impl<'p> Distinct<'p> {
    pub fn new(input: Box<dyn Cursor + 'p>, collates: &'p [Option<Arc<Collate>>]) -> Self {
        Self {
            input,
            collates,
            seen: HashSet::new(),
        }
    }
}

impl Cursor for Distinct<'_> {
    fn next(&mut self, cx: &mut Cx<'_>) -> Outcome<Option<Tuple>> {
        while let Some(row) = self.input.next(cx)? {
            if self.seen.insert(whole_key(&row, self.collates)) {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }
}

/// A row's place in an order.
pub fn sort_key(keys: &[SortKey], row: &[Value], cx: &mut Cx<'_>) -> Outcome<Vec<u8>> {
    let mut out = Vec::with_capacity(keys.len() * 8);
    for key in keys {
        let start = out.len();
        let value = key.expr.eval(row, cx)?;
        ordering::encode(&value, key.expr.order(), &mut out);
        if key.descending {
            ordering::invert(&mut out, start);
        }
    }
    Ok(out)
}

/// Sorts; stable. With presorted leading keys it sorts one group of equal ones at a time, so that TOP stops early.
pub struct Sort<'p> {
    input: Box<dyn Cursor + 'p>,
    keys: &'p [SortKey],
    presorted: usize,
    ready: std::vec::IntoIter<(Vec<u8>, Tuple)>,
    ahead: Option<(Vec<u8>, Tuple)>,
    done: bool,
}

impl<'p> Sort<'p> {
    pub fn new(input: Box<dyn Cursor + 'p>, keys: &'p [SortKey], presorted: usize) -> Self {
        Self {
            input,
            keys,
            presorted,
            ready: Vec::new().into_iter(),
            ahead: None,
            done: false,
        }
    }

    fn fill(&mut self, cx: &mut Cx<'_>) -> Outcome<()> {
        let (head, tail) = self.keys.split_at(self.presorted);
        let mut group = Vec::new();
        let mut prefix: Option<Vec<u8>> = None;
        if let Some((key, row)) = self.ahead.take() {
            group.push((sort_key(tail, &row, cx)?, row));
            prefix = Some(key);
        }
        loop {
            let Some(row) = self.input.next(cx)? else {
                self.done = true;
                break;
            };
            if self.presorted > 0 {
                let key = sort_key(head, &row, cx)?;
                match &prefix {
                    Some(current) if *current != key => {
                        self.ahead = Some((key, row));
                        break;
                    }
                    Some(_) => {}
                    None => prefix = Some(key),
                }
            }
            group.push((sort_key(tail, &row, cx)?, row));
        }
        group.sort_by(|a, b| a.0.cmp(&b.0));
        self.ready = group.into_iter();
        Ok(())
    }
}

impl Cursor for Sort<'_> {
    fn next(&mut self, cx: &mut Cx<'_>) -> Outcome<Option<Tuple>> {
        loop {
            if let Some((_, row)) = self.ready.next() {
                return Ok(Some(row));
            }
            if self.done && self.ahead.is_none() {
                return Ok(None);
            }
            self.fill(cx)?;
        }
    }
}

pub fn open_top<'p>(
    input: &'p Plan,
    count: &'p Expr,
    percent: bool,
    ties: &'p [SortKey],
    cx: &mut Cx<'_>,
) -> Outcome<Box<dyn Cursor + 'p>> {
    let value = count.eval(&[], cx)?;
    if percent {
        let part = crate::engine::convert::as_float(&value).unwrap_or(-1.0);
        if !(0.0..=100.0).contains(&part) {
            return Err(error(1031, 15, "Percent values must be between 0 and 100.").into());
        }
        let rows = input.collect(cx)?;
        let keep = (rows.len() as f64 * part / 100.0).ceil() as usize;
        return Ok(Box::new(Top {
            input: Box::new(Rows(rows.into_iter())),
            left: keep as u64,
            ties,
            last: None,
        }));
    }
    let left = match types::integer(&value).and_then(|n| u64::try_from(n).ok()) {
        Some(n) => n,
        None => {
            return Err(error(
                1060,
                15,
                "The number of rows provided for a TOP or FETCH clauses row count parameter \
            must be an integer.",
            )
            .into());
        }
    };
    if left == 0 {
        return Ok(Box::new(Once(None)));
    }
    Ok(Box::new(Top {
        input: input.open(cx)?,
        left,
        ties,
        last: None,
    }))
}

struct Top<'p> {
    input: Box<dyn Cursor + 'p>,
    left: u64,
    ties: &'p [SortKey],
    last: Option<Vec<u8>>,
}

impl Cursor for Top<'_> {
    fn next(&mut self, cx: &mut Cx<'_>) -> Outcome<Option<Tuple>> {
        if self.left == 0 && self.last.is_none() {
            return Ok(None);
        }
        let Some(row) = self.input.next(cx)? else {
            return Ok(None);
        };
        if self.left > 0 {
            self.left -= 1;
            if self.left == 0 && !self.ties.is_empty() {
                self.last = Some(sort_key(self.ties, &row, cx)?);
            }
            return Ok(Some(row));
        }
        if Some(sort_key(self.ties, &row, cx)?) == self.last {
            return Ok(Some(row));
        }
        self.last = None;
        Ok(None)
    }
}

pub fn open_offset<'p>(
    input: &'p Plan,
    skip: &'p Expr,
    fetch: Option<&'p Expr>,
    cx: &mut Cx<'_>,
) -> Outcome<Box<dyn Cursor + 'p>> {
    let skip = types::integer(&skip.eval(&[], cx)?).unwrap_or(-1);
    if skip < 0 {
        return Err(error(
            10742,
            15,
            "The offset specified in a OFFSET clause may not be negative.",
        )
        .into());
    }
    let fetch = match fetch {
        Some(fetch) => {
            let count = types::integer(&fetch.eval(&[], cx)?).unwrap_or(0);
            if count < 1 {
                return Err(error(
                    10744,
                    15,
                    "The number of rows provided for a FETCH clause must be greater then zero.",
                )
                .into());
            }
            count as u64
        }
        None => u64::MAX,
    };
    let mut cursor = input.open(cx)?;
    for _ in 0..skip {
        if cursor.next(cx)?.is_none() {
            break;
        }
    }
    Ok(Box::new(Top {
        input: cursor,
        left: fetch,
        ties: &[],
        last: None,
    }))
}

pub struct UnionAll<'p> {
    pub left: Option<Box<dyn Cursor + 'p>>,
    pub right: &'p Plan,
    pub opened: Option<Box<dyn Cursor + 'p>>,
}

impl Cursor for UnionAll<'_> {
    fn next(&mut self, cx: &mut Cx<'_>) -> Outcome<Option<Tuple>> {
        if let Some(left) = &mut self.left {
            if let Some(row) = left.next(cx)? {
                return Ok(Some(row));
            }
            self.left = None;
            cx.held.lock();
            self.opened = Some(self.right.open(cx)?);
        }
        match &mut self.opened {
            Some(right) => right.next(cx),
            None => Ok(None),
        }
    }
}

pub fn open_subtract<'p>(
    left: &'p Plan,
    right: &'p Plan,
    keep: bool,
    collates: &'p [Option<Arc<Collate>>],
    cx: &mut Cx<'_>,
) -> Outcome<Box<dyn Cursor + 'p>> {
    let mut found = HashSet::new();
    let mut cursor = right.open(cx)?;
    while let Some(row) = cursor.next(cx)? {
        found.insert(whole_key(&row, collates));
    }
    let input = Box::new(Subtract {
        left: left.open(cx)?,
        found,
        keep,
        collates,
    });
    Ok(Box::new(Distinct::new(input, collates)))
}

struct Subtract<'p> {
    left: Box<dyn Cursor + 'p>,
    found: HashSet<Box<[u8]>>,
    keep: bool,
    collates: &'p [Option<Arc<Collate>>],
}

impl Cursor for Subtract<'_> {
    fn next(&mut self, cx: &mut Cx<'_>) -> Outcome<Option<Tuple>> {
        while let Some(row) = self.left.next(cx)? {
            if self.found.contains(&whole_key(&row, self.collates)) == self.keep {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }
}

pub fn open_recursive<'p>(
    anchor: &'p Plan,
    step: &'p Plan,
    limit: u32,
    cx: &mut Cx<'_>,
) -> Outcome<Box<dyn Cursor + 'p>> {
    let mut all = anchor.collect(cx)?;
    let mut last = all.clone();
    let mut depth = 0u32;
    while !last.is_empty() {
        depth += 1;
        if limit > 0 && depth > limit + 1 {
            return Err(error(
                530,
                16,
                format!("The statement terminated. The maximum recursion {limit} has been exhausted before statement \
                    completion."),
            )
            .into());
        }
        cx.work.push(Arc::new(last));
        let found = step.collect(cx);
        cx.work.pop();
        last = found?;
        all.extend(last.iter().cloned());
    }
    Ok(Box::new(Rows(all.into_iter())))
}
