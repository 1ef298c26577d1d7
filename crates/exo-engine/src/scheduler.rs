//! Decides what each step computes: continuous batching with chunked prefill. Pure: no threads, no clock.
//!
//! Every running sequence that is past its prompt gets one token a step, whatever else happens; prompts share a budget
//! of tokens a step, those first of which least is left. Of a long prompt a step has less where it would hold up those who
//! read answers along. Where the layers are cut into stages, that many steps are under way at a time, and the sequences
//! that decode are dealt out to them; a prompt's next chunk does not wait for the one before.
//!
//! Where all slots are taken, requests wait for their turn: the urgent first, then client by client. One that is more
//! urgent than what runs does not wait: something less urgent is put back into the queue, and reads what it had generated
//! as part of its prompt when its turn comes again, as far as it is not still there.
//!
//! A prompt that starts as another did is not computed again. A sequence keeps its cache slot until it ends, and the slot
//! keeps its tokens after that. What is computed is shared block by block besides, with whoever comes while it is in use
//! and after the slot was given away, for as long as the slots leave memory for it.
//!
//! Where drafts are allowed, a sequence that repeats itself has the tokens computed, too, that came after the same words
//! before. Each is kept only if it is the token that is sampled there, so that answers are what they are without.

use std::cmp::Reverse;

use crate::{
    embedding::Pooling,
    plan::{BLOCK, BatchPlan, BlockRestore, BlockShare, CacheMoves, Rows, SequencePlan},
    request::{Priority, Reading, Turn},
};

mod drafter;
mod prefixes;
mod queue;
mod shares;
mod slot;

use prefixes::Prefixes;
use queue::Queue;
use shares::{Budget, Unread, shares};
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
    /// Whether what was computed for one sequence serves those that start the same.
    pub reuse: bool,
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
    /// How many of the tokens are prompts'.
    pub prompt_tokens: usize,
}

impl Step {
    /// Whether answers go on in it.
    pub fn is_decoding(&self) -> bool {
        self.prompt_tokens < self.tokens.len()
    }
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
    queue: Queue,
    slots: Vec<Slot>,
    prefixes: Prefixes,
    /// Those that gave way and were not told of yet.
    interrupted: Vec<u64>,
    /// For the next step.
    moves: CacheMoves,
    /// Number of the last step.
    step: u64,
    /// Counts admissions, so that the oldest sequence and the slot unused for longest are known.
    admissions: u64,
}

impl Scheduler {
    /// An idle scheduler.
    pub fn new(limits: SchedulerLimits) -> Self {
        let slots = (0..limits.max_sequences).map(|_| Slot::default()).collect();
        let (queue, prefixes) = (Queue::default(), Prefixes::default());
        Self { limits, queue, slots, prefixes, interrupted: Vec::new(), moves: all_forgotten(), step: 0, admissions: 0 }
    }

    /// Puts a sequence in the queue. `prompt` has at least 1 token, and at most `context`; where tokens are wanted one
    /// less, and where it is computed in one step at most as many as a step has.
    pub(crate) fn submit(
        &mut self,
        id: u64,
        prompt: Vec<u32>,
        max_tokens: Option<u32>,
        wants: Wants,
        turn: Turn,
    ) -> Result<(), Refusal> {
        if self.contains(id) {
            return Err(Refusal::DuplicateId);
        }
        if !self.has_place(turn.client) {
            return Err(Refusal::Busy(self.queue.len()));
        }
        let room = self.limits.context as usize - prompt.len();
        let max_tokens = max_tokens.map_or(room, |max_tokens| room.min(max_tokens as usize));
        let running = self.slots.iter().filter_map(|slot| Some(slot.running.as_ref()?.turn.client));
        self.queue.push(Sequence::new(id, prompt, max_tokens, wants, turn), running);
        Ok(())
    }

    /// Whether one more of the client may wait. The last places are not for a client that has half of them already, where
    /// clients are told apart.
    fn has_place(&self, client: u64) -> bool {
        let (waiting, most) = (self.queue.len(), self.limits.max_waiting);
        let has_many = client != 0 && self.queue.of_client(client) > most / 2;
        let kept = if has_many { most / 8 } else { 0 };
        waiting < most - kept
    }

    /// Whether nothing waits or runs.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.slots.iter().all(|slot| slot.running.is_none())
    }

    /// The next step, or nothing to do until a result of an earlier one has come back through `accept`. `stages` steps may
    /// be under way at a time: a step has that part of the sequences that decode. Beside them, `beside` tokens of
    /// prompts are read at most, where those do not fit into one step.
    pub fn next_step(&mut self, stages: usize, beside: usize) -> Option<Step> {
        self.admit();
        let mut order: Vec<usize> = (0..self.slots.len()).filter(|&slot| self.slots[slot].running.is_some()).collect();
        order.sort_by_key(|&slot| self.slots[slot].admission);
        let mut step = Step { plan: BatchPlan::default(), tokens: Vec::new(), heads: Vec::new(), prompt_tokens: 0 };
        let is_decoding = |slot: &&usize| self.slots[**slot].running.as_ref().is_some_and(Sequence::is_decoding);
        let decoding = order.iter().filter(is_decoding).count();
        let share = decoding.div_ceil(stages.max(1));
        let mut budget = Budget { tokens: self.limits.prefill_chunk as usize, of_long_prompts: usize::MAX };
        for &slot in &order {
            if step.plan.sequences.len() < share {
                self.add_decoding(slot, &mut budget, &mut step);
            }
        }
        // With one stage, an answer that waits for something else is held up by nobody; with more, it may be under way.
        if !step.tokens.is_empty() || stages > 1 && decoding > 0 {
            let least = usize::from(step.tokens.is_empty());
            budget.of_long_prompts = beside.max(least);
        }
        self.add_prompts(&order, budget, &mut step);
        if step.tokens.is_empty() {
            return None;
        }
        self.make_room();
        self.step += 1;
        step.plan.step = self.step;
        step.plan.moves = std::mem::take(&mut self.moves);
        Some(step)
    }

    /// Takes the sampled token of sequence `id`.
    pub fn accept(&mut self, id: u64, token: u32) -> Accepted {
        let Some(sequence) = self.running_mut(id) else { return Accepted { is_last: true, was_guessed: false } };
        let was_guessed = sequence.push(token);
        let (is_last, client) = (sequence.left == 0, sequence.turn.client);
        self.queue.charge_answer(client);
        Accepted { is_last, was_guessed }
    }

    /// The next token of sequence `id` is sampled later: what was guessed beyond it is forgotten.
    pub(crate) fn hold(&mut self, id: u64) {
        if let Some(sequence) = self.running_mut(id) {
            sequence.forget_guesses();
        }
    }

    /// Ends sequence `id`, waiting or running; whether there was one. What its slot holds can be used again.
    pub fn remove(&mut self, id: u64) -> bool {
        let waited = self.queue.remove(id);
        let slot = self.slots.iter().position(|slot| slot.is_running(id));
        if let Some(slot) = slot {
            self.share(slot);
            self.slots[slot].running = None;
        }
        slot.is_some() || waited
    }

    /// Forgets what was computed and ends what runs, after a step that failed half-way; the ids that ran.
    pub(crate) fn reset_slots(&mut self) -> Vec<u64> {
        let ids = self.slots.iter().filter_map(|slot| Some(slot.running.as_ref()?.id)).collect();
        self.forget_computed();
        ids
    }

    /// Takes the number of a step that someone else plans while nothing runs, and forgets what was computed.
    pub(crate) fn foreign_step(&mut self) -> u64 {
        self.forget_computed();
        self.step += 1;
        self.step
    }

    fn forget_computed(&mut self) {
        self.slots.iter_mut().for_each(|slot| *slot = Slot::default());
        self.prefixes.clear();
        self.moves = all_forgotten();
    }

    /// Ids of the sequences in `plan`, which came from this scheduler and was not yet accepted.
    pub(crate) fn running_ids(&self, plan: &BatchPlan) -> Vec<u64> {
        let running = |part: &SequencePlan| Some(self.slots[part.slot as usize].running.as_ref()?.id);
        plan.sequences.iter().filter_map(running).collect()
    }

    /// Tokens of sequence `id` that were there instead of being computed.
    pub(crate) fn cached_tokens(&self, id: u64) -> u32 {
        self.running(id).map_or(0, |sequence| sequence.cached as u32)
    }

    /// Every sequence of which something is left to read, also of those that wait.
    pub(crate) fn reading(&self) -> impl Iterator<Item = Reading> {
        let running = self.slots.iter().filter_map(|slot| slot.running.as_ref());
        let all = self.queue.iter().chain(running.filter(|sequence| sequence.unread().is_some()));
        all.map(|sequence| Reading {
            id: sequence.id,
            read: sequence.computed as u32,
            tokens: sequence.tokens.len() as u32,
        })
    }

    /// Ids of those that gave way to something urgent since this was asked.
    pub(crate) fn take_interrupted(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.interrupted)
    }

    fn contains(&self, id: u64) -> bool {
        self.queue.contains(id) || self.running(id).is_some()
    }

    fn running(&self, id: u64) -> Option<&Sequence> {
        self.slots.iter().find(|slot| slot.is_running(id))?.running.as_ref()
    }

    fn running_mut(&mut self, id: u64) -> Option<&mut Sequence> {
        self.slots.iter_mut().find(|slot| slot.is_running(id))?.running.as_mut()
    }

    /// Gives free slots to the sequences whose turn it is: each the slot that holds most of its prompt, and of equals the
    /// one unused for longest. Where blocks have more of it than any slot, that slot gets the blocks.
    fn admit(&mut self) {
        while let Some((oldest, sequence)) = self.next_admission() {
            let reusable = if self.limits.reuse { sequence.reusable() } else { &[] };
            let idle = (0..self.slots.len()).filter(|&slot| self.slots[slot].running.is_none());
            let held = idle.map(|slot| (self.slots[slot].prefix_of(reusable), slot));
            let fullest = held.min_by_key(|(held, slot)| (Reverse(*held), self.slots[*slot].admission));
            let (held, fullest) = fullest.unwrap_or((0, oldest));
            let blocks = self.prefixes.find(reusable);
            let in_blocks = blocks.len() * BLOCK;
            let (slot, cached) = if in_blocks > held { (oldest, in_blocks) } else { (fullest, held) };
            if in_blocks > held {
                let tokens = sequence.tokens[..in_blocks].to_vec();
                self.restore(slot, blocks, tokens);
            } else {
                self.slots[slot].cut(held, &mut self.prefixes);
            }
            self.admissions += 1;
            self.slots[slot].admission = self.admissions;
            self.queue.charge_prompt(sequence.turn.client, sequence.tokens.len() - cached.max(sequence.charged));
            self.slots[slot].start(sequence, cached, self.limits.prefill_chunk as usize);
        }
    }

    /// The idle slot that was unused for longest, and whose turn it is. Something urgent has another give its slot up.
    fn next_admission(&mut self) -> Option<(usize, Sequence)> {
        if let Some(idle) = self.oldest_idle(|_| true) {
            return Some((idle, self.queue.pop()?));
        }
        let slot = self.preempt(self.queue.most_urgent()?)?;
        Some((slot, self.queue.pop_urgent()?))
    }

    /// Puts a sequence back into the queue for one of that priority: of the least urgent the one that began last. Its slot.
    fn preempt(&mut self, priority: Priority) -> Option<usize> {
        let running = self.slots.iter().enumerate().filter_map(|(slot, held)| {
            let sequence = held.running.as_ref().filter(|sequence| sequence.can_wait_for(priority))?;
            Some((slot, (sequence.turn.priority, Reverse(held.admission))))
        });
        let (slot, _) = running.min_by_key(|(_, key)| *key)?;
        self.share(slot);
        let mut sequence = self.slots[slot].running.take()?;
        sequence.put_back();
        self.interrupted.push(sequence.id);
        self.queue.push_back(sequence);
        Some(slot)
    }

    /// The slot that nothing runs in and that was not used for longest, of those that are asked for.
    fn oldest_idle(&self, is_asked_for: impl Fn(&Slot) -> bool) -> Option<usize> {
        let idle = |slot: &usize| self.slots[*slot].running.is_none() && is_asked_for(&self.slots[*slot]);
        (0..self.slots.len()).filter(idle).min_by_key(|&slot| self.slots[slot].admission)
    }

    /// Has a slot hold blocks, which are these tokens, and nothing else.
    fn restore(&mut self, slot: usize, blocks: Vec<u32>, tokens: Vec<u32>) {
        blocks.iter().for_each(|&block| self.prefixes.hold(block));
        let number = slot as u32;
        let slot = &mut self.slots[slot];
        slot.cut(0, &mut self.prefixes);
        (slot.positions, slot.held, slot.blocks) = (tokens.len(), tokens, blocks.clone());
        // One that no step came of is void.
        self.moves.restores.retain(|restore| restore.slot != number);
        self.moves.restores.push(BlockRestore { slot: number, blocks });
    }

    /// Makes blocks of what is computed in a slot for sure, as far as it fills them.
    fn share(&mut self, number: usize) {
        let slot = &mut self.slots[number];
        let Some(sequence) = slot.running.as_ref().filter(|sequence| self.limits.reuse && !sequence.sees_ahead())
        else {
            return;
        };
        let computed = slot.held.len().min(sequence.computed);
        for part in slot.blocks.len()..computed / BLOCK {
            let tokens = &slot.held[part * BLOCK..][..BLOCK];
            let Some(block) = self.prefixes.get_or_insert(slot.blocks.last().copied(), tokens) else { return };
            self.prefixes.hold(block);
            slot.blocks.push(block);
            self.moves.shares.push(BlockShare { slot: number as u32, part: part as u32, block });
        }
    }

    /// Forgets the blocks unused for longest until blocks and slots together take no more memory than full slots do.
    fn make_room(&mut self) {
        let room = self.slots.len() * (self.limits.context as usize).div_ceil(BLOCK);
        while self.prefixes.len() + self.slots.iter().map(Slot::own_blocks).sum::<usize>() > room {
            if let Some(block) = self.prefixes.forget_oldest() {
                self.moves.drops.push(block);
            } else if let Some(slot) = self.oldest_idle(|slot| !slot.held.is_empty()) {
                self.restore(slot, Vec::new(), Vec::new());
            } else {
                return;
            }
        }
    }

    /// Adds the next token of the sequence in `slot` to `step` if it is past its prompt, and what is guessed behind it.
    fn add_decoding(&mut self, slot: usize, budget: &mut Budget, step: &mut Step) {
        let Some(sequence) = self.slots[slot].running.as_mut().filter(|sequence| sequence.is_decoding()) else {
            return;
        };
        // What is guessed may be under way already.
        let pending = sequence.tokens.len().saturating_sub(sequence.computed);
        if pending == 1 {
            let room = (self.limits.context as usize - sequence.tokens.len()).min(budget.tokens);
            sequence.guess(room.min(self.limits.draft as usize));
            budget.tokens -= sequence.guesses.len();
        }
        self.add(slot, pending, step);
    }

    /// Adds what the step reads of each prompt; `order` is that of the slots' admissions.
    fn add_prompts(&mut self, order: &[usize], budget: Budget, step: &mut Step) {
        let unread = |&slot: &usize| Some((slot, self.slots[slot].running.as_ref()?.unread()?));
        let (slots, prompts): (Vec<usize>, Vec<Unread>) = order.iter().filter_map(unread).unzip();
        for (slot, tokens) in slots.into_iter().zip(shares(&prompts, budget)) {
            step.prompt_tokens += tokens;
            self.add(slot, tokens, step);
        }
    }

    /// Adds the next `tokens` of the sequence in `slot` to `step`, and what is guessed behind them.
    fn add(&mut self, slot: usize, tokens: usize, step: &mut Step) {
        let number = slot as u32;
        let Some(sequence) = self.slots[slot].running.as_mut().filter(|_| tokens > 0) else { return };
        let start = sequence.computed;
        let guesses = sequence.guesses.len();
        let is_last = start + tokens == sequence.tokens.len();
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
        self.slots[slot].cut(start, &mut self.prefixes);
        self.share(slot);
        let slot = &mut self.slots[slot];
        slot.held.extend_from_slice(&step.tokens[step.tokens.len() - tokens..]);
        slot.positions = slot.held.len();
        if let Some(sequence) = &mut slot.running {
            sequence.computed += tokens;
        }
    }
}

/// What ranks have from before is not known.
fn all_forgotten() -> CacheMoves {
    CacheMoves { clears: true, ..CacheMoves::default() }
}

#[cfg(test)]
mod tests;
