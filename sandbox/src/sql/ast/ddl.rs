//! Definitions of objects: tables, indexes, views, triggers, types, sequences, statistics.

use super::{Condition, Expr, Ident, ObjectName, Query, Statement, TypeName};

#[derive(Debug, Clone, PartialEq)]
pub struct CreateTable {
    pub name: ObjectName,
    pub table: TableDefinition,
    pub options: Vec<TableOption>,
    /// `ON filegroup`, `TEXTIMAGE_ON filegroup`
    pub filegroup: Option<Ident>,
    pub textimage_filegroup: Option<Ident>,
}

/// What stands in CREATE TABLE's and a table variable's parentheses.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TableDefinition {
    pub columns: Vec<ColumnDefinition>,
    pub constraints: Vec<TableConstraint>,
    pub indexes: Vec<InlineIndex>,
    pub period: Option<Period>,
}

/// `PERIOD FOR SYSTEM_TIME (start, end)`
#[derive(Debug, Clone, PartialEq)]
pub struct Period {
    pub start: Ident,
    pub end: Ident,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ColumnDefinition {
    pub name: Ident,
    pub kind: ColumnKind,
    /// NULL or NOT NULL when written.
    pub nullable: Option<bool>,
    /// PRIMARY KEY, UNIQUE, CHECK, REFERENCES, DEFAULT written on the column.
    pub constraints: Vec<ColumnConstraint>,
    pub line: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ColumnKind {
    Stored(StoredColumn),
    /// `AS (expr) [PERSISTED]`
    Computed {
        expr: Expr,
        persisted: bool,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct StoredColumn {
    pub ty: TypeName,
    pub collation: Option<Ident>,
    pub identity: Option<Identity>,
    pub sparse: bool,
    pub row_guid: bool,
    pub generated: Option<Generated>,
    pub hidden: bool,
    /// `MASKED WITH (FUNCTION = '..')`
    pub mask: Option<String>,
}

/// `IDENTITY(seed, increment) [NOT FOR REPLICATION]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub seed: i128,
    pub increment: i128,
    pub not_for_replication: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generated {
    RowStart,
    RowEnd,
}

/// A part of a statement, and its text as the catalog shows it: in one pair of parentheses.
#[derive(Debug, Clone, PartialEq)]
pub struct Spelled<T> {
    pub value: T,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ColumnConstraint {
    pub name: Option<Ident>,
    pub kind: ColumnConstraintKind,
    pub line: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ColumnConstraintKind {
    /// `with_values` fills existing rows of a nullable column added by ALTER TABLE.
    Default {
        expr: Spelled<Expr>,
        with_values: bool,
    },
    Key(KeyKind),
    Check(Spelled<Condition>),
    References(References),
    /// `INDEX name`
    Index {
        name: Ident,
        unique: bool,
        clustered: Option<bool>,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct KeyKind {
    /// PRIMARY KEY; otherwise UNIQUE.
    pub primary: bool,
    /// CLUSTERED or NONCLUSTERED when written.
    pub clustered: Option<bool>,
    pub options: Vec<IndexOption>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct References {
    pub table: ObjectName,
    pub columns: Vec<Ident>,
    pub on_delete: ReferentialAction,
    pub on_update: ReferentialAction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReferentialAction {
    #[default]
    NoAction,
    Cascade,
    SetNull,
    SetDefault,
}

#[derive(Debug, Clone, PartialEq)]
pub struct TableConstraint {
    pub name: Option<Ident>,
    pub kind: TableConstraintKind,
    pub line: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub enum TableConstraintKind {
    Key {
        key: KeyKind,
        columns: Vec<IndexColumn>,
    },
    Check(Spelled<Condition>),
    ForeignKey {
        columns: Vec<Ident>,
        references: References,
    },
    /// ALTER TABLE ADD DEFAULT expr FOR column
    Default {
        expr: Spelled<Expr>,
        column: Ident,
        with_values: bool,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct InlineIndex {
    pub name: Ident,
    pub unique: bool,
    pub clustered: Option<bool>,
    pub columnstore: bool,
    pub columns: Vec<IndexColumn>,
    pub include: Vec<Ident>,
    pub filter: Option<Spelled<Condition>>,
    pub options: Vec<IndexOption>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct IndexColumn {
    pub name: Ident,
    pub descending: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum TableOption {
    SystemVersioning(SystemVersioning),
    DataCompression(Compression),
    MemoryOptimized(bool),
    /// SCHEMA_ONLY when true, otherwise SCHEMA_AND_DATA.
    DurabilitySchemaOnly(bool),
}

#[derive(Debug, Clone, PartialEq)]
pub enum SystemVersioning {
    Off,
    On {
        history: Option<ObjectName>,
        consistency_check: Option<bool>,
        retention: Option<Retention>,
    },
}

/// HISTORY_RETENTION_PERIOD
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retention {
    Infinite,
    Days(u32),
    Weeks(u32),
    Months(u32),
    Years(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Row,
    Page,
    Columnstore,
    ColumnstoreArchive,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexOption {
    PadIndex(bool),
    FillFactor(u32),
    SortInTempdb(bool),
    IgnoreDupKey(bool),
    StatisticsNoRecompute(bool),
    DropExisting(bool),
    Online(bool),
    Resumable(bool),
    AllowRowLocks(bool),
    AllowPageLocks(bool),
    OptimizeForSequentialKey(bool),
    MaxDop(u32),
    DataCompression(Compression),
    CompressionDelay(u32),
}

#[derive(Debug, Clone, PartialEq)]
pub struct AlterTable {
    pub name: ObjectName,
    /// The statement's own text.
    pub text: String,
    pub action: AlterTableAction,
}

#[derive(Debug, Clone, PartialEq)]
pub enum AlterTableAction {
    /// ADD, with WITH CHECK or WITH NOCHECK when written.
    Add {
        table: TableDefinition,
        with_check: Option<bool>,
    },
    AlterColumn {
        name: Ident,
        change: ColumnChange,
    },
    Drop(Vec<AlterTableDrop>),
    EnableChangeTracking {
        track_columns_updated: Option<bool>,
    },
    DisableChangeTracking,
    /// `None`: ALL.
    Trigger {
        enable: bool,
        names: Option<Vec<Ident>>,
    },
    /// [WITH CHECK | NOCHECK] CHECK | NOCHECK CONSTRAINT; `names` `None`: ALL.
    CheckConstraint {
        enable: bool,
        with_check: Option<bool>,
        names: Option<Vec<Ident>>,
    },
    SetSystemVersioning(SystemVersioning),
    SetLockEscalation(LockEscalation),
    Rebuild(Vec<IndexOption>),
    SwitchTo(ObjectName),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockEscalation {
    Auto,
    Table,
    Disable,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ColumnChange {
    Type {
        ty: TypeName,
        collation: Option<Ident>,
        nullable: Option<bool>,
        sparse: bool,
    },
    RowGuid(bool),
    Persisted(bool),
    NotForReplication(bool),
    Sparse(bool),
    Hidden(bool),
}

#[derive(Debug, Clone, PartialEq)]
pub enum AlterTableDrop {
    Column { name: Ident, if_exists: bool },
    Constraint { name: Ident, if_exists: bool },
    Period,
}

#[derive(Debug, Clone, PartialEq)]
pub struct CreateIndex {
    pub name: Ident,
    pub table: ObjectName,
    pub unique: bool,
    pub clustered: Option<bool>,
    pub columnstore: bool,
    pub columns: Vec<IndexColumn>,
    pub include: Vec<Ident>,
    pub filter: Option<Spelled<Condition>>,
    pub options: Vec<IndexOption>,
    pub filegroup: Option<Ident>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct AlterIndex {
    /// `None`: ALL.
    pub name: Option<Ident>,
    pub table: ObjectName,
    pub action: AlterIndexAction,
}

#[derive(Debug, Clone, PartialEq)]
pub enum AlterIndexAction {
    Rebuild(Vec<IndexOption>),
    Reorganize,
    Disable,
    Set(Vec<IndexOption>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct CreateView {
    pub name: ObjectName,
    pub columns: Vec<Ident>,
    pub schema_binding: bool,
    pub query: Query,
    pub check_option: bool,
    pub mode: CreateMode,
    /// The statement's text, for `sys.sql_modules`.
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateMode {
    Create,
    CreateOrAlter,
    Alter,
}

#[derive(Debug, Clone, PartialEq)]
pub struct CreateTrigger {
    pub name: ObjectName,
    pub table: ObjectName,
    pub instead_of: bool,
    pub events: Vec<TriggerEvent>,
    pub not_for_replication: bool,
    pub body: Vec<Statement>,
    pub mode: CreateMode,
    /// The statement's text, for `sys.sql_modules`.
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TriggerEvent {
    Insert,
    Update,
    Delete,
}

/// ENABLE | DISABLE TRIGGER .. ON table
#[derive(Debug, Clone, PartialEq)]
pub struct ToggleTrigger {
    pub enable: bool,
    /// `None`: ALL.
    pub names: Option<Vec<ObjectName>>,
    pub table: ObjectName,
}

#[derive(Debug, Clone, PartialEq)]
pub struct CreateSchema {
    pub name: Ident,
    pub owner: Option<Ident>,
}

/// ALTER SCHEMA .. TRANSFER
#[derive(Debug, Clone, PartialEq)]
pub struct AlterSchema {
    pub schema: Ident,
    /// What moves into it.
    pub object: ObjectName,
}

/// An alias type (FROM) or a table type (AS TABLE).
#[derive(Debug, Clone, PartialEq)]
pub struct CreateType {
    pub name: ObjectName,
    pub definition: TypeDefinition,
}

#[derive(Debug, Clone, PartialEq)]
pub enum TypeDefinition {
    Alias {
        base: TypeName,
        nullable: Option<bool>,
    },
    Table(Box<TableDefinition>),
}

/// CREATE or ALTER SEQUENCE; an absent field was not written.
#[derive(Debug, Clone, PartialEq)]
pub struct Sequence {
    pub name: ObjectName,
    pub ty: Option<TypeName>,
    /// `START WITH`, or `RESTART [WITH]` (`Some(None)` is a bare `RESTART`).
    pub start: Option<Option<i128>>,
    pub increment: Option<i128>,
    /// `Some(None)`: NO MINVALUE.
    pub min: Option<Option<i128>>,
    pub max: Option<Option<i128>>,
    pub cycle: Option<bool>,
    /// `Some(None)`: NO CACHE; `Some(Some(0))`: CACHE without a size.
    pub cache: Option<Option<u32>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct CreateStatistics {
    pub name: Ident,
    pub table: ObjectName,
    pub columns: Vec<Ident>,
    pub filter: Option<Condition>,
    pub options: Vec<StatisticsOption>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct UpdateStatistics {
    pub table: ObjectName,
    /// Empty: all.
    pub names: Vec<Ident>,
    pub options: Vec<StatisticsOption>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatisticsOption {
    FullScan,
    SamplePercent(u32),
    SampleRows(u64),
    Resample,
    NoRecompute,
    Incremental(bool),
    MaxDop(u32),
    AutoDrop(bool),
    PersistSamplePercent(bool),
}

/// DROP of named objects.
#[derive(Debug, Clone, PartialEq)]
pub struct DropObjects {
    pub kind: ObjectKind,
    pub if_exists: bool,
    pub names: Vec<ObjectName>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    Table,
    View,
    Schema,
    Type,
    Trigger,
    Sequence,
    Database,
    Procedure,
    Function,
    Statistics,
    Login,
    User,
    Role,
}

#[derive(Debug, Clone, PartialEq)]
pub struct DropIndex {
    pub if_exists: bool,
    /// Index and table; `DROP INDEX table.index` too.
    pub indexes: Vec<(Ident, ObjectName)>,
    pub options: Vec<IndexOption>,
}
