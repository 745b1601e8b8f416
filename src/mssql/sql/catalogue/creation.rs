//! Examples of what a target is created with besides columns and key.

use crate::mssql::sql::Statement;
use crate::mssql::sql::create::{self, NewIndex};
use crate::mssql::sql::define::{self, Storage};
use crate::mssql::sql::definition::{definition, indexed_view};
use crate::mssql::sql::enclosed::{Enclosed, enclosed};
use crate::mssql::sql::fill;
use crate::schema::definition::{Compression, Identity, IndexColumn, IndexKind};
use crate::schema::{TableName, TableSchema};

/// Name of the function, variant, statement.
pub(super) type Example = (&'static str, String, Statement);

const SUFFIX: &str = "_018f0000000070008000000000000001";

pub(super) fn examples(shapes: &[(&'static str, TableSchema)]) -> Vec<Example> {
    let mut examples = Vec::new();
    for (shape, table) in shapes {
        examples.push(("definition", (*shape).to_owned(), definition(&table.name)));
        examples.push((
            "indexed_view",
            (*shape).to_owned(),
            indexed_view(&table.name),
        ));
        stored(&mut examples, shape, table);
        if let (Some(first), Some(second)) = (table.columns.first(), table.columns.get(1)) {
            let columns = [first.name.as_str(), second.name.as_str()];
            indexes(&mut examples, shape, &table.name, columns);
            constraints(&mut examples, shape, &table.name, columns);
        }
    }
    examples
}

/// Tables that are compressed, whose key is not clustered, whose identity counts down.
fn stored(examples: &mut Vec<Example>, shape: &str, table: &TableSchema) {
    let heap = Storage {
        identity: Identity::parse("1000", "-5"),
        heap: Compression::Page,
        ..Storage::default()
    };
    let keyed = Storage {
        key: Compression::Row,
        nonclustered_key: true,
        ..Storage::default()
    };
    let name = TableName {
        schema: define::OWN_SCHEMA.into(),
        name: format!("stg_00000000000000ff{SUFFIX}_fill"),
    };
    let create = define::create_fill(&name, table, &heap);
    examples.push(("create_fill", format!("{shape}_compressed"), create));
    if table.key.is_some() {
        let key = fill::add_key(&name, &table.name, table, &keyed, SUFFIX, true);
        examples.push(("add_key", format!("{shape}_nonclustered"), key));
    }
    for (column, is_descending) in table.columns.iter().zip([false, true]) {
        let reseed = create::reseed(&name, &column.name, is_descending);
        examples.push(("reseed", format!("{shape}_{}", column.id), reseed));
    }
}

fn indexes(examples: &mut Vec<Example>, shape: &str, table: &TableName, columns: [&str; 2]) {
    let index = NewIndex {
        name: table.name.clone(),
        kind: IndexKind::Nonclustered,
        unique: false,
        key: vec![IndexColumn {
            name: columns[0].to_owned(),
            descending: true,
        }],
        included: vec![columns[1].to_owned()],
        filter: expression("([a]>(0) AND [b] IS NOT NULL)"),
        compression: Compression::Page,
    };
    let clustered = NewIndex {
        kind: IndexKind::Clustered,
        unique: true,
        included: Vec::new(),
        filter: None,
        compression: Compression::None,
        ..index.clone()
    };
    let columnstore = NewIndex {
        kind: IndexKind::ClusteredColumnstore,
        key: Vec::new(),
        included: Vec::new(),
        filter: None,
        compression: Compression::ColumnstoreArchive,
        ..index.clone()
    };
    let ordered = NewIndex {
        kind: IndexKind::NonclusteredColumnstore,
        key: Vec::new(),
        compression: Compression::Columnstore,
        ..index.clone()
    };
    for (variant, index) in [
        ("filtered", &index),
        ("clustered", &clustered),
        ("clustered_columnstore", &columnstore),
        ("columnstore", &ordered),
    ] {
        let statement = create::create_index(table, index);
        examples.push(("create_index", format!("{shape}_{variant}"), statement));
    }
    let unique = NewIndex {
        name: constraint(table),
        ..clustered
    };
    let unique = create::add_unique(table, &unique, SUFFIX);
    examples.push(("add_unique", shape.to_owned(), unique));
}

fn constraints(examples: &mut Vec<Example>, shape: &str, table: &TableName, columns: [&str; 2]) {
    if let Some(default) = expression("(getutcdate())") {
        let statement = create::add_default(table, columns[1], &constraint(table), &default, "");
        examples.push(("add_default", shape.to_owned(), statement));
    }
    if let Some(check) = expression("[a]>=(0) AND [b]<>N'it''s ;)'") {
        for (variant, trusted) in [("trusted", true), ("disabled", false)] {
            let statement = create::add_check(table, &constraint(table), &check, trusted, SUFFIX);
            examples.push(("add_check", format!("{shape}_{variant}"), statement));
        }
    }
}

fn constraint(table: &TableName) -> String {
    format!("PK_{}", table.name)
}

fn expression(text: &str) -> Option<Enclosed> {
    enclosed(text).ok()
}
