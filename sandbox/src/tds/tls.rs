//! TLS as TDS 7.4 has it: the handshake travels inside PRELOGIN packets, what follows does not.

use super::packet::{HEADER_LEN, WireError};
use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::ssl::{Ssl, SslAcceptor, SslMethod, SslOptions, SslVersion};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A certificate made at start, signed by itself, for `localhost` and the loopback addresses.
#[derive(Clone)]
pub struct Identity {
    acceptor: SslAcceptor,
    certificate_pem: Vec<u8>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Identity {
    /// Makes a new key and certificate, valid for a week.
    pub fn self_signed() -> Result<Self, WireError> {
        Self::make().map_err(|e| WireError::Tls(format!("no certificate could be made: {e}")))
    }

    /// The certificate, for clients that should trust it.
    pub fn certificate_pem(&self) -> &[u8] {
        &self.certificate_pem
    }

    fn make() -> Result<Self, ErrorStack> {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
        let key = PKey::from_ec_key(EcKey::generate(&group)?)?;
        let mut subject = X509NameBuilder::new()?;
        subject.append_entry_by_text("CN", "localhost")?;
        let subject = subject.build();
        let mut serial = BigNum::new()?;
        serial.rand(127, MsbOption::MAYBE_ZERO, false)?;
        let mut builder = X509::builder()?;
        builder.set_version(2)?;
        builder.set_serial_number(&*serial.to_asn1_integer()?)?;
        builder.set_subject_name(&subject)?;
        builder.set_issuer_name(&subject)?;
        builder.set_pubkey(&key)?;
        builder.set_not_before(&*Asn1Time::days_from_now(0)?)?;
        builder.set_not_after(&*Asn1Time::days_from_now(7)?)?;
        builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
        let names = SubjectAlternativeName::new()
            .dns("localhost")
            .ip("127.0.0.1")
            .ip("::1")
            .build(&builder.x509v3_context(None, None))?;
        builder.append_extension(names)?;
        builder.sign(&key, MessageDigest::sha256())?;
        let certificate = builder.build();
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
        acceptor.set_private_key(&key)?;
        acceptor.set_certificate(&certificate)?;
        // TLS 1.3 sends tickets after the handshake, when clients no longer expect packets around them.
        acceptor.set_max_proto_version(Some(SslVersion::TLS1_2))?;
        acceptor.set_options(SslOptions::NO_TICKET);
        Ok(Self {
            acceptor: acceptor.build(),
            certificate_pem: certificate.to_pem()?,
        })
    }

    /// DeclaredChanges the client's handshake over `socket`, and leaves `socket` passing bytes through.
    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin + AsMut<HandshakeStream>>(
        &self,
        socket: S,
    ) -> Result<tokio_openssl::SslStream<S>, WireError> {
        let failed = |e: &dyn std::fmt::Display| WireError::Tls(e.to_string());
        let ssl = Ssl::new(self.acceptor.context()).map_err(|e| failed(&e))?;
        let mut stream = tokio_openssl::SslStream::new(ssl, socket).map_err(|e| failed(&e))?;
        Pin::new(&mut stream)
            .accept()
            .await
            .map_err(|e| failed(&e))?;
        let socket = stream.get_mut().as_mut();
        std::future::poll_fn(|cx| socket.poll_flush_wrapped(cx)).await?;
        socket.end_handshake();
        Ok(stream)
    }
}

/// A socket that wraps what is written in PRELOGIN packets and unwraps what is read, until the handshake is over.
#[derive(Debug)]
pub(super) struct HandshakeStream {
    socket: TcpStream,
    wrapped: bool,
    header: [u8; HEADER_LEN],
    header_len: usize,
    body_left: usize,
    out: Vec<u8>,
    out_framed: bool,
    out_at: usize,
}

impl AsMut<HandshakeStream> for HandshakeStream {
    fn as_mut(&mut self) -> &mut HandshakeStream {
        self
    }
}

impl HandshakeStream {
    pub fn new(socket: TcpStream) -> Self {
        Self {
            socket,
            wrapped: true,
            header: [0; HEADER_LEN],
            header_len: 0,
            body_left: 0,
            out: Vec::new(),
            out_framed: false,
            out_at: 0,
        }
    }

    /// From here on bytes pass as they are.
    pub fn end_handshake(&mut self) {
        self.wrapped = false;
    }

    pub fn into_socket(self) -> TcpStream {
        self.socket
    }

    fn poll_header(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        while self.header_len < HEADER_LEN {
            let mut into = ReadBuf::new(&mut self.header[self.header_len..]);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut into))?;
            match into.filled().len() {
                0 => return Poll::Ready(Ok(false)),
                read => self.header_len += read,
            }
        }
        let length = usize::from(u16::from_be_bytes([self.header[2], self.header[3]]));
        if self.header[0] != 0x12 || length < HEADER_LEN {
            let problem = "a TLS handshake outside of PRELOGIN packets";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, problem)));
        }
        self.header_len = 0;
        self.body_left = length - HEADER_LEN;
        Poll::Ready(Ok(true))
    }

    fn poll_flush_wrapped(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.out.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if !self.out_framed {
            self.out = frame(&self.out);
            self.out_framed = true;
        }
        while self.out_at < self.out.len() {
            let rest = &self.out[self.out_at..];
            match ready!(Pin::new(&mut self.socket).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.out_at += written,
            }
        }
        self.out.clear();
        self.out_framed = false;
        self.out_at = 0;
        Poll::Ready(Ok(()))
    }
}

/// A flight of the handshake as one message of packets.
fn frame(flight: &[u8]) -> Vec<u8> {
    let chunks = flight.chunks(4096 - HEADER_LEN);
    let last = chunks.len() - 1;
    let mut framed = Vec::with_capacity(flight.len() + (last + 1) * HEADER_LEN);
    for (at, chunk) in chunks.enumerate() {
        let length = ((chunk.len() + HEADER_LEN) as u16).to_be_bytes();
        let status = u8::from(at == last);
        framed.extend_from_slice(&[0x12, status, length[0], length[1], 0, 0, at as u8, 0]);
        framed.extend_from_slice(chunk);
    }
    framed
}

impl AsyncRead for HandshakeStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.wrapped {
            return Pin::new(&mut this.socket).poll_read(cx, buf);
        }
        // The peer answers a flight that it has seen whole.
        ready!(this.poll_flush_wrapped(cx))?;
        while this.body_left == 0 {
            if !ready!(this.poll_header(cx))? {
                return Poll::Ready(Ok(()));
            }
        }
        let wanted = buf.remaining().min(this.body_left);
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(wanted));
        ready!(Pin::new(&mut this.socket).poll_read(cx, &mut part))?;
        let read = part.filled().len();
        buf.advance(read);
        this.body_left -= read;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for HandshakeStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.wrapped {
            return Pin::new(&mut this.socket).poll_write(cx, bytes);
        }
        if this.out_framed {
            ready!(this.poll_flush_wrapped(cx))?;
        }
        this.out.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.wrapped {
            ready!(this.poll_flush_wrapped(cx))?;
        }
        Pin::new(&mut this.socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
