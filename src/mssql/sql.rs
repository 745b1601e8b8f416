//! All T-SQL that icesync sends is built from these pieces: identifiers only through [`Ident`], values only as typed parameters.

use crate::schema::TableName;
use std::fmt;

/// An identifier, shown in brackets with `]` doubled: the only way for a name to reach SQL text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ident<'a>(pub &'a str);

impl fmt::Display for Ident<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", self.0.replace(']', "]]"))
    }
}

/// A two-part table name in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableIdent<'a>(pub &'a TableName);

impl fmt::Display for TableIdent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", Ident(&self.0.schema), Ident(&self.0.name))
    }
}

/// The value of a statement parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParamValue {
    /// Sent as `nvarchar`.
    Text(Option<String>),
    /// Sent as `bigint`.
    Int(Option<i64>),
    /// Sent as `varbinary`.
    Bytes(Option<Vec<u8>>),
}

/// One statement (or batch) with its parameters, which the text names `@p1`, `@p2`, ... in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub sql: String,
    pub params: Vec<ParamValue>,
}

impl Statement {
    /// A statement without parameters.
    pub fn plain(sql: impl Into<String>) -> Self {
        Self {
            sql: sql.into(),
            params: Vec::new(),
        }
    }
}
