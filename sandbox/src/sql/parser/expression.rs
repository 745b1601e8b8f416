//! Operators, by precedence climbing.
//!
//! T-SQL keeps values and conditions apart, but `(` may open either, so a parsed operand is one of the two and each
//! operator asks for the one it needs. A unary minus binds like a binary one: `-a * b` is `-(a * b)`, and `100 /
//! -100 * 10` is `100 / -(100 * 10)`, as in SQL Server.

use super::Parser;
use crate::sql::ast::{
    BinaryOp, CompareOp, Condition, ConditionKind, Expr, ExprKind, Query, UnaryOp,
};
use crate::sql::keyword::Keyword;
use crate::sql::lexer::{Symbol, TokenKind};
use crate::sql::{SyntaxResult, error};

/// Precedences, loosest first.
const OR: u8 = 1;
const AND: u8 = 2;
const NOT: u8 = 3;
const PREDICATE: u8 = 4;
const ADDITIVE: u8 = 5;
const MULTIPLICATIVE: u8 = 6;
const OPERAND: u8 = 7;

pub(super) enum Parsed {
    Value(Expr),
    /// With the position of the token that made it a condition.
    Condition(Condition, usize),
}

#[derive(Clone, Copy)]
enum Infix {
    Or,
    And,
    Compare(CompareOp),
    /// IS, IN, LIKE, BETWEEN and their negations
    Predicate,
    Arithmetic(BinaryOp, u8),
}

impl Parser<'_> {
    /// A scalar expression.
    pub(super) fn expr(&mut self) -> SyntaxResult<Expr> {
        self.value(ADDITIVE)
    }

    pub(super) fn boxed_expr(&mut self) -> SyntaxResult<Box<Expr>> {
        self.expr().map(Box::new)
    }

    /// A search condition.
    pub(super) fn condition(&mut self) -> SyntaxResult<Condition> {
        let parsed = self.operand(OR)?;
        self.require_condition(parsed)
    }

    /// What stands in parentheses: a value or a condition.
    pub(super) fn value_or_condition(&mut self) -> SyntaxResult<Parsed> {
        self.operand(OR)
    }

    pub(super) fn value(&mut self, binding: u8) -> SyntaxResult<Expr> {
        match self.operand(binding)? {
            Parsed::Value(expr) => Ok(expr),
            Parsed::Condition(_, position) => Err(self.syntax_error_at(position)),
        }
    }

    fn require_condition(&self, parsed: Parsed) -> SyntaxResult<Condition> {
        match parsed {
            Parsed::Condition(condition, _) => Ok(condition),
            Parsed::Value(_) => {
                let mut position = self.position;
                if self.at_end() {
                    position = position.saturating_sub(1);
                }
                let token = self.tokens[position];
                let text = self.shown(token);
                let message = format!(
                    "An expression of non-boolean type specified in a context where a condition is expected, near \
                        '{text}'."
                );
                Err(error(4145, token.line, message))
            }
        }
    }

    fn operand(&mut self, binding: u8) -> SyntaxResult<Parsed> {
        self.enter()?;
        let outer = std::mem::replace(&mut self.height, 0);
        let mut left = self.prefix()?;
        while let Some(infix) = self.infix(binding, &left) {
            left = self.infixed(left, infix)?;
        }
        self.grow()?;
        self.height = self.height.max(outer);
        self.leave();
        Ok(left)
    }

    fn prefix(&mut self) -> SyntaxResult<Parsed> {
        let line = self.line();
        let position = self.position;
        let condition = |kind| Ok(Parsed::Condition(Condition { kind, line }, position));
        if self.eat(Keyword::Not) {
            let parsed = self.operand(NOT)?;
            let inner = self.require_condition(parsed)?;
            return condition(ConditionKind::Not(Box::new(inner)));
        }
        if self.eat(Keyword::Exists) {
            return condition(ConditionKind::Exists(self.subquery()?));
        }
        if self.eat_pair(Keyword::Update, Symbol::OpenParen) {
            let column = self.ident()?;
            self.expect(Symbol::CloseParen)?;
            return condition(ConditionKind::ColumnUpdated(column));
        }
        let (op, binding) = if self.eat(Symbol::Minus) {
            (UnaryOp::Minus, MULTIPLICATIVE)
        } else if self.eat(Symbol::Plus) {
            (UnaryOp::Plus, MULTIPLICATIVE)
        } else if self.eat(Symbol::Tilde) {
            (UnaryOp::BitNot, OPERAND)
        } else {
            return self.primary();
        };
        let expr = Box::new(self.value(binding)?);
        Ok(Parsed::Value(Expr {
            kind: ExprKind::Unary { op, expr },
            line,
        }))
    }

    /// The operator that goes on from `left`, when it binds at least as tightly as `binding`.
    fn infix(&self, binding: u8, left: &Parsed) -> Option<Infix> {
        let is_value = matches!(left, Parsed::Value(_));
        let (infix, precedence) = match self.peek().kind {
            TokenKind::Keyword(Keyword::Or) => (Infix::Or, OR),
            TokenKind::Keyword(Keyword::And) => (Infix::And, AND),
            TokenKind::Keyword(Keyword::Is | Keyword::In | Keyword::Like | Keyword::Between) => {
                (Infix::Predicate, PREDICATE)
            }
            TokenKind::Keyword(Keyword::Not) if self.negates_predicate() => {
                (Infix::Predicate, PREDICATE)
            }
            TokenKind::Symbol(symbol) => match (compare_op(symbol), arithmetic_op(symbol)) {
                (Some(op), _) => (Infix::Compare(op), PREDICATE),
                (None, Some((op, precedence))) => (Infix::Arithmetic(op, precedence), precedence),
                (None, None) => return None,
            },
            _ => return None,
        };
        (precedence >= binding && (is_value || precedence < PREDICATE)).then_some(infix)
    }

    fn negates_predicate(&self) -> bool {
        self.at_ahead(1, Keyword::In)
            || self.at_ahead(1, Keyword::Like)
            || self.at_ahead(1, Keyword::Between)
    }

    fn infixed(&mut self, left: Parsed, infix: Infix) -> SyntaxResult<Parsed> {
        let position = self.position;
        let line = self.line();
        let kind = match infix {
            Infix::Or => {
                let left = self.require_condition(left)?;
                self.next();
                let parsed = self.operand(AND)?;
                let right = self.require_condition(parsed)?;
                ConditionKind::Or(joined(left, right, |kind| match kind {
                    ConditionKind::Or(terms) => Ok(terms),
                    other => Err(other),
                }))
            }
            Infix::And => {
                let left = self.require_condition(left)?;
                self.next();
                let parsed = self.operand(NOT)?;
                let right = self.require_condition(parsed)?;
                ConditionKind::And(joined(left, right, |kind| match kind {
                    ConditionKind::And(terms) => Ok(terms),
                    other => Err(other),
                }))
            }
            Infix::Compare(op) => {
                let left = self.require_value(left)?;
                self.next();
                self.comparison(op, left)?
            }
            Infix::Predicate => {
                let left = self.require_value(left)?;
                self.predicate(left)?
            }
            Infix::Arithmetic(op, precedence) => {
                let left = self.require_value(left)?;
                let line = left.line;
                self.next();
                let right = Box::new(self.value(precedence + 1)?);
                self.grow()?;
                return Ok(Parsed::Value(Expr {
                    kind: ExprKind::Binary { op, left, right },
                    line,
                }));
            }
        };
        Ok(Parsed::Condition(Condition { kind, line }, position))
    }

    fn require_value(&self, parsed: Parsed) -> SyntaxResult<Box<Expr>> {
        match parsed {
            Parsed::Value(expr) => Ok(Box::new(expr)),
            Parsed::Condition(_, position) => Err(self.syntax_error_at(position)),
        }
    }

    fn comparison(&mut self, op: CompareOp, left: Box<Expr>) -> SyntaxResult<ConditionKind> {
        let all = self.at(Keyword::All);
        if all || self.at(Keyword::Any) || self.at(Keyword::Some) {
            self.next();
            let query = self.subquery()?;
            return Ok(ConditionKind::Quantified {
                op,
                left,
                all,
                query,
            });
        }
        let right = self.boxed_expr()?;
        Ok(ConditionKind::Compare { op, left, right })
    }

    fn predicate(&mut self, expr: Box<Expr>) -> SyntaxResult<ConditionKind> {
        if self.eat(Keyword::Is) {
            let negated = self.eat(Keyword::Not);
            if self.eat(Keyword::Distinct) {
                self.expect(Keyword::From)?;
                let right = self.boxed_expr()?;
                return Ok(ConditionKind::IsDistinctFrom {
                    negated,
                    left: expr,
                    right,
                });
            }
            self.expect(Keyword::Null)?;
            return Ok(ConditionKind::IsNull { negated, expr });
        }
        let negated = self.eat(Keyword::Not);
        if self.eat(Keyword::Between) {
            let low = self.boxed_expr()?;
            self.expect(Keyword::And)?;
            let high = self.boxed_expr()?;
            return Ok(ConditionKind::Between {
                negated,
                expr,
                low,
                high,
            });
        }
        if self.eat(Keyword::Like) {
            let pattern = self.boxed_expr()?;
            let escape = if self.eat(Keyword::Escape) {
                Some(self.boxed_expr()?)
            } else {
                None
            };
            return Ok(ConditionKind::Like {
                negated,
                expr,
                pattern,
                escape,
            });
        }
        self.expect(Keyword::In)?;
        if self.at_subquery() {
            let query = self.subquery()?;
            return Ok(ConditionKind::InQuery {
                negated,
                expr,
                query,
            });
        }
        let list = self.parenthesised(Self::expr)?;
        Ok(ConditionKind::InList {
            negated,
            expr,
            list,
        })
    }

    /// `(query)`
    pub(super) fn subquery(&mut self) -> SyntaxResult<Box<Query>> {
        self.expect(Symbol::OpenParen)?;
        let query = self.nested_query()?;
        self.expect(Symbol::CloseParen)?;
        Ok(Box::new(query))
    }
}

/// A chain of the same operator becomes one node.
fn joined(
    left: Condition,
    right: Condition,
    terms: impl Fn(ConditionKind) -> Result<Vec<Condition>, ConditionKind>,
) -> Vec<Condition> {
    let line = left.line;
    let mut all = match terms(left.kind) {
        Ok(terms) => terms,
        Err(kind) => vec![Condition { kind, line }],
    };
    all.push(right);
    all
}

fn compare_op(symbol: Symbol) -> Option<CompareOp> {
    Some(match symbol {
        Symbol::Equal => CompareOp::Equal,
        Symbol::NotEqual => CompareOp::NotEqual,
        Symbol::Less => CompareOp::Less,
        Symbol::LessOrEqual => CompareOp::LessOrEqual,
        Symbol::Greater => CompareOp::Greater,
        Symbol::GreaterOrEqual => CompareOp::GreaterOrEqual,
        _ => return None,
    })
}

fn arithmetic_op(symbol: Symbol) -> Option<(BinaryOp, u8)> {
    Some(match symbol {
        Symbol::Plus => (BinaryOp::Add, ADDITIVE),
        Symbol::Minus => (BinaryOp::Subtract, ADDITIVE),
        Symbol::Ampersand => (BinaryOp::BitAnd, ADDITIVE),
        Symbol::Pipe => (BinaryOp::BitOr, ADDITIVE),
        Symbol::Caret => (BinaryOp::BitXor, ADDITIVE),
        Symbol::Star => (BinaryOp::Multiply, MULTIPLICATIVE),
        Symbol::Slash => (BinaryOp::Divide, MULTIPLICATIVE),
        Symbol::Percent => (BinaryOp::Modulo, MULTIPLICATIVE),
        _ => return None,
    })
}

/// The operator of `+=` and its kin.
pub(super) fn compound_op(symbol: Symbol) -> Option<BinaryOp> {
    Some(match symbol {
        Symbol::PlusEqual => BinaryOp::Add,
        Symbol::MinusEqual => BinaryOp::Subtract,
        Symbol::StarEqual => BinaryOp::Multiply,
        Symbol::SlashEqual => BinaryOp::Divide,
        Symbol::PercentEqual => BinaryOp::Modulo,
        Symbol::AmpersandEqual => BinaryOp::BitAnd,
        Symbol::PipeEqual => BinaryOp::BitOr,
        Symbol::CaretEqual => BinaryOp::BitXor,
        _ => return None,
    })
}
