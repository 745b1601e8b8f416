-- @P1 nvarchar "[a]]b.c].[it's \"odd\"; DROP TABLE x --]"
-- @P2 nvarchar "icesync:apply:dbo.orders"
-- @P3 bigint 4611686018427387904
-- @P4 bigint 2
-- @P5 bigint 2500000
-- @P6 bigint 0
-- @P7 nvarchar "018f0000000070008000000000000001"
-- @P8 bigint 8070450532247928832
-- @P9 nvarchar "018f0000000070008000000000000000"
-- @P10 bigint -1
-- @P11 bigint 1000000
-- @P12 nvarchar "[a]]b.c].[it's \"odd\"; DROP TABLE x --]"
-- @P13 bigint 1237579447
-- @P14 nvarchar "2024-05-02T10:00:00.123"
-- @P15 bigint 4611686018427387904
-- @P16 bigint 2
-- @P17 bigint 2500000
-- @P18 bigint 1000000
-- @P19 nvarchar "018f0000000070008000000000000001"
-- @P20 nvarchar "icesync:apply:dbo.orders"
SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
DECLARE @rc int, @staged bigint = 0, @inserted bigint = 0, @updated bigint = 0, @deleted bigint = 0;
DECLARE @unchanged bigint = 0, @target_only bigint = 0;
DECLARE @example nvarchar(1000), @message nvarchar(2000);
BEGIN TRY
BEGIN TRANSACTION;
EXEC @rc = sp_getapplock @Resource = @P2, @LockMode = N'Exclusive', @LockOwner = N'Transaction', @LockTimeout = 60000;
IF @rc < 0 THROW 51002, N'another load of this target is in its transaction', 1;
UPDATE s SET s.[pending_snapshot_id] = @P3, s.[pending_sequence_number] = @P4, s.[pending_rows] = @P5, s.[pending_applied] = @P6, s.[pending_whole] = 1, s.[run_id] = @P7, s.[loaded_at] = SYSUTCDATETIME() FROM [icesync].[load_state] AS s WITH (UPDLOCK, ROWLOCK) WHERE s.[target] = @P1 AND s.[snapshot_id] = @P8 AND s.[run_id] = @P9 AND ISNULL(s.[pending_applied], -1) = @P10;
IF @@ROWCOUNT <> 1 THROW 51003, N'the load state has moved', 1;
SELECT @staged = COUNT_BIG(*) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS s WITH (TABLOCK) WHERE (s.[_row] BETWEEN 1 AND 1000000);
IF @staged <> @P11
BEGIN
    SET @message = CONCAT(N'', @P11, N' rows were sent to the staging table and it holds ', @staged);
    THROW 51007, @message, 1;
END;
SET @staged = 0;
SELECT @staged = COUNT_BIG(*) FROM (SELECT n.[k]]], n.['when'], n.[[_rank]]], n.[_op], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE (n.[_row] BETWEEN 1 AND 1000000)) AS s WHERE s.[_op_] = 'U';
DELETE d FROM [a]]b.c].[it's "odd"; DROP TABLE x --] AS d WITH (UPDLOCK, SERIALIZABLE) JOIN (SELECT n.[k]]], n.['when'], n.[[_rank]]], n.[_op], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE (n.[_row] BETWEEN 1 AND 1000000)) AS s ON d.[k]]] = s.[k]]] WHERE s.[_op_] = 'D';
SET @deleted = @deleted + ROWCOUNT_BIG();
UPDATE d SET d.['when'] = s.['when'], d.[[_rank]]] = s.[[_rank]]], d.[_op] = s.[_op] FROM [a]]b.c].[it's "odd"; DROP TABLE x --] AS d WITH (UPDLOCK, SERIALIZABLE) JOIN (SELECT n.[k]]], n.['when'], n.[[_rank]]], n.[_op], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE (n.[_row] BETWEEN 1 AND 1000000)) AS s ON d.[k]]] = s.[k]]] WHERE s.[_op_] = 'U' AND EXISTS (SELECT s.['when'], s.[[_rank]]], CONVERT(varbinary(max), s.[_op]), DATALENGTH(s.[_op]) EXCEPT SELECT d.['when'], d.[[_rank]]], CONVERT(varbinary(max), d.[_op]), DATALENGTH(d.[_op]));
SET @updated = ROWCOUNT_BIG();
INSERT INTO [a]]b.c].[it's "odd"; DROP TABLE x --] ([k]]], ['when'], [[_rank]]], [_op]) SELECT s.[k]]], s.['when'], s.[[_rank]]], s.[_op] FROM (SELECT n.[k]]], n.['when'], n.[[_rank]]], n.[_op], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE (n.[_row] BETWEEN 1 AND 1000000)) AS s WHERE s.[_op_] = 'U' AND NOT EXISTS (SELECT 1 FROM [a]]b.c].[it's "odd"; DROP TABLE x --] AS d WITH (UPDLOCK, SERIALIZABLE) WHERE d.[k]]] = s.[k]]]);
SET @inserted = ROWCOUNT_BIG();
IF NOT EXISTS (SELECT 1 FROM sys.objects AS o WHERE o.object_id = @P13 AND o.object_id = OBJECT_ID(@P12) AND CONVERT(nvarchar(30), o.modify_date, 126) = @P14) THROW 51010, N'the target table was recreated or altered', 1;
IF @staged > @inserted + @updated SET @unchanged = @staged - @inserted - @updated;
UPDATE s SET s.[inserted] = @inserted, s.[updated] = @updated, s.[deleted] = @deleted, s.[unchanged] = @unchanged, s.[pending_snapshot_id] = @P15, s.[pending_sequence_number] = @P16, s.[pending_rows] = @P17, s.[pending_applied] = @P18, s.[pending_whole] = 0 FROM [icesync].[load_state] AS s WHERE s.[target] = @P1 AND s.[run_id] = @P19;
IF @@ROWCOUNT <> 1 OR APPLOCK_MODE(N'public', @P20, N'Transaction') <> N'Exclusive' THROW 51012, N'a trigger has ended the transaction of the load', 1;
COMMIT TRANSACTION;
END TRY
BEGIN CATCH
    IF XACT_STATE() <> 0 ROLLBACK TRANSACTION;
    SET LOCK_TIMEOUT -1;
    THROW;
END CATCH;
SET LOCK_TIMEOUT -1;
SELECT @inserted AS inserted, @updated AS updated, @deleted AS deleted, @unchanged AS unchanged, @target_only AS target_only;
