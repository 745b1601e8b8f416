//! The columns of a lake table as a load brings them to its target.

use super::modes::{is_keyed, rule, shaped, time_field};
use crate::change::{LoadRule, MergeMode, Strategy};
use crate::config::Table;
use crate::error::{Error, Result};
use crate::lake::{LakeTable, SnapshotInfo};
use crate::report::ColumnsReport;
use crate::schema::columns::{ChoiceError, ColumnChoice};
use crate::schema::drift::Recorded;
use crate::schema::{Key, SqlType, TableSchema};
use crate::sync::follow::{self, Following};
use crate::sync::protect::known;
use crate::sync::stage::lake_error;
use crate::target::columns::{Compared, LakeColumns, LoadedColumns};
use crate::target::state::LoadState;
use std::collections::HashMap;

/// Where the columns of a load are chosen.
const OPTION: &str = "merge.columns";

/// Ids of columns without a field begin here and go down; those of fields are positive.
const NO_FIELD: i32 = -1;

/// Columns of a lake table (what is recorded of them, and position and field id of each).
#[derive(Clone, Copy)]
struct Fields<'a> {
    recorded: &'a Recorded,
    ids: &'a [(usize, i32)],
}

/// The columns to load of a snapshot, or of a lake table that has none. `before` is the state of the target that was
/// loaded last; none lets no column follow.
pub fn to_load(
    table: &Table,
    lake: &LakeTable,
    snapshot: Option<&SnapshotInfo>,
    before: Option<&LoadState>,
) -> Result<LakeColumns> {
    let id = snapshot.map(|snapshot| snapshot.id);
    let recorded = follow::recorded(lake, id)?;
    let ids = match id {
        Some(id) => lake.as_of(id)?.columns(),
        None => lake.columns(),
    };
    // The configuration names columns as they are called now, which the snapshot may not know.
    let (newest, newest_ids) = (follow::recorded(lake, None)?, lake.columns());
    let newest = Fields {
        recorded: &newest,
        ids: &newest_ids,
    };
    let fields = Fields {
        recorded: &recorded,
        ids: &ids,
    };
    lake_columns(table, lake, fields, Some(newest), before)
}

/// The columns that a load would bring after the next extract: those of a lake table that is yet to be created, has
/// yet to follow its source, or stays as it is.
pub fn columns_after(
    table: &Table,
    found: &Recorded,
    lake: Option<&LakeTable>,
    following: Option<&Following>,
    before: Option<&LoadState>,
) -> Result<LakeColumns> {
    match (lake, following) {
        (Some(lake), Some(following)) => {
            let ids = lake.columns_after(&following.evolution)?;
            let fields = Fields {
                recorded: &following.recorded,
                ids: &ids,
            };
            lake_columns(table, lake, fields, None, before)
        }
        (Some(lake), None) => to_load(table, lake, None, before),
        (None, _) => {
            let ids = (0..found.live()).zip(1..).collect::<Vec<_>>();
            let key = found.schema.key.clone();
            let key = key.filter(|_| is_keyed(table, table.kind, found));
            let chosen = select(found, &ids, &[], key, &table.target_columns);
            let columns = chosen.map_err(|problem| refused(table, &problem))?;
            shaped(
                columns,
                table,
                table.kind,
                found.schema.key.as_ref(),
                before,
            )
        }
    }
}

/// What the decision about a load depends on beside the snapshots and the target.
pub struct Choice {
    /// How the columns to load compare with those that were loaded last.
    pub compared: Compared,
    /// The names in the lake of those that are loaded again.
    pub included: Vec<String>,
    pub rule: LoadRule,
}

impl Choice {
    pub fn of(table: &Table, columns: &LakeColumns) -> Result<Self> {
        Ok(Self {
            compared: columns.compared,
            included: columns.included.clone(),
            rule: rule(table, time_field(columns, table)?),
        })
    }
}

/// Chooses for a snapshot. Looks at its columns only where they matter.
pub fn chosen_for(
    table: &Table,
    lake: &LakeTable,
    snapshot: Option<&SnapshotInfo>,
    before: Option<&LoadState>,
) -> Result<Choice> {
    let was_everything = before.is_none_or(|state| state.columns.is_everything());
    let is_everything = table.target_columns.is_everything() && was_everything;
    if is_everything && table.merge.mode != MergeMode::Scd2 {
        return Ok(Choice {
            compared: Compared::Same,
            included: Vec::new(),
            rule: rule(table, None),
        });
    }
    Choice::of(table, &to_load(table, lake, snapshot, before)?)
}

/// The columns of the lake that a target does not get as they are.
pub fn report(columns: &LakeColumns) -> ColumnsReport {
    let names = columns.schema.columns.iter().map(|column| &column.name);
    let names = columns.lake_names.iter().zip(names);
    let renamed = names.filter(|(old, new)| old != new);
    ColumnsReport {
        excluded: columns.left_out.clone(),
        renamed: renamed
            .map(|(old, new)| (old.clone(), new.clone()))
            .collect(),
    }
}

/// The same of what the configuration says now. Nothing where it does not fit the lake table: the next load says why.
pub fn chosen(table: &Table, lake: Option<&LakeTable>) -> ColumnsReport {
    let choice = lake.filter(|_| !table.target_columns.is_everything());
    let columns = choice.and_then(|lake| to_load(table, lake, None, None).ok());
    columns.as_ref().map(report).unwrap_or_default()
}

fn refused(table: &Table, problem: &dyn std::fmt::Display) -> Error {
    lake_error(format!(
        "the columns of lake table {} cannot be loaded as configured: {problem}",
        table.lake
    ))
}

fn lake_columns(
    table: &Table,
    lake: &LakeTable,
    fields: Fields<'_>,
    newest: Option<Fields<'_>>,
    before: Option<&LoadState>,
) -> Result<LakeColumns> {
    let Fields { recorded, ids } = fields;
    let is_gone = |at: &usize| !ids.iter().any(|(column, _)| column == at);
    if let Some(at) = (0..recorded.live()).find(is_gone) {
        return Err(lake_error(format!(
            "column {} of lake table {} is gone: another engine dropped it. Nothing was loaded, because the target \
             would get NULL for its values. Run `icesync extract`, which says how to go on",
            recorded.schema.columns[at].name,
            lake.name()
        )));
    }
    let key = recorded.schema.key.clone();
    let key = key.filter(|_| is_keyed(table, lake.kind(), recorded));
    let newest = newest.map_or_else(Vec::new, |newest| named(newest.recorded, newest.ids));
    let selected = select(recorded, ids, &newest, key, &table.target_columns);
    let mut columns = selected.map_err(|problem| refused(table, &problem))?;
    if let Some(state) = before.filter(|state| state.table_uuid == lake.uuid().to_string()) {
        let recorded = |id: &Option<i32>| state.columns.renamed.get(id.as_ref()?).cloned();
        columns.recorded_names = columns.fields.iter().map(recorded).collect();
    }
    if let Some(state) = known(lake, before) {
        let then = follow::recorded(lake, Some(state.snapshot_id))?;
        let then = named(&then, &lake.as_of(state.snapshot_id)?.columns());
        let then: HashMap<i32, String> = then.into_iter().collect();
        compare(&mut columns, &then, &state.columns);
    }
    let key = recorded.schema.key.as_ref();
    shaped(columns, table, lake.kind(), key, before)
}

/// Field id and name of each column.
fn named(recorded: &Recorded, ids: &[(usize, i32)]) -> Vec<(i32, String)> {
    let whole = recorded.whole();
    let name = |&(at, id): &(usize, i32)| Some((id, whole.columns.get(at)?.name.clone()));
    ids.iter().filter_map(name).collect()
}

/// Says what the columns were called in the target, and how they compare, given the names that the lake's columns had
/// in the snapshot that was loaded last.
fn compare(columns: &mut LakeColumns, then: &HashMap<i32, String>, loaded: &LoadedColumns) {
    let field_ids = &columns.fields;
    let was = field_ids.iter().map(|id| {
        let id = id.as_ref()?;
        let name = then.get(id)?;
        let is_loaded = !loaded.left_out.contains(id);
        is_loaded.then(|| loaded.renamed.get(id).unwrap_or(name).clone())
    });
    let was: Vec<Option<String>> = was.collect();
    // Names that the target's columns had from fields that are not loaded any more. Their rows have those values.
    let given_up = then
        .iter()
        .filter(|(id, _)| !loaded.left_out.contains(id) && !field_ids.contains(&Some(**id)));
    let given_up: Vec<&String> = given_up
        .map(|(id, name)| loaded.renamed.get(id).unwrap_or(name))
        .collect();
    let takes_over = |at: usize| {
        let name = &columns.schema.columns[at].name;
        was[at].is_none() && given_up.iter().any(|old| old.eq_ignore_ascii_case(name))
    };
    let is_included = |at: usize| {
        let left_out =
            field_ids[at].is_some_and(|id| then.contains_key(&id) && loaded.left_out.contains(&id));
        left_out || takes_over(at)
    };
    let included = (0..field_ids.len()).filter(|&at| is_included(at));
    columns.included = included.map(|at| columns.lake_names[at].clone()).collect();
    columns.was = Some(was);
    columns.compared = if !columns.included.is_empty() {
        Compared::More
    } else if columns.loaded != *loaded {
        Compared::Otherwise
    } else {
        Compared::Same
    };
}

/// Why the columns of a load cannot be chosen so.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Unloadable {
    #[error(transparent)]
    Choice(#[from] ChoiceError),
    #[error(
        "`merge.columns` leaves out {0}, which is part of the key, and a load finds rows by their key: load it, or use \
            `key` to name other columns before the first extract"
    )]
    Key(String),
}

/// Chooses among the columns recorded. `newest` are their ids and names as they are called now.
fn select(
    recorded: &Recorded,
    ids: &[(usize, i32)],
    newest: &[(i32, String)],
    key: Option<Key>,
    choice: &ColumnChoice,
) -> std::result::Result<LakeColumns, Unloadable> {
    let whole = recorded.whole();
    // A column whose field another engine has dropped, as the source had, has no id.
    let id_of = |place: usize| {
        let found = ids.iter().find(|(at, _)| *at == place);
        found.map_or(NO_FIELD - place as i32, |(_, id)| *id)
    };
    let all = whole.columns.iter().enumerate();
    let here = all.map(|(at, column)| (id_of(at), &*column.name));
    let names = newest.iter().map(|(id, name)| (*id, &**name));
    let chosen = choice.resolve(OPTION, &names.chain(here.clone()).collect::<Vec<_>>())?;
    let here = here.collect::<Vec<_>>();
    let places = (0..here.len()).filter(|&at| chosen.keeps(here[at].0));
    let places: Vec<usize> = places.collect();
    let before: Vec<(i32, &str)> = places.iter().map(|&place| here[place]).collect();
    let target_names = chosen.names(&before)?;
    let place_of = |at: &usize| places.iter().position(|place| place == at);
    let key = match key {
        Some(key) => {
            let lost = key.columns.iter().find(|at| place_of(at).is_none());
            if let Some(at) = lost {
                return Err(Unloadable::Key(whole.columns[*at].name.clone()));
            }
            let columns = key.columns.iter().filter_map(place_of).collect();
            Some(Key { columns, ..key })
        }
        None => None,
    };
    let mut loaded = LoadedColumns::default();
    let left_out = ids.iter().filter(|(at, _)| !places.contains(at));
    loaded.left_out.extend(left_out.map(|(_, id)| *id));
    let mut columns = Vec::with_capacity(places.len());
    for (&place, name) in places.iter().zip(target_names) {
        let mut column = whole.columns[place].clone();
        if column.name != name {
            loaded.renamed.insert(id_of(place), name.clone());
            column.name = name;
        }
        columns.push(column);
    }
    let left_out_names = here
        .iter()
        .enumerate()
        .filter(|(at, _)| !places.contains(at));
    let left_out_names = left_out_names.map(|(_, (_, name))| (*name).to_owned());
    let live = places
        .iter()
        .filter(|place| **place < recorded.live())
        .count();
    let source = |&place: &usize| recorded.source_name(&whole.columns[place]).to_owned();
    let schema = TableSchema {
        columns,
        key,
        ..whole.clone()
    };
    let mut all = LakeColumns::all(schema, live, None);
    all.source_names = places.iter().map(source).collect();
    all.lake_names = before.iter().map(|(_, name)| (*name).to_owned()).collect();
    all.left_out = left_out_names.collect();
    let field = |id: i32| (id > NO_FIELD).then_some(id);
    all.fields = before.iter().map(|(id, _)| field(*id)).collect();
    all.places = places.into_iter().map(Some).collect();
    all.loaded = loaded;
    Ok(all)
}

/// Position of the column that tells which of two rows is newer. A timestamp does not: it may be older than the one
/// that the row had before.
pub fn newest(lake: &LakeTable, columns: &LakeColumns) -> Result<Option<usize>> {
    let Some(checkpoint) = lake.checkpoint()? else {
        return Ok(None);
    };
    match checkpoint.strategy {
        Strategy::RowVersion | Strategy::Sequence => {}
        // A column of the table tells, where it has one.
        Strategy::ChangeTracking => {
            let mut columns = columns.schema.columns.iter();
            return Ok(columns.position(|column| column.ty == SqlType::RowVersion));
        }
        Strategy::Timestamp | Strategy::Full => return Ok(None),
    }
    let Some(mark) = checkpoint.watermark else {
        return Ok(None);
    };
    let mut named = columns.schema.columns.iter().zip(&columns.source_names);
    Ok(named.position(|(column, name)| mark.column == *name && mark.ty == column.ty))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::columns::Which;
    use crate::schema::mapping::lake_schema;
    use crate::schema::{Column, Fidelity, Generated, KeyOrigin, TableKind};

    const IDS: [(usize, i32); 4] = [(0, 1), (1, 2), (2, 3), (3, 4)];

    fn column(id: i32, name: &str) -> Column {
        Column {
            id,
            name: name.into(),
            ty: SqlType::Int,
            nullable: id != 1,
            collation: None,
            generated: Generated::No,
        }
    }

    /// Columns `id`, `qty` and `note`, and `old`, which the source has dropped.
    fn recorded() -> Recorded {
        let schema = TableSchema {
            name: "dbo.t".parse().unwrap(),
            columns: vec![column(2, "qty"), column(3, "note"), column(1, "id")],
            key: Some(Key {
                columns: vec![2],
                origin: KeyOrigin::PrimaryKey,
            }),
        };
        Recorded {
            dropped: vec![column(4, "old")],
            ..Recorded::new(schema, None)
        }
    }

    fn chosen(
        which: Which,
        rename: &[(&str, &str)],
        newest: &[(i32, String)],
    ) -> std::result::Result<LakeColumns, Unloadable> {
        let rename = rename
            .iter()
            .map(|(old, new)| ((*old).into(), (*new).into()));
        let choice = ColumnChoice {
            which,
            rename: rename.collect(),
        };
        let recorded = recorded();
        let key = recorded.schema.key.clone();
        select(&recorded, &IDS, newest, key, &choice)
    }

    fn exclude(name: &str) -> Which {
        Which::Exclude(vec![name.into()])
    }

    fn names(columns: &LakeColumns) -> Vec<&str> {
        columns.schema.columns.iter().map(|c| &*c.name).collect()
    }

    #[test]
    fn all_columns_are_loaded_under_their_own_names() {
        let all = chosen(Which::All, &[], &[]).unwrap();
        let mut expected = LakeColumns::all(recorded().whole(), 3, None);
        expected.fields = IDS.map(|(_, id)| Some(id)).into();
        assert_eq!(all, expected);
        assert!(all.loaded.is_everything());
    }

    #[test]
    fn what_is_left_out_moves_the_positions_of_the_others() {
        let columns = chosen(exclude("note"), &[("qty", "quantity"), ("id", "key")], &[]).unwrap();
        assert_eq!(names(&columns), ["quantity", "key", "old"]);
        assert_eq!(
            (columns.live, &*columns.places),
            (2, &[0, 2, 3].map(Some)[..])
        );
        assert_eq!(columns.lake_names, ["qty", "id", "old"]);
        assert_eq!(columns.schema.key.as_ref().unwrap().columns, [1]);
        assert_eq!(columns.created().columns.len(), 2);
        assert_eq!(
            columns.loaded.text(None).unwrap(),
            r#"{"left_out":[2],"renamed":{"1":"quantity","3":"key"}}"#
        );
        let lake = lake_schema(&recorded().whole(), TableKind::Mirror, Fidelity::Exact).unwrap();
        let shape = columns.shape(&lake);
        let sources: Vec<Option<usize>> = shape.fields.iter().map(|field| field.source).collect();
        assert_eq!(sources, [Some(0), None, Some(1), Some(2)]);
        assert_eq!(
            report(&columns),
            ColumnsReport {
                excluded: vec!["note".into()],
                renamed: [("qty", "quantity"), ("id", "key")]
                    .map(|(old, new)| (old.to_owned(), new.to_owned()))
                    .into(),
            }
        );
    }

    #[test]
    fn only_what_is_listed_is_loaded() {
        let listed = Which::Include(vec!["ID".into(), "note".into()]);
        let columns = chosen(listed, &[], &[]).unwrap();
        assert_eq!(names(&columns), ["note", "id"]);
        assert_eq!(columns.left_out, ["qty", "old"]);
    }

    #[test]
    fn a_key_is_not_left_out() {
        let refusal = chosen(exclude("id"), &[], &[]).unwrap_err();
        assert_eq!(refusal, Unloadable::Key("id".into()));
        let choice = ColumnChoice {
            which: exclude("id"),
            ..ColumnChoice::default()
        };
        // Versions of a history have none.
        let columns = select(&recorded(), &IDS, &[], None, &choice).unwrap();
        assert_eq!(names(&columns), ["qty", "note", "old"]);
    }

    /// A snapshot from before a rename is loaded with a configuration that knows the new name, or the old one.
    #[test]
    fn columns_are_named_as_they_are_called_now() {
        let newest = [(2, "remark".to_owned())];
        for name in ["remark", "note"] {
            let columns = chosen(exclude(name), &[], &newest).unwrap();
            assert_eq!(names(&columns), ["qty", "id", "old"], "{name}");
        }
        let refusal = chosen(exclude("card"), &[], &newest)
            .unwrap_err()
            .to_string();
        assert!(
            refusal.contains("The columns are remark, qty, note, id, old"),
            "{refusal}"
        );
    }

    #[test]
    fn what_the_last_load_left_out_is_loaded_for_every_row() {
        let then = [(1, "qty"), (2, "note"), (3, "id")];
        let then: HashMap<i32, String> = then.map(|(id, name)| (id, name.to_owned())).into();
        let compared = |which, rename: &[(&str, &str)], loaded: &LoadedColumns| {
            let mut columns = chosen(which, rename, &[]).unwrap();
            compare(&mut columns, &then, loaded);
            columns
        };
        let all = LoadedColumns::default();
        let without_note = chosen(exclude("note"), &[], &[]).unwrap().loaded;
        let renamed = chosen(Which::All, &[("qty", "quantity")], &[])
            .unwrap()
            .loaded;
        for (which, rename, loaded, expected) in [
            (Which::All, &[][..], &all, Compared::Same),
            (exclude("note"), &[], &without_note, Compared::Same),
            (exclude("note"), &[], &all, Compared::Otherwise),
            (Which::All, &[("qty", "n")], &renamed, Compared::Otherwise),
            (Which::All, &[], &without_note, Compared::More),
            (exclude("qty"), &[], &without_note, Compared::More),
        ] {
            let columns = compared(which, rename, loaded);
            assert_eq!(columns.compared, expected, "{rename:?} {loaded:?}");
        }
        let more = compared(Which::All, &[], &without_note);
        assert_eq!(more.included, ["note"]);
        // Each as it was called; not those that were not loaded, or are new in the lake.
        let was = |columns: &LakeColumns| columns.was.clone().unwrap();
        let text = |name: &str| Some(name.to_owned());
        assert_eq!(was(&more), [text("qty"), None, text("id"), None]);
        let back = compared(Which::All, &[], &renamed);
        assert_eq!(
            was(&back),
            [text("quantity"), text("note"), text("id"), None]
        );
    }
}
