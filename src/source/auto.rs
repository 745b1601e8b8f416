//! Which strategy follows a table's changes, and why: pure.

use super::change_tracking::{self, Refusal};
use super::discover::Discovered;
use super::error::SourceError;
use super::view;
use crate::change::{ChangeOptions, Checkpoint, Strategy, StrategyChoice};
use crate::schema::{Column, Fidelity, Generated, SqlType, TableKind};

/// Names under which applications keep the time of a row's last change, in lower case and without underscores and
/// spaces. Times of creation are not among them: an update would not be seen.
const LAST_CHANGE_NAMES: [&str; 44] = [
    "changedat",
    "changedate",
    "changedon",
    "datechanged",
    "datemodified",
    "dateupdated",
    "editedat",
    "lastchange",
    "lastchanged",
    "lastchangedat",
    "lastedited",
    "lasteditedwhen",
    "lastmodified",
    "lastmodifiedat",
    "lastmodifieddate",
    "lastmodifiedon",
    "lastmodifiedtime",
    "lastupdate",
    "lastupdated",
    "lastupdatedat",
    "lastupdateddate",
    "lastupdatedon",
    "lastupdatedate",
    "lastupdatetime",
    "moddate",
    "modified",
    "modifiedat",
    "modifieddate",
    "modifieddatetime",
    "modifiedon",
    "modifiedtime",
    "modifydate",
    "modifytime",
    "mtime",
    "rowmodified",
    "systemmodstamp",
    "updated",
    "updatedat",
    "updatedate",
    "updateddate",
    "updateddatetime",
    "updatedon",
    "updatedtime",
    "updatetime",
];

fn is_last_change_name(name: &str) -> bool {
    let folded: String = name
        .chars()
        .filter(|c| !matches!(c, '_' | ' ' | '-'))
        .map(|c| c.to_ascii_lowercase())
        .collect();
    LAST_CHANGE_NAMES.contains(&folded.as_str())
}

/// What is not seen of a table whose changes are tracked.
const TRACKED_UNSEEN: &str =
    "but not the versions in between, nor values that ALTER TABLE or UPDATETEXT gives to rows";

/// A strategy that has been chosen, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) strategy: Strategy,
    /// Position of the watermark column; none for `full`, and where a log is followed.
    pub(super) column: Option<usize>,
    pub(super) why: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// Chooses, or checks what was chosen, for a lake table of a kind and fidelity.
pub(super) fn choose(
    source: &Discovered,
    options: &ChangeOptions,
    shape: (TableKind, Fidelity),
    checkpoint: Option<&Checkpoint>,
) -> Result<Choice, SourceError> {
    let picker = Picker {
        source,
        options,
        shape,
        checkpoint,
    };
    if let Some(what) = source.facts.environment.writability.of_another() {
        return of_another(&picker, what);
    }
    if !source.unread.is_empty() {
        refuse_unread(&picker)?;
    }
    picker.choose(shape.0)
}

/// Where other transactions than those of this server change the database, the ones that are open cannot be seen or
/// waited for, and their rows may lie below any bound. Only reads of the whole table need none.
fn of_another(picker: &Picker<'_>, what: &str) -> Result<Choice, SourceError> {
    let strategy = match picker.options.strategy {
        StrategyChoice::Full => return picker.full(),
        StrategyChoice::Auto if picker.options.column.is_none() => {
            let why = format!(
                "the connection leads to {what}, where open transactions of the primary cannot be seen: so the whole \
                    table is read each time"
            );
            return Ok(chosen(Strategy::Full, None, vec![why]));
        }
        StrategyChoice::Auto => "auto",
        StrategyChoice::Timestamp => "timestamp",
        StrategyChoice::Sequence => "sequence",
        StrategyChoice::RowVersion => "rowversion",
        StrategyChoice::ChangeTracking => {
            return Err(picker.refused(
                TRACKING,
                format!(
                    "the connection leads to {what}, where SQL Server does not show tracked changes, and open \
                     transactions of the primary cannot be seen. Nothing was read. Connect to the primary, or use \
                     strategy full"
                ),
            ));
        }
    };
    Err(picker.refused(
        strategy,
        format!(
            "the connection leads to {what}, where open transactions of the primary cannot be seen, so no upper bound \
                is safe. Nothing was read. Connect to the primary, or use strategy full"
        ),
    ))
}

/// Refuses to leave out the column that would be followed if every column were read.
fn refuse_unread(picker: &Picker<'_>) -> Result<(), SourceError> {
    let source = picker.source;
    let whole = source.whole();
    let picker = Picker {
        source: &whole,
        ..*picker
    };
    // What is wrong apart from that is found with the columns that are read.
    let Ok(choice) = picker.choose(picker.shape.0) else {
        return Ok(());
    };
    let followed = choice.column.map(|at| (at, &whole.schema.columns[at]));
    match followed {
        Some((at, column)) if at >= source.schema.columns.len() => {
            let why = format!("strategy {} follows it", choice.strategy);
            let remedy = "set `change.strategy` to one that needs no such column, such as `full`";
            Err(source.needs(&column.name, why, remedy))
        }
        Some(_) | None => Ok(()),
    }
}

const TRACKING: &str = "change_tracking";

#[derive(Clone, Copy)]
struct Picker<'a> {
    source: &'a Discovered,
    options: &'a ChangeOptions,
    shape: (TableKind, Fidelity),
    checkpoint: Option<&'a Checkpoint>,
}

impl Picker<'_> {
    fn choose(&self, kind: TableKind) -> Result<Choice, SourceError> {
        match self.options.strategy {
            StrategyChoice::Auto => self.auto(kind),
            StrategyChoice::Full => self.full(),
            StrategyChoice::Timestamp => self.timestamp(),
            StrategyChoice::Sequence => self.sequence(kind),
            StrategyChoice::RowVersion => self.rowversion(),
            StrategyChoice::ChangeTracking => self.change_tracking(),
        }
    }

    fn columns(&self) -> &[Column] {
        &self.source.schema.columns
    }

    fn refused(&self, strategy: &'static str, why: impl Into<String>) -> SourceError {
        SourceError::Strategy {
            table: self.source.schema.name.clone(),
            strategy,
            why: why.into(),
        }
    }

    /// The configured column, if one is named.
    fn named(&self, strategy: &'static str) -> Result<Option<usize>, SourceError> {
        let Some(name) = &self.options.column else {
            return Ok(None);
        };
        let at = self.source.schema.position(name).ok_or_else(|| {
            let names: Vec<&str> = self.columns().iter().map(|c| c.name.as_str()).collect();
            self.refused(
                strategy,
                format!(
                    "there is no column {name}; the columns are {}",
                    names.join(", ")
                ),
            )
        })?;
        Ok(Some(at))
    }

    fn find(&self, fits: impl Fn(&Column) -> bool) -> Option<usize> {
        self.columns().iter().position(fits)
    }

    fn auto(&self, kind: TableKind) -> Result<Choice, SourceError> {
        if let Some(at) = self.named("auto")? {
            let ty = self.columns()[at].ty;
            return if ty == SqlType::RowVersion {
                match self.untold() {
                    Some(why) => Err(self.refused("auto", why)),
                    None => self.rowversion(),
                }
            } else if ty.has_date() {
                self.timestamp()
            } else if is_exact_number(ty) {
                self.sequence(kind)
            } else {
                Err(self.refused(
                    "auto",
                    format!(
                        "column {} is neither a rowversion nor a time nor a whole number",
                        self.columns()[at].name
                    ),
                ))
            };
        }
        let untracked = match self.tracked() {
            Ok(choice) => return Ok(choice),
            Err(reason) => reason,
        };
        let mut choice = self.untracked(kind);
        choice.why.extend(untracked);
        Ok(choice)
    }

    /// Tracked changes, which see deletes, where the table can be followed by them; else what to say of that.
    fn tracked(&self) -> Result<Choice, Option<String>> {
        match change_tracking::refusal(self.source, self.shape) {
            None => {}
            Some(Refusal::Never(_)) => return Err(None),
            Some(Refusal::Until(why)) => {
                return Err(Some(format!(
                    "tracked changes would show inserts, updates and deletes, but {why}"
                )));
            }
        }
        let other = self
            .checkpoint
            .filter(|known| !known.strategy.follows_log());
        // What its ranges have would be read again.
        if other.is_some_and(|known| known.backfill.is_some()) {
            return Err(Some(
                "changes are tracked, and are followed once the read of the whole table that is under way has ended"
                    .to_owned(),
            ));
        }
        let mut why = vec![format!(
            "changes of the table are tracked: inserts, updates and deletes are seen, {TRACKED_UNSEEN}"
        )];
        why.extend(other.map(|known| {
            format!(
                "the last run used strategy {}: going over to tracked changes takes one read of the whole table, which \
                 also removes rows that were deleted at the source",
                known.strategy
            )
        }));
        Ok(chosen(Strategy::ChangeTracking, None, why))
    }

    /// What `auto` takes where changes are not tracked.
    fn untracked(&self, kind: TableKind) -> Choice {
        let mut why = match self.versioned() {
            Ok(choice) => return choice,
            Err(reason) => vec![reason],
        };
        for (at, column) in self.columns().iter().enumerate() {
            if !is_last_change_name(&column.name) {
                continue;
            }
            match self.passed_over(at, column) {
                Some(reason) => why.push(reason),
                None => {
                    why.push(format!(
                        "column {} is named as the time of a row's last change, cannot be NULL, and leads an index",
                        column.name
                    ));
                    return chosen(Strategy::Timestamp, Some(at), why);
                }
            }
        }
        if let Some(at) = self.find(|c| c.generated == Generated::Identity) {
            let name = &self.columns()[at].name;
            match kind {
                TableKind::History if self.is_whole_key(at) => {
                    why.push(format!(
                        "identity key {name} grows with every insert, and a history needs no more; updates are not seen"
                    ));
                    return chosen(Strategy::Sequence, Some(at), why);
                }
                TableKind::History => {
                    why.push(format!("identity column {name} is not the table's key"));
                }
                TableKind::Mirror => why.push(format!(
                    "identity column {name} would show inserts only; a mirror would miss updates"
                )),
            }
        }
        why.push(
            "so the whole table is read each time; a rowversion column would make it incremental"
                .into(),
        );
        chosen(Strategy::Full, None, why)
    }

    /// The rowversion column, or why none is followed.
    fn versioned(&self) -> Result<Choice, String> {
        let at = self.find(|c| c.ty == SqlType::RowVersion);
        let at = at.ok_or_else(|| "there is no rowversion column".to_owned())?;
        let name = &self.columns()[at].name;
        if let Some(untold) = self.untold() {
            return Err(format!(
                "rowversion column {name} does not tell when a row changes: {untold}"
            ));
        }
        let why = format!("rowversion column {name} changes with every insert and update of a row");
        Ok(chosen(Strategy::RowVersion, Some(at), vec![why]))
    }

    /// Why the row versions of a view do not tell when its rows change.
    fn untold(&self) -> Option<String> {
        let view = self.source.surroundings.view.as_ref();
        view.and_then(view::untold)
    }

    /// Why a column with the right name will not do.
    fn passed_over(&self, at: usize, column: &Column) -> Option<String> {
        let name = &column.name;
        if column.ty == SqlType::Date {
            Some(format!(
                "{name} is a date: a day is too coarse unless change.column names it"
            ))
        } else if !column.ty.has_date() {
            Some(format!("{name} is not a time"))
        } else if column.nullable {
            Some(format!(
                "{name} may be NULL, and such rows would not be seen unless change.column names it"
            ))
        } else if !self.source.is_led_by_index(at) {
            Some(format!(
                "{name} leads no index, so each window would scan the table"
            ))
        } else {
            None
        }
    }

    fn is_whole_key(&self, at: usize) -> bool {
        matches!(&self.source.schema.key, Some(key) if key.columns == [at])
    }

    fn change_tracking(&self) -> Result<Choice, SourceError> {
        if let Some(column) = &self.options.column {
            return Err(self.refused(
                TRACKING,
                format!(
                    "strategy `change_tracking` follows no column, but `change.column` is set to {column}. Remove it"
                ),
            ));
        }
        match change_tracking::refusal(self.source, self.shape) {
            None => {}
            Some(Refusal::Never(why) | Refusal::Until(why)) => {
                return Err(self.refused(TRACKING, why));
            }
        }
        let why = format!(
            "tracked changes are asked for: inserts, updates and deletes are seen, {TRACKED_UNSEEN}"
        );
        Ok(chosen(Strategy::ChangeTracking, None, vec![why]))
    }

    fn full(&self) -> Result<Choice, SourceError> {
        if let Some(column) = &self.options.column {
            return Err(self.refused(
                "full",
                format!(
                    "strategy `full` uses no column, but `change.column` is set to {column}. Remove it, or choose \
                     `timestamp`"
                ),
            ));
        }
        Ok(chosen(
            Strategy::Full,
            None,
            vec!["strategy full is asked for: the whole table is read each time".into()],
        ))
    }

    fn rowversion(&self) -> Result<Choice, SourceError> {
        let at = self
            .named("rowversion")?
            .or_else(|| self.find(|c| c.ty == SqlType::RowVersion));
        let Some(at) = at else {
            return Err(self.refused(
                "rowversion",
                "it has no rowversion column; add one with ALTER TABLE ... ADD rv rowversion, or use another strategy",
            ));
        };
        let column = &self.columns()[at];
        if column.ty != SqlType::RowVersion {
            return Err(self.refused(
                "rowversion",
                format!("column {} is not a rowversion", column.name),
            ));
        }
        let view = self.source.surroundings.view.as_ref();
        if let Some(other) = view.and_then(view::elsewhere) {
            return Err(self.refused(
                "rowversion",
                format!(
                    "the view refers to {other}, and no bound of this database limits the row versions of another"
                ),
            ));
        }
        let why = vec![format!("rowversion column {} is asked for", column.name)];
        let mut choice = chosen(Strategy::RowVersion, Some(at), why);
        choice
            .warnings
            .extend(self.untold().map(|untold| {
                format!("changes of rows may be missed until a full read: {untold}")
            }));
        Ok(choice)
    }

    fn timestamp(&self) -> Result<Choice, SourceError> {
        let at = self
            .named("timestamp")?
            .or_else(|| self.find(|c| c.ty.has_date() && is_last_change_name(&c.name)));
        let Some(at) = at else {
            let candidates: Vec<&str> = self
                .columns()
                .iter()
                .filter(|c| c.ty.has_date())
                .map(|c| c.name.as_str())
                .collect();
            return Err(self.refused(
                "timestamp",
                if candidates.is_empty() {
                    "it has no column of a date or time type".to_owned()
                } else {
                    format!(
                        "no column is known to hold the time of the last change; name one in change.column ({})",
                        candidates.join(", ")
                    )
                },
            ));
        };
        let column = &self.columns()[at];
        if !column.ty.has_date() {
            return Err(self.refused(
                "timestamp",
                format!(
                    "column {} is {}, which is not a date or time type",
                    column.name, column.ty
                ),
            ));
        }
        let mut choice = chosen(
            Strategy::Timestamp,
            Some(at),
            vec![format!(
                "timestamp column {} is asked for; only changes that set it are seen",
                column.name
            )],
        );
        if !self.source.is_led_by_index(at) {
            choice.warnings.push(format!(
                "no index starts with {}, so every incremental read scans the whole table",
                column.name
            ));
        }
        Ok(choice)
    }

    fn sequence(&self, kind: TableKind) -> Result<Choice, SourceError> {
        if self.source.facts.is_memory_optimized {
            return Err(self.refused(
                "sequence",
                "inserts in flight into a memory-optimized table cannot be waited for; use another strategy",
            ));
        }
        let at = self
            .named("sequence")?
            .or_else(|| self.find(|c| c.generated == Generated::Identity));
        let Some(at) = at else {
            return Err(self.refused(
                "sequence",
                "it has no identity column; name a growing number in change.column",
            ));
        };
        let column = &self.columns()[at];
        if !is_exact_number(column.ty) {
            return Err(self.refused(
                "sequence",
                format!("column {} is not an integer or decimal", column.name),
            ));
        }
        let mut choice = chosen(
            Strategy::Sequence,
            Some(at),
            vec![format!("sequence column {} is asked for", column.name)],
        );
        if kind == TableKind::Mirror {
            choice.warnings.push(format!(
                "strategy sequence sees inserts only: updates that keep {} are missed",
                column.name
            ));
        }
        if column.generated != Generated::Identity {
            choice.warnings.push(format!(
                "{} is not an identity: a number that is drawn before its insert begins, and committed after a higher \
                    one was read, is missed",
                column.name
            ));
        }
        if column.nullable {
            choice.warnings.push(format!(
                "rows with NULL in {} are read by full reads only",
                column.name
            ));
        }
        if !self.source.is_led_by_index(at) {
            choice.warnings.push(format!(
                "no index starts with {}, so every incremental read scans the whole table",
                column.name
            ));
        }
        Ok(choice)
    }
}

fn chosen(strategy: Strategy, column: Option<usize>, why: Vec<String>) -> Choice {
    Choice {
        strategy,
        column,
        why,
        warnings: Vec::new(),
    }
}

fn is_exact_number(ty: SqlType) -> bool {
    matches!(
        ty,
        SqlType::TinyInt
            | SqlType::SmallInt
            | SqlType::Int
            | SqlType::BigInt
            | SqlType::Decimal { .. }
            | SqlType::Numeric { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::discover::tests::{column, index, table};

    const DT2: SqlType = SqlType::DateTime2 { scale: 7 };

    fn auto(source: &Discovered, kind: TableKind) -> Choice {
        choose(
            source,
            &ChangeOptions::default(),
            (kind, Fidelity::Exact),
            None,
        )
        .unwrap()
    }

    #[test]
    fn names_of_a_last_change_are_known_however_they_are_written() {
        assert!(
            LAST_CHANGE_NAMES
                .iter()
                .all(|name| is_last_change_name(name))
        );
        for name in ["ModifiedDate", "updated_at", "LAST_MODIFIED", "LastUpdated"] {
            assert!(is_last_change_name(name), "{name}");
        }
        for name in ["created_at", "birth_date", "update_count"] {
            assert!(!is_last_change_name(name), "{name}");
        }
    }

    #[test]
    fn auto_prefers_rowversion_then_an_indexed_timestamp() {
        let mut source = table(
            vec![
                column(1, "id", SqlType::Int, false),
                column(2, "UpdatedAt", DT2, false),
                column(3, "rv", SqlType::RowVersion, false),
            ],
            vec![index(true, true, &[1]), index(false, false, &[2])],
        );
        let choice = auto(&source, TableKind::Mirror);
        assert_eq!(
            (choice.strategy, choice.column),
            (Strategy::RowVersion, Some(2))
        );
        source.schema.columns.pop();
        let choice = auto(&source, TableKind::Mirror);
        assert_eq!(
            (choice.strategy, choice.column),
            (Strategy::Timestamp, Some(1))
        );
        for (change, expected) in [
            ("nullable", "may be NULL"),
            ("index", "leads no index"),
            ("date", "is a date"),
        ] {
            let mut other = source.clone();
            match change {
                "nullable" => other.schema.columns[1].nullable = true,
                "index" => other.indexes.truncate(1),
                _ => other.schema.columns[1].ty = SqlType::Date,
            }
            let choice = auto(&other, TableKind::Mirror);
            assert_eq!(choice.strategy, Strategy::Full);
            assert!(choice.why.join(" ").contains(expected), "{:?}", choice.why);
        }
    }

    #[test]
    fn auto_follows_tracked_changes_unless_ranges_of_another_strategy_are_under_way() {
        use crate::change::{Backfill, RunId, Watermark};
        use crate::mssql::surroundings::{Log, Tracking};
        let mut source = table(
            vec![
                column(1, "id", SqlType::Int, false),
                column(2, "rv", SqlType::RowVersion, false),
            ],
            vec![index(true, true, &[1])],
        );
        let untracked = auto(&source, TableKind::Mirror);
        assert_eq!(untracked.strategy, Strategy::RowVersion);
        let why = untracked.why.join(" ");
        assert!(why.contains("ENABLE CHANGE_TRACKING"), "{why}");
        source.surroundings.tracking = Tracking {
            retention_minutes: Some(2_880),
            cleans_up: true,
            log: Some(Log {
                begin: 1,
                min_valid: 1,
                created: None,
            }),
            can_view: true,
        };
        let mark = Watermark {
            column: "rv".into(),
            ty: SqlType::RowVersion,
            text: "0x00000000000007D1".into(),
        };
        let run = RunId::generate();
        let before = Checkpoint::reached(run, Strategy::RowVersion, Some(mark.clone()));
        let chosen = |checkpoint: Option<&Checkpoint>| {
            let options = ChangeOptions::default();
            let shape = (TableKind::Mirror, Fidelity::Exact);
            choose(&source, &options, shape, checkpoint).unwrap()
        };
        for (checkpoint, is_told) in [(None, false), (Some(&before), true)] {
            let choice = chosen(checkpoint);
            let found = (choice.strategy, choice.column);
            assert_eq!(found, (Strategy::ChangeTracking, None));
            let why = choice.why.join(" ");
            assert_eq!(
                why.contains("one read of the whole table"),
                is_told,
                "{why}"
            );
        }
        let ledger = Backfill {
            schema: String::new(),
            strategy: Strategy::RowVersion,
            watermark: mark,
            column: "id".into(),
            cuts: vec!["5".into()],
            origin: None,
            done: Vec::new(),
            stale: Vec::new(),
        };
        let reading = Checkpoint::reading(run, Some(&before), ledger);
        let kept = chosen(Some(&reading));
        assert_eq!(kept.strategy, Strategy::RowVersion);
        assert!(kept.why.join(" ").contains("under way"), "{kept:?}");
        source.surroundings.tracking.can_view = false;
        let blind = auto(&source, TableKind::Mirror);
        assert_eq!(blind.strategy, Strategy::RowVersion);
        assert!(blind.why.join(" ").contains("GRANT VIEW CHANGE TRACKING"));
    }

    #[test]
    fn auto_follows_an_identity_key_for_histories_only() {
        let mut source = table(
            vec![column(1, "order_id", SqlType::BigInt, false)],
            vec![index(true, true, &[1])],
        );
        source.schema.columns[0].generated = Generated::Identity;
        assert_eq!(
            auto(&source, TableKind::History).strategy,
            Strategy::Sequence
        );
        let mirror = auto(&source, TableKind::Mirror);
        assert_eq!(mirror.strategy, Strategy::Full);
        assert!(mirror.why.join(" ").contains("a mirror would miss updates"));
    }

    #[test]
    fn a_column_of_the_wrong_type_is_refused_with_the_alternatives() {
        let source = table(
            vec![
                column(1, "id", SqlType::Int, false),
                column(2, "seen", DT2, true),
            ],
            vec![],
        );
        let with = |strategy, name: Option<&str>| {
            let options = ChangeOptions {
                strategy,
                column: name.map(str::to_owned),
                ..ChangeOptions::default()
            };
            choose(
                &source,
                &options,
                (TableKind::Mirror, Fidelity::Exact),
                None,
            )
        };
        for (strategy, name, expected) in [
            (StrategyChoice::Timestamp, None, "(seen)"),
            (StrategyChoice::Timestamp, Some("id"), "date or time"),
            (StrategyChoice::RowVersion, None, "no rowversion column"),
            (StrategyChoice::Sequence, None, "no identity column"),
            (StrategyChoice::Sequence, Some("nope"), "id, seen"),
            (StrategyChoice::Full, Some("id"), "Remove it, or choose"),
        ] {
            let error = with(strategy, name).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let choice = with(StrategyChoice::Auto, Some("SEEN")).unwrap();
        assert_eq!(choice.strategy, Strategy::Timestamp);
        assert_eq!(choice.warnings.len(), 1);
    }
}
