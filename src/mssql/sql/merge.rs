//! The one transaction of a load: lock, load state compared and begun, checks of what was staged, the rows, the load
//! state with what was reached. `target.rs` argues why nothing is lost or applied twice.

use super::compare::{compared, has_equals, spelled};
use super::state::{StateChange, Step, compare_and_begin, reached, recorded, set_object};
use super::{Ident, Params, Statement, TableIdent, list};
use super::{net, scd2, soft};
use crate::change::{Deletes, MergeMode, UpsertStatement};
use crate::schema::types::Compare;

pub use super::plan::*;

/// A load, or a part of it, in one batch; the staging table ends with the last part. One row: `inserted`, `updated`,
/// `deleted`, `unchanged`, and `target_only`, the rows of the target that a whole snapshot does not have. On any error,
/// also one that a trigger raises without a rollback, nothing has happened. What a trigger has committed itself stays,
/// with a state that says so (`state.rs`).
///
/// The target is looked at once more after its rows have changed: from then on this transaction holds a lock on the
/// table, so that it stays the table that the state names.
pub fn apply(plan: &MergePlan, state: &StateChange, extent: Extent) -> Statement {
    let step = state.step.map(|step| plan.of_part(step.part()));
    let plan = step.as_ref().unwrap_or(plan);
    let mut params = Params::default();
    let mut sql = format!(
        "SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT {};
DECLARE @rc int, @staged bigint = 0, @inserted bigint = 0, @updated bigint = 0, @deleted bigint = 0;
DECLARE @unchanged bigint = 0, @target_only bigint = 0;
DECLARE @example nvarchar(1000), @message nvarchar(2000);
",
        plan.lock_timeout_ms,
    );
    let (begin, end) = ends(extent);
    sql.push_str(begin);
    let target = params.text(&state.target);
    let (table, filter, sent) = match &plan.net {
        Some(net) => (&net.name, where_part(net, "s"), net.part_rows()),
        None => (&plan.staging, String::new(), plan.staged_rows),
    };
    if extent.has_upserts() {
        sql.push_str(&lock(plan, &mut params));
        let rows = state.step.map_or(sent, |step| step.rows);
        sql.push_str(&compare_and_begin(state, rows, &target, &mut params));
        sql.push_str(&net::staged_rows(table, &filter, sent, &mut params));
        sql.push_str(&empty(plan));
        if plan.net.is_none() {
            sql.push_str(&net::checks(plan, &mut params));
        }
    }
    let is_last = state.step.is_none_or(Step::is_last);
    sql.push_str(&match extent {
        Extent::Transaction | Extent::Everything | Extent::Upserts => rows(plan, extent, is_last),
        Extent::Deferred => deferred(plan),
        Extent::Deletes => deletes(plan, &source(plan)) + &target_only(plan, extent, is_last),
    });
    sql.push_str(&same_object(plan, state, &mut params));
    // Until the load is complete the state keeps the table and the columns of the load before: rows that it has not
    // reached are not of this load.
    let object = match is_last && extent.has_deletes() {
        true => format!(", {}", set_object(state, &mut params)),
        false => String::new(),
    };
    let reached = match extent.has_deletes() {
        true => format!(", {}", reached(state, &mut params)),
        false => String::new(),
    };
    let is_first = extent.has_upserts() && state.step.is_none_or(|step| step.after == 0);
    let counted = ["inserted", "updated", "deleted", "unchanged"].map(|name| match is_first {
        true => format!("s.[{name}] = @{name}"),
        false => format!("s.[{name}] = s.[{name}] + @{name}"),
    });
    let set = format!("{}{reached}{object}", list(counted, ", "));
    sql.push_str(&format!(
        "IF @staged > @inserted + @updated SET @unchanged = @staged - @inserted - @updated;\n{}",
        recorded(&set, &target, state, &plan.lock, &mut params)
    ));
    if is_last && extent.has_deletes() {
        sql.push_str(&format!("DROP TABLE {};\n", TableIdent(table)));
    }
    sql.push_str(end);
    sql.push_str(
        "SELECT @inserted AS inserted, @updated AS updated, @deleted AS deleted, @unchanged AS unchanged, \
@target_only AS target_only;",
    );
    params.into_statement(sql)
}

/// What begins and ends a transaction of its own; nothing in one that is open.
///
/// `XACT_ABORT` does not act on RAISERROR (documentation: "SET XACT_ABORT"): after a trigger has raised an error that
/// way, the batch would go on to its COMMIT. With TRY the first error of severity 11 or more ends the transaction, and
/// THROW passes it on with its number, procedure and line. Where a trigger has rolled back or committed (error 3609),
/// no transaction is left.
///
/// What TRY does not see does not get to the COMMIT either (documentation: "TRY...CATCH"): an attention, or a name that
/// is missing when a statement is compiled, ends the batch, and severity 20 or more the session.
fn ends(extent: Extent) -> (&'static str, &'static str) {
    match extent {
        Extent::Transaction => (
            "BEGIN TRY\nBEGIN TRANSACTION;\n",
            "COMMIT TRANSACTION;
END TRY
BEGIN CATCH
    IF XACT_STATE() <> 0 ROLLBACK TRANSACTION;
    SET LOCK_TIMEOUT -1;
    THROW;
END CATCH;
SET LOCK_TIMEOUT -1;
",
        ),
        Extent::Everything | Extent::Upserts | Extent::Deferred | Extent::Deletes => ("", ""),
    }
}

/// Takes the lock that one load transaction of the target holds.
pub(super) fn lock(plan: &MergePlan, params: &mut Params) -> String {
    format!(
        "EXEC @rc = sp_getapplock @Resource = {}, @LockMode = N'Exclusive', @LockOwner = N'Transaction', \
@LockTimeout = {};
IF @rc < 0 THROW {ERROR_LOCKED}, N'another load of this target is in its transaction', 1;
",
        params.text(&plan.lock),
        plan.lock_timeout_ms,
    )
}

/// Stops unless the target still is the object that the load was prepared for, with the columns and indexes that it
/// had.
pub(super) fn same_object(plan: &MergePlan, state: &StateChange, params: &mut Params) -> String {
    let Some(object) = &state.object else {
        return String::new();
    };
    let name = params.text(TableIdent(&plan.target).to_string());
    let id = params.int(object.id);
    let modified = match state.modified.is_empty() {
        true => String::new(),
        false => format!(
            " AND CONVERT(nvarchar(30), o.modify_date, 126) = {}",
            params.text(&state.modified)
        ),
    };
    format!(
        "IF NOT EXISTS (SELECT 1 FROM sys.objects AS o WHERE o.object_id = {id} AND o.object_id = OBJECT_ID({name})\
{modified}) THROW {ERROR_RECREATED}, N'the target table was recreated \
or altered', 1;\n"
    )
}

/// Stops a load that may only fill an empty target.
fn empty(plan: &MergePlan) -> String {
    match plan.held {
        Held::None => format!(
            "IF EXISTS (SELECT 1 FROM {} WITH (TABLOCKX, HOLDLOCK)) THROW {ERROR_NOT_EMPTY}, N'the target has rows', \
1;\n",
            TableIdent(&plan.target)
        ),
        Held::Rows | Held::PerhapsNone => String::new(),
    }
}

/// The rows that the transaction applies: a query with the target's columns and the operation.
fn source(plan: &MergePlan) -> String {
    let Some(net) = &plan.net else {
        return net::expression(plan);
    };
    format!(
        "SELECT {}, n.{} FROM {} AS n{}",
        plan.names("n."),
        Ident(&plan.operation),
        TableIdent(&net.name),
        where_part(net, "n")
    )
}

fn where_part(net: &NetTable, alias: &str) -> String {
    let condition = net.condition(alias);
    condition.map_or_else(String::new, |condition| format!(" WHERE {condition}"))
}

/// The statements that change the target. The last of a load count what only the target has.
pub(super) fn rows(plan: &MergePlan, extent: Extent, is_last: bool) -> String {
    if let (MergeMode::Scd2, Some(validity)) = (plan.mode, &plan.validity) {
        return scd2::rows(plan, validity);
    }
    let target = TableIdent(&plan.target);
    let net = source(plan);
    let upserts = if plan.has_deletes {
        format!(" WHERE s.{} = 'U'", Ident(&plan.operation))
    } else {
        String::new()
    };
    let mut sql = format!("SELECT @staged = COUNT_BIG(*) FROM ({net}) AS s{upserts};\n");
    let identity = plan.columns.iter().any(|column| column.identity);
    if identity {
        sql.push_str(&format!("SET IDENTITY_INSERT {target} ON;\n"));
    }
    let insert_all = |hint: &str| {
        format!(
            "INSERT INTO {target}{hint} ({}) SELECT {} FROM ({net}) AS s{upserts};\nSET @inserted = ROWCOUNT_BIG();\n\
IF @inserted <> @staged THROW {ERROR_STAGED_ROWS}, N'the target did not take every row', 1;\n",
            plan.names(""),
            plan.values("s.")
        )
    };
    let changes = match (plan.mode, plan.key.is_empty()) {
        (MergeMode::Append | MergeMode::History | MergeMode::Scd2, _) => insert_all(""),
        (MergeMode::Replace, true) => {
            format!(
                "DELETE FROM {target};\nSET @deleted = ROWCOUNT_BIG();\n{}",
                insert_all("")
            )
        }
        // In the order of `update_insert`.
        (MergeMode::Replace, false) if extent.has_deletes() => {
            let (gone, kept) = (deletes(plan, &net), upsert(plan, &net, extent));
            match plan.references_itself {
                true => kept + &gone,
                false => gone + &kept,
            }
        }
        (MergeMode::Replace, false) | (MergeMode::Upsert, _) => upsert(plan, &net, extent),
    };
    let body = format!(
        "{}{changes}{}",
        key_twice(plan, &net),
        target_only(plan, extent, is_last)
    );
    sql.push_str(&match plan.held {
        Held::None => insert_all(" WITH (TABLOCK)"),
        Held::PerhapsNone => format!(
            "IF NOT EXISTS (SELECT 1 FROM {target} WITH (TABLOCKX, HOLDLOCK))\nBEGIN\n{}END\nELSE\nBEGIN\n{body}END;\n",
            insert_all(" WITH (TABLOCK)")
        ),
        Held::Rows => body,
    });
    if identity {
        sql.push_str(&format!("SET IDENTITY_INSERT {target} OFF;\n"));
    }
    sql
}

/// Stops where a staged key meets two rows of the target. A unique index on the key rules that out, so it is looked for
/// only without one. The rows and the ranges of their keys stay locked, so that no second row is added meanwhile.
fn key_twice(plan: &MergePlan, net: &str) -> String {
    if plan.has_unique_key || !plan.compares_keys() {
        return String::new();
    }
    let name = |column: &MergeColumn| format!("s.{}", Ident(&column.name));
    let group = list(plan.key_columns().map(name), ", ");
    format!(
        "SELECT TOP (1) @example = {} \
FROM ({net}) AS s JOIN {} AS d WITH (UPDLOCK, SERIALIZABLE) ON {} GROUP BY {group} HAVING COUNT_BIG(*) > 1;
IF @example IS NOT NULL THROW {ERROR_KEY_TWICE}, @example, 1;
",
        plan.shown_key("s"),
        TableIdent(&plan.target),
        plan.join()
    )
}

/// Counts the rows that no staged row matches, without those that are known to be of keys that are gone. Each staged
/// row matches exactly one by now.
fn target_only(plan: &MergePlan, extent: Extent, is_last: bool) -> String {
    if !plan.counts_target_only() || !is_last || !extent.has_deletes() {
        return String::new();
    }
    let live = soft::live(plan).map_or_else(String::new, |live| format!(" WHERE {live}"));
    let staged = match &plan.net {
        Some(net) => net.upserts.to_string(),
        None if extent == Extent::Deletes => plan.staged_rows.to_string(),
        None => "@staged".to_owned(),
    };
    format!(
        "SELECT @target_only = COUNT_BIG(*) - {staged} FROM {} AS d{live};\n",
        TableIdent(&plan.target)
    )
}

fn upsert(plan: &MergePlan, net: &str, extent: Extent) -> String {
    if !plan.has_deletes || plan.deletes == Deletes::Hard {
        return written(plan, net, extent);
    }
    let kept = MergePlan {
        has_deletes: false,
        ..plan.clone()
    };
    let upserts = written(&kept, &soft::upserts(plan, net), extent);
    match extent.has_deletes() {
        true => deletes(plan, net) + &upserts,
        false => upserts,
    }
}

fn written(plan: &MergePlan, net: &str, extent: Extent) -> String {
    match plan.statement {
        UpsertStatement::Merge => merge(plan, net, extent),
        UpsertStatement::UpdateInsert => update_insert(plan, net, extent),
    }
}

/// The rows that are gone: those that are staged so, or for a replacement those that are not staged. They are deleted,
/// or marked, or left as they are.
fn deletes(plan: &MergePlan, net: &str) -> String {
    if let (MergeMode::Upsert, true, Deletes::Soft(soft)) =
        (plan.mode, plan.has_deletes, &plan.deletes)
    {
        return soft::mark(plan, soft, net, &plan.same_key());
    }
    let Some(gone) = gone(plan, net) else {
        return String::new();
    };
    format!(
        "DELETE d FROM {} AS d WITH (UPDLOCK, SERIALIZABLE) {gone};
SET @deleted = @deleted + ROWCOUNT_BIG();
",
        TableIdent(&plan.target)
    )
}

/// What follows the target (`d`) in a FROM clause to leave the rows that are deleted, with a WHERE clause at its end;
/// none where no row is.
fn gone(plan: &MergePlan, net: &str) -> Option<String> {
    let join = plan.join();
    match (plan.mode, &plan.deletes) {
        (MergeMode::Replace, _) if !plan.key.is_empty() => Some(format!(
            "WHERE NOT EXISTS (SELECT 1 FROM ({net}) AS s WHERE {join})"
        )),
        (MergeMode::Upsert, Deletes::Hard) if plan.has_deletes => {
            let same = match plan.same_key() {
                same if same.is_empty() => same,
                same => format!(" AND {same}"),
            };
            let operation = Ident(&plan.operation);
            Some(format!(
                "JOIN ({net}) AS s ON {join} WHERE s.{operation} = 'D'{same}"
            ))
        }
        (
            MergeMode::Upsert
            | MergeMode::Append
            | MergeMode::Replace
            | MergeMode::History
            | MergeMode::Scd2,
            _,
        ) => None,
    }
}

/// The values of deferred columns, in rows that have been inserted or updated without them; and NULL in rows that are
/// to be deleted, so that those which they refer to may go first.
fn deferred(plan: &MergePlan) -> String {
    let columns = plan.deferred.iter().filter_map(|&at| plan.columns.get(at));
    let columns: Vec<&MergeColumn> = columns.collect();
    let set = columns.iter().map(|c| {
        let name = Ident(&c.name);
        format!("d.{name} = s.{name}")
    });
    if columns.is_empty() {
        return String::new();
    }
    let released = gone(plan, &source(plan)).map(|gone| {
        let names = columns.iter().map(|c| format!("d.{}", Ident(&c.name)));
        let names: Vec<String> = names.collect();
        format!(
            "UPDATE d SET {} FROM {} AS d WITH (UPDLOCK, SERIALIZABLE) {gone} AND ({});\n",
            list(names.iter().map(|name| format!("{name} = NULL")), ", "),
            TableIdent(&plan.target),
            list(
                names.iter().map(|name| format!("{name} IS NOT NULL")),
                " OR "
            ),
        )
    });
    format!(
        "{}UPDATE d SET {} FROM {} AS d WITH (UPDLOCK, SERIALIZABLE) JOIN ({}) AS s ON {} WHERE s.{} = 'U' AND {};
",
        released.unwrap_or_default(),
        list(set, ", "),
        TableIdent(&plan.target),
        source(plan),
        plan.join(),
        Ident(&plan.operation),
        differ(&columns),
    )
}

/// The condition that a staged row and the target's differ in one of these columns. Values of some types cannot be
/// compared: then any two rows count as different.
fn differ(columns: &[&MergeColumn]) -> String {
    let side = |alias: &str| {
        let values = |c: &&MergeColumn| compared(c.ty, &format!("{alias}.{}", Ident(&c.name)));
        list(columns.iter().flat_map(values), ", ")
    };
    let compares = |c: &&MergeColumn| c.ty.facts().compare != Compare::Nothing;
    match columns.iter().all(compares) {
        true => format!("EXISTS (SELECT {} EXCEPT SELECT {})", side("s"), side("d")),
        false => "1 = 1".to_owned(),
    }
}

fn merge(plan: &MergePlan, net: &str, extent: Extent) -> String {
    let operation = Ident(&plan.operation);
    let on = match plan.same_key() {
        same if plan.has_deletes && !same.is_empty() => {
            format!("{} AND (s.{operation} = 'U' OR {same})", plan.join())
        }
        _ => plan.join(),
    };
    let mut sql = format!(
        "CREATE TABLE #actions ([action] nvarchar(10) COLLATE DATABASE_DEFAULT NOT NULL);
MERGE {} WITH (HOLDLOCK) AS d
USING ({net}) AS s
ON {}
",
        TableIdent(&plan.target),
        on
    );
    let mut updated = String::new();
    if plan.has_deletes {
        if extent.has_deletes() {
            sql.push_str(&format!(
                "WHEN MATCHED AND s.{operation} = 'D' THEN DELETE\n"
            ));
        }
        updated = format!("s.{operation} = 'U' AND ");
    }
    if let Some((set, changed)) = plan.update() {
        sql.push_str(&format!(
            "WHEN MATCHED AND {updated}{changed} THEN UPDATE SET {set}\n"
        ));
    }
    let inserted = if plan.has_deletes {
        format!(" AND s.{operation} = 'U'")
    } else {
        String::new()
    };
    sql.push_str(&format!(
        "WHEN NOT MATCHED BY TARGET{inserted} THEN INSERT ({}) VALUES ({})
OUTPUT $action INTO #actions ([action]);
SELECT @inserted = COUNT_BIG(CASE WHEN a.[action] = N'INSERT' THEN 1 END), @updated = COUNT_BIG(CASE WHEN a.[action] = \
N'UPDATE' THEN 1 END), \
@deleted = @deleted + COUNT_BIG(CASE WHEN a.[action] = N'DELETE' THEN 1 END) FROM #actions AS a;
DROP TABLE #actions;
",
        plan.names(""),
        plan.values("s.")
    ));
    sql
}

/// Deletes first: a row that goes may hold a value of a unique index that another row now takes. But where rows of the
/// table refer to each other, they come last: another row may have referred to the one that goes. So may an update
/// refer to a row that is inserted.
fn update_insert(plan: &MergePlan, net: &str, extent: Extent) -> String {
    let target = TableIdent(&plan.target);
    let operation = Ident(&plan.operation);
    let join = plan.join();
    let upserts = match plan.has_deletes {
        true => format!("s.{operation} = 'U' AND "),
        false => String::new(),
    };
    let gone = match plan.mode == MergeMode::Upsert && extent.has_deletes() {
        true => deletes(plan, net),
        false => String::new(),
    };
    // Rows that have just been inserted lack the values of deferred columns, and are not counted as updated.
    let counts_first = plan.references_itself && !plan.deferred.is_empty();
    let (mut counted, mut updates) = (String::new(), String::new());
    if let Some((set, changed)) = plan.update() {
        let rows = format!(
            "FROM {target} AS d WITH (UPDLOCK, SERIALIZABLE) JOIN ({net}) AS s ON {join} WHERE {upserts}{changed};\n"
        );
        updates = format!("UPDATE d SET {set} {rows}");
        match counts_first {
            true => counted = format!("SELECT @updated = COUNT_BIG(*) {rows}"),
            false => updates.push_str("SET @updated = ROWCOUNT_BIG();\n"),
        }
    }
    let inserts = format!(
        "INSERT INTO {target} ({}) SELECT {} FROM ({net}) AS s \
WHERE {upserts}NOT EXISTS (SELECT 1 FROM {target} AS d WITH (UPDLOCK, SERIALIZABLE) WHERE {join});
SET @inserted = ROWCOUNT_BIG();
",
        plan.names(""),
        plan.values("s."),
    );
    match plan.references_itself {
        true => format!("{counted}{inserts}{updates}{gone}"),
        false => format!("{gone}{updates}{inserts}"),
    }
}

impl MergePlan {
    /// The condition that the target's row has the very key that is staged, not only one that is equal to it: a delete
    /// of `É1` must not take `é1`. Empty where equal keys are the same.
    fn same_key(&self) -> String {
        self.spelled_alike("s", "d")
    }

    /// The condition that two rows, whose keys are equal, have the very same one. Empty where equal keys are the same.
    pub(super) fn spelled_alike(&self, one: &str, other: &str) -> String {
        let side = |alias: &str| {
            let columns = self.key_columns().filter(|column| has_equals(column.ty));
            list(
                columns.flat_map(|c| spelled(c.ty, &format!("{alias}.{}", Ident(&c.name)))),
                ", ",
            )
        };
        match side(one) {
            none if none.is_empty() => none,
            values => format!("EXISTS (SELECT {values} INTERSECT SELECT {})", side(other)),
        }
    }

    /// The SET list and the condition that something differs; none when there is nothing to set. Key columns of
    /// some types are among them: keys that are equal to the target may still be different values.
    fn update(&self) -> Option<(String, String)> {
        soft::unmarked(self, self.changed())
    }

    /// The same of the lake's values.
    fn changed(&self) -> Option<(String, String)> {
        let columns: Vec<&MergeColumn> = self
            .columns
            .iter()
            .enumerate()
            .filter(|(at, c)| !c.identity && (!self.key.contains(at) || has_equals(c.ty)))
            .map(|(_, c)| c)
            .collect();
        if columns.is_empty() {
            return None;
        }
        let is_deferred = |c: &MergeColumn| {
            let mut columns = self.deferred.iter().filter_map(|&at| self.columns.get(at));
            columns.any(|deferred| deferred.name == c.name)
        };
        // A row in which only deferred columns differ counts as updated, too.
        let set = list(
            columns.iter().map(|c| {
                let name = Ident(&c.name);
                let from = if is_deferred(c) { "d" } else { "s" };
                format!("d.{name} = {from}.{name}")
            }),
            ", ",
        );
        Some((set, differ(&columns)))
    }
}
