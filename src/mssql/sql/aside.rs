//! The transaction of a load that may set rows aside, statement by statement. `target/quarantine.rs` argues its
//! protocol.
//!
//! What begins or ends a transaction stands in batches without parameters: with parameters a text runs in
//! `sp_executesql`, which complains (error 266) if it leaves another number of open transactions than it found.

use super::merge::{self, Extent, MergeColumn, MergePlan, NetTable};
use super::net;
use super::state::{
    ERROR_TRANSACTION_ENDED, StateChange, compare_and_begin, reached, recorded, set_object,
};
use super::{CollationName, Ident, Params, Statement, TableIdent, faults, list, soft, variant};
use crate::schema::SqlType;
use crate::schema::mapping::parameter_conversion;

/// Characters of a value that are shown; the lake has the rest.
const VALUE_CHARACTERS: usize = 32_000;

/// Begins the transaction.
pub fn begin_load() -> Statement {
    Statement::plain("BEGIN TRANSACTION;")
}

/// Ends it with everything that happened in it.
pub fn commit_load() -> Statement {
    Statement::plain("COMMIT TRANSACTION;")
}

/// What comes before the rows: the lock that one load transaction of the target holds, the load state compared and
/// begun, the net changes counted. In a transaction, which an error ends.
pub fn open_load(plan: &MergePlan, net: &NetTable, state: &StateChange) -> Statement {
    let mut params = Params::default();
    let timeout = plan.lock_timeout_ms;
    let lock = merge::lock(plan, &mut params);
    let target = params.text(&state.target);
    let moved = compare_and_begin(state, net.rows, &target, &mut params);
    let counted = net::staged_rows(&net.name, "", net.rows, &mut params);
    params.into_statement(format!(
        "SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT {timeout};
DECLARE @rc int, @staged bigint = 0, @message nvarchar(2000);
{lock}{moved}{counted}SET LOCK_TIMEOUT -1;"
    ))
}

/// Applies the plan's part of the net changes, in a transaction. One row: `inserted`, `updated`, `deleted`,
/// `unchanged`, `open_transactions`, and the error that refused the part (`number`, `severity`, `state`, `line`,
/// `procedure_name`, `message`), NULL where there is none.
///
/// A part that was refused has changed nothing, and what came before it stays: the transaction goes back to a
/// savepoint. A trigger that raises an error without a rollback would otherwise leave the rows. Where the error has
/// doomed or ended the transaction, everything is taken back and `open_transactions` is 0.
///
/// A trigger may have ended the transaction and begun another one, which has no such savepoint (error 6401). Then the
/// error is [`ERROR_TRANSACTION_ENDED`] instead: what came before the part may be gone.
pub fn apply_part(plan: &MergePlan) -> Statement {
    // What only the target has is counted once, at the end.
    let rows = merge::rows(plan, Extent::Everything, false);
    let identity = match plan.columns.iter().any(|column| column.identity) {
        true => format!("SET IDENTITY_INSERT {} OFF;\n", TableIdent(&plan.target)),
        false => String::new(),
    };
    Statement::plain(format!(
        "SET NOCOUNT ON; SET XACT_ABORT OFF; SET LOCK_TIMEOUT {};
DECLARE @staged bigint = 0, @inserted bigint = 0, @updated bigint = 0, @deleted bigint = 0, @unchanged bigint = 0;
DECLARE @example nvarchar(1000), @message nvarchar(4000), @procedure nvarchar(128);
DECLARE @number int, @severity int, @state int, @line int;
SAVE TRANSACTION icesync_part;
BEGIN TRY
{rows}IF @staged > @inserted + @updated SET @unchanged = @staged - @inserted - @updated;
END TRY
BEGIN CATCH
    SELECT @number = ERROR_NUMBER(), @severity = ERROR_SEVERITY(), @state = ERROR_STATE(), @line = ERROR_LINE(), \
@procedure = ERROR_PROCEDURE(), @message = ERROR_MESSAGE();
    BEGIN TRY
        IF XACT_STATE() = 1 ROLLBACK TRANSACTION icesync_part;
    END TRY
    BEGIN CATCH
        ROLLBACK TRANSACTION;
        SELECT @number = {ERROR_TRANSACTION_ENDED}, @message = N'a trigger has ended the transaction of the load';
    END CATCH;
    IF XACT_STATE() = -1 ROLLBACK TRANSACTION;
END CATCH;
{identity}SET LOCK_TIMEOUT -1;
SELECT @inserted AS inserted, @updated AS updated, @deleted AS deleted, @unchanged AS unchanged, \
@@TRANCOUNT AS open_transactions, @number AS number, @severity AS severity, @state AS state, @line AS line, \
@procedure AS procedure_name, @message AS message;",
        plan.lock_timeout_ms
    ))
}

/// What comes after the rows: the table compared with the one that the load was prepared for, the counts, the table of
/// net changes dropped. In a transaction, which an error ends. One row: `target_only`, as of [`merge::apply`].
pub fn close_load(
    plan: &MergePlan,
    net: &NetTable,
    state: &StateChange,
    counts: [u64; 4],
) -> Statement {
    let mut params = Params::default();
    let same = merge::same_object(plan, state, &mut params);
    let target = params.text(&state.target);
    let reached = reached(state, &mut params);
    let object = set_object(state, &mut params);
    let names = ["inserted", "updated", "deleted", "unchanged"];
    let counted = names.iter().zip(counts).map(|(name, count)| {
        let count = params.int(i64::try_from(count).unwrap_or(i64::MAX));
        format!("s.[{name}] = {count}")
    });
    let set = format!("{}, {reached}, {object}", list(counted, ", "));
    let recorded = recorded(&set, &target, state, &plan.lock, &mut params);
    let table = TableIdent(&net.name);
    let live = soft::live(plan).map_or_else(String::new, |live| format!("{live} AND "));
    let target_only = match plan.counts_target_only() {
        true => format!(
            "SELECT @target_only = COUNT_BIG(*) FROM {} AS d WHERE {live}NOT EXISTS (SELECT 1 FROM {table} AS s WHERE \
{});\n",
            TableIdent(&plan.target),
            plan.join()
        ),
        false => String::new(),
    };
    params.into_statement(format!(
        "SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT {};
DECLARE @target_only bigint = 0;
{same}{recorded}{target_only}DROP TABLE {table};
SET LOCK_TIMEOUT -1;
SELECT @target_only AS target_only;",
        plan.lock_timeout_ms
    ))
}

/// One row of the net changes: its operation, then each column's value as text from which
/// [`parameter_conversion`] makes exactly the same value again, cut at 32,000 characters.
pub fn row_text(plan: &MergePlan, net: &NetTable, number: u64) -> Statement {
    let mut params = Params::default();
    let number = params.int(i64::try_from(number).unwrap_or(i64::MAX));
    let values = plan.columns.iter().enumerate().map(|(at, column)| {
        let at = at + 1;
        let text = exact(column, &format!("n.{}", Ident(&column.name)));
        let text = match plan.faults.as_ref().filter(|_| faults::marks(plan, column)) {
            Some(faults) => format!(
                "CASE WHEN n.{} = {at} THEN n.{} ELSE {text} COLLATE DATABASE_DEFAULT END",
                Ident(&faults.column),
                Ident(&faults.value)
            ),
            None => text,
        };
        format!("LEFT({text}, {VALUE_CHARACTERS}) AS [c{at}]")
    });
    params.into_statement(format!(
        "SELECT n.{} AS [operation], {} FROM {} AS n WHERE n.{} = {number};",
        Ident(&plan.operation),
        list(values, ", "),
        TableIdent(&net.name),
        Ident(&net.row)
    ))
}

/// The numbers (`row`) of at most `limit` rows with a value that the target cannot keep, and the number of its column
/// (`column_number`).
pub fn faulty_rows(plan: &MergePlan, net: &NetTable, limit: u64) -> Statement {
    let row = Ident(&net.row);
    let fault = plan.faults.as_ref().map_or("", |faults| &faults.column);
    let fault = Ident(fault);
    Statement::plain(format!(
        "SELECT TOP ({limit}) n.{row} AS [row], n.{fault} AS [column_number] FROM {} AS n WHERE n.{fault} IS NOT NULL \
ORDER BY n.{row};",
        TableIdent(&net.name)
    ))
}

/// Adds the deletes of keys (an id, and the key's values as text) that the net changes do not have. One row: how many
/// were `added`.
pub fn add_deletes(plan: &MergePlan, net: &NetTable, keys: &[(i64, Vec<String>)]) -> Statement {
    let mut params = Params::default();
    let (table, operation, row) = (
        TableIdent(&net.name),
        Ident(&plan.operation),
        Ident(&net.row),
    );
    let names = list(plan.key_columns().map(|c| Ident(&c.name).to_string()), ", ");
    let values = list((1..=plan.key.len()).map(|at| format!("k.[c{at}]")), ", ");
    let rows = net.rows;
    let keys = keys_table(plan, keys, &mut params);
    let equal = equal_keys(plan);
    params.into_statement(format!(
        "SET NOCOUNT ON;
INSERT INTO {table} ({names}, {operation}, {row}) SELECT {values}, N'D', {rows} + ROW_NUMBER() OVER (ORDER BY k.[id]) \
FROM ({keys}) AS k WHERE NOT EXISTS (SELECT 1 FROM {table} AS s WHERE {equal});
SELECT ROWCOUNT_BIG() AS added;"
    ))
}

/// Gives a delete of a key that is in the quarantine (an id, and the key's values as text) the spelling that the key
/// has in the target: the row there is of an earlier snapshot. None where equal keys are the same.
///
/// At most one delete of those with equal keys takes the row.
pub fn respell_deletes(
    plan: &MergePlan,
    net: &NetTable,
    keys: &[(i64, Vec<String>)],
) -> Option<Statement> {
    let same = plan.spelled_alike("o", "d");
    if same.is_empty() {
        return None;
    }
    let mut params = Params::default();
    let (table, operation, row) = (
        TableIdent(&net.name),
        Ident(&plan.operation),
        Ident(&net.row),
    );
    let pairs = |one: &str, other: &str, separator: &str| {
        let columns = plan.key_columns().map(|column| {
            let name = Ident(&column.name);
            format!("{one}.{name} = {other}.{name}")
        });
        list(columns, separator)
    };
    let keys = keys_table(plan, keys, &mut params);
    Some(params.into_statement(format!(
        "UPDATE s SET {} FROM {table} AS s JOIN {} AS d ON {} JOIN ({keys}) AS k ON {} WHERE s.{operation} = 'D' AND \
NOT EXISTS (SELECT 1 FROM {table} AS o WHERE o.{operation} = 'D' AND {} AND (o.{row} < s.{row} OR {same}));",
        pairs("s", "d", ", "),
        TableIdent(&plan.target),
        plan.join(),
        equal_keys(plan),
        pairs("o", "d", " AND "),
    )))
}

/// Removes from the quarantine what it has of keys (an id in the quarantine, and the key's values as text) that are
/// among the net changes.
pub fn clear_loaded(
    plan: &MergePlan,
    net: &NetTable,
    target: &str,
    keys: &[(i64, Vec<String>)],
) -> Statement {
    let mut params = Params::default();
    let target = params.text(target);
    let keys = keys_table(plan, keys, &mut params);
    params.into_statement(format!(
        "DELETE q FROM [icesync].[quarantine] AS q JOIN ({keys}) AS k ON k.[id] = q.[id] WHERE q.[target] = {target} \
AND EXISTS (SELECT 1 FROM {} AS s WHERE {});",
        TableIdent(&net.name),
        equal_keys(plan)
    ))
}

/// A query of keys: `id`, then `c1`, `c2`, ... in the types and collations of the key's columns.
fn keys_table(plan: &MergePlan, keys: &[(i64, Vec<String>)], params: &mut Params) -> String {
    let rows = keys.iter().map(|(id, values)| {
        let id = params.int(*id);
        let values = plan.key_columns().zip(values).enumerate();
        let values = values.map(|(at, (column, value))| {
            let text = params.text(value);
            let mut value = parameter_conversion(column.ty, column.collation.as_ref(), &text);
            if let Some(collation) = column.collation.as_ref().filter(|_| column.ty.is_text()) {
                value.push_str(&format!(" COLLATE {}", CollationName(&collation.name)));
            }
            format!("{value} AS [c{}]", at + 1)
        });
        format!("SELECT {id} AS [id], {}", list(values, ", "))
    });
    list(rows, " UNION ALL ")
}

/// The condition that `s` has the key of `k`.
fn equal_keys(plan: &MergePlan) -> String {
    let columns = plan.key_columns().enumerate();
    let equal = columns.map(|(at, column)| format!("s.{} = k.[c{}]", Ident(&column.name), at + 1));
    list(equal, " AND ")
}

/// A value as text from which [`parameter_conversion`] makes exactly the same value again. Of a `sql_variant`, base
/// type and value.
fn exact(column: &MergeColumn, value: &str) -> String {
    let styled = |style: u8| format!("CONVERT(nvarchar(max), {value}, {style})");
    match column.ty {
        SqlType::Money | SqlType::SmallMoney => styled(2),
        SqlType::Real | SqlType::Float => styled(3),
        SqlType::Date
        | SqlType::Time { .. }
        | SqlType::DateTime
        | SqlType::SmallDateTime
        | SqlType::DateTime2 { .. }
        | SqlType::DateTimeOffset { .. } => styled(121),
        SqlType::Binary { .. } | SqlType::VarBinary { .. } => styled(1),
        SqlType::RowVersion => format!("CONVERT(nvarchar(max), CONVERT(binary(8), {value}), 1)"),
        SqlType::Image | SqlType::HierarchyId | SqlType::Geometry | SqlType::Geography => {
            format!("CONVERT(nvarchar(max), CONVERT(varbinary(max), {value}), 1)")
        }
        SqlType::Text => format!("CONVERT(nvarchar(max), CONVERT(varchar(max), {value}))"),
        SqlType::SqlVariant => variant::read(value),
        SqlType::Bit
        | SqlType::TinyInt
        | SqlType::SmallInt
        | SqlType::Int
        | SqlType::BigInt
        | SqlType::Decimal { .. }
        | SqlType::Numeric { .. }
        | SqlType::Char { .. }
        | SqlType::VarChar { .. }
        | SqlType::NChar { .. }
        | SqlType::NVarChar { .. }
        | SqlType::NText
        | SqlType::UniqueIdentifier
        | SqlType::Xml
        | SqlType::Json
        | SqlType::Vector { .. } => format!("CONVERT(nvarchar(max), {value})"),
    }
}
