//! What icesync remembers of a table, looked at and changed by `icesync state`.
//!
//! State is in three places, and nowhere else:
//!
//! - the *checkpoint* in the lake table: how far it has followed its source;
//! - the *load state* in the target database: which snapshot the target has, and in which table;
//! - the *tags* in the lake table: which snapshots the loads of targets still need. They follow the load state.
//!
//! **What may be changed.** A checkpoint that says less than the table has costs time: a whole read compares rows, and
//! an older window brings rows again that a mirror replaces by themselves. One that says more loses rows, so a
//! checkpoint is only ever taken from a run that committed it, with the snapshot that it committed, and only while that
//! snapshot is on `main`. A load state that is missing costs a comparison of the whole snapshot, and keeps rows in the
//! target that have left the lake meanwhile. One that names a snapshot which the target does not have is worse: the
//! next load applies a delta to other rows. So nothing makes one up: `import` puts back what `export` took, where there
//! is none, `repair` names another table only with `--adopt`, and everything else removes.
//!
//! **Races.** The lake is changed by compare-and-set on the checkpoint, which gets a new token, so an extract that was
//! computed from the one before stops at its commit. The target is changed under the load lock of the table and by
//! compare-and-set on the load state. A command that is killed between two changes leaves what `verify` names and a
//! second run of the command finishes.
//!
//! | file | what is there |
//! |---|---|
//! | `facts` | both sides as they are found |
//! | `show` | the facts as a report |
//! | `verify` | what is wrong with them: a pure function |
//! | `repair` | mends what loses no information |
//! | `reset` | removes a checkpoint or a load state |
//! | `forget` | removes what is left of a target that is gone |
//! | `transfer` | `export` and `import` |

mod facts;
mod forget;
mod repair;
mod reset;
mod show;
mod transfer;
mod verify;

pub use transfer::{BadStateFile, StateFile};

/// How long a command waits for a load of the target.
const LOCK_TIMEOUT_MS: u32 = 10_000;
