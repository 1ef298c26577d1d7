//! What an operator types, against real processes.

use crate::client::Client;
use crate::node::{DEADLINE, Net, Node, models};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

pub const MODEL: &str = "exo-guide";

/// `exo` with the node's own api and directories.
pub fn command(node: &Node, arguments: &[&str]) -> Command {
    let mut command = node.command("exo");
    command.args(arguments).env("EXO_API_URL", format!("http://127.0.0.1:{}", node.api_port));
    command.env("EXO_CONFIG", node.configuration());
    command
}

fn exo(node: &Node, arguments: &[&str]) -> Output {
    command(node, arguments).output().expect("the program starts")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What it printed; it must have gone well.
pub fn good(node: &Node, arguments: &[&str]) -> String {
    let output = exo(node, arguments);
    assert!(output.status.success(), "exo {arguments:?}: {}", text(&output));
    text(&output)
}

/// What it said; it must have refused.
pub fn refused(node: &Node, arguments: &[&str]) -> String {
    let output = exo(node, arguments);
    assert!(!output.status.success(), "exo {arguments:?}: {}", text(&output));
    text(&output)
}

pub fn json(node: &Node) -> Value {
    serde_json::from_str(&good(node, &["status", "--json"])).expect("JSON")
}

pub fn has_all(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
}

/// A command that goes on until this is dropped, and what it prints.
struct Lines {
    child: Child,
    lines: Box<dyn Iterator<Item = String>>,
}

impl Lines {
    fn of(node: &Node, arguments: &[&str]) -> Self {
        let mut child = command(node, arguments).stdout(Stdio::piped()).spawn().expect("the program starts");
        let output = child.stdout.take().expect("piped");
        Self { child, lines: Box::new(BufReader::new(output).lines().map_while(Result::ok)) }
    }

    /// Every line up to the first that satisfies `is_it`.
    fn until(&mut self, is_it: impl Fn(&str) -> bool) -> Vec<String> {
        let (begin, mut seen) = (Instant::now(), Vec::new());
        for line in self.lines.by_ref().take_while(|_| begin.elapsed() < DEADLINE) {
            seen.push(line);
            if seen.last().is_some_and(|line| is_it(line)) {
                return seen;
            }
        }
        panic!("it ended without the line: {seen:?}")
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first line of a command that goes on, which satisfies `is_it`; the command is ended then.
fn first_line(node: &Node, arguments: &[&str], is_it: impl Fn(&str) -> bool) -> String {
    Lines::of(node, arguments).until(is_it).pop().expect("there is one")
}

#[tokio::test]
async fn status_says_who_leads_what_is_placed_and_what_is_out_of_use() {
    let node = Net::new().node("atlas", true, &models(), "");
    let _running = node.start("exo", &["up"]);
    let client = Client::new(node.api_port);
    client.wait_until_ready().await;
    client.place(MODEL, 1).await;
    let status = good(&node, &["status"]);
    has_all(&status, &["Session: 1", "Leader: atlas", "1 of 1 voters are there, 0 may fail", "leader", MODEL, "ready"]);
    let whole = json(&node);
    assert_eq!(whole["cluster"]["leader"], whole["session"]["masterNodeId"], "{whole}");
    assert_eq!(whole["cluster"]["masters"][0]["role"], "leader", "{whole}");
    let again = first_line(&node, &["status", "--watch", "1"], |line| line.starts_with("Leader:"));
    assert!(again.contains("atlas"), "{again}");

    let index = whole["lastEventAppliedIdx"].as_u64().expect("an index").to_string();
    has_all(&good(&node, &["log", "tail", "-n", "3"]), &[&index]);
    let exported = good(&node, &["log", "export"]);
    let first: Value = serde_json::from_str(exported.lines().next().expect("a line")).expect("JSON");
    assert_eq!(first["idx"], 1, "{first}");

    good(&node, &["node", "drain", "atlas"]);
    client.wait_for("/state", "the node to be out of use", |_, state| state["drainedNodes"][0].is_string()).await;
    has_all(&good(&node, &["status"]), &["drained"]);
    let since = json(&node)["lastEventAppliedIdx"].as_u64().expect("an index").to_string();
    let follow = ["log", "tail", "--follow", "--since", &since];
    good(&node, &["node", "undrain", "atlas"]);
    first_line(&node, &follow, |line| line.contains("NodeDrained") && line.contains("false"));
    has_all(&refused(&node, &["node", "drain", "nobody"]), &["nobody", "exo status"]);
    has_all(&refused(&node, &["node", "rm", "atlas"]), &["the master of node", "stop exo on it first"]);
}

#[tokio::test]
async fn who_follows_the_log_goes_on_when_the_api_starts_anew() {
    let node = Net::new().node("atlas", true, &models(), "");
    let (_master, _worker) = (node.start("exo-master", &[]), node.start("exo-worker", &[]));
    let mut api = node.start("exo-api", &[]);
    let client = Client::new(node.api_port);
    client.wait_until_ready().await;
    let index = |line: &String| serde_json::from_str::<Value>(line).expect("JSON")["idx"].as_u64().expect("an index");
    let since = json(&node)["lastEventAppliedIdx"].as_u64().expect("an index");
    let mut following = Lines::of(&node, &["log", "tail", "--follow", "--json", "--since", &since.to_string()]);
    good(&node, &["node", "drain", "atlas"]);
    let mut seen = following.until(|line| line.contains("NodeDrained") && line.contains("true"));

    api.kill();
    let _api = node.start("exo-api", &[]);
    client.wait_until_ready().await;
    good(&node, &["node", "undrain", "atlas"]);
    seen.extend(following.until(|line| line.contains("NodeDrained") && line.contains("false")));
    let indices: Vec<u64> = seen.iter().map(index).collect();
    let expect: Vec<u64> = (since..).take(indices.len()).collect();
    assert_eq!(indices, expect, "every event once");
}

#[tokio::test]
async fn a_backup_brings_the_cluster_back_in_a_new_session() {
    let node = Net::new().node("atlas", true, &models(), "");
    let mut running = node.start("exo", &["up"]);
    let client = Client::new(node.api_port);
    client.wait_until_ready().await;
    client.place(MODEL, 1).await;
    let live = node.folder().join("live.backup");
    let live = live.to_str().expect("test folders are UTF-8");
    has_all(&good(&node, &["log", "backup", live]), &[live, "session 1@"]);
    has_all(&refused(&node, &["log", "verify"]), &["already runs", "stop it"]);
    assert!(running.stop().success(), "{}", running.log());

    has_all(&good(&node, &["log", "verify"]), &["good", "session 1@"]);
    has_all(&good(&node, &["log", "verify", "--backup", live]), &["good", "session 1@"]);
    has_all(&good(&node, &["log", "tail", "-n", "1000", "--offline"]), &["SessionOpened", "InstanceCreated"]);
    let offline = node.folder().join("offline.backup");
    let offline = offline.to_str().expect("test folders are UTF-8");
    good(&node, &["log", "backup", offline, "--offline"]);
    has_all(&refused(&node, &["log", "backup", offline, "--offline"]), &[offline]);
    has_all(&refused(&node, &["log", "restore", live]), &["--replace"]);
    has_all(&good(&node, &["log", "restore", live, "--replace"]), &["session 2@"]);

    let _running = node.start("exo", &["up"]);
    client.wait_until_ready().await;
    client.wait_until_placed(MODEL).await;
    let whole = json(&node);
    assert_eq!(whole["session"]["generation"], 2, "{whole}");
    assert!(client.ask(MODEL, "What is exo?", 20).await.is_ok());
}

#[tokio::test]
async fn recovering_says_what_is_lost_and_asks_first() {
    let node = Net::new().node("atlas", true, &models(), "");
    has_all(&refused(&node, &["cluster", "recover"]), &["there is no log", "--data-dir"]);
    let mut running = node.start("exo", &["up"]);
    let client = Client::new(node.api_port);
    client.wait_until_ready().await;
    client.place(MODEL, 1).await;
    assert!(running.stop().success(), "{}", running.log());
    let said = refused(&node, &["cluster", "recover"]);
    has_all(&said, &["session 1@", "would be 2@", "nothing was changed", "--yes"]);
    has_all(&good(&node, &["log", "verify"]), &["session 1@"]);
    has_all(&good(&node, &["cluster", "recover", "--yes"]), &["Session 2@", "start exo here"]);
    let _running = node.start("exo", &["up"]);
    client.wait_until_ready().await;
    client.wait_until_placed(MODEL).await;
    assert_eq!(json(&node)["session"]["generation"], 2);
}

#[tokio::test]
async fn apply_places_what_is_missing_once_and_prunes_when_told() {
    let node = Net::new().node("atlas", true, &models(), "");
    let file = node.folder().join("instances.toml");
    let file = file.to_str().expect("a path of ASCII letters");
    let want = |text: &str| std::fs::write(file, text).expect("the file is written");
    let placed = || json(&node)["instances"].as_object().expect("a map").len();
    let _running = node.start("exo", &["up"]);
    Client::new(node.api_port).wait_until_ready().await;

    want("[instances.guide]\nmodel = \"exo-guide\"\n");
    has_all(&good(&node, &["apply", file, "--check"]), &["asks for 1 instances"]);
    has_all(&good(&node, &["apply", file, "--dry-run"]), &["guide would be placed: exo-guide"]);
    assert_eq!(placed(), 0);
    has_all(&good(&node, &["apply", file, "--wait", "--if-leader"]), &["guide is placed"]);
    has_all(&good(&node, &["apply", file]), &["guide is there"]);
    assert_eq!(placed(), 1);

    // One that cannot be placed does not keep another from being placed.
    want("[instances.big]\nmodel = \"no-such-model\"\n[instances.guide]\nmodel = \"exo-guide\"\ncontextLength = 512\n");
    has_all(
        &refused(&node, &["apply", file]),
        &["guide is placed", "1 of what", "big: no node has a model no-such-model"],
    );
    assert_eq!(placed(), 2);
    want("[instances.guide]\nmodel = \"exo-guide\"\ncontextLength = 512\n");
    has_all(&good(&node, &["apply", file, "--prune", "--dry-run"]), &["would be taken away"]);
    has_all(&good(&node, &["apply", file, "--prune"]), &["guide is there", "is taken away"]);
    assert_eq!(placed(), 1);

    want("[instances.guide]\nmodle = \"exo-guide\"\n");
    has_all(&refused(&node, &["apply", file, "--check"]), &["instances.toml", "modle"]);
    want("[instances.guide]\nmodel = \"exo-guide\"\nnodes = [\"boron\"]\n");
    has_all(&refused(&node, &["apply", file]), &["there is no node boron"]);
}
