//! What server, database and login are, in one round trip.

use super::Statement;

/// One row about the server, the current database, and what the login may see. `recovery_fork` is NULL where the
/// product does not show it (Azure SQL Database) or the login may not see it.
///
/// The permission that shows transactions is VIEW SERVER STATE, VIEW SERVER PERFORMANCE STATE from SQL Server 2022 on,
/// and VIEW DATABASE STATE in Azure SQL Database. A permission that a version does not know is NULL.
pub fn environment() -> Statement {
    Statement::plain(
        "DECLARE @fork nvarchar(36), @edition int = CONVERT(int, SERVERPROPERTY('EngineEdition'));
BEGIN TRY
IF OBJECT_ID(N'sys.database_recovery_status') IS NOT NULL SELECT @fork = CONVERT(nvarchar(36), r.recovery_fork_guid) \
FROM sys.database_recovery_status AS r JOIN sys.databases AS d ON d.database_id = r.database_id WHERE d.name = \
DB_NAME();
END TRY
BEGIN CATCH
SET @fork = NULL;
END CATCH;
SELECT @edition AS engine_edition, CONVERT(nvarchar(128), SERVERPROPERTY('ProductVersion')) AS product_version, \
CONVERT(nvarchar(128), SERVERPROPERTY('Collation')) AS server_collation, d.name AS database_name, d.collation_name AS \
database_collation, \
CONVERT(nvarchar(60), DATABASEPROPERTYEX(d.name, 'Updateability')) AS updateability, \
CONVERT(int, d.is_read_only) AS is_read_only, CONVERT(int, d.is_in_standby) AS is_in_standby, \
CASE WHEN d.source_database_id IS NULL THEN 0 ELSE 1 END AS is_database_snapshot, \
CONVERT(int, d.snapshot_isolation_state) AS snapshot_isolation_state, \
CONVERT(int, d.is_read_committed_snapshot_on) AS is_read_committed_snapshot_on, @fork AS recovery_fork, \
CASE WHEN HAS_PERMS_BY_NAME(NULL, NULL, N'VIEW SERVER STATE') = 1 OR \
HAS_PERMS_BY_NAME(NULL, NULL, N'VIEW SERVER PERFORMANCE STATE') = 1 OR \
(@edition IN (5, 12) AND HAS_PERMS_BY_NAME(NULL, N'DATABASE', N'VIEW DATABASE STATE') = 1) THEN 1 ELSE 0 END AS \
sees_transactions, \
CASE WHEN HAS_PERMS_BY_NAME(NULL, N'DATABASE', N'VIEW DEFINITION') = 1 OR \
HAS_PERMS_BY_NAME(NULL, N'DATABASE', N'VIEW SECURITY DEFINITION') = 1 OR \
HAS_PERMS_BY_NAME(NULL, N'DATABASE', N'ALTER ANY SECURITY POLICY') = 1 THEN 1 ELSE 0 END AS sees_policies, \
CASE WHEN HAS_PERMS_BY_NAME(NULL, N'DATABASE', N'UNMASK') = 1 THEN 1 ELSE 0 END AS unmasks \
FROM sys.databases AS d WHERE d.name = DB_NAME();",
    )
}
