//! Rows and keys as the model knows them.

/// A row, each cell as [`show`](crate::harness::show) writes it.
pub type Row = Vec<String>;

/// The values of a key, in the order of the key.
pub type Key = Vec<Part>;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Number(i64),
    Text(String),
}

/// Which spellings of a key are one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fold {
    /// Each is its own.
    Spelled,
    /// Letters of ASCII in either case, with trailing spaces or without: one key of the lake.
    Lake,
    /// The same for all letters: one key for a collation that ignores case.
    Caseless,
    /// With trailing spaces or without: one key for a collation that minds case.
    Cased,
}

/// The number in a cell; none where it has none.
pub fn number(cell: &str) -> Option<i64> {
    let digits = cell.strip_prefix("Int(")?.strip_suffix(')')?;
    digits.parse().ok()
}

impl Part {
    pub fn of(cell: &str) -> Self {
        if let Some(number) = number(cell) {
            return Part::Number(number);
        }
        let text = cell.strip_prefix("Text(\"");
        let text = text.and_then(|text| text.strip_suffix("\")"));
        Part::Text(text.unwrap_or(cell).to_owned())
    }

    fn folded(&self, fold: Fold) -> Self {
        let text = match self {
            Part::Number(_) => return self.clone(),
            Part::Text(text) => text,
        };
        let trimmed = text.trim_end_matches(' ');
        Part::Text(match fold {
            Fold::Spelled => text.clone(),
            Fold::Lake => trimmed.to_ascii_lowercase(),
            Fold::Caseless => trimmed.to_lowercase(),
            Fold::Cased => trimmed.to_owned(),
        })
    }

    /// In T-SQL.
    pub fn literal(&self) -> String {
        match self {
            Part::Number(number) => number.to_string(),
            Part::Text(text) => format!("N'{}'", text.replace('\'', "''")),
        }
    }

    /// As the quarantine lists it.
    fn listed(&self) -> String {
        match self {
            Part::Number(number) => number.to_string(),
            Part::Text(text) if text.trim() != text => serde_json::Value::from(&**text).to_string(),
            Part::Text(text) => text.clone(),
        }
    }
}

pub fn folded(key: &[Part], fold: Fold) -> Key {
    key.iter().map(|part| part.folded(fold)).collect()
}

/// A key as the quarantine lists it.
pub fn listed(key: &[Part]) -> String {
    let parts: Vec<String> = key.iter().map(Part::listed).collect();
    parts.join(", ")
}

/// What one has and the other has not, for a message. Both are sorted.
pub fn differences(expected: &[Row], found: &[Row]) -> String {
    let without = |rows: &[Row], others: &[Row]| {
        let mut others = others.to_vec();
        let alone = rows
            .iter()
            .filter(|row| match others.iter().position(|other| other == *row) {
                Some(at) => {
                    others.remove(at);
                    false
                }
                None => true,
            });
        let lines: Vec<String> = alone.map(|row| format!("    {}", row.join(", "))).collect();
        lines.join("\n")
    };
    format!(
        "  missing:\n{}\n  too many:\n{}",
        without(expected, found),
        without(found, expected)
    )
}
