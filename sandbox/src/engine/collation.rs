//! Collations: what two strings compare as, and which characters a `varchar` can hold.
//!
//! Comparison goes through a sort key: bytes whose plain order is the collation's order, equal exactly when the
//! strings are equal under it. Trailing spaces never count (ANSI padding). The same keys order indexes and feed
//! hash joins, so that a unique index, GROUP BY and `=` cannot disagree.

use crate::collation::{CollationInfo, DEFAULT};
use crate::engine::fault::error;
use crate::session::SqlError;
use crate::value::Collation;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// A collation by name, with what the name says.
#[derive(Debug, PartialEq, Eq)]
pub struct Collate {
    pub name: Collation,
    pub info: CollationInfo,
}

static KNOWN: LazyLock<Mutex<HashMap<String, Arc<Collate>>>> = LazyLock::new(Mutex::default);

impl Collate {
    /// Error 448 for a name that is not a collation.
    pub fn named(name: &str) -> Result<Arc<Self>, SqlError> {
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(name) {
            return Ok(found.clone());
        }
        let info = CollationInfo::of(name)
            .ok_or_else(|| error(448, 16, format!("Invalid collation '{name}'.")))?;
        let parsed = Arc::new(Collate {
            name: Collation(name.into()),
            info,
        });
        known.insert(name.to_string(), parsed.clone());
        Ok(parsed)
    }

    /// The server's default.
    pub fn server() -> Arc<Self> {
        static SERVER: LazyLock<Arc<Collate>> =
            LazyLock::new(|| Collate::named(DEFAULT).expect("the default is in the tables"));
        SERVER.clone()
    }

    /// Appends the sort key of `text`. Self-delimiting: no key is a prefix of another's.
    pub fn sort_key(&self, text: &[u16], out: &mut Vec<u8>) {
        let end = text
            .iter()
            .rposition(|unit| *unit != 0x20)
            .map_or(0, |i| i + 1);
        let text = &text[..end];
        if self.info.is_binary() {
            for unit in text {
                put_unit(*unit, out);
            }
            out.extend_from_slice(&[0, 0]);
            return;
        }
        let mut plain = true;
        for unit in text {
            let (base, accent, upper) = self.weights(*unit);
            plain &= accent == 1 && !upper;
            put_unit(base, out);
        }
        out.extend_from_slice(&[0, 0]);
        if !self.info.ignores_accent() {
            if !plain {
                put_levels(text.iter().map(|unit| self.weights(*unit).1), out);
            }
            out.push(0);
        }
        if !self.info.ignores_case() {
            if !plain {
                put_levels(
                    text.iter().map(|unit| 1 + u8::from(self.weights(*unit).2)),
                    out,
                );
            }
            out.push(0);
        }
    }

    /// The order of two strings.
    pub fn compare(&self, left: &[u16], right: &[u16]) -> std::cmp::Ordering {
        if left == right {
            return std::cmp::Ordering::Equal;
        }
        let (mut a, mut b) = (Vec::new(), Vec::new());
        self.sort_key(left, &mut a);
        self.sort_key(right, &mut b);
        a.cmp(&b)
    }

    /// Whether two code units are the same character to this collation (for LIKE, CHARINDEX, REPLACE).
    pub fn same_unit(&self, left: u16, right: u16) -> bool {
        if left == right {
            return true;
        }
        if self.info.is_binary() {
            return false;
        }
        let (a, b) = (self.weights(left), self.weights(right));
        a.0 == b.0
            && (self.info.ignores_accent() || a.1 == b.1)
            && (self.info.ignores_case() || a.2 == b.2)
    }

    /// The order of two single units, for LIKE ranges.
    pub fn unit_order(&self, left: u16, right: u16) -> std::cmp::Ordering {
        self.compare(&[left], &[right])
    }

    /// Primary weight, accent (1: none), and whether the unit is the upper-case form.
    fn weights(&self, unit: u16) -> (u16, u8, bool) {
        let mut unit = unit;
        if self.info.ignores_width() && (0xFF01..=0xFF5E).contains(&unit) {
            unit -= 0xFEE0;
        }
        if self.info.ignores_kana() && (0x3041..=0x3096).contains(&unit) {
            unit += 0x60;
        }
        if unit < 0x80 {
            let upper = (unit as u8 as char).is_ascii_uppercase();
            return (ascii_weight(unit), 1, upper);
        }
        let Some(c) = char::from_u32(u32::from(unit)) else {
            return (unit, 1, false);
        };
        let upper = c.is_uppercase();
        let mut fold = c.to_uppercase();
        let folded = match (fold.next(), fold.next()) {
            (Some(one), None) => one,
            _ => c,
        };
        let (base, accent) = strip_accent(folded);
        let code = u32::from(base);
        let weight = match u16::try_from(code) {
            Ok(small) if small < 0x80 => ascii_weight(small),
            Ok(wide) => wide,
            Err(_) => unit,
        };
        (weight, accent, upper)
    }

    /// How many bytes the text takes in this collation's code page.
    pub fn byte_length(&self, text: &[u16]) -> usize {
        if text.iter().all(|unit| *unit < 0x80) {
            return text.len();
        }
        self.info.code_page.bytes(text).len()
    }

    /// Replaces what the code page lacks with `?`, as conversion to `varchar` does.
    pub fn narrow(&self, text: &Arc<[u16]>) -> Arc<[u16]> {
        if text.iter().all(|unit| *unit < 0x80) {
            return text.clone();
        }
        let page = self.info.code_page;
        page.text(&page.bytes(text)).into()
    }
}

fn put_unit(unit: u16, out: &mut Vec<u8>) {
    if unit <= 1 {
        out.extend_from_slice(&[0, 1, 0, unit as u8 + 1]);
    } else {
        out.extend_from_slice(&unit.to_be_bytes());
    }
}

/// Levels after the first, without the trailing default weights.
fn put_levels(levels: impl Iterator<Item = u8>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend(levels);
    while out.len() > start && out.last() == Some(&1) {
        out.pop();
    }
}

/// Punctuation, then digits, then letters, as the linguistic collations order ASCII.
fn ascii_weight(unit: u16) -> u16 {
    let byte = unit as u8;
    match byte {
        b'0'..=b'9' => 0x70 + u16::from(byte - b'0'),
        b'A'..=b'Z' => 0x80 + u16::from(byte - b'A') * 2,
        b'a'..=b'z' => 0x80 + u16::from(byte - b'a') * 2,
        b':'..=b'@' => 0x30 + u16::from(byte - b':'),
        b'['..=b'`' => 0x40 + u16::from(byte - b'['),
        b'{'..=0x7F => 0x50 + u16::from(byte - b'{'),
        other => u16::from(other),
    }
}

/// Upper-case letters of Latin-1 and Latin Extended-A with the base letter each stands on; other characters stand
/// for themselves.
fn strip_accent(c: char) -> (char, u8) {
    const GROUPS: [(char, &str); 24] = [
        ('A', "ÀÁÂÃÄÅĀĂĄǍ"),
        ('C', "ÇĆĈĊČ"),
        ('D', "ĎĐ"),
        ('E', "ÈÉÊËĒĔĖĘĚ"),
        ('G', "ĜĞĠĢ"),
        ('H', "ĤĦ"),
        ('I', "ÌÍÎÏĨĪĬĮİ"),
        ('J', "Ĵ"),
        ('K', "Ķ"),
        ('L', "ĹĻĽĿŁ"),
        ('N', "ÑŃŅŇ"),
        ('O', "ÒÓÔÕÖØŌŎŐ"),
        ('R', "ŔŖŘ"),
        ('S', "ŚŜŞŠ"),
        ('T', "ŢŤŦ"),
        ('U', "ÙÚÛÜŨŪŬŮŰŲ"),
        ('W', "Ŵ"),
        ('Y', "ÝŶŸ"),
        ('Z', "ŹŻŽ"),
        ('Α', "Ά"),
        ('Ε', "Έ"),
        ('Ο', "Ό"),
        ('Υ', "Ύ"),
        ('Ω', "Ώ"),
    ];
    if !('\u{C0}'..='\u{3CE}').contains(&c) {
        return (c, 1);
    }
    for (base, accented) in GROUPS {
        if let Some(index) = accented.chars().position(|candidate| candidate == c) {
            return (base, 2 + index as u8);
        }
    }
    (c, 1)
}
