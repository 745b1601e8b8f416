//! Commands that only look: `plan`, `status`, `snapshots`. They change nothing on either side. `maintain` and
//! `relocate` go from table to table as they do.

use super::guard::caught;
use super::load::{Found, State};
use super::settle::{Settled, settle};
use super::{Links, Sync, follow, load};
use crate::config::{Group, Table};
use crate::error::{Kind, Result};
use crate::lake::{LakeTable, SnapshotRef};
use crate::mssql::environment::Environment;
use crate::report::{
    BetweenStatus, ErrorReport, LakeStatus, Listing, PlanReport, ServerReport, SnapshotsReport,
    StatusReport, TargetStanding, TargetStatus,
};
use crate::schema::TableName;
use crate::source::ExtractPlan;
use crate::target::state::{self, LoadState, Looked};

impl Sync {
    /// What the next run would do to each table.
    pub async fn plan(self, tables: Vec<Table>) -> Result<Listing<PlanReport>> {
        let source = self.source_side()?;
        let unusable = self.connects([Some(source), self.target.as_ref()]).await;
        if !unusable.is_empty() {
            return Ok(Listing::failed(unusable, self.connection_warnings()));
        }
        let together: Vec<TableName> = match self.load.group {
            Group::None => Vec::new(),
            Group::Auto | Group::All => tables.iter().map(|table| table.target.clone()).collect(),
        };
        let planned = self.each(tables, async |table, links| {
            let settled = settle(&self, table, links).await?;
            self.plan_of(table, settled, &together, links).await
        });
        let mut listing = planned.await?;
        listing.warnings = self.notices();
        Ok(listing)
    }

    /// How far each table is, in the lake and in the target.
    pub async fn status(self, tables: Vec<Table>) -> Result<Listing<StatusReport>> {
        let unusable = self.connects([None, self.target.as_ref()]).await;
        if !unusable.is_empty() {
            return Ok(Listing::failed(unusable, self.connection_warnings()));
        }
        self.each(tables, async |table, links| {
            let lake = self.warehouse.table(&table.lake).await?;
            let target = match &self.target {
                Some(side) => {
                    let control = Links::control(&mut links.target, side, Kind::Target).await?;
                    let looked = state::look(control, &table.target).await?;
                    Some(target_status(&looked, table, lake.as_ref()))
                }
                None => None,
            };
            Ok(StatusReport {
                source: table.source.to_string(),
                lake: lake_status(table, lake.as_ref()).await?,
                target,
            })
        })
        .await
    }

    /// The snapshots of each lake table.
    pub async fn snapshots(self, tables: Vec<Table>) -> Result<Listing<SnapshotsReport>> {
        self.each(tables, async |table, _| {
            let lake = load::lake_table(&self, table).await?;
            Ok(SnapshotsReport {
                source: table.source.to_string(),
                lake: table.lake.to_string(),
                snapshots: lake.snapshots(),
            })
        })
        .await
    }

    /// Looks at one table after the other; one that fails or panics does not stop the others.
    pub(super) async fn each<T>(
        &self,
        tables: Vec<Table>,
        look: impl AsyncFn(&Table, &mut Links) -> Result<T>,
    ) -> Result<Listing<T>> {
        let mut links = Links::default();
        let mut listing = Listing {
            tables: Vec::new(),
            errors: Vec::new(),
            warnings: Vec::new(),
            connection_warnings: self.connection_warnings(),
            tables_partial: 0,
        };
        for table in &tables {
            let name = table.source.to_string();
            let looked = caught(look(table, &mut links)).await;
            match links.guard(looked) {
                Ok(report) => listing.tables.push(report),
                Err(error) => listing
                    .errors
                    .push(ErrorReport::of(&error.on_table(name.clone()))),
            }
            self.observer.finished(&name);
        }
        Ok(listing)
    }

    async fn plan_of(
        &self,
        table: &Table,
        settled: Settled,
        together: &[TableName],
        links: &mut Links,
    ) -> Result<PlanReport> {
        let Settled {
            environment,
            schema,
            lake,
            plan,
            found,
            definition,
            row_estimate,
            following,
            ..
        } = settled;
        let following = following.as_ref();
        let load = match &self.target {
            Some(side) => {
                let control = Links::control(&mut links.target, side, Kind::Target).await?;
                let extracted = load::Extracted {
                    found: &found,
                    following,
                    definition,
                    strategy: plan.strategy,
                    row_estimate,
                };
                let mut plan = load::plan(control, table, lake.as_ref(), extracted).await?;
                let reached = load::reached(self, table, together, control).await?;
                plan.warnings.extend(reached);
                Some(plan)
            }
            None => None,
        };
        let mut warnings = plan.warnings.clone();
        warnings.extend(
            following
                .iter()
                .flat_map(|following| following.warnings.clone()),
        );
        Ok(PlanReport {
            source: table.source.to_string(),
            lake: table.lake.to_string(),
            target: table.target.to_string(),
            server: server(&environment),
            strategy: plan.strategy.to_string(),
            why: plan.why.clone(),
            full_read: plan.full_read(),
            key: schema
                .key_columns()
                .map(|column| column.name.clone())
                .collect(),
            columns: follow::columns(&found),
            lower: plan.lower().map(ToString::to_string),
            upper: plan.end().map(ToString::to_string),
            rereads: plan.again().is_some(),
            creates_lake_table: lake.is_none(),
            schema_changes: following.map_or_else(Vec::new, |following| following.changes.clone()),
            statements: statements(&plan),
            load,
            warnings,
        })
    }
}

/// The statements that read the source. Of an empty window nothing is read.
fn statements(plan: &ExtractPlan) -> Vec<String> {
    let first = plan.steps().next().and_then(|step| step.first_read());
    first.map_or_else(Vec::new, |first| {
        let all = plan.session.iter().chain([&first]).chain(&plan.finish);
        all.map(|statement| statement.sql.clone()).collect()
    })
}

fn server(environment: &Environment) -> ServerReport {
    ServerReport {
        product: environment.product.to_string(),
        version: environment.version.clone(),
        collation: environment.server_collation.clone(),
        database: environment.database.clone(),
        database_collation: environment.database_collation.clone(),
        standing: environment.writability.standing().map(str::to_owned),
    }
}

async fn lake_status(table: &Table, lake: Option<&LakeTable>) -> Result<LakeStatus> {
    let latest = match lake {
        Some(lake) if lake.current_snapshot_id().is_some() => {
            Some(lake.resolve(SnapshotRef::Latest)?)
        }
        Some(_) | None => None,
    };
    Ok(LakeStatus {
        table: table.lake.to_string(),
        exists: lake.is_some(),
        location: lake.map(|lake| lake.location().to_owned()),
        rows: match lake {
            Some(lake) => lake.current_rows().await?,
            None => 0,
        },
        snapshots: lake.map_or(0, |lake| lake.snapshots().len()),
        sequence_number: latest.as_ref().map(|snapshot| snapshot.sequence_number),
        snapshot_id: latest.as_ref().map(|snapshot| snapshot.id),
        checkpoint: lake.map(LakeTable::checkpoint).transpose()?.flatten(),
        // What another engine made has no such record.
        columns: lake
            .and_then(|lake| follow::recorded(lake, None).ok())
            .map_or_else(Default::default, |recorded| follow::columns(&recorded)),
    })
}

fn target_status(looked: &Looked, table: &Table, lake: Option<&LakeTable>) -> TargetStatus {
    let loaded = looked.state.as_ref();
    let loaded = loaded.filter(|state| state.loaded().is_some());
    let standing = match (Found::of(looked), State::of(lake, looked.state.as_ref())) {
        (Found::Missing, _) => TargetStanding::Missing,
        (Found::There | Found::Recreated, State::None | State::Prepared) => {
            TargetStanding::NothingLoaded
        }
        (Found::Recreated, State::Here { .. } | State::Elsewhere) => TargetStanding::Recreated,
        (Found::There, State::Elsewhere) => TargetStanding::OtherLakeTable,
        (Found::There, State::Here { .. }) => TargetStanding::Loaded,
    };
    TargetStatus {
        table: table.target.to_string(),
        standing,
        loaded_from: loaded.map(|state| state.lake_table.clone()),
        snapshots_behind: load::behind(lake, looked),
        snapshot_id: loaded.and_then(LoadState::loaded),
        sequence_number: loaded.map(|state| state.sequence_number),
        loaded_at: loaded.map(|state| state.loaded_at.clone()),
        between: loaded
            .and_then(|state| state.pending.as_ref())
            .map(|pending| BetweenStatus {
                sequence_number: pending.sequence_number,
                rows: pending.rows,
                rows_applied: pending.applied,
            }),
        columns: load::chosen(table, lake),
        in_quarantine: looked.in_quarantine,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::error::{Disposition, Error};
    use crate::report::Exit;
    use crate::sync::{Observer, Phase};
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    struct Silent;

    impl Observer for Silent {
        fn phase(&self, _: &str, _: Phase, _: u64) {}
        fn retry(&self, _: &str, _: u32, _: Duration, _: &str) {}
        fn finished(&self, _: &str) {}
    }

    #[tokio::test]
    async fn a_panic_fails_its_table_and_no_other() {
        let text =
            "warehouse: { location: lake }\ntables: [{ source: a }, { source: b }, { source: c }]";
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("icesync.yaml");
        let config = Config::parse(Path::new(&file), text, |_| None).unwrap();
        let sync = Sync::new(&config, Arc::new(Silent)).await.unwrap();
        let looked = sync.each(config.tables.clone(), async |table, _| {
            match table.source.name.as_str() {
                "a" => std::panic::resume_unwind(Box::new("out of range")),
                "b" => Err(Error::new(Kind::Lake, Disposition::Definite, "damaged")),
                name => Ok(name.to_owned()),
            }
        });
        let listing = looked.await.unwrap();
        assert_eq!(listing.tables, ["c"]);
        assert_eq!(listing.exit(), Exit::Partial);
        let [panic, damaged] = listing.errors.as_slice() else {
            panic!("{:?}", listing.errors);
        };
        for part in ["dbo.a: ", "panic (out of range)", "report it"] {
            assert!(panic.message.contains(part), "{}", panic.message);
        }
        assert_eq!(damaged.message, "dbo.b: damaged");
    }
}
