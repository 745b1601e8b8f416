//! A panic in the work on a table fails that table and no other.

use crate::error::{Disposition, Error, Kind, Result};
use futures::FutureExt;
use std::any::Any;
use std::panic::AssertUnwindSafe;

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

/// What a panic said.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without a message")
}
