//! Reading a message's bytes in order, never past their end.

use super::packet::WireError;

/// Why bytes could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ParseError {
    /// They end in the middle of something.
    Incomplete,
    Bad(String),
}

impl ParseError {
    pub fn bad(why: impl Into<String>) -> Self {
        Self::Bad(why.into())
    }

    pub fn reason(self) -> String {
        match self {
            Self::Incomplete => "it ends too early".to_owned(),
            Self::Bad(why) => why,
        }
    }

    pub fn of(self, what: &'static str) -> WireError {
        WireError::Malformed {
            what,
            why: self.reason(),
        }
    }
}

pub(super) type Parsed<T> = Result<T, ParseError>;

/// A place in a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.at
    }

    pub fn is_at_end(&self) -> bool {
        self.at == self.data.len()
    }

    pub fn rest(&self) -> &'a [u8] {
        &self.data[self.at..]
    }

    pub fn peek(&self) -> Parsed<u8> {
        self.data
            .get(self.at)
            .copied()
            .ok_or(ParseError::Incomplete)
    }

    pub fn bytes(&mut self, count: usize) -> Parsed<&'a [u8]> {
        let end = self.at.checked_add(count).ok_or(ParseError::Incomplete)?;
        let bytes = self.data.get(self.at..end).ok_or(ParseError::Incomplete)?;
        self.at = end;
        Ok(bytes)
    }

    pub fn array<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    pub fn u8(&mut self) -> Parsed<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u16(&mut self) -> Parsed<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Parsed<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Parsed<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Text after a one-byte count of its characters.
    pub fn b_varchar(&mut self) -> Parsed<String> {
        let characters = usize::from(self.u8()?);
        name(self.bytes(characters * 2)?)
    }

    /// Text after a two-byte count of its characters.
    pub fn us_varchar(&mut self) -> Parsed<String> {
        let characters = usize::from(self.u16()?);
        name(self.bytes(characters * 2)?)
    }

    /// Skips ALL_HEADERS, checking that its parts add up.
    pub fn skip_all_headers(&mut self) -> Parsed<()> {
        let total = self.u32()? as usize;
        let body = total
            .checked_sub(4)
            .ok_or_else(|| ParseError::bad("ALL_HEADERS shorter than its own length"))?;
        let mut headers = Cursor::new(self.bytes(body)?);
        while !headers.is_at_end() {
            let length = headers.u32()? as usize;
            let rest = length
                .checked_sub(4)
                .ok_or_else(|| ParseError::bad("a header shorter than its own length"))?;
            headers.bytes(rest)?;
        }
        Ok(())
    }
}

/// UTF-16LE bytes as code units.
pub(super) fn units(bytes: &[u8]) -> Parsed<Vec<u16>> {
    if !bytes.len().is_multiple_of(2) {
        return Err(ParseError::bad("UTF-16 of an odd number of bytes"));
    }
    Ok(bytes
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect())
}

/// UTF-16LE bytes of a name or of SQL text, which must be whole: a lone surrogate in it would be changed silently.
pub(super) fn name(bytes: &[u8]) -> Parsed<String> {
    String::from_utf16(&units(bytes)?).map_err(|_| {
        ParseError::bad("text with an unpaired surrogate; send such data as a parameter")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_must_add_up() {
        let good = [
            22, 0, 0, 0, 18, 0, 0, 0, 2, 0, 1, 2, 3, 4, 5, 6, 7, 8, 1, 0, 0, 0, 9,
        ];
        let mut cursor = Cursor::new(&good);
        cursor.skip_all_headers().unwrap();
        assert_eq!(cursor.rest(), [9]);
        for bad in [
            &[3u8, 0, 0, 0][..],
            &[8, 0, 0, 0, 1, 0, 0, 0],
            &[255, 255, 255, 255],
            &[8, 0, 0, 0, 9, 0, 0, 0],
        ] {
            assert!(Cursor::new(bad).skip_all_headers().is_err());
        }
    }

    #[test]
    fn text_is_whole_or_refused() {
        assert_eq!(name(&[0x41, 0, 0x3D, 0xD8, 0, 0xDE]).unwrap(), "A😀");
        assert!(name(&[0, 0xD8]).is_err());
        assert!(name(&[0x41]).is_err());
    }
}
