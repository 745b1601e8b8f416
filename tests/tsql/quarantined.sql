-- @P1 nvarchar "dbo.orders"
SET LOCK_TIMEOUT 10000;
IF OBJECT_ID(N'[icesync].[quarantine]') IS NOT NULL
BEGIN
    SELECT q.[id], q.[key], q.[operation], q.[error_number], q.[error_message], q.[lake_table], q.[snapshot_id], q.[sequence_number], q.[run_id], CONVERT(nvarchar(30), q.[quarantined_at], 126) AS quarantined_at FROM [icesync].[quarantine] AS q WHERE q.[target] = @P1 ORDER BY q.[id];
END;
SET LOCK_TIMEOUT -1;
