-- @P1 bigint 10
-- @P2 nvarchar "2024-05-02 00:00:00.0000000"
SET TRANSACTION ISOLATION LEVEL SNAPSHOT; SET LOCK_TIMEOUT 60000;
SELECT TOP (@P1) CONCAT(N'', CONVERT(nvarchar(100), [區域]), N', ', CONVERT(nvarchar(100), [at], 121), N', ', CONVERT(nvarchar(100), [code])) AS row_key FROM [sales].[訂單] WHERE [modified] IS NULL OPTION (RECOMPILE);
SELECT TOP (@P1) CONCAT(N'', CONVERT(nvarchar(100), [區域]), N', ', CONVERT(nvarchar(100), [at], 121), N', ', CONVERT(nvarchar(100), [code])) AS row_key FROM [sales].[訂單] WHERE [modified] > CONVERT(datetime2(7), @P2, 121) OPTION (RECOMPILE);
