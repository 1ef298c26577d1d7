//! The vocabulary of generated models.

use exo_gguf::GgufWriter;
use serde_json::{Map, Value, json};

/// A byte-level vocabulary: every byte, some merges of two letters, filler that text never becomes, and at the end
/// `<|endoftext|>`, `<|im_start|>` and `<|im_end|>`.
#[derive(Debug, Clone)]
pub struct ModelTokens {
    tokens: Vec<String>,
    merges: Vec<String>,
}

const CONTROL: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
const MERGED: [&str; 8] = ["t h", "h e", "i n", "e r", "a n", "o n", "Ġ t", "Ġ a"];

impl ModelTokens {
    /// # Panics
    /// If `count` leaves no room for 256 bytes, merges and control tokens: below 267.
    pub fn new(count: usize) -> Self {
        let first_control = count.checked_sub(CONTROL.len()).expect("room for control tokens");
        let mut tokens: Vec<String> = (0..=255).map(spelling).map(String::from).collect();
        tokens.extend(MERGED.map(|merge| merge.replace(' ', "")));
        assert!(tokens.len() <= first_control, "a generated vocabulary has at least 267 tokens");
        tokens.extend((tokens.len()..first_control).map(|token| format!("filler{token}")));
        tokens.extend(CONTROL.map(str::to_owned));
        Self { tokens, merges: MERGED.map(str::to_owned).into() }
    }

    /// The token that ends an answer.
    pub fn end(&self) -> u32 {
        self.tokens.len() as u32 - 1
    }

    /// The same as a `tokenizer.json`.
    pub(super) fn tokenizer_json(&self) -> Value {
        let first_control = self.tokens.len() - CONTROL.len();
        let vocabulary: Map<_, _> =
            self.tokens[..first_control].iter().enumerate().map(|(id, token)| (token.clone(), id.into())).collect();
        let control = |(index, token): (usize, &&str)| {
            json!({
                "id": first_control + index, "content": token, "special": true,
                "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            })
        };
        json!({
            "version": "1.0",
            "added_tokens": CONTROL.iter().enumerate().map(control).collect::<Vec<_>>(),
            "normalizer": null,
            "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
            "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
            "model": { "type": "BPE", "vocab": vocabulary, "merges": self.merges },
        })
    }

    pub(super) fn set_metadata(&self, writer: &mut GgufWriter<'static>) {
        let first_control = self.tokens.len() - CONTROL.len();
        let kinds: Vec<i32> = (0..self.tokens.len()).map(|token| if token < first_control { 1 } else { 3 }).collect();
        writer
            .set("tokenizer.ggml.model", "gpt2")
            .set("tokenizer.ggml.pre", "gpt-2")
            .set("tokenizer.ggml.tokens", self.tokens.clone())
            .set("tokenizer.ggml.token_type", kinds)
            .set("tokenizer.ggml.merges", self.merges.clone())
            .set("tokenizer.ggml.bos_token_id", first_control as u32)
            .set("tokenizer.ggml.eos_token_id", self.end())
            .set("tokenizer.ggml.add_bos_token", false);
    }
}

/// How byte-level vocabularies spell a byte: as Latin-1 where that is printable, else from U+0100 on.
fn spelling(byte: u8) -> char {
    let code = match byte {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => u32::from(byte),
        0x00..=0x20 => 0x100 + u32::from(byte),
        0x7f..=0xa0 => 0x121 + u32::from(byte) - 0x7f,
        0xad => 0x143,
    };
    char::from_u32(code).expect("all are below the surrogates")
}
