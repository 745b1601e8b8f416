//! Functions that ask the session or the catalog: `OBJECT_ID`, `@@ROWCOUNT`, `SERVERPROPERTY`.

use crate::engine::context::Cx;
use crate::engine::fault::Outcome;
use crate::engine::permissions;
use crate::engine::schema::{Grant, SecurableRef, same_name};
use crate::engine::state::{LoginAccount, State};
use crate::engine::types;
use crate::value::{SqlType, Value};
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

mod objects;
mod properties;
mod server;
mod session;
mod tracking;

pub use server::{application, mode_named};

/// What the stand-in says it is.
pub const PRODUCT_VERSION: &str = "16.0.4135.4";
pub const SERVER_NAME: &str = "icesync-sandbox";

type Eval = fn(&mut Cx<'_>, &[Value]) -> Outcome<Value>;

/// One metadata function or global variable.
pub struct MetaFunction {
    /// In upper case, with its `@@` when it is a global variable.
    pub name: &'static str,
    pub args: RangeInclusive<usize>,
    /// Types that the arguments convert to, over and over; not empty when it takes any.
    pub types: Vec<SqlType>,
    pub ty: SqlType,
    pub eval: Eval,
}

pub const NAME: SqlType = SqlType::NVarChar(Some(128));
pub const TEXT: SqlType = SqlType::NVarChar(Some(4000));

static FUNCTIONS: LazyLock<HashMap<&'static str, MetaFunction>> = LazyLock::new(|| {
    let mut all = Vec::new();
    objects::register(&mut all);
    properties::register(&mut all);
    server::register(&mut all);
    session::register(&mut all);
    tracking::register(&mut all);
    crate::engine::capture::register(&mut all);
    all.into_iter()
        .map(|function| (function.name, function))
        .collect()
});

/// Finds a function by name, whatever its case.
pub fn lookup(name: &str) -> Option<&'static MetaFunction> {
    FUNCTIONS.get(name.to_ascii_uppercase().as_str())
}

pub fn function(
    name: &'static str,
    args: RangeInclusive<usize>,
    types: &[SqlType],
    ty: SqlType,
    eval: Eval,
) -> MetaFunction {
    MetaFunction {
        name,
        args,
        types: types.to_vec(),
        ty,
        eval,
    }
}

/// Whether a login holds a server permission: by `sysadmin`, by the role that reads the server's state, or by a
/// grant in `master`.
pub fn server_permission(state: &State, login: &str, permission: &str) -> bool {
    if permissions::is_sysadmin(state, login)
        || matches!(permission, "CONNECT SQL" | "VIEW ANY DATABASE")
    {
        return true;
    }
    let reader = |account: &LoginAccount| {
        same_name(&account.name, login)
            && account
                .roles
                .iter()
                .any(|role| same_name(role, "##MS_ServerStateReader##"))
    };
    if permission.starts_with("VIEW SERVER")
        && permission.ends_with("STATE")
        && state.logins.iter().any(reader)
    {
        return true;
    }
    let user = permissions::user_name(state, login, 0).unwrap_or_default();
    let grants = &state.database(0).security.grants;
    let mine = |grant: &&Grant| {
        let principal = &grant.principal;
        grant.securable == SecurableRef::Database
            && grant.permission == permission
            && (same_name(principal, login)
                || same_name(principal, &user)
                || same_name(principal, "public"))
    };
    grants.iter().filter(mine).any(|grant| !grant.deny)
        && !grants.iter().filter(mine).any(|grant| grant.deny)
}

/// The text of a character argument; none for NULL.
pub fn text(value: Option<&Value>) -> Option<String> {
    match value {
        Some(Value::Str(units)) => Some(types::text(units)),
        _ => None,
    }
}

pub fn whole(value: Option<&Value>) -> Option<i64> {
    value.and_then(types::integer).map(|n| n as i64)
}

fn string_or_null(text: Option<String>) -> Value {
    text.map_or(Value::Null, |text| types::string(&text))
}

fn int_or_null(value: Option<i32>) -> Value {
    value.map_or(Value::Null, Value::Int)
}

/// Splits `[a].b."c"` into its parts, delimiters taken off.
pub fn split_name(text: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut chars = text.trim().chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '.' => parts.push(std::mem::take(&mut part)),
            '[' | '"' => {
                let close = if c == '[' { ']' } else { '"' };
                while let Some(inner) = chars.next() {
                    if inner == close {
                        if chars.peek() == Some(&close) {
                            chars.next();
                        } else {
                            break;
                        }
                    }
                    part.push(inner);
                }
            }
            other => part.push(other),
        }
    }
    parts.push(part);
    parts
}

/// A variant of a value.
fn variant(value: Value) -> Value {
    match value {
        Value::Null => Value::Null,
        other => Value::Variant(Box::new((types::of_value(&other), other, None))),
    }
}
