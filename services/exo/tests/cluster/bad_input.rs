//! Started wrongly: the answer names the thing and the remedy, and nothing half-made stays.

use crate::node::{Net, Node, models};
use crate::operator::has_all;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output};

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
    has_all(&text(&output), &["already runs in", &node.folder().join("data").display().to_string(), "stop it"]);
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

/// What a master says that is given this data directory, and that it ends as one with a wrong configuration.
fn refusal_of(node: &Node, mut command: Command, directory: &Path) -> String {
    let output = command.args(["--config", config(node)]).env("EXO_DATA_DIR", directory).output();
    let output = output.expect("the program starts");
    assert!(!output.status.success(), "{}", text(&output));
    let said = text(&output);
    has_all(&said, &[&format!("data directory {}", directory.display()), "set dataDir (EXO_DATA_DIR, --data-dir)"]);
    said
}

#[test]
fn a_data_directory_that_cannot_be_is_named() {
    let node = Net::new().node("one", true, &models(), "");
    let file = node.folder().join("file");
    std::fs::write(&file, "in the way").expect("the file is written");
    has_all(&refusal_of(&node, node.command("exo-master"), &file), &["is not a directory; remove the file"]);
    has_all(&refusal_of(&node, node.command("exo-master"), &file.join("data")), &["cannot be made: Not a directory"]);
    assert_eq!(std::fs::read_to_string(&file).expect("it is still there"), "in the way");
}

#[test]
fn a_data_directory_without_permission_is_named_with_the_remedy() {
    let node = Net::new().node("one", true, &models(), "");
    let directory = node.folder().join("sealed");
    std::fs::create_dir(&directory).expect("a folder");
    std::fs::set_permissions(&directory, Permissions::from_mode(0o500)).expect("it is ours");
    let said = refusal_of(&node, without_privilege(&node, "exo-master"), &directory);
    has_all(&said, &["cannot be written to: Permission denied", "give it to the user that runs exo"]);
    assert_eq!(directory.read_dir().expect("it is ours").count(), 0, "nothing half-made stays");
}

/// A program to which permissions apply, also when this is run by root.
fn without_privilege(node: &Node, program: &str) -> Command {
    let command = node.command(program);
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !is_root {
        return command;
    }
    let mut dropping = Command::new("setpriv");
    dropping.args(["--inh-caps=-all", "--bounding-set=-dac_override,-dac_read_search"]).arg(command.get_program());
    for (name, _) in command.get_envs().filter(|(_, value)| value.is_none()) {
        dropping.env_remove(name);
    }
    dropping
}
