-- @p1 nvarchar Some("[icesync].[stg_00000000000000ff_018f0000000070008000000000000001].[old]")
-- @p2 nvarchar Some("new")
SET LOCK_TIMEOUT 60000;
EXEC sp_rename @objname = @p1, @newname = @p2, @objtype = N'COLUMN';
SET LOCK_TIMEOUT -1;
