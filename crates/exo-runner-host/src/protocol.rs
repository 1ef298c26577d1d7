//! What a worker and its runner tell each other.

use exo_identity::RunnerIdentity;
use exo_types::{GenerateRequest, RequestId, Shard, StreamChunk};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::PathBuf;

/// How a rank of a pipeline is reached by the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkSettings {
    /// Address to listen on.
    pub listen: IpAddr,
    /// Address that the rank before it is told to connect to.
    pub advertise: IpAddr,
    /// First and last port to try; the first free one is taken.
    pub ports: (u16, u16),
    /// A link that brings nothing for so many milliseconds while a step is under way is broken.
    pub deadline_ms: u64,
}

/// Which part of which model, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Load {
    /// File or directory of the model.
    pub model_path: PathBuf,
    /// The type in which matrices that are stored as floats are computed with: `Q8_0`; as they are if none is named.
    pub quantization: Option<String>,
    /// The name that all ranks of one pipeline share; a link between different ones is refused.
    pub instance_id: exo_types::InstanceId,
    /// Which layers.
    pub shard: Shard,
    /// Tokens that a prompt and its answer may have together.
    pub context_length: u32,
    /// Requests that are computed at once.
    pub max_sequences: u32,
    /// Prompt tokens of one step.
    pub prefill_chunk: u32,
    /// Tokens that are guessed ahead in an answer that repeats itself; 0 guesses none.
    #[serde(default)]
    pub draft_tokens: u32,
    /// Whether what was computed for one request serves others that begin the same.
    #[serde(default)]
    pub prefix_reuse: bool,
    /// How keys and values of past tokens are kept; the same on all ranks.
    #[serde(default)]
    pub kv_format: exo_types::KvFormat,
    /// Threads that compute.
    pub threads: u32,
    /// Instruction set: `avx512`, `avx2`, `portable`; the best there is if none is named.
    pub isa: Option<String>,
    /// Most bytes that weights, caches and buffers may take together.
    pub memory_limit: Option<u64>,
    /// Links to other ranks; none in a world of one.
    pub links: Option<LinkSettings>,
    /// The first incarnation; larger than those of every runner before it.
    pub incarnation: u64,
}

/// Where another rank listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RankAddress {
    /// Its number.
    pub rank: u32,
    /// `address:port`.
    pub endpoint: String,
    /// Its incarnation, so that nobody connects to a predecessor.
    pub incarnation: u64,
}

/// The ranks to connect to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connect {
    /// The receiver's own incarnation; an order for another life is passed over.
    pub incarnation: u64,
    /// Where they are. The others connect to the receiver; in a world of one there are none.
    pub peers: Vec<RankAddress>,
}

/// From the worker to its runner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum HostMessage {
    /// Who the node is, for links to other ranks: before everything else, and again when it changes. Not answered.
    Identity(RunnerIdentity),
    /// First of all that is answered: load. Answered by `Loading`, then `Loaded` or `Failed`.
    Load(Load),
    /// All ranks are loaded: connect to them. Answered by `Ready`, or by `Loaded` with a new incarnation. Until then
    /// another order may name other lives of them: only those of the last are called.
    Connect(Connect),
    /// Answer a request; rank 0 only. Answered by `Chunk`s, of which the last is final.
    Generate(GenerateRequest),
    /// Nobody wants the answer any more.
    Cancel {
        /// Whose.
        request_id: RequestId,
    },
    /// Say how far you are; answered by `Progress` at once, whatever else goes on.
    Ping,
    /// Come to an end.
    Shutdown,
}

/// From a runner to its worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase")]
pub enum RunnerMessage {
    /// Layers are being read.
    Loading {
        /// Layers in memory.
        layers_loaded: u32,
        /// Layers of the shard.
        total_layers: u32,
    },
    /// The weights are in memory, and the rank before may connect. Also after links were lost: with a new incarnation.
    Loaded {
        /// `address:port`; none in a world of one.
        tensor_endpoint: Option<String>,
        /// Counts the sets of links.
        incarnation: u64,
    },
    /// Takes requests.
    Ready {
        /// As it was told with `Loaded`.
        incarnation: u64,
    },
    /// A piece of an answer.
    Chunk {
        /// Whose.
        request_id: RequestId,
        /// What.
        chunk: StreamChunk,
    },
    /// The answer to a `Ping`. A runner that computes and whose steps stand still hangs; so does one that is silent.
    Progress {
        /// Steps computed or parts loaded since the start.
        steps: u64,
        /// Whether something is being computed now; waiting for another rank is not computing.
        busy: bool,
    },
    /// It cannot go on and ends.
    Failed {
        /// Whether another try can help.
        retry: bool,
        /// What happened, and what to do.
        message: String,
    },
}

impl HostMessage {
    /// Its name, for logs: requests are never printed.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Identity(_) => "identity",
            Self::Load(_) => "load",
            Self::Connect(_) => "connect",
            Self::Generate(_) => "generate",
            Self::Cancel { .. } => "cancel",
            Self::Ping => "ping",
            Self::Shutdown => "shutdown",
        }
    }
}
