//! The two planes to SQL Server.
//!
//! * [`control`]: `tiberius`. Discovery, DDL, bounds, locks, state, the MERGE transaction. Small results, every one
//!   read to its end.
//! * [`channel`]: `mssql-tds`. [`rows`] reads them into Arrow builders, [`bulk`] writes Arrow batches into bulk-copy
//!   packets; no value passes through an intermediate form.
//!
//! Both take the same [`settings::Connection`] and report the same [`error::MssqlError`]. Nothing outside this
//! module names either driver.

pub mod access;
pub mod bulk;
pub mod channel;
pub mod control;
pub mod definition;
pub mod describe;
pub mod environment;
pub mod error;
mod message;
pub mod rows;
pub mod settings;
pub mod sql;
pub mod surroundings;
