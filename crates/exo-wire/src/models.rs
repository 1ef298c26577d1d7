//! `GET /v1/models`.

use exo_types::ModelCard;
use serde::Serialize;

/// One model: OpenAI's four fields, then EXO's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelEntry {
    id: String,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
    name: String,
    context_length: u32,
    quantization: String,
    family: String,
    storage_size_megabytes: u64,
    /// What it can be asked for.
    tasks: &'static [&'static str],
    /// Whether a request for it is answered now.
    ready: bool,
}

impl ModelEntry {
    /// `created` is when the answering api started: files do not tell when their model was made.
    pub fn new(card: &ModelCard, created: u64, ready: bool) -> Self {
        Self {
            id: card.model_id.to_string(),
            object: "model",
            created,
            owned_by: "exo",
            name: if card.name.is_empty() { card.model_id.to_string() } else { card.name.clone() },
            context_length: card.context_length,
            quantization: card.quantization.clone(),
            family: card.architecture.clone(),
            storage_size_megabytes: card.storage_size.in_bytes.div_ceil(1 << 20),
            tasks: if card.makes_text() { &["text", "embeddings"] } else { &["embeddings"] },
            ready,
        }
    }
}

/// All models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelList {
    object: &'static str,
    data: Vec<ModelEntry>,
}

impl ModelList {
    /// In the order given.
    pub fn new(data: Vec<ModelEntry>) -> Self {
        Self { object: "list", data }
    }
}
