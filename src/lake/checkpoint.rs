//! The checkpoint as it stands in a table property and in the summary of a snapshot.

use crate::change::{CHECKPOINT_VERSION, Checkpoint};
use crate::lake::error::{LakeError, Result};
use crate::schema::TableName;
use iceberg::spec::TableMetadata;
use serde::Deserialize;

/// Table property, and entry of a snapshot's summary, with the [`Checkpoint`] as JSON.
pub const CHECKPOINT_PROPERTY: &str = "icesync.checkpoint";

/// The checkpoint in a version's properties.
pub(in crate::lake) fn checkpoint_of(
    table: &TableName,
    metadata: &TableMetadata,
) -> Result<Option<Checkpoint>> {
    match metadata.properties().get(CHECKPOINT_PROPERTY) {
        Some(text) => parse_checkpoint(table, text).map(Some),
        None => Ok(None),
    }
}

pub(in crate::lake) fn checkpoint_text(
    table: &TableName,
    checkpoint: &Checkpoint,
) -> Result<String> {
    serde_json::to_string(checkpoint).map_err(|source| LakeError::PropertyCorrupt {
        table: table.clone(),
        property: CHECKPOINT_PROPERTY,
        source: source.into(),
    })
}

pub(in crate::lake) fn parse_checkpoint(table: &TableName, text: &str) -> Result<Checkpoint> {
    /// The version is read first: a newer checkpoint may have any other shape.
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let corrupt = |source: serde_json::Error| LakeError::PropertyCorrupt {
        table: table.clone(),
        property: CHECKPOINT_PROPERTY,
        source: source.into(),
    };
    let versioned: Versioned = serde_json::from_str(text).map_err(corrupt)?;
    if versioned.version > CHECKPOINT_VERSION {
        return Err(LakeError::CheckpointNewer {
            table: table.clone(),
            found: versioned.version,
            known: CHECKPOINT_VERSION,
        });
    }
    serde_json::from_str(text).map_err(corrupt)
}
