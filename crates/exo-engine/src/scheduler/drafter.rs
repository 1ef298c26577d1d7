//! Guesses how an answer goes on: as it went on the last time that it said the same (prompt lookup decoding, Saxena 2023).
//!
//! Code that is edited, texts that are summed up and lists repeat themselves; other text does not, and each wrong guess
//! costs a row of a step. So the guesses grow while they are right, and stop for a while when they are not.

/// Words that must be the same, in tokens: the longest that is found counts.
const SAME: std::ops::RangeInclusive<usize> = 2..=4;

/// Tokens guessed at first.
const FIRST: usize = 2;

/// Most tokens that pass without a guess after wrong ones.
const LONGEST_PAUSE: u32 = 64;

/// What one sequence's guesses came to.
#[derive(Debug)]
pub(super) struct Drafter {
    /// How many tokens to guess.
    length: usize,
    /// So many more tokens without a guess.
    pause: u32,
    /// The next pause.
    next_pause: u32,
}

impl Default for Drafter {
    fn default() -> Self {
        Self { length: FIRST, pause: 0, next_pause: 1 }
    }
}

impl Drafter {
    /// Up to `most` tokens that may come after `tokens`.
    pub(super) fn draft(&mut self, tokens: &[u32], most: usize) -> Vec<u32> {
        if most == 0 {
            return Vec::new();
        }
        if self.pause > 0 {
            self.pause -= 1;
            return Vec::new();
        }
        look_up(tokens, most.min(self.length)).to_vec()
    }

    /// A guess was right or wrong, and `behind` more of the same draft wait for their outcome.
    pub(super) fn on_outcome(&mut self, is_right: bool, behind: usize) {
        if !is_right {
            self.length = FIRST;
            self.pause = self.next_pause;
            self.next_pause = (self.next_pause * 2).min(LONGEST_PAUSE);
        } else if behind == 0 {
            self.length = self.length.saturating_mul(2);
            self.next_pause = 1;
        }
    }
}

/// What came after the last place before where the last tokens stand, too; at most `most` tokens.
fn look_up(tokens: &[u32], most: usize) -> &[u32] {
    let found = SAME.rev().filter(|&same| same < tokens.len()).find_map(|same| {
        let last = &tokens[tokens.len() - same..];
        let before = &tokens[..tokens.len() - 1];
        before.windows(same).rposition(|words| words == last).map(|at| at + same)
    });
    found.map_or(&[], |from| &tokens[from..tokens.len().min(from + most)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_followed_the_same_words_is_found_the_longest_and_the_last_first() {
        for (tokens, most, expect) in [
            (&[1, 2, 3, 4, 1, 2][..], 8, &[3, 4, 1, 2][..]),
            (&[1, 2, 3, 4, 1, 2], 1, &[3]),
            (&[1, 2, 8, 1, 2, 9, 1, 2], 1, &[9]),
            (&[0, 1, 2, 8, 5, 1, 2, 9, 0, 1, 2], 1, &[8]),
            (&[7, 7, 7], 4, &[7]),
            (&[1, 2, 3], 4, &[]),
            (&[1], 4, &[]),
            (&[], 4, &[]),
        ] {
            assert_eq!(look_up(tokens, most), expect, "{tokens:?} {most}");
        }
    }

    #[test]
    fn right_guesses_grow_and_wrong_ones_make_a_pause() {
        let repeats: Vec<u32> = (0..64).map(|n| n % 32).collect();
        let mut drafter = Drafter::default();
        let mut lengths = |rights: &[bool]| -> Vec<usize> {
            let outcome = |&is_right: &bool| {
                let draft = drafter.draft(&repeats, 8);
                if !draft.is_empty() {
                    drafter.on_outcome(is_right, 0);
                }
                draft.len()
            };
            rights.iter().map(outcome).collect()
        };
        assert_eq!(lengths(&[true, true, true, true]), [2, 4, 8, 8]);
        assert_eq!(lengths(&[false; 8]), [8, 0, 2, 0, 0, 2, 0, 0]);
    }
}
