use super::*;
use crate::schema::mapping::{arrow_schema, lake_schema};
use crate::schema::{
    Collation, Column, Fidelity, Generated, Key, KeyOrigin, TableKind, TableSchema,
};
use arrow_array::{ArrayRef, FixedSizeBinaryArray, Float64Array, Int32Array, StringArray};
use arrow_array::{Decimal128Array, TimestampMicrosecondArray};
use std::sync::Arc;

fn table(columns: &[(&str, SqlType)]) -> TableSchema {
    let column = |&(name, ty): &(&str, SqlType)| Column {
        id: 1,
        name: name.to_owned(),
        ty,
        nullable: true,
        collation: ty.is_text().then(|| Collation {
            name: "Latin1_General_CI_AS".to_owned(),
            code_page: 1252,
        }),
        generated: Generated::No,
    };
    TableSchema {
        name: "dbo.t".parse().unwrap(),
        columns: columns.iter().map(column).collect(),
        key: Some(Key {
            columns: vec![0],
            origin: KeyOrigin::PrimaryKey,
        }),
    }
}

/// The encoder of a table with one key column, and a batch of these arrays.
fn world(
    columns: &[(&str, SqlType)],
    fidelity: Fidelity,
    arrays: Vec<ArrayRef>,
) -> (Canonical, RecordBatch) {
    let table = table(columns);
    let shape = lake_schema(&table, TableKind::Mirror, fidelity).unwrap();
    let all: Vec<(usize, SqlType)> = (0..).zip(columns.iter().map(|(_, ty)| *ty)).collect();
    let canonical = Canonical::new("dbo.t".to_owned(), &shape, &all, &all[..1]);
    let batch = RecordBatch::try_new(arrow_schema(&shape), arrays).unwrap();
    (canonical, batch)
}

fn key_of(canonical: &Canonical, batch: &RecordBatch, row: usize) -> Vec<u8> {
    let mut out = Vec::new();
    canonical.key(batch, row, &mut out).unwrap();
    out
}

#[test]
fn values_are_framed_so_that_none_runs_into_the_next() {
    let text = SqlType::NVarChar { length: Some(9) };
    let row = |a: Option<&str>, b: Option<&str>| {
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(vec![1])),
            Arc::new(StringArray::from(vec![a])),
            Arc::new(StringArray::from(vec![b])),
        ];
        let columns = [("k", SqlType::Int), ("a", text), ("b", text)];
        let (canonical, batch) = world(&columns, Fidelity::Exact, arrays);
        let mut out = Vec::new();
        canonical.row(&batch, 0, &mut out).unwrap();
        out
    };
    let rows = [
        row(Some("ab"), Some("")),
        row(Some("a"), Some("b")),
        row(Some("ab "), Some("")),
        row(Some("AB"), Some("")),
        row(Some("ab"), None),
        row(None, Some("ab")),
        row(None, None),
    ];
    let different: std::collections::BTreeSet<_> = rows.iter().collect();
    assert_eq!(different.len(), rows.len());
    let expected = [
        &[0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1][..],
        &[0, 0, 0, 4, b'a', 0, b'b', 0],
        &[0, 0, 0, 0],
    ];
    assert_eq!(rows[0], expected.concat());
}

#[test]
fn each_form_has_the_bytes_of_the_server() {
    let value = |ty: SqlType, arrays: Vec<ArrayRef>| {
        let mut all: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(vec![1]))];
        all.extend(arrays);
        let (canonical, batch) = world(&[("k", SqlType::Int), ("v", ty)], Fidelity::Exact, all);
        let mut out = Vec::new();
        canonical.value(1, &batch, 0, &mut out).unwrap();
        let framed = frames(&out).next().unwrap();
        framed.unwrap().to_vec()
    };
    let one = |array: ArrayRef| vec![array];
    let digits = Decimal128Array::from(vec![-5])
        .with_precision_and_scale(19, 4)
        .unwrap();
    assert_eq!(value(SqlType::Money, one(Arc::new(digits))), b"-0.0005");
    let zero = Float64Array::from(vec![-0.0]);
    assert_eq!(
        value(SqlType::Float, one(Arc::new(zero))),
        [0x80, 0, 0, 0, 0, 0, 0, 0]
    );
    let smiley = StringArray::from(vec!["😀 "]);
    assert_eq!(
        value(SqlType::NText, one(Arc::new(smiley))),
        [0x3D, 0xD8, 0x00, 0xDE, 0x20, 0x00]
    );
    let guid = uuid::Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
    let guids = FixedSizeBinaryArray::try_from_iter([guid.as_bytes()].into_iter()).unwrap();
    let bytes = value(SqlType::UniqueIdentifier, one(Arc::new(guids)));
    assert_eq!(bytes[..8], [0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66]);
    let moment = || TimestampMicrosecondArray::from(vec![-62_135_596_800_000_000]);
    assert_eq!(
        value(SqlType::SmallDateTime, one(Arc::new(moment()))),
        b"0001-01-01 00:00:00"
    );
    let ticks = || -> ArrayRef { Arc::new(Int32Array::from(vec![7])) };
    assert_eq!(
        value(
            SqlType::DateTime2 { scale: 7 },
            vec![Arc::new(moment()), ticks()]
        ),
        b"0001-01-01 00:00:00.0000007"
    );
    let utc = TimestampMicrosecondArray::from(vec![0]).with_timezone("+00:00");
    let offset: ArrayRef = Arc::new(Int32Array::from(vec![-90]));
    assert_eq!(
        value(
            SqlType::DateTimeOffset { scale: 0 },
            vec![Arc::new(utc), offset]
        ),
        b"1969-12-31 22:30:00 -01:30"
    );
    let (text, ty): (ArrayRef, ArrayRef) = (
        Arc::new(StringArray::from(vec!["1"])),
        Arc::new(StringArray::from(vec!["int"])),
    );
    let characters: Vec<u8> = b"int:1".iter().flat_map(|byte| [*byte, 0]).collect();
    assert_eq!(value(SqlType::SqlVariant, vec![text, ty]), characters);
}

#[test]
fn what_the_lake_has_cut_off_is_not_whole() {
    let whole = |ty: SqlType, fidelity: Fidelity| {
        let table = table(&[("k", SqlType::Int), ("v", ty)]);
        let shape = lake_schema(&table, TableKind::Mirror, fidelity).unwrap();
        is_whole(&shape, 1, ty)
    };
    for (ty, exact, standard) in [
        (SqlType::DateTime2 { scale: 7 }, true, false),
        (SqlType::DateTime2 { scale: 6 }, true, true),
        (SqlType::Time { scale: 7 }, true, false),
        (SqlType::DateTimeOffset { scale: 0 }, true, false),
        (SqlType::SqlVariant, true, true),
        (SqlType::Vector { dimensions: 3 }, false, false),
    ] {
        assert_eq!(whole(ty, Fidelity::Exact), exact, "{ty}");
        assert_eq!(whole(ty, Fidelity::Standard), standard, "{ty}");
    }
}

#[test]
fn keys_fold_as_in_the_lake_and_are_shown_as_they_are() {
    let text = SqlType::NVarChar { length: Some(9) };
    let keys = StringArray::from(vec!["Ab ", "aB", "É", "é"]);
    let (canonical, batch) = world(&[("k", text)], Fidelity::Exact, vec![Arc::new(keys)]);
    let keys: Vec<Vec<u8>> = (0..4).map(|row| key_of(&canonical, &batch, row)).collect();
    let folded: Vec<Vec<u8>> = keys.iter().map(|key| canonical.folded(key)).collect();
    assert_ne!(keys[0], keys[1]);
    assert_eq!(folded[0], folded[1]);
    assert_ne!(folded[2], folded[3]);
    assert_eq!(canonical.key_text(&keys[0]), "Ab ");
}

#[test]
fn the_key_of_an_instant_is_the_same_in_every_offset() {
    let utc = TimestampMicrosecondArray::from(vec![0, 0]).with_timezone("+00:00");
    let offsets = Int32Array::from(vec![60, 0]);
    let ty = SqlType::DateTimeOffset { scale: 3 };
    let arrays: Vec<ArrayRef> = vec![Arc::new(utc), Arc::new(offsets)];
    let (canonical, batch) = world(&[("k", ty)], Fidelity::Exact, arrays);
    let keys = [0, 1].map(|row| key_of(&canonical, &batch, row));
    assert_eq!(keys[0], keys[1]);
    assert_eq!(
        canonical.key_text(&keys[0]),
        "1970-01-01 00:00:00.000 +00:00"
    );
    let rows = [0, 1].map(|row| {
        let mut out = Vec::new();
        canonical.row(&batch, row, &mut out).unwrap();
        out
    });
    assert_ne!(rows[0], rows[1]);
}
