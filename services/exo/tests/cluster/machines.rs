//! Machines are emptied, leave for good, are lost, and are forgotten.

use crate::client::Client;
use crate::node::{Net, Node, Process, models};
use crate::operator::{MODEL, command, good, has_all, json, refused};
use serde_json::Value;

/// A machine with all of exo in one process.
struct Machine {
    process: Process,
    client: Client,
    /// Last: its folder has the log that the process shows when a test fails.
    node: Node,
}

impl Machine {
    async fn up(node: Node) -> Self {
        let process = node.start("exo", &["up"]);
        let client = Client::new(node.api_port);
        client.wait_until_ready().await;
        Self { process, client, node }
    }

    async fn again(&mut self) {
        self.process = self.node.start("exo", &["up"]);
        self.client.wait_until_ready().await;
    }

    /// Another one in this one's cluster.
    async fn joined_by(&self, net: &Net, name: &str) -> Self {
        let node = net.node(name, false, &models(), "");
        node.join(&self.node);
        Self::up(node).await
    }

    async fn wait_for_voters(&self, count: usize) {
        let has_all = |_, cluster: &Value| cluster["voters"].as_array().is_some_and(|voters| voters.len() == count);
        self.client.wait_for("/cluster", &format!("{count} voters"), has_all).await;
    }

    /// Until it can be forgotten: neither a worker or api of that node is there, nor its master.
    async fn wait_until_off(&self, id: &str) {
        let is_off = |_, state: &Value| {
            state["topology"]["nodes"].is_array() && !state["topology"]["nodes"].to_string().contains(id)
        };
        self.client.wait_for("/state", "the machine that is off to be gone", is_off).await;
        let is_off = |_, cluster: &Value| !cluster["masters"].to_string().contains(id);
        self.client.wait_for("/cluster", "its master to be gone", is_off).await;
    }

    /// Its own name for the cluster.
    fn id(&self) -> String {
        let id = std::fs::read_to_string(self.node.folder().join("data/node-id")).expect("it has run");
        id.trim().to_owned()
    }
}

async fn machines<const COUNT: usize>(net: &Net, names: [&str; COUNT]) -> [Machine; COUNT] {
    let first = Machine::up(net.node(names[0], true, &models(), "")).await;
    let mut all = vec![first];
    for name in &names[1..] {
        let next = all[0].joined_by(net, name).await;
        all.push(next);
    }
    for machine in &all {
        machine.wait_for_voters(COUNT).await;
    }
    all.try_into().unwrap_or_else(|_| panic!("{COUNT} machines"))
}

/// The nodes that a model runs on.
fn places(state: &Value) -> Vec<String> {
    let instances = state["instances"].as_object().into_iter().flatten();
    let nodes = instances.filter_map(|(_, instance)| instance["shardAssignments"]["nodeToRunner"].as_object());
    nodes.flat_map(|nodes| nodes.keys().cloned()).collect()
}

#[tokio::test]
async fn a_machine_that_is_drained_is_empty_when_the_command_ends() {
    let net = Net::new();
    let atlas = Machine::up(net.node("atlas", true, &models(), "")).await;
    atlas.client.place(MODEL, 1).await;
    let drain = ["node", "drain", "atlas", "--wait"];
    let mut draining = Process::start(command(&atlas.node, &drain), atlas.node.folder().join("drain.log"));
    let is_drained = |_, state: &Value| state["drainedNodes"][0].is_string();
    atlas.client.wait_for("/state", "the node to be out of use", is_drained).await;

    // What runs there fits nowhere else yet.
    let boron = net.node("boron", false, &models(), "");
    boron.join(&atlas.node);
    assert!(draining.wait_a_moment().is_none(), "it has to wait: {}", draining.log());
    assert_eq!(places(&json(&atlas.node)), [atlas.id()], "and goes on serving");
    let boron = Machine::up(boron).await;
    assert!(draining.wait().success(), "{}", draining.log());
    has_all(&draining.log(), &["atlas is drained and empty"]);
    assert_eq!(places(&json(&atlas.node)), [boron.id()]);
    atlas.client.wait_until_placed(MODEL).await;
    assert!(atlas.client.ask(MODEL, "What is exo?", 20).await.is_ok());
    has_all(&good(&atlas.node, &drain), &["atlas is drained and empty"]);
}

#[tokio::test]
async fn a_machine_that_leaves_votes_no_more_and_is_forgotten_once_it_is_off() {
    let [atlas, boron, mut cobalt] = machines(&Net::new(), ["atlas", "boron", "cobalt"]).await;
    let id = cobalt.id();
    has_all(&good(&cobalt.node, &["node", "leave"]), &["cobalt has given its vote away", &format!("exo node rm {id}")]);
    for machine in [&atlas, &boron] {
        machine.wait_for_voters(2).await;
    }
    let cluster = atlas.client.get("/cluster").await.expect("the api answers").1;
    assert!(!cluster["voters"].to_string().contains(&id), "{cluster}");
    has_all(&refused(&atlas.node, &["node", "rm", "cobalt"]), &[&id, "stop exo on it first"]);

    assert!(cobalt.process.stop().success(), "{}", cobalt.process.log());
    atlas.wait_until_off(&id).await;
    has_all(&good(&atlas.node, &["node", "rm", &id]), &["is forgotten"]);
    let known = good(&boron.node, &["cluster", "nodes"]);
    assert!(!known.contains("cobalt") && known.contains("atlas"), "{known}");
    has_all(&refused(&atlas.node, &["node", "rm", &id]), &["there is no node", &id]);
    boron.client.place(MODEL, 1).await;
    assert!(atlas.client.ask(MODEL, "What is exo?", 20).await.is_ok());
}

#[tokio::test]
async fn a_master_goes_on_alone_when_the_two_others_are_lost_and_others_come_in_again() {
    let net = Net::new();
    let [mut atlas, mut boron, mut cobalt] = machines(&net, ["atlas", "boron", "cobalt"]).await;
    atlas.client.place(MODEL, 1).await;
    boron.process.kill();
    cobalt.process.kill();
    atlas.client.wait_for("/readyz", "it to be without a leader", |_, ready| ready["leader"].is_null()).await;
    has_all(&refused(&atlas.node, &["cluster", "recover", "--yes"]), &["already runs", "stop it"]);

    assert!(atlas.process.stop().success(), "{}", atlas.process.log());
    let said = refused(&atlas.node, &["cluster", "recover"]);
    has_all(&said, &["session 1@", "Its other voters", &boron.id(), &cobalt.id(), "nothing was changed", "--yes"]);
    has_all(&good(&atlas.node, &["cluster", "recover", "--yes"]), &["Session 2@", "start exo here"]);
    atlas.again().await;
    atlas.wait_for_voters(1).await;
    atlas.client.wait_until_placed(MODEL).await;
    assert_eq!(json(&atlas.node)["session"]["generation"], 2);
    assert!(atlas.client.ask(MODEL, "What is exo?", 20).await.is_ok());

    // One comes new, and one that was given up has its disk after all.
    let dion = atlas.joined_by(&net, "dion").await;
    dion.wait_for_voters(2).await;
    cobalt.again().await;
    for machine in [&atlas, &dion, &cobalt] {
        machine.wait_for_voters(3).await;
        let is_new = |_, state: &Value| state["session"]["generation"] == 2;
        machine.client.wait_for("/state", "the new session", is_new).await;
    }
    atlas.wait_until_off(&boron.id()).await;
    has_all(&good(&cobalt.node, &["node", "rm", &boron.id()]), &["is forgotten"]);
    assert!(cobalt.client.ask(MODEL, "What is exo?", 20).await.is_ok());
}
