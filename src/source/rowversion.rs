//! Windows of a `rowversion` column: `[last upper bound, MIN_ACTIVE_ROWVERSION())`.

use super::discover::Discovered;
use super::error::SourceError;
use super::window::{Bounds, Start, watermark};
use crate::change::Window;
use crate::mssql::control::Control;
use crate::mssql::error::MssqlError;
use crate::mssql::sql::bounds;
use crate::schema::Column;

pub(super) async fn bounds(
    control: &mut Control,
    source: &Discovered,
    column: usize,
    start: &Start,
) -> Result<Bounds, SourceError> {
    let table = &source.schema.name;
    let failed = |error| SourceError::on("asking for the lowest open row version of", table, error);
    let rows = control.query(&bounds::rowversion()).await.map_err(failed)?;
    let hi = match rows.first() {
        Some(row) => row.text("hi").map_err(failed)?,
        None => return Err(failed(MssqlError::Shape("no row".into()))),
    };
    Ok(settle(&source.schema.columns[column], hi, start))
}

/// Pure: the window for a lowest open version. Both texts have the same length and case, so they order as the
/// versions do.
fn settle(column: &Column, hi: &str, start: &Start) -> Bounds {
    let upper = watermark(column, hi);
    let Some(last) = start.last() else {
        return Bounds::full(Some(upper), None, start);
    };
    if last.text.to_ascii_uppercase() > upper.text.to_ascii_uppercase() {
        let reason = format!(
            "the last bound {last} is above the database's lowest open row version {upper}, as after a restore"
        );
        return Bounds::full(Some(upper), Some(last.clone()), &Start::Again(reason));
    }
    Bounds {
        is_empty: last.text.eq_ignore_ascii_case(&upper.text),
        window: Window {
            lower: Some(last.clone()),
            upper: Some(upper),
        },
        previous_upper: Some(last.clone()),
        ..Bounds::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::SqlType;
    use crate::source::discover::tests::column;

    #[test]
    fn windows_follow_each_other_and_a_restore_reads_everything() {
        let rv = column(1, "rv", SqlType::RowVersion, false);
        let from = |text: &str| Start::From(watermark(&rv, text));
        let first = settle(&rv, "0x00000000000007D1", &Start::First);
        assert!(first.full_read && first.window.lower.is_none());
        assert_eq!(first.window.upper.unwrap().text, "0x00000000000007D1");
        let next = settle(&rv, "0x00000000000007DA", &from("0x00000000000007d9"));
        assert!(!next.full_read && !next.is_empty);
        assert_eq!(next.window.lower.unwrap().text, "0x00000000000007d9");
        assert!(settle(&rv, "0x00000000000007D9", &from("0x00000000000007d9")).is_empty);
        let restored = settle(&rv, "0x00000000000007D1", &from("0x00000000000007D2"));
        assert!(restored.full_read);
        assert!(restored.warnings[0].contains("restore"));
        assert_eq!(restored.previous_upper.unwrap().text, "0x00000000000007D2");
    }
}
