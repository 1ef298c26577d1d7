//! Test. What reads foreign bytes, each reader as a target for fuzzing: a function of any bytes that never panics.
//! Knows nothing of how bytes are found: libFuzzer does that, in the program that the feature `libfuzzer` builds.
//!
//! Where a checksum or a length stands before what is read, a target makes it right, so that more than one input in four
//! thousand millions gets behind it. What was found once stays in `corpus/`, and every test run reads it again.

mod chat_template;
mod config;
mod events;
mod gguf;
mod http;
mod hugging_face;
mod input;
mod reply;
mod safetensors;
mod state;
mod tokenizer;

/// One reader of foreign bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folder in `corpus/`.
    pub name: &'static str,
    /// Reads the bytes. A panic is a finding.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 10] = [
    Target { name: "chat_template", run: chat_template::run },
    Target { name: "config", run: config::run },
    Target { name: "events", run: events::run },
    Target { name: "gguf", run: gguf::run },
    Target { name: "http", run: http::run },
    Target { name: "hugging_face", run: hugging_face::run },
    Target { name: "reply", run: reply::run },
    Target { name: "safetensors", run: safetensors::run },
    Target { name: "state", run: state::run },
    Target { name: "tokenizer", run: tokenizer::run },
];

/// The target of that name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}
