//! The capture job, log sequence numbers and times, cleanup, restores.

use super::capture::{changes, enable, enabled};
use super::{Client, connect};
use crate::engine::{Engine, Options};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

fn stop(c: &mut Client) {
    c.ok("EXEC sys.sp_cdc_stop_job");
}

const COUNT: &str = "SELECT COUNT(*) FROM cdc.dbo_t_CT";
const MAX: &str = "SELECT sys.fn_cdc_get_max_lsn()";

#[test]
fn the_job_scans_what_was_committed_a_while_ago() {
    let engine = Engine::new(Options {
        databases: vec!["shop".into()],
        password: "pw".into(),
        capture_delay_ms: 60,
        ..Options::default()
    })
    .unwrap();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (id int NOT NULL PRIMARY KEY)");
    c.ok("EXEC sys.sp_cdc_enable_db");
    enable(&mut c, "t", "");
    let began = Instant::now();
    c.ok("INSERT t VALUES (1)");
    let first = c.one(COUNT);
    assert!(
        first == "0" || began.elapsed() > Duration::from_millis(60),
        "{first}"
    );
    while c.one(COUNT) == "0" {
        assert!(began.elapsed() < Duration::from_secs(20));
        thread::sleep(Duration::from_millis(5));
    }
    assert!(began.elapsed() >= Duration::from_millis(60));
    // The table and the map of LSNs are one transaction's.
    assert_eq!(
        c.one("SELECT COUNT(*) FROM cdc.dbo_t_CT WHERE __$start_lsn = sys.fn_cdc_get_max_lsn()"),
        "1"
    );
}

#[test]
fn a_stopped_job_leaves_the_highest_lsn_behind() {
    let (_, mut c) = enabled();
    c.ok("CREATE TABLE t (id int NOT NULL PRIMARY KEY)");
    enable(&mut c, "t", "");
    assert_eq!(c.error("EXEC sys.sp_cdc_scan"), 22903);
    assert_eq!(c.error("EXEC sys.sp_cdc_start_job"), 22022);
    stop(&mut c);
    assert_eq!(c.error("EXEC sys.sp_cdc_stop_job N'capture'"), 22022);
    c.ok("EXEC sys.sp_cdc_scan");
    let before = c.one(MAX);
    c.ok("INSERT t VALUES (1); INSERT t VALUES (2); INSERT t VALUES (3)");
    thread::sleep(Duration::from_millis(120));
    assert_eq!((c.one(COUNT), c.one(MAX)), ("0".into(), before));
    c.ok("EXEC sys.sp_cdc_scan @maxtrans = 2, @maxscans = 1");
    assert_eq!(c.rows("SELECT id FROM cdc.dbo_t_CT ORDER BY 1"), ["1", "2"]);
    c.ok("EXEC sys.sp_cdc_start_job");
    let began = Instant::now();
    while c.one(COUNT) != "3" {
        assert!(began.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn the_interval_of_an_instance_begins_when_the_job_meets_it() {
    let (engine, mut c) = enabled();
    c.ok("CREATE TABLE t (id int NOT NULL PRIMARY KEY)");
    enable(&mut c, "t", "");
    stop(&mut c);
    c.ok("INSERT t VALUES (1)");
    let facts = "SELECT sys.fn_cdc_get_min_lsn('dbo_t'), sys.fn_cdc_get_max_lsn(), (SELECT start_lsn FROM \
        cdc.change_tables)";
    assert_eq!(c.one(facts), "NULL|NULL|NULL");
    // What was committed before the first scan, and after the instance was made, is captured.
    assert_eq!(changes(&engine, &mut c, "dbo_t", "id"), ["2|0x01|1"]);
    assert_eq!(
        c.one("SELECT CASE WHEN sys.fn_cdc_get_min_lsn('dbo_t') = MIN(start_lsn) AND MIN(start_lsn) < \
            sys.fn_cdc_get_max_lsn() THEN 1 ELSE 0 END FROM cdc.lsn_time_mapping"),
        "1"
    );
    assert_eq!(
        c.one("SELECT sys.fn_cdc_get_min_lsn('dbo_u')"),
        "0x00000000000000000000"
    );
    // An entry without changes moves the high endpoint only.
    let before = c.one(MAX);
    engine.log_idle_entry("shop").unwrap();
    engine.capture_now("shop").unwrap();
    assert!(c.one(MAX) > before);
    assert_eq!(c.one(COUNT), "1");
}

#[test]
fn lsns_count_as_numbers_of_ten_bytes() {
    let (_, mut c) = enabled();
    assert_eq!(
        c.one(
            "SELECT sys.fn_cdc_increment_lsn(0x0000002A000000FFFFFF), \
        sys.fn_cdc_decrement_lsn(0x0000002A000001000000), \
            sys.fn_cdc_increment_lsn(NULL), sys.fn_cdc_increment_lsn(0x00000000000000000000)"
        ),
        "0x0000002A000001000000|0x0000002A000000FFFFFF|NULL|0x00000000000000000001"
    );
    assert_eq!(
        c.one("SELECT sys.fn_cdc_is_bit_set(1, 0x0104), sys.fn_cdc_is_bit_set(3, 0x0104), sys.fn_cdc_is_bit_set(9, \
            0x0104), sys.fn_cdc_is_bit_set(10, 0x0104), sys.fn_cdc_is_bit_set(90, 0x0104)"),
        "0|1|1|0|0"
    );
    assert_eq!(c.error("SELECT fn_cdc_get_max_lsn()"), 195);
}

#[test]
fn masks_tell_columns_by_name_and_ordinal() {
    let (_, mut c) = enabled();
    c.ok("CREATE TABLE t (id int NOT NULL PRIMARY KEY, a int, b int)");
    enable(&mut c, "t", ", @captured_column_list = N'\"b\",id'");
    assert_eq!(
        c.one("SELECT sys.fn_cdc_get_column_ordinal('dbo_t', 'id'), sys.fn_cdc_get_column_ordinal('dbo_t', 'B'), \
            sys.fn_cdc_get_column_ordinal('dbo_t', 'a'), sys.fn_cdc_has_column_changed('dbo_t', 'b', 0x02), \
            sys.fn_cdc_has_column_changed('dbo_t', 'id', 0x02), sys.fn_cdc_has_column_changed('dbo_t', 'a', 0x02)"),
        "1|2|NULL|1|0|NULL"
    );
    assert_eq!(
        c.rows("SELECT column_name, column_id, column_type, column_ordinal, is_computed FROM cdc.captured_columns \
        ORDER \
            BY column_ordinal"),
        ["id|1|int|1|0", "b|3|int|2|0"]
    );
    assert_eq!(
        c.rows("SELECT column_name, index_ordinal, column_id FROM cdc.index_columns"),
        ["id|1|1"]
    );
}

#[test]
fn times_and_lsns_map_to_each_other() {
    let engine = Engine::new(Options {
        databases: vec!["shop".into()],
        password: "pw".into(),
        // 2024-03-01 00:00:00 UTC
        clock: crate::engine::Clock::Fixed(738_945 * 864_000_000_000),
        ..Options::default()
    })
    .unwrap();
    let mut c = connect(&engine);
    c.ok("EXEC sys.sp_cdc_enable_db; CREATE TABLE t (id int NOT NULL PRIMARY KEY)");
    enable(&mut c, "t", "");
    c.ok("INSERT t VALUES (1); INSERT t VALUES (2)");
    engine.capture_now("shop").unwrap();
    // All have one commit time: the greatest and the least LSN stand for it.
    assert_eq!(
        c.one("DECLARE @now datetime = GETDATE(), @min binary(10), @max binary(10); SELECT @min = MIN(start_lsn), \
        @max = \
            MAX(start_lsn) FROM cdc.lsn_time_mapping; SELECT CASE WHEN \
            sys.fn_cdc_map_time_to_lsn('largest less than or equal', @now) = @max THEN 1 ELSE 0 END, \
            CASE WHEN sys.fn_cdc_map_time_to_lsn('smallest greater than or equal', @now) = @min THEN 1 ELSE 0 END, \
            sys.fn_cdc_map_time_to_lsn('largest less than', @now), sys.fn_cdc_map_time_to_lsn('smallest greater than', \
            @now), CASE WHEN sys.fn_cdc_map_lsn_to_time(@max) = @now THEN 1 ELSE 0 END, \
            sys.fn_cdc_map_lsn_to_time(sys.fn_cdc_increment_lsn(@max))"),
        "1|1|NULL|NULL|1|NULL"
    );
}

fn distinct_times() -> (Arc<Engine>, Client) {
    let (engine, mut c) = enabled();
    c.ok("CREATE TABLE t (id int NOT NULL PRIMARY KEY)");
    enable(&mut c, "t", "");
    for id in 1..=3 {
        thread::sleep(Duration::from_millis(8));
        c.ok(&format!("INSERT t VALUES ({id})"));
    }
    engine.capture_now("shop").unwrap();
    (engine, c)
}

#[test]
fn cleanup_moves_the_low_endpoint_and_deletes_below_it() {
    let (_, mut c) = distinct_times();
    let low = "DECLARE @low binary(10) = (SELECT __$start_lsn FROM cdc.dbo_t_CT WHERE id = 2);";
    c.ok(&format!("{low} EXEC sys.sp_cdc_cleanup_change_table @capture_instance = N'dbo_t', @low_water_mark = @low"));
    assert_eq!(c.rows("SELECT id FROM cdc.dbo_t_CT ORDER BY 1"), ["2", "3"]);
    assert_eq!(
        c.one("SELECT CASE WHEN sys.fn_cdc_get_min_lsn('dbo_t') = MIN(__$start_lsn) THEN 1 ELSE 0 END FROM \
            cdc.dbo_t_CT"),
        "1"
    );
    // NULL leaves the low endpoint where it is, and a lower mark, too.
    c.ok(
        "EXEC sys.sp_cdc_cleanup_change_table @capture_instance = N'dbo_t', @low_water_mark = NULL",
    );
    c.ok(
        "DECLARE @low binary(10) = (SELECT MIN(start_lsn) FROM cdc.lsn_time_mapping); EXEC \
        sys.sp_cdc_cleanup_change_table N'dbo_t', @low",
    );
    assert_eq!(c.rows("SELECT id FROM cdc.dbo_t_CT ORDER BY 1"), ["2", "3"]);
    assert_eq!(
        c.error("EXEC sys.sp_cdc_cleanup_change_table N'dbo_t', 0x00000000000000000001"),
        22964
    );
    assert_eq!(
        c.error("EXEC sys.sp_cdc_cleanup_change_table N'dbo_u', NULL"),
        22920
    );
    // A reader that was below the low endpoint is told so.
    assert_eq!(
        c.error("DECLARE @f binary(10) = sys.fn_cdc_decrement_lsn(sys.fn_cdc_get_min_lsn('dbo_t')), @t binary(10) = \
            sys.fn_cdc_get_max_lsn(); SELECT * FROM cdc.fn_cdc_get_all_changes_dbo_t(@f, @t, 'all')"),
        313
    );
}

#[test]
fn the_cleanup_job_keeps_what_its_retention_says() {
    let (_, mut c) = distinct_times();
    let jobs = "EXEC sys.sp_cdc_help_jobs";
    let shown = |c: &mut Client| -> Vec<String> {
        c.rows(jobs)
            .iter()
            .map(|row| row.split_once('|').unwrap().1.to_owned())
            .collect()
    };
    assert_eq!(
        shown(&mut c),
        ["capture|500|10|1|5|0|0", "cleanup|0|0|0|0|4320|5000"]
    );
    c.ok("EXEC sys.sp_cdc_start_job N'cleanup'");
    assert_eq!(c.one(COUNT), "3");
    for (more, number) in [
        ("N'cleanup', @retention = 0", 22994),
        ("N'cleanup', @maxtrans = 5", 22996),
        ("N'capture', @retention = 5", 22995),
        ("N'other'", 22992),
    ] {
        let text = format!("EXEC sys.sp_cdc_change_job @job_type = {more}");
        assert_eq!(c.error(&text), number, "{more}");
    }
    c.ok("EXEC sys.sp_cdc_change_job @job_type = N'cleanup', @retention = 2");
    assert_eq!(shown(&mut c)[1], "cleanup|0|0|0|0|2|5000");
    // All but the last were committed minutes ago.
    c.ok("UPDATE cdc.lsn_time_mapping SET tran_end_time = DATEADD(minute, -3, tran_end_time) WHERE start_lsn < \
        sys.fn_cdc_get_max_lsn(); EXEC sys.sp_cdc_start_job N'cleanup'");
    assert_eq!(c.rows("SELECT id FROM cdc.dbo_t_CT"), ["3"]);
    assert_eq!(c.one("SELECT COUNT(*) FROM cdc.lsn_time_mapping"), "1");
    assert_eq!(
        c.one("SELECT CASE WHEN sys.fn_cdc_get_min_lsn('dbo_t') = sys.fn_cdc_get_max_lsn() THEN 1 ELSE 0 END"),
        "1"
    );
}

#[test]
fn a_restore_takes_lsns_back() {
    let (engine, mut c) = enabled();
    c.ok("CREATE TABLE t (id int NOT NULL PRIMARY KEY)");
    enable(&mut c, "t", "");
    stop(&mut c);
    c.ok("INSERT t VALUES (1); EXEC sys.sp_cdc_scan; INSERT t VALUES (2)");
    let backup = engine.back_up("shop").unwrap();
    let before = c.one(MAX);
    c.ok("INSERT t VALUES (3); EXEC sys.sp_cdc_scan");
    let first = c.one(MAX);
    engine.restore("shop", &backup).unwrap();
    assert_eq!((c.one(MAX), c.one(COUNT)), (before, "1".into()));
    // The same LSN stands for another transaction now. What the backup had not scanned is scanned again.
    c.ok("INSERT t VALUES (30); EXEC sys.sp_cdc_scan");
    assert_eq!(c.one(MAX), first);
    assert_eq!(
        c.rows("SELECT id FROM cdc.dbo_t_CT ORDER BY __$seqval"),
        ["1", "2", "30"]
    );
}

#[test]
fn a_snapshot_sees_bounds_and_changes_of_one_moment() {
    let (engine, mut a) = enabled();
    let mut b = connect(&engine);
    a.ok("CREATE TABLE t (id int NOT NULL PRIMARY KEY)");
    enable(&mut a, "t", "");
    engine.capture_now("shop").unwrap();
    b.ok("SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRAN");
    let before = b.one(MAX);
    a.ok("INSERT t VALUES (1)");
    engine.capture_now("shop").unwrap();
    assert_eq!((b.one(MAX), b.one(COUNT)), (before.clone(), "0".into()));
    assert!(a.one(MAX) > before);
    b.ok("COMMIT");
    assert_eq!(b.one(MAX), a.one(MAX));
}
