//! Values that are refused.

use crate::mssql::error::LostCharacter;

/// Why a value is not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// What is wrong with it.
    Value(String),
    /// The column's code page lacks a character, or may lack it.
    Character(LostCharacter),
}

impl From<String> for Refusal {
    fn from(problem: String) -> Self {
        Refusal::Value(problem)
    }
}

impl From<&str> for Refusal {
    fn from(problem: &str) -> Self {
        Refusal::Value(problem.to_owned())
    }
}
