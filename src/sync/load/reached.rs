//! Other tables that the deletes of a load reach, by foreign keys of the target (ON DELETE CASCADE, SET NULL).

use crate::config::Table;
use crate::error::Result;
use crate::mssql::control::Control;
use crate::schema::TableName;
use crate::sync::Sync;
use crate::target::foreign;

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
    let keys = foreign::acting(control, &table.target).await?;
    Ok(foreign::reached(
        &table.target,
        &sync.targets,
        together,
        &keys,
    ))
}
