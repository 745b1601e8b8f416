-- @P1 nvarchar "[dbo].[follows]"
-- @P2 bigint 1237579447
-- @P3 nvarchar "2024-05-02T10:00:00.123"
-- @P4 nvarchar "dbo.follows"
-- @P5 bigint 1237579447
-- @P6 nvarchar "2024-05-01T10:00:00.123"
-- @P7 bigint 3
-- @P8 bigint 2
-- @P9 bigint 1
-- @P10 bigint 0
SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
DECLARE @target_only bigint = 0;
IF NOT EXISTS (SELECT 1 FROM sys.objects AS o WHERE o.object_id = @P2 AND o.object_id = OBJECT_ID(@P1) AND CONVERT(nvarchar(30), o.modify_date, 126) = @P3) THROW 51010, N'the target table was recreated or altered', 1;
UPDATE s SET s.[inserted] = @P7, s.[updated] = @P8, s.[deleted] = @P9, s.[unchanged] = @P10, s.[target_object_id] = @P5, s.[target_created] = @P6, s.[loaded_columns] = CONVERT(nvarchar(4000), NULL) FROM [icesync].[load_state] AS s WHERE s.[target] = @P4;
SELECT @target_only = COUNT_BIG(*) FROM [dbo].[follows] AS d WHERE NOT EXISTS (SELECT 1 FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS s WHERE d.[a] = s.[a] AND d.[b] = s.[b]);
DROP TABLE [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net];
SET LOCK_TIMEOUT -1;
SELECT @target_only AS target_only;
