//! What a confined child can reach: this program runs itself again, confined, and tells what was refused.

use exo_runner_host::{
    Confinement, HostMessage, Limits, NetworkUse, RunnerEvent, RunnerHost, RunnerMessage, RunnerProgram, RunnerSide,
    confinement_here, refuse_programs,
};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tokio::time::timeout;

const CHILD: &str = "as-child";
const DEADLINE: Duration = Duration::from_secs(20);
/// Tests that tell a child where to look hand it over in its arguments.
const FOLDER: &str = "folder=";
const PORT: &str = "port=";

fn argument(prefix: &str) -> Option<String> {
    std::env::args().find_map(|argument| argument.strip_prefix(prefix).map(str::to_owned))
}

/// Not a test but the child of the others: tries everything, and tells what worked.
#[test]
fn a_confined_child() {
    if !std::env::args().any(|argument| argument == CHILD) {
        return;
    }
    let mut side = RunnerSide::from_stdin().expect("the host left a socket");
    refuse_programs();
    let folder = argument(FOLDER).expect("told");
    let (folder, port) = (Path::new(&folder), argument(PORT).and_then(|port| port.parse().ok()).expect("told"));
    let worked: Vec<&str> = [
        ("reads its model", std::fs::read(folder.join("model")).is_ok()),
        ("reads another file", std::fs::read(folder.join("secret")).is_ok()),
        ("lists the folder", std::fs::read_dir(folder).is_ok()),
        ("reads the users", std::fs::read("/etc/passwd").is_ok()),
        ("writes its model", std::fs::OpenOptions::new().write(true).open(folder.join("model")).is_ok()),
        ("writes a new file", std::fs::write(folder.join("new"), "").is_ok()),
        ("removes its model", std::fs::remove_file(folder.join("model")).is_ok()),
        ("connects", TcpStream::connect(("127.0.0.1", port)).is_ok()),
        ("listens on any port", TcpListener::bind("127.0.0.1:0").is_ok()),
        ("sends datagrams", UdpSocket::bind("127.0.0.1:0").is_ok()),
        ("starts a program", Command::new("/bin/true").status().is_ok()),
        ("sees the processors", std::thread::available_parallelism().is_ok()),
        ("starts a thread", std::thread::spawn(|| ()).join().is_ok()),
    ]
    .into_iter()
    .filter_map(|(what, works)| works.then_some(what))
    .collect();
    let message = RunnerMessage::Failed { retry: false, message: worked.join(", ") };
    side.writer.write(&message).expect("the host listens");
    while !matches!(side.reader.read(), Ok(Some(HostMessage::Shutdown) | None) | Err(_)) {}
}

/// What the child could do.
async fn worked(confine: bool, network: NetworkUse) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a temporary directory");
    for file in ["model", "secret"] {
        std::fs::write(folder.path().join(file), file).expect("it can be written");
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let args = ["--exact", "a_confined_child", CHILD, "--nocapture"].map(Into::into).into_iter();
    let told = [format!("{FOLDER}{}", folder.path().display()), format!("{PORT}{port}")].map(Into::into);
    let program = RunnerProgram {
        program: std::env::current_exe().expect("a running program has a file"),
        args: args.chain(told).collect(),
        name: "test".to_owned(),
        limits: Limits::default(),
        confinement: confine.then(|| Confinement { reads: vec![folder.path().join("model")], network }),
    };
    let host = RunnerHost::new().expect("a thread can be started");
    let (_runner, mut events) = host.spawn(program).await.expect("the program is there");
    match timeout(DEADLINE, events.next()).await.expect("in time") {
        Some(RunnerEvent::Message(RunnerMessage::Failed { message, .. })) => {
            message.split(", ").map(str::to_owned).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// What the kernel of this machine can keep a child from.
fn has(what: &str) -> bool {
    confinement_here().contains(what)
}

#[tokio::test]
async fn a_child_that_is_not_confined_can_do_all_of_it_but_start_programs() {
    let worked = worked(false, NetworkUse::None).await;
    assert_eq!(worked.len(), 12, "{worked:?}");
    assert!(!worked.contains(&"starts a program".to_owned()));
}

#[tokio::test]
async fn a_child_alone_reads_its_model_and_has_no_network() {
    let worked = worked(true, NetworkUse::None).await;
    let mut expect = vec!["reads its model"];
    if !has("files and ports") {
        // Without Landlock the system calls that a runner needs still open files.
        expect.extend(["reads another file", "lists the folder", "reads the users", "writes its model"]);
        expect.extend(["writes a new file", "removes its model"]);
    }
    expect.extend(["sees the processors", "starts a thread"]);
    assert_eq!(worked, expect, "{}", confinement_here());
}

#[tokio::test]
async fn a_rank_connects_and_listens_where_it_may_and_sends_no_datagrams() {
    if !has("files and ports") {
        return;
    }
    let check = async |ports: (u16, u16), expect: &[&str]| {
        let worked = worked(true, NetworkUse::Links { ports }).await;
        assert_eq!(worked, expect, "{ports:?}");
    };
    let all = ["reads its model", "connects", "listens on any port", "sees the processors", "starts a thread"];
    check((0, 0), &all).await;
    // Ports of its own: any other is refused.
    check((52_420, 52_499), &["reads its model", "connects", "sees the processors", "starts a thread"]).await;
}
