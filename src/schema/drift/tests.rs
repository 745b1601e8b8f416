use super::*;
use crate::schema::columns::LeftOut;
use crate::schema::{Collation, Generated, Key, KeyOrigin, SqlType};

const LATIN: &str = "Latin1_General_CI_AS";

fn collation(name: &str, code_page: u32) -> Option<Collation> {
    Some(Collation {
        name: name.into(),
        code_page,
    })
}

fn column(id: i32, name: &str, ty: SqlType) -> Column {
    let is_text = matches!(
        ty,
        SqlType::Char { .. }
            | SqlType::VarChar { .. }
            | SqlType::NChar { .. }
            | SqlType::NVarChar { .. }
    );
    Column {
        id,
        name: name.into(),
        ty,
        nullable: id != 1,
        collation: collation(LATIN, 1252).filter(|_| is_text),
        generated: Generated::No,
    }
}

fn object(id: i64) -> Option<SourceObject> {
    Some(SourceObject {
        id,
        created: "2026-01-01T00:00:00".into(),
    })
}

/// A table of object 7, whose first column is the key.
fn table(columns: Vec<Column>) -> Recorded {
    let schema = TableSchema {
        name: "dbo.t".parse().unwrap(),
        columns,
        key: Some(Key {
            columns: vec![0],
            origin: KeyOrigin::PrimaryKey,
        }),
    };
    Recorded::new(schema, object(7))
}

fn of(columns: &[(i32, &str)]) -> Recorded {
    table(
        columns
            .iter()
            .map(|&(id, name)| column(id, name, SqlType::Int))
            .collect(),
    )
}

fn compared(before: &Recorded, found: &Recorded) -> Result<Option<Drift>, Refusal> {
    answered(before, found, &DeclaredChanges::default())
}

fn answered(
    before: &Recorded,
    found: &Recorded,
    declared: &DeclaredChanges,
) -> Result<Option<Drift>, Refusal> {
    compare(
        before,
        found,
        (TableKind::Mirror, Fidelity::Exact),
        declared,
    )
}

fn followed(before: &Recorded, found: &Recorded) -> Drift {
    compared(before, found).unwrap().unwrap()
}

fn names(recorded: &Recorded) -> Vec<String> {
    let whole = recorded.whole();
    whole
        .columns
        .into_iter()
        .map(|column| column.name)
        .collect()
}

fn told(drift: &Drift) -> Vec<(&str, ChangeKind)> {
    let changes = drift.changes.iter();
    changes
        .map(|change| (&*change.column, change.change))
        .collect()
}

#[test]
fn a_source_that_did_not_change_is_no_drift() {
    let recorded = of(&[(1, "id"), (2, "a")]);
    assert_eq!(compared(&recorded, &recorded).unwrap(), None);
    let mut view = recorded.clone();
    view.object = None;
    assert_eq!(compared(&view, &view).unwrap(), None);
}

#[test]
fn ids_tell_renamed_from_dropped_and_added() {
    use ChangeKind::{Added, Dropped, Renamed};
    type Case<'a> = (
        &'a [(i32, &'a str)],
        &'a [(i32, &'a str)],
        &'a [&'a str],
        &'a [Option<usize>],
        &'a [(&'a str, ChangeKind)],
    );
    let cases: &[Case<'_>] = &[
        (
            &[(1, "id"), (2, "a")],
            &[(1, "id"), (2, "a"), (3, "b")],
            &["id", "a", "b"],
            &[Some(0), Some(1), None],
            &[("b", Added)],
        ),
        (
            &[(1, "id"), (2, "a"), (3, "b")],
            &[(1, "id"), (3, "b")],
            &["id", "b", "a"],
            &[Some(0), Some(2), Some(1)],
            &[("a", Dropped)],
        ),
        (
            &[(1, "id"), (2, "a")],
            &[(1, "id"), (2, "b")],
            &["id", "b"],
            &[Some(0), Some(1)],
            &[("b", Renamed)],
        ),
        // Dropped and added under one name: no old value appears under the new meaning.
        (
            &[(1, "id"), (2, "a")],
            &[(1, "id"), (3, "a")],
            &["id", "a", "a__dropped_1"],
            &[Some(0), None, Some(1)],
            &[("a", Added), ("a", Dropped)],
        ),
        // Two names exchanged.
        (
            &[(1, "id"), (2, "a"), (3, "b")],
            &[(1, "id"), (2, "b"), (3, "a")],
            &["id", "b", "a"],
            &[Some(0), Some(1), Some(2)],
            &[("b", Renamed), ("a", Renamed)],
        ),
        // The key is renamed.
        (
            &[(1, "id"), (2, "a")],
            &[(1, "key"), (2, "a")],
            &["key", "a"],
            &[Some(0), Some(1)],
            &[("key", Renamed)],
        ),
    ];
    for (before, now, whole, was, changes) in cases {
        let drift = followed(&of(before), &of(now));
        assert_eq!(names(&drift.recorded), *whole, "{before:?} {now:?}");
        assert_eq!(drift.was, *was, "{before:?} {now:?}");
        assert_eq!(told(&drift), *changes, "{before:?} {now:?}");
        // What is recorded then is what is found.
        assert_eq!(compared(&drift.recorded, &of(now)).unwrap(), None);
    }
}

#[test]
fn a_name_can_be_dropped_again_and_again() {
    let mut recorded = of(&[(1, "id"), (2, "a")]);
    for id in 3..6 {
        recorded = followed(&recorded, &of(&[(1, "id"), (id, "a")])).recorded;
    }
    assert_eq!(
        names(&recorded),
        ["id", "a", "a__dropped_1", "a__dropped_2", "a__dropped_3"]
    );
    // And one that had made room, where the source takes that name too.
    let drift = followed(&recorded, &of(&[(1, "id"), (5, "a"), (6, "a__dropped_2")]));
    assert_eq!(drift.recorded.live(), 3);
    let mut all = names(&drift.recorded);
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count, "{all:?}");
    assert_eq!(told(&drift), [("a__dropped_2", ChangeKind::Added)]);
}

#[test]
fn companions_make_dropped_columns_give_way_too() {
    let time = SqlType::DateTime2 { scale: 7 };
    let before = table(vec![
        column(1, "id", SqlType::Int),
        column(2, "at__100ns", SqlType::Int),
    ]);
    let now = table(vec![column(1, "id", SqlType::Int), column(3, "at", time)]);
    let drift = followed(&before, &now);
    assert_eq!(names(&drift.recorded), ["id", "at", "at__100ns__dropped_1"]);
}

#[test]
fn new_columns_are_optional_and_what_is_optional_stays_so() {
    let before = of(&[(1, "id"), (2, "a")]);
    let mut now = of(&[(1, "id"), (2, "a"), (3, "b")]);
    now.schema.columns[1].nullable = false;
    now.schema.columns[2].nullable = false;
    let drift = followed(&before, &now);
    let columns = &drift.recorded.schema.columns;
    assert!(columns[1].nullable && columns[2].nullable);
    assert!(drift.changes[0].detail.contains("NOT NULL at the source"));
    let mut strict = before.clone();
    strict.schema.columns[1].nullable = false;
    let drift = followed(&strict, &before);
    assert_eq!(told(&drift), [("a", ChangeKind::Nullable)]);
}

fn decimal(precision: u8, scale: u8) -> SqlType {
    SqlType::Decimal { precision, scale }
}

fn varchar(length: u16) -> SqlType {
    SqlType::VarChar {
        length: Some(length),
    }
}

fn nvarchar(length: u16) -> SqlType {
    SqlType::NVarChar {
        length: Some(length),
    }
}

#[test]
fn types_are_recorded_as_the_one_that_holds_both() {
    use SqlType as T;
    let max = T::NVarChar { length: None };
    for (old, new, kept) in [
        (T::TinyInt, T::Int, T::Int),
        (T::Int, T::BigInt, T::BigInt),
        (T::BigInt, T::Int, T::BigInt),
        (T::Real, T::Float, T::Float),
        (T::Float, T::Real, T::Float),
        (decimal(9, 2), decimal(19, 2), decimal(19, 2)),
        (decimal(19, 2), decimal(9, 2), decimal(19, 2)),
        (T::SmallMoney, T::Money, T::Money),
        (T::Money, decimal(19, 4), decimal(19, 4)),
        (decimal(19, 4), T::Money, decimal(19, 4)),
        (T::Money, decimal(18, 4), T::Money),
        (varchar(10), varchar(20), varchar(20)),
        (varchar(20), varchar(10), varchar(20)),
        (varchar(10), nvarchar(5), nvarchar(10)),
        (nvarchar(10), varchar(20), nvarchar(20)),
        (nvarchar(10), max, max),
        (T::Xml, max, max),
        (varchar(5000), nvarchar(10), max),
        // A longer fixed type would pad what a shorter one held.
        (T::Char { length: 5 }, T::Char { length: 9 }, varchar(9)),
        (T::NChar { length: 5 }, nvarchar(5), nvarchar(5)),
        (
            T::Binary { length: 5 },
            T::Binary { length: 3 },
            T::VarBinary { length: Some(5) },
        ),
        (T::Image, T::VarBinary { length: None }, T::Image),
        (
            T::Time { scale: 0 },
            T::Time { scale: 7 },
            T::Time { scale: 7 },
        ),
        (
            T::DateTime,
            T::DateTime2 { scale: 0 },
            T::DateTime2 { scale: 3 },
        ),
        (T::SmallDateTime, T::DateTime, T::DateTime),
        (
            T::DateTime2 { scale: 7 },
            T::SmallDateTime,
            T::DateTime2 { scale: 7 },
        ),
    ] {
        let before = table(vec![column(1, "id", T::Int), column(2, "a", old)]);
        let now = table(vec![column(1, "id", T::Int), column(2, "a", new)]);
        let drift = compared(&before, &now).unwrap();
        let recorded = drift.as_ref().map_or(&before, |drift| &drift.recorded);
        assert_eq!(recorded.schema.columns[1].ty, kept, "{old} to {new}");
        let expected: &[_] = if kept == old {
            &[]
        } else {
            &[("a", ChangeKind::Widened)]
        };
        assert_eq!(
            drift.as_ref().map_or(Vec::new(), told),
            expected,
            "{old} to {new}"
        );
        assert_eq!(compared(recorded, &now).unwrap(), None, "{old} to {new}");
        // Nothing is narrowed by going back.
        let back = compared(recorded, &before).unwrap();
        let ty = back.map_or(kept, |back| back.recorded.schema.columns[1].ty);
        let again = widen::union(&column(2, "a", ty), &column(2, "a", new)).unwrap();
        assert_eq!(again.ty, ty, "{new} back to {old}");
    }
}

#[test]
fn types_that_cannot_share_a_column_are_refused_with_the_way_out() {
    use SqlType as T;
    for (old, new) in [
        (T::Int, decimal(10, 0)),
        (T::Bit, T::Int),
        (decimal(9, 2), decimal(19, 4)),
        (T::Money, decimal(19, 2)),
        (T::Int, nvarchar(20)),
        (nvarchar(20), T::Int),
        (T::Date, T::DateTime2 { scale: 0 }),
        (T::DateTime2 { scale: 7 }, T::DateTimeOffset { scale: 7 }),
        (T::Int, T::Float),
        (T::Geometry, T::Geography),
        (T::UniqueIdentifier, T::Binary { length: 16 }),
        (T::RowVersion, T::Binary { length: 8 }),
        (T::Vector { dimensions: 3 }, T::Vector { dimensions: 4 }),
    ] {
        let before = table(vec![column(1, "id", T::Int), column(2, "a", old)]);
        let now = table(vec![column(1, "id", T::Int), column(2, "a", new)]);
        let refusal = compared(&before, &now).unwrap_err().to_string();
        for part in [
            "column a was",
            &old.to_string(),
            &new.to_string(),
            "another `lake:` name",
        ] {
            assert!(refusal.contains(part), "{refusal}");
        }
    }
}

#[test]
fn a_key_stays_the_same_columns() {
    let before = of(&[(1, "id"), (2, "a")]);
    let mut now = before.clone();
    now.schema.key.as_mut().unwrap().columns = vec![1];
    let refusal = compared(&before, &now).unwrap_err().to_string();
    assert!(refusal.contains("key was (id) and is now (a)"), "{refusal}");
    assert!(refusal.contains("key: [id]"), "{refusal}");
    // Dropped and added again: another column, whatever its name.
    assert!(matches!(
        compared(&before, &of(&[(3, "id"), (2, "a")])),
        Err(Refusal::Key { .. })
    ));
    let wider = table(vec![
        column(1, "id", SqlType::BigInt),
        column(2, "a", SqlType::Int),
    ]);
    assert_eq!(
        told(&followed(&before, &wider)),
        [("id", ChangeKind::Widened)]
    );
    let time = |scale| table(vec![column(1, "id", SqlType::DateTime2 { scale })]);
    assert!(matches!(
        compared(&time(3), &time(7)),
        Err(Refusal::Type { .. })
    ));
    assert!(compared(&time(3), &time(6)).is_ok());
}

#[test]
fn collations_change_text_keys_only() {
    let with = |id, name: &str, code_page| {
        let mut table = table(vec![
            column(1, "id", SqlType::Int),
            column(2, "a", varchar(10)),
        ]);
        table.schema.key.as_mut().unwrap().columns = vec![id];
        table.schema.columns[1].collation = collation(name, code_page);
        table
    };
    let drift = followed(
        &with(0, LATIN, 1252),
        &with(0, "Latin1_General_CS_AS", 1252),
    );
    assert_eq!(told(&drift), [("a", ChangeKind::Collation)]);
    // Another code page: text of both is kept as Unicode.
    let drift = followed(
        &with(0, LATIN, 1252),
        &with(0, "Chinese_Taiwan_Stroke_CI_AS", 950),
    );
    assert_eq!(drift.recorded.schema.columns[1].ty, nvarchar(10));
    assert!(matches!(
        compared(
            &with(1, LATIN, 1252),
            &with(1, "Latin1_General_CS_AS", 1252)
        ),
        Err(Refusal::Type { .. })
    ));
    assert!(compared(&with(1, LATIN, 1252), &with(1, "French_CI_AS", 1252)).is_ok());
}

#[test]
fn another_object_is_matched_by_name_and_asks_where_nobody_can_tell() {
    let before = of(&[(1, "id"), (2, "a"), (3, "b")]);
    let recreated = |columns: &[(i32, &str)]| {
        let mut table = of(columns);
        table.object = object(8);
        table
    };
    // The ids are others, the names the same, in another order and case.
    let now = recreated(&[(1, "id"), (2, "B"), (3, "a")]);
    assert!(before.was_recreated(&now));
    let drift = followed(&before, &now);
    assert_eq!(drift.was, [Some(0), Some(2), Some(1)]);
    assert_eq!(told(&drift), [("B", ChangeKind::Renamed)]);
    // The same id in another database is another object.
    let mut elsewhere = now.clone();
    elsewhere.object.as_mut().unwrap().id = 7;
    elsewhere.object.as_mut().unwrap().created = "2026-02-01T00:00:00".into();
    assert_eq!(followed(&before, &elsewhere).was, drift.was);

    let now = recreated(&[(1, "id"), (2, "c"), (3, "b")]);
    let refusal = compared(&before, &now).unwrap_err();
    assert_eq!(
        refusal,
        Refusal::Ambiguous {
            old: "a".into(),
            new: "c".into()
        }
    );
    let text = refusal.to_string();
    assert!(
        text.contains("renames: { a: c }") && text.contains("drops: [a]"),
        "{text}"
    );
    let renames = DeclaredChanges {
        renames: [("A".to_owned(), "C".to_owned())].into(),
        drops: Vec::new(),
    };
    let drift = answered(&before, &now, &renames).unwrap().unwrap();
    assert_eq!(drift.was, [Some(0), Some(1), Some(2)]);
    assert_eq!(told(&drift), [("c", ChangeKind::Renamed)]);
    let drops = DeclaredChanges {
        renames: BTreeMap::new(),
        drops: vec!["A".to_owned()],
    };
    let drift = answered(&before, &now, &drops).unwrap().unwrap();
    assert_eq!(
        told(&drift),
        [("c", ChangeKind::Added), ("a", ChangeKind::Dropped)]
    );
    // The answer that has been given is no question any more.
    assert_eq!(answered(&drift.recorded, &now, &drops).unwrap(), None);

    // One that vanished, and another whose type could not carry it on: no doubt.
    let mut now = recreated(&[(1, "id"), (3, "b")]);
    now.schema.columns.push(column(4, "c", nvarchar(5)));
    let drift = followed(&before, &now);
    assert_eq!(
        told(&drift),
        [("c", ChangeKind::Added), ("a", ChangeKind::Dropped)]
    );
}

#[test]
fn what_is_recorded_reads_back_and_older_records_too() {
    let recorded = followed(&of(&[(1, "id"), (2, "a")]), &of(&[(1, "id"), (3, "b")])).recorded;
    let text = serde_json::to_string(&recorded).unwrap();
    assert_eq!(serde_json::from_str::<Recorded>(&text).unwrap(), recorded);
    let plain = serde_json::to_string(&recorded.schema).unwrap();
    let old: Recorded = serde_json::from_str(&plain).unwrap();
    assert_eq!(old, Recorded::new(recorded.schema.clone(), None));
    // It may have been a view.
    assert!(old.was_recreated(&recorded));
}

#[test]
fn a_view_is_another_source_when_it_is_altered_or_takes_a_place() {
    let columns = of(&[(1, "id"), (2, "a")]);
    let altered = |modified: &str| {
        let mut view = view(columns.clone());
        view.view = Some(SourceView {
            id: 9,
            modified: modified.into(),
        });
        view
    };
    let (first, second) = (
        altered("2026-01-01T00:00:00"),
        altered("2026-01-02T00:00:00"),
    );
    for (before, now) in [
        (&columns, &first),
        (&first, &columns),
        (&first, &second),
        (&view(columns.clone()), &columns),
    ] {
        assert!(before.was_recreated(now), "{before:?} {now:?}");
        // Without a change of columns, too, it is recorded anew.
        assert_eq!(followed(before, now).recorded, *now);
    }
    assert!(!first.was_recreated(&first));
    // Older builds did not record which view it is.
    let unknown = view(columns.clone());
    assert!(!unknown.was_recreated(&first));
    assert_eq!(followed(&unknown, &first).recorded, first);
}

/// The same table with columns that the configuration leaves out.
fn without(mut recorded: Recorded, left_out: &[(i32, &str)]) -> Recorded {
    let left_out = left_out.iter().map(|&(id, name)| LeftOut {
        id,
        name: name.into(),
    });
    recorded.left_out = left_out.collect();
    recorded
}

/// The same table as a view, whose ids say nothing.
fn view(mut recorded: Recorded) -> Recorded {
    recorded.object = None;
    recorded
}

#[test]
fn what_is_left_out_and_read_again_is_told_from_what_is_new() {
    let kinds: [fn(Recorded) -> Recorded; 2] = [|table| table, view];
    for of_kind in kinds {
        let all = of_kind(of(&[(1, "id"), (2, "a"), (3, "b")]));
        let some = of_kind(without(of(&[(1, "id"), (2, "a")]), &[(3, "b")]));

        let drift = followed(&all, &some);
        assert_eq!(told(&drift), [("b", ChangeKind::Excluded)]);
        assert!(!drift.at_source && drift.included.is_empty());
        assert_eq!(names(&drift.recorded), ["id", "a", "b"]);
        assert_eq!(
            (drift.recorded.live(), &*drift.was),
            (2, &[Some(0), Some(1), Some(2)][..])
        );
        assert!(drift.changes[0].detail.starts_with("left out by `columns`"));
        assert_eq!(compared(&drift.recorded, &some).unwrap(), None);

        // Its old values do not come back as those of now: it is another field.
        let again = followed(&drift.recorded, &all);
        assert_eq!(told(&again), [("b", ChangeKind::Included)]);
        assert_eq!(again.included, ["b"]);
        assert!(!again.at_source);
        assert_eq!(names(&again.recorded), ["id", "a", "b", "b__dropped_1"]);
        assert_eq!(again.was, [Some(0), Some(1), None, Some(2)]);

        let first = followed(&some, &all);
        assert_eq!(first.included, ["b"]);
        // Added at the source since: rows before it have no value to miss.
        let before = of_kind(of(&[(1, "id"), (2, "a")]));
        let added = followed(&before, &all);
        assert_eq!(told(&added), [("b", ChangeKind::Added)]);
        assert!(added.at_source && added.included.is_empty());
    }
}

#[test]
fn a_column_that_the_source_adds_is_recorded_as_left_out() {
    let before = of(&[(1, "id")]);
    let after = without(of(&[(1, "id")]), &[(2, "a")]);
    let drift = followed(&before, &after);
    assert_eq!(told(&drift), []);
    assert!(!drift.at_source);
    let included = followed(&drift.recorded, &of(&[(1, "id"), (2, "a")]));
    assert_eq!(included.included, ["a"]);
    // And one that the source has dropped meanwhile and added under the same name is new.
    let other = followed(&drift.recorded, &of(&[(1, "id"), (3, "a")]));
    assert_eq!(told(&other), [("a", ChangeKind::Added)]);
    assert!(other.included.is_empty());
}

#[test]
fn what_was_left_out_is_not_read_under_another_name() {
    let before = without(of(&[(1, "id"), (2, "a")]), &[(3, "ssn")]);
    for found in [
        // The two exchanged names.
        without(of(&[(1, "id"), (3, "a")]), &[(2, "ssn")]),
        of(&[(1, "id"), (2, "a"), (3, "number")]),
    ] {
        let refusal = compared(&before, &found).unwrap_err();
        assert!(matches!(refusal, Refusal::LeftOut { .. }), "{refusal}");
        let text = refusal.to_string();
        assert!(text.contains("was left out as ssn"), "{text}");
    }
    let same = of(&[(1, "id"), (2, "a"), (3, "SSN")]);
    assert_eq!(followed(&before, &same).included, ["SSN"]);
}

#[test]
fn what_is_left_out_is_neither_the_old_nor_the_new_of_a_rename() {
    // `a` is left out and `b` is new; `b` was there and `a` is gone.
    let now = view(without(of(&[(1, "id"), (3, "b")]), &[(2, "a")]));
    let drift = followed(&view(of(&[(1, "id"), (2, "a")])), &now);
    assert_eq!(
        told(&drift),
        [("b", ChangeKind::Added), ("a", ChangeKind::Excluded)]
    );
    let before = view(without(of(&[(1, "id"), (2, "a")]), &[(3, "b")]));
    let drift = followed(&before, &view(of(&[(1, "id"), (2, "b")])));
    assert_eq!(
        told(&drift),
        [("b", ChangeKind::Included), ("a", ChangeKind::Dropped)]
    );
    assert!(drift.at_source);
}

/// The same table with a column that the lake calls otherwise.
fn renaming(mut recorded: Recorded, at: usize, name: &str) -> Recorded {
    let column = &mut recorded.schema.columns[at];
    let source = std::mem::replace(&mut column.name, name.into());
    recorded.renamed.insert(name.into(), source);
    recorded
}

#[test]
fn columns_that_the_configuration_renames_stay_what_they_are() {
    let kinds: [fn(Recorded) -> Recorded; 2] = [|table| table, view];
    for of_kind in kinds {
        let plain = of_kind(of(&[(1, "id"), (2, "qty"), (3, "a")]));
        let renamed = renaming(plain.clone(), 1, "quantity");
        for (before, now, told_now) in [
            (&plain, &renamed, "quantity"),
            (&renamed, &plain, "qty"),
            (&renamed, &renaming(plain.clone(), 1, "amount"), "amount"),
        ] {
            let drift = followed(before, now);
            assert_eq!(told(&drift), [(told_now, ChangeKind::Renamed)]);
            assert!(!drift.at_source, "{told_now}");
            assert_eq!(drift.was, [Some(0), Some(1), Some(2)]);
            assert_eq!(compared(&drift.recorded, now).unwrap(), None);
        }
        assert_eq!(renamed.source_position("QTY"), Some(1));
        assert_eq!(renamed.source_position("quantity"), None);
        assert_eq!(
            renamed.shown(&renamed.schema.columns[1]),
            "quantity (qty at the source)"
        );
    }
    // Renamed at the source, and called the same in the lake.
    let before = renaming(of(&[(1, "id"), (2, "qty")]), 1, "quantity");
    let now = renaming(of(&[(1, "id"), (2, "count")]), 1, "quantity");
    let drift = followed(&before, &now);
    assert_eq!((told(&drift), drift.at_source), (vec![], true));
    // A key is asked for by its name at the source.
    let key = renaming(of(&[(1, "id"), (2, "a")]), 0, "order_id");
    let mut other = key.clone();
    other.schema.key.as_mut().unwrap().columns = vec![1];
    let refusal = compared(&key, &other).unwrap_err().to_string();
    assert!(
        refusal.contains("the key was (id) and is now (a)"),
        "{refusal}"
    );
}

#[test]
fn records_without_columns_left_out_or_renamed_are_as_before() {
    let text = serde_json::to_string(&of(&[(1, "id"), (2, "a")])).unwrap();
    assert!(
        !text.contains("left_out") && !text.contains("renamed"),
        "{text}"
    );
    let recorded = renaming(without(of(&[(1, "id")]), &[(2, "a")]), 0, "key");
    let text = serde_json::to_string(&recorded).unwrap();
    assert_eq!(serde_json::from_str::<Recorded>(&text).unwrap(), recorded);
}
