//! Change tracking of databases and tables.

use super::change_table;
use crate::engine::context::Cx;
use crate::engine::fault::{Outcome, error};
use crate::engine::schema::ObjectRef;
use crate::engine::storage::Table;
use crate::engine::tracking::{History, Unit};
use crate::session::SqlError;
use crate::sql::ast::{ChangeRetention, ChangeTracking};
use crate::value::SqlType;
use std::sync::Arc;

/// SET CHANGE_TRACKING. `alone`: with no other option of the database.
pub fn set(cx: &mut Cx<'_>, slot: usize, change: &ChangeTracking, alone: bool) -> Outcome<()> {
    let database = cx.held.database(slot);
    let name = &database.name;
    let refused = |number, message| Err(error(number, 16, message).into());
    if !alone {
        let message = "Change tracking options for ALTER DATABASE cannot be combined with other ALTER DATABASE \
            options.";
        return refused(22114, message.to_owned());
    }
    if slot < 4 {
        let message = format!(
            "Database '{name}' is a system database. Change tracking settings cannot be modified for system databases."
        );
        return refused(5090, message);
    }
    let known = database.tracking.settings;
    let settings = match (change, known) {
        (ChangeTracking::Off, Some(_)) => {
            if database.tables().any(|table| table.tracking.is_some()) {
                let message = format!(
                    "Change tracking is enabled for one or more tables in database '{name}'. Disable change \
                        tracking on each table before disabling it for the database. Use the \
                        sys.change_tracking_tables catalog view to obtain a list of tables for which change tracking \
                        is enabled."
                );
                return refused(22115, message);
            }
            None
        }
        (ChangeTracking::On { change: false, .. }, Some(_)) => {
            let message = format!("Change tracking is already enabled for database '{name}'.");
            return refused(5088, message);
        }
        (ChangeTracking::Off | ChangeTracking::On { change: true, .. }, None) => {
            return Err(disabled(name).into());
        }
        (
            ChangeTracking::On {
                auto_cleanup,
                retention,
                change: _,
            },
            known,
        ) => {
            let mut settings = known.unwrap_or_default();
            settings.auto_cleanup = auto_cleanup.unwrap_or(settings.auto_cleanup);
            if let Some(retention) = retention {
                (settings.period, settings.unit) = period(retention)?;
            }
            Some(settings)
        }
    };
    cx.held.databases[slot].tracking.settings = settings;
    Ok(())
}

/// Error 5089 for a database.
pub fn disabled(name: &str) -> SqlError {
    error(
        5089,
        16,
        format!(
            "Change tracking is disabled for database '{name}'. Change tracking must be enabled on a database to \
                modify change tracking settings."
        ),
    )
}

/// CHANGE_RETENTION, from a minute on.
fn period(retention: &ChangeRetention) -> Outcome<(u32, Unit)> {
    let (count, unit) = match retention {
        ChangeRetention::Days(count) => (*count, Unit::Days),
        ChangeRetention::Hours(count) => (*count, Unit::Hours),
        ChangeRetention::Minutes(count) => (*count, Unit::Minutes),
    };
    let minutes = i64::from(count) * unit.minutes();
    if !(1..=i64::from(i32::MAX)).contains(&minutes) {
        return Err(error(
            5092,
            15,
            format!(
                "The value for change tracking option 'CHANGE_RETENTION' is not valid. The value must be between 1 and \
                    {} minutes.",
                i32::MAX
            ),
        )
        .into());
    }
    Ok((count, unit))
}

/// ALTER TABLE .. ENABLE CHANGE_TRACKING
pub fn enable(cx: &mut Cx<'_>, at: ObjectRef, columns: bool) -> Outcome<()> {
    let database = cx.held.database(at.database);
    if database.tracking.settings.is_none() {
        let message = format!(
            "Change tracking must be enabled on database '{}' before it can be enabled on table '{}'.",
            database.name,
            cx.held.table(at)?.def.name
        );
        return Err(error(1718, 16, message).into());
    }
    let epoch = cx.held.databases[at.database].new_object_id();
    change_table(cx, at, |_, table| {
        check_trackable(table)?;
        table.tracking = Some(Arc::new(History::new(epoch, columns)));
        // Whoever reads as of before is refused, as after every change of a definition.
        table.shaped_at = u64::MAX;
        Ok(())
    })
}

fn check_trackable(table: &Table) -> Outcome<()> {
    let name = &table.def.name;
    if table.tracking.is_some() {
        let message = format!("Change tracking is already enabled for table '{name}'.");
        return Err(error(4996, 16, message).into());
    }
    let Some(primary) = table.def.primary_key() else {
        let message = format!(
            "Cannot enable change tracking on table '{name}'. Change tracking requires a primary key on the table. \
                Create a primary key on the table before enabling change tracking."
        );
        return Err(error(4997, 16, message).into());
    };
    let mut key = primary
        .columns
        .iter()
        .map(|(at, _)| &table.def.columns[*at]);
    if key.any(|column| column.ty == SqlType::RowVersion) {
        let message = format!(
            "Cannot enable change tracking on table '{name}'. Change tracking does not support a primary key of type \
                timestamp on a table."
        );
        return Err(error(4999, 16, message).into());
    }
    Ok(())
}

/// ALTER TABLE .. DISABLE CHANGE_TRACKING: what was recorded is gone.
pub fn disable(cx: &mut Cx<'_>, at: ObjectRef) -> Outcome<()> {
    change_table(cx, at, |_, table| {
        if table.tracking.take().is_none() {
            let message = format!(
                "Change tracking is not enabled on table '{}'.",
                table.def.name
            );
            return Err(error(4998, 16, message).into());
        }
        table.shaped_at = u64::MAX;
        Ok(())
    })
}

/// Error 3735: the primary key of a tracked table stays.
pub fn check_drop_of_key(table: &Table, index: usize) -> Outcome<()> {
    let index = &table.def.indexes[index];
    if table.tracking.is_none() || !index.primary {
        return Ok(());
    }
    Err(error(
        3735,
        16,
        format!(
            "The primary key constraint '{}' on table '{}' cannot be dropped because change tracking is enabled on the \
                table. Change tracking requires a primary key constraint on the table. Disable change tracking before \
                dropping the constraint.",
            index.name, table.def.name
        ),
    )
    .into())
}

/// Error 22113 for a column of a tracked table's primary key.
pub fn check_change_of_column(table: &Table, ordinal: usize) -> Outcome<()> {
    let mut key = table.def.primary_key().into_iter();
    let is_key = key.any(|index| index.columns.iter().any(|(at, _)| *at == ordinal));
    match is_key {
        true => check_untracked(table, "ALTER COLUMN of a primary key column"),
        false => Ok(()),
    }
}

/// Error 22113 for what a tracked table does not allow.
pub fn check_untracked(table: &Table, what: &str) -> Outcome<()> {
    if table.tracking.is_none() {
        return Ok(());
    }
    let message =
        format!("{what} is not allowed because the table is being tracked for change tracking.");
    Err(error(22113, 16, message).into())
}
