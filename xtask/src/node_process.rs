//! One `exo up` with a data directory and ports of its own.

use crate::free_ports::free_ports;
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A node that is not ready by then will not be.
const READY_DEADLINE: Duration = Duration::from_secs(30);

/// A node that has not ended by then hangs.
const STOP_DEADLINE: Duration = Duration::from_secs(20);

/// In which `/proc` counts the time of processes, a second: the same on every Linux.
const TICKS: f64 = 100.0;

/// How often it is looked whether the node is ready or gone.
const POLL: Duration = Duration::from_millis(2);

/// A running node; dropping it kills it.
pub struct NodeProcess {
    child: Child,
    seconds_to_ready: f64,
    _folder: TempDir,
}

impl NodeProcess {
    /// Starts a node with an empty data directory, alone on loopback, and waits until it is ready.
    pub fn start(exo: &Path) -> Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let ports = free_ports(2)?;
        let (api_port, cluster_port) = (ports[0], ports[1]);
        let begin = Instant::now();
        let child =
            command(exo, folder.path(), api_port, cluster_port)?.spawn().with_context(|| exo.display().to_string())?;
        let mut node = Self { child, seconds_to_ready: 0.0, _folder: folder };
        while !is_ready(api_port) {
            if let Some(status) = node.child.try_wait()? {
                bail!("exo up ended before it was ready: {status}");
            }
            if begin.elapsed() > READY_DEADLINE {
                bail!("exo up is not ready after {READY_DEADLINE:?}");
            }
            sleep(POLL);
        }
        node.seconds_to_ready = begin.elapsed().as_secs_f64();
        Ok(node)
    }

    /// From its start to the first 200 of `/readyz`.
    pub fn seconds_to_ready(&self) -> f64 {
        self.seconds_to_ready
    }

    /// Resident memory of it and its children.
    pub fn resident_bytes(&self) -> Result<u64> {
        self.family().iter().map(|pid| resident_bytes(*pid)).sum()
    }

    /// Processor time of it and its children so far, all threads together.
    pub fn cpu_seconds(&self) -> Result<f64> {
        self.family().iter().map(|pid| cpu_seconds(*pid)).sum()
    }

    /// Asks it to end and waits until it has.
    pub fn stop(&mut self) -> Result<()> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGTERM).context("exo up is gone already")?;
        let begin = Instant::now();
        while self.child.try_wait()?.is_none() {
            if begin.elapsed() > STOP_DEADLINE {
                bail!("exo up still runs {STOP_DEADLINE:?} after SIGTERM");
            }
            sleep(POLL);
        }
        Ok(())
    }

    fn family(&self) -> Vec<u32> {
        let own = self.child.id();
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        std::iter::once(own).chain(children).collect()
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        // Gone already is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(exo: &Path, data: &Path, api_port: u16, cluster_port: u16) -> Result<Command> {
    let discovery = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let mut command = Command::new(exo);
    command
        .arg("up")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", data)
        .env("EXO_DATA_DIR", data)
        .env("EXO_API_PORT", api_port.to_string())
        .env("EXO_NETWORKING_NAMESPACE", format!("bench-{}", std::process::id()))
        .env("EXO_NETWORKING_LOOPBACK_ONLY", "true")
        .env("EXO_NETWORKING_CLUSTER_PORT", cluster_port.to_string())
        .env("EXO_NETWORKING_DISCOVERY_PORT", discovery.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(data.join("stderr.log"))?);
    Ok(command)
}

fn is_ready(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(head.ends_with(b" 200"))
    };
    ask().unwrap_or(false)
}

fn resident_bytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process is gone")?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
    kib.map(|kib: u64| kib * 1024).context("the kernel tells no VmRSS")
}

/// Of all its threads, those included that have ended.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the process is gone")?;
    // Its name may have spaces and brackets in it; what follows has neither.
    let (_, numbers) = stat.rsplit_once(')').context("/proc/PID/stat is not as it should be")?;
    let ticks = |at: usize| numbers.split_whitespace().nth(at).and_then(|number| number.parse::<u64>().ok());
    // Fields 14 and 15 of proc(5), of which two stand before the bracket.
    let (user, system) = ticks(11).zip(ticks(12)).context("/proc/PID/stat lacks its times")?;
    Ok((user + system) as f64 / TICKS)
}
