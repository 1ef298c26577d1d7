//! Decides what each step computes: continuous batching with chunked prefill. Pure: no threads, no clock.
//!
//! Every running sequence that is past its prompt gets one token a step, whatever else happens; prompts share a budget
//! of tokens a step, the oldest first. Where the layers are cut into stages, that many steps are under way at a time, and
//! the sequences that decode are dealt out to them; a prompt's next chunk does not wait for the one before. A sequence keeps its cache slot until it ends, and the slot keeps its tokens
//! after that, so that a later prompt that starts the same need not be computed again.
//!
//! Where drafts are allowed, a sequence that repeats itself has the tokens computed, too, that came after the same words
//! before. Each is kept only if it is the token that is sampled there, so that answers are what they are without.

use std::collections::VecDeque;

use crate::{
    embedding::Pooling,
    plan::{BatchPlan, Rows, SequencePlan},
};

mod drafter;
mod slot;

use slot::{Sequence, Slot};

/// What the scheduler may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchedulerLimits {
    /// Most tokens of a sequence, prompt and answer together.
    pub context: u32,
    /// Number of cache slots.
    pub max_sequences: u32,
    /// Most prompt tokens a step.
    pub prefill_chunk: u32,
    /// Most tokens that are guessed ahead for a sequence in a step; they count as prompt tokens. 0 guesses none.
    pub draft: u32,
    /// Most sequences that wait for a slot.
    pub max_waiting: usize,
}

/// A step to compute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What every rank computes.
    pub plan: BatchPlan,
    /// The tokens that rank 0 embeds, in the plan's order.
    pub tokens: Vec<u32>,
    /// Whose the head rows are, in the plan's order.
    pub heads: Vec<HeadRows>,
}

/// Head rows of one sequence. The next token is sampled from the first, and from each further one only if
/// [`Scheduler::accept`] found that the guess before it was right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadRows {
    /// Whose.
    pub id: u64,
    /// How many.
    pub rows: usize,
    /// What is made of them.
    pub wants: Wants,
    /// Whether they are the last of the prompt.
    pub is_last: bool,
}

/// What is made of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wants {
    /// The next token is sampled after the prompt, and so on.
    Tokens,
    /// The hidden states of the prompt, all or the last; nothing is sampled.
    States {
        /// What is made of them.
        pooling: Pooling,
        /// Every token sees the whole prompt: it is computed in one step, and nothing of it is used again.
        in_one_step: bool,
    },
}

/// What became of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// It was the last that the sequence may have.
    pub is_last: bool,
    /// It had been guessed: the next head row of the sequence holds.
    pub was_guessed: bool,
}

/// A sequence that cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// So many wait already.
    Busy(usize),
    /// The id is in use.
    DuplicateId,
}

/// Continuous batching over a fixed number of cache slots.
#[derive(Debug)]
pub struct Scheduler {
    limits: SchedulerLimits,
    waiting: VecDeque<Sequence>,
    slots: Vec<Slot>,
    /// Number of the last step.
    step: u64,
    /// Counts admissions, so that the oldest sequence and the slot unused for longest are known.
    admissions: u64,
}

impl Scheduler {
    /// An idle scheduler.
    pub fn new(limits: SchedulerLimits) -> Self {
        let slots = (0..limits.max_sequences).map(|_| Slot::default()).collect();
        Self { limits, waiting: VecDeque::new(), slots, step: 0, admissions: 0 }
    }

    /// Puts a sequence in the queue. `prompt` has at least 1 token, and at most `context`; where tokens are wanted one
    /// less, and where it is computed in one step at most as many as a step has.
    pub(crate) fn submit(
        &mut self,
        id: u64,
        prompt: Vec<u32>,
        max_tokens: Option<u32>,
        wants: Wants,
    ) -> Result<(), Refusal> {
        if self.contains(id) {
            return Err(Refusal::DuplicateId);
        }
        if self.waiting.len() >= self.limits.max_waiting {
            return Err(Refusal::Busy(self.waiting.len()));
        }
        let room = self.limits.context as usize - prompt.len();
        let max_tokens = max_tokens.map_or(room, |max_tokens| room.min(max_tokens as usize));
        self.waiting.push_back(Sequence::new(id, prompt, max_tokens, wants));
        Ok(())
    }

    /// Whether nothing waits or runs.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.slots.iter().all(|slot| slot.running.is_none())
    }

    /// The next step, or nothing to do until a result of an earlier one has come back through `accept`. `stages` steps may
    /// be under way at a time: a step has that part of the sequences that decode.
    pub fn next_step(&mut self, stages: usize) -> Option<Step> {
        self.admit();
        let mut order: Vec<usize> = (0..self.slots.len()).filter(|&slot| self.slots[slot].running.is_some()).collect();
        order.sort_by_key(|&slot| self.slots[slot].admission);
        let mut step = Step { plan: BatchPlan::default(), tokens: Vec::new(), heads: Vec::new() };
        let is_decoding = |slot: &&usize| self.slots[**slot].running.as_ref().is_some_and(Sequence::is_decoding);
        let share = order.iter().filter(is_decoding).count().div_ceil(stages.max(1));
        let mut budget = self.limits.prefill_chunk as usize;
        for &slot in &order {
            if step.plan.sequences.len() < share {
                self.add(slot, true, &mut budget, &mut step);
            }
        }
        for &slot in &order {
            self.add(slot, false, &mut budget, &mut step);
        }
        if step.tokens.is_empty() {
            return None;
        }
        self.step += 1;
        step.plan.step = self.step;
        Some(step)
    }

    /// Takes the sampled token of sequence `id`.
    pub fn accept(&mut self, id: u64, token: u32) -> Accepted {
        let Some(sequence) = self.running_mut(id) else { return Accepted { is_last: true, was_guessed: false } };
        let was_guessed = sequence.push(token);
        Accepted { is_last: sequence.left == 0, was_guessed }
    }

    /// The next token of sequence `id` is sampled later: what was guessed beyond it is forgotten.
    pub(crate) fn hold(&mut self, id: u64) {
        if let Some(sequence) = self.running_mut(id) {
            sequence.forget_guesses();
        }
    }

    /// Ends sequence `id`, waiting or running; whether there was one. What its slot holds can be used again.
    pub fn remove(&mut self, id: u64) -> bool {
        let waiting = self.waiting.len();
        self.waiting.retain(|sequence| sequence.id != id);
        let slot = self.slots.iter_mut().find(|slot| slot.is_running(id));
        slot.map(Slot::release).is_some() || self.waiting.len() < waiting
    }

    /// Forgets what the slots hold and ends what runs, after a step that failed half-way; the ids that ran.
    pub(crate) fn reset_slots(&mut self) -> Vec<u64> {
        let ids = self.slots.iter().filter_map(|slot| Some(slot.running.as_ref()?.id)).collect();
        self.slots.iter_mut().for_each(|slot| *slot = Slot::default());
        ids
    }

    /// Takes the number of a step that someone else plans while nothing runs, and forgets what the slots hold.
    pub(crate) fn foreign_step(&mut self) -> u64 {
        self.slots.iter_mut().for_each(|slot| *slot = Slot::default());
        self.step += 1;
        self.step
    }

    /// Ids of the sequences in `plan`, which came from this scheduler and was not yet accepted.
    pub(crate) fn running_ids(&self, plan: &BatchPlan) -> Vec<u64> {
        let running = |part: &SequencePlan| Some(self.slots[part.slot as usize].running.as_ref()?.id);
        plan.sequences.iter().filter_map(running).collect()
    }

    /// Tokens of sequence `id` that came out of a slot instead of being computed.
    pub(crate) fn cached_tokens(&self, id: u64) -> u32 {
        self.running(id).map_or(0, |sequence| sequence.cached as u32)
    }

    fn contains(&self, id: u64) -> bool {
        self.waiting.iter().any(|sequence| sequence.id == id) || self.running(id).is_some()
    }

    fn running(&self, id: u64) -> Option<&Sequence> {
        self.slots.iter().find(|slot| slot.is_running(id))?.running.as_ref()
    }

    fn running_mut(&mut self, id: u64) -> Option<&mut Sequence> {
        self.slots.iter_mut().find(|slot| slot.is_running(id))?.running.as_mut()
    }

    /// Gives free slots to the sequences that wait longest: each the slot that holds most of its prompt, and of
    /// equals the one unused for longest.
    fn admit(&mut self) {
        while let Some(sequence) = self.waiting.front() {
            let free = self.slots.iter_mut().filter(|slot| slot.running.is_none());
            let Some(slot) = free.min_by_key(|slot| (std::cmp::Reverse(slot.usable_prefix(sequence)), slot.admission))
            else {
                return;
            };
            self.admissions += 1;
            slot.admission = self.admissions;
            if let Some(sequence) = self.waiting.pop_front() {
                slot.start(sequence);
            }
        }
    }

    /// Adds the part of the sequence in `slot` to `step` if it is in the asked-for phase.
    fn add(&mut self, slot: usize, is_decoding: bool, budget: &mut usize, step: &mut Step) {
        let number = slot as u32;
        let slot = &mut self.slots[slot];
        let Some(sequence) = &mut slot.running else { return };
        if sequence.is_decoding() != is_decoding {
            return;
        }
        // What is guessed may be under way already.
        let pending = sequence.tokens.len().saturating_sub(sequence.computed);
        if is_decoding && pending == 1 {
            let room = (self.limits.context as usize - sequence.tokens.len()).min(*budget);
            sequence.guess(room.min(self.limits.draft as usize));
        }
        let tokens = if is_decoding { pending } else { pending.min(*budget) };
        let must_be_whole = matches!(sequence.wants, Wants::States { in_one_step: true, .. });
        if tokens == 0 || must_be_whole && tokens < pending {
            return;
        }
        *budget -= if is_decoding { sequence.guesses.len() } else { tokens };
        let start = sequence.computed;
        let guesses = sequence.guesses.len();
        let is_last = tokens == pending;
        let (rows, count) = match sequence.wants {
            Wants::States { pooling: Pooling::Mean | Pooling::Cls, .. } => (Rows::All, tokens),
            _ if !is_last => (Rows::None, 0),
            _ if guesses > 0 => (Rows::All, 1 + guesses),
            _ => (Rows::Last, 1),
        };
        step.tokens.extend(sequence.tokens[start..start + tokens].iter().chain(&sequence.guesses));
        let tokens = tokens + guesses;
        step.plan.sequences.push(SequencePlan { slot: number, start: start as u32, tokens: tokens as u32, rows });
        if count > 0 {
            step.heads.push(HeadRows { id: sequence.id, rows: count, wants: sequence.wants, is_last });
        }
        sequence.computed += tokens;
        slot.held.truncate(start);
        slot.held.extend_from_slice(&step.tokens[step.tokens.len() - tokens..]);
    }
}

#[cfg(test)]
mod tests;
