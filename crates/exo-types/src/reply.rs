//! What a reply may and must be: tools, grammars, reasoning.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A call of a tool, by a model.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolCall {
    /// Its name among the calls of a dialogue.
    pub id: String,
    /// Which tool.
    pub name: String,
    /// A JSON object, as the model wrote it.
    pub arguments: String,
}

/// Hides the arguments: answers are never logged.
impl fmt::Debug for ToolCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ToolCall({}, {} bytes)", self.id, self.arguments.len())
    }
}

/// A tool that a model may call.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tool {
    /// Letters, digits, `_` and `-`.
    pub name: String,
    /// What it does, for the model.
    #[serde(default)]
    pub description: Option<String>,
    /// JSON schema of its arguments, as JSON text; any object if there is none.
    #[serde(default)]
    pub parameters: Option<String>,
}

/// Hides everything but the size: tools are part of the prompt.
impl fmt::Debug for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tool({} bytes)", self.parameters.as_ref().map_or(0, String::len))
    }
}

/// Whether a model has to call a tool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ToolChoice {
    /// As it likes.
    #[default]
    Auto,
    /// At least one.
    Required,
    /// This one.
    Named(String),
}

/// What a reply must match, from its first character to its last.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Constraint {
    /// Any JSON object.
    JsonObject,
    /// A JSON schema, as JSON text.
    #[serde(rename_all = "camelCase")]
    JsonSchema {
        /// The schema.
        schema: String,
        /// Refuse keywords that cannot be enforced, instead of passing over them.
        strict: bool,
    },
    /// A regular expression.
    Regex(String),
    /// A grammar in Lark's notation.
    Lark(String),
}

/// Hides the text: it is part of the prompt.
impl fmt::Debug for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::JsonObject => f.write_str("JsonObject"),
            Self::JsonSchema { schema, strict } => write!(f, "JsonSchema({} bytes, {strict})", schema.len()),
            Self::Regex(text) => write!(f, "Regex({} bytes)", text.len()),
            Self::Lark(text) => write!(f, "Lark({} bytes)", text.len()),
        }
    }
}

/// How the hidden states of a text become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Pooling {
    /// The mean of all tokens' states.
    Mean,
    /// The last token's.
    Last,
    /// The first token's; of encoders only.
    Cls,
}

/// A vector that is wanted of a prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EmbeddingOptions {
    /// How it is made; as the model says if nothing is said.
    pub pooling: Option<Pooling>,
}

/// What a reply may and must be; the default is text as it comes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplyOptions {
    /// Tools that may be called.
    pub tools: Vec<Tool>,
    /// Whether one has to be.
    pub tool_choice: ToolChoice,
    /// At most one call.
    pub one_call: bool,
    /// What the text must match.
    pub constraint: Option<Constraint>,
    /// Whether the model reasons before it answers, where its template lets one choose.
    pub enable_thinking: Option<bool>,
    /// How much it reasons, where its template lets one choose.
    pub reasoning_effort: Option<String>,
    /// A vector of the prompt instead of text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding: Option<EmbeddingOptions>,
}
