//! Which instance read which beginnings of prompts lately, so that a chat goes on where its earlier turns are computed.
//!
//! Approximate on purpose: an engine may have forgotten a beginning, and knows others that came by way of other apis. A
//! wrong guess costs time, never an answer. Only hashes are kept.

use exo_types::InstanceId;
use exo_wire::TextRequest;
use serde::Serialize;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of a piece: about as many tokens as an engine shares as a whole.
const PIECE: usize = 256;

/// Pieces of one prompt that are looked at.
const LONGEST: usize = 4_096;

/// Pieces that are remembered, at most twice as many.
const MEMORY: usize = 1 << 16;

/// A prompt, as the hashes of its first piece, its first two, and so on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Beginning(Vec<u64>);

/// What was sent where. What was not used for long is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Beginnings(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    young: BTreeSet<u64>,
    old: BTreeSet<u64>,
}

impl Beginning {
    /// Of what a template makes text of. A request for a vector has none: it needs all of its states.
    pub(super) fn of(text: &TextRequest) -> Self {
        if text.reply.embedding.is_some() {
            return Self::default();
        }
        let mut cutter = Cutter::default();
        // Templates tell of tools first.
        let whole = (&text.reply.tools, &text.prompt).serialize(&mut serde_json::Serializer::new(&mut cutter));
        whole.map(|()| Self(cutter.pieces)).unwrap_or_default()
    }

    /// Number of pieces.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn at(&self, instance: &InstanceId) -> impl Iterator<Item = u64> {
        self.0.iter().map(move |piece| {
            let mut hasher = DefaultHasher::new();
            (piece, instance).hash(&mut hasher);
            hasher.finish()
        })
    }
}

impl Beginnings {
    /// How many pieces of a prompt that instance has read.
    pub(super) fn known(&self, beginning: &Beginning, instance: &InstanceId) -> usize {
        let Memory { young, old } = &*self.memory();
        beginning.at(instance).take_while(|piece| young.contains(piece) || old.contains(piece)).count()
    }

    /// That instance reads the prompt.
    pub(super) fn note(&self, beginning: &Beginning, instance: &InstanceId) {
        let Memory { young, old } = &mut *self.memory();
        if young.len() + beginning.len() > MEMORY {
            *old = std::mem::take(young);
        }
        young.extend(beginning.at(instance));
    }

    /// What a panic elsewhere leaves half noted is a wrong guess at most.
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes bytes, and keeps the hash of all so far after each piece.
#[derive(Default)]
struct Cutter {
    hasher: DefaultHasher,
    filled: usize,
    pieces: Vec<u64>,
}

impl io::Write for Cutter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE - self.filled);
        self.hasher.write(&bytes[..taken]);
        self.filled += taken;
        if self.filled == PIECE {
            self.filled = 0;
            if self.pieces.len() < LONGEST {
                self.pieces.push(self.hasher.finish());
            }
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exo_types::{ChatMessage, Prompt, ReplyOptions, Role, SamplingParams, Turn};

    fn chat(turns: &[&str]) -> Beginning {
        let message = |content: &&str| ChatMessage::new(Role::User, *content);
        Beginning::of(&TextRequest {
            model: "m".parse().expect("a good id"),
            stream: false,
            include_usage: false,
            prompt: Prompt::Chat(turns.iter().map(message).collect()),
            sampling: SamplingParams::default(),
            max_tokens: None,
            stop: Vec::new(),
            reply: ReplyOptions::default(),
            turn: Turn::default(),
            tier: None,
        })
    }

    fn instance(name: &str) -> InstanceId {
        name.parse().expect("a good id")
    }

    #[test]
    fn the_next_turn_of_a_chat_is_known_where_the_last_one_was_and_a_stranger_is_not() {
        let (long, other) = ("all that was said before ".repeat(60), "something else ".repeat(60));
        let beginnings = Beginnings::default();
        let first = chat(&[&long, "and?"]);
        beginnings.note(&first, &instance("a"));
        let next = chat(&[&long, "and?", "well", &other]);
        let known = beginnings.known(&next, &instance("a"));
        assert!(known >= 1500 / PIECE && known < next.len(), "{known} of {}", next.len());
        assert_eq!(beginnings.known(&next, &instance("b")), 0);
        assert_eq!(beginnings.known(&chat(&[&other, &long]), &instance("a")), 0);
        assert_eq!(chat(&["short"]).len(), 0);
    }

    #[test]
    fn however_much_is_said_the_memory_is_bounded_and_the_newest_is_there() {
        let beginnings = Beginnings::default();
        for number in 0..200 {
            let long = chat(&[&format!("{number} ").repeat(PIECE * 300)]);
            beginnings.note(&long, &instance("a"));
            let kept = {
                let memory = beginnings.memory();
                memory.young.len() + memory.old.len()
            };
            assert!(kept <= 2 * MEMORY);
            assert_eq!(beginnings.known(&long, &instance("a")), long.len());
        }
    }
}
