-- @P1 nvarchar "icesync:apply:dbo.orders"
-- @P2 nvarchar "dbo.follows"
-- @P3 bigint 4611686018427387904
-- @P4 bigint 2
-- @P5 nvarchar "018f0000000070008000000000000001"
-- @P6 nvarchar "sales.orders"
-- @P7 nvarchar "6f1c2a34-0000-4000-8000-000000000001"
-- @P8 nvarchar "upsert"
-- @P9 bigint 1000
-- @P10 nvarchar "[icesync].[stg_00000000000000ff_018f0000000070008000000000000001_fill]"
-- @P11 nvarchar "[dbo].[follows]"
-- @P12 nvarchar "[dbo].[stg_00000000000000ff_018f0000000070008000000000000001_fill]"
-- @P13 nvarchar "follows"
-- @P14 nvarchar "018f0000000070008000000000000001"
-- @P15 nvarchar "icesync:apply:dbo.orders"
-- @P16 nvarchar "PK_follows"
-- @P17 nvarchar "it's"
-- @P18 nvarchar "_018f0000000070008000000000000001"
-- @P19 nvarchar "[dbo]."
SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
DECLARE @rc int, @filled bigint, @object int, @created nvarchar(30), @message nvarchar(2000);
BEGIN TRANSACTION;
EXEC @rc = sp_getapplock @Resource = @P1, @LockMode = N'Exclusive', @LockOwner = N'Transaction', @LockTimeout = 60000;
IF @rc < 0 THROW 51002, N'another load of this target is in its transaction', 1;
BEGIN TRY
    INSERT [icesync].[load_state] ([target], [lake_table], [table_uuid], [snapshot_id], [sequence_number], [run_id], [loaded_at], [inserted], [updated], [deleted], [unchanged], [merge_mode]) VALUES (@P2, @P6, @P7, @P3, @P4, @P5, SYSUTCDATETIME(), 0, 0, 0, 0, @P8);
END TRY
BEGIN CATCH
    IF ERROR_NUMBER() IN (2601, 2627) THROW 51003, N'the load state has moved', 1;
    THROW;
END CATCH;
SELECT @filled = COUNT_BIG(*) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_fill] AS s WITH (TABLOCKX, HOLDLOCK);
IF @filled <> @P9
BEGIN
    SET @message = CONCAT(N'', @P9, N' rows were sent to the table that is filled and it holds ', @filled);
    THROW 51007, @message, 1;
END;
IF OBJECT_ID(@P11) IS NOT NULL THROW 51011, N'the target table is there', 1;
SET @object = OBJECT_ID(@P10);
ALTER SCHEMA [dbo] TRANSFER [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_fill];
EXEC @rc = sp_rename @objname = @P12, @newname = @P13, @objtype = N'OBJECT';
IF @rc <> 0 OR ISNULL(OBJECT_ID(@P11), 0) <> @object THROW 51011, N'the target table is there', 1;
DECLARE @names TABLE (number int NOT NULL PRIMARY KEY, name nvarchar(128) NOT NULL);
INSERT @names (number, name) VALUES (1, @P16), (2, @P17);
DECLARE @at int = 0, @plain nvarchar(128), @old nvarchar(600);
WHILE @at < 2
BEGIN
    SET @at = @at + 1;
    SELECT @plain = n.name FROM @names AS n WHERE n.number = @at;
    SET @old = @P19 + QUOTENAME(@plain + @P18);
    IF OBJECT_ID(@old) IS NOT NULL AND OBJECT_ID(@P19 + QUOTENAME(@plain)) IS NULL AND NOT EXISTS (SELECT 1 FROM sys.indexes AS i WHERE i.object_id = @object AND i.name = @plain)
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
UPDATE s SET s.[inserted] = @filled, s.[updated] = 0, s.[deleted] = 0, s.[unchanged] = 0, s.[target_object_id] = @object, s.[target_created] = @created, s.[loaded_columns] = CONVERT(nvarchar(4000), NULL) FROM [icesync].[load_state] AS s WHERE s.[target] = @P2 AND s.[run_id] = @P14;
IF @@ROWCOUNT <> 1 OR APPLOCK_MODE(N'public', @P15, N'Transaction') <> N'Exclusive' THROW 51012, N'a trigger has ended the transaction of the load', 1;
COMMIT TRANSACTION;
SET LOCK_TIMEOUT -1;
SELECT @filled AS inserted, CONVERT(bigint, 0) AS updated, CONVERT(bigint, 0) AS deleted, CONVERT(bigint, 0) AS unchanged, CONVERT(bigint, 0) AS target_only;
