-- @P1 nvarchar "icesync:load:dbo.orders"
EXEC sp_releaseapplock @Resource = @P1, @LockOwner = N'Session';
