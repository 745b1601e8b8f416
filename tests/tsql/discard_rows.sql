-- @P1 nvarchar "dbo.orders"
-- @P2 bigint 7
-- @P3 bigint 8
DELETE q FROM [icesync].[quarantine] AS q WHERE q.[target] = @P1 AND q.[id] IN (@P2, @P3);
