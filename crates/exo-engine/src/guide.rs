//! What holds an answer to its grammar.

use std::time::{Duration, Instant};

use exo_grammar::{Allowed, Grammar, GrammarError, GrammarSession, Grammars};

/// How long a grammar may take to say how an answer may go on. Its own limits end it much sooner.
const PATIENCE: Duration = Duration::from_secs(10);

/// The grammar of one answer.
pub(crate) struct Guide {
    session: GrammarSession,
    /// Whether the answer has come to where the grammar begins: behind the reasoning.
    is_active: bool,
    asked: Instant,
}

/// What the grammar says about the next token.
pub(crate) enum Guidance<'a> {
    /// It may be anything.
    Free,
    /// It must be one of these, or there is none.
    Only(&'a Allowed),
    /// That is still being computed.
    Pending,
    /// There is none: the grammar cannot be used.
    Broken(GrammarError),
}

impl Guide {
    /// Begins to compile; `is_active` unless the answer begins with reasoning.
    pub(crate) fn start(
        grammars: &Grammars,
        grammar: Grammar,
        is_active: bool,
        now: Instant,
    ) -> Result<Self, GrammarError> {
        Ok(Self { session: grammars.start(grammar)?, is_active, asked: now })
    }

    /// The answer is past its reasoning: from the next token on the grammar holds.
    pub(crate) fn activate(&mut self) {
        self.is_active = true;
    }

    /// What the next token may be, waiting for at most `patience`. A grammar that cannot be used is told as soon as it
    /// is known, also before it holds.
    pub(crate) fn guidance(&mut self, patience: Duration, now: Instant) -> Guidance<'_> {
        let is_active = self.is_active;
        let is_late = now.saturating_duration_since(self.asked) > PATIENCE;
        match self.session.wait(if is_active { patience } else { Duration::ZERO }) {
            Some(Err(error)) => Guidance::Broken(error.clone()),
            None if is_late => Guidance::Broken(GrammarError::TooSlow(PATIENCE.as_secs())),
            _ if !is_active => Guidance::Free,
            Some(Ok(allowed)) => Guidance::Only(allowed),
            None => Guidance::Pending,
        }
    }

    /// The answer goes on with `token`.
    pub(crate) fn accept(&mut self, token: u32, now: Instant) {
        if self.is_active {
            self.session.accept(token);
            self.asked = now;
        }
    }
}
