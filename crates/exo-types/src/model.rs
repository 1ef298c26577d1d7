//! Models, and where their files lie.

use crate::{Memory, ModelId, NodeId};
use serde::{Deserialize, Serialize};

/// Architectures, in GGUF's words, whose models make vectors of texts and no text.
const ENCODERS: [&str; 1] = ["bert"];

/// What has to be known of a model to place it; read from the header of its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelCard {
    /// As users name it.
    pub model_id: ModelId,
    /// The name in the file, for people.
    #[serde(default)]
    pub name: String,
    /// Architecture in GGUF's words: `llama`.
    pub architecture: String,
    /// Dominating type of the weights: `Q8_0`.
    pub quantization: String,
    /// Number of layers.
    pub n_layers: u32,
    /// Width of the hidden state.
    pub hidden_size: u32,
    /// Number of query heads; 0 if a node did not tell it.
    #[serde(default)]
    pub heads: u32,
    /// Number of key and value heads; 0 if a node did not tell it.
    #[serde(default)]
    pub kv_heads: u32,
    /// Longest context in tokens that the model was made for.
    pub context_length: u32,
    /// Bytes of one token's keys and values, over all layers.
    pub kv_bytes_per_token: u64,
    /// Size of the weights of one layer (the mean).
    pub layer_size: Memory,
    /// Size of all weights.
    pub storage_size: Memory,
    /// How keys and values are kept. A placed model keeps what it was placed with, on every node.
    #[serde(default, skip_serializing_if = "KvFormat::is_default")]
    pub kv_format: KvFormat,
}

/// How keys and values of past tokens are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KvFormat {
    /// As halves.
    #[default]
    F16,
    /// As bytes, with a scale for each 32.
    Q8,
}

impl KvFormat {
    /// `f16` or `q8`.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "f16" => Some(Self::F16),
            "q8" => Some(Self::Q8),
            _ => None,
        }
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl ModelCard {
    /// Whether it continues texts and chats. An encoder makes vectors only.
    pub fn makes_text(&self) -> bool {
        !ENCODERS.contains(&self.architecture.as_str())
    }
}

/// How far a node is with the file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase")]
pub enum DownloadProgress {
    /// Known, not begun.
    DownloadPending {
        /// Size of the whole.
        total: Memory,
    },
    /// Under way.
    DownloadOngoing {
        /// Size of the whole.
        total: Memory,
        /// What is on the disk.
        downloaded: Memory,
    },
    /// On the disk, checked.
    DownloadCompleted {
        /// Size of the whole.
        total: Memory,
    },
    /// Given up.
    DownloadFailed {
        /// What happened and what to do.
        error_message: String,
    },
}

/// A model on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeDownload {
    /// Where.
    pub node_id: NodeId,
    /// Which.
    pub model_card: ModelCard,
    /// How far.
    pub progress: DownloadProgress,
}

impl NodeDownload {
    /// Whether the node can load it now.
    pub fn is_complete(&self) -> bool {
        matches!(self.progress, DownloadProgress::DownloadCompleted { .. })
    }
}
