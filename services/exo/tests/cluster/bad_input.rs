//! Started wrongly: the answer names the thing and the remedy, and nothing half-made stays.

use crate::node::{Net, Node, free_port, models};
use std::process::Output;

fn run(node: &Node, program: &str, arguments: &[&str]) -> Output {
    node.command(program).args(arguments).output().expect("the program starts")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn config(node: &Node) -> &str {
    node.configuration().to_str().expect("test folders are UTF-8")
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_known_one() {
    let node = Net::new().node("one", true, &models(), "[election]\nseniorty = 3");
    for program in ["exo-master", "exo-worker", "exo-api"] {
        let output = run(&node, program, &["--config", config(&node), "--check-config"]);
        assert_eq!(output.status.code(), Some(64), "{}", text(&output));
        assert!(text(&output).contains("seniorty") && text(&output).contains("seniority"), "{}", text(&output));
    }
}

#[test]
fn an_open_api_without_a_key_does_not_start() {
    let node = Net::new().node("one", true, &models(), "");
    let output = node
        .command("exo-api")
        .args(["--config", config(&node), "--check-config"])
        .env("EXO_API_BIND", "0.0.0.0")
        .output();
    let output = output.expect("the program starts");
    assert_eq!(output.status.code(), Some(64), "{}", text(&output));
    assert!(text(&output).contains("keyFile"), "{}", text(&output));
}

#[tokio::test]
async fn a_second_start_in_the_same_directory_is_refused() {
    let node = Net::new().node("one", true, &models(), "");
    let _first = node.start("exo", &["up"]);
    crate::client::Client::new(node.api_port).wait_until_ready().await;
    let output = run(&node, "exo", &["up", "--config", config(&node)]);
    assert!(!output.status.success());
    assert!(text(&output).contains("data"), "the directory is named: {}", text(&output));
}

#[test]
fn a_port_in_use_is_named_with_its_key() {
    let node = Net::new().node("one", true, &models(), "");
    let _taken = std::net::TcpListener::bind(("127.0.0.1", node.api_port)).expect("the port was free");
    let output = run(&node, "exo", &["up", "--config", config(&node)]);
    assert!(!output.status.success());
    let text = text(&output);
    assert!(text.contains(&node.api_port.to_string()) && text.contains("api.port"), "{text}");
}

#[test]
fn a_data_directory_that_cannot_be_is_named() {
    let node = Net::new().node("one", true, &models(), "");
    let file = node.folder().join("file");
    std::fs::write(&file, "in the way").expect("the file is written");
    let directory = file.join("data");
    let output = node
        .command("exo-master")
        .args(["--config", config(&node)])
        .env("EXO_DATA_DIR", &directory)
        .env("EXO_API_PORT", free_port().to_string())
        .output()
        .expect("the program starts");
    assert!(!output.status.success());
    assert!(text(&output).contains("data"), "{}", text(&output));
}
