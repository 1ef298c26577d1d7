//! Cuts text into the words within which byte-level tokenizers merge.
//!
//! The families define their words by regular expressions with look-ahead. Here they are written out as one pass over
//! the characters, so that no text makes them slow; the tests compare with the expressions themselves.

use std::sync::LazyLock;

use fancy_regex::Regex;

use crate::vocabulary::PreTokenizer;

/// Cuts text as one family does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words {
    pre: PreTokenizer,
}

impl Words {
    pub(super) fn new(pre: PreTokenizer) -> Self {
        Self { pre }
    }

    /// The words of `text`; together they are the text.
    pub(super) fn split<'a>(self, text: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        let mut rest = text;
        std::iter::from_fn(move || {
            let length = self.word_length(rest);
            let (word, after) = rest.split_at(length);
            rest = after;
            (length > 0).then_some(word)
        })
    }

    fn word_length(self, text: &str) -> usize {
        match self.pre {
            PreTokenizer::Gpt2 => gpt2_word(text),
            PreTokenizer::Llama3 => llama3_word(text, 3),
            PreTokenizer::Qwen2 => llama3_word(text, 1),
            PreTokenizer::Gpt4o => cased_word(text, 3, true),
            PreTokenizer::Tekken => cased_word(text, 1, false),
        }
    }
}

/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
fn gpt2_word(text: &str) -> usize {
    if let Some(length) = contraction(text, false) {
        return length;
    }
    let space = usize::from(text.starts_with(' '));
    for class in [is_letter, is_number, is_other] {
        let run = run_length(&text[space..], class);
        if run > 0 {
            return space + run;
        }
    }
    whitespace_word(text)
}

/// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
/// with `digits` in place of 3.
fn llama3_word(text: &str, digits: usize) -> usize {
    let Some(first) = text.chars().next() else { return 0 };
    if let Some(length) = contraction(text, true) {
        return length;
    }
    let letters = run_length(&text[lead_length(first)..], is_letter);
    if letters > 0 {
        return lead_length(first) + letters;
    }
    wordless(text, first, digits, is_line_end)
}

/// With `U` for `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`, `L` for `[\p{Ll}\p{Lm}\p{Lo}\p{M}]` and `C` for the contractions of
/// Llama 3 or nothing:
/// `[^\r\n\p{L}\p{N}]?U*L+C?|[^\r\n\p{L}\p{N}]?U+L*C?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
/// with `digits` in place of 3.
fn cased_word(text: &str, digits: usize, has_contractions: bool) -> usize {
    let Some(first) = text.chars().next() else { return 0 };
    let lead = lead_length(first);
    let starts = if lead > 0 { &[lead, 0][..] } else { &[0] };
    let end = [ends_in_lower, starts_in_upper]
        .into_iter()
        .find_map(|word| starts.iter().find_map(|&start| Some(start + word(&text[start..])?)));
    if let Some(end) = end {
        let tail = if has_contractions { contraction(&text[end..], true) } else { None };
        return end + tail.unwrap_or(0);
    }
    wordless(text, first, digits, |character| is_line_end(character) || character == '/')
}

/// `U*L+`: the run of `U` and the lower case behind it; without that as far as the run has what is both.
fn ends_in_lower(text: &str) -> Option<usize> {
    let upper = run_length(text, is_upper);
    let lower = run_length(&text[upper..], is_lower);
    if lower > 0 {
        return Some(upper + lower);
    }
    let last = text[..upper].char_indices().rfind(|&(_, character)| is_lower(character))?;
    Some(last.0 + last.1.len_utf8())
}

/// `U+L*`.
fn starts_in_upper(text: &str) -> Option<usize> {
    let upper = run_length(text, is_upper);
    (upper > 0).then(|| upper + run_length(&text[upper..], is_lower))
}

/// `[^\r\n\p{L}\p{N}]?`
fn lead_length(first: char) -> usize {
    if is_letter(first) || is_number(first) || is_line_end(first) { 0 } else { first.len_utf8() }
}

/// `\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+` with `digits` in place of 3 and `tail` in place of
/// `[\r\n]`, of a text that begins with no word.
fn wordless(text: &str, first: char, digits: usize, tail: fn(char) -> bool) -> usize {
    if is_number(first) {
        return text.chars().take(digits).take_while(|&c| is_number(c)).map(char::len_utf8).sum();
    }
    let space = usize::from(first == ' ');
    let others = run_length(&text[space..], is_other);
    if others > 0 {
        let end = space + others;
        return end + run_length(&text[end..], tail);
    }
    let spaces = run_length(text, char::is_whitespace);
    match text[..spaces].rfind(is_line_end) {
        Some(last_line_end) => last_line_end + 1,
        None => whitespace_word(text),
    }
}

/// A run of whitespace without its last character, if a word follows; that one belongs to the word.
fn whitespace_word(text: &str) -> usize {
    let run = run_length(text, char::is_whitespace);
    let last = text[..run].chars().next_back().map_or(0, char::len_utf8);
    if run < text.len() && run > last { run - last } else { run }
}

fn contraction(text: &str, any_case: bool) -> Option<usize> {
    let mut characters = text.strip_prefix('\'')?.chars();
    // 'ſ (U+017F) is an s when case does not matter.
    let fold = |c: char| match c {
        'ſ' if any_case => 's',
        c if any_case => c.to_ascii_lowercase(),
        c => c,
    };
    let first = characters.next()?;
    let second = characters.next().map(fold);
    match (fold(first), second) {
        ('s' | 't' | 'm' | 'd', _) => Some(1 + first.len_utf8()),
        ('r' | 'v', Some('e')) | ('l', Some('l')) => Some(3),
        _ => None,
    }
}

fn run_length(text: &str, class: fn(char) -> bool) -> usize {
    text.find(|c| !class(c)).unwrap_or(text.len())
}

fn is_line_end(character: char) -> bool {
    matches!(character, '\r' | '\n')
}

fn is_number(character: char) -> bool {
    character.is_numeric()
}

/// The category L. The standard library knows the wider property Alphabetic, which has marks and circled letters too.
fn is_letter(character: char) -> bool {
    static LETTER: LazyLock<Regex> = LazyLock::new(|| expression(r"^\p{L}$"));
    if character.is_ascii() {
        return character.is_ascii_alphabetic();
    }
    character.is_alphabetic() && matches_one(&LETTER, character)
}

/// The categories Lu, Lt, Lm, Lo and M.
fn is_upper(character: char) -> bool {
    static UPPER: LazyLock<Regex> = LazyLock::new(|| expression(r"^[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]$"));
    if character.is_ascii() { character.is_ascii_uppercase() } else { matches_one(&UPPER, character) }
}

/// The categories Ll, Lm, Lo and M.
fn is_lower(character: char) -> bool {
    static LOWER: LazyLock<Regex> = LazyLock::new(|| expression(r"^[\p{Ll}\p{Lm}\p{Lo}\p{M}]$"));
    if character.is_ascii() { character.is_ascii_lowercase() } else { matches_one(&LOWER, character) }
}

pub(super) fn expression(text: &str) -> Regex {
    Regex::new(text).expect("a fixed, valid expression")
}

pub(super) fn matches_one(regex: &Regex, character: char) -> bool {
    regex.is_match(character.encode_utf8(&mut [0; 4])).unwrap_or(false)
}

fn is_other(character: char) -> bool {
    !character.is_whitespace() && !is_letter(character) && !is_number(character)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
    const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    /// Compiled once: that takes longer than most cases.
    static EXPRESSIONS: LazyLock<[(PreTokenizer, Regex); 5]> = LazyLock::new(|| {
        [
            (PreTokenizer::Gpt2, GPT2),
            (PreTokenizer::Llama3, LLAMA3),
            (PreTokenizer::Qwen2, QWEN2),
            (PreTokenizer::Gpt4o, GPT4O),
            (PreTokenizer::Tekken, TEKKEN),
        ]
        .map(|(pre, pattern)| (pre, expression(pattern)))
    });

    fn check(text: &str) {
        for (pre, regex) in EXPRESSIONS.iter() {
            let expect: Vec<&str> = regex.find_iter(text).map(|found| found.expect("within limits").as_str()).collect();
            assert_eq!(Words::new(*pre).split(text).collect::<Vec<_>>(), expect, "{pre:?} {text:?}");
        }
    }

    #[test]
    fn words_are_those_of_the_expressions() {
        for text in [
            "",
            "Hello, world! It's we'LL they'Ve I'd 'ſ",
            "12345 1 22  333\n\n  x\r\n\ty   ",
            "a\u{a0}b \u{a0}\u{3000}c !!!\n\n?? \n a",
            "नमस्ते दुनिया Ⓐⓑ Ⅷ² ½ 漢字かな 😀😀",
            "  leading\n \n trailing  ",
            "HTTPServer's camelCase ÀÉÎòù ǅ ʰʱ Ab漢Cd a\u{301}B\u{301}'LL \u{301}X path/to//\n/x",
        ] {
            check(text);
        }
    }

    #[test]
    fn letters_and_numbers_are_the_unicode_categories() {
        let letters = Regex::new(r"^\p{L}$").expect("valid");
        let numbers = Regex::new(r"^\p{N}$").expect("valid");
        let mut buffer = [0; 4];
        // Beyond the first plane the two libraries' Unicode versions may differ.
        for character in ('\0'..='\u{ffff}').step_by(7) {
            let text = character.encode_utf8(&mut buffer);
            assert_eq!(is_letter(character), letters.is_match(text).expect("short"), "{character:?}");
            assert_eq!(is_number(character), numbers.is_match(text).expect("short"), "{character:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_cut_as_by_the_expressions(text in r"([ \t\r\n\u{a0}]|'|[a-zA-Z]|[0-9²Ⅷ]|[!.€]|[äßÄनस्漢Ⓐǅʰ\u{301}/]|re|LL|.){0,30}") {
            check(&text);
        }
    }
}
