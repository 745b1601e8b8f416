-- @p1 nvarchar Some("icesync:apply:dbo.orders")
-- @p2 nvarchar Some("[a]]b.c].[it's \"odd\"; DROP TABLE x --]")
-- @p3 nvarchar Some("018f0000000070008000000000000001")
-- @p4 nvarchar Some("sales.orders")
-- @p5 nvarchar Some("6f1c2a34-0000-4000-8000-000000000001")
-- @p6 bigint Some(4611686018427387904)
-- @p7 bigint Some(2)
-- @p8 nvarchar Some("upsert")
-- @p9 bigint Some(8070450532247928832)
-- @p10 nvarchar Some("018f0000000070008000000000000000")
-- @p11 bigint Some(-1)
-- @p12 bigint Some(1000)
-- @p13 nvarchar Some("[icesync].[stg_00000000000000ff_018f0000000070008000000000000001_fill]")
-- @p14 nvarchar Some("[a]]b.c].[it's \"odd\"; DROP TABLE x --]")
-- @p15 nvarchar Some("[a]]b.c].[stg_00000000000000ff_018f0000000070008000000000000001_fill]")
-- @p16 nvarchar Some("it's \"odd\"; DROP TABLE x --")
-- @p17 nvarchar None
-- @p18 nvarchar Some("PK_it's \"odd\"; DROP TABLE x --")
-- @p19 nvarchar Some("it's")
-- @p20 nvarchar Some("_018f0000000070008000000000000001")
-- @p21 nvarchar Some("[a]]b.c].")
SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
DECLARE @rc int, @filled bigint, @object int, @created nvarchar(30), @message nvarchar(2000);
BEGIN TRANSACTION;
EXEC @rc = sp_getapplock @Resource = @p1, @LockMode = N'Exclusive', @LockOwner = N'Transaction', @LockTimeout = 60000;
IF @rc < 0 THROW 51002, N'another load of this target is in its transaction', 1;
UPDATE s SET s.[merge_mode] = @p8, s.[lake_table] = @p4, s.[table_uuid] = @p5, s.[snapshot_id] = @p6, s.[sequence_number] = @p7, s.[pending_snapshot_id] = NULL, s.[pending_sequence_number] = NULL, s.[pending_rows] = NULL, s.[pending_applied] = NULL, s.[run_id] = @p3, s.[loaded_at] = SYSUTCDATETIME() FROM [icesync].[load_state] AS s WITH (UPDLOCK, ROWLOCK) WHERE s.[target] = @p2 AND s.[snapshot_id] = @p9 AND s.[run_id] = @p10 AND ISNULL(s.[pending_applied], -1) = @p11;
IF @@ROWCOUNT <> 1 THROW 51003, N'the load state has moved', 1;
SELECT @filled = COUNT_BIG(*) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_fill] AS s WITH (TABLOCKX, HOLDLOCK);
IF @filled <> @p12
BEGIN
    SET @message = CONCAT(N'', @p12, N' rows were sent to the table that is filled and it holds ', @filled);
    THROW 51007, @message, 1;
END;
IF OBJECT_ID(@p14) IS NOT NULL THROW 51011, N'the target table is there', 1;
SET @object = OBJECT_ID(@p13);
ALTER SCHEMA [a]]b.c] TRANSFER [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_fill];
EXEC @rc = sp_rename @objname = @p15, @newname = @p16, @objtype = N'OBJECT';
IF @rc <> 0 OR ISNULL(OBJECT_ID(@p14), 0) <> @object THROW 51011, N'the target table is there', 1;
DECLARE @names TABLE (number int NOT NULL PRIMARY KEY, name nvarchar(128) NOT NULL);
INSERT @names (number, name) VALUES (1, @p18), (2, @p19);
DECLARE @at int = 0, @plain nvarchar(128), @old nvarchar(600);
WHILE @at < 2
BEGIN
    SET @at = @at + 1;
    SELECT @plain = n.name FROM @names AS n WHERE n.number = @at;
    SET @old = @p21 + QUOTENAME(@plain + @p20);
    IF OBJECT_ID(@old) IS NOT NULL AND OBJECT_ID(@p21 + QUOTENAME(@plain)) IS NULL AND NOT EXISTS (SELECT 1 FROM sys.indexes AS i WHERE i.object_id = @object AND i.name = @plain)
    BEGIN
        BEGIN TRY
            EXEC sp_rename @objname = @old, @newname = @plain, @objtype = N'OBJECT';
        END TRY
        BEGIN CATCH
            IF XACT_STATE() <> 1 THROW;
        END CATCH;
    END;
END;
SELECT @created = CONVERT(nvarchar(30), o.create_date, 126) FROM sys.objects AS o WHERE o.object_id = @object;
UPDATE s SET s.[inserted] = @filled, s.[updated] = 0, s.[deleted] = 0, s.[unchanged] = 0, s.[target_object_id] = @object, s.[target_created] = @created, s.[loaded_columns] = @p17 FROM [icesync].[load_state] AS s WHERE s.[target] = @p2;
COMMIT TRANSACTION;
SET LOCK_TIMEOUT -1;
SELECT @filled AS inserted, CONVERT(bigint, 0) AS updated, CONVERT(bigint, 0) AS deleted, CONVERT(bigint, 0) AS unchanged, CONVERT(bigint, 0) AS target_only;
