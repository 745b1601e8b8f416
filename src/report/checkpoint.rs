//! The checkpoint in a report. A read of a whole table that is under way is cut at values of the key. They stand in a
//! report only if row values were asked for; how many ranges they make always does.

use crate::change::Checkpoint;
use crate::secret::values_are_shown;
use serde::ser::{Error, Serialize, Serializer};
use serde_json::Value;

/// As the lake table has it, with `ranges` instead of `cuts`.
pub(super) fn serialize<S: Serializer>(
    checkpoint: &Option<Checkpoint>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let ledger = checkpoint
        .as_ref()
        .and_then(|found| found.backfill.as_ref());
    let Some(ledger) = ledger.filter(|_| !values_are_shown()) else {
        return checkpoint.serialize(serializer);
    };
    let mut shown = serde_json::to_value(checkpoint).map_err(S::Error::custom)?;
    if let Some(shown) = shown.get_mut("backfill").and_then(Value::as_object_mut) {
        shown.remove("cuts");
        shown.insert("ranges".to_owned(), (ledger.cuts.len() + 1).into());
    }
    shown.serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Backfill, RunId, Strategy, Watermark};
    use crate::schema::SqlType;

    #[derive(serde::Serialize)]
    struct Report {
        #[serde(serialize_with = "super::serialize")]
        checkpoint: Option<Checkpoint>,
    }

    #[test]
    fn a_report_has_no_cuts() {
        let watermark = Watermark {
            column: "rv".into(),
            ty: SqlType::RowVersion,
            text: "0x00000000000007D1".into(),
        };
        let ledger = Backfill {
            schema: "s".into(),
            strategy: Strategy::RowVersion,
            watermark,
            column: "name".into(),
            cuts: vec!["Ada".into(), "Bob".into()],
            origin: None,
            done: Vec::new(),
            stale: Vec::new(),
        };
        let reading = Checkpoint::reading(RunId::generate(), None, ledger);
        let json = |checkpoint| serde_json::to_value(Report { checkpoint }).unwrap();
        let shown = json(Some(reading.clone()));
        assert_eq!(shown["checkpoint"]["backfill"]["ranges"], 3);
        assert_eq!(shown["checkpoint"]["backfill"]["column"], "name");
        let text = shown.to_string();
        assert!(!text.contains("Ada") && !text.contains("Bob"), "{text}");
        // What the lake keeps is whole.
        assert!(serde_json::to_string(&reading).unwrap().contains("Ada"));
        assert!(json(None)["checkpoint"].is_null());
    }
}
