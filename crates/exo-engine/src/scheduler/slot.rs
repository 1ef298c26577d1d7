//! One cache slot and the sequence that runs in it.

use std::collections::VecDeque;

use super::{Wants, drafter::Drafter, prefixes::Prefixes, shares::Unread};
use crate::{
    embedding::Pooling,
    plan::BLOCK,
    request::{Priority, Turn},
};

/// So often one gives way at most: what it has to read again each time is for nothing.
pub(super) const INTERRUPTIONS: u32 = 4;

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
    /// Whether more of its prompt has to be computed than fits into one step.
    pub(super) is_long: bool,
    /// What comes after `tokens`, if the guess is right.
    pub(super) guesses: VecDeque<u32>,
    drafter: Drafter,
    pub(super) wants: Wants,
    pub(super) turn: Turn,
    /// Its number among all that came.
    pub(super) arrival: u64,
    /// How often others that came later had their turn while it waited for longest.
    pub(super) passed: u32,
    /// How often it gave way to something urgent.
    interrupted: u32,
    /// How many of its tokens were charged for.
    pub(super) charged: usize,
}

impl Sequence {
    pub(super) fn new(id: u64, tokens: Vec<u32>, left: usize, wants: Wants, turn: Turn) -> Self {
        Self {
            id,
            prompt_tokens: tokens.len(),
            tokens,
            left,
            computed: 0,
            cached: 0,
            is_long: false,
            guesses: VecDeque::new(),
            drafter: Drafter::default(),
            wants,
            turn,
            arrival: 0,
            passed: 0,
            interrupted: 0,
            charged: 0,
        }
    }

    /// Whether it may be put back into the queue for something of that priority: nothing of it is under way that a result
    /// comes back of, nothing was made of what it computed but tokens, and it was not interrupted too often.
    pub(super) fn can_wait_for(&self, priority: Priority) -> bool {
        self.turn.priority < priority
            && self.interrupted < INTERRUPTIONS
            && self.wants == Wants::Tokens
            && self.guesses.is_empty()
            && self.computed < self.tokens.len()
    }

    /// Begins again: what it generated is read as part of its prompt.
    pub(super) fn put_back(&mut self) {
        self.computed = 0;
        self.prompt_tokens = self.tokens.len();
        self.charged = self.tokens.len();
        self.interrupted += 1;
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

    /// The tokens that need not be computed if they were before. The last one always is, for its logits, and so are all
    /// whose states are wanted.
    pub(super) fn reusable(&self) -> &[u32] {
        let wants_all = match self.wants {
            Wants::Tokens => false,
            Wants::States { pooling, in_one_step } => pooling != Pooling::Last || in_one_step,
        };
        let usable = if wants_all { 0 } else { self.tokens.len().saturating_sub(1) };
        &self.tokens[..usable]
    }

    /// Whether the keys and values of its tokens depend on those behind, and serve nobody else.
    pub(super) fn sees_ahead(&self) -> bool {
        matches!(self.wants, Wants::States { in_one_step: true, .. })
    }

    /// What is left to read of its prompt, if anything is.
    pub(super) fn unread(&self) -> Option<Unread> {
        let left = self.prompt_tokens.checked_sub(self.computed).filter(|left| *left > 0)?;
        let (is_long, in_one_step, priority) = (self.is_long, self.sees_ahead(), self.turn.priority);
        Some(Unread { left, is_long, in_one_step, priority })
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
    /// How many positions the ranks hold of it: also those that are forgotten here and not replaced there yet.
    pub(super) positions: usize,
    /// Blocks that it has its first positions in common with.
    pub(super) blocks: Vec<u32>,
    /// Number of the admission that used it last.
    pub(super) admission: u64,
}

impl Slot {
    pub(super) fn is_running(&self, id: u64) -> bool {
        self.running.as_ref().is_some_and(|sequence| sequence.id == id)
    }

    /// How many of `tokens` the slot holds.
    pub(super) fn prefix_of(&self, tokens: &[u32]) -> usize {
        self.held.iter().zip(tokens).take_while(|(held, wanted)| held == wanted).count()
    }

    /// Forgets what it holds from that position on.
    pub(super) fn cut(&mut self, len: usize, prefixes: &mut Prefixes) {
        self.held.truncate(len);
        let kept = (self.held.len() / BLOCK).min(self.blocks.len());
        self.blocks.drain(kept..).for_each(|block| prefixes.let_go(block));
    }

    /// Runs a sequence whose first `cached` tokens the slot holds; `step` tokens of a prompt fit into one step.
    pub(super) fn start(&mut self, mut sequence: Sequence, cached: usize, step: usize) {
        sequence.is_long = sequence.tokens.len() - cached > step;
        sequence.cached = cached;
        sequence.computed = cached;
        self.running = Some(sequence);
    }

    /// Memory that it takes beside what it has in common with blocks, in blocks.
    pub(super) fn own_blocks(&self) -> usize {
        self.positions.max(self.held.len()).div_ceil(BLOCK) - self.blocks.len()
    }
}
