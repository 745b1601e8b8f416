//! Compares the lake after a run with what the strategy of a table promises.

use super::lake::{Lake, Version, latest};
use super::strategies::{Moment, Owed};
use super::table::{Row, Rows, Table};
use crate::model::play::Outcome;
use crate::model::rows::Key;
use crate::schedules::Tally;
use std::collections::BTreeSet;

/// What a run was to do with a table.
#[derive(Debug, Clone)]
pub enum Duty {
    /// It reads nothing.
    Nothing,
    /// It came to its end.
    Read(Moment),
    /// It died, or went on with ranges that a run before it had read: it may have committed any part.
    Part,
}

/// A table before a run and after it.
pub struct Case<'a> {
    pub table: &'a Table,
    pub before: &'a Lake,
    pub after: &'a Lake,
    /// The source.
    pub source: &'a Rows,
    /// The source when runs died whose ranges may still be used.
    pub parked: &'a [Rows],
}

impl Case<'_> {
    /// What is wrong with a key, or nothing.
    pub fn judge(&self, duty: &Duty, met: &mut Tally) -> Outcome {
        let keys: BTreeSet<&Key> = (self.before.keys().chain(self.after.keys()))
            .chain(self.source.keys())
            .collect();
        for key in keys {
            let judged = self.judge_key(duty, key, met);
            judged.map_err(|what| {
                let known = [self.before, self.after].map(|lake| latest(lake, key));
                let [before, after] = known;
                let source = self.source.get(key);
                format!(
                    "dbo.{}, key {key:?}: {what}\n  lake before: {before:?}\n  lake after: {after:?}\n  source: \
                     {source:?}\n  {duty:?}",
                    self.table.name
                )
            })?;
        }
        Ok(())
    }

    fn judge_key(&self, duty: &Duty, key: &Key, met: &mut Tally) -> Outcome {
        let table = self.table;
        let (before, after) = (latest(self.before, key), latest(self.after, key));
        let source = self.source.get(key);
        let owed = match duty {
            Duty::Nothing => Owed::AsBefore,
            Duty::Read(moment) => (table.strategy.owes)(moment, before, source),
            Duty::Part => Owed::Either,
        };
        let parked = self.parked.iter().map(|rows| rows.get(key));
        let allowed: Vec<Option<&Row>> = match owed {
            Owed::AsSource => vec![source],
            Owed::AsBefore => vec![before],
            Owed::Either => [before, source].into_iter().chain(parked).collect(),
        };
        if !allowed.iter().any(|row| table.same(*row, after)) {
            return Err(format!("{owed:?} is owed"));
        }
        if let (Owed::AsBefore, Duty::Read(_)) = (owed, duty)
            && !table.same(before, source)
        {
            let what = match source {
                Some(_) => "a row that is not seen",
                None => "a row that stays",
            };
            *met.entry(what).or_default() += 1;
        }
        match table.is_history {
            true => self.judge_versions(key),
            false => Ok(()),
        }
    }

    /// What a history had stays as it was, and what a run adds to a key is one version that it did not have.
    fn judge_versions(&self, key: &Key) -> Outcome {
        let [old, new] =
            [self.before, self.after].map(|lake| lake.get(key).map_or(&[][..], Vec::as_slice));
        if !new.starts_with(old) {
            return Err(format!("versions have changed: {old:?}, then {new:?}"));
        }
        match &new[old.len()..] {
            [] => Ok(()),
            [added] if self.is_there(added, old) => {
                Err(format!("a version is there twice: {added:?}, {old:?}"))
            }
            [_] => Ok(()),
            more => Err(format!("a run has added {} versions: {more:?}", more.len())),
        }
    }

    /// Whether a history had a version already. A version without a mark of its own may come back after another one.
    fn is_there(&self, added: &Version, old: &[Version]) -> bool {
        if added.is_gone {
            return old.last().is_none_or(|last| last.is_gone);
        }
        let mut known = old.iter().rev();
        let is_same = |version: &Version| !version.is_gone && version.row == added.row;
        match self.table.is_marked(&added.row) {
            true => known.any(is_same),
            false => known.next().is_some_and(is_same),
        }
    }
}
