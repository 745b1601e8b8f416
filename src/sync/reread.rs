//! Which rows of an incremental read may have been read before.
//!
//! All of them, where a part of the order is read once more because somebody asks for it.
//!
//! A window that begins `overlap` before the last one's end reads rows again on purpose, to catch those that
//! arrived late. Rows below the last end are compared with the lake before they are written, so that reading again
//! costs reads, not snapshots. Marking a row too many is harmless for the same reason; the comparison here is
//! therefore in whole microseconds.

use crate::change::Watermark;
use crate::error::{Disposition, Error, Kind, Result};
use crate::schema::{LakeSchema, LakeType, Role};
use crate::source::{ExtractPlan, Read};
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, TimestampMicrosecondType};
use arrow_array::{Array, BooleanArray, RecordBatch};
use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};

/// True for each row whose watermark does not lie above the last window's end; none where nothing is read again.
pub fn mask(
    plan: &ExtractPlan,
    shape: &LakeSchema,
    batch: &RecordBatch,
) -> Result<Option<BooleanArray>> {
    let followed = match &plan.read {
        Read::Window(followed) => followed,
        Read::Again(_) => return Ok(Some(vec![true; batch.num_rows()].into())),
        Read::Nothing { .. } | Read::Tracked(_) | Read::Whole(_) | Read::Ranges(_) => {
            return Ok(None);
        }
    };
    let previous = &followed.window.previous;
    if followed.window.lower == *previous {
        return Ok(None);
    }
    let Some(field) = field_of(followed.column, shape) else {
        return Ok(None);
    };
    let values = batch.column(field);
    let below = |value: Option<i64>, end: i64| Some(value.is_some_and(|value| value <= end));
    let mask: BooleanArray = match shape.fields[field].ty {
        LakeType::Timestamp | LakeType::TimestampTz => {
            let end = micros(previous)?;
            values
                .as_primitive::<TimestampMicrosecondType>()
                .iter()
                .map(|value| below(value, end))
                .collect()
        }
        LakeType::Date => {
            let end = micros(previous)?.div_euclid(86_400_000_000);
            values
                .as_primitive::<Date32Type>()
                .iter()
                .map(|value| below(value.map(i64::from), end))
                .collect()
        }
        // Numbers and rowversions have no overlap: their windows begin where the last one ended. Nothing else is
        // followed.
        LakeType::Int
        | LakeType::Long
        | LakeType::Decimal { .. }
        | LakeType::Binary
        | LakeType::Boolean
        | LakeType::Float
        | LakeType::Double
        | LakeType::Time
        | LakeType::String
        | LakeType::Uuid
        | LakeType::Fixed(_) => return Ok(None),
    };
    debug_assert_eq!(mask.null_count(), 0);
    Ok(Some(mask))
}

/// The lake's field of the column that a plan follows.
pub fn watermark_field(plan: &ExtractPlan, lake: &LakeSchema) -> Option<usize> {
    field_of(plan.watermark_column()?, lake)
}

fn field_of(column: usize, lake: &LakeSchema) -> Option<usize> {
    lake.fields
        .iter()
        .position(|field| field.source == Some(column) && field.role == Role::Value)
}

/// Microseconds since 1970 of a timestamp watermark, rounded up.
pub fn micros(watermark: &Watermark) -> Result<i64> {
    let utc = instant(watermark)?;
    Ok(utc.timestamp_micros() + i64::from(!utc.timestamp_subsec_nanos().is_multiple_of(1_000)))
}

/// The same, rounded down.
pub fn whole_micros(watermark: &Watermark) -> Result<i64> {
    instant(watermark).map(|utc| utc.timestamp_micros())
}

fn instant(watermark: &Watermark) -> Result<DateTime<Utc>> {
    let text = watermark.text.trim();
    let with_offset =
        DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f %:z").map(|time| time.naive_utc());
    let time = with_offset
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f"))
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M"))
        .or_else(|_| {
            NaiveDate::parse_from_str(text, "%Y-%m-%d")
                .map(|date| date.and_time(chrono::NaiveTime::MIN))
        })
        .map_err(|error| {
            let message =
                format!("the checkpoint's watermark `{text}` is not a date and time: {error}");
            Error::new(Kind::Lake, Disposition::Definite, message)
        })?;
    Ok(time.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::SqlType;

    #[test]
    fn watermarks_of_every_timestamp_type_are_read() {
        for (text, expected) in [
            ("1970-01-01 00:00:00.000", 0),
            ("1970-01-01 00:00:00.0000001", 1),
            ("1970-01-01 00:00:01.0000010", 1_000_001),
            ("1970-01-01 08:00:00.0000000 +08:00", 0),
            ("1969-12-31", -86_400_000_000),
            ("0001-01-01 00:00:00.0000000", -62_135_596_800_000_000),
            ("9999-12-31 23:59:59.9999999", 253_402_300_800_000_000),
        ] {
            let watermark = Watermark {
                column: "c".into(),
                ty: SqlType::DateTime2 { scale: 7 },
                text: text.into(),
            };
            assert_eq!(micros(&watermark).unwrap(), expected, "{text}");
        }
    }
}
