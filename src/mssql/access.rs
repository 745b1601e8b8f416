//! What a login may do on a server, in one round trip.

use super::control::{Control, Record};
use super::error::MssqlError;
use super::sql::access;
use crate::schema::TableName;

/// A login and the database that it is in, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    pub login: String,
    pub database: String,
    /// What it lacks; none when it may do what was asked about.
    pub lacks: Option<Lack>,
}

/// What a login lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// It may read none of the tables, or there are none of these names.
    EveryTable,
    /// CREATE TABLE in the database.
    CreateTable,
    /// ALTER on schema `icesync`, which is there.
    OwnSchema,
    /// Schema `icesync` is missing, or cannot be seen, and CREATE SCHEMA is denied.
    CreateSchema,
}

/// Whether a login may read any of the tables.
pub async fn to_source(control: &mut Control, tables: &[&TableName]) -> Result<Access, MssqlError> {
    let record = asked(control, access::source_access(tables)).await?;
    let readable = record.int("readable")?;
    accessed(&record, (readable == 0).then_some(Lack::EveryTable))
}

/// Whether a login may make the tables that loads need.
pub async fn to_target(control: &mut Control) -> Result<Access, MssqlError> {
    let record = asked(control, access::target_access()).await?;
    // What the server cannot tell is no lack.
    let denied = |name: &str| Ok::<_, MssqlError>(record.int_opt(name)? == Some(0));
    let lack = if denied("create_table")? {
        Some(Lack::CreateTable)
    } else if record.int("own")? == 1 {
        denied("alter_own")?.then_some(Lack::OwnSchema)
    } else {
        denied("create_schema")?.then_some(Lack::CreateSchema)
    };
    accessed(&record, lack)
}

async fn asked(
    control: &mut Control,
    statement: super::sql::Statement,
) -> Result<Record, MssqlError> {
    let rows = control.query(&statement).await?;
    let row = rows.into_iter().next();
    row.ok_or_else(|| MssqlError::Shape("no row".into()))
}

fn accessed(record: &Record, lacks: Option<Lack>) -> Result<Access, MssqlError> {
    let text = |name: &str| Ok::<_, MssqlError>(record.text_opt(name)?.unwrap_or("?").to_owned());
    Ok(Access {
        login: text("login_name")?,
        database: text("database_name")?,
        lacks,
    })
}
