//! Engine. Answers that match a grammar: which tokens may come next.
//! Knows nothing of weights, batches or requests. The only crate that names llguidance.
//!
//! [`Grammars`] belong to a vocabulary. A [`GrammarSession`] follows one answer on a thread of its own: it compiles the
//! grammar, and computes which tokens may come next while the model computes which are likely. So a grammar that is
//! slow holds up nobody but its own answer, and every grammar is bounded in size, depth, fuel and memory.

mod compile;
mod error;
mod grammar;
mod session;
mod vocabulary;

pub use error::GrammarError;
pub use grammar::{Grammar, MAX_GRAMMAR_BYTES, MAX_SCHEMA_BYTES};
pub use session::{Allowed, GrammarSession, Grammars};
