//! Sort keys: bytes whose plain order is a collation's order. No key is a prefix of another's.

use super::tailoring::{self, Tailoring};
use super::weights::{self, Element, PLAIN, Primary};
use crate::collation::CollationInfo;
use std::cmp::Ordering;

const SPACE: u16 = b' ' as u16;

/// Without the spaces at its end, which never count.
pub fn trimmed(text: &[u16]) -> &[u16] {
    let end = text.iter().rposition(|unit| *unit != SPACE);
    &text[..end.map_or(0, |at| at + 1)]
}

/// The key of a text ordered as words: letters, then accents, then forms, then minor characters with their places.
pub fn words(info: &CollationInfo, text: &[u16], out: &mut Vec<u8>) {
    let start = out.len();
    if tailoring::of(info.lcid).is_some() {
        return in_levels(info, text, out);
    }
    for unit in text {
        let place = weights::ascii(*unit);
        if place == 0 || (!info.ignores_case() && weights::is_ascii_upper(*unit)) {
            out.truncate(start);
            return in_levels(info, text, out);
        }
        out.extend_from_slice(&place.to_be_bytes());
    }
    out.extend_from_slice(&[0; 4]);
}

fn in_levels(info: &CollationInfo, text: &[u16], out: &mut Vec<u8>) {
    let tailoring = tailoring::of(info.lcid);
    let mut levels = Levels::default();
    let mut at = 0;
    while let Some(unit) = text.get(at) {
        if let Some((units, letter)) = tailoring.and_then(|own| own.first(&text[at..])) {
            levels.push(letter.element(info.ignores_case()), out);
            at += units;
            continue;
        }
        match weights::expansion(*unit, info.lcid) {
            Some(pair) => pair.iter().for_each(|unit| levels.add(*unit, info, out)),
            None => levels.add(*unit, info, out),
        }
        at += 1;
    }
    out.push(0);
    if !info.ignores_accent() {
        out.extend_from_slice(without_plain(&levels.accents));
    }
    out.push(0);
    out.extend_from_slice(without_plain(&levels.forms));
    out.push(0);
    out.extend_from_slice(&levels.minors);
    out.push(0);
}

/// What comes after the letters, while the letters go to the key.
#[derive(Default)]
struct Levels {
    accents: Vec<u8>,
    forms: Vec<u8>,
    minors: Vec<u8>,
    letters: u32,
}

impl Levels {
    fn add(&mut self, unit: u16, info: &CollationInfo, out: &mut Vec<u8>) {
        self.push(weights::element(unit, info), out);
    }

    fn push(&mut self, element: Element, out: &mut Vec<u8>) {
        match element {
            Element::Weightless => {}
            Element::Minor(weight) => {
                // Its place counts letters, so that texts with equal letters have equal places.
                self.minors.push(PLAIN);
                self.minors.extend_from_slice(&self.letters.to_be_bytes());
                self.minors.push(weight);
            }
            Element::Mark(weight) => match self.accents.last_mut() {
                Some(accent) => *accent = accent.saturating_add(weight),
                None => self.accents.push(PLAIN.saturating_add(weight)),
            },
            Element::Letter {
                primary,
                accent,
                form,
            } => {
                match primary {
                    Primary::Common(place) => out.extend_from_slice(&place.to_be_bytes()),
                    Primary::ByCode(group, code) => {
                        out.push(group);
                        out.extend_from_slice(&code.to_be_bytes());
                    }
                }
                self.letters += 1;
                self.accents.push(accent);
                self.forms.push(form);
            }
        }
    }
}

fn without_plain(level: &[u8]) -> &[u8] {
    let end = level.iter().rposition(|weight| *weight != PLAIN);
    &level[..end.map_or(0, |at| at + 1)]
}

/// The order of two texts as [`words`] has it, where that shows without keys.
pub fn words_order(info: &CollationInfo, left: &[u16], right: &[u16]) -> Option<Ordering> {
    if tailoring::of(info.lcid).is_some() {
        return None;
    }
    let mut form = Ordering::Equal;
    for at in 0..left.len().max(right.len()) {
        let (Some(a), Some(b)) = (left.get(at), right.get(at)) else {
            // What follows may be weightless or minor.
            let rest = left.get(at).or_else(|| right.get(at)).copied().unwrap_or(0);
            return (weights::ascii(rest) != 0).then(|| left.len().cmp(&right.len()));
        };
        let (x, y) = (weights::ascii(*a), weights::ascii(*b));
        if x == 0 || y == 0 {
            return None;
        }
        if x != y {
            return Some(x.cmp(&y));
        }
        if form == Ordering::Equal && !info.ignores_case() {
            form = weights::is_ascii_upper(*a).cmp(&weights::is_ascii_upper(*b));
        }
    }
    Some(form)
}

/// The key of codes where the shorter text is compared as if spaces followed it.
///
/// A run of spaces is one space, then whether a smaller code, nothing, or a greater code follows, then its length: the
/// more spaces before a greater code, the smaller the text.
pub fn padded(codes: &[u16], pad: u16, out: &mut Vec<u8>) {
    const SMALLER: u8 = 1;
    const NOTHING: u8 = 2;
    const GREATER: u8 = 3;
    let mut at = 0;
    while at < codes.len() {
        let spaces = codes[at..].iter().take_while(|code| **code == pad).count();
        at += spaces;
        let Some(code) = codes.get(at) else { break };
        if spaces > 0 {
            let length = spaces as u32;
            out.extend_from_slice(&pad.to_be_bytes());
            if *code < pad {
                out.push(SMALLER);
                out.extend_from_slice(&length.to_be_bytes());
            } else {
                out.push(GREATER);
                out.extend_from_slice(&(!length).to_be_bytes());
            }
        }
        out.extend_from_slice(&code.to_be_bytes());
        at += 1;
    }
    out.extend_from_slice(&pad.to_be_bytes());
    out.push(NOTHING);
}

/// The order of two texts as [`padded`] has it.
pub fn padded_order(
    left: &[u16],
    right: &[u16],
    pad: u16,
    weight: impl Fn(u16) -> u16,
) -> Ordering {
    let code = |text: &[u16], at: usize| text.get(at).map_or(pad, |unit| weight(*unit));
    (0..left.len().max(right.len()))
        .map(|at| code(left, at).cmp(&code(right, at)))
        .find(|order| *order != Ordering::Equal)
        .unwrap_or(Ordering::Equal)
}

/// The key of a `varchar` under a `SQL_` collation: every character counts, one after another, then accents and case.
pub fn table(info: &CollationInfo, text: &[u16], out: &mut Vec<u8>) {
    let tailoring = tailoring::of(info.lcid);
    let codes: Vec<u16> = text
        .iter()
        .map(|unit| table_weight(*unit, tailoring))
        .collect();
    padded(&codes, table_weight(SPACE, None), out);
    let level = |wanted: bool, weight: &dyn Fn(u16) -> u8, out: &mut Vec<u8>| {
        if wanted && text.iter().any(|unit| weight(*unit) != PLAIN) {
            let level: Vec<u8> = text.iter().map(|unit| weight(*unit)).collect();
            out.extend_from_slice(without_plain(&level));
        }
        out.push(0);
    };
    let accent = |unit| match tailoring.and_then(|own| own.letter(unit)) {
        Some(letter) => letter.accent,
        None => weights::letter(unit).accent,
    };
    level(!info.ignores_accent(), &accent, out);
    let case = |unit| PLAIN + u8::from(weights::letter(unit).upper);
    level(!info.ignores_case(), &case, out);
}

/// Punctuation, then digits, then letters, as the sort orders of the `SQL_` collations have ASCII; then everything
/// else by code.
pub fn table_weight(unit: u16, tailoring: Option<&Tailoring>) -> u16 {
    const LETTERS: u16 = 0x80;
    let first = weights::ascii(u16::from(b'A'));
    if let Some(letter) = tailoring.and_then(|own| own.letter(unit)) {
        return LETTERS + (letter.place - first);
    }
    let base = weights::letter(unit).base;
    match base {
        0x30..=0x39 => 0x70 + (base - 0x30),
        0x41..=0x5A => LETTERS + (weights::ascii(base) - first),
        0x3A..=0x40 => 0x30 + (base - 0x3A),
        0x5B..=0x60 => 0x40 + (base - 0x5B),
        0x7B..=0x7F => 0x50 + (base - 0x7B),
        0..0x80 => base,
        // Those that would begin again are in no code page of these collations.
        _ => base.wrapping_add(0x100),
    }
}
