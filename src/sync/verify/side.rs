//! A server's table as it is compared with a snapshot of the lake: columns, forms, key.

use crate::change::{Checkpoint, Deletes, LoadRule, MergeMode, Strategy, Watermark};
use crate::config::Table;
use crate::error::{Kind, Result};
use crate::lake::{LakeTable, SnapshotInfo};
use crate::mssql::environment::{self, Environment, Product, Writability};
use crate::mssql::sql::Statement;
use crate::mssql::sql::read;
use crate::report::SkippedColumn;
use crate::schema::digest::{Encoder, Form, Kept, Part, fits_sized};
use crate::schema::types::TypeFacts;
use crate::schema::{
    Column, Fidelity, Key, KeyOrigin, LakeField, LakeSchema, LakeType, Role, TableName, TableSchema,
};
use crate::source::{self, Discovered};
use crate::sync::session::{Links, Sync};
use crate::sync::{follow, load};
use crate::target::inspect::{self, TargetTable};
use crate::target::state::{self, LoadState, Looked};

/// How long a statement waits for a lock.
const LOCK_TIMEOUT_MS: u32 = 60_000;

/// What of a server's table is compared with the lake.
pub(super) struct Side {
    pub kind: Kind,
    /// The columns that are compared, as the server has them, and the key among them.
    pub table: TableSchema,
    pub forms: Vec<Form>,
    /// The lake's fields that hold them, in the order of `lake_shape`.
    pub lake_names: Vec<String>,
    pub lake_shape: LakeSchema,
    pub lake_encoder: Encoder,
    /// Of rows that the server sends.
    pub server_shape: LakeSchema,
    pub server_encoder: Encoder,
    pub fidelity: Fidelity,
    pub skipped: Vec<SkippedColumn>,
    /// The target's column that marks deleted rows.
    pub marked: Option<String>,
    /// Rows that the lake has lost stay in the target.
    pub keeps_lost: bool,
    /// An index begins with the first key column.
    pub is_led_by_index: bool,
    /// Rows at or beyond it are read by the next extract.
    pub bound: Option<Bound>,
    /// Each statement sees one state of the table, or not.
    pub begin: Statement,
    pub finish: Statement,
    /// A row that is not met is not there.
    pub sees_one_state: bool,
    pub notes: Vec<String>,
}

/// Where the next extract begins.
pub(super) struct Bound {
    /// Position in the compared columns.
    pub column: usize,
    pub strategy: Strategy,
    pub watermark: Watermark,
}

/// A side that can be compared, or why it cannot.
pub(super) enum Prepared {
    Side(Box<Side>),
    Not(String),
}

/// A column of the server and the lake's fields that hold its values.
struct Pair<'a> {
    column: Column,
    fields: Vec<&'a LakeField>,
}

/// Pairs and what is beside them.
struct Paired<'a> {
    name: TableName,
    pairs: Vec<Pair<'a>>,
    /// Names at the server; empty where rows have no key.
    key: Vec<String>,
    skipped: Vec<SkippedColumn>,
    is_target: bool,
    fidelity: Fidelity,
}

fn skip(column: &str, why: impl Into<String>) -> SkippedColumn {
    SkippedColumn {
        column: column.to_owned(),
        why: why.into(),
    }
}

/// The source of a mirror.
pub(super) async fn source(
    sync: &Sync,
    table: &Table,
    (lake, snapshot): (&LakeTable, &SnapshotInfo),
    links: &mut Links,
) -> Result<Prepared> {
    let (control, environment) = links.source(sync.source_side()?).await?;
    let found = source::discover(control, &environment, &table.source, &table.columns)
        .await?
        .with_key(table.key.as_deref().unwrap_or_default())?;
    let recorded = follow::recorded(lake, Some(snapshot.id))?;
    let mut paired = Paired {
        name: found.schema.name.clone(),
        pairs: Vec::new(),
        key: found
            .schema
            .key_columns()
            .map(|column| column.name.clone())
            .collect(),
        skipped: Vec::new(),
        is_target: false,
        fidelity: table.fidelity,
    };
    let mut known = vec![false; found.schema.columns.len()];
    for (at, column) in recorded.schema.columns.iter().enumerate() {
        let name = recorded.source_name(column);
        match found.schema.position(name) {
            Some(position) => {
                known[position] = true;
                let fields = fields_of(lake, at);
                let column = found.schema.columns[position].clone();
                paired.pairs.push(Pair { column, fields });
            }
            None => paired
                .skipped
                .push(skip(name, "the source has, or reads, no such column")),
        }
    }
    let unknown = found
        .schema
        .columns
        .iter()
        .zip(&known)
        .filter(|(_, known)| !**known);
    let unknown = unknown.map(|(column, _)| skip(&column.name, "the snapshot does not have it"));
    paired.skipped.extend(unknown);
    let left_out = found.left_out.iter();
    paired
        .skipped
        .extend(left_out.map(|left| skip(&left.name, "`columns` leaves it out")));
    let checkpoint = match lake.current_snapshot_id() == Some(snapshot.id) {
        true => lake.checkpoint()?,
        false => snapshot.checkpoint.clone(),
    };
    let key = paired
        .key
        .first()
        .and_then(|name| found.schema.position(name));
    let is_led = key.is_some_and(|first| found.is_led_by_index(first));
    Ok(
        match paired.side(&environment, found.facts.is_memory_optimized) {
            Ok(mut side) => {
                side.is_led_by_index = is_led;
                side.bound = bound(&found, &side.table, checkpoint);
                Prepared::Side(Box::new(side))
            }
            Err(why) => Prepared::Not(why),
        },
    )
}

/// What the next extract reads, where the strategy says.
fn bound(found: &Discovered, table: &TableSchema, checkpoint: Option<Checkpoint>) -> Option<Bound> {
    let checkpoint = checkpoint?;
    let watermark = checkpoint.watermark?;
    let followed = &found.schema.columns[found.schema.position(&watermark.column)?];
    let column = table
        .columns
        .iter()
        .position(|column| column.id == followed.id)?;
    (followed.ty == watermark.ty).then_some(Bound {
        column,
        strategy: checkpoint.strategy,
        watermark,
    })
}

/// The lake's fields of a column by its position at the source.
fn fields_of(lake: &LakeTable, column: usize) -> Vec<&LakeField> {
    let fields = lake.lake_schema().fields.iter();
    fields
        .filter(|field| field.source == Some(column))
        .collect()
}

/// The snapshot that a target has loaded; why it cannot be compared where it cannot.
pub(super) async fn loaded(
    sync: &Sync,
    table: &Table,
    lake: &LakeTable,
    links: &mut Links,
) -> Result<std::result::Result<(Looked, LoadState), String>> {
    let control = Links::control(&mut links.target, sync.target_side()?, Kind::Target).await?;
    let looked = state::look(control, &table.target).await?;
    let Some(state) = looked
        .state
        .clone()
        .filter(|state| state.loaded().is_some())
    else {
        return Ok(Err("nothing was loaded into it".to_owned()));
    };
    let mode = state
        .rule
        .as_ref()
        .map_or(table.merge.mode, |rule| rule.mode);
    let why = if state.table_uuid != lake.uuid().to_string() {
        "it was loaded from another lake table".to_owned()
    } else if looked.object.is_none() {
        "the table is missing".to_owned()
    } else if state.object.is_some() && state.object != looked.object {
        "the table was recreated after it was loaded; the next load loads every row".to_owned()
    } else if state.pending.is_some() {
        "a load is between two of its steps; the next load finishes it".to_owned()
    } else {
        match mode {
            MergeMode::Upsert | MergeMode::Replace => return Ok(Ok((looked, state))),
            MergeMode::Append | MergeMode::History | MergeMode::Scd2 => {
                let mode = mode.name();
                format!("mode {mode} keeps other rows than a snapshot of the lake has")
            }
        }
    };
    Ok(Err(why))
}

/// The target of a mirror, which was loaded from the snapshot that is compared.
pub(super) async fn target(
    sync: &Sync,
    table: &Table,
    (lake, snapshot): (&LakeTable, &SnapshotInfo),
    (looked, state): (&Looked, &LoadState),
    links: &mut Links,
) -> Result<Prepared> {
    let control = Links::control(&mut links.target, sync.target_side()?, Kind::Target).await?;
    let Some(found) = inspect::inspect(control, &table.target).await? else {
        return Ok(Prepared::Not("the table is missing".to_owned()));
    };
    let environment = environment::read(control).await;
    let environment = environment.map_err(|error| error.on(Kind::Target))?;
    let columns = load::to_load(table, lake, Some(snapshot), Some(state))?;
    let mut paired = Paired {
        name: found.name().clone(),
        pairs: Vec::new(),
        key: columns
            .schema
            .key_columns()
            .map(|column| column.name.clone())
            .collect(),
        skipped: Vec::new(),
        is_target: true,
        fidelity: table.fidelity,
    };
    for (at, column) in columns.schema.columns.iter().take(columns.live).enumerate() {
        let Some(place) = columns.places.get(at).copied().flatten() else {
            continue;
        };
        pair(&mut paired, &found, &column.name, fields_of(lake, place));
    }
    let left_out = columns.left_out.iter();
    paired
        .skipped
        .extend(left_out.map(|name| skip(name, "`merge.columns` leaves it out")));
    let first = paired
        .key
        .first()
        .and_then(|name| found.compared(name)?.ok());
    let is_led = first.is_some_and(|column| found.is_led_by_index(column.id));
    Ok(match paired.side(&environment, false) {
        Ok(mut side) => {
            side.is_led_by_index = is_led;
            side.apply_rule(state.rule.as_ref());
            if looked.in_quarantine > 0 {
                side.notes.push(format!(
                    "{} rows are in quarantine, so their keys differ",
                    looked.in_quarantine
                ));
            }
            Prepared::Side(Box::new(side))
        }
        Err(why) => Prepared::Not(why),
    })
}

/// Pairs a column of the target with its fields in the lake.
fn pair<'a>(paired: &mut Paired<'a>, found: &TargetTable, name: &str, fields: Vec<&'a LakeField>) {
    match found.compared(name) {
        Some(Ok(column)) => {
            if let Some(key) = paired.key.iter_mut().find(|key| *key == name) {
                key.clone_from(&column.name);
            }
            paired.pairs.push(Pair { column, fields });
        }
        Some(Err(ty)) => paired
            .skipped
            .push(skip(name, format!("it is {ty} in the target"))),
        None => paired
            .skipped
            .push(skip(name, "the target has no such column")),
    }
}

impl Side {
    fn apply_rule(&mut self, rule: Option<&LoadRule>) {
        match rule.map(|rule| &rule.deletes) {
            Some(Deletes::Soft(soft)) => self.marked = Some(soft.column.clone()),
            Some(Deletes::Ignore) => self.keeps_lost = true,
            Some(Deletes::Hard) | None => {}
        }
    }
}

/// The columns of batches: fields, and where each column's values are among them.
#[derive(Default)]
struct Shape {
    fields: Vec<LakeField>,
    parts: Vec<Part>,
}

impl Shape {
    /// The fields of one more column.
    fn add(&mut self, form: Form, fields: &[(Role, LakeType, String)]) {
        let source = self.parts.len();
        let first = self.fields.len();
        let at = |wanted: Role| {
            let at = fields.iter().position(|(role, ..)| *role == wanted)?;
            Some(first + at)
        };
        self.parts.push(Part {
            form,
            value: at(Role::Value).unwrap_or(first),
            ticks: at(Role::Ticks),
            offset: at(Role::Offset),
            base: at(Role::BaseType),
        });
        let fields = fields.iter().map(|(role, ty, name)| LakeField {
            name: name.clone(),
            ty: *ty,
            required: false,
            source: Some(source),
            role: *role,
        });
        self.fields.extend(fields);
    }

    fn encoder(&self, key: &[usize]) -> Encoder {
        let as_key = |part: &Part| Part {
            form: part.form.as_key(),
            ..*part
        };
        Encoder {
            key: match key.is_empty() {
                true => self.parts.iter().map(as_key).collect(),
                false => key.iter().map(|&at| as_key(&self.parts[at])).collect(),
            },
            columns: self.parts.clone(),
        }
    }

    fn schema(self) -> LakeSchema {
        LakeSchema {
            fields: self.fields,
            key: Vec::new(),
        }
    }
}

/// The form of a column, or why it has none.
fn form(pair: &Pair<'_>, is_target: bool) -> std::result::Result<Form, String> {
    let has = |role: Role| pair.fields.iter().any(|field| field.role == role);
    let kept = match is_target {
        true => Kept::ALL,
        false => Kept {
            ticks: has(Role::Ticks),
            offset: has(Role::Offset),
        },
    };
    let ty = pair.column.ty;
    let value = pair.fields.iter().find(|field| field.role == Role::Value);
    let value = value.ok_or("the snapshot does not have it")?;
    let form = Form::of(ty, kept).ok_or_else(|| {
        format!("the server writes the numbers of a {ty} with other digits than the lake")
    })?;
    if form == Form::TypedText && !has(Role::BaseType) {
        return Err("the lake does not have its base types".to_owned());
    }
    match form.takes(value.ty) {
        true => Ok(form),
        false => Err(format!(
            "it is {ty} now, and the lake has values of another type; `icesync plan` says what follows"
        )),
    }
}

/// The columns that have a form.
#[derive(Default)]
struct Chosen {
    lake: Shape,
    server: Shape,
    columns: Vec<Column>,
    forms: Vec<Form>,
}

impl Paired<'_> {
    /// Leaves out the columns that have no form.
    fn choose(&mut self) -> Chosen {
        let mut chosen = Chosen::default();
        for pair in &self.pairs {
            let form = match form(pair, self.is_target) {
                Ok(form) => form,
                Err(why) => {
                    self.skipped.push(skip(&pair.column.name, why));
                    continue;
                }
            };
            let fields = pair.fields.iter();
            let of_lake = fields.map(|field| (field.role, field.ty, field.name.clone()));
            let of_lake: Vec<_> = of_lake.collect();
            chosen.lake.add(form, &of_lake);
            let of_server = of_server(&pair.column, &of_lake, self.is_target);
            chosen.server.add(form, &of_server);
            chosen.columns.push(pair.column.clone());
            chosen.forms.push(form);
        }
        chosen
    }

    /// Chooses forms; why nothing can be compared where it cannot.
    fn side(
        mut self,
        environment: &Environment,
        is_memory_optimized: bool,
    ) -> std::result::Result<Side, String> {
        let Chosen {
            lake,
            server,
            columns,
            forms,
        } = self.choose();
        let position = |name: &String| columns.iter().position(|column| column.name == *name);
        let Some(key) = self
            .key
            .iter()
            .map(position)
            .collect::<Option<Vec<usize>>>()
        else {
            let key = self.key.join(", ");
            return Err(format!("a column of its key ({key}) cannot be compared"));
        };
        if columns.is_empty() {
            return Err("none of its columns can be compared".to_owned());
        }
        check_version(environment, &forms)?;
        let table = TableSchema {
            name: self.name,
            columns,
            key: (!key.is_empty()).then(|| Key {
                columns: key.clone(),
                origin: KeyOrigin::Config,
            }),
        };
        let (begin, finish, note) = session(environment, is_memory_optimized);
        Ok(Side {
            kind: if self.is_target {
                Kind::Target
            } else {
                Kind::Source
            },
            table,
            forms,
            lake_names: lake.fields.iter().map(|field| field.name.clone()).collect(),
            lake_encoder: lake.encoder(&key),
            lake_shape: lake.schema(),
            server_encoder: server.encoder(&key),
            server_shape: server.schema(),
            fidelity: self.fidelity,
            skipped: self.skipped,
            marked: None,
            keeps_lost: false,
            is_led_by_index: false,
            bound: None,
            begin,
            finish,
            sees_one_state: note.is_none(),
            notes: note.into_iter().collect(),
        })
    }
}

/// The fields of a column as the server sends it: of a source those that the lake has, of a target all.
fn of_server(
    column: &Column,
    of_lake: &[(Role, LakeType, String)],
    is_target: bool,
) -> Vec<(Role, LakeType, String)> {
    let TypeFacts {
        lake, companions, ..
    } = column.ty.facts();
    let is_kept = |role: Role| is_target || of_lake.iter().any(|(kept, ..)| *kept == role);
    let companion = |role: Role| match role {
        Role::BaseType => LakeType::String,
        Role::Value
        | Role::Ticks
        | Role::Offset
        | Role::Srid
        | Role::Op
        | Role::Seq
        | Role::CommittedAt => LakeType::Int,
    };
    let name = &column.name;
    let companions = companions.iter().filter(|role| is_kept(**role));
    let companions = companions.map(|&role| (role, companion(role), format!("{name} {role:?}")));
    std::iter::once((Role::Value, lake, name.clone()))
        .chain(companions)
        .collect()
}

/// HASHBYTES takes more than 8,000 bytes from SQL Server 2016 on.
fn check_version(environment: &Environment, forms: &[Form]) -> std::result::Result<(), String> {
    let major = environment.version.split('.').next();
    let major = major
        .and_then(|major| major.parse::<u32>().ok())
        .unwrap_or(0);
    // Azure SQL calls itself 12 and takes them.
    let is_old = major < 13 && environment.product == Product::Server;
    if is_old && !fits_sized(forms.iter().copied()) {
        return Err(format!(
            "its rows may have more than 8,000 bytes, and HASHBYTES of SQL Server {} takes no more; SQL Server 2016 \
             does",
            environment.version
        ));
    }
    Ok(())
}

/// How a statement sees one state of the table, where the database allows it.
fn session(
    environment: &Environment,
    is_memory_optimized: bool,
) -> (Statement, Statement, Option<String>) {
    if environment.allows_snapshot && !is_memory_optimized {
        let begin = read::begin_snapshot(LOCK_TIMEOUT_MS);
        return (begin, read::end_transaction(), None);
    }
    let sees_one_state = environment.read_committed_snapshot
        || is_memory_optimized
        || environment.writability != Writability::ReadWrite;
    let note = (!sees_one_state).then(|| {
        format!(
            "database {} has no row versions: rows were read one by one, and a row that moved meanwhile was looked at \
             again",
            environment.database
        )
    });
    let begin = read::begin_read_committed(LOCK_TIMEOUT_MS);
    (begin, read::end_read_committed(), note)
}
