//! Just enough of Rust's syntax to read the code with: what is code, comment and text; items, functions and matches.

use std::ops::Range;

/// The code alone, character for character: comments are blanked, the contents of literals overwritten with `_`, line
/// ends kept. No bracket and no name that it holds comes from text.
pub fn bare(text: &str) -> Vec<char> {
    let text: Vec<char> = text.chars().collect();
    let mut out = text.clone();
    let mut at = 0;
    while at < text.len() {
        let (end, filler) = match text[at] {
            '/' if text.get(at + 1) == Some(&'/') => (line_end(&text, at), ' '),
            '/' if text.get(at + 1) == Some(&'*') => (comment_end(&text, at), ' '),
            '"' => (string_end(&text, at), '_'),
            'r' if !follows_name(&text, at) && raw_hashes(&text, at).is_some() => {
                (raw_end(&text, at), '_')
            }
            '\'' => (char_end(&text, at), '_'),
            _ => (at + 1, text[at]),
        };
        if end > at + 1 {
            let inside = if filler == ' ' {
                at..end
            } else {
                at + 1..end - 1
            };
            for at in inside {
                if out[at] != '\n' {
                    out[at] = filler;
                }
            }
        }
        at = end;
    }
    out
}

fn follows_name(text: &[char], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).map(|at| text[at]);
    let is_name = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    // `br` and `cr` begin raw literals as `r` does.
    if matches!(before(1), Some('b' | 'c')) {
        is_name(before(2))
    } else {
        is_name(before(1))
    }
}

fn line_end(text: &[char], at: usize) -> usize {
    (at..text.len())
        .find(|&at| text[at] == '\n')
        .unwrap_or(text.len())
}

fn comment_end(text: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at + 1 < text.len() {
        match (text[at], text[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

fn string_end(text: &[char], at: usize) -> usize {
    let mut at = at + 1;
    while at < text.len() && text[at] != '"' {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

fn raw_hashes(text: &[char], at: usize) -> Option<usize> {
    let hashes = text[at + 1..].iter().take_while(|&&c| c == '#').count();
    (text.get(at + 1 + hashes) == Some(&'"')).then_some(hashes)
}

fn raw_end(text: &[char], at: usize) -> usize {
    let hashes = raw_hashes(text, at).unwrap_or_default();
    let closes = |at: usize| {
        text[at] == '"'
            && text[at + 1..]
                .iter()
                .take(hashes)
                .filter(|&&c| c == '#')
                .count()
                == hashes
    };
    (at + hashes + 2..text.len())
        .find(|&at| closes(at))
        .map_or(text.len(), |quote| quote + hashes + 1)
}

/// The end of a character literal; of a lifetime, its quote.
fn char_end(text: &[char], at: usize) -> usize {
    match (text.get(at + 1), text.get(at + 2)) {
        (Some('\\'), _) => (at + 3..text.len())
            .find(|&at| text[at] == '\'')
            .map_or(text.len(), |quote| quote + 1),
        (Some(_), Some('\'')) => at + 3,
        _ => at + 1,
    }
}

/// Blanks each item that `#[cfg(test)]` stands over, and nothing else.
pub fn without_tests(code: &mut [char]) {
    for start in positions(code, "#[cfg(test)]") {
        let end = item_end(code, start + "#[cfg(test)]".len());
        for c in &mut code[start..end] {
            if *c != '\n' {
                *c = ' ';
            }
        }
    }
}

/// The end of the item at `at`: behind its block, or its semicolon.
fn item_end(code: &[char], at: usize) -> usize {
    let mut depth = 0;
    for (at, c) in code.iter().enumerate().skip(at) {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' => depth -= 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// Where `name` occurs as code.
pub fn positions(code: &[char], name: &str) -> Vec<usize> {
    let name: Vec<char> = name.chars().collect();
    code.windows(name.len())
        .enumerate()
        .filter(|(_, window)| *window == name)
        .map(|(at, _)| at)
        .collect()
}

/// Where `word` stands alone.
pub fn words(code: &[char], word: &str) -> Vec<usize> {
    let is_name = |c: Option<&char>| c.is_some_and(|c| c.is_alphanumeric() || *c == '_');
    let mut found = positions(code, word);
    found.retain(|&at| {
        !is_name(at.checked_sub(1).and_then(|at| code.get(at)))
            && !is_name(code.get(at + word.len()))
    });
    found
}

/// The block that opens at the first `{` outside of brackets from `at` on; none if a `;` comes first.
fn block(code: &[char], at: usize) -> Option<Range<usize>> {
    let mut depth = 0;
    let open = (at..code.len()).find(|&at| {
        match code[at] {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            _ => {}
        }
        depth == 0 && matches!(code[at], '{' | ';')
    })?;
    (code[open] == '{').then(|| open..item_end(code, open))
}

/// Name and extent of each function that has a body.
pub fn functions(code: &[char]) -> Vec<(String, Range<usize>)> {
    words(code, "fn")
        .into_iter()
        // A type such as `fn(u8)` has no name.
        .filter(|at| code.get(at + 2) == Some(&' '))
        .filter_map(|at| {
            let name: String = code[at + 3..]
                .iter()
                .take_while(|c| c.is_alphanumeric() || **c == '_')
                .collect();
            Some((name, at..block(code, at)?.end))
        })
        .collect()
}

/// Lines on which something stands.
pub fn lines(code: &[char]) -> usize {
    code.split(|&c| c == '\n')
        .filter(|line| line.iter().any(|c| !c.is_whitespace()))
        .count()
}

/// The patterns of each `match`, with where the match begins.
pub fn matches(code: &[char]) -> Vec<(usize, Vec<String>)> {
    words(code, "match")
        .into_iter()
        .filter_map(|at| Some((at, patterns(&code[block(code, at)?]))))
        .collect()
}

/// The patterns of the arms in a block.
fn patterns(block: &[char]) -> Vec<String> {
    let mut found = Vec::new();
    let (mut at, mut depth, mut pattern) = (1, 0, String::new());
    while at + 1 < block.len() {
        match block[at] {
            '=' if depth == 0 && block[at + 1] == '>' => {
                found.push(std::mem::take(&mut pattern).trim().to_owned());
                at = arm_end(block, at + 2);
                continue;
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        pattern.push(block[at]);
        at += 1;
    }
    found
}

/// Behind the arm whose body begins at `at`: its block, or what its comma ends.
fn arm_end(block: &[char], at: usize) -> usize {
    let body = (at..block.len())
        .find(|&at| !block[at].is_whitespace())
        .unwrap_or(block.len());
    let mut depth = 0;
    for at in body..block.len() {
        match block[at] {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => {
                depth -= 1;
                if depth == 0 && block[body] == '{' && block[at] == '}' {
                    let comma = block[at + 1..].iter().position(|c| !c.is_whitespace());
                    return match comma {
                        Some(next) if block[at + 1 + next] == ',' => at + 2 + next,
                        // A block that is only the beginning of an expression: `{ .. }.map(..)`.
                        Some(next) if matches!(block[at + 1 + next], '.' | '?') => continue,
                        Some(_) | None => at + 1,
                    };
                }
            }
            ',' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    block.len()
}

#[test]
fn reads_what_is_code() {
    let text = "a /* { /* */ */ \"{\\\"{\" r#\"\"{\"# '{' '\\'' &'b {} // }\nc br\"{\"";
    let code: String = bare(text).iter().collect();
    let brackets: String = code.chars().filter(|c| "{}".contains(*c)).collect();
    assert_eq!(brackets, "{}", "{code}");
    assert!(code.contains("&'b {}") && code.contains("\nc br"), "{code}");
}

#[test]
fn reads_on_after_tests() {
    let mut code = bare(
        "fn a() {}\n#[cfg(test)]\nmod tests { fn b() { c([;]) } }\nfn d() {}\n#[cfg(test)] use e;\nf",
    );
    without_tests(&mut code);
    let names: Vec<_> = functions(&code).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "d"]);
    assert_eq!(code.last(), Some(&'f'));
    assert!(words(&code, "use").is_empty());
}

#[test]
fn reads_matches() {
    let code = bare(
        "match x { A::B { c } | A::D(_) if e => { match f { _ => 1 } } A::G => h({ 2 }, 3), _ => {} }",
    );
    let found: Vec<_> = matches(&code).into_iter().map(|(_, arms)| arms).collect();
    assert_eq!(found[0], ["A::B { c } | A::D(_) if e", "A::G", "_"]);
    assert_eq!(found[1], ["_"]);
}
