use super::*;

#[test]
fn buckets_and_their_values_agree() {
    let key = Hash::of(b"key");
    for (low, width) in [(0, 1), (-5, 64), (100, 3), (i64::MIN / 4, 1 << 40)] {
        let buckets = Buckets::Range {
            column: 0,
            low,
            width,
        };
        for distance in [-200, -65, -64, -63, -1, 0, 1, 2, 3, 63, 64, 127, 128, 5_000] {
            let value = low + distance;
            let bucket = buckets.of(key, Some(value));
            let (from, to) = Buckets::values(low, width, (bucket, bucket));
            assert!(
                (from..=to).contains(&value),
                "{low} {width} {value}: {bucket} {from} {to}"
            );
            assert_eq!(buckets.of(key, Some(from)), bucket);
            assert_eq!(buckets.of(key, Some(to)), bucket);
            assert_ne!(buckets.of(key, Some(from - 1)), bucket);
            assert_ne!(buckets.of(key, Some(to + 1)), bucket);
        }
    }
    let hash = Buckets::Hash { count: 7 };
    assert!((0..7).contains(&hash.of(key, None)));
    assert!((0..5).contains(&Buckets::part(key, 5)));
}

#[test]
fn consecutive_numbers_are_spans() {
    assert_eq!(spans([1, 2, 3, 5, 7, 8]), [(1, 3), (5, 5), (7, 8)]);
    assert_eq!(spans([i64::MAX]), [(i64::MAX, i64::MAX)]);
    assert!(spans([]).is_empty());
}

#[test]
fn hashes_are_those_of_hashbytes() {
    // SELECT HASHBYTES('SHA2_256', 'abc'): 0xBA7816BF8F01CFEA414140DE5DAE2223...
    let hash = Hash::of(b"abc");
    assert_eq!(hash.addend(), 0xBA78_16BF_8F01_CFEA_u64 as i64);
    assert_eq!(hash.short(), 0xBA78_16BF_8F01_CFEA_4141_40DE_5DAE_2223);
    let count = 1 << 24;
    assert_eq!(Buckets::Hash { count }.of(hash, None), 0xBA_7816);
    assert_eq!(Buckets::part(hash, count), 0xBF_8F01);
}

#[test]
fn a_long_row_is_not_cut() {
    let text = |length| Form::of(SqlType::NVarChar { length }, Kept::ALL);
    assert_eq!(text(Some(4000)), Some(Form::Text { units: None }));
    assert_eq!(text(Some(3997)), Some(Form::Text { units: Some(3997) }));
    let half = Form::Bytes { length: Some(3995) };
    assert!(fits_sized([half, half].into_iter()));
    assert!(!fits_sized([half, half, Form::Whole].into_iter()));
    assert!(!fits_sized([Form::TypedText].into_iter()));
}
