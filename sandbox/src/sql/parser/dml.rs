//! INSERT, UPDATE, DELETE, TRUNCATE and INSERT BULK.

use super::expression::compound_op;
use super::query::{Place, WithClause};
use super::type_name::LengthDefault;
use super::{Parser, Role};
use crate::sql::SyntaxResult;
use crate::sql::ast::*;
use crate::sql::keyword::Keyword;
use crate::sql::lexer::{Symbol, TokenKind};

impl Parser<'_> {
    /// SELECT or DML behind its WITH clause.
    pub(super) fn with_statement(&mut self) -> SyntaxResult<StatementKind> {
        let with = self.with_clause()?;
        match self.peek().kind {
            TokenKind::Keyword(Keyword::Insert) => self.insert(with),
            TokenKind::Keyword(Keyword::Update) => self.update(with),
            TokenKind::Keyword(Keyword::Delete) => self.delete(with),
            TokenKind::Keyword(Keyword::Merge) => self.merge(with),
            TokenKind::Keyword(Keyword::Select) if with.context.is_none() => self
                .query(with.ctes, Place::Statement)
                .map(|query| StatementKind::Select(Box::new(query))),
            _ => Err(self.syntax_error()),
        }
    }

    pub(super) fn insert(&mut self, with: WithClause) -> SyntaxResult<StatementKind> {
        let line = self.line();
        self.expect(Keyword::Insert)?;
        if self.at(Keyword::Bulk) && with.context.is_none() && with.ctes.is_empty() {
            return self.insert_bulk(line);
        }
        let top = self.top()?;
        self.eat(Keyword::Into);
        let target = self.target()?;
        let columns = if self.at(Symbol::OpenParen) && !self.at_subquery() {
            self.ident_list()?
        } else {
            Vec::new()
        };
        let output = self.output()?;
        let mut options = Vec::new();
        let source = match self.peek().kind {
            TokenKind::Keyword(Keyword::Values) => {
                self.next();
                let rows = self.list(|parser| parser.parenthesised(Self::value_or_default))?;
                options = self.query_options()?;
                InsertSource::Values(rows)
            }
            TokenKind::Keyword(Keyword::Default) => {
                self.next();
                self.expect(Keyword::Values)?;
                options = self.query_options()?;
                InsertSource::DefaultValues
            }
            TokenKind::Keyword(Keyword::Exec | Keyword::Execute) => {
                InsertSource::Execute(Box::new(self.execute()?))
            }
            TokenKind::Keyword(Keyword::Select) | TokenKind::Symbol(Symbol::OpenParen) => {
                let mut query = self.query(Vec::new(), Place::Source)?;
                options.append(&mut query.options);
                InsertSource::Query(Box::new(query))
            }
            _ => return Err(self.syntax_error()),
        };
        let WithClause { context, ctes } = with;
        let insert = Insert {
            context,
            ctes,
            top,
            target,
            columns,
            output,
            source,
            options,
            line,
        };
        Ok(StatementKind::Insert(Box::new(insert)))
    }

    pub(super) fn update(&mut self, with: WithClause) -> SyntaxResult<StatementKind> {
        let line = self.line();
        self.expect(Keyword::Update)?;
        let top = self.top()?;
        let target = self.target()?;
        self.expect(Keyword::Set)?;
        let set = self.list(Self::assignment)?;
        let output = self.output()?;
        let from = if self.eat(Keyword::From) {
            self.list(Self::table_source)?
        } else {
            Vec::new()
        };
        let filter = if self.eat(Keyword::Where) {
            Some(self.condition()?)
        } else {
            None
        };
        let options = self.query_options()?;
        let WithClause { context, ctes } = with;
        let update = Update {
            context,
            ctes,
            top,
            target,
            set,
            output,
            from,
            filter,
            options,
            line,
        };
        Ok(StatementKind::Update(Box::new(update)))
    }

    pub(super) fn delete(&mut self, with: WithClause) -> SyntaxResult<StatementKind> {
        let line = self.line();
        self.expect(Keyword::Delete)?;
        let top = self.top()?;
        self.eat(Keyword::From);
        let target = self.target()?;
        let output = self.output()?;
        let from = if self.eat(Keyword::From) {
            self.list(Self::table_source)?
        } else {
            Vec::new()
        };
        let filter = if self.eat(Keyword::Where) {
            Some(self.condition()?)
        } else {
            None
        };
        let options = self.query_options()?;
        let WithClause { context, ctes } = with;
        let delete = Delete {
            context,
            ctes,
            top,
            target,
            output,
            from,
            filter,
            options,
            line,
        };
        Ok(StatementKind::Delete(Box::new(delete)))
    }

    pub(super) fn truncate(&mut self) -> SyntaxResult<StatementKind> {
        self.expect(Keyword::Truncate)?;
        self.expect(Keyword::Table)?;
        self.object_name().map(StatementKind::Truncate)
    }

    pub(super) fn target(&mut self) -> SyntaxResult<Target> {
        if self.peek().kind == TokenKind::Variable {
            return self.variable_as(Some(Role::Table)).map(Target::Variable);
        }
        let name = self.object_name()?;
        Ok(Target::Table {
            name,
            hints: self.table_hints()?,
        })
    }

    pub(super) fn value_or_default(&mut self) -> SyntaxResult<ValueOrDefault> {
        if self.eat(Keyword::Default) {
            Ok(ValueOrDefault::Default)
        } else {
            self.expr().map(ValueOrDefault::Value)
        }
    }

    /// One item of UPDATE's SET.
    pub(super) fn assignment(&mut self) -> SyntaxResult<Assignment> {
        if self.peek().kind != TokenKind::Variable {
            let column = self.object_name()?;
            return self.column_assignment(None, column);
        }
        let variable = self.variable()?;
        let op = self.assignment_op()?;
        // `@v = column = value`: a column here is followed by another assignment.
        if op.is_none() && self.at_ident() {
            let start = self.position;
            let column = self.object_name()?;
            let assigns = matches!(
                self.peek().kind,
                TokenKind::Symbol(symbol) if symbol == Symbol::Equal || compound_op(symbol).is_some()
            );
            if assigns {
                return self.column_assignment(Some(variable), column);
            }
            self.position = start;
        }
        Ok(Assignment::Variable {
            variable,
            op,
            value: self.expr()?,
        })
    }

    fn column_assignment(
        &mut self,
        variable: Option<String>,
        column: ObjectName,
    ) -> SyntaxResult<Assignment> {
        let op = self.assignment_op()?;
        let value = if op.is_none() {
            self.value_or_default()?
        } else {
            ValueOrDefault::Value(self.expr()?)
        };
        Ok(Assignment::Column {
            variable,
            column,
            op,
            value,
        })
    }

    /// `=`, or the operator of `+=` and its kin.
    pub(super) fn assignment_op(&mut self) -> SyntaxResult<Option<BinaryOp>> {
        if let TokenKind::Symbol(symbol) = self.peek().kind
            && let Some(op) = compound_op(symbol)
        {
            self.next();
            return Ok(Some(op));
        }
        self.expect(Symbol::Equal)?;
        Ok(None)
    }

    /// OUTPUT, when written: into a table, to the client, or first one and then the other.
    pub(super) fn output(&mut self) -> SyntaxResult<Option<Output>> {
        let mut output = Output::default();
        let mut found = false;
        while output.items.is_none() && self.eat("OUTPUT") {
            found = true;
            let items = self.list(|parser| parser.select_item(Place::Nested))?;
            if output.into.is_some() || !self.eat(Keyword::Into) {
                output.items = Some(items);
                continue;
            }
            let target = match self.peek().kind {
                TokenKind::Variable => self.variable_as(Some(Role::Table)).map(Target::Variable)?,
                _ => Target::Table {
                    name: self.object_name()?,
                    hints: Vec::new(),
                },
            };
            let columns = if self.at(Symbol::OpenParen) && !self.at_subquery() {
                self.ident_list()?
            } else {
                Vec::new()
            };
            output.into = Some(OutputInto {
                items,
                target,
                columns,
            });
        }
        Ok(found.then_some(output))
    }

    fn insert_bulk(&mut self, line: u32) -> SyntaxResult<StatementKind> {
        self.expect(Keyword::Bulk)?;
        let table = self.object_name()?;
        let columns = if self.at(Symbol::OpenParen) {
            self.parenthesised(Self::bulk_column)?
        } else {
            Vec::new()
        };
        let options = if self.eat(Keyword::With) {
            self.parenthesised(Self::bulk_option)?
        } else {
            Vec::new()
        };
        Ok(StatementKind::InsertBulk(Box::new(InsertBulk {
            table,
            columns,
            options,
            line,
        })))
    }

    fn bulk_column(&mut self) -> SyntaxResult<BulkColumn> {
        let name = self.ident()?;
        let ty = self.type_name(LengthDefault::Declaration)?;
        let collation = if self.eat(Keyword::Collate) {
            Some(self.ident()?)
        } else {
            None
        };
        let nullable = self.nullability();
        Ok(BulkColumn {
            name,
            ty,
            collation,
            nullable,
        })
    }

    fn bulk_option(&mut self) -> SyntaxResult<BulkOption> {
        const PLAIN: &[(&str, BulkOption)] = &[
            ("TABLOCK", BulkOption::TabLock),
            ("CHECK_CONSTRAINTS", BulkOption::CheckConstraints),
            ("KEEP_NULLS", BulkOption::KeepNulls),
            ("KEEP_IDENTITY", BulkOption::KeepIdentity),
            ("FIRE_TRIGGERS", BulkOption::FireTriggers),
        ];
        for (word, option) in PLAIN {
            if self.eat(*word) {
                return Ok(option.clone());
            }
        }
        if self.eat_pair("ROWS_PER_BATCH", Symbol::Equal) {
            return self.integer().map(BulkOption::RowsPerBatch);
        }
        if self.eat_pair("KILOBYTES_PER_BATCH", Symbol::Equal) {
            return self.integer().map(BulkOption::KilobytesPerBatch);
        }
        self.expect(Keyword::Order)?;
        let order = self.parenthesised(|parser| {
            let column = parser.ident()?;
            Ok((column, parser.descending()))
        })?;
        Ok(BulkOption::Order(order))
    }
}
