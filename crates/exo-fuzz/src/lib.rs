//! Test. What reads foreign bytes, each reader as a target for fuzzing: a function of any bytes that never panics.
//! Knows nothing of how bytes are found: libFuzzer does that, in the program that the feature `libfuzzer` builds.
//!
//! Where a checksum or a length stands before what is read, a target makes it right, so that more than one input in four
//! thousand millions gets behind it. What was found once stays in `corpus/`, and every test run reads it again.

mod admission;
mod chat_template;
mod config;
mod events;
mod gguf;
mod grammar;
mod http;
mod hugging_face;
mod input;
mod join_token;
mod reply;
mod runner_frames;
mod safetensors;
mod state;
mod tensor_frames;
mod tensor_handshake;
mod tokenizer;

/// One reader of foreign bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folder in `corpus/`.
    pub name: &'static str,
    /// What those bytes are, for people.
    pub reads: &'static str,
    /// Reads the bytes. A panic is a finding.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 16] = [
    Target { name: "admission", reads: "what nodes that are let in and masters say", run: admission::run },
    Target { name: "chat_template", reads: "templates of chats, and what they render", run: chat_template::run },
    Target { name: "config", reads: "exo.toml, and the instances that people want", run: config::run },
    Target { name: "events", reads: "events and requests of the cluster", run: events::run },
    Target { name: "gguf", reads: "model files in GGUF", run: gguf::run },
    Target { name: "grammar", reads: "grammars that clients ask for", run: grammar::run },
    Target { name: "http", reads: "bodies of requests", run: http::run },
    Target { name: "hugging_face", reads: "directories of models", run: hugging_face::run },
    Target { name: "join_token", reads: "join tokens", run: join_token::run },
    Target { name: "reply", reads: "what a model says: text, reasoning, calls", run: reply::run },
    Target { name: "runner_frames", reads: "what workers and runners say", run: runner_frames::run },
    Target { name: "safetensors", reads: "model files in safetensors", run: safetensors::run },
    Target { name: "state", reads: "stored records: State and events", run: state::run },
    Target { name: "tensor_frames", reads: "frames of hidden states", run: tensor_frames::run },
    Target { name: "tensor_handshake", reads: "how ranks begin", run: tensor_handshake::run },
    Target { name: "tokenizer", reads: "vocabularies, and texts as their tokens", run: tokenizer::run },
];

/// The target of that name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}
