//! Operands: literals, names, calls, CASE, parentheses.

use super::Parser;
use super::expression::Parsed;
use super::type_name::LengthDefault;
use crate::sql::SyntaxResult;
use crate::sql::ast::*;
use crate::sql::keyword::Keyword;
use crate::sql::lexer::{Symbol, TokenKind};

impl Parser<'_> {
    pub(super) fn primary(&mut self) -> SyntaxResult<Parsed> {
        let line = self.line();
        if self.at(Symbol::OpenParen) && !self.at_subquery() {
            self.next();
            let inner = self.value_or_condition()?;
            self.expect(Symbol::CloseParen)?;
            return match inner {
                Parsed::Value(expr) => self.postfix(expr).map(Parsed::Value),
                Parsed::Condition(..) => Ok(inner),
            };
        }
        let kind = if self.at(Symbol::OpenParen) {
            ExprKind::Subquery(self.subquery()?)
        } else {
            self.atom()?
        };
        self.postfix(Expr { kind, line }).map(Parsed::Value)
    }

    fn atom(&mut self) -> SyntaxResult<ExprKind> {
        let token = self.peek();
        if let Some(literal) = self.literal_of(token)? {
            self.next();
            return Ok(ExprKind::Literal(literal));
        }
        match token.kind {
            TokenKind::Keyword(keyword) => self.keyword_atom(keyword),
            TokenKind::Variable => self.variable().map(ExprKind::Variable),
            TokenKind::Global => {
                self.next();
                Ok(ExprKind::GlobalVariable(self.text(token).to_owned()))
            }
            TokenKind::Dollar | TokenKind::Pseudo => {
                let pseudo = match self.text(token).to_ascii_lowercase().as_str() {
                    "$action" => PseudoColumn::Action,
                    "$identity" => PseudoColumn::Identity,
                    "$rowguid" => PseudoColumn::RowGuid,
                    "%%physloc%%" => PseudoColumn::PhysLoc,
                    "%%lockres%%" => PseudoColumn::LockRes,
                    _ => return Err(self.syntax_error()),
                };
                self.next();
                Ok(ExprKind::Pseudo(pseudo))
            }
            TokenKind::Word | TokenKind::Quoted => self.named(),
            _ => Err(self.syntax_error()),
        }
    }

    fn keyword_atom(&mut self, keyword: Keyword) -> SyntaxResult<ExprKind> {
        match keyword {
            Keyword::Null => {
                self.next();
                Ok(ExprKind::Literal(Literal::Null))
            }
            Keyword::Case => self.case(),
            Keyword::Convert | Keyword::TryConvert => self.convert(keyword == Keyword::TryConvert),
            Keyword::Left | Keyword::Right | Keyword::Coalesce | Keyword::Nullif => {
                let name = self.keyword_name();
                self.call(name)
            }
            Keyword::CurrentTimestamp
            | Keyword::CurrentUser
            | Keyword::SessionUser
            | Keyword::SystemUser
            | Keyword::User => {
                let name = self.keyword_name();
                Ok(function(name, Args::Niladic))
            }
            Keyword::Identitycol => {
                self.next();
                Ok(ExprKind::Pseudo(PseudoColumn::Identity))
            }
            Keyword::Rowguidcol => {
                self.next();
                Ok(ExprKind::Pseudo(PseudoColumn::RowGuid))
            }
            _ => Err(self.syntax_error()),
        }
    }

    fn keyword_name(&mut self) -> ObjectName {
        let token = self.next();
        ObjectName {
            parts: vec![Ident::new(self.text(token))],
            line: token.line,
        }
    }

    /// A column, a call, or a static method.
    fn named(&mut self) -> SyntaxResult<ExprKind> {
        if self.peek().kind == TokenKind::Word && self.at_ahead(1, Symbol::OpenParen) {
            if self.at("CAST") || self.at("TRY_CAST") {
                return self.cast();
            }
            if self.at("IIF") {
                return self.iif();
            }
            if self.at("TRIM") {
                return self.trim();
            }
        }
        if self.at("NEXT") && self.at_ahead(1, "VALUE") && self.at_ahead(2, Keyword::For) {
            self.position += 3;
            return self.object_name().map(ExprKind::NextValueFor);
        }
        let name = self.object_name()?;
        if self.at(Symbol::OpenParen) {
            return self.call(name);
        }
        if !self.eat(Symbol::DoubleColon) {
            return Ok(ExprKind::Column(name));
        }
        let member = self.ident()?;
        if self.at(Symbol::OpenParen) {
            let args = self.arguments()?;
            return Ok(ExprKind::StaticMethod {
                ty: name,
                name: member,
                args,
            });
        }
        Ok(ExprKind::StaticProperty {
            ty: name,
            name: member,
        })
    }

    /// `(..)`, perhaps empty.
    pub(super) fn arguments(&mut self) -> SyntaxResult<Vec<Expr>> {
        self.expect(Symbol::OpenParen)?;
        if self.eat(Symbol::CloseParen) {
            return Ok(Vec::new());
        }
        let args = self.list(Self::expr)?;
        self.expect(Symbol::CloseParen)?;
        Ok(args)
    }

    fn call(&mut self, name: ObjectName) -> SyntaxResult<ExprKind> {
        let args = if self.eat_pair(Symbol::OpenParen, Symbol::Star) {
            self.expect(Symbol::CloseParen)?;
            Args::Star
        } else if self.eat_pair(Symbol::OpenParen, Keyword::Distinct) {
            let arg = self.boxed_expr()?;
            self.expect(Symbol::CloseParen)?;
            Args::Distinct(arg)
        } else if self.eat_pair(Symbol::OpenParen, Keyword::All) {
            let arg = self.expr()?;
            self.expect(Symbol::CloseParen)?;
            Args::List(vec![arg])
        } else {
            Args::List(self.arguments()?)
        };
        let mut within_group = Vec::new();
        if self.eat_pair("WITHIN", Keyword::Group) {
            self.expect(Symbol::OpenParen)?;
            within_group = self.order_by()?;
            self.expect(Symbol::CloseParen)?;
        }
        let over = if self.eat(Keyword::Over) {
            Some(self.window()?)
        } else {
            None
        };
        Ok(ExprKind::Function(Box::new(FunctionCall {
            name,
            args,
            within_group,
            over,
        })))
    }

    fn window(&mut self) -> SyntaxResult<Window> {
        self.expect(Symbol::OpenParen)?;
        let partition_by = if self.eat_pair("PARTITION", Keyword::By) {
            self.list(Self::expr)?
        } else {
            Vec::new()
        };
        let order_by = if self.at(Keyword::Order) {
            self.order_by()?
        } else {
            Vec::new()
        };
        let unit = if self.eat("ROWS") {
            Some(FrameUnit::Rows)
        } else if self.eat("RANGE") {
            Some(FrameUnit::Range)
        } else {
            None
        };
        let frame = match unit {
            None => None,
            Some(unit) if self.eat(Keyword::Between) => {
                let start = self.frame_bound()?;
                self.expect(Keyword::And)?;
                let end = self.frame_bound()?;
                Some(Frame { unit, start, end })
            }
            Some(unit) => Some(Frame {
                unit,
                start: self.frame_bound()?,
                end: FrameBound::CurrentRow,
            }),
        };
        self.expect(Symbol::CloseParen)?;
        Ok(Window {
            partition_by,
            order_by,
            frame,
        })
    }

    fn frame_bound(&mut self) -> SyntaxResult<FrameBound> {
        if self.eat_pair(Keyword::Current, "ROW") {
            return Ok(FrameBound::CurrentRow);
        }
        let rows = if self.eat("UNBOUNDED") {
            None
        } else {
            Some(self.integer()?)
        };
        if self.eat("PRECEDING") {
            return Ok(rows.map_or(FrameBound::UnboundedPreceding, FrameBound::Preceding));
        }
        self.expect("FOLLOWING")?;
        Ok(rows.map_or(FrameBound::UnboundedFollowing, FrameBound::Following))
    }

    fn cast(&mut self) -> SyntaxResult<ExprKind> {
        let attempt = self.at("TRY_CAST");
        self.next();
        self.expect(Symbol::OpenParen)?;
        let expr = self.boxed_expr()?;
        self.expect(Keyword::As)?;
        let ty = self.type_name(LengthDefault::Cast)?;
        self.expect(Symbol::CloseParen)?;
        Ok(ExprKind::Cast { expr, ty, attempt })
    }

    fn convert(&mut self, attempt: bool) -> SyntaxResult<ExprKind> {
        self.next();
        self.expect(Symbol::OpenParen)?;
        let ty = self.type_name(LengthDefault::Cast)?;
        self.expect(Symbol::Comma)?;
        let expr = self.boxed_expr()?;
        let style = if self.eat(Symbol::Comma) {
            Some(self.boxed_expr()?)
        } else {
            None
        };
        self.expect(Symbol::CloseParen)?;
        Ok(ExprKind::Convert {
            ty,
            expr,
            style,
            attempt,
        })
    }

    fn iif(&mut self) -> SyntaxResult<ExprKind> {
        self.next();
        self.expect(Symbol::OpenParen)?;
        let condition = Box::new(self.condition()?);
        self.expect(Symbol::Comma)?;
        let then = self.boxed_expr()?;
        self.expect(Symbol::Comma)?;
        let otherwise = self.boxed_expr()?;
        self.expect(Symbol::CloseParen)?;
        Ok(ExprKind::Iif {
            condition,
            then,
            otherwise,
        })
    }

    /// `TRIM([LEADING | TRAILING | BOTH] [characters FROM] text)`: a call of LTRIM, RTRIM or TRIM whose second
    /// argument, when there is one, is the characters.
    fn trim(&mut self) -> SyntaxResult<ExprKind> {
        let line = self.line();
        self.next();
        self.expect(Symbol::OpenParen)?;
        let name = if self.eat("LEADING") {
            "LTRIM"
        } else if self.eat("TRAILING") {
            "RTRIM"
        } else {
            self.eat("BOTH");
            "TRIM"
        };
        let first = self.expr()?;
        let args = if self.eat(Keyword::From) {
            vec![self.expr()?, first]
        } else {
            vec![first]
        };
        self.expect(Symbol::CloseParen)?;
        let name = ObjectName {
            parts: vec![Ident::new(name)],
            line,
        };
        Ok(function(name, Args::List(args)))
    }

    fn case(&mut self) -> SyntaxResult<ExprKind> {
        self.next();
        let operand = if self.at(Keyword::When) {
            None
        } else {
            Some(self.boxed_expr()?)
        };
        if !self.at(Keyword::When) {
            return Err(self.syntax_error());
        }
        let kind = match operand {
            Some(operand) => {
                let whens = self.whens(Self::expr)?;
                ExprKind::SimpleCase {
                    operand,
                    whens,
                    otherwise: self.case_else()?,
                }
            }
            None => {
                let whens = self.whens(Self::condition)?;
                ExprKind::SearchedCase {
                    whens,
                    otherwise: self.case_else()?,
                }
            }
        };
        self.expect(Keyword::End)?;
        Ok(kind)
    }

    fn whens<T>(
        &mut self,
        mut test: impl FnMut(&mut Self) -> SyntaxResult<T>,
    ) -> SyntaxResult<Vec<(T, Expr)>> {
        let mut whens = Vec::new();
        while self.eat(Keyword::When) {
            let test = test(self)?;
            self.expect(Keyword::Then)?;
            whens.push((test, self.expr()?));
        }
        Ok(whens)
    }

    fn case_else(&mut self) -> SyntaxResult<Option<Box<Expr>>> {
        if self.eat(Keyword::Else) {
            self.boxed_expr().map(Some)
        } else {
            Ok(None)
        }
    }

    /// COLLATE, AT TIME ZONE and methods, which bind tightest.
    fn postfix(&mut self, mut expr: Expr) -> SyntaxResult<Expr> {
        loop {
            let line = expr.line;
            let kind = if self.eat(Keyword::Collate) {
                ExprKind::Collate {
                    expr: Box::new(expr),
                    collation: self.ident()?,
                }
            } else if self.at("AT") && self.at_ahead(1, "TIME") && self.at_ahead(2, "ZONE") {
                self.position += 3;
                ExprKind::AtTimeZone {
                    expr: Box::new(expr),
                    zone: Box::new(self.zone()?),
                }
            } else if self.at(Symbol::Dot) && !self.at_ahead(1, Symbol::Star) {
                self.next();
                let name = self.ident()?;
                let target = Box::new(expr);
                if self.at(Symbol::OpenParen) {
                    ExprKind::Method {
                        target,
                        name,
                        args: self.arguments()?,
                    }
                } else {
                    ExprKind::Property { target, name }
                }
            } else {
                return Ok(expr);
            };
            expr = Expr { kind, line };
            self.grow()?;
        }
    }

    /// A zone's name, without operators after it: `a AT TIME ZONE b AT TIME ZONE c` groups from the left.
    fn zone(&mut self) -> SyntaxResult<Expr> {
        let line = self.line();
        if self.eat(Symbol::OpenParen) {
            let zone = self.expr()?;
            self.expect(Symbol::CloseParen)?;
            return Ok(zone);
        }
        Ok(Expr {
            kind: self.atom()?,
            line,
        })
    }

    /// Whether the next `(` opens a query rather than an expression or a joined table. `((SELECT ..)` does only
    /// when a set operator follows the inner query: otherwise the inner one is an operand.
    pub(super) fn at_subquery(&self) -> bool {
        if !self.at(Symbol::OpenParen) {
            return false;
        }
        if self.at_ahead(1, Keyword::Select) {
            return true;
        }
        if !self.at_ahead(1, Symbol::OpenParen) {
            return false;
        }
        let mut inner = 1;
        while self.at_ahead(inner, Symbol::OpenParen) {
            inner += 1;
        }
        if !self.at_ahead(inner, Keyword::Select) {
            return false;
        }
        let after = self.after_parentheses(1);
        [Keyword::Union, Keyword::Except, Keyword::Intersect]
            .into_iter()
            .any(|keyword| self.at_ahead(after, keyword))
    }

    /// How far ahead the token after the `(` at `ahead` and its `)` stands.
    pub(super) fn after_parentheses(&self, ahead: usize) -> usize {
        let mut open = 0u32;
        let mut at = ahead;
        while self.ahead(at).kind != TokenKind::End {
            if self.at_ahead(at, Symbol::OpenParen) {
                open += 1;
            } else if self.at_ahead(at, Symbol::CloseParen) {
                open -= 1;
                if open == 0 {
                    return at + 1;
                }
            }
            at += 1;
        }
        at
    }
}

fn function(name: ObjectName, args: Args) -> ExprKind {
    ExprKind::Function(Box::new(FunctionCall {
        name,
        args,
        within_group: Vec::new(),
        over: None,
    }))
}
