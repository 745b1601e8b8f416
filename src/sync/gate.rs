//! A server that is away, as all workers of a run see it.

use crate::error::{Disposition, Error};
use std::sync::OnceLock;
use tokio::sync::{Mutex, MutexGuard};

/// Lets one worker at a time try to connect, and remembers that a server was given up.
#[derive(Debug, Default)]
pub(super) struct Gate {
    turn: Mutex<()>,
    lost: OnceLock<(Disposition, String)>,
}

impl Gate {
    /// Waits until nobody else tries.
    pub async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Nobody is to try again.
    pub fn give_up(&self, error: &Error) {
        let _ = self.lost.set((error.disposition(), error.report()));
    }

    /// Why the server was given up.
    pub fn lost(&self) -> Option<(Disposition, String)> {
        self.lost.get().cloned()
    }
}
