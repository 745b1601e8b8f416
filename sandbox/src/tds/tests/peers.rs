//! A scripted session, and a client that speaks bytes.

use crate::session::{
    BulkTarget, ColumnMeta, Event, Login, Param, Server, Session, Sink, SqlError,
    TransactionRequest,
};
use crate::tds::login::tests::login7;
use crate::tds::{WireOptions, serve};
use crate::value::{SqlType, Value};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// What scripted sessions did, for the tests to look at.
#[derive(Default)]
pub struct Log {
    pub executed: Mutex<Vec<String>>,
    pub bulk_rows: Mutex<Vec<Vec<Value>>>,
    pub bulk_ends: Mutex<Vec<bool>>,
    pub closed: AtomicU64,
}

pub struct Scripted(pub Arc<Log>);

pub struct ScriptedSession(Arc<Log>);

pub fn column(name: &str, ty: SqlType) -> ColumnMeta {
    ColumnMeta {
        name: name.to_owned(),
        ty,
        nullable: true,
        identity: false,
        computed: false,
        collation: None,
    }
}

pub fn problem(number: i32, message: &str) -> SqlError {
    crate::tds::sink::error(number, 16, message.to_owned())
}

impl Server for Scripted {
    fn login(&self, login: Login<'_>) -> Result<Box<dyn Session>, SqlError> {
        if (login.user, login.password) != ("sa", "secret") {
            return Err(problem(18456, "Login failed for user."));
        }
        Ok(Box::new(ScriptedSession(Arc::clone(&self.0))))
    }
}

impl Session for ScriptedSession {
    fn batch(
        &mut self,
        sql: &str,
        cancel: &Arc<AtomicBool>,
        sink: &mut dyn Sink,
    ) -> Option<BulkTarget> {
        self.0.executed.lock().unwrap().push(sql.to_owned());
        let words: Vec<&str> = sql.split(' ').collect();
        match words[0] {
            "rows" => {
                let count: usize = words[1].parse().unwrap();
                sink.send(Event::Columns(vec![
                    column("n", SqlType::Int),
                    column("t", SqlType::NVarChar(Some(10))),
                ]));
                for at in 0..count {
                    let text: Vec<u16> = "text".encode_utf16().collect();
                    let row = vec![Value::Int(at as i32), Value::Str(text.into())];
                    if !sink.send(Event::Rows(vec![row])) {
                        return None;
                    }
                }
                let count = Some(count as u64);
                sink.send(Event::Done {
                    count,
                    select: true,
                });
            }
            "utf8" => {
                let mut meta = column("t", SqlType::VarChar(Some(10)));
                let name = "Latin1_General_100_CI_AS_SC_UTF8";
                meta.collation = Some(crate::value::Collation(name.into()));
                let text: Vec<u16> = "é".encode_utf16().collect();
                sink.send(Event::Columns(vec![meta]));
                sink.send(Event::Rows(vec![vec![Value::Str(text.into())]]));
            }
            "endless" => {
                sink.send(Event::Columns(vec![column("n", SqlType::Int)]));
                while !cancel.load(Ordering::Acquire) {
                    if !sink.send(Event::Rows(vec![vec![Value::Int(7)]; 100])) {
                        return None;
                    }
                }
            }
            "sleep" => {
                while !cancel.load(Ordering::Acquire) {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            "panic" => panic!("scripted"),
            "liar" => {
                sink.send(Event::Columns(vec![column("n", SqlType::Int)]));
                sink.send(Event::Rows(vec![vec![Value::Bit(true)]]));
            }
            "INSERT" => {
                sink.send(Event::Done {
                    count: None,
                    select: false,
                });
                return Some(BulkTarget {
                    columns: vec![
                        column("n", SqlType::Int),
                        column("b", SqlType::VarBinary(None)),
                    ],
                });
            }
            _ => {
                sink.send(Event::Error(problem(102, "Incorrect syntax.")));
                sink.send(Event::Done {
                    count: None,
                    select: false,
                });
            }
        }
        None
    }

    fn execute_sql(
        &mut self,
        sql: &str,
        declarations: &str,
        params: Vec<Param>,
        _cancel: &Arc<AtomicBool>,
        sink: &mut dyn Sink,
    ) -> Option<Vec<Param>> {
        let said = format!("{sql} | {declarations} | {params:?}");
        self.0.executed.lock().unwrap().push(said);
        sink.send(Event::Done {
            count: Some(1),
            select: false,
        });
        Some(params)
    }

    fn procedure(
        &mut self,
        name: &str,
        params: Vec<Param>,
        _cancel: &Arc<AtomicBool>,
        _sink: &mut dyn Sink,
    ) -> Option<(i32, Vec<Param>)> {
        self.0.executed.lock().unwrap().push(name.to_owned());
        Some((-3, params))
    }

    fn bulk_rows(&mut self, rows: Vec<Vec<Value>>) -> Result<(), SqlError> {
        if rows.iter().any(|row| row[0] == Value::Int(-1)) {
            return Err(problem(2627, "Violation of PRIMARY KEY constraint."));
        }
        self.0.bulk_rows.lock().unwrap().extend(rows);
        Ok(())
    }

    fn bulk_end(&mut self, abort: bool, sink: &mut dyn Sink) {
        self.0.bulk_ends.lock().unwrap().push(abort);
        let count = Some(self.0.bulk_rows.lock().unwrap().len() as u64);
        sink.send(Event::Done {
            count,
            select: false,
        });
    }

    fn transaction(&mut self, request: TransactionRequest, sink: &mut dyn Sink) {
        let said = format!("{request:?}");
        self.0.executed.lock().unwrap().push(said);
        match request {
            TransactionRequest::Begin { .. } => sink.send(Event::TranBegin(77)),
            TransactionRequest::Commit { .. } => sink.send(Event::TranEnd {
                descriptor: 77,
                committed: true,
            }),
            TransactionRequest::Rollback { .. } => sink.send(Event::TranEnd {
                descriptor: 77,
                committed: false,
            }),
            TransactionRequest::Save { .. } => true,
        };
    }

    fn reset(&mut self) {
        self.0.executed.lock().unwrap().push("reset".to_owned());
    }

    fn close(&mut self) {
        self.0.closed.fetch_add(1, Ordering::AcqRel);
    }
}

/// A running server; dropping it stops it.
pub struct Running {
    pub addr: SocketAddr,
    pub log: Arc<Log>,
    pub options: WireOptions,
    pub stop: Option<oneshot::Sender<()>>,
    pub task: tokio::task::JoinHandle<()>,
}

pub async fn start(options: WireOptions) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let log = Arc::new(Log::default());
    let (stop, stopped) = oneshot::channel();
    let server = Arc::new(Scripted(Arc::clone(&log)));
    let task = tokio::spawn(serve(listener, server, options.clone(), async {
        let _ = stopped.await;
    }));
    Running {
        addr,
        log,
        options,
        stop: Some(stop),
        task,
    }
}

impl Running {
    pub async fn stop(mut self) -> Arc<Log> {
        self.stop.take().unwrap().send(()).unwrap();
        self.task.await.unwrap();
        self.log
    }

    pub async fn login(&self) -> Client<TcpStream> {
        let mut client = Client::new(TcpStream::connect(self.addr).await.unwrap());
        client.send(0x10, &login7("sa", "secret", "db", &[])).await;
        let answer = client.message().await.unwrap();
        assert!(answer.contains(&0xAD), "no LOGINACK");
        client
    }

    pub async fn closed(&self, count: u64) {
        for _ in 0..500 {
            if self.log.closed.load(Ordering::Acquire) >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no session was closed");
    }
}

pub struct Client<S>(pub S);

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub fn new(stream: S) -> Self {
        Self(stream)
    }

    pub async fn packet(&mut self, kind: u8, status: u8, data: &[u8]) {
        let length = ((data.len() + 8) as u16).to_be_bytes();
        let mut packet = vec![kind, status, length[0], length[1], 0, 0, 1, 0];
        packet.extend_from_slice(data);
        self.0.write_all(&packet).await.unwrap();
    }

    pub async fn send(&mut self, kind: u8, data: &[u8]) {
        let chunks: Vec<&[u8]> = data.chunks(4000).collect();
        for (at, chunk) in chunks.iter().enumerate() {
            let status = u8::from(at + 1 == chunks.len());
            self.packet(kind, status, chunk).await;
        }
    }

    pub async fn batch(&mut self, sql: &str) {
        self.send(1, &with_headers(&utf16(sql))).await;
    }

    /// The next message's tokens, or none at the end of the stream.
    pub async fn message(&mut self) -> Option<Vec<u8>> {
        let mut data = Vec::new();
        loop {
            let mut header = [0u8; 8];
            self.0.read_exact(&mut header).await.ok()?;
            assert_eq!(header[0], 4);
            let length = usize::from(u16::from_be_bytes([header[2], header[3]])) - 8;
            let at = data.len();
            data.resize(at + length, 0);
            self.0.read_exact(&mut data[at..]).await.ok()?;
            if header[1] & 1 != 0 {
                return Some(data);
            }
        }
    }

    pub async fn ask(&mut self, sql: &str) -> Vec<u8> {
        self.batch(sql).await;
        self.message().await.unwrap()
    }
}

pub fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

pub fn with_headers(rest: &[u8]) -> Vec<u8> {
    let mut data = vec![22, 0, 0, 0, 18, 0, 0, 0, 2, 0];
    data.extend([0; 8]);
    data.extend([1, 0, 0, 0]);
    data.extend_from_slice(rest);
    data
}

/// The last DONE of a message: status and count.
pub fn last_done(message: &[u8]) -> (u16, u64) {
    let done = &message[message.len() - 13..];
    assert!((0xFD..=0xFF).contains(&done[0]), "{done:02X?}");
    let status = u16::from_le_bytes([done[1], done[2]]);
    (status, u64::from_le_bytes(done[5..13].try_into().unwrap()))
}

pub fn error_number(message: &[u8]) -> i32 {
    assert_eq!(message[0], 0xAA, "{message:02X?}");
    i32::from_le_bytes(message[3..7].try_into().unwrap())
}

pub fn rpc(procedure: u16, params: &[u8]) -> Vec<u8> {
    let mut data = with_headers(&[0xFF, 0xFF]);
    data.extend(procedure.to_le_bytes());
    data.extend([0, 0]);
    data.extend_from_slice(params);
    data
}

pub fn text_param(name: &str, text: &str) -> Vec<u8> {
    let mut data = vec![name.encode_utf16().count() as u8];
    data.extend(utf16(name));
    data.extend([0, 0xE7, 0x40, 0x1F, 9, 4, 0xD0, 0, 0x34]);
    data.extend(((text.encode_utf16().count() * 2) as u16).to_le_bytes());
    data.extend(utf16(text));
    data
}

pub fn int_param(status: u8, value: Option<i32>) -> Vec<u8> {
    let mut data = vec![0, status, 0x26, 4];
    match value {
        Some(value) => {
            data.push(4);
            data.extend(value.to_le_bytes());
        }
        None => data.push(0),
    }
    data
}

pub fn bulk_columns() -> Vec<u8> {
    let mut data = vec![0x81, 2, 0];
    data.extend([0, 0, 0, 0, 9, 0, 0x26, 4, 1, b'n', 0]);
    data.extend([0, 0, 0, 0, 9, 0, 0xA5, 0xFF, 0xFF, 1, b'b', 0]);
    data
}

pub fn bulk_row(n: i32, bytes: usize) -> Vec<u8> {
    let mut row = vec![0xD1, 4];
    row.extend(n.to_le_bytes());
    row.extend((u64::MAX - 1).to_le_bytes());
    for chunk in vec![n as u8; bytes].chunks(3000) {
        row.extend((chunk.len() as u32).to_le_bytes());
        row.extend_from_slice(chunk);
    }
    row.extend([0; 4]);
    row
}
