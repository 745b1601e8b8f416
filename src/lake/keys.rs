//! Keys: encoded so that equal keys have equal bytes, collected in memory, and found in files.

pub(in crate::lake) mod bounds;
pub(in crate::lake) mod encode;
pub(in crate::lake) mod lookup;
pub(in crate::lake) mod search;
