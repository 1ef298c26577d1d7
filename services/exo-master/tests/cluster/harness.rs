//! Masters, workers and an api over the memory bus.

use exo_bus::{Bus, MemoryNetwork, PresenceChange, topics};
use exo_master::{MasterError, MasterOptions, MemoryHome, run_over};
use exo_node::{CommandError, Identity, Node, NodeHandle, Role, View};
use exo_types::{
    Command, CommandReply, CpuInfo, DownloadProgress, Event, InstanceId, Memory, ModelCard, ModelId, NodeDownload,
    NodeId, NodeInfo, NodeResources, PlaceInstance, RunnerStatus, Sharding,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(120);
pub const SECOND: Duration = Duration::from_secs(1);

pub fn node_id(name: &str) -> NodeId {
    NodeId::new(name).expect("a good id")
}

pub fn model() -> ModelId {
    ModelId::new("m").expect("a good id")
}

pub fn card() -> ModelCard {
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

/// What a worker tells when it comes.
pub fn arrival(name: &str) -> [Event; 3] {
    let info = NodeInfo {
        friendly_name: name.to_owned(),
        version: "0".to_owned(),
        os: String::new(),
        cpu: CpuInfo { physical_cores: 2, ..CpuInfo::default() },
        addresses: vec!["127.0.0.1".to_owned()],
        api_port: None,
    };
    let resources = NodeResources { ram_total: Memory::mib(4000), ram_available: Memory::mib(2000) };
    let progress = DownloadProgress::DownloadCompleted { total: Memory::mib(900) };
    let download = NodeDownload { node_id: node_id(name), model_card: card(), progress };
    [
        Event::NodeGatheredInfo { node_id: node_id(name), info },
        Event::NodeResourcesChanged { node_id: node_id(name), resources },
        Event::NodeDownloadProgress { download },
    ]
}

pub fn place(min_nodes: u32) -> Command {
    Command::PlaceInstance(PlaceInstance {
        model_id: model(),
        sharding: Sharding::Pipeline,
        min_nodes,
        node_ids: Vec::new(),
        context_length: None,
    })
}

/// On that node and no other.
pub fn place_on(name: &str) -> Command {
    let Command::PlaceInstance(request) = place(1) else { unreachable!("it places") };
    Command::PlaceInstance(PlaceInstance { node_ids: vec![node_id(name)], ..request })
}

pub fn delete(instance_id: InstanceId) -> Command {
    Command::DeleteInstance { instance_id }
}

pub fn instance_of(reply: &CommandReply) -> InstanceId {
    match reply {
        CommandReply::Accepted { instance_id: Some(instance_id), .. } => instance_id.clone(),
        other => panic!("{other:?}"),
    }
}

pub struct Master {
    pub bus: Bus,
    stop: CancellationToken,
    task: JoinHandle<Result<(), MasterError>>,
    home: MemoryHome,
}

/// Starts a master on `name` with those logs.
pub async fn master(network: &MemoryNetwork, name: &str, home: &MemoryHome, options: MasterOptions) -> Master {
    let bus = network.join(node_id(name)).await.expect("joins");
    let stop = CancellationToken::new();
    let running = run_over(bus.clone(), options, Arc::new(home.clone()), None, stop.clone());
    #[expect(clippy::disallowed_methods, reason = "the test owns the task through its handle")]
    let task = tokio::spawn(running);
    Master { bus, stop, task, home: home.clone() }
}

impl Master {
    /// Ends it as `kill -9` would.
    pub async fn kill(self, network: &MemoryNetwork) {
        network.kill(self.bus.process());
        self.task.abort();
        let _aborted = self.task.await;
        if let Some(disk) = self.home.disk() {
            disk.power_cut();
        }
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("no panic").expect("ends well");
    }

    /// Waits until it ends of itself.
    pub async fn ended(self) -> Result<(), MasterError> {
        tokio::time::timeout(PATIENCE, self.task).await.expect("it ends").expect("no panic")
    }
}

pub struct Member {
    pub bus: Bus,
    pub node: NodeHandle,
}

pub async fn member(network: &MemoryNetwork, name: &str, role: Role) -> Member {
    let bus = network.join(node_id(name)).await.expect("joins");
    let node = Node::join(&bus, Identity { node_id: node_id(name), role }).await.expect("joins");
    Member { bus, node }
}

/// A worker that has told what it is.
pub async fn worker(network: &MemoryNetwork, name: &str) -> Member {
    let member = member(network, name, Role::Worker).await;
    member.node.announce().await.expect("announces");
    for event in arrival(name) {
        member.node.facts().report(event);
    }
    member
}

impl Member {
    /// Tells that the runner of an instance on this node is ready.
    pub fn tell_ready(&self, view: &View, instance_id: &InstanceId) {
        let (runner, _) = view.state.instances[instance_id].runner_on(self.node.node_id()).expect("placed here");
        let runner_status = RunnerStatus::RunnerReady { incarnation: 1 };
        self.node.facts().report(Event::RunnerStatusUpdated { runner_id: runner.clone(), runner_status });
    }

    pub async fn until(&self, what: &str, holds: impl FnMut(&View) -> bool) -> View {
        let mut view = self.node.view();
        let seen = tokio::time::timeout(PATIENCE, view.wait_for(holds)).await;
        let Ok(seen) = seen else { panic!("{what}: {:?}", self.node.view().borrow().state) };
        seen.expect("the node follows").clone()
    }

    pub async fn send(&self, command: Command) -> Result<CommandReply, CommandError> {
        self.node.commands().send(command, Duration::from_secs(60)).await
    }
}

pub fn is_accepted(reply: &CommandReply) -> bool {
    matches!(reply, CommandReply::Accepted { .. })
}

/// Masters on those nodes, in one session, all of them voting.
pub async fn masters(network: &MemoryNetwork, names: &[&str], options: &MasterOptions) -> Vec<(Master, MemoryHome)> {
    let mut masters = Vec::new();
    for (seed, name) in (1..).zip(names) {
        let home = MemoryHome::new(seed);
        masters.push((master(network, name, &home, options.clone()).await, home));
        until_voters(network, masters.len()).await;
    }
    masters
}

/// Waits until somebody leads with so many voters, and says who.
pub async fn until_voters(network: &MemoryNetwork, count: usize) -> NodeId {
    let bus = network.join(node_id("watcher")).await.expect("joins");
    let mut watch = bus.watch(topics::MASTER).await.expect("watches");
    let seen = tokio::time::timeout(PATIENCE, async {
        loop {
            if let PresenceChange::Joined { node, payload, .. } = watch.recv().await.expect("the bus is open")
                && payload.leading
                && payload.voters.len() == count
            {
                return node;
            }
        }
    });
    seen.await.unwrap_or_else(|_| panic!("nobody leads with {count} voters"))
}
