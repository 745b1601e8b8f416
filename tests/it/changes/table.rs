//! A table of a schedule: its columns, and how icesync is told to follow it.

use super::strategies::{Follows, Strategy, Waits, is_set_back};
use crate::model::rows::{Fold, Key, Part, folded};
use crate::random::Rng;
use std::collections::BTreeMap;

/// Of the keys that are text.
pub const COLLATION: &str = "Latin1_General_CI_AS";
/// The smallest `commit_rows` and `range_rows` that a configuration may have.
const STEP_ROWS: u64 = 1_000;
/// Rows of a table that is read in ranges, and whose windows may have steps.
const DEEP_ROWS: u64 = 2_500;

/// A row: its columns, without those that are NULL. A column that a table does not have is NULL, too.
pub type Row = BTreeMap<String, String>;

/// The rows of a table by their keys.
pub type Rows = BTreeMap<Key, Row>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Int,
    BigInt,
    Text(u16),
    /// `datetime2(6)`, shown in microseconds since 1970.
    Moment,
    Guid,
    Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    Identity,
    /// Several columns, of which one ignores case.
    Composite,
    /// Text that ignores case.
    Name,
    Guid,
}

#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub ty: Type,
}

#[derive(Debug, Clone)]
pub struct Table {
    /// In schema `dbo`, on both sides and in the lake.
    pub name: String,
    pub strategy: &'static Strategy,
    pub is_history: bool,
    pub key: KeyKind,
    /// It has thousands of rows.
    pub is_deep: bool,
    pub overlap: &'static str,
    /// The key's first.
    pub columns: Vec<Column>,
    pub dropped: Vec<Column>,
    /// Columns that were added so far.
    pub added: usize,
}

impl Column {
    fn new(name: &str, ty: Type) -> Self {
        Self {
            name: name.to_owned(),
            ty,
        }
    }

    /// Its value as an expression that gives a number or text. `of` ends in a dot, or is empty.
    fn shown(&self, of: &str) -> String {
        let name = &self.name;
        match self.ty {
            Type::Int | Type::BigInt | Type::Text(_) => format!("{of}{name}"),
            Type::Moment => {
                format!(
                    "DATEDIFF_BIG(microsecond, CONVERT(datetime2(6), '1970-01-01'), {of}{name})"
                )
            }
            Type::Guid => format!("LOWER(CONVERT(nvarchar(36), {of}{name}))"),
            Type::Version => format!("CONVERT(bigint, {of}{name})"),
        }
    }
}

/// The columns as expressions, in their order.
pub fn shown(columns: &[Column], of: &str) -> String {
    let shown: Vec<String> = columns.iter().map(|column| column.shown(of)).collect();
    shown.join(", ")
}

/// The row that these cells are, as [`shown`] has asked for them.
pub fn row(columns: &[Column], cells: &[String]) -> Row {
    let cells = columns.iter().zip(cells);
    let known = cells.filter(|(_, cell)| *cell != "NULL");
    known
        .map(|(column, cell)| (column.name.clone(), cell.clone()))
        .collect()
}

/// The columns of a key, with their declarations.
fn key_columns(key: KeyKind) -> Vec<(Column, String)> {
    let text = |width: u16| format!("nvarchar({width}) COLLATE {COLLATION} NOT NULL");
    match key {
        KeyKind::Identity => vec![(
            Column::new("id", Type::Int),
            "int IDENTITY(1, 1) NOT NULL".to_owned(),
        )],
        KeyKind::Composite => vec![
            (Column::new("a", Type::Int), "int NOT NULL".to_owned()),
            (Column::new("b", Type::Text(10)), text(10)),
        ],
        KeyKind::Name => vec![(Column::new("id", Type::Text(20)), text(20))],
        KeyKind::Guid => vec![(
            Column::new("id", Type::Guid),
            "uniqueidentifier NOT NULL".to_owned(),
        )],
    }
}

impl Table {
    pub fn random(rng: &mut Rng, strategy: &'static Strategy, at: u64, is_history: bool) -> Self {
        let kinds = [
            KeyKind::Identity,
            KeyKind::Composite,
            KeyKind::Name,
            KeyKind::Guid,
        ];
        let key = match strategy.follows {
            Follows::Identity => KeyKind::Identity,
            Follows::Nothing | Follows::Version | Follows::Time => kinds[rng.below(4) as usize],
        };
        let mut columns: Vec<Column> = key_columns(key).into_iter().map(|(key, _)| key).collect();
        columns.push(Column::new("n", Type::Int));
        columns.push(Column::new("name", Type::Text(20)));
        match strategy.follows {
            Follows::Nothing | Follows::Identity => {}
            Follows::Version => columns.push(Column::new("rv", Type::Version)),
            Follows::Time => columns.push(Column::new("updated_at", Type::Moment)),
        }
        Self {
            name: format!("{}_{at}", strategy.name),
            strategy,
            is_history,
            key,
            is_deep: key == KeyKind::Identity && rng.chance(25),
            overlap: rng.pick(&["0s", "1s", "1h"]),
            columns,
            dropped: Vec::new(),
            added: 0,
        }
    }

    /// The statements that create it.
    pub fn create(&self) -> Vec<String> {
        let name = &self.name;
        let mut lines = Vec::new();
        for (column, declared) in key_columns(self.key) {
            lines.push(format!("{} {declared}", column.name));
        }
        lines.push("n int NULL".to_owned());
        lines.push("name nvarchar(20) NULL".to_owned());
        let keys = self.key_names().join(", ");
        match self.strategy.follows {
            Follows::Nothing | Follows::Identity => {}
            Follows::Version => {
                lines.push("rv rowversion NOT NULL".to_owned());
                lines.push(format!("INDEX ix_{name} (rv, {keys})"));
            }
            Follows::Time => {
                lines.push("updated_at datetime2(6) NULL".to_owned());
                lines.push(format!("INDEX ix_{name} (updated_at)"));
            }
        }
        lines.push(format!("CONSTRAINT pk_{name} PRIMARY KEY ({keys})"));
        let create = format!("CREATE TABLE dbo.{name} ({})", lines.join(", "));
        let needs = self.strategy.needs.iter();
        let needs = needs.map(|statement| statement.replace("{table}", &format!("dbo.{name}")));
        std::iter::once(create).chain(needs).collect()
    }

    /// Its entry in icesync.yaml.
    pub fn entry(&self) -> String {
        let mut change = vec![format!("strategy: {}", self.strategy.name)];
        if !self.strategy.options.is_empty() {
            change.push(self.strategy.options.replace("{overlap}", self.overlap));
        }
        if self.is_deep {
            change.push(format!("commit_rows: {STEP_ROWS}, range_rows: {STEP_ROWS}"));
        }
        let kind = if self.is_history { "history" } else { "mirror" };
        format!(
            "  - source: dbo.{}\n    kind: {kind}\n    change: {{ {} }}\n",
            self.name,
            change.join(", ")
        )
    }

    pub fn key_names(&self) -> Vec<&str> {
        let count = key_columns(self.key).len();
        let columns = self.columns[..count].iter();
        columns.map(|column| column.name.as_str()).collect()
    }

    /// The key of a row as the lake tells keys apart. That is how the source does, since its keys are of ASCII.
    pub fn key_of(&self, row: &Row) -> Key {
        let cell = |name: &&str| row.get(*name).map_or("NULL", String::as_str);
        let parts: Vec<Part> = self.key_names().iter().map(cell).map(Part::of).collect();
        folded(&parts, Fold::Lake)
    }

    /// Asks for all of its rows.
    pub fn query(&self) -> String {
        let name = &self.name;
        format!("SELECT {} FROM dbo.{name}", shown(&self.columns, ""))
    }

    pub fn keyed(&self, cells: &[Vec<String>]) -> Rows {
        let rows = cells.iter().map(|cells| row(&self.columns, cells));
        rows.map(|row| (self.key_of(&row), row)).collect()
    }

    /// Whether two rows are the same in the columns that the source has.
    pub fn same(&self, one: Option<&Row>, other: Option<&Row>) -> bool {
        let (Some(one), Some(other)) = (one, other) else {
            return one.is_none() && other.is_none();
        };
        let mut columns = self.columns.iter();
        columns.all(|column| one.get(&column.name) == other.get(&column.name))
    }

    /// Whether a version of a row has a number or a time that no other version has.
    pub fn is_marked(&self, row: &Row) -> bool {
        match self.strategy.follows {
            Follows::Version => true,
            Follows::Time => !is_set_back(row),
            Follows::Nothing | Follows::Identity => false,
        }
    }

    /// Whether a read waits for the transactions that have written to it.
    pub fn waits(&self) -> bool {
        match self.strategy.waits {
            Waits::Never => false,
            Waits::ForRanges => self.is_deep,
            Waits::Always => true,
        }
    }

    /// How many rows it begins with; none where sessions fill it.
    pub fn rows_at_first(&self) -> Option<u64> {
        self.is_deep.then_some(DEEP_ROWS)
    }
}
