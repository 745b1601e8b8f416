-- @p1 nvarchar Some("icesync")
-- @p2 nvarchar Some("stg_00000000000000ff_")
SELECT t.name FROM sys.tables AS t JOIN sys.schemas AS s ON s.schema_id = t.schema_id WHERE s.name = @p1 AND LEFT(t.name, LEN(@p2)) = @p2 ORDER BY t.name;
