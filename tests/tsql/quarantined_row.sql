-- @p1 nvarchar Some("dbo.orders")
-- @p2 bigint Some(7)
SELECT q.[row] FROM [icesync].[quarantine] AS q WHERE q.[target] = @p1 AND q.[id] = @p2;
