-- @P1 bigint 1000
-- @P2 nvarchar "c19"
-- @P3 nvarchar "c20"
-- @P4 nvarchar "c21"
-- @P5 nvarchar "c22"
SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
DECLARE @staged bigint = 0, @example nvarchar(1000), @message nvarchar(2000);
SELECT @staged = COUNT_BIG(*) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WITH (TABLOCK);
IF @staged <> @P1
BEGIN
    SET @message = CONCAT(N'', @P1, N' rows were sent to the staging table and it holds ', @staged);
    THROW 51007, @message, 1;
END;
SET @staged = 0;
SELECT TOP (1) @example = CONVERT(nvarchar(100), s.[c19]) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WHERE CONVERT(varbinary(max), CONVERT(nvarchar(max), CONVERT(varchar(max), s.[c19]))) <> CONVERT(varbinary(max), s.[c19]) OR DATALENGTH(CONVERT(varchar(max), s.[c19])) > 10;
IF @example IS NOT NULL
BEGIN
    SET @message = CONCAT(@P2, N': ', @example);
    THROW 51006, @message, 1;
END;
SELECT TOP (1) @example = CONVERT(nvarchar(100), s.[c20]) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WHERE CONVERT(varbinary(max), CONVERT(nvarchar(max), CONVERT(varchar(max), s.[c20]))) <> CONVERT(varbinary(max), s.[c20]) OR DATALENGTH(CONVERT(varchar(max), s.[c20])) > 8000;
IF @example IS NOT NULL
BEGIN
    SET @message = CONCAT(@P3, N': ', @example);
    THROW 51006, @message, 1;
END;
SELECT TOP (1) @example = CONVERT(nvarchar(100), s.[c21]) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WHERE CONVERT(varbinary(max), CONVERT(nvarchar(max), CONVERT(varchar(max), s.[c21]))) <> CONVERT(varbinary(max), s.[c21]);
IF @example IS NOT NULL
BEGIN
    SET @message = CONCAT(@P4, N': ', @example);
    THROW 51006, @message, 1;
END;
SELECT TOP (1) @example = CONVERT(nvarchar(100), s.[c22]) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WHERE CONVERT(varbinary(max), CONVERT(nvarchar(max), CONVERT(varchar(max), s.[c22]))) <> CONVERT(varbinary(max), s.[c22]);
IF @example IS NOT NULL
BEGIN
    SET @message = CONCAT(@P5, N': ', @example);
    THROW 51006, @message, 1;
END;
SELECT TOP (1) @example = CONCAT(N'(', CONVERT(nvarchar(100), n.[c1]), N')') FROM (SELECT s.[c1] AS [c1], s.[_seg] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WHERE s.[_op_] = 'U') AS n GROUP BY n.[c1], n.[_seg] HAVING COUNT_BIG(*) > 1;
IF @example IS NOT NULL THROW 51004, @example, 1;
CREATE TABLE [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] (
    [c1] uniqueidentifier NULL,
    [c2] bit NULL,
    [c3] tinyint NULL,
    [c4] smallint NULL,
    [c5] int NULL,
    [c6] bigint NULL,
    [c7] decimal(38,10) NULL,
    [c8] numeric(9,2) NULL,
    [c9] money NULL,
    [c10] smallmoney NULL,
    [c11] real NULL,
    [c12] float NULL,
    [c13] date NULL,
    [c14] time(7) NULL,
    [c15] datetime NULL,
    [c16] smalldatetime NULL,
    [c17] datetime2(0) NULL,
    [c18] datetimeoffset(7) NULL,
    [c19] char(10) COLLATE Chinese_Taiwan_Stroke_CI_AS NULL,
    [c20] varchar(8000) COLLATE Chinese_Taiwan_Stroke_CI_AS NULL,
    [c21] varchar(max) COLLATE Chinese_Taiwan_Stroke_CI_AS NULL,
    [c22] text COLLATE Chinese_Taiwan_Stroke_CI_AS NULL,
    [c23] nchar(10) COLLATE Chinese_Taiwan_Stroke_CI_AS NULL,
    [c24] nvarchar(4000) COLLATE Chinese_Taiwan_Stroke_CI_AS NULL,
    [c25] nvarchar(max) COLLATE Chinese_Taiwan_Stroke_CI_AS NULL,
    [c26] ntext COLLATE Chinese_Taiwan_Stroke_CI_AS NULL,
    [c27] binary(16) NULL,
    [c28] varbinary(100) NULL,
    [c29] varbinary(max) NULL,
    [c30] image NULL,
    [c31] binary(8) NULL,
    [c32] xml NULL,
    [c33] hierarchyid NULL,
    [c34] geometry NULL,
    [c35] geography NULL,
    [c36] json NULL,
    [c37] sql_variant NULL,
    [c38] vector(3) NULL,
    [_op_] nvarchar(1) NOT NULL,
    [_row] bigint NOT NULL
);
INSERT INTO [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] WITH (TABLOCK) ([c1], [c2], [c3], [c4], [c5], [c6], [c7], [c8], [c9], [c10], [c11], [c12], [c13], [c14], [c15], [c16], [c17], [c18], [c19], [c20], [c21], [c22], [c23], [c24], [c25], [c26], [c27], [c28], [c29], [c30], [c31], [c32], [c33], [c34], [c35], [c36], [c37], [c38], [_op_], [_row]) SELECT n.[c1], n.[c2], n.[c3], n.[c4], n.[c5], n.[c6], n.[c7], n.[c8], n.[c9], n.[c10], n.[c11], n.[c12], n.[c13], n.[c14], n.[c15], n.[c16], n.[c17], n.[c18], n.[c19], n.[c20], n.[c21], n.[c22], n.[c23], n.[c24], n.[c25], n.[c26], n.[c27], n.[c28], n.[c29], n.[c30], n.[c31], n.[c32], n.[c33], n.[c34], n.[c35], n.[c36], n.[c37], n.[c38], n.[_op_], ROW_NUMBER() OVER (ORDER BY n.[_op_], n.[c1]) FROM (SELECT n.[c1], n.[c2], n.[c3], n.[c4], n.[c5], n.[c6], n.[c7], n.[c8], n.[c9], n.[c10], n.[c11], n.[c12], n.[c13], n.[c14], n.[c15], n.[c16], n.[c17], n.[c18], n.[c19], n.[c20], n.[c21], n.[c22], n.[c23], n.[c24], n.[c25], n.[c26], n.[c27], n.[c28], n.[c29], n.[c30], n.[c31], n.[c32], n.[c33], n.[c34], n.[c35], n.[c36], n.[c37], n.[c38], n.[_op_] FROM (SELECT s.[c1] AS [c1], s.[c2] AS [c2], s.[c3] AS [c3], s.[c4] AS [c4], s.[c5] AS [c5], s.[c6] AS [c6], s.[c7] AS [c7], s.[c8] AS [c8], s.[c9] AS [c9], s.[c10] AS [c10], s.[c11] AS [c11], s.[c12] AS [c12], s.[c13] AS [c13], s.[c14] AS [c14], s.[c15] AS [c15], s.[c16] AS [c16], s.[c17] AS [c17], s.[c18] AS [c18], CONVERT(char(10), s.[c19]) AS [c19], CONVERT(varchar(8000), s.[c20]) AS [c20], CONVERT(varchar(max), s.[c21]) AS [c21], CONVERT(text, s.[c22]) AS [c22], CONVERT(nchar(10), s.[c23]) AS [c23], s.[c24] AS [c24], s.[c25] AS [c25], CONVERT(ntext, s.[c26]) AS [c26], s.[c27] AS [c27], s.[c28] AS [c28], s.[c29] AS [c29], CONVERT(image, s.[c30]) AS [c30], s.[c31] AS [c31], CONVERT(xml, s.[c32], 1) AS [c32], CONVERT(hierarchyid, s.[c33]) AS [c33], CONVERT(geometry, s.[c34]) AS [c34], CONVERT(geography, s.[c35]) AS [c35], CONVERT(json, s.[c36]) AS [c36], CASE s.[_type37] WHEN N'int' THEN CONVERT(sql_variant, CONVERT(int, s.[c37])) WHEN N'decimal(10,2)' THEN CONVERT(sql_variant, CONVERT(decimal(10,2), s.[c37])) WHEN N'varchar(20) COLLATE Polish_CI_AS' THEN CONVERT(sql_variant, CONVERT(varchar(20), s.[c37] COLLATE Polish_CI_AS)) WHEN N'binary(4)' THEN CONVERT(sql_variant, CONVERT(binary(4), s.[c37], 1)) END AS [c37], CONVERT(vector(3), s.[c38]) AS [c38], s.[_op_], ROW_NUMBER() OVER (PARTITION BY s.[c1] ORDER BY s.[_seg] DESC, s.[_op_] DESC) AS [_rank] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s) AS n WHERE n.[_rank] = 1) AS n;
BEGIN TRY
    CREATE UNIQUE CLUSTERED INDEX [net_key] ON [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] ([c1]);
END TRY
BEGIN CATCH
    IF ERROR_NUMBER() NOT IN (1919, 1944, 1946) THROW;
END CATCH;
CREATE UNIQUE INDEX [net_row] ON [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] ([_row]);
DROP TABLE [icesync].[stg_00000000000000ff_018f0000000070008000000000000001];
SELECT COUNT_BIG(CASE WHEN s.[_op_] = 'U' THEN 1 END) AS upserts, COUNT_BIG(CASE WHEN s.[_op_] = 'D' THEN 1 END) AS deletes FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS s;
SET LOCK_TIMEOUT -1;
