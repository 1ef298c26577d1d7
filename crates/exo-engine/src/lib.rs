//! Engine. The decoder family, its devices and the batch scheduler.
//! Knows nothing of sockets, nodes, HTTP or the cluster.

mod pipeline;
mod plan;
mod request;
mod scheduler;

pub use pipeline::{NextStages, NextStagesError};
pub use plan::{BatchPlan, PlanError, Rows, SequencePlan};
pub use request::{Finish, GenerateRequest, Output, Prompt, SubmitError, Timings, Usage};
pub use scheduler::{Scheduler, SchedulerLimits, Step};
