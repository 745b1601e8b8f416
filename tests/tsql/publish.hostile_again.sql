-- @P1 nvarchar "icesync:apply:dbo.orders"
-- @P2 nvarchar "[a]]b.c].[it's \"odd\"; DROP TABLE x --]"
-- @P3 nvarchar "sales.orders"
-- @P4 nvarchar "6f1c2a34-0000-4000-8000-000000000001"
-- @P5 bigint 4611686018427387904
-- @P6 bigint 2
-- @P7 nvarchar "upsert"
-- @P8 nvarchar "018f0000000070008000000000000001"
-- @P9 bigint 8070450532247928832
-- @P10 nvarchar "018f0000000070008000000000000000"
-- @P11 bigint -1
-- @P12 bigint 1000
-- @P13 nvarchar "[icesync].[stg_00000000000000ff_018f0000000070008000000000000001_fill]"
-- @P14 nvarchar "[a]]b.c].[it's \"odd\"; DROP TABLE x --]"
-- @P15 nvarchar "[a]]b.c].[stg_00000000000000ff_018f0000000070008000000000000001_fill]"
-- @P16 nvarchar "it's \"odd\"; DROP TABLE x --"
-- @P17 nvarchar "018f0000000070008000000000000001"
-- @P18 nvarchar "icesync:apply:dbo.orders"
-- @P19 nvarchar "PK_it's \"odd\"; DROP TABLE x --"
-- @P20 nvarchar "it's"
-- @P21 nvarchar "_018f0000000070008000000000000001"
-- @P22 nvarchar "[a]]b.c]."
SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
DECLARE @rc int, @filled bigint, @object int, @created nvarchar(30), @message nvarchar(2000);
BEGIN TRANSACTION;
EXEC @rc = sp_getapplock @Resource = @P1, @LockMode = N'Exclusive', @LockOwner = N'Transaction', @LockTimeout = 60000;
IF @rc < 0 THROW 51002, N'another load of this target is in its transaction', 1;
UPDATE s SET s.[merge_mode] = @P7, s.[lake_table] = @P3, s.[table_uuid] = @P4, s.[snapshot_id] = @P5, s.[sequence_number] = @P6, s.[pending_snapshot_id] = NULL, s.[pending_sequence_number] = NULL, s.[pending_rows] = NULL, s.[pending_applied] = NULL, s.[pending_whole] = NULL, s.[run_id] = @P8, s.[loaded_at] = SYSUTCDATETIME() FROM [icesync].[load_state] AS s WITH (UPDLOCK, ROWLOCK) WHERE s.[target] = @P2 AND s.[snapshot_id] = @P9 AND s.[run_id] = @P10 AND ISNULL(s.[pending_applied], -1) = @P11;
IF @@ROWCOUNT <> 1 THROW 51003, N'the load state has moved', 1;
SELECT @filled = COUNT_BIG(*) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_fill] AS s WITH (TABLOCKX, HOLDLOCK);
IF @filled <> @P12
BEGIN
    SET @message = CONCAT(N'', @P12, N' rows were sent to the table that is filled and it holds ', @filled);
    THROW 51007, @message, 1;
END;
IF OBJECT_ID(@P14) IS NOT NULL THROW 51011, N'the target table is there', 1;
SET @object = OBJECT_ID(@P13);
ALTER SCHEMA [a]]b.c] TRANSFER [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_fill];
EXEC @rc = sp_rename @objname = @P15, @newname = @P16, @objtype = N'OBJECT';
IF @rc <> 0 OR ISNULL(OBJECT_ID(@P14), 0) <> @object THROW 51011, N'the target table is there', 1;
DECLARE @names TABLE (number int NOT NULL PRIMARY KEY, name nvarchar(128) NOT NULL);
INSERT @names (number, name) VALUES (1, @P19), (2, @P20);
DECLARE @at int = 0, @plain nvarchar(128), @old nvarchar(600);
WHILE @at < 2
BEGIN
    SET @at = @at + 1;
    SELECT @plain = n.name FROM @names AS n WHERE n.number = @at;
    SET @old = @P22 + QUOTENAME(@plain + @P21);
    IF OBJECT_ID(@old) IS NOT NULL AND OBJECT_ID(@P22 + QUOTENAME(@plain)) IS NULL AND NOT EXISTS (SELECT 1 FROM sys.indexes AS i WHERE i.object_id = @object AND i.name = @plain)
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
UPDATE s SET s.[inserted] = @filled, s.[updated] = 0, s.[deleted] = 0, s.[unchanged] = 0, s.[target_object_id] = @object, s.[target_created] = @created, s.[loaded_columns] = CONVERT(nvarchar(4000), NULL) FROM [icesync].[load_state] AS s WHERE s.[target] = @P2 AND s.[run_id] = @P17;
IF @@ROWCOUNT <> 1 OR APPLOCK_MODE(N'public', @P18, N'Transaction') <> N'Exclusive' THROW 51012, N'a trigger has ended the transaction of the load', 1;
COMMIT TRANSACTION;
SET LOCK_TIMEOUT -1;
SELECT @filled AS inserted, CONVERT(bigint, 0) AS updated, CONVERT(bigint, 0) AS deleted, CONVERT(bigint, 0) AS unchanged, CONVERT(bigint, 0) AS target_only;
