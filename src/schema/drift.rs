//! What became of a source's columns since its lake table was last written, and what the lake table becomes by it.
//!
//! The lake table keeps a [`Recorded`] schema: for each column a type that holds every value in the lake, whichever
//! definition of the source it was read under. [`compare`] sets it against the schema found now. The outcome is a
//! [`Drift`] that loses nothing (a column is added, widened, renamed, or goes on as NULL), or a [`Refusal`] that
//! says how to resolve it. Both are decided before a row is read.
//!
//! **Which column is which.** SQL Server gives a column an id that survives a rename and is never used again in its
//! table. While the table is the same object, the ids decide: another name under the same id is a rename, another
//! id under the same name is a column that was dropped and one that was added. When the object is another one (the
//! table was recreated, or is another database's) or the ids say nothing (a view's are mere positions), columns are
//! matched by name; and where one name vanished and another one of a type that could carry it on appeared, nobody
//! can tell a rename from a drop and an add, so the configuration has to: `renames:` or `drops:`.
//!
//! **What the configuration leaves out** is recorded by id and name. A column that was left out and is read from now on
//! was there all along, so rows in the lake lack values that no window shows: [`Drift::included`] names it, and the
//! whole table has to be read. A column that was read and is left out goes on as one that was dropped. A column that
//! the configuration calls otherwise is renamed. Ids and names at the source tell which column is which.
//!
//! **What is dropped stays.** Its values stay readable in the lake, rows written since have NULL there. If a name
//! is needed again, the dropped column makes room: it becomes `<name>__dropped_<n>`. The new column is another
//! field, so that no old value ever appears under the new meaning.

mod recorded;
mod widen;

pub use recorded::{Recorded, SourceObject, SourceView};

use super::mapping::{self, MappingError};
use super::{Column, Fidelity, SqlType, TableKind, TableSchema};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use widen::Union;

/// What the configuration says about changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeclaredChanges {
    /// Old name to new name.
    pub renames: BTreeMap<String, String>,
    /// Names of columns that are gone for good.
    pub drops: Vec<String>,
}

/// One change, told in reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SchemaChange {
    pub column: String,
    pub change: ChangeKind,
    /// What it was, what it is, and what becomes of the rows, in one sentence.
    pub detail: String,
}

impl fmt::Display for SchemaChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.detail)
    }
}

/// What a change is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    Added,
    /// The configuration left it out before.
    Included,
    Dropped,
    /// The configuration leaves it out.
    Excluded,
    Renamed,
    /// The source's type took in more values.
    Widened,
    /// It may be NULL now.
    Nullable,
    Collation,
}

/// A difference that the lake table can follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// To be recorded from now on.
    pub recorded: Recorded,
    /// For each column of [`Recorded::whole`] its position in the one before; none for a new column.
    pub was: Vec<Option<usize>>,
    /// May be empty: something is recorded that changes no row.
    pub changes: Vec<SchemaChange>,
    /// Columns that were left out and are read from now on: rows in the lake lack values that are not new.
    pub included: Vec<String>,
    /// Something has changed at the source itself; otherwise the configuration alone has.
    pub at_source: bool,
}

/// A difference that the lake table cannot follow: what, why, and how to resolve it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "column {column} was {was} and is now {now}, and {why}; undo the change at the source, or give the table \
            another `lake:` name, \
which keeps the old lake table as it is and starts a new one"
    )]
    Type {
        column: String,
        was: String,
        now: String,
        why: String,
    },
    #[error(
        "the key was ({was}) and is now ({now}), so that rows in the lake table and new ones cannot be matched; \
keep the old key with `key: [{was}]` if it still tells rows apart, or give the table another `lake:` name"
    )]
    Key { was: String, now: String },
    #[error(
        "column {old} is gone and column {new} of a type that could carry it on is new, and the source does not tell \
            whether {old} was renamed; \
add `renames: {{ {old}: {new} }}` under the table if it was, or `drops: [{old}]` if {old} was dropped and {new} added"
    )]
    Ambiguous { old: String, new: String },
    #[error(
        "column {now} was left out as {was} and was renamed at the source since; nothing was read. Leave it out under \
its new name with `columns: {{ exclude: [{now}] }}`; if it is to be read, do so after a run that has left it out"
    )]
    LeftOut { was: String, now: String },
    #[error(transparent)]
    Mapping(#[from] MappingError),
}

/// Compares what is recorded with what is found; none when nothing is to be recorded anew.
pub fn compare(
    recorded: &Recorded,
    found: &Recorded,
    (kind, fidelity): (TableKind, Fidelity),
    declared: &DeclaredChanges,
) -> Result<Option<Drift>, Refusal> {
    let was = matched(recorded, found, declared)?;
    check_key(recorded, found, &was)?;
    let mut changes = Vec::new();
    let mut included = Vec::new();
    let columns = live_columns(
        recorded,
        found,
        &was,
        fidelity,
        (&mut changes, &mut included),
    )?;
    let at_source = has_changed(recorded, found, &was, &changes);
    let before = &recorded.schema;
    let mut dropped = recorded.dropped.clone();
    let mut positions: Vec<Option<usize>> = (0..dropped.len())
        .map(|at| Some(before.columns.len() + at))
        .collect();
    for (at, column) in before.columns.iter().enumerate() {
        if was.contains(&Some(at)) {
            continue;
        }
        dropped.push(Column {
            nullable: true,
            ..column.clone()
        });
        positions.push(Some(at));
    }
    let mut whole = was;
    whole.extend(positions);
    let mut next = Recorded {
        schema: TableSchema {
            columns,
            ..found.schema.clone()
        },
        dropped,
        ..found.clone()
    };
    make_room(&mut next, (kind, fidelity))?;
    let mut at_source = at_source;
    for (at, column) in next.dropped.iter().enumerate().skip(recorded.dropped.len()) {
        let old = whole[next.live() + at].and_then(|old| before.columns.get(old));
        let old = old.unwrap_or(column);
        let is_left_out = found.as_left_out(recorded, old).is_some();
        at_source |= !is_left_out;
        changes.push(dropped_change(&old.name, &column.name, is_left_out));
    }
    // Whatever else the mapping refuses, it refuses before a row is read.
    mapping::lake_schema(&next.whole(), kind, fidelity)?;
    if next == *recorded {
        return Ok(None);
    }
    Ok(Some(Drift {
        recorded: next,
        was: whole,
        changes,
        included,
        at_source,
    }))
}

/// What to record of the columns found.
fn live_columns(
    recorded: &Recorded,
    found: &Recorded,
    was: &[Option<usize>],
    fidelity: Fidelity,
    (changes, included): (&mut Vec<SchemaChange>, &mut Vec<String>),
) -> Result<Vec<Column>, Refusal> {
    let mut columns = Vec::with_capacity(found.live());
    for (at, column) in found.schema.columns.iter().enumerate() {
        let is_key = found.schema.key.iter().any(|key| key.columns.contains(&at));
        if let Some(old) = was[at] {
            let shown = found.shown(column);
            let old = &recorded.schema.columns[old];
            columns.push(continued(old, column, (is_key, shown), fidelity, changes)?);
            continue;
        }
        let left_out = recorded.as_left_out(found, column);
        let now = found.source_name(column);
        let is_other = |name: &str| name.to_lowercase() != now.to_lowercase();
        if let Some(left) = left_out.filter(|left| is_other(&left.name)) {
            return Err(Refusal::LeftOut {
                was: left.name.clone(),
                now: now.to_owned(),
            });
        }
        if left_out.is_some() {
            included.push(found.shown(column));
        }
        columns.push(added(column, left_out.is_some(), changes));
    }
    Ok(columns)
}

/// Whether the source's columns are others than those recorded, whichever of them are read. `changes` are those of the
/// columns that are.
fn has_changed(
    recorded: &Recorded,
    found: &Recorded,
    was: &[Option<usize>],
    changes: &[SchemaChange],
) -> bool {
    let is_renamed = |(now, was): (&Column, &Option<usize>)| {
        let was = was.and_then(|was| recorded.schema.columns.get(was));
        was.is_some_and(|was| recorded.source_name(was) != found.source_name(now))
    };
    let is_changed = changes.iter().any(|change| match change.change {
        ChangeKind::Included | ChangeKind::Excluded | ChangeKind::Renamed => false,
        ChangeKind::Added
        | ChangeKind::Dropped
        | ChangeKind::Widened
        | ChangeKind::Nullable
        | ChangeKind::Collation => true,
    });
    is_changed || found.schema.columns.iter().zip(was).any(is_renamed)
}

/// For each column found its position among those recorded.
fn matched(
    recorded: &Recorded,
    found: &Recorded,
    declared: &DeclaredChanges,
) -> Result<Vec<Option<usize>>, Refusal> {
    let (before, now) = (&recorded.schema.columns, &found.schema.columns);
    let mut was: Vec<Option<usize>> = vec![None; now.len()];
    if recorded.is_object_of(found) {
        for (at, column) in now.iter().enumerate() {
            was[at] = before.iter().position(|old| old.id == column.id);
        }
        return Ok(was);
    }
    let old_names: Vec<&str> = before.iter().map(|old| recorded.source_name(old)).collect();
    let new_names: Vec<&str> = now.iter().map(|new| found.source_name(new)).collect();
    let mut taken = vec![false; before.len()];
    for (old, name) in old_names.iter().enumerate() {
        if let Some(at) = new_names.iter().position(|new| new == name) {
            (was[at], taken[old]) = (Some(old), true);
        }
    }
    for (old, name) in old_names.iter().enumerate() {
        let same = |new: &str| new.to_lowercase() == name.to_lowercase();
        let free = (0..was.len()).find(|&at| was[at].is_none() && same(new_names[at]));
        if let (false, Some(at)) = (taken[old], free) {
            (was[at], taken[old]) = (Some(old), true);
        }
    }
    for (old, new) in &declared.renames {
        let named = |names: &[&str], name: &str| {
            let mut names = names.iter();
            names.position(|have| have.eq_ignore_ascii_case(name))
        };
        if let (Some(old), Some(new)) = (named(&old_names, old), named(&new_names, new))
            && !taken[old]
            && was[new].is_none()
        {
            (was[new], taken[old]) = (Some(old), true);
        }
    }
    for (old, column) in before.iter().enumerate() {
        let confirmed = |name: &String| name.eq_ignore_ascii_case(old_names[old]);
        let is_there = found.leaves_out(old_names[old]).is_some();
        if taken[old] || is_there || declared.drops.iter().any(confirmed) {
            continue;
        }
        let heir = |&at: &usize| {
            let was_there = recorded.leaves_out(new_names[at]).is_some();
            was[at].is_none() && !was_there && widen::union(column, &now[at]).is_ok()
        };
        if let Some(new) = (0..was.len()).find(heir) {
            return Err(Refusal::Ambiguous {
                old: old_names[old].to_owned(),
                new: new_names[new].to_owned(),
            });
        }
    }
    Ok(was)
}

fn check_key(recorded: &Recorded, found: &Recorded, was: &[Option<usize>]) -> Result<(), Refusal> {
    let old: HashSet<Option<usize>> = recorded
        .schema
        .key
        .iter()
        .flat_map(|key| key.columns.iter().map(|&at| Some(at)))
        .collect();
    let new: HashSet<Option<usize>> = found
        .schema
        .key
        .iter()
        .flat_map(|key| key.columns.iter().map(|&at| was[at]))
        .collect();
    if old == new {
        return Ok(());
    }
    // As `key:` names them.
    let names = |of: &Recorded| {
        let columns = of.schema.key_columns();
        let names: Vec<&str> = columns.map(|column| of.source_name(column)).collect();
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    };
    Err(Refusal::Key {
        was: names(recorded),
        now: names(found),
    })
}

fn added(column: &Column, was_left_out: bool, changes: &mut Vec<SchemaChange>) -> Column {
    let (change, mut detail) = match was_left_out {
        true => (
            ChangeKind::Included,
            format!("left out before, {}; all rows are read again", column.ty),
        ),
        false => (
            ChangeKind::Added,
            format!(
                "new, {}; rows in the lake have NULL until they are read again",
                column.ty
            ),
        ),
    };
    if !column.nullable {
        detail.push_str("; NOT NULL at the source, optional in the lake for their sake");
    }
    changes.push(SchemaChange {
        column: column.name.clone(),
        change,
        detail,
    });
    Column {
        nullable: true,
        ..column.clone()
    }
}

fn dropped_change(name: &str, kept_as: &str, is_left_out: bool) -> SchemaChange {
    let (change, why) = match is_left_out {
        true => (ChangeKind::Excluded, "left out by `columns`"),
        false => (ChangeKind::Dropped, "gone from the source"),
    };
    let mut detail =
        format!("{why}; its values stay in the lake, rows written from now on have NULL");
    if name != kept_as {
        detail.push_str(&format!(", and its name there is {kept_as}"));
    }
    SchemaChange {
        column: name.to_owned(),
        change,
        detail,
    }
}

/// A column that was there before: what to record of it. `shown` is its name in a refusal.
fn continued(
    old: &Column,
    new: &Column,
    (is_key, shown): (bool, String),
    fidelity: Fidelity,
    changes: &mut Vec<SchemaChange>,
) -> Result<Column, Refusal> {
    let refuse = |why: String| {
        let said = |column: &Column| match &column.collation {
            Some(collation) if old.ty == new.ty => format!("{} {}", column.ty, collation.name),
            Some(_) | None => column.ty.to_string(),
        };
        Refusal::Type {
            column: shown.clone(),
            was: said(old),
            now: said(new),
            why,
        }
    };
    let union = widen::union(old, new).map_err(refuse)?;
    if is_key {
        check_key_column(old, new, union, fidelity).map_err(|why| refuse(why.to_owned()))?;
    }
    tell(old, new, union.ty, changes);
    Ok(Column {
        ty: union.ty,
        // Rows of the time when it could be NULL, or before it was there, are in the lake.
        nullable: old.nullable || new.nullable,
        ..new.clone()
    })
}

/// Whether rows in the lake are still found by a key column that has changed; the error says why not.
fn check_key_column(
    old: &Column,
    new: &Column,
    union: Union,
    fidelity: Fidelity,
) -> Result<(), &'static str> {
    if union.companions_grow && fidelity == Fidelity::Exact {
        return Err(
            "the key would get another field, which the rows in the lake table do not have",
        );
    }
    if mapping::key_fold(old) != mapping::key_fold(new) {
        return Err(
            "its collation tells other keys apart than the one that the lake table was written with",
        );
    }
    Ok(())
}

/// Adds how a column differs from what it was. `kept`: its type in the lake.
fn tell(old: &Column, new: &Column, kept: SqlType, changes: &mut Vec<SchemaChange>) {
    let mut told = |change, detail: String| {
        changes.push(SchemaChange {
            column: new.name.clone(),
            change,
            detail,
        });
    };
    if old.name != new.name {
        told(
            ChangeKind::Renamed,
            format!(
                "was {}; the same field of the lake, under its new name",
                old.name
            ),
        );
    }
    if kept != old.ty {
        told(
            ChangeKind::Widened,
            format!("was {}, is {}, kept as {kept}", old.ty, new.ty),
        );
    }
    if new.nullable && !old.nullable {
        told(ChangeKind::Nullable, "may be NULL now".into());
    }
    let name = |column: &Column| column.collation.as_ref().map(|c| c.name.clone());
    if let (Some(before), Some(now)) = (name(old), name(new))
        && before != now
    {
        told(
            ChangeKind::Collation,
            format!("was {before}, is {now}; the text in the lake is the same"),
        );
    }
}

/// Gives dropped columns other names where theirs, or those of their companions, are needed.
fn make_room(
    next: &mut Recorded,
    (kind, fidelity): (TableKind, Fidelity),
) -> Result<(), MappingError> {
    let fields_of = |column: &Column| -> Result<Vec<String>, MappingError> {
        let alone = TableSchema {
            name: next.schema.name.clone(),
            columns: vec![column.clone()],
            key: None,
        };
        let fields = mapping::lake_schema(&alone, TableKind::Mirror, fidelity)?.fields;
        Ok(fields
            .iter()
            .map(|field| field.name.to_lowercase())
            .collect())
    };
    let live = mapping::lake_schema(&next.schema, kind, fidelity)?;
    let mut taken: HashSet<String> = live.fields.iter().map(|f| f.name.to_lowercase()).collect();
    let mut dropped = next.dropped.clone();
    for column in &mut dropped {
        let stem = column.name.clone();
        let mut number = 0;
        while fields_of(column)?.iter().any(|name| taken.contains(name)) {
            number += 1;
            column.name = format!("{stem}__dropped_{number}");
        }
        taken.extend(fields_of(column)?);
    }
    next.dropped = dropped;
    Ok(())
}

#[cfg(test)]
mod tests;
