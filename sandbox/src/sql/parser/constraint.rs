//! Constraints and indexes written inside a table's definition.

use super::Parser;
use crate::sql::ast::*;
use crate::sql::keyword::Keyword;
use crate::sql::lexer::{Symbol, Token, TokenKind};
use crate::sql::{SyntaxResult, error};

/// Whether two parentheses around tokens belong together.
fn is_pair(open: Token, inside: &[Token], close: Token) -> bool {
    let mut depth = 0_u32;
    let never_closes = inside.iter().all(|token| match token.kind {
        TokenKind::Symbol(Symbol::OpenParen) => {
            depth += 1;
            true
        }
        TokenKind::Symbol(Symbol::CloseParen) if depth == 0 => false,
        TokenKind::Symbol(Symbol::CloseParen) => {
            depth -= 1;
            true
        }
        _ => true,
    });
    never_closes
        && open.kind == TokenKind::Symbol(Symbol::OpenParen)
        && close.kind == TokenKind::Symbol(Symbol::CloseParen)
}

impl Parser<'_> {
    /// A constraint on the column just defined, when one comes next.
    pub(super) fn column_constraint(&mut self) -> SyntaxResult<Option<ColumnConstraint>> {
        let line = self.line();
        let name = if self.eat(Keyword::Constraint) {
            Some(self.ident()?)
        } else {
            None
        };
        let kind = match self.peek().kind {
            TokenKind::Keyword(Keyword::Default) => {
                self.next();
                let expr = self.spelled(Self::expr)?;
                let with_values = self.eat_pair(Keyword::With, Keyword::Values);
                ColumnConstraintKind::Default { expr, with_values }
            }
            TokenKind::Keyword(Keyword::Primary | Keyword::Unique) => {
                let mut key = self.key_kind()?;
                key.options = self.key_options()?;
                ColumnConstraintKind::Key(key)
            }
            TokenKind::Keyword(Keyword::Check) => ColumnConstraintKind::Check(self.check()?),
            TokenKind::Keyword(Keyword::Foreign | Keyword::References) => {
                if self.eat(Keyword::Foreign) {
                    self.expect(Keyword::Key)?;
                }
                ColumnConstraintKind::References(self.references()?)
            }
            TokenKind::Keyword(Keyword::Index) if name.is_none() => {
                self.next();
                let name = self.ident()?;
                let unique = self.eat(Keyword::Unique);
                ColumnConstraintKind::Index {
                    name,
                    unique,
                    clustered: self.clustering(),
                }
            }
            _ if name.is_some() => return Err(self.syntax_error()),
            _ => return Ok(None),
        };
        Ok(Some(ColumnConstraint { name, kind, line }))
    }

    pub(super) fn table_constraint(&mut self) -> SyntaxResult<TableConstraint> {
        let line = self.line();
        let name = if self.eat(Keyword::Constraint) {
            Some(self.ident()?)
        } else {
            None
        };
        let kind = match self.peek().kind {
            TokenKind::Keyword(Keyword::Primary | Keyword::Unique) => {
                let mut key = self.key_kind()?;
                let columns = self.parenthesised(Self::index_column)?;
                key.options = self.key_options()?;
                TableConstraintKind::Key { key, columns }
            }
            TokenKind::Keyword(Keyword::Check) => TableConstraintKind::Check(self.check()?),
            TokenKind::Keyword(Keyword::Foreign) => {
                self.next();
                self.expect(Keyword::Key)?;
                let columns = self.ident_list()?;
                TableConstraintKind::ForeignKey {
                    columns,
                    references: self.references()?,
                }
            }
            TokenKind::Keyword(Keyword::Default) => {
                self.next();
                let expr = self.spelled(Self::expr)?;
                self.expect(Keyword::For)?;
                let column = self.ident()?;
                let with_values = self.eat_pair(Keyword::With, Keyword::Values);
                TableConstraintKind::Default {
                    expr,
                    column,
                    with_values,
                }
            }
            _ => return Err(self.syntax_error()),
        };
        Ok(TableConstraint { name, kind, line })
    }

    fn key_kind(&mut self) -> SyntaxResult<KeyKind> {
        let primary = self.eat_pair(Keyword::Primary, Keyword::Key);
        if !primary {
            self.expect(Keyword::Unique)?;
        }
        Ok(KeyKind {
            primary,
            clustered: self.clustering(),
            options: Vec::new(),
        })
    }

    fn key_options(&mut self) -> SyntaxResult<Vec<IndexOption>> {
        let options = if self.at(Keyword::With) && self.at_ahead(1, Symbol::OpenParen) {
            self.index_options()?
        } else {
            Vec::new()
        };
        self.primary_filegroup()?;
        Ok(options)
    }

    /// `ON [PRIMARY]`, the only filegroup there is.
    fn primary_filegroup(&mut self) -> SyntaxResult<()> {
        if !self.eat(Keyword::On) {
            return Ok(());
        }
        let line = self.line();
        let name = self.ident()?;
        if name.text.eq_ignore_ascii_case("PRIMARY") || name.text.eq_ignore_ascii_case("default") {
            return Ok(());
        }
        Err(error(
            1921,
            line,
            format!("Invalid filegroup '{}' specified.", name.text),
        ))
    }

    fn check(&mut self) -> SyntaxResult<Spelled<Condition>> {
        self.expect(Keyword::Check)?;
        if self.at(Keyword::Not) {
            // NOT FOR REPLICATION would have to be kept: nothing reads it.
            return Err(self.syntax_error());
        }
        self.expect(Symbol::OpenParen)?;
        let condition = self.spelled(Self::condition)?;
        self.expect(Symbol::CloseParen)?;
        Ok(condition)
    }

    /// What `parse` takes, with its text in one pair of parentheses.
    pub(super) fn spelled<T>(
        &mut self,
        parse: fn(&mut Self) -> SyntaxResult<T>,
    ) -> SyntaxResult<Spelled<T>> {
        let first = self.position;
        let value = parse(self)?;
        let mut taken = &self.tokens[first..self.position];
        while let [open, inside @ .., close] = taken
            && is_pair(*open, inside, *close)
        {
            taken = inside;
        }
        let text = match (taken.first(), taken.last()) {
            (Some(first), Some(last)) => &self.source[first.start..last.end],
            (None | Some(_), None) | (None, Some(_)) => "",
        };
        Ok(Spelled {
            value,
            text: format!("({text})"),
        })
    }

    fn references(&mut self) -> SyntaxResult<References> {
        self.expect(Keyword::References)?;
        let table = self.object_name()?;
        let columns = if self.at(Symbol::OpenParen) {
            self.ident_list()?
        } else {
            Vec::new()
        };
        let mut references = References {
            table,
            columns,
            on_delete: ReferentialAction::default(),
            on_update: ReferentialAction::default(),
        };
        loop {
            if self.eat_pair(Keyword::On, Keyword::Delete) {
                references.on_delete = self.referential_action()?;
            } else if self.eat_pair(Keyword::On, Keyword::Update) {
                references.on_update = self.referential_action()?;
            } else {
                return Ok(references);
            }
        }
    }

    fn referential_action(&mut self) -> SyntaxResult<ReferentialAction> {
        if self.eat(Keyword::Cascade) {
            return Ok(ReferentialAction::Cascade);
        }
        if self.eat_pair("NO", "ACTION") {
            return Ok(ReferentialAction::NoAction);
        }
        self.expect(Keyword::Set)?;
        if self.eat(Keyword::Null) {
            return Ok(ReferentialAction::SetNull);
        }
        self.expect(Keyword::Default)?;
        Ok(ReferentialAction::SetDefault)
    }

    pub(super) fn index_column(&mut self) -> SyntaxResult<IndexColumn> {
        let name = self.ident()?;
        Ok(IndexColumn {
            name,
            descending: self.descending(),
        })
    }

    pub(super) fn inline_index(&mut self) -> SyntaxResult<InlineIndex> {
        self.expect(Keyword::Index)?;
        let name = self.ident()?;
        let unique = self.eat(Keyword::Unique);
        let clustered = self.clustering();
        let columnstore = self.eat("COLUMNSTORE");
        let columns = if self.at(Symbol::OpenParen) {
            self.parenthesised(Self::index_column)?
        } else {
            Vec::new()
        };
        let has_columns = !columns.is_empty() || (columnstore && clustered == Some(true));
        if !has_columns {
            return Err(self.syntax_error());
        }
        let include = if self.eat("INCLUDE") {
            self.ident_list()?
        } else {
            Vec::new()
        };
        let filter = if self.eat(Keyword::Where) {
            Some(self.spelled(Self::condition)?)
        } else {
            None
        };
        let options = if self.at(Keyword::With) {
            self.index_options()?
        } else {
            Vec::new()
        };
        self.primary_filegroup()?;
        Ok(InlineIndex {
            name,
            unique,
            clustered,
            columnstore,
            columns,
            include,
            filter,
            options,
        })
    }
}
