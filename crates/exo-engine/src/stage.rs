//! Layers [a, b) of a model on a device, with the cache of their keys and values.

use std::{ops::Range, sync::Arc};

use exo_kernels::KvFormat;
use thiserror::Error;

use crate::{
    config::ModelConfig,
    device::{AttentionSizes, Device, MatrixPart, Span},
    load_error::LoadError,
    model::Model,
    options::{EngineOptions, LoadProgress},
    pipeline::RanksError,
    plan::{BatchPlan, PlanError},
    tensor::{TensorGroup, Work},
};

mod blocks;
mod branch;
mod buffers;
mod experts;
mod forward;
mod layer;
mod layer_norm;
mod linear;
mod memory;
mod routing;
mod split;

use blocks::Blocks;
use buffers::Buffers;
use layer::Layer;
pub(crate) use layer_norm::LayerNorm;
pub(crate) use memory::check_memory;
use split::Room;
pub(crate) use split::{Kind, Sharing, Split};

/// A step that a stage cannot compute. Only of a step that it computed (`became` no numbers) does it keep anything.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StageError {
    /// A plan that does not fit this stage.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Hidden states with infinities or what is no number: a broken weight, or a machine that computes wrongly. What the
    /// slot holds is as broken.
    #[error("the hidden states of slot {slot} at position {position} {origin} no numbers; restart this rank")]
    NotFinite {
        /// Cache slot of the sequence.
        slot: usize,
        /// Position of the first such row.
        position: usize,
        /// "came as" or "became".
        origin: &'static str,
    },
    /// A token that the model does not have.
    #[error("token {0} is not in the vocabulary")]
    UnknownToken(u32),
    /// Ranks that share these layers did not do their part. What the slots hold is not the same everywhere.
    #[error("the ranks that share these layers: {0}")]
    Ranks(String),
}

impl StageError {
    pub(crate) fn ranks(error: RanksError) -> Self {
        Self::Ranks(error.to_string())
    }
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
    /// How keys and values are kept.
    pub(crate) kv_format: KvFormat,
}

/// Layers of a model, ready to compute.
pub(crate) struct Stage<D: Device> {
    device: D,
    config: Arc<ModelConfig>,
    limits: StageLimits,
    /// None where positions are learned.
    rotation: Option<D::Rotation>,
    /// Of layers with a window, where it is another.
    window_rotation: Option<D::Rotation>,
    /// Number in the model of the first of `layers`.
    first_layer: usize,
    layers: Vec<Layer<D>>,
    caches: Vec<D::Cache>,
    /// Positions that each slot holds.
    held: Vec<u32>,
    blocks: Blocks<D>,
    buffers: Buffers<D>,
    split: Split,
    /// The ranks that share these layers, once they are connected.
    group: Option<Box<dyn TensorGroup>>,
    room: Room,
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
        part: &MatrixPart<'_>,
    ) -> Result<D::Weights, LoadError> {
        let stored = part.tensor.stored(part.rows.clone());
        model.files.prefetch(stored);
        let weights = device.weights(part)?;
        model.files.release(stored);
        self.done += part.bytes();
        (self.progress)(LoadProgress { bytes_done: self.done, bytes_total: self.total.max(self.done) });
        Ok(weights)
    }
}

impl StageLimits {
    pub(crate) fn new(config: &ModelConfig, options: &EngineOptions) -> Self {
        let trained = u32::try_from(config.context).unwrap_or(u32::MAX);
        let context = options.context.min(trained);
        let prompts = match config.is_encoder {
            // A step holds the longest text whole.
            true => options.prefill_chunk.max(context),
            false => options.prefill_chunk,
        };
        let (slots, kv_format) = (options.max_sequences, options.kv_format);
        Self { context, slots, tokens: prompts + slots, kv_format }
    }

    /// Tokens of prompts in a step.
    pub(crate) fn prompt_tokens(self) -> u32 {
        self.tokens - self.slots
    }

    pub(crate) fn sizes(self, config: &ModelConfig, split: &Split) -> AttentionSizes {
        AttentionSizes {
            heads: split.heads().len(),
            kv_heads: split.kv_heads().len(),
            head_width: config.head_width,
            context: self.context as usize,
            slots: self.slots as usize,
            format: self.kv_format,
        }
    }
}

impl<D: Device> Stage<D> {
    /// Loads `layers`, whose memory was checked before.
    pub(crate) fn load(
        model: &Model,
        mut device: D,
        layers: Range<usize>,
        (limits, split): (StageLimits, Split),
        loading: &mut Loading<'_>,
    ) -> Result<Self, LoadError> {
        let config = Arc::clone(&model.config);
        let sizes = limits.sizes(&config, &split);
        let factors = model.rope_factors(sizes.context)?;
        let rotation = config.rope.as_ref().map(|rope| device.rotation(rope, factors.as_deref()));
        let window_rotation = config.window_rope.as_ref().map(|rope| device.rotation(rope, None));
        let first_layer = layers.start;
        let (mut loaded, mut caches) = (Vec::with_capacity(layers.len()), Vec::with_capacity(layers.len()));
        for layer in layers {
            loaded.push(Layer::load(model, &mut device, layer, &split, loading)?);
            caches.push(device.cache(sizes)?);
        }
        let buffers = Buffers::new(&mut device, &config, &split, limits.tokens as usize)?;
        let held = vec![0; limits.slots as usize];
        Ok(Self {
            device,
            config,
            limits,
            rotation,
            window_rotation,
            first_layer,
            layers: loaded,
            caches,
            held,
            blocks: Blocks::default(),
            buffers,
            split,
            group: None,
            room: Room::default(),
        })
    }

    pub(crate) fn config(&self) -> &ModelConfig {
        &self.config
    }

    pub(crate) fn limits(&self) -> StageLimits {
        self.limits
    }

    pub(crate) fn step_values(&self) -> usize {
        self.limits.tokens as usize * self.config.hidden
    }

    /// Sets, or after a failure replaces, the ranks that share these layers.
    pub(crate) fn connect(&mut self, group: Box<dyn TensorGroup>) {
        self.group = Some(group);
    }

    /// Whether other ranks share these layers.
    pub(crate) fn is_shared(&self) -> bool {
        !self.split.is_whole()
    }

    /// Has the ranks that share these layers compute the same rows.
    pub(crate) fn lead(&mut self, work: Work, plan: &BatchPlan, rows: &[f32]) -> Result<(), StageError> {
        match &mut self.group {
            Some(group) => group.lead(work, plan, rows).map_err(StageError::ranks),
            None => Ok(()),
        }
    }

    /// The device, and the ranks that share it for so many rows.
    pub(crate) fn parts(&mut self, rows: usize) -> (&mut D, Option<Sharing<'_>>) {
        (&mut self.device, sharing(&self.split, &mut self.group, &mut self.room, rows))
    }

    /// Runs all layers over the rows of `hidden`, in place.
    pub(crate) fn forward(&mut self, plan: &BatchPlan, hidden: &mut [f32]) -> Result<(), StageError> {
        plan.check(self.limits.slots, self.limits.context, self.limits.tokens)?;
        let expected = plan.tokens() * self.config.hidden;
        if hidden.len() != expected {
            return Err(PlanError::Length { step: plan.step, expected, got: hidden.len() }.into());
        }
        let held = self.blocks.check(plan, self.limits, &self.held)?;
        for sequence in &plan.sequences {
            let held = held[sequence.slot as usize];
            if sequence.start > held {
                let (step, slot, start) = (plan.step, sequence.slot, sequence.start);
                return Err(PlanError::Gap { step, slot, start, held }.into());
            }
        }
        if self.group.is_none() && !self.split.is_whole() {
            return Err(StageError::Ranks("they are not connected".to_owned()));
        }
        let spans = spans(plan);
        self.check_numbers(hidden, &spans, "came as")?;
        self.blocks.make(&plan.moves, held.len(), &mut self.device, &mut self.caches);
        self.held = held;
        for span in &spans {
            self.held[span.slot] = (span.start + span.rows) as u32;
        }
        for rotation in [&mut self.rotation, &mut self.window_rotation].into_iter().flatten() {
            self.device.turn_to(&spans, rotation);
        }
        self.device.write(hidden, &mut self.buffers.hidden);
        if let Err(error) = self.run_layers(&spans, plan.tokens()) {
            // Some layers have these positions, and others do not.
            spans.iter().for_each(|span| self.held[span.slot] = 0);
            return Err(error);
        }
        self.device.read(&self.buffers.hidden, hidden);
        self.check_numbers(hidden, &spans, "became")
    }

    fn run_layers(&mut self, spans: &[Span], rows: usize) -> Result<(), StageError> {
        for index in 0..self.layers.len() {
            self.attend(index, spans, rows)?;
            self.feed_forward(index, rows)?;
        }
        Ok(())
    }

    /// Refuses rows that are no numbers.
    fn check_numbers(&self, hidden: &[f32], spans: &[Span], origin: &'static str) -> Result<(), StageError> {
        let width = self.config.hidden;
        for span in spans {
            let rows = &hidden[span.first_row * width..(span.first_row + span.rows) * width];
            if let Some(at) = rows.iter().position(|value| !value.is_finite()) {
                return Err(StageError::NotFinite { slot: span.slot, position: span.start + at / width, origin });
            }
        }
        Ok(())
    }
}

/// Those that share the layers, for so many rows; none where a rank has all of them.
fn sharing<'a>(
    split: &'a Split,
    group: &'a mut Option<Box<dyn TensorGroup>>,
    room: &'a mut Room,
    rows: usize,
) -> Option<Sharing<'a>> {
    group.as_deref_mut().map(|group| Sharing { split, group, room, rows })
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
