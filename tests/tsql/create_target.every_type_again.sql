-- @P1 nvarchar "dbo.every_type"
-- @P2 nvarchar "sales.orders"
-- @P3 nvarchar "6f1c2a34-0000-4000-8000-000000000001"
-- @P4 bigint -1
-- @P5 bigint 0
-- @P6 nvarchar "upsert"
-- @P7 nvarchar "018f0000000070008000000000000001"
-- @P8 bigint -1
-- @P9 nvarchar "018f0000000070008000000000000000"
-- @P10 bigint -1
-- @P11 nvarchar "[dbo].[every_type]"
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
UPDATE s SET s.[merge_mode] = @P6, s.[lake_table] = @P2, s.[table_uuid] = @P3, s.[snapshot_id] = @P4, s.[sequence_number] = @P5, s.[pending_snapshot_id] = NULL, s.[pending_sequence_number] = NULL, s.[pending_rows] = NULL, s.[pending_applied] = NULL, s.[pending_whole] = NULL, s.[run_id] = @P7, s.[loaded_at] = SYSUTCDATETIME() FROM [icesync].[load_state] AS s WITH (UPDLOCK, ROWLOCK) WHERE s.[target] = @P1 AND s.[snapshot_id] = @P8 AND s.[run_id] = @P9 AND ISNULL(s.[pending_applied], -1) = @P10;
IF @@ROWCOUNT <> 1 THROW 51003, N'the load state has moved', 1;
SET @object = OBJECT_ID(@P11);
SELECT @created = CONVERT(nvarchar(30), o.create_date, 126) FROM sys.objects AS o WHERE o.object_id = @object;
UPDATE s SET s.[inserted] = 0, s.[updated] = 0, s.[deleted] = 0, s.[unchanged] = 0, s.[target_object_id] = @object, s.[target_created] = @created, s.[loaded_columns] = CONVERT(nvarchar(4000), NULL) FROM [icesync].[load_state] AS s WHERE s.[target] = @P1;
COMMIT TRANSACTION;
SET LOCK_TIMEOUT -1;
