//! The tokens of a reply that carry no rows.

use crate::session::SqlError;

/// The name that errors and LOGINACK give the server.
pub(super) const SERVER_NAME: &str = "icesync-sandbox";
/// SQL Server 2022, as PRELOGIN and LOGINACK say it.
pub(super) const VERSION: [u8; 4] = [16, 0, 0x10, 0x36];

const ENVCHANGE: u8 = 0xE3;
const ERROR: u8 = 0xAA;
const INFO: u8 = 0xAB;
const LOGINACK: u8 = 0xAD;
const FEATUREEXTACK: u8 = 0xAE;
const SSPI: u8 = 0xED;
const RETURNSTATUS: u8 = 0x79;

const ENV_DATABASE: u8 = 1;
const ENV_LANGUAGE: u8 = 2;
const ENV_PACKET_SIZE: u8 = 4;
const ENV_COLLATION: u8 = 7;
const ENV_BEGIN: u8 = 8;
const ENV_COMMIT: u8 = 9;
const ENV_ROLLBACK: u8 = 10;
const ENV_RESET: u8 = 18;
const ENV_ROUTING: u8 = 20;

pub(super) const DONE_MORE: u16 = 0x0001;
pub(super) const DONE_ERROR: u16 = 0x0002;
pub(super) const DONE_COUNT: u16 = 0x0010;
pub(super) const DONE_ATTENTION: u16 = 0x0020;

/// Which of the three DONE tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DoneKind {
    Done,
    DoneProc,
    DoneInProc,
}

/// A DONE token of any kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Done {
    pub kind: DoneKind,
    pub status: u16,
    pub command: u16,
    pub count: u64,
}

impl Done {
    pub fn new(kind: DoneKind, status: u16) -> Self {
        Self {
            kind,
            status,
            command: 0,
            count: 0,
        }
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        out.push(match self.kind {
            DoneKind::Done => 0xFD,
            DoneKind::DoneProc => 0xFE,
            DoneKind::DoneInProc => 0xFF,
        });
        out.extend_from_slice(&self.status.to_le_bytes());
        out.extend_from_slice(&self.command.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
    }
}

/// Appends text after a one-byte count of its code units; a longer text is cut at 255.
pub(super) fn put_b_varchar(out: &mut Vec<u8>, text: &str) {
    let units: Vec<u16> = text.encode_utf16().take(255).collect();
    out.push(units.len() as u8);
    out.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
}

/// Appends text after a two-byte count of its code units; a longer text is cut at `units_max`.
pub(super) fn put_us_varchar(out: &mut Vec<u8>, text: &str, units_max: usize) {
    let units: Vec<u16> = text.encode_utf16().take(units_max).collect();
    out.extend_from_slice(&(units.len() as u16).to_le_bytes());
    out.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
}

/// Appends a token whose two-byte length counts what `body` writes.
fn put_counted(out: &mut Vec<u8>, token: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(token);
    let length_at = out.len();
    out.extend_from_slice(&[0, 0]);
    body(out);
    let length = (out.len() - length_at - 2) as u16;
    out[length_at..length_at + 2].copy_from_slice(&length.to_le_bytes());
}

pub(super) fn put_error(out: &mut Vec<u8>, error: &SqlError) {
    put_message(out, ERROR, error);
}

pub(super) fn put_info(out: &mut Vec<u8>, info: &SqlError) {
    put_message(out, INFO, info);
}

fn put_message(out: &mut Vec<u8>, token: u8, message: &SqlError) {
    put_counted(out, token, |out| {
        out.extend_from_slice(&message.number.to_le_bytes());
        out.push(message.state);
        out.push(message.class);
        put_us_varchar(out, &message.message, 8000);
        put_b_varchar(out, SERVER_NAME);
        put_b_varchar(out, "");
        out.extend_from_slice(&message.line.to_le_bytes());
    });
}

/// The server's part of a login by Kerberos.
pub(super) fn put_sspi(out: &mut Vec<u8>, data: &[u8]) {
    put_counted(out, SSPI, |out| out.extend_from_slice(data));
}

/// The database changed.
pub(super) fn put_database(out: &mut Vec<u8>, new: &str, old: &str) {
    put_env_text(out, ENV_DATABASE, new, old);
}

/// What a login ends up with, and the messages that say so.
pub(super) fn put_login_settings(out: &mut Vec<u8>, database: &str, collation: [u8; 5]) {
    put_database(out, database, "master");
    let message = format!("Changed database context to '{database}'.");
    put_info(out, &info(5701, 2, message));
    put_env_bytes(out, ENV_COLLATION, &collation, &[]);
    put_env_text(out, ENV_LANGUAGE, "us_english", "");
    let message = "Changed language setting to us_english.".to_owned();
    put_info(out, &info(5703, 1, message));
}

fn info(number: i32, state: u8, message: String) -> SqlError {
    SqlError {
        number,
        state,
        class: 0,
        line: 1,
        message,
    }
}

pub(super) fn put_packet_size(out: &mut Vec<u8>, new: usize, old: usize) {
    put_env_text(out, ENV_PACKET_SIZE, &new.to_string(), &old.to_string());
}

fn put_env_text(out: &mut Vec<u8>, kind: u8, new: &str, old: &str) {
    put_counted(out, ENVCHANGE, |out| {
        out.push(kind);
        put_b_varchar(out, new);
        put_b_varchar(out, old);
    });
}

fn put_env_bytes(out: &mut Vec<u8>, kind: u8, new: &[u8], old: &[u8]) {
    put_counted(out, ENVCHANGE, |out| {
        out.push(kind);
        out.push(new.len() as u8);
        out.extend_from_slice(new);
        out.push(old.len() as u8);
        out.extend_from_slice(old);
    });
}

pub(super) fn put_transaction_begun(out: &mut Vec<u8>, descriptor: u64) {
    put_env_bytes(out, ENV_BEGIN, &descriptor.to_le_bytes(), &[]);
}

pub(super) fn put_transaction_ended(out: &mut Vec<u8>, descriptor: u64, committed: bool) {
    let kind = if committed { ENV_COMMIT } else { ENV_ROLLBACK };
    put_env_bytes(out, kind, &[], &descriptor.to_le_bytes());
}

/// The session was reset as the request asked.
pub(super) fn put_reset_done(out: &mut Vec<u8>) {
    put_env_bytes(out, ENV_RESET, &[], &[]);
}

/// Another server takes the login, over TCP.
pub(super) fn put_routing(out: &mut Vec<u8>, host: &str, port: u16) {
    let mut route = vec![0];
    route.extend_from_slice(&port.to_le_bytes());
    put_us_varchar(&mut route, host, 1024);
    put_counted(out, ENVCHANGE, |out| {
        out.push(ENV_ROUTING);
        out.extend_from_slice(&(route.len() as u16).to_le_bytes());
        out.extend_from_slice(&route);
        out.extend_from_slice(&[0, 0]);
    });
}

/// `version` as the client sent it, most significant byte first here.
pub(super) fn put_login_ack(out: &mut Vec<u8>, version: u32) {
    put_counted(out, LOGINACK, |out| {
        out.push(1);
        out.extend_from_slice(&version.to_be_bytes());
        put_b_varchar(out, "Microsoft SQL Server");
        out.extend_from_slice(&VERSION);
    });
}

/// Features that the server agrees to, each with its answer.
pub(super) fn put_features(out: &mut Vec<u8>, features: &[(u8, &[u8])]) {
    out.push(FEATUREEXTACK);
    for (id, data) in features {
        out.push(*id);
        out.extend_from_slice(&(data.len() as u32).to_le_bytes());
        out.extend_from_slice(data);
    }
    out.push(0xFF);
}

pub(super) fn put_return_status(out: &mut Vec<u8>, status: i32) {
    out.push(RETURNSTATUS);
    out.extend_from_slice(&status.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_token_has_its_parts_in_order() {
        let mut out = Vec::new();
        let error = SqlError {
            number: 2627,
            state: 1,
            class: 14,
            line: 3,
            message: "é".to_owned(),
        };
        put_error(&mut out, &error);
        let mut wanted = vec![0xAA, 0, 0, 0x43, 0x0A, 0, 0, 1, 14, 1, 0, 0xE9, 0, 15];
        wanted.extend(SERVER_NAME.encode_utf16().flat_map(u16::to_le_bytes));
        wanted.extend([0, 3, 0, 0, 0]);
        let length = (wanted.len() - 3) as u16;
        wanted[1..3].copy_from_slice(&length.to_le_bytes());
        assert_eq!(out, wanted);
    }

    #[test]
    fn a_route_has_protocol_port_and_host() {
        let mut out = Vec::new();
        put_routing(&mut out, "h", 0x0102);
        assert_eq!(out, [0xE3, 12, 0, 20, 7, 0, 0, 2, 1, 1, 0, 0x68, 0, 0, 0]);
    }

    #[test]
    fn transactions_are_told_with_their_descriptor() {
        let mut out = Vec::new();
        put_transaction_begun(&mut out, 0x0102);
        assert_eq!(out, [0xE3, 11, 0, 8, 8, 2, 1, 0, 0, 0, 0, 0, 0, 0]);
        out.clear();
        put_transaction_ended(&mut out, 0x0102, true);
        assert_eq!(out, [0xE3, 11, 0, 9, 0, 8, 2, 1, 0, 0, 0, 0, 0, 0]);
    }
}
