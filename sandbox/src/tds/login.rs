//! PRELOGIN and LOGIN7: what a client says before its first request, and what it is answered.

use super::cursor::{Cursor, ParseError, Parsed, name};
use super::packet::{DEFAULT_PACKET_SIZE, Response, agreed_packet_size};
use super::sink::{Context, error};
use super::token::{self, DONE_ERROR, Done, DoneKind, VERSION};
use super::{AccessToken, Principal, kerberos};
use crate::collation::DEFAULT_WIRE;
use crate::session::{Login, Server, Session, SqlError};

const OPTION_VERSION: u8 = 0;
const OPTION_ENCRYPTION: u8 = 1;
const OPTION_INSTANCE: u8 = 2;
const OPTION_THREAD: u8 = 3;
const OPTION_MARS: u8 = 4;
const OPTION_END: u8 = 0xFF;

const FEATURE_FEDAUTH: u8 = 0x02;
const FEATURE_UTF8: u8 = 0x0A;
const FEATURE_END: u8 = 0xFF;

const TDS_7_4: u32 = 0x7400_0004;
const TDS_7_3_B: u32 = 0x730B_0003;

/// SQL Server says after it that the login failed, as an error of its own.
const CANNOT_OPEN_DATABASE: i32 = 4060;

/// What a client or the server says about encryption in PRELOGIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encrypt {
    /// Only the login.
    LoginOnly,
    On,
    NotSupported,
    Required,
}

impl Encrypt {
    fn of(byte: u8) -> Parsed<Self> {
        match byte {
            0 => Ok(Self::LoginOnly),
            1 => Ok(Self::On),
            2 => Ok(Self::NotSupported),
            3 => Ok(Self::Required),
            other => Err(ParseError::bad(format!("encryption option {other}"))),
        }
    }

    fn byte(self) -> u8 {
        match self {
            Self::LoginOnly => 0,
            Self::On => 1,
            Self::NotSupported => 2,
            Self::Required => 3,
        }
    }
}

/// The encryption that a PRELOGIN asks for.
pub(super) fn read_prelogin(data: &[u8]) -> Parsed<Encrypt> {
    let mut options = Cursor::new(data);
    loop {
        let option = options.u8()?;
        if option == OPTION_END {
            return Ok(Encrypt::NotSupported);
        }
        let offset = usize::from(u16::from_be_bytes(options.array()?));
        let length = usize::from(u16::from_be_bytes(options.array()?));
        let value = data
            .get(offset..offset + length)
            .ok_or(ParseError::Incomplete)?;
        if option == OPTION_ENCRYPTION {
            return Encrypt::of(*value.first().ok_or(ParseError::Incomplete)?);
        }
    }
}

/// The server's PRELOGIN.
pub(super) fn put_prelogin(out: &mut Vec<u8>, encrypt: Encrypt) {
    let version = [VERSION[0], VERSION[1], VERSION[2], VERSION[3], 0, 0];
    let options: [(u8, &[u8]); 5] = [
        (OPTION_VERSION, &version),
        (OPTION_ENCRYPTION, &[encrypt.byte()]),
        (OPTION_INSTANCE, &[0]),
        (OPTION_THREAD, &[]),
        (OPTION_MARS, &[0]),
    ];
    let mut offset = options.len() * 5 + 1;
    for (option, value) in options {
        out.push(option);
        out.extend_from_slice(&(offset as u16).to_be_bytes());
        out.extend_from_slice(&(value.len() as u16).to_be_bytes());
        offset += value.len();
    }
    out.push(OPTION_END);
    for (_, value) in options {
        out.extend_from_slice(value);
    }
}

/// A LOGIN7 message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LoginRequest {
    version: u32,
    packet_size: u32,
    host_name: String,
    user: String,
    password: String,
    app_name: String,
    database: String,
    /// The client's part of an integrated login.
    ticket: Option<Vec<u8>>,
    read_only: bool,
    odbc: bool,
    features: Vec<u8>,
    /// Of a federated login.
    token: Option<String>,
}

impl LoginRequest {
    pub fn read(data: &[u8]) -> Parsed<Self> {
        let mut head = Cursor::new(data);
        let length = head.u32()? as usize;
        if length > data.len() || length < 94 {
            return Err(ParseError::bad(format!(
                "LOGIN7 of {length} bytes in {}",
                data.len()
            )));
        }
        let version = head.u32()?;
        let packet_size = head.u32()?;
        head.bytes(12)?;
        let [_, flags2, types, flags3] = head.array()?;
        head.bytes(8)?;
        let mut field = |data| text_field(&mut head, data);
        let host_name = name(field(data)?)?;
        let user = name(field(data)?)?;
        let password = name(&plain_password(field(data)?))?;
        let app_name = name(field(data)?)?;
        field(data)?;
        // The offset of the features' offset, in bytes and not in characters.
        let extension = head.u16()? as usize;
        head.u16()?;
        for _ in 0..2 {
            text_field(&mut head, data)?;
        }
        let database = name(text_field(&mut head, data)?)?;
        let ticket = match flags2 & 0x80 != 0 {
            true => Some(read_ticket(&mut head, data)?),
            false => None,
        };
        let features = if flags3 & 0x10 != 0 {
            read_features(data, extension)?
        } else {
            Vec::new()
        };
        let mut token = None;
        for (feature, data) in &features {
            if *feature == FEATURE_FEDAUTH {
                token = read_token(data)?;
            }
        }
        let features = features.into_iter().map(|(feature, _)| feature).collect();
        Ok(Self {
            version,
            packet_size,
            host_name,
            user,
            password,
            app_name,
            database,
            ticket,
            read_only: types & 0x20 != 0,
            odbc: flags2 & 0x02 != 0,
            features,
            token,
        })
    }

    /// Whether a token is sent that is the accepted one; none: the client sends no token, or none is accepted here.
    fn has_token(&self, accepted: Option<&AccessToken>) -> Option<bool> {
        let token = self.token.as_ref()?;
        Some(*token == accepted?.token)
    }

    fn refusal(&self, accepted: Option<&AccessToken>) -> Option<SqlError> {
        let user = &self.user;
        if self.has_token(accepted) == Some(false) {
            let message = "Login failed for user '<token-identified principal>'.";
            return Some(error(18456, 14, message.to_owned()));
        }
        if self.features.contains(&FEATURE_FEDAUTH) && self.has_token(accepted).is_none() {
            let message = format!(
                "Login failed for user '{user}'. The stand-in knows SQL logins only, no federated authentication."
            );
            return Some(error(18456, 14, message));
        }
        if !matches!(self.version, TDS_7_3_B | TDS_7_4..) {
            let message = format!(
                "Login failed for user '{user}'. TDS version 0x{:08X} is not supported; use 7.4.",
                self.version
            );
            return Some(error(18456, 14, message));
        }
        None
    }
}

/// One offset-and-length pair of the head, and the UTF-16 bytes it points to.
fn text_field<'a>(head: &mut Cursor<'_>, data: &'a [u8]) -> Parsed<&'a [u8]> {
    let offset = usize::from(head.u16()?);
    let bytes = usize::from(head.u16()?) * 2;
    if bytes == 0 {
        return Ok(&[]);
    }
    data.get(offset..offset + bytes)
        .ok_or(ParseError::Incomplete)
}

/// The password is obscured, not encrypted: nibbles swapped, then every byte exclusive-or 0xA5.
fn plain_password(obscured: &[u8]) -> Vec<u8> {
    obscured
        .iter()
        .map(|byte| (byte ^ 0xA5).rotate_left(4))
        .collect()
}

/// What an integrated login sends of GSSAPI; `head` stands behind the database's name.
fn read_ticket(head: &mut Cursor<'_>, data: &[u8]) -> Parsed<Vec<u8>> {
    // The length of a ticket that two bytes cannot count stands at the end.
    const LONG: u16 = u16::MAX;
    head.bytes(6)?;
    let offset = usize::from(head.u16()?);
    let short = head.u16()?;
    head.bytes(8)?;
    let long = head.u32()? as usize;
    let length = match short {
        LONG => long,
        short => usize::from(short),
    };
    let ticket = data.get(offset..).and_then(|rest| rest.get(..length));
    ticket.map(<[u8]>::to_vec).ok_or(ParseError::Incomplete)
}

/// The token of a federated login, if the client has one already: the library "security token".
fn read_token(data: &[u8]) -> Parsed<Option<String>> {
    const SECURITY_TOKEN: u8 = 1;
    let mut from = Cursor::new(data);
    if from.u8()? >> 1 != SECURITY_TOKEN {
        return Ok(None);
    }
    let length = from.u32()? as usize;
    name(from.bytes(length)?).map(Some)
}

/// The features that the client names, with what it says of each.
fn read_features(data: &[u8], extension: usize) -> Parsed<Vec<(u8, Vec<u8>)>> {
    let mut pointer = Cursor::new(data.get(extension..).ok_or(ParseError::Incomplete)?);
    let offset = pointer.u32()? as usize;
    let mut from = Cursor::new(data.get(offset..).ok_or(ParseError::Incomplete)?);
    let mut found = Vec::new();
    loop {
        match from.u8()? {
            FEATURE_END => return Ok(found),
            feature => {
                let length = from.u32()? as usize;
                found.push((feature, from.bytes(length)?.to_vec()));
            }
        }
    }
}

/// Tells the client which server takes its login.
pub(super) fn send_on(request: &LoginRequest, host: &str, port: u16, response: &mut Response) {
    let out = &mut response.payload;
    token::put_login_ack(out, request.version.min(TDS_7_4));
    token::put_routing(out, host, port);
    Done::new(DoneKind::Done, 0).put(out);
    response.finish();
}

/// What logs in without a password.
#[derive(Clone, Copy)]
pub(super) struct Accepted<'a> {
    pub token: Option<&'a AccessToken>,
    pub principal: Option<&'a Principal>,
}

/// The principal whose ticket a client sends, and the answer to it; none: the client sends no ticket.
fn principal<'a>(
    request: &LoginRequest,
    accepted: Option<&'a Principal>,
) -> Result<Option<(&'a Principal, Vec<u8>)>, SqlError> {
    let Some(ticket) = &request.ticket else {
        return Ok(None);
    };
    let Some(principal) = accepted else {
        let message =
            "Login failed. The stand-in knows SQL logins only, no integrated authentication.";
        return Err(error(18452, 14, message.to_owned()));
    };
    let (name, mut answer) = kerberos::accept(ticket).map_err(|reason| {
        let message = format!("Login failed. The ticket does not hold: {reason}");
        error(18452, 14, message)
    })?;
    if name != principal.name {
        let message = format!("Login failed for user '{name}'.");
        return Err(error(18456, 14, message));
    }
    if principal.has_false_proof
        && let Some(last) = answer.last_mut()
    {
        *last ^= 1;
    }
    Ok(Some((principal, answer)))
}

fn refuse(request: &LoginRequest, refusal: &SqlError, response: &mut Response) {
    let out = &mut response.payload;
    token::put_error(out, refusal);
    if refusal.number == CANNOT_OPEN_DATABASE {
        let message = format!("Login failed for user '{}'.", request.user);
        token::put_error(out, &error(18456, 14, message));
    }
    Done::new(DoneKind::Done, DONE_ERROR).put(out);
    response.finish();
}

/// Logs in; the answer is left in `response`. A refusal is answered too and comes back as the error.
pub(super) fn log_in(
    request: &LoginRequest,
    server: &dyn Server,
    accepted: Accepted<'_>,
    fault: Option<SqlError>,
    response: &mut Response,
) -> Result<(Box<dyn Session>, Context), SqlError> {
    let by_token = accepted.token.filter(|_| request.token.is_some());
    let by_ticket = principal(request, accepted.principal);
    let (user, password) = match (by_token, &by_ticket) {
        (Some(accepted), _) => (&accepted.user, &accepted.password),
        (None, Ok(Some((principal, _)))) => (&principal.user, &principal.password),
        (None, Ok(None) | Err(_)) => (&request.user, &request.password),
    };
    let refusal = fault.or_else(|| by_ticket.as_ref().err().cloned());
    let checked = match refusal.or_else(|| request.refusal(accepted.token)) {
        Some(refusal) => Err(refusal),
        None => server.login(Login {
            user,
            password,
            database: &request.database,
            app_name: &request.app_name,
            host_name: &request.host_name,
            read_only: request.read_only,
            odbc: request.odbc,
        }),
    };
    if let Ok(Some((_, answer))) = &by_ticket {
        // With it the client knows the server; it has nothing more to say.
        token::put_sspi(&mut response.payload, answer);
    }
    let session = match checked {
        Ok(session) => session,
        Err(refusal) => {
            refuse(request, &refusal, response);
            return Err(refusal);
        }
    };
    let database = if request.database.is_empty() {
        "master"
    } else {
        &request.database
    };
    let packet_size = agreed_packet_size(request.packet_size);
    let out = &mut response.payload;
    token::put_login_settings(out, database, DEFAULT_WIRE);
    token::put_login_ack(out, request.version.min(TDS_7_4));
    token::put_packet_size(out, packet_size, DEFAULT_PACKET_SIZE);
    let utf8 = request.features.contains(&FEATURE_UTF8);
    let mut agreed: Vec<(u8, &[u8])> = Vec::new();
    if by_token.is_some() {
        agreed.push((FEATURE_FEDAUTH, &[]));
    }
    if utf8 {
        agreed.push((FEATURE_UTF8, &[1]));
    }
    if !agreed.is_empty() {
        token::put_features(out, &agreed);
    }
    Done::new(DoneKind::Done, 0).put(out);
    response.finish();
    response.set_packet_size(packet_size);
    let context = Context {
        database: database.to_owned(),
        login_database: database.to_owned(),
        utf8,
    };
    Ok((session, context))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A LOGIN7 as a client builds it.
    pub fn login7(user: &str, password: &str, database: &str, features: &[(u8, &[u8])]) -> Vec<u8> {
        let texts = [
            "host", user, password, "app", "server", "", "lib", "", database,
        ];
        let mut head = Vec::new();
        head.extend(TDS_7_4.to_le_bytes());
        head.extend(8000u32.to_le_bytes());
        head.extend([0; 12]);
        head.extend([0xE0, 0x03, 0, if features.is_empty() { 0 } else { 0x10 }]);
        head.extend([0; 8]);
        let mut body = Vec::new();
        let body_at = 94;
        for (at, text) in texts.iter().enumerate() {
            let mut bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            if at == 2 {
                for byte in &mut bytes {
                    *byte = byte.rotate_left(4) ^ 0xA5;
                }
            }
            if at == 5 && !features.is_empty() {
                bytes = vec![0; 4];
                head.extend(((body_at + body.len()) as u16).to_le_bytes());
                head.extend(4u16.to_le_bytes());
            } else {
                head.extend(((body_at + body.len()) as u16).to_le_bytes());
                head.extend(((bytes.len() / 2) as u16).to_le_bytes());
            }
            body.extend(bytes);
        }
        head.resize(body_at - 4, 0);
        let mut whole = vec![0; 4];
        whole.extend(head);
        whole.extend(body);
        if !features.is_empty() {
            let pointer_at = usize::from(u16::from_le_bytes([whole[56], whole[57]]));
            let features_at = whole.len() as u32;
            whole[pointer_at..pointer_at + 4].copy_from_slice(&features_at.to_le_bytes());
            for (feature, data) in features {
                whole.push(*feature);
                whole.extend((data.len() as u32).to_le_bytes());
                whole.extend(*data);
            }
            whole.push(0xFF);
        }
        let length = whole.len() as u32;
        whole[..4].copy_from_slice(&length.to_le_bytes());
        whole
    }

    #[test]
    fn a_login_is_read_with_its_password_and_features() {
        let data = login7(
            "sa",
            "pä$$w😀rd",
            "source",
            &[(FEATURE_UTF8, &[]), (9, &[1])],
        );
        let login = LoginRequest::read(&data).unwrap();
        assert_eq!(login.user, "sa");
        assert_eq!(login.password, "pä$$w😀rd");
        assert_eq!(login.database, "source");
        assert_eq!(login.packet_size, 8000);
        assert_eq!(login.features, [FEATURE_UTF8, 9]);
        assert!(login.odbc);
        assert_eq!(login.refusal(None), None);
        for cut in 0..data.len() {
            assert!(LoginRequest::read(&data[..cut]).is_err());
        }
        // fODBC is the second bit of the second byte of options.
        let mut plain = data;
        plain[25] &= !0x02;
        assert!(!LoginRequest::read(&plain).unwrap().odbc);
    }

    #[test]
    fn federated_logins_are_refused_with_the_reason() {
        let data = login7("me", "", "", &[(FEATURE_FEDAUTH, &[0; 5])]);
        let refusal = LoginRequest::read(&data).unwrap().refusal(None).unwrap();
        assert_eq!(refusal.number, 18456);
        assert!(refusal.message.contains("federated"));
    }

    #[test]
    fn a_token_logs_in_where_it_is_accepted() {
        let token: Vec<u8> = "tökén".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut data = vec![2];
        data.extend((token.len() as u32).to_le_bytes());
        data.extend(token);
        let login = LoginRequest::read(&login7("", "", "", &[(FEATURE_FEDAUTH, &data)])).unwrap();
        assert_eq!(login.token.as_deref(), Some("tökén"));
        let accepted = |token: &str| AccessToken {
            token: token.into(),
            user: "sa".into(),
            password: "p".into(),
        };
        assert_eq!(login.refusal(Some(&accepted("tökén"))), None);
        let other = login.refusal(Some(&accepted("other"))).unwrap();
        assert!(other.message.contains("token-identified"), "{other}");
        assert!(login.refusal(None).unwrap().message.contains("federated"));
        let cut = login7("", "", "", &[(FEATURE_FEDAUTH, &data[..4])]);
        assert!(LoginRequest::read(&cut).is_err());
    }

    #[test]
    fn a_ticket_is_read_and_needs_a_server_that_takes_it() {
        const FLAGS_AT: usize = 25;
        const TICKET_AT: usize = 78;
        let mut data = login7("", "", "source", &[]);
        data[FLAGS_AT] |= 0x80;
        let offset = data.len() as u16;
        let ticket = b"a token of GSSAPI";
        data.extend(ticket);
        data[TICKET_AT..TICKET_AT + 2].copy_from_slice(&offset.to_le_bytes());
        data[TICKET_AT + 2..TICKET_AT + 4].copy_from_slice(&(ticket.len() as u16).to_le_bytes());
        let length = data.len() as u32;
        data[..4].copy_from_slice(&length.to_le_bytes());
        let read = |data: &[u8]| LoginRequest::read(data).map(|login| login.ticket);
        assert_eq!(read(&data), Ok(Some(ticket.to_vec())));
        let mut long = data.clone();
        long[TICKET_AT + 2..TICKET_AT + 4].copy_from_slice(&[0xFF, 0xFF]);
        long[90..94].copy_from_slice(&(ticket.len() as u32).to_le_bytes());
        assert_eq!(read(&long), Ok(Some(ticket.to_vec())));
        long[90..94].copy_from_slice(&[0xFF; 4]);
        assert!(read(&long).is_err());

        let login = LoginRequest::read(&data).unwrap();
        let refusal = principal(&login, None).unwrap_err();
        assert!(refusal.number == 18452 && refusal.message.contains("no integrated"));
        let user = Principal {
            name: "loader@REALM".into(),
            user: "sa".into(),
            password: "p".into(),
            has_false_proof: false,
        };
        let refusal = principal(&login, Some(&user)).unwrap_err();
        assert!(refusal.number == 18452 && refusal.message.contains("does not hold"));
        let by_password = LoginRequest::read(&login7("sa", "p", "", &[])).unwrap();
        assert!(principal(&by_password, Some(&user)).unwrap().is_none());
    }

    #[test]
    fn prelogin_options_are_found_where_they_point() {
        let mut out = Vec::new();
        put_prelogin(&mut out, Encrypt::Required);
        assert_eq!(read_prelogin(&out), Ok(Encrypt::Required));
        assert!(read_prelogin(&[1, 0, 90, 0, 1, 0xFF]).is_err());
        assert!(read_prelogin(&[]).is_err());
    }
}
