//! What executing code carries: the locked state, the session, and the statement's own scratch.

use crate::engine::calendar::TICKS_PER_MINUTE;
use crate::engine::collation::Collate;
use crate::engine::fault::{Outcome, Stop, error};
use crate::engine::functions::EvalContext;
use crate::engine::locks::{Mode, Owner, Resource};
use crate::engine::schema::{Object, ObjectRef, Row};
use crate::engine::state::{Shared, State, Transaction};
use crate::session::{ColumnMeta, Event, Sink, SqlError};
use crate::sql::ast::IsolationLevel;
use crate::value::{SqlType, Value};
use std::collections::{HashMap, HashSet};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};

/// The state's lock, which a statement gives up while it waits or while a client is slow.
pub struct Held<'a> {
    shared: &'a Shared,
    guard: Option<MutexGuard<'a, State>>,
}

impl<'a> Held<'a> {
    pub fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            guard: None,
        }
    }

    pub fn lock(&mut self) {
        if self.guard.is_none() {
            self.guard = Some(self.shared.lock());
        }
    }

    pub fn unlock(&mut self) {
        self.guard = None;
    }

    /// Gives the lock up, but not inside an atomic statement.
    pub fn unlock_unless(&mut self, atomic: bool) {
        if !atomic {
            self.unlock();
        }
    }

    pub fn is_locked(&self) -> bool {
        self.guard.is_some()
    }

    /// Waits for the bell, at most so long.
    pub fn sleep(&mut self, time: std::time::Duration) {
        if let Some(guard) = self.guard.take() {
            self.guard = Some(self.shared.sleep(guard, time));
        }
    }
}

impl Deref for Held<'_> {
    type Target = State;
    fn deref(&self) -> &State {
        match &self.guard {
            Some(guard) => guard,
            None => unreachable!("the state is read only under its lock"),
        }
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut State {
        match &mut self.guard {
            Some(guard) => guard,
            None => unreachable!("the state is changed only under its lock"),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Variable {
    pub name: String,
    pub ty: SqlType,
    pub collate: Option<Arc<Collate>>,
    pub value: Value,
}

/// The rows a trigger sees.
#[derive(Debug)]
pub struct TriggerRows {
    pub table: ObjectRef,
    pub inserted: Vec<Row>,
    pub deleted: Vec<Row>,
    /// Ordinals that the statement assigned.
    pub updated: Vec<usize>,
}

/// A scope of names: a batch, an `sp_executesql`, a trigger.
#[derive(Debug, Default)]
pub struct Frame {
    pub variables: Vec<Variable>,
    pub names: HashMap<String, usize>,
    pub tables: HashMap<String, ObjectRef>,
    pub temporary: Vec<ObjectRef>,
    pub trigger: Option<Arc<TriggerRows>>,
    /// The trigger's last statement was ROLLBACK or COMMIT.
    pub ends: bool,
    pub identity: Option<i128>,
}

impl Frame {
    pub fn declare(&mut self, variable: Variable) -> Result<usize, SqlError> {
        let key = variable.name.to_lowercase();
        if self.names.contains_key(&key) {
            return Err(error(
                134,
                15,
                format!(
                    "The variable name '{}' has already been declared. Variable names must be unique within a query \
                        batch or stored procedure.",
                    variable.name
                ),
            ));
        }
        let index = self.variables.len();
        self.variables.push(variable);
        self.names.insert(key, index);
        Ok(index)
    }
}

/// TEXTSIZE where nothing sets it, in bytes.
pub const TEXT_SIZE: i32 = 4096;

/// What SET sets.
#[derive(Debug, Clone)]
pub struct Settings {
    pub isolation: IsolationLevel,
    pub xact_abort: bool,
    pub no_count: bool,
    pub fmt_only: bool,
    pub no_exec: bool,
    pub parse_only: bool,
    pub implicit_transactions: bool,
    pub ansi_nulls: bool,
    pub quoted_identifier: bool,
    pub arith_abort: bool,
    pub ansi_warnings: bool,
    pub ansi_padding: bool,
    pub concat_null: bool,
    pub numeric_round_abort: bool,
    pub ansi_null_dflt_on: bool,
    pub cursor_close_on_commit: bool,
    /// Milliseconds; -1 waits for ever.
    pub lock_timeout: i32,
    pub deadlock_priority: i32,
    pub row_count: u64,
    /// Bytes; -1 is without limit.
    pub text_size: i32,
    pub datefirst: u8,
    pub dateformat: Arc<str>,
    pub language: Arc<str>,
    pub identity_insert: Option<ObjectRef>,
    pub context_info: Vec<u8>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            isolation: IsolationLevel::ReadCommitted,
            xact_abort: false,
            no_count: false,
            fmt_only: false,
            no_exec: false,
            parse_only: false,
            implicit_transactions: false,
            ansi_nulls: true,
            quoted_identifier: true,
            arith_abort: true,
            ansi_warnings: true,
            ansi_padding: true,
            concat_null: true,
            numeric_round_abort: false,
            ansi_null_dflt_on: true,
            cursor_close_on_commit: false,
            lock_timeout: -1,
            deadlock_priority: 0,
            row_count: 0,
            text_size: 2_147_483_647,
            datefirst: 7,
            dateformat: "mdy".into(),
            language: "us_english".into(),
            identity_insert: None,
            context_info: Vec::new(),
        }
    }
}

impl Settings {
    /// As a login leaves them: without fODBC, large values come cut to 4096 bytes, and the ANSI options are OFF. (What
    /// the stand-in does with ANSI_NULLS and ANSI_PADDING is the same either way: it only tells that they are OFF.)
    /// ([MS-TDS] 2.2.6.4, LOGIN7, OptionFlags2.)
    pub fn at_login(odbc: bool) -> Self {
        let settings = Self::default();
        match odbc {
            true => settings,
            false => Self {
                text_size: TEXT_SIZE,
                ansi_nulls: false,
                ansi_null_dflt_on: false,
                ansi_padding: false,
                ansi_warnings: false,
                quoted_identifier: false,
                ..settings
            },
        }
    }

    /// A trigger, `sp_executesql` or `EXEC (...)` ends: settings are as they were before it, except for CONTEXT_INFO.
    pub fn leave_module(&mut self, before: Settings) {
        let context_info = std::mem::take(&mut self.context_info);
        *self = Settings {
            context_info,
            ..before
        };
    }

    /// Takes a language, with its order of dates and first day of a week.
    pub fn speak(&mut self, language: &str) {
        let british = language.to_ascii_lowercase().starts_with("british");
        self.language = if british {
            "British".into()
        } else {
            "us_english".into()
        };
        self.dateformat = if british { "dmy".into() } else { "mdy".into() };
        self.datefirst = if british { 1 } else { 7 };
    }
}

/// One connection's side of the engine.
pub struct Ses {
    pub id: u32,
    pub login: String,
    pub app: String,
    pub host: String,
    pub database: usize,
    pub home_database: usize,
    /// Where RESETCONNECTION goes back to.
    pub login_database: usize,
    /// The login's fODBC, which RESETCONNECTION goes back to as well.
    pub odbc: bool,
    /// Global temporary tables that the session made.
    pub global_temporary: Vec<ObjectRef>,
    pub settings: Settings,
    pub frames: Vec<Frame>,
    pub transaction: Option<Transaction>,
    pub row_count: i64,
    pub last_error: i32,
    pub last_identity: Option<i128>,
    /// Errors that the CATCH blocks in progress handle, innermost last.
    pub caught: Vec<SqlError>,
    /// Temporary tables of the session by folded name.
    /// Dropping or rolling back leaves dead entries, so that both directions of a rollback find the right one.
    pub temporary: Vec<(String, ObjectRef)>,
    pub session_context: HashMap<String, (Value, SqlType)>,
    pub prepared: HashMap<i32, (String, String)>,
    pub nest_level: u32,
}

impl Ses {
    pub fn new(id: u32, login: String, app: &str, host: &str, database: usize) -> Self {
        Self {
            id,
            login,
            app: app.to_string(),
            host: host.to_string(),
            database,
            home_database: database,
            login_database: database,
            odbc: true,
            global_temporary: Vec::new(),
            settings: Settings::default(),
            frames: vec![Frame::default()],
            transaction: None,
            row_count: 0,
            last_error: 0,
            last_identity: None,
            caught: Vec::new(),
            temporary: Vec::new(),
            session_context: HashMap::new(),
            prepared: HashMap::new(),
            nest_level: 0,
        }
    }

    /// The session's temporary table of a name, the newest that exists.
    pub fn temporary_table(&self, state: &State, name: &str) -> Option<ObjectRef> {
        let key = crate::engine::schema::fold(name);
        self.temporary
            .iter()
            .rev()
            .filter(|(known, _)| *known == key)
            .map(|(_, at)| *at)
            .find(|at| state.database(at.database).objects.contains_key(&at.id))
    }

    pub fn frame(&self) -> &Frame {
        match self.frames.last() {
            Some(frame) => frame,
            None => unreachable!("a session always has a frame"),
        }
    }

    pub fn frame_mut(&mut self) -> &mut Frame {
        match self.frames.last_mut() {
            Some(frame) => frame,
            None => unreachable!("a session always has a frame"),
        }
    }

    /// `@@TRANCOUNT`
    pub fn tran_count(&self) -> u32 {
        self.transaction
            .as_ref()
            .map_or(0, |transaction| transaction.count)
    }

    pub fn transaction_id(&self) -> u64 {
        self.transaction
            .as_ref()
            .map_or(0, |transaction| transaction.id)
    }
}

#[derive(Default)]
pub struct ValueSet {
    pub keys: HashSet<Box<[u8]>>,
    pub has_null: bool,
}

/// Results of uncorrelated subqueries, for the statement's length.
pub enum Cached {
    Scalar(Value),
    Set(Arc<ValueSet>),
}

/// Everything that running code needs.
pub struct Cx<'a> {
    pub shared: &'a Shared,
    pub held: Held<'a>,
    pub ses: &'a mut Ses,
    pub sink: &'a mut dyn Sink,
    pub cancel: &'a AtomicBool,
    /// The statement's UTC time, 100 ns ticks since 0001-01-01.
    pub now: i64,
    /// The commit time as of which READ COMMITTED reads its versions.
    pub read_time: u64,
    pub outer: Vec<Vec<Value>>,
    pub cache: HashMap<usize, Cached>,
    /// Tables whose locks the statement already has.
    pub locked: Vec<(ObjectRef, u64)>,
    /// Rows of the recursive queries in progress.
    pub work: Vec<Arc<Vec<Vec<Value>>>>,
    /// Set while a statement must stay atomic: in DML and in triggers.
    pub atomic: u32,
    /// Events of an atomic statement, sent when it is done.
    pub buffered: Vec<Event>,
    /// TRY blocks in progress.
    pub tries: u32,
    /// Rows of the running SELECT are out.
    pub streamed: bool,
    /// The running SELECT reads row by row, and waits where it is.
    pub walks: bool,
    /// The object that the catalog view being read is asked for.
    pub sought: Option<i32>,
    /// A batch is being compiled: its statements are bound, take no locks and run no further.
    pub compiling: bool,
    /// The bulk load that the batch opened.
    pub bulk: Option<crate::engine::dml::bulk::Bulk>,
}

impl<'a> Cx<'a> {
    pub fn new(
        shared: &'a Shared,
        ses: &'a mut Ses,
        sink: &'a mut dyn Sink,
        cancel: &'a AtomicBool,
    ) -> Self {
        Self {
            shared,
            held: Held::new(shared),
            ses,
            sink,
            cancel,
            now: shared.options.clock.now(),
            read_time: 0,
            outer: Vec::new(),
            cache: HashMap::new(),
            locked: Vec::new(),
            work: Vec::new(),
            atomic: 0,
            buffered: Vec::new(),
            tries: 0,
            streamed: false,
            walks: false,
            sought: None,
            compiling: false,
            bulk: None,
        }
    }

    /// The same session with another receiver, for the statements of an INSERT .. EXECUTE. The state must not be
    /// locked.
    pub fn reborrow<'s>(&'s mut self, sink: &'s mut dyn Sink) -> Cx<'s> {
        self.held.unlock();
        let mut inner = Cx::new(self.shared, self.ses, sink, self.cancel);
        inner.tries = self.tries + 1;
        inner
    }

    /// Notes that a table's lock is held already.
    pub fn note_locked(&mut self, table: ObjectRef, reading: crate::engine::plan::Reading) {
        let key = crate::engine::plan::lock_key(table, reading);
        self.locked.push(key);
    }

    pub fn offset_ticks(&self) -> i64 {
        i64::from(self.shared.offset_minutes()) * TICKS_PER_MINUTE
    }

    pub fn eval_context(&self, collate: Option<Arc<Collate>>) -> EvalContext {
        EvalContext {
            now_ticks: self.now,
            offset_minutes: self.shared.offset_minutes(),
            datefirst: self.ses.settings.datefirst,
            dateformat: self.ses.settings.dateformat.clone(),
            language: self.ses.settings.language.clone(),
            collation: collate
                .unwrap_or_else(|| self.held.database(self.ses.database).collate.clone()),
        }
    }

    /// Sends an event, or keeps it while the statement may still be undone.
    pub fn emit(&mut self, event: Event) -> Outcome<()> {
        if self.atomic > 0 {
            self.buffered.push(event);
            return Ok(());
        }
        self.held.unlock();
        if self.sink.send(event) {
            Ok(())
        } else {
            Err(Stop::Disconnected)
        }
    }

    pub fn flush(&mut self) -> Outcome<()> {
        self.held.unlock();
        for event in std::mem::take(&mut self.buffered) {
            if !self.sink.send(event) {
                return Err(Stop::Disconnected);
            }
        }
        Ok(())
    }

    pub fn check_cancel(&self) -> Outcome<()> {
        if self.cancel.load(Ordering::Relaxed) {
            Err(Stop::Cancelled)
        } else {
            Ok(())
        }
    }

    /// The session's transaction, begun when there is none.
    pub fn transaction(&mut self) -> &mut Transaction {
        if self.ses.transaction.is_none() {
            let began = self.now + self.offset_ticks();
            let mut begun = self.held.begin(self.ses.id, began);
            begun.began_in_snapshot = self.ses.settings.isolation == IsolationLevel::Snapshot;
            self.ses.transaction = Some(begun);
        }
        match &mut self.ses.transaction {
            Some(transaction) => transaction,
            None => unreachable!("just begun"),
        }
    }

    pub fn acquire(&mut self, resource: Resource, mode: Mode, owner: Owner) -> Outcome<()> {
        let session = self.ses.id;
        self.held
            .locks
            .acquire(resource, mode, session, owner)
            .map_err(Stop::Wait)
    }

    pub fn updated_column(&self, column: usize) -> bool {
        self.ses
            .frame()
            .trigger
            .as_ref()
            .is_some_and(|rows| rows.updated.contains(&column))
    }

    pub fn next_sequence_value(&mut self, at: ObjectRef) -> Outcome<Value> {
        let Some(Object::Sequence(sequence)) =
            self.held.databases[at.database].objects.get_mut(&at.id)
        else {
            return Err(error(208, 16, "Invalid sequence object.").into());
        };
        let Some(value) = sequence.next else {
            return Err(error(
                11728,
                16,
                format!("The sequence object '{}' has reached its minimum or maximum value. Restart the sequence \
                    object to allow new values to be generated.", sequence.name),
            )
            .into());
        };
        let following = value + sequence.increment;
        sequence.next = if (sequence.min..=sequence.max).contains(&following) {
            Some(following)
        } else if sequence.cycle {
            Some(if sequence.increment > 0 {
                sequence.min
            } else {
                sequence.max
            })
        } else {
            None
        };
        let ty = sequence.ty.clone();
        match ty {
            SqlType::Decimal { scale, .. } => Ok(Value::Decimal {
                unscaled: value,
                scale,
            }),
            ty => Ok(crate::engine::types::fit_integer(value, &ty)?),
        }
    }

    /// Sends a warning or PRINT text.
    pub fn info(&mut self, message: SqlError) -> Outcome<()> {
        self.emit(Event::Info(message))
    }

    pub fn columns(&mut self, columns: Vec<ColumnMeta>) -> Outcome<()> {
        self.emit(Event::Columns(columns))
    }
}
