use super::*;
use crate::schema::definition::{
    Check, ColumnDefault, Identity, IndexColumn, IndexKind, Omitted, VERSION,
};
use crate::schema::{Column, Generated, Key, KeyOrigin, SqlType};

const ALL: CreateOptions = CreateOptions {
    indexes: true,
    defaults: true,
    checks: true,
    identity: true,
    compression: true,
};

fn schema(key: &[usize]) -> TableSchema {
    let column = |id: i32, name: &str, generated| Column {
        id,
        name: name.into(),
        ty: SqlType::Int,
        nullable: false,
        collation: None,
        generated,
    };
    TableSchema {
        name: "dbo.orders".parse().unwrap(),
        columns: vec![
            column(1, "id", Generated::Identity),
            column(2, "state", Generated::No),
            column(3, "at", Generated::No),
        ],
        key: (!key.is_empty()).then(|| Key {
            columns: key.to_vec(),
            origin: KeyOrigin::PrimaryKey,
        }),
    }
}

fn index(name: &str, kind: IndexKind, key: &[&str]) -> TableIndex {
    TableIndex {
        name: name.into(),
        kind,
        unique: false,
        constraint: false,
        key: key
            .iter()
            .map(|name| IndexColumn {
                name: (*name).into(),
                descending: false,
            })
            .collect(),
        included: Vec::new(),
        filter: None,
        compression: Compression::None,
    }
}

fn primary_key(kind: IndexKind) -> TableIndex {
    TableIndex {
        unique: true,
        constraint: true,
        ..index("PK", kind, &["id"])
    }
}

fn definition(indexes: Vec<TableIndex>) -> Definition {
    Definition {
        version: VERSION,
        compression: Compression::Page,
        identity: Identity::parse("1000", "5"),
        indexes,
        ..Definition::default()
    }
}

fn statements(design: &Design) -> Vec<String> {
    let table: TableName = "dbo.orders".parse().unwrap();
    let objects = design.clone().into_objects();
    let statement = |object: &Object| object.statement(&table, "_x").sql;
    objects.iter().map(statement).collect()
}

#[test]
fn nothing_is_made_unless_it_is_asked_for() {
    let mut definition = definition(vec![
        primary_key(IndexKind::Clustered),
        index("ix", IndexKind::Nonclustered, &["state"]),
    ]);
    definition.omitted = vec![Omitted {
        part: Part::Indexes,
        what: "xml index x".into(),
    }];
    let none = CreateOptions::default();
    let found = design(&definition, none, &schema(&[0]), Uniqueness::Kept);
    assert_eq!(found, Design::default());
    let found = design(&definition, ALL, &schema(&[0]), Uniqueness::Kept);
    assert_eq!(found.warnings, ["not created in the target: xml index x"]);
    assert_eq!(found.storage.key, Compression::Page);
    assert_eq!(found.storage.heap, Compression::None);
    assert_eq!(found.reseeds, Some(("id".to_owned(), false)));
    assert_eq!(
        statements(&found),
        ["CREATE NONCLUSTERED INDEX [ix] ON [dbo].[orders] ([state]);"]
    );
}

#[test]
fn a_clustered_index_beside_the_key_makes_the_key_nonclustered() {
    let by_time = TableIndex {
        compression: Compression::Row,
        ..index("by_time", IndexKind::Clustered, &["at"])
    };
    let columnstore = index("cci", IndexKind::ClusteredColumnstore, &[]);
    for (clustered, statement) in [
        (
            by_time,
            "CREATE CLUSTERED INDEX [by_time] ON [dbo].[orders] ([at]) WITH (DATA_COMPRESSION = ROW);",
        ),
        (
            columnstore,
            "CREATE CLUSTERED COLUMNSTORE INDEX [cci] ON [dbo].[orders];",
        ),
    ] {
        let definition = definition(vec![clustered, primary_key(IndexKind::Nonclustered)]);
        let found = design(&definition, ALL, &schema(&[0]), Uniqueness::Kept);
        assert!(found.storage.nonclustered_key);
        assert_eq!(found.storage.heap, Compression::None);
        assert_eq!(found.storage.key, Compression::None);
        assert_eq!(statements(&found), [statement]);
        // Without it, the key is where the rows are.
        let options = CreateOptions {
            indexes: false,
            ..ALL
        };
        let found = design(&definition, options, &schema(&[0]), Uniqueness::Kept);
        assert!(!found.storage.nonclustered_key);
        assert_eq!(found.storage.key, Compression::Page);
    }
    let found = design(&definition(Vec::new()), ALL, &schema(&[]), Uniqueness::Kept);
    assert_eq!(found.storage.heap, Compression::Page);
}

#[test]
fn an_index_is_unique_where_the_lake_is_one_state_of_the_source() {
    let unique = TableIndex {
        unique: true,
        constraint: true,
        ..index("UQ", IndexKind::Nonclustered, &["state"])
    };
    let definition = definition(vec![primary_key(IndexKind::Clustered), unique]);
    let kept = design(&definition, ALL, &schema(&[0]), Uniqueness::Kept);
    assert_eq!(
        statements(&kept),
        ["ALTER TABLE [dbo].[orders] ADD CONSTRAINT [UQ_x] UNIQUE NONCLUSTERED ([state]);"]
    );
    let lost = Uniqueness::Lost("incremental reads see no deletes");
    let lost = design(&definition, ALL, &schema(&[0]), lost);
    assert_eq!(
        statements(&lost),
        ["CREATE NONCLUSTERED INDEX [UQ] ON [dbo].[orders] ([state]);"]
    );
    assert_eq!(
        lost.warnings,
        ["created without UNIQUE, because incremental reads see no deletes: UQ"]
    );
    // A history has no key: the source's is an index like any other.
    let history = design(&definition, ALL, &schema(&[]), Uniqueness::Lost("why"));
    assert_eq!(
        history.clustered.as_ref().map(Object::described).unwrap(),
        "index PK"
    );
    assert_eq!(history.objects.len(), 1);
}

#[test]
fn what_the_target_cannot_have_is_named() {
    let mut definition = definition(vec![
        primary_key(IndexKind::Clustered),
        index("gone", IndexKind::Nonclustered, &["dropped"]),
        TableIndex {
            filter: Some("([a]>(0)) DROP TABLE x".into()),
            included: vec!["at".into()],
            ..index("odd", IndexKind::Nonclustered, &["state"])
        },
    ]);
    definition.defaults = vec![
        ColumnDefault {
            name: "DF".into(),
            column: "state".into(),
            definition: "((0)".into(),
        },
        ColumnDefault {
            name: "DF2".into(),
            column: "dropped".into(),
            definition: "((0))".into(),
        },
    ];
    definition.checks = vec![Check {
        name: "CK".into(),
        definition: "1) DROP TABLE x --".into(),
        trusted: true,
    }];
    let found = design(&definition, ALL, &schema(&[0]), Uniqueness::Kept);
    let warnings = found.warnings.join("\n");
    for part in [
        "index gone: the lake table has no column dropped",
        "the default of state: its text is not taken for one expression, because its parentheses do not match",
        "check CK: its text",
    ] {
        assert!(warnings.contains(part), "{warnings}");
    }
    // Balanced text stays inside the parentheses, where the server refuses it.
    assert_eq!(
        statements(&found),
        [
            "CREATE NONCLUSTERED INDEX [odd] ON [dbo].[orders] ([state]) INCLUDE ([at]) WHERE (([a]>(0)) DROP TABLE x);"
        ]
    );
}

#[test]
fn what_a_dead_load_has_made_is_found_by_name() {
    let run = RunId::generate();
    let mut source = definition(vec![
        primary_key(IndexKind::Clustered),
        index("ix", IndexKind::Nonclustered, &["state"]),
        TableIndex {
            unique: true,
            constraint: true,
            ..index("UQ", IndexKind::Nonclustered, &["at"])
        },
    ]);
    source.defaults = vec![ColumnDefault {
        name: "DF".into(),
        column: "state".into(),
        definition: "((0))".into(),
    }];
    source.checks = vec![Check {
        name: "CK".into(),
        definition: "([state]>(0))".into(),
        trusted: false,
    }];
    let wanted = design(&source, ALL, &schema(&[0]), Uniqueness::Kept);
    assert_eq!(wanted.objects.len(), 4);
    let mut target = source.clone();
    assert!(wanted.clone().without(&target).objects.is_empty());
    // Names that were taken.
    target.indexes[2].name = format!("uq{}", suffix(run));
    target.defaults[0].name = "DF_other".into();
    target.checks[0].name = format!("CK{}", suffix(run));
    assert!(wanted.clone().without(&target).objects.is_empty());
    target.checks[0].name = "CK_of_the_owner".into();
    target.indexes.truncate(1);
    let missing = wanted.without(&target).objects;
    let missing: Vec<String> = missing.iter().map(Object::described).collect();
    assert_eq!(missing, ["index ix", "unique constraint UQ", "check CK"]);
}

#[test]
fn a_taken_name_is_tried_again_with_the_run() {
    let tried = |naming: Naming<'static>| -> Vec<&str> { naming.tried().collect() };
    assert_eq!(tried(Naming::Free("_run")), ["", "_run"]);
    assert_eq!(tried(Naming::Suffixed("_run")), ["_run"]);
}
