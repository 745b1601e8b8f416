//! `cdc.fn_cdc_get_all_changes_<instance>` and `cdc.fn_cdc_get_net_changes_<instance>`.

use super::functions::{max_lsn_in, may_read, seen, start_of};
use super::{Instance, tables};
use crate::engine::bind::{Binder, OutColumn, cast, table_columns};
use crate::engine::context::Cx;
use crate::engine::expr::Expr;
use crate::engine::fault::{Outcome, error, permission_denied};
use crate::engine::ordering;
use crate::engine::plan::{Node, Plan, Tuple};
use crate::engine::schema::{ObjectRef, Row, TableDef};
use crate::engine::types;
use crate::session::SqlError;
use crate::sql::ast::ObjectName;
use crate::value::{SqlType, Value};
use std::collections::BTreeMap;

const ALL: &str = "fn_cdc_get_all_changes_";
const NET: &str = "fn_cdc_get_net_changes_";
const OPERATION: usize = 3;
const MASK: usize = 4;

impl Binder<'_, '_> {
    /// The rows and columns of a function of a capture instance; none when the name is no such function's.
    pub fn captured_changes(
        &mut self,
        name: &ObjectName,
        args: Vec<Expr>,
    ) -> Outcome<Option<(Plan, Vec<OutColumn>)>> {
        if !name
            .schema()
            .is_some_and(|schema| super::same_name(schema, "cdc"))
        {
            return Ok(None);
        }
        let database = self.database_of(name)?;
        let function = name.object().to_ascii_lowercase();
        let capture = &self.cx.held.database(database).capture;
        let is_net = function.starts_with(NET);
        let instance = match function.starts_with(ALL) || is_net {
            true => capture.instance(&name.object()[ALL.len()..]),
            false => None,
        };
        let Some(instance) = instance.filter(|instance| instance.net_changes || !is_net) else {
            return Ok(None);
        };
        let id = instance.id;
        if args.len() < 3 {
            return Err(too_few(&name.to_string()).into());
        }
        if args.len() > 3 {
            let why = format!("Procedure or function {name} has too many arguments specified.");
            return Err(error(8144, 16, why).into());
        }
        let wanted = [
            SqlType::Binary(10),
            SqlType::Binary(10),
            SqlType::NVarChar(Some(30)),
        ];
        let mut args: Vec<Expr> = args
            .into_iter()
            .zip(&wanted)
            .map(|(arg, ty)| cast(arg, ty))
            .collect();
        args.push(Expr::constant(Value::Int(id), SqlType::Int));
        let mut columns = table_columns(self.cx, ObjectRef { database, id })?;
        columns.pop();
        // Where the log stands in a change table, a function shows less.
        let hidden: &[usize] = if is_net { &[2, 1] } else { &[1] };
        for at in hidden {
            columns.remove(*at);
        }
        let node = Node::Virtual {
            produce: if is_net { net_changes } else { all_changes },
            args,
            database,
            object: None,
        };
        Ok(Some((Plan::new(node, columns.len()), columns)))
    }
}

/// What a function says to bounds or options that are not valid, too: it has no other means.
fn too_few(name: &str) -> SqlError {
    let why = format!(
        "An insufficient number of arguments were supplied for the procedure or function {name}."
    );
    SqlError {
        state: 3,
        ..error(313, 16, why)
    }
}

/// The rows of a change table within the bounds, in the order of the log, and the option.
struct Found {
    instance: Instance,
    def: std::sync::Arc<TableDef>,
    rows: Vec<Row>,
    option: String,
}

fn find(
    cx: &mut Cx<'_>,
    args: &[Value],
    slot: usize,
    function: &str,
    options: &[&str],
) -> Outcome<Found> {
    cx.held.lock();
    let known = &cx.held.database(slot).capture.instances;
    let known = known.iter().find(|known| args[3] == Value::Int(known.id));
    let gone = || error(208, 16, format!("Invalid object name 'cdc.{function}'."));
    let instance = known.cloned().ok_or_else(gone)?;
    if !may_read(cx, slot, &instance) {
        let name = format!("{function}{}", instance.name);
        let database = cx.held.database(slot).name.clone();
        return Err(permission_denied("SELECT", &name, &database, "cdc").into());
    }
    let invalid = || too_few(&format!("cdc.{function} ... "));
    let (Value::Bytes(from), Value::Bytes(to), Value::Str(option)) = (&args[0], &args[1], &args[2])
    else {
        return Err(invalid().into());
    };
    let option = types::text(option).trim().to_ascii_lowercase();
    let (low, high) = (start_of(cx, slot, instance.id)?, max_lsn_in(cx, slot)?);
    let is_inside = match (&low, &high) {
        (Some(low), Some(high)) => **from >= low[..] && **to <= high[..] && from <= to,
        (None, _) | (_, None) => false,
    };
    if !is_inside || !options.contains(&option.as_str()) {
        return Err(invalid().into());
    }
    let at = ObjectRef {
        database: slot,
        id: instance.id,
    };
    let def = cx.held.table(at)?.def.clone();
    let mut rows = seen(cx, at)?;
    rows.retain(|row| match &row[0] {
        Value::Bytes(start) => start >= from && start <= to,
        _ => false,
    });
    let last = def.columns.len() - 1;
    rows.sort_by_cached_key(|row| {
        let mut key = Vec::new();
        for at in [0, last, 2, OPERATION] {
            ordering::encode(&row[at], None, &mut key);
        }
        key
    });
    Ok(Found {
        instance,
        def,
        rows,
        option,
    })
}

fn all_changes(cx: &mut Cx<'_>, args: &[Value], slot: usize) -> Outcome<Vec<Tuple>> {
    let mut found = find(cx, args, slot, ALL, &["all", "all update old"])?;
    if found.option == "all" {
        found.rows.retain(|row| row[OPERATION] != Value::Int(3));
    }
    let shown = |row: &Row| {
        let mut row = row.to_vec();
        row.pop();
        row.remove(1);
        row
    };
    Ok(found.rows.iter().map(shown).collect())
}

/// What became of a row within the bounds.
struct Net {
    /// The operation of the row's first change.
    first: i32,
    last: Row,
    mask: Vec<u8>,
}

fn net_changes(cx: &mut Cx<'_>, args: &[Value], slot: usize) -> Outcome<Vec<Tuple>> {
    let options = ["all", "all with mask", "all with merge"];
    let found = find(cx, args, slot, NET, &options)?;
    let key = |row: &Row| {
        let mut key = Vec::new();
        for place in &found.instance.key {
            let at = tables::FIRST_COLUMN + place;
            ordering::encode(&row[at], found.def.columns[at].order(), &mut key);
        }
        key
    };
    let mut rows: BTreeMap<Vec<u8>, (usize, Net)> = BTreeMap::new();
    for (at, row) in found.rows.iter().enumerate() {
        let Value::Int(operation) = row[OPERATION] else {
            continue;
        };
        // The image before an update has the key of the row as it was: that row's own.
        if operation == 3 {
            continue;
        }
        let mask = match &row[MASK] {
            Value::Bytes(mask) => mask.to_vec(),
            _ => Vec::new(),
        };
        match rows.entry(key(row)) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                let (first, last) = (operation, row.clone());
                entry.insert((at, Net { first, last, mask }));
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                let (place, net) = entry.get_mut();
                *place = at;
                net.last = row.clone();
                net.mask
                    .iter_mut()
                    .zip(mask)
                    .for_each(|(all, own)| *all |= own);
            }
        }
    }
    let mut nets: Vec<(usize, Net)> = rows.into_values().collect();
    nets.sort_by_key(|(place, _)| *place);
    let shown = |(_, net): (usize, Net)| shown(&found.option, net);
    Ok(nets.into_iter().filter_map(shown).collect())
}

/// A row's net change: none for a row that came and went.
fn shown(option: &str, net: Net) -> Option<Tuple> {
    let came = net.first == 2;
    let went = net.last[OPERATION] == Value::Int(1);
    let operation = match (came, went) {
        (true, true) => return None,
        (false, true) => 1,
        (_, false) if option == "all with merge" => 5,
        (true, false) => 2,
        (false, false) => 4,
    };
    let mask = match option == "all with mask" && operation == 4 {
        true => Value::Bytes(net.mask.into()),
        false => Value::Null,
    };
    let captured = &net.last[tables::FIRST_COLUMN..net.last.len() - 1];
    let mut row = vec![net.last[0].clone(), Value::Int(operation), mask];
    row.extend_from_slice(captured);
    Some(row)
}
