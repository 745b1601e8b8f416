//! Names of files, compared however their folder is spelled.
//!
//! One file has many URIs: `file:/a`, `file:///a`, percent-encoded, through a symbolic link. Before a file is removed
//! the question is whether anything still names it, and a comparison of URIs could answer no for a file in use. So
//! only the last part of a path is compared, as written and decoded. The writers of data and metadata files put
//! random numbers into their names; where two folders hold files of one name, both are kept.

use percent_encoding::percent_decode_str;
use std::collections::HashSet;
use twox_hash::XxHash3_128;

/// A set of file names. It keeps hashes of 128 bits: a collision would keep a file, never remove one.
#[derive(Default)]
pub(in crate::lake) struct Names(HashSet<u128>);

impl Names {
    /// Adds the file of a path or URI.
    pub(in crate::lake) fn add(&mut self, path: &str) {
        for name in spellings(path) {
            self.0.insert(XxHash3_128::oneshot(&name));
        }
    }

    /// Whether a file with this name was added.
    pub(in crate::lake) fn has(&self, path: &str) -> bool {
        spellings(path).any(|name| self.0.contains(&XxHash3_128::oneshot(&name)))
    }
}

fn spellings(path: &str) -> impl Iterator<Item = Vec<u8>> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let decoded: Vec<u8> = percent_decode_str(name).collect();
    [name.as_bytes().to_vec(), decoded].into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_any_spelling_of_its_path() {
        let mut names = Names::default();
        names.add("file:/warehouse/a%20b/data/x%20y.parquet");
        names.add("/other/z 1.parquet");
        for known in [
            "file:///warehouse/a b/data/x y.parquet",
            "/elsewhere/x%20y.parquet",
            "file:///other/z%201.parquet",
        ] {
            assert!(names.has(known), "{known}");
        }
        assert!(!names.has("file:///warehouse/a b/data/y.parquet"));
    }
}
