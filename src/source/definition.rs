//! What a source table has besides its columns and key, for a target that is created like it.

use super::error::SourceError;
use crate::mssql::control::Control;
use crate::mssql::definition;
use crate::schema::TableName;
use crate::schema::definition::{BYTES_MAX, Definition};

/// Reads a table's definition, in one round trip. What is too large to be recorded is none, with a sentence that says
/// so. A view has an empty one.
pub async fn definition(
    control: &mut Control,
    table: &TableName,
) -> Result<(Option<Definition>, Option<String>), SourceError> {
    let found = definition::read(control, table).await;
    let found = found.map_err(|error| SourceError::on("reading the indexes of", table, error))?;
    let is_small = |definition: &Definition| {
        let json = definition.write().map_or(usize::MAX, |json| json.len());
        json <= BYTES_MAX
    };
    let found = found.filter(is_small);
    let warning = found.is_none().then(|| {
        format!(
            "the definition of {table} (indexes, defaults, checks) is larger than {} KiB and is not recorded in the \
                lake: `create` has no effect. Create these objects in the target yourself",
            BYTES_MAX / 1024
        )
    });
    Ok((found, warning))
}
