-- @p1 nvarchar Some("dbo.orders")
-- @p2 bigint Some(7)
-- @p3 bigint Some(8)
DELETE q FROM [icesync].[quarantine] AS q WHERE q.[target] = @p1 AND q.[id] IN (@p2, @p3);
