//! Joins: by hash, by index seek, by loop, and APPLY.

use super::{Cursor, JoinType, Plan, Scan, Tuple, scan::TableCursor};
use crate::engine::context::Cx;
use crate::engine::expr::{Cond, Expr};
use crate::engine::fault::Outcome;
use crate::engine::ordering;
use crate::value::Value;
use std::collections::{HashMap, VecDeque};

fn combine(left: &[Value], right: &[Value]) -> Tuple {
    let mut out = Vec::with_capacity(left.len() + right.len());
    out.extend_from_slice(left);
    out.extend_from_slice(right);
    out
}

fn padded(left: &[Value], width: usize) -> Tuple {
    let mut out = Vec::with_capacity(left.len() + width);
    out.extend_from_slice(left);
    out.resize(left.len() + width, Value::Null);
    out
}

/// The key of a row; none when a part is NULL, which joins nothing.
fn join_key(keys: &[Expr], row: &[Value], cx: &mut Cx<'_>) -> Outcome<Option<Box<[u8]>>> {
    let mut out = Vec::with_capacity(16);
    for key in keys {
        let value = key.eval(row, cx)?;
        if matches!(value, Value::Null) {
            return Ok(None);
        }
        // Both sides' keys carry the collation of the comparison.
        ordering::encode(&value, key.collate.as_deref(), &mut out);
    }
    Ok(Some(out.into_boxed_slice()))
}

pub fn open_hash<'p>(
    kind: JoinType,
    left: &'p Plan,
    right: &'p Plan,
    left_keys: &'p [Expr],
    right_keys: &'p [Expr],
    residual: &'p Cond,
    cx: &mut Cx<'_>,
) -> Outcome<Box<dyn Cursor + 'p>> {
    let mut table: HashMap<Box<[u8]>, Vec<usize>> = HashMap::new();
    let mut rows = Vec::new();
    let mut cursor = right.open(cx)?;
    while let Some(row) = cursor.next(cx)? {
        match join_key(right_keys, &row, cx)? {
            Some(key) => table.entry(key).or_default().push(rows.len()),
            // Only FULL ever shows a row that joins nothing.
            None if kind != JoinType::Full => continue,
            None => {}
        }
        rows.push(row);
    }
    let matched = vec![
        false;
        if kind == JoinType::Full {
            rows.len()
        } else {
            0
        }
    ];
    Ok(Box::new(HashJoin {
        kind,
        left: left.open(cx)?,
        left_width: left.width,
        right_width: right.width,
        keys: left_keys,
        residual,
        table,
        rows,
        matched,
        ready: VecDeque::new(),
        rest: None,
    }))
}

struct HashJoin<'p> {
    kind: JoinType,
    left: Box<dyn Cursor + 'p>,
    left_width: usize,
    right_width: usize,
    keys: &'p [Expr],
    residual: &'p Cond,
    table: HashMap<Box<[u8]>, Vec<usize>>,
    rows: Vec<Tuple>,
    matched: Vec<bool>,
    ready: VecDeque<Tuple>,
    /// Where a FULL join is among its unmatched right rows.
    rest: Option<usize>,
}

impl HashJoin<'_> {
    fn probe(&mut self, row: Tuple, cx: &mut Cx<'_>) -> Outcome<()> {
        let mut found = false;
        let key = join_key(self.keys, &row, cx)?;
        let candidates = key
            .as_ref()
            .and_then(|key| self.table.get(key))
            .map_or(&[][..], Vec::as_slice);
        for index in candidates {
            let exists_only = matches!(self.kind, JoinType::Semi | JoinType::Anti);
            if exists_only && matches!(self.residual, Cond::True) {
                found = true;
                break;
            }
            let joined = combine(&row, &self.rows[*index]);
            if self.residual.test(&joined, cx)? != Some(true) {
                continue;
            }
            found = true;
            if exists_only {
                break;
            }
            if let Some(flag) = self.matched.get_mut(*index) {
                *flag = true;
            }
            self.ready.push_back(joined);
        }
        match self.kind {
            JoinType::Semi if found => self.ready.push_back(row),
            JoinType::Anti if !found => self.ready.push_back(row),
            JoinType::Left | JoinType::Full if !found => {
                self.ready.push_back(padded(&row, self.right_width))
            }
            JoinType::Semi | JoinType::Anti | JoinType::Inner | JoinType::Left | JoinType::Full => {
            }
        }
        Ok(())
    }
}

impl Cursor for HashJoin<'_> {
    fn next(&mut self, cx: &mut Cx<'_>) -> Outcome<Option<Tuple>> {
        loop {
            if let Some(row) = self.ready.pop_front() {
                return Ok(Some(row));
            }
            if self.rest.is_none() {
                match self.left.next(cx)? {
                    Some(row) => self.probe(row, cx)?,
                    None => self.rest = Some(0),
                }
                continue;
            }
            return Ok(unmatched(
                &mut self.rest,
                &self.matched,
                &self.rows,
                self.left_width,
            ));
        }
    }
}

/// The next right row of a FULL join that nothing matched.
fn unmatched(
    rest: &mut Option<usize>,
    matched: &[bool],
    rows: &[Tuple],
    left_width: usize,
) -> Option<Tuple> {
    let from = rest.unwrap_or(0);
    let index = (from..matched.len()).find(|index| !matched[*index])?;
    *rest = Some(index + 1);
    let mut out = vec![Value::Null; left_width];
    out.extend_from_slice(&rows[index]);
    Some(out)
}

pub fn open_loop<'p>(
    kind: JoinType,
    left: &'p Plan,
    right: &'p Plan,
    on: &'p Cond,
    cx: &mut Cx<'_>,
) -> Outcome<Box<dyn Cursor + 'p>> {
    let rows = right.collect(cx)?;
    let matched = vec![
        false;
        if kind == JoinType::Full {
            rows.len()
        } else {
            0
        }
    ];
    Ok(Box::new(LoopJoin {
        kind,
        left: left.open(cx)?,
        left_width: left.width,
        right_width: right.width,
        on,
        rows,
        matched,
        current: None,
        rest: None,
    }))
}

struct LoopJoin<'p> {
    kind: JoinType,
    left: Box<dyn Cursor + 'p>,
    left_width: usize,
    right_width: usize,
    on: &'p Cond,
    rows: Vec<Tuple>,
    matched: Vec<bool>,
    /// The left row, the next right row, and whether any matched.
    current: Option<(Tuple, usize, bool)>,
    rest: Option<usize>,
}

impl Cursor for LoopJoin<'_> {
    fn next(&mut self, cx: &mut Cx<'_>) -> Outcome<Option<Tuple>> {
        loop {
            if self.rest.is_some() {
                return Ok(unmatched(
                    &mut self.rest,
                    &self.matched,
                    &self.rows,
                    self.left_width,
                ));
            }
            let Some((row, at, found)) = self.current.as_mut() else {
                match self.left.next(cx)? {
                    Some(row) => self.current = Some((row, 0, false)),
                    None => self.rest = Some(0),
                }
                continue;
            };
            if *at < self.rows.len() {
                let index = *at;
                *at += 1;
                let joined = combine(row, &self.rows[index]);
                if self.on.test(&joined, cx)? != Some(true) {
                    continue;
                }
                *found = true;
                if let Some(flag) = self.matched.get_mut(index) {
                    *flag = true;
                }
                match self.kind {
                    JoinType::Inner | JoinType::Left | JoinType::Full => return Ok(Some(joined)),
                    JoinType::Semi | JoinType::Anti => *at = self.rows.len(),
                }
                continue;
            }
            let Some((row, _, found)) = self.current.take() else {
                continue;
            };
            match self.kind {
                JoinType::Left | JoinType::Full if !found => {
                    return Ok(Some(padded(&row, self.right_width)));
                }
                JoinType::Semi if found => return Ok(Some(row)),
                JoinType::Anti if !found => return Ok(Some(row)),
                JoinType::Inner
                | JoinType::Left
                | JoinType::Full
                | JoinType::Semi
                | JoinType::Anti => {}
            }
        }
    }
}

pub struct SeekJoin<'p> {
    kind: JoinType,
    left: Box<dyn Cursor + 'p>,
    scan: &'p Scan,
    width: usize,
    residual: &'p Cond,
    current: Option<(Tuple, TableCursor<'p>, bool)>,
}

impl<'p> SeekJoin<'p> {
    pub fn new(
        kind: JoinType,
        left: Box<dyn Cursor + 'p>,
        scan: &'p Scan,
        width: usize,
        residual: &'p Cond,
    ) -> Self {
        Self {
            kind,
            left,
            scan,
            width,
            residual,
            current: None,
        }
    }
}

impl Cursor for SeekJoin<'_> {
    fn next(&mut self, cx: &mut Cx<'_>) -> Outcome<Option<Tuple>> {
        loop {
            let Some((row, inner, found)) = self.current.as_mut() else {
                let Some(row) = self.left.next(cx)? else {
                    return Ok(None);
                };
                cx.held.lock();
                let inner = TableCursor::new(self.scan, &row, cx)?;
                self.current = Some((row, inner, false));
                continue;
            };
            if let Some(right) = inner.next(cx)? {
                let joined = combine(row, &right);
                if self.residual.test(&joined, cx)? != Some(true) {
                    continue;
                }
                *found = true;
                match self.kind {
                    JoinType::Inner | JoinType::Left | JoinType::Full => return Ok(Some(joined)),
                    JoinType::Semi => return Ok(self.current.take().map(|(row, _, _)| row)),
                    JoinType::Anti => self.current = None,
                }
                continue;
            }
            let Some((row, _, found)) = self.current.take() else {
                continue;
            };
            match self.kind {
                JoinType::Left if !found => return Ok(Some(padded(&row, self.width))),
                JoinType::Anti if !found => return Ok(Some(row)),
                JoinType::Inner
                | JoinType::Left
                | JoinType::Full
                | JoinType::Semi
                | JoinType::Anti => {}
            }
        }
    }
}

pub struct Apply<'p> {
    left: Box<dyn Cursor + 'p>,
    right: &'p Plan,
    outer: bool,
    ready: VecDeque<Tuple>,
}

impl<'p> Apply<'p> {
    pub fn new(left: Box<dyn Cursor + 'p>, right: &'p Plan, outer: bool) -> Self {
        Self {
            left,
            right,
            outer,
            ready: VecDeque::new(),
        }
    }
}

impl Cursor for Apply<'_> {
    fn next(&mut self, cx: &mut Cx<'_>) -> Outcome<Option<Tuple>> {
        loop {
            if let Some(row) = self.ready.pop_front() {
                return Ok(Some(row));
            }
            let Some(row) = self.left.next(cx)? else {
                return Ok(None);
            };
            cx.held.lock();
            cx.outer.push(row);
            let found = self.right.collect(cx);
            let Some(row) = cx.outer.pop() else {
                return Ok(None);
            };
            let found = found?;
            if found.is_empty() && self.outer {
                self.ready.push_back(padded(&row, self.right.width));
            }
            self.ready
                .extend(found.iter().map(|right| combine(&row, right)));
        }
    }
}
