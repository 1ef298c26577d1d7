//! What of the configuration the worker goes by.

use exo_config::{Config, Cpu, Quantize};
use exo_models::ModelStore;
use exo_plan::Backoff;
use exo_runner_host::LinkSettings;
use exo_weights::Quantisation;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// A link may wait for the whole work of the other ranks; their own workers notice sooner if one of them hangs.
const LINK_DEADLINE_FACTOR: u32 = 2;

/// Why a worker cannot run models.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// No program.
    #[error("there is no exo-runner beside {exe} and none in PATH; install it there, or set runner.program")]
    NoRunner {
        /// The running program.
        exe: PathBuf,
    },
    /// Nobody knows where this program is.
    #[error("the system does not tell where this program lies: {0}; set runner.program")]
    Exe(#[from] io::Error),
}

/// Everything that does not change while the worker runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// File of exo-runner.
    pub program: PathBuf,
    /// Threads of a runner.
    pub threads: u32,
    /// Instruction set; the best if none is named.
    pub isa: Option<String>,
    /// Prompt tokens of one step.
    pub prefill_chunk: u32,
    /// Tokens that are guessed ahead; 0 guesses none.
    pub draft_tokens: u32,
    /// Whether what was computed for one request serves others that begin the same.
    pub prefix_reuse: bool,
    /// A runner without progress for so long is replaced.
    pub stall_timeout: Duration,
    /// A runner that has not loaded by then is replaced.
    pub start_timeout: Duration,
    /// Waits between replacements.
    pub backoff: Backoff,
    /// Links between ranks.
    pub links: LinkSettings,
    /// Most bytes that a runner's weights, caches and buffers may take.
    pub memory_limit: Option<u64>,
    /// Whether runners may reach nothing but what they need.
    pub confine: bool,
    /// Streams may go on so long after a stop was asked for.
    pub drain: Duration,
}

impl Settings {
    /// From the configuration, and from where this program lies.
    pub fn new(config: &Config) -> Result<Self, SettingsError> {
        let engine = &config.engine;
        let threads = match engine.threads {
            0 => exo_hardware::processors().threads(),
            threads => u32::try_from(threads).unwrap_or(u32::MAX),
        };
        Ok(Self {
            program: find_runner(config)?,
            threads,
            isa: (engine.cpu != Cpu::Auto).then(|| engine.cpu.as_str().to_owned()),
            prefill_chunk: engine.prefill_chunk,
            draft_tokens: engine.draft_tokens,
            prefix_reuse: engine.prefix_reuse,
            stall_timeout: config.runner.stall_timeout,
            start_timeout: config.runner.start_timeout,
            backoff: Backoff { first: config.runner.backoff_first, max: config.runner.backoff_max },
            links: links(config),
            memory_limit: config.runner.memory_limit.map(|limit| limit.in_bytes),
            confine: config.runner.confine,
            drain: Duration::from_secs(10),
        })
    }
}

/// The models of this node, as the configuration has them.
pub fn model_store(config: &Config) -> ModelStore {
    let quantisation = match config.models.quantize {
        Quantize::None => None,
        Quantize::Q8 => Some(Quantisation::Q8_0),
        Quantize::Q4 => Some(Quantisation::Q4_0),
    };
    ModelStore::new(config.model_dirs()).quantising(quantisation).keeping(config.engine.kv_cache)
}

/// Addresses of this node for other nodes, best first.
pub(crate) fn addresses(config: &Config) -> Vec<IpAddr> {
    let networking = &config.networking;
    if let Some(address) = networking.advertise_address {
        return vec![address];
    }
    let named = networking.listen_addresses.iter().filter(|address| !address.is_unspecified());
    let named: Vec<_> = named.copied().collect();
    if named.is_empty() { exo_hardware::addresses(networking.loopback_only) } else { named }
}

fn links(config: &Config) -> LinkSettings {
    let networking = &config.networking;
    let advertise = addresses(config).first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let any = match advertise {
        _ if networking.loopback_only => advertise,
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let listen = networking.listen_addresses.first().copied().unwrap_or(any);
    let deadline = config.runner.stall_timeout.saturating_mul(LINK_DEADLINE_FACTOR);
    let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
    LinkSettings { listen, advertise, ports: networking.tensor_ports, deadline_ms }
}

fn find_runner(config: &Config) -> Result<PathBuf, SettingsError> {
    if let Some(program) = &config.runner.program {
        return Ok(program.clone());
    }
    let exe = std::env::current_exe()?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = exe.parent().map(Path::to_owned).into_iter().chain(std::env::split_paths(&path));
    let mut candidates = dirs.map(|dir| dir.join("exo-runner"));
    candidates.find(|candidate| candidate.is_file()).ok_or(SettingsError::NoRunner { exe })
}
