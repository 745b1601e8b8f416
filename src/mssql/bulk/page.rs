//! Text as the bytes of a code page, for `char` and `varchar` columns that a bulk copy fills as they are.
//!
//! A character is encoded only where the server reads the same character back. The tables come from `encoding_rs`,
//! which implements the encodings of the WHATWG. They are Windows' code pages, except in places that are left out here:
//!
//! - user-defined characters (U+E000 to U+F8FF), which the two map differently or one of them does not know;
//! - characters that come back as others: in code page 932, U+00A5 would be stored as `\`;
//! - codes that the WHATWG gives to characters which Windows keeps for user-defined ones: vertical forms and a few
//!   radicals in code page 936; control pictures and all extensions in code page 950.
//!
//! With these left out, no code is read as another character by the tables that Microsoft has published of the code
//! pages (unicode.org, `CP932.TXT` and its like).
//!
//! So a character that is not [encoded](Page::append) may still be in the server's code page: [`Page::is_whole`] says
//! whether that can be.

use encoding_rs::{DecoderResult, EncoderResult, Encoding};
use std::sync::OnceLock;

const UTF_8: u32 = 65001;

/// Windows' numbers of the code pages that are encoded from tables.
const PAGES: [u32; 14] = [
    874, 932, 936, 949, 950, 1250, 1251, 1252, 1253, 1254, 1255, 1256, 1257, 1258,
];

static TABLES: [OnceLock<Table>; PAGES.len()] = [const { OnceLock::new() }; PAGES.len()];

/// The codes of the characters of one code page beyond ASCII.
struct Table {
    /// By UTF-16 unit; 0 where there is none. Above 0xFF: two bytes, the first in the high half.
    codes: Box<[u16]>,
    is_whole: bool,
}

/// A code page.
#[derive(Clone, Copy)]
pub(super) struct Page {
    number: u32,
    /// None: UTF-8.
    table: Option<&'static Table>,
}

impl Page {
    /// None of a code page whose text is not encoded here.
    pub(super) fn of(number: u32) -> Option<Self> {
        if number == UTF_8 {
            return Some(Self {
                number,
                table: None,
            });
        }
        let at = PAGES.iter().position(|&page| page == number)?;
        let encoding = encoding(number)?;
        let table = TABLES[at].get_or_init(|| Table::new(number, encoding));
        Some(Self {
            number,
            table: Some(table),
        })
    }

    /// Windows' number of it.
    pub(super) fn number(self) -> u32 {
        self.number
    }

    /// Whether every character of the server's code page is encoded here. Otherwise a character that is not may be
    /// one of the server's all the same.
    pub(super) fn is_whole(self) -> bool {
        self.table.is_none_or(|table| table.is_whole)
    }

    /// Appends the bytes of a text; the error is the first character without a code.
    #[inline]
    pub(super) fn append(self, text: &str, out: &mut Vec<u8>) -> Result<(), char> {
        let Some(table) = self.table else {
            out.extend_from_slice(text.as_bytes());
            return Ok(());
        };
        let mut rest = text;
        loop {
            let (ascii, other) = rest.split_at(Encoding::ascii_valid_up_to(rest.as_bytes()));
            out.extend_from_slice(ascii.as_bytes());
            let Some(c) = other.chars().next() else {
                return Ok(());
            };
            match table.code(c) {
                0 => return Err(c),
                code @ ..=0xFF => out.push(code as u8),
                code => out.extend_from_slice(&code.to_be_bytes()),
            }
            rest = &other[c.len_utf8()..];
        }
    }
}

impl Table {
    fn new(page: u32, encoding: &'static Encoding) -> Self {
        let mut codes = vec![0; 1 << 16];
        for c in '\u{80}'..='\u{FFFF}' {
            if !matches!(c, '\u{E000}'..='\u{F8FF}')
                && let Some(code) = code_of(encoding, c)
                && !is_another(page, code)
            {
                codes[c as usize] = code;
            }
        }
        Self {
            is_whole: codes.iter().filter(|&&code| code != 0).count() == 128,
            codes: codes.into(),
        }
    }

    fn code(&self, c: char) -> u16 {
        self.codes.get(c as usize).copied().unwrap_or(0)
    }
}

fn encoding(code_page: u32) -> Option<&'static Encoding> {
    Some(match code_page {
        874 => encoding_rs::WINDOWS_874,
        932 => encoding_rs::SHIFT_JIS,
        936 => encoding_rs::GBK,
        949 => encoding_rs::EUC_KR,
        950 => encoding_rs::BIG5,
        1250 => encoding_rs::WINDOWS_1250,
        1251 => encoding_rs::WINDOWS_1251,
        1252 => encoding_rs::WINDOWS_1252,
        1253 => encoding_rs::WINDOWS_1253,
        1254 => encoding_rs::WINDOWS_1254,
        1255 => encoding_rs::WINDOWS_1255,
        1256 => encoding_rs::WINDOWS_1256,
        1257 => encoding_rs::WINDOWS_1257,
        1258 => encoding_rs::WINDOWS_1258,
        _ => return None,
    })
}

/// One or two bytes that mean the character, and nothing else.
fn code_of(encoding: &'static Encoding, c: char) -> Option<u16> {
    let (mut utf8, mut bytes) = ([0; 4], [0; 16]);
    let text = c.encode_utf8(&mut utf8);
    let mut encoder = encoding.new_encoder();
    let (ended, _, count) = encoder.encode_from_utf8_without_replacement(text, &mut bytes, true);
    if ended != EncoderResult::InputEmpty {
        return None;
    }
    let mut units = [0; 16];
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let (ended, _, back) =
        decoder.decode_to_utf16_without_replacement(&bytes[..count], &mut units, true);
    let is_same =
        ended == DecoderResult::InputEmpty && back == 1 && u32::from(units[0]) == c as u32;
    match (is_same, &bytes[..count]) {
        (true, &[one]) => Some(u16::from(one)),
        (true, &[lead, trail]) => Some(u16::from_be_bytes([lead, trail])),
        _ => None,
    }
}

/// Whether Windows reads another character in a code than the WHATWG does.
fn is_another(code_page: u32, code: u16) -> bool {
    match code_page {
        936 => matches!(
            code,
            0xA2AB..=0xA2B0 | 0xA6D9..=0xA6DF | 0xA6EC..=0xA6ED | 0xA6F3 | 0xA8BC | 0xA8BF | 0xA989..=0xA995
                | 0xFE50..=0xFEA0
        ),
        950 => !matches!(code, 0xA140..=0xA3BF | 0xA3E1..=0xC67E | 0xC940..=0xF9D5),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(page: u32, text: &str) -> Result<Vec<u8>, char> {
        let mut out = Vec::new();
        Page::of(page)
            .expect("encoded here")
            .append(text, &mut out)
            .map(|()| out)
    }

    #[test]
    fn text_takes_the_bytes_of_its_code_page() {
        for (page, text, expected) in [
            (1252, "a€b\u{81}", Ok(&b"a\x80b\x81"[..])),
            (1252, "aŁ", Err('Ł')),
            (1250, "Łódź", Ok(b"\xA3\xF3d\x9F")),
            (1251, "Мир", Ok(b"\xCC\xE8\xF0")),
            (1253, "μ", Ok(b"\xEC")),
            (874, "ไทย", Ok(b"\xE4\xB7\xC2")),
            (932, "日本", Ok(b"\x93\xFA\x96\x7B")),
            (932, "ｱ", Ok(b"\xB1")),
            (932, "¥", Err('¥')),
            (932, "‾", Err('‾')),
            (936, "中€", Ok(b"\xD6\xD0\x80")),
            (936, "ḿ", Err('ḿ')),
            (949, "한", Ok(b"\xC7\xD1")),
            (950, "中", Ok(b"\xA4\xA4")),
            (950, "①", Err('①')),
            (950, "␀", Err('␀')),
            (950, "€", Ok(b"\xA3\xE1")),
            (950, "\u{E000}", Err('\u{E000}')),
            (65001, "a😀", Ok("a😀".as_bytes())),
            (1252, "", Ok(b"")),
        ] {
            let expected = expected.map(<[u8]>::to_vec);
            assert_eq!(bytes(page, text), expected, "{page} {text}");
        }
        assert!([437, 0, 850].iter().all(|&page| Page::of(page).is_none()));
    }

    #[test]
    fn every_code_page_says_whether_it_is_whole() {
        let whole = PAGES
            .iter()
            .filter(|&&page| Page::of(page).expect("a page").is_whole());
        let whole: Vec<u32> = whole.copied().collect();
        assert_eq!(whole, [1250, 1251, 1252, 1254, 1256, 1258]);
        assert!(Page::of(UTF_8).expect("a page").is_whole());
        assert!(PAGES.iter().all(|&page| Page::of(page).is_some()));
    }
}
