-- @p1 nvarchar Some("[icesync]")
-- @p2 nvarchar Some("[sales]")
SELECT HAS_PERMS_BY_NAME(@p1, N'SCHEMA', N'CONTROL') AS own, HAS_PERMS_BY_NAME(@p2, N'SCHEMA', N'ALTER') AS target;
