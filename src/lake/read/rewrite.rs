//! Avro files written again with some of their values replaced. Every other byte of a value is copied, so what this
//! build does not know of (partition values, fields of newer writers) survives exactly.

use crate::lake::read::avro::{
    Container, Field, Input, Known, Malformed, Type, put_bytes, put_long,
};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use std::borrow::Cow;
use std::io::Write;

type Result<T> = std::result::Result<T, Malformed>;

/// The entries of a file's header.
pub(in crate::lake) type Header = Vec<(String, Vec<u8>)>;

/// A block of values is compressed once it has this many bytes.
const BLOCK_BYTES: usize = 64 << 10;

/// An entry of a header.
pub(in crate::lake) fn header_value<'h>(header: &'h Header, name: &str) -> Option<&'h [u8]> {
    let found = header.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_slice())
}

/// Gives an entry of a header another value; it need not be there.
pub(in crate::lake) fn set_header(header: &mut Header, name: &str, value: Vec<u8>) {
    header.retain(|(known, _)| known != name);
    header.push((name.to_owned(), value));
}

/// A container file being written, in memory.
pub(in crate::lake) struct ContainerWriter {
    pub(in crate::lake) header: Header,
    sync: [u8; 16],
    /// Complete blocks.
    blocks: Vec<u8>,
    block: Vec<u8>,
    block_values: i64,
}

impl ContainerWriter {
    pub(in crate::lake) fn new(mut header: Header) -> Self {
        set_header(&mut header, "avro.codec", b"deflate".to_vec());
        Self {
            header,
            sync: *uuid::Uuid::new_v4().as_bytes(),
            blocks: Vec::new(),
            block: Vec::with_capacity(BLOCK_BYTES * 2),
            block_values: 0,
        }
    }

    /// Adds the value that `encode` appends.
    pub(in crate::lake) fn add(
        &mut self,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        encode(&mut self.block)?;
        self.block_values += 1;
        if self.block.len() >= BLOCK_BYTES {
            self.end_block()?;
        }
        Ok(())
    }

    fn end_block(&mut self) -> Result<()> {
        if self.block_values == 0 {
            return Ok(());
        }
        let mut deflated = DeflateEncoder::new(Vec::new(), Compression::fast());
        let written = deflated.write_all(&self.block);
        let deflated = written.and_then(|()| deflated.finish());
        let deflated = deflated.map_err(|error| error.to_string())?;
        put_long(&mut self.blocks, self.block_values);
        put_bytes(&mut self.blocks, &deflated);
        self.blocks.extend_from_slice(&self.sync);
        self.block.clear();
        self.block_values = 0;
        Ok(())
    }

    /// The complete file.
    pub(in crate::lake) fn finish(mut self) -> Result<Vec<u8>> {
        self.end_block()?;
        let mut file = b"Obj\x01".to_vec();
        put_long(&mut file, self.header.len() as i64);
        for (name, value) in &self.header {
            put_bytes(&mut file, name.as_bytes());
            put_bytes(&mut file, value);
        }
        put_long(&mut file, 0);
        file.extend_from_slice(&self.sync);
        file.append(&mut self.blocks);
        Ok(file)
    }
}

/// A file whose values are records, with each record changed.
pub(in crate::lake) fn rewritten(
    file: &[u8],
    change: impl FnMut(&mut Record<'_>) -> Result<()>,
) -> Result<Vec<u8>> {
    let header = Container::open(file)?.header;
    rewritten_under(file, header, change)
}

/// The same under another header, whose schema must describe what the changed records hold.
pub(in crate::lake) fn rewritten_under(
    file: &[u8],
    header: Header,
    mut change: impl FnMut(&mut Record<'_>) -> Result<()>,
) -> Result<Vec<u8>> {
    let mut container = Container::open(file)?;
    let Type::Record(fields) = container.schema.clone() else {
        return Err("its values are no records".to_owned());
    };
    let mut writer = ContainerWriter::new(header);
    let mut block = Vec::new();
    while let Some(values) = container.next_block(&mut block)? {
        let mut input = Input::new(&block);
        for _ in 0..values {
            let mut record = Record::read(&mut input, &fields)?;
            change(&mut record)?;
            writer.add(|out| {
                record.write(out);
                Ok(())
            })?;
        }
        if !input.is_empty() {
            return Err("a block holds more than its values".to_owned());
        }
    }
    writer.finish()
}

/// What a field is to hold. A field that is optional takes any; one that is not must be of the value's type.
pub(in crate::lake) enum Put<'v> {
    Null,
    Long(i64),
    Text(&'v str),
    /// The value as it is encoded, with the variant of a union before it.
    Encoded(Vec<u8>),
}

/// A record as it is encoded, field by field.
pub(in crate::lake) struct Record<'a> {
    fields: &'a [Field],
    values: Vec<Cow<'a, [u8]>>,
}

impl<'a> Record<'a> {
    pub(in crate::lake) fn read(input: &mut Input<'a>, fields: &'a [Field]) -> Result<Self> {
        let mut values = Vec::with_capacity(fields.len());
        for field in fields {
            let start = input.position();
            input.skip(&field.ty)?;
            values.push(Cow::Borrowed(input.since(start)));
        }
        Ok(Self { fields, values })
    }

    /// The record that is the value of a field; none when there is no such field, or when it holds something else.
    pub(in crate::lake) fn record<'r>(&'r self, known: Known) -> Result<Option<Record<'r>>> {
        let Some((field, value)) = self.field(known) else {
            return Ok(None);
        };
        match &field.ty {
            Type::Record(fields) => Record::read(&mut Input::new(value), fields).map(Some),
            Type::Null | Type::Boolean | Type::Integer | Type::Float | Type::Double => Ok(None),
            Type::Bytes | Type::Fixed(_) | Type::Array(_) | Type::Map(_) | Type::Union(_) => {
                Ok(None)
            }
        }
    }

    /// The fields and their values as they are encoded.
    pub(in crate::lake) fn iter(&self) -> impl Iterator<Item = (&'a Field, &[u8])> {
        let values = self.values.iter().map(|value| value.as_ref());
        self.fields.iter().zip(values)
    }

    /// A field and its value as it is encoded.
    pub(in crate::lake) fn field(&self, known: Known) -> Option<(&'a Field, &[u8])> {
        self.iter().find(|(field, _)| field.is(known))
    }

    /// A text; none when the field is not there or holds no text.
    pub(in crate::lake) fn text(&self, known: Known) -> Result<Option<&str>> {
        let Some((field, value)) = self.field(known) else {
            return Ok(None);
        };
        let mut input = Input::new(value);
        match input.variant(&field.ty)? {
            Type::Bytes => input.text().map(Some),
            other => input.skip(other).map(|()| None),
        }
    }

    /// Replaces the value of a field. A field that is not there stays away, and one that cannot be NULL keeps its value
    /// instead.
    pub(in crate::lake) fn put(&mut self, known: Known, put: Put<'_>) -> Result<()> {
        let Some(at) = self.fields.iter().position(|field| field.is(known)) else {
            return Ok(());
        };
        let mut value = Vec::new();
        let ty = &self.fields[at].ty;
        match put {
            Put::Encoded(encoded) => value = encoded,
            Put::Null if matches!(ty, Type::Union(_)) => choose(&mut value, ty, &Type::Null)?,
            Put::Null => return Ok(()),
            Put::Long(number) => {
                choose(&mut value, ty, &Type::Integer)?;
                put_long(&mut value, number);
            }
            Put::Text(text) => {
                choose(&mut value, ty, &Type::Bytes)?;
                put_bytes(&mut value, text.as_bytes());
            }
        }
        self.values[at] = Cow::Owned(value);
        Ok(())
    }

    pub(in crate::lake) fn write(&self, out: &mut Vec<u8>) {
        for value in &self.values {
            out.extend_from_slice(value);
        }
    }

    /// The record as it is encoded.
    pub(in crate::lake) fn encoded(&self) -> Vec<u8> {
        self.values.concat()
    }
}

/// Writes which variant of a union follows; nothing where the type is no union.
pub(in crate::lake) fn choose(out: &mut Vec<u8>, ty: &Type, wanted: &Type) -> Result<()> {
    let variants = match ty {
        Type::Union(variants) => variants,
        plain if plain == wanted => return Ok(()),
        plain => return Err(format!("a field holds {plain:?} instead of {wanted:?}")),
    };
    let at = variants.iter().position(|variant| variant == wanted);
    let at = at.ok_or_else(|| format!("a union has no variant {wanted:?}"))?;
    put_long(out, at as i64);
    Ok(())
}

/// A map from column ids to bytes, with the values replaced for which `change` answers another. None when none is.
pub(in crate::lake) fn mapped(
    field: &Field,
    value: &[u8],
    change: impl Fn(i64, &[u8]) -> Option<Vec<u8>>,
) -> Result<Option<Vec<u8>>> {
    let mut input = Input::new(value);
    let chosen = input.variant(&field.ty)?;
    let mut out = Vec::new();
    let prefix = input.position();
    let Type::Array(item) = chosen else {
        return Ok(None);
    };
    let Type::Record(pair) = item.as_ref() else {
        return Ok(None);
    };
    let [key, bytes] = &pair[..] else {
        return Ok(None);
    };
    if key.ty != Type::Integer || bytes.ty != Type::Bytes {
        return Ok(None);
    }
    let (mut pairs, mut count, mut changed) = (Vec::new(), 0, false);
    input.items(|input| {
        let (id, old) = (input.long()?, input.bytes()?);
        let new = change(id, old);
        changed = changed || new.is_some();
        put_long(&mut pairs, id);
        put_bytes(&mut pairs, new.as_deref().unwrap_or(old));
        count += 1;
        Ok(())
    })?;
    out.extend_from_slice(&value[..prefix]);
    if count > 0 {
        put_long(&mut out, count);
        out.append(&mut pairs);
    }
    put_long(&mut out, 0);
    Ok(changed.then_some(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r#"{"type":"record","name":"r","fields":[
        {"name":"path","type":"string","field-id":1},
        {"name":"target","type":["null","string"],"field-id":2},
        {"name":"bounds","type":["null",{"type":"array","items":{"type":"record","name":"kv","fields":[
            {"name":"key","type":"int"},{"name":"value","type":"bytes"}]}}],"field-id":3},
        {"name":"id","type":{"type":"fixed","name":"u","size":16,"logicalType":"uuid"},"field-id":4},
        {"name":"nested","type":{"type":"record","name":"n","fields":[
            {"name":"size","type":"long","field-id":6}]},"field-id":5}]}"#;

    #[test]
    fn what_is_not_replaced_is_copied() {
        let header = vec![("avro.schema".to_owned(), SCHEMA.as_bytes().to_vec())];
        let mut writer = ContainerWriter::new(header);
        for number in 0..5_u8 {
            let encode = |out: &mut Vec<u8>| {
                put_bytes(out, b"old");
                out.push(0);
                put_long(out, 1);
                put_long(out, 1);
                put_long(out, 7);
                put_bytes(out, b"bound");
                put_long(out, 0);
                out.extend([number; 16]);
                put_long(out, 3);
                Ok(())
            };
            writer.add(encode).unwrap();
        }
        let file = writer.finish().unwrap();
        let changed = rewritten(&file, |record| {
            assert_eq!(record.text((1, "path"))?, Some("old"));
            assert_eq!(record.text((2, "target"))?, None);
            record.put((1, "path"), Put::Text("new path"))?;
            record.put((2, "target"), Put::Text("a target"))?;
            record.put((9, "absent"), Put::Long(1))?;
            let (field, bounds) = record.field((3, "bounds")).unwrap();
            assert_eq!(mapped(field, bounds, |_, _| None)?, None);
            let swap = |id, old: &[u8]| (id == 7 && old == b"bound").then(|| b"other".to_vec());
            let bounds = mapped(field, bounds, swap)?.unwrap();
            record.put((3, "bounds"), Put::Encoded(bounds))?;
            let mut nested = record.record((5, "nested"))?.unwrap();
            nested.put((6, "size"), Put::Long(1 << 40))?;
            let nested = nested.encoded();
            record.put((5, "nested"), Put::Encoded(nested))
        });
        let changed = changed.unwrap();
        let mut container = Container::open(&changed).unwrap();
        let mut block = Vec::new();
        assert_eq!(container.next_block(&mut block).unwrap(), Some(5));
        let mut input = Input::new(&block);
        for number in 0..5_u8 {
            assert_eq!(input.text().unwrap(), "new path");
            assert_eq!(
                (input.long().unwrap(), input.text().unwrap()),
                (1, "a target")
            );
            assert_eq!([1, 1, 7].map(|_| input.long().unwrap()), [1, 1, 7]);
            assert_eq!(
                (input.bytes().unwrap(), input.long().unwrap()),
                (&b"other"[..], 0)
            );
            assert_eq!(input.take(16).unwrap(), [number; 16]);
            assert_eq!(input.long().unwrap(), 1 << 40);
        }
        assert!(input.is_empty());
        // A value that does not fit is refused, and NULL leaves a field that must have a value alone.
        let wrong = rewritten(&file, |record| record.put((1, "path"), Put::Long(1)));
        assert!(wrong.is_err());
        assert!(rewritten(&file, |record| record.put((1, "path"), Put::Null)).is_ok());
    }
}
