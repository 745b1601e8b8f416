//! What of its source a table accepts.

use super::variables::Complaint;
use crate::change::Accept;
use serde::Deserialize;

/// One entry of `accept`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Accepted {
    Masked,
    RowSecurity,
    PartitionSwitch,
}

/// The entries of a list, each of them once.
pub(super) fn accept(list: &[Accepted], at: &str) -> Result<Accept, Complaint> {
    let repeats = |at: usize| list[..at].contains(&list[at]);
    if (0..list.len()).any(repeats) {
        return Err((format!("{at}.accept"), "must name each entry once".into()));
    }
    Ok(Accept {
        masked: list.contains(&Accepted::Masked),
        row_security: list.contains(&Accepted::RowSecurity),
        partition_switch: list.contains(&Accepted::PartitionSwitch),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_is_named_once() {
        let accepted = accept(&[Accepted::RowSecurity, Accepted::Masked], "tables[0]").unwrap();
        assert!(accepted.masked && accepted.row_security && !accepted.partition_switch);
        assert_eq!(accept(&[], "tables[0]").unwrap(), Accept::default());
        let (at, _) = accept(&[Accepted::Masked, Accepted::Masked], "tables[0]").unwrap_err();
        assert_eq!(at, "tables[0].accept");
        let entries: Vec<Accepted> =
            serde_yaml_ng::from_str("[masked, row_security, partition_switch]").unwrap();
        assert_eq!(entries.len(), 3);
        assert!(serde_yaml_ng::from_str::<Vec<Accepted>>("[unmasked]").is_err());
    }
}
