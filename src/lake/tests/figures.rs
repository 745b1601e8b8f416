//! Times of the incremental case; run by hand with optimisation:
//! `ICESYNC_FIGURES=10000000 cargo test --release -p icesync --lib lake::tests::figures -- --ignored --nocapture`

use super::*;
use arrow_array::{Float64Array, TimestampMicrosecondArray};
use std::time::Instant;

fn wide_schema(text_key: bool) -> LakeSchema {
    let types = [
        (
            "id",
            if text_key {
                LakeType::String
            } else {
                LakeType::Long
            },
        ),
        ("updated_at", LakeType::Timestamp),
        ("carrier", LakeType::String),
        ("flight", LakeType::Int),
        ("tail", LakeType::String),
        ("origin", LakeType::String),
        ("distance", LakeType::Double),
        ("delay", LakeType::Int),
        ("note", LakeType::String),
        ("scheduled", LakeType::Timestamp),
    ];
    let all = types.iter().enumerate();
    let fields = all.map(|(at, (name, ty))| field(name, *ty, at == 0, Some(at), Role::Value));
    let fold = KeyFold {
        trim: text_key,
        ascii_case: text_key,
    };
    LakeSchema {
        fields: fields.collect(),
        key: vec![LakeKeyField { field: 0, fold }],
    }
}

fn wide(ids: &[i64], text_key: bool, version: i64) -> RecordBatch {
    let text = |of: &dyn Fn(i64) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(ids.iter().map(|id| of(*id))))
    };
    let int = |of: &dyn Fn(i64) -> i64| -> ArrayRef {
        Arc::new(Int32Array::from_iter_values(
            ids.iter().map(|id| of(*id) as i32),
        ))
    };
    let stamp = |of: &dyn Fn(i64) -> i64| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from_iter_values(
            ids.iter().map(|id| of(*id)),
        ))
    };
    let columns: Vec<ArrayRef> = vec![
        if text_key {
            text(&|id| format!("K{id:011}"))
        } else {
            Arc::new(Int64Array::from_iter_values(ids.iter().copied()))
        },
        stamp(&|id| 1_700_000_000_000_000 + id * 1_003 + version),
        text(&|id| ["AA", "UA", "DL", "B6"][(id % 4) as usize].to_owned()),
        int(&|id| id * 7919 % 5000),
        text(&|id| format!("N{}", id * 31 % 4000)),
        text(&|id| ["JFK", "LGA", "EWR"][(id % 3) as usize].to_owned()),
        Arc::new(Float64Array::from_iter_values(
            ids.iter().map(|id| (id % 2500) as f64),
        )),
        int(&|id| id * 104_729 % 300 - 30),
        text(&|id| format!("note {} of version {version}", id * 48_271 % 100_000)),
        stamp(&|id| 1_700_000_000_000_000 + id * 1_000_000),
    ];
    RecordBatch::try_new(
        crate::schema::mapping::arrow_schema(&wide_schema(text_key)),
        columns,
    )
    .unwrap()
}

async fn write(table: &mut LakeTable, batches: Vec<RecordBatch>, what: &str) -> Committed {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let start = Instant::now();
    let mut writer = table
        .writer(WriteOptions::new(WriteMode::Upsert, RunId::generate()))
        .await
        .unwrap();
    for batch in batches {
        writer.write(batch).await.unwrap();
    }
    let prepared = writer.finish().await.unwrap();
    let prepared_in = start.elapsed();
    let run = intent(table, RunId::generate());
    let committed = table.commit(prepared, run).await.unwrap();
    let all = start.elapsed();
    let each = rows as f64 / all.as_secs_f64();
    println!("{what}: {rows} rows in {all:.3?} (prepared {prepared_in:.3?}), {each:.0} rows/s");
    println!("    {:?}\n    {:?}", committed.counts, committed.lookup);
    committed
}

fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    line.unwrap_or("unknown").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures; run by hand"]
async fn figures() {
    let total: i64 = std::env::var("ICESYNC_FIGURES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(336_776);
    for text_key in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let warehouse = Warehouse::open(directory.path().to_str().unwrap())
            .await
            .unwrap();
        let mut table = warehouse
            .create(
                &name(),
                &wide_schema(text_key),
                TableKind::Mirror,
                BTreeMap::new(),
            )
            .await
            .unwrap();
        println!("== {total} rows, text key: {text_key}");
        let start = Instant::now();
        let mut generated = std::time::Duration::ZERO;
        let mut writer = table
            .writer(WriteOptions::new(WriteMode::Upsert, RunId::generate()))
            .await
            .unwrap();
        let mut at = 0;
        while at < total {
            let begin = Instant::now();
            let end = (at + 8192).min(total);
            let batch = wide(&(at..end).collect::<Vec<_>>(), text_key, 0);
            generated += begin.elapsed();
            writer.write(batch).await.unwrap();
            at = end;
        }
        let prepared = writer.finish().await.unwrap();
        let run = intent(&table, RunId::generate());
        let committed = table.commit(prepared, run).await.unwrap();
        println!(
            "full copy: {:.3?} of which generating {generated:.3?}",
            start.elapsed()
        );
        println!(
            "    {:?}\n    {:?}\n    {}",
            committed.counts,
            committed.lookup,
            peak_memory()
        );
        for changed in [1_000, 10_000] {
            let scattered: Vec<i64> = (0..changed).map(|n| n * (total / changed)).collect();
            let batches = scattered
                .chunks(8192)
                .map(|ids| wide(ids, text_key, changed))
                .collect();
            write(&mut table, batches, "scattered").await;
            let clustered: Vec<i64> = (total / 2..total / 2 + changed).collect();
            let batches = clustered
                .chunks(8192)
                .map(|ids| wide(ids, text_key, changed + 1))
                .collect();
            write(&mut table, batches, "clustered").await;
            let new: Vec<i64> = (total + changed * 2..total + changed * 3).collect();
            let batches = new.chunks(8192).map(|ids| wide(ids, text_key, 1)).collect();
            write(&mut table, batches, "new").await;
        }
        let start = Instant::now();
        let mut rows = 0;
        let mut scan = table.scan(None, None).await.unwrap();
        while let Some(batch) = scan.try_next().await.unwrap() {
            rows += batch.num_rows();
        }
        println!("scan: {rows} rows in {:.3?}", start.elapsed());
        let begin = Instant::now();
        let opened = warehouse.table(&name()).await.unwrap().unwrap();
        println!("open: {:.3?}; {}", begin.elapsed(), peak_memory());
        assert_eq!(opened.current_rows().await.unwrap(), rows as u64);
    }
}
