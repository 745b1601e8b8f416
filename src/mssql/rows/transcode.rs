//! Text from the wire's encodings into UTF-8, and back, without an allocation per value.
//!
//! Values go in chunks. A chunk of ASCII, which is most of most data, takes a short loop of vector instructions; any
//! other goes through `simdutf`, which has them for every script (Lemire and Muła, "Transcoding Unicode Characters
//! with AVX-512 Instructions", 2022). A unit that is half of a surrogate pair stands for no character: the callers
//! decide whether that is refused or replaced.

use std::mem::MaybeUninit;
use std::sync::LazyLock;

/// Units of UTF-16 in a chunk.
const CHUNK: usize = 256;

/// Appends UTF-16 (little-endian bytes) as UTF-8 and returns how many units stood for no character; each became
/// U+FFFD. An odd byte at the end counts as one.
pub(super) fn append_utf16(bytes: &[u8], out: &mut Vec<u8>) -> usize {
    let mut rest = bytes;
    let mut unpaired = 0;
    while rest.len() >= 2 {
        let (chunk, after) = rest.split_at(chunk_of_utf16(rest));
        rest = after;
        // SAFETY: every processor of this architecture has SSE2. On others `simdutf` is asked, whatever the chunk is.
        #[cfg(target_arch = "x86_64")]
        if unsafe { append_ascii(chunk, out) } {
            continue;
        }
        unpaired += append_units(chunk, out);
    }
    if !rest.is_empty() {
        out.extend_from_slice("\u{FFFD}".as_bytes());
        unpaired += 1;
    }
    unpaired
}

/// Bytes of the next chunk: whole units, at least one, and no pair cut in two. A pair can only be cut where a whole
/// unit follows, which a single byte at the end of the text is not.
fn chunk_of_utf16(bytes: &[u8]) -> usize {
    let length = bytes.len().min(2 * CHUNK) & !1;
    let cuts_a_pair = length + 2 <= bytes.len() && bytes[length - 1] & 0xFC == 0xD8;
    if cuts_a_pair { length - 2 } else { length }
}

/// Appends a chunk if it is ASCII; appends nothing and answers false if not.
///
/// Eight units at a time. The last eight of a chunk are taken once more, rather than the few after the last whole
/// eight one by one.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
fn append_ascii(chunk: &[u8], out: &mut Vec<u8>) -> bool {
    use std::arch::x86_64::{
        _mm_and_si128, _mm_cmpeq_epi16, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128,
        _mm_packus_epi16, _mm_set1_epi16, _mm_setzero_si128, _mm_storel_epi64,
    };
    let length = chunk.len() / 2;
    out.reserve(length);
    let free = &mut out.spare_capacity_mut()[..length];
    let ascii = _mm_set1_epi16(0x7F);
    let mut seen = _mm_setzero_si128();
    let mut narrow = |from: &[u8; 16], to: &mut [MaybeUninit<u8>; 8]| {
        // SAFETY: reads the sixteen bytes of `from`.
        let eight = unsafe { _mm_loadu_si128(from.as_ptr().cast()) };
        seen = _mm_or_si128(seen, eight);
        let eight = _mm_and_si128(eight, ascii);
        // SAFETY: writes the eight bytes of `to`.
        unsafe { _mm_storel_epi64(to.as_mut_ptr().cast(), _mm_packus_epi16(eight, eight)) };
    };
    for (from, to) in chunk.as_chunks().0.iter().zip(free.as_chunks_mut().0) {
        narrow(from, to);
    }
    let is_ascii = if let (Some(from), Some(to)) = (chunk.last_chunk(), free.last_chunk_mut()) {
        narrow(from, to);
        _mm_movemask_epi8(_mm_cmpeq_epi16(_mm_and_si128(seen, ascii), seen)) == 0xFFFF
    } else {
        let units = chunk.as_chunks::<2>().0;
        let seen = units.iter().zip(free).fold(0, |seen, (from, to)| {
            to.write(from[0]);
            seen | u16::from_le_bytes(*from)
        });
        seen < 0x80
    };
    if is_ascii {
        // SAFETY: a byte was written for every unit, by whole eights and the last eight, or one by one.
        unsafe { out.set_len(out.len() + length) };
    }
    is_ascii
}

/// A word at a time, and the last eight bytes once more, rather than those after the last whole word one by one.
fn is_ascii(bytes: &[u8]) -> bool {
    const BEYOND: u64 = 0x8080_8080_8080_8080;
    let word = |seen, word: &[u8; 8]| seen | u64::from_le_bytes(*word);
    let whole = bytes.as_chunks().0.iter().fold(0, word);
    let seen = match bytes.last_chunk() {
        Some(last) => word(whole, last),
        None => bytes.iter().fold(0, |seen, byte| seen | u64::from(*byte)),
    };
    seen & BEYOND == 0
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
    if is_ascii(bytes) {
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
    if is_ascii(bytes) || std::str::from_utf8(bytes).is_ok() {
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
        #[cfg(target_arch = "x86_64")]
        if is_ascii(chunk.as_bytes()) {
            // SAFETY: every processor of this architecture has SSE2.
            unsafe { append_widened(chunk.as_bytes(), out) };
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

/// Appends ASCII as UTF-16: eight bytes at a time, the last eight once more.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
fn append_widened(text: &[u8], out: &mut Vec<u8>) {
    use std::arch::x86_64::{
        _mm_loadl_epi64, _mm_setzero_si128, _mm_storeu_si128, _mm_unpacklo_epi8,
    };
    let length = 2 * text.len();
    out.reserve(length);
    let free = &mut out.spare_capacity_mut()[..length];
    let widen = |from: &[u8; 8], to: &mut [MaybeUninit<u8>; 16]| {
        // SAFETY: reads the eight bytes of `from`.
        let eight = unsafe { _mm_loadl_epi64(from.as_ptr().cast()) };
        let wide = _mm_unpacklo_epi8(eight, _mm_setzero_si128());
        // SAFETY: writes the sixteen bytes of `to`.
        unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), wide) };
    };
    for (from, to) in text.as_chunks().0.iter().zip(free.as_chunks_mut().0) {
        widen(from, to);
    }
    if let (Some(from), Some(to)) = (text.last_chunk(), free.last_chunk_mut()) {
        widen(from, to);
    } else {
        for (from, to) in text.iter().zip(free.as_chunks_mut().0) {
            *to = [MaybeUninit::new(*from), MaybeUninit::new(0)];
        }
    }
    // SAFETY: two bytes were written for each, by whole eights and the last eight, or one by one.
    unsafe { out.set_len(out.len() + length) };
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

    /// Half of a pair and one byte, at every place up to the second boundary between chunks.
    #[test]
    fn a_text_may_end_anywhere() {
        for pairs_from in (0..4).chain(CHUNK - 3..CHUNK + 3) {
            let text = format!("{}{}", "x".repeat(pairs_from), "😀".repeat(CHUNK / 2 + 4));
            let units: Vec<u16> = text.encode_utf16().collect();
            let bytes = utf16(&units);
            for end in 0..=bytes.len() {
                let mut out = Vec::new();
                let bad = append_utf16(&bytes[..end], &mut out);
                let mut expected = String::from_utf16_lossy(&units[..end / 2]);
                let half = end / 2 > pairs_from && (end / 2 - pairs_from) % 2 == 1;
                if end % 2 == 1 {
                    expected.push('\u{FFFD}');
                }
                assert_eq!(
                    String::from_utf8(out).unwrap(),
                    expected,
                    "{pairs_from}, {end}"
                );
                assert_eq!(bad, usize::from(half) + end % 2, "{pairs_from}, {end}");
            }
        }
    }

    #[test]
    fn one_character_beyond_ascii_is_seen_wherever_it_stands() {
        for length in 0..70 {
            let plain = "x".repeat(length).into_bytes();
            assert!(is_ascii(&plain));
            for at in 0..length {
                let mut bytes = plain.clone();
                bytes[at] = 0x80;
                assert!(!is_ascii(&bytes));
                for unit in [0x7F, 0x80, 0x100, 0x8000] {
                    let mut units: Vec<u16> = plain.iter().map(|byte| u16::from(*byte)).collect();
                    units[at] = unit;
                    let mut out = b"before".to_vec();
                    assert_eq!(append_utf16(&utf16(&units), &mut out), 0);
                    let text = String::from_utf16_lossy(&units);
                    assert_eq!(out, format!("before{text}").into_bytes());
                    let mut wide = b"before".to_vec();
                    append_as_utf16(&text, &mut wide);
                    assert_eq!(wide, [b"before".as_slice(), &utf16(&units)].concat());
                }
            }
        }
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

        #[test]
        fn any_bytes_end(
            halves in proptest::collection::vec(0xD7FEu16..=0xE001, 0..2 * CHUNK + 8),
            last in proptest::option::of(any::<u8>()),
        ) {
            let mut bytes = utf16(&halves);
            bytes.extend(last);
            let mut out = Vec::new();
            let bad = append_utf16(&bytes, &mut out);
            let mut expected = String::from_utf16_lossy(&halves);
            expected.extend(last.map(|_| '\u{FFFD}'));
            prop_assert_eq!(String::from_utf8(out).unwrap(), expected);
            let unpaired = char::decode_utf16(halves).filter(Result::is_err).count();
            prop_assert_eq!(bad, unpaired + usize::from(last.is_some()));
        }
    }
}
