//! Generated models: small random Llamas of every shape, and one of a billion parameters' shape for measurements.

use std::path::{Path, PathBuf};

use exo_gguf::{GgmlType, GgufWriter, WriteError};
use tempfile::TempDir;

mod blocks;
mod tokens;

pub use blocks::Random;
pub use tokens::ModelTokens;

/// A chat template of the ChatML form, as most small models bring one.
pub const CHAT_TEMPLATE: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + \
     message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ \
     '<|im_start|>assistant\\n' }}{% endif %}";

/// Shape of a generated model. The same values give the same file, byte for byte.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSpec {
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
    /// Width of the feed-forward network.
    pub feed_forward: usize,
    /// Number of tokens: 256 bytes, then filler, then three control tokens.
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
            layers: 3,
            hidden: 128,
            heads: 4,
            kv_heads: 2,
            head_width: 32,
            feed_forward: 256,
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
        self.set_metadata(&mut writer);
        self.add_tensors(&mut writer);
        writer
    }

    fn set_metadata(&self, writer: &mut GgufWriter<'static>) {
        let number = |value: usize| u32::try_from(value).expect("shapes of generated models are small");
        writer.set("general.architecture", "llama").set("general.name", "generated");
        for (key, value) in [
            ("block_count", self.layers),
            ("context_length", self.context),
            ("embedding_length", self.hidden),
            ("feed_forward_length", self.feed_forward),
            ("attention.head_count", self.heads),
            ("attention.head_count_kv", self.kv_heads),
            ("attention.key_length", self.head_width),
            ("attention.value_length", self.head_width),
            ("rope.dimension_count", self.head_width),
            ("vocab_size", self.vocabulary),
        ] {
            writer.set(&format!("llama.{key}"), number(value));
        }
        writer.set("llama.attention.layer_norm_rms_epsilon", 1e-5f32).set("llama.rope.freq_base", 10_000f32);
        ModelTokens::new(self.vocabulary).set_metadata(writer);
        if let Some(template) = &self.chat_template {
            writer.set("tokenizer.chat_template", template.as_str());
        }
    }

    fn add_tensors(&self, writer: &mut GgufWriter<'static>) {
        let (hidden, query, kv) = (self.hidden, self.heads * self.head_width, self.kv_heads * self.head_width);
        let mut random = Random::new(self.seed);
        // Rows of unit-sized numbers, as trained embeddings nearly are after their norm.
        matrix(writer, &mut random, "token_embd.weight", self.embedding, hidden, self.vocabulary, 1.0);
        for layer in 0..self.layers {
            let mut add = |name: &str, inputs, outputs| {
                let name = format!("blk.{layer}.{name}.weight");
                matrix(writer, &mut random, &name, self.matrices, inputs, outputs, unit_gain(inputs));
            };
            add("attn_q", hidden, query);
            add("attn_k", hidden, kv);
            add("attn_v", hidden, kv);
            add("attn_output", query, hidden);
            add("ffn_gate", hidden, self.feed_forward);
            add("ffn_up", hidden, self.feed_forward);
            add("ffn_down", self.feed_forward, hidden);
            vector(writer, &format!("blk.{layer}.attn_norm.weight"), &random.vector(hidden, 0.8, 1.2));
            vector(writer, &format!("blk.{layer}.ffn_norm.weight"), &random.vector(hidden, 0.8, 1.2));
        }
        vector(writer, "output_norm.weight", &random.vector(hidden, 0.8, 1.2));
        if !self.tied {
            let gain = 4.0 * unit_gain(hidden);
            matrix(writer, &mut random, "output.weight", self.embedding, hidden, self.vocabulary, gain);
        }
        if self.rope_factors {
            vector(writer, "rope_freqs.weight", &random.vector(self.head_width / 2, 1.0, 8.0));
        }
    }
}

/// Standard deviation of weights that keeps the size of what they multiply.
fn unit_gain(inputs: usize) -> f32 {
    1.0 / (inputs as f32).sqrt()
}

fn matrix(
    writer: &mut GgufWriter<'static>,
    random: &mut Random,
    name: &str,
    dtype: GgmlType,
    inputs: usize,
    outputs: usize,
    deviation: f32,
) {
    let mut numbers = random.fork();
    writer.tensor_with(name, dtype, &[inputs, outputs], move |out| {
        let mut row = Vec::new();
        for _ in 0..outputs {
            row.clear();
            blocks::random_row(&mut numbers, dtype, inputs, deviation, &mut row);
            out.write_all(&row)?;
        }
        Ok(())
    });
}

fn vector(writer: &mut GgufWriter<'static>, name: &str, values: &[f32]) {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    writer.tensor(name, GgmlType::F32, &[values.len()], bytes);
}

#[cfg(test)]
mod tests;
