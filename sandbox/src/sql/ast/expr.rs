//! Scalar expressions and conditions.

use super::{Ident, ObjectName, OrderItem, Query, TypeName};

/// A scalar expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    pub kind: ExprKind,
    pub line: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    Literal(Literal),
    /// A local variable, with its `@`.
    Variable(String),
    /// `@@ROWCOUNT` and its kin, with both `@`, as written.
    GlobalVariable(String),
    /// A column reference of one to four parts (`inserted.a` too). Also where a built-in function takes a keyword
    /// (`DATEADD(day, ..)`).
    Column(ObjectName),
    Pseudo(PseudoColumn),
    Unary {
        op: UnaryOp,
        expr: Box<Expr>,
    },
    Binary {
        op: BinaryOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    SimpleCase {
        operand: Box<Expr>,
        whens: Vec<(Expr, Expr)>,
        otherwise: Option<Box<Expr>>,
    },
    SearchedCase {
        whens: Vec<(Condition, Expr)>,
        otherwise: Option<Box<Expr>>,
    },
    Iif {
        condition: Box<Condition>,
        then: Box<Expr>,
        otherwise: Box<Expr>,
    },
    /// CAST and TRY_CAST (`attempt`).
    Cast {
        expr: Box<Expr>,
        ty: TypeName,
        attempt: bool,
    },
    /// CONVERT and TRY_CONVERT (`attempt`).
    Convert {
        ty: TypeName,
        expr: Box<Expr>,
        style: Option<Box<Expr>>,
        attempt: bool,
    },
    Collate {
        expr: Box<Expr>,
        collation: Ident,
    },
    AtTimeZone {
        expr: Box<Expr>,
        zone: Box<Expr>,
    },
    Function(Box<FunctionCall>),
    /// `expr.Method(..)` on anything but a plain name; `a.b(..)` is a [`FunctionCall`], since only the catalog
    /// tells the two apart.
    Method {
        target: Box<Expr>,
        name: Ident,
        args: Vec<Expr>,
    },
    /// `expr.Property` on anything but a plain name.
    Property {
        target: Box<Expr>,
        name: Ident,
    },
    /// `type::Method(..)`
    StaticMethod {
        ty: ObjectName,
        name: Ident,
        args: Vec<Expr>,
    },
    /// `type::Property`
    StaticProperty {
        ty: ObjectName,
        name: Ident,
    },
    NextValueFor(ObjectName),
    /// A scalar subquery.
    Subquery(Box<Query>),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    Null,
    /// Digits alone, within `int`.
    Int(i32),
    /// Digits with a point, or more than `int` holds: `numeric(precision, scale)`, exact.
    Decimal {
        unscaled: i128,
        precision: u8,
        scale: u8,
    },
    /// With an exponent.
    Float(f64),
    /// `$1.5`, in ten-thousandths.
    Money(i64),
    /// `'..'` or `N'..'` (`national`).
    Str {
        text: String,
        national: bool,
    },
    /// `0x..`
    Binary(Vec<u8>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PseudoColumn {
    /// `$action` in MERGE's OUTPUT
    Action,
    /// `$identity`, `IDENTITYCOL`
    Identity,
    /// `$rowguid`, `ROWGUIDCOL`
    RowGuid,
    /// `%%physloc%%`
    PhysLoc,
    /// `%%lockres%%`
    LockRes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnaryOp {
    Plus,
    Minus,
    /// `~`
    BitNot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryOp {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    BitAnd,
    BitOr,
    BitXor,
}

/// A call by name: built-in, user-defined, aggregate or window function, or a method on a column (`col.ToString()`).
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionCall {
    pub name: ObjectName,
    pub args: Args,
    /// `WITHIN GROUP (ORDER BY ..)`
    pub within_group: Vec<OrderItem>,
    pub over: Option<Window>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Args {
    /// Without parentheses: CURRENT_TIMESTAMP, CURRENT_USER, SESSION_USER, SYSTEM_USER, USER.
    Niladic,
    /// `(*)`
    Star,
    List(Vec<Expr>),
    /// `(DISTINCT ..)`
    Distinct(Box<Expr>),
}

/// `OVER (..)`
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Window {
    pub partition_by: Vec<Expr>,
    pub order_by: Vec<OrderItem>,
    pub frame: Option<Frame>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    pub unit: FrameUnit,
    pub start: FrameBound,
    /// CURRENT ROW when only the start was written.
    pub end: FrameBound,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameUnit {
    Rows,
    Range,
}

#[derive(Debug, Clone, PartialEq)]
pub enum FrameBound {
    UnboundedPreceding,
    Preceding(u32),
    CurrentRow,
    Following(u32),
    UnboundedFollowing,
}

/// A search condition: true, false or unknown.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    pub kind: ConditionKind,
    pub line: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ConditionKind {
    /// At least two; chains are flattened.
    And(Vec<Condition>),
    /// At least two; chains are flattened.
    Or(Vec<Condition>),
    Not(Box<Condition>),
    Compare {
        op: CompareOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// `left op ANY|ALL (query)`
    Quantified {
        op: CompareOp,
        left: Box<Expr>,
        all: bool,
        query: Box<Query>,
    },
    Between {
        negated: bool,
        expr: Box<Expr>,
        low: Box<Expr>,
        high: Box<Expr>,
    },
    InList {
        negated: bool,
        expr: Box<Expr>,
        list: Vec<Expr>,
    },
    InQuery {
        negated: bool,
        expr: Box<Expr>,
        query: Box<Query>,
    },
    Like {
        negated: bool,
        expr: Box<Expr>,
        pattern: Box<Expr>,
        escape: Option<Box<Expr>>,
    },
    IsNull {
        negated: bool,
        expr: Box<Expr>,
    },
    /// `IS [NOT] DISTINCT FROM`: `negated` is IS NOT DISTINCT FROM (null-safe equality).
    IsDistinctFrom {
        negated: bool,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    Exists(Box<Query>),
    /// `UPDATE(column)` in a trigger
    ColumnUpdated(Ident),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompareOp {
    Equal,
    /// `<>`, `!=`
    NotEqual,
    Less,
    /// `<=`, `!>`
    LessOrEqual,
    Greater,
    /// `>=`, `!<`
    GreaterOrEqual,
}
