//! Databases, schemas, principals, configuration.

use super::*;
use crate::engine::schema::{Grant, Principal, Replica, Schema, SecurableRef};
use crate::engine::state::LoginAccount;

/// One row of `sys.databases`.
struct DatabaseRow {
    id: i32,
    name: String,
    created: i64,
    level: u8,
    collation: String,
    read_only: bool,
    snapshot: bool,
    committed_snapshot: bool,
    recovery: &'static str,
    replica: Replica,
    recovery_fork: u128,
    captured: bool,
}

/// From the id of a database to the number that a logical server of Azure SQL Database has for it.
pub(super) fn id_shift(cx: &Cx<'_>) -> i32 {
    match cx.shared.options.engine_edition {
        5 => 20,
        _ => 0,
    }
}

fn databases(cx: &mut Cx<'_>, _: usize) -> Outcome<Vec<DatabaseRow>> {
    let shift = id_shift(cx);
    let row = |database: &Database| DatabaseRow {
        id: database.id + shift,
        name: database.name.clone(),
        created: database.created,
        level: database.compatibility_level as u8,
        collation: database.collate.name.0.to_string(),
        read_only: database.read_only,
        snapshot: database.allow_snapshot,
        committed_snapshot: database.read_committed_snapshot,
        recovery: database.recovery,
        replica: database.replica,
        recovery_fork: database.recovery_fork,
        captured: database.capture.enabled.is_some(),
    };
    // A dropped database keeps its slot, without a name.
    Ok(cx
        .held
        .databases
        .iter()
        .filter(|database| !database.name.is_empty())
        .map(row)
        .collect())
}

const DATABASE: &[Field<DatabaseRow>] = &[
    col("name", SYSNAME, |d| text(&d.name)),
    col("database_id", SqlType::Int, |d| Value::Int(d.id)),
    opt("source_database_id", SqlType::Int, |d| match d.replica {
        Replica::Snapshot => Value::Int(1),
        Replica::Primary | Replica::Secondary | Replica::Standby => Value::Null,
    }),
    opt("owner_sid", SID, |_| login_sid("sa")),
    col("create_date", SqlType::DateTime, |d| datetime(d.created)),
    col("compatibility_level", SqlType::TinyInt, |d| {
        Value::TinyInt(d.level)
    }),
    opt("collation_name", SYSNAME, |d| text(&d.collation)),
    opt("user_access", SqlType::TinyInt, |_| Value::TinyInt(0)),
    opt("user_access_desc", DESCRIPTION, |_| text("MULTI_USER")),
    // A secondary replica has the options of the primary.
    opt("is_read_only", SqlType::Bit, |d| {
        let copied = matches!(d.replica, Replica::Snapshot | Replica::Standby);
        Value::Bit(d.read_only || copied)
    }),
    col("is_auto_close_on", SqlType::Bit, |_| Value::Bit(false)),
    opt("is_auto_shrink_on", SqlType::Bit, |_| Value::Bit(false)),
    opt("state", SqlType::TinyInt, |_| Value::TinyInt(0)),
    opt("state_desc", DESCRIPTION, |_| text("ONLINE")),
    opt("is_in_standby", SqlType::Bit, |d| {
        Value::Bit(d.replica == Replica::Standby)
    }),
    opt("is_cleanly_shutdown", SqlType::Bit, |_| Value::Bit(false)),
    opt("snapshot_isolation_state", SqlType::TinyInt, |d| {
        Value::TinyInt(u8::from(d.snapshot))
    }),
    opt("snapshot_isolation_state_desc", DESCRIPTION, |d| {
        text(if d.snapshot { "ON" } else { "OFF" })
    }),
    opt("is_read_committed_snapshot_on", SqlType::Bit, |d| {
        Value::Bit(d.committed_snapshot)
    }),
    opt("recovery_model", SqlType::TinyInt, |d| {
        Value::TinyInt(match d.recovery {
            "FULL" => 1,
            "BULK_LOGGED" => 2,
            _ => 3,
        })
    }),
    opt("recovery_model_desc", DESCRIPTION, |d| text(d.recovery)),
    opt("page_verify_option", SqlType::TinyInt, |_| {
        Value::TinyInt(2)
    }),
    opt("page_verify_option_desc", DESCRIPTION, |_| text("CHECKSUM")),
    opt("is_auto_create_stats_on", SqlType::Bit, |_| {
        Value::Bit(true)
    }),
    opt("is_auto_update_stats_on", SqlType::Bit, |_| {
        Value::Bit(true)
    }),
    opt("is_published", SqlType::Bit, |_| Value::Bit(false)),
    opt("is_subscribed", SqlType::Bit, |_| Value::Bit(false)),
    opt("is_merge_published", SqlType::Bit, |_| Value::Bit(false)),
    opt("is_distributor", SqlType::Bit, |_| Value::Bit(false)),
    opt("is_broker_enabled", SqlType::Bit, |_| Value::Bit(false)),
    opt("log_reuse_wait", SqlType::TinyInt, |_| Value::TinyInt(0)),
    opt("log_reuse_wait_desc", DESCRIPTION, |_| text("NOTHING")),
    col("is_cdc_enabled", SqlType::Bit, |d| Value::Bit(d.captured)),
    opt("is_encrypted", SqlType::Bit, |_| Value::Bit(false)),
    opt("replica_id", SqlType::UniqueIdentifier, |_| Value::Null),
    opt("group_database_id", SqlType::UniqueIdentifier, |_| {
        Value::Null
    }),
    opt("default_language_lcid", SqlType::SmallInt, |_| Value::Null),
    opt("containment", SqlType::TinyInt, |_| Value::TinyInt(0)),
    opt("containment_desc", DESCRIPTION, |_| text("NONE")),
    opt("delayed_durability", SqlType::Int, |_| Value::Int(0)),
    opt("delayed_durability_desc", DESCRIPTION, |_| text("DISABLED")),
    opt("is_memory_optimized_enabled", SqlType::Bit, |_| {
        Value::Bit(false)
    }),
    opt("is_accelerated_database_recovery_on", SqlType::Bit, |_| {
        Value::Bit(false)
    }),
];

const RECOVERY: &[Field<DatabaseRow>] = &[
    col("database_id", SqlType::Int, |d| Value::Int(d.id)),
    opt("database_guid", SqlType::UniqueIdentifier, |_| Value::Null),
    opt("family_guid", SqlType::UniqueIdentifier, |_| Value::Null),
    opt("recovery_fork_guid", SqlType::UniqueIdentifier, |d| {
        Value::Guid(d.recovery_fork.to_be_bytes())
    }),
    opt(
        "first_recovery_fork_guid",
        SqlType::UniqueIdentifier,
        |_| Value::Null,
    ),
];

fn schemas(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<Schema>> {
    Ok(cx.held.database(slot).schemas.clone())
}

pub(super) const SCHEMA: &[Field<Schema>] = &[
    col("name", SYSNAME, |s| text(&s.name)),
    col("schema_id", SqlType::Int, |s| Value::Int(s.id)),
    opt("principal_id", SqlType::Int, |s| Value::Int(s.principal_id)),
];

/// A user or role with the id of its login.
struct PrincipalRow {
    principal: Principal,
    created: i64,
}

fn principals(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<PrincipalRow>> {
    let database = cx.held.database(slot);
    let row = |principal: &Principal| PrincipalRow {
        principal: principal.clone(),
        created: database.created,
    };
    Ok(database.security.principals.iter().map(row).collect())
}

const PRINCIPAL: &[Field<PrincipalRow>] = &[
    col("name", SYSNAME, |p| text(&p.principal.name)),
    col("principal_id", SqlType::Int, |p| Value::Int(p.principal.id)),
    col("type", SqlType::Char(1), |p| {
        text(if p.principal.role { "R" } else { "S" })
    }),
    opt("type_desc", DESCRIPTION, |p| {
        text(if p.principal.role {
            "DATABASE_ROLE"
        } else {
            "SQL_USER"
        })
    }),
    opt("default_schema_name", SYSNAME, |p| {
        if p.principal.role {
            Value::Null
        } else {
            text(&p.principal.default_schema)
        }
    }),
    col("create_date", SqlType::DateTime, |p| datetime(p.created)),
    col("modify_date", SqlType::DateTime, |p| datetime(p.created)),
    opt("owning_principal_id", SqlType::Int, |p| {
        if p.principal.role {
            Value::Int(1)
        } else {
            Value::Null
        }
    }),
    opt("sid", SID, |p| {
        p.principal.login.as_deref().map_or(Value::Null, login_sid)
    }),
    col("is_fixed_role", SqlType::Bit, |p| {
        Value::Bit(p.principal.role && (16384..16400).contains(&p.principal.id))
    }),
    col("authentication_type", SqlType::Int, |p| {
        Value::Int(i32::from(p.principal.login.is_some()))
    }),
    opt("authentication_type_desc", DESCRIPTION, |p| {
        text(if p.principal.login.is_some() {
            "INSTANCE"
        } else {
            "NONE"
        })
    }),
];

struct MemberRow {
    role: i32,
    member: i32,
}

fn members(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<MemberRow>> {
    let all = &cx.held.database(slot).security.principals;
    let id = |name: &str| {
        all.iter()
            .find(|principal| same_name(&principal.name, name))
            .map(|principal| principal.id)
    };
    let mut out = vec![MemberRow {
        role: 16384,
        member: 1,
    }];
    for principal in all {
        out.extend(
            principal
                .member_of
                .iter()
                .filter_map(|role| id(role))
                .map(|role| MemberRow {
                    role,
                    member: principal.id,
                }),
        );
    }
    Ok(out)
}

const MEMBER: &[Field<MemberRow>] = &[
    col("role_principal_id", SqlType::Int, |m| Value::Int(m.role)),
    col("member_principal_id", SqlType::Int, |m| {
        Value::Int(m.member)
    }),
];

struct GrantRow {
    grant: Grant,
    grantee: i32,
}

fn grants(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<GrantRow>> {
    let security = &cx.held.database(slot).security;
    let row = |grant: &Grant| {
        let principal = security
            .principals
            .iter()
            .find(|principal| same_name(&principal.name, &grant.principal))?;
        Some(GrantRow {
            grant: grant.clone(),
            grantee: principal.id,
        })
    };
    Ok(security.grants.iter().filter_map(row).collect())
}

fn securable(grant: &Grant) -> (u8, &'static str, i32) {
    match grant.securable {
        SecurableRef::Database => (0, "DATABASE", 0),
        SecurableRef::Object(id) => (1, "OBJECT_OR_COLUMN", id),
        SecurableRef::Schema(id) => (3, "SCHEMA", id),
    }
}

const GRANT: &[Field<GrantRow>] = &[
    col("class", SqlType::TinyInt, |g| {
        Value::TinyInt(securable(&g.grant).0)
    }),
    opt("class_desc", DESCRIPTION, |g| text(securable(&g.grant).1)),
    col("major_id", SqlType::Int, |g| {
        Value::Int(securable(&g.grant).2)
    }),
    col("minor_id", SqlType::Int, |_| Value::Int(0)),
    col("grantee_principal_id", SqlType::Int, |g| {
        Value::Int(g.grantee)
    }),
    col("grantor_principal_id", SqlType::Int, |_| Value::Int(1)),
    opt("permission_name", SYSNAME, |g| text(&g.grant.permission)),
    col("state", SqlType::Char(1), |g| {
        text(if g.grant.deny { "D" } else { "G" })
    }),
    opt("state_desc", DESCRIPTION, |g| {
        text(if g.grant.deny { "DENY" } else { "GRANT" })
    }),
];

struct LoginRow {
    id: i32,
    account: LoginAccount,
}

fn logins(cx: &mut Cx<'_>, _: usize) -> Outcome<Vec<LoginRow>> {
    let all = permissions::is_sysadmin(&cx.held, &cx.ses.login);
    let row = |account: &LoginAccount| LoginRow {
        id: login_id(&cx.held, &account.name).unwrap_or(0),
        account: account.clone(),
    };
    let seen = |account: &&LoginAccount| {
        all || same_name(&account.name, &cx.ses.login) || same_name(&account.name, "sa")
    };
    Ok(cx.held.logins.iter().filter(seen).map(row).collect())
}

const LOGIN: &[Field<LoginRow>] = &[
    col("name", SYSNAME, |l| text(&l.account.name)),
    col("principal_id", SqlType::Int, |l| Value::Int(l.id)),
    opt("sid", SID, |l| login_sid(&l.account.name)),
    col("type", SqlType::Char(1), |_| text("S")),
    opt("type_desc", DESCRIPTION, |_| text("SQL_LOGIN")),
    opt("is_disabled", SqlType::Bit, |l| {
        Value::Bit(!l.account.enabled)
    }),
    opt("default_database_name", SYSNAME, |l| {
        text(&l.account.default_database)
    }),
    opt("default_language_name", SYSNAME, |_| text("us_english")),
];

struct Setting {
    id: i32,
    name: &'static str,
    value: i32,
}

fn configurations(_: &mut Cx<'_>, _: usize) -> Outcome<Vec<Setting>> {
    let setting = |(id, name, value)| Setting { id, name, value };
    let all = [
        (103, "user connections", 0),
        (115, "nested triggers", 1),
        (124, "default language", 0),
        (1126, "default full-text language", 1033),
        (1534, "user options", 0),
        (1539, "max degree of parallelism", 0),
        (1544, "max server memory (MB)", i32::MAX),
    ];
    Ok(all.into_iter().map(setting).collect())
}

const CONFIGURATION: &[Field<Setting>] = &[
    col("configuration_id", SqlType::Int, |s| Value::Int(s.id)),
    col("name", SqlType::NVarChar(Some(35)), |s| text(s.name)),
    opt("value", SqlType::SqlVariant, |s| {
        Value::Variant(Box::new((SqlType::Int, Value::Int(s.value), None)))
    }),
    opt("value_in_use", SqlType::SqlVariant, |s| {
        Value::Variant(Box::new((SqlType::Int, Value::Int(s.value), None)))
    }),
    col("is_dynamic", SqlType::Bit, |_| Value::Bit(true)),
    col("is_advanced", SqlType::Bit, |_| Value::Bit(false)),
];

pub(super) const VIEWS: &[View] = &[
    catalog_view!("sys", "databases", databases, [DATABASE]),
    catalog_view!("sys", "database_recovery_status", databases, [RECOVERY]),
    catalog_view!("sys", "schemas", schemas, [SCHEMA]),
    catalog_view!("sys", "database_principals", principals, [PRINCIPAL]),
    catalog_view!("sys", "database_role_members", members, [MEMBER]),
    catalog_view!("sys", "database_permissions", grants, [GRANT]),
    catalog_view!("sys", "server_principals", logins, [LOGIN]),
    catalog_view!("sys", "sql_logins", logins, [LOGIN]),
    catalog_view!("sys", "configurations", configurations, [CONFIGURATION]),
];
