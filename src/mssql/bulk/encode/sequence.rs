//! Text and bytes, which have a length of their own.

use super::super::page::Page;
use super::refusal::Refusal;
use crate::mssql::error::LostCharacter;
use crate::mssql::rows::append_as_utf16;
use crate::secret::RowValue;

/// Of a text that is named in a message.
const EXAMPLE_CHARACTERS: usize = 100;

/// The units of a text.
pub(super) fn utf16(text: &str, out: &mut Vec<u8>) -> Result<(), Refusal> {
    append_as_utf16(text, out);
    Ok(())
}

/// The bytes as they are.
pub(super) fn plain(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
    out.extend_from_slice(bytes);
    Ok(())
}

pub(super) fn nvarchar(text: &str, length: u16, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let start = out.len();
    out.extend_from_slice(&[0, 0]);
    append_as_utf16(text, out);
    let bytes = out.len() - start - 2;
    if bytes > 2 * usize::from(length) {
        return Err(format!("the text has {} characters (UTF-16)", bytes / 2).into());
    }
    // At most 8000.
    out[start..start + 2].copy_from_slice(&(bytes as u16).to_le_bytes());
    Ok(())
}

/// A text of a fixed length, filled up with spaces as the server does.
pub(super) fn nchar(text: &str, length: u16, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let start = out.len();
    nvarchar(text, length, out)?;
    let end = start + 2 + 2 * usize::from(length);
    out[start..start + 2].copy_from_slice(&(2 * length).to_le_bytes());
    while out.len() < end {
        out.extend_from_slice(&[b' ', 0]);
    }
    Ok(())
}

/// A text in a code page.
pub(super) fn paged(text: &str, page: Page, out: &mut Vec<u8>) -> Result<(), Refusal> {
    page.append(text, out).map_err(|character| {
        LostCharacter {
            column: String::new(),
            code_page: page.number(),
            character,
            text: RowValue(text.chars().take(EXAMPLE_CHARACTERS).collect()),
            is_certain: page.is_whole(),
        }
        .into()
    })
}

pub(super) fn varchar(
    text: &str,
    page: Page,
    length: u16,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let start = out.len();
    out.extend_from_slice(&[0, 0]);
    paged(text, page, out)?;
    let bytes = out.len() - start - 2;
    if bytes > usize::from(length) {
        let page = page.number();
        return Err(format!("the text has {bytes} bytes in code page {page}").into());
    }
    // At most 8000.
    out[start..start + 2].copy_from_slice(&(bytes as u16).to_le_bytes());
    Ok(())
}

/// As [`varchar`], filled up with spaces.
pub(super) fn fixed(text: &str, page: Page, length: u16, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let start = out.len();
    varchar(text, page, length, out)?;
    out[start..start + 2].copy_from_slice(&length.to_le_bytes());
    out.resize(start + 2 + usize::from(length), b' ');
    Ok(())
}

pub(super) fn varbinary(bytes: &[u8], length: u16, out: &mut Vec<u8>) -> Result<(), Refusal> {
    if bytes.len() > usize::from(length) {
        return Err(format!("the value has {} bytes", bytes.len()).into());
    }
    // At most 8000.
    out.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

/// A value of a fixed length, filled up with zeros as the server does.
pub(super) fn binary(bytes: &[u8], length: u16, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let start = out.len();
    varbinary(bytes, length, out)?;
    out[start..start + 2].copy_from_slice(&length.to_le_bytes());
    out.resize(start + 2 + usize::from(length), 0);
    Ok(())
}

/// A `max` value: its total length, one chunk unless it is empty, and the terminator.
pub(super) fn chunked(
    out: &mut Vec<u8>,
    append: impl FnOnce(&mut Vec<u8>) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let start = out.len();
    out.extend_from_slice(&[0; 12]);
    append(out)?;
    let bytes = out.len() - start - 12;
    let Some(length) = u32::try_from(bytes).ok().filter(|&length| length < 1 << 31) else {
        return Err("the value is longer than 2 GiB".into());
    };
    out[start..start + 8].copy_from_slice(&u64::from(length).to_le_bytes());
    if length == 0 {
        // The four bytes of the chunk's length are the terminator.
        return Ok(());
    }
    out[start + 8..start + 12].copy_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    Ok(())
}
