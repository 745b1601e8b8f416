//! Several tables, loaded in one transaction of the target: a reader never sees the orders of one snapshot with the
//! lines of another. [`crate::target::foreign`] argues the order of the tables and why all of them are loaded or none.
//!
//! The load locks of all targets are taken in the order of their names, so that two such loads wait for each other and
//! not in a circle. Then each table is made ready as if it were alone: its target follows in its columns, its rows are
//! staged, its net changes are computed. The transaction comes last. A death before its commit leaves what a death of
//! the single loads would leave.

use super::Begun;
use super::work::{Filled, Ready, Settled, Work};
use crate::change::{Cycles, MergeMode, RunId};
use crate::config::Table;
use crate::error::{Disposition, Error, Kind};
use crate::lake::SnapshotRef;
use crate::mssql::control::Control;
use crate::report::LoadReport;
use crate::schema::TableName;
use crate::sync::stop::{APPLYING, PREPARING};
use crate::sync::{Links, Sync};
use crate::target::fill;
use crate::target::foreign::{self, ForeignKey, Order};
use crate::target::merge::{self, Applied, Extent, StateChange};
use std::time::Instant;

/// A group that was not loaded.
pub struct Failed {
    /// Position of the table that the error is about; none where it is about all of them.
    pub table: Option<usize>,
    pub error: Error,
}

impl Failed {
    fn at(table: usize) -> impl Fn(Error) -> Self {
        move |error| Self {
            table: Some(table),
            error,
        }
    }
}

impl<E: Into<Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self {
            table: None,
            error: error.into(),
        }
    }
}

/// Loads the tables; the reports are in their order.
pub async fn load_group(
    sync: &Sync,
    run_id: RunId,
    tables: &[Table],
    wanted: SnapshotRef,
    full: bool,
    links: &mut Links,
) -> std::result::Result<Vec<LoadReport>, Failed> {
    check_rows(tables)?;
    let clock = Instant::now();
    let mut by_name: Vec<usize> = (0..tables.len()).collect();
    by_name.sort_by_key(|&at| tables[at].target.to_string().to_lowercase());
    let mut begun: Vec<(usize, Begun<'_>)> = Vec::new();
    for at in by_name {
        let one = Begun::begin(sync, run_id, &tables[at], wanted, full, false, links).await;
        begun.push((at, one.map_err(Failed::at(at))?));
    }
    begun.sort_by_key(|(at, _)| *at);
    let mut members = Vec::new();
    let mut reports: Vec<Option<LoadReport>> = Vec::new();
    for (at, begun) in &mut begun {
        reports.push(None);
        let Some(mut work) = begun.work.take() else {
            continue;
        };
        work.is_grouped = true;
        let ready = sync.stop.cut(PREPARING, work.ready(links)).await;
        match ready.map_err(Failed::at(*at))? {
            Ready::Done(report) => reports[*at] = Some(*report),
            Ready::Filled(work, filled) => members.push(Member {
                at: *at,
                work,
                part: Part::Filled(filled),
                applied: Applied::default(),
            }),
            Ready::Staged(work, settled) => members.push(Member {
                at: *at,
                work,
                part: Part::Staged(settled),
                applied: Applied::default(),
            }),
        }
    }
    transaction(sync, tables, &mut members, links).await?;
    for member in members {
        let at = member.at;
        reports[at] = Some(member.report());
    }
    let mut done = Vec::new();
    for ((_, begun), report) in begun.into_iter().zip(reports) {
        let mut report = begun.end(report, links).await;
        report.seconds = clock.elapsed().as_secs_f64();
        done.push(report);
    }
    Ok(done)
}

/// Refuses tables whose refused rows are to be set aside: that takes a transaction of one table, which can try parts of
/// its rows.
fn check_rows(tables: &[Table]) -> std::result::Result<(), Failed> {
    let isolates = |table: &&Table| table.merge.quarantine.is_some();
    let Some(first) = tables.iter().position(|table| isolates(&table)) else {
        return Ok(());
    };
    let names = |tables: &mut dyn Iterator<Item = &Table>| {
        let names: Vec<String> = tables.map(|table| table.source.to_string()).collect();
        names.join(", ")
    };
    let message = format!(
        "tables {} are loaded in one transaction, in which rows that a target refuses cannot be set aside. \
         `merge.on_bad_row: quarantine` is set for {}. Nothing was loaded. Set `load: {{ group: none }}`, which loads \
         each table in a transaction of its own, or `on_bad_row: stop`",
        names(&mut tables.iter()),
        names(&mut tables.iter().filter(isolates))
    );
    let error = Error::new(Kind::Target, Disposition::Definite, message);
    Err(Failed::at(first)(error))
}

/// A table of the transaction.
struct Member<'a> {
    /// Position among the tables of the group.
    at: usize,
    work: Box<Work<'a>>,
    part: Part,
    applied: Applied,
}

enum Part {
    Filled(Box<Filled>),
    Staged(Box<Settled>),
}

impl Member<'_> {
    fn target(&self) -> &TableName {
        &self.work.table.target
    }

    fn change(&self) -> &StateChange {
        match &self.part {
            Part::Filled(filled) => &filled.change,
            Part::Staged(settled) => &settled.change,
        }
    }

    /// Whether its deletes have to wait for those of other tables.
    fn deletes(&self) -> bool {
        match &self.part {
            Part::Filled(_) => false,
            Part::Staged(settled) => {
                settled.plan.has_deletes || settled.plan.mode == MergeMode::Replace
            }
        }
    }

    /// Leaves the columns of a foreign key for later.
    fn defer(&mut self, key: &ForeignKey) {
        let Part::Staged(settled) = &mut self.part else {
            return;
        };
        let columns = settled.plan.columns.iter().enumerate();
        let of_key = columns.filter(|(_, column)| {
            key.columns
                .iter()
                .any(|name| name.eq_ignore_ascii_case(&column.name))
        });
        // Two keys may share a column.
        let deferred = &settled.plan.deferred;
        let of_key = of_key.map(|(at, _)| at).filter(|at| !deferred.contains(at));
        let of_key: Vec<usize> = of_key.collect();
        settled.plan.deferred.extend(of_key);
    }

    fn is_deferred(&self) -> bool {
        match &self.part {
            Part::Filled(_) => false,
            Part::Staged(settled) => !settled.plan.deferred.is_empty(),
        }
    }

    /// When the target was altered last. It is altered again by this transaction, which holds a lock on it from then
    /// on.
    fn forget_modified(&mut self) -> String {
        let change = match &mut self.part {
            Part::Filled(filled) => &mut filled.change,
            Part::Staged(settled) => &mut settled.change,
        };
        std::mem::take(&mut change.modified)
    }

    async fn run(
        &mut self,
        control: &mut Control,
        extent: Extent,
    ) -> std::result::Result<(), Failed> {
        let applied = match &self.part {
            Part::Filled(filled) => {
                fill::publish(control, &filled.publication, &filled.change, extent).await
            }
            Part::Staged(settled) => {
                merge::apply(control, &settled.plan, &settled.change, extent).await
            }
        };
        let applied = applied.map_err(|error| Failed::at(self.at)(error.into()))?;
        self.applied = self.applied.and(applied);
        Ok(())
    }

    fn report(self) -> LoadReport {
        let rows = match &self.part {
            Part::Filled(filled) => filled.rows(),
            Part::Staged(settled) => settled.rows,
        };
        self.work.report(rows, &self.applied)
    }
}

/// Refuses foreign keys that would take rows which a load keeps, also of tables that have nothing to load now.
fn check_kept(tables: &[Table], keys: &[ForeignKey]) -> std::result::Result<(), Failed> {
    let targets: Vec<TableName> = tables.iter().map(|table| table.target.clone()).collect();
    let keeps: Vec<bool> = tables
        .iter()
        .map(|table| table.merge.keeps_rows())
        .collect();
    let checked = foreign::check_kept(&targets, &keeps, keys);
    checked.map_err(|(child, error)| Failed::at(child)(error.into()))
}

/// All of them or none.
async fn transaction(
    sync: &Sync,
    tables: &[Table],
    members: &mut [Member<'_>],
    links: &mut Links,
) -> std::result::Result<(), Failed> {
    if members.is_empty() {
        return Ok(());
    }
    let side = sync.target_side()?;
    let control = Links::control(&mut links.target, side, Kind::Target).await?;
    // Dropped, it is rolled back; the commit is not dropped.
    sync.stop
        .cut(APPLYING, opened(sync, tables, members, control))
        .await?;
    let committed = foreign::commit(control).await.map(|()| Applied::default());
    if let Some(first) = members.first() {
        first.work.settled(links, committed, first.change()).await?;
    }
    Ok(())
}

/// The transaction, up to its commit.
async fn opened(
    sync: &Sync,
    tables: &[Table],
    members: &mut [Member<'_>],
    control: &mut Control,
) -> std::result::Result<(), Failed> {
    let targets: Vec<TableName> = members
        .iter()
        .map(|member| member.target().clone())
        .collect();
    let keys = foreign::read(control).await?;
    check_kept(tables, &keys)?;
    let together: Vec<TableName> = tables.iter().map(|table| table.target.clone()).collect();
    for member in members.iter_mut().filter(|member| member.deletes()) {
        let reached = foreign::reached(member.target(), &sync.targets, &together, &keys);
        member.work.warnings.extend(reached);
    }
    let (order, suspends) = match (foreign::order(&targets, &keys), sync.load.cycles) {
        (Ok(order), Cycles::Defer) => (order, false),
        (Ok(order), Cycles::Recheck) if order.deferred.is_empty() => (order, false),
        (Err(error), Cycles::Defer) => return Err(error.into()),
        (Ok(_) | Err(_), Cycles::Recheck) => {
            let tables = (0..members.len()).collect();
            let order = Order {
                tables,
                deferred: Vec::new(),
            };
            (order, true)
        }
    };
    for &(key, child) in &order.deferred {
        members[child].defer(&keys[key]);
    }
    foreign::begin(control).await?;
    if suspends {
        // All of them before the first is altered: that may count as an alteration of the tables it refers to.
        for member in members.iter_mut() {
            let modified = member.forget_modified();
            if !modified.is_empty() {
                foreign::hold(control, member.target(), &modified).await?;
            }
        }
        for target in &targets {
            let among = foreign::among(target, &targets, &keys);
            if !among.is_empty() {
                foreign::suspend(control, target, &among).await?;
            }
        }
    }
    let enforced: &[ForeignKey] = if suspends { &[] } else { &keys };
    parts(control, members, &targets, enforced, &order).await?;
    if suspends {
        for target in &targets {
            let among = foreign::among(target, &targets, &keys);
            if !among.is_empty() {
                foreign::recheck(control, target, &among).await?;
            }
            foreign::same_transaction(control, target).await?;
        }
    }
    Ok(())
}

/// The parts of the loads, in the order that the foreign keys allow.
async fn parts(
    control: &mut Control,
    members: &mut [Member<'_>],
    targets: &[TableName],
    keys: &[ForeignKey],
    order: &Order,
) -> std::result::Result<(), Failed> {
    let mut split = Vec::new();
    for &at in &order.tables {
        let member = &mut members[at];
        let waits = member.deletes() && foreign::is_parent(at, targets, keys);
        let extent = match waits || member.is_deferred() {
            true => {
                split.push(at);
                Extent::Upserts
            }
            false => Extent::Everything,
        };
        member.run(control, extent).await?;
    }
    for &at in &order.tables {
        if members[at].is_deferred() {
            members[at].run(control, Extent::Deferred).await?;
        }
    }
    for &at in split.iter().rev() {
        members[at].run(control, Extent::Deletes).await?;
    }
    Ok(())
}
