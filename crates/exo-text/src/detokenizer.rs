//! Bytes of tokens to text, one piece after the other.

/// Turns a stream of bytes into text without ever splitting a character.
///
/// A token may end inside a character, so the last bytes (at most three) wait for the rest. Bytes that cannot become
/// a character turn into U+FFFD as soon as that is certain; the text is the same however the bytes are cut, and equal
/// to `String::from_utf8_lossy` of all of them.
#[derive(Debug, Clone, Default)]
pub struct Detokenizer {
    pending: Vec<u8>,
}

impl Detokenizer {
    /// A detokenizer at the start of a text.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the bytes of one token and returns the text that is complete now.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.pending.extend_from_slice(bytes);
        let complete = self.pending.len() - incomplete_tail(&self.pending);
        let text = String::from_utf8_lossy(&self.pending[..complete]).into_owned();
        self.pending.drain(..complete);
        text
    }

    /// Ends the text: what is still incomplete becomes U+FFFD.
    pub fn finish(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.pending).into_owned();
        self.pending.clear();
        text
    }
}

/// Number of bytes at the end that are the valid start of a character.
fn incomplete_tail(bytes: &[u8]) -> usize {
    match bytes.utf8_chunks().last() {
        Some(chunk) if starts_character(chunk.invalid()) => chunk.invalid().len(),
        _ => 0,
    }
}

/// Whether more bytes could complete `bytes`; a chunk's invalid part is always a maximal prefix or a lone bad byte.
fn starts_character(bytes: &[u8]) -> bool {
    matches!(std::str::from_utf8(bytes), Err(error) if error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn feed(pieces: &[&[u8]]) -> Vec<String> {
        let mut detokenizer = Detokenizer::new();
        let mut texts: Vec<String> = pieces.iter().map(|piece| detokenizer.push(piece)).collect();
        texts.push(detokenizer.finish());
        texts
    }

    #[test]
    fn a_character_comes_whole_and_bad_bytes_are_marked() {
        let check = |pieces: &[&[u8]], expect: &[&str]| assert_eq!(feed(pieces), expect, "{pieces:?}");
        check(&[b"a", b"b"], &["a", "b", ""]);
        check(&["ä".as_bytes()], &["ä", ""]);
        check(&[b"\xc3", b"\xa4"], &["", "ä", ""]);
        check(&[b"\xf0", b"\x9f", b"\x98", b"\x80!"], &["", "", "", "😀!", ""]);
        check(&[b"a\xff", b"b"], &["a\u{fffd}", "b", ""]);
        check(&[b"\xf0\x9f", b"x"], &["", "\u{fffd}x", ""]);
        check(&[b"ok\xe2\x82"], &["ok", "\u{fffd}"]);
        check(&[b"\xed\xa0", b"\x80"], &["\u{fffd}\u{fffd}", "\u{fffd}", ""]);
    }

    proptest! {
        #[test]
        fn text_does_not_depend_on_how_bytes_are_cut(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), 0xe0u8..=0xf4, 0x80u8..=0xbf], 0..60),
            size in 1usize..7,
        ) {
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            prop_assert_eq!(feed(&pieces).concat(), String::from_utf8_lossy(&bytes));
        }
    }
}
