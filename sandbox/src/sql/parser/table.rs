//! CREATE TABLE and column definitions.

use super::Parser;
use super::type_name::LengthDefault;
use crate::sql::SyntaxResult;
use crate::sql::ast::*;
use crate::sql::keyword::Keyword;
use crate::sql::lexer::{Symbol, TokenKind};

impl Parser<'_> {
    pub(super) fn create_table(&mut self) -> SyntaxResult<StatementKind> {
        self.expect(Keyword::Table)?;
        let name = self.object_name()?;
        let table = self.table_definition()?;
        let mut create = CreateTable {
            name,
            table,
            options: Vec::new(),
            filegroup: None,
            textimage_filegroup: None,
        };
        if self.eat(Keyword::On) {
            create.filegroup = Some(self.ident()?);
        }
        if self.eat("TEXTIMAGE_ON") {
            create.textimage_filegroup = Some(self.ident()?);
        }
        if self.eat(Keyword::With) {
            create.options = self.parenthesised(Self::table_option)?;
        }
        Ok(StatementKind::CreateTable(Box::new(create)))
    }

    fn table_option(&mut self) -> SyntaxResult<TableOption> {
        if self.at("SYSTEM_VERSIONING") {
            return self.system_versioning().map(TableOption::SystemVersioning);
        }
        if self.eat("DATA_COMPRESSION") {
            return self.compression().map(TableOption::DataCompression);
        }
        if self.eat("MEMORY_OPTIMIZED") {
            return self.equals_on_off().map(TableOption::MemoryOptimized);
        }
        self.expect("DURABILITY")?;
        self.expect(Symbol::Equal)?;
        let schema_only = self.eat("SCHEMA_ONLY");
        if !schema_only {
            self.expect("SCHEMA_AND_DATA")?;
        }
        Ok(TableOption::DurabilitySchemaOnly(schema_only))
    }

    /// `= NONE`, `= ROW`, `= PAGE` ..
    pub(super) fn compression(&mut self) -> SyntaxResult<Compression> {
        const KINDS: &[(&str, Compression)] = &[
            ("NONE", Compression::None),
            ("ROW", Compression::Row),
            ("PAGE", Compression::Page),
            ("COLUMNSTORE", Compression::Columnstore),
            ("COLUMNSTORE_ARCHIVE", Compression::ColumnstoreArchive),
        ];
        self.expect(Symbol::Equal)?;
        for (word, kind) in KINDS {
            if self.eat(*word) {
                return Ok(*kind);
            }
        }
        Err(self.syntax_error())
    }

    /// `SYSTEM_VERSIONING = ON (HISTORY_TABLE = .., ..)` or OFF.
    pub(super) fn system_versioning(&mut self) -> SyntaxResult<SystemVersioning> {
        self.expect("SYSTEM_VERSIONING")?;
        if !self.equals_on_off()? {
            return Ok(SystemVersioning::Off);
        }
        let (mut history, mut consistency_check, mut retention) = (None, None, None);
        if self.at(Symbol::OpenParen) {
            self.parenthesised(|parser| {
                if parser.eat_pair("HISTORY_TABLE", Symbol::Equal) {
                    history = Some(parser.object_name()?);
                } else if parser.eat("DATA_CONSISTENCY_CHECK") {
                    consistency_check = Some(parser.equals_on_off()?);
                } else {
                    parser.expect("HISTORY_RETENTION_PERIOD")?;
                    parser.expect(Symbol::Equal)?;
                    retention = Some(parser.retention()?);
                }
                Ok(())
            })?;
        }
        Ok(SystemVersioning::On {
            history,
            consistency_check,
            retention,
        })
    }

    fn retention(&mut self) -> SyntaxResult<Retention> {
        if self.eat("INFINITE") {
            return Ok(Retention::Infinite);
        }
        let count = self.integer()?;
        type Unit = fn(u32) -> Retention;
        const UNITS: &[(&str, &str, Unit)] = &[
            ("DAY", "DAYS", Retention::Days),
            ("WEEK", "WEEKS", Retention::Weeks),
            ("MONTH", "MONTHS", Retention::Months),
            ("YEAR", "YEARS", Retention::Years),
        ];
        for (one, many, unit) in UNITS {
            if self.eat(*one) || self.eat(*many) {
                return Ok(unit(count));
            }
        }
        Err(self.syntax_error())
    }

    /// `(columns, constraints, indexes)`
    pub(super) fn table_definition(&mut self) -> SyntaxResult<TableDefinition> {
        self.expect(Symbol::OpenParen)?;
        let mut table = TableDefinition::default();
        loop {
            self.table_element(&mut table)?;
            // A comma may stand before the closing parenthesis.
            let goes_on = self.eat(Symbol::Comma);
            if self.eat(Symbol::CloseParen) {
                return Ok(table);
            }
            if !goes_on {
                return Err(self.syntax_error());
            }
        }
    }

    pub(super) fn table_element(&mut self, table: &mut TableDefinition) -> SyntaxResult<()> {
        if self.at("PERIOD") && self.at_ahead(1, Keyword::For) {
            self.position += 2;
            self.expect("SYSTEM_TIME")?;
            self.expect(Symbol::OpenParen)?;
            let start = self.ident()?;
            self.expect(Symbol::Comma)?;
            let end = self.ident()?;
            self.expect(Symbol::CloseParen)?;
            if table.period.is_some() {
                return Err(self.syntax_error());
            }
            table.period = Some(Period { start, end });
            return Ok(());
        }
        match self.peek().kind {
            TokenKind::Keyword(Keyword::Index) => table.indexes.push(self.inline_index()?),
            TokenKind::Keyword(
                Keyword::Constraint
                | Keyword::Primary
                | Keyword::Unique
                | Keyword::Check
                | Keyword::Foreign
                | Keyword::Default,
            ) => table.constraints.push(self.table_constraint()?),
            _ => table.columns.push(self.column_definition()?),
        }
        Ok(())
    }

    fn column_definition(&mut self) -> SyntaxResult<ColumnDefinition> {
        let line = self.line();
        let name = self.ident()?;
        if self.eat(Keyword::As) {
            return self.computed_column(name, line);
        }
        let ty = self.type_name(LengthDefault::Declaration)?;
        let mut stored = StoredColumn {
            ty,
            collation: None,
            identity: None,
            sparse: false,
            row_guid: false,
            generated: None,
            hidden: false,
            mask: None,
        };
        let (mut nullable, mut constraints) = (None, Vec::new());
        loop {
            if let Some(written) = self.nullability() {
                if nullable.replace(written).is_some() {
                    return Err(self.syntax_error());
                }
            } else if let Some(constraint) = self.column_constraint()? {
                constraints.push(constraint);
            } else if !self.column_property(&mut stored)? {
                break;
            }
        }
        Ok(ColumnDefinition {
            name,
            kind: ColumnKind::Stored(stored),
            nullable,
            constraints,
            line,
        })
    }

    fn computed_column(&mut self, name: Ident, line: u32) -> SyntaxResult<ColumnDefinition> {
        let expr = self.expr()?;
        let persisted = self.eat("PERSISTED");
        let nullable = if persisted && self.eat_pair(Keyword::Not, Keyword::Null) {
            Some(false)
        } else {
            None
        };
        let mut constraints = Vec::new();
        while let Some(constraint) = self.column_constraint()? {
            constraints.push(constraint);
        }
        Ok(ColumnDefinition {
            name,
            kind: ColumnKind::Computed { expr, persisted },
            nullable,
            constraints,
            line,
        })
    }

    /// Whether a property of a stored column came next.
    fn column_property(&mut self, column: &mut StoredColumn) -> SyntaxResult<bool> {
        if self.eat(Keyword::Collate) {
            column.collation = Some(self.ident()?);
        } else if self.eat(Keyword::Identity) {
            column.identity = Some(self.identity()?);
        } else if self.eat("SPARSE") {
            column.sparse = true;
        } else if self.eat(Keyword::Rowguidcol) {
            column.row_guid = true;
        } else if self.eat("HIDDEN") {
            column.hidden = true;
        } else if self.eat("MASKED") {
            self.expect(Keyword::With)?;
            self.expect(Symbol::OpenParen)?;
            self.expect(Keyword::Function)?;
            self.expect(Symbol::Equal)?;
            column.mask = Some(self.string()?);
            self.expect(Symbol::CloseParen)?;
        } else if self.eat("GENERATED") {
            self.expect("ALWAYS")?;
            self.expect(Keyword::As)?;
            self.expect("ROW")?;
            let start = self.eat("START");
            if !start {
                self.expect(Keyword::End)?;
            }
            column.generated = Some(if start {
                Generated::RowStart
            } else {
                Generated::RowEnd
            });
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn identity(&mut self) -> SyntaxResult<Identity> {
        let (mut seed, mut increment) = (1, 1);
        if self.eat(Symbol::OpenParen) {
            seed = self.signed_integer()?;
            self.expect(Symbol::Comma)?;
            increment = self.signed_integer()?;
            self.expect(Symbol::CloseParen)?;
        }
        let not_for_replication = self.not_for_replication()?;
        Ok(Identity {
            seed,
            increment,
            not_for_replication,
        })
    }

    pub(super) fn not_for_replication(&mut self) -> SyntaxResult<bool> {
        if !self.eat_pair(Keyword::Not, Keyword::For) {
            return Ok(false);
        }
        self.expect(Keyword::Replication)?;
        Ok(true)
    }
}
