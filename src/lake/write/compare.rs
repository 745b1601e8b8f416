//! Rows that the table has already are not written.
//!
//! Rows are read again in three cases: a window starts before the last one ended, a whole table is read although the
//! lake has it, or another strategy follows the table. Such rows are collected into a chunk, the chunk's keys are
//! looked up in one pass, and each row is compared with what the table has:
//!
//! | table | a row is dropped when | file |
//! |---|---|---|
//! | mirror with a key | the live row with its key is the same in every column from the source | `mirror` |
//! | history with a key | the latest version of its key is the same | `history` |
//! | either without a key | the table has as many equal rows as the source | `keyless` |
//!
//! **A whole read** also says what is not there any more. The positions of all rows that were met again are kept
//! (compressed bitmaps); at the end the others are deleted from a mirror, or get a version `D` in a history with a key.
//!
//! **Memory.** A chunk holds at most `key_rows_max` keys, each with a 128-bit hash of its row, and at most
//! [`CHUNK_BYTES`] of rows with their encoded keys. Rows in the order of their keys touch few row groups, so such a
//! chunk is looked up when its rows are too many bytes. For rows in another order each pass may read the whole table,
//! so passes must be few: their rows go to a file that only this write knows, and come back from it after the lookup.
//!
//! **Equality** is that of the hash (XXH3, seeded anew by each write): two rows that differ are taken for equal with a
//! probability of 2^-128.

pub(in crate::lake) mod chunk;
pub(in crate::lake) mod found;
mod highest;
pub(in crate::lake) mod history;
mod keyless;
pub(in crate::lake) mod mirror;

use crate::lake::error::Result;
use crate::lake::read::deletes::PositionsByPath;
use crate::lake::read::manifests::Files;
use crate::lake::write::compare::chunk::{Chunk, Equality};
use crate::lake::write::compare::highest::Highest;
use crate::lake::write::context::{Context, KEY_BYTES_MAX};
use crate::lake::write::options::{Reread, WriteMode, WriteOptions};
use crate::lake::write::output::Output;
use arrow_array::{BooleanArray, RecordBatch};

/// Rows of a chunk that are held in memory.
const CHUNK_BYTES: usize = 16 << 20;

/// The stage that says which rows the table has: what comparing takes, the rows that wait for it, and those met.
pub(in crate::lake) struct Compare {
    equality: Equality,
    highest: Option<Highest>,
    chunk: Chunk,
    /// Rows of the base that were met again, as far as the rest matters.
    seen: PositionsByPath,
}

impl Compare {
    /// None where no row needs to be compared.
    pub(in crate::lake) fn new(context: &Context, base: &Files) -> Result<Option<Self>> {
        let (shape, options) = (context.shape(), &context.options);
        if base.data.is_empty()
            || options.mode == WriteMode::ReplaceAll
            || options.reread == Reread::Nothing
        {
            return Ok(None);
        }
        let source = shape.source_fields();
        let column_of = |field: usize| source.iter().position(|&other| other == field);
        let highest = match options.reread {
            Reread::UpTo(field) => column_of(field)
                .map(|column| Highest::of(shape, base, field, column))
                .transpose()?,
            Reread::Nothing | Reread::Marked | Reread::Everything { .. } => None,
        };
        Ok(Some(Self {
            equality: Equality::new(context)?,
            highest,
            chunk: Chunk::default(),
            seen: PositionsByPath::new(),
        }))
    }

    /// Takes rows. They are answered when they need not wait: the table has none of them, and nothing else waits.
    pub(in crate::lake) fn add(
        &mut self,
        context: &Context,
        batch: RecordBatch,
        mask: Option<&BooleanArray>,
    ) -> Result<Option<RecordBatch>> {
        let asked = self.asked(&context.options, &batch, mask)?;
        if self.chunk.rows() == 0 && !asked.contains(&true) {
            return Ok(Some(batch));
        }
        self.chunk.add(context, &self.equality, batch, &asked)?;
        Ok(None)
    }

    /// Which rows of a batch the table may have.
    fn asked(
        &self,
        options: &WriteOptions,
        batch: &RecordBatch,
        mask: Option<&BooleanArray>,
    ) -> Result<Vec<bool>> {
        let rows = batch.num_rows();
        match options.reread {
            Reread::Nothing => Ok(vec![false; rows]),
            Reread::Everything { .. } => Ok(vec![true; rows]),
            Reread::Marked => Ok(match mask {
                Some(mask) => mask.iter().map(|marked| marked == Some(true)).collect(),
                None => vec![false; rows],
            }),
            Reread::UpTo(_) => match &self.highest {
                Some(highest) => highest.not_above(batch),
                None => Ok(vec![true; rows]),
            },
        }
    }

    /// Whether the rows that wait have to be taken.
    pub(in crate::lake) fn is_full(&self, options: &WriteOptions) -> bool {
        let chunk = &self.chunk;
        let in_order = self.equality.encoder.is_some() && chunk.keys.is_ascending();
        chunk.rows() >= options.key_rows_max.max(1)
            || chunk.keys.bytes() >= KEY_BYTES_MAX
            || (in_order && chunk.bytes() >= CHUNK_BYTES)
    }

    /// Moves the rows that wait to a file, when they are too many bytes.
    pub(in crate::lake) async fn make_room(&mut self, context: &Context) -> Result<()> {
        match self.chunk.bytes() >= CHUNK_BYTES {
            true => self.chunk.spool(context).await,
            false => Ok(()),
        }
    }

    /// The rows that wait, if there are any.
    pub(in crate::lake) async fn take(&mut self, context: &Context) -> Result<Option<Chunk>> {
        if self.chunk.rows() == 0 {
            return Ok(None);
        }
        if self.chunk.is_spooled() {
            // The file's rows come before those that are in memory.
            self.chunk.spool(context).await?;
        }
        let mut chunk = std::mem::take(&mut self.chunk);
        chunk.keys.seal();
        Ok(Some(chunk))
    }

    /// For each row of a chunk whether the table has it, with what `output` has written so far. Rows that a whole read
    /// finds changed are replaced in `output`.
    pub(in crate::lake) async fn judge(
        &mut self,
        context: &Context,
        chunk: &Chunk,
        output: &mut Output,
    ) -> Result<Vec<bool>> {
        let (by, seen) = (&self.equality, &mut self.seen);
        match context.options.mode {
            WriteMode::Append | WriteMode::Refresh if !context.compares_keys() => {
                keyless::known_copies(context, by, chunk, seen, &mut output.replaced).await
            }
            WriteMode::Append => history::known_versions(context, by, chunk, seen, output).await,
            WriteMode::Refresh => mirror::known_rows(context, by, chunk, seen, output).await,
            WriteMode::Upsert | WriteMode::ReplaceAll => {
                mirror::marked_rows(context, by, chunk, output).await
            }
        }
    }

    /// Rows of the base that were met again.
    pub(in crate::lake) fn take_seen(&mut self) -> PositionsByPath {
        std::mem::take(&mut self.seen)
    }

    /// The rows that wait, when the write is abandoned: their file has to be removed.
    pub(in crate::lake) fn into_chunk(self) -> Chunk {
        self.chunk
    }
}
