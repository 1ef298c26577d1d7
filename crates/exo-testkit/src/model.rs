//! Generated models: small random ones of every architecture and shape, and one of a billion parameters for measurements.

use std::path::{Path, PathBuf};

use exo_gguf::{GgmlType, GgufWriter, WriteError};
use tempfile::TempDir;

mod architecture;
mod blocks;
mod hugging_face;
mod metadata;
mod tensors;
mod tokens;
mod word_pieces;

pub use architecture::Architecture;
pub use blocks::Random;
pub use hugging_face::HfStorage;
pub use tokens::ModelTokens;

/// A chat template of the ChatML form, as most small models bring one.
pub const CHAT_TEMPLATE: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + \
     message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ \
     '<|im_start|>assistant\\n' }}{% endif %}";

/// Shape of a generated model. The same values give the same file, byte for byte.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSpec {
    /// What it is.
    pub architecture: Architecture,
    /// Number of layers.
    pub layers: usize,
    /// Width of the hidden states.
    pub hidden: usize,
    /// Number of query heads.
    pub heads: usize,
    /// Number of key and value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_width: usize,
    /// Width of the feed-forward network, or of each expert.
    pub feed_forward: usize,
    /// Number of experts, and of those that a token uses.
    pub experts: Option<(usize, usize)>,
    /// Number of tokens: 256 bytes, then filler, then three control tokens; of an encoder word pieces.
    pub vocabulary: usize,
    /// Positions that the model claims to know.
    pub context: usize,
    /// Whether the embedding is the head too.
    pub tied: bool,
    /// Whether the file has divisors of the rotary frequencies.
    pub rope_factors: bool,
    /// Format of the matrices.
    pub matrices: GgmlType,
    /// Format of the embedding and the head.
    pub embedding: GgmlType,
    /// Jinja source; `None` leaves it out of the file.
    pub chat_template: Option<String>,
    /// Start of all random numbers.
    pub seed: u64,
}

impl Default for ModelSpec {
    /// Three layers, small enough that a test loads it in milliseconds.
    fn default() -> Self {
        Self {
            architecture: Architecture::Llama,
            layers: 3,
            hidden: 128,
            heads: 4,
            kv_heads: 2,
            head_width: 32,
            feed_forward: 256,
            experts: None,
            vocabulary: 272,
            context: 512,
            tied: false,
            rope_factors: false,
            matrices: GgmlType::F32,
            embedding: GgmlType::F32,
            chat_template: Some(CHAT_TEMPLATE.to_owned()),
            seed: 1,
        }
    }
}

/// A generated model in a folder of its own, removed when this is dropped.
#[derive(Debug)]
pub struct TemporaryModel {
    folder: TempDir,
}

impl TemporaryModel {
    /// Where the file is.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("model.gguf")
    }
}

impl ModelSpec {
    /// A small model of an architecture.
    pub fn of(architecture: Architecture) -> Self {
        let (layers, experts) = (architecture.layers(), architecture.experts());
        let default = Self::default();
        if architecture.is_encoder() {
            let (vocabulary, context, chat_template) = (1024, 96, None);
            let kv_heads = default.heads;
            return Self { architecture, kv_heads, vocabulary, context, tied: true, chat_template, ..default };
        }
        // Gemma has no head of its own.
        Self { architecture, layers, experts, tied: architecture.is_gemma(), ..default }
    }

    /// The shape of a Llama with a billion parameters (hidden 2048, 32 heads of 64, 8 of them for keys, feed-forward
    /// 8192, 32 000 tokens), with `layers` layers; the whole model has 16.
    pub fn billion(matrices: GgmlType, layers: usize) -> Self {
        // The head of such files is kept in more bits than the rest.
        let embedding = match matrices {
            GgmlType::Q4_0 | GgmlType::Q4_K => GgmlType::Q6_K,
            other => other,
        };
        Self {
            layers,
            hidden: 2048,
            heads: 32,
            kv_heads: 8,
            head_width: 64,
            feed_forward: 8192,
            vocabulary: 32_000,
            context: 8192,
            tied: true,
            matrices,
            embedding,
            ..Self::default()
        }
    }

    /// Writes the model into a new temporary folder.
    pub fn write_temporary(&self) -> Result<TemporaryModel, WriteError> {
        let io = |source| WriteError::Io { path: std::env::temp_dir(), source };
        let model = TemporaryModel { folder: tempfile::tempdir().map_err(io)? };
        self.write(&model.path()).map(|()| model)
    }

    /// Writes the model to `path`, tensor after tensor: a large one needs little memory.
    pub fn write(&self, path: &Path) -> Result<(), WriteError> {
        self.writer().write(path)
    }

    /// The writer with everything in it, for tests that add or spoil something before they write.
    pub fn writer(&self) -> GgufWriter<'static> {
        let mut writer = GgufWriter::new();
        metadata::set(self, &mut writer);
        tensors::all(self).into_iter().for_each(|tensor| tensor.add_to(&mut writer));
        writer
    }
}

#[cfg(test)]
mod tests;
