use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;

mod turns;

fn scheduler(context: u32, max_sequences: u32, prefill_chunk: u32) -> Scheduler {
    Scheduler::new(SchedulerLimits { context, max_sequences, prefill_chunk, draft: 0, reuse: true, max_waiting: 8 })
}

/// Plans one step and answers every sample with `token`; the (slot, start, tokens, samples) of each part.
fn step(scheduler: &mut Scheduler, token: u32) -> Vec<(u32, u32, u32, bool)> {
    let Some(step) = scheduler.next_step(1, usize::MAX) else { return vec![] };
    for HeadRows { id, .. } in step.heads {
        if scheduler.accept(id, token).is_last {
            scheduler.remove(id);
        }
    }
    step.plan.sequences.iter().map(|part| (part.slot, part.start, part.tokens, part.rows == Rows::Last)).collect()
}

#[test]
fn a_long_prompt_comes_in_chunks_and_never_stops_those_who_decode() {
    let mut scheduler = scheduler(100, 2, 4);
    scheduler.submit(1, vec![1, 2], None, Wants::Tokens, Turn::default()).expect("room");
    assert_eq!(step(&mut scheduler, 9), [(0, 0, 2, true)]);
    scheduler.submit(2, (10..20).collect(), None, Wants::Tokens, Turn::default()).expect("room");
    assert_eq!(step(&mut scheduler, 9), [(0, 2, 1, true), (1, 0, 4, false)]);
    assert_eq!(step(&mut scheduler, 9), [(0, 3, 1, true), (1, 4, 4, false)]);
    assert_eq!(step(&mut scheduler, 9), [(0, 4, 1, true), (1, 8, 2, true)]);
    assert_eq!(step(&mut scheduler, 9), [(0, 5, 1, true), (1, 10, 1, true)]);
}

#[test]
fn beside_answers_long_prompts_are_read_in_smaller_pieces() {
    let mut scheduler = scheduler(100, 2, 8);
    scheduler.submit(1, vec![1; 10], None, Wants::Tokens, Turn::default()).expect("room");
    let first = scheduler.next_step(1, 3).expect("1 runs");
    assert_eq!((first.prompt_tokens, first.is_decoding()), (8, false), "nobody waits");
    assert_eq!(scheduler.next_step(1, 3).expect("1 runs").prompt_tokens, 2);
    scheduler.accept(1, 9);
    scheduler.submit(2, vec![2; 14], None, Wants::Tokens, Turn::default()).expect("room");
    for (beside, read) in [(3, 3), (1, 1), (0, 0), (2, 2), (1, 1)] {
        let step = scheduler.next_step(1, beside).expect("both run");
        assert_eq!((step.prompt_tokens, step.is_decoding()), (read, true), "to its end");
        scheduler.accept(1, 9);
    }
    // Now the first waits for something else, and nobody reads along.
    assert_eq!(scheduler.next_step(1, 1).expect("both run").prompt_tokens, 1);
    let alone = scheduler.next_step(1, 1).expect("2 runs");
    assert_eq!((alone.prompt_tokens, alone.is_decoding()), (6, false));
    scheduler.remove(2);
    scheduler.accept(1, 9);
    scheduler.submit(3, vec![3; 8], None, Wants::Tokens, Turn::default()).expect("room");
    assert_eq!(scheduler.next_step(1, 1).expect("both run").prompt_tokens, 8, "it fits into one step");
}

#[test]
fn prompts_share_the_budget_oldest_first() {
    let mut scheduler = scheduler(100, 3, 5);
    for id in 1..=3 {
        scheduler.submit(id, vec![id as u32; 3], Some(1), Wants::Tokens, Turn::default()).expect("room");
    }
    assert_eq!(step(&mut scheduler, 9), [(0, 0, 3, true), (1, 0, 2, false)]);
    assert_eq!(step(&mut scheduler, 9), [(1, 2, 1, true), (2, 0, 3, true)]);
    assert!(scheduler.is_idle());
}

#[test]
fn what_must_be_whole_waits_for_a_step_with_room_and_is_first_there() {
    let mut scheduler = scheduler(8, 4, 8);
    let wants = Wants::States { pooling: Pooling::Last, in_one_step: true };
    for (id, tokens) in [(1, 5), (2, 6), (3, 3), (4, 8)] {
        scheduler.submit(id, vec![7; tokens], None, wants, Turn::default()).expect("room");
    }
    let mut ids = || {
        let step = scheduler.next_step(1, usize::MAX)?;
        let found: Vec<_> = step.heads.iter().map(|head| (head.id, head.is_last)).collect();
        assert!(step.plan.sequences.iter().all(|part| part.start == 0), "nothing is used again");
        found.iter().for_each(|(id, _)| _ = scheduler.remove(*id));
        Some(found)
    };
    assert_eq!(ids(), Some(vec![(1, true), (3, true)]));
    assert_eq!(ids(), Some(vec![(2, true)]));
    assert_eq!(ids(), Some(vec![(4, true)]));
    assert_eq!(ids(), None);
}

#[test]
fn answers_end_at_max_tokens_and_at_the_context() {
    let tokens_of = |context, prompt: usize, max_tokens| {
        let mut scheduler = scheduler(context, 1, 8);
        scheduler.submit(1, vec![5; prompt], max_tokens, Wants::Tokens, Turn::default()).expect("room");
        let mut tokens = 0;
        while !scheduler.is_idle() {
            tokens += step(&mut scheduler, 7).iter().filter(|part| part.3).count();
        }
        tokens
    };
    assert_eq!(tokens_of(16, 4, Some(3)), 3);
    assert_eq!(tokens_of(16, 4, None), 12);
    assert_eq!(tokens_of(16, 4, Some(u32::MAX)), 12);
    assert_eq!(tokens_of(16, 15, Some(9)), 1);
}

#[test]
fn a_removed_sequence_is_in_no_later_step() {
    let mut scheduler = scheduler(100, 1, 8);
    scheduler.submit(1, vec![1, 2], None, Wants::Tokens, Turn::default()).expect("room");
    scheduler.submit(2, vec![3, 4], None, Wants::Tokens, Turn::default()).expect("room");
    scheduler.submit(3, vec![5, 6], None, Wants::Tokens, Turn::default()).expect("room");
    step(&mut scheduler, 9);
    assert!(scheduler.remove(1) && scheduler.remove(2) && !scheduler.remove(2));
    assert_eq!(scheduler.next_step(1, usize::MAX).expect("3 runs").tokens, [5, 6]);
}

#[test]
fn the_queue_is_bounded_and_ids_are_unique() {
    let mut scheduler = scheduler(100, 1, 8);
    scheduler.submit(0, vec![1], None, Wants::Tokens, Turn::default()).expect("room");
    step(&mut scheduler, 9);
    assert_eq!(scheduler.submit(0, vec![1], None, Wants::Tokens, Turn::default()), Err(Refusal::DuplicateId));
    let of = |client| Turn { client, ..Turn::default() };
    for id in 1..=7 {
        scheduler.submit(id, vec![1], None, Wants::Tokens, of(1)).expect("room");
    }
    assert_eq!(scheduler.submit(7, vec![1], None, Wants::Tokens, of(1)), Err(Refusal::DuplicateId));
    assert_eq!(scheduler.submit(8, vec![1], None, Wants::Tokens, of(1)), Err(Refusal::Busy(7)));
    scheduler.submit(8, vec![1], None, Wants::Tokens, of(2)).expect("the last place is for others");
    assert_eq!(scheduler.submit(9, vec![1], None, Wants::Tokens, of(2)), Err(Refusal::Busy(8)));
}

#[test]
fn a_prompt_that_a_slot_holds_is_not_computed_again() {
    let mut scheduler = scheduler(100, 2, 8);
    scheduler.submit(1, vec![1, 2, 3, 4], Some(2), Wants::Tokens, Turn::default()).expect("room");
    assert_eq!(step(&mut scheduler, 5), [(0, 0, 4, true)]);
    assert_eq!(step(&mut scheduler, 6), [(0, 4, 1, true)]);
    // Slot 0 holds 1 2 3 4 5 now; the 6 was sampled but never computed.
    scheduler.submit(2, vec![1, 2, 3, 4, 5, 6, 7], None, Wants::Tokens, Turn::default()).expect("room");
    assert_eq!(step(&mut scheduler, 8), [(0, 5, 2, true)]);
    assert_eq!(scheduler.cached_tokens(2), 5);
    scheduler.remove(2);
    scheduler.submit(3, vec![1, 2, 9, 9], None, Wants::Tokens, Turn::default()).expect("room");
    assert_eq!(step(&mut scheduler, 8), [(0, 2, 2, true)]);
    scheduler.remove(3);
    scheduler.submit(4, vec![1, 2, 9], None, Wants::Tokens, Turn::default()).expect("room");
    assert_eq!(step(&mut scheduler, 8), [(0, 2, 1, true)], "the last token is computed for its logits");
}

#[test]
fn sequences_that_decode_are_dealt_out_to_the_steps_that_are_under_way() {
    let mut scheduler = scheduler(100, 5, 100);
    for id in 0..5 {
        scheduler.submit(id, vec![id as u32; 3], None, Wants::Tokens, Turn::default()).expect("room");
    }
    assert_eq!(step(&mut scheduler, 9).len(), 5, "all prompts fit into one step");
    let ids = |step: &Step| step.heads.iter().map(|head| head.id).collect::<Vec<_>>();
    let first = scheduler.next_step(2, usize::MAX).expect("some wait");
    let second = scheduler.next_step(2, usize::MAX).expect("some wait");
    assert_eq!((ids(&first), ids(&second)), (vec![0, 1, 2], vec![3, 4]));
    assert_eq!(scheduler.next_step(2, usize::MAX), None, "nothing is known of their next tokens");
    ids(&first).into_iter().for_each(|id| _ = scheduler.accept(id, 9));
    assert_eq!(ids(&scheduler.next_step(2, usize::MAX).expect("some wait")), [0, 1, 2]);
}

#[test]
fn after_a_failed_step_nothing_is_trusted() {
    let mut scheduler = scheduler(100, 1, 8);
    scheduler.submit(1, vec![1, 2, 3], None, Wants::Tokens, Turn::default()).expect("room");
    scheduler.submit(2, vec![1, 2, 3], None, Wants::Tokens, Turn::default()).expect("room");
    scheduler.next_step(1, usize::MAX).expect("1 runs");
    assert_eq!(scheduler.reset_slots(), [1]);
    assert_eq!(step(&mut scheduler, 9), [(0, 0, 3, true)]);
}

/// What the ranks have: tokens instead of keys and values.
#[derive(Default)]
struct Ranks {
    slots: BTreeMap<u32, Vec<u32>>,
    blocks: BTreeMap<u32, Vec<u32>>,
}

impl Ranks {
    /// Does a step as a stage does; what it lacks is a panic.
    fn take(&mut self, step: &Step) {
        let CacheMoves { clears, shares, restores, drops } = &step.plan.moves;
        if *clears {
            self.blocks.clear();
            self.slots.clear();
        }
        for BlockShare { slot, part, block } in shares {
            let tokens = &self.slots[slot][*part as usize * BLOCK..][..BLOCK];
            let shared = self.blocks.entry(*block).or_insert(tokens.to_vec());
            assert_eq!(shared, tokens, "the block is something else");
        }
        for BlockRestore { slot, blocks } in restores {
            let tokens = blocks.iter().flat_map(|block| self.blocks[block].clone()).collect();
            self.slots.insert(*slot, tokens);
        }
        for block in drops {
            self.blocks.remove(block).expect("it was there");
        }
        let mut tokens = &step.tokens[..];
        for part in &step.plan.sequences {
            let (new, rest) = tokens.split_at(part.tokens as usize);
            tokens = rest;
            let held = self.slots.entry(part.slot).or_default();
            assert!(part.start as usize <= held.len(), "a gap");
            held.truncate(part.start as usize);
            held.extend(new);
        }
    }
}

fn long_limits(max_sequences: u32, context: u32, reuse: bool) -> SchedulerLimits {
    SchedulerLimits { context, max_sequences, prefill_chunk: 64, draft: 0, reuse, max_waiting: 64 }
}

fn long(max_sequences: u32, context: u32, reuse: bool) -> Scheduler {
    Scheduler::new(long_limits(max_sequences, context, reuse))
}

/// Computes sequence `id` to its end, alone or among others; how many of its tokens were there.
fn run(scheduler: &mut Scheduler, ranks: &mut Ranks, id: u64) -> u32 {
    let mut cached = None;
    while let Some(step) = scheduler.next_step(1, usize::MAX) {
        ranks.take(&step);
        cached = cached.or_else(|| scheduler.running(id).map(|sequence| sequence.cached as u32));
        for head in &step.heads {
            if scheduler.accept(head.id, 1000 + head.id as u32).is_last {
                scheduler.remove(head.id);
            }
        }
    }
    cached.expect("it ran")
}

/// Text of several parts of a block and a half each.
fn text(parts: &[u32]) -> Vec<u32> {
    parts.iter().flat_map(|part| [*part; BLOCK * 3 / 2]).collect()
}

#[test]
fn what_others_began_with_is_not_computed_again_wherever_they_ran() {
    let (mut scheduler, mut ranks) = (long(2, 1024, true), Ranks::default());
    let mut ask = |scheduler: &mut Scheduler, id, prompt| {
        scheduler.submit(id, prompt, Some(1), Wants::Tokens, Turn::default()).expect("room");
        run(scheduler, &mut ranks, id)
    };
    assert_eq!(ask(&mut scheduler, 1, text(&[1, 2, 3, 4])), 0);
    assert_eq!(ask(&mut scheduler, 2, text(&[1, 2, 5, 6])), 3 * BLOCK as u32, "the slot has as much");
    assert_eq!(ask(&mut scheduler, 3, text(&[7])), 0, "takes the other slot");
    assert_eq!(ask(&mut scheduler, 4, text(&[8])), 0);
    let blocks_of_four = 6 * BLOCK as u32 - BLOCK as u32;
    assert_eq!(ask(&mut scheduler, 5, text(&[1, 2, 3, 4])), blocks_of_four, "the last token is computed always");
    assert_eq!(ask(&mut scheduler, 6, text(&[1, 2, 5, 6, 7])), 6 * BLOCK as u32);
}

#[test]
fn a_prompt_uses_what_another_is_still_computing() {
    let (mut scheduler, mut ranks) = (long(2, 1024, true), Ranks::default());
    scheduler.submit(1, text(&[1, 2, 3]), Some(100), Wants::Tokens, Turn::default()).expect("room");
    for _ in 0..5 {
        ranks.take(&scheduler.next_step(1, usize::MAX).expect("1 runs"));
    }
    scheduler.submit(2, text(&[1, 2, 4]), Some(1), Wants::Tokens, Turn::default()).expect("room");
    ranks.take(&scheduler.next_step(1, usize::MAX).expect("2 runs"));
    assert_eq!(scheduler.cached_tokens(2), 3 * BLOCK as u32);
}

#[test]
fn nothing_is_used_again_where_that_is_not_wanted() {
    let (mut scheduler, mut ranks) = (long(1, 1024, false), Ranks::default());
    for id in 1..3 {
        scheduler.submit(id, text(&[1, 2]), Some(1), Wants::Tokens, Turn::default()).expect("room");
        assert_eq!(run(&mut scheduler, &mut ranks, id), 0);
    }
    assert!(ranks.blocks.is_empty());
}

#[test]
fn after_a_failed_step_no_rank_is_asked_for_a_block_of_before() {
    let (mut scheduler, mut ranks) = (long(1, 1024, true), Ranks::default());
    scheduler.submit(1, text(&[1, 2]), Some(1), Wants::Tokens, Turn::default()).expect("room");
    run(&mut scheduler, &mut ranks, 1);
    scheduler.submit(2, text(&[1, 2]), Some(1), Wants::Tokens, Turn::default()).expect("room");
    scheduler.next_step(1, usize::MAX).expect("2 runs");
    let of_before = std::mem::take(&mut ranks.blocks);
    // Whoever took a rank's place has nothing, and whoever stayed forgets.
    for (id, blocks) in [(3, BTreeMap::new()), (4, of_before)] {
        scheduler.reset_slots();
        let mut ranks = Ranks { blocks, ..Ranks::default() };
        scheduler.submit(id, text(&[1, 2]), Some(1), Wants::Tokens, Turn::default()).expect("room");
        assert_eq!(run(&mut scheduler, &mut ranks, id), 0);
        assert_eq!(ranks.blocks.len(), 2, "those of the chunks before the last");
    }
}

/// A model whose answers go round, with a token now and then that no guess has right.
fn model(tokens: &[u32], period: u32) -> u32 {
    let sum: u32 = tokens.iter().sum();
    if sum % 11 == 3 { sum % 5 } else { tokens.len() as u32 % period }
}

#[test]
fn what_was_guessed_right_comes_in_one_step_and_what_was_not_is_computed_anew() {
    let limits =
        SchedulerLimits { context: 100, max_sequences: 1, prefill_chunk: 8, draft: 4, reuse: true, max_waiting: 8 };
    let mut scheduler = Scheduler::new(limits);
    scheduler.submit(1, vec![1, 2, 3, 4, 1], None, Wants::Tokens, Turn::default()).expect("room");
    assert_eq!(step(&mut scheduler, 2), [(0, 0, 5, true)]);
    // After 1 2 came 3 4 before.
    let guessed = scheduler.next_step(1, usize::MAX).expect("1 runs");
    assert_eq!(guessed.tokens, [2, 3, 4]);
    assert_eq!(guessed.plan.sequences[0].rows, Rows::All);
    assert_eq!(guessed.heads, [HeadRows { id: 1, rows: 3, wants: Wants::Tokens, is_last: true }]);
    assert_eq!(scheduler.accept(1, 3), Accepted { is_last: false, was_guessed: true });
    assert_eq!(scheduler.accept(1, 9), Accepted { is_last: false, was_guessed: false });
    assert_eq!(step(&mut scheduler, 9), [(0, 7, 1, true)], "the 9 takes the place of the 4");
}

/// Of any priority and client.
fn turn(number: u64) -> Turn {
    let priority = [Priority::Normal, Priority::Low, Priority::High][number as usize % 3];
    Turn { priority, client: number % 2 }
}

proptest! {
    /// With guesses each sequence gets the tokens that it gets without, however its text repeats itself, whoever waits for
    /// its grammar or for something urgent in between, and however many steps are under way.
    #[test]
    fn guesses_change_no_token(
        requests in proptest::collection::vec((proptest::collection::vec(0u32..4, 1..20), 1u32..40, 1u32..6), 1..6),
        slots in 1u32..4,
        chunk in 1u32..12,
        draft in 1u32..9,
        stages in 1usize..4,
        beside in 1usize..16,
        holds in proptest::collection::vec(proptest::bool::weighted(0.1), 64),
    ) {
        let (max_sequences, prefill_chunk) = (slots, chunk);
        let limits = SchedulerLimits { context: 48, max_sequences, prefill_chunk, draft, reuse: true, max_waiting: 8 };
        let mut scheduler = Scheduler::new(limits);
        let mut coming = requests.iter().zip(0u64..).peekable();
        let mut answers = vec![Vec::new(); requests.len()];
        let mut cache = vec![Vec::new(); slots as usize];
        let mut held: Vec<(u64, u32)> = Vec::new();
        let mut under_way = VecDeque::new();
        let mut holds = holds.iter().cycle();
        for number in 1.. {
            prop_assert!(number < 2000, "it never ends");
            if number % 5 == 1 && let Some(((prompt, max_tokens, _), id)) = coming.next() {
                scheduler.submit(id, prompt.clone(), Some(*max_tokens), Wants::Tokens, turn(id)).expect("room");
            }
            let mut take = |scheduler: &mut Scheduler, id: u64, token: u32| {
                answers[id as usize].push(token);
                let accepted = scheduler.accept(id, token);
                if accepted.is_last {
                    scheduler.remove(id);
                }
                accepted.was_guessed && !accepted.is_last
            };
            for (id, token) in held.drain(..) {
                prop_assert!(!take(&mut scheduler, id, token), "nothing is guessed behind what was held");
            }
            while under_way.len() < stages {
                let Some(step) = scheduler.next_step(stages, beside) else { break };
                step.plan.check(slots, 48, chunk + slots).expect("within limits");
                let (mut tokens, mut samples, mut rows) = (&step.tokens[..], step.heads.iter(), Vec::new());
                for part in &step.plan.sequences {
                    let (new, rest) = tokens.split_at(part.tokens as usize);
                    tokens = rest;
                    let cache: &mut Vec<u32> = &mut cache[part.slot as usize];
                    prop_assert!(part.start as usize <= cache.len(), "a gap");
                    cache.truncate(part.start as usize);
                    cache.extend(new);
                    if part.rows == Rows::None {
                        continue;
                    }
                    let sample = samples.next().expect("one for each");
                    let (end, period) = ((part.start + part.tokens) as usize, requests[sample.id as usize].2);
                    let drawn: Vec<u32> = (end - sample.rows..end).map(|at| model(&cache[..=at], period)).collect();
                    rows.push((sample.id, drawn));
                }
                under_way.push_back(rows);
            }
            let Some(rows) = under_way.pop_front() else {
                if scheduler.is_idle() && coming.peek().is_none() { break } else { continue }
            };
            for (id, drawn) in rows {
                for token in drawn {
                    if *holds.next().expect("they go round") {
                        scheduler.hold(id);
                        held.push((id, token));
                        break;
                    }
                    if !take(&mut scheduler, id, token) {
                        break;
                    }
                }
            }
        }
        for ((prompt, max_tokens, period), answer) in requests.iter().zip(answers) {
            let mut tokens = prompt.clone();
            while tokens.len() < 48 && tokens.len() - prompt.len() < *max_tokens as usize {
                tokens.push(model(&tokens, *period));
            }
            prop_assert_eq!(answer, &tokens[prompt.len()..]);
        }
    }

    /// Whatever comes, goes and is cancelled, a step begins with what the ranks have for these very tokens, and all of it takes
    /// no more memory than full slots do.
    #[test]
    fn what_is_used_again_is_what_was_computed(
        requests in proptest::collection::vec(
            (proptest::collection::vec(0u32..3, 1..5), 0usize..20, 1u32..90, proptest::option::weighted(0.3, 1usize..8)),
            1..24,
        ),
        slots in 1u32..4,
        stages in 1usize..3,
        draft in 0u32..6,
    ) {
        let limits = SchedulerLimits { draft, ..long_limits(slots, 10 * BLOCK as u32, true) };
        let (mut scheduler, mut ranks) = (Scheduler::new(limits), Ranks::default());
        let mut sequences = BTreeMap::new();
        let mut requests = requests.into_iter().zip(0u64..).peekable();
        let (mut cancels, mut under_way) = (Vec::new(), VecDeque::new());
        for number in 0.. {
            prop_assert!(number < 20_000, "it never ends");
            if number % 3 == 0 && let Some(((parts, more, max_tokens, cancelled_after), id)) = requests.next() {
                let prompt = [text(&parts), vec![9; more]].concat();
                scheduler.submit(id, prompt.clone(), Some(max_tokens), Wants::Tokens, turn(id)).expect("room");
                sequences.insert(id, prompt);
                cancels.extend(cancelled_after.map(|after| (number + after, id)));
            }
            for (_, id) in cancels.extract_if(.., |(at, _): &mut (usize, u64)| *at <= number) {
                scheduler.remove(id);
            }
            while under_way.len() < stages {
                let Some(step) = scheduler.next_step(stages, usize::MAX) else { break };
                ranks.take(&step);
                for slot in 0..slots {
                    let Some(sequence) = &scheduler.slots[slot as usize].running else { continue };
                    let held = &ranks.slots.get(&slot).map_or(&[][..], |held| held);
                    let computed = sequence.computed.min(sequence.tokens.len());
                    prop_assert_eq!(&held[..computed], &sequence.tokens[..computed]);
                }
                let own = |(slot, held): (&u32, &Vec<u32>)| {
                    held.len().div_ceil(BLOCK) - scheduler.slots[*slot as usize].blocks.len()
                };
                let own = ranks.slots.iter().map(own).sum::<usize>();
                prop_assert!(own + ranks.blocks.len() <= 10 * slots as usize, "{} and {}", own, ranks.blocks.len());
                prop_assert_eq!(scheduler.prefixes.len(), ranks.blocks.len());
                under_way.push_back(step);
            }
            let Some(step) = under_way.pop_front() else {
                if scheduler.is_idle() && requests.peek().is_none() { break } else { continue }
            };
            for head in &step.heads {
                let Some(tokens) = sequences.get(&head.id) else { continue };
                // Answers repeat themselves and each other, and not all guesses are right.
                for row in 0..head.rows {
                    let token = if (number + row) % 7 == 3 { 8 } else { tokens[0] };
                    let accepted = scheduler.accept(head.id, token);
                    if accepted.is_last {
                        scheduler.remove(head.id);
                    }
                    if accepted.is_last || !accepted.was_guessed {
                        break;
                    }
                }
            }
        }
    }

    /// Every sequence gets all its tokens computed in order, exactly once, within every limit, however many steps are under
    /// way.
    #[test]
    fn plans_are_complete_and_within_limits(
        requests in proptest::collection::vec((1usize..30, 1u32..20), 1..8),
        slots in 1u32..4,
        chunk in 1u32..12,
        stages in 1usize..4,
        beside in 1usize..16,
    ) {
        let mut scheduler = scheduler(40, slots, chunk);
        for (id, (prompt, max_tokens)) in requests.iter().enumerate() {
            scheduler.submit(id as u64, vec![id as u32; *prompt], Some(*max_tokens), Wants::Tokens, Turn::default()).expect("room");
        }
        let mut sampled = BTreeMap::<u64, usize>::new();
        let (mut under_way, mut number) = (VecDeque::new(), 0);
        loop {
            while under_way.len() < stages {
                let Some(step) = scheduler.next_step(stages, beside) else { break };
                number += 1;
                prop_assert!(number < 1000, "it never ends");
                prop_assert_eq!(step.plan.step, number);
                step.plan.check(slots, 40, chunk + slots).expect("within limits");
                prop_assert_eq!(step.plan.tokens(), step.tokens.len());
                prop_assert_eq!(step.plan.head_rows(), step.heads.len());
                under_way.push_back(step);
            }
            let Some(step) = under_way.pop_front() else { break };
            for HeadRows { id, .. } in step.heads {
                *sampled.entry(id).or_default() += 1;
                if scheduler.accept(id, 1000 + id as u32).is_last {
                    scheduler.remove(id);
                }
            }
        }
        prop_assert!(scheduler.is_idle());
        for (id, (prompt, max_tokens)) in requests.iter().enumerate() {
            prop_assert_eq!(sampled[&(id as u64)], (*max_tokens as usize).min(40 - prompt));
        }
    }
}
