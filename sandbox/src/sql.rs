//! The T-SQL subset: lexer, syntax tree and parser. What it does not know is an error with SQL Server's number and
//! line.
//!
//! - `ast`: the syntax tree; `keyword`: reserved words; `lexer`: tokens
//! - `parser`: statements, declarations, types
//! - `script`: a script file's batches, split at GO

pub mod ast;
mod keyword;
mod lexer;
mod parser;
mod script;
#[cfg(test)]
mod tests;

pub use parser::{parse_batch, parse_batch_with, parse_declarations, parse_type};
pub use script::{ScriptBatch, split_go};

use crate::session::SqlError;

type SyntaxResult<T> = Result<T, SqlError>;

/// An error found while parsing: severity 15, "can be corrected by the user".
fn error(number: i32, line: u32, message: String) -> SqlError {
    SqlError {
        number,
        state: 1,
        class: 15,
        line,
        message,
    }
}
