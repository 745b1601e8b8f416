use super::*;
use crate::schema::{Generated, Key, KeyOrigin, TableName};

pub(crate) fn column(name: &str, ty: SqlType) -> Column {
    Column {
        id: 0,
        name: name.into(),
        ty,
        nullable: true,
        collation: None,
        generated: Generated::No,
    }
}

fn table(columns: Vec<Column>, key: &[usize]) -> TableSchema {
    TableSchema {
        name: TableName {
            schema: "dbo".into(),
            name: "t".into(),
        },
        columns,
        key: (!key.is_empty()).then(|| Key {
            columns: key.to_vec(),
            origin: KeyOrigin::PrimaryKey,
        }),
    }
}

fn exact(ty: SqlType) -> Vec<(String, LakeType)> {
    let schema = lake_schema(
        &table(vec![column("c", ty)], &[]),
        TableKind::Mirror,
        Fidelity::Exact,
    )
    .unwrap();
    schema
        .fields
        .into_iter()
        .map(|field| (field.name, field.ty))
        .collect()
}

fn lake_decimal(precision: u8, scale: u8) -> LakeType {
    LakeType::Decimal { precision, scale }
}

#[test]
fn every_type_has_its_place() {
    let ticks = ("c__100ns".to_owned(), LakeType::Int);
    let offset = ("c__offset".to_owned(), LakeType::Int);
    let value = |ty: LakeType| ("c".to_owned(), ty);
    for (ty, expected) in [
        (SqlType::Bit, vec![value(LakeType::Boolean)]),
        (SqlType::TinyInt, vec![value(LakeType::Int)]),
        (SqlType::SmallInt, vec![value(LakeType::Int)]),
        (SqlType::Int, vec![value(LakeType::Int)]),
        (SqlType::BigInt, vec![value(LakeType::Long)]),
        (
            SqlType::Decimal {
                precision: 38,
                scale: 38,
            },
            vec![value(lake_decimal(38, 38))],
        ),
        (
            SqlType::Numeric {
                precision: 1,
                scale: 0,
            },
            vec![value(lake_decimal(1, 0))],
        ),
        (SqlType::Money, vec![value(lake_decimal(19, 4))]),
        (SqlType::SmallMoney, vec![value(lake_decimal(10, 4))]),
        (SqlType::Real, vec![value(LakeType::Float)]),
        (SqlType::Float, vec![value(LakeType::Double)]),
        (SqlType::Date, vec![value(LakeType::Date)]),
        (SqlType::Time { scale: 6 }, vec![value(LakeType::Time)]),
        (
            SqlType::Time { scale: 7 },
            vec![value(LakeType::Time), ticks.clone()],
        ),
        (SqlType::DateTime, vec![value(LakeType::Timestamp)]),
        (SqlType::SmallDateTime, vec![value(LakeType::Timestamp)]),
        (
            SqlType::DateTime2 { scale: 0 },
            vec![value(LakeType::Timestamp)],
        ),
        (
            SqlType::DateTime2 { scale: 7 },
            vec![value(LakeType::Timestamp), ticks.clone()],
        ),
        (
            SqlType::DateTimeOffset { scale: 3 },
            vec![value(LakeType::TimestampTz), offset.clone()],
        ),
        (
            SqlType::DateTimeOffset { scale: 7 },
            vec![value(LakeType::TimestampTz), ticks, offset],
        ),
        (SqlType::Char { length: 10 }, vec![value(LakeType::String)]),
        (
            SqlType::VarChar { length: None },
            vec![value(LakeType::String)],
        ),
        (SqlType::Text, vec![value(LakeType::String)]),
        (SqlType::NChar { length: 1 }, vec![value(LakeType::String)]),
        (
            SqlType::NVarChar { length: Some(4000) },
            vec![value(LakeType::String)],
        ),
        (SqlType::NText, vec![value(LakeType::String)]),
        (
            SqlType::Binary { length: 8000 },
            vec![value(LakeType::Binary)],
        ),
        (
            SqlType::VarBinary { length: None },
            vec![value(LakeType::Binary)],
        ),
        (SqlType::Image, vec![value(LakeType::Binary)]),
        (SqlType::UniqueIdentifier, vec![value(LakeType::Uuid)]),
        (SqlType::RowVersion, vec![value(LakeType::Binary)]),
        (SqlType::Xml, vec![value(LakeType::String)]),
        (SqlType::HierarchyId, vec![value(LakeType::Binary)]),
        (SqlType::Geometry, vec![value(LakeType::Binary)]),
        (SqlType::Geography, vec![value(LakeType::Binary)]),
        (SqlType::Json, vec![value(LakeType::String)]),
        (
            SqlType::Vector { dimensions: 3 },
            vec![value(LakeType::String)],
        ),
        (
            SqlType::SqlVariant,
            vec![
                value(LakeType::String),
                ("c__type".into(), LakeType::String),
            ],
        ),
    ] {
        assert_eq!(exact(ty), expected, "{ty}");
    }
}

#[test]
fn standard_fidelity_has_no_companions() {
    let wide = table(vec![column("c", SqlType::DateTimeOffset { scale: 7 })], &[]);
    let schema = lake_schema(&wide, TableKind::Mirror, Fidelity::Standard).unwrap();
    assert_eq!(schema.fields.len(), 1);
    // But for the base type, without which a value would be another.
    let variant = table(vec![column("c", SqlType::SqlVariant)], &[]);
    let schema = lake_schema(&variant, TableKind::Mirror, Fidelity::Standard).unwrap();
    assert_eq!(schema.fields[1].role, Role::BaseType);
}

#[test]
fn standard_fidelity_never_cuts_the_key_of_a_mirror() {
    let keyed = |scale| {
        let columns = vec![column("at", SqlType::DateTime2 { scale })];
        table(columns, &[0])
    };
    let shape = |scale, kind| lake_schema(&keyed(scale), kind, Fidelity::Standard);
    let refused = shape(7, TableKind::Mirror).unwrap_err().to_string();
    assert!(refused.contains("fidelity: exact"), "{refused}");
    assert!(shape(6, TableKind::Mirror).is_ok());
    assert!(shape(7, TableKind::History).is_ok());
}

#[test]
fn history_columns_close_the_schema() {
    let schema = lake_schema(
        &table(vec![column("id", SqlType::Int)], &[0]),
        TableKind::History,
        Fidelity::Exact,
    )
    .unwrap();
    let names: Vec<_> = schema.fields.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["id", "_op", "_seq", "_committed_at"]);
    assert!(
        schema.fields[1..]
            .iter()
            .all(|f| f.required && f.source.is_none())
    );
    assert_eq!(
        arrow_schema(&schema).field(3).data_type(),
        &arrow_type(LakeType::TimestampTz)
    );
}

#[test]
fn names_that_we_add_never_hide_a_column() {
    let clash = table(
        vec![
            column("at", SqlType::DateTime2 { scale: 7 }),
            column("AT__100NS", SqlType::Int),
        ],
        &[],
    );
    let error = lake_schema(&clash, TableKind::Mirror, Fidelity::Exact).unwrap_err();
    assert!(matches!(error, MappingError::Collision { .. }), "{error}");
    assert!(lake_schema(&clash, TableKind::Mirror, Fidelity::Standard).is_ok());
    let history = table(vec![column("_Seq", SqlType::Int)], &[]);
    assert!(lake_schema(&history, TableKind::History, Fidelity::Exact).is_err());
    assert!(lake_schema(&history, TableKind::Mirror, Fidelity::Exact).is_ok());
}

#[test]
fn keys_compare_as_the_source_compares() {
    let collated = |name: &str, collation: &str| Column {
        collation: Some(Collation {
            name: collation.into(),
            code_page: 1252,
        }),
        ..column(name, SqlType::VarChar { length: Some(10) })
    };
    let keyed = table(
        vec![
            column("n", SqlType::Int),
            column("at", SqlType::DateTimeOffset { scale: 7 }),
            collated("ci", "SQL_Latin1_General_CP1_CI_AS"),
            collated("cs", "Latin1_General_100_CS_AS_SC_UTF8"),
            collated("bin", "Latin1_General_BIN2"),
            collated("tr", "Turkish_100_CI_AS"),
            collated("hu", "Hungarian_100_CI_AS"),
        ],
        &[5, 1, 2, 3, 4, 6, 0],
    );
    let schema = lake_schema(&keyed, TableKind::Mirror, Fidelity::Exact).unwrap();
    let key: Vec<_> = schema
        .key
        .iter()
        .map(|key| {
            let field = &schema.fields[key.field];
            assert!(field.required);
            (field.name.as_str(), key.fold.trim, key.fold.ascii_case)
        })
        .collect();
    assert_eq!(
        key,
        [
            ("tr", true, false),
            ("at", false, false),
            ("at__100ns", false, false),
            ("ci", true, true),
            ("cs", true, false),
            ("bin", true, false),
            ("hu", true, false),
            ("n", false, false),
        ]
    );
    let float = table(vec![column("f", SqlType::Float)], &[0]);
    assert!(lake_schema(&float, TableKind::Mirror, Fidelity::Exact).is_err());
    let history = lake_schema(&float, TableKind::History, Fidelity::Exact).unwrap();
    assert!(history.key.is_empty());
}

#[test]
fn code_pages_that_we_do_not_decode_are_converted_by_the_server() {
    let varchar = |length, code_page| Column {
        collation: Some(Collation {
            name: "x".into(),
            code_page,
        }),
        ..column("c", SqlType::VarChar { length })
    };
    use SelectExpression as S;
    for (code_page, length, expected) in [
        (1252, Some(10), S::AsIs),
        (65001, None, S::AsIs),
        (950, Some(10), S::ConvertNVarChar(10)),
        (932, Some(4001), S::ConvertNVarCharMax),
        (437, None, S::ConvertNVarCharMax),
    ] {
        assert_eq!(select_expression(&varchar(length, code_page)), expected);
    }
    // Without a collation nothing is known about the bytes.
    let unknown = column("c", SqlType::Char { length: 3 });
    assert_eq!(select_expression(&unknown), S::ConvertNVarChar(3));
    assert_eq!(
        select_expression(&column("c", SqlType::Text)),
        S::ConvertNVarCharMax
    );
    assert_eq!(
        select_expression(&column("c", SqlType::Geography)),
        S::ConvertVarBinaryMax
    );
    assert_eq!(select_expression(&column("c", SqlType::Money)), S::AsIs);
}

#[test]
fn staging_columns_take_what_the_lake_holds() {
    for (ty, expected) in [
        (SqlType::Char { length: 8000 }, "nvarchar(max)"),
        (SqlType::VarChar { length: Some(20) }, "nvarchar(20)"),
        (SqlType::Xml, "nvarchar(max)"),
        (SqlType::RowVersion, "binary(8)"),
        (SqlType::HierarchyId, "varbinary(892)"),
        (SqlType::DateTime2 { scale: 7 }, "datetime2(7)"),
    ] {
        assert_eq!(ty.facts().staged.to_string(), expected);
    }
}

#[test]
fn parameters_are_converted_to_the_columns_type() {
    let latin = Collation {
        name: "SQL_Latin1_General_CP1_CI_AS".into(),
        code_page: 1252,
    };
    for (ty, collation, expected) in [
        (
            SqlType::DateTime2 { scale: 7 },
            None,
            "CONVERT(datetime2(7), @P1, 121)",
        ),
        (SqlType::RowVersion, None, "CONVERT(binary(8), @P1, 1)"),
        (SqlType::BigInt, None, "CONVERT(bigint, @P1)"),
        (
            SqlType::VarChar { length: Some(5) },
            Some(&latin),
            "CONVERT(varchar(5), @P1 COLLATE SQL_Latin1_General_CP1_CI_AS)",
        ),
        (
            SqlType::NVarChar { length: Some(5) },
            Some(&latin),
            "CONVERT(nvarchar(5), @P1)",
        ),
        (
            SqlType::Decimal {
                precision: 38,
                scale: 2,
            },
            None,
            "CONVERT(decimal(38,2), @P1)",
        ),
    ] {
        assert_eq!(parameter_conversion(ty, collation, "@P1"), expected);
    }
}

#[test]
fn decimals_are_written_plainly() {
    for (unscaled, scale, expected) in [
        (0, 0, "0"),
        (0, 3, "0.000"),
        (-1, 38, "-0.00000000000000000000000000000000000001"),
        (
            99_999_999_999_999_999_999_999_999_999_999_999_999,
            0,
            "99999999999999999999999999999999999999",
        ),
        (-123_456, 4, "-12.3456"),
    ] {
        assert_eq!(decimal_text(unscaled, scale), expected);
    }
}

/// Every type, once, in the order of SQL Server's documentation.
fn every_type() -> Vec<Column> {
    let narrow = |ty, code_page: u32| Column {
        collation: Some(Collation {
            name: "c".into(),
            code_page,
        }),
        ..column("c", ty)
    };
    let sized = |length| SqlType::VarChar { length };
    let types = [
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
        SqlType::Time { scale: 6 },
        SqlType::Time { scale: 7 },
        SqlType::DateTime,
        SqlType::SmallDateTime,
        SqlType::DateTime2 { scale: 6 },
        SqlType::DateTime2 { scale: 7 },
        SqlType::DateTimeOffset { scale: 6 },
        SqlType::DateTimeOffset { scale: 7 },
    ];
    let mut columns: Vec<_> = types.map(|ty| column("c", ty)).into();
    columns.extend([
        narrow(SqlType::Char { length: 10 }, 1252),
        narrow(sized(Some(10)), 1252),
        narrow(sized(Some(10)), 65001),
        narrow(sized(Some(10)), 950),
        narrow(sized(Some(8000)), 932),
        narrow(sized(None), 1252),
    ]);
    let types = [
        SqlType::Text,
        SqlType::NChar { length: 10 },
        SqlType::NVarChar { length: Some(10) },
        SqlType::NVarChar { length: None },
        SqlType::NText,
        SqlType::Binary { length: 10 },
        SqlType::VarBinary { length: Some(10) },
        SqlType::VarBinary { length: None },
        SqlType::Image,
        SqlType::UniqueIdentifier,
        SqlType::RowVersion,
        SqlType::Xml,
        SqlType::HierarchyId,
        SqlType::Geometry,
        SqlType::Geography,
        SqlType::Json,
        SqlType::SqlVariant,
        SqlType::Vector { dimensions: 3 },
    ];
    columns.extend(types.map(|ty| column("c", ty)));
    columns
}

fn lake_type_name(ty: LakeType) -> String {
    match ty {
        LakeType::Boolean => "boolean".into(),
        LakeType::Int => "int".into(),
        LakeType::Long => "long".into(),
        LakeType::Float => "float".into(),
        LakeType::Double => "double".into(),
        LakeType::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
        LakeType::Date => "date".into(),
        LakeType::Time => "time".into(),
        LakeType::Timestamp => "timestamp".into(),
        LakeType::TimestampTz => "timestamptz".into(),
        LakeType::String => "string".into(),
        LakeType::Uuid => "uuid".into(),
        LakeType::Fixed(length) => format!("fixed({length})"),
        LakeType::Binary => "binary".into(),
    }
}

/// The table of docs/TYPES.md, made from the functions that decide.
fn types_document() -> String {
    let mut rows = String::from(
        "| SQL Server | Iceberg | companions (`fidelity: exact`) | read as | staged as |\n|---|---|---|---|---|\n",
    );
    for column in every_type() {
        let code_page = column
            .collation
            .as_ref()
            .map_or(String::new(), |collation| {
                format!(", code page {}", collation.code_page)
            });
        let name = format!("`{}`{code_page}", column.ty);
        let schema = lake_schema(
            &table(vec![column.clone()], &[]),
            TableKind::Mirror,
            Fidelity::Exact,
        );
        let row = match schema {
            Ok(schema) => {
                let companions = schema.fields[1..]
                    .iter()
                    .map(|field| format!("`{}` {}", field.name, lake_type_name(field.ty)))
                    .collect::<Vec<_>>()
                    .join(", ");
                let read = match select_expression(&column) {
                    SelectExpression::AsIs => "itself".into(),
                    SelectExpression::ConvertNVarChar(length) => format!("`nvarchar({length})`"),
                    SelectExpression::ConvertNVarCharMax => "`nvarchar(max)`".into(),
                    SelectExpression::ConvertVarBinaryMax => "`varbinary(max)`".to_owned(),
                    SelectExpression::TypedText => "base type and text, `nvarchar(max)`".to_owned(),
                };
                let value = lake_type_name(schema.fields[0].ty);
                format!(
                    "| {name} | `{value}` | {companions} | {read} | `{}` |\n",
                    column.ty.facts().staged
                )
            }
            Err(MappingError::Refused { remedy, .. }) => {
                format!("| {name} | refused | | {remedy} | |\n")
            }
            Err(other) => panic!("{other}"),
        };
        rows.push_str(&row);
    }
    rows
}

/// Run with `UPDATE_DOCS=1` to write the table anew.
#[test]
fn the_document_says_what_the_code_does() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/TYPES.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = ("<!-- generated -->\n", "<!-- end -->");
    let (before, rest) = text.split_once(begin).unwrap();
    let (found, after) = rest.split_once(end).unwrap();
    let expected = types_document();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{begin}{expected}{end}{after}")).unwrap();
        return;
    }
    assert_eq!(found, expected);
}
