//! Script files: batches separated by lines that say GO, which is the client tools' word and no T-SQL.

/// One batch of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptBatch<'a> {
    pub text: &'a str,
    /// How often to run it: `GO 5`.
    pub count: u32,
    /// The line of the script, from 1, on which the batch starts.
    pub line: u32,
}

/// Where the scan stands between two bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Code,
    /// A string or a delimited identifier, until this byte.
    Delimited(u8),
    /// A comment of so many levels.
    Comment(u32),
}

/// Splits a script at its GO lines. GO inside a string, a delimited identifier or a comment separates nothing.
/// Batches of blanks alone are left out.
pub fn split_go(script: &str) -> Vec<ScriptBatch<'_>> {
    let mut batches = Vec::new();
    let mut inside = Inside::Code;
    let (mut start, mut start_line) = (0, 1);
    let mut at = 0;
    for (index, line) in script.split_inclusive('\n').enumerate() {
        let next_line = index as u32 + 2;
        if inside == Inside::Code
            && let Some(count) = go_count(line)
        {
            push(&mut batches, &script[start..at], count, start_line);
            start = at + line.len();
            start_line = next_line;
            at = start;
            continue;
        }
        inside = scan_line(line.as_bytes(), inside);
        at += line.len();
    }
    push(&mut batches, &script[start..], 1, start_line);
    batches
}

fn push<'a>(batches: &mut Vec<ScriptBatch<'a>>, text: &'a str, count: u32, line: u32) {
    if !text.trim().is_empty() {
        batches.push(ScriptBatch { text, count, line });
    }
}

/// The count of a line that is GO and nothing else but a comment.
fn go_count(line: &str) -> Option<u32> {
    let code = line.split("--").next().unwrap_or("");
    let mut words = code.split_whitespace();
    if !words.next()?.eq_ignore_ascii_case("GO") {
        return None;
    }
    let count = match words.next() {
        Some(count) => count.parse().ok()?,
        None => 1,
    };
    words.next().is_none().then_some(count)
}

fn scan_line(line: &[u8], mut inside: Inside) -> Inside {
    let mut at = 0;
    while at < line.len() {
        let pair = (line[at], line.get(at + 1).copied().unwrap_or(0));
        let (next, length) = match (inside, pair) {
            (Inside::Code, (b'-', b'-')) => return inside,
            (Inside::Code, (b'/', b'*')) => (Inside::Comment(1), 2),
            (Inside::Code, (b'\'' | b'"', _)) => (Inside::Delimited(pair.0), 1),
            (Inside::Code, (b'[', _)) => (Inside::Delimited(b']'), 1),
            (Inside::Delimited(close), (byte, next)) if byte == close && next == close => {
                (inside, 2)
            }
            (Inside::Delimited(close), (byte, _)) if byte == close => (Inside::Code, 1),
            (Inside::Comment(open), (b'/', b'*')) => (Inside::Comment(open + 1), 2),
            (Inside::Comment(1), (b'*', b'/')) => (Inside::Code, 2),
            (Inside::Comment(open), (b'*', b'/')) => (Inside::Comment(open - 1), 2),
            (Inside::Code | Inside::Delimited(_) | Inside::Comment(_), _) => (inside, 1),
        };
        inside = next;
        at += length;
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(script: &str) -> Vec<&str> {
        split_go(script)
            .into_iter()
            .map(|batch| batch.text.trim())
            .collect()
    }

    #[test]
    fn go_separates_only_as_a_line_of_code() {
        assert_eq!(
            texts("SELECT 1\nGO\nSELECT 2\n  go  -- next\nSELECT 3"),
            ["SELECT 1", "SELECT 2", "SELECT 3"]
        );
        assert_eq!(
            texts("SELECT 'a\nGO\n''b'\nGO\nSELECT 2"),
            ["SELECT 'a\nGO\n''b'", "SELECT 2"]
        );
        assert_eq!(
            texts("/* a /* b */\nGO\n*/ SELECT 1\nGO"),
            ["/* a /* b */\nGO\n*/ SELECT 1"]
        );
        assert_eq!(texts("SELECT [go\nGO\n]]]"), ["SELECT [go\nGO\n]]]"]);
        assert_eq!(texts("-- it's\nGO\nSELECT 1"), ["-- it's", "SELECT 1"]);
        assert_eq!(texts("SELECT 1 AS\nGO_ON"), ["SELECT 1 AS\nGO_ON"]);
        assert_eq!(texts("\nGO\nGO\n"), Vec::<&str>::new());
    }

    #[test]
    fn counts_and_lines_are_kept() {
        let batches = split_go("SELECT 1\nGO 5\n\nSELECT 2\r\nGO\r\nSELECT 3");
        let seen: Vec<_> = batches
            .iter()
            .map(|batch| (batch.text.trim(), batch.count, batch.line))
            .collect();
        assert_eq!(
            seen,
            [("SELECT 1", 5, 1), ("SELECT 2", 1, 3), ("SELECT 3", 1, 6)]
        );
    }
}
