//! Whether the source is still the one that was read: the same database, and the same storage of the table.
//!
//! A window shows what was inserted and updated since the last one. Three things change a table's rows otherwise:
//!
//! - **A restore**, or a failover that lost data. What was read of the time that is lost is not there, and new rows may
//!   get the row versions, times and numbers of lost ones. Both begin a new recovery fork, whose id stands in
//!   `sys.database_recovery_status`. Where it cannot be seen, as in Azure SQL Database, the database's counter of row
//!   versions tells under `rowversion`, and a bound that lies ahead of the server's tells under the other strategies.
//! - **A partition that is switched in.** Its rows keep the versions, times and numbers that they got in the table
//!   where they were before. A switch exchanges the storage of the partition in all indexes at once.
//! - **TRUNCATE TABLE**, where it leaves new storage. Empty storage brings nothing. What is inserted then is found by
//!   windows, but the whole read that follows removes what was truncated from a mirror.
//!
//! Each leads to a whole read. An index that is rebuilt gets new storage as well, but only that index: storage counts
//! as exchanged where no index of the partition has what it had. After a rebuild of all indexes at once a switch cannot
//! be told from it, and the table is read whole unless the configuration accepts that (`accept: [partition_switch]`).
//!
//! Of a table whose changes are tracked, storage says less: SQL Server refuses to switch its partitions, and the log of
//! its changes begins anew after a TRUNCATE (`change_tracking` says where storage is looked at nevertheless).

use super::discover::Discovered;
use crate::change::{Origin, TrackedSince};
use crate::mssql::surroundings::Partition;
use std::collections::BTreeSet;
use twox_hash::XxHash3_64;

/// Digits of a partition in [`Origin::partitions`].
const DIGITS: usize = 8;
/// At most this many partitions are named.
const NAMED_MAX: usize = 5;

/// Said of a database that is not the one that was read.
pub(super) const RESTORED: &str = "the database was restored, or failed over with a loss of data: its recovery fork is \
    not that of the last run";

/// What happened to a source since it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Moved {
    /// The database is not what it was, for this reason.
    Restored(&'static str),
    /// The storage of partitions was exchanged.
    Exchanged(String),
}

/// The source as it is now. `counter`: the last row version of the database.
pub(super) fn origin(
    source: &Discovered,
    counter: Option<String>,
    tracking: Option<TrackedSince>,
) -> Origin {
    let partitions = &source.surroundings.partitions;
    let is_stored = !source.facts.is_memory_optimized && !partitions.is_empty();
    Origin {
        fork: source.facts.environment.fork.clone(),
        counter,
        partitions: is_stored.then(|| digits(partitions)),
        tracking,
    }
}

/// What happened since `known`; none where nothing did, or where that cannot be told. The counter is compared with the
/// bound of a window, by the strategy that uses it.
pub(super) fn moved(source: &Discovered, known: Option<&Origin>) -> Option<Moved> {
    if is_restored(source, known) {
        return Some(Moved::Restored(RESTORED));
    }
    let known = known?;
    let storage = known.partitions.as_ref()?;
    let exchanged = exchanged(&source.surroundings.partitions, storage);
    if exchanged.is_empty() || source.facts.is_memory_optimized {
        return None;
    }
    let mut named: Vec<String> = exchanged
        .iter()
        .take(NAMED_MAX)
        .map(i64::to_string)
        .collect();
    if exchanged.len() > NAMED_MAX {
        named.push(format!("{} more", exchanged.len() - NAMED_MAX));
    }
    Some(Moved::Exchanged(named.join(", ")))
}

/// Whether the database is not the one that was read, as far as that can be seen.
pub(super) fn is_restored(source: &Discovered, known: Option<&Origin>) -> bool {
    let now = source.facts.environment.fork.as_ref();
    let then = known.and_then(|known| known.fork.as_ref());
    now.zip(then).is_some_and(|(now, then)| now != then)
}

/// Whether no partition, with rows or without, has the storage that it had in any index.
pub(super) fn is_stored_elsewhere(source: &Discovered, known: Option<&Origin>) -> bool {
    let known = known.and_then(|known| known.partitions.as_ref());
    let partitions = &source.surroundings.partitions;
    known.is_some_and(|known| {
        let mut partitions = partitions.iter();
        !partitions.any(|partition| is_known(partition, known))
    })
}

/// Whether the database's counter went back since `known`.
pub(super) fn went_back(counter: &str, known: Option<&Origin>) -> bool {
    let known = known.and_then(|known| known.counter.as_ref());
    known.is_some_and(|known| known.to_ascii_uppercase() > counter.to_ascii_uppercase())
}

/// The storage of all partitions, in an order of its own.
fn digits(partitions: &[Partition]) -> String {
    let digits: BTreeSet<String> = partitions.iter().map(digits_of).collect();
    digits.into_iter().collect()
}

fn digits_of(partition: &Partition) -> String {
    let hash = XxHash3_64::oneshot(partition.storage.as_bytes());
    format!("{:08x}", hash >> 32)
}

/// Numbers of the partitions that have rows and, in no index, the storage that was known.
fn exchanged(partitions: &[Partition], known: &str) -> Vec<i64> {
    let filled = partitions.iter().filter(|partition| partition.rows > 0);
    let numbers: BTreeSet<i64> = filled.map(|partition| partition.number).collect();
    let all_new = |number: &i64| {
        let mut own = partitions.iter().filter(|own| own.number == *number);
        !own.any(|own| is_known(own, known))
    };
    numbers.into_iter().filter(all_new).collect()
}

fn is_known(partition: &Partition, known: &str) -> bool {
    let digits = digits_of(partition);
    let mut known = known.as_bytes().chunks(DIGITS);
    known.any(|known| known == digits.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::SqlType;
    use crate::source::discover::tests::{column, table};

    fn partition(number: i64, storage: &str, rows: i64) -> Partition {
        Partition {
            number,
            storage: storage.into(),
            rows,
        }
    }

    #[test]
    fn storage_is_exchanged_where_no_index_has_what_it_had() {
        let before = [
            partition(1, "heap 1", 10),
            partition(1, "index 1", 10),
            partition(2, "heap 2", 0),
            partition(2, "index 2", 0),
        ];
        let known = digits(&before);
        assert_eq!(known.len(), 4 * DIGITS);
        assert!(exchanged(&before, &known).is_empty());
        let rebuilt = [partition(1, "heap 1", 10), partition(1, "rebuilt", 10)];
        assert!(exchanged(&rebuilt, &known).is_empty());
        let switched = [partition(1, "heap 1", 10), partition(2, "heap 9", 5)];
        assert_eq!(exchanged(&switched, &known), [2]);
        let truncated = [partition(1, "heap 7", 0), partition(1, "index 7", 0)];
        assert!(exchanged(&truncated, &known).is_empty());
    }

    #[test]
    fn what_cannot_be_seen_is_not_compared() {
        let mut source = table(vec![column(1, "id", SqlType::Int, false)], vec![]);
        source.surroundings.partitions = vec![partition(1, "a", 1)];
        let known = origin(&source, Some("0x0A".into()), None);
        assert_eq!(moved(&source, None), None);
        assert_eq!(moved(&source, Some(&known)), None);
        assert_eq!(moved(&source, Some(&Origin::default())), None);
        source.surroundings.partitions = vec![partition(1, "b", 1)];
        assert_eq!(
            moved(&source, Some(&known)),
            Some(Moved::Exchanged("1".into()))
        );
        let mut environment = (*source.facts.environment).clone();
        environment.fork = None;
        source.facts.environment = environment.clone().into();
        source.facts.is_memory_optimized = true;
        assert_eq!(moved(&source, Some(&known)), None);
        environment.fork = Some("another".into());
        source.facts.environment = environment.into();
        assert!(matches!(
            moved(&source, Some(&known)),
            Some(Moved::Restored(_))
        ));
    }

    #[test]
    fn a_counter_that_went_back_is_noticed() {
        let known = Origin {
            counter: Some("0x00000000000007d9".into()),
            ..Origin::default()
        };
        assert!(went_back("0x00000000000007D8", Some(&known)));
        assert!(!went_back("0x00000000000007D9", Some(&known)));
        assert!(!went_back("0x00", None) && !went_back("0x00", Some(&Origin::default())));
    }
}
