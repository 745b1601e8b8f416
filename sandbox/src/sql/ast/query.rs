//! SELECT and what it reads from.

use super::{Condition, Expr, Ident, ObjectName, TypeName};

/// A whole query: CTEs, body, ordering and hints. A subquery has no CTEs and no options.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    pub ctes: Vec<Cte>,
    pub body: QueryBody,
    pub order_by: Vec<OrderItem>,
    pub offset: Option<Expr>,
    /// FETCH NEXT, only with `offset`.
    pub fetch: Option<Expr>,
    pub options: Vec<QueryHint>,
    pub line: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Cte {
    pub name: Ident,
    pub columns: Vec<Ident>,
    pub query: Query,
    pub line: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub enum QueryBody {
    Select(Box<Select>),
    SetOperation {
        op: SetOp,
        left: Box<QueryBody>,
        right: Box<QueryBody>,
        line: u32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetOp {
    Union,
    UnionAll,
    Except,
    Intersect,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Select {
    pub distinct: bool,
    pub top: Option<Top>,
    pub items: Vec<SelectItem>,
    pub into: Option<ObjectName>,
    /// Comma-separated sources.
    pub from: Vec<TableSource>,
    pub filter: Option<Condition>,
    pub group_by: Vec<Expr>,
    pub having: Option<Condition>,
    pub line: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Top {
    pub count: Expr,
    pub percent: bool,
    pub with_ties: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum SelectItem {
    Star,
    /// `t.*`
    QualifiedStar(ObjectName),
    Expr {
        expr: Expr,
        alias: Option<Ident>,
    },
    /// `@v = expr`, or `@v += expr` with `op`.
    Assign {
        variable: String,
        op: Option<super::BinaryOp>,
        expr: Expr,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct OrderItem {
    pub expr: Expr,
    pub descending: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct TableSource {
    pub kind: TableSourceKind,
    pub line: u32,
}

/// Of a source that introduces a name: `AS alias (columns)`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Alias {
    pub name: Option<Ident>,
    pub columns: Vec<Ident>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum TableSourceKind {
    /// A table, view, CTE, `inserted` or `deleted`.
    Table {
        name: ObjectName,
        alias: Option<Ident>,
        system_time: Option<SystemTime>,
        sample: Option<Box<TableSample>>,
        hints: Vec<TableHint>,
    },
    /// A table variable, with its `@`.
    Variable {
        name: String,
        alias: Option<Ident>,
    },
    Derived {
        query: Box<Query>,
        alias: Alias,
    },
    /// `(VALUES (..), (..)) AS alias (columns)`
    Values {
        rows: Vec<Vec<Expr>>,
        alias: Alias,
    },
    Function {
        name: ObjectName,
        args: Vec<Expr>,
        alias: Alias,
        /// OPENJSON's WITH clause.
        schema: Vec<JsonColumn>,
    },
    /// `CHANGETABLE(CHANGES table, last)`; `last` may be NULL.
    Changes {
        table: ObjectName,
        last: Box<Expr>,
        force_seek: bool,
        alias: Alias,
    },
    /// `CHANGETABLE(VERSION table, (columns), (values))`
    Version {
        table: ObjectName,
        columns: Vec<Ident>,
        values: Vec<Expr>,
        force_seek: bool,
        alias: Alias,
    },
    Join {
        left: Box<TableSource>,
        right: Box<TableSource>,
        kind: JoinKind,
        hint: Option<JoinHint>,
        /// Absent exactly for CROSS JOIN.
        on: Option<Condition>,
    },
    /// CROSS APPLY, or OUTER APPLY (`outer`).
    Apply {
        left: Box<TableSource>,
        right: Box<TableSource>,
        outer: bool,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct JsonColumn {
    pub name: Ident,
    pub ty: TypeName,
    pub path: Option<String>,
    pub as_json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
    Cross,
}

/// `INNER LOOP JOIN` and its kin; like `OPTION (LOOP JOIN)`, advice on the plan that changes no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinHint {
    Loop,
    Hash,
    Merge,
    Remote,
}

/// `FOR SYSTEM_TIME ..`
#[derive(Debug, Clone, PartialEq)]
pub enum SystemTime {
    AsOf(Box<Expr>),
    All,
    FromTo(Box<Expr>, Box<Expr>),
    Between(Box<Expr>, Box<Expr>),
    ContainedIn(Box<Expr>, Box<Expr>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct TableSample {
    pub amount: Expr,
    /// ROWS; otherwise PERCENT, the default.
    pub rows: bool,
    pub repeatable: Option<Expr>,
}

/// A table hint, of a read or of a DML target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableHint {
    NoLock,
    ReadUncommitted,
    ReadCommitted,
    ReadCommittedLock,
    RepeatableRead,
    Serializable,
    HoldLock,
    Snapshot,
    ReadPast,
    RowLock,
    PagLock,
    TabLock,
    TabLockX,
    UpdLock,
    XLock,
    NoWait,
    NoExpand,
    /// By name or (as decimal text) by id.
    Index(Vec<Ident>),
    ForceSeek,
    ForceScan,
    KeepIdentity,
    KeepDefaults,
    IgnoreConstraints,
    IgnoreTriggers,
}

/// A query hint in `OPTION (..)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryHint {
    Recompile,
    MaxDop(u32),
    MaxRecursion(u32),
    /// `FAST n`
    Fast(u32),
    LoopJoin,
    HashJoin,
    MergeJoin,
    HashGroup,
    OrderGroup,
    ConcatUnion,
    HashUnion,
    MergeUnion,
    ForceOrder,
    KeepPlan,
    KeepFixedPlan,
    RobustPlan,
    ExpandViews,
    OptimizeForUnknown,
    /// The number as written.
    MaxGrantPercent(String),
    MinGrantPercent(String),
    NoPerformanceSpool,
    /// `USE HINT ('..')`
    UseHint(Vec<String>),
    /// `LABEL = '..'`
    Label(String),
}
