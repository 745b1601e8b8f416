//! Change tracking of databases and tables, and the transactions that took versions.

use super::transactions::sees_state;
use super::*;
use crate::engine::schema::Lifetime;
use crate::engine::tracking::{Commit, Settings};

struct DatabaseRow {
    id: i32,
    settings: Settings,
    cleaned: Option<u64>,
}

fn version(version: u64) -> Value {
    Value::BigInt(version as i64)
}

fn version_or_null(known: Option<u64>) -> Value {
    known.map_or(Value::Null, version)
}

fn databases(cx: &mut Cx<'_>, _: usize) -> Outcome<Vec<DatabaseRow>> {
    let shift = server::id_shift(cx);
    let tracked = cx.held.databases.iter().filter_map(|database| {
        let log = &database.tracking;
        Some(DatabaseRow {
            id: database.id + shift,
            settings: log.settings?,
            cleaned: log.cleaned,
        })
    });
    Ok(tracked.collect())
}

const DATABASE: &[Field<DatabaseRow>] = &[
    col("database_id", SqlType::Int, |d| Value::Int(d.id)),
    opt("is_auto_cleanup_on", SqlType::Bit, |d| {
        Value::Bit(d.settings.auto_cleanup)
    }),
    opt("retention_period", SqlType::Int, |d| {
        Value::Int(d.settings.period as i32)
    }),
    opt("retention_period_units", SqlType::TinyInt, |d| {
        Value::TinyInt(d.settings.unit as u8)
    }),
    opt("retention_period_units_desc", DESCRIPTION, |d| {
        text(d.settings.unit.name())
    }),
    opt("max_cleanup_version", SqlType::BigInt, |d| {
        version_or_null(d.cleaned)
    }),
];

struct TableRow {
    id: i32,
    columns: bool,
    begin: u64,
    min_valid: u64,
    cleanup: Option<u64>,
}

/// The tracked tables that the session sees; waits for those under another session's uncommitted DDL.
fn tables(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<TableRow>> {
    let database = cx.held.database(slot);
    let current = database.tracking.version;
    let mut rows = Vec::new();
    for table in database.tables() {
        let def = &table.def;
        if def.lifetime != Lifetime::Permanent || cx.sought.is_some_and(|id| id != def.id) {
            continue;
        }
        wait_for_name(cx, slot, def.schema_id, &def.name)?;
        let at = ObjectRef {
            database: slot,
            id: def.id,
        };
        if let Some(history) = &table.tracking
            && sees(cx, at)
        {
            rows.push(TableRow {
                id: def.id,
                columns: history.columns,
                begin: history.begin.unwrap_or(current),
                min_valid: history.min_valid_version(current),
                cleanup: history.cleanup_version(),
            });
        }
    }
    Ok(rows)
}

const TABLE: &[Field<TableRow>] = &[
    col("object_id", SqlType::Int, |t| Value::Int(t.id)),
    col("is_track_columns_updated_on", SqlType::Bit, |t| {
        Value::Bit(t.columns)
    }),
    opt("min_valid_version", SqlType::BigInt, |t| {
        version(t.min_valid)
    }),
    opt("begin_version", SqlType::BigInt, |t| version(t.begin)),
    opt("cleanup_version", SqlType::BigInt, |t| {
        version_or_null(t.cleanup)
    }),
];

/// Error 262 for who sees neither the server's state nor the database's.
fn commits(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<Commit>> {
    let sees = |permission| permissions::holds(&cx.held, &cx.ses.login, slot, None, permission);
    if !sees_state(cx) && !sees("VIEW DATABASE PERFORMANCE STATE") {
        permissions::check_in_database(cx, slot, "VIEW DATABASE STATE")?;
    }
    Ok(cx.held.database(slot).tracking.commits().copied().collect())
}

const COMMIT: &[Field<Commit>] = &[
    col("commit_ts", SqlType::BigInt, |c| version(c.version)),
    col("xdes_id", SqlType::BigInt, |c| version(c.transaction)),
    col("commit_lbn", SqlType::BigInt, |c| version(c.time)),
    col("commit_csn", SqlType::BigInt, |c| version(c.time)),
    col("commit_time", SqlType::DateTime, |c| datetime(c.at)),
];

pub(super) const VIEWS: &[View] = &[
    catalog_view!("sys", "change_tracking_databases", databases, [DATABASE]),
    catalog_view!("sys", "change_tracking_tables", tables, [TABLE]),
    catalog_view!("sys", "dm_tran_commit_table", commits, [COMMIT]),
];
