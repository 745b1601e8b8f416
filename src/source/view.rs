//! Whether the row versions of a view tell when its rows change.
//!
//! They do where a view selects rows of one table of this database, each of them once, by nothing but their own values.
//! A row of a join changes with either of its tables, and the version of one of them says nothing about the other. A
//! table of another database has the versions of that database's counter, which no bound of this one limits.

use crate::mssql::surroundings::View;

/// Words of a query whose rows, or whose values, depend on more than one row of one table.
const DEPENDENT: [&str; 38] = [
    "APPLY",
    "CONTEXT_INFO",
    "CURRENT_DATE",
    "CURRENT_TIMESTAMP",
    "CURRENT_USER",
    "DISTINCT",
    "EXCEPT",
    "GETDATE",
    "GETUTCDATE",
    "GROUP",
    "HAS_PERMS_BY_NAME",
    "INTERSECT",
    "IS_MEMBER",
    "IS_ROLEMEMBER",
    "IS_SRVROLEMEMBER",
    "JOIN",
    "NEWID",
    "OPENJSON",
    "OPENQUERY",
    "OPENROWSET",
    "ORIGINAL_LOGIN",
    "OVER",
    "PIVOT",
    "RAND",
    "SESSION_CONTEXT",
    "SESSION_USER",
    "SUSER_NAME",
    "SUSER_SNAME",
    "SYSDATETIME",
    "SYSDATETIMEOFFSET",
    "SYSTEM_USER",
    "SYSUTCDATETIME",
    "TABLESAMPLE",
    "TOP",
    "UNION",
    "UNPIVOT",
    "USER",
    "USER_NAME",
];

/// Why the row versions of a view do not tell when its rows change, or may not; none where they do.
pub(super) fn untold(view: &View) -> Option<String> {
    let (Some(definition), Some(references)) = (&view.definition, &view.references) else {
        return Some(
            "what the view refers to cannot be seen: grant VIEW DEFINITION on it".to_owned(),
        );
    };
    if let Some(other) = elsewhere(view) {
        return Some(format!(
            "the view refers to {other}, and each database has its own row versions"
        ));
    }
    match references.as_slice() {
        [only] if only.is_table => unselected(definition),
        [only] => Some(format!(
            "the view refers to {}, which is not a table",
            only.name
        )),
        _ => Some(format!(
            "the view refers to {} objects, and a row changes with any of them",
            references.len()
        )),
    }
}

/// Something in another database that a view refers to.
pub(super) fn elsewhere(view: &View) -> Option<&str> {
    let mut references = view.references.iter().flatten();
    let found = references.find(|reference| reference.is_elsewhere);
    found.map(|reference| reference.name.as_str())
}

/// Whether all that a view refers to are memory-optimized tables. Rows of others are read as their database reads them.
pub(super) fn in_memory(view: &View) -> bool {
    let mut references = view.references.iter().flatten().peekable();
    references.peek().is_some() && references.all(|reference| reference.is_memory_optimized)
}

/// Why a query over one table is not a selection of its rows.
fn unselected(definition: &str) -> Option<String> {
    let words = words(definition);
    let is = |word: &Word, text: &str| matches!(word, Word::Plain(found) if found == text);
    let dependent = words.iter().find_map(|word| match word {
        Word::Plain(found) => DEPENDENT.contains(&found.as_str()).then(|| found.clone()),
        Word::Comma { .. } | Word::Other => None,
    });
    if let Some(word) = dependent {
        return Some(format!("the view's query has {word}"));
    }
    let count = |text: &str| words.iter().filter(|word| is(word, text)).count();
    let is_one_query = count("SELECT") == 1 && count("FROM") == 1;
    let sources = words.iter().skip_while(|word| !is(word, "FROM"));
    let mut sources = sources.take_while(|word| !is(word, "WHERE"));
    let is_list = sources.any(|word| *word == Word::Comma { depth: 0 });
    (!is_one_query || is_list)
        .then(|| "the view's query is more than a selection from one table".to_owned())
}

/// A piece of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    /// A word without delimiters, in upper case.
    Plain(String),
    Comma {
        depth: usize,
    },
    /// A name in delimiters, a literal, an operator.
    Other,
}

/// The words of a T-SQL text, without comments and the contents of literals and of delimited names.
fn words(text: &str) -> Vec<Word> {
    let chars: Vec<char> = text.chars().collect();
    let mut words = Vec::new();
    let (mut at, mut depth) = (0, 0usize);
    while let Some(&c) = chars.get(at) {
        let next = chars.get(at + 1).copied();
        let start = at;
        at += 1;
        match (c, next) {
            ('-', Some('-')) => at = find(&chars, at, '\n'),
            ('/', Some('*')) => at = after_comment(&chars, at + 1),
            ('\'', _) => at = after_quote(&chars, at, '\''),
            ('"', _) => {
                at = after_quote(&chars, at, '"');
                words.push(Word::Other);
            }
            ('[', _) => {
                at = after_quote(&chars, at, ']');
                words.push(Word::Other);
            }
            ('(', _) => depth += 1,
            (')', _) => depth = depth.saturating_sub(1),
            (',', _) => words.push(Word::Comma { depth }),
            _ if is_name(c) => {
                while chars.get(at).is_some_and(|&c| is_name(c)) {
                    at += 1;
                }
                let word: String = chars[start..at].iter().collect();
                words.push(Word::Plain(word.to_uppercase()));
            }
            _ => {}
        }
    }
    words
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '@' | '#' | '$')
}

/// The place of the next `end`, or the end of the text.
fn find(chars: &[char], from: usize, end: char) -> usize {
    let rest = chars[from..].iter().position(|&c| c == end);
    rest.map_or(chars.len(), |rest| from + rest)
}

/// The place after a closing delimiter, which stands for itself where it is doubled.
fn after_quote(chars: &[char], from: usize, close: char) -> usize {
    let mut at = from;
    loop {
        at = find(chars, at, close) + 1;
        if chars.get(at) != Some(&close) {
            return at.min(chars.len());
        }
        at += 1;
    }
}

/// The place after a comment, which may hold others.
fn after_comment(chars: &[char], from: usize) -> usize {
    let (mut at, mut depth) = (from, 1);
    while depth > 0 && at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('*', Some('/')) => {
                depth -= 1;
                at += 2;
            }
            ('/', Some('*')) => {
                depth += 1;
                at += 2;
            }
            _ => at += 1,
        }
    }
    at.min(chars.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mssql::surroundings::Reference;

    fn view(definition: &str, references: &[(&str, bool, bool)]) -> View {
        let reference = |&(name, is_table, is_elsewhere): &(&str, bool, bool)| Reference {
            name: name.into(),
            is_table,
            is_memory_optimized: false,
            is_elsewhere,
        };
        View {
            definition: Some(definition.into()),
            references: Some(references.iter().map(reference).collect()),
        }
    }

    #[test]
    fn a_selection_of_one_table_tells_by_its_versions() {
        for definition in [
            "CREATE VIEW dbo.v AS SELECT id, CONVERT(varchar(20), n, 1) AS n, rv FROM dbo.t",
            "create view [odd, JOIN] (a, b) with schemabinding as select t.id, t.rv from dbo.t as t where t.id in (1, \
             2) with check option",
            "CREATE VIEW dbo.v AS /* a JOIN, /* once */ b */ SELECT id, 'a JOIN b' AS what, rv -- , \n FROM dbo.t;",
        ] {
            let found = untold(&view(definition, &[("dbo.t", true, false)]));
            assert_eq!(found, None, "{definition}");
        }
    }

    #[test]
    fn joins_and_what_depends_on_other_rows_do_not() {
        for (definition, expected) in [
            (
                "CREATE VIEW v AS SELECT a.rv FROM t AS a JOIN t AS b ON a.id = b.up",
                "JOIN",
            ),
            (
                "CREATE VIEW v AS SELECT a.rv FROM t AS a, t AS b WHERE a.id = b.up",
                "more than",
            ),
            (
                "CREATE VIEW v AS SELECT rv FROM t WHERE id IN (SELECT up FROM t)",
                "more than",
            ),
            (
                "CREATE VIEW v AS SELECT TOP (10) rv FROM t ORDER BY id",
                "TOP",
            ),
            (
                "CREATE VIEW v AS SELECT rv FROM t WHERE until > GETDATE()",
                "GETDATE",
            ),
            (
                "CREATE VIEW v AS SELECT rv, SUM(n) OVER (PARTITION BY k) AS n FROM t",
                "OVER",
            ),
        ] {
            let found = untold(&view(definition, &[("t", true, false)])).unwrap();
            assert!(found.contains(expected), "{definition}: {found}");
        }
    }

    #[test]
    fn a_view_is_in_memory_where_all_of_its_tables_are() {
        let text = "CREATE VIEW v AS SELECT t.id FROM t JOIN u ON u.id = t.id";
        let mut joined = view(text, &[("t", true, false), ("u", true, false)]);
        assert!(!in_memory(&joined));
        for (at, expected) in [(0, false), (1, true)] {
            joined.references.as_mut().unwrap()[at].is_memory_optimized = true;
            assert_eq!(in_memory(&joined), expected);
        }
        joined.references = Some(Vec::new());
        assert!(!in_memory(&joined));
        joined.references = None;
        assert!(!in_memory(&joined));
    }

    #[test]
    fn what_a_view_refers_to_decides_before_its_text() {
        let text = "CREATE VIEW v AS SELECT rv FROM t";
        for (references, expected) in [
            (&[("t", true, false), ("u", true, false)][..], "2 objects"),
            (&[("other.dbo.t", false, true)][..], "other.dbo.t"),
            (&[("dbo.inner", false, false)][..], "not a table"),
        ] {
            let found = untold(&view(text, references)).unwrap();
            assert!(found.contains(expected), "{found}");
        }
        let mut hidden = view(text, &[("t", true, false)]);
        hidden.definition = None;
        assert!(untold(&hidden).unwrap().contains("VIEW DEFINITION"));
    }
}
