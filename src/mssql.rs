//! The two planes to SQL Server.

pub mod sql;
