//! The one transaction of a load: lock, compare-and-set of the load state, checks of what was staged, the rows, the
//! counts. `target.rs` argues why nothing is lost or applied twice.

use super::compare::{compared, has_equals, spelled};
use super::state::{StateChange, compare_and_set, set_object};
use super::variant::{self, BaseType};
use super::{Ident, Params, Statement, TableIdent, list, newest, shown};
use crate::change::{MergeMode, UpsertStatement};
use crate::schema::types::Compare;
use crate::schema::{SqlType, TableName};

/// The lock was not granted.
pub const ERROR_LOCKED: u32 = 51002;
/// Two staged rows have one key, as the target compares keys.
pub const ERROR_DUPLICATE_KEY: u32 = 51004;
/// A staged row has no key.
pub const ERROR_NULL_KEY: u32 = 51005;
/// A character that the target column's code page does not have.
pub const ERROR_LOST_CHARACTER: u32 = 51006;
/// The staging table does not hold as many rows as were sent to it.
pub const ERROR_STAGED_ROWS: u32 = 51007;
/// A load that may only fill an empty target found rows in it.
pub const ERROR_NOT_EMPTY: u32 = 51008;
/// The target has two rows with the key of one staged row.
pub const ERROR_KEY_TWICE: u32 = 51009;
/// The target is no longer the table that the load was prepared for.
pub const ERROR_RECREATED: u32 = 51010;

/// What a load may take for granted about the rows that the target has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Held {
    /// Rows of earlier loads: staged rows are compared with them.
    #[default]
    Rows,
    /// Perhaps none: if there is none when the transaction has the table, rows are inserted without a comparison.
    PerhapsNone,
    /// None: with a row in the table, the load stops with [`ERROR_NOT_EMPTY`].
    None,
}

/// A column that the load writes, or joins on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeColumn {
    /// Name in the target.
    pub name: String,
    /// Type in the target.
    pub ty: SqlType,
    /// Name in the staging table.
    pub staged: String,
    pub staged_ty: SqlType,
    pub staged_nullable: bool,
    /// The server does not let an identity be updated.
    pub identity: bool,
    /// Where the base types of a `sql_variant` are.
    pub base_types: Option<BaseTypes>,
}

/// The base types of a staged `sql_variant`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseTypes {
    /// Name of their column in the staging table.
    pub staged: String,
    /// All that are staged.
    pub found: Vec<BaseType>,
}

/// Input of [`apply`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergePlan {
    pub target: TableName,
    pub staging: TableName,
    /// Name of the staging table's operation column.
    pub operation: String,
    /// Name of the staging table's segment column.
    pub segment: String,
    pub columns: Vec<MergeColumn>,
    /// Positions in `columns`; empty only for `Append` and `Replace`.
    pub key: Vec<usize>,
    pub mode: MergeMode,
    pub statement: UpsertStatement,
    /// Of staged rows whose keys the target takes for equal, the one with the greatest value in this column of the
    /// staging table counts. None: equal keys stop the load.
    pub newest: Option<String>,
    /// Whether deletes may be staged.
    pub has_deletes: bool,
    /// How many segments may be staged.
    pub segments: u32,
    /// How many rows were sent to the staging table.
    pub staged_rows: u64,
    pub held: Held,
    /// Every row of a snapshot is staged, so that what the target has beyond them can be counted.
    pub whole: bool,
    /// A unique index of the target has exactly the key's columns.
    pub has_unique_key: bool,
    /// Name of the lock that one load transaction of this target holds at a time.
    pub lock: String,
    pub lock_timeout_ms: u32,
}

/// The whole load in one batch; the staging table ends with it. One row: `inserted`, `updated`, `deleted`,
/// `unchanged`, and `target_only`, the rows of the target that a whole snapshot does not have. On any error nothing has
/// happened.
///
/// The target is looked at once more after its rows have changed: from then on this transaction holds a lock on the
/// table, so that it stays the table that the state names.
pub fn apply(plan: &MergePlan, state: &StateChange) -> Statement {
    let mut params = Params::default();
    let mut sql = format!(
        "SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT {};
DECLARE @rc int, @staged bigint = 0, @inserted bigint = 0, @updated bigint = 0, @deleted bigint = 0;
DECLARE @unchanged bigint = 0, @target_only bigint = 0;
DECLARE @example nvarchar(1000), @message nvarchar(2000);
BEGIN TRANSACTION;
EXEC @rc = sp_getapplock @Resource = {}, @LockMode = N'Exclusive', @LockOwner = N'Transaction', @LockTimeout = {};
IF @rc < 0 THROW {ERROR_LOCKED}, N'another load of this target is in its transaction', 1;
",
        plan.lock_timeout_ms,
        params.text(&plan.lock),
        plan.lock_timeout_ms,
    );
    let target = params.text(&state.target);
    sql.push_str(&compare_and_set(state, &target, &mut params));
    let sent = params.int(i64::try_from(plan.staged_rows).unwrap_or(i64::MAX));
    sql.push_str(&format!(
        "SELECT @staged = COUNT_BIG(*) FROM {} AS s WITH (TABLOCK);
IF @staged <> {sent}
BEGIN
    SET @message = CONCAT(N'', {sent}, N' rows were sent to the staging table and it holds ', @staged);
    THROW {ERROR_STAGED_ROWS}, @message, 1;
END;
SET @staged = 0;
",
        TableIdent(&plan.staging)
    ));
    sql.push_str(&checks(plan, &mut params));
    sql.push_str(&rows(plan));
    sql.push_str(&same_object(plan, state, &mut params));
    let object = set_object(state, &mut params);
    sql.push_str(&format!(
        "IF @staged > @inserted + @updated SET @unchanged = @staged - @inserted - @updated;
UPDATE s SET s.[inserted] = @inserted, s.[updated] = @updated, s.[deleted] = @deleted, s.[unchanged] = @unchanged, \
{object} FROM [icesync].[load_state] AS s WHERE s.[target] = {target};
DROP TABLE {};
COMMIT TRANSACTION;
SET LOCK_TIMEOUT -1;
SELECT @inserted AS inserted, @updated AS updated, @deleted AS deleted, @unchanged AS unchanged, \
@target_only AS target_only;",
        TableIdent(&plan.staging)
    ));
    params.into_statement(sql)
}

/// Stops unless the target still is the object that the load was prepared for.
fn same_object(plan: &MergePlan, state: &StateChange, params: &mut Params) -> String {
    let Some(object) = &state.object else {
        return String::new();
    };
    let name = params.text(TableIdent(&plan.target).to_string());
    let id = params.int(object.id);
    format!(
        "IF ISNULL(OBJECT_ID({name}), 0) <> {id} THROW {ERROR_RECREATED}, N'the target table was recreated', 1;\n"
    )
}

/// What must hold of the staged rows before any of them is used.
fn checks(plan: &MergePlan, params: &mut Params) -> String {
    let staging = TableIdent(&plan.staging);
    let mut sql = match plan.held {
        Held::None => format!(
            "IF EXISTS (SELECT 1 FROM {} WITH (TABLOCKX, HOLDLOCK)) THROW {ERROR_NOT_EMPTY}, N'the target has rows', \
                1;\n",
            TableIdent(&plan.target)
        ),
        Held::Rows | Held::PerhapsNone => String::new(),
    };
    let nullable = list(
        plan.key_columns()
            .filter(|column| column.staged_nullable)
            .map(|column| format!("s.{} IS NULL", Ident(&column.staged))),
        " OR ",
    );
    if !nullable.is_empty() && plan.compares_keys() {
        sql.push_str(&format!(
            "IF EXISTS (SELECT 1 FROM {staging} AS s WHERE {nullable}) THROW {ERROR_NULL_KEY}, N'a staged row has NULL \
                in its key', 1;\n"
        ));
    }
    for column in plan.columns.iter().filter(|c| c.ty.is_code_page_text()) {
        let staged = format!("s.{}", Ident(&column.staged));
        let back = format!(
            "CONVERT(varbinary(max), CONVERT(nvarchar(max), CONVERT(varchar(max), {staged})))"
        );
        let column_name = params.text(&column.name);
        sql.push_str(&format!(
            "SELECT TOP (1) @example = CONVERT(nvarchar(100), {staged}) FROM {staging} AS s WHERE {back} <> \
                CONVERT(varbinary(max), {staged});
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
    let text = list(
        plan.key_columns()
            .map(|c| shown(c.ty, &format!("n.{}", Ident(&c.name)))),
        ", N', ', ",
    );
    let segment = Ident(&plan.segment);
    let find = format!(
        "SELECT TOP (1) @example = CONCAT(N'(', {text}, N')') \
FROM (SELECT {keys}, s.{segment} FROM {staging} AS s WHERE s.{operation} = 'U') AS n \
GROUP BY {group}, n.{segment} HAVING COUNT_BIG(*) > 1;\n"
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

/// The statements that change the target.
fn rows(plan: &MergePlan) -> String {
    let target = TableIdent(&plan.target);
    let net = net(plan);
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
            "INSERT INTO {target}{hint} ({}) SELECT {} FROM ({net}) AS s{upserts};\nSET @inserted = ROWCOUNT_BIG();\n",
            plan.names(""),
            plan.names("s.")
        )
    };
    let changes = match (plan.mode, plan.key.is_empty()) {
        (MergeMode::Append, _) => insert_all(""),
        (MergeMode::Replace, true) => {
            format!(
                "DELETE FROM {target};\nSET @deleted = ROWCOUNT_BIG();\n{}",
                insert_all("")
            )
        }
        (MergeMode::Replace, false) => format!(
            "DELETE d FROM {target} AS d WITH (UPDLOCK, SERIALIZABLE) WHERE NOT EXISTS (SELECT 1 FROM ({net}) AS s \
                WHERE {});
SET @deleted = ROWCOUNT_BIG();
{}",
            plan.join(),
            upsert(plan, &net)
        ),
        (MergeMode::Upsert, _) => upsert(plan, &net),
    };
    let body = format!("{}{changes}{}", key_twice(plan, &net), target_only(plan));
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
    let text = list(
        plan.key_columns().map(|c| shown(c.ty, &name(c))),
        ", N', ', ",
    );
    format!(
        "SELECT TOP (1) @example = CONCAT(N'(', {text}, N')') \
FROM ({net}) AS s JOIN {} AS d WITH (UPDLOCK, SERIALIZABLE) ON {} GROUP BY {group} HAVING COUNT_BIG(*) > 1;
IF @example IS NOT NULL THROW {ERROR_KEY_TWICE}, @example, 1;
",
        TableIdent(&plan.target),
        plan.join()
    )
}

/// Counts the rows that no staged row matches. Each staged row matches exactly one by now.
fn target_only(plan: &MergePlan) -> String {
    if !plan.whole || plan.mode != MergeMode::Upsert {
        return String::new();
    }
    format!(
        "SELECT @target_only = COUNT_BIG(*) - @staged FROM {} AS d;\n",
        TableIdent(&plan.target)
    )
}

fn upsert(plan: &MergePlan, net: &str) -> String {
    match plan.statement {
        UpsertStatement::Merge => merge(plan, net),
        UpsertStatement::UpdateInsert => update_insert(plan, net),
    }
}

fn merge(plan: &MergePlan, net: &str) -> String {
    let operation = Ident(&plan.operation);
    let mut sql = format!(
        "DECLARE @actions TABLE (action nvarchar(10) NOT NULL);
MERGE {} WITH (HOLDLOCK) AS d
USING ({net}) AS s
ON {}
",
        TableIdent(&plan.target),
        plan.join()
    );
    let mut updated = String::new();
    if plan.has_deletes {
        sql.push_str(&format!(
            "WHEN MATCHED AND s.{operation} = 'D'{} THEN DELETE\n",
            plan.same_key()
        ));
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
OUTPUT $action INTO @actions (action);
SELECT @inserted = COUNT_BIG(CASE WHEN a.action = N'INSERT' THEN 1 END), @updated = COUNT_BIG(CASE WHEN a.action = \
N'UPDATE' THEN 1 END), \
@deleted = @deleted + COUNT_BIG(CASE WHEN a.action = N'DELETE' THEN 1 END) FROM @actions AS a;
",
        plan.names(""),
        plan.names("s.")
    ));
    sql
}

/// Deletes first: a row that goes may hold a value of a unique index that another row now takes.
fn update_insert(plan: &MergePlan, net: &str) -> String {
    let target = TableIdent(&plan.target);
    let operation = Ident(&plan.operation);
    let join = plan.join();
    let mut sql = String::new();
    let only = |what: &str| {
        if plan.has_deletes {
            format!("s.{operation} = '{what}' AND ")
        } else {
            String::new()
        }
    };
    if plan.has_deletes {
        sql.push_str(&format!(
            "DELETE d FROM {target} AS d WITH (UPDLOCK, SERIALIZABLE) JOIN ({net}) AS s ON {join} WHERE s.{operation} \
                = 'D'{};
SET @deleted = @deleted + ROWCOUNT_BIG();
",
            plan.same_key()
        ));
    }
    if let Some((set, changed)) = plan.update() {
        sql.push_str(&format!(
            "UPDATE d SET {set} FROM {target} AS d WITH (UPDLOCK, SERIALIZABLE) JOIN ({net}) AS s ON {join} WHERE \
                {}{changed};
SET @updated = ROWCOUNT_BIG();
",
            only("U")
        ));
    }
    sql.push_str(&format!(
        "INSERT INTO {target} ({}) SELECT {} FROM ({net}) AS s \
WHERE {}NOT EXISTS (SELECT 1 FROM {target} AS d WITH (UPDLOCK, SERIALIZABLE) WHERE {join});
SET @inserted = ROWCOUNT_BIG();
",
        plan.names(""),
        plan.names("s."),
        only("U")
    ));
    sql
}

/// The staged rows as the target's types, one per key: of several, the last segment's; within a segment an upsert
/// is newer than a delete.
///
/// Keys that the target takes for equal may be different keys of the lake: `É1` and `é1`. The delete of one then says
/// nothing about the other. So where a later segment could delete what an earlier one upserts, the last change of each
/// key as it is spelled is found first, and of equal keys an upsert comes before a delete.
fn net(plan: &MergePlan) -> String {
    let operation = Ident(&plan.operation);
    let segment = Ident(&plan.segment);
    let staging = TableIdent(&plan.staging);
    let values = list(
        plan.columns
            .iter()
            .map(|c| format!("{} AS {}", load_expression(c), Ident(&c.name))),
        ", ",
    );
    let keyed = plan.compares_keys() && (plan.segments > 1 || plan.has_deletes);
    if !keyed {
        return format!("SELECT {values}, s.{operation} FROM {staging} AS s");
    }
    let rank = plan.free_name("_rank");
    let rank = Ident(&rank);
    let keys = list(plan.key_columns().map(load_expression), ", ");
    let names = plan.names("n.");
    let respelled = plan.key_columns().any(|column| has_equals(column.ty));
    if !(respelled && plan.has_deletes && plan.segments > 1) {
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
    let staged_names = plan.names("l.");
    let equal = list(
        plan.key_columns().map(|c| format!("l.{}", Ident(&c.name))),
        ", ",
    );
    format!(
        "SELECT {names}, n.{operation} FROM (SELECT {staged_names}, l.{operation}, ROW_NUMBER() OVER (PARTITION BY \
{equal} ORDER BY l.{operation} DESC, l.{segment} DESC) AS {rank} FROM (SELECT {values}, s.{operation}, s.{segment}, \
ROW_NUMBER() OVER (PARTITION BY {spellings} ORDER BY s.{segment} DESC, s.{operation} DESC) AS {last} FROM {staging} \
AS s) AS l WHERE l.{last} = 1) AS n WHERE n.{rank} = 1"
    )
}

/// A staged value as the target's type. `target::check` has refused whatever could lose something here.
fn load_expression(column: &MergeColumn) -> String {
    loaded(column, "s")
}

/// The same, of the staging table under an alias.
fn loaded(column: &MergeColumn, alias: &str) -> String {
    let staged = format!("{alias}.{}", Ident(&column.staged));
    if let Some(types) = &column.base_types {
        let base_type = format!("{alias}.{}", Ident(&types.staged));
        return variant::rebuilt(&staged, &base_type, &types.found);
    }
    // One type under two names.
    let numeric = |ty| {
        if let SqlType::Decimal { precision, scale } = ty {
            SqlType::Numeric { precision, scale }
        } else {
            ty
        }
    };
    if numeric(column.ty) == numeric(column.staged_ty) {
        staged
    } else if column.ty == SqlType::Xml {
        // Style 1 keeps white space that stands alone, as the source does.
        format!("CONVERT(xml, {staged}, 1)")
    } else {
        format!("CONVERT({}, {staged})", column.ty)
    }
}

impl MergePlan {
    fn key_columns(&self) -> impl Iterator<Item = &MergeColumn> {
        self.key.iter().filter_map(|&at| self.columns.get(at))
    }

    /// Whether rows are matched by key, so that keys must be present and unique.
    fn compares_keys(&self) -> bool {
        !self.key.is_empty() && self.mode != MergeMode::Append
    }

    fn names(&self, alias: &str) -> String {
        list(
            self.columns
                .iter()
                .map(|c| format!("{alias}{}", Ident(&c.name))),
            ", ",
        )
    }

    fn join(&self) -> String {
        list(
            self.key_columns().map(|c| {
                let name = Ident(&c.name);
                format!("d.{name} = s.{name}")
            }),
            " AND ",
        )
    }

    /// The condition that the target's row has the very key that is staged, not only one that is equal to it: a delete
    /// of `É1` must not take `é1`. Empty where equal keys are the same.
    fn same_key(&self) -> String {
        let side = |alias: &str| {
            let columns = self.key_columns().filter(|column| has_equals(column.ty));
            list(
                columns.flat_map(|c| spelled(c.ty, &format!("{alias}.{}", Ident(&c.name)))),
                ", ",
            )
        };
        match side("s") {
            none if none.is_empty() => none,
            staged => format!(
                " AND EXISTS (SELECT {staged} INTERSECT SELECT {})",
                side("d")
            ),
        }
    }

    /// The SET list and the condition that something differs; none when there is nothing to set. Key columns of
    /// some types are among them: keys that are equal to the target may still be different values.
    fn update(&self) -> Option<(String, String)> {
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
        let side = |alias: &str| {
            list(
                columns
                    .iter()
                    .flat_map(|c| compared(c.ty, &format!("{alias}.{}", Ident(&c.name)))),
                ", ",
            )
        };
        let set = list(
            columns.iter().map(|c| {
                let name = Ident(&c.name);
                format!("d.{name} = s.{name}")
            }),
            ", ",
        );
        let compares = |c: &&MergeColumn| c.ty.facts().compare != Compare::Nothing;
        let changed = match columns.iter().all(compares) {
            true => format!("EXISTS (SELECT {} EXCEPT SELECT {})", side("s"), side("d")),
            false => "1 = 1".to_owned(),
        };
        Some((set, changed))
    }

    /// A name that no column has.
    fn free_name(&self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        let taken = |name: &str| {
            self.columns
                .iter()
                .any(|c| c.name.eq_ignore_ascii_case(name))
        };
        while taken(&name) {
            name.push('_');
        }
        name
    }
}
