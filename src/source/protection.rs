//! What keeps rows, or their values, from a reader: refused by name unless the configuration accepts it.
//!
//! - **Masked columns** (dynamic data masking) read as `xxxx`, 0 or 1900-01-01 without UNMASK.
//! - **Security policies** filter rows without an error. Whether one shows all rows to this login cannot be asked, so
//!   any filter counts. A login without VIEW DEFINITION does not see the policies: where it is shown fewer rows than
//!   the table's partitions hold, a whole read says so.
//! - **Partitions** whose storage was exchanged are told by [`super::origin`].

use super::discover::Discovered;
use super::error::SourceError;
use super::origin::{self, Moved};
use crate::change::{Accept, Origin};

/// Refuses a table that this login would not be shown as it is. What the configuration accepts of that is answered as
/// warnings.
pub(super) fn check(source: &Discovered, accept: Accept) -> Result<Vec<String>, SourceError> {
    let table = &source.schema.name;
    let mut warnings = Vec::new();
    let is_opaque = is_opaque(source);
    if is_opaque {
        warnings.push(
            "what the view refers to cannot be seen without VIEW DEFINITION on it, and neither can masks and security \
                policies behind it"
                .to_owned(),
        );
    }
    let masked = masked(source);
    match (masked.is_empty(), accept.masked) {
        (true, _) => {}
        (false, true) if is_opaque => {}
        (false, true) => warnings.push(format!(
            "column {} is masked for this login: lake and target get masked values (`accept: [masked]`)",
            masked.join(", ")
        )),
        (false, false) if is_opaque => {
            return Err(SourceError::MaskedBehind {
                table: table.clone(),
                columns: masked.join(", "),
            });
        }
        (false, false) => {
            return Err(SourceError::Masked {
                table: table.clone(),
                columns: masked.join(", "),
            });
        }
    }
    let policies = source.surroundings.policies.join(", ");
    match (policies.is_empty(), accept.row_security) {
        (true, _) => {}
        (false, true) => warnings.push(format!(
            "security policy {policies} filters rows: lake and target get those that this login is shown, and rows \
                that it hides count as deleted in whole reads (`accept: [row_security]`)"
        )),
        (false, false) => {
            return Err(SourceError::RowSecurity {
                table: table.clone(),
                policy: policies,
            });
        }
    }
    Ok(warnings)
}

/// Whether it is a view that does not show what it refers to.
fn is_opaque(source: &Discovered) -> bool {
    let view = source.surroundings.view.as_ref();
    view.is_some_and(|view| view.references.is_none())
}

/// The masked columns that are read. Those of a view may have other names there.
fn masked(source: &Discovered) -> Vec<&str> {
    if source.facts.environment.unmasks {
        return Vec::new();
    }
    let masked = source.surroundings.masked.iter();
    let is_read = |name: &&String| source.facts.is_view || source.schema.position(name).is_some();
    masked.filter(is_read).map(String::as_str).collect()
}

/// Why the whole table has to be read although there is a bound to start from, or what is accepted instead.
pub(super) fn moved(
    source: &Discovered,
    known: Option<&Origin>,
    accept: Accept,
) -> (Option<String>, Option<String>) {
    match origin::moved(source, known) {
        None => (None, None),
        Some(Moved::Restored(reason)) => (Some(reason.to_owned()), None),
        Some(Moved::Exchanged(partitions)) if accept.partition_switch => {
            let warning = format!(
                "partition {partitions} has another storage than in the last run. Rows that came in by a switch are \
                    not read (`accept: [partition_switch]`)"
            );
            (None, Some(warning))
        }
        Some(Moved::Exchanged(partitions)) => {
            let reason = format!(
                "partition {partitions} has another storage than in the last run, as after ALTER TABLE ... SWITCH or \
                    TRUNCATE TABLE, or after all indexes were rebuilt. If only rebuilds do that here, set `accept: \
                    [partition_switch]`"
            );
            (Some(reason), None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mssql::surroundings::View;
    use crate::schema::SqlType;
    use crate::source::discover::tests::{column, table};

    fn source() -> Discovered {
        let columns = vec![
            column(1, "id", SqlType::Int, false),
            column(2, "Card", SqlType::Int, true),
        ];
        table(columns, vec![])
    }

    fn masking(source: &mut Discovered, unmasks: bool) {
        source.surroundings.masked = vec!["Card".into(), "left_out".into()];
        let mut environment = (*source.facts.environment).clone();
        environment.unmasks = unmasks;
        source.facts.environment = environment.into();
    }

    #[test]
    fn masked_columns_that_are_read_are_refused_or_said() {
        let mut source = source();
        masking(&mut source, true);
        assert!(check(&source, Accept::default()).unwrap().is_empty());
        masking(&mut source, false);
        let refusal = check(&source, Accept::default()).unwrap_err().to_string();
        for part in [
            "column Card of dbo.orders",
            "GRANT UNMASK",
            "accept: [masked]",
        ] {
            assert!(refusal.contains(part), "{refusal}");
        }
        let accept = Accept {
            masked: true,
            ..Accept::default()
        };
        let warnings = check(&source, accept).unwrap();
        assert!(
            warnings[0].contains("column Card is masked"),
            "{warnings:?}"
        );
        source.schema.columns.pop();
        assert!(check(&source, Accept::default()).unwrap().is_empty());
    }

    #[test]
    fn masks_behind_a_view_that_does_not_show_its_tables_are_refused() {
        let mut source = source();
        source.facts.is_view = true;
        source.surroundings.view = Some(View {
            definition: None,
            references: None,
        });
        let warnings = check(&source, Accept::default()).unwrap();
        assert!(warnings[0].contains("VIEW DEFINITION"), "{warnings:?}");
        masking(&mut source, false);
        let refusal = check(&source, Accept::default()).unwrap_err().to_string();
        for part in ["dbo.orders may show", "(Card, left_out)", "UNMASK"] {
            assert!(refusal.contains(part), "{refusal}");
        }
    }

    #[test]
    fn a_policy_that_filters_is_refused_or_said() {
        let mut source = source();
        source.surroundings.policies = vec!["sec.tenants".into()];
        let refusal = check(&source, Accept::default()).unwrap_err().to_string();
        for part in ["sec.tenants", "dbo.orders", "accept: [row_security]"] {
            assert!(refusal.contains(part), "{refusal}");
        }
        let accept = Accept {
            row_security: true,
            ..Accept::default()
        };
        assert_eq!(check(&source, accept).unwrap().len(), 1);
    }
}
