//! Every type, here and in other engines.

use super::*;

/// A table with every type, NULL and extremes.
fn typed() -> (LakeSchema, RecordBatch) {
    use arrow_array::{
        BinaryArray, Date32Array, Decimal128Array, FixedSizeBinaryArray, Float32Array,
        Float64Array, Time64MicrosecondArray, TimestampMicrosecondArray,
    };
    let wide = i128::pow(10, 38) - 1;
    let decimal = |precision, values: Vec<Option<i128>>| -> ArrayRef {
        let array = Decimal128Array::from(values);
        Arc::new(array.with_precision_and_scale(precision, 2).unwrap())
    };
    let fixed = |width, values: Vec<Option<Vec<u8>>>| -> ArrayRef {
        Arc::new(
            FixedSizeBinaryArray::try_from_sparse_iter_with_size(values.into_iter(), width)
                .unwrap(),
        )
    };
    let (first, last) = (-62_135_596_800_000_000_i64, 253_402_300_799_999_999_i64);
    let stamps = || TimestampMicrosecondArray::from(vec![Some(first), Some(last), None]);
    let decimal_type = |precision| LakeType::Decimal {
        precision,
        scale: 2,
    };
    let columns: Vec<(&str, LakeType, ArrayRef)> = vec![
        (
            "id",
            LakeType::Long,
            Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX, 0])),
        ),
        (
            "b",
            LakeType::Boolean,
            Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
        ),
        (
            "i",
            LakeType::Int,
            Arc::new(Int32Array::from(vec![Some(i32::MIN), Some(i32::MAX), None])),
        ),
        (
            "f",
            LakeType::Float,
            Arc::new(Float32Array::from(vec![
                Some(f32::MIN),
                Some(f32::NAN),
                None,
            ])),
        ),
        (
            "d",
            LakeType::Double,
            Arc::new(Float64Array::from(vec![Some(f64::MAX), Some(-0.0), None])),
        ),
        (
            "dec9",
            decimal_type(9),
            decimal(9, vec![Some(-999_999_999), Some(999_999_999), None]),
        ),
        (
            "dec18",
            decimal_type(18),
            decimal(18, vec![Some(-1), Some(999_999_999_999_999_999), None]),
        ),
        (
            "dec38",
            decimal_type(38),
            decimal(38, vec![Some(-wide), Some(wide), None]),
        ),
        (
            "day",
            LakeType::Date,
            Arc::new(Date32Array::from(vec![
                Some(-719_162),
                Some(2_932_896),
                None,
            ])),
        ),
        (
            "t",
            LakeType::Time,
            Arc::new(Time64MicrosecondArray::from(vec![
                Some(0),
                Some(86_399_999_999),
                None,
            ])),
        ),
        ("ts", LakeType::Timestamp, Arc::new(stamps())),
        (
            "tz",
            LakeType::TimestampTz,
            Arc::new(stamps().with_timezone("+00:00")),
        ),
        (
            "s",
            LakeType::String,
            Arc::new(StringArray::from(vec![
                Some("訂單 \u{1F600}".repeat(20)),
                Some(String::new()),
                None,
            ])),
        ),
        (
            "u",
            LakeType::Uuid,
            fixed(
                16,
                vec![Some((0..16).collect()), Some(vec![0xFF; 16]), None],
            ),
        ),
        (
            "fx",
            LakeType::Fixed(8),
            fixed(8, vec![Some(vec![0; 8]), Some(vec![0xFF; 8]), None]),
        ),
        (
            "bin",
            LakeType::Binary,
            Arc::new(BinaryArray::from_opt_vec(vec![
                Some(&[0xFF; 40][..]),
                Some(&[]),
                None,
            ])),
        ),
    ];
    let schema = LakeSchema {
        fields: columns
            .iter()
            .enumerate()
            .map(|(at, (name, ty, _))| field(name, *ty, at == 0, Some(at), Role::Value))
            .collect(),
        key: vec![LakeKeyField {
            field: 0,
            fold: KeyFold::default(),
        }],
    };
    let arrow = crate::schema::mapping::arrow_schema(&schema);
    let columns = columns.into_iter().map(|(_, _, column)| column).collect();
    (schema, RecordBatch::try_new(arrow, columns).unwrap())
}

async fn write_typed(warehouse: &Warehouse) -> (LakeTable, RecordBatch) {
    let (schema, rows) = typed();
    let mut table = warehouse
        .create(
            &"dbo.typed".parse().unwrap(),
            &schema,
            TableKind::Mirror,
            BTreeMap::new(),
        )
        .await
        .unwrap();
    for rows in [rows.clone(), rows.slice(1, 1)] {
        let options = WriteOptions::new(WriteMode::Upsert, RunId::generate());
        let mut writer = table.writer(options).await.unwrap();
        writer.write(rows).await.unwrap();
        let prepared = writer.finish().await.unwrap();
        let run = intent(&table, RunId::generate());
        table.commit(prepared, run).await.unwrap();
    }
    (table, rows)
}

#[tokio::test]
async fn every_type_is_read_as_it_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(directory.path().to_str().unwrap())
        .await
        .unwrap();
    let (table, rows) = write_typed(&warehouse).await;
    assert_eq!(
        warehouse
            .table(table.name())
            .await
            .unwrap()
            .unwrap()
            .lake_schema(),
        &typed().0
    );
    let batches: Vec<RecordBatch> = table
        .scan(None, None)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    let found = arrow_select::concat::concat_batches(&rows.schema(), &batches).unwrap();
    // NaN is not equal to itself: compare by total order, as the key encoding does.
    let comparable = |batch: &RecordBatch| {
        let fields = batch
            .schema()
            .fields()
            .iter()
            .map(|f| arrow_row::SortField::new(f.data_type().clone()))
            .collect();
        let converter = arrow_row::RowConverter::new(fields).unwrap();
        let encoded = converter.convert_columns(batch.columns()).unwrap();
        let mut rows: Vec<Vec<u8>> = encoded.iter().map(|row| row.as_ref().to_vec()).collect();
        rows.sort();
        rows
    };
    assert_eq!(comparable(&found), comparable(&rows));
    let files = table.files(table.current_snapshot_id()).await.unwrap();
    let mut described = Vec::new();
    for manifest in &files.manifests {
        let bytes = table.store.read(&manifest.manifest_path).await.unwrap();
        let manifest = iceberg::spec::Manifest::parse_avro(&bytes).unwrap();
        described.extend(manifest.into_parts().0);
    }
    let first = described
        .iter()
        .map(|entry| entry.data_file())
        .find(|file| file.record_count() == 3)
        .unwrap();
    // NaN and uuid have no bounds, everything else has.
    let bounded: BTreeSet<i32> = first.lower_bounds().keys().copied().collect();
    assert_eq!(
        bounded,
        (1..=16).filter(|id| ![4, 14].contains(id)).collect()
    );
    let nulls = first.null_value_counts();
    assert!((2..=16).all(|id| nulls[&id] == 1) && nulls[&1] == 0);
}
