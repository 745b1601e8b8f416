//! `icesync state verify`: what is wrong with the state of a table. [`findings`] is pure.
//!
//! A finding is an error when the next run stops or starts from the beginning, and a warning when runs go on although
//! something is not as icesync left it. Each names the command that mends it, or what the next run does about it.

use super::facts::{Depth, Facts, Known, LakeFacts, Looking, TargetFacts};
use crate::change::{Checkpoint, MergeMode, Strategy};
use crate::config::Table;
use crate::error::Result;
use crate::lake::{LoadTag, Standing};
use crate::report::{Finding, Listing, Severity, VerifyReport, plural};
use crate::schema::{TableKind, shell_quoted};
use crate::sync::restored::Restored;
use crate::sync::session::Sync;
use crate::target::state::LoadState;

impl Sync {
    /// Checks what is remembered of each table against both sides. Changes nothing.
    pub async fn verify_state(self, tables: Vec<Table>) -> Result<Listing<VerifyReport>> {
        let looking = Looking::new(&self, Depth::Rows);
        self.each(tables, async |table, links| {
            let facts = looking.at(table, links).await;
            Ok(report(table, &facts))
        })
        .await
    }
}

fn report(table: &Table, facts: &Facts) -> VerifyReport {
    let target = facts.target.found();
    let loaded = target.and_then(|target| target.looked.state.as_ref());
    let listed = facts.lake.found().zip(loaded).and_then(|(lake, state)| {
        let is_here = state.table_uuid == lake.uuid;
        lake.snapshots.get(&state.snapshot_id).filter(|_| is_here)
    });
    VerifyReport {
        source: table.source.to_string(),
        lake: table.lake.to_string(),
        target: table.target.to_string(),
        findings: findings(table, facts),
        lake_rows: listed.and_then(|listed| listed.rows),
        target_rows: target.and_then(|target| target.rows.as_ref().ok().copied().flatten()),
    }
}

/// What there is to say of a table's state, the worst first.
pub(super) fn findings(table: &Table, facts: &Facts) -> Vec<Finding> {
    let mut found = Findings {
        table,
        all: Vec::new(),
    };
    found.lake(&facts.lake);
    found.target(&facts.lake, &facts.target);
    found
        .all
        .sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    found.all
}

struct Findings<'a> {
    table: &'a Table,
    all: Vec<Finding>,
}

impl Findings<'_> {
    fn add(&mut self, severity: Severity, message: String, remedy: impl Into<String>) {
        self.all.push(Finding {
            severity,
            message,
            remedy: remedy.into(),
        });
    }

    /// A command for this table.
    fn command(&self, command: &str) -> String {
        let table = shell_quoted(&self.table.source);
        format!("Run `icesync {command} --table {table}`")
    }

    fn lake(&mut self, lake: &Known<LakeFacts>) {
        let name = &self.table.lake;
        let lake = match lake {
            Known::Found(lake) => lake,
            Known::Failed(error) => {
                let message = format!("lake table {name} cannot be read: {}", error.message);
                return self.add(Severity::Error, message, "");
            }
            Known::Absent => {
                let message = format!("lake table {name} does not exist");
                let remedy = self.command("extract");
                return self.add(Severity::Info, message, remedy);
            }
        };
        if !lake.is_settled {
            let message = format!(
                "version-hint.text of lake table {name} names an older version, so other engines do not see the newest"
            );
            let remedy = self.command("state repair");
            self.add(Severity::Warning, message, remedy);
        }
        match &lake.checkpoint {
            Err(error) => {
                let message = format!(
                    "the checkpoint of lake table {name} cannot be read: {}",
                    error.message
                );
                let remedy = self.command("state reset --yes");
                self.add(Severity::Error, message, remedy);
            }
            Ok(None) => {
                let message = format!(
                    "lake table {name} has no checkpoint: the next extract reads everything"
                );
                self.add(Severity::Info, message, "");
            }
            Ok(Some(checkpoint)) => self.checkpoint(lake, checkpoint),
        }
    }

    fn checkpoint(&mut self, lake: &LakeFacts, checkpoint: &Checkpoint) {
        self.standing(lake, checkpoint);
        let follows = match checkpoint.strategy {
            Strategy::Full => false,
            Strategy::Timestamp
            | Strategy::Sequence
            | Strategy::RowVersion
            | Strategy::ChangeTracking => true,
        };
        if let Some(ledger) = &checkpoint.backfill {
            let message = format!(
                "a read of the whole table is under way: {} of {} ranges are done",
                ledger.done.len(),
                ledger.cuts.len() + 1
            );
            let remedy = "The next extract goes on with it";
            self.add(Severity::Info, message, remedy);
        } else if follows && checkpoint.watermark.is_none() {
            let message = "the checkpoint has no watermark: the next extract reads the whole table"
                .to_owned();
            self.add(Severity::Info, message, "");
        }
    }

    /// Whether `main` still holds what the checkpoint says.
    fn standing(&mut self, lake: &LakeFacts, checkpoint: &Checkpoint) {
        let name = &self.table.lake;
        let listed = checkpoint.snapshot_id.map(|id| (id, lake.number(id)));
        let snapshot = match listed {
            Some((_, Some(number))) => format!("snapshot {number}"),
            Some((id, None)) => format!("snapshot with id {id}"),
            None => "the empty table".to_owned(),
        };
        let whole = match self.table.kind {
            TableKind::Mirror => "The next extract reads the whole table again",
            TableKind::History => {
                "The next extract goes on from the newest checkpoint that is on main; versions that the source has \
                overwritten since are lost"
            }
        };
        let (severity, message, remedy) = match &lake.standing {
            Some(Standing::Gone) => (
                Severity::Error,
                format!(
                    "{snapshot}, which the checkpoint of lake table {name} was committed with, is not on main: another \
                     writer rolled main back or replaced it"
                ),
                whole,
            ),
            Some(Standing::Unknown) => (
                Severity::Error,
                format!(
                    "whether {snapshot}, which the checkpoint of lake table {name} was committed with, is on main \
                     cannot be checked: another writer removed the snapshots and metadata files that would tell"
                ),
                whole,
            ),
            Some(Standing::Kept { foreign }) if !foreign.is_empty() => (
                Severity::Warning,
                format!(
                    "another writer changed rows of lake table {name} after the checkpoint, in {}",
                    plural(foreign.len() as u64, "commit")
                ),
                "Incremental reads do not compare these rows with the source; a whole read does: \
                 `icesync state reset --yes`, then `icesync extract`",
            ),
            Some(Standing::Kept { .. }) if matches!(listed, Some((_, None))) => (
                Severity::Info,
                format!(
                    "{snapshot}, which the checkpoint of lake table {name} was committed with, was expired by another \
                     writer; the table still follows from it"
                ),
                "",
            ),
            Some(Standing::Kept { .. }) | None => return,
        };
        self.add(severity, message, remedy);
    }

    fn target(&mut self, lake: &Known<LakeFacts>, target: &Known<TargetFacts>) {
        let name = &self.table.target;
        let target = match target {
            Known::Found(target) => target,
            Known::Failed(error) => {
                let message = format!("target {name} cannot be read: {}", error.message);
                return self.add(Severity::Error, message, "");
            }
            Known::Absent => return,
        };
        if target.is_loading {
            let message =
                format!("a load of target {name} is running: what is said of it may change");
            self.add(Severity::Info, message, "");
        }
        if !target.staging.is_empty() {
            let message = format!(
                "loads of target {name} that died left {}",
                plural(target.staging.len() as u64, "staging table")
            );
            let remedy = self.command("state repair");
            self.add(Severity::Warning, message, remedy);
        }
        if let Some(pending) = target.pending {
            let snapshot = match lake.found().and_then(|lake| lake.number(pending)) {
                Some(number) => format!("snapshot {number}"),
                None => format!("the snapshot with id {pending}"),
            };
            let message = format!(
                "target {name} is between two snapshots: a load of {snapshot} did not come to its end"
            );
            let remedy = self.command("load");
            self.add(Severity::Warning, message, remedy);
        }
        if let Err(error) = &target.rows {
            let message = format!(
                "the rows of target {name} were not counted: {}",
                error.message
            );
            self.add(Severity::Info, message, "");
        }
        match &target.looked.state {
            Some(state) => self.load_state(lake, target, state),
            None => self.nothing_loaded(lake.found(), target),
        }
    }

    fn nothing_loaded(&mut self, lake: Option<&LakeFacts>, target: &TargetFacts) {
        let name = &self.table.target;
        let tag = lake.and_then(|lake| {
            let mut tags = lake.tags.iter();
            tags.find(|tag| target.tags.is_loaded(&tag.name))
        });
        match (tag, &target.looked.object) {
            (Some(tag), _) => {
                let number = tag.sequence_number.unwrap_or_default();
                let message = format!(
                    "target {name} has no load state, although snapshot {number} was loaded into it according to tag \
                     {}: the state was reset, or the database was restored from a backup",
                    tag.name
                );
                let remedy = "The next load compares the whole snapshot with the target";
                self.add(Severity::Warning, message, remedy);
            }
            (None, Some(_)) => {
                let message = format!("nothing was loaded into target {name}");
                let remedy = "The next load compares the whole snapshot with the rows that it has";
                self.add(Severity::Info, message, remedy);
            }
            (None, None) => {
                let message = format!("target {name} does not exist yet");
                self.add(Severity::Info, message, "The next load creates it");
            }
        }
    }

    fn load_state(&mut self, lake: &Known<LakeFacts>, target: &TargetFacts, state: &LoadState) {
        self.object(lake, target, state);
        let name = &self.table.target;
        let old = state.sequence_number;
        let lake = match lake {
            Known::Found(lake) => lake,
            Known::Failed(_) => return,
            Known::Absent => {
                let message = format!(
                    "target {name} was loaded from lake table {}, which does not exist",
                    state.lake_table
                );
                let remedy =
                    "Restore the lake table, or run `icesync extract`, then `icesync load --full`";
                return self.add(Severity::Error, message, remedy);
            }
        };
        if state.table_uuid != lake.uuid {
            let message = format!(
                "target {name} was loaded from another lake table ({}, uuid {})",
                state.lake_table, state.table_uuid
            );
            return self.add(Severity::Error, message, self.again());
        }
        let Some(loaded) = state.loaded() else {
            return;
        };
        let mut tags = lake.tags.iter();
        let tagged = tags.find(|tag| target.tags.is_loaded(&tag.name));
        let tagged = tagged.and_then(|tag| tag.sequence_number);
        let restored = tagged.and_then(|tagged| Restored::between(&target.looked, state, tagged));
        let Some(number) = lake.number(loaded) else {
            let gone = format!(
                "snapshot {old}, which target {name} has loaded, is no longer in lake table {}",
                self.table.lake
            );
            let message = match restored {
                Some(restored) => restored.refusal(self.table, &gone),
                None => gone,
            };
            let remedy = match self.table.merge.mode {
                MergeMode::Replace => "The next load replaces all rows".to_owned(),
                MergeMode::Upsert | MergeMode::Append | MergeMode::History | MergeMode::Scd2 => {
                    self.again()
                }
            };
            return self.add(Severity::Error, message, remedy);
        };
        if number != old {
            let message = format!(
                "the load state of target {name} calls its snapshot number {old}, and the lake calls it {number}"
            );
            self.add(Severity::Error, message, self.again());
        }
        if let Some(restored) = restored {
            let remedy = self.command("load");
            self.add(Severity::Warning, restored.warning(self.table), remedy);
        }
        let protects = |tag: &LoadTag| tag.snapshot_id == loaded && target.tags.names(&tag.name);
        if !lake.tags.iter().any(protects) && !target.is_loading {
            let message = format!(
                "no tag protects snapshot {old}, which target {name} has loaded: an expiry may remove it, and loads \
                 could not go on from it"
            );
            let remedy = self.command("state repair");
            self.add(Severity::Warning, message, remedy);
        }
    }

    /// Whether the target is the table that was loaded.
    fn object(&mut self, lake: &Known<LakeFacts>, target: &TargetFacts, state: &LoadState) {
        let name = &self.table.target;
        let is_known = lake.found().is_some_and(|lake| {
            state.table_uuid == lake.uuid && lake.snapshots.contains_key(&state.snapshot_id)
        });
        let (old, what) = match (state.sequence_number, state.loaded()) {
            (old, Some(_)) => (old, format!("snapshot {old} was loaded into it")),
            (old, None) => (old, "icesync created it".to_owned()),
        };
        match (&target.looked.object, &state.object) {
            (None, _) => {
                let message = format!("target {name} is missing, although {what}");
                let remedy = "The next load creates it and loads the whole snapshot";
                self.add(Severity::Error, message, remedy);
            }
            (Some(found), Some(recorded)) if found != recorded => {
                let message = format!("target {name} was recreated after {what}");
                let next = match self.table.merge.mode.has_one_row_per_key() {
                    true => "compares the whole snapshot with it".to_owned(),
                    false => format!(
                        "loads the whole snapshot if the target is empty. {}",
                        self.again()
                    ),
                };
                let mut remedy = format!("The next load {next}");
                if is_known {
                    let adopt = self.command("state repair --adopt");
                    remedy.push_str(&format!(
                        ". If it has exactly the rows of snapshot {old}: {adopt}"
                    ));
                }
                self.add(Severity::Error, message, remedy);
            }
            (Some(_), None) => {
                let message = format!(
                    "the load state of target {name} is of an older build and does not say which table was loaded"
                );
                let remedy = "The next load that has rows to load records it";
                self.add(Severity::Info, message, remedy);
            }
            (Some(_), Some(_)) => {}
        }
    }

    /// How to load the whole snapshot.
    fn again(&self) -> String {
        let full = self.command("load --full");
        match self.table.merge.mode {
            MergeMode::Append | MergeMode::History => {
                format!("Empty the target with TRUNCATE TABLE. {full}")
            }
            MergeMode::Upsert => format!(
                "{full}. Rows that only the target has stay; `merge: {{ mode: replace }}` removes them"
            ),
            MergeMode::Replace | MergeMode::Scd2 => full,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{RunId, Watermark};
    use crate::config::Config;
    use crate::error::{Disposition, Error, Kind};
    use crate::lake::TargetTags;
    use crate::report::ErrorReport;
    use crate::schema::SqlType;
    use crate::schema::drift::SourceObject;
    use crate::sync::state::facts::Listed;
    use crate::target::columns::LoadedColumns;
    use crate::target::merge::LoadCounts;
    use crate::target::state::{Looked, PREPARED};
    use std::collections::BTreeMap;
    use std::path::Path;

    const UUID: &str = "6f1c2a34-0000-4000-8000-000000000001";

    fn table(merge: &str) -> Table {
        let text = format!(
            "warehouse: {{ location: lake }}\ntables: [{{ source: dbo.t, merge: {{ mode: {merge} }} }}]"
        );
        let config = Config::parse(Path::new("icesync.yaml"), &text, |_| None).unwrap();
        config.tables[0].clone()
    }

    fn tags() -> TargetTags {
        TargetTags::new("SQL01", "db", &"dbo.t".parse().unwrap())
    }

    fn object(id: i64) -> Option<SourceObject> {
        Some(SourceObject {
            id,
            created: "2024-05-06T10:00:00".to_owned(),
        })
    }

    fn tag(role: &str, number: i64) -> LoadTag {
        LoadTag {
            name: format!("icesync-{role}-SQL01.db.dbo.t"),
            snapshot_id: number * 10,
            sequence_number: Some(number),
        }
    }

    fn error() -> ErrorReport {
        ErrorReport::of(&Error::new(Kind::Lake, Disposition::Definite, "damaged"))
    }

    fn checkpoint() -> Checkpoint {
        let watermark = Watermark {
            column: "rv".to_owned(),
            ty: SqlType::RowVersion,
            text: "0x00000000000007D1".to_owned(),
        };
        let reached = Checkpoint::reached(RunId::generate(), Strategy::RowVersion, Some(watermark));
        Checkpoint {
            snapshot_id: Some(50),
            ..reached
        }
    }

    fn state() -> LoadState {
        LoadState {
            lake_table: "dbo.t".to_owned(),
            table_uuid: UUID.to_owned(),
            snapshot_id: 50,
            sequence_number: 5,
            run_id: String::new(),
            loaded_at: String::new(),
            counts: LoadCounts::default(),
            object: object(1),
            rule: None,
            pending: None,
            columns: LoadedColumns::default(),
            flag: None,
        }
    }

    /// Snapshots 1 to 5 with ids 10 to 50, the last of them loaded.
    fn lake() -> LakeFacts {
        let listed = (1..=5).map(|number| {
            let listed = Listed {
                sequence_number: number,
                rows: Some(100),
            };
            (number * 10, listed)
        });
        LakeFacts {
            uuid: UUID.to_owned(),
            snapshots: listed.collect::<BTreeMap<_, _>>(),
            current: Some(50),
            checkpoint: Ok(Some(checkpoint())),
            standing: Some(Standing::Kept {
                foreign: Vec::new(),
            }),
            is_settled: true,
            tags: vec![tag("loaded", 4), tag("loading", 5)],
        }
    }

    fn target() -> TargetFacts {
        TargetFacts {
            looked: Looked {
                object: object(1),
                state: Some(state()),
                in_quarantine: 0,
            },
            tags: tags(),
            is_loading: false,
            pending: None,
            staging: Vec::new(),
            rows: Ok(Some(100)),
        }
    }

    fn with_state(change: impl FnOnce(&mut LoadState)) -> TargetFacts {
        let mut target = target();
        change(target.looked.state.as_mut().unwrap());
        target
    }

    fn both(lake: LakeFacts, target: TargetFacts) -> Facts {
        Facts {
            lake: Known::Found(lake),
            target: Known::Found(target),
        }
    }

    #[test]
    fn a_healthy_table_has_no_findings() {
        for mode in ["upsert", "append", "replace"] {
            let found = findings(&table(mode), &both(lake(), target()));
            assert!(found.is_empty(), "{mode}: {found:#?}");
        }
    }

    /// Each case: the facts, and severity, a part of the message and a part of the remedy of its only finding.
    #[test]
    fn each_fault_is_named_with_its_remedy() {
        use Severity::{Error, Info, Warning};
        let cases: Vec<(Facts, Severity, &str, &str)> = vec![
            (
                both(
                    LakeFacts {
                        is_settled: false,
                        ..lake()
                    },
                    target(),
                ),
                Warning,
                "version-hint.text",
                "state repair --table dbo.t",
            ),
            (
                both(
                    LakeFacts {
                        checkpoint: Err(error()),
                        standing: None,
                        ..lake()
                    },
                    target(),
                ),
                Error,
                "damaged",
                "state reset --yes --table dbo.t",
            ),
            (
                both(
                    LakeFacts {
                        checkpoint: Ok(None),
                        standing: None,
                        ..lake()
                    },
                    target(),
                ),
                Info,
                "no checkpoint",
                "",
            ),
            (
                both(
                    LakeFacts {
                        standing: Some(Standing::Gone),
                        ..lake()
                    },
                    target(),
                ),
                Error,
                "snapshot 5, which the checkpoint",
                "reads the whole table",
            ),
            (
                both(
                    LakeFacts {
                        standing: Some(Standing::Unknown),
                        ..lake()
                    },
                    target(),
                ),
                Error,
                "cannot be checked",
                "reads the whole table",
            ),
            (
                both(
                    LakeFacts {
                        checkpoint: Ok(Some(Checkpoint {
                            snapshot_id: Some(7),
                            ..checkpoint()
                        })),
                        ..lake()
                    },
                    target(),
                ),
                Info,
                "snapshot with id 7",
                "",
            ),
            (
                both(
                    lake(),
                    with_state(|state| state.table_uuid = "other".to_owned()),
                ),
                Error,
                "another lake table",
                "load --full",
            ),
            (
                both(
                    lake(),
                    with_state(|state| (state.snapshot_id, state.sequence_number) = (70, 7)),
                ),
                Error,
                "snapshot 7, which target dbo.t has loaded, is no longer",
                "load --full",
            ),
            (
                both(
                    lake(),
                    TargetFacts {
                        looked: Looked {
                            object: None,
                            ..target().looked
                        },
                        ..target()
                    },
                ),
                Error,
                "missing, although snapshot 5",
                "next load creates it",
            ),
            (
                both(
                    lake(),
                    TargetFacts {
                        looked: Looked {
                            object: object(2),
                            ..target().looked
                        },
                        ..target()
                    },
                ),
                Error,
                "recreated after snapshot 5",
                "--adopt",
            ),
            (
                both(lake(), with_state(|state| state.object = None)),
                Info,
                "older build",
                "records it",
            ),
            (
                both(
                    LakeFacts {
                        tags: vec![tag("loaded", 4)],
                        ..lake()
                    },
                    target(),
                ),
                Warning,
                "no tag protects snapshot 5",
                "state repair",
            ),
            (
                both(
                    lake(),
                    TargetFacts {
                        staging: vec!["stg_1".to_owned()],
                        ..target()
                    },
                ),
                Warning,
                "1 staging table",
                "state repair",
            ),
            (
                both(
                    lake(),
                    TargetFacts {
                        is_loading: true,
                        ..target()
                    },
                ),
                Info,
                "is running",
                "",
            ),
            (
                both(
                    lake(),
                    TargetFacts {
                        pending: Some(50),
                        ..target()
                    },
                ),
                Warning,
                "between two snapshots: a load of snapshot 5",
                "icesync load",
            ),
            (
                both(
                    lake(),
                    TargetFacts {
                        rows: Err(error()),
                        ..target()
                    },
                ),
                Info,
                "not counted",
                "",
            ),
            (
                Facts {
                    lake: Known::Failed(error()),
                    target: Known::Found(target()),
                },
                Error,
                "lake table dbo.t cannot be read",
                "",
            ),
            (
                Facts {
                    lake: Known::Found(lake()),
                    target: Known::Failed(error()),
                },
                Error,
                "target dbo.t cannot be read",
                "",
            ),
        ];
        for (facts, severity, message, remedy) in cases {
            let found = findings(&table("upsert"), &facts);
            let [finding] = found.as_slice() else {
                panic!("{message}: {found:#?}");
            };
            assert_eq!(finding.severity, severity, "{finding:#?}");
            assert!(finding.message.contains(message), "{finding:#?}");
            assert!(finding.remedy.contains(remedy), "{finding:#?}");
        }
    }

    #[test]
    fn a_target_that_went_back_is_told_from_one_whose_snapshot_expired() {
        let back = with_state(|state| (state.snapshot_id, state.sequence_number) = (30, 3));
        let found = findings(&table("upsert"), &both(lake(), back.clone()));
        let went_back = "went back to snapshot 3: snapshot 4 had been loaded";
        assert!(found[0].message.contains(went_back), "{found:#?}");
        assert!(found[0].message.contains("go on from snapshot 3"));
        assert!(found[1].message.contains("no tag protects snapshot 3"));
        let mut expired = lake();
        expired.snapshots.remove(&30);
        let found = findings(&table("upsert"), &both(expired, back));
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].message.contains(went_back), "{found:#?}");
        assert!(found[0].message.contains("no longer in lake table"));
        assert!(found[0].remedy.contains("load --full"));
    }

    #[test]
    fn a_target_without_a_state_is_judged_by_its_tag() {
        let nothing = |object| TargetFacts {
            looked: Looked {
                object,
                state: None,
                in_quarantine: 0,
            },
            ..target()
        };
        let untagged = || LakeFacts {
            tags: Vec::new(),
            ..lake()
        };
        for (lake, target, severity, message) in [
            (
                lake(),
                nothing(object(1)),
                Severity::Warning,
                "snapshot 4 was loaded into it",
            ),
            (
                untagged(),
                nothing(object(1)),
                Severity::Info,
                "nothing was loaded",
            ),
            (
                untagged(),
                nothing(None),
                Severity::Info,
                "does not exist yet",
            ),
        ] {
            let found = findings(&table("upsert"), &both(lake, target));
            assert_eq!(found.len(), 1, "{found:#?}");
            assert_eq!(found[0].severity, severity);
            assert!(found[0].message.contains(message), "{found:#?}");
        }
    }

    /// Rows cannot be told from those to load.
    #[test]
    fn a_recreated_target_that_is_appended_to_has_to_be_empty() {
        for (mode, remedy) in [("upsert", "compares"), ("append", "TRUNCATE TABLE")] {
            let mut recreated = target();
            recreated.looked.object = object(2);
            let found = findings(&table(mode), &both(lake(), recreated));
            assert_eq!(found.len(), 1, "{found:#?}");
            let text = format!("{found:?}");
            assert!(text.contains(remedy), "{mode}: {text}");
            assert_eq!(text.contains("compares"), mode == "upsert", "{text}");
        }
    }

    /// A target that was created for an empty lake table needs no snapshot.
    #[test]
    fn a_prepared_target_is_all_right() {
        let prepared =
            with_state(|state| (state.snapshot_id, state.sequence_number) = (PREPARED, 0));
        let lake = LakeFacts {
            tags: Vec::new(),
            ..lake()
        };
        let found = findings(&table("upsert"), &both(lake, prepared));
        assert!(found.is_empty(), "{found:#?}");
    }

    #[test]
    fn the_worst_comes_first() {
        let lake = LakeFacts {
            is_settled: false,
            standing: Some(Standing::Gone),
            ..lake()
        };
        let target = TargetFacts {
            is_loading: true,
            ..target()
        };
        let found = findings(&table("upsert"), &both(lake, target));
        let severities: Vec<Severity> = found.iter().map(|finding| finding.severity).collect();
        assert_eq!(
            severities,
            [Severity::Error, Severity::Warning, Severity::Info]
        );
    }
}
