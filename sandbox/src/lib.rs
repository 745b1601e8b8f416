//! icesync-sandbox: a SQL Server stand-in that speaks TDS 7.4 and keeps its data in memory, for icesync's tests and
//! demo.
//!
//! Strict by design: what it does not know is an error with SQL Server's number, never a guess.
//!
//! - `collation`: collations by name, code pages
//! - `value`: types and values; `session`: the wall between wire and engine
//! - `sql`: lexer, syntax tree and parser of the T-SQL subset
//! - `engine`: storage with row versions, transactions and locks, expressions, statements, catalog views
//! - `tds`: packets, login, tokens, value encodings, RPC, bulk load, TLS
//! - `sandbox`: all of it, running inside a test's process
//!
//! Data moves one way: `tds` -> `session` traits -> `engine` -> `sql`.

pub mod collation;
pub mod engine;
mod sandbox;
pub mod session;
pub mod sql;
pub mod tds;
pub mod value;

pub use sandbox::{Sandbox, SandboxError, SandboxOptions};
