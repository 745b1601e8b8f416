//! icesync-sandbox: a SQL Server stand-in that speaks TDS 7.4 and keeps its data in memory, for icesync's tests and demo.
//!
//! Strict by design: what it does not know is an error with SQL Server's number, never a guess.
//!
//! - `value`: types and values; `session`: the wall between wire and engine
//! - `sql`: lexer, syntax tree and parser of the T-SQL subset
//! - `engine`: storage with row versions, transactions and locks, expressions, statements, catalog views
//! - `tds`: packets, login, tokens, value encodings, RPC, bulk load, TLS
//!
//! Data moves one way: `tds` -> `session` traits -> `engine` -> `sql`.

pub mod session;
pub mod value;
