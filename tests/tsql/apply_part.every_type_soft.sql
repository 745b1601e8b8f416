SET NOCOUNT ON; SET XACT_ABORT OFF; SET LOCK_TIMEOUT 60000;
DECLARE @staged bigint = 0, @inserted bigint = 0, @updated bigint = 0, @deleted bigint = 0, @unchanged bigint = 0;
DECLARE @example nvarchar(1000), @message nvarchar(4000), @procedure nvarchar(128);
DECLARE @number int, @severity int, @state int, @line int;
SAVE TRANSACTION icesync_part;
BEGIN TRY
SELECT @staged = COUNT_BIG(*) FROM (SELECT n.[c1], n.[c2], n.[c3], n.[c4], n.[c5], n.[c6], n.[c7], n.[c8], n.[c9], n.[c10], n.[c11], n.[c12], n.[c13], n.[c14], n.[c15], n.[c16], n.[c17], n.[c18], n.[c19], n.[c20], n.[c21], n.[c22], n.[c23], n.[c24], n.[c25], n.[c26], n.[c27], n.[c28], n.[c29], n.[c30], n.[c31], n.[c32], n.[c33], n.[c34], n.[c35], n.[c36], n.[c37], n.[c38], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE (n.[_row] BETWEEN 1 AND 3 OR n.[_row] = 7)) AS s WHERE s.[_op_] = 'U';
UPDATE d SET d.[is]]deleted] = 1, d.[deleted at] = SYSUTCDATETIME() FROM [dbo].[every_type] AS d WITH (UPDLOCK, SERIALIZABLE) JOIN (SELECT n.[c1], n.[c2], n.[c3], n.[c4], n.[c5], n.[c6], n.[c7], n.[c8], n.[c9], n.[c10], n.[c11], n.[c12], n.[c13], n.[c14], n.[c15], n.[c16], n.[c17], n.[c18], n.[c19], n.[c20], n.[c21], n.[c22], n.[c23], n.[c24], n.[c25], n.[c26], n.[c27], n.[c28], n.[c29], n.[c30], n.[c31], n.[c32], n.[c33], n.[c34], n.[c35], n.[c36], n.[c37], n.[c38], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE (n.[_row] BETWEEN 1 AND 3 OR n.[_row] = 7)) AS s ON d.[c1] = s.[c1] WHERE s.[_op_] = 'D' AND d.[is]]deleted] = 0;
SET @deleted = @deleted + ROWCOUNT_BIG();
CREATE TABLE #actions ([action] nvarchar(10) COLLATE DATABASE_DEFAULT NOT NULL);
MERGE [dbo].[every_type] WITH (HOLDLOCK) AS d
USING (SELECT u.[c1], u.[c2], u.[c3], u.[c4], u.[c5], u.[c6], u.[c7], u.[c8], u.[c9], u.[c10], u.[c11], u.[c12], u.[c13], u.[c14], u.[c15], u.[c16], u.[c17], u.[c18], u.[c19], u.[c20], u.[c21], u.[c22], u.[c23], u.[c24], u.[c25], u.[c26], u.[c27], u.[c28], u.[c29], u.[c30], u.[c31], u.[c32], u.[c33], u.[c34], u.[c35], u.[c36], u.[c37], u.[c38], u.[_op_] FROM (SELECT n.[c1], n.[c2], n.[c3], n.[c4], n.[c5], n.[c6], n.[c7], n.[c8], n.[c9], n.[c10], n.[c11], n.[c12], n.[c13], n.[c14], n.[c15], n.[c16], n.[c17], n.[c18], n.[c19], n.[c20], n.[c21], n.[c22], n.[c23], n.[c24], n.[c25], n.[c26], n.[c27], n.[c28], n.[c29], n.[c30], n.[c31], n.[c32], n.[c33], n.[c34], n.[c35], n.[c36], n.[c37], n.[c38], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE (n.[_row] BETWEEN 1 AND 3 OR n.[_row] = 7)) AS u WHERE u.[_op_] = 'U') AS s
ON d.[c1] = s.[c1]
WHEN MATCHED AND (1 = 1 OR d.[is]]deleted] = 1) THEN UPDATE SET d.[c2] = s.[c2], d.[c3] = s.[c3], d.[c4] = s.[c4], d.[c5] = s.[c5], d.[c6] = s.[c6], d.[c7] = s.[c7], d.[c8] = s.[c8], d.[c9] = s.[c9], d.[c10] = s.[c10], d.[c11] = s.[c11], d.[c12] = s.[c12], d.[c13] = s.[c13], d.[c14] = s.[c14], d.[c15] = s.[c15], d.[c16] = s.[c16], d.[c17] = s.[c17], d.[c18] = s.[c18], d.[c19] = s.[c19], d.[c20] = s.[c20], d.[c21] = s.[c21], d.[c22] = s.[c22], d.[c23] = s.[c23], d.[c24] = s.[c24], d.[c25] = s.[c25], d.[c26] = s.[c26], d.[c27] = s.[c27], d.[c28] = s.[c28], d.[c29] = s.[c29], d.[c30] = s.[c30], d.[c31] = s.[c31], d.[c32] = s.[c32], d.[c33] = s.[c33], d.[c34] = s.[c34], d.[c35] = s.[c35], d.[c36] = s.[c36], d.[c37] = s.[c37], d.[c38] = s.[c38], d.[is]]deleted] = 0, d.[deleted at] = NULL
WHEN NOT MATCHED BY TARGET THEN INSERT ([c1], [c2], [c3], [c4], [c5], [c6], [c7], [c8], [c9], [c10], [c11], [c12], [c13], [c14], [c15], [c16], [c17], [c18], [c19], [c20], [c21], [c22], [c23], [c24], [c25], [c26], [c27], [c28], [c29], [c30], [c31], [c32], [c33], [c34], [c35], [c36], [c37], [c38]) VALUES (s.[c1], s.[c2], s.[c3], s.[c4], s.[c5], s.[c6], s.[c7], s.[c8], s.[c9], s.[c10], s.[c11], s.[c12], s.[c13], s.[c14], s.[c15], s.[c16], s.[c17], s.[c18], s.[c19], s.[c20], s.[c21], s.[c22], s.[c23], s.[c24], s.[c25], s.[c26], s.[c27], s.[c28], s.[c29], s.[c30], s.[c31], s.[c32], s.[c33], s.[c34], s.[c35], s.[c36], s.[c37], s.[c38])
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
