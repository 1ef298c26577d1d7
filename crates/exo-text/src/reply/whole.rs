//! Replies that are calls from their first character on: Llama 3 writes a bare JSON object.

use super::{Parts, calls::read_json, marked::Marked};

/// How the JSON of a call can begin, white space left out.
const STARTS: [&str; 4] = ["{\"name\"", "{\"type\"", "{\"function\"", "{\"parameters\""];

/// Waits while the reply may be a call; what is none goes on to the tags.
#[derive(Debug, Clone)]
pub(super) struct Whole {
    /// The reply so far; none once it is surely no bare call.
    held: Option<String>,
    marked: Marked,
}

impl Whole {
    pub(super) fn new(marked: Marked) -> Self {
        Self { held: (!marked.is_reasoning()).then(String::new), marked }
    }

    pub(super) fn is_reasoning(&self) -> bool {
        self.held.is_none() && self.marked.is_reasoning()
    }

    pub(super) fn push(&mut self, text: &str, parts: &mut Parts) {
        match &mut self.held {
            None => self.marked.push(text, parts),
            Some(held) => {
                held.push_str(text);
                if !may_be_call(held) {
                    let held = self.held.take().unwrap_or_default();
                    self.marked.push(&held, parts);
                }
            }
        }
    }

    pub(super) fn finish(&mut self, parts: &mut Parts) {
        let held = self.held.take().unwrap_or_default();
        // Any JSON with a name would do; only the name of a tool makes it a call.
        let is_offered = |name: &str| parts.tools.0.contains_key(name);
        match read_json(&held).filter(|calls| calls.iter().all(|call| is_offered(&call.name))) {
            Some(calls) => parts.calls(calls),
            None => {
                self.marked.push(&held, parts);
                self.marked.finish(parts);
            }
        }
    }
}

/// Looks at the first characters only, so that the work stays small however long the reply is.
fn may_be_call(reply: &str) -> bool {
    let longest = STARTS.iter().map(|start| start.len()).max().unwrap_or(0);
    let start: String = reply.chars().take(256).filter(|c| !c.is_whitespace()).take(longest).collect();
    STARTS.iter().any(|call| call.starts_with(&start) || start.starts_with(call))
}
