//! What a language does with Latin letters that the common order does not.
//!
//! Windows keeps the common table and lists exceptions of a locale: letters that stand elsewhere, and pairs of letters
//! that are one. So do the tables here. (Collation data of Unicode's CLDR is no substitute: its root order is not that
//! of Windows, and the other locales must not change with these.) What is known of the exceptions:
//!
//! - Danish and Norwegian: æ, ø, å follow z; ä and ö are accented æ and ø; ü is an accented y. `aa`, `Aa` and `AA` are
//!   å without its ring: they differ from å in accent only, so that `CI_AI` finds them equal. `aA` is two letters
//!   ("Custom case mappings and sorting rules" of the .NET documentation). Windows Vista, and with it `Norwegian_100`,
//!   changed something for Norwegian that is not described anywhere; here both languages are one.
//! - Turkish: I is the capital of ı and İ that of i, in comparison and in UPPER and LOWER. ı precedes i. As ç, ğ, ö, ş
//!   and ü they are letters of the alphabet, which no `AI` makes equal to others. (That is certain of ı and i alone.)
//! - Spanish: ñ is a letter. In the traditional order `ch` follows c and `ll` follows l.
//! - Welsh: the digraphs of its alphabet. That Windows has all of them is likely rather than known.
//! - German phone books: see [`super::weights::expansion`].
//!
//! A pair counts where it begins with a small letter, or with two capitals, as `ch`, `Ch`, `CH`; no pair is formed
//! across a hyphen or a soft hyphen. An accented letter that is written with a combining character is not tailored.

use super::weights::{CAPITAL, Element, PLAIN, Primary, ascii, letter};
use std::collections::HashMap;
use std::sync::LazyLock;

/// Added to the form of a pair whose second letter is a capital, too.
const BOTH_CAPITAL: u8 = 0x08;

/// Small and capital letters that stand behind a letter of the Latin alphabet: by how many of the three places before
/// the next one (in front of it when negative), and with which accent when it is not their own.
struct Letters(&'static str, u8, i16, Option<u8>);

/// A pair in small letters, and where it stands.
struct Pair([u8; 2], u8, i16);

/// A locale's exceptions.
pub struct Tailoring {
    letters: HashMap<u16, Tailored>,
    pairs: HashMap<[u16; 2], Tailored>,
}

#[derive(Clone, Copy)]
pub struct Tailored {
    pub place: u16,
    pub accent: u8,
    form: u8,
}

impl Tailored {
    pub fn element(self, ignores_case: bool) -> Element {
        Element::Letter {
            primary: Primary::Common(self.place),
            accent: self.accent,
            form: if ignores_case { PLAIN } else { self.form },
        }
    }
}

static DANISH: LazyLock<Tailoring> = LazyLock::new(|| {
    let letters = [
        Letters("æÆäÄ", b'Z', 1, None),
        Letters("øØöÖőŐ", b'Z', 2, None),
        Letters("åÅ", b'Z', 3, None),
        Letters("üÜ", b'Y', 0, Some(0x7C)),
        Letters("űŰ", b'Y', 0, None),
    ];
    Tailoring::new(&letters, &[Pair(*b"aa", b'Z', 3)])
});

static TURKISH: LazyLock<Tailoring> = LazyLock::new(|| {
    let letters = [
        Letters("çÇ", b'C', 2, Some(PLAIN)),
        Letters("ğĞ", b'G', 2, Some(PLAIN)),
        Letters("ıI", b'I', -2, Some(PLAIN)),
        Letters("iİ", b'I', 0, Some(PLAIN)),
        Letters("öÖ", b'O', 2, Some(PLAIN)),
        Letters("şŞ", b'S', 2, Some(PLAIN)),
        Letters("üÜ", b'U', 2, Some(PLAIN)),
    ];
    Tailoring::new(&letters, &[])
});

const SPANISH: [Letters; 1] = [Letters("ñÑ", b'N', 1, Some(PLAIN))];

static MODERN_SPANISH: LazyLock<Tailoring> = LazyLock::new(|| Tailoring::new(&SPANISH, &[]));

static TRADITIONAL_SPANISH: LazyLock<Tailoring> = LazyLock::new(|| {
    let pairs = [Pair(*b"ch", b'C', 2), Pair(*b"ll", b'L', 2)];
    Tailoring::new(&SPANISH, &pairs)
});

static WELSH: LazyLock<Tailoring> = LazyLock::new(|| {
    let pairs = [
        Pair(*b"ch", b'C', 1),
        Pair(*b"dd", b'D', 1),
        Pair(*b"ff", b'F', 1),
        Pair(*b"ng", b'G', 1),
        Pair(*b"ll", b'L', 1),
        Pair(*b"ph", b'P', 1),
        Pair(*b"rh", b'R', 1),
        Pair(*b"th", b'T', 1),
    ];
    Tailoring::new(&[], &pairs)
});

/// The exceptions of a locale; none for most.
pub fn of(lcid: u32) -> Option<&'static Tailoring> {
    match lcid {
        0x0406 | 0x0414 => Some(&DANISH),
        0x041F => Some(&TURKISH),
        0x040A => Some(&TRADITIONAL_SPANISH),
        0x0C0A => Some(&MODERN_SPANISH),
        0x0452 => Some(&WELSH),
        _ => None,
    }
}

/// Whether a locale's I and i are two letters: Turkish, and Azeri in Latin letters.
fn dots_count(lcid: u32) -> bool {
    matches!(lcid, 0x041F | 0x042C)
}

/// The capital of a letter, where the locale has another one than Unicode.
pub fn upper(lcid: u32, unit: u16) -> Option<u16> {
    match unit {
        0x69 if dots_count(lcid) => Some(0x130),
        _ => None,
    }
}

/// The small letter of a capital, where the locale has another one than Unicode.
pub fn lower(lcid: u32, unit: u16) -> Option<u16> {
    match unit {
        0x49 if dots_count(lcid) => Some(0x131),
        0x130 if dots_count(lcid) => Some(0x69),
        _ => None,
    }
}

fn place(behind: u8, by: i16) -> u16 {
    ascii(u16::from(behind)).saturating_add_signed(by)
}

impl Tailoring {
    fn new(letters: &[Letters], pairs: &[Pair]) -> Self {
        let mut out = Self {
            letters: HashMap::new(),
            pairs: HashMap::new(),
        };
        for Letters(all, behind, by, accent) in letters {
            for unit in all.encode_utf16() {
                let own = letter(unit);
                let tailored = Tailored {
                    place: place(*behind, *by),
                    accent: accent.unwrap_or(own.accent),
                    form: PLAIN | if own.upper { CAPITAL } else { 0 },
                };
                out.letters.insert(unit, tailored);
            }
        }
        for Pair([a, b], behind, by) in pairs {
            let (first, second) = (a.to_ascii_uppercase(), b.to_ascii_uppercase());
            for (pair, form) in [
                ([*a, *b], PLAIN),
                ([first, *b], PLAIN | CAPITAL),
                ([first, second], PLAIN | CAPITAL | BOTH_CAPITAL),
            ] {
                let tailored = Tailored {
                    place: place(*behind, *by),
                    accent: PLAIN,
                    form,
                };
                out.pairs.insert(pair.map(u16::from), tailored);
            }
        }
        out
    }

    /// How many units the letter at the start of a text has: 2 for a pair.
    pub fn units(&self, text: &[u16]) -> usize {
        match text {
            [a, b, ..] if self.pairs.contains_key(&[*a, *b]) => 2,
            _ => 1,
        }
    }

    /// A letter that stands elsewhere.
    pub fn letter(&self, unit: u16) -> Option<Tailored> {
        self.letters.get(&unit).copied()
    }

    /// The pair or letter at the start of a text, with its units, when it stands elsewhere.
    pub fn first(&self, text: &[u16]) -> Option<(usize, Tailored)> {
        if let [a, b, ..] = text
            && let Some(pair) = self.pairs.get(&[*a, *b])
        {
            return Some((2, *pair));
        }
        Some((1, self.letter(*text.first()?)?))
    }
}
