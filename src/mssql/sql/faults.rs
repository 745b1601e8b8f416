//! Staged values that the target cannot keep, marked instead of refused: the second attempt at the net changes of a
//! load that may set rows aside.
//!
//! The server cannot keep a character that the column's code page lacks, and perhaps cannot make a value of the
//! column's type from a staged text. In a marked row such a value is NULL, its column is named, and the value is kept
//! as text. Keys are never marked: a row whose key cannot be kept stops the load, because a quarantine knows rows by
//! their key. Neither are values of a `sql_variant`.

use super::Ident;
use super::plan::{Faults, MergeColumn, MergePlan};
use crate::schema::SqlType;

/// Characters of a value that are kept.
const VALUE_CHARACTERS: usize = 4000;

/// Whether faults of a column are marked.
pub(super) fn marks(plan: &MergePlan, column: &MergeColumn) -> bool {
    let is_key = plan.key_columns().any(|key| key.name == column.name);
    let converts = column.may_lose() || !column.is_as_staged();
    plan.faults.is_some() && !is_key && column.base_types.is_none() && converts
}

/// The definitions of the two columns.
pub(super) fn columns(plan: &MergePlan) -> impl Iterator<Item = String> {
    plan.faults.iter().flat_map(|Faults { column, value }| {
        [
            format!("{} int NULL", Ident(column)),
            format!("{} nvarchar(max) NULL", Ident(value)),
        ]
    })
}

/// The names of the target's columns and of the two.
pub(super) fn names(plan: &MergePlan, alias: &str) -> String {
    let mut names = plan.names(alias);
    if let Some(Faults { column, value }) = &plan.faults {
        for name in [column, value] {
            names.push_str(&format!(", {alias}{}", Ident(name)));
        }
    }
    names
}

/// The staged value of a column as the target's type; NULL where the target cannot keep it.
pub(super) fn kept(column: &MergeColumn) -> String {
    let staged = format!("s.{}", Ident(&column.staged));
    if column.may_lose() {
        let lost = loses(column, &staged);
        return format!(
            "CASE WHEN {lost} THEN NULL ELSE CONVERT({}, {staged}) END",
            column.ty
        );
    }
    tried(column, &staged)
}

fn tried(column: &MergeColumn, staged: &str) -> String {
    if column.ty == SqlType::Xml {
        return format!("TRY_CONVERT(xml, {staged}, 1)");
    }
    format!("TRY_CONVERT({}, {staged})", column.ty)
}

/// The condition that the server cannot keep every character of a staged value, or has no room for them.
pub(super) fn loses(column: &MergeColumn, staged: &str) -> String {
    let back =
        format!("CONVERT(varbinary(max), CONVERT(nvarchar(max), CONVERT(varchar(max), {staged})))");
    let mut room = String::new();
    if let SqlType::Char { length }
    | SqlType::VarChar {
        length: Some(length),
    } = column.ty
    {
        room = format!(" OR DATALENGTH(CONVERT(varchar(max), {staged})) > {length}");
    }
    format!("{back} <> CONVERT(varbinary(max), {staged}){room}")
}

/// The two columns of a staged row.
pub(super) fn found(plan: &MergePlan) -> impl Iterator<Item = String> {
    plan.faults.iter().flat_map(move |faults| {
        let mut number = "CASE".to_owned();
        let mut value = "CASE".to_owned();
        for (at, column) in plan.columns.iter().enumerate() {
            if !marks(plan, column) {
                continue;
            }
            let staged = format!("s.{}", Ident(&column.staged));
            let fails = match column.may_lose() {
                true => loses(column, &staged),
                false => format!(
                    "{staged} IS NOT NULL AND {} IS NULL",
                    tried(column, &staged)
                ),
            };
            number.push_str(&format!(" WHEN {fails} THEN {}", at + 1));
            value.push_str(&format!(
                " WHEN {fails} THEN LEFT({}, {VALUE_CHARACTERS})",
                text(column.staged_ty, &staged)
            ));
        }
        let ends = |case: String, ty: &str| match case == "CASE" {
            true => format!("CONVERT({ty}, NULL)"),
            false => format!("{case} END"),
        };
        [
            format!("{} AS {}", ends(number, "int"), Ident(&faults.column)),
            format!(
                "{} AS {}",
                ends(value, "nvarchar(max)"),
                Ident(&faults.value)
            ),
        ]
    })
}

/// A staged value as text, in one collation for all columns: bytes as `0x` and hex digits.
fn text(ty: SqlType, staged: &str) -> String {
    let text = match ty.facts().text_style {
        Some(style) => format!("CONVERT(nvarchar(max), {staged}, {style})"),
        None => format!("CONVERT(nvarchar(max), {staged})"),
    };
    text + " COLLATE DATABASE_DEFAULT"
}
