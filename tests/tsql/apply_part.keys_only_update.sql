SET NOCOUNT ON; SET XACT_ABORT OFF; SET LOCK_TIMEOUT 60000;
DECLARE @staged bigint = 0, @inserted bigint = 0, @updated bigint = 0, @deleted bigint = 0, @unchanged bigint = 0;
DECLARE @example nvarchar(1000), @message nvarchar(4000), @procedure nvarchar(128);
DECLARE @number int, @severity int, @state int, @line int;
SAVE TRANSACTION icesync_part;
BEGIN TRY
SELECT @staged = COUNT_BIG(*) FROM (SELECT n.[a], n.[b], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE (n.[_row] BETWEEN 1 AND 3 OR n.[_row] = 7)) AS s WHERE s.[_op_] = 'U';
SELECT TOP (1) @example = CONCAT(N'(', CONVERT(nvarchar(100), s.[a]), N', ', CONVERT(nvarchar(100), s.[b]), N')') FROM (SELECT n.[a], n.[b], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE (n.[_row] BETWEEN 1 AND 3 OR n.[_row] = 7)) AS s JOIN [dbo].[follows] AS d WITH (UPDLOCK, SERIALIZABLE) ON d.[a] = s.[a] AND d.[b] = s.[b] GROUP BY s.[a], s.[b] HAVING COUNT_BIG(*) > 1;
IF @example IS NOT NULL THROW 51009, @example, 1;
DELETE d FROM [dbo].[follows] AS d WITH (UPDLOCK, SERIALIZABLE) JOIN (SELECT n.[a], n.[b], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE (n.[_row] BETWEEN 1 AND 3 OR n.[_row] = 7)) AS s ON d.[a] = s.[a] AND d.[b] = s.[b] WHERE s.[_op_] = 'D';
SET @deleted = @deleted + ROWCOUNT_BIG();
INSERT INTO [dbo].[follows] ([a], [b]) SELECT s.[a], s.[b] FROM (SELECT n.[a], n.[b], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE (n.[_row] BETWEEN 1 AND 3 OR n.[_row] = 7)) AS s WHERE s.[_op_] = 'U' AND NOT EXISTS (SELECT 1 FROM [dbo].[follows] AS d WITH (UPDLOCK, SERIALIZABLE) WHERE d.[a] = s.[a] AND d.[b] = s.[b]);
SET @inserted = ROWCOUNT_BIG();
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
SET LOCK_TIMEOUT -1;
SELECT @inserted AS inserted, @updated AS updated, @deleted AS deleted, @unchanged AS unchanged, @@TRANCOUNT AS open_transactions, @number AS number, @severity AS severity, @state AS state, @line AS line, @procedure AS procedure_name, @message AS message;
