-- @P1 nvarchar "[icesync].[stg_00000000000000ff_018f0000000070008000000000000001].[old]"
-- @P2 nvarchar "new"
SET LOCK_TIMEOUT 60000;
EXEC sp_rename @objname = @P1, @newname = @P2, @objtype = N'COLUMN';
SET LOCK_TIMEOUT -1;
