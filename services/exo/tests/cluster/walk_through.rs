//! What README tells to type on three machines, typed: the lines are read from there, so that they stay true.

use crate::client::Client;
use crate::node::{DEADLINE, Net, Node, Process, models};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

/// The lines of README's console: which machine, and what is typed there.
fn script() -> Vec<(String, String)> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let text = std::fs::read_to_string(readme).expect("the README lies at the root");
    let block = text.split("```console\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a console");
    let line = |line: &str| {
        let (machine, rest) = line.split_once('$').expect("machine$ command");
        let command = rest.split("  #").next().unwrap_or_default().trim();
        (machine.trim().to_owned(), command.to_owned())
    };
    block.lines().map(line).collect()
}

/// Splits at spaces, but not between quotes.
fn words(command: &str) -> Vec<String> {
    let quoted = command.split('"').enumerate();
    let parts = quoted.flat_map(|(number, part)| match number % 2 {
        0 => part.split_whitespace().map(str::to_owned).collect::<Vec<_>>(),
        _ => vec![part.to_owned()],
    });
    parts.collect()
}

struct Machine {
    node: Node,
    process: Option<Process>,
}

impl Machine {
    async fn up(&mut self) {
        self.process = Some(self.node.start("exo", &["up"]));
        Client::new(self.node.api_port).wait_until_ready().await;
    }

    /// Runs a command to its end, as often as it takes while the machines have not noticed each other yet.
    fn run(&self, arguments: &[String]) -> String {
        let begin = Instant::now();
        loop {
            let mut command = self.node.command("exo");
            command.args(arguments).env("EXO_CONFIG", self.node.configuration());
            command.env("EXO_API_URL", format!("http://127.0.0.1:{}", self.node.api_port));
            let output = command.output().expect("exo starts");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            if output.status.success() {
                return text;
            }
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(begin.elapsed() < DEADLINE, "exo {arguments:?}: {text}{errors}");
        }
    }
}

#[tokio::test]
async fn the_readmes_three_machines_survive_one_and_throw_one_out() {
    let net = Net::new();
    let mut machines: BTreeMap<String, Machine> = BTreeMap::new();
    let mut token = String::new();
    let mut said = String::new();
    for (name, command) in script() {
        let is_first = machines.is_empty();
        let machine = machines.entry(name.clone()).or_insert_with(|| {
            let node = net.node(&name, is_first, &models(), "");
            Machine { node, process: None }
        });
        let words: Vec<String> = words(&command).into_iter().map(|word| word.replace("exo1-...", &token)).collect();
        match (words[0].as_str(), words.get(1).map(String::as_str)) {
            ("kill", _) => machine.process.take().expect("it runs").kill(),
            ("exo", Some("up")) => machine.up().await,
            ("exo", _) => said = machine.run(&words[1..]),
            _ => panic!("README tells to type {command:?}, which nobody here knows"),
        }
        if words.iter().any(|word| word == "token") {
            token = said.trim().to_owned();
            assert!(token.starts_with("exo1-"), "{token}");
        }
        if words.iter().any(|word| word == "chat") {
            assert!(said.contains("exo"), "{said}");
        }
    }
    assert_eq!(machines.len(), 3);
    // Whoever was thrown out is alone: it sees no leader, and the others do not see it.
    let seen_from = |name: &str| Client::new(machines[name].node.api_port);
    let left = |state: &serde_json::Value| state["topology"]["nodes"].as_array().map_or(0, Vec::len);
    seen_from("boron").wait_for("/state", "the node that was thrown out to be gone", |_, state| left(state) == 2).await;
    seen_from("cobalt").wait_for("/readyz", "it to be without a leader", |_, ready| ready["leader"].is_null()).await;
}

#[test]
fn what_is_typed_is_split_as_a_shell_does() {
    assert_eq!(words("exo chat exo-guide \"What is exo?\""), ["exo", "chat", "exo-guide", "What is exo?"]);
    assert_eq!(words("kill -9 $(pidof exo)"), ["kill", "-9", "$(pidof", "exo)"]);
}
