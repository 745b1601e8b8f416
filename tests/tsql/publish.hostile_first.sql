-- @p1 nvarchar Some("icesync:apply:dbo.orders")
-- @p2 nvarchar Some("[a]]b.c].[it's \"odd\"; DROP TABLE x --]")
-- @p3 nvarchar Some("sales.orders")
-- @p4 nvarchar Some("6f1c2a34-0000-4000-8000-000000000001")
-- @p5 bigint Some(4611686018427387904)
-- @p6 bigint Some(2)
-- @p7 nvarchar Some("018f0000000070008000000000000001")
-- @p8 bigint Some(1000)
-- @p9 nvarchar Some("[icesync].[stg_00000000000000ff_018f0000000070008000000000000001_fill]")
-- @p10 nvarchar Some("[a]]b.c].[it's \"odd\"; DROP TABLE x --]")
-- @p11 nvarchar Some("[a]]b.c].[stg_00000000000000ff_018f0000000070008000000000000001_fill]")
-- @p12 nvarchar Some("it's \"odd\"; DROP TABLE x --")
-- @p13 nvarchar None
SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
DECLARE @rc int, @filled bigint, @object int, @created nvarchar(30), @message nvarchar(2000);
BEGIN TRANSACTION;
EXEC @rc = sp_getapplock @Resource = @p1, @LockMode = N'Exclusive', @LockOwner = N'Transaction', @LockTimeout = 60000;
IF @rc < 0 THROW 51002, N'another load of this target is in its transaction', 1;
BEGIN TRY
    INSERT [icesync].[load_state] ([target], [lake_table], [table_uuid], [snapshot_id], [sequence_number], [run_id], [loaded_at], [inserted], [updated], [deleted], [unchanged]) VALUES (@p2, @p3, @p4, @p5, @p6, @p7, SYSUTCDATETIME(), 0, 0, 0, 0);
END TRY
BEGIN CATCH
    IF ERROR_NUMBER() IN (2601, 2627) THROW 51003, N'the load state has moved', 1;
    THROW;
END CATCH;
SELECT @filled = COUNT_BIG(*) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_fill] AS s WITH (TABLOCKX, HOLDLOCK);
IF @filled <> @p8
BEGIN
    SET @message = CONCAT(N'', @p8, N' rows were sent to the table that is filled and it holds ', @filled);
    THROW 51007, @message, 1;
END;
IF OBJECT_ID(@p10) IS NOT NULL THROW 51011, N'the target table is there', 1;
SET @object = OBJECT_ID(@p9);
ALTER SCHEMA [a]]b.c] TRANSFER [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_fill];
EXEC @rc = sp_rename @objname = @p11, @newname = @p12, @objtype = N'OBJECT';
IF @rc <> 0 OR ISNULL(OBJECT_ID(@p10), 0) <> @object THROW 51011, N'the target table is there', 1;
SELECT @created = CONVERT(nvarchar(30), o.create_date, 126) FROM sys.objects AS o WHERE o.object_id = @object;
UPDATE s SET s.[inserted] = @filled, s.[updated] = 0, s.[deleted] = 0, s.[unchanged] = 0, s.[target_object_id] = @object, s.[target_created] = @created, s.[loaded_columns] = @p13 FROM [icesync].[load_state] AS s WHERE s.[target] = @p2;
COMMIT TRANSACTION;
SET LOCK_TIMEOUT -1;
SELECT @filled AS inserted, CONVERT(bigint, 0) AS updated, CONVERT(bigint, 0) AS deleted, CONVERT(bigint, 0) AS unchanged, CONVERT(bigint, 0) AS target_only;
