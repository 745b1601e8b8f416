-- @p1 nvarchar Some("it's [odd]")
DECLARE @sql nvarchar(400) = N'CREATE SCHEMA ' + QUOTENAME(@p1);
IF SCHEMA_ID(@p1) IS NULL
BEGIN
    BEGIN TRY
        EXEC (@sql);
    END TRY
    BEGIN CATCH
        IF SCHEMA_ID(@p1) IS NULL THROW;
    END CATCH;
END;
