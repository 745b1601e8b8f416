-- @P1 nvarchar "it's [odd]"
DECLARE @sql nvarchar(400) = N'CREATE SCHEMA ' + QUOTENAME(@P1);
IF SCHEMA_ID(@P1) IS NULL
BEGIN
    BEGIN TRY
        EXEC (@sql);
    END TRY
    BEGIN CATCH
        IF SCHEMA_ID(@P1) IS NULL THROW;
    END CATCH;
END;
