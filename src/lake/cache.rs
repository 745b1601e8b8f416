//! What was read of files that never change, kept for the rest of the process.
//!
//! Manifests and Parquet footers are immutable: a path stands for its content for ever. A run that loads what it
//! has just extracted, and a daemon that does so every few seconds, would otherwise read the same ones again. The
//! memory is bounded; what was used least recently goes first.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Memory of all that is kept, as far as it is known.
const BYTES_MAX: usize = 48 << 20;
/// What is larger than this is not kept: it would push out everything else.
const ENTRY_BYTES_MAX: usize = BYTES_MAX / 4;

/// Parsed files of one warehouse by their URI.
#[derive(Debug, Default)]
pub(in crate::lake) struct Cache {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: HashMap<(TypeId, String), Entry>,
    bytes: usize,
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    value: Arc<dyn Any + Send + Sync>,
    bytes: usize,
    used: u64,
}

impl Cache {
    pub(in crate::lake) fn get<T: Any + Send + Sync>(&self, uri: &str) -> Option<Arc<T>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clock += 1;
        let now = kept.clock;
        let entry = kept.entries.get_mut(&(TypeId::of::<T>(), uri.to_owned()))?;
        entry.used = now;
        entry.value.clone().downcast().ok()
    }

    /// Keeps a value of about so many bytes.
    pub(in crate::lake) fn put<T: Any + Send + Sync>(
        &self,
        uri: &str,
        value: Arc<T>,
        bytes: usize,
    ) {
        if bytes > ENTRY_BYTES_MAX {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clock += 1;
        let entry = Entry {
            value,
            bytes,
            used: kept.clock,
        };
        kept.bytes += bytes;
        let before = kept
            .entries
            .insert((TypeId::of::<T>(), uri.to_owned()), entry);
        kept.bytes -= before.map_or(0, |before| before.bytes);
        if kept.bytes > BYTES_MAX {
            kept.shrink();
        }
    }
}

impl Kept {
    /// Removes what was used least recently until an eighth is free, so that this does not run at every insertion.
    fn shrink(&mut self) {
        let mut by_use: Vec<(u64, (TypeId, String))> = self
            .entries
            .iter()
            .map(|(key, entry)| (entry.used, key.clone()))
            .collect();
        by_use.sort_unstable_by_key(|(used, _)| *used);
        for (_, key) in by_use {
            if self.bytes <= BYTES_MAX / 8 * 7 {
                return;
            }
            self.bytes -= self.entries.remove(&key).map_or(0, |entry| entry.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_the_last_used_stays() {
        let cache = Cache::default();
        let size = ENTRY_BYTES_MAX / 4;
        for number in 0..100_u32 {
            cache.put(&number.to_string(), Arc::new(number), size);
            assert_eq!(cache.get::<u32>("0").as_deref(), Some(&0));
        }
        assert_eq!(cache.get::<u32>("99").as_deref(), Some(&99));
        assert_eq!(cache.get::<u32>("50"), None);
        assert_eq!(
            cache.get::<u64>("99"),
            None,
            "another type is another entry"
        );
        assert!(cache.kept.lock().unwrap().bytes <= BYTES_MAX);
        cache.put("large", Arc::new(1_u32), ENTRY_BYTES_MAX + 1);
        assert_eq!(cache.get::<u32>("large"), None);
    }
}
