//! Cuts a batch into tokens. A token is a span of the source: words and literals are decoded only when the parser
//! takes them.

use super::keyword::Keyword;
use super::{SyntaxResult, error};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    Keyword(Keyword),
    /// An identifier without delimiters that is not reserved; `#temp` too.
    Word,
    /// `[..]`, `".."`
    Quoted,
    /// `@name`
    Variable,
    /// `@@name`
    Global,
    /// `$action` and its kin
    Dollar,
    /// `%%physloc%%` and its kin
    Pseudo,
    Int,
    Decimal,
    Float,
    Money,
    Str,
    NationalStr,
    Binary,
    Symbol(Symbol),
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Symbol {
    OpenParen,
    CloseParen,
    Comma,
    Dot,
    Semicolon,
    DoubleColon,
    Colon,
    Star,
    Plus,
    Minus,
    Slash,
    Percent,
    Ampersand,
    Pipe,
    Caret,
    Tilde,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    PlusEqual,
    MinusEqual,
    StarEqual,
    SlashEqual,
    PercentEqual,
    AmpersandEqual,
    PipeEqual,
    CaretEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    pub kind: TokenKind,
    /// Byte offsets in the source.
    pub start: usize,
    pub end: usize,
    /// From 1.
    pub line: u32,
}

/// The tokens of `source`, closed by one [`TokenKind::End`].
///
/// `quoted_identifier` is the session's setting: whether `".."` delimits an identifier or a string.
pub fn tokens(source: &str, quoted_identifier: bool) -> SyntaxResult<Vec<Token>> {
    let mut lexer = Lexer {
        source,
        bytes: source.as_bytes(),
        at: 0,
        line: 1,
        quoted_identifier,
    };
    let mut tokens = Vec::with_capacity(source.len() / 4 + 1);
    loop {
        let token = lexer.next()?;
        tokens.push(token);
        if token.kind == TokenKind::End {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    source: &'a str,
    bytes: &'a [u8],
    at: usize,
    line: u32,
    quoted_identifier: bool,
}

impl Lexer<'_> {
    fn next(&mut self) -> SyntaxResult<Token> {
        self.skip_blanks()?;
        let (start, line) = (self.at, self.line);
        let kind = self.token()?;
        Ok(Token {
            kind,
            start,
            end: self.at,
            line,
        })
    }

    fn byte(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn char(&self) -> Option<char> {
        self.source[self.at..].chars().next()
    }

    fn skip_blanks(&mut self) -> SyntaxResult<()> {
        loop {
            match self.byte(0) {
                b'\n' => {
                    self.line += 1;
                    self.at += 1;
                }
                b' ' | b'\t' | b'\r' | 0x0b | 0x0c => self.at += 1,
                b'-' if self.byte(1) == b'-' => {
                    let rest = &self.bytes[self.at..];
                    self.at += rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
                }
                b'/' if self.byte(1) == b'*' => self.skip_comment()?,
                0x80.. => match self.char() {
                    Some(c) if c.is_whitespace() || c == '\u{feff}' => self.at += c.len_utf8(),
                    Some(_) | None => return Ok(()),
                },
                _ => return Ok(()),
            }
        }
    }

    /// Comments nest.
    fn skip_comment(&mut self) -> SyntaxResult<()> {
        let mut open = 0u32;
        while self.at < self.bytes.len() {
            match (self.byte(0), self.byte(1)) {
                (b'/', b'*') => {
                    open += 1;
                    self.at += 2;
                }
                (b'*', b'/') => {
                    open -= 1;
                    self.at += 2;
                    if open == 0 {
                        return Ok(());
                    }
                }
                (byte, _) => {
                    self.line += u32::from(byte == b'\n');
                    self.at += 1;
                }
            }
        }
        Err(error(
            113,
            self.line,
            "Missing end comment mark '*/'.".to_owned(),
        ))
    }

    fn token(&mut self) -> SyntaxResult<TokenKind> {
        let Some(first) = self.char() else {
            return Ok(TokenKind::End);
        };
        match first {
            '\'' => self.string(TokenKind::Str, b'\''),
            'N' | 'n' if self.byte(1) == b'\'' => {
                self.at += 1;
                self.string(TokenKind::NationalStr, b'\'')
            }
            '"' if self.quoted_identifier => self.string(TokenKind::Quoted, b'"'),
            '"' => self.string(TokenKind::Str, b'"'),
            '[' => self.string(TokenKind::Quoted, b']'),
            '@' => self.variable(),
            '$' => Ok(self.dollar()),
            '0' if matches!(self.byte(1), b'x' | b'X') => Ok(self.binary()),
            '0'..='9' => Ok(self.number()),
            '.' if self.byte(1).is_ascii_digit() => Ok(self.number()),
            '%' if self.byte(1) == b'%' => self.pseudo(),
            c if starts_word(c) => {
                let start = self.at;
                self.skip_word();
                let word = &self.source[start..self.at];
                Ok(Keyword::find(word).map_or(TokenKind::Word, TokenKind::Keyword))
            }
            c => self.symbol(c),
        }
    }

    fn skip_word(&mut self) {
        while let Some(c) = self.char().filter(|&c| continues_word(c)) {
            self.at += c.len_utf8();
        }
    }

    /// To the closing delimiter, which stands for itself when doubled.
    fn string(&mut self, kind: TokenKind, close: u8) -> SyntaxResult<TokenKind> {
        let line = self.line;
        let body = self.at + 1;
        self.at = body;
        while self.at < self.bytes.len() {
            let byte = self.byte(0);
            self.at += 1;
            if byte == b'\n' {
                self.line += 1;
            } else if byte == close {
                if self.byte(0) != close {
                    return Ok(kind);
                }
                self.at += 1;
            }
        }
        let text = &self.source[body..];
        Err(error(
            105,
            line,
            format!("Unclosed quotation mark after the character string '{text}'."),
        ))
    }

    fn variable(&mut self) -> SyntaxResult<TokenKind> {
        let kind = if self.byte(1) == b'@' {
            TokenKind::Global
        } else {
            TokenKind::Variable
        };
        let sigils = if kind == TokenKind::Global { 2 } else { 1 };
        self.at += sigils;
        let name = self.at;
        self.skip_word();
        if self.at == name {
            return Err(self.unexpected("@"));
        }
        Ok(kind)
    }

    /// `$action`, or a money literal; a lone `$` is the money 0.
    fn dollar(&mut self) -> TokenKind {
        self.at += 1;
        if self.char().is_some_and(|c| c.is_alphabetic()) {
            self.skip_word();
            return TokenKind::Dollar;
        }
        self.skip_digits();
        if self.byte(0) == b'.' {
            self.at += 1;
            self.skip_digits();
        }
        TokenKind::Money
    }

    fn binary(&mut self) -> TokenKind {
        self.at += 2;
        while self.byte(0).is_ascii_hexdigit() {
            self.at += 1;
        }
        TokenKind::Binary
    }

    fn skip_digits(&mut self) {
        while self.byte(0).is_ascii_digit() {
            self.at += 1;
        }
    }

    fn number(&mut self) -> TokenKind {
        let mut kind = TokenKind::Int;
        self.skip_digits();
        if self.byte(0) == b'.' {
            kind = TokenKind::Decimal;
            self.at += 1;
            self.skip_digits();
        }
        if matches!(self.byte(0), b'e' | b'E') {
            kind = TokenKind::Float;
            self.at += 1;
            if matches!(self.byte(0), b'+' | b'-') {
                self.at += 1;
            }
            self.skip_digits();
        }
        kind
    }

    fn pseudo(&mut self) -> SyntaxResult<TokenKind> {
        self.at += 2;
        self.skip_word();
        if self.byte(0) != b'%' || self.byte(1) != b'%' {
            return Err(self.unexpected("%"));
        }
        self.at += 2;
        Ok(TokenKind::Pseudo)
    }

    fn symbol(&mut self, first: char) -> SyntaxResult<TokenKind> {
        use Symbol::*;
        let second = self.byte(1);
        let (symbol, length) = match (first, second) {
            ('<', b'=') => (LessOrEqual, 2),
            ('<', b'>') | ('!', b'=') => (NotEqual, 2),
            ('>', b'=') => (GreaterOrEqual, 2),
            ('!', b'<') => (GreaterOrEqual, 2),
            ('!', b'>') => (LessOrEqual, 2),
            ('+', b'=') => (PlusEqual, 2),
            ('-', b'=') => (MinusEqual, 2),
            ('*', b'=') => (StarEqual, 2),
            ('/', b'=') => (SlashEqual, 2),
            ('%', b'=') => (PercentEqual, 2),
            ('&', b'=') => (AmpersandEqual, 2),
            ('|', b'=') => (PipeEqual, 2),
            ('^', b'=') => (CaretEqual, 2),
            (':', b':') => (DoubleColon, 2),
            (':', _) => (Colon, 1),
            ('(', _) => (OpenParen, 1),
            (')', _) => (CloseParen, 1),
            (',', _) => (Comma, 1),
            ('.', _) => (Dot, 1),
            (';', _) => (Semicolon, 1),
            ('*', _) => (Star, 1),
            ('+', _) => (Plus, 1),
            ('-', _) => (Minus, 1),
            ('/', _) => (Slash, 1),
            ('%', _) => (Percent, 1),
            ('&', _) => (Ampersand, 1),
            ('|', _) => (Pipe, 1),
            ('^', _) => (Caret, 1),
            ('~', _) => (Tilde, 1),
            ('=', _) => (Equal, 1),
            ('<', _) => (Less, 1),
            ('>', _) => (Greater, 1),
            (other, _) => return Err(self.unexpected(other.encode_utf8(&mut [0; 4]))),
        };
        self.at += length;
        Ok(TokenKind::Symbol(symbol))
    }

    fn unexpected(&self, text: &str) -> crate::session::SqlError {
        error(102, self.line, format!("Incorrect syntax near '{text}'."))
    }
}

fn starts_word(c: char) -> bool {
    c.is_alphabetic() || c == '_' || c == '#'
}

fn continues_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '#' | '@' | '$')
}
