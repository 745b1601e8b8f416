//! A part of a column's order that is read again.

use super::read::Closed;
use super::{Params, Statement, shown, typed};
use crate::schema::{Column, SqlType};

/// Input of [`span`], all of it text.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub from: &'a str,
    pub to: Option<&'a str>,
    /// Where the next window starts.
    pub bound: &'a str,
    /// Which end of windows belongs to them.
    pub closed: Closed,
}

/// A part of a column's order in the column's own type. One row: `lower` and `upper` (NULL where the text is no value
/// of the type), `is_beyond` (it begins where nothing was read), `is_cut` (it ends there) and `is_crossed` (its end
/// lies below its beginning).
pub fn span(column: &Column, asked: &Asked<'_>) -> Statement {
    let mut params = Params::default();
    let from = params.text(asked.from);
    let to = params.text_or_null(asked.to);
    let bound = params.text(asked.bound);
    let ty = match column.ty == SqlType::RowVersion {
        true => "binary(8)".to_owned(),
        false => column.ty.to_string(),
    };
    let reaches = match asked.closed {
        Closed::Below => ">=",
        Closed::Above | Closed::Both => ">",
    };
    // Every conversion of a parameter begins with CONVERT.
    params.into_statement(format!(
        "DECLARE @from {ty} = TRY_{from}, @to {ty} = TRY_{to}, @bound {ty} = {bound};
SELECT {lower} AS lower, {upper} AS upper, CASE WHEN @from {reaches} @bound THEN 1 ELSE 0 END AS is_beyond, \
CASE WHEN @to {reaches} @bound THEN 1 ELSE 0 END AS is_cut, CASE WHEN @from > @to THEN 1 ELSE 0 END AS is_crossed;",
        from = typed(column, &from),
        to = typed(column, &to),
        bound = typed(column, &bound),
        lower = shown(column.ty, "@from"),
        upper = shown(column.ty, "@to"),
    ))
}
