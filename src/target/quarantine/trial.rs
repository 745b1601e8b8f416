//! The open transaction of a load, in which parts of its rows are tried.

use super::refusal::is_by_a_row;
use crate::mssql::control::{Class, Control, Record};
use crate::mssql::error::{MssqlError, ServerError, ServerMessage};
use crate::mssql::sql::aside;
use crate::mssql::sql::merge::{self, MergePlan, NetTable};
use crate::mssql::sql::part::Part;
use crate::mssql::sql::state::{ERROR_STATE_MOVED, ERROR_TRANSACTION_ENDED};
use crate::target::TargetError;
use crate::target::merge::{LoadCounts, StateChange, explained};

/// What the statement of a part raises itself.
const OWN: [u32; 3] = [
    merge::ERROR_STAGED_ROWS,
    merge::ERROR_KEY_TWICE,
    ERROR_TRANSACTION_ENDED,
];

/// A transaction that grows by the parts that the target accepts. It is opened when a part is tried. Where a refusal
/// ends it, as that of a trigger does, it is opened again and the accepted parts are applied again, in their order.
pub struct Trial<'a> {
    control: &'a mut Control,
    plan: &'a MergePlan,
    net: NetTable,
    change: &'a StateChange,
    accepted: Vec<Part>,
    counts: LoadCounts,
    is_open: bool,
    attempts: u64,
}

impl<'a> Trial<'a> {
    pub fn new(
        control: &'a mut Control,
        plan: &'a MergePlan,
        net: NetTable,
        change: &'a StateChange,
    ) -> Self {
        Self {
            control,
            plan,
            net,
            change,
            accepted: Vec::new(),
            counts: LoadCounts::default(),
            is_open: false,
            attempts: 0,
        }
    }

    /// How many parts were tried.
    pub fn attempts(&self) -> u64 {
        self.attempts
    }

    /// The session, with the transaction open in it.
    pub async fn opened(&mut self) -> Result<&mut Control, TargetError> {
        if !self.is_open {
            self.open().await?;
        }
        Ok(self.control)
    }

    /// The session, whether or not the transaction is open in it.
    pub fn session(&mut self) -> &mut Control {
        self.control
    }

    /// What the accepted parts did.
    pub fn counts(&self) -> LoadCounts {
        self.counts
    }

    /// Applies a part. The answer is why the target refuses a row of it; none when it is applied. An error that no
    /// row can cause is an error.
    pub async fn try_part(&mut self, part: &Part) -> Result<Option<ServerError>, TargetError> {
        self.opened().await?;
        self.attempts += 1;
        match self.apply(part).await? {
            None => {
                self.accepted.push(part.clone());
                Ok(None)
            }
            Some(refusal) if is_by_a_row(refusal.number, &OWN) => Ok(Some(refusal)),
            Some(error) => Err(self.explained(MssqlError::Server(Box::new(error)))),
        }
    }

    async fn open(&mut self) -> Result<(), TargetError> {
        let opened = aside::open_load(self.plan, &self.net, self.change);
        for (statement, class) in [(aside::begin_load(), Class::QUICK), (opened, Class::LONG)] {
            let ran = self.control.run(&statement, class).await;
            ran.map_err(|error| match error.number() {
                // The transaction before has moved it: it was not rolled back.
                Some(ERROR_STATE_MOVED) if self.attempts > 0 => TargetError::TransactionEnded {
                    target: self.plan.target.clone(),
                    source: Box::new(error),
                },
                Some(_) | None => self.explained(error),
            })?;
        }
        self.is_open = true;
        self.counts = LoadCounts::default();
        for part in self.accepted.clone() {
            if let Some(refusal) = self.apply(&part).await? {
                return Err(TargetError::Unsteady {
                    target: self.plan.target.clone(),
                    source: Box::new(MssqlError::Server(Box::new(refusal))),
                });
            }
        }
        Ok(())
    }

    /// Applies a part in the open transaction; the error that refused it.
    async fn apply(&mut self, part: &Part) -> Result<Option<ServerError>, TargetError> {
        let plan = self.plan.of_part(part.clone());
        let sets = self
            .control
            .query_sets(&aside::apply_part(&plan), Class::LONG)
            .await
            .map_err(|error| self.explained(error))?;
        // Whatever triggers of the target return comes before.
        let row = sets.last().and_then(|rows| rows.first());
        let outcome = row
            .ok_or_else(|| MssqlError::Shape("no counts".into()))
            .and_then(Outcome::read)
            .map_err(|error| self.explained(error))?;
        self.is_open = outcome.is_open;
        if outcome.refusal.is_none() {
            self.counts = self.counts.and(outcome.counts);
        }
        Ok(outcome.refusal)
    }

    fn explained(&self, error: MssqlError) -> TargetError {
        let MergePlan {
            target,
            lock,
            lock_timeout_ms,
            ..
        } = self.plan;
        explained(target, lock, *lock_timeout_ms, error)
    }
}

/// What became of a part.
struct Outcome {
    counts: LoadCounts,
    refusal: Option<ServerError>,
    is_open: bool,
}

impl Outcome {
    fn read(row: &Record) -> Result<Self, MssqlError> {
        let small = |name| Ok::<_, MssqlError>(row.int_opt(name)?.unwrap_or(0));
        let refusal = match row.int_opt("number")? {
            Some(number) => {
                let number = u32::try_from(number).unwrap_or(0);
                let message = row.text_opt("message")?.unwrap_or_default();
                Some(ServerError {
                    number,
                    class: u8::try_from(small("severity")?).unwrap_or(0),
                    state: u8::try_from(small("state")?).unwrap_or(0),
                    message: ServerMessage::new(number, message),
                    procedure: row.text_opt("procedure_name")?.map(str::to_owned),
                    line: u32::try_from(small("line")?).unwrap_or(0),
                    statement: String::new(),
                })
            }
            None => None,
        };
        Ok(Self {
            counts: LoadCounts::read(row)?,
            refusal,
            is_open: row.int("open_transactions")? > 0,
        })
    }
}
