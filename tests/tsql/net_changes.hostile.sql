-- @P1 bigint 1000
SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
DECLARE @staged bigint = 0, @example nvarchar(1000), @message nvarchar(2000);
SELECT @staged = COUNT_BIG(*) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WITH (TABLOCK);
IF @staged <> @P1
BEGIN
    SET @message = CONCAT(N'', @P1, N' rows were sent to the staging table and it holds ', @staged);
    THROW 51007, @message, 1;
END;
SET @staged = 0;
SELECT TOP (1) @example = CONCAT(N'(', CONVERT(nvarchar(100), n.[k]]]), N')') FROM (SELECT s.[k]]] AS [k]]], s.[_seg] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WHERE s.[_op_] = 'U') AS n GROUP BY n.[k]]], n.[_seg] HAVING COUNT_BIG(*) > 1;
IF @example IS NOT NULL THROW 51004, @example, 1;
CREATE TABLE [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] (
    [k]]] int NULL,
    ['when'] datetime NULL,
    [[_rank]]] int NULL,
    [_op] nvarchar(max) COLLATE Chinese_Taiwan_Stroke_CI_AS NULL,
    [_op_] nvarchar(1) NOT NULL,
    [_row] bigint NOT NULL
);
INSERT INTO [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] WITH (TABLOCK) ([k]]], ['when'], [[_rank]]], [_op], [_op_], [_row]) SELECT n.[k]]], n.['when'], n.[[_rank]]], n.[_op], n.[_op_], ROW_NUMBER() OVER (ORDER BY n.[_op_], n.[k]]]) FROM (SELECT n.[k]]], n.['when'], n.[[_rank]]], n.[_op], n.[_op_] FROM (SELECT s.[k]]] AS [k]]], s.['when'] AS ['when'], s.[[_rank]]] AS [[_rank]]], s.[_op] AS [_op], s.[_op_], ROW_NUMBER() OVER (PARTITION BY s.[k]]] ORDER BY s.[_seg] DESC, s.[_op_] DESC) AS [_rank] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s) AS n WHERE n.[_rank] = 1) AS n;
BEGIN TRY
    CREATE UNIQUE CLUSTERED INDEX [net_key] ON [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] ([k]]]);
END TRY
BEGIN CATCH
    IF ERROR_NUMBER() NOT IN (1919, 1944, 1946) THROW;
END CATCH;
CREATE UNIQUE INDEX [net_row] ON [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] ([_row]);
DROP TABLE [icesync].[stg_00000000000000ff_018f0000000070008000000000000001];
SELECT COUNT_BIG(CASE WHEN s.[_op_] = 'U' THEN 1 END) AS upserts, COUNT_BIG(CASE WHEN s.[_op_] = 'D' THEN 1 END) AS deletes FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS s;
SET LOCK_TIMEOUT -1;
