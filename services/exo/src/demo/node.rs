//! One node of the demo: a child process.

use crate::error::CliError;
use serde_json::Value;
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

/// Longer than a node drains.
const STOP: Duration = Duration::from_secs(25);
/// Lines of a log that tell why a node ended.
const TAIL: usize = 15;

/// Where everything of the demo lies.
pub(super) struct Plan {
    pub(super) directory: PathBuf,
    pub(super) models: PathBuf,
    pub(super) api_port: u16,
}

/// Where the nodes' buses listen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    a: u16,
    b: u16,
}

impl Ports {
    pub(super) fn choose() -> Result<Self, CliError> {
        // Held until both are found: one that is let go may be given again.
        let (a, b) = (a_listener()?, a_listener()?);
        Ok(Self { a: port_of(&a)?, b: port_of(&b)? })
    }
}

/// A running node. Dropped, it is killed; when this process is killed, its standard input closes and it ends by itself.
pub(super) struct DemoNode {
    name: &'static str,
    child: Child,
    stdin: Option<ChildStdin>,
    log: PathBuf,
}

impl Plan {
    /// Node A is everything, and begins a cluster.
    pub(super) fn start_first(&self, ports: Ports) -> Result<DemoNode, CliError> {
        self.node("A", &format!("mode = \"auto\"\n{}", self.common("A", ports.a, ports.b)))
    }

    /// Node B only works. It comes in with a token of node A's.
    pub(super) async fn start_second(&self, ports: Ports) -> Result<DemoNode, CliError> {
        let token = self.directory.join("join-token");
        std::fs::write(&token, self.token().await?).map_err(CliError::system("cannot write the join token"))?;
        let peer = format!("peers = [\"127.0.0.1:{}\"]", ports.a);
        let security = format!("[security]\njoinTokenFile = {}", quote(&token));
        let config = format!("mode = \"worker\"\n{}{peer}\n{security}\n", self.common("B", ports.b, ports.a));
        self.node("B", &config)
    }

    /// As a person would get it: `exo cluster token` on the machine of node A.
    async fn token(&self) -> Result<Vec<u8>, CliError> {
        let mut command = program()?;
        command.args(["cluster", "token", "--config"]).arg(self.directory.join("A.toml")).stdin(Stdio::null());
        let output = timeout(STOP, command.kill_on_drop(true).output()).await;
        match output {
            Ok(Ok(output)) if output.status.success() => Ok(output.stdout),
            Ok(Ok(output)) => Err(CliError::Cluster(String::from_utf8_lossy(&output.stderr).into_owned())),
            Ok(Err(error)) => Err(CliError::system("cannot ask for a join token")(error)),
            Err(_) => Err(CliError::TooLong { what: "a join token".to_owned(), seconds: STOP.as_secs() }),
        }
    }

    /// Ends in the section `[networking]`. Nodes of other clusters on this machine are of another namespace.
    fn common(&self, name: &str, own_port: u16, other_port: u16) -> String {
        let (data, models) = (self.directory.join(name), quote(&self.models));
        let namespace = format!("demo-{}", std::process::id());
        let api = self.api_port;
        // A worker that is its own process listens on its own port; the other port only has to be another one.
        let (cluster_port, worker_port) = if name == "A" { (own_port, 0) } else { (other_port, own_port) };
        format!(
            "name = \"node-{}\"\ndataDir = {}\n\n[api]\nport = {api}\n\n[models]\ndirs = [{models}]\n\n[networking]\n\
             namespace = \"{namespace}\"\nloopbackOnly = true\nmulticast = false\n\
             clusterPort = {cluster_port}\nworkerPort = {worker_port}\napiPort = 0\n",
            name.to_lowercase(),
            quote(&data)
        )
    }

    fn node(&self, name: &'static str, config: &str) -> Result<DemoNode, CliError> {
        let file = self.directory.join(format!("{name}.toml"));
        let log = self.directory.join(format!("{name}.log"));
        std::fs::write(&file, config).map_err(CliError::system("cannot write the demo's configuration"))?;
        let output = File::create(&log).map_err(CliError::system("cannot write the demo's log"))?;
        let errors = output.try_clone().map_err(CliError::system("cannot write the demo's log"))?;
        let mut command = program()?;
        command.arg("up").arg("--until-stdin-closes").arg("--config").arg(&file);
        command.stdin(Stdio::piped()).stdout(output).stderr(errors).kill_on_drop(true);
        // Ctrl-C reaches us alone; we end the nodes in order.
        command.process_group(0);
        let mut child = command.spawn().map_err(CliError::system("cannot start a node"))?;
        let stdin = child.stdin.take();
        Ok(DemoNode { name, child, stdin, log })
    }
}

impl DemoNode {
    /// An error if it ended.
    pub(super) fn check(&mut self) -> Result<(), CliError> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            _ => Err(CliError::NodeEnded { name: self.name.to_owned(), log: self.log() }),
        }
    }

    /// The end of its log.
    pub(super) fn log(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }

    /// Asks it to end, waits, and kills it if it does not.
    pub(super) async fn stop(mut self) {
        drop(self.stdin.take());
        if timeout(STOP, self.child.wait()).await.is_err() {
            eprintln!("warning: node {} did not end by itself and is killed", self.name);
            let _ = self.child.kill().await;
        }
    }
}

/// This program, without what the environment would have it do.
fn program() -> Result<Command, CliError> {
    let program = std::env::current_exe().map_err(CliError::system("cannot find this program's own file"))?;
    let mut command = Command::new(program);
    let ours = |name: &str| name.starts_with("EXO_") && name != "EXO_CPU";
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(ours)) {
        command.env_remove(name);
    }
    for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "JOURNAL_STREAM", "STATE_DIRECTORY", "CREDENTIALS_DIRECTORY"] {
        command.env_remove(name);
    }
    Ok(command)
}

/// A port that was free a moment ago.
pub(super) fn free_port() -> Result<u16, CliError> {
    port_of(&a_listener()?)
}

fn a_listener() -> Result<TcpListener, CliError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(CliError::system("there is no free port"))
}

fn port_of(listener: &TcpListener) -> Result<u16, CliError> {
    let address = listener.local_addr().map_err(CliError::system("there is no free port"))?;
    Ok(address.port())
}

/// A path as a TOML string: JSON's strings are some of them.
fn quote(path: &Path) -> String {
    Value::String(path.display().to_string()).to_string()
}
