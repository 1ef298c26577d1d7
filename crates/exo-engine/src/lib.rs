//! Engine. Decoders and encoders, their devices and the batch scheduler.
//! Knows nothing of sockets, nodes, HTTP or the cluster.
//!
//! An [`Engine`] is rank 0, or a whole model: it takes [`GenerateRequest`]s and gives [`Output`]s, one [`Engine::step`]
//! at a time. A [`StageWorker`] is any other rank. What lies between ranks with other layers is a [`NextStages`], what
//! lies between those that share layers a [`TensorGroup`]; the runner implements both over its links.

mod answer;
mod arch;
mod config;
mod device;
mod embedding;
mod engine;
mod engine_error;
mod evaluate;
mod guide;
mod head;
mod load_error;
mod metadata;
mod model;
mod options;
mod pace;
mod pipeline;
mod plan;
mod prompt;
mod request;
mod scheduler;
mod stage;
mod tensor;
mod token_embedding;
mod vocabulary;

pub use config::{Activation, ExpertConfig, ModelConfig, RopeConfig, RopeLayout, RopeScaling, WindowConfig};
pub use device::{AttentionRule, AttentionSizes, CpuDevice, Device, DeviceError, Heads, MatrixPart, Span};
pub use embedding::Pooling;
pub use engine::Engine;
pub use engine_error::EngineError;
pub use evaluate::{EvaluateError, Perplexity};
pub use load_error::LoadError;
pub use options::{EngineOptions, LoadProgress, isa_from_env};
pub use pipeline::{NextStages, RanksError, StageWorker};
pub use plan::{BLOCK, BatchPlan, BlockRestore, BlockShare, CacheMoves, PlanError, Rows, SequencePlan};
pub use request::{
    EmbeddingOptions, Finish, GenerateRequest, Output, Priority, Prompt, Reading, ReplyOptions, SubmitError, Timings,
    ToolChoice, Turn, Usage,
};
pub use scheduler::{Accepted, HeadRows, Scheduler, SchedulerLimits, Step, Wants};
pub use stage::StageError;
pub use tensor::{Share, TensorGroup, Work};
