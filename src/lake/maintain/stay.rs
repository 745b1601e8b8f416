//! Reasons to remove no file of a table, whatever its snapshots name.
//!
//! - `gc.enabled` is false: the owner of the table says that others use its files.
//! - *Another catalog has the table registered and has committed to it.* Its snapshots name files that no version of
//!   this table names, and need files that this table no longer does. Such a catalog writes metadata files of its own
//!   naming (`00001-<uuid>.metadata.json`) beside the versions of this one.
//!
//! Metadata files of another naming may also be older than the table here: it was another catalog's before. Those are
//! told apart by what they say. A file that followed one of this table's versions names it in its log, or at least is
//! younger than the oldest version that is known here. One that cannot be read counts as such a file.
//!
//! A metadata file whose name is a UUID alone is no catalog's. Spark writes a version of this table under such a name
//! first, and leaves it there if it is killed before it renames it. It is an orphan like any other.

use crate::lake::catalog::metadata_json;
use crate::lake::catalog::names::is_temporary;
use crate::lake::error::Result;
use crate::lake::table::LakeTable;
use serde::Deserialize;

/// Table property of Iceberg: whether files may be removed.
const GC_ENABLED: &str = "gc.enabled";

/// What is read of a metadata file of another naming.
#[derive(Deserialize)]
struct Foreign {
    #[serde(rename = "last-updated-ms")]
    updated_ms: i64,
    #[serde(rename = "metadata-log", default)]
    log: Vec<Logged>,
}

#[derive(Deserialize)]
struct Logged {
    #[serde(rename = "metadata-file")]
    file: String,
}

impl LakeTable {
    /// Why no file of the table may be removed, as a warning; none when files may.
    pub(in crate::lake) async fn files_must_stay(&self) -> Result<Option<String>> {
        let table = &self.name;
        let set = self.property(GC_ENABLED);
        if set.is_some_and(|set| set.trim().eq_ignore_ascii_case("false")) {
            return Ok(Some(format!(
                "no file of lake table {table} was removed: its property `{GC_ENABLED}` is false. Set it to true if no \
                 other table uses these files"
            )));
        }
        Ok(self.other_catalog().await?.map(|uri| {
            format!(
                "no file of lake table {table} was removed: `{uri}` shows that another catalog has committed to the \
                 table, and that catalog may need files that this one no longer names. Drop the table from the other \
                 catalog without purging it, remove that metadata file, then run `icesync maintain` again"
            )
        }))
    }

    /// A metadata file of another catalog that goes on from a version of this table.
    async fn other_catalog(&self) -> Result<Option<String>> {
        let log = self.metadata().metadata_log();
        let own = log
            .iter()
            .filter(|entry| is_version(last(&entry.metadata_file)));
        let oldest = own.map(|entry| entry.timestamp_ms).min();
        let oldest = oldest.unwrap_or(self.metadata().last_updated_ms());
        let folder = format!("{}/metadata", self.location);
        for name in self.store.list(&folder, false).await? {
            let is_known = || log.iter().any(|entry| last(&entry.metadata_file) == name);
            if !name.contains(".metadata.json")
                || name.starts_with('.')
                || is_version(&name)
                || is_temporary(&name)
                || is_known()
            {
                continue;
            }
            let uri = format!("{folder}/{name}");
            let Some(bytes) = self.store.read_if_exists(&uri).await? else {
                continue;
            };
            let json = metadata_json(&uri, bytes).ok();
            let found = json.and_then(|json| serde_json::from_slice::<Foreign>(&json).ok());
            let is_older = found.is_some_and(|found| {
                let mut log = found.log.iter();
                found.updated_ms <= oldest && !log.any(|entry| is_version(last(&entry.file)))
            });
            if !is_older {
                return Ok(Some(uri));
            }
        }
        Ok(None)
    }
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Whether a metadata file is called as the versions of this catalog are: `v` and a number.
fn is_version(name: &str) -> bool {
    let number = name.strip_prefix('v').and_then(|name| name.split_once('.'));
    number.is_some_and(|(number, _)| number.parse::<u64>().is_ok())
}
