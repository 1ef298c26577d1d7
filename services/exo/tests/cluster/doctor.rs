//! `exo doctor` and `exo hardware`, as programs and units call them.

use crate::client::Client;
use crate::node::{Net, Node, models};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::process::Output;

fn run(node: &Node, arguments: &[&str]) -> Output {
    let configuration = node.configuration().to_str().expect("test folders are UTF-8");
    node.command("exo").args(arguments).args(["--config", configuration]).output().expect("the program starts")
}

fn json(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Messages of the errors; warnings depend on the machine that runs the tests.
fn errors(findings: &Value) -> Vec<&str> {
    let findings = findings.as_array().expect("a list");
    let errors = findings.iter().filter(|finding| finding["severity"] == "error");
    errors.filter_map(|finding| finding["message"].as_str()).collect()
}

#[test]
fn the_doctor_finds_nothing_that_keeps_a_good_node_from_working() {
    let node = Net::new().node("one", true, &models(), "");
    let output = run(&node, &["doctor", "--json"]);
    assert_eq!(errors(&json(&output)), [""; 0]);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_taken_port_is_an_error_with_its_remedy_and_exit_code_2() {
    let node = Net::new().node("one", true, &models(), "");
    let taken = TcpListener::bind(("127.0.0.1", node.api_port)).expect("the port was free");
    let output = run(&node, &["doctor", "--json"]);
    let findings = json(&output);
    let [message] = errors(&findings)[..] else { panic!("{findings:#}") };
    assert!(message.contains(&node.api_port.to_string()) && message.contains("api.port"), "{message}");
    assert_eq!(output.status.code(), Some(2));

    let output = run(&node, &["doctor", "--unit", "api"]);
    let line = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(line.starts_with("error: port ") && line.lines().count() == 1, "{line}");
    assert_eq!(output.status.code(), Some(2));
    // The master has another port, and the api's comes back by itself.
    assert_eq!(run(&node, &["doctor", "--unit", "master"]).status.code(), Some(0));
    drop(taken);
    assert_eq!(run(&node, &["doctor", "--unit", "api"]).status.code(), Some(0));
}

#[tokio::test]
async fn ports_that_exo_itself_holds_are_no_finding() {
    let node = Net::new().node("one", true, &models(), "");
    let _running = node.start("exo", &["up"]);
    Client::new(node.api_port).wait_until_ready().await;
    assert_eq!(errors(&json(&run(&node, &["doctor", "--json"]))), [""; 0]);
}

#[test]
fn a_wrong_configuration_is_an_error_and_left_to_the_service_by_its_unit() {
    let node = Net::new().node("one", true, &models(), "[election]\nseniorty = 3");
    let output = run(&node, &["doctor", "--json"]);
    let findings = json(&output);
    assert!(errors(&findings)[0].contains("seniority"), "{findings:#}");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(run(&node, &["doctor", "--unit", "api"]).status.code(), Some(0));
}

#[test]
fn hardware_is_told_to_programs_and_to_people() {
    let node = Net::new().node("one", true, &models(), "");
    let output = run(&node, &["hardware", "--json"]);
    let hardware = json(&output);
    assert!(hardware["memory"]["total"]["inBytes"].as_u64().is_some_and(|bytes| bytes > 0), "{hardware:#}");
    assert!(hardware["accelerators"].as_array().is_some_and(|list| list.iter().any(|one| one == "cpu")));
    let page = run(&node, &["hardware"]);
    assert!(String::from_utf8_lossy(&page.stdout).contains("Memory"));

    let file = node.folder().join("hardware.json");
    let path = file.to_str().expect("test folders are UTF-8");
    assert_eq!(run(&node, &["hardware", "--wait", "0", "--write", path]).status.code(), Some(0));
    let written = std::fs::read(&file).expect("it is written");
    let written: Value = serde_json::from_slice(&written).expect("it is JSON");
    assert_eq!(written["cpu"]["model"], hardware["cpu"]["model"]);
}

#[tokio::test]
async fn memory_that_is_left_to_others_is_given_to_no_model() {
    let node = Net::new().node("one", true, &models(), "");
    let _running = node.start("exo", &["up", "--set", "runner.memoryReserve=16 TiB"]);
    let client = Client::new(node.api_port);
    client.wait_until_ready().await;
    client.wait_for_model("exo-guide", 1).await;
    let wish = json!({"model_id": "exo-guide"});
    let (status, answer) = client.post("/place_instance", &wish).await.expect("the api answers");
    let reason = answer.to_string();
    assert!(status >= 400 && reason.contains("exo-guide needs") && reason.contains("has 0 B"), "{status} {reason}");
}

#[test]
fn a_model_that_can_never_be_served_is_an_error_before_anything_starts() {
    let node = Net::new().node("one", true, &models(), "");
    for (settings, expect) in [
        (["models.place=exo-guide", "runner.memoryReserve=0 B"], None),
        (["models.place=exo-guide", "runner.memoryLimit=1 MiB"], Some("(runner.memoryLimit)")),
        (
            ["models.place=exo-guide", "runner.memoryReserve=16 TiB"],
            Some("runner.memoryReserve 16.0 TiB leaves nothing"),
        ),
        (["models.place=attic", "runner.memoryReserve=0 B"], Some("model attic (models.place) is not on this machine")),
    ] {
        let [place, memory] = settings;
        let output = run(&node, &["doctor", "--json", "--set", place, "--set", memory]);
        let findings = json(&output);
        let told = errors(&findings);
        assert_eq!(told.len(), usize::from(expect.is_some()), "{settings:?}: {findings:#}");
        assert!(told.iter().all(|message| expect.is_some_and(|part| message.contains(part))), "{told:?}");
        assert_eq!(output.status.code(), Some(if expect.is_some() { 2 } else { 0 }));
    }
}
