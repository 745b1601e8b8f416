-- @p1 nvarchar Some("[dbo].[every_type]")
-- @p2 bigint Some(1237579447)
-- @p3 nvarchar Some("2024-05-01T10:00:00.123")
-- @p4 nvarchar Some("dbo.every_type")
-- @p5 bigint Some(8070450532247928832)
-- @p6 nvarchar Some("018f0000000070008000000000000001")
SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
BEGIN TRANSACTION;
IF ISNULL(OBJECT_ID(@p1), 0) <> @p2 THROW 51010, N'the target table was recreated', 1;
UPDATE s SET s.[target_object_id] = @p2, s.[target_created] = @p3 FROM [icesync].[load_state] AS s WITH (UPDLOCK, ROWLOCK) WHERE s.[target] = @p4 AND s.[snapshot_id] = @p5 AND s.[run_id] = @p6;
IF @@ROWCOUNT <> 1 THROW 51003, N'the load state has moved', 1;
COMMIT TRANSACTION;
SET LOCK_TIMEOUT -1;
