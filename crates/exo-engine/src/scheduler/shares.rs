//! How the prompts that are being read divide what a step may read.

use std::cmp::Reverse;

use crate::request::Priority;

/// Tokens that a step may still have, besides one for each sequence that decodes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    pub(super) tokens: usize,
    /// Those of prompts that do not fit into one step: what does holds the others up once, and not for long.
    pub(super) of_long_prompts: usize,
}

/// A prompt of which something is left to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unread {
    /// Tokens left.
    pub(super) left: usize,
    /// Whether they did not fit into one step.
    pub(super) is_long: bool,
    /// Whether it is read in one step or not at all.
    pub(super) in_one_step: bool,
    pub(super) priority: Priority,
}

/// One in so many tokens is for the prompt that is being read for longest, so that it goes on whoever comes. What is read
/// in one step has as many as it needs.
const OLDEST: usize = 4;

/// Tokens that a step reads of each prompt; the prompts are given from the oldest on. The urgent come first, and of them
/// those with the least left, because they wait least if they wait for nothing longer.
pub(super) fn shares(prompts: &[Unread], mut budget: Budget) -> Vec<usize> {
    let mut shares = vec![0; prompts.len()];
    let of_oldest = prompts.first().map_or(0, |oldest| match oldest {
        Unread { in_one_step: true, .. } => budget.tokens,
        Unread { is_long: true, .. } => budget.tokens.min(budget.of_long_prompts).div_ceil(OLDEST),
        _ => budget.tokens.div_ceil(OLDEST),
    });
    let mut give = |place: usize, most: usize| {
        let prompt = prompts[place];
        let wanted = prompt.left - shares[place];
        let room = if prompt.is_long { budget.tokens.min(budget.of_long_prompts) } else { budget.tokens };
        let tokens = wanted.min(room).min(most);
        if tokens == 0 || prompt.in_one_step && tokens < wanted {
            return;
        }
        shares[place] += tokens;
        budget.tokens -= tokens;
        budget.of_long_prompts -= if prompt.is_long { tokens } else { 0 };
    };
    if !prompts.is_empty() {
        give(0, of_oldest);
    }
    let mut order: Vec<usize> = (0..prompts.len()).collect();
    order.sort_by_key(|&place| (Reverse(prompts[place].priority), prompts[place].left));
    order.into_iter().for_each(|place| give(place, usize::MAX));
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use Priority::{High, Low, Normal};

    const ANY: usize = usize::MAX;

    fn unread(left: usize, priority: Priority) -> Unread {
        Unread { left, is_long: left > 256, in_one_step: false, priority }
    }

    #[track_caller]
    fn check(prompts: &[Unread], (tokens, of_long_prompts): (usize, usize), expect: &[usize]) {
        assert_eq!(shares(prompts, Budget { tokens, of_long_prompts }), expect);
    }

    #[test]
    fn what_is_short_does_not_wait_for_what_is_long() {
        let long = unread(4000, Normal);
        check(&[], (256, ANY), &[]);
        check(&[long], (256, ANY), &[256]);
        check(&[long, unread(100, Normal), unread(40, Normal)], (256, ANY), &[116, 100, 40]);
        check(&[long, unread(200, Normal), unread(150, Normal)], (256, ANY), &[64, 42, 150]);
    }

    #[test]
    fn the_urgent_are_read_first_and_the_oldest_goes_on() {
        let prompts = [unread(4000, Low), unread(100, Normal), unread(1000, High)];
        check(&prompts, (256, ANY), &[64, 0, 192]);
        check(&prompts, (256, 8), &[2, 100, 6]);
    }

    #[test]
    fn beside_answers_long_prompts_have_what_is_left_for_them() {
        let prompts = [unread(4000, Normal), unread(300, Normal), unread(100, Normal)];
        check(&prompts, (256, 8), &[2, 6, 100]);
        check(&prompts, (256, 0), &[0, 0, 100]);
        check(&prompts, (0, ANY), &[0, 0, 0]);
    }

    #[test]
    fn what_sees_ahead_is_read_whole_or_not_at_all() {
        let whole = |left| Unread { in_one_step: true, ..unread(left, Normal) };
        check(&[whole(100), whole(200), whole(50)], (256, ANY), &[100, 0, 50]);
        check(&[whole(250), whole(20), whole(20)], (256, ANY), &[250, 0, 0]);
        check(&[whole(200), unread(300, Normal)], (256, ANY), &[200, 56]);
    }
}
