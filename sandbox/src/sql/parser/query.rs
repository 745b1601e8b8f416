//! SELECT, set operations, common table expressions and query hints.

use super::Parser;
use super::expression::compound_op;
use crate::sql::ast::*;
use crate::sql::keyword::Keyword;
use crate::sql::lexer::{Symbol, TokenKind};
use crate::sql::{SyntaxResult, error};

/// Where a query stands, which decides what it may contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A statement of its own: may assign variables, create a table, carry hints.
    Statement,
    /// The source of INSERT: may carry hints.
    Source,
    /// A view's body: ORDER BY needs TOP or OFFSET.
    View,
    /// In parentheses: ORDER BY needs TOP or OFFSET.
    Nested,
}

/// What precedes a SELECT or DML statement in WITH.
#[derive(Default)]
pub(super) struct WithClause {
    /// CHANGE_TRACKING_CONTEXT
    pub context: Option<Expr>,
    pub ctes: Vec<Cte>,
}

impl Parser<'_> {
    /// A query in parentheses, after the `(`.
    pub(super) fn nested_query(&mut self) -> SyntaxResult<Query> {
        self.query(Vec::new(), Place::Nested)
    }

    pub(super) fn query(&mut self, ctes: Vec<Cte>, place: Place) -> SyntaxResult<Query> {
        self.enter()?;
        let line = self.line();
        let body = self.query_body(0, place)?;
        if place == Place::Statement {
            check_assignments(&body, line)?;
        }
        let order_line = self.line();
        let order_by = if self.at(Keyword::Order) {
            self.order_by()?
        } else {
            Vec::new()
        };
        let mut query = Query {
            ctes,
            body,
            order_by,
            offset: None,
            fetch: None,
            options: Vec::new(),
            line,
        };
        if !query.order_by.is_empty() && self.eat("OFFSET") {
            query.offset = Some(self.expr()?);
            self.rows_word()?;
            if self.eat(Keyword::Fetch) {
                if !self.eat("NEXT") {
                    self.expect("FIRST")?;
                }
                query.fetch = Some(self.expr()?);
                self.rows_word()?;
                self.expect("ONLY")?;
            }
        }
        let ordered_set =
            !query.order_by.is_empty() && query.offset.is_none() && !has_top(&query.body);
        if ordered_set && matches!(place, Place::Nested | Place::View) {
            let message = "The ORDER BY clause is invalid in views, inline functions, derived tables, subqueries, and \
                common table expressions, \
                           unless TOP, OFFSET or FOR XML is also specified.";
            return Err(error(1033, order_line, message.to_owned()));
        }
        if matches!(place, Place::Statement | Place::Source) {
            query.options = self.query_options()?;
        }
        self.leave();
        Ok(query)
    }

    fn rows_word(&mut self) -> SyntaxResult<()> {
        if self.eat("ROW") {
            Ok(())
        } else {
            self.expect("ROWS")
        }
    }

    /// SELECTs and set operators; INTERSECT binds tighter than UNION and EXCEPT.
    fn query_body(&mut self, binding: u8, place: Place) -> SyntaxResult<QueryBody> {
        let mut left = self.query_term(place)?;
        loop {
            let (op, precedence) = match self.peek().kind {
                TokenKind::Keyword(Keyword::Union) => (SetOp::Union, 1),
                TokenKind::Keyword(Keyword::Except) => (SetOp::Except, 1),
                TokenKind::Keyword(Keyword::Intersect) => (SetOp::Intersect, 2),
                _ => return Ok(left),
            };
            if precedence <= binding {
                return Ok(left);
            }
            let line = self.line();
            self.next();
            let op = if op == SetOp::Union && self.eat(Keyword::All) {
                SetOp::UnionAll
            } else {
                op
            };
            // Only the first SELECT may name a table to create.
            let place = if place == Place::Statement {
                Place::Source
            } else {
                place
            };
            let right = Box::new(self.query_body(precedence, place)?);
            self.grow()?;
            left = QueryBody::SetOperation {
                op,
                left: Box::new(left),
                right,
                line,
            };
        }
    }

    fn query_term(&mut self, place: Place) -> SyntaxResult<QueryBody> {
        if self.eat(Symbol::OpenParen) {
            self.enter()?;
            let body = self.query_body(0, place)?;
            self.expect(Symbol::CloseParen)?;
            self.leave();
            return Ok(body);
        }
        self.select(place)
            .map(|select| QueryBody::Select(Box::new(select)))
    }

    fn select(&mut self, place: Place) -> SyntaxResult<Select> {
        let line = self.line();
        self.expect(Keyword::Select)?;
        let distinct = self.eat(Keyword::Distinct);
        if !distinct {
            self.eat(Keyword::All);
        }
        let top = self.top()?;
        let items = self.list(|parser| parser.select_item(place))?;
        let into = if place == Place::Statement && self.eat(Keyword::Into) {
            Some(self.object_name()?)
        } else {
            None
        };
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
        let group_by = if self.eat(Keyword::Group) {
            self.expect(Keyword::By)?;
            self.list(Self::expr)?
        } else {
            Vec::new()
        };
        let having = if self.eat(Keyword::Having) {
            Some(self.condition()?)
        } else {
            None
        };
        let assigns = items
            .iter()
            .filter(|item| matches!(item, SelectItem::Assign { .. }))
            .count();
        if assigns > 0 && assigns < items.len() {
            let message = "A SELECT statement that assigns a value to a variable must not be combined with \
                data-retrieval operations.";
            return Err(error(141, line, message.to_owned()));
        }
        Ok(Select {
            distinct,
            top,
            items,
            into,
            from,
            filter,
            group_by,
            having,
            line,
        })
    }

    /// TOP with an expression in parentheses, or a bare number.
    pub(super) fn top(&mut self) -> SyntaxResult<Option<Top>> {
        if !self.eat(Keyword::Top) {
            return Ok(None);
        }
        let count = if self.eat(Symbol::OpenParen) {
            let count = self.expr()?;
            self.expect(Symbol::CloseParen)?;
            count
        } else {
            let token = self.peek();
            match (token.kind, self.literal_of(token)?) {
                (TokenKind::Int | TokenKind::Decimal | TokenKind::Float, Some(literal)) => {
                    self.next();
                    Expr {
                        kind: ExprKind::Literal(literal),
                        line: token.line,
                    }
                }
                _ => return Err(self.syntax_error()),
            }
        };
        let percent = self.eat(Keyword::Percent);
        let with_ties = self.eat_pair(Keyword::With, "TIES");
        Ok(Some(Top {
            count,
            percent,
            with_ties,
        }))
    }

    pub(super) fn select_item(&mut self, place: Place) -> SyntaxResult<SelectItem> {
        if self.eat(Symbol::Star) {
            return Ok(SelectItem::Star);
        }
        if place == Place::Statement
            && self.peek().kind == TokenKind::Variable
            && let TokenKind::Symbol(symbol) = self.ahead(1).kind
        {
            let op = compound_op(symbol);
            if op.is_some() || symbol == Symbol::Equal {
                let variable = self.variable()?;
                self.next();
                return Ok(SelectItem::Assign {
                    variable,
                    op,
                    expr: self.expr()?,
                });
            }
        }
        if self.at_ahead(1, Symbol::Equal) && (self.at_ident() || self.at_string()) {
            let alias = self.alias_text()?;
            self.next();
            return Ok(SelectItem::Expr {
                expr: self.expr()?,
                alias: Some(alias),
            });
        }
        if self.at_qualified_star() {
            let name = self.object_name()?;
            self.expect(Symbol::Dot)?;
            self.expect(Symbol::Star)?;
            return Ok(SelectItem::QualifiedStar(name));
        }
        let expr = self.expr()?;
        let alias = if self.eat(Keyword::As) || self.at_ident() || self.at_string() {
            Some(self.alias_text()?)
        } else {
            None
        };
        Ok(SelectItem::Expr { expr, alias })
    }

    fn at_string(&self) -> bool {
        matches!(self.peek().kind, TokenKind::Str | TokenKind::NationalStr)
    }

    /// A column's alias: an identifier or, as SQL Server still allows, a string.
    fn alias_text(&mut self) -> SyntaxResult<Ident> {
        if self.at_string() {
            return Ok(Ident {
                text: self.string()?,
                quoted: true,
            });
        }
        self.ident()
    }

    fn at_qualified_star(&self) -> bool {
        let mut ahead = 0;
        loop {
            let named = matches!(self.ahead(ahead).kind, TokenKind::Word | TokenKind::Quoted);
            ahead += usize::from(named);
            if !self.at_ahead(ahead, Symbol::Dot) {
                return false;
            }
            if self.at_ahead(ahead + 1, Symbol::Star) {
                return named;
            }
            ahead += 1;
        }
    }

    pub(super) fn order_by(&mut self) -> SyntaxResult<Vec<OrderItem>> {
        self.expect(Keyword::Order)?;
        self.expect(Keyword::By)?;
        self.list(|parser| {
            let expr = parser.expr()?;
            let descending = parser.descending();
            Ok(OrderItem { expr, descending })
        })
    }

    /// DESC, or ASC, which is the default.
    pub(super) fn descending(&mut self) -> bool {
        let descending = self.eat(Keyword::Desc);
        if !descending {
            self.eat(Keyword::Asc);
        }
        descending
    }

    /// WITH, before SELECT and DML.
    pub(super) fn with_clause(&mut self) -> SyntaxResult<WithClause> {
        let mut with = WithClause::default();
        if !self.eat(Keyword::With) {
            return Ok(with);
        }
        if self.eat_pair("CHANGE_TRACKING_CONTEXT", Symbol::OpenParen) {
            with.context = Some(self.expr()?);
            self.expect(Symbol::CloseParen)?;
            if !self.eat(Symbol::Comma) {
                return Ok(with);
            }
        }
        with.ctes = self.list(Self::cte)?;
        Ok(with)
    }

    fn cte(&mut self) -> SyntaxResult<Cte> {
        let line = self.line();
        let name = self.ident()?;
        let columns = if self.at(Symbol::OpenParen) {
            self.ident_list()?
        } else {
            Vec::new()
        };
        self.expect(Keyword::As)?;
        let query = *self.subquery()?;
        Ok(Cte {
            name,
            columns,
            query,
            line,
        })
    }

    /// `OPTION (..)`, when written.
    pub(super) fn query_options(&mut self) -> SyntaxResult<Vec<QueryHint>> {
        if self.eat(Keyword::Option) {
            self.parenthesised(Self::query_hint)
        } else {
            Ok(Vec::new())
        }
    }

    fn query_hint(&mut self) -> SyntaxResult<QueryHint> {
        const PAIRS: &[(&str, &str, QueryHint)] = &[
            ("LOOP", "JOIN", QueryHint::LoopJoin),
            ("HASH", "JOIN", QueryHint::HashJoin),
            ("MERGE", "JOIN", QueryHint::MergeJoin),
            ("HASH", "GROUP", QueryHint::HashGroup),
            ("ORDER", "GROUP", QueryHint::OrderGroup),
            ("CONCAT", "UNION", QueryHint::ConcatUnion),
            ("HASH", "UNION", QueryHint::HashUnion),
            ("MERGE", "UNION", QueryHint::MergeUnion),
            ("FORCE", "ORDER", QueryHint::ForceOrder),
            ("KEEP", "PLAN", QueryHint::KeepPlan),
            ("KEEPFIXED", "PLAN", QueryHint::KeepFixedPlan),
            ("ROBUST", "PLAN", QueryHint::RobustPlan),
            ("EXPAND", "VIEWS", QueryHint::ExpandViews),
        ];
        for (first, second, hint) in PAIRS {
            if self.eat_pair(*first, *second) {
                return Ok(hint.clone());
            }
        }
        if self.eat("RECOMPILE") {
            return Ok(QueryHint::Recompile);
        }
        if self.eat("NO_PERFORMANCE_SPOOL") {
            return Ok(QueryHint::NoPerformanceSpool);
        }
        if self.eat("MAXDOP") {
            return self.integer().map(QueryHint::MaxDop);
        }
        if self.eat("MAXRECURSION") {
            return self.integer().map(QueryHint::MaxRecursion);
        }
        if self.eat("FAST") {
            return self.integer().map(QueryHint::Fast);
        }
        if self.eat_pair("MAX_GRANT_PERCENT", Symbol::Equal) {
            return self.number_text().map(QueryHint::MaxGrantPercent);
        }
        if self.eat_pair("MIN_GRANT_PERCENT", Symbol::Equal) {
            return self.number_text().map(QueryHint::MinGrantPercent);
        }
        if self.eat_pair("USE", "HINT") {
            return self.parenthesised(Self::string).map(QueryHint::UseHint);
        }
        if self.eat_pair("LABEL", Symbol::Equal) {
            return self.string().map(QueryHint::Label);
        }
        if self.eat_pair("OPTIMIZE", Keyword::For) {
            self.expect("UNKNOWN")?;
            return Ok(QueryHint::OptimizeForUnknown);
        }
        Err(self.syntax_error())
    }

    fn number_text(&mut self) -> SyntaxResult<String> {
        let token = self.peek();
        if !matches!(
            token.kind,
            TokenKind::Int | TokenKind::Decimal | TokenKind::Float
        ) {
            return Err(self.syntax_error());
        }
        self.next();
        Ok(self.text(token).to_owned())
    }
}

fn has_top(body: &QueryBody) -> bool {
    match body {
        QueryBody::Select(select) => select.top.is_some(),
        QueryBody::SetOperation { .. } => false,
    }
}

/// Variables are assigned by a lone SELECT only.
fn check_assignments(body: &QueryBody, line: u32) -> SyntaxResult<()> {
    let mut first = body;
    while let QueryBody::SetOperation { left, .. } = first {
        first = left;
    }
    match (body, first) {
        (QueryBody::SetOperation { .. }, QueryBody::Select(select))
            if matches!(select.items.first(), Some(SelectItem::Assign { .. })) =>
        {
            let message = "Variable assignment is not allowed in a statement containing a top level UNION, INTERSECT \
                or EXCEPT operator.";
            Err(error(10734, line, message.to_owned()))
        }
        _ => Ok(()),
    }
}
