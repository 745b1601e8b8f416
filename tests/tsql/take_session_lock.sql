-- @P1 nvarchar "icesync:load:dbo.orders"
DECLARE @rc int;
EXEC @rc = sp_getapplock @Resource = @P1, @LockMode = N'Exclusive', @LockOwner = N'Session', @LockTimeout = 60000;
SELECT @rc AS rc;
