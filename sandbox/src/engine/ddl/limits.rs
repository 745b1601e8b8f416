//! What a table and an index may hold at most. (Documentation: "Maximum capacity specifications for SQL Server".)

use crate::engine::collation::Collate;
use crate::engine::fault::{Outcome, error};
use crate::engine::schema::{Index, TableDef};
use crate::engine::types;
use crate::session::SqlError;
use crate::value::{SqlType, Value};

const COLUMNS_MAX: usize = 1024;
const KEY_COLUMNS_MAX: usize = 32;
const ROW_BYTES_MAX: usize = 8060;

/// The bytes that an index's key may have, and the word for such an index.
fn key_bytes_max(index: &Index) -> (usize, &'static str) {
    match index.clustered {
        true => (900, "clustered"),
        false => (1700, "nonclustered"),
    }
}

/// Whether every value of a type takes the same bytes, NULL included.
fn is_fixed(ty: &SqlType) -> bool {
    let varies = matches!(
        ty,
        SqlType::VarChar(_)
            | SqlType::NVarChar(_)
            | SqlType::VarBinary(_)
            | SqlType::Text
            | SqlType::NText
            | SqlType::Image
            | SqlType::Xml
            | SqlType::Geometry
            | SqlType::Geography
            | SqlType::SqlVariant
            | SqlType::HierarchyId
    );
    !varies
}

fn bytes(ty: &SqlType) -> usize {
    usize::try_from(types::max_length(ty)).unwrap_or(0)
}

/// Errors 1702 for too many columns and 1701 for a row whose fixed columns alone do not fit.
pub(super) fn check_row(def: &TableDef, verb: &str) -> Outcome<()> {
    if let Some(column) = def.columns.get(COLUMNS_MAX) {
        return Err(error(
            1702,
            16,
            format!(
                "{verb} TABLE failed because column '{}' in table '{}' exceeds the maximum of {COLUMNS_MAX} columns.",
                column.name, def.name
            ),
        )
        .into());
    }
    // The bits lie together, eight to a byte.
    let bits = def.columns.iter().filter(|c| c.ty == SqlType::Bit).count();
    let stored = def.columns.iter().filter(|c| c.computed.is_none());
    let fixed = stored.filter(|c| c.ty != SqlType::Bit && is_fixed(&c.ty));
    let fixed: usize = fixed.map(|column| bytes(&column.ty)).sum();
    // Status and length, the count of columns, a bit for the NULL of each.
    let overhead = 4 + 2 + def.columns.len().div_ceil(8);
    let row = fixed + bits.div_ceil(8) + overhead;
    if row <= ROW_BYTES_MAX {
        return Ok(());
    }
    Err(error(
        1701,
        16,
        format!(
            "Creating or altering table '{}' failed because the minimum row size would be {row}, including {overhead} \
                bytes of internal overhead. This exceeds the maximum allowable table row size of {ROW_BYTES_MAX} \
                bytes.",
            def.name
        ),
    )
    .into())
}

/// Errors 1904 for too many columns in a key and 1944 for a key whose fixed columns alone do not fit.
pub(super) fn check_key(def: &TableDef, index: &Index) -> Outcome<()> {
    if index.columns.len() > KEY_COLUMNS_MAX {
        let kind = if index.constraint_id.is_some() {
            "constraint"
        } else {
            "index"
        };
        return Err(error(
            1904,
            16,
            format!(
                "The {kind} '{}' on table '{}' has {} columns in the key list. The maximum limit for {kind} key column \
                    list is {KEY_COLUMNS_MAX}.",
                index.name,
                def.name,
                index.columns.len()
            ),
        )
        .into());
    }
    let types = index.columns.iter().map(|(at, _)| &def.columns[*at].ty);
    let least: usize = types.filter(|ty| is_fixed(ty)).map(bytes).sum();
    let (limit, _) = key_bytes_max(index);
    if least <= limit {
        return Ok(());
    }
    Err(error(
        1944,
        16,
        format!(
            "Index '{}' was not created. This index has a key length of at least {least} bytes. The maximum \
                permissible key length is {limit} bytes.",
            index.name
        ),
    )
    .into())
}

/// The bytes that a value takes in a key.
fn length(value: &Value, ty: &SqlType, collate: Option<&Collate>) -> usize {
    match (value, collate) {
        (Value::Variant(inner), _) => length(&inner.1, &inner.0, collate),
        (Value::Null, _) if !is_fixed(ty) => 0,
        (Value::Str(units), _) if types::is_unicode(ty) => units.len() * 2,
        (Value::Str(units), Some(collate)) => collate.byte_length(units),
        (Value::Str(units), None) => units.len(),
        (Value::Bytes(bytes), _) => bytes.len(),
        (_, _) => bytes(ty),
    }
}

/// Error 1946 for a row whose key in some index is too long.
pub fn check_keys_of(def: &TableDef, row: &[Value]) -> Result<(), SqlError> {
    for index in &def.indexes {
        let (limit, kind) = key_bytes_max(index);
        let columns = || index.columns.iter().map(|(at, _)| (*at, &def.columns[*at]));
        let most: usize = columns().map(|(_, column)| bytes(&column.ty)).sum();
        if most <= limit {
            continue;
        }
        let length: usize = columns()
            .map(|(at, column)| length(&row[at], &column.ty, column.collate.as_deref()))
            .sum();
        if length > limit {
            return Err(error(
                1946,
                16,
                format!(
                    "Operation failed. The index entry of length {length} bytes for the index '{}' exceeds the maximum \
                        length of {limit} bytes for {kind} indexes.",
                    index.name
                ),
            ));
        }
    }
    Ok(())
}
