-- @P1 nvarchar "[a]]b.c].[it's \"odd\"; DROP TABLE x --]"
-- @P2 nvarchar "icesync:apply:dbo.orders"
-- @P3 nvarchar "018f0000000070008000000000000001"
-- @P4 nvarchar "sales.orders"
-- @P5 nvarchar "6f1c2a34-0000-4000-8000-000000000001"
-- @P6 nvarchar "upsert"
-- @P7 bigint 4611686018427387904
-- @P8 bigint 2
-- @P9 bigint 1000
-- @P10 bigint 1000
-- @P11 nvarchar "[a]]b.c].[it's \"odd\"; DROP TABLE x --]"
-- @P12 bigint 1237579447
-- @P13 nvarchar "2024-05-02T10:00:00.123"
-- @P14 bigint 1237579447
-- @P15 nvarchar "2024-05-01T10:00:00.123"
-- @P16 nvarchar "sales.orders"
-- @P17 nvarchar "6f1c2a34-0000-4000-8000-000000000001"
-- @P18 bigint 4611686018427387904
-- @P19 bigint 2
-- @P20 nvarchar "upsert"
-- @P21 nvarchar "018f0000000070008000000000000001"
-- @P22 nvarchar "icesync:apply:dbo.orders"
SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
DECLARE @rc int, @staged bigint = 0, @inserted bigint = 0, @updated bigint = 0, @deleted bigint = 0;
DECLARE @unchanged bigint = 0, @target_only bigint = 0;
DECLARE @example nvarchar(1000), @message nvarchar(2000);
BEGIN TRY
BEGIN TRANSACTION;
EXEC @rc = sp_getapplock @Resource = @P2, @LockMode = N'Exclusive', @LockOwner = N'Transaction', @LockTimeout = 60000;
IF @rc < 0 THROW 51002, N'another load of this target is in its transaction', 1;
BEGIN TRY
    INSERT [icesync].[load_state] ([target], [lake_table], [table_uuid], [snapshot_id], [sequence_number], [run_id], [loaded_at], [inserted], [updated], [deleted], [unchanged], [merge_mode], [pending_snapshot_id], [pending_sequence_number], [pending_rows], [pending_applied], [pending_whole]) VALUES (@P1, @P4, @P5, -1, 0, @P3, SYSUTCDATETIME(), 0, 0, 0, 0, @P6, @P7, @P8, @P9, 0, 1);
END TRY
BEGIN CATCH
    IF ERROR_NUMBER() IN (2601, 2627) THROW 51003, N'the load state has moved', 1;
    THROW;
END CATCH;
SELECT @staged = COUNT_BIG(*) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WITH (TABLOCK);
IF @staged <> @P10
BEGIN
    SET @message = CONCAT(N'', @P10, N' rows were sent to the staging table and it holds ', @staged);
    THROW 51007, @message, 1;
END;
SET @staged = 0;
IF EXISTS (SELECT 1 FROM [a]]b.c].[it's "odd"; DROP TABLE x --] WITH (TABLOCKX, HOLDLOCK)) THROW 51008, N'the target has rows', 1;
SELECT @staged = COUNT_BIG(*) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WHERE s.[_op] <> 'D';
CREATE TABLE #versions (
    [k1] int NULL,
    [seq] bigint NOT NULL,
    [is_new] bit NOT NULL,
    [starts] datetime2(6) NOT NULL,
    [ends] datetime2(6) NULL,
    [is_deleted] bit NOT NULL
);
WITH [events] AS (
    SELECT s.[k]]] AS [k1], s.[_seq] AS [seq], CONVERT(bit, 1) AS [is_new], CASE WHEN s.[_op] = 'D' THEN 'D' ELSE 'V' END AS [kind], CONVERT(datetime2(6), s.[_committed_at]) AS [at] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s
), [numbered] AS (
    SELECT e.*, MAX(CASE WHEN e.[kind] = 'V' THEN e.[seq] ELSE 0 END) OVER (PARTITION BY [k1] ORDER BY e.[seq] ROWS UNBOUNDED PRECEDING) AS [version]
    FROM [events] AS e
), [first] AS (
    SELECT n.* FROM [numbered] AS n
), [hits] AS (
    SELECT f.*, CASE WHEN f.[kind] = 'D' AND f.[version] > 0 THEN 1 ELSE 0 END AS [hit] FROM [first] AS f
), [counted] AS (
    SELECT h.*, SUM(h.[hit]) OVER (PARTITION BY [k1], h.[version] ORDER BY h.[seq] ROWS UNBOUNDED PRECEDING) AS [hits]
    FROM [hits] AS h
), [effective] AS (
    SELECT c.*, MAX(c.[at]) OVER (PARTITION BY [k1] ORDER BY c.[seq] ROWS UNBOUNDED PRECEDING) AS [top]
    FROM [counted] AS c WHERE c.[kind] <> 'D' OR c.[hit] = 1 AND c.[hits] = 1
), [lives] AS (
    SELECT e.*, MAX(CASE WHEN e.[kind] <> 'V' THEN e.[top] END) OVER (PARTITION BY [k1] ORDER BY e.[seq] ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS [floor], COUNT(CASE WHEN e.[kind] <> 'V' THEN 1 END) OVER (PARTITION BY [k1] ORDER BY e.[seq] ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS [life]
    FROM [effective] AS e
), [timed] AS (
    SELECT l.*, CASE WHEN l.[kind] <> 'V' THEN l.[top] WHEN l.[floor] > l.[at] THEN l.[floor] ELSE l.[at] END AS [starts]
    FROM [lives] AS l
), [chained] AS (
    SELECT t.*, LEAD(t.[starts]) OVER (PARTITION BY [k1] ORDER BY t.[life], t.[starts], t.[seq]) AS [ends], LEAD(t.[kind]) OVER (PARTITION BY [k1] ORDER BY t.[life], t.[starts], t.[seq]) AS [next]
    FROM [timed] AS t
)
INSERT INTO #versions ([k1], [seq], [is_new], [starts], [ends], [is_deleted])
SELECT v.[k1], v.[seq], v.[is_new], v.[starts], v.[ends], CASE WHEN v.[next] = 'D' THEN 1 ELSE 0 END FROM [chained] AS v WHERE v.[kind] = 'V';
INSERT INTO [a]]b.c].[it's "odd"; DROP TABLE x --] ([k]]], ['when'], [[_rank]]], [_op], [_seq], [valid_from], [valid_to], [is_current], [_deleted]) SELECT n.[k]]], n.['when'], n.[[_rank]]], n.[_op], n.[_seq], v.[starts], v.[ends], CASE WHEN v.[ends] IS NULL THEN 1 ELSE 0 END, v.[is_deleted] FROM (SELECT s.[k]]] AS [k]]], s.['when'] AS ['when'], s.[[_rank]]] AS [[_rank]]], s.[_op] AS [_op], s.[_seq] AS [_seq], s.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s) AS n JOIN #versions AS v ON v.[seq] = n.[_seq] WHERE v.[is_new] = 1;
SET @inserted = ROWCOUNT_BIG();
IF @inserted <> @staged THROW 51007, N'the target did not take every version', 1;
DROP TABLE #versions;
IF NOT EXISTS (SELECT 1 FROM sys.objects AS o WHERE o.object_id = @P12 AND o.object_id = OBJECT_ID(@P11) AND CONVERT(nvarchar(30), o.modify_date, 126) = @P13) THROW 51010, N'the target table was recreated or altered', 1;
IF @staged > @inserted + @updated SET @unchanged = @staged - @inserted - @updated;
UPDATE s SET s.[inserted] = @inserted, s.[updated] = @updated, s.[deleted] = @deleted, s.[unchanged] = @unchanged, s.[merge_mode] = @P20, s.[lake_table] = @P16, s.[table_uuid] = @P17, s.[snapshot_id] = @P18, s.[sequence_number] = @P19, s.[pending_snapshot_id] = NULL, s.[pending_sequence_number] = NULL, s.[pending_rows] = NULL, s.[pending_applied] = NULL, s.[pending_whole] = NULL, s.[target_object_id] = @P14, s.[target_created] = @P15, s.[loaded_columns] = CONVERT(nvarchar(4000), NULL) FROM [icesync].[load_state] AS s WHERE s.[target] = @P1 AND s.[run_id] = @P21;
IF @@ROWCOUNT <> 1 OR APPLOCK_MODE(N'public', @P22, N'Transaction') <> N'Exclusive' THROW 51012, N'a trigger has ended the transaction of the load', 1;
DROP TABLE [icesync].[stg_00000000000000ff_018f0000000070008000000000000001];
COMMIT TRANSACTION;
END TRY
BEGIN CATCH
    IF XACT_STATE() <> 0 ROLLBACK TRANSACTION;
    SET LOCK_TIMEOUT -1;
    THROW;
END CATCH;
SET LOCK_TIMEOUT -1;
SELECT @inserted AS inserted, @updated AS updated, @deleted AS deleted, @unchanged AS unchanged, @target_only AS target_only;
