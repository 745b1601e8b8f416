//! A reader of Avro container files that decodes what it is asked for and skips the rest.
//!
//! A manifest describes each file with maps of counts and bounds for every column, and a commit needs those of the
//! key columns alone. The `iceberg` crate builds all of it (about 18 KB of memory and 90 µs for a file of 30
//! columns); this reader walks over the bytes. It holds one decompressed block at a time.
//!
//! The codecs are those that Spark, PyIceberg and icesync write: null, deflate, snappy and zstandard. Nothing here
//! trusts a file: every length is checked against the bytes that are left before anything is done with it, types
//! within types are limited in depth, and a value costs time in proportion to its bytes. [`check`] holds a file to
//! that before another library reads it.

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

/// What is wrong with a file, for an error that names it.
pub(in crate::lake) type Malformed = String;
type Result<T> = std::result::Result<T, Malformed>;

/// A block is never decompressed to more than this: writers end blocks after some kilobytes or few megabytes.
const BLOCK_BYTES_MAX: u64 = 1 << 30;
/// Types within types; a manifest has about six.
const DEPTH_MAX: usize = 64;
const MAGIC: &[u8] = b"Obj\x01";
const SYNC: usize = 16;

/// The writer's schema, as far as walking over values needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lake) enum Type {
    Null,
    Boolean,
    /// `int`, `long` and `enum`: a variable-length integer.
    Integer,
    Float,
    Double,
    /// `bytes` and `string`.
    Bytes,
    Fixed(usize),
    Array(Arc<Type>),
    Map(Arc<Type>),
    Union(Vec<Type>),
    Record(Arc<Fields>),
}

/// The fields of a record, with what is counted once when the schema is read. Named types make a short schema stand
/// for records of any number of fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lake) struct Fields {
    fields: Vec<Field>,
    /// The types of the fields that take bytes.
    walked: Vec<Type>,
    /// A value has no fewer bytes.
    bytes_min: usize,
    /// As of [`Type::integers`].
    integers: Option<usize>,
}

impl Fields {
    fn of(fields: Vec<Field>) -> Result<Self> {
        let (mut bytes_min, mut integers) = (0_usize, Some(0_usize));
        for field in &fields {
            bytes_min = bytes_min
                .checked_add(field.ty.bytes_min())
                .ok_or("its records are too large")?;
            integers = integers
                .zip(field.ty.integers())
                .and_then(|(sum, more)| sum.checked_add(more));
        }
        let types = fields.iter().map(|field| &field.ty);
        let walked = types.filter(|ty| ty.bytes_min() > 0).cloned().collect();
        Ok(Self {
            fields,
            walked,
            bytes_min,
            integers,
        })
    }
}

impl std::ops::Deref for Fields {
    type Target = [Field];

    fn deref(&self) -> &[Field] {
        &self.fields
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lake) struct Field {
    pub(in crate::lake) name: String,
    /// Iceberg's id of the field.
    pub(in crate::lake) id: Option<i64>,
    pub(in crate::lake) ty: Type,
}

/// Id and name of a field of the specification.
pub(in crate::lake) type Known = (i64, &'static str);

impl Field {
    /// Fields are known by id. Writers before Iceberg 1.0 left ids out here and there: then the name decides.
    pub(in crate::lake) fn is(&self, (id, name): Known) -> bool {
        self.id.map_or(self.name == name, |known| known == id)
    }
}

/// A type and how many types are within each other in it.
type Deep = (Type, usize);

impl Type {
    fn parse(schema: &[u8]) -> Result<Self> {
        let json = serde_json::from_slice(schema).map_err(|error| error.to_string())?;
        Self::of(&json, &mut HashMap::new()).map(|(ty, _)| ty)
    }

    fn of(json: &serde_json::Value, named: &mut HashMap<String, Deep>) -> Result<Deep> {
        let (ty, depth) = match json.as_array() {
            Some(variants) => Self::union(variants, named)?,
            None => Self::single(json, named)?,
        };
        if depth > DEPTH_MAX {
            return Err(format!(
                "its schema has more than {DEPTH_MAX} types within each other"
            ));
        }
        Ok((ty, depth))
    }

    fn union(variants: &[serde_json::Value], named: &mut HashMap<String, Deep>) -> Result<Deep> {
        let mut depth = 0;
        let mut types = Vec::with_capacity(variants.len());
        for variant in variants {
            let (ty, below) = Self::of(variant, named)?;
            depth = depth.max(below);
            types.push(ty);
        }
        Ok((Type::Union(types), depth + 1))
    }

    fn single(json: &serde_json::Value, named: &mut HashMap<String, Deep>) -> Result<Deep> {
        let inner = |key: &str| json.get(key).ok_or(format!("the schema lacks `{key}`"));
        let name = match json.as_str() {
            Some(name) => name,
            None => match inner("type")? {
                serde_json::Value::String(name) => name,
                nested => return Self::of(nested, named),
            },
        };
        let (ty, below) = match name {
            "null" => (Type::Null, 0),
            "boolean" => (Type::Boolean, 0),
            "int" | "long" | "enum" => (Type::Integer, 0),
            "float" => (Type::Float, 0),
            "double" => (Type::Double, 0),
            "bytes" | "string" => (Type::Bytes, 0),
            "fixed" => {
                let size = inner("size")?
                    .as_u64()
                    .and_then(|size| usize::try_from(size).ok());
                (Type::Fixed(size.ok_or("a fixed type has no size")?), 0)
            }
            "array" => {
                let (item, depth) = Self::of(inner("items")?, named)?;
                (Type::Array(Arc::new(item)), depth)
            }
            "map" => {
                let (value, depth) = Self::of(inner("values")?, named)?;
                (Type::Map(Arc::new(value)), depth)
            }
            "record" => Self::record(inner("fields")?, named)?,
            reference => {
                let known = named.get(reference).cloned();
                return known
                    .ok_or_else(|| format!("the schema has an unknown type `{reference}`"));
            }
        };
        let deep = (ty, below + 1);
        if let Some(name) = json.get("name").and_then(|name| name.as_str()) {
            named.insert(name.to_owned(), deep.clone());
            if let Some(space) = json.get("namespace").and_then(|space| space.as_str()) {
                named.insert(format!("{space}.{name}"), deep.clone());
            }
        }
        Ok(deep)
    }

    /// A record, with the depth of its fields.
    fn record(json: &serde_json::Value, named: &mut HashMap<String, Deep>) -> Result<Deep> {
        let (mut fields, mut depth) = (Vec::new(), 0);
        for field in json.as_array().ok_or("`fields` is no list")? {
            let name = field.get("name").and_then(|name| name.as_str());
            let name = name.ok_or("a field has no name")?.to_owned();
            let (ty, below) = Self::of(field.get("type").ok_or("a field has no type")?, named)?;
            depth = depth.max(below);
            fields.push(Field {
                name,
                id: field.get("field-id").and_then(|id| id.as_i64()),
                ty,
            });
        }
        Ok((Type::Record(Arc::new(Fields::of(fields)?)), depth))
    }

    /// How many variable-length integers a value is, when it is nothing else.
    fn integers(&self) -> Option<usize> {
        match self {
            Type::Integer => Some(1),
            Type::Record(fields) => fields.integers,
            Type::Null | Type::Boolean | Type::Float | Type::Double | Type::Bytes => None,
            Type::Fixed(_) | Type::Array(_) | Type::Map(_) | Type::Union(_) => None,
        }
    }

    /// A value has no fewer bytes. One that may have none never has any.
    fn bytes_min(&self) -> usize {
        match self {
            Type::Null => 0,
            Type::Boolean | Type::Integer | Type::Bytes => 1,
            Type::Float => 4,
            Type::Double => 8,
            Type::Fixed(size) => *size,
            // The end of the list, or the number of the variant.
            Type::Array(_) | Type::Map(_) | Type::Union(_) => 1,
            Type::Record(fields) => fields.bytes_min,
        }
    }
}

/// Refuses a file that [`Container`] cannot walk over to its end. Other libraries trust counts and the depth of
/// schemas.
pub(in crate::lake) fn check(file: &[u8]) -> Result<()> {
    let mut container = Container::open(file)?;
    let mut block = Vec::new();
    while let Some(values) = container.next_block(&mut block)? {
        let mut input = Input::new(&block);
        for _ in 0..values {
            input.skip(&container.schema)?;
        }
    }
    Ok(())
}

/// A container file. Its blocks are taken one by one.
pub(in crate::lake) struct Container<'a> {
    /// The header: the codec, the schema and what the writer added.
    pub(in crate::lake) header: Vec<(String, Vec<u8>)>,
    pub(in crate::lake) schema: Type,
    codec: Codec,
    sync: &'a [u8],
    rest: Input<'a>,
}

#[derive(Clone, Copy)]
enum Codec {
    Null,
    Deflate,
    Snappy,
    Zstandard,
}

impl<'a> Container<'a> {
    pub(in crate::lake) fn open(file: &'a [u8]) -> Result<Self> {
        let mut rest = Input::new(file);
        if rest.take(MAGIC.len())? != MAGIC {
            return Err("no Avro container file".to_owned());
        }
        let mut header = Vec::new();
        rest.items(|rest| {
            let name = rest.text()?.to_owned();
            header.push((name, rest.bytes()?.to_vec()));
            Ok(())
        })?;
        let entry = |name: &str| {
            let found = header.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.as_slice())
        };
        let codec = match entry("avro.codec") {
            None | Some(b"null") => Codec::Null,
            Some(b"deflate") => Codec::Deflate,
            Some(b"snappy") => Codec::Snappy,
            Some(b"zstandard") => Codec::Zstandard,
            Some(other) => {
                let name = String::from_utf8_lossy(other);
                return Err(format!(
                    "compressed with `{name}`, which this version does not read"
                ));
            }
        };
        let schema = Type::parse(entry("avro.schema").ok_or("the header has no schema")?)?;
        let sync = rest.take(SYNC)?;
        Ok(Self {
            header,
            schema,
            codec,
            sync,
            rest,
        })
    }

    /// Decompresses the next block into `block`; the number of its values, or none at the end of the file.
    pub(in crate::lake) fn next_block(&mut self, block: &mut Vec<u8>) -> Result<Option<u64>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let values = u64::try_from(self.rest.long()?).map_err(|_| "a block of negative length")?;
        let bytes = self.rest.bytes()?;
        if self.rest.take(SYNC)? != self.sync {
            return Err("a block does not end where it should".to_owned());
        }
        self.codec.decompress(bytes, BLOCK_BYTES_MAX, block)?;
        let fits = usize::try_from(values)
            .ok()
            .and_then(|count| count.checked_mul(self.schema.bytes_min().max(1)))
            .is_some_and(|least| least <= block.len());
        if !fits {
            return Err("a block says that it has more values than it has room for".to_owned());
        }
        Ok(Some(values))
    }
}

impl Codec {
    /// Fills `block`; refuses what would become larger than `bytes_max`.
    fn decompress(self, bytes: &[u8], bytes_max: u64, block: &mut Vec<u8>) -> Result<()> {
        block.clear();
        let failed = |error: std::io::Error| format!("a block cannot be decompressed: {error}");
        let too_large = || format!("a block has more than {bytes_max} bytes when decompressed");
        match self {
            Codec::Null => block.extend_from_slice(bytes),
            Codec::Deflate => {
                let mut inflated = flate2::read::DeflateDecoder::new(bytes).take(bytes_max + 1);
                inflated.read_to_end(block).map_err(failed)?;
            }
            Codec::Snappy => {
                let end = bytes.len().checked_sub(4).ok_or("a block is cut off")?;
                let bytes = &bytes[..end];
                let length = snap::raw::decompress_len(bytes);
                let length = length.map_err(|error| failed(error.into()))?;
                if length as u64 > bytes_max {
                    return Err(too_large());
                }
                let decompressed = snap::raw::Decoder::new().decompress_vec(bytes);
                *block = decompressed.map_err(|error| failed(error.into()))?;
            }
            Codec::Zstandard => {
                let decoder = zstd::stream::read::Decoder::new(bytes).map_err(failed)?;
                let mut decoder = decoder.take(bytes_max + 1);
                decoder.read_to_end(block).map_err(failed)?;
            }
        }
        if block.len() as u64 > bytes_max {
            return Err(too_large());
        }
        Ok(())
    }
}

/// Bytes being read.
#[derive(Clone, Copy)]
pub(in crate::lake) struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    pub(in crate::lake) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(in crate::lake) fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub(in crate::lake) fn position(&self) -> usize {
        self.at
    }

    /// The bytes between an earlier position and this one.
    pub(in crate::lake) fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.at).unwrap_or_default()
    }

    pub(in crate::lake) fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(length);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or("it ends in the middle of a value")?;
        self.at += length;
        Ok(taken)
    }

    pub(in crate::lake) fn long(&mut self) -> Result<i64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err("a number has too many bytes".to_owned())
    }

    fn length(&mut self) -> Result<usize> {
        usize::try_from(self.long()?).map_err(|_| "a negative length".to_owned())
    }

    pub(in crate::lake) fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.length()?;
        self.take(length)
    }

    pub(in crate::lake) fn text(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|error| error.to_string())
    }

    /// The number of items of a chunk, if there are bytes for so many; each takes one at least.
    fn count(&self, count: i64, bytes_min: usize) -> Result<usize> {
        let count = usize::try_from(count).ok();
        let left = self.bytes.len() - self.at;
        count
            .filter(|count| {
                count
                    .checked_mul(bytes_min.max(1))
                    .is_some_and(|least| least <= left)
            })
            .ok_or_else(|| "a list says that it has more items than there are bytes".to_owned())
    }

    /// Calls `each` for every item of an array or map, which comes in chunks. An item takes a byte at least.
    pub(in crate::lake) fn items(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<()>,
    ) -> Result<()> {
        loop {
            let mut count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                // Followed by the size of the chunk in bytes.
                self.long()?;
                count = count.checked_neg().ok_or("a chunk of negative length")?;
            }
            for _ in 0..self.count(count, 1)? {
                each(self)?;
            }
        }
    }

    /// The type of the value that follows: for a union the variant that was chosen, else the type itself.
    pub(in crate::lake) fn variant<'t>(&mut self, ty: &'t Type) -> Result<&'t Type> {
        let Type::Union(variants) = ty else {
            return Ok(ty);
        };
        let chosen = self.length()?;
        variants
            .get(chosen)
            .ok_or_else(|| "a union has no such variant".to_owned())
    }

    /// Walks over a value.
    pub(in crate::lake) fn skip(&mut self, ty: &Type) -> Result<()> {
        match ty {
            Type::Null => Ok(()),
            Type::Boolean => self.take(1).map(drop),
            Type::Integer => self.skip_integers(1),
            Type::Float => self.take(4).map(drop),
            Type::Double => self.take(8).map(drop),
            Type::Bytes => self.bytes().map(drop),
            Type::Fixed(size) => self.take(*size).map(drop),
            Type::Array(item) => self.skip_array(item),
            Type::Map(value) => self.items(|rest| {
                rest.bytes()?;
                rest.skip(value)
            }),
            Type::Union(_) => {
                let chosen = self.variant(ty)?;
                self.skip(chosen)
            }
            Type::Record(fields) => fields.walked.iter().try_for_each(|ty| self.skip(ty)),
        }
    }

    fn skip_array(&mut self, item: &Type) -> Result<()> {
        let integers = item.integers();
        loop {
            let count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                let bytes = self.length()?;
                self.take(bytes)?;
                continue;
            }
            let count = self.count(count, item.bytes_min())?;
            match integers {
                // No overflow: each of the numbers takes a byte, and there are bytes for all of them.
                Some(each) => self.skip_integers(count * each)?,
                None if item.bytes_min() == 0 => {}
                None => (0..count).try_for_each(|_| self.skip(item))?,
            }
        }
    }

    /// A number ends with the first byte whose highest bit is clear.
    fn skip_integers(&mut self, count: usize) -> Result<()> {
        let mut left = count;
        let mut at = self.at;
        while left > 0 {
            let byte = self
                .bytes
                .get(at)
                .ok_or("it ends in the middle of a value")?;
            left -= usize::from(byte & 0x80 == 0);
            at += 1;
        }
        self.at = at;
        Ok(())
    }
}

/// Appends a number as Avro writes it.
pub(in crate::lake) fn put_long(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

pub(in crate::lake) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_long(out, bytes.len() as i64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive() {
        for value in [0, 1, -1, 63, 64, -64, -65, i64::MAX, i64::MIN, 1 << 40] {
            let mut out = Vec::new();
            put_long(&mut out, value);
            let mut input = Input::new(&out);
            assert_eq!(input.long(), Ok(value));
            assert!(input.is_empty());
        }
        assert!(Input::new(&[0xFF; 11]).long().is_err());
    }

    #[test]
    fn values_that_are_cut_off_are_refused() {
        let schema = br#"{"type":"record","name":"r","fields":[
            {"name":"a","type":"long","field-id":7},
            {"name":"b","type":["null",{"type":"array","items":{"type":"record","name":"kv","fields":[
                {"name":"key","type":"int"},{"name":"value","type":"bytes"}]}}]},
            {"name":"c","type":{"type":"fixed","name":"f","size":3}},
            {"name":"d","type":"f"}]}"#;
        let ty = Type::parse(schema).unwrap();
        let mut value = Vec::new();
        put_long(&mut value, 300);
        value.push(2);
        put_long(&mut value, 1);
        put_long(&mut value, 5);
        put_bytes(&mut value, b"bound");
        put_long(&mut value, 0);
        value.extend_from_slice(b"abcdef");
        let mut input = Input::new(&value);
        input.skip(&ty).unwrap();
        assert!(input.is_empty());
        for end in 0..value.len() {
            assert!(Input::new(&value[..end]).skip(&ty).is_err(), "{end}");
        }
        assert!(Type::parse(br#"{"type":"array","items":"nowhere"}"#).is_err());
        assert!(Container::open(b"PAR1").is_err());
    }

    /// A file with this schema and these blocks.
    fn container(schema: &str, codec: &str, blocks: &[(i64, &[u8])]) -> Vec<u8> {
        let mut file = MAGIC.to_vec();
        put_long(&mut file, 2);
        for (name, value) in [("avro.schema", schema), ("avro.codec", codec)] {
            put_bytes(&mut file, name.as_bytes());
            put_bytes(&mut file, value.as_bytes());
        }
        put_long(&mut file, 0);
        file.extend_from_slice(&[7; SYNC]);
        for (values, block) in blocks {
            put_long(&mut file, *values);
            put_bytes(&mut file, block);
            file.extend_from_slice(&[7; SYNC]);
        }
        file
    }

    /// Records in which each has `fields` fields of the record before it, in JSON of no depth.
    fn nested(records: usize, fields: usize, first: &str) -> String {
        let mut all = vec![format!(
            r#"{{"name":"x0","type":{{"type":"record","name":"R0","fields":[{first}]}}}}"#
        )];
        for at in 1..records {
            let field = |f| format!(r#"{{"name":"f{f}","type":"R{}"}}"#, at - 1);
            let fields: Vec<String> = (0..fields).map(field).collect();
            let fields = fields.join(",");
            all.push(format!(
                r#"{{"name":"x{at}","type":{{"type":"record","name":"R{at}","fields":[{fields}]}}}}"#
            ));
        }
        format!(
            r#"{{"type":"record","name":"r","fields":[{}]}}"#,
            all.join(",")
        )
    }

    #[test]
    fn types_within_types_are_limited() {
        let int = r#"{"name":"a","type":"int"}"#;
        assert!(Type::parse(nested(60, 1, int).as_bytes()).is_ok());
        for (records, fields) in [(64, 1), (100_000, 1), (200, 2)] {
            let said = Type::parse(nested(records, fields, int).as_bytes()).unwrap_err();
            assert!(
                said.contains("more than 64 types within each other"),
                "{said}"
            );
        }
        let arrays = |at: usize| {
            let item = format!(r#""A{}""#, at - 1);
            format!(
                r#"{{"name":"f{at}","type":{{"type":"array","name":"A{at}","items":[{item},{item}]}}}}"#
            )
        };
        let arrays: Vec<String> = (1..5000).map(arrays).collect();
        let first = r#"{"name":"f0","type":{"type":"array","name":"A0","items":"null"}}"#;
        let schema = format!(
            r#"{{"type":"record","name":"r","fields":[{first},{}]}}"#,
            arrays.join(",")
        );
        assert!(Type::parse(schema.as_bytes()).is_err());
    }

    #[test]
    fn records_of_countless_fields_cost_nothing() {
        // 2^39 fields that take no bytes, and as many numbers, of which there is not one.
        let empty = nested(40, 2, r#"{"name":"a","type":"null"}"#);
        let ty = Type::parse(empty.as_bytes()).unwrap();
        assert_eq!(ty.bytes_min(), 0);
        assert_eq!(Input::new(&[]).skip(&ty), Ok(()));
        let numbers = nested(40, 2, r#"{"name":"a","type":"int"}"#);
        let ty = Type::parse(numbers.as_bytes()).unwrap();
        assert_eq!(ty.integers(), Some((1 << 40) - 1));
        assert!(Input::new(&[0; 100]).skip(&ty).is_err());
        // More than can be counted.
        let schema = format!(
            r#"{{"name":"a","type":{{"type":"fixed","name":"F","size":{}}}}}"#,
            u64::MAX / 4
        );
        assert!(Type::parse(nested(10, 2, &schema).as_bytes()).is_err());
    }

    #[test]
    fn counts_beyond_the_bytes_are_refused() {
        let field = |ty: &str| {
            format!(r#"{{"type":"record","name":"r","fields":[{{"name":"z","type":{ty}}}]}}"#)
        };
        for items in [
            r#""null""#,
            r#""int""#,
            r#""string""#,
            r#"["null","int"]"#,
            r#"{"type":"record","name":"e","fields":[]}"#,
            r#"{"type":"fixed","name":"f","size":0}"#,
        ] {
            let schema = field(&format!(r#"{{"type":"array","items":{items}}}"#));
            let ty = Type::parse(schema.as_bytes()).unwrap();
            for count in [1 << 62, 1000, i64::MAX] {
                let mut value = Vec::new();
                put_long(&mut value, count);
                value.extend_from_slice(&[0; 50]);
                let said = Input::new(&value).skip(&ty).unwrap_err();
                assert!(
                    said.contains("more items than there are bytes"),
                    "{items}: {said}"
                );
                let said = check(&container(&schema, "null", &[(1, &value)])).unwrap_err();
                assert!(
                    said.contains("more items than there are bytes"),
                    "{items}: {said}"
                );
            }
        }
        let map = Type::parse(field(r#"{"type":"map","values":"null"}"#).as_bytes()).unwrap();
        let mut value = Vec::new();
        put_long(&mut value, 1 << 62);
        assert!(Input::new(&value).skip(&map).is_err());
        // A few items without bytes are fine where bytes follow.
        let nulls = field(r#"{"type":"array","items":"null"}"#);
        let mut value = Vec::new();
        put_long(&mut value, 1);
        put_long(&mut value, 0);
        check(&container(&nulls, "null", &[(1, &value)])).unwrap();
        for schema in [field(r#""int""#), field(r#""null""#)] {
            let said = check(&container(&schema, "null", &[(1 << 62, &[])])).unwrap_err();
            assert!(said.contains("more values than it has room for"), "{said}");
        }
    }

    #[test]
    fn blocks_are_bounded_before_they_are_decompressed() {
        let mut block = Vec::new();
        let zeros = vec![0; 1 << 20];
        let mut deflated = Vec::new();
        flate2::read::DeflateEncoder::new(zeros.as_slice(), flate2::Compression::best())
            .read_to_end(&mut deflated)
            .unwrap();
        let mut snappy = snap::raw::Encoder::new().compress_vec(&zeros).unwrap();
        snappy.extend_from_slice(&[0; 4]);
        let zstandard = zstd::stream::encode_all(zeros.as_slice(), 1).unwrap();
        for (codec, bytes) in [
            (Codec::Null, &zeros),
            (Codec::Deflate, &deflated),
            (Codec::Snappy, &snappy),
            (Codec::Zstandard, &zstandard),
        ] {
            codec.decompress(bytes, 1 << 20, &mut block).unwrap();
            assert_eq!(block.len(), 1 << 20);
            let said = codec
                .decompress(bytes, (1 << 20) - 1, &mut block)
                .unwrap_err();
            assert!(said.contains("more than 1048575 bytes"), "{said}");
        }
        // A length of 4 GiB in five bytes.
        let huge = [0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0, 0, 0, 0];
        let mut block = Vec::new();
        let said = Codec::Snappy.decompress(&huge, BLOCK_BYTES_MAX, &mut block);
        assert!(said.unwrap_err().contains("more than"));
        assert_eq!(block.capacity(), 0);
    }

    #[test]
    fn every_codec_of_other_writers_is_read() {
        use apache_avro::{Codec, DeflateSettings, Schema, Writer, ZstandardSettings};
        let schema = r#"{"type":"record","name":"r","fields":[{"name":"a","type":"long","field-id":1},
            {"name":"b","type":["null","string"],"field-id":2}]}"#;
        let schema = Schema::parse_str(schema).unwrap();
        for codec in [
            Codec::Null,
            Codec::Deflate(DeflateSettings::default()),
            Codec::Snappy,
            Codec::Zstandard(ZstandardSettings::default()),
        ] {
            let mut writer = Writer::with_codec(&schema, Vec::new(), codec);
            for number in 0..50_000_i64 {
                let text = (number % 3 > 0).then(|| format!("text {number}"));
                let mut record = apache_avro::types::Record::new(&schema).unwrap();
                record.put("a", number);
                record.put("b", text);
                writer.append(record).unwrap();
            }
            let file = writer.into_inner().unwrap();
            let mut container = Container::open(&file).unwrap();
            let Type::Record(fields) = container.schema.clone() else {
                panic!("{:?}", container.schema);
            };
            let (mut block, mut expected) = (Vec::new(), 0);
            while let Some(values) = container.next_block(&mut block).unwrap() {
                let mut input = Input::new(&block);
                for _ in 0..values {
                    assert_eq!(input.long(), Ok(expected));
                    if *input.variant(&fields[1].ty).unwrap() == Type::Null {
                        assert_eq!(expected % 3, 0);
                    } else {
                        assert_eq!(input.text().unwrap(), format!("text {expected}"));
                    }
                    expected += 1;
                }
                assert!(input.is_empty());
            }
            assert_eq!(expected, 50_000, "{codec:?}");
            // A file that ends within a block is no shorter file.
            let mut cut = Container::open(&file[..file.len() - 20]).unwrap();
            let ended = loop {
                match cut.next_block(&mut block) {
                    Ok(Some(_)) => {}
                    other => break other,
                }
            };
            assert!(ended.is_err(), "{codec:?}");
        }
    }
}
