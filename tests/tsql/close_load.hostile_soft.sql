-- @p1 nvarchar Some("[a]]b.c].[it's \"odd\"; DROP TABLE x --]")
-- @p2 bigint Some(1237579447)
-- @p3 nvarchar Some("2024-05-02T10:00:00.123")
-- @p4 nvarchar Some("[a]]b.c].[it's \"odd\"; DROP TABLE x --]")
-- @p5 bigint Some(1237579447)
-- @p6 nvarchar Some("2024-05-01T10:00:00.123")
-- @p7 nvarchar None
-- @p8 bigint Some(3)
-- @p9 bigint Some(2)
-- @p10 bigint Some(1)
-- @p11 bigint Some(0)
SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
DECLARE @target_only bigint = 0;
IF NOT EXISTS (SELECT 1 FROM sys.objects AS o WHERE o.object_id = @p2 AND o.object_id = OBJECT_ID(@p1) AND CONVERT(nvarchar(30), o.modify_date, 126) = @p3) THROW 51010, N'the target table was recreated or altered', 1;
UPDATE s SET s.[inserted] = @p8, s.[updated] = @p9, s.[deleted] = @p10, s.[unchanged] = @p11, s.[target_object_id] = @p5, s.[target_created] = @p6, s.[loaded_columns] = @p7 FROM [icesync].[load_state] AS s WHERE s.[target] = @p4;
SELECT @target_only = COUNT_BIG(*) FROM [a]]b.c].[it's "odd"; DROP TABLE x --] AS d WHERE d.[is]]deleted] = 0 AND NOT EXISTS (SELECT 1 FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS s WHERE d.[k]]] = s.[k]]]);
DROP TABLE [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net];
SET LOCK_TIMEOUT -1;
SELECT @target_only AS target_only;
