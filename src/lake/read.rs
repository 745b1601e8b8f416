//! Reading: the files of a snapshot, the rows of a file, the rows of a snapshot, and what changed between two of them.

pub(in crate::lake) mod avro;
pub(in crate::lake) mod constants;
pub(in crate::lake) mod datafile;
pub(in crate::lake) mod deletes;
pub(in crate::lake) mod delta;
pub(in crate::lake) mod entries;
pub(in crate::lake) mod given;
pub(in crate::lake) mod manifests;
pub(in crate::lake) mod rewrite;
pub(in crate::lake) mod scan;
pub(in crate::lake) mod survivors;
