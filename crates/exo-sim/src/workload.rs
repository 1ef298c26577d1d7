//! The one model of the simulated cluster, and what is asked of it.

use exo_models::FoundModel;
use exo_plan::Backoff;
use exo_runner_host::LinkSettings;
use exo_types::{
    ChatMessage, Command, CpuInfo, Memory, ModelCard, ModelId, NodeInfo, NodeResources, PlaceInstance, Prompt,
    ReplyOptions, Role, SamplingParams, Sharding, Turn,
};
use exo_wire::TextRequest;
use exo_worker::Settings;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

pub(crate) fn model() -> ModelId {
    ModelId::new("m").expect("a letter is an id")
}

fn card() -> ModelCard {
    ModelCard {
        model_id: model(),
        name: String::new(),
        architecture: "llama".to_owned(),
        quantization: "Q8_0".to_owned(),
        n_layers: 8,
        hidden_size: 64,
        heads: 8,
        kv_heads: 4,
        context_length: 4096,
        kv_bytes_per_token: 16,
        kv_format: exo_types::KvFormat::F16,
        layer_size: Memory::mib(100),
        storage_size: Memory::mib(900),
    }
}

/// Every machine has it.
pub(crate) fn models() -> BTreeMap<ModelId, FoundModel> {
    BTreeMap::from([(model(), FoundModel { path: "m.gguf".into(), stored: card().quantization, card: card() })])
}

pub(crate) fn node_info(name: &str) -> NodeInfo {
    NodeInfo {
        friendly_name: name.to_owned(),
        version: "0".to_owned(),
        os: String::new(),
        cpu: CpuInfo { physical_cores: 2, ..CpuInfo::default() },
        addresses: vec![name.to_owned()],
        api_port: None,
    }
}

pub(crate) fn resources() -> NodeResources {
    NodeResources { ram_total: Memory::mib(64_000), ram_available: Memory::mib(32_000) }
}

/// As a worker has them, with times that fit into a simulation.
pub(crate) fn settings() -> Settings {
    let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
    Settings {
        program: "exo-runner".into(),
        threads: 1,
        isa: None,
        prefill_chunk: 32,
        draft_tokens: 0,
        prefix_reuse: true,
        stall_timeout: Duration::from_secs(2),
        start_timeout: Duration::from_secs(5),
        backoff: Backoff { first: Duration::from_millis(100), max: Duration::from_secs(2) },
        links: LinkSettings { listen: localhost, advertise: localhost, ports: (0, 0), deadline_ms: 2_000 },
        confine: false,
        memory_limit: None,
        drain: Duration::from_millis(500),
    }
}

pub(crate) fn placement(min_nodes: u32) -> Command {
    Command::PlaceInstance(PlaceInstance {
        model_id: model(),
        sharding: Sharding::Pipeline,
        min_nodes,
        node_ids: Vec::new(),
        context_length: None,
    })
}

pub(crate) fn chat_request(tokens: u32) -> TextRequest {
    TextRequest {
        model: model(),
        stream: true,
        include_usage: false,
        prompt: Prompt::Chat(vec![ChatMessage::new(Role::User, "count")]),
        sampling: SamplingParams::default(),
        max_tokens: Some(tokens),
        stop: Vec::new(),
        reply: ReplyOptions::default(),
        turn: Turn::default(),
        tier: None,
    }
}
