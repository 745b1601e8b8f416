-- @P1 nvarchar "[dbo].[follows].[b]"
-- @P2 nvarchar "it's [new]"
EXEC sp_rename @objname = @P1, @newname = @P2, @objtype = N'COLUMN';
