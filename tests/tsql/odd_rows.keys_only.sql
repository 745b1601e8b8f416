-- @P1 bigint 10
-- @P2 nvarchar "100"
SET TRANSACTION ISOLATION LEVEL SNAPSHOT; SET LOCK_TIMEOUT 60000;
SELECT TOP (@P1) CONCAT(N'', CONVERT(nvarchar(100), [a]), N', ', CONVERT(nvarchar(100), [b])) AS row_key FROM [dbo].[follows] WHERE [b] IS NULL OPTION (RECOMPILE);
SELECT TOP (@P1) CONCAT(N'', CONVERT(nvarchar(100), [a]), N', ', CONVERT(nvarchar(100), [b])) AS row_key FROM [dbo].[follows] WHERE [b] > CONVERT(int, @P2) OPTION (RECOMPILE);
