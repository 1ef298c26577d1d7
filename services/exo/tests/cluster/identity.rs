//! Who is let in, who is thrown out, and what they are told.

use crate::client::{Client, Line};
use crate::faults::{folder, slow_model};
use crate::node::{DEADLINE, Net, Node, Process, models};
use exo_identity::{AdmissionReply, AdmissionRequest, Approved, Identity, IdentityStore, JoinToken, VALIDITY};
use serde_json::Value;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn exo(node: &Node, arguments: &[&str]) -> Output {
    node.command("exo").args(arguments).arg("--config").arg(node.configuration()).output().expect("exo starts")
}

fn refused(output: &Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn nodes(node: &Node) -> Vec<Value> {
    let listed: Value = serde_json::from_str(&node.run(&["cluster", "nodes", "--json"])).expect("JSON");
    listed["nodes"].as_array().expect("a list").clone()
}

/// Looks again and again until it is so.
async fn until(what: &str, look: impl Fn() -> bool) {
    let begin = Instant::now();
    while !look() {
        assert!(begin.elapsed() < DEADLINE, "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_token_lets_one_node_in_and_no_other_and_a_forged_one_nobody() {
    let net = Net::new();
    let first = net.node("first", true, &models(), "");
    let _first = first.start("exo", &["up"]);
    Client::new(first.api_port).wait_until_ready().await;
    let token = first.run(&["cluster", "token"]);
    let token = token.trim();
    let (second, third) = (net.node("second", false, &models(), ""), net.node("third", false, &models(), ""));
    let (rest, last) = token.split_at(token.len() - 1);
    let damaged = format!("{rest}{}", if last == "A" { "B" } else { "A" });
    assert!(refused(&exo(&second, &["cluster", "join", &damaged])).contains("damaged"));
    second.run(&["cluster", "join", token]);
    let message = refused(&exo(&third, &["cluster", "join", token]));
    assert!(message.contains("used") && message.contains("exo cluster token"), "{message}");
    let known: JoinToken = token.parse().expect("a token");
    let forged = JoinToken::generate(known.cluster(), known.addresses().to_vec()).expect("randomness");
    let message = refused(&exo(&third, &["cluster", "join", &forged.reveal()]));
    assert!(message.contains("does not know"), "{message}");
    let here = nodes(&first);
    assert_eq!(here.len(), 2, "{here:?}");
}

#[tokio::test]
async fn a_revoked_node_is_out_at_once_and_stays_out() {
    let net = Net::new();
    let first = net.node("first", true, &models(), "");
    let second = net.node("second", false, &models(), "mode = \"worker\"");
    let _first = first.start("exo", &["up"]);
    let client = Client::new(first.api_port);
    client.wait_until_ready().await;
    second.join(&first);
    let _second = second.start("exo", &["up"]);
    let count = |state: &Value| state["nodeIdentities"].as_object().map_or(0, serde_json::Map::len);
    client.wait_for("/state", "both nodes", |_, state| count(state) == 2).await;
    first.run(&["cluster", "revoke", "second"]);
    client.wait_for("/state", "the revoked node to be gone", |_, state| count(state) == 1).await;
    let states: Vec<_> = nodes(&first).iter().map(|node| node["state"].as_str().unwrap_or("").to_owned()).collect();
    assert_eq!(states, ["here", "revoked"]);
    let again = refused(&exo(&second, &["cluster", "token"]));
    assert!(again.contains("no master answers"), "{again}");
    let running = refused(&exo(&second, &["cluster", "join", "exo1-"]));
    assert!(running.contains("damaged"), "{running}");
}

#[tokio::test]
async fn a_node_that_sees_a_cluster_and_has_no_token_says_what_to_run_where() {
    let net = Net::new();
    let multicast = ["up", "--set", "networking.multicast=true"];
    let (first, second) = (net.node("first", true, &models(), ""), net.node("second", false, &models(), ""));
    let _first = first.start("exo", &multicast);
    Client::new(first.api_port).wait_until_ready().await;
    let stranger = second.start("exo", &multicast);
    until("the word of the stranger", || {
        let log = stranger.log();
        log.contains("exo cluster token") && log.contains("exo cluster join")
    })
    .await;
}

#[tokio::test]
async fn a_service_comes_in_with_a_token_file_and_a_bad_one_is_told() {
    let net = Net::new();
    let first = net.node("first", true, &models(), "");
    let _first = first.start("exo", &["up"]);
    let client = Client::new(first.api_port);
    client.wait_until_ready().await;
    let second = net.node("second", false, &models(), "mode = \"worker\"");
    let file = second.folder().join("join-token");
    let setting = format!("security.joinTokenFile={}", file.display());
    std::fs::write(&file, "no token").expect("writes");
    let bad = exo(&second, &["up", "--set", &setting]);
    assert_eq!(bad.status.code(), Some(64), "{}", refused(&bad));
    std::fs::write(&file, first.run(&["cluster", "token"])).expect("writes");
    let mut second_process = second.start("exo", &["up", "--set", &setting]);
    let count = |state: &Value| state["nodeIdentities"].as_object().map_or(0, serde_json::Map::len);
    client.wait_for("/state", "both nodes", |_, state| count(state) == 2).await;
    // Once it is in, the file may go.
    second_process.stop();
    std::fs::remove_file(&file).expect("removes");
    let _again = second.start("exo", &["up", "--set", &setting]);
    client.wait_for("/state", "the node to be back", |_, state| count(state) == 2).await;
}

fn identity_of(node: &Node) -> (Identity, IdentityStore) {
    let store = IdentityStore::new(node.folder().join("data"));
    let parts = store.load().expect("readable").expect("it has one");
    (Identity::from_parts(&parts).expect("good"), store)
}

/// Has a node's certificate signed anew as it would have been so long ago.
fn age(node: &Node, master: &Node, by: Duration) {
    let ((identity, store), (authority, _)) = (identity_of(node), identity_of(master));
    let request = AdmissionRequest::renewal(&identity, &identity.namespace(), false).expect("signs");
    let approved = Approved::check(&authority, &request.encode().expect("short"), SystemTime::now(), |_| None);
    let reply = approved.expect("a member").grant(&authority, SystemTime::now() - by).expect("signs");
    assert!(matches!(reply, AdmissionReply::Admitted(_)), "it is not refused");
    identity.renew(&store, reply).expect("saved");
}

/// When the certificate ends that a node shows on a link that is made now.
fn shown_end(asked: &Node, of: &Node) -> Option<SystemTime> {
    let id = identity_of(of).0.node_id();
    let member = nodes(asked).into_iter().find(|member| member["nodeId"] == id.as_str())?;
    member["certificateEnds"].as_u64().map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds))
}

/// A node that serves, its process, a worker that was let in and does not run yet, and a client of the first.
async fn node_and_worker(net: &Net, models: &Path) -> (Node, Process, Node, Client) {
    let first = net.node("first", true, models, "");
    let second = net.node("second", false, models, "mode = \"worker\"");
    let process = first.start("exo", &["up"]);
    let client = Client::new(first.api_port);
    client.wait_until_ready().await;
    second.join(&first);
    (first, process, second, client)
}

#[tokio::test]
async fn a_certificate_is_renewed_under_a_running_stream_and_later_links_show_the_new_one() {
    let net = Net::new();
    let model = slow_model();
    let models = folder(&model);
    let (first, _process, second, client) = node_and_worker(&net, &models).await;
    age(&second, &first, 25 * DAY);
    let process = second.start("exo", &["up"]);
    client.place("model", 2).await;
    let soon = SystemTime::now() + 6 * DAY;
    until("the old certificate on a link", || shown_end(&first, &second).is_some_and(|end| end < soon)).await;
    let mut answer = client.stream("model", 400).await;
    assert!(matches!(answer.next().await, Line::Text(_)));
    process.signal("HUP");
    let late = SystemTime::now() + 20 * DAY;
    until("the new certificate on the disk", || identity_of(&second).0.not_after() > late).await;
    // Both ranks went on without a break: a link that was cut would have ended the answer with an error.
    let lines = answer.rest().await;
    assert_eq!(lines.last(), Some(&Line::Finish("length".to_owned())));
    assert!(lines.len() > 300, "{} pieces", lines.len());
    until("the new certificate on a link", || shown_end(&first, &second).is_some_and(|end| end > late)).await;
    assert!(client.ask("model", "hello", 5).await.is_ok());
    assert_eq!(process.children().len(), 1, "no runner was replaced");
}

#[tokio::test]
async fn a_certificate_that_is_about_to_end_is_renewed_by_time_alone_and_no_request_is_dropped() {
    let net = Net::new();
    let model = slow_model();
    let models = folder(&model);
    let (first, _process, second, client) = node_and_worker(&net, &models).await;
    // Enough for a busy machine to start; a third of it passes before the first look.
    age(&second, &first, VALIDITY - Duration::from_secs(24));
    let ends = identity_of(&second).0.not_after();
    let process = second.start("exo", &["up"]);
    client.place("model", 2).await;
    // Every link that is there was made with the certificate that ends while these are answered.
    let mut asked = 0;
    while SystemTime::now() <= ends || identity_of(&second).0.not_after() == ends {
        let answer = client.ask("model", "hello", 40).await;
        assert!(answer.is_ok(), "request {asked}: {answer:?}");
        asked += 1;
        assert!(SystemTime::now() < ends + DEADLINE / 2, "it is not renewed");
    }
    println!("{asked} answers until the first certificate had ended");
    until("the new certificate on a link", || shown_end(&first, &second).is_some_and(|end| end > ends)).await;
    assert!(client.ask("model", "hello", 5).await.is_ok());
    assert_eq!(process.children().len(), 1, "no runner was replaced");
}

#[tokio::test]
async fn an_expired_certificate_is_told_in_one_line_and_renewed_by_the_first_start_that_finds_a_master() {
    let net = Net::new();
    let first = net.node("first", true, &models(), "");
    let second = net.node("second", false, &models(), "mode = \"worker\"");
    let mut master = first.start("exo", &["up"]);
    Client::new(first.api_port).wait_until_ready().await;
    second.join(&first);
    age(&second, &first, 40 * DAY);
    master.stop();
    let told = refused(&exo(&second, &["up"]));
    let lines: Vec<&str> = told.lines().filter(|line| line.contains("certificate")).collect();
    let [line] = lines[..] else { panic!("{told}") };
    for part in ["not valid at this machine's time", "no master renewed it", "start a master", "clock"] {
        assert!(line.contains(part), "{part:?} is missing: {line}");
    }
    let _first = first.start("exo", &["up"]);
    Client::new(first.api_port).wait_until_ready().await;
    let _second = second.start("exo", &["up"]);
    let late = SystemTime::now() + 20 * DAY;
    until("the new certificate on the disk", || identity_of(&second).0.not_after() > late).await;
    until("the new certificate on a link", || shown_end(&first, &second).is_some_and(|end| end > late)).await;
}

#[tokio::test]
async fn a_leader_that_is_revoked_leads_nobody_any_more() {
    let net = Net::new();
    let nodes = [("first", true), ("second", false), ("third", false)]
        .map(|(name, first)| net.node(name, first, &models(), ""));
    let mut processes = Vec::new();
    for node in &nodes {
        if !processes.is_empty() {
            node.join(&nodes[0]);
        }
        processes.push(node.start("exo", &["up"]));
        Client::new(node.api_port).wait_until_ready().await;
    }
    let voters = |status: &Value| status["voters"].as_array().map_or(0, Vec::len);
    let [first, second, _] = &nodes;
    Client::new(first.api_port).wait_for("/cluster", "three masters that vote", |_, status| voters(status) == 3).await;
    second.run(&["cluster", "revoke", "first"]);
    let left = |state: &Value| state["topology"]["nodes"].as_array().map_or(0, Vec::len);
    Client::new(second.api_port).wait_for("/state", "the node to be gone", |_, state| left(state) == 2).await;
    let out = Client::new(first.api_port);
    out.wait_for("/readyz", "it to be without a leader", |_, ready| ready["leader"].is_null()).await;
}
