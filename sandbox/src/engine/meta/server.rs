//! Functions on the server, its databases, collations and principals.

use super::{
    MetaFunction, NAME, PRODUCT_VERSION, SERVER_NAME, TEXT, function, int_or_null, string_or_null,
    text, variant,
};
use crate::collation::DEFAULT;
use crate::engine::catalog;
use crate::engine::collation::Collate;
use crate::engine::context::Cx;
use crate::engine::fault::Outcome;
use crate::engine::locks::{Mode, Resource};
use crate::engine::permissions;
use crate::engine::schema::same_name;
use crate::engine::types;
use crate::value::{SqlType, Value};

pub fn register(out: &mut Vec<MetaFunction>) {
    let variant_type = SqlType::SqlVariant;
    out.extend([
        function("SERVERPROPERTY", 1..=1, &[TEXT], variant_type.clone(), server_property),
        function("DATABASEPROPERTYEX", 2..=2, &[TEXT], variant_type.clone(), database_property),
        function("COLLATIONPROPERTY", 2..=2, &[TEXT], variant_type.clone(), collation_property),
        function("CONNECTIONPROPERTY", 1..=1, &[TEXT], variant_type, connection_property),
        function("@@VERSION", 0..=0, &[], SqlType::NVarChar(Some(300)), |_, _| {
            Ok(types::string(&format!(
                "Microsoft SQL Server 2022 (icesync stand-in) - {PRODUCT_VERSION} (X64) \n\tDeveloper Edition (64-bit) \
                    on Linux"
            )))
        }),
        function("@@SERVERNAME", 0..=0, &[], NAME, |_, _| Ok(types::string(SERVER_NAME))),
        function("@@SERVICENAME", 0..=0, &[], NAME, |_, _| Ok(types::string("MSSQLSERVER"))),
        function("@@MICROSOFTVERSION", 0..=0, &[], SqlType::Int, |_, _| Ok(Value::Int(0x1000_1027))),
        function("@@MAX_PRECISION", 0..=0, &[], SqlType::TinyInt, |_, _| Ok(Value::TinyInt(38))),
        function("@@MAX_CONNECTIONS", 0..=0, &[], SqlType::Int, |_, _| Ok(Value::Int(32767))),
        function("@@DBTS", 0..=0, &[], SqlType::VarBinary(Some(8)), |cx, _| {
            let value = cx.held.database(cx.ses.database).rowversion;
            Ok(Value::Bytes(value.to_be_bytes().as_slice().into()))
        }),
        function("MIN_ACTIVE_ROWVERSION", 0..=0, &[], SqlType::Binary(8), |cx, _| {
            let value = cx.held.min_active_rowversion(cx.ses.database);
            Ok(Value::Bytes(value.to_be_bytes().as_slice().into()))
        }),
        function("SUSER_SNAME", 0..=1, &[SqlType::VarBinary(Some(85))], NAME, login_of_sid),
        function("SUSER_NAME", 0..=1, &[SqlType::Int], NAME, login_of_id),
        function("SUSER_ID", 0..=1, &[TEXT], SqlType::Int, login_id),
        function("SUSER_SID", 0..=1, &[TEXT], SqlType::VarBinary(Some(85)), login_sid),
        function("ORIGINAL_DB_NAME", 0..=0, &[], NAME, |cx, _| {
                Ok(types::string(&cx.held.database(cx.ses.home_database).name))
            }),
        function("SYSTEM_USER", 0..=0, &[], NAME, |cx, _| Ok(types::string(&cx.ses.login))),
        function("ORIGINAL_LOGIN", 0..=0, &[], NAME, |cx, _| Ok(types::string(&cx.ses.login))),
        function("USER_NAME", 0..=1, &[SqlType::Int], NAME, user_name),
        function("CURRENT_USER", 0..=0, &[], NAME, user_name),
        function("SESSION_USER", 0..=0, &[], NAME, user_name),
        function("USER", 0..=0, &[], NAME, user_name),
        function("USER_ID", 0..=1, &[TEXT], SqlType::Int, principal_id),
        function("DATABASE_PRINCIPAL_ID", 0..=1, &[TEXT], SqlType::Int, principal_id),
        function("IS_MEMBER", 1..=1, &[TEXT], SqlType::Int, is_member),
        function("IS_ROLEMEMBER", 1..=2, &[TEXT], SqlType::Int, is_member),
        function("IS_SRVROLEMEMBER", 1..=2, &[TEXT], SqlType::Int, is_server_member),
        function("HAS_DBACCESS", 1..=1, &[TEXT], SqlType::Int, has_db_access),
        function("APPLOCK_MODE", 3..=3, &[TEXT], SqlType::NVarChar(Some(32)), applock_mode),
        function("APPLOCK_TEST", 4..=4, &[TEXT], SqlType::SmallInt, applock_test),
    ]);
}

fn server_property(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let Some(name) = text(args.first()) else {
        return Ok(Value::Null);
    };
    let words = |text: &str| variant(types::string(text));
    Ok(match name.to_ascii_lowercase().as_str() {
        "productversion" => words(PRODUCT_VERSION),
        "productlevel" => words("RTM"),
        "productupdatelevel" => words("CU14"),
        "productmajorversion" => words("16"),
        "productminorversion" => words("0"),
        "productbuild" => words("4135"),
        "edition" => words("Developer Edition (64-bit)"),
        "editionid" => variant(Value::BigInt(-2_117_995_310)),
        "engineedition" => variant(Value::Int(cx.shared.options.engine_edition)),
        "collation" => words(DEFAULT),
        "servername" | "machinename" | "computernamephysicalnetbios" => words(SERVER_NAME),
        "instancename" => Value::Null,
        "isclustered"
        | "ishadrenabled"
        | "isintegratedsecurityonly"
        | "issingleuser"
        | "isfulltextinstalled"
        | "isxtpsupported"
        | "ispolybaseinstalled"
        | "filestreameffectivelevel" => variant(Value::Int(0)),
        "processid" => variant(Value::Int(std::process::id() as i32)),
        "lcid" => variant(Value::Int(1033)),
        "sqlcharsetname" => words("iso_1"),
        "sqlsortordername" => words("nocase_iso"),
        _ => Value::Null,
    })
}

fn database_property(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let (Some(name), Some(property)) = (text(args.first()), text(args.get(1))) else {
        return Ok(Value::Null);
    };
    let Some(slot) = cx.held.database_named(&name) else {
        return Ok(Value::Null);
    };
    let database = cx.held.database(slot);
    Ok(match property.to_ascii_lowercase().as_str() {
        "collation" => variant(types::string(&database.collate.name.0)),
        "status" => variant(types::string("ONLINE")),
        "updateability" => variant(types::string(if database.is_writable() {
            "READ_WRITE"
        } else {
            "READ_ONLY"
        })),
        "recovery" => variant(types::string(database.recovery)),
        "useraccess" => variant(types::string("MULTI_USER")),
        "version" => variant(Value::Int(957)),
        "lcid" => variant(Value::Int(database.collate.info.lcid as i32)),
        "issnapshotisolationenabled" => variant(Value::Int(i32::from(database.allow_snapshot))),
        "isreadcommittedsnapshoton" => {
            variant(Value::Int(i32::from(database.read_committed_snapshot)))
        }
        _ => Value::Null,
    })
}

fn collation_property(_: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let (Some(name), Some(property)) = (text(args.first()), text(args.get(1))) else {
        return Ok(Value::Null);
    };
    let Ok(collate) = Collate::named(&name) else {
        return Ok(Value::Null);
    };
    Ok(match property.to_ascii_lowercase().as_str() {
        "codepage" => variant(Value::Int(i32::from(collate.info.code_page.number()))),
        "lcid" => variant(Value::Int(collate.info.lcid as i32)),
        "version" => variant(Value::TinyInt(
            u8::from(name.contains("_90_"))
                + 2 * u8::from(name.contains("_100_"))
                + 3 * u8::from(name.contains("_140_")),
        )),
        "comparisonstyle" => {
            let style = i32::from(collate.info.ignores_case())
                | (i32::from(collate.info.ignores_accent()) << 1)
                | (i32::from(collate.info.ignores_kana()) << 16)
                | (i32::from(collate.info.ignores_width()) << 17);
            variant(Value::Int(if collate.info.is_binary() { 0 } else { style }))
        }
        _ => Value::Null,
    })
}

fn connection_property(_: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let Some(property) = text(args.first()) else {
        return Ok(Value::Null);
    };
    let words = |text: &str| variant(types::string(text));
    Ok(match property.to_ascii_lowercase().as_str() {
        "net_transport" | "physical_net_transport" => words("TCP"),
        "protocol_type" => words("TSQL"),
        "auth_scheme" => words("SQL"),
        _ => Value::Null,
    })
}

fn user_name(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    if let Some(id) = super::whole(args.first()) {
        let found = cx
            .held
            .database(cx.ses.database)
            .security
            .principals
            .iter()
            .find(|p| i64::from(p.id) == id)
            .map(|p| p.name.clone());
        return Ok(string_or_null(found));
    }
    Ok(string_or_null(permissions::user_name(
        &cx.held,
        &cx.ses.login,
        cx.ses.database,
    )))
}

fn principal_id(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let name = match args.first() {
        Some(_) => text(args.first()),
        None => permissions::user_name(&cx.held, &cx.ses.login, cx.ses.database),
    };
    let principals = &cx.held.database(cx.ses.database).security.principals;
    Ok(int_or_null(name.and_then(|name| {
        principals
            .iter()
            .find(|p| same_name(&p.name, &name))
            .map(|p| p.id)
    })))
}

/// The login that an argument names; the session's own without one, none when there is no such login.
fn named_login(cx: &Cx<'_>, args: &[Value]) -> Option<String> {
    if args.is_empty() {
        return Some(cx.ses.login.clone());
    }
    let name = text(args.first())?;
    cx.held
        .logins
        .iter()
        .find(|account| same_name(&account.name, &name))
        .map(|account| account.name.clone())
}

fn login_id(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    Ok(int_or_null(
        named_login(cx, args).and_then(|login| catalog::login_id(&cx.held, &login)),
    ))
}

fn login_sid(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    Ok(named_login(cx, args).map_or(Value::Null, |login| catalog::login_sid(&login)))
}

fn login_of_sid(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let Some(sid) = args.first() else {
        return Ok(types::string(&cx.ses.login));
    };
    let found = cx
        .held
        .logins
        .iter()
        .find(|account| catalog::login_sid(&account.name) == *sid);
    Ok(string_or_null(found.map(|account| account.name.clone())))
}

fn login_of_id(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    if args.is_empty() {
        return Ok(types::string(&cx.ses.login));
    }
    let id = super::whole(args.first());
    let found = cx
        .held
        .logins
        .iter()
        .find(|account| catalog::login_id(&cx.held, &account.name).map(i64::from) == id);
    Ok(string_or_null(found.map(|account| account.name.clone())))
}

fn is_member(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let Some(role) = text(args.first()) else {
        return Ok(Value::Null);
    };
    let slot = cx.ses.database;
    let known = cx
        .held
        .database(slot)
        .security
        .principals
        .iter()
        .any(|p| p.role && same_name(&p.name, &role));
    if !known {
        return Ok(Value::Null);
    }
    Ok(Value::Int(i32::from(permissions::is_member(
        &cx.held,
        &cx.ses.login,
        slot,
        &role,
    ))))
}

fn is_server_member(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    const ROLES: [&str; 9] = [
        "sysadmin",
        "serveradmin",
        "securityadmin",
        "processadmin",
        "setupadmin",
        "bulkadmin",
        "diskadmin",
        "dbcreator",
        "public",
    ];
    let Some(role) =
        text(args.first()).filter(|role| ROLES.iter().any(|known| same_name(known, role)))
    else {
        return Ok(Value::Null);
    };
    let login = text(args.get(1)).unwrap_or_else(|| cx.ses.login.clone());
    let direct = cx.held.logins.iter().any(|account| {
        same_name(&account.name, &login)
            && account.roles.iter().any(|known| same_name(known, &role))
    });
    let yes = same_name(&role, "public") || direct || permissions::is_sysadmin(&cx.held, &login);
    Ok(Value::Int(i32::from(yes)))
}

fn has_db_access(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let slot = text(args.first()).and_then(|name| cx.held.database_named(&name));
    Ok(int_or_null(slot.map(|slot| {
        i32::from(permissions::user_name(&cx.held, &cx.ses.login, slot).is_some())
    })))
}

/// The resource of an application lock as its functions name it.
pub fn application(cx: &Cx<'_>, principal: &str, name: &str) -> Resource {
    Resource::Application(cx.ses.database, principal.to_lowercase(), name.to_string())
}

fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::IntentShared => "IntentShared",
        Mode::IntentExclusive => "IntentExclusive",
        Mode::Shared => "Shared",
        Mode::Update => "Update",
        Mode::Exclusive => "Exclusive",
        Mode::SchemaStable | Mode::SchemaModify | Mode::BulkUpdate => "NoLock",
    }
}

/// A lock mode by the name that `sp_getapplock` takes.
pub fn mode_named(name: &str) -> Option<Mode> {
    [
        Mode::IntentShared,
        Mode::IntentExclusive,
        Mode::Shared,
        Mode::Update,
        Mode::Exclusive,
    ]
    .into_iter()
    .find(|mode| mode_name(*mode).eq_ignore_ascii_case(name))
}

fn applock_mode(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let (Some(principal), Some(name), Some(owner)) =
        (text(args.first()), text(args.get(1)), text(args.get(2)))
    else {
        return Ok(Value::Null);
    };
    let wanted = if owner.eq_ignore_ascii_case("Session") {
        crate::engine::locks::Owner::Session
    } else {
        crate::engine::locks::Owner::Transaction
    };
    let resource = application(cx, &principal, &name);
    let held = cx.held.locks.held(&resource, cx.ses.id);
    let strongest = [
        Mode::Exclusive,
        Mode::Update,
        Mode::Shared,
        Mode::IntentExclusive,
        Mode::IntentShared,
    ]
    .into_iter()
    .find(|mode| {
        held.iter()
            .any(|grant| grant.owner == wanted && grant.mode == *mode)
    });
    Ok(types::string(strongest.map_or("NoLock", mode_name)))
}

fn applock_test(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let (Some(principal), Some(name), Some(mode)) = (
        text(args.first()),
        text(args.get(1)),
        text(args.get(2)).and_then(|m| mode_named(&m)),
    ) else {
        return Ok(Value::Null);
    };
    let resource = application(cx, &principal, &name);
    let free = cx
        .held
        .locks
        .conflicts(&resource, mode, cx.ses.id)
        .is_empty();
    Ok(Value::SmallInt(i16::from(free)))
}
