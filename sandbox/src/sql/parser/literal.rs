//! Literals, decoded exactly.

use super::Parser;
use crate::session::SqlError;
use crate::sql::ast::Literal;
use crate::sql::lexer::{Symbol, Token, TokenKind};
use crate::sql::{SyntaxResult, error};

/// The most digits a numeric holds.
const PRECISION_MAX: usize = 38;

impl Parser<'_> {
    /// The literal that `token` spells, if it is one.
    pub(super) fn literal_of(&self, token: Token) -> SyntaxResult<Option<Literal>> {
        let text = self.text(token);
        let literal = match token.kind {
            TokenKind::Int | TokenKind::Decimal => number(text, token.line)?,
            TokenKind::Float => float(text, token.line)?,
            TokenKind::Money => money(text, token.line)?,
            TokenKind::Str => Literal::Str {
                text: self.undelimited(token),
                national: false,
            },
            TokenKind::NationalStr => Literal::Str {
                text: self.undelimited(token),
                national: true,
            },
            TokenKind::Binary => Literal::Binary(binary(text)),
            TokenKind::Keyword(_)
            | TokenKind::Word
            | TokenKind::Quoted
            | TokenKind::Variable
            | TokenKind::Global
            | TokenKind::Dollar
            | TokenKind::Pseudo
            | TokenKind::Symbol(_)
            | TokenKind::End => return Ok(None),
        };
        Ok(Some(literal))
    }

    /// The text between delimiters: a doubled closing delimiter stands for itself, and in strings a backslash
    /// before a line end joins the lines.
    pub(super) fn undelimited(&self, token: Token) -> String {
        let text = self.text(token);
        let text = if token.kind == TokenKind::NationalStr {
            &text[1..]
        } else {
            text
        };
        let body = &text[1..text.len() - 1];
        let doubled = match text.as_bytes()[0] {
            b'\'' => "''",
            b'"' => "\"\"",
            _ => "]]",
        };
        let mut decoded = if body.contains(doubled) {
            body.replace(doubled, &doubled[1..])
        } else {
            body.to_owned()
        };
        if token.kind != TokenKind::Quoted && decoded.contains('\\') {
            decoded = decoded.replace("\\\r\n", "").replace("\\\n", "");
        }
        decoded
    }

    /// A string literal's text.
    pub(super) fn string(&mut self) -> SyntaxResult<String> {
        let token = self.peek();
        if !matches!(token.kind, TokenKind::Str | TokenKind::NationalStr) {
            return Err(self.syntax_error());
        }
        self.next();
        Ok(self.undelimited(token))
    }

    /// Digits alone, within `T`.
    pub(super) fn integer<T: std::str::FromStr>(&mut self) -> SyntaxResult<T> {
        let token = self.peek();
        if token.kind != TokenKind::Int {
            return Err(self.syntax_error());
        }
        let value = self
            .text(token)
            .parse()
            .map_err(|_| out_of_range(self.text(token), token.line))?;
        self.next();
        Ok(value)
    }

    /// An integer with an optional sign (IDENTITY, sequences); trailing `.0` is not allowed.
    pub(super) fn signed_integer(&mut self) -> SyntaxResult<i128> {
        let negative = self.eat(Symbol::Minus);
        if !negative {
            self.eat(Symbol::Plus);
        }
        let value: i128 = self.integer()?;
        Ok(if negative { -value } else { value })
    }
}

fn number(text: &str, line: u32) -> SyntaxResult<Literal> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole = whole.trim_start_matches('0');
    if !text.contains('.')
        && let Ok(value) = if whole.is_empty() {
            Ok(0)
        } else {
            whole.parse()
        }
    {
        return Ok(Literal::Int(value));
    }
    let precision = whole.len() + fraction.len();
    if precision > PRECISION_MAX {
        return Err(out_of_range(text, line));
    }
    let mut unscaled = 0i128;
    for digit in whole.bytes().chain(fraction.bytes()) {
        unscaled = unscaled * 10 + i128::from(digit - b'0');
    }
    Ok(Literal::Decimal {
        unscaled,
        precision: precision.max(1) as u8,
        scale: fraction.len() as u8,
    })
}

fn out_of_range(text: &str, line: u32) -> SqlError {
    let message = format!(
        "The number '{text}' is out of the range for numeric representation (maximum precision {PRECISION_MAX})."
    );
    error(1007, line, message)
}

/// An exponent without digits counts as zero, as in SQL Server.
fn float(text: &str, line: u32) -> SyntaxResult<Literal> {
    let number = text.trim_end_matches(['e', 'E', '+', '-']);
    match number.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Literal::Float(value)),
        Ok(_) | Err(_) => {
            let message = format!(
                "The floating point value '{text}' is out of the range of computer representation (8 bytes)."
            );
            Err(error(168, line, message))
        }
    }
}

/// Digits past the fourth round half away from zero.
fn money(text: &str, line: u32) -> SyntaxResult<Literal> {
    let (whole, fraction) = text[1..].split_once('.').unwrap_or((&text[1..], ""));
    let mut digits = fraction.bytes().chain(std::iter::repeat(b'0'));
    let mut value = if whole.is_empty() {
        0
    } else {
        whole
            .parse::<i128>()
            .map_err(|_| out_of_range(text, line))?
    };
    for _ in 0..4 {
        let digit = digits.next().unwrap_or(b'0') - b'0';
        value = value
            .checked_mul(10)
            .and_then(|value| value.checked_add(i128::from(digit)))
            .ok_or_else(|| out_of_range(text, line))?;
    }
    if digits.next().unwrap_or(b'0') >= b'5' {
        value += 1;
    }
    i64::try_from(value)
        .map(Literal::Money)
        .map_err(|_| out_of_range(text, line))
}

/// An odd number of digits gets a zero in front.
fn binary(text: &str) -> Vec<u8> {
    let nibble = |byte: u8| (byte as char).to_digit(16).unwrap_or(0) as u8;
    let digits = &text.as_bytes()[2..];
    let (first, rest) = digits.split_at(digits.len() % 2);
    first
        .iter()
        .map(|&byte| nibble(byte))
        .chain(
            rest.chunks(2)
                .map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])),
        )
        .collect()
}
