-- @P1 nvarchar "[a]]b.c].[it's \"odd\"; DROP TABLE x --].['when']"
-- @P2 nvarchar "it's [new]"
EXEC sp_rename @objname = @P1, @newname = @P2, @objtype = N'COLUMN';
