//! The semantics that icesync rests on, through the session interface.

mod basics;
mod bulk;
mod catalog;
mod collations;
mod compiling;
mod concurrency;
mod digests;
mod environments;
mod errors;
mod limits;
mod merge;
mod modules;
mod more;
mod plans;
mod tracking;

use super::types;
use super::{Engine, Options};
use crate::session::{ColumnMeta, Event, Login, Server, Session, Sink, SqlError};
use crate::value::{SqlType, Value};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Everything that a batch sent.
#[derive(Default)]
pub struct Reply {
    pub sets: Vec<(Vec<ColumnMeta>, Vec<Vec<Value>>)>,
    pub errors: Vec<SqlError>,
    pub infos: Vec<String>,
    pub counts: Vec<u64>,
    pub events: Vec<Event>,
}

impl Sink for Reply {
    fn send(&mut self, event: Event) -> bool {
        match &event {
            Event::Columns(columns) => self.sets.push((columns.clone(), Vec::new())),
            Event::Rows(rows) => self
                .sets
                .last_mut()
                .expect("rows follow columns")
                .1
                .extend(rows.iter().cloned()),
            Event::Done {
                count: Some(count), ..
            } => self.counts.push(*count),
            Event::Error(error) => self.errors.push(error.clone()),
            Event::Info(info) => self.infos.push(info.message.clone()),
            Event::Done { count: None, .. }
            | Event::Database(_)
            | Event::TranBegin(_)
            | Event::TranEnd { .. } => {}
        }
        self.events.push(event);
        true
    }
}

pub struct Client(pub Box<dyn Session>);

/// An engine whose database `shop` has both kinds of row versions.
pub fn engine() -> Arc<Engine> {
    with_versions(true)
}

pub fn with_versions(versions: bool) -> Arc<Engine> {
    Engine::new(Options {
        databases: vec!["shop".into()],
        password: "pw".into(),
        allow_snapshot: versions,
        read_committed_snapshot: versions,
        ..Options::default()
    })
    .unwrap()
}

pub fn connect(engine: &Arc<Engine>) -> Client {
    connect_as(engine, "sa")
}

/// A session of another login.
pub fn connect_as(engine: &Arc<Engine>, user: &str) -> Client {
    let login = Login {
        user,
        password: "pw",
        database: "shop",
        app_name: "test",
        host_name: "here",
        read_only: false,
        odbc: true,
    };
    Client(engine.login(login).unwrap())
}

impl Client {
    pub fn batch(&mut self, sql: &str) -> Reply {
        let mut reply = Reply::default();
        self.0
            .batch(sql, &Arc::new(AtomicBool::new(false)), &mut reply);
        reply
    }

    /// Runs a batch that must succeed.
    #[track_caller]
    pub fn ok(&mut self, sql: &str) -> Reply {
        let reply = self.batch(sql);
        assert!(reply.errors.is_empty(), "{sql}\n{:?}", reply.errors);
        reply
    }

    /// The last result set, each row as text.
    #[track_caller]
    pub fn rows(&mut self, sql: &str) -> Vec<String> {
        let reply = self.ok(sql);
        let (columns, rows) = reply
            .sets
            .last()
            .unwrap_or_else(|| panic!("no result: {sql}"));
        rows.iter().map(|row| show_row(columns, row)).collect()
    }

    /// The only value.
    #[track_caller]
    pub fn one(&mut self, sql: &str) -> String {
        let rows = self.rows(sql);
        assert_eq!(rows.len(), 1, "{sql}: {rows:?}");
        rows[0].clone()
    }

    /// The first error's number.
    #[track_caller]
    pub fn error(&mut self, sql: &str) -> i32 {
        let reply = self.batch(sql);
        reply
            .errors
            .first()
            .unwrap_or_else(|| panic!("no error: {sql}"))
            .number
    }
}

pub fn show_row(columns: &[ColumnMeta], row: &[Value]) -> String {
    assert_eq!(columns.len(), row.len(), "{columns:?} {row:?}");
    let shown: Vec<String> = columns
        .iter()
        .zip(row)
        .map(|(column, value)| show(&column.ty, value))
        .collect();
    shown.join("|")
}

fn show(ty: &SqlType, value: &Value) -> String {
    if matches!(value, Value::Null) {
        return "NULL".into();
    }
    let (ty, value) = match value {
        Value::Variant(inner) => (&inner.0, &inner.1),
        other => (ty, other),
    };
    let collate = super::collation::Collate::server();
    let style = if types::is_binary(ty) { 1 } else { 121 };
    let conversion = super::convert::Conversion {
        from: ty,
        to: &SqlType::NVarChar(None),
        style,
        collate: &collate,
        dateformat: "mdy",
    };
    match super::convert::convert(value, conversion).unwrap() {
        Value::Str(units) => types::text(&units),
        other => format!("{other:?}"),
    }
}
