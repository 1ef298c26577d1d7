//! Pure. The vocabulary of the cluster: ids, nodes, models, shards, instances, runners, events, commands, chunks.
//! Knows nothing of sockets, disks, clocks or threads, nor of how the State is folded.
//!
//! Every type here is sent or stored. Fields are camelCase and variants are externally tagged, in JSON and in
//! MessagePack alike; a reader tolerates fields that it does not know.

mod blob;
mod chunk;
mod command;
mod election;
mod event;
mod forward;
mod generate;
mod hardware;
mod ids;
mod instance;
mod intent;
mod lineage;
mod membership;
mod memory;
mod model;
mod node;
mod reply;
mod runner;
mod session;
mod shard;
mod standing;
mod task;
mod topology;
mod unpack;

pub use blob::Blob;
pub use chunk::{
    EmbeddingChunk, ErrorChunk, ErrorCode, FinishReason, PrefillProgressChunk, StreamChunk, TokenChunk,
    TokenLikelihood, TokenLogprob, Usage,
};
pub use command::{Command, CommandReply, PlaceInstance, Refusal, RefusalCode};
pub use election::{Candidate, ConnectionMessage, ElectionMessage, MasterPresence, is_deserted};
pub use event::{Event, IndexedEvent, UnknownEvent};
pub use forward::{
    EventLogPage, FactId, ForwarderCommand, GlobalEvents, LocalForwarderEvent, RequestEventLog, SnapshotBytes,
    SnapshotMark, SnapshotPart,
};
pub use generate::{AnsweredTokens, ChatMessage, GenerateRequest, Priority, Prompt, Role, SamplingParams, Turn};
pub use hardware::{Accelerator, NodeHardware, NodeLink};
pub use ids::{
    CommandId, EventIndex, IdError, InstanceId, IntentId, JoinTokenId, Millis, ModelId, NodeId, OriginEpoch,
    OriginSequence, RequestId, RunnerId, SessionId, TaskId,
};
pub use instance::{Instance, InstanceError, ShardAssignments};
pub use intent::Intent;
pub use lineage::{Births, LogPlace};
pub use membership::{JoinTokenRecord, KeyFingerprint};
pub use memory::Memory;
pub use model::{DownloadProgress, KvFormat, ModelCard, NodeDownload};
pub use node::{CpuInfo, NodeInfo, NodePresence, NodeResources, Roles};
pub use reply::{Constraint, EmbeddingOptions, Pooling, ReplyOptions, Tool, ToolCall, ToolChoice};
pub use runner::{RunnerFailure, RunnerStatus};
pub use session::{JoinSession, LeaveSession, LogMember, RequestLeave, SessionReply};
pub use shard::{Shard, ShardError, Sharding, TensorShare};
pub use standing::{MasterCounters, MasterRole, MasterStanding, RequestStanding};
pub use task::{Task, TaskStatus};
pub use topology::{Addresses, Connection, Topology};
pub use unpack::{DEEPEST, UnpackError, unpack};
