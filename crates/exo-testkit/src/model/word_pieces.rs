//! The vocabulary of generated encoders.

use exo_gguf::GgufWriter;
use serde_json::{Map, Value, json};

/// Control tokens, then a word's begin and continuation of every character of some scripts, some longer pieces, and filler
/// that text never becomes.
pub(super) struct WordPieces {
    /// As `tokenizer.json` has them: those that continue a word begin with `##`.
    tokens: Vec<String>,
}

const CONTROL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
const UNKNOWN: usize = 1;
const BEGIN: usize = 2;
const END: usize = 3;

/// Latin, Greek, Cyrillic, Hebrew, Arabic, Devanagari, Hangul in parts, Kana and some ideographs.
const CHARACTERS: [std::ops::RangeInclusive<char>; 12] = [
    '0'..='9',
    'a'..='z',
    '\u{df}'..='\u{e6}',
    'α'..='ω',
    'а'..='я',
    'א'..='ת',
    'ء'..='ي',
    'अ'..='ह',
    '\u{1100}'..='\u{1112}',
    '\u{1161}'..='\u{1175}',
    'ぁ'..='ん',
    'ア'..='ン',
];
const ALONE: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~“”–—…、，。日本語中文≤≥±×÷∑√∞";
const LONGER: [&str; 12] =
    ["what", "is", "the", "cluster", "##ing", "##er", "##s", "machine", "ex", "##o", "##oin", "join"];

impl WordPieces {
    /// # Panics
    /// If `count` leaves no room for all of them: below 1000.
    pub(super) fn new(count: usize) -> Self {
        let mut tokens: Vec<String> = CONTROL.map(str::to_owned).into();
        for character in CHARACTERS.into_iter().flatten() {
            tokens.extend([character.to_string(), format!("##{character}")]);
        }
        tokens.extend(ALONE.chars().map(String::from));
        tokens.extend(LONGER.map(str::to_owned));
        let mut seen = std::collections::BTreeSet::new();
        tokens.retain(|token| seen.insert(token.clone()));
        assert!(tokens.len() <= count, "a generated vocabulary of word pieces has at least {} tokens", tokens.len());
        tokens.extend((tokens.len()..count).map(|token| format!("filler{token}")));
        Self { tokens }
    }

    /// The same as a `tokenizer.json`.
    pub(super) fn tokenizer_json(&self) -> Value {
        let vocabulary: Map<_, _> =
            self.tokens.iter().enumerate().map(|(id, token)| (token.clone(), id.into())).collect();
        let control = |(id, token): (usize, &&str)| {
            json!({
                "id": id, "content": token, "special": true,
                "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            })
        };
        let special = |id: usize| json!({ "SpecialToken": { "id": CONTROL[id], "type_id": 0 } });
        let sequence = |name: &str, of: usize| json!({ "Sequence": { "id": name, "type_id": of } });
        let told = |id: usize| json!({ "id": CONTROL[id], "ids": [id], "tokens": [CONTROL[id]] });
        json!({
            "version": "1.0",
            "added_tokens": CONTROL.iter().enumerate().map(control).collect::<Vec<_>>(),
            "normalizer": {
                "type": "BertNormalizer",
                "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true,
            },
            "pre_tokenizer": { "type": "BertPreTokenizer" },
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [special(BEGIN), sequence("A", 0), special(END)],
                "pair": [special(BEGIN), sequence("A", 0), special(END), sequence("B", 1), special(END)],
                "special_tokens": { CONTROL[BEGIN]: told(BEGIN), CONTROL[END]: told(END) },
            },
            "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": true },
            "model": {
                "type": "WordPiece", "unk_token": CONTROL[UNKNOWN], "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100, "vocab": vocabulary,
            },
        })
    }

    /// The same as a `tokenizer_config.json`.
    pub(super) fn settings_json() -> Value {
        json!({
            "tokenizer_class": "BertTokenizer", "do_lower_case": true, "pad_token": CONTROL[0],
            "unk_token": CONTROL[UNKNOWN], "cls_token": CONTROL[BEGIN], "sep_token": CONTROL[END], "mask_token": CONTROL[4],
        })
    }

    pub(super) fn set_metadata(&self, writer: &mut GgufWriter<'static>) {
        let kinds: Vec<i32> = (0..self.tokens.len()).map(|token| if token < CONTROL.len() { 3 } else { 1 }).collect();
        let spelled = |(token, text): (usize, &String)| match text.strip_prefix("##") {
            _ if token < CONTROL.len() => text.clone(),
            Some(rest) => rest.to_owned(),
            None => format!("▁{text}"),
        };
        writer
            .set("tokenizer.ggml.model", "bert")
            .set("tokenizer.ggml.tokens", self.tokens.iter().enumerate().map(spelled).collect::<Vec<_>>())
            .set("tokenizer.ggml.token_type", kinds)
            .set("tokenizer.ggml.unknown_token_id", UNKNOWN as u32)
            .set("tokenizer.ggml.cls_token_id", BEGIN as u32)
            .set("tokenizer.ggml.seperator_token_id", END as u32);
    }
}
