//! Text from the wire's encodings into UTF-8, and back, without an allocation per value.
//!
//! Runs of ASCII, which is most of most data, go sixteen units at a time: the loops are written so that the compiler turns them into vector instructions. Everything
//! else goes unit by unit. A unit that is half of a surrogate pair stands for no character: the callers decide whether that is refused or replaced.

use std::sync::LazyLock;

/// Units of UTF-16 that a block of the fast path covers.
const BLOCK: usize = 16;

/// Appends UTF-16 (little-endian bytes) as UTF-8 and returns how many units stood for no character; each became U+FFFD. An odd byte at the end counts as one.
pub(super) fn append_utf16(bytes: &[u8], out: &mut Vec<u8>) -> usize {
    let mut rest = bytes;
    let mut unpaired = 0;
    out.reserve(bytes.len() / 2);
    loop {
        while let Some((block, after)) = rest.split_first_chunk::<{ 2 * BLOCK }>() {
            let mut ascii = [0u8; BLOCK];
            let mut seen = 0u16;
            for (to, from) in ascii.iter_mut().zip(block.chunks_exact(2)) {
                let unit = u16::from_le_bytes([from[0], from[1]]);
                seen |= unit;
                *to = (unit & 0x7F) as u8;
            }
            if seen >= 0x80 {
                break;
            }
            out.extend_from_slice(&ascii);
            rest = after;
        }
        // Up to the next block's length of anything, then try the fast path again.
        let stop = rest.len().saturating_sub(2 * BLOCK);
        while let Some((unit, after)) = split_unit(rest) {
            rest = after;
            if unit < 0x80 {
                out.push(unit as u8);
            } else if unit < 0x800 {
                out.extend_from_slice(&[0xC0 | (unit >> 6) as u8, continuation(u32::from(unit))]);
            } else if !(0xD800..0xE000).contains(&unit) {
                let c = u32::from(unit);
                out.extend_from_slice(&[
                    0xE0 | (c >> 12) as u8,
                    continuation(c >> 6),
                    continuation(c),
                ]);
            } else {
                match split_unit(rest) {
                    Some((low, after)) if unit < 0xDC00 && (0xDC00..0xE000).contains(&low) => {
                        rest = after;
                        let c = 0x10000
                            + ((u32::from(unit) - 0xD800) << 10)
                            + (u32::from(low) - 0xDC00);
                        out.extend_from_slice(&[
                            0xF0 | (c >> 18) as u8,
                            continuation(c >> 12),
                            continuation(c >> 6),
                            continuation(c),
                        ]);
                    }
                    _ => {
                        out.extend_from_slice("\u{FFFD}".as_bytes());
                        unpaired += 1;
                    }
                }
            }
            if rest.len() <= stop && rest.len() >= 2 * BLOCK {
                break;
            }
        }
        if rest.len() < 2 {
            break;
        }
    }
    if !rest.is_empty() {
        out.extend_from_slice("\u{FFFD}".as_bytes());
        unpaired += 1;
    }
    unpaired
}

fn split_unit(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (unit, rest) = bytes.split_first_chunk::<2>()?;
    Some((u16::from_le_bytes(*unit), rest))
}

fn continuation(c: u32) -> u8 {
    0x80 | (c & 0x3F) as u8
}

/// Characters of the upper half of code page 1252 as Windows decodes it: its five undefined bytes are C1 controls.
static WINDOWS_1252: LazyLock<[char; 128]> = LazyLock::new(|| {
    std::array::from_fn(|at| {
        let byte = [0x80 | at as u8];
        let (text, _) = encoding_rs::WINDOWS_1252.decode_without_bom_handling(&byte);
        text.chars().next().unwrap_or(char::from(byte[0]))
    })
});

/// Appends code page 1252 as UTF-8. Every byte is a character.
pub(super) fn append_1252(bytes: &[u8], out: &mut Vec<u8>) {
    if bytes.is_ascii() {
        out.extend_from_slice(bytes);
        return;
    }
    let table = &*WINDOWS_1252;
    let mut buffer = [0u8; 4];
    for &byte in bytes {
        if byte < 0x80 {
            out.push(byte);
        } else {
            let c = table[usize::from(byte & 0x7F)];
            out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
        }
    }
}

/// Appends bytes that claim to be UTF-8 and returns how many pieces were not; each became U+FFFD.
pub(super) fn append_utf8(bytes: &[u8], out: &mut Vec<u8>) -> usize {
    if std::str::from_utf8(bytes).is_ok() {
        out.extend_from_slice(bytes);
        return 0;
    }
    let mut malformed = 0;
    for chunk in bytes.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{FFFD}".as_bytes());
            malformed += 1;
        }
    }
    malformed
}

/// Appends a text as UTF-16 (little-endian bytes).
pub(in crate::mssql) fn append_as_utf16(text: &str, out: &mut Vec<u8>) {
    out.reserve(2 * text.len());
    let mut rest = text;
    loop {
        let bytes = rest.as_bytes();
        let mut ascii = 0;
        while let Some(block) = bytes.get(ascii..).and_then(|at| at.first_chunk::<BLOCK>()) {
            if !block.is_ascii() {
                break;
            }
            let mut wide = [0u8; 2 * BLOCK];
            for (to, from) in wide.chunks_exact_mut(2).zip(block) {
                to[0] = *from;
            }
            out.extend_from_slice(&wide);
            ascii += BLOCK;
        }
        // A block of ASCII ends on a character boundary.
        rest = &rest[ascii..];
        let mut taken = 0;
        for c in rest.chars() {
            let mut units = [0u16; 2];
            for unit in c.encode_utf16(&mut units) {
                out.extend_from_slice(&unit.to_le_bytes());
            }
            taken += c.len_utf8();
            if taken >= BLOCK {
                break;
            }
        }
        rest = &rest[taken..];
        if rest.is_empty() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn utf16(units: &[u16]) -> Vec<u8> {
        units.iter().flat_map(|unit| unit.to_le_bytes()).collect()
    }

    #[test]
    fn unpaired_surrogates_are_counted_wherever_they_stand() {
        for position in [0, 1, 15, 16, 17, 40] {
            for bad in [0xD800u16, 0xDBFF, 0xDC00, 0xDFFF] {
                let mut units: Vec<u16> = "x".repeat(position).encode_utf16().collect();
                units.push(bad);
                units.extend("yz".encode_utf16());
                let mut out = Vec::new();
                assert_eq!(append_utf16(&utf16(&units), &mut out), 1);
                assert_eq!(
                    String::from_utf8(out).unwrap(),
                    format!("{}\u{FFFD}yz", "x".repeat(position))
                );
            }
        }
        let mut out = Vec::new();
        assert_eq!(append_utf16(&[0x41, 0, 0x42], &mut out), 1);
        assert_eq!(append_utf16(&utf16(&[0xD800, 0xD800, 0xDC00]), &mut out), 1);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "A\u{FFFD}\u{FFFD}\u{10000}"
        );
    }

    #[test]
    fn code_page_1252_is_read_as_windows_reads_it() {
        let all: Vec<u8> = (0..=255).collect();
        let mut out = Vec::new();
        append_1252(&all, &mut out);
        let text: Vec<char> = String::from_utf8(out).unwrap().chars().collect();
        assert_eq!(text.len(), 256);
        assert_eq!(
            (text[0x80], text[0x81], text[0x8D]),
            ('€', '\u{81}', '\u{8D}')
        );
        assert_eq!((text[0x9F], text[0xA0], text[0xFF]), ('Ÿ', '\u{A0}', 'ÿ'));
    }

    #[test]
    fn malformed_utf8_is_counted() {
        let mut out = Vec::new();
        assert_eq!(append_utf8("訂單".as_bytes(), &mut out), 0);
        assert_eq!(append_utf8(b"a\xFFb\xC0", &mut out), 2);
        assert_eq!(String::from_utf8(out).unwrap(), "訂單a\u{FFFD}b\u{FFFD}");
    }

    proptest! {
        #[test]
        fn texts_survive_both_directions(text in "(\\PC|[ -~]{20}|[\u{0}-\u{10FFFF}]){0,60}") {
            let mut wide = Vec::new();
            append_as_utf16(&text, &mut wide);
            let units: Vec<u16> = text.encode_utf16().collect();
            prop_assert_eq!(&wide, &utf16(&units));
            let mut narrow = b"before".to_vec();
            prop_assert_eq!(append_utf16(&wide, &mut narrow), 0);
            prop_assert_eq!(String::from_utf8(narrow).unwrap(), format!("before{text}"));
        }

        #[test]
        fn any_units_agree_with_the_standard_library(units in proptest::collection::vec(any::<u16>(), 0..80)) {
            let mut out = Vec::new();
            let bad = append_utf16(&utf16(&units), &mut out);
            prop_assert_eq!(String::from_utf8(out).unwrap(), String::from_utf16_lossy(&units));
            let expected = char::decode_utf16(units).filter(Result::is_err).count();
            prop_assert_eq!(bad, expected);
        }
    }
}
