//! Failpoints: named places where a test makes the process die or wait, to prove that what follows a crash, or what
//! another run does at that moment, is correct.
//!
//! For tests only, and only in builds with debug assertions (cargo's profiles `dev` and `test`): in a release build
//! [`reach`] is empty, and the variable means nothing. With `ICESYNC_FAILPOINT=name` in the environment the process
//! aborts (as on SIGKILL: nothing is flushed, no destructor runs) when it reaches that place; `name:3` lets it pass
//! twice first. With `name:3=FILE` it creates FILE instead and waits until the file is removed, with `name:3=panic` it
//! unwinds as a panic does. Several are separated by `,`. Without the variable a failpoint costs one load.

/// The environment variable that arms failpoints.
pub const VARIABLE: &str = "ICESYNC_FAILPOINT";

/// Aborts or holds the process when the environment arms this failpoint and it has been passed often enough.
#[cfg(debug_assertions)]
pub fn reach(name: &'static str) {
    armed::reach(VARIABLE, name);
}

/// Nothing, in a release build.
#[cfg(not(debug_assertions))]
#[inline]
pub fn reach(_name: &'static str) {}

#[cfg(debug_assertions)]
mod armed;
