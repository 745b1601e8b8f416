-- @P1 nvarchar "[dbo].[every_type]"
-- @P2 bigint 1237579447
-- @P3 nvarchar "2024-05-01T10:00:00.123"
-- @P4 nvarchar "dbo.every_type"
-- @P5 bigint 8070450532247928832
-- @P6 nvarchar "018f0000000070008000000000000001"
SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
BEGIN TRANSACTION;
IF ISNULL(OBJECT_ID(@P1), 0) <> @P2 THROW 51010, N'the target table was recreated', 1;
UPDATE s SET s.[target_object_id] = @P2, s.[target_created] = @P3 FROM [icesync].[load_state] AS s WITH (UPDLOCK, ROWLOCK) WHERE s.[target] = @P4 AND s.[snapshot_id] = @P5 AND s.[run_id] = @P6;
IF @@ROWCOUNT <> 1 THROW 51003, N'the load state has moved', 1;
COMMIT TRANSACTION;
SET LOCK_TIMEOUT -1;
