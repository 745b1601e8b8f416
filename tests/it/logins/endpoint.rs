//! A token endpoint on this machine.

use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private, Public};
use openssl::rsa::Rsa;
use openssl::sign::Verifier;
use openssl::x509::{X509, X509NameBuilder};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What an endpoint was asked.
#[derive(Debug, Clone)]
pub struct Request {
    /// Of the endpoint.
    pub port: u16,
    pub line: String,
    headers: Vec<String>,
    pub body: String,
}

impl Request {
    /// A field of the form.
    pub fn field(&self, name: &str) -> Option<String> {
        let mut fields = url::form_urlencoded::parse(self.body.as_bytes());
        let found = fields.find(|(field, _)| field == name);
        found.map(|(_, value)| value.into_owned())
    }

    /// A header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<String> {
        let mut headers = self.headers.iter().filter_map(|line| line.split_once(':'));
        let found = headers.find(|(header, _)| header.to_ascii_lowercase() == name);
        found.map(|(_, value)| value.trim().to_owned())
    }
}

/// An endpoint; it ends with the process.
pub struct Endpoint {
    port: u16,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Endpoint {
    /// Answers with a status and a body, given a request and how many came before it.
    pub fn start(answer: impl Fn(&Request, usize) -> (u16, String) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let requests = Arc::clone(&seen);
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let Some(request) = read(&socket, port) else {
                    continue;
                };
                let before = {
                    let mut requests: std::sync::MutexGuard<'_, Vec<Request>> =
                        requests.lock().expect("not poisoned");
                    requests.push(request.clone());
                    requests.len() - 1
                };
                let (status, body) = answer(&request, before);
                let mut socket = socket;
                let _ = write!(
                    socket,
                    "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
                     Connection: close\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        Self { port, seen }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().expect("not poisoned").clone()
    }
}

fn read(socket: &TcpStream, port: u16) -> Option<Request> {
    let mut reader = BufReader::new(socket);
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        Some(line.trim_end().to_owned())
    };
    let first = line().filter(|line| !line.is_empty())?;
    let mut headers = Vec::new();
    while let Some(header) = line().filter(|line| !line.is_empty()) {
        headers.push(header);
    }
    let mut request = Request {
        port,
        line: first,
        headers,
        body: String::new(),
    };
    let length = request.header("content-length");
    let length = length.map_or(0, |length| length.parse().expect("a length"));
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    request.body = String::from_utf8(body).ok()?;
    Some(request)
}

/// A private key and a certificate of it.
pub fn certificate() -> (PKey<Private>, X509) {
    let key = PKey::from_rsa(Rsa::generate(2048).expect("a key")).expect("a key");
    let mut name = X509NameBuilder::new().expect("a name");
    name.append_entry_by_text("CN", "app").expect("a name");
    let name = name.build();
    let mut builder = X509::builder().expect("a certificate");
    builder.set_version(2).expect("set");
    builder.set_subject_name(&name).expect("set");
    builder.set_issuer_name(&name).expect("set");
    builder.set_pubkey(&key).expect("set");
    let (from, to) = (Asn1Time::days_from_now(0), Asn1Time::days_from_now(1));
    builder.set_not_before(&from.expect("a time")).expect("set");
    builder.set_not_after(&to.expect("a time")).expect("set");
    builder.sign(&key, MessageDigest::sha256()).expect("signed");
    (key, builder.build())
}

/// The claims of a JSON Web Token that this key has signed with RS256.
pub fn verified(token: &str, key: &PKey<Public>) -> Option<Value> {
    let (text, signature) = token.rsplit_once('.')?;
    let (header, claims) = text.split_once('.')?;
    let header: Value = serde_json::from_slice(&decoded(header)?).ok()?;
    let mut verifier = Verifier::new(MessageDigest::sha256(), key).ok()?;
    verifier.update(text.as_bytes()).ok()?;
    let is_signed = verifier.verify(&decoded(signature)?).ok()?;
    let is_known =
        header["alg"] == "RS256" && header["x5t"].as_str().is_some_and(|x5t| x5t.len() == 27);
    let claims = serde_json::from_slice(&decoded(claims)?).ok()?;
    (is_signed && is_known).then_some(claims)
}

fn decoded(part: &str) -> Option<Vec<u8>> {
    let mut part = part.replace('-', "+").replace('_', "/");
    while !part.len().is_multiple_of(4) {
        part.push('=');
    }
    openssl::base64::decode_block(&part).ok()
}
