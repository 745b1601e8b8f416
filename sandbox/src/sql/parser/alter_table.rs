//! ALTER TABLE.

use super::Parser;
use super::type_name::LengthDefault;
use crate::sql::SyntaxResult;
use crate::sql::ast::*;
use crate::sql::keyword::Keyword;
use crate::sql::lexer::{Symbol, TokenKind};

impl Parser<'_> {
    /// `start`: where ALTER stands.
    pub(super) fn alter_table(&mut self, start: usize) -> SyntaxResult<StatementKind> {
        self.expect(Keyword::Table)?;
        let name = self.object_name()?;
        let action = self.alter_table_action()?;
        let (first, last) = (self.tokens[start], self.tokens[self.position - 1]);
        let text = self.source[first.start..last.end].to_owned();
        Ok(StatementKind::AlterTable(Box::new(AlterTable {
            name,
            text,
            action,
        })))
    }

    fn alter_table_action(&mut self) -> SyntaxResult<AlterTableAction> {
        let with_check = if self.eat_pair(Keyword::With, Keyword::Check) {
            Some(true)
        } else if self.eat_pair(Keyword::With, Keyword::Nocheck) {
            Some(false)
        } else {
            None
        };
        match self.peek().kind {
            TokenKind::Keyword(Keyword::Add) => return self.alter_table_add(with_check),
            TokenKind::Keyword(Keyword::Check | Keyword::Nocheck) => {
                return self.check_constraint(with_check);
            }
            _ if with_check.is_some() => return Err(self.syntax_error()),
            _ => {}
        }
        match self.peek().kind {
            TokenKind::Keyword(Keyword::Alter) => self.alter_column(),
            TokenKind::Keyword(Keyword::Drop) => self.alter_table_drop(),
            TokenKind::Keyword(Keyword::Set) => self.alter_table_set(),
            _ if self.at("ENABLE") || self.at("DISABLE") => self.alter_table_toggle(),
            _ if self.eat("REBUILD") => {
                let options = if self.at(Keyword::With) {
                    self.index_options()?
                } else {
                    Vec::new()
                };
                Ok(AlterTableAction::Rebuild(options))
            }
            _ if self.eat_pair("SWITCH", Keyword::To) => {
                self.object_name().map(AlterTableAction::SwitchTo)
            }
            _ => Err(self.syntax_error()),
        }
    }

    fn alter_table_add(&mut self, with_check: Option<bool>) -> SyntaxResult<AlterTableAction> {
        self.expect(Keyword::Add)?;
        let mut table = TableDefinition::default();
        loop {
            self.table_element(&mut table)?;
            if !self.eat(Symbol::Comma) {
                return Ok(AlterTableAction::Add { table, with_check });
            }
        }
    }

    fn check_constraint(&mut self, with_check: Option<bool>) -> SyntaxResult<AlterTableAction> {
        let enable = self.eat(Keyword::Check);
        if !enable {
            self.expect(Keyword::Nocheck)?;
        }
        self.expect(Keyword::Constraint)?;
        let names = if self.eat(Keyword::All) {
            None
        } else {
            Some(self.list(Self::ident)?)
        };
        Ok(AlterTableAction::CheckConstraint {
            enable,
            with_check,
            names,
        })
    }

    fn alter_column(&mut self) -> SyntaxResult<AlterTableAction> {
        self.expect(Keyword::Alter)?;
        self.expect(Keyword::Column)?;
        let name = self.ident()?;
        let adds = self.at(Keyword::Add);
        if adds || self.at(Keyword::Drop) {
            self.next();
            let change = self.column_change(adds)?;
            return Ok(AlterTableAction::AlterColumn { name, change });
        }
        let ty = self.type_name(LengthDefault::Declaration)?;
        let collation = if self.eat(Keyword::Collate) {
            Some(self.ident()?)
        } else {
            None
        };
        let mut sparse = self.eat("SPARSE");
        let nullable = self.nullability();
        sparse |= self.eat("SPARSE");
        Ok(AlterTableAction::AlterColumn {
            name,
            change: ColumnChange::Type {
                ty,
                collation,
                nullable,
                sparse,
            },
        })
    }

    fn column_change(&mut self, adds: bool) -> SyntaxResult<ColumnChange> {
        if self.eat(Keyword::Rowguidcol) {
            Ok(ColumnChange::RowGuid(adds))
        } else if self.eat("PERSISTED") {
            Ok(ColumnChange::Persisted(adds))
        } else if self.eat("SPARSE") {
            Ok(ColumnChange::Sparse(adds))
        } else if self.eat("HIDDEN") {
            Ok(ColumnChange::Hidden(adds))
        } else if self.not_for_replication()? {
            Ok(ColumnChange::NotForReplication(adds))
        } else {
            Err(self.syntax_error())
        }
    }

    /// COLUMN or CONSTRAINT holds for the names after it, until the other word; a name without either is a constraint.
    fn alter_table_drop(&mut self) -> SyntaxResult<AlterTableAction> {
        self.expect(Keyword::Drop)?;
        if self.eat("PERIOD") {
            self.expect(Keyword::For)?;
            self.expect("SYSTEM_TIME")?;
            return Ok(AlterTableAction::Drop(vec![AlterTableDrop::Period]));
        }
        let mut column = false;
        let drops = self.list(|parser| {
            if parser.eat(Keyword::Column) {
                column = true;
            } else if parser.eat(Keyword::Constraint) {
                column = false;
            }
            let if_exists = parser.if_exists()?;
            let name = parser.ident()?;
            Ok(if column {
                AlterTableDrop::Column { name, if_exists }
            } else {
                AlterTableDrop::Constraint { name, if_exists }
            })
        })?;
        Ok(AlterTableAction::Drop(drops))
    }

    fn alter_table_set(&mut self) -> SyntaxResult<AlterTableAction> {
        self.expect(Keyword::Set)?;
        self.expect(Symbol::OpenParen)?;
        let action = if self.eat_pair("LOCK_ESCALATION", Symbol::Equal) {
            AlterTableAction::SetLockEscalation(self.lock_escalation()?)
        } else {
            AlterTableAction::SetSystemVersioning(self.system_versioning()?)
        };
        self.expect(Symbol::CloseParen)?;
        Ok(action)
    }

    fn lock_escalation(&mut self) -> SyntaxResult<LockEscalation> {
        if self.eat("AUTO") {
            return Ok(LockEscalation::Auto);
        }
        if self.eat("DISABLE") {
            return Ok(LockEscalation::Disable);
        }
        self.expect(Keyword::Table)?;
        Ok(LockEscalation::Table)
    }

    fn alter_table_toggle(&mut self) -> SyntaxResult<AlterTableAction> {
        let enable = self.eat("ENABLE");
        if !enable {
            self.expect("DISABLE")?;
        }
        if self.eat(Keyword::Trigger) {
            let names = if self.eat(Keyword::All) {
                None
            } else {
                Some(self.list(Self::ident)?)
            };
            return Ok(AlterTableAction::Trigger { enable, names });
        }
        self.expect("CHANGE_TRACKING")?;
        if !enable {
            return Ok(AlterTableAction::DisableChangeTracking);
        }
        let mut track_columns_updated = None;
        if self.eat(Keyword::With) {
            self.expect(Symbol::OpenParen)?;
            self.expect("TRACK_COLUMNS_UPDATED")?;
            track_columns_updated = Some(self.equals_on_off()?);
            self.expect(Symbol::CloseParen)?;
        }
        Ok(AlterTableAction::EnableChangeTracking {
            track_columns_updated,
        })
    }

    pub(super) fn if_exists(&mut self) -> SyntaxResult<bool> {
        if !self.eat(Keyword::If) {
            return Ok(false);
        }
        self.expect(Keyword::Exists)?;
        Ok(true)
    }
}
