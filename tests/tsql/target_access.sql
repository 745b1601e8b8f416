-- @p1 nvarchar Some("icesync")
-- @p2 nvarchar Some("[icesync]")
SELECT HAS_PERMS_BY_NAME(NULL, N'DATABASE', N'CREATE TABLE') AS create_table, HAS_PERMS_BY_NAME(NULL, N'DATABASE', N'CREATE SCHEMA') AS create_schema, HAS_PERMS_BY_NAME(@p2, N'SCHEMA', N'ALTER') AS alter_own, CASE WHEN SCHEMA_ID(@p1) IS NULL THEN 0 ELSE 1 END AS own, SUSER_SNAME() AS login_name, DB_NAME() AS database_name;
