//! What a table looks like in SQL Server's catalog: one round trip, for sources and targets alike.

use super::control::{Class, Control, Record};
use super::error::MssqlError;
use super::sql::describe;
use crate::schema::drift::SourceObject;
use crate::schema::{Collation, Column, Generated, SqlType, TableName};

/// A table or view as the catalog has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// As the catalog writes it, whatever the case it was asked for in.
    pub name: TableName,
    /// Another one when the table is dropped and recreated.
    pub object: SourceObject,
    /// Another one when the table or an index of it is altered.
    pub modified: String,
    /// An enabled foreign key of it refers to itself.
    pub references_itself: bool,
    pub is_view: bool,
    /// The login may read it.
    pub can_select: bool,
    /// The login may alter it, which `SET IDENTITY_INSERT` takes too.
    pub can_alter: bool,
    /// What the login is called in the database.
    pub user: String,
    pub is_memory_optimized: bool,
    /// From partition statistics; none for views.
    pub row_estimate: Option<u64>,
    pub columns: Vec<DescribedColumn>,
    pub indexes: Vec<Index>,
}

/// A column, whether icesync can carry it or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedColumn {
    pub id: i32,
    pub name: String,
    /// Or why not.
    pub ty: Result<SqlType, String>,
    pub nullable: bool,
    pub collation: Option<Collation>,
    pub generated: Generated,
    pub has_default: bool,
    /// `xml` view of all sparse columns; its content is in those.
    pub is_column_set: bool,
}

impl DescribedColumn {
    /// The column as the model has it, or why it cannot be carried.
    pub fn column(&self) -> Result<Column, &str> {
        Ok(Column {
            id: self.id,
            name: self.name.clone(),
            ty: self.ty.as_ref().copied().map_err(String::as_str)?,
            nullable: self.nullable,
            collation: self.collation.clone(),
            generated: self.generated,
        })
    }
}

/// An index that is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// None for a heap's anonymous structures.
    pub name: Option<String>,
    pub is_primary_key: bool,
    pub is_unique: bool,
    /// The rows of the table are kept in its order.
    pub is_clustered: bool,
    pub is_filtered: bool,
    /// An INSERT that repeats a key drops the row instead of failing.
    pub ignores_duplicates: bool,
    /// Column ids of its key, in order.
    pub key: Vec<i32>,
    /// Those of them that are in descending order.
    pub descending: Vec<i32>,
}

impl Index {
    /// Whether it has the rows in the order of these columns, all ascending or all descending, so that a read in that
    /// order sorts nothing. `clustered` is the table's clustered index: its key is the end of every key that is not
    /// unique.
    pub fn has_order(&self, clustered: Option<&Index>, columns: &[i32]) -> bool {
        let of = |index: &Index, id: i32| (id, index.descending.contains(&id));
        let mut key: Vec<(i32, bool)> = self.key.iter().map(|&id| of(self, id)).collect();
        let mut is_unique = self.is_unique;
        if let Some(clustered) = clustered.filter(|_| !is_unique) {
            let rest = clustered.key.iter().filter(|id| !self.key.contains(id));
            key.extend(rest.map(|&id| of(clustered, id)));
            is_unique = clustered.is_unique;
        }
        let shared = || key.iter().zip(columns);
        let direction = key.first().is_some_and(|&(_, descending)| descending);
        let is_same =
            shared().all(|(&(id, descending), wanted)| (id, descending) == (*wanted, direction));
        // Beyond a unique key there are no two rows to be ordered.
        is_same && (columns.len() <= key.len() || is_unique)
    }
}

/// An answer to "what is this table".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    Found(Box<Description>),
    /// There is no such table or view, or the login cannot see it. What it can see, with the object's kind (`U`
    /// table, `V` view, `SN` synonym).
    Missing(Vec<(TableName, String)>),
}

/// Asks the catalog. One round trip.
pub async fn look_up(control: &mut Control, table: &TableName) -> Result<Lookup, MssqlError> {
    let sets = control
        .query_sets(&describe::describe(table), Class::QUICK)
        .await?;
    lookup(&mut sets.into_iter())
}

/// The answer in the first four result sets.
pub(super) fn lookup(sets: &mut impl Iterator<Item = Vec<Record>>) -> Result<Lookup, MssqlError> {
    let mut next = || sets.next().unwrap_or_default();
    let (facts, columns, indexes, names) = (next(), next(), next(), next());
    let Some(facts) = facts.first() else {
        return names
            .iter()
            .map(named)
            .collect::<Result<_, _>>()
            .map(Lookup::Missing);
    };
    let mut description = described(facts)?;
    for record in &columns {
        description.columns.push(column(record)?);
    }
    for record in &indexes {
        add_index_column(&mut description.indexes, record)?;
    }
    Ok(Lookup::Found(Box::new(description)))
}

fn named(record: &Record) -> Result<(TableName, String), MssqlError> {
    let name = TableName {
        schema: record.text("schema_name")?.to_owned(),
        name: record.text("table_name")?.to_owned(),
    };
    Ok((name, record.text("object_type")?.trim().to_owned()))
}

fn described(facts: &Record) -> Result<Description, MssqlError> {
    let (name, object_type) = named(facts)?;
    let is = |column: &str| Ok::<_, MssqlError>(facts.int_opt(column)?.unwrap_or(0) == 1);
    Ok(Description {
        name,
        object: SourceObject {
            id: facts.int("object_id")?,
            created: facts.text("create_date")?.to_owned(),
        },
        modified: facts.text("modify_date")?.to_owned(),
        references_itself: facts.int_opt("self_references")?.unwrap_or(0) > 0,
        is_view: object_type == "V",
        can_select: is("can_select")?,
        can_alter: is("can_alter")?,
        user: facts.text("database_user")?.to_owned(),
        is_memory_optimized: is("is_memory_optimized")?,
        row_estimate: facts
            .int_opt("row_count")?
            .and_then(|rows| u64::try_from(rows).ok()),
        columns: Vec::new(),
        indexes: Vec::new(),
    })
}

fn column(record: &Record) -> Result<DescribedColumn, MssqlError> {
    let is = |name: &str| Ok::<_, MssqlError>(record.int_opt(name)?.unwrap_or(0) == 1);
    let generated = if is("is_identity")? {
        Generated::Identity
    } else {
        match record.int_opt("generated_always_type")?.unwrap_or(0) {
            0 if is("is_computed")? => Generated::Computed,
            0 => Generated::No,
            1 => Generated::RowStart,
            2 => Generated::RowEnd,
            // A ledger table's transaction and sequence columns.
            _ => Generated::Computed,
        }
    };
    let collation = match record.text_opt("collation_name")? {
        Some(name) => Some(Collation {
            name: name.to_owned(),
            code_page: record
                .int_opt("code_page")?
                .and_then(|page| u32::try_from(page).ok())
                .unwrap_or(0),
        }),
        None => None,
    };
    let declared = Declared {
        base: record.text_opt("base_type")?.map(str::to_lowercase),
        user: record.text("user_type")?.to_lowercase(),
        is_built_in: record.int("user_type_id")? <= 256,
        is_clr: is("is_assembly_type")?,
        is_encrypted: record.int_opt("encryption_type")?.is_some(),
        max_length: record.int("max_length")?,
        precision: small(record, "precision")?,
        scale: small(record, "scale")?,
        vector_base_type: record.int_opt("vector_base_type")?,
    };
    Ok(DescribedColumn {
        id: i32::try_from(record.int("column_id")?)
            .map_err(|_| MssqlError::Shape("column_id is not an int".into()))?,
        name: record.text("name")?.to_owned(),
        ty: declared.sql_type(),
        nullable: is("is_nullable")?,
        collation,
        generated,
        has_default: record.int_opt("default_object_id")?.unwrap_or(0) != 0,
        is_column_set: is("is_column_set")?,
    })
}

fn small(record: &Record, name: &str) -> Result<u8, MssqlError> {
    u8::try_from(record.int(name)?).map_err(|_| MssqlError::Shape(format!("{name} above 255")))
}

fn add_index_column(indexes: &mut Vec<Index>, record: &Record) -> Result<(), MssqlError> {
    let id = i32::try_from(record.int("column_id")?)
        .map_err(|_| MssqlError::Shape("column_id is not an int".into()))?;
    let is = |name: &str| Ok::<_, MssqlError>(record.int_opt(name)?.unwrap_or(0) == 1);
    if record.int("key_ordinal")? == 1 {
        indexes.push(Index {
            name: record.text_opt("index_name")?.map(str::to_owned),
            is_primary_key: is("is_primary_key")?,
            is_unique: is("is_unique")?,
            is_clustered: record.int("index_id")? == 1,
            is_filtered: is("has_filter")?,
            ignores_duplicates: is("ignore_dup_key")?,
            key: Vec::new(),
            descending: Vec::new(),
        });
    }
    match indexes.last_mut() {
        Some(index) => {
            index.key.push(id);
            index
                .descending
                .extend(is("is_descending_key")?.then_some(id));
            Ok(())
        }
        None => Err(MssqlError::Shape(
            "an index without a first column".to_owned(),
        )),
    }
}

/// A column's type in the catalog's words.
struct Declared {
    base: Option<String>,
    user: String,
    is_built_in: bool,
    is_clr: bool,
    is_encrypted: bool,
    /// Bytes; -1 is `max`.
    max_length: i64,
    precision: u8,
    scale: u8,
    /// 0: 32-bit floats. None before SQL Server 2025, and for other types.
    vector_base_type: Option<i64>,
}

impl Declared {
    fn sql_type(&self) -> Result<SqlType, String> {
        if self.is_encrypted {
            return Err("it is encrypted (Always Encrypted) and arrives as ciphertext".into());
        }
        let name = match &self.base {
            // Alias types resolve to what they stand for; CLR types have no base.
            Some(base) if !self.is_clr => base.as_str(),
            Some(_) | None if self.is_built_in => self.user.as_str(),
            Some(_) | None => {
                return Err(format!("{} is a user-defined CLR type", self.user));
            }
        };
        let bytes = u16::try_from(self.max_length).ok();
        let length = |unit: u16| {
            bytes
                .map(|bytes| bytes / unit)
                .ok_or_else(|| format!("{name} with length {}", self.max_length))
        };
        let (precision, scale) = (self.precision, self.scale);
        Ok(match name {
            "bit" => SqlType::Bit,
            "tinyint" => SqlType::TinyInt,
            "smallint" => SqlType::SmallInt,
            "int" => SqlType::Int,
            "bigint" => SqlType::BigInt,
            "decimal" => SqlType::Decimal { precision, scale },
            "numeric" => SqlType::Numeric { precision, scale },
            "money" => SqlType::Money,
            "smallmoney" => SqlType::SmallMoney,
            "real" => SqlType::Real,
            "float" => SqlType::Float,
            "date" => SqlType::Date,
            "time" => SqlType::Time { scale },
            "datetime" => SqlType::DateTime,
            "smalldatetime" => SqlType::SmallDateTime,
            "datetime2" => SqlType::DateTime2 { scale },
            "datetimeoffset" => SqlType::DateTimeOffset { scale },
            "char" => SqlType::Char { length: length(1)? },
            "varchar" => SqlType::VarChar { length: bytes },
            "text" => SqlType::Text,
            "nchar" => SqlType::NChar { length: length(2)? },
            "nvarchar" | "sysname" => SqlType::NVarChar {
                length: bytes.map(|bytes| bytes / 2),
            },
            "ntext" => SqlType::NText,
            "binary" => SqlType::Binary { length: length(1)? },
            "varbinary" => SqlType::VarBinary { length: bytes },
            "image" => SqlType::Image,
            "uniqueidentifier" => SqlType::UniqueIdentifier,
            "timestamp" | "rowversion" => SqlType::RowVersion,
            "xml" => SqlType::Xml,
            "sql_variant" => SqlType::SqlVariant,
            "hierarchyid" => SqlType::HierarchyId,
            "geometry" => SqlType::Geometry,
            "geography" => SqlType::Geography,
            "json" => SqlType::Json,
            "vector" if self.vector_base_type.unwrap_or(0) != 0 => {
                return Err("it is a vector of half-precision floats, which icesync does not carry (converted to \
                    nvarchar(max), and that to a vector of 32-bit floats, it is the same value)"
                    .into());
            }
            // Eight bytes of header, four per dimension.
            "vector" => SqlType::Vector {
                dimensions: length(1)?.saturating_sub(8) / 4,
            },
            other => return Err(format!("{other} is not a type that icesync knows")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(base: Option<&str>, user: &str, max_length: i64) -> Declared {
        Declared {
            base: base.map(str::to_owned),
            user: user.to_owned(),
            is_built_in: true,
            is_clr: false,
            is_encrypted: false,
            max_length,
            precision: 18,
            scale: 3,
            vector_base_type: None,
        }
    }

    /// Its 8 + 4 * 2 bytes are those of two 32-bit floats, too.
    #[test]
    fn a_vector_of_half_precision_is_refused_by_name() {
        let mut half = declared(None, "vector", 8 + 4 * 2);
        half.vector_base_type = Some(1);
        let refusal = half.sql_type().unwrap_err();
        assert!(refusal.contains("half-precision"), "{refusal}");
        half.vector_base_type = Some(0);
        assert_eq!(half.sql_type(), Ok(SqlType::Vector { dimensions: 2 }));
    }

    #[test]
    fn lengths_are_characters_for_national_types_and_none_for_max() {
        let ty = |base: &str, bytes| declared(Some(base), base, bytes).sql_type();
        assert_eq!(
            ty("nvarchar", 100),
            Ok(SqlType::NVarChar { length: Some(50) })
        );
        assert_eq!(ty("nvarchar", -1), Ok(SqlType::NVarChar { length: None }));
        assert_eq!(
            ty("varchar", 8000),
            Ok(SqlType::VarChar { length: Some(8000) })
        );
        assert_eq!(
            ty("vector", 8 + 3 * 4),
            Ok(SqlType::Vector { dimensions: 3 })
        );
        assert_eq!(ty("timestamp", 8), Ok(SqlType::RowVersion));
        assert!(ty("cursor", 0).is_err());
    }

    #[test]
    fn alias_types_resolve_and_foreign_clr_types_are_refused() {
        let mut alias = declared(Some("nvarchar"), "phone", 40);
        alias.is_built_in = false;
        assert_eq!(alias.sql_type(), Ok(SqlType::NVarChar { length: Some(20) }));
        let mut spatial = declared(None, "geography", -1);
        spatial.is_clr = true;
        assert_eq!(spatial.sql_type(), Ok(SqlType::Geography));
        let mut own = declared(None, "geography", -1);
        own.is_clr = true;
        own.is_built_in = false;
        assert!(own.sql_type().unwrap_err().contains("CLR"));
        let mut secret = declared(Some("int"), "int", 4);
        secret.is_encrypted = true;
        assert!(secret.sql_type().unwrap_err().contains("encrypted"));
    }
}
