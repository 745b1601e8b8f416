//! What an INSERT BULK declares of its columns: what the table was created with.
//!
//! By itself the driver asks the server (`SET FMTONLY ON` and a SELECT of the table). That takes the SELECT permission
//! and is deprecated. The driver's trait for other sources of metadata is public only under its feature `test-util`.
//!
//! A collation is sent as five bytes that no name tells. The server shows them itself, in the columns of a result that
//! needs no table.

use super::column::BulkColumn;
use super::encode::{magnitude_bytes, unsupported};
use crate::mssql::channel::execute;
use crate::mssql::error::MssqlError;
use crate::mssql::sql::{Statement, describe};
use crate::schema::SqlType;
use async_trait::async_trait;
use mssql_tds::connection::tds_client::{ResultSet, StatementResult, TdsClient};
use mssql_tds::core::TdsResult;
use mssql_tds::datatypes::bulk_copy_metadata::{BulkCopyColumnMetadata, SqlDbType, TypeLength};
use mssql_tds::test_client_support::MetadataRetriever;
use mssql_tds::token::tokens::SqlCollation;

/// The columns of one table, in its order.
pub(super) struct Declared(pub Vec<BulkCopyColumnMetadata>);

#[async_trait]
impl MetadataRetriever for Declared {
    async fn retrieve_metadata(
        &mut self,
        _client: &mut TdsClient,
        _table_name: &str,
        _timeout_sec: u32,
    ) -> TdsResult<Vec<BulkCopyColumnMetadata>> {
        Ok(self.0.clone())
    }
}

/// A column without its collation. The lengths are those on the wire, in bytes.
pub(super) fn column(column: &BulkColumn) -> Result<BulkCopyColumnMetadata, MssqlError> {
    let plain = |ty: SqlDbType, bytes: i32| {
        // The form that can be NULL, also where the column cannot: the encoders write it.
        BulkCopyColumnMetadata::new(&column.name, ty, ty.to_tds_type())
            .with_length(bytes, TypeLength::Variable(bytes))
            .with_nullable(column.nullable)
            .with_identity(column.identity)
    };
    let sized = |ty, bytes: Option<i32>| match bytes {
        Some(bytes) => plain(ty, bytes),
        None => plain(ty, -1).with_length(-1, TypeLength::Plp),
    };
    let decimal = |ty, precision, scale| {
        let bytes = i32::from(magnitude_bytes(precision)) + 1;
        plain(ty, bytes).with_precision_scale(precision, scale)
    };
    let scaled = |ty, scale| plain(ty, 0).with_scale(scale);
    let double = |length: u16| 2 * i32::from(length);
    Ok(match column.ty {
        SqlType::Bit => plain(SqlDbType::Bit, 1),
        SqlType::TinyInt => plain(SqlDbType::TinyInt, 1),
        SqlType::SmallInt => plain(SqlDbType::SmallInt, 2),
        SqlType::Int => plain(SqlDbType::Int, 4),
        SqlType::BigInt => plain(SqlDbType::BigInt, 8),
        SqlType::Decimal { precision, scale } => decimal(SqlDbType::Decimal, precision, scale),
        SqlType::Numeric { precision, scale } => decimal(SqlDbType::Numeric, precision, scale),
        SqlType::Money => plain(SqlDbType::Money, 8),
        SqlType::SmallMoney => plain(SqlDbType::SmallMoney, 4),
        SqlType::Real => plain(SqlDbType::Real, 4),
        SqlType::Float => plain(SqlDbType::Float, 8),
        SqlType::Date => plain(SqlDbType::Date, 3),
        SqlType::Time { scale } => scaled(SqlDbType::Time, scale),
        SqlType::DateTime => plain(SqlDbType::DateTime, 8),
        SqlType::SmallDateTime => plain(SqlDbType::SmallDateTime, 4),
        SqlType::DateTime2 { scale } => scaled(SqlDbType::DateTime2, scale),
        SqlType::DateTimeOffset { scale } => scaled(SqlDbType::DateTimeOffset, scale),
        SqlType::NVarChar { length } => sized(SqlDbType::NVarChar, length.map(double)),
        SqlType::NChar { length } => plain(SqlDbType::NChar, double(length)),
        SqlType::VarChar { length } => sized(SqlDbType::VarChar, length.map(i32::from)),
        SqlType::Char { length } => plain(SqlDbType::Char, i32::from(length)),
        SqlType::VarBinary { length } => sized(SqlDbType::VarBinary, length.map(i32::from)),
        SqlType::Binary { length } => plain(SqlDbType::Binary, i32::from(length)),
        SqlType::UniqueIdentifier => plain(SqlDbType::UniqueIdentifier, 16),
        SqlType::Text
        | SqlType::NText
        | SqlType::Image
        | SqlType::RowVersion
        | SqlType::Xml
        | SqlType::SqlVariant
        | SqlType::HierarchyId
        | SqlType::Geometry
        | SqlType::Geography
        | SqlType::Json
        | SqlType::Vector { .. } => return Err(unsupported(column)),
    })
}

/// The collations of the columns, each once.
fn names(columns: &[BulkColumn]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for column in columns.iter().filter(|column| column.ty.is_text()) {
        let name = column.collation.as_ref().map(|c| c.name.as_str());
        names.extend(name.filter(|name| !names.contains(name)));
    }
    names
}

/// Asks for the collations of the columns; none where no column has one.
pub(super) fn collations(columns: &[BulkColumn]) -> Option<Statement> {
    let names = names(columns);
    (!names.is_empty()).then(|| describe::collations(&names))
}

/// The answer to [`collations`]: one for each column of the result.
pub(super) async fn wire_collations(
    client: &mut TdsClient,
    statement: &Statement,
) -> TdsResult<Vec<Option<SqlCollation>>> {
    let mut result = execute(client, statement).await?;
    let metadata = client.get_metadata();
    let found = metadata
        .iter()
        .map(|column| column.get_collation())
        .collect();
    while !matches!(result, StatementResult::End) {
        result = client.advance().await?;
    }
    Ok(found)
}

/// Gives each text column its collation: by name in the statement, by its bytes before the rows.
pub(super) fn collated(
    declared: Vec<BulkCopyColumnMetadata>,
    columns: &[BulkColumn],
    found: Vec<Option<SqlCollation>>,
) -> Result<Vec<BulkCopyColumnMetadata>, MssqlError> {
    let names = names(columns);
    let with_collation = |(declared, column): (BulkCopyColumnMetadata, &BulkColumn)| {
        let collation = column.collation.as_ref();
        let Some(collation) = collation.filter(|_| column.ty.is_text()) else {
            return Ok(declared);
        };
        let at = names.iter().position(|name| *name == collation.name);
        let wire = at.and_then(|at| found.get(at).copied().flatten());
        let wire = wire.ok_or_else(|| {
            MssqlError::Shape(format!(
                "the server did not show collation {} of column {}",
                collation.name, column.name
            ))
        })?;
        Ok(declared
            .with_collation_name(&collation.name)
            .with_collation(wire))
    };
    declared
        .into_iter()
        .zip(columns)
        .map(with_collation)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Collation;

    fn bulk_column(ty: SqlType, collation: Option<&str>) -> BulkColumn {
        BulkColumn {
            name: "c".into(),
            ty,
            collation: collation.map(|name| Collation {
                name: name.into(),
                code_page: 1252,
            }),
            nullable: false,
            identity: false,
            value: 0,
            ticks: None,
            offset: None,
        }
    }

    /// The server takes a value of another type than the column's, and rounds it.
    #[test]
    fn a_column_is_declared_as_the_type_that_it_was_created_with() {
        let types = [
            SqlType::Bit,
            SqlType::TinyInt,
            SqlType::SmallInt,
            SqlType::Int,
            SqlType::BigInt,
            SqlType::Decimal {
                precision: 38,
                scale: 7,
            },
            SqlType::Numeric {
                precision: 9,
                scale: 0,
            },
            SqlType::Money,
            SqlType::SmallMoney,
            SqlType::Real,
            SqlType::Float,
            SqlType::Date,
            SqlType::Time { scale: 0 },
            SqlType::DateTime,
            SqlType::SmallDateTime,
            SqlType::DateTime2 { scale: 3 },
            SqlType::DateTimeOffset { scale: 7 },
            SqlType::NVarChar { length: Some(4000) },
            SqlType::NVarChar { length: None },
            SqlType::NChar { length: 3 },
            SqlType::VarChar { length: Some(8000) },
            SqlType::VarChar { length: None },
            SqlType::Char { length: 3 },
            SqlType::VarBinary { length: Some(8000) },
            SqlType::VarBinary { length: None },
            SqlType::Binary { length: 8 },
            SqlType::UniqueIdentifier,
        ];
        for ty in types {
            let declared = column(&bulk_column(ty, None)).unwrap();
            let shown = declared.get_sql_type_definition().unwrap();
            let expected = ty.to_string().replace("numeric", "decimal");
            assert_eq!(shown.replace(", ", ","), expected, "{ty}");
            assert!(!declared.is_nullable && !declared.is_identity, "{ty}");
        }
        let bytes = |precision| {
            let ty = SqlType::Decimal {
                precision,
                scale: 0,
            };
            column(&bulk_column(ty, None)).unwrap().length
        };
        assert_eq!([9, 19, 28, 38].map(bytes), [5, 9, 13, 17]);
        let identity = BulkColumn {
            identity: true,
            ..bulk_column(SqlType::Int, None)
        };
        assert!(column(&identity).unwrap().is_identity);
        assert!(column(&bulk_column(SqlType::Xml, None)).is_err());
    }

    #[test]
    fn each_collation_is_asked_for_once_and_given_to_its_columns() {
        let varchar = SqlType::VarChar { length: Some(9) };
        let columns = [
            bulk_column(varchar, Some("Polish_CI_AS")),
            bulk_column(SqlType::Int, Some("Thai_CI_AS")),
            bulk_column(SqlType::NChar { length: 1 }, Some("Greek_CI_AS")),
            bulk_column(varchar, None),
            bulk_column(varchar, Some("Polish_CI_AS")),
        ];
        assert_eq!(names(&columns), ["Polish_CI_AS", "Greek_CI_AS"]);
        assert!(collations(&columns[1..2]).is_none());
        let wire = |lcid: u32| SqlCollation {
            info: lcid,
            ..SqlCollation::default()
        };
        let plain = || columns.iter().map(|c| column(c).unwrap()).collect();
        let found = vec![Some(wire(0x415)), Some(wire(0x408))];
        let declared = collated(plain(), &columns, found).unwrap();
        let shown: Vec<_> = declared
            .iter()
            .map(|c| {
                (
                    c.collation_name.as_deref(),
                    c.collation.map(|wire| wire.info),
                )
            })
            .collect();
        let polish = (Some("Polish_CI_AS"), Some(0x415));
        let greek = (Some("Greek_CI_AS"), Some(0x408));
        assert_eq!(shown, [polish, (None, None), greek, (None, None), polish]);
        for found in [vec![Some(wire(0x415))], vec![None, None]] {
            assert!(collated(plain(), &columns, found).is_err());
        }
    }
}
