//! Small things to fold, for the tests of this crate.

use exo_types::{
    Accelerator, Connection, CpuInfo, DownloadProgress, Event, EventIndex, IndexedEvent, Instance, InstanceId, Memory,
    ModelCard, ModelId, NodeDownload, NodeHardware, NodeId, NodeInfo, NodeLink, NodeResources, RunnerId, SessionId,
    Shard, ShardAssignments, Sharding, Task, TaskId, TaskStatus, TensorShare,
};

pub(crate) fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a good id")
}

pub(crate) fn runner(name: &str) -> RunnerId {
    RunnerId::new(name).expect("a good id")
}

pub(crate) fn session() -> SessionId {
    SessionId { generation: 1, master_node_id: node("m") }
}

pub(crate) fn card(model: &str) -> ModelCard {
    ModelCard {
        model_id: ModelId::new(model).expect("a good id"),
        name: model.to_owned(),
        architecture: "llama".to_owned(),
        quantization: "Q8_0".to_owned(),
        n_layers: 6,
        hidden_size: 64,
        heads: 4,
        kv_heads: 2,
        context_length: 512,
        kv_bytes_per_token: 64,
        kv_format: exo_types::KvFormat::F16,
        layer_size: Memory::bytes(1000),
        storage_size: Memory::bytes(8000),
    }
}

/// An instance over up to six nodes; its runners are called `<name>-<rank>`.
pub(crate) fn instance(name: &str, nodes: &[&str]) -> Instance {
    let model_card = card("model");
    let world_size = nodes.len() as u32;
    let mut assignments = ShardAssignments {
        model_card,
        runner_to_shard: std::collections::BTreeMap::new(),
        node_to_runner: std::collections::BTreeMap::new(),
    };
    for (device_rank, name_of_node) in (0u32..).zip(nodes) {
        let id = runner(&format!("{name}-{device_rank}"));
        let end_layer = if device_rank + 1 == world_size { 6 } else { device_rank + 1 };
        let shard = Shard {
            device_rank,
            world_size,
            start_layer: device_rank,
            end_layer,
            n_layers: 6,
            tensor: TensorShare::WHOLE,
        };
        assignments.runner_to_shard.insert(id.clone(), shard);
        assignments.node_to_runner.insert(node(name_of_node), id);
    }
    Instance {
        instance_id: InstanceId::new(name).expect("a good id"),
        sharding: Sharding::Pipeline,
        shard_assignments: assignments,
        context_length: 512,
        max_sequences: 1,
        intent: None,
    }
}

pub(crate) fn created(name: &str, nodes: &[&str]) -> Event {
    Event::InstanceCreated { instance: instance(name, nodes) }
}

pub(crate) fn appears(name: &str) -> Event {
    let info = NodeInfo {
        friendly_name: name.to_owned(),
        version: "0.1.0".to_owned(),
        os: String::new(),
        cpu: CpuInfo::default(),
        addresses: vec![format!("10.0.0.{}", name.len())],
        api_port: None,
    };
    Event::NodeGatheredInfo { node_id: node(name), info }
}

pub(crate) fn resources(name: &str, free: u64) -> Event {
    let resources = NodeResources { ram_total: Memory::mib(64), ram_available: Memory::mib(free) };
    Event::NodeResourcesChanged { node_id: node(name), resources }
}

pub(crate) fn hardware(name: &str) -> Event {
    let card = Accelerator { name: "card".to_owned(), memory_total: Memory::mib(80), ..Accelerator::default() };
    let link = NodeLink { name: "eth0".to_owned(), speed_mbit: Some(25_000), ..NodeLink::default() };
    let hardware = NodeHardware { memory_bandwidth: Some(50_000_000_000), accelerators: vec![card], links: vec![link] };
    Event::NodeHardwareChanged { node_id: node(name), hardware }
}

pub(crate) fn download(name: &str, model: &str) -> Event {
    let progress = DownloadProgress::DownloadCompleted { total: Memory::bytes(8000) };
    Event::NodeDownloadProgress { download: NodeDownload { node_id: node(name), model_card: card(model), progress } }
}

pub(crate) fn way(source: &str, sink: &str) -> Connection {
    Connection { source: node(source), sink: node(sink), sink_address: "10.0.0.9".to_owned() }
}

pub(crate) fn task(name: &str, instance: &str, task_status: TaskStatus) -> Event {
    Event::TaskCreated {
        task: Task {
            task_id: TaskId::new(name).expect("a good id"),
            instance_id: InstanceId::new(instance).expect("a good id"),
            task_status,
            error_message: None,
        },
    }
}

/// Numbers events from 1.
pub(crate) fn indexed(events: impl IntoIterator<Item = Event>) -> Vec<IndexedEvent> {
    let number = |(idx, event)| IndexedEvent { idx: EventIndex(idx), origin: None, event };
    (1..).zip(events).map(number).collect()
}
