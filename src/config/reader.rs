//! A YAML tree as the values of a configuration.
//!
//! Guarantee: an error tells the path, what was expected, and what kind of thing was found; it holds no value. Its type
//! has no room for one: whatever a library says of a value comes through [`serde::de::Error`], where it is dropped.
//! Words of a small set (the names of keys and of choices) are quoted if they are nearly one of the set
//! ([`is_nearly`]).
//!
//! A text is handed over as it is written; whoever owns the value replaces its variables
//! ([`Text`](super::variables::Text)). Where no text is expected but a number, `true` or `false`, or one of several
//! words, variables are replaced here.

use super::variables::{Lookup, expand, has_variables, subject};
use super::yaml::Node;
use crate::secret::is_nearly;
use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, Error, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use std::collections::HashSet;
use std::fmt::{self, Display};

/// What is wrong with a configuration, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misread {
    /// Keys that are known, and positions in lists.
    pub(super) at: String,
    /// The entry of the mapping there, if it is about one whose key is not known.
    pub(super) entry: Option<usize>,
    pub(super) message: String,
}

impl Misread {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            at: String::new(),
            entry: None,
            message: message.into(),
        }
    }

    fn expected(what: impl Display, found: &Node) -> Self {
        Self::new(format!("expected {what}, found {}", found.kind()))
    }

    /// Inside another part.
    fn within(mut self, step: &str) -> Self {
        let separator = match self.at.is_empty() || self.at.starts_with('[') {
            true => "",
            false => ".",
        };
        self.at = format!("{step}{separator}{}", self.at);
        self
    }
}

impl fmt::Display for Misread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Misread {}

/// What derived code says of a value, without the value.
impl Error for Misread {
    fn custom<T: Display>(_: T) -> Self {
        Self::new("this does not belong here")
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match found {
            Unexpected::Bool(_) => "true or false",
            Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "a number",
            Unexpected::Char(_) | Unexpected::Str(_) | Unexpected::Bytes(_) => "text",
            Unexpected::Seq => "a list",
            Unexpected::Map => "a mapping",
            Unexpected::Unit | Unexpected::Option => "nothing",
            Unexpected::NewtypeStruct
            | Unexpected::Enum
            | Unexpected::UnitVariant
            | Unexpected::NewtypeVariant
            | Unexpected::TupleVariant
            | Unexpected::StructVariant
            | Unexpected::Other(_) => "something else",
        };
        Self::new(format!("expected {expected}, found {found}"))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {expected}"))
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {expected}"))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("expected {}", one_of(expected)))
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("a key is not known; known are {}", list(expected)))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(format!("`{field}` is missing"))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(format!("`{field}` stands here twice"))
    }
}

fn list(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}

fn one_of(words: &[&str]) -> String {
    match words {
        [word] => format!("`{word}`"),
        words => format!("one of {}", list(words)),
    }
}

/// A part of a tree that is read.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) node: &'a Node,
    pub(super) lookup: Lookup<'a>,
}

impl Reader<'_> {
    /// A value that is no text: what `plain` reads of the tree, or what `parse` makes of a text with variables.
    fn scalar<T>(
        self,
        what: &str,
        plain: impl FnOnce(&Node) -> Option<T>,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, Misread> {
        match self.node {
            Node::Text(text) if has_variables(text) => {
                let expanded = expand(text, self.lookup).map_err(Misread::new)?;
                let read = parse(expanded.trim());
                read.ok_or_else(|| Misread::new(format!("{} not {what}", subject(text))))
            }
            node => plain(node).ok_or_else(|| Misread::expected(what, node)),
        }
    }
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Misread;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misread> {
        match self.node {
            Node::Nothing => visitor.visit_unit(),
            Node::Bool(value) => visitor.visit_bool(*value),
            Node::Number(Some(value)) => visitor.visit_u64(*value),
            Node::Text(text) => visitor.visit_str(text),
            Node::List(_) => self.deserialize_seq(visitor),
            Node::Map(_) => self.deserialize_map(visitor),
            node @ (Node::Number(None) | Node::Tagged) => {
                Err(Misread::expected(&visitor as &dyn Expected, node))
            }
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misread> {
        let plain = |node: &Node| match node {
            Node::Bool(value) => Some(*value),
            _ => None,
        };
        let value = self.scalar("true or false", plain, |text| text.parse().ok())?;
        visitor.visit_bool(value)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misread> {
        let plain = |node: &Node| match node {
            Node::Number(value) => *value,
            _ => None,
        };
        let value = self.scalar("a whole number", plain, |text| text.parse().ok())?;
        visitor.visit_u64(value)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misread> {
        match self.node {
            Node::Text(text) => visitor.visit_str(text),
            node => Err(Misread::expected("text", node)),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misread> {
        self.deserialize_string(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misread> {
        match self.node {
            Node::Nothing => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misread> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misread> {
        let nodes = match self.node {
            Node::Nothing => &[],
            Node::List(nodes) => nodes.as_slice(),
            node => return Err(Misread::expected("a list", node)),
        };
        visitor.visit_seq(Items {
            nodes: nodes.iter().enumerate(),
            lookup: self.lookup,
        })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misread> {
        match self.node {
            Node::Nothing => visitor.visit_map(Entries::of(&[], None, self.lookup)),
            Node::Map(entries) => visitor.visit_map(Entries::of(entries, None, self.lookup)),
            node => Err(Misread::expected("a mapping", node)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misread> {
        let entries = match self.node {
            Node::Nothing => &[],
            Node::Map(entries) => entries.as_slice(),
            node => return Err(Misread::expected(&visitor as &dyn Expected, node)),
        };
        visitor.visit_map(Entries::of(entries, Some(fields), self.lookup))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misread> {
        let known = |text: &str| variants.iter().copied().find(|variant| *variant == text);
        let what = one_of(variants);
        let plain = |node: &Node| match node {
            Node::Text(text) => known(text),
            _ => None,
        };
        let found = self
            .scalar(&what, plain, known)
            .map_err(|misread| match self.node {
                Node::Text(text) if is_nearly(text, variants.iter().copied()) => {
                    Misread::new(format!("expected {what}, found `{text}`"))
                }
                _ => misread,
            })?;
        visitor.visit_enum(found.into_deserializer())
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
        ignored_any
    }
}

/// The items of a list.
struct Items<'a> {
    nodes: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
    lookup: Lookup<'a>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Misread;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Misread> {
        let Some((at, node)) = self.nodes.next() else {
            return Ok(None);
        };
        let lookup = self.lookup;
        let item = seed.deserialize(Reader { node, lookup });
        item.map(Some)
            .map_err(|misread| misread.within(&format!("[{at}]")))
    }
}

/// The entries of a mapping whose keys are `fields`, or any.
struct Entries<'a> {
    entries: std::iter::Enumerate<std::slice::Iter<'a, (Node, Node)>>,
    fields: Option<&'static [&'static str]>,
    lookup: Lookup<'a>,
    seen: HashSet<&'a str>,
    /// The entry whose value comes next.
    next: Option<(usize, &'a str, &'a Node)>,
}

impl<'a> Entries<'a> {
    fn of(
        entries: &'a [(Node, Node)],
        fields: Option<&'static [&'static str]>,
        lookup: Lookup<'a>,
    ) -> Self {
        Self {
            entries: entries.iter().enumerate(),
            fields,
            lookup,
            seen: HashSet::new(),
            next: None,
        }
    }

    /// What is wrong with a key.
    fn refuse(&self, key: &str) -> Option<String> {
        let known = self.fields.is_none_or(|fields| fields.contains(&key));
        let fields = self.fields.unwrap_or_default();
        match known {
            true if self.seen.contains(key) => Some("a key stands here twice".to_owned()),
            true => None,
            false if is_nearly(key, fields.iter().copied()) => Some(format!(
                "there is no key `{key}`; known are {}",
                list(fields)
            )),
            false => Some(format!(
                "this key is not known (it is not shown, because it may be a secret); known are {}",
                list(fields)
            )),
        }
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Misread;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Misread> {
        let Some((at, (key, value))) = self.entries.next() else {
            return Ok(None);
        };
        let here = |misread: Misread| Misread {
            entry: Some(at),
            ..misread
        };
        let Node::Text(key) = key else {
            return Err(here(Misread::expected("a key", key)));
        };
        let key = key.as_str();
        if let Some(message) = self.refuse(key) {
            return Err(here(Misread::new(message)));
        }
        self.seen.insert(key);
        self.next = Some((at, key, value));
        let key: StrDeserializer<'_, Misread> = key.into_deserializer();
        seed.deserialize(key).map(Some).map_err(here)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misread> {
        let Some((at, key, node)) = self.next.take() else {
            return Err(Misread::new("this does not belong here"));
        };
        let lookup = self.lookup;
        let value = seed.deserialize(Reader { node, lookup });
        value.map_err(|misread| match self.fields {
            Some(_) => misread.within(key),
            None => Misread {
                entry: Some(at),
                ..misread
            },
        })
    }
}
