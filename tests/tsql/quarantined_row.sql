-- @P1 nvarchar "dbo.orders"
-- @P2 bigint 7
SELECT q.[row] FROM [icesync].[quarantine] AS q WHERE q.[target] = @P1 AND q.[id] = @P2;
