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
    let mut checkpoint: Checkpoint = serde_json::from_str(text).map_err(corrupt)?;
    // Older builds kept the watermark from before a whole read in the checkpoint of its ledger. If the ledger fits
    // no more, that watermark may be one that the read was to replace.
    if checkpoint.backfill.is_some() {
        checkpoint.watermark = None;
    }
    Ok(checkpoint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Backfill, RunId, Strategy, Watermark};
    use crate::schema::SqlType;

    fn at(text: &str) -> Watermark {
        Watermark {
            column: "rv".to_owned(),
            ty: SqlType::RowVersion,
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_ledger_of_an_older_build_is_taken_without_the_watermark_beside_it() {
        let ledger = Backfill {
            schema: "shape".to_owned(),
            strategy: Strategy::RowVersion,
            watermark: at("0x0000000000000384"),
            column: "id".to_owned(),
            cuts: vec!["5".to_owned()],
            origin: None,
            done: Vec::new(),
            stale: Vec::new(),
        };
        let table = "dbo.t".parse().unwrap();
        let read = |checkpoint: &Checkpoint| {
            let text = checkpoint_text(&table, checkpoint).unwrap();
            parse_checkpoint(&table, &text).unwrap()
        };
        let before = at("0x00000000000003E8");
        let before = Checkpoint::reached(RunId::generate(), Strategy::RowVersion, Some(before));
        assert_eq!(read(&before), before);
        let now = Checkpoint::reading(RunId::generate(), Some(&before), ledger);
        assert_eq!(now.watermark, None);
        let older = Checkpoint {
            watermark: before.watermark,
            ..now.clone()
        };
        assert_eq!(read(&older), now);
    }
}
