//! Why an answer cannot be held to a grammar.

use thiserror::Error;

/// A grammar that cannot be used, or not any further.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GrammarError {
    /// More text than is read.
    #[error("the grammar has {bytes} bytes; the limit is {limit}")]
    TooLong {
        /// What was given.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// Brackets in brackets.
    #[error("the grammar is nested {0} deep; the limit is {limit}", limit = crate::grammar::MAX_DEPTH)]
    TooDeep(usize),
    /// It cannot be read, asks for what cannot be enforced, or is too much work.
    #[error("the grammar cannot be used: {0}")]
    Refused(String),
    /// It took more steps or memory than an answer may take.
    #[error("the grammar became too complex while the answer grew: {0}; make it less ambiguous")]
    TooComplex(String),
    /// Nothing came of it for so long.
    #[error("the grammar took more than {0} seconds; make it smaller")]
    TooSlow(u64),
    /// Too many at once.
    #[error("{0} answers are held to grammars already; try again later")]
    Busy(usize),
    /// No thread for it.
    #[error("the system refused a thread for the grammar: {0}")]
    Thread(String),
}
