//! How a model, or a part of one, is loaded.

use std::ops::Range;

use exo_kernels::{Isa, IsaError, KvFormat};
use exo_weights::Quantisation;

use crate::tensor::Share;

/// Options of [`crate::Engine::load`] and [`crate::StageWorker::load`]. All ranks of a pipeline need the same
/// `context`, `max_sequences` and `prefill_chunk`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineOptions {
    /// Threads that compute, the caller's included; at least 1.
    pub threads: usize,
    /// Instruction set to use; `None` takes the best that the machine has.
    pub isa: Option<Isa>,
    /// Layers that this rank holds; `None` is all of them.
    pub layers: Option<Range<usize>>,
    /// Its share of them.
    pub share: Share,
    /// Most tokens of a prompt and its answer together; cut to what the model was trained for.
    pub context: u32,
    /// Most requests that are computed at once; each has a cache slot of `context` tokens.
    pub max_sequences: u32,
    /// How keys and values are kept. All ranks need the same for the answers of one.
    pub kv_format: KvFormat,
    /// Most prompt tokens a step; decoding tokens come on top. Of a longer prompt fewer are read while answers are being
    /// generated, as many as hardly hold them up.
    pub prefill_chunk: u32,
    /// Most tokens that are guessed ahead in an answer that repeats itself, and computed at once; 0 guesses none. Answers
    /// are the same either way.
    pub draft: u32,
    /// Whether what was computed for one request serves those that begin the same. Answers are the same either way.
    pub reuse: bool,
    /// Most requests that may wait.
    pub max_waiting: usize,
    /// The type in which matrices that are stored as floats are computed with; `None` leaves them as they are. All ranks
    /// of a pipeline need the same.
    pub quantisation: Option<Quantisation>,
    /// Most bytes that weights, caches and buffers may take together; `None` trusts the caller.
    pub memory_limit: Option<u64>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            threads: 1,
            isa: None,
            layers: None,
            share: Share::WHOLE,
            context: 4096,
            max_sequences: 4,
            kv_format: KvFormat::F16,
            prefill_chunk: 256,
            draft: 0,
            reuse: true,
            max_waiting: 64,
            quantisation: None,
            memory_limit: None,
        }
    }
}

/// How far loading is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadProgress {
    /// Bytes of weights that are in place.
    pub bytes_done: u64,
    /// Bytes of weights that this rank holds.
    pub bytes_total: u64,
}

/// The instruction set that the value of `EXO_CPU` (or of the configuration's `engine.cpu`) asks for.
///
/// Unset, empty and `auto` leave the choice to the machine. Fails with the accepted names on anything else that is
/// unknown or that this machine cannot run.
pub fn isa_from_env(value: Option<&str>) -> Result<Option<Isa>, IsaError> {
    match value.map(str::trim) {
        None | Some("" | "auto") => Ok(None),
        Some(name) => name.parse::<Isa>()?.checked().map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_an_instruction_set_or_leaves_the_choice() {
        let check = |value: Option<&str>, expect| assert_eq!(isa_from_env(value).ok(), expect, "{value:?}");
        check(None, Some(None));
        check(Some(" "), Some(None));
        check(Some("auto"), Some(None));
        check(Some("portable"), Some(Some(Isa::Portable)));
        check(Some("sse2"), None);
    }
}
