//! Which rows of a chunk are the latest version of their key, and which keys a whole read did not meet.

use super::Chunk;
use crate::lake::error::{LakeError, Result};
use crate::lake::keys::lookup::Lookup;
use crate::lake::read::datafile::{OpenFile, Wanted};
use crate::lake::read::deletes::Positions;
use crate::lake::read::entries::StoredFile;
use crate::lake::write::TableWriter;
use crate::lake::write::options::{Op, Reread, WriteMode};
use crate::schema::Role;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef};
use futures::TryStreamExt;
use std::collections::HashMap;
use twox_hash::XxHash3_64;

/// The latest version of a key that the table has.
#[derive(Debug, Clone, Copy, Default)]
struct Latest {
    seq: i64,
    same: bool,
}

/// The latest version of a key that a whole read did not meet.
struct Vanished {
    seq: i64,
    /// Position in the files of the base.
    file: usize,
    row: u64,
    deleted: bool,
}

impl TableWriter {
    /// Whether each row of the chunk is the same as the version of its key before it.
    pub(super) async fn known_versions(&mut self, chunk: &Chunk) -> Result<Vec<bool>> {
        let Some((shape, encoder)) = self.lookup_parts() else {
            return Ok(vec![false; chunk.rows()]);
        };
        let held = |keys: usize| (0..keys).map(|number| chunk.keys.key(number));
        if self.tracked && held(chunk.keys.len()).any(|key| self.current.keys.contains(key)) {
            // A version in the file being written cannot be compared, one in a complete file can.
            self.roll().await?;
            self.settle_closing().await?;
        }
        let (store, base) = (self.table.store.clone(), self.base.files().await?);
        let mut lookup = Lookup::new(&store, shape, &encoder, &chunk.keys)?;
        let first: Vec<usize> = (0..chunk.keys.len()).map(|at| chunk.first(at)).collect();
        let mut latest = vec![Latest::default(); chunk.keys.len()];
        let mut note = |row: super::Match| {
            let latest = &mut latest[row.number];
            if row.seq >= latest.seq {
                latest.seq = row.seq;
                latest.same = !row.deleted && row.hash == chunk.hashes[first[row.number]];
            }
        };
        let notes_vanished = self.notes_vanished();
        let mut search = lookup.search(&base.data)?;
        let mut queue = Vec::new();
        while let Some((data, hits)) = self.next_found(&mut search, &mut queue, &base).await? {
            let mut found = super::by_position(hits);
            let gone = self.index.of(&store, &base, &data).await?;
            found.retain(|&(row, _)| !gone.contains(row));
            self.read_found(&data.file, &found, &mut note).await?;
            if let Some(compare) = self.compare.as_mut().filter(|_| notes_vanished) {
                let seen = compare.seen.entry(data.file.file_path().to_owned());
                seen.or_default().extend(found.iter().map(|&(row, _)| row));
            }
        }
        self.stats.add(search.stats);
        drop(search);
        if self.tracked {
            for own in &self.own {
                let found = Self::found(&mut lookup, &own.file).await?;
                self.read_found(&own.file, &found, &mut note).await?;
            }
        }
        self.stats.add(lookup.stats);
        let mut known = vec![false; chunk.rows()];
        for (latest, &first) in latest.iter().zip(&first) {
            known[first] = latest.same;
        }
        for (&row, &before) in &chunk.repeats {
            known[row as usize] = chunk.hashes[row as usize] == chunk.hashes[before as usize];
        }
        for (known, asked) in known.iter_mut().zip(&chunk.asked) {
            *known &= asked;
            self.counts.unchanged += u64::from(*known);
        }
        Ok(known)
    }

    fn notes_vanished(&self) -> bool {
        self.options.mode == WriteMode::Append
            && self.options.reread == (Reread::Everything { vanished: true })
            && self.compares_keys()
    }

    /// At the end of a whole read: writes a version `D`, with the values of the last one, for each key that was not
    /// met and is not deleted yet.
    ///
    /// All versions of a key that was met are seen, so the others belong to keys that were not. They are read in as
    /// many passes as keep the keys of one pass within memory; a key is in the pass that its hash says.
    pub(in crate::lake) async fn write_vanished(&mut self) -> Result<()> {
        if !self.notes_vanished() {
            return Ok(());
        }
        let Some(compare) = &mut self.compare else {
            return Ok(());
        };
        let mut seen = std::mem::take(&mut compare.seen);
        let (store, base) = (self.table.store.clone(), self.base.files().await?);
        let mut unseen: Vec<Positions> = Vec::with_capacity(base.data.len());
        for data in &base.data {
            let mut rest = Positions::new();
            rest.insert_range(0..data.file.record_count());
            rest -= seen.remove(data.file.file_path()).unwrap_or_default();
            rest -= self.index.of(&store, &base, data).await?;
            unseen.push(rest);
        }
        let rows: u64 = unseen.iter().map(Positions::len).sum();
        let most = (self.options.key_rows_max as u64 / 4).max(1);
        let passes = rows.div_ceil(most);
        for pass in 0..passes {
            let latest = self.latest_of(&unseen, (pass, passes)).await?;
            let mut by_file = vec![Positions::new(); base.data.len()];
            for version in latest.into_values().filter(|version| !version.deleted) {
                by_file[version.file].insert(version.row);
            }
            for (data, rows) in base.data.iter().zip(by_file) {
                if !rows.is_empty() {
                    self.write_deleted(&data.file, &rows).await?;
                }
            }
        }
        Ok(())
    }

    /// The latest version of each key of a pass among some rows of the base's files.
    async fn latest_of(
        &self,
        unseen: &[Positions],
        (pass, passes): (u64, u64),
    ) -> Result<HashMap<Vec<u8>, Vanished>> {
        let (shape, base) = (&self.table.shape, self.base.files().await?);
        let mut latest: HashMap<Vec<u8>, Vanished> = HashMap::new();
        let (Some((_, encoder)), Some(seq), Some(op)) = (
            self.lookup_parts(),
            shape.position_of(Role::Seq),
            shape.position_of(Role::Op),
        ) else {
            return Ok(latest);
        };
        let mut fields = shape.key_fields();
        let keys = fields.len();
        fields.extend([seq, op]);
        for (file, (data, wanted)) in base.data.iter().zip(unseen).enumerate() {
            if wanted.is_empty() {
                continue;
            }
            let store = &self.table.store;
            let open = OpenFile::open(store, shape.clone(), &data.file, true).await?;
            let mut rows = open.read(&fields, &Wanted::Only(wanted))?;
            while let Some((batch, positions)) = rows.try_next().await? {
                let (key, own) = batch.columns().split_at(keys);
                let seqs = own[0].as_primitive_opt::<Int64Type>();
                let ops = own[1].as_string_opt::<i32>();
                let (Some(seqs), Some(ops)) = (seqs, ops) else {
                    return Err(self.not_a_history());
                };
                for (at, key) in encoder.encode(key)?.iter().enumerate() {
                    if XxHash3_64::oneshot(key.data()) % passes != pass {
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

    fn not_a_history(&self) -> LakeError {
        LakeError::UnsupportedTable {
            table: self.table.name.clone(),
            reason: "its columns _seq and _op have other types than those of a history".to_owned(),
        }
    }

    async fn write_deleted(&mut self, file: &StoredFile, rows: &Positions) -> Result<()> {
        let (store, shape) = (self.table.store.clone(), self.table.shape.clone());
        let fields = shape.source_fields();
        let open = OpenFile::open(&store, shape, file, true).await?;
        let mut rows = open.read(&fields, &Wanted::Only(rows))?;
        let read_as = self.options.op;
        self.options.op = Op::Delete;
        while let Some((batch, _)) = rows.try_next().await? {
            let columns: Vec<ArrayRef> = batch.columns().to_vec();
            self.counts.deleted += columns.first().map_or(0, |column| column.len() as u64);
            let batch = self.as_given(batch)?;
            self.write_rows(batch).await?;
        }
        self.options.op = read_as;
        Ok(())
    }
}
