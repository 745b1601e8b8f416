DECLARE @hi binary(8) = MIN_ACTIVE_ROWVERSION(), @counter binary(8) = @@DBTS, @sees int = 0, @local datetime2(7) = SYSDATETIME(), @open bigint, @session int, @program nvarchar(128), @idle int, @here int;
IF @hi > @counter SET @sees = 0;
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
SELECT CONVERT(nvarchar(18), @hi, 1) AS hi, CONVERT(nvarchar(18), @counter, 1) AS counter, @open AS open_ms, @session AS session_id, @program AS program, @idle AS is_idle;
