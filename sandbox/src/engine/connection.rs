//! One connection: the `Session` that the wire drives.

use crate::engine::context::{Cx, Frame, Ses, Settings};
use crate::engine::dml::bulk::{self, Bulk};
use crate::engine::fault::{Stop, error};
use crate::engine::flow;
use crate::engine::locks::Owner;
use crate::engine::procedures;
use crate::engine::state::Shared;
use crate::session::{BulkTarget, Event, Param, Session, Sink, SqlError, TransactionRequest};
use crate::sql::ast::IsolationLevel;
use crate::value::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub struct Connection {
    shared: Arc<Shared>,
    ses: Ses,
    bulk: Option<Bulk>,
    /// An error that the bulk load met, told at its end.
    bulk_error: Option<SqlError>,
    open: bool,
}

/// Swallows events of work that no client waits for.
struct Nobody;

impl Sink for Nobody {
    fn send(&mut self, _: Event) -> bool {
        true
    }
}

impl Connection {
    pub fn new(shared: Arc<Shared>, ses: Ses) -> Self {
        Self {
            shared,
            ses,
            bulk: None,
            bulk_error: None,
            open: true,
        }
    }

    /// Runs work with a context, and ends what the batch must not leave behind.
    fn with<T>(
        &mut self,
        cancel: &AtomicBool,
        sink: &mut dyn Sink,
        work: impl FnOnce(&mut Cx<'_>) -> T,
    ) -> T {
        self.ses.frames.clear();
        self.ses.frames.push(Frame::default());
        self.ses.nest_level = 0;
        self.ses.caught.clear();
        let shared = self.shared.clone();
        let mut cx = Cx::new(&shared, &mut self.ses, sink, cancel);
        let result = work(&mut cx);
        while cx.ses.frames.len() > 1 {
            flow::drop_frame(&mut cx);
        }
        flow::drop_frame(&mut cx);
        if cx
            .ses
            .transaction
            .as_ref()
            .is_some_and(|transaction| transaction.doomed)
        {
            let descriptor = cx.ses.transaction_id();
            flow::undo_everything(&mut cx);
            let _ = cx.emit(Event::Error(error(
                3998,
                16,
                "Uncommittable transaction is detected at the end of the \
                batch. The transaction is rolled back.",
            )));
            let _ = cx.emit(Event::TranEnd {
                descriptor,
                committed: false,
            });
        }
        cx.held.unlock();
        let bulk = cx.bulk.take();
        drop(cx);
        self.ses.frames.push(Frame::default());
        if bulk.is_some() {
            self.bulk = bulk;
            self.bulk_error = None;
        }
        result
    }

    /// Reports an outcome; none after an error.
    fn finish<T>(cx: &mut Cx<'_>, result: Result<T, Stop>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(stop) => {
                flow::report_failure(cx, stop);
                None
            }
        }
    }

    fn bulk_work(&mut self, rows: Vec<Vec<Value>>) -> Result<(), SqlError> {
        let Some(mut load) = self.bulk.take() else {
            return Err(error(
                4002,
                16,
                "The incoming tabular data stream (TDS) protocol stream is incorrect. No INSERT BULK is open.",
            ));
        };
        if self.bulk_error.is_some() {
            self.bulk = Some(load);
            return Ok(());
        }
        let cancel = AtomicBool::new(false);
        let mut nobody = Nobody;
        let shared = self.shared.clone();
        let mut cx = Cx::new(&shared, &mut self.ses, &mut nobody, &cancel);
        let before = load.clone();
        let result = flow::attempt(&mut cx, &mut |cx| {
            load = before.clone();
            bulk::add(cx, &mut load, rows.clone())
        });
        cx.held.unlock();
        drop(cx);
        self.bulk = Some(load);
        match result {
            Ok(()) => Ok(()),
            Err(
                Stop::Statement(error)
                | Stop::Raised(error)
                | Stop::Compile(error)
                | Stop::Batch { error, .. },
            ) => {
                self.bulk_error = Some(error.clone());
                Err(error)
            }
            Err(Stop::Wait(_) | Stop::Cancelled | Stop::Disconnected | Stop::Ended) => {
                let failed = error(4002, 16, "The bulk load was interrupted.");
                self.bulk_error = Some(failed.clone());
                Err(failed)
            }
        }
    }

    /// A client that never sent the rows of its INSERT BULK gave the load up.
    fn abandon_bulk(&mut self) {
        if self.bulk.is_some() {
            self.bulk_end(true, &mut Nobody);
        }
    }

    fn forget_session_things(&mut self) {
        let shared = self.shared.clone();
        let mut nobody = Nobody;
        let cancel = AtomicBool::new(false);
        let mut cx = Cx::new(&shared, &mut self.ses, &mut nobody, &cancel);
        cx.held.lock();
        flow::undo_everything(&mut cx);
        let session = cx.ses.id;
        let mut tables: Vec<_> = cx.ses.temporary.iter().map(|(_, at)| *at).collect();
        tables.append(&mut cx.ses.global_temporary);
        for frame in &mut cx.ses.frames {
            tables.append(&mut frame.temporary);
            tables.extend(frame.tables.drain().map(|(_, at)| at));
        }
        for at in tables {
            crate::engine::ddl::forget_table(&mut cx, at);
            let names = &mut cx.held.databases[at.database].names;
            names.retain(|_, id| *id != at.id);
        }
        cx.held.locks.release(session, Owner::Session);
        cx.held.locks.release(session, Owner::Statement);
        cx.held.locks.stop_waiting(session);
        shared.ring();
        cx.held.unlock();
        drop(cx);
        self.ses.temporary.clear();
        self.ses.session_context.clear();
        self.bulk = None;
        self.bulk_error = None;
    }
}

impl Session for Connection {
    fn batch(
        &mut self,
        sql: &str,
        cancel: &Arc<AtomicBool>,
        sink: &mut dyn Sink,
    ) -> Option<BulkTarget> {
        self.abandon_bulk();
        self.with(cancel, sink, |cx| flow::run_batch(cx, sql));
        self.bulk.as_ref().map(|bulk| bulk.target.clone())
    }

    fn execute_sql(
        &mut self,
        sql: &str,
        declarations: &str,
        params: Vec<Param>,
        cancel: &Arc<AtomicBool>,
        sink: &mut dyn Sink,
    ) -> Option<Vec<Param>> {
        self.abandon_bulk();
        self.with(cancel, sink, |cx| {
            let result = procedures::execute_parameterised(cx, sql, declarations, params);
            Self::finish(cx, result).map(|(_, params)| params)
        })
    }

    fn procedure(
        &mut self,
        name: &str,
        params: Vec<Param>,
        cancel: &Arc<AtomicBool>,
        sink: &mut dyn Sink,
    ) -> Option<(i32, Vec<Param>)> {
        self.abandon_bulk();
        self.with(cancel, sink, |cx| {
            let result = procedures::remote(cx, name, params);
            Self::finish(cx, result)
        })
    }

    fn bulk_rows(&mut self, rows: Vec<Vec<Value>>) -> Result<(), SqlError> {
        self.bulk_work(rows)
    }

    fn bulk_end(&mut self, abort: bool, sink: &mut dyn Sink) {
        let Some(mut load) = self.bulk.take() else {
            return;
        };
        let failed = self.bulk_error.take();
        let cancel = AtomicBool::new(false);
        let shared = self.shared.clone();
        let mut cx = Cx::new(&shared, &mut self.ses, sink, &cancel);
        let result = if abort {
            Err(None)
        } else if let Some(error) = failed {
            Err(Some(error))
        } else {
            flow::attempt(&mut cx, &mut |cx| {
                cx.atomic += 1;
                let result = bulk::finish(cx, &mut load);
                cx.atomic -= 1;
                result
            })
            .map_err(|stop| match stop {
                Stop::Statement(error)
                | Stop::Raised(error)
                | Stop::Compile(error)
                | Stop::Batch { error, .. } => Some(error),
                Stop::Wait(_) | Stop::Cancelled | Stop::Disconnected | Stop::Ended => None,
            })
        };
        cx.held.lock();
        if let Some(mut transaction) = cx.ses.transaction.take() {
            let session = cx.ses.id;
            match (&result, load.own) {
                (Ok(()), true) => cx.held.commit(transaction, session),
                (Err(_), true) => cx.held.rollback(transaction, session),
                (Ok(()), false) => cx.ses.transaction = Some(transaction),
                (Err(_), false) => {
                    cx.held.undo_to(&mut transaction, load.mark, true);
                    cx.ses.transaction = Some(transaction);
                }
            }
        }
        shared.ring();
        cx.held.unlock();
        let done = match result {
            Ok(()) => {
                cx.ses.row_count = load.count as i64;
                Event::Done {
                    count: Some(load.count),
                    select: false,
                }
            }
            Err(error) => {
                if let Some(error) = error {
                    let _ = cx.emit(Event::Error(error));
                }
                Event::Done {
                    count: None,
                    select: false,
                }
            }
        };
        let _ = cx.emit(done);
    }

    fn transaction(&mut self, request: TransactionRequest, sink: &mut dyn Sink) {
        let cancel = AtomicBool::new(false);
        self.with(&cancel, sink, |cx| {
            let result = match request {
                TransactionRequest::Begin { isolation, name } => {
                    if let Some(level) = isolation_level(isolation) {
                        cx.ses.settings.isolation = level;
                    }
                    flow::begin(cx, &name)
                }
                TransactionRequest::Commit { begin_again } => flow::commit(cx).and_then(|()| {
                    if begin_again {
                        flow::begin(cx, "")
                    } else {
                        Ok(())
                    }
                }),
                TransactionRequest::Rollback { name, begin_again } => flow::roll_back(cx, &name)
                    .and_then(|()| {
                        if begin_again {
                            flow::begin(cx, "")
                        } else {
                            Ok(())
                        }
                    }),
                TransactionRequest::Save { name } => flow::save(cx, &name),
            };
            if Self::finish(cx, result).is_some() {
                let _ = cx.emit(Event::Done {
                    count: None,
                    select: false,
                });
            }
        });
    }

    fn reset(&mut self) {
        self.forget_session_things();
        self.ses.settings = Settings::at_login(self.ses.odbc);
        self.ses.database = self.ses.login_database;
        self.ses.home_database = self.ses.login_database;
        self.ses.row_count = 0;
        self.ses.last_error = 0;
        self.ses.last_identity = None;
        self.ses.frames = vec![Frame::default()];
        self.ses.prepared = HashMap::new();
    }

    fn close(&mut self) {
        if !self.open {
            return;
        }
        self.open = false;
        self.forget_session_things();
        self.shared.lock().sessions.remove(&self.ses.id);
        self.shared.ring();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}

/// The isolation level byte of TDS; 0 keeps the current one.
fn isolation_level(byte: u8) -> Option<IsolationLevel> {
    match byte {
        1 => Some(IsolationLevel::ReadUncommitted),
        2 => Some(IsolationLevel::ReadCommitted),
        3 => Some(IsolationLevel::RepeatableRead),
        4 => Some(IsolationLevel::Serializable),
        5 => Some(IsolationLevel::Snapshot),
        _ => None,
    }
}
