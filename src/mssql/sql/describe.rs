//! What a table looks like, in one round trip.

use super::{CollationName, Params, Statement, TableIdent, list};
use crate::schema::TableName;

/// Four result sets about the table or view: its facts (one row, none when there is no such object or it cannot be
/// seen), its columns, its usable indexes with their key columns, and, only when the first is empty, the names that
/// do exist.
///
/// `sys.columns` has `vector_base_type` from SQL Server 2025 on. A name that a subquery's own tables do not have is
/// looked up in the query around it, which has it in `absent`: before 2025 it is NULL instead of an unknown column.
/// Nothing is read twice for it.
pub fn describe(table: &TableName) -> Statement {
    let mut params = Params::default();
    let name = params.text(TableIdent(table).to_string());
    params.into_statement(facts(&name))
}

/// What [`describe`] answers, and six more result sets about what surrounds a table or view that is read.
///
/// - The text of a view (`definition`, one row, NULL for a table, or where it may not be seen), and whether what it
///   refers to is known (`is_known`).
/// - What a view refers to: `entity`, `is_elsewhere` (in another database), `object_type`, `is_memory_optimized` (NULL
///   for all but tables).
/// - Columns with a mask, of the table or of what the view refers to, and where that is not known of all tables:
///   `name`, and `unmasks`, whether the login may see this one. Before SQL Server 2022 no column has a permission of
///   its own, and that is 0.
/// - Enabled security policies that filter their rows: `name`.
/// - The partitions of the table and its indexes: `partition_number`, `storage` (what identifies the rows' storage),
///   `row_count`.
/// - Whether changes are tracked, in one row. Of the database: `retention_minutes`, NULL while it tracks none, and
///   `cleans_up`. Of the table, NULL where its changes are not tracked: `begin_version`, `min_valid_version`, and
///   `created`, when the log of its changes was created (NULL where that cannot be seen). `can_view` is 1 where the
///   login may see the changes. A secondary replica tracks none.
///
/// What a view refers to is shown to logins with VIEW DEFINITION on it; to others, and where it refers to something
/// that is gone, the function answers an error.
pub fn describe_source(table: &TableName) -> Statement {
    let mut params = Params::default();
    let name = params.text(TableIdent(table).to_string());
    let facts = facts(&name);
    params.into_statement(format!(
        "{facts}
DECLARE @definition nvarchar(max), @known int = 0, @any int = 0;
DECLARE @refers TABLE (id int NULL, is_elsewhere int NOT NULL, entity nvarchar(600) NOT NULL);
IF EXISTS (SELECT 1 FROM sys.views AS v WHERE v.object_id = @id)
BEGIN
SET @definition = OBJECT_DEFINITION(@id);
BEGIN TRY
INSERT INTO @refers (id, is_elsewhere, entity) SELECT e.referenced_id, CASE WHEN e.referenced_server_name IS NOT NULL \
OR e.referenced_database_name <> DB_NAME() THEN 1 ELSE 0 END, CONCAT(e.referenced_server_name + N'.', \
e.referenced_database_name + N'.', e.referenced_schema_name + N'.', e.referenced_entity_name) \
FROM sys.dm_sql_referenced_entities({name}, N'OBJECT') AS e WHERE e.referenced_minor_id = 0 AND e.referenced_class = 1;
SET @known = 1;
END TRY
BEGIN CATCH
DELETE FROM @refers;
END CATCH;
IF @known = 0 OR @definition IS NULL OR NOT EXISTS (SELECT 1 FROM @refers AS r) SET @any = 1;
END;
SELECT @definition AS definition, @known AS is_known;
SELECT r.entity, r.is_elsewhere, RTRIM(CONVERT(nvarchar(2), o.type)) AS object_type, CONVERT(int, \
t.is_memory_optimized) AS is_memory_optimized FROM @refers AS r LEFT JOIN sys.objects AS o ON o.object_id = r.id AND \
r.is_elsewhere = 0 LEFT JOIN sys.tables AS t ON t.object_id = o.object_id;
SELECT c.name, CASE WHEN HAS_PERMS_BY_NAME(QUOTENAME(OBJECT_SCHEMA_NAME(c.object_id)) + N'.' + \
QUOTENAME(OBJECT_NAME(c.object_id)), N'OBJECT', N'UNMASK', c.name, N'COLUMN') = 1 THEN 1 ELSE 0 END AS unmasks \
FROM sys.masked_columns AS c WHERE c.is_masked = 1 AND (@any = 1 OR c.object_id = @id OR c.object_id IN (SELECT r.id \
FROM @refers AS r WHERE r.is_elsewhere = 0)) ORDER BY c.column_id;
SELECT DISTINCT s.name + N'.' + p.name AS name FROM sys.security_predicates AS f JOIN sys.security_policies AS p ON \
p.object_id = f.object_id JOIN sys.schemas AS s ON s.schema_id = p.schema_id WHERE f.predicate_type = 0 AND \
p.is_enabled = 1 AND (f.target_object_id = @id OR f.target_object_id IN (SELECT r.id FROM @refers AS r WHERE \
r.is_elsewhere = 0));
SELECT p.partition_number, CONCAT(p.partition_id, N'/', p.hobt_id) AS storage, p.rows AS row_count FROM sys.partitions \
AS p WHERE p.object_id = @id;
{tracking}",
        tracking = tracking(&name),
    ))
}

/// The last result set of [`describe_source`]. What a server does not show is NULL: views of change tracking are of no
/// use on a secondary replica (error 22117).
fn tracking(name: &str) -> String {
    format!(
        "DECLARE @begin bigint, @valid bigint, @made datetime, @retention bigint, @cleans int;
BEGIN TRY
SELECT @retention = CONVERT(bigint, c.retention_period) * CASE c.retention_period_units WHEN 1 THEN 1 WHEN 2 THEN 60 \
ELSE 1440 END, @cleans = CONVERT(int, c.is_auto_cleanup_on) FROM sys.change_tracking_databases AS c JOIN sys.databases \
AS d ON d.database_id = c.database_id WHERE d.name = DB_NAME();
IF @retention IS NOT NULL SELECT @begin = c.begin_version, @valid = c.min_valid_version FROM \
sys.change_tracking_tables AS c WHERE c.object_id = @id;
IF @begin IS NOT NULL AND OBJECT_ID(N'sys.internal_tables') IS NOT NULL SELECT @made = i.create_date FROM \
sys.internal_tables AS i WHERE i.parent_object_id = @id AND i.internal_type_desc = N'CHANGE_TRACKING';
END TRY
BEGIN CATCH
SELECT @begin = NULL, @valid = NULL, @made = NULL;
END CATCH;
SELECT @retention AS retention_minutes, @cleans AS cleans_up, @begin AS begin_version, @valid AS min_valid_version, \
CONVERT(nvarchar(30), @made, 126) AS created, HAS_PERMS_BY_NAME({name}, N'OBJECT', N'VIEW CHANGE TRACKING') AS \
can_view;"
    )
}

/// The batch of [`describe`]; `name` is the parameter with the table's name.
fn facts(name: &str) -> String {
    format!(
        "DECLARE @id int = OBJECT_ID({name});
IF NOT EXISTS (SELECT 1 FROM sys.objects AS x WHERE x.object_id = @id AND x.type IN ('U', 'V')) SET @id = NULL;
SELECT o.object_id, CONVERT(nvarchar(30), o.create_date, 126) AS create_date, \
CONVERT(nvarchar(30), o.modify_date, 126) AS modify_date, s.name AS schema_name, o.name AS \
table_name, RTRIM(CONVERT(nvarchar(2), o.type)) AS object_type, \
HAS_PERMS_BY_NAME({name}, N'OBJECT', N'SELECT') AS can_select, \
HAS_PERMS_BY_NAME({name}, N'OBJECT', N'ALTER') AS can_alter, USER_NAME() AS database_user, \
CONVERT(int, t.is_memory_optimized) AS is_memory_optimized, \
(SELECT COUNT(*) FROM sys.foreign_keys AS f WHERE f.parent_object_id = o.object_id AND f.referenced_object_id = \
o.object_id AND f.is_disabled = 0) AS self_references, \
(SELECT SUM(p.rows) FROM sys.partitions AS p WHERE p.object_id = o.object_id AND p.index_id IN (0, 1)) AS row_count \
FROM sys.objects AS o JOIN sys.schemas AS s ON s.schema_id = o.schema_id \
LEFT JOIN sys.tables AS t ON t.object_id = o.object_id WHERE o.object_id = @id;
SELECT d.* FROM (SELECT CONVERT(tinyint, NULL) AS vector_base_type) AS absent CROSS APPLY (\
SELECT c.column_id, c.name, TYPE_NAME(c.system_type_id) AS base_type, c.user_type_id, t.name AS user_type, \
CONVERT(int, t.is_assembly_type) AS is_assembly_type, CONVERT(int, c.max_length) AS max_length, CONVERT(int, \
c.precision) AS precision, \
CONVERT(int, c.scale) AS scale, CONVERT(int, c.is_nullable) AS is_nullable, CONVERT(int, c.is_identity) AS \
is_identity, \
CONVERT(int, c.is_computed) AS is_computed, CONVERT(int, c.generated_always_type) AS generated_always_type, \
CONVERT(int, c.is_column_set) AS is_column_set, c.encryption_type, c.default_object_id, c.collation_name, \
CONVERT(int, COLLATIONPROPERTY(c.collation_name, 'CodePage')) AS code_page, \
CONVERT(int, vector_base_type) AS vector_base_type \
FROM sys.columns AS c JOIN sys.types AS t ON t.user_type_id = c.user_type_id WHERE c.object_id = @id\
) AS d ORDER BY d.column_id;
SELECT i.index_id, i.name AS index_name, CONVERT(int, i.is_primary_key) AS is_primary_key, CONVERT(int, i.is_unique) \
AS is_unique, \
CONVERT(int, i.has_filter) AS has_filter, CONVERT(int, i.ignore_dup_key) AS ignore_dup_key, CONVERT(int, \
ic.key_ordinal) AS key_ordinal, CONVERT(int, ic.is_descending_key) AS is_descending_key, ic.column_id \
FROM sys.indexes AS i JOIN sys.index_columns AS ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id \
WHERE i.object_id = @id AND i.is_disabled = 0 AND i.is_hypothetical = 0 AND ic.key_ordinal > 0 \
ORDER BY i.is_primary_key DESC, i.index_id, ic.key_ordinal;
SELECT TOP (5000) s.name AS schema_name, o.name AS table_name, RTRIM(CONVERT(nvarchar(2), o.type)) AS object_type \
FROM sys.objects AS o JOIN sys.schemas AS s ON s.schema_id = o.schema_id \
WHERE @id IS NULL AND o.type IN ('U', 'V', 'SN') AND o.is_ms_shipped = 0 ORDER BY s.name, o.name;"
    )
}

/// One value of each collation: the columns of the result show how the server writes it on the wire. Values are
/// Unicode, because some collations have no code page, which `varchar` needs (error 459).
pub fn collations(names: &[&str]) -> Statement {
    let values = names.iter().zip(1..).map(|(name, at)| {
        let name = CollationName(name);
        format!("CONVERT(nvarchar(1), NULL) COLLATE {name} AS [c{at}]")
    });
    Statement::plain(format!("SELECT {};", list(values, ", ")))
}

/// One row (`found`) when the table has rows.
pub fn has_rows(table: &TableName) -> Statement {
    Statement::plain(format!(
        "SELECT TOP (1) 1 AS found FROM {};",
        TableIdent(table)
    ))
}
