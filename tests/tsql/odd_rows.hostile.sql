-- @P1 bigint 10
-- @P2 nvarchar "2024-05-02 00:00:00.000"
SET TRANSACTION ISOLATION LEVEL SNAPSHOT; SET LOCK_TIMEOUT 60000;
SELECT TOP (@P1) CONCAT(N'', CONVERT(nvarchar(100), [k]]])) AS row_key FROM [a]]b.c].[it's "odd"; DROP TABLE x --] WHERE ['when'] IS NULL OPTION (RECOMPILE);
SELECT TOP (@P1) CONCAT(N'', CONVERT(nvarchar(100), [k]]])) AS row_key FROM [a]]b.c].[it's "odd"; DROP TABLE x --] WHERE ['when'] > CONVERT(datetime, @P2, 121) OPTION (RECOMPILE);
