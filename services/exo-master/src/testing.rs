//! Small clusters to decide about, for the tests of this crate.

use crate::decide::{Circumstances, Decision, decide};
use exo_placement::Defaults;
use exo_state::{State, apply, check_invariants};
use exo_types::{
    Command, CommandId, DownloadProgress, Event, IndexedEvent, InstanceId, Memory, Millis, ModelCard, ModelId,
    NodeDownload, NodeId, NodeInfo, NodeResources, PlaceInstance, RunnerId, RunnerStatus, SessionId, Sharding,
};

pub(crate) const CIRCUMSTANCES: Circumstances = Circumstances {
    defaults: Defaults { context_length: 4096, max_sequences: 8 },
    now: Millis(1000),
    masters: std::collections::BTreeSet::new(),
    running_masters: std::collections::BTreeSet::new(),
};

pub(crate) fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a good id")
}

/// 8 layers of 100 MiB, 100 MiB of embedding and head, hardly any cache.
pub(crate) fn card() -> ModelCard {
    ModelCard {
        model_id: ModelId::new("m").expect("a good id"),
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

/// What a worker tells when it comes: itself, its memory in MiB, and that it has model "m".
pub(crate) fn arrival(name: &str, free: u64) -> [Event; 3] {
    let info: NodeInfo = NodeInfo {
        friendly_name: name.to_owned(),
        version: "0".to_owned(),
        os: String::new(),
        cpu: exo_types::CpuInfo { physical_cores: 2, ..Default::default() },
        addresses: vec!["127.0.0.1".to_owned()],
        api_port: None,
    };
    let resources = NodeResources { ram_total: Memory::mib(8000), ram_available: Memory::mib(free) };
    let progress = DownloadProgress::DownloadCompleted { total: Memory::mib(900) };
    let download = NodeDownload { node_id: node(name), model_card: card(), progress };
    [
        Event::NodeGatheredInfo { node_id: node(name), info },
        Event::NodeResourcesChanged { node_id: node(name), resources },
        Event::NodeDownloadProgress { download },
    ]
}

pub(crate) fn cluster(nodes: &[(&str, u64)]) -> State {
    let session = SessionId { generation: 1, master_node_id: node("a") };
    let opened = Event::SessionOpened { session, when: Millis(0) };
    let arrivals = nodes.iter().flat_map(|(name, free)| arrival(name, *free));
    fold(State::default(), std::iter::once(opened).chain(arrivals))
}

pub(crate) fn fold(mut state: State, events: impl IntoIterator<Item = Event>) -> State {
    for event in events {
        let idx = state.last_event_applied_idx.next();
        apply(&mut state, &IndexedEvent { idx, origin: None, event });
    }
    check_invariants(&state).expect("invariants hold");
    state
}

pub(crate) fn lend(state: State, name: &str, free: Memory) -> State {
    let resources = NodeResources { ram_total: Memory::mib(8000), ram_available: free };
    fold(state, [Event::NodeResourcesChanged { node_id: node(name), resources }])
}

pub(crate) fn place(model: &str, min_nodes: u32) -> Command {
    Command::PlaceInstance(PlaceInstance {
        model_id: ModelId::new(model).expect("a good id"),
        sharding: Sharding::Pipeline,
        min_nodes,
        node_ids: Vec::new(),
        context_length: None,
    })
}

pub(crate) fn delete(instance: &str) -> Command {
    Command::DeleteInstance { instance_id: InstanceId::new(instance).expect("a good id") }
}

pub(crate) fn decide_ok(state: &State, id: &str, command: &Command) -> Decision {
    let id = CommandId::new(id).expect("a good id");
    decide(state, &id, command, &CIRCUMSTANCES).expect("accepted")
}

pub(crate) fn told(runner: &str, runner_status: RunnerStatus) -> Event {
    Event::RunnerStatusUpdated { runner_id: RunnerId::new(runner).expect("a good id"), runner_status }
}
