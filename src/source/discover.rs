//! A source table, its key, and what its database allows.

use super::error::SourceError;
use super::view;
use crate::mssql::control::Control;
use crate::mssql::describe::{Description, Index, Lookup};
use crate::mssql::environment::Environment;
use crate::mssql::surroundings::{self, Surroundings};
use crate::schema::columns::{ChoiceError, ColumnChoice, LeftOut};
use crate::schema::drift::SourceObject;
use crate::schema::{Column, Key, KeyOrigin, TableName, TableSchema};
use std::sync::Arc;

/// Where the columns of a source are chosen.
const OPTION: &str = "columns";

/// A source as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovered {
    /// The columns that are read.
    pub schema: TableSchema,
    /// What the lake calls each of them.
    pub lake_names: Vec<String>,
    /// The columns that the configuration leaves out: no statement names them.
    pub left_out: Vec<LeftOut>,
    /// Those of them whose type is known.
    pub(super) unread: Vec<Column>,
    /// A column of the catalog's key, if it is one of them.
    lost_key: Option<String>,
    pub facts: Facts,
    pub(super) surroundings: Surroundings,
    pub indexes: Vec<Index>,
    /// What a user should know, one sentence each.
    pub warnings: Vec<String>,
}

/// What decides how the table may be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub environment: Arc<Environment>,
    pub object: SourceObject,
    /// Another one when the table or view is altered.
    pub modified: String,
    pub is_view: bool,
    /// The table is, or all tables that the view refers to.
    pub is_memory_optimized: bool,
    pub row_estimate: Option<u64>,
}

/// Finds a table or view, the columns of it that are read, and its key. One round trip.
pub async fn discover(
    control: &mut Control,
    environment: &Arc<Environment>,
    table: &TableName,
    choice: &ColumnChoice,
) -> Result<Discovered, SourceError> {
    let (found, surroundings) = surroundings::look_up(control, table)
        .await
        .map_err(|error| SourceError::on("looking up", table, error))?;
    match found {
        Lookup::Found(description) => {
            let surrounded = (*description, surroundings);
            discovered(surrounded, Arc::clone(environment), choice)
        }
        Lookup::Missing(names) => Err(SourceError::Unknown {
            table: table.clone(),
            hint: hint(table, &names),
        }),
    }
}

fn discovered(
    (description, surroundings): (Description, Surroundings),
    environment: Arc<Environment>,
    choice: &ColumnChoice,
) -> Result<Discovered, SourceError> {
    let table = description.name.clone();
    if !description.can_select {
        return Err(SourceError::MayNotRead { table });
    }
    let Selected {
        columns,
        lake_names,
        left_out,
        unread,
        warnings,
    } = select(&description, choice)?;
    if columns.is_empty() {
        return Err(SourceError::NoColumns { table });
    }
    let all: Vec<Column> = columns.iter().chain(&unread).cloned().collect();
    let key = find_key(&all, &description.indexes);
    let lost = key.iter().flat_map(|key| &key.columns);
    let lost = lost.copied().find(|&at| at >= columns.len());
    Ok(Discovered {
        lost_key: lost.map(|at| all[at].name.clone()),
        schema: TableSchema {
            name: table,
            key: key.filter(|_| lost.is_none()),
            columns,
        },
        lake_names,
        left_out,
        unread,
        facts: Facts {
            environment,
            object: description.object,
            modified: description.modified,
            is_view: description.is_view,
            is_memory_optimized: description.is_memory_optimized
                || surroundings.view.as_ref().is_some_and(view::in_memory),
            row_estimate: description.row_estimate,
        },
        surroundings,
        indexes: description.indexes,
        warnings,
    })
}

/// A table's columns after the choice.
struct Selected {
    columns: Vec<Column>,
    lake_names: Vec<String>,
    left_out: Vec<LeftOut>,
    unread: Vec<Column>,
    warnings: Vec<String>,
}

/// Takes the columns that are chosen. What icesync cannot carry is refused among those only.
fn select(description: &Description, choice: &ColumnChoice) -> Result<Selected, SourceError> {
    let table = &description.name;
    let bad = |problem: ChoiceError| SourceError::Columns {
        table: table.clone(),
        problem,
    };
    let described = &description.columns;
    let names: Vec<(i32, &str)> = described.iter().map(|c| (c.id, &*c.name)).collect();
    let chosen = choice.resolve(OPTION, &names).map_err(bad)?;
    let mut selected = Selected {
        columns: Vec::new(),
        lake_names: Vec::new(),
        left_out: Vec::new(),
        unread: Vec::new(),
        warnings: Vec::new(),
    };
    for described in described {
        if !chosen.keeps(described.id) {
            selected.left_out.push(LeftOut {
                id: described.id,
                name: described.name.clone(),
            });
            selected.unread.extend(described.column());
            continue;
        }
        if described.is_column_set {
            selected.warnings.push(format!(
                "column set {} is left out: its sparse columns are read by themselves",
                described.name
            ));
            continue;
        }
        let column = described.column().map_err(|why| SourceError::Column {
            table: table.clone(),
            column: described.name.clone(),
            why: why.to_owned(),
        })?;
        selected.columns.push(column);
    }
    let kept = selected.columns.iter().map(|c| (c.id, &*c.name));
    selected.lake_names = chosen.names(&kept.collect::<Vec<_>>()).map_err(bad)?;
    Ok(selected)
}

/// The primary key, else the unique index with the fewest columns that covers every row and cannot hold NULL.
fn find_key(columns: &[Column], indexes: &[Index]) -> Option<Key> {
    let positions = |index: &Index| -> Option<Vec<usize>> {
        index
            .key
            .iter()
            .map(|id| columns.iter().position(|column| column.id == *id))
            .collect()
    };
    let usable = |index: &&Index| {
        index.is_unique
            && !index.is_filtered
            && positions(index)
                .is_some_and(|key| !key.is_empty() && key.iter().all(|&at| !columns[at].nullable))
    };
    let index = indexes
        .iter()
        .filter(usable)
        .min_by_key(|index| (!index.is_primary_key, index.key.len()))?;
    let origin = if index.is_primary_key {
        KeyOrigin::PrimaryKey
    } else {
        KeyOrigin::UniqueIndex(index.name.clone().unwrap_or_default())
    };
    Some(Key {
        columns: positions(index)?,
        origin,
    })
}

impl Discovered {
    /// Uses the configured key instead of the catalog's; an empty list leaves the catalog's. A key of which a column is
    /// left out is refused.
    pub fn with_key(mut self, names: &[String]) -> Result<Self, SourceError> {
        if names.is_empty() {
            return match &self.lost_key {
                Some(column) => Err(self.needs(
                    column,
                    "it is part of the key",
                    "name another key with `key: [...]`",
                )),
                None => Ok(self),
            };
        }
        let left_out = |name: &String| {
            let mut names = self.left_out.iter().map(|left| &left.name);
            self.schema.position(name).is_none()
                && names.any(|left| left.eq_ignore_ascii_case(name))
        };
        if let Some(column) = names.iter().find(|name| left_out(name)) {
            return Err(self.needs(column, "`key` names it", "take it out of `key`"));
        }
        let table = &self.schema.name;
        let bad = |problem: String| SourceError::Key {
            table: table.clone(),
            problem,
        };
        let mut columns = Vec::new();
        for name in names {
            let at = self.schema.position(name).ok_or_else(|| {
                bad(format!(
                    "there is no column {name}; the columns are {}",
                    names_of(&self.schema.columns)
                ))
            })?;
            let column = &self.schema.columns[at];
            if columns.contains(&at) {
                return Err(bad(format!("column {} is named twice", column.name)));
            }
            if !column.ty.facts().can_be_key {
                return Err(bad(format!(
                    "column {} has a type whose values SQL Server does not compare",
                    column.name
                )));
            }
            if column.nullable {
                self.warnings.push(format!(
                    "key column {} may be NULL in the source: a row with NULL there cannot be loaded into a target",
                    column.name
                ));
            }
            columns.push(at);
        }
        self.schema.key = Some(Key {
            columns,
            origin: KeyOrigin::Config,
        });
        Ok(self)
    }

    /// The table with the columns that are left out, behind those that are read.
    pub(super) fn whole(&self) -> Self {
        let mut whole = self.clone();
        whole.schema.columns.extend(self.unread.iter().cloned());
        whole
    }

    /// The refusal to leave a column out.
    pub(super) fn needs(
        &self,
        column: &str,
        why: impl Into<String>,
        remedy: &'static str,
    ) -> SourceError {
        SourceError::LeftOut {
            table: self.schema.name.clone(),
            column: column.to_owned(),
            why: why.into(),
            remedy,
        }
    }

    /// Whether the source itself guarantees that no two rows have the key.
    pub fn key_is_unique(&self) -> bool {
        let Some(key) = &self.schema.key else {
            return false;
        };
        key.origin != KeyOrigin::Config
            || self.indexes.iter().any(|index| {
                index.is_unique
                    && !index.is_filtered
                    && index.key.iter().all(|id| {
                        key.columns
                            .iter()
                            .any(|&at| self.schema.columns[at].id == *id)
                    })
            })
    }

    /// Whether the row versions of a table, or of a view, tell when its rows change.
    pub(super) fn versions_tell(&self) -> bool {
        let view = self.surroundings.view.as_ref();
        view.is_none_or(|view| view::untold(view).is_none())
    }

    /// Whether an index over all rows begins with the column.
    pub fn is_led_by_index(&self, column: usize) -> bool {
        let id = self.schema.columns[column].id;
        self.indexes
            .iter()
            .any(|index| !index.is_filtered && index.key.first() == Some(&id))
    }

    /// Whether an index over all rows has them by this column, and by the key where its values are equal.
    pub(super) fn is_ordered_by_index(&self, column: usize) -> bool {
        let key = self.schema.key.iter().flat_map(|key| &key.columns);
        let rest = key.filter(|&&at| at != column);
        let order: Vec<i32> = std::iter::once(&column)
            .chain(rest)
            .map(|&at| self.schema.columns[at].id)
            .collect();
        let clustered = self.indexes.iter().find(|index| index.is_clustered);
        self.indexes
            .iter()
            .any(|index| !index.is_filtered && index.has_order(clustered, &order))
    }
}

fn names_of(columns: &[Column]) -> String {
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    names.join(", ")
}

/// What an unknown table's error adds: a synonym by that name, or the names closest to it.
fn hint(table: &TableName, names: &[(TableName, String)]) -> String {
    let same = |a: &str, b: &str| a.to_lowercase() == b.to_lowercase();
    let is_synonym = names.iter().any(|(name, kind)| {
        kind == "SN" && same(&name.name, &table.name) && same(&name.schema, &table.schema)
    });
    if is_synonym {
        return "it is a synonym: name the table or view that it stands for".into();
    }
    let wanted = table.name.to_lowercase();
    let limit = (wanted.chars().count() / 3).max(1);
    let mut near: Vec<(usize, &TableName)> = names
        .iter()
        .filter(|(_, kind)| kind != "SN")
        .map(|(name, _)| (distance(&wanted, &name.name.to_lowercase()), name))
        .filter(|(distance, name)| {
            *distance <= limit
                || (wanted.chars().count() > 3 && name.name.to_lowercase().contains(&wanted))
        })
        .collect();
    near.sort();
    near.truncate(5);
    if near.is_empty() {
        "check the schema and the name, the database in the connection, and that the login may see the table".into()
    } else {
        let names: Vec<String> = near.iter().map(|(_, name)| name.to_string()).collect();
        format!("similar names: {}", names.join(", "))
    }
}

/// Levenshtein's edit distance, in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(ca != *cb))
                .min(above + 1)
                .min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::mssql::describe::DescribedColumn;
    use crate::mssql::surroundings::{Reference, View};
    use crate::schema::columns::Which;
    use crate::schema::{Generated, SqlType};

    pub(in crate::source) fn column(id: i32, name: &str, ty: SqlType, nullable: bool) -> Column {
        Column {
            id,
            name: name.into(),
            ty,
            nullable,
            collation: None,
            generated: Generated::No,
        }
    }

    pub(in crate::source) fn index(unique: bool, primary: bool, key: &[i32]) -> Index {
        Index {
            name: Some(format!("ix_{key:?}")),
            is_primary_key: primary,
            is_unique: unique,
            is_clustered: primary,
            is_filtered: false,
            ignores_duplicates: false,
            key: key.to_vec(),
            descending: Vec::new(),
        }
    }

    pub(in crate::source) fn table(columns: Vec<Column>, indexes: Vec<Index>) -> Discovered {
        let key = find_key(&columns, &indexes);
        Discovered {
            lake_names: columns.iter().map(|column| column.name.clone()).collect(),
            left_out: Vec::new(),
            unread: Vec::new(),
            lost_key: None,
            schema: TableSchema {
                name: "dbo.orders".parse().unwrap(),
                columns,
                key,
            },
            facts: Facts {
                environment: Environment::example().into(),
                object: SourceObject {
                    id: 1,
                    created: "2026-01-01T00:00:00".into(),
                },
                modified: "2026-01-01T00:00:00".into(),
                is_view: false,
                is_memory_optimized: false,
                row_estimate: Some(10),
            },
            surroundings: Surroundings::default(),
            indexes,
            warnings: Vec::new(),
        }
    }

    fn described(id: i32, name: &str, ty: SqlType, generated: Generated) -> DescribedColumn {
        DescribedColumn {
            id,
            name: name.into(),
            ty: Ok(ty),
            nullable: id != 1,
            collation: None,
            generated,
            has_default: false,
            is_column_set: false,
        }
    }

    fn description(columns: Vec<DescribedColumn>, indexes: Vec<Index>) -> Description {
        Description {
            name: "dbo.t".parse().unwrap(),
            object: SourceObject {
                id: 1,
                created: String::new(),
            },
            modified: String::new(),
            references_itself: false,
            is_view: false,
            can_select: true,
            can_alter: false,
            user: "reader".into(),
            is_memory_optimized: false,
            row_estimate: None,
            columns,
            indexes,
        }
    }

    fn chosen(description: Description, choice: &ColumnChoice) -> Result<Discovered, SourceError> {
        let surrounded = (description, Surroundings::default());
        discovered(surrounded, Environment::example().into(), choice)
    }

    #[test]
    fn a_view_of_memory_optimized_tables_is_read_as_they_are() {
        let columns = vec![described(1, "id", SqlType::Int, Generated::No)];
        let description = Description {
            is_view: true,
            ..description(columns, Vec::new())
        };
        let found = |is_memory_optimized| {
            let reference = Reference {
                name: "dbo.t".into(),
                is_table: true,
                is_memory_optimized,
                is_elsewhere: false,
            };
            let surroundings = Surroundings {
                view: Some(View {
                    definition: Some("CREATE VIEW v AS SELECT id FROM dbo.t".into()),
                    references: Some(vec![reference]),
                }),
                ..Surroundings::default()
            };
            let environment = Environment::example().into();
            let described = (description.clone(), surroundings);
            discovered(described, environment, &ColumnChoice::default()).unwrap()
        };
        assert!(found(true).facts.is_memory_optimized);
        assert!(!found(false).facts.is_memory_optimized);
    }

    fn names(found: &Discovered) -> Vec<&str> {
        let columns = found.schema.columns.iter();
        columns.map(|column| &*column.name).collect()
    }

    #[test]
    fn a_column_set_is_left_out_and_its_columns_and_hidden_ones_are_read() {
        let time = SqlType::DateTime2 { scale: 7 };
        let set = DescribedColumn {
            is_column_set: true,
            ..described(2, "all", SqlType::Xml, Generated::No)
        };
        let columns = vec![
            described(1, "sparse", SqlType::Int, Generated::No),
            set,
            described(3, "from", time, Generated::RowStart),
            described(4, "to", time, Generated::RowEnd),
        ];
        let description = description(columns, Vec::new());
        let found = chosen(description.clone(), &ColumnChoice::default()).unwrap();
        assert_eq!(names(&found), ["sparse", "from", "to"]);
        assert!(
            found.warnings[0].contains("column set all"),
            "{:?}",
            found.warnings
        );
        let found = chosen(description, &without(&["ALL"])).unwrap();
        assert_eq!(names(&found), ["sparse", "from", "to"]);
        assert!(found.warnings.is_empty());
    }

    fn without(names: &[&str]) -> ColumnChoice {
        ColumnChoice {
            which: Which::Exclude(names.iter().map(|name| (*name).to_owned()).collect()),
            ..ColumnChoice::default()
        }
    }

    #[test]
    fn what_is_left_out_need_not_be_readable() {
        let opaque = DescribedColumn {
            ty: Err("it is encrypted".into()),
            ..described(3, "card", SqlType::Int, Generated::No)
        };
        let columns = vec![
            described(1, "id", SqlType::Int, Generated::No),
            described(2, "Note", SqlType::Int, Generated::No),
            opaque,
        ];
        let description = description(columns, vec![index(true, true, &[1])]);
        let all = chosen(description.clone(), &ColumnChoice::default());
        assert!(all.unwrap_err().to_string().contains("encrypted"));
        let mut choice = without(&["card"]);
        choice.rename.insert("note".into(), "remark".into());
        let found = chosen(description.clone(), &choice).unwrap();
        assert_eq!(names(&found), ["id", "Note"]);
        assert_eq!(found.lake_names, ["id", "remark"]);
        assert_eq!(
            (found.left_out[0].id, &*found.left_out[0].name),
            (3, "card")
        );
        choice.rename.insert("id".into(), "REMARK".into());
        let refusal = chosen(description, &choice).unwrap_err().to_string();
        assert!(
            refusal.contains("dbo.t") && refusal.contains("`columns.rename`"),
            "{refusal}"
        );
    }

    #[test]
    fn a_key_is_not_left_out() {
        let columns = vec![
            described(1, "id", SqlType::Int, Generated::No),
            described(2, "Note", SqlType::Int, Generated::No),
        ];
        let description = description(columns, vec![index(true, true, &[1])]);
        let key = |names: &[&str], choice: &ColumnChoice| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let found = chosen(description.clone(), choice).unwrap();
            found
                .with_key(&names)
                .map(|found| found.schema.key.unwrap().columns)
        };
        assert_eq!(key(&[], &without(&["note"])).unwrap(), [0]);
        assert_eq!(key(&["note"], &without(&["id"])).unwrap(), [0]);
        for (names, left_out, expected) in [
            (
                &[][..],
                "ID",
                "column id of dbo.t is left out by `columns`, but it is part of the key",
            ),
            (&["NOTE"][..], "note", "`key` names it"),
        ] {
            let refusal = key(names, &without(&[left_out])).unwrap_err().to_string();
            assert!(refusal.contains(expected), "{refusal}");
            assert!(refusal.contains("columns.exclude"), "{refusal}");
        }
    }

    #[test]
    fn the_primary_key_wins_then_the_narrowest_unique_index_without_null() {
        let columns = vec![
            column(1, "a", SqlType::Int, false),
            column(2, "b", SqlType::Int, false),
            column(4, "c", SqlType::Int, true),
        ];
        let wide = index(true, false, &[1, 2]);
        let narrow = index(true, false, &[2]);
        let nullable = index(true, false, &[4]);
        let found = find_key(&columns, &[nullable.clone(), wide.clone(), narrow]).unwrap();
        assert_eq!(found.columns, vec![1]);
        let primary = index(true, true, &[2, 1]);
        let found = find_key(&columns, &[wide.clone(), primary]).unwrap();
        assert_eq!(
            (found.columns, found.origin),
            (vec![1, 0], KeyOrigin::PrimaryKey)
        );
        let mut filtered = wide;
        filtered.is_filtered = true;
        assert_eq!(find_key(&columns, &[filtered, nullable]), None);
    }

    #[test]
    fn a_configured_key_is_checked_against_the_columns() {
        let found = table(
            vec![
                column(1, "Id", SqlType::Int, false),
                column(2, "doc", SqlType::Xml, true),
                column(3, "n", SqlType::Int, true),
            ],
            vec![],
        );
        let with = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            found.clone().with_key(&names)
        };
        assert_eq!(with(&["id"]).unwrap().schema.key.unwrap().columns, vec![0]);
        assert!(!with(&["id"]).unwrap().key_is_unique());
        assert_eq!(with(&["n"]).unwrap().warnings.len(), 1);
        for (names, expected) in [
            (&["id", "ID"][..], "twice"),
            (&["doc"][..], "does not compare"),
            (&["nope"][..], "Id, doc, n"),
        ] {
            let error = with(names).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn an_unknown_table_gets_near_names() {
        let name = |text: &str, kind: &str| (text.parse::<TableName>().unwrap(), kind.to_owned());
        let names = [
            name("sales.orders", "U"),
            name("dbo.order", "V"),
            name("dbo.customers", "U"),
            name("dbo.ordrs_syn", "SN"),
        ];
        let wanted: TableName = "dbo.orders".parse().unwrap();
        assert_eq!(
            hint(&wanted, &names),
            "similar names: sales.orders, dbo.order"
        );
        let synonym: TableName = "dbo.ORDRS_syn".parse().unwrap();
        assert!(hint(&synonym, &names).contains("synonym"));
        assert!(hint(&"dbo.zzz".parse().unwrap(), &names).contains("check the schema"));
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
