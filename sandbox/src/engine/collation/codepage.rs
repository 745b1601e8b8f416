//! Code pages: which characters each holds, and in how many bytes.

use encoding_rs::Encoding;
use std::sync::Arc;

/// Every code page that a collation here may name. 0 stands for collations without one (Unicode only).
pub const SUPPORTED: [u16; 18] = [
    437, 850, 874, 932, 936, 949, 950, 1250, 1251, 1252, 1253, 1254, 1255, 1256, 1257, 1258, 65001,
    0,
];

/// The upper halves of the two DOS code pages.
const CP437: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■ ";
const CP850: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜø£Ø×ƒáíóúñÑªº¿®¬½¼¡«»░▒▓│┤ÁÂÀ©╣║╗╝¢¥┐└┴┬├─┼ãÃ╚╔╩╦╠═╬¤ðÐÊËÈıÍÎÏ┘┌█▄¦Ì▀ÓßÔÒõÕµþÞÚÛÙýÝ¯´\u{AD}±‗¾¶§÷¸°¨·¹³²■ ";

fn encoding(page: u16) -> Option<&'static Encoding> {
    Some(match page {
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

fn dos(page: u16) -> Option<&'static str> {
    match page {
        437 => Some(CP437),
        850 => Some(CP850),
        _ => None,
    }
}

/// The bytes of one character, or none when the page lacks it.
fn encode_char(page: u16, c: char, out: &mut Vec<u8>) -> bool {
    if c.is_ascii() {
        out.push(c as u8);
        return true;
    }
    let mut buffer = [0u8; 4];
    let text = c.encode_utf8(&mut buffer);
    if page == 65001 {
        out.extend_from_slice(text.as_bytes());
        return true;
    }
    if let Some(table) = dos(page) {
        let found = table.chars().position(|candidate| candidate == c);
        if let Some(index) = found {
            out.push(0x80 + index as u8);
        }
        return found.is_some();
    }
    let Some(encoding) = encoding(page) else {
        return false;
    };
    let mut encoder = encoding.new_encoder();
    let mut bytes = [0u8; 8];
    let (result, _, written) = encoder.encode_from_utf8_without_replacement(text, &mut bytes, true);
    if result != encoding_rs::EncoderResult::InputEmpty {
        return false;
    }
    out.extend_from_slice(&bytes[..written]);
    true
}

/// The text in the code page, `?` for what it lacks (an unpaired surrogate too).
pub fn encode_bytes(page: u16, text: &[u16]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for decoded in char::decode_utf16(text.iter().copied()) {
        let c = decoded.unwrap_or('?');
        if !encode_char(page, c, &mut out) {
            out.push(b'?');
        }
    }
    out
}

/// The characters that bytes stand for in the code page.
pub fn decode_bytes(page: u16, bytes: &[u8]) -> Arc<[u16]> {
    if bytes.is_ascii() {
        return bytes.iter().map(|byte| u16::from(*byte)).collect();
    }
    if let Some(table) = dos(page) {
        let high: Vec<char> = table.chars().collect();
        return bytes
            .iter()
            .map(|byte| match byte {
                0..=0x7F => u16::from(*byte),
                _ => high
                    .get(usize::from(*byte) - 0x80)
                    .map_or(0x3F, |c| *c as u16),
            })
            .collect();
    }
    match encoding(page) {
        Some(encoding) => {
            let (text, _) = encoding.decode_without_bom_handling(bytes);
            text.encode_utf16().collect()
        }
        None => String::from_utf8_lossy(bytes).encode_utf16().collect(),
    }
}

/// The length in bytes of text that the page holds.
pub fn byte_length(page: u16, text: &[u16]) -> usize {
    let single = matches!(page, 437 | 850 | 874 | 1250..=1258);
    if single {
        return text.len();
    }
    encode_bytes(page, text).len()
}

/// The text with `?` for each character that the page lacks.
pub fn narrow(page: u16, text: &[u16]) -> Arc<[u16]> {
    let mut out = Vec::with_capacity(text.len());
    let mut scratch = Vec::new();
    for decoded in char::decode_utf16(text.iter().copied()) {
        let c = match decoded {
            Ok(c) if encode_char(page, c, &mut scratch) => c,
            // A character outside the basic plane is two UTF-16 units and becomes two marks.
            Ok(c) => {
                if u32::from(c) > 0xFFFF {
                    out.push(u16::from(b'?'));
                }
                '?'
            }
            Err(_) => '?',
        };
        scratch.clear();
        let mut buffer = [0u16; 2];
        out.extend_from_slice(c.encode_utf16(&mut buffer));
    }
    out.into()
}
