//! The two planes to SQL Server.
//!
//! * [`control`]: `tiberius`. Discovery, DDL, bounds, locks, state, the MERGE transaction. Small results, every one
//!   read to its end.
//! * [`channel`]: `mssql-tds`. [`rows`] reads them into Arrow builders, [`bulk`] writes Arrow batches into bulk-copy
//!   packets; no value passes through an intermediate form.
//!
//! `entra` asks Microsoft Entra ID for the access tokens that both log in with, where a connection says so.
//! `kerberos` asks for the ticket, and settles the name, of the service that both log in to by Kerberos.
//!
//! Both take the same [`settings::Connection`] and report the same [`error::MssqlError`]. Nothing outside this
//! module names either driver.

pub mod access;
pub mod bulk;
pub mod channel;
pub mod control;
pub mod definition;
pub mod describe;
pub mod digest;
mod entra;
pub mod environment;
pub mod error;
mod kerberos;
mod message;
pub mod rows;
pub mod settings;
pub mod sql;
pub mod surroundings;
