//! Which columns go from one step to the next, and what they are called there.
//!
//! A step leads from the source to the lake, or from the lake to a target. A [`ColumnChoice`] is what the configuration
//! says about one of them. It is resolved against the columns that there are each time they are looked at. A name that
//! none of them has is refused: a column that is left out for what it holds, and was renamed, would be read otherwise.
//!
//! Names are found as SQL Server's default collations compare them: as written, else without ASCII case.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;

/// The columns of one step, as configured.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ColumnChoice {
    pub which: Which,
    /// New name of a column by the name that it has before the step.
    pub rename: BTreeMap<String, String>,
}

/// Which columns go on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Which {
    #[default]
    All,
    /// These and no others.
    Include(Vec<String>),
    /// All but these.
    Exclude(Vec<String>),
}

/// A column of the source that is not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// `sys.columns.column_id`
    pub id: i32,
    pub name: String,
}

/// A choice that does not fit the columns that there are. `option` is where it is configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    #[error(
        "`{option}.{list}` names {name}, and there is no such column: correct it, or take it out; a column that was \
            renamed is listed under its new name. The columns are {have}"
    )]
    Unknown {
        option: &'static str,
        list: &'static str,
        name: String,
        have: String,
    },
    #[error("`{option}.{list}` names column {name} twice: remove one of the two")]
    Twice {
        option: &'static str,
        list: &'static str,
        name: String,
    },
    #[error(
        "`{option}.rename` names column {name}, which `{option}` leaves out: remove one of the two"
    )]
    RenamedAndLeftOut { option: &'static str, name: String },
    #[error(
        "with `{option}.rename`, columns {first} and {second} would both be called {name}: give one of them another \
            name, or leave it out with `{option}.exclude`"
    )]
    OneName {
        option: &'static str,
        first: String,
        second: String,
        name: String,
    },
}

/// A choice whose names have been found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen<K: Eq + Hash> {
    option: &'static str,
    /// The columns that are listed, and whether those are the ones that go on. None: all go on.
    listed: Option<(bool, HashSet<K>)>,
    renamed: HashMap<K, String>,
}

impl ColumnChoice {
    /// Whether every column goes on under its own name.
    pub fn is_everything(&self) -> bool {
        self.which == Which::All && self.rename.is_empty()
    }

    /// Finds the names among `columns`. A column may be there under more than one name, and a name may be that of more
    /// than one column: then it means all of them.
    pub fn resolve<K: Copy + Eq + Hash>(
        &self,
        option: &'static str,
        columns: &[(K, &str)],
    ) -> Result<Chosen<K>, ChoiceError> {
        let listed = match &self.which {
            Which::All => None,
            Which::Include(names) => Some((true, "include", names)),
            Which::Exclude(names) => Some((false, "exclude", names)),
        };
        let listed = match listed {
            Some((keeps, list, names)) => {
                let mut found = HashSet::new();
                for name in names {
                    let named = find(columns, option, list, name)?;
                    if named.iter().any(|column| found.contains(column)) {
                        let name = name.clone();
                        return Err(ChoiceError::Twice { option, list, name });
                    }
                    found.extend(named);
                }
                Some((keeps, found))
            }
            None => None,
        };
        let mut chosen = Chosen {
            option,
            listed,
            renamed: HashMap::new(),
        };
        for (name, new) in &self.rename {
            for column in find(columns, option, "rename", name)? {
                if !chosen.keeps(column) {
                    let name = name.clone();
                    return Err(ChoiceError::RenamedAndLeftOut { option, name });
                }
                if chosen.renamed.insert(column, new.clone()).is_some() {
                    return Err(ChoiceError::Twice {
                        option,
                        list: "rename",
                        name: name.clone(),
                    });
                }
            }
        }
        Ok(chosen)
    }
}

/// The columns that a name means; never none.
fn find<K: Copy + Eq + Hash>(
    columns: &[(K, &str)],
    option: &'static str,
    list: &'static str,
    name: &str,
) -> Result<HashSet<K>, ChoiceError> {
    let named = |is_it: &dyn Fn(&str) -> bool| {
        let named = columns.iter().filter(|(_, have)| is_it(have));
        named.map(|(column, _)| *column).collect::<HashSet<K>>()
    };
    let mut found = named(&|have| have == name);
    if found.is_empty() {
        found = named(&|have| have.eq_ignore_ascii_case(name));
    }
    if !found.is_empty() {
        return Ok(found);
    }
    let mut have: Vec<&str> = Vec::new();
    for (_, name) in columns {
        if !have.contains(name) {
            have.push(name);
        }
    }
    Err(ChoiceError::Unknown {
        option,
        list,
        name: name.to_owned(),
        have: have.join(", "),
    })
}

impl<K: Copy + Eq + Hash> Chosen<K> {
    /// Whether the column goes on.
    pub fn keeps(&self, column: K) -> bool {
        let listed = self.listed.as_ref();
        listed.is_none_or(|(keeps, columns)| columns.contains(&column) == *keeps)
    }

    /// The new name of a column that gets one.
    pub fn renamed(&self, column: K) -> Option<&str> {
        self.renamed.get(&column).map(String::as_str)
    }

    /// The names after the step of columns that all go on. Two may not have one name without case if either got it
    /// here; names that differ in case alone are a matter of the database that they come from.
    pub fn names(&self, columns: &[(K, &str)]) -> Result<Vec<String>, ChoiceError> {
        let mut names: Vec<String> = Vec::with_capacity(columns.len());
        let mut taken: HashMap<String, usize> = HashMap::new();
        for (at, &(column, before)) in columns.iter().enumerate() {
            let name = self.renamed(column).unwrap_or(before);
            names.push(name.to_owned());
            let Some(other) = taken.insert(name.to_lowercase(), at) else {
                continue;
            };
            let (first, second) = (columns[other], columns[at]);
            if self.renamed(first.0).is_some() || self.renamed(second.0).is_some() {
                return Err(ChoiceError::OneName {
                    option: self.option,
                    first: first.1.to_owned(),
                    second: second.1.to_owned(),
                    name: name.to_owned(),
                });
            }
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [(usize, &str); 4] = [(0, "id"), (1, "Note"), (2, "qty"), (3, "QTY")];

    fn texts(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn renaming(which: Which, renames: &[(&str, &str)]) -> ColumnChoice {
        let rename = renames
            .iter()
            .map(|(old, new)| ((*old).into(), (*new).into()));
        ColumnChoice {
            which,
            rename: rename.collect(),
        }
    }

    /// The names after the step.
    fn after(choice: &ColumnChoice) -> Result<Vec<String>, ChoiceError> {
        let chosen = choice.resolve("columns", &COLUMNS)?;
        let kept = COLUMNS.into_iter().filter(|(at, _)| chosen.keeps(*at));
        chosen.names(&kept.collect::<Vec<_>>())
    }

    #[test]
    fn columns_are_left_out_or_listed_and_renamed() {
        let all = ["id", "Note", "qty", "QTY"];
        assert!(ColumnChoice::default().is_everything());
        for (which, renames, expected) in [
            (Which::All, &[][..], &all[..]),
            (Which::Exclude(texts(&["note"])), &[], &["id", "qty", "QTY"]),
            (Which::Exclude(texts(&["QTY"])), &[], &["id", "Note", "qty"]),
            (Which::Include(texts(&["ID", "NOTE"])), &[], &["id", "Note"]),
            (
                Which::Exclude(texts(&["QTY"])),
                &[("NOTE", "id"), ("id", "note")],
                &["note", "id", "qty"],
            ),
            (
                Which::All,
                &[("QTY", "Quantity")],
                &["id", "Note", "qty", "Quantity"],
            ),
        ] {
            let choice = renaming(which, renames);
            assert_eq!(after(&choice).unwrap(), expected, "{choice:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        for (which, renames, expected) in [
            (
                Which::Exclude(texts(&["card"])),
                &[][..],
                "`columns.exclude` names card, and there is no such column",
            ),
            (
                Which::Include(texts(&["id", "ID"])),
                &[],
                "`columns.include` names column ID twice",
            ),
            (
                Which::All,
                &[("card", "x")],
                "The columns are id, Note, qty, QTY",
            ),
            (
                Which::All,
                &[("Note", "a"), ("note", "b")],
                "`columns.rename` names column note twice",
            ),
            (
                Which::Exclude(texts(&["Note"])),
                &[("Note", "a")],
                "column Note, which `columns` leaves out",
            ),
            (
                Which::Include(texts(&["id"])),
                &[("Note", "a")],
                "column Note, which `columns` leaves out",
            ),
            (
                Which::All,
                &[("Note", "ID")],
                "columns id and Note would both be called ID",
            ),
            (
                Which::All,
                &[("id", "ÄB"), ("Note", "äb")],
                "would both be called äb",
            ),
        ] {
            let choice = renaming(which, renames);
            let refusal = after(&choice).unwrap_err().to_string();
            assert!(refusal.contains(expected), "{refusal}");
        }
    }

    #[test]
    fn a_column_is_found_under_each_of_its_names() {
        let columns = [(7, "quantity"), (4, "id"), (7, "qty")];
        for name in ["qty", "quantity"] {
            let choice = renaming(Which::Exclude(texts(&[name])), &[]);
            let chosen = choice.resolve("merge.columns", &columns).unwrap();
            assert!(!chosen.keeps(7) && chosen.keeps(4));
        }
        // And a name that was given on stands for both.
        let columns = [(9, "qty"), (7, "qty__dropped_1"), (7, "qty")];
        let choice = renaming(Which::Exclude(texts(&["QTY"])), &[]);
        let chosen = choice.resolve("merge.columns", &columns).unwrap();
        assert!(!chosen.keeps(7) && !chosen.keeps(9));
    }
}
