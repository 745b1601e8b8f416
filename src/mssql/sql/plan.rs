//! What a load's statements are made from.

use super::part::Part;
use super::{Ident, list, shown};
use crate::change::{Deletes, MergeMode, UpsertStatement};
use crate::schema::{Collation, SqlType, TableName};

use super::variant::BaseType;

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

/// What of a load one batch does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of it, in a transaction of its own.
    Transaction,
    /// All of it, in a transaction that is open.
    Everything,
    /// The state, and the rows that are there; of deferred columns none. In a transaction that is open, as are the
    /// rest.
    Upserts,
    /// Then, the values of deferred columns.
    Deferred,
    /// Then, the rows that are gone.
    Deletes,
}

impl Extent {
    /// Whether rows are inserted and updated.
    pub(super) fn has_upserts(self) -> bool {
        match self {
            Extent::Transaction | Extent::Everything | Extent::Upserts => true,
            Extent::Deferred | Extent::Deletes => false,
        }
    }

    /// Whether rows are deleted; the load is complete then.
    pub(super) fn has_deletes(self) -> bool {
        match self {
            Extent::Transaction | Extent::Everything | Extent::Deletes => true,
            Extent::Upserts | Extent::Deferred => false,
        }
    }
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
    /// Collation of text in the target.
    pub collation: Option<Collation>,
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

/// What the statements of a load are made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergePlan {
    pub target: TableName,
    pub staging: TableName,
    /// Name of the staging table's operation column.
    pub operation: String,
    /// Name of the staging table's segment column.
    pub segment: String,
    pub columns: Vec<MergeColumn>,
    /// Positions in `columns`; empty only for `Append` and `Replace`. Of `History` and `Scd2` the last is `_seq`.
    pub key: Vec<usize>,
    pub mode: MergeMode,
    pub statement: UpsertStatement,
    pub deletes: Deletes,
    /// Of `Scd2`.
    pub validity: Option<Validity>,
    /// Of staged rows whose keys the target takes for equal, the one with the greatest value in this column of the
    /// staging table counts. None: equal keys stop the load.
    pub newest: Option<String>,
    /// Whether deletes may be staged.
    pub has_deletes: bool,
    /// How many segments may be staged.
    pub segments: u32,
    /// Where the net changes are; none: they are read from the staging table.
    pub net: Option<NetTable>,
    /// How many rows were sent to the staging table.
    pub staged_rows: u64,
    pub held: Held,
    /// Every row of a snapshot is staged, so that what the target has beyond them can be counted.
    pub whole: bool,
    /// Keys are equal in the target exactly where they are equal in the source.
    pub keys_are_the_source_s: bool,
    /// A unique index of the target has exactly the key's columns.
    pub has_unique_key: bool,
    /// A foreign key of the target refers to the target itself.
    pub references_itself: bool,
    /// Positions in `columns` that get their values only by [`Extent::Deferred`].
    pub deferred: Vec<usize>,
    /// Where values that the target cannot keep are marked; none: the first one is an error.
    pub faults: Option<Faults>,
    /// Name of the lock that one load transaction of this target holds at a time.
    pub lock: String,
    pub lock_timeout_ms: u32,
}

/// Where the versions of a history say for how long they were valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validity {
    /// Names in the staging table.
    pub op: String,
    pub seq: String,
    pub committed_at: String,
    /// The column that versions are valid from. None: they are valid from `committed_at`.
    pub valid_from: Option<String>,
    /// Of both times.
    pub ty: SqlType,
    /// Names in the target.
    pub from: String,
    pub to: String,
    pub current: String,
    pub deleted: String,
}

/// The table of a load's net changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetTable {
    pub name: TableName,
    /// Name of the column that numbers the rows: deletes first, then upserts, each in the order of the key.
    pub row: String,
    /// Whether rows are found by their number.
    pub is_stepped: bool,
    /// How many rows it has; 0 until it is filled.
    pub rows: u64,
    /// How many of them are upserts.
    pub upserts: u64,
    /// The rows that a statement is about; none: all.
    pub part: Option<Part>,
}

/// A name that neither a column nor the operation has.
pub fn free_name(columns: &[MergeColumn], wanted: &str, operation: &str) -> String {
    let mut name = wanted.to_owned();
    let taken = |name: &str| {
        name.eq_ignore_ascii_case(operation)
            || columns.iter().any(|c| c.name.eq_ignore_ascii_case(name))
    };
    while taken(&name) {
        name.push('_');
    }
    name
}

/// Names of two columns of the table of net changes. They are NULL in a row whose values the target can keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    /// `int`: number of the first column whose value the target cannot keep, from 1 in the order of the plan's columns.
    pub column: String,
    /// That value as it was staged, as text.
    pub value: String,
}

impl MergeColumn {
    /// The server may not be able to keep a staged character.
    pub(super) fn may_lose(&self) -> bool {
        self.ty.is_code_page_text() && !self.staged_ty.is_code_page_text()
    }

    /// A staged value is a value of the target's type, perhaps under another name.
    pub(super) fn is_as_staged(&self) -> bool {
        let numeric = |ty| {
            if let SqlType::Decimal { precision, scale } = ty {
                SqlType::Numeric { precision, scale }
            } else {
                ty
            }
        };
        numeric(self.ty) == numeric(self.staged_ty)
    }
}

impl NetTable {
    /// The condition that row `alias` is one that a statement is about; none where all rows are.
    pub(super) fn condition(&self, alias: &str) -> Option<String> {
        let part = self.part.as_ref()?;
        Some(part.condition(&format!("{alias}.{}", Ident(&self.row))))
    }

    /// How many rows a statement is about.
    pub(super) fn part_rows(&self) -> u64 {
        self.part.as_ref().map_or(self.rows, Part::rows)
    }
}

impl MergePlan {
    /// The same load, of a part of its net changes.
    pub fn of_part(&self, part: Part) -> Self {
        let net = self.net.clone();
        Self {
            net: net.map(|net| NetTable {
                part: Some(part),
                ..net
            }),
            ..self.clone()
        }
    }

    /// A key as a message shows it.
    pub(super) fn shown_key(&self, alias: &str) -> String {
        let shown = |c: &MergeColumn| shown(c.ty, &format!("{alias}.{}", Ident(&c.name)));
        let parts = list(self.key_columns().map(shown), ", N', ', ");
        format!("CONCAT(N'(', {parts}, N')')")
    }

    pub(super) fn key_columns(&self) -> impl Iterator<Item = &MergeColumn> {
        self.key.iter().filter_map(|&at| self.columns.get(at))
    }

    /// Whether rows are matched by key, so that keys must be present and unique.
    pub(super) fn compares_keys(&self) -> bool {
        !self.key.is_empty() && self.mode.has_one_row_per_key()
    }

    /// Whether a row without a key has no place in the target.
    pub(super) fn needs_keys(&self) -> bool {
        self.compares_keys() || self.mode == MergeMode::Scd2
    }

    /// Whether a row of the target that a whole snapshot does not have is told from those of keys that are gone.
    pub(super) fn counts_target_only(&self) -> bool {
        self.whole && self.mode == MergeMode::Upsert && self.deletes != Deletes::Ignore
    }

    pub(super) fn names(&self, alias: &str) -> String {
        list(
            self.columns
                .iter()
                .map(|c| format!("{alias}{}", Ident(&c.name))),
            ", ",
        )
    }

    /// A name that no column has.
    pub fn free_name(&self, wanted: &str) -> String {
        free_name(&self.columns, wanted, &self.operation)
    }

    /// The values of a new row.
    pub(super) fn values(&self, alias: &str) -> String {
        let columns = self.columns.iter().enumerate();
        list(
            columns.map(|(at, c)| match self.deferred.contains(&at) {
                true => "NULL".to_owned(),
                false => format!("{alias}{}", Ident(&c.name)),
            }),
            ", ",
        )
    }

    pub(super) fn join(&self) -> String {
        list(
            self.key_columns().map(|c| {
                let name = Ident(&c.name);
                format!("d.{name} = s.{name}")
            }),
            " AND ",
        )
    }
}
