-- @P1 nvarchar "[icesync].[stg_00000000000000ff_018f0000000070008000000000000001_fill]"
DECLARE @last decimal(38, 0), @known decimal(38, 0), @sql nvarchar(1000);
SELECT @last = MIN(s.[rv]) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_fill] AS s;
SELECT @known = CONVERT(decimal(38, 0), c.last_value) FROM sys.identity_columns AS c WHERE c.object_id = OBJECT_ID(@P1);
IF @last IS NOT NULL AND (@known IS NULL OR @last < @known)
BEGIN
    SET @sql = CONCAT(N'DBCC CHECKIDENT (N', QUOTENAME(@P1, N''''), N', RESEED, ', @last, N') WITH NO_INFOMSGS;');
    EXEC (@sql);
END;
