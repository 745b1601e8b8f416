-- @P1 nvarchar "dbo.every_type"
-- @P2 bigint -1
-- @P3 bigint 0
-- @P4 nvarchar "018f0000000070008000000000000001"
-- @P5 nvarchar "sales.orders"
-- @P6 nvarchar "6f1c2a34-0000-4000-8000-000000000001"
-- @P7 nvarchar "upsert"
-- @P8 nvarchar "[dbo].[every_type]"
SET XACT_ABORT ON; SET LOCK_TIMEOUT 20000;
DECLARE @object int, @created nvarchar(30);
BEGIN TRANSACTION;
CREATE TABLE [dbo].[every_type] (
    [c1] uniqueidentifier NOT NULL,
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
    CONSTRAINT [PK_every_type] PRIMARY KEY ([c1])
);
BEGIN TRY
    INSERT [icesync].[load_state] ([target], [lake_table], [table_uuid], [snapshot_id], [sequence_number], [run_id], [loaded_at], [inserted], [updated], [deleted], [unchanged], [merge_mode]) VALUES (@P1, @P5, @P6, @P2, @P3, @P4, SYSUTCDATETIME(), 0, 0, 0, 0, @P7);
END TRY
BEGIN CATCH
    IF ERROR_NUMBER() IN (2601, 2627) THROW 51003, N'the load state has moved', 1;
    THROW;
END CATCH;
SET @object = OBJECT_ID(@P8);
SELECT @created = CONVERT(nvarchar(30), o.create_date, 126) FROM sys.objects AS o WHERE o.object_id = @object;
UPDATE s SET s.[inserted] = 0, s.[updated] = 0, s.[deleted] = 0, s.[unchanged] = 0, s.[target_object_id] = @object, s.[target_created] = @created, s.[loaded_columns] = CONVERT(nvarchar(4000), NULL) FROM [icesync].[load_state] AS s WHERE s.[target] = @P1;
COMMIT TRANSACTION;
SET LOCK_TIMEOUT -1;
