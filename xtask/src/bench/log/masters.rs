//! Masters' logs in this process, their peers reached over TCP.

use super::writers::Writer;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use exo_log::{DraftEvent, EventLog, LogOptions, LogRole, Member, PeerCallError, PeerTransport, Place};
use exo_types::{Event, Memory, NodeId, NodeResources, SessionId};
use futures::future::BoxFuture;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Nothing of the set-up takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longer messages are none of ours.
const LONGEST: usize = 32 << 20;

/// Some masters, the first of which leads.
pub struct Masters {
    logs: Vec<EventLog>,
    /// Listeners and connections; they end with it.
    tasks: Mutex<JoinSet<()>>,
    _scratch: TempDir,
}

type Doors = Arc<Mutex<BTreeMap<NodeId, SocketAddr>>>;

impl Masters {
    /// So many, on that disk.
    pub async fn start(disk: &Path, count: usize) -> Result<Self> {
        let scratch = tempfile::tempdir_in(disk)?;
        let doors = Doors::default();
        let mut tasks = JoinSet::new();
        let mut logs = Vec::new();
        for number in 0..count {
            let node_id = NodeId::new(format!("master-{number}"))?;
            let peers = Arc::new(TcpPeers { own: node_id.clone(), doors: doors.clone(), idle: Mutex::default() });
            let place = Place::Directory(scratch.path().join(node_id.as_str()));
            let options = LogOptions::new(node_id.clone(), number as u64 + 1);
            let (log, _) = EventLog::open(place, options, peers).await?;
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            doors.lock().unwrap_or_else(PoisonError::into_inner).insert(node_id, listener.local_addr()?);
            tasks.spawn(listen(listener, log.clone()));
            logs.push(log);
        }
        let masters = Self { logs, tasks: Mutex::new(tasks), _scratch: scratch };
        timeout(PATIENCE, masters.form()).await.context("the masters do not come together")??;
        Ok(masters)
    }

    async fn form(&self) -> Result<()> {
        let Some((first, others)) = self.logs.split_first() else { bail!("no masters") };
        let session = SessionId { generation: 1, master_node_id: first.member().node_id };
        first.found(session.clone(), None).await?;
        first.standing().wait_for(|standing| standing.role == LogRole::Leader).await?;
        for other in others {
            other.join(session.clone()).await?;
        }
        let learners: BTreeSet<Member> = others.iter().map(EventLog::member).collect();
        if learners.is_empty() {
            return Ok(());
        }
        first.set_members(BTreeSet::from([first.member()]), learners).await?;
        let voters: BTreeSet<Member> = self.logs.iter().map(EventLog::member).collect();
        while first.set_members(voters.clone(), BTreeSet::new()).await.is_err() {
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    fn leader(&self) -> Result<EventLog> {
        self.logs.first().cloned().context("no masters")
    }

    /// Writes in this process.
    pub async fn writer(&self) -> Result<Own> {
        Ok(Own { log: self.leader()?, number: 0 })
    }

    /// Takes writes over connections: a byte is an event.
    pub async fn open_door(&self) -> Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let door = listener.local_addr()?;
        let log = self.leader()?;
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).spawn(serve(listener, log));
        Ok(door)
    }

    pub async fn stop(self) {
        for log in self.logs {
            log.close().await;
        }
    }
}

/// A writer without a connection.
pub struct Own {
    log: EventLog,
    number: u64,
}

impl Writer for Own {
    async fn write(&mut self, events: usize) -> Result<()> {
        let drafts = (0..events).map(|_| {
            self.number += 1;
            event(self.number)
        });
        self.log.record(drafts.collect()).await?;
        Ok(())
    }
}

/// What a node says most often.
fn event(number: u64) -> DraftEvent {
    let resources = NodeResources { ram_total: Memory::mib(65536), ram_available: Memory::mib(number % 65536) };
    // The name is one; were it none, the bench could not begin.
    let node_id = NodeId::new("master-0").expect("a good id");
    Event::NodeResourcesChanged { node_id, resources }.into()
}

async fn serve(listener: TcpListener, log: EventLog) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve_one(stream, log.clone()));
    }
}

async fn serve_one(mut stream: TcpStream, log: EventLog) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    for number in 0.. {
        stream.read_u8().await.ok()?;
        let acknowledged = log.record(vec![event(number)]).await.is_ok();
        stream.write_all(&[u8::from(acknowledged)]).await.ok()?;
    }
    None
}

/// The way to the others.
struct TcpPeers {
    own: NodeId,
    doors: Doors,
    /// Connections that nobody uses at the moment.
    idle: Mutex<BTreeMap<NodeId, Vec<TcpStream>>>,
}

impl PeerTransport for TcpPeers {
    fn call(&self, to: &NodeId, request: Bytes, within: Duration) -> BoxFuture<'_, Result<Bytes, PeerCallError>> {
        let to = to.clone();
        Box::pin(async move {
            let answer = timeout(within, self.ask(&to, &request)).await.map_err(|_| PeerCallError::Timeout)?;
            answer.map_err(|error| PeerCallError::Unreachable(error.to_string()))
        })
    }
}

impl TcpPeers {
    async fn ask(&self, to: &NodeId, request: &Bytes) -> Result<Bytes> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).get_mut(to).and_then(Vec::pop);
        let mut stream = match idle {
            Some(stream) => stream,
            None => self.connect(to).await?,
        };
        send(&mut stream, request).await?;
        let answer = receive(&mut stream).await?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).entry(to.clone()).or_default().push(stream);
        Ok(answer)
    }

    async fn connect(&self, to: &NodeId) -> Result<TcpStream> {
        let door = self.doors.lock().unwrap_or_else(PoisonError::into_inner).get(to).copied();
        let mut stream = TcpStream::connect(door.context("nobody there")?).await?;
        stream.set_nodelay(true)?;
        send(&mut stream, self.own.as_str().as_bytes()).await?;
        Ok(stream)
    }
}

async fn listen(listener: TcpListener, log: EventLog) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(answer(stream, log.clone()));
    }
}

async fn answer(mut stream: TcpStream, log: EventLog) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let name = receive(&mut stream).await.ok()?;
    let from = NodeId::new(String::from_utf8(name.to_vec()).ok()?).ok()?;
    loop {
        let request = receive(&mut stream).await.ok()?;
        let reply = log.on_peer(&from, request).await;
        send(&mut stream, &reply).await.ok()?;
    }
}

async fn send(stream: &mut TcpStream, message: &[u8]) -> Result<()> {
    let mut framed = Vec::with_capacity(4 + message.len());
    framed.extend(u32::try_from(message.len())?.to_be_bytes());
    framed.extend(message);
    Ok(stream.write_all(&framed).await?)
}

async fn receive(stream: &mut TcpStream) -> Result<Bytes> {
    let length = usize::try_from(stream.read_u32().await?)?;
    anyhow::ensure!(length <= LONGEST, "a message of {length} bytes");
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    Ok(message.into())
}
