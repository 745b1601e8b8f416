//! By what rule a target is loaded, and which rules go on from which.
//!
//! A rule and a snapshot of the lake say what rows a target has; `sync/load/kind.rs` has the statement of each mode.
//! Every load writes its rule into the load state, in the transaction that writes its rows. The rule has whatever the
//! statement depends on beside the snapshot and the columns that were loaded:
//!
//! - the mode;
//! - of an upsert, what becomes of rows whose key has left the lake. Where they are marked, the rule names the columns
//!   of the marks, because no load brings such a row again: its mark is in that column and nowhere else;
//! - of `scd2`, the field of the lake that versions are valid from. The rule has its id, because a field may get
//!   another name, and its name may be given to another field.
//!
//! The next load compares its own rule with that one. It *goes on* with what has changed in the lake where its own
//! statement holds afterwards ([`LoadRule::goes_on_from`]). Otherwise it is *refused*, and the message says how to
//! begin anew. A load that goes on may have to do more than apply changes, for the columns of its marks: see
//! [`LoadRule::marks_from`].

use super::MergeMode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// What an upsert does with the row of a key that has left the lake.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// A field of the lake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeField {
    pub field: i32,
    /// What the lake called it, for messages.
    pub column: String,
}

/// By what rule a target is loaded. Its load state keeps the rule of the last load.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoadRule {
    pub mode: MergeMode,
    pub deletes: Deletes,
    /// Of `scd2`: the field that versions are valid from; none where that is the time of their commit.
    pub valid_from: Option<TimeField>,
}

/// What a rule has beside its mode, as the load state keeps it.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    deletes: Deletes,
    valid_from: Option<TimeField>,
}

/// What an upsert makes of the marks of deleted rows that a target has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marks {
    /// They are right as they are, or no row is marked.
    Same,
    /// They are right, in columns of other names.
    Renamed,
    /// They are of an earlier time, or there are none.
    Begun,
}

impl LoadRule {
    /// As the load state keeps it: the mode and, where there is more to say, a space and the rest as JSON.
    pub fn text(&self) -> String {
        let mode = self.mode.name();
        let mut options = Map::new();
        if self.deletes != Deletes::Hard {
            options.insert("deletes".to_owned(), json!(self.deletes));
        }
        if let Some(field) = &self.valid_from {
            options.insert("valid_from".to_owned(), json!(field));
        }
        match options.is_empty() {
            true => mode.to_owned(),
            false => format!("{mode} {}", Value::Object(options)),
        }
    }

    /// What a load state says; none where this build does not know the rule.
    pub fn read(text: &str) -> Option<Self> {
        let (mode, options) = text.split_once(' ').unwrap_or((text, "{}"));
        let Options {
            deletes,
            valid_from,
        } = serde_json::from_str(options).ok()?;
        Some(Self {
            mode: MergeMode::named(mode)?,
            deletes,
            valid_from,
        })
    }

    /// Whether what has changed in the lake, applied by this rule to a target that was loaded by the other, gives what
    /// this rule promises; the columns of marks apart. `before` is none where an older build loaded it.
    pub fn goes_on_from(&self, before: Option<&LoadRule>) -> bool {
        let Some(before) = before else {
            return !self.mode.loads_versions();
        };
        match self.mode {
            MergeMode::Upsert => match before.mode {
                MergeMode::Upsert => {
                    let deletes = before.deletes.rule();
                    deletes == DeleteRule::Hard || deletes == self.deletes.rule()
                }
                MergeMode::Replace => true,
                MergeMode::Append | MergeMode::History | MergeMode::Scd2 => false,
            },
            MergeMode::Append => !before.mode.loads_versions(),
            MergeMode::Replace => true,
            MergeMode::History => before.mode == MergeMode::History,
            MergeMode::Scd2 => {
                let id = |rule: &LoadRule| rule.valid_from.as_ref().map(|time| time.field);
                before.mode == MergeMode::Scd2 && id(before) == id(self)
            }
        }
    }

    /// What this rule makes of marks that the other has left, where it goes on from that.
    ///
    /// If the names of their columns are others, the columns of the target get them; a column that was not named before
    /// is NULL in rows that are marked. If the other rule marked no rows, the target may still have the columns, from
    /// an earlier time, and rows that are back since then are marked in them. So every row is to be loaded, which takes
    /// the marks off. It costs as much where the target has no such columns, once.
    pub fn marks_from(&self, before: Option<&LoadRule>) -> Marks {
        match (&self.deletes, before.map(|before| &before.deletes)) {
            (Deletes::Hard | Deletes::Ignore, _) => Marks::Same,
            (Deletes::Soft(now), Some(Deletes::Soft(before))) if now == before => Marks::Same,
            (Deletes::Soft(_), Some(Deletes::Soft(_))) => Marks::Renamed,
            (Deletes::Soft(_), Some(Deletes::Hard | Deletes::Ignore) | None) => Marks::Begun,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> LoadRule {
        LoadRule::read(text).unwrap()
    }

    const SOFT: &str =
        r#"upsert {"deletes":{"soft":{"at":"deleted \"at\"","column":"is deleted"}}}"#;
    const UNTIMED: &str = r#"upsert {"deletes":{"soft":{"at":null,"column":"is deleted"}}}"#;
    const IGNORE: &str = r#"upsert {"deletes":"ignore"}"#;
    const TIMED: &str = r#"scd2 {"valid_from":{"column":"a","field":3}}"#;

    #[test]
    fn a_rule_reads_back() {
        for text in [
            "upsert", SOFT, UNTIMED, IGNORE, "append", "replace", "history", "scd2", TIMED,
        ] {
            assert_eq!(rule(text).text(), text);
        }
        // Of a later build.
        for text in [
            "",
            "merge",
            r#"upsert {"deletes":"never"}"#,
            r#"upsert {"order":"newest"}"#,
        ] {
            assert_eq!(LoadRule::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_rule_goes_on_only_from_what_it_promises() {
        let same_field = r#"scd2 {"valid_from":{"column":"renamed","field":3}}"#;
        let same_name = r#"scd2 {"valid_from":{"column":"a","field":4}}"#;
        let rules = [
            "upsert", SOFT, UNTIMED, IGNORE, "append", "replace", "history", "scd2", TIMED,
            same_field, same_name,
        ];
        let upserts = ["upsert", SOFT, UNTIMED, IGNORE, "append", "replace"];
        for (now, from) in [
            ("upsert", &["upsert", "replace"][..]),
            (SOFT, &["upsert", SOFT, UNTIMED, "replace"]),
            (UNTIMED, &["upsert", SOFT, UNTIMED, "replace"]),
            (IGNORE, &["upsert", IGNORE, "replace"]),
            ("append", &upserts),
            ("replace", &rules),
            ("history", &["history"]),
            ("scd2", &["scd2"]),
            (TIMED, &[TIMED, same_field]),
            (same_name, &[same_name]),
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

    #[test]
    fn marks_are_kept_only_from_a_rule_that_marks() {
        for (now, before, marks) in [
            ("upsert", Some(SOFT), Marks::Same),
            (SOFT, Some(SOFT), Marks::Same),
            (SOFT, Some(UNTIMED), Marks::Renamed),
            (UNTIMED, Some(SOFT), Marks::Renamed),
            (SOFT, Some("upsert"), Marks::Begun),
            (SOFT, Some("replace"), Marks::Begun),
            (SOFT, None, Marks::Begun),
        ] {
            let before = before.map(rule);
            let found = rule(now).marks_from(before.as_ref());
            assert_eq!(found, marks, "{now} from {before:?}");
        }
    }
}
