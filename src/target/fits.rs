//! Which types of a target hold every value of a type of the lake.

use crate::schema::{Collation, SqlType};

/// Windows code page number of UTF-8.
const UTF_8: u32 = 65001;

/// Whether every value of the source type is a value of the target type, unchanged.
pub(super) fn fits(
    (from, from_collation): (SqlType, Option<&Collation>),
    (to, to_collation): (SqlType, Option<&Collation>),
) -> bool {
    use SqlType as T;
    match from {
        T::Bit | T::TinyInt | T::SmallInt | T::Int | T::BigInt => integer_fits(from, to),
        T::Decimal { precision, scale } | T::Numeric { precision, scale } => {
            decimal_holds(to, precision - scale.min(precision), scale)
        }
        T::Money => to == T::Money || decimal_holds(to, 15, 4),
        T::SmallMoney => matches!(to, T::SmallMoney | T::Money) || decimal_holds(to, 6, 4),
        T::Real => matches!(to, T::Real | T::Float),
        T::Float => to == T::Float,
        T::Date => matches!(to, T::Date | T::DateTime2 { .. }),
        T::Time { scale } => matches!(to, T::Time { scale: kept } if kept >= scale),
        T::DateTime => to == T::DateTime || matches!(to, T::DateTime2 { scale } if scale >= 3),
        T::SmallDateTime => {
            matches!(to, T::SmallDateTime | T::DateTime | T::DateTime2 { .. })
        }
        T::DateTime2 { scale } => matches!(to, T::DateTime2 { scale: kept } if kept >= scale),
        T::DateTimeOffset { scale } => {
            matches!(to, T::DateTimeOffset { scale: kept } if kept >= scale)
        }
        T::Char { length } => {
            // A wider char would pad the value.
            let same_length = matches!(to, T::Char { length: kept } if kept == length);
            let pages = (page(from_collation), page(to_collation));
            (same_length && pages.0 == pages.1)
                || text_fits(Some(length), from_collation, to, to_collation)
        }
        T::VarChar { length } => text_fits(length, from_collation, to, to_collation),
        T::Text => text_fits(None, from_collation, to, to_collation),
        T::NChar { length } => {
            matches!(to, T::NChar { length: kept } if kept == length)
                || national_fits(Some(length), to, to_collation)
        }
        T::NVarChar { length } => national_fits(length, to, to_collation),
        T::NText => national_fits(None, to, to_collation),
        T::Binary { length } => {
            matches!(to, T::Binary { length: kept } if kept == length)
                || binary_holds(to, Some(length))
        }
        T::RowVersion => to == T::Binary { length: 8 } || binary_holds(to, Some(8)),
        T::VarBinary { length } => binary_holds(to, length),
        T::Image => binary_holds(to, None),
        T::UniqueIdentifier
        | T::SqlVariant
        | T::HierarchyId
        | T::Geometry
        | T::Geography
        | T::Vector { .. } => to == from,
        T::Xml | T::Json => to == from || to == T::NVarChar { length: None },
    }
}

fn integer_fits(from: SqlType, to: SqlType) -> bool {
    // By rank, with the digits that the longest number has.
    const RANKS: [(SqlType, u8); 5] = [
        (SqlType::Bit, 1),
        (SqlType::TinyInt, 3),
        (SqlType::SmallInt, 5),
        (SqlType::Int, 10),
        (SqlType::BigInt, 19),
    ];
    let rank = |ty| {
        let mut ranks = RANKS.iter().enumerate();
        ranks.find_map(|(rank, &(ranked, digits))| (ranked == ty).then_some((rank, digits)))
    };
    let Some((from_rank, digits)) = rank(from) else {
        return false;
    };
    rank(to).is_some_and(|(to_rank, _)| to_rank >= from_rank) || decimal_holds(to, digits, 0)
}

fn decimal_holds(to: SqlType, integer_digits: u8, scale: u8) -> bool {
    matches!(
        to,
        SqlType::Decimal { precision, scale: kept } | SqlType::Numeric { precision, scale: kept }
            if kept >= scale && precision.saturating_sub(kept) >= integer_digits
    )
}

fn binary_holds(to: SqlType, length: Option<u16>) -> bool {
    to == SqlType::Image || matches!(to, SqlType::VarBinary { length: kept } if holds(kept, length))
}

/// `None` is `max`.
fn holds(kept: Option<u16>, needed: Option<u16>) -> bool {
    match (kept, needed) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(kept), Some(needed)) => kept >= needed,
    }
}

fn page(collation: Option<&Collation>) -> Option<u32> {
    collation.map(|collation| collation.code_page)
}

/// Text of a code page, `length` bytes. As Unicode it has at most as many UTF-16 units; as UTF-8 at most three
/// bytes for each.
fn text_fits(
    length: Option<u16>,
    from: Option<&Collation>,
    to: SqlType,
    to_collation: Option<&Collation>,
) -> bool {
    let same_page = page(from) == page(to_collation);
    let in_code_page = |kept: Option<u16>| {
        if same_page {
            holds(kept, length)
        } else {
            page(to_collation) == Some(UTF_8) && holds(kept, length.and_then(|n| n.checked_mul(3)))
        }
    };
    to == SqlType::NText
        || (to == SqlType::Text && in_code_page(None))
        || matches!(to, SqlType::VarChar { length: kept } if in_code_page(kept))
        || matches!(to, SqlType::NVarChar { length: kept } if holds(kept, length))
}

/// Unicode text, `length` UTF-16 units.
fn national_fits(length: Option<u16>, to: SqlType, to_collation: Option<&Collation>) -> bool {
    let in_utf8 = |kept: Option<u16>| {
        page(to_collation) == Some(UTF_8) && holds(kept, length.and_then(|n| n.checked_mul(3)))
    };
    to == SqlType::NText
        || matches!(to, SqlType::NVarChar { length: kept } if holds(kept, length))
        || matches!(to, SqlType::VarChar { length: kept } if in_utf8(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collation(code_page: u32) -> Collation {
        Collation {
            name: "Latin1_General_CI_AS".into(),
            code_page,
        }
    }

    fn fits_in(from: SqlType, to: SqlType) -> bool {
        let page = collation(1252);
        fits((from, Some(&page)), (to, Some(&page)))
    }

    #[test]
    fn wider_fits_and_narrower_or_other_does_not() {
        use SqlType as T;
        let decimal = |precision, scale| T::Decimal { precision, scale };
        for (from, to) in [
            (T::Bit, T::TinyInt),
            (T::Int, T::BigInt),
            (T::BigInt, decimal(19, 0)),
            (decimal(18, 4), decimal(20, 5)),
            (T::Money, decimal(19, 4)),
            (T::Real, T::Float),
            (T::DateTime, T::DateTime2 { scale: 3 }),
            (T::DateTime2 { scale: 3 }, T::DateTime2 { scale: 7 }),
            (
                T::VarChar { length: Some(10) },
                T::NVarChar { length: Some(10) },
            ),
            (
                T::NVarChar { length: Some(10) },
                T::NVarChar { length: None },
            ),
            (T::RowVersion, T::Binary { length: 8 }),
            (T::Image, T::VarBinary { length: None }),
            (T::Xml, T::NVarChar { length: None }),
        ] {
            assert!(fits_in(from, to), "{from} into {to}");
        }
        for (from, to) in [
            (T::BigInt, T::Int),
            (T::Int, decimal(9, 0)),
            (decimal(20, 5), decimal(20, 4)),
            (decimal(20, 4), decimal(20, 5)),
            (T::Float, T::Real),
            (T::DateTime2 { scale: 7 }, T::DateTime),
            (T::DateTime2 { scale: 0 }, T::DateTime),
            (
                T::NVarChar { length: Some(11) },
                T::NVarChar { length: Some(10) },
            ),
            (
                T::NVarChar { length: None },
                T::NVarChar { length: Some(4000) },
            ),
            (T::NVarChar { length: Some(5) }, T::VarChar { length: None }),
            (T::VarChar { length: Some(5) }, T::Char { length: 5 }),
            (T::Char { length: 5 }, T::Char { length: 6 }),
            (T::Int, T::NVarChar { length: None }),
            (T::Geometry, T::Geography),
        ] {
            assert!(!fits_in(from, to), "{from} into {to}");
        }
    }

    #[test]
    fn text_of_another_code_page_fits_only_utf_8_with_room() {
        let (big5, utf8) = (collation(950), collation(UTF_8));
        let varchar = |length| SqlType::VarChar {
            length: Some(length),
        };
        let from = (varchar(10), Some(&big5));
        assert!(!fits(from, (varchar(10), Some(&collation(1252)))));
        assert!(!fits(from, (varchar(29), Some(&utf8))));
        assert!(fits(from, (varchar(30), Some(&utf8))));
    }
}
