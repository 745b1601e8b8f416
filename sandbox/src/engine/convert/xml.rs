//! White space of `xml` on its way in and out, by the styles of CONVERT.
//!
//! A parser of style 0 leaves out text that is white space and nothing else, unless `xml:space="preserve"` or a
//! character reference keeps it; style 1 keeps all of it. Written as text, such a node gets its last character as a
//! reference, so that any parser keeps it; style 1 writes it as it is. (Microsoft's "Define the serialization of XML
//! data", and "xml styles" of CAST and CONVERT.)

use std::ops::Range;

/// What a part of a document is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Text,
    Cdata,
    /// With what it says about white space.
    Start(Option<bool>),
    End,
    /// An element without content, a comment, an instruction.
    Other,
}

/// Whether a style keeps white space as it is.
pub fn preserves(style: i32) -> bool {
    matches!(style, 1 | 3)
}

/// A document as the server keeps it.
pub fn parsed(text: &[u16], style: i32) -> Vec<u16> {
    let parts = parts(text);
    let mut out = Vec::with_capacity(text.len());
    let mut preserve = vec![preserves(style)];
    for (at, (part, range)) in parts.iter().enumerate() {
        let units = &text[range.clone()];
        let inherited = preserve.last().copied().unwrap_or_default();
        match part {
            Part::Text => match white_space(units).filter(|_| stands_alone(&parts, at)) {
                Some(space) if space.len() < units.len() || inherited => out.extend(space),
                Some(_) => {}
                None => out.extend_from_slice(units),
            },
            Part::Start(space) => {
                // Style 1 makes the default what `preserve` is.
                preserve.push(space.map_or(inherited, |says| says || preserves(style)));
                out.extend_from_slice(units);
            }
            Part::End => {
                preserve.pop();
                out.extend_from_slice(units);
            }
            Part::Cdata | Part::Other => out.extend_from_slice(units),
        }
    }
    out
}

/// A document that the server keeps, as text.
pub fn serialized(document: &[u16], style: i32) -> Vec<u16> {
    if preserves(style) {
        return document.to_vec();
    }
    let parts = parts(document);
    let mut out = Vec::with_capacity(document.len());
    for (at, (part, range)) in parts.iter().enumerate() {
        let units = &document[range.clone()];
        let protects = *part == Part::Text && stands_alone(&parts, at);
        match white_space(units).filter(|_| protects) {
            Some(space) => {
                let (last, before) = space.split_last().unwrap_or((&0x20, &[]));
                out.extend_from_slice(before);
                out.extend(format!("&#x{last:X};").encode_utf16());
            }
            None => out.extend_from_slice(units),
        }
    }
    out
}

/// Text beside a CDATA section is one node with it.
fn stands_alone(parts: &[(Part, Range<usize>)], at: usize) -> bool {
    let is_cdata = |at: Option<usize>| {
        at.and_then(|at| parts.get(at))
            .is_some_and(|(part, _)| *part == Part::Cdata)
    };
    !is_cdata(at.checked_sub(1)) && !is_cdata(Some(at + 1))
}

/// The characters of text that is white space and nothing else, references resolved; a reference makes them fewer
/// than the text's.
fn white_space(units: &[u16]) -> Option<Vec<u16>> {
    let mut space = Vec::new();
    let mut rest = units;
    while let Some((first, after)) = rest.split_first() {
        if *first != u16::from(b'&') {
            space.push(*first);
            rest = after;
            continue;
        }
        let end = find(rest, ";")?;
        let reference = String::from_utf16_lossy(&rest[1..end]);
        let number = reference.strip_prefix('#')?;
        let number = match number.strip_prefix(['x', 'X']) {
            Some(digits) => u16::from_str_radix(digits, 16),
            None => number.parse(),
        };
        space.push(number.ok()?);
        rest = &rest[end + 1..];
    }
    let is_space = |unit: &u16| matches!(*unit, 0x20 | 0x9 | 0xA | 0xD);
    (!space.is_empty() && space.iter().all(is_space)).then_some(space)
}

fn parts(text: &[u16]) -> Vec<(Part, Range<usize>)> {
    let mut parts = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let (part, length) = match find(rest, "<") {
            Some(0) => markup(rest),
            Some(length) => (Part::Text, length),
            None => (Part::Text, rest.len()),
        };
        parts.push((part, at..at + length));
        at += length;
    }
    parts
}

/// The markup that a text starts with, and its length.
fn markup(rest: &[u16]) -> (Part, usize) {
    let starts = |prefix: &str| {
        let prefix: Vec<u16> = prefix.encode_utf16().collect();
        rest.starts_with(&prefix)
    };
    let to = |end: &str| find(rest, end).map_or(rest.len(), |at| at + end.len());
    if starts("<!--") {
        return (Part::Other, to("-->"));
    }
    if starts("<![CDATA[") {
        return (Part::Cdata, to("]]>"));
    }
    if starts("<?") {
        return (Part::Other, to("?>"));
    }
    let length = tag_end(rest);
    if starts("</") {
        return (Part::End, length);
    }
    let tag = String::from_utf16_lossy(&rest[..length]);
    if tag.ends_with("/>") || tag.starts_with("<!") {
        return (Part::Other, length);
    }
    let says = |value: &str| {
        ['"', '\'']
            .iter()
            .any(|quote| tag.contains(&format!("xml:space={quote}{value}{quote}")))
    };
    let space = says("preserve")
        .then_some(true)
        .or(says("default").then_some(false));
    (Part::Start(space), length)
}

/// Where a tag ends; `>` may be in the value of an attribute.
fn tag_end(rest: &[u16]) -> usize {
    let mut quote = None;
    for (at, unit) in rest.iter().enumerate() {
        let c = char::from_u32(u32::from(*unit)).unwrap_or(' ');
        match quote {
            Some(open) if open == c => quote = None,
            Some(_) => {}
            None if c == '>' => return at + 1,
            None if matches!(c, '"' | '\'') => quote = Some(c),
            None => {}
        }
    }
    rest.len()
}

fn find(text: &[u16], what: &str) -> Option<usize> {
    let what: Vec<u16> = what.encode_utf16().collect();
    text.windows(what.len()).position(|window| window == what)
}
