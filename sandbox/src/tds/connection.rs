//! One connection from its first byte to its end.

use super::Encryption;
use super::login::{Accepted, Encrypt, LoginRequest, put_prelogin, read_prelogin};
use super::packet::{HEADER_LEN, Packet, PacketKind, Response, WireError};
use super::request::Worker;
use super::tls::{HandshakeStream, Identity};
use super::{WireOptions, login};
use crate::session::Server;
use bytes::Bytes;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};

/// Packets of a client that may wait for its session.
const PACKETS_QUEUED: usize = 8;
/// Filled chunks of reply that may wait for the socket.
const CHUNKS_QUEUED: usize = 4;
const LOGIN_BYTES_MAX: usize = 128 << 10;
/// Deep expressions are parsed and evaluated on the session's thread.
const THREAD_STACK_BYTES: usize = 16 << 20;

/// What all connections of a server share.
pub(super) struct Shared {
    pub server: Arc<dyn Server>,
    pub options: WireOptions,
}

type ReadHalf = Box<dyn AsyncRead + Send + Unpin>;
type WriteHalf = Box<dyn AsyncWrite + Send + Unpin>;

/// A connection after encryption was settled and LOGIN7 received.
struct Opened {
    read: ReadHalf,
    write: WriteHalf,
    login: LoginRequest,
}

/// Serves one client until either side ends it.
pub(super) async fn run(
    socket: TcpStream,
    peer: SocketAddr,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) {
    let opening = tokio::time::timeout(
        shared.options.login_timeout,
        open(socket, &shared.options.encryption),
    );
    let opened = tokio::select! {
        opened = opening => opened
            .unwrap_or_else(|_| Err(WireError::Refused("no login came in time".to_owned()))),
        _ = stop.wait_for(|stop| *stop) => Err(WireError::Stopping),
    };
    let outcome = match opened {
        Ok(opened) => converse(opened, &shared, &mut stop).await,
        Err(error) => error,
    };
    match outcome {
        WireError::Closed | WireError::Stopping | WireError::Io(_) => {
            tracing::debug!(%peer, reason = %outcome, "connection ended");
        }
        WireError::Malformed { .. }
        | WireError::Tls(_)
        | WireError::Refused(_)
        | WireError::Fault(_) => {
            tracing::warn!(%peer, reason = %outcome, "connection ended");
        }
    }
}

async fn open(mut socket: TcpStream, encryption: &Encryption) -> Result<Opened, WireError> {
    socket.set_nodelay(true)?;
    let (kind, first) = read_message(&mut socket).await?;
    if kind == PacketKind::Login {
        if matches!(encryption, Encryption::Required(_)) {
            let why = "a login without PRELOGIN, while encryption is required";
            return Err(WireError::Refused(why.to_owned()));
        }
        let login = LoginRequest::read(&first).map_err(|e| e.of("LOGIN7"))?;
        return Ok(plain(socket, login));
    }
    expect(kind, PacketKind::Prelogin)?;
    let asked = read_prelogin(&first).map_err(|e| e.of("PRELOGIN"))?;
    let (answer, identity) = agree(asked, encryption);
    write_prelogin(&mut socket, answer).await?;
    match (answer, identity) {
        (Encrypt::NotSupported, _) => {
            let login = read_login(&mut socket).await?;
            Ok(plain(socket, login))
        }
        (Encrypt::LoginOnly, Some(identity)) => {
            let mut wrapped = HandshakeStream::new(socket);
            let mut tls = identity.accept(&mut wrapped).await?;
            let login = read_login(&mut tls).await?;
            drop(tls);
            Ok(plain(wrapped.into_socket(), login))
        }
        (Encrypt::On | Encrypt::Required, Some(identity)) => {
            let mut tls = identity.accept(HandshakeStream::new(socket)).await?;
            let login = read_login(&mut tls).await?;
            let (read, write) = tokio::io::split(tls);
            Ok(Opened {
                read: Box::new(read),
                write: Box::new(write),
                login,
            })
        }
        (_, None) => {
            let why = "encryption is required, and the client has none";
            Err(WireError::Refused(why.to_owned()))
        }
    }
}

/// What the server answers to a client's wish, as [MS-TDS] 2.2.6.5 tabulates it.
fn agree(asked: Encrypt, encryption: &Encryption) -> (Encrypt, Option<&Identity>) {
    match (encryption, asked) {
        (Encryption::Off, _) | (Encryption::Offered(_), Encrypt::NotSupported) => {
            (Encrypt::NotSupported, None)
        }
        (Encryption::Offered(identity), Encrypt::LoginOnly) => (Encrypt::LoginOnly, Some(identity)),
        (
            Encryption::Offered(identity) | Encryption::Required(identity),
            Encrypt::On | Encrypt::Required,
        ) => (Encrypt::On, Some(identity)),
        // A client that has encryption and did not ask for it obeys; one without it goes away.
        (Encryption::Required(identity), Encrypt::LoginOnly) => (Encrypt::Required, Some(identity)),
        (Encryption::Required(_), Encrypt::NotSupported) => (Encrypt::Required, None),
    }
}

fn plain(socket: TcpStream, login: LoginRequest) -> Opened {
    let (read, write) = socket.into_split();
    Opened {
        read: Box::new(read),
        write: Box::new(write),
        login,
    }
}

fn expect(found: PacketKind, wanted: PacketKind) -> Result<(), WireError> {
    if found == wanted {
        return Ok(());
    }
    Err(WireError::Malformed {
        what: "login",
        why: format!("{found:?} where {wanted:?} was expected"),
    })
}

async fn read_login(stream: &mut (impl AsyncRead + Unpin)) -> Result<LoginRequest, WireError> {
    let (kind, data) = read_message(stream).await?;
    expect(kind, PacketKind::Login)?;
    LoginRequest::read(&data).map_err(|e| e.of("LOGIN7"))
}

async fn read_message(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<(PacketKind, Vec<u8>), WireError> {
    let mut data = Vec::new();
    loop {
        let packet = Packet::read(stream).await?;
        data.extend_from_slice(&packet.data);
        if packet.ends_message() {
            return Ok((packet.kind, data));
        }
        if data.len() > LOGIN_BYTES_MAX {
            return Err(WireError::Malformed {
                what: "login",
                why: format!("more than {LOGIN_BYTES_MAX} bytes"),
            });
        }
    }
}

async fn write_prelogin(socket: &mut TcpStream, answer: Encrypt) -> Result<(), WireError> {
    let mut message = vec![0x04, 1, 0, 0, 0, 0, 1, 0];
    put_prelogin(&mut message, answer);
    debug_assert!(message.len() < 256 && message.len() > HEADER_LEN);
    message[3] = message.len() as u8;
    socket.write_all(&message).await?;
    Ok(())
}

/// Joins the socket and the session's thread until one of them ends.
async fn converse(
    opened: Opened,
    shared: &Arc<Shared>,
    stop: &mut watch::Receiver<bool>,
) -> WireError {
    let (packets_in, packets) = mpsc::channel(PACKETS_QUEUED);
    let (chunks_in, chunks) = mpsc::channel(CHUNKS_QUEUED);
    let (ended_in, ended) = oneshot::channel();
    let cancel = Arc::new(AtomicBool::new(false));
    let thread = {
        let (shared, cancel, login) = (Arc::clone(shared), Arc::clone(&cancel), opened.login);
        std::thread::Builder::new()
            .name("tds-session".to_owned())
            .stack_size(THREAD_STACK_BYTES)
            .spawn(move || {
                let reason = live(&shared, &login, packets, chunks_in, cancel);
                // Nobody waits when the server was abandoned while stopping.
                let _ = ended_in.send(reason);
            })
    };
    if let Err(error) = thread {
        return WireError::Io(error);
    }
    let stopped = {
        let reading = read_packets(opened.read, packets_in, &cancel);
        let writing = write_chunks(opened.write, chunks);
        tokio::pin!(reading, writing);
        tokio::select! {
            error = &mut reading => Some(error),
            error = &mut writing => error,
            _ = stop.wait_for(|stop| *stop) => Some(WireError::Stopping),
        }
        // Here both channels close, whichever side ended.
    };
    cancel.store(true, Ordering::Release);
    let reason = ended
        .await
        .unwrap_or_else(|_| WireError::Refused("its thread is gone".to_owned()));
    match stopped {
        Some(stopped) if !matches!(stopped, WireError::Closed) => stopped,
        _ => reason,
    }
}

async fn read_packets(
    read: ReadHalf,
    packets: mpsc::Sender<Packet>,
    cancel: &AtomicBool,
) -> WireError {
    let mut read = BufReader::with_capacity(16 << 10, read);
    loop {
        let packet = match Packet::read(&mut read).await {
            Ok(packet) => packet,
            Err(error) => return error,
        };
        if packet.kind == PacketKind::Attention {
            cancel.store(true, Ordering::Release);
        }
        if packets.send(packet).await.is_err() {
            // The thread has ended; what it last said is still being written.
            std::future::pending::<()>().await;
        }
    }
}

/// Writes until the thread has nothing more to say (none) or the socket fails.
async fn write_chunks(
    mut write: WriteHalf,
    mut chunks: mpsc::Receiver<Bytes>,
) -> Option<WireError> {
    while let Some(chunk) = chunks.recv().await {
        let written = async {
            write.write_all(&chunk).await?;
            write.flush().await
        };
        if let Err(error) = written.await {
            return Some(WireError::Io(error));
        }
    }
    // The client may have closed first.
    let _ = write.shutdown().await;
    None
}

/// The session's whole life, on its own thread.
fn live(
    shared: &Shared,
    login: &LoginRequest,
    packets: mpsc::Receiver<Packet>,
    chunks: mpsc::Sender<Bytes>,
    cancel: Arc<AtomicBool>,
) -> WireError {
    let faults = shared.options.faults.clone();
    let mut response = Response::new(chunks, faults.clone());
    if let Some((host, port)) = faults.on_redirect() {
        login::send_on(login, &host, port, &mut response);
        return WireError::Closed;
    }
    let refusal = faults.on_login();
    let accepted = Accepted {
        token: shared.options.access_token.as_ref(),
        principal: shared.options.principal.as_ref(),
    };
    let logged_in = catch_unwind(AssertUnwindSafe(|| {
        login::log_in(
            login,
            shared.server.as_ref(),
            accepted,
            refusal,
            &mut response,
        )
    }));
    let (session, context) = match logged_in {
        Ok(Ok(opened)) => opened,
        Ok(Err(refusal)) => return WireError::Refused(refusal.to_string()),
        Err(_) => return panicked(),
    };
    let options = &shared.options;
    let mut worker = Worker::new(session, response, packets, cancel, context, options);
    // A panic in the engine is a fault of it; it must cost this connection only, and its locks must not stay.
    let ended = catch_unwind(AssertUnwindSafe(|| worker.serve()));
    let closed = catch_unwind(AssertUnwindSafe(|| worker.close()));
    match (ended, closed) {
        (Ok(reason), Ok(())) => reason,
        _ => panicked(),
    }
}

fn panicked() -> WireError {
    WireError::Refused("the session panicked".to_owned())
}
