use super::*;
use crate::schema::{Collation, TableSchema};

fn column(id: i32, name: &str, ty: SqlType) -> Column {
    Column {
        id,
        name: name.into(),
        ty,
        nullable: id != 1,
        collation: None,
        generated: Generated::No,
    }
}

fn schema(columns: Vec<Column>) -> TableSchema {
    TableSchema {
        name: "dbo.t".parse().unwrap(),
        columns,
        key: None,
    }
}

fn of(names: &[&str]) -> TableSchema {
    let columns = (1..)
        .zip(names)
        .map(|(id, name)| column(id, name, SqlType::Int));
    schema(columns.collect())
}

fn target(schema: &TableSchema) -> TargetTable {
    TargetTable::planned(&schema.name, schema)
}

fn lake(names: &[&str], was: &[Option<&str>]) -> LakeColumns {
    let was = was.iter().map(|was| was.map(str::to_owned)).collect();
    LakeColumns::all(of(names), names.len(), Some(was))
}

/// The steps as short text.
fn told(steps: &[Step]) -> Vec<String> {
    let short = |step: &Step| match step {
        Step::Rename { from, to } => format!("{from}>{to}"),
        Step::Add(column) => format!("+{}", column.name),
        Step::Widen { column, .. } => format!("{}:{}", column.name, column.ty),
    };
    steps.iter().map(short).collect()
}

#[test]
fn from_wherever_a_dead_load_stopped_the_target_ends_as_the_lake() {
    type Case<'a> = (
        &'a [&'a str],
        &'a [&'a str],
        &'a [Option<&'a str>],
        &'a [&'a str],
    );
    let cases: &[Case<'_>] = &[
        (&["id"], &["id", "a"], &[Some("id"), None], &["+a"]),
        (
            &["id", "a"],
            &["id", "b"],
            &[Some("id"), Some("a")],
            &["a>b"],
        ),
        // A name given on, and its place taken.
        (
            &["id", "a"],
            &["id", "a", "a__dropped_1"],
            &[Some("id"), None, Some("a")],
            &["a>a__dropped_1", "+a"],
        ),
        (
            &["id", "a", "b"],
            &["id", "b", "c"],
            &[Some("id"), Some("a"), Some("b")],
            &["b>c", "a>b"],
        ),
        (&["ID", "A"], &["id", "a"], &[Some("ID"), Some("A")], &[]),
    ];
    for (have, names, was, expected) in cases {
        let lake = lake(names, was);
        let mut at = target(&of(have));
        let (all, end) = steps(&lake, &at, false).unwrap();
        assert_eq!(told(&all), *expected, "{have:?} {names:?}");
        for done in 0..=all.len() {
            let (left, reached) = steps(&lake, &at, false).unwrap();
            assert_eq!(told(&left), expected[done..], "{have:?} {names:?}");
            assert_eq!(reached, end);
            match all.get(done) {
                Some(Step::Rename { from, to }) => {
                    at.column_mut(from).unwrap().name.clone_from(to);
                }
                Some(Step::Add(column)) => at.columns.push(TargetColumn::planned(column)),
                Some(Step::Widen { .. }) | None => {}
            }
        }
    }
}

#[test]
fn where_two_columns_could_hold_the_values_nothing_is_guessed() {
    let exchanged = lake(&["id", "b", "a"], &[Some("id"), Some("a"), Some("b")]);
    let both = target(&of(&["id", "a", "b"]));
    let refusal = steps(&exchanged, &both, false).unwrap_err().to_string();
    assert!(refusal.contains("column a is called b"), "{refusal}");
    assert!(refusal.contains("load --full"), "{refusal}");
    assert_eq!(
        steps(&exchanged, &both, true).unwrap(),
        (Vec::new(), both.clone())
    );
    // Somebody else's column has the new name already.
    let renamed = lake(&["id", "b"], &[Some("id"), Some("a")]);
    assert!(steps(&renamed, &both, false).is_err());
    // One of a chain that the target's owner dropped is not filled with the next one's values.
    let chain = lake(&["id", "b", "c"], &[Some("id"), Some("a"), Some("b")]);
    let (steps, _) = steps(&chain, &target(&of(&["id", "a"])), false).unwrap();
    assert_eq!(told(&steps), ["a>b"]);
}

#[test]
fn what_was_never_loaded_or_is_dropped_is_left_alone() {
    let mut columns = lake(&["id", "a", "b"], &[Some("id"), None, None]);
    columns.live = 2;
    let have = target(&of(&["id"]));
    let (found, _) = steps(&columns, &have, false).unwrap();
    assert_eq!(told(&found), ["+a"]);
    assert_eq!(columns.created().columns.len(), 2);
    columns.was = None;
    assert_eq!(steps(&columns, &have, false).unwrap().0, []);
    // A column that the target's owner dropped stays dropped.
    let known = lake(&["id", "a"], &[Some("id"), Some("a")]);
    assert_eq!(steps(&known, &have, false).unwrap().0, []);
}

/// Such a target has no rows, so a column that cannot be told is added.
#[test]
fn a_target_that_is_only_prepared_is_known_by_its_names() {
    let mut columns = lake(&["id", "amount", "extra", "note"], &[]);
    columns.lake_names[1] = "qty".into();
    columns.lake_names[3] = "remark".into();
    columns.recorded_names[3] = Some("comment".into());
    for (have, expected) in [
        (
            &["id", "qty", "comment"][..],
            &["qty>amount", "comment>note", "+extra"][..],
        ),
        (&["id", "amount", "remark"], &["remark>note", "+extra"]),
        (&["id", "amount", "extra", "note"], &[]),
    ] {
        let have = target(&of(have));
        know_by_name(&mut columns, &have);
        let (found, _) = steps(&columns, &have, false).unwrap();
        assert_eq!(told(&found), expected);
    }
}

#[test]
fn a_column_is_widened_only_where_nothing_it_has_changes() {
    let collation = |name: &str| {
        Some(Collation {
            name: name.into(),
            code_page: 1252,
        })
    };
    let decimal = |precision, scale| SqlType::Decimal { precision, scale };
    let varchar = |length| SqlType::VarChar {
        length: Some(length),
    };
    for (have, want, expected) in [
        (SqlType::Int, SqlType::BigInt, Some(SqlType::BigInt)),
        (decimal(9, 2), decimal(19, 2), Some(decimal(19, 2))),
        (varchar(10), varchar(20), Some(varchar(20))),
        (SqlType::BigInt, SqlType::Int, None),
        // Its third and fourth digit would be rounded away.
        (decimal(9, 4), decimal(19, 2), None),
        (SqlType::NVarChar { length: Some(5) }, varchar(9), None),
        (SqlType::Date, SqlType::Int, None),
    ] {
        let mut lake = lake(&["id", "a"], &[Some("id"), Some("a")]);
        lake.schema.columns[1].ty = want;
        lake.schema.columns[1].collation = collation("Latin1_General_CI_AS");
        let mut table = target(&of(&["id", "a"]));
        table.columns[1].ty = Ok(have);
        table.columns[1].collation = collation("French_CS_AS");
        let (found, after) = steps(&lake, &table, false).unwrap();
        match expected {
            None => assert_eq!(found, [], "{have} {want}"),
            Some(ty) => {
                let [Step::Widen { column, .. }] = &found[..] else {
                    panic!("{have} {want}: {found:?}");
                };
                assert_eq!((column.ty, column.nullable), (ty, true));
                assert_eq!(after.columns[1].ty, Ok(ty));
                let sql = found[0].statement(table.name()).sql;
                assert!(!sql.contains("Latin1"), "{sql}");
                assert_eq!(sql.contains("COLLATE French_CS_AS"), ty.is_text(), "{sql}");
                assert_eq!(steps(&lake, &after, false).unwrap().0, []);
            }
        }
    }
    let lake = lake(&["id", "a"], &[Some("id"), Some("a")]);
    let mut strict = target(&of(&["id", "a"]));
    strict.columns[1].nullable = false;
    strict.columns[1].ty = Ok(SqlType::BigInt);
    let (found, _) = steps(&lake, &strict, false).unwrap();
    assert_eq!(
        found[0].statement(strict.name()).sql,
        "ALTER TABLE [dbo].[t] ALTER COLUMN [a] bigint NULL;"
    );
    assert_eq!(
        found[0].change().detail,
        "was bigint NOT NULL in the target, is bigint NULL"
    );
}

/// From compatibility level 130 on, .003 would become .0033333.
#[test]
fn a_datetime_becomes_datetime2_by_way_of_the_digits_that_it_is_shown_with() {
    for (scale, expected) in [
        (
            7,
            "SET XACT_ABORT ON; BEGIN TRANSACTION; ALTER TABLE [dbo].[t] ALTER COLUMN [a] datetime2(3) NULL; ALTER \
                TABLE [dbo].[t] ALTER COLUMN [a] datetime2(7) NULL; COMMIT TRANSACTION;",
        ),
        (
            3,
            "ALTER TABLE [dbo].[t] ALTER COLUMN [a] datetime2(3) NULL;",
        ),
    ] {
        let mut lake = lake(&["id", "a"], &[Some("id"), Some("a")]);
        lake.schema.columns[1].ty = SqlType::DateTime2 { scale };
        let mut table = target(&of(&["id", "a"]));
        table.columns[1].ty = Ok(SqlType::DateTime);
        let (found, _) = steps(&lake, &table, false).unwrap();
        assert_eq!(found[0].statement(table.name()).sql, expected);
        // A run that died between the two statements.
        table.columns[1].ty = Ok(SqlType::DateTime2 { scale: 3 });
        let (found, _) = steps(&lake, &table, false).unwrap();
        assert_eq!(found.len(), usize::from(scale == 7));
    }
}

#[test]
fn statements_can_be_run_by_hand() {
    let name: TableName = "dbo.[it's]".parse().unwrap();
    let step = Step::Rename {
        from: "a]b".into(),
        to: "c'd".into(),
    };
    let error = refused(&name, &[step]).to_string();
    assert!(
        error.contains("EXEC sp_rename @objname = N'[dbo].[it''s].[a]]b]', @newname = N'c''d', @objtype = N'COLUMN';"),
        "{error}"
    );
}

#[test]
fn a_target_that_others_use_is_named_with_the_wait_and_the_way_out() {
    use crate::mssql::error::{ServerError, ServerMessage};
    let name: TableName = "dbo.orders".parse().unwrap();
    let statement = Step::Add(column(2, "note", SqlType::Int)).statement(&name);
    let refused = |number| {
        let error = ServerError {
            number,
            class: 16,
            state: 1,
            message: ServerMessage::new(number, "Lock request time out period exceeded."),
            procedure: None,
            line: 1,
            statement: String::new(),
        };
        not_altered(&name, &statement, MssqlError::Server(Box::new(error)))
    };
    let error = refused(1222);
    assert_eq!(error.disposition(), Disposition::Transient);
    let message = error.to_string();
    for part in [
        "dbo.orders",
        "60 s",
        "ALTER TABLE [dbo].[orders] ADD [note] int NULL;",
        "Load again when long queries and transactions on dbo.orders have ended",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert!(matches!(refused(5074), TargetError::Alter { .. }));
    assert!(matches!(refused(1205), TargetError::Server { .. }));
}

#[test]
fn a_target_gets_the_columns_that_only_it_has() {
    let mut columns = lake(&["id"], &[Some("id")]);
    let flag = Column {
        generated: Generated::Flag,
        nullable: false,
        ..column(9, "is_deleted", SqlType::Bit)
    };
    let at = column(10, "deleted_at", SqlType::DateTime2 { scale: 3 });
    columns.own = vec![flag, at];
    let have = target(&of(&["id"]));
    let (found, then) = steps(&columns, &have, false).unwrap();
    assert_eq!(told(&found), ["+is_deleted", "+deleted_at"]);
    let details: Vec<String> = found.iter().map(|step| step.change().detail).collect();
    let expected = ["bit NOT NULL", "datetime2(3) NULL"];
    let expected = expected.map(|declared| format!("added to the target, {declared}"));
    assert_eq!(details, expected);
    assert_eq!(steps(&columns, &then, false).unwrap().0, []);
    // Not one that others have made.
    columns.was = None;
    assert_eq!(steps(&columns, &have, false).unwrap().0, []);
}
