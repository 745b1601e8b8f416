//! Every statement that icesync can emit, one file each in `tests/tsql`, for review and for Microsoft's parser.
//! `ICESYNC_BLESS=1` writes the files.

use icesync::mssql::error::ServerMessage;
use icesync::mssql::sql::{ParamValue, Statement, catalogue, parameter_name};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

/// A statement as a file: its parameters in comments, then its text.
fn file(statement: &Statement) -> String {
    let mut text = String::new();
    for (at, value) in statement.params.iter().enumerate() {
        let value = match value {
            ParamValue::Text(value) => format!("nvarchar {value:?}"),
            ParamValue::Int(value) => format!("bigint {value:?}"),
        };
        text.push_str(&format!("-- {} {value}\n", parameter_name(at + 1)));
    }
    text.push_str(&statement.sql);
    text.push('\n');
    text
}

fn expected() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for example in catalogue() {
        let safe = example
            .name
            .replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "_");
        let name = format!("{safe}.sql");
        let before = files.insert(name.clone(), file(&example.statement));
        assert!(before.is_none(), "two examples are named {name}");
    }
    files
}

#[test]
fn every_statement_is_as_reviewed() {
    let folder = root().join("tests/tsql");
    let expected = expected();
    if std::env::var_os("ICESYNC_BLESS").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        for entry in std::fs::read_dir(&folder).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
        for (name, text) in &expected {
            std::fs::write(folder.join(name), text).unwrap();
        }
    }
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        found.insert(name, std::fs::read_to_string(entry.path()).unwrap());
    }
    let names: BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    let differing: Vec<&String> = names
        .into_iter()
        .filter(|name| expected.get(*name) != found.get(*name))
        .collect();
    assert!(
        differing.is_empty(),
        "these files of tests/tsql differ from what is emitted: {differing:?}; look at them and set ICESYNC_BLESS=1"
    );
}

/// Names of the public functions of a source file that answer a statement.
fn renderers(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    for part in source.split("\npub fn ").skip(1) {
        let signature = part.split(" {\n").next().unwrap_or("");
        let signature = signature.trim_end();
        if ["-> Statement", "-> Option<Statement>"]
            .iter()
            .any(|answer| signature.ends_with(answer))
        {
            let name = signature.split('(').next().unwrap_or("");
            names.push(name.to_owned());
        }
    }
    names
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

#[test]
fn every_function_that_writes_a_statement_has_an_example() {
    let mut files = Vec::new();
    sources(&root().join("src/mssql/sql"), &mut files);
    let written: BTreeSet<String> = files
        .iter()
        .flat_map(|path| renderers(&std::fs::read_to_string(path).unwrap()))
        .collect();
    assert!(
        written.len() > 25,
        "the source is not read right: {written:?}"
    );
    let shown: BTreeSet<String> = catalogue()
        .into_iter()
        .map(|example| example.name.split('.').next().unwrap_or("").to_owned())
        .collect();
    assert_eq!(written, shown);
}

#[test]
fn source_and_target_write_no_sql_of_their_own() {
    let mut files = Vec::new();
    for folder in ["src/source", "src/target"] {
        sources(&root().join(folder), &mut files);
    }
    files.push(root().join("src/source.rs"));
    files.push(root().join("src/target.rs"));
    for path in files {
        let text = std::fs::read_to_string(&path)
            .unwrap()
            .replace("-> Statement {", "");
        for forbidden in ["Statement::plain", "Statement {"] {
            assert!(
                !text.contains(forbidden),
                "{} makes a statement outside mssql::sql",
                path.display()
            );
        }
    }
}

#[test]
fn no_read_skips_locked_or_reads_uncommitted_rows() {
    for example in catalogue() {
        let sql = example.statement.sql.to_uppercase();
        for hint in ["NOLOCK", "READPAST", "READUNCOMMITTED", "READ UNCOMMITTED"] {
            assert!(!sql.contains(hint), "{}: {hint}", example.name);
        }
    }
}

/// A text that is raised by icesync's own statements holds no value, so it is shown.
#[test]
fn literal_texts_of_errors_are_shown_whole() {
    let mut shown = BTreeSet::new();
    for example in catalogue() {
        for thrown in example.statement.sql.split("THROW ").skip(1) {
            let Some((number, text)) = thrown.split_once(", N'") else {
                continue;
            };
            let (Ok(number), Some((text, _))) = (number.parse(), text.split_once('\'')) else {
                continue;
            };
            let message = ServerMessage::new(number, text).to_string();
            assert_eq!(message, text, "{}", example.name);
            shown.insert(text.to_owned());
        }
    }
    assert!(shown.len() >= 8, "{shown:?}");
}

#[test]
fn hostile_names_stay_inside_brackets() {
    for example in catalogue() {
        let sql = &example.statement.sql;
        if !example.name.contains("hostile") || example.name.starts_with("describe") {
            continue;
        }
        let name = "it's \"odd\"; DROP TABLE x --]";
        let outside = sql
            .replace(&format!("[{name}"), "")
            .replace(&format!("[PK_{}", name.trim_end_matches(']')), "");
        assert!(!outside.contains("DROP TABLE x"), "{}", example.name);
        assert!(!sql.contains("[k]]]]"), "{}", example.name);
    }
}

/// The words of a statement, without those in delimited names, literals and comments.
fn words(sql: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut chars = sql.chars().peekable();
    while let Some(c) = chars.next() {
        let close = match c {
            '\'' => '\'',
            '[' => ']',
            '-' if chars.peek() == Some(&'-') => '\n',
            _ if c.is_alphanumeric() || "@#_$".contains(c) => {
                words.last_mut().unwrap().push(c);
                continue;
            }
            _ => {
                words.push(String::new());
                continue;
            }
        };
        let mut is_open = true;
        while is_open {
            chars.by_ref().find(|&c| c == close);
            // A delimiter that is doubled stands for itself.
            is_open = close != '\n' && chars.next_if_eq(&close).is_some();
        }
        words.push(String::new());
    }
    words.retain(|word| !word.is_empty());
    words
}

/// A name that is written otherwise than it is sent is no parameter.
#[test]
fn a_statement_names_its_parameters_as_they_are_sent() {
    for example in catalogue() {
        let Statement { sql, params } = &example.statement;
        let sent: BTreeSet<String> = (1..=params.len()).map(parameter_name).collect();
        let named = words(sql).into_iter().filter(|word| {
            let digits = word.strip_prefix("@P").or(word.strip_prefix("@p"));
            digits.is_some_and(|digits| digits.chars().all(|c| c.is_ascii_digit()))
        });
        let named: BTreeSet<String> = named.collect();
        assert!(named.is_subset(&sent), "{}: {named:?}", example.name);
    }
}

/// With parameters a text runs in `sp_executesql`. At its end the server takes back what it has SET, and complains
/// about a transaction that it leaves open (error 266).
#[test]
fn no_statement_with_parameters_sets_what_is_to_last() {
    let lasting = [
        "begin_snapshot",
        "begin_read_committed",
        "begin_table_lock",
        "end_transaction",
        "end_read_committed",
        "fence",
        "first_look",
        "begin_group",
        "commit_group",
        "begin_load",
        "commit_load",
        "apply_part",
    ];
    let mut met = BTreeSet::new();
    for example in catalogue() {
        let Statement { sql, params } = &example.statement;
        let function = example.name.split('.').next().unwrap_or("");
        if let Some(name) = lasting.iter().find(|name| **name == function) {
            assert!(params.is_empty(), "{} has parameters", example.name);
            met.insert(*name);
        }
        if params.is_empty() {
            continue;
        }
        let count = |what: &str| sql.matches(what).count();
        let (begun, ended) = (count("BEGIN TRANSACTION"), count("COMMIT TRANSACTION"));
        assert_eq!(begun, ended, "{} leaves a transaction", example.name);
        // Each option is for something after it, or goes back to what a session begins with.
        let last = sql.split(';').map(str::trim).rfind(|part| {
            let is_back = *part == "SET LOCK_TIMEOUT -1" || part.ends_with(" OFF");
            !part.is_empty() && !is_back
        });
        let last = last.unwrap_or("");
        let option = last
            .strip_prefix("SET ")
            .filter(|rest| !rest.starts_with('@'));
        assert_eq!(option, None, "{} ends in it", example.name);
    }
    assert_eq!(met.len(), lasting.len(), "{met:?}");
}

/// Where the server's collation is case-sensitive, so are the names of columns, aliases and variables.
#[test]
fn names_are_spelled_in_one_way() {
    assert_eq!(
        words("SELECT a.[x]]Y], N'it''s' AS B -- c\nFROM @t"),
        ["SELECT", "a", "N", "AS", "B", "FROM", "@t"]
    );
    // A function and a column, a literal's prefix and an alias, a function and a length.
    let known = [["OBJECT_ID", "object_id"], ["N", "n"], ["MAX", "max"]];
    for example in catalogue() {
        let sql = &example.statement.sql;
        let mut spellings: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for word in words(sql) {
            let folded = word.to_lowercase();
            spellings.entry(folded).or_default().insert(word);
        }
        for spelling in spellings.into_values().filter(|found| found.len() > 1) {
            let is_known = known.iter().any(|pair| spelling.iter().eq(pair.iter()));
            assert!(is_known, "{}: {spelling:?}", example.name);
        }
        for rest in sql.split("sys.").skip(1) {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            let name = &rest[..end.unwrap_or(rest.len())];
            assert_eq!(name, name.to_lowercase(), "{}", example.name);
        }
    }
}
