//! Where a window starts, and what was learned while it was bounded: shared by the strategies that have one.

use super::notice::Notice;
use crate::change::{Again, Checkpoint, Strategy, TrackedSince, Watermark, Window};
use crate::schema::{Column, SqlType};

/// Where a window starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Start {
    /// No checkpoint: everything.
    First,
    From(Watermark),
    /// The checkpoint cannot be used, for this reason: everything.
    Again(String),
}

impl Start {
    pub(super) fn of(strategy: Strategy, column: &Column, checkpoint: Option<&Checkpoint>) -> Self {
        Self::at(strategy, &column.name, column.ty, checkpoint)
    }

    /// Of a column, or of what a log calls its positions.
    pub(super) fn at(
        strategy: Strategy,
        column: &str,
        ty: SqlType,
        checkpoint: Option<&Checkpoint>,
    ) -> Self {
        let Some(checkpoint) = checkpoint else {
            return Start::First;
        };
        if checkpoint.strategy != strategy {
            return Start::Again(format!(
                "the last run used strategy {}, this one {}",
                checkpoint.strategy, strategy
            ));
        }
        let Some(last) = &checkpoint.watermark else {
            return Start::First;
        };
        if !last.column.eq_ignore_ascii_case(column) {
            return Start::Again(format!(
                "the last run followed column {}, this one {column}",
                last.column
            ));
        }
        if last.ty != ty {
            return Start::Again(format!(
                "column {column} has another type than in the last run"
            ));
        }
        Start::From(last.clone())
    }

    /// Everything, where there is a reason to read again what was read.
    pub(super) fn unless(self, moved: Option<&str>) -> Self {
        match (self, moved) {
            (Start::From(_), Some(reason)) => Start::Again(reason.to_owned()),
            (start, _) => start,
        }
    }

    pub(super) fn last(&self) -> Option<&Watermark> {
        match self {
            Start::From(last) => Some(last),
            Start::First | Start::Again(_) => None,
        }
    }
}

/// Which rows are to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of them; the next window starts at `upper`. None: the strategy has no order, or its column holds no value.
    Whole {
        upper: Option<Watermark>,
    },
    Window(Window),
    /// Those of a part that was read before.
    Again(Again),
    /// The rows of the keys that a log has of a window.
    Tracked(Changes),
    /// None of them: nothing lies above the last bound, which is this one.
    Nothing {
        at: Watermark,
    },
}

/// What a log has of a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) window: Window,
    /// So many keys have changed.
    pub(super) keys: u64,
    /// The window's bound is to be kept even if nothing of it is new.
    pub(super) renews: bool,
    /// When the last bound was the end of the log, in seconds since 1970.
    pub(super) since: Option<i64>,
}

/// What is to be read, with what was learned on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) extent: Extent,
    pub(super) why: Vec<String>,
    pub(super) warnings: Vec<String>,
    pub(super) notices: Vec<Notice>,
    /// Times beyond it lie in the future.
    pub(super) future: Option<Watermark>,
    /// The database's last row version.
    pub(super) counter: Option<String>,
    /// The log that is followed.
    pub(super) tracking: Option<TrackedSince>,
}

impl Bounds {
    pub(super) fn of(extent: Extent) -> Self {
        Self {
            extent,
            why: Vec::new(),
            warnings: Vec::new(),
            notices: Vec::new(),
            future: None,
            counter: None,
            tracking: None,
        }
    }

    /// All rows are read.
    pub(super) fn is_whole(&self) -> bool {
        match self.extent {
            Extent::Whole { .. } => true,
            Extent::Window(_) | Extent::Again(_) | Extent::Tracked(_) | Extent::Nothing { .. } => {
                false
            }
        }
    }

    /// Everything is read; the next window starts at `upper`.
    pub(super) fn full(upper: Option<Watermark>, start: &Start) -> Self {
        let mut bounds = Bounds::of(Extent::Whole { upper });
        match start {
            Start::First => bounds
                .why
                .push("there is no watermark to start from: the whole table is read".into()),
            Start::Again(reason) => bounds
                .warnings
                .push(format!("the whole table is read again: {reason}")),
            Start::From(_) => {}
        }
        bounds
    }
}

/// A watermark of a column.
pub(super) fn watermark(column: &Column, text: impl Into<String>) -> Watermark {
    Watermark {
        column: column.name.clone(),
        ty: column.ty,
        text: text.into(),
    }
}
