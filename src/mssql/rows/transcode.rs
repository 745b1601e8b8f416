//! Text from the wire's encodings into UTF-8, and back, without an allocation per value.
//!
//! Values go in chunks. A chunk of ASCII, which is most of most data, takes a loop that the compiler turns into vector instructions; any
//! other goes through `simdutf`, which has them for every script (Lemire and Muła, "Transcoding Unicode Characters with AVX-512 Instructions", 2022). A unit that is
//! half of a surrogate pair stands for no character: the callers decide whether that is refused or replaced.

use std::mem::MaybeUninit;
use std::sync::LazyLock;

/// Units of UTF-16 in a chunk.
const CHUNK: usize = 256;

/// Appends UTF-16 (little-endian bytes) as UTF-8 and returns how many units stood for no character; each became U+FFFD. An odd byte at the end counts as one.
pub(super) fn append_utf16(bytes: &[u8], out: &mut Vec<u8>) -> usize {
    let mut rest = bytes;
    let mut unpaired = 0;
    while rest.len() >= 2 {
        let (chunk, after) = rest.split_at(chunk_of_utf16(rest));
        rest = after;
        if !append_ascii(chunk, out) {
            unpaired += append_units(chunk, out);
        }
    }
    if !rest.is_empty() {
        out.extend_from_slice("\u{FFFD}".as_bytes());
        unpaired += 1;
    }
    unpaired
}

/// Bytes of the next chunk: whole units, and no pair cut in two.
fn chunk_of_utf16(bytes: &[u8]) -> usize {
    let length = bytes.len().min(2 * CHUNK) & !1;
    let cuts_a_pair = length < bytes.len() && bytes[length - 1] & 0xFC == 0xD8;
    if cuts_a_pair { length - 2 } else { length }
}

/// Appends a chunk if it is ASCII; appends nothing and answers false if not.
fn append_ascii(chunk: &[u8], out: &mut Vec<u8>) -> bool {
    /// The bits of four units that ASCII leaves at 0.
    const BEYOND: u64 = 0xFF80_FF80_FF80_FF80;
    let (fours, rest) = chunk.as_chunks::<8>();
    let fours = fours
        .iter()
        .fold(0, |seen, four| seen | u64::from_le_bytes(*four));
    let rest = rest.chunks_exact(2).fold(0, |seen, unit| {
        seen | u16::from_le_bytes([unit[0], unit[1]])
    });
    let is_ascii = fours & BEYOND == 0 && rest < 0x80;
    if is_ascii {
        out.extend(chunk.chunks_exact(2).map(|unit| unit[0]));
    }
    is_ascii
}

/// Appends any chunk; answers how many units stood for no character.
fn append_units(chunk: &[u8], out: &mut Vec<u8>) -> usize {
    let mut copy = [MaybeUninit::<u16>::uninit(); CHUNK];
    // SAFETY: any two bytes are a unit.
    let units = match unsafe { chunk.align_to() } {
        ([], units, []) => units,
        // SAFETY: a chunk has at most as many bytes as `copy`, of which as many are initialized as are taken.
        _ => unsafe {
            copy.as_mut_ptr()
                .cast::<u8>()
                .copy_from_nonoverlapping(chunk.as_ptr(), chunk.len());
            std::slice::from_raw_parts(copy.as_ptr().cast(), chunk.len() / 2)
        },
    };
    // A unit becomes three bytes at most.
    out.reserve(3 * units.len());
    let free = out.spare_capacity_mut().as_mut_ptr().cast();
    // SAFETY: reads `units.len()` units from a slice of as many, and writes into free capacity of three bytes for each.
    let done =
        unsafe { simdutf::convert_utf16le_to_utf8_with_errors(units.as_ptr(), units.len(), free) };
    if done.error == simdutf::ErrorCode::Success {
        // SAFETY: so many bytes were written.
        unsafe { out.set_len(out.len() + done.count) };
        return 0;
    }
    let mut unpaired = 0;
    let mut buffer = [0; 4];
    for unit in char::decode_utf16(units.iter().map(|unit| u16::from_le(*unit))) {
        unpaired += usize::from(unit.is_err());
        let c = unit.unwrap_or(char::REPLACEMENT_CHARACTER);
        out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
    }
    unpaired
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
    let mut rest = text;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(rest.floor_char_boundary(CHUNK));
        rest = after;
        let start = out.len();
        if chunk.is_ascii() {
            out.resize(start + 2 * chunk.len(), 0);
            for (to, from) in out[start..].chunks_exact_mut(2).zip(chunk.as_bytes()) {
                to[0] = *from;
            }
            continue;
        }
        let mut units = [0u16; CHUNK];
        // SAFETY: reads a string of this length, which is UTF-8, and writes at most one unit for each of its bytes.
        let count = unsafe {
            simdutf::convert_valid_utf8_to_utf16(chunk.as_ptr(), chunk.len(), units.as_mut_ptr())
        };
        out.extend(units[..count].iter().flat_map(|unit| unit.to_le_bytes()));
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
