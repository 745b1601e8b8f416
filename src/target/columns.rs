//! The lake's columns as a load brings them to a target: which, under which names, and what was brought before.
//!
//! A load changes the rows that have changed in the lake. If it brings a column that the last load left out, the other
//! rows of the target lack its values. So each load records, with its rows, what it leaves out and what it renames
//! ([`LoadedColumns`], by the ids of the lake's fields). The next load compares its own choice with that: see
//! [`Compared`]. What a column was called in the target follows from the record, too.
//!
//! Columns that the lake has of a history have a place among those of the source where a mode loads them. Columns that
//! only the target has are apart.

use crate::schema::mapping::{COMMITTED_AT, OP, SEQ};
use crate::schema::{Column, Generated, Key, KeyOrigin, LakeSchema, Role, SqlType, TableSchema};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Type of `_committed_at` in a target: microseconds, UTC.
pub const COMMITTED_AT_TYPE: SqlType = SqlType::DateTime2 { scale: 6 };

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

    /// What the load state keeps, with the id of the target's column that marks deleted rows; none where there is
    /// nothing to say.
    pub fn text(&self, flag: Option<i32>) -> Option<String> {
        if self.is_everything() && flag.is_none() {
            return None;
        }
        let mut kept = serde_json::to_value(self).ok()?;
        if let (Some(flag), Some(kept)) = (flag, kept.as_object_mut()) {
            kept.insert("flag".to_owned(), flag.into());
        }
        Some(kept.to_string())
    }

    /// What a load state has kept.
    pub fn read(text: &str) -> serde_json::Result<(Self, Option<i32>)> {
        let loaded = serde_json::from_str(text)?;
        let Flag { flag } = serde_json::from_str(text)?;
        Ok((loaded, flag))
    }
}

/// The part of the load state's JSON that is not of the lake's columns.
#[derive(Deserialize)]
struct Flag {
    #[serde(default)]
    flag: Option<i32>,
}

/// The columns that a load fills, compared with those that the last load of the same lake table filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Compared {
    #[default]
    Same,
    /// Fewer, or under other names: the rows that are loaded have all values.
    Otherwise,
    /// Some that the last load left out: the rows that are loaded lack their values.
    More,
}

/// A column that only the target has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnColumn {
    pub column: Column,
    /// What it was called when a load filled it last; none where no load has. Values that are not in the lake are in it
    /// then.
    pub was: Option<String>,
}

/// The lake's columns for a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LakeColumns {
    /// Columns that the target gets, then those that it does not have to have: staged only, or no longer read. As the
    /// target has them: without those that are not loaded, and under their names there.
    pub schema: TableSchema,
    /// How many the target gets.
    pub live: usize,
    /// What each was called in the target when it was last loaded; none for a column that was not loaded then.
    /// None at all when it was not loaded from this lake table.
    pub was: Option<Vec<Option<String>>>,
    /// The position of each among the columns of the source that the lake table has; none for a column of a history.
    pub places: Vec<Option<usize>>,
    /// The id of each one's field in the lake, where it has one.
    pub fields: Vec<Option<i32>>,
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
    /// Columns that the target has for the mode of the load alone. The lake has no values for them.
    pub own: Vec<OwnColumn>,
    /// Columns of a history in `schema`, by their role, from `history_at` on.
    history: Vec<Role>,
    history_at: usize,
}

impl LakeColumns {
    /// All columns under their own names.
    pub fn all(schema: TableSchema, live: usize, was: Option<Vec<Option<String>>>) -> Self {
        let names: Vec<String> = schema.columns.iter().map(|c| c.name.clone()).collect();
        Self {
            live,
            was,
            places: (0..names.len()).map(Some).collect(),
            fields: vec![None; names.len()],
            recorded_names: vec![None; names.len()],
            source_names: names.clone(),
            lake_names: names,
            left_out: Vec::new(),
            schema,
            loaded: LoadedColumns::default(),
            compared: Compared::Same,
            included: Vec::new(),
            own: Vec::new(),
            history: Vec::new(),
            history_at: live,
        }
    }

    /// What a target is created with: without what the source dropped.
    pub fn created(&self) -> TableSchema {
        let mut schema = self.schema.clone();
        schema.columns.truncate(self.live);
        if !self.history.is_empty() {
            // The versions of a row share its identity.
            for column in &mut schema.columns {
                column.generated = Generated::No;
            }
        }
        let own = self.own.iter().map(|own| own.column.clone());
        schema.columns.extend(own);
        schema
    }

    /// Lets columns that the lake has of a history be loaded as those of the source are: the target gets those of
    /// `kept`, and those of `staged` go no further than the staging table. `is_known`: the target was loaded like this
    /// before. The key of the rows is `key` and `_seq`.
    pub fn with_history(&mut self, kept: &[Role], staged: &[Role], is_known: bool, key: &[usize]) {
        let at = self.live;
        let roles = kept.iter().chain(staged);
        let columns: Vec<Column> = (0..)
            .zip(roles.clone())
            .filter_map(|(id, role)| history_column(i32::MAX - id, *role))
            .collect();
        if let Some(was) = &mut self.was {
            let was_here = |at: usize, column: &Column| {
                (is_known && at < kept.len()).then(|| column.name.clone())
            };
            let names: Vec<_> = (0..)
                .zip(&columns)
                .map(|(at, column)| was_here(at, column))
                .collect();
            was.splice(at..at, names);
        }
        let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        self.places.splice(at..at, vec![None; names.len()]);
        self.fields.splice(at..at, vec![None; names.len()]);
        self.recorded_names.splice(at..at, vec![None; names.len()]);
        self.lake_names.splice(at..at, names.iter().cloned());
        self.source_names.splice(at..at, names);
        self.schema.columns.splice(at..at, columns);
        self.history_at = at;
        self.history = roles.copied().collect();
        self.live += kept.len();
        let mut columns = key.to_vec();
        columns.extend(self.history_position(Role::Seq));
        self.schema.key = Some(Key {
            columns,
            origin: KeyOrigin::Config,
        });
    }

    /// Where `schema` has a column of a history.
    pub fn history_position(&self, role: Role) -> Option<usize> {
        let at = self.history.iter().position(|of| *of == role)?;
        Some(self.history_at + at)
    }

    /// The lake table's shape, whose fields name their columns by the positions that those have here. A field of a
    /// column that is not loaded names none.
    pub fn shape(&self, lake: &LakeSchema) -> LakeSchema {
        let mut shape = lake.clone();
        for field in &mut shape.fields {
            match field.source {
                Some(at) => field.source = self.position(at),
                None => {
                    if let Some(at) = self.history_position(field.role) {
                        field.source = Some(at);
                        field.role = Role::Value;
                    }
                }
            }
        }
        shape
    }

    /// Where `schema` has the column at this position of the lake table; none where it is not loaded.
    pub fn position(&self, place: usize) -> Option<usize> {
        self.places.iter().position(|at| *at == Some(place))
    }

    /// Where `schema` has the column that the lake calls so.
    pub fn lake_position(&self, name: &str) -> Option<usize> {
        let exact = self.lake_names.iter().position(|lake| lake == name);
        let same = |lake: &String| lake.eq_ignore_ascii_case(name);
        exact.or_else(|| self.lake_names.iter().position(same))
    }

    /// Whether a column is called so, which may be one that only the target has.
    pub fn has(&self, name: &str) -> bool {
        let mut own = self.own.iter().map(|own| &own.column.name);
        self.schema.position(name).is_some() || own.any(|own| own.eq_ignore_ascii_case(name))
    }

    /// The name of a column of a history, or of one that only the target has, that another column has, too.
    pub fn name_taken(&self) -> Option<&str> {
        let (before, rest) = self.schema.columns.split_at(self.history_at);
        let (history, after) = rest.split_at(self.history.len());
        let source = || before.iter().chain(after);
        let is_taken =
            |column: &&Column| source().any(|other| other.name.eq_ignore_ascii_case(&column.name));
        let own = self.own.iter().map(|own| &own.column);
        let taken = history.iter().chain(own).find(is_taken);
        taken.map(|column| column.name.as_str())
    }

    /// A column's name in the lake, for a message that names it as the target does; none where that is the same.
    pub fn other_name(&self, at: usize) -> Option<&str> {
        let name = &self.schema.columns.get(at)?.name;
        let lake = self.lake_names.get(at)?;
        (lake != name).then_some(lake)
    }
}

/// A column of a history in a target.
fn history_column(id: i32, role: Role) -> Option<Column> {
    let (name, ty) = match role {
        Role::Op => (OP, SqlType::NVarChar { length: Some(1) }),
        Role::Seq => (SEQ, SqlType::BigInt),
        Role::CommittedAt => (COMMITTED_AT, COMMITTED_AT_TYPE),
        Role::Value | Role::Ticks | Role::Offset | Role::BaseType | Role::Srid => return None,
    };
    Some(Column {
        id,
        name: name.to_owned(),
        ty,
        nullable: false,
        collation: None,
        generated: Generated::No,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::mapping::lake_schema;
    use crate::schema::{Fidelity, TableKind};

    #[test]
    fn what_a_load_leaves_out_reads_back() {
        assert_eq!(LoadedColumns::default().text(None), None);
        let loaded = LoadedColumns {
            left_out: BTreeSet::from([3, 7]),
            renamed: BTreeMap::from([(4, "quantity".to_owned())]),
        };
        let text = loaded.text(None).unwrap();
        assert_eq!(text, r#"{"left_out":[3,7],"renamed":{"4":"quantity"}}"#);
        assert_eq!(LoadedColumns::read(&text).unwrap(), (loaded.clone(), None));
        let text = loaded.text(Some(9)).unwrap();
        assert_eq!(LoadedColumns::read(&text).unwrap(), (loaded, Some(9)));
        let text = LoadedColumns::default().text(Some(9)).unwrap();
        let kept = (LoadedColumns::default(), Some(9));
        assert_eq!(LoadedColumns::read(&text).unwrap(), kept);
        assert_eq!(LoadedColumns::default().text(None), None);
    }

    /// `id` and `at` of the source, and `gone`, which it has dropped.
    fn columns(was: Option<Vec<Option<String>>>) -> LakeColumns {
        let column = |id: i32, name: &str, ty, nullable| Column {
            id,
            name: name.into(),
            ty,
            nullable,
            collation: None,
            generated: Generated::Identity,
        };
        let schema = TableSchema {
            name: "dbo.t".parse().unwrap(),
            columns: vec![
                column(1, "id", SqlType::Int, false),
                column(2, "at", SqlType::DateTime2 { scale: 7 }, true),
                column(3, "gone", SqlType::Int, true),
            ],
            key: Some(Key {
                columns: vec![0],
                origin: KeyOrigin::PrimaryKey,
            }),
        };
        LakeColumns::all(schema, 2, was)
    }

    fn names(columns: &[Column]) -> Vec<&str> {
        columns.iter().map(|column| column.name.as_str()).collect()
    }

    #[test]
    fn columns_of_a_history_are_loaded_like_those_of_the_source() {
        let name = |name: &str| Some(name.to_owned());
        let mut all = columns(Some(vec![name("id"), name("at"), name("gone")]));
        let lake = lake_schema(&all.schema, TableKind::History, Fidelity::Exact).unwrap();
        assert_eq!(all.shape(&lake), lake);
        all.with_history(&[Role::Seq], &[Role::Op, Role::CommittedAt], true, &[0]);
        all.own = vec![OwnColumn {
            column: history_column(9, Role::CommittedAt).unwrap(),
            was: None,
        }];
        let found = names(&all.schema.columns);
        assert_eq!(found, ["id", "at", "_seq", "_op", "_committed_at", "gone"]);
        assert_eq!(
            all.was,
            Some(vec![
                name("id"),
                name("at"),
                name("_seq"),
                None,
                None,
                name("gone")
            ])
        );
        let created = all.created();
        assert_eq!(
            names(&created.columns),
            ["id", "at", "_seq", "_committed_at"]
        );
        let key: Vec<&str> = created.key_columns().map(|c| c.name.as_str()).collect();
        assert_eq!(key, ["id", "_seq"]);
        assert!(created.columns.iter().all(|c| c.generated == Generated::No));
        // Each field leads to the column of its name.
        for field in all.shape(&lake).fields {
            let column = &all.schema.columns[field.source.unwrap()];
            let companion = format!("{}__100ns", column.name);
            assert!(
                field.name == column.name || field.name == companion,
                "{field:?}"
            );
        }
    }

    #[test]
    fn a_name_that_a_mode_gives_is_that_of_no_other_column() {
        let mut all = columns(None);
        all.schema.columns[1].name = "_SEQ".into();
        assert_eq!(all.name_taken(), None);
        all.with_history(&[Role::Seq], &[], false, &[0]);
        assert_eq!(all.name_taken(), Some("_seq"));
        // The lake's name leads to a column that the target calls otherwise.
        assert_eq!(all.lake_position("AT"), Some(1));
    }
}
