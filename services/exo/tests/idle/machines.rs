//! A machine of the idle cluster: a real master, and a worker and an api that are as real as they are while nothing runs.

use crate::traffic::Meter;
use exo_bus::{Bus, MemoryNetwork, topics};
use exo_node::{Identity, Node, NodeHandle, Role, View};
use exo_plan::{Action, Backoff, LocalNode, MemoryNews, plan};
use exo_types::{
    Accelerator, AnsweredTokens, Connection, CpuInfo, EventIndex, GenerateRequest, InstanceId, MasterStanding, Memory,
    NodeHardware, NodeId, NodeInfo, NodeLink, NodeResources, Prompt, ReplyOptions, RequestId, RequestStanding,
    SamplingParams, Turn,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::interval;

/// As often as a worker looks at its memory.
const LOOK: Duration = Duration::from_secs(5);
const RAM: Memory = Memory::mib(16 << 10);

pub fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a good id")
}

pub struct Machine {
    /// The api's.
    pub bus: Bus,
    handle: NodeHandle,
    _tasks: JoinSet<()>,
}

/// What else the machine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// Next to nothing: its memory is within one percent of the whole, never the same twice in a row.
    Nothing,
    /// Other programs take half of its memory and give it back, all the time.
    OtherPrograms,
}

impl Machine {
    pub async fn start(network: &MemoryNetwork, meter: &Meter, name: &str, load: Load) -> Self {
        let mut tasks = JoinSet::new();
        let master = network.join(node(name)).await.expect("joins");
        meter.knows(master.process(), name);
        tasks.spawn(crate::master::run(master));
        let (bus, worker) = Self::process(network, name, Role::Worker).await;
        meter.knows(bus.process(), name);
        tasks.spawn(work(worker, load));
        let (bus, handle) = Self::process(network, name, Role::Api).await;
        meter.knows(bus.process(), name);
        Self { bus, handle, _tasks: tasks }
    }

    async fn process(network: &MemoryNetwork, name: &str, role: Role) -> (Bus, NodeHandle) {
        let bus = network.join(node(name)).await.expect("joins");
        let handle = Node::join(&bus, Identity { node_id: node(name), role }).await.expect("joins");
        handle.announce().await.expect("announces");
        (bus, handle)
    }

    pub fn view(&self) -> View {
        self.handle.view().borrow().clone()
    }

    /// The last event, and the last entry of the replicated log.
    pub async fn log_end(&self) -> (EventIndex, u64) {
        let standing = self.leader_standing().await;
        (standing.applied, standing.last_entry)
    }

    /// What the leader says of its log.
    pub async fn leader_standing(&self) -> MasterStanding {
        let leader = self.view().leader.expect("somebody leads");
        let asked = self.bus.request(topics::STANDING, &leader, &RequestStanding {}, Duration::from_secs(5)).await;
        asked.expect("the leader answers")
    }
}

/// What a worker's driver does while it has no runners: it compares, and tells what the State does not know.
async fn work(handle: NodeHandle, load: Load) {
    let own = handle.node_id().clone();
    let mut view = handle.view();
    let mut ticks = interval(LOOK);
    let mut looks: u64 = 0;
    let mut local = local(own.clone());
    let mut memory = MemoryNews::new(tokio::time::Instant::now().into_std());
    loop {
        tokio::select! {
            biased;
            changed = view.changed() => if changed.is_err() { return },
            _ = ticks.tick() => {
                looks += 1;
                let wobble = match load {
                    Load::Nothing => Memory::mib((looks * 7919) % 160),
                    Load::OtherPrograms => Memory::mib((looks % 2) * (8 << 10)),
                };
                let ram_available = RAM.saturating_sub(Memory::mib(4 << 10)).saturating_sub(wobble);
                let reading = NodeResources { ram_available, ..local.resources };
                if memory.takes(tokio::time::Instant::now().into_std(), &local, reading) {
                    local.resources = reading;
                }
            }
        }
        let state = view.borrow_and_update().state.clone();
        let others = state.topology.nodes.iter().filter(|node| **node != own);
        local.connections = others
            .map(|sink| Connection { source: own.clone(), sink: sink.clone(), sink_address: "10.0.0.1".to_owned() })
            .collect();
        let planned = plan(&state, &local, &Backoff::default(), tokio::time::Instant::now().into_std());
        for action in planned.actions {
            if let Action::Report(event) = action {
                handle.facts().report(event);
            }
        }
    }
}

fn local(node_id: NodeId) -> LocalNode {
    let info = NodeInfo {
        friendly_name: node_id.to_string(),
        version: "0.1.0".to_owned(),
        os: "Debian GNU/Linux 12 (bookworm)".to_owned(),
        cpu: CpuInfo { physical_cores: 8, logical_cores: 16, ..CpuInfo::default() },
        addresses: vec!["10.0.0.1".to_owned(), "fd00::1".to_owned()],
        api_port: Some(52415),
    };
    LocalNode {
        node_id,
        info,
        resources: NodeResources { ram_total: RAM, ram_available: RAM.saturating_sub(Memory::mib(4 << 10)) },
        hardware: Some(hardware()),
        downloads: Vec::new(),
        connections: BTreeSet::new(),
        runners: BTreeMap::new(),
    }
}

fn hardware() -> NodeHardware {
    let link = |name: &str, speed| NodeLink {
        name: name.to_owned(),
        kind: "ethernet".to_owned(),
        speed_mbit: Some(speed),
        addresses: vec!["10.0.0.1".to_owned(), "fd00::1".to_owned()],
        rdma: Vec::new(),
    };
    NodeHardware {
        memory_bandwidth: Some(80_000_000_000),
        accelerators: vec![Accelerator { name: "NVIDIA H100 80GB HBM3".to_owned(), ..Accelerator::default() }; 8],
        links: vec![link("eth0", 1_000), link("eth1", 100_000)],
    }
}

pub fn generate_request() -> GenerateRequest {
    GenerateRequest {
        request_id: RequestId::new("r").expect("a good id"),
        instance_id: InstanceId::new("i").expect("a good id"),
        prompt: Prompt::Text("hello".to_owned()),
        sampling: SamplingParams::default(),
        max_tokens: None,
        stop: Vec::new(),
        reply: ReplyOptions::default().into(),
        deadline_ms: 60_000,
        answered: AnsweredTokens::default(),
        asked_at: None,
        turn: Turn::default(),
    }
}
