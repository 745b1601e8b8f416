-- @p1 nvarchar Some("[sales].[訂單].[modified]")
-- @p2 nvarchar Some("it's [new]")
EXEC sp_rename @objname = @p1, @newname = @p2, @objtype = N'COLUMN';
