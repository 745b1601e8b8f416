//! Which statement the next token opens, and how statements follow each other.

use super::Parser;
use super::query::{Place, WithClause};
use crate::sql::ast::*;
use crate::sql::keyword::Keyword;
use crate::sql::lexer::{Symbol, TokenKind};
use crate::sql::{SyntaxResult, error};

impl Parser<'_> {
    /// The whole batch. Only its first statement may call a procedure without EXECUTE.
    pub(super) fn statements_until_end(&mut self) -> SyntaxResult<Vec<Statement>> {
        let mut statements = Vec::new();
        self.eat_semicolons();
        if self.at_bare_call() {
            let line = self.line();
            let kind = StatementKind::Execute(Box::new(self.bare_call()?));
            statements.push(Statement { kind, line });
            self.eat_semicolons();
        }
        while !self.at_end() {
            statements.push(self.statement()?);
            self.eat_semicolons();
        }
        Ok(statements)
    }

    /// Statements up to END.
    pub(super) fn statements_until_block_end(&mut self) -> SyntaxResult<Vec<Statement>> {
        let mut statements = Vec::new();
        self.eat_semicolons();
        while !self.at(Keyword::End) {
            statements.push(self.statement()?);
            self.eat_semicolons();
        }
        Ok(statements)
    }

    pub(super) fn eat_semicolons(&mut self) {
        while self.eat(Symbol::Semicolon) {}
    }

    fn at_bare_call(&self) -> bool {
        self.at_ident() && !self.at_word_statement()
    }

    /// Statements that open with a word that is not reserved.
    fn at_word_statement(&self) -> bool {
        let toggles =
            (self.at("ENABLE") || self.at("DISABLE")) && self.at_ahead(1, Keyword::Trigger);
        self.at("THROW") || toggles
    }

    pub(super) fn statement(&mut self) -> SyntaxResult<Statement> {
        self.enter()?;
        self.height = 0;
        let line = self.line();
        let kind = match self.peek().kind {
            TokenKind::Keyword(keyword) => self.keyword_statement(keyword)?,
            TokenKind::Word if self.at("THROW") => self.throw()?,
            TokenKind::Word if self.at_word_statement() => self.toggle_trigger()?,
            TokenKind::Symbol(Symbol::OpenParen)
                if self.at_subquery() || self.at_ahead(1, Symbol::OpenParen) =>
            {
                self.select_statement()?
            }
            _ => return Err(self.syntax_error()),
        };
        self.leave();
        Ok(Statement { kind, line })
    }

    fn select_statement(&mut self) -> SyntaxResult<StatementKind> {
        self.query(Vec::new(), Place::Statement)
            .map(|query| StatementKind::Select(Box::new(query)))
    }

    fn keyword_statement(&mut self, keyword: Keyword) -> SyntaxResult<StatementKind> {
        match keyword {
            Keyword::Select => self.select_statement(),
            Keyword::With => {
                self.check_terminated()?;
                self.with_statement()
            }
            Keyword::Insert => self.insert(WithClause::default()),
            Keyword::Update if self.at_ahead(1, Keyword::Statistics) => self.update_statistics(),
            Keyword::Update => self.update(WithClause::default()),
            Keyword::Delete => self.delete(WithClause::default()),
            Keyword::Merge => self.merge(WithClause::default()),
            Keyword::Truncate => self.truncate(),
            Keyword::Create => self.create(),
            Keyword::Alter => self.alter(),
            Keyword::Drop => self.drop_statement(),
            Keyword::Grant | Keyword::Deny | Keyword::Revoke => self.permission(keyword),
            Keyword::Declare => self.declare(),
            Keyword::Set => self.set_statement(),
            Keyword::If => self.if_statement(),
            Keyword::While => self.while_statement(),
            Keyword::Begin => self.begin(),
            Keyword::Break => Ok(self.plain(StatementKind::Break)),
            Keyword::Continue => Ok(self.plain(StatementKind::Continue)),
            Keyword::Checkpoint => Ok(self.plain(StatementKind::Checkpoint)),
            Keyword::Raiserror => self.raiserror(),
            Keyword::Print => {
                self.next();
                self.expr().map(StatementKind::Print)
            }
            Keyword::Return => self.return_statement(),
            Keyword::Waitfor => self.waitfor(),
            Keyword::Use => {
                self.next();
                self.ident().map(StatementKind::Use)
            }
            Keyword::Exec | Keyword::Execute => self
                .execute()
                .map(|execute| StatementKind::Execute(Box::new(execute))),
            Keyword::Commit | Keyword::Rollback | Keyword::Save => self.transaction(keyword),
            Keyword::Kill => {
                self.next();
                self.expr().map(StatementKind::Kill)
            }
            _ => Err(self.syntax_error()),
        }
    }

    fn plain(&mut self, kind: StatementKind) -> StatementKind {
        self.next();
        kind
    }

    /// WITH opens a statement only after a semicolon, or where nothing precedes it in its block.
    fn check_terminated(&self) -> SyntaxResult<()> {
        let Some(before) = self.position.checked_sub(1) else {
            return Ok(());
        };
        let terminated = match self.tokens[before].kind {
            TokenKind::Symbol(Symbol::Semicolon)
            | TokenKind::Keyword(Keyword::Begin | Keyword::Else | Keyword::As) => true,
            TokenKind::Word => {
                let opens = matches!(
                    before.checked_sub(1).map(|at| self.tokens[at].kind),
                    Some(TokenKind::Keyword(Keyword::Begin))
                );
                let word = self.text(self.tokens[before]);
                opens && (word.eq_ignore_ascii_case("TRY") || word.eq_ignore_ascii_case("CATCH"))
            }
            _ => self.after_condition == Some(self.position),
        };
        if terminated {
            Ok(())
        } else {
            Err(self.syntax_error())
        }
    }

    /// The statement must be the batch's first.
    pub(super) fn check_first(&self, start: usize, what: &str) -> SyntaxResult<()> {
        let first = self.tokens[..start]
            .iter()
            .all(|token| token.kind == TokenKind::Symbol(Symbol::Semicolon));
        if first {
            return Ok(());
        }
        let message = format!("'{what}' must be the first statement in a query batch.");
        Err(error(111, self.tokens[start].line, message))
    }

    fn create(&mut self) -> SyntaxResult<StatementKind> {
        let start = self.position;
        self.expect(Keyword::Create)?;
        let mode = if self.eat_pair(Keyword::Or, Keyword::Alter) {
            CreateMode::CreateOrAlter
        } else {
            CreateMode::Create
        };
        match self.peek().kind {
            TokenKind::Keyword(Keyword::View) => return self.view(start, mode),
            TokenKind::Keyword(Keyword::Trigger) => return self.trigger(start, mode),
            _ if mode == CreateMode::CreateOrAlter => return Err(self.syntax_error()),
            _ => {}
        }
        match self.peek().kind {
            TokenKind::Keyword(Keyword::Table) => self.create_table(),
            TokenKind::Keyword(Keyword::Schema) => self.create_schema(start),
            TokenKind::Keyword(Keyword::Database) => self.create_database(),
            TokenKind::Keyword(Keyword::Statistics) => self.create_statistics(),
            TokenKind::Keyword(Keyword::User) => self.create_user(),
            TokenKind::Keyword(Keyword::Function) => self.create_function(start),
            TokenKind::Keyword(
                Keyword::Unique | Keyword::Clustered | Keyword::Nonclustered | Keyword::Index,
            ) => self.create_index(),
            _ if self.at("COLUMNSTORE") => self.create_index(),
            _ if self.eat("TYPE") => self.create_type(),
            _ if self.eat("SEQUENCE") => self
                .sequence()
                .map(|sequence| StatementKind::CreateSequence(Box::new(sequence))),
            _ if self.eat("LOGIN") => self.create_login(),
            _ if self.eat("SECURITY") => self.create_policy(),
            _ if self.eat("ROLE") => self.ident().map(StatementKind::CreateRole),
            _ => Err(self.syntax_error()),
        }
    }

    fn alter(&mut self) -> SyntaxResult<StatementKind> {
        let start = self.position;
        self.expect(Keyword::Alter)?;
        match self.peek().kind {
            TokenKind::Keyword(Keyword::View) => self.view(start, CreateMode::Alter),
            TokenKind::Keyword(Keyword::Trigger) => self.trigger(start, CreateMode::Alter),
            TokenKind::Keyword(Keyword::Table) => self.alter_table(start),
            TokenKind::Keyword(Keyword::Index) => self.alter_index(),
            TokenKind::Keyword(Keyword::Database) => self.alter_database(),
            TokenKind::Keyword(Keyword::Schema) => self.alter_schema(),
            _ if self.eat("SEQUENCE") => self
                .sequence()
                .map(|sequence| StatementKind::AlterSequence(Box::new(sequence))),
            _ if self.eat("LOGIN") => self.alter_login(),
            _ if self.eat("SECURITY") => self.alter_policy(),
            _ if self.at("ROLE") || self.at("SERVER") => self.alter_role(),
            _ => Err(self.syntax_error()),
        }
    }
}
