//! Tables that security policies filter.

use super::from::Tree;
use super::{Binder, Scope, Source};
use crate::engine::fault::Outcome;
use crate::engine::schema::ObjectRef;
use crate::sql::ast;

impl Binder<'_, '_> {
    /// What security policies leave of a table that is read.
    pub fn policies(&self, at: ObjectRef) -> Outcome<Option<ast::Query>> {
        let has_policies = !self.cx.held.database(at.database).policies.is_empty();
        match has_policies && !self.filtered && self.wanted.is_none() {
            true => crate::engine::ddl::filtering(self.cx, at),
            false => Ok(None),
        }
    }

    /// The rows that `query` leaves of the table, as a source of the FROM clause.
    pub fn let_through(
        &mut self,
        at: ObjectRef,
        query: &ast::Query,
        name: String,
        schema: Option<String>,
        scope: &mut Scope,
    ) -> Outcome<Tree> {
        let mut inner = Binder::new(self.cx);
        inner.database = at.database;
        inner.filtered = true;
        let bound = inner.query(query)?;
        let start = scope.width;
        scope.add(Source {
            name,
            schema,
            columns: bound.columns,
            start,
        });
        Ok(Tree::Other {
            plan: bound.plan,
            start,
        })
    }
}
