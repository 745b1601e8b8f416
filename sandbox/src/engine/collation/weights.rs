//! What a character weighs where text is ordered as Windows orders words.
//!
//! Windows gives a character a script and a place in it, an accent and a form (case, width). Apostrophe, hyphen and
//! control characters have a place only among the minor differences. Some characters are two letters, some weigh
//! nothing. The figures follow the framing that [MS-UCODEREF] describes; scripts other than Latin are in the order of
//! their code points.

use crate::collation::CollationInfo;
use std::collections::HashMap;
use std::sync::LazyLock;

/// The accent and form of a letter without any.
pub const PLAIN: u8 = 2;
/// Added to the form of a capital: it comes after the small letter.
pub const CAPITAL: u8 = 0x10;
const KATAKANA: u8 = 0x04;
const WIDE: u8 = 0x01;

/// A character's part in an order.
pub enum Element {
    /// None: the text orders as if it were not there.
    Weightless,
    /// Counts after everything else, by its place.
    Minor(u8),
    /// Adds to the accent of the letter before it.
    Mark(u8),
    Letter {
        primary: Primary,
        accent: u8,
        form: u8,
    },
}

/// Where a character stands regardless of accent and form.
pub enum Primary {
    Common(u16),
    /// One byte for the group, then the code unit.
    ByCode(u8, u16),
}

/// The group of signs that ASCII lacks, before digits.
const SIGNS: u8 = 0x0A;
/// The group of all letters that are not Latin, after Latin.
const OTHER_LETTERS: u8 = 0x0F;

/// An accented letter taken apart; others stand for themselves.
pub struct Letter {
    /// In upper case.
    pub base: u16,
    pub accent: u8,
    pub upper: bool,
}

const fn ascii_table() -> [u16; 128] {
    const PUNCTUATION: &[u8] = b" \t\n\x0B\x0C\r!\"#$%&()*,./:;?@[\\]^_`{|}~";
    const OPERATORS: &[u8] = b"+<=>";
    let mut table = [0; 128];
    let mut at = 0;
    while at < PUNCTUATION.len() {
        table[PUNCTUATION[at] as usize] = 0x0702 + at as u16;
        at += 1;
    }
    at = 0;
    while at < OPERATORS.len() {
        table[OPERATORS[at] as usize] = 0x0802 + at as u16;
        at += 1;
    }
    at = 0;
    while at < 10 {
        table[b'0' as usize + at] = 0x0C02 + at as u16;
        at += 1;
    }
    at = 0;
    while at < 26 {
        table[b'A' as usize + at] = 0x0E02 + 4 * at as u16;
        table[b'a' as usize + at] = 0x0E02 + 4 * at as u16;
        at += 1;
    }
    table
}

static ASCII: [u16; 128] = ascii_table();

/// Where an ASCII character stands; 0 for those that are minor or weightless, and for characters beyond ASCII.
pub fn ascii(unit: u16) -> u16 {
    ASCII.get(usize::from(unit)).copied().unwrap_or(0)
}

pub fn is_ascii_upper(unit: u16) -> bool {
    (u16::from(b'A')..=u16::from(b'Z')).contains(&unit)
}

/// The two letters that a character equals. Languages in which it is a letter of its own keep it whole.
///
/// In the order of German phone books ä, ö and ü are two letters as well. (Whether `AS` tells `ä` from `ae` is not
/// documented; as with `ß` and `ss` it does not here.)
pub fn expansion(unit: u16, lcid: u32) -> Option<[u16; 2]> {
    const GERMAN_PHONE_BOOK: u32 = 0x1_0407;
    const NORDIC: [u32; 5] = [0x0406, 0x040B, 0x040F, 0x0414, 0x041D];
    let two = |pair: &[u8; 2]| Some(pair.map(u16::from));
    match unit {
        0xC4 if lcid == GERMAN_PHONE_BOOK => two(b"Ae"),
        0xD6 if lcid == GERMAN_PHONE_BOOK => two(b"Oe"),
        0xDC if lcid == GERMAN_PHONE_BOOK => two(b"Ue"),
        0xE4 if lcid == GERMAN_PHONE_BOOK => two(b"ae"),
        0xF6 if lcid == GERMAN_PHONE_BOOK => two(b"oe"),
        0xFC if lcid == GERMAN_PHONE_BOOK => two(b"ue"),
        0xDF => two(b"ss"),
        0xC6 | 0xE6 | 0xDE | 0xFE if NORDIC.contains(&(lcid & 0xFFFF)) => None,
        0xC6 => two(b"AE"),
        0xE6 => two(b"ae"),
        0xDE => two(b"TH"),
        0xFE => two(b"th"),
        0x132 => two(b"IJ"),
        0x133 => two(b"ij"),
        0x152 => two(b"OE"),
        0x153 => two(b"oe"),
        0x1C7 => two(b"LJ"),
        0x1C9 => two(b"lj"),
        0x1CA => two(b"NJ"),
        0x1CC => two(b"nj"),
        0x1F1 => two(b"DZ"),
        0x1F3 => two(b"dz"),
        0xFB00 => two(b"ff"),
        0xFB01 => two(b"fi"),
        0xFB02 => two(b"fl"),
        0xFB06 => two(b"st"),
        _ => None,
    }
}

/// Scripts and signs that the tables of the collation versions before 100 do not have: what they lack weighs nothing.
/// Microsoft names U+3358 to U+3376, <https://dba.stackexchange.com/q/208414> U+04D2, U+14DE and Ethiopic.
const UNWEIGHTED_BEFORE_100: [(u16, u16); 12] = [
    (0x04D0, 0x052F),
    (0x0700, 0x08FF),
    (0x0D80, 0x0DFF),
    (0x1000, 0x109F),
    (0x1200, 0x1DFF),
    (0x2614, 0x2619),
    (0x2670, 0x26FF),
    (0x27C0, 0x2FFF),
    (0x31A0, 0x31FF),
    (0x3358, 0x3376),
    (0x3400, 0x4DFF),
    (0xA000, 0xABFF),
];

/// Whether a text orders as if the character were not there.
fn is_weightless(unit: u16, version: u8) -> bool {
    match unit {
        // NUL, soft hyphen, marks of direction and joining, variation selectors, what is no character.
        0 | 0xAD | 0x200B..=0x200F | 0x202A..=0x202E | 0x2060..=0x206F => true,
        0xFE00..=0xFE0F | 0xFEFF | 0xFFFE | 0xFFFF => true,
        // Supplementary characters take part in comparison from version 90 on, by code point.
        0xD800..=0xDFFF => version == 0,
        _ => {
            version < 2
                && UNWEIGHTED_BEFORE_100
                    .iter()
                    .any(|(low, high)| (*low..=*high).contains(&unit))
        }
    }
}

/// The place among minor characters: control characters, apostrophe, hyphens.
fn minor(unit: u16) -> Option<u8> {
    match unit {
        0x01..=0x08 | 0x0E..=0x1F => Some(3 + unit as u8),
        0x7F => Some(0x23),
        0x80..=0x9F => Some(0x24 + (unit - 0x80) as u8),
        0x27 => Some(0x80),
        0x2D => Some(0x82),
        0x2010 | 0x2011 => Some(0x84 + (unit - 0x2010) as u8),
        _ => None,
    }
}

/// Takes a character apart. One that [`expansion`] makes two of is given as those.
pub fn element(unit: u16, info: &CollationInfo) -> Element {
    let (mut unit, mut form) = (unit, PLAIN);
    if (0xFF01..=0xFF5E).contains(&unit) {
        unit -= 0xFEE0;
        form |= if info.ignores_width() { 0 } else { WIDE };
    }
    match unit {
        0x3041..=0x3096 => unit += 0x60,
        0x30A1..=0x30F6 if !info.ignores_kana() => form |= KATAKANA,
        _ => {}
    }
    if is_weightless(unit, info.version) {
        return Element::Weightless;
    }
    if let Some(weight) = minor(unit) {
        return Element::Minor(weight);
    }
    if (0x300..=0x36F).contains(&unit) {
        return Element::Mark(mark(unit));
    }
    let Letter {
        base,
        accent,
        upper,
    } = letter(unit);
    if upper && !info.ignores_case() {
        form |= CAPITAL;
    }
    Element::Letter {
        primary: primary(base),
        accent,
        form,
    }
}

fn primary(base: u16) -> Primary {
    match base {
        0..0x80 => Primary::Common(ascii(base)),
        // Eth and eng stand behind the letters that they come from.
        0xD0 => Primary::Common(ascii(u16::from(b'D')) + 2),
        0x14A => Primary::Common(ascii(u16::from(b'N')) + 2),
        0xD800..=0xDFFF => Primary::ByCode(OTHER_LETTERS, base),
        _ => {
            let is_letter = char::from_u32(u32::from(base)).is_some_and(char::is_alphabetic);
            Primary::ByCode(if is_letter { OTHER_LETTERS } else { SIGNS }, base)
        }
    }
}

/// Letters with an accent: its weight, its combining character, and pairs of a letter and the letter that bears it.
/// A pair's first letter may come from a row above.
#[rustfmt::skip]
const ACCENTED: [(u8, char, &str); 24] = [
    (0x0E, '\u{301}', "AÁCĆEÉGǴIÍKḰLĹMḾNŃOÓPṔRŔSŚUÚWẂYÝZŹΑΆΕΈΗΉΙΊΟΌΥΎΩΏ"),
    (0x0F, '\u{300}', "AÀEÈIÌNǸOÒUÙWẀYỲ"),
    (0x10, '\u{307}', "AȦBḂCĊDḊEĖFḞGĠIİMṀOȮPṖSṠTṪZŻ"),
    (0x11, '\u{387}', "LĿ"),
    (0x12, '\u{302}', "AÂCĈEÊGĜHĤIÎJĴOÔSŜUÛWŴYŶZẐ"),
    (0x13, '\u{308}', "AÄEËHḦIÏOÖUÜWẄXẌYŸЕЁ"),
    (0x14, '\u{30C}', "AǍCČDĎEĚGǦIǏKǨLĽNŇOǑRŘSŠTŤUǓZŽ"),
    (0x15, '\u{306}', "AĂEĔGĞIĬOŎUŬ"),
    (0x17, '\u{304}', "AĀEĒIĪOŌUŪ"),
    (0x19, '\u{303}', "AÃEẼIĨNÑOÕUŨVṼYỸ"),
    (0x1A, '\u{30A}', "AÅUŮ"),
    (0x1B, '\u{328}', "AĄEĘIĮOǪUŲ"),
    (0x1C, '\u{327}', "CÇGĢKĶLĻNŅRŖSŞTŢ"),
    (0x1D, '\u{30B}', "OŐUŰ"),
    (0x1E, '\u{326}', "SȘTȚ"),
    (0x21, '\u{338}', "DĐHĦLŁOØTŦ"),
    (0x42, '\u{323}', "AẠEẸIỊOỌUỤYỴ"),
    (0x43, '\u{309}', "AẢEẺIỈOỎUỦYỶ"),
    (0x57, '\u{31B}', "OƠUƯ"),
    (0x0E, '\u{301}', "ÂẤÊẾÔỐĂẮƠỚƯỨ"),
    (0x0F, '\u{300}', "ÂẦÊỀÔỒĂẰƠỜƯỪ"),
    (0x43, '\u{309}', "ÂẨÊỂÔỔĂẲƠỞƯỬ"),
    (0x19, '\u{303}', "ÂẪÊỄÔỖĂẴƠỠƯỮ"),
    (0x42, '\u{323}', "ÂẬÊỆÔỘĂẶƠỢƯỰ"),
];

static LETTERS: LazyLock<HashMap<char, (char, u8)>> = LazyLock::new(|| {
    let mut letters = HashMap::new();
    for (weight, _, pairs) in ACCENTED {
        let mut pairs = pairs.chars();
        while let (Some(bare), Some(accented)) = (pairs.next(), pairs.next()) {
            let (base, accent) = letters.get(&bare).copied().unwrap_or((bare, PLAIN));
            letters.insert(accented, (base, accent + weight - PLAIN));
        }
    }
    letters
});

/// What a combining character adds to an accent.
fn mark(unit: u16) -> u8 {
    let known = ACCENTED
        .iter()
        .find(|(_, combining, _)| u32::from(*combining) == u32::from(unit));
    known.map_or(0x80 + (unit & 0x7F) as u8 % 0x60, |(weight, _, _)| {
        weight - PLAIN
    })
}

/// The letter under a letter's case and accent.
pub fn letter(unit: u16) -> Letter {
    let same = Letter {
        base: unit,
        accent: PLAIN,
        upper: false,
    };
    if unit < 0x80 {
        let c = unit as u8 as char;
        return Letter {
            base: c.to_ascii_uppercase() as u16,
            upper: c.is_ascii_uppercase(),
            ..same
        };
    }
    // The dotless i and the long s are small letters, but not those of I and S.
    match unit {
        0x131 => {
            return Letter {
                base: u16::from(b'I'),
                accent: 3,
                ..same
            };
        }
        0x17F => {
            return Letter {
                base: u16::from(b'S'),
                accent: 3,
                ..same
            };
        }
        _ => {}
    }
    let Some(c) = char::from_u32(u32::from(unit)) else {
        return same;
    };
    let mut upper = c.to_uppercase();
    let folded = match (upper.next(), upper.next()) {
        (Some(one), None) => one,
        _ => c,
    };
    let (base, accent) = LETTERS.get(&folded).copied().unwrap_or((folded, PLAIN));
    Letter {
        base: u16::try_from(u32::from(base)).unwrap_or(unit),
        accent,
        upper: c.is_uppercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_accented_letters_are_one() {
        let all: HashSet<(char, u8)> = LETTERS.values().copied().collect();
        assert_eq!(all.len(), LETTERS.len());
        let pairs: usize = ACCENTED
            .iter()
            .map(|(_, _, pairs)| pairs.chars().count())
            .sum();
        assert_eq!(pairs, LETTERS.len() * 2);
    }

    #[test]
    fn every_printable_ascii_character_stands_somewhere_of_its_own() {
        let places: HashSet<u16> = (0x20..0x7F)
            .filter(|unit| !is_ascii_upper(*unit))
            .map(ascii)
            .collect();
        // Apostrophe and hyphen share 0.
        assert_eq!(places.len(), 95 - 26 - 1);
        assert!(ascii(u16::from(b'~')) < ascii(u16::from(b'+')));
        assert!(ascii(u16::from(b'>')) < ascii(u16::from(b'0')));
        assert!(ascii(u16::from(b'9')) < ascii(u16::from(b'a')));
    }
}
