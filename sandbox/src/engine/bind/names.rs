//! Names that must be there, and must differ: those of a FROM clause, and those of the columns of a derived table.

use super::OutColumn;
use crate::engine::fault::{Outcome, error};
use crate::engine::schema::same_name;
use crate::sql::ast::{self, TableSource, TableSourceKind};

/// How a FROM clause shows one of its sources.
struct Exposed<'s> {
    name: &'s str,
    /// Of a table without an alias.
    schema: Option<&'s str>,
    is_alias: bool,
}

/// Error 1011 for two sources of one alias, 1013 where one of the two is a table under its own name.
pub fn check_exposed(sources: &[TableSource]) -> Outcome<()> {
    let mut all = Vec::new();
    sources.iter().for_each(|source| exposed(source, &mut all));
    for (at, one) in all.iter().enumerate() {
        let clashes = |other: &&Exposed<'_>| {
            let schemas = one.schema.zip(other.schema);
            same_name(one.name, other.name) && schemas.is_none_or(|(a, b)| same_name(a, b))
        };
        let Some(other) = all[..at].iter().find(clashes) else {
            continue;
        };
        let name = one.name;
        let failed = match one.is_alias && other.is_alias {
            true => error(
                1011,
                16,
                format!(
                    "The correlation name '{name}' is specified multiple times in a FROM clause."
                ),
            ),
            false => error(
                1013,
                16,
                format!(
                    "The objects \"{}\" and \"{name}\" in the FROM clause have the same exposed names. Use correlation \
                        names to distinguish them.",
                    other.name
                ),
            ),
        };
        return Err(failed.into());
    }
    Ok(())
}

fn exposed<'s>(source: &'s TableSource, out: &mut Vec<Exposed<'s>>) {
    let of_alias = |alias: &'s ast::Ident| Exposed {
        name: alias.text.as_str(),
        schema: None,
        is_alias: true,
    };
    match &source.kind {
        TableSourceKind::Join { left, right, .. } | TableSourceKind::Apply { left, right, .. } => {
            exposed(left, out);
            exposed(right, out);
        }
        TableSourceKind::Table { name, alias, .. } => out.push(match alias {
            Some(alias) => of_alias(alias),
            None => Exposed {
                name: name.object(),
                schema: name.schema(),
                is_alias: false,
            },
        }),
        TableSourceKind::Variable { name, alias } => out.push(match alias {
            Some(alias) => of_alias(alias),
            None => Exposed {
                name: name.as_str(),
                schema: None,
                is_alias: false,
            },
        }),
        TableSourceKind::Derived { alias, .. }
        | TableSourceKind::Values { alias, .. }
        | TableSourceKind::Function { alias, .. } => out.extend(alias.name.as_ref().map(of_alias)),
        TableSourceKind::Changes { .. } | TableSourceKind::Version { .. } => {}
    }
}

/// Errors 8155 and 8156 for a derived table or a common table expression whose columns have no name, or share one.
pub fn check_columns(columns: &[OutColumn], of: &str) -> Outcome<()> {
    for (at, column) in columns.iter().enumerate().filter(|(_, c)| !c.hidden) {
        let name = &column.name;
        if name.is_empty() {
            let number = at + 1;
            return Err(error(
                8155,
                16,
                format!("No column name was specified for column {number} of '{of}'."),
            )
            .into());
        }
        let same = |other: &OutColumn| !other.hidden && same_name(&other.name, name);
        if columns[..at].iter().any(same) {
            return Err(error(
                8156,
                16,
                format!("The column '{name}' was specified multiple times for '{of}'."),
            )
            .into());
        }
    }
    Ok(())
}
