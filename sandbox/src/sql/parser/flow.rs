//! Variables, control flow, errors, EXECUTE and transactions.

use super::type_name::LengthDefault;
use super::{Mention, Parser, Role};
use crate::sql::ast::*;
use crate::sql::keyword::Keyword;
use crate::sql::lexer::{Symbol, TokenKind};
use crate::sql::{SyntaxResult, error};

impl Parser<'_> {
    pub(super) fn declare(&mut self) -> SyntaxResult<StatementKind> {
        self.next();
        let list = self.list(Self::declaration)?;
        self.mentions.extend(list.iter().map(|declaration| Mention {
            name: declaration.name.clone(),
            line: declaration.line,
            role: Role::Declares,
        }));
        Ok(StatementKind::Declare(list))
    }

    fn declaration(&mut self) -> SyntaxResult<Declaration> {
        let line = self.line();
        let name = self.variable_as(None)?;
        self.eat(Keyword::As);
        let kind = if self.eat(Keyword::Table) {
            DeclarationKind::Table(self.table_definition()?)
        } else {
            let ty = self.type_name(LengthDefault::Declaration)?;
            let value = if self.eat(Symbol::Equal) {
                Some(self.expr()?)
            } else {
                None
            };
            DeclarationKind::Scalar { ty, value }
        };
        Ok(Declaration { name, kind, line })
    }

    pub(super) fn if_statement(&mut self) -> SyntaxResult<StatementKind> {
        self.next();
        let condition = self.condition()?;
        let then = self.statement_after_condition()?;
        // `IF .. SELECT 1; ELSE ..`: one semicolon may end the first branch.
        let has_else = self.eat_pair(Symbol::Semicolon, Keyword::Else) || self.eat(Keyword::Else);
        let otherwise = if has_else {
            Some(self.statement()?)
        } else {
            None
        };
        Ok(StatementKind::If(Box::new(If {
            condition,
            then,
            otherwise,
        })))
    }

    pub(super) fn while_statement(&mut self) -> SyntaxResult<StatementKind> {
        self.next();
        let condition = self.condition()?;
        let body = self.statement_after_condition()?;
        Ok(StatementKind::While(Box::new(While { condition, body })))
    }

    fn statement_after_condition(&mut self) -> SyntaxResult<Statement> {
        self.after_condition = Some(self.position);
        self.statement()
    }

    /// BEGIN TRAN, BEGIN TRY, or a block.
    pub(super) fn begin(&mut self) -> SyntaxResult<StatementKind> {
        if self.at_ahead(1, Keyword::Tran) || self.at_ahead(1, Keyword::Transaction) {
            self.position += 2;
            let name = self.transaction_name()?;
            let mark = if name.is_some() && self.eat_pair(Keyword::With, "MARK") {
                Some(
                    if matches!(self.peek().kind, TokenKind::Str | TokenKind::NationalStr) {
                        self.string()?
                    } else {
                        String::new()
                    },
                )
            } else {
                None
            };
            return Ok(StatementKind::Transaction(TransactionStatement::Begin {
                name,
                mark,
            }));
        }
        self.expect(Keyword::Begin)?;
        if !self.eat("TRY") {
            let body = self.filled_block()?;
            self.expect(Keyword::End)?;
            return Ok(StatementKind::Block(body));
        }
        let body = self.filled_block()?;
        self.expect(Keyword::End)?;
        self.expect("TRY")?;
        self.expect(Keyword::Begin)?;
        self.expect("CATCH")?;
        let handler = self.statements_until_block_end()?;
        self.expect(Keyword::End)?;
        self.expect("CATCH")?;
        Ok(StatementKind::TryCatch { body, handler })
    }

    fn filled_block(&mut self) -> SyntaxResult<Vec<Statement>> {
        let body = self.statements_until_block_end()?;
        if body.is_empty() {
            Err(self.syntax_error())
        } else {
            Ok(body)
        }
    }

    pub(super) fn throw(&mut self) -> SyntaxResult<StatementKind> {
        self.next();
        if !matches!(self.peek().kind, TokenKind::Int | TokenKind::Variable) {
            return Ok(StatementKind::Throw(None));
        }
        let number = self.simple_value()?;
        self.expect(Symbol::Comma)?;
        let message = self.simple_value()?;
        self.expect(Symbol::Comma)?;
        let state = self.simple_value()?;
        Ok(StatementKind::Throw(Some(Box::new(Throw {
            number,
            message,
            state,
        }))))
    }

    /// A literal, perhaps signed, or a variable.
    pub(super) fn simple_value(&mut self) -> SyntaxResult<Expr> {
        let line = self.line();
        let sign = if self.eat(Symbol::Minus) {
            Some(UnaryOp::Minus)
        } else if self.eat(Symbol::Plus) {
            Some(UnaryOp::Plus)
        } else {
            None
        };
        let token = self.peek();
        let kind = match token.kind {
            TokenKind::Variable if sign.is_none() => {
                return self.variable().map(|name| Expr {
                    kind: ExprKind::Variable(name),
                    line,
                });
            }
            TokenKind::Global if sign.is_none() => {
                ExprKind::GlobalVariable(self.text(token).to_owned())
            }
            TokenKind::Keyword(Keyword::Null) if sign.is_none() => ExprKind::Literal(Literal::Null),
            _ => ExprKind::Literal(self.literal_of(token)?.ok_or_else(|| self.syntax_error())?),
        };
        self.next();
        let expr = Expr { kind, line };
        Ok(match sign {
            Some(op) => Expr {
                kind: ExprKind::Unary {
                    op,
                    expr: Box::new(expr),
                },
                line,
            },
            None => expr,
        })
    }

    pub(super) fn raiserror(&mut self) -> SyntaxResult<StatementKind> {
        self.next();
        self.expect(Symbol::OpenParen)?;
        let message = self.simple_value()?;
        self.expect(Symbol::Comma)?;
        let severity = self.simple_value()?;
        self.expect(Symbol::Comma)?;
        let state = self.simple_value()?;
        let mut args = Vec::new();
        while self.eat(Symbol::Comma) {
            args.push(self.simple_value()?);
        }
        self.expect(Symbol::CloseParen)?;
        let options = if self.eat(Keyword::With) {
            self.list(Self::raiserror_option)?
        } else {
            Vec::new()
        };
        Ok(StatementKind::RaisError(Box::new(RaisError {
            message,
            severity,
            state,
            args,
            options,
        })))
    }

    fn raiserror_option(&mut self) -> SyntaxResult<RaisErrorOption> {
        if self.eat("LOG") {
            Ok(RaisErrorOption::Log)
        } else if self.eat("NOWAIT") {
            Ok(RaisErrorOption::NoWait)
        } else {
            self.expect("SETERROR")?;
            Ok(RaisErrorOption::SetError)
        }
    }

    pub(super) fn return_statement(&mut self) -> SyntaxResult<StatementKind> {
        self.next();
        let valued = match self.peek().kind {
            TokenKind::Int | TokenKind::Variable | TokenKind::Global => true,
            TokenKind::Symbol(symbol) => matches!(
                symbol,
                Symbol::OpenParen | Symbol::Minus | Symbol::Plus | Symbol::Tilde
            ),
            TokenKind::Keyword(keyword) => matches!(
                keyword,
                Keyword::Case
                    | Keyword::Coalesce
                    | Keyword::Convert
                    | Keyword::Nullif
                    | Keyword::Null
            ),
            _ => false,
        };
        let value = if valued { Some(self.expr()?) } else { None };
        Ok(StatementKind::Return(value))
    }

    pub(super) fn waitfor(&mut self) -> SyntaxResult<StatementKind> {
        self.next();
        let delay = self.eat("DELAY");
        if !delay {
            self.expect("TIME")?;
        }
        let value = self.simple_value()?;
        Ok(StatementKind::WaitFor(if delay {
            WaitFor::Delay(value)
        } else {
            WaitFor::Time(value)
        }))
    }

    /// EXECUTE of a procedure, of a variable that names one, or of text.
    pub(super) fn execute(&mut self) -> SyntaxResult<Execute> {
        let line = self.line();
        self.next();
        if self.at(Symbol::OpenParen) {
            let call = self.execute_text()?;
            return Ok(Execute {
                status: None,
                call,
                with_recompile: false,
                line,
            });
        }
        let status = if self.peek().kind == TokenKind::Variable && self.at_ahead(1, Symbol::Equal) {
            let status = self.variable()?;
            self.next();
            Some(status)
        } else {
            None
        };
        let call = if self.peek().kind == TokenKind::Variable {
            Call::Variable {
                name: self.variable()?,
                args: self.exec_args()?,
            }
        } else {
            Call::Procedure {
                name: self.object_name()?,
                args: self.exec_args()?,
            }
        };
        let with_recompile = self.eat_pair(Keyword::With, "RECOMPILE");
        Ok(Execute {
            status,
            call,
            with_recompile,
            line,
        })
    }

    /// A procedure's name and arguments at the head of a batch.
    pub(super) fn bare_call(&mut self) -> SyntaxResult<Execute> {
        let line = self.line();
        let call = Call::Procedure {
            name: self.object_name()?,
            args: self.exec_args()?,
        };
        Ok(Execute {
            status: None,
            call,
            with_recompile: false,
            line,
        })
    }

    fn execute_text(&mut self) -> SyntaxResult<Call> {
        self.expect(Symbol::OpenParen)?;
        let mut parts = vec![self.simple_value()?];
        while self.eat(Symbol::Plus) {
            parts.push(self.simple_value()?);
        }
        self.expect(Symbol::CloseParen)?;
        let login = if self.eat(Keyword::As) {
            let login = self.eat("LOGIN");
            if !login {
                self.expect(Keyword::User)?;
            }
            self.expect(Symbol::Equal)?;
            Some(ExecuteAs {
                login,
                name: self.string()?,
            })
        } else {
            None
        };
        Ok(Call::Text { parts, login })
    }

    fn exec_args(&mut self) -> SyntaxResult<Vec<ExecArg>> {
        if !self.at_exec_arg() {
            return Ok(Vec::new());
        }
        let mut named = false;
        let mut position = 0u32;
        self.list(|parser| {
            position += 1;
            let line = parser.line();
            let arg = parser.exec_arg()?;
            if named && arg.name.is_none() {
                let message = format!(
                    "Must pass parameter number {position} and subsequent parameters as '@name = value'. After the \
                        form '@name = value' has been \
                     used, all subsequent parameters must be passed in the form '@name = value'."
                );
                return Err(error(119, line, message));
            }
            named |= arg.name.is_some();
            Ok(arg)
        })
    }

    fn at_exec_arg(&self) -> bool {
        match self.peek().kind {
            TokenKind::Keyword(keyword) => matches!(keyword, Keyword::Null | Keyword::Default),
            TokenKind::Symbol(symbol) => matches!(symbol, Symbol::Minus | Symbol::Plus),
            TokenKind::End | TokenKind::Dollar | TokenKind::Pseudo => false,
            TokenKind::Word | TokenKind::Quoted | TokenKind::Variable | TokenKind::Global => true,
            TokenKind::Int | TokenKind::Decimal | TokenKind::Float | TokenKind::Money => true,
            TokenKind::Str | TokenKind::NationalStr | TokenKind::Binary => true,
        }
    }

    fn exec_arg(&mut self) -> SyntaxResult<ExecArg> {
        let name = if self.peek().kind == TokenKind::Variable && self.at_ahead(1, Symbol::Equal) {
            let name = self.variable_as(None)?;
            self.next();
            Some(name)
        } else {
            None
        };
        let line = self.line();
        let value = if self.eat(Keyword::Default) {
            ExecValue::Default
        } else if self.at_ident() {
            let text = self.ident()?.text;
            ExecValue::Value(Expr {
                kind: ExprKind::Literal(Literal::Str {
                    text,
                    national: true,
                }),
                line,
            })
        } else {
            ExecValue::Value(self.simple_value()?)
        };
        let output = self.eat("OUTPUT") || self.eat("OUT");
        Ok(ExecArg {
            name,
            value,
            output,
        })
    }

    /// COMMIT, ROLLBACK and SAVE; a name needs TRAN before it.
    pub(super) fn transaction(&mut self, keyword: Keyword) -> SyntaxResult<StatementKind> {
        self.next();
        let tran = self.eat(Keyword::Tran) || self.eat(Keyword::Transaction);
        if keyword == Keyword::Save {
            let name = if tran { self.transaction_name()? } else { None };
            let name = name.ok_or_else(|| self.syntax_error())?;
            return Ok(StatementKind::Transaction(TransactionStatement::Save {
                name,
            }));
        }
        let name = if tran { self.transaction_name()? } else { None };
        if !tran {
            self.eat("WORK");
        }
        Ok(StatementKind::Transaction(match keyword {
            Keyword::Commit => TransactionStatement::Commit { name },
            _ => TransactionStatement::Rollback { name },
        }))
    }

    fn transaction_name(&mut self) -> SyntaxResult<Option<TransactionName>> {
        if self.peek().kind == TokenKind::Variable {
            return self
                .variable()
                .map(|name| Some(TransactionName::Variable(name)));
        }
        if !self.at_ident() {
            return Ok(None);
        }
        self.ident().map(|name| Some(TransactionName::Name(name)))
    }
}
