//! Creation of a target, and of what it has besides columns and key: indexes, defaults, checks.
//! `target/create.rs` argues when each is made.

use super::define::{Storage, compressed, constraint_name, create_table};
use super::enclosed::Enclosed;
use super::state::{PREPARED, StateChange, compare_and_set, set_columns};
use super::{Ident, Params, Statement, TableIdent, list};
use crate::schema::definition::{Compression, IndexColumn, IndexKind};
use crate::schema::{TableName, TableSchema};

/// Creates a target and records that nothing is loaded into it yet ([`PREPARED`]), in one transaction. The name of the
/// key's constraint ends in `suffix`; a name that another object has is error 2714.
pub fn create_target(
    target: &TableName,
    schema: &TableSchema,
    storage: &Storage,
    suffix: &str,
    state: &StateChange,
    lock_timeout_ms: u32,
) -> Statement {
    let mut params = Params::default();
    let name = params.text(&state.target);
    let prepared = StateChange {
        new_snapshot: PREPARED,
        sequence_number: 0,
        object: None,
        ..state.clone()
    };
    let moved = compare_and_set(&prepared, &name, &mut params);
    let created = params.text(TableIdent(target).to_string());
    let columns = set_columns(&prepared, &mut params);
    params.into_statement(format!(
        "SET XACT_ABORT ON; SET LOCK_TIMEOUT {lock_timeout_ms};
DECLARE @object int, @created nvarchar(30);
BEGIN TRANSACTION;
{}
{moved}SET @object = OBJECT_ID({created});
SELECT @created = CONVERT(nvarchar(30), o.create_date, 126) FROM sys.objects AS o WHERE o.object_id = @object;
UPDATE s SET s.[inserted] = 0, s.[updated] = 0, s.[deleted] = 0, s.[unchanged] = 0, \
s.[target_object_id] = @object, s.[target_created] = @created, {columns} FROM [icesync].[load_state] AS s \
WHERE s.[target] = {name};
COMMIT TRANSACTION;
SET LOCK_TIMEOUT -1;",
        create_table(target, schema, storage, suffix)
    ))
}

/// An index of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIndex {
    pub name: String,
    pub kind: IndexKind,
    pub unique: bool,
    pub key: Vec<IndexColumn>,
    /// Columns of a nonclustered columnstore; else those of INCLUDE.
    pub included: Vec<String>,
    pub filter: Option<Enclosed>,
    pub compression: Compression,
}

/// Creates an index. Two rows with one key of a unique index are error 1505.
pub fn create_index(table: &TableName, index: &NewIndex) -> Statement {
    let table = TableIdent(table);
    let name = Ident(&index.name);
    let included = list(index.included.iter().map(|c| Ident(c).to_string()), ", ");
    let filter = index.filter.as_ref();
    let filter = filter.map_or_else(String::new, |filter| format!(" WHERE {filter}"));
    let archived = match index.compression {
        Compression::ColumnstoreArchive => " WITH (DATA_COMPRESSION = COLUMNSTORE_ARCHIVE)",
        Compression::None | Compression::Row | Compression::Page | Compression::Columnstore => "",
    };
    Statement::plain(match index.kind {
        IndexKind::ClusteredColumnstore => {
            format!("CREATE CLUSTERED COLUMNSTORE INDEX {name} ON {table}{archived};")
        }
        IndexKind::NonclusteredColumnstore => format!(
            "CREATE NONCLUSTERED COLUMNSTORE INDEX {name} ON {table} ({included}){filter}{archived};"
        ),
        IndexKind::Clustered | IndexKind::Nonclustered => {
            let unique = if index.unique { "UNIQUE " } else { "" };
            let include = match included.is_empty() {
                true => String::new(),
                false => format!(" INCLUDE ({included})"),
            };
            format!(
                "CREATE {unique}{} INDEX {name} ON {table} ({}){include}{filter}{};",
                clustering(index.kind),
                key_columns(&index.key),
                compressed(index.compression)
            )
        }
    })
}

/// Adds a UNIQUE constraint, whose name ends in `suffix`. Two rows with one key are error 1505.
pub fn add_unique(table: &TableName, index: &NewIndex, suffix: &str) -> Statement {
    Statement::plain(format!(
        "ALTER TABLE {} ADD CONSTRAINT {} UNIQUE {} ({}){};",
        TableIdent(table),
        Ident(&constraint_name("", &index.name, suffix)),
        clustering(index.kind),
        key_columns(&index.key),
        compressed(index.compression)
    ))
}

fn clustering(kind: IndexKind) -> &'static str {
    match kind {
        IndexKind::Clustered | IndexKind::ClusteredColumnstore => "CLUSTERED",
        IndexKind::Nonclustered | IndexKind::NonclusteredColumnstore => "NONCLUSTERED",
    }
}

fn key_columns(key: &[IndexColumn]) -> String {
    let columns = key.iter().map(|column| {
        let order = if column.descending { " DESC" } else { "" };
        format!("{}{order}", Ident(&column.name))
    });
    list(columns, ", ")
}

/// Gives a column a default, under a name that ends in `suffix`.
pub fn add_default(
    table: &TableName,
    column: &str,
    name: &str,
    definition: &Enclosed,
    suffix: &str,
) -> Statement {
    Statement::plain(format!(
        "ALTER TABLE {} ADD CONSTRAINT {} DEFAULT {definition} FOR {};",
        TableIdent(table),
        Ident(&constraint_name("", name, suffix)),
        Ident(column)
    ))
}

/// Adds a check, under a name that ends in `suffix`. A trusted one holds for the rows that are there, or is error 547.
/// Another one is disabled: rows of the source may break it.
pub fn add_check(
    table: &TableName,
    name: &str,
    definition: &Enclosed,
    trusted: bool,
    suffix: &str,
) -> Statement {
    let table = TableIdent(table);
    let name = constraint_name("", name, suffix);
    let name = Ident(&name);
    Statement::plain(match trusted {
        true => format!("ALTER TABLE {table} WITH CHECK ADD CONSTRAINT {name} CHECK {definition};"),
        false => format!(
            "SET XACT_ABORT ON;
BEGIN TRANSACTION;
ALTER TABLE {table} WITH NOCHECK ADD CONSTRAINT {name} CHECK {definition};
ALTER TABLE {table} NOCHECK CONSTRAINT {name};
COMMIT TRANSACTION;"
        ),
    })
}

/// Lets the identity of a filled table go on behind its last value. A bulk copy that brings its own values need not
/// have moved it.
///
/// `DBCC CHECKIDENT` takes the name and the value as text of the statement, so both are put together by the server.
pub fn reseed(fill: &TableName, column: &str, is_descending: bool) -> Statement {
    let mut params = Params::default();
    let name = params.text(TableIdent(fill).to_string());
    let (last, beyond) = match is_descending {
        false => ("MAX", ">"),
        true => ("MIN", "<"),
    };
    params.into_statement(format!(
        "DECLARE @last decimal(38, 0), @known decimal(38, 0), @sql nvarchar(1000);
SELECT @last = {last}(s.{}) FROM {} AS s;
SELECT @known = CONVERT(decimal(38, 0), c.last_value) FROM sys.identity_columns AS c WHERE c.object_id = \
OBJECT_ID({name});
IF @last IS NOT NULL AND (@known IS NULL OR @last {beyond} @known)
BEGIN
    SET @sql = CONCAT(N'DBCC CHECKIDENT (N', QUOTENAME({name}, N''''), N', RESEED, ', @last, N') WITH NO_INFOMSGS;');
    EXEC (@sql);
END;",
        Ident(column),
        TableIdent(fill)
    ))
}
