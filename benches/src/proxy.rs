//! A server that sends pre-encoded results at memory speed, and takes bulk copies at memory speed.
//!
//! It stands between a client and the stand-in and passes everything on, so that logins, discovery and transactions
//! are real, with two exceptions:
//!
//! - a SELECT of the columns of a table whose name begins with `replay_` is asked of the stand-in once. Its rows
//!   are kept as they came over the wire, in packets, and are sent as often as the file `times` says, to this
//!   client and every later one that asks the same;
//! - the rows of an INSERT BULK into a table whose name begins with `sink_` are read and thrown away.
//!
//! A process of its own, so that what it costs is not counted with the client.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// TDS packet types.
const SQL_BATCH: u8 = 0x01;
const RPC: u8 = 0x03;
const REPLY: u8 = 0x04;
/// Bytes of a packet's head, of a DONE token, and of a RETURNSTATUS token.
const HEAD: usize = 8;
const DONE: usize = 13;
const RETURN_STATUS: usize = 5;
/// ALL_HEADERS before the text of a batch: of no transaction, one request outstanding.
const ALL_HEADERS: [u8; 22] = [
    22, 0, 0, 0, 18, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0,
];
/// What icesync asks for.
const PACKET: usize = 32_767;
/// How every statement that reads rows begins, and what ends its table's name.
const SELECT: &str = "SELECT t.[";
const ALIAS: &str = " AS t";

/// A result as it goes over the wire: whole packets, except the tokens that end it.
struct Recording {
    columns: Vec<u8>,
    rows: Vec<u8>,
    /// Begins with the DONE that has the row count.
    end: Vec<u8>,
}

struct Proxy {
    upstream: String,
    times: PathBuf,
    recordings: Mutex<HashMap<Vec<u8>, Arc<Recording>>>,
}

/// Serves until killed. Prints the address first.
pub fn serve(upstream: String, times: PathBuf) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    // An algorithm that paces (BBR) would send by timers, far below memory speed, and in the client's time.
    // Connections inherit it.
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(&listener)
        .set_tcp_congestion(b"cubic")
        .map_err(|error| io::Error::other(format!("congestion control `cubic`: {error}")))?;
    println!("{}", listener.local_addr()?);
    io::stdout().flush()?;
    let proxy = Arc::new(Proxy {
        upstream,
        times,
        recordings: Mutex::default(),
    });
    for client in listener.incoming() {
        let (client, proxy) = (client?, Arc::clone(&proxy));
        std::thread::spawn(move || {
            // A client that goes away ends its own connection only.
            let _ = proxy.connection(client);
        });
    }
    Ok(())
}

/// A message of one or more packets.
struct Message {
    kind: u8,
    /// As they came, heads included.
    packets: Vec<u8>,
    payload: Vec<u8>,
}

fn packet(from: &mut TcpStream) -> io::Result<([u8; HEAD], Vec<u8>)> {
    let mut head = [0; HEAD];
    from.read_exact(&mut head)?;
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let mut payload = vec![0; length.saturating_sub(HEAD)];
    from.read_exact(&mut payload)?;
    Ok((head, payload))
}

fn message(from: &mut TcpStream) -> io::Result<Message> {
    let mut whole = Message {
        kind: 0,
        packets: Vec::new(),
        payload: Vec::new(),
    };
    loop {
        let (head, payload) = packet(from)?;
        whole.kind = head[0];
        whole.packets.extend_from_slice(&head);
        whole.packets.extend_from_slice(&payload);
        whole.payload.extend_from_slice(&payload);
        if head[1] & 1 == 1 {
            return Ok(whole);
        }
    }
}

/// Cuts bytes into packets; the last one ends the message when `end` is set.
fn packets(kind: u8, bytes: &[u8], end: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 1024);
    let mut chunks = bytes.chunks(PACKET - HEAD).peekable();
    while let Some(chunk) = chunks.next() {
        let last = u8::from(end && chunks.peek().is_none());
        let length = ((chunk.len() + HEAD) as u16).to_be_bytes();
        out.extend_from_slice(&[kind, last, length[0], length[1], 0, 0, 1, 0]);
        out.extend_from_slice(chunk);
    }
    out
}

/// A final DONE with a row count.
fn done(rows: u64) -> Vec<u8> {
    let mut token = vec![0xFD, 0x10, 0, 0xC1, 0];
    token.extend_from_slice(&rows.to_le_bytes());
    token
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn find(haystack: &[u8], needle: &str) -> Option<usize> {
    let needle = utf16(needle);
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

/// The message of a SELECT, as the null client sends it.
pub fn batch(sql: &str) -> Vec<u8> {
    let mut payload = ALL_HEADERS.to_vec();
    payload.extend(utf16(sql));
    packets(SQL_BATCH, &payload, true)
}

impl Proxy {
    fn connection(&self, mut client: TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        let mut server = TcpStream::connect(&self.upstream)?;
        server.set_nodelay(true)?;
        let mut sinking = false;
        loop {
            if sinking {
                while packet(&mut client)?.0[1] & 1 == 0 {}
                client.write_all(&packets(REPLY, &done(0), true))?;
                sinking = false;
                continue;
            }
            let asked = message(&mut client)?;
            let text = &asked.payload[..asked.payload.len().min(16 * 1024)];
            let is_text = asked.kind == SQL_BATCH || asked.kind == RPC;
            if is_text && find(text, "[replay_").is_some() && find(text, SELECT).is_some() {
                self.replay(&asked, &mut client, &mut server)?;
            } else if is_text
                && find(text, "INSERT BULK").is_some()
                && find(text, "sink_").is_some()
            {
                sinking = true;
                client.write_all(&packets(REPLY, &done(0), true))?;
            } else {
                server.write_all(&asked.packets)?;
                client.write_all(&message(&mut server)?.packets)?;
            }
        }
    }

    fn replay(
        &self,
        asked: &Message,
        client: &mut TcpStream,
        server: &mut TcpStream,
    ) -> io::Result<()> {
        let known = |key: &[u8]| {
            self.recordings
                .lock()
                .expect("not poisoned")
                .get(key)
                .cloned()
        };
        let key = asked.payload[ALL_HEADERS.len()..].to_vec();
        let recording = match known(&key) {
            Some(recording) => recording,
            None => {
                let recording = Arc::new(record(asked, server)?);
                let mut recordings = self.recordings.lock().expect("not poisoned");
                recordings.insert(key, Arc::clone(&recording));
                recording
            }
        };
        let times = std::fs::read_to_string(&self.times)?;
        let times: u64 = times.trim().parse().map_err(io::Error::other)?;
        client.write_all(&recording.columns)?;
        for _ in 0..times {
            client.write_all(&recording.rows)?;
        }
        let mut end = recording.end.clone();
        let rows = u64::from_le_bytes(end[5..DONE].try_into().map_err(io::Error::other)?);
        end[5..DONE].copy_from_slice(&(rows * times).to_le_bytes());
        client.write_all(&packets(REPLY, &end, true))
    }
}

/// Asks the stand-in for the columns alone, then for everything: what is between them and the end is rows.
fn record(asked: &Message, server: &mut TcpStream) -> io::Result<Recording> {
    let odd = || io::Error::other("not a statement that icesync reads rows with");
    let begin = find(&asked.payload, SELECT).ok_or_else(odd)?;
    let length = find(&asked.payload[begin..], ALIAS).ok_or_else(odd)? + utf16(ALIAS).len();
    // Of the same transaction.
    let mut none = asked.payload[..ALL_HEADERS.len()].to_vec();
    none.extend(utf16("SELECT TOP (0) "));
    none.extend_from_slice(&asked.payload[begin + utf16("SELECT ").len()..begin + length]);
    server.write_all(&packets(SQL_BATCH, &none, true))?;
    let columns = message(server)?.payload;
    let columns = &columns[..columns.len() - DONE];
    server.write_all(&asked.packets)?;
    let all = message(server)?.payload;
    let tail = if asked.kind == RPC {
        DONE + RETURN_STATUS + DONE
    } else {
        DONE
    };
    let end = all.len().saturating_sub(tail);
    if !all.starts_with(columns) || end < columns.len() || !matches!(all[end], 0xFD | 0xFF) {
        return Err(io::Error::other("the stand-in's answer is not a result"));
    }
    let rows = packets(REPLY, &all[columns.len()..end], false);
    #[cfg(target_os = "linux")]
    collapse(&rows);
    Ok(Recording {
        columns: packets(REPLY, columns, false),
        rows,
        end: all[end..].to_vec(),
    })
}

/// Asks for huge pages, which are read faster from end to end; without them it is slower and the same.
#[cfg(target_os = "linux")]
fn collapse(bytes: &[u8]) {
    const HUGE_PAGE: usize = 2 << 20;
    let before = bytes.as_ptr().align_offset(HUGE_PAGE);
    let Some(whole) = bytes.get(before..) else {
        return;
    };
    // SAFETY: of memory that is there and stays as it is.
    unsafe {
        let length = whole.len() & !(HUGE_PAGE - 1);
        libc::madvise(whole.as_ptr() as *mut _, length, libc::MADV_COLLAPSE);
    }
}

/// Reads a whole reply and forgets it; answers its bytes.
pub fn drain(address: &str, sql: &str) -> io::Result<u64> {
    let mut server = TcpStream::connect(address)?;
    server.write_all(&batch(sql))?;
    let mut buffer = vec![0; 1 << 20];
    let (mut filled, mut total) = (0, 0);
    // Where the next packet's head is in the buffer, and whether the one before ended the message.
    let (mut next, mut last) = (0, false);
    loop {
        let got = server.read(&mut buffer[filled..])?;
        if got == 0 {
            return Err(io::Error::other("the server went away"));
        }
        filled += got;
        total += got as u64;
        while next + HEAD <= filled {
            last = buffer[next + 1] & 1 == 1;
            next += usize::from(u16::from_be_bytes([buffer[next + 2], buffer[next + 3]]));
        }
        if last && next == filled {
            return Ok(total);
        }
        // Keep the beginning of a head that is not whole.
        let keep = filled.saturating_sub(next).min(HEAD);
        buffer.copy_within(filled - keep..filled, 0);
        next -= filled - keep;
        filled = keep;
    }
}
