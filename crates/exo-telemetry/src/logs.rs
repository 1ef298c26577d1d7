//! Where log lines go.

use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry};

/// Where lines go, in one type.
type Sink = Box<dyn Layer<Registry> + Send + Sync>;

/// What log lines look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// The journal when systemd started us, text otherwise.
    Auto,
    /// For people, on standard error.
    Text,
    /// One object a line, on standard error.
    Json,
}

/// How much is logged, and how.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// `info`, or by part: `info,exo_bus=debug`.
    pub level: String,
    /// Shape.
    pub format: LogFormat,
}

/// Where the lines went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogSink {
    /// systemd's journal, with fields (`EXO_…`).
    Journal,
    /// Text on standard error.
    Text,
    /// JSON on standard error.
    Json,
}

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The level cannot be read.
    #[error("`logging.level` = {level:?}: {source}; write for example \"info\" or \"info,exo_bus=debug\"")]
    Level {
        /// As given.
        level: String,
        /// The filter's words.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Somebody else took the place.
    #[error("logging is already set up in this process")]
    Twice(#[from] TryInitError),
}

/// Whether a level can be read; for a configuration that is only checked.
pub fn check_level(level: &str) -> Result<(), TelemetryError> {
    filter(level).map(|_| ())
}

/// What is left out unless it is asked for. openraft tells of every heartbeat; what of it matters is told by exo-log.
/// Where two processes dial each other, the bus's library refuses one of the links, tries it again every few seconds
/// and calls that an error each time. A refusal that matters is logged by the side that refuses.
const QUIET: &str = "zenoh_transport::unicast::establishment::open=off,openraft=error";

fn filter(level: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::try_new(format!("{QUIET},{level}"))
        .map_err(|source| TelemetryError::Level { level: level.to_owned(), source })
}

/// The logs of this process, to change them while it runs. Cheap to clone.
#[derive(Clone)]
pub struct Logs {
    service: &'static str,
    sink: LogSink,
    level: Handle<EnvFilter, Registry>,
    lines: Handle<Sink, Registry>,
}

impl std::fmt::Debug for Logs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Logs({}, {:?})", self.service, self.sink)
    }
}

impl Logs {
    /// Where the lines go.
    pub fn sink(&self) -> LogSink {
        self.sink
    }

    /// Logs more or less from now on; a level that cannot be read changes nothing.
    pub fn set_level(&self, level: &str) -> Result<(), TelemetryError> {
        let filter = filter(level)?;
        // Fails only where the logs of the process are gone, and then there is nothing to change.
        let _ = self.level.reload(filter);
        Ok(())
    }

    /// Gives every line that goes to the journal these fields from now on, such as `EXO_NODE`. Other sinks have none.
    pub fn set_fields(&self, fields: &[(&str, &str)]) {
        if self.sink == LogSink::Journal
            && let Ok(journal) = journal(self.service, fields)
        {
            let _ = self.lines.reload(journal);
        }
    }
}

/// Sets up logging for the whole process; once. `service` names the process in the journal: `exo-worker`.
pub fn init(service: &'static str, options: &LogOptions) -> Result<Logs, TelemetryError> {
    let (layer, sink) = layer(service, options.format);
    let (layer, lines) = reload::Layer::new(layer);
    let (filter, level) = reload::Layer::new(filter(&options.level)?);
    tracing_subscriber::registry().with(layer.with_filter(filter)).try_init()?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(Logs { service, sink, level, lines })
}

fn layer(service: &'static str, format: LogFormat) -> (Sink, LogSink) {
    let standard_error = || tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Json => (standard_error().json().boxed(), LogSink::Json),
        LogFormat::Auto if stderr_is_journal() => match journal(service, &[]) {
            Ok(journal) => (journal, LogSink::Journal),
            // The journal's own socket is out of reach (a sandbox, say); its stream still takes lines.
            Err(_) => (standard_error().with_ansi(false).without_time().boxed(), LogSink::Text),
        },
        LogFormat::Auto | LogFormat::Text => {
            (standard_error().with_ansi(std::io::stderr().is_terminal()).boxed(), LogSink::Text)
        }
    }
}

/// Fields of events become `EXO_…`; what every line has comes beside them.
fn journal(service: &'static str, fields: &[(&str, &str)]) -> std::io::Result<Sink> {
    let journal = tracing_journald::layer()?
        .with_field_prefix(Some("EXO".to_owned()))
        .with_syslog_identifier(service.to_owned())
        .with_custom_fields([("EXO_SERVICE", service), ("EXO_VERSION", env!("CARGO_PKG_VERSION"))])
        .with_custom_fields(fields.iter().copied());
    Ok(journal.boxed())
}

/// systemd names the device and inode of the journal's stream; a redirected standard error is another file.
fn stderr_is_journal() -> bool {
    let stream = std::env::var("JOURNAL_STREAM").ok();
    let metadata = std::fs::metadata("/proc/self/fd/2").ok();
    stream.zip(metadata).is_some_and(|(stream, metadata)| is_stream(&stream, metadata.dev(), metadata.ino()))
}

fn is_stream(stream: &str, device: u64, inode: u64) -> bool {
    stream.split_once(':').is_some_and(|(d, i)| d.parse() == Ok(device) && i.parse() == Ok(inode))
}

/// A panic's message can quote text (slicing does), so that only the place goes to the log at once.
fn log_panic(info: &std::panic::PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let payload = info.payload();
    let message = payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
    tracing::error!(place, "a defect: panicked; the message is logged at level debug");
    tracing::debug!(place, message, "panicked");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_stream_that_systemd_names_is_the_journal() {
        for (stream, expect) in
            [("8:42", true), ("8:43", false), ("9:42", false), ("", false), ("8", false), ("x:y", false)]
        {
            assert_eq!(is_stream(stream, 8, 42), expect, "{stream:?}");
        }
    }

    #[test]
    fn links_that_were_made_twice_are_no_errors_unless_asked_for() {
        let shown = |level: &str| filter(level).expect("a good level").to_string();
        for quiet in QUIET.split(',') {
            assert!(shown("info").contains(quiet), "{}", shown("info"));
        }
        let asked = shown("info,zenoh_transport::unicast::establishment::open=debug");
        assert!(!asked.contains("open=off") && asked.contains("openraft=error"), "{asked}");
    }

    #[test]
    fn a_level_that_cannot_be_read_is_refused_with_its_key() {
        let options = LogOptions { level: "exo=loud".to_owned(), format: LogFormat::Text };
        let message = init("exo-test", &options).expect_err("no such level").to_string();
        assert!(message.starts_with("`logging.level` = \"exo=loud\""), "{message}");
    }

    #[test]
    fn logging_is_set_up_once() {
        let options = LogOptions { level: "error".to_owned(), format: LogFormat::Auto };
        assert!(init("exo-test", &options).is_ok());
        assert!(matches!(init("exo-test", &options), Err(TelemetryError::Twice(_))));
    }
}
