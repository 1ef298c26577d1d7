//! Io. Logs, numbers and the service manager: journal or standard error, Prometheus' text, readiness, status, watchdog.
//! Knows nothing of what the services do, nor of prompts and answers: nobody may put those into a log line.

mod logs;
mod metrics;
mod status;

pub use logs::{LogFormat, LogOptions, LogSink, Logs, TelemetryError, check_level, init};
pub use metrics::{METRICS_MEDIA_TYPE, Metrics};
pub use status::{Notifier, ServiceStatus};
