//! Arithmetic functions. Whole numbers and decimals stay exact; `float` is used where SQL Server uses it.

use super::argument::{Arguments, BIGINT, FLOAT, INT, invalid_argument};
use super::{Builtin, EvalContext};
use crate::engine::convert::{Conversion, convert};
use crate::engine::fault::{error, overflow};
use crate::engine::types::{self, decimal};
use crate::session::SqlError;
use crate::value::{SqlType, Value};

type Unary = fn(f64) -> f64;

pub static FUNCTIONS: &[Builtin] = &[
    Builtin {
        name: "ABS",
        args: 1..=1,
        result_type: |t| number_type(&t[0], "abs"),
        eval: abs,
    },
    Builtin {
        name: "SIGN",
        args: 1..=1,
        result_type: |t| number_type(&t[0], "sign"),
        eval: sign,
    },
    Builtin {
        name: "POWER",
        args: 2..=2,
        result_type: power_type,
        eval: power,
    },
    Builtin {
        name: "SQRT",
        args: 1..=1,
        result_type: float,
        eval: |v, t, cx| unary(v, t, cx, f64::sqrt),
    },
    Builtin {
        name: "SQUARE",
        args: 1..=1,
        result_type: float,
        eval: |v, t, cx| unary(v, t, cx, |x| x * x),
    },
    Builtin {
        name: "EXP",
        args: 1..=1,
        result_type: float,
        eval: |v, t, cx| unary(v, t, cx, f64::exp),
    },
    Builtin {
        name: "LOG",
        args: 1..=2,
        result_type: float,
        eval: log,
    },
    Builtin {
        name: "LOG10",
        args: 1..=1,
        result_type: float,
        eval: |v, t, cx| unary(v, t, cx, f64::log10),
    },
    Builtin {
        name: "SIN",
        args: 1..=1,
        result_type: float,
        eval: |v, t, cx| unary(v, t, cx, f64::sin),
    },
    Builtin {
        name: "COS",
        args: 1..=1,
        result_type: float,
        eval: |v, t, cx| unary(v, t, cx, f64::cos),
    },
    Builtin {
        name: "TAN",
        args: 1..=1,
        result_type: float,
        eval: |v, t, cx| unary(v, t, cx, f64::tan),
    },
    Builtin {
        name: "COT",
        args: 1..=1,
        result_type: float,
        eval: |v, t, cx| unary(v, t, cx, |x| 1.0 / x.tan()),
    },
    Builtin {
        name: "ASIN",
        args: 1..=1,
        result_type: float,
        eval: |v, t, cx| unary(v, t, cx, f64::asin),
    },
    Builtin {
        name: "ACOS",
        args: 1..=1,
        result_type: float,
        eval: |v, t, cx| unary(v, t, cx, f64::acos),
    },
    Builtin {
        name: "ATAN",
        args: 1..=1,
        result_type: float,
        eval: |v, t, cx| unary(v, t, cx, f64::atan),
    },
    Builtin {
        name: "ATN2",
        args: 2..=2,
        result_type: float,
        eval: atn2,
    },
    Builtin {
        name: "PI",
        args: 0..=0,
        result_type: float,
        eval: |_, _, _| Ok(Value::Float(std::f64::consts::PI)),
    },
    Builtin {
        name: "DEGREES",
        args: 1..=1,
        result_type: float_only,
        eval: |v, t, cx| unary(v, t, cx, f64::to_degrees),
    },
    Builtin {
        name: "RADIANS",
        args: 1..=1,
        result_type: float_only,
        eval: |v, t, cx| unary(v, t, cx, f64::to_radians),
    },
    Builtin {
        name: "RAND",
        args: 0..=1,
        result_type: float,
        eval: rand,
    },
];

fn float(_: &[SqlType]) -> Result<SqlType, SqlError> {
    Ok(FLOAT)
}

/// DEGREES and RADIANS of exact types answer in those types, cutting what does not fit: refused rather than half done.
fn float_only(t: &[SqlType]) -> Result<SqlType, SqlError> {
    match &t[0] {
        SqlType::Real | SqlType::Float => Ok(FLOAT),
        other => Err(crate::engine::fault::unsupported(format!(
            "DEGREES or RADIANS of {}",
            types::name(other)
        ))),
    }
}

/// The type in which a function of one number computes and answers.
pub fn number_type(ty: &SqlType, function: &str) -> Result<SqlType, SqlError> {
    match ty {
        SqlType::TinyInt | SqlType::SmallInt | SqlType::Int => Ok(INT),
        SqlType::BigInt => Ok(BIGINT),
        SqlType::Decimal { .. } => Ok(ty.clone()),
        SqlType::Money | SqlType::SmallMoney => Ok(SqlType::Money),
        SqlType::Bit | SqlType::Real | SqlType::Float => Ok(FLOAT),
        SqlType::Char(_) | SqlType::VarChar(_) | SqlType::NChar(_) | SqlType::NVarChar(_) => {
            Ok(FLOAT)
        }
        SqlType::Date
        | SqlType::Time(_)
        | SqlType::DateTime
        | SqlType::SmallDateTime
        | SqlType::DateTime2(_)
        | SqlType::DateTimeOffset(_)
        | SqlType::Text
        | SqlType::NText
        | SqlType::Binary(_)
        | SqlType::VarBinary(_)
        | SqlType::Image
        | SqlType::UniqueIdentifier
        | SqlType::RowVersion
        | SqlType::Xml
        | SqlType::SqlVariant
        | SqlType::HierarchyId
        | SqlType::Geometry
        | SqlType::Geography => Err(invalid_argument(ty, 1, function)),
    }
}

fn abs(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let ty = number_type(&t[0], "abs")?;
    let too_big = || overflow(types::name(&ty));
    Ok(match Arguments::new(v, t, cx).converted(0, &ty)? {
        Value::Int(value) => Value::Int(value.checked_abs().ok_or_else(too_big)?),
        Value::BigInt(value) => Value::BigInt(value.checked_abs().ok_or_else(too_big)?),
        Value::Money(value) => Value::Money(value.checked_abs().ok_or_else(too_big)?),
        Value::Decimal { unscaled, scale } => Value::Decimal {
            unscaled: unscaled.abs(),
            scale,
        },
        Value::Float(value) => Value::Float(value.abs()),
        other => other,
    })
}

fn sign(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let ty = number_type(&t[0], "sign")?;
    Ok(match Arguments::new(v, t, cx).converted(0, &ty)? {
        Value::Int(value) => Value::Int(value.signum()),
        Value::BigInt(value) => Value::BigInt(value.signum()),
        Value::Money(value) => Value::Money(value.signum() * 10_000),
        Value::Decimal { unscaled, scale } => {
            let (precision, _) = types::precision_scale(&ty);
            Value::Decimal {
                unscaled: decimal::fit(unscaled.signum(), 0, precision, scale)?,
                scale,
            }
        }
        Value::Float(value) => Value::Float(if value == 0.0 { 0.0 } else { value.signum() }),
        other => other,
    })
}

fn power_type(t: &[SqlType]) -> Result<SqlType, SqlError> {
    Ok(match number_type(&t[0], "power")? {
        SqlType::Decimal { scale, numeric, .. } => SqlType::Decimal {
            precision: 38,
            scale,
            numeric,
        },
        other => other,
    })
}

/// Computed in `float`, answered in the first argument's type; whole numbers that `i128` holds are computed exactly.
fn power(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let a = Arguments::new(v, t, cx);
    let ty = power_type(t)?;
    let (Some(base), Some(exponent)) = (a.float(0)?, a.float(1)?) else {
        return Ok(Value::Null);
    };
    if base == 0.0 && exponent < 0.0 {
        return Err(decimal::divide_by_zero());
    }
    let raised = checked(base.powf(exponent))?;
    if matches!(ty, SqlType::Int | SqlType::BigInt) {
        let exact = types::integer(&v[0])
            .zip(u32::try_from(exponent as i64).ok())
            .filter(|_| exponent.fract() == 0.0);
        let whole = exact
            .and_then(|(base, exponent)| base.checked_pow(exponent))
            .unwrap_or(raised.trunc() as i128);
        let most = if ty == INT {
            u128::from(i32::MAX.unsigned_abs())
        } else {
            u128::from(i64::MAX.unsigned_abs())
        };
        if whole.unsigned_abs() > most {
            let message = format!(
                "Arithmetic overflow error for type {}, value = {raised:.6}.",
                types::name(&ty)
            );
            return Err(error(232, 16, message));
        }
        return types::fit_integer(whole, &ty);
    }
    convert(
        &Value::Float(raised),
        Conversion {
            from: &FLOAT,
            to: &ty,
            style: 0,
            collate: &cx.collation,
            dateformat: &cx.dateformat,
        },
    )
}

fn unary(v: &[Value], t: &[SqlType], cx: &EvalContext, function: Unary) -> Result<Value, SqlError> {
    match Arguments::new(v, t, cx).float(0)? {
        Some(value) => checked(function(value)).map(Value::Float),
        None => Ok(Value::Null),
    }
}

/// SQL Server knows neither infinities nor NaN.
fn checked(value: f64) -> Result<f64, SqlError> {
    if value.is_nan() {
        return Err(error(
            3623,
            16,
            "An invalid floating point operation occurred.",
        ));
    }
    if value.is_infinite() {
        return Err(overflow("float"));
    }
    Ok(value)
}

fn log(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let a = Arguments::new(v, t, cx);
    let base = if a.is_absent(1) {
        Some(std::f64::consts::E)
    } else {
        a.float(1)?
    };
    let (Some(value), Some(base)) = (a.float(0)?, base) else {
        return Ok(Value::Null);
    };
    if value <= 0.0 || base <= 0.0 || base == 1.0 {
        return Err(error(
            3623,
            16,
            "An invalid floating point operation occurred.",
        ));
    }
    let log = if a.is_absent(1) {
        value.ln()
    } else {
        value.ln() / base.ln()
    };
    checked(log).map(Value::Float)
}

fn atn2(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let a = Arguments::new(v, t, cx);
    let (Some(y), Some(x)) = (a.float(0)?, a.float(1)?) else {
        return Ok(Value::Null);
    };
    if y == 0.0 && x == 0.0 {
        return Err(error(
            3623,
            16,
            "An invalid floating point operation occurred.",
        ));
    }
    Ok(Value::Float(y.atan2(x)))
}

/// With a seed, L'Ecuyer's combined generator as SQL Server runs it: `RAND(1)` is 0.713591993212924 there too.
/// Without one, random.
fn rand(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    const M1: i64 = 2_147_483_563;
    const M2: i64 = 2_147_483_399;
    const SECOND_SEED: i64 = 67_890;
    let a = Arguments::new(v, t, cx);
    if a.is_absent(0) {
        let bits = uuid::Uuid::new_v4().as_u128() as u64 & ((1 << 52) - 1);
        return Ok(Value::Float(bits as f64 / (1u64 << 52) as f64));
    }
    let Some(seed) = a.int(0)? else {
        return Ok(Value::Null);
    };
    // The server's own seed when none is given for the generator's first half.
    let seed = if seed == 0 { 12_345 } else { i64::from(seed) };
    let difference = (40_014 * seed).rem_euclid(M1) - 40_692 * SECOND_SEED % M2;
    let positive = if difference < 1 {
        difference + M1 - 1
    } else {
        difference
    };
    Ok(Value::Float(positive as f64 * 4.656_613e-10))
}
