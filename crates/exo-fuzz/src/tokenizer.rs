//! The tokenizer of a vocabulary, and a text.
//!
//! The input has five parts with a zero byte between: two bytes that choose, tokens by lines, merges by lines, a byte for
//! the kind of each token, and the text.

use crate::input;
use exo_text::{
    ControlTokens, Detokenizer, Folding, PreTokenizer, SpecialTokens, TokenKind, Tokenizer, TokenizerModel, Vocabulary,
};

/// Builds it, and reads the text with it.
pub(crate) fn run(bytes: &[u8]) {
    let mut parts = bytes.splitn(5, |byte| *byte == 0);
    let mut part = || parts.next().unwrap_or_default();
    let (choices, tokens, merges, kinds, text) = (part(), part(), part(), part(), input::text(part()));
    let Ok(tokenizer) = Tokenizer::new(vocabulary(choices, tokens, merges, kinds)) else { return };
    for control in [ControlTokens::AsText, ControlTokens::Parse] {
        let Ok(tokens) = tokenizer.encode_prompt(text, control) else { continue };
        let mut detokenizer = Detokenizer::new();
        for token in tokens {
            assert!((token as usize) < tokenizer.len(), "token {token} of {}", tokenizer.len());
            let _ = detokenizer.push(tokenizer.token_bytes(token));
        }
        let _ = detokenizer.finish();
    }
    let Ok(tokens) = tokenizer.encode(&tokenizer.guard(text), ControlTokens::Parse) else { return };
    let is_control = |token: &u32| tokenizer.kind(*token) == TokenKind::Control;
    let made = tokens.iter().find(|token| is_control(token) && tokenizer.special().unknown != Some(**token));
    // A token of text may be named control by the vocabulary; only what is found as such is a text's escape.
    if let Some(text_of) = made.and_then(|token| tokenizer.token_text(*token)) {
        let as_text = tokenizer.encode(text, ControlTokens::AsText).unwrap_or_default();
        assert!(as_text.iter().any(is_control), "{text_of:?} got through the guard");
    }
}

fn vocabulary(choices: &[u8], tokens: &[u8], merges: &[u8], kinds: &[u8]) -> Vocabulary {
    let lines = |bytes: &[u8]| -> Vec<String> {
        if bytes.is_empty() { Vec::new() } else { input::text(bytes).split('\n').map(str::to_owned).collect() }
    };
    let (model, rest) = input::choice(choices);
    let (flags, _) = input::choice(rest);
    let flag = |bit: u8| flags >> bit & 1 == 1;
    let tokens = lines(tokens);
    let byte_tokens = (0..=u8::MAX).map(|byte| format!("<0x{byte:02X}>"));
    let tokens: Vec<String> = if flag(4) { tokens.into_iter().chain(byte_tokens).collect() } else { tokens };
    let role = |bit: u8, id: u32| flag(bit).then_some(id);
    let folding = Folding { lowers: flag(5), strips_accents: flag(6) };
    Vocabulary {
        model: [TokenizerModel::Gpt2, TokenizerModel::Llama, TokenizerModel::WordPiece(folding)]
            [usize::from(model % 3)],
        pre: [PreTokenizer::Gpt2, PreTokenizer::Llama3, PreTokenizer::Qwen2, PreTokenizer::Gpt4o, PreTokenizer::Tekken]
            [usize::from(model / 3 % 5)],
        scores: (0..tokens.len()).map(|at| -(at as f32)).collect(),
        kinds: (0..tokens.len()).map(|at| kind(kinds.get(at).copied(), &tokens[at])).collect(),
        tokens,
        merges: lines(merges),
        special: SpecialTokens {
            bos: role(0, 1),
            eos: role(1, 2),
            eot: None,
            unknown: role(2, 0),
            add_bos: flag(3),
            add_space_prefix: flag(7),
        },
    }
}

fn kind(byte: Option<u8>, token: &str) -> TokenKind {
    match byte {
        Some(b'c') => TokenKind::Control,
        Some(b'd') => TokenKind::UserDefined,
        Some(b'u') => TokenKind::Unknown,
        Some(b'x') => TokenKind::Unused,
        None if token.starts_with("<0x") => TokenKind::Byte,
        _ => TokenKind::Normal,
    }
}
