//! Grammars that clients ask for: JSON schemas, regular expressions, Lark.

use crate::input;
use exo_grammar::{Allowed, Grammar, GrammarError, Grammars};
use exo_text::{PreTokenizer, SpecialTokens, TokenKind, Tokenizer, TokenizerModel, Vocabulary};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// Beyond it a grammar hangs. Its fuel is gone after some tenths of a second, later where all is counted.
const PATIENCE: Duration = Duration::from_secs(60);
/// Tokens of an answer.
const TOKENS: usize = 24;
/// What a model says in one piece, beside the single bytes; the first ends an answer.
const WORDS: [&str; 5] = ["</s>", "{\"", "\":", "true", "▁the"];
/// Tokens that there are.
const VOCABULARY: u32 = 256 + WORDS.len() as u32;

static GRAMMARS: LazyLock<Grammars> = LazyLock::new(|| {
    let bytes = (0..=u8::MAX).map(|byte| format!("<0x{byte:02X}>"));
    let tokens: Vec<String> = WORDS.map(str::to_owned).into_iter().chain(bytes).collect();
    let kind = |token: &String| match token.as_str() {
        "</s>" => TokenKind::Control,
        byte if byte.starts_with("<0x") => TokenKind::Byte,
        _ => TokenKind::Normal,
    };
    let vocabulary = Vocabulary {
        model: TokenizerModel::Llama,
        pre: PreTokenizer::Gpt2,
        scores: vec![0.0; tokens.len()],
        kinds: tokens.iter().map(kind).collect(),
        tokens,
        merges: Vec::new(),
        special: SpecialTokens { eos: Some(0), ..SpecialTokens::default() },
    };
    Grammars::new(Arc::new(Tokenizer::new(vocabulary).expect("a good vocabulary")))
});

/// Compiles it, and follows an answer: of the tokens that are allowed one after the other.
pub(crate) fn run(bytes: &[u8]) {
    let (kind, rest) = input::choice(bytes);
    let (turn, rest) = input::choice(rest);
    let text = input::text(rest);
    let grammar = match kind % 4 {
        0 => Grammar::Regex(text.to_owned()),
        1 => Grammar::Lark(text.to_owned()),
        odd => match serde_json::from_str(text) {
            Ok(schema) => Grammar::JsonSchema { schema, strict: odd == 2 },
            Err(_) => return,
        },
    };
    let Ok(mut session) = GRAMMARS.start(grammar) else { return };
    for step in 0..TOKENS {
        let token = match session.wait(PATIENCE) {
            None => panic!("nothing is known of what may come after {PATIENCE:?}"),
            // What it panics with is caught on its thread, and refused by name.
            Some(Err(GrammarError::Refused(reason))) if reason == "its thread ended" => panic!("{reason}"),
            Some(Err(_) | Ok(Allowed::Nothing)) => return,
            Some(Ok(Allowed::Tokens(tokens))) => {
                let allowed: Vec<u32> = (0..VOCABULARY).filter(|token| tokens.contains(*token)).collect();
                assert!(!allowed.is_empty(), "nothing is allowed, and that is not said");
                allowed[(usize::from(turn) * (step + 1)) % allowed.len()]
            }
        };
        session.accept(token);
    }
}
