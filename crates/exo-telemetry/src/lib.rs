//! Io. Logs and the service manager: journal or standard error, readiness, status, watchdog.
//! Knows nothing of what the services do, nor of prompts and answers: nobody may put those into a log line.

mod logs;
mod status;

pub use logs::{LogFormat, LogOptions, LogSink, TelemetryError, check_level, init};
pub use status::{Notifier, ServiceStatus};
