//! Compares what a run did, and said, with the model.

use super::play::{Outcome, Play, ask};
use super::schedule::{Command, Group, Step, Trouble};
use super::target::{Forecast, Request, Target, Wanted};
use crate::harness::{Run, World};
use serde_json::{Value, json};

/// A run of the command.
pub struct Ran {
    pub code: i32,
    /// None: it was killed.
    report: Option<Value>,
    /// A connection was lost: what was repeated is counted otherwise.
    is_disturbed: bool,
}

impl Ran {
    /// `is_disturbed`: a connection was lost.
    pub fn of(run: Run, trouble: &Trouble, is_disturbed: bool) -> Outcome<Self> {
        let is_killed = run.code == -1 && matches!(trouble, Trouble::Kill { .. });
        if run.stderr.contains("panicked") || run.code == -1 && !is_killed {
            return Err(format!("it does not end well: {run:#?}"));
        }
        let report = match is_killed {
            true => None,
            false => {
                let report: Option<Value> = serde_json::from_str(&run.stdout).ok();
                let report = report.filter(|report| report["tables"].is_array());
                Some(report.ok_or_else(|| format!("there is no report: {run:#?}"))?)
            }
        };
        if let (Some(report), false) = (&report, is_disturbed) {
            let expected = exit_code(report);
            if run.code != expected {
                return Err(format!(
                    "exit code {} instead of {expected}: {run:#?}",
                    run.code
                ));
            }
        }
        Ok(Self {
            code: run.code,
            report,
            is_disturbed,
        })
    }

    /// What is reported of a table; none where the run was killed.
    pub fn entry(&self, table: &str) -> Option<&Value> {
        let source = json!(format!("dbo.{table}"));
        let mut tables = self.report.as_ref()?["tables"].as_array()?.iter();
        tables.find(|entry| entry["source"] == source)
    }
}

/// The exit code that follows from a report, after the table in the guide.
fn exit_code(report: &Value) -> i32 {
    let tables = report["tables"].as_array().map_or(&[][..], Vec::as_slice);
    let errors: Vec<&Value> = tables.iter().map(|table| &table["error"]).collect();
    let failed = errors.iter().filter(|error| !error.is_null());
    let aside = tables.iter().any(|table| {
        let rows = table["load"]["in_quarantine"].as_u64();
        rows.is_some_and(|rows| rows > 0)
    });
    match failed.clone().count() {
        0 if aside => 4,
        0 => 0,
        some if some < tables.len() => 3,
        _ if failed
            .clone()
            .all(|error| error["disposition"] == "transient") =>
        {
            75
        }
        _ => 1,
    }
}

impl Play {
    /// The tables that a run loads, those that share a transaction together.
    pub fn groups(&self, step: &Step) -> Vec<Vec<usize>> {
        let tables = &self.schedule.tables;
        let is_mended = |at: &usize| step.command != Command::MendAll || tables[*at].is_keyed();
        let all: Vec<usize> = (0..tables.len()).filter(is_mended).collect();
        let alone = |at: usize| vec![at];
        if all.is_empty() {
            return Vec::new();
        }
        if step.command == Command::Retry {
            return all.into_iter().map(alone).collect();
        }
        match self.schedule.group {
            Group::None => all.into_iter().map(alone).collect(),
            Group::All => vec![all],
            Group::Auto => self.related(&all),
        }
    }

    /// Tables that foreign keys connect.
    fn related(&self, all: &[usize]) -> Vec<Vec<usize>> {
        let mut groups: Vec<Vec<usize>> = all.iter().map(|&at| vec![at]).collect();
        for &(child, column) in &self.foreign_keys {
            let parents = self.schedule.tables[child].parents();
            let parent = parents.iter().find(|(of, _)| *of == column);
            let Some(&(_, parent)) = parent else { continue };
            let place = |table| groups.iter().position(|group| group.contains(&table));
            let (Some(one), Some(other)) = (place(child), place(parent)) else {
                continue;
            };
            if one != other {
                let moved = groups[other].clone();
                groups[one].extend(moved);
                groups.remove(other);
            }
        }
        groups
    }

    /// What a run asks of a table's load; none where it loads nothing.
    fn request(&self, at: usize, step: &Step, is_grouped: bool) -> Option<Request> {
        let (table, lake) = (&self.schedule.tables[at], &self.lakes[at]);
        let latest = match (lake.current, &lake.strategy) {
            (Some(current), _) => Wanted::Snapshot(current),
            (None, Some(_)) => Wanted::Empty,
            (None, None) => Wanted::Nowhere,
        };
        let (wanted, full) = match step.command {
            Command::Extract => return None,
            Command::Sync | Command::Load => (latest, false),
            Command::LoadFull | Command::MendAll => (latest, true),
            Command::LoadAt(pick) => {
                let picked = self.picked(pick).map(Wanted::Snapshot);
                (picked.unwrap_or(latest), false)
            }
            Command::Retry if self.targets[at].quarantine.is_empty() => return None,
            Command::Retry => {
                let state = self.targets[at].state.as_ref();
                let loaded = state.and_then(|state| state.snapshot);
                (loaded.map_or(latest, Wanted::Snapshot), true)
            }
        };
        Some(Request {
            wanted,
            full,
            mode: table.mode_in(step),
            is_grouped,
            references_itself: self
                .foreign_keys
                .iter()
                .any(|&(child, column)| child == at && table.parents().contains(&(column, at))),
        })
    }

    /// Compares the targets of one transaction with what the model says of them.
    pub fn judge(&mut self, group: &[usize], step: &Step, ran: &Ran, found: &[Target]) -> Outcome {
        let mut forecasts = Vec::new();
        for &at in group {
            let (table, target) = (&self.schedule.tables[at], &self.targets[at]);
            forecasts.push(match self.request(at, step, group.len() > 1) {
                Some(request) => Forecast::of(table, &self.lakes[at], target, &request)?,
                None => Forecast::none(target),
            });
        }
        let fails = forecasts.iter().find_map(|forecast| forecast.fails.clone());
        if let (Some(why), true) = (&fails, step.source == self.schedule.last().source) {
            return Err(format!("nothing loads the last snapshot, because {why}"));
        }
        let mut finals = Vec::new();
        for (&at, forecast) in group.iter().zip(&forecasts) {
            let name = &self.schedule.tables[at].name;
            let place = match (ran.entry(name), &ran.report) {
                (Some(entry), _) => self.ended(at, forecast, &fails, (ran, entry), &found[at]),
                (None, Some(report)) => Err(format!("it is not reported: {report:#}")),
                (None, None) => self.died(forecast, &fails, step, &found[at]),
            };
            let place = place.map_err(|what| format!("dbo.{name}: {what}"))?;
            // Of a table whose stages look alike it is not known whether it is loaded.
            let is_known = alike(&forecast.stages, &found[at]) == 1;
            if forecast.has_rows() && forecast.fails.is_none() && is_known {
                finals.push(place + 1 == forecast.stages.len());
            }
            self.targets[at] = forecast.stages[place].clone();
            self.count(at, forecast, ran);
        }
        if group.len() > 1 {
            self.met("a group");
        }
        if group.len() > 1 && finals.contains(&true) && finals.contains(&false) {
            return Err(format!(
                "of the tables that are loaded together, these are loaded: {finals:?}"
            ));
        }
        Ok(())
    }

    /// Takes note of what has happened to a target.
    fn count(&mut self, at: usize, forecast: &Forecast, ran: &Ran) {
        let state = self.targets[at].state.as_ref();
        let is_between = state.is_some_and(|state| state.pending.is_some());
        for (is_met, what) in [
            (ran.report.is_none(), "a death"),
            (ran.is_disturbed, "a lost connection"),
            (forecast.fails.is_some(), "a refusal"),
            (forecast.counts[4] > 0, "rows set aside"),
            (is_between, "a target between two steps"),
        ] {
            if is_met {
                self.met(what);
            }
        }
        if let Some(kind) = forecast.kind {
            self.met(kind);
        }
    }

    /// The stage that a run which was killed has left.
    fn died(
        &self,
        forecast: &Forecast,
        fails: &Option<String>,
        step: &Step,
        found: &Target,
    ) -> Outcome<usize> {
        let place = left(&forecast.stages, found)?;
        let is_last = place + 1 == forecast.stages.len();
        let is_loaded = forecast.has_rows() && forecast.fails.is_none();
        if alike(&forecast.stages, found) > 1 {
            return Ok(place);
        }
        if is_last && is_loaded && fails.is_some() {
            return Err("it is loaded, although a table that it is loaded with is not".to_owned());
        }
        // Where there is one table, it is known which side of the commit the run died on.
        let is_alone = self.schedule.tables.len() == 1;
        match &step.trouble {
            Trouble::Kill { is_committed, .. }
                if is_alone && is_loaded && *is_committed != is_last =>
            {
                Err(format!(
                    "the run died and its load is committed: {is_last}, of {} stages it is {place}",
                    forecast.stages.len()
                ))
            }
            Trouble::Kill { .. } | Trouble::Drop { .. } | Trouble::None => Ok(place),
        }
    }

    /// The stage that a run has left which came to its end, and which must have said so.
    fn ended(
        &self,
        at: usize,
        forecast: &Forecast,
        fails: &Option<String>,
        (ran, entry): (&Ran, &Value),
        found: &Target,
    ) -> Outcome<usize> {
        let error = &entry["error"];
        let last = forecast.stages.len() - 1;
        match (fails, error.is_null()) {
            (None, false) => Err(format!("it fails: {entry:#}")),
            (Some(why), true) => Err(format!("it does not fail, although {why}: {entry:#}")),
            (Some(_), false) => {
                if error["disposition"] == "transient" && !ran.is_disturbed {
                    return Err(format!("it would fail again: {entry:#}"));
                }
                let open = match forecast.fails {
                    None if forecast.has_rows() => &forecast.stages[..last],
                    None | Some(_) => &forecast.stages[..],
                };
                left(open, found)
            }
            (None, true) => {
                let what = forecast.last().differs(found);
                match what {
                    Some(what) => Err(format!("{what}\n{entry:#}")),
                    None if ran.is_disturbed => Ok(last),
                    None => self.said(at, forecast, entry).map(|()| last),
                }
            }
        }
    }

    /// What a load says that it has done.
    fn said(&self, at: usize, forecast: &Forecast, entry: &Value) -> Outcome {
        let load = &entry["load"];
        let Some(kind) = forecast.kind else {
            return match load.is_null() {
                true => Ok(()),
                false => Err(format!("nothing was to be loaded: {entry:#}")),
            };
        };
        let (before, after) = (&self.targets[at], forecast.last());
        let [inserted, updated, deleted, unchanged, quarantined] = forecast.counts;
        let state = after.state.as_ref();
        let snapshot = state.and_then(|state| state.snapshot);
        let number = snapshot.map(|snapshot| self.lakes[at].number(snapshot));
        for (name, expected) in [
            ("kind", json!(kind)),
            ("inserted", json!(inserted)),
            ("updated", json!(updated)),
            ("deleted", json!(deleted)),
            ("unchanged", json!(unchanged)),
            ("quarantined", json!(quarantined)),
            ("in_quarantine", json!(after.quarantine.len())),
            ("sequence_number", json!(number)),
            ("created_target", json!(after.exists && !before.exists)),
        ] {
            if load[name] != expected {
                return Err(format!("{name} is not {expected}: {entry:#}"));
            }
        }
        let warnings = load["warnings"].as_array().map_or(&[][..], Vec::as_slice);
        let is_said = |part: &String| {
            let mut texts = warnings.iter().filter_map(Value::as_str);
            texts.any(|text| text.contains(&**part))
        };
        if let Some(part) = forecast.warnings.iter().find(|part| !is_said(part)) {
            return Err(format!("it does not say {part:?}: {entry:#}"));
        }
        let is_expected = |text: &str| {
            let mut parts = forecast.warnings.iter();
            text.contains("went back to snapshot") || parts.any(|part| text.contains(&**part))
        };
        let mut texts = warnings.iter().filter_map(Value::as_str);
        match texts.find(|text| !is_expected(text)) {
            Some(text) => Err(format!("it warns of {text:?}: {entry:#}")),
            None => Ok(()),
        }
    }
}

/// How many stages the target may be in.
fn alike(stages: &[Target], found: &Target) -> usize {
    let alike = stages.iter().filter(|stage| stage.differs(found).is_none());
    alike.count()
}

/// The last of some stages that a target is in.
fn left(stages: &[Target], found: &Target) -> Outcome<usize> {
    let differences: Vec<Option<String>> =
        stages.iter().map(|stage| stage.differs(found)).collect();
    let place = differences.iter().rposition(Option::is_none);
    place.ok_or_else(|| {
        let lines = differences.into_iter().flatten().enumerate();
        let lines = lines.map(|(at, what)| format!("not stage {at}: {what}"));
        let lines: Vec<String> = lines.collect();
        format!("the target is in none of its stages\n{}", lines.join("\n"))
    })
}

/// At the end nothing is wrong with any state, and every foreign key is enforced.
pub async fn verify(world: &mut World, plays: &mut [Play]) -> Outcome {
    if plays.iter().all(|play| play.failure.is_some()) {
        return Ok(());
    }
    let doubtful = "SELECT name FROM sys.foreign_keys WHERE is_disabled = 1 OR is_not_trusted = 1";
    let doubtful = ask(&mut world.target, doubtful).await?;
    let run = world.run(&["--json", "state", "verify"]);
    let listing: Value =
        serde_json::from_str(&run.stdout).map_err(|error| format!("{error}: {run:#?}"))?;
    for play in plays.iter_mut().filter(|play| play.failure.is_none()) {
        play.failure = verified(play, &listing, &doubtful).err();
    }
    Ok(())
}

fn verified(play: &Play, listing: &Value, doubtful: &[Vec<String>]) -> Outcome {
    for table in &play.schedule.tables {
        let source = json!(format!("dbo.{}", table.name));
        let tables = listing["tables"].as_array();
        let report = tables.and_then(|tables| tables.iter().find(|it| it["source"] == source));
        let report = report.ok_or_else(|| format!("nothing is verified: {listing:#}"))?;
        let findings = report["findings"].as_array().map_or(&[][..], Vec::as_slice);
        if findings.iter().any(|finding| finding["severity"] != "info") {
            return Err(format!("at the end: {report:#}"));
        }
        if table.is_keyed() && report["lake_rows"] != report["target_rows"] {
            return Err(format!("rows of lake and target: {report:#}"));
        }
        let key = format!("fk_{}_", table.name);
        if doubtful.iter().any(|name| name[0].contains(&*key)) {
            return Err(format!("foreign keys are not enforced: {doubtful:?}"));
        }
    }
    Ok(())
}
