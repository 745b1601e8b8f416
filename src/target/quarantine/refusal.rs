//! Which errors a row can cause.

/// Errors of the server that a row can cause, and why. Not among them: permissions, deadlocks, locks that were not
/// granted, a full log or disk, and what is wrong with a table or a statement whatever the rows are.
///
/// (Documentation: "Database engine errors"; "SET XACT_ABORT" and "Trigger" of "TRY...CATCH" for 3609 and 3616.)
const BY_A_ROW: &[(u32, &str)] = &[
    (220, "a number is outside the range of a type"),
    (232, "a number is outside the range of a type"),
    (234, "there is no room for a money value as text"),
    (235, "a text is no money value"),
    (236, "a text is a money value outside of its range"),
    (237, "there is no room for a money value"),
    (238, "there is no room for a money value"),
    (241, "a text is no date or time"),
    (242, "a text is a date outside the range of its type"),
    (244, "a text is a number outside the range of its type"),
    (245, "a text is no number"),
    (248, "a text is a number outside the range of int"),
    (295, "a text is no smalldatetime"),
    (296, "a text is a smalldatetime outside of its range"),
    (298, "a datetime is no smalldatetime"),
    (511, "the row is longer than a page"),
    (515, "NULL in a column that does not take it"),
    (517, "a computed date is outside the range of its type"),
    (535, "a difference of dates is outside the range of int"),
    (
        547,
        "a CHECK or FOREIGN KEY constraint, or a row that refers to a deleted one",
    ),
    (1946, "the key is longer than an index takes"),
    (2601, "a value that a unique index has"),
    (2627, "a value that a unique constraint has"),
    (2628, "a text or binary value is too long"),
    (3609, "a trigger has rolled the transaction back"),
    (
        3616,
        "an error in a trigger has rolled the transaction back",
    ),
    (
        6522,
        "a CLR type, constraint or trigger has raised an error",
    ),
    (8114, "a value cannot be converted"),
    (8115, "a number is outside the range of a type"),
    (
        8134,
        "a constraint, computed column or trigger divides by zero",
    ),
    (8152, "a text or binary value is too long"),
    (8169, "a text is no uniqueidentifier"),
    (9819, "a text is no value of a type"),
    (13609, "a text is no JSON"),
];

/// Errors that a `RAISERROR` or `THROW` of a trigger raises.
const RAISED: u32 = 50_000;
/// XML that does not fit its schema collection, or is not well-formed.
const XML: [std::ops::RangeInclusive<u32>; 2] = [6900..=6999, 9400..=9499];

/// Whether one of the rows of a statement can be the cause of an error. Numbers from 50,000 on are those of triggers,
/// except for `own`, which the statement raises itself.
pub fn is_by_a_row(number: u32, own: &[u32]) -> bool {
    let raised = number >= RAISED && !own.contains(&number);
    raised
        || BY_A_ROW.iter().any(|&(known, _)| known == number)
        || XML.iter().any(|range| range.contains(&number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_of_rows_are_isolated() {
        for number in [
            220, 232, 241, 242, 245, 295, 515, 547, 2601, 2627, 2628, 3609, 3616,
        ] {
            assert!(is_by_a_row(number, &[]), "{number}");
        }
        for number in [8114, 8115, 8152, 6926, 9420, 9819, 50_000, 51_000, 60_123] {
            assert!(is_by_a_row(number, &[51_007]), "{number}");
        }
        // Names, permissions, locks, space, sessions, and the statement's own.
        for number in [
            207, 208, 229, 230, 262, 512, 1105, 1204, 1205, 1222, 3960, 8672, 9002, 51_007,
        ] {
            assert!(!is_by_a_row(number, &[51_007]), "{number}");
        }
        assert!(BY_A_ROW.is_sorted_by(|a, b| a.0 < b.0));
    }
}
