//! Digests, checksums and identifiers.
//!
//! HASHBYTES gives the algorithms' own digests, so equal bytes hash as on any server. CHECKSUM is SQL Server's for
//! whole numbers only; for a uniqueidentifier (`CHECKSUM(NEWID())` makes random numbers everywhere) it is some
//! fixed mix of the bytes, not the server's. Other types are refused.

use super::argument::Arguments;
use super::{Builtin, EvalContext};
use crate::engine::fault::{error, unsupported};
use crate::engine::types;
use crate::session::SqlError;
use crate::value::{SqlType, Value};
use openssl::hash::{MessageDigest, hash};

pub static FUNCTIONS: &[Builtin] = &[
    Builtin {
        name: "HASHBYTES",
        args: 2..=2,
        result_type: |_| Ok(SqlType::VarBinary(Some(8000))),
        eval: hash_bytes,
    },
    Builtin {
        name: "CHECKSUM",
        args: 1..=1,
        result_type: checksum_type,
        eval: checksum,
    },
    Builtin {
        name: "BINARY_CHECKSUM",
        args: 1..=1,
        result_type: checksum_type,
        eval: checksum,
    },
    Builtin {
        name: "NEWID",
        args: 0..=0,
        result_type: |_| Ok(SqlType::UniqueIdentifier),
        eval: new_id,
    },
];

fn hash_bytes(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let Some(algorithm) = Arguments::new(v, t, cx).text(0)? else {
        return Ok(Value::Null);
    };
    let digest = match types::text(&algorithm).to_ascii_uppercase().as_str() {
        "MD5" => MessageDigest::md5(),
        "SHA" | "SHA1" => MessageDigest::sha1(),
        "SHA2_256" => MessageDigest::sha256(),
        "SHA2_512" => MessageDigest::sha512(),
        "MD2" | "MD4" => return Err(unsupported("HASHBYTES with MD2 or MD4")),
        _ => return Ok(Value::Null),
    };
    let bytes = match &v[1] {
        Value::Null => return Ok(Value::Null),
        Value::Bytes(bytes) => bytes.to_vec(),
        Value::Str(units) if types::is_unicode(&t[1]) => {
            units.iter().flat_map(|unit| unit.to_le_bytes()).collect()
        }
        Value::Str(units) => cx.collation.info.code_page.bytes(units),
        _ => return Err(super::argument::invalid_argument(&t[1], 2, "hashbytes")),
    };
    let hashed = hash(digest, &bytes).map_err(|fault| {
        error(
            8623,
            16,
            format!("HASHBYTES failed in the cryptographic library: {fault}."),
        )
    })?;
    Ok(Value::Bytes(hashed.as_ref().into()))
}

fn checksum_type(t: &[SqlType]) -> Result<SqlType, SqlError> {
    match &t[0] {
        SqlType::TinyInt | SqlType::SmallInt | SqlType::Int | SqlType::UniqueIdentifier => {
            Ok(SqlType::Int)
        }
        other => Err(unsupported(format!("CHECKSUM of {}", types::name(other)))),
    }
}

fn checksum(v: &[Value], _t: &[SqlType], _cx: &EvalContext) -> Result<Value, SqlError> {
    let sum = match &v[0] {
        Value::TinyInt(value) => i32::from(*value),
        Value::SmallInt(value) => i32::from(*value),
        Value::Int(value) => *value,
        Value::Guid(bytes) => bytes.iter().fold(0u32, |sum, byte| {
            sum.rotate_left(5).wrapping_mul(31) ^ u32::from(*byte)
        }) as i32,
        // The checksum of NULL.
        _ => i32::MAX,
    };
    Ok(Value::Int(sum))
}

fn new_id(_v: &[Value], _t: &[SqlType], _cx: &EvalContext) -> Result<Value, SqlError> {
    Ok(Value::Guid(uuid::Uuid::new_v4().to_bytes_le()))
}
