//! `icesync verify`: whether source, lake and target hold the same rows, and which rows and columns differ. Changes
//! nothing on any side.
//!
//! A server is compared with one snapshot of the lake, which does not change. Both sides put their rows into the same
//! buckets and digest them ([`crate::mssql::sql::digest`] argues the digest, and
//! [`canonical`](crate::schema::mapping::canonical) the bytes that are digested). So rows travel only where they
//! differ:
//!
//! 1. The lake's rows are read once. There are about a thousand rows to a bucket.
//! 2. The server answers its buckets, in one statement.
//! 3. Of the buckets that differ, both sides give keys and hashes of rows: the keys that are missing, extra or differ.
//!    No more than [`ROWS_MAX`] rows are looked at in this way, so memory is bounded. Of buckets beyond it, it is only
//!    known that they differ, and the report says so.
//! 4. Of the first keys that differ, both sides give a hash of each column.
//!
//! **Rows that change meanwhile.** The server's statements see one state each, but not the same one, and the source
//! goes on after the snapshot was committed. What differs is therefore looked at again, after a pause, against the same
//! snapshot. What the last look finds is counted. A key of it is *pending*, and no difference, if
//!
//! - its row changed between any two looks; or
//! - its row has a watermark at which a later window begins, or beyond: no window has shown it yet; or
//! - a log of changes has it since the checkpoint. The log is read after the last look. A change that the look has
//!   seen was committed before it, so the log has it by then. A log that was read before the look could lack it, and a
//!   row that is only late would be reported as lost.
//!
//! A log that also has changes after the look makes more keys pending, of which the next extract brings the rows, and
//! the next comparison sees what is left. Nothing else is pending: a row that was deleted under a strategy that does
//! not see deletes is extra, and one that changed under `full` since the last read differs. The checkpoint says
//! nothing of an older snapshot, so for one that is named with `--snapshot` only the looks tell.
//!
//! **Isolation.** SNAPSHOT where it is allowed, else READ COMMITTED. Where that waits for row locks, a scan may meet a
//! row that moves twice, or not at all (`source.rs`). The looks agree on such a row only once it has come to rest.

mod keys;
mod lake;
mod sides;

use super::session::{Links, Side, Sync};
use crate::config::Table;
use crate::error::{Error, Result};
use crate::lake::SnapshotRef;
use crate::mssql::control::Control;
use crate::mssql::digest::{self, Bucket};
use crate::mssql::error::MssqlError;
use crate::mssql::sql::digest::{BUCKETS_MAX, Digested, NextWindow, Reads};
use crate::report::{
    ComparedSide, ComparisonCounts, ComparisonReport, DifferingColumn, KeyFound, KeyKind, Listing,
    SideReport, Verdict,
};
use crate::secret::{RowValue, values_are_shown};
use keys::{Found, ServerRows};
use lake::LakeDigest;
use sides::{Next, Outlook, Sided};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// About so many rows are in a bucket.
const ROWS_A_BUCKET: u64 = 1_000;
/// So many rows of each side are looked at one by one.
const ROWS_MAX: u64 = 250_000;
/// A statement names no more buckets: it has at most 2,100 parameters.
const EXAMINED_MAX: usize = 1_000;
/// Of so many keys the columns that differ are named.
const KEYS_BY_COLUMN: usize = 200;
/// So many keys of each kind are shown.
const KEYS_SHOWN: usize = 20;
const PAUSE: Duration = Duration::from_secs(2);
const LOCK_TIMEOUT_MS: u32 = 60_000;

/// What is compared.
#[derive(Debug, Clone, Copy)]
pub struct Comparison {
    /// None: the latest for the source, and for the target what it has loaded.
    pub snapshot: Option<SnapshotRef>,
    pub source: bool,
    pub target: bool,
    /// So many times what differs is looked at again.
    pub again: u32,
}

impl Sync {
    /// Compares the rows of each table.
    pub async fn verify(
        self,
        tables: Vec<Table>,
        comparison: Comparison,
    ) -> Result<Listing<ComparisonReport>> {
        let wanted = |is_wanted: bool, side: Result<_>| match is_wanted {
            true => side.map(Some),
            false => Ok(None),
        };
        let source: Option<&Side> = wanted(comparison.source, self.source_side())?;
        let target: Option<&Side> = wanted(comparison.target, self.target_side())?;
        let unusable = self.connects([source, target]).await;
        if !unusable.is_empty() {
            return Ok(Listing::failed(unusable, self.connection_warnings()));
        }
        self.each(tables, async |table, links| {
            self.compared(table, comparison, links).await
        })
        .await
    }

    async fn compared(
        &self,
        table: &Table,
        comparison: Comparison,
        links: &mut Links,
    ) -> Result<ComparisonReport> {
        let mut compared = Vec::new();
        if comparison.source {
            let outlook = sides::source(self, table, links, comparison.snapshot).await?;
            let (control, _) = links.source(self.source_side()?).await?;
            compared.push(report(outlook, ComparedSide::Source, control, comparison.again).await?);
        }
        if comparison.target {
            let outlook = sides::target(self, table, links, comparison.snapshot).await?;
            let side = self.target_side()?;
            let control = Links::control(&mut links.target, side, side.kind).await?;
            compared.push(report(outlook, ComparedSide::Target, control, comparison.again).await?);
        }
        Ok(ComparisonReport {
            source: table.source.to_string(),
            lake: table.lake.to_string(),
            target: table.target.to_string(),
            compared,
        })
    }
}

async fn report(
    outlook: Outlook,
    side: ComparedSide,
    control: &mut Control,
    again: u32,
) -> Result<SideReport> {
    match outlook {
        Outlook::Not(why) => Ok(SideReport::not_compared(side, why)),
        Outlook::Comparable(sided) => sided.compare(control, again).await,
    }
}

/// Buckets that differ.
#[derive(Debug, PartialEq, Eq)]
struct Apart {
    differing: u64,
    /// Those of them to look at row by row.
    examined: Vec<u32>,
}

impl Sided {
    fn digested(&self) -> Digested<'_> {
        Digested {
            table: &self.matched.table,
            columns: &self.matched.columns,
            flag: self.flag.as_deref(),
        }
    }

    fn lake_digest(&self) -> LakeDigest<'_> {
        LakeDigest {
            lake: &self.lake,
            snapshot_id: self.snapshot.id,
            canonical: &self.matched.canonical,
            columns: self.matched.columns.len(),
        }
    }

    fn failed(&self, error: MssqlError) -> Error {
        error.on(self.kind)
    }

    async fn compare(self: Box<Self>, control: &mut Control, again: u32) -> Result<SideReport> {
        let smallest = self.lake_digest().buckets().await?;
        let lake_rows = smallest.iter().map(|bucket| bucket.rows).sum();
        let reads = Reads {
            count: self.count,
            lock_timeout_ms: LOCK_TIMEOUT_MS,
            width: width(lake_rows),
        };
        let lake = widened(&smallest, reads.width);
        let server = digest::buckets(control, &self.digested(), reads).await;
        let server = server.map_err(|error| self.failed(error))?;
        let apart = apart(&lake, &server);
        let mut counts = ComparisonCounts {
            rows: server.values().map(|bucket| bucket.rows).sum(),
            lake_rows,
            buckets: lake.len() as u64,
            buckets_differing: apart.differing,
            buckets_examined: apart.examined.len() as u64,
            ..ComparisonCounts::default()
        };
        let mut notes = self.notes.clone();
        if counts.buckets_examined < counts.buckets_differing {
            notes.push(format!(
                "the rows of {} of {} buckets that differ were looked at; keys are counted in those only",
                counts.buckets_examined, counts.buckets_differing
            ));
        }
        let mut found = Vec::new();
        if !apart.examined.is_empty() {
            let all = self
                .examine(control, (reads, &apart.examined), again)
                .await?;
            counts.pending = all.pending;
            found = all.found;
        }
        self.count(&found, &mut counts);
        let by_column = self.by_column(control, reads, &found).await?;
        Ok(SideReport {
            side: self.side,
            verdict: verdict(&counts),
            reason: None,
            snapshot_id: Some(self.snapshot.id),
            sequence_number: Some(self.snapshot.sequence_number),
            counts,
            columns: by_column.columns,
            keys_by_column: by_column.keys,
            columns_not_compared: self.matched.not_compared.clone(),
            keys: self.shown(&found),
            notes,
        })
    }

    /// Looks at the rows of some buckets until nothing differs, or often enough.
    async fn examine(
        &self,
        control: &mut Control,
        (reads, buckets): (Reads, &[u32]),
        again: u32,
    ) -> Result<Settled> {
        let lake = self.lake_digest().rows(reads.width, buckets).await?;
        let fold = |key: &[u8]| self.matched.canonical.folded(key);
        let mut changed = HashSet::new();
        let mut server = self.server_rows(control, reads, buckets).await?;
        let mut found = server.differences(&lake, self.side, fold);
        for _ in 0..again {
            if found.is_empty() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            let now = self.server_rows(control, reads, buckets).await?;
            now.changed_since(&server, &mut changed);
            server = now;
            found = server.differences(&lake, self.side, fold);
        }
        let logged = match self.next {
            Next::Log { since } if !found.is_empty() => {
                let keys = digest::logged(control, &self.digested(), reads, since, buckets).await;
                let keys = keys.map_err(|error| self.failed(error))?;
                keys.iter().map(|key| fold(key)).collect()
            }
            Next::Log { .. } | Next::Window { .. } | Next::Unknown => HashSet::new(),
        };
        let is_pending = |key: &Vec<u8>| {
            changed.contains(key) || server.is_next(key) || logged.contains(&fold(key))
        };
        let all = found.len();
        found.retain(|found| !found.keys().any(is_pending));
        Ok(Settled {
            pending: (all - found.len()) as u64,
            found,
        })
    }

    async fn server_rows(
        &self,
        control: &mut Control,
        reads: Reads,
        buckets: &[u32],
    ) -> Result<ServerRows> {
        let next = match &self.next {
            Next::Window {
                column,
                lower,
                closed,
            } => Some(NextWindow {
                column: *column,
                lower,
                closed: *closed,
            }),
            Next::Log { .. } | Next::Unknown => None,
        };
        let rows = digest::rows(control, &self.digested(), reads, buckets, next.as_ref()).await;
        Ok(ServerRows::new(rows.map_err(|error| self.failed(error))?))
    }

    fn count(&self, found: &[Found], counts: &mut ComparisonCounts) {
        for found in found {
            let count = match found.kind {
                KeyKind::Missing => &mut counts.missing,
                KeyKind::Extra if self.keeps_deleted => &mut counts.kept,
                KeyKind::Extra => &mut counts.extra,
                KeyKind::Differing => &mut counts.differing,
                KeyKind::Respelled => &mut counts.respelled,
                KeyKind::Repeated => &mut counts.repeated,
            };
            *count += 1;
        }
    }

    /// Which columns differ, in the first keys that do.
    async fn by_column(
        &self,
        control: &mut Control,
        reads: Reads,
        found: &[Found],
    ) -> Result<ByColumn> {
        let differing = found
            .iter()
            .filter(|found| found.kind == KeyKind::Differing);
        let keys: Vec<&[u8]> = differing
            .take(KEYS_BY_COLUMN)
            .map(|found| &*found.key)
            .collect();
        if keys.is_empty() {
            return Ok(ByColumn::default());
        }
        let server = digest::columns(control, &self.digested(), reads, &keys).await;
        let server = server.map_err(|error| self.failed(error))?;
        let lake = self.lake_digest().columns(&keys).await?;
        let mut counts = vec![0; self.matched.names.len()];
        for (key, hashes) in &server {
            let others = lake.get(key).map(Vec::as_slice).unwrap_or_default();
            for ((count, hash), other) in counts.iter_mut().zip(hashes).zip(others) {
                *count += u64::from(hash != other);
            }
        }
        let columns = self
            .matched
            .names
            .iter()
            .zip(counts)
            .filter(|(_, keys)| *keys > 0);
        Ok(ByColumn {
            columns: columns
                .map(|(column, keys)| DifferingColumn {
                    column: column.clone(),
                    keys,
                })
                .collect(),
            keys: keys.len() as u64,
        })
    }

    /// The first keys of each kind, where values may be shown.
    fn shown(&self, found: &[Found]) -> Vec<KeyFound> {
        if !values_are_shown() {
            return Vec::new();
        }
        let kinds = [
            KeyKind::Missing,
            KeyKind::Extra,
            KeyKind::Differing,
            KeyKind::Respelled,
            KeyKind::Repeated,
        ];
        let of = |kind: KeyKind| found.iter().filter(move |found| found.kind == kind);
        let first = kinds.into_iter().flat_map(|kind| of(kind).take(KEYS_SHOWN));
        first
            .map(|found| KeyFound {
                kind: found.kind,
                key: RowValue(self.matched.canonical.key_text(&found.key)).to_string(),
            })
            .collect()
    }
}

/// What the last look has found, without what is pending.
struct Settled {
    found: Vec<Found>,
    pending: u64,
}

#[derive(Default)]
struct ByColumn {
    columns: Vec<DifferingColumn>,
    keys: u64,
}

/// How many of the smallest buckets are one, for a table of so many rows.
fn width(rows: u64) -> u32 {
    let buckets = (rows / ROWS_A_BUCKET).clamp(1, u64::from(BUCKETS_MAX));
    let buckets = u32::try_from(buckets.next_power_of_two()).unwrap_or(BUCKETS_MAX);
    BUCKETS_MAX / buckets
}

/// Buckets of `width` of the smallest each.
fn widened(smallest: &[Bucket], width: u32) -> Vec<Bucket> {
    let merged = |part: &[Bucket]| {
        part.iter().fold(Bucket::default(), |mut sum, bucket| {
            sum.merge(bucket);
            sum
        })
    };
    smallest.chunks(width as usize).map(merged).collect()
}

fn apart(lake: &[Bucket], server: &HashMap<u32, Bucket>) -> Apart {
    let mut apart = Apart {
        differing: 0,
        examined: Vec::new(),
    };
    let mut rows_left = ROWS_MAX;
    for (place, lake) in (0..).zip(lake) {
        let server = server.get(&place).copied().unwrap_or_default();
        if *lake == server {
            continue;
        }
        apart.differing += 1;
        let rows = lake.rows.max(server.rows);
        if rows <= rows_left && apart.examined.len() < EXAMINED_MAX {
            rows_left -= rows;
            apart.examined.push(place);
        }
    }
    apart
}

fn verdict(counts: &ComparisonCounts) -> Verdict {
    let keys =
        counts.missing + counts.extra + counts.differing + counts.respelled + counts.repeated;
    match keys > 0 || counts.buckets_examined < counts.buckets_differing {
        true => Verdict::Different,
        false => Verdict::Equal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_has_about_a_thousand_rows() {
        for (rows, buckets) in [
            (0, 1),
            (1_999, 1),
            (2_000, 2),
            (3_000, 4),
            (50_000_000, 65_536),
            (u64::MAX, 65_536),
        ] {
            assert_eq!(BUCKETS_MAX / width(rows), buckets, "{rows}");
        }
        let smallest: Vec<Bucket> = (0..8)
            .map(|rows| Bucket {
                rows,
                sums: [rows; 4],
            })
            .collect();
        let rows: Vec<u64> = widened(&smallest, 4)
            .iter()
            .map(|bucket| bucket.rows)
            .collect();
        assert_eq!(rows, [6, 22]);
    }

    #[test]
    fn no_more_rows_are_looked_at_than_memory_holds() {
        let bucket = |rows: u64| Bucket {
            rows,
            sums: [rows; 4],
        };
        let lake = [
            bucket(10),
            bucket(10),
            bucket(ROWS_MAX),
            bucket(7),
            bucket(0),
        ];
        let server = [
            (0, bucket(10)),
            (1, bucket(11)),
            (3, bucket(7)),
            (4, bucket(1)),
        ];
        let expected = Apart {
            differing: 3,
            examined: vec![1, 4],
        };
        assert_eq!(apart(&lake, &HashMap::from(server)), expected);
        let counts = ComparisonCounts {
            buckets_differing: 3,
            buckets_examined: 2,
            ..ComparisonCounts::default()
        };
        assert_eq!(verdict(&counts), Verdict::Different);
    }
}
