//! By what rule a target is loaded, and which rules go on from which.

use super::MergeMode;

/// What an upsert does with the row of a key that has left the lake.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Deletes {
    /// It is deleted.
    #[default]
    Hard,
    /// It is marked.
    Soft(SoftDeletes),
    /// It stays as it is.
    Ignore,
}

/// Columns of the target that only icesync fills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoftDeletes {
    /// `bit`: 1 in the rows of keys that have left the lake.
    pub column: String,
    /// `datetime2(3)`, UTC: when the row was marked.
    pub at: Option<String>,
}

impl Deletes {
    /// The rule without the names of columns.
    pub fn rule(&self) -> DeleteRule {
        match self {
            Deletes::Hard => DeleteRule::Hard,
            Deletes::Soft(_) => DeleteRule::Soft,
            Deletes::Ignore => DeleteRule::Ignore,
        }
    }
}

/// What becomes of rows whose key has left the lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeleteRule {
    #[default]
    Hard,
    Soft,
    Ignore,
}

/// By what rule a target is loaded. Its load state keeps the rule of the last load.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoadRule {
    pub mode: MergeMode,
    pub deletes: DeleteRule,
    /// Of `scd2`: the column that versions are valid from.
    pub valid_from: Option<String>,
}

const SOFT: &str = "deletes=soft";
const IGNORE: &str = "deletes=ignore";
const VALID_FROM: &str = "valid_from=";

impl LoadRule {
    /// As the load state keeps it.
    pub fn text(&self) -> String {
        let mut text = self.mode.name().to_owned();
        let deletes = match self.deletes {
            DeleteRule::Hard => None,
            DeleteRule::Soft => Some(SOFT),
            DeleteRule::Ignore => Some(IGNORE),
        };
        if let Some(deletes) = deletes {
            text = format!("{text} {deletes}");
        }
        if let Some(column) = &self.valid_from {
            text = format!("{text} {VALID_FROM}{column}");
        }
        text
    }

    /// What a load state says; none where this build does not know the rule.
    pub fn read(text: &str) -> Option<Self> {
        let (mode, options) = text.split_once(' ').unwrap_or((text, ""));
        let mut rule = Self {
            mode: MergeMode::named(mode)?,
            ..Self::default()
        };
        match options {
            "" => {}
            SOFT => rule.deletes = DeleteRule::Soft,
            IGNORE => rule.deletes = DeleteRule::Ignore,
            other => rule.valid_from = Some(other.strip_prefix(VALID_FROM)?.to_owned()),
        }
        Some(rule)
    }

    /// Whether what has changed in the lake, applied by this rule to a target that was loaded by the other, gives what
    /// this rule promises (`sync/load/kind.rs` has the promises). `before` is none where an older build loaded it.
    pub fn goes_on_from(&self, before: Option<&LoadRule>) -> bool {
        let Some(before) = before else {
            return !self.mode.loads_versions();
        };
        match self.mode {
            MergeMode::Upsert => match before.mode {
                MergeMode::Upsert => {
                    before.deletes == DeleteRule::Hard || before.deletes == self.deletes
                }
                MergeMode::Replace => true,
                MergeMode::Append | MergeMode::History | MergeMode::Scd2 => false,
            },
            MergeMode::Append => !before.mode.loads_versions(),
            MergeMode::Replace => true,
            MergeMode::History => before.mode == MergeMode::History,
            MergeMode::Scd2 => {
                let name =
                    |rule: &LoadRule| rule.valid_from.as_ref().map(|name| name.to_lowercase());
                before.mode == MergeMode::Scd2 && name(before) == name(self)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> LoadRule {
        LoadRule::read(text).unwrap()
    }

    #[test]
    fn a_rule_reads_back() {
        for text in [
            "upsert",
            "upsert deletes=soft",
            "upsert deletes=ignore",
            "append",
            "replace",
            "history",
            "scd2 valid_from=updated at",
            "scd2 valid_from=_committed_at",
        ] {
            assert_eq!(rule(text).text(), text);
        }
        for text in ["", "merge", "upsert deletes=never"] {
            assert_eq!(LoadRule::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_rule_goes_on_only_from_what_it_promises() {
        let rules = [
            "upsert",
            "upsert deletes=soft",
            "upsert deletes=ignore",
            "append",
            "replace",
            "history",
            "scd2 valid_from=a",
            "scd2 valid_from=b",
        ];
        for (now, from) in [
            ("upsert", &["upsert", "replace"][..]),
            (
                "upsert deletes=soft",
                &["upsert", "upsert deletes=soft", "replace"],
            ),
            (
                "upsert deletes=ignore",
                &["upsert", "upsert deletes=ignore", "replace"],
            ),
            (
                "append",
                &[
                    "upsert",
                    "upsert deletes=soft",
                    "upsert deletes=ignore",
                    "append",
                    "replace",
                ],
            ),
            ("replace", &rules),
            ("history", &["history"]),
            ("scd2 valid_from=a", &["scd2 valid_from=a"]),
            ("scd2 valid_from=B", &["scd2 valid_from=b"]),
        ] {
            let followed: Vec<&str> = rules
                .into_iter()
                .filter(|before| rule(now).goes_on_from(Some(&rule(before))))
                .collect();
            assert_eq!(followed, from, "{now}");
            let versions = rule(now).mode.loads_versions();
            assert_eq!(rule(now).goes_on_from(None), !versions, "{now}");
        }
    }
}
