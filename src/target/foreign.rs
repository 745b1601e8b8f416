//! Several tables in one transaction, in an order that their foreign keys allow.
//!
//! Rows of a parent are inserted before the rows that refer to them, and deleted after those. So the tables are ordered
//! parents first. A table that another one refers to brings its inserts and updates in that order, and its deletes in
//! the reverse order when all tables have brought theirs. A table that no other one refers to brings all at once.
//! Within one table the server checks foreign keys at the end of each statement, so rows may refer to rows of the same
//! statement.
//!
//! Where tables refer to each other in a circle, no order will do, and one of two ways is configured (`load.cycles`):
//!
//! - *defer*: the columns of one foreign key of the circle get NULL in new rows and keep their values in others. They
//!   get their values once the parent's rows are there, and NULL in rows that are to be deleted. All columns of the key
//!   must allow NULL;
//! - *recheck*: foreign keys among the tables are suspended (NOCHECK), and enabled again with a check of every row,
//!   within the transaction. That takes the ALTER permission on the tables, and locks them for everyone until it ends.
//!
//! Where a table keeps rows whose key has left the lake and its parent does not, the parent's deletes may meet them.
//! The server then refuses the delete, or, as the key says, deletes or changes the kept rows: such a key is refused.
//!
//! # Why the rows are in all tables or in none
//!
//! One session opens the transaction, runs the parts of each table's load in it, and commits. Each part compares and
//! sets the load state of its table, as a load of one table does. XACT_ABORT ends the transaction at any error. When
//! the reply to the commit is lost, the load state of one of the tables says whether it was committed, as all moved in
//! it.

use super::merge::explained;
use super::{TargetError, lock_name};
use crate::mssql::control::{Class, Control, Record};
use crate::mssql::error::MssqlError;
use crate::mssql::sql::merge::ERROR_RECREATED;
use crate::mssql::sql::{Statement, define, foreign, state};
use crate::schema::TableName;

/// How long an ALTER TABLE waits for the table: whoever comes after it waits, too.
const LOCK_TIMEOUT_MS: u32 = 60_000;

/// What a foreign key does on a delete: it deletes the rows that refer to the deleted one.
const CASCADE: i64 = 1;

/// A foreign key that the server enforces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    pub name: String,
    /// The table that refers to the other.
    pub child: TableName,
    pub parent: TableName,
    /// The child's columns.
    pub columns: Vec<String>,
    /// All of them allow NULL.
    pub is_nullable: bool,
    /// A delete of a row of the parent deletes or changes those that refer to it (`ON DELETE CASCADE`, `SET NULL`, `SET
    /// DEFAULT`).
    pub acts_on_delete: bool,
    /// It deletes them, so that foreign keys to the child act in turn (`ON DELETE CASCADE`).
    pub cascades: bool,
}

/// An order of tables, parents first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Order {
    /// Positions of the tables.
    pub tables: Vec<usize>,
    /// Positions of foreign keys whose columns are deferred, and of the tables that have these columns.
    pub deferred: Vec<(usize, usize)>,
}

/// Reads the foreign keys of a target database. One round trip.
pub async fn read(control: &mut Control) -> Result<Vec<ForeignKey>, TargetError> {
    let rows = control.query(&foreign::foreign_keys()).await;
    keys_of(&rows.map_err(unread)?).map_err(unread)
}

/// Reads the foreign keys by which a delete from one table deletes or changes rows of another. One round trip.
pub async fn acting(control: &mut Control) -> Result<Vec<ForeignKey>, TargetError> {
    let rows = control.query(&foreign::acting_keys()).await;
    keys_of(&rows.map_err(unread)?).map_err(unread)
}

fn unread(source: MssqlError) -> TargetError {
    TargetError::Server {
        doing: "reading the foreign keys of",
        target: "the target database".to_owned(),
        source: Box::new(source),
    }
}

fn keys_of(rows: &[Record]) -> Result<Vec<ForeignKey>, MssqlError> {
    let mut keys: Vec<(i64, ForeignKey)> = Vec::new();
    for row in rows {
        add_column(&mut keys, row)?;
    }
    Ok(keys.into_iter().map(|(_, key)| key).collect())
}

fn add_column(keys: &mut Vec<(i64, ForeignKey)>, row: &Record) -> Result<(), MssqlError> {
    let table = |schema, name| {
        Ok::<_, MssqlError>(TableName {
            schema: row.text(schema)?.to_owned(),
            name: row.text(name)?.to_owned(),
        })
    };
    let id = row.int("key_id")?;
    if keys.last().is_none_or(|(last, _)| *last != id) {
        let key = ForeignKey {
            name: row.text("key_name")?.to_owned(),
            child: table("child_schema", "child")?,
            parent: table("parent_schema", "parent")?,
            columns: Vec::new(),
            is_nullable: true,
            acts_on_delete: row.int("on_delete")? != 0,
            cascades: row.int("on_delete")? == CASCADE,
        };
        keys.push((id, key));
    }
    if let Some((_, key)) = keys.last_mut() {
        key.columns.push(row.text("column_name")?.to_owned());
        key.is_nullable &= row.int("is_nullable")? != 0;
    }
    Ok(())
}

/// Whether two names are of one table, as most collations compare names.
fn same(one: &TableName, other: &TableName) -> bool {
    one.to_string().to_lowercase() == other.to_string().to_lowercase()
}

/// Positions of the tables of a key, child and parent; none unless both are there and differ.
fn ends(key: &ForeignKey, tables: &[TableName]) -> Option<(usize, usize)> {
    let child = tables.iter().position(|table| same(table, &key.child))?;
    let parent = tables.iter().position(|table| same(table, &key.parent))?;
    (child != parent).then_some((child, parent))
}

/// Positions of the tables that foreign keys connect, directly or not, in groups of at least two.
pub fn connected(tables: &[TableName], keys: &[ForeignKey]) -> Vec<Vec<usize>> {
    let mut group: Vec<usize> = (0..tables.len()).collect();
    for (child, parent) in keys.iter().filter_map(|key| ends(key, tables)) {
        let (from, to) = (group[child], group[parent]);
        for of in &mut group {
            if *of == from {
                *of = to;
            }
        }
    }
    let members = |of: usize| {
        let all = group.iter().enumerate();
        all.filter(move |(_, group)| **group == of)
            .map(|(at, _)| at)
            .collect()
    };
    let groups = (0..tables.len()).map(members);
    groups
        .filter(|members: &Vec<usize>| members.len() > 1)
        .collect()
}

/// Refuses a foreign key by which the server itself would delete or change rows that are to be kept. `keeps` says of
/// each table whether a load keeps rows whose key has left the lake. Answers the child's position with the error.
pub fn check_kept(
    tables: &[TableName],
    keeps: &[bool],
    keys: &[ForeignKey],
) -> Result<(), (usize, TargetError)> {
    for key in keys.iter().filter(|key| key.acts_on_delete) {
        let ends = ends(key, tables);
        if let Some((child, parent)) =
            ends.filter(|(child, parent)| keeps[*child] && !keeps[*parent])
        {
            let error = TargetError::KeptRows {
                key: key.name.clone(),
                child: tables[child].clone(),
                parent: tables[parent].clone(),
            };
            return Err((child, error));
        }
    }
    Ok(())
}

/// What to say of foreign keys by which deletes from `parent` reach tables that are among those `loaded`, but not
/// loaded `together` with it: their load states do not know of it. Deletes go on from table to table, also through
/// those that are not loaded, until a key changes rows instead of deleting them.
pub fn reached(
    parent: &TableName,
    loaded: &[TableName],
    together: &[TableName],
    keys: &[ForeignKey],
) -> Vec<String> {
    let is_in = |tables: &[TableName], table| tables.iter().any(|other| same(other, table));
    let mut said = Vec::new();
    // Tables whose rows are deleted, each with the names of the keys that lead there.
    let mut deleted = vec![(parent, String::new())];
    let mut at = 0;
    while let Some((table, before)) = deleted.get(at).cloned() {
        at += 1;
        for key in keys.iter().filter(|key| key.acts_on_delete) {
            let ForeignKey { name, child, .. } = key;
            if !same(&key.parent, table) || same(child, parent) || same(child, table) {
                continue;
            }
            let path = match before.is_empty() {
                true => name.clone(),
                false => format!("{before}, {name}"),
            };
            if is_in(loaded, child) && !is_in(together, child) {
                said.push(format!(
                    "when a load deletes rows of {parent}, the server deletes or changes rows of {child} by foreign \
                     key {path} (ON DELETE). {child} is not loaded in the same transaction, so its load state does not \
                     tell, and rows may be missing until `icesync load --full` loads it. Load the two together (`load: \
                     {{ group: auto }}`, without --table), or make the key one with ON DELETE NO ACTION"
                ));
            }
            if key.cascades && !deleted.iter().any(|(known, _)| same(known, child)) {
                deleted.push((child, path));
            }
        }
    }
    said
}

/// Whether a foreign key of another of the tables refers to this one.
pub fn is_parent(table: usize, tables: &[TableName], keys: &[ForeignKey]) -> bool {
    let mut ends = keys.iter().filter_map(|key| ends(key, tables));
    ends.any(|(_, parent)| parent == table)
}

/// The order of the tables. Foreign keys of circles are deferred until there is none; an error where none of a circle
/// can be.
pub fn order(tables: &[TableName], keys: &[ForeignKey]) -> Result<Order, TargetError> {
    let mut open: Vec<(usize, usize, usize)> = keys
        .iter()
        .enumerate()
        .filter_map(|(at, key)| ends(key, tables).map(|(child, parent)| (at, child, parent)))
        .collect();
    let mut order = Order::default();
    let mut left: Vec<usize> = (0..tables.len()).collect();
    while !left.is_empty() {
        let waits = |table: &usize| open.iter().any(|(_, child, _)| child == table);
        if let Some(at) = left.iter().position(|table| !waits(table)) {
            let table = left.remove(at);
            order.tables.push(table);
            open.retain(|(_, _, parent)| *parent != table);
            continue;
        }
        let circle: Vec<_> = open
            .iter()
            .filter(|(_, child, parent)| reaches(*parent, *child, &open))
            .collect();
        let deferred = circle.iter().find(|(at, _, _)| keys[*at].is_nullable);
        let Some(&&(deferred, child, _)) = deferred else {
            return Err(TargetError::Circle {
                keys: circle
                    .iter()
                    .map(|(at, _, _)| keys[*at].name.clone())
                    .collect(),
            });
        };
        order.deferred.push((deferred, child));
        open.retain(|(at, _, _)| *at != deferred);
    }
    Ok(order)
}

/// Whether `from` refers to `to`, directly or not.
fn reaches(from: usize, to: usize, open: &[(usize, usize, usize)]) -> bool {
    let mut seen = vec![from];
    let mut at = 0;
    while let Some(&table) = seen.get(at) {
        if table == to {
            return true;
        }
        for (_, child, parent) in open {
            if *child == table && !seen.contains(parent) {
                seen.push(*parent);
            }
        }
        at += 1;
    }
    false
}

/// The foreign keys of one table that refer to any of the tables.
pub fn among<'a>(table: &TableName, tables: &[TableName], keys: &'a [ForeignKey]) -> Vec<&'a str> {
    let of = keys.iter().filter(|key| {
        same(&key.child, table) && tables.iter().any(|parent| same(parent, &key.parent))
    });
    of.map(|key| &*key.name).collect()
}

/// Opens the transaction.
pub async fn begin(control: &mut Control) -> Result<(), TargetError> {
    run(
        control,
        &foreign::begin_group(),
        Class::QUICK,
        "opening the transaction of",
    )
    .await
}

/// Commits it. An ambiguous error is resolved by [`state::resolve`](super::state::resolve) for one of the tables.
pub async fn commit(control: &mut Control) -> Result<(), TargetError> {
    run(
        control,
        &foreign::commit_group(),
        Class::COMMIT,
        "committing the load of",
    )
    .await
}

/// Keeps a table, which was looked at when it was last altered at `modified`, from being altered.
pub async fn hold(
    control: &mut Control,
    table: &TableName,
    modified: &str,
) -> Result<(), TargetError> {
    let held = control
        .run(&foreign::hold(table, modified), Class::LONG)
        .await;
    held.map_err(|error| match error.number() {
        Some(ERROR_RECREATED) => TargetError::Recreated {
            target: table.clone(),
        },
        Some(_) | None => TargetError::on("locking", table, error),
    })
}

/// Suspends foreign keys of a table.
pub async fn suspend(
    control: &mut Control,
    table: &TableName,
    keys: &[&str],
) -> Result<(), TargetError> {
    let statement = define::alter(&foreign::suspend(table, keys), LOCK_TIMEOUT_MS);
    let suspended = control.run(&statement, Class::LONG).await;
    suspended.map_err(|error| TargetError::on("suspending the foreign keys of", table, error))
}

/// Enables them again.
pub async fn recheck(
    control: &mut Control,
    table: &TableName,
    keys: &[&str],
) -> Result<(), TargetError> {
    let statement = define::alter(&foreign::recheck(table, keys), LOCK_TIMEOUT_MS);
    let checked = control.run(&statement, Class::LONG).await;
    checked.map_err(|error| TargetError::on("checking the foreign keys of", table, error))
}

/// Stops where a trigger on ALTER TABLE has ended the transaction in which a table was loaded.
pub async fn same_transaction(
    control: &mut Control,
    target: &TableName,
) -> Result<(), TargetError> {
    let lock = lock_name("apply", target);
    let same = control
        .run(&state::same_transaction(&lock), Class::QUICK)
        .await;
    same.map_err(|error| explained(target, &lock, 0, error))
}

async fn run(
    control: &mut Control,
    statement: &Statement,
    class: Class,
    doing: &'static str,
) -> Result<(), TargetError> {
    let ran = control.run(statement, class).await;
    ran.map_err(|source| TargetError::Server {
        doing,
        target: "a group of tables".to_owned(),
        source: Box::new(source),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> TableName {
        TableName {
            schema: "dbo".into(),
            name: name.into(),
        }
    }

    fn key(child: &str, parent: &str, is_nullable: bool) -> ForeignKey {
        ForeignKey {
            name: format!("{child}_{parent}"),
            child: table(child),
            parent: table(parent),
            columns: vec!["c".into()],
            is_nullable,
            acts_on_delete: false,
            cascades: false,
        }
    }

    fn ordered(names: &str, keys: &[ForeignKey]) -> Result<(String, Vec<usize>), String> {
        let tables: Vec<TableName> = names.split(' ').map(table).collect();
        let order = order(&tables, keys).map_err(|error| error.to_string())?;
        let names: Vec<&str> = order.tables.iter().map(|&at| &*tables[at].name).collect();
        let deferred = order.deferred.iter().map(|(key, _)| *key).collect();
        Ok((names.join(" "), deferred))
    }

    #[test]
    fn parents_come_before_children() {
        let keys = [
            key("line", "invoice", false),
            key("invoice", "customer", false),
            key("LINE", "Track", false),
            key("customer", "customer", true),
            key("customer", "elsewhere", false),
        ];
        let order = ordered("line invoice track customer", &keys);
        assert_eq!(
            order,
            Ok(("track customer invoice line".to_owned(), vec![]))
        );
    }

    #[test]
    fn a_circle_is_opened_where_null_is_allowed() {
        let keys = [
            key("a", "b", false),
            key("b", "c", true),
            key("c", "a", false),
            key("d", "a", true),
        ];
        let order = ordered("d a b c", &keys);
        assert_eq!(order, Ok(("b a d c".to_owned(), vec![1])));
        let closed = [
            key("a", "b", false),
            key("b", "a", false),
            key("d", "a", true),
        ];
        let error = ordered("a b d", &closed).unwrap_err();
        assert!(error.contains("a_b, b_a"), "{error}");
        assert!(error.contains("cycles: recheck"), "{error}");
    }

    #[test]
    fn a_key_takes_no_row_that_is_to_be_kept() {
        let tables: Vec<TableName> = "line invoice".split(' ').map(table).collect();
        let refused = |keeps: [bool; 2], acts_on_delete| {
            let key = ForeignKey {
                acts_on_delete,
                ..key("Line", "invoice", true)
            };
            check_kept(&tables, &keeps, &[key])
                .err()
                .map(|(child, error)| {
                    assert_eq!(child, 0);
                    error.to_string()
                })
        };
        let error = refused([true, false], true).unwrap();
        for part in ["Line_invoice", "dbo.line", "dbo.invoice", "NO ACTION"] {
            assert!(error.contains(part), "{error}");
        }
        for (keeps, acts_on_delete) in [
            ([true, false], false),
            ([true, true], true),
            ([false, true], true),
            ([false, false], true),
        ] {
            assert_eq!(refused(keeps, acts_on_delete), None, "{keeps:?}");
        }
    }

    #[test]
    fn a_key_whose_deletes_reach_a_table_that_is_loaded_apart_is_named() {
        let mut cascades = key("line", "order", true);
        cascades.acts_on_delete = true;
        let keys = [cascades, key("note", "order", true)];
        let [order, line, note] = ["order", "line", "note"].map(table);
        let all = [order.clone(), line.clone(), note];
        let said = reached(&order, &all, &[], &keys);
        assert_eq!(said.len(), 1, "{said:?}");
        let names = [line.to_string(), keys[0].name.clone()];
        assert!(names.iter().all(|name| said[0].contains(name)), "{said:?}");
        assert!(reached(&order, &all, &all, &keys).is_empty());
        // Tables that icesync does not load are the target's own.
        assert!(reached(&order, &all[..1], &[], &keys).is_empty());
        assert!(reached(&line, &all, &[], &keys).is_empty());
    }

    /// The table between the two need not be one that icesync loads.
    #[test]
    fn deletes_go_on_from_table_to_table_until_a_key_changes_rows() {
        let acting = |child, parent, cascades| ForeignKey {
            acts_on_delete: true,
            cascades,
            ..key(child, parent, true)
        };
        let loaded = ["customer", "line", "part", "note"].map(table);
        let keys = [
            acting("part", "line", false),
            acting("line", "order", true),
            acting("order", "customer", true),
            acting("note", "part", true),
            acting("customer", "line", true),
        ];
        let said = reached(&loaded[0], &loaded, &[], &keys);
        let names = ["dbo.line by", "dbo.part by"];
        assert_eq!(said.len(), names.len(), "{said:?}");
        for (said, name) in said.iter().zip(names) {
            assert!(said.contains(name), "{said}");
        }
        assert!(
            said[1].contains("order_customer, line_order, part_line (ON"),
            "{said:?}"
        );
        // What is changed is not deleted.
        let mut changed = keys.clone();
        changed[2].cascades = false;
        assert!(reached(&loaded[0], &loaded, &[], &changed).is_empty());
    }

    #[test]
    fn connected_tables_are_one_group() {
        let names: Vec<TableName> = "a b c d e f".split(' ').map(table).collect();
        let keys = [
            key("a", "c", false),
            key("e", "c", false),
            key("b", "f", false),
            key("d", "d", true),
        ];
        let mut groups = connected(&names, &keys);
        groups.sort();
        assert_eq!(groups, [vec![0, 2, 4], vec![1, 5]]);
        assert!(is_parent(2, &names, &keys) && !is_parent(0, &names, &keys));
        assert!(!is_parent(3, &names, &keys));
        assert_eq!(among(&names[3], &names, &keys), ["d_d"]);
    }
}
