//! Maintenance: what keeps a table small and fast however many commits it has.
//!
//! | file | what is there |
//! |---|---|
//! | `compact` | small files and deleted rows: which files are rewritten, and how |
//! | `relocate` | a table folder that was copied or moved |
//! | `sort` | rows of many files in one order, in bounded memory |
//! | `expire` | old snapshots, and the files that only they have |
//! | `orphans` | files that nothing refers to |
//! | `group`, `output` | files to be rewritten together, and the new ones |
//! | `names` | names of files, compared however their folder is spelled |
//! | `replace` | the commit of rewritten files beside other writers, argued at its head |
//! | `stay` | reasons to remove no file of a table |

pub(in crate::lake) mod compact;
pub(in crate::lake) mod expire;
mod group;
mod names;
pub(in crate::lake) mod orphans;
mod output;
pub(in crate::lake) mod relocate;
pub(in crate::lake) mod replace;
pub(in crate::lake) mod sort;
mod stay;
