//! Who waits for a slot, and who is next.
//!
//! More urgent requests come first. Among those alike, the client comes first for whom least was computed so far: the
//! virtual token counter of Sheng et al., "Fairness in Serving Large Language Models" (2024). So one that asks for a
//! hundred answers at once does not keep others from the next free slot. Whoever waits longest is passed over so often at
//! most, so that everybody's turn comes.

use std::{cmp::Reverse, collections::BTreeMap};

use super::slot::Sequence;
use crate::request::Priority;

/// What a token of an answer costs beside one of a prompt, which is computed together with many others.
const ANSWER_COST: u64 = 4;

/// So many others have their turn before the one that waits longest: one in thirty-three free slots is for it.
const PASSED_OVER: u32 = 32;

/// Clients whose count is kept though they have nothing to do.
const REMEMBERED: usize = 1024;

/// Requests that wait, and what clients had.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Vec<Sequence>,
    /// What was computed for each client.
    served: BTreeMap<u64, u64>,
    arrivals: u64,
}

impl Queue {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Those that wait, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Sequence> {
        self.waiting.iter()
    }

    pub(super) fn contains(&self, id: u64) -> bool {
        self.waiting.iter().any(|sequence| sequence.id == id)
    }

    /// How many of a client wait.
    pub(super) fn of_client(&self, client: u64) -> usize {
        self.waiting.iter().filter(|sequence| sequence.turn.client == client).count()
    }

    /// A new one. `running` are the clients of those that run.
    pub(super) fn push(&mut self, mut sequence: Sequence, running: impl Iterator<Item = u64>) {
        self.welcome(sequence.turn.client, running);
        self.arrivals += 1;
        sequence.arrival = self.arrivals;
        self.waiting.push(sequence);
    }

    /// One that ran comes back, and keeps its place among its client's.
    pub(super) fn push_back(&mut self, sequence: Sequence) {
        self.waiting.push(sequence);
    }

    /// How urgent the most urgent is.
    pub(super) fn most_urgent(&self) -> Option<Priority> {
        self.waiting.iter().map(|sequence| sequence.turn.priority).max()
    }

    /// The next one for a slot that is free.
    pub(super) fn pop(&mut self) -> Option<Sequence> {
        let oldest = self.oldest().filter(|place| self.waiting[*place].passed >= PASSED_OVER);
        match oldest {
            Some(place) => Some(self.waiting.swap_remove(place)),
            None => self.pop_urgent(),
        }
    }

    /// The next one of the most urgent, for a slot that something gave up for it.
    pub(super) fn pop_urgent(&mut self) -> Option<Sequence> {
        let served = |client| self.served.get(&client).copied().unwrap_or_default();
        let key =
            |sequence: &Sequence| (Reverse(sequence.turn.priority), served(sequence.turn.client), sequence.arrival);
        let next = (0..self.waiting.len()).min_by_key(|&place| key(&self.waiting[place]))?;
        let next = self.waiting.swap_remove(next);
        if let Some(oldest) = self.oldest().map(|place| &mut self.waiting[place])
            && oldest.arrival < next.arrival
        {
            oldest.passed += 1;
        }
        Some(next)
    }

    fn oldest(&self) -> Option<usize> {
        (0..self.waiting.len()).min_by_key(|&place| self.waiting[place].arrival)
    }

    /// Takes one out, whether it was there.
    pub(super) fn remove(&mut self, id: u64) -> bool {
        let waiting = self.waiting.len();
        self.waiting.retain(|sequence| sequence.id != id);
        self.waiting.len() < waiting
    }

    /// So many tokens of a client's prompt will be computed. It is told before they are, so that slots that become free
    /// at the same time do not all go to the same client; one that has nothing to read counts as one.
    pub(super) fn charge_prompt(&mut self, client: u64, tokens: usize) {
        self.charge(client, tokens.max(1) as u64);
    }

    /// A token of a client's answer was.
    pub(super) fn charge_answer(&mut self, client: u64) {
        self.charge(client, ANSWER_COST);
    }

    fn charge(&mut self, client: u64, cost: u64) {
        let served = self.served.entry(client).or_default();
        *served = served.saturating_add(cost);
    }

    /// Who comes, or comes back, has no claim on what was computed meanwhile: it begins with as much as the one who had
    /// least of those that are here.
    fn welcome(&mut self, client: u64, running: impl Iterator<Item = u64>) {
        let mut here: Vec<u64> = self.waiting.iter().map(|sequence| sequence.turn.client).chain(running).collect();
        here.sort_unstable();
        let served = |client: &u64| self.served.get(client).copied().unwrap_or_default();
        let Some(least) = here.iter().map(served).min() else {
            self.served.clear();
            return;
        };
        if here.binary_search(&client).is_err() {
            let served = self.served.entry(client).or_default();
            *served = (*served).max(least);
        }
        // Those that had less than everybody here would begin like somebody new.
        self.served.retain(|other, served| *served > least || *other == client || here.binary_search(other).is_ok());
        while self.served.len() > REMEMBERED + here.len() {
            let away = self.served.iter().filter(|(other, _)| here.binary_search(other).is_err() && **other != client);
            let Some((&least, _)) = away.min_by_key(|(_, served)| **served) else { return };
            self.served.remove(&least);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{request::Turn, scheduler::Wants};

    fn sequence(id: u64, priority: Priority, client: u64) -> Sequence {
        Sequence::new(id, vec![1], 1, Wants::Tokens, Turn { priority, client })
    }

    fn queue(of: &[(u64, Priority, u64)]) -> Queue {
        let mut queue = Queue::default();
        for &(id, priority, client) in of {
            queue.push(sequence(id, priority, client), std::iter::empty());
        }
        queue
    }

    /// The order in which they leave, each for that many tokens of a prompt.
    fn drain(queue: &mut Queue, tokens: usize) -> Vec<u64> {
        let next = || {
            let next = queue.pop()?;
            queue.charge_prompt(next.turn.client, tokens);
            Some(next.id)
        };
        std::iter::from_fn(next).collect()
    }

    use Priority::{High, Low, Normal};

    #[test]
    fn the_urgent_come_first_and_equals_as_they_came() {
        let mut queue = queue(&[(1, Low, 0), (2, Normal, 0), (3, High, 0), (4, Normal, 0), (5, High, 0)]);
        assert_eq!(queue.most_urgent(), Some(High));
        assert_eq!(drain(&mut queue, 10), [3, 5, 2, 4, 1]);
    }

    #[test]
    fn clients_take_turns_whoever_asks_for_more() {
        let greedy = (1..=6).map(|id| (id, Normal, 1));
        let modest = [(7, Normal, 2), (8, Normal, 2), (9, Normal, 3)];
        let mut queue = queue(&greedy.chain(modest).collect::<Vec<_>>());
        assert_eq!(drain(&mut queue, 10), [1, 7, 9, 2, 8, 3, 4, 5, 6]);
    }

    #[test]
    fn who_was_away_has_no_claim_on_what_was_computed_meanwhile() {
        let mut queue = queue(&[(1, Normal, 1), (2, Normal, 1), (3, Normal, 1)]);
        queue.charge_prompt(1, 1_000_000);
        for id in 4..=6 {
            queue.push(sequence(id, Normal, 2), std::iter::empty());
        }
        assert_eq!(drain(&mut queue, 10), [1, 4, 2, 5, 3, 6]);
        // Nor has one that comes back fewer than it had when it left.
        queue.push(sequence(7, Normal, 1), [2].into_iter());
        queue.charge_answer(1);
        queue.push(sequence(8, Normal, 2), [2].into_iter());
        assert_eq!(drain(&mut queue, 0), [8, 7]);
    }

    #[test]
    fn everybodys_turn_comes() {
        let mut queue = queue(&[(0, Low, 9)]);
        let mut first_of = |id: u64| {
            queue.push(sequence(id, High, id), std::iter::empty());
            let next = queue.pop().expect("some wait");
            queue.charge_prompt(next.turn.client, 10);
            next.id
        };
        let turn = (1..1000).find(|id| first_of(*id) == 0);
        assert_eq!(turn, Some(u64::from(PASSED_OVER) + 1));
    }

    #[test]
    fn a_crowd_that_was_passed_over_does_not_come_all_at_once() {
        let mut queue = queue(&(0..50).map(|id| (id, Low, 1)).collect::<Vec<_>>());
        let mut lows = 0;
        for id in 100..100 + 4 * u64::from(PASSED_OVER) {
            queue.push(sequence(id, Normal, 2), std::iter::empty());
            lows += u64::from(queue.pop().expect("some wait").id < 100);
        }
        assert_eq!(lows, 3);
    }

    #[test]
    fn no_crowd_of_clients_fills_the_memory() {
        let mut queue = queue(&[(0, Normal, 0)]);
        for id in 1..5000 {
            queue.push(sequence(id, Normal, id), std::iter::empty());
            queue.charge_prompt(id, id as usize);
            queue.remove(id);
        }
        assert!(queue.served.len() <= REMEMBERED + 2, "{}", queue.served.len());
    }
}
