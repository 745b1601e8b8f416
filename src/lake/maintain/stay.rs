//! Reasons to remove no file of a table, whatever its snapshots name.
//!
//! With `gc.enabled` false the owner of the table says that other tables or copies use its files.

use crate::lake::error::Result;
use crate::lake::table::LakeTable;

/// Table property of Iceberg: whether files may be removed.
const GC_ENABLED: &str = "gc.enabled";

impl LakeTable {
    /// Why no file of the table may be removed, as a warning; none when files may.
    pub(in crate::lake) async fn files_must_stay(&self) -> Result<Option<String>> {
        let set = self.property(GC_ENABLED);
        if set.is_some_and(|set| set.trim().eq_ignore_ascii_case("false")) {
            return Ok(Some(format!(
                "no file of lake table {} was removed: its property `{GC_ENABLED}` is false. Set it to true if no \
                 other table uses these files",
                self.name
            )));
        }
        Ok(None)
    }
}
