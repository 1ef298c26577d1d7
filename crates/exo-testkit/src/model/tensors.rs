//! The tensors of a generated model: names, shapes, and where their numbers come from.

use std::io::{self, Write};

use exo_gguf::{GgmlType, GgufWriter};

use super::{Architecture, ModelSpec, blocks, blocks::Random, metadata::TOKEN_TYPES};

/// A tensor that is not there yet: written as often as wanted, the same each time.
#[derive(Debug, Clone)]
pub(super) struct GeneratedTensor {
    pub(super) name: String,
    pub(super) dtype: GgmlType,
    /// The fastest dimension first.
    pub(super) shape: Vec<usize>,
    numbers: Numbers,
}

#[derive(Debug, Clone)]
enum Numbers {
    /// Around 0 with this deviation.
    Around(Random, f32),
    /// In plain f32.
    These(Vec<f32>),
}

impl GeneratedTensor {
    /// Writes its bytes, row after row: a large one needs little memory.
    pub(super) fn fill(&self, out: &mut dyn Write) -> io::Result<()> {
        match &self.numbers {
            Numbers::These(values) => values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes())),
            Numbers::Around(random, deviation) => {
                let (mut random, mut row) = (random.clone(), Vec::new());
                for _ in 0..self.shape[1..].iter().product() {
                    row.clear();
                    blocks::random_row(&mut random, self.dtype, self.shape[0], *deviation, &mut row);
                    out.write_all(&row)?;
                }
                Ok(())
            }
        }
    }

    /// All its numbers.
    pub(super) fn floats(&self) -> io::Result<Vec<f32>> {
        assert_eq!(self.dtype, GgmlType::F32, "{} is no f32", self.name);
        let mut bytes = Vec::new();
        self.fill(&mut bytes)?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    /// Adds it to a file.
    pub(super) fn add_to(self, writer: &mut GgufWriter<'static>) {
        let (name, shape) = (self.name.clone(), self.shape.clone());
        writer.tensor_with(&name, self.dtype, &shape, move |out| self.fill(out));
    }
}

/// Collects tensors; every one takes its own random numbers.
struct Collector<'a> {
    spec: &'a ModelSpec,
    random: Random,
    tensors: Vec<GeneratedTensor>,
}

/// All tensors of a model.
pub(super) fn all(spec: &ModelSpec) -> Vec<GeneratedTensor> {
    let mut collector = Collector { spec, random: Random::new(spec.seed), tensors: Vec::new() };
    collector.collect();
    collector.tensors
}

impl Collector<'_> {
    fn collect(&mut self) {
        let spec = self.spec;
        // Rows of unit-sized numbers, as trained embeddings nearly are after their norm.
        let size = if spec.architecture.is_gemma() { unit_gain(spec.hidden) } else { 1.0 };
        self.matrix("token_embd.weight", spec.embedding, &[spec.hidden, spec.vocabulary], size);
        (0..spec.layers).for_each(|layer| self.layer(layer));
        if spec.architecture.is_encoder() {
            self.matrix("position_embd.weight", GgmlType::F32, &[spec.hidden, spec.context], 0.5);
            self.matrix("token_types.weight", GgmlType::F32, &[spec.hidden, TOKEN_TYPES], 0.5);
            return self.layer_norm("token_embd_norm");
        }
        self.vector("output_norm.weight", spec.hidden, 0.8, 1.2);
        if !spec.tied {
            let gain = 4.0 * unit_gain(spec.hidden);
            self.matrix("output.weight", spec.embedding, &[spec.hidden, spec.vocabulary], gain);
        }
        if spec.rope_factors {
            self.vector("rope_freqs.weight", spec.head_width / 2, 1.0, 8.0);
        }
        if spec.architecture == Architecture::Phi3 {
            self.vector("rope_factors_long.weight", spec.head_width / 2, 1.0, 8.0);
            self.vector("rope_factors_short.weight", spec.head_width / 2, 1.0, 1.5);
        }
    }

    fn layer(&mut self, layer: usize) {
        let (spec, architecture) = (self.spec, self.spec.architecture);
        let (query, kv) = (spec.heads * spec.head_width, spec.kv_heads * spec.head_width);
        let mut linear = |name: &str, shape: &[usize], has_bias: bool| {
            let name = format!("blk.{layer}.{name}");
            self.matrix(&format!("{name}.weight"), spec.matrices, shape, unit_gain(shape[0]));
            if has_bias {
                self.bias(&format!("{name}.bias"), &shape[1..]);
            }
        };
        match architecture.is_fused() {
            true => linear("attn_qkv", &[spec.hidden, query + 2 * kv], false),
            false => {
                for (name, width) in [("attn_q", query), ("attn_k", kv), ("attn_v", kv)] {
                    linear(name, &[spec.hidden, width], architecture.has_input_biases());
                }
            }
        }
        linear("attn_output", &[query, spec.hidden], architecture.has_output_biases());
        let (hidden, width) = (spec.hidden, spec.feed_forward);
        match (spec.experts, architecture.is_fused()) {
            (Some((count, _)), _) => {
                let has_bias = architecture.has_output_biases();
                linear("ffn_gate_exps", &[hidden, width, count], has_bias);
                linear("ffn_up_exps", &[hidden, width, count], has_bias);
                linear("ffn_down_exps", &[width, hidden, count], has_bias);
                self.router(layer, count, has_bias);
            }
            (None, _) if architecture.is_encoder() => {
                linear("ffn_up", &[hidden, width], true);
                linear("ffn_down", &[width, hidden], true);
            }
            (None, true) => {
                linear("ffn_up", &[hidden, 2 * width], false);
                linear("ffn_down", &[width, hidden], false);
            }
            (None, false) => {
                linear("ffn_gate", &[hidden, width], false);
                linear("ffn_up", &[hidden, width], false);
                linear("ffn_down", &[width, hidden], false);
            }
        }
        self.norms(layer);
    }

    /// Routers are kept in f32.
    fn router(&mut self, layer: usize, count: usize, has_bias: bool) {
        let gain = 2.0 * unit_gain(self.spec.hidden);
        self.matrix(&format!("blk.{layer}.ffn_gate_inp.weight"), GgmlType::F32, &[self.spec.hidden, count], gain);
        if has_bias {
            self.bias(&format!("blk.{layer}.ffn_gate_inp.bias"), &[count]);
        }
    }

    fn norms(&mut self, layer: usize) {
        let (spec, architecture) = (self.spec, self.spec.architecture);
        if architecture.is_encoder() {
            ["attn_output_norm", "layer_output_norm"]
                .iter()
                .for_each(|name| self.layer_norm(&format!("blk.{layer}.{name}")));
            return;
        }
        let mut norm = |name: &str, width| self.vector(&format!("blk.{layer}.{name}.weight"), width, 0.8, 1.2);
        norm("attn_norm", spec.hidden);
        norm(architecture.feed_forward_norm(), spec.hidden);
        if architecture.has_head_norms() {
            norm("attn_q_norm", spec.head_width);
            norm("attn_k_norm", spec.head_width);
        }
        if architecture.is_gemma() {
            norm("post_attention_norm", spec.hidden);
            norm("post_ffw_norm", spec.hidden);
        }
        if architecture == Architecture::GptOss {
            self.vector(&format!("blk.{layer}.attn_sinks.weight"), spec.heads, -1.0, 1.0);
        }
    }

    fn layer_norm(&mut self, name: &str) {
        self.vector(&format!("{name}.weight"), self.spec.hidden, 0.8, 1.2);
        self.bias(&format!("{name}.bias"), &[self.spec.hidden]);
    }

    fn matrix(&mut self, name: &str, dtype: GgmlType, shape: &[usize], deviation: f32) {
        let numbers = Numbers::Around(self.random.fork(), deviation);
        self.tensors.push(GeneratedTensor { name: name.to_owned(), dtype, shape: shape.to_vec(), numbers });
    }

    fn bias(&mut self, name: &str, shape: &[usize]) {
        let values = self.random.vector(shape.iter().product(), -0.3, 0.3);
        self.these(name, shape, values);
    }

    fn vector(&mut self, name: &str, length: usize, low: f32, high: f32) {
        let values = self.random.vector(length, low, high);
        self.these(name, &[length], values);
    }

    fn these(&mut self, name: &str, shape: &[usize], values: Vec<f32>) {
        let numbers = Numbers::These(values);
        self.tensors.push(GeneratedTensor {
            name: name.to_owned(),
            dtype: GgmlType::F32,
            shape: shape.to_vec(),
            numbers,
        });
    }
}

/// Standard deviation of weights that keeps the size of what they multiply.
fn unit_gain(inputs: usize) -> f32 {
    1.0 / (inputs as f32).sqrt()
}
