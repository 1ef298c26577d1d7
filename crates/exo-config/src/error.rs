//! What can be wrong with a configuration.

use crate::load::Origin;

/// One thing that is wrong, with the place, the value and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The text is no TOML.
    #[error("{origin}: not valid TOML: {message}")]
    Syntax {
        /// Where.
        origin: Origin,
        /// The parser's words.
        message: String,
    },
    /// No such key.
    #[error("{origin}: unknown key `{key}`; {hint}")]
    UnknownKey {
        /// Where.
        origin: Origin,
        /// The key as it stands there.
        key: String,
        /// The nearest known key, or where to find them all.
        hint: String,
    },
    /// Not a value of that key.
    #[error("{origin}: `{key}` is {found}, but must be {expected}")]
    Value {
        /// Where.
        origin: Origin,
        /// The key.
        key: &'static str,
        /// What stands there.
        found: String,
        /// What may stand there.
        expected: String,
    },
    /// Values that do not go together.
    #[error("{message}")]
    Conflict {
        /// Keys, values and remedy.
        message: String,
    },
}

/// Everything that is wrong; one line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.problems))]
pub struct ConfigErrors {
    /// In the order of the sources. Never empty.
    pub problems: Vec<Problem>,
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}
