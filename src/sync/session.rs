//! A configured icesync and its connections.

use super::gate::Gate;
use super::observer::Observer;
use super::retry::Attempts;
use super::stop::Stop;
use crate::config::{Config, Database, LoadOptions, Maintenance, Retry};
use crate::error::{Disposition, Error, Kind, Result};
use crate::lake::Warehouse;
use crate::mssql::channel::Channel;
use crate::mssql::control::Control;
use crate::mssql::environment::{self, Environment};
use crate::mssql::settings::Connection;
use crate::schema::TableName;
use crate::source::{Notice, SourceError};
use crate::target::state::Identity;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::sync::{OnceCell, Semaphore};

/// A configured icesync, ready to run.
pub struct Sync {
    pub(super) source: Option<Side>,
    pub(super) target: Option<Side>,
    pub(super) warehouse: Arc<Warehouse>,
    pub(super) target_file_bytes: u64,
    pub(super) maintenance: Maintenance,
    pub(super) load: LoadOptions,
    /// The targets of all tables of the configuration.
    pub(super) targets: Vec<TableName>,
    pub(super) retry: Retry,
    pub(super) stop: Stop,
    pub(super) observer: Arc<dyn Observer>,
}

/// One side's parsed connection.
#[derive(Debug)]
pub(super) struct Side {
    /// As the configuration calls it.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) connection: Connection,
    pub(super) gate: Gate,
    pub(super) parallel_tables: usize,
    /// Permits for the data connections of large tables beyond the first of each.
    pub(super) channels: Arc<Semaphore>,
    /// What the server calls itself and the database, once it was asked.
    pub(super) identity: OnceCell<Identity>,
    /// What a run says once for all tables.
    notices: Arc<Mutex<Vec<Notice>>>,
    /// The first table that cannot be read consistently.
    unread: Arc<OnceLock<TableName>>,
}

/// A worker's connections, opened when first needed and dropped when an error leaves them in doubt.
#[derive(Default)]
pub(super) struct Links {
    pub(super) source: Option<Control>,
    /// Of the connection above, once it was asked.
    environment: Option<Arc<Environment>>,
    pub(super) source_rows: Option<Channel>,
    pub(super) target: Option<Control>,
    pub(super) target_rows: Option<Channel>,
}

impl Sync {
    /// Checks connection strings and opens the warehouse; connects to nothing yet.
    pub async fn new(config: &Config, observer: Arc<dyn Observer>) -> Result<Self> {
        let warehouse = Warehouse::open(&config.warehouse.location).await?;
        Self::with(config, observer, warehouse)
    }

    /// As [`Sync::new`], for a command that shows the target when the warehouse cannot be read: what is wrong with it
    /// shows with the first table.
    pub fn unopened(config: &Config, observer: Arc<dyn Observer>) -> Result<Self> {
        let warehouse = Warehouse::at(&config.warehouse.location)?;
        Self::with(config, observer, warehouse)
    }

    fn with(config: &Config, observer: Arc<dyn Observer>, warehouse: Warehouse) -> Result<Self> {
        Ok(Self {
            source: config
                .source
                .as_ref()
                .map(|side| Side::of(side, "source", Kind::Source))
                .transpose()?,
            target: config
                .target
                .as_ref()
                .map(|side| Side::of(side, "target", Kind::Target))
                .transpose()?,
            warehouse: Arc::new(warehouse),
            target_file_bytes: config.warehouse.target_file_bytes,
            maintenance: config.maintenance,
            load: config.load,
            targets: config
                .tables
                .iter()
                .map(|table| table.target.clone())
                .collect(),
            retry: config.retry,
            stop: Stop::default(),
            observer,
        })
    }

    /// What the run has to say of the source once for all tables.
    pub(super) fn notices(&self) -> Vec<String> {
        self.source.as_ref().map_or_else(Vec::new, Side::notices)
    }

    /// Settings of the connections that have no effect or are dangerous, and why; one line each.
    pub fn connection_warnings(&self) -> Vec<String> {
        let sides = self.source.iter().chain(&self.target);
        let warnings = sides.flat_map(|side| {
            let warnings = side.connection.warnings.iter();
            warnings.map(|warning| format!("{}.connection: {warning}", side.name))
        });
        warnings.collect()
    }

    /// What ends its run early.
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// No attempts at a step yet.
    pub(super) fn attempts(&self) -> Attempts<'_> {
        Attempts::new(self.retry, &self.stop, self.observer.as_ref())
    }

    pub(super) fn source_side(&self) -> Result<&Side> {
        self.source.as_ref().ok_or_else(|| missing_side("source"))
    }

    pub(super) fn target_side(&self) -> Result<&Side> {
        self.target.as_ref().ok_or_else(|| missing_side("target"))
    }
}

fn missing_side(side: &str) -> Error {
    let message =
        format!("the configuration has no `{side}:`; add `{side}: {{ connection: ... }}`");
    Error::new(Kind::Config, Disposition::Definite, message)
}

impl Side {
    fn of(side: &Database, name: &'static str, kind: Kind) -> Result<Self> {
        let connection = Connection::parse(side.connection.expose()).map_err(|error| {
            Error::new(
                Kind::Config,
                Disposition::Definite,
                format!("{name}.connection: {error}"),
            )
        })?;
        if connection.read_only && name == "target" {
            let message = "target.connection: ApplicationIntent=ReadOnly may lead to a replica that cannot be loaded; \
                leave it out";
            return Err(Error::new(Kind::Config, Disposition::Definite, message));
        }
        Ok(Self {
            name,
            kind,
            connection,
            gate: Gate::default(),
            parallel_tables: side.parallel_tables,
            channels: Arc::new(Semaphore::new(side.parallel_channels - 1)),
            identity: OnceCell::new(),
            notices: Arc::default(),
            unread: Arc::default(),
        })
    }

    /// Keeps what is to be said once; of notices about the same, the first.
    pub(super) fn notice(&self, notices: &[Notice]) {
        let mut kept = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        for notice in notices {
            if !kept.iter().any(|known| known.about == notice.about) {
                kept.push(notice.clone());
            }
        }
    }

    /// What is to be said once.
    pub(super) fn notices(&self) -> Vec<String> {
        let kept = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().map(|notice| notice.text.clone()).collect()
    }

    /// An error that concerns a whole database, told in full of its first table only.
    pub(super) fn once(&self, error: SourceError, table: &TableName) -> SourceError {
        if !error.is_of_database() {
            return error;
        }
        error.said_of(self.unread.get_or_init(|| table.clone()))
    }
}

impl Links {
    /// After a failure every connection is closed: what an unread reply or a half-done transaction left behind ends
    /// with it.
    pub(super) fn guard<T>(&mut self, result: Result<T>) -> Result<T> {
        if result.is_err() {
            *self = Self::default();
        }
        result
    }

    /// Closes the source's connection, after a failure of that one alone.
    pub(super) fn close_source(&mut self) {
        self.source = None;
        self.environment = None;
    }

    /// The source's connection, with what server, database and login are.
    pub(super) async fn source(&mut self, side: &Side) -> Result<(&mut Control, Arc<Environment>)> {
        let control = Links::control(&mut self.source, side, Kind::Source).await?;
        let environment = match &self.environment {
            Some(known) => Arc::clone(known),
            None => {
                let read = environment::read(control).await;
                let read = Arc::new(read.map_err(|error| error.on(Kind::Source))?);
                self.environment = Some(Arc::clone(&read));
                read
            }
        };
        Ok((control, environment))
    }

    pub(super) async fn control<'a>(
        slot: &'a mut Option<Control>,
        side: &Side,
        kind: Kind,
    ) -> Result<&'a mut Control> {
        if slot.is_none() {
            let control = Control::connect(&side.connection)
                .await
                .map_err(|error| error.on(kind))?;
            *slot = Some(control);
        }
        slot.as_mut()
            .ok_or_else(|| Error::new(kind, Disposition::Transient, "no connection"))
    }

    pub(super) async fn rows<'a>(
        slot: &'a mut Option<Channel>,
        side: &Side,
        kind: Kind,
    ) -> Result<&'a mut Channel> {
        if slot.is_none() {
            let channel = Channel::connect(&side.connection)
                .await
                .map_err(|error| error.on(kind))?;
            *slot = Some(channel);
        }
        slot.as_mut()
            .ok_or_else(|| Error::new(kind, Disposition::Transient, "no connection"))
    }
}
