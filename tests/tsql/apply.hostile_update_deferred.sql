-- @p1 nvarchar Some("[a]]b.c].[it's \"odd\"; DROP TABLE x --]")
-- @p2 nvarchar Some("[a]]b.c].[it's \"odd\"; DROP TABLE x --]")
-- @p3 bigint Some(1237579447)
-- @p4 nvarchar Some("2024-05-02T10:00:00.123")
-- @p5 bigint Some(1237579447)
-- @p6 nvarchar Some("2024-05-01T10:00:00.123")
-- @p7 nvarchar None
SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
DECLARE @rc int, @staged bigint = 0, @inserted bigint = 0, @updated bigint = 0, @deleted bigint = 0;
DECLARE @unchanged bigint = 0, @target_only bigint = 0;
DECLARE @example nvarchar(1000), @message nvarchar(2000);
UPDATE d SET d.[_op] = NULL FROM [a]]b.c].[it's "odd"; DROP TABLE x --] AS d WITH (UPDLOCK, SERIALIZABLE) JOIN (SELECT n.[k]]], n.['when'], n.[[_rank]]], n.[_op], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n) AS s ON d.[k]]] = s.[k]]] WHERE s.[_op_] = 'D' AND (d.[_op] IS NOT NULL);
UPDATE d SET d.[_op] = s.[_op] FROM [a]]b.c].[it's "odd"; DROP TABLE x --] AS d WITH (UPDLOCK, SERIALIZABLE) JOIN (SELECT n.[k]]], n.['when'], n.[[_rank]]], n.[_op], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n) AS s ON d.[k]]] = s.[k]]] WHERE s.[_op_] = 'U' AND EXISTS (SELECT CONVERT(varbinary(max), s.[_op]), DATALENGTH(s.[_op]) EXCEPT SELECT CONVERT(varbinary(max), d.[_op]), DATALENGTH(d.[_op]));
IF NOT EXISTS (SELECT 1 FROM sys.objects AS o WHERE o.object_id = @p3 AND o.object_id = OBJECT_ID(@p2) AND CONVERT(nvarchar(30), o.modify_date, 126) = @p4) THROW 51010, N'the target table was recreated or altered', 1;
IF @staged > @inserted + @updated SET @unchanged = @staged - @inserted - @updated;
UPDATE s SET s.[inserted] = s.[inserted] + @inserted, s.[updated] = s.[updated] + @updated, s.[deleted] = s.[deleted] + @deleted, s.[unchanged] = s.[unchanged] + @unchanged, s.[target_object_id] = @p5, s.[target_created] = @p6, s.[loaded_columns] = @p7 FROM [icesync].[load_state] AS s WHERE s.[target] = @p1;
SELECT @inserted AS inserted, @updated AS updated, @deleted AS deleted, @unchanged AS unchanged, @target_only AS target_only;
