//! Values that are refused.

use crate::mssql::error::LostCharacter;

/// Why a value is not written. As large as a pointer: every value that is written returns room for one.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal(Box<Reason>);

/// What a value is refused for.
#[derive(Debug, PartialEq, Eq)]
pub enum Reason {
    /// What is wrong with it.
    Value(String),
    /// The column's code page lacks a character, or may lack it.
    Character(LostCharacter),
}

impl Refusal {
    pub fn reason(self) -> Reason {
        *self.0
    }
}

impl From<String> for Refusal {
    #[cold]
    fn from(problem: String) -> Self {
        Self(Box::new(Reason::Value(problem)))
    }
}

impl From<&str> for Refusal {
    #[cold]
    fn from(problem: &str) -> Self {
        problem.to_owned().into()
    }
}

impl From<LostCharacter> for Refusal {
    #[cold]
    fn from(lost: LostCharacter) -> Self {
        Self(Box::new(Reason::Character(lost)))
    }
}
