//! What an answer has to match, and what of it is checked before it is compiled.

use exo_text::CallPattern;
use serde_json::Value;

use crate::error::GrammarError;

/// Longest regular expression or Lark grammar, in bytes.
pub const MAX_GRAMMAR_BYTES: usize = 32 << 10;
/// Longest JSON schema, in bytes of its text.
pub const MAX_SCHEMA_BYTES: usize = 256 << 10;
/// Deepest nesting of brackets; compilers of grammars recurse.
pub(crate) const MAX_DEPTH: usize = 64;

/// What an answer has to match from its first character to its last.
#[derive(Debug, Clone, PartialEq)]
pub enum Grammar {
    /// Any JSON object.
    JsonObject,
    /// A JSON value that fits a schema.
    JsonSchema {
        /// The schema.
        schema: Value,
        /// Refuse keywords that cannot be enforced, instead of passing over them.
        strict: bool,
    },
    /// A regular expression.
    Regex(String),
    /// A grammar in llguidance's variant of Lark.
    Lark(String),
    /// Calls of tools as a family of models writes them.
    Calls(CallPattern),
}

impl Grammar {
    /// Checks sizes and depth. What passes may still be refused by the compiler.
    pub fn check(&self) -> Result<(), GrammarError> {
        match self {
            Self::Regex(text) | Self::Lark(text) => {
                check_length(text.len(), MAX_GRAMMAR_BYTES)?;
                match depth(text) {
                    depth if depth > MAX_DEPTH => Err(GrammarError::TooDeep(depth)),
                    _ => Ok(()),
                }
            }
            Self::JsonSchema { schema, .. } => check_length(schema.to_string().len(), MAX_SCHEMA_BYTES),
            Self::JsonObject | Self::Calls(_) => Ok(()),
        }
    }
}

fn check_length(bytes: usize, limit: usize) -> Result<(), GrammarError> {
    if bytes > limit { Err(GrammarError::TooLong { bytes, limit }) } else { Ok(()) }
}

/// How deep brackets are nested; those in texts count too, which errs on the safe side.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_or_too_deep_is_refused_before_it_is_read() {
        let check = |grammar: Grammar, expect: &str| {
            let error = grammar.check().expect_err(expect).to_string();
            assert!(error.contains(expect), "{error}");
        };
        check(Grammar::Regex("x".repeat(MAX_GRAMMAR_BYTES + 1)), "the limit is 32768");
        check(Grammar::Lark(format!("start: {}", "(".repeat(65))), "nested 65 deep");
        let schema = Value::from("x".repeat(MAX_SCHEMA_BYTES));
        check(Grammar::JsonSchema { schema, strict: true }, "the limit is 262144");
        Grammar::Regex("((a)|[b]){3}".to_owned()).check().expect("harmless");
    }
}
