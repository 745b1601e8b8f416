//! What a server, a database and a login are: read once for a connection, in one round trip. Every decision about how a
//! source is read starts from these facts, and from those of the table ([`super::surroundings`]).

use super::control::{Control, Record};
use super::error::MssqlError;
use super::sql::environment;
use std::fmt;

/// Which product answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// SQL Server on a machine of its own.
    Server,
    ManagedInstance,
    /// Azure SQL Database, and SQL database in Fabric.
    AzureSql,
    /// Another `EngineEdition`.
    Other(i64),
}

impl Product {
    fn of(engine_edition: i64) -> Self {
        match engine_edition {
            1..=4 | 9 => Product::Server,
            5 | 12 => Product::AzureSql,
            8 => Product::ManagedInstance,
            other => Product::Other(other),
        }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Product::Server => f.write_str("SQL Server"),
            Product::ManagedInstance => f.write_str("Azure SQL Managed Instance"),
            Product::AzureSql => f.write_str("Azure SQL Database"),
            Product::Other(edition) => write!(f, "SQL engine edition {edition}"),
        }
    }
}

/// Who changes the database, as far as this connection can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writability {
    /// Transactions on this server.
    ReadWrite,
    /// Nobody, while it is `READ_ONLY`.
    ReadOnly,
    /// The primary replica. Its transactions arrive here when they are redone, and cannot be seen before.
    Secondary,
    /// Nobody: a database snapshot is a database as it was.
    Snapshot,
    /// A log that is restored with STANDBY. Transactions that it leaves open are finished by the next log.
    Standby,
}

impl Writability {
    /// Rows cannot change while a connection is open.
    pub fn is_frozen(self) -> bool {
        match self {
            Writability::ReadWrite | Writability::Secondary => false,
            Writability::ReadOnly | Writability::Snapshot | Writability::Standby => true,
        }
    }

    /// What a database is that is not simply written to; none for others.
    pub fn standing(self) -> Option<&'static str> {
        match self {
            Writability::ReadWrite => None,
            Writability::ReadOnly => Some("read-only"),
            Writability::Secondary | Writability::Snapshot | Writability::Standby => {
                self.of_another()
            }
        }
    }

    /// What such a database is called, where the transactions that write to it run elsewhere.
    pub fn of_another(self) -> Option<&'static str> {
        match self {
            Writability::ReadWrite | Writability::ReadOnly => None,
            Writability::Secondary => Some("a readable secondary replica"),
            Writability::Snapshot => Some("a database snapshot"),
            Writability::Standby => Some("a standby database"),
        }
    }
}

/// A server, a database and a login, as one connection finds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    pub product: Product,
    /// As `16.0.4135.4`.
    pub version: String,
    pub server_collation: String,
    pub database: String,
    pub database_collation: String,
    pub writability: Writability,
    /// Transactions of this database may use SNAPSHOT isolation now.
    pub allows_snapshot: bool,
    /// READ COMMITTED reads row versions rather than waiting for locks.
    pub read_committed_snapshot: bool,
    /// Another one after a restore, and after a failover that lost data. None where it cannot be seen.
    pub fork: Option<String>,
    /// The login may see the transactions of others.
    pub sees_transactions: bool,
    /// The login may see all security policies of the database. Otherwise none may be there, or none may be shown.
    pub sees_policies: bool,
    /// The login reads masked columns as they are.
    pub unmasks: bool,
}

/// Asks server and database. One round trip.
pub async fn read(control: &mut Control) -> Result<Environment, MssqlError> {
    let rows = control.query(&environment::environment()).await?;
    let row = rows.first().ok_or_else(|| {
        MssqlError::Shape("sys.databases does not show the current database".into())
    })?;
    environment(row)
}

fn environment(row: &Record) -> Result<Environment, MssqlError> {
    let is = |column: &str| Ok::<_, MssqlError>(row.int_opt(column)?.unwrap_or(0) == 1);
    let text = |column: &str| Ok::<_, MssqlError>(row.text_opt(column)?.unwrap_or("").to_owned());
    let product = Product::of(row.int("engine_edition")?);
    let found = Found {
        is_updateable: !text("updateability")?.eq_ignore_ascii_case("READ_ONLY"),
        is_read_only: is("is_read_only")?,
        is_standby: is("is_in_standby")?,
        is_snapshot: is("is_database_snapshot")?,
    };
    Ok(Environment {
        product,
        version: text("product_version")?,
        server_collation: text("server_collation")?,
        database: row.text("database_name")?.to_owned(),
        database_collation: text("database_collation")?,
        writability: found.writability(product),
        allows_snapshot: is("snapshot_isolation_state")?,
        read_committed_snapshot: is("is_read_committed_snapshot_on")?,
        fork: row.text_opt("recovery_fork")?.map(str::to_lowercase),
        sees_transactions: is("sees_transactions")?,
        sees_policies: is("sees_policies")?,
        unmasks: is("unmasks")?,
    })
}

/// What the catalog says about who may write.
#[derive(Debug, Clone, Copy)]
struct Found {
    is_updateable: bool,
    is_read_only: bool,
    is_standby: bool,
    is_snapshot: bool,
}

impl Found {
    /// A secondary replica has the primary's options: its database is not `READ_ONLY`, and yet cannot be updated. In
    /// the cloud a geo-secondary may be both, so what cannot be updated there is taken for a replica.
    fn writability(self, product: Product) -> Writability {
        if self.is_snapshot {
            Writability::Snapshot
        } else if self.is_standby {
            Writability::Standby
        } else if self.is_updateable {
            Writability::ReadWrite
        } else if self.is_read_only && product == Product::Server {
            Writability::ReadOnly
        } else {
            Writability::Secondary
        }
    }
}

#[cfg(test)]
impl Environment {
    /// A box product whose database allows SNAPSHOT, and a login that sees everything.
    pub fn example() -> Self {
        Self {
            product: Product::Server,
            version: "16.0.4135.4".into(),
            server_collation: "SQL_Latin1_General_CP1_CI_AS".into(),
            database: "shop".into(),
            database_collation: "SQL_Latin1_General_CP1_CI_AS".into(),
            writability: Writability::ReadWrite,
            allows_snapshot: true,
            read_committed_snapshot: false,
            fork: Some("6f1c2a34-0000-4000-8000-000000000001".into()),
            sees_transactions: true,
            sees_policies: true,
            unmasks: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_written_to_here_is_told_from_what_is_written_elsewhere() {
        let primary = Found {
            is_updateable: true,
            is_read_only: false,
            is_standby: false,
            is_snapshot: false,
        };
        let replica = Found {
            is_updateable: false,
            ..primary
        };
        let read_only = Found {
            is_read_only: true,
            ..replica
        };
        let standby = Found {
            is_standby: true,
            ..read_only
        };
        let snapshot = Found {
            is_snapshot: true,
            ..read_only
        };
        for (found, product, expected) in [
            (primary, Product::Server, Writability::ReadWrite),
            (replica, Product::Server, Writability::Secondary),
            (read_only, Product::Server, Writability::ReadOnly),
            (read_only, Product::AzureSql, Writability::Secondary),
            (standby, Product::Server, Writability::Standby),
            (snapshot, Product::ManagedInstance, Writability::Snapshot),
        ] {
            assert_eq!(found.writability(product), expected, "{found:?}");
        }
        assert!(Writability::ReadOnly.of_another().is_none());
        assert!(Writability::Standby.is_frozen() && !Writability::Secondary.is_frozen());
    }

    #[test]
    fn editions_are_known_by_their_number() {
        for (edition, product) in [
            (3, Product::Server),
            (4, Product::Server),
            (5, Product::AzureSql),
            (8, Product::ManagedInstance),
            (6, Product::Other(6)),
        ] {
            assert_eq!(Product::of(edition), product);
        }
    }
}
