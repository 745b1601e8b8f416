//! Expressions that another server's catalog shows, and that a statement of ours takes in: filters, defaults, checks.
//!
//! An identifier can be quoted and a value can be a parameter; an expression can be neither. So it is taken in only
//! where nothing in it can end the parentheses that are around it. Whether it is a meaningful expression is for the
//! server to say: the statement around it is one statement whatever the expression holds, or a syntax error.

use std::fmt;

/// An expression in parentheses that end where the text ends. Made by [`enclosed`] only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enclosed(String);

impl fmt::Display for Enclosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not taken for one expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotEnclosed {
    #[error("it is empty")]
    Empty,
    #[error("its parentheses do not match")]
    Unbalanced,
    #[error("a literal, a quoted name or a comment in it does not end")]
    Unfinished,
    #[error("it holds a semicolon outside of literals and quoted names")]
    Semicolon,
    #[error("it holds a NUL character, or a line comment whose end is not certain")]
    Unclear,
}

/// What stands at a place of an expression.
enum Piece {
    Open,
    Close,
    /// A literal, a quoted name, a comment or a character of no meaning here.
    Other,
}

/// Checks an expression and puts it in parentheses, unless one pair is around all of it.
///
/// Known are literals (`'...'` with `''`), quoted names (`[...]` with `]]`, `"..."` with `""`, which is scanned alike
/// where it is a literal), line comments and nested block comments.
pub fn enclosed(text: &str) -> Result<Enclosed, NotEnclosed> {
    let text = text.trim();
    if text.is_empty() {
        return Err(NotEnclosed::Empty);
    }
    let (mut rest, mut depth) = (text, 0_usize);
    // Whether the first parenthesis closes with the last character.
    let mut is_pair = text.starts_with('(');
    while !rest.is_empty() {
        let (piece, length) = piece(rest)?;
        rest = &rest[length..];
        match piece {
            Piece::Open => depth += 1,
            Piece::Close => depth = depth.checked_sub(1).ok_or(NotEnclosed::Unbalanced)?,
            Piece::Other => {}
        }
        is_pair &= depth > 0 || rest.is_empty();
    }
    match (depth, is_pair) {
        (0, true) => Ok(Enclosed(text.to_owned())),
        (0, false) => Ok(Enclosed(format!("({text})"))),
        (_, _) => Err(NotEnclosed::Unbalanced),
    }
}

/// The piece that a text begins with, and its length in bytes.
fn piece(text: &str) -> Result<(Piece, usize), NotEnclosed> {
    let other = |length| Ok((Piece::Other, length));
    let first = text.chars().next().unwrap_or_default();
    match first {
        '(' => Ok((Piece::Open, 1)),
        ')' => Ok((Piece::Close, 1)),
        ';' => Err(NotEnclosed::Semicolon),
        '\0' => Err(NotEnclosed::Unclear),
        '\'' => other(quoted(text, '\'')?),
        '"' => other(quoted(text, '"')?),
        '[' => other(quoted(text, ']')?),
        '-' if text.starts_with("--") => other(line_comment(text)?),
        '/' if text.starts_with("/*") => other(block_comment(text)?),
        _ => other(first.len_utf8()),
    }
}

/// Length of what ends with `close`, which is doubled inside.
fn quoted(text: &str, close: char) -> Result<usize, NotEnclosed> {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\0' {
            return Err(NotEnclosed::Unclear);
        }
        if c != close {
            continue;
        }
        if chars.next_if(|(_, next)| *next == close).is_none() {
            return Ok(at + 1);
        }
    }
    Err(NotEnclosed::Unfinished)
}

/// Length of a line comment with its line feed. What else may end a line is told nowhere, so it must not be there.
fn line_comment(text: &str) -> Result<usize, NotEnclosed> {
    let end = text.find('\n').ok_or(NotEnclosed::Unfinished)?;
    let line = &text[..end];
    let line = line.strip_suffix('\r').unwrap_or(line);
    let is_unclear = |c: char| c.is_control() && c != '\t' || matches!(c, '\u{2028}' | '\u{2029}');
    match line.contains(is_unclear) {
        true => Err(NotEnclosed::Unclear),
        false => Ok(end + 1),
    }
}

/// Length of a block comment; those inside it count.
fn block_comment(text: &str) -> Result<usize, NotEnclosed> {
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            let next = rest.chars().next().ok_or(NotEnclosed::Unfinished)?;
            at += next.len_utf8();
        }
        if depth == 0 {
            return Ok(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(expression: &str) -> Result<String, NotEnclosed> {
        enclosed(expression).map(|enclosed| enclosed.to_string())
    }

    #[test]
    fn an_expression_is_in_one_pair_of_parentheses() {
        for (given, expected) in [
            ("((0))", "((0))"),
            (" (getdate()) ", "(getdate())"),
            ("0", "(0)"),
            ("([a]>(0)) OR ([b]>(0))", "(([a]>(0)) OR ([b]>(0)))"),
            (
                "([a)]='it''s )' AND \"b)\"\"\">(1))",
                "([a)]='it''s )' AND \"b)\"\"\">(1))",
            ),
            ("([a]]);]<>N'];')", "([a]]);]<>N'];')"),
            ("(1 /* ) ; /* ' */ ( */ + 2)", "(1 /* ) ; /* ' */ ( */ + 2)"),
            ("(1 -- ) ' ;\r\n+ 2)", "(1 -- ) ' ;\r\n+ 2)"),
            ("(1)/* ends */", "((1)/* ends */)"),
            ("('x') -- y\n+ ('z')", "(('x') -- y\n+ ('z'))"),
            ("(N'ключ)' LIKE N'%貓(')", "(N'ключ)' LIKE N'%貓(')"),
            ("(1 - -2 / 3 * 4)", "(1 - -2 / 3 * 4)"),
        ] {
            assert_eq!(text(given).as_deref(), Ok(expected), "{given}");
        }
    }

    #[test]
    fn what_could_leave_the_parentheses_is_refused() {
        for (given, why) in [
            ("", NotEnclosed::Empty),
            ("  \n", NotEnclosed::Empty),
            ("1) DROP TABLE t --", NotEnclosed::Unbalanced),
            ("(1)) OR ((1)", NotEnclosed::Unbalanced),
            ("((1)", NotEnclosed::Unbalanced),
            ("(1); DROP TABLE t; SELECT (1)", NotEnclosed::Semicolon),
            ("'a' + 'b", NotEnclosed::Unfinished),
            ("(N'a'')", NotEnclosed::Unfinished),
            ("[a]]", NotEnclosed::Unfinished),
            ("\"a", NotEnclosed::Unfinished),
            ("(1 /* /* */ )", NotEnclosed::Unfinished),
            ("(1) --", NotEnclosed::Unfinished),
            ("(1 -- a\r)\n)", NotEnclosed::Unclear),
            ("(1 -- a\u{2028})\n)", NotEnclosed::Unclear),
            ("(1\0)", NotEnclosed::Unclear),
            ("('\0')", NotEnclosed::Unclear),
        ] {
            assert_eq!(text(given), Err(why), "{given:?}");
        }
    }

    proptest! {
        /// Whatever the pieces, what is let through is one group: scanned again it is the same.
        #[test]
        fn what_is_enclosed_stays_as_it_is(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "(", ")", "'", "''", "\"", "[", "]", "]]", "--", "\n", "/*", "*/", ";", "a", " ", "é", "-", "/",
                ]),
                0..24,
            )
        ) {
            if let Ok(once) = text(&pieces.concat()) {
                prop_assert!(once.starts_with('(') && once.ends_with(')'));
                prop_assert_eq!(text(&once), Ok(once));
            }
        }
    }
}
