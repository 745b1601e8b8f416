//! Aggregates: their types, their running state, and GROUP BY.

use crate::engine::context::Cx;
use crate::engine::convert::as_float;
use crate::engine::expr::{Cond, Expr, Kind};
use crate::engine::fault::{Outcome, error, overflow};
use crate::engine::ordering;
use crate::engine::plan::{Access, Cursor, Node, Plan, Scan, Tuple, scan};
use crate::engine::types::{self, decimal};
use crate::session::SqlError;
use crate::value::{SqlType, Value};
use std::collections::{HashMap, HashSet};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    Count,
    CountBig,
    Sum,
    Avg,
    Min,
    Max,
    Stdev,
    StdevP,
    Var,
    VarP,
    ChecksumAgg,
    StringAgg,
}

impl Function {
    pub fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "COUNT" => Self::Count,
            "COUNT_BIG" => Self::CountBig,
            "SUM" => Self::Sum,
            "AVG" => Self::Avg,
            "MIN" => Self::Min,
            "MAX" => Self::Max,
            "STDEV" => Self::Stdev,
            "STDEVP" => Self::StdevP,
            "VAR" => Self::Var,
            "VARP" => Self::VarP,
            "CHECKSUM_AGG" => Self::ChecksumAgg,
            "STRING_AGG" => Self::StringAgg,
            _ => return None,
        })
    }

    pub fn result_type(self, arg: &SqlType) -> Result<SqlType, SqlError> {
        let invalid = |name: &str| {
            error(
                8117,
                16,
                format!(
                    "Operand data type {} is invalid for {name} operator.",
                    types::name(arg)
                ),
            )
        };
        Ok(match self {
            Self::Count => SqlType::Int,
            Self::CountBig => SqlType::BigInt,
            Self::Min | Self::Max => {
                if !types::is_comparable(arg) || matches!(arg, SqlType::Bit) {
                    return Err(invalid(if self == Self::Min { "min" } else { "max" }));
                }
                arg.clone()
            }
            Self::Sum | Self::Avg => match arg {
                SqlType::TinyInt | SqlType::SmallInt | SqlType::Int => SqlType::Int,
                SqlType::BigInt => SqlType::BigInt,
                SqlType::Decimal { scale, numeric, .. } => {
                    let scale = if self == Self::Sum {
                        *scale
                    } else {
                        (*scale).max(6)
                    };
                    SqlType::Decimal {
                        precision: 38,
                        scale,
                        numeric: *numeric,
                    }
                }
                SqlType::Money | SqlType::SmallMoney => SqlType::Money,
                SqlType::Real | SqlType::Float => SqlType::Float,
                _ => return Err(invalid(if self == Self::Sum { "sum" } else { "avg" })),
            },
            Self::Stdev | Self::StdevP | Self::Var | Self::VarP => {
                if !types::is_number(arg) {
                    return Err(invalid("stdev"));
                }
                SqlType::Float
            }
            Self::ChecksumAgg => SqlType::Int,
            Self::StringAgg => match arg {
                SqlType::NVarChar(None) => SqlType::NVarChar(None),
                SqlType::VarChar(None) => SqlType::VarChar(None),
                SqlType::NVarChar(_) | SqlType::NChar(_) => SqlType::NVarChar(Some(4000)),
                SqlType::VarChar(_) | SqlType::Char(_) => SqlType::VarChar(Some(8000)),
                _ => SqlType::NVarChar(Some(4000)),
            },
        })
    }
}

/// One aggregate call; without `arg` it is COUNT(*).
#[derive(Debug, Clone)]
pub struct Aggregate {
    pub function: Function,
    pub arg: Option<Expr>,
    pub distinct: bool,
    pub ty: SqlType,
    pub separator: Option<Expr>,
    /// WITHIN GROUP (ORDER BY ..)
    pub order: Vec<crate::engine::plan::SortKey>,
}

/// A group's running value.
pub struct State {
    count: i64,
    exact: i128,
    float: f64,
    mean: f64,
    spread: f64,
    best: Value,
    checksum: i32,
    seen: HashSet<Box<[u8]>>,
    pieces: Vec<(Vec<u8>, Vec<u16>)>,
    separator: Vec<u16>,
}

impl State {
    pub fn new() -> Self {
        Self {
            count: 0,
            exact: 0,
            float: 0.0,
            mean: 0.0,
            spread: 0.0,
            best: Value::Null,
            checksum: 0,
            seen: HashSet::new(),
            pieces: Vec::new(),
            separator: Vec::new(),
        }
    }

    pub fn add(&mut self, call: &Aggregate, row: &[Value], cx: &mut Cx<'_>) -> Outcome<()> {
        let Some(arg) = &call.arg else {
            self.count += 1;
            return Ok(());
        };
        let value = arg.eval(row, cx)?;
        if matches!(value, Value::Null) {
            return Ok(());
        }
        if call.distinct {
            let mut key = Vec::new();
            ordering::encode(&value, arg.order(), &mut key);
            if !self.seen.insert(key.into_boxed_slice()) {
                return Ok(());
            }
        }
        self.count += 1;
        match call.function {
            Function::Count | Function::CountBig => {}
            Function::Sum | Function::Avg => self.add_number(&value, &call.ty)?,
            Function::Min | Function::Max => {
                let order = ordering::compare(&value, &self.best, arg.order());
                let better = if call.function == Function::Min {
                    order.is_lt()
                } else {
                    order.is_gt()
                };
                if better || matches!(self.best, Value::Null) {
                    self.best = value;
                }
            }
            Function::Stdev | Function::StdevP | Function::Var | Function::VarP => {
                let x = as_float(&value).unwrap_or(0.0);
                let delta = x - self.mean;
                self.mean += delta / self.count as f64;
                self.spread += delta * (x - self.mean);
            }
            Function::ChecksumAgg => self.checksum ^= types::integer(&value).unwrap_or(0) as i32,
            Function::StringAgg => {
                let order = crate::engine::plan::sort_key(&call.order, row, cx)?;
                if let (true, Some(separator)) = (self.pieces.is_empty(), &call.separator)
                    && let Value::Str(units) = separator.eval(row, cx)?
                {
                    self.separator = units.to_vec();
                }
                if let Value::Str(units) = value {
                    self.pieces.push((order, units.to_vec()));
                }
            }
        }
        Ok(())
    }

    fn add_number(&mut self, value: &Value, ty: &SqlType) -> Outcome<()> {
        match value {
            Value::Decimal { unscaled, .. } => {
                self.exact = self
                    .exact
                    .checked_add(*unscaled)
                    .ok_or_else(|| overflow("numeric"))?;
            }
            Value::Money(units) => self.exact += i128::from(*units),
            Value::Real(_) | Value::Float(_) => self.float += as_float(value).unwrap_or(0.0),
            other => {
                self.exact += types::integer(other).unwrap_or(0);
                // As the server does, a sum that passes its type fails where it passes.
                let fits = match ty {
                    SqlType::Int => i32::try_from(self.exact).is_ok(),
                    _ => i64::try_from(self.exact).is_ok(),
                };
                if !fits {
                    return Err(overflow(types::name(ty)).into());
                }
            }
        }
        Ok(())
    }

    pub fn finish(&mut self, call: &Aggregate) -> Outcome<Value> {
        let n = self.count as f64;
        Ok(match call.function {
            Function::Count => Value::Int(i32::try_from(self.count).map_err(|_| overflow("int"))?),
            Function::CountBig => Value::BigInt(self.count),
            Function::ChecksumAgg if self.count > 0 => Value::Int(self.checksum),
            Function::Min | Function::Max => self.best.clone(),
            Function::Sum | Function::Avg if self.count > 0 => self.finish_number(call)?,
            Function::Var if self.count > 1 => Value::Float(self.spread / (n - 1.0)),
            Function::Stdev if self.count > 1 => Value::Float((self.spread / (n - 1.0)).sqrt()),
            Function::VarP if self.count > 0 => Value::Float(self.spread / n),
            Function::StdevP if self.count > 0 => Value::Float((self.spread / n).sqrt()),
            Function::StringAgg if self.count > 0 => {
                if !call.order.is_empty() {
                    self.pieces.sort_by(|a, b| a.0.cmp(&b.0));
                }
                let mut out = Vec::new();
                for (index, (_, piece)) in self.pieces.iter().enumerate() {
                    if index > 0 {
                        out.extend_from_slice(&self.separator);
                    }
                    out.extend_from_slice(piece);
                }
                if types::length(&call.ty).is_some_and(|n| out.len() > usize::from(n)) {
                    return Err(error(
                        9829,
                        16,
                        "STRING_AGG aggregation result exceeded the limit of 8000 bytes. Use \
                        LOB types to avoid result truncation.",
                    )
                    .into());
                }
                Value::Str(out.into())
            }
            _ => Value::Null,
        })
    }

    fn finish_number(&self, call: &Aggregate) -> Outcome<Value> {
        let average = call.function == Function::Avg;
        let count = i128::from(self.count);
        Ok(match &call.ty {
            SqlType::Float => Value::Float(if average {
                self.float / self.count as f64
            } else {
                self.float
            }),
            SqlType::Money => {
                let units = if average {
                    self.exact / count
                } else {
                    self.exact
                };
                Value::Money(i64::try_from(units).map_err(|_| overflow("money"))?)
            }
            SqlType::Decimal { scale, .. } => {
                let from = call
                    .arg
                    .as_ref()
                    .map_or(0, |arg| types::precision_scale(&arg.ty).1);
                let unscaled = if average {
                    decimal::compute(
                        decimal::Arithmetic::Divide,
                        (self.exact, from),
                        (count, 0),
                        (38, *scale),
                    )?
                } else {
                    decimal::fit(self.exact, from, 38, *scale)?
                };
                Value::Decimal {
                    unscaled,
                    scale: *scale,
                }
            }
            ty => types::fit_integer(
                if average {
                    self.exact / count
                } else {
                    self.exact
                },
                ty,
            )?,
        })
    }
}

/// Groups the input; one row per group: the keys, then the aggregates. Without keys there is exactly one group.
pub fn open<'p>(
    input: &'p Plan,
    keys: &'p [Expr],
    calls: &'p [Aggregate],
    cx: &mut Cx<'_>,
) -> Outcome<Box<dyn Cursor + 'p>> {
    let mut index: HashMap<Box<[u8]>, usize> = HashMap::new();
    let mut groups: Vec<(Tuple, Vec<State>)> = Vec::new();
    let fresh = || calls.iter().map(|_| State::new()).collect::<Vec<_>>();
    if keys.is_empty() {
        groups.push((Vec::new(), fresh()));
    }
    let end = match (keys, calls) {
        ([], [call]) => end_of_index(input, call, cx)?,
        _ => None,
    };
    let mut cursor = match &end {
        Some(scan) => scan::open(scan, &[], cx)?,
        None => input.open(cx)?,
    };
    while let Some(row) = cursor.next(cx)? {
        let at = if keys.is_empty() {
            0
        } else {
            let mut values = Vec::with_capacity(keys.len());
            let mut key = Vec::new();
            for expr in keys {
                let value = expr.eval(&row, cx)?;
                ordering::encode(&value, expr.order(), &mut key);
                values.push(value);
            }
            match index.get(key.as_slice()) {
                Some(at) => *at,
                None => {
                    groups.push((values, fresh()));
                    index.insert(key.into_boxed_slice(), groups.len() - 1);
                    groups.len() - 1
                }
            }
        };
        for (call, state) in calls.iter().zip(&mut groups[at].1) {
            state.add(call, &row, cx)?;
        }
        if end.is_some() && !matches!(groups[at].1[0].best, Value::Null) {
            break;
        }
    }
    let mut rows = Vec::with_capacity(groups.len());
    for (mut row, mut states) in groups {
        for (call, state) in calls.iter().zip(&mut states) {
            row.push(state.finish(call)?);
        }
        rows.push(row);
    }
    Ok(Box::new(Finished(rows.into_iter())))
}

/// The least or greatest value of a column that an index begins with stands at an end of the index; NULLs may stand
/// before it.
fn end_of_index(input: &Plan, call: &Aggregate, cx: &Cx<'_>) -> Outcome<Option<Scan>> {
    let greatest = match call.function {
        Function::Min => false,
        Function::Max => true,
        _ => return Ok(None),
    };
    let (Node::Scan(scan), Some(arg)) = (&input.node, &call.arg) else {
        return Ok(None);
    };
    let Kind::Column(column) = arg.kind else {
        return Ok(None);
    };
    let whole = matches!(scan.access, Access::Rows)
        && matches!(scan.filter, Cond::True)
        && scan.sample.is_none();
    if !whole || arg.collate.is_some() {
        return Ok(None);
    }
    let indexes = &cx.held.table(scan.table)?.def.indexes;
    let index = indexes.iter().position(|index| {
        index.filter.is_none() && index.columns.first().is_some_and(|(at, _)| *at == column)
    });
    Ok(index.map(|index| Scan {
        access: Access::Index {
            index,
            equal: Vec::new(),
            low: None,
            high: None,
            backward: greatest != indexes[index].columns[0].1,
        },
        ..scan.clone()
    }))
}

struct Finished(std::vec::IntoIter<Tuple>);

impl Cursor for Finished {
    fn next(&mut self, _: &mut Cx<'_>) -> Outcome<Option<Tuple>> {
        Ok(self.0.next())
    }
}
