//! `columns:` of a table and of its load.

use super::variables::{Complaint, Lookup, Text};
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
    include: Option<Vec<Text>>,
    exclude: Option<Vec<Text>>,
    rename: BTreeMap<String, Text>,
}

impl RawColumns {
    /// Whether the names are those of columns is seen once the columns are.
    pub(super) fn validate(self, lookup: Lookup<'_>, at: &str) -> Result<ColumnChoice, Complaint> {
        let names = |list: &str, names: Option<Vec<Text>>| {
            let names = names.map(|names| Text::all(&names, lookup, &format!("{at}.{list}")));
            names.transpose()
        };
        let include = names("include", self.include)?;
        let exclude = names("exclude", self.exclude)?;
        for (list, names) in [("include", &include), ("exclude", &exclude)] {
            let mut seen = HashSet::new();
            let bad = |name: &String| name.trim().is_empty() || !seen.insert(name.clone());
            if names.iter().flatten().any(bad) {
                return Err((format!("{at}.{list}"), "must name each column once".into()));
            }
        }
        let which = match (include, exclude) {
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
        let place = format!("{at}.rename");
        let rename = Text::named(&self.rename, lookup, &place)?;
        let mut new_names = HashSet::new();
        for new in rename.values() {
            let is_name = !new.trim().is_empty()
                && !new.contains('\0')
                && new.encode_utf16().count() <= NAME_UNITS_MAX;
            if !is_name {
                return Err((
                    place,
                    format!(
                        "gives a name that is no column name: write 1 to {NAME_UNITS_MAX} characters"
                    ),
                ));
            }
            if !new_names.insert(new.to_lowercase()) {
                return Err((
                    place,
                    "gives one name to two columns; give one of them another".into(),
                ));
            }
        }
        Ok(ColumnChoice { which, rename })
    }
}
