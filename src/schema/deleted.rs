//! A column in which applications mark rows as deleted (`soft_delete`): which rows count as deleted.
//!
//! A row counts as deleted where the column has one of the values that are configured. The values are compared as the
//! column's type does: bits and whole numbers as numbers, text character by character, without the spaces at its end.
//! Case counts, whatever the collation, so that nothing depends on a server. A row with NULL does not count as deleted.
//!
//! Rows are decided in Arrow, when they have been read: the same rows are read as without the column, under the same
//! bounds, and each is either written or deleted.

use super::{LakeSchema, LakeType, Role, SqlType, TableSchema};
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int32Type, Int64Type};
use arrow_array::{Array, BooleanArray, RecordBatch};

/// The column and its values, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoftDelete {
    pub column: String,
    /// Never none.
    pub values: Vec<Scalar>,
}

/// A value of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scalar {
    Bool(bool),
    Number(u64),
    Text(String),
}

/// A column or a value that does not mark rows. `at` counts the values from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadMark {
    #[error("there is no column {column}; the columns are {have}. Correct `soft_delete.column`")]
    Unknown { column: String, have: String },
    #[error(
        "column {column} is left out by `columns`. Take it out of `columns.exclude` or add it to `columns.include`, or \
            remove `soft_delete`"
    )]
    LeftOut { column: String },
    #[error(
        "column {column} is {ty}, and only bit, whole numbers, decimals, and text of limited length can mark rows. \
            Name such a column, or extract a view that has one"
    )]
    Type { column: String, ty: SqlType },
    #[error(
        "`soft_delete.values[{at}]` is not a value of column {column}, whose type is {ty}. Write it as in `values: \
            [{example}]`"
    )]
    Value {
        at: usize,
        column: String,
        ty: SqlType,
        example: &'static str,
    },
    #[error(
        "column {column} is {ty} at the source and has another type in the lake, so its values cannot be compared. \
            Give the table another `lake` name"
    )]
    Lake { column: String, ty: SqlType },
}

/// A column of the source that marks rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// Position in the table's columns.
    column: usize,
    name: String,
    ty: SqlType,
    values: Values,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Values {
    Bits(Vec<bool>),
    Numbers(Vec<i64>),
    /// Without the spaces at their ends.
    Texts(Vec<String>),
}

/// The same among the columns of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowMark {
    field: usize,
    /// Of a decimal.
    scale: u8,
    values: Values,
}

impl SoftDelete {
    /// Finds the column, and makes the values those of its type. `left_out` are columns that are not read.
    pub fn resolve(&self, table: &TableSchema, left_out: &[&str]) -> Result<Marked, BadMark> {
        let Some(at) = table.position(&self.column) else {
            let column = self.column.clone();
            let names: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
            return Err(
                match left_out
                    .iter()
                    .any(|name| name.eq_ignore_ascii_case(&column))
                {
                    true => BadMark::LeftOut { column },
                    false => BadMark::Unknown {
                        column,
                        have: names.join(", "),
                    },
                },
            );
        };
        let column = &table.columns[at];
        let (name, ty) = (column.name.clone(), column.ty);
        let Some(form) = form(ty) else {
            return Err(BadMark::Type { column: name, ty });
        };
        let bad = |at: usize| BadMark::Value {
            at,
            column: name.clone(),
            ty,
            example: form.example(),
        };
        let values = form.values(ty, &self.values).map_err(bad)?;
        Ok(Marked {
            column: at,
            name,
            ty,
            values,
        })
    }
}

/// How values of a type are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Bit,
    /// Between these.
    Number(i64, i64),
    /// Of at most so many UTF-16 units, or bytes.
    Text(Option<u16>),
}

fn form(ty: SqlType) -> Option<Form> {
    match ty {
        SqlType::Bit => Some(Form::Bit),
        SqlType::TinyInt => Some(Form::Number(0, 255)),
        SqlType::SmallInt => Some(Form::Number(i64::from(i16::MIN), i64::from(i16::MAX))),
        SqlType::Int => Some(Form::Number(i64::from(i32::MIN), i64::from(i32::MAX))),
        SqlType::BigInt => Some(Form::Number(i64::MIN, i64::MAX)),
        SqlType::Decimal { precision, scale } | SqlType::Numeric { precision, scale } => {
            let digits = u32::from(precision.saturating_sub(scale)).min(18);
            let most = 10_i64.pow(digits) - 1;
            Some(Form::Number(-most, most))
        }
        SqlType::Char { length } | SqlType::NChar { length } => Some(Form::Text(Some(length))),
        SqlType::VarChar { length } | SqlType::NVarChar { length } => {
            length.map(|length| Form::Text(Some(length)))
        }
        SqlType::Money
        | SqlType::SmallMoney
        | SqlType::Real
        | SqlType::Float
        | SqlType::Date
        | SqlType::Time { .. }
        | SqlType::DateTime
        | SqlType::SmallDateTime
        | SqlType::DateTime2 { .. }
        | SqlType::DateTimeOffset { .. }
        | SqlType::Text
        | SqlType::NText
        | SqlType::Binary { .. }
        | SqlType::VarBinary { .. }
        | SqlType::Image
        | SqlType::UniqueIdentifier
        | SqlType::RowVersion
        | SqlType::Xml
        | SqlType::SqlVariant
        | SqlType::HierarchyId
        | SqlType::Geometry
        | SqlType::Geography
        | SqlType::Json
        | SqlType::Vector { .. } => None,
    }
}

impl Form {
    fn example(self) -> &'static str {
        match self {
            Form::Bit | Form::Number(..) => "1",
            Form::Text(_) => "\"Y\"",
        }
    }

    /// The values, or the position of one that is none of the type.
    fn values(self, ty: SqlType, given: &[Scalar]) -> Result<Values, usize> {
        fn each<T>(given: &[Scalar], read: impl Fn(&Scalar) -> Option<T>) -> Result<Vec<T>, usize> {
            let read = |(at, scalar)| read(scalar).ok_or(at);
            given.iter().enumerate().map(read).collect()
        }
        match self {
            Form::Bit => each(given, bit).map(Values::Bits),
            Form::Number(least, most) => each(given, |scalar| {
                number(scalar).filter(|number| (least..=most).contains(number))
            })
            .map(Values::Numbers),
            Form::Text(length) => each(given, |scalar| text(scalar, ty, length)).map(Values::Texts),
        }
    }
}

fn bit(scalar: &Scalar) -> Option<bool> {
    match scalar {
        Scalar::Bool(bit) => Some(*bit),
        Scalar::Number(0) => Some(false),
        Scalar::Number(1) => Some(true),
        Scalar::Number(_) => None,
        Scalar::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
            "0" | "false" => Some(false),
            "1" | "true" => Some(true),
            _ => None,
        },
    }
}

fn number(scalar: &Scalar) -> Option<i64> {
    match scalar {
        Scalar::Bool(_) => None,
        Scalar::Number(number) => i64::try_from(*number).ok(),
        Scalar::Text(text) => text.trim().parse().ok(),
    }
}

fn text(scalar: &Scalar, ty: SqlType, length: Option<u16>) -> Option<String> {
    let text = match scalar {
        // YAML takes `y`, `no` and `off` for text, and `true` for no text.
        Scalar::Bool(_) => return None,
        Scalar::Number(number) => number.to_string(),
        Scalar::Text(text) => text.trim_end_matches(' ').to_owned(),
    };
    let is_unicode = matches!(ty, SqlType::NChar { .. } | SqlType::NVarChar { .. });
    // A code page has at least one byte for a character.
    let units = match is_unicode {
        true => text.encode_utf16().count(),
        false => text.chars().count(),
    };
    let fits = length.is_none_or(|length| units <= usize::from(length));
    fits.then_some(text)
}

impl Marked {
    /// As a plan says it. `sees_deletes`: rows that are gone from the source are found as well.
    pub fn why(&self, sees_deletes: bool) -> String {
        let name = &self.name;
        let others = match sees_deletes {
            true => "rows that are gone from the source are deleted, too",
            false => {
                "deletes are seen through this column only: a row that is gone from the source stays in the lake"
            }
        };
        format!(
            "rows that {name} marks as deleted (`soft_delete`) are deleted from a mirror, and get a version `D` in a \
             history; {others}"
        )
    }

    /// Among the columns of batches with these fields.
    pub fn in_batches(&self, shape: &LakeSchema) -> Result<RowMark, BadMark> {
        let is_it = |field: &super::LakeField| {
            field.source == Some(self.column) && field.role == Role::Value
        };
        let other = || BadMark::Lake {
            column: self.name.clone(),
            ty: self.ty,
        };
        let field = shape.fields.iter().position(is_it).ok_or_else(other)?;
        let scale = scale(shape.fields[field].ty, &self.values).ok_or_else(other)?;
        Ok(RowMark {
            field,
            scale,
            values: self.values.clone(),
        })
    }
}

/// The scale of a lake type that values can be compared with; 0 for what is no decimal.
fn scale(ty: LakeType, values: &Values) -> Option<u8> {
    let compared = |fits: bool| fits.then_some(0);
    match ty {
        LakeType::Boolean => compared(matches!(values, Values::Bits(_))),
        LakeType::Int | LakeType::Long => compared(matches!(values, Values::Numbers(_))),
        LakeType::String => compared(matches!(values, Values::Texts(_))),
        LakeType::Decimal { scale, .. } => match values {
            Values::Numbers(_) => Some(scale),
            Values::Bits(_) | Values::Texts(_) => None,
        },
        LakeType::Float
        | LakeType::Double
        | LakeType::Date
        | LakeType::Time
        | LakeType::Timestamp
        | LakeType::TimestampTz
        | LakeType::Uuid
        | LakeType::Fixed(_)
        | LakeType::Binary => None,
    }
}

impl RowMark {
    /// True for each row that counts as deleted. A column of another type than the fields had marks none.
    pub fn rows(&self, batch: &RecordBatch) -> BooleanArray {
        let column = batch.column(self.field);
        let unit = 10_i128.pow(u32::from(self.scale));
        let marks = |row: usize| -> bool {
            if column.is_null(row) {
                return false;
            }
            match &self.values {
                Values::Bits(bits) => column
                    .as_boolean_opt()
                    .is_some_and(|column| bits.contains(&column.value(row))),
                Values::Texts(texts) => column.as_string_opt::<i32>().is_some_and(|column| {
                    let value = column.value(row).trim_end_matches(' ');
                    texts.iter().any(|text| text == value)
                }),
                Values::Numbers(numbers) => whole(column, row).is_some_and(|value| {
                    let mut numbers = numbers.iter();
                    numbers.any(|number| i128::from(*number) * unit == value)
                }),
            }
        };
        (0..batch.num_rows()).map(|row| Some(marks(row))).collect()
    }
}

/// A whole number, or the digits of a decimal.
fn whole(column: &dyn Array, row: usize) -> Option<i128> {
    let narrow = column.as_primitive_opt::<Int32Type>();
    let wide = column.as_primitive_opt::<Int64Type>();
    let decimal = column.as_primitive_opt::<Decimal128Type>();
    let narrow = narrow.map(|column| i128::from(column.value(row)));
    let wide = wide.map(|column| i128::from(column.value(row)));
    narrow
        .or(wide)
        .or_else(|| decimal.map(|column| column.value(row)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Column, Generated, LakeField};
    use arrow_array::{ArrayRef, Decimal128Array, Int32Array, Int64Array, StringArray};
    use std::sync::Arc;

    fn table(ty: SqlType) -> TableSchema {
        TableSchema {
            name: "dbo.t".parse().unwrap(),
            columns: vec![Column {
                id: 1,
                name: "gone".into(),
                ty,
                nullable: true,
                collation: None,
                generated: Generated::No,
            }],
            key: None,
        }
    }

    fn shape(ty: LakeType) -> LakeSchema {
        LakeSchema {
            fields: vec![LakeField {
                name: "gone".into(),
                ty,
                required: false,
                source: Some(0),
                role: Role::Value,
            }],
            key: Vec::new(),
        }
    }

    fn resolved(ty: SqlType, values: Vec<Scalar>) -> Result<Marked, BadMark> {
        let column = "GONE".to_owned();
        SoftDelete { column, values }.resolve(&table(ty), &[])
    }

    fn text(text: &str) -> Scalar {
        Scalar::Text(text.into())
    }

    fn marked(ty: SqlType, values: Vec<Scalar>, lake: LakeType, column: ArrayRef) -> Vec<bool> {
        let mark = resolved(ty, values).unwrap();
        let mark = mark.in_batches(&shape(lake)).unwrap();
        let batch = RecordBatch::try_from_iter_with_nullable([("gone", column, true)]).unwrap();
        mark.rows(&batch)
            .iter()
            .map(|row| row == Some(true))
            .collect()
    }

    #[test]
    fn rows_count_as_deleted_by_their_value_and_null_never_does() {
        let bits: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]));
        let one = vec![Scalar::Number(1)];
        let expected = [true, false, false];
        let of_bits = marked(SqlType::Bit, one.clone(), LakeType::Boolean, bits);
        assert_eq!(of_bits, expected);
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), Some(2), None]));
        let of_int = marked(SqlType::TinyInt, one.clone(), LakeType::Int, numbers);
        assert_eq!(of_int, expected);
        // The lake keeps the widest type that the column ever had.
        let wide: ArrayRef = Arc::new(Int64Array::from(vec![Some(-1), Some(1), None]));
        let of_wide = marked(SqlType::Int, vec![text("-1")], LakeType::Long, wide);
        assert_eq!(of_wide, expected);
        let decimal = SqlType::Numeric {
            precision: 5,
            scale: 2,
        };
        let lake = LakeType::Decimal {
            precision: 5,
            scale: 2,
        };
        let values = Decimal128Array::from(vec![Some(100), Some(1), None]);
        let values: ArrayRef = Arc::new(values.with_precision_and_scale(5, 2).unwrap());
        assert_eq!(marked(decimal, one, lake, values), expected);
    }

    #[test]
    fn text_is_compared_without_the_spaces_at_its_end_and_with_its_case() {
        let values = StringArray::from(vec![Some("Y  "), Some("y"), Some(""), None, Some("D")]);
        let ty = SqlType::Char { length: 3 };
        let given = vec![text("Y"), text("D ")];
        let found = marked(ty, given, LakeType::String, Arc::new(values));
        assert_eq!(found, [true, false, false, false, true]);
    }

    #[test]
    fn values_that_do_not_fit_the_column_are_refused_by_their_place() {
        let one = SqlType::Char { length: 1 };
        for (ty, value) in [
            (SqlType::Bit, Scalar::Number(2)),
            (SqlType::Bit, text("Y")),
            (SqlType::TinyInt, text("-1")),
            (SqlType::TinyInt, Scalar::Number(256)),
            (SqlType::Int, Scalar::Bool(true)),
            (SqlType::BigInt, Scalar::Number(u64::MAX)),
            (SqlType::Int, text("1.0")),
            (one, text("no")),
            (one, Scalar::Bool(true)),
        ] {
            let fits = match ty {
                ty if ty == one => text("Y"),
                SqlType::Bit => Scalar::Bool(true),
                _ => Scalar::Number(1),
            };
            let refused = resolved(ty, vec![fits, value.clone()]).unwrap_err();
            assert!(
                matches!(refused, BadMark::Value { at: 1, .. }),
                "{ty} {value:?}: {refused}"
            );
        }
    }

    #[test]
    fn columns_that_cannot_mark_rows_are_refused() {
        let at = SqlType::DateTime2 { scale: 3 };
        let refused = resolved(at, vec![Scalar::Number(1)]).unwrap_err();
        assert!(matches!(refused, BadMark::Type { .. }), "{refused}");
        let max = SqlType::VarChar { length: None };
        let refused = resolved(max, vec![text("Y")]).unwrap_err();
        assert!(matches!(refused, BadMark::Type { .. }), "{refused}");
        let other = SoftDelete {
            column: "removed".into(),
            values: vec![Scalar::Number(1)],
        };
        let table = table(SqlType::Bit);
        let unknown = other.resolve(&table, &[]).unwrap_err();
        assert!(unknown.to_string().contains("the columns are gone"));
        let left_out = other.resolve(&table, &["Removed"]);
        assert!(matches!(left_out, Err(BadMark::LeftOut { .. })));
        let bit = resolved(SqlType::Bit, vec![Scalar::Number(1)]).unwrap();
        let lake = bit.in_batches(&shape(LakeType::String));
        assert!(matches!(lake, Err(BadMark::Lake { .. })));
    }
}
