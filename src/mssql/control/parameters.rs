//! Statements with parameters as the driver wants them.

use crate::mssql::sql::{ParamValue, Statement};
use std::borrow::Cow;

/// The statement with its parameters bound. The driver names them `@P1`; names of variables may be case-sensitive
/// on the server.
pub(super) fn bound(statement: &Statement) -> tiberius::Query<'_> {
    let mut query = tiberius::Query::new(capital_parameters(&statement.sql));
    for value in &statement.params {
        match value {
            ParamValue::Text(text) => query.bind(text.as_deref().map(Cow::Borrowed)),
            ParamValue::Int(int) => query.bind(*int),
            ParamValue::Bytes(bytes) => query.bind(bytes.as_deref().map(Cow::Borrowed)),
        }
    }
    query
}

/// Replaces `@p<digits>` by `@P<digits>` outside literals, bracketed names and comments.
fn capital_parameters(sql: &str) -> String {
    let mut out = Vec::with_capacity(sql.len());
    let bytes = sql.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let skip = match rest {
            [b'\'', ..] => quoted_length(rest, b'\''),
            [b'"', ..] => quoted_length(rest, b'"'),
            [b'[', ..] => quoted_length(rest, b']'),
            [b'-', b'-', ..] => rest
                .iter()
                .position(|&byte| byte == b'\n')
                .unwrap_or(rest.len()),
            [b'/', b'*', ..] => rest
                .windows(2)
                .position(|pair| pair == b"*/")
                .map_or(rest.len(), |end| end + 2),
            [b'@', b'p', digit, ..] if digit.is_ascii_digit() => {
                let preceded = at > 0 && is_name_byte(bytes[at - 1]);
                let digits = rest[2..]
                    .iter()
                    .take_while(|byte| byte.is_ascii_digit())
                    .count();
                let followed = rest.get(2 + digits).copied().is_some_and(is_name_byte);
                if !preceded && !followed {
                    out.extend_from_slice(b"@P");
                    at += 2;
                }
                if preceded || followed { 1 } else { digits }
            }
            _ => 1,
        };
        out.extend_from_slice(&bytes[at..at + skip]);
        at += skip;
    }
    // Only ASCII was changed.
    String::from_utf8_lossy(&out).into_owned()
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'@' | b'#' | b'$') || byte >= 0x80
}

/// Length of a quoted piece with its quotes; a doubled closing quote continues it.
fn quoted_length(text: &[u8], close: u8) -> usize {
    let mut at = 1;
    while at < text.len() {
        if text[at] == close {
            if text.get(at + 1) != Some(&close) {
                return at + 1;
            }
            at += 1;
        }
        at += 1;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_renamed_only_where_they_are_parameters() {
        for (sql, expected) in [
            ("SELECT @p1, @p12", "SELECT @P1, @P12"),
            (
                "SELECT '@p1 it''s @p2', [@p1]]@p2], \"@p1\", @p3",
                "SELECT '@p1 it''s @p2', [@p1]]@p2], \"@p1\", @P3",
            ),
            ("-- @p1\n@p1 /* @p1 */ @p1", "-- @p1\n@P1 /* @p1 */ @P1"),
            (
                "@@p1 @p1x @p @P1 訂@p1 @p1=@p2",
                "@@p1 @p1x @p @P1 訂@p1 @P1=@P2",
            ),
            ("'unclosed @p1", "'unclosed @p1"),
        ] {
            assert_eq!(capital_parameters(sql), expected);
        }
    }
}
