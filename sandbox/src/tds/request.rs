//! A session's requests one after another: batches, transaction manager requests, attention; RPC and bulk load in
//! their own modules.

use super::WireOptions;
use super::bulk;
use super::cursor::{Cursor, ParseError, Parsed, name};
use super::fault::{Fault, Faults};
use super::packet::{Packet, PacketKind, Response, WireError};
use super::rpc::{self, Prepared};
use super::sink::{Context, Discard, WireSink, error};
use super::token::{self, DONE_ATTENTION, DONE_ERROR, Done, DoneKind};
use crate::session::{BulkTarget, Session, SqlError, TransactionRequest};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const GARBAGE: &[u8] = b"\x04\x01\x00\x20\x00\x00\x01\x00this is not TDS, and no tokens!!";

/// The protocol of one session.
pub(super) struct Worker {
    pub session: Box<dyn Session>,
    pub response: Response,
    pub context: Context,
    pub prepared: Prepared,
    pub cancel: Arc<AtomicBool>,
    pub request_bytes_max: usize,
    pub typed_nulls: bool,
    packets: mpsc::Receiver<Packet>,
    bulk: Option<BulkTarget>,
    faults: Faults,
}

/// A message of a client, once its packets were collected.
enum Collected {
    Whole(Bytes),
    /// The client gave it up itself, by the ignore bit.
    Ignored,
    /// The client gave it up by an attention.
    Attention,
    TooLong,
}

type Served = Result<(), WireError>;

impl Worker {
    pub fn new(
        session: Box<dyn Session>,
        response: Response,
        packets: mpsc::Receiver<Packet>,
        cancel: Arc<AtomicBool>,
        context: Context,
        options: &WireOptions,
    ) -> Self {
        Self {
            session,
            response,
            context,
            prepared: Prepared::default(),
            cancel,
            request_bytes_max: options.request_bytes_max,
            typed_nulls: options.typed_nulls,
            packets,
            bulk: None,
            faults: options.faults.clone(),
        }
    }

    /// Serves requests until the connection ends, and says why it did.
    pub fn serve(&mut self) -> WireError {
        loop {
            let served = match self.next_packet() {
                Ok(packet) => self.request(packet),
                Err(error) => Err(error),
            };
            if let Err(reason) = served {
                return reason;
            }
            if let Some(reason) = self.response.broken() {
                return WireError::Fault(reason);
            }
        }
    }

    /// Ends the session: rolls back and releases what it holds.
    pub fn close(&mut self) {
        self.session.close();
    }

    pub fn next_packet(&mut self) -> Result<Packet, WireError> {
        self.packets.blocking_recv().ok_or(WireError::Closed)
    }

    fn request(&mut self, first: Packet) -> Served {
        let kind = first.kind;
        let reset = first.reset();
        if first.reset_keeps_transaction() {
            let why = "a reset that keeps the transaction";
            return Err(WireError::Refused(why.to_owned()));
        }
        match kind {
            PacketKind::Attention => {
                self.acknowledge_attention();
                return Ok(());
            }
            PacketKind::Login | PacketKind::Prelogin => {
                return Err(WireError::Malformed {
                    what: "request",
                    why: "a second login".to_owned(),
                });
            }
            PacketKind::BulkLoad => {
                let target = self.bulk.take();
                return self.with_fault("BULK DATA", |worker| bulk::load(worker, target, first));
            }
            PacketKind::SqlBatch | PacketKind::Rpc | PacketKind::TransactionManager => {}
        }
        let data = match self.collect(first)? {
            Collected::Whole(data) => data,
            Collected::Ignored => {
                self.fail(None);
                return Ok(());
            }
            Collected::Attention => {
                self.acknowledge_attention();
                return Ok(());
            }
            Collected::TooLong => {
                let limit = self.request_bytes_max;
                let message = format!("A request of more than {limit} bytes is refused.");
                self.fail(Some(error(701, 17, message)));
                return Ok(());
            }
        };
        if reset {
            self.bulk = None;
            self.reset();
        }
        if self.bulk.take().is_some() {
            self.session.bulk_end(true, &mut Discard);
            let message = "Bulk load data was expected but not sent. The batch will be terminated.";
            self.fail(Some(error(4022, 16, message.to_owned())));
            return Ok(());
        }
        match kind {
            PacketKind::SqlBatch => self.batch(&data),
            PacketKind::Rpc => rpc::serve(self, &data),
            _ => self.transaction(&data),
        }
    }

    /// Makes the session what it was after login, and tells the client.
    pub fn reset(&mut self) {
        self.session.reset();
        self.prepared = Prepared::default();
        let out = &mut self.response.payload;
        token::put_reset_done(out);
        let Context {
            database,
            login_database,
            ..
        } = &mut self.context;
        if database != login_database {
            token::put_database(out, login_database, database);
            database.clone_from(login_database);
        }
    }

    fn collect(&mut self, first: Packet) -> Result<Collected, WireError> {
        if first.ends_message() {
            return Ok(if first.ignore() {
                Collected::Ignored
            } else {
                Collected::Whole(first.data)
            });
        }
        let kind = first.kind;
        let mut data = BytesMut::from(&first.data[..]);
        let mut too_long = false;
        loop {
            let packet = self.next_packet()?;
            if packet.kind == PacketKind::Attention {
                return Ok(Collected::Attention);
            }
            if packet.kind != kind {
                return Err(WireError::Malformed {
                    what: "message",
                    why: format!("{:?} inside a {kind:?}", packet.kind),
                });
            }
            too_long |= data.len() + packet.data.len() > self.request_bytes_max;
            if !too_long {
                data.extend_from_slice(&packet.data);
            }
            if packet.ends_message() {
                return Ok(match (packet.ignore(), too_long) {
                    (true, _) => Collected::Ignored,
                    (false, true) => Collected::TooLong,
                    (false, false) => Collected::Whole(data.freeze()),
                });
            }
        }
    }

    /// DeclaredChanges an attention; only now the flag is lowered, so that nothing between its arrival and here
    /// went on unaware.
    pub fn acknowledge_attention(&mut self) {
        if self.bulk.take().is_some() {
            self.session.bulk_end(true, &mut Discard);
        }
        self.cancel.store(false, Ordering::Release);
        Done::new(DoneKind::Done, DONE_ATTENTION).put(&mut self.response.payload);
        self.response.finish();
    }

    /// DeclaredChanges a request by an error alone, or by nothing but its failure.
    pub fn fail(&mut self, error: Option<SqlError>) {
        if let Some(error) = error {
            token::put_error(&mut self.response.payload, &error);
        }
        Done::new(DoneKind::Done, DONE_ERROR).put(&mut self.response.payload);
        self.response.finish();
    }

    /// DeclaredChanges a request that could not be read.
    pub fn fail_to_parse(&mut self, number: i32, what: &str, problem: ParseError) {
        let reason = problem.reason();
        tracing::warn!(what, reason, "a malformed request");
        let message =
            format!("The incoming tabular data stream (TDS) is incorrect: {what}: {reason}.");
        self.fail(Some(error(number, 16, message)));
    }

    /// Runs a request, unless a fault is set on its text.
    pub fn with_fault(&mut self, text: &str, run: impl FnOnce(&mut Self) -> Served) -> Served {
        match self.faults.on_request(text) {
            None => run(self),
            Some(Fault::DropBefore) => Err(WireError::Fault("before the request")),
            Some(Fault::DropAfter) => {
                self.response.mute(true);
                run(self)?;
                Err(WireError::Fault("after the request"))
            }
            Some(Fault::Delay(delay)) => {
                self.wait(delay);
                run(self)
            }
            Some(Fault::Garbage) => {
                self.response.send_raw(GARBAGE);
                Err(WireError::Fault("garbage sent"))
            }
            Some(Fault::Error(error)) => self.fail_with(error),
            Some(Fault::ErrorAfter(error)) => {
                self.response.mute(true);
                run(self)?;
                self.response.mute(false);
                self.fail_with(error)
            }
            Some(Fault::Silence(time)) => {
                self.response.mute(true);
                run(self)?;
                self.wait(time);
                Err(WireError::Fault("after a silence"))
            }
        }
    }

    /// Answers by an error; from severity 20 on the connection ends with it, as SQL Server documents.
    fn fail_with(&mut self, error: SqlError) -> Served {
        let is_fatal = error.class >= 20;
        self.fail(Some(error));
        match is_fatal {
            true => Err(WireError::Fault("a fatal error")),
            false => Ok(()),
        }
    }

    /// Sleeps, but not through an attention or the end of the connection.
    fn wait(&self, delay: Duration) {
        let until = Instant::now() + delay;
        while Instant::now() < until && !self.cancel.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(2).min(delay));
        }
    }

    fn batch(&mut self, data: &[u8]) -> Served {
        let mut from = Cursor::new(data);
        let sql = from.skip_all_headers().and_then(|()| name(from.rest()));
        let sql = match sql {
            Ok(sql) => sql,
            Err(problem) => {
                self.fail_to_parse(4002, "SQL batch", problem);
                return Ok(());
            }
        };
        self.with_fault(&sql, |worker| {
            let kind = DoneKind::Done;
            let mut sink = WireSink::new(&mut worker.response, &mut worker.context, kind);
            worker.bulk = worker.session.batch(&sql, &worker.cancel, &mut sink);
            sink.end_batch();
            worker.response.finish();
            Ok(())
        })
    }

    fn transaction(&mut self, data: &[u8]) -> Served {
        let requests = match read_transaction(data) {
            Ok(requests) => requests,
            Err(problem) => {
                self.fail_to_parse(4002, "transaction manager request", problem);
                return Ok(());
            }
        };
        let text = match requests.first() {
            Some(TransactionRequest::Begin { .. }) => "BEGIN TRANSACTION",
            Some(TransactionRequest::Commit { .. }) => "COMMIT TRANSACTION",
            Some(TransactionRequest::Rollback { .. }) => "ROLLBACK TRANSACTION",
            Some(TransactionRequest::Save { .. }) | None => "SAVE TRANSACTION",
        };
        self.with_fault(text, |worker| {
            let kind = DoneKind::Done;
            let mut sink = WireSink::new(&mut worker.response, &mut worker.context, kind);
            for request in requests {
                if sink.first_error().is_none() {
                    worker.session.transaction(request, &mut sink);
                }
            }
            sink.end_batch();
            worker.response.finish();
            Ok(())
        })
    }
}

/// What a transaction manager message asks for: one request, or an end and the beginning that it asks for at once.
fn read_transaction(data: &[u8]) -> Parsed<Vec<TransactionRequest>> {
    let mut from = Cursor::new(data);
    from.skip_all_headers()?;
    let byte_name = |from: &mut Cursor<'_>| {
        let bytes = usize::from(from.u8()?);
        name(from.bytes(bytes)?)
    };
    let begin = |from: &mut Cursor<'_>| {
        Ok(TransactionRequest::Begin {
            isolation: from.u8()?,
            name: byte_name(from)?,
        })
    };
    let kind = from.u16()?;
    let mut requests = Vec::new();
    match kind {
        5 => requests.push(begin(&mut from)?),
        7 | 8 => {
            let name = byte_name(&mut from)?;
            let begin_again = from.u8()? & 1 != 0;
            // The beginning that may follow is asked for as a request of its own.
            requests.push(if kind == 7 {
                TransactionRequest::Commit { begin_again: false }
            } else {
                TransactionRequest::Rollback {
                    name,
                    begin_again: false,
                }
            });
            if begin_again {
                requests.push(begin(&mut from)?);
            }
        }
        9 => requests.push(TransactionRequest::Save {
            name: byte_name(&mut from)?,
        }),
        other => {
            return Err(ParseError::bad(format!(
                "request {other}; distributed transactions are not supported here"
            )));
        }
    }
    Ok(requests)
}
