//! LIKE.

use crate::engine::collation::Collate;
use std::cmp::Ordering;

enum Part {
    Unit(u16),
    /// `_`
    One,
    /// `%`
    Any,
    /// `[a-z]`, `[^a-z]`
    Set {
        negated: bool,
        ranges: Vec<(u16, u16)>,
    },
}

/// A LIKE pattern taken apart.
pub struct Pattern(Vec<Part>);

impl Pattern {
    pub fn new(pattern: &[u16], escape: Option<u16>) -> Self {
        let mut parts = Vec::new();
        let mut at = 0;
        while at < pattern.len() {
            let unit = pattern[at];
            at += 1;
            if Some(unit) == escape && at < pattern.len() {
                parts.push(Part::Unit(pattern[at]));
                at += 1;
                continue;
            }
            match u8::try_from(unit) {
                Ok(b'%') => parts.push(Part::Any),
                Ok(b'_') => parts.push(Part::One),
                Ok(b'[') => match set(&pattern[at..]) {
                    Some((part, used)) => {
                        parts.push(part);
                        at += used;
                    }
                    None => parts.push(Part::Unit(unit)),
                },
                _ => parts.push(Part::Unit(unit)),
            }
        }
        Self(parts)
    }

    /// Whether the whole text is like the pattern. Where neither is Unicode, spaces at the text's end are forgiven.
    pub fn matches(&self, text: &[u16], collate: &Collate, is_unicode: bool) -> bool {
        if run(&self.0, text, collate) {
            return true;
        }
        if is_unicode {
            return false;
        }
        let end = text
            .iter()
            .rposition(|unit| *unit != 0x20)
            .map_or(0, |i| i + 1);
        (end..text.len()).any(|cut| run(&self.0, &text[..cut], collate))
    }
}

fn set(rest: &[u16]) -> Option<(Part, usize)> {
    let close = rest
        .iter()
        .skip(1)
        .position(|unit| *unit == u16::from(b']'))?
        + 1;
    let body = &rest[..close];
    let (negated, body) = match body.first() {
        Some(unit) if *unit == u16::from(b'^') => (true, &body[1..]),
        _ => (false, body),
    };
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < body.len() {
        if at + 2 < body.len() && body[at + 1] == u16::from(b'-') {
            ranges.push((body[at], body[at + 2]));
            at += 3;
        } else {
            ranges.push((body[at], body[at]));
            at += 1;
        }
    }
    Some((Part::Set { negated, ranges }, close + 1))
}

/// Greedy with one point to return to: linear in practice.
fn run(parts: &[Part], text: &[u16], collate: &Collate) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match parts.get(p) {
            Some(Part::Any) => {
                retry = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some(_) => {
                if let Some((parts, units)) = step(&parts[p..], &text[t..], collate) {
                    p += parts;
                    t += units;
                    continue;
                }
            }
            None if t == text.len() => return true,
            None => {}
        }
        match retry {
            Some((back, from)) if from < text.len() => {
                let next = from + collate.letter(&text[from..]);
                retry = Some((back, next));
                p = back;
                t = next;
            }
            Some(_) | None => return false,
        }
    }
}

/// How many parts and units agree at the starts; none when they differ.
fn step(parts: &[Part], text: &[u16], collate: &Collate) -> Option<(usize, usize)> {
    text.first()?;
    match parts.first()? {
        Part::Unit(wanted) => match parts.get(1) {
            Some(Part::Unit(next)) => collate.same_start(&[*wanted, *next], text),
            Some(Part::One | Part::Any | Part::Set { .. }) | None => {
                collate.same_start(&[*wanted], text)
            }
        },
        Part::One => Some((1, collate.character(text))),
        Part::Any => None,
        Part::Set { negated, ranges } => {
            // A surrogate counts by its first half.
            let letter = &text[..collate.letter(text)];
            let inside = ranges.iter().any(|(low, high)| {
                collate.compare(&[*low], letter) != Ordering::Greater
                    && collate.compare(letter, &[*high]) != Ordering::Greater
            });
            let units = collate.character(text).max(letter.len());
            (inside != *negated).then_some((1, units))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn like_under(collation: &str, text: &str, pattern: &str, is_unicode: bool) -> bool {
        let units = |s: &str| s.encode_utf16().collect::<Vec<_>>();
        Pattern::new(&units(pattern), Some(u16::from(b'!'))).matches(
            &units(text),
            &Collate::named(collation).unwrap(),
            is_unicode,
        )
    }

    fn like(text: &str, pattern: &str) -> bool {
        like_under("Latin1_General_CI_AS", text, pattern, true)
    }

    #[test]
    fn wildcards_sets_and_escapes() {
        assert!(like("Orders", "ord%"));
        assert!(like("abc", "_b_"));
        assert!(like("b7", "[a-c][0-9]"));
        assert!(!like("d7", "[a-c][0-9]"));
        assert!(like("d7", "[^a-c]%"));
        assert!(like("50%", "50!%"));
        assert!(!like("500", "50!%"));
        assert!(like("a%b%c", "%!%%c"));
    }

    #[test]
    fn spaces_at_the_end_of_unicode_text_count() {
        assert!(!like("abc  ", "abc"));
        assert!(like("abc  ", "abc%"));
        assert!(!like("abc", "abc "));
        assert!(like_under("Latin1_General_CI_AS", "abc  ", "abc", false));
        assert!(!like_under("Latin1_General_CI_AS", "abc", "abc ", false));
    }

    #[test]
    fn a_letter_that_is_two_is_like_both() {
        assert!(like("Straße", "strasse"));
        assert!(like("STRASSE", "%aß_"));
        assert!(like("ß", "_"));
        assert!(!like_under("Latin1_General_BIN2", "ß", "ss", true));
    }

    #[test]
    fn one_character_is_a_pair_where_pairs_are_characters() {
        assert!(like_under(
            "Latin1_General_100_CI_AS_SC",
            "a😀b",
            "a_b",
            true
        ));
        assert!(like_under("Latin1_General_100_CI_AS", "a😀b", "a__b", true));
        assert!(!like_under("Latin1_General_100_CI_AS", "a😀b", "a_b", true));
    }
}
