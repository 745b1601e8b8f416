//! The rows of an INSERT BULK: columns, rows and an end, in packets of their own kind.

use super::cursor::{Cursor, ParseError, Parsed};
use super::decode::read_value;
use super::packet::{Packet, PacketKind, WireError};
use super::request::Worker;
use super::sink::{Discard, WireSink, error};
use super::token::DoneKind;
use super::type_info::{Place, WireType};
use crate::session::{BulkTarget, SqlError};
use crate::value::{SqlType, Value};

const COLMETADATA: u8 = 0x81;
const ROW: u8 = 0xD1;
const NBCROW: u8 = 0xD2;
const DONE: u8 = 0xFD;

/// Rows are handed on when there are this many, or this many bytes of them.
const ROWS_TOGETHER: usize = 512;
const BYTES_TOGETHER: usize = 1 << 20;

/// How a bulk message ended.
enum End {
    Complete,
    /// The client gave it up by the ignore bit.
    Ignored,
    Attention,
    /// The rows were refused; the rest of the message was read and thrown away.
    Failed(SqlError),
}

/// The message as far as it has come.
struct Stream {
    buffer: Vec<u8>,
    at: usize,
    /// A row that did not fit is tried again when this many bytes wait.
    enough: usize,
    ended: Option<End>,
}

/// Loads the rows of one bulk message and answers it.
pub(super) fn load(
    worker: &mut Worker,
    target: Option<BulkTarget>,
    first: Packet,
) -> Result<(), WireError> {
    let mut stream = Stream {
        buffer: Vec::new(),
        at: 0,
        enough: 0,
        ended: None,
    };
    stream.take(first);
    let end = match &target {
        Some(target) => read_rows(worker, target, &mut stream)?,
        None => {
            let message = "Bulk load data came without an INSERT BULK that would expect it.";
            stream.fail(worker, error(4002, 16, message.to_owned()))?
        }
    };
    if target.is_some() && !matches!(end, End::Complete) {
        worker.session.bulk_end(true, &mut Discard);
    }
    match end {
        End::Complete => {
            let kind = DoneKind::Done;
            let mut sink = WireSink::new(&mut worker.response, &mut worker.context, kind);
            worker.session.bulk_end(false, &mut sink);
            sink.end_batch();
            worker.response.finish();
        }
        End::Ignored => worker.fail(None),
        End::Attention => worker.acknowledge_attention(),
        End::Failed(problem) => worker.fail(Some(problem)),
    }
    Ok(())
}

impl Stream {
    fn take(&mut self, packet: Packet) {
        if packet.kind == PacketKind::Attention {
            self.ended = Some(End::Attention);
            return;
        }
        self.buffer.drain(..self.at);
        self.at = 0;
        self.buffer.extend_from_slice(&packet.data);
        if packet.ends_message() {
            self.ended = Some(if packet.ignore() {
                End::Ignored
            } else {
                End::Complete
            });
        }
    }

    fn pull(&mut self, worker: &mut Worker) -> Result<(), WireError> {
        let packet = worker.next_packet()?;
        if !matches!(packet.kind, PacketKind::BulkLoad | PacketKind::Attention) {
            return Err(WireError::Malformed {
                what: "bulk load",
                why: format!("{:?} inside it", packet.kind),
            });
        }
        self.take(packet);
        Ok(())
    }

    fn waiting(&self) -> usize {
        self.buffer.len() - self.at
    }

    /// Reads one thing, fetching packets until it is whole; none when the client gave up, an error when the bytes
    /// are wrong.
    fn read<T>(
        &mut self,
        worker: &mut Worker,
        read: impl Fn(&mut Cursor<'_>) -> Parsed<T>,
    ) -> Result<Option<Parsed<T>>, WireError> {
        loop {
            if matches!(self.ended, Some(End::Ignored | End::Attention)) {
                return Ok(None);
            }
            let worth_trying = self.waiting() > 0 && self.waiting() >= self.enough;
            if worth_trying || self.ended.is_some() {
                let mut cursor = Cursor::new(&self.buffer[self.at..]);
                match read(&mut cursor) {
                    Ok(found) => {
                        self.at += cursor.position();
                        self.enough = 0;
                        return Ok(Some(Ok(found)));
                    }
                    Err(ParseError::Incomplete) if self.ended.is_none() => {
                        // Twice as much before the next attempt, so that a huge value costs no more than its size.
                        self.enough = self.waiting() * 2;
                    }
                    Err(problem) => return Ok(Some(Err(problem))),
                }
            }
            if self.waiting() > worker.request_bytes_max {
                return Err(WireError::Refused(format!(
                    "a bulk row of more than {} bytes",
                    worker.request_bytes_max
                )));
            }
            self.pull(worker)?;
        }
    }

    /// Throws the rest of the message away; the error stands unless the client gave up anyway.
    fn fail(&mut self, worker: &mut Worker, problem: SqlError) -> Result<End, WireError> {
        while self.ended.is_none() {
            self.at = self.buffer.len();
            self.pull(worker)?;
        }
        Ok(match self.ended.take() {
            Some(End::Attention) => End::Attention,
            Some(End::Ignored) => End::Ignored,
            _ => End::Failed(problem),
        })
    }

    fn given_up(&mut self) -> End {
        self.ended.take().unwrap_or(End::Ignored)
    }
}

/// One step of the message after its columns.
enum Step {
    Row(Vec<Value>),
    End,
}

fn read_rows(
    worker: &mut Worker,
    target: &BulkTarget,
    stream: &mut Stream,
) -> Result<End, WireError> {
    let columns = match stream.read(worker, read_columns)? {
        None => return Ok(stream.given_up()),
        Some(Err(problem)) => return stream.fail(worker, malformed(problem)),
        Some(Ok(columns)) => columns,
    };
    if let Err(problem) = check(&columns, target) {
        return stream.fail(worker, problem);
    }
    let mut rows = Vec::with_capacity(ROWS_TOGETHER);
    let mut bytes = 0;
    loop {
        let before = stream.at;
        let ended = match stream.read(worker, |cursor| read_step(cursor, &columns))? {
            None => return Ok(stream.given_up()),
            Some(Err(problem)) => return stream.fail(worker, malformed(problem)),
            Some(Ok(Step::End)) => true,
            Some(Ok(Step::Row(row))) => {
                rows.push(row);
                bytes += stream.at.saturating_sub(before);
                false
            }
        };
        if !rows.is_empty() && (ended || rows.len() >= ROWS_TOGETHER || bytes >= BYTES_TOGETHER) {
            let taken = std::mem::replace(&mut rows, Vec::with_capacity(ROWS_TOGETHER));
            bytes = 0;
            if let Err(problem) = worker.session.bulk_rows(taken) {
                return stream.fail(worker, problem);
            }
        }
        if ended {
            // What may stand after the end is no row.
            while stream.ended.is_none() {
                stream.pull(worker)?;
            }
            return Ok(stream.ended.take().unwrap_or(End::Complete));
        }
    }
}

fn malformed(problem: ParseError) -> SqlError {
    match problem {
        ParseError::Incomplete => {
            let message = "Premature end-of-message while reading current row from host. Host program may have \
                terminated.";
            error(4804, 21, message.to_owned())
        }
        ParseError::Bad(why) => error(
            4815,
            16,
            format!("Received an invalid column from the bcp client: {why}."),
        ),
    }
}

fn read_columns(from: &mut Cursor<'_>) -> Parsed<Vec<WireType>> {
    match from.u8()? {
        COLMETADATA => {}
        other => {
            return Err(ParseError::bad(format!(
                "token 0x{other:02X} where the columns should be described"
            )));
        }
    }
    let count = from.u16()?;
    if count == 0xFFFF {
        return Err(ParseError::bad("no columns"));
    }
    let mut columns = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        from.u32()?;
        from.u16()?;
        columns.push(WireType::read(from, Place::BulkColumn)?);
        from.b_varchar()?;
    }
    Ok(columns)
}

fn read_step(from: &mut Cursor<'_>, columns: &[WireType]) -> Parsed<Step> {
    if from.is_at_end() {
        // Not all clients send a DONE; nothing is read before bytes wait or the message has ended.
        return Ok(Step::End);
    }
    let nulls = match from.u8()? {
        ROW => None,
        NBCROW => Some(from.bytes(columns.len().div_ceil(8))?),
        DONE => return Ok(Step::End),
        other => {
            return Err(ParseError::bad(format!(
                "token 0x{other:02X} where a row should begin"
            )));
        }
    };
    let mut row = Vec::with_capacity(columns.len());
    for (at, column) in columns.iter().enumerate() {
        let is_null = nulls.is_some_and(|bitmap| bitmap[at / 8] & (1 << (at % 8)) != 0);
        row.push(if is_null {
            Value::Null
        } else {
            read_value(from, column, Place::BulkColumn).map_err(|problem| match problem {
                ParseError::Incomplete => ParseError::Incomplete,
                ParseError::Bad(why) => ParseError::Bad(format!("column {}: {why}", at + 1)),
            })?
        });
    }
    Ok(Step::Row(row))
}

/// Kinds of types between which a bulk load converts.
#[derive(Debug, PartialEq, Eq)]
enum Family {
    Number,
    Time,
    Text,
    Bytes,
    Guid,
    Variant,
}

fn family(ty: &SqlType) -> Family {
    match ty {
        SqlType::Bit
        | SqlType::TinyInt
        | SqlType::SmallInt
        | SqlType::Int
        | SqlType::BigInt
        | SqlType::Decimal { .. }
        | SqlType::Money
        | SqlType::SmallMoney
        | SqlType::Real
        | SqlType::Float => Family::Number,
        SqlType::Date
        | SqlType::Time(_)
        | SqlType::DateTime
        | SqlType::SmallDateTime
        | SqlType::DateTime2(_)
        | SqlType::DateTimeOffset(_) => Family::Time,
        SqlType::Char(_)
        | SqlType::VarChar(_)
        | SqlType::Text
        | SqlType::NChar(_)
        | SqlType::NVarChar(_)
        | SqlType::NText
        | SqlType::Xml => Family::Text,
        SqlType::Binary(_)
        | SqlType::VarBinary(_)
        | SqlType::Image
        | SqlType::RowVersion
        | SqlType::HierarchyId
        | SqlType::Geometry
        | SqlType::Geography => Family::Bytes,
        SqlType::UniqueIdentifier => Family::Guid,
        SqlType::SqlVariant => Family::Variant,
    }
}

fn check(columns: &[WireType], target: &BulkTarget) -> Result<(), SqlError> {
    if columns.len() != target.columns.len() {
        let message = format!(
            "The bulk load sends {} columns where INSERT BULK names {}.",
            columns.len(),
            target.columns.len()
        );
        return Err(error(4816, 16, message));
    }
    for (at, (sent, named)) in columns.iter().zip(&target.columns).enumerate() {
        let matches = family(&sent.ty) == family(&named.ty) || named.ty == SqlType::SqlVariant;
        if !matches {
            let message = format!("Invalid column type from bcp client for colid {}.", at + 1);
            return Err(error(4816, 16, message));
        }
    }
    Ok(())
}
