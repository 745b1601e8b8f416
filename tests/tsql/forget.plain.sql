-- @p1 nvarchar Some("dbo.orders")
-- @p2 bigint Some(8070450532247928832)
-- @p3 nvarchar Some("018f0000000070008000000000000001")
SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
BEGIN TRANSACTION;
DELETE s FROM [icesync].[load_state] AS s WITH (UPDLOCK, ROWLOCK) WHERE s.[target] = @p1 AND s.[snapshot_id] = @p2 AND s.[run_id] = @p3;
IF @@ROWCOUNT <> 1 THROW 51003, N'the load state has moved', 1;
COMMIT TRANSACTION;
SET LOCK_TIMEOUT -1;
