//! What a table has besides its columns and key, in one round trip; and the indexed views over it.

use super::{Params, Statement, TableIdent};
use crate::schema::TableName;

/// Rows of each row set of [`definition`]; one more says that there are more.
pub const ROWS_MAX: usize = 10_000;
/// Characters of an expression; one more says that it is longer.
pub const EXPRESSION_CHARS_MAX: usize = 4000;

/// Five row sets about a table; all are empty where there is no such table, or it is a view:
///
/// 1. its heap and indexes, one row for each column of each, key columns first;
/// 2. the defaults of its columns;
/// 3. its checks;
/// 4. `seed` and `increment` of its identity;
/// 5. one row where it has a full-text index.
///
/// A definition is NULL where the login may not see it.
pub fn definition(table: &TableName) -> Statement {
    let mut params = Params::default();
    let name = params.text(TableIdent(table).to_string());
    let rows = ROWS_MAX + 1;
    let chars = EXPRESSION_CHARS_MAX + 1;
    params.into_statement(format!(
        "DECLARE @id int = OBJECT_ID({name}, N'U');
SELECT TOP ({rows}) i.index_id, i.name AS index_name, CONVERT(int, i.type) AS index_type, i.type_desc, \
CONVERT(int, i.is_unique) AS is_unique, CONVERT(int, i.is_primary_key) AS is_primary_key, \
CONVERT(int, i.is_unique_constraint) AS is_unique_constraint, CONVERT(int, i.is_disabled) AS is_disabled, \
CONVERT(int, i.has_filter) AS has_filter, LEFT(i.filter_definition, {chars}) AS filter_definition, \
CONVERT(int, (SELECT MAX(p.data_compression) FROM sys.partitions AS p WHERE p.object_id = i.object_id AND \
p.index_id = i.index_id)) AS data_compression, c.name AS column_name, CONVERT(int, ic.key_ordinal) AS key_ordinal, \
CONVERT(int, ic.is_descending_key) AS is_descending_key, CONVERT(int, ic.is_included_column) AS is_included_column \
FROM sys.indexes AS i LEFT JOIN sys.index_columns AS ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id \
LEFT JOIN sys.columns AS c ON c.object_id = ic.object_id AND c.column_id = ic.column_id \
WHERE i.object_id = @id AND i.is_hypothetical = 0 \
ORDER BY i.index_id, ic.is_included_column, ic.key_ordinal, ic.index_column_id;
SELECT TOP ({rows}) d.name AS constraint_name, c.name AS column_name, LEFT(d.definition, {chars}) AS definition \
FROM sys.default_constraints AS d JOIN sys.columns AS c ON c.object_id = d.parent_object_id AND c.column_id = \
d.parent_column_id WHERE d.parent_object_id = @id ORDER BY c.column_id;
SELECT TOP ({rows}) k.name AS constraint_name, LEFT(k.definition, {chars}) AS definition, \
CONVERT(int, k.is_disabled) AS is_disabled, CONVERT(int, k.is_not_trusted) AS is_not_trusted \
FROM sys.check_constraints AS k WHERE k.parent_object_id = @id ORDER BY k.name;
SELECT CONVERT(nvarchar(50), c.seed_value) AS seed, CONVERT(nvarchar(50), c.increment_value) AS increment \
FROM sys.identity_columns AS c WHERE c.object_id = @id;
SELECT f.object_id FROM sys.fulltext_indexes AS f WHERE f.object_id = @id;"
    ))
}

/// Up to one row: `schema_name` and `view_name` of an indexed view over the table.
///
/// An indexed view is bound to the tables that it names, and names no other view. `sys.sql_expression_dependencies`
/// would tell the same, but only owners of the database may read it.
pub fn indexed_view(table: &TableName) -> Statement {
    let mut params = Params::default();
    let name = params.text(TableIdent(table).to_string());
    params.into_statement(format!(
        "SELECT TOP (1) s.name AS schema_name, v.name AS view_name \
FROM sys.views AS v JOIN sys.schemas AS s ON s.schema_id = v.schema_id \
WHERE EXISTS (SELECT 1 FROM sys.sql_dependencies AS d WHERE d.object_id = v.object_id AND d.class = 1 AND \
d.referenced_major_id = OBJECT_ID({name})) \
AND EXISTS (SELECT 1 FROM sys.indexes AS i WHERE i.object_id = v.object_id AND i.index_id = 1) \
ORDER BY s.name, v.name;"
    ))
}
