//! How files are encoded.

use super::*;
use parquet::file::reader::{FileReader, SerializedFileReader};

/// Whether each column of the only data file has a dictionary, by the rows written.
async fn dictionaries(rows: &[Row], change: impl Fn(&mut WriteOptions)) -> Vec<bool> {
    let directory = tempfile::tempdir().unwrap();
    let (_, table) = fresh(directory.path(), TableKind::Mirror).await;
    let mut options = WriteOptions::new(WriteMode::Append, RunId::generate());
    change(&mut options);
    let mut writer = table.writer(options).await.unwrap();
    writer.write(batch(rows)).await.unwrap();
    let prepared = writer.finish().await.unwrap();
    let file = std::fs::File::open(&files_in(&table, "data")[0]).unwrap();
    let reader = SerializedFileReader::new(file).unwrap();
    let group = reader.metadata().row_group(0);
    let found = group.columns().iter();
    let found = found
        .map(|column| column.dictionary_page_offset().is_some())
        .collect();
    prepared.abandon(&table).await;
    found
}

#[tokio::test]
async fn columns_that_hardly_repeat_have_no_dictionary() {
    // Ids never repeat. Half of the texts are NULL, and one in ten of the others repeats the one before it. Amounts
    // are a thousand.
    let rows: Vec<Row> = (0..5_000)
        .map(|n| {
            let text = (n % 2 == 0).then(|| format!("text {}", n - n % 20 / 18 * 2));
            (n, text, Some((n % 1_000) as i32))
        })
        .collect();
    let sampled = |_: &mut WriteOptions| {};
    assert_eq!(dictionaries(&rows, sampled).await, [false, true, true]);
    let distinct: Vec<Row> = rows
        .iter()
        .map(|row| (row.0, (row.0 % 2 == 0).then(|| row.0.to_string()), row.2))
        .collect();
    assert_eq!(dictionaries(&distinct, sampled).await, [false, false, true]);
    // Too few to tell.
    assert_eq!(dictionaries(&distinct[..900], sampled).await, [true; 3]);
    let all = |options: &mut WriteOptions| options.dictionaries = Dictionaries::All;
    assert_eq!(dictionaries(&rows, all).await, [true; 3]);
    let none = |options: &mut WriteOptions| options.dictionaries = Dictionaries::None;
    assert_eq!(dictionaries(&rows, none).await, [false; 3]);
}
