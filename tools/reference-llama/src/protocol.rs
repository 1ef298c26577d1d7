//! What can be asked, and what is answered.

use serde::{Deserialize, Serialize};

/// One line in.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Logits after the last token, or after each of them. The tokens go in one by one in the second half, so that
    /// both the prefill and the decode path take part.
    Logits {
        /// The sequence.
        tokens: Vec<i32>,
        /// One row for each token instead of one for the last.
        all: bool,
    },
    /// The likeliest continuation.
    Greedy {
        /// The sequence.
        tokens: Vec<i32>,
        /// Tokens to add.
        count: usize,
    },
    /// Token ids of texts; no special tokens are added, and none are read out of the texts.
    Tokenize {
        /// The texts.
        texts: Vec<String>,
    },
    /// Time of a prompt, in one batch of up to 512 tokens after the other.
    Prefill {
        /// The prompt.
        tokens: Vec<i32>,
    },
    /// Time of `count` tokens one after the other, after `tokens`; those are kept from the request before where they
    /// are the same.
    Decode {
        /// The sequence.
        tokens: Vec<i32>,
        /// Tokens to add.
        count: usize,
    },
}

/// One line out.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The model is loaded.
    Ready {
        /// How long it took.
        seconds: f64,
    },
    /// To [`Request::Logits`].
    Logits {
        /// One row of logits for each position asked for.
        rows: Vec<Vec<f32>>,
    },
    /// To [`Request::Greedy`].
    Greedy {
        /// The tokens added.
        tokens: Vec<i32>,
    },
    /// To [`Request::Tokenize`].
    Tokenize {
        /// For each text.
        tokens: Vec<Vec<i32>>,
    },
    /// To [`Request::Prefill`] and [`Request::Decode`].
    Timed {
        /// Wall time of the work alone.
        seconds: f64,
    },
    /// The request could not be carried out.
    Error {
        /// Why.
        message: String,
    },
}
