//! Rows of the control plane.

use crate::mssql::error::MssqlError;
use std::sync::Arc;
use tiberius::{ColumnData, ColumnType};

/// One value of a control-plane result. Types that the driver cannot carry exactly (money, dates, `sql_variant`) are
/// refused: select them as text.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    Null,
    Bool(bool),
    /// Every integer width.
    Int(i64),
    Float(f64),
    /// Character types, `xml`; `decimal` as plain digits.
    Text(String),
    Bytes(Vec<u8>),
    Guid(uuid::Uuid),
}

/// One row of a control-plane result.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    names: Arc<[String]>,
    cells: Vec<Cell>,
}

impl Record {
    /// The value by column name (exact).
    pub fn cell(&self, name: &str) -> Result<&Cell, MssqlError> {
        let at = self.names.iter().position(|column| column == name);
        at.and_then(|at| self.cells.get(at)).ok_or_else(|| {
            MssqlError::Shape(format!("no column {name} among {}", self.names.join(", ")))
        })
    }

    /// The values in order of the select list.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// Text, not null.
    pub fn text(&self, name: &str) -> Result<&str, MssqlError> {
        self.text_opt(name)?.ok_or_else(|| unexpected_null(name))
    }

    /// Text or null.
    pub fn text_opt(&self, name: &str) -> Result<Option<&str>, MssqlError> {
        match self.cell(name)? {
            Cell::Null => Ok(None),
            Cell::Text(text) => Ok(Some(text)),
            other => Err(mismatch(name, "text", other)),
        }
    }

    /// Integer of any width, not null.
    pub fn int(&self, name: &str) -> Result<i64, MssqlError> {
        self.int_opt(name)?.ok_or_else(|| unexpected_null(name))
    }

    /// Integer of any width, or null.
    pub fn int_opt(&self, name: &str) -> Result<Option<i64>, MssqlError> {
        match self.cell(name)? {
            Cell::Null => Ok(None),
            Cell::Int(int) => Ok(Some(*int)),
            other => Err(mismatch(name, "an integer", other)),
        }
    }

    /// `bit`, not null.
    pub fn bool(&self, name: &str) -> Result<bool, MssqlError> {
        self.bool_opt(name)?.ok_or_else(|| unexpected_null(name))
    }

    /// `bit` or null.
    fn bool_opt(&self, name: &str) -> Result<Option<bool>, MssqlError> {
        match self.cell(name)? {
            Cell::Null => Ok(None),
            Cell::Bool(bool) => Ok(Some(*bool)),
            other => Err(mismatch(name, "a bit", other)),
        }
    }

    /// Binary, not null.
    pub fn bytes(&self, name: &str) -> Result<&[u8], MssqlError> {
        self.bytes_opt(name)?.ok_or_else(|| unexpected_null(name))
    }

    /// Binary or null.
    fn bytes_opt(&self, name: &str) -> Result<Option<&[u8]>, MssqlError> {
        match self.cell(name)? {
            Cell::Null => Ok(None),
            Cell::Bytes(bytes) => Ok(Some(bytes)),
            other => Err(mismatch(name, "binary", other)),
        }
    }
}

fn unexpected_null(name: &str) -> MssqlError {
    MssqlError::Shape(format!("column {name} is NULL"))
}

fn mismatch(name: &str, wanted: &str, found: &Cell) -> MssqlError {
    let found = match found {
        Cell::Null => "NULL",
        Cell::Bool(_) => "a bit",
        Cell::Int(_) => "an integer",
        Cell::Float(_) => "a float",
        Cell::Text(_) => "text",
        Cell::Bytes(_) => "binary",
        Cell::Guid(_) => "a uniqueidentifier",
    };
    MssqlError::Shape(format!("column {name} holds {found}, not {wanted}"))
}

pub(super) fn records(rows: Vec<tiberius::Row>) -> Result<Vec<Record>, MssqlError> {
    let Some(first) = rows.first() else {
        return Ok(Vec::new());
    };
    let names: Arc<[String]> = first
        .columns()
        .iter()
        .map(|column| column.name().to_owned())
        .collect();
    if let Some(money) = first
        .columns()
        .iter()
        .find(|column| matches!(column.column_type(), ColumnType::Money | ColumnType::Money4))
    {
        return Err(as_text(money.name(), "money"));
    }
    rows.into_iter()
        .map(|row| {
            let cells = names
                .iter()
                .zip(row)
                .map(|(name, value)| cell(name, value))
                .collect::<Result<_, _>>()?;
            Ok(Record {
                names: names.clone(),
                cells,
            })
        })
        .collect()
}

fn as_text(name: &str, ty: &str) -> MssqlError {
    MssqlError::Shape(format!(
        "column {name} is {ty}, which the control plane does not carry exactly: select it as text"
    ))
}

fn cell(name: &str, value: ColumnData<'static>) -> Result<Cell, MssqlError> {
    let cell = match value {
        ColumnData::U8(value) => value.map(|value| Cell::Int(i64::from(value))),
        ColumnData::I16(value) => value.map(|value| Cell::Int(i64::from(value))),
        ColumnData::I32(value) => value.map(|value| Cell::Int(i64::from(value))),
        ColumnData::I64(value) => value.map(Cell::Int),
        ColumnData::F32(value) => value.map(|value| Cell::Float(f64::from(value))),
        ColumnData::F64(value) => value.map(Cell::Float),
        ColumnData::Bit(value) => value.map(Cell::Bool),
        ColumnData::String(value) => value.map(|value| Cell::Text(value.into_owned())),
        ColumnData::Guid(value) => value.map(Cell::Guid),
        ColumnData::Binary(value) => value.map(|value| Cell::Bytes(value.into_owned())),
        ColumnData::Xml(value) => value.map(|value| Cell::Text(value.into_owned().into_string())),
        ColumnData::Numeric(value) => value.map(|value| {
            Cell::Text(crate::schema::mapping::decimal_text(
                value.value(),
                value.scale(),
            ))
        }),
        ColumnData::DateTime(None)
        | ColumnData::SmallDateTime(None)
        | ColumnData::Time(None)
        | ColumnData::Date(None)
        | ColumnData::DateTime2(None)
        | ColumnData::DateTimeOffset(None) => None,
        ColumnData::DateTime(Some(_))
        | ColumnData::SmallDateTime(Some(_))
        | ColumnData::Time(Some(_))
        | ColumnData::Date(Some(_))
        | ColumnData::DateTime2(Some(_))
        | ColumnData::DateTimeOffset(Some(_)) => {
            return Err(as_text(name, "a date or time"));
        }
    };
    Ok(cell.unwrap_or(Cell::Null))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_say_what_is_wrong_with_a_value() {
        let record = Record {
            names: Arc::from(["a".to_owned(), "b".to_owned()]),
            cells: vec![Cell::Null, Cell::Int(7)],
        };
        assert_eq!(record.int("b").unwrap(), 7);
        assert_eq!(record.text_opt("a").unwrap(), None);
        assert!(
            record
                .int("a")
                .unwrap_err()
                .to_string()
                .contains("a is NULL")
        );
        assert!(
            record
                .text("b")
                .unwrap_err()
                .to_string()
                .contains("holds an integer")
        );
        assert!(
            record
                .int("c")
                .unwrap_err()
                .to_string()
                .contains("no column c")
        );
    }
}
