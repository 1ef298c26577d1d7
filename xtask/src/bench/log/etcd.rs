//! etcd as a child process, written to over its own protocol (gRPC).

use super::writers::Writer;
use anyhow::{Context, Result, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// What an event of ours takes, about.
const VALUE: usize = 120;

/// Nothing of the set-up takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What `etcd` calls itself, where there is one.
pub fn version() -> Option<String> {
    let output = Command::new("etcd").arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.lines().find_map(|line| line.strip_prefix("etcd Version: "))?;
    Some(format!("etcd {}", version.trim()))
}

/// Some members of one cluster.
pub struct Etcd {
    members: Vec<Child>,
    doors: Vec<SocketAddr>,
    leader: usize,
    /// The connections' ends.
    tasks: Mutex<JoinSet<()>>,
    _scratch: TempDir,
}

impl Etcd {
    /// So many, on that disk.
    pub async fn start(disk: &Path, count: usize) -> Result<Self> {
        let scratch = tempfile::tempdir_in(disk)?;
        let doors = (0..count).map(|_| free_door()).collect::<Result<Vec<_>>>()?;
        let peers = (0..count).map(|_| free_door()).collect::<Result<Vec<_>>>()?;
        let cluster: Vec<String> = peers.iter().enumerate().map(|(n, peer)| format!("m{n}=http://{peer}")).collect();
        let mut etcd = Self { members: Vec::new(), doors, leader: 0, tasks: Mutex::default(), _scratch: scratch };
        for (number, peer) in peers.iter().enumerate() {
            let (name, door) = (format!("m{number}"), format!("http://{}", etcd.doors[number]));
            let peer = format!("http://{peer}");
            let mut command = Command::new("etcd");
            command.arg("--name").arg(&name).arg("--data-dir").arg(etcd._scratch.path().join(&name));
            command.arg("--listen-client-urls").arg(&door).arg("--advertise-client-urls").arg(&door);
            command.arg("--listen-peer-urls").arg(&peer).arg("--initial-advertise-peer-urls").arg(&peer);
            command.arg("--initial-cluster").arg(cluster.join(","));
            command.arg("--logger").arg("zap").arg("--log-level").arg("fatal");
            command.stdout(Stdio::null()).stderr(Stdio::null());
            etcd.members.push(command.spawn()?);
        }
        timeout(PATIENCE, etcd.find_leader()).await.context("it elects nobody")?;
        Ok(etcd)
    }

    /// The member that answers fastest leads: the others send writes on to it.
    async fn find_leader(&mut self) {
        loop {
            let mut times = Vec::new();
            for member in 0..self.doors.len() {
                times.extend(self.time_of(member).await.ok().map(|time| (time, member)));
            }
            if times.len() == self.doors.len() {
                self.leader = times.iter().min().map_or(0, |(_, member)| *member);
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn time_of(&self, member: usize) -> Result<Duration> {
        let mut writer = self.connect(member, 0).await?;
        timeout(Duration::from_secs(2), writer.write(1)).await??;
        let begin = Instant::now();
        for _ in 0..20 {
            timeout(Duration::from_secs(2), writer.write(1)).await??;
        }
        Ok(begin.elapsed())
    }

    /// A writer to the leader, on a connection of its own.
    pub async fn writer(&self, number: usize) -> Result<Put> {
        self.connect(self.leader, number).await
    }

    async fn connect(&self, member: usize, number: usize) -> Result<Put> {
        let stream = TcpStream::connect(self.doors[member]).await?;
        stream.set_nodelay(true)?;
        let (requests, connection) = h2::client::handshake(stream).await?;
        let drive = async move { drop(connection.await) };
        self.tasks.lock().map_err(|_| anyhow::anyhow!("a task panicked"))?.spawn(drive);
        let uri = format!("http://{}/etcdserverpb.KV/Put", self.doors[member]);
        Ok(Put { requests, uri, key: format!("writer-{number:03}"), value: vec![b'x'; VALUE] })
    }

    pub async fn stop(mut self) -> Result<()> {
        for member in &mut self.members {
            member.kill()?;
            member.wait()?;
        }
        Ok(())
    }
}

impl Drop for Etcd {
    /// Also when the bench failed.
    fn drop(&mut self) {
        for member in &mut self.members {
            drop(member.kill());
            drop(member.wait());
        }
    }
}

/// A port that was free a moment ago.
fn free_door() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Puts a value under its key, again and again.
pub struct Put {
    requests: SendRequest<Bytes>,
    uri: String,
    key: String,
    value: Vec<u8>,
}

impl Writer for Put {
    async fn write(&mut self, _events: usize) -> Result<()> {
        let request =
            http::Request::post(&self.uri).header("content-type", "application/grpc").header("te", "trailers");
        let mut requests = self.requests.clone().ready().await?;
        let (response, mut body) = requests.send_request(request.body(())?, false)?;
        body.send_data(message(self.key.as_bytes(), &self.value), true)?;
        let mut answer = response.await?.into_body();
        let mut length = 0;
        while let Some(data) = answer.data().await {
            let data = data?;
            length += data.len();
            answer.flow_control().release_capacity(data.len())?;
        }
        // A refusal has a status and no message.
        ensure!(length > 0, "etcd refused a write");
        Ok(())
    }
}

/// A PutRequest in protobuf, with gRPC's five bytes before it.
fn message(key: &[u8], value: &[u8]) -> Bytes {
    let mut put = BytesMut::new();
    for (tag, field) in [(0x0a_u8, key), (0x12, value)] {
        put.put_u8(tag);
        // Both are shorter than 128 bytes: one byte of length.
        put.put_u8(u8::try_from(field.len()).unwrap_or(0));
        put.put_slice(field);
    }
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(put.len()).unwrap_or(0));
    framed.extend(put);
    framed.freeze()
}
