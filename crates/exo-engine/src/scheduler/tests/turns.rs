//! Whose turn it is.

use super::*;
use crate::scheduler::slot::INTERRUPTIONS;

const fn urgent(priority: Priority) -> Turn {
    Turn { priority, client: 0 }
}

fn submit(scheduler: &mut Scheduler, id: u64, prompt: Vec<u32>, turn: Turn) {
    scheduler.submit(id, prompt, Some(50), Wants::Tokens, turn).expect("room");
}

/// Ids of the sequences that run, in the order of their slots.
fn running(scheduler: &Scheduler) -> Vec<u64> {
    scheduler.slots.iter().filter_map(|slot| Some(slot.running.as_ref()?.id)).collect()
}

#[test]
fn the_least_urgent_gives_up_its_slot_and_goes_on_where_it_was() {
    let mut scheduler = scheduler(100, 2, 8);
    submit(&mut scheduler, 1, vec![1, 2, 3], urgent(Priority::Low));
    step(&mut scheduler, 9);
    submit(&mut scheduler, 2, vec![4, 5, 6], urgent(Priority::Normal));
    step(&mut scheduler, 9);
    submit(&mut scheduler, 3, vec![7], urgent(Priority::High));
    assert_eq!(step(&mut scheduler, 9), [(1, 3, 1, true), (0, 0, 1, true)], "it takes the place of the least urgent");
    assert_eq!(running(&scheduler), [3, 2]);
    submit(&mut scheduler, 4, vec![8], urgent(Priority::Normal));
    step(&mut scheduler, 9);
    assert_eq!(running(&scheduler), [3, 2], "nobody gives way to an equal");
    scheduler.remove(2);
    step(&mut scheduler, 9);
    assert_eq!(running(&scheduler), [3, 4]);
    scheduler.remove(4);
    let step = scheduler.next_step(1, usize::MAX).expect("two run");
    assert_eq!(running(&scheduler), [3, 1]);
    assert_eq!(step.tokens[1..], [1, 2, 3, 9, 9], "what it had generated is read");
    assert_eq!(scheduler.accept(1, 9), Accepted { is_last: false, was_guessed: false });
    assert_eq!(scheduler.running(1).map(|sequence| sequence.left), Some(47));
}

#[test]
fn what_gave_way_is_not_computed_again_where_it_is_still_there() {
    let (mut scheduler, mut ranks) = (long(1, 1024, true), Ranks::default());
    submit(&mut scheduler, 1, text(&[1, 2]), urgent(Priority::Low));
    while !scheduler.running(1).is_some_and(Sequence::is_decoding) {
        ranks.take(&scheduler.next_step(1, usize::MAX).expect("1 runs"));
    }
    scheduler.accept(1, 9);
    submit(&mut scheduler, 2, text(&[3]), urgent(Priority::High));
    ranks.take(&scheduler.next_step(1, usize::MAX).expect("2 runs"));
    assert_eq!(running(&scheduler), [2]);
    scheduler.remove(2);
    assert_eq!(run(&mut scheduler, &mut ranks, 1), 3 * BLOCK as u32);
}

#[test]
fn what_is_under_way_and_what_is_no_text_is_not_interrupted() {
    let mut scheduler = scheduler(100, 2, 8);
    submit(&mut scheduler, 1, vec![1], urgent(Priority::Low));
    let states = Wants::States { pooling: Pooling::Mean, in_one_step: false };
    scheduler.submit(2, vec![2; 20], None, states, urgent(Priority::Low)).expect("room");
    let first = scheduler.next_step(1, usize::MAX).expect("both run");
    assert_eq!(first.heads.len(), 2);
    submit(&mut scheduler, 3, vec![3], urgent(Priority::High));
    scheduler.next_step(1, usize::MAX);
    assert_eq!(running(&scheduler), [1, 2]);
    scheduler.accept(1, 9);
    scheduler.next_step(1, usize::MAX);
    assert_eq!(running(&scheduler), [3, 2]);
}

#[test]
fn slots_that_are_free_at_the_same_time_go_to_different_clients() {
    let mut scheduler = scheduler(100, 4, 8);
    for id in 0..8 {
        submit(&mut scheduler, id, vec![id as u32; 3], Turn { client: 1 + id / 4, ..Turn::default() });
    }
    step(&mut scheduler, 9);
    assert_eq!(running(&scheduler), [0, 4, 1, 5]);
}

#[test]
fn one_gives_way_so_often_and_then_it_is_heard_out() {
    let mut scheduler = scheduler(100, 1, 8);
    submit(&mut scheduler, 0, vec![1; 3], urgent(Priority::Low));
    for id in 1..=u64::from(INTERRUPTIONS) {
        step(&mut scheduler, 9);
        assert_eq!(running(&scheduler), [0]);
        submit(&mut scheduler, id, vec![2; 3], urgent(Priority::High));
        step(&mut scheduler, 9);
        assert_eq!(running(&scheduler), [id]);
        scheduler.remove(id);
    }
    step(&mut scheduler, 9);
    submit(&mut scheduler, 9, vec![2; 3], urgent(Priority::High));
    step(&mut scheduler, 9);
    assert_eq!(running(&scheduler), [0]);
}

#[test]
fn clients_take_turns_at_slots() {
    let mut scheduler = scheduler(100, 1, 8);
    let of = |client| Turn { client, ..Turn::default() };
    for id in 0..5 {
        submit(&mut scheduler, id, vec![id as u32; 3], of(1));
    }
    submit(&mut scheduler, 5, vec![5; 3], of(2));
    submit(&mut scheduler, 6, vec![6; 3], of(2));
    let mut order = Vec::new();
    while !scheduler.is_idle() {
        step(&mut scheduler, 9);
        order.extend(running(&scheduler));
        scheduler.remove(order[order.len() - 1]);
    }
    assert_eq!(order, [0, 5, 1, 6, 2, 3, 4]);
}
