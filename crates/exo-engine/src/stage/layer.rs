//! The weights of one layer, and how they are read.

use std::ops::Range;

use super::{
    Loading,
    layer_norm::LayerNorm,
    linear::Linear,
    split::{Kind, Split},
};
use crate::{
    arch::{layer_tensor, tensors::NORMS_AFTER},
    config::ExpertConfig,
    device::{Device, MatrixPart},
    load_error::LoadError,
    model::Model,
};

/// A layer.
pub(super) struct Layer<D: Device> {
    pub(super) attention: Attention<D>,
    pub(super) feed_forward: FeedForward<D>,
}

/// Weights of the attention.
pub(super) struct Attention<D: Device> {
    /// Before it, but where norms stand behind.
    pub(super) norm: Option<D::Buffer>,
    pub(super) query: Linear<D>,
    pub(super) key: Linear<D>,
    pub(super) value: Linear<D>,
    pub(super) query_norm: Option<D::Buffer>,
    pub(super) key_norm: Option<D::Buffer>,
    pub(super) sinks: Option<D::Buffer>,
    pub(super) output: Linear<D>,
    pub(super) post_norm: Option<D::Buffer>,
    pub(super) norm_after: Option<LayerNorm<D>>,
}

/// Weights of the feed-forward network.
pub(super) struct FeedForward<D: Device> {
    /// Before it, but where norms stand behind.
    pub(super) norm: Option<D::Buffer>,
    pub(super) network: Network<D>,
    pub(super) post_norm: Option<D::Buffer>,
    pub(super) norm_after: Option<LayerNorm<D>>,
}

/// One network for all tokens, or experts.
pub(super) enum Network<D: Device> {
    Dense(Gated<D>),
    Plain(Plain<D>),
    Experts(Experts<D>),
}

/// Feed-forward networks of which each row uses some, and what chooses them.
pub(super) struct Experts<D: Device> {
    pub(super) router: Linear<D>,
    pub(super) networks: Vec<Gated<D>>,
    pub(super) rule: ExpertConfig,
}

/// A gated feed-forward network.
pub(super) struct Gated<D: Device> {
    pub(super) gate: Linear<D>,
    pub(super) up: Linear<D>,
    pub(super) down: Linear<D>,
}

/// A feed-forward network without a gate.
pub(super) struct Plain<D: Device> {
    pub(super) up: Linear<D>,
    pub(super) down: Linear<D>,
}

impl<D: Device> Layer<D> {
    /// Reads this rank's share of layer `layer`.
    pub(super) fn load(
        model: &Model,
        device: &mut D,
        layer: usize,
        split: &Split,
        loading: &mut Loading<'_>,
    ) -> Result<Self, LoadError> {
        let mut reader = Reader { model, device, layer, split, loading };
        Ok(Self { attention: reader.attention()?, feed_forward: reader.feed_forward()? })
    }
}

/// Reads tensors of one layer.
struct Reader<'a, 'b, D: Device> {
    model: &'a Model,
    device: &'a mut D,
    layer: usize,
    split: &'a Split,
    loading: &'a mut Loading<'b>,
}

impl<D: Device> Reader<'_, '_, D> {
    fn attention(&mut self) -> Result<Attention<D>, LoadError> {
        let (config, record) = (&self.model.config, self.model.architecture);
        let [query, key, value] = self.query_key_value()?;
        let head_norm =
            |reader: &mut Self, name| record.head_norms.then(|| reader.vector(name, config.head_width)).transpose();
        Ok(Attention {
            norm: self.norm_before("attn_norm")?,
            query,
            key,
            value,
            query_norm: head_norm(self, "attn_q_norm.weight")?,
            key_norm: head_norm(self, "attn_k_norm.weight")?,
            sinks: record
                .sinks
                .then(|| self.part("attn_sinks.weight", config.heads, self.split.heads()))
                .transpose()?,
            output: self.linear(
                "attn_output",
                (config.query_width(), config.hidden),
                self.split.rows(Kind::Hidden),
                record.output_biases,
            )?,
            post_norm: self.post_norm("post_attention_norm.weight")?,
            norm_after: self.norm_after(NORMS_AFTER[0])?,
        })
    }

    fn query_key_value(&mut self) -> Result<[Linear<D>; 3], LoadError> {
        let (config, record) = (&self.model.config, self.model.architecture);
        let (hidden, query, kv) = (config.hidden, config.query_width(), config.kv_width());
        let (of_query, of_kv) = (self.split.query_rows(), self.split.kv_rows());
        if record.fused {
            return self.fused("attn_qkv", hidden, [(query, of_query), (kv, of_kv.clone()), (kv, of_kv)]);
        }
        Ok([
            self.linear("attn_q", (hidden, query), of_query, record.input_biases)?,
            self.linear("attn_k", (hidden, kv), of_kv.clone(), record.input_biases)?,
            self.linear("attn_v", (hidden, kv), of_kv, record.input_biases)?,
        ])
    }

    fn feed_forward(&mut self) -> Result<FeedForward<D>, LoadError> {
        let (config, record) = (&self.model.config, self.model.architecture);
        let network = match config.experts {
            Some(rule) => Network::Experts(self.experts(rule)?),
            None if record.gated => Network::Dense(self.dense()?),
            None => Network::Plain(self.plain()?),
        };
        Ok(FeedForward {
            norm: self.norm_before(record.feed_forward_norm)?,
            network,
            post_norm: self.post_norm("post_ffw_norm.weight")?,
            norm_after: self.norm_after(NORMS_AFTER[1])?,
        })
    }

    fn plain(&mut self) -> Result<Plain<D>, LoadError> {
        let (hidden, width) = (self.model.config.hidden, self.model.config.feed_forward);
        let (inner, outer) = (self.split.rows(Kind::FeedForward), self.split.rows(Kind::Hidden));
        let has_biases = self.model.architecture.output_biases;
        Ok(Plain {
            up: self.linear("ffn_up", (hidden, width), inner, has_biases)?,
            down: self.linear("ffn_down", (width, hidden), outer, has_biases)?,
        })
    }

    fn dense(&mut self) -> Result<Gated<D>, LoadError> {
        let (hidden, width) = (self.model.config.hidden, self.model.config.feed_forward);
        let rows = self.split.rows(Kind::FeedForward);
        let [gate, up] = match self.model.architecture.fused {
            true => self.fused("ffn_up", hidden, [(width, rows.clone()), (width, rows)])?,
            false => [
                self.linear("ffn_gate", (hidden, width), rows.clone(), false)?,
                self.linear("ffn_up", (hidden, width), rows, false)?,
            ],
        };
        let down = self.linear("ffn_down", (width, hidden), self.split.rows(Kind::Hidden), false)?;
        Ok(Gated { gate, up, down })
    }

    fn experts(&mut self, rule: ExpertConfig) -> Result<Experts<D>, LoadError> {
        let count = rule.count;
        let (hidden, width) = (self.model.config.hidden, self.model.config.feed_forward);
        let router = self.linear("ffn_gate_inp", (hidden, count), 0..count, self.model.architecture.output_biases)?;
        let (inner, outer) = (self.split.rows(Kind::FeedForward), self.split.rows(Kind::Hidden));
        let mut gates = self.expert_matrices("ffn_gate_exps", (hidden, width), &inner, count)?.into_iter();
        let mut ups = self.expert_matrices("ffn_up_exps", (hidden, width), &inner, count)?.into_iter();
        let downs = self.expert_matrices("ffn_down_exps", (width, hidden), &outer, count)?;
        // Each list has one for each expert.
        let gated = |down| Some(Gated { gate: gates.next()?, up: ups.next()?, down });
        Ok(Experts { router, networks: downs.into_iter().filter_map(gated).collect(), rule })
    }

    fn expert_matrices(
        &mut self,
        name: &str,
        (inputs, outputs): (usize, usize),
        rows: &Range<usize>,
        count: usize,
    ) -> Result<Vec<Linear<D>>, LoadError> {
        let biases = match self.model.architecture.output_biases {
            true => self.model.numbers(&self.name(&format!("{name}.bias")), &[outputs, count])?,
            false => Vec::new(),
        };
        let weight = self.name(&format!("{name}.weight"));
        let mut matrices = Vec::with_capacity(count);
        for expert in 0..count {
            let part = self.model.expert_matrix(&weight, inputs, outputs, (expert, count))?;
            let bias =
                biases.chunks_exact(outputs).nth(expert).map(|bias| self.row(&bias[rows.clone()])).transpose()?;
            matrices.push(Linear { weights: self.weights(&part.sub_rows(rows.clone()))?, bias });
        }
        Ok(matrices)
    }

    /// Rows of a matrix of that shape.
    fn linear(
        &mut self,
        name: &str,
        (inputs, outputs): (usize, usize),
        rows: Range<usize>,
        has_bias: bool,
    ) -> Result<Linear<D>, LoadError> {
        let part = self.model.matrix(&self.name(&format!("{name}.weight")), inputs, outputs)?.sub_rows(rows.clone());
        let bias = has_bias.then(|| self.part(&format!("{name}.bias"), outputs, rows)).transpose()?;
        Ok(Linear { weights: self.weights(&part)?, bias })
    }

    /// Rows of matrices that are stored as one; each has so many outputs.
    fn fused<const N: usize>(
        &mut self,
        name: &str,
        inputs: usize,
        matrices: [(usize, Range<usize>); N],
    ) -> Result<[Linear<D>; N], LoadError> {
        let outputs = matrices.each_ref().map(|(outputs, _)| *outputs);
        let parts = self.model.fused_matrices(&self.name(&format!("{name}.weight")), inputs, outputs)?;
        let mut linears = Vec::with_capacity(N);
        for (part, (_, rows)) in parts.into_iter().zip(matrices) {
            linears.push(Linear { weights: self.weights(&part.sub_rows(rows))?, bias: None });
        }
        linears.try_into().map_err(|_| LoadError::Shape(format!("{name} has no {N} parts")))
    }

    fn weights(&mut self, part: &MatrixPart<'_>) -> Result<D::Weights, LoadError> {
        self.loading.weights(self.model, self.device, part)
    }

    fn norm_before(&mut self, name: &str) -> Result<Option<D::Buffer>, LoadError> {
        let width = self.model.config.hidden;
        let is_there = !self.model.architecture.norms_after;
        is_there.then(|| self.vector(&format!("{name}.weight"), width)).transpose()
    }

    fn norm_after(&mut self, name: &str) -> Result<Option<LayerNorm<D>>, LoadError> {
        let is_there = self.model.architecture.norms_after;
        is_there.then(|| LayerNorm::load(self.model, self.device, &self.name(name))).transpose()
    }

    fn post_norm(&mut self, name: &str) -> Result<Option<D::Buffer>, LoadError> {
        let width = self.model.config.hidden;
        self.model.architecture.post_norms.then(|| self.vector(name, width)).transpose()
    }

    fn vector(&mut self, name: &str, length: usize) -> Result<D::Buffer, LoadError> {
        let values = self.model.vector(&self.name(name), length)?;
        self.row(&values)
    }

    /// Some numbers of a vector.
    fn part(&mut self, name: &str, length: usize, part: Range<usize>) -> Result<D::Buffer, LoadError> {
        let values = self.model.vector(&self.name(name), length)?;
        self.row(&values[part])
    }

    fn row(&mut self, values: &[f32]) -> Result<D::Buffer, LoadError> {
        let mut buffer = self.device.buffer(1, values.len())?;
        self.device.write(values, &mut buffer);
        Ok(buffer)
    }

    fn name(&self, name: &str) -> String {
        layer_tensor(self.layer, name)
    }
}
