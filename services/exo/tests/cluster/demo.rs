//! The first minute.

use crate::node::{free_port, models, programs};
use std::process::Command;

#[test]
fn the_demo_answers_both_questions_and_leaves_no_process() {
    let mut command = Command::new(programs().join("exo"));
    let port = free_port().to_string();
    command.args(["demo", "--once", "--api-port", &port, "--models"]).arg(models());
    let output = command.output().expect("exo starts; run `./x test`");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("tokens/s"), "{text}");
    // Everything that the demo starts has its API's port among its arguments or in its environment.
    let left = Command::new("pgrep").args(["--full", &format!("exo.*{port}")]).output().expect("pgrep");
    assert!(left.stdout.is_empty(), "still running: {}", String::from_utf8_lossy(&left.stdout));
}
