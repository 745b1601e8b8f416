//! The procedures `sys.sp_cdc_*`.

use super::enable::{Wish, lsn_of, shown_lsn};
use super::functions::{may_read, seen, start_of};
use super::jobs::{CaptureJob, CleanupJob};
use super::{Instance, disable, enable, tables};
use crate::engine::bind::OutColumn;
use crate::engine::context::Cx;
use crate::engine::fault::{Outcome, Stop, error};
use crate::engine::flow::attempt;
use crate::engine::permissions;
use crate::engine::procedures::{Args, send};
use crate::engine::schema::ObjectRef;
use crate::engine::types;
use crate::session::SqlError;
use crate::value::{SqlType, Value};

const SYSNAME: SqlType = SqlType::NVarChar(Some(128));

/// Runs a procedure by its name in lower case; false when there is none of that name.
pub fn procedure(cx: &mut Cx<'_>, name: &str, args: &Args<'_>) -> Outcome<bool> {
    match name {
        "sp_cdc_enable_db" => attempt(cx, &mut enable::database)?,
        "sp_cdc_disable_db" => attempt(cx, &mut disable::database)?,
        "sp_cdc_enable_table" => enable_table(cx, args)?,
        "sp_cdc_disable_table" => {
            let schema = args.required("source_schema", 0)?;
            let table = args.required("source_name", 1)?;
            let instance = args.required("capture_instance", 2)?;
            attempt(cx, &mut |cx| {
                owner_only(cx)?;
                disable::table(cx, &schema, &table, &instance)
            })?;
        }
        "sp_cdc_help_change_data_capture" => help(cx, args)?,
        "sp_cdc_help_jobs" => help_jobs(cx)?,
        "sp_cdc_start_job" => start_job(cx, args)?,
        "sp_cdc_stop_job" => stop_job(cx, args)?,
        "sp_cdc_change_job" => change_job(cx, args)?,
        "sp_cdc_scan" => scan(cx, args)?,
        "sp_cdc_cleanup_change_table" => cleanup_table(cx, args)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Error 22901 where the database is not enabled, 22904 for a caller who does not own it.
fn owner_only(cx: &Cx<'_>) -> Outcome<()> {
    let slot = cx.ses.database;
    let database = cx.held.database(slot);
    if database.capture.enabled.is_none() {
        let why = format!(
            "The database '{}' is not enabled for Change Data Capture. Ensure that the correct database context is \
                set and retry the operation. To report on the databases enabled for Change Data Capture, query the \
                is_cdc_enabled column in the sys.databases catalog view.",
            database.name
        );
        return Err(error(22901, 16, why).into());
    }
    if permissions::is_member(&cx.held, &cx.ses.login, slot, "db_owner") {
        return Ok(());
    }
    let why =
        "Caller is not authorized to initiate the requested action. DBO privileges are required.";
    Err(error(22904, 16, why).into())
}

fn enable_table(cx: &mut Cx<'_>, args: &Args<'_>) -> Outcome<()> {
    if args.find("role_name", 4).is_none() {
        args.required("role_name", 4)?;
    }
    let wish = Wish {
        schema: args.required("source_schema", 0)?,
        table: args.required("source_name", 1)?,
        instance: args.text("capture_instance", 2),
        net_changes: args
            .whole("supports_net_changes", 3)
            .map(|wanted| wanted != 0),
        role: args.text("role_name", 4),
        index: args.text("index_name", 5),
        columns: args.text("captured_column_list", 6),
        filegroup: args.text("filegroup_name", 7),
    };
    let slot = cx.ses.database;
    let is_first = attempt(cx, &mut |cx| {
        owner_only(cx)?;
        enable::table(cx, &wish)?;
        Ok(cx.held.databases[slot].capture.jobs.make())
    })?;
    if args.whole("allow_partition_switch", 8) == Some(0) {
        let why = "The parameter @allow_partition_switch is ignored: the source table is not partitioned.";
        note(cx, 22857, why.into())?;
    }
    if is_first {
        let name = named(cx, slot);
        for job in ["capture", "cleanup"] {
            let text = format!("Job 'cdc.{name}_{job}' started successfully.");
            note(cx, 0, text)?;
        }
    }
    Ok(())
}

fn named(cx: &mut Cx<'_>, slot: usize) -> String {
    let locked = cx.held.is_locked();
    cx.held.lock();
    let name = cx.held.database(slot).name.clone();
    cx.held.unlock_unless(locked);
    name
}

fn note(cx: &mut Cx<'_>, number: i32, message: String) -> Outcome<()> {
    cx.info(SqlError {
        number,
        state: 1,
        class: 0,
        line: 0,
        message,
    })
}

fn columns(of: &[(&str, SqlType)]) -> Vec<OutColumn> {
    let column = |(name, ty): &(&str, SqlType)| {
        let null = crate::engine::expr::Expr::constant(Value::Null, ty.clone());
        OutColumn::of_expr((*name).to_owned(), &null)
    };
    of.iter().map(column).collect()
}

fn help(cx: &mut Cx<'_>, args: &Args<'_>) -> Outcome<()> {
    let wanted = (args.text("source_schema", 0), args.text("source_name", 1));
    let shapes = columns(&[
        ("source_schema", SYSNAME),
        ("source_table", SYSNAME),
        ("capture_instance", SYSNAME),
        ("object_id", SqlType::Int),
        ("source_object_id", SqlType::Int),
        ("start_lsn", SqlType::Binary(10)),
        ("end_lsn", SqlType::Binary(10)),
        ("supports_net_changes", SqlType::Bit),
        ("has_drop_pending", SqlType::Bit),
        ("role_name", SYSNAME),
        ("index_name", SYSNAME),
        ("filegroup_name", SYSNAME),
        ("create_date", SqlType::DateTime),
        ("index_column_list", SqlType::NVarChar(None)),
        ("captured_column_list", SqlType::NVarChar(None)),
    ]);
    if wanted.0.is_some() != wanted.1.is_some() {
        let why = "When calling stored procedure [sys].sp_cdc_help_change_data capture, if either @source_schema or \
            @source_name is non-null and non-empty, the other parameter must also be non-null and non-empty.";
        return Err(error(22972, 16, why).into());
    }
    let rows = attempt(cx, &mut |cx| described(cx, &wanted))?;
    send(cx, shapes, rows)
}

fn described(
    cx: &mut Cx<'_>,
    wanted: &(Option<String>, Option<String>),
) -> Outcome<Vec<Vec<Value>>> {
    let slot = cx.ses.database;
    let capture = &cx.held.database(slot).capture;
    let Some(id) = capture.enabled.as_ref().map(|known| known.change_tables) else {
        return owner_only(cx).map(|()| Vec::new());
    };
    let source = match wanted {
        (Some(schema), Some(table)) => Some(enable::source(cx, schema, table)?.id),
        (None, _) | (_, None) => None,
    };
    let all: Vec<Instance> = capture.instances.clone();
    let metadata = seen(cx, ObjectRef { database: slot, id })?;
    let mut rows = Vec::new();
    for instance in all {
        let is_wanted = source.is_none_or(|source| source == instance.source);
        let row = metadata
            .iter()
            .find(|row| row[0] == Value::Int(instance.id));
        let (Some(row), true) = (row, is_wanted && may_read(cx, slot, &instance)) else {
            continue;
        };
        let Some(table) = cx.held.database(slot).table(instance.source) else {
            continue;
        };
        let schema = cx.held.database(slot).schema_name(table.def.schema_id);
        let list = |places: &mut dyn Iterator<Item = usize>| {
            let quoted = places.map(|at| {
                let mut out = String::new();
                tables::quote(&mut out, &instance.columns[at].name);
                out
            });
            types::string(&quoted.collect::<Vec<_>>().join(", "))
        };
        rows.push(vec![
            types::string(schema),
            types::string(&table.def.name),
            types::string(&instance.name),
            row[0].clone(),
            row[2].clone(),
            row[tables::START_LSN].clone(),
            row[5].clone(),
            row[6].clone(),
            row[7].clone(),
            row[8].clone(),
            row[9].clone(),
            row[10].clone(),
            row[11].clone(),
            list(&mut instance.key.iter().copied()),
            list(&mut (0..instance.columns.len())),
        ]);
    }
    Ok(rows)
}

fn help_jobs(cx: &mut Cx<'_>) -> Outcome<()> {
    let shapes = columns(&[
        ("job_id", SqlType::UniqueIdentifier),
        ("job_type", SqlType::NVarChar(Some(20))),
        ("maxtrans", SqlType::Int),
        ("maxscans", SqlType::Int),
        ("continuous", SqlType::Bit),
        ("pollinginterval", SqlType::BigInt),
        ("retention", SqlType::BigInt),
        ("threshold", SqlType::BigInt),
    ]);
    let slot = cx.ses.database;
    let jobs = attempt(cx, &mut |cx| {
        owner_only(cx)?;
        Ok(cx.held.database(slot).capture.jobs.clone())
    })?;
    let first = |kind: &str, number: u8| {
        let mut id = [0; 16];
        (id[0], id[15]) = (slot as u8, number);
        vec![Value::Guid(id), types::string(kind)]
    };
    let mut rows = Vec::new();
    if let Some(job) = &jobs.capture {
        let mut row = first("capture", 1);
        row.extend([
            Value::Int(job.transactions_max),
            Value::Int(job.scans_max),
            Value::Bit(job.is_continuous),
            Value::BigInt(job.polling_seconds),
            Value::BigInt(0),
            Value::BigInt(0),
        ]);
        rows.push(row);
    }
    if let Some(job) = &jobs.cleanup {
        let mut row = first("cleanup", 2);
        row.extend([
            Value::Int(0),
            Value::Int(0),
            Value::Bit(false),
            Value::BigInt(0),
            Value::BigInt(job.retention_minutes),
            Value::BigInt(job.threshold),
        ]);
        rows.push(row);
    }
    send(cx, shapes, rows)
}

/// Whether the capture job is meant; otherwise the cleanup job.
fn means_capture(args: &Args<'_>) -> Outcome<bool> {
    match args.text("job_type", 0).as_deref() {
        None => Ok(true),
        Some(kind) if kind.eq_ignore_ascii_case("capture") => Ok(true),
        Some(kind) if kind.eq_ignore_ascii_case("cleanup") => Ok(false),
        Some(kind) => {
            let why = format!(
                "The specified @job_type, {kind}, is not supported. The value specified for the parameter @job_type \
                    must be N'capture' to indicate a capture job, or N'cleanup' to indicate a cleanup job."
            );
            Err(error(22992, 16, why).into())
        }
    }
}

/// Error 22022 from SQL Server Agent.
fn refused(name: &str, why: &str) -> Stop {
    let text = format!("SQLServerAgent Error: Request to {why}: job cdc.{name}_capture.");
    Stop::Raised(error(22022, 16, text))
}

fn capture_job<'c>(cx: &'c mut Cx<'_>) -> Outcome<&'c mut CaptureJob> {
    let slot = cx.ses.database;
    let job = cx.held.databases[slot].capture.jobs.capture.as_mut();
    job.ok_or_else(|| {
        let why = "The Change Data Capture 'capture' job does not exist in the system table 'msdb.dbo.cdc_jobs'. Use \
            the stored procedure 'sys.sp_cdc_add_job' to add the Change Data Capture job.";
        error(22997, 16, why).into()
    })
}

fn start_job(cx: &mut Cx<'_>, args: &Args<'_>) -> Outcome<()> {
    let is_capture = means_capture(args)?;
    attempt(cx, &mut |cx| {
        owner_only(cx)?;
        if !is_capture {
            return clean_up(cx);
        }
        let slot = cx.ses.database;
        let name = cx.held.database(slot).name.clone();
        let job = capture_job(cx)?;
        if std::mem::replace(&mut job.is_running, true) {
            return Err(refused(
                &name,
                "run a job that is already running was refused",
            ));
        }
        Ok(())
    })
}

fn stop_job(cx: &mut Cx<'_>, args: &Args<'_>) -> Outcome<()> {
    if !means_capture(args)? {
        return Ok(());
    }
    attempt(cx, &mut |cx| {
        owner_only(cx)?;
        let slot = cx.ses.database;
        let name = cx.held.database(slot).name.clone();
        let job = capture_job(cx)?;
        if !std::mem::replace(&mut job.is_running, false) {
            return Err(refused(&name, "stop a job that is not running was refused"));
        }
        Ok(())
    })
}

/// What a running job does is changed by its next start, except for the stand-in's own delay, which ends here.
fn change_job(cx: &mut Cx<'_>, args: &Args<'_>) -> Outcome<()> {
    let is_capture = means_capture(args)?;
    check_job_parameters(args, is_capture)?;
    attempt(cx, &mut |cx| {
        owner_only(cx)?;
        let slot = cx.ses.database;
        if is_capture {
            let job = capture_job(cx)?;
            let whole = |name, at| args.whole(name, at).and_then(|n| i32::try_from(n).ok());
            job.transactions_max = whole("maxtrans", 1).unwrap_or(job.transactions_max);
            job.scans_max = whole("maxscans", 2).unwrap_or(job.scans_max);
            let continuous = args.whole("continuous", 3).map(|wanted| wanted != 0);
            job.is_continuous = continuous.unwrap_or(job.is_continuous);
            if let Some(seconds) = args.whole("pollinginterval", 4) {
                (job.polling_seconds, job.polls_as_told) = (seconds, true);
            }
        } else if let Some(job) = &mut cx.held.databases[slot].capture.jobs.cleanup {
            let minutes = args.whole("retention", 5);
            job.retention_minutes = minutes.unwrap_or(job.retention_minutes);
            job.threshold = args.whole("threshold", 6).unwrap_or(job.threshold);
        }
        Ok(())
    })
}

/// The documented retention, in minutes.
const RETENTION: std::ops::RangeInclusive<i64> = 1..=52_594_800;

/// Errors 22994 to 22996 for parameters of the other job, or out of range.
fn check_job_parameters(args: &Args<'_>, is_capture: bool) -> Outcome<()> {
    let retention = args.whole("retention", 5);
    if is_capture {
        let why = "A value for the parameter @retention cannot be specified when the job type is 'capture'. Specify \
            NULL for the parameter, or omit the parameter from the statement.";
        return match retention {
            Some(_) => Err(error(22995, 16, why).into()),
            None => Ok(()),
        };
    }
    let of_capture = ["maxtrans", "maxscans", "continuous", "pollinginterval"];
    let mut given = (1..).zip(of_capture);
    if given.any(|(at, name)| args.whole(name, at).is_some()) {
        let why = "When adding or modifying the CDC cleanup job, @pollinginterval, @maxtrans, @maxscans, and \
            @continuous may not be assigned non-null values.";
        return Err(error(22996, 16, why).into());
    }
    if retention.is_some_and(|minutes| !RETENTION.contains(&minutes)) {
        let why = "The retention value specified for the Change Data Capture cleanup process must be greater than 0 \
            and less than or equal to 52594800.";
        return Err(error(22994, 16, why).into());
    }
    Ok(())
}

fn scan(cx: &mut Cx<'_>, args: &Args<'_>) -> Outcome<()> {
    let transactions = args.whole("maxtrans", 0).unwrap_or(500).max(1);
    let scans = args.whole("maxscans", 1).unwrap_or(10).max(1);
    let most = usize::try_from(transactions.saturating_mul(scans)).unwrap_or(usize::MAX);
    attempt(cx, &mut |cx| {
        owner_only(cx)?;
        let slot = cx.ses.database;
        if cx.held.database(slot).capture.jobs.is_capturing() {
            let why = "Another connection with session ID 0 is already running 'sp_replcmds' for Change Data Capture \
                in the current database.";
            return Err(error(22903, 16, why).into());
        }
        Ok(cx.held.capture(slot, most, None)?)
    })
}

fn cleanup_table(cx: &mut Cx<'_>, args: &Args<'_>) -> Outcome<()> {
    let name = args.required("capture_instance", 0)?;
    let Some(mark) = args.find("low_water_mark", 1) else {
        return args.required("low_water_mark", 1).map(drop);
    };
    let mark = lsn_of(&mark.value);
    attempt(cx, &mut |cx| {
        owner_only(cx)?;
        let slot = cx.ses.database;
        let known = cx.held.database(slot).capture.instance(&name).cloned();
        let Some(instance) = known else {
            let database = &cx.held.database(slot).name;
            let why = format!(
                "The named capture instance {name} does not exist for database {database}."
            );
            return Err(error(22920, 16, why).into());
        };
        let low = match mark {
            Some(mark) => Some(first_of_moment(cx, slot, mark)?),
            None => None,
        };
        forget_before(cx, slot, &instance, low)
    })
}

/// The smallest LSN with the commit time of an LSN; error 22964 when `cdc.lsn_time_mapping` does not have it.
fn first_of_moment(cx: &mut Cx<'_>, slot: usize, mark: [u8; 10]) -> Outcome<[u8; 10]> {
    let id = match &cx.held.database(slot).capture.enabled {
        Some(enabled) => enabled.lsn_time_mapping,
        None => 0,
    };
    let rows = seen(cx, ObjectRef { database: slot, id })?;
    let entry = rows.iter().find(|row| lsn_of(&row[0]) == Some(mark));
    let Some(entry) = entry else {
        let why = format!(
            "LSN {}, specified as the new low end point for change table cleanup must represent the start_lsn value of \
                a current entry in the cdc.lsn_time_mapping table. Choose an LSN value that satisfies this \
                requirement.",
            shown_lsn(&mark)
        );
        return Err(error(22964, 16, why).into());
    };
    let same = rows.iter().filter(|row| row[2] == entry[2]);
    Ok(same.filter_map(|row| lsn_of(&row[0])).min().unwrap_or(mark))
}

/// Moves an instance's low endpoint up to `low` and deletes what is below it.
fn forget_before(
    cx: &mut Cx<'_>,
    slot: usize,
    instance: &Instance,
    low: Option<[u8; 10]>,
) -> Outcome<()> {
    let now = start_of(cx, slot, instance.id)?;
    let start = now.max(low);
    cx.transaction();
    if let (Some(start), Some(transaction)) = (start, cx.ses.transaction.as_mut())
        && now < low
    {
        cx.held.move_start(slot, instance.id, &start, transaction)?;
    }
    let at = ObjectRef {
        database: slot,
        id: instance.id,
    };
    let is_below = move |row: &[Value]| lsn_of(&row[0]) < start;
    disable::delete_where(cx, at, is_below)
}

/// The cleanup job: what was committed longer ago than the retention goes, of every instance. The last commit counts as
/// now.
fn clean_up(cx: &mut Cx<'_>) -> Outcome<()> {
    let slot = cx.ses.database;
    let capture = &cx.held.database(slot).capture;
    let (
        Some(CleanupJob {
            retention_minutes, ..
        }),
        Some(enabled),
    ) = (&capture.jobs.cleanup, &capture.enabled)
    else {
        return Ok(());
    };
    let (minutes, id) = (*retention_minutes, enabled.lsn_time_mapping);
    let instances = capture.instances.clone();
    let at = ObjectRef { database: slot, id };
    let time = |row: &[Value]| match row[2] {
        Value::DateTime { days, ticks } => i64::from(days) * 25_920_000 + i64::from(ticks),
        _ => 0,
    };
    let rows = seen(cx, at)?;
    let Some(last) = rows.iter().map(|row| time(row)).max() else {
        return Ok(());
    };
    let oldest = last - minutes * 18_000;
    let kept = rows.iter().filter(|row| time(row) >= oldest);
    let low = kept.filter_map(|row| lsn_of(&row[0])).min();
    for instance in &instances {
        forget_before(cx, slot, instance, low)?;
    }
    disable::delete_where(cx, at, |row| lsn_of(&row[0]) < low)
}
