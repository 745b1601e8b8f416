//! Which columns a step leaves out or renames, for `plan` and `status`.

use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The columns of one step that do not go on as they are, by their names before it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ColumnsReport {
    pub excluded: Vec<String>,
    /// The name after the step of each that gets another one.
    pub renamed: BTreeMap<String, String>,
}

impl ColumnsReport {
    /// Whether all columns go on under their own names.
    pub fn is_empty(&self) -> bool {
        self.excluded.is_empty() && self.renamed.is_empty()
    }

    /// A line for what is left out and one for what is renamed. `side`: where the step leads.
    pub(super) fn write(&self, out: &mut String, side: &str) {
        if !self.excluded.is_empty() {
            let names = self.excluded.join(", ");
            let _ = writeln!(out, "  columns  not in the {side}: {names}");
        }
        if !self.renamed.is_empty() {
            let renamed = self.renamed.iter();
            let renamed: Vec<String> = renamed
                .map(|(old, new)| format!("{old} as {new}"))
                .collect();
            let _ = writeln!(out, "  columns  in the {side}: {}", renamed.join(", "));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_and_renamed_is_told() {
        let mut out = String::new();
        ColumnsReport::default().write(&mut out, "lake");
        assert_eq!(out, "");
        let report = ColumnsReport {
            excluded: vec!["card".into(), "ssn".into()],
            renamed: BTreeMap::from([("qty".into(), "quantity".into())]),
        };
        report.write(&mut out, "target");
        assert_eq!(
            out,
            "  columns  not in the target: card, ssn\n  columns  in the target: qty as quantity\n"
        );
    }
}
