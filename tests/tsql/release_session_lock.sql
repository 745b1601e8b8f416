-- @p1 nvarchar Some("icesync:load:dbo.orders")
EXEC sp_releaseapplock @Resource = @p1, @LockOwner = N'Session';
