//! Other tables that the deletes of a load reach, by foreign keys of the target (ON DELETE CASCADE, SET NULL).

use super::kind::LoadKind;
use super::work::Work;
use crate::config::Table;
use crate::error::Result;
use crate::mssql::control::Control;
use crate::schema::TableName;
use crate::sync::Sync;
use crate::target::foreign;
use crate::target::merge::LoadOptions;

/// What to say of tables of the configuration that the deletes of this one reach, and that are not loaded `together`
/// with it. One round trip, where another table is loaded and this one deletes.
pub async fn reached(
    sync: &Sync,
    table: &Table,
    together: &[TableName],
    control: &mut Control,
) -> Result<Vec<String>> {
    if sync.targets.len() < 2 || table.merge.keeps_rows() {
        return Ok(Vec::new());
    }
    let keys = foreign::acting(control).await?;
    Ok(foreign::reached(
        &table.target,
        &sync.targets,
        together,
        &keys,
    ))
}

impl Work<'_> {
    /// Warns of the tables that the deletes of a load alone reach. A group knows the foreign keys.
    pub(super) async fn tell_reached(
        &mut self,
        control: &mut Control,
        options: &LoadOptions,
    ) -> Result<()> {
        let deletes = options.has_deletes || self.kind == LoadKind::Replace;
        if deletes && !self.is_grouped {
            let reached = reached(self.sync, self.table, &[], control).await?;
            self.warnings.extend(reached);
        }
        Ok(())
    }
}
