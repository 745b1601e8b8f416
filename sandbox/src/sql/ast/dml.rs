//! Statements that change rows.

use super::{
    BinaryOp, Condition, Cte, Execute, Expr, Ident, ObjectName, Query, QueryHint, SelectItem,
    TableHint, TableSource, Top, TypeName,
};

/// What a DML statement changes.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// A table or view, or (a single part) an alias of the FROM clause or a CTE.
    Table {
        name: ObjectName,
        hints: Vec<TableHint>,
    },
    /// A table variable, with its `@`.
    Variable(String),
}

/// A value, or DEFAULT.
#[derive(Debug, Clone, PartialEq)]
pub enum ValueOrDefault {
    Value(Expr),
    Default,
}

/// Both forms of OUTPUT may stand in one statement.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Output {
    pub into: Option<OutputInto>,
    /// Rows for the client.
    pub items: Option<Vec<SelectItem>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct OutputInto {
    pub items: Vec<SelectItem>,
    pub target: Target,
    pub columns: Vec<Ident>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    /// WITH CHANGE_TRACKING_CONTEXT (..)
    pub context: Option<Expr>,
    pub ctes: Vec<Cte>,
    pub top: Option<Top>,
    pub target: Target,
    /// Empty: all columns.
    pub columns: Vec<Ident>,
    pub output: Option<Output>,
    pub source: InsertSource,
    pub options: Vec<QueryHint>,
    pub line: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub enum InsertSource {
    Values(Vec<Vec<ValueOrDefault>>),
    Query(Box<Query>),
    Execute(Box<Execute>),
    DefaultValues,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    pub context: Option<Expr>,
    pub ctes: Vec<Cte>,
    pub top: Option<Top>,
    pub target: Target,
    pub set: Vec<Assignment>,
    pub output: Option<Output>,
    pub from: Vec<TableSource>,
    pub filter: Option<Condition>,
    pub options: Vec<QueryHint>,
    pub line: u32,
}

/// One item of SET.
#[derive(Debug, Clone, PartialEq)]
pub enum Assignment {
    /// `column = value`, `column += value` (`op`), and `@v = column = value` (`variable`).
    Column {
        variable: Option<String>,
        column: ObjectName,
        op: Option<BinaryOp>,
        value: ValueOrDefault,
    },
    /// `@v = value`, `@v += value`
    Variable {
        variable: String,
        op: Option<BinaryOp>,
        value: Expr,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct Delete {
    pub context: Option<Expr>,
    pub ctes: Vec<Cte>,
    pub top: Option<Top>,
    pub target: Target,
    pub output: Option<Output>,
    /// The second FROM.
    pub from: Vec<TableSource>,
    pub filter: Option<Condition>,
    pub options: Vec<QueryHint>,
    pub line: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Merge {
    pub context: Option<Expr>,
    pub ctes: Vec<Cte>,
    pub top: Option<Top>,
    pub target: Target,
    pub alias: Option<Ident>,
    pub source: TableSource,
    pub on: Condition,
    pub clauses: Vec<MergeClause>,
    pub output: Option<Output>,
    pub options: Vec<QueryHint>,
    pub line: u32,
}

/// `WHEN .. [AND condition] THEN action`
#[derive(Debug, Clone, PartialEq)]
pub struct MergeClause {
    pub when: MergeWhen,
    pub condition: Option<Condition>,
    pub action: MergeAction,
    pub line: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergeWhen {
    Matched,
    NotMatchedByTarget,
    NotMatchedBySource,
}

/// INSERT only under [`MergeWhen::NotMatchedByTarget`], the others never under it; the parser guarantees it.
#[derive(Debug, Clone, PartialEq)]
pub enum MergeAction {
    Delete,
    Update(Vec<Assignment>),
    /// `values` absent: DEFAULT VALUES.
    Insert {
        columns: Vec<Ident>,
        values: Option<Vec<ValueOrDefault>>,
    },
}

/// INSERT BULK: rows follow on the wire.
#[derive(Debug, Clone, PartialEq)]
pub struct InsertBulk {
    pub table: ObjectName,
    pub columns: Vec<BulkColumn>,
    pub options: Vec<BulkOption>,
    pub line: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub struct BulkColumn {
    pub name: Ident,
    pub ty: TypeName,
    pub collation: Option<Ident>,
    /// NULL or NOT NULL when written.
    pub nullable: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BulkOption {
    TabLock,
    CheckConstraints,
    KeepNulls,
    KeepIdentity,
    FireTriggers,
    RowsPerBatch(u64),
    KilobytesPerBatch(u64),
    /// Column and whether descending.
    Order(Vec<(Ident, bool)>),
}
