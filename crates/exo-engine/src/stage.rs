//! Layers [a, b) of a model on a device, with the cache of their keys and values.

use std::{ops::Range, sync::Arc};

use exo_gguf::TensorView;
use thiserror::Error;

use crate::{
    config::ModelConfig,
    device::{AttentionSizes, Device, Heads, Span},
    load_error::LoadError,
    model::Model,
    options::{EngineOptions, LoadProgress},
    plan::{BatchPlan, PlanError},
};

mod layer;
mod memory;

use layer::Layer;
pub(crate) use memory::check_memory;

/// A step that a stage cannot compute. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StageError {
    /// A plan that does not fit this stage.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A token that the model does not have.
    #[error("token {0} is not in the vocabulary")]
    UnknownToken(u32),
}

/// What a stage was loaded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StageLimits {
    /// Positions of a sequence.
    pub(crate) context: u32,
    /// Cache slots.
    pub(crate) slots: u32,
    /// Tokens of a step.
    pub(crate) tokens: u32,
}

/// Layers of a model, ready to compute.
pub(crate) struct Stage<D: Device> {
    device: D,
    config: Arc<ModelConfig>,
    limits: StageLimits,
    rotation: D::Rotation,
    layers: Vec<Layer<D>>,
    caches: Vec<D::Cache>,
    /// Positions that each slot holds.
    held: Vec<u32>,
    buffers: Buffers<D>,
}

/// Room for the intermediate rows of a step.
struct Buffers<D: Device> {
    hidden: D::Buffer,
    normed: D::Buffer,
    query: D::Buffer,
    key: D::Buffer,
    value: D::Buffer,
    attended: D::Buffer,
    gate: D::Buffer,
    up: D::Buffer,
}

/// Counts what is loaded and reports it.
pub(crate) struct Loading<'a> {
    progress: &'a mut dyn FnMut(LoadProgress),
    done: u64,
    total: u64,
}

impl<'a> Loading<'a> {
    pub(crate) fn new(total: u64, progress: &'a mut dyn FnMut(LoadProgress)) -> Self {
        Self { progress, done: 0, total }
    }

    /// Lays out a matrix; its pages in the file are not needed afterwards.
    pub(crate) fn weights<D: Device>(
        &mut self,
        model: &Model,
        device: &mut D,
        tensor: &TensorView<'_>,
    ) -> Result<D::Weights, LoadError> {
        model.file.prefetch(tensor);
        let weights = device.weights(tensor)?;
        model.file.release(tensor);
        self.done += tensor.bytes.len() as u64;
        (self.progress)(LoadProgress { bytes_done: self.done, bytes_total: self.total.max(self.done) });
        Ok(weights)
    }
}

impl StageLimits {
    pub(crate) fn new(config: &ModelConfig, options: &EngineOptions) -> Self {
        let trained = u32::try_from(config.context).unwrap_or(u32::MAX);
        Self {
            context: options.context.min(trained),
            slots: options.max_sequences,
            tokens: options.prefill_chunk + options.max_sequences,
        }
    }

    pub(crate) fn sizes(self, config: &ModelConfig) -> AttentionSizes {
        AttentionSizes {
            heads: config.heads,
            kv_heads: config.kv_heads,
            head_width: config.head_width,
            context: self.context as usize,
            slots: self.slots as usize,
        }
    }
}

impl<D: Device> Stage<D> {
    /// Loads `layers`, whose memory was checked before.
    pub(crate) fn load(
        model: &Model,
        mut device: D,
        layers: Range<usize>,
        limits: StageLimits,
        loading: &mut Loading<'_>,
    ) -> Result<Self, LoadError> {
        let config = Arc::clone(&model.config);
        let sizes = limits.sizes(&config);
        let factors = match model.file.opt_tensor(model.family.tensors.rope_factors) {
            Some(tensor) => Some(model.vector(tensor.name, config.rope.dimensions / 2)?),
            None => None,
        };
        let rotation = device.rotation(&config.rope, sizes, factors.as_deref());
        let (mut loaded, mut caches) = (Vec::with_capacity(layers.len()), Vec::with_capacity(layers.len()));
        for layer in layers {
            loaded.push(Layer::load(model, &mut device, layer, loading)?);
            caches.push(device.cache(sizes)?);
        }
        let buffers = Buffers::new(&mut device, &config, limits.tokens as usize)?;
        let held = vec![0; limits.slots as usize];
        Ok(Self { device, config, limits, rotation, layers: loaded, caches, held, buffers })
    }

    pub(crate) fn config(&self) -> &ModelConfig {
        &self.config
    }

    pub(crate) fn limits(&self) -> StageLimits {
        self.limits
    }

    pub(crate) fn device(&mut self) -> &mut D {
        &mut self.device
    }

    /// Runs all layers over the rows of `hidden`, in place.
    pub(crate) fn forward(&mut self, plan: &BatchPlan, hidden: &mut [f32]) -> Result<(), StageError> {
        plan.check(self.limits.slots, self.limits.context, self.limits.tokens)?;
        let expected = plan.tokens() * self.config.hidden;
        if hidden.len() != expected {
            return Err(PlanError::Length { step: plan.step, expected, got: hidden.len() }.into());
        }
        for sequence in &plan.sequences {
            let held = self.held[sequence.slot as usize];
            if sequence.start > held {
                let (step, slot, start) = (plan.step, sequence.slot, sequence.start);
                return Err(PlanError::Gap { step, slot, start, held }.into());
            }
        }
        let spans = spans(plan);
        for span in &spans {
            self.held[span.slot] = (span.start + span.rows) as u32;
        }
        self.device.turn_to(&spans, &mut self.rotation);
        self.device.write(hidden, &mut self.buffers.hidden);
        for index in 0..self.layers.len() {
            self.attend(index, &spans);
            self.feed_forward(index);
        }
        self.device.read(&self.buffers.hidden, hidden);
        Ok(())
    }

    fn attend(&mut self, index: usize, spans: &[Span]) {
        let (device, layer, buffers) = (&mut self.device, &self.layers[index], &mut self.buffers);
        device.rms_norm(&buffers.hidden, &layer.attention_norm, self.config.norm_epsilon, &mut buffers.normed);
        let products =
            [(&layer.query, &mut buffers.query), (&layer.key, &mut buffers.key), (&layer.value, &mut buffers.value)];
        device.products(&buffers.normed, products);
        let heads = Heads { query: &mut buffers.query, key: &mut buffers.key, value: &buffers.value };
        device.attend(spans, &self.rotation, heads, &mut self.caches[index], &mut buffers.attended);
        device.add_product(&buffers.attended, &layer.attention_output, &mut buffers.hidden);
    }

    fn feed_forward(&mut self, index: usize) {
        let (device, layer, buffers) = (&mut self.device, &self.layers[index], &mut self.buffers);
        device.rms_norm(&buffers.hidden, &layer.feed_forward_norm, self.config.norm_epsilon, &mut buffers.normed);
        device.products(&buffers.normed, [(&layer.gate, &mut buffers.gate), (&layer.up, &mut buffers.up)]);
        device.silu_gate(&mut buffers.gate, &buffers.up);
        device.add_product(&buffers.gate, &layer.down, &mut buffers.hidden);
    }
}

impl<D: Device> Buffers<D> {
    fn new(device: &mut D, config: &ModelConfig, rows: usize) -> Result<Self, LoadError> {
        Ok(Self {
            hidden: device.buffer(rows, config.hidden)?,
            normed: device.buffer(rows, config.hidden)?,
            query: device.buffer(rows, config.query_width())?,
            key: device.buffer(rows, config.kv_width())?,
            value: device.buffer(rows, config.kv_width())?,
            attended: device.buffer(rows, config.query_width())?,
            gate: device.buffer(rows, config.feed_forward)?,
            up: device.buffer(rows, config.feed_forward)?,
        })
    }
}

fn spans(plan: &BatchPlan) -> Vec<Span> {
    let mut first_row = 0;
    let span = |sequence: &crate::plan::SequencePlan| {
        let (slot, start, rows) = (sequence.slot as usize, sequence.start as usize, sequence.tokens as usize);
        let span = Span { slot, start, first_row, rows };
        first_row += rows;
        span
    };
    plan.sequences.iter().map(span).collect()
}
