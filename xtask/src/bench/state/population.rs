//! What the State is about.

use super::NODES;
use anyhow::Result;
use exo_types::{
    Accelerator, Connection, CpuInfo, DownloadProgress, Event, Instance, InstanceId, Intent, IntentId, JoinTokenId,
    JoinTokenRecord, KeyFingerprint, Memory, Millis, ModelCard, ModelId, NodeDownload, NodeHardware, NodeId, NodeInfo,
    NodeLink, PlaceInstance, RunnerId, Shard, ShardAssignments, Sharding, TensorShare,
};
use std::collections::BTreeMap;

/// Join tokens that were used and are still known.
const TOKENS: usize = 64;

pub(super) fn node(number: usize) -> Result<NodeId> {
    Ok(NodeId::new(format!("node-{number:04}-of-the-cluster"))?)
}

pub(super) fn card() -> Result<ModelCard> {
    Ok(ModelCard {
        model_id: ModelId::new("org/a-model-of-usual-size")?,
        name: "A model of usual size".to_owned(),
        architecture: "llama".to_owned(),
        quantization: "Q4_K".to_owned(),
        n_layers: 32,
        hidden_size: 4096,
        heads: 32,
        kv_heads: 8,
        context_length: 8192,
        kv_bytes_per_token: 131_072,
        kv_format: exo_types::KvFormat::F16,
        layer_size: Memory::mib(120),
        storage_size: Memory::mib(4200),
    })
}

/// Nodes that were let in, with all that they tell of themselves, the ways between all of them, a model on each, and for
/// each two an instance that somebody wished for.
pub(super) fn birth() -> Result<Vec<Event>> {
    let mut events = Vec::new();
    for number in 0..NODES {
        let node_id = node(number)?;
        let key_fingerprint = KeyFingerprint::new(format!("{number:064x}"))?;
        events.push(Event::NodeAdmitted { node_id: node_id.clone(), key_fingerprint });
        let info = NodeInfo {
            friendly_name: format!("host-{number}"),
            version: "0.1.0".to_owned(),
            os: "Debian GNU/Linux 12 (bookworm)".to_owned(),
            cpu: CpuInfo {
                model: "A processor".to_owned(),
                physical_cores: 16,
                logical_cores: 32,
                isa: "avx2".to_owned(),
            },
            addresses: vec![address(number)],
            api_port: Some(52415),
        };
        events.push(Event::NodeGatheredInfo { node_id: node_id.clone(), info });
        events.push(Event::NodeHardwareChanged { node_id: node_id.clone(), hardware: hardware(number) });
        let progress = DownloadProgress::DownloadCompleted { total: Memory::mib(4200) };
        let download = NodeDownload { node_id, model_card: card()?, progress };
        events.push(Event::NodeDownloadProgress { download });
    }
    for (source, sink) in (0..NODES).flat_map(|source| (0..NODES).map(move |sink| (source, sink))) {
        if source != sink {
            events.push(Event::TopologyEdgeCreated { connection: way(source, sink)? });
        }
    }
    for pair in 0..NODES / 2 {
        let name = format!("instance-{pair}");
        events.push(Event::IntentRecorded { intent: intent(&name)? });
        events.push(Event::InstanceCreated { instance: instance(&name, pair)? });
    }
    for number in 0..TOKENS {
        let id = JoinTokenId::new(format!("{number:032x}"))?;
        let (public_key, created) = (format!("{number:064x}"), Millis(1));
        let token = JoinTokenRecord { id: id.clone(), public_key, created, expires: None, reusable: false };
        events.push(Event::JoinTokenCreated { token });
        events.push(Event::JoinTokenUsed { id, node_id: node(number)? });
    }
    Ok(events)
}

/// Four cards, and the interfaces of a server.
fn hardware(number: usize) -> NodeHardware {
    let card = Accelerator {
        name: "NVIDIA H100 80GB HBM3".to_owned(),
        runtime: "cuda".to_owned(),
        architecture: Some("9.0".to_owned()),
        memory_total: Memory::mib(81_559),
        memory_free: Memory::mib(80_000),
        shares_memory: false,
        memory_bandwidth: Some(3_350_000_000_000),
        unusable: None,
    };
    let link = |name: &str, kind: &str, rdma: &[&str]| NodeLink {
        name: name.to_owned(),
        kind: kind.to_owned(),
        speed_mbit: Some(100_000),
        addresses: vec![address(number), format!("fd00::{number:x}")],
        rdma: rdma.iter().map(ToString::to_string).collect(),
    };
    NodeHardware {
        memory_bandwidth: Some(200_000_000_000),
        accelerators: vec![card; 4],
        links: vec![link("bond0", "bond", &[]), link("ib0", "infiniband", &["mlx5_0"]), link("eth0", "ethernet", &[])],
    }
}

/// Has the name of the instance that it is granted by.
pub(super) fn intent(name: &str) -> Result<Intent> {
    let place = PlaceInstance {
        model_id: card()?.model_id,
        sharding: Sharding::Pipeline,
        min_nodes: 2,
        node_ids: Vec::new(),
        context_length: Some(8192),
    };
    Ok(Intent { id: IntentId::new(name)?, place, max_sequences: Some(8) })
}

fn address(number: usize) -> String {
    format!("10.0.{}.{}", number / 250, number % 250)
}

pub(super) fn way(source: usize, sink: usize) -> Result<Connection> {
    Ok(Connection { source: node(source)?, sink: node(sink)?, sink_address: address(sink) })
}

pub(super) fn instance(name: &str, pair: usize) -> Result<Instance> {
    let mut shard_assignments =
        ShardAssignments { model_card: card()?, runner_to_shard: BTreeMap::new(), node_to_runner: BTreeMap::new() };
    for rank in 0..2_u32 {
        let id = RunnerId::new(format!("{name}-runner-{rank}"))?;
        let shard = Shard {
            device_rank: rank,
            world_size: 2,
            start_layer: rank * 16,
            end_layer: rank * 16 + 16,
            n_layers: 32,
            tensor: TensorShare::WHOLE,
        };
        shard_assignments.runner_to_shard.insert(id.clone(), shard);
        shard_assignments.node_to_runner.insert(node(pair * 2 + rank as usize)?, id);
    }
    Ok(Instance {
        instance_id: InstanceId::new(name)?,
        sharding: Sharding::Pipeline,
        shard_assignments,
        context_length: 8192,
        max_sequences: 8,
        intent: Some(IntentId::new(name)?),
    })
}
