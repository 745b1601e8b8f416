//! The narrowest type that holds every value of two types of one column, where Iceberg can follow in place.

use crate::schema::{Column, SqlType};

/// What a column is recorded as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Union {
    pub(super) ty: SqlType,
    /// The lake gets a companion that the old type had no need of.
    pub(super) companions_grow: bool,
}

/// Types whose values the lake keeps in one Iceberg type, or in two of which one is a promotion of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    /// By width.
    Integer(u8),
    Approximate(u8),
    Exact {
        precision: u8,
        scale: u8,
        is_money: bool,
    },
    /// Text in the column's code page, bytes at most (none: `max`).
    CodePage(Option<u16>),
    /// Text in Unicode, UTF-16 units at most.
    Unicode(Option<u16>),
    Bytes(Option<u16>),
    Time(u8),
    /// Digits after the second.
    Timestamp(u8),
    TimestampTz(u8),
    /// Nothing but itself.
    Alone,
}

fn family(ty: SqlType) -> Family {
    let exact = |precision, scale, is_money| Family::Exact {
        precision,
        scale,
        is_money,
    };
    match ty {
        SqlType::TinyInt => Family::Integer(1),
        SqlType::SmallInt => Family::Integer(2),
        SqlType::Int => Family::Integer(4),
        SqlType::BigInt => Family::Integer(8),
        SqlType::Real => Family::Approximate(4),
        SqlType::Float => Family::Approximate(8),
        SqlType::Decimal { precision, scale } | SqlType::Numeric { precision, scale } => {
            exact(precision, scale, false)
        }
        SqlType::Money => exact(19, 4, true),
        SqlType::SmallMoney => exact(10, 4, true),
        SqlType::Char { length } => Family::CodePage(Some(length)),
        SqlType::VarChar { length } => Family::CodePage(length),
        SqlType::Text => Family::CodePage(None),
        SqlType::NChar { length } => Family::Unicode(Some(length)),
        SqlType::NVarChar { length } => Family::Unicode(length),
        SqlType::NText | SqlType::Xml | SqlType::Json => Family::Unicode(None),
        SqlType::Binary { length } => Family::Bytes(Some(length)),
        SqlType::VarBinary { length } => Family::Bytes(length),
        SqlType::Image => Family::Bytes(None),
        SqlType::Time { scale } => Family::Time(scale),
        SqlType::SmallDateTime => Family::Timestamp(0),
        SqlType::DateTime => Family::Timestamp(3),
        SqlType::DateTime2 { scale } => Family::Timestamp(scale),
        SqlType::DateTimeOffset { scale } => Family::TimestampTz(scale),
        SqlType::Bit
        | SqlType::Date
        | SqlType::UniqueIdentifier
        | SqlType::RowVersion
        | SqlType::SqlVariant
        | SqlType::HierarchyId
        | SqlType::Geometry
        | SqlType::Geography
        | SqlType::Vector { .. } => Family::Alone,
    }
}

/// The type to record for a column that was `old` and is `new`; the error says why there is none.
pub(super) fn union(old: &Column, new: &Column) -> Result<Union, String> {
    let page = |column: &Column| column.collation.as_ref().map(|c| c.code_page);
    let same_page = page(old) == page(new);
    let of_code_page = matches!(family(old.ty), Family::CodePage(_));
    if old.ty == new.ty && (same_page || !of_code_page) {
        return Ok(Union {
            ty: old.ty,
            companions_grow: false,
        });
    }
    let ty = wider(old.ty, new.ty, same_page)?;
    Ok(Union {
        ty,
        companions_grow: has_ticks(ty) && !has_ticks(old.ty),
    })
}

/// The type that holds the values of two. `same_page`: text of both is in one code page.
fn wider(old: SqlType, new: SqlType, same_page: bool) -> Result<SqlType, String> {
    Ok(match (family(old), family(new)) {
        (Family::Integer(was), Family::Integer(is))
        | (Family::Approximate(was), Family::Approximate(is)) => {
            if is > was {
                new
            } else {
                old
            }
        }
        (
            Family::Exact {
                precision: was,
                scale,
                is_money: money_before,
            },
            Family::Exact {
                precision: is,
                scale: scale_now,
                is_money: money_now,
            },
        ) => {
            if scale != scale_now {
                return Err("a decimal in Iceberg cannot change its scale".into());
            }
            // Money holds less than a decimal of its digits.
            if is > was || (is == was && money_before && !money_now) {
                new
            } else {
                old
            }
        }
        (Family::CodePage(was), Family::CodePage(is)) if same_page => {
            held(old, new, was, is, |length| SqlType::VarChar { length })
        }
        (Family::Unicode(was), Family::Unicode(is)) => {
            held(old, new, was, is, |length| SqlType::NVarChar { length })
        }
        // A byte of a code page is at most one UTF-16 unit.
        (
            Family::CodePage(was) | Family::Unicode(was),
            Family::CodePage(is) | Family::Unicode(is),
        ) => {
            let length = longer(was, is).filter(|&units| units <= 4000);
            SqlType::NVarChar { length }
        }
        (Family::Bytes(was), Family::Bytes(is)) => {
            held(old, new, was, is, |length| SqlType::VarBinary { length })
        }
        (Family::Time(was), Family::Time(is)) => SqlType::Time { scale: was.max(is) },
        (Family::TimestampTz(was), Family::TimestampTz(is)) => {
            SqlType::DateTimeOffset { scale: was.max(is) }
        }
        (Family::Timestamp(was), Family::Timestamp(is)) => timestamps(old, new, was.max(is)),
        (_, _) => {
            return Err("the lake cannot keep both in one column without changing values".into());
        }
    })
}

/// Whether values have the seventh digit of a second.
fn has_ticks(ty: SqlType) -> bool {
    match family(ty) {
        Family::Time(scale) | Family::Timestamp(scale) | Family::TimestampTz(scale) => scale > 6,
        Family::Integer(_)
        | Family::Approximate(_)
        | Family::Exact { .. }
        | Family::CodePage(_)
        | Family::Unicode(_)
        | Family::Bytes(_)
        | Family::Alone => false,
    }
}

/// `datetime` and `smalldatetime` hold fewer dates than `datetime2`, so together with it only that holds all.
fn timestamps(old: SqlType, new: SqlType, scale: u8) -> SqlType {
    let is_wide = |ty| matches!(ty, SqlType::DateTime2 { .. });
    if is_wide(old) || is_wide(new) {
        SqlType::DateTime2 { scale }
    } else {
        SqlType::DateTime
    }
}

/// `None` is `max`.
fn longer(was: Option<u16>, is: Option<u16>) -> Option<u16> {
    was.zip(is).map(|(was, is)| was.max(is))
}

/// One of the two types where it holds the values of both, else the varying type of the longer length. A type of
/// fixed length holds no shorter value: it would pad it. The old type stays where it can.
fn held(
    old: SqlType,
    new: SqlType,
    was: Option<u16>,
    is: Option<u16>,
    varying: impl Fn(Option<u16>) -> SqlType,
) -> SqlType {
    let length = longer(was, is);
    let fixed = |ty| {
        matches!(
            ty,
            SqlType::Char { .. }
                | SqlType::NChar { .. }
                | SqlType::Binary { .. }
                | SqlType::Xml
                | SqlType::Json
        )
    };
    if !fixed(old) && was == length {
        old
    } else if !fixed(new) && is == length {
        new
    } else {
        varying(length)
    }
}
