//! A key and a row of the quarantine as text.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

/// The values of a key, joined by a comma and a space. A value that is empty, begins or ends with white space, or has
/// a comma, a double quote, a backslash or a control character is written as a JSON string. So different keys have
/// different texts, and [`read`] gives the values back.
pub fn write(values: &[String]) -> String {
    let parts: Vec<String> = values.iter().map(|value| part(value)).collect();
    parts.join(", ")
}

fn part(value: &str) -> String {
    let is_special = |c: char| matches!(c, ',' | '"' | '\\') || c.is_control();
    if value.is_empty() || value.trim() != value || value.contains(is_special) {
        Value::from(value).to_string()
    } else {
        value.to_owned()
    }
}

/// The values of a key that [`write`] has written; none for another text.
pub fn read(text: &str) -> Option<Vec<String>> {
    let mut values = Vec::new();
    let mut rest = text;
    loop {
        let end;
        if rest.starts_with('"') {
            let mut strings = serde_json::Deserializer::from_str(rest).into_iter::<String>();
            values.push(strings.next()?.ok()?);
            end = strings.byte_offset();
        } else {
            end = rest.find(", ").unwrap_or(rest.len());
            values.push(rest[..end].to_owned());
        }
        rest = &rest[end..];
        if rest.is_empty() {
            return (write(&values) == text).then_some(values);
        }
        rest = rest.strip_prefix(", ")?;
    }
}

/// The values of a row by column, in the order of the columns; as JSON an object of texts and nulls.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Values(pub Vec<(String, Option<String>)>);

impl Serialize for Values {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (column, value) in &self.0 {
            map.serialize_entry(column, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Values;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts and nulls")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Values, A::Error> {
                let mut values = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    values.push(entry);
                }
                Ok(Values(values))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back_as_written() {
        let keys: [&[&str]; 8] = [
            &["7"],
            &["north", "1"],
            &["a, b", "c"],
            &["a", "b, c"],
            &["", " x", "y "],
            &["\"q\"", "back\\slash", "line\nbreak"],
            &["É1", "貓"],
            &["2024-05-01 10:00:00.123", "0x00FF"],
        ];
        let mut texts = Vec::new();
        for key in keys {
            let key: Vec<String> = key.iter().map(ToString::to_string).collect();
            let text = write(&key);
            assert_eq!(read(&text), Some(key), "{text}");
            assert!(!texts.contains(&text), "{text}");
            texts.push(text);
        }
        assert_eq!(write(&["north".to_owned(), "1".to_owned()]), "north, 1");
        for other in ["", "a,b", "a,  b", "\"a\"", "\"open", "a, "] {
            assert_eq!(read(other), None, "{other:?}");
        }
    }

    #[test]
    fn rows_keep_the_order_of_their_columns() {
        let row = Values(vec![
            ("id".into(), Some("7".into())),
            ("a \"name\"".into(), None),
            ("Z".into(), Some(String::new())),
        ]);
        let text = serde_json::to_string(&row).unwrap();
        assert_eq!(text, "{\"id\":\"7\",\"a \\\"name\\\"\":null,\"Z\":\"\"}");
        assert_eq!(serde_json::from_str::<Values>(&text).unwrap(), row);
    }
}
