-- @p1 nvarchar Some("icesync:load:dbo.orders")
DECLARE @rc int;
EXEC @rc = sp_getapplock @Resource = @p1, @LockMode = N'Exclusive', @LockOwner = N'Session', @LockTimeout = 60000;
SELECT @rc AS rc;
