-- @P1 nvarchar "dbo.orders"
DELETE q FROM [icesync].[quarantine] AS q WHERE q.[target] = @P1;
