-- @P1 bigint 1000
-- @P2 nvarchar "code"
SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
DECLARE @staged bigint = 0, @example nvarchar(1000), @message nvarchar(2000);
SELECT @staged = COUNT_BIG(*) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WITH (TABLOCK);
IF @staged <> @P1
BEGIN
    SET @message = CONCAT(N'', @P1, N' rows were sent to the staging table and it holds ', @staged);
    THROW 51007, @message, 1;
END;
SET @staged = 0;
SELECT TOP (1) @example = CONVERT(nvarchar(100), s.[code]) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WHERE CONVERT(varbinary(max), CONVERT(nvarchar(max), CONVERT(varchar(max), s.[code]))) <> CONVERT(varbinary(max), s.[code]) OR DATALENGTH(CONVERT(varchar(max), s.[code])) > 20;
IF @example IS NOT NULL
BEGIN
    SET @message = CONCAT(@P2, N': ', @example);
    THROW 51006, @message, 1;
END;
SELECT TOP (1) @example = CONCAT(N'(', CONVERT(nvarchar(100), n.[區域]), N', ', CONVERT(nvarchar(100), n.[at], 121), N', ', CONVERT(nvarchar(100), n.[code]), N')') FROM (SELECT s.[區域] AS [區域], s.[at] AS [at], CONVERT(varchar(20), s.[code]) AS [code], s.[_seg] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WHERE s.[_op_] = 'U') AS n GROUP BY n.[區域], n.[at], n.[code], n.[_seg] HAVING COUNT_BIG(*) > 1;
IF @example IS NOT NULL THROW 51004, @example, 1;
CREATE TABLE [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] (
    [區域] nvarchar(10) COLLATE Chinese_Taiwan_Stroke_CI_AS NULL,
    [modified] datetime2(7) NULL,
    [at] datetime NULL,
    [code] varchar(20) COLLATE Chinese_Taiwan_Stroke_CI_AS NULL,
    [_op_] nvarchar(1) NOT NULL,
    [_row] bigint NOT NULL
);
INSERT INTO [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] WITH (TABLOCK) ([區域], [modified], [at], [code], [_op_], [_row]) SELECT n.[區域], n.[modified], n.[at], n.[code], n.[_op_], ROW_NUMBER() OVER (ORDER BY n.[_op_], n.[區域], n.[at], n.[code]) FROM (SELECT n.[區域], n.[modified], n.[at], n.[code], n.[_op_] FROM (SELECT l.[區域], l.[modified], l.[at], l.[code], l.[_op_], ROW_NUMBER() OVER (PARTITION BY l.[區域], l.[at], l.[code] ORDER BY l.[_op_] DESC, l.[_seg] DESC) AS [_rank], MAX(l.[_op_]) OVER (PARTITION BY l.[區域], l.[at], l.[code]) AS [_kept] FROM (SELECT s.[區域] AS [區域], s.[modified] AS [modified], s.[at] AS [at], CONVERT(varchar(20), s.[code]) AS [code], s.[_op_], s.[_seg], ROW_NUMBER() OVER (PARTITION BY CONVERT(varbinary(20), s.[區域]), DATALENGTH(s.[區域]), s.[at], CONVERT(varbinary(20), CONVERT(varchar(20), s.[code])), DATALENGTH(CONVERT(varchar(20), s.[code])) ORDER BY s.[_seg] DESC, s.[_op_] DESC) AS [_last] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s) AS l WHERE l.[_last] = 1) AS n WHERE n.[_rank] = 1 OR n.[_kept] = 'D') AS n;
BEGIN TRY
    CREATE CLUSTERED INDEX [net_key] ON [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] ([區域], [at], [code]);
END TRY
BEGIN CATCH
    IF ERROR_NUMBER() NOT IN (1919, 1944, 1946) THROW;
END CATCH;
CREATE UNIQUE INDEX [net_row] ON [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] ([_row]);
SELECT TOP (1) @example = CONCAT(N'(', CONVERT(nvarchar(100), d.[區域]), N', ', CONVERT(nvarchar(100), d.[at], 121), N', ', CONVERT(nvarchar(100), d.[code]), N')') FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS s JOIN [sales].[訂單] AS d ON d.[區域] = s.[區域] AND d.[at] = s.[at] AND d.[code] = s.[code] WHERE s.[_op_] = 'U' AND NOT EXISTS (SELECT CONVERT(varbinary(20), s.[區域]), DATALENGTH(s.[區域]), CONVERT(varbinary(20), s.[code]), DATALENGTH(s.[code]) INTERSECT SELECT CONVERT(varbinary(20), d.[區域]), DATALENGTH(d.[區域]), CONVERT(varbinary(20), d.[code]), DATALENGTH(d.[code])) AND NOT EXISTS (SELECT 1 FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS o WHERE o.[_op_] = 'D' AND EXISTS (SELECT CONVERT(varbinary(20), o.[區域]), DATALENGTH(o.[區域]), CONVERT(varbinary(20), CONVERT(varchar(20), o.[code])), DATALENGTH(CONVERT(varchar(20), o.[code])) INTERSECT SELECT CONVERT(varbinary(20), d.[區域]), DATALENGTH(d.[區域]), CONVERT(varbinary(20), d.[code]), DATALENGTH(d.[code])));
IF @example IS NOT NULL THROW 51004, @example, 1;
DROP TABLE [icesync].[stg_00000000000000ff_018f0000000070008000000000000001];
SELECT COUNT_BIG(CASE WHEN s.[_op_] = 'U' THEN 1 END) AS upserts, COUNT_BIG(CASE WHEN s.[_op_] = 'D' THEN 1 END) AS deletes FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS s;
SET LOCK_TIMEOUT -1;
