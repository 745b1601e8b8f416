//! The net changes of a load: of several staged rows of one key the one that counts, in the target's types.
//!
//! Each load with a key computes them once, into a table of their own, before the transaction on the target opens.
//! What a staged row can be refused for is found then, no lock on the target is held meanwhile, and the transaction
//! reads rows that need no conversion, in the order of the target's key. Rows that are only inserted (a load that
//! appends, or that fills an empty target) are read once anyway and come straight from the staging table.
//!
//! Only the load that made it reads or writes the table, so that several statements without a transaction do. A load
//! that dies between them leaves a table that the next load drops, as it drops staging tables.

use super::compare::{has_equals, spelled};
use super::define::declared;
use super::plan::{
    ERROR_DUPLICATE_KEY, ERROR_LOST_CHARACTER, ERROR_NULL_KEY, ERROR_STAGED_ROWS, MergeColumn,
    MergePlan, NetTable,
};
use super::{Ident, Params, Statement, TableIdent, faults, list, newest, soft, variant};
use crate::schema::{SqlType, TableName};

/// Computes the net changes of what is staged, and drops the staging table. One row: how many `upserts` and `deletes`
/// there are. On an error the staging table and a part of the net changes may be left.
///
/// The server's keys hold 900 or 1700 bytes, and not every type (errors 1919, 1944, 1946). A table without the index
/// serves as well, only slower.
pub fn net_changes(plan: &MergePlan, net: &NetTable) -> Statement {
    let mut params = Params::default();
    let mut sql = format!(
        "SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT {};
DECLARE @staged bigint = 0, @example nvarchar(1000), @message nvarchar(2000);
",
        plan.lock_timeout_ms
    );
    // They were counted before the attempt that found a fault, which may have removed older spellings of keys.
    if plan.faults.is_none() {
        sql.push_str(&staged_rows(
            &plan.staging,
            "",
            plan.staged_rows,
            &mut params,
        ));
    }
    sql.push_str(&checks(plan, &mut params));
    let (table, staging) = (TableIdent(&net.name), TableIdent(&plan.staging));
    let (operation, row) = (Ident(&plan.operation), Ident(&net.row));
    let columns = plan.columns.iter().map(|c| {
        let ty = declared(c.ty, c.collation.as_ref());
        format!("{} {ty} NULL", Ident(&c.name))
    });
    let columns = list(columns.chain(faults::columns(plan)), ",\n    ");
    let keys = list(plan.key_columns().map(|c| Ident(&c.name).to_string()), ", ");
    // Deletes of several spellings of one key.
    let respelled = plan.has_deletes && plan.key_columns().any(|c| has_equals(c.ty));
    let unique = if respelled { "" } else { "UNIQUE " };
    let order = list(
        plan.key_columns().map(|c| format!("n.{}", Ident(&c.name))),
        ", ",
    );
    let numbered = match net.is_stepped {
        true => format!("CREATE UNIQUE INDEX [net_row] ON {table} ({row});\n"),
        false => String::new(),
    };
    sql.push_str(&format!(
        "CREATE TABLE {table} (
    {columns},
    {operation} nvarchar(1) NOT NULL,
    {row} bigint NOT NULL
);
INSERT INTO {table} WITH (TABLOCK) ({}, {operation}, {row}) SELECT {}, n.{operation}, ROW_NUMBER() OVER (ORDER BY \
n.{operation}, {order}) FROM ({}) AS n;
BEGIN TRY
    CREATE {unique}CLUSTERED INDEX [net_key] ON {table} ({keys});
END TRY
BEGIN CATCH
    IF ERROR_NUMBER() NOT IN (1919, 1944, 1946) THROW;
END CATCH;
{numbered}{}DROP TABLE {staging};
SELECT COUNT_BIG(CASE WHEN s.{operation} = 'U' THEN 1 END) AS upserts, COUNT_BIG(CASE WHEN s.{operation} = 'D' THEN 1 \
END) AS deletes FROM {table} AS s;
SET LOCK_TIMEOUT -1;",
        faults::names(plan, ""),
        faults::names(plan, "n."),
        expression(plan),
        other_spellings(plan, net),
    ));
    params.into_statement(sql)
}

/// Stops where an upsert would take the row of another key, because the target takes keys for equal that the source
/// does not. A whole snapshot has the other key, too, and two staged keys that are equal have been refused by then.
fn other_spellings(plan: &MergePlan, net: &NetTable) -> String {
    let respelled: Vec<&MergeColumn> = plan.key_columns().filter(|c| has_equals(c.ty)).collect();
    if plan.keys_are_the_source_s || plan.whole || respelled.is_empty() {
        return String::new();
    }
    let spelled = |value: &dyn Fn(&MergeColumn) -> String| {
        list(
            respelled.iter().flat_map(|c| spelled(c.ty, &value(c))),
            ", ",
        )
    };
    let staged = spelled(&|c| format!("s.{}", Ident(&c.name)));
    let kept = spelled(&|c| format!("d.{}", Ident(&c.name)));
    let gone = spelled(&|c| loaded(c, "o"));
    let operation = Ident(&plan.operation);
    // The row of a key that is gone may be taken.
    let live = soft::live(plan).map_or_else(String::new, |live| format!(" AND {live}"));
    format!(
        "SELECT TOP (1) @example = {} FROM {} AS s JOIN {} AS d ON {} WHERE s.{operation} = \
'U'{live} AND NOT EXISTS (SELECT {staged} INTERSECT SELECT {kept}) AND NOT EXISTS (SELECT 1 FROM {} AS o WHERE \
o.{operation} = 'D' AND EXISTS (SELECT {gone} INTERSECT SELECT {kept}));
IF @example IS NOT NULL THROW {ERROR_DUPLICATE_KEY}, @example, 1;
",
        plan.shown_key("d"),
        TableIdent(&net.name),
        TableIdent(&plan.target),
        plan.join(),
        TableIdent(&plan.staging)
    )
}

/// Stops unless the table holds as many rows as were sent to it, of those that the filter on its rows `s` leaves.
pub(super) fn staged_rows(
    table: &TableName,
    filter: &str,
    sent: u64,
    params: &mut Params,
) -> String {
    let sent = params.int(i64::try_from(sent).unwrap_or(i64::MAX));
    format!(
        "SELECT @staged = COUNT_BIG(*) FROM {} AS s WITH (TABLOCK){filter};
IF @staged <> {sent}
BEGIN
    SET @message = CONCAT(N'', {sent}, N' rows were sent to the staging table and it holds ', @staged);
    THROW {ERROR_STAGED_ROWS}, @message, 1;
END;
SET @staged = 0;
",
        TableIdent(table)
    )
}

/// What must hold of the staged rows before any of them is used.
pub(super) fn checks(plan: &MergePlan, params: &mut Params) -> String {
    let staging = TableIdent(&plan.staging);
    let mut sql = String::new();
    let nullable = list(
        plan.key_columns()
            .filter(|column| column.staged_nullable)
            .map(|column| format!("s.{} IS NULL", Ident(&column.staged))),
        " OR ",
    );
    if !nullable.is_empty() && plan.needs_keys() {
        sql.push_str(&format!(
            "IF EXISTS (SELECT 1 FROM {staging} AS s WHERE {nullable}) THROW {ERROR_NULL_KEY}, N'a staged row has NULL \
                in its key', 1;\n"
        ));
    }
    for column in plan.columns.iter().filter(|c| c.may_lose()) {
        if faults::marks(plan, column) {
            continue;
        }
        let staged = format!("s.{}", Ident(&column.staged));
        let lost = faults::loses(column, &staged);
        let column_name = params.text(&column.name);
        sql.push_str(&format!(
            "SELECT TOP (1) @example = CONVERT(nvarchar(100), {staged}) FROM {staging} AS s WHERE {lost};
IF @example IS NOT NULL
BEGIN
    SET @message = CONCAT({column_name}, N': ', @example);
    THROW {ERROR_LOST_CHARACTER}, @message, 1;
END;
"
        ));
    }
    if plan.compares_keys() {
        sql.push_str(&distinct_keys(plan));
    }
    sql
}

/// No two staged rows of a segment may have keys that the target takes for equal, unless one is known to be newer.
fn distinct_keys(plan: &MergePlan) -> String {
    let staging = TableIdent(&plan.staging);
    let operation = Ident(&plan.operation);
    let keys = list(
        plan.key_columns()
            .map(|c| format!("{} AS {}", load_expression(c), Ident(&c.name))),
        ", ",
    );
    let group = list(
        plan.key_columns().map(|c| format!("n.{}", Ident(&c.name))),
        ", ",
    );
    let segment = Ident(&plan.segment);
    let find = format!(
        "SELECT TOP (1) @example = {} \
FROM (SELECT {keys}, s.{segment} FROM {staging} AS s WHERE s.{operation} = 'U') AS n \
GROUP BY {group}, n.{segment} HAVING COUNT_BIG(*) > 1;\n",
        plan.shown_key("n")
    );
    let mut sql = find.clone();
    if let Some(column) = &plan.newest {
        let staged = newest::Staged {
            table: &plan.staging,
            operation: Ident(&plan.operation),
            segment: Ident(&plan.segment),
            newest: Ident(column),
        };
        let equal = plan
            .key_columns()
            .map(|c| format!("{} = {}", loaded(c, "s"), loaded(c, "o")));
        sql.push_str(&newest::keep(&staged, &list(equal, " AND "), &find));
    }
    sql.push_str(&format!(
        "IF @example IS NOT NULL THROW {ERROR_DUPLICATE_KEY}, @example, 1;\n"
    ));
    sql
}

/// The staged rows as the target's types, one per key: of several, the last segment's; within a segment an upsert
/// is newer than a delete.
///
/// Keys that the target takes for equal may be different keys of the lake: `É1` and `é1`. The delete of one then says
/// nothing about the other. So the last change of each key as it is spelled is found first. Of equal keys an upsert
/// comes before the deletes, and where there is none each delete stays: the target's row has one of the spellings, and
/// only its own delete takes it.
pub(super) fn expression(plan: &MergePlan) -> String {
    let operation = Ident(&plan.operation);
    let segment = Ident(&plan.segment);
    let staging = TableIdent(&plan.staging);
    let values = plan.columns.iter().map(|c| {
        let value = match faults::marks(plan, c) {
            true => faults::kept(c),
            false => load_expression(c),
        };
        format!("{value} AS {}", Ident(&c.name))
    });
    let values = list(values.chain(faults::found(plan)), ", ");
    let keyed = plan.compares_keys() && (plan.segments > 1 || plan.has_deletes);
    if !keyed {
        return format!("SELECT {values}, s.{operation} FROM {staging} AS s");
    }
    let rank = plan.free_name("_rank");
    let rank = Ident(&rank);
    let keys = list(plan.key_columns().map(load_expression), ", ");
    let names = faults::names(plan, "n.");
    let respelled = plan.key_columns().any(|column| has_equals(column.ty));
    if !(respelled && plan.has_deletes) {
        return format!(
            "SELECT {names}, n.{operation} FROM (SELECT {values}, s.{operation}, ROW_NUMBER() OVER (PARTITION BY \
{keys} ORDER BY s.{segment} DESC, s.{operation} DESC) AS {rank} FROM {staging} AS s) AS n WHERE n.{rank} = 1"
        );
    }
    let spellings = list(
        plan.key_columns()
            .flat_map(|c| spelled(c.ty, &load_expression(c))),
        ", ",
    );
    let last = plan.free_name("_last");
    let last = Ident(&last);
    let staged_names = faults::names(plan, "l.");
    let equal = list(
        plan.key_columns().map(|c| format!("l.{}", Ident(&c.name))),
        ", ",
    );
    let kept = plan.free_name("_kept");
    let kept = Ident(&kept);
    format!(
        "SELECT {names}, n.{operation} FROM (SELECT {staged_names}, l.{operation}, ROW_NUMBER() OVER (PARTITION BY \
{equal} ORDER BY l.{operation} DESC, l.{segment} DESC) AS {rank}, MAX(l.{operation}) OVER (PARTITION BY {equal}) AS \
{kept} FROM (SELECT {values}, s.{operation}, s.{segment}, \
ROW_NUMBER() OVER (PARTITION BY {spellings} ORDER BY s.{segment} DESC, s.{operation} DESC) AS {last} FROM {staging} \
AS s) AS l WHERE l.{last} = 1) AS n WHERE n.{rank} = 1 OR n.{kept} = 'D'"
    )
}

/// A staged value as the target's type. `target::check` has refused whatever could lose something here.
pub(super) fn load_expression(column: &MergeColumn) -> String {
    loaded(column, "s")
}

/// The same, of the staging table under an alias.
fn loaded(column: &MergeColumn, alias: &str) -> String {
    let staged = format!("{alias}.{}", Ident(&column.staged));
    if let Some(types) = &column.base_types {
        let base_type = format!("{alias}.{}", Ident(&types.staged));
        return variant::rebuilt(&staged, &base_type, &types.found);
    }
    if column.is_as_staged() {
        staged
    } else if column.ty == SqlType::Xml {
        // Style 1 keeps white space that stands alone, as the source does.
        format!("CONVERT(xml, {staged}, 1)")
    } else {
        format!("CONVERT({}, {staged})", column.ty)
    }
}
