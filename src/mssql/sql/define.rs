//! Definitions: schemas, tables, staging tables; and the lock that keeps two loads of one target apart.

use super::{CollationName, Ident, Params, Statement, TableIdent, list, typed_name};
use crate::schema::definition::{Compression, Identity};
use crate::schema::types::Compare;
use crate::schema::{Collation, Column, Generated, Key, SqlType, TableName, TableSchema};

/// Schema of everything that icesync keeps in a target database.
pub const OWN_SCHEMA: &str = "icesync";

/// Creates a schema unless it is there; safe against another session doing the same at the same time.
pub fn create_schema(name: &str) -> Statement {
    let mut params = Params::default();
    let name = params.text(name);
    params.into_statement(format!(
        "DECLARE @sql nvarchar(400) = N'CREATE SCHEMA ' + QUOTENAME({name});
IF SCHEMA_ID({name}) IS NULL
BEGIN
    BEGIN TRY
        EXEC (@sql);
    END TRY
    BEGIN CATCH
        IF SCHEMA_ID({name}) IS NULL THROW;
    END CATCH;
END;"
    ))
}

/// Creates the table of load states unless it is there, and gives that of an older build the columns that it lacks, and
/// their width; safe against another session doing the same at the same time. Waits at most `lock_timeout_ms` for the
/// table, which every load that is in its transaction holds: whoever comes after an ALTER TABLE waits, too.
pub fn create_load_state(lock_timeout_ms: u32) -> Statement {
    Statement::plain(format!(
        "SET LOCK_TIMEOUT {lock_timeout_ms};
IF OBJECT_ID(N'[icesync].[load_state]') IS NULL
BEGIN
    BEGIN TRY
        CREATE TABLE [icesync].[load_state] (
            [target] nvarchar(300) NOT NULL CONSTRAINT [PK_load_state] PRIMARY KEY,
            [lake_table] nvarchar(600) NOT NULL,
            [table_uuid] nvarchar(36) NOT NULL,
            [snapshot_id] bigint NOT NULL,
            [sequence_number] bigint NOT NULL,
            [run_id] nvarchar(36) NOT NULL,
            [loaded_at] datetime2(3) NOT NULL,
            [inserted] bigint NOT NULL,
            [updated] bigint NOT NULL,
            [deleted] bigint NOT NULL,
            [unchanged] bigint NOT NULL,
            [target_object_id] int NULL,
            [target_created] nvarchar(30) NULL,
            [merge_mode] nvarchar(2000) NULL,
            [pending_snapshot_id] bigint NULL,
            [pending_sequence_number] bigint NULL,
            [pending_rows] bigint NULL,
            [pending_applied] bigint NULL,
            [pending_whole] bit NULL,
            [loaded_columns] nvarchar(max) NULL
        );
    END TRY
    BEGIN CATCH
        IF OBJECT_ID(N'[icesync].[load_state]') IS NULL THROW;
    END CATCH;
END;
{}{}{}IF COL_LENGTH(N'[icesync].[load_state]', N'merge_mode') BETWEEN 1 AND 3999
BEGIN
    BEGIN TRY
        ALTER TABLE [icesync].[load_state] ALTER COLUMN [merge_mode] nvarchar(2000) NULL;
    END TRY
    BEGIN CATCH
        IF COL_LENGTH(N'[icesync].[load_state]', N'merge_mode') BETWEEN 1 AND 3999 THROW;
    END CATCH;
END;
SET LOCK_TIMEOUT -1;",
        added(
            "target_object_id",
            "[target_object_id] int NULL, [target_created] nvarchar(30) NULL"
        ),
        added(
            "pending_applied",
            "[merge_mode] nvarchar(2000) NULL, [pending_snapshot_id] bigint NULL, [pending_sequence_number] bigint \
NULL, [pending_rows] bigint NULL, [pending_applied] bigint NULL, [loaded_columns] nvarchar(max) NULL"
        ),
        added("pending_whole", "[pending_whole] bit NULL"),
    ))
}

/// Gives the table of load states of an older build the columns that it lacks, of which `last` is one.
fn added(last: &str, columns: &str) -> String {
    format!(
        "IF COL_LENGTH(N'[icesync].[load_state]', N'{last}') IS NULL
BEGIN
    BEGIN TRY
        ALTER TABLE [icesync].[load_state] ADD {columns};
    END TRY
    BEGIN CATCH
        IF COL_LENGTH(N'[icesync].[load_state]', N'{last}') IS NULL THROW;
    END CATCH;
END;
"
    )
}

/// How a target and its key are stored, and how its identity counts. By default a primary key is clustered, nothing is
/// compressed, and an identity counts from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Storage {
    pub identity: Option<Identity>,
    /// Of the table, where no index is clustered.
    pub heap: Compression,
    /// Of the key.
    pub key: Compression,
    /// Another index is clustered.
    pub nonclustered_key: bool,
}

/// Creates a target table with the source's types. Identity stays identity where [`keeps_identity`] says so;
/// computed and period columns and row versions become plain columns, because a copy must hold the source's values
/// rather than make its own. The name of the key's constraint ends in `suffix`.
pub(super) fn create_table(
    target: &TableName,
    schema: &TableSchema,
    storage: &Storage,
    suffix: &str,
) -> String {
    let mut lines = target_columns(schema, storage);
    let named = |kind: &str| constraint_name(kind, &target.name, suffix);
    if let Some(key) = key_constraint(schema, storage, named) {
        lines.push(key);
    }
    create(target, &lines, storage)
}

/// Creates the table that a first load fills: a target's columns, and no key yet.
pub fn create_fill(fill: &TableName, schema: &TableSchema, storage: &Storage) -> Statement {
    Statement::plain(create(fill, &target_columns(schema, storage), storage))
}

fn create(table: &TableName, lines: &[String], storage: &Storage) -> String {
    format!(
        "CREATE TABLE {} (\n    {}\n){};",
        TableIdent(table),
        lines.join(",\n    "),
        compressed(storage.heap)
    )
}

/// The option of a table, a key or an index of rows; nothing where it is not compressed.
pub(super) fn compressed(compression: Compression) -> &'static str {
    match compression {
        Compression::Row => " WITH (DATA_COMPRESSION = ROW)",
        Compression::Page => " WITH (DATA_COMPRESSION = PAGE)",
        Compression::None | Compression::Columnstore | Compression::ColumnstoreArchive => "",
    }
}

fn target_columns(schema: &TableSchema, storage: &Storage) -> Vec<String> {
    let columns = schema.columns.iter().enumerate();
    columns
        .map(|(at, column)| {
            let identity = storage.identity.unwrap_or(Identity {
                seed: 1,
                increment: 1,
            });
            target_column(column, keeps_identity(schema, at).then_some(identity))
        })
        .collect()
}

/// Whether the key of a target is a primary key. NULL is allowed in none.
pub fn has_primary_key(schema: &TableSchema) -> bool {
    schema.key.is_some() && !schema.key_columns().any(|column| column.nullable)
}

/// The key of a target, under a name that begins as `named` is told.
pub(super) fn key_constraint(
    schema: &TableSchema,
    storage: &Storage,
    named: impl Fn(&str) -> String,
) -> Option<String> {
    let columns = schema.key_columns().map(|c| Ident(&c.name).to_string());
    let columns = list(columns, ", ");
    let bytes: u32 = schema.key_columns().map(|c| key_bytes(c.ty)).sum();
    let is_nonclustered = storage.nonclustered_key || bytes > CLUSTERED_KEY_BYTES_MAX;
    let kind = match (has_primary_key(schema), is_nonclustered) {
        (false, _) => "UNIQUE",
        (true, false) => "PRIMARY KEY",
        (true, true) => "PRIMARY KEY NONCLUSTERED",
    };
    let name = named(key_prefix(schema));
    let compressed = compressed(storage.key);
    (!columns.is_empty())
        .then(|| format!("CONSTRAINT {} {kind} ({columns}){compressed}", Ident(&name)))
}

/// Bytes of a clustered index's key (error 1946). Other indexes may have 1700, so that a source's key may be longer.
const CLUSTERED_KEY_BYTES_MAX: u32 = 900;

/// How many bytes a column adds to the key of an index at most. Types without a length have at most 17.
fn key_bytes(ty: SqlType) -> u32 {
    let facts = ty.facts();
    if let Compare::BytesAndLength(Some(bytes)) = facts.compare {
        return bytes.into();
    }
    if let SqlType::Binary { length }
    | SqlType::VarBinary {
        length: Some(length),
    } = facts.staged
    {
        return length.into();
    }
    17
}

/// At most 128 characters, as every name; the table's part is cut.
pub fn constraint_name(prefix: &str, table: &str, suffix: &str) -> String {
    plain_name(prefix, table, suffix) + suffix
}

/// The same name without its suffix.
pub fn plain_name(prefix: &str, table: &str, suffix: &str) -> String {
    let mut units = prefix.len() + suffix.len();
    let mut name = prefix.to_owned();
    for c in table.chars() {
        units += c.len_utf16();
        if units > 128 {
            break;
        }
        name.push(c);
    }
    name
}

/// How the name of a target's key begins.
pub fn key_prefix(schema: &TableSchema) -> &'static str {
    match has_primary_key(schema) {
        true => "PK_",
        false => "UQ_",
    }
}

/// Whether a column is an identity in the target that icesync creates. Outside the key it is a plain column: the
/// server never updates an identity, and a row of the source that was deleted and inserted again has another one.
pub fn keeps_identity(schema: &TableSchema, column: usize) -> bool {
    let is_key = |key: &Key| key.columns.contains(&column);
    let is_identity = |column: &Column| column.generated == Generated::Identity;
    schema.columns.get(column).is_some_and(is_identity) && schema.key.as_ref().is_none_or(is_key)
}

fn target_column(column: &Column, identity: Option<Identity>) -> String {
    let identity = identity.map_or_else(String::new, |identity| {
        format!(" IDENTITY({},{})", identity.seed, identity.increment)
    });
    format!(
        "{} {}{identity} {}{}",
        Ident(&column.name),
        declared(column.ty, column.collation.as_ref()),
        nullability(column.nullable),
        default(column)
    )
}

/// What the server puts into a column that is not written.
fn default(column: &Column) -> &'static str {
    match column.generated {
        Generated::Flag => " DEFAULT 0",
        Generated::No
        | Generated::Identity
        | Generated::Computed
        | Generated::RowStart
        | Generated::RowEnd => "",
    }
}

fn nullability(nullable: bool) -> &'static str {
    if nullable { "NULL" } else { "NOT NULL" }
}

/// Type and collation of a column that holds copied values.
pub(super) fn declared(ty: SqlType, collation: Option<&Collation>) -> String {
    let name = ty.copied();
    match collation {
        Some(collation) if ty.is_text() => {
            format!("{name} COLLATE {}", CollationName(&collation.name))
        }
        Some(_) | None => name.to_string(),
    }
}

/// Lets a user set the values of a table's identity column.
pub fn grant_alter(table: &TableName, user: &str) -> Statement {
    Statement::plain(format!(
        "GRANT ALTER ON {} TO {};",
        TableIdent(table),
        Ident(user)
    ))
}

/// Gives the target a column. Rows that are there get NULL in it, or 0 in a flag.
pub fn add_column(target: &TableName, column: &Column) -> Statement {
    let nullable = column.generated != Generated::Flag;
    Statement::plain(format!(
        "ALTER TABLE {} ADD {} {} {}{};",
        TableIdent(target),
        Ident(&column.name),
        declared(column.ty, column.collation.as_ref()),
        nullability(nullable),
        default(column)
    ))
}

/// Gives a column of the target another name.
pub fn rename_column(target: &TableName, from: &str, to: &str) -> Statement {
    let mut params = Params::default();
    let column = params.text(format!("{}.{}", TableIdent(target), Ident(from)));
    let to = params.text(to);
    params.into_statement(format!(
        "EXEC sp_rename @objname = {column}, @newname = {to}, @objtype = N'COLUMN';"
    ))
}

/// A statement that alters a table, giving up when it does not get the table: whoever comes after it has to wait
/// for it.
pub fn alter(statement: &Statement, lock_timeout_ms: u32) -> Statement {
    Statement {
        sql: format!(
            "SET LOCK_TIMEOUT {lock_timeout_ms};\n{}\nSET LOCK_TIMEOUT -1;",
            statement.sql
        ),
        params: statement.params.clone(),
    }
}

/// Makes a target column wide enough, which was declared as `was`. Its values stay what they are shown as.
///
/// From compatibility level 130 on, a `datetime` that becomes `datetime2` keeps its 1/300 s: .003 becomes .0033333. So
/// it first becomes `datetime2(3)`, which has the digits that `datetime` is shown with.
pub fn widen_column(
    target: &TableName,
    column: &Column,
    was: SqlType,
    nullable: bool,
) -> Statement {
    let to = |ty: SqlType| {
        format!(
            "ALTER TABLE {} ALTER COLUMN {} {} {};",
            TableIdent(target),
            Ident(&column.name),
            declared(ty, column.collation.as_ref()),
            nullability(nullable)
        )
    };
    let shown = was.shown_in(column.ty);
    let steps = shown.filter(|&shown| shown != column.ty).map(&to);
    let steps: Vec<String> = steps.into_iter().chain([to(column.ty)]).collect();
    match steps.as_slice() {
        [one] => Statement::plain(one.clone()),
        // The second step is taken only after the first.
        several => Statement::plain(format!(
            "SET XACT_ABORT ON; BEGIN TRANSACTION; {} COMMIT TRANSACTION;",
            several.join(" ")
        )),
    }
}

/// Type of the staging columns that hold base types: the longest has a collation's name of 128 characters.
pub const BASE_TYPE: SqlType = SqlType::NVarChar { length: Some(200) };

/// One column of a staging table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagingColumn {
    pub name: String,
    /// Declared type, sized: bulk copy into `max` columns is much slower.
    pub ty: SqlType,
    /// Text is staged as Unicode in the target column's collation, so that keys compare as the target compares them.
    pub collation: Option<Collation>,
    pub nullable: bool,
    /// Name of the column beside it that holds the base types of a `sql_variant`.
    pub base_type: Option<String>,
}

/// A staging table: a heap that bulk channels fill and the load transaction reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagingTable {
    pub name: TableName,
    /// One per lake column, in the lake's order.
    pub columns: Vec<StagingColumn>,
    /// `nvarchar(1)`: `U` (the row is now this) or `D` (the key is gone).
    pub operation: String,
    /// `int`: order of the parts of a load, ascending.
    pub segment: String,
}

/// Creates a staging table.
pub fn create_staging(staging: &StagingTable) -> Statement {
    let mut lines: Vec<String> = staging
        .columns
        .iter()
        .map(|column| {
            let name = typed_name(&column.name, column.ty, column.collation.as_ref());
            format!("{name} {}", nullability(column.nullable))
        })
        .collect();
    let base_types = staging.columns.iter().filter_map(|c| c.base_type.as_ref());
    lines.extend(base_types.map(|name| format!("{} {BASE_TYPE} NULL", Ident(name))));
    lines.push(format!(
        "{} nvarchar(1) NOT NULL",
        Ident(&staging.operation)
    ));
    lines.push(format!("{} int NOT NULL", Ident(&staging.segment)));
    Statement::plain(format!(
        "CREATE TABLE {} (\n    {}\n);",
        TableIdent(&staging.name),
        lines.join(",\n    ")
    ))
}

/// Drops a table if it is there.
pub fn drop_table(table: &TableName) -> Statement {
    Statement::plain(format!("DROP TABLE IF EXISTS {};", TableIdent(table)))
}

/// Names (`name`) of the staging tables whose name begins with `prefix`.
pub fn staging_tables(prefix: &str) -> Statement {
    let mut params = Params::default();
    let schema = params.text(OWN_SCHEMA);
    let prefix = params.text(prefix);
    params.into_statement(format!(
        "SELECT t.name FROM sys.tables AS t JOIN sys.schemas AS s ON s.schema_id = t.schema_id \
WHERE s.name = {schema} AND LEFT(t.name, LEN({prefix})) = {prefix} ORDER BY t.name;"
    ))
}

/// Takes an exclusive lock that the session holds until it ends or releases it. One row: `rc`, negative when it was
/// not granted.
pub fn take_session_lock(resource: &str, timeout_ms: u32) -> Statement {
    let mut params = Params::default();
    let resource = params.text(resource);
    params.into_statement(format!(
        "DECLARE @rc int;
EXEC @rc = sp_getapplock @Resource = {resource}, @LockMode = N'Exclusive', @LockOwner = N'Session', @LockTimeout = \
{timeout_ms};
SELECT @rc AS rc;"
    ))
}

/// Releases what [`take_session_lock`] took.
pub fn release_session_lock(resource: &str) -> Statement {
    let mut params = Params::default();
    let resource = params.text(resource);
    params.into_statement(format!(
        "EXEC sp_releaseapplock @Resource = {resource}, @LockOwner = N'Session';"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Deletes, LoadRule, SoftDeletes};

    /// JSON writes a control character as six characters.
    #[test]
    fn the_longest_rule_of_a_load_fits_its_column() {
        let name = "\u{1}".repeat(128);
        let rule = LoadRule {
            deletes: Deletes::Soft(SoftDeletes {
                column: name.clone(),
                at: Some(name),
            }),
            ..LoadRule::default()
        };
        assert!(rule.text().encode_utf16().count() <= 2000);
        let sql = create_load_state(10_000).sql;
        assert_eq!(sql.matches("[merge_mode] nvarchar(2000) NULL").count(), 3);
    }
}
