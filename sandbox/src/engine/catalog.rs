//! Catalog views and table-valued functions: each a declared list of columns over a source of items.
//!
//! A column stands beside the getter of its value, so that the shape a query is bound to and the rows it gets
//! cannot drift apart. Sources read the state as it is now, as SQL Server's catalog does even under row versioning:
//! an object whose name another session holds under uncommitted DDL makes the statement wait, unless it asks for
//! another object by its id, and what the login holds no permission on is not listed.

mod columns;
mod functions;
mod indexes;
mod information;
mod keys;
mod modules;
mod objects;
mod policies;
mod procedures;
mod references;
mod server;
mod statistics;
#[cfg(test)]
mod tests;
mod tracking;
mod transactions;
mod types;

pub use functions::TableFunction;
pub use procedures::{described, table_collations, version_rows, who};

use crate::engine::bind::OutColumn;
use crate::engine::calendar::{self, TICKS_PER_DAY};
use crate::engine::collation::Collate;
use crate::engine::context::Cx;
use crate::engine::fault::{Outcome, Stop};
use crate::engine::locks::{Blocked, Mode, Resource};
use crate::engine::permissions;
use crate::engine::plan::{Produce, Tuple};
use crate::engine::schema::{Database, ObjectRef, fold, same_name};
use crate::engine::state::State;
use crate::engine::types as sql_types;
use crate::sql::ast::ObjectName;
use crate::value::{SqlType, Value};
use std::sync::Arc;

const SYSNAME: SqlType = SqlType::NVarChar(Some(128));
const DESCRIPTION: SqlType = SqlType::NVarChar(Some(60));
const TEXT: SqlType = SqlType::NVarChar(None);
const SID: SqlType = SqlType::VarBinary(Some(85));

/// A column's declaration.
#[derive(Debug, Clone)]
pub struct ColumnShape {
    pub name: &'static str,
    pub ty: SqlType,
    pub nullable: bool,
}

/// A catalog view.
pub struct View {
    pub schema: &'static str,
    pub name: &'static str,
    shape: fn() -> Vec<ColumnShape>,
    pub produce: Produce,
}

/// A column of a view over items of type `T`.
struct Field<T> {
    name: &'static str,
    ty: SqlType,
    nullable: bool,
    get: fn(&T) -> Value,
}

/// A column that is never NULL.
const fn col<T>(name: &'static str, ty: SqlType, get: fn(&T) -> Value) -> Field<T> {
    Field {
        name,
        ty,
        nullable: false,
        get,
    }
}

/// A column that may be NULL.
const fn opt<T>(name: &'static str, ty: SqlType, get: fn(&T) -> Value) -> Field<T> {
    Field {
        name,
        ty,
        nullable: true,
        get,
    }
}

fn shape<T>(fields: &[&[Field<T>]]) -> Vec<ColumnShape> {
    let all = fields.iter().flat_map(|part| part.iter());
    all.map(|field| ColumnShape {
        name: field.name,
        ty: field.ty.clone(),
        nullable: field.nullable,
    })
    .collect()
}

fn render<T>(items: Vec<T>, fields: &[&[Field<T>]]) -> Vec<Tuple> {
    let row = |item: &T| {
        fields
            .iter()
            .flat_map(|part| part.iter())
            .map(|field| (field.get)(item))
            .collect()
    };
    items.iter().map(row).collect()
}

/// A view of a name over a source of items and its columns, in parts.
macro_rules! catalog_view {
    ($schema:literal, $name:literal, $source:path, [$($part:expr),+ $(,)?]) => {
        $crate::engine::catalog::View {
            schema: $schema,
            name: $name,
            shape: || $crate::engine::catalog::shape(&[$($part),+]),
            produce: |cx, args, database| {
                cx.held.lock();
                cx.sought = args.first().map($crate::engine::catalog::object_sought);
                let items = $source(cx, database);
                cx.sought = None;
                let items = items?;
                Ok($crate::engine::catalog::render(items, &[$($part),+]))
            },
        }
    };
}
use catalog_view;

/// The object id that a view is asked for; 0 is no object's.
fn object_sought(value: &Value) -> i32 {
    let whole = sql_types::integer(value);
    whole.and_then(|id| i32::try_from(id).ok()).unwrap_or(0)
}

impl View {
    /// Negative, as the ids of all system objects.
    pub fn object_id(&self) -> i32 {
        let own = views().find(|(_, view)| {
            same_name(view.schema, self.schema) && same_name(view.name, self.name)
        });
        own.map_or(0, |(id, _)| id)
    }

    /// The columns with the collation of the database that the view is read in, as SQL Server has them.
    pub fn columns_in(&self, state: &State, database: usize) -> Vec<OutColumn> {
        out_columns((self.shape)(), &state.database(database).collate)
    }
}

fn out_columns(shapes: Vec<ColumnShape>, collate: &Arc<Collate>) -> Vec<OutColumn> {
    shapes
        .into_iter()
        .map(|shape| OutColumn {
            name: shape.name.to_string(),
            collate: sql_types::is_character(&shape.ty).then(|| collate.clone()),
            ty: shape.ty,
            nullable: shape.nullable,
            identity: false,
            computed: false,
            hidden: false,
            unlisted: false,
            masked: false,
        })
        .collect()
}

/// Every list of views, each in its own module.
const LISTS: &[&[View]] = &[
    objects::VIEWS,
    columns::VIEWS,
    indexes::VIEWS,
    keys::VIEWS,
    modules::VIEWS,
    statistics::VIEWS,
    types::VIEWS,
    server::VIEWS,
    transactions::VIEWS,
    information::VIEWS,
    policies::VIEWS,
    tracking::VIEWS,
];

/// Every view with its object id, which is negative as all ids of system objects.
pub(super) fn views() -> impl Iterator<Item = (i32, &'static View)> {
    LISTS
        .iter()
        .flat_map(|list| list.iter())
        .enumerate()
        .map(|(at, view)| (-101 - at as i32, view))
}

/// The catalog view of a name; it must be written with its schema.
pub fn view(name: &ObjectName) -> Option<&'static View> {
    let schema = name.schema()?;
    views()
        .map(|(_, view)| view)
        .find(|view| same_name(view.schema, schema) && same_name(view.name, name.object()))
}

/// The catalog view with an object id.
pub fn view_with_id(id: i32) -> Option<&'static View> {
    views().find(|(own, _)| *own == id).map(|(_, view)| view)
}

/// The object id of a catalog view of schema `sys`.
pub fn view_id(name: &str) -> i32 {
    let named = views().find(|(_, view)| view.schema == "sys" && view.name == name);
    named.map_or(0, |(id, _)| id)
}

/// The name of the catalog view with an object id.
pub fn view_name(id: i32) -> Option<&'static str> {
    view_with_id(id).map(|view| view.name)
}

/// The table-valued function of a name.
pub fn function(name: &ObjectName) -> Option<&'static TableFunction> {
    functions::lookup(name)
}

/// Waits when another session's uncommitted DDL holds an object's name.
fn wait_for_name(cx: &Cx<'_>, slot: usize, schema: i32, name: &str) -> Outcome<()> {
    let resource = Resource::Name(slot, schema, fold(name));
    let blockers = cx
        .held
        .locks
        .conflicts(&resource, Mode::SchemaStable, cx.ses.id);
    if blockers.is_empty() {
        return Ok(());
    }
    Err(Stop::Wait(Blocked {
        resource,
        mode: Mode::SchemaStable,
        blockers,
    }))
}

/// Whether the catalog shows an object to the session: it holds some permission on it.
pub fn sees(cx: &Cx<'_>, at: ObjectRef) -> bool {
    const ANY: [&str; 9] = [
        "VIEW DEFINITION",
        "SELECT",
        "INSERT",
        "UPDATE",
        "DELETE",
        "ALTER",
        "REFERENCES",
        "CONTROL",
        "VIEW CHANGE TRACKING",
    ];
    at.database == 1
        || ANY.iter().any(|permission| {
            permissions::holds(&cx.held, &cx.ses.login, at.database, Some(at), permission)
        })
}

fn text(text: &str) -> Value {
    sql_types::string(text)
}

fn text_or_null(text: Option<&str>) -> Value {
    text.map_or(Value::Null, sql_types::string)
}

fn int_or_null(value: Option<i32>) -> Value {
    value.map_or(Value::Null, Value::Int)
}

/// 100 ns ticks since 0001-01-01 as a `datetime`.
pub fn datetime(total: i64) -> Value {
    let mut days = total.div_euclid(TICKS_PER_DAY);
    let mut ticks = calendar::to_three_hundredths(total.rem_euclid(TICKS_PER_DAY));
    if ticks >= 25_920_000 {
        days += 1;
        ticks = 0;
    }
    Value::DateTime {
        days: days as i32 - calendar::DAYS_TO_1900,
        ticks: ticks as u32,
    }
}

/// A login's security identifier: `0x01` for `sa`, otherwise 16 bytes that its name decides.
pub fn login_sid(login: &str) -> Value {
    if same_name(login, "sa") {
        return Value::Bytes(Arc::from([1u8].as_slice()));
    }
    let step = |hash: u128, byte: u8| {
        (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013B)
    };
    let hash = fold(login)
        .bytes()
        .fold(0x6C62_272E_07BB_0142_62B8_2175_6295_C58D, step);
    Value::Bytes(Arc::from(hash.to_be_bytes().as_slice()))
}

/// A login's `principal_id`.
pub fn login_id(state: &State, login: &str) -> Option<i32> {
    let at = state
        .logins
        .iter()
        .position(|account| same_name(&account.name, login))?;
    Some(if same_name(login, "sa") {
        1
    } else {
        256 + at as i32
    })
}
