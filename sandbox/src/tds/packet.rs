//! Packets: eight bytes of header, then payload; a message is packets up to the one that says "end of message".
//!
//! Incoming packets pass through a bounded queue from the socket to the session's thread, outgoing ones through
//! another back, so that a slow client holds back the scan and a fast one cannot fill memory.

use super::fault::Faults;
use bytes::{BufMut, Bytes, BytesMut};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;

pub(super) const HEADER_LEN: usize = 8;
/// The size before login, and of login's own answer.
pub(super) const DEFAULT_PACKET_SIZE: usize = 4096;
const PACKET_SIZE_MIN: usize = 512;
const PACKET_SIZE_MAX: usize = 32767;

const END_OF_MESSAGE: u8 = 0x01;
const IGNORE: u8 = 0x02;
const RESET: u8 = 0x08;
const RESET_KEEPING_TRANSACTION: u8 = 0x10;

/// Payload collected before it is cut into packets and handed to the socket.
const CHUNK_BYTES: usize = 64 << 10;
/// Above this a payload buffer is given back after a huge row.
const CHUNK_BYTES_KEPT: usize = 1 << 20;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("the client closed the connection")]
    Closed,
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    #[error("malformed {what}: {why}")]
    Malformed { what: &'static str, why: String },
    #[error("TLS failed: {0}")]
    Tls(String),
    #[error("refused: {0}")]
    Refused(String),
    #[error("a fault set by the test dropped the connection ({0})")]
    Fault(&'static str),
    #[error("the server is stopping")]
    Stopping,
}

/// What a client's packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PacketKind {
    SqlBatch,
    Rpc,
    Attention,
    BulkLoad,
    TransactionManager,
    Login,
    Prelogin,
}

impl PacketKind {
    fn of(byte: u8) -> Result<Self, WireError> {
        match byte {
            0x01 => Ok(Self::SqlBatch),
            0x03 => Ok(Self::Rpc),
            0x06 => Ok(Self::Attention),
            0x07 => Ok(Self::BulkLoad),
            0x0E => Ok(Self::TransactionManager),
            0x10 => Ok(Self::Login),
            0x12 => Ok(Self::Prelogin),
            other => Err(WireError::Malformed {
                what: "packet header",
                why: format!("a client does not send packets of type 0x{other:02X}"),
            }),
        }
    }
}

/// One packet as a client sent it.
#[derive(Debug)]
pub(super) struct Packet {
    pub kind: PacketKind,
    status: u8,
    pub data: Bytes,
}

impl Packet {
    pub fn ends_message(&self) -> bool {
        self.status & END_OF_MESSAGE != 0
    }

    /// The client gave the message up half way: what was sent of it does not count.
    pub fn ignore(&self) -> bool {
        self.status & IGNORE != 0
    }

    pub fn reset(&self) -> bool {
        self.status & (RESET | RESET_KEEPING_TRANSACTION) != 0
    }

    pub fn reset_keeps_transaction(&self) -> bool {
        self.status & RESET_KEEPING_TRANSACTION != 0
    }

    /// Reads the next packet; [`WireError::Closed`] when the stream ends between packets.
    pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Self, WireError> {
        let mut header = [0u8; HEADER_LEN];
        if stream.read(&mut header[..1]).await? == 0 {
            return Err(WireError::Closed);
        }
        stream.read_exact(&mut header[1..]).await?;
        let kind = PacketKind::of(header[0])?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if !(HEADER_LEN..=PACKET_SIZE_MAX).contains(&length) {
            return Err(WireError::Malformed {
                what: "packet header",
                why: format!("a packet length of {length}"),
            });
        }
        let mut data = BytesMut::zeroed(length - HEADER_LEN);
        stream.read_exact(&mut data).await?;
        Ok(Self {
            kind,
            status: header[1],
            data: data.freeze(),
        })
    }
}

/// The packet size to use for a client that asked for `asked` (0: no wish).
pub(super) fn agreed_packet_size(asked: u32) -> usize {
    match asked {
        0 => DEFAULT_PACKET_SIZE,
        size => (size as usize).clamp(PACKET_SIZE_MIN, PACKET_SIZE_MAX),
    }
}

/// Builds a reply message: tokens are appended to `payload`, packets of it go to the socket as they fill.
pub(super) struct Response {
    pub payload: Vec<u8>,
    packet_size: usize,
    packet_id: u8,
    cut: BytesMut,
    socket: mpsc::Sender<Bytes>,
    faults: Faults,
    /// The socket is gone, or a fault says so: nothing more is sent.
    broken: Option<&'static str>,
    /// Tokens are built but thrown away (a fault: the reply is lost).
    muted: bool,
}

impl Response {
    pub fn new(socket: mpsc::Sender<Bytes>, faults: Faults) -> Self {
        Self {
            payload: Vec::with_capacity(CHUNK_BYTES + 4096),
            packet_size: DEFAULT_PACKET_SIZE,
            packet_id: 0,
            cut: BytesMut::new(),
            socket,
            faults,
            broken: None,
            muted: false,
        }
    }

    pub fn set_packet_size(&mut self, bytes: usize) {
        self.packet_size = bytes;
    }

    /// Whether from now on nothing reaches the client, while work goes on.
    pub fn mute(&mut self, muted: bool) {
        self.muted = muted;
    }

    /// Why nothing more can be sent, when that is so.
    pub fn broken(&self) -> Option<&'static str> {
        self.broken
    }

    /// Sends the full packets collected so far when they are worth it; false when the client is gone.
    pub fn flush_full(&mut self) -> bool {
        if self.payload.len() < CHUNK_BYTES {
            return self.broken.is_none();
        }
        // One byte stays behind, because the packet that ends a message should not be empty.
        let body = self.packet_size - HEADER_LEN;
        let packets = (self.payload.len() - 1) / body;
        self.send(packets * body, false)
    }

    /// Ends the message: sends everything, the last packet marked so.
    pub fn finish(&mut self) -> bool {
        let sent = self.send(self.payload.len(), true);
        self.packet_id = 0;
        sent
    }

    /// Puts bytes on the socket as they are.
    pub fn send_raw(&mut self, bytes: &'static [u8]) {
        if self
            .socket
            .blocking_send(Bytes::from_static(bytes))
            .is_err()
        {
            self.broken = Some("the client is gone");
        }
    }

    fn send(&mut self, bytes: usize, end: bool) -> bool {
        if self.broken.is_some() || self.muted {
            self.payload.clear();
            return self.broken.is_none();
        }
        let body = self.packet_size - HEADER_LEN;
        let count = bytes.div_ceil(body);
        self.cut.reserve(bytes + count * HEADER_LEN);
        let allowed = self.faults.packets_allowed(count);
        for (at, chunk) in self.payload[..bytes].chunks(body).enumerate().take(allowed) {
            self.packet_id = self.packet_id.wrapping_add(1);
            let last = end && at + 1 == count;
            self.cut.put_u8(0x04);
            self.cut.put_u8(if last { END_OF_MESSAGE } else { 0 });
            self.cut.put_u16((chunk.len() + HEADER_LEN) as u16);
            self.cut.put_u16(0);
            self.cut.put_u8(self.packet_id);
            self.cut.put_u8(0);
            self.cut.put_slice(chunk);
        }
        self.payload.drain(..bytes);
        if self.payload.capacity() > CHUNK_BYTES_KEPT {
            self.payload.shrink_to(CHUNK_BYTES + 4096);
        }
        if self
            .socket
            .blocking_send(self.cut.split().freeze())
            .is_err()
        {
            self.broken = Some("the client is gone");
        }
        if allowed < count {
            self.broken = Some("packet count");
        }
        self.broken.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut rest = bytes;
        let mut found = Vec::new();
        while !rest.is_empty() {
            let length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
            found.push((rest[1], rest[HEADER_LEN..length].to_vec()));
            rest = &rest[length..];
        }
        found
    }

    #[test]
    fn a_message_is_cut_at_the_packet_size_and_only_its_last_packet_ends_it() {
        for size in [512usize, 4096, 32767] {
            let (sender, mut receiver) = mpsc::channel(64);
            let mut response = Response::new(sender, Faults::default());
            response.set_packet_size(size);
            let sent: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
            for part in sent.chunks(1000) {
                response.payload.extend_from_slice(part);
                assert!(response.flush_full());
            }
            assert!(response.finish());
            let mut got = Vec::new();
            while let Ok(bytes) = receiver.try_recv() {
                got.extend(packets(&bytes));
            }
            let (last, others) = got.split_last().unwrap();
            assert_eq!(last.0, END_OF_MESSAGE);
            assert!(others.iter().all(|(status, _)| *status == 0));
            assert!(
                got.iter()
                    .all(|(_, data)| !data.is_empty() && data.len() <= size - 8)
            );
            let joined: Vec<u8> = got.into_iter().flat_map(|(_, data)| data).collect();
            assert_eq!(joined, sent);
        }
    }

    #[tokio::test]
    async fn lengths_that_no_packet_has_are_malformed() {
        let mut short: &[u8] = &[1, 1, 0, 7, 0, 0, 1, 0];
        assert!(matches!(
            Packet::read(&mut short).await,
            Err(WireError::Malformed { .. })
        ));
        let mut unknown: &[u8] = &[0x99, 1, 0, 8, 0, 0, 1, 0];
        assert!(matches!(
            Packet::read(&mut unknown).await,
            Err(WireError::Malformed { .. })
        ));
        let mut torn: &[u8] = &[1, 1, 0, 20, 0, 0, 1, 0, 5];
        assert!(matches!(
            Packet::read(&mut torn).await,
            Err(WireError::Io(_))
        ));
        let mut ended: &[u8] = &[];
        assert!(matches!(
            Packet::read(&mut ended).await,
            Err(WireError::Closed)
        ));
    }

    #[test]
    fn the_packet_size_asked_for_is_kept_within_bounds() {
        assert_eq!(agreed_packet_size(0), 4096);
        assert_eq!(agreed_packet_size(1), 512);
        assert_eq!(agreed_packet_size(1 << 20), 32767);
        assert_eq!(agreed_packet_size(8000), 8000);
    }
}
