//! Which rows of a chunk are the latest version of their key, where the latest versions of deleted keys are, and which
//! keys a whole read did not meet.

use crate::lake::error::{LakeError, Result};
use crate::lake::keys::encode::{KeyEncoder, KeySet};
use crate::lake::keys::lookup::Lookup;
use crate::lake::read::datafile::{OpenFile, Wanted};
use crate::lake::read::deletes::{DeleteIndex, Positions, PositionsByPath};
use crate::lake::read::entries::Described;
use crate::lake::read::manifests::LiveFile;
use crate::lake::write::compare::chunk::{Chunk, Equality};
use crate::lake::write::compare::found::{Match, find, read_found};
use crate::lake::write::context::Context;
use crate::lake::write::live::LiveRows;
use crate::lake::write::options::Op;
use crate::lake::write::output::Output;
use crate::schema::Role;
use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use futures::TryStreamExt;
use iceberg::spec::DataFile;
use std::collections::HashMap;
use std::sync::Arc;
use twox_hash::XxHash3_64;

/// Where the table has the latest version of a key.
#[derive(Debug, Clone, Copy)]
struct Latest {
    seq: i64,
    /// Of the files that were looked at.
    file: usize,
    row: u64,
}

/// The latest versions of keys. A key may have any number of versions, so all that is read of the others is which is
/// the latest.
struct Versions {
    /// By number of the key.
    latest: Vec<Option<Latest>>,
    /// Files that were looked at.
    files: usize,
}

/// The latest version of a key that a whole read did not meet.
struct Vanished {
    seq: i64,
    /// Position in the files of the base.
    file: usize,
    row: u64,
    deleted: bool,
}

impl Versions {
    fn of(keys: usize) -> Self {
        Self {
            latest: vec![None; keys],
            files: 0,
        }
    }

    /// Looks at the rows that a file has of the keys: positions ascending, each with the number of its key.
    async fn look_at(
        &mut self,
        context: &Context,
        file: &impl Described,
        found: &[(u64, u32)],
    ) -> Result<()> {
        let at = self.files;
        self.files += 1;
        if found.is_empty() {
            return Ok(());
        }
        let shape = context.shape();
        let seq = shape.position_of(Role::Seq);
        let fields = [seq.ok_or_else(|| not_a_history(context))?];
        let rows: Positions = found.iter().map(|&(row, _)| row).collect();
        let open = OpenFile::open(context.store(), shape.clone(), file, true).await?;
        let mut read = open.read(&fields, &Wanted::Only(&rows))?;
        let mut numbers = found.iter().copied().peekable();
        while let Some((batch, positions)) = read.try_next().await? {
            let seqs = batch.column(0).as_primitive_opt::<Int64Type>();
            let seqs = seqs.ok_or_else(|| not_a_history(context))?;
            for (&row, &seq) in positions.iter().zip(seqs.values()) {
                while numbers.next_if(|&(found, _)| found < row).is_some() {}
                let Some((_, number)) = numbers.next_if(|&(found, _)| found == row) else {
                    continue;
                };
                let latest = &mut self.latest[number as usize];
                if latest.is_none_or(|known| seq >= known.seq) {
                    *latest = Some(Latest { seq, file: at, row });
                }
            }
        }
        Ok(())
    }

    /// The rows of the latest versions in each file that was looked at, as [`Versions::look_at`] takes them.
    fn by_file(self) -> Vec<Vec<(u64, u32)>> {
        let mut rows = vec![Vec::new(); self.files];
        for (number, latest) in (0..).zip(self.latest) {
            if let Some(latest) = latest {
                rows[latest.file].push((latest.row, number));
            }
        }
        rows.iter_mut().for_each(|rows| rows.sort_unstable());
        rows
    }
}

/// Whether each row of the chunk is the same as the version of its key before it.
pub(super) async fn known_versions(
    context: &Context,
    equality: &Equality,
    chunk: &Chunk,
    seen: &mut PositionsByPath,
    output: &mut Output,
) -> Result<Vec<bool>> {
    let mut known = vec![false; chunk.rows()];
    let Some(encoder) = &equality.encoder else {
        return Ok(known);
    };
    let (versions, looked_at) = look(context, encoder, &chunk.keys, seen, output).await?;
    let Output {
        files, replaced, ..
    } = output;
    let mut note = |Match { number, row }: Match| {
        let first = chunk.first(number);
        known[first] = row.deleted == chunk.deleted[first] && row.hash == chunk.hashes[first];
    };
    let latest = versions.by_file();
    let (in_base, in_own) = latest.split_at(looked_at.len());
    for (data, rows) in looked_at.iter().zip(in_base) {
        read_found(context, equality, &data.file, rows, &mut note).await?;
    }
    for (own, rows) in files.complete().iter().zip(in_own) {
        read_found(context, equality, &own.file, rows, &mut note).await?;
    }
    for (&row, &before) in &chunk.repeats {
        known[row as usize] = chunk.hashes[row as usize] == chunk.hashes[before as usize];
    }
    for (known, asked) in known.iter_mut().zip(&chunk.asked) {
        *known &= asked;
        replaced.counts.unchanged += u64::from(*known);
    }
    Ok(known)
}

/// The versions that the table and this write have of some keys, and the files of the base that have any. What they are
/// is `seen`, where that matters.
async fn look(
    context: &Context,
    encoder: &KeyEncoder,
    keys: &KeySet,
    seen: &mut PositionsByPath,
    output: &mut Output,
) -> Result<(Versions, Vec<Arc<LiveFile>>)> {
    let mut held = (0..keys.len()).map(|number| keys.key(number));
    if context.tracked && held.any(|key| output.files.holds(key)) {
        // A version in the file being written cannot be compared, one in a complete file can.
        output.complete(context).await?;
    }
    let Output {
        files, replaced, ..
    } = output;
    let base = context.base.files().await?;
    let shape = context.shape().clone();
    let mut lookup = Lookup::new(context.store(), shape, encoder, keys)?;
    let mut versions = Versions::of(keys.len());
    let mut looked_at = Vec::new();
    let mut live = LiveRows::of(&lookup, context.store(), &base)?;
    while let Some(found) = live.next(&mut replaced.index).await? {
        let file = &found.data.file;
        versions.look_at(context, file, &found.rows).await?;
        if context.notes_vanished() {
            let seen = seen.entry(file.file_path().to_owned()).or_default();
            seen.extend(found.rows.iter().map(|&(row, _)| row));
        }
        looked_at.push(found.data);
    }
    replaced.stats.add(live.stats());
    drop(live);
    if context.tracked {
        for own in files.complete() {
            let found = find(&mut lookup, &own.file).await?;
            versions.look_at(context, &own.file, &found).await?;
        }
    }
    replaced.stats.add(lookup.stats);
    Ok((versions, looked_at))
}

/// Where the latest versions of some keys are, of those that are not deleted.
#[derive(Default)]
pub(in crate::lake) struct LatestLive {
    pub(in crate::lake) in_base: Vec<(Arc<LiveFile>, Positions)>,
    pub(in crate::lake) in_own: Vec<(DataFile, Positions)>,
}

/// Finds the latest versions of a sealed set of keys.
pub(in crate::lake) async fn latest_live(
    context: &Context,
    keys: &KeySet,
    output: &mut Output,
) -> Result<LatestLive> {
    let mut latest = LatestLive::default();
    let Some(encoder) = &context.encoder else {
        return Ok(latest);
    };
    let mut seen = PositionsByPath::new();
    let (versions, looked_at) = look(context, encoder, keys, &mut seen, output).await?;
    let found = versions.by_file();
    let (in_base, in_own) = found.split_at(looked_at.len());
    for (data, rows) in looked_at.into_iter().zip(in_base) {
        let rows = not_deleted(context, &data.file, rows).await?;
        latest.in_base.push((data, rows));
    }
    for (own, rows) in output.files.complete().iter().zip(in_own) {
        let rows = not_deleted(context, &own.file, rows).await?;
        latest.in_own.push((own.file.clone(), rows));
    }
    latest.in_base.retain(|(_, rows)| !rows.is_empty());
    latest.in_own.retain(|(_, rows)| !rows.is_empty());
    Ok(latest)
}

/// The rows of a file that do not say that their key is deleted.
async fn not_deleted(
    context: &Context,
    file: &impl Described,
    found: &[(u64, u32)],
) -> Result<Positions> {
    let mut live = Positions::new();
    if found.is_empty() {
        return Ok(live);
    }
    let shape = context.shape();
    let op = shape.position_of(Role::Op);
    let fields = [op.ok_or_else(|| not_a_history(context))?];
    let rows: Positions = found.iter().map(|&(row, _)| row).collect();
    let open = OpenFile::open(context.store(), shape.clone(), file, true).await?;
    let mut read = open.read(&fields, &Wanted::Only(&rows))?;
    while let Some((batch, positions)) = read.try_next().await? {
        let ops = batch.column(0).as_string_opt::<i32>();
        let ops = ops.ok_or_else(|| not_a_history(context))?;
        let is_live = |at: usize| ops.is_null(at) || ops.value(at) != Op::Delete.code();
        let positions = positions.iter().enumerate();
        live.extend(
            positions
                .filter(|(at, _)| is_live(*at))
                .map(|(_, &row)| row),
        );
    }
    Ok(live)
}

/// The rows of the base whose keys a whole read did not meet.
///
/// All versions of a key that was met are seen, so the others belong to keys that were not. They are read in as many
/// passes as keep the keys of one pass within memory; a key is in the pass that its hash says.
pub(in crate::lake) struct Unseen {
    /// By file of the base.
    rows: Vec<Positions>,
    passes: u64,
}

impl Unseen {
    /// All rows of the base that are live and not `seen`.
    pub(in crate::lake) async fn new(
        context: &Context,
        mut seen: PositionsByPath,
        index: &mut DeleteIndex,
    ) -> Result<Self> {
        let base = context.base.files().await?;
        let mut unseen: Vec<Positions> = Vec::with_capacity(base.data.len());
        for data in &base.data {
            let mut rest = Positions::new();
            rest.insert_range(0..data.file.record_count());
            rest -= seen.remove(data.file.file_path()).unwrap_or_default();
            rest -= index.of(context.store(), &base, data).await?;
            unseen.push(rest);
        }
        let rows: u64 = unseen.iter().map(Positions::len).sum();
        let most = (context.options.key_rows_max as u64 / 4).max(1);
        Ok(Self {
            rows: unseen,
            passes: rows.div_ceil(most),
        })
    }

    pub(in crate::lake) fn passes(&self) -> u64 {
        self.passes
    }

    /// The latest versions of the keys of a pass that are not deleted, by file.
    pub(in crate::lake) async fn latest(
        &self,
        context: &Context,
        pass: u64,
    ) -> Result<Vec<(Arc<LiveFile>, Positions)>> {
        let base = context.base.files().await?;
        let mut by_file = vec![Positions::new(); base.data.len()];
        let latest = self.latest_versions(context, pass).await?;
        for version in latest.into_values().filter(|version| !version.deleted) {
            by_file[version.file].insert(version.row);
        }
        let by_file = base.data.iter().cloned().zip(by_file);
        Ok(by_file.filter(|(_, rows)| !rows.is_empty()).collect())
    }

    /// The latest version of each key of a pass.
    async fn latest_versions(
        &self,
        context: &Context,
        pass: u64,
    ) -> Result<HashMap<Vec<u8>, Vanished>> {
        let (shape, base) = (context.shape(), context.base.files().await?);
        let mut latest: HashMap<Vec<u8>, Vanished> = HashMap::new();
        let (Some(encoder), Some(seq), Some(op)) = (
            &context.encoder,
            shape.position_of(Role::Seq),
            shape.position_of(Role::Op),
        ) else {
            return Ok(latest);
        };
        let mut fields = shape.key_fields();
        let keys = fields.len();
        fields.extend([seq, op]);
        for (file, (data, wanted)) in base.data.iter().zip(&self.rows).enumerate() {
            if wanted.is_empty() {
                continue;
            }
            let store = context.store();
            let open = OpenFile::open(store, shape.clone(), &data.file, true).await?;
            let mut rows = open.read(&fields, &Wanted::Only(wanted))?;
            while let Some((batch, positions)) = rows.try_next().await? {
                let (key, own) = batch.columns().split_at(keys);
                let seqs = own[0].as_primitive_opt::<Int64Type>();
                let ops = own[1].as_string_opt::<i32>();
                let (Some(seqs), Some(ops)) = (seqs, ops) else {
                    return Err(not_a_history(context));
                };
                for (at, key) in encoder.encode(key)?.iter().enumerate() {
                    if XxHash3_64::oneshot(key.data()) % self.passes != pass {
                        continue;
                    }
                    let version = Vanished {
                        seq: seqs.value(at),
                        file,
                        row: positions[at],
                        deleted: ops.is_valid(at) && ops.value(at) == Op::Delete.code(),
                    };
                    match latest.get_mut(key.data()) {
                        Some(known) if known.seq > version.seq => {}
                        Some(known) => *known = version,
                        None => {
                            latest.insert(key.data().to_vec(), version);
                        }
                    }
                }
            }
        }
        Ok(latest)
    }
}

fn not_a_history(context: &Context) -> LakeError {
    LakeError::UnsupportedTable {
        table: context.table.name.clone(),
        reason: "its columns _seq and _op have other types than those of a history".to_owned(),
    }
}
