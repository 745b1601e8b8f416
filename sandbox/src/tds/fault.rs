//! Faults that tests set on a running server: refused logins, lost connections, lost replies, delays, garbage.
//!
//! Nothing outside the process can set one. Each fault fires a stated number of times; [`Faults::fired`] tells a
//! test that it did, so that no test passes because its fault never came.

use crate::session::SqlError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What to do to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The connection is lost before the request runs: it has no effect.
    DropBefore,
    /// The connection is lost after the request ran, before its reply: the write succeeded and nobody heard.
    DropAfter,
    /// The request waits before it runs.
    Delay(Duration),
    /// The request runs not at all and is answered by bytes that are no TDS, then the connection is lost.
    Garbage,
    /// The request runs not at all and is answered by this error. One of severity 20 or more ends the connection.
    Error(SqlError),
    /// The request runs, and is answered by this error as if it had not.
    ErrorAfter(SqlError),
    /// The request runs, its reply never comes, and the connection is lost after this time.
    Silence(Duration),
}

#[derive(Debug)]
struct Armed {
    fault: Fault,
    /// In the request's text, ignoring ASCII case.
    matching: String,
    /// Matching requests to let pass first.
    skip: u32,
    times: u32,
}

#[derive(Debug, Default)]
struct State {
    armed: Vec<Armed>,
    login: Option<(SqlError, u32)>,
    redirect: Option<(String, u16, u32)>,
    packets_left: Option<u64>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Whether anything is set at all, so that requests without faults take no lock.
    any: AtomicBool,
    fired: AtomicU64,
    state: Mutex<State>,
}

/// A handle on a server's faults; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Shared>);

impl Faults {
    /// The next `times` requests whose text holds `matching` (ignoring case) meet `fault`.
    ///
    /// The text of a batch is its SQL, of an RPC its SQL or procedure name; a transaction manager request is
    /// `BEGIN TRANSACTION`, `COMMIT TRANSACTION`, `ROLLBACK TRANSACTION` or `SAVE TRANSACTION`, the rows of a bulk
    /// load are `BULK DATA`.
    pub fn arm(&self, fault: Fault, matching: &str, times: u32) {
        self.arm_after(0, fault, matching, times);
    }

    /// As [`Self::arm`], after letting `skip` matching requests pass.
    pub fn arm_after(&self, skip: u32, fault: Fault, matching: &str, times: u32) {
        let mut state = self.lock();
        state.armed.push(Armed {
            fault,
            matching: matching.to_ascii_lowercase(),
            skip,
            times,
        });
        self.0.any.store(true, Ordering::Release);
    }

    /// The next `times` logins fail with `error`.
    pub fn refuse_logins(&self, error: SqlError, times: u32) {
        self.lock().login = Some((error, times));
        self.0.any.store(true, Ordering::Release);
    }

    /// The next `times` logins are sent on to another server, as a gateway of Azure SQL or a listener with read-only
    /// routing does.
    pub fn redirect_logins(&self, host: &str, port: u16, times: u32) {
        self.lock().redirect = Some((host.to_owned(), port, times));
        self.0.any.store(true, Ordering::Release);
    }

    /// The connection that would send the packet after `packets` more (counted over all connections, replies only)
    /// is lost instead.
    pub fn drop_after_packets(&self, packets: u64) {
        self.lock().packets_left = Some(packets);
        self.0.any.store(true, Ordering::Release);
    }

    /// Forgets every fault that has not fired.
    pub fn clear(&self) {
        *self.lock() = State::default();
        self.0.any.store(false, Ordering::Release);
    }

    /// How many faults have fired since the server started.
    pub fn fired(&self) -> u64 {
        self.0.fired.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the list whole: every change to it is one assignment.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fire(&self) {
        self.0.fired.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn on_login(&self) -> Option<SqlError> {
        if !self.0.any.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.lock();
        let (error, times) = state.login.as_mut()?;
        if *times == 0 {
            return None;
        }
        *times -= 1;
        self.fire();
        Some(error.clone())
    }

    pub(super) fn on_redirect(&self) -> Option<(String, u16)> {
        if !self.0.any.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.lock();
        let (host, port, times) = state.redirect.as_mut()?;
        if *times == 0 {
            return None;
        }
        *times -= 1;
        self.fire();
        Some((host.clone(), *port))
    }

    pub(super) fn on_request(&self, text: &str) -> Option<Fault> {
        if !self.0.any.load(Ordering::Acquire) {
            return None;
        }
        let text = text.to_ascii_lowercase();
        let mut state = self.lock();
        for armed in &mut state.armed {
            if armed.times == 0 || !text.contains(&armed.matching) {
                continue;
            }
            if armed.skip > 0 {
                armed.skip -= 1;
                continue;
            }
            armed.times -= 1;
            self.fire();
            return Some(armed.fault.clone());
        }
        None
    }

    /// How many of the next `count` packets may be sent; fewer means that the connection is lost after them.
    pub(super) fn packets_allowed(&self, count: usize) -> usize {
        if !self.0.any.load(Ordering::Acquire) {
            return count;
        }
        let mut state = self.lock();
        let Some(left) = state.packets_left else {
            return count;
        };
        if left >= count as u64 {
            state.packets_left = Some(left - count as u64);
            return count;
        }
        state.packets_left = None;
        self.fire();
        left as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_fires_as_often_as_it_was_armed_and_only_where_it_matches() {
        let faults = Faults::default();
        assert_eq!(faults.on_request("select 1"), None);
        faults.arm_after(1, Fault::DropAfter, "COMMIT", 1);
        assert_eq!(faults.on_request("select 1"), None);
        assert_eq!(faults.on_request("commit"), None);
        assert_eq!(faults.on_request("Commit"), Some(Fault::DropAfter));
        assert_eq!(faults.on_request("commit"), None);
        assert_eq!(faults.fired(), 1);
    }

    #[test]
    fn packets_are_counted_down_and_then_cut_once() {
        let faults = Faults::default();
        faults.drop_after_packets(5);
        assert_eq!(faults.packets_allowed(3), 3);
        assert_eq!(faults.packets_allowed(4), 2);
        assert_eq!(faults.packets_allowed(4), 4);
        assert_eq!(faults.fired(), 1);
    }
}
