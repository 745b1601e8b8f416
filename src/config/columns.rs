//! `columns:` of a table and of its load.

use super::variables::Complaint;
use crate::schema::columns::{ColumnChoice, Which};
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};

/// SQL Server's names are no longer, in UTF-16.
const NAME_UNITS_MAX: usize = 128;

#[derive(Deserialize, Default)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "`{ exclude: [...] }`, `{ include: [...] }` or `{ rename: { old: new } }`"
)]
pub(super) struct RawColumns {
    include: Option<Vec<String>>,
    exclude: Option<Vec<String>>,
    rename: BTreeMap<String, String>,
}

impl RawColumns {
    /// Whether the names are those of columns is seen once the columns are.
    pub(super) fn validate(self, at: &str) -> Result<ColumnChoice, Complaint> {
        for (list, names) in [("include", &self.include), ("exclude", &self.exclude)] {
            let mut seen = HashSet::new();
            let bad = |name: &String| name.trim().is_empty() || !seen.insert(name.clone());
            if names.iter().flatten().any(bad) {
                return Err((format!("{at}.{list}"), "must name each column once".into()));
            }
        }
        let which = match (self.include, self.exclude) {
            (Some(_), Some(_)) => {
                return Err((
                    at.to_owned(),
                    "has both `include` and `exclude`; keep one of them".into(),
                ));
            }
            (Some(names), None) if names.is_empty() => {
                return Err((
                    format!("{at}.include"),
                    "lists no column; list those that go on, or remove it for all".into(),
                ));
            }
            (Some(names), None) => Which::Include(names),
            (None, Some(names)) if !names.is_empty() => Which::Exclude(names),
            (None, Some(_) | None) => Which::All,
        };
        let mut new_names = HashSet::new();
        for new in self.rename.values() {
            let is_name = !new.trim().is_empty()
                && !new.contains('\0')
                && new.encode_utf16().count() <= NAME_UNITS_MAX;
            if !is_name {
                return Err((
                    format!("{at}.rename"),
                    format!("`{new}` is no column name: write 1 to {NAME_UNITS_MAX} characters"),
                ));
            }
            if !new_names.insert(new.to_lowercase()) {
                return Err((
                    format!("{at}.rename"),
                    format!("gives the name `{new}` to two columns; give one of them another"),
                ));
            }
        }
        Ok(ColumnChoice {
            which,
            rename: self.rename,
        })
    }
}
