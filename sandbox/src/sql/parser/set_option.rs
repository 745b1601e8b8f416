//! SET.

use super::Parser;
use crate::sql::SyntaxResult;
use crate::sql::ast::*;
use crate::sql::keyword::Keyword;
use crate::sql::lexer::{Symbol, TokenKind};

const FLAGS: &[(&str, SetFlag)] = &[
    ("ANSI_DEFAULTS", SetFlag::AnsiDefaults),
    ("ANSI_NULL_DFLT_OFF", SetFlag::AnsiNullDfltOff),
    ("ANSI_NULL_DFLT_ON", SetFlag::AnsiNullDfltOn),
    ("ANSI_NULLS", SetFlag::AnsiNulls),
    ("ANSI_PADDING", SetFlag::AnsiPadding),
    ("ANSI_WARNINGS", SetFlag::AnsiWarnings),
    ("ARITHABORT", SetFlag::ArithAbort),
    ("ARITHIGNORE", SetFlag::ArithIgnore),
    ("CONCAT_NULL_YIELDS_NULL", SetFlag::ConcatNullYieldsNull),
    ("CURSOR_CLOSE_ON_COMMIT", SetFlag::CursorCloseOnCommit),
    ("FMTONLY", SetFlag::FmtOnly),
    ("FORCEPLAN", SetFlag::ForcePlan),
    ("IMPLICIT_TRANSACTIONS", SetFlag::ImplicitTransactions),
    ("NO_BROWSETABLE", SetFlag::NoBrowseTable),
    ("NOCOUNT", SetFlag::NoCount),
    ("NOEXEC", SetFlag::NoExec),
    ("NUMERIC_ROUNDABORT", SetFlag::NumericRoundAbort),
    ("PARSEONLY", SetFlag::ParseOnly),
    ("QUOTED_IDENTIFIER", SetFlag::QuotedIdentifier),
    ("REMOTE_PROC_TRANSACTIONS", SetFlag::RemoteProcTransactions),
    ("SHOWPLAN_ALL", SetFlag::ShowPlanAll),
    ("SHOWPLAN_TEXT", SetFlag::ShowPlanText),
    ("SHOWPLAN_XML", SetFlag::ShowPlanXml),
    ("XACT_ABORT", SetFlag::XactAbort),
];

impl Parser<'_> {
    pub(super) fn set_statement(&mut self) -> SyntaxResult<StatementKind> {
        self.next();
        if self.peek().kind == TokenKind::Variable {
            let name = self.variable()?;
            let op = self.assignment_op()?;
            let value = self.expr()?;
            return Ok(StatementKind::SetVariable(SetVariable { name, op, value }));
        }
        self.set_option().map(StatementKind::SetOption)
    }

    fn set_option(&mut self) -> SyntaxResult<SetOption> {
        if self.eat(Keyword::Tran) || self.eat(Keyword::Transaction) {
            self.expect("ISOLATION")?;
            self.expect("LEVEL")?;
            return self.isolation_level().map(SetOption::IsolationLevel);
        }
        if self.eat(Keyword::IdentityInsert) {
            let table = self.object_name()?;
            return Ok(SetOption::IdentityInsert {
                table,
                on: self.on_off()?,
            });
        }
        if self.eat(Keyword::Statistics) {
            let kinds = self.list(Self::statistics_kind)?;
            return Ok(SetOption::Statistics(kinds, self.on_off()?));
        }
        if self.eat(Keyword::Textsize) {
            return self.simple_value().map(SetOption::TextSize);
        }
        if self.eat(Keyword::Rowcount) {
            return self.simple_value().map(SetOption::RowCount);
        }
        if self.eat("DATEFIRST") {
            return self.simple_value().map(SetOption::DateFirst);
        }
        if self.eat("DATEFORMAT") {
            return self.value_or_name().map(SetOption::DateFormat);
        }
        if self.eat("LANGUAGE") {
            return self.value_or_name().map(SetOption::Language);
        }
        if self.eat("LOCK_TIMEOUT") {
            return self.simple_value().map(SetOption::LockTimeout);
        }
        if self.eat("DEADLOCK_PRIORITY") {
            return self.deadlock_priority().map(SetOption::DeadlockPriority);
        }
        if self.eat("CONTEXT_INFO") {
            return self.simple_value().map(SetOption::ContextInfo);
        }
        if self.eat("QUERY_GOVERNOR_COST_LIMIT") {
            return self.simple_value().map(SetOption::QueryGovernorCostLimit);
        }
        let flags = self.list(Self::set_flag)?;
        Ok(SetOption::Flags(flags, self.on_off()?))
    }

    fn set_flag(&mut self) -> SyntaxResult<SetFlag> {
        for (word, flag) in FLAGS {
            if self.eat(*word) {
                return Ok(*flag);
            }
        }
        Err(self.syntax_error())
    }

    fn statistics_kind(&mut self) -> SyntaxResult<StatisticsKind> {
        const KINDS: &[(&str, StatisticsKind)] = &[
            ("IO", StatisticsKind::Io),
            ("TIME", StatisticsKind::Time),
            ("XML", StatisticsKind::Xml),
            ("PROFILE", StatisticsKind::Profile),
        ];
        for (word, kind) in KINDS {
            if self.eat(*word) {
                return Ok(*kind);
            }
        }
        Err(self.syntax_error())
    }

    fn isolation_level(&mut self) -> SyntaxResult<IsolationLevel> {
        if self.eat("SERIALIZABLE") {
            return Ok(IsolationLevel::Serializable);
        }
        if self.eat("SNAPSHOT") {
            return Ok(IsolationLevel::Snapshot);
        }
        if self.eat("REPEATABLE") {
            self.expect(Keyword::Read)?;
            return Ok(IsolationLevel::RepeatableRead);
        }
        self.expect(Keyword::Read)?;
        if self.eat("COMMITTED") {
            return Ok(IsolationLevel::ReadCommitted);
        }
        self.expect("UNCOMMITTED")?;
        Ok(IsolationLevel::ReadUncommitted)
    }

    /// A name stands for its text.
    fn value_or_name(&mut self) -> SyntaxResult<Expr> {
        if !self.at_ident() {
            return self.simple_value();
        }
        let line = self.line();
        let text = self.ident()?.text;
        Ok(Expr {
            kind: ExprKind::Literal(Literal::Str {
                text,
                national: true,
            }),
            line,
        })
    }

    fn deadlock_priority(&mut self) -> SyntaxResult<Expr> {
        let line = self.line();
        let int = |value| Expr {
            kind: ExprKind::Literal(Literal::Int(value)),
            line,
        };
        if self.eat("LOW") {
            return Ok(Expr {
                kind: ExprKind::Unary {
                    op: UnaryOp::Minus,
                    expr: Box::new(int(5)),
                },
                line,
            });
        }
        if self.eat("NORMAL") {
            return Ok(int(0));
        }
        if self.eat("HIGH") {
            return Ok(int(5));
        }
        self.simple_value()
    }

    /// `WORD = n`
    pub(super) fn equals_integer(&mut self) -> SyntaxResult<u32> {
        self.expect(Symbol::Equal)?;
        self.integer()
    }
}
