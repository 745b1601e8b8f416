//! Collations: what two strings compare as, and which characters a `varchar` can hold.
//!
//! Comparison goes through a sort key: bytes whose plain order is the collation's order, equal exactly when the
//! strings are equal under it. Trailing spaces never count (ANSI padding). The same keys order indexes and feed
//! hash joins, so that a unique index, GROUP BY and `=` cannot disagree.
//!
//! | text | order |
//! |---|---|
//! | `nvarchar`; `varchar` under a Windows collation | words: hyphen and apostrophe are minor, `ß` is `ss` |
//! | `varchar` under a `SQL_` collation | one character after another, each with its own place |
//! | `nvarchar` under a binary collation | code units (`_BIN`: only the first, then stored bytes) |
//! | `varchar` under a binary collation | bytes of the code page |

mod keys;
mod tailoring;
mod weights;

use crate::collation::{CollationInfo, DEFAULT};
use crate::engine::fault::error;
use crate::engine::types;
use crate::session::SqlError;
use crate::value::{Collation, SqlType};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use weights::Element;

const SPACE: u16 = b' ' as u16;

/// A collation by name, with what the name says.
#[derive(Debug, PartialEq, Eq)]
pub struct Collate {
    pub name: Collation,
    pub info: CollationInfo,
    order: Order,
    /// As which it orders `char` and `varchar`, where that is another order.
    narrow: Option<Arc<Collate>>,
}

/// How texts are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// As Windows orders words, for Unicode text and under Windows collations.
    Words,
    /// By the sort order of a `SQL_` collation.
    Table,
    /// `_BIN2`: by code unit.
    Units,
    /// `_BIN`: the first by code unit, what follows by the bytes as they are stored.
    FirstUnit,
    /// By the bytes of the code page.
    Bytes,
}

static KNOWN: LazyLock<Mutex<HashMap<String, Arc<Collate>>>> = LazyLock::new(Mutex::default);

impl Collate {
    /// Error 448 for a name that is not a collation.
    pub fn named(name: &str) -> Result<Arc<Self>, SqlError> {
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(name) {
            return Ok(found.clone());
        }
        let info = CollationInfo::of(name)
            .ok_or_else(|| error(448, 16, format!("Invalid collation '{name}'.")))?;
        let (order, narrow) = orders(&info);
        let of = |order, narrow| {
            Arc::new(Collate {
                name: Collation(name.into()),
                info,
                order,
                narrow,
            })
        };
        let parsed = of(order, narrow.map(|narrow| of(narrow, None)));
        known.insert(name.to_string(), parsed.clone());
        Ok(parsed)
    }

    /// The server's default.
    pub fn server() -> Arc<Self> {
        static SERVER: LazyLock<Arc<Collate>> =
            LazyLock::new(|| Collate::named(DEFAULT).expect("the default is in the tables"));
        SERVER.clone()
    }

    /// The collation as it orders values of a type: under `SQL_` and binary collations `varchar` has an order of its
    /// own.
    pub fn of<'a>(self: &'a Arc<Self>, ty: &SqlType) -> &'a Arc<Self> {
        match &self.narrow {
            Some(narrow) if types::is_character(ty) && !types::is_unicode(ty) => narrow,
            Some(_) | None => self,
        }
    }

    /// Appends the sort key of `text`. Self-delimiting: no key is a prefix of another's.
    pub fn sort_key(&self, text: &[u16], out: &mut Vec<u8>) {
        let text = keys::trimmed(text);
        match self.order {
            Order::Words => keys::words(&self.info, text, out),
            Order::Table => keys::table(&self.info, text, out),
            Order::Units => keys::padded(text, SPACE, out),
            Order::FirstUnit => {
                let (first, rest) = text.split_first().unwrap_or((&SPACE, &[]));
                out.extend_from_slice(&first.to_be_bytes());
                let rest: Vec<u16> = rest.iter().map(|unit| unit.swap_bytes()).collect();
                keys::padded(&rest, SPACE.swap_bytes(), out);
            }
            Order::Bytes if is_ascii(text) => keys::padded(text, SPACE, out),
            Order::Bytes => {
                let bytes = self.info.code_page.bytes(text);
                let codes: Vec<u16> = bytes.into_iter().map(u16::from).collect();
                keys::padded(&codes, SPACE, out);
            }
        }
    }

    /// The order of two strings: that of their sort keys.
    pub fn compare(&self, left: &[u16], right: &[u16]) -> Ordering {
        if left == right {
            return Ordering::Equal;
        }
        let (a, b) = (keys::trimmed(left), keys::trimmed(right));
        let both_ascii = || is_ascii(a) && is_ascii(b);
        match self.order {
            Order::Words => keys::words_order(&self.info, a, b),
            Order::Table if self.info.ignores_case() && !self.is_tailored() && both_ascii() => {
                let weight = |unit| keys::table_weight(unit, None);
                Some(keys::padded_order(a, b, weight(SPACE), weight))
            }
            Order::Units => Some(keys::padded_order(a, b, SPACE, |unit| unit)),
            Order::Bytes if both_ascii() => Some(keys::padded_order(a, b, SPACE, |unit| unit)),
            Order::Table | Order::FirstUnit | Order::Bytes => None,
        }
        .unwrap_or_else(|| {
            let (mut x, mut y) = (Vec::new(), Vec::new());
            self.sort_key(a, &mut x);
            self.sort_key(b, &mut y);
            x.cmp(&y)
        })
    }

    /// Whether two code units are the same character to this collation (for LIKE, CHARINDEX, REPLACE).
    pub fn same_unit(&self, left: u16, right: u16) -> bool {
        if left == right {
            return true;
        }
        match self.order {
            Order::Units | Order::FirstUnit | Order::Bytes => false,
            Order::Words | Order::Table if !self.is_tailored() && left < 0x80 && right < 0x80 => {
                self.info.ignores_case() && (left as u8).eq_ignore_ascii_case(&(right as u8))
            }
            // Neither a character without weight nor one of little weight is another.
            Order::Words => match (self.element(left), self.element(right)) {
                (Some(a), Some(b)) => a == b,
                (None, _) | (_, None) => false,
            },
            Order::Table => self.compare(&[left], &[right]) == Ordering::Equal,
        }
    }

    /// The key of a letter, without what makes no difference here.
    fn element(&self, unit: u16) -> Option<Vec<u8>> {
        match weights::element(unit, &self.info) {
            Element::Letter { .. } => {
                let mut key = Vec::with_capacity(8);
                keys::words(&self.info, &[unit], &mut key);
                Some(key)
            }
            Element::Weightless | Element::Minor(_) | Element::Mark(_) => None,
        }
    }

    /// How many units of each text are the same at their starts: one and one, one and the two that it stands for (`ß`
    /// and `ss`), or those of two that are one letter.
    pub fn same_start(&self, left: &[u16], right: &[u16]) -> Option<(usize, usize)> {
        let (a, b) = (*left.first()?, *right.first()?);
        let (x, y) = (self.letter(left), self.letter(right));
        if x > 1 || y > 1 {
            let same = self.compare(&left[..x], &right[..y]) == Ordering::Equal;
            return same.then_some((x, y));
        }
        if self.same_unit(a, b) {
            return Some((1, 1));
        }
        let stands_for = |one: u16, two: &[u16]| {
            let pair = self.expansion(one)?;
            let [x, y, ..] = two else { return None };
            (self.same_unit(pair[0], *x) && self.same_unit(pair[1], *y)).then_some(())
        };
        match (stands_for(a, right), stands_for(b, left)) {
            (Some(()), _) => Some((1, 2)),
            (None, Some(())) => Some((2, 1)),
            (None, None) => None,
        }
    }

    fn expansion(&self, unit: u16) -> Option<[u16; 2]> {
        match self.order {
            Order::Words => weights::expansion(unit, self.info.lcid),
            Order::Table | Order::Units | Order::FirstUnit | Order::Bytes => None,
        }
    }

    /// The language places letters elsewhere than the Latin alphabet does.
    fn is_tailored(&self) -> bool {
        tailoring::of(self.info.lcid).is_some()
    }

    /// How many units the letter at the start of `text` has: two where the language takes a pair for one letter.
    pub fn letter(&self, text: &[u16]) -> usize {
        match self.order {
            Order::Words => tailoring::of(self.info.lcid).map_or(1, |own| own.units(text)),
            Order::Table | Order::Units | Order::FirstUnit | Order::Bytes => 1,
        }
    }

    /// The capital of a letter, when the language has one of its own.
    pub fn own_upper(&self, unit: u16) -> Option<u16> {
        tailoring::upper(self.info.lcid, unit)
    }

    /// The small letter of a capital, when the language has one of its own.
    pub fn own_lower(&self, unit: u16) -> Option<u16> {
        tailoring::lower(self.info.lcid, unit)
    }

    /// How many units the character at the start of `text` has.
    pub fn character(&self, text: &[u16]) -> usize {
        match text {
            [0xD800..=0xDBFF, 0xDC00..=0xDFFF, ..] if self.info.supplementary => 2,
            [] => 0,
            _ => 1,
        }
    }

    /// How many characters `text` has.
    pub fn count(&self, text: &[u16]) -> usize {
        if !self.info.supplementary {
            return text.len();
        }
        let (mut at, mut count) = (0, 0);
        while at < text.len() {
            at += self.character(&text[at..]);
            count += 1;
        }
        count
    }

    /// Where the character after `count` others starts; the end of the text when it has no more.
    pub fn place(&self, text: &[u16], count: usize) -> usize {
        if !self.info.supplementary {
            return count.min(text.len());
        }
        let mut at = 0;
        for _ in 0..count {
            let units = self.character(&text[at..]);
            if units == 0 {
                break;
            }
            at += units;
        }
        at
    }

    /// How many bytes the text takes in this collation's code page.
    pub fn byte_length(&self, text: &[u16]) -> usize {
        if text.iter().all(|unit| *unit < 0x80) {
            return text.len();
        }
        self.info.code_page.bytes(text).len()
    }

    /// Replaces what the code page lacks with `?`, as conversion to `varchar` does.
    pub fn narrow(&self, text: &Arc<[u16]>) -> Arc<[u16]> {
        if text.iter().all(|unit| *unit < 0x80) {
            return text.clone();
        }
        let page = self.info.code_page;
        page.text(&page.bytes(text)).into()
    }
}

/// How a collation orders Unicode text, and `varchar` where that differs.
fn orders(info: &CollationInfo) -> (Order, Option<Order>) {
    if info.is_old_binary() {
        (Order::FirstUnit, Some(Order::Bytes))
    } else if info.is_binary() {
        (Order::Units, Some(Order::Bytes))
    } else if info.sort_id != 0 {
        (Order::Words, Some(Order::Table))
    } else {
        (Order::Words, None)
    }
}

fn is_ascii(text: &[u16]) -> bool {
    text.iter().all(|unit| *unit < 0x80)
}

#[cfg(test)]
mod tests;
