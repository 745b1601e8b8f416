//! `FOR SYSTEM_TIME`: the rows of a table and of its history that a period holds.

use super::period;
use crate::engine::bind::{Binder, Named, Scope, Source, Tree, hints_reading};
use crate::engine::fault::{Outcome, error};
use crate::engine::permissions;
use crate::engine::plan::{Node, Plan, Reading};
use crate::engine::schema::ObjectRef;
use crate::sql::ast::{
    CompareOp, Condition, ConditionKind, Expr, ExprKind, Ident, ObjectName, SystemTime, TableHint,
};

impl Binder<'_, '_> {
    /// `t FOR SYSTEM_TIME ..`
    pub fn past_source(
        &mut self,
        name: &ObjectName,
        alias: Option<&Ident>,
        hints: &[TableHint],
        time: &SystemTime,
        scope: &mut Scope,
    ) -> Outcome<Tree> {
        let at = match self.named(name)? {
            Named::Table(at) => at,
            Named::View(_) => return self.refuse("FOR SYSTEM_TIME of a view", name.line),
        };
        permissions::check(self.cx, at, "SELECT")?;
        let shown = match alias {
            Some(alias) => (alias.text.clone(), None),
            None => (name.object().to_owned(), name.schema().map(str::to_owned)),
        };
        self.as_of(at, time, shown, hints_reading(hints), scope)
    }

    /// The rows of a table as of a time or within a period, as a source of the FROM clause.
    fn as_of(
        &mut self,
        at: ObjectRef,
        time: &SystemTime,
        (name, schema): (String, Option<String>),
        reading: Reading,
        scope: &mut Scope,
    ) -> Outcome<Tree> {
        let def = self.cx.held.table(at)?.def.clone();
        let (Some(versioning), Some((start, end))) = (&def.versioning, period(&def)) else {
            let why = format!(
                "Temporal FOR SYSTEM_TIME clause can only be used with system-versioned tables. '{}' is not a \
                    system-versioned table.",
                super::full_name(self.cx, at)
            );
            return Err(error(13544, 16, why).into());
        };
        let history = ObjectRef {
            database: at.database,
            id: versioning.history,
        };
        permissions::check(self.cx, history, "SELECT")?;
        let filter = condition(time, &def.columns[start].name, &def.columns[end].name);
        let mut parts = Vec::new();
        for part in [at, history] {
            let mut inner = Binder::new(self.cx);
            inner.database = at.database;
            let mut own = Scope::default();
            let tree = inner.base_table(part, &def.name, None, reading, &mut own)?;
            inner.scopes.push(own);
            parts.push(inner.filtered(vec![tree], Some(&filter))?);
        }
        let columns = crate::engine::bind::table_columns(self.cx, at)?;
        let width = columns.len();
        let (Some(past), Some(now)) = (parts.pop(), parts.pop()) else {
            unreachable!("two parts were planned");
        };
        let begin = scope.width;
        scope.add(Source {
            name,
            schema,
            columns,
            start: begin,
        });
        Ok(Tree::Other {
            plan: Plan::new(Node::UnionAll(Box::new(now), Box::new(past)), width),
            start: begin,
        })
    }
}

/// What a row's period must be: never of no length.
fn condition(time: &SystemTime, start: &str, end: &str) -> Condition {
    let column = |name: &str| Expr {
        kind: ExprKind::Column(ObjectName {
            parts: vec![Ident::new(name)],
            line: 0,
        }),
        line: 0,
    };
    let compare = |name: &str, op, right: &Expr| Condition {
        kind: ConditionKind::Compare {
            op,
            left: Box::new(column(name)),
            right: Box::new(right.clone()),
        },
        line: 0,
    };
    let mut all = vec![compare(start, CompareOp::Less, &column(end))];
    match time {
        SystemTime::All => return all.remove(0),
        SystemTime::AsOf(at) => all.extend([
            compare(start, CompareOp::LessOrEqual, at),
            compare(end, CompareOp::Greater, at),
        ]),
        SystemTime::FromTo(from, to) => all.extend([
            compare(start, CompareOp::Less, to),
            compare(end, CompareOp::Greater, from),
        ]),
        SystemTime::Between(from, to) => all.extend([
            compare(start, CompareOp::LessOrEqual, to),
            compare(end, CompareOp::Greater, from),
        ]),
        SystemTime::ContainedIn(from, to) => all.extend([
            compare(start, CompareOp::GreaterOrEqual, from),
            compare(end, CompareOp::LessOrEqual, to),
        ]),
    }
    Condition {
        kind: ConditionKind::And(all),
        line: 0,
    }
}
