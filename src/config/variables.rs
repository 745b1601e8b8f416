//! `${NAME}` in the values of a configuration file.
//!
//! Guarantee: no complaint holds what a variable stands for, because that may be a password. Libraries quote the value
//! they refuse. So a complaint about a value is made a second time, with that value as the file has it, and when even
//! that does not tell what is wrong, the value is left out.

use serde::de::DeserializeOwned;
use serde_yaml_ng::Value;

/// A complaint: the path inside the file and what is wrong there.
pub(super) type Complaint = (String, String);

/// Values that are connection strings: shown only when they are the name of a variable and nothing else.
const SECRET_PLACES: [&str; 2] = ["source", "target"];
const NOT_SHOWN: &str = "(not shown)";
/// Shorter values are parts of any message by chance.
const QUOTED_MIN: usize = 8;

/// A file as it was written, and the environment.
pub(super) struct Written<L> {
    tree: Value,
    lookup: L,
}

impl<L: Fn(&str) -> Option<String>> Written<L> {
    pub(super) fn new(tree: Value, lookup: L) -> Self {
        Self { tree, lookup }
    }

    /// The values with variables replaced.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Complaint> {
        let mut tree = self.tree.clone();
        walk(&mut tree, "", &mut |at, text| {
            *text = self.expand_at(at, text)?;
            Ok(())
        })?;
        deserialize(tree).map_err(|(at, message)| {
            let message = self.explain::<T>(&at, message);
            (at, message)
        })
    }

    /// A complaint about values that were read, without what a variable stands for.
    pub(super) fn hide(&self, (at, message): Complaint) -> Complaint {
        let mut message = message;
        for (place, written, expanded) in self.expansions() {
            if place == at {
                message = message.replace(&format!("`{expanded}`"), &format!("`{written}`"));
            }
        }
        let message = self.checked(message);
        (at, message)
    }

    /// What is wrong at a place, said of the value as it was written.
    fn explain<T: DeserializeOwned>(&self, at: &str, message: String) -> String {
        let mut tree = self.tree.clone();
        let mut is_value = false;
        let walked = walk(&mut tree, "", &mut |place, text| {
            let is_here = place == at || (place.is_empty() && at == ".");
            is_value |= is_here;
            *text = match is_here {
                true => shown(place, text),
                false => self.expand_at(place, text)?,
            };
            Ok(())
        });
        match (walked, is_value) {
            // No text is at fault: a key, or a number.
            (Ok(()), false) => self.checked(message),
            (Ok(()), true) => match deserialize::<T>(tree) {
                Err((place, message)) if place == at => message,
                Ok(_) | Err(_) => not_shown(),
            },
            (Err(_), _) => not_shown(),
        }
    }

    /// The message, unless it quotes the value of a variable all the same.
    fn checked(&self, message: String) -> String {
        let quotes = |expanded: &str| {
            let debug = format!("{expanded:?}");
            message.contains(expanded) || message.contains(debug.trim_matches('"'))
        };
        let leaks = self
            .expansions()
            .into_iter()
            .any(|(_, _, expanded)| expanded.len() >= QUOTED_MIN && quotes(&expanded));
        if leaks { not_shown() } else { message }
    }

    /// Place, text as written, and what it stands for, of each value with a variable.
    fn expansions(&self) -> Vec<(String, String, String)> {
        let mut found = Vec::new();
        let walked = walk(&mut self.tree.clone(), "", &mut |at, text| {
            let expanded = self.expand_at(at, text)?;
            if expanded != *text {
                found.push((at.to_owned(), text.clone(), expanded));
            }
            Ok(())
        });
        // A variable that is not set was refused before.
        walked.map_or_else(|_| Vec::new(), |()| found)
    }

    fn expand_at(&self, at: &str, text: &str) -> Result<String, Complaint> {
        expand(text, &self.lookup).map_err(|message| (at.to_owned(), message))
    }
}

fn not_shown() -> String {
    "the value is not of the kind that belongs here. It is not shown because it comes from an environment variable"
        .to_owned()
}

/// A value as a message may show it.
fn shown(at: &str, written: &str) -> String {
    let within = |place: &str| {
        let rest = at.strip_prefix(place);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    let name = written
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'));
    let is_name =
        name.is_some_and(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
    if SECRET_PLACES.into_iter().any(within) && !is_name {
        NOT_SHOWN.to_owned()
    } else {
        written.to_owned()
    }
}

fn deserialize<T: DeserializeOwned>(tree: Value) -> Result<T, Complaint> {
    serde_path_to_error::deserialize(tree).map_err(|error| {
        let at = error.path().to_string();
        (at, error.into_inner().to_string())
    })
}

/// Calls `each` for every string value below `value`, with its place.
fn walk(
    value: &mut Value,
    at: &str,
    each: &mut impl FnMut(&str, &mut String) -> Result<(), Complaint>,
) -> Result<(), Complaint> {
    match value {
        Value::String(text) => each(at, text)?,
        Value::Sequence(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                walk(item, &format!("{at}[{index}]"), each)?;
            }
        }
        Value::Mapping(entries) => {
            for (key, item) in entries.iter_mut() {
                let key = key.as_str().unwrap_or("?");
                let path = if at.is_empty() {
                    key.to_owned()
                } else {
                    format!("{at}.{key}")
                };
                walk(item, &path, each)?;
            }
        }
        Value::Tagged(tagged) => walk(&mut tagged.value, at, each)?,
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

/// Replaces `${NAME}` and `${NAME:-default}`; `$${` stands for a plain `${`.
fn expand(text: &str, lookup: &impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, after) = rest.split_at(start);
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = &after[2..];
            continue;
        }
        out.push_str(before);
        let Some(end) = after.find('}') else {
            return Err(
                "a `${` is not closed with `}`; write `$${` for the characters themselves".into(),
            );
        };
        let inside = &after[2..end];
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        match lookup(name).or_else(|| default.map(str::to_owned)) {
            Some(found) => out.push_str(&found),
            None => {
                return Err(format!(
                    "environment variable `{name}` is not set; set it, or write ${{{name}:-default}}"
                ));
            }
        }
        rest = &after[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::path::Path;

    const MARKER: &str = "S3cr3tMarker";
    const FILE: &str = "
source: { connection: 'Server=h', parallel_tables: 4, parallel_channels: 4 }
target: { connection: 'Server=h', parallel_tables: 4 }
warehouse: { location: lake, catalog: filesystem, target_file_size: 64MiB }
maintenance: { auto: true, small_files: 8, budget: 1GiB, snapshots_max: 300, snapshot_age: 5d, orphan_age: 3d }
tables:
  - source: dbo.t
    lake: dbo.l
    target: dbo.u
    key: [a, b]
    kind: mirror
    fidelity: exact
    change: { strategy: timestamp, column: at, lag: 5s, overlap: 1h, clock: utc, isolation: auto, page_rows: 0 }
    merge: { mode: upsert, statement: merge, deletes: { soft: { column: gone, at: since } }, on_schema_change: evolve }
    schema: { on_change: evolve }
    on_foreign_commit: warn
    renames: { a: b }
    drops: [c]
  - source: dbo.v
";

    fn parse(text: &str, value: &str) -> Result<Config, String> {
        let lookup = |name: &str| (name == "MARK").then(|| value.to_owned());
        Config::parse(Path::new("icesync.yaml"), text, lookup).map_err(|error| error.to_string())
    }

    /// Every value of a tree, replaced one at a time.
    fn each_replaced(tree: &Value, by: &Value, found: &mut Vec<Value>) {
        found.push(by.clone());
        let mut inner = |at: &dyn Fn(&mut Value) -> &mut Value, child: &Value| {
            let mut below = Vec::new();
            each_replaced(child, by, &mut below);
            for replaced in below {
                let mut whole = tree.clone();
                *at(&mut whole) = replaced;
                found.push(whole);
            }
        };
        match tree {
            Value::Sequence(items) => {
                for (index, child) in items.iter().enumerate() {
                    inner(&|whole| &mut whole[index], child);
                }
            }
            Value::Mapping(entries) => {
                for (key, child) in entries {
                    inner(&|whole| &mut whole[key], child);
                }
            }
            Value::Tagged(_) | Value::String(_) => {}
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    #[test]
    fn no_complaint_holds_what_a_variable_stands_for() {
        assert!(parse(FILE, "").is_ok(), "{:?}", parse(FILE, ""));
        let tree: Value = serde_yaml_ng::from_str(FILE).unwrap();
        let text = |text: &str| serde_yaml_ng::from_str::<Value>(text).unwrap();
        let mut refused = 0;
        for value in [
            format!("Server=h;Password={MARKER}"),
            format!("{MARKER}.b.c"),
            format!("{MARKER}\"\\\n'`é"),
            format!("5 {MARKER}"),
            MARKER.to_owned(),
        ] {
            for by in [
                "'${MARK}'",
                "['${MARK}']",
                "['${MARK}', '${MARK}']",
                "{ '${MARK}': 1 }",
                "{ connection: ['${MARK}'] }",
                "{ a: '${MARK}', 1: '${MARK}' }",
                "!tag '${MARK}'",
            ] {
                let mut files = Vec::new();
                each_replaced(&tree, &text(by), &mut files);
                for file in files {
                    let file = serde_yaml_ng::to_string(&file).unwrap();
                    if let Err(said) = parse(&file, &value) {
                        assert!(!said.contains(MARKER), "{file}\n{said}");
                        refused += 1;
                    }
                }
            }
        }
        assert!(refused > 1000, "{refused}");
    }

    #[test]
    fn complaints_show_the_value_as_it_was_written() {
        let secret = "Server=h;Password=S3cr3tMarker";
        for (from, to, says) in [
            (
                "{ connection: 'Server=h', parallel_tables: 4 }",
                "'${MARK}'",
                "at `target`: invalid type: string \"${MARK}\", expected `{ connection: ... }`",
            ),
            (
                "{ connection: 'Server=h', parallel_tables: 4 }",
                "Server=h;Password=literal",
                "at `target`: invalid type: string \"(not shown)\", expected `{ connection: ... }`",
            ),
            (
                "parallel_tables: 4 }",
                "parallel_tables: '${MARK}' }",
                "at `target.parallel_tables`: invalid type: string \"${MARK}\"",
            ),
            (
                "kind: mirror",
                "kind: 'x${MARK}'",
                "at `tables[0].kind`: unknown variant `x${MARK}`, expected `mirror` or `history`",
            ),
            (
                "lake: dbo.l",
                "lake: 'a.b.${MARK}'",
                "at `tables[0].lake`: `a.b.${MARK}` is not a table name",
            ),
            ("lag: 5s", "lag: '${MARK}'", "at `tables[0].change.lag`: "),
            ("64MiB", "'${MARK}'", "${MARK}"),
        ] {
            assert!(FILE.contains(from), "{from}");
            let said = parse(&FILE.replace(from, to), secret).unwrap_err();
            assert!(said.contains(says), "{said}");
            assert!(!said.contains("literal"), "{said}");
        }
    }

    #[test]
    fn a_connection_is_no_warehouse_and_is_not_shown() {
        for secret in [
            "mssql://sa:S3cr3tMarker@h/db",
            "Server=h;Password=S3cr3tMarker",
        ] {
            let file = FILE.replace("location: lake", "location: '${MARK}'");
            assert_ne!(file, FILE);
            let said = parse(&file, secret).unwrap_err();
            assert!(said.contains("warehouse.location"), "{said}");
            assert!(!said.contains("S3cr3tMarker"), "{said}");
        }
    }

    #[test]
    fn variables_are_expanded_with_defaults_and_escapes() {
        let lookup = |name: &str| (name == "A").then(|| "1".to_owned());
        assert_eq!(expand("x${A}y${B:-2}$${A}", &lookup), Ok("x1y2${A}".into()));
        assert!(expand("${B}", &lookup).is_err());
    }
}
