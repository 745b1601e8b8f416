//! Views, triggers, schemas, types, sequences, and DROP.

use super::Parser;
use super::query::Place;
use super::type_name::LengthDefault;
use crate::sql::SyntaxResult;
use crate::sql::ast::*;
use crate::sql::keyword::Keyword;
use crate::sql::lexer::Symbol;

impl Parser<'_> {
    /// A view is its whole batch.
    pub(super) fn view(&mut self, start: usize, mode: CreateMode) -> SyntaxResult<StatementKind> {
        self.check_first(
            start,
            if mode == CreateMode::Alter {
                "ALTER VIEW"
            } else {
                "CREATE VIEW"
            },
        )?;
        self.expect(Keyword::View)?;
        let name = self.object_name()?;
        let columns = if self.at(Symbol::OpenParen) {
            self.ident_list()?
        } else {
            Vec::new()
        };
        let schema_binding = self.eat_pair(Keyword::With, "SCHEMABINDING");
        self.expect(Keyword::As)?;
        let with = self.with_clause()?;
        if with.context.is_some() {
            return Err(self.syntax_error());
        }
        let query = self.query(with.ctes, Place::View)?;
        let check_option = self.eat_pair(Keyword::With, Keyword::Check);
        if check_option {
            self.expect(Keyword::Option)?;
        }
        self.eat_semicolons();
        self.expect_end()?;
        let text = self.source.to_owned();
        let view = CreateView {
            name,
            columns,
            schema_binding,
            query,
            check_option,
            mode,
            text,
        };
        Ok(StatementKind::CreateView(Box::new(view)))
    }

    /// A trigger's body is the rest of its batch.
    pub(super) fn trigger(
        &mut self,
        start: usize,
        mode: CreateMode,
    ) -> SyntaxResult<StatementKind> {
        self.check_first(
            start,
            if mode == CreateMode::Alter {
                "ALTER TRIGGER"
            } else {
                "CREATE TRIGGER"
            },
        )?;
        self.expect(Keyword::Trigger)?;
        let name = self.object_name()?;
        self.expect(Keyword::On)?;
        let table = self.object_name()?;
        let instead_of = self.eat_pair("INSTEAD", Keyword::Of);
        if !instead_of && !self.eat(Keyword::For) {
            self.expect("AFTER")?;
        }
        let events = self.list(Self::trigger_event)?;
        let not_for_replication = self.not_for_replication()?;
        self.expect(Keyword::As)?;
        let mut body = Vec::new();
        self.eat_semicolons();
        while !self.at_end() {
            body.push(self.statement()?);
            self.eat_semicolons();
        }
        if body.is_empty() {
            return Err(self.syntax_error());
        }
        let text = self.source.to_owned();
        let trigger = CreateTrigger {
            name,
            table,
            instead_of,
            events,
            not_for_replication,
            body,
            mode,
            text,
        };
        Ok(StatementKind::CreateTrigger(Box::new(trigger)))
    }

    fn trigger_event(&mut self) -> SyntaxResult<TriggerEvent> {
        if self.eat(Keyword::Insert) {
            return Ok(TriggerEvent::Insert);
        }
        if self.eat(Keyword::Update) {
            return Ok(TriggerEvent::Update);
        }
        self.expect(Keyword::Delete)?;
        Ok(TriggerEvent::Delete)
    }

    /// ENABLE | DISABLE TRIGGER
    pub(super) fn toggle_trigger(&mut self) -> SyntaxResult<StatementKind> {
        let enable = self.at("ENABLE");
        self.position += 2;
        let names = if self.eat(Keyword::All) {
            None
        } else {
            Some(self.list(Self::object_name)?)
        };
        self.expect(Keyword::On)?;
        let table = self.object_name()?;
        Ok(StatementKind::ToggleTrigger(ToggleTrigger {
            enable,
            names,
            table,
        }))
    }

    pub(super) fn create_schema(&mut self, start: usize) -> SyntaxResult<StatementKind> {
        self.check_first(start, "CREATE SCHEMA")?;
        self.expect(Keyword::Schema)?;
        let name = self.ident()?;
        let owner = if self.eat(Keyword::Authorization) {
            Some(self.ident()?)
        } else {
            None
        };
        Ok(StatementKind::CreateSchema(CreateSchema { name, owner }))
    }

    /// Types and schema collections, which need their class before the name, are not known.
    pub(super) fn alter_schema(&mut self) -> SyntaxResult<StatementKind> {
        self.expect(Keyword::Schema)?;
        let schema = self.ident()?;
        self.expect("TRANSFER")?;
        if self.eat("OBJECT") {
            self.expect(Symbol::DoubleColon)?;
        }
        let object = self.object_name()?;
        Ok(StatementKind::AlterSchema(AlterSchema { schema, object }))
    }

    pub(super) fn create_type(&mut self) -> SyntaxResult<StatementKind> {
        let name = self.object_name()?;
        let definition = if self.eat(Keyword::As) {
            self.expect(Keyword::Table)?;
            TypeDefinition::Table(Box::new(self.table_definition()?))
        } else {
            self.expect(Keyword::From)?;
            let base = self.type_name(LengthDefault::Declaration)?;
            TypeDefinition::Alias {
                base,
                nullable: self.nullability(),
            }
        };
        Ok(StatementKind::CreateType(CreateType { name, definition }))
    }

    /// After SEQUENCE. CREATE and ALTER share their options.
    pub(super) fn sequence(&mut self) -> SyntaxResult<Sequence> {
        let name = self.object_name()?;
        let mut sequence = Sequence {
            name,
            ty: None,
            start: None,
            increment: None,
            min: None,
            max: None,
            cycle: None,
            cache: None,
        };
        loop {
            if sequence.ty.is_none() && self.eat(Keyword::As) {
                sequence.ty = Some(self.type_name(LengthDefault::Declaration)?);
            } else if self.eat_pair("START", Keyword::With) {
                sequence.start = Some(Some(self.signed_integer()?));
            } else if self.eat("RESTART") {
                sequence.start = Some(if self.eat(Keyword::With) {
                    Some(self.signed_integer()?)
                } else {
                    None
                });
            } else if self.eat_pair("INCREMENT", Keyword::By) {
                sequence.increment = Some(self.signed_integer()?);
            } else if self.eat("MINVALUE") {
                sequence.min = Some(Some(self.signed_integer()?));
            } else if self.eat("MAXVALUE") {
                sequence.max = Some(Some(self.signed_integer()?));
            } else if self.eat("CYCLE") {
                sequence.cycle = Some(true);
            } else if self.eat("CACHE") {
                let size = if matches!(self.peek().kind, crate::sql::lexer::TokenKind::Int) {
                    self.integer()?
                } else {
                    0
                };
                sequence.cache = Some(Some(size));
            } else if self.eat("NO") {
                self.sequence_without(&mut sequence)?;
            } else {
                return Ok(sequence);
            }
        }
    }

    fn sequence_without(&mut self, sequence: &mut Sequence) -> SyntaxResult<()> {
        if self.eat("MINVALUE") {
            sequence.min = Some(None);
        } else if self.eat("MAXVALUE") {
            sequence.max = Some(None);
        } else if self.eat("CYCLE") {
            sequence.cycle = Some(false);
        } else {
            self.expect("CACHE")?;
            sequence.cache = Some(None);
        }
        Ok(())
    }

    pub(super) fn drop_statement(&mut self) -> SyntaxResult<StatementKind> {
        const KINDS: &[(&str, ObjectKind)] = &[
            ("TABLE", ObjectKind::Table),
            ("VIEW", ObjectKind::View),
            ("SCHEMA", ObjectKind::Schema),
            ("TYPE", ObjectKind::Type),
            ("TRIGGER", ObjectKind::Trigger),
            ("SEQUENCE", ObjectKind::Sequence),
            ("DATABASE", ObjectKind::Database),
            ("PROCEDURE", ObjectKind::Procedure),
            ("PROC", ObjectKind::Procedure),
            ("FUNCTION", ObjectKind::Function),
            ("STATISTICS", ObjectKind::Statistics),
            ("LOGIN", ObjectKind::Login),
            ("USER", ObjectKind::User),
            ("ROLE", ObjectKind::Role),
        ];
        self.expect(Keyword::Drop)?;
        if self.at(Keyword::Index) {
            return self.drop_index();
        }
        for (word, kind) in KINDS {
            if self.eat(*word) {
                let conditional = !matches!(kind, ObjectKind::Login | ObjectKind::Statistics);
                let if_exists = conditional && self.if_exists()?;
                let one = matches!(
                    kind,
                    ObjectKind::Schema
                        | ObjectKind::Type
                        | ObjectKind::Login
                        | ObjectKind::User
                        | ObjectKind::Role
                );
                let names = if one {
                    vec![self.object_name()?]
                } else {
                    self.list(Self::object_name)?
                };
                return Ok(StatementKind::Drop(DropObjects {
                    kind: *kind,
                    if_exists,
                    names,
                }));
            }
        }
        Err(self.syntax_error())
    }
}
