//! `--from` and `--to`: a part of one table that is read again.

use super::output::config_error;
use super::tables::Tables;
use clap::Args;
use icesync::change::Span;
use icesync::config::{Config, Table};
use icesync::error::Error;

// Not a doc comment: clap would show it in place of the help of each command that flattens this.
#[derive(Args)]
pub struct Reread {
    /// Read the rows of one table again from this value of its watermark column on, and commit those that differ. The
    /// checkpoint stays
    #[arg(long, value_name = "VALUE", allow_negative_numbers = true)]
    from: Option<String>,
    /// Read again up to VALUE, which is included; without it, up to the checkpoint
    #[arg(
        long,
        value_name = "VALUE",
        requires = "from",
        allow_negative_numbers = true
    )]
    to: Option<String>,
}

impl Reread {
    /// The tables that are named, or all; only one where a part of it is read again.
    pub fn choose(&self, tables: &Tables, config: &Config) -> Result<Vec<Table>, Error> {
        let mut chosen = tables.choose(config)?;
        let Some(from) = &self.from else {
            return Ok(chosen);
        };
        let [table] = chosen.as_mut_slice() else {
            return Err(alone());
        };
        if !tables.are_named() {
            return Err(alone());
        }
        table.change.span = Some(Span {
            from: from.clone(),
            to: self.to.clone(),
        });
        Ok(chosen)
    }
}

fn alone() -> Error {
    config_error(
        "--from needs exactly one `--table`: its value is one of that table's watermark column. Nothing was read. \
         Name the table, and read several tables again one after the other",
    )
}
