//! Tokens and merges.

use std::collections::HashMap;

use serde_json::Value;

use super::super::json::Object;
use super::word_piece::{self, Folding};
use super::{Entries, kind_of, shown, steps, unsupported, words};
use crate::error::DirectoryProblem;

/// How SentencePiece spells a space.
const SPACE: &str = "▁";

/// GGUF's numbers of token kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

/// Tokens and what makes them.
#[derive(Debug)]
pub(super) struct Model {
    tokens: Vec<String>,
    kinds: Vec<Kind>,
    pub(super) ids: HashMap<String, u32>,
    pub(super) unknown: Option<u32>,
    merging: Merging,
}

/// How tokens are put together.
#[derive(Debug)]
enum Merging {
    /// Byte-level BPE: rule for words, merges in order.
    Bytes { words: &'static str, merges: Vec<String> },
    /// SentencePiece's BPE.
    Scores { scores: Vec<f32>, starts_with_space: bool },
    /// BERT's WordPiece.
    Pieces(Folding),
}

impl Model {
    /// Reads a model of `count` tokens.
    pub(super) fn read(file: &Object<'_>, count: usize) -> Result<Self, DirectoryProblem> {
        let model = file.opt_object("model")?.ok_or_else(|| file.missing("model"))?;
        let is_pieces = model.opt_text("type")? == Some("WordPiece");
        if !is_pieces {
            check(&model)?;
        }
        let mut tokens = Tokens::new(count);
        let vocabulary = model.opt_object("vocab")?.ok_or_else(|| model.missing("vocab"))?;
        for (text, id) in vocabulary.entries() {
            let id = id.as_u64().ok_or_else(|| model.wrong("vocab", "an object of numbers"))?;
            tokens.put(id, text, Kind::Normal);
        }
        let merging = match is_pieces {
            true => Merging::Pieces(Folding::read(file, &model)?),
            false => merging(file, &model, &mut tokens)?,
        };
        let unknown = model.opt_text("unk_token")?.and_then(|text| tokens.mark(text, Kind::Unknown));
        for added in file.opt_list("added_tokens")?.unwrap_or_default() {
            tokens.add(added)?;
        }
        let (tokens, kinds, ids) = tokens.finish();
        Ok(Self { tokens, kinds, ids, unknown, merging })
    }

    /// Number of tokens.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether it is BERT's WordPiece.
    pub(super) fn is_pieces(&self) -> bool {
        matches!(self.merging, Merging::Pieces(_))
    }

    /// Sets its entries.
    pub(super) fn set(self, entries: &mut Entries<'_>) {
        entries.set("token_type", self.kinds.iter().map(|kind| *kind as i32).collect::<Vec<_>>());
        let tokens = match self.merging {
            Merging::Pieces(_) => word_piece::respell(self.tokens, &self.kinds),
            _ => self.tokens,
        };
        entries.set("tokens", tokens);
        match self.merging {
            Merging::Bytes { words, merges } => {
                entries.set("model", "gpt2");
                entries.set("pre", words);
                entries.set("merges", merges);
            }
            Merging::Scores { scores, starts_with_space } => {
                entries.set("model", "llama");
                entries.set("scores", scores);
                entries.set("add_space_prefix", starts_with_space);
            }
            Merging::Pieces(folding) => {
                entries.set("model", "bert");
                folding.set(entries);
            }
        }
    }
}

/// How the two kinds of BPE put tokens together.
fn merging(file: &Object<'_>, model: &Object<'_>, tokens: &mut Tokens) -> Result<Merging, DirectoryProblem> {
    let falls_back_to_bytes = model.opt_flag("byte_fallback")?.unwrap_or(false);
    let normalizer = steps(file.get("normalizer"), "normalizers");
    let pre_tokenizer = steps(file.get("pre_tokenizer"), "pretokenizers");
    let pairs = pairs(model)?;
    if pre_tokenizer.iter().any(|step| kind_of(step) == "ByteLevel") {
        if let Some(step) = normalizer.iter().find(|step| kind_of(step) != "NFC") {
            return Err(unsupported(format!("the normalizer {}", shown(step))));
        }
        let words = words::rule(&pre_tokenizer, model.opt_flag("ignore_merges")?.unwrap_or(false))?;
        let merges = pairs.iter().map(|(left, right)| format!("{left} {right}")).collect();
        return Ok(Merging::Bytes { words, merges });
    }
    if !falls_back_to_bytes {
        return Err(unsupported("neither the byte level nor a fallback to bytes"));
    }
    let starts_with_space = starts_with_space(&normalizer, &pre_tokenizer)?;
    tokens.mark_bytes();
    Ok(Merging::Scores { scores: scores(&pairs, &tokens.ids, tokens.tokens.len()), starts_with_space })
}

/// Refuses models that are put together in another way.
fn check(model: &Object<'_>) -> Result<(), DirectoryProblem> {
    // The first files of GPT-2's kind do not say it.
    let kind = model.opt_text("type")?.unwrap_or("BPE");
    if kind != "BPE" {
        return Err(unsupported(format!("the model {kind:?}")));
    }
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
        if model.opt_text(key)?.is_some_and(|text| !text.is_empty()) {
            return Err(unsupported(key));
        }
    }
    if model.opt_number("dropout")?.is_some_and(|share| share != 0.0) {
        return Err(unsupported("dropout"));
    }
    Ok(())
}

/// The merges, first first: a text with a space between, or a list of two.
fn pairs<'a>(model: &Object<'a>) -> Result<Vec<(&'a str, &'a str)>, DirectoryProblem> {
    let pair = |merge: &'a Value| match merge {
        Value::String(text) => text.split_once(' '),
        Value::Array(parts) => match parts.as_slice() {
            [left, right] => Some((left.as_str()?, right.as_str()?)),
            _ => None,
        },
        _ => None,
    };
    let list = model.opt_list("merges")?.ok_or_else(|| model.missing("merges"))?;
    let pairs: Option<Vec<_>> = list.iter().map(pair).collect();
    pairs.ok_or_else(|| model.wrong("merges", "a list of pairs"))
}

/// Scores that order merges as the list does: SentencePiece takes the pair whose token has the highest score, and the list
/// was made in the order of the scores.
fn scores(pairs: &[(&str, &str)], ids: &HashMap<String, u32>, count: usize) -> Vec<f32> {
    let mut scores = vec![f32::MIN; count];
    for (rank, (left, right)) in pairs.iter().enumerate() {
        let merged = ids.get([*left, *right].concat().as_str()).and_then(|&id| scores.get_mut(id as usize));
        if let Some(score) = merged.filter(|score| **score == f32::MIN) {
            *score = -(rank as f32) - 1.0;
        }
    }
    scores
}

/// Whether a text gets a space in front; refuses steps that SentencePiece's kind does not have.
fn starts_with_space(normalizer: &[&Value], pre_tokenizer: &[&Value]) -> Result<bool, DirectoryProblem> {
    let text = |step: &Value, pointer: &str| step.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let mut starts_with_space = false;
    for step in normalizer.iter().chain(pre_tokenizer) {
        let is_known = match kind_of(step) {
            "Prepend" => {
                starts_with_space = true;
                text(step, "/prepend").as_deref() == Some(SPACE)
            }
            "Replace" => {
                let (from, to) = (text(step, "/pattern/String"), text(step, "/content"));
                (from.as_deref(), to.as_deref()) == (Some(" "), Some(SPACE))
            }
            // Gemma's, which finds no space any more.
            "Split" => text(step, "/pattern/String").as_deref() == Some(" "),
            "Metaspace" => {
                let scheme = text(step, "/prepend_scheme");
                starts_with_space |= scheme.as_deref() != Some("never");
                text(step, "/replacement").as_deref() == Some(SPACE) && step.get("split") == Some(&Value::Bool(false))
            }
            _ => false,
        };
        if !is_known {
            return Err(unsupported(format!("the step {}", shown(step))));
        }
    }
    Ok(starts_with_space)
}

/// Tokens as they are collected.
struct Tokens {
    tokens: Vec<Option<(String, Kind)>>,
    ids: HashMap<String, u32>,
}

impl Tokens {
    fn new(count: usize) -> Self {
        Self { tokens: vec![None; count], ids: HashMap::new() }
    }

    /// Puts a token in its place. One beyond the embedding could not be computed with; some files have such.
    fn put(&mut self, id: u64, text: &str, kind: Kind) {
        let Some((place, id)) = usize::try_from(id).ok().and_then(|at| Some((self.tokens.get_mut(at)?, at as u32)))
        else {
            return;
        };
        *place = Some((text.to_owned(), kind));
        self.ids.insert(text.to_owned(), id);
    }

    /// Makes a token that is there another kind.
    fn mark(&mut self, text: &str, kind: Kind) -> Option<u32> {
        let id = *self.ids.get(text)?;
        self.put(u64::from(id), text, kind);
        Some(id)
    }

    /// `<0x00>` to `<0xFF>`.
    fn mark_bytes(&mut self) {
        for byte in 0..=u8::MAX {
            self.mark(&format!("<0x{byte:02X}>"), Kind::Byte);
        }
    }

    fn add(&mut self, added: &Value) -> Result<(), DirectoryProblem> {
        let flag = |name: &str| added.get(name).and_then(Value::as_bool).unwrap_or(false);
        let id = added.get("id").and_then(Value::as_u64);
        let (Some(id), Some(text)) = (id, added.get("content").and_then(Value::as_str)) else {
            return Err(unsupported(format!("the added token {}", shown(added))));
        };
        if flag("single_word") {
            return Err(unsupported(format!("the added token {text:?} as a single word")));
        }
        let is_unknown = self.tokens.get(id as usize).is_some_and(|token| matches!(token, Some((_, Kind::Unknown))));
        if !is_unknown {
            self.put(id, text, if flag("special") { Kind::Control } else { Kind::UserDefined });
        }
        Ok(())
    }

    /// Rows of the embedding that are no token get a name that no text has.
    fn finish(self) -> (Vec<String>, Vec<Kind>, HashMap<String, u32>) {
        let named = |(id, token): (usize, Option<(String, Kind)>)| {
            token.unwrap_or_else(|| (format!("[unused {id}]"), Kind::Unused))
        };
        let (tokens, kinds) = self.tokens.into_iter().enumerate().map(named).unzip();
        (tokens, kinds, self.ids)
    }
}
