//! No request is both answered and failed: its pieces come in order, and nothing comes after its end.

use super::Holds;
use exo_types::TokenChunk;

pub(crate) const NAME: &str = "one outcome per request";

/// What one client has seen of its answer.
#[derive(Debug, Default)]
pub(crate) struct OneOutcome {
    tokens: u32,
    outcome: Option<&'static str>,
}

impl OneOutcome {
    /// A piece of the answer came; the fake engine numbers them from 1.
    pub(crate) fn on_token(&mut self, token: &TokenChunk) -> Holds {
        if let Some(outcome) = self.outcome {
            return Err(format!("a token came after the request had {outcome}"));
        }
        let expected = self.tokens + 1;
        if token.token_ids != [expected] {
            return Err(format!("token {expected} was next, {:?} came", token.token_ids));
        }
        self.tokens = expected;
        if token.finish_reason.is_some() { self.end("been answered") } else { Ok(()) }
    }

    /// The request failed.
    pub(crate) fn on_failure(&mut self) -> Holds {
        self.end("failed")
    }

    /// Whether the whole answer came.
    pub(crate) fn is_answered(&self) -> bool {
        self.outcome == Some("been answered")
    }

    fn end(&mut self, outcome: &'static str) -> Holds {
        match self.outcome.replace(outcome) {
            None => Ok(()),
            Some(before) => Err(format!("the request had {before}, and then has {outcome}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exo_types::FinishReason;

    fn token(number: u32, is_last: bool) -> TokenChunk {
        let finish_reason = is_last.then_some(FinishReason::Length);
        TokenChunk { token_ids: vec![number], finish_reason, ..TokenChunk::default() }
    }

    #[test]
    fn gaps_repetitions_and_second_ends_are_seen() {
        let mut answered = OneOutcome::default();
        assert!(answered.on_token(&token(1, false)).is_ok());
        assert!(answered.on_token(&token(2, true)).is_ok());
        assert!(answered.is_answered());
        assert!(answered.on_failure().is_err());
        for numbers in [[1, 3], [1, 1], [2, 3]] {
            let mut invariant = OneOutcome::default();
            let all: Holds = numbers.iter().try_for_each(|number| invariant.on_token(&token(*number, false)));
            assert!(all.is_err(), "{numbers:?}");
        }
    }
}
