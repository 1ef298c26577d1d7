//! What can go wrong on the command line.

use std::path::PathBuf;
use std::process::ExitCode;

/// Why a command did not do what it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// Nobody answers.
    #[error("no api answers at {url} ({reason}); start one with `exo up`, or name another with --api")]
    Unreachable { url: String, reason: String },
    /// The api said no.
    #[error("{message}")]
    Refused { code: String, message: String },
    /// Something else than an api answered.
    #[error("{url} does not answer as an exo api does ({reason}); name another with --api")]
    NotAnApi { url: String, reason: String },
    /// The stream of an answer broke.
    #[error("the answer broke off: {0}")]
    Broken(String),
    /// It took too long.
    #[error("{what} took longer than {seconds} s; `exo status` shows how far it is")]
    TooLong { what: String, seconds: u64 },
    /// A model could not be brought to life.
    #[error("model {model} does not load: {reason}")]
    NotLoaded { model: String, reason: String },
    /// No such placed model.
    #[error("there is no instance {0}; `exo status` lists them")]
    NoInstance(String),
    /// A file of wanted instances is wrong.
    #[error("{}: {source}", file.display())]
    Wanted { file: PathBuf, source: exo_config::WantedError },
    /// Some of what a file asks for could not be done.
    #[error("{} of what the file asks for could not be done:\n  {}", .0.len(), .0.join("\n  "))]
    NotApplied(Vec<String>),
    /// No such node.
    #[error("there is no node {0}; `exo status` lists them")]
    NoNode(String),
    /// Several nodes of that name.
    #[error("{name} may be one of several nodes ({ids}); give the whole id")]
    ManyNodes { name: String, ids: String },
    /// The api knows no cluster yet.
    #[error("the node of this api has not found the cluster yet; try again in a moment, or ask another with --api")]
    NotJoined,
    /// The configuration cannot be read.
    #[error(transparent)]
    Configuration(#[from] exo_service::ConfigurationError),
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] exo_node::DataDirError),
    /// There is no log on this machine.
    #[error("there is no log in {0}; name its data directory with --data-dir, or ask an api without --offline")]
    NoLog(PathBuf),
    /// A log is in the way.
    #[error("{0} holds a log already; `--replace` puts it into the archive")]
    LogInTheWay(PathBuf),
    /// A log or a backup cannot be read or written.
    #[error(transparent)]
    Log(#[from] exo_log::ToolError),
    /// Something that cannot be taken back was not confirmed.
    #[error("nothing was changed; say --yes to do it")]
    NotConfirmed,
    /// A card that was required.
    #[error("no card for {wanted} can be used ({cards}); `exo hardware` tells of all")]
    NoAccelerator { wanted: String, cards: String },
    /// The model that comes with the project is missing.
    #[error("exo-guide.gguf is not in {}; name its directory with --models, or set EXO_MODELS_DIRS", places(.0))]
    NoGuide(Vec<PathBuf>),
    /// A node of the demo ended.
    #[error("node {name} of the demo ended too early; the end of its log:\n{log}")]
    NodeEnded { name: String, log: String },
    /// The answers of the demo are not the expected ones.
    #[error("question {question:?} was answered {answer:?}, expected was {expected:?}")]
    WrongAnswer { question: String, answer: String, expected: String },
    /// The cluster, or the way into it.
    #[error("{0}")]
    Cluster(String),
    /// The way to the cluster.
    #[error(transparent)]
    Visit(#[from] exo_service::VisitError),
    /// Whoever read our output is gone.
    #[error("nobody reads the output")]
    NobodyReads,
    /// The operating system.
    #[error("{what}: {source}")]
    System { what: String, source: std::io::Error },
}

fn places(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

impl CliError {
    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }
}

/// Tells the result: nothing, or the error on standard error.
pub(crate) fn finish(result: Result<(), CliError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(CliError::NobodyReads) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
