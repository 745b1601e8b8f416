-- @P1 nvarchar "icesync:apply:dbo.orders"
-- @P2 nvarchar "sales.訂單"
-- @P3 bigint 4611686018427387904
-- @P4 bigint 2
-- @P5 bigint 1000
-- @P6 bigint 0
-- @P7 nvarchar "018f0000000070008000000000000001"
-- @P8 bigint 8070450532247928832
-- @P9 nvarchar "018f0000000070008000000000000000"
-- @P10 bigint -1
-- @P11 bigint 1000
SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
DECLARE @rc int, @staged bigint = 0, @message nvarchar(2000);
EXEC @rc = sp_getapplock @Resource = @P1, @LockMode = N'Exclusive', @LockOwner = N'Transaction', @LockTimeout = 60000;
IF @rc < 0 THROW 51002, N'another load of this target is in its transaction', 1;
UPDATE s SET s.[pending_snapshot_id] = @P3, s.[pending_sequence_number] = @P4, s.[pending_rows] = @P5, s.[pending_applied] = @P6, s.[pending_whole] = 1, s.[run_id] = @P7, s.[loaded_at] = SYSUTCDATETIME() FROM [icesync].[load_state] AS s WITH (UPDLOCK, ROWLOCK) WHERE s.[target] = @P2 AND s.[snapshot_id] = @P8 AND s.[run_id] = @P9 AND ISNULL(s.[pending_applied], -1) = @P10;
IF @@ROWCOUNT <> 1 THROW 51003, N'the load state has moved', 1;
SELECT @staged = COUNT_BIG(*) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS s WITH (TABLOCK);
IF @staged <> @P11
BEGIN
    SET @message = CONCAT(N'', @P11, N' rows were sent to the staging table and it holds ', @staged);
    THROW 51007, @message, 1;
END;
SET @staged = 0;
SET LOCK_TIMEOUT -1;
