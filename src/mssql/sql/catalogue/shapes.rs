//! The tables of the examples: names that need quoting, keys of several columns, a column of every type.

use crate::mssql::sql::define::{OWN_SCHEMA, StagingColumn, StagingTable};
use crate::schema::{
    Collation, Column, Generated, Key, KeyOrigin, SqlType, TableName, TableSchema,
};

/// Two texts of a type, ascending; none of types that no example needs.
pub(super) fn sample(ty: SqlType) -> Option<(&'static str, &'static str)> {
    match ty {
        SqlType::TinyInt | SqlType::SmallInt | SqlType::Int | SqlType::BigInt => Some(("1", "100")),
        SqlType::DateTime => Some(("2024-05-01 10:00:00.003", "2024-05-02 00:00:00.000")),
        SqlType::DateTime2 { .. } => {
            Some(("2024-05-01 10:00:00.1234567", "2024-05-02 00:00:00.0000000"))
        }
        SqlType::RowVersion => Some(("0x00000000000007D0", "0x00000000000007DA")),
        SqlType::NVarChar { .. } | SqlType::VarChar { .. } => Some(("a]'b", "z")),
        SqlType::Bit
        | SqlType::Decimal { .. }
        | SqlType::Numeric { .. }
        | SqlType::Money
        | SqlType::SmallMoney
        | SqlType::Real
        | SqlType::Float
        | SqlType::Date
        | SqlType::Time { .. }
        | SqlType::SmallDateTime
        | SqlType::DateTimeOffset { .. }
        | SqlType::Char { .. }
        | SqlType::Text
        | SqlType::NChar { .. }
        | SqlType::NText
        | SqlType::Binary { .. }
        | SqlType::VarBinary { .. }
        | SqlType::Image
        | SqlType::UniqueIdentifier
        | SqlType::Xml
        | SqlType::SqlVariant
        | SqlType::HierarchyId
        | SqlType::Geometry
        | SqlType::Geography
        | SqlType::Json
        | SqlType::Vector { .. } => None,
    }
}

pub(super) fn column(id: i32, name: &str, ty: SqlType, nullable: bool) -> Column {
    let collation = ty.is_text().then(|| Collation {
        name: "Chinese_Taiwan_Stroke_CI_AS".into(),
        code_page: 950,
    });
    Column {
        id,
        name: name.into(),
        ty,
        nullable,
        collation,
        generated: Generated::No,
    }
}

fn table(name: (&str, &str), columns: Vec<Column>, key: &[usize]) -> TableSchema {
    TableSchema {
        name: TableName {
            schema: name.0.into(),
            name: name.1.into(),
        },
        columns,
        key: Some(Key {
            columns: key.to_vec(),
            origin: KeyOrigin::PrimaryKey,
        }),
    }
}

pub(super) fn shapes() -> Vec<(&'static str, TableSchema)> {
    let mut plain = table(
        ("dbo", "orders"),
        vec![
            column(1, "order_id", SqlType::Int, false),
            column(2, "rv", SqlType::RowVersion, false),
            column(3, "quantity", SqlType::BigInt, true),
            column(4, "note", SqlType::VarChar { length: Some(200) }, true),
        ],
        &[0],
    );
    plain.columns[0].generated = Generated::Identity;
    let composite = table(
        ("sales", "訂單"),
        vec![
            column(1, "區域", SqlType::NVarChar { length: Some(10) }, false),
            column(2, "modified", SqlType::DateTime2 { scale: 7 }, false),
            column(3, "at", SqlType::DateTime, false),
            column(4, "code", SqlType::VarChar { length: Some(20) }, true),
        ],
        &[0, 2, 3],
    );
    let hostile = table(
        ("a]b.c", "it's \"odd\"; DROP TABLE x --"),
        vec![
            column(1, "k]", SqlType::Int, false),
            column(2, "'when'", SqlType::DateTime, true),
            column(3, "[_rank]", SqlType::Int, true),
            column(4, "_op", SqlType::NVarChar { length: None }, true),
        ],
        &[0],
    );
    let keys_only = table(
        ("dbo", "follows"),
        vec![
            column(1, "a", SqlType::Int, false),
            column(2, "b", SqlType::Int, false),
        ],
        &[0, 1],
    );
    vec![
        ("plain", plain),
        ("composite", composite),
        ("hostile", hostile),
        ("keys_only", keys_only),
        ("every_type", every_type()),
    ]
}

fn every_type() -> TableSchema {
    let types = [
        SqlType::UniqueIdentifier,
        SqlType::Bit,
        SqlType::TinyInt,
        SqlType::SmallInt,
        SqlType::Int,
        SqlType::BigInt,
        SqlType::Decimal {
            precision: 38,
            scale: 10,
        },
        SqlType::Numeric {
            precision: 9,
            scale: 2,
        },
        SqlType::Money,
        SqlType::SmallMoney,
        SqlType::Real,
        SqlType::Float,
        SqlType::Date,
        SqlType::Time { scale: 7 },
        SqlType::DateTime,
        SqlType::SmallDateTime,
        SqlType::DateTime2 { scale: 0 },
        SqlType::DateTimeOffset { scale: 7 },
        SqlType::Char { length: 10 },
        SqlType::VarChar { length: Some(8000) },
        SqlType::VarChar { length: None },
        SqlType::Text,
        SqlType::NChar { length: 10 },
        SqlType::NVarChar { length: Some(4000) },
        SqlType::NVarChar { length: None },
        SqlType::NText,
        SqlType::Binary { length: 16 },
        SqlType::VarBinary { length: Some(100) },
        SqlType::VarBinary { length: None },
        SqlType::Image,
        SqlType::RowVersion,
        SqlType::Xml,
        SqlType::HierarchyId,
        SqlType::Geometry,
        SqlType::Geography,
        SqlType::Json,
        SqlType::SqlVariant,
        SqlType::Vector { dimensions: 3 },
    ];
    let columns = types
        .into_iter()
        .zip(1..)
        .map(|(ty, id)| column(id, &format!("c{id}"), ty, id > 1))
        .collect();
    table(("dbo", "every_type"), columns, &[0])
}

/// The staging table of a load.
pub(super) fn staging(table: &TableSchema) -> StagingTable {
    let key = table.key.iter().flat_map(|key| key.columns.clone());
    let key: Vec<usize> = key.collect();
    let columns = table.columns.iter().enumerate().map(|(at, column)| {
        let ty = column.ty.facts().staged;
        StagingColumn {
            name: column.name.clone(),
            ty,
            collation: column.collation.clone().filter(|_| ty.is_text()),
            nullable: !key.contains(&at),
            base_type: (column.ty == SqlType::SqlVariant).then(|| format!("_type{}", at + 1)),
        }
    });
    StagingTable {
        name: TableName {
            schema: OWN_SCHEMA.into(),
            name: "stg_00000000000000ff_018f0000000070008000000000000001".into(),
        },
        columns: columns.collect(),
        operation: "_op_".into(),
        segment: "_seg".into(),
    }
}
