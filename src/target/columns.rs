//! The lake's columns as a load brings them to a target, and the columns that a target has besides.

use crate::schema::mapping::{COMMITTED_AT, OP, SEQ};
use crate::schema::{Column, Generated, Key, KeyOrigin, LakeSchema, Role, SqlType, TableSchema};

/// Type of `_committed_at` in a target: microseconds, UTC.
pub const COMMITTED_AT_TYPE: SqlType = SqlType::DateTime2 { scale: 6 };

/// The lake's columns for a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LakeColumns {
    /// Columns that the target gets, then those that it does not have to have: staged only, or dropped by the source.
    pub schema: TableSchema,
    /// How many the target gets.
    pub live: usize,
    /// What each was called when the target was last loaded; none for a column that is new since.
    /// None at all when it was not loaded from this lake table.
    pub was: Option<Vec<Option<String>>>,
    /// Columns that the target has for the mode of the load alone. The lake has no values for them.
    pub own: Vec<Column>,
    /// Columns of a history in `schema`, by their role, from `history_at` on.
    history: Vec<Role>,
    history_at: usize,
}

impl LakeColumns {
    /// The columns of the source, `live` of which it has today.
    pub fn all(schema: TableSchema, live: usize, was: Option<Vec<Option<String>>>) -> Self {
        Self {
            schema,
            live,
            was,
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
        schema.columns.extend(self.own.iter().cloned());
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

    /// The lake table's shape, whose fields name their columns by the positions that those have here.
    pub fn shape(&self, lake: &LakeSchema) -> LakeSchema {
        let mut shape = lake.clone();
        for field in &mut shape.fields {
            match field.source {
                Some(at) if at >= self.history_at => field.source = Some(at + self.history.len()),
                Some(_) => {}
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
        all.own = vec![history_column(9, Role::CommittedAt).unwrap()];
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
}
