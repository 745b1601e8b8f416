-- @P1 bigint 1000
-- @P2 nvarchar "note"
SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
DECLARE @staged bigint = 0, @example nvarchar(1000), @message nvarchar(2000);
SELECT @staged = COUNT_BIG(*) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WITH (TABLOCK);
IF @staged <> @P1
BEGIN
    SET @message = CONCAT(N'', @P1, N' rows were sent to the staging table and it holds ', @staged);
    THROW 51007, @message, 1;
END;
SET @staged = 0;
SELECT TOP (1) @example = CONVERT(nvarchar(100), s.[note]) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WHERE CONVERT(varbinary(max), CONVERT(nvarchar(max), CONVERT(varchar(max), s.[note]))) <> CONVERT(varbinary(max), s.[note]) OR DATALENGTH(CONVERT(varchar(max), s.[note])) > 200;
IF @example IS NOT NULL
BEGIN
    SET @message = CONCAT(@P2, N': ', @example);
    THROW 51006, @message, 1;
END;
SELECT TOP (1) @example = CONCAT(N'(', CONVERT(nvarchar(100), n.[order_id]), N')') FROM (SELECT s.[order_id] AS [order_id], s.[_seg] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WHERE s.[_op_] = 'U') AS n GROUP BY n.[order_id], n.[_seg] HAVING COUNT_BIG(*) > 1;
IF @example IS NOT NULL THROW 51004, @example, 1;
CREATE TABLE [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] (
    [order_id] int NULL,
    [rv] binary(8) NULL,
    [quantity] bigint NULL,
    [note] varchar(200) COLLATE Chinese_Taiwan_Stroke_CI_AS NULL,
    [_op_] nvarchar(1) NOT NULL,
    [_row] bigint NOT NULL
);
INSERT INTO [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] WITH (TABLOCK) ([order_id], [rv], [quantity], [note], [_op_], [_row]) SELECT n.[order_id], n.[rv], n.[quantity], n.[note], n.[_op_], ROW_NUMBER() OVER (ORDER BY n.[_op_], n.[order_id]) FROM (SELECT n.[order_id], n.[rv], n.[quantity], n.[note], n.[_op_] FROM (SELECT s.[order_id] AS [order_id], s.[rv] AS [rv], s.[quantity] AS [quantity], CONVERT(varchar(200), s.[note]) AS [note], s.[_op_], ROW_NUMBER() OVER (PARTITION BY s.[order_id] ORDER BY s.[_seg] DESC, s.[_op_] DESC) AS [_rank] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s) AS n WHERE n.[_rank] = 1) AS n;
BEGIN TRY
    CREATE UNIQUE CLUSTERED INDEX [net_key] ON [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] ([order_id]);
END TRY
BEGIN CATCH
    IF ERROR_NUMBER() NOT IN (1919, 1944, 1946) THROW;
END CATCH;
CREATE UNIQUE INDEX [net_row] ON [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] ([_row]);
DROP TABLE [icesync].[stg_00000000000000ff_018f0000000070008000000000000001];
SELECT COUNT_BIG(CASE WHEN s.[_op_] = 'U' THEN 1 END) AS upserts, COUNT_BIG(CASE WHEN s.[_op_] = 'D' THEN 1 END) AS deletes FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS s;
SET LOCK_TIMEOUT -1;
