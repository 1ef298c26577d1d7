//! Replies in channels, as gpt-oss writes them: `<|channel|>analysis<|message|>…<|end|><|start|>assistant…`.

use super::{Parts, calls::RawCall, scanner::Scanner};

const MESSAGE: &str = "<|message|>";
const CHANNEL: &str = "<|channel|>";
const START: &str = "<|start|>";
/// What ends the text of a message. `<|call|>` and `<|return|>` end the reply too, and are not printed.
const ENDS: [&str; 5] = ["<|end|>", START, CHANNEL, "<|call|>", "<|return|>"];

/// A header is a few words; what is longer is text.
const MAX_HEADER: usize = 512;

#[derive(Debug, Clone)]
enum At {
    /// Before `<|message|>`: role, channel and recipient.
    Header(String),
    Content,
    Reasoning,
    /// A call of a tool: its name, header and text so far.
    Call {
        name: String,
        header: String,
        body: String,
    },
}

/// Follows channels.
#[derive(Debug, Clone)]
pub(super) struct Harmony {
    scanner: Scanner,
    at: At,
    with_calls: bool,
}

impl Harmony {
    pub(super) fn new(with_calls: bool) -> Self {
        Self { scanner: Scanner::default(), at: At::Header(String::new()), with_calls }
    }

    pub(super) fn is_reasoning(&self) -> bool {
        matches!(self.at, At::Reasoning)
    }

    pub(super) fn push(&mut self, text: &str, parts: &mut Parts) {
        self.scanner.push(text);
        loop {
            let markers: &[&'static str] = if matches!(self.at, At::Header(_)) { &[MESSAGE] } else { &ENDS };
            let (before, marker) = self.scanner.take(markers);
            self.text(&before, parts);
            // A header that turned out to be text is searched for the ends of text from its beginning.
            if self.release_header(marker, parts) {
                continue;
            }
            let Some(marker) = marker else { return };
            self.marker(marker, parts);
        }
    }

    pub(super) fn finish(&mut self, parts: &mut Parts) {
        let rest = self.scanner.finish();
        self.text(&rest, parts);
        match std::mem::replace(&mut self.at, At::Header(String::new())) {
            At::Header(header) if !is_start_of_header(&header) => parts.content(&header),
            call @ At::Call { .. } => self.end_call(call, parts),
            _ => {}
        }
    }

    fn text(&mut self, text: &str, parts: &mut Parts) {
        match &mut self.at {
            At::Header(header) => header.push_str(text),
            At::Content => parts.content(text),
            At::Reasoning => parts.reasoning(text),
            At::Call { body, .. } => body.push_str(text),
        }
    }

    /// Whether what was taken for a header is text; it is read again as such.
    fn release_header(&mut self, marker: Option<&str>, parts: &mut Parts) -> bool {
        let At::Header(header) = &self.at else { return false };
        if is_start_of_header(header) && header.len() <= MAX_HEADER {
            return false;
        }
        let rest = self.scanner.finish();
        let text = format!("{header}{}{rest}", marker.unwrap_or_default());
        // At least one character leaves as text, so that this comes to an end.
        let first = text.chars().next().map_or(0, char::len_utf8);
        parts.content(&text[..first]);
        self.scanner.push(&text[first..]);
        self.at = At::Content;
        true
    }

    fn marker(&mut self, marker: &'static str, parts: &mut Parts) {
        let header = if matches!(marker, START | CHANNEL) { marker.to_owned() } else { String::new() };
        match std::mem::replace(&mut self.at, At::Header(header)) {
            At::Header(header) => self.at = self.open(header),
            call @ At::Call { .. } => self.end_call(call, parts),
            At::Content | At::Reasoning => {}
        }
    }

    /// The state that a header leads to.
    fn open(&self, header: String) -> At {
        let word = |behind: &str| {
            let (_, rest) = header.split_once(behind)?;
            Some(rest.split(|c: char| c.is_whitespace() || c == '<').next().unwrap_or_default().to_owned())
        };
        let tool = word("to=functions.").filter(|name| self.with_calls && !name.is_empty());
        match (tool, word(CHANNEL).as_deref()) {
            (Some(name), _) => At::Call { name, header, body: String::new() },
            (None, Some("analysis")) => At::Reasoning,
            _ => At::Content,
        }
    }

    fn end_call(&self, call: At, parts: &mut Parts) {
        let At::Call { name, header, body } = call else { return };
        match serde_json::from_str(body.trim()) {
            Ok(arguments) => parts.calls(vec![RawCall { name, arguments }]),
            Err(_) => parts.content(&format!("{header}{MESSAGE}{body}")),
        }
    }
}

/// Whether a header can go on, or begin, like this: `<|start|>assistant`, `<|channel|>`, ` to=`.
fn is_start_of_header(header: &str) -> bool {
    let header = header.trim_start();
    let header = header.strip_prefix(START).unwrap_or(header);
    let header = header.strip_prefix("assistant").unwrap_or(header).trim_start();
    let goes_on = |start: &str| header.starts_with(start) || start.starts_with(header);
    goes_on(CHANNEL) || goes_on("to=") || START.starts_with(header) || "assistant".starts_with(header)
}
