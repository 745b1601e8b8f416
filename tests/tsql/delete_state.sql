-- @p1 nvarchar Some("dbo.orders")
DELETE s FROM [icesync].[load_state] AS s WHERE s.[target] = @p1;
