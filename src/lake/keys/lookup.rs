//! Finding the rows of given keys in data files, reading as little as possible.
//!
//! Three sieves, each cheaper than what follows: the bounds in the manifest (no file is opened), the statistics and
//! bloom filters of row groups (the footer is read), and then the key columns of the row groups that are left,
//! where ascending rows are [searched](crate::lake::keys::search) instead of compared one by one. What is never
//! done is to trust a sieve for a match: every match compares whole keys.
//!
//! **Bounds and folding.** Bounds are about values as stored; a key that folds stands for several of those. So the
//! interval of stored values is first widened to one of folded values
//! ([`folded_bounds`](crate::lake::keys::encode::folded_bounds)): ordered digits stay a narrow interval, letters
//! widen it where capitals and small letters sort apart.

use crate::lake::error::{LakeError, Result};
use crate::lake::keys::bounds::{KeyColumn, Statistics, bytes_of, ranges};
use crate::lake::keys::encode::{KeyEncoder, KeySet, folds};
use crate::lake::keys::search::Sieve;
use crate::lake::read::datafile::{OpenFile, Wanted, merged};
use crate::lake::read::entries::Described;
use crate::lake::read::manifests::LiveFile;
use crate::lake::schema::Shape;
use crate::lake::store::Store;
use arrow_row::{RowConverter, SortField};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt, future};
use parquet::bloom_filter::Sbbf;
use serde::{Deserialize, Serialize};
use std::num::NonZero;
use std::ops::Range;
use std::sync::Arc;
use std::thread::available_parallelism;

/// What looking up keys has cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LookupStats {
    /// Files that could have held a key before anything was known about them.
    pub files: u64,
    /// Files of which at least one row group was read.
    pub files_probed: u64,
    /// Row groups of the files that were opened.
    pub row_groups: u64,
    /// Row groups whose key columns were read.
    pub row_groups_probed: u64,
    /// Rows of those row groups.
    pub rows_probed: u64,
}

impl LookupStats {
    /// Counts what another lookup has cost, too.
    pub fn add(&mut self, other: LookupStats) {
        self.files += other.files;
        self.files_probed += other.files_probed;
        self.row_groups += other.row_groups;
        self.row_groups_probed += other.row_groups_probed;
        self.rows_probed += other.rows_probed;
    }
}

/// With more candidate keys than this for a row group its bloom filters are not asked: one of them will be there.
const BLOOM_KEYS_MAX: usize = 4096;
/// Row groups are decoded on all cores at once, as long as their key columns are no more bytes than this before
/// compression.
const DECODE_BYTES: u64 = 32 << 20;
/// A row group with no more bytes is decoded without a thread of its own.
const DECODE_BYTES_HERE: u64 = 256 << 10;
/// Threads of one lookup at most: they come from the runtime's pool for blocking work (512 threads), of which their
/// reads of files need some as well, with up to 64 tables at once.
const THREADS_MAX: usize = 4;
/// A file of no more bytes is read as soon as it is open, beside others.
const SMALL_BYTES: u64 = 1 << 20;
/// A search answers with no more files at a time, and ends with the one that brings it to so many rows.
const FILES_FOUND: usize = 64;
const ROWS_FOUND: usize = 64 << 10;
/// Files opened at once.
const FILES_AT_ONCE: usize = 8;
/// Files whose bounds are compared at once.
const FILES_A_CHUNK: usize = 8192;
/// Keys decoded at a time.
const DECODE_KEYS: usize = 16 * 1024;

/// Looks one sealed key set up in files.
pub(in crate::lake) struct Lookup<'a> {
    store: &'a Store,
    shape: Arc<Shape>,
    encoder: &'a KeyEncoder,
    keys: &'a KeySet,
    columns: Vec<KeyColumn>,
    sieve: Arc<Sieve>,
    pub(in crate::lake) stats: LookupStats,
}

/// An open file and its row groups that can hold a key.
struct Opened {
    file: OpenFile,
    groups: Vec<usize>,
}

/// How far a file is.
enum Stage {
    Opened(Opened),
    Read(Hits),
}

/// The number of each key that a file holds and the position of its row, and what finding them has cost.
#[derive(Default)]
struct Hits {
    rows: Vec<(u32, u64)>,
    stats: LookupStats,
}

/// A lookup in many files.
pub(in crate::lake) struct Search<'l> {
    lookup: &'l Lookup<'l>,
    opened: BoxStream<'l, Result<(Arc<LiveFile>, Stage)>>,
    pub(in crate::lake) stats: LookupStats,
}

/// A file with the number of each key that it holds and the position of its row.
pub(in crate::lake) type Found = (Arc<LiveFile>, Vec<(u32, u64)>);

impl Search<'_> {
    /// The next files that hold a row of a key, live or deleted; a few at a time, none at the end.
    pub(in crate::lake) async fn next(&mut self) -> Result<Vec<Found>> {
        let (mut found, mut rows) = (Vec::new(), 0);
        while found.len() < FILES_FOUND
            && rows < ROWS_FOUND
            && let Some((live, stage)) = self.opened.try_next().await?
        {
            let hits = match stage {
                Stage::Read(hits) => hits,
                Stage::Opened(opened) => {
                    let mut hits = Hits::default();
                    self.lookup.read(&opened, &mut hits).await?;
                    hits
                }
            };
            self.stats.add(hits.stats);
            if !hits.rows.is_empty() {
                rows += hits.rows.len();
                found.push((live, hits.rows));
            }
        }
        Ok(found)
    }
}

impl<'a> Lookup<'a> {
    pub(in crate::lake) fn new(
        store: &'a Store,
        shape: Arc<Shape>,
        encoder: &'a KeyEncoder,
        keys: &'a KeySet,
    ) -> Result<Self> {
        let mut columns = Vec::new();
        for (key, ty) in shape.schema.key.iter().zip(encoder.types()) {
            let field = &shape.schema.fields[key.field];
            let rows = RowConverter::new(vec![SortField::new(ty.clone())]);
            let fold = folds(field.ty, key.fold).then_some(key.fold);
            columns.push(KeyColumn::new(
                key.field,
                fold,
                rows.map_err(LakeError::arrow("keys"))?,
            ));
        }
        let mut sieve = Sieve::new();
        for start in (0..keys.len()).step_by(DECODE_KEYS) {
            let end = (start + DECODE_KEYS).min(keys.len());
            let decoded = encoder.decode((start..end).map(|number| keys.key(number)))?;
            for (column, values) in columns.iter_mut().zip(&decoded) {
                column.include(values)?;
            }
            sieve.include(&decoded[0]);
        }
        sieve.seal();
        Ok(Self {
            store,
            shape,
            encoder,
            keys,
            columns,
            sieve: Arc::new(sieve),
            stats: LookupStats::default(),
        })
    }

    /// The rows of the keys in those files that can hold one. Files are opened side by side; their rows are read
    /// one file after the other.
    pub(in crate::lake) fn search<'l>(&'l self, files: &[Arc<LiveFile>]) -> Result<Search<'l>> {
        let mut candidates = Vec::new();
        for some in files.chunks(FILES_A_CHUNK) {
            let may_match = self.may_match(some.iter().map(|live| &live.file))?;
            let kept = some
                .iter()
                .zip(may_match)
                .filter(|(_, may_match)| *may_match);
            candidates.extend(kept.map(|(live, _)| live.clone()));
        }
        let lookup: &'l Self = self;
        let open = move |live: Arc<LiveFile>| async move {
            let opened = lookup.open(&live.file).await?;
            if live.file.file_size_in_bytes() > SMALL_BYTES {
                return Ok((live, Stage::Opened(opened)));
            }
            let mut hits = Hits::default();
            lookup.read(&opened, &mut hits).await?;
            Ok((live, Stage::Read(hits)))
        };
        Ok(Search {
            lookup,
            opened: stream::iter(candidates)
                .map(open)
                .buffered(FILES_AT_ONCE)
                .boxed(),
            stats: LookupStats {
                files: files.len() as u64,
                ..LookupStats::default()
            },
        })
    }

    /// Calls `found` with the number of each key of the set and the position of each of its rows in the file, in no
    /// particular order.
    pub(in crate::lake) async fn probe(
        &mut self,
        file: &impl Described,
        mut found: impl FnMut(usize, u64),
    ) -> Result<()> {
        self.stats.files += 1;
        if self.may_match(std::iter::once(file))? != [true] {
            return Ok(());
        }
        let opened = self.open(file).await?;
        let mut hits = Hits::default();
        self.read(&opened, &mut hits).await?;
        self.stats.add(hits.stats);
        for (number, row) in hits.rows {
            found(number as usize, row);
        }
        Ok(())
    }

    /// The first sieve, for many files at once: bounds in the manifest.
    fn may_match<'f, F: Described + 'f>(
        &self,
        files: impl Iterator<Item = &'f F>,
    ) -> Result<Vec<bool>> {
        let files: Vec<&F> = files.collect();
        if self.keys.is_empty() {
            return Ok(vec![false; files.len()]);
        }
        let known = |column: &KeyColumn| Statistics::of_files(&files, &self.shape, column.field);
        let known: Vec<Option<Statistics>> = self.columns.iter().map(known).collect();
        let ranges = ranges(&self.columns, self.keys, &known, files.len())?;
        Ok(ranges.iter().map(Option::is_some).collect())
    }

    /// The second sieve: statistics, then bloom filters, of each row group.
    async fn open(&self, file: &impl Described) -> Result<Opened> {
        let file = OpenFile::open(self.store, self.shape.clone(), file, false).await?;
        let known = |column: &KeyColumn| Statistics::of_row_groups(&file, &self.shape, column);
        let known: Vec<Option<Statistics>> = self.columns.iter().map(known).collect();
        let count = file.footer().num_row_groups();
        let mut groups = Vec::new();
        for (group, candidates) in ranges(&self.columns, self.keys, &known, count)?
            .into_iter()
            .enumerate()
        {
            if let Some(candidates) = candidates
                && self.blooms_may_match(&file, group, candidates).await?
            {
                groups.push(group);
            }
        }
        Ok(Opened { file, groups })
    }

    /// The last sieve: the key columns of the row groups that are left.
    async fn read(&self, opened: &Opened, hits: &mut Hits) -> Result<()> {
        let stats = &mut hits.stats;
        let Opened { file: open, groups } = opened;
        stats.row_groups += open.footer().num_row_groups() as u64;
        if groups.is_empty() {
            return Ok(());
        }
        stats.files_probed += 1;
        stats.row_groups_probed += groups.len() as u64;
        let rows_of = |&group: &usize| open.footer().row_group(group).num_rows().max(0) as u64;
        stats.rows_probed += groups.iter().map(rows_of).sum::<u64>();
        let fields = self.shape.key_fields();
        let largest = groups.iter().map(|&group| open.bytes(&fields, group)).max();
        let threads = DECODE_BYTES / largest.unwrap_or_default().max(1);
        let cores = available_parallelism().map_or(1, NonZero::get);
        let most = cores.min(THREADS_MAX).min(groups.len());
        let threads = (threads as usize).clamp(1, most);
        let share = |thread| {
            let groups = groups.iter().copied().skip(thread).step_by(threads);
            let rows = open.read(&fields, &Wanted::Groups(groups.collect()))?;
            let sieve = self.sieve.clone();
            let sieved = rows.map(move |rows| rows.and_then(|(batch, at)| sieve.rows(batch, at)));
            let some = sieved.try_filter(|(_, at)| future::ready(!at.is_empty()));
            Ok(some.boxed())
        };
        let mut shares = (0..threads).map(share).collect::<Result<Vec<_>>>()?;
        // Few rows are decoded sooner than a thread is there.
        let few = largest.is_none_or(|bytes| bytes <= DECODE_BYTES_HERE);
        let mut rows = match shares.pop() {
            Some(only) if few && shares.is_empty() => only,
            last => merged(shares.into_iter().chain(last).collect()),
        };
        while let Some((columns, positions)) = rows.try_next().await? {
            let encoded = self.encoder.encode(&columns)?;
            for (row, &position) in encoded.iter().zip(&positions) {
                if let Some(number) = self.keys.find(row.as_ref()) {
                    hits.rows.push((number as u32, position));
                }
            }
        }
        Ok(())
    }

    async fn blooms_may_match(
        &self,
        open: &OpenFile,
        group: usize,
        candidates: Range<usize>,
    ) -> Result<bool> {
        if candidates.len() > BLOOM_KEYS_MAX {
            return Ok(true);
        }
        let failed = || LakeError::parquet("read", open.uri());
        let mut filters: Vec<(usize, Sbbf)> = Vec::new();
        for (at, column) in self.columns.iter().enumerate() {
            if let Some((leaf, _)) = open.column(column.field)
                && column.fold.is_none()
                && open
                    .footer()
                    .row_group(group)
                    .column(leaf)
                    .bloom_filter_offset()
                    .is_some()
                && let Some(filter) = open
                    .builder()
                    .get_row_group_column_bloom_filter(group, leaf)
                    .await
                    .map_err(failed())?
            {
                filters.push((at, filter));
            }
        }
        if filters.is_empty() {
            return Ok(true);
        }
        let count = candidates.len();
        let keys = candidates.map(|rank| self.keys.key(self.keys.ranked(rank)));
        let columns = self.encoder.decode(keys)?;
        let maybe = |row: usize| {
            filters
                .iter()
                .all(|(at, filter)| bytes_of(&columns[*at], row).is_none_or(|b| filter.check(b)))
        };
        Ok((0..count).any(maybe))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{KeyFold, LakeField, LakeKeyField, LakeSchema, LakeType, Role};
    use arrow_array::{ArrayRef, StringArray};
    use proptest::prelude::*;

    /// A shape with one text key.
    fn shape(fold: KeyFold) -> Arc<Shape> {
        let schema = LakeSchema {
            fields: vec![LakeField {
                name: "k".into(),
                ty: LakeType::String,
                required: true,
                source: Some(0),
                role: Role::Value,
            }],
            key: vec![LakeKeyField { field: 0, fold }],
        };
        Arc::new(Shape {
            arrow: crate::schema::mapping::arrow_schema(&schema),
            schema,
            ids: vec![1],
            unfilled: vec![false],
            names: None,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        /// No sieve may drop a file that holds a spelling of a key.
        #[test]
        fn bounds_never_hide_a_spelling(
            stored in proptest::collection::vec("[aAbZz_01é \\t]{0,4}", 1..4),
            key in "[aAbZz_01é\\t ]{0,4}",
            others in proptest::collection::vec("[aAbZz_01é\\t ]{0,4}", 0..3),
            trim in any::<bool>(),
            ascii_case in any::<bool>(),
        ) {
            let shape = shape(KeyFold { trim, ascii_case, zeros: false });
            let encoder = KeyEncoder::new(&shape).unwrap();
            let mut keys = KeySet::default();
            let all: Vec<&str> = others.iter().map(String::as_str).chain([key.as_str()]).collect();
            let column: ArrayRef = Arc::new(StringArray::from(all));
            for (row, encoded) in (0_u32..).zip(encoder.encode(&[column]).unwrap().iter()) {
                keys.insert(encoded.as_ref(), crate::lake::keys::encode::KeyState::Row(row));
            }
            keys.seal();
            let stored_column: ArrayRef = Arc::new(StringArray::from(stored.clone()));
            let held = encoder.encode(&[stored_column]).unwrap();
            let matches = held.iter().any(|row| keys.find(row.as_ref()).is_some());
            let store = Store::open("/nonexistent").unwrap();
            let lookup = Lookup::new(&store, shape.clone(), &encoder, &keys).unwrap();
            let one = |text: &String| -> ArrayRef { Arc::new(StringArray::from(vec![text.as_str()])) };
            let known = Statistics {
                lower: one(stored.iter().min().unwrap()),
                upper: one(stored.iter().max().unwrap()),
                nulls: vec![Some(0)],
            };
            let kept = ranges(&lookup.columns, &keys, &[Some(known)], 1).unwrap()[0].is_some();
            prop_assert!(kept || !matches, "{stored:?} {key:?}");
        }
    }
}
