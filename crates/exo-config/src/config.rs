//! The configuration in effect.

use exo_types::{KvFormat, Memory, ModelId};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// As it stands in the file.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            pub(crate) fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

choice!(
    /// Which roles `exo up` plays.
    Mode {
        /// Master, worker and api.
        Auto = "auto",
        /// Master alone.
        Master = "master",
        /// Worker alone.
        Worker = "worker",
    }
);

choice!(
    /// Which instruction set the kernels use.
    Cpu {
        /// The best that the machine has.
        Auto = "auto",
        /// AVX-512.
        Avx512 = "avx512",
        /// AVX2.
        Avx2 = "avx2",
        /// Any machine's.
        Portable = "portable",
    }
);

choice!(
    /// In which type models that are stored as floats are computed with.
    Quantize {
        /// As they are stored.
        None = "none",
        /// 8 bits a weight.
        Q8 = "Q8_0",
        /// 4 bits a weight.
        Q4 = "Q4_0",
    }
);

choice!(
    /// What log lines look like.
    LogFormat {
        /// The journal under systemd, text otherwise.
        Auto = "auto",
        /// For people.
        Text = "text",
        /// One object a line.
        Json = "json",
    }
);

/// `[api]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// Port of the HTTP API.
    pub port: u16,
    /// Address on which it listens.
    pub bind: IpAddr,
    /// File with the keys that clients may present.
    pub key_file: Option<PathBuf>,
    /// Largest request body in bytes.
    pub max_body_bytes: usize,
    /// A request that is not answered by then ends with an error.
    pub request_timeout: Duration,
    /// A client has so long to send its request's head, and as long for each part of its body.
    pub header_timeout: Duration,
    /// A stream without progress for so long ends with an error.
    pub stream_timeout: Duration,
    /// Requests that are served at the same time.
    pub max_concurrent: usize,
    /// HTTPS instead of HTTP.
    pub tls: Tls,
}

impl Api {
    /// What its URLs begin with.
    pub fn scheme(&self) -> &'static str {
        if self.tls.files().is_some() { "https" } else { "http" }
    }
}

/// `[api.tls]`. Both files are named or none: one alone is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// PEM file with the certificate and those between it and its authority.
    pub certificate: Option<PathBuf>,
    /// PEM file with its private key.
    pub key: Option<PathBuf>,
}

impl Tls {
    /// Certificate and key, where the API speaks HTTPS.
    pub fn files(&self) -> Option<(&Path, &Path)> {
        self.certificate.as_deref().zip(self.key.as_deref())
    }
}

/// `[networking]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Networking {
    /// Nodes of different namespaces never join.
    pub namespace: String,
    /// Bus of the master, and of `exo up`.
    pub cluster_port: u16,
    /// Bus of a worker that runs as its own process.
    pub worker_port: u16,
    /// Bus of an api that runs as its own process.
    pub api_port: u16,
    /// Multicast scouting.
    pub discovery_port: u16,
    /// First and last port of the links between runners.
    pub tensor_ports: (u16, u16),
    /// Never leave this machine.
    pub loopback_only: bool,
    /// Find other nodes by multicast.
    pub multicast: bool,
    /// `host:port` of nodes to connect to.
    pub peers: Vec<String>,
    /// Addresses to listen on; all if empty.
    pub listen_addresses: Vec<IpAddr>,
    /// Address that other nodes are told to use.
    pub advertise_address: Option<IpAddr>,
}

/// `[security]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Security {
    /// File with the token that lets this node in.
    pub join_token_file: Option<PathBuf>,
}

/// `[election]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Election {
    /// The larger leads when two clusters meet.
    pub seniority: u32,
    /// A survivor of one or two masters takes over after that; never, if zero.
    pub take_over_after: Duration,
    /// Whether a master leaves its session when it is stopped.
    pub leave_on_stop: bool,
}

/// `[models]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Models {
    /// Directories with models, besides the data directory's own.
    pub dirs: Vec<PathBuf>,
    /// Models that the leading master keeps placed.
    pub place: Vec<ModelId>,
    /// In which type models that are stored as floats are computed with.
    pub quantize: Quantize,
}

/// `[engine]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// Threads that compute; 0 means one for each physical core.
    pub threads: usize,
    /// Instruction set.
    pub cpu: Cpu,
    /// Longest context in tokens.
    pub context_length: u32,
    /// Answers that one instance generates at the same time.
    pub max_sequences: u32,
    /// How keys and values of past tokens are kept.
    pub kv_cache: KvFormat,
    /// Tokens of a prompt that are read in one step.
    pub prefill_chunk: u32,
    /// Tokens that are guessed ahead in an answer that repeats itself; 0 guesses none.
    pub draft_tokens: u32,
    /// Whether what was computed for one request serves others that begin the same.
    pub prefix_reuse: bool,
}

/// `[runner]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runner {
    /// Program of a runner.
    pub program: Option<PathBuf>,
    /// A runner without progress for so long is replaced.
    pub stall_timeout: Duration,
    /// A runner that has not loaded by then is replaced.
    pub start_timeout: Duration,
    /// Pause before the first replacement.
    pub backoff_first: Duration,
    /// Longest pause.
    pub backoff_max: Duration,
    /// Main memory that placement leaves alone.
    pub memory_reserve: Memory,
    /// Most memory of one runner.
    pub memory_limit: Option<Memory>,
    /// Whether runners may reach nothing but what they need.
    pub confine: bool,
}

/// `[logging]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// Level, or levels of parts.
    pub level: String,
    /// Shape.
    pub format: LogFormat,
}

/// The configuration in effect: every value read, defaulted and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Which roles `exo up` plays.
    pub mode: Mode,
    /// Name of this node for people.
    pub name: String,
    /// Where the node keeps what it has.
    pub data_dir: PathBuf,
    /// `[api]`.
    pub api: Api,
    /// `[networking]`.
    pub networking: Networking,
    /// `[security]`.
    pub security: Security,
    /// `[election]`.
    pub election: Election,
    /// `[models]`.
    pub models: Models,
    /// `[engine]`.
    pub engine: Engine,
    /// `[runner]`.
    pub runner: Runner,
    /// `[logging]`.
    pub logging: Logging,
}

impl Config {
    /// Directories with models: the configured ones, then the data directory's own.
    pub fn model_dirs(&self) -> Vec<PathBuf> {
        let mut dirs = self.models.dirs.clone();
        dirs.push(self.data_dir.join("models"));
        dirs
    }
}
