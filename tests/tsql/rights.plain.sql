-- @P1 nvarchar "[icesync]"
-- @P2 nvarchar "[dbo]"
SELECT HAS_PERMS_BY_NAME(@P1, N'SCHEMA', N'CONTROL') AS own, HAS_PERMS_BY_NAME(@P2, N'SCHEMA', N'ALTER') AS target;
