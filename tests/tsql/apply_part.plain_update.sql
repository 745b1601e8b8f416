SET NOCOUNT ON; SET XACT_ABORT OFF; SET LOCK_TIMEOUT 60000;
DECLARE @staged bigint = 0, @inserted bigint = 0, @updated bigint = 0, @deleted bigint = 0, @unchanged bigint = 0;
DECLARE @example nvarchar(1000), @message nvarchar(4000), @procedure nvarchar(128);
DECLARE @number int, @severity int, @state int, @line int;
SAVE TRANSACTION icesync_part;
BEGIN TRY
SELECT @staged = COUNT_BIG(*) FROM (SELECT n.[order_id], n.[rv], n.[quantity], n.[note], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE (n.[_row] BETWEEN 1 AND 3 OR n.[_row] = 7)) AS s WHERE s.[_op_] = 'U';
SET IDENTITY_INSERT [dbo].[orders] ON;
SELECT TOP (1) @example = CONCAT(N'(', CONVERT(nvarchar(100), s.[order_id]), N')') FROM (SELECT n.[order_id], n.[rv], n.[quantity], n.[note], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE (n.[_row] BETWEEN 1 AND 3 OR n.[_row] = 7)) AS s JOIN [dbo].[orders] AS d WITH (UPDLOCK, SERIALIZABLE) ON d.[order_id] = s.[order_id] GROUP BY s.[order_id] HAVING COUNT_BIG(*) > 1;
IF @example IS NOT NULL THROW 51009, @example, 1;
DELETE d FROM [dbo].[orders] AS d WITH (UPDLOCK, SERIALIZABLE) JOIN (SELECT n.[order_id], n.[rv], n.[quantity], n.[note], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE (n.[_row] BETWEEN 1 AND 3 OR n.[_row] = 7)) AS s ON d.[order_id] = s.[order_id] WHERE s.[_op_] = 'D';
SET @deleted = @deleted + ROWCOUNT_BIG();
UPDATE d SET d.[rv] = s.[rv], d.[quantity] = s.[quantity], d.[note] = s.[note] FROM [dbo].[orders] AS d WITH (UPDLOCK, SERIALIZABLE) JOIN (SELECT n.[order_id], n.[rv], n.[quantity], n.[note], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE (n.[_row] BETWEEN 1 AND 3 OR n.[_row] = 7)) AS s ON d.[order_id] = s.[order_id] WHERE s.[_op_] = 'U' AND EXISTS (SELECT s.[rv], s.[quantity], CONVERT(varbinary(200), s.[note]), DATALENGTH(s.[note]) EXCEPT SELECT d.[rv], d.[quantity], CONVERT(varbinary(200), d.[note]), DATALENGTH(d.[note]));
SET @updated = ROWCOUNT_BIG();
INSERT INTO [dbo].[orders] ([order_id], [rv], [quantity], [note]) SELECT s.[order_id], s.[rv], s.[quantity], s.[note] FROM (SELECT n.[order_id], n.[rv], n.[quantity], n.[note], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE (n.[_row] BETWEEN 1 AND 3 OR n.[_row] = 7)) AS s WHERE s.[_op_] = 'U' AND NOT EXISTS (SELECT 1 FROM [dbo].[orders] AS d WITH (UPDLOCK, SERIALIZABLE) WHERE d.[order_id] = s.[order_id]);
SET @inserted = ROWCOUNT_BIG();
SET IDENTITY_INSERT [dbo].[orders] OFF;
IF @staged > @inserted + @updated SET @unchanged = @staged - @inserted - @updated;
END TRY
BEGIN CATCH
    SELECT @number = ERROR_NUMBER(), @severity = ERROR_SEVERITY(), @state = ERROR_STATE(), @line = ERROR_LINE(), @procedure = ERROR_PROCEDURE(), @message = ERROR_MESSAGE();
    BEGIN TRY
        IF XACT_STATE() = 1 ROLLBACK TRANSACTION icesync_part;
    END TRY
    BEGIN CATCH
        ROLLBACK TRANSACTION;
        SELECT @number = 51012, @message = N'a trigger has ended the transaction of the load';
    END CATCH;
    IF XACT_STATE() = -1 ROLLBACK TRANSACTION;
END CATCH;
SET IDENTITY_INSERT [dbo].[orders] OFF;
SET LOCK_TIMEOUT -1;
SELECT @inserted AS inserted, @updated AS updated, @deleted AS deleted, @unchanged AS unchanged, @@TRANCOUNT AS open_transactions, @number AS number, @severity AS severity, @state AS state, @line AS line, @procedure AS procedure_name, @message AS message;
