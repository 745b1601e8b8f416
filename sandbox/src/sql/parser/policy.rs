//! Inline table-valued functions, and the security policies that filter by them.

use super::query::Place;
use super::type_name::LengthDefault;
use super::{Parser, Role};
use crate::sql::SyntaxResult;
use crate::sql::ast::*;
use crate::sql::keyword::Keyword;
use crate::sql::lexer::Symbol;

impl Parser<'_> {
    /// A function is its whole batch. Scalar ones and those of several statements are not known.
    pub(super) fn create_function(&mut self, start: usize) -> SyntaxResult<StatementKind> {
        self.check_first(start, "CREATE FUNCTION")?;
        self.expect(Keyword::Function)?;
        let name = self.object_name()?;
        let parameters = self.parenthesised(|parser| {
            let parameter = parser.variable_as(Some(Role::Declares))?;
            parser.eat(Keyword::As);
            parser.type_name(LengthDefault::Declaration)?;
            Ok(parameter)
        })?;
        self.expect("RETURNS")?;
        self.expect(Keyword::Table)?;
        if self.eat(Keyword::With) {
            self.expect("SCHEMABINDING")?;
        }
        self.expect(Keyword::As)?;
        self.expect(Keyword::Return)?;
        let enclosed = self.eat(Symbol::OpenParen);
        let from = self.peek().start;
        self.query(Vec::new(), Place::View)?;
        let to = self.tokens[self.position - 1].end;
        if enclosed {
            self.expect(Symbol::CloseParen)?;
        }
        self.eat_semicolons();
        self.expect_end()?;
        Ok(StatementKind::CreateFunction(CreateFunction {
            name,
            parameters,
            body: self.source[from..to].to_owned(),
        }))
    }

    /// `CREATE SECURITY POLICY name ADD FILTER PREDICATE f(columns) ON table, .. WITH (STATE = ON)`
    pub(super) fn create_policy(&mut self) -> SyntaxResult<StatementKind> {
        self.expect("POLICY")?;
        let name = self.object_name()?;
        let predicates = self.list(|parser| {
            parser.expect(Keyword::Add)?;
            parser.expect("FILTER")?;
            parser.expect("PREDICATE")?;
            let function = parser.object_name()?;
            let columns = parser.ident_list()?;
            parser.expect(Keyword::On)?;
            Ok(FilterPredicate {
                function,
                columns,
                table: parser.object_name()?,
            })
        })?;
        let enabled = match self.eat(Keyword::With) {
            true => self.policy_state()?,
            false => true,
        };
        Ok(StatementKind::CreatePolicy(CreatePolicy {
            name,
            predicates,
            enabled,
        }))
    }

    /// `ALTER SECURITY POLICY name WITH (STATE = OFF)`
    pub(super) fn alter_policy(&mut self) -> SyntaxResult<StatementKind> {
        self.expect("POLICY")?;
        let name = self.object_name()?;
        self.expect(Keyword::With)?;
        let enabled = self.policy_state()?;
        Ok(StatementKind::AlterPolicy(AlterPolicy { name, enabled }))
    }

    fn policy_state(&mut self) -> SyntaxResult<bool> {
        let mut enabled = true;
        self.parenthesised(|parser| {
            if parser.eat("STATE") {
                enabled = parser.equals_on_off()?;
                return Ok(());
            }
            parser.expect("SCHEMABINDING")?;
            parser.equals_on_off().map(|_| ())
        })?;
        Ok(enabled)
    }
}
