//! Foreign keys of a target database, and the transaction in which several tables are loaded.

use super::merge::ERROR_RECREATED;
use super::{Ident, Params, Statement, TableIdent, list};
use crate::schema::TableName;

/// Every enabled foreign key, a row for each of its columns: `key_id`, `key_name`, `child_schema`, `child`,
/// `parent_schema`, `parent`, `column_name`, `is_nullable`, `on_delete` (0: a row that is referred to is not deleted;
/// 1: those that refer to it are deleted, too; else they are changed).
pub fn foreign_keys() -> Statement {
    Statement::plain(keys(""))
}

/// As [`foreign_keys`], of those by which a delete from one table deletes or changes rows of another.
pub fn acting_keys() -> Statement {
    Statement::plain(keys(
        " AND f.parent_object_id <> f.referenced_object_id AND f.delete_referential_action <> 0",
    ))
}

fn keys(which: &str) -> String {
    format!(
        "SELECT f.object_id AS key_id, f.name AS key_name, cs.name AS child_schema, co.name AS child, ps.name AS \
parent_schema, po.name AS parent, c.name AS column_name, CONVERT(int, c.is_nullable) AS is_nullable, \
CONVERT(int, f.delete_referential_action) AS on_delete \
FROM sys.foreign_keys AS f JOIN sys.objects AS co ON co.object_id = f.parent_object_id JOIN sys.schemas AS cs ON \
cs.schema_id = co.schema_id JOIN sys.objects AS po ON po.object_id = f.referenced_object_id JOIN sys.schemas AS ps ON \
ps.schema_id = po.schema_id JOIN sys.foreign_key_columns AS k ON k.constraint_object_id = f.object_id JOIN \
sys.columns AS c ON c.object_id = k.parent_object_id AND c.column_id = k.parent_column_id \
WHERE f.is_disabled = 0{which} ORDER BY f.object_id, k.constraint_column_id;"
    )
}

/// Opens the transaction. Without parameters, so that it outlives the batch.
pub fn begin_group() -> Statement {
    Statement::plain("SET XACT_ABORT ON; BEGIN TRANSACTION;")
}

/// Commits it.
pub fn commit_group() -> Statement {
    Statement::plain("COMMIT TRANSACTION; SET LOCK_TIMEOUT -1;")
}

/// Keeps a table from being altered, in the transaction that is open. It must not have been altered since `modified`.
pub fn hold(table: &TableName, modified: &str) -> Statement {
    let mut params = Params::default();
    let name = params.text(TableIdent(table).to_string());
    let modified = params.text(modified);
    let table = TableIdent(table);
    params.into_statement(format!(
        "DECLARE @held int;
SELECT TOP (1) @held = 1 FROM {table} WITH (TABLOCK, HOLDLOCK);
IF NOT EXISTS (SELECT 1 FROM sys.objects AS o WHERE o.object_id = OBJECT_ID({name}) AND CONVERT(nvarchar(30), \
o.modify_date, 126) = {modified}) THROW {ERROR_RECREATED}, N'the target table was recreated or altered', 1;"
    ))
}

/// Suspends foreign keys of a table until [`recheck`].
pub fn suspend(table: &TableName, keys: &[&str]) -> Statement {
    constraints(table, "NOCHECK CONSTRAINT", keys)
}

/// Enables foreign keys again. Every row is checked, so that the server trusts them.
pub fn recheck(table: &TableName, keys: &[&str]) -> Statement {
    constraints(table, "WITH CHECK CHECK CONSTRAINT", keys)
}

fn constraints(table: &TableName, what: &str, keys: &[&str]) -> Statement {
    Statement::plain(format!(
        "ALTER TABLE {} {what} {};",
        TableIdent(table),
        list(keys.iter().map(|key| Ident(key).to_string()), ", ")
    ))
}
