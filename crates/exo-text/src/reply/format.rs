//! How a family of models writes its reasoning and its calls, recognised by the chat template.

use super::calls::{ReadBody, read_deepseek, read_dsml, read_glm, read_json, read_mistral, read_tagged};

/// What a model's replies are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyFormat {
    pub(super) thinking: Option<Thinking>,
    pub(super) calls: Option<CallSyntax>,
}

/// The tags around reasoning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Thinking {
    pub(super) open: &'static str,
    pub(super) close: &'static str,
}

/// The spelling of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallSyntax {
    /// `<tool_call>…</tool_call>`: Hermes, Qwen, and every model that is told so in its prompt.
    Tagged,
    /// The same tags around names, keys and values.
    Glm,
    /// `[TOOL_CALLS]`.
    Mistral,
    /// A reply that is JSON from its first character on, or follows `<|python_tag|>`.
    Llama,
    /// DeepSeek V3 and R1, and what was distilled from it.
    DeepSeek,
    /// DeepSeek V3.2 and V4.
    Dsml,
    /// `<|tool_call|>…<|/tool_call|>`, or `functools[…]`.
    Phi,
    /// Channels: gpt-oss.
    Harmony,
}

/// What stands around the body of calls.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bracket {
    pub(super) open: &'static str,
    /// Without one the body ends with the reply, or where the next begins.
    pub(super) close: Option<&'static str>,
    pub(super) read: ReadBody,
}

const TAGGED: Bracket = Bracket { open: "<tool_call>", close: Some("</tool_call>"), read: read_tagged };
const GLM: Bracket = Bracket { open: "<tool_call>", close: Some("</tool_call>"), read: read_glm };
const MISTRAL: Bracket = Bracket { open: "[TOOL_CALLS]", close: None, read: read_mistral };
const PYTHON: Bracket = Bracket { open: "<|python_tag|>", close: None, read: read_json };
const DEEPSEEK: Bracket =
    Bracket { open: "<｜tool▁calls▁begin｜>", close: Some("<｜tool▁calls▁end｜>"), read: read_deepseek };
const DSML: Bracket =
    Bracket { open: "<｜DSML｜function_calls>", close: Some("</｜DSML｜function_calls>"), read: read_dsml };
const DSML_4: Bracket =
    Bracket { open: "<｜DSML｜tool_calls>", close: Some("</｜DSML｜tool_calls>"), read: read_dsml };
const PHI: Bracket = Bracket { open: "<|tool_call|>", close: Some("<|/tool_call|>"), read: read_json };
const FUNCTOOLS: Bracket = Bracket { open: "functools", close: None, read: read_json };

impl CallSyntax {
    /// The brackets that are looked for. The tagged ones are understood everywhere: forced calls may use them.
    pub(super) fn brackets(self) -> &'static [Bracket] {
        match self {
            Self::Tagged => &[TAGGED],
            Self::Glm => &[GLM],
            Self::Mistral => &[MISTRAL, TAGGED],
            Self::Llama => &[PYTHON, TAGGED],
            Self::DeepSeek => &[DEEPSEEK, TAGGED],
            Self::Dsml => &[DSML, DSML_4, TAGGED],
            Self::Phi => &[PHI, FUNCTOOLS, TAGGED],
            Self::Harmony => &[],
        }
    }
}

const THINK: Thinking = Thinking { open: "<think>", close: "</think>" };
const MISTRAL_THINK: Thinking = Thinking { open: "[THINK]", close: "[/THINK]" };

impl ReplyFormat {
    /// Text and nothing else.
    pub const PLAIN: Self = Self { thinking: None, calls: None };

    /// The format that goes with a chat template.
    pub fn of_template(source: &str) -> Self {
        let has = |text: &str| source.contains(text);
        let calls = if has("<|channel|>") && has("<|message|>") {
            Some(CallSyntax::Harmony)
        } else if has("<｜DSML｜") {
            Some(CallSyntax::Dsml)
        } else if has("<｜tool▁calls▁begin｜>") {
            Some(CallSyntax::DeepSeek)
        } else if has("[TOOL_CALLS]") {
            Some(CallSyntax::Mistral)
        } else if has("<|python_tag|>") || (has("<|start_header_id|>") && has("tools")) {
            Some(CallSyntax::Llama)
        } else if has("<|tool_call|>") || has("<|tool|>") {
            Some(CallSyntax::Phi)
        } else if has("<tool_call>") && has("<arg_key>") {
            Some(CallSyntax::Glm)
        } else if has("<tool_call>") && (has("tool_call.name") || has("<function=")) {
            Some(CallSyntax::Tagged)
        } else {
            None
        };
        let thinking = [THINK, MISTRAL_THINK].into_iter().find(|tags| has(tags.close));
        Self { thinking: thinking.filter(|_| calls != Some(CallSyntax::Harmony)), calls }
    }

    /// Whether the model's own template tells it of tools. Otherwise the prompt has to.
    pub fn knows_tools(&self) -> bool {
        self.calls.is_some()
    }

    /// Whether a prompt leaves the model in the middle of its reasoning.
    pub fn is_reasoning_after(&self, prompt: &str) -> bool {
        self.thinking.is_some_and(|tags| prompt.trim_end().ends_with(tags.open))
    }

    /// The tag that ends reasoning; none for models that do not reason in tags.
    pub fn end_of_reasoning(&self) -> Option<&'static str> {
        self.thinking.map(|tags| tags.close)
    }

    /// Texts of control tokens that a reply is parsed by: they have to be printed into it. Those of calls are not
    /// wanted where no tools were offered.
    pub fn marker_tokens(&self, with_calls: bool) -> Vec<&'static str> {
        let of_thinking = self.thinking.iter().flat_map(|tags| [tags.open, tags.close]);
        let of_calls: &[&'static str] = match self.calls {
            Some(CallSyntax::Harmony) => HARMONY_TOKENS,
            _ if !with_calls => &[],
            Some(syntax) => syntax.tokens(),
            None => CallSyntax::Tagged.tokens(),
        };
        of_thinking.chain(of_calls.iter().copied()).collect()
    }
}

const HARMONY_TOKENS: &[&str] = &["<|start|>", "<|channel|>", "<|constrain|>", "<|message|>", "<|end|>"];

impl CallSyntax {
    fn tokens(self) -> &'static [&'static str] {
        match self {
            Self::Tagged | Self::Dsml => &["<tool_call>", "</tool_call>"],
            Self::Glm => &["<tool_call>", "</tool_call>", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"],
            Self::Mistral => &["[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"],
            Self::Llama => &["<|python_tag|>"],
            Self::DeepSeek => &[
                "<｜tool▁calls▁begin｜>",
                "<｜tool▁calls▁end｜>",
                "<｜tool▁call▁begin｜>",
                "<｜tool▁call▁end｜>",
                "<｜tool▁sep｜>",
            ],
            Self::Phi => &["<|tool_call|>", "<|/tool_call|>"],
            Self::Harmony => HARMONY_TOKENS,
        }
    }
}
