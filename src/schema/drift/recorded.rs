//! What a lake table holds, in the words of its source.

use crate::schema::columns::LeftOut;
use crate::schema::{Column, TableSchema};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A table as an object of its database: another one when the table is recreated. Ids alone repeat in databases
/// that one script made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceObject {
    pub id: i64,
    /// As the catalog says it; survives backup and restore.
    pub created: String,
}

/// A view as an object of its database: another one when the view is altered or recreated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceView {
    pub id: i64,
    /// As the catalog says it; survives backup and restore.
    pub modified: String,
}

/// What a lake table holds, in the words of its source; kept as JSON in a table property.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// The columns of the source, each with a type and nullability that fit every row in the lake.
    #[serde(flatten)]
    pub schema: TableSchema,
    /// The object whose column ids these are; none when ids say nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<SourceObject>,
    /// The view that the source is; older builds did not record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<SourceView>,
    /// Columns that are no longer read, under their names in the lake.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<Column>,
    /// Columns of the source that the configuration leaves out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// The name at the source of each column of `schema` that the lake calls otherwise, by its name in the lake.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub renamed: BTreeMap<String, String>,
}

impl Recorded {
    /// Of a table that is new in the lake.
    pub fn new(schema: TableSchema, object: Option<SourceObject>) -> Self {
        Self {
            schema,
            object,
            view: None,
            dropped: Vec::new(),
            left_out: Vec::new(),
            renamed: BTreeMap::new(),
        }
    }

    /// What the source calls a column of `schema`.
    pub fn source_name<'a>(&'a self, column: &'a Column) -> &'a str {
        self.renamed.get(&column.name).unwrap_or(&column.name)
    }

    /// Position in `schema` of a column by its name at the source.
    pub fn source_position(&self, name: &str) -> Option<usize> {
        let position = |is_it: &dyn Fn(&str) -> bool| {
            let mut columns = self.schema.columns.iter();
            columns.position(|column| is_it(self.source_name(column)))
        };
        let exact = position(&|have| have == name);
        exact.or_else(|| position(&|have| have.eq_ignore_ascii_case(name)))
    }

    /// Its name in the lake, and at the source where that is another one.
    pub fn shown(&self, column: &Column) -> String {
        match self.renamed.get(&column.name) {
            Some(source) => format!("{} ({source} at the source)", column.name),
            None => column.name.clone(),
        }
    }

    /// A column that `other` has, if it is left out here.
    pub(super) fn as_left_out(&self, other: &Recorded, column: &Column) -> Option<&LeftOut> {
        match self.is_object_of(other) {
            true => self.left_out.iter().find(|left| left.id == column.id),
            false => self.leaves_out(other.source_name(column)),
        }
    }

    /// A column that is left out, by its name at the source.
    pub(super) fn leaves_out(&self, name: &str) -> Option<&LeftOut> {
        let name = name.to_lowercase();
        self.left_out
            .iter()
            .find(|left| left.name.to_lowercase() == name)
    }

    /// Whether the ids of both are those of one object.
    pub(super) fn is_object_of(&self, other: &Recorded) -> bool {
        other.object.is_some() && self.object == other.object
    }

    /// The source's columns, then the dropped ones: what the lake's fields refer to by position.
    pub fn whole(&self) -> TableSchema {
        let mut whole = self.schema.clone();
        whole.columns.extend(self.dropped.iter().cloned());
        whole
    }

    /// Whether the rows of `found` are others than those of the source that was recorded: a recreated table, a table in
    /// the place of a view or a view in the place of a table, a view that was altered. A view that an older build
    /// recorded is taken for the same, because its record does not say.
    pub fn was_recreated(&self, found: &Recorded) -> bool {
        let views = self.view.as_ref().zip(found.view.as_ref());
        self.object != found.object || views.is_some_and(|(before, now)| before != now)
    }

    /// How many columns the source has; those from here on in [`Recorded::whole`] are dropped.
    pub fn live(&self) -> usize {
        self.schema.columns.len()
    }
}
