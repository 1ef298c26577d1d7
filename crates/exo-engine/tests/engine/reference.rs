//! A Llama decoder as plain as it can be written: one token at a time, `f64` sums, no cache tricks, no kernels. It
//! shares nothing with the engine but the file reader.

use std::collections::BTreeMap;

use exo_gguf::{GgufFile, dequantize};
use exo_testkit::ModelSpec;

/// All weights as numbers.
pub struct Reference {
    spec: ModelSpec,
    tensors: BTreeMap<String, Vec<f32>>,
    /// Per layer: keys and values of all positions.
    past: Vec<Vec<(Vec<f64>, Vec<f64>)>>,
}

impl Reference {
    pub fn new(spec: &ModelSpec, file: &GgufFile) -> Self {
        let read =
            |tensor: exo_gguf::TensorView<'_>| (tensor.name.to_owned(), dequantize::to_vec(tensor.dtype, tensor.bytes));
        let tensors = file.tensors().map(read).collect();
        Self { past: vec![Vec::new(); spec.layers], spec: spec.clone(), tensors }
    }

    /// Logits after each token.
    pub fn logits(&mut self, tokens: &[u32]) -> Vec<Vec<f32>> {
        tokens.iter().enumerate().map(|(position, &token)| self.step(position, token)).collect()
    }

    fn step(&mut self, position: usize, token: u32) -> Vec<f32> {
        let width = self.spec.hidden;
        let embedding = &self.tensors["token_embd.weight"][token as usize * width..][..width];
        let mut hidden: Vec<f64> = embedding.iter().map(|&value| f64::from(value)).collect();
        for layer in 0..self.spec.layers {
            let normed = self.norm(&format!("blk.{layer}.attn_norm.weight"), &hidden);
            let attended = self.attend(layer, position, &normed);
            add(&mut hidden, &self.product(&format!("blk.{layer}.attn_output.weight"), &attended));
            let normed = self.norm(&format!("blk.{layer}.ffn_norm.weight"), &hidden);
            let gate = self.product(&format!("blk.{layer}.ffn_gate.weight"), &normed);
            let up = self.product(&format!("blk.{layer}.ffn_up.weight"), &normed);
            let gated: Vec<f64> = gate.iter().zip(&up).map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up).collect();
            add(&mut hidden, &self.product(&format!("blk.{layer}.ffn_down.weight"), &gated));
        }
        let normed = self.norm("output_norm.weight", &hidden);
        let head = if self.spec.tied { "token_embd.weight" } else { "output.weight" };
        self.product(head, &normed).into_iter().map(|value| value as f32).collect()
    }

    fn attend(&mut self, layer: usize, position: usize, normed: &[f64]) -> Vec<f64> {
        let width = self.spec.head_width;
        let [mut query, mut key, value] =
            ["attn_q", "attn_k", "attn_v"].map(|name| self.product(&format!("blk.{layer}.{name}.weight"), normed));
        self.turn(&mut query, position);
        self.turn(&mut key, position);
        self.past[layer].push((key, value));
        let group = self.spec.heads / self.spec.kv_heads;
        let heads = query.chunks(width).enumerate().flat_map(|(head, query)| {
            let own = head / group * width..(head / group + 1) * width;
            let scores = self.past[layer].iter().map(|(key, _)| dot(query, &key[own.clone()]) / (width as f64).sqrt());
            let weights: Vec<f64> = scores.map(f64::exp).collect();
            let total: f64 = weights.iter().sum();
            let mut sum = vec![0.0; width];
            for (weight, (_, value)) in weights.iter().zip(&self.past[layer]) {
                sum.iter_mut().zip(&value[own.clone()]).for_each(|(sum, value)| *sum += weight / total * value);
            }
            sum
        });
        heads.collect()
    }

    /// Rotates neighbours in every head.
    fn turn(&self, values: &mut [f64], position: usize) {
        let width = self.spec.head_width;
        let factors = self.tensors.get("rope_freqs.weight");
        for head in values.chunks_mut(width) {
            for pair in 0..width / 2 {
                let factor = factors.map_or(1.0, |factors| f64::from(factors[pair]));
                let angle = position as f64 / 10_000f64.powf(2.0 * pair as f64 / width as f64) / factor;
                let (a, b) = (head[2 * pair], head[2 * pair + 1]);
                head[2 * pair] = a * angle.cos() - b * angle.sin();
                head[2 * pair + 1] = a * angle.sin() + b * angle.cos();
            }
        }
    }

    fn norm(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let mean = x.iter().map(|value| value * value).sum::<f64>() / x.len() as f64;
        let scale = 1.0 / (mean + 1e-5).sqrt();
        x.iter().zip(&self.tensors[name]).map(|(value, &weight)| value * scale * f64::from(weight)).collect()
    }

    fn product(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let row = |row: &[f32]| row.iter().zip(x).map(|(&weight, value)| f64::from(weight) * value).sum();
        self.tensors[name].chunks(x.len()).map(row).collect()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(sum: &mut [f64], values: &[f64]) {
    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
}
