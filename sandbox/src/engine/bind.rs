//! Binding: from the syntax tree to plans and expressions, with every name, type and collation settled.
//!
//! A scope is one SELECT's FROM clause; its columns lie side by side in one row. An inner query sees the scopes
//! around it as outer rows, counted from the nearest. Names of objects resolve against the catalog as it is now; a
//! name under uncommitted DDL of another session makes the statement wait.

use crate::engine::collation::Collate;
use crate::engine::context::Cx;
use crate::engine::expr::Expr;
use crate::engine::fault::{Outcome, Stop, error, invalid_column, invalid_object, unsupported};
use crate::engine::locks::{Blocked, Mode, Resource};
use crate::engine::schema::{AliasKind, Object, ObjectRef, fold, same_name};
use crate::session::ColumnMeta;
use crate::sql::ast;
use crate::value::SqlType;
use std::sync::Arc;

mod access;
mod arithmetic;
mod cond;
mod cte;
mod expr;
mod from;
mod function;
mod join;
mod names;
mod order;
mod policies;
mod select;
mod semi;
mod sets;
mod tracking;

pub use expr::{cast, check_code_page};
pub use from::{Tree, hints_reading};
pub use names::check_exposed;
pub use select::{Bound, Target};

/// A column as a query sees it.
#[derive(Debug, Clone)]
pub struct OutColumn {
    pub name: String,
    pub ty: SqlType,
    pub collate: Option<Arc<Collate>>,
    pub nullable: bool,
    pub identity: bool,
    pub computed: bool,
    /// Reached by a DML statement only, never by name or `*`.
    pub hidden: bool,
    /// Not among those of `*`: a HIDDEN column.
    pub unlisted: bool,
    /// It holds what the session may not see unmasked: in a result its values are masked.
    pub masked: bool,
}

impl OutColumn {
    /// What orders the column's values.
    pub fn order(&self) -> Option<Arc<Collate>> {
        let collate = self.collate.as_ref()?;
        Some(collate.of(&self.ty).clone())
    }

    pub fn of_expr(name: String, expr: &Expr) -> Self {
        Self {
            name,
            ty: expr.ty.clone(),
            collate: expr.collate.clone(),
            nullable: expr.nullable,
            identity: false,
            computed: false,
            hidden: false,
            unlisted: false,
            masked: false,
        }
    }

    pub fn meta(&self) -> ColumnMeta {
        ColumnMeta {
            name: self.name.clone(),
            ty: self.ty.clone(),
            nullable: self.nullable,
            identity: self.identity,
            computed: self.computed,
            collation: self.collate.as_ref().map(|collate| collate.name.clone()),
        }
    }
}

/// One named source of a scope.
#[derive(Debug, Clone)]
pub struct Source {
    /// The alias, or the table's own name.
    pub name: String,
    /// The schema, when there is no alias.
    pub schema: Option<String>,
    pub columns: Vec<OutColumn>,
    pub start: usize,
}

#[derive(Debug, Clone, Default)]
pub struct Scope {
    pub sources: Vec<Source>,
    pub width: usize,
}

impl Scope {
    pub fn add(&mut self, mut source: Source) {
        source.start = self.width;
        self.width += source.columns.len();
        self.sources.push(source);
    }

    pub fn all_columns(&self) -> impl Iterator<Item = (usize, &OutColumn)> {
        self.sources.iter().flat_map(|source| {
            source
                .columns
                .iter()
                .enumerate()
                .map(move |(i, column)| (source.start + i, column))
        })
    }
}

#[derive(Clone)]
pub struct CteDef {
    pub name: String,
    pub columns: Vec<ast::Ident>,
    pub query: Arc<ast::Query>,
    /// CTEs before it, which it may use.
    pub visible: usize,
    /// While its own recursive part is bound: its columns and how many recursions deep.
    pub recursing: Option<(Vec<OutColumn>, usize)>,
}

/// What SELECT's lists may hold while they are bound over grouped rows.
#[derive(Default)]
pub struct Grouping {
    /// Texts of the GROUP BY expressions, in order.
    pub keys: Vec<(String, Expr)>,
    pub calls: Vec<crate::engine::aggregate::Aggregate>,
    /// Aggregates are being bound: their arguments see the ungrouped row.
    pub inside: bool,
}

pub struct Binder<'b, 'a> {
    pub cx: &'b Cx<'a>,
    pub scopes: Vec<Scope>,
    pub ctes: Vec<CteDef>,
    /// Lowest scope that an expression referred to since this was last reset.
    pub lowest: usize,
    pub grouping: Option<Grouping>,
    pub windows: Vec<crate::engine::window::WindowCall>,
    /// Where unqualified names are looked up.
    pub database: usize,
    pub recursion: usize,
    /// Aggregates are allowed here (SELECT list, HAVING, ORDER BY).
    pub aggregates: bool,
    /// The depth of views being expanded.
    pub nesting: u32,
    /// The table that the statement changes, until FROM has named it.
    pub wanted: Option<Wanted>,
    /// Where FROM has it.
    pub target: Option<Target>,
    /// Security policies are done with: this is the query that applies them.
    pub filtered: bool,
}

/// How a DML statement names its target: an alias in FROM, or the table itself.
#[derive(Debug, Clone)]
pub enum Wanted {
    Alias(String),
    Table(ObjectRef),
}

impl Wanted {
    fn is(&self, at: ObjectRef, name: &str) -> bool {
        match self {
            Wanted::Alias(alias) => same_name(alias, name),
            Wanted::Table(table) => *table == at,
        }
    }
}

/// Where window columns are numbered from until the row's width is known.
pub const WINDOW_BASE: usize = 1 << 24;

impl<'b, 'a> Binder<'b, 'a> {
    pub fn new(cx: &'b Cx<'a>) -> Self {
        Self {
            cx,
            scopes: Vec::new(),
            ctes: Vec::new(),
            lowest: usize::MAX,
            grouping: None,
            windows: Vec::new(),
            database: cx.ses.database,
            recursion: 0,
            aggregates: false,
            nesting: 0,
            wanted: None,
            target: None,
            filtered: false,
        }
    }

    pub fn add_ctes(&mut self, ctes: &[ast::Cte]) {
        for cte in ctes {
            let visible = self.ctes.len();
            self.ctes.push(CteDef {
                name: cte.name.text.clone(),
                columns: cte.columns.clone(),
                query: Arc::new(cte.query.clone()),
                visible,
                recursing: None,
            });
        }
    }

    pub fn default_collate(&self) -> Arc<Collate> {
        self.cx.held.database(self.database).collate.clone()
    }

    /// The database slot a name points to; error 911 or 208 when there is none.
    pub fn database_of(&self, name: &ast::ObjectName) -> Outcome<usize> {
        if let Some(server) = name.server() {
            return Err(error(
                7202,
                16,
                format!("Could not find server '{server}' in sys.servers."),
            )
            .into());
        }
        match name.database() {
            Some(database) => self
                .cx
                .held
                .database_named(database)
                .ok_or_else(|| invalid_object(name).into()),
            None => Ok(self.database),
        }
    }

    /// Finds a table, view or sequence; error 208.
    pub fn object(&self, name: &ast::ObjectName) -> Outcome<ObjectRef> {
        resolve(self.cx, name, self.database)?
            .ok_or_else(|| at_line(invalid_object(name), name.line).into())
    }

    /// The built-in type a name stands for, and whether an alias type forbids NULL.
    pub fn type_of(&self, ty: &ast::TypeName) -> Outcome<(SqlType, Option<bool>, i32)> {
        match ty {
            ast::TypeName::Builtin(ty) => {
                Ok((ty.clone(), None, crate::engine::types::user_type_id(ty)))
            }
            ast::TypeName::SysName => Ok((SqlType::NVarChar(Some(128)), Some(false), 256)),
            ast::TypeName::Named(name) => {
                let database = self.cx.held.database(self.database);
                let found = database
                    .types
                    .iter()
                    .find(|alias| same_name(&alias.name, name.object()));
                match found.map(|alias| (&alias.kind, alias.user_type_id)) {
                    Some((AliasKind::Scalar { base, nullable }, id)) => {
                        Ok((base.clone(), Some(*nullable), id))
                    }
                    Some((AliasKind::Table(_), _)) => Err(error(
                        206,
                        16,
                        format!("Operand type clash: {name} is a table type"),
                    )
                    .into()),
                    None => Err(at_line(
                        error(
                            2715,
                            16,
                            format!(
                                "Column, parameter, or variable #1: Cannot find data type {name}."
                            ),
                        ),
                        name.line,
                    )
                    .into()),
                }
            }
        }
    }

    /// Looks a column up from the innermost scope outwards.
    pub fn column(&mut self, name: &ast::ObjectName) -> Outcome<Expr> {
        let depth = self.scopes.len();
        for index in (0..depth).rev() {
            if let Some((place, column)) = find_column(&self.scopes[index], name)? {
                self.lowest = self.lowest.min(index);
                let mut expr = Expr::column(place, column.ty, column.collate, column.nullable);
                if index + 1 < depth {
                    expr.kind = crate::engine::expr::Kind::Outer {
                        level: depth - 1 - index,
                        index: place,
                    };
                }
                return Ok(expr);
            }
        }
        if name.parts.len() > 1 {
            return Err(at_line(
                error(
                    4104,
                    16,
                    format!("The multi-part identifier \"{name}\" could not be bound."),
                ),
                name.line,
            )
            .into());
        }
        Err(at_line(invalid_column(name), name.line).into())
    }

    /// Binds a query nested in an expression, with whether it reads outer rows.
    pub fn nested(&mut self, query: &ast::Query) -> Outcome<(Bound, bool)> {
        let (grouping, windows) = (self.grouping.take(), std::mem::take(&mut self.windows));
        let (lowest, aggregates) = (
            std::mem::replace(&mut self.lowest, usize::MAX),
            std::mem::replace(&mut self.aggregates, false),
        );
        let depth = self.scopes.len();
        let bound = self.query(query);
        let correlated = self.lowest < depth;
        self.lowest = self.lowest.min(lowest);
        self.grouping = grouping;
        self.windows = windows;
        self.aggregates = aggregates;
        bound.map(|bound| (bound, correlated))
    }
}

pub fn at_line(mut error: crate::session::SqlError, line: u32) -> crate::session::SqlError {
    if error.line == 0 {
        error.line = line;
    }
    error
}

/// Where a name points, none when it points nowhere. Waits while another session's DDL on the name is uncommitted.
pub fn resolve(
    cx: &Cx<'_>,
    name: &ast::ObjectName,
    default_database: usize,
) -> Outcome<Option<ObjectRef>> {
    let object = name.object();
    if let Some(server) = name.server() {
        return Err(error(
            7202,
            16,
            format!("Could not find server '{server}' in sys.servers."),
        )
        .into());
    }
    if object.starts_with('@') {
        return Ok(cx
            .ses
            .frames
            .last()
            .and_then(|frame| frame.tables.get(&fold(object)))
            .copied());
    }
    if object.starts_with('#') && !object.starts_with("##") {
        return Ok(cx.ses.temporary_table(&cx.held, object));
    }
    let Some(slot) = slot_of(cx, name, default_database) else {
        return Ok(None);
    };
    let database = cx.held.database(slot);
    let schema = match name.schema() {
        Some(schema) => match database.schema(schema) {
            Some(schema) => schema.id,
            None => return Ok(None),
        },
        None => default_schema(cx, slot),
    };
    let mut found = database.names.get(&(schema, fold(object))).copied();
    if found.is_none() && name.schema().is_none() && schema != 1 {
        found = database.names.get(&(1, fold(object))).copied();
    }
    let found = found.map(|id| ObjectRef { database: slot, id });
    let name = Resource::Name(slot, schema, fold(object));
    // DDL on the object itself, and TRUNCATE: a name is looked up under a schema stability lock on its object.
    for resource in std::iter::once(name).chain(found.map(Resource::Table)) {
        let locks = &cx.held.locks;
        let blockers = locks.conflicts(&resource, Mode::SchemaStable, cx.ses.id);
        if !blockers.is_empty() {
            return Err(Stop::Wait(Blocked {
                resource,
                mode: Mode::SchemaStable,
                blockers,
            }));
        }
    }
    Ok(found)
}

/// The database that a name is looked up in.
fn slot_of(cx: &Cx<'_>, name: &ast::ObjectName, default_database: usize) -> Option<usize> {
    if name.object().starts_with("##") {
        return Some(1);
    }
    match name.database() {
        Some(database) => cx.held.database_named(database),
        None => Some(default_database),
    }
}

/// The schema id that unqualified names of a session belong to.
pub fn default_schema(cx: &Cx<'_>, slot: usize) -> i32 {
    let database = cx.held.database(slot);
    let user = crate::engine::permissions::user_name(&cx.held, &cx.ses.login, slot);
    database
        .security
        .principals
        .iter()
        .find(|principal| Some(&principal.name) == user.as_ref())
        .and_then(|principal| database.schema(&principal.default_schema))
        .map_or(1, |schema| schema.id)
}

fn find_column(scope: &Scope, name: &ast::ObjectName) -> Outcome<Option<(usize, OutColumn)>> {
    let wanted = name.object();
    let (qualifier, schema) = (name.schema(), name.database());
    let mut found = None;
    for source in &scope.sources {
        if let Some(qualifier) = qualifier
            && !same_name(&source.name, qualifier)
        {
            continue;
        }
        if let (Some(schema), Some(own)) = (schema, &source.schema)
            && !same_name(schema, own)
        {
            continue;
        }
        let place = source
            .columns
            .iter()
            .position(|column| !column.hidden && same_name(&column.name, wanted));
        if let Some(place) = place {
            if found.is_some() {
                return Err(at_line(
                    error(209, 16, format!("Ambiguous column name '{wanted}'.")),
                    name.line,
                )
                .into());
            }
            found = Some((source.start + place, source.columns[place].clone()));
        }
    }
    Ok(found)
}

/// A table's columns as a query sees them.
pub fn table_columns(cx: &Cx<'_>, at: ObjectRef) -> Outcome<Vec<OutColumn>> {
    let table = cx.held.table(at)?;
    let masks = table.def.columns.iter().any(|column| column.mask.is_some())
        && !crate::engine::permissions::holds(
            &cx.held,
            &cx.ses.login,
            at.database,
            Some(at),
            "UNMASK",
        );
    Ok(table
        .def
        .columns
        .iter()
        .map(|column| OutColumn {
            name: column.name.clone(),
            ty: column.ty.clone(),
            collate: column.collate.clone(),
            nullable: column.nullable,
            identity: column.identity.is_some(),
            computed: column.computed.is_some(),
            hidden: false,
            unlisted: column.hidden,
            masked: masks && column.mask.is_some(),
        })
        .collect())
}

/// What a name in FROM turned out to be.
pub enum Named {
    Table(ObjectRef),
    View(ObjectRef),
}

impl Binder<'_, '_> {
    pub fn named(&self, name: &ast::ObjectName) -> Outcome<Named> {
        let at = self.object(name)?;
        if matches!(name.object().as_bytes().first(), Some(b'@' | b'#')) {
            return Ok(Named::Table(at));
        }
        match self.cx.held.databases[at.database].objects.get(&at.id) {
            Some(Object::Table(_)) => Ok(Named::Table(at)),
            Some(Object::View(_)) => Ok(Named::View(at)),
            Some(Object::Sequence(_)) | None => {
                Err(at_line(invalid_object(name), name.line).into())
            }
        }
    }

    pub fn refuse<T>(&self, what: &str, line: u32) -> Outcome<T> {
        Err(at_line(unsupported(what), line).into())
    }
}
