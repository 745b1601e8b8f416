//! What the server says, without the values of rows that it quotes.
//!
//! Names of tables, columns and constraints stay. Which messages quote a value, and where, is known by the number of
//! the error. The texts are looked for as the server has them in English. A login of another language gets others, so
//! a message that should quote a value, and has not the known text before it, is left out as a whole. So is every text
//! of a THROW or RAISERROR, as of triggers, because nothing is known of what it quotes.

use crate::secret::{RowValue, values_are_shown};
use std::fmt;

/// A message of the server. It prints as one line, and without the values that it quotes unless row values were asked
/// for.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerMessage {
    number: u32,
    text: String,
}

impl ServerMessage {
    /// The text of an error.
    pub fn new(number: u32, text: impl Into<String>) -> Self {
        Self {
            number,
            text: text.into(),
        }
    }

    /// With the values: for the quarantine, which keeps the rows as well.
    pub fn whole(&self) -> &str {
        &self.text
    }
}

/// What is before the quoted value, by the number of the error. What follows the value is left out with it.
///
/// (Documentation: "Database engine events and errors", and `sys.messages`.)
const QUOTING: &[(u32, &str)] = &[
    (220, "value = "),
    (232, "value = "),
    (244, " value '"),
    (245, " value '"),
    (248, " value '"),
    (1505, "The duplicate key value is "),
    (2601, "The duplicate key value is "),
    (2627, "The duplicate key value is "),
    (2628, "Truncated value: "),
    // The messages of CLR exceptions.
    (6260, " : "),
    (6522, "\": "),
    (6923, "element(s): "),
    (9819, " value '"),
    (13609, "character '"),
    // icesync's own: a column, and the value that it cannot keep.
    (51_006, ": "),
];

/// XML that is refused: texts quote parts of it, and end with the path to the place.
const XML: [std::ops::RangeInclusive<u32>; 2] = [6900..=6999, 9400..=9499];

/// How these begin in English. Of another language it is not known where the path or a part of the XML is.
const XML_BEGINS: [&str; 2] = ["XML Validation: ", "XML parsing: "];

/// Numbers from here on are those of THROW and RAISERROR.
const RAISED: u32 = 50_000;

/// What icesync's own statements raise without a value in it; digits are left out.
const OWN: [&str; 13] = [
    "another load of this target is in its transaction",
    "the load state has moved",
    "a row has NULL in its key",
    "a staged row has NULL in its key",
    "the target has rows",
    "the target did not take every row",
    "the target did not take every version",
    "a trigger has ended the transaction of the load",
    "the target table was recreated or altered",
    "the target table was recreated",
    "the target table is there",
    " rows were sent to the staging table and it holds ",
    " rows were sent to the table that is filled and it holds ",
];

/// The beginning of a message that holds no value, and whether something is left out behind it.
fn without_values(number: u32, text: &str) -> (&str, bool) {
    let upto = |end: usize| (&text[..end], true);
    if let Some((_, before)) = QUOTING.iter().find(|(quoting, _)| *quoting == number) {
        let found = text.find(before);
        return upto(found.map_or(0, |at| at + before.trim_end_matches('\'').len()));
    }
    if XML.iter().any(|range| range.contains(&number)) {
        if !XML_BEGINS.iter().any(|begin| text.starts_with(begin)) {
            return upto(0);
        }
        let places = ["'", "\"", "Location"];
        let first = places
            .into_iter()
            .filter_map(|place| text.find(place))
            .min();
        return first.map_or((text, false), upto);
    }
    let is_own = || {
        let words: String = text.chars().filter(|c| !c.is_ascii_digit()).collect();
        OWN.contains(&words.as_str())
    };
    match number < RAISED || is_own() {
        true => (text, false),
        false => upto(0),
    }
}

impl fmt::Display for ServerMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, is_cut) = match values_are_shown() {
            true => (self.text.as_str(), false),
            false => without_values(self.number, &self.text),
        };
        f.write_str(&shown.replace(['\r', '\n'], " "))?;
        match is_cut {
            true => write!(f, "{}", RowValue(&self.text)),
            false => Ok(()),
        }
    }
}

impl fmt::Debug for ServerMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::NOT_SHOWN;

    #[test]
    fn values_are_cut_out_and_names_stay() {
        for (number, text, kept) in [
            (
                2627,
                "Violation of PRIMARY KEY constraint 'pk_t'. Cannot insert duplicate key in object 'dbo.t'. The \
                    duplicate key value is (Ada, 7).",
                "'pk_t'. Cannot insert duplicate key in object 'dbo.t'. The duplicate key value is (not shown",
            ),
            (
                2601,
                "Cannot insert duplicate key row in object 'dbo.t' with unique index 'ux'. The duplicate key value is \
                    (Ada).",
                "'dbo.t' with unique index 'ux'. The duplicate key value is (not shown",
            ),
            (
                1505,
                "The CREATE UNIQUE INDEX statement terminated because a duplicate key was found for the object name \
                    'dbo.t' and the index name 'pk'. The duplicate key value is (Ada).",
                "the index name 'pk'. The duplicate key value is (not shown",
            ),
            (
                2628,
                "String or binary data would be truncated in table 'd.dbo.t', column 'name'. Truncated value: 'Ada'.",
                "column 'name'. Truncated value: (not shown",
            ),
            (
                245,
                "Conversion failed when converting the varchar value 'Ada' value 'Ada' to data type int.",
                "converting the varchar value (not shown",
            ),
            (
                220,
                "Arithmetic overflow error for data type tinyint, value = 7777.",
                "tinyint, value = (not shown",
            ),
            (
                6522,
                "A .NET Framework error occurred during execution of user-defined routine or aggregate \"geometry\": \
                    System.FormatException: 24114: The label Ada 7777",
                "aggregate \"geometry\": (not shown",
            ),
            (
                6926,
                "XML Validation: Invalid simple type value: 'Ada'. Location: /*:Ada[1]",
                "Invalid simple type value: (not shown",
            ),
            (
                6908,
                "XML Validation: Invalid content. Location: /*:Ada[1]",
                "Invalid content. (not shown",
            ),
            (
                6923,
                "XML Validation: Unexpected element(s): Ada. Location: /*:Ada[1]",
                "Unexpected element(s): (not shown",
            ),
            (
                6260,
                "An error occurred while getting new row from user defined Table Valued Function : Ada 7777.",
                "Table Valued Function : (not shown",
            ),
            (
                9819,
                "Error converting string value 'Ada' into data type date using culture ''.",
                "converting string value (not shown",
            ),
            (51_006, "city: Ada", "city: (not shown"),
            (50_000, "order Ada is frozen", "(not shown"),
            (51_007, "Ada is frozen", "(not shown"),
            // Of a login whose language is not English.
            (
                2627,
                "Verletzung der PRIMARY KEY-Einschränkung \"pk\". Der doppelte Schlüsselwert ist (Ada).",
                "(not shown",
            ),
            (
                6908,
                "XML-Überprüfung: Ungültiger Inhalt. Speicherort: /*:Ada[1]",
                "(not shown",
            ),
        ] {
            let message = ServerMessage::new(number, text);
            for said in [message.to_string(), format!("{message:?}")] {
                assert!(said.contains(kept) && said.contains(NOT_SHOWN), "{said}");
                assert!(!said.contains("Ada") && !said.contains("7777"), "{said}");
            }
            assert_eq!(message.whole(), text);
        }
    }

    #[test]
    fn a_message_is_one_line() {
        let message = ServerMessage::new(208, "Invalid object name 'a\r\nicesync: done\n'.");
        assert_eq!(
            message.to_string(),
            "Invalid object name 'a  icesync: done '."
        );
    }

    #[test]
    fn messages_that_quote_no_value_are_shown_whole() {
        for (number, text) in [
            (208, "Invalid object name 'dbo.t'."),
            (
                547,
                "The INSERT statement conflicted with the CHECK constraint \"ck\". The conflict occurred in database \
                    \"d\", table \"dbo.t\", column 'n'.",
            ),
            (8152, "String or binary data would be truncated."),
            (18456, "Login failed for user 'sa'."),
            (
                9420,
                "XML parsing: line 1, character 3, illegal xml character",
            ),
            (51_003, "the load state has moved"),
            (
                51_007,
                "12 rows were sent to the staging table and it holds 11",
            ),
            (
                51_007,
                "12 rows were sent to the table that is filled and it holds 11",
            ),
        ] {
            assert_eq!(ServerMessage::new(number, text).to_string(), text);
        }
    }
}
