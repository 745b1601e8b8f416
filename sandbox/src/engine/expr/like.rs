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

    /// Trailing spaces of the text are forgiven where the pattern has none.
    pub fn matches(&self, text: &[u16], collate: &Collate) -> bool {
        if run(&self.0, text, collate) {
            return true;
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
            Some(part) if t < text.len() && one(part, text[t], collate) => {
                p += 1;
                t += 1;
                continue;
            }
            None if t == text.len() => return true,
            Some(_) | None => {}
        }
        match retry {
            Some((back, from)) if from < text.len() => {
                retry = Some((back, from + 1));
                p = back;
                t = from + 1;
            }
            Some(_) | None => return false,
        }
    }
}

fn one(part: &Part, unit: u16, collate: &Collate) -> bool {
    match part {
        Part::Unit(wanted) => collate.same_unit(*wanted, unit),
        Part::One => true,
        Part::Any => false,
        Part::Set { negated, ranges } => {
            let inside = ranges.iter().any(|(low, high)| {
                collate.unit_order(*low, unit) != Ordering::Greater
                    && collate.unit_order(unit, *high) != Ordering::Greater
            });
            inside != *negated
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn like(text: &str, pattern: &str) -> bool {
        let units = |s: &str| s.encode_utf16().collect::<Vec<_>>();
        Pattern::new(&units(pattern), Some(u16::from(b'!')))
            .matches(&units(text), &Collate::server())
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
        assert!(like("abc  ", "abc"));
    }
}
