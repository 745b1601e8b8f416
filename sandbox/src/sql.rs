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

pub use parser::{
    Batch, Mention, Role, parse_batch, parse_batch_with, parse_declarations, parse_type,
    parse_whole,
};
pub use script::{ScriptBatch, split_go};

use crate::session::SqlError;

/// A text with its parameters replaced by their arguments, which are texts, too.
pub fn with_arguments(text: &str, arguments: &[(String, String)]) -> Result<String, SqlError> {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for token in lexer::tokens(text, true)? {
        let word = &text[token.start..token.end];
        let argument = arguments
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(word));
        if let (lexer::TokenKind::Variable, Some((_, argument))) = (token.kind, argument) {
            out.push_str(&text[done..token.start]);
            out.push_str(argument);
            done = token.end;
        }
    }
    out.push_str(&text[done..]);
    Ok(out)
}

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
