//! The seam between the ranks of a pipeline: the engine computes, whoever runs it carries hidden states over links.
//!
//! Rank 0 holds the embedding, its layers and the head; the last rank sends back the rows that the head needs. So
//! tokens, logits and sampling never leave rank 0, and tied embeddings are held once.

use std::path::Path;

use crate::{
    config::ModelConfig,
    device::CpuDevice,
    load_error::LoadError,
    model::{self, Model},
    options::{EngineOptions, LoadProgress},
    plan::BatchPlan,
    stage::{Loading, Stage, StageError, StageLimits, check_memory},
};

/// What a [`NextStages`] may fail with; the engine passes it on unchanged.
pub type NextStagesError = Box<dyn std::error::Error + Send + Sync>;

/// The ranks after this one, as seen from rank 0.
pub trait NextStages: Send {
    /// Runs one step through all following ranks.
    ///
    /// `hidden` comes as `plan.tokens()` rows of the model's width and is replaced by `plan.head_rows()` rows, which
    /// may be none. The call ends within the link's deadline, with an error if a rank is gone.
    fn run(&mut self, plan: &BatchPlan, hidden: &mut Vec<f32>) -> Result<(), NextStagesError>;
}

/// The layers of a rank after the first.
pub struct StageWorker {
    stage: Stage<CpuDevice>,
    is_last: bool,
}

impl StageWorker {
    /// Loads layers `options.layers` of the model at `path`, which start after 0, and reads nothing else of it.
    pub fn load(
        path: &Path,
        options: &EngineOptions,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Self, LoadError> {
        let model = Model::open(path, options.quantisation)?;
        let layers = model::layer_range(&model.config, options)?;
        if layers.start == 0 {
            return Err(LoadError::Layers { start: layers.start, end: layers.end, layers: model.config.layers });
        }
        let is_last = layers.end == model.config.layers;
        let limits = StageLimits::new(&model.config, options);
        let bytes = check_memory::<CpuDevice>(&model, &layers, limits, 0, options.memory_limit)?;
        let device = CpuDevice::new(options.isa, options.threads)?;
        let stage = Stage::load(&model, device, layers, limits, &mut Loading::new(bytes, progress))?;
        Ok(Self { stage, is_last })
    }

    /// Shape of the model.
    pub fn config(&self) -> &ModelConfig {
        self.stage.config()
    }

    /// Runs this rank's layers. `hidden` has `plan.tokens()` rows, and afterwards either the same number, for the next
    /// rank, or on the last rank the `plan.head_rows()` that go back to rank 0.
    ///
    /// The plan and the values come from another machine: both are checked, and nothing is changed if they are wrong.
    pub fn run_step(&mut self, plan: &BatchPlan, hidden: &mut Vec<f32>) -> Result<(), StageError> {
        self.stage.forward(plan, hidden)?;
        if self.is_last {
            *hidden = plan.select_head_rows(hidden, self.config().hidden);
        }
        Ok(())
    }
}
