//! One order for everything: values as bytes whose plain order is SQL Server's order.
//!
//! Indexes, hash joins, GROUP BY, DISTINCT, ORDER BY and `=` all use the same encoding, so that they cannot
//! disagree about equality. Both sides must have the same type first. Each encoded value is self-delimiting, so
//! that a composite key's prefix is a key's prefix.

use crate::engine::collation::Collate;
use crate::value::Value;
use std::cmp::Ordering;

/// SQL Server compares the last six bytes of a uniqueidentifier first, then the groups before it from the right.
const GUID_ORDER: [usize; 16] = [10, 11, 12, 13, 14, 15, 8, 9, 6, 7, 4, 5, 0, 1, 2, 3];

/// Appends the value's key; NULL comes first.
pub fn encode(value: &Value, collate: Option<&Collate>, out: &mut Vec<u8>) {
    if matches!(value, Value::Null) {
        out.push(0);
        return;
    }
    out.push(1);
    match value {
        Value::Null => {}
        Value::Bit(v) => out.push(u8::from(*v)),
        Value::TinyInt(v) => out.push(*v),
        Value::SmallInt(v) => out.extend_from_slice(&((*v as u16) ^ (1 << 15)).to_be_bytes()),
        Value::Int(v) => out.extend_from_slice(&((*v as u32) ^ (1 << 31)).to_be_bytes()),
        Value::BigInt(v) | Value::Money(v) => {
            out.extend_from_slice(&((*v as u64) ^ (1 << 63)).to_be_bytes())
        }
        Value::Decimal { unscaled, .. } => {
            out.extend_from_slice(&((*unscaled as u128) ^ (1 << 127)).to_be_bytes())
        }
        Value::Real(v) => float_key(f64::from(*v), out),
        Value::Float(v) => float_key(*v, out),
        Value::Date(days) => out.extend_from_slice(&(*days as u32).to_be_bytes()),
        Value::Time(ticks) => out.extend_from_slice(&ticks.to_be_bytes()),
        Value::DateTime { days, ticks } => {
            out.extend_from_slice(&((*days as u32) ^ (1 << 31)).to_be_bytes());
            out.extend_from_slice(&ticks.to_be_bytes());
        }
        Value::SmallDateTime { days, minutes } => {
            out.extend_from_slice(&days.to_be_bytes());
            out.extend_from_slice(&minutes.to_be_bytes());
        }
        // The offset does not count: equal instants are equal.
        Value::DateTime2 { days, ticks } | Value::DateTimeOffset { days, ticks, .. } => {
            out.extend_from_slice(&(*days as u32).to_be_bytes());
            out.extend_from_slice(&ticks.to_be_bytes());
        }
        Value::Str(units) => match collate {
            Some(collate) => collate.sort_key(units, out),
            None => Collate::server().sort_key(units, out),
        },
        Value::Bytes(bytes) => bytes_key(bytes, out),
        Value::Guid(bytes) => out.extend(GUID_ORDER.map(|index| bytes[index])),
        Value::Variant(inner) => {
            out.push(variant_family(&inner.1));
            encode(&variant_key(&inner.1), collate, out);
        }
    }
}

/// Variants compare by the family of their base types first.
fn variant_family(value: &Value) -> u8 {
    match value {
        Value::Bytes(_) => 1,
        Value::Guid(_) => 2,
        Value::Str(_) => 3,
        Value::Bit(_)
        | Value::TinyInt(_)
        | Value::SmallInt(_)
        | Value::Int(_)
        | Value::BigInt(_)
        | Value::Decimal { .. }
        | Value::Money(_) => 4,
        Value::Real(_) | Value::Float(_) => 5,
        Value::Date(_)
        | Value::Time(_)
        | Value::DateTime { .. }
        | Value::SmallDateTime { .. }
        | Value::DateTime2 { .. }
        | Value::DateTimeOffset { .. } => 6,
        Value::Null | Value::Variant(_) => 0,
    }
}

/// Exact numbers of different base types compare by value.
fn variant_key(value: &Value) -> Value {
    let exact = |unscaled: i128, scale: u8| {
        crate::engine::types::decimal::rescale(unscaled, scale, 10).map(|unscaled| Value::Decimal {
            unscaled,
            scale: 10,
        })
    };
    let widened = match value {
        Value::Decimal { unscaled, scale } => exact(*unscaled, *scale),
        Value::Money(units) => exact(i128::from(*units), 4),
        other => crate::engine::types::integer(other).and_then(|whole| exact(whole, 0)),
    };
    widened.unwrap_or_else(|| value.clone())
}

fn float_key(value: f64, out: &mut Vec<u8>) {
    let value = if value == 0.0 { 0.0 } else { value };
    let bits = value.to_bits();
    let flipped = if bits >> 63 == 1 {
        !bits
    } else {
        bits ^ (1 << 63)
    };
    out.extend_from_slice(&flipped.to_be_bytes());
}

/// Trailing zero bytes do not count when SQL Server compares binary strings.
fn bytes_key(bytes: &[u8], out: &mut Vec<u8>) {
    let end = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |i| i + 1);
    for byte in &bytes[..end] {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xFF);
        }
    }
    out.extend_from_slice(&[0, 0]);
}

/// Flips the bytes from `start`, for a descending key column.
pub fn invert(out: &mut [u8], start: usize) {
    for byte in &mut out[start..] {
        *byte = !*byte;
    }
}

/// The order of two values of one type; NULL first.
pub fn compare(left: &Value, right: &Value, collate: Option<&Collate>) -> Ordering {
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::BigInt(a), Value::BigInt(b)) => a.cmp(b),
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        (Value::Decimal { unscaled: a, .. }, Value::Decimal { unscaled: b, .. }) => a.cmp(b),
        (Value::Str(a), Value::Str(b)) => match collate {
            Some(collate) => collate.compare(a, b),
            None => Collate::server().compare(a, b),
        },
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
        _ => {
            let (mut a, mut b) = (Vec::with_capacity(24), Vec::with_capacity(24));
            encode(left, collate, &mut a);
            encode(right, collate, &mut b);
            a.cmp(&b)
        }
    }
}

/// The first key after every key that starts with `prefix`; none when there is none.
pub fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xFF)?;
    let mut out = prefix[..=last].to_vec();
    out[last] += 1;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::types::string;

    fn key(value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        encode(value, Some(&Collate::server()), &mut out);
        out
    }

    #[test]
    fn case_and_trailing_spaces_do_not_count() {
        assert_eq!(key(&string("Straße  ")), key(&string("STRASSE")));
        assert_ne!(key(&string("resume")), key(&string("résumé")));
        assert!(key(&string("a")) < key(&string("B")));
        assert!(key(&string("B")) < key(&string("c")));
        let cs = Collate::named("Latin1_General_100_CS_AS").unwrap();
        assert_eq!(cs.compare(&[0x61], &[0x41]), Ordering::Less);
        let bin = Collate::named("Latin1_General_100_BIN2").unwrap();
        assert_eq!(bin.compare(&[0x61], &[0x41]), Ordering::Greater);
        assert_eq!(bin.compare(&[0x61, 0x20], &[0x61]), Ordering::Equal);
        assert!(Collate::named("Nonsense_CI_AS").is_err());
        assert_eq!(
            Collate::named("Chinese_Taiwan_Stroke_CI_AS")
                .unwrap()
                .info
                .code_page,
            crate::collation::CodePage::Cp950
        );
        assert_eq!(
            Collate::named("Latin1_General_100_CI_AS_SC_UTF8")
                .unwrap()
                .info
                .code_page,
            crate::collation::CodePage::Utf8
        );
    }

    #[test]
    fn guids_order_by_their_last_group() {
        let mut low = [0xFF; 16];
        low[10] = 0;
        let mut high = [0; 16];
        high[10] = 1;
        assert!(key(&Value::Guid(low)) < key(&Value::Guid(high)));
    }

    #[test]
    fn numbers_order_across_zero() {
        assert!(key(&Value::Int(-1)) < key(&Value::Int(0)));
        assert!(key(&Value::Float(-1.5)) < key(&Value::Float(-0.0)));
        assert_eq!(key(&Value::Float(0.0)), key(&Value::Float(-0.0)));
        assert!(key(&Value::Null) < key(&Value::Int(i32::MIN)));
    }
}
