-- @P1 nvarchar "[dbo].[follows].[a]"
-- @P2 nvarchar "it's [new]"
EXEC sp_rename @objname = @P1, @newname = @P2, @objtype = N'COLUMN';
