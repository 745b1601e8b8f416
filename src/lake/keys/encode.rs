//! Keys in memory: normalised, encoded, and collected per output file.
//!
//! A key is the row encoding (`arrow-row`) of its folded columns: equal keys have equal bytes, NULL is a value of
//! its own, and the order of the bytes is the order of the columns. A [`KeySet`] holds the bytes end to end and is
//! exact: hashes only say where to look. While keys arrive in ascending order, as they do from a clustered index,
//! no hash table is built at all: ascending keys cannot repeat.

use crate::lake::error::{LakeError, Result};
use crate::lake::schema::Shape;
use crate::schema::{KeyFold, LakeType};
use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, BinaryArray, StringArray};
use arrow_row::{Row, RowConverter, Rows, SortField};
use arrow_schema::DataType;
use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;
use twox_hash::XxHash3_64;

/// Encodes key columns.
pub(in crate::lake) struct KeyEncoder {
    folds: Vec<KeyFold>,
    types: Vec<DataType>,
    rows: RowConverter,
}

impl KeyEncoder {
    pub(in crate::lake) fn new(shape: &Shape) -> Result<Self> {
        let key = &shape.schema.key;
        let types: Vec<DataType> = key
            .iter()
            .map(|key| shape.arrow.field(key.field).data_type().clone())
            .collect();
        let sort = types.iter().cloned().map(SortField::new).collect();
        Ok(Self {
            folds: key.iter().map(|key| key.fold).collect(),
            rows: RowConverter::new(sort).map_err(LakeError::arrow("keys"))?,
            types,
        })
    }

    /// Encodes keys as they are: keys that the lake takes for one have bytes of their own.
    pub(in crate::lake) fn unfolded(shape: &Shape) -> Result<Self> {
        let mut encoder = Self::new(shape)?;
        encoder.folds.fill(KeyFold::default());
        Ok(encoder)
    }

    /// Encodes the key columns of a batch, given in key order.
    pub(in crate::lake) fn encode(&self, columns: &[ArrayRef]) -> Result<Rows> {
        let folded: Vec<ArrayRef> = columns
            .iter()
            .zip(&self.folds)
            .map(|(column, fold)| folded(column, *fold))
            .collect();
        self.rows
            .convert_columns(&folded)
            .map_err(LakeError::arrow("keys"))
    }

    /// Copies keys that this encoder has encoded.
    pub(in crate::lake) fn copied<'k>(&self, keys: impl Iterator<Item = Row<'k>>) -> Rows {
        let mut copy = self.rows.empty_rows(keys.size_hint().0, 0);
        keys.for_each(|key| copy.push(key));
        copy
    }

    /// Decodes encoded keys; the columns are folded.
    pub(in crate::lake) fn decode<'a>(
        &self,
        keys: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Vec<ArrayRef>> {
        let parser = self.rows.parser();
        self.rows
            .convert_rows(keys.map(|key| parser.parse(key)))
            .map_err(LakeError::arrow("keys"))
    }

    pub(in crate::lake) fn types(&self) -> &[DataType] {
        &self.types
    }
}

/// The column with values that count as one key made equal.
fn folded(column: &ArrayRef, fold: KeyFold) -> ArrayRef {
    if let Some(bytes) = column.as_binary_opt::<i32>() {
        let folded = |value| without_zeros(value);
        return match fold.zeros {
            true => Arc::new(BinaryArray::from_iter(
                bytes.iter().map(|value| value.map(folded)),
            )),
            false => column.clone(),
        };
    }
    let Some(text) = column.as_string_opt::<i32>() else {
        return column.clone();
    };
    if !fold.trim && !fold.ascii_case {
        return column.clone();
    }
    let one = |value: &str| {
        let value = if fold.trim {
            value.trim_end_matches(' ')
        } else {
            value
        };
        if fold.ascii_case {
            value.to_ascii_lowercase()
        } else {
            value.to_owned()
        }
    };
    let folded: StringArray = text.iter().map(|value| value.map(one)).collect();
    Arc::new(folded)
}

/// Whether two values that are one key can have different bytes.
pub(in crate::lake) fn folds(ty: LakeType, fold: KeyFold) -> bool {
    match ty {
        LakeType::String => fold.trim || fold.ascii_case,
        LakeType::Binary => fold.zeros,
        LakeType::Boolean
        | LakeType::Int
        | LakeType::Long
        | LakeType::Float
        | LakeType::Double
        | LakeType::Decimal { .. }
        | LakeType::Date
        | LakeType::Time
        | LakeType::Timestamp
        | LakeType::TimestampTz
        | LakeType::Uuid
        | LakeType::Fixed(_) => false,
    }
}

/// Bytes without the zeros at their end, which do not count in a `varbinary`.
fn without_zeros(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|&byte| byte != 0);
    &bytes[..end.map_or(0, |last| last + 1)]
}

/// The narrowest interval (nearly) that holds the folded form of every text between two texts.
///
/// All texts in between start with what the two have in common. At the first difference the text is free between
/// the two bytes; further on it is bound from below only if it took the lower byte, and from above only if it took
/// the upper one. A bound is followed as long as folding cannot carry a text across it: not past a capital below,
/// as `[` to `` ` `` sort between capitals and small letters, and not past a byte from `[` to `z` above. Trailing
/// spaces make a key smaller than its text, but never smaller than a bound without trailing spaces and control
/// characters.
///
/// Bytes that lose the zeros at their end keep their order: one is below another as both are with endless zeros behind
/// them.
pub(in crate::lake) fn folded_bounds(
    lower: &[u8],
    upper: &[u8],
    fold: KeyFold,
) -> (Vec<u8>, Vec<u8>) {
    if fold.zeros {
        return (without_zeros(lower).to_vec(), without_zeros(upper).to_vec());
    }
    let small = |byte: u8| {
        if fold.ascii_case {
            byte.to_ascii_lowercase()
        } else {
            byte
        }
    };
    let common = lower.iter().zip(upper).take_while(|(a, b)| a == b).count();
    let prefix: Vec<u8> = lower[..common].iter().map(|&byte| small(byte)).collect();
    let (mut low, mut high) = (prefix.clone(), prefix);
    let last = upper.get(common).copied();
    for (at, &byte) in lower.iter().enumerate().skip(common) {
        let top = if at == common {
            last.unwrap_or(byte)
        } else {
            u8::MAX
        };
        let least = (byte..=top.max(byte)).map(small).min().unwrap_or(byte);
        low.push(least);
        if small(byte) != byte {
            break;
        }
    }
    for (at, &byte) in upper.iter().enumerate().skip(common) {
        let bottom = if at == common {
            lower.get(common).copied()
        } else {
            None
        };
        let range = bottom.unwrap_or(0).min(byte)..=byte;
        let greatest = range.clone().map(small).max().unwrap_or(byte);
        high.push(greatest);
        // Followed only if no other byte folds as high.
        if range
            .clone()
            .any(|other| other != byte && small(other) == greatest)
        {
            break;
        }
    }
    if fold.trim {
        let end = low
            .iter()
            .position(|&byte| byte < b' ')
            .unwrap_or(low.len());
        low.truncate(end);
        while low.last() == Some(&b' ') {
            low.pop();
        }
    }
    // Above every text that continues the bound: no text has this byte.
    high.push(u8::MAX);
    (low, high)
}

/// State of a key in a [`KeySet`]: the position of its row in the output file, or that the key is to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lake) enum KeyState {
    Row(u32),
    Deleted,
}

const DELETED: u32 = u32::MAX;
const EMPTY: u32 = u32::MAX;

/// Distinct keys with the state each was given last.
#[derive(Default)]
pub(in crate::lake) struct KeySet {
    bytes: Vec<u8>,
    /// End of each key in `bytes`.
    ends: Vec<u32>,
    states: Vec<u32>,
    /// Open-addressed table of key numbers; empty while keys arrive in ascending order.
    slots: Vec<u32>,
    unordered: bool,
    /// Key numbers in key order; made by [`KeySet::seal`] and only when they did not arrive in it.
    order: Vec<u32>,
}

impl KeySet {
    pub(in crate::lake) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(in crate::lake) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Whether the keys came in ascending order, each once.
    pub(in crate::lake) fn is_ascending(&self) -> bool {
        !self.unordered
    }

    /// Bytes held, about.
    pub(in crate::lake) fn bytes(&self) -> usize {
        self.bytes.len() + 4 * (self.ends.len() + self.states.len() + self.slots.len())
    }

    pub(in crate::lake) fn key(&self, number: usize) -> &[u8] {
        let start = number
            .checked_sub(1)
            .map_or(0, |before| self.ends[before] as usize);
        &self.bytes[start..self.ends[number] as usize]
    }

    pub(in crate::lake) fn state(&self, number: usize) -> KeyState {
        match self.states[number] {
            DELETED => KeyState::Deleted,
            row => KeyState::Row(row),
        }
    }

    /// Gives a key its state; returns the one it had.
    pub(in crate::lake) fn insert(&mut self, key: &[u8], state: KeyState) -> Option<KeyState> {
        let state = match state {
            KeyState::Row(row) => row,
            KeyState::Deleted => DELETED,
        };
        if !self.unordered {
            match self
                .len()
                .checked_sub(1)
                .map(|last| self.key(last).cmp(key))
            {
                None | Some(Ordering::Less) => {
                    self.push(key, state);
                    return None;
                }
                Some(Ordering::Equal | Ordering::Greater) => self.index(),
            }
        }
        match self.slot(key) {
            Ok(number) => {
                let before = self.state(number);
                self.states[number] = state;
                Some(before)
            }
            Err(mut slot) => {
                if (self.len() + 1) * 2 > self.slots.len() {
                    self.grow(4);
                    slot = self.slot(key).err().unwrap_or(slot);
                }
                self.slots[slot] = self.len() as u32;
                self.push(key, state);
                None
            }
        }
    }

    fn push(&mut self, key: &[u8], state: u32) {
        self.bytes.extend_from_slice(key);
        // The writer rolls its file far below 4 GB of keys.
        self.ends.push(self.bytes.len() as u32);
        self.states.push(state);
    }

    /// Builds the table; from here on keys may arrive in any order.
    fn index(&mut self) {
        self.unordered = true;
        self.grow(4);
    }

    /// Makes the table anew with at least this many slots a key.
    fn grow(&mut self, slots_a_key: usize) {
        let slots = ((self.len() + 1) * slots_a_key).next_power_of_two().max(64);
        self.slots = vec![EMPTY; slots];
        for number in 0..self.len() {
            let mut slot = hash(self.key(number)) as usize & (slots - 1);
            while self.slots[slot] != EMPTY {
                slot = (slot + 1) & (slots - 1);
            }
            self.slots[slot] = number as u32;
        }
    }

    /// The number of a key, or the slot where it belongs.
    fn slot(&self, key: &[u8]) -> std::result::Result<usize, usize> {
        let mask = self.slots.len() - 1;
        let mut slot = hash(key) as usize & mask;
        loop {
            match self.slots[slot] {
                EMPTY => return Err(slot),
                number if self.key(number as usize) == key => return Ok(number as usize),
                _ => slot = (slot + 1) & mask,
            }
        }
    }

    /// Makes [`KeySet::find`] and [`KeySet::between`] available; nothing may be inserted after it.
    pub(in crate::lake) fn seal(&mut self) {
        if self.unordered {
            let mut order: Vec<u32> = (0..self.len() as u32).collect();
            order.sort_unstable_by(|&a, &b| self.key(a as usize).cmp(self.key(b as usize)));
            self.order = order;
        }
        if self.slots.is_empty() {
            self.grow(2);
        }
    }

    /// The number of a key. Only after [`KeySet::seal`] or once keys arrived out of order.
    pub(in crate::lake) fn find(&self, key: &[u8]) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        self.slot(key).ok()
    }

    /// Whether the key is in the set, sealed or not.
    pub(in crate::lake) fn contains(&mut self, key: &[u8]) -> bool {
        if self.slots.is_empty() {
            self.index();
        }
        self.find(key).is_some()
    }

    /// Number of the key at a rank in key order.
    pub(in crate::lake) fn ranked(&self, rank: usize) -> usize {
        match self.order.get(rank) {
            Some(&number) => number as usize,
            None => rank,
        }
    }

    /// Ranks of the keys whose first column lies between two encoded values, both included.
    pub(in crate::lake) fn between(&self, lower: &[u8], upper: &[u8]) -> Range<usize> {
        let key = |rank: usize| self.key(self.ranked(rank));
        let first = partition_point(self.len(), |rank| key(rank) < lower);
        let end = partition_point(self.len(), |rank| {
            let key = key(rank);
            &key[..key.len().min(upper.len())] <= upper
        });
        first..end.max(first)
    }
}

/// The first rank for which `before` is false.
fn partition_point(len: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

fn hash(key: &[u8]) -> u64 {
    XxHash3_64::oneshot(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn folding_trims_and_ignores_ascii_case_only_where_asked() {
        let column: ArrayRef = Arc::new(StringArray::from(vec![Some("Ab \t "), None, Some("É ")]));
        let fold = |trim, ascii_case| {
            let folded = folded(
                &column,
                KeyFold {
                    trim,
                    ascii_case,
                    zeros: false,
                },
            );
            let values = folded.as_string::<i32>().iter();
            values.map(|v| v.map(str::to_owned)).collect::<Vec<_>>()
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(fold(true, true), [some("ab \t"), None, some("É")]);
        assert_eq!(fold(true, false), [some("Ab \t"), None, some("É")]);
        assert_eq!(fold(false, true), [some("ab \t "), None, some("É ")]);
        assert_eq!(fold(false, false), [some("Ab \t "), None, some("É ")]);
    }

    #[test]
    fn ordered_digits_keep_a_folded_interval_narrow() {
        let fold = KeyFold {
            trim: true,
            ascii_case: true,
            zeros: false,
        };
        let (low, high) = folded_bounds(b"K-0120", b"K-0199  ", fold);
        assert_eq!(low, b"k-0120");
        assert_eq!(high, b"k-0199  \xFF");
        let (low, high) = folded_bounds(b"KAB", b"KZ", fold);
        assert_eq!((low, high), (b"ka".to_vec(), b"kz\xFF".to_vec()));
    }

    #[test]
    fn zeros_at_the_end_of_bytes_do_not_count_where_asked() {
        let bytes: [Option<&[u8]>; 5] = [
            Some(b"\x01\x00\x00"),
            Some(b"\x01"),
            Some(b"\x00"),
            Some(b""),
            None,
        ];
        let column: ArrayRef = Arc::new(BinaryArray::from(bytes.to_vec()));
        let fold = KeyFold {
            zeros: true,
            ..KeyFold::default()
        };
        let values = folded(&column, fold);
        let values: Vec<_> = values.as_binary::<i32>().iter().collect();
        let (one, none): (&[u8], &[u8]) = (b"\x01", b"");
        assert_eq!(values, [Some(one), Some(one), Some(none), Some(none), None]);
        assert_eq!(&folded(&column, KeyFold::default()), &column);
        let bounds = folded_bounds(b"\x01\x00", b"\x02\x05\x00", fold);
        assert_eq!(bounds, (b"\x01".to_vec(), b"\x02\x05".to_vec()));
    }

    proptest! {
        /// So a value between two bounds stays between them.
        #[test]
        fn bytes_without_zeros_keep_their_order(
            a in proptest::collection::vec(0_u8..3, 0..5),
            b in proptest::collection::vec(0_u8..3, 0..5),
        ) {
            if a <= b {
                prop_assert!(without_zeros(&a) <= without_zeros(&b));
            }
        }

        #[test]
        fn a_key_set_is_a_map(
            keys in proptest::collection::vec((proptest::collection::vec(0_u8..4, 0..4), any::<bool>()), 0..300),
            sorted in any::<bool>(),
            lower in proptest::collection::vec(0_u8..4, 1..3),
            upper in proptest::collection::vec(0_u8..4, 1..3),
        ) {
            let mut keys = keys;
            if sorted {
                keys.sort();
            }
            let mut model: BTreeMap<Vec<u8>, KeyState> = BTreeMap::new();
            let mut set = KeySet::default();
            for (row, (key, deleted)) in (0_u32..).zip(&keys) {
                let state = if *deleted { KeyState::Deleted } else { KeyState::Row(row) };
                prop_assert_eq!(set.insert(key, state), model.insert(key.clone(), state));
            }
            set.seal();
            prop_assert_eq!(set.len(), model.len());
            for (rank, (key, state)) in model.iter().enumerate() {
                let number = set.find(key).unwrap();
                prop_assert_eq!(set.ranked(rank), number);
                prop_assert_eq!(set.key(number), key.as_slice());
                prop_assert_eq!(set.state(number), *state);
            }
            prop_assert!(set.find(&[9]).is_none());
            let expected: Vec<&Vec<u8>> = model
                .keys()
                .filter(|key| **key >= lower && key[..key.len().min(upper.len())] <= upper[..])
                .collect();
            let found: Vec<&[u8]> = set.between(&lower, &upper).map(|rank| set.key(set.ranked(rank))).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
