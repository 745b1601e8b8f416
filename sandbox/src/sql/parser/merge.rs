//! MERGE.

use super::Parser;
use super::query::WithClause;
use crate::sql::ast::*;
use crate::sql::keyword::Keyword;
use crate::sql::lexer::{Symbol, TokenKind};
use crate::sql::{SyntaxResult, error};

impl Parser<'_> {
    /// MERGE must end in a semicolon, which stays the next token.
    pub(super) fn merge(&mut self, with: WithClause) -> SyntaxResult<StatementKind> {
        let line = self.line();
        self.expect(Keyword::Merge)?;
        let top = self.top()?;
        self.eat(Keyword::Into);
        let target = self.target()?;
        let alias = self.table_alias()?;
        self.expect("USING")?;
        let source = self.table_source()?;
        self.expect(Keyword::On)?;
        let on = self.condition()?;
        let mut clauses = Vec::new();
        while self.at(Keyword::When) {
            clauses.push(self.merge_clause()?);
        }
        if clauses.is_empty() {
            return Err(self.syntax_error());
        }
        let output = self.output()?;
        let options = self.query_options()?;
        if !self.at(Symbol::Semicolon) {
            let last = self.tokens[self.position.saturating_sub(1)].line;
            return Err(error(
                10713,
                last,
                "A MERGE statement must be terminated by a semi-colon (;).".to_owned(),
            ));
        }
        let WithClause { context, ctes } = with;
        let merge = Merge {
            context,
            ctes,
            top,
            target,
            alias,
            source,
            on,
            clauses,
            output,
            options,
            line,
        };
        check_clauses(&merge.clauses)?;
        Ok(StatementKind::Merge(Box::new(merge)))
    }

    fn merge_clause(&mut self) -> SyntaxResult<MergeClause> {
        let line = self.line();
        self.expect(Keyword::When)?;
        let when = if self.eat("MATCHED") {
            MergeWhen::Matched
        } else {
            self.expect(Keyword::Not)?;
            self.expect("MATCHED")?;
            if self.eat_pair(Keyword::By, "SOURCE") {
                MergeWhen::NotMatchedBySource
            } else {
                if self.eat(Keyword::By) {
                    self.expect("TARGET")?;
                }
                MergeWhen::NotMatchedByTarget
            }
        };
        let condition = if self.eat(Keyword::And) {
            Some(self.condition()?)
        } else {
            None
        };
        self.expect(Keyword::Then)?;
        let action = self.merge_action(when)?;
        Ok(MergeClause {
            when,
            condition,
            action,
            line,
        })
    }

    fn merge_action(&mut self, when: MergeWhen) -> SyntaxResult<MergeAction> {
        let inserts = when == MergeWhen::NotMatchedByTarget;
        let token = self.peek();
        match token.kind {
            TokenKind::Keyword(Keyword::Delete) if !inserts => {
                self.next();
                Ok(MergeAction::Delete)
            }
            TokenKind::Keyword(Keyword::Update) if !inserts => {
                self.next();
                self.expect(Keyword::Set)?;
                self.list(Self::assignment).map(MergeAction::Update)
            }
            TokenKind::Keyword(Keyword::Insert) if inserts => {
                self.next();
                let columns = if self.at(Symbol::OpenParen) {
                    self.ident_list()?
                } else {
                    Vec::new()
                };
                if self.eat(Keyword::Default) {
                    self.expect(Keyword::Values)?;
                    return Ok(MergeAction::Insert {
                        columns,
                        values: None,
                    });
                }
                self.expect(Keyword::Values)?;
                let values = Some(self.parenthesised(Self::value_or_default)?);
                Ok(MergeAction::Insert { columns, values })
            }
            TokenKind::Keyword(Keyword::Delete | Keyword::Update | Keyword::Insert) => {
                let clause = match when {
                    MergeWhen::Matched => "WHEN MATCHED",
                    MergeWhen::NotMatchedByTarget => "WHEN NOT MATCHED",
                    MergeWhen::NotMatchedBySource => "WHEN NOT MATCHED BY SOURCE",
                };
                let action = self.text(token).to_ascii_uppercase();
                let message = format!(
                    "An action of type '{action}' is not allowed in the '{clause}' clause of a MERGE statement."
                );
                Err(error(10711, token.line, message))
            }
            _ => Err(self.syntax_error()),
        }
    }
}

/// No clause may follow one of its kind that has no condition, and actions may not repeat.
fn check_clauses(clauses: &[MergeClause]) -> SyntaxResult<()> {
    for (index, clause) in clauses.iter().enumerate() {
        for earlier in clauses[..index]
            .iter()
            .filter(|earlier| earlier.when == clause.when)
        {
            let name = match clause.when {
                MergeWhen::Matched => "WHEN MATCHED",
                MergeWhen::NotMatchedByTarget => "WHEN NOT MATCHED",
                MergeWhen::NotMatchedBySource => "WHEN NOT MATCHED BY SOURCE",
            };
            if earlier.condition.is_none() {
                let message = format!(
                    "In a MERGE statement, a '{name}' clause with a search condition cannot appear after a '{name}' \
                        clause with no search condition."
                );
                return Err(error(5324, clause.line, message));
            }
            let (number, action) = match (&earlier.action, &clause.action) {
                (MergeAction::Delete, MergeAction::Delete) => (10714, "DELETE"),
                (MergeAction::Update(_), MergeAction::Update(_)) => (10714, "UPDATE"),
                (MergeAction::Insert { .. }, MergeAction::Insert { .. }) => (10714, "INSERT"),
                _ => continue,
            };
            let message = format!(
                "An action of type '{name}' cannot appear more than once in a '{action}' clause of a MERGE statement."
            );
            return Err(error(number, clause.line, message));
        }
    }
    Ok(())
}
