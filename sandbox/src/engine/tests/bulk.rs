use super::{Client, Reply, connect, engine};
use crate::engine::types::string;
use crate::value::Value;

fn load(client: &mut Client, sql: &str, rows: Vec<Vec<Value>>, abort: bool) -> Reply {
    let reply = client.batch(sql);
    assert!(reply.errors.is_empty(), "{:?}", reply.errors);
    let mut done = Reply::default();
    for chunk in rows.chunks(2) {
        // Errors come again at the end.
        let _ = client.0.bulk_rows(chunk.to_vec());
    }
    client.0.bulk_end(abort, &mut done);
    done
}

#[test]
fn a_bulk_load_is_one_statement() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE b (id int NOT NULL, s nvarchar(3) NULL, d int NOT NULL DEFAULT 7, rv rowversion)");
    let sql = "INSERT BULK b ([id] int, [s] nvarchar(10)) WITH (TABLOCK, CHECK_CONSTRAINTS)";
    let good = vec![
        vec![Value::Int(1), string("a")],
        vec![Value::Int(2), Value::Null],
        vec![Value::Int(3), string("c")],
    ];
    assert_eq!(load(&mut c, sql, good.clone(), false).counts, [3]);
    assert_eq!(
        c.rows("SELECT id, s, d FROM b ORDER BY id"),
        ["1|a|7", "2|NULL|7", "3|c|7"]
    );
    assert_eq!(c.one("SELECT COUNT(DISTINCT rv) FROM b"), "3");
    let mut bad = good.clone();
    bad.push(vec![Value::Null, Value::Null]);
    assert_eq!(load(&mut c, sql, bad, false).errors[0].number, 515);
    let long = vec![vec![Value::Int(8), string("abcd")]];
    assert_eq!(load(&mut c, sql, long, false).errors[0].number, 4815);
    load(&mut c, sql, good.clone(), true);
    assert_eq!(c.one("SELECT COUNT(*) FROM b"), "3");
    // Inside a transaction the load rolls back with it.
    c.ok("BEGIN TRAN");
    load(&mut c, sql, good, false);
    assert_eq!(c.one("SELECT COUNT(*) FROM b"), "6");
    c.ok("ROLLBACK");
    assert_eq!(c.one("SELECT COUNT(*) FROM b"), "3");
}

#[test]
fn parallel_loads_share_a_heap() {
    let engine = engine();
    let mut first = connect(&engine);
    let mut second = connect(&engine);
    first.ok("CREATE TABLE h (id int)");
    let sql = "INSERT BULK h ([id] int) WITH (TABLOCK)";
    assert!(first.batch(sql).errors.is_empty());
    assert!(second.batch(sql).errors.is_empty());
    for number in 0..10 {
        first.0.bulk_rows(vec![vec![Value::Int(number)]]).unwrap();
        second
            .0
            .bulk_rows(vec![vec![Value::Int(100 + number)]])
            .unwrap();
    }
    let mut done = Reply::default();
    first.0.bulk_end(false, &mut done);
    second.0.bulk_end(false, &mut done);
    assert_eq!(done.counts, [10, 10]);
    assert_eq!(first.one("SELECT COUNT(*) FROM h"), "20");
}

#[test]
fn identity_values_are_kept_only_when_asked() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE i (id int IDENTITY(1,1) PRIMARY KEY, v int)");
    let rows = vec![vec![Value::Int(50), Value::Int(1)]];
    load(
        &mut c,
        "INSERT BULK i ([id] int, [v] int) WITH (KEEP_IDENTITY)",
        rows.clone(),
        false,
    );
    load(
        &mut c,
        "INSERT BULK i ([v] int)",
        vec![vec![Value::Int(2)]],
        false,
    );
    assert_eq!(c.rows("SELECT id, v FROM i ORDER BY id"), ["50|1", "51|2"]);
}
