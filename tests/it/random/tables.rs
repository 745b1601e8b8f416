//! Random tables: columns of every type, keys, hostile names, and what happens to the rows between two runs.

use super::values::{self, COLLATIONS, Rng};
use icesync_sandbox::collation::CodePage;
use icesync_sandbox::value::SqlType;
use std::collections::HashSet;
use std::fmt::Write;

/// How the server fills a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Filled {
    ByRows,
    Sparse,
    Alias(String),
    Identity {
        seed: i64,
        increment: i64,
    },
    /// A copy of another column.
    Computed {
        of: usize,
        persisted: bool,
    },
    RowVersion,
}

#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub ty: SqlType,
    pub collation: Option<&'static str>,
    pub nullable: bool,
    pub filled: Filled,
}

impl Column {
    /// Whether an INSERT or UPDATE names it.
    pub fn is_written(&self) -> bool {
        matches!(
            self.filled,
            Filled::ByRows | Filled::Sparse | Filled::Alias(_)
        )
    }
}

#[derive(Debug, Clone)]
pub struct Table {
    pub seed: u64,
    /// In schema `dbo`.
    pub name: String,
    pub columns: Vec<Column>,
    pub key: Vec<usize>,
    pub primary_key: bool,
    pub history: bool,
    pub standard: bool,
    /// Changes are followed by its rowversion; otherwise everything is read.
    pub incremental: bool,
    pub update_insert: bool,
}

/// An identifier in brackets.
pub fn ident(name: &str) -> String {
    format!("[{}]", name.replace(']', "]]"))
}

/// A type as in a declaration.
pub fn declared(ty: &SqlType) -> String {
    let sized = |name: &str, length: Option<u16>| match length {
        Some(length) => format!("{name}({length})"),
        None => format!("{name}(max)"),
    };
    match ty {
        SqlType::Decimal {
            precision,
            scale,
            numeric,
        } => {
            let name = if *numeric { "numeric" } else { "decimal" };
            format!("{name}({precision},{scale})")
        }
        SqlType::Time(scale) => format!("time({scale})"),
        SqlType::DateTime2(scale) => format!("datetime2({scale})"),
        SqlType::DateTimeOffset(scale) => format!("datetimeoffset({scale})"),
        SqlType::Char(n) => sized("char", Some(*n)),
        SqlType::VarChar(n) => sized("varchar", *n),
        SqlType::NChar(n) => sized("nchar", Some(*n)),
        SqlType::NVarChar(n) => sized("nvarchar", *n),
        SqlType::Binary(n) => sized("binary", Some(*n)),
        SqlType::VarBinary(n) => sized("varbinary", *n),
        SqlType::RowVersion => "rowversion".to_owned(),
        other => icesync_sandbox::engine::types::name(other).to_owned(),
    }
}

pub fn is_character(ty: &SqlType) -> bool {
    matches!(
        ty,
        SqlType::Char(_)
            | SqlType::VarChar(_)
            | SqlType::Text
            | SqlType::NChar(_)
            | SqlType::NVarChar(_)
            | SqlType::NText
    )
}

fn is_code_page(ty: &SqlType) -> bool {
    matches!(ty, SqlType::Char(_) | SqlType::VarChar(_) | SqlType::Text)
}

fn length(rng: &mut Rng, most: u64) -> u16 {
    let most = match rng.below(6) {
        0 => 1,
        1 => most,
        _ => 40.min(most),
    };
    (1 + rng.below(most)) as u16
}

/// What the widest fixed types take of a row; of the others a hundred fit.
fn fixed_bytes(ty: &SqlType) -> u64 {
    match ty {
        SqlType::Char(n) | SqlType::Binary(n) => u64::from(*n),
        SqlType::NChar(n) => 2 * u64::from(*n),
        _ => 0,
    }
}

/// Any type but `rowversion`; `room` are the bytes that fixed types may still take of a row.
fn any_type(rng: &mut Rng, room: &mut u64) -> SqlType {
    let precision = 1 + rng.below(38) as u8;
    let scale = rng.below(u64::from(precision) + 1) as u8;
    let fraction = if rng.chance(50) {
        7
    } else {
        rng.below(8) as u8
    };
    let ty = match rng.below(34) {
        0 => SqlType::Bit,
        1 => SqlType::TinyInt,
        2 => SqlType::SmallInt,
        3 => SqlType::Int,
        4 => SqlType::BigInt,
        5 | 6 => SqlType::Decimal {
            precision,
            scale,
            numeric: rng.chance(50),
        },
        7 => SqlType::Money,
        8 => SqlType::SmallMoney,
        9 => SqlType::Real,
        10 => SqlType::Float,
        11 => SqlType::Date,
        12 => SqlType::Time(fraction),
        13 => SqlType::DateTime,
        14 => SqlType::SmallDateTime,
        15 => SqlType::DateTime2(fraction),
        16 | 17 => SqlType::DateTimeOffset(fraction),
        18 => SqlType::Char(length(rng, *room)),
        19 | 20 => SqlType::VarChar(Some(length(rng, 8000))),
        21 => SqlType::VarChar(None),
        22 => SqlType::Text,
        23 => SqlType::NChar(length(rng, (*room / 2).min(4000))),
        24 | 25 => SqlType::NVarChar(Some(length(rng, 4000))),
        26 => SqlType::NVarChar(None),
        27 => SqlType::NText,
        28 => SqlType::Binary(length(rng, *room)),
        29 => SqlType::VarBinary(Some(length(rng, 8000))),
        30 => match rng.below(2) {
            0 => SqlType::VarBinary(None),
            _ => SqlType::Image,
        },
        31 => SqlType::UniqueIdentifier,
        32 => SqlType::Xml,
        _ => match rng.below(6) {
            0 => SqlType::HierarchyId,
            1 => SqlType::Geometry,
            2 => SqlType::Geography,
            _ => super::extra_type(rng),
        },
    };
    *room -= fixed_bytes(&ty).min(*room - 1);
    ty
}

/// What a `sql_variant` may hold.
pub fn variant_base(rng: &mut Rng) -> SqlType {
    loop {
        match any_type(rng, &mut 300) {
            SqlType::Text
            | SqlType::NText
            | SqlType::Image
            | SqlType::Xml
            | SqlType::SqlVariant
            | SqlType::HierarchyId
            | SqlType::Geometry
            | SqlType::Geography
            | SqlType::VarChar(None)
            | SqlType::NVarChar(None)
            | SqlType::VarBinary(None) => {}
            SqlType::VarChar(Some(n)) => return SqlType::VarChar(Some(n.min(60))),
            SqlType::NVarChar(Some(n)) => return SqlType::NVarChar(Some(n.min(60))),
            SqlType::VarBinary(Some(n)) => return SqlType::VarBinary(Some(n.min(60))),
            ty => return ty,
        }
    }
}

fn key_type(rng: &mut Rng) -> SqlType {
    loop {
        let ty = match any_type(rng, &mut 60) {
            SqlType::VarChar(_) => SqlType::VarChar(Some(1 + rng.below(40) as u16)),
            SqlType::NVarChar(_) => SqlType::NVarChar(Some(1 + rng.below(40) as u16)),
            SqlType::VarBinary(_) => SqlType::VarBinary(Some(1 + rng.below(16) as u16)),
            ty => ty,
        };
        let refused = matches!(
            ty,
            SqlType::Real
                | SqlType::Float
                | SqlType::Text
                | SqlType::NText
                | SqlType::Image
                | SqlType::Xml
                | SqlType::SqlVariant
                | SqlType::Geometry
                | SqlType::Geography
        );
        if !refused {
            return ty;
        }
    }
}

fn name(rng: &mut Rng, taken: &mut HashSet<String>) -> String {
    const PARTS: [&str; 22] = [
        "id",
        "Name",
        "a]b",
        "[",
        "sp ace",
        "select",
        "Größe",
        "訂單",
        "😀",
        "it's",
        "qu\"ote",
        "dot.ted",
        "100%",
        "a;b",
        "sl/ash",
        "back\\slash",
        "=",
        "_op",
        "$x",
        "#1",
        "@p1",
        "--x",
    ];
    loop {
        let mut name = String::new();
        let parts = if rng.chance(5) { 60 } else { 1 + rng.below(3) };
        for _ in 0..parts {
            let part = rng.pick(&PARTS);
            if name.encode_utf16().count() + part.encode_utf16().count() <= 128 {
                name.push_str(part);
            }
        }
        let digits = format!("{}", rng.below(10));
        if rng.chance(50) && name.encode_utf16().count() < 128 {
            name.push_str(&digits);
        }
        if taken.insert(name.to_lowercase()) {
            return name;
        }
    }
}

fn is_identity(column: &Column) -> bool {
    matches!(column.filled, Filled::Identity { .. })
}

/// A table of its seed alone.
pub fn table(seed: u64) -> Table {
    let mut rng = Rng::new(seed);
    let rng = &mut rng;
    // A history has a column of this name.
    let (mut taken, mut room) = (HashSet::from(["_op".to_owned()]), 7000);
    let mut columns = Vec::new();
    let history = rng.chance(6);
    let standard = rng.chance(12);
    let keys = 1 + rng.below(3).min(rng.below(3)) as usize;
    let others = rng.below((12 - keys) as u64) as usize;
    let identity = rng.chance(15);
    for at in 0..keys {
        let filled = Filled::Identity {
            seed: rng.below(100) as i64 - 50,
            increment: 1 + rng.below(7) as i64,
        };
        let (ty, filled) = match (identity, at) {
            (true, 0) => (
                if rng.chance(50) {
                    SqlType::Int
                } else {
                    SqlType::BigInt
                },
                filled,
            ),
            _ => (key_type(rng), Filled::ByRows),
        };
        columns.push(Column {
            name: name(rng, &mut taken),
            ty,
            collation: None,
            nullable: false,
            filled,
        });
    }
    for _ in 0..others {
        let ty = any_type(rng, &mut room);
        let nullable = rng.chance(75);
        let legacy = matches!(
            ty,
            SqlType::Text
                | SqlType::NText
                | SqlType::Image
                | SqlType::Geometry
                | SqlType::Geography
                | SqlType::Xml
                | SqlType::SqlVariant
        );
        let name = name(rng, &mut taken);
        let filled = match rng.below(20) {
            2 if !identity
                && matches!(ty, SqlType::Int | SqlType::BigInt)
                && !columns.iter().any(is_identity) =>
            {
                columns.push(Column {
                    name,
                    ty,
                    collation: None,
                    nullable: false,
                    filled: Filled::Identity {
                        seed: 7,
                        increment: -3,
                    },
                });
                continue;
            }
            0 if nullable && !legacy => Filled::Sparse,
            1 if !legacy && ty != SqlType::HierarchyId => {
                Filled::Alias(format!("a]{seed:x}_{}", columns.len()))
            }
            _ => Filled::ByRows,
        };
        columns.push(Column {
            name,
            ty,
            collation: None,
            nullable,
            filled,
        });
    }
    let incremental = rng.chance(50) && !history;
    if incremental || rng.chance(5) {
        columns.push(Column {
            name: name(rng, &mut taken),
            ty: SqlType::RowVersion,
            collation: None,
            nullable: false,
            filled: Filled::RowVersion,
        });
    }
    for column in &mut columns {
        if is_character(&column.ty) && !matches!(column.filled, Filled::Alias(_)) {
            column.collation = Some(rng.pick(&COLLATIONS));
            let page = values::code_page(column.collation.unwrap_or_default());
            if is_code_page(&column.ty) && page == CodePage::UnicodeOnly {
                column.collation = Some("Polish_CI_AS");
            }
        }
    }
    if rng.chance(15) && columns.len() < 12 {
        let of = rng.below(columns.len() as u64) as usize;
        let source = columns[of].clone();
        let legacy = matches!(
            source.ty,
            SqlType::Text | SqlType::NText | SqlType::Image | SqlType::RowVersion
        );
        // The source may compute it; the target stores it.
        let fits = fixed_bytes(&source.ty) < room;
        if !legacy && fits && source.filled == Filled::ByRows {
            let persisted = rng.chance(30)
                && !matches!(source.ty, SqlType::Xml | SqlType::Real | SqlType::Float);
            let name = name(rng, &mut taken);
            columns.push(Column {
                name,
                filled: Filled::Computed { of, persisted },
                ..source
            });
        }
    }
    // A mirror's key is never cut off.
    let fine = |column: &Column| {
        matches!(
            column.ty,
            SqlType::Time(7) | SqlType::DateTime2(7) | SqlType::DateTimeOffset(7)
        )
    };
    let standard = standard && (history || !columns[..keys].iter().any(fine));
    Table {
        seed,
        name: format!("t{seed:x}"),
        key: (0..keys).collect(),
        columns,
        primary_key: rng.chance(75),
        history,
        standard,
        incremental,
        update_insert: rng.chance(40),
    }
}

impl Table {
    pub fn full_name(&self) -> String {
        format!("[dbo].{}", ident(&self.name))
    }

    /// Statements that make the table's types, then the table.
    pub fn create(&self) -> Vec<String> {
        let mut statements = Vec::new();
        let mut lines = Vec::new();
        for column in &self.columns {
            let name = ident(&column.name);
            let null = if column.nullable { "NULL" } else { "NOT NULL" };
            let ty = declared(&column.ty);
            let collate = column
                .collation
                .map_or_else(String::new, |name| format!(" COLLATE {name}"));
            lines.push(match &column.filled {
                Filled::ByRows => format!("{name} {ty}{collate} {null}"),
                Filled::RowVersion => format!("{name} {ty} {null}"),
                Filled::Sparse => format!("{name} {ty}{collate} SPARSE NULL"),
                Filled::Alias(alias) => {
                    statements.push(format!("CREATE TYPE [dbo].{} FROM {ty}", ident(alias)));
                    format!("{name} [dbo].{} {null}", ident(alias))
                }
                Filled::Identity { seed, increment } => {
                    format!("{name} {ty} IDENTITY({seed},{increment}) {null}")
                }
                Filled::Computed { of, persisted } => {
                    let persisted = if *persisted { " PERSISTED" } else { "" };
                    format!("{name} AS ({}){persisted}", ident(&self.columns[*of].name))
                }
            });
        }
        let keys: Vec<String> = self
            .key
            .iter()
            .map(|&at| ident(&self.columns[at].name))
            .collect();
        let kind = if self.primary_key {
            "PRIMARY KEY"
        } else {
            "UNIQUE"
        };
        lines.push(format!("{kind} ({})", keys.join(", ")));
        statements.push(format!(
            "CREATE TABLE {} (\n    {}\n)",
            self.full_name(),
            lines.join(",\n    ")
        ));
        statements
    }

    fn value(&self, rng: &mut Rng, at: usize) -> String {
        let column = &self.columns[at];
        if column.nullable && rng.chance(15) {
            return "NULL".to_owned();
        }
        // An alias type's text is in the database's collation.
        let collation = column
            .collation
            .or(Some("SQL_Latin1_General_CP1_CI_AS"))
            .filter(|_| is_code_page(&column.ty));
        values::literal(rng, &column.ty, collation)
    }

    /// One row, as an INSERT that does nothing when its key is there.
    fn insert(&self, rng: &mut Rng) -> String {
        let written: Vec<usize> = (0..self.columns.len())
            .filter(|&at| self.columns[at].is_written())
            .collect();
        if written.is_empty() {
            return tried(&format!("INSERT INTO {} DEFAULT VALUES", self.full_name()));
        }
        let names: Vec<String> = written
            .iter()
            .map(|&at| ident(&self.columns[at].name))
            .collect();
        let row: Vec<String> = written.iter().map(|&at| self.value(rng, at)).collect();
        tried(&format!(
            "INSERT INTO {} ({}) VALUES ({})",
            self.full_name(),
            names.join(", "),
            row.join(", ")
        ))
    }

    /// The first rows.
    pub fn rows(&self) -> Vec<String> {
        let mut rng = Rng::new(self.seed ^ 0x5EED_0001);
        let count = match rng.below(10) {
            0 => 0,
            1 => 60,
            _ => 1 + rng.below(16),
        };
        (0..count).map(|_| self.insert(&mut rng)).collect()
    }

    /// What happens between the two runs.
    pub fn changes(&self) -> Vec<String> {
        let mut rng = Rng::new(self.seed ^ 0x5EED_0002);
        let rng = &mut rng;
        let mut changes = Vec::new();
        let table = self.full_name();
        for _ in 0..1 + rng.below(4) {
            let at = rng.below(self.columns.len() as u64) as usize;
            let column = &self.columns[at];
            let name = ident(&column.name);
            // A moved key is a deletion, which only a full read sees.
            let movable = !self.key.contains(&at) || !self.incremental;
            match rng.below(10) {
                0..=2 => changes.push(self.insert(rng)),
                3..=5 if column.is_written() && !self.key.contains(&at) => {
                    let some = 1 + rng.below(3);
                    changes.push(tried(&format!(
                        "UPDATE TOP ({some}) {table} SET {name} = {}",
                        self.value(rng, at)
                    )));
                }
                6..=8 if column.is_written() && movable => {
                    if let Some(twin) = twin(&column.ty, &name) {
                        changes.push(tried(&format!("UPDATE {table} SET {name} = {twin}")));
                    }
                }
                9 if !self.incremental => {
                    changes.push(tried(&format!(
                        "DELETE TOP ({}) FROM {table}",
                        1 + rng.below(3)
                    )));
                }
                _ => {}
            }
        }
        changes
    }

    /// The table's entry in icesync.yaml.
    pub fn config(&self) -> String {
        let mut text = format!("  - source: dbo.{}\n    lake: r.{}\n", self.name, self.name);
        if self.history {
            text.push_str("    kind: history\n");
        }
        if self.standard {
            text.push_str("    fidelity: standard\n");
        }
        if !self.incremental {
            text.push_str("    change: { strategy: full }\n");
        }
        if self.update_insert {
            text.push_str("    merge: { statement: update_insert }\n");
        }
        text
    }

    /// Everything that replays the table by itself.
    pub fn script(&self) -> String {
        let mut text = String::new();
        let parts = [
            ("", self.create()),
            ("-- rows", self.rows()),
            ("-- changes before the second run", self.changes()),
        ];
        for (title, statements) in parts {
            let _ = writeln!(text, "{title}");
            for statement in statements {
                let _ = writeln!(text, "{statement};");
            }
        }
        text + &self.config()
    }
}

/// A statement whose only excuse is a key that is there already.
fn tried(statement: &str) -> String {
    format!(
        "BEGIN TRY {statement} END TRY BEGIN CATCH IF ERROR_NUMBER() NOT IN (2601, 2627) THROW; END CATCH"
    )
}

/// An expression of a value that is easily taken for the same one.
fn twin(ty: &SqlType, name: &str) -> Option<String> {
    Some(match ty {
        SqlType::Real | SqlType::Float => format!("-{name}"),
        SqlType::Char(_)
        | SqlType::VarChar(Some(_))
        | SqlType::NChar(_)
        | SqlType::NVarChar(Some(_)) => {
            format!("CASE WHEN LEN({name}) < 20 THEN UPPER({name}) ELSE LOWER({name}) END")
        }
        SqlType::VarChar(None) | SqlType::NVarChar(None) => format!("{name} + N' '"),
        SqlType::VarBinary(n) => format!(
            "CONVERT({}, {name} + 0x00)",
            declared(&SqlType::VarBinary(*n))
        ),
        SqlType::DateTimeOffset(_) => format!(
            "CASE WHEN {name} BETWEEN '1900-01-01' AND '2100-01-01' THEN SWITCHOFFSET({name}, '+01:00') ELSE {name} END"
        ),
        SqlType::SqlVariant => format!(
            "CASE CONVERT(nvarchar(128), SQL_VARIANT_PROPERTY({name}, 'BaseType')) WHEN N'int' THEN \
                CONVERT(sql_variant, CONVERT(bigint, {name})) ELSE {name} END"
        ),
        _ => return None,
    })
}
