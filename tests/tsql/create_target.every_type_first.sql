-- @p1 nvarchar Some("dbo.every_type")
-- @p2 nvarchar Some("018f0000000070008000000000000001")
-- @p3 nvarchar Some("sales.orders")
-- @p4 nvarchar Some("6f1c2a34-0000-4000-8000-000000000001")
-- @p5 bigint Some(-1)
-- @p6 bigint Some(0)
-- @p7 nvarchar Some("upsert")
-- @p8 nvarchar Some("[dbo].[every_type]")
-- @p9 nvarchar None
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
    INSERT [icesync].[load_state] ([target], [lake_table], [table_uuid], [snapshot_id], [sequence_number], [run_id], [loaded_at], [inserted], [updated], [deleted], [unchanged], [merge_mode]) VALUES (@p1, @p3, @p4, @p5, @p6, @p2, SYSUTCDATETIME(), 0, 0, 0, 0, @p7);
END TRY
BEGIN CATCH
    IF ERROR_NUMBER() IN (2601, 2627) THROW 51003, N'the load state has moved', 1;
    THROW;
END CATCH;
SET @object = OBJECT_ID(@p8);
SELECT @created = CONVERT(nvarchar(30), o.create_date, 126) FROM sys.objects AS o WHERE o.object_id = @object;
UPDATE s SET s.[inserted] = 0, s.[updated] = 0, s.[deleted] = 0, s.[unchanged] = 0, s.[target_object_id] = @object, s.[target_created] = @created, s.[loaded_columns] = @p9 FROM [icesync].[load_state] AS s WHERE s.[target] = @p1;
COMMIT TRANSACTION;
SET LOCK_TIMEOUT -1;
