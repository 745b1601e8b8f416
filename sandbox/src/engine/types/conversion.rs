//! Which types convert to which, and what two types become together.

use super::*;
use crate::engine::fault::error;
use crate::session::SqlError;
use crate::value::SqlType;

/// Data type precedence: the higher wins.
pub fn precedence(ty: &SqlType) -> u8 {
    match ty {
        SqlType::HierarchyId | SqlType::Geometry | SqlType::Geography => 40,
        SqlType::SqlVariant => 39,
        SqlType::Xml => 38,
        SqlType::DateTimeOffset(_) => 37,
        SqlType::DateTime2(_) => 36,
        SqlType::DateTime => 35,
        SqlType::SmallDateTime => 34,
        SqlType::Date => 33,
        SqlType::Time(_) => 32,
        SqlType::Float => 31,
        SqlType::Real => 30,
        SqlType::Decimal { .. } => 29,
        SqlType::Money => 28,
        SqlType::SmallMoney => 27,
        SqlType::BigInt => 26,
        SqlType::Int => 25,
        SqlType::SmallInt => 24,
        SqlType::TinyInt => 23,
        SqlType::Bit => 22,
        SqlType::NText => 21,
        SqlType::Text => 20,
        SqlType::Image => 19,
        SqlType::RowVersion => 18,
        SqlType::UniqueIdentifier => 17,
        SqlType::NVarChar(_) => 16,
        SqlType::NChar(_) => 15,
        SqlType::VarChar(_) => 14,
        SqlType::Char(_) => 13,
        SqlType::VarBinary(_) => 12,
        SqlType::Binary(_) => 11,
    }
}

/// The type that both convert to for comparison, CASE, UNION and COALESCE.
pub fn common(a: &SqlType, b: &SqlType) -> Result<SqlType, SqlError> {
    if a == b {
        return Ok(a.clone());
    }
    let (high, low) = if precedence(a) >= precedence(b) {
        (a, b)
    } else {
        (b, a)
    };
    let merged = merged(high, low);
    if !implicit(low, &merged) {
        return Err(error(
            206,
            16,
            format!(
                "Operand type clash: {} is incompatible with {}",
                name(low),
                name(&merged)
            ),
        ));
    }
    Ok(merged)
}

/// The type of the higher precedence, with room for the values of the lower one where it has a length or digits.
fn merged(high: &SqlType, low: &SqlType) -> SqlType {
    let longest = |max: u16| -> Option<u16> {
        match (length(high), length(low)) {
            (Some(x), Some(y)) => Some(x.max(y).min(max)),
            _ => None,
        }
    };
    match high {
        SqlType::Decimal { numeric, .. } => {
            let (p1, s1) = precision_scale(high);
            let (p2, s2) = match low {
                l if is_number(l) && !matches!(l, SqlType::Real | SqlType::Float) => {
                    precision_scale(l)
                }
                _ => (p1, s1),
            };
            let scale = s1.max(s2);
            let integral = (p1 - s1).max(p2 - s2);
            let (precision, scale) = decimal::fit_additive(integral, scale);
            SqlType::Decimal {
                precision,
                scale,
                numeric: *numeric,
            }
        }
        SqlType::NVarChar(_) | SqlType::NChar(_) if is_character(low) => {
            let n = longest(4000);
            match (high, low) {
                (SqlType::NChar(_), SqlType::NChar(_) | SqlType::Char(_)) => {
                    SqlType::NChar(n.unwrap_or(4000))
                }
                _ => SqlType::NVarChar(n),
            }
        }
        SqlType::VarChar(_) | SqlType::Char(_) if is_character(low) => {
            let n = longest(8000);
            match (high, low) {
                (SqlType::Char(_), SqlType::Char(_)) => SqlType::Char(n.unwrap_or(8000)),
                _ => SqlType::VarChar(n),
            }
        }
        SqlType::VarBinary(_) | SqlType::Binary(_) if is_binary(low) => {
            let n = longest(8000);
            match (high, low) {
                (SqlType::Binary(_), SqlType::Binary(_)) => SqlType::Binary(n.unwrap_or(8000)),
                _ => SqlType::VarBinary(n),
            }
        }
        SqlType::Time(s) => SqlType::Time(fraction_of(low).max(*s)),
        SqlType::DateTime2(s) => SqlType::DateTime2(fraction_of(low).max(*s)),
        SqlType::DateTimeOffset(s) => SqlType::DateTimeOffset(fraction_of(low).max(*s)),
        other => other.clone(),
    }
}

pub(super) fn fraction_of(ty: &SqlType) -> u8 {
    match ty {
        SqlType::Time(s) | SqlType::DateTime2(s) | SqlType::DateTimeOffset(s) => *s,
        // A datetime widened to datetime2 keeps its 1/300 s exactly to the seventh digit (compatibility level 130).
        SqlType::DateTime => 7,
        _ => 0,
    }
}

/// Whether SQL Server converts without being asked.
pub fn implicit(from: &SqlType, to: &SqlType) -> bool {
    if std::mem::discriminant(from) == std::mem::discriminant(to) {
        return true;
    }
    match (from, to) {
        (SqlType::SqlVariant, _) => false,
        (f, SqlType::SqlVariant) => !matches!(
            f,
            SqlType::Text
                | SqlType::NText
                | SqlType::Image
                | SqlType::Xml
                | SqlType::RowVersion
                | SqlType::HierarchyId
                | SqlType::Geometry
                | SqlType::Geography
        ),
        (f, t) => explicit(f, t) && !needs_cast(f, t),
    }
}

pub(super) fn needs_cast(from: &SqlType, to: &SqlType) -> bool {
    let modern = |ty: &SqlType| {
        matches!(
            ty,
            SqlType::Date | SqlType::Time(_) | SqlType::DateTime2(_) | SqlType::DateTimeOffset(_)
        )
    };
    (is_temporal(from) && is_number(to))
        || (is_character(from) && is_binary(to) && !matches!(to, SqlType::RowVersion))
        || (is_character(from) && matches!(to, SqlType::RowVersion))
        || (matches!(from, SqlType::Xml) && !matches!(to, SqlType::Xml))
        || (modern(from) && is_binary(to))
        || (is_binary(from) && modern(to))
        || (matches!(from, SqlType::Money | SqlType::SmallMoney) && is_character(to))
}

/// Whether CAST can try at all (error 529 otherwise).
pub fn explicit(from: &SqlType, to: &SqlType) -> bool {
    if std::mem::discriminant(from) == std::mem::discriminant(to) {
        return true;
    }
    let lob = |ty: &SqlType| matches!(ty, SqlType::Text | SqlType::NText | SqlType::Image);
    let clr = |ty: &SqlType| {
        matches!(
            ty,
            SqlType::HierarchyId | SqlType::Geometry | SqlType::Geography
        )
    };
    match (from, to) {
        (SqlType::SqlVariant, t) => {
            !lob(t) && !clr(t) && !matches!(t, SqlType::Xml | SqlType::RowVersion)
        }
        (f, SqlType::SqlVariant) => {
            !lob(f) && !clr(f) && !matches!(f, SqlType::Xml | SqlType::RowVersion)
        }
        (SqlType::RowVersion, SqlType::NChar(_) | SqlType::NVarChar(_)) => false,
        (f, t) if clr(f) || clr(t) => {
            is_binary(f) || is_binary(t) || is_character(f) || is_character(t)
        }
        (SqlType::Xml, t) => is_character(t) || is_binary(t),
        (f, SqlType::Xml) => is_character(f) || is_binary(f),
        (SqlType::Text | SqlType::NText, t) => is_character(t),
        (SqlType::Image, t) => is_binary(t),
        (f, t) if lob(t) => {
            (is_character(f) && is_character(t)) || (is_binary(f) && matches!(t, SqlType::Image))
        }
        (SqlType::UniqueIdentifier, t) => is_character(t) || is_binary(t),
        (f, SqlType::UniqueIdentifier) => is_character(f) || is_binary(f),
        (SqlType::Date, SqlType::Time(_)) | (SqlType::Time(_), SqlType::Date) => false,
        (f, t) if is_temporal(f) && is_number(t) => {
            matches!(f, SqlType::DateTime | SqlType::SmallDateTime)
        }
        (f, t) if is_number(f) && is_temporal(t) => {
            matches!(t, SqlType::DateTime | SqlType::SmallDateTime)
        }
        (SqlType::Real | SqlType::Float, t) if is_binary(t) => true,
        (f, SqlType::Real | SqlType::Float) if is_binary(f) => false,
        _ => true,
    }
}
