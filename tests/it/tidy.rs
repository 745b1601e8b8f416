//! The code reads itself: walls between modules, file length, where printing and panicking are allowed.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                if path.file_stem().is_some_and(|stem| stem == "tests")
                    || path
                        .parent()
                        .is_some_and(|folder| folder.ends_with("tests"))
                {
                    continue;
                }
                let text = fs::read_to_string(&path).expect("text");
                found.push((path, text));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    walk(&root.join(folder), &mut found);
    assert!(!found.is_empty());
    found
        .into_iter()
        .map(|(path, text)| (path.strip_prefix(root).expect("inside").to_owned(), text))
        .collect()
}

/// The code above the unit tests, without comment lines.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split("#[cfg(test)]")
        .next()
        .unwrap_or_default()
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
}

#[test]
fn walls_hold() {
    let walls: [(&[&str], &[&str]); 4] = [
        (&["tiberius", "mssql_tds"], &["src/mssql/", "src/mssql.rs"]),
        (
            &["iceberg", "parquet", "object_store"],
            &["src/lake/", "src/lake.rs"],
        ),
        (
            &["clap", "indicatif"],
            &["src/cli/", "src/cli.rs", "src/main.rs"],
        ),
        (&["tokio::spawn", "JoinSet"], &["src/sync/", "src/sync.rs"]),
    ];
    let mut broken = Vec::new();
    for (path, text) in sources("src") {
        let path = path.to_string_lossy().into_owned();
        for (names, homes) in &walls {
            if homes.iter().any(|home| path.starts_with(home)) {
                continue;
            }
            for line in code(&text) {
                if names.iter().any(|name| {
                    line.contains(&format!("{name}::")) || line.contains(&format!("use {name}"))
                }) {
                    broken.push(format!("{path}: {line}"));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn lake_source_and_target_do_not_know_each_other() {
    let modules = ["lake", "source", "target"];
    let mut broken = Vec::new();
    for (path, text) in sources("src") {
        let path = path.to_string_lossy().into_owned();
        let Some(home) = modules.iter().find(|module| {
            path.starts_with(&format!("src/{module}/")) || path == format!("src/{module}.rs")
        }) else {
            continue;
        };
        for other in modules.iter().filter(|other| other != &home) {
            broken.extend(
                code(&text)
                    .filter(|line| line.contains(&format!("crate::{other}")))
                    .map(|line| format!("{path}: {line}")),
            );
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn files_stay_short() {
    let mut long = Vec::new();
    for folder in ["src", "sandbox/src"] {
        for (path, text) in sources(folder) {
            let lines = code(&text).filter(|line| !line.trim().is_empty()).count();
            if lines > 550 {
                long.push(format!("{}: {lines} lines of code", path.display()));
            }
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn only_the_cli_prints_and_nothing_panics() {
    let mut broken = Vec::new();
    for (path, text) in sources("src") {
        let printing_allowed = path.starts_with("src/cli") || path == Path::new("src/cli.rs");
        for line in code(&text) {
            let prints = ["println!", "eprintln!", "print!(", "dbg!"]
                .iter()
                .any(|name| line.contains(name));
            let panics = [
                ".unwrap()",
                ".expect(\"",
                "todo!(",
                "unimplemented!(",
                "panic!(",
            ]
            .iter()
            .any(|name| line.contains(name));
            if panics || (prints && !printing_allowed) {
                broken.push(format!("{}: {line}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn no_module_is_a_drawer() {
    for folder in ["src", "sandbox/src"] {
        for (path, _) in sources(folder) {
            let stem = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .unwrap_or_default()
                .to_owned();
            assert!(
                !["utils", "util", "common", "helpers", "misc"].contains(&stem.as_str()),
                "{}",
                path.display()
            );
        }
    }
}
