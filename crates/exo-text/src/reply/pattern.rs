//! How a family of models writes calls, as a pattern: for answers that have to be calls.

use serde_json::{Value, json};

use super::format::{CallSyntax, ReplyFormat};
use crate::message::ChatTool;

/// Most calls of an answer that has to be calls.
const MAX_CALLS: usize = 16;

/// What an answer has to look like. Whoever enforces it knows how.
#[derive(Debug, Clone, PartialEq)]
pub enum CallPattern {
    /// This text.
    Text(String),
    /// This control token; its text where the vocabulary has no such token.
    Marker(&'static str),
    /// JSON that fits this schema.
    Json(Value),
    /// One after the other.
    All(Vec<CallPattern>),
    /// One of these.
    OneOf(Vec<CallPattern>),
    /// Once, or again up to so many times.
    UpTo(usize, Box<CallPattern>),
    /// This, or nothing.
    Maybe(Box<CallPattern>),
}

use CallPattern::{All, Json, Marker, Maybe, OneOf, Text, UpTo};

impl ReplyFormat {
    /// The pattern of an answer that calls at least one of `tools`, and no more than one if `one_call`.
    pub fn forced_calls(&self, tools: &[ChatTool], one_call: bool) -> CallPattern {
        let max_calls = if one_call { 1 } else { MAX_CALLS };
        let json = |arguments: &str| any_call(tools, arguments);
        let list =
            || Json(json!({ "type": "array", "items": json("arguments"), "minItems": 1, "maxItems": max_calls }));
        match self.calls.unwrap_or(CallSyntax::Tagged) {
            CallSyntax::Mistral => All(vec![Marker("[TOOL_CALLS]"), list()]),
            CallSyntax::Phi => All(vec![Marker("<|tool_call|>"), list(), Marker("<|/tool_call|>")]),
            CallSyntax::Llama => {
                let call = Json(json("parameters"));
                let more = || UpTo(MAX_CALLS - 1, Box::new(All(vec![text("; "), call.clone()])));
                if one_call { call } else { All(vec![call.clone(), Maybe(Box::new(more()))]) }
            }
            CallSyntax::DeepSeek => {
                let calls = UpTo(max_calls, Box::new(each(tools, deepseek)));
                All(vec![Marker("<｜tool▁calls▁begin｜>"), calls, Marker("<｜tool▁calls▁end｜>")])
            }
            CallSyntax::Harmony => each(tools, harmony),
            // The tags with JSON between them are understood everywhere.
            CallSyntax::Tagged | CallSyntax::Glm | CallSyntax::Dsml => {
                let call = vec![
                    Marker("<tool_call>"),
                    text("\n"),
                    Json(json("arguments")),
                    text("\n"),
                    Marker("</tool_call>"),
                    Maybe(Box::new(text("\n"))),
                ];
                UpTo(max_calls, Box::new(All(call)))
            }
        }
    }
}

fn text(text: &str) -> CallPattern {
    Text(text.to_owned())
}

fn each(tools: &[ChatTool], pattern: fn(&ChatTool) -> CallPattern) -> CallPattern {
    OneOf(tools.iter().map(pattern).collect())
}

fn deepseek(tool: &ChatTool) -> CallPattern {
    All(vec![
        Marker("<｜tool▁call▁begin｜>"),
        text("function"),
        Marker("<｜tool▁sep｜>"),
        Text(format!("{}\n```json\n", tool.name)),
        Json(tool.parameters.clone()),
        text("\n```"),
        Marker("<｜tool▁call▁end｜>"),
    ])
}

fn harmony(tool: &ChatTool) -> CallPattern {
    All(vec![
        Marker("<|channel|>"),
        Text(format!("commentary to=functions.{} ", tool.name)),
        Marker("<|constrain|>"),
        text("json"),
        Marker("<|message|>"),
        Json(tool.parameters.clone()),
    ])
}

/// The schema of a call of any of `tools`, its arguments under this name.
fn any_call(tools: &[ChatTool], arguments: &str) -> Value {
    let call = |tool: &ChatTool| {
        json!({
            "type": "object",
            "properties": { "name": { "const": tool.name }, arguments: tool.parameters },
            "required": ["name", arguments],
            "additionalProperties": false,
        })
    };
    let mut calls: Vec<Value> = tools.iter().map(call).collect();
    if calls.len() == 1 { calls.remove(0) } else { json!({ "anyOf": calls }) }
}
