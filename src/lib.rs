//! icesync replicates tables from SQL Server into Apache Iceberg, incrementally and exactly once, and replays Iceberg
//! snapshots into another SQL Server.
//!
//! ```text
//! source SQL Server --extract--> Iceberg warehouse --load--> target SQL Server
//! ```
//!
//! | module | what is there |
//! |---|---|
//! | [`config`] | YAML and environment to a validated configuration; secrets |
//! | [`secret`] | what must not be printed: secrets, and the values of rows |
//! | [`error`] | the error of the upper modules and what to do about each ([`error::Disposition`]) |
//! | [`schema`] | names, columns, keys; [`schema::types`] has one row for each SQL type |
//! | [`change`] | watermark, window, checkpoint, run id: what crosses the walls |
//! | [`mssql`] | both planes to SQL Server ([`mssql::control`], [`mssql::channel`]); all T-SQL is quoted here |
//! | [`source`] | change strategies: discovery, window, statements to read |
//! | [`lake`] | the Iceberg warehouse: catalog, writer, commit, key lookup, delta, maintenance |
//! | [`target`] | staging, merge, load state |
//! | [`sync`] | joins source, lake and target; retries |
//! | [`failpoint`] | places where tests make the process die |
//! | [`report`] | what a command found or did, as text and JSON |
//!
//! Walls: `tiberius` and `mssql-tds` only in `mssql`; `reqwest` only in `mssql::entra`; `iceberg`, `parquet` and
//! `object_store` only in `lake`; `clap` and printing only in the binary's `cli`; only `sync` spawns tasks. `lake`,
//! `source` and `target` do not know each other.

pub mod change;
pub mod config;
pub mod error;
pub mod failpoint;
pub mod lake;
pub mod mssql;
pub mod report;
pub mod schema;
pub mod secret;
pub mod source;
pub mod sync;
pub mod target;
