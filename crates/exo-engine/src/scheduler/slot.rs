//! One cache slot and the sequence that runs in it.

use super::Wants;
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
    /// How many tokens are in the cache.
    pub(super) computed: usize,
    /// How many of them were there before the sequence started.
    pub(super) cached: usize,
    pub(super) wants: Wants,
}

impl Sequence {
    pub(super) fn new(id: u64, tokens: Vec<u32>, left: usize, wants: Wants) -> Self {
        Self { id, prompt_tokens: tokens.len(), tokens, left, computed: 0, cached: 0, wants }
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
        if sequence.wants == Wants::States(Pooling::Mean) {
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
