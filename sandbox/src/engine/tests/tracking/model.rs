//! Random transactions: the changes since any version turn the table of that version into that of now.

use super::*;
use std::collections::BTreeMap;

type Rows = BTreeMap<i64, i64>;

/// Numbers that look random, the same for each seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// A statement on few keys, which may fail with a duplicate key.
fn statement(dice: &mut Dice) -> String {
    let (id, other, value) = (dice.below(6), dice.below(6), dice.below(100));
    match dice.below(8) {
        0..=2 => format!("INSERT t VALUES ({id}, {value})"),
        3 => format!("UPDATE t SET v = {value} WHERE id >= {id}"),
        4 => format!("UPDATE t SET v = v WHERE id = {id}"),
        5 => format!("DELETE t WHERE id IN ({id}, {other})"),
        6 => format!("UPDATE t SET id = {other} WHERE id = {id}"),
        _ => format!(
            "MERGE t USING (VALUES ({id}, {value}), ({}, {value})) AS s (id, v) ON t.id = s.id WHEN MATCHED AND t.v \
                > 50 THEN DELETE WHEN MATCHED THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.v);",
            id + 10
        ),
    }
}

/// Statements, some of them taken back to a savepoint, and how they end.
fn transaction(client: &mut Client, dice: &mut Dice) {
    client.ok("BEGIN TRAN");
    for _ in 0..=dice.below(3) {
        client.batch(&statement(dice));
    }
    if dice.below(3) == 0 {
        client.ok("SAVE TRAN s");
        client.batch(&statement(dice));
        client.ok("ROLLBACK TRAN s");
        client.batch(&statement(dice));
    }
    let end = match dice.below(5) {
        0 => "ROLLBACK",
        _ => "COMMIT",
    };
    client.ok(end);
}

fn numbers(row: &str) -> Vec<i64> {
    row.split('|')
        .map(|text| text.parse().unwrap_or(-1))
        .collect()
}

fn rows(client: &mut Client) -> Rows {
    let rows = client.rows("SELECT id, v FROM t");
    rows.iter()
        .map(|row| numbers(row))
        .map(|row| (row[0], row[1]))
        .collect()
}

/// Applies the changes since `last` to the table of then.
fn follow(client: &mut Client, last: usize, then: &Rows) -> Rows {
    let changed = client.rows(&format!(
        "SELECT ct.id, p.v, UNICODE(ct.SYS_CHANGE_OPERATION), ct.SYS_CHANGE_VERSION FROM CHANGETABLE(CHANGES dbo.t, \
            {last}) AS ct LEFT JOIN dbo.t AS p ON p.id = ct.id"
    ));
    let mut now = then.clone();
    for row in changed.iter().map(|row| numbers(row)) {
        let (id, value, operation, version) = (row[0], row[1], row[2] as u8, row[3]);
        assert!(version > last as i64, "{row:?}");
        match (operation, then.contains_key(&id)) {
            (b'D', _) => {
                assert_eq!(value, -1, "{row:?}");
                now.remove(&id);
            }
            (b'I', false) | (b'U', true) => {
                assert_ne!(value, -1, "{row:?}");
                now.insert(id, value);
            }
            _ => panic!("{row:?} after {then:?}"),
        }
    }
    now
}

#[test]
fn changes_lead_from_any_version_to_now() {
    for seed in 1..=12 {
        let (engine, mut a) = with_table();
        let mut b = connect(&engine);
        b.ok("SET TRANSACTION ISOLATION LEVEL SNAPSHOT");
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ seed);
        let mut states = vec![Rows::new()];
        let mut seen: Option<(usize, Rows)> = None;
        for _ in 0..40 {
            transaction(&mut a, &mut dice);
            let version: usize = a.one(CURRENT).parse().unwrap();
            let now = rows(&mut a);
            match version - (states.len() - 1) {
                0 => assert_eq!(states.last(), Some(&now)),
                1 => states.push(now.clone()),
                _ => panic!("a transaction takes one version"),
            }
            let last = dice.below(states.len() as u64) as usize;
            assert_eq!(follow(&mut a, last, &states[last]), now, "seed {seed}");
            // A snapshot leads to the table of its moment.
            match seen.take() {
                None => {
                    b.ok("BEGIN TRAN");
                    let version: usize = b.one(CURRENT).parse().unwrap();
                    seen = Some((version, rows(&mut b)));
                }
                Some((version, then)) => {
                    assert_eq!(b.one(CURRENT), version.to_string());
                    let last = last.min(version);
                    assert_eq!(follow(&mut b, last, &states[last]), then, "seed {seed}");
                    b.ok("COMMIT");
                }
            }
        }
    }
}
