//! What surrounds a table or view that is read: masks, security policies, what a view refers to, the partitions that
//! hold the rows, and whether changes are tracked. It comes with the description of the table, in the same round trip.

use super::control::{Class, Control, Record};
use super::describe::{self, Lookup};
use super::error::MssqlError;
use super::sql::describe::describe_source;
use crate::schema::TableName;

/// What surrounds a table or view.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surroundings {
    /// Columns that are masked for this login unless it holds UNMASK on the database. Of a view, columns of the tables
    /// that it refers to; where that is not known, of all tables.
    pub masked: Vec<String>,
    /// Security policies that filter rows.
    pub policies: Vec<String>,
    /// None for a table.
    pub view: Option<View>,
    /// Empty for a view.
    pub partitions: Vec<Partition>,
    pub tracking: Tracking,
}

/// Whether the database tracks changes, and those of this table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tracking {
    /// For how many minutes the database keeps changes. None while it tracks none.
    pub retention_minutes: Option<i64>,
    /// Older changes are cleaned up.
    pub cleans_up: bool,
    /// None while those of the table are not tracked.
    pub log: Option<Log>,
    /// The login may see them.
    pub can_view: bool,
}

/// The log of a table's changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The version of the database with which it began.
    pub begin: i64,
    /// The lowest version since which it has all changes.
    pub min_valid: i64,
    /// When it was created. None where that cannot be seen.
    pub created: Option<String>,
}

/// What can be seen of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The statement that created it. None: it may not be seen.
    pub definition: Option<String>,
    /// What its query refers to. None: that is not known.
    pub references: Option<Vec<Reference>>,
}

/// Something that a view refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    pub name: String,
    /// A table of the same database.
    pub is_table: bool,
    /// Sessions under SNAPSHOT cannot read it.
    pub is_memory_optimized: bool,
    /// It is in another database, or on another server.
    pub is_elsewhere: bool,
}

/// One partition of a table or of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    pub number: i64,
    /// Another one when the rows are stored elsewhere, as after a switch, a rebuild or a truncation.
    pub storage: String,
    pub rows: i64,
}

/// Asks the catalog, as [`describe::look_up`], and for what surrounds the table. One round trip.
pub async fn look_up(
    control: &mut Control,
    table: &TableName,
) -> Result<(Lookup, Surroundings), MssqlError> {
    let sets = control
        .query_sets(&describe_source(table), Class::QUICK)
        .await?;
    let mut sets = sets.into_iter();
    let lookup = describe::lookup(&mut sets)?;
    let mut next = || sets.next().unwrap_or_default();
    let (text, references, masked, policies, partitions) = (next(), next(), next(), next(), next());
    let tracking = next();
    let Lookup::Found(description) = &lookup else {
        return Ok((lookup, Surroundings::default()));
    };
    let view = match description.is_view {
        true => Some(view(&text, &references)?),
        false => None,
    };
    let masked = masked.iter().filter_map(masked_column);
    let policies = policies.iter().map(|row| Ok(row.text("name")?.to_owned()));
    let surroundings = Surroundings {
        masked: masked.collect::<Result<_, MssqlError>>()?,
        policies: policies.collect::<Result<_, MssqlError>>()?,
        view,
        partitions: partitions.iter().map(partition).collect::<Result<_, _>>()?,
        tracking: tracking
            .first()
            .map(tracked)
            .transpose()?
            .unwrap_or_default(),
    };
    Ok((lookup, surroundings))
}

fn masked_column(row: &Record) -> Option<Result<String, MssqlError>> {
    match row.int("unmasks") {
        Ok(1) => None,
        Ok(_) => Some(row.text("name").map(str::to_owned)),
        Err(error) => Some(Err(error)),
    }
}

fn view(text: &[Record], references: &[Record]) -> Result<View, MssqlError> {
    let definition = text.first().map(|row| row.text_opt("definition"));
    let definition = definition.transpose()?.flatten().map(str::to_owned);
    let is_known = text.first().map(|row| row.int("is_known")).transpose()? == Some(1);
    let references = references.iter().map(|row| {
        Ok::<_, MssqlError>(Reference {
            name: row.text("entity")?.to_owned(),
            is_table: row.text_opt("object_type")? == Some("U"),
            is_memory_optimized: row.int_opt("is_memory_optimized")? == Some(1),
            is_elsewhere: row.int("is_elsewhere")? == 1,
        })
    });
    let references: Vec<Reference> = references.collect::<Result<_, _>>()?;
    // A login that may not see the view's definition may get no rows instead of an error.
    let is_known = is_known && definition.is_some() && !references.is_empty();
    Ok(View {
        definition,
        references: is_known.then_some(references),
    })
}

fn partition(row: &Record) -> Result<Partition, MssqlError> {
    Ok(Partition {
        number: row.int("partition_number")?,
        storage: row.text("storage")?.to_owned(),
        rows: row.int_opt("row_count")?.unwrap_or(0),
    })
}

fn tracked(row: &Record) -> Result<Tracking, MssqlError> {
    let log = match (
        row.int_opt("begin_version")?,
        row.int_opt("min_valid_version")?,
    ) {
        (Some(begin), Some(min_valid)) => Some(Log {
            begin,
            min_valid,
            created: row.text_opt("created")?.map(str::to_owned),
        }),
        (None, _) | (_, None) => None,
    };
    Ok(Tracking {
        retention_minutes: row.int_opt("retention_minutes")?,
        cleans_up: row.int_opt("cleans_up")? == Some(1),
        log,
        can_view: row.int_opt("can_view")? == Some(1),
    })
}
