//! Which file uses which, and the circles among them.
//!
//! A file uses another when it names something in it: by `use`, or by a path in the code. A name that a file only hands
//! on (`pub use`, or an import that its children name over `super`) counts as one of the file that it comes from.

use super::rust;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

type Module = Vec<String>;

/// The files in which something is used, by file.
pub type Graph = BTreeMap<PathBuf, BTreeSet<PathBuf>>;

/// A file as a module: what it imports and what it hands on.
struct File {
    path: PathBuf,
    /// Paths of names used.
    uses: Vec<Module>,
    /// Name handed on -> path of where it comes from, and whether to everyone: what is merely imported, only the
    /// files beneath this one can name.
    exports: BTreeMap<String, (Module, bool)>,
}

/// `src/lake/read/scan.rs` -> `lake::read::scan`; the roots are the empty path.
fn module(path: &Path) -> Module {
    let mut module: Module = path
        .with_extension("")
        .iter()
        .skip(1)
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    if module == ["lib"] || module == ["main"] {
        module.clear();
    }
    module
}

/// The graph of `sources` (path from the package's root, code).
pub fn graph(sources: &[(PathBuf, Vec<char>)]) -> Graph {
    let known: BTreeSet<Module> = sources.iter().map(|(path, _)| module(path)).collect();
    let mut files = BTreeMap::new();
    for (path, code) in sources {
        let home = module(path);
        let file = read(path, &home, code, &known);
        // main.rs only starts cli, and shares the empty path with lib.rs.
        if path.file_name().is_some_and(|name| name != "main.rs") {
            files.insert(home, file);
        }
    }
    let mut graph = Graph::new();
    for (home, file) in &files {
        let used = file
            .uses
            .iter()
            .filter_map(|path| owner(path, home, &files, 0))
            .filter(|owner| *owner != home)
            .map(|owner| files[owner].path.clone());
        graph.insert(file.path.clone(), used.collect());
    }
    graph
}

fn read(path: &Path, home: &Module, code: &[char], known: &BTreeSet<Module>) -> File {
    let mut file = File {
        path: path.to_owned(),
        uses: Vec::new(),
        exports: BTreeMap::new(),
    };
    let mut rest = code.to_vec();
    for at in rust::words(code, "use") {
        let line_start = code[..at]
            .iter()
            .rposition(|&c| c == '\n')
            .map_or(0, |at| at + 1);
        let before: String = code[line_start..at].iter().collect();
        let end = (at..code.len())
            .find(|&at| code[at] == ';')
            .unwrap_or(code.len());
        // A bound such as `impl Fn() + use<'_>` is no import.
        if !(before.trim().is_empty() || before.trim_start().starts_with("pub")) {
            continue;
        }
        let tree: String = code[at + 3..end].iter().collect();
        for (path, name) in leaves(&tree) {
            let Some(path) = resolve(&path, home, known) else {
                continue;
            };
            let is_private = before.trim().is_empty();
            if is_private {
                file.uses.push(path.clone());
            }
            file.exports.insert(name, (path, !is_private));
        }
        rest[at..end].fill(' ');
    }
    file.uses.extend(
        inline(&rest)
            .iter()
            .filter_map(|path| resolve(path, home, known)),
    );
    file
}

/// The paths that a `use` tree names, each with the name that it has here.
fn leaves(tree: &str) -> Vec<(Module, String)> {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let (path, name) = match tree.split_once(" as ") {
            Some((path, name)) => (path, Some(name.trim())),
            None => (tree, None),
        };
        let mut path: Module = path
            .split("::")
            .map(|part| part.trim().to_owned())
            .collect();
        if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
            path.pop();
        }
        let name = name.map_or_else(|| path.last().cloned().unwrap_or_default(), str::to_owned);
        return vec![(path, name)];
    };
    let prefix = tree[..open].trim().trim_end_matches("::");
    let inside = &tree[open + 1..tree.rfind('}').unwrap_or(tree.len())];
    let mut found = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, c) in inside.char_indices().chain([(inside.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = inside[start..at].trim();
                if !part.is_empty() {
                    found.extend(leaves(&format!("{prefix}::{part}")));
                }
                start = at + 1;
            }
            _ => {}
        }
    }
    found
}

/// Paths of two names or more in the code itself.
fn inline(code: &[char]) -> Vec<Module> {
    let text: String = code.iter().collect();
    text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
        .filter(|word| word.contains("::"))
        .map(|word| word.split("::").map(str::to_owned).collect())
        .collect()
}

/// The path from the crate's root; none if it begins in another crate, or with a name of the file itself.
fn resolve(path: &Module, home: &Module, known: &BTreeSet<Module>) -> Option<Module> {
    let mut at = home.clone();
    let mut rest = path.as_slice();
    match rest.first()?.as_str() {
        "crate" => {
            at.clear();
            rest = &rest[1..];
        }
        "self" => rest = &rest[1..],
        "super" => {
            while rest.first().is_some_and(|part| part == "super") {
                at.pop()?;
                rest = &rest[1..];
            }
        }
        child => {
            at.push(child.to_owned());
            known.contains(&at).then_some(())?;
            rest = &rest[1..];
        }
    }
    at.extend(rest.iter().cloned());
    Some(at)
}

/// The file that a path leads to: that of the longest prefix, or, if that one hands the name on, the file it is from.
fn owner<'a>(
    path: &[String],
    from: &Module,
    files: &'a BTreeMap<Module, File>,
    depth: usize,
) -> Option<&'a Module> {
    let (length, (module, file)) = (0..=path.len())
        .rev()
        .find_map(|length| Some((length, files.get_key_value(&path[..length])?)))?;
    let handed_on = path.get(length).and_then(|name| file.exports.get(name));
    let beneath = from.len() > module.len() && from.starts_with(module);
    match handed_on {
        Some((source, to_everyone)) if (*to_everyone || beneath) && depth < 8 => {
            let mut whole = source.clone();
            whole.extend(path[length + 1..].iter().cloned());
            owner(&whole, from, files, depth + 1)
        }
        Some(_) | None => Some(module),
    }
}

/// The sets of files of which each uses each, over others or not.
pub fn circles(graph: &Graph) -> Vec<BTreeSet<PathBuf>> {
    let reach: BTreeMap<&PathBuf, BTreeSet<&PathBuf>> = graph
        .keys()
        .map(|start| {
            let mut seen = BTreeSet::new();
            let mut open: Vec<&PathBuf> = graph[start].iter().collect();
            while let Some(next) = open.pop() {
                if seen.insert(next) {
                    open.extend(&graph[next]);
                }
            }
            (start, seen)
        })
        .collect();
    let circles: BTreeSet<BTreeSet<PathBuf>> = graph
        .keys()
        .filter(|file| reach[file].contains(file))
        .map(|file| {
            let others = reach[file]
                .iter()
                .filter(|other| reach[**other].contains(file));
            others.map(|other| (*other).clone()).collect()
        })
        .collect();
    circles.into_iter().collect()
}

#[test]
fn finds_circles() {
    let file = |path: &str, code: &str| (PathBuf::from(path), rust::bare(code));
    let sources = [
        file("src/lib.rs", "pub mod a; pub mod d;"),
        file(
            "src/a.rs",
            "mod b;\nmod c;\npub use b::B;\nfn f() { c::g() }",
        ),
        file("src/a/b.rs", "use crate::d::{self, e::E as F};"),
        file(
            "src/a/c.rs",
            "use super::B;\nuse std::fmt;\nfn g() { super::f() }",
        ),
        file("src/d.rs", "fn h(_: crate::a::B) {}"),
        file("src/d/e.rs", "fn i() {}"),
    ];
    let graph = graph(&sources);
    let used = |path: &str| -> Vec<&str> {
        let used = graph[Path::new(path)].iter();
        used.map(|path| path.to_str().expect("text")).collect()
    };
    assert_eq!(used("src/a.rs"), ["src/a/c.rs"]);
    assert_eq!(used("src/a/b.rs"), ["src/d/e.rs", "src/d.rs"]);
    assert_eq!(used("src/a/c.rs"), ["src/a/b.rs", "src/a.rs"]);
    assert_eq!(used("src/d.rs"), ["src/a/b.rs"]);
    let found = circles(&graph);
    let set = |paths: [&str; 2]| paths.map(PathBuf::from).into_iter().collect();
    let found: BTreeSet<_> = found.into_iter().collect();
    let expected = [["src/a.rs", "src/a/c.rs"], ["src/a/b.rs", "src/d.rs"]];
    assert_eq!(found, expected.map(set).into_iter().collect());
}
