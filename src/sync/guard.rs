//! A panic in the work on a table fails that table and no other.

use crate::error::{Disposition, Error, Kind, Result};
use crate::secret::panic_text;
use futures::FutureExt;
use std::panic::AssertUnwindSafe;
use tokio::task::JoinError;

/// The result of the work; an error when it panicked. What the work has borrowed may be half changed then: drop
/// connections, and read tables again.
pub(super) async fn caught<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => {
            let message = format!(
                "the work on this table ended in a panic ({}). This is an error in icesync: report it with the log. \
                 The next run begins from what is committed",
                panic_text(panic.as_ref())
            );
            Err(Error::new(Kind::Lake, Disposition::Ambiguous, message))
        }
    }
}

/// Why a task ended without a result.
pub(super) fn ended(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => format!("it panicked ({})", panic_text(panic.as_ref())),
        Err(error) => error.to_string(),
    }
}
