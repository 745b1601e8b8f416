-- @p1 nvarchar Some("icesync:apply:dbo.orders")
-- @p2 nvarchar Some("dbo.orders")
-- @p3 nvarchar Some("018f0000000070008000000000000001")
-- @p4 nvarchar Some("sales.orders")
-- @p5 nvarchar Some("6f1c2a34-0000-4000-8000-000000000001")
-- @p6 bigint Some(4611686018427387904)
-- @p7 bigint Some(2)
-- @p8 nvarchar Some("upsert")
-- @p9 bigint Some(8070450532247928832)
-- @p10 nvarchar Some("018f0000000070008000000000000000")
-- @p11 bigint Some(-1)
-- @p12 bigint Some(1000)
SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
DECLARE @rc int, @staged bigint = 0, @message nvarchar(2000);
EXEC @rc = sp_getapplock @Resource = @p1, @LockMode = N'Exclusive', @LockOwner = N'Transaction', @LockTimeout = 60000;
IF @rc < 0 THROW 51002, N'another load of this target is in its transaction', 1;
UPDATE s SET s.[merge_mode] = @p8, s.[lake_table] = @p4, s.[table_uuid] = @p5, s.[snapshot_id] = @p6, s.[sequence_number] = @p7, s.[pending_snapshot_id] = NULL, s.[pending_sequence_number] = NULL, s.[pending_rows] = NULL, s.[pending_applied] = NULL, s.[run_id] = @p3, s.[loaded_at] = SYSUTCDATETIME() FROM [icesync].[load_state] AS s WITH (UPDLOCK, ROWLOCK) WHERE s.[target] = @p2 AND s.[snapshot_id] = @p9 AND s.[run_id] = @p10 AND ISNULL(s.[pending_applied], -1) = @p11;
IF @@ROWCOUNT <> 1 THROW 51003, N'the load state has moved', 1;
SELECT @staged = COUNT_BIG(*) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS s WITH (TABLOCK);
IF @staged <> @p12
BEGIN
    SET @message = CONCAT(N'', @p12, N' rows were sent to the staging table and it holds ', @staged);
    THROW 51007, @message, 1;
END;
SET @staged = 0;
SET LOCK_TIMEOUT -1;
