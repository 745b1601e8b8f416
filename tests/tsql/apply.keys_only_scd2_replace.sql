-- @P1 nvarchar "dbo.follows"
-- @P2 nvarchar "icesync:apply:dbo.orders"
-- @P3 bigint 4611686018427387904
-- @P4 bigint 2
-- @P5 bigint 1000
-- @P6 bigint 0
-- @P7 nvarchar "018f0000000070008000000000000001"
-- @P8 bigint 8070450532247928832
-- @P9 nvarchar "018f0000000070008000000000000000"
-- @P10 bigint -1
-- @P11 bigint 1000
-- @P12 nvarchar "[dbo].[follows]"
-- @P13 bigint 1237579447
-- @P14 nvarchar "2024-05-02T10:00:00.123"
-- @P15 bigint 1237579447
-- @P16 nvarchar "2024-05-01T10:00:00.123"
-- @P17 nvarchar "sales.orders"
-- @P18 nvarchar "6f1c2a34-0000-4000-8000-000000000001"
-- @P19 bigint 4611686018427387904
-- @P20 bigint 2
-- @P21 nvarchar "upsert"
-- @P22 nvarchar "018f0000000070008000000000000001"
-- @P23 nvarchar "icesync:apply:dbo.orders"
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
SELECT @staged = COUNT_BIG(*) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WITH (TABLOCK);
IF @staged <> @P11
BEGIN
    SET @message = CONCAT(N'', @P11, N' rows were sent to the staging table and it holds ', @staged);
    THROW 51007, @message, 1;
END;
SET @staged = 0;
IF EXISTS (SELECT 1 FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WHERE s.[a] IS NULL) THROW 51005, N'a staged row has NULL in its key', 1;
SELECT @staged = COUNT_BIG(*) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WHERE s.[_op] <> 'D';
DELETE FROM [dbo].[follows];
SET @deleted = ROWCOUNT_BIG();
CREATE TABLE #versions (
    [k1] int NULL,
    [k2] int NULL,
    [seq] bigint NOT NULL,
    [is_new] bit NOT NULL,
    [starts] datetime2(6) NOT NULL,
    [ends] datetime2(6) NULL,
    [is_deleted] bit NOT NULL
);
WITH [events] AS (
    SELECT s.[a] AS [k1], s.[b] AS [k2], s.[_seq] AS [seq], CONVERT(bit, 1) AS [is_new], CASE WHEN s.[_op] = 'D' THEN 'D' ELSE 'V' END AS [kind], CONVERT(datetime2(6), s.[_committed_at]) AS [at] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s
), [numbered] AS (
    SELECT e.*, MAX(CASE WHEN e.[kind] = 'V' THEN e.[seq] ELSE 0 END) OVER (PARTITION BY [k1], [k2] ORDER BY e.[seq] ROWS UNBOUNDED PRECEDING) AS [version]
    FROM [events] AS e
), [first] AS (
    SELECT n.* FROM [numbered] AS n
), [hits] AS (
    SELECT f.*, CASE WHEN f.[kind] = 'D' AND f.[version] > 0 THEN 1 ELSE 0 END AS [hit] FROM [first] AS f
), [counted] AS (
    SELECT h.*, SUM(h.[hit]) OVER (PARTITION BY [k1], [k2], h.[version] ORDER BY h.[seq] ROWS UNBOUNDED PRECEDING) AS [hits]
    FROM [hits] AS h
), [effective] AS (
    SELECT c.*, MAX(c.[at]) OVER (PARTITION BY [k1], [k2] ORDER BY c.[seq] ROWS UNBOUNDED PRECEDING) AS [top]
    FROM [counted] AS c WHERE c.[kind] <> 'D' OR c.[hit] = 1 AND c.[hits] = 1
), [lives] AS (
    SELECT e.*, MAX(CASE WHEN e.[kind] <> 'V' THEN e.[top] END) OVER (PARTITION BY [k1], [k2] ORDER BY e.[seq] ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS [floor], COUNT(CASE WHEN e.[kind] <> 'V' THEN 1 END) OVER (PARTITION BY [k1], [k2] ORDER BY e.[seq] ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS [life]
    FROM [effective] AS e
), [timed] AS (
    SELECT l.*, CASE WHEN l.[kind] <> 'V' THEN l.[top] WHEN l.[floor] > l.[at] THEN l.[floor] ELSE l.[at] END AS [starts]
    FROM [lives] AS l
), [chained] AS (
    SELECT t.*, LEAD(t.[starts]) OVER (PARTITION BY [k1], [k2] ORDER BY t.[life], t.[starts], t.[seq]) AS [ends], LEAD(t.[kind]) OVER (PARTITION BY [k1], [k2] ORDER BY t.[life], t.[starts], t.[seq]) AS [next]
    FROM [timed] AS t
)
INSERT INTO #versions ([k1], [k2], [seq], [is_new], [starts], [ends], [is_deleted])
SELECT v.[k1], v.[k2], v.[seq], v.[is_new], v.[starts], v.[ends], CASE WHEN v.[next] = 'D' THEN 1 ELSE 0 END FROM [chained] AS v WHERE v.[kind] = 'V';
INSERT INTO [dbo].[follows] ([a], [b], [_seq], [valid_from], [valid_to], [is_current], [_deleted]) SELECT n.[a], n.[b], n.[_seq], v.[starts], v.[ends], CASE WHEN v.[ends] IS NULL THEN 1 ELSE 0 END, v.[is_deleted] FROM (SELECT s.[a] AS [a], s.[b] AS [b], s.[_seq] AS [_seq], s.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s) AS n JOIN #versions AS v ON v.[seq] = n.[_seq] WHERE v.[is_new] = 1;
SET @inserted = ROWCOUNT_BIG();
IF @inserted <> @staged THROW 51007, N'the target did not take every version', 1;
DROP TABLE #versions;
IF NOT EXISTS (SELECT 1 FROM sys.objects AS o WHERE o.object_id = @P13 AND o.object_id = OBJECT_ID(@P12) AND CONVERT(nvarchar(30), o.modify_date, 126) = @P14) THROW 51010, N'the target table was recreated or altered', 1;
IF @staged > @inserted + @updated SET @unchanged = @staged - @inserted - @updated;
UPDATE s SET s.[inserted] = @inserted, s.[updated] = @updated, s.[deleted] = @deleted, s.[unchanged] = @unchanged, s.[merge_mode] = @P21, s.[lake_table] = @P17, s.[table_uuid] = @P18, s.[snapshot_id] = @P19, s.[sequence_number] = @P20, s.[pending_snapshot_id] = NULL, s.[pending_sequence_number] = NULL, s.[pending_rows] = NULL, s.[pending_applied] = NULL, s.[pending_whole] = NULL, s.[target_object_id] = @P15, s.[target_created] = @P16, s.[loaded_columns] = CONVERT(nvarchar(4000), NULL) FROM [icesync].[load_state] AS s WHERE s.[target] = @P1 AND s.[run_id] = @P22;
IF @@ROWCOUNT <> 1 OR APPLOCK_MODE(N'public', @P23, N'Transaction') <> N'Exclusive' THROW 51012, N'a trigger has ended the transaction of the load', 1;
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
