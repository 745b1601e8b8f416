//! A target's columns as they are compared with the lake's.

use super::inspect::TargetTable;
use crate::schema::Column;

impl TargetTable {
    /// A column as the target has it; none where it has none of that name. An error says of what type it is, where
    /// icesync does not know the type.
    pub fn compared(&self, name: &str) -> Option<Result<Column, String>> {
        let exact = self.columns.iter().find(|column| column.name == name);
        let same = || {
            let mut columns = self.columns.iter();
            columns.find(|column| column.name.eq_ignore_ascii_case(name))
        };
        let column = exact.or_else(same)?;
        let known = column.ty.clone().map(|ty| Column {
            id: column.id,
            name: column.name.clone(),
            ty,
            nullable: column.nullable,
            collation: column.collation.clone(),
            generated: column.generated,
        });
        Some(known)
    }

    /// Whether an index over all rows begins with the column.
    pub fn is_led_by_index(&self, id: i32) -> bool {
        let mut indexes = self.indexes.iter();
        indexes.any(|index| !index.is_filtered && index.key.first() == Some(&id))
    }
}
