//! The key of a table that a first load has filled, and the transaction that makes it the target.
//! `target/fill.rs` argues why nothing is lost or applied twice.

use super::define::{Storage, constraint_name, key_constraint};
use super::merge::{ERROR_LOCKED, ERROR_NULL_KEY, ERROR_STAGED_ROWS, Extent};
use super::state::{StateChange, compare_and_set, recorded, set_columns};
use super::{Ident, Params, Statement, TableIdent, list, shown};
use crate::schema::{TableName, TableSchema};

/// The target is there, although it was missing when the load began.
pub const ERROR_APPEARED: u32 = 51011;
/// Constraints whose suffix is taken off: one parameter each, and a statement of rows takes a thousand.
const RENAMED_MAX: usize = 1000;

/// What the login may do (`own`: CONTROL on the schema of the filled table, `target`: ALTER on the target's schema).
/// NULL where there is no such schema.
pub fn rights(own: &str, target: &str) -> Statement {
    let mut params = Params::default();
    let own = params.text(Ident(own).to_string());
    let target = params.text(Ident(target).to_string());
    params.into_statement(format!(
        "SELECT HAS_PERMS_BY_NAME({own}, N'SCHEMA', N'CONTROL') AS own, HAS_PERMS_BY_NAME({target}, N'SCHEMA', \
N'ALTER') AS target;"
    ))
}

/// Builds the key of a filled table, which the schema must have. `suffix` makes the constraint's name one that
/// no other table has; [`publish`] takes it off. With `rejects_null`, stops with [`ERROR_NULL_KEY`] at a row without a
/// key. Two rows with one key are the server's error 1505.
pub fn add_key(
    fill: &TableName,
    target: &TableName,
    schema: &TableSchema,
    storage: &Storage,
    suffix: &str,
    rejects_null: bool,
) -> Statement {
    let named = |prefix: &str| constraint_name(prefix, &target.name, suffix);
    let constraint = key_constraint(schema, storage, named).unwrap_or_default();
    let fill = TableIdent(fill);
    let nullable = schema.key_columns().filter(|column| column.nullable);
    let nullable = list(
        nullable.map(|column| format!("s.{} IS NULL", Ident(&column.name))),
        " OR ",
    );
    let check = match nullable.is_empty() || !rejects_null {
        true => String::new(),
        false => format!(
            "IF EXISTS (SELECT 1 FROM {fill} AS s WHERE {nullable}) THROW {ERROR_NULL_KEY}, N'a row has NULL in its \
key', 1;\n"
        ),
    };
    Statement::plain(format!("{check}ALTER TABLE {fill} ADD {constraint};"))
}

/// One key (`example`) that a filled table has more than once.
pub fn repeated_key(fill: &TableName, schema: &TableSchema) -> Statement {
    let name = |column: &str| format!("s.{}", Ident(column));
    let group = list(schema.key_columns().map(|c| name(&c.name)), ", ");
    let text = list(
        schema.key_columns().map(|c| shown(c.ty, &name(&c.name))),
        ", N', ', ",
    );
    Statement::plain(format!(
        "SELECT TOP (1) CONCAT(N'(', {text}, N')') AS example FROM {} AS s GROUP BY {group} HAVING COUNT_BIG(*) > 1;",
        TableIdent(fill)
    ))
}

/// Input of [`publish`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The filled table.
    pub fill: TableName,
    pub target: TableName,
    /// How many rows were sent to the filled table.
    pub rows: u64,
    /// Names for the filled table's constraints; until then the suffix is behind each.
    pub names: Vec<String>,
    pub suffix: String,
    /// Name of the lock that one load transaction of this target holds at a time.
    pub lock: String,
    pub lock_timeout_ms: u32,
}

/// Makes the filled table the target and moves the load state, in one transaction. One row with the counts of
/// [`merge::apply`](super::merge::apply). On any error nothing has happened.
///
/// The suffix is taken off the names of the constraints, where the rest of a name is free in the target's schema.
///
/// `sp_rename` answers some refusals with a return code and a message that does not end the batch. So the name is
/// looked up afterwards: the target must be the table that was filled. From the transfer on this transaction holds a
/// lock on it, and the state names it by the object id and creation date that it keeps.
///
/// `extent` is a transaction of its own, or everything in one that is open.
pub fn publish(publication: &Publication, state: &StateChange, extent: Extent) -> Statement {
    let Publication { fill, target, .. } = publication;
    let timeout = publication.lock_timeout_ms;
    let mut params = Params::default();
    let lock = params.text(&publication.lock);
    let name = params.text(&state.target);
    let moved = compare_and_set(state, &name, &mut params);
    let sent = params.int(i64::try_from(publication.rows).unwrap_or(i64::MAX));
    let filled = params.text(TableIdent(fill).to_string());
    let wanted = params.text(TableIdent(target).to_string());
    let transferred = TableName {
        schema: target.schema.clone(),
        name: fill.name.clone(),
    };
    let transfer = match fill.schema == target.schema {
        true => String::new(),
        false => format!(
            "ALTER SCHEMA {} TRANSFER {};\n",
            Ident(&target.schema),
            TableIdent(fill)
        ),
    };
    let transferred = params.text(TableIdent(&transferred).to_string());
    let bare = params.text(&target.name);
    let (begin, commit) = match extent {
        Extent::Transaction => (
            "BEGIN TRANSACTION;\n",
            "COMMIT TRANSACTION;\nSET LOCK_TIMEOUT -1;\n",
        ),
        Extent::Everything | Extent::Upserts | Extent::Deferred | Extent::Deletes => ("", ""),
    };
    let set = format!(
        "s.[inserted] = @filled, s.[updated] = 0, s.[deleted] = 0, s.[unchanged] = 0, s.[target_object_id] = @object, \
s.[target_created] = @created, {}",
        set_columns(state, &mut params)
    );
    let recorded = recorded(&set, &name, state, &publication.lock, &mut params);
    let renamed = plain_names(publication, &mut params);
    let appeared = format!("THROW {ERROR_APPEARED}, N'the target table is there', 1;");
    params.into_statement(format!(
        "SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT {timeout};
DECLARE @rc int, @filled bigint, @object int, @created nvarchar(30), @message nvarchar(2000);
{begin}EXEC @rc = sp_getapplock @Resource = {lock}, @LockMode = N'Exclusive', @LockOwner = N'Transaction', \
@LockTimeout = {timeout};
IF @rc < 0 THROW {ERROR_LOCKED}, N'another load of this target is in its transaction', 1;
{moved}SELECT @filled = COUNT_BIG(*) FROM {} AS s WITH (TABLOCKX, HOLDLOCK);
IF @filled <> {sent}
BEGIN
    SET @message = CONCAT(N'', {sent}, N' rows were sent to the table that is filled and it holds ', @filled);
    THROW {ERROR_STAGED_ROWS}, @message, 1;
END;
IF OBJECT_ID({wanted}) IS NOT NULL {appeared}
SET @object = OBJECT_ID({filled});
{transfer}EXEC @rc = sp_rename @objname = {transferred}, @newname = {bare}, @objtype = N'OBJECT';
IF @rc <> 0 OR ISNULL(OBJECT_ID({wanted}), 0) <> @object {appeared}
{renamed}SELECT @created = CONVERT(nvarchar(30), o.create_date, 126) FROM sys.objects AS o WHERE o.object_id = @object;
{recorded}{commit}SELECT @filled AS inserted, CONVERT(bigint, 0) AS updated, CONVERT(bigint, 0) AS deleted, \
CONVERT(bigint, 0) AS unchanged, CONVERT(bigint, 0) AS target_only;",
        TableIdent(fill)
    ))
}

/// Takes the suffix off the names of the constraints of table `@object`.
///
/// Names are looked up one by one. A scan of the catalogue would wait for every other session that creates a table.
/// A name that another session takes at this very moment is an error. It is caught, and the constraint keeps its
/// suffix, where the server lets the transaction go on.
fn plain_names(publication: &Publication, params: &mut Params) -> String {
    let names = publication.names.iter().take(RENAMED_MAX);
    let rows = names
        .zip(1..)
        .map(|(name, at)| format!("({at}, {})", params.text(name)));
    let rows: Vec<String> = rows.collect();
    if rows.is_empty() {
        return String::new();
    }
    let suffix = params.text(&publication.suffix);
    let schema = params.text(format!("{}.", Ident(&publication.target.schema)));
    format!(
        "DECLARE @names TABLE (number int NOT NULL PRIMARY KEY, name nvarchar(128) NOT NULL);
INSERT @names (number, name) VALUES {};
DECLARE @at int = 0, @plain nvarchar(128), @old nvarchar(600);
WHILE @at < {}
BEGIN
    SET @at = @at + 1;
    SELECT @plain = n.name FROM @names AS n WHERE n.number = @at;
    SET @old = {schema} + QUOTENAME(@plain + {suffix});
    IF OBJECT_ID(@old) IS NOT NULL AND OBJECT_ID({schema} + QUOTENAME(@plain)) IS NULL \
AND NOT EXISTS (SELECT 1 FROM sys.indexes AS i WHERE i.object_id = @object AND i.name = @plain)
    BEGIN
        BEGIN TRY
            EXEC sp_rename @objname = @old, @newname = @plain, @objtype = N'OBJECT';
        END TRY
        BEGIN CATCH
            IF XACT_STATE() <> 1 THROW;
        END CATCH;
    END;
END;
",
        rows.join(", "),
        rows.len()
    )
}
