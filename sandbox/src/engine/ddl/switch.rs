//! ALTER TABLE ... SWITCH.

use super::tracking::check_untracked;
use super::{change_table, edit};
use crate::engine::context::Cx;
use crate::engine::fault::{Outcome, error};
use crate::engine::schema::{Column, Index, ObjectRef, TableDef};
use crate::engine::storage::Table;

/// Exchanges the storage of a table and of an empty one of the same columns and indexes.
pub fn switch(cx: &mut Cx<'_>, from: ObjectRef, to: ObjectRef) -> Outcome<()> {
    let (source, target) = (cx.held.table(from)?, cx.held.table(to)?);
    for table in [source, target] {
        check_untracked(table, "ALTER TABLE SWITCH")?;
    }
    let failed = |number, why: String| {
        error(
            number,
            16,
            format!("ALTER TABLE SWITCH statement failed. {why}"),
        )
    };
    if target.count > 0 {
        let why = format!("The target table '{}' must be empty.", target.def.name);
        return Err(failed(4905, why).into());
    }
    let columns = |def: &TableDef| {
        let columns = def.columns.iter();
        let column = |c: &Column| {
            (
                c.name.clone(),
                c.ty.clone(),
                c.nullable,
                c.computed.is_some(),
            )
        };
        columns.map(column).collect::<Vec<_>>()
    };
    let indexes = |def: &TableDef| {
        let indexes = def.indexes.iter();
        let index = |i: &Index| (i.columns.clone(), i.include.clone(), i.unique, i.clustered);
        indexes.map(index).collect::<Vec<_>>()
    };
    if columns(&source.def) != columns(&target.def) {
        let why = "The two tables do not have the same columns.".to_owned();
        return Err(failed(4943, why).into());
    }
    if indexes(&source.def) != indexes(&target.def) {
        let why = "The two tables do not have the same indexes.".to_owned();
        return Err(failed(4947, why).into());
    }
    let mut moved = source.clone();
    change_table(cx, to, |_, table| {
        exchange(table, &mut moved);
        Ok(())
    })?;
    change_table(cx, from, |_, table| {
        *table = moved;
        Ok(())
    })
}

/// Exchanges everything but the definitions.
fn exchange(a: &mut Table, b: &mut Table) {
    std::mem::swap(a, b);
    std::mem::swap(&mut a.def, &mut b.def);
    for table in [a, b] {
        edit(table, |def| {
            def.indexes
                .iter_mut()
                .for_each(|index| index.storage = None);
        });
        table.shaped_at = u64::MAX;
    }
}
