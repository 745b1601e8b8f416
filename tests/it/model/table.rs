//! The tables of a schedule and how each is loaded.

use super::rows::{Fold, Key, Part, Row, folded, number};
use super::schedule::Step;
use crate::random::Rng;

/// Numbers from here on are refused by a target that checks its rows.
pub const BAD: i64 = 900;

const COLLATION: &str = "Latin1_General_CI_AS";

/// How the tables of a schedule belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    One,
    /// They have nothing to do with each other.
    Several,
    /// Each refers to the one before it.
    Chain,
    /// One whose rows refer to each other.
    Selfish,
    /// Two that refer to each other.
    Circle,
}

/// `merge.mode`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Upsert,
    Append,
    Replace,
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Mode::Upsert => "upsert",
            Mode::Append => "append",
            Mode::Replace => "replace",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Number,
    /// Text of a key; wide: `nvarchar`.
    Name {
        wide: bool,
    },
    Text,
    Code,
    Decimal,
    Moment,
    Bytes,
    Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Key,
    /// It refers to the key of a table of the schedule.
    Parent(usize),
    Value,
    /// No two rows have the same.
    Unique,
    Version,
}

#[derive(Debug, Clone)]
pub struct Column {
    pub name: &'static str,
    pub ty: Type,
    pub nullable: bool,
    pub role: Role,
}

#[derive(Debug, Clone)]
pub struct Table {
    /// In schema `dbo`, on both sides and in the lake.
    pub name: String,
    pub columns: Vec<Column>,
    /// Positions in `columns`, in the order of the key.
    pub key: Vec<usize>,
    /// Keys have letters that are no ASCII.
    pub has_accents: bool,
    /// The key of the target minds case.
    pub is_cased: bool,
    pub is_history: bool,
    pub mode: Mode,
    pub statement: Option<&'static str>,
    /// 0: not set.
    pub batch_rows: u64,
    /// None: a refused row stops the load.
    pub bad_rows_max: Option<u64>,
    /// Changes are followed by a `rowversion`; otherwise everything is read.
    pub has_version: bool,
    /// A target that others make refuses numbers from [`BAD`] on.
    pub checks: bool,
    /// Others make the target before the first load.
    pub is_made: bool,
}

impl Column {
    fn new(name: &'static str, ty: Type, nullable: bool, role: Role) -> Self {
        Self {
            name,
            ty,
            nullable,
            role,
        }
    }

    fn declared(&self, is_target: bool, is_cased: bool) -> String {
        let ty = match self.ty {
            Type::Number => "int".to_owned(),
            Type::Name { wide } => {
                let collation = match is_target && is_cased {
                    true => "Latin1_General_BIN2",
                    false => COLLATION,
                };
                let ty = if wide { "nvarchar" } else { "varchar" };
                format!("{ty}(20) COLLATE {collation}")
            }
            Type::Text => format!("nvarchar(20) COLLATE {COLLATION}"),
            Type::Code => format!("varchar(10) COLLATE {COLLATION}"),
            Type::Decimal => "decimal(9,2)".to_owned(),
            Type::Moment => "datetime2(7)".to_owned(),
            Type::Bytes => "varbinary(4)".to_owned(),
            Type::Version if is_target => "binary(8)".to_owned(),
            Type::Version => "rowversion".to_owned(),
        };
        let null = if self.nullable { "NULL" } else { "NOT NULL" };
        format!("{} {ty} {null}", self.name)
    }

    /// The expression by which it is compared.
    fn shown(&self) -> String {
        let name = self.name;
        match self.ty {
            Type::Moment => format!("CONVERT(nvarchar(40), {name}, 121)"),
            Type::Version => format!("CONVERT(nvarchar(20), CONVERT(binary(8), {name}), 1)"),
            Type::Number
            | Type::Name { .. }
            | Type::Text
            | Type::Code
            | Type::Decimal
            | Type::Bytes => name.to_owned(),
        }
    }
}

impl Table {
    /// The tables of a schedule, the parents first. `is_grouped`: all share one transaction, in which no row can be set
    /// aside.
    pub fn family(rng: &mut Rng, family: Family, stem: &str, is_grouped: bool) -> Vec<Self> {
        let count = match family {
            Family::One | Family::Selfish => 1,
            Family::Circle => 2,
            Family::Several | Family::Chain => 2 + rng.below(2) as usize,
        };
        let name = |at: usize| match count {
            1 => stem.to_owned(),
            _ => format!("{stem}t{at}"),
        };
        match family {
            Family::One | Family::Several => (0..count)
                .map(|at| Self::single(rng, name(at), is_grouped))
                .collect(),
            Family::Chain | Family::Selfish | Family::Circle => {
                let replaces = rng.chance(if family == Family::Selfish { 5 } else { 15 });
                let version = rng.chance(20);
                let mut tables: Vec<Self> = Vec::new();
                for at in 0..count {
                    let (parent, nullable) = match (family, at) {
                        (Family::Selfish, _) => (Some(0), true),
                        (Family::Circle, 0) => (Some(1), true),
                        (Family::Circle, _) => (Some(0), false),
                        (_, 0) => (None, true),
                        (_, at) => (Some(at - 1), rng.chance(50)),
                    };
                    let parent = parent
                        .map(|to| Column::new("up", Type::Number, nullable, Role::Parent(to)));
                    tables.push(Self::related(rng, name(at), parent, replaces, version));
                }
                tables
            }
        }
    }

    fn plain(name: String, has_version: bool) -> Self {
        Self {
            name,
            columns: Vec::new(),
            key: Vec::new(),
            has_accents: false,
            is_cased: false,
            is_history: false,
            mode: Mode::Upsert,
            statement: None,
            batch_rows: 0,
            bad_rows_max: None,
            has_version,
            checks: false,
            is_made: false,
        }
    }

    fn single(rng: &mut Rng, name: String, is_grouped: bool) -> Self {
        let mut table = Self::plain(name, rng.chance(25));
        table.is_history = rng.chance(12);
        table.mode = match rng.below(100) {
            _ if table.is_history => Mode::Append,
            0..=7 => Mode::Append,
            8..=19 => Mode::Replace,
            _ => Mode::Upsert,
        };
        let is_upserted = table.mode == Mode::Upsert;
        let is_unique = is_upserted && !table.has_version && rng.chance(8);
        table.checks = !is_unique && rng.chance(if is_upserted { 45 } else { 10 });
        if is_upserted && table.checks && !is_grouped && rng.chance(75) {
            table.bad_rows_max = Some([100, 100, 3, 1][rng.below(4) as usize]);
        }
        if is_upserted && table.bad_rows_max.is_none() && !is_unique && rng.chance(50) {
            table.batch_rows = 1 + rng.below(5);
        }
        if table.batch_rows > 0 && table.checks && rng.chance(90) {
            table.batch_rows = 0;
        }
        let appends_rows = table.mode == Mode::Append && !table.is_history;
        table.is_made = table.checks || is_unique || appends_rows || rng.chance(35);
        table.choose_statement(rng);
        table.add_key(rng);
        table.add_values(rng);
        if is_unique {
            let unique = Column::new("u", Type::Number, false, Role::Unique);
            table.columns.push(unique);
        }
        table.add_version();
        table
    }

    fn related(
        rng: &mut Rng,
        name: String,
        parent: Option<Column>,
        replaces: bool,
        has_version: bool,
    ) -> Self {
        let mut table = Self::plain(name, has_version);
        table.is_made = true;
        table.checks = rng.chance(10);
        if replaces {
            table.mode = Mode::Replace;
        } else if !table.checks && rng.chance(40) {
            table.batch_rows = 1 + rng.below(5);
        }
        table.choose_statement(rng);
        table.key = vec![0];
        let id = Column::new("id", Type::Number, false, Role::Key);
        table.columns.push(id);
        table.columns.extend(parent);
        table.add_values(rng);
        table.add_version();
        table
    }

    fn choose_statement(&mut self, rng: &mut Rng) {
        self.statement = match rng.below(3) {
            0 if self.is_keyed() => Some("merge"),
            1 if self.is_keyed() => Some("update_insert"),
            _ => None,
        };
    }

    fn add_key(&mut self, rng: &mut Rng) {
        let wide = rng.chance(50);
        let name = |name| Column::new(name, Type::Name { wide }, false, Role::Key);
        let number = |name| Column::new(name, Type::Number, false, Role::Key);
        match rng.below(20) {
            0..=8 => {
                self.columns.push(number("id"));
                self.key = vec![0];
            }
            9..=12 => {
                self.columns.extend([number("a"), name("b")]);
                self.key = if rng.chance(50) {
                    vec![0, 1]
                } else {
                    vec![1, 0]
                };
            }
            _ => {
                self.columns.push(name("code"));
                self.key = vec![0];
                let appends_rows = self.mode == Mode::Append && !self.is_history;
                let sets_old_aside = self.has_version && self.bad_rows_max.is_some();
                let is_simple = self.batch_rows > 0 || appends_rows || sets_old_aside;
                self.has_accents = !is_simple && rng.chance(40);
                self.is_cased =
                    self.is_made && self.is_keyed() && self.batch_rows == 0 && rng.chance(20);
            }
        }
    }

    fn add_values(&mut self, rng: &mut Rng) {
        let n = Column::new("n", Type::Number, true, Role::Value);
        self.columns.push(n);
        let others = [
            ("v", Type::Text),
            ("c", Type::Code),
            ("d", Type::Decimal),
            ("m", Type::Moment),
            ("x", Type::Bytes),
        ];
        let first = rng.below(5) as usize;
        for at in 0..1 + rng.below(3) as usize {
            let (name, ty) = others[(first + at) % others.len()];
            let value = Column::new(name, ty, rng.chance(75), Role::Value);
            self.columns.push(value);
        }
    }

    fn add_version(&mut self) {
        if self.has_version {
            let version = Column::new("rv", Type::Version, false, Role::Version);
            self.columns.push(version);
        }
    }

    /// Rows of the target are found by their key.
    pub fn is_keyed(&self) -> bool {
        self.mode != Mode::Append
    }

    /// The lake may keep two spellings of a key that the target takes for one.
    pub fn has_twins(&self) -> bool {
        self.has_version && self.has_accents && self.is_keyed() && !self.is_cased
    }

    /// Which keys are one in the target.
    pub fn fold(&self) -> Fold {
        match self.is_cased {
            true => Fold::Cased,
            false => Fold::Caseless,
        }
    }

    /// Positions of columns of a role, with the role.
    pub fn with_role(&self, is_it: impl Fn(Role) -> bool) -> impl Iterator<Item = usize> {
        let columns = self.columns.iter().enumerate();
        columns.filter_map(move |(at, column)| is_it(column.role).then_some(at))
    }

    /// Positions of the columns that refer to other tables, and which.
    pub fn parents(&self) -> Vec<(usize, usize)> {
        let columns = self.columns.iter().enumerate();
        let parents = columns.filter_map(|(at, column)| match column.role {
            Role::Parent(table) => Some((at, table)),
            Role::Key | Role::Value | Role::Unique | Role::Version => None,
        });
        parents.collect()
    }

    pub fn key_of(&self, row: &Row, fold: Fold) -> Key {
        let parts: Vec<Part> = self.key.iter().map(|&at| Part::of(&row[at])).collect();
        folded(&parts, fold)
    }

    /// Whether a target that checks its rows refuses this one.
    pub fn is_bad(&self, row: &Row) -> bool {
        let n = self.columns.iter().position(|column| column.name == "n");
        let n = n.and_then(|at| number(&row[at]));
        n.is_some_and(|n| n >= BAD)
    }

    /// The row's version; the greater, the newer. Empty where rows have none.
    pub fn version<'r>(&self, row: &'r Row) -> &'r str {
        match self.has_version {
            true => &row[self.columns.len() - 1],
            false => "",
        }
    }

    /// All rows.
    pub fn query(&self) -> String {
        let shown: Vec<String> = self.columns.iter().map(Column::shown).collect();
        format!("SELECT {} FROM dbo.{}", shown.join(", "), self.name)
    }

    /// The statement that makes the source's table, without foreign keys.
    pub fn source(&self) -> String {
        format!("CREATE TABLE dbo.{} ({})", self.name, self.lines(false))
    }

    /// The same of a target that others make.
    pub fn target(&self) -> String {
        let mut lines = self.lines(true);
        if self.checks {
            let name = self.check_name();
            lines.push_str(&format!(", CONSTRAINT {name} CHECK (n < {BAD})"));
        }
        format!("CREATE TABLE dbo.{} ({lines})", self.name)
    }

    pub fn check_name(&self) -> String {
        format!("ck_{}", self.name)
    }

    fn lines(&self, is_target: bool) -> String {
        let columns = self.columns.iter();
        let mut lines: Vec<String> = columns
            .map(|column| column.declared(is_target, self.is_cased))
            .collect();
        if !is_target || self.is_keyed() {
            let key = self.key.iter().map(|&at| self.columns[at].name);
            lines.push(format!(
                "PRIMARY KEY ({})",
                key.collect::<Vec<_>>().join(", ")
            ));
        }
        let unique = self.with_role(|role| role == Role::Unique);
        lines.extend(unique.map(|at| format!("UNIQUE ({})", self.columns[at].name)));
        lines.join(", ")
    }

    /// The name of a foreign key, and the statement that adds it.
    pub fn foreign_key(&self, column: usize, parent: &Table) -> (String, String) {
        let (name, column) = (&self.name, self.columns[column].name);
        let key = format!("fk_{name}_{column}");
        let statement = format!(
            "ALTER TABLE dbo.{name} ADD CONSTRAINT {key} FOREIGN KEY ({column}) REFERENCES dbo.{} (id)",
            parent.name
        );
        (key, statement)
    }

    /// `change.strategy` in a step.
    pub fn strategy_in(&self, step: &Step) -> &'static str {
        match self.has_version && !step.whole {
            true => "rowversion",
            false => "full",
        }
    }

    /// Its entry in icesync.yaml.
    pub fn entry(&self, step: &Step) -> String {
        let strategy = self.strategy_in(step);
        let kind = if self.is_history { "history" } else { "mirror" };
        let mut merge = vec![format!("mode: {}", self.mode_in(step).name())];
        merge.extend(self.statement.map(|name| format!("statement: {name}")));
        if self.mode_in(step) == Mode::Upsert {
            if self.batch_rows > 0 {
                merge.push(format!("batch_rows: {}", self.batch_rows));
            }
            if let Some(most) = self.bad_rows_max {
                merge.push(format!("on_bad_row: quarantine, max_bad_rows: {most}"));
            }
        }
        format!(
            "  - source: dbo.{}\n    kind: {kind}\n    change: {{ strategy: {strategy} }}\n    merge: {{ {} }}\n",
            self.name,
            merge.join(", ")
        )
    }

    /// `merge.mode` in a step.
    pub fn mode_in(&self, step: &Step) -> Mode {
        match step.replaces && self.mode == Mode::Upsert {
            true => Mode::Replace,
            false => self.mode,
        }
    }
}
