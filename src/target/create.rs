//! A target that icesync creates: what of its source's definition it gets, and when.
//!
//! By default a target has the source's columns and a key. `create:` of the configuration adds the source's indexes,
//! defaults, checks, identity seed and compression. The source's [`Definition`] is in the lake; [`design`] decides,
//! before anything is created, which of it the target can have.
//!
//! # When
//!
//! Identity, compression and whether the key is clustered belong to CREATE TABLE or to the key. The rest are statements
//! of their own.
//!
//! *A table that a first load fills* ([`fill`](super::fill)) gets them once it has its rows, before it is published. An
//! index is then built by one sort, and the bulk copies meet a heap without indexes. If one of them cannot be made, the
//! table is published without it. A load that dies leaves a table that the next one drops.
//!
//! *A target that is created empty* gets them before any row. Its creation is one transaction with a load state that
//! says "nothing loaded" ([`create()`]); the first load then goes on from that state. So which of them are missing is
//! asked only of a table that icesync has created and that has no rows of a load. A load that dies between two of them
//! leaves a target whose next load finds them by their names ([`Object::is_in`]) and makes the rest. Were they made
//! after the rows, a state of its own would have to tell a finished target from an unfinished one. The price is that
//! the first rows are inserted into a table with indexes.
//!
//! A target that was loaded once is its owner's: nothing is created or dropped there.
//!
//! # Names
//!
//! Names of indexes are the table's own. Those of constraints are the schema's, so they may be taken: by another table,
//! or by another target with the same source. A filled table is in schema `icesync` until it is published. Its
//! constraints end in the run's id, which makes them unique, and the transaction that publishes takes the id off where
//! the rest is free. Elsewhere the source's name is tried first, and with the run's id when the server refuses it.
//!
//! # What another server's text may do
//!
//! Filters, defaults and checks are T-SQL that the source's catalog shows. Each is put between parentheses that it
//! cannot end ([`enclosed`]), so a statement stays the statement that it is. An expression may still call what the
//! target has: whoever may alter the source's table decides what its defaults and checks compute.

use super::TargetError;
use crate::change::RunId;
use crate::error::Disposition;
use crate::mssql::control::{Class, Control};
use crate::mssql::definition;
use crate::mssql::error::MssqlError;
use crate::mssql::sql::Statement;
use crate::mssql::sql::create::{self, NewIndex};
use crate::mssql::sql::define::{self, Storage, constraint_name};
use crate::mssql::sql::enclosed::{Enclosed, NotEnclosed, enclosed};
use crate::mssql::sql::state::{ERROR_STATE_MOVED, StateChange};
use crate::schema::definition::{Compression, CreateOptions, Definition, Part, TableIndex};
use crate::schema::{TableName, TableSchema};

/// How long a statement waits for the table, and creation for the load state.
const LOCK_TIMEOUT_MS: u32 = 20_000;
/// An object of that name is there.
const NAME_TAKEN: u32 = 2714;

/// Whether no two rows of the lake can have one key of a unique index of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uniqueness {
    Kept,
    /// They can, because of this.
    Lost(&'static str),
}

/// How a target is created.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Design {
    pub storage: Storage,
    /// The identity is to go on behind its last value: its column, and whether it counts down.
    pub reseeds: Option<(String, bool)>,
    /// Where the rows are, if not with the key. Comes before the key.
    pub clustered: Option<Object>,
    pub objects: Vec<Object>,
    /// What the target does not get, and why.
    pub warnings: Vec<String>,
}

/// Something that a target has besides columns and key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    Index(NewIndex),
    /// A UNIQUE constraint.
    Unique(NewIndex),
    Default {
        name: String,
        column: String,
        definition: Enclosed,
    },
    Check {
        name: String,
        definition: Enclosed,
        trusted: bool,
    },
}

/// How an object's constraint is named.
#[derive(Debug, Clone, Copy)]
pub enum Naming<'a> {
    /// As at the source, or with this at its end where that name is taken.
    Free(&'a str),
    /// With this at its end.
    Suffixed(&'a str),
}

/// What of a source's definition a target of these columns gets.
pub fn design(
    definition: &Definition,
    options: CreateOptions,
    schema: &TableSchema,
    uniqueness: Uniqueness,
) -> Design {
    let mut design = Design::default();
    if options.indexes {
        add_indexes(&mut design, definition, options, schema, uniqueness);
    }
    if options.defaults {
        add_defaults(&mut design, definition, schema);
    }
    if options.checks {
        add_checks(&mut design, definition);
    }
    let is_wanted = |part| match part {
        Part::Indexes => options.indexes,
        Part::Defaults => options.defaults,
        Part::Checks => options.checks,
    };
    for omitted in definition.omitted.iter().filter(|o| is_wanted(o.part)) {
        design.leave_out(&omitted.what);
    }
    design.store(definition, options, schema);
    design
}

impl Design {
    fn leave_out(&mut self, what: &str) {
        self.warnings
            .push(format!("not created in the target: {what}"));
    }

    fn store(&mut self, definition: &Definition, options: CreateOptions, schema: &TableSchema) {
        let key = key_index(definition, schema);
        let nonclustered_key = self.clustered.is_some();
        let is_clustered = define::has_primary_key(schema) && !nonclustered_key;
        let own = key.map_or(Compression::None, |index| index.compression);
        let (heap, key) = match (is_clustered, nonclustered_key) {
            (true, _) => (Compression::None, definition.compression),
            (false, true) => (Compression::None, own),
            (false, false) => (definition.compression, own),
        };
        let compressed = |compression| match options.compression {
            true => compression,
            false => Compression::None,
        };
        let identity = definition.identity.filter(|_| options.identity);
        let column = (0..schema.columns.len()).find(|&at| define::keeps_identity(schema, at));
        self.reseeds = column.zip(identity).map(|(at, identity)| {
            let name = schema.columns[at].name.clone();
            (name, identity.increment < 0)
        });
        self.storage = Storage {
            identity,
            heap: compressed(heap),
            key: compressed(key),
            nonclustered_key,
        };
    }

    /// The name of an index of the design that is filtered.
    pub fn filtered(&self) -> Option<&str> {
        let indexes = self.clustered.iter().chain(&self.objects);
        indexes.into_iter().find_map(|object| match object {
            Object::Index(index) if index.filter.is_some() => Some(index.name.as_str()),
            Object::Index(_)
            | Object::Unique(_)
            | Object::Default { .. }
            | Object::Check { .. } => None,
        })
    }

    /// Without what a table has already.
    #[must_use]
    pub fn without(mut self, existing: &Definition) -> Self {
        self.clustered = self.clustered.filter(|object| !object.is_in(existing));
        self.objects.retain(|object| !object.is_in(existing));
        self
    }

    /// The names of its constraints, as they are once the suffix is taken off.
    pub fn constraints(&self, suffix: &str) -> Vec<String> {
        let objects = self.clustered.iter().chain(&self.objects);
        let names = objects.filter_map(|object| match object {
            Object::Index(_) => None,
            Object::Unique(index) => Some(&index.name),
            Object::Default { name, .. } | Object::Check { name, .. } => Some(name),
        });
        names
            .map(|name| define::plain_name("", name, suffix))
            .collect()
    }

    /// The objects in the order of their creation, on a table that has its key.
    pub fn into_objects(self) -> Vec<Object> {
        self.clustered.into_iter().chain(self.objects).collect()
    }
}

/// The index of the source that the target's key stands for.
fn key_index<'a>(definition: &'a Definition, schema: &TableSchema) -> Option<&'a TableIndex> {
    let mut key: Vec<&str> = schema.key_columns().map(|c| c.name.as_str()).collect();
    key.sort_unstable();
    let is_key = |index: &&TableIndex| {
        let mut columns: Vec<&str> = index.key.iter().map(|c| c.name.as_str()).collect();
        columns.sort_unstable();
        index.unique && index.filter.is_none() && columns == key
    };
    let mut candidates: Vec<&TableIndex> = definition.indexes.iter().filter(is_key).collect();
    candidates.sort_by_key(|index| !index.constraint);
    candidates.into_iter().next()
}

fn add_indexes(
    design: &mut Design,
    definition: &Definition,
    options: CreateOptions,
    schema: &TableSchema,
    uniqueness: Uniqueness,
) {
    let key = key_index(definition, schema).map(|index| &index.name);
    let mut no_longer_unique = Vec::new();
    for index in &definition.indexes {
        if key == Some(&index.name) {
            continue;
        }
        let columns = index.key.iter().map(|column| &column.name);
        let mut columns = columns.chain(&index.included);
        if let Some(missing) = columns.find(|name| schema.position(name).is_none()) {
            design.leave_out(&format!(
                "index {}: the lake table has no column {missing}",
                index.name
            ));
            continue;
        }
        let filter = match index.filter.as_deref().map(enclosed).transpose() {
            Ok(filter) => filter,
            Err(why) => {
                design.leave_out(&format!(
                    "index {}: {}",
                    index.name,
                    doubtful("filter", why)
                ));
                continue;
            }
        };
        let keeps = uniqueness == Uniqueness::Kept;
        if index.unique && !keeps {
            no_longer_unique.push(index.name.as_str());
        }
        let created = NewIndex {
            name: index.name.clone(),
            kind: index.kind,
            unique: index.unique && keeps,
            key: index.key.clone(),
            included: index.included.clone(),
            filter,
            compression: match options.compression {
                true => index.compression,
                false => Compression::None,
            },
        };
        let object = match index.constraint && keeps {
            true => Object::Unique(created),
            false => Object::Index(created),
        };
        match index.is_clustered() {
            true => design.clustered = Some(object),
            false => design.objects.push(object),
        }
    }
    if let (Uniqueness::Lost(why), false) = (uniqueness, no_longer_unique.is_empty()) {
        design.warnings.push(format!(
            "created without UNIQUE, because {why}: {}",
            no_longer_unique.join(", ")
        ));
    }
}

fn doubtful(what: &str, why: NotEnclosed) -> String {
    format!("its {what} is not taken for one expression, because {why}")
}

fn add_defaults(design: &mut Design, definition: &Definition, schema: &TableSchema) {
    for default in &definition.defaults {
        let column = &default.column;
        // A column that the lake does not have, such as a column set, is not in the target either.
        if schema.position(column).is_none() {
            continue;
        }
        match enclosed(&default.definition) {
            Ok(definition) => design.objects.push(Object::Default {
                name: default.name.clone(),
                column: column.clone(),
                definition,
            }),
            Err(why) => design.leave_out(&format!(
                "the default of {column}: {}",
                doubtful("text", why)
            )),
        }
    }
}

fn add_checks(design: &mut Design, definition: &Definition) {
    for check in &definition.checks {
        match enclosed(&check.definition) {
            Ok(definition) => design.objects.push(Object::Check {
                name: check.name.clone(),
                definition,
                trusted: check.trusted,
            }),
            Err(why) => {
                design.leave_out(&format!("check {}: {}", check.name, doubtful("text", why)));
            }
        }
    }
}

impl Object {
    /// What makes it. A constraint's name ends in `suffix`.
    pub fn statement(&self, table: &TableName, suffix: &str) -> Statement {
        match self {
            Object::Index(index) => create::create_index(table, index),
            Object::Unique(index) => create::add_unique(table, index, suffix),
            Object::Default {
                name,
                column,
                definition,
            } => create::add_default(table, column, name, definition, suffix),
            Object::Check {
                name,
                definition,
                trusted,
            } => create::add_check(table, name, definition, *trusted, suffix),
        }
    }

    /// What it is called in messages.
    pub fn described(&self) -> String {
        match self {
            Object::Index(index) => format!("index {}", index.name),
            Object::Unique(index) => format!("unique constraint {}", index.name),
            Object::Default { name, column, .. } => format!("default {name} of column {column}"),
            Object::Check { name, .. } => format!("check {name}"),
        }
    }

    /// Whether a table has it, under its own name or with a run's id behind it. A column has one default.
    pub fn is_in(&self, table: &Definition) -> bool {
        match self {
            Object::Index(index) => table.indexes.iter().any(|i| same(&i.name, &index.name)),
            Object::Unique(index) => {
                let mut names = table.indexes.iter().map(|index| &index.name);
                names.any(|name| is_named(name, &index.name))
            }
            Object::Default { column, .. } => {
                table.defaults.iter().any(|d| same(&d.column, column))
            }
            Object::Check { name, .. } => table.checks.iter().any(|c| is_named(&c.name, name)),
        }
    }
}

fn same(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

/// Whether a constraint was created for one that is called `wanted` at the source.
fn is_named(found: &str, wanted: &str) -> bool {
    if same(found, wanted) {
        return true;
    }
    let Some((_, run)) = found.rsplit_once('_') else {
        return false;
    };
    let is_run = run.len() == 32 && run.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_run && same(found, &constraint_name("", wanted, &format!("_{run}")))
}

/// How the names of a run's constraints end.
pub fn suffix(run: RunId) -> String {
    format!("_{run}")
}

/// Creates a target without rows, and its schema when that is missing; its load state says that nothing is loaded. A
/// table of that name is an error, and changes nothing. Only under [`lock`](super::staging::lock).
pub async fn create(
    control: &mut Control,
    target: &TableName,
    schema: &TableSchema,
    storage: &Storage,
    naming: Naming<'_>,
    state: &StateChange,
) -> Result<(), TargetError> {
    let created = control
        .run(&define::create_schema(&target.schema), Class::QUICK)
        .await;
    created.map_err(|error| TargetError::on("creating the schema of", target, error))?;
    for suffix in naming.tried() {
        let create = create::create_target(target, schema, storage, suffix, state, LOCK_TIMEOUT_MS);
        let Err(error) = control.run(&create, Class::QUICK).await else {
            return Ok(());
        };
        match error.number() {
            Some(NAME_TAKEN) => {}
            Some(ERROR_STATE_MOVED) => {
                return Err(TargetError::StateMoved {
                    target: target.clone(),
                });
            }
            Some(_) | None => return Err(TargetError::on("creating", target, error)),
        }
    }
    Err(TargetError::Recreated {
        target: target.clone(),
    })
}

impl<'a> Naming<'a> {
    fn tried(self) -> impl Iterator<Item = &'a str> {
        let (plain, suffix) = match self {
            Naming::Free(suffix) => (Some(""), suffix),
            Naming::Suffixed(suffix) => (None, suffix),
        };
        plain.into_iter().chain([suffix])
    }
}

/// Makes an object. What the server refuses is no error: the answer then says what is missing, and why.
pub async fn make(
    control: &mut Control,
    table: &TableName,
    target: &TableName,
    object: &Object,
    naming: Naming<'_>,
) -> Result<Option<String>, TargetError> {
    let mut refusal = None;
    for suffix in naming.tried() {
        let statement = define::alter(&object.statement(table, suffix), LOCK_TIMEOUT_MS);
        let Err(error) = control.run(&statement, Class::LONG).await else {
            return Ok(None);
        };
        let is_taken = error.number() == Some(NAME_TAKEN);
        refusal = Some(refused(&object.described(), target, error)?);
        if !is_taken {
            break;
        }
    }
    Ok(refusal)
}

/// Lets a filled table's identity go on behind its last value. As [`make`], a refusal is only told.
pub async fn reseed(
    control: &mut Control,
    fill: &TableName,
    target: &TableName,
    (column, is_descending): (&str, bool),
) -> Result<Option<String>, TargetError> {
    let statement = create::reseed(fill, column, is_descending);
    let Err(error) = control.run(&statement, Class::LONG).await else {
        return Ok(None);
    };
    let what = format!("the last value of identity column {column}");
    refused(&what, target, error).map(Some)
}

/// What to tell of a definite refusal; any other failure is an error.
fn refused(what: &str, target: &TableName, error: MssqlError) -> Result<String, TargetError> {
    match (&error, error.disposition()) {
        (MssqlError::Server(server), Disposition::Definite) => Ok(format!(
            "not created in the target: {what}: the server refused it with error {}: {}",
            server.number, server.message
        )),
        (_, _) => Err(TargetError::on(
            "creating indexes, defaults and checks of",
            target,
            error,
        )),
    }
}

/// What an empty target that icesync has created already has. None where it has more than is looked at. One round trip.
pub async fn existing(
    control: &mut Control,
    target: &TableName,
) -> Result<Option<Definition>, TargetError> {
    let found = definition::read(control, target).await;
    found.map_err(|error| TargetError::on("reading the indexes of", target, error))
}

#[cfg(test)]
mod tests;
