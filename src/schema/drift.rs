//! What became of a source's columns since its lake table was last written, and what the lake table becomes by it.
//!
//! The lake table keeps a [`Recorded`] schema: for each column a type that holds every value in the lake, whichever
//! definition of the source it was read under. [`compare`] sets it against the schema found now. The outcome is a
//! [`Drift`] that loses nothing (a column is added, widened, renamed, or goes on as NULL), or a [`Refusal`] that
//! names the way out. Both are decided before a row is read.
//!
//! **Which column is which.** SQL Server gives a column an id that survives a rename and is never used again in its
//! table. While the table is the same object, the ids decide: another name under the same id is a rename, another
//! id under the same name is a column that was dropped and one that was added. When the object is another one (the
//! table was recreated, or is another database's) or the ids say nothing (a view's are mere positions), columns are
//! matched by name; and where one name vanished and another one of a type that could carry it on appeared, nobody
//! can tell a rename from a drop and an add, so the configuration has to: `renames:` or `drops:`.
//!
//! **What is dropped stays.** Its values stay readable in the lake, rows written since have NULL there. If a name
//! is needed again, the dropped column makes room: it becomes `<name>__dropped_<n>`. The new column is another
//! field, so that no old value ever appears under the new meaning.

mod widen;

use super::mapping::{self, MappingError};
use super::{Column, Fidelity, SqlType, TableKind, TableSchema};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use widen::Union;

/// A table as an object of its database: another one when the table is recreated. Ids alone repeat in databases
/// that one script made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceObject {
    pub id: i64,
    /// As the catalog says it; survives backup and restore.
    pub created: String,
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
    /// Columns that the source no longer has, under their names in the lake.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<Column>,
}

impl Recorded {
    /// Of a table that is new in the lake.
    pub fn new(schema: TableSchema, object: Option<SourceObject>) -> Self {
        Self {
            schema,
            object,
            dropped: Vec::new(),
        }
    }

    /// The source's columns, then the dropped ones: what the lake's fields refer to by position.
    pub fn whole(&self) -> TableSchema {
        let mut whole = self.schema.clone();
        whole.columns.extend(self.dropped.iter().cloned());
        whole
    }

    /// Whether `found` is a table that was recreated since this was recorded.
    pub fn was_recreated(&self, found: &Recorded) -> bool {
        let objects = self.object.as_ref().zip(found.object.as_ref());
        objects.is_some_and(|(before, now)| before != now)
    }

    /// How many columns the source has; those from here on in [`Recorded::whole`] are dropped.
    pub fn live(&self) -> usize {
        self.schema.columns.len()
    }
}

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
    Dropped,
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
}

/// A difference that the lake table cannot follow: what, why, and the way out.
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
    let before = &recorded.schema;
    let same_object = found.object.is_some() && recorded.object == found.object;
    let (found, object) = (&found.schema, &found.object);
    let was = matched(before, found, same_object, declared)?;
    check_key(before, found, &was)?;
    let mut changes = Vec::new();
    let mut columns = Vec::with_capacity(found.columns.len());
    for (at, column) in found.columns.iter().enumerate() {
        let is_key = found.key.iter().any(|key| key.columns.contains(&at));
        columns.push(match was[at] {
            Some(old) => continued(&before.columns[old], column, is_key, fidelity, &mut changes)?,
            None => added(column, &mut changes),
        });
    }
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
            name: found.name.clone(),
            columns,
            key: found.key.clone(),
        },
        object: object.clone(),
        dropped,
    };
    make_room(&mut next, (kind, fidelity))?;
    for (at, column) in next.dropped.iter().enumerate().skip(recorded.dropped.len()) {
        let old = whole[next.live() + at].and_then(|old| before.columns.get(old));
        changes.push(dropped_change(
            old.map_or(&column.name, |old| &old.name),
            &column.name,
        ));
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
    }))
}

/// For each column found its position among those recorded.
fn matched(
    before: &TableSchema,
    found: &TableSchema,
    same_object: bool,
    declared: &DeclaredChanges,
) -> Result<Vec<Option<usize>>, Refusal> {
    let mut was: Vec<Option<usize>> = vec![None; found.columns.len()];
    if same_object {
        for (at, column) in found.columns.iter().enumerate() {
            was[at] = before.columns.iter().position(|old| old.id == column.id);
        }
        return Ok(was);
    }
    let exact = |name: &str| found.columns.iter().position(|column| column.name == name);
    let mut taken = vec![false; before.columns.len()];
    for (old, column) in before.columns.iter().enumerate() {
        if let Some(at) = exact(&column.name) {
            (was[at], taken[old]) = (Some(old), true);
        }
    }
    for (old, column) in before.columns.iter().enumerate() {
        let same = |new: &Column| new.name.to_lowercase() == column.name.to_lowercase();
        let free = (0..was.len()).find(|&at| was[at].is_none() && same(&found.columns[at]));
        if let (false, Some(at)) = (taken[old], free) {
            (was[at], taken[old]) = (Some(old), true);
        }
    }
    for (old, new) in &declared.renames {
        let old = before
            .columns
            .iter()
            .position(|column| column.name.eq_ignore_ascii_case(old));
        let new = found
            .columns
            .iter()
            .position(|column| column.name.eq_ignore_ascii_case(new));
        if let (Some(old), Some(new)) = (old, new)
            && !taken[old]
            && was[new].is_none()
        {
            (was[new], taken[old]) = (Some(old), true);
        }
    }
    for (old, column) in before.columns.iter().enumerate() {
        let confirmed = |name: &String| name.eq_ignore_ascii_case(&column.name);
        if taken[old] || declared.drops.iter().any(confirmed) {
            continue;
        }
        let heir =
            |at: &usize| was[*at].is_none() && widen::union(column, &found.columns[*at]).is_ok();
        if let Some(new) = (0..was.len()).find(heir) {
            return Err(Refusal::Ambiguous {
                old: column.name.clone(),
                new: found.columns[new].name.clone(),
            });
        }
    }
    Ok(was)
}

fn check_key(
    before: &TableSchema,
    found: &TableSchema,
    was: &[Option<usize>],
) -> Result<(), Refusal> {
    let old: HashSet<Option<usize>> = before
        .key
        .iter()
        .flat_map(|key| key.columns.iter().map(|&at| Some(at)))
        .collect();
    let new: HashSet<Option<usize>> = found
        .key
        .iter()
        .flat_map(|key| key.columns.iter().map(|&at| was[at]))
        .collect();
    if old == new {
        return Ok(());
    }
    let names = |schema: &TableSchema| {
        let names: Vec<&str> = schema.key_columns().map(|c| c.name.as_str()).collect();
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    };
    Err(Refusal::Key {
        was: names(before),
        now: names(found),
    })
}

fn added(column: &Column, changes: &mut Vec<SchemaChange>) -> Column {
    let mut detail = format!(
        "new, {}; rows in the lake have NULL until they are read again",
        column.ty
    );
    if !column.nullable {
        detail.push_str("; NOT NULL at the source, optional in the lake for their sake");
    }
    changes.push(SchemaChange {
        column: column.name.clone(),
        change: ChangeKind::Added,
        detail,
    });
    Column {
        nullable: true,
        ..column.clone()
    }
}

fn dropped_change(name: &str, kept_as: &str) -> SchemaChange {
    let mut detail =
        "gone from the source; its values stay in the lake, rows written from now on have NULL"
            .to_owned();
    if name != kept_as {
        detail.push_str(&format!(", and its name there is {kept_as}"));
    }
    SchemaChange {
        column: name.to_owned(),
        change: ChangeKind::Dropped,
        detail,
    }
}

/// A column that was there before: what to record of it.
fn continued(
    old: &Column,
    new: &Column,
    is_key: bool,
    fidelity: Fidelity,
    changes: &mut Vec<SchemaChange>,
) -> Result<Column, Refusal> {
    let refuse = |why: String| {
        let said = |column: &Column| match &column.collation {
            Some(collation) if old.ty == new.ty => format!("{} {}", column.ty, collation.name),
            Some(_) | None => column.ty.to_string(),
        };
        Refusal::Type {
            column: new.name.clone(),
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
