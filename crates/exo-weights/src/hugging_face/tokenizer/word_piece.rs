//! BERT's kind: words spelled with the longest tokens.

use serde_json::Value;

use super::super::json::Object;
use super::model::Kind;
use super::{Entries, kind_of, shown, steps, unsupported};
use crate::error::DirectoryProblem;

/// How the file marks tokens that continue a word; GGUF marks those that begin one.
const CONTINUES: &str = "##";
const BEGINS: &str = "▁";

/// Longer words are unknown everywhere.
const LONGEST_WORD: u32 = 100;

/// What is not told apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Folding {
    lowers: bool,
    strips_accents: bool,
}

impl Folding {
    /// Refuses texts that are cut in another way than BERT's.
    pub(super) fn read(file: &Object<'_>, model: &Object<'_>) -> Result<Self, DirectoryProblem> {
        if model.opt_text("continuing_subword_prefix")?.is_some_and(|prefix| prefix != CONTINUES) {
            return Err(unsupported("a continuing_subword_prefix other than ##"));
        }
        if model.opt_count("max_input_chars_per_word")?.is_some_and(|longest| longest != LONGEST_WORD) {
            return Err(unsupported("a max_input_chars_per_word other than 100"));
        }
        let pre_tokenizer = steps(file.get("pre_tokenizer"), "pretokenizers");
        if let Some(step) = pre_tokenizer.iter().find(|step| kind_of(step) != "BertPreTokenizer") {
            return Err(unsupported(format!("the pre-tokenizer {}", shown(step))));
        }
        let [step] = steps(file.get("normalizer"), "normalizers")[..] else {
            return Err(unsupported("another normalizer than one of BERT's"));
        };
        let flag = |name: &str| step.get(name).and_then(Value::as_bool);
        let is_known = kind_of(step) == "BertNormalizer"
            && ["clean_text", "handle_chinese_chars"].iter().all(|name| flag(name) != Some(false));
        if !is_known || pre_tokenizer.is_empty() {
            return Err(unsupported(format!("the normalizer {}", shown(step))));
        }
        let lowers = flag("lowercase").unwrap_or(true);
        Ok(Self { lowers, strips_accents: flag("strip_accents").unwrap_or(lowers) })
    }

    /// Sets its entries.
    pub(super) fn set(self, entries: &mut Entries<'_>) {
        entries.set_whole("tokenizer.exo.lowers", self.lowers);
        entries.set_whole("tokenizer.exo.strips_accents", self.strips_accents);
    }
}

/// Spells tokens as GGUF does.
pub(super) fn respell(tokens: Vec<String>, kinds: &[Kind]) -> Vec<String> {
    let respelled = |(text, kind): (String, &Kind)| match (kind, text.strip_prefix(CONTINUES)) {
        (Kind::Normal, Some(rest)) => rest.to_owned(),
        (Kind::Normal, None) => format!("{BEGINS}{text}"),
        _ => text,
    };
    tokens.into_iter().zip(kinds).map(respelled).collect()
}
