//! FROM: tables, functions, derived tables, joins and table hints.

use super::type_name::LengthDefault;
use super::{Parser, Role};
use crate::session::SqlError;
use crate::sql::ast::*;
use crate::sql::keyword::Keyword;
use crate::sql::lexer::{Symbol, TokenKind};
use crate::sql::{SyntaxResult, error};

enum JoinStart {
    Join(JoinKind, Option<JoinHint>),
    Apply { outer: bool },
}

/// Hints that are one word.
const PLAIN_HINTS: &[(&str, TableHint)] = &[
    ("NOLOCK", TableHint::NoLock),
    ("READUNCOMMITTED", TableHint::ReadUncommitted),
    ("READCOMMITTED", TableHint::ReadCommitted),
    ("READCOMMITTEDLOCK", TableHint::ReadCommittedLock),
    ("REPEATABLEREAD", TableHint::RepeatableRead),
    ("SERIALIZABLE", TableHint::Serializable),
    ("HOLDLOCK", TableHint::HoldLock),
    ("SNAPSHOT", TableHint::Snapshot),
    ("READPAST", TableHint::ReadPast),
    ("ROWLOCK", TableHint::RowLock),
    ("PAGLOCK", TableHint::PagLock),
    ("TABLOCK", TableHint::TabLock),
    ("TABLOCKX", TableHint::TabLockX),
    ("UPDLOCK", TableHint::UpdLock),
    ("XLOCK", TableHint::XLock),
    ("NOWAIT", TableHint::NoWait),
    ("NOEXPAND", TableHint::NoExpand),
    ("FORCESCAN", TableHint::ForceScan),
    ("KEEPIDENTITY", TableHint::KeepIdentity),
    ("KEEPDEFAULTS", TableHint::KeepDefaults),
    ("IGNORE_CONSTRAINTS", TableHint::IgnoreConstraints),
    ("IGNORE_TRIGGERS", TableHint::IgnoreTriggers),
];

impl Parser<'_> {
    /// A source with its joins.
    pub(super) fn table_source(&mut self) -> SyntaxResult<TableSource> {
        self.enter()?;
        let mut left = self.table_primary()?;
        while let Some(start) = self.join_start()? {
            left = self.joined(left, start)?;
        }
        self.leave();
        Ok(left)
    }

    fn joined(&mut self, left: TableSource, start: JoinStart) -> SyntaxResult<TableSource> {
        let line = left.line;
        let left = Box::new(left);
        let mut right = self.table_primary()?;
        let kind = match start {
            JoinStart::Apply { outer } => TableSourceKind::Apply {
                left,
                right: Box::new(right),
                outer,
            },
            JoinStart::Join(JoinKind::Cross, hint) => TableSourceKind::Join {
                left,
                right: Box::new(right),
                kind: JoinKind::Cross,
                hint,
                on: None,
            },
            JoinStart::Join(kind, hint) => {
                // `a JOIN b JOIN c ON .. ON ..`: the later join belongs to the right side.
                self.enter()?;
                while !self.at(Keyword::On) {
                    let Some(inner) = self.join_start()? else {
                        return Err(self.syntax_error());
                    };
                    right = self.joined(right, inner)?;
                }
                self.leave();
                self.expect(Keyword::On)?;
                let on = Some(self.condition()?);
                TableSourceKind::Join {
                    left,
                    right: Box::new(right),
                    kind,
                    hint,
                    on,
                }
            }
        };
        self.grow()?;
        Ok(TableSource { kind, line })
    }

    fn join_start(&mut self) -> SyntaxResult<Option<JoinStart>> {
        let kind = match self.peek().kind {
            TokenKind::Keyword(Keyword::Join) => {
                self.next();
                return Ok(Some(JoinStart::Join(JoinKind::Inner, None)));
            }
            TokenKind::Keyword(Keyword::Inner) => JoinKind::Inner,
            TokenKind::Keyword(Keyword::Left) => JoinKind::Left,
            TokenKind::Keyword(Keyword::Right) => JoinKind::Right,
            TokenKind::Keyword(Keyword::Full) => JoinKind::Full,
            TokenKind::Keyword(Keyword::Cross) => JoinKind::Cross,
            TokenKind::Keyword(Keyword::Outer) => {
                self.next();
                self.expect("APPLY")?;
                return Ok(Some(JoinStart::Apply { outer: true }));
            }
            _ => return Ok(None),
        };
        self.next();
        match kind {
            JoinKind::Cross => {
                if self.eat("APPLY") {
                    return Ok(Some(JoinStart::Apply { outer: false }));
                }
                self.expect(Keyword::Join)?;
                return Ok(Some(JoinStart::Join(kind, None)));
            }
            JoinKind::Left | JoinKind::Right | JoinKind::Full => {
                self.eat(Keyword::Outer);
            }
            JoinKind::Inner => {}
        }
        let hint = if self.eat("LOOP") {
            Some(JoinHint::Loop)
        } else if self.eat("HASH") {
            Some(JoinHint::Hash)
        } else if self.eat(Keyword::Merge) {
            Some(JoinHint::Merge)
        } else if self.eat("REMOTE") {
            Some(JoinHint::Remote)
        } else {
            None
        };
        self.expect(Keyword::Join)?;
        Ok(Some(JoinStart::Join(kind, hint)))
    }

    fn table_primary(&mut self) -> SyntaxResult<TableSource> {
        let line = self.line();
        let kind = match self.peek().kind {
            TokenKind::Variable => {
                let name = self.variable_as(Some(Role::Table))?;
                TableSourceKind::Variable {
                    name,
                    alias: self.table_alias()?,
                }
            }
            TokenKind::Symbol(Symbol::OpenParen) => return self.parenthesised_source(),
            _ if self.at("CHANGETABLE") && self.at_ahead(1, Symbol::OpenParen) => {
                self.change_table()?
            }
            _ => self.named_source()?,
        };
        Ok(TableSource { kind, line })
    }

    fn parenthesised_source(&mut self) -> SyntaxResult<TableSource> {
        let line = self.line();
        if self.at_subquery() {
            let query = self.subquery()?;
            let alias = self.required_alias()?;
            return Ok(TableSource {
                kind: TableSourceKind::Derived { query, alias },
                line,
            });
        }
        self.expect(Symbol::OpenParen)?;
        if self.eat(Keyword::Values) {
            let rows = self.list(|parser| parser.parenthesised(Self::expr))?;
            self.expect(Symbol::CloseParen)?;
            let alias = self.required_alias()?;
            return Ok(TableSource {
                kind: TableSourceKind::Values { rows, alias },
                line,
            });
        }
        let source = self.table_source()?;
        self.expect(Symbol::CloseParen)?;
        Ok(source)
    }

    fn named_source(&mut self) -> SyntaxResult<TableSourceKind> {
        let name = self.object_name()?;
        if self.at(Symbol::OpenParen) && !self.at_old_hints() {
            return self.function_source(name);
        }
        let system_time = if self.at(Keyword::For) && self.at_ahead(1, "SYSTEM_TIME") {
            Some(self.system_time()?)
        } else {
            None
        };
        let alias = self.table_alias()?;
        let sample = if self.eat(Keyword::Tablesample) {
            Some(Box::new(self.table_sample()?))
        } else {
            None
        };
        let hints = if self.at_old_hints() {
            self.hint_list()?
        } else {
            self.table_hints()?
        };
        Ok(TableSourceKind::Table {
            name,
            alias,
            system_time,
            sample,
            hints,
        })
    }

    fn function_source(&mut self, name: ObjectName) -> SyntaxResult<TableSourceKind> {
        let args = self.arguments()?;
        let json = name.parts.len() == 1 && name.object().eq_ignore_ascii_case("OPENJSON");
        let schema = if json && self.eat(Keyword::With) {
            self.parenthesised(Self::json_column)?
        } else {
            Vec::new()
        };
        let alias = self.alias_with_columns()?;
        Ok(TableSourceKind::Function {
            name,
            args,
            alias,
            schema,
        })
    }

    fn json_column(&mut self) -> SyntaxResult<JsonColumn> {
        let name = self.ident()?;
        let ty = self.type_name(LengthDefault::Declaration)?;
        let path =
            if self.peek().kind == TokenKind::Str || self.peek().kind == TokenKind::NationalStr {
                Some(self.string()?)
            } else {
                None
            };
        let as_json = self.eat_pair(Keyword::As, "JSON");
        Ok(JsonColumn {
            name,
            ty,
            path,
            as_json,
        })
    }

    fn change_table(&mut self) -> SyntaxResult<TableSourceKind> {
        self.position += 2;
        let changes = self.eat("CHANGES");
        if !changes {
            self.expect("VERSION")?;
        }
        let table = self.object_name()?;
        self.expect(Symbol::Comma)?;
        if changes {
            let last = self.last_version()?;
            let force_seek = self.force_seek()?;
            self.expect(Symbol::CloseParen)?;
            return Ok(TableSourceKind::Changes {
                table,
                last,
                force_seek,
                alias: self.change_alias()?,
            });
        }
        let columns = self.ident_list()?;
        self.expect(Symbol::Comma)?;
        let values = self.parenthesised(Self::expr)?;
        let force_seek = self.force_seek()?;
        self.expect(Symbol::CloseParen)?;
        Ok(TableSourceKind::Version {
            table,
            columns,
            values,
            force_seek,
            alias: self.change_alias()?,
        })
    }

    fn change_alias(&mut self) -> SyntaxResult<Alias> {
        let line = self.line();
        let alias = self.alias_with_columns()?;
        if alias.name.is_none() {
            let message = "A table returned by the CHANGETABLE function must be aliased.";
            return Err(SqlError {
                class: 16,
                ..error(22104, line, message.to_owned())
            });
        }
        Ok(alias)
    }

    /// A number, a variable or NULL: anything more is not syntax.
    fn last_version(&mut self) -> SyntaxResult<Box<Expr>> {
        let start = self.position;
        let last = self.boxed_expr()?;
        let is_simple = match &last.kind {
            ExprKind::Literal(_) | ExprKind::Variable(_) => true,
            ExprKind::Unary {
                op: UnaryOp::Minus,
                expr,
            } => matches!(expr.kind, ExprKind::Literal(_)),
            _ => false,
        };
        match is_simple && self.tokens[start].kind != TokenKind::Symbol(Symbol::OpenParen) {
            true => Ok(last),
            false => Err(self.syntax_error_at(start)),
        }
    }

    fn force_seek(&mut self) -> SyntaxResult<bool> {
        if !self.eat(Symbol::Comma) {
            return Ok(false);
        }
        self.expect("FORCESEEK")?;
        Ok(true)
    }

    /// `[AS] alias`, when written.
    pub(super) fn table_alias(&mut self) -> SyntaxResult<Option<Ident>> {
        if self.eat(Keyword::As) || (self.at_ident() && !self.at_clause_word()) {
            self.ident().map(Some)
        } else {
            Ok(None)
        }
    }

    /// Words that are not reserved but open a clause after a table, never name it.
    fn at_clause_word(&self) -> bool {
        self.at("USING") || self.at("OUTPUT")
    }

    fn alias_with_columns(&mut self) -> SyntaxResult<Alias> {
        let name = self.table_alias()?;
        let columns = if name.is_some() && self.at(Symbol::OpenParen) {
            self.ident_list()?
        } else {
            Vec::new()
        };
        Ok(Alias { name, columns })
    }

    fn required_alias(&mut self) -> SyntaxResult<Alias> {
        let alias = self.alias_with_columns()?;
        if alias.name.is_none() {
            return Err(self.syntax_error());
        }
        Ok(alias)
    }

    fn system_time(&mut self) -> SyntaxResult<SystemTime> {
        self.position += 2;
        if self.eat(Keyword::All) {
            return Ok(SystemTime::All);
        }
        if self.eat(Keyword::As) {
            self.expect(Keyword::Of)?;
            return self.boxed_expr().map(SystemTime::AsOf);
        }
        if self.eat(Keyword::From) {
            let from = self.boxed_expr()?;
            self.expect(Keyword::To)?;
            return Ok(SystemTime::FromTo(from, self.boxed_expr()?));
        }
        if self.eat(Keyword::Between) {
            let from = self.boxed_expr()?;
            self.expect(Keyword::And)?;
            return Ok(SystemTime::Between(from, self.boxed_expr()?));
        }
        self.expect("CONTAINED")?;
        self.expect(Keyword::In)?;
        self.expect(Symbol::OpenParen)?;
        let from = self.boxed_expr()?;
        self.expect(Symbol::Comma)?;
        let to = self.boxed_expr()?;
        self.expect(Symbol::CloseParen)?;
        Ok(SystemTime::ContainedIn(from, to))
    }

    fn table_sample(&mut self) -> SyntaxResult<TableSample> {
        self.eat("SYSTEM");
        self.expect(Symbol::OpenParen)?;
        let amount = self.expr()?;
        let rows = self.eat("ROWS");
        if !rows {
            self.eat(Keyword::Percent);
        }
        self.expect(Symbol::CloseParen)?;
        let repeatable = if self.eat("REPEATABLE") {
            self.expect(Symbol::OpenParen)?;
            let seed = self.expr()?;
            self.expect(Symbol::CloseParen)?;
            Some(seed)
        } else {
            None
        };
        Ok(TableSample {
            amount,
            rows,
            repeatable,
        })
    }

    /// `WITH (hints)`, when written.
    pub(super) fn table_hints(&mut self) -> SyntaxResult<Vec<TableHint>> {
        // WITH CHECK OPTION closes a view.
        if !self.at(Keyword::With) || self.at_ahead(1, Keyword::Check) {
            return Ok(Vec::new());
        }
        if !self.at_ahead(1, Symbol::OpenParen) {
            let token = self.ahead(1);
            if matches!(token.kind, TokenKind::Word | TokenKind::Quoted) {
                let message = format!(
                    "Incorrect syntax near '{}'. If this is intended to be a common table expression, you need to \
                        explicitly terminate the \
                     previous statement with a semi-colon.",
                    self.shown(token)
                );
                return Err(error(336, token.line, message));
            }
            return Err(self.syntax_error());
        }
        self.next();
        self.hint_list()
    }

    /// The old form, without WITH: `FROM t (NOLOCK)`.
    fn at_old_hints(&self) -> bool {
        let closes = self.at_ahead(2, Symbol::CloseParen) || self.at_ahead(2, Symbol::Comma);
        self.at(Symbol::OpenParen)
            && closes
            && PLAIN_HINTS.iter().any(|(word, _)| self.at_ahead(1, *word))
    }

    /// Separated by commas or only by spaces.
    fn hint_list(&mut self) -> SyntaxResult<Vec<TableHint>> {
        self.expect(Symbol::OpenParen)?;
        let mut hints = vec![self.table_hint()?];
        while !self.eat(Symbol::CloseParen) {
            self.eat(Symbol::Comma);
            hints.push(self.table_hint()?);
        }
        Ok(hints)
    }

    fn table_hint(&mut self) -> SyntaxResult<TableHint> {
        for (word, hint) in PLAIN_HINTS {
            if self.eat(*word) {
                return Ok(hint.clone());
            }
        }
        if self.eat("FORCESEEK") {
            return Ok(TableHint::ForceSeek);
        }
        self.expect(Keyword::Index)?;
        if !self.eat(Symbol::Equal) {
            return self
                .parenthesised(Self::index_reference)
                .map(TableHint::Index);
        }
        if self.at(Symbol::OpenParen) {
            return self
                .parenthesised(Self::index_reference)
                .map(TableHint::Index);
        }
        Ok(TableHint::Index(vec![self.index_reference()?]))
    }

    fn index_reference(&mut self) -> SyntaxResult<Ident> {
        if self.peek().kind == TokenKind::Int {
            let id: u32 = self.integer()?;
            return Ok(Ident::new(id.to_string()));
        }
        self.ident()
    }
}
