//! A reader of Avro container files that decodes what it is asked for and skips the rest.
//!
//! A manifest describes each file with maps of counts and bounds for every column, and a commit needs those of the
//! key columns alone. The `iceberg` crate builds all of it (about 18 KB of memory and 90 µs for a file of 30
//! columns); this reader walks over the bytes. It holds one decompressed block at a time.
//!
//! The codecs are those that Spark, PyIceberg and icesync write: null, deflate, snappy and zstandard. Nothing here
//! trusts a length: every read is checked against the bytes that are left.

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

/// What is wrong with a file, for an error that names it.
pub(in crate::lake) type Malformed = String;
type Result<T> = std::result::Result<T, Malformed>;

/// A block is never decompressed to more than this: writers end blocks after some kilobytes or few megabytes.
const BLOCK_BYTES_MAX: u64 = 1 << 30;
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
    Record(Arc<Vec<Field>>),
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

impl Type {
    fn parse(schema: &[u8]) -> Result<Self> {
        let json = serde_json::from_slice(schema).map_err(|error| error.to_string())?;
        Self::of(&json, &mut HashMap::new())
    }

    fn of(json: &serde_json::Value, named: &mut HashMap<String, Type>) -> Result<Self> {
        if let Some(variants) = json.as_array() {
            let variants = variants.iter().map(|variant| Self::of(variant, named));
            return variants.collect::<Result<_>>().map(Type::Union);
        }
        let inner = |key: &str| json.get(key).ok_or(format!("the schema lacks `{key}`"));
        let name = match json.as_str() {
            Some(name) => name,
            None => match inner("type")? {
                serde_json::Value::String(name) => name,
                nested => return Self::of(nested, named),
            },
        };
        let ty = match name {
            "null" => Type::Null,
            "boolean" => Type::Boolean,
            "int" | "long" | "enum" => Type::Integer,
            "float" => Type::Float,
            "double" => Type::Double,
            "bytes" | "string" => Type::Bytes,
            "fixed" => {
                let size = inner("size")?
                    .as_u64()
                    .and_then(|size| usize::try_from(size).ok());
                Type::Fixed(size.ok_or("a fixed type has no size")?)
            }
            "array" => Type::Array(Arc::new(Self::of(inner("items")?, named)?)),
            "map" => Type::Map(Arc::new(Self::of(inner("values")?, named)?)),
            "record" => {
                let fields = inner("fields")?.as_array().ok_or("`fields` is no list")?;
                let fields = fields.iter().map(|field| {
                    let name = field.get("name").and_then(|name| name.as_str());
                    Ok(Field {
                        name: name.ok_or("a field has no name")?.to_owned(),
                        id: field.get("field-id").and_then(|id| id.as_i64()),
                        ty: Self::of(field.get("type").ok_or("a field has no type")?, named)?,
                    })
                });
                Type::Record(Arc::new(fields.collect::<Result<_>>()?))
            }
            reference => {
                let known = named.get(reference).cloned();
                return known
                    .ok_or_else(|| format!("the schema has an unknown type `{reference}`"));
            }
        };
        if let Some(name) = json.get("name").and_then(|name| name.as_str()) {
            named.insert(name.to_owned(), ty.clone());
            if let Some(space) = json.get("namespace").and_then(|space| space.as_str()) {
                named.insert(format!("{space}.{name}"), ty.clone());
            }
        }
        Ok(ty)
    }

    /// How many variable-length integers a value is, when it is nothing else.
    fn integers(&self) -> Option<usize> {
        match self {
            Type::Integer => Some(1),
            Type::Record(fields) => fields.iter().map(|field| field.ty.integers()).sum(),
            Type::Null | Type::Boolean | Type::Float | Type::Double | Type::Bytes => None,
            Type::Fixed(_) | Type::Array(_) | Type::Map(_) | Type::Union(_) => None,
        }
    }
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
        block.clear();
        let failed = |error: std::io::Error| format!("a block cannot be decompressed: {error}");
        match self.codec {
            Codec::Null => block.extend_from_slice(bytes),
            Codec::Deflate => {
                let mut inflated = flate2::read::DeflateDecoder::new(bytes).take(BLOCK_BYTES_MAX);
                inflated.read_to_end(block).map_err(failed)?;
            }
            Codec::Snappy => {
                let end = bytes.len().checked_sub(4).ok_or("a block is cut off")?;
                let decompressed = snap::raw::Decoder::new().decompress_vec(&bytes[..end]);
                *block = decompressed.map_err(|error| failed(error.into()))?;
            }
            Codec::Zstandard => {
                let decoder = zstd::stream::read::Decoder::new(bytes).map_err(failed)?;
                let mut decoder = decoder.take(BLOCK_BYTES_MAX);
                decoder.read_to_end(block).map_err(failed)?;
            }
        }
        Ok(Some(values))
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

    /// Calls `each` for every item of an array or map, which comes in chunks.
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
            for _ in 0..count {
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
            Type::Record(fields) => fields.iter().try_for_each(|field| self.skip(&field.ty)),
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
            let count = usize::try_from(count).map_err(|_| "too many items")?;
            match integers {
                Some(each) => {
                    self.skip_integers(count.checked_mul(each).ok_or("too many items")?)?
                }
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
