//! What others do to the targets of a schedule.

use super::changes::Event;
use super::play::{Outcome, Play, ask};
use super::target::Target;
use crate::harness::{World, finish};

/// The targets of a schedule as they were; their rows are in tables of their own.
#[derive(Debug, Clone)]
pub struct Backup {
    targets: Vec<Target>,
}

const QUARANTINE: &str = "target, lake_table, snapshot_id, sequence_number, run_id, [key], operation, error_number, \
    error_message, [row], quarantined_at";

impl Play {
    pub async fn happens(&mut self, world: &mut World, event: &Event) -> Outcome {
        match event {
            Event::Drop(at) => self.drop(world, *at).await,
            Event::Recreate(at, rows) => {
                self.drop(world, *at).await?;
                self.make(world, *at).await?;
                self.refer(world, *at).await?;
                for row in rows {
                    self.target(world, row).await?;
                }
                self.look_again(world, *at).await
            }
            Event::Empty(at) => {
                let delete = format!("DELETE dbo.{}", self.schedule.tables[*at].name);
                self.write(world, *at, &delete).await
            }
            Event::Write(at, statement) => self.write(world, *at, statement).await,
            Event::Allow(at) => {
                if !self.targets[*at].checks {
                    return Ok(());
                }
                self.targets[*at].checks = false;
                let table = &self.schedule.tables[*at];
                let drop = format!(
                    "ALTER TABLE dbo.{} DROP CONSTRAINT {}",
                    table.name,
                    table.check_name()
                );
                self.target(world, &drop).await
            }
            Event::Remember => self.remember(world).await,
            Event::Restore => self.restore(world).await,
            Event::Discard(at) => self.discard(world, *at),
        }
    }

    async fn write(&mut self, world: &mut World, at: usize, statement: &str) -> Outcome {
        if self.targets[at].exists {
            self.target(world, statement).await?;
        }
        self.look_again(world, at).await
    }

    /// Creates a target, without foreign keys.
    pub async fn make(&mut self, world: &mut World, at: usize) -> Outcome {
        let table = self.schedule.tables[at].clone();
        self.target(world, &table.target()).await?;
        let before = &self.targets[at];
        self.targets[at] = Target {
            exists: true,
            rows: Vec::new(),
            generation: before.generation + 1,
            checks: table.checks,
            ..before.clone()
        };
        Ok(())
    }

    /// Adds the foreign keys of a target whose parents are there.
    pub async fn refer(&mut self, world: &mut World, at: usize) -> Outcome {
        let tables = self.schedule.tables.clone();
        for (column, parent) in tables[at].parents() {
            if self.targets[parent].exists {
                let (_, statement) = tables[at].foreign_key(column, &tables[parent]);
                self.target(world, &statement).await?;
                self.foreign_keys.insert((at, column));
            }
        }
        Ok(())
    }

    /// Of the foreign keys that are there: name, table, and the position of the table that it refers to.
    fn known_keys(&self) -> Vec<((usize, usize), String, usize)> {
        let tables = &self.schedule.tables;
        let keys = self.foreign_keys.iter().filter_map(|&(at, column)| {
            let mut parents = tables[at].parents().into_iter();
            let (_, parent) = parents.find(|(of, _)| *of == column)?;
            let (name, _) = tables[at].foreign_key(column, &tables[parent]);
            Some(((at, column), name, parent))
        });
        keys.collect()
    }

    async fn drop(&mut self, world: &mut World, at: usize) -> Outcome {
        if !self.targets[at].exists {
            return Ok(());
        }
        for (key, name, parent) in self.known_keys() {
            let child = self.schedule.tables[key.0].name.clone();
            if parent == at && key.0 != at {
                let drop = format!("ALTER TABLE dbo.{child} DROP CONSTRAINT {name}");
                self.target(world, &drop).await?;
            }
            if parent == at || key.0 == at {
                self.foreign_keys.remove(&key);
            }
        }
        self.met("a dropped table");
        let drop = format!("DROP TABLE dbo.{}", self.schedule.tables[at].name);
        self.target(world, &drop).await?;
        let before = &self.targets[at];
        self.targets[at] = Target {
            exists: false,
            rows: Vec::new(),
            checks: false,
            ..before.clone()
        };
        Ok(())
    }

    /// Names of the targets as the load state has them, as a list in T-SQL.
    fn names(&self) -> String {
        let tables = self.schedule.tables.iter();
        let names = tables.map(|table| format!("N'dbo.{}'", table.name));
        names.collect::<Vec<_>>().join(", ")
    }

    /// A table for a backup.
    fn kept(&self, what: &str) -> String {
        format!("dbo.kept_{:x}_{what}", self.schedule.seed)
    }

    async fn has(&self, world: &mut World, table: &str) -> Outcome<bool> {
        let found = ask(&mut world.target, &format!("SELECT OBJECT_ID(N'{table}')")).await?;
        Ok(found[0][0] != "NULL")
    }

    async fn keep(&mut self, world: &mut World, what: &str, columns: &str, from: &str) -> Outcome {
        let kept = self.kept(what);
        if self.has(world, &kept).await? {
            self.target(world, &format!("DROP TABLE {kept}")).await?;
        }
        let select = format!("SELECT {columns} INTO {kept} FROM {from}");
        self.target(world, &select).await
    }

    async fn remember(&mut self, world: &mut World) -> Outcome {
        let has_state = self.has(world, "icesync.load_state").await?;
        if !has_state || self.targets.iter().any(|target| !target.exists) {
            return Ok(());
        }
        let names = self.names();
        for table in self.schedule.tables.clone() {
            let from = format!("dbo.{}", table.name);
            self.keep(world, &table.name, "*", &from).await?;
        }
        let states = format!("icesync.load_state WHERE target IN ({names})");
        self.keep(world, "states", "*", &states).await?;
        if self.has(world, "icesync.quarantine").await? {
            let refused = format!("icesync.quarantine WHERE target IN ({names})");
            self.keep(world, "refused", QUARANTINE, &refused).await?;
        }
        self.backup = Some(Backup {
            targets: self.targets.clone(),
        });
        Ok(())
    }

    /// Rows, load states and quarantine are one backup. It is of tables that are still there.
    async fn restore(&mut self, world: &mut World) -> Outcome {
        let Some(backup) = self.backup.clone() else {
            return Ok(());
        };
        let mut both = self.targets.iter().zip(&backup.targets);
        if both.any(|(now, then)| !now.exists || now.generation != then.generation) {
            return Ok(());
        }
        self.met("a restore");
        let tables = self.schedule.tables.clone();
        let keys = self.known_keys();
        for ((child, _), name, _) in &keys {
            let child = &tables[*child].name;
            let suspend = format!("ALTER TABLE dbo.{child} NOCHECK CONSTRAINT {name}");
            self.target(world, &suspend).await?;
        }
        for table in &tables {
            let (name, kept) = (&table.name, self.kept(&table.name));
            self.target(world, &format!("DELETE dbo.{name}")).await?;
            let insert = format!("INSERT INTO dbo.{name} SELECT * FROM {kept}");
            self.target(world, &insert).await?;
        }
        for ((child, _), name, _) in &keys {
            let child = &tables[*child].name;
            let check = format!("ALTER TABLE dbo.{child} WITH CHECK CHECK CONSTRAINT {name}");
            self.target(world, &check).await?;
        }
        self.restore_states(world).await?;
        for (at, then) in backup.targets.into_iter().enumerate() {
            self.look_again(world, at).await?;
            if self.targets[at].rows != then.rows {
                return Err("the backup has other rows than the target had".to_owned());
            }
            let checks = self.targets[at].checks;
            self.targets[at] = Target { checks, ..then };
        }
        Ok(())
    }

    async fn restore_states(&mut self, world: &mut World) -> Outcome {
        let names = self.names();
        let kept = self.kept("states");
        for statement in [
            format!("DELETE icesync.load_state WHERE target IN ({names})"),
            format!("INSERT INTO icesync.load_state SELECT * FROM {kept}"),
        ] {
            self.target(world, &statement).await?;
        }
        if !self.has(world, "icesync.quarantine").await? {
            return Ok(());
        }
        let delete = format!("DELETE icesync.quarantine WHERE target IN ({names})");
        self.target(world, &delete).await?;
        let kept = self.kept("refused");
        if self.has(world, &kept).await? {
            let insert = format!(
                "INSERT INTO icesync.quarantine ({QUARANTINE}) SELECT {QUARANTINE} FROM {kept}"
            );
            self.target(world, &insert).await?;
        }
        Ok(())
    }

    fn discard(&mut self, world: &World, at: usize) -> Outcome {
        if self.targets[at].quarantine.is_empty() {
            return Ok(());
        }
        let table = format!("dbo.{}", self.schedule.tables[at].name);
        let args = ["quarantine", "discard", "--table", &table, "--all", "--yes"];
        self.log.push(format!("-- icesync {}", args.join(" ")));
        let run = finish(world.spawn(&args));
        self.targets[at].quarantine.clear();
        match run.code {
            0 => Ok(()),
            _ => Err(format!("the quarantine is not discarded: {run:#?}")),
        }
    }
}
