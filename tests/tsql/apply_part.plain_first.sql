SET NOCOUNT ON; SET XACT_ABORT OFF; SET LOCK_TIMEOUT 60000;
DECLARE @staged bigint = 0, @inserted bigint = 0, @updated bigint = 0, @deleted bigint = 0, @unchanged bigint = 0;
DECLARE @example nvarchar(1000), @message nvarchar(4000), @procedure nvarchar(128);
DECLARE @number int, @severity int, @state int, @line int;
SAVE TRANSACTION icesync_part;
BEGIN TRY
SELECT @staged = COUNT_BIG(*) FROM (SELECT n.[order_id], n.[rv], n.[quantity], n.[note], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE (n.[_row] BETWEEN 1 AND 3 OR n.[_row] = 7)) AS s WHERE s.[_op_] = 'U';
SET IDENTITY_INSERT [dbo].[orders] ON;
IF NOT EXISTS (SELECT 1 FROM [dbo].[orders] WITH (TABLOCKX, HOLDLOCK))
BEGIN
INSERT INTO [dbo].[orders] WITH (TABLOCK) ([order_id], [rv], [quantity], [note]) SELECT s.[order_id], s.[rv], s.[quantity], s.[note] FROM (SELECT n.[order_id], n.[rv], n.[quantity], n.[note], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE (n.[_row] BETWEEN 1 AND 3 OR n.[_row] = 7)) AS s WHERE s.[_op_] = 'U';
SET @inserted = ROWCOUNT_BIG();
IF @inserted <> @staged THROW 51007, N'the target did not take every row', 1;
END
ELSE
BEGIN
CREATE TABLE #actions ([action] nvarchar(10) COLLATE DATABASE_DEFAULT NOT NULL);
MERGE [dbo].[orders] WITH (HOLDLOCK) AS d
USING (SELECT n.[order_id], n.[rv], n.[quantity], n.[note], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE (n.[_row] BETWEEN 1 AND 3 OR n.[_row] = 7)) AS s
ON d.[order_id] = s.[order_id]
WHEN MATCHED AND s.[_op_] = 'D' THEN DELETE
WHEN MATCHED AND s.[_op_] = 'U' AND EXISTS (SELECT s.[rv], s.[quantity], CONVERT(varbinary(200), s.[note]), DATALENGTH(s.[note]) EXCEPT SELECT d.[rv], d.[quantity], CONVERT(varbinary(200), d.[note]), DATALENGTH(d.[note])) THEN UPDATE SET d.[rv] = s.[rv], d.[quantity] = s.[quantity], d.[note] = s.[note]
WHEN NOT MATCHED BY TARGET AND s.[_op_] = 'U' THEN INSERT ([order_id], [rv], [quantity], [note]) VALUES (s.[order_id], s.[rv], s.[quantity], s.[note])
OUTPUT $action INTO #actions ([action]);
SELECT @inserted = COUNT_BIG(CASE WHEN a.[action] = N'INSERT' THEN 1 END), @updated = COUNT_BIG(CASE WHEN a.[action] = N'UPDATE' THEN 1 END), @deleted = @deleted + COUNT_BIG(CASE WHEN a.[action] = N'DELETE' THEN 1 END) FROM #actions AS a;
DROP TABLE #actions;
END;
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
