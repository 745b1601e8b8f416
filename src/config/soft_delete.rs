//! `soft_delete:` of a table.

use super::variables::{Complaint, Lookup, Text};
use crate::schema::deleted::{Scalar, SoftDelete};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use std::collections::HashSet;
use std::fmt;

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "`{ column: is_deleted, values: [1] }`"
)]
pub(super) struct RawSoftDelete {
    column: Text,
    values: Vec<RawScalar>,
}

/// A value, whose text may have variables.
enum RawScalar {
    Bool(bool),
    Number(u64),
    Text(Text),
}

impl<'de> Deserialize<'de> for RawScalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl Visitor<'_> for Any {
            type Value = RawScalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "true, false, a whole number or text (write a negative number in quotes)",
                )
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<RawScalar, E> {
                Ok(RawScalar::Bool(value))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<RawScalar, E> {
                Ok(RawScalar::Number(value))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<RawScalar, E> {
                Ok(RawScalar::Text(Text::of(text)))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl RawSoftDelete {
    /// Whether column and values fit is seen once the table's columns are known.
    pub(super) fn validate(self, lookup: Lookup<'_>, at: &str) -> Result<SoftDelete, Complaint> {
        let place = format!("{at}.column");
        let column = self.column.plain(lookup, &place)?;
        if column.trim().is_empty() {
            return Err((place, "is empty; name the column that marks rows".into()));
        }
        let place = format!("{at}.values");
        if self.values.is_empty() {
            return Err((
                place,
                "lists no value; list those of deleted rows, such as [1]".into(),
            ));
        }
        let mut seen = HashSet::new();
        let mut values = Vec::new();
        for (index, value) in self.values.into_iter().enumerate() {
            let value = match value {
                RawScalar::Bool(value) => Scalar::Bool(value),
                RawScalar::Number(value) => Scalar::Number(value),
                RawScalar::Text(text) => {
                    Scalar::Text(text.plain(lookup, &format!("{place}[{index}]"))?)
                }
            };
            if !seen.insert(value.clone()) {
                return Err((place, "must name each value once".into()));
            }
            values.push(value);
        }
        Ok(SoftDelete { column, values })
    }
}
