-- @p1 nvarchar Some("[icesync].[stg_00000000000000ff_018f0000000070008000000000000001]")
-- @p2 nvarchar Some("[icesync].[stg_00000000000000ff_018f0000000070008000000000000001]")
SELECT COUNT(CASE WHEN HAS_PERMS_BY_NAME(n.name, N'OBJECT', N'SELECT') = 1 THEN 1 END) AS readable, SUSER_SNAME() AS login_name, DB_NAME() AS database_name FROM (VALUES (@p1), (@p2)) AS n (name);
