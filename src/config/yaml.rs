//! A YAML text as a tree, and the lines of its parts.
//!
//! The library's messages quote what they refuse, except for those about the syntax, which are constant texts. So a
//! text is read in two steps: first its syntax, whose errors are shown, then its values, whose errors are not.
//!
//! An alias (`*name`) is read again wherever it stands, so a short text may stand for a tree of any size. The tree may
//! have at most [`EXPANSION_MAX`] times the size of its text.

use serde::de::{
    DeserializeSeed, Deserializer as _, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_yaml_ng::{Deserializer, Error};
use std::cell::Cell;
use std::fmt;

/// Nodes and bytes of a tree for each byte of its text. Without aliases there are about two.
const EXPANSION_MAX: usize = 100;

/// A part of a YAML text.
#[derive(Clone, PartialEq)]
pub(super) enum Node {
    Nothing,
    Bool(bool),
    /// With its value where it is a whole number that is not negative.
    Number(Option<u64>),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    /// A value with a tag of its own (`!name`).
    Tagged,
}

impl Node {
    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Node::Nothing => "nothing",
            Node::Bool(_) => "true or false",
            Node::Number(_) => "a number",
            Node::Text(_) => "text",
            Node::List(_) => "a list",
            Node::Map(_) => "a mapping",
            Node::Tagged => "a value with a tag",
        }
    }
}

/// Reads a text; the message holds nothing of it.
pub(super) fn parse(text: &str) -> Result<Node, String> {
    let syntax = Deserializer::from_str(text).deserialize_ignored_any(IgnoredAny);
    syntax.map_err(|error: Error| error.to_string())?;
    let whole = Whole {
        room: &Cell::new((text.len() + 1) * EXPANSION_MAX),
    };
    whole.deserialize(Deserializer::from_str(text)).map_err(|error| {
        let place = error
            .location()
            .map(|at| format!(" at line {} column {}", at.line(), at.column()));
        format!(
            "a value cannot be read{}: its tag does not fit it, it is nested too deep, or aliases repeat it too often",
            place.unwrap_or_default()
        )
    })
}

/// Takes whatever comes, as long as there is room.
#[derive(Clone, Copy)]
struct Whole<'a> {
    room: &'a Cell<usize>,
}

impl Whole<'_> {
    fn take<E: serde::de::Error>(self, size: usize) -> Result<(), E> {
        let left = self.room.get().checked_sub(size);
        self.room.set(left.ok_or_else(|| E::custom("too large"))?);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Whole<'_> {
    type Value = Node;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        self.take(1)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Whole<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Nothing)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Nothing)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(Some(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(u64::try_from(value).ok()))
    }

    fn visit_u128<E>(self, _: u128) -> Result<Node, E> {
        Ok(Node::Number(None))
    }

    fn visit_i128<E>(self, _: i128) -> Result<Node, E> {
        Ok(Node::Number(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Number(None))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Node, E> {
        self.take(text.len())?;
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry_seed(self, self)? {
            map.push(entry);
        }
        Ok(Node::Map(map))
    }

    fn visit_enum<A: serde::de::EnumAccess<'de>>(self, tagged: A) -> Result<Node, A::Error> {
        use serde::de::VariantAccess as _;
        let (IgnoredAny, value) = tagged.variant()?;
        value.newtype_variant::<IgnoredAny>()?;
        Ok(Node::Tagged)
    }
}

/// A step from a part of a text to one inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step<'a> {
    Key(&'a str),
    Item(usize),
    /// The key of an entry that is not named.
    Entry(usize),
}

/// Line and column, from 1, of what a path like `tables[0].change` leads to, or of the innermost part of it that is
/// there. `entry` is that entry of the mapping at the path.
pub(super) fn locate(text: &str, path: &str, entry: Option<usize>) -> Option<(usize, usize)> {
    let mut steps = Vec::new();
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let mut parts = part.split('[');
        steps.extend(parts.next().map(Step::Key));
        let index = |index: &str| index.strip_suffix(']')?.parse().ok();
        steps.extend(parts.filter_map(index).map(Step::Item));
    }
    steps.extend(entry.map(Step::Entry));
    let seek = Seek { steps: &steps };
    // What is looked for is an error there: the library says only of errors where they are.
    let found = seek.deserialize(Deserializer::from_str(text)).err()?;
    found.location().map(|at| (at.line(), at.column()))
}

/// Fails at the part that the steps lead to.
#[derive(Clone, Copy)]
struct Seek<'a> {
    steps: &'a [Step<'a>],
}

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// A visitor fails at what it has no method for.
impl<'de> Visitor<'de> for Seek<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        if let Some((Step::Item(wanted), steps)) = self.steps.split_first() {
            for _ in 0..*wanted {
                items.next_element::<IgnoredAny>()?;
            }
            items.next_element_seed(Seek { steps })?;
        }
        Err(A::Error::custom("here"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        match self.steps.split_first() {
            Some((Step::Key(wanted), steps)) => {
                // `parse` has read these keys before.
                let room = Cell::new(usize::MAX);
                while let Some(key) = entries.next_key_seed(Whole { room: &room })? {
                    match key {
                        Node::Text(key) if key == *wanted => {
                            entries.next_value_seed(Seek { steps })?
                        }
                        _ => {
                            entries.next_value::<IgnoredAny>()?;
                        }
                    }
                }
            }
            Some((Step::Entry(wanted), _)) => {
                for _ in 0..*wanted {
                    entries.next_entry::<IgnoredAny, IgnoredAny>()?;
                }
                entries.next_key_seed(Seek { steps: &[] })?;
            }
            Some((Step::Item(_), _)) | None => {}
        }
        Err(A::Error::custom("here"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "source:\n  connection: x\ntables:\n  - source: a\n  - { source: b, renames: { c: d, e: 5 } }\n";

    #[test]
    fn parts_are_found_by_their_path() {
        for (path, entry, expected) in [
            ("source.connection", None, (2, 15)),
            ("tables[1].source", None, (5, 15)),
            ("tables[1].renames", Some(1), (5, 35)),
            // What is missing is where it would be.
            ("tables[1].change.lag", None, (5, 5)),
            ("tables[7]", None, (4, 3)),
            ("source", Some(0), (2, 3)),
            ("", None, (1, 1)),
        ] {
            assert_eq!(
                locate(TEXT, path, entry),
                Some(expected),
                "{path} {entry:?}"
            );
        }
    }

    #[test]
    fn everything_has_a_kind() {
        let kinds = |text| match parse(text) {
            Ok(Node::List(items)) => items.iter().map(Node::kind).collect::<Vec<_>>().join(", "),
            Ok(other) => other.kind().to_owned(),
            Err(message) => message,
        };
        assert_eq!(kinds(""), "nothing");
        assert_eq!(
            kinds("[~, true, 5, -5, 0.5, 99999999999999999999, x, [], {}, !t x, !!str 5]"),
            "nothing, true or false, a number, a number, a number, a number, text, a list, a mapping, \
                a value with a tag, text"
        );
    }

    #[test]
    fn aliases_do_not_grow_without_a_bound() {
        let list = |item: &str, times| vec![item; times].join(",");
        let text = format!(
            "a: &a [{}]\nb: &b [{}]\nc: [{}]\n",
            list("~", 300),
            list("*a", 100),
            list("*b", 400)
        );
        let Some(message) = parse(&text).err() else {
            panic!("12 million nodes are read");
        };
        assert!(message.contains("aliases repeat it too often"), "{message}");
        // Nor do long texts.
        let text = format!("a: &a {}\nb: [{}]\n", "x".repeat(5000), list("*a", 1000));
        assert!(parse(&text).is_err());
        let table = "{ source: dbo.a, change: { strategy: full } }";
        let tables = format!("a: &a {table}\nb: [{}]\n", list("*a", 500));
        assert!(parse(&tables).is_ok());
    }

    #[test]
    fn what_is_no_yaml_is_not_quoted() {
        for text in [
            "a: [Ada",
            "\"Ada",
            "!!int Ada",
            "? [Ada\n: x",
            "a: *Ada",
            "Ada: {]",
            "%Ada",
            "@Ada",
            "\tAda: x",
        ] {
            let message = parse(text).err();
            let message = message.unwrap_or_else(|| panic!("{text} is read"));
            assert!(!message.contains("Ada"), "{text}: {message}");
        }
        assert!(
            parse("!!int Ada")
                .err()
                .is_some_and(|message| message.contains("cannot be read"))
        );
    }
}
