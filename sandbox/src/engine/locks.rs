//! The lock manager: who holds what, who waits for whom, and who must give way.
//!
//! Rows that a transaction wrote are locked by their uncommitted version itself; only locks without a write
//! (UPDLOCK, REPEATABLE READ), table locks, names and application locks are kept here. A session waits for at most
//! one thing, so that the wait-for graph has one node per session; a request that closes a cycle makes the youngest
//! transaction of the cycle the victim.

use crate::engine::schema::ObjectRef;
use std::collections::{HashMap, HashSet};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Resource {
    Table(ObjectRef),
    Row(ObjectRef, u64),
    /// An object's name while DDL on it is uncommitted: database slot, schema id, folded name.
    Name(usize, i32, String),
    /// An application lock: database slot, principal, resource.
    Application(usize, String, String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    SchemaStable,
    SchemaModify,
    IntentShared,
    IntentExclusive,
    Shared,
    Update,
    Exclusive,
    BulkUpdate,
}

impl Mode {
    /// Whether two sessions may hold these at once.
    pub fn admits(self, other: Mode) -> bool {
        use Mode::*;
        match (self, other) {
            (SchemaModify, _) | (_, SchemaModify) => false,
            (SchemaStable, _) | (_, SchemaStable) => true,
            (BulkUpdate, BulkUpdate) => true,
            (BulkUpdate, _) | (_, BulkUpdate) => false,
            (Exclusive, _) | (_, Exclusive) => false,
            (IntentShared, _) | (_, IntentShared) => true,
            (IntentExclusive, IntentExclusive) => true,
            (IntentExclusive, _) | (_, IntentExclusive) => false,
            (Shared, Shared) => true,
            (Shared, Update) | (Update, Shared) => true,
            (Update, Update) => false,
        }
    }
}

/// How long a lock is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner {
    Statement,
    Transaction,
    Session,
}

#[derive(Debug, Clone)]
pub struct Grant {
    pub session: u32,
    pub owner: Owner,
    pub mode: Mode,
    pub count: u32,
}

/// A request that cannot be granted now.
#[derive(Debug, Clone)]
pub struct Blocked {
    pub resource: Resource,
    pub mode: Mode,
    /// Sessions in the way.
    pub blockers: Vec<u32>,
}

#[derive(Debug)]
pub struct Waiting {
    pub blocked: Blocked,
    pub order: u64,
}

#[derive(Debug, Default)]
pub struct Locks {
    granted: HashMap<Resource, Vec<Grant>>,
    held: HashMap<u32, HashSet<Resource>>,
    pub waiting: HashMap<u32, Waiting>,
    /// Sessions chosen to die; each clears itself.
    pub victims: HashSet<u32>,
    next_order: u64,
    pub row_locks: usize,
}

impl Locks {
    /// Sessions whose locks, or whose earlier requests, stand in the way.
    pub fn conflicts(&self, resource: &Resource, mode: Mode, session: u32) -> Vec<u32> {
        let grants = self.granted.get(resource).map_or(&[][..], Vec::as_slice);
        let mut blockers: Vec<u32> = grants
            .iter()
            .filter(|grant| grant.session != session && !grant.mode.admits(mode))
            .map(|grant| grant.session)
            .collect();
        let holds_already = grants.iter().any(|grant| grant.session == session);
        if !holds_already && !matches!(resource, Resource::Row(..)) {
            let mine = self
                .waiting
                .get(&session)
                .map_or(u64::MAX, |waiting| waiting.order);
            let earlier = self.waiting.iter().filter(|(other, waiting)| {
                **other != session
                    && waiting.order < mine
                    && waiting.blocked.resource == *resource
                    && !waiting.blocked.mode.admits(mode)
            });
            blockers.extend(earlier.map(|(other, _)| *other));
        }
        blockers.sort_unstable();
        blockers.dedup();
        blockers
    }

    pub fn acquire(
        &mut self,
        resource: Resource,
        mode: Mode,
        session: u32,
        owner: Owner,
    ) -> Result<(), Blocked> {
        if let Some(grants) = self.granted.get_mut(&resource)
            && let Some(grant) = grants.iter_mut().find(|grant| {
                grant.session == session && grant.mode == mode && grant.owner == owner
            })
        {
            grant.count += 1;
            return Ok(());
        }
        let blockers = self.conflicts(&resource, mode, session);
        if !blockers.is_empty() {
            return Err(Blocked {
                resource,
                mode,
                blockers,
            });
        }
        if matches!(resource, Resource::Row(..)) {
            self.row_locks += 1;
        }
        self.held
            .entry(session)
            .or_default()
            .insert(resource.clone());
        self.granted.entry(resource).or_default().push(Grant {
            session,
            owner,
            mode,
            count: 1,
        });
        Ok(())
    }

    /// Everything that is held.
    pub fn grants(&self) -> impl Iterator<Item = (&Resource, &Vec<Grant>)> {
        self.granted.iter()
    }

    /// The session's grants on a resource.
    pub fn held(&self, resource: &Resource, session: u32) -> Vec<Grant> {
        self.granted
            .get(resource)
            .map(|grants| {
                grants
                    .iter()
                    .filter(|grant| grant.session == session)
                    .cloned()
                    .collect()
            })
            .unwrap_or_default()
    }

    /// Gives back one of an owner's locks; false when there was none.
    pub fn release_one(&mut self, resource: &Resource, session: u32, owner: Owner) -> bool {
        let Some(grants) = self.granted.get_mut(resource) else {
            return false;
        };
        let Some(at) = grants
            .iter()
            .rposition(|grant| grant.session == session && grant.owner == owner)
        else {
            return false;
        };
        grants[at].count -= 1;
        if grants[at].count == 0 {
            grants.remove(at);
        }
        self.tidy(resource, session);
        true
    }

    fn tidy(&mut self, resource: &Resource, session: u32) {
        let Some(grants) = self.granted.get(resource) else {
            return;
        };
        let mine = grants.iter().any(|grant| grant.session == session);
        let empty = grants.is_empty();
        if !mine && let Some(held) = self.held.get_mut(&session) {
            held.remove(resource);
        }
        if empty {
            self.granted.remove(resource);
        }
    }

    /// Gives back everything an owner of the session holds.
    pub fn release(&mut self, session: u32, owner: Owner) {
        let Some(held) = self.held.get_mut(&session) else {
            return;
        };
        let mut kept = HashSet::new();
        for resource in std::mem::take(held) {
            let Some(grants) = self.granted.get_mut(&resource) else {
                continue;
            };
            let before = grants.len();
            grants.retain(|grant| grant.session != session || grant.owner != owner);
            if matches!(resource, Resource::Row(..)) {
                self.row_locks -= before - grants.len();
            }
            let mine = grants.iter().any(|grant| grant.session == session);
            if grants.is_empty() {
                self.granted.remove(&resource);
            }
            if mine {
                kept.insert(resource);
            }
        }
        if kept.is_empty() {
            self.held.remove(&session);
        } else {
            self.held.insert(session, kept);
        }
    }

    /// Notes that the session waits. Keeps its place in the queue when it waited for the same thing already.
    pub fn wait(&mut self, session: u32, blocked: Blocked) {
        let order = match self.waiting.get(&session) {
            Some(before) if before.blocked.resource == blocked.resource => before.order,
            Some(_) | None => {
                self.next_order += 1;
                self.next_order
            }
        };
        self.waiting.insert(session, Waiting { blocked, order });
    }

    pub fn stop_waiting(&mut self, session: u32) {
        self.waiting.remove(&session);
    }

    /// The sessions of a cycle through `session`, when there is one.
    pub fn cycle(&self, session: u32) -> Option<Vec<u32>> {
        let mut path = vec![session];
        let mut seen = HashSet::new();
        self.reaches(session, session, &mut path, &mut seen)
            .then_some(path)
    }

    fn reaches(&self, from: u32, goal: u32, path: &mut Vec<u32>, seen: &mut HashSet<u32>) -> bool {
        let Some(waiting) = self.waiting.get(&from) else {
            return false;
        };
        for next in &waiting.blocked.blockers {
            if *next == goal {
                return true;
            }
            if self.victims.contains(next) || !seen.insert(*next) {
                continue;
            }
            path.push(*next);
            if self.reaches(*next, goal, path, seen) {
                return true;
            }
            path.pop();
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(id: i32) -> Resource {
        Resource::Table(ObjectRef { database: 0, id })
    }

    #[test]
    fn a_fence_waits_for_writers_and_then_holds_them_off() {
        let mut locks = Locks::default();
        locks
            .acquire(table(1), Mode::IntentExclusive, 1, Owner::Transaction)
            .unwrap();
        let blocked = locks
            .acquire(table(1), Mode::Shared, 2, Owner::Transaction)
            .unwrap_err();
        assert_eq!(blocked.blockers, [1]);
        locks.wait(2, blocked);
        // A later writer queues behind the fence.
        assert_eq!(
            locks
                .acquire(table(1), Mode::IntentExclusive, 3, Owner::Transaction)
                .unwrap_err()
                .blockers,
            [2]
        );
        locks.release(1, Owner::Transaction);
        locks
            .acquire(table(1), Mode::Shared, 2, Owner::Transaction)
            .unwrap();
        locks.stop_waiting(2);
        assert!(
            locks
                .acquire(table(1), Mode::IntentExclusive, 3, Owner::Transaction)
                .is_err()
        );
    }

    #[test]
    fn a_cycle_is_found_through_three() {
        let mut locks = Locks::default();
        for session in 1..=3 {
            locks
                .acquire(
                    table(session as i32),
                    Mode::Exclusive,
                    session,
                    Owner::Transaction,
                )
                .unwrap();
        }
        for (session, wanted) in [(1, 2), (2, 3)] {
            let blocked = locks
                .acquire(table(wanted), Mode::Exclusive, session, Owner::Transaction)
                .unwrap_err();
            locks.wait(session, blocked);
            assert!(locks.cycle(session).is_none());
        }
        let blocked = locks
            .acquire(table(1), Mode::Exclusive, 3, Owner::Transaction)
            .unwrap_err();
        locks.wait(3, blocked);
        let mut cycle = locks.cycle(3).unwrap();
        cycle.sort_unstable();
        assert_eq!(cycle, [1, 2, 3]);
    }
}
