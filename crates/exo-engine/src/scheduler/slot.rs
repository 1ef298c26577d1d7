//! One cache slot and the sequence that runs in it.

use std::collections::VecDeque;

use super::{Wants, drafter::Drafter};
use crate::embedding::Pooling;

/// A sequence of tokens, waiting or running.
#[derive(Debug)]
pub(super) struct Sequence {
    pub(super) id: u64,
    /// Prompt and answer so far.
    pub(super) tokens: Vec<u32>,
    prompt_tokens: usize,
    /// How many tokens may still be generated.
    pub(super) left: usize,
    /// How many tokens are in the cache, with those that are guessed.
    pub(super) computed: usize,
    /// How many of them were there before the sequence started.
    pub(super) cached: usize,
    /// What comes after `tokens`, if the guess is right.
    pub(super) guesses: VecDeque<u32>,
    drafter: Drafter,
    pub(super) wants: Wants,
}

impl Sequence {
    pub(super) fn new(id: u64, tokens: Vec<u32>, left: usize, wants: Wants) -> Self {
        let (prompt_tokens, guesses, drafter) = (tokens.len(), VecDeque::new(), Drafter::default());
        Self { id, tokens, prompt_tokens, left, computed: 0, cached: 0, guesses, drafter, wants }
    }

    /// Guesses up to `most` tokens after the last one, and one less than may still come.
    pub(super) fn guess(&mut self, most: usize) {
        let most = most.min(self.left.saturating_sub(1));
        self.guesses = self.drafter.draft(&self.tokens, most).into();
    }

    /// Adds the next token; whether it had been guessed. A wrong guess takes all behind it along.
    pub(super) fn push(&mut self, token: u32) -> bool {
        let guess = self.guesses.pop_front();
        self.tokens.push(token);
        self.left = self.left.saturating_sub(1);
        if guess.is_some() {
            self.drafter.on_outcome(guess == Some(token), self.guesses.len());
        }
        if guess != Some(token) {
            self.guesses.clear();
            // It is not computed yet, and what was computed in its place counts for nothing.
            self.computed = self.computed.min(self.tokens.len() - 1);
        }
        guess == Some(token)
    }

    /// Nothing is guessed any more; every token is computed.
    pub(super) fn forget_guesses(&mut self) {
        self.guesses.clear();
        self.computed = self.computed.min(self.tokens.len());
    }

    /// Whether the whole prompt is in the cache.
    pub(super) fn is_decoding(&self) -> bool {
        self.computed >= self.prompt_tokens
    }
}

/// A cache slot.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) running: Option<Sequence>,
    /// Tokens whose keys and values the slot holds, from position 0 on.
    pub(super) held: Vec<u32>,
    /// Number of the admission that used it last.
    pub(super) admission: u64,
}

impl Slot {
    pub(super) fn is_running(&self, id: u64) -> bool {
        self.running.as_ref().is_some_and(|sequence| sequence.id == id)
    }

    /// How many tokens of the prompt of `sequence` the slot holds and need not be computed. The last one always is, for its
    /// logits, and so are all whose states are wanted.
    pub(super) fn usable_prefix(&self, sequence: &Sequence) -> usize {
        let wants_all = match sequence.wants {
            Wants::Tokens => false,
            Wants::States { pooling, in_one_step } => pooling != Pooling::Last || in_one_step,
        };
        if wants_all {
            return 0;
        }
        let usable = sequence.tokens.len().saturating_sub(1);
        self.held.iter().zip(&sequence.tokens[..usable]).take_while(|(held, wanted)| held == wanted).count()
    }

    pub(super) fn start(&mut self, mut sequence: Sequence) {
        sequence.cached = self.usable_prefix(&sequence);
        sequence.computed = sequence.cached;
        self.running = Some(sequence);
    }

    pub(super) fn release(&mut self) {
        self.running = None;
    }
}
