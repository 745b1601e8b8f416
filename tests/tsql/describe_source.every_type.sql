-- @P1 nvarchar "[dbo].[every_type]"
DECLARE @id int = OBJECT_ID(@P1);
IF NOT EXISTS (SELECT 1 FROM sys.objects AS x WHERE x.object_id = @id AND x.type IN ('U', 'V')) SET @id = NULL;
SELECT o.object_id, CONVERT(nvarchar(30), o.create_date, 126) AS create_date, CONVERT(nvarchar(30), o.modify_date, 126) AS modify_date, s.name AS schema_name, o.name AS table_name, RTRIM(CONVERT(nvarchar(2), o.type)) AS object_type, HAS_PERMS_BY_NAME(@P1, N'OBJECT', N'SELECT') AS can_select, HAS_PERMS_BY_NAME(@P1, N'OBJECT', N'ALTER') AS can_alter, USER_NAME() AS database_user, CONVERT(int, t.is_memory_optimized) AS is_memory_optimized, (SELECT COUNT(*) FROM sys.foreign_keys AS f WHERE f.parent_object_id = o.object_id AND f.referenced_object_id = o.object_id AND f.is_disabled = 0) AS self_references, (SELECT SUM(p.rows) FROM sys.partitions AS p WHERE p.object_id = o.object_id AND p.index_id IN (0, 1)) AS row_count FROM sys.objects AS o JOIN sys.schemas AS s ON s.schema_id = o.schema_id LEFT JOIN sys.tables AS t ON t.object_id = o.object_id WHERE o.object_id = @id;
SELECT d.* FROM (SELECT CONVERT(tinyint, NULL) AS vector_base_type) AS absent CROSS APPLY (SELECT c.column_id, c.name, TYPE_NAME(c.system_type_id) AS base_type, c.user_type_id, t.name AS user_type, CONVERT(int, t.is_assembly_type) AS is_assembly_type, CONVERT(int, c.max_length) AS max_length, CONVERT(int, c.precision) AS precision, CONVERT(int, c.scale) AS scale, CONVERT(int, c.is_nullable) AS is_nullable, CONVERT(int, c.is_identity) AS is_identity, CONVERT(int, c.is_computed) AS is_computed, CONVERT(int, c.generated_always_type) AS generated_always_type, CONVERT(int, c.is_column_set) AS is_column_set, c.encryption_type, c.default_object_id, c.collation_name, CONVERT(int, COLLATIONPROPERTY(c.collation_name, 'CodePage')) AS code_page, CONVERT(int, vector_base_type) AS vector_base_type FROM sys.columns AS c JOIN sys.types AS t ON t.user_type_id = c.user_type_id WHERE c.object_id = @id) AS d ORDER BY d.column_id;
SELECT i.index_id, i.name AS index_name, CONVERT(int, i.is_primary_key) AS is_primary_key, CONVERT(int, i.is_unique) AS is_unique, CONVERT(int, i.has_filter) AS has_filter, CONVERT(int, i.ignore_dup_key) AS ignore_dup_key, CONVERT(int, ic.key_ordinal) AS key_ordinal, CONVERT(int, ic.is_descending_key) AS is_descending_key, ic.column_id FROM sys.indexes AS i JOIN sys.index_columns AS ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id WHERE i.object_id = @id AND i.is_disabled = 0 AND i.is_hypothetical = 0 AND ic.key_ordinal > 0 ORDER BY i.is_primary_key DESC, i.index_id, ic.key_ordinal;
SELECT TOP (5000) s.name AS schema_name, o.name AS table_name, RTRIM(CONVERT(nvarchar(2), o.type)) AS object_type FROM sys.objects AS o JOIN sys.schemas AS s ON s.schema_id = o.schema_id WHERE @id IS NULL AND o.type IN ('U', 'V', 'SN') AND o.is_ms_shipped = 0 ORDER BY s.name, o.name;
DECLARE @definition nvarchar(max), @known int = 0, @any int = 0;
DECLARE @refers TABLE (id int NULL, is_elsewhere int NOT NULL, entity nvarchar(600) NOT NULL);
IF EXISTS (SELECT 1 FROM sys.views AS v WHERE v.object_id = @id)
BEGIN
SET @definition = OBJECT_DEFINITION(@id);
BEGIN TRY
INSERT INTO @refers (id, is_elsewhere, entity) SELECT e.referenced_id, CASE WHEN e.referenced_server_name IS NOT NULL OR e.referenced_database_name <> DB_NAME() THEN 1 ELSE 0 END, CONCAT(e.referenced_server_name + N'.', e.referenced_database_name + N'.', e.referenced_schema_name + N'.', e.referenced_entity_name) FROM sys.dm_sql_referenced_entities(@P1, N'OBJECT') AS e WHERE e.referenced_minor_id = 0 AND e.referenced_class = 1;
SET @known = 1;
END TRY
BEGIN CATCH
DELETE FROM @refers;
END CATCH;
IF @known = 0 OR @definition IS NULL OR NOT EXISTS (SELECT 1 FROM @refers AS r) SET @any = 1;
END;
SELECT @definition AS definition, @known AS is_known;
SELECT r.entity, r.is_elsewhere, RTRIM(CONVERT(nvarchar(2), o.type)) AS object_type, CONVERT(int, t.is_memory_optimized) AS is_memory_optimized FROM @refers AS r LEFT JOIN sys.objects AS o ON o.object_id = r.id AND r.is_elsewhere = 0 LEFT JOIN sys.tables AS t ON t.object_id = o.object_id;
SELECT c.name, CASE WHEN HAS_PERMS_BY_NAME(QUOTENAME(OBJECT_SCHEMA_NAME(c.object_id)) + N'.' + QUOTENAME(OBJECT_NAME(c.object_id)), N'OBJECT', N'UNMASK', c.name, N'COLUMN') = 1 THEN 1 ELSE 0 END AS unmasks FROM sys.masked_columns AS c WHERE c.is_masked = 1 AND (@any = 1 OR c.object_id = @id OR c.object_id IN (SELECT r.id FROM @refers AS r WHERE r.is_elsewhere = 0)) ORDER BY c.column_id;
SELECT DISTINCT s.name + N'.' + p.name AS name FROM sys.security_predicates AS f JOIN sys.security_policies AS p ON p.object_id = f.object_id JOIN sys.schemas AS s ON s.schema_id = p.schema_id WHERE f.predicate_type = 0 AND p.is_enabled = 1 AND (f.target_object_id = @id OR f.target_object_id IN (SELECT r.id FROM @refers AS r WHERE r.is_elsewhere = 0));
SELECT p.partition_number, CONCAT(p.partition_id, N'/', p.hobt_id) AS storage, p.rows AS row_count FROM sys.partitions AS p WHERE p.object_id = @id;
DECLARE @begin bigint, @valid bigint, @made datetime, @retention bigint, @cleans int;
BEGIN TRY
SELECT @retention = CONVERT(bigint, c.retention_period) * CASE c.retention_period_units WHEN 1 THEN 1 WHEN 2 THEN 60 ELSE 1440 END, @cleans = CONVERT(int, c.is_auto_cleanup_on) FROM sys.change_tracking_databases AS c WHERE c.database_id = DB_ID() OR c.database_id IN (SELECT d.database_id FROM sys.databases AS d WHERE d.name = DB_NAME());
IF @retention IS NOT NULL SELECT @begin = c.begin_version, @valid = c.min_valid_version FROM sys.change_tracking_tables AS c WHERE c.object_id = @id;
IF @begin IS NOT NULL AND OBJECT_ID(N'sys.internal_tables') IS NOT NULL SELECT @made = i.create_date FROM sys.internal_tables AS i WHERE i.parent_object_id = @id AND i.internal_type_desc = N'CHANGE_TRACKING';
END TRY
BEGIN CATCH
IF ERROR_NUMBER() <> 22117 THROW;
SELECT @begin = NULL, @valid = NULL, @made = NULL;
END CATCH;
SELECT @retention AS retention_minutes, @cleans AS cleans_up, @begin AS begin_version, @valid AS min_valid_version, CONVERT(nvarchar(30), @made, 126) AS created, HAS_PERMS_BY_NAME(@P1, N'OBJECT', N'VIEW CHANGE TRACKING') AS can_view;
