//! Variables, control flow, transactions, SET options and EXECUTE.

use super::{BinaryOp, Condition, Expr, Ident, ObjectName, Statement, TableDefinition, TypeName};

/// One variable of DECLARE.
#[derive(Debug, Clone, PartialEq)]
pub struct Declaration {
    /// With its `@`.
    pub name: String,
    pub kind: DeclarationKind,
    pub line: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub enum DeclarationKind {
    Scalar { ty: TypeName, value: Option<Expr> },
    Table(TableDefinition),
}

/// `SET @v = expr`, `SET @v += expr`
#[derive(Debug, Clone, PartialEq)]
pub struct SetVariable {
    pub name: String,
    pub op: Option<BinaryOp>,
    pub value: Expr,
}

/// SET of a session option.
#[derive(Debug, Clone, PartialEq)]
pub enum SetOption {
    /// One or more options before one ON or OFF.
    Flags(Vec<SetFlag>, bool),
    IdentityInsert {
        table: ObjectName,
        on: bool,
    },
    /// `SET STATISTICS IO, TIME ON`
    Statistics(Vec<StatisticsKind>, bool),
    IsolationLevel(IsolationLevel),
    TextSize(Expr),
    DateFirst(Expr),
    /// A name (`mdy`) becomes a string literal.
    DateFormat(Expr),
    /// A name (`us_english`) becomes a string literal.
    Language(Expr),
    LockTimeout(Expr),
    /// LOW, NORMAL and HIGH become -5, 0 and 5.
    DeadlockPriority(Expr),
    RowCount(Expr),
    ContextInfo(Expr),
    QueryGovernorCostLimit(Expr),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SetFlag {
    AnsiDefaults,
    AnsiNullDfltOff,
    AnsiNullDfltOn,
    AnsiNulls,
    AnsiPadding,
    AnsiWarnings,
    ArithAbort,
    ArithIgnore,
    ConcatNullYieldsNull,
    CursorCloseOnCommit,
    FmtOnly,
    ForcePlan,
    ImplicitTransactions,
    NoBrowseTable,
    NoCount,
    NoExec,
    NumericRoundAbort,
    ParseOnly,
    QuotedIdentifier,
    RemoteProcTransactions,
    ShowPlanAll,
    ShowPlanText,
    ShowPlanXml,
    XactAbort,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatisticsKind {
    Io,
    Time,
    Xml,
    Profile,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IsolationLevel {
    ReadUncommitted,
    ReadCommitted,
    RepeatableRead,
    Serializable,
    Snapshot,
}

#[derive(Debug, Clone, PartialEq)]
pub struct If {
    pub condition: Condition,
    pub then: Statement,
    pub otherwise: Option<Statement>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct While {
    pub condition: Condition,
    pub body: Statement,
}

/// Each is a literal or a variable.
#[derive(Debug, Clone, PartialEq)]
pub struct Throw {
    pub number: Expr,
    pub message: Expr,
    pub state: Expr,
}

#[derive(Debug, Clone, PartialEq)]
pub struct RaisError {
    /// Text, a message number, or a variable.
    pub message: Expr,
    pub severity: Expr,
    pub state: Expr,
    pub args: Vec<Expr>,
    pub options: Vec<RaisErrorOption>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RaisErrorOption {
    Log,
    NoWait,
    SetError,
}

#[derive(Debug, Clone, PartialEq)]
pub enum WaitFor {
    Delay(Expr),
    Time(Expr),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Execute {
    /// `@rc =`
    pub status: Option<String>,
    pub call: Call,
    pub with_recompile: bool,
    pub line: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    Procedure {
        name: ObjectName,
        args: Vec<ExecArg>,
    },
    /// `EXEC @name ..`: the procedure's name is in a variable.
    Variable { name: String, args: Vec<ExecArg> },
    /// `EXEC ('..' + @v)`; the parts are concatenated.
    Text {
        parts: Vec<Expr>,
        login: Option<ExecuteAs>,
    },
}

/// `AS LOGIN = '..'`, `AS USER = '..'`
#[derive(Debug, Clone, PartialEq)]
pub struct ExecuteAs {
    pub login: bool,
    pub name: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ExecArg {
    /// With its `@` when named.
    pub name: Option<String>,
    pub value: ExecValue,
    pub output: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ExecValue {
    /// A literal (perhaps negative) or a variable; a bare word becomes a string literal, as in SQL Server.
    Value(Expr),
    Default,
}

#[derive(Debug, Clone, PartialEq)]
pub enum TransactionStatement {
    Begin {
        name: Option<TransactionName>,
        mark: Option<String>,
    },
    Commit {
        name: Option<TransactionName>,
    },
    Rollback {
        name: Option<TransactionName>,
    },
    Save {
        name: TransactionName,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub enum TransactionName {
    Name(Ident),
    /// With its `@`.
    Variable(String),
}
