-- @P1 bigint 10
-- @P2 nvarchar "0x00000000000007DA"
SET TRANSACTION ISOLATION LEVEL SNAPSHOT; SET LOCK_TIMEOUT 60000;
SELECT TOP (@P1) CONCAT(N'', CONVERT(nvarchar(100), [order_id])) AS row_key FROM [dbo].[orders] WHERE [rv] IS NULL OPTION (RECOMPILE);
SELECT TOP (@P1) CONCAT(N'', CONVERT(nvarchar(100), [order_id])) AS row_key FROM [dbo].[orders] WHERE [rv] > CONVERT(binary(8), @P2, 1) OPTION (RECOMPILE);
