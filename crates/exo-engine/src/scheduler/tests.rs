use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn scheduler(context: u32, max_sequences: u32, prefill_chunk: u32) -> Scheduler {
    Scheduler::new(SchedulerLimits { context, max_sequences, prefill_chunk, max_waiting: 8 })
}

/// Plans one step and answers every sample with `token`; the (slot, start, tokens, samples) of each part.
fn step(scheduler: &mut Scheduler, token: u32) -> Vec<(u32, u32, u32, bool)> {
    let Some(step) = scheduler.next_step() else { return vec![] };
    for HeadRows { id, .. } in step.heads {
        if scheduler.accept(id, token) {
            scheduler.remove(id);
        }
    }
    step.plan.sequences.iter().map(|part| (part.slot, part.start, part.tokens, part.rows == Rows::Last)).collect()
}

#[test]
fn a_long_prompt_comes_in_chunks_and_never_stops_those_who_decode() {
    let mut scheduler = scheduler(100, 2, 4);
    scheduler.submit(1, vec![1, 2], None, Wants::Tokens).expect("room");
    assert_eq!(step(&mut scheduler, 9), [(0, 0, 2, true)]);
    scheduler.submit(2, (10..20).collect(), None, Wants::Tokens).expect("room");
    assert_eq!(step(&mut scheduler, 9), [(0, 2, 1, true), (1, 0, 4, false)]);
    assert_eq!(step(&mut scheduler, 9), [(0, 3, 1, true), (1, 4, 4, false)]);
    assert_eq!(step(&mut scheduler, 9), [(0, 4, 1, true), (1, 8, 2, true)]);
    assert_eq!(step(&mut scheduler, 9), [(0, 5, 1, true), (1, 10, 1, true)]);
}

#[test]
fn prompts_share_the_budget_oldest_first() {
    let mut scheduler = scheduler(100, 3, 5);
    for id in 1..=3 {
        scheduler.submit(id, vec![id as u32; 3], Some(1), Wants::Tokens).expect("room");
    }
    assert_eq!(step(&mut scheduler, 9), [(0, 0, 3, true), (1, 0, 2, false)]);
    assert_eq!(step(&mut scheduler, 9), [(1, 2, 1, true), (2, 0, 3, true)]);
    assert!(scheduler.is_idle());
}

#[test]
fn answers_end_at_max_tokens_and_at_the_context() {
    let tokens_of = |context, prompt: usize, max_tokens| {
        let mut scheduler = scheduler(context, 1, 8);
        scheduler.submit(1, vec![5; prompt], max_tokens, Wants::Tokens).expect("room");
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
    scheduler.submit(1, vec![1, 2], None, Wants::Tokens).expect("room");
    scheduler.submit(2, vec![3, 4], None, Wants::Tokens).expect("room");
    scheduler.submit(3, vec![5, 6], None, Wants::Tokens).expect("room");
    step(&mut scheduler, 9);
    assert!(scheduler.remove(1) && scheduler.remove(2) && !scheduler.remove(2));
    assert_eq!(scheduler.next_step().expect("3 runs").tokens, [5, 6]);
}

#[test]
fn the_queue_is_bounded_and_ids_are_unique() {
    let mut scheduler = scheduler(100, 1, 8);
    scheduler.submit(0, vec![1], None, Wants::Tokens).expect("room");
    step(&mut scheduler, 9);
    assert_eq!(scheduler.submit(0, vec![1], None, Wants::Tokens), Err(Refusal::DuplicateId));
    for id in 1..=8 {
        scheduler.submit(id, vec![1], None, Wants::Tokens).expect("room");
    }
    assert_eq!(scheduler.submit(8, vec![1], None, Wants::Tokens), Err(Refusal::DuplicateId));
    assert_eq!(scheduler.submit(9, vec![1], None, Wants::Tokens), Err(Refusal::Busy(8)));
}

#[test]
fn a_prompt_that_a_slot_holds_is_not_computed_again() {
    let mut scheduler = scheduler(100, 2, 8);
    scheduler.submit(1, vec![1, 2, 3, 4], Some(2), Wants::Tokens).expect("room");
    assert_eq!(step(&mut scheduler, 5), [(0, 0, 4, true)]);
    assert_eq!(step(&mut scheduler, 6), [(0, 4, 1, true)]);
    // Slot 0 holds 1 2 3 4 5 now; the 6 was sampled but never computed.
    scheduler.submit(2, vec![1, 2, 3, 4, 5, 6, 7], None, Wants::Tokens).expect("room");
    assert_eq!(step(&mut scheduler, 8), [(0, 5, 2, true)]);
    assert_eq!(scheduler.cached_tokens(2), 5);
    scheduler.remove(2);
    scheduler.submit(3, vec![1, 2, 9, 9], None, Wants::Tokens).expect("room");
    assert_eq!(step(&mut scheduler, 8), [(0, 2, 2, true)]);
    scheduler.remove(3);
    scheduler.submit(4, vec![1, 2, 9], None, Wants::Tokens).expect("room");
    assert_eq!(step(&mut scheduler, 8), [(0, 2, 1, true)], "the last token is computed for its logits");
}

#[test]
fn after_a_failed_step_nothing_is_trusted() {
    let mut scheduler = scheduler(100, 1, 8);
    scheduler.submit(1, vec![1, 2, 3], None, Wants::Tokens).expect("room");
    scheduler.submit(2, vec![1, 2, 3], None, Wants::Tokens).expect("room");
    scheduler.next_step().expect("1 runs");
    assert_eq!(scheduler.reset_slots(), [1]);
    assert_eq!(step(&mut scheduler, 9), [(0, 0, 3, true)]);
}

proptest! {
    /// Every sequence gets all its tokens computed in order, exactly once, within every limit.
    #[test]
    fn plans_are_complete_and_within_limits(
        requests in proptest::collection::vec((1usize..30, 1u32..20), 1..8),
        slots in 1u32..4,
        chunk in 1u32..12,
    ) {
        let mut scheduler = scheduler(40, slots, chunk);
        for (id, (prompt, max_tokens)) in requests.iter().enumerate() {
            scheduler.submit(id as u64, vec![id as u32; *prompt], Some(*max_tokens), Wants::Tokens).expect("room");
        }
        let mut sampled = BTreeMap::<u64, usize>::new();
        for number in 1.. {
            prop_assert!(number < 1000, "it never ends");
            let Some(step) = scheduler.next_step() else { break };
            prop_assert_eq!(step.plan.step, number);
            step.plan.check(slots, 40, chunk + slots).expect("within limits");
            prop_assert_eq!(step.plan.tokens(), step.tokens.len());
            prop_assert_eq!(step.plan.head_rows(), step.heads.len());
            for HeadRows { id, .. } in step.heads {
                *sampled.entry(id).or_default() += 1;
                if scheduler.accept(id, 1000 + id as u32) {
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
