//! The syntax tree of the T-SQL subset.
//!
//! Every option that a statement states is in the tree as a typed value: what the parser accepts the engine must
//! honour or refuse; nothing is dropped in between. Nodes that can fail at run time carry the line (from 1, in
//! their batch) on which they start.
//!
//! - `expr`: scalar expressions and conditions, which T-SQL keeps apart (`SELECT a = 1` never compares)
//! - `query`: SELECT and its table sources, with hints
//! - `dml`: INSERT, UPDATE, DELETE, MERGE, INSERT BULK
//! - `ddl`: definitions of objects; `database`: of databases; `permission`: logins, users, GRANT
//! - `flow`: variables, control flow, transactions, SET options, EXECUTE

mod database;
mod ddl;
mod dml;
mod expr;
mod flow;
mod permission;
mod query;

pub use database::*;
pub use ddl::*;
pub use dml::*;
pub use expr::*;
pub use flow::*;
pub use permission::*;
pub use query::*;

use crate::value::SqlType;

/// One part of a name, without its delimiters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ident {
    pub text: String,
    /// Written as `[..]` or `".."`.
    pub quoted: bool,
}

/// A name of one to four parts: `server.database.schema.object`. An omitted part (`db..t`) is an empty [`Ident`].
/// Temporary tables keep their `#`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectName {
    pub parts: Vec<Ident>,
    pub line: u32,
}

/// A type as written, resolved as far as syntax can.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TypeName {
    /// A built-in type with its defaults filled in (`decimal` is (18,0), `varchar` 1 in a declaration and 30 in a
    /// cast, `float(24)` is real).
    Builtin(SqlType),
    /// `sysname`: nvarchar(128) NOT NULL, with its own user type id.
    SysName,
    /// An alias type, to be looked up in the catalog.
    Named(ObjectName),
}

/// A declared parameter, as in `sp_executesql`'s second argument.
#[derive(Debug, Clone, PartialEq)]
pub struct ParamDecl {
    /// With its `@`.
    pub name: String,
    pub ty: TypeName,
    pub default: Option<Expr>,
    pub output: bool,
    pub read_only: bool,
}

/// One statement with the line on which it starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    pub kind: StatementKind,
    pub line: u32,
}

/// Every statement the parser knows.
#[derive(Debug, Clone, PartialEq)]
pub enum StatementKind {
    // Queries and data
    /// Also `SELECT @v = ..` and `SELECT .. INTO`.
    Select(Box<Query>),
    Insert(Box<Insert>),
    Update(Box<Update>),
    Delete(Box<Delete>),
    Merge(Box<Merge>),
    Truncate(ObjectName),
    InsertBulk(Box<InsertBulk>),

    // Definitions
    CreateTable(Box<CreateTable>),
    AlterTable(Box<AlterTable>),
    CreateIndex(Box<CreateIndex>),
    AlterIndex(AlterIndex),
    CreateView(Box<CreateView>),
    CreateTrigger(Box<CreateTrigger>),
    ToggleTrigger(ToggleTrigger),
    CreateSchema(CreateSchema),
    AlterSchema(AlterSchema),
    CreateType(CreateType),
    CreateSequence(Box<Sequence>),
    AlterSequence(Box<Sequence>),
    CreateDatabase(CreateDatabase),
    AlterDatabase(AlterDatabase),
    CreateStatistics(CreateStatistics),
    UpdateStatistics(UpdateStatistics),
    Drop(DropObjects),
    DropIndex(DropIndex),

    // Permissions
    CreateLogin(Login),
    AlterLogin(Login),
    CreateUser(User),
    CreateRole(Ident),
    AlterRole(AlterRole),
    Permission(Permission),
    CreateFunction(CreateFunction),
    CreatePolicy(CreatePolicy),
    AlterPolicy(AlterPolicy),

    // Variables and flow
    Declare(Vec<Declaration>),
    SetVariable(SetVariable),
    SetOption(SetOption),
    If(Box<If>),
    While(Box<While>),
    Break,
    Continue,
    /// BEGIN .. END
    Block(Vec<Statement>),
    TryCatch {
        body: Vec<Statement>,
        handler: Vec<Statement>,
    },
    /// `None` re-throws inside CATCH.
    Throw(Option<Box<Throw>>),
    RaisError(Box<RaisError>),
    Print(Expr),
    Return(Option<Expr>),
    WaitFor(WaitFor),
    Use(Ident),
    Execute(Box<Execute>),
    Transaction(TransactionStatement),
    Kill(Expr),
    Checkpoint,
}

impl Ident {
    /// An undelimited name.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            quoted: false,
        }
    }
}

impl ObjectName {
    /// The last part.
    pub fn object(&self) -> &str {
        self.parts.last().map_or("", |part| part.text.as_str())
    }

    /// The part before the last, absent when omitted.
    pub fn schema(&self) -> Option<&str> {
        self.part_from_end(1)
    }

    /// The database part, absent when omitted.
    pub fn database(&self) -> Option<&str> {
        self.part_from_end(2)
    }

    /// The linked server part, absent when omitted.
    pub fn server(&self) -> Option<&str> {
        self.part_from_end(3)
    }

    fn part_from_end(&self, distance: usize) -> Option<&str> {
        let index = self.parts.len().checked_sub(distance + 1)?;
        let text = self.parts.get(index)?.text.as_str();
        (!text.is_empty()).then_some(text)
    }
}

impl std::fmt::Display for ObjectName {
    /// As written, dot-separated, without delimiters (as error messages show it).
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, part) in self.parts.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            f.write_str(&part.text)?;
        }
        Ok(())
    }
}
