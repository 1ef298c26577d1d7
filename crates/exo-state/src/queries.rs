//! Questions that several readers of the State ask.

use crate::State;
use exo_types::{
    Instance, InstanceId, Intent, IntentId, Memory, ModelCard, ModelId, NodeId, RunnerId, RunnerStatus, Task,
    TaskStatus,
};

/// Where a node is reached, and by which authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeAddress<'a> {
    /// Somebody measured that it answers there.
    Measured(&'a str),
    /// The node says that it has it.
    Told(&'a str),
}

impl<'a> NodeAddress<'a> {
    /// The address alone.
    pub fn as_str(self) -> &'a str {
        match self {
            Self::Measured(address) | Self::Told(address) => address,
        }
    }
}

impl State {
    /// Instances of a model, in the order of their ids.
    pub fn instances_of<'a>(&'a self, model: &'a ModelId) -> impl Iterator<Item = &'a Instance> {
        self.instances.values().filter(move |instance| instance.model_card().model_id == *model)
    }

    /// Instances of a model that take requests now.
    pub fn ready_instances<'a>(&'a self, model: &'a ModelId) -> impl Iterator<Item = &'a Instance> {
        self.instances_of(model).filter(|instance| self.is_ready(instance))
    }

    /// Whether every runner of the instance is ready.
    pub fn is_ready(&self, instance: &Instance) -> bool {
        let mut runners = instance.shard_assignments.runner_to_shard.keys();
        runners.all(|runner| self.runners.get(runner).is_some_and(RunnerStatus::is_ready))
    }

    /// The instance that a runner belongs to.
    pub fn instance_of_runner(&self, runner: &RunnerId) -> Option<&Instance> {
        self.instances.values().find(|instance| instance.shard_assignments.runner_to_shard.contains_key(runner))
    }

    /// The instance that grants an intent.
    pub fn instance_of_intent(&self, intent: &IntentId) -> Option<&Instance> {
        self.instances.values().find(|instance| instance.intent.as_ref() == Some(intent))
    }

    /// What is asked for and has no instance.
    pub fn open_intents(&self) -> impl Iterator<Item = &Intent> {
        self.intents.values().filter(|intent| self.instance_of_intent(&intent.id).is_none())
    }

    /// Whether models may be placed on the node.
    pub fn is_usable(&self, node: &NodeId) -> bool {
        self.topology.nodes.contains(node) && !self.drained_nodes.contains(node)
    }

    /// Nodes that an instance needs and that are gone.
    pub fn lost_nodes<'a>(&'a self, instance: &'a Instance) -> impl Iterator<Item = &'a NodeId> {
        let nodes = instance.shard_assignments.node_to_runner.keys();
        nodes.filter(|node| !self.topology.nodes.contains(*node))
    }

    /// Open tasks of an instance.
    pub fn open_tasks<'a>(&'a self, instance: &'a InstanceId) -> impl Iterator<Item = &'a Task> {
        self.tasks.values().filter(move |task| task.instance_id == *instance && !task.task_status.is_final())
    }

    /// How far the bringing up of an instance is, as its runners tell: complete when all are ready, running when one
    /// was heard of.
    pub fn progress_of(&self, instance: &Instance) -> TaskStatus {
        let mut runners = instance.shard_assignments.runner_to_shard.keys();
        if self.is_ready(instance) {
            TaskStatus::Complete
        } else if runners.any(|runner| self.runners.contains_key(runner)) {
            TaskStatus::Running
        } else {
            TaskStatus::Pending
        }
    }

    /// Where `from` reaches `to`: an address that was measured first, else the best that `to` tells of itself.
    pub fn node_address<'a>(&'a self, from: &NodeId, to: &NodeId) -> Option<NodeAddress<'a>> {
        let measured = self.topology.addresses(from, to).next().map(NodeAddress::Measured);
        let info = self.node_identities.get(to);
        measured.or_else(|| info?.addresses.first().map(|address| NodeAddress::Told(address)))
    }

    /// Cards of all models that some node has whole, one for each id: the one of the first node that has it.
    pub fn model_cards(&self) -> std::collections::BTreeMap<&ModelId, &ModelCard> {
        let complete = self.downloads.values().flatten().filter(|download| download.is_complete());
        let mut cards = std::collections::BTreeMap::new();
        for download in complete {
            cards.entry(&download.model_card.model_id).or_insert(&download.model_card);
        }
        cards
    }

    /// Whether the node can load the model now.
    pub fn has_model(&self, node: &NodeId, model: &ModelId) -> bool {
        let mut downloads = self.downloads.get(node).into_iter().flatten();
        downloads.any(|download| download.model_card.model_id == *model && download.is_complete())
    }

    /// Main memory that a node said can be had.
    pub fn free_memory(&self, node: &NodeId) -> Memory {
        self.node_memory.get(node).map_or(Memory::default(), |resources| resources.ram_available)
    }
}
