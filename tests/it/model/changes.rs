//! What happens to the rows: in the source between two runs, and to a target by the hand of others.

use super::rows::{Key, Part};
use super::table::{BAD, Column, Role, Table, Type};
use crate::random::Rng;

/// What others do to a target. A table that is not there is left alone, but for [`Event::Recreate`].
#[derive(Debug, Clone)]
pub enum Event {
    Drop(usize),
    /// It is dropped and created again, with these rows.
    Recreate(usize, Vec<String>),
    /// All rows are deleted.
    Empty(usize),
    Write(usize, String),
    /// Its rows are not checked any more.
    Allow(usize),
    /// A backup of all targets of the schedule is made.
    Remember,
    /// The targets are what they were when it was made.
    Restore,
    /// All rows in quarantine are discarded.
    Discard(usize),
}

/// Of the keys that the lake never has.
const FOREIGN: u64 = 50;
/// The key of the last row.
const LAST: u64 = 90;

/// A statement whose only excuse is another row: one with its key or its unique value, or one that refers to it.
fn tried(statement: &str) -> String {
    format!(
        "BEGIN TRY {statement} END TRY BEGIN CATCH IF ERROR_NUMBER() NOT IN (547, 2601, 2627) THROW; END CATCH"
    )
}

/// What makes a number one that the target takes.
fn mended(table: &Table) -> String {
    format!("UPDATE dbo.{} SET n = 1 WHERE n >= {BAD}", table.name)
}

/// The first rows of the source.
pub fn first_rows(rng: &mut Rng, tables: &[Table]) -> Vec<String> {
    if rng.chance(15) {
        return Vec::new();
    }
    let mut rows = Vec::new();
    for table in tables {
        for _ in 0..1 + rng.below(10) {
            rows.push(tried(&table.insert(rng, false)));
        }
    }
    rows
}

/// What happens in the source before a step's run.
pub fn of_source(rng: &mut Rng, tables: &[Table]) -> Vec<String> {
    let mut changes = Vec::new();
    for _ in 0..1 + rng.below(6) {
        let at = rng.below(tables.len() as u64) as usize;
        match rng.below(20) {
            0..=2 => dissolve(rng, tables, at, &mut changes),
            _ => change(rng, &tables[at], &mut changes),
        }
    }
    changes.iter().map(|change| tried(change)).collect()
}

/// Every row is a good one that it was not before, and each table has one.
pub fn last(tables: &[Table]) -> Vec<String> {
    let mended = |table: &Table| format!("UPDATE dbo.{} SET n = {}", table.name, BAD - 1);
    let mut statements: Vec<String> = tables.iter().map(mended).collect();
    statements.extend(tables.iter().map(Table::last_row));
    statements
}

/// A row goes, and those that refer to it with it.
fn dissolve(rng: &mut Rng, tables: &[Table], at: usize, changes: &mut Vec<String>) {
    let table = &tables[at];
    let key = table.some_key(rng);
    let here = table.has(&key, "");
    for (column, _) in table.parents() {
        let column = &table.columns[column];
        if column.nullable {
            changes.push(format!(
                "UPDATE dbo.{} SET {} = NULL WHERE {here}",
                table.name, column.name
            ));
        }
    }
    for child in tables {
        for (column, parent) in child.parents() {
            if parent != at {
                continue;
            }
            let (name, column) = (&child.name, &child.columns[column]);
            let up = column.name;
            changes.push(match column.nullable {
                true => format!("UPDATE dbo.{name} SET {up} = NULL WHERE {up} = {}", key[0]),
                false => format!("DELETE dbo.{name} WHERE {up} = {}", key[0]),
            });
        }
    }
    changes.push(format!("DELETE dbo.{} WHERE {here}", table.name));
}

/// One of the usual changes.
fn change(rng: &mut Rng, table: &Table, changes: &mut Vec<String>) {
    let name = &table.name;
    let key = table.some_key(rng);
    let here = table.has(&key, "");
    let column = table.some_column(rng);
    let set = column.name;
    let value = column.value(rng, table.checks);
    match rng.below(24) {
        0..=6 => changes.push(table.insert(rng, false)),
        7..=11 => changes.push(format!(
            "UPDATE dbo.{name} SET {set} = {value} WHERE {here}"
        )),
        12..=13 => changes.push(format!("DELETE dbo.{name} WHERE {here}")),
        14..=15 => {
            changes.push(format!("DELETE dbo.{name} WHERE {here}"));
            changes.push(table.insert_with(rng, &key, false));
        }
        16 => changes.push(table.exchange(rng, column)),
        17 => changes.push(table.move_key(rng, &key)),
        18 => changes.push(format!("UPDATE dbo.{name} SET {set} = {set} WHERE {here}")),
        19 if column.role == Role::Value => {
            changes.push(format!("UPDATE dbo.{name} SET {set} = {value}"));
        }
        20 => changes.push(format!("DELETE dbo.{name} WHERE n < {}", rng.below(60))),
        21 if rng.chance(40) => changes.push(format!("DELETE dbo.{name}")),
        22 if rng.chance(40) && table.parents().is_empty() => {
            // Refused where another table refers to it.
            changes.push(format!(
                "IF NOT EXISTS (SELECT 1 FROM sys.foreign_keys WHERE referenced_object_id = OBJECT_ID(N'dbo.{name}')) \
                 TRUNCATE TABLE dbo.{name}"
            ));
        }
        23 => changes.push(mended(table)),
        _ => changes.push(table.insert(rng, true)),
    }
}

/// What happens to the targets before a step's run.
pub fn of_target(rng: &mut Rng, tables: &[Table]) -> Vec<Event> {
    let mut events = Vec::new();
    if !rng.chance(45) {
        return events;
    }
    for _ in 0..1 + rng.below(2) {
        let at = rng.below(tables.len() as u64) as usize;
        events.push(match rng.below(20) {
            0..=3 => Event::Remember,
            4..=7 => Event::Restore,
            8 => Event::Discard(at),
            9 => Event::Allow(at),
            10..=11 => dropped(rng, tables, at),
            _ => written(rng, tables, at),
        });
    }
    events
}

fn is_parent(tables: &[Table], at: usize) -> bool {
    let mut parents = tables.iter().flat_map(Table::parents);
    parents.any(|(_, to)| to == at)
}

fn dropped(rng: &mut Rng, tables: &[Table], at: usize) -> Event {
    let table = &tables[at];
    // One that a load creates would have a key, or one that does not mind case.
    let appends_rows = !table.is_keyed() && !table.is_history;
    let is_particular = appends_rows || table.is_cased;
    if is_parent(tables, at) || !is_particular && rng.chance(60) {
        return Event::Drop(at);
    }
    let is_plain = table.parents().is_empty() && !table.has_twins();
    let count = match is_plain && rng.chance(50) {
        true => 1 + rng.below(3),
        false => 0,
    };
    let rows = (0..count).map(|_| tried(&table.foreign_row(rng)));
    Event::Recreate(at, rows.collect())
}

/// Rows that are changed, deleted or inserted, as far as the rows of loads can still come: no row that others refer to
/// is deleted, and none is inserted that refers to one.
fn written(rng: &mut Rng, tables: &[Table], at: usize) -> Event {
    let table = &tables[at];
    let name = &table.name;
    if table.has_twins() {
        return Event::Remember;
    }
    let (is_leaf, is_root) = (!is_parent(tables, at), table.parents().is_empty());
    let column = table.some_value(rng);
    let here = table.has(&table.some_key(rng), "");
    let value = column.value(rng, false);
    let set = column.name;
    match rng.below(10) {
        0..=2 if is_leaf => Event::Write(at, format!("DELETE dbo.{name} WHERE {here}")),
        3..=5 if is_root => Event::Write(at, tried(&table.foreign_row(rng))),
        6 if is_leaf => Event::Empty(at),
        7 => Event::Write(at, format!("UPDATE dbo.{name} SET {set} = {value}")),
        _ => Event::Write(
            at,
            format!("UPDATE dbo.{name} SET {set} = {value} WHERE {here}"),
        ),
    }
}

impl Column {
    /// A value of it, as it is written in T-SQL. With `may_be_bad` one that a target may refuse.
    fn value(&self, rng: &mut Rng, may_be_bad: bool) -> String {
        if self.nullable && rng.chance(15) {
            return "NULL".to_owned();
        }
        let text = |rng: &mut Rng, of: &[&str]| format!("N'{}'", rng.pick(of));
        match (self.role, self.ty) {
            (Role::Unique, _) => rng.below(12).to_string(),
            (Role::Parent(_), _) => (1 + rng.below(8)).to_string(),
            (Role::Value, Type::Number) if may_be_bad && rng.chance(14) => {
                (BAD as u64 + rng.below(60)).to_string()
            }
            (_, Type::Number) => rng.below(60).to_string(),
            (_, Type::Text) => text(rng, &["", "a", "A", "a ", "b", "é", "É", "貓"]),
            (_, Type::Code | Type::Name { .. }) => text(rng, &["", "x", "X", "x  ", "y", "é"]),
            (_, Type::Decimal) => format!("{}.{:02}", rng.below(30), rng.below(100)),
            (_, Type::Moment) => {
                let ticks = rng.pick(&["0000000", "0000001", "1234567", "9999999"]);
                format!("'2024-02-{:02}T23:59:59.{ticks}'", 1 + rng.below(29))
            }
            (_, Type::Bytes) => rng.pick(&["0x", "0x00", "0x0000", "0xFF"]).to_owned(),
            (_, Type::Version) => format!("0x00000000000000{:02X}", rng.below(200)),
        }
    }
}

impl Table {
    /// A key of the few that the source uses, in one of its spellings: a literal for each column of the key.
    fn some_key(&self, rng: &mut Rng) -> Vec<String> {
        let number = 1 + rng.below(8);
        self.key_with(rng, number)
    }

    /// In the order of the columns.
    fn key_with(&self, rng: &mut Rng, number: u64) -> Vec<String> {
        let is_alone = self.key.len() == 1;
        let columns = self.with_role(|role| role == Role::Key);
        let columns: Vec<usize> = columns.collect();
        let literal = |at: usize| match self.columns[at].ty {
            Type::Number if is_alone => number.to_string(),
            Type::Number if number < FOREIGN => (number % 4).to_string(),
            Type::Number => number.to_string(),
            _ if is_alone => self.spelled(rng, number),
            _ => {
                let letter = if number.is_multiple_of(3) { "x" } else { "y" };
                match self.varies() && rng.chance(30) {
                    true => format!("N'{}'", letter.to_uppercase()),
                    false => format!("N'{letter}'"),
                }
            }
        };
        columns.into_iter().map(literal).collect()
    }

    /// Keys are spelled in several ways. Not where a load has steps: which of two spellings that are gone comes first
    /// is not told.
    fn varies(&self) -> bool {
        self.batch_rows == 0
    }

    fn spelled(&self, rng: &mut Rng, number: u64) -> String {
        let stem = if self.has_accents && number > 5 {
            "é"
        } else {
            "k"
        };
        let stem = match self.varies() && rng.chance(30) {
            true => stem.to_uppercase(),
            false => stem.to_owned(),
        };
        let end = match self.varies() && !self.is_cased && rng.chance(15) {
            true => " ",
            false => "",
        };
        format!("N'{stem}{number}{end}'")
    }

    /// The condition that a row has a key. `alias` ends in a dot, or is empty.
    fn has(&self, key: &[String], alias: &str) -> String {
        let columns = self.with_role(|role| role == Role::Key);
        let equal = columns
            .zip(key)
            .map(|(at, value)| format!("{alias}{} = {value}", self.columns[at].name));
        equal.collect::<Vec<_>>().join(" AND ")
    }

    /// The condition that a row has a key.
    pub fn is_at(&self, key: &Key) -> String {
        let equal = |(&at, part): (&usize, &Part)| {
            format!("{} = {}", self.columns[at].name, part.literal())
        };
        let equal: Vec<String> = self.key.iter().zip(key).map(equal).collect();
        equal.join(" AND ")
    }

    /// A column that changes.
    fn some_column(&self, rng: &mut Rng) -> &Column {
        let columns = self.with_role(|role| !matches!(role, Role::Key | Role::Version));
        let columns: Vec<usize> = columns.collect();
        &self.columns[columns[rng.below(columns.len() as u64) as usize]]
    }

    /// A column that means nothing to other rows.
    fn some_value(&self, rng: &mut Rng) -> &Column {
        let columns: Vec<usize> = self.with_role(|role| role == Role::Value).collect();
        &self.columns[columns[rng.below(columns.len() as u64) as usize]]
    }

    fn insert(&self, rng: &mut Rng, is_good: bool) -> String {
        let key = self.some_key(rng);
        self.insert_with(rng, &key, is_good)
    }

    fn insert_with(&self, rng: &mut Rng, key: &[String], is_good: bool) -> String {
        let values = |column: &Column, rng: &mut Rng| column.value(rng, self.checks && !is_good);
        self.inserted(rng, key, values, false)
    }

    /// A row of others in the target, which refuses none.
    fn foreign_row(&self, rng: &mut Rng) -> String {
        // A spelling that the lake does not have would be a key of its own there.
        let is_number = self.columns[0].ty == Type::Number && self.key.len() == 1;
        let number = match is_number && rng.chance(40) {
            true => 1 + rng.below(8),
            false => FOREIGN + rng.below(5),
        };
        let key = self.key_with(rng, number);
        let values = |column: &Column, rng: &mut Rng| match column.role {
            Role::Unique => (1000 + rng.below(1000)).to_string(),
            Role::Key | Role::Parent(_) | Role::Value | Role::Version => column.value(rng, false),
        };
        self.inserted(rng, &key, values, true)
    }

    /// A row that no other has been like, in the source.
    fn last_row(&self) -> String {
        let mut rng = Rng::new(LAST);
        let key = self.key_with(&mut rng, LAST + 1);
        let values = |column: &Column, rng: &mut Rng| match column.role {
            Role::Parent(_) if column.nullable => "NULL".to_owned(),
            Role::Parent(_) => (LAST + 1).to_string(),
            Role::Unique => LAST.to_string(),
            Role::Key | Role::Value | Role::Version => column.value(rng, false),
        };
        let insert = self.inserted(&mut rng, &key, values, false);
        // Of a few keys, one may be taken.
        tried(&insert)
    }

    fn inserted(
        &self,
        rng: &mut Rng,
        key: &[String],
        value: impl Fn(&Column, &mut Rng) -> String,
        is_target: bool,
    ) -> String {
        let mut key = key.iter();
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for column in &self.columns {
            values.push(match column.role {
                Role::Version if !is_target => continue,
                Role::Key => key.next().cloned().unwrap_or_default(),
                Role::Parent(_) | Role::Value | Role::Unique | Role::Version => value(column, rng),
            });
            names.push(column.name);
        }
        format!(
            "INSERT INTO dbo.{} ({}) VALUES ({})",
            self.name,
            names.join(", "),
            values.join(", ")
        )
    }

    /// Two rows exchange the values of a column.
    fn exchange(&self, rng: &mut Rng, column: &Column) -> String {
        let (one, other) = (self.some_key(rng), self.some_key(rng));
        let (name, set) = (&self.name, column.name);
        format!(
            "UPDATE a SET a.{set} = b.{set} FROM dbo.{name} AS a JOIN dbo.{name} AS b ON ({} AND {}) OR ({} AND {})",
            self.has(&one, "a."),
            self.has(&other, "b."),
            self.has(&other, "a."),
            self.has(&one, "b.")
        )
    }

    /// A row gets another key, or another spelling of it; or two exchange theirs.
    fn move_key(&self, rng: &mut Rng, key: &[String]) -> String {
        let name = &self.name;
        let here = self.has(key, "");
        let columns: Vec<usize> = self.with_role(|role| role == Role::Key).collect();
        let column = &self.columns[columns[0]];
        let id = column.name;
        match column.ty {
            Type::Number if rng.chance(40) => {
                let (one, other) = (&key[0], &self.some_key(rng)[0]);
                format!(
                    "UPDATE dbo.{name} SET {id} = CASE {id} WHEN {one} THEN {other} ELSE {one} END WHERE {id} IN \
                     ({one}, {other})"
                )
            }
            Type::Number => format!("UPDATE dbo.{name} SET {id} = {id} + 10 WHERE {here}"),
            Type::Name { .. }
            | Type::Text
            | Type::Code
            | Type::Decimal
            | Type::Moment
            | Type::Bytes
            | Type::Version => {
                let number = 1 + rng.below(8);
                let to = self.spelled(rng, number);
                format!("UPDATE dbo.{name} SET {id} = {to} WHERE {here}")
            }
        }
    }
}
