-- @p1 nvarchar Some("dbo.orders")
DELETE q FROM [icesync].[quarantine] AS q WHERE q.[target] = @p1;
