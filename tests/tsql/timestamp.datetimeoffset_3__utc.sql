-- @p1 bigint Some(5000)
-- @p2 bigint Some(300000)
-- @p3 nvarchar Some("2024-05-01 10:00:00")
SET TRANSACTION ISOLATION LEVEL SNAPSHOT;
DECLARE @utc datetime2(7) = SYSUTCDATETIME(), @local datetime2(7) = SYSDATETIME(), @back bigint = @p1, @sees int, @open bigint;
DECLARE @overlap bigint = @p2 + 0;
DECLARE @now datetimeoffset(7) = SYSDATETIMEOFFSET();
DECLARE @last datetimeoffset(3) = CONVERT(datetimeoffset(3), @p3, 121);
SET @sees = HAS_PERMS_BY_NAME(NULL, NULL, N'VIEW SERVER STATE');
IF @sees = 1 SELECT @open = MAX(DATEDIFF_BIG(millisecond, a.transaction_begin_time, @local)) FROM sys.dm_tran_active_transactions AS a JOIN sys.dm_tran_database_transactions AS d ON d.transaction_id = a.transaction_id WHERE d.database_id = DB_ID() AND d.database_transaction_begin_time IS NOT NULL;
IF @open + @p1 > @back SET @back = @open + @p1;
DECLARE @top datetimeoffset(3) = CONVERT(datetimeoffset(3), DATEADD(second, CONVERT(int, -(@p1 / 1000)), DATEADD(millisecond, CONVERT(int, -(@p1 % 1000)), @now))), @hi datetimeoffset(3) = CONVERT(datetimeoffset(3), DATEADD(second, CONVERT(int, -(@back / 1000)), DATEADD(millisecond, CONVERT(int, -(@back % 1000)), @now)));
SELECT CONVERT(nvarchar(40), @hi, 121) AS hi, CONVERT(nvarchar(40), CONVERT(datetimeoffset(3), DATEADD(second, CONVERT(int, -(@overlap / 1000)), DATEADD(millisecond, CONVERT(int, -(@overlap % 1000)), CONVERT(datetimeoffset(7), @last)))), 121) AS lower_from_last, CONVERT(nvarchar(40), CONVERT(datetimeoffset(3), DATEADD(second, CONVERT(int, -(@overlap / 1000)), DATEADD(millisecond, CONVERT(int, -(@overlap % 1000)), CONVERT(datetimeoffset(7), @hi)))), 121) AS lower_from_hi, DATEDIFF_BIG(millisecond, @top, @last) AS ahead_ms, DATEDIFF(minute, @utc, @local) AS offset_minutes, @sees AS sees_transactions, @open AS open_ms;
DECLARE @future datetimeoffset(3) = CONVERT(datetimeoffset(3), DATEADD(minute, 5, @now));
SELECT (SELECT COUNT_BIG(*) FROM [dbo].[orders] WHERE [modified_at] IS NULL) AS null_rows, (SELECT COUNT_BIG(*) FROM [dbo].[orders] WHERE [modified_at] > @future) AS future_rows OPTION (RECOMPILE);
