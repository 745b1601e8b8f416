//! Recursive descent over the tokens; expressions by precedence climbing.
//!
//! The tree's height and the parser's own recursion are bounded (error 191), so that neither parsing nor walking
//! nor dropping a tree overflows a 2 MiB stack, whatever the text.

mod alter_table;
mod constraint;
mod database;
mod dml;
mod expression;
mod flow;
mod index;
mod literal;
mod merge;
mod object;
mod permission;
mod policy;
mod primary;
mod query;
mod set_option;
mod statement;
mod table;
mod table_source;
mod type_name;

use super::ast::{Ident, ObjectName, ParamDecl, Statement, TypeName};
use super::keyword::Keyword;
use super::lexer::{Symbol, Token, TokenKind, tokens};
use super::{SyntaxResult, error};
use crate::session::SqlError;
use type_name::LengthDefault;

/// Nested parentheses, calls, subqueries and statements.
const DEPTH_MAX: u32 = 160;
/// Of an expression or query tree: also counts the terms of a chain `a + b + c ..`.
const HEIGHT_MAX: u32 = 600;
const IDENTIFIER_MAX: usize = 128;

/// Parses one batch with SET QUOTED_IDENTIFIER ON.
pub fn parse_batch(sql: &str) -> SyntaxResult<Vec<Statement>> {
    parse_batch_with(sql, true)
}

/// Parses one batch; `quoted_identifier` says whether `".."` delimits an identifier or a string.
pub fn parse_batch_with(sql: &str, quoted_identifier: bool) -> SyntaxResult<Vec<Statement>> {
    parse_whole(sql, quoted_identifier).map(|batch| batch.statements)
}

/// A batch with every place where it names a variable.
pub struct Batch {
    pub statements: Vec<Statement>,
    /// In the order of the text.
    pub mentions: Vec<Mention>,
}

/// A place where a variable is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention {
    /// With its `@`.
    pub name: String,
    pub line: u32,
    pub role: Role,
}

/// What a place where a variable is named does with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// DECLARE, or a parameter. A DECLARE declares at its end, so that its values do not see its variables.
    Declares,
    Scalar,
    Table,
}

/// Parses one batch as [`parse_batch_with`], with its mentions of variables.
pub fn parse_whole(sql: &str, quoted_identifier: bool) -> SyntaxResult<Batch> {
    let mut parser = Parser::new(sql, quoted_identifier)?;
    let statements = parser.statements_until_end()?;
    Ok(Batch {
        statements,
        mentions: parser.mentions,
    })
}

/// Parses the declarations of `sp_executesql`: `@a int, @b nvarchar(10) OUTPUT`. Blank text declares nothing.
pub fn parse_declarations(text: &str) -> SyntaxResult<Vec<ParamDecl>> {
    let mut parser = Parser::new(text, true)?;
    let mut declarations = Vec::new();
    if parser.at_end() {
        return Ok(declarations);
    }
    loop {
        let name = parser.variable()?;
        parser.eat(Keyword::As);
        let ty = parser.type_name(LengthDefault::Declaration)?;
        let default = if parser.eat(Symbol::Equal) {
            Some(parser.expr()?)
        } else {
            None
        };
        let output = parser.eat("OUTPUT") || parser.eat("OUT");
        let read_only = parser.eat("READONLY");
        declarations.push(ParamDecl {
            name,
            ty,
            default,
            output,
            read_only,
        });
        if !parser.eat(Symbol::Comma) {
            break;
        }
    }
    parser.expect_end()?;
    Ok(declarations)
}

/// Parses a type as in a declaration.
pub fn parse_type(text: &str) -> SyntaxResult<TypeName> {
    let mut parser = Parser::new(text, true)?;
    let ty = parser.type_name(LengthDefault::Declaration)?;
    parser.expect_end()?;
    Ok(ty)
}

struct Parser<'a> {
    source: &'a str,
    tokens: Vec<Token>,
    position: usize,
    depth: u32,
    /// Of the tallest expression finished since the enclosing one began.
    height: u32,
    /// Where the condition of the last IF or WHILE ended.
    after_condition: Option<usize>,
    mentions: Vec<Mention>,
}

/// What a token is compared with: a reserved word, a symbol, or the text of a word in any case (reserved or not,
/// never quoted).
trait Pattern: Copy {
    fn matches(self, token: Token, source: &str) -> bool;
}

impl Pattern for Keyword {
    fn matches(self, token: Token, _source: &str) -> bool {
        token.kind == TokenKind::Keyword(self)
    }
}

impl Pattern for Symbol {
    fn matches(self, token: Token, _source: &str) -> bool {
        token.kind == TokenKind::Symbol(self)
    }
}

impl Pattern for &str {
    fn matches(self, token: Token, source: &str) -> bool {
        matches!(token.kind, TokenKind::Word | TokenKind::Keyword(_))
            && source[token.start..token.end].eq_ignore_ascii_case(self)
    }
}

impl<'a> Parser<'a> {
    fn new(source: &'a str, quoted_identifier: bool) -> SyntaxResult<Self> {
        let tokens = tokens(source, quoted_identifier)?;
        Ok(Self {
            source,
            tokens,
            position: 0,
            depth: 0,
            height: 0,
            after_condition: None,
            mentions: Vec::new(),
        })
    }

    fn peek(&self) -> Token {
        self.tokens[self.position]
    }

    /// The token `ahead` of the next, or the end.
    fn ahead(&self, ahead: usize) -> Token {
        self.tokens[(self.position + ahead).min(self.tokens.len() - 1)]
    }

    /// Takes the next token; the end is never passed.
    fn next(&mut self) -> Token {
        let token = self.peek();
        if token.kind != TokenKind::End {
            self.position += 1;
        }
        token
    }

    fn line(&self) -> u32 {
        self.peek().line
    }

    fn text(&self, token: Token) -> &'a str {
        &self.source[token.start..token.end]
    }

    fn at(&self, pattern: impl Pattern) -> bool {
        pattern.matches(self.peek(), self.source)
    }

    fn at_ahead(&self, ahead: usize, pattern: impl Pattern) -> bool {
        pattern.matches(self.ahead(ahead), self.source)
    }

    fn at_end(&self) -> bool {
        self.peek().kind == TokenKind::End
    }

    fn eat(&mut self, pattern: impl Pattern) -> bool {
        let found = self.at(pattern);
        if found {
            self.position += 1;
        }
        found
    }

    /// Takes both words or neither.
    fn eat_pair(&mut self, first: impl Pattern, second: impl Pattern) -> bool {
        let found = self.at(first) && self.at_ahead(1, second);
        if found {
            self.position += 2;
        }
        found
    }

    fn expect(&mut self, pattern: impl Pattern) -> SyntaxResult<()> {
        if self.eat(pattern) {
            Ok(())
        } else {
            Err(self.syntax_error())
        }
    }

    fn expect_end(&self) -> SyntaxResult<()> {
        if self.at_end() {
            Ok(())
        } else {
            Err(self.syntax_error())
        }
    }

    /// The error that the next token is not what the grammar allows.
    fn syntax_error(&self) -> SqlError {
        self.syntax_error_at(self.position)
    }

    fn syntax_error_at(&self, position: usize) -> SqlError {
        let token = self.tokens[position];
        match token.kind {
            TokenKind::Keyword(Keyword::With) => self.unterminated_before_with(token),
            TokenKind::Keyword(_) => {
                let text = self.text(token);
                error(
                    156,
                    token.line,
                    format!("Incorrect syntax near the keyword '{text}'."),
                )
            }
            TokenKind::End => {
                let last = position.checked_sub(1).map(|last| self.tokens[last]);
                let line = last.map_or(token.line, |last| last.line);
                let text = last.map_or("", |last| self.shown(last));
                error(102, line, format!("Incorrect syntax near '{text}'."))
            }
            TokenKind::Word
            | TokenKind::Quoted
            | TokenKind::Variable
            | TokenKind::Global
            | TokenKind::Dollar
            | TokenKind::Pseudo
            | TokenKind::Int
            | TokenKind::Decimal
            | TokenKind::Float
            | TokenKind::Money
            | TokenKind::Str
            | TokenKind::NationalStr
            | TokenKind::Binary
            | TokenKind::Symbol(_) => {
                let text = self.shown(token);
                error(102, token.line, format!("Incorrect syntax near '{text}'."))
            }
        }
    }

    fn unterminated_before_with(&self, token: Token) -> SqlError {
        let text = self.text(token);
        error(
            319,
            token.line,
            format!(
                "Incorrect syntax near the keyword '{text}'. If this statement is a common table expression, an \
                    xmlnamespaces clause or a \
                 change tracking context clause, the previous statement must be terminated with a semicolon."
            ),
        )
    }

    /// A token as messages show it: without delimiters.
    fn shown(&self, token: Token) -> &'a str {
        let text = self.text(token);
        match token.kind {
            TokenKind::Quoted | TokenKind::Str => &text[1..text.len() - 1],
            TokenKind::NationalStr => &text[2..text.len() - 1],
            _ => text,
        }
    }

    /// Counts one level of nesting; `leave` ends it. After an error the count no longer matters.
    fn enter(&mut self) -> SyntaxResult<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            Err(self.too_deep())
        } else {
            Ok(())
        }
    }

    fn leave(&mut self) {
        self.depth -= 1;
    }

    /// Counts one more level of the tree above what was just parsed.
    fn grow(&mut self) -> SyntaxResult<()> {
        self.height += 1;
        if self.height > HEIGHT_MAX {
            Err(self.too_deep())
        } else {
            Ok(())
        }
    }

    fn too_deep(&self) -> SqlError {
        let message = "Some part of your SQL statement is nested too deeply. Rewrite the query or break it up into \
            smaller queries.";
        error(191, self.line(), message.to_owned())
    }

    fn at_ident(&self) -> bool {
        matches!(self.peek().kind, TokenKind::Word | TokenKind::Quoted)
    }

    fn ident(&mut self) -> SyntaxResult<Ident> {
        if !self.at_ident() {
            return Err(self.syntax_error());
        }
        let token = self.next();
        self.ident_of(token)
    }

    fn ident_of(&self, token: Token) -> SyntaxResult<Ident> {
        let quoted = token.kind == TokenKind::Quoted;
        let text = if quoted {
            self.undelimited(token)
        } else {
            self.text(token).to_owned()
        };
        if text.is_empty() {
            let message = "An object or column name is missing or empty. For SELECT INTO statements, verify each \
                column has a name. For other \
                           statements, look for empty alias names. Aliases defined as \"\" or [] are not allowed. \
                           Change the alias to a valid name.";
            return Err(error(1038, token.line, message.to_owned()));
        }
        if text.encode_utf16().count() > IDENTIFIER_MAX {
            let start: String = text.chars().take(IDENTIFIER_MAX).collect();
            let message = format!(
                "The identifier that starts with '{start}' is too long. Maximum length is {IDENTIFIER_MAX}."
            );
            return Err(error(103, token.line, message));
        }
        Ok(Ident { text, quoted })
    }

    /// A name of one to four parts; parts between dots may be omitted, the last may not.
    fn object_name(&mut self) -> SyntaxResult<ObjectName> {
        let line = self.line();
        let mut parts = Vec::with_capacity(2);
        loop {
            if !parts.is_empty() && self.at(Symbol::Dot) {
                parts.push(Ident::new(""));
            } else {
                parts.push(self.ident()?);
            }
            let goes_on = self.at(Symbol::Dot) && !self.at_ahead(1, Symbol::Star);
            if !goes_on {
                break;
            }
            self.next();
        }
        let name = ObjectName { parts, line };
        if name.parts.len() > 4 {
            let message = format!(
                "The object name '{name}' contains more than the maximum number of prefixes. The maximum is 3."
            );
            return Err(error(117, line, message));
        }
        Ok(name)
    }

    /// The name of a scalar variable that is used, with its `@`.
    fn variable(&mut self) -> SyntaxResult<String> {
        self.variable_as(Some(Role::Scalar))
    }

    /// The name of a variable, with its `@`; no role: that of a parameter of something else.
    fn variable_as(&mut self, role: Option<Role>) -> SyntaxResult<String> {
        let token = self.peek();
        if token.kind != TokenKind::Variable {
            return Err(self.syntax_error());
        }
        self.next();
        let name = self.text(token).to_owned();
        if let Some(role) = role {
            self.mentions.push(Mention {
                name: name.clone(),
                line: token.line,
                role,
            });
        }
        Ok(name)
    }

    /// `item, item ..`
    fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> SyntaxResult<T>,
    ) -> SyntaxResult<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.eat(Symbol::Comma) {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// `(item, item ..)`
    fn parenthesised<T>(
        &mut self,
        item: impl FnMut(&mut Self) -> SyntaxResult<T>,
    ) -> SyntaxResult<Vec<T>> {
        self.expect(Symbol::OpenParen)?;
        let items = self.list(item)?;
        self.expect(Symbol::CloseParen)?;
        Ok(items)
    }

    fn ident_list(&mut self) -> SyntaxResult<Vec<Ident>> {
        self.parenthesised(Self::ident)
    }

    /// ON or OFF.
    fn on_off(&mut self) -> SyntaxResult<bool> {
        if self.eat(Keyword::On) {
            return Ok(true);
        }
        self.expect(Keyword::Off)?;
        Ok(false)
    }

    /// `= ON`, `= OFF`
    fn equals_on_off(&mut self) -> SyntaxResult<bool> {
        self.expect(Symbol::Equal)?;
        self.on_off()
    }

    /// NULL or NOT NULL, when written.
    fn nullability(&mut self) -> Option<bool> {
        if self.eat(Keyword::Null) {
            Some(true)
        } else if self.eat_pair(Keyword::Not, Keyword::Null) {
            Some(false)
        } else {
            None
        }
    }

    /// CLUSTERED or NONCLUSTERED, when written.
    fn clustering(&mut self) -> Option<bool> {
        if self.eat(Keyword::Clustered) {
            Some(true)
        } else if self.eat(Keyword::Nonclustered) {
            Some(false)
        } else {
            None
        }
    }
}
