//! A part of the source's order that was read before, and is read once more because somebody asks for it.

use super::Watermark;

/// What the command line asks for (`--from`, `--to`), as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    pub from: String,
    /// None: up to the checkpoint's bound.
    pub to: Option<String>,
}

/// The same in the column's own type. It lies beneath the bound that the next window starts from, which stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Again {
    /// Belongs to it.
    pub lower: Watermark,
    /// Belongs to it, unless it is the bound of windows that end below theirs.
    pub upper: Watermark,
    /// It ends at the bound.
    pub ends_at_bound: bool,
    /// It was to end above the bound.
    pub is_cut: bool,
    /// The checkpoint's.
    pub bound: Watermark,
}
