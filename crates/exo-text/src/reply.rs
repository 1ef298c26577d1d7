//! What a model says, told apart: text for the reader, reasoning, and calls of tools.
//!
//! Families of models mark them in their own ways ([`ReplyFormat`]); a [`ReplyParser`] follows the text as it comes.
//! Markers are found at any byte offset, and how the text is cut never changes the result. A call is given out when it
//! is whole; what looks like a call and is none comes back as text, so that nothing a model said is lost.

use std::collections::BTreeMap;

use serde_json::Value;

mod calls;
mod coerce;
mod format;
mod harmony;
mod marked;
mod pattern;
mod scanner;
mod whole;

use calls::RawCall;
use format::CallSyntax;
pub use format::ReplyFormat;
use harmony::Harmony;
use marked::Marked;
pub use pattern::CallPattern;
use whole::Whole;

/// A call of a tool, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyCall {
    /// Which tool.
    pub name: String,
    /// A JSON object.
    pub arguments: String,
}

/// A piece of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyPart {
    /// For the reader.
    Content(String),
    /// What the model says to itself.
    Reasoning(String),
    /// A call.
    Call(ReplyCall),
}

/// The tools that were offered, by name, each with the JSON schema of its arguments.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OfferedTools(pub BTreeMap<String, Value>);

/// Follows one reply.
#[derive(Debug, Clone)]
pub struct ReplyParser {
    machine: Machine,
    parts: Parts,
}

#[derive(Debug, Clone)]
enum Machine {
    Marked(Marked),
    Whole(Whole),
    Harmony(Harmony),
}

impl ReplyParser {
    /// A parser at the start of a reply. `starts_in_reasoning`: the prompt opened it. Without `tools` nothing is a call.
    pub fn new(format: ReplyFormat, starts_in_reasoning: bool, tools: Option<OfferedTools>) -> Self {
        let syntax = tools.as_ref().map(|_| format.calls.unwrap_or(CallSyntax::Tagged));
        let brackets = syntax.map_or(&[][..], CallSyntax::brackets);
        let marked = Marked::new(format.thinking, brackets, starts_in_reasoning);
        let machine = match (format.calls, syntax) {
            (Some(CallSyntax::Harmony), _) => Machine::Harmony(Harmony::new(tools.is_some())),
            (_, Some(CallSyntax::Llama)) => Machine::Whole(Whole::new(marked)),
            _ => Machine::Marked(marked),
        };
        Self { machine, parts: Parts { tools: tools.unwrap_or_default(), found: Vec::new() } }
    }

    /// Whether the model reasons where the text is now.
    pub fn is_reasoning(&self) -> bool {
        match &self.machine {
            Machine::Marked(marked) => marked.is_reasoning(),
            Machine::Whole(whole) => whole.is_reasoning(),
            Machine::Harmony(harmony) => harmony.is_reasoning(),
        }
    }

    /// Takes new text; what is certain now.
    pub fn push(&mut self, text: &str) -> Vec<ReplyPart> {
        match &mut self.machine {
            Machine::Marked(marked) => marked.push(text, &mut self.parts),
            Machine::Whole(whole) => whole.push(text, &mut self.parts),
            Machine::Harmony(harmony) => harmony.push(text, &mut self.parts),
        }
        std::mem::take(&mut self.parts.found)
    }

    /// Ends the reply; what was held back.
    pub fn finish(&mut self) -> Vec<ReplyPart> {
        match &mut self.machine {
            Machine::Marked(marked) => marked.finish(&mut self.parts),
            Machine::Whole(whole) => whole.finish(&mut self.parts),
            Machine::Harmony(harmony) => harmony.finish(&mut self.parts),
        }
        std::mem::take(&mut self.parts.found)
    }
}

/// Parts that were found, neighbours of one kind joined.
#[derive(Debug, Clone)]
struct Parts {
    tools: OfferedTools,
    found: Vec<ReplyPart>,
}

impl Parts {
    fn content(&mut self, text: &str) {
        match self.found.last_mut() {
            _ if text.is_empty() => {}
            Some(ReplyPart::Content(last)) => last.push_str(text),
            _ => self.found.push(ReplyPart::Content(text.to_owned())),
        }
    }

    fn reasoning(&mut self, text: &str) {
        match self.found.last_mut() {
            _ if text.is_empty() => {}
            Some(ReplyPart::Reasoning(last)) => last.push_str(text),
            _ => self.found.push(ReplyPart::Reasoning(text.to_owned())),
        }
    }

    fn calls(&mut self, calls: Vec<RawCall>) {
        for RawCall { name, arguments } in calls {
            let coerced = self.tools.0.get(&name).map(|schema| coerce::to_properties(arguments.clone(), schema));
            // A text that became a list may be nested deeper, where it stands now, than readers of JSON follow.
            let coerced = coerced.map(|arguments| Value::Object(arguments).to_string());
            let coerced = coerced.filter(|arguments| serde_json::from_str::<Value>(arguments).is_ok());
            let arguments = coerced.unwrap_or_else(|| Value::Object(arguments).to_string());
            self.found.push(ReplyPart::Call(ReplyCall { name, arguments }));
        }
    }
}

#[cfg(test)]
mod tests;
