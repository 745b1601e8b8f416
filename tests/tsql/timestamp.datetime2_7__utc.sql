-- @P1 bigint 5000
-- @P2 bigint 300000
-- @P3 nvarchar "2024-05-01 10:00:00"
SET TRANSACTION ISOLATION LEVEL SNAPSHOT;
SET LOCK_TIMEOUT 60000;
DECLARE @utc datetime2(7) = SYSUTCDATETIME(), @local datetime2(7) = SYSDATETIME(), @back bigint = @P1, @sees int = 0, @open bigint, @session int, @program nvarchar(128), @idle int, @here int;
DECLARE @overlap bigint = @P2 + 0;
DECLARE @now datetime2(7) = @utc;
DECLARE @last datetime2(7) = CONVERT(datetime2(7), @P3, 121);
IF @sees = 1
BEGIN
BEGIN TRY
SELECT @here = b.database_id FROM sys.databases AS b WHERE b.name = DB_NAME();
SELECT TOP (1) @open = DATEDIFF_BIG(millisecond, a.began, @local), @session = s.session_id, @program = s.program_name, @idle = CASE WHEN s.status = N'sleeping' THEN 1 ELSE 0 END FROM (SELECT x.transaction_id, DATEADD(hour, CASE WHEN x.transaction_begin_time > DATEADD(second, 10, @local) THEN -1 ELSE 0 END, x.transaction_begin_time) AS began FROM sys.dm_tran_active_transactions AS x) AS a JOIN sys.dm_tran_database_transactions AS d ON d.transaction_id = a.transaction_id LEFT JOIN sys.dm_tran_session_transactions AS t ON t.transaction_id = a.transaction_id LEFT JOIN sys.dm_exec_sessions AS s ON s.session_id = t.session_id WHERE d.database_id IN (DB_ID(), @here) AND d.database_transaction_begin_time IS NOT NULL ORDER BY a.began;
END TRY
BEGIN CATCH
SET @sees = 0;
END CATCH;
END;
IF @open + @P1 > @back SET @back = @open + @P1;
DECLARE @top datetime2(7) = CONVERT(datetime2(7), DATEADD(second, CONVERT(int, -(@P1 / 1000)), DATEADD(millisecond, CONVERT(int, -(@P1 % 1000)), @now))), @hi datetime2(7) = CONVERT(datetime2(7), DATEADD(second, CONVERT(int, -(@back / 1000)), DATEADD(millisecond, CONVERT(int, -(@back % 1000)), @now))), @future datetime2(7) = CONVERT(datetime2(7), DATEADD(minute, 5, CASE WHEN @local > @utc THEN @local ELSE @utc END));
SELECT CONVERT(nvarchar(40), @hi, 121) AS hi, CONVERT(nvarchar(40), CONVERT(datetime2(7), DATEADD(second, CONVERT(int, -(@overlap / 1000)), DATEADD(millisecond, CONVERT(int, -(@overlap % 1000)), CONVERT(datetime2(7), @last)))), 121) AS lower_from_last, CONVERT(nvarchar(40), CONVERT(datetime2(7), DATEADD(second, CONVERT(int, -(@overlap / 1000)), DATEADD(millisecond, CONVERT(int, -(@overlap % 1000)), CONVERT(datetime2(7), @hi)))), 121) AS lower_from_hi, DATEDIFF_BIG(millisecond, @top, @last) AS ahead_ms, DATEDIFF(minute, @utc, @local) AS offset_minutes, @sees AS sees_transactions, @open AS open_ms, @session AS session_id, @program AS program, @idle AS is_idle, CONVERT(nvarchar(40), @future, 121) AS future, CONVERT(nvarchar(40), @utc, 121) AS utc;
SELECT (SELECT COUNT_BIG(*) FROM [dbo].[orders] WHERE [modified_at] IS NULL) AS null_rows, (SELECT COUNT_BIG(*) FROM [dbo].[orders] WHERE [modified_at] > @future) AS future_rows, (SELECT DATEDIFF_BIG(millisecond, MAX([modified_at]), @utc) FROM [dbo].[orders] WHERE [modified_at] <= @future) AS behind_utc_ms, (SELECT DATEDIFF_BIG(millisecond, MAX([modified_at]), @local) FROM [dbo].[orders] WHERE [modified_at] <= @future) AS behind_local_ms OPTION (RECOMPILE);
