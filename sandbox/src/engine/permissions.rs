//! Who may do what: logins, users, roles, GRANT and DENY.
//!
//! `sa` and members of `sysadmin` may everything, `db_owner` everything in its database; a DENY beats every GRANT.

use crate::engine::context::Cx;
use crate::engine::fault::{Outcome, error, permission_denied};
use crate::engine::schema::{Database, ObjectRef, SecurableRef, same_name};
use crate::engine::state::State;

pub fn is_sysadmin(state: &State, login: &str) -> bool {
    state.logins.iter().any(|account| {
        same_name(&account.name, login)
            && (account.sysadmin || account.roles.iter().any(|role| same_name(role, "sysadmin")))
    })
}

/// The database user that a login is; none when it may not enter.
pub fn user_name(state: &State, login: &str, slot: usize) -> Option<String> {
    if is_sysadmin(state, login) {
        return Some("dbo".into());
    }
    let database = state.database(slot);
    let mapped = database.security.principals.iter().find(|principal| {
        principal
            .login
            .as_deref()
            .is_some_and(|own| same_name(own, login))
    });
    match mapped {
        Some(principal) => Some(principal.name.clone()),
        // Everybody may enter the system databases as guest.
        None if slot < 3 => Some("guest".into()),
        None => None,
    }
}

/// Error 916 for a login without a user.
pub fn check_database(cx: &Cx<'_>, slot: usize) -> Outcome<()> {
    if user_name(&cx.held, &cx.ses.login, slot).is_some() {
        return Ok(());
    }
    let name = &cx.held.database(slot).name;
    Err(error(
        916,
        14,
        format!(
            "The server principal \"{}\" is not able to access the database \"{name}\" under the \
        current security context.",
            cx.ses.login
        ),
    )
    .into())
}

/// The user and every role it is in.
fn identities(database: &Database, user: &str) -> Vec<String> {
    let mut out = vec![user.to_string(), "public".to_string()];
    let mut at = 0;
    while at < out.len() {
        let found = database
            .security
            .principals
            .iter()
            .find(|principal| same_name(&principal.name, &out[at]));
        for role in found.iter().flat_map(|principal| &principal.member_of) {
            if !out.iter().any(|known| same_name(known, role)) {
                out.push(role.clone());
            }
        }
        at += 1;
    }
    out
}

pub fn is_member(state: &State, login: &str, slot: usize, role: &str) -> bool {
    match user_name(state, login, slot) {
        Some(user) => {
            let all = identities(state.database(slot), &user);
            all.iter().any(|known| same_name(known, role))
                || (user == "dbo" && same_name(role, "db_owner"))
        }
        None => false,
    }
}

/// Whether a login holds a permission on an object (or, without one, on the database).
pub fn holds(
    state: &State,
    login: &str,
    slot: usize,
    object: Option<ObjectRef>,
    permission: &str,
) -> bool {
    let found = object.and_then(|at| state.database(slot).objects.get(&at.id));
    let schema = found.map(|found| found.schema_id());
    holds_somewhere(state, login, slot, object, schema, permission)
}

/// Whether a login holds a permission on a schema.
pub fn holds_on_schema(
    state: &State,
    login: &str,
    slot: usize,
    schema: i32,
    permission: &str,
) -> bool {
    holds_somewhere(state, login, slot, None, Some(schema), permission)
}

fn holds_somewhere(
    state: &State,
    login: &str,
    slot: usize,
    object: Option<ObjectRef>,
    schema: Option<i32>,
    permission: &str,
) -> bool {
    if is_sysadmin(state, login) {
        return true;
    }
    let Some(user) = user_name(state, login, slot) else {
        return false;
    };
    let database = state.database(slot);
    let names = identities(database, &user);
    let has = |role: &str| names.iter().any(|name| same_name(name, role));
    if user == "dbo" || has("db_owner") {
        return true;
    }
    if schema.is_some_and(|schema| database.owns(&names, schema)) {
        return true;
    }
    let covers = |securable: &SecurableRef| match securable {
        SecurableRef::Database => true,
        SecurableRef::Schema(id) => Some(*id) == schema,
        SecurableRef::Object(id) => object.is_some_and(|at| at.id == *id),
    };
    let implied = |granted: &str| {
        granted.eq_ignore_ascii_case(permission)
            || granted == "CONTROL"
            || granted == "ALL"
            || (granted == "ALTER" && permission == "VIEW DEFINITION")
    };
    let mine = |grant: &&crate::engine::schema::Grant| {
        names.iter().any(|name| same_name(name, &grant.principal)) && covers(&grant.securable)
    };
    let denied = database
        .security
        .grants
        .iter()
        .filter(mine)
        .any(|grant| grant.deny && implied(&grant.permission));
    let role_denies = (permission == "SELECT" && has("db_denydatareader"))
        || (matches!(permission, "INSERT" | "UPDATE" | "DELETE") && has("db_denydatawriter"));
    if denied || role_denies {
        return false;
    }
    let by_role = (permission == "SELECT" && has("db_datareader"))
        || (matches!(permission, "INSERT" | "UPDATE" | "DELETE") && has("db_datawriter"))
        || (matches!(
            permission,
            "ALTER" | "CREATE TABLE" | "CREATE VIEW" | "CREATE SCHEMA" | "VIEW DEFINITION"
        ) && has("db_ddladmin"));
    by_role
        || database
            .security
            .grants
            .iter()
            .filter(mine)
            .any(|grant| !grant.deny && implied(&grant.permission))
}

/// Error 229 when the session may not do this to the object.
pub fn check(cx: &Cx<'_>, at: ObjectRef, permission: &str) -> Outcome<()> {
    // tempdb and table variables are everybody's.
    if at.database == 1 || holds(&cx.held, &cx.ses.login, at.database, Some(at), permission) {
        return Ok(());
    }
    // Inside a trigger or view the owner's rights apply.
    if cx.ses.frame().trigger.is_some() {
        return Ok(());
    }
    check_database(cx, at.database)?;
    let database = cx.held.database(at.database);
    let object = database.objects.get(&at.id);
    let name = object.map_or("", |object| object.name()).to_string();
    let schema = object
        .map_or("", |object| database.schema_name(object.schema_id()))
        .to_string();
    Err(permission_denied(permission, &name, &database.name, &schema).into())
}

/// Error 262 when the session may not do this in the database.
pub fn check_in_database(cx: &Cx<'_>, slot: usize, permission: &str) -> Outcome<()> {
    if slot == 1 || holds(&cx.held, &cx.ses.login, slot, None, permission) {
        return Ok(());
    }
    let name = &cx.held.database(slot).name;
    Err(error(
        262,
        14,
        format!("{permission} permission denied in database '{name}'."),
    )
    .into())
}
