//! The seam between the ranks of a pipeline: the engine computes, whoever runs it carries hidden states over links.
//!
//! Rank 0 holds the embedding, its layers and the head; the last rank sends back the rows that the head needs. So
//! tokens, logits and sampling never leave rank 0, and tied embeddings are held once.

use std::path::Path;

use crate::{
    config::ModelConfig,
    device::CpuDevice,
    head::Head,
    load_error::LoadError,
    model::{self, Model},
    options::{EngineOptions, LoadProgress},
    plan::{BatchPlan, PlanError},
    stage::{Loading, Split, Stage, StageError, StageLimits, check_memory},
    tensor::{TensorGroup, Work},
};

/// What other ranks may fail with; the engine passes it on unchanged.
pub type RanksError = Box<dyn std::error::Error + Send + Sync>;

/// The ranks after this one, as seen from rank 0. Steps go through them one behind the other: several may be under way.
pub trait NextStages: Send {
    /// Into how many stages the layers are cut, the first included: so many steps keep all of them busy.
    fn stages(&self) -> usize;

    /// Sends a step on. `hidden` are `plan.tokens()` rows of the model's width. The call ends within the link's deadline,
    /// with an error if the rank is gone.
    fn send(&mut self, plan: &BatchPlan, hidden: &[f32]) -> Result<(), RanksError>;

    /// Waits for what comes of `plan`, the oldest step that was sent and not received yet: `plan.head_rows()` rows, which
    /// may be none. The call ends within the link's deadline, with an error if a rank is gone.
    fn receive(&mut self, plan: &BatchPlan) -> Result<Vec<f32>, RanksError>;
}

/// The layers of a rank other than the first, or a share of layers.
pub struct StageWorker {
    stage: Stage<CpuDevice>,
    /// Its share of the head, where it shares the first layers.
    head: Option<Head<CpuDevice>>,
    /// It has all layers, and goes on with the head.
    heads_at_once: bool,
    is_leader: bool,
    is_last: bool,
}

impl StageWorker {
    /// Loads `options.share` of layers `options.layers` of the model at `path`, and reads nothing else of it. The first
    /// share of the first layers is an [`Engine`](crate::Engine)'s.
    pub fn load(
        path: &Path,
        options: &EngineOptions,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Self, LoadError> {
        let model = Model::open(path, options.quantisation)?;
        let layers = model::layer_range(&model.config, options)?;
        let (is_leader, is_first) = (options.share.rank == 0, layers.start == 0);
        if is_leader && is_first {
            return Err(LoadError::Layers { start: layers.start, end: layers.end, layers: model.config.layers });
        }
        let is_last = layers.end == model.config.layers;
        let limits = StageLimits::new(&model.config, options);
        let split = Split::new(&model.config, options.share)?;
        let has_head = is_first && !model.config.is_encoder;
        let head_bytes = if has_head { Head::<CpuDevice>::weight_bytes(&model, &split)? } else { 0 };
        let buffer_bytes = if has_head { Head::<CpuDevice>::buffer_bytes(&model, &split) } else { 0 };
        let (memory, end_bytes) = ((limits, &split), head_bytes + buffer_bytes);
        let bytes = check_memory::<CpuDevice>(&model, &layers, memory, end_bytes, options.memory_limit)?;
        let mut device = CpuDevice::new(options.isa, options.threads)?;
        let mut loading = Loading::new(bytes + head_bytes, progress);
        let head = if has_head { Some(Head::load(&model, &mut device, &split, &mut loading)?) } else { None };
        let stage = Stage::load(&model, device, layers, (limits, split), &mut loading)?;
        Ok(Self { stage, head, heads_at_once: has_head && is_last, is_leader, is_last })
    }

    /// Sets, or after a failure replaces, the ranks that share its layers.
    pub fn connect(&mut self, group: Box<dyn TensorGroup>) {
        self.stage.connect(group);
    }

    /// Shape of the model.
    pub fn config(&self) -> &ModelConfig {
        self.stage.config()
    }

    /// Most numbers that the hidden states of a step have.
    pub fn step_values(&self) -> usize {
        self.stage.step_values()
    }

    /// Does its part of a step. `hidden` of a step through layers has `plan.tokens()` rows. Afterwards they are, on a rank
    /// that leads, either the same number, for the next layers, or on the last the `plan.head_rows()` that go back to
    /// rank 0; on others nothing that anybody needs. A step of the head has `plan.head_rows()`.
    ///
    /// The plan and the values come from another machine: both are checked, and nothing is changed if they are wrong.
    pub fn run_step(&mut self, work: Work, plan: &BatchPlan, hidden: &mut Vec<f32>) -> Result<(), StageError> {
        match work {
            Work::Layers => self.run_layers(plan, hidden),
            Work::Head => self.run_head(plan, hidden),
        }
    }

    fn run_layers(&mut self, plan: &BatchPlan, hidden: &mut Vec<f32>) -> Result<(), StageError> {
        if self.is_leader {
            self.stage.lead(Work::Layers, plan, hidden)?;
        }
        self.stage.forward(plan, hidden)?;
        if self.is_last {
            *hidden = plan.select_head_rows(hidden, self.config().hidden);
        }
        if self.heads_at_once { self.run_head(plan, hidden) } else { Ok(()) }
    }

    fn run_head(&mut self, plan: &BatchPlan, rows: &[f32]) -> Result<(), StageError> {
        let expected = plan.head_rows() * self.config().hidden;
        let Some(head) = self.head.as_mut().filter(|_| rows.len() == expected) else {
            return Err(PlanError::Length { step: plan.step, expected, got: rows.len() }.into());
        };
        head.logits(&mut self.stage, rows).map(drop)
    }
}
