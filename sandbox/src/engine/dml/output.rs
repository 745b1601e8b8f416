//! OUTPUT: the rows that a DML statement shows of its changes.

use super::{Writer, image_columns, target_table};
use crate::engine::bind::{Binder, OutColumn, Scope, Source, table_columns};
use crate::engine::context::Cx;
use crate::engine::expr::Expr;
use crate::engine::fault::{Outcome, error, invalid_column};
use crate::engine::plan::Reading;
use crate::engine::schema::ObjectRef;
use crate::session::Event;
use crate::sql::ast;
use crate::value::{SqlType, Value};
use std::sync::Arc;

/// A bound OUTPUT clause. The row it reads: deleted columns, inserted columns, the source row, `$action`.
pub struct Output {
    client: Option<(Vec<Expr>, Vec<OutColumn>)>,
    into: Option<(Vec<Expr>, Writer, Vec<usize>)>,
    width: usize,
    rows: Vec<Vec<Value>>,
    stored: Vec<Vec<Value>>,
}

/// Which images exist, and what else can be read.
pub struct Images {
    pub deleted: bool,
    pub inserted: bool,
    pub merge: bool,
    pub source: Option<Scope>,
}

impl Output {
    pub fn bind(
        cx: &mut Cx<'_>,
        clause: Option<&ast::Output>,
        table: ObjectRef,
        images: Images,
    ) -> Outcome<Option<Self>> {
        let Some(clause) = clause else {
            return Ok(None);
        };
        let def = cx.held.table(table)?.def.clone();
        if clause.items.is_some() && def.triggers.iter().any(|trigger| trigger.enabled) {
            return Err(error(
                334,
                16,
                format!("The target table '{}' of the DML statement cannot have any enabled triggers if the statement \
                    contains an OUTPUT clause without INTO clause.", def.name),
            )
            .into());
        }
        let columns = table_columns(cx, table)?;
        let width = columns.len();
        let mut scope = Scope::default();
        let hide = |columns: Vec<OutColumn>, shown: bool| -> Vec<OutColumn> {
            columns
                .into_iter()
                .map(|column| OutColumn {
                    hidden: column.hidden || !shown,
                    ..column
                })
                .collect()
        };
        let deleted = hide(image_columns(columns.clone(), images.merge), images.deleted);
        scope.add(Source {
            name: "deleted".into(),
            schema: None,
            columns: deleted,
            start: 0,
        });
        let inserted = hide(image_columns(columns, images.merge), images.inserted);
        scope.add(Source {
            name: "inserted".into(),
            schema: None,
            columns: inserted,
            start: 0,
        });
        if let Some(source) = images.source {
            let base = scope.width;
            for mut part in source.sources {
                part.start += base;
                scope.sources.push(part);
            }
            scope.width += source.width;
        }
        if images.merge {
            let action = OutColumn {
                name: "$action".into(),
                ty: SqlType::NVarChar(Some(10)),
                collate: Some(cx.held.database(cx.ses.database).collate.clone()),
                nullable: true,
                identity: false,
                computed: false,
                hidden: false,
                unlisted: false,
                masked: false,
            };
            scope.add(Source {
                name: String::new(),
                schema: None,
                columns: vec![action],
                start: 0,
            });
        }
        let bind =
            |cx: &Cx<'_>, items: &[ast::SelectItem]| -> Outcome<(Vec<Expr>, Vec<OutColumn>)> {
                let mut binder = Binder::new(cx);
                binder.scopes.push(scope.clone());
                binder.output_items(items)
            };
        let client = match &clause.items {
            Some(items) => Some(bind(cx, items)?),
            None => None,
        };
        let into = match &clause.into {
            Some(into) => {
                let (exprs, _) = bind(cx, &into.items)?;
                let (at, reading) = target_table(cx, &into.target)?;
                let writer = Writer::open(
                    cx,
                    at,
                    Reading {
                        target: true,
                        ..reading
                    },
                )?;
                let ordinals = into_columns(&writer, &into.columns)?;
                if ordinals.len() != exprs.len() {
                    return Err(error(
                        213,
                        16,
                        "Column name or number of supplied values does not match table definition.",
                    )
                    .into());
                }
                Some((exprs, writer, ordinals))
            }
            None => None,
        };
        Ok(Some(Self {
            client,
            into,
            width,
            rows: Vec::new(),
            stored: Vec::new(),
        }))
    }

    /// Notes one changed row.
    pub fn add(
        &mut self,
        cx: &mut Cx<'_>,
        deleted: Option<&[Value]>,
        inserted: Option<&[Value]>,
        source: &[Value],
        action: Option<&str>,
    ) -> Outcome<()> {
        let mut row = Vec::with_capacity(self.width * 2 + source.len() + 1);
        for image in [deleted, inserted] {
            match image {
                Some(image) => row.extend_from_slice(image),
                None => row.resize(row.len() + self.width, Value::Null),
            }
        }
        row.extend_from_slice(source);
        if let Some(action) = action {
            row.push(crate::engine::types::string(action));
        }
        if let Some((exprs, _)) = &self.client {
            let shown = exprs
                .iter()
                .map(|expr| expr.eval(&row, cx))
                .collect::<Outcome<_>>()?;
            self.rows.push(shown);
        }
        if let Some((exprs, _, _)) = &self.into {
            let kept = exprs
                .iter()
                .map(|expr| expr.eval(&row, cx))
                .collect::<Outcome<_>>()?;
            self.stored.push(kept);
        }
        Ok(())
    }

    /// Stores and sends what was noted. True when rows went to the client.
    pub fn finish(self, cx: &mut Cx<'_>) -> Outcome<bool> {
        if let Some((exprs, writer, ordinals)) = &self.into {
            for values in &self.stored {
                let mut given = vec![None; writer.def.columns.len()];
                for ((at, value), expr) in ordinals.iter().zip(values).zip(exprs) {
                    given[*at] = Some(writer.store(cx, *at, value, &expr.ty)?);
                }
                let row = writer.complete(cx, given)?;
                writer.check(cx, &row, "INSERT")?;
                writer.insert(cx, Arc::from(row))?;
            }
        }
        let Some((_, columns)) = &self.client else {
            return Ok(false);
        };
        cx.columns(columns.iter().map(OutColumn::meta).collect())?;
        if !self.rows.is_empty() {
            cx.emit(Event::Rows(self.rows))?;
        }
        Ok(true)
    }
}

fn into_columns(writer: &Writer, names: &[ast::Ident]) -> Outcome<Vec<usize>> {
    if names.is_empty() {
        let writable = writer.def.columns.iter().enumerate().filter(|(_, column)| {
            column.identity.is_none()
                && column.computed.is_none()
                && column.ty != SqlType::RowVersion
                && column.generated.is_none()
        });
        return Ok(writable.map(|(at, _)| at).collect());
    }
    names
        .iter()
        .map(|name| {
            writer
                .def
                .column(&name.text)
                .ok_or_else(|| invalid_column(&name.text).into())
        })
        .collect()
}
