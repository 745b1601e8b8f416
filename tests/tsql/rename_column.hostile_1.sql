-- @p1 nvarchar Some("[a]]b.c].[it's \"odd\"; DROP TABLE x --].[k]]]")
-- @p2 nvarchar Some("it's [new]")
EXEC sp_rename @objname = @p1, @newname = @p2, @objtype = N'COLUMN';
