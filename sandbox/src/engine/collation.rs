//! Collations: what two strings compare as, and which characters a `varchar` can hold.
//!
//! Comparison goes through a sort key: bytes whose plain order is the collation's order, equal exactly when the strings are equal under
//! it. Trailing spaces never count (ANSI padding). The same keys order indexes and feed hash joins, so that a unique index, GROUP BY and `=`
//! cannot disagree.

use crate::engine::fault::error;
use crate::session::SqlError;
use crate::value::Collation;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

mod codepage;

pub use codepage::{decode_bytes, encode_bytes};

/// The default of the server and of new databases.
pub const DEFAULT: &str = "SQL_Latin1_General_CP1_CI_AS";

/// A collation's name, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Collate {
    pub name: Collation,
    pub code_page: u16,
    pub case_sensitive: bool,
    pub accent_sensitive: bool,
    pub kana_sensitive: bool,
    pub width_sensitive: bool,
    pub binary: bool,
}

static KNOWN: LazyLock<Mutex<HashMap<String, Arc<Collate>>>> = LazyLock::new(Mutex::default);

impl Collate {
    /// Error 448 for a name that is not a collation.
    pub fn named(name: &str) -> Result<Arc<Self>, SqlError> {
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(name) {
            return Ok(found.clone());
        }
        let parsed = Arc::new(
            parse(name).ok_or_else(|| error(448, 16, format!("Invalid collation '{name}'.")))?,
        );
        known.insert(name.to_string(), parsed.clone());
        Ok(parsed)
    }

    /// The server's default.
    pub fn server() -> Arc<Self> {
        static SERVER: LazyLock<Arc<Collate>> = LazyLock::new(|| {
            Arc::new(Collate {
                name: Collation(DEFAULT.into()),
                code_page: 1252,
                case_sensitive: false,
                accent_sensitive: true,
                kana_sensitive: false,
                width_sensitive: false,
                binary: false,
            })
        });
        SERVER.clone()
    }

    /// Appends the sort key of `text`. Self-delimiting: no key is a prefix of another's.
    pub fn sort_key(&self, text: &[u16], out: &mut Vec<u8>) {
        let end = text
            .iter()
            .rposition(|unit| *unit != 0x20)
            .map_or(0, |i| i + 1);
        let text = &text[..end];
        if self.binary {
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
        if self.accent_sensitive {
            if !plain {
                put_levels(text.iter().map(|unit| self.weights(*unit).1), out);
            }
            out.push(0);
        }
        if self.case_sensitive {
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
        if self.binary {
            return false;
        }
        let (a, b) = (self.weights(left), self.weights(right));
        a.0 == b.0 && (!self.accent_sensitive || a.1 == b.1) && (!self.case_sensitive || a.2 == b.2)
    }

    /// The order of two single units, for LIKE ranges.
    pub fn unit_order(&self, left: u16, right: u16) -> std::cmp::Ordering {
        self.compare(&[left], &[right])
    }

    /// Primary weight, accent (1: none), and whether the unit is the upper-case form.
    fn weights(&self, unit: u16) -> (u16, u8, bool) {
        let mut unit = unit;
        if !self.width_sensitive && (0xFF01..=0xFF5E).contains(&unit) {
            unit -= 0xFEE0;
        }
        if !self.kana_sensitive && (0x3041..=0x3096).contains(&unit) {
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
        codepage::byte_length(self.code_page, text)
    }

    /// Replaces what the code page lacks with `?`, as conversion to `varchar` does.
    pub fn narrow(&self, text: &Arc<[u16]>) -> Arc<[u16]> {
        if text.iter().all(|unit| *unit < 0x80) {
            return text.clone();
        }
        codepage::narrow(self.code_page, text)
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

/// Upper-case letters of Latin-1 and Latin Extended-A with the base letter each stands on; other characters stand for themselves.
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

fn parse(name: &str) -> Option<Collate> {
    let upper = name.to_ascii_uppercase();
    let parts: Vec<&str> = upper.split('_').collect();
    let has = |word: &str| parts.contains(&word);
    let binary = has("BIN") || has("BIN2");
    if !(binary || has("CI") || has("CS")) {
        return None;
    }
    let code_page = if has("UTF8") {
        65001
    } else if parts[0] == "SQL" {
        sql_code_page(&parts)?
    } else {
        windows_code_page(&upper)?
    };
    Some(Collate {
        name: Collation(name.into()),
        code_page,
        case_sensitive: has("CS") || binary,
        accent_sensitive: has("AS") || binary,
        kana_sensitive: has("KS") || binary,
        width_sensitive: has("WS") || binary,
        binary,
    })
}

fn sql_code_page(parts: &[&str]) -> Option<u16> {
    let word = parts.iter().find_map(|part| part.strip_prefix("CP"))?;
    match word {
        "1" => Some(1252),
        other => other
            .parse()
            .ok()
            .filter(|page| codepage::SUPPORTED.contains(page)),
    }
}

fn windows_code_page(upper: &str) -> Option<u16> {
    const FAMILIES: [(u16, &[&str]); 15] = [
        (
            1252,
            &[
                "LATIN1_GENERAL",
                "DANISH_NORWEGIAN",
                "DANISH_GREENLANDIC",
                "FINNISH_SWEDISH",
                "FRENCH",
                "MODERN_SPANISH",
                "TRADITIONAL_SPANISH",
                "ICELANDIC",
                "GERMAN_PHONEBOOK",
                "NORWEGIAN",
                "BRETON",
                "CORSICAN",
                "FRISIAN",
                "ROMANSH",
                "WELSH",
                "MAPUDUNGAN",
                "MOHAWK",
                "SAMI",
            ],
        ),
        (932, &["JAPANESE"]),
        (936, &["CHINESE_PRC", "CHINESE_SIMPLIFIED"]),
        (949, &["KOREAN"]),
        (
            950,
            &["CHINESE_TAIWAN", "CHINESE_TRADITIONAL", "CHINESE_HONG_KONG"],
        ),
        (
            1250,
            &[
                "CZECH",
                "POLISH",
                "HUNGARIAN",
                "CROATIAN",
                "ROMANIAN",
                "SLOVAK",
                "SLOVENIAN",
                "ALBANIAN",
                "SERBIAN_LATIN",
                "BOSNIAN_LATIN",
            ],
        ),
        (
            1251,
            &[
                "CYRILLIC_GENERAL",
                "UKRAINIAN",
                "MACEDONIAN",
                "KAZAKH",
                "SERBIAN_CYRILLIC",
                "BOSNIAN_CYRILLIC",
                "TATAR",
                "BASHKIR",
            ],
        ),
        (1253, &["GREEK"]),
        (1254, &["TURKISH", "AZERI_LATIN", "UZBEK_LATIN"]),
        (1255, &["HEBREW"]),
        (1256, &["ARABIC", "PERSIAN", "URDU", "UIGHUR"]),
        (1257, &["ESTONIAN", "LATVIAN", "LITHUANIAN"]),
        (1258, &["VIETNAMESE"]),
        (874, &["THAI"]),
        (
            0,
            &[
                "INDIC_GENERAL",
                "GEORGIAN",
                "ASSAMESE",
                "BENGALI",
                "NEPALI",
                "TIBETAN",
                "KHMER",
                "LAO",
            ],
        ),
    ];
    FAMILIES.iter().find_map(|(page, names)| {
        names
            .iter()
            .any(|family| {
                upper
                    .strip_prefix(family)
                    .is_some_and(|rest| rest.starts_with('_'))
            })
            .then_some(*page)
    })
}
