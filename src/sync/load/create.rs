//! A target that is missing: what it gets besides columns and key, and its creation where it is not filled.
//! [`crate::target::create`] argues when each is made.

use super::work::Work;
use crate::change::{DeleteRule, RunId, Strategy, UpsertStatement};
use crate::config::Table;
use crate::error::Result;
use crate::failpoint;
use crate::lake::LakeTable;
use crate::mssql::control::Control;
use crate::schema::definition::Definition;
use crate::schema::{TableKind, TableName};
use crate::sync::follow;
use crate::target::columns::LakeColumns;
use crate::target::create::{self, Design, Naming, Object, Uniqueness};
use crate::target::inspect::TargetTable;
use crate::target::merge::{OldState, StateChange};
use crate::target::state::PREPARED;
use crate::target::upsert;

/// Failpoint: the target is created and has no rows; its indexes, defaults and checks are missing.
pub const FAIL_AFTER_CREATE: &str = "load.after_create";

/// What the lake table keeps of its source's definition, as of a snapshot or now; or why that cannot be used.
pub(super) fn recorded(
    table: &Table,
    lake: &LakeTable,
    snapshot: Option<i64>,
) -> std::result::Result<Definition, String> {
    match follow::definition(lake, snapshot) {
        Some(Ok(definition)) => Ok(definition),
        Some(Err(why)) => Err(format!(
            "the record of the source's definition in lake table {} cannot be used: {why}",
            table.lake
        )),
        None => Err(format!(
            "the definition of source {} is not recorded in lake table {}",
            table.source, table.lake
        )),
    }
}

/// How a table's target is created. `strategy` is that of the last extract.
pub(super) fn design(
    table: &Table,
    definition: std::result::Result<Definition, String>,
    strategy: Option<Strategy>,
    columns: &LakeColumns,
) -> Design {
    let warnings = match definition {
        _ if !table.create.any() => Vec::new(),
        Ok(definition) => {
            let uniqueness = uniqueness(table.kind, strategy, table.merge.deletes.rule());
            let schema = columns.created();
            let names = columns.source_names.iter().take(columns.live);
            let names = names.zip(&schema.columns);
            let names: Vec<(&str, &str)> = names
                .map(|(source, column)| (source.as_str(), column.name.as_str()))
                .collect();
            let definition = definition.under(&names);
            return create::design(&definition, table.create, &schema, uniqueness);
        }
        Err(why) => vec![format!(
            "`create` has no effect on target {}, because {why}. Run `icesync extract` once, which records it; a \
                target that is there by then has to be dropped to be created with it",
            table.target
        )],
    };
    Design {
        warnings,
        ..Design::default()
    }
}

/// Whether a unique index of the source is one of the target, too. A whole read sees one state of the source, deletes
/// included. A window does not: of two rows that exchanged a value, it may bring one. Neither does a target that keeps
/// rows which are gone.
pub(super) fn uniqueness(
    kind: TableKind,
    strategy: Option<Strategy>,
    deletes: DeleteRule,
) -> Uniqueness {
    match (kind, deletes, strategy) {
        (TableKind::History, _, _) => Uniqueness::Lost("a history has many versions of a row"),
        (TableKind::Mirror, DeleteRule::Soft | DeleteRule::Ignore, _) => {
            Uniqueness::Lost("rows that have left the lake stay in the target")
        }
        (TableKind::Mirror, DeleteRule::Hard, Some(Strategy::Full) | None) => Uniqueness::Kept,
        (
            TableKind::Mirror,
            DeleteRule::Hard,
            Some(Strategy::RowVersion | Strategy::Timestamp | Strategy::Sequence),
        ) => Uniqueness::Lost(
            "incremental reads see no deletes and may bring one of two rows that exchanged a value",
        ),
        (TableKind::Mirror, DeleteRule::Hard, Some(Strategy::ChangeTracking)) => Uniqueness::Lost(
            "a step of a large window may bring one of two rows that exchanged a value",
        ),
    }
}

impl Work<'_> {
    pub(super) fn design(&self) -> Result<Design> {
        let snapshot = self.snapshot.as_ref().map(|snapshot| snapshot.id);
        let definition = recorded(self.table, &self.lake, snapshot);
        let checkpoint = self.lake.checkpoint()?;
        let strategy = checkpoint.map(|checkpoint| checkpoint.strategy);
        Ok(design(self.table, definition, strategy, &self.columns))
    }

    /// Creates the target without rows.
    pub(super) async fn create_target(&mut self, control: &mut Control) -> Result<TargetTable> {
        let (target, schema) = (&self.table.target, self.columns.created());
        let design = self.design()?;
        let suffix = create::suffix(self.run_id);
        let naming = Naming::Free(&suffix);
        let change = StateChange {
            // The run's own id would say that its rows are there.
            run_id: RunId::generate().to_string(),
            ..self.state_change(&TargetTable::planned(target, &schema))
        };
        create::create(control, target, &schema, &design.storage, naming, &change).await?;
        failpoint::reach(FAIL_AFTER_CREATE);
        self.warnings.extend(design.warnings.iter().cloned());
        let objects = design.into_objects();
        let refused = self.make(control, target, &objects, naming).await?;
        self.warnings.extend(refused);
        self.is_created = true;
        self.prepared = Some(OldState {
            snapshot: PREPARED,
            run_id: change.run_id,
            applied: None,
        });
        self.inspected(control).await
    }

    /// Makes what a load that died has not made in a target that icesync created and has not loaded.
    pub(super) async fn complete_target(
        &mut self,
        control: &mut Control,
        found: TargetTable,
    ) -> Result<TargetTable> {
        if !self.facts.is_prepared() || !self.table.create.any() {
            return Ok(found);
        }
        let Some(existing) = create::existing(control, found.name()).await? else {
            return Ok(found);
        };
        let design = self.design()?.without(&existing);
        self.warnings.extend(design.warnings.iter().cloned());
        let missing = design.into_objects();
        if missing.is_empty() {
            return Ok(found);
        }
        let suffix = create::suffix(self.run_id);
        let naming = Naming::Free(&suffix);
        let refused = self.make(control, found.name(), &missing, naming).await?;
        self.warnings.extend(refused);
        self.inspected(control).await
    }

    /// Makes objects one after the other; answers what the server refused.
    pub(super) async fn make(
        &self,
        control: &mut Control,
        table: &TableName,
        objects: &[Object],
        naming: Naming<'_>,
    ) -> Result<Vec<String>> {
        let target = &self.table.target;
        let mut refused = Vec::new();
        for object in objects {
            match create::make(control, table, target, object, naming).await? {
                Some(refusal) => refused.push(refusal),
                None => tracing::info!("{}: target {target}: {}", self.name, object.described()),
            }
        }
        Ok(refused)
    }

    /// How the load writes an upsert; says so where the target decides it.
    pub(super) async fn upsert_statement(
        &self,
        control: &mut Control,
        target: &TargetTable,
    ) -> UpsertStatement {
        let merge = &self.table.merge;
        let (statement, why) =
            upsert::upsert_statement(control, target, merge.statement, merge.mode).await;
        if let Some(why) = why {
            tracing::info!("{}: {why}", self.name);
        }
        statement
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_read_of_a_mirror_keeps_indexes_unique() {
        for strategy in [
            Strategy::Full,
            Strategy::RowVersion,
            Strategy::Timestamp,
            Strategy::Sequence,
        ] {
            let of = |kind, deletes| uniqueness(kind, Some(strategy), deletes);
            let kept = of(TableKind::Mirror, DeleteRule::Hard) == Uniqueness::Kept;
            assert_eq!(kept, strategy == Strategy::Full, "{strategy:?}");
            for lost in [
                of(TableKind::History, DeleteRule::Hard),
                of(TableKind::Mirror, DeleteRule::Soft),
                of(TableKind::Mirror, DeleteRule::Ignore),
            ] {
                assert_ne!(lost, Uniqueness::Kept);
            }
        }
        let unknown = uniqueness(TableKind::Mirror, None, DeleteRule::Hard);
        assert_eq!(unknown, Uniqueness::Kept);
    }
}
