-- @P1 nvarchar "icesync"
-- @P2 nvarchar "[icesync]"
SELECT HAS_PERMS_BY_NAME(NULL, N'DATABASE', N'CREATE TABLE') AS create_table, HAS_PERMS_BY_NAME(NULL, N'DATABASE', N'CREATE SCHEMA') AS create_schema, HAS_PERMS_BY_NAME(@P2, N'SCHEMA', N'ALTER') AS alter_own, CASE WHEN SCHEMA_ID(@P1) IS NULL THEN 0 ELSE 1 END AS own, SUSER_SNAME() AS login_name, DB_NAME() AS database_name;
