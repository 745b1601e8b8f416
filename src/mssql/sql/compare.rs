//! What of a value is compared, so that only equal values are taken for equal.

use super::variant;
use crate::schema::SqlType;
use crate::schema::types::Compare;

/// What of a value is compared; see [`Compare`].
pub(super) fn compared(ty: SqlType, value: &str) -> Vec<String> {
    let bytes = |length: Option<u16>| match length {
        Some(length) => format!("CONVERT(varbinary({length}), {value})"),
        None => format!("CONVERT(varbinary(max), {value})"),
    };
    let length = format!("DATALENGTH({value})");
    match ty.facts().compare {
        Compare::Value => vec![value.to_owned()],
        Compare::Bytes(count) => vec![bytes(Some(count))],
        Compare::BytesAndLength(count) => vec![bytes(count), length],
        Compare::ValueAndLength => vec![value.to_owned(), length],
        Compare::ValueAndOffset => {
            vec![value.to_owned(), format!("DATEPART(tzoffset, {value})")]
        }
        Compare::LongCodePage => vec![
            format!("CONVERT(varbinary(max), CONVERT(varchar(max), {value}))"),
            length,
        ],
        Compare::LongUnicode => vec![
            format!("CONVERT(varbinary(max), CONVERT(nvarchar(max), {value}))"),
            format!("DATALENGTH(CONVERT(nvarchar(max), {value}))"),
        ],
        Compare::LongBytes => vec![bytes(None), format!("DATALENGTH({})", bytes(None))],
        Compare::TypedText => {
            let text = variant::text(value);
            vec![
                variant::base_type(value),
                format!("CONVERT(varbinary(max), {text})"),
            ]
        }
        Compare::Nothing => Vec::new(),
    }
}

/// What of a key is compared to tell equal keys apart. The offset of an instant is not part of a key in the lake, so a
/// delete does not bring it.
pub(super) fn spelled(ty: SqlType, value: &str) -> Vec<String> {
    match ty.facts().compare {
        Compare::ValueAndOffset => vec![value.to_owned()],
        Compare::Value
        | Compare::Bytes(_)
        | Compare::BytesAndLength(_)
        | Compare::ValueAndLength
        | Compare::LongCodePage
        | Compare::LongUnicode
        | Compare::LongBytes
        | Compare::TypedText
        | Compare::Nothing => compared(ty, value),
    }
}

/// Whether two different values of a type compare equal: case and trailing spaces of text, trailing zeros of a
/// `varbinary`, offsets of one instant.
pub(super) fn has_equals(ty: SqlType) -> bool {
    ty.is_text()
        || match ty.facts().compare {
            Compare::Bytes(_) | Compare::ValueAndLength | Compare::ValueAndOffset => true,
            Compare::Value
            | Compare::BytesAndLength(_)
            | Compare::LongCodePage
            | Compare::LongUnicode
            | Compare::LongBytes
            | Compare::TypedText
            | Compare::Nothing => false,
        }
}
