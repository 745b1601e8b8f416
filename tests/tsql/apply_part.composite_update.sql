SET NOCOUNT ON; SET XACT_ABORT OFF; SET LOCK_TIMEOUT 60000;
DECLARE @staged bigint = 0, @inserted bigint = 0, @updated bigint = 0, @deleted bigint = 0, @unchanged bigint = 0;
DECLARE @example nvarchar(1000), @message nvarchar(4000), @procedure nvarchar(128);
DECLARE @number int, @severity int, @state int, @line int;
SAVE TRANSACTION icesync_part;
BEGIN TRY
SELECT @staged = COUNT_BIG(*) FROM (SELECT n.[區域], n.[modified], n.[at], n.[code], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE (n.[_row] BETWEEN 1 AND 3 OR n.[_row] = 7)) AS s WHERE s.[_op_] = 'U';
SELECT TOP (1) @example = CONCAT(N'(', CONVERT(nvarchar(100), s.[區域]), N', ', CONVERT(nvarchar(100), s.[at], 121), N', ', CONVERT(nvarchar(100), s.[code]), N')') FROM (SELECT n.[區域], n.[modified], n.[at], n.[code], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE (n.[_row] BETWEEN 1 AND 3 OR n.[_row] = 7)) AS s JOIN [sales].[訂單] AS d WITH (UPDLOCK, SERIALIZABLE) ON d.[區域] = s.[區域] AND d.[at] = s.[at] AND d.[code] = s.[code] GROUP BY s.[區域], s.[at], s.[code] HAVING COUNT_BIG(*) > 1;
IF @example IS NOT NULL THROW 51009, @example, 1;
DELETE d FROM [sales].[訂單] AS d WITH (UPDLOCK, SERIALIZABLE) JOIN (SELECT n.[區域], n.[modified], n.[at], n.[code], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE (n.[_row] BETWEEN 1 AND 3 OR n.[_row] = 7)) AS s ON d.[區域] = s.[區域] AND d.[at] = s.[at] AND d.[code] = s.[code] WHERE s.[_op_] = 'D' AND EXISTS (SELECT CONVERT(varbinary(20), s.[區域]), DATALENGTH(s.[區域]), CONVERT(varbinary(20), s.[code]), DATALENGTH(s.[code]) INTERSECT SELECT CONVERT(varbinary(20), d.[區域]), DATALENGTH(d.[區域]), CONVERT(varbinary(20), d.[code]), DATALENGTH(d.[code]));
SET @deleted = @deleted + ROWCOUNT_BIG();
UPDATE d SET d.[區域] = s.[區域], d.[modified] = s.[modified], d.[code] = s.[code] FROM [sales].[訂單] AS d WITH (UPDLOCK, SERIALIZABLE) JOIN (SELECT n.[區域], n.[modified], n.[at], n.[code], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE (n.[_row] BETWEEN 1 AND 3 OR n.[_row] = 7)) AS s ON d.[區域] = s.[區域] AND d.[at] = s.[at] AND d.[code] = s.[code] WHERE s.[_op_] = 'U' AND EXISTS (SELECT CONVERT(varbinary(20), s.[區域]), DATALENGTH(s.[區域]), s.[modified], CONVERT(varbinary(20), s.[code]), DATALENGTH(s.[code]) EXCEPT SELECT CONVERT(varbinary(20), d.[區域]), DATALENGTH(d.[區域]), d.[modified], CONVERT(varbinary(20), d.[code]), DATALENGTH(d.[code]));
SET @updated = ROWCOUNT_BIG();
INSERT INTO [sales].[訂單] ([區域], [modified], [at], [code]) SELECT s.[區域], s.[modified], s.[at], s.[code] FROM (SELECT n.[區域], n.[modified], n.[at], n.[code], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE (n.[_row] BETWEEN 1 AND 3 OR n.[_row] = 7)) AS s WHERE s.[_op_] = 'U' AND NOT EXISTS (SELECT 1 FROM [sales].[訂單] AS d WITH (UPDLOCK, SERIALIZABLE) WHERE d.[區域] = s.[區域] AND d.[at] = s.[at] AND d.[code] = s.[code]);
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
