//! Parts of an input.

/// The first byte, and what follows; 0 and nothing if there is none.
pub(crate) fn choice(bytes: &[u8]) -> (u8, &[u8]) {
    bytes.split_first().map_or((0, bytes), |(first, rest)| (*first, rest))
}

/// The text that the bytes are, up to the first that is none.
pub(crate) fn text(bytes: &[u8]) -> &str {
    bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid())
}

/// Cuts of a length at places that follow from a seed: the end of each piece, the last at `length`.
pub(crate) fn cuts(seed: u8, length: usize) -> Vec<usize> {
    let (mut state, mut at, mut cuts) = (u32::from(seed) | 1, 0, Vec::new());
    while at < length {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        at = length.min(at + 1 + (state >> 28) as usize);
        cuts.push(at);
    }
    cuts
}
