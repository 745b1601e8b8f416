//! One history, loaded in steps of every snapshot, in random jumps, and at once: the target ends the same, and as a
//! simple model says.

use super::{CHAINS, TIMED, history, merge, rows};
use crate::harness::{Run, World, finish, server};
use std::collections::BTreeMap;

const SEED: u64 = 0x5eed_0001;
const ROUNDS: usize = 40;
const CHANGES: usize = 250;
const KEYS: u64 = 500;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// Name, and when it was changed.
type Item = (String, Option<String>);
type Items = BTreeMap<u64, Item>;

/// A lake with a snapshot after each round: its sequence number, and the rows of the source then.
async fn replay(world: &mut World, random: &mut Random) -> Vec<(String, Items)> {
    world.source("DELETE dbo.items").await;
    let (mut items, mut rounds) = (Items::new(), Vec::new());
    for round in 0..ROUNDS {
        let mut touched = Items::new();
        for change in 0..CHANGES {
            let id = random.below(KEYS);
            // Many at the same minute, in no order; some far ahead of any clock; some that say nothing.
            let at = match random.below(40) {
                0 => None,
                1 => Some(format!("2190-01-01 00:{:02}:00.000000", random.below(60))),
                _ => Some(format!("2024-01-01 00:{:02}:00.000000", random.below(60))),
            };
            let item = (format!("{round}.{change}"), at);
            match random.below(4) {
                0 => items.remove(&id),
                _ => items.insert(id, item.clone()),
            };
            touched.insert(id, item);
        }
        let ids: Vec<String> = touched.keys().map(ToString::to_string).collect();
        let rows: Vec<String> = touched
            .keys()
            .filter_map(|id| Some((id, items.get(id)?)))
            .map(|(id, (name, at))| {
                let at = at
                    .as_ref()
                    .map_or("NULL".to_owned(), |at| format!("'{at}'"));
                format!("({id}, N'{name}', {at})")
            })
            .collect();
        let statement = format!(
            "DELETE dbo.items WHERE id IN ({}); INSERT dbo.items (id, name, changed_at) VALUES {}",
            ids.join(", "),
            rows.join(", ")
        );
        world.source(&statement).await;
        let report = world.run(&["--json", "extract"]).json();
        let number = &report["tables"][0]["extract"]["sequence_number"];
        rounds.push((number.to_string(), items.clone()));
    }
    rounds
}

/// Which snapshots are loaded: every one, some, the last.
fn batchings(random: &mut Random) -> [Vec<usize>; 3] {
    let mut jumps = Vec::new();
    let mut at = random.below(3) as usize;
    while at < ROUNDS - 1 {
        jumps.push(at);
        at += 1 + random.below(8) as usize;
    }
    jumps.push(ROUNDS - 1);
    [(0..ROUNDS).collect(), jumps, vec![ROUNDS - 1]]
}

/// Loads a snapshot of the lake of one world into the target of another.
fn load_into(lake: &World, target: &World, snapshot: &str) -> Run {
    let connection = server().connection(&target.target_db);
    let mut command = lake.command(&["--json", "load", "--snapshot", snapshot]);
    finish(
        command
            .env("ICESYNC_TARGET", connection)
            .spawn()
            .expect("icesync starts"),
    )
}

/// A version in the lake.
struct Version {
    id: String,
    name: String,
    changed_at: String,
    op: String,
    seq: String,
    committed_at: String,
}

/// The history, as mode `history` loads it; checked against the rows of the source after each round.
async fn versions(lake: &World, rounds: &[(String, Items)]) -> Vec<Version> {
    let mut target = World::new("SELECT 1").await;
    let last = &rounds.last().expect("rounds").0;
    load_into(lake, &target, last).json();
    let query = "SELECT id, name, CONVERT(nvarchar(30), changed_at, 121), _op, CONVERT(int, _seq), \
        CONVERT(nvarchar(30), _committed_at, 121) FROM dbo.items ORDER BY _seq";
    let found = rows(&mut target, query).await;
    let versions: Vec<Version> = found
        .into_iter()
        .map(|row| {
            let [id, name, changed_at, op, seq, committed_at] = row.try_into().expect("columns");
            Version {
                id,
                name,
                changed_at,
                op,
                seq,
                committed_at,
            }
        })
        .collect();
    let mut items = Items::new();
    let commits = versions.chunk_by(|a, b| a.committed_at == b.committed_at);
    let mut seen = 0;
    for (commit, (_, expected)) in commits.zip(rounds) {
        for version in commit {
            let id = version.id.parse().expect("a number");
            let at = Some(version.changed_at.clone()).filter(|at| at != "NULL");
            match &*version.op {
                "D" => items.remove(&id),
                _ => items.insert(id, (version.name.clone(), at)),
            };
        }
        seen += 1;
        assert!(items == *expected, "round {seen}, seed {SEED:#x}");
    }
    assert_eq!(seen, rounds.len(), "seed {SEED:#x}");
    versions
}

/// The versions that nothing has ended yet, of one key.
#[derive(Default)]
struct Life {
    /// From, and the place of the row.
    versions: Vec<(String, usize)>,
    /// When the last delete took effect.
    floor: String,
    /// The latest time of all.
    top: String,
}

/// What `scd2` makes of a history, key by key in the order of the lake. Times are texts that sort.
fn model(versions: &[Version]) -> Vec<Vec<String>> {
    let mut lives: BTreeMap<&str, Life> = BTreeMap::new();
    let mut ended = vec![None; versions.len()];
    let mut since = vec![String::new(); versions.len()];
    let mut end = |life: &mut Life, until: Option<String>| {
        life.versions.sort();
        let next = life
            .versions
            .iter()
            .skip(1)
            .map(|(from, _)| Some((from.clone(), false)));
        let next = next.chain([until.map(|at| (at, true))]);
        for ((from, at), next) in life.versions.iter().zip(next) {
            since[*at].clone_from(from);
            ended[*at] = next;
        }
        life.versions.clear();
    };
    for (at, version) in versions.iter().enumerate() {
        let life = lives.entry(&version.id).or_default();
        let stamp = match (&*version.op, &*version.changed_at) {
            ("D", _) | (_, "NULL") => &version.committed_at,
            (_, changed_at) => changed_at,
        };
        life.top = stamp.max(life.top.as_str()).to_owned();
        if version.op == "D" {
            life.floor.clone_from(&life.top);
            let until = Some(life.top.clone());
            end(life, until);
        } else {
            let from = stamp.max(life.floor.as_str()).to_owned();
            life.versions.push((from, at));
        }
    }
    for life in lives.values_mut() {
        end(life, None);
    }
    let rows = versions.iter().zip(since).zip(ended);
    rows.filter(|((version, _), _)| version.op != "D")
        .map(|((version, since), ended)| {
            let flag = |is: bool| i32::from(is).to_string();
            let is_deleted = ended.as_ref().is_some_and(|(_, is_deleted)| *is_deleted);
            vec![
                version.id.clone(),
                version.name.clone(),
                version.changed_at.clone(),
                version.seq.clone(),
                since,
                ended.as_ref().map_or("NULL".into(), |(at, _)| at.clone()),
                flag(ended.is_none()),
                flag(is_deleted),
            ]
        })
        .collect()
}

/// The first rows that differ: all of them would be too many to read.
fn assert_same(found: &[Vec<String>], expected: &[Vec<String>], how: &str) {
    let differing = found.iter().zip(expected).find(|(a, b)| a != b);
    assert!(
        differing.is_none() && found.len() == expected.len(),
        "{how}, seed {SEED:#x}: {} rows, {} expected; {differing:#?}",
        found.len(),
        expected.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_the_same_however_a_history_is_cut_into_loads() {
    let mut random = Random(SEED);
    let mut lake = World::new(TIMED).await;
    history(&lake, "mode: history");
    let rounds = replay(&mut lake, &mut random).await;
    let versions = versions(&lake, &rounds).await;
    assert!(versions.len() > ROUNDS * CHANGES / 2, "{}", versions.len());
    let expected = model(&versions);
    history(&lake, "mode: scd2, valid_from: changed_at");
    for batching in batchings(&mut random) {
        let mut target = World::new("SELECT 1").await;
        for &round in &batching {
            load_into(&lake, &target, &rounds[round].0).json();
        }
        let found = rows(&mut target, CHAINS).await;
        assert_same(&found, &expected, &format!("{} loads", batching.len()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_are_those_of_the_snapshots_that_were_loaded() {
    let mut random = Random(SEED + 1);
    let mut lake = World::new(TIMED).await;
    let statements = ["merge", "update_insert", "merge"];
    let soft = |world: &World, statement: &str| {
        let deletes = "deletes: { soft: { column: gone, at: gone_at } }";
        merge(world, &format!("{deletes}, statement: {statement}"));
    };
    soft(&lake, "merge");
    let rounds = replay(&mut lake, &mut random).await;
    for (batching, statement) in batchings(&mut random).into_iter().zip(statements) {
        soft(&lake, statement);
        let mut target = World::new("SELECT 1").await;
        let mut expected: BTreeMap<u64, (Item, bool)> = BTreeMap::new();
        for &round in &batching {
            let (snapshot, items) = &rounds[round];
            load_into(&lake, &target, snapshot).json();
            for (id, (_, gone)) in &mut expected {
                *gone = !items.contains_key(id);
            }
            expected.extend(items.iter().map(|(id, item)| (*id, (item.clone(), false))));
        }
        let text = |gone: &bool| i32::from(*gone).to_string();
        let expected: Vec<Vec<String>> = expected
            .iter()
            .map(|(id, ((name, at), gone))| {
                let at = at.clone().unwrap_or("NULL".into());
                vec![id.to_string(), name.clone(), at, text(gone), text(gone)]
            })
            .collect();
        let query = "SELECT id, name, CONVERT(nvarchar(30), changed_at, 121), CONVERT(int, gone), CASE WHEN gone_at IS \
            NULL THEN 0 ELSE 1 END FROM dbo.items ORDER BY id";
        let found = rows(&mut target, query).await;
        assert_same(
            &found,
            &expected,
            &format!("{statement}, {} loads", batching.len()),
        );
    }
}
