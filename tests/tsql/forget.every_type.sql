-- @P1 nvarchar "dbo.every_type"
-- @P2 bigint 8070450532247928832
-- @P3 nvarchar "018f0000000070008000000000000001"
SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
BEGIN TRANSACTION;
DELETE s FROM [icesync].[load_state] AS s WITH (UPDLOCK, ROWLOCK) WHERE s.[target] = @P1 AND s.[snapshot_id] = @P2 AND s.[run_id] = @P3;
IF @@ROWCOUNT <> 1 THROW 51003, N'the load state has moved', 1;
COMMIT TRANSACTION;
SET LOCK_TIMEOUT -1;
