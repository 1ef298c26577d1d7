//! Which of the known word rules a byte-level tokenizer follows.

use serde_json::Value;

use super::{kind_of, shown, unsupported};
use crate::error::DirectoryProblem;

macro_rules! contractions {
    () => {
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    };
}
/// `[^\r\n\p{L}\p{N}]?` before a word of upper and lower case letters, then what stands behind it.
macro_rules! cased {
    ($tail:expr) => {
        concat!(
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
            $tail,
            r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
            $tail
        )
    };
}

/// A rule: GGUF's name, the expression, and whether words that are tokens are taken whole (where it is known).
type Rule = (&'static str, &'static str, Option<bool>);

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

const RULES: [Rule; 5] = [
    ("gpt-2", GPT2, Some(false)),
    (
        "llama-bpe",
        concat!(
            contractions!(),
            r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        ),
        Some(true),
    ),
    (
        "qwen2",
        concat!(contractions!(), r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"),
        Some(false),
    ),
    // Its merges make every word that is a token, so that both are the same.
    (
        "gpt-4o",
        concat!(
            cased!(concat!(contractions!(), "?")),
            r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        ),
        None,
    ),
    ("tekken", concat!(cased!(""), r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"), Some(true)),
];

/// GGUF's name of the rule; `takes_whole_words` is what the model says of itself.
pub(super) fn rule(steps: &[&Value], takes_whole_words: bool) -> Result<&'static str, DirectoryProblem> {
    let expression = match steps {
        [last] if is_byte_level(last, true) => GPT2,
        [split, last] if is_byte_level(last, false) && is_cut(split) => expression(split),
        _ => "",
    };
    let Some(&(name, _, takes_whole)) = RULES.iter().find(|(_, known, _)| *known == expression) else {
        let steps: Vec<_> = steps.iter().map(|step| shown(step)).collect();
        return Err(unsupported(format!("the pre-tokenizer {}", steps.join(", "))));
    };
    match takes_whole {
        Some(wanted) if wanted != takes_whole_words => {
            Err(unsupported(format!("the words of {name} with ignore_merges = {takes_whole_words}")))
        }
        _ => Ok(name),
    }
}

/// The step that spells bytes; `cuts` says whether it also cuts words.
fn is_byte_level(step: &Value, cuts: bool) -> bool {
    let flag = |name: &str, default| step.get(name).and_then(Value::as_bool).unwrap_or(default);
    kind_of(step) == "ByteLevel" && flag("use_regex", true) == cuts && !flag("add_prefix_space", true)
}

/// A step whose matches are words, and so is what lies between.
fn is_cut(step: &Value) -> bool {
    let behaviour = step.get("behavior").and_then(Value::as_str);
    let inverts = step.get("invert").and_then(Value::as_bool).unwrap_or(false);
    kind_of(step) == "Split" && matches!((behaviour, inverts), (Some("Isolated"), false) | (Some("Removed"), true))
}

fn expression(split: &Value) -> &str {
    split.pointer("/pattern/Regex").and_then(Value::as_str).unwrap_or_default()
}
