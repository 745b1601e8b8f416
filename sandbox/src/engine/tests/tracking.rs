//! Change tracking. Names of pages are those of Microsoft's documentation; see `sandbox/README.md` for what it leaves
//! open.

mod definitions;
mod model;
mod reading;
mod versions;

use super::{Client, connect, connect_as, engine};
use crate::engine::{Engine, Options};
use std::sync::Arc;

const COLUMNS: &str = "SYS_CHANGE_VERSION, SYS_CHANGE_CREATION_VERSION, SYS_CHANGE_OPERATION, id";
const CURRENT: &str = "SELECT CHANGE_TRACKING_CURRENT_VERSION()";
const LEAST: &str = "SELECT CHANGE_TRACKING_MIN_VALID_VERSION(OBJECT_ID('dbo.t'))";

/// An engine whose database `shop` tracks changes, where enabling and truncating take a version or none.
fn tracking(takes_version: bool) -> Arc<Engine> {
    let engine = Engine::new(Options {
        databases: vec!["shop".into()],
        password: "pw".into(),
        allow_snapshot: true,
        history_end_takes_version: takes_version,
        ..Options::default()
    })
    .unwrap();
    connect(&engine).ok("ALTER DATABASE CURRENT SET CHANGE_TRACKING = ON");
    engine
}

/// A tracked table `t` of `id` and `v`, which begins at version 0.
fn with_table() -> (Arc<Engine>, Client) {
    let engine = tracking(false);
    let mut a = connect(&engine);
    a.ok("CREATE TABLE t (id int NOT NULL PRIMARY KEY, v int NULL)");
    a.ok("ALTER TABLE t ENABLE CHANGE_TRACKING");
    (engine, a)
}

/// Version, creation version, operation and `id` of each change of `t`.
fn changes(client: &mut Client, after: &str) -> Vec<String> {
    client.rows(&format!(
        "SELECT {COLUMNS} FROM CHANGETABLE(CHANGES dbo.t, {after}) AS ct ORDER BY id"
    ))
}
