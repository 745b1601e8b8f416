//! Schema evolution: the lake table follows its source in one metadata commit of its own.
//!
//! **The commit.** A new schema, the property that says what its fields hold, and the caller's properties (the
//! source schema as recorded) are published as one metadata file, before the rows that need them. It adds no
//! snapshot and touches no file: data files are read by field id, so what a file lacks is NULL and what it has in a
//! narrower type is widened.
//!
//! **What can crash where.** Before the metadata file nothing has happened. After it the table has the new schema
//! and no new row, which is a state like any other: the next run finds what is recorded equal to the source and
//! goes on with the window that it would have read anyway. The checkpoint does not move, so a run under the old
//! schema that is still reading commits or does not by the rule that always holds; its files lack the new columns,
//! as do all files before them. Where the checkpoint itself has to change (the column that it follows has another
//! name, or is worth nothing for a column that was left out until now), it gets another token, which stops such a run.
//! Where there is no checkpoint yet, the first commit is refused if it was read under another schema.
//!
//! **Compare and set.** The evolution was decided from one schema id and from one text of each property that it
//! sets. If one of them is another by the time of the commit, somebody else evolved the table, and the run stops
//! before it reads; tried again, it finds nothing left to evolve.
//!
//! **Old snapshots** name the schema that they were written under, and Iceberg keeps it. What our properties said
//! of it is kept too, under the property's name with `.<schema id>` behind it, so that [`LakeTable::as_of`] reads
//! an old snapshot as it was. Expiry takes both away with the last snapshot of the schema. A column that the source
//! dropped is marked in its field's doc: it tells readers, and makes a drop alone a schema of its own.

use crate::lake::checkpoint::CHECKPOINT_PROPERTY;
use crate::lake::commit::Change;
use crate::lake::error::{LakeError, Result};
use crate::lake::schema::{SCHEMA_PROPERTY, Shape, is_history, kept_with_ids, schema_with_ids};
use crate::lake::table::LakeTable;
use crate::schema::{LakeField, LakeKeyField, LakeSchema};
use iceberg::spec::Schema;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// Doc of a field whose column the source dropped, or the configuration leaves out.
const DROPPED: &str = "no longer read from the source; NULL in rows written since";

/// How a lake table's fields change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evolution {
    /// Fields of columns that the source has, of columns that it dropped, and of history, as they are to be.
    pub shape: LakeSchema,
    /// Columns of the source from here on are dropped.
    pub live: usize,
    /// For each column of the source its position before; none for a new one.
    pub was: Vec<Option<usize>>,
    /// Set with the schema; those of the same name are kept for the snapshots of the schema before.
    pub properties: HashMap<String, String>,
}

/// The evolved fields with their ids.
struct Evolved {
    shape: LakeSchema,
    ids: Vec<i32>,
}

impl LakeTable {
    /// Publishes the evolution: schema and properties together or nothing. [`LakeError::SchemaMoved`] when the
    /// table's schema, or one of the properties, is no longer what this version has. See the module head.
    pub async fn evolve(&mut self, evolution: &Evolution) -> Result<()> {
        let seen = self.clone();
        self.apply(None, None, move |table| {
            let same_properties = evolution
                .properties
                .keys()
                .all(|name| table.property(name) == seen.property(name));
            if table.metadata().current_schema_id() != seen.metadata().current_schema_id()
                || !same_properties
            {
                return Err(LakeError::SchemaMoved {
                    table: table.name.clone(),
                });
            }
            table.evolution_change(evolution)
        })
        .await
    }

    fn evolution_change(&self, evolution: &Evolution) -> Result<Change> {
        let Evolved { shape, ids } = self.evolved(evolution)?;
        let mut docs = HashMap::new();
        for (field, &id) in shape.fields.iter().zip(&ids) {
            let have = self.metadata().current_schema().field_by_id(id);
            let doc = match field.source {
                Some(source) if source >= evolution.live => Some(DROPPED.to_owned()),
                Some(_) => None,
                None => have.and_then(|have| have.doc.clone()),
            };
            docs.extend(doc.map(|doc| (id, doc)));
        }
        let schema = schema_with_ids(&self.name, &shape, &ids, &docs)?;
        let mut properties = evolution.properties.clone();
        let kept = kept_with_ids(&self.name, &shape, &ids, evolution.live)?;
        properties.insert(SCHEMA_PROPERTY.to_owned(), kept);
        let before = self.metadata().current_schema();
        if !is_same(before, &schema) {
            let names: Vec<String> = properties.keys().cloned().collect();
            for name in names {
                if name != CHECKPOINT_PROPERTY
                    && let Some(old) = self.property(&name)
                {
                    let old = old.to_owned();
                    properties.insert(archived(&name, before.schema_id()), old);
                }
            }
        }
        Ok(Change::schema(schema, properties))
    }

    /// Field id and name of each column of the source, by its position, as they would be after an evolution.
    pub fn columns_after(&self, evolution: &Evolution) -> Result<Vec<(usize, i32)>> {
        let Evolved { shape, ids } = self.evolved(evolution)?;
        Ok(value_fields(&shape, &ids))
    }

    /// Position of each column of the source, and the id of the field that holds its value.
    pub fn columns(&self) -> Vec<(usize, i32)> {
        value_fields(&self.shape.schema, &self.shape.ids)
    }

    /// The fields that rows are written to, without those that nobody fills any more.
    pub fn written_fields(&self) -> Vec<&LakeField> {
        let fields = self.shape.schema.fields.iter().zip(&self.shape.unfilled);
        let filled = fields.filter(|(_, unfilled)| !**unfilled);
        filled.map(|(field, _)| field).collect()
    }

    /// Whether this version takes the same batches as another one: the same fields, filled from the same columns of the
    /// source.
    pub fn is_written_as(&self, other: &Self) -> bool {
        let schema = |table: &Self| table.metadata().current_schema_id();
        schema(self) == schema(other)
            && self.shape.schema == other.shape.schema
            && self.shape.unfilled == other.shape.unfilled
    }

    /// The fields of the batches that a writer takes.
    pub fn batch_schema(&self) -> LakeSchema {
        let fields = self.written_fields().into_iter();
        LakeSchema {
            fields: fields
                .filter(|field| !is_history(field.role))
                .cloned()
                .collect(),
            key: Vec::new(),
        }
    }

    /// The table as it was when a snapshot was committed: its schema, and what [`LakeTable::property_as_of`] says.
    /// For reading.
    pub fn as_of(&self, snapshot_id: i64) -> Result<Self> {
        let Some(schema) = self.past_schema(snapshot_id) else {
            return Ok(self.clone());
        };
        let kept = self.property_as_of(SCHEMA_PROPERTY, snapshot_id);
        let mut past = self.clone();
        past.shape = Arc::new(Shape {
            names: self.shape.names.clone(),
            ..Shape::at(&self.name, &schema, kept)?
        });
        Ok(past)
    }

    /// The same with the types of a snapshot, where those are wider: a table that was rolled back to before a column
    /// was widened is compared with rows that were written since.
    #[must_use]
    pub fn as_wide_as(mut self, snapshot_id: i64) -> Self {
        let snapshot = self.metadata().snapshot_by_id(snapshot_id);
        let schema = snapshot.and_then(|snapshot| snapshot.schema_id());
        if let Some(schema) = schema.and_then(|id| self.metadata().schema_by_id(id)) {
            self.shape = Arc::new(self.shape.as_wide_as(schema));
        }
        self
    }

    /// What a property that evolves with the schema was when a snapshot was committed.
    pub fn property_as_of(&self, name: &str, snapshot_id: i64) -> Option<&str> {
        let past = self.past_schema(snapshot_id);
        let past = past.and_then(|schema| self.property(&archived(name, schema.schema_id())));
        past.or_else(|| self.property(name))
    }

    /// The schema of a snapshot when it is another one than the current, and icesync evolved it.
    fn past_schema(&self, snapshot_id: i64) -> Option<Arc<Schema>> {
        let metadata = self.metadata();
        let id = metadata.snapshot_by_id(snapshot_id)?.schema_id()?;
        if id == metadata.current_schema_id() {
            return None;
        }
        self.property(&archived(SCHEMA_PROPERTY, id))?;
        metadata.schema_by_id(id).cloned()
    }

    /// Schemas that icesync evolved and that no snapshot has any more once some are expired, and the properties that
    /// say what they were.
    pub(in crate::lake) fn unused_schemas(
        &self,
        expired: &BTreeSet<i64>,
    ) -> (Vec<i32>, Vec<String>) {
        let metadata = self.metadata();
        let kept = metadata.snapshots();
        let kept = kept.filter(|snapshot| !expired.contains(&snapshot.snapshot_id()));
        let mut used: HashSet<i32> = kept.filter_map(|snapshot| snapshot.schema_id()).collect();
        used.insert(metadata.current_schema_id());
        let unused = |id: &i32| {
            let is_ours = self.property(&archived(SCHEMA_PROPERTY, *id)).is_some();
            is_ours && !used.contains(id)
        };
        let schemas = metadata.schemas_iter().map(|schema| schema.schema_id());
        let schemas: Vec<i32> = schemas.filter(unused).collect();
        let of_one = |name: &&String| {
            let id = name
                .strip_prefix("icesync.")
                .and_then(|name| name.rsplit_once('.'));
            let id = id.and_then(|(_, id)| id.parse().ok());
            id.is_some_and(|id| schemas.contains(&id))
        };
        let properties = metadata.properties().keys().filter(of_one).cloned();
        let properties = properties.collect();
        (schemas, properties)
    }

    /// Gives every field that goes on its id, every new one the next free id.
    fn evolved(&self, evolution: &Evolution) -> Result<Evolved> {
        let refuse = |reason: String| LakeError::UnsupportedTable {
            table: self.name.clone(),
            reason,
        };
        let have = &self.shape;
        let mut next_id = self.metadata().last_column_id();
        let mut shape = evolution.shape.clone();
        let mut ids = Vec::with_capacity(shape.fields.len());
        let mut used = vec![false; have.ids.len()];
        for field in &mut shape.fields {
            let source = field
                .source
                .map(|at| evolution.was.get(at).copied().flatten());
            let goes_on = |old: &LakeField| {
                old.role == field.role
                    && match source {
                        Some(was) => was.is_some() && old.source == was,
                        None => is_history(old.role),
                    }
            };
            match have.schema.fields.iter().position(goes_on) {
                Some(at) => {
                    let old = &have.schema.fields[at];
                    used[at] = true;
                    ids.push(have.ids[at]);
                    field.required &= old.required;
                    // A type that another engine has widened stays.
                    field.ty = old.ty.wider(field.ty).ok_or_else(|| {
                        refuse(format!(
                            "its column `{}` is {:?}, which Iceberg does not turn into {:?} in place",
                            old.name, old.ty, field.ty
                        ))
                    })?;
                }
                None if field.required => {
                    return Err(refuse(format!(
                        "column `{}` would be new and required, and rows before it have no value",
                        field.name
                    )));
                }
                None => {
                    next_id += 1;
                    ids.push(next_id);
                }
            }
        }
        // Rows of a table that tells `varbinary` keys apart by the zeros at their end may be there twice without.
        for key in &mut shape.key {
            let id = ids.get(key.field);
            let is_same = |old: &&LakeKeyField| have.ids.get(old.field) == id;
            let old = have.schema.key.iter().find(is_same);
            key.fold.zeros &= old.is_none_or(|old| old.fold.zeros);
        }
        // Fields that are none of ours stay.
        for (at, field) in have.schema.fields.iter().enumerate() {
            if used[at] {
                continue;
            }
            if field.required || field.source.is_some() {
                return Err(refuse(format!(
                    "its column `{}` has no counterpart in the source any more",
                    field.name
                )));
            }
            shape.fields.push(field.clone());
            ids.push(have.ids[at]);
        }
        Ok(Evolved { shape, ids })
    }
}

fn value_fields(shape: &LakeSchema, ids: &[i32]) -> Vec<(usize, i32)> {
    let fields = shape.fields.iter().zip(ids);
    fields
        .filter(|(field, _)| field.role == crate::schema::Role::Value)
        .filter_map(|(field, &id)| Some((field.source?, id)))
        .collect()
}

fn archived(property: &str, schema_id: i32) -> String {
    format!("{property}.{schema_id}")
}

fn is_same(a: &Schema, b: &Schema) -> bool {
    a.as_struct() == b.as_struct()
        && a.identifier_field_ids().collect::<HashSet<_>>() == b.identifier_field_ids().collect()
}
