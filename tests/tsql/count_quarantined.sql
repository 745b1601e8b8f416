-- @p1 nvarchar Some("dbo.orders")
SET LOCK_TIMEOUT 10000;
IF OBJECT_ID(N'[icesync].[quarantine]') IS NOT NULL
BEGIN
    SELECT COUNT_BIG(*) AS [rows] FROM [icesync].[quarantine] AS q WHERE q.[target] = @p1;
END;
SET LOCK_TIMEOUT -1;
