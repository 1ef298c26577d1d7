//! Engine. The decoder family, its devices and the batch scheduler.
//! Knows nothing of sockets, nodes, HTTP or the cluster.
//!
//! An [`Engine`] is rank 0 of a pipeline, or a whole model: it takes [`GenerateRequest`]s and gives [`Output`]s, one
//! [`Engine::step`] at a time. A [`StageWorker`] is any later rank. What lies between them is a [`NextStages`], which
//! the runner implements over its links.

mod answer;
mod arch;
mod config;
mod device;
mod embedding;
mod ends;
mod engine;
mod engine_error;
mod evaluate;
mod guide;
mod load_error;
mod metadata;
mod model;
mod options;
mod pipeline;
mod plan;
mod prompt;
mod request;
mod scheduler;
mod stage;
mod vocabulary;

pub use config::{Activation, ExpertConfig, ModelConfig, RopeConfig, RopeLayout, RopeScaling, WindowConfig};
pub use device::{AttentionRule, AttentionSizes, CpuDevice, Device, DeviceError, Heads, MatrixPart, Span};
pub use embedding::Pooling;
pub use engine::Engine;
pub use engine_error::EngineError;
pub use evaluate::{EvaluateError, Perplexity};
pub use load_error::LoadError;
pub use options::{EngineOptions, LoadProgress, isa_from_env};
pub use pipeline::{NextStages, NextStagesError, StageWorker};
pub use plan::{BatchPlan, PlanError, Rows, SequencePlan};
pub use request::{
    EmbeddingOptions, Finish, GenerateRequest, Output, Prompt, ReplyOptions, SubmitError, Timings, ToolChoice, Usage,
};
pub use scheduler::{Accepted, HeadRows, Scheduler, SchedulerLimits, Step, Wants};
pub use stage::StageError;
