//! Databases and their options. These do not take part in transactions.

use crate::engine::collation::Collate;
use crate::engine::context::Cx;
use crate::engine::fault::{Outcome, error, unsupported};
use crate::engine::permissions;
use crate::engine::schema::Database;
use crate::sql::ast::{self, AlterDatabaseAction, DatabaseOption};

fn outside_transaction(cx: &Cx<'_>, what: &str) -> Outcome<()> {
    if cx.ses.tran_count() > 0 {
        return Err(error(
            226,
            16,
            format!("{what} statement not allowed within multi-statement transaction."),
        )
        .into());
    }
    if !permissions::is_sysadmin(&cx.held, &cx.ses.login) {
        return Err(error(
            262,
            14,
            format!("{what} permission denied in database 'master'."),
        )
        .into());
    }
    Ok(())
}

pub fn create(cx: &mut Cx<'_>, statement: &ast::CreateDatabase) -> Outcome<()> {
    outside_transaction(cx, "CREATE DATABASE")?;
    let name = &statement.name.text;
    if cx.held.database_named(name).is_some() {
        return Err(error(
            1801,
            16,
            format!("Database '{name}' already exists. Choose a different database name."),
        )
        .into());
    }
    let collate = match &statement.collation {
        Some(collation) => Collate::named(&collation.text)?,
        None => Collate::server(),
    };
    let now = cx.now + cx.offset_ticks();
    let id = cx
        .held
        .databases
        .iter()
        .map(|database| database.id)
        .max()
        .unwrap_or(4)
        + 1;
    let database = Database::new(id, name, collate, now);
    cx.held.databases.push(database);
    Ok(())
}

pub fn alter(cx: &mut Cx<'_>, statement: &ast::AlterDatabase) -> Outcome<()> {
    outside_transaction(cx, "ALTER DATABASE")?;
    let slot = match &statement.name {
        Some(name) => cx.held.database_named(&name.text).ok_or_else(|| error(5011, 14, format!("User does not have \
            permission to alter database '{}', the database does not exist, or the database is not in a state that \
            allows access checks.", name.text)))?,
        None => cx.ses.database,
    };
    match &statement.action {
        AlterDatabaseAction::Collate(collation) => {
            let collate = Collate::named(&collation.text)?;
            cx.held.databases[slot].collate = collate;
            Ok(())
        }
        AlterDatabaseAction::Rename(name) => {
            if cx.held.database_named(&name.text).is_some() {
                return Err(error(
                    1801,
                    16,
                    format!(
                        "Database '{}' already exists. Choose a different database name.",
                        name.text
                    ),
                )
                .into());
            }
            cx.held.databases[slot].name = name.text.clone();
            Ok(())
        }
        AlterDatabaseAction::Set {
            options,
            termination: _,
        } => {
            let alone = options.len() == 1;
            let mut options = options.iter();
            options.try_for_each(|option| set(cx, slot, option, alone))
        }
    }
}

/// `alone`: it is the statement's only option.
fn set(cx: &mut Cx<'_>, slot: usize, option: &DatabaseOption, alone: bool) -> Outcome<()> {
    let database = &mut cx.held.databases[slot];
    match option {
        DatabaseOption::AllowSnapshotIsolation(on) => database.allow_snapshot = *on,
        DatabaseOption::ReadCommittedSnapshot(on) => database.read_committed_snapshot = *on,
        DatabaseOption::CompatibilityLevel(level) => {
            if !matches!(level, 130 | 140 | 150 | 160) {
                return Err(unsupported(format!("Compatibility level {level}")).into());
            }
            database.compatibility_level = *level;
        }
        DatabaseOption::Recovery(recovery) => {
            database.recovery = match recovery {
                ast::Recovery::Full => "FULL",
                ast::Recovery::BulkLogged => "BULK_LOGGED",
                ast::Recovery::Simple => "SIMPLE",
            };
        }
        DatabaseOption::ReadOnly(on) => database.read_only = *on,
        DatabaseOption::Flag(_, _) => {}
        DatabaseOption::ChangeTracking(change) => {
            return super::tracking::set(cx, slot, change, alone);
        }
        DatabaseOption::UserAccess(ast::UserAccess::Multi) | DatabaseOption::Online(true) => {}
        DatabaseOption::UserAccess(_) => {
            return Err(unsupported("SINGLE_USER and RESTRICTED_USER").into());
        }
        DatabaseOption::Online(false) => return Err(unsupported("OFFLINE").into()),
    }
    Ok(())
}

/// The slot stays, empty and nameless: other sessions' references to it find nothing.
pub fn drop(cx: &mut Cx<'_>, name: &ast::ObjectName, if_exists: bool) -> Outcome<()> {
    outside_transaction(cx, "DROP DATABASE")?;
    let Some(slot) = cx.held.database_named(name.object()) else {
        return if if_exists {
            Ok(())
        } else {
            Err(super::drop::missing(ast::ObjectKind::Database, name).into())
        };
    };
    if slot < 3 {
        return Err(error(
            3708,
            16,
            format!("Cannot drop the database '{name}' because it is a system database."),
        )
        .into());
    }
    let in_use = cx
        .held
        .sessions
        .iter()
        .any(|(_, info)| info.database == slot);
    if in_use {
        return Err(error(
            3702,
            16,
            format!("Cannot drop database \"{name}\" because it is currently in use."),
        )
        .into());
    }
    let (id, now) = (cx.held.databases[slot].id, cx.now);
    cx.held.databases[slot] = Database::new(id, "", Collate::server(), now);
    Ok(())
}
