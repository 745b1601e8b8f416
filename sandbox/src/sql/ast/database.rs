//! CREATE and ALTER DATABASE.

use super::Ident;

#[derive(Debug, Clone, PartialEq)]
pub struct CreateDatabase {
    pub name: Ident,
    pub collation: Option<Ident>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct AlterDatabase {
    /// `None`: CURRENT.
    pub name: Option<Ident>,
    pub action: AlterDatabaseAction,
}

#[derive(Debug, Clone, PartialEq)]
pub enum AlterDatabaseAction {
    Set {
        options: Vec<DatabaseOption>,
        termination: Option<Termination>,
    },
    Collate(Ident),
    Rename(Ident),
}

#[derive(Debug, Clone, PartialEq)]
pub enum DatabaseOption {
    AllowSnapshotIsolation(bool),
    ReadCommittedSnapshot(bool),
    ChangeTracking(ChangeTracking),
    CompatibilityLevel(u32),
    Recovery(Recovery),
    /// An ON/OFF option that only changes a session default or the catalog.
    Flag(DatabaseFlag, bool),
    /// READ_ONLY, READ_WRITE
    ReadOnly(bool),
    UserAccess(UserAccess),
    /// ONLINE, OFFLINE
    Online(bool),
}

#[derive(Debug, Clone, PartialEq)]
pub enum ChangeTracking {
    Off,
    /// ON, or only its options (`change`: `SET CHANGE_TRACKING (..)`).
    On {
        change: bool,
        auto_cleanup: Option<bool>,
        retention: Option<ChangeRetention>,
    },
}

/// CHANGE_RETENTION
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeRetention {
    Days(u32),
    Hours(u32),
    Minutes(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    Full,
    BulkLogged,
    Simple,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseFlag {
    AnsiNullDefault,
    AnsiNulls,
    AnsiPadding,
    AnsiWarnings,
    ArithAbort,
    AutoClose,
    AutoCreateStatistics,
    AutoShrink,
    AutoUpdateStatistics,
    AutoUpdateStatisticsAsync,
    ConcatNullYieldsNull,
    CursorCloseOnCommit,
    NumericRoundAbort,
    QuotedIdentifier,
    RecursiveTriggers,
    TemporalHistoryRetention,
    Trustworthy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserAccess {
    Single,
    Restricted,
    Multi,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Termination {
    RollbackImmediate,
    RollbackAfter(u32),
    NoWait,
}
