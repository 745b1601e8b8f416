//! What a login may do, asked before any table is worked on.

use super::define::OWN_SCHEMA;
use super::{Ident, Params, Statement, TableIdent, list};
use crate::schema::TableName;

/// Names that one statement asks about: rows of VALUES.
pub const NAMES_MAX: usize = 1000;

/// What the login may do where loads make their own tables. One row: `create_table` and `create_schema` (in the
/// database), `alter_own` (on schema `icesync`), each 1, 0, or NULL where the server cannot tell; `own` (1 when the
/// schema is there and can be seen), `login_name` and `database_name`.
///
/// NULL is the current database. By its name it is not found where the name has a dot, which ends a part of a name
/// (documentation: "HAS_PERMS_BY_NAME").
pub fn target_access() -> Statement {
    let mut params = Params::default();
    let own = params.text(OWN_SCHEMA);
    let quoted = params.text(Ident(OWN_SCHEMA).to_string());
    params.into_statement(format!(
        "SELECT HAS_PERMS_BY_NAME(NULL, N'DATABASE', N'CREATE TABLE') AS create_table, \
HAS_PERMS_BY_NAME(NULL, N'DATABASE', N'CREATE SCHEMA') AS create_schema, \
HAS_PERMS_BY_NAME({quoted}, N'SCHEMA', N'ALTER') AS alter_own, \
CASE WHEN SCHEMA_ID({own}) IS NULL THEN 0 ELSE 1 END AS own, SUSER_SNAME() AS login_name, DB_NAME() AS database_name;"
    ))
}

/// How many of at most [`NAMES_MAX`] tables the login may read. One row: `readable`, `login_name` and `database_name`.
pub fn source_access(tables: &[&TableName]) -> Statement {
    let mut params = Params::default();
    let names = tables.iter().take(NAMES_MAX);
    let names = names.map(|table| format!("({})", params.text(TableIdent(table).to_string())));
    let names = list(names, ", ");
    params.into_statement(format!(
        "SELECT COUNT(CASE WHEN HAS_PERMS_BY_NAME(n.name, N'OBJECT', N'SELECT') = 1 THEN 1 END) AS readable, \
SUSER_SNAME() AS login_name, DB_NAME() AS database_name FROM (VALUES {names}) AS n (name);"
    ))
}
