//! Every row, every time. The lake compares the content with what it has, so an unchanged table commits nothing.

use super::window::Bounds;
use crate::change::Checkpoint;

pub(super) fn bounds(checkpoint: Option<&Checkpoint>) -> Bounds {
    Bounds {
        full_read: true,
        previous_upper: checkpoint.and_then(|checkpoint| checkpoint.watermark.clone()),
        ..Bounds::default()
    }
}
