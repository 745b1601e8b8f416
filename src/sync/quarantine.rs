//! The quarantine of targets: `icesync quarantine`, and what every run says of it.

use super::stage::lake_error;
use super::{Links, Sync, load};
use crate::config::Table;
use crate::error::{Disposition, Error, Kind, Result};
use crate::lake::SnapshotRef;
use crate::report::{DiscardReport, Listing, LoadReport, QuarantineReport, QuarantinedRow};
use crate::schema::shell_quoted;
use crate::target::quarantine::{self, Quarantined};
use crate::target::state::{self, LoadState, Looked};

impl Sync {
    /// The rows of each target that are in quarantine.
    pub async fn quarantined(self, tables: Vec<Table>) -> Result<Listing<QuarantineReport>> {
        self.target_side()?;
        self.each(tables, async |table, links| {
            let records = self.records(table, links).await?;
            let rows = records.iter().map(row).collect();
            Ok(QuarantineReport::of(table, rows))
        })
        .await
    }

    /// One row with its values, by its key as the list shows it.
    pub async fn quarantined_row(
        self,
        table: Table,
        key: &str,
    ) -> Result<Listing<QuarantineReport>> {
        self.target_side()?;
        self.each(vec![table], async |table, links| {
            let record = self.record(table, links, key).await?;
            let side = self.target_side()?;
            let control = Links::control(&mut links.target, side, Kind::Target).await?;
            let values = quarantine::values(control, &table.target, record.id).await?;
            let row = QuarantinedRow {
                values: Some(values.ok_or_else(|| unknown(table, key))?),
                ..row(&record)
            };
            Ok(QuarantineReport::of(table, vec![row]))
        })
        .await
    }

    /// Forgets one row of a table, or all (`key` is none); without `yes` only says which.
    pub async fn discard_quarantined(
        self,
        table: Table,
        key: Option<&str>,
        yes: bool,
    ) -> Result<Listing<DiscardReport>> {
        self.target_side()?;
        self.each(vec![table], async |table, links| {
            let records = match key {
                Some(key) => vec![self.record(table, links, key).await?],
                None => self.records(table, links).await?,
            };
            if yes {
                let side = self.target_side()?;
                let control = Links::control(&mut links.target, side, Kind::Target).await?;
                let ids: Vec<i64> = records.iter().map(|record| record.id).collect();
                quarantine::discard(control, &table.target, &ids).await?;
            }
            Ok(DiscardReport {
                source: table.source.to_string(),
                target: table.target.to_string(),
                keys: records.into_iter().map(|record| record.key).collect(),
                discarded: yes,
            })
        })
        .await
    }

    async fn records(&self, table: &Table, links: &mut Links) -> Result<Vec<Quarantined>> {
        let side = self.target_side()?;
        let control = Links::control(&mut links.target, side, Kind::Target).await?;
        Ok(quarantine::records(control, &table.target).await?)
    }

    async fn record(&self, table: &Table, links: &mut Links, key: &str) -> Result<Quarantined> {
        let records = self.records(table, links).await?;
        let found = records.into_iter().find(|record| record.key == key);
        found.ok_or_else(|| unknown(table, key))
    }

    /// Says in the report of a load how many rows of its target are in quarantine now, where the quarantine had some
    /// before or the load has put some into it. The load has succeeded: where they cannot be counted, it only warns.
    pub(super) async fn count_refused(
        &self,
        table: &Table,
        load: &mut LoadReport,
        links: &mut Links,
    ) {
        if load.in_quarantine == 0 && load.quarantined == 0 {
            return;
        }
        match self.looked(table, links).await {
            Ok(looked) => load.in_quarantine = looked.in_quarantine,
            Err(error) => load.warnings.push(format!(
                "the rows in quarantine could not be counted: {}",
                error.report()
            )),
        }
    }

    async fn looked(&self, table: &Table, links: &mut Links) -> Result<Looked> {
        let side = self.target_side()?;
        let control = Links::control(&mut links.target, side, Kind::Target).await?;
        Ok(state::look(control, &table.target).await?)
    }

    /// What a retry loads: the whole of the snapshot that the target holds. None where nothing is in quarantine.
    ///
    /// A retry compares every row of the snapshot, not only the quarantined ones. The lake finds rows by file and
    /// position, and reads a table to find a key; and a record may be older than the columns of the table. A load of
    /// the whole is right whatever has changed in the target since, and its quarantine is exactly what is refused
    /// now.
    pub(super) async fn to_retry(
        &self,
        table: &Table,
        links: &mut Links,
    ) -> Result<Option<(SnapshotRef, bool)>> {
        let looked = self.looked(table, links).await?;
        if looked.in_quarantine == 0 {
            return Ok(None);
        }
        let Some(loaded) = looked.state.as_ref().and_then(LoadState::loaded) else {
            return Ok(Some((SnapshotRef::Latest, true)));
        };
        if !load::lake_table(self, table).await?.has_snapshot(loaded) {
            return Err(lake_error(format!(
                "the quarantined rows of {} cannot be loaded again from snapshot {loaded}, which lake table {} no \
                 longer has. Run `icesync load --full`, which loads the whole of the latest snapshot",
                table.target, table.lake
            )));
        }
        Ok(Some((SnapshotRef::Number(loaded), true)))
    }
}

fn unknown(table: &Table, key: &str) -> Error {
    let message = format!(
        "no row with the key {key} is in the quarantine of {}; `icesync quarantine list --table {}` lists the keys",
        table.target,
        shell_quoted(&table.source)
    );
    Error::new(Kind::Target, Disposition::Definite, message)
}

fn row(record: &Quarantined) -> QuarantinedRow {
    QuarantinedRow {
        key: record.key.clone(),
        operation: if record.is_delete { "delete" } else { "upsert" },
        error_number: record.error_number,
        error_message: record.error_message.clone(),
        lake_table: record.lake_table.clone(),
        snapshot_id: record.snapshot_id,
        sequence_number: record.sequence_number,
        run_id: record.run_id.clone(),
        quarantined_at: record.quarantined_at.clone(),
        values: None,
    }
}
