SET NOCOUNT ON; SET XACT_ABORT OFF; SET LOCK_TIMEOUT 60000;
DECLARE @staged bigint = 0, @inserted bigint = 0, @updated bigint = 0, @deleted bigint = 0, @unchanged bigint = 0;
DECLARE @example nvarchar(1000), @message nvarchar(4000), @procedure nvarchar(128);
DECLARE @number int, @severity int, @state int, @line int;
SAVE TRANSACTION icesync_part;
BEGIN TRY
SELECT @staged = COUNT_BIG(*) FROM (SELECT n.[區域], n.[modified], n.[at], n.[code], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE (n.[_row] BETWEEN 1 AND 3 OR n.[_row] = 7)) AS s WHERE s.[_op_] = 'U';
CREATE TABLE #actions ([action] nvarchar(10) COLLATE DATABASE_DEFAULT NOT NULL);
MERGE [sales].[訂單] WITH (HOLDLOCK) AS d
USING (SELECT n.[區域], n.[modified], n.[at], n.[code], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE (n.[_row] BETWEEN 1 AND 3 OR n.[_row] = 7)) AS s
ON d.[區域] = s.[區域] AND d.[at] = s.[at] AND d.[code] = s.[code] AND (s.[_op_] = 'U' OR EXISTS (SELECT CONVERT(varbinary(20), s.[區域]), DATALENGTH(s.[區域]), CONVERT(varbinary(20), s.[code]), DATALENGTH(s.[code]) INTERSECT SELECT CONVERT(varbinary(20), d.[區域]), DATALENGTH(d.[區域]), CONVERT(varbinary(20), d.[code]), DATALENGTH(d.[code])))
WHEN MATCHED AND s.[_op_] = 'D' THEN DELETE
WHEN MATCHED AND s.[_op_] = 'U' AND EXISTS (SELECT CONVERT(varbinary(20), s.[區域]), DATALENGTH(s.[區域]), s.[modified], CONVERT(varbinary(20), s.[code]), DATALENGTH(s.[code]) EXCEPT SELECT CONVERT(varbinary(20), d.[區域]), DATALENGTH(d.[區域]), d.[modified], CONVERT(varbinary(20), d.[code]), DATALENGTH(d.[code])) THEN UPDATE SET d.[區域] = s.[區域], d.[modified] = s.[modified], d.[code] = s.[code]
WHEN NOT MATCHED BY TARGET AND s.[_op_] = 'U' THEN INSERT ([區域], [modified], [at], [code]) VALUES (s.[區域], s.[modified], s.[at], s.[code])
OUTPUT $action INTO #actions ([action]);
SELECT @inserted = COUNT_BIG(CASE WHEN a.[action] = N'INSERT' THEN 1 END), @updated = COUNT_BIG(CASE WHEN a.[action] = N'UPDATE' THEN 1 END), @deleted = @deleted + COUNT_BIG(CASE WHEN a.[action] = N'DELETE' THEN 1 END) FROM #actions AS a;
DROP TABLE #actions;
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
