-- @P1 nvarchar "[dbo].[every_type].[c2]"
-- @P2 nvarchar "it's [new]"
EXEC sp_rename @objname = @P1, @newname = @P2, @objtype = N'COLUMN';
