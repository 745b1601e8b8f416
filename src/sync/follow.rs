//! The lake table against its source: what it keeps of the source's schema and definition, and how it follows when
//! those have changed.
//!
//! Everything is decided here before a row is read. What the lake table can follow becomes one [`Following`], which
//! the extract commits before its rows ([`crate::lake::Evolution`] argues that commit); what it cannot follow stops
//! the table, with source, lake and target as they were.

use crate::change::{Checkpoint, RunId};
use crate::config::{OnChange, Table};
use crate::error::{Disposition, Error, Kind, Result};
use crate::lake::{
    CHECKPOINT_PROPERTY, Evolution, LakeError, LakeTable, SOURCE_SCHEMA_PROPERTY, Warehouse,
};
use crate::report::ColumnsReport;
use crate::schema::definition::{Definition, Unreadable};
use crate::schema::drift::{self, Drift, Recorded, SchemaChange, SourceView};
use crate::schema::{
    LakeField, LakeSchema, LakeType, Role, SqlType, TableKind, TableSchema, mapping,
};
use crate::source::Discovered;
use std::collections::{BTreeMap, HashMap};

/// Table property: what else the source's table has, as JSON, where `create:` asks for any of it.
const SOURCE_DEFINITION: &str = "icesync.source-definition";

/// How the lake table follows its source.
pub(super) struct Following {
    pub recorded: Recorded,
    pub evolution: Evolution,
    pub changes: Vec<SchemaChange>,
    /// The checkpoint under the new names.
    pub checkpoint: Option<Checkpoint>,
    pub warnings: Vec<String>,
}

fn refused(message: String) -> Error {
    Error::new(Kind::Lake, Disposition::Definite, message)
}

pub(super) fn mapping_error(error: mapping::MappingError) -> Error {
    Error::new(Kind::Source, Disposition::Definite, error)
}

/// What the lake is to have of the source, under the names that it has in the lake. The columns' ids say which column
/// is which only in a table: a view counts its columns anew whenever it is altered.
pub(super) fn found(discovered: &Discovered) -> Recorded {
    let facts = &discovered.facts;
    let object = (!facts.is_view).then(|| facts.object.clone());
    let view = facts.is_view.then(|| SourceView {
        id: facts.object.id,
        modified: facts.modified.clone(),
    });
    let mut schema = discovered.schema.clone();
    let mut renamed = BTreeMap::new();
    for (column, name) in schema.columns.iter_mut().zip(&discovered.lake_names) {
        if column.name != *name {
            renamed.insert(name.clone(), column.name.clone());
            column.name.clone_from(name);
        }
    }
    Recorded {
        view,
        left_out: discovered.left_out.clone(),
        renamed,
        ..Recorded::new(schema, object)
    }
}

/// The columns of the source that the lake does not have as they are.
pub(super) fn columns(recorded: &Recorded) -> ColumnsReport {
    let left_out = recorded.left_out.iter().map(|left| left.name.clone());
    let renamed = recorded.renamed.iter();
    ColumnsReport {
        excluded: left_out.collect(),
        renamed: renamed
            .map(|(new, old)| (old.clone(), new.clone()))
            .collect(),
    }
}

/// What the lake table keeps of its source, as of a snapshot or now.
pub(super) fn recorded(lake: &LakeTable, snapshot: Option<i64>) -> Result<Recorded> {
    let name = lake.name();
    let json = match snapshot {
        Some(id) => lake.property_as_of(SOURCE_SCHEMA_PROPERTY, id),
        None => lake.property(SOURCE_SCHEMA_PROPERTY),
    };
    let json = json.ok_or_else(|| {
        refused(format!(
            "lake table {name} was not written by icesync: it lacks the property {SOURCE_SCHEMA_PROPERTY}"
        ))
    })?;
    serde_json::from_str(json).map_err(|error| {
        refused(format!(
            "property {SOURCE_SCHEMA_PROPERTY} of lake table {name} cannot be read: {error}"
        ))
    })
}

/// The property that keeps a source schema.
pub(super) fn property(recorded: &Recorded) -> Result<(String, String)> {
    let json = serde_json::to_string(recorded)
        .map_err(|error| Error::new(Kind::Lake, Disposition::Definite, error))?;
    Ok((SOURCE_SCHEMA_PROPERTY.to_owned(), json))
}

/// What the lake table keeps of its source's definition, as of a snapshot or now; none where nothing is recorded.
pub(super) fn definition(
    lake: &LakeTable,
    snapshot: Option<i64>,
) -> Option<std::result::Result<Definition, Unreadable>> {
    let json = match snapshot {
        Some(id) => lake.property_as_of(SOURCE_DEFINITION, id),
        None => lake.property(SOURCE_DEFINITION),
    };
    json.map(Definition::read)
}

/// The property that keeps a source's definition.
pub(super) fn definition_property(definition: &Definition) -> Result<(String, String)> {
    let json = definition.write();
    let json = json.map_err(|error| Error::new(Kind::Lake, Disposition::Definite, error))?;
    Ok((SOURCE_DEFINITION.to_owned(), json))
}

/// Creates the lake table, or takes the one that another run created in between.
pub(super) async fn create(
    warehouse: &Warehouse,
    table: &Table,
    found: &Recorded,
    definition: Option<&Definition>,
) -> Result<LakeTable> {
    let shape =
        mapping::lake_schema(&found.schema, table.kind, table.fidelity).map_err(mapping_error)?;
    let mut properties = BTreeMap::from([property(found)?]);
    properties.extend(definition.map(definition_property).transpose()?);
    let created = warehouse.create(&table.lake, &shape, table.kind, properties);
    match created.await {
        Ok(lake) => Ok(lake),
        Err(error @ LakeError::AlreadyExists { .. }) => {
            Ok(warehouse.table(&table.lake).await?.ok_or(error)?)
        }
        Err(error) => Err(error.into()),
    }
}

/// The recorded columns as they are.
fn as_recorded(recorded: &Recorded) -> Drift {
    let columns = recorded.live() + recorded.dropped.len();
    Drift {
        recorded: recorded.clone(),
        was: (0..columns).map(Some).collect(),
        changes: Vec::new(),
        included: Vec::new(),
        at_source: false,
    }
}

/// Whether the lake table can take what is found, and how; none when it can take it as it is. Refuses, before
/// anything is read, what it cannot. `definition` is recorded where another one is, or none.
pub(super) fn follow(
    lake: &LakeTable,
    table: &Table,
    found: &Recorded,
    definition: Option<&Definition>,
    checkpoint: Option<&Checkpoint>,
) -> Result<Option<Following>> {
    if lake.kind() != table.kind {
        return Err(refused(format!(
            "lake table {} was created as {:?} and the configuration now says {:?}; give it another `lake:` name",
            table.lake,
            lake.kind(),
            table.kind
        )));
    }
    let recorded = recorded(lake, None)?;
    check_fields(lake, table, &recorded)?;
    let drift = drift::compare(
        &recorded,
        found,
        (table.kind, table.fidelity),
        &table.declared,
    )
    .map_err(|refusal| refused(format!("lake table {}: {refusal}", table.lake)))?;
    let known = self::definition(lake, None).and_then(std::result::Result::ok);
    let redefined = definition.filter(|definition| known.as_ref() != Some(*definition));
    let drift = match (drift, redefined) {
        (None, None) => return Ok(None),
        (None, Some(_)) => as_recorded(&recorded),
        (Some(drift), _) => drift,
    };
    check_included(lake, table, &recorded, &drift)?;
    if table.on_change == OnChange::Refuse && drift.at_source {
        let told: Vec<String> = drift.changes.iter().map(SchemaChange::to_string).collect();
        return Err(refused(format!(
            "the source's columns have changed and `schema.on_change: refuse` keeps lake table {} from following: {}; \
undo the change at the source, or set `schema: {{ on_change: evolve }}`",
            table.lake,
            told.join("; ")
        )));
    }
    let mut following = following(table, &recorded, drift, checkpoint)?;
    let properties = &mut following.evolution.properties;
    properties.extend(redefined.map(definition_property).transpose()?);
    Ok(Some(following))
}

/// Refuses to read again, for a column that was left out, rows that cannot be matched with those of the lake table:
/// they would be there twice.
fn check_included(
    lake: &LakeTable,
    table: &Table,
    recorded: &Recorded,
    drift: &Drift,
) -> Result<()> {
    let is_matched = match lake.kind() {
        TableKind::Mirror => true,
        TableKind::History => {
            let shape = lake.lake_schema();
            !shape.key.is_empty() && keeps_keys_apart(&recorded.schema, shape)
        }
    };
    if drift.included.is_empty() || is_matched || lake.current_snapshot_id().is_none() {
        return Ok(());
    }
    Err(refused(format!(
        "column {} was left out of lake table {} so far. With it all rows have to be read again, and a history \
         without an exact key would have each of them twice. Nothing was read. Leave it out again, or give the table \
         another `lake:` name, under which it is read whole",
        drift.included.join(", "),
        table.lake
    )))
}

/// Whether two keys of the source are two in the lake: `fidelity: standard` cuts off the seventh digit of a second.
pub(super) fn keeps_keys_apart(table: &TableSchema, lake: &LakeSchema) -> bool {
    let positions = table.key.iter().flat_map(|key| &key.columns);
    positions.zip(table.key_columns()).all(|(&at, column)| {
        let is_kept = |field: &LakeField| field.source == Some(at) && field.role == Role::Ticks;
        let is_cut = matches!(
            column.ty,
            SqlType::Time { scale: 7 }
                | SqlType::DateTime2 { scale: 7 }
                | SqlType::DateTimeOffset { scale: 7 }
        );
        !is_cut || lake.fields.iter().any(is_kept)
    })
}

fn following(
    table: &Table,
    before: &Recorded,
    drift: Drift,
    checkpoint: Option<&Checkpoint>,
) -> Result<Following> {
    let shape = mapping::lake_schema(&drift.recorded.whole(), table.kind, table.fidelity)
        .map_err(mapping_error)?;
    let mut properties = HashMap::from([property(&drift.recorded)?]);
    let mut warnings = Vec::new();
    let mut checkpoint = checkpoint.cloned();
    if let Some(known) = &mut checkpoint
        && follow_checkpoint(before, &drift, known, &mut warnings)
    {
        let text = serde_json::to_string(known)
            .map_err(|error| Error::new(Kind::Lake, Disposition::Definite, error))?;
        properties.insert(CHECKPOINT_PROPERTY.to_owned(), text);
    }
    let Drift {
        recorded,
        was,
        changes,
        ..
    } = drift;
    Ok(Following {
        evolution: Evolution {
            shape,
            live: recorded.live(),
            was,
            properties,
        },
        recorded,
        changes,
        checkpoint,
        warnings,
    })
}

/// Why rows that no window shows may have other values than the lake: SQL Server rewrites a `datetime` column that
/// becomes `datetime2`.
fn got_digits(before: &Recorded, drift: &Drift) -> Option<String> {
    let columns = drift.recorded.schema.columns.iter().zip(&drift.was);
    let changed = columns.filter(|(now, was)| {
        let was = was.and_then(|was| before.schema.columns.get(was));
        let shown = was.and_then(|was| was.ty.shown_in(now.ty));
        shown.is_some_and(|shown| shown != now.ty)
    });
    let names: Vec<&str> = changed.map(|(now, _)| now.name.as_str()).collect();
    (!names.is_empty()).then(|| {
        format!(
            "column {} was datetime and is datetime2, which may have given its values more digits (.003 becomes \
                .0033333). Reading all of the table again",
            names.join(", ")
        )
    })
}

/// Changes the checkpoint where the watermark's column is another one now; answers whether it did. A watermark
/// means nothing for another column, nor for the rows of another table or view, nor for a column that was left out
/// until now: then the whole table is read again, and compared with what the lake has. The checkpoint's new token stops
/// runs that still follow the column under its old name, or do not read the new one.
fn follow_checkpoint(
    before: &Recorded,
    drift: &Drift,
    checkpoint: &mut Checkpoint,
    warnings: &mut Vec<String>,
) -> bool {
    let recreated = before.was_recreated(&drift.recorded);
    let got_digits = got_digits(before, drift);
    let follows_log = checkpoint.strategy.follows_log();
    let mark = checkpoint.watermark.as_mut();
    let old = mark
        .as_ref()
        .filter(|_| !follows_log)
        .and_then(|mark| before.source_position(&mark.column));
    let live = &drift.was[..drift.recorded.live()];
    let now = old.and_then(|old| live.iter().position(|was| *was == Some(old)));
    let now = now.and_then(|at| drift.recorded.schema.columns.get(at));
    match (mark, now) {
        _ if recreated => {
            read_again(checkpoint);
            let what = match &drift.recorded.view {
                Some(_) => "the source is a view that was created or altered since the last run",
                None => "the source table was dropped and recreated",
            };
            warnings.push(format!("{what}. Reading all of it again"));
        }
        // Also where there is no watermark: ranges that were read may lack the column.
        _ if !drift.included.is_empty() => {
            read_again(checkpoint);
            warnings.push(format!(
                "column {} was left out so far. Reading all of the table again, with its values",
                drift.included.join(", ")
            ));
        }
        (Some(_), now) if got_digits.is_some() && (now.is_some() || follows_log) => {
            warnings.extend(got_digits);
            read_again(checkpoint);
        }
        // A position in a log, whatever the columns are called.
        (Some(_), _) if follows_log => return false,
        (Some(mark), Some(now)) if mark.column != drift.recorded.source_name(now) => {
            mark.column = drift.recorded.source_name(now).to_owned();
        }
        (Some(mark), None) => {
            warnings.push(format!(
                "column {}, which was followed, is gone from the source: all of the table is read again",
                mark.column
            ));
            checkpoint.watermark = None;
        }
        (Some(_), Some(_)) | (None, _) => return false,
    }
    checkpoint.run_id = RunId::generate();
    true
}

/// Lets the next read be one of the whole table.
fn read_again(checkpoint: &mut Checkpoint) {
    checkpoint.watermark = None;
    if let Some(ledger) = &mut checkpoint.backfill {
        // Its ranges are of other rows or columns: it fits no schema.
        ledger.schema.clear();
    }
}

/// Refuses a lake table whose fields are not those that its recorded source makes: another `fidelity`, or another
/// engine's work.
fn check_fields(lake: &LakeTable, table: &Table, recorded: &Recorded) -> Result<()> {
    let expected = mapping::lake_schema(&recorded.whole(), table.kind, table.fidelity)
        .map_err(mapping_error)?;
    let live = |field: &&LakeField| field.source.is_none_or(|at| at < recorded.live());
    let wanted: Vec<&LakeField> = expected.fields.iter().filter(live).collect();
    let have = lake.written_fields();
    let same = |(have, want): (&&LakeField, &&LakeField)| {
        have.name == want.name
            && (have.source, have.role) == (want.source, want.role)
            && holds(have.ty, want.ty)
    };
    if have.len() == wanted.len()
        && have.iter().zip(&wanted).all(same)
        && key_of(lake.lake_schema()) == key_of(&expected)
    {
        return Ok(());
    }
    Err(refused(format!(
        "lake table {} does not have the columns that icesync gave it: {}. Nothing was read. Undo this with the engine \
            that changed the table, or set `fidelity` back if that was changed. Otherwise give the table another \
            `lake:` name, under which it is read whole",
        table.lake,
        difference(&have, &wanted).join(", ")
    )))
}

/// The fields of the key, and how they fold. Tables of older builds count zeros at the end of a `varbinary`.
fn key_of(schema: &LakeSchema) -> Vec<(Option<usize>, Role, bool, bool)> {
    let fields = schema.key.iter().filter_map(|key| {
        let field = schema.fields.get(key.field)?;
        Some((field.source, field.role, key.fold.trim, key.fold.ascii_case))
    });
    fields.collect()
}

/// Refuses a lake table of an older build that takes two spellings of one key for two, where deletes are found by key:
/// the row of the other spelling would stay.
pub(super) fn check_spellings(lake: &LakeTable, table: &Table, found: &Recorded) -> Result<()> {
    let expected = mapping::lake_schema(&found.schema, table.kind, table.fidelity);
    let expected = expected.map_err(mapping_error)?;
    let folds = |schema: &LakeSchema| schema.key.iter().any(|key| key.fold.zeros);
    if !folds(&expected) || folds(lake.lake_schema()) {
        return Ok(());
    }
    Err(refused(format!(
        "lake table {} was created by an older build, which takes 0x01 and 0x0100 for two keys. The source takes them \
         for one, so a row deleted under one spelling could stay under the other. Nothing was read. Give the table \
         another `lake:` name, under which it is read whole, or choose another `change.strategy`",
        table.lake
    )))
}

/// Another engine may have widened a column.
fn holds(have: LakeType, want: LakeType) -> bool {
    have.wider(want) == Some(have)
}

/// What sets the fields of a lake table apart from those that icesync gave it.
fn difference(have: &[&LakeField], want: &[&LakeField]) -> Vec<String> {
    let is_same = |a: &LakeField, b: &LakeField| {
        a.source.is_some() && (a.source, a.role) == (b.source, b.role)
    };
    let mut said = Vec::new();
    for field in want {
        let named = have.iter().find(|other| other.name == field.name);
        match named.or_else(|| have.iter().find(|other| is_same(other, field))) {
            None => said.push(format!("column {} is missing", field.name)),
            Some(other) if other.name != field.name => said.push(format!(
                "column {} was renamed to {}",
                field.name, other.name
            )),
            Some(other) if !holds(other.ty, field.ty) => said.push(format!(
                "column {} is {:?} instead of {:?}",
                field.name, other.ty, field.ty
            )),
            Some(_) => {}
        }
    }
    for field in have {
        let is_wanted = |other: &&LakeField| other.name == field.name || is_same(other, field);
        if !want.iter().any(is_wanted) {
            said.push(format!("column {} is not expected", field.name));
        }
    }
    if said.is_empty() {
        let names = |fields: &[&LakeField]| -> Vec<String> {
            fields.iter().map(|field| field.name.clone()).collect()
        };
        let (found, expected) = (names(have), names(want));
        said.push(match found == expected {
            true => "its key is another one".to_owned(),
            false => format!(
                "its columns are in the order {} instead of {}",
                found.join(", "),
                expected.join(", ")
            ),
        });
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, source: usize) -> LakeField {
        LakeField {
            name: name.to_owned(),
            ty: LakeType::Int,
            required: false,
            source: Some(source),
            role: Role::Value,
        }
    }

    #[test]
    fn what_another_engine_did_to_the_columns_is_named() {
        let (id, quantity) = (field("id", 0), field("quantity", 1));
        let want = [&id, &quantity];
        assert_eq!(
            difference(&[&id, &field("amount", 1)], &want),
            ["column quantity was renamed to amount"]
        );
        assert_eq!(
            difference(&[&quantity, &id], &want),
            ["its columns are in the order quantity, id instead of id, quantity"]
        );
        assert_eq!(difference(&[&id], &want), ["column quantity is missing"]);
        let text = LakeField {
            ty: LakeType::String,
            ..field("quantity", 1)
        };
        assert_eq!(
            difference(&[&id, &text], &want),
            ["column quantity is String instead of Int"]
        );
        assert_eq!(
            difference(&[&id, &quantity, &field("note", 2)], &want),
            ["column note is not expected"]
        );
    }
}
