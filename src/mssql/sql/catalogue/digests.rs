//! Examples of checksums of rows, and of what is read where they differ.

use super::creation::Example;
use super::shapes::{column, sample};
use crate::mssql::sql::digest::{
    Digested, Places, bucket_rows, digests, digests_within, respelled,
};
use crate::schema::digest::{Buckets, Form, Kept};
use crate::schema::{SqlType, TableName, TableSchema};

const HASH: Buckets = Buckets::Hash { count: 4096 };
const RANGE: Buckets = Buckets::Range {
    column: 0,
    low: -5,
    width: 64,
};

pub(super) fn examples(shapes: &[(&'static str, TableSchema)]) -> Vec<Example> {
    let mut examples = Vec::new();
    for (shape, table) in shapes {
        let whole = table
            .columns
            .first()
            .is_some_and(|first| first.ty == SqlType::Int);
        let all = [("hash", HASH, true), ("range", RANGE, whole)];
        for (by, buckets, is_possible) in all {
            if is_possible {
                of_table(&mut examples, &format!("{shape}_{by}"), table, buckets);
            }
        }
    }
    without_key(&mut examples);
    examples
}

/// The columns that have a form, and their forms.
fn compared(table: &TableSchema, kept: Kept) -> (TableSchema, Vec<Form>) {
    let forms = table.columns.iter().map(|column| Form::of(column.ty, kept));
    let forms: Vec<Option<Form>> = forms.collect();
    let mut table = table.clone();
    // Those without a form are behind the key.
    let mut has_form = forms.iter().map(Option::is_some);
    table.columns.retain(|_| has_form.next().unwrap_or(false));
    (table, forms.into_iter().flatten().collect())
}

fn of_table(examples: &mut Vec<Example>, name: &str, table: &TableSchema, buckets: Buckets) {
    let (table, forms) = compared(table, Kept::ALL);
    let of = Digested {
        table: &table,
        forms: &forms,
        buckets,
        marked: None,
    };
    examples.push(("digests", name.to_owned(), digests(&of, None)));
    let spans = [(0, 0), (7, 7), (9, 12)];
    let marked = Digested {
        marked: Some("is]deleted"),
        ..of
    };
    let some = digests(&marked, Some(&spans));
    examples.push(("digests", format!("{name}_some"), some));
    let within = digests_within(&of, &spans[..2], 256);
    examples.push(("digests_within", name.to_owned(), within));
    let places = Places {
        whole: spans.to_vec(),
        divided: vec![(20, vec![1, 255])],
        parts: 256,
    };
    examples.push(("bucket_rows", name.to_owned(), bucket_rows(&of, &places)));
    let key = |second: bool| {
        let text = |ty| sample(ty).map(|(low, high)| if second { high } else { low });
        let columns = table.key_columns();
        columns
            .map(|column| text(column.ty).map(str::to_owned))
            .collect()
    };
    let respelled = respelled(&of, &[key(false), key(true)]);
    examples.push(("respelled", name.to_owned(), respelled));
}

/// A table without a key, and what `fidelity: standard` leaves of its values.
fn without_key(examples: &mut Vec<Example>) {
    let types = [
        SqlType::Time { scale: 7 },
        SqlType::DateTime2 { scale: 7 },
        SqlType::DateTimeOffset { scale: 7 },
        SqlType::DateTimeOffset { scale: 3 },
        SqlType::NVarChar { length: Some(4000) },
    ];
    let columns = types.into_iter().zip(1..);
    let table = TableSchema {
        name: TableName {
            schema: "dbo".to_owned(),
            name: "log".to_owned(),
        },
        columns: columns
            .map(|(ty, id)| column(id, &format!("c{id}"), ty, true))
            .collect(),
        key: None,
    };
    let kept = Kept {
        ticks: false,
        offset: false,
    };
    let (table, forms) = compared(&table, kept);
    let of = Digested {
        table: &table,
        forms: &forms,
        buckets: HASH,
        marked: None,
    };
    examples.push((
        "digests",
        "without_key_standard".to_owned(),
        digests(&of, None),
    ));
}
