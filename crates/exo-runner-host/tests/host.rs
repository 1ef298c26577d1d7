//! Real children. A test that needs a child which speaks the protocol runs itself again, as that child.

use exo_identity::{Identity, Members};
use exo_runner_host::{
    ExitReport, HostMessage, Limits, Runner, RunnerEvent, RunnerEvents, RunnerHost, RunnerMessage, RunnerProgram,
    RunnerSide, SendError, SpawnError,
};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use tokio::time::timeout;

const CHILD: &str = "as-child";
const DEADLINE: Duration = Duration::from_secs(20);

fn is_child() -> bool {
    std::env::args().any(|arg| arg == CHILD)
}

fn sh(script: &str) -> RunnerProgram {
    program("/bin/sh", &["-c", script])
}

/// This program again, running one test only, as a child.
fn myself(test: &str) -> RunnerProgram {
    let exe = std::env::current_exe().expect("a running program has a file");
    program(exe.to_str().expect("paths of test programs are text"), &["--exact", test, CHILD, "--nocapture"])
}

fn program(program: &str, args: &[&str]) -> RunnerProgram {
    let args = args.iter().map(Into::into).collect();
    let limits = Limits::default();
    RunnerProgram { program: PathBuf::from(program), args, name: "test".to_owned(), limits, confinement: None }
}

async fn start(what: RunnerProgram) -> (RunnerHost, Runner, RunnerEvents) {
    let host = RunnerHost::new().expect("a thread can be started");
    let (runner, events) = host.spawn(what).await.expect("the program is there");
    (host, runner, events)
}

async fn next(events: &mut RunnerEvents) -> RunnerEvent {
    timeout(DEADLINE, events.next())
        .await
        .expect("an event within the deadline")
        .expect("the child has not been forgotten")
}

async fn exit(events: &mut RunnerEvents) -> ExitReport {
    loop {
        if let RunnerEvent::Exited(report) = next(events).await {
            assert!(events.next().await.is_none(), "nothing follows the end");
            return report;
        }
    }
}

fn state_of(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.trim_start().chars().next()
}

async fn until_gone(pid: u32) {
    let gone = async {
        while state_of(pid).is_some_and(|state| state != 'Z') {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, gone).await.expect("the process ends");
}

#[tokio::test]
async fn an_end_is_reported_with_its_code_and_last_words() {
    let (_host, _runner, mut events) = start(sh("echo one; echo two >&2; exit 3")).await;
    let mut report = exit(&mut events).await;
    report.last_words.sort();
    assert_eq!(
        report,
        ExitReport { code: Some(3), signal: None, fault: None, last_words: vec!["one".into(), "two".into()] }
    );
}

#[tokio::test]
async fn a_kill_is_reported_with_its_signal() {
    let (_host, runner, mut events) = start(sh("sleep 600")).await;
    runner.kill();
    assert_eq!(exit(&mut events).await.signal, Some(9));
    assert_eq!(runner.send(HostMessage::Shutdown), Err(SendError::Ended));
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let host = RunnerHost::new().expect("a thread can be started");
    let error = host.spawn(program("/nowhere/exo-runner", &[])).await.expect_err("there is no such file");
    assert!(matches!(error, SpawnError::Program { .. }));
    assert!(error.to_string().contains("/nowhere/exo-runner") && error.to_string().contains("runner.program"));
}

#[tokio::test]
async fn a_dropped_runner_is_killed_with_all_that_it_started_and_reaped() {
    let (host, runner, mut events) = start(sh("sleep 600 & echo $!; wait")).await;
    let leader = runner.pid();
    let group = std::fs::read_to_string(format!("/proc/{leader}/stat")).expect("it runs");
    assert!(group.contains(&format!(" {leader} ")), "the leader of its own group: {group}");
    drop(runner);
    let report = exit(&mut events).await;
    host.drained().await;
    assert_eq!(state_of(leader), None, "reaped");
    if let Some(child) = report.last_words.first().and_then(|line| line.parse().ok()) {
        until_gone(child).await;
    }
}

#[tokio::test]
async fn a_child_sees_nothing_of_the_environment_but_the_list() {
    let (_host, _runner, mut events) = start(sh("env")).await;
    let report = exit(&mut events).await;
    let leaked: Vec<_> =
        report.last_words.iter().filter(|line| line.starts_with("CARGO") || line.starts_with("HOME")).collect();
    assert!(leaked.is_empty(), "{leaked:?}");
}

#[tokio::test]
async fn limits_hold_in_the_child() {
    let script = "ulimit -n; ulimit -c; cat /proc/self/oom_score_adj; grep NoNewPrivs /proc/self/status";
    let (_host, _runner, mut events) = start(sh(script)).await;
    let words = exit(&mut events).await.last_words;
    assert_eq!(words[1], "0", "no core files");
    assert!(words[0].parse::<u64>().is_ok_and(|files| files <= 1024), "{words:?}");
    assert_eq!(words[2], "500", "ended before its worker when memory runs out");
    assert_eq!(words[3], "NoNewPrivs:\t1");
}

#[tokio::test]
async fn bytes_that_are_no_message_end_the_child_and_say_why() {
    let (_host, _runner, mut events) = start(sh("printf 'hello world' >&0; sleep 600")).await;
    let fault = exit(&mut events).await.fault.expect("a fault");
    assert!(fault.contains("version 111"), "{fault}");
}

#[tokio::test]
async fn a_child_that_does_not_read_holds_nobody_up() {
    let (_host, runner, _events) = start(sh("sleep 600")).await;
    let long = exo_types::RequestId::new("x".repeat(190)).expect("a good id");
    let full = async {
        while runner.send(HostMessage::Cancel { request_id: long.clone() }).is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, full).await.expect("the bound is reached");
    assert_eq!(runner.send(HostMessage::Shutdown), Err(SendError::Full));
}

#[tokio::test]
async fn messages_go_both_ways() {
    if is_child() {
        let mut side = RunnerSide::from_stdin().expect("the host left a socket");
        while let Ok(Some(message)) = side.reader.read() {
            let done = matches!(message, HostMessage::Shutdown);
            let echo = RunnerMessage::Failed { retry: done, message: message.name().to_owned() };
            side.writer.write(&echo).expect("the host listens");
        }
        return;
    }
    let (_host, runner, mut events) = start(myself("messages_go_both_ways")).await;
    let request_id = exo_types::RequestId::new("r").expect("a good id");
    runner.send(HostMessage::Cancel { request_id }).expect("it reads");
    runner.send(HostMessage::Shutdown).expect("it reads");
    for (retry, message) in [(false, "cancel"), (true, "shutdown")] {
        let expect = RunnerMessage::Failed { retry, message: message.to_owned() };
        assert_eq!(next(&mut events).await, RunnerEvent::Message(expect));
    }
}

#[tokio::test]
async fn a_child_is_told_its_node_first_and_again_before_what_is_ordered_after_a_change() {
    const NAME: &str = "a_child_is_told_its_node_first_and_again_before_what_is_ordered_after_a_change";
    if is_child() {
        let mut side = RunnerSide::from_stdin().expect("the host left a socket");
        while let Ok(Some(message)) = side.reader.read() {
            let heard = match &message {
                HostMessage::Identity(told) => {
                    let identity = Identity::of_runner(told).expect("it can be used");
                    assert!(!identity.has_authority(), "the authority's key stays with the worker");
                    format!("node {}, {} revoked", identity.node_id(), identity.members().revoked.len())
                }
                other => other.name().to_owned(),
            };
            side.writer.write(&RunnerMessage::Failed { retry: false, message: heard }).expect("the host listens");
        }
        return;
    }
    let node = |name: &str| exo_types::NodeId::new(name).expect("a good id");
    let identity = Identity::found(node("a"), "test", SystemTime::now()).expect("founds");
    let outcast = Identity::found(node("b"), "test", SystemTime::now()).expect("founds");
    let host = RunnerHost::new().expect("a thread can be started").with_identity(identity.clone());
    let (runner, mut events) = host.spawn(myself(NAME)).await.expect("the program is there");
    let heard =
        |message: &str| RunnerEvent::Message(RunnerMessage::Failed { retry: false, message: message.to_owned() });
    assert_eq!(next(&mut events).await, heard("node a, 0 revoked"));
    let revoked = [(outcast.key_fingerprint(), node("b"))].into();
    identity.set_members(Members { revoked, ..Members::default() });
    runner.send(HostMessage::Shutdown).expect("it reads");
    assert_eq!(next(&mut events).await, heard("node a, 1 revoked"));
    assert_eq!(next(&mut events).await, heard("shutdown"));
}

#[tokio::test]
async fn a_child_dies_with_the_process_of_its_host() {
    const NAME: &str = "a_child_dies_with_the_process_of_its_host";
    if is_child() {
        let mut side = RunnerSide::from_stdin().expect("the host left a socket");
        let (_host, runner, _events) = start(sh("trap '' TERM HUP PIPE; sleep 600")).await;
        side.writer
            .write(&RunnerMessage::Progress { steps: u64::from(runner.pid()), busy: false })
            .expect("the host listens");
        // Until it is killed.
        let _ = side.reader.read();
        return;
    }
    let (_host, middle, mut events) = start(myself(NAME)).await;
    let RunnerEvent::Message(RunnerMessage::Progress { steps: pid, .. }) = next(&mut events).await else {
        panic!("the middle process tells the number of its child first")
    };
    // By its own number only: the group would take the grandchild along.
    let killed = std::process::Command::new("/bin/sh").args(["-c", &format!("kill -9 {}", middle.pid())]).status();
    assert!(killed.expect("kill runs").success());
    assert_eq!(exit(&mut events).await.signal, Some(9));
    until_gone(u32::try_from(pid).expect("a process number")).await;
}
