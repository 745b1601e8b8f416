//! Logins, users, roles, GRANT, DENY, REVOKE.

use crate::engine::bind::Binder;
use crate::engine::context::Cx;
use crate::engine::fault::{Outcome, error, unsupported};
use crate::engine::permissions;
use crate::engine::schema::{Grant, Principal, SecurableRef, same_name};
use crate::engine::state::{LoginAccount, Undo};
use crate::sql::ast::{self, ObjectKind, PermissionKind, SecurableClass, UserLogin};

fn server_only(cx: &Cx<'_>) -> Outcome<()> {
    if permissions::is_sysadmin(&cx.held, &cx.ses.login) {
        return Ok(());
    }
    Err(error(
        15247,
        16,
        "User does not have permission to perform this action.",
    )
    .into())
}

fn owner_only(cx: &Cx<'_>) -> Outcome<()> {
    let slot = cx.ses.database;
    if permissions::is_member(&cx.held, &cx.ses.login, slot, "db_owner") {
        return Ok(());
    }
    Err(error(
        15247,
        16,
        "User does not have permission to perform this action.",
    )
    .into())
}

fn keep_logins(cx: &mut Cx<'_>) {
    let old = cx.held.logins.clone();
    cx.transaction().undo.push(Undo::Logins(old));
}

fn keep_security(cx: &mut Cx<'_>, slot: usize) {
    let old = Box::new(cx.held.database(slot).security.clone());
    cx.transaction().undo.push(Undo::Security {
        database: slot,
        old,
    });
}

pub fn create_login(cx: &mut Cx<'_>, login: &ast::Login) -> Outcome<()> {
    server_only(cx)?;
    let name = &login.name.text;
    if cx
        .held
        .logins
        .iter()
        .any(|account| same_name(&account.name, name))
    {
        return Err(error(
            15025,
            16,
            format!("The server principal '{name}' already exists."),
        )
        .into());
    }
    let Some(password) = &login.password else {
        return Err(unsupported("A login without a password").into());
    };
    keep_logins(cx);
    cx.held.logins.push(LoginAccount {
        name: name.clone(),
        password: password.clone(),
        sysadmin: false,
        enabled: login.enable.unwrap_or(true),
        default_database: login
            .default_database
            .as_ref()
            .map_or("master".into(), |database| database.text.clone()),
        language: login
            .default_language
            .as_ref()
            .map_or("us_english".into(), |language| language.text.clone()),
        roles: Vec::new(),
    });
    Ok(())
}

pub fn alter_login(cx: &mut Cx<'_>, login: &ast::Login) -> Outcome<()> {
    server_only(cx)?;
    keep_logins(cx);
    let name = &login.name.text;
    let Some(account) = cx
        .held
        .logins
        .iter_mut()
        .find(|account| same_name(&account.name, name))
    else {
        return Err(error(
            15151,
            16,
            format!(
                "Cannot alter the login '{name}', because it does not exist or you do not \
            have permission."
            ),
        )
        .into());
    };
    if let Some(password) = &login.password {
        account.password = password.clone();
    }
    if let Some(database) = &login.default_database {
        account.default_database = database.text.clone();
    }
    if let Some(language) = &login.default_language {
        account.language = language.text.clone();
    }
    if let Some(enable) = login.enable {
        account.enabled = enable;
    }
    Ok(())
}

pub fn create_user(cx: &mut Cx<'_>, user: &ast::User) -> Outcome<()> {
    owner_only(cx)?;
    let name = &user.name.text;
    let login = match &user.login {
        UserLogin::Login(login) => Some(
            login
                .as_ref()
                .map_or(name.clone(), |login| login.text.clone()),
        ),
        UserLogin::WithoutLogin => None,
        UserLogin::Password(_) => return Err(unsupported("Contained users").into()),
    };
    if let Some(login) = &login
        && !cx
            .held
            .logins
            .iter()
            .any(|account| same_name(&account.name, login))
    {
        return Err(error(
            15007,
            16,
            format!("'{login}' is not a valid login or you do not have permission."),
        )
        .into());
    }
    let schema = user
        .default_schema
        .as_ref()
        .map_or("dbo".to_string(), |schema| schema.text.clone());
    add_principal(cx, name, false, login, schema)
}

pub fn create_role(cx: &mut Cx<'_>, name: &ast::Ident) -> Outcome<()> {
    owner_only(cx)?;
    add_principal(cx, &name.text, true, None, "dbo".into())
}

pub fn add_principal(
    cx: &mut Cx<'_>,
    name: &str,
    role: bool,
    login: Option<String>,
    default_schema: String,
) -> Outcome<()> {
    let slot = cx.ses.database;
    keep_security(cx, slot);
    let principals = &mut cx.held.databases[slot].security.principals;
    if principals
        .iter()
        .any(|principal| same_name(&principal.name, name))
    {
        return Err(error(
            15023,
            16,
            format!("User, group, or role '{name}' already exists in the current database."),
        )
        .into());
    }
    let id = principals
        .iter()
        .map(|principal| principal.id)
        .filter(|id| *id < 16384)
        .max()
        .unwrap_or(4)
        .max(4)
        + 1;
    principals.push(Principal {
        id,
        name: name.to_string(),
        role,
        login,
        default_schema,
        member_of: Vec::new(),
    });
    Ok(())
}

pub fn alter_role(cx: &mut Cx<'_>, change: &ast::AlterRole) -> Outcome<()> {
    let (role, member) = (&change.role.text, &change.member.text);
    if change.server {
        server_only(cx)?;
        keep_logins(cx);
        let Some(account) = cx
            .held
            .logins
            .iter_mut()
            .find(|account| same_name(&account.name, member))
        else {
            return Err(error(
                15151,
                16,
                format!(
                    "Cannot add the principal '{member}', because it does not exist or you \
                do not have permission."
                ),
            )
            .into());
        };
        account.roles.retain(|known| !same_name(known, role));
        if change.add {
            account.roles.push(role.clone());
        }
        return Ok(());
    }
    owner_only(cx)?;
    let slot = cx.ses.database;
    keep_security(cx, slot);
    let principals = &mut cx.held.databases[slot].security.principals;
    let missing = |what: &str| {
        error(
            15151,
            16,
            format!(
                "Cannot alter the role '{what}', because it does not exist or you do not have permission."
            ),
        )
    };
    if !principals
        .iter()
        .any(|principal| principal.role && same_name(&principal.name, role))
    {
        return Err(missing(role).into());
    }
    let Some(principal) = principals
        .iter_mut()
        .find(|principal| same_name(&principal.name, member))
    else {
        return Err(missing(member).into());
    };
    principal.member_of.retain(|known| !same_name(known, role));
    if change.add {
        principal.member_of.push(role.clone());
    }
    Ok(())
}

/// What a permission is on.
fn securable(cx: &Cx<'_>, on: Option<&ast::Securable>) -> Outcome<SecurableRef> {
    let Some(on) = on else {
        return Ok(SecurableRef::Database);
    };
    Ok(match on.class {
        SecurableClass::Object => SecurableRef::Object(Binder::new(cx).object(&on.name)?.id),
        SecurableClass::Schema => {
            let name = on.name.object();
            let schema = cx
                .held
                .database(cx.ses.database)
                .schema(name)
                .ok_or_else(|| {
                    error(
                        15151,
                        16,
                        format!(
                            "Cannot find \
                    the schema '{name}', because it does not exist or you do not have permission."
                        ),
                    )
                })?;
            SecurableRef::Schema(schema.id)
        }
        SecurableClass::Database => SecurableRef::Database,
        SecurableClass::Type
        | SecurableClass::User
        | SecurableClass::Role
        | SecurableClass::Login => {
            return Err(unsupported("GRANT on this class of securable").into());
        }
    })
}

pub fn permission(cx: &mut Cx<'_>, statement: &ast::Permission) -> Outcome<()> {
    owner_only(cx)?;
    let slot = cx.ses.database;
    let securable = securable(cx, statement.on.as_ref())?;
    let by_column = statement
        .permissions
        .iter()
        .any(|(_, columns)| !columns.is_empty())
        || statement
            .on
            .as_ref()
            .is_some_and(|on| !on.columns.is_empty());
    if by_column {
        return Err(unsupported("Permissions on columns").into());
    }
    keep_security(cx, slot);
    let security = &mut cx.held.databases[slot].security;
    for principal in &statement.principals {
        if !security
            .principals
            .iter()
            .any(|known| same_name(&known.name, &principal.text))
        {
            return Err(error(
                15151,
                16,
                format!(
                    "Cannot find the user '{}', because it does not exist or you do not \
                have permission.",
                    principal.text
                ),
            )
            .into());
        }
        for (permission, _) in &statement.permissions {
            security.grants.retain(|grant| {
                !(same_name(&grant.principal, &principal.text)
                    && grant.permission == *permission
                    && grant.securable == securable)
            });
            let deny = match statement.kind {
                PermissionKind::Grant => false,
                PermissionKind::Deny => true,
                PermissionKind::Revoke => continue,
            };
            security.grants.push(Grant {
                principal: principal.text.clone(),
                permission: permission.clone(),
                securable: securable.clone(),
                deny,
            });
        }
    }
    Ok(())
}

pub fn drop(cx: &mut Cx<'_>, statement: &ast::DropObjects, name: &ast::ObjectName) -> Outcome<()> {
    let wanted = name.object();
    let gone = if statement.kind == ObjectKind::Login {
        server_only(cx)?;
        keep_logins(cx);
        let before = cx.held.logins.len();
        cx.held
            .logins
            .retain(|account| !same_name(&account.name, wanted));
        cx.held.logins.len() < before
    } else {
        owner_only(cx)?;
        let slot = cx.ses.database;
        keep_security(cx, slot);
        let principals = &mut cx.held.databases[slot].security.principals;
        let before = principals.len();
        let role = statement.kind == ObjectKind::Role;
        principals
            .retain(|principal| principal.role != role || !same_name(&principal.name, wanted));
        principals.len() < before
    };
    if gone || statement.if_exists {
        Ok(())
    } else {
        Err(error(
            15151,
            16,
            format!(
                "Cannot drop the principal '{wanted}', because it does not exist or you do not \
            have permission."
            ),
        )
        .into())
    }
}
