//! Type names, resolved to built-in types with SQL Server's defaults and limits.

use super::Parser;
use crate::sql::ast::{ObjectName, TypeName};
use crate::sql::keyword::Keyword;
use crate::sql::lexer::{Symbol, TokenKind};
use crate::sql::{SyntaxResult, error};
use crate::value::SqlType;

/// What a length left out means: `varchar` is 1 long in a declaration and 30 in a cast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LengthDefault {
    Declaration,
    Cast,
}

impl LengthDefault {
    fn length(self) -> u16 {
        match self {
            Self::Declaration => 1,
            Self::Cast => 30,
        }
    }
}

/// What stood in the parentheses.
#[derive(Clone, Copy)]
enum Size {
    Absent,
    Max,
    One(u32),
    Two(u32, u32),
}

/// The type's word, its size and where it stands, for errors.
struct Written<'a> {
    word: &'a str,
    size: Size,
    line: u32,
}

impl Parser<'_> {
    pub(super) fn type_name(&mut self, default: LengthDefault) -> SyntaxResult<TypeName> {
        let line = self.line();
        let name = self.type_words()?;
        let builtin = name.parts.len() == 1
            || (name.parts.len() == 2 && name.parts[0].text.eq_ignore_ascii_case("sys"));
        if builtin {
            let word = name.object().to_ascii_lowercase();
            if word == "sysname" {
                return Ok(TypeName::SysName);
            }
            if is_builtin(&word) {
                let size = self.type_size()?;
                let written = Written {
                    word: &word,
                    size,
                    line,
                };
                return written.resolve(default).map(TypeName::Builtin);
            }
        }
        Ok(TypeName::Named(name))
    }

    /// The name, with the standard's spellings of several words turned into one.
    fn type_words(&mut self) -> SyntaxResult<ObjectName> {
        let line = self.line();
        let one = |word: &str| ObjectName {
            parts: vec![crate::sql::ast::Ident::new(word)],
            line,
        };
        if self.eat(Keyword::Double) {
            self.expect("PRECISION")?;
            return Ok(one("float"));
        }
        let national = self.eat(Keyword::National);
        if national && self.eat("TEXT") {
            return Ok(one("ntext"));
        }
        let bare = self.peek().kind == TokenKind::Word;
        if national && !self.at("CHAR") && !self.at("CHARACTER") {
            return Err(self.syntax_error());
        }
        let name = self.object_name()?;
        let word = name.object().to_ascii_lowercase();
        let character = matches!(word.as_str(), "char" | "character" | "nchar" | "binary");
        if !bare || name.parts.len() > 1 || !character {
            return Ok(name);
        }
        let varying = self.eat(Keyword::Varying);
        Ok(
            match (word.as_str(), national || word == "nchar", varying) {
                ("binary", _, false) => one("binary"),
                ("binary", _, true) => one("varbinary"),
                (_, false, false) => one("char"),
                (_, false, true) => one("varchar"),
                (_, true, false) => one("nchar"),
                (_, true, true) => one("nvarchar"),
            },
        )
    }

    fn type_size(&mut self) -> SyntaxResult<Size> {
        if !self.eat(Symbol::OpenParen) {
            return Ok(Size::Absent);
        }
        let size = if self.eat("MAX") {
            Size::Max
        } else {
            let first = self.integer()?;
            if self.eat(Symbol::Comma) {
                Size::Two(first, self.integer()?)
            } else {
                Size::One(first)
            }
        };
        self.expect(Symbol::CloseParen)?;
        Ok(size)
    }
}

const BUILTIN: &[&str] = &[
    "bit",
    "tinyint",
    "smallint",
    "int",
    "integer",
    "bigint",
    "decimal",
    "dec",
    "numeric",
    "money",
    "smallmoney",
    "real",
    "float",
    "date",
    "time",
    "datetime",
    "smalldatetime",
    "datetime2",
    "datetimeoffset",
    "char",
    "character",
    "varchar",
    "text",
    "nchar",
    "nvarchar",
    "ntext",
    "binary",
    "varbinary",
    "image",
    "uniqueidentifier",
    "rowversion",
    "timestamp",
    "xml",
    "sql_variant",
    "hierarchyid",
    "geometry",
    "geography",
];

fn is_builtin(word: &str) -> bool {
    BUILTIN.contains(&word)
}

impl Written<'_> {
    fn resolve(&self, default: LengthDefault) -> SyntaxResult<SqlType> {
        let fixed = |ty: SqlType| match self.size {
            Size::Absent => Ok(ty),
            Size::Max | Size::One(_) | Size::Two(..) => Err(self.width_refused()),
        };
        Ok(match self.word {
            "bit" => fixed(SqlType::Bit)?,
            "tinyint" => fixed(SqlType::TinyInt)?,
            "smallint" => fixed(SqlType::SmallInt)?,
            "int" | "integer" => fixed(SqlType::Int)?,
            "bigint" => fixed(SqlType::BigInt)?,
            "decimal" | "dec" => self.decimal(false)?,
            "numeric" => self.decimal(true)?,
            "money" => fixed(SqlType::Money)?,
            "smallmoney" => fixed(SqlType::SmallMoney)?,
            "real" => fixed(SqlType::Real)?,
            "float" => self.float()?,
            "date" => fixed(SqlType::Date)?,
            "time" => SqlType::Time(self.fraction()?),
            "datetime" => fixed(SqlType::DateTime)?,
            "smalldatetime" => fixed(SqlType::SmallDateTime)?,
            "datetime2" => SqlType::DateTime2(self.fraction()?),
            "datetimeoffset" => SqlType::DateTimeOffset(self.fraction()?),
            "char" | "character" => SqlType::Char(self.fixed_length(default, 8000)?),
            "varchar" => SqlType::VarChar(self.length(default, 8000)?),
            "text" => fixed(SqlType::Text)?,
            "nchar" => SqlType::NChar(self.fixed_length(default, 4000)?),
            "nvarchar" => SqlType::NVarChar(self.length(default, 4000)?),
            "ntext" => fixed(SqlType::NText)?,
            "binary" => SqlType::Binary(self.fixed_length(default, 8000)?),
            "varbinary" => SqlType::VarBinary(self.length(default, 8000)?),
            "image" => fixed(SqlType::Image)?,
            "uniqueidentifier" => fixed(SqlType::UniqueIdentifier)?,
            "rowversion" | "timestamp" => fixed(SqlType::RowVersion)?,
            "xml" => fixed(SqlType::Xml)?,
            "sql_variant" => fixed(SqlType::SqlVariant)?,
            "hierarchyid" => fixed(SqlType::HierarchyId)?,
            "geometry" => fixed(SqlType::Geometry)?,
            "geography" => fixed(SqlType::Geography)?,
            other => unreachable!("`{other}` is in BUILTIN but has no type"),
        })
    }

    fn decimal(&self, numeric: bool) -> SyntaxResult<SqlType> {
        let (precision, scale) = match self.size {
            Size::Absent => (18, 0),
            Size::One(precision) => (precision, 0),
            Size::Two(precision, scale) => (precision, scale),
            Size::Max => return Err(self.width_refused()),
        };
        if precision == 0 {
            return Err(self.length_invalid(0));
        }
        if precision > 38 {
            let message = format!(
                "Column, parameter, or variable #1: Specified column precision {precision} is greater than the maximum \
                    precision of 38."
            );
            return Err(error(2750, self.line, message));
        }
        if scale > precision {
            let message = format!(
                "The scale ({scale}) for column '' must be within the range 0 to {precision}."
            );
            return Err(error(183, self.line, message));
        }
        Ok(SqlType::Decimal {
            precision: precision as u8,
            scale: scale as u8,
            numeric,
        })
    }

    fn float(&self) -> SyntaxResult<SqlType> {
        match self.size {
            Size::Absent => Ok(SqlType::Float),
            Size::One(1..=24) => Ok(SqlType::Real),
            Size::One(25..=53) => Ok(SqlType::Float),
            Size::One(0) => Err(self.length_invalid(0)),
            Size::One(bits) => {
                let message = format!(
                    "Column, parameter, or variable #1: Specified column precision {bits} is greater than the maximum \
                        precision of 53."
                );
                Err(error(2750, self.line, message))
            }
            Size::Max | Size::Two(..) => Err(self.width_refused()),
        }
    }

    fn fraction(&self) -> SyntaxResult<u8> {
        match self.size {
            Size::Absent => Ok(7),
            Size::One(scale @ 0..=7) => Ok(scale as u8),
            Size::One(scale) => Err(error(
                1002,
                self.line,
                format!("Line {}: Specified scale {scale} is invalid.", self.line),
            )),
            Size::Max | Size::Two(..) => Err(self.width_refused()),
        }
    }

    fn fixed_length(&self, default: LengthDefault, max: u32) -> SyntaxResult<u16> {
        match self.size {
            Size::Max => Err(self.width_refused()),
            Size::Absent | Size::One(_) | Size::Two(..) => {
                self.length(default, max).map(|length| length.unwrap_or(1))
            }
        }
    }

    fn length(&self, default: LengthDefault, max: u32) -> SyntaxResult<Option<u16>> {
        match self.size {
            Size::Absent => Ok(Some(default.length())),
            Size::Max => Ok(None),
            Size::One(0) => Err(self.length_invalid(0)),
            Size::One(length) if length <= max => Ok(Some(length as u16)),
            Size::One(length) => {
                let message = format!(
                    "The size ({length}) given to the type '{}' exceeds the maximum allowed for any data type ({max}).",
                    self.word
                );
                Err(error(131, self.line, message))
            }
            Size::Two(..) => Err(self.width_refused()),
        }
    }

    fn width_refused(&self) -> crate::session::SqlError {
        let message = format!(
            "Column, parameter, or variable #1: Cannot specify a column width on data type {}.",
            self.word
        );
        error(2716, self.line, message)
    }

    fn length_invalid(&self, length: u32) -> crate::session::SqlError {
        error(
            1001,
            self.line,
            format!(
                "Line {}: Length or precision specification {length} is invalid.",
                self.line
            ),
        )
    }
}
