//! A first load into a target that is missing: the rows are bulk copied once, straight into the table that becomes the
//! target.
//!
//! A load through a staging table writes each row twice, the second time by one INSERT in one transaction. Here a table
//! of the target's definition, without its key, is created in schema `icesync`. Bulk copies fill it side by side, with
//! values in the target's own types. Then its key is built, and one transaction makes it the target.
//!
//! # Why nothing is lost or applied twice
//!
//! All of it happens under the load lock of the target ([`staging::lock`]).
//!
//! 1. [`create()`] makes the table. Its name begins as those of the target's staging tables do.
//! 2. Bulk copies fill it. Each row counts only when every copy has had all of its own acknowledged, and their sum is
//!    what was sent.
//! 3. [`build_key`] builds the primary key. Its name ends in the run's id, so no other constraint has it. Two rows with
//!    one key are an error here, and the target is not touched. What else is to be copied of the source follows
//!    ([`super::create`]).
//! 4. [`publish`] takes the apply lock, and moves the load state if it still is the one that the load was computed
//!    from. It counts the rows, checks that the target is still missing, transfers the table to the target's schema,
//!    renames it, takes the run's id off the names of its constraints where the rest is free, writes its object id into
//!    the load state, and commits.
//!
//! The target is visible only by step 4, which is one transaction:
//!
//! - killed before its commit: there is no target and the load state is unchanged. The next load drops the table of the
//!   dead one ([`staging::drop_orphans`]) and starts over;
//! - killed after it: the target has every row, and the load state says so. Its name is no longer that of a staging
//!   table, so nothing drops it;
//! - the reply to the commit is lost: the load state is read on a new connection once the apply lock is free
//!   ([`state::resolve`](super::state::resolve)). It has this run's id if and only if the transaction was committed;
//! - two loads at once: the second waits for the load lock. If a load has lost that lock with its connection, another
//!   one may drop its table; then the count fails, or compare-and-set on the load state refuses one of the two;
//! - someone creates a table of the target's name meanwhile: the transaction refuses to replace it. Nothing is loaded,
//!   and the next load decides anew what is right for that table.
//!
//! # Which loads
//!
//! [`route`] decides, before anything is created. Every column must be able to take its values as they are: those that
//! the server has to convert from text or bytes (`xml`, `sql_variant`, CLR types, the old large objects, `json`,
//! `vector`), and text of code pages that are not [encoded here](bulk::is_written), go through a staging table. So does
//! a load whose login may not transfer a table. If a character turns out not to be encoded here, although the server
//! may know it, the table is dropped and the same load goes through a staging table, where the server decides.
//!
//! A target that exists, although it is empty, keeps its object, permissions and indexes. It is filled from a staging
//! table, by `INSERT WITH (TABLOCK)`.
//!
//! # On SQL Server
//!
//! A bulk copy with TABLOCK into a heap without indexes is minimally logged under the simple and the bulk-logged
//! recovery model, however many rows the heap has. Several of them run side by side, because bulk update locks are
//! compatible with each other. So the key comes last, built by one sort. TRANSFER and `sp_rename` change metadata
//! alone. TRANSFER takes ALTER on the target's schema and CONTROL on the table, and drops permissions on the table,
//! which has none yet. (Documentation: "Prerequisites for minimal logging in bulk import", "ALTER SCHEMA",
//! "sp_rename".)

use super::columns::LakeColumns;
use super::merge::{Applied, Extent};
use super::{TargetError, create, lock_name, merge, staging};
use crate::change::{MergeMode, RunId};
use crate::mssql::bulk::{self, BulkColumn};
use crate::mssql::control::{Class, Control, Record};
use crate::mssql::error::{LostCharacter, MssqlError};
use crate::mssql::sql::define::{self, OWN_SCHEMA, Storage};
use crate::mssql::sql::merge::ERROR_NULL_KEY;
use crate::mssql::sql::state::StateChange;
use crate::mssql::sql::{Statement, fill};
use crate::schema::{
    Collation, Column, Generated, LakeSchema, Role, SqlType, TableName, TableSchema,
};
use crate::secret::{RowValue, values_are_shown};

pub use crate::mssql::sql::fill::Publication;

/// Two rows share a unique key while it is built.
const DUPLICATE_KEY: u32 = 1505;
/// `sp_rename` found the new name in use.
const NAME_IN_USE: u32 = 15335;
/// How long the transaction waits for another one's locks.
const LOCK_TIMEOUT_MS: u32 = 60_000;

/// What the login may do where a table is transferred from and to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// CONTROL on schema `icesync`, which includes the tables in it.
    pub own: bool,
    /// ALTER on the schema of the target.
    pub target: bool,
}

/// How the rows of a first load reach a target that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// By bulk copy into the table that becomes the target.
    Straight,
    /// Through a staging table, because of this.
    Staged(String),
}

/// Decides on the definition that the target would get.
pub fn route(target: &TableName, schema: &TableSchema, rights: Rights) -> Route {
    let held = |column: &&Column| landed(column.ty, column.collation.as_ref()).is_none();
    if let Some(column) = schema.columns.iter().find(held) {
        let page = column
            .collation
            .as_ref()
            .filter(|_| column.ty.is_code_page_text());
        let page = page.map_or_else(String::new, |collation| {
            format!(" in code page {}", collation.code_page)
        });
        return Route::Staged(format!(
            "column {} is {}{page}, which the server has to convert",
            column.name, column.ty
        ));
    }
    if !rights.own {
        return Route::Staged(format!(
            "the login lacks CONTROL on schema {OWN_SCHEMA}, which transferring a table takes"
        ));
    }
    if !rights.target {
        let schema = &target.schema;
        return Route::Staged(format!("the login lacks ALTER on schema {schema}"));
    }
    Route::Straight
}

/// The type in which a bulk copy writes values into a target column; none where the server has to convert them.
fn landed(ty: SqlType, collation: Option<&Collation>) -> Option<SqlType> {
    let ty = ty.copied();
    bulk::is_written(ty, collation).then_some(ty)
}

/// Asks what the login may do. A schema that does not exist yet will be its own. One round trip.
pub async fn rights(control: &mut Control, target: &TableName) -> Result<Rights, TargetError> {
    let failed = |error| TargetError::on("reading the permissions on the schema of", target, error);
    let rows = control
        .query(&fill::rights(OWN_SCHEMA, &target.schema))
        .await;
    let rows = rows.map_err(failed)?;
    let row = rows.first();
    let row = row.ok_or_else(|| failed(MssqlError::Shape("no row".into())))?;
    let may = |name: &str| {
        let held = row.int_opt(name)?;
        Ok::<_, MssqlError>(held.is_none_or(|held| held != 0))
    };
    Ok(Rights {
        own: may("own").map_err(failed)?,
        target: may("target").map_err(failed)?,
    })
}

/// The name of the table that a load fills.
pub fn name(target: &TableName, run: RunId) -> TableName {
    TableName {
        schema: OWN_SCHEMA.to_owned(),
        name: format!("{}{run}_fill", staging::prefix(target)),
    }
}

/// A table to fill, and what it becomes.
#[derive(Debug, Clone, Copy)]
pub struct Filling<'a> {
    pub fill: &'a TableName,
    pub target: &'a TableName,
    pub schema: &'a TableSchema,
    pub storage: &'a Storage,
    pub run: RunId,
}

/// Creates the table to fill, and the target's schema when that is missing. Only under
/// [`lock`](super::staging::lock).
pub async fn create(control: &mut Control, filling: Filling<'_>) -> Result<(), TargetError> {
    let target = filling.target;
    for statement in [
        define::create_schema(&target.schema),
        define::create_fill(filling.fill, filling.schema, filling.storage),
    ] {
        let ran = control.run(&statement, Class::QUICK).await;
        ran.map_err(|error| TargetError::on("creating the table to fill for", target, error))?;
    }
    Ok(())
}

/// Drops a table that is not filled after all.
pub async fn abandon(
    control: &mut Control,
    fill: &TableName,
    target: &TableName,
) -> Result<(), TargetError> {
    let dropped = control.run(&define::drop_table(fill), Class::QUICK).await;
    dropped.map_err(|error| TargetError::on("dropping an unfinished copy of", target, error))
}

/// Which columns of record batches fill the table that `columns` create: the batches have the fields of `shape`, then a
/// column of 0 where the table has a flag, because bulk copies that keep NULLs let no default count. The table has
/// passed [`route`].
pub fn bulk_columns(columns: &LakeColumns, shape: &LakeSchema) -> Vec<BulkColumn> {
    let created = columns.created();
    // From `live` on the table has its own columns, and the shape those that the source has dropped.
    let position = |at, role| {
        let place = (at < columns.live).then(|| staging::position(shape, at, role));
        place.flatten()
    };
    let flag = |column: &Column| {
        let is_flag = column.generated == Generated::Flag;
        is_flag.then_some(shape.fields.len())
    };
    let filled = created.columns.iter().enumerate();
    filled
        .filter_map(|(at, column)| {
            Some(BulkColumn {
                name: column.name.clone(),
                ty: landed(column.ty, column.collation.as_ref())?,
                collation: column.collation.clone(),
                nullable: column.nullable,
                identity: define::keeps_identity(&created, at),
                value: position(at, Role::Value).or_else(|| flag(column))?,
                ticks: position(at, Role::Ticks),
                offset: position(at, Role::Offset),
            })
        })
        .collect()
}

/// What a character means that a copy could not encode.
pub enum Lost {
    /// The column cannot have it.
    Surely(TargetError),
    /// The server may know it: the load has to go through a staging table.
    Perhaps(String),
}

/// The meaning of an error of a copy, where it is about a character.
pub fn lost(error: &crate::error::Error, target: &TableName) -> Option<Lost> {
    let source = std::error::Error::source(error)?;
    let MssqlError::LostCharacter(lost) = source.downcast_ref()? else {
        return None;
    };
    let LostCharacter { is_certain, .. } = *lost;
    Some(match is_certain {
        true => Lost::Surely(TargetError::LostCharacter {
            target: target.clone(),
            example: lost.to_string(),
        }),
        false => Lost::Perhaps(lost.to_string()),
    })
}

/// What builds the key of a filled table; none without a key.
pub fn key(filling: Filling<'_>, mode: MergeMode) -> Option<Statement> {
    let rejects_null = mode.has_one_row_per_key();
    let Filling {
        fill,
        target,
        schema,
        storage,
        run,
    } = filling;
    let suffix = create::suffix(run);
    let keyed = schema.key.is_some();
    keyed.then(|| fill::add_key(fill, target, schema, storage, &suffix, rejects_null))
}

/// Builds the key of a filled table; nothing to do without one.
pub async fn build_key(
    control: &mut Control,
    filling: Filling<'_>,
    mode: MergeMode,
) -> Result<(), TargetError> {
    let Some(statement) = key(filling, mode) else {
        return Ok(());
    };
    let Err(error) = control.run(&statement, Class::LONG).await else {
        return Ok(());
    };
    let target = filling.target.clone();
    match error.number() {
        Some(DUPLICATE_KEY) => {
            let example = match values_are_shown() {
                true => repeated(control, filling.fill, filling.schema).await,
                false => String::new(),
            };
            Err(TargetError::DuplicateKey {
                target,
                example: RowValue(example),
            })
        }
        Some(ERROR_NULL_KEY) => Err(TargetError::NullKey { target }),
        Some(_) | None => Err(TargetError::on("building the key of", &target, error)),
    }
}

/// A key that is there more than once, for a message: the server's own text depends on its language.
async fn repeated(control: &mut Control, fill: &TableName, schema: &TableSchema) -> String {
    let statement = fill::repeated_key(fill, schema);
    let sets = control.query_sets(&statement, Class::LONG).await;
    let sets = sets.unwrap_or_default();
    let row = sets.first().and_then(|rows| rows.first());
    let text = row.and_then(|row: &Record| row.text("example").ok());
    text.unwrap_or("the key is not known").to_owned()
}

/// What [`publish`] needs to know. `constraints` are the names of those that came with the key.
pub fn publication(filling: Filling<'_>, constraints: Vec<String>, rows: u64) -> Publication {
    let Filling {
        fill,
        target,
        schema,
        run,
        ..
    } = filling;
    let suffix = create::suffix(run);
    let key = schema.key.is_some();
    let key = key.then(|| define::plain_name(define::key_prefix(schema), &target.name, &suffix));
    Publication {
        fill: fill.clone(),
        target: target.clone(),
        rows,
        names: key.into_iter().chain(constraints).collect(),
        suffix,
        lock: lock_name("apply", target),
        lock_timeout_ms: LOCK_TIMEOUT_MS,
    }
}

/// Makes the filled table the target and moves the load state in one transaction: both or neither. An ambiguous error
/// (the reply was lost) is resolved by [`state::resolve`](super::state::resolve) on a new connection.
pub async fn publish(
    control: &mut Control,
    publication: &Publication,
    state: &StateChange,
    extent: Extent,
) -> Result<Applied, TargetError> {
    let target = &publication.target;
    let class = match extent {
        Extent::Transaction => Class::COMMIT,
        Extent::Everything | Extent::Upserts | Extent::Deferred | Extent::Deletes => Class::LONG,
    };
    let sets = control
        .query_sets(&fill::publish(publication, state, extent), class)
        .await;
    let sets = sets.map_err(|error| match error.number() {
        Some(fill::ERROR_APPEARED) => TargetError::Appeared {
            target: target.clone(),
        },
        Some(NAME_IN_USE) => TargetError::NameInUse {
            target: target.clone(),
            source: Box::new(error),
        },
        Some(_) | None => merge::explained(target, &publication.lock, LOCK_TIMEOUT_MS, error),
    })?;
    merge::applied(&sets, target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::secret::NOT_SHOWN;

    const ALL: Rights = Rights {
        own: true,
        target: true,
    };

    fn target() -> TableName {
        "dbo.t".parse().unwrap()
    }

    fn table(ty: SqlType, code_page: u32) -> TableSchema {
        TableSchema {
            name: "source.t".parse().unwrap(),
            columns: vec![Column {
                id: 1,
                name: "c".into(),
                ty,
                nullable: true,
                collation: ty.is_text().then(|| Collation {
                    name: "any".into(),
                    code_page,
                }),
                generated: Generated::No,
            }],
            key: None,
        }
    }

    #[test]
    fn a_column_goes_straight_if_no_server_has_to_convert_it() {
        let varchar = SqlType::VarChar { length: Some(10) };
        let long = SqlType::NVarChar { length: None };
        for (ty, code_page, straight) in [
            (varchar, 1252, true),
            (varchar, 65001, true),
            (varchar, 932, true),
            (varchar, 437, false),
            (varchar, 0, false),
            (SqlType::Char { length: 3 }, 850, false),
            (SqlType::NChar { length: 3 }, 437, true),
            (long, 0, true),
            (SqlType::RowVersion, 0, true),
            (SqlType::Xml, 0, false),
            (SqlType::Text, 1252, false),
            (SqlType::SqlVariant, 0, false),
            (SqlType::Vector { dimensions: 3 }, 0, false),
        ] {
            let found = route(&target(), &table(ty, code_page), ALL);
            assert_eq!(
                found == Route::Straight,
                straight,
                "{ty} {code_page}: {found:?}"
            );
        }
        let Route::Staged(why) = route(&target(), &table(varchar, 437), ALL) else {
            panic!("it is staged");
        };
        assert_eq!(
            why,
            "column c is varchar(10) in code page 437, which the server has to convert"
        );
    }

    /// The source has dropped two columns, and the target has two of its own in their places.
    #[test]
    fn a_column_that_only_the_target_has_gets_no_value_of_the_lake() {
        use crate::change::SoftDeletes;
        use crate::schema::{Fidelity, TableKind, mapping::lake_schema};
        use crate::target::columns::OwnColumn;
        use crate::target::validity::soft_columns;
        let mut schema = table(SqlType::Int, 0);
        let dropped = |id, name: &str, ty| Column {
            id,
            name: name.into(),
            ty,
            ..schema.columns[0].clone()
        };
        let dropped = [
            dropped(2, "active", SqlType::Bit),
            dropped(3, "at", SqlType::DateTime2 { scale: 7 }),
        ];
        schema.columns.extend(dropped);
        let shape = lake_schema(&schema, TableKind::Mirror, Fidelity::Exact).unwrap();
        let mut columns = LakeColumns::all(schema, 1, None);
        let own = soft_columns(&SoftDeletes {
            column: "is_deleted".into(),
            at: Some("deleted_at".into()),
        });
        let own = own
            .into_iter()
            .map(|column| OwnColumn { column, was: None });
        columns.own = own.collect();
        let bulk = bulk_columns(&columns, &shape);
        let found: Vec<_> = bulk
            .iter()
            .map(|column| (&*column.name, column.value, column.ticks))
            .collect();
        let flag = shape.fields.len();
        assert_eq!(found, [("c", 0, None), ("is_deleted", flag, None)]);
    }

    #[test]
    fn a_login_that_may_not_transfer_a_table_stages() {
        for (own, target, missing) in [
            (false, true, "CONTROL on schema icesync"),
            (true, false, "ALTER on schema dbo"),
        ] {
            let table = table(SqlType::Int, 0);
            let found = route(&self::target(), &table, Rights { own, target });
            assert!(
                matches!(&found, Route::Staged(why) if why.contains(missing)),
                "{found:?}"
            );
        }
    }

    #[test]
    fn only_a_code_page_that_is_known_whole_loses_a_character_for_sure() {
        let error = |is_certain| {
            let lost = LostCharacter {
                column: "city".into(),
                code_page: 1252,
                character: 'Ł',
                text: RowValue("Łódź".into()),
                is_certain,
            };
            MssqlError::LostCharacter(lost).on(Kind::Target)
        };
        let said = format!("city: {NOT_SHOWN} (character U+0141 is not in code page 1252)");
        match lost(&error(true), &target()) {
            Some(Lost::Surely(error)) => {
                let message = error.to_string();
                assert!(
                    message.contains(&said) && message.contains("dbo.t"),
                    "{message}"
                );
                assert!(matches!(error, TargetError::LostCharacter { .. }));
            }
            Some(Lost::Perhaps(_)) | None => panic!("it is not refused"),
        }
        match lost(&error(false), &target()) {
            Some(Lost::Perhaps(example)) => assert_eq!(example, said),
            Some(Lost::Surely(_)) | None => panic!("it is not left to the server"),
        }
        let other = MssqlError::Shape("no row".into()).on(Kind::Target);
        assert!(lost(&other, &target()).is_none());
    }
}
