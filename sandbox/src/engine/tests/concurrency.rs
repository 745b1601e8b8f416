use super::{Engine, Reply, connect, engine, show_row, with_versions};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn min_active_rowversion_stops_before_open_transactions() {
    let engine = engine();
    let (mut a, mut b) = (connect(&engine), connect(&engine));
    a.ok("CREATE TABLE t (id int PRIMARY KEY, rv rowversion); INSERT t (id) VALUES (1)");
    a.ok("BEGIN TRAN; INSERT t (id) VALUES (2)");
    b.ok("INSERT t (id) VALUES (3)");
    assert_eq!(
        b.rows("SELECT id FROM t WHERE rv < MIN_ACTIVE_ROWVERSION()"),
        ["1"]
    );
    assert_eq!(
        b.one("SELECT CASE WHEN @@DBTS >= MIN_ACTIVE_ROWVERSION() THEN 1 ELSE 0 END"),
        "1"
    );
    a.ok("COMMIT");
    assert_eq!(
        b.rows("SELECT id FROM t WHERE rv < MIN_ACTIVE_ROWVERSION() ORDER BY rv"),
        ["1", "2", "3"]
    );
    assert_eq!(b.one("SELECT CASE WHEN CAST(MIN_ACTIVE_ROWVERSION() AS bigint) = CAST(@@DBTS AS bigint) + 1 THEN 1 \
        ELSE 0 END"), "1");
}

#[test]
fn snapshots_see_one_moment_and_refuse_conflicts() {
    let engine = engine();
    let (mut a, mut b) = (connect(&engine), connect(&engine));
    a.ok("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT t VALUES (1, 1), (2, 2)");
    b.ok("SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRAN");
    assert_eq!(b.one("SELECT SUM(v) FROM t"), "3");
    a.ok("UPDATE t SET v = 10 WHERE id = 1; DELETE FROM t WHERE id = 2; INSERT t VALUES (3, 30); UPDATE t SET id = 7 \
        WHERE id = 3");
    assert_eq!(b.rows("SELECT id, v FROM t ORDER BY id"), ["1|1", "2|2"]);
    assert_eq!(b.rows("SELECT v FROM t WHERE id = 2"), ["2"]);
    assert_eq!(b.error("UPDATE t SET v = 5 WHERE id = 1"), 3960);
    assert_eq!(b.one("SELECT @@TRANCOUNT"), "0");
    assert_eq!(a.rows("SELECT id, v FROM t ORDER BY id"), ["1|10", "7|30"]);
    a.ok("ALTER DATABASE shop SET ALLOW_SNAPSHOT_ISOLATION OFF");
    assert_eq!(b.error("BEGIN TRAN; SELECT * FROM t"), 3952);
}

#[test]
fn read_committed_does_not_wait_with_versions_and_waits_without() {
    let engine = engine();
    let (mut a, mut b) = (connect(&engine), connect(&engine));
    a.ok("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT t VALUES (1, 1)");
    a.ok("BEGIN TRAN; UPDATE t SET v = 2");
    assert_eq!(b.one("SELECT v FROM t"), "1");
    assert_eq!(b.one("SELECT v FROM t WITH (NOLOCK)"), "2");
    assert!(b.rows("SELECT v FROM t WITH (READPAST)").is_empty());
    assert_eq!(
        b.error("SET LOCK_TIMEOUT 50; SELECT v FROM t WITH (READCOMMITTEDLOCK)"),
        1222
    );
    b.ok("SET LOCK_TIMEOUT -1; ALTER DATABASE shop SET READ_COMMITTED_SNAPSHOT OFF");
    let waiter = thread::spawn(move || b.one("SELECT v FROM t"));
    thread::sleep(Duration::from_millis(60));
    assert!(!waiter.is_finished());
    a.ok("COMMIT");
    assert_eq!(waiter.join().unwrap(), "2");
}

#[test]
fn a_database_is_created_without_row_versions() {
    let engine = with_versions(false);
    let (mut a, mut b) = (connect(&engine), connect(&engine));
    let versions = "SELECT snapshot_isolation_state, is_read_committed_snapshot_on FROM sys.databases WHERE name = ";
    a.ok("CREATE DATABASE other");
    for database in ["shop", "other"] {
        assert_eq!(a.one(&format!("{versions}'{database}'")), "0|0");
    }
    a.ok("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT t VALUES (1, 1)");
    a.ok("BEGIN TRAN; UPDATE t SET v = 2");
    b.ok("SET LOCK_TIMEOUT 30");
    assert_eq!(b.error("SELECT v FROM t"), 1222);
    b.ok("SET TRANSACTION ISOLATION LEVEL SNAPSHOT");
    assert_eq!(b.error("SELECT v FROM t"), 3952);
    a.ok("ROLLBACK; ALTER DATABASE shop SET ALLOW_SNAPSHOT_ISOLATION ON");
    a.ok("BEGIN TRAN; UPDATE t SET v = 2");
    assert_eq!(b.one("SELECT v FROM t"), "1");
}

/// What a statement with a lock on a whole table keeps readers from.
#[test]
fn an_exclusive_table_lock_holds_off_readers_without_row_versions() {
    let engine = with_versions(false);
    let (mut a, mut b) = (connect(&engine), connect(&engine));
    a.ok("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT t VALUES (1, 1)");
    a.ok("CREATE TABLE s (id int PRIMARY KEY); INSERT s VALUES (7)");
    b.ok("SET LOCK_TIMEOUT 30");
    // None of them changes a row of dbo.t that exists.
    for held in [
        "SELECT TOP (0) 1 FROM t WITH (TABLOCKX)",
        "INSERT t WITH (TABLOCK) SELECT id, 7 FROM s",
        "UPDATE t WITH (TABLOCK) SET v = 2 WHERE id = 9",
        "DELETE FROM t WITH (TABLOCKX) WHERE id = 9",
    ] {
        a.ok(&format!("BEGIN TRAN; {held}"));
        for read in [
            "SELECT v FROM t WHERE id = 1",
            "SELECT COUNT(*) FROM t",
            "SELECT x.id FROM s AS x JOIN t ON t.id = x.id",
            "SELECT v FROM t WITH (READPAST)",
        ] {
            assert_eq!(b.error(read), 1222, "{held}: {read}");
        }
        assert_eq!(b.one("SELECT v FROM t WITH (NOLOCK) WHERE id = 1"), "1");
        a.ok("ROLLBACK");
        assert_eq!(b.one("SELECT v FROM t WHERE id = 1"), "1");
    }
    // A shared lock on the table and writers of other rows do not.
    for held in [
        "SELECT TOP (0) 1 FROM t WITH (TABLOCK, HOLDLOCK)",
        "INSERT t VALUES (2, 2)",
    ] {
        a.ok(&format!("BEGIN TRAN; {held}"));
        assert_eq!(b.one("SELECT v FROM t WHERE id = 1"), "1", "{held}");
        a.ok("ROLLBACK");
    }
    // A reader that is done holds nothing.
    b.ok("BEGIN TRAN; SELECT v FROM t");
    a.ok("SET LOCK_TIMEOUT 30; BEGIN TRAN; SELECT v FROM t WITH (TABLOCKX); COMMIT");
    b.ok("COMMIT");
}

#[test]
fn an_exclusive_table_lock_does_not_hold_off_readers_of_row_versions() {
    let engine = engine();
    let (mut a, mut b) = (connect(&engine), connect(&engine));
    a.ok("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT t VALUES (1, 1)");
    a.ok("BEGIN TRAN; UPDATE t WITH (TABLOCKX) SET v = 2");
    b.ok("SET LOCK_TIMEOUT 30");
    assert_eq!(b.one("SELECT v FROM t"), "1");
    assert_eq!(b.error("SELECT v FROM t WITH (READCOMMITTEDLOCK)"), 1222);
    assert_eq!(
        b.one("SET TRANSACTION ISOLATION LEVEL SNAPSHOT; SELECT v FROM t"),
        "1"
    );
    b.ok("SET TRANSACTION ISOLATION LEVEL READ COMMITTED");
    b.ok("ALTER DATABASE shop SET READ_COMMITTED_SNAPSHOT OFF");
    assert_eq!(b.error("SELECT v FROM t"), 1222);
}

#[test]
fn one_of_two_deadlocked_sessions_dies() {
    let engine = engine();
    let (mut a, mut b) = (connect(&engine), connect(&engine));
    a.ok("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT t VALUES (1, 0), (2, 0)");
    a.ok("BEGIN TRAN; UPDATE t SET v = 1 WHERE id = 1");
    b.ok("BEGIN TRAN; UPDATE t SET v = 2 WHERE id = 2");
    let older = thread::spawn(move || {
        let reply = a.batch("UPDATE t SET v = 1 WHERE id = 2; COMMIT");
        assert!(reply.errors.is_empty(), "{:?}", reply.errors);
        a
    });
    thread::sleep(Duration::from_millis(50));
    assert_eq!(b.error("UPDATE t SET v = 2 WHERE id = 1"), 1205);
    let mut a = older.join().unwrap();
    assert_eq!(a.rows("SELECT v FROM t"), ["1", "1"]);
    assert_eq!(b.one("SELECT @@TRANCOUNT"), "0");
}

#[test]
fn application_locks() {
    let engine = engine();
    let (mut a, mut b) = (connect(&engine), connect(&engine));
    let get = |mode: &str, owner: &str, timeout: i32| {
        format!(
            "DECLARE @rc int; EXEC @rc = sp_getapplock @Resource = N'r', @LockMode = N'{mode}', @LockOwner = \
                N'{owner}', @LockTimeout = {timeout}; SELECT @rc"
        )
    };
    assert_eq!(a.one(&get("Exclusive", "Transaction", 0)), "-999");
    a.ok("BEGIN TRAN");
    assert_eq!(a.one(&get("Exclusive", "Transaction", 0)), "0");
    assert_eq!(
        a.one("SELECT APPLOCK_MODE('public', 'r', 'Transaction')"),
        "Exclusive"
    );
    assert_eq!(b.one(&get("Shared", "Session", 0)), "-1");
    assert_eq!(b.one(&get("Shared", "Session", 30)), "-1");
    let text = get("Shared", "Session", 5000);
    let waiter = thread::spawn(move || (b.one(&text), b));
    thread::sleep(Duration::from_millis(40));
    a.ok("COMMIT");
    let (status, mut b) = waiter.join().unwrap();
    assert_eq!(status, "1");
    assert_eq!(a.one(&get("Exclusive", "Session", 0)), "-1");
    b.ok("EXEC sp_releaseapplock @Resource = N'r', @LockOwner = N'Session'");
    assert_eq!(a.one(&get("Exclusive", "Session", 0)), "0");
    assert_eq!(
        b.error("EXEC sp_releaseapplock @Resource = N'r', @LockOwner = N'Session'"),
        1223
    );
}

#[test]
fn a_fence_holds_writers_off_until_it_falls() {
    let engine = engine();
    let (mut a, mut b) = (connect(&engine), connect(&engine));
    a.ok("CREATE TABLE t (id int PRIMARY KEY); INSERT t VALUES (1)");
    a.ok("BEGIN TRAN; SELECT TOP (0) 1 FROM dbo.t WITH (TABLOCK, HOLDLOCK)");
    assert_eq!(b.error("SET LOCK_TIMEOUT 40; INSERT t VALUES (2)"), 1222);
    assert_eq!(
        b.one("SET TRANSACTION ISOLATION LEVEL SNAPSHOT; SELECT COUNT(*) FROM t"),
        "1"
    );
    a.ok("COMMIT");
    b.ok("SET TRANSACTION ISOLATION LEVEL READ COMMITTED; INSERT t VALUES (2)");
}

#[test]
fn a_queue_is_claimed_without_waiting() {
    let engine = engine();
    let (mut a, mut b) = (connect(&engine), connect(&engine));
    a.ok("CREATE TABLE q (seq int IDENTITY PRIMARY KEY, id int, batch int NULL); INSERT q (id) VALUES (1), (2), (3), \
        (4)");
    let claim = |batch: i32| {
        format!(
            "UPDATE TOP (2) q SET batch = {batch} FROM dbo.q AS q WITH (ROWLOCK, READPAST, READCOMMITTEDLOCK) WHERE \
                batch IS NULL"
        )
    };
    a.ok("BEGIN TRAN");
    assert_eq!(a.ok(&claim(1)).counts, [2]);
    assert_eq!(b.ok(&claim(2)).counts, [2]);
    a.ok("COMMIT");
    assert_eq!(
        a.rows("SELECT batch, COUNT(*) FROM q GROUP BY batch ORDER BY batch"),
        ["1|2", "2|2"]
    );
}

#[test]
fn concurrent_transfers_lose_nothing() {
    let engine = engine();
    connect(&engine).ok(
        "CREATE TABLE acc (id int PRIMARY KEY, v int NOT NULL, rv rowversion); INSERT acc (id, v) \
        VALUES (1, 100), (2, 100), (3, 100), (4, 100)",
    );
    let threads: Vec<_> = (0..4)
        .map(|seed: usize| {
            let mut client = connect(&engine);
            thread::spawn(move || {
                for round in 0..60usize {
                    let (from, to) = (1 + (seed + round) % 4, 1 + (seed + round * 3 + 1) % 4);
                    loop {
                        let reply = client.batch(&format!(
                            "SET XACT_ABORT ON; BEGIN TRAN; UPDATE acc SET v = v - 1 WHERE id = {from}; UPDATE acc SET \
                                v = v + 1 WHERE id = {to}; COMMIT"
                        ));
                        match reply.errors.first() {
                            None => break,
                            Some(error) => assert_eq!(error.number, 1205, "{error}"),
                        }
                    }
                }
            })
        })
        .collect();
    let mut reader = connect(&engine);
    while threads.iter().any(|thread| !thread.is_finished()) {
        assert_eq!(reader.one("SELECT SUM(v) FROM acc"), "400");
        assert_eq!(reader.one("SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRAN; DECLARE @a int = (SELECT SUM(v) \
            FROM acc WHERE id < 3); SELECT @a + SUM(v) FROM acc WHERE id >= 3; COMMIT"), "400");
    }
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(reader.one("SELECT SUM(v) FROM acc"), "400");
}

/// Takes its time over every chunk.
struct Slow(Reply);

impl crate::session::Sink for Slow {
    fn send(&mut self, event: crate::session::Event) -> bool {
        if matches!(event, crate::session::Event::Rows(_)) {
            thread::sleep(Duration::from_millis(15));
        }
        self.0.send(event)
    }
}

#[test]
fn a_slow_reader_holds_nobody_up_and_sees_one_moment() {
    read_slowly(&engine(), "SELECT id, v FROM t");
    let snapshots = with_versions(false);
    connect(&snapshots).ok("ALTER DATABASE shop SET ALLOW_SNAPSHOT_ISOLATION ON");
    read_slowly(
        &snapshots,
        "SET TRANSACTION ISOLATION LEVEL SNAPSHOT; SELECT id, v FROM t",
    );
}

fn read_slowly(engine: &Arc<Engine>, read: &'static str) {
    let (mut a, mut b) = (connect(engine), connect(engine));
    a.ok("CREATE TABLE t (id int IDENTITY PRIMARY KEY, v int); INSERT t (v) VALUES (0); DECLARE @i int = 0; WHILE @i < \
        14 BEGIN INSERT t (v) SELECT v FROM t; SET @i += 1; END");
    let reader = thread::spawn(move || {
        let mut slow = Slow(Reply::default());
        b.0.batch(read, &Arc::new(AtomicBool::new(false)), &mut slow);
        slow.0
    });
    thread::sleep(Duration::from_millis(60));
    let started = Instant::now();
    a.ok("UPDATE t SET v = 1; DELETE FROM t WHERE id > 16000");
    assert!(
        started.elapsed() < Duration::from_millis(2500),
        "{:?}",
        started.elapsed()
    );
    let reply = reader.join().unwrap();
    let rows = &reply.sets[0].1;
    assert_eq!(rows.len(), 16384);
    assert!(rows.iter().all(|row| row[1] == crate::value::Value::Int(0)));
    assert_eq!(a.one("SELECT COUNT(*) FROM t WHERE v = 1"), "16000");
}

#[test]
fn attention_stops_a_running_batch() {
    let engine = engine();
    let mut a = connect(&engine);
    let cancel = Arc::new(AtomicBool::new(false));
    let flag = cancel.clone();
    let stopper = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        flag.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let started = Instant::now();
    let mut reply = Reply::default();
    a.0.batch("WAITFOR DELAY '00:00:30'", &cancel, &mut reply);
    assert!(started.elapsed() < Duration::from_secs(5));
    stopper.join().unwrap();
}

/// A query that reads versions and waits in one of its expressions answers once.
#[test]
fn a_query_that_waits_before_its_first_row_sends_its_columns_once() {
    let engine = engine();
    let (mut a, mut b) = (connect(&engine), connect(&engine));
    a.ok("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT t VALUES (1, 1)");
    a.ok("BEGIN TRAN; UPDATE t SET v = 2");
    let query = "SELECT 1 AS one, (SELECT SUM(v) FROM t WITH (READCOMMITTEDLOCK)) AS v";
    let waiter = thread::spawn(move || b.batch(query));
    thread::sleep(Duration::from_millis(60));
    assert!(!waiter.is_finished());
    a.ok("COMMIT");
    let reply = waiter.join().unwrap();
    assert_eq!(reply.sets.len(), 1);
    let (columns, rows) = &reply.sets[0];
    assert_eq!(
        (rows.len(), show_row(columns, &rows[0]).as_str()),
        (1, "1|2")
    );
}
