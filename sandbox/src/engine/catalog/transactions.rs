//! Sessions, requests and open transactions.

use super::*;
use crate::engine::fault::error;
use crate::engine::meta;
use crate::engine::state::SessionInfo;

/// Error 300 for a login that does not see the server's state.
fn require_server_state(cx: &Cx<'_>) -> Outcome<()> {
    if sees_state(cx) {
        return Ok(());
    }
    Err(error(
        300,
        14,
        "VIEW SERVER STATE permission was denied on object 'server', database 'master'.",
    )
    .into())
}

/// VIEW SERVER STATE, or from SQL Server 2022 on the part of it that is about performance.
pub(super) fn sees_state(cx: &Cx<'_>) -> bool {
    ["VIEW SERVER STATE", "VIEW SERVER PERFORMANCE STATE"]
        .into_iter()
        .any(|permission| meta::server_permission(&cx.held, &cx.ses.login, permission))
}

/// An open transaction with what its session is.
struct TransactionRow {
    id: i64,
    session: u32,
    name: String,
    began: i64,
    writes: bool,
    /// `@@TRANCOUNT`, known for the reader's own transaction only: a statement's own has 0.
    own_statement: bool,
    database: i32,
}

fn transactions(cx: &mut Cx<'_>, _: usize) -> Outcome<Vec<TransactionRow>> {
    require_server_state(cx)?;
    let (own, count) = (cx.ses.transaction_id(), cx.ses.tran_count());
    let row = |(id, open): (&u64, &crate::engine::state::OpenTransaction)| TransactionRow {
        id: *id as i64,
        session: open.session,
        name: if open.name.is_empty() {
            "user_transaction".into()
        } else {
            open.name.clone()
        },
        began: open.began,
        writes: open.writes,
        own_statement: *id == own && count == 0,
        database: cx
            .held
            .sessions
            .get(&open.session)
            .map_or(0, |session| cx.held.database(session.database).id),
    };
    Ok(cx.held.open.iter().map(row).collect())
}

/// The transactions that BEGIN TRANSACTION began, as sessions own them.
fn session_transactions(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<TransactionRow>> {
    let mut all = transactions(cx, slot)?;
    all.retain(|row| !row.own_statement);
    Ok(all)
}

const ACTIVE: &[Field<TransactionRow>] = &[
    col("transaction_id", SqlType::BigInt, |t| Value::BigInt(t.id)),
    col("name", SqlType::NVarChar(Some(32)), |t| {
        text(&t.name.chars().take(32).collect::<String>())
    }),
    col("transaction_begin_time", SqlType::DateTime, |t| {
        datetime(t.began)
    }),
    // A statement that only reads, outside BEGIN TRANSACTION, is read-only (2).
    col("transaction_type", SqlType::Int, |t| {
        Value::Int(if t.own_statement && !t.writes { 2 } else { 1 })
    }),
    opt("transaction_uow", SqlType::UniqueIdentifier, |_| {
        Value::Null
    }),
    col("transaction_state", SqlType::Int, |_| Value::Int(2)),
    col("transaction_status", SqlType::Int, |_| Value::Int(0)),
    col("transaction_status2", SqlType::Int, |_| Value::Int(0)),
    col("dtc_state", SqlType::Int, |_| Value::Int(0)),
    col("dtc_status", SqlType::Int, |_| Value::Int(0)),
    col("dtc_isolation_level", SqlType::Int, |_| Value::Int(-1)),
];

const DATABASE_TRANSACTION: &[Field<TransactionRow>] = &[
    col("transaction_id", SqlType::BigInt, |t| Value::BigInt(t.id)),
    col("database_id", SqlType::Int, |t| Value::Int(t.database)),
    // Set from the first write on.
    opt("database_transaction_begin_time", SqlType::DateTime, |t| {
        if t.writes {
            datetime(t.began)
        } else {
            Value::Null
        }
    }),
    col("database_transaction_type", SqlType::Int, |t| {
        Value::Int(if t.writes { 1 } else { 2 })
    }),
    // 3: begun, nothing written yet; 4: has written.
    col("database_transaction_state", SqlType::Int, |t| {
        Value::Int(if t.writes { 4 } else { 3 })
    }),
];

const SESSION_TRANSACTION: &[Field<TransactionRow>] = &[
    col("session_id", SqlType::Int, |t| Value::Int(t.session as i32)),
    col("transaction_id", SqlType::BigInt, |t| Value::BigInt(t.id)),
    col("is_user_transaction", SqlType::Bit, |_| Value::Bit(true)),
    col("is_local", SqlType::Bit, |_| Value::Bit(true)),
    col("is_enlisted", SqlType::Bit, |_| Value::Bit(false)),
    col("is_bound", SqlType::Bit, |_| Value::Bit(false)),
    col("open_transaction_count", SqlType::Int, |_| Value::Int(1)),
];

/// A session with what it waits for.
struct SessionRow {
    id: u32,
    info: SessionInfo,
    database: i32,
    open: i32,
    blocker: u32,
    transaction: u64,
    waits_for: Option<Mode>,
}

/// Every session for who may see the server's state, otherwise one's own.
fn sessions(cx: &mut Cx<'_>, _: usize) -> Outcome<Vec<SessionRow>> {
    let all = sees_state(cx);
    let row = |(id, info): (&u32, &SessionInfo)| {
        let transaction = cx
            .held
            .open
            .iter()
            .find(|(_, open)| open.session == *id)
            .map_or(0, |(number, _)| *number);
        SessionRow {
            id: *id,
            info: info.clone(),
            database: cx.held.database(info.database).id,
            open: i32::from(transaction != 0),
            blocker: cx
                .held
                .locks
                .waiting
                .get(id)
                .and_then(|waiting| waiting.blocked.blockers.first().copied())
                .unwrap_or(0),
            transaction,
            waits_for: cx
                .held
                .locks
                .waiting
                .get(id)
                .map(|waiting| waiting.blocked.mode),
        }
    };
    Ok(cx
        .held
        .sessions
        .iter()
        .filter(|(id, _)| all || **id == cx.ses.id)
        .map(row)
        .collect())
}

fn requests(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<SessionRow>> {
    let own = cx.ses.id;
    let mut all = sessions(cx, slot)?;
    all.retain(|row| row.info.running || row.id == own || row.waits_for.is_some());
    Ok(all)
}

fn wait_type(mode: Mode) -> &'static str {
    match mode {
        Mode::SchemaStable => "LCK_M_SCH_S",
        Mode::SchemaModify => "LCK_M_SCH_M",
        Mode::IntentShared => "LCK_M_IS",
        Mode::IntentExclusive => "LCK_M_IX",
        Mode::Shared => "LCK_M_S",
        Mode::Update => "LCK_M_U",
        Mode::Exclusive => "LCK_M_X",
        Mode::BulkUpdate => "LCK_M_BU",
    }
}

/// A lock that a session holds or waits for.
struct LockRow {
    kind: &'static str,
    database: i32,
    entity: i64,
    description: String,
    mode: Mode,
    granted: bool,
    session: u32,
}

fn locks(cx: &mut Cx<'_>, _: usize) -> Outcome<Vec<LockRow>> {
    require_server_state(cx)?;
    let row = |resource: &Resource, mode: Mode, granted: bool, session: u32| {
        let (kind, slot, entity, description) = match resource {
            Resource::Table(at) => ("OBJECT", at.database, i64::from(at.id), String::new()),
            Resource::Row(at, row) => ("KEY", at.database, i64::from(at.id), row.to_string()),
            Resource::Name(slot, _, name) => ("METADATA", *slot, 0, name.clone()),
            Resource::Application(slot, principal, name) => {
                ("APPLICATION", *slot, 0, format!("{principal}:[{name}]"))
            }
        };
        LockRow {
            kind,
            database: cx.held.database(slot).id,
            entity,
            description,
            mode,
            granted,
            session,
        }
    };
    let mut out = Vec::new();
    for (resource, grants) in cx.held.locks.grants() {
        out.extend(
            grants
                .iter()
                .map(|grant| row(resource, grant.mode, true, grant.session)),
        );
    }
    for (session, waiting) in &cx.held.locks.waiting {
        out.push(row(
            &waiting.blocked.resource,
            waiting.blocked.mode,
            false,
            *session,
        ));
    }
    Ok(out)
}

const LOCK: &[Field<LockRow>] = &[
    col("resource_type", DESCRIPTION, |l| text(l.kind)),
    col("resource_database_id", SqlType::Int, |l| {
        Value::Int(l.database)
    }),
    col("resource_description", SqlType::NVarChar(Some(256)), |l| {
        text(&l.description.chars().take(256).collect::<String>())
    }),
    opt("resource_associated_entity_id", SqlType::BigInt, |l| {
        Value::BigInt(l.entity)
    }),
    col("request_mode", DESCRIPTION, |l| {
        text(wait_type(l.mode).trim_start_matches("LCK_M_"))
    }),
    col("request_status", DESCRIPTION, |l| {
        text(if l.granted { "GRANT" } else { "WAIT" })
    }),
    col("request_session_id", SqlType::Int, |l| {
        Value::Int(l.session as i32)
    }),
];

const SESSION: &[Field<SessionRow>] = &[
    col("session_id", SqlType::SmallInt, |s| {
        Value::SmallInt(s.id as i16)
    }),
    col("login_time", SqlType::DateTime, |s| datetime(s.info.began)),
    opt("host_name", SYSNAME, |s| text(&s.info.host)),
    opt("program_name", SYSNAME, |s| text(&s.info.app)),
    col("login_name", SYSNAME, |s| text(&s.info.login)),
    col("original_login_name", SYSNAME, |s| text(&s.info.login)),
    col("status", SqlType::NVarChar(Some(30)), |s| {
        text(if s.info.running {
            "running"
        } else {
            "sleeping"
        })
    }),
    col("transaction_isolation_level", SqlType::SmallInt, |s| {
        Value::SmallInt(i16::from(s.info.isolation) + 1)
    }),
    col("is_user_process", SqlType::Bit, |_| Value::Bit(true)),
    col("database_id", SqlType::SmallInt, |s| {
        Value::SmallInt(s.database as i16)
    }),
    col("open_transaction_count", SqlType::Int, |s| {
        Value::Int(s.open)
    }),
];

const CONNECTION: &[Field<SessionRow>] = &[
    opt("session_id", SqlType::Int, |s| Value::Int(s.id as i32)),
    col("connect_time", SqlType::DateTime, |s| {
        datetime(s.info.began)
    }),
    col("net_transport", SqlType::NVarChar(Some(40)), |_| {
        text("TCP")
    }),
    opt("protocol_type", SqlType::NVarChar(Some(40)), |_| {
        text("TSQL")
    }),
    col("auth_scheme", SqlType::NVarChar(Some(40)), |_| text("SQL")),
];

const REQUEST: &[Field<SessionRow>] = &[
    col("session_id", SqlType::SmallInt, |s| {
        Value::SmallInt(s.id as i16)
    }),
    col("request_id", SqlType::Int, |_| Value::Int(0)),
    col("status", SqlType::NVarChar(Some(30)), |s| {
        text(if s.blocker == 0 {
            "running"
        } else {
            "suspended"
        })
    }),
    col("database_id", SqlType::SmallInt, |s| {
        Value::SmallInt(s.database as i16)
    }),
    opt("blocking_session_id", SqlType::SmallInt, |s| {
        Value::SmallInt(s.blocker as i16)
    }),
    opt("wait_type", DESCRIPTION, |s| {
        text_or_null(s.waits_for.map(wait_type))
    }),
    col("open_transaction_count", SqlType::Int, |s| {
        Value::Int(s.open)
    }),
    col("transaction_id", SqlType::BigInt, |s| {
        Value::BigInt(s.transaction as i64)
    }),
    col("transaction_isolation_level", SqlType::SmallInt, |s| {
        Value::SmallInt(i16::from(s.info.isolation) + 1)
    }),
];

pub(super) const VIEWS: &[View] = &[
    catalog_view!("sys", "dm_tran_active_transactions", transactions, [ACTIVE]),
    catalog_view!(
        "sys",
        "dm_tran_database_transactions",
        transactions,
        [DATABASE_TRANSACTION]
    ),
    catalog_view!(
        "sys",
        "dm_tran_session_transactions",
        session_transactions,
        [SESSION_TRANSACTION]
    ),
    catalog_view!("sys", "dm_exec_sessions", sessions, [SESSION]),
    catalog_view!("sys", "dm_exec_connections", sessions, [CONNECTION]),
    catalog_view!("sys", "dm_exec_requests", requests, [REQUEST]),
    catalog_view!("sys", "dm_tran_locks", locks, [LOCK]),
];
