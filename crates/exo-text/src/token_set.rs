//! A set of tokens.

/// Tokens of a vocabulary, one bit each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSet {
    words: Vec<u32>,
    tokens: usize,
}

impl TokenSet {
    /// The set of those among the first `tokens` whose bit is set; 32 to a word, the lowest first.
    pub fn from_words(words: &[u32], tokens: usize) -> Self {
        let mut words = words.to_vec();
        words.resize(tokens.div_ceil(32), 0);
        if let Some(last) = words.last_mut().filter(|_| !tokens.is_multiple_of(32)) {
            *last &= (1 << (tokens % 32)) - 1;
        }
        Self { words, tokens }
    }

    /// Whether `token` is in it.
    pub fn contains(&self, token: u32) -> bool {
        self.words.get(token as usize / 32).is_some_and(|word| word & (1 << (token % 32)) != 0)
    }

    /// Adds a token; those beyond the vocabulary are none.
    pub fn insert(&mut self, token: u32) {
        if (token as usize) < self.tokens {
            self.words[token as usize / 32] |= 1 << (token % 32);
        }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Makes every other token impossible.
    pub(crate) fn restrict(&self, logits: &mut [f32]) {
        for (index, chunk) in logits.chunks_mut(32).enumerate() {
            match self.words.get(index).copied().unwrap_or(0) {
                u32::MAX => {}
                0 => chunk.fill(f32::NEG_INFINITY),
                word => {
                    let outside = chunk.iter_mut().enumerate().filter(|(bit, _)| word & (1 << bit) == 0);
                    outside.for_each(|(_, logit)| *logit = f32::NEG_INFINITY);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_in_it_stays_possible() {
        let mut set = TokenSet::from_words(&[0b101, u32::MAX, u32::MAX], 66);
        set.insert(3);
        set.insert(66);
        assert!(set.contains(0) && !set.contains(1) && set.contains(3) && set.contains(65) && !set.contains(66));
        let mut logits = vec![1.0; 70];
        set.restrict(&mut logits);
        let possible: Vec<usize> = (0..70).filter(|&token| logits[token] == 1.0).collect();
        assert_eq!(possible, [0, 2, 3].into_iter().chain(32..66).collect::<Vec<_>>());
        assert!(!set.is_empty() && TokenSet::from_words(&[], 66).is_empty());
    }
}
