//! What sessions do to the tables of a schedule, as T-SQL. A statement is made when its turn comes, from its salt and
//! the table as it is by then, so that a schedule stays one when parts of it are left out.

use super::table::{COLLATION, Column, KeyKind, Row, Rows, Table, Type, shown};
use crate::model::rows::Part;
use crate::random::Rng;

/// Keys of each kind but identities.
const KEYS: u64 = 16;
/// Rows that are inserted into a table with many.
const MANY_ROWS: u64 = 1_200;
const NUMBERED: &str = "CONVERT(int, ROW_NUMBER() OVER (ORDER BY (SELECT 1)))";
const SOME_ROWS: &str = "sys.all_columns AS x CROSS JOIN sys.all_columns AS y";

/// A kind of statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Insert,
    InsertMany,
    Update,
    UpdateMany,
    /// Most rows of a table with many.
    Churn,
    Delete,
    DeleteMany,
    Merge,
    MoveKey,
    ExchangeKeys,
    Respell,
    /// A time far back, or none.
    SetBack,
    Truncate,
}

/// The images that a statement shows of the rows that it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shows {
    Inserted,
    Deleted,
    /// The deleted one first.
    Both,
    /// Every row is gone.
    Emptied,
}

#[derive(Debug, Clone)]
pub struct Statement {
    pub sql: String,
    pub shows: Shows,
}

/// The statement; none where the table has nothing of the kind.
pub fn statement(table: &Table, rows: &Rows, what: What, salt: u64) -> Option<Statement> {
    let rng = &mut Rng::new(salt);
    let writer = Writer { table, rows };
    match what {
        What::Insert => Some(writer.insert(rng)),
        What::InsertMany => writer.insert_many(rng, MANY_ROWS),
        What::Update => {
            let here = writer.at(writer.some_row(rng)?);
            Some(writer.update(&writer.some_value(rng), &here))
        }
        What::UpdateMany => {
            let here = format!("n % 3 = {}", rng.below(3));
            Some(writer.update(&writer.some_value(rng), &here))
        }
        What::Churn if table.is_deep => {
            let here = format!("id % 5 < {}", 2 + rng.below(4));
            Some(writer.update(&writer.some_value(rng), &here))
        }
        What::Delete => {
            let here = writer.at(writer.some_row(rng)?);
            Some(writer.delete(&here))
        }
        What::DeleteMany => Some(writer.delete(&format!("n = {}", rng.below(8)))),
        What::Merge => Some(writer.merge(rng)),
        What::MoveKey => writer.move_key(rng),
        What::ExchangeKeys => writer.exchange_keys(rng),
        What::Respell => writer.respell(rng),
        What::SetBack => writer.set_back(rng),
        What::Truncate if table.strategy.may_be_emptied => Some(Statement {
            sql: format!("TRUNCATE TABLE dbo.{}", table.name),
            shows: Shows::Emptied,
        }),
        What::Churn | What::Truncate => None,
    }
}

/// The first rows of a table that has many; none for others.
pub fn filled(table: &Table) -> Option<Statement> {
    let writer = Writer {
        table,
        rows: &Rows::new(),
    };
    writer.insert_many(&mut Rng::new(0), table.rows_at_first()?)
}

struct Writer<'a> {
    table: &'a Table,
    rows: &'a Rows,
}

impl Writer<'_> {
    fn name(&self) -> String {
        format!("dbo.{}", self.table.name)
    }

    fn inserted(&self) -> String {
        shown(&self.table.columns, "inserted.")
    }

    fn deleted(&self) -> String {
        shown(&self.table.columns, "deleted.")
    }

    /// The columns that a statement gives values, without those of the key and of time.
    fn values(&self) -> Vec<&Column> {
        let columns = self.table.columns[self.table.key_names().len()..].iter();
        columns
            .filter(|column| !matches!(column.ty, Type::Version | Type::Moment))
            .collect()
    }

    /// The name of the time column, and its value now; none where the table has none.
    fn time(&self) -> Option<(&str, &'static str)> {
        let mut columns = self.table.columns.iter();
        let time = columns.find(|column| column.ty == Type::Moment)?;
        Some((&time.name, "SYSUTCDATETIME()"))
    }

    fn value(rng: &mut Rng, column: &Column) -> String {
        match column.ty {
            _ if rng.chance(15) => "NULL".to_owned(),
            Type::Text(_) => format!("N'{}'", rng.pick(&["", "a", "A", "b", "b "])),
            Type::Int | Type::BigInt | Type::Moment | Type::Guid | Type::Version => {
                rng.below(8).to_string()
            }
        }
    }

    /// An assignment to some column.
    fn some_value(&self, rng: &mut Rng) -> String {
        let values = self.values();
        let column = values[rng.below(values.len() as u64) as usize];
        format!("{} = {}", column.name, Self::value(rng, column))
    }

    fn some_row(&self, rng: &mut Rng) -> Option<&Row> {
        let at = rng.next().checked_rem(self.rows.len() as u64)?;
        self.rows.values().nth(at as usize)
    }

    /// The value of a key column in T-SQL.
    fn literal(&self, row: &Row, column: &str) -> String {
        let part = row.get(column).map_or("NULL", String::as_str);
        let literal = Part::of(part).literal();
        match self.table.key {
            KeyKind::Guid => format!("CONVERT(uniqueidentifier, {literal})"),
            KeyKind::Identity | KeyKind::Composite | KeyKind::Name => literal,
        }
    }

    /// The condition that a row has the key of this one.
    fn at(&self, row: &Row) -> String {
        let equal = self.table.key_names().into_iter();
        let equal = equal.map(|name| format!("{name} = {}", self.literal(row, name)));
        equal.collect::<Vec<_>>().join(" AND ")
    }

    /// The key with a number, one literal for each column that a statement gives a value.
    fn key(&self, rng: &mut Rng, number: u64) -> Vec<String> {
        match self.table.key {
            KeyKind::Identity => Vec::new(),
            KeyKind::Composite => {
                let letter = ["x", "y", "z", "w"][(number / 4) as usize % 4];
                vec![(number % 4).to_string(), spelled(rng, letter)]
            }
            KeyKind::Name => vec![spelled(rng, &format!("k{number}"))],
            KeyKind::Guid => {
                let mut rng = Rng::new(number);
                let guid = uuid::Uuid::from_u64_pair(rng.next(), rng.next());
                vec![format!("CONVERT(uniqueidentifier, N'{guid}')")]
            }
        }
    }

    /// Names and values of a new row.
    fn new_row(&self, rng: &mut Rng, key: Vec<String>) -> (Vec<String>, Vec<String>) {
        let keys = self.table.key_names().into_iter().take(key.len());
        let mut names: Vec<String> = keys.map(str::to_owned).collect();
        let mut values = key;
        for column in self.values() {
            names.push(column.name.clone());
            values.push(Self::value(rng, column));
        }
        if let Some((name, now)) = self.time() {
            names.push(name.to_owned());
            values.push(now.to_owned());
        }
        (names, values)
    }

    fn insert(&self, rng: &mut Rng) -> Statement {
        let number = rng.below(KEYS);
        let key = self.key(rng, number);
        let (names, values) = self.new_row(rng, key);
        Statement {
            sql: format!(
                "INSERT INTO {} ({}) OUTPUT {} VALUES ({})",
                self.name(),
                names.join(", "),
                self.inserted(),
                values.join(", ")
            ),
            shows: Shows::Inserted,
        }
    }

    fn insert_many(&self, rng: &mut Rng, count: u64) -> Option<Statement> {
        if !self.table.is_deep {
            return None;
        }
        let (time, now) = match self.time() {
            Some((name, now)) => (format!(", {name}"), format!(", {now}")),
            None => (String::new(), String::new()),
        };
        let sql = format!(
            "INSERT INTO {} (n, name{time}) OUTPUT {} SELECT TOP ({count}) {NUMBERED} % 7, N'{}'{now} FROM {SOME_ROWS}",
            self.name(),
            self.inserted(),
            rng.pick(&["deep", "more"])
        );
        let shows = Shows::Inserted;
        Some(Statement { sql, shows })
    }

    /// Also sets the time.
    fn update(&self, set: &str, here: &str) -> Statement {
        let time = self.time().map(|(name, now)| format!(", {name} = {now}"));
        self.update_only(&format!("{set}{}", time.unwrap_or_default()), here)
    }

    fn update_only(&self, set: &str, here: &str) -> Statement {
        Statement {
            sql: format!(
                "UPDATE {} SET {set} OUTPUT {}, {} WHERE {here}",
                self.name(),
                self.deleted(),
                self.inserted()
            ),
            shows: Shows::Both,
        }
    }

    fn delete(&self, here: &str) -> Statement {
        Statement {
            sql: format!(
                "DELETE FROM {} OUTPUT {} WHERE {here}",
                self.name(),
                self.deleted()
            ),
            shows: Shows::Deleted,
        }
    }

    /// Updates, deletes or inserts rows of some keys.
    fn merge(&self, rng: &mut Rng) -> Statement {
        let (first, count) = (rng.below(KEYS), 1 + rng.below(4));
        let keys = self.table.key_names();
        let mut lines = Vec::new();
        for number in first..first + count {
            let key = match self.table.key {
                KeyKind::Identity => vec![number.to_string()],
                KeyKind::Composite | KeyKind::Name | KeyKind::Guid => self.key(rng, number % KEYS),
            };
            let values = format!(
                "{}, {}, N'{}'",
                key.join(", "),
                rng.below(8),
                rng.pick(&["a", "m"])
            );
            lines.push(format!("({values})"));
        }
        let equal = self.table.columns.iter().take(keys.len()).map(|column| {
            let (name, collation) = (&column.name, format!(" COLLATE {COLLATION}"));
            match column.ty {
                Type::Text(_) => format!("t.{name} = s.{name}{collation}"),
                Type::Int | Type::BigInt | Type::Moment | Type::Guid | Type::Version => {
                    format!("t.{name} = s.{name}")
                }
            }
        });
        let equal: Vec<String> = equal.collect();
        let given = match self.table.key {
            KeyKind::Identity => &[],
            KeyKind::Composite | KeyKind::Name | KeyKind::Guid => &keys[..],
        };
        let mut names: Vec<String> = given.iter().map(|name| (*name).to_owned()).collect();
        names.extend(["n".to_owned(), "name".to_owned()]);
        let mut values: Vec<String> = names.iter().map(|name| format!("s.{name}")).collect();
        let mut time = String::new();
        if let Some((name, now)) = self.time() {
            names.push(name.to_owned());
            values.push(now.to_owned());
            time = format!(", {name} = {now}");
        }
        Statement {
            sql: format!(
                "MERGE {} AS t USING (VALUES {}) AS s ({}, n, name) ON {} WHEN MATCHED AND s.n % 3 = 0 THEN DELETE \
                 WHEN MATCHED THEN UPDATE SET n = s.n, name = s.name{time} WHEN NOT MATCHED THEN INSERT ({}) VALUES \
                 ({}) OUTPUT {}, {};",
                self.name(),
                lines.join(", "),
                keys.join(", "),
                equal.join(" AND "),
                names.join(", "),
                values.join(", "),
                self.deleted(),
                self.inserted()
            ),
            shows: Shows::Both,
        }
    }

    /// A row gets another key.
    fn move_key(&self, rng: &mut Rng) -> Option<Statement> {
        let here = self.at(self.some_row(rng)?);
        let number = rng.below(KEYS);
        let key = self.key(rng, number);
        let names = self.table.key_names().into_iter();
        let set = names
            .zip(key)
            .map(|(name, value)| format!("{name} = {value}"));
        let set: Vec<String> = set.collect();
        // An identity keeps its value.
        (!set.is_empty()).then(|| self.update(&set.join(", "), &here))
    }

    /// Two rows exchange their keys.
    fn exchange_keys(&self, rng: &mut Rng) -> Option<Statement> {
        let (one, other) = (self.some_row(rng)?, self.some_row(rng)?);
        match self.table.key {
            KeyKind::Identity | KeyKind::Composite => return None,
            KeyKind::Name | KeyKind::Guid => {}
        }
        let (one, other) = (self.literal(one, "id"), self.literal(other, "id"));
        let set = format!("id = CASE WHEN id = {one} THEN {other} ELSE {one} END");
        (one != other).then(|| self.update(&set, &format!("id IN ({one}, {other})")))
    }

    /// A row gets another spelling of its key.
    fn respell(&self, rng: &mut Rng) -> Option<Statement> {
        let row = self.some_row(rng)?;
        let name = match self.table.key {
            KeyKind::Identity | KeyKind::Guid => return None,
            KeyKind::Composite => "b",
            KeyKind::Name => "id",
        };
        let Part::Text(text) = Part::of(row.get(name)?) else {
            return None;
        };
        let text = text.trim_end().to_lowercase();
        let set = format!("{name} = {}", spelled(rng, &text));
        Some(self.update(&set, &self.at(row)))
    }

    fn set_back(&self, rng: &mut Rng) -> Option<Statement> {
        let here = self.at(self.some_row(rng)?);
        let (name, _) = self.time()?;
        let back = rng.pick(&["NULL", "'2001-01-01'"]);
        let set = format!("{}, {name} = {back}", self.some_value(rng));
        Some(self.update_only(&set, &here))
    }
}

/// One of the spellings of a key that are one key for its collation.
fn spelled(rng: &mut Rng, text: &str) -> String {
    match rng.below(6) {
        0 => format!("N'{}'", text.to_uppercase()),
        1 => format!("N'{text} '"),
        _ => format!("N'{text}'"),
    }
}

/// A change of a table's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alteration {
    Add,
    Drop,
    Widen,
}

/// The statement, and the table as it then is; none where there is nothing to drop or to widen.
pub fn altered(table: &Table, alteration: Alteration, salt: u64) -> Option<(String, Table)> {
    let mut after = table.clone();
    let clause = match alteration {
        Alteration::Add => {
            after.added += 1;
            let name = format!("x{}", after.added);
            let clause = format!("ADD {name} int NULL");
            let ty = Type::Int;
            after.columns.push(Column { name, ty });
            clause
        }
        Alteration::Drop => {
            let is_added = |column: &Column| column.name.starts_with('x');
            let added = after.columns.iter().enumerate();
            let added: Vec<usize> = added
                .filter(|(_, column)| is_added(column))
                .map(|(at, _)| at)
                .collect();
            let at = added.get(salt.checked_rem(added.len() as u64)? as usize)?;
            let column = after.columns.remove(*at);
            let clause = format!("DROP COLUMN {}", column.name);
            after.dropped.push(column);
            clause
        }
        Alteration::Widen => {
            let keys = after.key_names().len();
            let mut columns = after.columns[keys..].iter_mut();
            let (column, ty, declared) = columns.find_map(|column| match column.ty {
                Type::Int => Some((column, Type::BigInt, "bigint")),
                Type::Text(20) => Some((column, Type::Text(40), "nvarchar(40)")),
                Type::BigInt | Type::Text(_) | Type::Moment | Type::Guid | Type::Version => None,
            })?;
            column.ty = ty;
            format!("ALTER COLUMN {} {declared} NULL", column.name)
        }
    };
    Some((format!("ALTER TABLE dbo.{} {clause}", table.name), after))
}
