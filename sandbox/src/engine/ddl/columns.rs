//! Columns that go: what stands in the way, and what moves.

use crate::engine::schema::TableDef;

/// What needs a column: an index, a constraint or a computed column.
pub fn dependent_on(def: &TableDef, ordinal: usize) -> Option<String> {
    let text_of = |value: &dyn std::fmt::Debug| format!("{value:?}").to_lowercase();
    let wanted = format!("text: \"{}\"", def.columns[ordinal].name.to_lowercase());
    def.indexes
        .iter()
        .find(|index| {
            index.columns.iter().any(|(at, _)| *at == ordinal) || index.include.contains(&ordinal)
        })
        .map(|index| index.name.clone())
        .or_else(|| {
            def.foreign_keys
                .iter()
                .find(|key| key.columns.contains(&ordinal))
                .map(|key| key.name.clone())
        })
        .or_else(|| {
            def.columns[ordinal]
                .default
                .as_ref()
                .map(|default| default.name.clone())
        })
        .or_else(|| {
            def.checks
                .iter()
                .find(|check| text_of(&check.condition).contains(&wanted))
                .map(|check| check.name.clone())
        })
        .or_else(|| {
            def.columns
                .iter()
                .find(|column| {
                    column
                        .computed
                        .as_ref()
                        .is_some_and(|computed| text_of(&computed.expr).contains(&wanted))
                })
                .map(|column| column.name.clone())
        })
}

/// Takes a column out of a definition, and moves the places of those after it.
pub fn remove_column(def: &mut TableDef, ordinal: usize) {
    def.columns.remove(ordinal);
    let moved = |at: &mut usize| {
        if *at > ordinal {
            *at -= 1;
        }
    };
    for index in &mut def.indexes {
        index.columns.iter_mut().for_each(|(at, _)| moved(at));
        index.include.iter_mut().for_each(moved);
    }
    def.foreign_keys
        .iter_mut()
        .for_each(|key| key.columns.iter_mut().for_each(moved));
    def.statistics
        .retain(|statistics| !statistics.columns.contains(&ordinal));
    def.statistics
        .iter_mut()
        .for_each(|statistics| statistics.columns.iter_mut().for_each(moved));
}
