//! `--table`: which tables of the configuration a command works on.

use super::output::config_error;
use clap::Args;
use icesync::config::{Config, Table};
use icesync::error::Error;

// Not a doc comment: clap would show it in place of the help of each command that flattens this.
#[derive(Args)]
pub struct Tables {
    /// Only this table, by its source or lake name; may be repeated
    #[arg(short, long = "table", value_name = "TABLE")]
    tables: Vec<String>,
}

impl Tables {
    /// Whether the command line names tables.
    pub fn are_named(&self) -> bool {
        !self.tables.is_empty()
    }

    /// As if the command line named one table.
    pub fn named(name: &str) -> Self {
        Self {
            tables: vec![name.to_owned()],
        }
    }

    /// The tables named on the command line, or all; a name that no table has is refused with those there are.
    pub fn choose(&self, config: &Config) -> Result<Vec<Table>, Error> {
        if self.tables.is_empty() {
            return Ok(config.tables.clone());
        }
        let mut chosen: Vec<Table> = Vec::new();
        for name in &self.tables {
            let wanted = name.parse().map_err(config_error)?;
            let table = config
                .tables
                .iter()
                .find(|table| table.source == wanted || table.lake == wanted)
                .ok_or_else(|| {
                    let known: Vec<_> = config
                        .tables
                        .iter()
                        .map(|table| table.source.to_string())
                        .collect();
                    config_error(format!(
                        "--table {name}: no such table in the configuration, which lists {}",
                        known.join(", ")
                    ))
                })?;
            if !chosen.contains(table) {
                chosen.push(table.clone());
            }
        }
        Ok(chosen)
    }
}
