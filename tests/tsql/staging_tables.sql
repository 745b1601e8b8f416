-- @P1 nvarchar "icesync"
-- @P2 nvarchar "stg_00000000000000ff_"
SELECT t.name FROM sys.tables AS t JOIN sys.schemas AS s ON s.schema_id = t.schema_id WHERE s.name = @P1 AND LEFT(t.name, LEN(@P2)) = @P2 ORDER BY t.name;
