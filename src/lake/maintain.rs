//! Maintenance: what keeps a table small and fast however many commits it has.
//!
//! | file | what is there |
//! |---|---|
//! | `compact` | small files and deleted rows: which files are rewritten, and how |
//! | `sort` | rows of many files in one order, in bounded memory |
//! | `replace` | the commit of rewritten files beside other writers, argued at its head |

pub(in crate::lake) mod compact;
pub(in crate::lake) mod replace;
pub(in crate::lake) mod sort;
