//! The code reads itself: walls between modules, lengths, circles, where printing and panicking are allowed.
//!
//! Functions of the stand-in that are too long today are named in a list here. It may only shrink: what is mended must
//! leave it, and nothing may be added.

mod imports;
mod rust;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const LINE_COLUMNS_MAX: usize = 120;
const FILE_LINES_MAX: usize = 550;
const FUNCTION_LINES_MAX: usize = 70;

/// Functions longer than [`FUNCTION_LINES_MAX`]. May only shrink.
const LONG_FUNCTIONS: &[&str] = &[
    "sandbox/src/engine/bind/cond.rs: cond_inner",
    "sandbox/src/engine/bind/expr.rs: expr_inner",
    "sandbox/src/engine/bind/from.rs: source",
    "sandbox/src/engine/bind/function.rs: window_call",
    "sandbox/src/engine/bind/join.rs: join",
    "sandbox/src/engine/bind/join.rs: plan_tree",
    "sandbox/src/engine/bind/select.rs: assemble",
    "sandbox/src/engine/bind/semi.rs: semi_join",
    "sandbox/src/engine/ddl/constraint.rs: add_foreign",
    "sandbox/src/engine/ddl/table.rs: stored_column",
    "sandbox/src/engine/dml/output.rs: bind",
    "sandbox/src/engine/expr/eval.rs: eval",
    "sandbox/src/engine/expr/truth.rs: test",
    "sandbox/src/engine/plan.rs: open",
    "sandbox/src/engine/plan/scan.rs: resolve_reading",
    "sandbox/src/engine/plan/scan.rs: seek_range",
    "sandbox/src/engine/window.rs: partition_values",
];

/// Every file of Rust beneath a folder.
fn files(folder: &str) -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("text");
                found.push((path, text));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    walk(&root.join(folder), &mut found);
    assert!(!found.is_empty());
    found.sort();
    found
        .into_iter()
        .map(|(path, text)| (path.strip_prefix(root).expect("inside").to_owned(), text))
        .collect()
}

/// The code beneath a folder: without tests, comments, and the contents of literals.
fn sources(folder: &str) -> Vec<(PathBuf, Vec<char>)> {
    let is_test = |path: &Path| {
        path.iter()
            .any(|part| part == "tests" || part == "tests.rs")
    };
    files(folder)
        .into_iter()
        .filter(|(path, _)| !is_test(path))
        .map(|(path, text)| {
            let mut code = rust::bare(&text);
            rust::without_tests(&mut code);
            (path, code)
        })
        .collect()
}

/// `path:line: text` for each line of code that `is_broken`.
fn lines_where(path: &Path, code: &[char], is_broken: impl Fn(&str) -> bool) -> Vec<String> {
    let text: String = code.iter().collect();
    text.lines()
        .enumerate()
        .filter(|(_, line)| is_broken(line))
        .map(|(at, line)| format!("{}:{}: {}", path.display(), at + 1, line.trim()))
        .collect()
}

/// Whether a line names `module` as the beginning of a path.
fn names(line: &str, module: &str) -> bool {
    let line: Vec<char> = line.chars().collect();
    rust::words(&line, module).into_iter().any(|at| {
        let after: String = line[at + module.len()..].iter().take(2).collect();
        let before: String = line[..at].iter().collect();
        after == "::" && !before.ends_with("::") || before.trim_end().ends_with("use")
    })
}

#[test]
fn walls_hold() {
    let walls: [(&[&str], &[&str]); 6] = [
        (&["tiberius", "mssql_tds"], &["src/mssql/", "src/mssql.rs"]),
        (&["reqwest"], &["src/mssql/entra/"]),
        (&["libgssapi"], &["src/mssql/kerberos/"]),
        (
            &["iceberg", "parquet", "object_store"],
            &["src/lake/", "src/lake.rs"],
        ),
        (
            &["clap", "indicatif"],
            &["src/cli/", "src/cli.rs", "src/main.rs"],
        ),
        (
            &["tokio::spawn", "tokio::task::spawn", "JoinSet"],
            &["src/sync/", "src/sync.rs"],
        ),
    ];
    let mut broken = Vec::new();
    for (path, code) in sources("src") {
        for (forbidden, homes) in &walls {
            if homes
                .iter()
                .any(|home| path.to_string_lossy().starts_with(home))
            {
                continue;
            }
            broken.extend(lines_where(&path, &code, |line| {
                forbidden
                    .iter()
                    .any(|name| names(line, name) || line.contains(&format!("{name}(")))
            }));
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn lake_source_and_target_do_not_know_each_other() {
    let modules = ["lake", "source", "target"];
    let mut broken = Vec::new();
    for (path, code) in sources("src") {
        let Some(home) = modules.iter().find(|module| {
            path.starts_with(format!("src/{module}"))
                || path == Path::new(&format!("src/{module}.rs"))
        }) else {
            continue;
        };
        broken.extend(lines_where(&path, &code, |line| {
            let mut others = modules.iter().filter(|other| other != &home);
            others.any(|other| line.contains(&format!("crate::{other}")))
        }));
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn lines_stay_narrow() {
    let mut wide = Vec::new();
    for folder in ["src", "sandbox/src", "tests", "benches"] {
        for (path, text) in files(folder) {
            let lines = text.lines().enumerate();
            wide.extend(lines.filter_map(|(at, line)| {
                let columns = line.chars().count();
                (columns > LINE_COLUMNS_MAX)
                    .then(|| format!("{}:{}: {columns} columns", path.display(), at + 1))
            }));
        }
    }
    assert!(wide.is_empty(), "{wide:#?}");
}

#[test]
fn files_stay_short() {
    let mut long = Vec::new();
    for folder in ["src", "sandbox/src"] {
        for (path, code) in sources(folder) {
            let lines = rust::lines(&code);
            if lines > FILE_LINES_MAX {
                long.push(format!("{}: {lines} lines of code", path.display()));
            }
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn functions_stay_short() {
    let mut long = BTreeSet::new();
    for folder in ["src", "sandbox/src"] {
        for (path, code) in sources(folder) {
            for (name, extent) in rust::functions(&code) {
                if rust::lines(&code[extent]) > FUNCTION_LINES_MAX {
                    long.insert(format!("{}: {name}", path.display()));
                }
            }
        }
    }
    only_known(
        &long,
        LONG_FUNCTIONS,
        "a function has more lines of code than it may",
    );
}

#[test]
fn no_file_uses_another_in_a_circle() {
    let graph = imports::graph(&sources("src"));
    assert!(graph.len() > 50, "the source is not read right");
    let found = imports::circles(&graph);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_type_is_named_in_a_match() {
    let types = ["SqlType::", "DataType::", "PrimitiveType::", "LakeType::"];
    let mut open = BTreeSet::new();
    for (path, code) in sources("src") {
        let functions = rust::functions(&code);
        for (at, patterns) in rust::matches(&code) {
            let over_types = patterns
                .iter()
                .any(|pattern| types.iter().any(|name| pattern.contains(name)));
            if over_types && patterns.iter().any(|pattern| catches_all(pattern)) {
                let mut around = functions.iter().filter(|(_, extent)| extent.contains(&at));
                let name = around.next_back().map_or("", |(name, _)| name);
                open.insert(format!("{}: {name}", path.display()));
            }
        }
    }
    assert!(
        open.is_empty(),
        "a match over types has an arm for any other type: {open:#?}"
    );
}

/// `_`, `(_, _)` or a name that takes whatever comes; not where a guard follows.
fn catches_all(pattern: &str) -> bool {
    let free = |c: char| c.is_lowercase() || matches!(c, '_' | '(' | ')' | ',' | ' ');
    !pattern.contains(" if ") && pattern.chars().all(free) && !matches!(pattern, "true" | "false")
}

/// `found` is exactly what is `known`: nothing new, and nothing listed that has been mended.
fn only_known(found: &BTreeSet<String>, known: &[&str], what: &str) {
    let known: BTreeSet<_> = known.iter().map(ToString::to_string).collect();
    let new: Vec<_> = found.difference(&known).collect();
    let mended: Vec<_> = known.difference(found).collect();
    assert!(new.is_empty(), "{what}: {new:#?}");
    assert!(
        mended.is_empty(),
        "no longer true, take it out of the list ({what}): {mended:#?}"
    );
}

#[test]
fn only_the_cli_prints_and_nothing_panics() {
    let mut broken = Vec::new();
    for (path, code) in sources("src") {
        let may_print = path.starts_with("src/cli") || path == Path::new("src/cli.rs");
        broken.extend(lines_where(&path, &code, |line| {
            let prints = ["println!", "eprintln!", "print!(", "dbg!"]
                .iter()
                .any(|name| line.contains(name));
            let panics = [
                ".unwrap()",
                ".expect(\"",
                "todo!(",
                "unimplemented!(",
                "panic!(",
                "unreachable!(",
            ]
            .iter()
            .any(|name| line.contains(name));
            panics || (prints && !may_print)
        }));
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
