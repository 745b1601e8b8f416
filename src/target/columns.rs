//! The lake's columns as a load brings them to a target: which, under which names, and what was brought before.
//!
//! A load changes the rows that have changed in the lake. If it brings a column that the last load left out, the other
//! rows of the target lack its values. So each load records, with its rows, what it leaves out and what it renames
//! ([`LoadedColumns`], by the ids of the lake's fields). The next load compares its own choice with that: see
//! [`Compared`]. What a column was called in the target follows from the record, too.

use crate::schema::{LakeSchema, TableSchema};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How a load's columns differ from those of the lake, by field id. All of them are loaded under their own names where
/// nothing is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LoadedColumns {
    #[serde(default)]
    pub left_out: BTreeSet<i32>,
    /// Names in the target.
    #[serde(default)]
    pub renamed: BTreeMap<i32, String>,
}

impl LoadedColumns {
    /// Whether every column is loaded under its own name.
    pub fn is_everything(&self) -> bool {
        self == &Self::default()
    }

    /// What the load state keeps; none where there is nothing to say.
    pub fn text(&self) -> Option<String> {
        let text = serde_json::to_string(self).ok();
        text.filter(|_| !self.is_everything())
    }
}

/// The columns that a load brings, compared with those that the last load of the same lake table brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compared {
    #[default]
    Same,
    /// Fewer, or under other names: the rows that are loaded have all values.
    Otherwise,
    /// Some that the last load left out: the rows that are loaded lack their values.
    More,
}

/// The lake's columns for a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LakeColumns {
    /// Columns of the source, then those that are no longer read, as the target has them: without those that are not
    /// loaded, and under their names there.
    pub schema: TableSchema,
    /// How many of them the source has.
    pub live: usize,
    /// What each was called in the target when it was last loaded; none for a column that was not loaded then.
    /// None at all when it was not loaded from this lake table.
    pub was: Option<Vec<Option<String>>>,
    /// The position of each among all columns of the lake table.
    pub places: Vec<usize>,
    /// What the lake calls each.
    pub lake_names: Vec<String>,
    /// What the source calls each.
    pub source_names: Vec<String>,
    /// Those that are not loaded, by their names in the lake.
    pub left_out: Vec<String>,
    /// What the load state says that each is called in the target, where it says so.
    pub recorded_names: Vec<Option<String>>,
    /// To be recorded with the rows.
    pub loaded: LoadedColumns,
    pub compared: Compared,
    /// The columns that the last load left out and this one brings, by their names in the lake.
    pub included: Vec<String>,
}

impl LakeColumns {
    /// All columns under their own names.
    pub fn all(schema: TableSchema, live: usize, was: Option<Vec<Option<String>>>) -> Self {
        let names: Vec<String> = schema.columns.iter().map(|c| c.name.clone()).collect();
        Self {
            live,
            was,
            places: (0..names.len()).collect(),
            recorded_names: vec![None; names.len()],
            source_names: names.clone(),
            lake_names: names,
            left_out: Vec::new(),
            schema,
            loaded: LoadedColumns::default(),
            compared: Compared::Same,
            included: Vec::new(),
        }
    }

    /// What a target is created with: without what the source dropped.
    pub fn created(&self) -> TableSchema {
        let mut schema = self.schema.clone();
        schema.columns.truncate(self.live);
        schema
    }

    /// The lake table's shape, whose fields name their columns by the positions that those have here. A field of a
    /// column that is not loaded names none.
    pub fn shape(&self, lake: &LakeSchema) -> LakeSchema {
        let mut shape = lake.clone();
        for field in &mut shape.fields {
            let place = |at| self.places.iter().position(|place| *place == at);
            field.source = field.source.and_then(place);
        }
        shape
    }

    /// A column's name in the lake, for a message that names it as the target does; none where that is the same.
    pub fn other_name(&self, at: usize) -> Option<&str> {
        let name = &self.schema.columns.get(at)?.name;
        let lake = self.lake_names.get(at)?;
        (lake != name).then_some(lake)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_load_leaves_out_reads_back() {
        assert_eq!(LoadedColumns::default().text(), None);
        let loaded = LoadedColumns {
            left_out: BTreeSet::from([3, 7]),
            renamed: BTreeMap::from([(4, "quantity".to_owned())]),
        };
        let text = loaded.text().unwrap();
        assert_eq!(text, r#"{"left_out":[3,7],"renamed":{"4":"quantity"}}"#);
        assert_eq!(
            serde_json::from_str::<LoadedColumns>(&text).unwrap(),
            loaded
        );
    }
}
