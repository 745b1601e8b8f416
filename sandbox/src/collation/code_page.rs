//! Code pages: characters of `char`, `varchar` and `text` between UTF-16 and the collation's bytes.

use encoding_rs::{CoderResult, Encoding};
use std::sync::OnceLock;

/// A Windows or OEM code page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CodePage {
    Cp437,
    Cp850,
    Cp874,
    Cp932,
    Cp936,
    Cp949,
    /// Through the WHATWG's Big5, which differs from Windows' in user-defined and some rare characters.
    Cp950,
    Cp1250,
    Cp1251,
    Cp1252,
    Cp1253,
    Cp1254,
    Cp1255,
    Cp1256,
    Cp1257,
    Cp1258,
    Utf8,
    /// Indic collations: `varchar` cannot hold anything beyond ASCII.
    UnicodeOnly,
}

/// Bytes 0x80 to 0xFF of code page 437.
const UPPER_437: &str = "\
ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐\
└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{A0}";

/// Bytes 0x80 to 0xFF of code page 850.
const UPPER_850: &str = "\
ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜø£Ø×ƒáíóúñÑªº¿®¬½¼¡«»░▒▓│┤ÁÂÀ©╣║╗╝¢¥┐\
└┴┬├─┼ãÃ╚╔╩╦╠═╬¤ðÐÊËÈıÍÎÏ┘┌█▄¦Ì▀ÓßÔÒõÕµþÞÚÛÙýÝ¯´\u{AD}±‗¾¶§÷¸°¨·¹³²■\u{A0}";

/// Both directions of a single-byte code page. A reverse entry of 0 means that the character is not in it (but for
/// U+0000 itself).
struct SingleByte {
    to_utf16: [u16; 256],
    from_utf16: Box<[u8; 65536]>,
}

impl SingleByte {
    fn new(upper: impl Fn(u8) -> Option<u16>) -> Self {
        let mut to_utf16 = [0xFFFD; 256];
        let mut from_utf16 = Box::new([0u8; 65536]);
        for byte in 0..=255u8 {
            let unit = if byte < 0x80 {
                Some(u16::from(byte))
            } else {
                upper(byte)
            };
            if let Some(unit) = unit {
                to_utf16[usize::from(byte)] = unit;
                from_utf16[usize::from(unit)] = byte;
            }
        }
        Self {
            to_utf16,
            from_utf16,
        }
    }

    fn oem(upper: &str) -> Self {
        let units: Vec<u16> = upper.encode_utf16().collect();
        Self::new(|byte| units.get(usize::from(byte - 0x80)).copied())
    }

    fn windows(encoding: &'static Encoding) -> Self {
        Self::new(|byte| {
            let mut unit = [0u16; 4];
            let mut decoder = encoding.new_decoder_without_bom_handling();
            let (_, _, written, malformed) = decoder.decode_to_utf16(&[byte], &mut unit, true);
            (written == 1 && !malformed).then_some(unit[0])
        })
    }
}

/// How a code page is converted.
enum Converter {
    Single(&'static SingleByte),
    Multi(&'static Encoding),
    Utf8,
    Ascii,
}

macro_rules! single {
    ($make:expr) => {{
        static TABLE: OnceLock<SingleByte> = OnceLock::new();
        Converter::Single(TABLE.get_or_init(|| $make))
    }};
}

impl CodePage {
    /// Windows' number of it, 0 for collations without one (as `COLLATIONPROPERTY` says).
    pub fn number(self) -> u16 {
        match self {
            CodePage::Cp437 => 437,
            CodePage::Cp850 => 850,
            CodePage::Cp874 => 874,
            CodePage::Cp932 => 932,
            CodePage::Cp936 => 936,
            CodePage::Cp949 => 949,
            CodePage::Cp950 => 950,
            CodePage::Cp1250 => 1250,
            CodePage::Cp1251 => 1251,
            CodePage::Cp1252 => 1252,
            CodePage::Cp1253 => 1253,
            CodePage::Cp1254 => 1254,
            CodePage::Cp1255 => 1255,
            CodePage::Cp1256 => 1256,
            CodePage::Cp1257 => 1257,
            CodePage::Cp1258 => 1258,
            CodePage::Utf8 => 65001,
            CodePage::UnicodeOnly => 0,
        }
    }

    fn converter(self) -> Converter {
        match self {
            CodePage::Cp437 => single!(SingleByte::oem(UPPER_437)),
            CodePage::Cp850 => single!(SingleByte::oem(UPPER_850)),
            CodePage::Cp874 => single!(SingleByte::windows(encoding_rs::WINDOWS_874)),
            CodePage::Cp932 => Converter::Multi(encoding_rs::SHIFT_JIS),
            CodePage::Cp936 => Converter::Multi(encoding_rs::GBK),
            CodePage::Cp949 => Converter::Multi(encoding_rs::EUC_KR),
            CodePage::Cp950 => Converter::Multi(encoding_rs::BIG5),
            CodePage::Cp1250 => single!(SingleByte::windows(encoding_rs::WINDOWS_1250)),
            CodePage::Cp1251 => single!(SingleByte::windows(encoding_rs::WINDOWS_1251)),
            CodePage::Cp1252 => single!(SingleByte::windows(encoding_rs::WINDOWS_1252)),
            CodePage::Cp1253 => single!(SingleByte::windows(encoding_rs::WINDOWS_1253)),
            CodePage::Cp1254 => single!(SingleByte::windows(encoding_rs::WINDOWS_1254)),
            CodePage::Cp1255 => single!(SingleByte::windows(encoding_rs::WINDOWS_1255)),
            CodePage::Cp1256 => single!(SingleByte::windows(encoding_rs::WINDOWS_1256)),
            CodePage::Cp1257 => single!(SingleByte::windows(encoding_rs::WINDOWS_1257)),
            CodePage::Cp1258 => single!(SingleByte::windows(encoding_rs::WINDOWS_1258)),
            CodePage::Utf8 => Converter::Utf8,
            CodePage::UnicodeOnly => Converter::Ascii,
        }
    }

    /// Appends the bytes of `text`; a character outside the code page becomes `?`, an unpaired surrogate in UTF-8
    /// U+FFFD, as in SQL Server.
    pub fn encode(self, text: &[u16], out: &mut Vec<u8>) {
        match self.converter() {
            Converter::Single(table) => out.extend(text.iter().map(|&unit| {
                let byte = table.from_utf16[usize::from(unit)];
                if byte == 0 && unit != 0 { b'?' } else { byte }
            })),
            Converter::Multi(encoding) => encode_multi(encoding, text, out),
            Converter::Utf8 => {
                for character in char::decode_utf16(text.iter().copied()) {
                    let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
                    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
            Converter::Ascii => out.extend(
                text.iter()
                    .map(|&unit| if unit < 0x80 { unit as u8 } else { b'?' }),
            ),
        }
    }

    /// Appends the UTF-16 of `bytes`; false when some mean nothing in the code page (U+FFFD stands for them).
    pub fn decode(self, bytes: &[u8], out: &mut Vec<u16>) -> bool {
        match self.converter() {
            Converter::Single(table) => {
                let start = out.len();
                out.extend(bytes.iter().map(|&byte| table.to_utf16[usize::from(byte)]));
                !out[start..].contains(&0xFFFD)
            }
            Converter::Multi(encoding) => decode_with(encoding, bytes, out),
            Converter::Utf8 => decode_with(encoding_rs::UTF_8, bytes, out),
            Converter::Ascii => {
                out.extend(bytes.iter().map(|&byte| match byte {
                    0..0x80 => u16::from(byte),
                    0x80.. => 0xFFFD,
                }));
                bytes.is_ascii()
            }
        }
    }

    /// The bytes of `text`, as [`Self::encode`] makes them.
    pub fn bytes(self, text: &[u16]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        self.encode(text, &mut out);
        out
    }

    /// The UTF-16 of `bytes`, as [`Self::decode`] makes it.
    pub fn text(self, bytes: &[u8]) -> Vec<u16> {
        let mut out = Vec::with_capacity(bytes.len());
        self.decode(bytes, &mut out);
        out
    }

    /// Whether the code page has every character of `text`.
    pub fn has(self, text: &[u16]) -> bool {
        match self.converter() {
            Converter::Single(table) => text
                .iter()
                .all(|&unit| unit == 0 || table.from_utf16[usize::from(unit)] != 0),
            Converter::Multi(encoding) => {
                let mut bytes = vec![0; text.len() * 4 + 16];
                let mut encoder = encoding.new_encoder();
                let (result, read, _) =
                    encoder.encode_from_utf16_without_replacement(text, &mut bytes, true);
                result == encoding_rs::EncoderResult::InputEmpty && read == text.len()
            }
            Converter::Utf8 => char::decode_utf16(text.iter().copied()).all(|c| c.is_ok()),
            Converter::Ascii => text.iter().all(|&unit| unit < 0x80),
        }
    }
}

fn encode_multi(encoding: &'static Encoding, text: &[u16], out: &mut Vec<u8>) {
    let mut encoder = encoding.new_encoder();
    let mut rest = text;
    let mut chunk = [0u8; 512];
    loop {
        let (result, read, written) =
            encoder.encode_from_utf16_without_replacement(rest, &mut chunk, true);
        out.extend_from_slice(&chunk[..written]);
        rest = &rest[read..];
        match result {
            encoding_rs::EncoderResult::InputEmpty => return,
            encoding_rs::EncoderResult::OutputFull => {}
            // A character beyond the basic plane is two UTF-16 units, each of which becomes a mark.
            encoding_rs::EncoderResult::Unmappable(c) => {
                out.extend(std::iter::repeat_n(b'?', c.len_utf16()));
            }
        }
    }
}

fn decode_with(encoding: &'static Encoding, bytes: &[u8], out: &mut Vec<u16>) -> bool {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let mut rest = bytes;
    let mut chunk = [0u16; 256];
    let mut whole = true;
    loop {
        let (result, read, written, malformed) = decoder.decode_to_utf16(rest, &mut chunk, true);
        whole &= !malformed;
        out.extend_from_slice(&chunk[..written]);
        rest = &rest[read..];
        match result {
            CoderResult::InputEmpty => return whole,
            CoderResult::OutputFull => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    fn encoded(page: CodePage, text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        page.encode(&utf16(text), &mut bytes);
        bytes
    }

    fn decoded(page: CodePage, bytes: &[u8]) -> String {
        let mut units = Vec::new();
        page.decode(bytes, &mut units);
        String::from_utf16_lossy(&units)
    }

    #[test]
    fn every_byte_of_the_oem_pages_comes_back() {
        for page in [CodePage::Cp437, CodePage::Cp850] {
            let all: Vec<u8> = (0..=255).collect();
            let mut units = Vec::new();
            page.decode(&all, &mut units);
            assert!(!units.contains(&0xFFFD));
            let mut back = Vec::new();
            page.encode(&units, &mut back);
            assert_eq!(back, all);
        }
        assert_eq!(
            encoded(CodePage::Cp437, "é½█ß≡"),
            [0x82, 0xAB, 0xDB, 0xE1, 0xF0]
        );
        assert_eq!(encoded(CodePage::Cp850, "øÁþ±"), [0x9B, 0xB5, 0xE7, 0xF1]);
    }

    #[test]
    fn characters_take_their_windows_bytes() {
        assert_eq!(encoded(CodePage::Cp1252, "A€é"), [0x41, 0x80, 0xE9]);
        assert_eq!(encoded(CodePage::Cp1251, "Жук"), [0xC6, 0xF3, 0xEA]);
        assert_eq!(encoded(CodePage::Cp932, "日ｱ"), [0x93, 0xFA, 0xB1]);
        assert_eq!(encoded(CodePage::Cp936, "中"), [0xD6, 0xD0]);
        assert_eq!(encoded(CodePage::Cp949, "한"), [0xC7, 0xD1]);
        assert_eq!(encoded(CodePage::Utf8, "é😀"), "é😀".as_bytes());
        assert_eq!(decoded(CodePage::Cp932, &[0x93, 0xFA, 0xB1]), "日ｱ");
    }

    #[test]
    fn strangers_become_question_marks_and_are_told() {
        assert_eq!(encoded(CodePage::Cp1252, "aЖ日"), b"a??");
        assert_eq!(encoded(CodePage::Cp932, "a😀b"), b"a??b");
        assert_eq!(encoded(CodePage::UnicodeOnly, "aé"), b"a?");
        assert!(CodePage::Cp1252.has(&utf16("A€é")));
        assert!(!CodePage::Cp1252.has(&utf16("Ж")));
        assert!(!CodePage::Utf8.has(&[0xD800]));
        assert!(CodePage::Cp932.has(&utf16("日")) && !CodePage::Cp932.has(&utf16("😀")));
    }

    #[test]
    fn long_text_passes_through_the_chunks() {
        let text = "日本語".repeat(1000);
        let bytes = encoded(CodePage::Cp932, &text);
        assert_eq!(bytes.len(), 6000);
        assert_eq!(decoded(CodePage::Cp932, &bytes), text);
        let long = "é".repeat(5000);
        assert_eq!(decoded(CodePage::Utf8, long.as_bytes()), long);
    }
}
